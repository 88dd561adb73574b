/** A warehouse system that follows the published contract (`openapi.yaml`), or one with other paths and names. */
import { z } from 'zod'
import { failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { readCheckpoint } from '../kit/checkpoint.ts'
import { inBatches } from '../kit/rest/batches.ts'
import { broken, queryOf } from '../kit/rest/client.ts'
import { fieldText } from '../kit/rest/fields.ts'
import { allOf, type Source, unsupported } from '../kit/rest/reading.ts'
import { openRest, places } from '../kit/rest/system.ts'
import type {
  CallContext,
  ChangePage,
  CreateAdapter,
  DeliveryCreate,
  ListFilter,
  Lookup,
  Notification,
  ReservationCreate,
} from '../port.ts'
import { type Delivery, type InventoryLevel, type Key, type RecordTypes, splitKey } from '../records.ts'
import type { RestWmsConfig } from './config.ts'
import { readFeed } from './feed.ts'
import { createMapping, stockKeyOf } from './mapping.ts'

type Told = 'inventoryLevel' | 'reservation' | 'delivery'

/** Where change polling goes on: a place in the feed and, after the feed was lost, a place in a walk over everything. */
const checkpointSchema = z.strictObject({ cursor: z.string(), walk: z.string().nullable().optional() })

/** What the feed calls the events of a record type. */
const EVENT_TYPES: Readonly<Record<Told, string>> = {
  inventoryLevel: 'INVENTORY_CHANGED',
  reservation: 'RESERVATION_CHANGED',
  delivery: 'DELIVERY_CHANGED',
}

export const createRestWms: CreateAdapter<RestWmsConfig> = (config, options) => {
  const { log } = options
  const { fields, paths } = config
  const mapping = createMapping(config)
  const rest = openRest(config, 'WMS', options)
  const { client, reading } = rest
  const writing = rest.writing({ ...config, conditional: config.conditionalWrites })

  const searchOnly =
    (what: string) =>
    ({ customer, search }: ListFilter): Outcome<Record<string, string>> =>
      customer === undefined ? ok(queryOf({ search })) : unsupported(`${what} cannot be listed by customer.`)
  const nothing =
    (what: string) =>
    ({ customer, search }: ListFilter): Outcome<Record<string, string>> =>
      customer === undefined && !search ? ok({}) : unsupported(`${what} cannot be searched.`)

  const warehouses: Source<'warehouse'> = {
    type: 'warehouse',
    path: paths.warehouses,
    read: mapping.warehouse,
    keyOf: (raw) => fieldText(raw, fields.warehouse.id),
    place: [fields.warehouse.id],
    filter: nothing('Warehouses'),
  }
  const products: Source<'product'> = {
    type: 'product',
    path: paths.products,
    read: mapping.product,
    keyOf: (raw) => fieldText(raw, fields.product.id),
    place: [fields.product.id],
    filter: searchOnly('Products'),
  }
  const stock: Source<'inventoryLevel'> = {
    type: 'inventoryLevel',
    path: paths.inventory,
    read: mapping.inventoryLevel,
    keyOf: (raw) => stockKeyOf(raw, fields.stock),
    place: [fields.stock.product, fields.stock.warehouse],
    changed: [fields.stock.updatedAt, fields.stock.product, fields.stock.warehouse],
    filter: nothing('Stock'),
  }
  const reservations: Source<'reservation'> = {
    type: 'reservation',
    path: paths.reservations,
    read: mapping.reservation,
    ...places(fields.reservation),
    filter: searchOnly('Reservations'),
  }
  const deliveries: Source<'delivery'> = {
    type: 'delivery',
    path: paths.deliveries,
    read: mapping.delivery,
    ...places(fields.delivery),
    filter: searchOnly('Deliveries'),
  }

  /* ---- reading ---- */

  /** The rows of stock of each product. */
  const rowsOf = (skus: readonly Key[], context: CallContext) =>
    inBatches<readonly unknown[]>(skus, config.batchLimit, [], async (batch) => {
      const rows = new Map<Key, unknown[]>()
      for (const raw of await reading.wholeOf(stock, { skuIds: batch.join(',') }, context)) {
        const sku = fieldText(raw, fields.stock.product)
        if (sku === undefined) throw new SourceError(broken(stock.path, 'a row of stock without a product'))
        const list = rows.get(sku) ?? []
        rows.set(sku, list)
        list.push(raw)
      }
      return new Map([...rows].map(([sku, list]) => [sku, ok(list)]))
    })

  const readLevels = async (
    keys: readonly Key[],
    context: CallContext,
  ): Promise<Outcome<InventoryLevel | null>[]> => {
    const skuOf = (key: Key): Key => splitKey(key)[0] ?? ''
    const skus = [...new Set(keys.map(skuOf))]
    const read = await rowsOf(skus, context)
    const rows = new Map(read.map((outcome, index) => [skus[index], outcome]))
    return keys.map((key) => {
      const ofProduct = rows.get(skuOf(key)) ?? ok([])
      if (!ofProduct.ok) return ofProduct
      const raw = ofProduct.value.find((one) => stock.keyOf(one) === key)
      return raw === undefined ? ok(null) : stock.read(raw)
    })
  }

  const levelsByProduct: Lookup<'inventoryLevel'> = {
    batchLimit: config.batchLimit,
    async read(keys, context) {
      const read = await rowsOf(keys, context)
      return read.map((rows) => (rows.ok ? allOf(rows.value.map(stock.read)) : rows))
    },
  }

  /* ---- changes ---- */

  /** The feed names what changed; the records are read as they are now. */
  const changesInFeed =
    <T extends Told>(
      source: Source<T>,
      read: (
        keys: readonly Key[],
        context: CallContext,
      ) => Promise<readonly Outcome<RecordTypes[T] | null>[]>,
    ) =>
    (checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<T>>> =>
      outcomeOf(async (): Promise<ChangePage<T>> => {
        const types = EVENT_TYPES[source.type]
        if (checkpoint === null) {
          return {
            records: [],
            checkpoint: JSON.stringify({ cursor: await endOfFeed(types, context) }),
            hasMore: false,
          }
        }
        const { cursor, walk } = readCheckpoint(checkpointSchema, checkpoint)
        const limit = String(config.pageLimit)

        if (walk !== undefined) {
          const page = await reading.listPage(source, {}, config.pageLimit, walk ?? undefined, context)
          const last = page.hasMore ? page.items.at(-1)?.position : undefined
          return {
            records: page.items.map(({ record }) => record),
            checkpoint: JSON.stringify(last === undefined ? { cursor } : { cursor, walk: last }),
            // What happened during the walk stands in the feed.
            hasMore: true,
          }
        }

        const page = await readFeed(client, paths.events, { types, cursor, limit }, context)
        if (page === null) {
          // Nobody can say what was missed: everything is compared, and what happens meanwhile is in the feed.
          log.warn({ path: paths.events, types }, 'the feed does not reach back so far: reading everything')
          const restart = { cursor: await endOfFeed(types, context), walk: null }
          return { records: [], checkpoint: JSON.stringify(restart), hasMore: true }
        }
        if (page.hasMore && page.cursor === cursor) {
          throw new SourceError(broken(paths.events, 'the feed stands still'))
        }
        const keys = [...new Set(page.items.flatMap((raw) => keyToldBy(source.type, raw)))]
        const records: RecordTypes[T][] = []
        const deleted: Key[] = []
        for (const [index, outcome] of (await read(keys, context)).entries()) {
          const key = keys[index]
          if (outcome.ok && outcome.value !== null) records.push(outcome.value)
          else if (outcome.ok && key !== undefined) deleted.push(key)
          else if (!outcome.ok && outcome.failure.kind === 'invalid-response') {
            log.warn({ path: source.path, failure: failureText(outcome.failure) }, 'a record cannot be read')
          } else if (!outcome.ok) throw new SourceError(outcome.failure)
        }
        return {
          records,
          ...(deleted.length === 0 ? {} : { deleted }),
          checkpoint: JSON.stringify({ cursor: page.cursor }),
          hasMore: page.hasMore,
        }
      })

  const changes: typeof changesInFeed = (source, read) =>
    config.feed ? changesInFeed(source, read) : reading.changes(source)

  /** @throws SourceError */
  const endOfFeed = async (types: string, context: CallContext): Promise<string> => {
    const page = await readFeed(client, paths.events, { types }, context)
    if (page === null) throw new SourceError(broken(paths.events, 'the feed does not tell where it ends'))
    return page.cursor
  }

  const keyToldBy = (type: Told, raw: unknown): Key[] => {
    const event = mapping.event(raw)
    if (typeof event === 'string') {
      log.warn({ path: paths.events, failure: event }, 'an event cannot be read')
      return []
    }
    return event?.type === type ? [event.key] : []
  }

  /* ---- writing ---- */

  const findBy = config.findExternalRef ? 'externalRef' : null
  const createReservation = writing.create<ReservationCreate, 'reservation'>({
    source: reservations,
    externalRefField: fields.reservation.externalRef,
    findBy,
    duplicateDetail: 'reservationId',
    refuse: mapping.refuse,
    body: (input, reference) => mapping.reservationBody(input, reference, new Date()),
  })
  const createDelivery = writing.create<DeliveryCreate, 'delivery'>({
    source: deliveries,
    externalRefField: fields.delivery.externalRef,
    findBy,
    duplicateDetail: 'deliveryId',
    refuse: mapping.refuse,
    body: mapping.deliveryBody,
  })
  /** The id in the signed headers, where there is one, and the one in the body must agree. */
  const told = (body: unknown, id: string | null): readonly Notification[] | string => {
    const event = mapping.event(body)
    if (event === null || typeof event === 'string') return event ?? []
    return id === null || event.id === id ? [event] : 'eventId is not the one in the header webhook-id'
  }

  const closed = (direction: Delivery['direction']) => (delivery: Delivery) =>
    delivery.status === 'CLOSED' && delivery.direction === direction

  return {
    kind: 'rest-wms',
    ports: {
      warehouse: reading.port(warehouses),
      product: reading.port(products),
      inventoryLevel: {
        batchLimit: config.batchLimit,
        readMany: readLevels,
        lookups: { byProduct: levelsByProduct },
        list: reading.list(stock),
        changes: changes(stock, readLevels),
      },
      reservation: {
        ...reading.port(reservations),
        lookups: {
          byOrderNumber: reading.lookup(
            reservations,
            'orderNumbers',
            ({ orderNumber }) => [orderNumber],
            fields.reservation.orderNumber,
          ),
        },
        changes: changes(reservations, (keys, context) => reading.readMany(reservations, keys, context)),
        create: createReservation,
        actions: {
          // One that lapsed has given its goods back as well.
          release: writing.action({
            source: reservations,
            verb: 'release',
            isDone: ({ status }) => ['RELEASED', 'EXPIRED'].includes(status),
          }),
        },
      },
      delivery: {
        ...reading.port(deliveries),
        lookups: {
          byOrderNumber: reading.lookup(
            deliveries,
            'orderNumbers',
            ({ orderNumbers = [] }) => orderNumbers,
            fields.delivery.orderNumber,
          ),
        },
        changes: changes(deliveries, (keys, context) => reading.readMany(deliveries, keys, context)),
        create: createDelivery,
        actions: {
          ship: writing.action({ source: deliveries, verb: 'ship', isDone: closed('OUTBOUND') }),
          receive: writing.action({ source: deliveries, verb: 'receive', isDone: closed('INBOUND') }),
          cancel: writing.action({
            source: deliveries,
            verb: 'cancel',
            isDone: ({ status }) => status === 'CANCELLED',
          }),
        },
      },
    },
    health: rest.health(paths.warehouses, 'warehouses'),
    async checkConfiguration(context) {
      const { defaultWarehouse } = config
      if (defaultWarehouse === undefined) return ok([])
      const read = await reading.readOne(warehouses, defaultWarehouse, context)
      if (!read.ok) return read
      return ok(read.value ? [] : [`defaultWarehouse: there is no warehouse "${defaultWarehouse}".`])
    },
    ...rest.told(told),
    close: rest.close,
  }
}
