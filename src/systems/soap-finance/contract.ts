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
const custom = { Name: 'one', Value: 'one' } as const
const lines = {
  Line: [
    {
      LineNo: 'one',
      ProductNo: 'one',
      Description: 'one',
      Quantity: 'one',
      Unit: 'one',
      UnitPrice: 'one',
      TaxPercent: 'one',
      NetAmount: 'one',
      TaxAmount: 'one',
      GrossAmount: 'one',
      OrderNo: 'one',
    },
  ],
} as const
const taxInvoices = {
  TaxInvoice: [
    { Kind: 'one', Code: 'one', TaxInvoiceNo: 'one', IssueDate: 'one', RedLetterOf: 'one', File: 'one' },
  ],
} as const
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
  Lines: lines,
  TaxInvoices: taxInvoices,
  Custom: [custom],
  ExternalReference: 'one',
  Status: 'one',
  CreatedAt: 'one',
  ChangedAt: 'one',
} as const
const application = { InvoiceNo: 'one', Amount: 'one', Discount: 'one' } as const
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
  Custom: [custom],
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
  FindInvoices: {
    OrderNo: 'many',
    CustomerNo: 'many',
    ExternalReference: 'many',
    ChangedSince: 'one',
    ...page,
  },
  WriteBackInvoice: {
    ExternalReference: 'one',
    CustomerNo: 'one',
    OrderNo: 'many',
    IssueDate: 'one',
    DueDate: 'one',
    Currency: 'one',
    NetAmount: 'one',
    TaxAmount: 'one',
    GrossAmount: 'one',
    Comments: 'one',
    Lines: lines,
    Custom: [custom],
    RequestedBy: 'one',
  },
  CancelInvoice: { InvoiceNo: 'one', RequestedBy: 'one' },
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
    Custom: [custom],
  },
  GetReceivables: { CustomerNo: 'many', AsOf: 'one' },
  FindCustomers: { CustomerNo: 'many', ChangedSince: 'one', ...page },
  FindProducts: { ProductNo: 'many', ...page },
} as const satisfies Readonly<Record<string, Shape>>

export type Operation = keyof typeof requests

export const answers = {
  GetInvoice: { Invoice: [invoice] },
  FindInvoices: { Invoice: [invoice], ...pageEnd },
  WriteBackInvoice: { Invoice: invoice },
  CancelInvoice: { Invoice: invoice },
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

/** Replaces names of the contract, everywhere (`Name`) or below one parent (`Parent.Name`). */
export type Names = Readonly<Record<string, string>>

/** @param parent The contract's name of the element around it; empty for operations and their answers. */
export function vendorName(names: Names, parent: string, name: string): string {
  return names[`${parent}.${name}`] ?? names[name] ?? name
}

/** Every name of the contract, with those of the elements that it stands in. */
const parents: ReadonlyMap<string, ReadonlySet<string>> = collectParents()

function collectParents() {
  const found = new Map<string, Set<string>>()
  const add = (parent: string, name: string, member: Member) => {
    found.set(name, (found.get(name) ?? new Set()).add(parent))
    const shape = shapeOf(member)
    for (const [inner, content] of Object.entries(shape ?? {})) add(name, inner, content)
  }
  for (const [operation, shape] of Object.entries(requests)) add('', operation, shape)
  for (const [operation, shape] of Object.entries(answers)) add('', `${operation}Response`, shape)
  add('', 'BusinessFault', businessFault)
  return found
}

/** The shape of elements that have one, undefined for text. */
export function shapeOf(member: Member): Shape | undefined {
  if (typeof member === 'string') return undefined
  return Array.isArray(member) ? (member as readonly [Shape])[0] : (member as Shape)
}

/** What is wrong with replaced names: not in the contract, or two elements of one parent called alike. */
export function namesProblems(names: Names): { readonly name: string; readonly problem: string }[] {
  const unknown = Object.keys(names)
    .filter((name) => {
      const [last = '', parent] = name.split('.').reverse()
      return !parents.has(last) || (parent !== undefined && !parents.get(last)?.has(parent))
    })
    .map((name) => ({ name, problem: 'is not a name of finance.wsdl' }))
  const taken = new Map<string, string>()
  const alike: { name: string; problem: string }[] = []
  for (const [name, places] of parents) {
    for (const parent of places) {
      // One operation there may well do the work of two here.
      if (parent === '') continue
      const theirs = vendorName(names, parent, name)
      const other = taken.get(`${parent}.${theirs}`)
      if (other === undefined) taken.set(`${parent}.${theirs}`, name)
      else alike.push({ name, problem: `"${theirs}" is also the name of ${other}` })
    }
  }
  return [...unknown, ...alike]
}
