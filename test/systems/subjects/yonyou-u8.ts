import { startYonyouU8Simulator } from '../../../src/systems/yonyou-u8/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const SECRET = 'S3cret-密钥+/'
const numberOf = (entry: number) => String(1000 + entry * 3).padStart(10, '0')
const entryOf = (key: string) => (Number(key) - 1000) / 3

export default subject({
  start: (world) => startYonyouU8Simulator(world, { appSecret: SECRET }),
  settings: (baseUrl) => ({
    baseUrl,
    fromAccount: 'demo_dev',
    toAccount: 'demo_u8',
    appKey: 'opa-demo',
    appSecret: SECRET,
    resultAfterSeconds: 0,
    resultWithinSeconds: 1,
    orderDefaults: { saleType: '01', department: '02' },
  }),
  samples: {
    customer: { there: ['C20001', 'C20002', 'C20003', 'C20002-USD'], missing: 'C20002-X' },
    product: { there: ['A00001', 'A00002'], missing: 'nothing' },
    warehouse: { there: ['01', 'HAM'], missing: 'ZZ' },
    inventoryLevel: { there: ['A00001/01', 'A00002/02'], missing: 'A00001/ZZ' },
    order: { there: [numberOf(3), numberOf(5), numberOf(7)], missing: numberOf(99_999) },
  },
  reads: {
    type: 'customer',
    request: 'GET /api/customer/',
    // One for the range in which they lie, and one for the one that is not in it.
    cut: { settings: {}, calls: 2 },
    // A success without a record says that there is none.
    isNothing: (body) => body.includes('"errcode":"0"'),
    refusal: (errmsg) => ({ status: 200, body: JSON.stringify({ errcode: '20001', errmsg }) }),
  },
  login: { request: '/system/token', expire: (simulator) => simulator.expireTokens() },
  wrongCredentials: (settings) => ({ ...settings, appSecret: 'wr0ng' }),
  insert: {
    customer: erp.addSomeAccount,
    product: erp.addSomeItem,
    warehouse: erp.addWarehouse,
    order: (world) => numberOf(erp.addOrder(world).docEntry),
  },
  touch: {
    customer: erp.touchAccount,
    product: erp.touchItem,
    order: (world, key) => erp.touchOrder(world, entryOf(key)),
  },
  text: {
    type: 'customer',
    put: (world, name) => erp.addAccount(world, 'C-TEXT', { name }),
    at: 'name',
  },
  longKey: { type: 'customer', put: (world, digits) => erp.addAccount(world, digits) },
  decimal: {
    type: 'order',
    put: (world, quantity) => numberOf(erp.orderOf(world, quantity).docEntry),
    at: 'lines.0.ordered.value',
    digits: 6,
  },
  money: [
    { type: 'order', key: numberOf(7), at: 'totals.gross', amount: erp.AMOUNTS.yen.gross, currency: 'JPY' },
    {
      type: 'order',
      key: numberOf(5),
      at: 'totals.gross',
      amount: erp.AMOUNTS.dollar.gross,
      currency: 'USD',
    },
  ],
  time: { type: 'order', key: numberOf(3), at: 'createdAt', instant: '2026-06-24T09:00:00.000Z' },
  zone: (timeZone) => ({ timeZone }),
  create: {
    type: 'order',
    input: erp.newOrder,
    unique: false,
    count: (world) => world.count('erpOrders'),
    request: 'POST /api/saleorder/add',
    text: {
      input: (comments) => ({ ...erp.newOrder, comments }),
      stored: (world, key) => erp.orderIn(world, entryOf(key)).comments,
    },
  },
  versioned: {
    type: 'order',
    key: numberOf(3),
    write: { action: 'cancel' },
    done: (world) => erp.orderIn(world, 3).cancelled,
  },
})
