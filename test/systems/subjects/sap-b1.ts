import { startSapB1Simulator } from '../../../src/systems/sap-b1/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const PASSWORD = 'S3cret-密码+/'

export default subject({
  start: (world) => startSapB1Simulator(world, { password: PASSWORD }),
  settings: (baseUrl) => ({
    baseUrl,
    companyDb: 'SBODEMO_CN',
    username: 'manager',
    password: PASSWORD,
    maxSessions: 1,
  }),
  samples: {
    customer: { there: ['C20001', 'C20002', 'C20003', 'C20002-USD'], missing: 'nobody' },
    product: { there: ['A00001', 'A00002'], missing: 'nothing' },
    warehouse: { there: ['01', 'HAM'], missing: 'ZZ' },
    inventoryLevel: { there: ['A00001/01', 'A00002/02'], missing: 'A00001/ZZ' },
    order: { there: ['3', '5', '7'], missing: '99999' },
    delivery: { there: ['1', '2'], missing: '99999' },
  },
  reads: {
    type: 'customer',
    request: 'GET .*/BusinessPartners|POST .*batch',
    cut: { settings: { batchLimit: 2, batchRequests: 1 }, calls: 3 },
    refusal: (value) => ({
      status: 400,
      body: JSON.stringify({ error: { code: -1, message: { lang: 'en-us', value } } }),
    }),
  },
  login: {
    request: '/Login$',
    logout: '/Logout$',
    sessions: { settings: { maxSessions: 3 }, most: 3 },
    expire: (simulator) =>
      simulator.setFaults([
        {
          kind: 'status',
          status: 401,
          body: '{"error":{"code":301,"message":{"lang":"en-us","value":"Invalid session or session already timeout."}}}',
          match: 'BusinessPartners|batch',
          times: 1,
        },
      ]),
  },
  wrongCredentials: (settings) => ({ ...settings, password: 'wr0ng' }),
  insert: {
    customer: erp.addSomeAccount,
    product: erp.addSomeItem,
    warehouse: erp.addWarehouse,
    order: (world) => String(erp.addOrder(world).docEntry),
    delivery: (world) => String(erp.addDelivery(world).docEntry),
  },
  touch: {
    customer: erp.touchAccount,
    product: erp.touchItem,
    order: (world, key) => erp.touchOrder(world, Number(key)),
  },
  text: {
    type: 'customer',
    put: (world, phone) => erp.addAccount(world, 'C-TEXT', { phone }),
    at: 'phone',
  },
  longKey: { type: 'product', put: erp.addItem },
  decimal: {
    type: 'order',
    put: (world, price) => String(erp.pricedOrder(world, price).docEntry),
    at: 'lines.0.unitPrice.amount.amount',
    digits: 6,
  },
  money: [
    { type: 'order', key: '7', at: 'totals.gross', amount: erp.AMOUNTS.yen.gross, currency: 'JPY' },
    { type: 'order', key: '5', at: 'totals.gross', amount: erp.AMOUNTS.dollar.gross, currency: 'USD' },
    {
      type: 'order',
      key: '5',
      at: 'companyTotals.gross',
      amount: erp.AMOUNTS.dollar.companyGross,
      currency: 'CNY',
    },
  ],
  time: { type: 'order', key: '3', at: 'createdAt', instant: '2026-06-24T09:00:00.000Z' },
  zone: (timeZone) => ({ timeZone }),
  create: {
    type: 'order',
    input: erp.newOrder,
    unique: false,
    count: (world) => world.count('erpOrders'),
    request: 'POST .*/Orders$',
    text: {
      input: (comments) => ({ ...erp.newOrder, comments }),
      stored: (world, key) => erp.orderIn(world, Number(key)).comments,
    },
  },
  versioned: {
    type: 'order',
    key: '3',
    write: { update: { comments: '改期' } },
    done: (world) => erp.orderIn(world, 3).comments === '改期',
  },
})
