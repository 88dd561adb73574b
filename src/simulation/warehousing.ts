/**
 * What happens in the warehouses of the demo world's logistics provider. They are other buildings than the ERP's
 * warehouses: the provider keeps goods for sale through shops and abroad, and no piece is counted in both systems.
 * Every happening leaves events behind, in the order in which the provider's feed tells them.
 */
import { randomUUID } from 'node:crypto'
import Big from 'big.js'
import type { WmsDelivery, WmsEvent, WmsReservation, WmsStock, WorldState } from './state.ts'
import { nowText } from './trade.ts'

export const WMS_WAREHOUSES = [
  { warehouseId: 'WH-SZX-01', name: '深圳前海保税仓', country: 'CN' },
  { warehouseId: 'WH-LAX-02', name: 'Los Angeles 海外仓', country: 'US' },
  { warehouseId: 'WH-HAM-03', name: 'Hamburg Süd', country: 'DE' },
] as const

/** The provider's own number of the product of that rank; only the barcode is shared with the ERP. */
export const skuIdOf = (rank: number): string => `SKU${String(500_000 + rank * 13)}`

export type StockMove = 'IN' | 'OUT' | 'ADJUST' | 'RESERVE' | 'RELEASE'

export const stockIdOf = (skuId: string, warehouseId: string): string => `${skuId}@${warehouseId}`
export const availableOf = (stock: WmsStock): Big => new Big(stock.onHand).minus(stock.reserved)

export function seedWarehousing(world: WorldState): void {
  for (const warehouse of WMS_WAREHOUSES) world.put('wmsWarehouses', { ...warehouse, active: true })
  world.all('erpItems').forEach((item, index) => {
    const rank = index + 1
    const skuId = skuIdOf(rank)
    world.put('wmsSkus', {
      skuId,
      name: item.name,
      barcode: item.barcode,
      unit: item.unit,
      active: true,
      createdAt: SEEDED_AT,
      updatedAt: SEEDED_AT,
    })
    WMS_WAREHOUSES.forEach(({ warehouseId }, place) => {
      // Not every product lies everywhere.
      if (place > 0 && (rank + place) % 3 === 0) return
      world.put('wmsStock', {
        id: stockIdOf(skuId, warehouseId),
        skuId,
        warehouseId,
        onHand: String(40 + ((rank * 53 + place * 97) % 300)),
        reserved: '0',
        incoming: '0',
        updatedAt: SEEDED_AT,
      })
    })
  })
  const [bearing, motor, guide] = [skuIdOf(1), skuIdOf(2), skuIdOf(3)]
  reserve(world, {
    orderNo: '1009', // the ERP's third order of the first customer
    expiresAt: null,
    lines: [{ skuId: guide, warehouseId: 'WH-SZX-01', quantity: '12' }],
    at: '2026-06-24T10:00:00.000Z',
  })
  const shop = openDelivery(world, {
    direction: 'OUT',
    deliveryType: 'SALES',
    orderNo: 'TB-20260612-0001',
    warehouseId: 'WH-SZX-01',
    lines: [{ skuId: bearing, quantity: '6' }],
    at: '2026-06-12T03:00:00.000Z',
  })
  ship(world, shop, '2026-06-12T08:30:00.000Z')
  openDelivery(world, {
    direction: 'IN',
    deliveryType: 'PURCHASE',
    orderNo: 'PO-2026-0620',
    warehouseId: 'WH-LAX-02',
    lines: [{ skuId: motor, quantity: '20' }],
    at: '2026-06-20T02:00:00.000Z',
  })
}
const SEEDED_AT = '2026-01-05T00:00:00.000Z'

/** Adds to the figures of one place (`-3` takes away) and tells of it. A place that goods reach first is made. */
function move(
  world: WorldState,
  skuId: string,
  warehouseId: string,
  by: { readonly onHand?: Big; readonly reserved?: Big; readonly incoming?: Big },
  changeType: StockMove | null,
  reference: string | null,
  at: string,
): void {
  const id = stockIdOf(skuId, warehouseId)
  const before: WmsStock = world.get('wmsStock', id) ?? {
    id,
    skuId,
    warehouseId,
    onHand: '0',
    reserved: '0',
    incoming: '0',
    updatedAt: at,
  }
  const add = (value: string, change: Big | undefined) =>
    change ? new Big(value).plus(change).toFixed() : value
  const after: WmsStock = {
    ...before,
    onHand: add(before.onHand, by.onHand),
    reserved: add(before.reserved, by.reserved),
    incoming: add(before.incoming, by.incoming),
    updatedAt: at,
  }
  world.put('wmsStock', after)
  if (changeType === null) return
  tell(world, at, {
    eventType: 'INVENTORY_CHANGED',
    skuId,
    warehouseId,
    beforeQty: before.onHand,
    afterQty: after.onHand,
    beforeAvailable: availableOf(before).toFixed(),
    afterAvailable: availableOf(after).toFixed(),
    changeType,
    reference,
  })
}

