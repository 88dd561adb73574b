/**
 * Invoices and incoming payments, the vendor's and ours. Pure.
 * @see SAP Business One Service Layer API reference: types Document, Payment
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import type { PaymentCreate, WriteContext } from '../port.ts'
import type { Decimal, Invoice, InvoiceLine, Key, Money, Payment } from '../records.ts'
import type { SapB1Config } from './config.ts'
import {
  amount,
  broken,
  createBasics,
  customBody,
  DOCUMENT_FIELDS,
  day,
  dayOf,
  documentSchema,
  entry,
  referenceOf,
  text,
  unitOf,
  unknownCustomField,
  vendorCurrency,
  vendorStatus,
} from './mapping.ts'

/** Object codes of a delivery note and of an invoice, as `BaseType` of the lines that follow from them. */
export const DELIVERY_OBJECT = '15'
export const INVOICE_OBJECT = '13'

/** An invoice or a credit note before the numbers of its orders are known. The key is the entry in its own table. */
export interface RawInvoice extends Omit<Invoice, 'orderNumbers' | 'lines'> {
  readonly lines: readonly InvoiceLine[]
  /** What each line follows from. */
  readonly bases: readonly (Base | null)[]
}

export interface Base {
  readonly type: string
  readonly entry: Key
  readonly line: string | null
}

const invoiceSchema = documentSchema.extend({ PaidToDate: amount, PaidToDateFC: amount })
/** `PaidToDate` is not known to older releases. */
export const INVOICE_FIELDS: readonly string[] = [...DOCUMENT_FIELDS, 'PaidToDate', 'PaidToDateFC']

const paymentSchema = z.object({
  DocEntry: entry,
  DocNum: entry,
  DocType: text,
  DocDate: day,
  CardCode: text,
  DocCurrency: text,
  CashSum: amount,
  TransferSum: amount,
  TransferReference: text,
  CounterReference: text,
  Remarks: text,
  Cancelled: text,
  AuthorizationStatus: text,
  PaymentInvoices: z
    .array(
      z.object({
        DocEntry: entry,
        SumApplied: amount,
        AppliedFC: amount,
        TotalDiscount: amount,
        TotalDiscountFC: amount,
        InvoiceType: text,
      }),
    )
    .nullish(),
  PaymentChecks: z.array(z.object({ CheckSum: amount })).nullish(),
})
export const PAYMENT_FIELDS: readonly string[] = Object.keys(paymentSchema.shape)

export interface FinanceMapping {
  invoice(row: unknown): Outcome<RawInvoice>
  creditNote(row: unknown): Outcome<RawInvoice>
  payment(row: unknown): Outcome<Payment>
}

export function createFinanceMapping(config: SapB1Config): FinanceMapping {
  const { currencyOf, money, quantity, base, totals, lineTotals, custom } = createBasics(config)
  const inCurrency = (code: string | null | undefined) => (code ? currencyOf(code) : config.companyCurrency)

  const line = (of: Document['DocumentLines'][number], currency: string): InvoiceLine => ({
    id: of.LineNum,
    product: of.ItemCode || null,
    description: of.ItemDescription ?? null,
    quantity: quantity(of.Quantity, unitOf(of)),
    unitPrice: of.UnitPrice
      ? { amount: { amount: of.UnitPrice, currency }, per: '1', taxIncluded: false }
      : null,
    taxRate: of.TaxPercentagePerRow ?? null,
    ...lineTotals(of, currency),
  })

  const billed =
    (type: 'STANDARD' | 'CREDIT_NOTE'): FinanceMapping['invoice'] =>
    (row) => {
      const parsed = invoiceSchema.safeParse(row)
      if (!parsed.success) {
        return broken(type === 'STANDARD' ? 'Invoice' : 'CreditNote', row, 'DocEntry', parsed.error)
      }
      const document = parsed.data
      const currency = inCurrency(document.DocCurrency)
      const own = totals(document, currency).totals
      const paid = money(
        currency === config.companyCurrency ? document.PaidToDate : document.PaidToDateFC,
        currency,
      )
      return ok({
        key: document.DocEntry,
        ...base(document),
        ...custom(config.customFields.invoice, row),
        number: document.DocNum,
        type: document.CancelStatus === 'csCancellation' ? 'CANCELLATION' : type,
        customer: document.CardCode || null,
        issueDate: dayOf(document.DocDate),
        dueDate: dayOf(document.DocDueDate),
        status: statusOf(document, paid),
        vendorStatus: vendorStatus(document),
        totals: own,
        paid,
        open: balanceOf(document, own.gross ?? null, paid),
        lines: document.DocumentLines.map((one) => line(one, currency)),
        bases: document.DocumentLines.map(({ BaseType, BaseEntry, BaseLine }) =>
          BaseType && BaseEntry ? { type: BaseType, entry: BaseEntry, line: BaseLine ?? null } : null,
        ),
      })
    }

  return {
    invoice: billed('STANDARD'),
    creditNote: billed('CREDIT_NOTE'),

    payment(row) {
      const parsed = paymentSchema.safeParse(row)
      if (!parsed.success) return broken('IncomingPayment', row, 'DocEntry', parsed.error)
      const it = parsed.data
      const currency = inCurrency(it.DocCurrency)
      const checks = (it.PaymentChecks ?? []).map((check) => check.CheckSum ?? '0')
      // The vendor has no total: a payment is what its means add up to.
      const means = [
        ['CASH', it.CashSum ?? '0'],
        ['TRANSFER', it.TransferSum ?? '0'],
        ['CHECK', sum(checks)],
      ] as const
      const used = means.filter(([, value]) => !new Big(value).eq(0))
      return ok({
        key: it.DocEntry,
        ...custom(config.customFields.payment, row),
        number: it.DocNum,
        customer: it.CardCode || null,
        date: dayOf(it.DocDate),
        amount: { amount: sum(used.map(([, value]) => value)), currency },
        method: used.map(([name]) => name).join('+') || null,
        reference:
          it.TransferReference ||
          (config.paymentReferenceField === 'CounterReference' ? null : it.CounterReference) ||
          null,
        externalReference: referenceOf(
          config.paymentReferenceField,
          (row as Record<string, unknown>)[config.paymentReferenceField],
        ),
        status: it.Cancelled === 'tYES' ? 'CANCELLED' : it.Cancelled === 'tNO' ? 'POSTED' : 'UNKNOWN',
        vendorStatus: `Cancelled=${it.Cancelled ?? ''} ${it.AuthorizationStatus ?? ''}`.trim(),
        applications: (it.PaymentInvoices ?? []).flatMap((part) => {
          const isLocal = currency === config.companyCurrency
          const applied = isLocal ? part.SumApplied : part.AppliedFC
          const discount = isLocal ? part.TotalDiscount : part.TotalDiscountFC
          const isInvoice = (part.InvoiceType ?? 'it_Invoice') === 'it_Invoice'
          if (!isInvoice || !applied) return []
          const isDiscounted = discount && !new Big(discount).eq(0)
          return [
            {
              invoice: part.DocEntry,
              amount: { amount: applied, currency },
              discount: isDiscounted ? { amount: discount, currency } : null,
            },
          ]
        }),
      })
    },
  }
}

