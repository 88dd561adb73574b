/** What happens in the simulated business: orders placed, delivered, billed and paid. Used by simulators and life. */
import Big from 'big.js'
import type {
  ErpDelivery,
  ErpInvoice,
  ErpOrder,
  ErpOrderLine,
  FinanceInvoice,
  FinancePayment,
  WorldState,
} from './state.ts'

/** Company currency units for one unit; the demo's rates never move. */
const RATES: Readonly<Record<string, string>> = {
  CNY: '1',
  USD: '7.1',
  EUR: '7.75',
  JPY: '0.0482',
  GBP: '9.1',
}
export const TAX_PERCENT = '13'

export const rateOf = (currency: string): string => RATES[currency] ?? '1'
export const digitsOf = (currency: string): number => (currency === 'JPY' ? 0 : 2)
export const round = (value: Big, currency: string): string =>
  value.toFixed(digitsOf(currency), Big.roundHalfUp)
export const nowText = (): string => new Date().toISOString()
export const dayOf = (time: string): string => time.slice(0, 10)

export interface OrderDraft {
  readonly cardCode: string
  readonly currency: string
  readonly docDate: string
  readonly dueDate: string
  readonly numAtCard?: string | null
  readonly comments?: string | null
  readonly confirmed?: boolean
  readonly shipTo?: ErpOrder['shipTo']
  readonly payment?: ErpOrder['payment']
  readonly references?: ErpOrder['references']
  readonly userFields?: Record<string, string | null>
  readonly lines: readonly {
    readonly item: string
    readonly quantity: string
    /** Net unit price in document currency; absent: list price. */
    readonly price?: string
    readonly discountPercent?: string
    readonly warehouse: string
    readonly description?: string
    readonly comments?: string
    readonly userFields?: Record<string, string | null>
  }[]
  /** For history; default: now. */
  readonly at?: string
}

/** Whoever calls has checked that the account and the items exist. */
export function placeOrder(world: WorldState, draft: OrderDraft): ErpOrder {
  const at = draft.at ?? nowText()
  const rate = rateOf(draft.currency)
  const lines = draft.lines.map((line, index): ErpOrderLine => {
    const item = world.get('erpItems', line.item)
    const discount = line.discountPercent ?? '0'
    const list = line.price ?? new Big(item?.price ?? '0').div(rate)
    // Four digits survive in unit prices, so that sums of rounded lines and rounded sums differ as in real books.
    const digits = draft.currency === 'JPY' ? 2 : 4
    const price = new Big(list).times(new Big(100).minus(discount)).div(100).toFixed(digits)
    const exact = new Big(price).times(line.quantity)
    const total = round(exact, draft.currency)
    return {
      lineNum: index,
      item: line.item,
      description: line.description ?? item?.name ?? line.item,
      quantity: line.quantity,
      open: line.quantity,
      unitPrice: new Big(list).toFixed(digits),
      price,
      discountPercent: discount,
      currency: draft.currency,
      warehouse: line.warehouse,
      taxPercent: TAX_PERCENT,
      total,
      companyTotal: round(exact.times(rate), world.companyCurrency),
      ...(line.comments === undefined ? {} : { comments: line.comments }),
      ...(line.userFields === undefined ? {} : { userFields: line.userFields }),
    }
  })
  // The document is rounded once from exact values: its net can differ from the sum of its rounded lines.
  const exactNet = lines.reduce((sum, line) => sum.plus(new Big(line.price).times(line.quantity)), new Big(0))
  const exactTax = exactNet.times(TAX_PERCENT).div(100)
  const docEntry = world.count('erpOrders') + 1
  const order: ErpOrder = {
    docEntry,
    docNum: 1000 + docEntry * 3, // people's numbers and keys are different things
    cardCode: draft.cardCode,
    cardName: world.get('erpAccounts', draft.cardCode)?.name ?? '',
    currency: draft.currency,
    rate,
    docDate: draft.docDate,
    dueDate: draft.dueDate,
    numAtCard: draft.numAtCard ?? null,
    comments: draft.comments ?? null,
    confirmed: draft.confirmed ?? true,
    cancelled: false,
    closed: false,
    lines,
    gross: round(exactNet.plus(exactTax), draft.currency),
    tax: round(exactTax, draft.currency),
    companyGross: round(exactNet.plus(exactTax).times(rate), world.companyCurrency),
    companyTax: round(exactTax.times(rate), world.companyCurrency),
    ...(draft.shipTo === undefined ? {} : { shipTo: draft.shipTo }),
    ...(draft.payment === undefined ? {} : { payment: draft.payment }),
    ...(draft.references === undefined ? {} : { references: draft.references }),
    userFields: draft.userFields ?? {},
    createdAt: at,
    updatedAt: at,
  }
  world.put('erpOrders', order)
  for (const line of lines) moveStock(world, line.item, line.warehouse, { committed: line.quantity })
  return order
}

