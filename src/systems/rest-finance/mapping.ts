/** The finance system's records ⇄ ours. Pure; field names and codes come from the configuration. */
import { z } from 'zod'
import type { Outcome, SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import {
  customOf,
  decimal,
  fieldText,
  given,
  key,
  meaningOfAnyCase,
  optionalDay,
  optionalDecimal,
  optionalText,
  optionalTime,
  quantityIn,
  readable,
  renamed,
  setAll,
  setCustom,
  texts,
  toDateTime,
} from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type { InvoiceCreate, PaymentCreate } from '../port.ts'
import type { Customer, Invoice, Money, Payment, Receivable } from '../records.ts'
import type { RestFinanceConfig } from './config.ts'

const INVOICE_TYPES: Readonly<Record<string, Invoice['type']>> = {
  STANDARD: 'STANDARD',
  CREDIT_NOTE: 'CREDIT_NOTE',
  DOWN_PAYMENT: 'DOWN_PAYMENT',
  CANCELLATION: 'CANCELLATION',
  PRO_FORMA: 'PRO_FORMA',
}
const INVOICE_STATUSES: Readonly<Record<string, Invoice['status']>> = {
  OPEN: 'OPEN',
  PARTIALLY_PAID: 'PARTIALLY_PAID',
  PAID: 'PAID',
  CANCELLED: 'CANCELLED',
}
const PAYMENT_STATUSES: Readonly<Record<string, Payment['status']>> = {
  POSTED: 'POSTED',
  CANCELLED: 'CANCELLED',
}

export interface Mapping {
  /** @returns `invalid-response` when this one record cannot be read; the others alike. */
  customer(raw: unknown): Outcome<Customer>
  invoice(raw: unknown): Outcome<Invoice>
  payment(raw: unknown): Outcome<Payment>
  receivable(raw: unknown): Outcome<Receivable>
  refuse(input: PaymentCreate): SourceFailure | undefined
  refuseInvoice(input: InvoiceCreate): SourceFailure | undefined
  invoiceBody(input: InvoiceCreate, externalReference: string): Record<string, unknown>
  paymentBody(input: PaymentCreate, externalReference: string): Record<string, unknown>
  toDateTime(text: string): string | null | undefined
}

export function createMapping(config: RestFinanceConfig): Mapping {
  const { fields } = config
  const clock = createClock(config.timeZone)
  const time = optionalTime(clock.dateTime)
  const day = optionalDay(clock.wall)
  const times = { createdAt: time, updatedAt: time }
  const currency = z
    .string()
    .nullish()
    .transform((code) => code?.toUpperCase() || config.currency)
    .pipe(
      z.string({ error: 'is not there, and none is configured' }).regex(/^[A-Z]{3}$/, 'is no ISO 4217 code'),
    )

  const customers = z.object({ id: key, name: z.string(), taxNumber: optionalText, ...times })
  const invoices = z.object({
    id: key,
    number: optionalText,
    type: optionalText,
    customer: optionalText,
    orderNumbers: texts,
    issueDate: day,
    dueDate: day,
    currency,
    net: optionalDecimal,
    tax: optionalDecimal,
    gross: optionalDecimal,
    paid: optionalDecimal,
    open: optionalDecimal,
    status: optionalText,
    lines: z.array(z.unknown()).nullish(),
    taxInvoices: z.array(z.unknown()).nullish(),
    externalRef: optionalText,
    revision: optionalText,
    ...times,
  })
  const invoiceLines = z.object({
    id: optionalText,
    product: optionalText,
    description: optionalText,
    quantity: optionalDecimal,
    unit: optionalText,
    unitPrice: optionalDecimal,
    taxRate: optionalDecimal,
    net: optionalDecimal,
    tax: optionalDecimal,
    gross: optionalDecimal,
  })
  const taxInvoices = z.object({
    kind: optionalText,
    code: optionalText,
    number: key,
    issuedOn: day,
    redLetterOf: optionalText,
    file: optionalText,
  })
  const payments = z.object({
    id: key,
    number: optionalText,
    customer: optionalText,
    date: day,
    amount: decimal,
    currency,
    method: optionalText,
    reference: optionalText,
    externalRef: optionalText,
    applications: z.array(z.unknown()).nullish(),
    unapplied: optionalDecimal,
    status: optionalText,
    revision: optionalText,
    ...times,
  })
  const applications = z.object({ invoice: key, amount: decimal, discount: optionalDecimal })
  const receivables = z.object({
    customer: key,
    asOf: day.pipe(z.string({ error: 'is no calendar day' })),
    balances: z.array(z.unknown()),
  })
  const balances = z.object({ currency, open: decimal, overdue: optionalDecimal })

  const theirMethod = (method: string | undefined): string | undefined =>
    method === undefined ? config.defaultMethod : (config.methodCodes[method] ?? method)
  const ourMethods = new Map(Object.entries(config.methodCodes).map(([ours, theirs]) => [theirs, ours]))

  return {
    toDateTime: (text) => toDateTime(text, clock.dateTime),

    customer: (raw) =>
      readable('customer', fieldText(raw, fields.customer.id), () => {
        const { id, ...one } = customers.parse(renamed(raw, fields.customer))
        return { key: id, ...one }
      }),

    invoice: (raw) =>
      readable('invoice', fieldText(raw, fields.invoice.id), () => {
        const one = invoices.parse(renamed(raw, fields.invoice))
        const money = moneyIn(one.currency)
        return {
          key: one.id,
          number: one.number ?? one.id,
          version: one.revision,
          type: meaningOfAnyCase(one.type, {}, INVOICE_TYPES),
          customer: one.customer,
          orderNumbers: one.orderNumbers ?? [],
          issueDate: one.issueDate,
          dueDate: one.dueDate,
          status: meaningOfAnyCase(one.status, config.invoiceStatuses, INVOICE_STATUSES),
          vendorStatus: one.status,
          totals: { net: money(one.net), tax: money(one.tax), gross: money(one.gross) },
          paid: money(one.paid),
          open: money(one.open),
          lines:
            one.lines?.map((raw, index) => {
              const line = invoiceLines.parse(renamed(raw, fields.invoiceLine))
              const amount = money(line.unitPrice)
              return {
                id: line.id ?? String(index + 1),
                product: line.product,
                description: line.description,
                quantity:
                  line.quantity === null ? null : quantityIn(line.unit, config.unitCodes)(line.quantity),
                unitPrice: amount && { amount, per: '1', taxIncluded: false },
                taxRate: line.taxRate,
                net: money(line.net),
                tax: money(line.tax),
                gross: money(line.gross),
              }
            }) ?? null,
          taxInvoices:
            one.taxInvoices?.map((raw) => taxInvoices.parse(renamed(raw, fields.taxInvoice))) ?? null,
          externalReference: one.externalRef,
          createdAt: one.createdAt,
          updatedAt: one.updatedAt,
          ...customOf(raw, config.customFields.invoice),
        }
      }),

    payment: (raw) =>
      readable('payment', fieldText(raw, fields.payment.id), () => {
        const one = payments.parse(renamed(raw, fields.payment))
        return {
          key: one.id,
          number: one.number ?? one.id,
          version: one.revision,
          customer: one.customer,
          date: one.date,
          amount: { amount: one.amount, currency: one.currency },
          method: one.method === null ? null : (ourMethods.get(one.method) ?? one.method),
          reference: one.reference,
          externalReference: one.externalRef,
          status: meaningOfAnyCase(one.status, config.paymentStatuses, PAYMENT_STATUSES),
          vendorStatus: one.status,
          applications: (one.applications ?? []).map((part) => {
            const { invoice, amount, discount } = applications.parse(renamed(part, fields.application))
            const money = moneyIn(one.currency)
            return { invoice, amount: { amount, currency: one.currency }, discount: money(discount) }
          }),
          unapplied: moneyIn(one.currency)(one.unapplied),
          createdAt: one.createdAt,
          updatedAt: one.updatedAt,
          ...customOf(raw, config.customFields.payment),
        }
      }),

    receivable: (raw) =>
      readable('receivable', fieldText(raw, fields.receivable.customer), () => {
        const one = receivables.parse(renamed(raw, fields.receivable))
        return {
          key: one.customer,
          customer: one.customer,
          asOf: one.asOf,
          balances: one.balances.map((balance) => {
            const { currency, open, overdue } = balances.parse(renamed(balance, fields.balance))
            return { open: { amount: open, currency }, overdue: moneyIn(currency)(overdue) }
          }),
        }
      }),

    refuse({ amount, applications, customFields }) {
      const unknown = unknownCustomField('Payments', config.customFields.payment, customFields)
      if (unknown) return unknown
      const odd = [
        [amount.amount],
        ...applications.map(({ amount, discount = '0' }) => [amount, discount]),
      ].findIndex((texts) => !texts.every(isDecimal))
      return odd < 0 ? undefined : noDecimal('amount', odd)
    },

    refuseInvoice({ gross, net = '0', tax = '0', lines = [], customFields }) {
      const unknown = unknownCustomField('Invoices', config.customFields.invoice, customFields)
      if (unknown) return unknown
      if (![gross.amount, net, tax].every(isDecimal)) return noDecimal('amount', 0)
      const odd = lines.findIndex(
        ({ quantity, unitPrice, taxRate = '0' }) => ![quantity, unitPrice, taxRate].every(isDecimal),
      )
      return odd < 0 ? undefined : noDecimal('lines', odd + 1)
    },

    // Amounts go as text: a number of the body might pass through a double over there.
    paymentBody(input, externalReference) {
      const body: Record<string, unknown> = {}
      setAll(body, [
        [fields.payment.externalRef, externalReference],
        [fields.payment.customer, input.customer],
        [fields.payment.date, input.date],
        [fields.payment.amount, input.amount.amount],
        [fields.payment.currency, input.amount.currency],
        [fields.payment.method, theirMethod(input.method)],
        [fields.payment.reference, input.reference],
        [
          fields.payment.applications,
          input.applications.map(({ invoice, amount, discount }) => ({
            [fields.application.invoice]: invoice,
            [fields.application.amount]: amount,
            ...given(fields.application.discount, discount),
          })),
        ],
      ])
      setCustom(body, config.customFields.payment, input.customFields)
      return body
    },

    invoiceBody(input, externalReference) {
      const names = fields.invoice
      const body: Record<string, unknown> = {}
      setAll(body, [
        [names.externalRef, externalReference],
        [names.customer, input.customer],
        [names.orderNumbers, input.orderNumbers],
        [names.issueDate, input.issueDate],
        [names.dueDate, input.dueDate],
        [names.currency, input.gross.currency],
        [names.gross, input.gross.amount],
        [names.net, input.net],
        [names.tax, input.tax],
        [names.comments, input.comments],
        [
          names.lines,
          input.lines?.map((line, index) => {
            const item: Record<string, unknown> = {}
            setAll(item, [
              [fields.invoiceLine.id, index + 1],
              [fields.invoiceLine.product, line.product],
              [fields.invoiceLine.description, line.description],
              [fields.invoiceLine.quantity, line.quantity],
              [fields.invoiceLine.unitPrice, line.unitPrice],
              [fields.invoiceLine.taxRate, line.taxRate],
            ])
            return item
          }),
        ],
      ])
      setCustom(body, config.customFields.invoice, input.customFields)
      return body
    },
  }
}

/** @param line Counted from 1; 0: of the whole document. */
const noDecimal = (field: string, line: number): SourceFailure => ({
  kind: 'rejected',
  code: 'DECIMAL',
  message: 'The amount is no plain decimal.',
  ...(line === 0 ? {} : { line: String(line) }),
  field,
})

const moneyIn =
  (currency: string) =>
  (amount: string | null): Money | null =>
    amount === null ? null : { amount, currency }
