/** The ports of an S/4HANA system. */

import {
  fail,
  failureText,
  type Outcome,
  ok,
  outcomeOf,
  SourceError,
  type SourceFailure,
} from '../failure.ts'
import { namesIn } from '../kit/absent-fields.ts'
import { createClock } from '../kit/clock.ts'
import type { Reader as KeysetReader } from '../kit/keyset.ts'
import { readXml, type XmlElement } from '../kit/xml.ts'
import type { Adapter, CallContext, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import {
  type Customer,
  type Delivery,
  type InventoryLevel,
  type Invoice,
  joinKey,
  type Key,
  type Order,
  type Product,
  type RecordType,
  type RecordTypes,
  splitKey,
} from '../records.ts'
import { createGateway } from './client.ts'
import type { SapS4Config } from './config.ts'
import { createReceiver } from './events.ts'
import { createMapping, isCustomer, type Mapping, rowKey, STOCK_FIELDS, selectOf } from './mapping.ts'
import { allOf, external, literal, type Query } from './odata.ts'
import { ORDER_SERVICE, orderWrites } from './order-writes.ts'
import { createReader, type Reader, rowsBy, type Source } from './reading.ts'

const STOCK_SERVICE = 'API_MATERIAL_STOCK_SRV'
const BILLING_SERVICE = 'API_BILLING_DOCUMENT_SRV'

export const createSapS4: CreateAdapter<SapS4Config> = (config, context): Adapter => {
  const client = createGateway(config, context)
  const clock = createClock(config.timeZone)
  const map = createMapping(config, clock)
  const source: Source = {
    client,
    config,
    skip: (failure) =>
      context.log.warn({ system: context.systemId, failure }, 'left out a record that cannot be read'),
  }

  const partnersBy = (customerKey: SapS4Config['customerKey']) => {
    const own = { ...config, customerKey }
    return createReader<Customer>(source, {
      service: 'API_BUSINESS_PARTNER',
      set: 'A_BusinessPartner',
      // Orders name the customer, whose number may differ from the partner's. Partners without one are none.
      key: customerKey,
      ...(customerKey === 'Customer' ? { where: `Customer ne ''` } : {}),
      isRecord: isCustomer,
      select: selectOf(own, 'customer'),
      direction: 'asc',
      searched: ['BusinessPartnerFullName', customerKey],
      changed: 'day',
      read: createMapping(own, clock).customer,
    })
  }
  const customers =
    config.customerKey === 'BusinessPartner'
      ? partnersBy('BusinessPartner')
      : orElse(
          partnersBy('Customer'),
          partnersBy('BusinessPartner'),
          (failure) => namesIn(failure).has('Customer'),
          () =>
            context.log.warn(
              { system: context.systemId },
              'business partners cannot be asked for by Customer: by BusinessPartner from now on, as with customerKey',
            ),
        )
  const products = createReader<Product>(source, {
    service: 'API_PRODUCT_SRV',
    set: 'A_Product',
    key: 'Product',
    select: selectOf(config, 'product'),
    parts: { cost: 'to_Valuation', units: 'to_ProductUnitsOfMeasure' },
    direction: 'asc',
    // Names lie behind a navigation to many, which no filter reaches.
    searched: ['Product', 'ProductStandardID'],
    changed: 'instant',
    read: map.product,
  })
  const orders = createReader<Order>(source, {
    service: ORDER_SERVICE,
    set: 'A_SalesOrder',
    key: 'SalesOrder',
    select: selectOf(config, 'order'),
    parts: { lines: 'to_Item', comments: 'to_Text', parties: 'to_Partner' },
    direction: 'desc',
    customerField: 'SoldToParty',
    searched: ['SalesOrder', 'PurchaseOrderByCustomer'],
    changed: 'instant',
    read: map.order,
  })
  const deliveries = createReader<Delivery>(source, {
    service: config.deliveryService,
    set: 'A_OutbDeliveryHeader',
    key: 'DeliveryDocument',
    select: selectOf(config, 'delivery'),
    parts: { lines: 'to_DeliveryDocumentItem' },
    direction: 'desc',
    customerField: 'SoldToParty',
    searched: ['DeliveryDocument'],
    changed: 'day',
    read: map.delivery,
  })
  const invoices = createReader<Invoice>(source, {
    service: BILLING_SERVICE,
    set: 'A_BillingDocument',
    key: 'BillingDocument',
    select: selectOf(config, 'invoice'),
    parts: { orders: 'to_Item' },
    direction: 'desc',
    customerField: 'SoldToParty',
    searched: ['BillingDocument'],
    changed: 'instant',
    read: map.invoice,
  })

  return {
    kind: 'sap-s4',
    concurrency: config.maxConnections,
    ports: {
      customer: readable<'customer'>(customers),
      product: { ...readable<'product'>(products), parts: { cost: ['cost'], units: ['units'] } },
      ...(Object.keys(config.warehouses).length === 0 ? {} : { warehouse: warehousePort(config) }),
      inventoryLevel: inventoryPort(source, map),
      order: {
        ...readable<'order'>(orders),
        parts: { lines: ['lines'], comments: ['comments'], parties: ['shipTo', 'billTo', 'payer'] },
        lookups: { byNumber: byNumber<'order'>(orders), byCustomer: orders.lookup('SoldToParty') },
        ...orderWrites({ client, config, reread: orders.readOne }),
      },
      delivery: {
        ...readable<'delivery'>(deliveries),
        parts: { lines: ['lines', 'orders'] },
        lookups: {
          byOrder: byItem<'delivery'>(source, deliveries, {
            service: config.deliveryService,
            set: 'A_OutbDeliveryItem',
            document: 'DeliveryDocument',
            order: 'ReferenceSDDocument',
          }),
        },
      },
      invoice: {
        ...readable<'invoice'>(invoices),
        parts: { orders: ['orderNumbers', 'lines'] },
        lookups: {
          byNumber: byNumber<'invoice'>(invoices),
          byCustomer: invoices.lookup('SoldToParty'),
          byOrderNumber: byItem<'invoice'>(source, invoices, {
            service: BILLING_SERVICE,
            set: 'A_BillingDocumentItem',
            document: 'BillingDocument',
            order: 'SalesDocument',
          }),
        },
      },
    },
    ...(config.events ? { webhook: createReceiver(config.events) } : {}),
    health(call) {
      return outcomeOf(async () => {
        await client.rows(
          {
            service: ORDER_SERVICE,
            set: 'A_SalesOrder',
            select: ['SalesOrder'],
            orderby: 'SalesOrder asc',
            top: 1,
          },
          call,
        )
        const { organization, channel, division } = config.salesArea
        const client_ = config.sapClient ? `client ${config.sapClient}, ` : ''
        return { detail: `SAP S/4HANA, ${client_}sales area ${organization}/${channel}/${division}` }
      })
    },
    checkConfiguration: (call) => checkFields(source, call),
    connect: (call) => outcomeOf(() => client.connect(ORDER_SERVICE, call)),
    close: () => client.close(),
  }
}

/** As the first reads, until it is refused so that the second has to do it all. */
function orElse<R>(
  first: KeysetReader<R>,
  second: KeysetReader<R>,
  isRefused: (failure: SourceFailure) => boolean,
  gaveUp: () => void,
): KeysetReader<R> {
  let reader = first
  const ask = async <Answer>(
    asked: (reader: KeysetReader<R>) => Promise<Answer>,
    outcomesOf: (answer: Answer) => readonly Outcome<unknown>[],
  ): Promise<Answer> => {
    const answer = await asked(reader)
    if (!outcomesOf(answer).some((one) => !one.ok && isRefused(one.failure))) return answer
    if (reader === first) gaveUp()
    reader = second
    return asked(second)
  }
  const alone = <T>(outcome: Outcome<T>) => [outcome]
  return {
    batchLimit: first.batchLimit,
    readMany: (keys, call) =>
      ask(
        (of) => of.readMany(keys, call),
        (answer) => answer,
      ),
    readOne: (key, call) => ask((of) => of.readOne(key, call), alone),
    list: (query, call) => ask((of) => of.list(query, call), alone),
    changes: (checkpoint, call) => ask((of) => of.changes(checkpoint, call), alone),
  }
}

function readable<T extends RecordType>(of: KeysetReader<RecordTypes[T]>) {
  return {
    batchLimit: of.batchLimit,
    readMany: of.readMany,
    list: of.list,
    changes: of.changes,
  } satisfies Pick<RecordPort<T>, 'batchLimit' | 'readMany' | 'list' | 'changes'>
}

/** Number and key are the same here. */
function byNumber<T extends RecordType>(of: Reader<RecordTypes[T]>): Lookup<T> {
  return {
    batchLimit: of.batchLimit,
    async read(numbers, context) {
      const found = await of.readMany(numbers, context)
      return found.map((one) => (one.ok ? ok(one.value === null ? [] : [one.value]) : one))
    },
  }
}

/** Only items name the order that they follow: one call tells whose documents, a second reads them whole. */
function byItem<T extends 'delivery' | 'invoice'>(
  source: Source,
  documents: Reader<RecordTypes[T]>,
  items: {
    readonly service: string
    readonly set: string
    readonly document: string
    readonly order: string
  },
): Lookup<T> {
  const base: Query = {
    service: items.service,
    set: items.set,
    select: [items.document, items.order],
    orderby: `${items.document} asc`,
  }
  return {
    batchLimit: source.config.batchLimit,
    async read(keys, context) {
      const wanted = [...new Set(keys.map(external))].filter((key) => key !== '')
      const links = await rowsBy(source, base, items.order, wanted, undefined, context)
      const documentsOf = (key: Key): Outcome<readonly Key[]> => {
        const rows = links.get(key) ?? ok([])
        if (!rows.ok) return rows
        const mine = rows.value.filter((row) => rowKey(row, items.order) === key)
        return ok([...new Set(mine.map((row) => rowKey(row, items.document) ?? ''))])
      }
      const lists = new Map(wanted.map((key) => [key, documentsOf(key)]))
      const all = [...new Set([...lists.values()].flatMap((list) => (list.ok ? list.value : [])))]
      const read = await documents.readMany(all, context)
      const byKey = new Map(all.map((key, at) => [key, read[at] ?? ok(null)]))
      return keys.map((key): Outcome<readonly RecordTypes[T][]> => {
        const list = lists.get(external(key)) ?? ok([])
        if (!list.ok) return list
        const records: RecordTypes[T][] = []
        for (const one of list.value) {
          const record = byKey.get(one) ?? ok(null)
          if (!record.ok) return record
          if (record.value !== null) records.push(record.value)
        }
        return ok(records)
      })
    },
  }
}

/* ---- stock ---- */

const unsupported = (message: string): SourceFailure => ({ kind: 'unsupported', message })

/** Of the configuration: a storage location has a name in the system, but no service tells it. */
function warehousePort({ batchLimit, warehouses }: SapS4Config): RecordPort<'warehouse'> {
  const all = new Map(Object.entries(warehouses).map(([key, name]) => [key, { key, name }]))
  const sorted = [...all.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  return {
    batchLimit,
    readMany: async (keys) => keys.map((key) => ok(all.get(key) ?? null)),
    async list({ first, after, filter }) {
      if (filter?.customer !== undefined) return fail(unsupported('Warehouses do not belong to customers.'))
      const search = filter?.search
      const rest = sorted.filter(
        ({ key, name }) =>
          (after === undefined || key > after) &&
          (search === undefined || key.includes(search) || name.includes(search)),
      )
      const items = rest.slice(0, first).map((record) => ({ record, position: record.key }))
      return ok({ items, hasMore: rest.length > first })
    },
  }
}

/** Rows are per batch, special stock and more; a level is what lies of one type in one storage location. */
function inventoryPort(source: Source, map: Mapping): RecordPort<'inventoryLevel'> {
  const { client, config, skip } = source
  const where = allOf([
    `InventoryStockType eq ${literal(config.stockType)}`,
    `InventorySpecialStockType eq ${literal(config.specialStock)}`,
  ])
  const base: Query = {
    service: STOCK_SERVICE,
    set: 'A_MatlStkInAcctMod',
    select: STOCK_FIELDS,
    orderby: 'Material asc,Plant asc,StorageLocation asc,Batch asc',
  }

  const read = async (products: readonly Key[], context: CallContext) => {
    const wanted = [...new Set(products.map(external))].filter((product) => product !== '')
    const rows = await rowsBy(source, base, 'Material', wanted, where, context)
    const found = new Map<Key, Outcome<readonly InventoryLevel[]>>()
    // Values of one part share its rows: they are added up once.
    const levels = new Map<Outcome<readonly unknown[]>, ReturnType<Mapping['inventoryLevels']>>()
    for (const [product, part] of rows) {
      if (!part.ok) {
        found.set(product, part)
        continue
      }
      const known = levels.get(part) ?? map.inventoryLevels(part.value)
      levels.set(part, known)
      found.set(product, known.get(product) ?? ok([]))
    }
    return (product: Key): Outcome<readonly InventoryLevel[]> => found.get(external(product)) ?? ok([])
  }

  return {
    batchLimit: config.batchLimit,

    async readMany(keys, context) {
      const products = keys.map((key) => splitKey(key)[0] ?? '')
      const levelsOf = await read(products, context)
      return keys.map((key, at) => {
        const levels = levelsOf(products[at] ?? '')
        if (!levels.ok) return levels
        const [product = '', warehouse = ''] = splitKey(key)
        const wanted = joinKey([external(product), warehouse])
        return ok(levels.value.find((level) => level.key === wanted) ?? null)
      })
    },

    lookups: {
      byProduct: {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const levelsOf = await read(keys, context)
          return keys.map(levelsOf)
        },
      },
    },

    /** Material by material. The last material of a full page may go on behind it and is left to the next. */
    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        if (filter?.customer !== undefined || filter?.search !== undefined) {
          throw new SourceError(unsupported('Stock can be listed, but not searched.'))
        }
        const [product, warehouse = ''] = after === undefined ? [] : splitKey(after)
        // `ge`: the material at which the last page ended comes again, for what was left of it.
        let from = product === undefined ? undefined : `Material ge ${literal(product)}`
        let limit = config.pageLimit
        const collected: InventoryLevel[] = []
        while (collected.length <= first) {
          const rows = await client.rows({ ...base, filter: allOf([where, from]), top: limit }, context)
          const isFull = rows.length === limit
          const last = rowKey(rows.at(-1), 'Material')
          const whole = isFull ? rows.filter((row) => rowKey(row, 'Material') !== last) : rows
          if (isFull && whole.length === 0) {
            limit *= 2 // one material alone fills the page
            continue
          }
          for (const [material, levels] of map.inventoryLevels(whole)) {
            if (!levels.ok) skip(levels.failure)
            else {
              const isNew = (level: InventoryLevel) => material !== product || level.warehouse > warehouse
              collected.push(...levels.value.filter(isNew))
            }
          }
          if (!isFull || last === undefined) break
          from = `Material ge ${literal(last)}`
        }
        return {
          items: collected.slice(0, first).map((record) => ({ record, position: record.key })),
          hasMore: collected.length > first,
        }
      })
    },
  }
}

