/**
 * Online shops of the simulated business, and what an order management system does with their orders. The shops sell
 * the ERP's items from warehouses of their own; their buyers are nobody's customers.
 */
import Big from 'big.js'
import type { ShopOrder, ShopOrderLine, WorldState } from './state.ts'
import { nowText } from './trade.ts'

/** One shop for each sort of order management system that is simulated. */
export const SHOPS = ['10087', 'web01'] as const
export const SHOP_WAREHOUSES = [
  { code: '11001', name: '上海电商仓' },
  { code: '11002', name: '广州电商仓' },
] as const

export interface ShopOrderDraft {
  readonly shop: string
  /** As the platform prints it; unique in its shop. */
  readonly platformNumber: string
  readonly buyer: string
  readonly receiver: ShopOrder['receiver']
  readonly warehouse: string
  readonly lines: readonly Omit<ShopOrderLine, 'lineId'>[]
  readonly freight?: string
  readonly discount?: string
  readonly currency?: string
  readonly remark?: string | null
  readonly status?: ShopOrder['status']
  readonly orderedAt?: string
  /** For history; default: now. */
  readonly at?: string
}

/** Whoever calls has checked that there is no such order yet, and that the items exist. */
export function placeShopOrder(world: WorldState, draft: ShopOrderDraft): ShopOrder {
  const at = draft.at ?? nowText()
  const number = world.count('shopOrders') + 1
  const lines = draft.lines.map((line, index) => ({ ...line, lineId: String(number * 100 + index + 1) }))
  const freight = draft.freight ?? '0.00'
  const discount = draft.discount ?? '0.00'
  const order: ShopOrder = {
    orderId: String(7_000_000 + number * 11),
    shop: draft.shop,
    platformNumber: draft.platformNumber,
    buyer: draft.buyer,
    receiver: draft.receiver,
    currency: draft.currency ?? world.companyCurrency,
    status: draft.status ?? 'PAID',
    lines,
    freight,
    discount,
    pay: lines
      .reduce((sum, line) => sum.plus(line.amount), new Big(freight))
      .minus(discount)
      .toFixed(2),
    remark: draft.remark ?? null,
    warehouse: draft.warehouse,
    waybill: null,
    sentAt: null,
    orderedAt: draft.orderedAt ?? at,
    createdAt: at,
    updatedAt: at,
    revision: 1,
  }
  world.put('shopOrders', order)
  for (const { item, quantity } of lines) {
    moveShopStock(world, item, order.warehouse, { locked: quantity }, at)
  }
  return order
}

export function changeShopOrder(
  world: WorldState,
  order: ShopOrder,
  changes: Partial<ShopOrder>,
  at = nowText(),
): ShopOrder {
  const changed = { ...order, ...changes, updatedAt: at, revision: order.revision + 1 }
  world.put('shopOrders', changed)
  return changed
}

/** Whoever calls has checked that it may be sent. */
export function sendShopOrder(
  world: WorldState,
  order: ShopOrder,
  waybill: NonNullable<ShopOrder['waybill']>,
  at = nowText(),
): ShopOrder {
  for (const { item, quantity } of order.lines) {
    moveShopStock(world, item, order.warehouse, { onHand: `-${quantity}`, locked: `-${quantity}` }, at)
  }
  return changeShopOrder(world, order, { status: 'SENT', waybill, sentAt: at }, at)
}

/** Whoever calls has checked that nothing was sent. */
export function cancelShopOrder(world: WorldState, order: ShopOrder, at = nowText()): ShopOrder {
  for (const { item, quantity } of order.lines) {
    moveShopStock(world, item, order.warehouse, { locked: `-${quantity}` }, at)
  }
  return changeShopOrder(world, order, { status: 'CANCELLED' }, at)
}

/** Adds to the figures of one stock place; `-3` takes away. */
export function moveShopStock(
  world: WorldState,
  item: string,
  warehouse: string,
  by: { readonly onHand?: string; readonly locked?: string; readonly incoming?: string },
  at = nowText(),
): void {
  const stock = world.get('shopStock', `${item}@${warehouse}`)
  if (!stock) return
  const add = (value: string, change = '0') => new Big(value).plus(change).toFixed()
  world.put('shopStock', {
    ...stock,
    onHand: add(stock.onHand, by.onHand),
    locked: add(stock.locked, by.locked),
    incoming: add(stock.incoming, by.incoming),
    updatedAt: at,
  })
}

export const shopOrderOf = (world: WorldState, shop: string, platformNumber: string): ShopOrder | undefined =>
  world.all('shopOrders').find((order) => order.shop === shop && order.platformNumber === platformNumber)

/** Six orders in each shop, a day apart, the last on the day on which history ends. */
export function seedShops(world: WorldState, lastDay: number): void {
  const before = new Date(lastDay - 30 * 86_400_000).toISOString()
  for (const [rank, { code: item }] of world.all('erpItems').entries()) {
    for (const [index, { code: warehouse }] of SHOP_WAREHOUSES.entries()) {
      world.put('shopStock', {
        id: `${item}@${warehouse}`,
        item,
        warehouse,
        onHand: String(50 + ((rank * 17 + index * 29) % 200)),
        locked: '0',
        incoming: String(index === 0 ? (rank * 7) % 40 : 0),
        updatedAt: before,
      })
    }
  }
  for (const shop of SHOPS) {
    for (const [index, { buyer, item, quantity, price, status }] of SEEDED.entries()) {
      const product = world.get('erpItems', item)
      if (!product) continue
      const at = new Date(lastDay - (SEEDED.length - 1 - index) * 86_400_000 + 2 * 3_600_000).toISOString()
      const order = placeShopOrder(world, {
        shop,
        platformNumber: `${shop}-26060${index + 1}`,
        buyer,
        receiver: RECEIVER,
        warehouse: '11001',
        lines: [
          {
            item,
            name: product.name,
            quantity,
            price,
            amount: new Big(price).times(quantity).toFixed(2),
          },
        ],
        freight: index === 0 ? '12.00' : '0.00',
        discount: index === 0 ? '2.50' : '0.00',
        remark: index === 1 ? '请轻放 🚚' : null,
        status: status === 'SENT' || status === 'CANCELLED' ? 'PAID' : status,
        at,
      })
      if (status === 'CANCELLED') cancelShopOrder(world, order, at)
      if (status !== 'SENT') continue
      const waybill = { carrier: 'YTO', carrierName: '圆通速递', number: `YT000000000000${index + 1}` }
      sendShopOrder(world, order, waybill, at)
    }
  }
}

const RECEIVER: ShopOrder['receiver'] = {
  name: '陈𠮷',
  phone: '13800000001',
  province: '上海市',
  city: '上海市',
  district: '浦东新区',
  address: '张江路 88 号 3 幢',
}

const SEEDED = [
  { buyer: '小明的店', item: 'A00001', quantity: '10', price: '14.46', status: 'SENT' },
  { buyer: 'buyer_2', item: 'A00002', quantity: '1', price: '1898.40', status: 'PAID' },
  { buyer: 'buyer_3', item: 'A00003', quantity: '2', price: '402.85', status: 'SENT' },
  { buyer: 'buyer_4', item: 'A00004', quantity: '3', price: '54.62', status: 'CANCELLED' },
  { buyer: 'buyer_5', item: 'A00005', quantity: '1', price: '2597.87', status: 'PICKING' },
  { buyer: 'buyer_6', item: 'A00001', quantity: '2', price: '14.46', status: 'UNPAID' },
] as const
