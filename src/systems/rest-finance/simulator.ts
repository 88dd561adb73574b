/**
 * A finance system with a JSON REST interface over the ledger of the demo world, strict: it refuses what it does not
 * know, what is more than is open, and what falls into a closed period. Shares no code with the adapter.
 */
import Big from 'big.js'
import type { SimulatedRequest } from '../../simulation/server.ts'
import {
  type Answered,
  actorOf,
  attributes,
  authenticate,
  BadField,
  CURRENCY,
  codedWrapping,
  contains,
  day,
  decimalNumber,
  decodePath,
  ID,
  type Letter,
  listOf,
  listParameter,
  namedByIds,
  noSuchMethod,
  noSuchPath,
  objectOf,
  REFERENCE,
  Refusal,
  readBody,
  refuseParameters,
  type Shown,
  type StrictOptions,
  type StrictSimulator,
  standardLetter,
  startStrictSimulator,
  TIMED_PAGE,
  text,
  timedPage,
} from '../../simulation/strict-json.ts'
import { balancesOf, digitsOf, nowText, openOf, pay, round, unappliedOf } from '../../simulation/trade.ts'
import type {
  FinanceCustomer,
  FinanceInvoice,
  FinancePayment,
  World,
  WorldChange,
} from '../../simulation/world.ts'