type Told = WmsEvent extends infer E
  ? E extends WmsEvent
    ? Omit<E, 'seq' | 'eventId' | 'at'>
    : never
  : never

function tell(world: WorldState, at: string, event: Told): void {
  const seq = world.count('wmsEvents') + 1
  world.put('wmsEvents', { ...event, seq, eventId: randomUUID(), at } as WmsEvent)
}

const number = (prefix: string, count: number): string => `${prefix}-${String(count + 1).padStart(6, '0')}`

/* ---- reservations ---- */

export interface ReservationDraft {
  readonly orderNo: string | null
  readonly expiresAt: string | null
  readonly externalRef?: string | null
  readonly remark?: string | null
  readonly operator?: string
  readonly attributes?: Readonly<Record<string, string>>
  readonly lines: readonly {
    readonly skuId: string
    readonly warehouseId: string
    readonly quantity: string
  }[]
  readonly at?: string
}

/** Whoever calls has checked that there is enough. */
export function reserve(world: WorldState, draft: ReservationDraft): WmsReservation {
  const at = draft.at ?? nowText()
  const reservation: WmsReservation = {
    reservationId: number('RS', world.count('wmsReservations')),
    orderNo: draft.orderNo,
    status: 'ACTIVE',
    expiresAt: draft.expiresAt,
    externalRef: draft.externalRef ?? null,
    remark: draft.remark ?? null,
    operator: draft.operator ?? 'wms',
    attributes: draft.attributes ?? {},
    lines: draft.lines.map((line, index) => ({ lineNo: index + 1, ...line, open: line.quantity })),
    createdAt: at,
    updatedAt: at,
    revision: 1,
  }
  world.put('wmsReservations', reservation)
  for (const { skuId, warehouseId, quantity } of draft.lines) {
    const reserved = new Big(quantity)
    move(world, skuId, warehouseId, { reserved }, 'RESERVE', reservation.reservationId, at)
  }
  tell(world, at, reservationEvent(reservation, 'created'))
  return reservation
}

/** Gives back what is still set aside. */
export function endReservation(
  world: WorldState,
  reservation: WmsReservation,
  status: 'RELEASED' | 'EXPIRED',
  at = nowText(),
): WmsReservation {
  for (const { skuId, warehouseId, open } of reservation.lines) {
    if (new Big(open).eq(0)) continue
    const reserved = new Big(open).neg()
    move(world, skuId, warehouseId, { reserved }, 'RELEASE', reservation.reservationId, at)
  }
  const lines = reservation.lines.map((line) => ({ ...line, open: '0' }))
  return changeReservation(world, { ...reservation, status, lines }, at)
}

function changeReservation(world: WorldState, changed: WmsReservation, at: string): WmsReservation {
  const after = { ...changed, updatedAt: at, revision: changed.revision + 1 }
  world.put('wmsReservations', after)
  tell(world, at, reservationEvent(after, 'updated'))
  return after
}

const reservationEvent = ({ reservationId, status }: WmsReservation, change: 'created' | 'updated') =>
  ({ eventType: 'RESERVATION_CHANGED', reservationId, status, change }) as const

/* ---- goods out and in ---- */

export interface DeliveryDraft {
  readonly direction: 'OUT' | 'IN'
  readonly deliveryType: string
  readonly orderNo: string | null
  readonly reservationId?: string | null
  readonly warehouseId: string
  readonly planDate?: string | null
  readonly recipient?: WmsDelivery['recipient']
  readonly externalRef?: string | null
  readonly remark?: string | null
  readonly operator?: string
  readonly attributes?: Readonly<Record<string, string>>
  readonly lines: readonly { readonly skuId: string; readonly quantity: string }[]
  readonly at?: string
}

