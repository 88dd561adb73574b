/**
 * A finance system with a JSON REST interface over the ledger of the demo world, strict: it refuses what it does not
 * know, what is more than is open, and what falls into a closed period. Shares no code with the adapter.
 */
import Big from 'big.js'
import type { SimulatedRequest } from '../../simulation/server.ts'
import { balancesOf, digitsOf, nowText, openOf, pay, round, unappliedOf } from '../../simulation/trade.ts'
import type {
  FinanceCustomer,
  FinanceInvoice,
  FinancePayment,
  World,
  WorldChange,
} from '../../simulation/world.ts'
import {
  type Answered,
  actorOf,
  authenticate,
  BadField,
  CURRENCY,
  codedWrapping,
  contains,
  day,
  decodePath,
  ID,
  type Letter,
  type LetterBox,
  listOf,
  listParameter,
  noSuchMethod,
  noSuchPath,
  objectOf,
  onlyWith,
  REFERENCE,
  Refusal,
  readBody,
  refuseParameters,
  type Shown,
  type SimulatorAuth,
  type StrictSimulator,
  standardLetter,
  startStrictSimulator,
  TIMED_PAGE,
  text,
  timedPage,
} from '../kit/rest/simulator.ts'

export interface RestFinanceSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly auth: SimulatorAuth
  readonly webhook?: LetterBox
  /** Signs events in their body, too, with this secret. */
  readonly bodySecret?: string
  /** Most values in a list, most records in a page. Default 100. */
  readonly limit?: number
  /** Nothing can be posted on this day or before. */
  readonly closedUpTo?: string
}

export function startRestFinanceSimulator(
  world: World,
  { port, auth, webhook, bodySecret, limit = 100, closedUpTo }: RestFinanceSimulatorOptions,
): Promise<StrictSimulator> {
  return startStrictSimulator({
    port,
    wrapping: codedWrapping(40001),
    route(request) {
      authenticate(auth, request)
      return route(world, request, limit, closedUpTo)
    },
    letters: webhook && { world, boxes: () => [webhook], write: (change) => letterOf(change, bodySecret) },
  })
}

/* ---- what is shown ---- */

function statusOf(invoice: FinanceInvoice): string {
  if (invoice.cancelled) return 'CANCELLED'
  if (openOf(invoice).lte(0)) return 'PAID'
  return new Big(invoice.paid).gt(0) ? 'PARTIALLY_PAID' : 'OPEN'
}

const showCustomer = (one: FinanceCustomer): Shown => ({
  customerId: one.customerNo,
  customerName: one.name,
  taxNumber: one.taxNumber,
  createTime: one.updatedAt,
  updateTime: one.updatedAt,
})

const showInvoice = (one: FinanceInvoice): Shown => ({
  invoiceId: one.invoiceNo,
  invoiceNo: one.invoiceNo,
  invoiceType: one.kind,
  customerId: one.customerNo,
  orderNos: [one.orderNo],
  currency: one.currency,
  netAmount: one.net,
  taxAmount: one.tax,
  grossAmount: one.gross,
  paidAmount: one.paid,
  openAmount: round(openOf(one), one.currency),
  issueDate: one.issueDate,
  dueDate: one.dueDate,
  status: statusOf(one),
  createTime: one.createdAt,
  updateTime: one.updatedAt,
})

function showPayment(one: FinancePayment): Shown {
  return {
    paymentId: one.paymentNo,
    paymentNo: one.paymentNo,
    customerId: one.customerNo,
    payDate: one.date,
    amount: one.amount,
    currency: one.currency,
    method: one.method,
    reference: one.reference,
    externalRef: one.externalReference,
    applications: one.applications.map(({ invoiceNo, amount }) => ({ invoiceId: invoiceNo, amount })),
    unappliedAmount: round(unappliedOf(one), one.currency),
    status: one.cancelled ? 'CANCELLED' : 'POSTED',
    createTime: one.createdAt,
    updateTime: one.updatedAt,
  }
}

/** What is open now, by currency. */
function showReceivable(world: World, customerId: string): Shown {
  const today = nowText().slice(0, 10)
  const invoices = world
    .all('financeInvoices')
    .filter((one) => one.customerNo === customerId && !one.cancelled)
  return {
    customerId,
    asOf: today,
    balances: [...balancesOf(invoices, today)].map(([currency, { open, overdue }]) => ({
      currency,
      openAmount: round(open, currency),
      overdueAmount: round(overdue, currency),
    })),
  }
}

/* ---- requests ---- */

