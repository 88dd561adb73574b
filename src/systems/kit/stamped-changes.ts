/**
 * What has changed, where rows carry a growing stamp (a version, a time in seconds) and the vendor filters by a range
 * of stamps but sorts by nothing that could be relied on.
 *
 * Rows are not read by page number: a row that changes meanwhile would move the others. Instead the range is narrowed
 * until it fits one page; whatever changes meanwhile gets a higher stamp, beyond the range.
 */
import { z } from 'zod'
import { type Outcome, outcomeOf, SourceError } from '../failure.ts'

export interface ChangeSource<R> {
  /** The first page of a range, both ends included; `null`: without an end. @throws SourceError */
  page(
    from: bigint,
    upTo: bigint | null,
    size: number,
  ): Promise<{ rows: readonly unknown[]; rowCount: number }>
  /**
   * All pages of a range: for stamps that many rows may share. Absent: pages may be as long as is asked for.
   * @throws SourceError
   */
  all?(from: bigint, upTo: bigint): Promise<readonly unknown[]>
  keyOf(row: unknown): string
  /** @throws SourceError where the row does not say it */
  stampOf(row: unknown): bigint
  /** How many stamps to look back, for rows whose transaction ended late. */
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
      const since = await newest(source)
      // What the first look back would tell is no change: known as far as one page goes.
      const { rows } = await source.page(max(since - BigInt(source.overlap), 0n), since, source.limit)
      const seen = rows.map((row): [string, string] => [source.keyOf(row), source.stampOf(row).toString()])
      const start: Checkpoint = { since: since.toString(), seen }
      return { records: [], checkpoint: JSON.stringify(start), hasMore: false }
    }
    const { since, seen } = parse(checkpoint)
    const from = max(BigInt(since) - BigInt(source.overlap), 0n)
    const told = new Set(seen.map((pair) => pair.join('\n')))
    const { rows, upTo } = await stretch(source, from, BigInt(since))
    const stamped = rows.map((row) => ({
      row,
      code: source.keyOf(row),
      at: source.stampOf(row),
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
  const { stampOf } = source
  let upTo: bigint | null = null
  let size = source.limit
  for (let tries = 0; tries < 64; tries++) {
    const { rows, rowCount } = await source.page(from, upTo, size)
    // A gateway that overlooks the filter answers with everything: correct, but dear.
    const inside = rows.filter((row) => stampOf(row) >= from && (upTo === null || stampOf(row) <= upTo))
    if (rowCount <= rows.length) return { rows: inside, upTo }
    const stamps = rows.map(stampOf).sort((a, b) => (a < b ? -1 : 1))
    const middle = stamps[Math.floor(stamps.length / 2)] ?? from
    if (middle > since && (upTo === null || middle < upTo)) {
      upTo = middle
    } else if (source.all) {
      if (middle > since) return { rows: await source.all(from, middle), upTo: middle }
      // What is looked at again fills the page by itself: it is read apart from what is new.
      const again = await source.all(from, since)
      const beyond = await stretch(source, since + 1n, since)
      return { rows: [...again, ...beyond.rows], upTo: beyond.upTo }
    } else {
      // The stretch that is looked at again fills the page by itself: a longer page gets beyond it.
      size *= 2
      upTo = null
    }
  }
  throw new SourceError({
    kind: 'invalid-response',
    detail: 'the upper bound of the range does not narrow the answer',
  })
}

/** The highest version: found by halving, since the vendor sorts by nothing that helps. */
async function newest<R>(source: ChangeSource<R>): Promise<bigint> {
  const rowFrom = async (version: bigint): Promise<bigint | null> => {
    const { rows } = await source.page(version, null, 1)
    if (rows.length === 0) return null
    const at = source.stampOf(rows[0])
    if (at >= version) return at
    const detail = 'the lower bound of the range is overlooked: this release needs changesBy: none'
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
