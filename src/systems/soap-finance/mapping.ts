/** Records of the contract to ours, and a payment to the contract. Pure; what the answer lacks stays null. */
import { z } from 'zod'
import { fail, type Outcome, ok, type Rejection, type SourceFailure } from '../failure.ts'
import { meaningOfAnyCase, quantityIn } from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import { isXmlText } from '../kit/xml.ts'
import type { InvoiceCreate, PaymentCreate, WriteContext } from '../port.ts'
import type {
  Customer,
  CustomFields,
  DateText,
  DateTimeText,
  Decimal,
  Invoice,
  InvoiceLine,
  Money,
  Payment,
  Product,
  Receivable,
} from '../records.ts'
import type { Fields } from './client.ts'
import type { SoapFinanceConfig } from './config.ts'
import { MAX_NUMBER_LENGTH } from './contract.ts'

/* ---- simple types of XML Schema ---- */

const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? null)
/** An empty element for a number or a time is no value of its type; many servers write one for none. */
const filled = <T extends z.ZodType>(type: T) =>
  optional(
    z.preprocess(
      (value) => (typeof value === 'string' && value.trim() === '' ? null : value),
      type.nullish(),
    ),
  )
const text = z.string()
const number = z.string().min(1)
const currency = z
  .string()
  .transform((value) => value.trim())
  .pipe(z.string().regex(/^[A-Z]{3}$/, 'is not an ISO 4217 code'))
const decimal = simpleType(readDecimal, 'is not an xs:decimal')
const date = simpleType(readDate, 'is not an xs:date')

function simpleType(read: (value: string) => string | undefined, message: string) {
  return z.string().transform((value, context) => {
    const result = read(value.trim())
    if (result !== undefined) return result
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}

/** xs:decimal may have a plus sign, leading zeros, or no digit on one side of the point; trailing zeros are kept. */
export function readDecimal(value: string): Decimal | undefined {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?$/.exec(value)
  if (!match || !(match[2] || match[3])) return undefined
  const whole = (match[2] ?? '').replace(/^0+(?=\d)/, '') || '0'
  const digits = match[3] ? `${whole}.${match[3]}` : whole
  return match[1] === '-' && /[1-9]/.test(digits) ? `-${digits}` : digits
}

/** The calendar day as it is written: a zone behind it names where that day is, and must not move it. */
export function readDate(value: string): DateText | undefined {
  const day = /^(\d{4}-\d{2}-\d{2})(?:Z|[+-]\d{2}:\d{2})?$/.exec(value)?.[1]
  return day && new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day) ? day : undefined
}

/** @param timeZone Of times without one, IANA name or offset. */
export function readDateTime(value: string, timeZone: string): DateTimeText | undefined {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?)(Z|[+-]\d{2}:\d{2})?$/.exec(value)
  const local = match?.[1]
  if (!local || Number.isNaN(Date.parse(`${local}Z`))) return undefined
  return local + (match[2] ?? offsetAt(local, timeZone))
}

/** The zone's offset at a local time; of a time that a clock change makes twice, either. */
function offsetAt(local: string, timeZone: string): string {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  const offset = (utc: number) => {
    const name = format.formatToParts(utc).find((part) => part.type === 'timeZoneName')?.value ?? ''
    return /[+-]\d{2}:\d{2}/.exec(name)?.[0] ?? '+00:00'
  }
  const guess = Date.parse(`${local}Z`)
  return offset(Date.parse(`${local}${offset(guess)}`))
}

/* ---- records ---- */

/** The settings that say what an answer means. */
type Meanings = Pick<
  SoapFinanceConfig,
  'timeZone' | 'customFields' | 'invoiceTypes' | 'invoiceStatuses' | 'paymentStatuses' | 'unitCodes'
>

