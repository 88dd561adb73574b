import { startYonyouU8Simulator } from '../../../src/systems/yonyou-u8/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const SECRET = 'S3cret-密钥+/'
const numberOf = (entry: number) => String(1000 + entry * 3).padStart(10, '0')
const entryOf = (key: string) => (Number(key) - 1000) / 3

const alike = erp.byNumbers(numberOf, entryOf)

export default subject({
  ...alike,
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
    ...alike.insert,
    warehouse: erp.addWarehouse,
  },
  decimal: {
    type: 'order',
    put: (world, quantity) => numberOf(erp.orderOf(world, quantity).docEntry),
    at: 'lines.0.ordered.value',
    digits: 6,
  },
  create: {
    ...alike.create,
    unique: false,
    request: 'POST /api/saleorder/add',
  },
  versioned: {
    type: 'order',
    key: numberOf(3),
    write: { action: 'cancel' },
    done: (world) => erp.orderIn(world, 3).cancelled,
  },
})
