/** Lists and changes of vendors that sort and filter by a growing key, and stamp what they change. */
import { z } from 'zod'
import type { Outcome } from '../failure.ts'
import type { CallContext, ListQuery } from '../port.ts'
import type { Key } from '../records.ts'
import { readCheckpoint } from './checkpoint.ts'

/** Records of one type, read in every way. */
export interface Reader<R> {
  readonly batchLimit: number
  readMany(keys: readonly Key[], context: CallContext): Promise<readonly Outcome<R | null>[]>
  readOne(key: Key, context: CallContext): Promise<Outcome<R | null>>
  list(
    query: ListQuery,
    context: CallContext,
  ): Promise<Outcome<{ items: { record: R; position: string }[]; hasMore: boolean }>>
  changes(
    checkpoint: string | null,
    context: CallContext,
  ): Promise<Outcome<{ records: R[]; checkpoint: string; hasMore: boolean }>>
}

interface Rows<Row> {
  /** The row's own place in the order of keys. @throws SourceError where the row does not tell it */
  placeOf(row: Row | undefined): string
}

/**
 * One page of a list. By key, not by page number: whatever is added meanwhile, nothing is skipped.
 * @throws SourceError
 */
export async function listByKey<Row, Item>(
  { first, after }: Pick<ListQuery, 'first' | 'after'>,
  of: Rows<Row> & {
    /** At most `limit` rows behind a place, in the order of the list. */
    readonly rows: (after: string | undefined, limit: number) => Promise<readonly Row[]>
    /** What is left of rows when those that cannot be read are left out. */
    readonly items: (rows: readonly Row[]) => Item[] | Promise<Item[]>
  },
): Promise<{ items: Item[]; hasMore: boolean }> {
  for (let from = after; ; ) {
    const rows = await of.rows(from, first + 1)
    const page = rows.slice(0, first)
    const items = await of.items(page)
    const hasMore = rows.length > first
    // A page without a single record would leave the caller without a position to go on from.
    if (items.length > 0 || !hasMore) return { items, hasMore }
    from = of.placeOf(page.at(-1))
  }
}

/** While its pages are read, `after` is the last key and `until` the next `since`. */
const checkpointOf = (stamp: RegExp) =>
  z.strictObject({
    since: z.string().regex(stamp),
    until: z.string().optional(),
    after: z.string().optional(),
  })

/**
 * One page of what has changed. Goes by the server's own stamps and never by our clock, so that neither skew nor a
 * wrong time zone loses anything. Pages are in key order: a row changed meanwhile does not slip out of a page not yet
 * read, and what was changed after the first page is found by the next round, which starts from `until`.
 * @throws SourceError
 */
export async function changesByStamp<Row, R>(
  checkpoint: string | null,
  of: Rows<Row> & {
    /** What stamps look like. */
    readonly stamp: RegExp
    /** Rows of one page. */
    readonly limit: number
    /** The newest stamp that there is now. */
    readonly newest: () => Promise<string>
    /** At most `limit` rows stamped since (the overlap included), behind a place, in the order of keys. */
    readonly rows: (since: string, after: string | undefined, limit: number) => Promise<readonly Row[]>
    readonly stampOf: (row: Row) => string | null
    /** Default: as text. */
    readonly later?: (a: string, b: string) => string
    /** Oldest change first; those that cannot be read are left out. */
    readonly records: (rows: readonly Row[]) => R[] | Promise<R[]>
  },
): Promise<{ records: R[]; checkpoint: string; hasMore: boolean }> {
  if (checkpoint === null) {
    return { records: [], checkpoint: JSON.stringify({ since: await of.newest() }), hasMore: false }
  }
  const { since, until, after } = readCheckpoint(checkpointOf(of.stamp), checkpoint)
  const rows = await of.rows(since, after, of.limit + 1)
  const page = rows.slice(0, of.limit)
  const records = await of.records(page)
  if (rows.length > of.limit) {
    const next = { since, until: until ?? (await of.newest()), after: of.placeOf(page.at(-1)) }
    return { records, checkpoint: JSON.stringify(next), hasMore: true }
  }
  const later = of.later ?? ((a: string, b: string) => (b > a ? b : a))
  const seen = until === undefined ? page.flatMap((row) => of.stampOf(row) ?? []) : [until]
  return { records, checkpoint: JSON.stringify({ since: seen.reduce(later, since) }), hasMore: false }
}

export function* chunks<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size)
}

/** For `sort`, of texts. */
export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