/** Schemas are made once for each system. */
export function createMapping(config: Meanings) {
  const { timeZone } = config
  const dateTime = simpleType((value) => readDateTime(value, timeZone), 'is not an xs:dateTime')

  const customer = z
    .object({ CustomerNo: number, Name: text, TaxNumber: optional(text), ChangedAt: dateTime })
    .transform(
      (raw): Customer => ({
        key: raw.CustomerNo,
        name: raw.Name,
        // Empty means none: it must never match another customer's missing number.
        taxNumber: raw.TaxNumber?.trim() || null,
        updatedAt: raw.ChangedAt,
        version: raw.ChangedAt,
      }),
    )

  const product = z.object({ ProductNo: number, Name: text, Barcode: optional(text) }).transform(
    (raw): Product => ({
      key: raw.ProductNo,
      sku: raw.ProductNo,
      name: raw.Name,
      barcode: raw.Barcode?.trim() || null,
    }),
  )

  const line = z.object({
    LineNo: number,
    ProductNo: optional(text),
    Description: optional(text),
    Quantity: filled(decimal),
    Unit: optional(text),
    UnitPrice: filled(decimal),
    TaxPercent: filled(decimal),
    NetAmount: filled(decimal),
    TaxAmount: filled(decimal),
    GrossAmount: filled(decimal),
    OrderNo: optional(text),
  })
  const lines = (given: readonly z.output<typeof line>[], money: MoneyIn): readonly InvoiceLine[] =>
    given.map((one) => {
      const amount = money(one.UnitPrice)
      return {
        id: one.LineNo,
        product: one.ProductNo || null,
        description: one.Description,
        quantity: one.Quantity === null ? null : quantityIn(one.Unit || null, config.unitCodes)(one.Quantity),
        unitPrice: amount && { amount, per: '1', taxIncluded: false },
        taxRate: one.TaxPercent,
        net: money(one.NetAmount),
        tax: money(one.TaxAmount),
        gross: money(one.GrossAmount),
        orderNumber: one.OrderNo || null,
      }
    })

  const taxInvoice = z
    .object({
      Kind: optional(text),
      Code: optional(text),
      TaxInvoiceNo: number,
      IssueDate: filled(date),
      RedLetterOf: optional(text),
      File: optional(text),
    })
    .transform((raw) => ({
      kind: raw.Kind || null,
      code: raw.Code || null,
      number: raw.TaxInvoiceNo,
      issuedOn: raw.IssueDate,
      redLetterOf: raw.RedLetterOf || null,
      file: raw.File || null,
    }))

  const custom = z.array(z.object({ Name: text, Value: optional(text) }))
  const customOf = (names: Readonly<Record<string, string>>, given: z.output<typeof custom>) => {
    const entries = Object.entries(names)
    if (entries.length === 0) return {}
    const values = new Map(given.map(({ Name, Value }) => [Name, Value]))
    const customFields: CustomFields = Object.fromEntries(
      entries.map(([ours, theirs]) => [ours, values.get(theirs) ?? null]),
    )
    return { customFields }
  }

  const invoice = z
    .object({
      InvoiceNo: number,
      Kind: optional(text),
      CustomerNo: optional(text),
      OrderNo: z.array(text),
      IssueDate: filled(date),
      DueDate: filled(date),
      Currency: currency,
      NetAmount: filled(decimal),
      TaxAmount: filled(decimal),
      GrossAmount: filled(decimal),
      PaidAmount: filled(decimal),
      OpenAmount: filled(decimal),
      Lines: optional(z.object({ Line: z.array(line) })),
      TaxInvoices: optional(z.object({ TaxInvoice: z.array(taxInvoice) })),
      Custom: custom,
      ExternalReference: optional(text),
      Status: optional(text),
      CreatedAt: filled(dateTime),
      ChangedAt: filled(dateTime),
    })
    .transform((raw): Invoice => {
      const money = moneyIn(raw.Currency)
      return {
        key: raw.InvoiceNo,
        number: raw.InvoiceNo,
        type: meaningOfAnyCase(raw.Kind, config.invoiceTypes, INVOICE_TYPES),
        customer: raw.CustomerNo,
        orderNumbers: raw.OrderNo,
        issueDate: raw.IssueDate,
        dueDate: raw.DueDate,
        status: meaningOfAnyCase(raw.Status, config.invoiceStatuses, INVOICE_STATUSES),
        vendorStatus: raw.Status,
        totals: { net: money(raw.NetAmount), tax: money(raw.TaxAmount), gross: money(raw.GrossAmount) },
        paid: money(raw.PaidAmount),
        open: money(raw.OpenAmount),
        lines: raw.Lines && lines(raw.Lines.Line, money),
        taxInvoices: raw.TaxInvoices?.TaxInvoice ?? null,
        externalReference: raw.ExternalReference,
        createdAt: raw.CreatedAt,
        updatedAt: raw.ChangedAt,
        version: raw.ChangedAt,
        ...customOf(config.customFields.invoice, raw.Custom),
      }
    })

  const payment = z
    .object({
      PaymentNo: number,
      CustomerNo: optional(text),
      PaymentDate: filled(date),
      Currency: currency,
      Amount: decimal,
      Method: optional(text),
      Reference: optional(text),
      ExternalReference: optional(text),
      Application: z.array(z.object({ InvoiceNo: number, Amount: decimal, Discount: filled(decimal) })),
      UnappliedAmount: filled(decimal),
      Custom: custom,
      Status: optional(text),
      CreatedAt: filled(dateTime),
      ChangedAt: filled(dateTime),
    })
    .transform(
      (raw): Payment => ({
        key: raw.PaymentNo,
        number: raw.PaymentNo,
        customer: raw.CustomerNo,
        date: raw.PaymentDate,
        amount: { amount: raw.Amount, currency: raw.Currency },
        method: raw.Method,
        reference: raw.Reference,
        externalReference: raw.ExternalReference,
        status: meaningOfAnyCase(raw.Status, config.paymentStatuses, PAYMENT_STATUSES),
        vendorStatus: raw.Status,
        applications: raw.Application.map((one) => ({
          invoice: one.InvoiceNo,
          amount: { amount: one.Amount, currency: raw.Currency },
          discount: moneyIn(raw.Currency)(one.Discount),
        })),
        unapplied: moneyIn(raw.Currency)(raw.UnappliedAmount),
        createdAt: raw.CreatedAt,
        updatedAt: raw.ChangedAt,
        version: raw.ChangedAt,
        ...customOf(config.customFields.payment, raw.Custom),
      }),
    )

  const receivable = z
    .object({
      CustomerNo: number,
      AsOf: date,
      Balance: z.array(z.object({ Currency: currency, OpenAmount: decimal, OverdueAmount: filled(decimal) })),
    })
    .transform(
      (raw): Receivable => ({
        key: raw.CustomerNo,
        customer: raw.CustomerNo,
        asOf: raw.AsOf,
        balances: raw.Balance.map((one) => ({
          open: { amount: one.OpenAmount, currency: one.Currency },
          overdue: moneyIn(one.Currency)(one.OverdueAmount),
        })),
      }),
    )

  return {
    customer: (raw: unknown) => check(customer, raw, 'customer'),
    product: (raw: unknown) => check(product, raw, 'product'),
    invoice: (raw: unknown) => check(invoice, raw, 'invoice'),
    payment: (raw: unknown) => check(payment, raw, 'payment'),
    receivable: (raw: unknown) => check(receivable, raw, 'receivable'),
  }
}

