/** What the two editions have in common for the ports; their rows are shown under the enterprise edition's names. */
import type { CallContext } from '../port.ts'

export type Row = Readonly<Record<string, unknown>>

export interface Rows {
  readonly rows: readonly Row[]
  /** How many the whole question has. */
  readonly total: number
}

/** Wall-clock texts of the vendor, `2026-06-25 10:00:00`; both belong to it. */
export interface Span {
  readonly begin: string
  readonly end: string
}

export interface Page {
  /** Counted from 0. */
  readonly page: number
  readonly size: number
}

/** What became of one order that was pushed. */
export type Pushed = { readonly taken: true } | { readonly taken: false; readonly message: string }

/** Each throws SourceError. */
export interface Edition {
  /** Orders by time of modification, by number, or by the platform's number. */
  orders(
    filter: Span | { readonly number: string } | { readonly platformNumber: string },
    page: Page,
    context: CallContext,
  ): Promise<Rows>
  warehouses(page: Page, context: CallContext): Promise<Rows>
  shops(page: Page, context: CallContext): Promise<Rows>
  stock(filter: Span | { readonly product: string }, page: Page, context: CallContext): Promise<Rows>
  readonly logisticsQueue: Queue
  readonly stockQueue: Queue
  /** @param text As the mapping wrote it. @param number The platform's number of the order in it. */
  push(text: string, number: string, context: CallContext): Promise<Pushed>
  close(): void
}

/** What the vendor wants back of an entry to take it off its queue. */
export type Ticket = Readonly<Record<string, string>>

/** Entries come again until they are acknowledged. */
export interface Queue {
  take(
    options: { readonly shop?: string | undefined; readonly limit: number },
    context: CallContext,
  ): Promise<readonly { readonly ticket: Ticket; readonly row: Row }[]>
  /** May be said twice. @returns The vendor's words about those that it did not take. */
  acknowledge(tickets: readonly Ticket[], context: CallContext): Promise<readonly string[]>
}

/**
 * A page with the count of its question. Where that is not told, a full first page says nothing of what follows: the
 * pages behind it are read until one is not full.
 * @throws SourceError
 */
export async function counted(
  pager: Page,
  read: (pager: Page) => Promise<{ readonly rows: readonly Row[]; readonly told: unknown }>,
): Promise<Rows> {
  const { rows, told } = await read(pager)
  if (typeof told === 'string' && /^\d+$/.test(told)) return { rows, total: Number(told) }
  let [page, length] = [pager.page, rows.length]
  while (pager.page === 0 && length >= pager.size) {
    page++
    length = (await read({ ...pager, page })).rows.length
  }
  return { rows, total: page * pager.size + length }
}
