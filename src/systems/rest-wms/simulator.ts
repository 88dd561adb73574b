/**
 * A WMS that keeps the published contract (`openapi.yaml`) strictly: it refuses what it does not know instead of
 * ignoring it, checks signatures and stock, and tells of every change in a feed and by signed webhooks. Shares no
 * code with the adapter.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { nowText } from '../../simulation/trade.ts'
import {
  availableOf,
  cancelDelivery,
  endReservation,
  openDelivery,
  receive,
  reserve,
  ship,
  stockIdOf,
} from '../../simulation/warehousing.ts'
import type {
  WmsDelivery,
  WmsEvent,
  WmsReservation,
  WmsSku,
  WmsStock,
  WmsWarehouse,
  World,
} from '../../simulation/world.ts'

export type RestWmsSimulatorAuth =
  | { readonly type: 'signature'; readonly apiKey: string; readonly secret: string }
  | { readonly type: 'bearer'; readonly token: string }

export interface RestWmsSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly auth: RestWmsSimulatorAuth
  /** Without it nobody is told of changes. */
  readonly webhook?: {
    /** A function is asked before every attempt: the gateway's port may be known only later. */
    readonly url: string | (() => string)
    readonly secret: string
    /** With a key: signed as requests are. Without: as in Standard Webhooks. */
    readonly apiKey?: string
    /** Pauses before the second, third, … attempt; then it gives up. Default 200, 800, 3200. */
    readonly retryDelaysMs?: readonly number[]
  }
  /** Most values in a list, most records in a page. Default 100. */
  readonly limit?: number
  /** The feed reaches back over so many events. Default 10000. */
  readonly keepEvents?: number
}

export interface RestWmsSimulator extends Simulator {
  /** Sends the last event again. @returns Whether there was one. */
  resendLastEvent(): Promise<boolean>
}

const WINDOW_MS = 5 * 60_000
const MAX_BODY_BYTES = 256 * 1024
const TYPES: Readonly<Record<'OUT' | 'IN', readonly string[]>> = {
  OUT: ['SALES', 'TRANSFER', 'DISPOSAL'],
  IN: ['PURCHASE', 'RETURN', 'TRANSFER'],
}
const EVENT_TYPES = ['INVENTORY_CHANGED', 'RESERVATION_CHANGED', 'DELIVERY_CHANGED']
/** Of these there are no halves. */
const WHOLE_UNITS = ['个', '台', '根']

type Shown = Readonly<Record<string, unknown>>

/** An answer that is no success. The first three digits of the code are the HTTP status. */
class Refusal extends Error {
  readonly code: number
  readonly details: Shown | undefined
  readonly headers: Readonly<Record<string, string>>
  constructor(code: number, message: string, details?: Shown, headers: Record<string, string> = {}) {
    super(message)
    this.code = code
    this.details = details
    this.headers = headers
  }
}

const badField = (field: string, message: string, more: Shown = {}) =>
  new Refusal(40002, message, { field, ...more })

export async function startRestWmsSimulator(
  world: World,
  options: RestWmsSimulatorOptions,
): Promise<RestWmsSimulator> {
  const limits = { page: options.limit ?? 100, events: options.keepEvents ?? 10_000 }
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    try {
      authenticate(options.auth, request)
      lapse(world)
      return route(world, request, limits)
    } catch (error) {
      if (error instanceof Refusal) return refuse(error)
      throw error
    }
  }
  const server = await startSimulatorServer({ ...(options.port ? { port: options.port } : {}), handle })
  const postman = options.webhook ? startPostman(world, options.webhook) : undefined
  return {
    url: server.url,
    get calls() {
      return server.calls
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    resendLastEvent: async () => (await postman?.resendLast()) ?? false,
    async close() {
      postman?.stop()
      await server.close()
    },
  }
}

/* ---- answers ---- */

/** Quantities are JSON numbers with the digits that the world keeps. */
const number = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): object }).rawJSON(text)

const envelope = (code: number, message: string, data: unknown, details?: Shown): string =>
  JSON.stringify({ code, message, data, timestamp: Date.now(), ...(details ? { details } : {}) })

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }

const succeed = (data: unknown, status = 200): SimulatedResponse => ({
  status,
  headers: JSON_TYPE,
  body: envelope(0, 'success', data),
})

const refuse = (refusal: Refusal): SimulatedResponse => ({
  status: Math.floor(refusal.code / 100),
  headers: { ...JSON_TYPE, ...refusal.headers },
  body: envelope(refusal.code, refusal.message, null, refusal.details),
})

