import { startJushuitanSimulator } from '../../../src/systems/jushuitan/simulator.ts'
import { subject } from '../subject.ts'
import * as shops from './shops.ts'

const SECRET = 'S3cret-密钥+/'
const SHOP = '10087'
const { orderId } = shops
const YEN = orderId(13)

export default subject({
  start: (world) => startJushuitanSimulator(world, { appSecret: SECRET }),
  settings: (baseUrl) => ({
    baseUrl,
    appKey: 'jst-demo',
    appSecret: SECRET,
    callsPerSecond: 1_000,
    callsPerMinute: 10_000,
    listDays: 366,
    warehouses: [
      { id: '11001', name: '上海电商仓' },
      { id: '11002', name: '广州电商仓' },
    ],
    orderDefaults: { shopId: SHOP, taxPercent: '13', receiver: shops.receiver },
  }),
  prepare: (world) => {
    const line = { item: 'A00001', name: '轴承', quantity: '2', price: '600', amount: '1200' }
    const at = '2026-06-30T02:00:00.000Z'
    shops.addShopOrder(world, SHOP, { currency: 'JPY', lines: [line], at })
  },
  samples: {
    order: { there: [orderId(2), orderId(1), orderId(5)], missing: '7999999' },
    delivery: { there: [orderId(1), orderId(3)], missing: orderId(2) },
    inventoryLevel: { there: ['A00001/11001', 'A00002/11002'], missing: 'A00001/99' },
    product: { there: ['A00001', 'A00002'], missing: 'nothing' },
    warehouse: { there: ['11001', '11002'], missing: '99' },
  },
  reads: {
    type: 'order',
    request: 'POST /open/orders/single/query',
    cut: { settings: {}, calls: 1 },
    refusal: (msg) => ({ status: 200, body: JSON.stringify({ code: 900, msg, data: null }) }),
  },
  login: { request: '/openWeb/auth/', expire: (simulator) => simulator.expireTokens() },
  wrongCredentials: (settings) => ({ ...settings, appSecret: 'wr0ng' }),
  insert: {
    order: (world) => shops.addShopOrder(world, SHOP).orderId,
    delivery: (world) => shops.addSentOrder(world, SHOP).orderId,
  },
  touch: {
    order: shops.touchShopOrder,
    delivery: shops.touchShopOrder,
    inventoryLevel: shops.touchShopStock,
    product: (world, code) => {
      const item = world.get('erpItems', code)
      if (item) world.put('erpItems', { ...item, updatedAt: new Date().toISOString() })
    },
  },
  text: {
    type: 'order',
    put: (world, remark) => shops.addShopOrder(world, SHOP, { remark }).orderId,
    at: 'comments',
  },
  decimal: {
    type: 'order',
    put: (world, quantity) => {
      const line = { item: 'A00001', name: '轴承', quantity, price: '1', amount: '1' }
      return shops.addShopOrder(world, SHOP, { lines: [line] }).orderId
    },
    at: 'lines.0.ordered.value',
    digits: 20,
  },
  money: [
    // 10 × 14.46 and 12 for freight, less 2.50
    { type: 'order', key: orderId(1), at: 'totals.gross', amount: '154.10', currency: 'CNY' },
    { type: 'order', key: YEN, at: 'totals.gross', amount: '1200.00', currency: 'JPY' },
  ],
  time: { type: 'order', key: orderId(1), at: 'createdAt', instant: '2026-06-25T02:00:00.000Z' },
  zone: (timeZone) => ({ timeZone }),
  create: {
    type: 'order',
    input: shops.newShopOrder,
    unique: true,
    count: (world) => shops.countOf(world, SHOP),
    request: 'POST /open/jushuitan/orders/upload',
    text: {
      input: (comments) => ({ ...shops.newShopOrder, comments }),
      stored: (world, key) => shops.shopOrder(world, key).remark,
    },
  },
  versioned: {
    type: 'order',
    key: orderId(2),
    write: { action: 'cancel' },
    done: (world) => shops.shopOrder(world, orderId(2)).status === 'CANCELLED',
  },
})