export function changeOrder(world: WorldState, order: ErpOrder, changes: Partial<ErpOrder>): ErpOrder {
  const changed = { ...order, ...changes, updatedAt: nowText() }
  world.put('erpOrders', changed)
  return changed
}

/** Whoever calls has checked that the order is open. */
export function cancelOrder(world: WorldState, order: ErpOrder): ErpOrder {
  for (const line of order.lines) moveStock(world, line.item, line.warehouse, { committed: `-${line.open}` })
  return changeOrder(world, order, { cancelled: true, closed: true })
}

/** Delivers what each line still has open, or the given share of it (at least one unit). */
export function deliver(world: WorldState, order: ErpOrder, share = 1, at = nowText()): ErpDelivery | null {
  const parts = order.lines
    .map((line) => {
      const open = new Big(line.open)
      const part = share >= 1 ? open : open.times(share).round(0, Big.roundUp)
      return { line, quantity: part.gt(open) ? open : part }
    })
    .filter((part) => part.quantity.gt(0))
  if (parts.length === 0) return null
  const docEntry = world.count('erpDeliveries') + 1
  const delivery: ErpDelivery = {
    docEntry,
    docNum: 5000 + docEntry,
    cardCode: order.cardCode,
    currency: order.currency,
    rate: order.rate,
    docDate: dayOf(at),
    closed: false,
    cancelled: false,
    lines: parts.map(({ line, quantity }, lineNum) => ({
      lineNum,
      item: line.item,
      description: line.description,
      quantity: quantity.toString(),
      warehouse: line.warehouse,
      baseEntry: order.docEntry,
      baseLine: line.lineNum,
    })),
    createdAt: at,
    updatedAt: at,
  }
  world.put('erpDeliveries', delivery)
  const delivered = new Map(parts.map(({ line, quantity }) => [line.lineNum, quantity]))
  const lines = order.lines.map((line) => ({
    ...line,
    open: new Big(line.open).minus(delivered.get(line.lineNum) ?? 0).toString(),
  }))
  const closed = lines.every((line) => new Big(line.open).eq(0))
  world.put('erpOrders', {
    ...order,
    lines,
    closed,
    ...(closed ? { deliveredOn: dayOf(at) } : {}),
    updatedAt: at,
  })
  for (const { line, quantity } of parts) {
    moveStock(world, line.item, line.warehouse, { inStock: `-${quantity}`, committed: `-${quantity}` })
  }
  return delivery
}

/** Adds to the figures of one stock place; `-3` takes away. */
export function moveStock(
  world: WorldState,
  item: string,
  warehouse: string,
  by: { readonly inStock?: string; readonly committed?: string; readonly ordered?: string },
): void {
  const stock = world.get('erpStock', `${item}@${warehouse}`)
  if (!stock) return
  const add = (value: string, change = '0') => new Big(value).plus(change).toString()
  world.put('erpStock', {
    ...stock,
    inStock: add(stock.inStock, by.inStock),
    committed: add(stock.committed, by.committed),
    ordered: add(stock.ordered, by.ordered),
  })
}

/** Finance bills a whole order; `null` where finance does not know the customer. */
export function billOrder(
  world: WorldState,
  order: ErpOrder,
  at = nowText(),
  customerNo: string | undefined = financeCustomerOf(world, order.cardCode),
): FinanceInvoice | null {
  if (!customerNo) return null
  const number = world.count('financeInvoices') + 1
  const due = new Date(Date.parse(at) + 30 * 86_400_000).toISOString()
  const invoice: FinanceInvoice = {
    invoiceNo: `INV-${String(number).padStart(6, '0')}`,
    customerNo,
    orderNo: String(order.docNum),
    kind: 'STANDARD',
    currency: order.currency,
    issueDate: dayOf(at),
    dueDate: dayOf(due),
    net: new Big(order.gross).minus(order.tax).toFixed(digitsOf(order.currency)),
    tax: order.tax,
    gross: order.gross,
    paid: round(new Big(0), order.currency),
    cancelled: false,
    lines: order.lines.map((line) => ({
      lineNo: line.lineNum + 1,
      productNo: productNoOf(world, line.item),
      text: line.description,
      quantity: line.quantity,
      net: line.total,
      unitPrice: line.price,
      taxPercent: line.taxPercent,
    })),
    createdAt: at,
    updatedAt: at,
  }
  world.put('financeInvoices', invoice)
  return invoice
}