const showWarehouse = ({ warehouseId, name, country, active }: WmsWarehouse): Shown => ({
  warehouseId,
  warehouseName: name,
  country,
  active,
})

const showSku = ({ skuId, name, barcode, unit, active, createdAt, updatedAt }: WmsSku): Shown => ({
  skuId,
  skuName: name,
  barcode,
  unit,
  active,
  createTime: createdAt,
  updateTime: updatedAt,
})

const showStock =
  (world: World) =>
  (stock: WmsStock): Shown => ({
    skuId: stock.skuId,
    warehouseId: stock.warehouseId,
    unit: unitOf(world, stock.skuId),
    onHandQty: number(stock.onHand),
    reservedQty: number(stock.reserved),
    availableQty: number(availableOf(stock).toFixed()),
    incomingQty: number(stock.incoming),
    updateTime: stock.updatedAt,
  })

const showReservation =
  (world: World) =>
  (one: WmsReservation): Shown => ({
    reservationId: one.reservationId,
    orderNo: one.orderNo,
    status: one.status,
    expireTime: one.expiresAt,
    externalRef: one.externalRef,
    remark: one.remark,
    operator: one.operator,
    attributes: one.attributes,
    lines: one.lines.map(({ lineNo, skuId, warehouseId, quantity, open }) => ({
      lineNo,
      skuId,
      warehouseId,
      qty: number(quantity),
      openQty: number(open),
      unit: unitOf(world, skuId),
    })),
    createTime: one.createdAt,
    updateTime: one.updatedAt,
    revision: one.revision,
  })

const showDelivery =
  (world: World) =>
  (one: WmsDelivery): Shown => ({
    deliveryId: one.deliveryId,
    direction: one.direction,
    deliveryType: one.deliveryType,
    orderNo: one.orderNo,
    reservationId: one.reservationId,
    warehouseId: one.warehouseId,
    status: one.status,
    planDate: one.planDate,
    recipient: one.recipient,
    trackingNo: one.trackingNo,
    externalRef: one.externalRef,
    remark: one.remark,
    operator: one.operator,
    attributes: one.attributes,
    lines: one.lines.map(({ lineNo, skuId, quantity }) => ({
      lineNo,
      skuId,
      skuName: world.get('wmsSkus', skuId)?.name ?? '',
      qty: number(quantity),
      unit: unitOf(world, skuId),
    })),
    createTime: one.createdAt,
    updateTime: one.updatedAt,
    revision: one.revision,
  })

function showEvent(event: WmsEvent): Shown {
  const { eventId, eventType } = event
  const common = { eventId, eventType, timestamp: Date.parse(event.at) }
  if (event.eventType === 'INVENTORY_CHANGED') {
    return {
      ...common,
      warehouseId: event.warehouseId,
      skuId: event.skuId,
      beforeQty: number(event.beforeQty),
      afterQty: number(event.afterQty),
      changeType: event.changeType,
      beforeAvailableQty: number(event.beforeAvailable),
      afterAvailableQty: number(event.afterAvailable),
      reference: event.reference,
    }
  }
  const { status, change } = event
  return event.eventType === 'RESERVATION_CHANGED'
    ? { ...common, reservationId: event.reservationId, status, change }
    : { ...common, deliveryId: event.deliveryId, status, change }
}

const unitOf = (world: World, skuId: string): string => world.get('wmsSkus', skuId)?.unit ?? ''

/* ---- requests ---- */

function authenticate(auth: RestWmsSimulatorAuth, request: SimulatedRequest): void {
  const given = (header: string) => String(request.headers[header] ?? '')
  if (auth.type === 'bearer') {
    if (same(given('authorization'), `Bearer ${auth.token}`)) return
    throw new Refusal(40100, '凭证缺失或错误', undefined, { 'www-authenticate': 'Bearer' })
  }
  if (!same(given('authorization'), `ApiKey ${auth.apiKey}`)) {
    throw new Refusal(40100, '凭证缺失或错误', undefined, { 'www-authenticate': 'ApiKey' })
  }
  const timestamp = given('x-timestamp')
  if (!/^\d{1,15}$/.test(timestamp) || Math.abs(Date.now() - Number(timestamp)) > WINDOW_MS) {
    throw new Refusal(40101, '时间戳超出五分钟')
  }
  const hash = createHash('sha256')
  for (const part of [timestamp, auth.apiKey, request.body, auth.secret]) hash.update(part)
  if (!same(given('x-signature'), hash.digest('hex'))) throw new Refusal(40102, '签名错误')
}

