/** The ports of a seller on 旺店通, of both editions. */

import { failureText, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import {
  lastModifiedFirst,
  type ModifiedWindows,
  modifiedSince,
  type Place,
} from '../kit/modified-windows.ts'
import { fieldText } from '../kit/named-fields.ts'
import { asLists, listed, wholeList } from '../kit/outcomes.ts'
import { inOrder } from '../kit/rows.ts'
import type { Adapter, CallContext, ChangePage, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import { type Delivery, type InventoryLevel, type Key, type Order, splitKey } from '../records.ts'
import { baseUrlOf } from './client.ts'
import type { WangdiantongConfig } from './config.ts'
import type { Edition, Page, Row, Rows, Span } from './edition.ts'
import { createEnterprise } from './enterprise.ts'
import { createFlagship } from './flagship.ts'
import { createMapping, whenModified } from './mapping.ts'
import { orderWrites } from './order-writes.ts'
import { queueChanges } from './queue-changes.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** Numbers and codes as a vendor's field takes them; what is none is nobody's. */
const isCode = (key: Key): boolean =>
  key.length > 0 && key.length <= 100 && key.isWellFormed() && !/[,\p{Cc}]/u.test(key)

export const createWangdiantong: CreateAdapter<WangdiantongConfig> = (config, context): Adapter => {
  const clock = createClock(config.timeZone)
  const edition: Edition =
    config.edition === 'enterprise'
      ? createEnterprise(config, context)
      : createFlagship(config, context, clock)
  const map = createMapping(config, clock)
  const skip = (failure: SourceFailure) =>
    context.log.warn({ system: context.systemId, failure: failureText(failure) }, 'a record cannot be read')
  const readable = <T>(outcomes: readonly Outcome<T | null>[]): T[] =>
    outcomes.flatMap((one) => {
      if (!one.ok) skip(one.failure)
      return one.ok && one.value !== null ? [one.value] : []
    })
  const warn = (words: readonly string[]) =>
    context.log.warn(
      { system: context.systemId, words: words.slice(0, 5) },
      'not all were taken off the queue',
    )

  const wall = (ms: number) => clock.wall(new Date(ms)).replace('T', ' ')
  const placeBy =
    (keyOf: (row: unknown) => string | null): Place =>
    (row) => {
      const key = keyOf(row)
      const modified = whenModified(row)
      const at = modified === null ? Number.NaN : Date.parse(clock.dateTime(modified) ?? '')
      return key === null || Number.isNaN(at) ? null : { at, key }
    }
  const windows = (widestMs: number, read: (span: Span, page: Page) => Promise<Rows>): ModifiedWindows => ({
    widestMs: widestMs - 1_000,
    pageSize: config.pageLimit,
    page: (begin, end, page) =>
      read({ begin: wall(begin), end: wall(end) }, { page, size: config.pageLimit }),
  })
  const orderWindows = (call: CallContext) =>
    windows(config.orderWindowMinutes * MINUTE_MS, (span, page) => edition.orders(span, page, call))

  /** All pages of a question that has few rows. @throws SourceError */
  const allRows = async (read: (page: Page) => Promise<Rows>): Promise<readonly Row[]> => {
    const rows: Row[] = []
    let total = 0
    for (let page = 0; ; page++) {
      const answer = await read({ page, size: config.pageLimit })
      rows.push(...answer.rows)
      if (page === 0) total = answer.total
      if (answer.rows.length === 0 || rows.length >= total) return rows
    }
  }

  /** One call for each key that can be one: the vendor has no call for many. */
  const each = async <T>(
    keys: readonly Key[],
    read: (key: Key) => Promise<T>,
  ): Promise<ReadonlyMap<Key, Outcome<T>>> => {
    const wanted = [...new Set(keys)].filter(isCode)
    const outcomes = await inOrder(wanted, config.parallelCalls, read)
    return new Map(wanted.map((key, at) => [key, outcomes[at] as Outcome<T>]))
  }

  /* ---- orders, and what is sent of them ---- */

  const rowsOfNumber = async (platformNumber: string, call: CallContext): Promise<readonly Row[]> => {
    const rows = await allRows((page) => edition.orders({ platformNumber }, page, call))
    // The vendor also finds numbers that only begin so.
    return rows.filter((row) => (fieldText(row, 'src_tids') ?? '').split(',').includes(platformNumber))
  }

  const rowOfOrder = async (number: Key, call: CallContext): Promise<Row | null> => {
    if (!isCode(number)) return null
    const { rows } = await edition.orders({ number }, { page: 0, size: 2 }, call)
    return rows.find((row) => row.trade_no === number) ?? null
  }

  const ordersByNumber = async <T>(
    keys: readonly Key[],
    call: CallContext,
    read: (row: Row) => Outcome<T | null>,
  ): Promise<Outcome<T | null>[]> => {
    const found = await each(keys, (number) => rowOfOrder(number, call))
    return keys.map((key) => {
      const row = found.get(key) ?? ok(null)
      if (!row.ok) return row
      return row.value === null ? ok(null) : read(row.value)
    })
  }

  const byTime = <T extends 'order' | 'delivery'>(
    read: (row: unknown) => Outcome<(T extends 'order' ? Order : Delivery) | null>,
  ) => {
    return (checkpoint: string | null, call: CallContext): Promise<Outcome<ChangePage<T>>> =>
      outcomeOf(async () => {
        const { rows, ...rest } = await modifiedSince(
          orderWindows(call),
          checkpoint,
          config.overlapSeconds * 1000,
        )
        return { records: readable(rows.map(read)), ...rest } as unknown as ChangePage<T>
      })
  }

  const orders: RecordPort<'order'> = {
    batchLimit: config.batchLimit,
    readMany: (keys, call) => ordersByNumber(keys, call, map.order),
    lookups: {
      // The number that people use is the key.
      byNumber: {
        batchLimit: config.batchLimit,
        read: async (keys, call) => asLists(await ordersByNumber(keys, call, map.order)),
      },
    },
    list: ({ first, after, filter }, call) =>
      outcomeOf(async () => {
        if (filter?.customer !== undefined) throw unsupported('Orders of one buyer cannot be asked for.')
        const { search } = filter ?? {}
        if (search !== undefined) {
          if (!isCode(search)) return { items: [], hasMore: false }
          const found = new Map<string, Order>()
          for (const order of readable((await rowsOfNumber(search, call)).map(map.order))) {
            found.set(order.key, order)
          }
          for (const order of readable(await ordersByNumber([search], call, map.order))) {
            found.set(order.key, order)
          }
          const sorted = [...found.values()].sort((a, b) => (a.key < b.key ? 1 : -1))
          const rest = sorted.filter(({ key }) => after === undefined || key < after)
          const items = rest.slice(0, first).map((record) => ({ record, position: record.key }))
          return { items, hasMore: rest.length > first }
        }
        const place = placeBy((row) => fieldText(row, 'trade_no'))
        const query = { first, after, backMs: config.listHours * 60 * MINUTE_MS }
        return listed(await lastModifiedFirst(orderWindows(call), place, query), map.order, skip)
      }),
    changes: byTime<'order'>(map.order),
    ...orderWrites({ edition, config, map, rowsOf: rowsOfNumber, rowOf: rowOfOrder }),
  }

  const { deliveries: deliveryQueue, stock: stockQueue } = config.queues
  const deliveriesOfNumber: Lookup<'delivery'> = {
    batchLimit: config.batchLimit,
    async read(keys, call) {
      const found = await each(keys, (number) => rowsOfNumber(number, call))
      return keys.map((key) => {
        const rows = found.get(key) ?? ok([])
        return rows.ok ? wholeList(rows.value.map(map.delivery)) : rows
      })
    },
  }
  const deliveries: RecordPort<'delivery'> = {
    batchLimit: config.batchLimit,
    readMany: (keys, call) => ordersByNumber(keys, call, map.delivery),
    lookups: {
      byOrder: {
        batchLimit: config.batchLimit,
        read: async (keys, call) => asLists(await ordersByNumber(keys, call, map.delivery)),
      },
      // Else a number of ours would be looked for among those of the platform.
      ...(config.numbersOfOtherSystem ? { byOrderNumber: deliveriesOfNumber } : {}),
    },
    changes: deliveryQueue
      ? (checkpoint, call) =>
          outcomeOf(() =>
            queueChanges(
              checkpoint,
              {
                queue: edition.logisticsQueue,
                shop: deliveryQueue.shop,
                limit: config.queueLimit,
                warn,
                async read(rows) {
                  const numbers = [...new Set(rows.map((row) => fieldText(row, 'tid') ?? ''))].filter(isCode)
                  const found = await each(numbers, (number) => rowsOfNumber(number, call))
                  return readable(unique(failing([...found.values()])).map(map.delivery))
                },
              },
              call,
            ),
          )
      : byTime<'delivery'>(map.delivery),
  }

  /* ---- stock ---- */

  const stockPort = (stock: Edition['stock']): RecordPort<'inventoryLevel'> => {
    const source = (call: CallContext) =>
      windows(config.stockWindowDays * DAY_MS, (span, page) => stock(span, page, call))
    const levelsOf = (products: readonly Key[], call: CallContext) =>
      each(products, async (product) => {
        const rows = await allRows((page) => stock({ product }, page, call))
        return rows.filter((row) => row.spec_no === product).map(map.inventoryLevel)
      })
    return {
      batchLimit: config.batchLimit,
      async readMany(keys, call) {
        const parts = keys.map((key) => splitKey(key))
        const found = await levelsOf(
          parts.map(([product = '']) => product),
          call,
        )
        return keys.map((key, at): Outcome<InventoryLevel | null> => {
          const levels = found.get(parts[at]?.[0] ?? '') ?? ok([])
          if (!levels.ok) return levels
          const level = levels.value.find((one) => one.ok && one.value.key === key)
          // A row that cannot be read may be the one that seems to be missing.
          return level ?? levels.value.find((one) => !one.ok) ?? ok(null)
        })
      },
      lookups: {
        byProduct: {
          batchLimit: config.batchLimit,
          async read(keys, call) {
            const found = await levelsOf(keys, call)
            return keys.map((key) => {
              const levels = found.get(key) ?? ok([])
              return levels.ok ? wholeList(levels.value) : levels
            })
          },
        },
      },
      list: ({ first, after, filter }, call) =>
        outcomeOf(async () => {
          if (filter?.customer !== undefined || filter?.search !== undefined) {
            throw unsupported('Stock cannot be searched: ask for a product.')
          }
          const place = placeBy((row) => {
            const level = map.inventoryLevel(row)
            return level.ok ? level.value.key : null
          })
          const query = { first, after, backMs: config.stockListDays * DAY_MS }
          return listed(await lastModifiedFirst(source(call), place, query), map.inventoryLevel, skip)
        }),
      changes: stockQueue
        ? (
            (queue) => (checkpoint, call) =>
              outcomeOf(() =>
                queueChanges(
                  checkpoint,
                  {
                    queue,
                    shop: stockQueue.shop,
                    limit: config.queueLimit,
                    warn,
                    async read(rows) {
                      const codes = rows.map((row) => fieldText(row, 'spec_no') ?? '')
                      const found = await levelsOf(codes.filter(isCode), call)
                      return readable(failing([...found.values()]).flat())
                    },
                  },
                  call,
                ),
              )
          )(edition.stockQueue)
        : (checkpoint, call) =>
            outcomeOf(async () => {
              const overlap = config.overlapSeconds * 1000
              const { rows, ...rest } = await modifiedSince(source(call), checkpoint, overlap)
              return { records: readable(rows.map(map.inventoryLevel)), ...rest }
            }),
    }
  }

  const warehouseRows = (call: CallContext) => allRows((page) => edition.warehouses(page, call))
  const warehouses: RecordPort<'warehouse'> = {
    batchLimit: 1_000,
    async readMany(keys, call) {
      if (keys.length === 0) return []
      const rows = await outcomeOf(() => warehouseRows(call))
      if (!rows.ok) return keys.map(() => rows)
      return keys.map((key) => {
        const row = rows.value.find(({ warehouse_no: number }) => number === key)
        return row ? map.warehouse(row) : ok(null)
      })
    },
    list: ({ first, after, filter }, call) =>
      outcomeOf(async () => {
        if (filter?.customer !== undefined || filter?.search !== undefined) {
          throw unsupported('Warehouses cannot be searched.')
        }
        const known = readable((await warehouseRows(call)).map(map.warehouse))
        const rest = known
          .sort((a, b) => (a.key < b.key ? -1 : 1))
          .filter(({ key }) => after === undefined || key > after)
        const items = rest.slice(0, first).map((record) => ({ record, position: record.key }))
        return { items, hasMore: rest.length > first }
      }),
  }

  return {
    kind: 'wangdiantong',
    ports: {
      order: orders,
      delivery: deliveries,
      warehouse: warehouses,
      inventoryLevel: stockPort(edition.stock),
    },
    health: (call) =>
      outcomeOf(async () => {
        await edition.warehouses({ page: 0, size: 1 }, call)
        const host = new URL(baseUrlOf(config)).host
        return { detail: `Wangdiantong (${config.edition}), seller ${config.sid}, at ${host}` }
      }),
    checkConfiguration: (call) =>
      outcomeOf(async () => {
        // The credentials, and the main interface of those that were granted.
        const now = Date.now()
        await orderWindows(call).page(now - MINUTE_MS, now, 0)
        const { deliveries, stock } = config.queues
        const named = [config.orderDefaults?.shop, deliveries?.shop, stock?.shop]
        const wanted = [...new Set(named.filter((shop) => shop !== undefined))]
        if (wanted.length === 0) return []
        const rows = await outcomeOf(() => allRows((page) => edition.shops(page, call)))
        if (!rows.ok) {
          if (rows.failure.kind !== 'rejected' && rows.failure.kind !== 'unauthorized')
            throw new SourceError(rows.failure)
          context.log.warn({ system: context.systemId }, 'this interface account may not see the shops')
          return []
        }
        const known = new Set(rows.value.map((row) => fieldText(row, 'shop_no')))
        return wanted.filter((shop) => !known.has(shop)).map((shop) => `There is no shop ${shop}.`)
      }),
    async close() {
      edition.close()
    },
  }
}

const unsupported = (message: string): SourceError => new SourceError({ kind: 'unsupported', message })

/** @throws SourceError the first failure: what was not read must not be acknowledged. */
function failing<T>(outcomes: readonly Outcome<T>[]): T[] {
  return outcomes.map((one) => {
    if (!one.ok) throw new SourceError(one.failure)
    return one.value
  })
}

/** An order that was merged from several of the platform is found under each of their numbers. */
function unique(lists: readonly (readonly Row[])[]): Row[] {
  return [...new Map(lists.flat().map((row) => [row.trade_no, row])).values()]
}
