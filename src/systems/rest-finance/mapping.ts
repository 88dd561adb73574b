/** The finance system's records ⇄ ours. Pure; field names and codes come from the configuration. */
import { z } from 'zod'
import type { Outcome, SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import {
  customOf,
  decimal,
  fieldText,
  key,
  meaningOf,
  optionalDay,
  optionalDecimal,
  optionalText,
  optionalTime,
  readable,
  renamed,
  setAt,
  toDateTime,
} from '../kit/rest/fields.ts'
import type { PaymentCreate } from '../port.ts'
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
  paymentBody(input: PaymentCreate, externalReference: string): Record<string, unknown>
  toDateTime(text: string): string | null | undefined
}

export function createMapping(config: RestFinanceConfig): Mapping {
  const { fields } = config
  const clock = createClock(config.timeZone)
  const time = optionalTime(clock.dateTime)
  const times = { createdAt: time, updatedAt: time }
  const currency = z.string().regex(/^[A-Z]{3}$/, 'is no ISO 4217 code')

  const customers = z.object({ id: key, name: z.string(), taxNumber: optionalText, ...times })
  const invoices = z.object({
    id: key,
    number: optionalText,
    type: optionalText,
    customer: optionalText,
    orderNumbers: z.union([z.array(z.string()), z.string()]).nullish(),
    issueDate: optionalDay,
    dueDate: optionalDay,
    currency,
    net: optionalDecimal,
    tax: optionalDecimal,
    gross: optionalDecimal,
    paid: optionalDecimal,
    open: optionalDecimal,
    status: optionalText,
    revision: optionalText,
    ...times,
  })
  const payments = z.object({
    id: key,
    number: optionalText,
    customer: optionalText,
    date: optionalDay,
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
  const applications = z.object({ invoice: key, amount: decimal })
  const receivables = z.object({
    customer: key,
    asOf: z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'is no calendar day'),
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
        const orders = typeof one.orderNumbers === 'string' ? [one.orderNumbers] : (one.orderNumbers ?? [])
        return {
          key: one.id,
          number: one.number ?? one.id,
          version: one.revision,
          type: meaningOf(one.type, INVOICE_TYPES),
          customer: one.customer,
          orderNumbers: orders.filter((number) => number !== ''),
          issueDate: one.issueDate,
          dueDate: one.dueDate,
          status: meaningOf(one.status, config.invoiceStatuses, INVOICE_STATUSES),
          vendorStatus: one.status,
          totals: { net: money(one.net), tax: money(one.tax), gross: money(one.gross) },
          paid: money(one.paid),
          open: money(one.open),
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
          status: meaningOf(one.status, config.paymentStatuses, PAYMENT_STATUSES),
          vendorStatus: one.status,
          applications: (one.applications ?? []).map((part) => {
            const { invoice, amount } = applications.parse(renamed(part, fields.application))
            return { invoice, amount: { amount, currency: one.currency } }
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

    refuse({ amount, applications }) {
      const odd = [amount.amount, ...applications.map((part) => part.amount)].findIndex(
        (text) => !isDecimal(text),
      )
      if (odd < 0) return undefined
      const line = odd === 0 ? {} : { line: String(odd) }
      return {
        kind: 'rejected',
        code: 'DECIMAL',
        message: 'The amount is no plain decimal.',
        ...line,
        field: 'amount',
      }
    },

    paymentBody(input, externalReference) {
      const body: Record<string, unknown> = {}
      const set = (name: string, value: unknown) => {
        if (value !== undefined) setAt(body, name, value)
      }
      set(fields.payment.externalRef, externalReference)
      set(fields.payment.customer, input.customer)
      set(fields.payment.date, input.date)
      // Amounts go as text: a number of the body might pass through a double over there.
      set(fields.payment.amount, input.amount.amount)
      set(fields.payment.currency, input.amount.currency)
      set(fields.payment.method, theirMethod(input.method))
      set(fields.payment.reference, input.reference)
      set(
        fields.payment.applications,
        input.applications.map(({ invoice, amount }) => ({
          [fields.application.invoice]: invoice,
          [fields.application.amount]: amount,
        })),
      )
      return body
    },
  }
}

const moneyIn =
  (currency: string) =>
  (amount: string | null): Money | null =>
    amount === null ? null : { amount, currency }