const same = (left: string, right: string): boolean => {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

interface Limits {
  readonly page: number
  readonly events: number
}

function route(world: World, request: SimulatedRequest, limits: Limits): SimulatedResponse {
  const [, collection, id, verb] =
    /^\/api\/v1\/(warehouses|skus|inventory|reservations|deliveries|events)(?:\/([^/]+)\/(release|ship|receive|cancel))?$/.exec(
      request.path,
    ) ?? []
  const operation = `${request.method} ${collection}${verb === undefined ? '' : `/${verb}`}`
  switch (operation) {
    case 'GET warehouses':
      return succeed(
        listById(request, world.all('wmsWarehouses'), (one) => one.warehouseId, showWarehouse, limits),
      )
    case 'GET skus':
      return succeed(listById(request, world.all('wmsSkus'), (one) => one.skuId, showSku, limits, searchSku))
    case 'GET inventory':
      return succeed(listStock(world, request, limits))
    case 'GET reservations': {
      const keyOf = (one: WmsReservation) => one.reservationId
      return succeed(
        listDocuments(request, world.all('wmsReservations'), keyOf, showReservation(world), limits),
      )
    }
    case 'GET deliveries': {
      const keyOf = (one: WmsDelivery) => one.deliveryId
      return succeed(listDocuments(request, world.all('wmsDeliveries'), keyOf, showDelivery(world), limits))
    }
    case 'GET events':
      return succeed(listEvents(world, request, limits))
    case 'POST reservations':
      return createReservation(world, request)
    case 'POST deliveries':
      return createDelivery(world, request)
    case 'POST reservations/release':
      return release(world, decode(id), request)
    case 'POST deliveries/ship':
    case 'POST deliveries/receive':
    case 'POST deliveries/cancel':
      return moveDelivery(world, decode(id), verb as 'ship', request)
    default: {
      const allow = allowed(collection, verb)
      if (!allow) throw new Refusal(40400, '路径不存在', { path: request.path })
      throw new Refusal(40500, `${request.method} is not possible here.`, { allow }, { allow })
    }
  }
}

function allowed(collection: string | undefined, verb: string | undefined): string | undefined {
  if (collection === undefined) return undefined
  if (verb === undefined) return ['reservations', 'deliveries'].includes(collection) ? 'GET, POST' : 'GET'
  if (collection === 'reservations') return verb === 'release' ? 'POST' : undefined
  return collection === 'deliveries' && verb !== 'release' ? 'POST' : undefined
}

function decode(text = ''): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Refusal(40000, 'The path is not percent-encoded UTF-8.')
  }
}

function refuseParameters(request: SimulatedRequest, known: readonly string[] = []): void {
  for (const name of new Set(request.query.keys())) {
    if (!known.includes(name)) throw new Refusal(40000, `There is no parameter "${name}".`, { field: name })
    if (request.query.getAll(name).length > 1)
      throw new Refusal(40000, `"${name}" is given twice.`, { field: name })
  }
}

/* ---- lists ---- */

function listParameter(request: SimulatedRequest, name: string, maximum: number): string[] | undefined {
  const text = request.query.get(name)
  if (text === null) return undefined
  const values = text.split(',')
  if (values.some((value) => value === '')) throw badField(name, `"${name}" holds an empty value.`)
  if (values.length > maximum) throw badField(name, `"${name}" holds too many values.`, { maximum })
  return [...new Set(values)]
}

function onlyWith(request: SimulatedRequest, name: string): void {
  const other = [...request.query.keys()].find((key) => key !== name)
  if (other) throw new Refusal(40000, `"${other}" cannot be combined with "${name}".`, { field: other })
}

const contains = (texts: readonly (string | null)[], search: string | null): boolean =>
  search === null || texts.some((text) => text?.toLowerCase().includes(search.toLowerCase()))

const searchSku = ({ skuId, name, barcode }: WmsSku, search: string | null): boolean =>
  contains([skuId, name, barcode], search)

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const comparePlaces = (a: readonly string[], b: readonly string[]): number =>
  compareTexts(a[0] ?? '', b[0] ?? '') || compareTexts(a[1] ?? '', b[1] ?? '')

/** One page in the order of the places; `after` names one, whether or not a record still stands there. */
function pageOf<T>(
  request: SimulatedRequest,
  all: readonly T[],
  placeOf: (one: T) => readonly string[],
  compare: (a: readonly string[], b: readonly string[]) => number,
  show: (one: T) => Shown,
  limits: Limits,
): Shown {
  const limit = wholeNumber(
    request.query.get('limit') ?? String(Math.min(50, limits.page)),
    'limit',
    limits.page,
  )
  const after = request.query.get('after')
  let rest = [...all].sort((a, b) => compare(placeOf(a), placeOf(b)))
  if (after !== null && all[0] !== undefined) {
    const start = after.split(',')
    if (start.length !== placeOf(all[0]).length) throw badField('after', '"after" is no place in this list.')
    rest = rest.filter((one) => compare(placeOf(one), start) > 0)
  }
  return { items: rest.slice(0, limit).map(show), pagination: { limit, hasMore: rest.length > limit } }
}