/** Whoever calls has checked the reservation or, without one, that there is enough. */
export function openDelivery(world: WorldState, draft: DeliveryDraft): WmsDelivery {
  const at = draft.at ?? nowText()
  const delivery: WmsDelivery = {
    deliveryId: number(draft.direction === 'OUT' ? 'OB' : 'IB', world.count('wmsDeliveries')),
    direction: draft.direction,
    deliveryType: draft.deliveryType,
    orderNo: draft.orderNo,
    reservationId: draft.reservationId ?? null,
    warehouseId: draft.warehouseId,
    status: 'CREATED',
    planDate: draft.planDate ?? null,
    recipient: draft.recipient ?? null,
    trackingNo: null,
    externalRef: draft.externalRef ?? null,
    remark: draft.remark ?? null,
    operator: draft.operator ?? 'wms',
    attributes: draft.attributes ?? {},
    lines: draft.lines.map((line, index) => ({ lineNo: index + 1, ...line })),
    createdAt: at,
    updatedAt: at,
    revision: 1,
  }
  world.put('wmsDeliveries', delivery)
  planned(world, delivery, 1, at)
  tell(world, at, deliveryEvent(delivery, 'created'))
  return delivery
}

/** What a delivery under way sets aside or announces; `sign` -1 takes that back. */
function planned(world: WorldState, delivery: WmsDelivery, sign: 1 | -1, at: string): void {
  const { deliveryId, direction, reservationId, warehouseId } = delivery
  if (direction === 'OUT' && reservationId !== null) return // the reservation has set it aside
  for (const { skuId, quantity } of delivery.lines) {
    const change = new Big(quantity).times(sign)
    if (direction === 'IN') move(world, skuId, warehouseId, { incoming: change }, null, deliveryId, at)
    else {
      const type = sign > 0 ? 'RESERVE' : 'RELEASE'
      move(world, skuId, warehouseId, { reserved: change }, type, deliveryId, at)
    }
  }
}

export function ship(world: WorldState, delivery: WmsDelivery, at = nowText()): WmsDelivery {
  const { deliveryId, reservationId, warehouseId } = delivery
  for (const { skuId, quantity } of delivery.lines) {
    const out = new Big(quantity).neg()
    move(world, skuId, warehouseId, { onHand: out, reserved: out }, 'OUT', deliveryId, at)
  }
  const reservation = reservationId === null ? undefined : world.get('wmsReservations', reservationId)
  if (reservation) takeFrom(world, reservation, delivery, at)
  const trackingNo = `SF${String(1_000_000_000 + Number(deliveryId.slice(3)) * 7)}`
  return changeDelivery(world, { ...delivery, status: 'SHIPPED', trackingNo }, at)
}

function takeFrom(world: WorldState, reservation: WmsReservation, delivery: WmsDelivery, at: string): void {
  const taken = new Map<string, Big>()
  for (const { skuId, quantity } of delivery.lines) {
    taken.set(skuId, new Big(quantity).plus(taken.get(skuId) ?? 0))
  }
  const lines = reservation.lines.map((line) => {
    const left = line.warehouseId === delivery.warehouseId ? taken.get(line.skuId) : undefined
    if (!left) return line
    const part = left.gt(line.open) ? new Big(line.open) : left
    taken.set(line.skuId, left.minus(part))
    return { ...line, open: new Big(line.open).minus(part).toFixed() }
  })
  const status = lines.every((line) => new Big(line.open).eq(0)) ? 'FULFILLED' : reservation.status
  changeReservation(world, { ...reservation, lines, status }, at)
}

export function receive(world: WorldState, delivery: WmsDelivery, at = nowText()): WmsDelivery {
  for (const { skuId, quantity } of delivery.lines) {
    const onHand = new Big(quantity)
    move(
      world,
      skuId,
      delivery.warehouseId,
      { onHand, incoming: onHand.neg() },
      'IN',
      delivery.deliveryId,
      at,
    )
  }
  return changeDelivery(world, { ...delivery, status: 'RECEIVED' }, at)
}

export function cancelDelivery(world: WorldState, delivery: WmsDelivery, at = nowText()): WmsDelivery {
  planned(world, delivery, -1, at)
  return changeDelivery(world, { ...delivery, status: 'CANCELLED' }, at)
}

function changeDelivery(world: WorldState, changed: WmsDelivery, at: string): WmsDelivery {
  const after = { ...changed, updatedAt: at, revision: changed.revision + 1 }
  world.put('wmsDeliveries', after)
  tell(world, at, deliveryEvent(after, 'updated'))
  return after
}

const deliveryEvent = ({ deliveryId, status }: WmsDelivery, change: 'created' | 'updated') =>
  ({ eventType: 'DELIVERY_CHANGED', deliveryId, status, change }) as const

/** Somebody has counted; `-3`: three are missing. */
export function adjustStock(world: WorldState, skuId: string, warehouseId: string, by: string): void {
  move(world, skuId, warehouseId, { onHand: new Big(by) }, 'ADJUST', null, nowText())
}