function route(
  world: World,
  request: SimulatedRequest,
  limit: number,
  closedUpTo: string | undefined,
): Answered {
  if (request.path === '/api/payments/writeback') {
    if (request.method !== 'POST') throw noSuchMethod(request, 'POST')
    return writeBack(world, request, closedUpTo)
  }
  const [, collection, id] =
    /^\/api\/(customers|invoices|payments|receivables)(?:\/([^/]+))?$/.exec(request.path) ?? []
  if (!collection) throw noSuchPath(request)
  if (request.method !== 'GET') throw noSuchMethod(request, 'GET')
  if (id !== undefined) return { data: one(world, collection, decodePath(id), request) }
  switch (collection) {
    case 'customers':
      return { data: page(request, limit, customersOf(world), []) }
    case 'invoices':
      return { data: page(request, limit, invoicesOf(world), ['customerIds', 'orderNos']) }
    case 'payments':
      return { data: page(request, limit, paymentsOf(world), ['customerIds', 'invoiceIds', 'externalRef']) }
    default: {
      refuseParameters(request, ['ids'])
      const ids = listParameter(request, 'ids', limit)
      if (!ids) throw new BadField('ids', '"ids" is needed.')
      const known = ids.filter((key) => world.get('financeCustomers', key))
      return { data: { items: known.map((key) => showReceivable(world, key)) } }
    }
  }
}

function one(world: World, collection: string, id: string, request: SimulatedRequest): Shown {
  refuseParameters(request)
  if (collection === 'receivables') {
    if (world.get('financeCustomers', id)) return showReceivable(world, id)
    throw new Refusal(40401, '记录不存在', { id })
  }
  const rows =
    collection === 'customers'
      ? customersOf(world)
      : collection === 'invoices'
        ? invoicesOf(world)
        : paymentsOf(world)
  const found = rows.find((row) => row.id === id)
  if (!found) throw new Refusal(40401, '记录不存在', { id })
  return found.show()
}

interface Row {
  readonly id: string
  readonly createdAt: string
  readonly updatedAt: string
  readonly texts: readonly string[]
  readonly customer?: string
  readonly orders?: readonly string[]
  readonly invoices?: readonly string[]
  readonly reference?: string
  show(): Shown
}

const customersOf = (world: World): Row[] =>
  world.all('financeCustomers').map((one) => ({
    id: one.customerNo,
    createdAt: one.updatedAt,
    updatedAt: one.updatedAt,
    texts: [one.customerNo, one.name, one.taxNumber],
    show: () => showCustomer(one),
  }))

const invoicesOf = (world: World): Row[] =>
  world.all('financeInvoices').map((one) => ({
    id: one.invoiceNo,
    createdAt: one.createdAt,
    updatedAt: one.updatedAt,
    texts: [one.invoiceNo, one.orderNo],
    customer: one.customerNo,
    orders: [one.orderNo],
    show: () => showInvoice(one),
  }))

const paymentsOf = (world: World): Row[] =>
  world.all('financePayments').map((one) => ({
    id: one.paymentNo,
    createdAt: one.createdAt,
    updatedAt: one.updatedAt,
    texts: [one.paymentNo, one.reference],
    customer: one.customerNo,
    invoices: one.applications.map(({ invoiceNo }) => invoiceNo),
    reference: one.externalReference,
    show: () => showPayment(one),
  }))

function page(request: SimulatedRequest, limit: number, rows: readonly Row[], own: readonly string[]): Shown {
  refuseParameters(request, ['ids', 'search', ...TIMED_PAGE, ...own])
  const ids = listParameter(request, 'ids', limit)
  if (ids) {
    onlyWith(request, 'ids')
    // In no promised order: whoever asks by id can sort for themselves.
    const found = rows.filter(({ id }) => ids.includes(id)).reverse()
    return { items: found.map((row) => row.show()) }
  }
  const customerIds = listParameter(request, 'customerIds', limit)
  const orderNos = listParameter(request, 'orderNos', limit)
  const invoiceIds = listParameter(request, 'invoiceIds', limit)
  const { query } = request
  const found = rows
    .filter(({ texts }) => contains(texts, query.get('search')))
    .filter(({ customer }) => !customerIds || customerIds.includes(customer ?? ''))
    .filter(({ orders }) => !orderNos || orders?.some((number) => orderNos.includes(number)))
    .filter(({ invoices }) => !invoiceIds || invoices?.some((id) => invoiceIds.includes(id)))
    .filter(({ reference }) => [null, reference].includes(query.get('externalRef')))
  return timedPage(
    request,
    found,
    (row) => row,
    limit,
    (row) => row.show(),
  )
}

/* ---- the writeback ---- */

const AMOUNT = text(24, /^(0|[1-9]\d{0,17})(\.\d{1,6})?$/, 'must be a decimal number, not negative, as text')
const PAYMENT = objectOf(
  {
    externalRef: REFERENCE,
    customerId: ID,
    payDate: day,
    amount: AMOUNT,
    currency: CURRENCY,
    method: text(40),
    reference: text(200),
    applications: listOf(objectOf({ invoiceId: ID, amount: AMOUNT }, ['invoiceId', 'amount']), 100, 0),
  },
  ['externalRef', 'customerId', 'payDate', 'amount', 'currency'],
)

