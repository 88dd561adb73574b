/** Where a gateway cannot keep its data, its operator reads which place that is, and no password. */
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openApp } from '../../src/app.ts'
import { explain } from '../../src/commands/explain.ts'
import { checkConfig } from '../../src/config/load.ts'
import { silentLog } from '../../src/observe/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-no-place-'))
const noFolder = join(folder, 'no-folder')
const garbled = join(folder, 'garbled')
let freePort = 0
beforeAll(async () => {
  writeFileSync(noFolder, 'a file')
  mkdirSync(garbled)
  writeFileSync(join(garbled, 'tributary.sqlite'), 'nothing that a database begins with'.repeat(100))
  const unused = createServer().listen(0, '127.0.0.1')
  await once(unused, 'listening')
  freePort = (unused.address() as { port: number }).port
  await new Promise((resolve) => unused.close(resolve))
})
afterAll(() => rmSync(folder, { recursive: true }))

const SYSTEMS = {
  crm: {
    kind: 'rest-crm',
    environment: 'test',
    baseUrl: 'http://127.0.0.1:9',
    auth: { type: 'bearer', token: 'x' },
  },
}

test.each([
  ['a file', () => ({ dataDir: noFolder }), /^The data folder ".*no-folder" \(dataDir\) cannot be used: /],
  [
    'a file that is no database',
    () => ({ dataDir: garbled }),
    /garbled" \(dataDir\) cannot be used: file is not a database\./,
  ],
  [
    'a database that does not run',
    () => ({ store: { postgres: `postgres://tributary:hush-hush@127.0.0.1:${freePort}/x` } }),
    /^The PostgreSQL of store\.postgres cannot be used: .*ECONNREFUSED/,
  ],
])('%s', async (_title, place, words) => {
  const callers = [{ apiKey: 'a key of sixteen characters', subject: 'portal' }]
  const config = await checkConfig({ callers, systems: SYSTEMS, ...place() }, {}, 'test')
  const error = await openApp(config, silentLog).then(
    () => expect.unreachable(),
    (reason: unknown) => reason,
  )
  const { text, exitCode } = explain(error)
  expect({ text, exitCode }).toEqual({ text: expect.stringMatching(words), exitCode: 1 })
  expect(text).not.toMatch(/\n|hush-hush/)
})