function wholeNumber(text: string, field: string, maximum: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > maximum)
    throw badField(field, `"${field}" is a number from 1 to ${maximum}.`, { maximum })
  return value
}

function listById<T>(
  request: SimulatedRequest,
  all: readonly T[],
  keyOf: (one: T) => string,
  show: (one: T) => Shown,
  limits: Limits,
  search?: (one: T, text: string | null) => boolean,
): Shown {
  refuseParameters(request, ['ids', 'limit', 'after', ...(search ? ['search'] : [])])
  const ids = listParameter(request, 'ids', limits.page)
  if (ids) {
    onlyWith(request, 'ids')
    return byIds(all, ids, keyOf, show)
  }
  const found = search ? all.filter((one) => search(one, request.query.get('search'))) : all
  return pageOf(request, found, (one) => [keyOf(one)], comparePlaces, show, limits)
}

/** In no promised order: whoever asks by id can sort for themselves. */
const byIds = <T>(
  all: readonly T[],
  ids: readonly string[],
  keyOf: (one: T) => string,
  show: (one: T) => Shown,
): Shown => ({
  items: all
    .filter((one) => ids.includes(keyOf(one)))
    .reverse()
    .map(show),
})

function listStock(world: World, request: SimulatedRequest, limits: Limits): Shown {
  refuseParameters(request, ['skuIds', 'limit', 'after'])
  const skuIds = listParameter(request, 'skuIds', limits.page)
  const all = world.all('wmsStock')
  if (skuIds) {
    onlyWith(request, 'skuIds')
    return byIds(all, skuIds, (one) => one.skuId, showStock(world))
  }
  return pageOf(request, all, (one) => [one.skuId, one.warehouseId], comparePlaces, showStock(world), limits)
}

function listDocuments<T extends WmsReservation | WmsDelivery>(
  request: SimulatedRequest,
  all: readonly T[],
  keyOf: (one: T) => string,
  show: (one: T) => Shown,
  limits: Limits,
): Shown {
  refuseParameters(request, ['ids', 'externalRef', 'orderNumbers', 'limit', 'after', 'search'])
  const ids = listParameter(request, 'ids', limits.page)
  if (ids) {
    onlyWith(request, 'ids')
    return byIds(all, ids, keyOf, show)
  }
  const reference = request.query.get('externalRef')
  if (reference !== null) {
    onlyWith(request, 'externalRef')
    return { items: all.filter((one) => one.externalRef === reference).map(show) }
  }
  const orders = listParameter(request, 'orderNumbers', limits.page)
  const search = request.query.get('search')
  const found = all
    .filter((one) => !orders || orders.includes(one.orderNo ?? ''))
    .filter((one) => contains([keyOf(one), one.orderNo], search))
  const newestFirst = (a: readonly string[], b: readonly string[]) => comparePlaces(b, a)
  return pageOf(request, found, (one) => [one.createdAt, keyOf(one)], newestFirst, show, limits)
}

function listEvents(world: World, request: SimulatedRequest, limits: Limits): Shown {
  refuseParameters(request, ['types', 'cursor', 'limit'])
  const types = listParameter(request, 'types', EVENT_TYPES.length) ?? EVENT_TYPES
  const unknown = types.find((type) => !EVENT_TYPES.includes(type))
  if (unknown !== undefined) throw badField('types', `There are no events "${unknown}".`)
  const limit = wholeNumber(request.query.get('limit') ?? '50', 'limit', limits.page)
  const cursor = request.query.get('cursor')
  const end = world.count('wmsEvents')
  if (cursor === null) return { items: [], nextCursor: `c${end}`, hasMore: false }
  const from = /^c(\d{1,12})$/.exec(cursor)?.[1]
  if (from === undefined) throw badField('cursor', '"cursor" was not given by this feed.')
  const oldest = Math.max(0, end - limits.events)
  if (Number(from) < oldest || Number(from) > end) throw new Refusal(41000, '变更流已不含该游标')
  const rest = world.all('wmsEvents').filter((one) => one.seq > Number(from) && types.includes(one.eventType))
  const items = rest.slice(0, limit)
  const hasMore = rest.length > limit
  const next = hasMore ? (items.at(-1)?.seq ?? end) : end
  return { items: items.map(showEvent), nextCursor: `c${next}`, hasMore }
}