export interface RestFinanceSimulatorOptions extends StrictOptions {
  /** Signs events in their body, too, with this secret. */
  readonly bodySecret?: string
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

const ordersOf = (one: FinanceInvoice): readonly string[] => one.orderNos ?? [one.orderNo]

const showInvoice = (one: FinanceInvoice): Shown => ({
  invoiceId: one.invoiceNo,
  invoiceNo: one.invoiceNo,
  invoiceType: one.kind,
  customerId: one.customerNo,
  orderNos: ordersOf(one),
  currency: one.currency,
  netAmount: one.net,
  taxAmount: one.tax,
  grossAmount: one.gross,
  paidAmount: one.paid,
  openAmount: round(openOf(one), one.currency),
  issueDate: one.issueDate,
  dueDate: one.dueDate,
  status: statusOf(one),
  lines: one.lines.map((line) => ({
    lineNo: line.lineNo,
    productId: line.productNo || null,
    description: line.text,
    quantity: line.quantity,
    unitPrice: line.unitPrice ?? null,
    taxRate: line.taxPercent ?? null,
    netAmount: line.net,
  })),
  taxInvoices: (one.taxInvoices ?? []).map(({ day, ...rest }) => ({ ...rest, issueDate: day })),
  remark: one.comments ?? null,
  externalRef: one.externalReference ?? null,
  attributes: one.attributes ?? {},
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
    applications: one.applications.map(({ invoiceNo, ...part }) => ({ invoiceId: invoiceNo, ...part })),
    attributes: one.attributes ?? {},
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
  if (request.path === '/api/invoices' && request.method === 'POST')
    return makeInvoice(world, request, closedUpTo)
  const cancelled = /^\/api\/invoices\/([^/]+)\/cancel$/.exec(request.path)?.[1]
  if (cancelled !== undefined) {
    if (request.method !== 'POST') throw noSuchMethod(request, 'POST')
    return cancelInvoice(world, request, decodePath(cancelled))
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
      return { data: page(request, limit, invoicesOf(world), ['customerIds', 'orderNos', 'externalRef']) }
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
    orders: ordersOf(one),
    ...(one.externalReference === undefined ? {} : { reference: one.externalReference }),
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
  const named = namedByIds(
    request,
    rows,
    ({ id }) => id,
    limit,
    (row) => row.show(),
  )
  if (named) return named
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
    applications: listOf(
      objectOf({ invoiceId: ID, amount: AMOUNT, discount: AMOUNT }, ['invoiceId', 'amount']),
      100,
      0,
    ),
    attributes,
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
  applications?: { invoiceId: string; amount: string; discount?: string }[]
  attributes?: Record<string, string>
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
  let applied = new Big(0)
  const applications = (body.applications ?? []).map(({ invoiceId, amount, discount }, index) => {
    const line = index + 1
    const part = amountOf(amount, currency, `applications[${index}].amount`, line)
    const letOff =
      discount === undefined ? null : amountOf(discount, currency, `applications[${index}].discount`, line)
    const sum = part.plus(letOff ?? 0).plus(settled.get(invoiceId) ?? 0)
    settled.set(invoiceId, sum)
    checkInvoice(world.get('financeInvoices', invoiceId), body, sum, { invoiceId, line })
    applied = applied.plus(part)
    return {
      invoiceNo: invoiceId,
      amount: round(part, currency),
      ...(letOff === null ? {} : { discount: round(letOff, currency) }),
    }
  })
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
    ...(body.attributes ? { attributes: body.attributes } : {}),
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

/* ---- invoices ---- */

const INVOICE = objectOf(
  {
    externalRef: REFERENCE,
    customerId: ID,
    orderNos: listOf(ID, 50, 0),
    issueDate: day,
    dueDate: day,
    currency: CURRENCY,
    grossAmount: AMOUNT,
    netAmount: AMOUNT,
    taxAmount: AMOUNT,
    remark: text(200),
    attributes,
    lines: listOf(
      objectOf(
        {
          lineNo: decimalNumber(true),
          productId: ID,
          description: text(200),
          quantity: AMOUNT,
          unitPrice: AMOUNT,
          taxRate: AMOUNT,
        },
        ['lineNo', 'quantity', 'unitPrice'],
      ),
      200,
    ),
  },
  ['externalRef', 'customerId', 'issueDate', 'currency', 'grossAmount'],
)

interface InvoiceBody {
  externalRef: string
  customerId: string
  orderNos?: string[]
  issueDate: string
  dueDate?: string
  currency: string
  grossAmount: string
  netAmount?: string
  taxAmount?: string
  remark?: string
  attributes?: Record<string, string>
  lines?: {
    productId?: string
    description?: string
    quantity: string
    unitPrice: string
    taxRate?: string
  }[]
}

function makeInvoice(world: World, request: SimulatedRequest, closedUpTo: string | undefined): Answered {
  refuseParameters(request)
  const raw = readBody(request)
  actorOf(request)
  INVOICE(raw, '')
  const body = raw as InvoiceBody
  const { externalRef, customerId, currency, issueDate, netAmount, taxAmount } = body
  const earlier = world.all('financeInvoices').find((one) => one.externalReference === externalRef)
  if (earlier) {
    const details = { field: 'externalRef', invoiceId: earlier.invoiceNo }
    throw new Refusal(40901, '外部单号已存在', details)
  }
  if (!world.get('financeCustomers', customerId))
    throw new BadField('customerId', '客户不存在', { customerId })
  if (closedUpTo !== undefined && issueDate <= closedUpTo)
    throw new Refusal(40903, '会计期间已关闭', { field: 'issueDate', closedUpTo })
  const gross = amountOf(body.grossAmount, currency, 'grossAmount')
  const net = netAmount === undefined ? null : amountOf(netAmount, currency, 'netAmount')
  const tax = taxAmount === undefined ? null : new Big(taxAmount)
  if (net && tax && !net.plus(tax).eq(gross))
    throw new BadField('grossAmount', '净额加税额不等于总额', { required: round(net.plus(tax), currency) })
  const at = nowText()
  const invoice: FinanceInvoice = {
    invoiceNo: `INV-${String(world.count('financeInvoices') + 1).padStart(6, '0')}`,
    customerNo: customerId,
    orderNo: body.orderNos?.[0] ?? '',
    orderNos: body.orderNos ?? [],
    externalReference: externalRef,
    kind: 'STANDARD',
    currency,
    issueDate,
    dueDate: body.dueDate ?? issueDate,
    net: round(net ?? gross.minus(tax ?? 0), currency),
    tax: round(tax ?? gross.minus(net ?? gross), currency),
    gross: round(gross, currency),
    paid: round(new Big(0), currency),
    cancelled: false,
    ...(body.remark === undefined ? {} : { comments: body.remark }),
    ...(body.attributes ? { attributes: body.attributes } : {}),
    lines: (body.lines ?? []).map(({ productId, description, quantity, unitPrice, taxRate }, index) => ({
      lineNo: index + 1,
      productNo: productId ?? '',
      text: description ?? '',
      quantity,
      net: round(new Big(quantity).times(unitPrice), currency),
      unitPrice,
      ...(taxRate === undefined ? {} : { taxPercent: taxRate }),
    })),
    createdAt: at,
    updatedAt: at,
  }
  world.put('financeInvoices', invoice)
  return { data: showInvoice(invoice), status: 201 }
}

/** One that is cancelled stays as it is. */
function cancelInvoice(world: World, request: SimulatedRequest, id: string): Answered {
  refuseParameters(request)
  objectOf({})(readBody(request), '')
  actorOf(request)
  const invoice = world.get('financeInvoices', id)
  if (!invoice) throw new Refusal(40401, '记录不存在', { id })
  if (invoice.cancelled) return { data: showInvoice(invoice) }
  if (new Big(invoice.paid).gt(0))
    throw new Refusal(40902, '发票已有付款', { invoiceId: id, paid: invoice.paid })
  const cancelled = { ...invoice, cancelled: true, updatedAt: nowText() }
  world.put('financeInvoices', cancelled)
  return { data: showInvoice(cancelled) }
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
