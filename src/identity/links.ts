/** Links between keys, written as CSV by the people who know. */
import { parse } from 'csv-parse/sync'
import type { IdentityType, LinkRequest } from './registry.ts'

const COLUMNS = ['type', 'system', 'company', 'key', 'sameAsSystem', 'sameAsKey']
const NEEDED = ['system', 'key', 'sameAsSystem', 'sameAsKey']

/**
 * Reads the columns `type,system,company,key,sameAsSystem,sameAsKey`; `company` may be empty.
 * @returns Every problem at once, by line, or what to link.
 */
export function readLinks(
  csv: string,
  isSystem: (id: string) => boolean,
): { readonly requests: readonly LinkRequest[] } | { readonly problems: readonly string[] } {
  let rows: Record<string, string>[]
  try {
    rows = parse(csv, { columns: true, bom: true, trim: true, skip_empty_lines: true })
  } catch (error) {
    return { problems: [`not CSV: ${(error as Error).message}; the header is ${COLUMNS.join(',')}`] }
  }
  if (rows.length === 0) return { problems: [`no lines; the header is ${COLUMNS.join(',')}`] }
  const problems: string[] = []
  const requests = rows.map((row, index): LinkRequest => {
    const line = `line ${index + 2}`
    const { type, system = '', company = '', key = '', sameAsSystem = '', sameAsKey = '' } = row
    if (type !== 'customer' && type !== 'product')
      problems.push(`${line}: "type" must be customer or product`)
    for (const column of NEEDED) if (!row[column]) problems.push(`${line}: "${column}" is missing`)
    for (const id of [system, sameAsSystem]) {
      if (id && !isSystem(id)) problems.push(`${line}: there is no system "${id}"`)
    }
    return {
      type: type as IdentityType,
      key: { system, company, key },
      sameAs: { system: sameAsSystem, company: '', key: sameAsKey },
    }
  })
  return problems.length > 0 ? { problems } : { requests }
}