/* ---- bodies ---- */

/** A number as it was written. */
class Digits {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

function readBody(request: SimulatedRequest): unknown {
  const type = String(request.headers['content-type'] ?? '')
  if (!/^application\/json(;\s*charset=utf-8)?$/i.test(type))
    throw new Refusal(41500, 'The content type must be application/json in UTF-8.')
  if (request.body.length > MAX_BODY_BYTES)
    throw new Refusal(41300, 'The body is too large.', { maximum: MAX_BODY_BYTES })
  const keepDigits = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? new Digits(context?.source ?? String(value)) : value
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(request.body)
    return JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown)
  } catch {
    throw new Refusal(40000, 'The body is not JSON in UTF-8.')
  }
}

type Check = (value: unknown, field: string) => void

const text =
  (maximum: number, pattern?: RegExp, hint = 'is not valid'): Check =>
  (value, field) => {
    if (typeof value !== 'string') throw badField(field, `"${field}" must be a text.`)
    if (!value.isWellFormed()) throw badField(field, `"${field}" holds half a character.`)
    if ([...value].length > maximum) throw badField(field, `"${field}" is too long.`, { maximum })
    if (pattern && !pattern.test(value)) throw badField(field, `"${field}" ${hint}.`)
  }
const oneOf =
  (values: readonly string[]): Check =>
  (value, field) => {
    if (!values.includes(value as string))
      throw badField(field, `"${field}" must be one of ${values.join(', ')}.`, { allowed: values })
  }
const objectOf =
  (checks: Readonly<Record<string, Check>>, needed: readonly string[] = []): Check =>
  (value, at) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Digits)
      throw at
        ? badField(at, `"${at}" must be an object.`)
        : new Refusal(40000, 'The body is no JSON object.')
    for (const [name, inner] of Object.entries(value)) {
      const field = at ? `${at}.${name}` : name
      const check = Object.hasOwn(checks, name) ? checks[name] : undefined
      if (!check) throw new Refusal(40000, `There is no field "${field}" that can be set.`, { field })
      check(inner, field)
    }
    for (const name of needed) {
      const field = at ? `${at}.${name}` : name
      if (!Object.hasOwn(value, name)) throw badField(field, `"${field}" is needed.`)
    }
  }
const listOf =
  (check: Check, maximum: number): Check =>
  (value, field) => {
    if (!Array.isArray(value)) throw badField(field, `"${field}" must be a list.`)
    if (value.length === 0) throw badField(field, `"${field}" must not be empty.`)
    if (value.length > maximum) throw badField(field, `"${field}" is too long.`, { maximum })
    value.forEach((one, index) => {
      check(one, `${field}[${index}]`)
    })
  }
const quantity: Check = (value, field) => {
  if (!(value instanceof Digits)) throw badField(field, `"${field}" must be a number.`)
  if (!/^(0|[1-9]\d{0,17})(\.\d{1,10})?$/.test(value.text) || new Big(value.text).lte(0))
    throw badField(
      field,
      `"${field}" must be more than 0, with at most 18 digits before and 10 after the point.`,
    )
}
const attributes: Check = (value, field) => {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Digits)
    throw badField(field, `"${field}" must be an object.`)
  if (Object.keys(value).length > 20) throw badField(field, `"${field}" holds too much.`, { maximum: 20 })
  for (const [name, inner] of Object.entries(value)) text(200)(inner, `${field}.${name}`)
}
const day: Check = (value, field) => {
  text(10, /^\d{4}-\d\d-\d\d$/, 'must be a day like 2026-03-01')(value, field)
  const start = new Date(`${value}T00:00:00Z`)
  if (Number.isNaN(start.getTime()) || start.toISOString().slice(0, 10) !== value)
    throw badField(field, `"${field}" is no day of the calendar.`)
}
const future: Check = (value, field) => {
  text(
    40,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
    'needs a date-time with offset',
  )(value, field)
  const at = Date.parse(String(value))
  if (Number.isNaN(at)) throw badField(field, `"${field}" needs a date-time with offset.`)
  if (at <= Date.now()) throw badField(field, `"${field}" has passed.`)
}
const REFERENCE = text(64, /^[A-Za-z0-9._:-]+$/, 'is not a reference')
const ID = text(64, /^[^,\p{Cc}]+$/u, 'is not an id')

