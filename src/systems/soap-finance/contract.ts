/**
 * The contract of `finance.wsdl` as the client needs it: the elements of each message in their order, and which of
 * them repeat. A list of one and a single value look alike in XML; only this table tells them apart.
 * A test compares it with the WSDL.
 */

/** `one`: text, at most once; `many`: text, any number of times; a shape in brackets: any number of those. */
export type Member = 'one' | 'many' | Shape | readonly [Shape]
export interface Shape {
  readonly [name: string]: Member
}

const page = { After: 'one', Limit: 'one' } as const
const pageEnd = { More: 'one', ServerTime: 'one' } as const

const customer = { CustomerNo: 'one', Name: 'one', TaxNumber: 'one', ChangedAt: 'one' } as const
const product = { ProductNo: 'one', Name: 'one', Barcode: 'one' } as const
const invoice = {
  InvoiceNo: 'one',
  Kind: 'one',
  CustomerNo: 'one',
  OrderNo: 'many',
  IssueDate: 'one',
  DueDate: 'one',
  Currency: 'one',
  NetAmount: 'one',
  TaxAmount: 'one',
  GrossAmount: 'one',
  PaidAmount: 'one',
  OpenAmount: 'one',
  Status: 'one',
  CreatedAt: 'one',
  ChangedAt: 'one',
} as const
const application = { InvoiceNo: 'one', Amount: 'one' } as const
const payment = {
  PaymentNo: 'one',
  CustomerNo: 'one',
  PaymentDate: 'one',
  Currency: 'one',
  Amount: 'one',
  Method: 'one',
  Reference: 'one',
  ExternalReference: 'one',
  Application: [application],
  UnappliedAmount: 'one',
  Status: 'one',
  CreatedAt: 'one',
  ChangedAt: 'one',
} as const
const receivable = {
  CustomerNo: 'one',
  AsOf: 'one',
  Balance: [{ Currency: 'one', OpenAmount: 'one', OverdueAmount: 'one' }],
} as const

export const requests = {
  // The seed's own spelling; everything else is written like the vendors' element names.
  GetInvoice: { invoiceId: 'many' },
  FindInvoices: { OrderNo: 'many', CustomerNo: 'many', ChangedSince: 'one', ...page },
  GetPayments: { PaymentNo: 'many' },
  FindPayments: {
    InvoiceNo: 'many',
    CustomerNo: 'many',
    ExternalReference: 'many',
    ChangedSince: 'one',
    ...page,
  },
  WriteBackPayment: {
    ExternalReference: 'one',
    CustomerNo: 'one',
    PaymentDate: 'one',
    Currency: 'one',
    Amount: 'one',
    Method: 'one',
    Reference: 'one',
    RequestedBy: 'one',
    Application: [application],
  },
  GetReceivables: { CustomerNo: 'many', AsOf: 'one' },
  FindCustomers: { CustomerNo: 'many', ChangedSince: 'one', ...page },
  FindProducts: { ProductNo: 'many', ...page },
} as const satisfies Readonly<Record<string, Shape>>

export type Operation = keyof typeof requests

export const answers = {
  GetInvoice: { Invoice: [invoice] },
  FindInvoices: { Invoice: [invoice], ...pageEnd },
  GetPayments: { Payment: [payment] },
  FindPayments: { Payment: [payment], ...pageEnd },
  WriteBackPayment: { Payment: payment },
  GetReceivables: { Receivable: [receivable] },
  FindCustomers: { Customer: [customer], ...pageEnd },
  FindProducts: { Product: [product], ...pageEnd },
} as const satisfies Readonly<Record<Operation, Shape>>

export const businessFault = {
  Code: 'one',
  Field: 'one',
  Line: 'one',
  Detail: [{ Name: 'one', Value: 'one' }],
} as const satisfies Shape

/** The contract's limit for one page, and for the repetitions of one criterion. */
export const MAX_ROWS = 200
/** Longest number (key) that the contract carries. */
export const MAX_NUMBER_LENGTH = 40

/** Every name that a configuration may replace: `Name` everywhere, `Parent.Name` in one place. */
export function contractNames(): ReadonlySet<string> {
  const names = new Set<string>()
  const collect = (parent: string, shape: Shape) => {
    for (const [name, member] of Object.entries(shape)) {
      names.add(name).add(`${parent}.${name}`)
      if (typeof member !== 'string') collect(name, Array.isArray(member) ? member[0] : member)
    }
  }
  for (const [operation, shape] of Object.entries(requests)) {
    names.add(operation)
    collect(operation, shape)
  }
  for (const [operation, shape] of Object.entries(answers)) {
    names.add(`${operation}Response`)
    collect(`${operation}Response`, shape)
  }
  names.add('BusinessFault')
  collect('BusinessFault', businessFault)
  return names
}