/** The ERP bills by itself: a delivery, or an order that needs none. */
export function invoiceInErp(
  world: WorldState,
  base: { readonly order: ErpOrder; readonly delivery?: ErpDelivery },
  at = nowText(),
): ErpInvoice {
  const { order, delivery } = base
  const part = delivery
    ? delivery.lines.reduce((total, line) => {
        const price = order.lines.find(({ lineNum }) => lineNum === line.baseLine)?.price ?? '0'
        return total.plus(new Big(price).times(line.quantity))
      }, new Big(0))
    : new Big(order.gross).minus(order.tax)
  const tax = delivery ? part.times(TAX_PERCENT).div(100) : new Big(order.tax)
  const inCompany = (value: Big) => round(value.times(order.rate), world.companyCurrency)
  const docEntry = world.count('erpInvoices') + 1
  const invoice: ErpInvoice = {
    docEntry,
    docNum: 7000 + docEntry,
    cardCode: order.cardCode,
    currency: order.currency,
    rate: order.rate,
    docDate: dayOf(at),
    dueDate: dayOf(new Date(Date.parse(at) + 30 * 86_400_000).toISOString()),
    gross: round(part.plus(tax), order.currency),
    tax: round(tax, order.currency),
    paid: '0',
    companyGross: inCompany(part.plus(tax)),
    companyTax: inCompany(tax),
    companyPaid: '0',
    cancelled: false,
    baseType: delivery ? 15 : 17,
    lines: (delivery?.lines ?? order.lines).map((line) => ({
      lineNum: line.lineNum,
      item: line.item,
      description: line.description,
      quantity: line.quantity,
      baseEntry: delivery?.docEntry ?? order.docEntry,
    })),
    createdAt: at,
    updatedAt: at,
  }
  world.put('erpInvoices', invoice)
  return invoice
}

export interface PaymentDraft {
  readonly customerNo: string
  readonly date: string
  readonly amount: string
  readonly currency: string
  readonly method: string
  readonly reference: string
  readonly externalReference: string
  readonly applications: readonly {
    readonly invoiceNo: string
    readonly amount: string
    /** Settles the invoice as the amount does, and is no part of the payment. */
    readonly discount?: string
  }[]
  readonly attributes?: Readonly<Record<string, string>>
  readonly at?: string
}

/** Whoever calls has checked customer, currency and open amounts. */
export function pay(world: WorldState, draft: PaymentDraft): FinancePayment {
  const at = draft.at ?? nowText()
  const number = world.count('financePayments') + 1
  const payment: FinancePayment = {
    paymentNo: `PAY-${String(number).padStart(6, '0')}`,
    customerNo: draft.customerNo,
    date: draft.date,
    amount: draft.amount,
    currency: draft.currency,
    method: draft.method,
    reference: draft.reference,
    externalReference: draft.externalReference,
    applications: draft.applications.map((application) => ({ ...application })),
    ...(draft.attributes ? { attributes: draft.attributes } : {}),
    cancelled: false,
    createdAt: at,
    updatedAt: at,
  }
  world.put('financePayments', payment)
  for (const { invoiceNo, amount, discount = '0' } of draft.applications) {
    const invoice = world.get('financeInvoices', invoiceNo)
    if (!invoice) continue
    const paid = round(new Big(invoice.paid).plus(amount).plus(discount), invoice.currency)
    world.put('financeInvoices', { ...invoice, paid, updatedAt: at })
  }
  return payment
}

/** What is still to be paid. */
export const openOf = (invoice: FinanceInvoice): Big =>
  invoice.cancelled ? new Big(0) : new Big(invoice.gross).minus(invoice.paid)

/** What of a payment settles no invoice. */
export const unappliedOf = ({ amount, applications }: FinancePayment): Big =>
  applications.reduce((left, part) => left.minus(part.amount), new Big(amount))

/** By currency, what of these invoices is open, and what of that was due before `day`. @param open Of one of them. */
export function balancesOf(
  invoices: readonly FinanceInvoice[],
  day: string,
  open: (invoice: FinanceInvoice) => Big = openOf,
): ReadonlyMap<string, { readonly open: Big; readonly overdue: Big }> {
  const balances = new Map<string, { open: Big; overdue: Big }>()
  for (const invoice of invoices) {
    const before = balances.get(invoice.currency) ?? { open: new Big(0), overdue: new Big(0) }
    const more = open(invoice)
    const overdue = invoice.dueDate < day ? before.overdue.plus(more) : before.overdue
    balances.set(invoice.currency, { open: before.open.plus(more), overdue })
  }
  return balances
}

/** Finance knows customers by their tax number, as the real one would have been set up. */
export function financeCustomerOf(world: WorldState, cardCode: string): string | undefined {
  const taxNumber = world.get('erpAccounts', cardCode)?.taxNumber
  return taxNumber ? world.find('financeCustomers', 'taxNumber', taxNumber)?.customerNo : undefined
}

function productNoOf(world: WorldState, item: string): string {
  const barcode = world.get('erpItems', item)?.barcode
  return (barcode && world.find('financeProducts', 'barcode', barcode)?.productNo) ?? item
}
