/** Outcomes that belong together. */
import { type Outcome, ok, type SourceFailure } from '../failure.ts'
import type { Placed } from './modified-windows.ts'

/** For look-ups that find one record at most. */
export const asLists = <T>(outcomes: readonly Outcome<T | null>[]): Outcome<readonly T[]>[] =>
  outcomes.map((one) => (one.ok ? ok(one.value === null ? [] : [one.value]) : one))

/** Half of what belongs to a key would look like all of it: one row that cannot be read fails the list. */
export function wholeList<T>(outcomes: readonly Outcome<T | null>[]): Outcome<readonly T[]> {
  const values: T[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    if (outcome.value !== null) values.push(outcome.value)
  }
  return ok(values)
}

/** A page goes on without the rows that cannot be read. */
export function listed<T>(
  page: { readonly items: readonly Placed[]; readonly hasMore: boolean },
  read: (row: unknown) => Outcome<T>,
  skip: (failure: SourceFailure) => void,
): { items: { record: T; position: string }[]; hasMore: boolean } {
  const items = page.items.flatMap(({ row, position }) => {
    const record = read(row)
    if (!record.ok) skip(record.failure)
    return record.ok ? [{ record: record.value, position }] : []
  })
  return { items, hasMore: page.hasMore }
}