/* ---- what the live system says of itself ---- */

/** Every property that is read or written, held against `$metadata`. */
async function checkFields(source: Source, context: CallContext): Promise<Outcome<readonly string[]>> {
  const { client, config } = source
  const entities = [
    ['API_BUSINESS_PARTNER', 'A_BusinessPartner', selectOf(config, 'customer')],
    ['API_PRODUCT_SRV', 'A_Product', selectOf(config, 'product')],
    [STOCK_SERVICE, 'A_MatlStkInAcctMod', STOCK_FIELDS],
    [ORDER_SERVICE, 'A_SalesOrder', selectOf(config, 'order')],
    [config.deliveryService, 'A_OutbDeliveryHeader', selectOf(config, 'delivery')],
    [BILLING_SERVICE, 'A_BillingDocument', selectOf(config, 'invoice')],
  ] as const
  const sentences: string[] = []
  for (const [service, set, select] of entities) {
    const model = await outcomeOf(async () => readModel(readXml(await client.metadata(service, context))))
    if (!model.ok) {
      if (model.failure.kind === 'unavailable' || model.failure.kind === 'unauthorized') return model
      sentences.push(`${service}: ${failureText(model.failure)}`)
      continue
    }
    const type = model.value.sets.get(set)
    if (type === undefined) {
      sentences.push(`${service} has no entity set ${set}.`)
      continue
    }
    // A navigation that is missing is said once, not for each property behind it.
    const missing = select.map((path) => model.value.missing(type, path.split('/')))
    for (const path of new Set(missing)) {
      if (path !== null) sentences.push(`${set} has no property ${path}.`)
    }
  }
  return ok(sentences)
}

