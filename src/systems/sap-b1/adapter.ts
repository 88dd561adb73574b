/** The ports of a SAP Business One company. */
import { z } from 'zod'
import { type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import type { Adapter, CallContext, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import { type Delivery, type InventoryLevel, joinKey, type Key, type Order, splitKey } from '../records.ts'
import { createServiceLayer, literal, type ServiceLayer } from './client.ts'
import type { SapB1Config } from './config.ts'
import {
  DOCUMENT_KEY,
  type Entity,
  entity,
  followers,
  readable,
  readFollowers,
  type Source,
  textKey,
} from './entities.ts'
import { financePorts } from './finance.ts'
import {
  createMapping,
  DOCUMENT_FIELDS,
  ITEM_FIELDS,
  ORDER_OBJECT,
  PARTNER_FIELDS,
  rowKey,
  STOCK_FIELDS,
  WAREHOUSE_FIELDS,
} from './mapping.ts'
import { orderWrites } from './order-writes.ts'
import { partnerCreate, partnerUpdate } from './partner-writes.ts'

export const createSapB1: CreateAdapter<SapB1Config> = (config, context): Adapter => {
  const client = createServiceLayer(config, context)
  const map = createMapping(config)
  const terms = paymentTerms(client, config)
  const skip = (failure: SourceFailure) =>
    context.log.warn({ system: context.systemId, failure }, 'left out a record that cannot be read')
  const source: Source = { client, config, skip }

  const orders = entity<Order>(source, {
    entity: 'Orders',
    select: [
      ...DOCUMENT_FIELDS,
      ...(config.externalReferenceField === 'NumAtCard' ? [] : [config.externalReferenceField]),
    ],
    ...DOCUMENT_KEY,
    parts: { lines: 'DocumentLines' },
    searched: ['CardName', 'NumAtCard'],
    read: async () => map.order,
  })
  const deliveries = entity<Delivery>(source, {
    entity: 'DeliveryNotes',
    select: DOCUMENT_FIELDS,
    ...DOCUMENT_KEY,
    parts: { lines: 'DocumentLines' },
    searched: ['CardName', 'NumAtCard'],
    read: async () => map.delivery,
  })
  const customers = entity(source, {
    entity: 'BusinessPartners',
    select: PARTNER_FIELDS,
    parts: { contacts: 'ContactEmployees', addresses: 'BPAddresses' },
    ...textKey('CardCode'),
    where: `CardType eq 'cCustomer'`,
    searched: ['CardName', 'CardCode'],
    read: async (call) => {
      const names = await terms(call)
      return (row) => map.customer(row, names)
    },
  })
  const products = entity(source, {
    entity: 'Items',
    select: ITEM_FIELDS,
    ...textKey('ItemCode'),
    searched: ['ItemName', 'ItemCode', 'BarCode'],
    read: async () => map.product,
  })
  const warehouses = entity(source, {
    entity: 'Warehouses',
    select: WAREHOUSE_FIELDS,
    ...textKey('WarehouseCode'),
    searched: ['WarehouseName', 'WarehouseCode'],
    read: async () => map.warehouse,
  })

  return {
    kind: 'sap-b1',
    ports: {
      customer: {
        ...readable<'customer'>(customers),
        parts: { contacts: ['contacts'], addresses: ['addresses'] },
        create: partnerCreate({ client, config, map, reread: customers.readOne }),
        update: partnerUpdate({ client, config, map, reread: customers.readOne }),
      },
      product: readable<'product'>(products),
      warehouse: { batchLimit: warehouses.batchLimit, readMany: warehouses.readMany, list: warehouses.list },
      inventoryLevel: inventoryPort(source, map.inventoryLevels),
      order: {
        ...readable<'order'>(orders),
        // How far an order has come is told by its lines.
        parts: { lines: ['lines', 'fulfilmentStatus', 'status'] },
        lookups: {
          byNumber: orders.lookup('DocNum', (order) => [order.number], { numeric: true, newestOnly: true }),
          byCustomer: orders.lookup('CardCode', (order) => (order.customer ? [order.customer] : [])),
        },
        ...orderWrites({ client, config, map, reread: orders.readOne }),
      },
      delivery: {
        ...readable<'delivery'>(deliveries),
        parts: { lines: ['lines', 'orders'] },
        lookups: { byOrder: deliveriesByOrder(source, deliveries) },
      },
      ...(config.invoices ? financePorts(source, deliveries) : {}),
    },
    concurrency: config.maxSessions,
    // One `$batch` may be gathered while the sessions are busy.
    readsAtOnce: config.maxSessions + (config.batchRequests > 1 ? config.batchRequests : 0),
    connect: (call) => outcomeOf(() => client.connect(call)),
    async health(call) {
      return outcomeOf(async () => {
        await client.rows(
          { entity: 'Warehouses', select: ['WarehouseCode'], orderby: 'WarehouseCode', top: 1, pageSize: 1 },
          call,
        )
        return { detail: `SAP Business One ${client.version()}, company ${config.companyDb}` }
      })
    },
    close: () => client.close(),
  }
}

/* ---- stock ---- */

/** Stock lies inside the items: one level per item and warehouse, key = [ItemCode, WarehouseCode]. */
function inventoryPort(
  { client, config, skip }: Source,
  levelsOf: (row: unknown) => Outcome<readonly InventoryLevel[]>,
): RecordPort<'inventoryLevel'> {
  const items = entity<{ key: Key; version?: null; levels: readonly InventoryLevel[] }>(
    { client, config, skip },
    {
      entity: 'Items',
      select: STOCK_FIELDS,
      ...textKey('ItemCode'),
      searched: ['ItemName', 'ItemCode'],
      read: async () => (row) => {
        const levels = levelsOf(row)
        return levels.ok ? ok({ key: rowKey(row, 'ItemCode') ?? '', levels: levels.value }) : levels
      },
    },
  )
  return {
    batchLimit: items.batchLimit,

    async readMany(keys, context) {
      const parts = keys.map((key) => splitKey(key))
      const codes = [...new Set(parts.map(([item = '']) => item))]
      const found = new Map((await items.readMany(codes, context)).map((item, at) => [codes[at], item]))
      return keys.map((key, at) => {
        const item = found.get(parts[at]?.[0] ?? '') ?? ok(null)
        if (!item.ok) return item
        return ok(item.value?.levels.find((level) => level.key === key) ?? null)
      })
    },

    lookups: {
      byProduct: {
        batchLimit: items.batchLimit,
        async read(keys, context) {
          const found = await items.readMany(keys, context)
          return found.map((item) => (item.ok ? ok(item.value?.levels ?? []) : item))
        },
      },
    },

    /** Item by item, warehouse by warehouse. Goes on inside an item: its levels may not have fitted the page. */
    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        if (filter?.customer !== undefined || filter?.search !== undefined) {
          throw new SourceError({ kind: 'unsupported', message: 'Stock can be listed, but not searched.' })
        }
        const [lastItem, lastWarehouse = ''] = after === undefined ? [] : splitKey(after)
        const collected: InventoryLevel[] = []
        // `ge`: the item at which the last page ended comes again, for what was left of it.
        let from = lastItem === undefined ? undefined : `ItemCode ge ${literal(lastItem)}`
        while (collected.length <= first) {
          const pageSize = Math.min(first + 1, config.pageLimit)
          const rows = await client.rows(
            {
              entity: 'Items',
              select: STOCK_FIELDS,
              filter: `InventoryItem eq 'tYES'${from === undefined ? '' : ` and ${from}`}`,
              orderby: 'ItemCode asc',
              top: pageSize,
              pageSize,
            },
            context,
          )
          for (const row of rows) {
            const levels = levelsOf(row)
            if (!levels.ok) skip(levels.failure)
            else collected.push(...levels.value.filter(notYetSeen))
          }
          const last = rowKey(rows.at(-1), 'ItemCode')
          if (rows.length < pageSize || last === undefined) break
          from = `ItemCode gt ${literal(last)}`
        }
        function notYetSeen(level: InventoryLevel): boolean {
          return level.product !== lastItem || level.warehouse > lastWarehouse
        }
        const page = collected.slice(0, first)
        return {
          items: page.map((record) => ({ record, position: joinKey([record.product, record.warehouse]) })),
          hasMore: collected.length > first,
        }
      })
    },
  }
}

