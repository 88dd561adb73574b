/** A warehouse system that follows the published contract (`openapi.yaml`), or one with other paths and names. */
import { timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { parseJson } from '../json.ts'
import type {
  ActionInput,
  CallContext,
  ChangePage,
  CreateAdapter,
  DeliveryCreate,
  ListFilter,
  ListPage,
  ListQuery,
  Lookup,
  ReservationCreate,
  VendorRequest,
  Verdict,
  WebhookReceiver,
  WebhookRequest,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import { type Delivery, type InventoryLevel, type Key, type RecordTypes, splitKey } from '../records.ts'
import { SIGNATURE_WINDOW_MS, type SignatureVerdict, verifyWebhook } from '../signature.ts'
import { CODE_DUPLICATE_REFERENCE, createRestWmsClient, signatureOf } from './client.ts'
import type { RestWmsConfig } from './config.ts'
import { createMapping, fieldOf, fieldText, stockKeyOf } from './mapping.ts'

type Held = 'warehouse' | 'product' | 'inventoryLevel' | 'reservation' | 'delivery'
type Told = 'inventoryLevel' | 'reservation' | 'delivery'
type Document = 'reservation' | 'delivery'

/** Where records of one type are, and how one is read. */
interface Source<T extends Held> {
  readonly type: T
  readonly path: string
  readonly read: (raw: unknown) => Outcome<RecordTypes[T]>
  readonly keyOf: (raw: unknown) => Key | undefined
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
    source: Source<T>,
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

  const writeHeaders = (write: WriteContext): Record<string, string> => ({
    'content-type': 'application/json; charset=utf-8',
    ...(config.onBehalfOfHeader === null
      ? {}
      : { [config.onBehalfOfHeader.toLowerCase()]: encodeURIComponent(write.onBehalfOf.toWellFormed()) }),
  })

  interface Creation<Input, T extends Document> {
    readonly source: Source<T>
    readonly idField: string
    readonly externalRefField: string
    /** Where the WMS names the document that has the reference already. */
    readonly duplicateDetail: string
    body(input: Input, externalReference: string): Record<string, unknown>
  }

  const createAction = <Input extends ReservationCreate | DeliveryCreate, T extends Document>({
    source,
    idField,
    externalRefField,
    duplicateDetail,
    body,
  }: Creation<Input, T>): WriteAction<Input, T> => {
    const preview = (input: Input, write: WriteContext): VendorRequest => ({
      method: 'POST',
      path: source.path,
      headers: writeHeaders(write),
      body: JSON.stringify(body(input, write.externalReference)),
    })
    return {
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const refused = mapping.refuse(input)
        if (refused) return fail(refused)
        const sent = await outcomeOf(() => client.write(preview(input, write), context))
        if (sent.ok) {
          const record = source.read(sent.value)
          if (record.ok) return ok({ key: record.value.key, record: record.value, reached: 'effective' })
          const key = fieldText(sent.value, idField)
          if (key !== undefined) return ok({ key, reached: 'effective' })
          // It was made, but we were not told its key: it can be found by its reference.
          return fail({ kind: 'unknown-outcome', detail: `POST ${source.path}: no key in the answer` })
        }
        const { failure } = sent
        if (failure.kind !== 'rejected' || failure.code !== CODE_DUPLICATE_REFERENCE) return sent
        // The reference stands for this one write: what has it is what an earlier attempt made.
        const key = failure.details?.[duplicateDetail]
        if (typeof key === 'string') return ok({ key, reached: 'effective' })
        const detail = `POST ${source.path}: the reference is taken, and the answer does not say by what`
        return fail({ kind: 'unknown-outcome', detail })
      },

      verify: (_input, write, context) =>
        outcomeOf(async (): Promise<Verdict<T>> => {
          const { externalReference } = write
          const { items } = await client.getPage(source.path, { externalRef: externalReference }, context)
          for (const raw of items) {
            // A WMS that overlooks the parameter answers with everything: compare.
            if (fieldOf(raw, externalRefField) !== externalReference) continue
            const record = source.read(raw)
            const key = record.ok ? record.value.key : source.keyOf(raw)
            if (key === undefined) throw new SourceError(broken(source.path, 'a document without a key'))
            const result = {
              key,
              reached: 'effective' as const,
              ...(record.ok ? { record: record.value } : {}),
            }
            return { effect: 'done', result }
          }
          const evidence = config.uniqueExternalRef
            ? `no ${source.type} has the reference, and the WMS takes each reference only once`
            : `no ${source.type} has the reference yet`
          return { effect: 'none', proven: config.uniqueExternalRef, evidence }
        }),
    }
  }

  const namedAction = <T extends Document>(
    source: Source<T>,
    verb: string,
    isDone: (record: RecordTypes[T]) => boolean,
  ): WriteAction<ActionInput, T> => {
    const preview = ({ key, expectedVersion }: ActionInput, write: WriteContext): VendorRequest => ({
      method: 'POST',
      path: `${source.path}/${encodeURIComponent(key)}/${verb}`,
      headers: {
        ...writeHeaders(write),
        ...(expectedVersion === undefined ? {} : { 'if-match': `"${expectedVersion}"` }),
      },
      body: '{}',
    })
    const missing = (key: Key) => fail({ kind: 'not-found', message: `There is no ${source.type} "${key}".` })
    return {
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const { key, expectedVersion } = input
        if (!isAddressable(key)) return missing(key)
        if (expectedVersion !== undefined && !config.conditionalWrites) {
          return unsupported('This WMS cannot check the version of a document: leave expectedVersion out.')
        }
        // What fits into no header was never a version of this WMS: nothing is sent.
        if (expectedVersion !== undefined && !/^[!#-~]+$/.test(expectedVersion)) {
          const message = `The ${source.type} "${key}" never had the version that is expected.`
          return fail({ kind: 'conflict', message })
        }
        return outcomeOf(async (): Promise<WriteResult<T>> => {
          const record = source.read(await client.write(preview(input, write), context))
          // It is done, whatever the WMS shows of it.
          return { key, reached: 'effective', ...(record.ok ? { record: record.value } : {}) }
        })
      },

      async verify({ key }, _write, context): Promise<Outcome<Verdict<T>>> {
        if (!isAddressable(key)) return missing(key)
        const [read = ok(null)] = await readMany(source, [key], context)
        if (!read.ok) return read
        const record = read.value
        if (record === null) return missing(key)
        if (isDone(record)) return ok({ effect: 'done', result: { key, record, reached: 'effective' } })
        const state = `${source.type} ${key} is ${record.vendorStatus ?? record.status}`
        return ok({
          effect: 'none',
          proven: config.repeatableActions,
          evidence: config.repeatableActions ? `${state}; asking for it again does no harm` : state,
        })
      },
    }
  }

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

  /* ---- being told ---- */

  const webhook = (settings: NonNullable<RestWmsConfig['webhook']>): WebhookReceiver => ({
    receive(request, now) {
      const signature =
        settings.profile === 'standard'
          ? verifyWebhook(settings.secret, request, now)
          : verifySigned(settings, request, now)
      if (!signature.ok) return signature
      let event: ReturnType<typeof mapping.event>
      try {
        event = mapping.event(parseJson(request.body.toString('utf8'), 'webhook'))
      } catch (error) {
        if (!(error instanceof SourceError)) throw error
        return { ok: false, reason: 'malformed', detail: failureText(error.failure) }
      }
      if (typeof event === 'string') return { ok: false, reason: 'malformed', detail: event }
      if (event && signature.id !== '' && event.id !== signature.id) {
        return { ok: false, reason: 'malformed', detail: 'eventId is not the one in the header webhook-id' }
      }
      return { ok: true, notifications: event === null ? [] : [event] }
    },
  })

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
      const [read = ok(null)] = await readMany(warehouses, [defaultWarehouse], context)
      if (!read.ok) return read
      return ok(read.value ? [] : [`defaultWarehouse: there is no warehouse "${defaultWarehouse}".`])
    },
    ...(config.webhook ? { webhook: webhook(config.webhook) } : {}),
    async close() {
      client.close()
    },
  }
}

