/**
 * Reading from vendors that list records by when they were modified, in windows of a limited width, in numbered
 * pages. Both bounds of a window belong to it, and clocks go by the second.
 *
 * A record that is modified while its window is read leaves it, and all behind it move up. Pages are therefore read
 * from the last to the first, as the vendors advise: what moves up is then met again, not missed.
 */
import { z } from 'zod'
import { SourceError } from '../failure.ts'
import { joinKey, splitKey } from '../records.ts'
import { readCheckpoint } from './checkpoint.ts'

export interface ModifiedWindows {
  /** Widest window that the vendor takes, in milliseconds. */
  readonly widestMs: number
  readonly pageSize: number
  /**
   * One page of a window.
   * @param begin Milliseconds since 1970, whole seconds, as `end`.
   * @param page Counted from 0.
   * @returns The rows, and how many the whole window has. @throws SourceError
   */
  page(begin: number, end: number, page: number): Promise<{ rows: readonly unknown[]; total: number }>
}

/** A window with more rows is cut: so many are held in memory, and repeated when reading is broken off. */
const MOST_ROWS = 1_000
const SECOND = 1_000

const floor = (ms: number): number => Math.floor(ms / SECOND) * SECOND

/** All rows of one window; null where it has too many and can be cut. @throws SourceError */
async function wholeWindow(
  windows: ModifiedWindows,
  begin: number,
  end: number,
): Promise<readonly unknown[] | null> {
  const first = await windows.page(begin, end, 0)
  if (first.total > MOST_ROWS && end > begin) return null
  if (first.total <= first.rows.length) return first.rows
  if (first.rows.length < windows.pageSize) {
    // Pages would then be counted in another size than ours, and rows be left out.
    const detail = `a page has ${first.rows.length} rows where ${windows.pageSize} were asked for and ${first.total} are there: set pageLimit to that`
    throw new SourceError({ kind: 'invalid-response', detail })
  }
  const rows: unknown[] = []
  for (let page = Math.ceil(first.total / windows.pageSize) - 1; page >= 1; page--) {
    rows.push(...(await windows.page(begin, end, page)).rows)
  }
  // The first again: rows may have moved up to it since.
  rows.push(...(await windows.page(begin, end, 0)).rows)
  return rows
}

const checkpointSchema = z.strictObject({ from: z.iso.datetime() })

/** What was modified since a checkpoint; rows may come twice. */
export interface Modified {
  readonly rows: readonly unknown[]
  readonly checkpoint: string
  readonly hasMore: boolean
}

/**
 * The next window of changes.
 * @param checkpoint As answered before; null: answers the present one and no rows.
 * @param overlapMs Looks back so far each time, for clocks that differ and records that appear late.
 * @throws SourceError
 */
export async function modifiedSince(
  windows: ModifiedWindows,
  checkpoint: string | null,
  overlapMs: number,
  now: number = Date.now(),
): Promise<Modified> {
  const at = (ms: number) => JSON.stringify({ from: new Date(floor(ms)).toISOString() })
  const today = floor(now)
  if (checkpoint === null) return { rows: [], checkpoint: at(today - overlapMs), hasMore: false }
  const begin = Math.min(floor(Date.parse(readCheckpoint(checkpointSchema, checkpoint).from)), today)
  for (let end = Math.min(begin + windows.widestMs, today); ; ) {
    const rows = await wholeWindow(windows, begin, end)
    if (rows === null) {
      end = floor(begin + (end - begin) / 2)
      continue
    }
    const hasMore = end < today
    return { rows, checkpoint: at(hasMore ? end + SECOND : today - overlapMs), hasMore }
  }
}

/** When a row was modified, in milliseconds since 1970, and its key; null: it cannot be placed. */
export type Place = (row: unknown) => { readonly at: number; readonly key: string } | null

export interface Placed {
  readonly row: unknown
  readonly position: string
}

/**
 * Rows from the last modified to older ones, window by window into the past, as far as `backMs` from now.
 * @param after The position of the last row received.
 * @throws SourceError
 */
export async function lastModifiedFirst(
  windows: ModifiedWindows,
  place: Place,
  query: { readonly first: number; readonly after?: string | undefined; readonly backMs: number },
  now: number = Date.now(),
): Promise<{ readonly items: readonly Placed[]; readonly hasMore: boolean }> {
  const { first, after, backMs } = query
  const last = after === undefined ? undefined : parsePosition(after)
  const oldest = floor(now - backMs)
  const found = new Map<string, { at: number; key: string; row: unknown }>()
  let end = last ? Math.min(last.at, floor(now)) : floor(now)
  let width = windows.widestMs
  while (end >= oldest && found.size <= first) {
    const begin = Math.max(end - width, oldest)
    const rows = await wholeWindow(windows, begin, end)
    if (rows === null) {
      width = floor((end - begin) / 2)
      continue
    }
    for (const row of rows) {
      const placed = place(row)
      if (placed && (!last || compare(placed, last) < 0)) found.set(placed.key, { ...placed, row })
    }
    end = begin - SECOND
    width = Math.min(Math.max(width * 2, SECOND), windows.widestMs)
  }
  const sorted = [...found.values()].sort((a, b) => compare(b, a))
  const items = sorted
    .slice(0, first)
    .map(({ at, key, row }) => ({ row, position: joinKey([new Date(at).toISOString(), key]) }))
  return { items, hasMore: sorted.length > first }
}

function parsePosition(position: string): { at: number; key: string } {
  const [time = '', key] = splitKey(position)
  const at = Date.parse(time)
  if (!Number.isNaN(at) && key !== undefined) return { at, key }
  throw new SourceError({ kind: 'rejected', code: 'POSITION', message: 'This is no place in this list.' })
}

function compare(a: { at: number; key: string }, b: { at: number; key: string }): number {
  if (a.at !== b.at) return a.at - b.at
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