const NEW_RESERVATION = objectOf(
  {
    externalRef: REFERENCE,
    orderNo: ID,
    expireTime: future,
    remark: text(500),
    attributes,
    lines: listOf(
      objectOf({ skuId: ID, warehouseId: ID, qty: quantity }, ['skuId', 'warehouseId', 'qty']),
      200,
    ),
  },
  ['externalRef', 'lines'],
)
const RECIPIENT = objectOf(
  {
    name: text(100, /\S/, 'must not be blank'),
    phone: text(50),
    street: text(200),
    city: text(100),
    province: text(100),
    postalCode: text(20),
    country: text(2, /^[A-Z]{2}$/, 'is not a country code'),
  },
  ['name'],
)
const NEW_DELIVERY = objectOf(
  {
    externalRef: REFERENCE,
    direction: oneOf(['OUT', 'IN']),
    deliveryType: text(40),
    orderNo: ID,
    reservationId: ID,
    warehouseId: ID,
    planDate: day,
    recipient: RECIPIENT,
    remark: text(500),
    attributes,
    lines: listOf(objectOf({ skuId: ID, qty: quantity }, ['skuId', 'qty']), 200),
  },
  ['externalRef', 'direction', 'deliveryType', 'warehouseId', 'lines'],
)

interface NewLine {
  readonly skuId: string
  readonly warehouseId: string
  readonly quantity: string
}

/** Products and warehouses exist, and pieces come whole. */
function checkLines(
  world: World,
  lines: readonly NewLine[],
  warehouseField: (index: number) => string,
): void {
  lines.forEach(({ skuId, warehouseId, quantity }, index) => {
    const line = index + 1
    const sku = world.get('wmsSkus', skuId)
    if (!sku?.active) throw badField(`lines[${index}].skuId`, '商品不存在', { line, skuId })
    if (!world.get('wmsWarehouses', warehouseId)?.active)
      throw badField(warehouseField(index), '仓库不存在', { line, warehouseId })
    if (WHOLE_UNITS.includes(sku.unit) && !new Big(quantity).mod(1).eq(0))
      throw badField(`lines[${index}].qty`, `"${sku.unit}" has no halves.`, { line, skuId })
  })
}

/** Refuses what is more than `availableIn` says; lines of one place are taken together. */
function checkEnough(lines: readonly NewLine[], availableIn: (line: NewLine) => Big): void {
  const wanted = new Map<string, { line: number; of: NewLine; required: Big }>()
  lines.forEach((one, index) => {
    const place = stockIdOf(one.skuId, one.warehouseId)
    const { line, required } = wanted.get(place) ?? { line: index + 1, required: new Big(0) }
    wanted.set(place, { line, of: one, required: required.plus(one.quantity) })
  })
  for (const { line, of, required } of wanted.values()) {
    const available = availableIn(of)
    if (required.lte(available)) continue
    throw new Refusal(40001, '库存不足', {
      skuId: of.skuId,
      warehouseId: of.warehouseId,
      line,
      required: number(required.toFixed()),
      available: number(available.toFixed()),
    })
  }
}

const freeIn =
  (world: World) =>
  ({ skuId, warehouseId }: NewLine): Big => {
    const stock = world.get('wmsStock', stockIdOf(skuId, warehouseId))
    return stock ? availableOf(stock) : new Big(0)
  }

/* ---- reservations ---- */

function createReservation(world: World, request: SimulatedRequest): SimulatedResponse {
  refuseParameters(request)
  const raw = readBody(request)
  const operator = actorOf(request)
  NEW_RESERVATION(raw, '')
  const body = raw as {
    externalRef: string
    orderNo?: string
    expireTime?: string
    remark?: string
    attributes?: Record<string, string>
    lines: { skuId: string; warehouseId: string; qty: Digits }[]
  }
  // Said first, so that repeating a request gives the same answer whatever became of the stock since.
  const earlier = world.all('wmsReservations').find((one) => one.externalRef === body.externalRef)
  if (earlier) {
    const details = { field: 'externalRef', reservationId: earlier.reservationId }
    throw new Refusal(40901, '外部单号已存在', details)
  }
  const lines = body.lines.map(({ qty, ...place }) => ({ ...place, quantity: qty.text }))
  checkLines(world, lines, (index) => `lines[${index}].warehouseId`)
  checkEnough(lines, freeIn(world))
  const made = reserve(world, {
    orderNo: body.orderNo ?? null,
    expiresAt: body.expireTime === undefined ? null : new Date(body.expireTime).toISOString(),
    externalRef: body.externalRef,
    remark: body.remark ?? null,
    ...(operator === undefined ? {} : { operator }),
    attributes: body.attributes ?? {},
    lines,
  })
  return succeed(showReservation(world)(made), 201)
}

