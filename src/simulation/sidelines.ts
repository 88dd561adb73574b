/**
 * What goes on beside the ERP of a larger business: shops sell, goods leave the warehouse, parcels travel, deals are
 * won. Each is something that may happen next; what was there on the first day is left alone.
 */
import Big from 'big.js'
import { scanParcel, sendParcel } from './parcels.ts'
import type { Random } from './random.ts'
import { cardCodeOf, HISTORY_ENDS, itemCodeOf, QUIET_CUSTOMERS, QUIET_PRODUCTS } from './seed.ts'
import { changeShopOrder, placeShopOrder, SHOP_WAREHOUSES, SHOPS, sendShopOrder } from './shops.ts'
import type { Parcel, ParcelStage, WorldState } from './state.ts'
import { nowText } from './trade.ts'
import { openDelivery, receive, ship, skuIdOf } from './warehousing.ts'

/** Lets one thing happen now. */
export type Sideline = (world: WorldState, random: Random) => () => void

const isFresh = ({ createdAt }: { readonly createdAt: string }): boolean => createdAt > HISTORY_ENDS

const movingRank = (world: WorldState, random: Random): number => {
  const products = world.count('erpItems')
  return products > QUIET_PRODUCTS ? random.int(QUIET_PRODUCTS + 1, products) : random.int(1, products)
}

/** Somebody buys in one of the shops, or what was bought is picked and sent. */
export const shops: Sideline = (world, random) => () => {
  const open = world
    .all('shopOrders')
    .find((order) => isFresh(order) && (order.status === 'PAID' || order.status === 'PICKING'))
  const number = world.count('shopOrders') + 1
  if (open && number % 3 !== 0) {
    if (open.status === 'PAID') changeShopOrder(world, open, { status: 'PICKING' })
    else {
      const waybill = {
        carrier: 'YTO',
        carrierName: '圆通速递',
        number: `YT88${open.orderId.padStart(11, '0')}`,
      }
      sendShopOrder(world, open, waybill)
      handOver(world, {
        number: waybill.number,
        carrier: 'YTO',
        to: `${open.receiver.province}${open.receiver.district}`,
      })
    }
    return
  }
  const rank = movingRank(world, random)
  const item = world.get('erpItems', itemCodeOf(rank))
  if (!item) return
  const shop = random.pick(SHOPS)
  const quantity = String(random.int(1, 3))
  const price = new Big(item.price).times('1.13').toFixed(2)
  placeShopOrder(world, {
    shop,
    platformNumber: `${shop}-27${String(number).padStart(6, '0')}`,
    buyer: `buyer_${random.int(100, 999)}`,
    receiver: RECEIVER,
    warehouse: SHOP_WAREHOUSES[0].code,
    lines: [
      {
        item: item.code,
        name: item.name,
        quantity,
        price,
        amount: new Big(price).times(quantity).toFixed(2),
      },
    ],
  })
}

/** What was set aside for an order is sent; else goods arrive. */
export const warehouse: Sideline = (world, random) => () => {
  const reservation = world.all('wmsReservations').find((one) => isFresh(one) && one.status === 'ACTIVE')
  const [first] = reservation?.lines.filter(({ open }) => new Big(open).gt(0)) ?? []
  if (reservation && first) {
    const { warehouseId } = first
    const delivery = openDelivery(world, {
      direction: 'OUT',
      deliveryType: 'SALES',
      orderNo: reservation.orderNo,
      reservationId: reservation.reservationId,
      warehouseId,
      lines: reservation.lines
        .filter((line) => line.warehouseId === warehouseId && new Big(line.open).gt(0))
        .map(({ skuId, open }) => ({ skuId, quantity: open })),
    })
    const { trackingNo, deliveryId, orderNo } = ship(world, delivery)
    if (trackingNo === null) return
    handOver(world, {
      number: trackingNo,
      carrier: 'SF',
      to: '江苏省苏州市',
      orderNo,
      deliveryNo: deliveryId,
    })
    return
  }
  const skuId = skuIdOf(movingRank(world, random))
  const lines = [{ skuId, quantity: String(random.int(5, 30)) }]
  const delivery = openDelivery(world, {
    direction: 'IN',
    deliveryType: 'PURCHASE',
    orderNo: null,
    warehouseId: 'WH-SZX-01',
    lines,
  })
  receive(world, delivery)
}

/** The next scan of those parcels that have waited longest: as many as keep up with what is sent. */
export const parcels: Sideline = (world) => () => {
  const waiting = world
    .all('parcels')
    .filter((parcel) => isFresh(parcel) && parcel.steps.length <= ROUTE.length)
    .sort((one, other) => (one.updatedAt < other.updatedAt ? -1 : 1))
  for (const { number, to, steps } of waiting.slice(0, 5)) {
    const next = ROUTE[steps.length - 1]
    if (!next) continue
    const [stage, text] = next
    const place = stage === 'MOVING' ? '上海市' : to
    scanParcel(world, number, stage, place, text, stage === 'SIGNED' ? { signedBy: '本人' } : {})
  }
}

const ROUTE: readonly (readonly [ParcelStage, string])[] = [
  ['MOVING', '快件已到达【上海转运中心】'],
  ['OUT', '派件中，请保持电话畅通'],
  ['SIGNED', '已签收，签收人：本人'],
]

function handOver(
  world: WorldState,
  draft: Pick<Parcel, 'number' | 'carrier' | 'to'> & Partial<Pick<Parcel, 'orderNo' | 'deliveryNo'>>,
): void {
  const from = '广东省深圳市'
  const parcel = { phone: RECEIVER.phone, from, orderNo: null, deliveryNo: null, expectedDay: null, ...draft }
  sendParcel(world, parcel)
  scanParcel(world, draft.number, 'COLLECTED', from, '已收取快件')
}

/** A deal is talked about, then won. The CRM names what is sold by the ERP's codes. */
export const deals: Sideline = (world, random) => () => {
  const customers = world
    .all('crmCustomers')
    .filter((_, index) => index >= QUIET_CUSTOMERS && world.get('erpAccounts', cardCodeOf(index + 1)))
  if (customers.length === 0) return
  const ids = new Set(customers.map(({ id }) => id))
  const open = world
    .all('crmOpportunities')
    .find(
      ({ customerId, stage, lines }) => ids.has(customerId) && stage === 'NEGOTIATION' && lines !== undefined,
    )
  if (open) {
    world.put('crmOpportunities', { ...open, stage: 'WON', probability: 100, updatedAt: nowText() })
    return
  }
  const customer = random.pick(customers)
  const account = world.find('erpAccounts', 'taxNumber', customer.taxNumber)
  const item = world.get('erpItems', itemCodeOf(movingRank(world, random)))
  if (!account || !item) return
  const quantity = String(random.int(1, 5))
  const at = nowText()
  world.put('crmOpportunities', {
    id: `OP-${String(world.count('crmOpportunities') + 1).padStart(5, '0')}`,
    name: `${customer.name} ${item.name}`,
    customerId: customer.id,
    stage: 'NEGOTIATION',
    amount: new Big(100).times(quantity).toFixed(2),
    currency: account.currency,
    probability: 75,
    closeDate: at.slice(0, 10),
    owner: 'zhang.wei',
    externalRef: null,
    lines: [{ productCode: item.code, quantity, unitPrice: '100.00' }],
    createdAt: at,
    updatedAt: at,
  })
}

const RECEIVER = {
  name: '李雷',
  phone: '13800000001',
  province: '江苏省',
  city: '苏州市',
  district: '工业园区',
  address: '星湖街 1 号',
} as const
