/** An ERP that speaks the standard interface of seed 002 §2.2, more than that, or only the little of seed 000. */
import { z } from 'zod'
import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { inBatches, isAddressable } from '../kit/rest/batches.ts'
import { queryOf, shaped } from '../kit/rest/client.ts'
import { fieldText } from '../kit/rest/fields.ts'
import { type Source, unsupported } from '../kit/rest/reading.ts'
import { openRest, places } from '../kit/rest/system.ts'
import { readStandardEvent } from '../kit/rest/webhook.ts'
import { AMONG_CHANGED } from '../kit/rest/writing.ts'
import type {
  CallContext,
  CreateAdapter,
  CustomerChanges,
  CustomerCreate,
  Extra,
  Lookup,
  Notification,
  OrderChanges,
  OrderCreate,
  RecordPort,
  WebhookRegistration,
} from '../port.ts'
import { type InventoryLevel, joinKey, type Key, type Order, splitKey } from '../records.ts'
import { namesOf, type RestErpConfig } from './config.ts'
import { createMapping } from './mapping.ts'

/** How far each status is on the way; an action that led there has also happened when the order is further. */
const PROGRESS: readonly Order['status'][] = ['CONFIRMED', 'IN_PROGRESS', 'SHIPPED', 'DELIVERED', 'CLOSED']

/** What the seed says of the records that this kind holds. */
const EVENTS: readonly string[] = [
  'customer.created',
  'customer.updated',
  'customer.deleted',
  'product.created',
  'product.updated',
  'product.deleted',
  'product.inventory.changed',
  'order.created',
  'order.updated',
  'order.status.changed',
  'order.shipped',
  'order.delivered',
  'order.cancelled',
]

const CUSTOMER_EXTRAS: readonly Extra[] = [
  'legalName',
  'type',
  'addresses',
  'tags',
  'currency',
  'creditLimit',
  'paymentTerms',
  'customFields',
]

const isStockEvent = (body: unknown): boolean => fieldText(body, 'event') === 'product.inventory.changed'

/** Not there, or answered in a way in which servers speak of paths that they do not have. */
const isMissing = (outcome: Outcome<unknown>): boolean =>
  outcome.ok ? outcome.value === null : ['invalid-response', 'rejected'].includes(outcome.failure.kind)

const registrationSchema = z.looseObject({ id: z.string().min(1) })

