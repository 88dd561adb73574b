import { startYonyouNcSimulator } from '../../../src/systems/yonyou-nc/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const SECRET = 'S3cret-密钥+/'
const numberOf = (entry: number) => `SO3020260${String(1000 + entry * 3).padStart(8, '0')}`
const entryOf = (key: string) => (Number(key.slice(9)) - 1000) / 3

/** Of the application; all simulators of a process show the same. */
let publicKey = ''

const alike = erp.byNumbers(numberOf, entryOf)

export default subject({
  ...alike,
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
  create: {
    ...alike.create,
    unique: true,
    request: 'POST /nccloud/api/so/saleorder/save',
  },
  versioned: {
    type: 'order',
    key: numberOf(3),
    write: { action: 'unapprove' },
    done: (world) => !erp.orderIn(world, 3).confirmed,
  },
})
