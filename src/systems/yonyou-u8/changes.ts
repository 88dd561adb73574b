/**
 * What has changed, by the rows' versions: SQL Server gives each changed row the next number of its database
 * (`timestamp`), and the gateway filters by a range of them.
 *
 * Rows are never read by page number: a row that changes meanwhile would move the others. Instead the range is
 * narrowed until it fits one page; whatever changes meanwhile gets a higher number, beyond the range.
 */
import Big from 'big.js'
import { z } from 'zod'
import { type Outcome, outcomeOf, SourceError } from '../failure.ts'
import type { Parameters } from './client.ts'
import { fieldText } from './mapping.ts'

export interface ChangeSource<R> {
  /** The first page of a range. @throws SourceError */
  page(filter: Parameters, size: number): Promise<{ rows: readonly unknown[]; rowCount: number }>
  readonly codeField: string
  /** How many versions to look back, for rows whose transaction ended late. */
  readonly overlap: number
  readonly limit: number
  /** The records of rows; what cannot be read is left out. @throws SourceError */
  read(rows: readonly unknown[]): Promise<R[]>
}

/** `seen`: what was told already, of the stretch that is looked at again. */
const checkpointSchema = z.strictObject({
  since: z.string().regex(/^\d+$/),
  seen: z.array(z.tuple([z.string(), z.string()])),
})
type Checkpoint = z.infer<typeof checkpointSchema>

export function readChanges<R>(
  checkpoint: string | null,
  source: ChangeSource<R>,
): Promise<Outcome<{ records: R[]; checkpoint: string; hasMore: boolean }>> {
  return outcomeOf(async () => {
    if (checkpoint === null) {
      const start: Checkpoint = { since: (await newest(source)).toString(), seen: [] }
      return { records: [], checkpoint: JSON.stringify(start), hasMore: false }
    }
    const { since, seen } = parse(checkpoint)
    const from = max(BigInt(since) - BigInt(source.overlap), 0n)
    const told = new Set(seen.map((pair) => pair.join('\n')))
    const { rows, upTo } = await stretch(source, from, BigInt(since))
    const stamped = rows.map((row) => ({
      row,
      code: fieldText(row, source.codeField) ?? '',
      at: stampOf(row),
    }))
    stamped.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    const fresh = stamped.filter(({ code, at }) => !told.has([code, at.toString()].join('\n')))
    const last = max(stamped.at(-1)?.at ?? 0n, BigInt(since), upTo ?? 0n)
    const again = last - BigInt(source.overlap)
    const kept = stamped
      .filter(({ at }) => at >= again)
      .map(({ code, at }) => [code, at.toString()] as [string, string])
    const next: Checkpoint = { since: last.toString(), seen: kept }
    return {
      records: await source.read(fresh.map(({ row }) => row)),
      checkpoint: JSON.stringify(next),
      hasMore: upTo !== null,
    }
  })
}

/**
 * All rows from a version on, as far as they fit a page.
 * @param since What is below was read before: the end of the range is beyond it, so that reading gets on.
 * @returns `upTo`: the end of the range, where more is behind it.
 */
async function stretch<R>(
  source: ChangeSource<R>,
  from: bigint,
  since: bigint,
): Promise<{ rows: readonly unknown[]; upTo: bigint | null }> {
  let upTo: bigint | null = null
  let size = source.limit
  for (let tries = 0; tries < 64; tries++) {
    const filter = { timestamp_begin: from.toString(), timestamp_end: upTo?.toString() }
    const { rows, rowCount } = await source.page(filter, size)
    // A gateway that overlooks the filter answers with everything: correct, but dear.
    const inside = rows.filter((row) => stampOf(row) >= from && (upTo === null || stampOf(row) <= upTo))
    if (rowCount <= rows.length) return { rows: inside, upTo }
    const stamps = rows.map(stampOf).sort((a, b) => (a < b ? -1 : 1))
    const middle = stamps[Math.floor(stamps.length / 2)] ?? from
    if (middle > since && (upTo === null || middle < upTo)) {
      upTo = middle
    } else {
      // The stretch that is looked at again fills the page by itself: a longer page gets beyond it.
      size *= 2
      upTo = null
    }
  }
  throw new SourceError({ kind: 'invalid-response', detail: 'timestamp_end does not narrow the answer' })
}

/** The highest version: found by halving, since the vendor sorts by nothing that helps. */
async function newest<R>(source: ChangeSource<R>): Promise<bigint> {
  const rowFrom = async (version: bigint): Promise<bigint | null> => {
    const { rows } = await source.page({ timestamp_begin: version.toString() }, 1)
    if (rows.length === 0) return null
    const at = stampOf(rows[0])
    if (at >= version) return at
    const detail = 'timestamp_begin is overlooked: this release needs changesBy: none'
    throw new SourceError({ kind: 'invalid-response', detail })
  }
  let low = await rowFrom(0n)
  if (low === null) return 0n
  let step = 1024n
  for (let at = await rowFrom(low + step); at !== null; at = await rowFrom(low + step)) {
    low = at
    step *= 2n
  }
  // Something has version `low`, nothing has `low + step` or more.
  let high = low + step
  while (high - low > 1n) {
    const middle: bigint = low + (high - low) / 2n
    const at = await rowFrom(middle)
    if (at === null) high = middle
    else low = at
  }
  return low
}

function stampOf(row: unknown): bigint {
  const text = fieldText(row, 'timestamp')
  // A version beyond 2^53 may have been written with an exponent.
  if (text !== null && /^\d+(\.\d+)?$/.test(text))
    return BigInt(new Big(text).round(0, Big.roundDown).toFixed(0))
  const detail = 'a row without timestamp: this release needs changesBy: none'
  throw new SourceError({ kind: 'invalid-response', detail })
}

function parse(text: string): Checkpoint {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  const checkpoint = checkpointSchema.safeParse(json)
  if (checkpoint.success) return checkpoint.data
  throw new SourceError({ kind: 'unsupported', message: 'The checkpoint is not one that this kind gave.' })
}

const max = (...values: bigint[]): bigint => values.reduce((a, b) => (a > b ? a : b))