const underWayFor = (world: World, { reservationId }: WmsReservation): WmsDelivery[] =>
  world.all('wmsDeliveries').filter((one) => one.reservationId === reservationId && one.status === 'CREATED')

function release(world: World, id: string, request: SimulatedRequest): SimulatedResponse {
  const reservation = world.get('wmsReservations', id)
  if (!reservation) throw new Refusal(40401, '预占单不存在', { reservationId: id })
  readAction(request)
  // What was asked for before changes nothing.
  if (reservation.status === 'RELEASED' || reservation.status === 'EXPIRED') {
    return succeed(showReservation(world)(reservation))
  }
  checkRevision(request, reservation)
  const [waiting] = underWayFor(world, reservation)
  if (reservation.status !== 'ACTIVE' || waiting) {
    throw new Refusal(40902, '当前状态不允许释放', {
      status: reservation.status,
      ...(waiting ? { deliveryId: waiting.deliveryId } : {}),
    })
  }
  return succeed(showReservation(world)(endReservation(world, reservation, 'RELEASED')))
}

/** Ends reservations whose time has come, unless goods are being picked for them. */
function lapse(world: World): void {
  const now = nowText()
  for (const one of world.all('wmsReservations')) {
    if (one.status !== 'ACTIVE' || one.expiresAt === null || one.expiresAt > now) continue
    if (underWayFor(world, one).length === 0) endReservation(world, one, 'EXPIRED')
  }
}

/* ---- deliveries ---- */

function createDelivery(world: World, request: SimulatedRequest): SimulatedResponse {
  refuseParameters(request)
  const raw = readBody(request)
  const operator = actorOf(request)
  NEW_DELIVERY(raw, '')
  const body = raw as {
    externalRef: string
    direction: 'OUT' | 'IN'
    deliveryType: string
    orderNo?: string
    reservationId?: string
    warehouseId: string
    planDate?: string
    recipient?: Record<string, string>
    remark?: string
    attributes?: Record<string, string>
    lines: { skuId: string; qty: Digits }[]
  }
  const earlier = world.all('wmsDeliveries').find((one) => one.externalRef === body.externalRef)
  if (earlier) {
    throw new Refusal(40901, '外部单号已存在', { field: 'externalRef', deliveryId: earlier.deliveryId })
  }
  oneOf(TYPES[body.direction])(body.deliveryType, 'deliveryType')
  const { warehouseId } = body
  const lines = body.lines.map(({ skuId, qty }) => ({ skuId, warehouseId, quantity: qty.text }))
  checkLines(world, lines, () => 'warehouseId')
  if (body.reservationId !== undefined) checkReservation(world, body.reservationId, body.direction, lines)
  else if (body.direction === 'OUT') checkEnough(lines, freeIn(world))
  const made = openDelivery(world, {
    direction: body.direction,
    deliveryType: body.deliveryType,
    orderNo: body.orderNo ?? null,
    reservationId: body.reservationId ?? null,
    warehouseId,
    planDate: body.planDate ?? null,
    recipient: body.recipient ?? null,
    externalRef: body.externalRef,
    remark: body.remark ?? null,
    ...(operator === undefined ? {} : { operator }),
    attributes: body.attributes ?? {},
    lines: lines.map(({ skuId, quantity }) => ({ skuId, quantity })),
  })
  return succeed(showDelivery(world)(made), 201)
}

/** What is sent has been set aside by the reservation, and by no other delivery taken yet. */
function checkReservation(
  world: World,
  reservationId: string,
  direction: 'OUT' | 'IN',
  lines: readonly NewLine[],
): void {
  const reservation = world.get('wmsReservations', reservationId)
  if (!reservation || direction !== 'OUT') throw badField('reservationId', '预占单不存在', { reservationId })
  if (reservation.status !== 'ACTIVE')
    throw new Refusal(40902, '预占单已失效', { reservationId, status: reservation.status })
  const sum = (values: readonly string[]) => values.reduce((all, one) => all.plus(one), new Big(0))
  checkEnough(lines, ({ skuId, warehouseId }) => {
    const open = reservation.lines.filter((one) => one.skuId === skuId && one.warehouseId === warehouseId)
    const taken = underWayFor(world, reservation)
      .filter((one) => one.warehouseId === warehouseId)
      .flatMap((one) => one.lines.filter((line) => line.skuId === skuId))
    return sum(open.map((one) => one.open)).minus(sum(taken.map((one) => one.quantity)))
  })
}