/** Checks `Authorization`, `X-Timestamp` and `X-Signature`. There is no id among the headers. */
function verifySigned(
  { apiKey, secret }: { readonly apiKey: string; readonly secret: string },
  { headers, body }: WebhookRequest,
  now: Date,
): SignatureVerdict {
  const timestamp = headers['x-timestamp'] ?? ''
  const given = headers['x-signature']
  if (!given || headers.authorization === undefined) {
    const detail = 'Authorization, X-Timestamp and X-Signature are needed'
    return { ok: false, reason: 'signature', detail }
  }
  if (!/^\d{1,15}$/.test(timestamp) || Math.abs(now.getTime() - Number(timestamp)) > SIGNATURE_WINDOW_MS) {
    return { ok: false, reason: 'timestamp', detail: 'X-Timestamp is not within five minutes of now' }
  }
  const matches =
    same(headers.authorization, `ApiKey ${apiKey}`) &&
    same(given.toLowerCase(), signatureOf(timestamp, apiKey, body, secret))
  return matches
    ? { ok: true, id: '' }
    : { ok: false, reason: 'signature', detail: 'X-Signature does not match' }
}

const same = (given: string, expected: string): boolean => {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Query parameters; those without a value are left out. */
const queryOf = (parameters: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).filter((entry): entry is [string, string] => !!entry[1]))

