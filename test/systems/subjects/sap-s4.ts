import { startSapS4Simulator } from '../../../src/systems/sap-s4/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const SECRET = 'S3cret-密钥+/'
const numberOf = (order: { docNum: number }) => String(order.docNum)
const orderOf = (key: string) => (Number(key) - 1000) / 3

export default subject({
  start: (world) => startSapS4Simulator(world, { clientSecret: SECRET }),
  settings: (baseUrl) => ({
    baseUrl,
    auth: {
      method: 'clientCredentials',
      tokenUrl: `${baseUrl}/oauth/token`,
      clientId: 'tributary',
      clientSecret: SECRET,
    },
    salesArea: { organization: '1010', channel: '10', division: '00' },
    warehouses: { '1010/01': '上海总仓', '1010/HAM': 'Hamburg' },
    timeZone: '+08:00',
  }),
  samples: {
    customer: { there: ['C20001', 'C20002', 'C20003', 'C20002-USD'], missing: 'NOBODY' },
    product: { there: ['A00001', 'A00002'], missing: 'NOTHING' },
    warehouse: { there: ['1010/01', '1010/HAM'], missing: '1010/ZZ' },
    inventoryLevel: { there: ['A00001/1010~101', 'A00002/1010~102'], missing: 'A00001/1010~1ZZ' },
    order: { there: ['1009', '1015', '1021'], missing: '999999' },
    delivery: { there: ['80000001', '80000002'], missing: '89999999' },
    invoice: { there: ['90000001', '90000002'], missing: '99999999' },
  },
  reads: {
    type: 'customer',
    request: 'GET .*/A_BusinessPartner',
    // Filters that would be too long go together in one $batch.
    cut: { settings: {}, calls: 1 },
    refusal: (value) => ({
      status: 400,
      body: JSON.stringify({ error: { code: 'SY/530', message: { lang: 'en', value } } }),
    }),
  },
  login: { request: '/oauth/token', expire: (simulator) => simulator.endTokens() },
  wrongCredentials: (settings) => ({
    ...settings,
    auth: { ...(settings.auth as object), clientSecret: 'wr0ng' },
  }),
  insert: {
    customer: erp.addSomeAccount,
    product: erp.addSomeItem,
    order: (world) => numberOf(erp.addOrder(world)),
    delivery: (world) => String(80_000_000 + erp.addDelivery(world).docEntry),
    invoice: (world) => String(90_000_000 + erp.addInvoice(world)),
  },
  touch: {
    customer: erp.touchAccount,
    product: erp.touchItem,
    order: (world, key) => erp.touchOrder(world, orderOf(key)),
  },
  text: {
    type: 'customer',
    put: (world, name) => erp.addAccount(world, 'C-TEXT', { name }),
    at: 'name',
  },
  decimal: {
    type: 'order',
    put: (world, price) => numberOf(erp.pricedOrder(world, price)),
    at: 'lines.0.unitPrice.amount.amount',
    digits: 9,
  },
  money: [
    { type: 'order', key: '1021', at: 'totals.net', amount: erp.AMOUNTS.yen.net, currency: 'JPY' },
    { type: 'order', key: '1015', at: 'totals.net', amount: erp.AMOUNTS.dollar.net, currency: 'USD' },
  ],
  time: { type: 'order', key: '1009', at: 'updatedAt', instant: '2026-06-24T09:00:00.000Z' },
  create: {
    type: 'order',
    input: erp.newOrder,
    unique: false,
    count: (world) => world.count('erpOrders'),
    request: 'POST .*/A_SalesOrder',
    text: {
      input: (comments) => ({ ...erp.newOrder, comments }),
      stored: (world) => erp.newestOrder(world)?.comments,
    },
  },
  versioned: {
    type: 'order',
    key: '1009',
    write: { update: { dueDate: '2027-09-09' } },
    done: (world) => erp.orderIn(world, 3).dueDate === '2027-09-09',
  },
})
