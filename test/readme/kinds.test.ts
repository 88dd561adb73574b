import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { kindsTable, withTable } from '../../src/commands/kinds.ts'
import { kinds } from '../../src/systems/kinds.ts'

test('the table of kinds says what the adapters offer; if not: npm run kinds', async () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const table = await kindsTable()
  expect(withTable(readme, table)).toBe(readme)
  for (const kind of Object.keys(kinds)) expect(table).toContain(`src/systems/${kind}/README.md`)
})
