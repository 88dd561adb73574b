/** What the READMEs of these kinds show can be pasted. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { kinds } from '../../src/systems/kinds.ts'

test.each([
  ['rest-erp', { contract: 'extended', fields: { order: { number: 'billNo', id: 'externalId' } } }],
  ['rest-finance', { envelope: 'success', fields: { payment: { externalRef: 'bizNo', id: 'paymentId' } } }],
  ['rest-tms', { carriers: { 顺丰: 'SF' }, fields: { event: { text: 'context', time: 'time' } } }],
])('the samples of the README of %s are settings', async (kind, meant) => {
  const readme = readFileSync(new URL(`../../src/systems/${kind}/README.md`, import.meta.url), 'utf8')
  const samples = [...readme.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => parse(text ?? ''))
  expect(samples).toHaveLength(2)
  const [{ kind: named, ...standard }, other] = samples
  expect(named).toBe(kind)
  const schema = await kinds[kind]?.config()
  expect(schema?.parse(standard)).toMatchObject({ baseUrl: standard.baseUrl })
  expect(schema?.parse({ ...standard, ...other })).toMatchObject(meant)
})

test.each(['rest-erp', 'rest-finance', 'rest-tms'])(
  'settings of %s that are none are named',
  async (kind) => {
    const schema = await kinds[kind]?.config()
    const parsed = schema?.safeParse({
      baseUrl: 'ftp://x',
      auth: { type: 'bearer', token: 'with blank' },
      timeZone: 'Shanghai',
      paths: { nowhere: '/x' },
    })
    expect(parsed?.error?.issues.map(({ path }) => path.join('.')).sort()).toEqual([
      'auth.token',
      'baseUrl',
      'paths',
      'timeZone',
    ])
  },
)
