/** What is written to finance: payments and invoices, each under a reference that it takes once, and cancellations. */
import Big from 'big.js'
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { plainDecimal } from '../kit/json.ts'
import type {
  ActionInput,
  CallContext,
  Extra,
  InvoiceCreate,
  PaymentCreate,
  Verdict,
  WriteAction,
  WriteContext,
} from '../port.ts'
import type { Invoice, Key, Money, Payment, RecordTypes } from '../records.ts'
import type { Fields, FinanceClient } from './client.ts'
import type { SoapFinanceConfig } from './config.ts'
import { invoiceFields, isNumber, paymentFields, refuseCustom, refuseText } from './mapping.ts'

type Raw = Readonly<Record<string, unknown>>
type Posted = 'payment' | 'invoice'

/** How one sort of posting is written and found again. */
interface Posting<Input, T extends Posted> {
  readonly type: T
  readonly write: 'WriteBackPayment' | 'WriteBackInvoice'
  readonly find: 'FindPayments' | 'FindInvoices'
  /** The element of the answers. */
  readonly element: 'Payment' | 'Invoice'
  readonly number: 'PaymentNo' | 'InvoiceNo'
  readonly takes: readonly Extra[]
  map(raw: unknown): Outcome<RecordTypes[T]>
  /** What speaks against its custom fields. */
  refuse(input: Input): SourceFailure | undefined
  fields(input: Input, write: WriteContext): Fields
  /** Text fields of ours with their names, which XML must be able to carry. */
  texts(input: Input): readonly (readonly [field: string, value: string | undefined])[]
  isSame(record: RecordTypes[T], input: Input): boolean
}

export const paymentPosting = (
  map: (raw: unknown) => Outcome<Payment>,
  custom: Readonly<Record<string, string>>,
): Posting<PaymentCreate, 'payment'> => ({
  type: 'payment',
  write: 'WriteBackPayment',
  find: 'FindPayments',
  element: 'Payment',
  number: 'PaymentNo',
  takes: ['applications.discount', 'customFields'],
  map,
  refuse: ({ customFields }) => refuseCustom('Payments', custom, customFields),
  fields: (input, write) => paymentFields(input, write, custom),
  texts: ({ customer, method, reference, applications }) => [
    ['customer', customer],
    ['method', method],
    ['reference', reference],
    ...applications.map(({ invoice }) => ['applications.invoice', invoice] as const),
  ],
  isSame: ({ customer, amount }, input) => customer === input.customer && isSameMoney(amount, input.amount),
})

export const invoicePosting = (
  map: (raw: unknown) => Outcome<Invoice>,
  custom: Readonly<Record<string, string>>,
): Posting<InvoiceCreate, 'invoice'> => ({
  type: 'invoice',
  write: 'WriteBackInvoice',
  find: 'FindInvoices',
  element: 'Invoice',
  number: 'InvoiceNo',
  takes: ['lines', 'comments', 'customFields'],
  map,
  refuse: ({ customFields }) => refuseCustom('Invoices', custom, customFields),
  fields: (input, write) => invoiceFields(input, write, custom),
  texts: ({ customer, orderNumbers, comments, lines = [] }) => [
    ['customer', customer],
    ['comments', comments],
    ...lines.flatMap(
      ({ product, description }) =>
        [
          ['lines.product', product],
          ['lines.description', description],
        ] as const,
    ),
    ...orderNumbers.map((number) => ['orderNumbers', number] as const),
  ],
  isSame: ({ customer, totals }, input) =>
    customer === input.customer && totals.gross != null && isSameMoney(totals.gross, input.gross),
})

const isSameMoney = (left: Money, right: Money): boolean =>
  left.currency === right.currency && new Big(plainDecimal(left.amount)).eq(right.amount)