const sum = (values: readonly Decimal[]): Decimal =>
  values.length === 1
    ? (values[0] as Decimal)
    : values.reduce((total, value) => total.plus(value), new Big(0)).toString()

type Document = z.infer<typeof invoiceSchema>

/** A closed invoice is paid, or credited as a whole: the vendor closes it when nothing is left to pay. */
function statusOf(document: Document, paid: Money | null): Invoice['status'] {
  if (document.Cancelled === 'tYES' || document.CancelStatus === 'csCancellation') return 'CANCELLED'
  if (document.DocumentStatus === 'bost_Paid' || document.DocumentStatus === 'bost_Close') return 'PAID'
  if (document.DocumentStatus !== 'bost_Open') return 'UNKNOWN'
  return paid !== null && new Big(paid.amount).gt(0) ? 'PARTIALLY_PAID' : 'OPEN'
}

/** Balance due, by the vendor's own rule: total less paid to date, and nothing once the invoice is closed. */
function balanceOf(document: Document, gross: Money | null, paid: Money | null): Money | null {
  if (gross === null || paid === null || document.Cancelled === 'tYES') return null
  if (document.DocumentStatus !== 'bost_Open') return { ...gross, amount: '0' }
  return { ...gross, amount: new Big(gross.amount).minus(paid.amount).toString() }
}

/** Body of `POST IncomingPayments`, or why this configuration cannot say what is asked for. */
export function paymentBody(config: SapB1Config, input: PaymentCreate, write: WriteContext): Outcome<string> {
  const isCash = input.method === 'CASH'
  if (input.method !== undefined && !isCash && input.method !== 'TRANSFER') {
    return cannot(`Payments are taken as TRANSFER or CASH here, not as "${input.method}".`)
  }
  const account = isCash ? config.paymentAccounts.cash : config.paymentAccounts.transfer
  if (account === undefined) {
    return cannot(`The configuration names no account for payments by ${isCash ? 'cash' : 'transfer'}.`)
  }
  const unknown = unknownCustomField(config.customFields.payment, input.customFields)
  if (unknown !== undefined) {
    return cannot(`No own field "${unknown}" is configured for payments of this system.`)
  }
  const odd = input.applications.find(({ invoice }) => !/^\d+$/.test(invoice))
  if (odd) return cannot(`Payments are applied to invoices here, not to "${odd.invoice}".`)
  const { amount: value, currency } = input.amount
  const isLocal = currency === config.companyCurrency
  const reference = config.paymentReferenceField === 'CounterReference' ? undefined : input.reference
  return ok(
    JSON.stringify({
      DocType: 'rCustomer',
      CardCode: input.customer,
      DocDate: input.date,
      DocCurrency: vendorCurrency(config, currency),
      ...(isCash
        ? { CashAccount: account, CashSum: value, CounterReference: reference }
        : {
            TransferAccount: account,
            TransferSum: value,
            TransferDate: input.date,
            TransferReference: input.reference,
          }),
      [config.paymentReferenceField]: write.externalReference,
      PaymentInvoices: input.applications.map((part) => ({
        DocEntry: Number(part.invoice),
        InvoiceType: 'it_Invoice',
        [isLocal ? 'SumApplied' : 'AppliedFC']: part.amount,
        [isLocal ? 'TotalDiscount' : 'TotalDiscountFC']: part.discount,
      })),
      ...customBody(config.customFields.payment, input.customFields),
    }),
  )
}

const cannot = (message: string): Outcome<never> => fail({ kind: 'unsupported', message })
