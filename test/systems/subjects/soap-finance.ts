import { billOrder, pay } from '../../../src/simulation/trade.ts'
import type { World } from '../../../src/simulation/world.ts'
import { startSoapFinanceSimulator } from '../../../src/systems/soap-finance/simulator.ts'
import { subject } from '../subject.ts'
import { addOrder } from './erp.ts'

const PASSWORD = 'S3cret-密码+/'
const now = () => new Date().toISOString()

function customerIn(world: World, key: string) {
  const customer = world.get('financeCustomers', key)
  if (!customer) throw new Error(`no customer ${key}`)
  return customer
}

function addCustomer(world: World, customerNo: string, name = '新客户'): string {
  world.put('financeCustomers', { customerNo, name, taxNumber: `T${customerNo}`, updatedAt: now() })
  return customerNo
}

function addInvoice(world: World): string {
  const invoice = billOrder(world, addOrder(world), now(), 'D-00009')
  if (!invoice) throw new Error('nothing to bill')
  return invoice.invoiceNo
}

const addPayment = (world: World, externalReference: string, amount = '1.00', at = now()) =>
  pay(world, {
    customerNo: 'D-00003',
    date: '2026-06-30',
    amount,
    currency: 'CNY',
    method: 'TRANSFER',
    reference: '尾款',
    externalReference,
    applications: [],
    at,
  }).paymentNo

const payment = {
  customer: 'D-00003',
  date: '2026-06-30',
  amount: { amount: '250.00', currency: 'CNY' },
  method: 'TRANSFER',
  reference: '二期款',
  applications: [{ invoice: 'INV-000001', amount: '250.00' }],
}

export default subject({
  start: (world) => startSoapFinanceSimulator(world, { password: PASSWORD }),
  settings: (baseUrl) => ({ baseUrl, username: 'gateway', password: PASSWORD }),
  prepare: (world) => void addPayment(world, 'seed-2', '1.00', '2026-06-30T00:00:00.000Z'),
  samples: {
    customer: { there: ['D-00003', 'D-00006'], missing: 'D-99999' },
    product: { there: ['M-1011', 'M-1022'], missing: 'M-1' },
    invoice: { there: ['INV-000001', 'INV-000002', 'INV-000003'], missing: 'INV-999999' },
    payment: { there: ['PAY-000001', 'PAY-000002'], missing: 'PAY-999999' },
    receivable: { there: ['D-00003', 'D-00006'], missing: 'D-99999' },
  },
  reads: {
    type: 'invoice',
    request: 'POST /',
    call: 'GetInvoice',
    cut: { settings: {}, calls: 1 },
    refusal: (words) => ({
      status: 500,
      body: `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>${words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</faultstring></s:Fault></s:Body></s:Envelope>`,
    }),
    xml: true,
  },
  wrongCredentials: (settings) => ({ ...settings, password: 'wr0ng' }),
  insert: {
    customer: (world, n) => addCustomer(world, `D-0000${n}N`),
    invoice: addInvoice,
    payment: (world, n) => addPayment(world, `somebody-${n}`),
  },
  touch: {
    customer: (world, key) =>
      world.put('financeCustomers', { ...customerIn(world, key), name: '改名', updatedAt: now() }),
  },
  text: {
    type: 'customer',
    put: (world, name) => addCustomer(world, 'D-TEXT', name),
    at: 'name',
  },
  longKey: { type: 'customer', put: (world, digits) => addCustomer(world, digits) },
  decimal: {
    type: 'payment',
    put: (world, amount) => addPayment(world, 'exact', amount),
    at: 'amount.amount',
    digits: 6,
  },
  money: [
    // 100 × 12.80 + 33 × 48.335 + 7 × 45.9183 (5 % off), and 13 % tax, rounded once.
    { type: 'invoice', key: 'INV-000001', at: 'totals.gross', amount: '3612.03', currency: 'CNY' },
    // 15 × 1003 and 13 %: yen have no decimals.
    { type: 'invoice', key: 'INV-000003', at: 'totals.gross', amount: '17001', currency: 'JPY' },
    { type: 'payment', key: 'PAY-000001', at: 'amount', amount: '1000.00', currency: 'CNY' },
  ],
  time: { type: 'payment', key: 'PAY-000001', at: 'createdAt', instant: '2026-06-01T09:00:00.000Z' },
  create: {
    type: 'payment',
    input: payment,
    unique: true,
    count: (world) => world.count('financePayments'),
    request: 'POST /',
    text: {
      input: (reference) => ({
        ...payment,
        amount: { amount: '1.00', currency: 'CNY' },
        reference,
        applications: [],
      }),
      stored: (world, key) => world.get('financePayments', key)?.reference,
    },
  },
})
