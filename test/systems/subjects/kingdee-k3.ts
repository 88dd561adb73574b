import { startKingdeeK3Simulator } from '../../../src/systems/kingdee-k3/simulator.ts'
import { subject } from '../subject.ts'
import * as erp from './erp.ts'

const PASSWORD = 'S3cret-密码+/'
const numberOf = (entry: number) => `XSDD${String(entry).padStart(6, '0')}`
const entryOf = (key: string) => Number(key.slice(4))

const alike = erp.byNumbers(numberOf, entryOf)

export default subject({
  ...alike,
  start: (world) => startKingdeeK3Simulator(world, { password: PASSWORD }),
  settings: (baseUrl) => ({
    baseUrl,
    organization: '100',
    login: { method: 'password', accountId: '6500a1b2c3d4e5', username: 'demo', password: PASSWORD },
  }),
  samples: {
    customer: { there: ['C20001', 'C20002', 'C20003', 'C20002-USD'], missing: 'nobody' },
    product: { there: ['A00001', 'A00002'], missing: 'nothing' },
    warehouse: { there: ['01', 'HAM'], missing: 'ZZ' },
    inventoryLevel: { there: ['A00001/01', 'A00002/02'], missing: 'A00001/ZZ' },
    order: { there: [numberOf(3), numberOf(5), numberOf(7)], missing: numberOf(99_999) },
    delivery: { there: ['XSCKD000001', 'XSCKD000002'], missing: 'XSCKD099999' },
    invoice: { there: ['AR00000001', 'AR00000002'], missing: 'AR99999999' },
    receivable: { there: ['C20001', 'C20002'], missing: 'nobody' },
  },
  reads: {
    type: 'customer',
    request: 'ExecuteBillQuery',
    cut: { settings: { batchLimit: 2 }, calls: 3 },
    isNothing: (body) => body === '[]',
    refusal: (Message) => ({
      status: 200,
      body: JSON.stringify([
        [
          {
            Result: {
              ResponseStatus: { ErrorCode: 500, IsSuccess: false, Errors: [{ Message }], MsgCode: 11 },
            },
          },
        ],
      ]),
    }),
  },
  login: {
    request: 'ValidateUser',
    logout: 'Logout',
    expire: (simulator) => simulator.endSessions(),
  },
  wrongCredentials: (settings) => ({
    ...settings,
    login: { ...(settings.login as object), password: 'wr0ng' },
  }),
  insert: {
    ...alike.insert,
    warehouse: erp.addWarehouse,
    delivery: (world) => `XSCKD${String(erp.addDelivery(world).docEntry).padStart(6, '0')}`,
    invoice: (world) => `AR${String(erp.addInvoice(world)).padStart(8, '0')}`,
  },
  create: {
    ...alike.create,
    unique: false,
    request: 'DynamicFormService.Save',
  },
  versioned: {
    type: 'order',
    key: numberOf(3),
    write: { update: { comments: '改期' } },
    done: (world) => erp.orderIn(world, 3).comments === '改期',
  },
})
