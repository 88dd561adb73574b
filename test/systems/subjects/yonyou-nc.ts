import { startYonyouNcSimulator } from '../../../src/systems/yonyou-nc/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const SECRET = 'S3cret-密钥+/'
const numberOf = (entry: number) => `SO3020260${String(1000 + entry * 3).padStart(8, '0')}`
const entryOf = (key: string) => (Number(key.slice(9)) - 1000) / 3

/** Of the application; all simulators of a process show the same. */
let publicKey = ''

export default subject({
  start: async (world) => {
    const simulator = await startYonyouNcSimulator(world, { clientSecret: SECRET })
    publicKey = simulator.publicKey
    return simulator
  },
  settings: (baseUrl) => ({
    baseUrl,
    bizCenter: 'demo',
    clientId: 'ncdemo',
    clientSecret: SECRET,
    publicKey,
    org: '0001',
    orderDefaults: { head: { ctrantypeid: '30-01', cdeptid: '02' } },
  }),
  samples: {
    customer: { there: ['C20001', 'C20002', 'C20003', 'C20002-USD'], missing: 'nobody' },
    product: { there: ['A00001', 'A00002'], missing: 'nothing' },
    order: { there: [numberOf(3), numberOf(5), numberOf(7)], missing: numberOf(99_999) },
  },
  reads: {
    type: 'customer',
    request: 'POST /nccloud/api/uapbd/customermanage/',
    cut: { settings: { batchLimit: 2 }, calls: 3 },
    refusal: (message) => ({
      status: 200,
      body: JSON.stringify({ success: false, code: '1000000001', message, data: null }),
    }),
  },
  login: { request: '/nccloud/opm/accesstoken', expire: (simulator) => simulator.expireTokens() },
  wrongCredentials: (settings) => ({ ...settings, clientSecret: 'wr0ng' }),
  insert: {
    customer: erp.addSomeAccount,
    product: erp.addSomeItem,
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
    put: (world, price) => numberOf(erp.pricedOrder(world, price).docEntry),
    at: 'lines.0.unitPrice.amount.amount',
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
    unique: true,
    count: (world) => world.count('erpOrders'),
    request: 'POST /nccloud/api/so/saleorder/save',
    text: {
      input: (comments) => ({ ...erp.newOrder, comments }),
      stored: (world, key) => erp.orderIn(world, entryOf(key)).comments,
    },
  },
  versioned: {
    type: 'order',
    key: numberOf(3),
    write: { action: 'unapprove' },
    done: (world) => !erp.orderIn(world, 3).confirmed,
  },
})
