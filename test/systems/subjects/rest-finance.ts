import { billOrder, pay } from '../../../src/simulation/trade.ts'
import type { World } from '../../../src/simulation/world.ts'
import { startRestFinanceSimulator } from '../../../src/systems/rest-finance/simulator.ts'
import { subject } from '../subject.ts'
import { addOrder } from './erp.ts'
import soapFinance from './soap-finance.ts'

const auth = { type: 'bearer', token: 'fin-token-5d20aa' } as const
const now = () => new Date().toISOString()

function invoiceIn(world: World, key: string) {
  const invoice = world.get('financeInvoices', key)
  if (!invoice) throw new Error(`no invoice ${key}`)
  return invoice
}

/** The same books as those behind the SOAP service. */
const { product: _, ...samples } = soapFinance.samples
const { insert, touch, text, longKey, decimal, money, time, prepare, create } = soapFinance
if (!create || !longKey || !time || !prepare || !decimal)
  throw new Error('soap-finance shows less than it did')

export default subject({
  start: (world) => startRestFinanceSimulator(world, { auth }),
  settings: (baseUrl) => ({ baseUrl, auth }),
  prepare,
  samples,
  reads: {
    type: 'invoice',
    request: 'GET /api/invoices',
    cut: { settings: { batchLimit: 3 }, calls: 2 },
    refusal: (words) => ({
      status: 400,
      body: JSON.stringify({ code: 40001, message: words, data: null, details: { field: words } }),
    }),
  },
  wrongCredentials: (settings) => ({ ...settings, auth: { ...auth, token: 'wr0ng-t0ken' } }),
  insert: {
    ...insert,
    invoice: (world) => billOrder(world, addOrder(world), now(), 'D-00009')?.invoiceNo ?? '',
  },
  touch: {
    ...touch,
    invoice: (world, key) =>
      world.put('financeInvoices', { ...invoiceIn(world, key), dueDate: '2027-01-01', updatedAt: now() }),
    payment: (world, key) => {
      const payment = world.get('financePayments', key)
      if (payment) world.put('financePayments', { ...payment, cancelled: true, updatedAt: now() })
    },
  },
  text,
  longKey,
  decimal: {
    ...decimal,
    put: (world, amount) =>
      pay(world, {
        customerNo: 'D-00003',
        date: '2026-06-30',
        amount,
        currency: 'CNY',
        method: 'TRANSFER',
        reference: '',
        externalReference: 'exact',
        applications: [],
      }).paymentNo,
  },
  money,
  time,
  create: { ...create, request: 'POST /api/payments/writeback' },
})
