/** A warehouse system that follows the published contract (`openapi.yaml`), or one with other paths and names. */
import { z } from 'zod'
import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import type {
  CallContext,
  ChangePage,
  CreateAdapter,
  DeliveryCreate,
  ListFilter,
  ListPage,
  ListQuery,
  Lookup,
  ReservationCreate,
} from '../port.ts'
import { type Delivery, type InventoryLevel, type Key, type RecordTypes, splitKey } from '../records.ts'
import { inBatches } from './batches.ts'
import { broken, createRestWmsClient } from './client.ts'
import type { RestWmsConfig } from './config.ts'
import { createMapping, fieldText, stockKeyOf } from './mapping.ts'
import { createWebhook } from './webhook.ts'
import { createWrites, type Document, type RecordSource } from './writes.ts'

type Held = 'warehouse' | 'product' | 'inventoryLevel' | 'reservation' | 'delivery'
type Told = 'inventoryLevel' | 'reservation' | 'delivery'

/** And how they are listed. */
interface Source<T extends Held> extends RecordSource<T> {
  /** The parts of a record's place in the order in which the WMS lists. */
  readonly place: readonly string[]
  /** The filter as query parameters. */
  readonly filter: (filter: ListFilter) => Outcome<Record<string, string>>
}

/** Where change polling goes on: a place in the feed and, after the feed was lost, a place in a walk over everything. */
const checkpointSchema = z.strictObject({ cursor: z.string(), walk: z.string().nullable().optional() })

/** What the feed calls the events of a record type. */
const EVENT_TYPES: Readonly<Record<Told, string>> = {
  inventoryLevel: 'INVENTORY_CHANGED',
  reservation: 'RESERVATION_CHANGED',
  delivery: 'DELIVERY_CHANGED',
}

