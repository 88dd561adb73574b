import { failureText, type Outcome } from '../failure.ts'
import { field, fieldText } from './named-fields.ts'

/**
 * For `check`: what of the configuration the first rows of an interface contradict. A field without a value may be left
 * out by the server, so only one that no row has is told.
 * @param interfaceName How the sentences call the interface.
 */
export function contradictions(
  interfaceName: string,
  rows: readonly unknown[],
  of: {
    readonly codeField: string | null
    /** Our names of custom fields, and the vendor's. */
    readonly custom: Readonly<Record<string, string>>
    /** The part of a row that has these fields. */
    readonly within?: (row: unknown) => unknown
    read(row: unknown): Outcome<unknown>
  },
): string[] {
  const { within = (row: unknown) => row } = of
  const sentences: string[] = []
  const nameless = rows.filter((row) => fieldText(within(row), of.codeField) === null).length
  if (nameless > 0) sentences.push(`${interfaceName}: ${nameless} rows without "${of.codeField}"`)
  const broken = rows.map((row) => of.read(row)).find((record) => !record.ok)
  if (broken && !broken.ok) sentences.push(`${interfaceName}: ${failureText(broken.failure)}`)
  for (const [own, name] of Object.entries(of.custom)) {
    if (rows.length > 0 && rows.every((row) => field(within(row), name) === undefined)) {
      sentences.push(`${interfaceName}: no row has "${name}" (${own})`)
    }
  }
  return sentences
}

/** A value that no record has: an interface that answers with rows overlooks the filter. */
export const NOBODY = 'no-such-value-0'