const unsupported = (message: string): Outcome<never> => fail({ kind: 'unsupported', message })

const broken = (path: string, what: string) =>
  ({ kind: 'invalid-response', detail: `GET ${path}: ${what}` }) as const

/** All, or the first failure: half of them would look like all. */
function allOf<V>(outcomes: readonly Outcome<V>[]): Outcome<readonly V[]> {
  const values: V[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    values.push(outcome.value)
  }
  return ok(values)
}

/**
 * Reads batch by batch, each distinct key once.
 * @param absent What a key has that the WMS did not mention.
 * @param read May throw SourceError: then every key of the batch fails alike.
 * @returns One outcome per key, same order.
 */
async function inBatches<V>(
  keys: readonly Key[],
  limit: number,
  absent: V,
  read: (batch: readonly Key[]) => Promise<ReadonlyMap<Key, Outcome<V>>>,
): Promise<Outcome<V>[]> {
  const outcomes = new Map<Key, Outcome<V>>()
  let refused: Outcome<never> | undefined
  for (const batch of batchesOf(keys, limit)) {
    // More attempts with refused credentials would only lock the account.
    const found = refused ?? (await outcomeOf(() => read(batch)))
    for (const key of batch) outcomes.set(key, found.ok ? (found.value.get(key) ?? ok(absent)) : found)
    if (!found.ok && found.failure.kind === 'unauthorized') refused = found
  }
  return keys.map((key) => outcomes.get(key) ?? ok(absent))
}

/** Commas separate keys in a list and dots climb in a path: no record of the contract has such a key. */
const isAddressable = (key: Key): boolean =>
  /^[^,\p{Cc}]{1,200}$/u.test(key) && /[^\s.]/.test(key) && key.isWellFormed()

/** Longer addresses are refused by servers and proxies, often without a word. */
const MAX_LIST_LENGTH = 6_000

/** Each distinct key that can exist once, cut to what one call may carry. */
function batchesOf(keys: readonly Key[], limit: number): Key[][] {
  const batches: Key[][] = []
  let length = 0
  for (const key of new Set(keys)) {
    if (!isAddressable(key)) continue
    const batch = batches.at(-1)
    const more = encodeURIComponent(key).length + '%2C'.length
    if (batch && batch.length < limit && length + more <= MAX_LIST_LENGTH) {
      batch.push(key)
      length += more
    } else {
      batches.push([key])
      length = more
    }
  }
  return batches
}