export function createPosting<Input, T extends Posted>(
  client: FinanceClient,
  config: SoapFinanceConfig,
  posting: Posting<Input, T>,
): WriteAction<Input, T> {
  const { type, write: operation, find, element, number, map, fields } = posting

  const verify = (write: WriteContext, { signal }: CallContext) =>
    outcomeOf(async (): Promise<Verdict<T>> => {
      const reference = write.externalReference
      const question = { ExternalReference: [reference], Limit: '1' }
      const answer: Raw = await client.call(find, question, { writes: false, signal })
      const [raw] = answer[element] as readonly Raw[]
      if (!raw) {
        // The reference is unique there: even if the first one still arrives, one of the two will be refused.
        const evidence = `finance has no ${type} with external reference ${reference}, and takes each reference once`
        return { effect: 'none', proven: true, evidence }
      }
      const record = map(raw)
      if (!record.ok) throw new SourceError(record.failure)
      if (record.value.externalReference !== reference) {
        const detail = `asked for external reference ${reference}, got ${type} ${record.value.key} with another`
        throw new SourceError({ kind: 'invalid-response', detail })
      }
      const result = { key: record.value.key, record: record.value, reached: 'effective' as const }
      return { effect: 'done', result }
    })

  return {
    takes: posting.takes,
    preview: (input, write) => client.preview(operation, fields(input, write)),

    async send(input, write, context) {
      const refused = refuseText(posting.texts(input)) ?? posting.refuse(input)
      if (refused) return fail(refused)
      const sent = await outcomeOf(() =>
        client.call(operation, fields(input, write), { writes: true, signal: context.signal }),
      )
      if (sent.ok) {
        const answered = (sent.value as Raw)[element]
        const record = map(answered)
        if (record.ok) return ok({ key: record.value.key, record: record.value, reached: 'effective' })
        const key = (answered as Raw | undefined)?.[number]
        if (typeof key === 'string' && key !== '') return ok({ key, reached: 'effective' })
        const detail = `${operation}: answered without a number; ${failureDetail(record.failure)}`
        return fail({ kind: 'unknown-outcome', detail })
      }
      if (sent.failure.kind !== 'rejected' || sent.failure.code !== config.duplicateFaultCode) return sent
      // It is there already: this very write arrived before, or somebody else used its reference.
      const found = await verify(write, context)
      if (!found.ok)
        return fail({ kind: 'unknown-outcome', detail: `duplicate; ${failureDetail(found.failure)}` })
      if (found.value.effect !== 'done') return sent
      const { record } = found.value.result
      return record && posting.isSame(record, input) ? ok(found.value.result) : sent
    },

    verify: (_input, write, context) => verify(write, context),
  }
}

const failureDetail = (failure: SourceFailure) => ('detail' in failure ? failure.detail : failure.message)

/** An invoice that nobody has paid anything on. One that is cancelled already is what was wanted. */
export function cancelInvoice(
  client: FinanceClient,
  config: SoapFinanceConfig,
  map: (raw: unknown) => Outcome<Invoice>,
): WriteAction<ActionInput, 'invoice'> {
  const fields = ({ key }: ActionInput, write: WriteContext): Fields => ({
    InvoiceNo: key,
    RequestedBy: write.onBehalfOf || undefined,
  })
  const missing = (key: Key) => fail({ kind: 'not-found', message: `There is no invoice "${key}".` })
  return {
    preview: (input, write) => client.preview('CancelInvoice', fields(input, write)),

    async send(input, write, { signal }) {
      const { key, expectedVersion } = input
      if (!isNumber(key)) return missing(key)
      if (expectedVersion !== undefined) {
        const message = 'This system cannot check the version of an invoice: leave expectedVersion out.'
        return fail({ kind: 'unsupported', message })
      }
      const sent = await outcomeOf(() =>
        client.call('CancelInvoice', fields(input, write), { writes: true, signal }),
      )
      if (!sent.ok) {
        const isDone = sent.failure.kind === 'rejected' && sent.failure.code === config.cancelledFaultCode
        return isDone ? ok({ key, reached: 'effective' }) : sent
      }
      const record = map(sent.value.Invoice)
      return ok({ key, reached: 'effective', ...(record.ok ? { record: record.value } : {}) })
    },

    async verify({ key }, _write, { signal }): Promise<Outcome<Verdict<'invoice'>>> {
      if (!isNumber(key)) return missing(key)
      const read = await outcomeOf(() =>
        client.call('GetInvoice', { invoiceId: [key] }, { writes: false, signal }),
      )
      if (!read.ok) return read
      const [raw] = read.value.Invoice as readonly Raw[]
      if (!raw) return missing(key)
      const record = map(raw)
      if (!record.ok) return record
      if (record.value.status === 'CANCELLED')
        return ok({ effect: 'done', result: { key, record: record.value, reached: 'effective' } })
      const evidence = `invoice ${key} is ${record.value.vendorStatus}; a second cancellation does no harm`
      return ok({ effect: 'none', proven: true, evidence })
    },
  }
}