type MoneyIn = (amount: Decimal | null) => Money | null
const moneyIn =
  (currency: string) =>
  (amount: Decimal | null): Money | null =>
    amount === null ? null : { amount, currency }

const INVOICE_TYPES: Readonly<Record<string, Invoice['type']>> = {
  STANDARD: 'STANDARD',
  CREDIT_NOTE: 'CREDIT_NOTE',
  DOWN_PAYMENT: 'DOWN_PAYMENT',
  CANCELLATION: 'CANCELLATION',
  PRO_FORMA: 'PRO_FORMA',
}
const INVOICE_STATUSES: Readonly<Record<string, Invoice['status']>> = {
  OPEN: 'OPEN',
  PART_PAID: 'PARTIALLY_PAID',
  PAID: 'PAID',
  CANCELLED: 'CANCELLED',
}
const PAYMENT_STATUSES: Readonly<Record<string, Payment['status']>> = {
  POSTED: 'POSTED',
  CANCELLED: 'CANCELLED',
}

function check<T>(schema: z.ZodType<T>, raw: unknown, what: string): Outcome<T> {
  const result = schema.safeParse(raw)
  if (result.success) return ok(result.data)
  const [issue] = result.error.issues
  const detail = `${what}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'unreadable'}`
  return fail({ kind: 'invalid-response', detail })
}

