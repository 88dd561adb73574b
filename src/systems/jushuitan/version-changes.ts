/**
 * Changed orders by row version: every change gives an order the next `ts` of the merchant's database, and the vendor
 * answers what has this version or a later one. No order is overlooked however many change at once.
 */
import { z } from 'zod'
import { SourceError } from '../failure.ts'
import { type Modified, type ModifiedWindows, modifiedSince } from '../kit/modified-windows.ts'

export interface VersionChangesOptions {
  /** Until a version is known: orders by time of modification. */
  readonly windows: ModifiedWindows
  readonly overlapMs: number
  readonly pageSize: number
  /** Orders from a version on, in its order. @param page Counted from 1. @throws SourceError */
  page(version: string, page: number): Promise<{ rows: readonly unknown[]; hasNext: boolean }>
}

const checkpointSchema = z.strictObject({ version: z.string().regex(/^\d{1,19}$/) })

/** As long as nothing has changed since we look, no version is known: the checkpoint is then one of time. */
export async function versionChanges(
  checkpoint: string | null,
  { windows, overlapMs, page }: VersionChangesOptions,
): Promise<Modified> {
  const known = checkpoint === null ? undefined : versionIn(checkpoint)
  if (known === undefined) {
    const modified = await modifiedSince(windows, checkpoint, overlapMs)
    const newest = newestOf(modified.rows, 0n)
    return newest > 0n && !modified.hasMore ? { ...modified, checkpoint: at(newest) } : modified
  }
  const from = BigInt(known)
  const rows: unknown[] = []
  // The first row is the last one seen. A page on which no version is new is followed by the next, lest it be
  // asked for again and again.
  for (let index = 1; ; index++) {
    const read = await page(known, index)
    rows.push(...read.rows)
    const newest = newestOf(rows, from)
    if (newest > from || !read.hasNext) {
      return { rows, checkpoint: at(newest), hasMore: read.hasNext }
    }
    if (read.rows.length === 0) {
      throw new SourceError({ kind: 'invalid-response', detail: 'an empty page is said to have a next one' })
    }
  }
}

const at = (version: bigint): string => JSON.stringify({ version: String(version) })

function versionIn(checkpoint: string): string | undefined {
  try {
    return checkpointSchema.safeParse(JSON.parse(checkpoint)).data?.version
  } catch {
    return undefined // no JSON: `modifiedSince` says so
  }
}

function newestOf(rows: readonly unknown[], least: bigint): bigint {
  let newest = least
  for (const row of rows) {
    const ts = (row as { ts?: unknown } | null)?.ts
    if (typeof ts === 'string' && /^\d{1,19}$/.test(ts) && BigInt(ts) > newest) newest = BigInt(ts)
  }
  return newest
}
