/** What adapters may tell of a record can be asked for: the records beside the composed schema. */
import { readFileSync } from 'node:fs'
import { buildSchema, isObjectType } from 'graphql'
import { expect, test } from 'vitest'

const records = readFileSync(new URL('../../src/systems/records.ts', import.meta.url), 'utf8')
const schema = buildSchema(
  readFileSync(new URL('../../schema/supergraph.graphql', import.meta.url), 'utf8'),
  {
    assumeValidSDL: true,
  },
)

/** Shown in another way. */
const OTHERWISE: Readonly<Record<string, readonly string[]>> = {
  // A customer and a product have a key in each system: `externalIds`.
  Customer: ['key', 'account'],
  Product: ['key'],
}
/** Records whose type in the graph is called otherwise. */
const NAMES: Readonly<Record<string, string>> = {
  Account: 'CustomerAccount',
  Reference: 'DocumentReference',
}
/** A customer's `balances`; a warehouse is what is counted in it; tables by type; what only the configuration knows. */
const WITHOUT = ['Receivable', 'Warehouse', 'RecordTypes', 'OwnRecord']
const BASE = ['key', 'version', 'createdAt', 'updatedAt', 'customFields']

const declared = [...records.matchAll(/^export interface (\w+)(?: extends (\w+))? \{\n([\s\S]*?)^\}/gm)].map(
  ([, name = '', base, body = '']) => ({
    name,
    fields: [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, field]) => field as string),
    base: base === 'RecordBase' ? BASE : [],
  }),
)

test('the records are all found', () => {
  expect(declared.find(({ name }) => name === 'Order')?.fields).toContain('timeline')
  expect(declared.filter(({ base }) => base.length > 0).length).toBeGreaterThanOrEqual(12)
})

test.each(declared.filter(({ name }) => !WITHOUT.includes(name)))('$name', ({ name, fields, base }) => {
  const type = schema.getType(NAMES[name] ?? name)
  if (!isObjectType(type)) throw new Error(`the graph has no type for ${name}`)
  const shown = Object.keys(type.getFields())
  const hidden = [...fields, ...base].filter(
    (field) => !shown.includes(field) && !OTHERWISE[name]?.includes(field),
  )
  expect(hidden).toEqual([])
})