/* ---- requests ---- */

/** Whether a record can have this key at all; others need not, and could not, be asked for. */
export function isNumber(key: string): boolean {
  return key.length > 0 && key.length <= MAX_NUMBER_LENGTH && isXmlText(key)
}

type CustomNames = Readonly<Record<string, string>>

/** @param names Ours to theirs; whoever calls has refused names that are not here. */
const customElements = (names: CustomNames, given: CustomFields | undefined): readonly Fields[] =>
  Object.entries(given ?? {}).flatMap(([ours, value]) =>
    value === null || names[ours] === undefined ? [] : [{ Name: names[ours], Value: value }],
  )

/** What speaks against the custom fields of an input, before anything is sent. */
export function refuseCustom(
  what: string,
  names: CustomNames,
  given: CustomFields | undefined,
): SourceFailure | undefined {
  return (
    unknownCustomField(what, names, given) ??
    refuseText(
      Object.entries(given ?? {}).map(([ours, value]) => [`customFields.${ours}`, value ?? undefined]),
    )
  )
}

export function paymentFields(input: PaymentCreate, write: WriteContext, names: CustomNames): Fields {
  return {
    ExternalReference: write.externalReference,
    CustomerNo: input.customer,
    PaymentDate: input.date,
    Currency: input.amount.currency,
    Amount: input.amount.amount,
    Method: input.method,
    Reference: input.reference,
    RequestedBy: write.onBehalfOf || undefined,
    Application: input.applications.map(({ invoice, amount, discount }) => ({
      InvoiceNo: invoice,
      Amount: amount,
      Discount: discount,
    })),
    Custom: customElements(names, input.customFields),
  }
}

export function invoiceFields(input: InvoiceCreate, write: WriteContext, names: CustomNames): Fields {
  return {
    ExternalReference: write.externalReference,
    CustomerNo: input.customer,
    OrderNo: input.orderNumbers,
    IssueDate: input.issueDate,
    DueDate: input.dueDate,
    Currency: input.gross.currency,
    NetAmount: input.net,
    TaxAmount: input.tax,
    GrossAmount: input.gross.amount,
    Comments: input.comments,
    Lines: input.lines && {
      Line: input.lines.map((line, index) => ({
        LineNo: String(index + 1),
        ProductNo: line.product,
        Description: line.description,
        Quantity: line.quantity,
        UnitPrice: line.unitPrice,
        TaxPercent: line.taxRate,
      })),
    },
    Custom: customElements(names, input.customFields),
    RequestedBy: write.onBehalfOf || undefined,
  }
}

/** Text that XML cannot carry would make the whole envelope unreadable there: it is refused here, by field. */
export function refuseText(
  texts: readonly (readonly [field: string, value: string | undefined])[],
): Rejection | undefined {
  const bad = texts.find(([, value]) => value !== undefined && !isXmlText(value))
  if (!bad) return undefined
  return {
    kind: 'rejected',
    code: 'INVALID_TEXT',
    message: 'The text contains control characters or half of a character.',
    field: bad[0],
  }
}