export const createRestWms: CreateAdapter<RestWmsConfig> = (config, { log, timeoutMs }) => {
  const { fields, paths } = config
  const client = createRestWmsClient(config, timeoutMs, log)
  const mapping = createMapping(config)

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
    filter: nothing('Stock'),
  }
  const reservations: Source<'reservation'> = {
    type: 'reservation',
    path: paths.reservations,
    read: mapping.reservation,
    keyOf: (raw) => fieldText(raw, fields.reservation.id),
    place: [fields.reservation.createdAt, fields.reservation.id],
    filter: searchOnly('Reservations'),
  }
  const deliveries: Source<'delivery'> = {
    type: 'delivery',
    path: paths.deliveries,
    read: mapping.delivery,
    keyOf: (raw) => fieldText(raw, fields.delivery.id),
    place: [fields.delivery.createdAt, fields.delivery.id],
    filter: searchOnly('Deliveries'),
  }

  /* ---- reading ---- */

  const readMany = <T extends Exclude<Held, 'inventoryLevel'>>(
    source: RecordSource<T>,
    keys: readonly Key[],
    context: CallContext,
  ) =>
    inBatches<RecordTypes[T] | null>(keys, config.batchLimit, null, async (batch) => {
      const found = new Map<Key, Outcome<RecordTypes[T] | null>>()
      const { items } = await client.getPage(source.path, { ids: batch.join(',') }, context)
      let nameless: Outcome<RecordTypes[T]> | undefined
      for (const raw of items) {
        const outcome = source.read(raw)
        const key = outcome.ok ? outcome.value.key : source.keyOf(raw)
        if (key !== undefined) found.set(key, outcome)
        else nameless = outcome
      }
      // A record without a key could be any of those that seem to be missing.
      if (nameless) for (const key of batch) if (!found.has(key)) found.set(key, nameless)
      return found
    })

  const readOne = async <T extends Exclude<Held, 'inventoryLevel'>>(
    source: RecordSource<T>,
    key: Key,
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>> => (await readMany(source, [key], context))[0] ?? ok(null)

  /** The rows of stock of each product. */
  const rowsOf = (skus: readonly Key[], context: CallContext) =>
    inBatches<readonly unknown[]>(skus, config.batchLimit, [], async (batch) => {
      const rows = new Map<Key, unknown[]>()
      const { items } = await client.getPage(stock.path, { skuIds: batch.join(',') }, context)
      for (const raw of items) {
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

  /** Reservations and deliveries of orders, by the number that the ordering system prints. */
  const byOrderNumber = <T extends Document>(
    source: Source<T>,
    numbersOf: (record: RecordTypes[T]) => readonly string[],
    numberField: string,
  ): Lookup<T> => ({
    batchLimit: config.batchLimit,
    read: (keys, context) =>
      inBatches<readonly RecordTypes[T][]>(keys, config.batchLimit, [], async (batch) => {
        const found = new Map<Key, Outcome<readonly RecordTypes[T][]>>()
        const seen = new Set<Key>()
        for await (const page of walk(
          source,
          { orderNumbers: batch.join(',') },
          config.pageLimit,
          undefined,
          context,
        )) {
          for (const { raw } of page.items) {
            const outcome = source.read(raw)
            if (!outcome.ok) {
              // Half of an order's documents would look like all of them.
              const number = fieldText(raw, numberField)
              for (const key of number === undefined ? batch : [number]) found.set(key, outcome)
              continue
            }
            if (seen.has(outcome.value.key)) continue
            seen.add(outcome.value.key)
            for (const number of numbersOf(outcome.value)) {
              const list = found.get(number) ?? ok([])
              if (list.ok) found.set(number, ok([...list.value, outcome.value]))
            }
          }
        }
        return found
      }),
  })

  interface Stretch {
    readonly items: readonly { readonly raw: unknown; readonly position: string }[]
    readonly hasMore: boolean
  }

  /** In the order of the WMS; a record added meanwhile has its own place and moves no other. */
  async function* walk<T extends Held>(
    source: Source<T>,
    query: Record<string, string>,
    first: number,
    after: string | undefined,
    context: CallContext,
  ): AsyncGenerator<Stretch> {
    const limit = String(Math.min(first, config.pageLimit))
    for (let place = after; ; ) {
      const paging: Record<string, string> = place === undefined ? { limit } : { limit, after: place }
      const { items, hasMore } = await client.getPage(source.path, { ...query, ...paging }, context)
      const placed = items.map((raw) => ({ raw, position: placeOf(source, raw) }))
      yield { items: placed, hasMore }
      if (!hasMore || placed.length === 0) return
      const last = placed.at(-1)?.position
      if (last === place) throw new SourceError(broken(source.path, 'the next page is the same again'))
      place = last
    }
  }

  const placeOf = <T extends Held>(source: Source<T>, raw: unknown): string => {
    const parts = source.place.map((name) => fieldText(raw, name))
    if (parts.every((part) => part !== undefined)) return parts.join(',')
    const missing = `a record without ${source.place.join(' or ')} has no place in the list`
    throw new SourceError(broken(source.path, missing))
  }

  /** What cannot be read is left out of lists, and said to the operator: one bad record must not hide the rest. */
  const readable = <T extends Held>(source: Source<T>, raw: unknown): RecordTypes[T][] => {
    const outcome = source.read(raw)
    if (outcome.ok) return [outcome.value]
    log.warn({ path: source.path, failure: failureText(outcome.failure) }, 'a record cannot be read')
    return []
  }

  /** @throws SourceError */
  const listPage = async <T extends Held>(
    source: Source<T>,
    query: Record<string, string>,
    first: number,
    after: string | undefined,
    context: CallContext,
  ): Promise<ListPage<T>> => {
    const items: { record: RecordTypes[T]; position: string }[] = []
    for await (const page of walk(source, query, first, after, context)) {
      const left = first - items.length
      const read = page.items.flatMap(({ raw, position }) =>
        readable(source, raw).map((record) => ({ record, position })),
      )
      items.push(...read.slice(0, left))
      if (read.length > left || !page.hasMore || items.length === first) {
        return { items, hasMore: read.length > left || page.hasMore }
      }
    }
    return { items, hasMore: false }
  }

  const list =
    <T extends Held>(source: Source<T>) =>
    async ({ first, after, filter }: ListQuery, context: CallContext): Promise<Outcome<ListPage<T>>> => {
      const query = source.filter(filter ?? {})
      if (!query.ok) return query
      return outcomeOf(() => listPage(source, query.value, first, after, context))
    }

  const readingPort = <T extends Exclude<Held, 'inventoryLevel'>>(source: Source<T>) => ({
    batchLimit: config.batchLimit,
    readMany: (keys: readonly Key[], context: CallContext) => readMany(source, keys, context),
    list: list(source),
  })

  /* ---- changes ---- */

  /** The feed names what changed; the records are read as they are now. */
  const changes =
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
        const { cursor, walk } = checkpointSchema.parse(JSON.parse(checkpoint))
        const limit = String(config.pageLimit)

        if (walk !== undefined) {
          const page = await listPage(source, {}, config.pageLimit, walk ?? undefined, context)
          const last = page.hasMore ? page.items.at(-1)?.position : undefined
          return {
            records: page.items.map(({ record }) => record),
            checkpoint: JSON.stringify(last === undefined ? { cursor } : { cursor, walk: last }),
            // What happened during the walk stands in the feed.
            hasMore: true,
          }
        }

        const page = await client.getEvents(paths.events, { types, cursor, limit }, context)
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

  /** @throws SourceError */
  const endOfFeed = async (types: string, context: CallContext): Promise<string> => {
    const page = await client.getEvents(paths.events, { types }, context)
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

  const { createAction, namedAction } = createWrites(client, mapping, config, readOne)
  const createReservation = createAction<ReservationCreate, 'reservation'>({
    source: reservations,
    idField: fields.reservation.id,
    externalRefField: fields.reservation.externalRef,
    duplicateDetail: 'reservationId',
    body: (input, reference) => mapping.reservationBody(input, reference, new Date()),
  })
  const createDelivery = createAction<DeliveryCreate, 'delivery'>({
    source: deliveries,
    idField: fields.delivery.id,
    externalRefField: fields.delivery.externalRef,
    duplicateDetail: 'deliveryId',
    body: mapping.deliveryBody,
  })
  const closed = (direction: Delivery['direction']) => (delivery: Delivery) =>
    delivery.status === 'CLOSED' && delivery.direction === direction

  return {
    kind: 'rest-wms',
    ports: {
      warehouse: readingPort(warehouses),
      product: readingPort(products),
      inventoryLevel: {
        batchLimit: config.batchLimit,
        readMany: readLevels,
        lookups: { byProduct: levelsByProduct },
        list: list(stock),
        changes: changes(stock, readLevels),
      },
      reservation: {
        ...readingPort(reservations),
        lookups: {
          byOrderNumber: byOrderNumber(
            reservations,
            ({ orderNumber }) => (orderNumber ? [orderNumber] : []),
            fields.reservation.orderNumber,
          ),
        },
        changes: changes(reservations, (keys, context) => readMany(reservations, keys, context)),
        create: createReservation,
        actions: {
          // One that lapsed has given its goods back as well.
          release: namedAction(reservations, 'release', ({ status }) =>
            ['RELEASED', 'EXPIRED'].includes(status),
          ),
        },
      },
      delivery: {
        ...readingPort(deliveries),
        lookups: {
          byOrderNumber: byOrderNumber(
            deliveries,
            ({ orderNumbers = [] }) => orderNumbers,
            fields.delivery.orderNumber,
          ),
        },
        changes: changes(deliveries, (keys, context) => readMany(deliveries, keys, context)),
        create: createDelivery,
        actions: {
          ship: namedAction(deliveries, 'ship', closed('OUTBOUND')),
          receive: namedAction(deliveries, 'receive', closed('INBOUND')),
          cancel: namedAction(deliveries, 'cancel', ({ status }) => status === 'CANCELLED'),
        },
      },
    },
    health: (context) =>
      outcomeOf(async () => {
        await client.getPage(paths.warehouses, { limit: '1' }, context)
        return { detail: `REST WMS at ${new URL(config.baseUrl).host}: warehouses can be read` }
      }),
    async checkConfiguration(context) {
      const { defaultWarehouse } = config
      if (defaultWarehouse === undefined) return ok([])
      const read = await readOne(warehouses, defaultWarehouse, context)
      if (!read.ok) return read
      return ok(read.value ? [] : [`defaultWarehouse: there is no warehouse "${defaultWarehouse}".`])
    },
    ...(config.webhook ? { webhook: createWebhook(config.webhook, mapping) } : {}),
    async close() {
      client.close()
    },
  }
}

/** Query parameters; those without a value are left out. */
const queryOf = (parameters: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).filter((entry): entry is [string, string] => !!entry[1]))

const unsupported = (message: string): Outcome<never> => fail({ kind: 'unsupported', message })

/** All, or the first failure: half of them would look like all. */
function allOf<V>(outcomes: readonly Outcome<V>[]): Outcome<readonly V[]> {
  const values: V[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    values.push(outcome.value)
  }
  return ok(values)
}
