/** Reading from vendors that answer one key at a time, or in pages that shift while rows are added. */
import { fail, type Outcome, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { fieldText } from './named-fields.ts'

/** @param page Counted from 1. @throws SourceError */
export type ReadPage = (page: number, size: number) => Promise<{ rows: readonly unknown[]; rowCount: number }>

/**
 * Does the same for each item, a few at a time. A system that cannot be reached, or that refuses our credentials,
 * is not asked for the rest.
 * @param work May throw SourceError.
 * @returns One outcome per item, same order.
 */
export async function inOrder<I, T>(
  items: readonly I[],
  parallel: number,
  work: (item: I) => Promise<T>,
): Promise<Outcome<T>[]> {
  const outcomes: Outcome<T>[] = []
  let stopped: SourceFailure | undefined
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const at = next++
      const outcome = stopped ? fail(stopped) : await outcomeOf(() => work(items[at] as I))
      outcomes[at] = outcome
      if (
        !outcome.ok &&
        (outcome.failure.kind === 'unavailable' || outcome.failure.kind === 'unauthorized')
      ) {
        stopped ??= outcome.failure
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, lane))
  return outcomes
}

/**
 * Rows in the vendor's order, from a position on. The vendor only knows page numbers, and rows move to later pages
 * while others are added: a position is therefore the index and the code of a row, and the code is looked for around
 * the index. A row that has gone lets some repeat, but none be left out.
 */
export async function* walk(
  read: ReadPage,
  size: number,
  codeField: string,
  after: string | undefined,
): AsyncGenerator<{ row: unknown; position: string }> {
  const pageAt = readOnce(read, size)
  let page = 1
  let offset = 0
  if (after !== undefined) {
    const { index, code } = placeOf(after)
    page = Math.floor(index / size) + 1
    offset = index % size
    for (const candidate of [page, page + 1, page + 2, page - 1]) {
      if (candidate < 1) continue
      const at = (await pageAt(candidate)).rows.findIndex((row) => fieldText(row, codeField) === code)
      if (at < 0) continue
      page = candidate
      offset = at + 1
      break
    }
  }
  for (let before: string | undefined; ; page++, offset = 0) {
    const { rows, rowCount } = await pageAt(page)
    // A vendor that overlooks the page number would be asked for ever.
    const fingerprint = rows.map((row) => fieldText(row, codeField)).join('\n')
    if (rows.length > 0 && fingerprint === before) {
      throw new SourceError({ kind: 'invalid-response', detail: 'the next page is the same again' })
    }
    before = fingerprint
    for (let at = offset; at < rows.length; at++) {
      const row = rows[at]
      yield { row, position: `${(page - 1) * size + at}:${fieldText(row, codeField) ?? ''}` }
    }
    if (rows.length === 0 || page * size >= rowCount) return
  }
}

/**
 * The same from the last row to the first, for vendors that append and cannot sort: rows that are added meanwhile are
 * behind, and rows before them keep their index. Rows that have gone let those behind them move up: the code is looked
 * for before the index.
 * @param read Must tell how many rows there are.
 */
export async function* walkBack(
  read: ReadPage,
  size: number,
  codeField: string,
  after: string | undefined,
): AsyncGenerator<{ row: unknown; position: string }> {
  const pageAt = readOnce(read, size)
  let page: number
  let offset = size - 1
  if (after === undefined) page = Math.max(1, Math.ceil((await pageAt(1)).rowCount / size))
  else {
    const { index, code } = placeOf(after)
    page = Math.floor(index / size) + 1
    // Not found: from the row that stands there now, so that some may repeat.
    offset = index % size
    for (const candidate of [page, page - 1, page - 2]) {
      if (candidate < 1) continue
      const at = (await pageAt(candidate)).rows.findIndex((row) => fieldText(row, codeField) === code)
      if (at < 0) continue
      page = candidate
      offset = at - 1
      break
    }
  }
  for (; page >= 1; page--, offset = size - 1) {
    const { rows } = await pageAt(page)
    for (let at = Math.min(offset, rows.length - 1); at >= 0; at--) {
      const row = rows[at]
      yield { row, position: `${(page - 1) * size + at}:${fieldText(row, codeField) ?? ''}` }
    }
  }
}

function readOnce(read: ReadPage, size: number) {
  const pages = new Map<number, ReturnType<ReadPage>>()
  return (page: number): ReturnType<ReadPage> => {
    const known = pages.get(page)
    if (known) return known
    const fresh = read(page, size)
    pages.set(page, fresh)
    return fresh
  }
}

/** @throws SourceError */
function placeOf(position: string): { readonly index: number; readonly code: string } {
  const [, index, code] = /^(\d{1,9}):(.*)$/s.exec(position) ?? []
  if (index === undefined || code === undefined) {
    const message = 'This is no place in this list.'
    throw new SourceError({ kind: 'rejected', code: 'POSITION', message })
  }
  return { index: Number(index), code }
}
