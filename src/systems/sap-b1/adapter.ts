/** The ports of a SAP Business One company. */
import { type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import type { Adapter, CallContext, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import { type Delivery, type InventoryLevel, joinKey, type Key, type Order, splitKey } from '../records.ts'
import { createServiceLayer, literal } from './client.ts'
import type { SapB1Config } from './config.ts'
import {
  completed,
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
  DELIVERY_FIELDS,
  ITEM_FIELDS,
  ORDER_FIELDS,
  ORDER_OBJECT,
  PARTNER_FIELDS,
  type RawOrder,
  rowKey,
  STOCK_FIELDS,
  WAREHOUSE_FIELDS,
} from './mapping.ts'
import { createTables, type NameTable, NO_NAMES } from './names.ts'
import { orderDetails } from './order-details.ts'
import { orderWrites } from './order-writes.ts'
import { partnerCreate, partnerUpdate } from './partner-writes.ts'

/** Fields of the vendor's that are asked for only where somebody wants what comes of them. */
const ORDER_PARTS = {
  lines: ['DocumentLines'],
  addresses: ['ShipToCode', 'PayToCode', 'AddressExtension'],
  payment: ['PaymentGroupCode', 'PaymentMethod'],
  createdBy: ['UserSign'],
  attachments: ['AttachmentEntry'],
} as const
const PARTNER_PARTS = {
  contacts: ['ContactEmployees'],
  addresses: ['BPAddresses'],
  level: ['GroupCode'],
  industry: ['Industry'],
} as const
const PRODUCT_PARTS = {
  prices: ['ItemPrices'],
  category: ['ItemsGroupCode'],
  description: ['User_Text'],
} as const

export const createSapB1: CreateAdapter<SapB1Config> = (config, context): Adapter => {
  const client = createServiceLayer(config, context)
  const map = createMapping(config)
  const tables = createTables(client, config)
  const skip = (failure: SourceFailure) =>
    context.log.warn({ system: context.systemId, failure }, 'left out a record that cannot be read')
  const source: Source = { client, config, skip }

  const { customFields } = config
  const namesFor = (table: NameTable, part: string, call: CallContext) =>
    call.without?.has(part) ? NO_NAMES : table.read(call)

  const orderSelect = [
    ...new Set([
      ...ORDER_FIELDS,
      ...[config.externalReferenceField, config.shipToPhoneField].filter((field) => field !== null),
      ...Object.values(customFields.order),
    ]),
  ]
  const readOrder = async (call: CallContext) => {
    const [terms, users] = await Promise.all([
      namesFor(tables.paymentTerms, 'payment', call),
      namesFor(tables.users, 'createdBy', call),
    ])
    return (row: unknown) => map.order(row, { terms, users })
  }
  const withDetails = orderDetails(source)
  const showOrder = async (row: unknown, call: CallContext): Promise<Outcome<Order>> => {
    const shown = await outcomeOf(async () => {
      const raw = (await readOrder(call))(row)
      return raw.ok ? ok((await withDetails([raw.value], call))[0] as Order) : raw
    })
    return shown.ok ? shown.value : shown
  }
  const rawOrders = entity<RawOrder>(source, {
    entity: 'Orders',
    select: orderSelect,
    ...DOCUMENT_KEY,
    parts: ORDER_PARTS,
    searched: ['CardName', 'NumAtCard'],
    read: readOrder,
  })
  const orders = completed(rawOrders, withDetails)
  const deliveries = entity<Delivery>(source, {
    entity: 'DeliveryNotes',
    select: [...DELIVERY_FIELDS, ...Object.values(customFields.delivery)],
    ...DOCUMENT_KEY,
    parts: { lines: ['DocumentLines'], shipTo: ['ShipToCode', 'AddressExtension'] },
    searched: ['CardName', 'NumAtCard'],
    read: async () => map.delivery,
  })
  const customers = entity(source, {
    entity: 'BusinessPartners',
    select: [...PARTNER_FIELDS, ...Object.values(customFields.customer)],
    parts: PARTNER_PARTS,
    ...textKey('CardCode'),
    where: `CardType eq 'cCustomer'`,
    searched: ['CardName', 'CardCode'],
    read: async (call) => {
      const [terms, groups, industries] = await Promise.all([
        namesFor(tables.paymentTerms, 'account', call),
        namesFor(tables.partnerGroups, 'level', call),
        namesFor(tables.industries, 'industry', call),
      ])
      return (row) => map.customer(row, { terms, groups, industries })
    },
  })
  const products = entity(source, {
    entity: 'Items',
    select: [...ITEM_FIELDS, ...Object.values(customFields.product)],
    parts: PRODUCT_PARTS,
    ...textKey('ItemCode'),
    searched: ['ItemName', 'ItemCode', 'BarCode'],
    read: async (call) => {
      const groups = await namesFor(tables.itemGroups, 'category', call)
      return (row) => map.product(row, groups)
    },
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
        parts: {
          contacts: ['contacts'],
          addresses: ['addresses'],
          level: ['level', 'vendorLevel'],
          industry: ['industry'],
          account: ['account'],
        },
        create: partnerCreate({ client, config, map, tables, reread: customers.readOne }),
        update: partnerUpdate({ client, config, map, tables, reread: customers.readOne }),
      },
      product: {
        ...readable<'product'>(products),
        parts: { prices: ['price'], category: ['category'], description: ['description'] },
      },
      warehouse: { batchLimit: warehouses.batchLimit, readMany: warehouses.readMany, list: warehouses.list },
      inventoryLevel: inventoryPort(source, map.inventoryLevels),
      order: {
        ...readable<'order'>(orders),
        parts: {
          // How far an order has come is told by its lines, and what it follows.
          lines: ['lines', 'fulfilmentStatus', 'status', 'precededBy'],
          addresses: ['shipTo', 'billTo'],
          payment: ['payment'],
          createdBy: ['createdBy'],
          attachments: ['attachments'],
        },
        lookups: {
          byNumber: orders.lookup('DocNum', (order) => [order.number], { numeric: true, newestOnly: true }),
          byCustomer: orders.lookup('CardCode', (order) => (order.customer ? [order.customer] : [])),
        },
        ...orderWrites({
          client,
          config,
          map,
          tables,
          select: orderSelect,
          reread: orders.readOne,
          show: showOrder,
        }),
      },
      delivery: {
        ...readable<'delivery'>(deliveries),
        parts: { lines: ['lines', 'orders'], shipTo: ['shipTo'] },
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
