/**
 * Reading sales orders. `saleorder/get` has the lines, `saleorderlist/batch_get` the heads with their totals; which
 * of the totals `get` has as well differs between releases, so the two are put together.
 */

import { type failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { fieldText } from '../kit/named-fields.ts'
import { inOrder } from '../kit/rows.ts'
import { readChanges } from '../kit/stamped-changes.ts'
import type { CallContext, ChangePage, ListPage, ListQuery } from '../port.ts'
import { joinKey, type Key, type Order, splitKey } from '../records.ts'
import type { U8Client } from './client.ts'
import type { YonyouU8Config } from './config.ts'
import { versionOf, versionRange } from './mapping.ts'

export interface OrdersOptions {
  readonly client: U8Client
  readonly config: YonyouU8Config
  readonly clock: Clock
  readonly read: (row: unknown) => Outcome<Order>
  readonly skip: (failure: Parameters<typeof failureText>[0]) => void
}

export interface Orders {
  readMany(keys: readonly Key[], context: CallContext): Promise<Outcome<Order | null>[]>
  readOne(key: Key, context: CallContext): Promise<Outcome<Order | null>>
  /** Newest first. */
  byCustomers(keys: readonly Key[], context: CallContext): Promise<Outcome<readonly Order[]>[]>
  /** @throws SourceError */
  list(query: ListQuery, context: CallContext): Promise<ListPage<'order'>>
  changes(checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<'order'>>>
  /** The order that carries a reference of ours. */
  byReference(reference: string, customer: Key | null, context: CallContext): Promise<Outcome<Order | null>>
}

export const LIST = '/api/saleorderlist/batch_get'
export const HEADS = 'saleorderlist'
const FIRST_DAY = '1990-01-01'
const FIRST_WIDTH_DAYS = 30
const WIDEST_DAYS = 3_650
/** More orders than this with one reference are not ours to sort out. */
const MAX_REFERENCED = 20
/** Order numbers of U8 have 30 characters. */
const isNumber = (key: Key): boolean =>
  key.length > 0 && key.length <= 60 && key.isWellFormed() && !/\p{Cc}/u.test(key)

type Row = Readonly<Record<string, unknown>>

/** What the list of orders does not say of them, or not in every release. */
export const DETAIL = 'detail'
export const DETAIL_FIELDS = [
  'lines',
  'shipTo',
  'documentType',
  'createdBy',
  'statusSince',
  'dueDate',
  'comments',
  'exchangeRate',
  'companyTotals',
  'customerReference',
  'externalReference',
  'customFields',
  'createdAt',
  'updatedAt',
] as const satisfies readonly (keyof Order)[]

export function createOrders({ client, config, clock, read, skip }: OrdersOptions): Orders {
  /** Head and lines of one order; null where there is none. @throws SourceError */
  const whole = async (code: string, head: Row | undefined, context: CallContext): Promise<Row | null> => {
    const order = (await client.get('/api/saleorder/get', code, 'saleorder', context)) as Row | null
    if (order === null || (fieldText(order, 'code') ?? code) !== code) return null
    const known = head ?? (fieldText(order, 'sum') === null ? await headOf(code, context) : undefined)
    // What `get` leaves empty must not hide what the list says.
    const told = Object.entries(order).filter(([, value]) => value !== null && value !== '')
    return { ...known, code, ...Object.fromEntries(told) }
  }

  const headOf = async (code: string, context: CallContext): Promise<Row | undefined> => {
    const filter = { code_begin: code, code_end: code }
    const { rows } = await client.page(LIST, HEADS, { filter, page: 1, size: 20 }, context)
    return rows.find((row) => fieldText(row, 'code') === code) as Row | undefined
  }

  const says = (head: Row, own: string): boolean =>
    fieldText(head, (config.orderFields as Readonly<Record<string, string>>)[own] ?? own) !== null
  /** Whether a row of the list says what status, totals and their currency are made of. */
  const isTelling = (head: Row): boolean =>
    ['state', 'fhstatus', 'sum', 'timestamp'].every((name) => says(head, name)) &&
    (says(head, 'currency') || says(head, 'natsum'))

  /** One call each, unless the head says all that is wanted. @returns Outcomes in the order of the heads. */
  const details = (heads: readonly Row[], context: CallContext) =>
    inOrder(heads, config.parallelCalls, async (head) =>
      context.without?.has(DETAIL) && isTelling(head)
        ? { ...head, entry: [] }
        : whole(fieldText(head, 'code') ?? '', head, context),
    ).then((rows) =>
      rows.map((row): Outcome<Order | null> => {
        if (!row.ok) return row
        return row.value === null ? ok(null) : read(row.value)
      }),
    )

  const readMany: Orders['readMany'] = async (keys, context) => {
    const wanted = [...new Set(keys)].filter(isNumber)
    const rows = await inOrder(wanted, config.parallelCalls, (code) => whole(code, undefined, context))
    const found = new Map(wanted.map((code, at) => [code, rows[at] ?? ok(null)]))
    return keys.map((key) => {
      const row = found.get(key) ?? ok(null)
      if (!row.ok) return row
      return row.value === null ? ok(null) : read(row.value)
    })
  }

  const readOne: Orders['readOne'] = async (key, context) => {
    const [one] = await readMany([key], context)
    return one ?? ok(null)
  }

  const heads = async (filter: Record<string, string | undefined>, context: CallContext): Promise<Row[]> => {
    const rows = await client.all(LIST, HEADS, filter, context)
    return distinct(rows.map((row) => row as Row)).sort(newestFirst)
  }

  return {
    readMany,
    readOne,

    async byCustomers(keys, context) {
      const wanted = [...new Set(keys)].filter(isNumber)
      const lists = await inOrder(wanted, config.parallelCalls, async (custcode) => {
        const own = (await heads({ custcode }, context)).filter((head) => isOf(head, custcode))
        const orders = await details(own, context)
        return orders.flatMap((order) => {
          // Half of a customer's orders would look like all of them.
          if (!order.ok) throw new SourceError(order.failure)
          return order.value === null ? [] : [order.value]
        })
      })
      const found = new Map(wanted.map((key, at) => [key, lists[at] ?? ok([])]))
      return keys.map((key) => found.get(key) ?? ok([]))
    },

    /**
     * Newest first. The vendor sorts by nothing that could be relied on, but filters by date: the list is read
     * window by window into the past, each as wide as fits a page, and sorted here. A position is a date and a number.
     */
    async list({ first, after, filter }, context) {
      const [lastDate, lastCode = ''] = after === undefined ? [] : splitKey(after)
      if (lastDate !== undefined && !/^\d{4}-\d\d-\d\d$/.test(lastDate)) {
        throw new SourceError({
          kind: 'rejected',
          code: 'POSITION',
          message: 'This is no place in this list.',
        })
      }
      const fixed = { custcode: filter?.customer, cusname: filter?.search }
      const size = config.pageLimit
      const isBefore = (head: Row) =>
        lastDate === undefined || compare(placeOf(head), [lastDate, lastCode]) < 0
      const isAsked = (head: Row) => isBefore(head) && (!fixed.custcode || isOf(head, fixed.custcode))
      const page = (begin: string | undefined, end: string | undefined) => {
        const dates = { date_begin: begin, date_end: end }
        return client.page(LIST, HEADS, { filter: { ...fixed, ...dates }, page: 1, size }, context)
      }

      let collected: Row[] = []
      const rest = await page(undefined, lastDate)
      if (rest.rowCount <= rest.rows.length) {
        collected = rest.rows.map((row) => row as Row).filter(isAsked)
      } else {
        let end = lastDate
        let width = FIRST_WIDTH_DAYS
        for (let left = rest.rowCount; collected.length <= first && left > 0; ) {
          const begin = daysBefore(end ?? clock.today(), width)
          const window = await page(begin, end)
          const fits = window.rowCount <= window.rows.length
          if (!fits && width > 0) {
            width = Math.floor(width / 2)
            continue
          }
          // A single day that does not fit a page is read to its end.
          const rows = fits
            ? window.rows
            : await client.all(LIST, HEADS, { ...fixed, date_begin: begin, date_end: end }, context)
          collected.push(...rows.map((row) => row as Row).filter(isAsked))
          left -= rows.length
          if (begin <= FIRST_DAY) break
          end = daysBefore(begin, 1)
          width = Math.min(Math.max(width * 2, 1), WIDEST_DAYS)
        }
      }
      const sorted = distinct(collected).sort(newestFirst)
      const chosen = sorted.slice(0, first)
      const orders = await details(chosen, context)
      const items = orders.flatMap((order, at) => {
        if (!order.ok) {
          const { kind } = order.failure
          if (kind === 'unavailable' || kind === 'unauthorized') throw new SourceError(order.failure)
          skip(order.failure)
          return []
        }
        const head = chosen[at]
        return order.value === null || !head
          ? []
          : [{ record: order.value, position: joinKey(placeOf(head)) }]
      })
      return { items, hasMore: sorted.length > first }
    },

    changes: (checkpoint, context) =>
      readChanges(checkpoint, {
        page: (from, upTo, size) =>
          client.page(LIST, HEADS, { filter: versionRange(from, upTo), page: 1, size }, context),
        keyOf: (row) => fieldText(row, 'code') ?? '',
        stampOf: versionOf,
        overlap: config.overlapVersions,
        limit: config.pageLimit,
        read: async (rows) => {
          const orders = await details(
            rows.map((row) => row as Row),
            context,
          )
          return orders.flatMap((order) => {
            if (order.ok) return order.value === null ? [] : [order.value]
            if (order.failure.kind !== 'invalid-response') throw new SourceError(order.failure)
            skip(order.failure)
            return []
          })
        },
      }),

    byReference: (reference, customer, context) =>
      outcomeOf(async () => {
        const field = config.externalReferenceField
        const filter = { [field]: reference, custcode: customer ?? undefined }
        const { rows } = await client.page(LIST, HEADS, { filter, page: 1, size: MAX_REFERENCED }, context)
        // A gateway that overlooks the filter, or a release whose list leaves the field out: compare.
        const candidates = rows
          .map((row) => row as Row)
          .filter((head) => (fieldText(head, field) ?? reference) === reference)
        for (const head of candidates) {
          const row = await whole(fieldText(head, 'code') ?? '', head, context)
          if (row === null || fieldText(row, field) !== reference) continue
          const order = read(row)
          if (!order.ok) throw new SourceError(order.failure)
          return order.value
        }
        return null
      }),
  }
}

const isOf = (head: Row, customer: Key): boolean => (fieldText(head, 'custcode') ?? customer) === customer

/** Date and number: what the list is sorted by. */
const placeOf = (head: Row): [string, string] => [
  (fieldText(head, 'date') ?? FIRST_DAY).slice(0, 10),
  fieldText(head, 'code') ?? '',
]

function compare(a: readonly string[], b: readonly string[]): number {
  for (const [at, part] of a.entries()) {
    const other = b[at] ?? ''
    if (part !== other) return part < other ? -1 : 1
  }
  return 0
}

const newestFirst = (a: Row, b: Row): number => compare(placeOf(b), placeOf(a))

/** A row that moved to a later page while pages were read comes twice. */
function distinct(heads: readonly Row[]): Row[] {
  const byCode = new Map<string, Row>()
  for (const head of heads) {
    const code = fieldText(head, 'code')
    if (code !== null) byCode.set(code, head)
  }
  return [...byCode.values()]
}

function daysBefore(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) - days * 86_400_000).toISOString().slice(0, 10)
}