/* ---- deliveries of an order ---- */

/** One call tells the deliveries of a batch of orders, a second reads them whole. */
function deliveriesByOrder({ client, config }: Source, deliveries: Entity<Delivery>): Lookup<'delivery'> {
  return {
    batchLimit: config.batchLimit,
    async read(keys, context) {
      const linked = await followers(client, config, 'DeliveryNotes', ORDER_OBJECT, keys, context)
      return readFollowers(linked, deliveries, context)
    },
  }
}

/* ---- names of payment terms ---- */

/** The names hardly ever change. */
const TERMS_KEPT_MS = 600_000

const termSchema = z.object({ GroupNumber: z.string(), PaymentTermsGroupName: z.string() })

/** Customers carry only the number of their payment terms; the few names are read with the first customer. */
function paymentTerms(client: ServiceLayer, config: SapB1Config) {
  let names: ReadonlyMap<string, string> = new Map()
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<Outcome<void>> | undefined
  const read = async (context: CallContext) => {
    const rows = await client.rows(
      {
        entity: 'PaymentTermsTypes',
        select: Object.keys(termSchema.shape),
        orderby: 'GroupNumber asc',
        pageSize: config.pageLimit,
      },
      context,
    )
    const parsed = rows.map((row) => termSchema.safeParse(row))
    names = new Map(
      parsed.flatMap(({ data }) => (data ? [[data.GroupNumber, data.PaymentTermsGroupName] as const] : [])),
    )
  }
  return async (context: CallContext): Promise<ReadonlyMap<string, string>> => {
    if (Date.now() - readAt < TERMS_KEPT_MS) return names
    // Without the caller's signal: others wait for the same answer.
    reading ??= outcomeOf(() => read({ caller: context.caller })).finally(() => {
      reading = undefined
    })
    const outcome = await reading
    if (!outcome.ok && outcome.failure.kind === 'unavailable' && names.size === 0) {
      throw new SourceError(outcome.failure) // the customers themselves would not be reached either
    }
    // Without the right to read them, customers show the numbers.
    readAt = Date.now()
    return names
  }
}