interface Model {
  /** Names of entity types by entity set. */
  readonly sets: ReadonlyMap<string, string>
  /** The path up to the first step that is not there; null: all of it is. */
  missing(type: string, path: readonly string[]): string | null
}

function readModel(root: XmlElement): Model {
  const all = (element: XmlElement, name: string): XmlElement[] =>
    element.children.flatMap((child) => [...(child.name === name ? [child] : []), ...all(child, name)])
  const bare = (name: string | undefined) => name?.split('.').at(-1) ?? ''
  const named = (elements: readonly XmlElement[]) =>
    new Map(elements.map((element) => [element.attributes.get('Name') ?? '', element]))
  const types = named(all(root, 'EntityType'))
  const associations = named(all(root, 'Association'))

  const target = (navigation: XmlElement): string => {
    const association = associations.get(bare(navigation.attributes.get('Relationship')))
    const end = association?.children.find(
      (one) => one.attributes.get('Role') === navigation.attributes.get('ToRole'),
    )
    return bare(end?.attributes.get('Type'))
  }
  const missing = (type: string, [step = '', ...rest]: readonly string[]): string | null => {
    const found = types.get(type)?.children.find((child) => child.attributes.get('Name') === step)
    if (found?.name !== (rest.length === 0 ? 'Property' : 'NavigationProperty')) return step
    const behind = rest.length === 0 ? null : missing(target(found), rest)
    return behind === null ? null : `${step}/${behind}`
  }
  return {
    sets: new Map(
      all(root, 'EntitySet').map((set) => [
        set.attributes.get('Name') ?? '',
        bare(set.attributes.get('EntityType')),
      ]),
    ),
    missing,
  }
}
