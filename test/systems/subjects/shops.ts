/** The online shops of the demo world, as the subjects of order management systems need them. */
import {
  changeShopOrder,
  moveShopStock,
  placeShopOrder,
  type ShopOrderDraft,
  sendShopOrder,
} from '../../../src/simulation/shops.ts'
import type { ShopOrder, World } from '../../../src/simulation/world.ts'

/** Internal numbers of the seed: six orders of the first shop, then six of the second. */
export const orderId = (n: number): string => String(7_000_000 + n * 11)

let serial = 0

export function addShopOrder(world: World, shop: string, more: Partial<ShopOrderDraft> = {}): ShopOrder {
  const line = { item: 'A00001', name: '精密轴承 6204', quantity: '1', price: '14.46', amount: '14.46' }
  return placeShopOrder(world, {
    shop,
    platformNumber: `N-${++serial}`,
    buyer: '小红',
    receiver: { name: '李四', phone: '1', province: '广东省', city: '广州市', district: '', address: '1 号' },
    warehouse: '11001',
    lines: [line],
    ...more,
  })
}

export const addSentOrder = (world: World, shop: string): ShopOrder =>
  sendShopOrder(world, addShopOrder(world, shop), {
    carrier: 'SF',
    carrierName: '顺丰',
    number: `SF${++serial}`,
  })

export function shopOrder(world: World, id: string): ShopOrder {
  const order = world.get('shopOrders', id)
  if (!order) throw new Error(`no order ${id}`)
  return order
}

export const touchShopOrder = (world: World, id: string): void => {
  changeShopOrder(world, shopOrder(world, id), { remark: `touched ${++serial}` })
}

/** @param key Product and warehouse. */
export const touchShopStock = (world: World, key: string): void => {
  const [item = '', warehouse = ''] = key.split('/')
  moveShopStock(world, item, warehouse, { onHand: '1' })
}

export const countOf = (world: World, shop: string): number =>
  world.all('shopOrders').filter((order) => order.shop === shop).length

export const newShopOrder = {
  customer: '分销商-07',
  dueDate: '2026-12-31',
  lines: [{ product: 'A00001', quantity: '3', unitPrice: '12.80' }],
}

export const receiver = {
  name: '张三',
  phone: '13800000001',
  province: '上海市',
  city: '上海市',
  district: '浦东新区',
  address: '张江路 88 号',
}