const REACHED = { ship: 'SHIPPED', receive: 'RECEIVED', cancel: 'CANCELLED' } as const

function moveDelivery(
  world: World,
  id: string,
  verb: keyof typeof REACHED,
  request: SimulatedRequest,
): SimulatedResponse {
  const delivery = world.get('wmsDeliveries', id)
  if (!delivery) throw new Refusal(40402, '出入库单不存在', { deliveryId: id })
  readAction(request)
  // What was asked for before changes nothing.
  if (delivery.status === REACHED[verb]) return succeed(showDelivery(world)(delivery))
  checkRevision(request, delivery)
  const fits = verb === 'cancel' || (verb === 'ship') === (delivery.direction === 'OUT')
  if (delivery.status !== 'CREATED' || !fits) {
    const { status, direction } = delivery
    throw new Refusal(40902, '当前状态不允许该操作', { status, direction })
  }
  if (verb === 'ship') {
    const { warehouseId } = delivery
    const lines = delivery.lines.map(({ skuId, quantity }) => ({ skuId, warehouseId, quantity }))
    // Somebody may have counted less since.
    checkEnough(
      lines,
      ({ skuId }) => new Big(world.get('wmsStock', stockIdOf(skuId, warehouseId))?.onHand ?? 0),
    )
  }
  const change = { ship, receive, cancel: cancelDelivery }[verb]
  return succeed(showDelivery(world)(change(world, delivery)))
}

function readAction(request: SimulatedRequest): void {
  refuseParameters(request)
  objectOf({})(readBody(request), '')
  actorOf(request)
}

function checkRevision(request: SimulatedRequest, { revision }: { readonly revision: number }): void {
  const expected = request.headers['if-match']
  if (expected === undefined) return
  if (!/^"\d+"$/.test(expected)) throw badField('If-Match', 'If-Match is a revision in quotes.')
  if (expected !== `"${revision}"`)
    throw new Refusal(41200, '单据已被他人修改', { currentRevision: revision })
}

/** For whom the caller writes. */
function actorOf(request: SimulatedRequest): string | undefined {
  const header = request.headers['x-on-behalf-of']
  if (header === undefined) return undefined
  try {
    return decodeURIComponent(String(header))
  } catch {
    throw badField('X-On-Behalf-Of', 'X-On-Behalf-Of is not percent-encoded UTF-8.')
  }
}

/* ---- webhooks ---- */

interface Letter {
  readonly id: string
  readonly body: string
}

function startPostman(world: World, webhook: NonNullable<RestWmsSimulatorOptions['webhook']>) {
  const pauses = webhook.retryDelaysMs ?? [200, 800, 3_200]
  const stopped = new AbortController()
  let last: Letter | undefined

  const proofOf = ({ id, body }: Letter): Record<string, string> => {
    const { apiKey, secret } = webhook
    if (apiKey !== undefined) {
      const timestamp = String(Date.now())
      const signature = createHash('sha256')
        .update(timestamp + apiKey + body + secret)
        .digest('hex')
      return { authorization: `ApiKey ${apiKey}`, 'x-timestamp': timestamp, 'x-signature': signature }
    }
    const seconds = String(Math.floor(Date.now() / 1000))
    const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : secret
    const mac = createHmac('sha256', key).update([id, seconds, body].join('.')).digest('base64')
    return { 'webhook-id': id, 'webhook-timestamp': seconds, 'webhook-signature': `v1,${mac}` }
  }

  const attempt = async (letter: Letter): Promise<boolean> => {
    const url = typeof webhook.url === 'string' ? webhook.url : webhook.url()
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...JSON_TYPE, ...proofOf(letter) },
      body: letter.body,
      signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(5_000)]),
    })
    await response.arrayBuffer()
    return response.ok
  }

  /** Ends after the last pause: a receiver that was away longer finds the changes in the feed. */
  const deliver = async (letter: Letter): Promise<void> => {
    for (const pause of [...pauses, null]) {
      if (await attempt(letter).catch(() => false)) return
      if (pause === null || stopped.signal.aborted) return
      await delay(pause, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined)
    }
  }

  const stopListening = world.onChange(({ collection, entity }) => {
    if (collection !== 'wmsEvents') return
    const event = entity as WmsEvent
    last = { id: event.eventId, body: JSON.stringify(showEvent(event)) }
    void deliver(last)
  })

  return {
    async resendLast(): Promise<boolean> {
      if (!last) return false
      await deliver(last)
      return true
    },
    stop() {
      stopListening()
      stopped.abort()
    },
  }
}
