/**
 * A WMS that keeps the published contract (`openapi.yaml`) strictly: it refuses what it does not know instead of
 * ignoring it, checks signatures and stock, and tells of every change in a feed and by signed webhooks. Shares no
 * code with the adapter.
 */
import Big from 'big.js'
import type { SimulatedRequest } from '../../simulation/server.ts'
import {
  type Answered,
  actorOf,
  attributes,
  authenticate,
  BadField,
  COUNTRY,
  checkRevision,
  codedWrapping,
  comparePlaces,
  contains,
  type Digits,
  day,
  decimalNumber,
  decodePath,
  ID,
  type Letter,
  listOf,
  listParameter,
  noSuchMethod,
  noSuchPath,
  notBlank,
  number,
  objectOf,
  oneOf,
  onlyWith,
  REFERENCE,
  Refusal,
  readBody,
  refuseParameters,
  type Shown,
  type StrictOptions,
  type StrictSimulator,
  startStrictSimulator,
  text,
  utcTime,
  wholeNumber,
} from '../../simulation/strict-json.ts'
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
  WorldChange,
} from '../../simulation/world.ts'

export interface RestWmsSimulatorOptions extends StrictOptions {
  /** The feed reaches back over so many events. Default 10000. */
  readonly keepEvents?: number
}

const TYPES: Readonly<Record<'OUT' | 'IN', readonly string[]>> = {
  OUT: ['SALES', 'TRANSFER', 'DISPOSAL'],
  IN: ['PURCHASE', 'RETURN', 'TRANSFER'],
}
const CHANGED_BY_OTHERS = '单据已被他人修改'
const EVENT_TYPES = ['INVENTORY_CHANGED', 'RESERVATION_CHANGED', 'DELIVERY_CHANGED']
/** Of these there are no halves. */
const WHOLE_UNITS = ['个', '台', '根']

export function startRestWmsSimulator(
  world: World,
  { port, auth, webhook, limit = 100, keepEvents = 10_000 }: RestWmsSimulatorOptions,
): Promise<StrictSimulator> {
  return startStrictSimulator({
    port,
    wrapping: codedWrapping(40002),
    route(request) {
      authenticate(auth, request)
      lapse(world)
      return route(world, request, { page: limit, events: keepEvents })
    },
    letters: webhook && { world, boxes: () => [webhook], write: letterOf },
  })
}

const letterOf = ({ collection, entity }: WorldChange): Letter | undefined => {
  if (collection !== 'wmsEvents') return undefined
  const event = entity as WmsEvent
  return { id: event.eventId, body: JSON.stringify(showEvent(event)) }
}

/* ---- answers ---- */

const succeed = (data: unknown, status = 200): Answered => ({ data, status })

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

interface Limits {
  readonly page: number
  readonly events: number
}

function route(world: World, request: SimulatedRequest, limits: Limits): Answered {
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
      return release(world, decodePath(id), request)
    case 'POST deliveries/ship':
    case 'POST deliveries/receive':
    case 'POST deliveries/cancel':
      return moveDelivery(world, decodePath(id), verb as 'ship', request)
    default: {
      const allow = allowed(collection, verb)
      if (!allow) throw noSuchPath(request)
      throw noSuchMethod(request, allow)
    }
  }
}

function allowed(collection: string | undefined, verb: string | undefined): string | undefined {
  if (collection === undefined) return undefined
  if (verb === undefined) return ['reservations', 'deliveries'].includes(collection) ? 'GET, POST' : 'GET'
  if (collection === 'reservations') return verb === 'release' ? 'POST' : undefined
  return collection === 'deliveries' && verb !== 'release' ? 'POST' : undefined
}

/* ---- lists ---- */

const searchSku = ({ skuId, name, barcode }: WmsSku, search: string | null): boolean =>
  contains([skuId, name, barcode], search)

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
    if (start.length !== placeOf(all[0]).length)
      throw new BadField('after', '"after" is no place in this list.')
    rest = rest.filter((one) => compare(placeOf(one), start) > 0)
  }
  return { items: rest.slice(0, limit).map(show), pagination: { limit, hasMore: rest.length > limit } }
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
  if (unknown !== undefined) throw new BadField('types', `There are no events "${unknown}".`)
  const limit = wholeNumber(request.query.get('limit') ?? '50', 'limit', limits.page)
  const cursor = request.query.get('cursor')
  const end = world.count('wmsEvents')
  if (cursor === null) return { items: [], nextCursor: `c${end}`, hasMore: false }
  const from = /^c(\d{1,12})$/.exec(cursor)?.[1]
  if (from === undefined) throw new BadField('cursor', '"cursor" was not given by this feed.')
  const oldest = Math.max(0, end - limits.events)
  if (Number(from) < oldest || Number(from) > end) throw new Refusal(41000, '变更流已不含该游标')
  const rest = world.all('wmsEvents').filter((one) => one.seq > Number(from) && types.includes(one.eventType))
  const items = rest.slice(0, limit)
  const hasMore = rest.length > limit
  const next = hasMore ? (items.at(-1)?.seq ?? end) : end
  return { items: items.map(showEvent), nextCursor: `c${next}`, hasMore }
}

/* ---- bodies ---- */

const quantity = decimalNumber(true)
const future = (value: unknown, field: string): void => {
  text(40)(value, field)
  if (utcTime(String(value), field) <= nowText()) throw new BadField(field, `"${field}" has passed.`)
}

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
    name: notBlank(100),
    phone: text(50),
    street: text(200),
    city: text(100),
    province: text(100),
    postalCode: text(20),
    country: COUNTRY,
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
    if (!sku?.active) throw new BadField(`lines[${index}].skuId`, '商品不存在', { line, skuId })
    if (!world.get('wmsWarehouses', warehouseId)?.active)
      throw new BadField(warehouseField(index), '仓库不存在', { line, warehouseId })
    if (WHOLE_UNITS.includes(sku.unit) && !new Big(quantity).mod(1).eq(0))
      throw new BadField(`lines[${index}].qty`, `"${sku.unit}" has no halves.`, { line, skuId })
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

function createReservation(world: World, request: SimulatedRequest): Answered {
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

function release(world: World, id: string, request: SimulatedRequest): Answered {
  const reservation = world.get('wmsReservations', id)
  if (!reservation) throw new Refusal(40401, '预占单不存在', { reservationId: id })
  readAction(request)
  // What was asked for before changes nothing.
  if (reservation.status === 'RELEASED' || reservation.status === 'EXPIRED') {
    return succeed(showReservation(world)(reservation))
  }
  checkRevision(request, reservation.revision, CHANGED_BY_OTHERS)
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

function createDelivery(world: World, request: SimulatedRequest): Answered {
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
  if (!reservation || direction !== 'OUT')
    throw new BadField('reservationId', '预占单不存在', { reservationId })
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
): Answered {
  const delivery = world.get('wmsDeliveries', id)
  if (!delivery) throw new Refusal(40402, '出入库单不存在', { deliveryId: id })
  readAction(request)
  // What was asked for before changes nothing.
  if (delivery.status === REACHED[verb]) return succeed(showDelivery(world)(delivery))
  checkRevision(request, delivery.revision, CHANGED_BY_OTHERS)
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