export const createRestErp: CreateAdapter<RestErpConfig> = (config, options) => {
  const { log } = options
  const { contract } = config
  const { paths, fields } = namesOf(config)
  const extended = contract === 'extended'
  const mapping = createMapping(config)
  const rest = openRest(
    {
      ...config,
      envelope: config.envelope ?? (contract === 'plain' ? 'none' : 'success'),
      paging: config.paging ?? (extended ? 'after' : 'page'),
      batchLimit: extended ? config.batchLimit : 1,
    },
    'ERP',
    options,
  )
  const { client, reading } = rest
  const writing = rest.writing({
    uniqueExternalRef: extended,
    conditional: extended,
    repeatableActions: extended,
  })

  const merges = (config.nestedUpdates ?? (extended ? 'merged' : 'whole')) === 'merged'
  const whole = merges ? undefined : 'objects'

  const onlySearch = (what: string): Source<'customer'>['filter'] => {
    return ({ customer, search }) => {
      if (customer !== undefined) return unsupported(`${what} cannot be listed by customer.`)
      return search && !extended ? unsupported('This ERP cannot search.') : ok(queryOf({ search }))
    }
  }
  const customers: Source<'customer'> = {
    type: 'customer',
    path: paths.customers,
    read: mapping.customer,
    ...places(fields.customer),
    only: queryOf(config.only.customers),
    filter: onlySearch('Customers'),
  }
  const products: Source<'product'> = {
    type: 'product',
    path: paths.products,
    read: mapping.product,
    ...places(fields.product),
    only: queryOf(config.only.products),
    filter: onlySearch('Products'),
  }
  const orders: Source<'order'> = {
    type: 'order',
    path: paths.orders,
    read: mapping.order,
    ...places(fields.order),
    filter: ({ customer, search }) => ok(queryOf({ customerIds: customer, search })),
  }

  /* ---- timelines ---- */

  /** What the seed itself lists of an order: `/orders/ID/status`. */
  const readStatus = async (key: Key, context: CallContext) => {
    const path = `${paths.orders}/${encodeURIComponent(key)}/status`
    return outcomeOf(async () => (await client.get(path, {}, context)).data)
  }

  /** An order whose timeline cannot be had is still an order. */
  const withTimeline = async (
    outcome: Outcome<Order | null>,
    context: CallContext,
  ): Promise<Outcome<Order | null>> => {
    if (!outcome.ok || outcome.value === null || outcome.value.timeline) return outcome
    if (!config.timeline || contract === 'plain') return outcome
    const order = outcome.value
    const asked = await readStatus(order.key, context)
    const timeline = asked.ok ? mapping.timeline(asked.value) : asked
    if (timeline.ok) return ok({ ...order, timeline: timeline.value })
    log.warn(
      { path: `${paths.orders}/…/status`, failure: timeline.failure.kind },
      'a timeline cannot be read',
    )
    return outcome
  }

  /**
   * The seed lists `/orders/ID/status` and no `/orders/ID`, though its own adapter has a `getOrder`: where the second
   * is not there, the first tells at least how the order stands.
   */
  const byStatus = async (key: Key, without: Outcome<Order | null>, context: CallContext) => {
    if (contract !== 'standard' || !isAddressable(key)) return without
    const asked = await readStatus(key, context)
    const order = asked.ok ? mapping.orderByStatus(key, asked.value) : asked
    return order.ok ? order : without
  }

  const orderReading = reading.port(orders)
  const readOrders: RecordPort<'order'>['readMany'] = async (keys, context) => {
    const read = await orderReading.readMany(keys, context)
    const outcomes = await Promise.all(
      read.map((outcome, index) =>
        isMissing(outcome) ? byStatus(keys[index] ?? '', outcome, context) : outcome,
      ),
    )
    const distinct = new Map(keys.map((key, index) => [key, outcomes[index] ?? ok(null)]))
    const told = new Map(
      await Promise.all(
        [...distinct].map(async ([key, outcome]) => [key, await withTimeline(outcome, context)] as const),
      ),
    )
    return keys.map((key) => told.get(key) ?? ok(null))
  }

  /* ---- products ---- */

  const productReading = reading.port(products)
  /** Whether this ERP has `/products/ID`, which the seed does not list; unknown until one is found or none can be. */
  let hasProductPath: boolean | undefined

  /** A product that the list shows must be at its own path, or there are no such paths. */
  const learnProductPath = async (context: CallContext): Promise<void> => {
    const { items } = await reading.listPage(products, {}, 1, undefined, context)
    const known = items[0]?.record.key
    if (known === undefined) return
    const [shown = ok(null)] = await productReading.readMany([known], context)
    if (shown.ok || isMissing(shown)) hasProductPath = shown.ok && shown.value !== null
  }

  const findInList = async (key: Key, context: CallContext) => {
    for (let after: string | undefined; ; ) {
      const { items, hasMore } = await reading.listPage(products, {}, config.pageLimit, after, context)
      const found = items.find(({ record }) => record.key === key)
      if (found) return found.record
      after = items.at(-1)?.position
      if (!hasMore || after === undefined) return null
    }
  }

  const readProducts: RecordPort<'product'>['readMany'] = async (keys, context) => {
    const read =
      hasProductPath === false ? keys.map(() => ok(null)) : await productReading.readMany(keys, context)
    if (contract !== 'standard' || hasProductPath) return read
    return Promise.all(
      read.map(async (outcome, index) => {
        if (!isMissing(outcome)) {
          if (outcome.ok) hasProductPath = true
          return outcome
        }
        const found = await outcomeOf(async () => {
          if (hasProductPath === undefined) await learnProductPath(context)
          return hasProductPath === false ? findInList(keys[index] ?? '', context) : null
        })
        return hasProductPath === false ? found : outcome
      }),
    )
  }

  /* ---- stock ---- */

  const levelsOf = (skus: readonly Key[], context: CallContext) =>
    inBatches<readonly InventoryLevel[]>(skus, 1, [], async ([product = '']) => {
      const path = `${paths.products}/${encodeURIComponent(product)}/inventory`
      const answer = await outcomeOf(() => client.get(path, {}, context))
      if (!answer.ok && answer.failure.kind !== 'not-found') throw new SourceError(answer.failure)
      return new Map([[product, answer.ok ? mapping.stock(product, answer.value.data) : ok([])]])
    })

  const changedProducts = reading.changes(products)
  const stock: RecordPort<'inventoryLevel'> = {
    batchLimit: 1,
    async readMany(keys, context) {
      const productOf = (key: Key): Key => splitKey(key)[0] ?? ''
      const skus = [...new Set(keys.map(productOf))]
      const read = await levelsOf(skus, context)
      const levels = new Map(read.map((outcome, index) => [skus[index], outcome]))
      return keys.map((key) => {
        const ofProduct = levels.get(productOf(key)) ?? ok([])
        return ofProduct.ok ? ok(ofProduct.value.find((level) => level.key === key) ?? null) : ofProduct
      })
    },
    lookups: { byProduct: { batchLimit: 1, read: levelsOf } },
    // The stock stands in the product too: where it moves, the product has changed.
    changes: (checkpoint, context) =>
      outcomeOf(async () => {
        const page = await changedProducts(checkpoint, context)
        if (!page.ok) throw new SourceError(page.failure)
        const read = await levelsOf([...new Set(page.value.records.map(({ key }) => key))], context)
        const records: InventoryLevel[] = []
        for (const levels of read) {
          if (levels.ok) records.push(...levels.value)
          else if (levels.failure.kind !== 'invalid-response') throw new SourceError(levels.failure)
          else log.warn({ failure: failureText(levels.failure) }, 'the stock of a product cannot be read')
        }
        return { ...page.value, records }
      }),
  }

  /* ---- orders ---- */

  /** What cannot be read is left out: whether it is needed the ERP says itself. */
  const completed = async (body: Record<string, unknown>, input: OrderCreate, context: CallContext) => {
    const wanted = [...new Set(input.lines.map(({ product }) => product))]
    const [[buyer], wares] = await Promise.all([
      reading.port(customers).readMany([input.customer], context),
      readProducts(wanted, context),
    ])
    const found = wares.flatMap((ware) => (ware.ok && ware.value ? [ware.value] : []))
    return mapping.wholeOrder(body, input, {
      customer: buyer?.ok ? buyer.value : null,
      products: new Map(found.map((ware) => [ware.key, ware])),
    })
  }

  const byNumber: Lookup<'order'> = reading.lookup(
    orders,
    'orderNumbers',
    ({ number }) => [number],
    fields.order.number,
  )
  const byCustomer: Lookup<'order'> = reading.lookup(
    orders,
    'customerIds',
    ({ customer }) => [customer],
    fields.order.customer,
  )
  const statusAction = (code: string, reached: Order['status']) =>
    writing.action<'order'>({
      source: orders,
      verb: 'status',
      method: 'PUT',
      body: { status: code },
      isDone: ({ status }) =>
        status === reached ||
        (PROGRESS.includes(reached) && PROGRESS.indexOf(status) > PROGRESS.indexOf(reached)),
    })

  const { statusCodes } = config
  const order: RecordPort<'order'> = {
    batchLimit: orderReading.batchLimit,
    readMany: readOrders,
    ...(extended
      ? {
          lookups: { byNumber, byCustomer },
          list: orderReading.list,
          changes: reading.changes(orders),
        }
      : {}),
    ...(contract === 'plain'
      ? {}
      : {
          create: writing.create<OrderCreate, 'order'>({
            source: orders,
            externalRefField: fields.order.externalRef,
            findBy: extended ? 'externalRef' : null,
            duplicateDetail: 'externalId',
            takes: mapping.takes.create,
            refuse: mapping.refuseOrder,
            body: (input, _, write) => mapping.orderBody(input, write),
            ...((config.newOrders ?? (extended ? 'given' : 'whole')) === 'whole' ? { completed } : {}),
          }),
          update: writing.update<OrderChanges, 'order'>({
            source: orders,
            takes: mapping.takes.update,
            whole,
            refuse: mapping.refuseChanges,
            body: mapping.changesBody,
            missing: mapping.missingInOrder,
          }),
          actions: {
            confirm: statusAction(statusCodes.confirm, 'CONFIRMED'),
            process: statusAction(statusCodes.process, 'IN_PROGRESS'),
            ship: statusAction(statusCodes.ship, 'SHIPPED'),
            deliver: statusAction(statusCodes.deliver, 'DELIVERED'),
            cancel: statusAction(statusCodes.cancel, 'CANCELLED'),
          },
        }),
  }

  /* ---- being told ---- */

  /** The event says of which product, not where. */
  const ofStock = (told: Notification): Notification[] =>
    config.warehouses.map((warehouse) => ({
      ...told,
      id: `${told.id}/${warehouse}`,
      type: 'inventoryLevel',
      key: joinKey([told.key, warehouse]),
    }))

  const registration = (secret: string): WebhookRegistration => ({
    register: (url, context, { events = EVENTS } = {}) =>
      outcomeOf(async () => {
        const retryPolicy = { maxRetries: 5, retryDelay: 1_000, backoffMultiplier: 2 }
        const request = {
          method: 'POST',
          path: paths.webhooks,
          headers: { 'content-type': 'application/json; charset=utf-8' },
          body: JSON.stringify({ url, events, secret, retryPolicy }),
        }
        const { data, located } = await client.write(request, context)
        return fieldText(data, 'id') ?? located ?? shaped(registrationSchema, data, paths.webhooks).id
      }),
    async unregister(id, context) {
      if (!isAddressable(id)) return fail({ kind: 'not-found', message: `There is no webhook "${id}".` })
      const path = `${paths.webhooks}/${encodeURIComponent(id)}`
      const gone = await outcomeOf(() => client.write({ method: 'DELETE', path }, context))
      // Whoever took it away before us did what was wanted.
      return gone.ok || gone.failure.kind === 'not-found' ? ok(undefined) : gone
    },
  })

  return {
    kind: 'rest-erp',
    ports:
      contract === 'plain'
        ? { product: { batchLimit: 1, readMany: reading.port(products).readMany }, order }
        : {
            customer: {
              ...reading.port(customers),
              changes: reading.changes(customers),
              create: writing.create<CustomerCreate, 'customer'>({
                source: customers,
                takes: CUSTOMER_EXTRAS,
                externalRefField: fields.customer.externalRef,
                findBy: extended ? 'externalRef' : AMONG_CHANGED,
                duplicateDetail: 'externalId',
                refuse: mapping.refuseCustomer,
                body: mapping.newCustomerBody,
              }),
              update: writing.update<CustomerChanges, 'customer'>({
                source: customers,
                takes: CUSTOMER_EXTRAS.filter((extra) => extra !== 'type'),
                whole,
                refuseFor: mapping.refuseCustomerAs,
                refuse: mapping.refuseCustomer,
                body: mapping.customerBody,
                missing: mapping.missingInCustomer,
              }),
            },
            product: { ...productReading, readMany: readProducts, changes: changedProducts },
            inventoryLevel: stock,
            order,
          },
    health:
      contract === 'plain'
        ? (context) =>
            outcomeOf(async () => {
              // The plain interface has no list: an order that is not there proves as much.
              const read = await reading.readOne(orders, '0', context)
              if (!read.ok) throw new SourceError(read.failure)
              return { detail: `REST ERP at ${new URL(config.baseUrl).host}: orders can be read` }
            })
        : rest.health(paths.customers, 'customers'),
    ...rest.told((body, id) => {
      const told = readStandardEvent(body, id, ['customer', 'product', 'order'], mapping.toDateTime)
      return typeof told === 'string' || !isStockEvent(body) ? told : [...told, ...told.flatMap(ofStock)]
    }),
    ...(contract === 'plain' || !config.webhook ? {} : { registration: registration(config.webhook.secret) }),
    close: rest.close,
  }
}
