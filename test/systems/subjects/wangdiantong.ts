import { startWangdiantongSimulator } from '../../../src/systems/wangdiantong/simulator.ts'
import { subject } from '../subject.ts'
import * as shops from './shops.ts'

const SECRET = 'S3cret-密钥+/'
const SHOP = 'web01'
const numberOf = (id: string) => `JY${id}`
const idOf = (number: string) => number.slice(2)
const key = (n: number) => numberOf(shops.orderId(n))

export default subject({
  start: (world) => startWangdiantongSimulator(world, { edition: 'enterprise', appSecret: SECRET }),
  settings: (baseUrl) => ({
    edition: 'enterprise',
    baseUrl: new URL('/openapi2', baseUrl).href,
    // Else two calls are refused before the first refusal is known.
    parallelCalls: 1,
    sid: 'demo',
    appKey: 'demo-ot',
    appSecret: SECRET,
    callsPerSecond: 1_000,
    callsPerMinute: 10_000,
    stockListDays: 366,
    orderDefaults: { shop: SHOP, taxPercent: '13', receiver: shops.receiver },
  }),
  prepare: (world) => {
    const line = { item: 'A00001', name: '轴承', quantity: '2', price: '600', amount: '1200' }
    shops.addShopOrder(world, SHOP, { currency: 'JPY', lines: [line] })
    // Orders can only be listed hour by hour: the seed's were modified in the last ones.
    const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000
    for (const [n, order] of world.all('shopOrders').entries()) {
      world.put('shopOrders', { ...order, updatedAt: new Date(hour - n * 600_000).toISOString() })
    }
  },
  samples: {
    order: { there: [key(8), key(7), key(11)], missing: 'JY7999999' },
    delivery: { there: [key(7), key(9)], missing: key(8) },
    inventoryLevel: { there: ['A00001/11001', 'A00002/11002'], missing: 'A00001/99' },
    warehouse: { there: ['11001', '11002'], missing: '99' },
  },
  reads: {
    type: 'order',
    request: 'POST /openapi2/trade_query',
    call: 'trade_query',
    // There is no call for many.
    cut: { settings: {}, calls: 4 },
    isNothing: (body) => body.includes('"code":0'),
    refusal: (message) => ({ status: 200, body: JSON.stringify({ code: 900, message }) }),
  },
  wrongCredentials: (settings) => ({ ...settings, appSecret: 'wr0ng' }),
  insert: {
    order: (world) => numberOf(shops.addShopOrder(world, SHOP).orderId),
    delivery: (world) => numberOf(shops.addSentOrder(world, SHOP).orderId),
  },
  touch: {
    order: (world, number) => shops.touchShopOrder(world, idOf(number)),
    delivery: (world, number) => shops.touchShopOrder(world, idOf(number)),
    inventoryLevel: shops.touchShopStock,
  },
  text: {
    type: 'order',
    put: (world, remark) => numberOf(shops.addShopOrder(world, SHOP, { remark }).orderId),
    at: 'comments',
  },
  decimal: {
    type: 'order',
    put: (world, quantity) => {
      const line = { item: 'A00001', name: '轴承', quantity, price: '1', amount: '1' }
      return numberOf(shops.addShopOrder(world, SHOP, { lines: [line] }).orderId)
    },
    at: 'lines.0.ordered.value',
    digits: 4,
  },
  money: [
    { type: 'order', key: key(7), at: 'totals.gross', amount: '154.10', currency: 'CNY' },
    { type: 'order', key: key(13), at: 'totals.gross', amount: '1200', currency: 'JPY' },
  ],
  time: { type: 'order', key: key(7), at: 'createdAt', instant: '2026-06-25T02:00:00.000Z' },
  zone: (timeZone) => ({ timeZone }),
  create: {
    type: 'order',
    input: shops.newShopOrder,
    unique: false,
    count: (world) => shops.countOf(world, SHOP),
    request: 'POST /openapi2/trade_push',
    text: {
      input: (comments) => ({ ...shops.newShopOrder, comments }),
      stored: (world, number) => shops.shopOrder(world, idOf(number)).remark,
    },
  },
  versioned: {
    type: 'order',
    key: key(8),
    write: { action: 'cancel' },
    done: (world) => world.get('shopOrders', shops.orderId(8))?.status === 'CANCELLED',
  },
})
