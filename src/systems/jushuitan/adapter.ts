/** The ports of a merchant on 聚水潭. */

import {
  fail,
  failureText,
  type Outcome,
  ok,
  outcomeOf,
  SourceError,
  type SourceFailure,
} from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import {
  lastModifiedFirst,
  type ModifiedWindows,
  modifiedSince,
  type Place,
} from '../kit/modified-windows.ts'
import { listIn } from '../kit/named-fields.ts'
import { asLists, listed, wholeList } from '../kit/outcomes.ts'
import type { Adapter, CallContext, ChangePage, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import {
  type Delivery,
  type InventoryLevel,
  joinKey,
  type Key,
  type Order,
  type Product,
  splitKey,
} from '../records.ts'
import { createJushuitanClient, type Data } from './client.ts'
import type { JushuitanConfig } from './config.ts'
import { createMapping, whenModified } from './mapping.ts'
import { orderWrites } from './order-writes.ts'
import { versionChanges } from './version-changes.ts'

const ORDERS = '/open/orders/single/query'
const STOCK = '/open/inventory/query'
const GOODS = '/open/sku/query'
const DAY_MS = 86_400_000

/** Internal numbers (o_id) are integers; what is none is nobody's. */
const isOrderId = (key: Key): boolean => /^[1-9]\d{0,17}$/.test(key)
/** Codes go into one text, separated by commas. */
const isSku = (key: Key): boolean =>
  key.length > 0 && key.length <= 100 && key.isWellFormed() && !/[,\p{Cc}]/u.test(key)

export const createJushuitan: CreateAdapter<JushuitanConfig> = (config, context): Adapter => {
  const client = createJushuitanClient(config, context)
  const clock = createClock(config.timeZone)
  const map = createMapping(config, clock)
  const skip = (failure: SourceFailure) =>
    context.log.warn({ system: context.systemId, failure: failureText(failure) }, 'a record cannot be read')
  const readable = <T>(outcomes: readonly Outcome<T | null>[]): T[] =>
    outcomes.flatMap((one) => {
      if (!one.ok) skip(one.failure)
      return one.ok && one.value !== null ? [one.value] : []
    })

  /** Times are the vendor's wall clock: `2026-06-25 10:00:00`. */
  const wall = (ms: number) => clock.wall(new Date(ms)).replace('T', ' ')
  const placeBy =
    (keyField: string): Place =>
    (row) => {
      const key = textOf(row, keyField)
      const modified = whenModified(row)
      const at = modified === null ? Number.NaN : Date.parse(clock.dateTime(modified) ?? '')
      return key === null || Number.isNaN(at) ? null : { at, key }
    }

  const windows = (
    path: string,
    list: string,
    pageSize: number,
    filter: Readonly<Record<string, unknown>>,
    call: CallContext,
  ): ModifiedWindows => ({
    widestMs: config.windowDays * DAY_MS - 1_000,
    pageSize,
    async page(begin, end, page) {
      const span = { modified_begin: wall(begin), modified_end: wall(end) }
      const data = await client.query(
        path,
        { ...filter, ...span, page_index: page + 1, page_size: pageSize },
        call,
      )
      return { rows: rowsOf(data, list, path), total: countOf(data, path) }
    },
  })

  /* ---- orders, and what is sent of them ---- */

  /** Rows by internal number (o_ids) or by the platform's number (so_ids). @throws SourceError */
  const orderRows = async (
    by: 'o_ids' | 'so_ids',
    keys: readonly string[],
    call: CallContext,
    filter: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly unknown[]> => {
    const rows: unknown[] = []
    // One number of a platform may stand for several orders: it was split, or two shops use it.
    for (let page = 1; ; page++) {
      const query = { ...filter, [by]: keys, page_index: page, page_size: config.pageLimit }
      const data = await client.query(ORDERS, query, call)
      rows.push(...rowsOf(data, 'orders', ORDERS))
      if (!hasNext(data)) return rows
    }
  }

  const ordersById = async <T>(
    keys: readonly Key[],
    call: CallContext,
    read: (row: unknown) => Outcome<T | null>,
  ): Promise<Outcome<T | null>[]> => {
    const wanted = [...new Set(keys)].filter(isOrderId)
    const answer = await outcomeOf(async () => (wanted.length === 0 ? [] : orderRows('o_ids', wanted, call)))
    if (!answer.ok) return keys.map((key) => (isOrderId(key) ? answer : ok(null)))
    const rows = new Map(answer.value.map((row) => [textOf(row, 'o_id'), row]))
    return keys.map((key) => {
      const row = rows.get(key)
      return row === undefined ? ok(null) : read(row)
    })
  }

  const orderChanges = <T extends 'order' | 'delivery'>(
    read: (row: unknown) => Outcome<(T extends 'order' ? Order : Delivery) | null>,
  ) => {
    type Page = ChangePage<T>
    return (checkpoint: string | null, call: CallContext): Promise<Outcome<Page>> =>
      outcomeOf(async () => {
        const source = windows(ORDERS, 'orders', config.pageLimit, {}, call)
        const found =
          config.changesBy === 'modified'
            ? await modifiedSince(source, checkpoint, config.overlapSeconds * 1000)
            : await versionChanges(checkpoint, {
                windows: source,
                pageSize: config.pageLimit,
                overlapMs: config.overlapSeconds * 1000,
                async page(version, page) {
                  const query = {
                    start_ts: version,
                    is_get_total: false,
                    page_index: page,
                    page_size: config.pageLimit,
                  }
                  const data = await client.query(ORDERS, query, call)
                  return { rows: rowsOf(data, 'orders', ORDERS), hasNext: hasNext(data) }
                },
              })
        const { rows, ...rest } = found
        return { records: readable(rows.map(read)), ...rest } as unknown as Page
      })
  }

  const orders: RecordPort<'order'> = {
    batchLimit: config.batchLimit,
    readMany: (keys, call) => ordersById(keys, call, map.order),
    lookups: {
      // The number that people use is the key.
      byNumber: {
        batchLimit: config.batchLimit,
        read: async (keys, call) => asLists(await ordersById(keys, call, map.order)),
      },
    },
    list: ({ first, after, filter }, call) =>
      outcomeOf(async () => {
        if (filter?.customer !== undefined) throw unsupported('Orders of one buyer cannot be asked for.')
        if (filter?.search !== undefined) {
          // A number as the platform prints it, or the vendor's own.
          const by = isOrderId(filter.search) ? (['so_ids', 'o_ids'] as const) : (['so_ids'] as const)
          const found = new Map<string, Order>()
          for (const numbers of by) {
            for (const order of readable((await orderRows(numbers, [filter.search], call)).map(map.order))) {
              found.set(order.key, order)
            }
          }
          const sorted = [...found.values()].sort((a, b) => (a.key < b.key ? 1 : -1))
          const rest = sorted.filter(({ key }) => after === undefined || key < after)
          const items = rest.slice(0, first).map((record) => ({ record, position: record.key }))
          return { items, hasMore: rest.length > first }
        }
        const source = windows(ORDERS, 'orders', config.pageLimit, {}, call)
        const page = await lastModifiedFirst(source, placeBy('o_id'), {
          first,
          after,
          backMs: config.listDays * DAY_MS,
        })
        return listed(page, map.order, skip)
      }),
    changes: orderChanges<'order'>(map.order),
    ...orderWrites({
      client,
      config,
      map,
      orderRows,
      readOne: async (key, call) => (await ordersById([key], call, map.order))[0] ?? ok(null),
    }),
  }

  const deliveriesOfNumber: Lookup<'delivery'> = {
    batchLimit: config.batchLimit,
    async read(keys, call) {
      const wanted = [...new Set(keys)].filter((key) => key.length > 0)
      const answer = await outcomeOf(async () =>
        wanted.length === 0 ? [] : orderRows('so_ids', wanted, call),
      )
      if (!answer.ok) return keys.map(() => answer)
      return keys.map((key) => {
        const own = answer.value.filter((row) => textOf(row, 'so_id') === key)
        return wholeList(own.map(map.delivery))
      })
    },
  }
  const deliveries: RecordPort<'delivery'> = {
    batchLimit: config.batchLimit,
    readMany: (keys, call) => ordersById(keys, call, map.delivery),
    lookups: {
      byOrder: {
        batchLimit: config.batchLimit,
        read: async (keys, call) => asLists(await ordersById(keys, call, map.delivery)),
      },
      // Else a number of ours would be looked for among those of the platform.
      ...(config.numbersOfOtherSystem ? { byOrderNumber: deliveriesOfNumber } : {}),
    },
    changes: orderChanges<'delivery'>(map.delivery),
  }

  /* ---- stock ---- */

  /** Without a number the vendor adds up all warehouses. */
  const inWarehouse = (warehouse: string) => (warehouse === '0' ? {} : { wms_co_id: Number(warehouse) })
  const warehouseIds = config.warehouses.map(({ id }) => id)

  const levelsOf = async (
    skus: readonly Key[],
    warehouse: string,
    call: CallContext,
  ): Promise<Outcome<ReadonlyMap<Key, Outcome<InventoryLevel>>>> =>
    outcomeOf(async () => {
      const wanted = [...new Set(skus)].filter(isSku)
      const levels = new Map<Key, Outcome<InventoryLevel>>()
      if (wanted.length === 0) return levels
      const query = {
        ...inWarehouse(warehouse),
        sku_ids: wanted.join(','),
        page_index: 1,
        page_size: config.stockPageLimit,
      }
      for (let page = 1; ; page++) {
        const data = await client.query(STOCK, { ...query, page_index: page }, call)
        for (const row of rowsOf(data, 'inventorys', STOCK)) {
          const sku = textOf(row, 'sku_id')
          if (sku !== null) levels.set(sku, map.inventoryLevel(row, warehouse))
        }
        if (!hasNext(data)) return levels
      }
    })

  const inventory: RecordPort<'inventoryLevel'> = {
    batchLimit: config.stockBatchLimit,
    async readMany(keys, call) {
      const parts = keys.map((key) => splitKey(key))
      const byWarehouse = new Map<string, Awaited<ReturnType<typeof levelsOf>>>()
      for (const warehouse of warehouseIds) {
        const skus = parts.flatMap(([sku = '', own]) => (own === warehouse ? [sku] : []))
        if (skus.length > 0) byWarehouse.set(warehouse, await levelsOf(skus, warehouse, call))
      }
      return parts.map(([sku = '', warehouse = ''], at) => {
        const levels = byWarehouse.get(warehouse)
        if (!levels?.ok) return levels ?? ok(null)
        const level = levels.value.get(sku)
        return level && keys[at] === joinKey([sku, warehouse]) ? level : ok(null)
      })
    },
    lookups: {
      byProduct: {
        batchLimit: config.stockBatchLimit,
        async read(keys, call) {
          const found: Awaited<ReturnType<typeof levelsOf>>[] = []
          for (const warehouse of warehouseIds) found.push(await levelsOf(keys, warehouse, call))
          return keys.map((key) => {
            const own: Outcome<InventoryLevel>[] = []
            for (const levels of found) {
              if (!levels.ok) return levels
              const level = levels.value.get(key)
              if (level) own.push(level)
            }
            return wholeList(own)
          })
        },
      },
    },
    list: ({ first, after, filter }, call) =>
      outcomeOf(async () => {
        if (filter?.customer !== undefined || filter?.search !== undefined) {
          throw unsupported('Stock cannot be searched: ask for a product.')
        }
        // Warehouse by warehouse; the first part of a position says which.
        const [from = warehouseIds[0] ?? '', inside] = after === undefined ? [] : splitKey(after)
        let at = Math.max(warehouseIds.indexOf(from), 0)
        let position = inside
        const items: { record: InventoryLevel; position: string }[] = []
        for (; at < warehouseIds.length; at++, position = undefined) {
          const warehouse = warehouseIds[at] ?? ''
          const source = windows(STOCK, 'inventorys', config.stockPageLimit, inWarehouse(warehouse), call)
          const page = await lastModifiedFirst(source, placeBy('sku_id'), {
            first: first - items.length,
            after: position,
            backMs: config.listDays * DAY_MS,
          })
          const read = listed(page, (row) => map.inventoryLevel(row, warehouse), skip)
          for (const one of read.items) items.push({ ...one, position: joinKey([warehouse, one.position]) })
          if (page.hasMore) return { items, hasMore: true }
          if (items.length >= first) return { items, hasMore: at + 1 < warehouseIds.length }
        }
        return { items, hasMore: false }
      }),
    changes: (checkpoint, call) =>
      outcomeOf(async () => {
        // A window of each warehouse; they go on together, from the one that is furthest behind.
        const records: InventoryLevel[] = []
        let next: { checkpoint: string; hasMore: boolean } | undefined
        const now = Date.now()
        for (const warehouse of warehouseIds) {
          const source = windows(STOCK, 'inventorys', config.stockPageLimit, inWarehouse(warehouse), call)
          const { rows, ...rest } = await modifiedSince(source, checkpoint, config.overlapSeconds * 1000, now)
          records.push(...readable(rows.map((row) => map.inventoryLevel(row, warehouse))))
          if (!next || (rest.hasMore && (!next.hasMore || rest.checkpoint < next.checkpoint))) next = rest
        }
        return { records, checkpoint: next?.checkpoint ?? checkpoint ?? '', hasMore: next?.hasMore ?? false }
      }),
  }

  /* ---- goods ---- */

  const products: RecordPort<'product'> = {
    batchLimit: Math.min(config.stockBatchLimit, config.pageLimit),
    async readMany(keys, call) {
      const wanted = [...new Set(keys)].filter(isSku)
      const answer = await outcomeOf(async () => {
        if (wanted.length === 0) return []
        const query = { sku_ids: wanted.join(','), page_index: 1, page_size: config.pageLimit }
        return rowsOf(await client.query(GOODS, query, call), 'datas', GOODS)
      })
      if (!answer.ok) return keys.map((key) => (isSku(key) ? answer : ok(null)))
      const rows = new Map(answer.value.map((row) => [textOf(row, 'sku_id'), row]))
      return keys.map((key): Outcome<Product | null> => {
        const row = rows.get(key)
        return row === undefined ? ok(null) : map.product(row)
      })
    },
    changes: (checkpoint, call) =>
      outcomeOf(async () => {
        const source = windows(GOODS, 'datas', config.pageLimit, {}, call)
        const { rows, ...rest } = await modifiedSince(source, checkpoint, config.overlapSeconds * 1000)
        return { records: readable(rows.map(map.product)), ...rest }
      }),
  }

  /** They are known by configuration: the vendor's list of them is another permission. */
  const warehouses: RecordPort<'warehouse'> = {
    batchLimit: 1_000,
    async readMany(keys) {
      return keys.map((key) => {
        const known = config.warehouses.find(({ id }) => id === key)
        return ok(known ? { key: known.id, name: known.name } : null)
      })
    },
    async list({ first, after, filter }) {
      if (filter !== undefined && Object.keys(filter).length > 0) {
        return fail({ kind: 'unsupported', message: 'Warehouses cannot be searched.' })
      }
      const from = after === undefined ? 0 : warehouseIds.indexOf(after) + 1
      const items = config.warehouses
        .slice(from, from + first)
        .map(({ id, name }) => ({ record: { key: id, name }, position: id }))
      return ok({ items, hasMore: from + first < config.warehouses.length })
    },
  }

  /** @throws SourceError */
  const idsIn = async (path: string, field: string, call: CallContext): Promise<ReadonlySet<string>> => {
    const ids = new Set<string>()
    for (let page = 1; ; page++) {
      const data = await client.query(path, { page_index: page, page_size: config.pageLimit }, call)
      const rows = rowsOf(data, 'datas', path)
      for (const row of rows) ids.add(textOf(row, field) ?? '')
      if (!hasNext(data) || rows.length === 0) return ids
    }
  }

  return {
    kind: 'jushuitan',
    ports: {
      order: orders,
      delivery: deliveries,
      inventoryLevel: inventory,
      product: products,
      warehouse: warehouses,
    },
    connect: (call) => outcomeOf(() => client.connect(call)),
    health: (call) =>
      outcomeOf(async () => {
        const now = Date.now()
        await windows(ORDERS, 'orders', 1, {}, call).page(now - 60_000, now, 0)
        return { detail: `Jushuitan, application ${config.appKey}, at ${new URL(config.baseUrl).host}` }
      }),
    checkConfiguration: (call) =>
      outcomeOf(async () => {
        const shop = config.orderDefaults?.shopId
        const sentences: string[] = []
        const check = async (what: string, path: string, field: string, wanted: readonly string[]) => {
          if (wanted.length === 0) return
          const known = await outcomeOf(() => idsIn(path, field, call))
          if (!known.ok) {
            const { kind } = known.failure
            // That these credentials work has been seen by then, or is said; the list is a permission of its own.
            if (kind !== 'rejected' && kind !== 'unauthorized') throw new SourceError(known.failure)
            context.log.warn({ system: context.systemId, path }, 'this application may not see the list')
            return
          }
          const missing = wanted.filter((id) => !known.value.has(id))
          for (const id of missing) sentences.push(`There is no ${what} ${id} (${path}).`)
        }
        await check('shop', '/open/shops/query', 'shop_id', shop === undefined ? [] : [shop])
        const warehouses = warehouseIds.filter((id) => id !== '0')
        await check('warehouse', '/open/wms/partner/query', 'wms_co_id', warehouses)
        // Whatever those permissions are: the credentials and the main one are tried.
        const now = Date.now()
        await windows(ORDERS, 'orders', 1, {}, call).page(now - 60_000, now, 0)
        return sentences
      }),
    async close() {
      client.close()
    },
  }
}

/** A field's text. Numbers are decimal text already. */
function textOf(row: unknown, name: string): string | null {
  const value = (row as Record<string, unknown> | null)?.[name]
  return typeof value === 'string' && value !== '' ? value : null
}

function rowsOf(data: Data, list: string, path: string): readonly unknown[] {
  const rows = listIn(data, list)
  if (Array.isArray(rows)) return rows
  if ((rows ?? null) === null && data.data_count === '0') return []
  throw new SourceError({ kind: 'invalid-response', detail: `POST ${path}: "${list}" is no list` })
}

/** Where it is not said, the numbers of the page and of the last one tell. */
function hasNext({ has_next: told, page_index: at, page_count: last }: Data): boolean {
  if (told !== undefined && told !== null) return told === true || told === 'true'
  return /^\d+$/.test(String(at)) && /^\d+$/.test(String(last)) && Number(at) < Number(last)
}

function countOf(data: Data, path: string): number {
  const count = data.data_count
  if (typeof count === 'string' && /^\d+$/.test(count)) return Number(count)
  throw new SourceError({ kind: 'invalid-response', detail: `POST ${path}: no data_count` })
}

const unsupported = (message: string): SourceError => new SourceError({ kind: 'unsupported', message })