interface PaymentBody {
  externalRef: string
  customerId: string
  payDate: string
  amount: string
  currency: string
  method?: string
  reference?: string
  applications?: { invoiceId: string; amount: string }[]
}

function writeBack(world: World, request: SimulatedRequest, closedUpTo: string | undefined): Answered {
  refuseParameters(request)
  const raw = readBody(request)
  actorOf(request)
  PAYMENT(raw, '')
  const body = raw as PaymentBody
  const { externalRef, customerId, currency, payDate } = body
  // Said first, so that repeating a request gives the same answer whatever became of its invoices since.
  const earlier = world.find('financePayments', 'externalReference', externalRef)
  if (earlier) {
    const details = { field: 'externalRef', paymentId: earlier.paymentNo }
    throw new Refusal(40901, '外部单号已存在', details)
  }
  if (!world.get('financeCustomers', customerId))
    throw new BadField('customerId', '客户不存在', { customerId })
  if (closedUpTo !== undefined && payDate <= closedUpTo)
    throw new Refusal(40903, '会计期间已关闭', { field: 'payDate', closedUpTo })

  const total = amountOf(body.amount, currency, 'amount')
  const settled = new Map<string, Big>()
  const applications = (body.applications ?? []).map(({ invoiceId, amount }, index) => {
    const line = index + 1
    const part = amountOf(amount, currency, `applications[${index}].amount`, line)
    const sum = part.plus(settled.get(invoiceId) ?? 0)
    settled.set(invoiceId, sum)
    checkInvoice(world.get('financeInvoices', invoiceId), body, sum, { invoiceId, line })
    return { invoiceNo: invoiceId, amount: round(part, currency) }
  })
  const applied = [...settled.values()].reduce((all, part) => all.plus(part), new Big(0))
  if (applied.gt(total)) {
    const details = { field: 'amount', required: round(applied, currency), available: round(total, currency) }
    throw new Refusal(40002, '核销金额大于付款金额', details)
  }
  const payment = pay(world, {
    customerNo: customerId,
    date: payDate,
    amount: round(total, currency),
    currency,
    method: body.method ?? '',
    reference: body.reference ?? '',
    externalReference: externalRef,
    applications,
  })
  return { data: showPayment(payment), status: 201 }
}

function amountOf(amount: string, currency: string, field: string, line?: number): Big {
  const value = new Big(amount)
  const at = line === undefined ? {} : { line }
  if (value.lte(0)) throw new BadField(field, '金额必须大于零', at)
  if (!value.round(digitsOf(currency), Big.roundDown).eq(value))
    throw new BadField(field, `${currency} 只有 ${digitsOf(currency)} 位小数`, { ...at, currency })
  return value
}

function checkInvoice(
  invoice: FinanceInvoice | undefined,
  { customerId, currency }: PaymentBody,
  sum: Big,
  at: { readonly invoiceId: string; readonly line: number },
): void {
  const field = `applications[${at.line - 1}].invoiceId`
  if (!invoice || invoice.customerNo !== customerId) throw new BadField(field, '发票不存在', at)
  if (invoice.cancelled) throw new Refusal(40902, '发票已作废', { field, ...at })
  if (invoice.currency !== currency)
    throw new BadField(field, '币种不符', { ...at, invoiceCurrency: invoice.currency })
  const open = openOf(invoice)
  if (sum.lte(open)) return
  const amounts = { required: round(sum, currency), available: round(open, currency), currency }
  throw new Refusal(40002, '核销金额大于未付金额', { field, ...at, ...amounts })
}

/* ---- webhooks ---- */

function letterOf({ collection, entity, before }: WorldChange, secret?: string): Letter | undefined {
  const told = subjectOf({ collection, entity, before })
  if (!told) return undefined
  const [event, externalId] = told
  return standardLetter(event, externalId, { source: 'rest_finance', secret })
}

function subjectOf({ collection, entity, before }: WorldChange): readonly [string, string] | undefined {
  const happened = before ? 'updated' : 'created'
  switch (collection) {
    case 'financeCustomers':
      return [`customer.${happened}`, (entity as FinanceCustomer).customerNo]
    case 'financeInvoices': {
      const invoice = entity as FinanceInvoice
      const paid = before && statusOf(invoice) === 'PAID' && statusOf(before as FinanceInvoice) !== 'PAID'
      return [paid ? 'invoice.paid' : `invoice.${happened}`, invoice.invoiceNo]
    }
    case 'financePayments':
      return [`payment.${happened}`, (entity as FinancePayment).paymentNo]
    default:
      return undefined
  }
}
