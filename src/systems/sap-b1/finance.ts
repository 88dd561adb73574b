/** Invoices (A/R) and incoming payments, where the company keeps them in Business One. */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { readCheckpoint } from '../kit/checkpoint.ts'
import { parseJson } from '../kit/json.ts'
import type {
  CallContext,
  ChangePage,
  Lookup,
  PaymentCreate,
  RecordPort,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Delivery, Invoice, Key, Payment } from '../records.ts'
import { literal, vendorError, type WriteRequest } from './client.ts'
import {
  batches,
  DOCUMENT_KEY,
  type Entity,
  entity,
  followers,
  isEntry,
  readable,
  readFollowers,
  type Source,
} from './entities.ts'
import {
  createFinanceMapping,
  DELIVERY_OBJECT,
  type FinanceMapping,
  INVOICE_FIELDS,
  PAYMENT_FIELDS,
  paymentBody,
  type RawInvoice,
} from './finance-mapping.ts'
import { ORDER_OBJECT, rowKey } from './mapping.ts'
import { illegible, preview } from './writing.ts'

export function financePorts(
  source: Source,
  deliveries: Entity<Delivery>,
): { invoice: RecordPort<'invoice'>; payment: RecordPort<'payment'> } {
  const map = createFinanceMapping(source.config)
  const raw = entity<RawInvoice>(source, {
    entity: 'Invoices',
    select: source.config.paidToDate ? [...INVOICE_FIELDS, 'PaidToDate', 'PaidToDateFC'] : INVOICE_FIELDS,
    ...DOCUMENT_KEY,
    searched: ['CardName', 'NumAtCard'],
    read: async () => map.invoice,
  })
  const named = withOrderNumbers(source, raw, deliveries)
  return { invoice: invoicePort(source, named), payment: paymentPort(source, map, named) }
}

/* ---- invoices ---- */

type Invoices = Pick<Entity<Invoice>, 'batchLimit' | 'readMany' | 'list' | 'changes' | 'lookup'>

/**
 * The lines of an invoice name the keys of orders, or of deliveries that follow from orders; people say numbers. Two
 * calls for all invoices of an answer tell them.
 */
function withOrderNumbers(
  { client, config }: Source,
  raw: Entity<RawInvoice>,
  deliveries: Entity<Delivery>,
): Invoices {
  /** @throws SourceError */
  const name = async (invoices: readonly RawInvoice[], context: CallContext): Promise<Invoice[]> => {
    const viaDelivery = [...new Set(invoices.flatMap((one) => one.deliveries))]
    const read = await deliveries.readMany(viaDelivery, context)
    const ordersOf = new Map<Key, readonly Key[]>()
    read.forEach((delivery, at) => {
      if (!delivery.ok) throw new SourceError(delivery.failure)
      ordersOf.set(viaDelivery[at] ?? '', delivery.value?.orders ?? [])
    })
    const entriesOf = (one: RawInvoice) => [
      ...new Set([...one.orders, ...one.deliveries.flatMap((key) => ordersOf.get(key) ?? [])]),
    ]
    const numbers = new Map<Key, string>()
    const entries = [...new Set(invoices.flatMap(entriesOf))]
    const parts = batches(entries, (entry) => `DocEntry eq ${entry}`, config, 200)
    const queries = [...parts].map(({ keys, terms }) => ({
      entity: 'Orders',
      select: ['DocEntry', 'DocNum'],
      filter: terms.join(' or '),
      orderby: 'DocEntry asc',
      pageSize: keys.length,
    }))
    for (const rows of await client.manyRows(queries, context)) {
      if (!rows.ok) throw new SourceError(rows.failure)
      for (const row of rows.value) numbers.set(rowKey(row, 'DocEntry') ?? '', rowKey(row, 'DocNum') ?? '')
    }
    return invoices.map(({ orders: _, deliveries: __, ...invoice }, at) => ({
      ...invoice,
      orderNumbers: entriesOf(invoices[at] as RawInvoice).flatMap((entry) => numbers.get(entry) ?? []),
    }))
  }
  const nameAll = async <R>(
    outcomes: readonly Outcome<R>[],
    rawOf: (value: R) => readonly RawInvoice[],
    put: (value: R, invoices: readonly Invoice[]) => unknown,
    context: CallContext,
  ): Promise<Outcome<unknown>[]> => {
    const all = outcomes.map((one) => (one.ok ? rawOf(one.value) : []))
    const read = await outcomeOf(() => name(all.flat(), context))
    if (!read.ok) return outcomes.map((one) => (one.ok ? read : one))
    let at = 0
    return outcomes.map((one, index) => {
      const from = at
      at += all[index]?.length ?? 0
      return one.ok ? ok(put(one.value, read.value.slice(from, at))) : one
    })
  }

  return {
    batchLimit: raw.batchLimit,
    async readMany(keys, context) {
      const read = await raw.readMany(keys, context)
      const put = (_: RawInvoice | null, [invoice]: readonly Invoice[]) => invoice ?? null
      return (await nameAll(read, (one) => (one ? [one] : []), put, context)) as Outcome<Invoice | null>[]
    },
    async list(query, context) {
      const page = await raw.list(query, context)
      if (!page.ok) return page
      return outcomeOf(async () => {
        const { items, hasMore } = page.value
        const invoices = await name(
          items.map(({ record }) => record),
          context,
        )
        const named = items.map(({ position }, at) => ({ position, record: invoices[at] as Invoice }))
        return { items: named, hasMore }
      })
    },
    async changes(checkpoint, context) {
      const page = await raw.changes(checkpoint, context)
      if (!page.ok) return page
      return outcomeOf(async () => ({ ...page.value, records: await name(page.value.records, context) }))
    },
    lookup(field, keysOf, options) {
      const lookup = raw.lookup(field, (one) => keysOf({ ...one, orderNumbers: [] }), options)
      return {
        batchLimit: lookup.batchLimit,
        async read(keys, context) {
          const read = await lookup.read(keys, context)
          const put = (_: readonly RawInvoice[], invoices: readonly Invoice[]) => invoices
          return (await nameAll(read, (list) => list, put, context)) as Outcome<readonly Invoice[]>[]
        },
      }
    },
  }
}

function invoicePort(source: Source, invoices: Invoices): RecordPort<'invoice'> {
  const { client, config } = source
  const byOrderNumber: Lookup<'invoice'> = {
    batchLimit: config.batchLimit,
    async read(numbers, context) {
      const wanted = [...new Set(numbers)].filter(isEntry)
      const found = await outcomeOf(async () => {
        if (wanted.length === 0) return new Map<string, Key>()
        const rows = await client.rows(
          {
            entity: 'Orders',
            select: ['DocEntry', 'DocNum'],
            filter: wanted.map((number) => `DocNum eq ${number}`).join(' or '),
            orderby: 'DocEntry asc',
            pageSize: config.pageLimit,
          },
          context,
        )
        return new Map(rows.map((row) => [rowKey(row, 'DocNum') ?? '', rowKey(row, 'DocEntry') ?? '']))
      })
      if (!found.ok) return numbers.map(() => found)
      const orders = numbers.map((number) => found.value.get(number) ?? '')
      const direct = await followers(client, config, 'Invoices', ORDER_OBJECT, orders, context)
      const delivered = await followers(client, config, 'DeliveryNotes', ORDER_OBJECT, orders, context)
      const deliveries = [...new Set(delivered.flatMap((one) => (one.ok ? one.value : [])))]
      const billed = await followers(client, config, 'Invoices', DELIVERY_OBJECT, deliveries, context)
      const ofDelivery = new Map(billed.map((one, at) => [deliveries[at], one]))
      const linked = orders.map((_, at): Outcome<readonly Key[]> => {
        const parts = [direct[at] ?? ok([]), delivered[at] ?? ok([])]
        const broken = parts.find((part) => !part.ok)
        if (broken && !broken.ok) return broken
        const keys = new Set(parts[0]?.ok ? parts[0].value : [])
        for (const delivery of parts[1]?.ok ? parts[1].value : []) {
          const own = ofDelivery.get(delivery) ?? ok([])
          if (!own.ok) return own
          for (const key of own.value) keys.add(key)
        }
        return ok([...keys])
      })
      return readFollowers(linked, invoices, context)
    },
  }
  return {
    batchLimit: invoices.batchLimit,
    readMany: invoices.readMany,
    list: invoices.list,
    changes: invoices.changes,
    lookups: {
      byOrderNumber,
      byCustomer: invoices.lookup('CardCode', (invoice) => (invoice.customer ? [invoice.customer] : [])),
    },
  }
}

/* ---- payments ---- */

/** Cancellations change no stamp: so many of the last payments are looked at for them. */
const LOOK_BACK = 500

const paymentCheckpoint = z.strictObject({
  after: z.string().regex(/^\d+$/),
  /** Known as cancelled, of those that are looked at again. */
  cancelled: z.array(z.string()),
})

function paymentPort(source: Source, map: FinanceMapping, invoices: Invoices): RecordPort<'payment'> {
  const { client, config, skip } = source
  const payments = entity<Payment>(source, {
    entity: 'IncomingPayments',
    select: [
      ...PAYMENT_FIELDS,
      ...(PAYMENT_FIELDS.includes(config.paymentReferenceField) ? [] : [config.paymentReferenceField]),
    ],
    ...DOCUMENT_KEY,
    where: `DocType eq 'rCustomer'`,
    searched: ['CardName'],
    read: async () => map.payment,
  })
  const byCustomer = payments.lookup('CardCode', (payment) => (payment.customer ? [payment.customer] : []))

  return {
    ...readable<'payment'>(payments),
    lookups: {
      byCustomer,
      /** What a payment pays stands in its lines, and no join to them is documented: the customer's are read. */
      byInvoice: {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const read = await invoices.readMany(keys, context)
          const customers = read.map((one) => (one.ok ? (one.value?.customer ?? '') : ''))
          const wanted = [...new Set(customers)].filter((customer) => customer !== '')
          const lists = await byCustomer.read(wanted, context)
          const ofCustomer = new Map(lists.map((list, at) => [wanted[at] ?? '', list]))
          return keys.map((key, at): Outcome<readonly Payment[]> => {
            const invoice = read[at]
            if (invoice && !invoice.ok) return invoice
            const list = ofCustomer.get(customers[at] ?? '') ?? ok([])
            if (!list.ok) return list
            return ok(list.value.filter((one) => one.applications.some((part) => part.invoice === key)))
          })
        },
      },
    },

    /** Payments carry no time of change: new ones have higher keys, and the last ones may have been cancelled. */
    changes(checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<'payment'>>> {
      return outcomeOf(async () => {
        const cancelledFrom = async (after: Big): Promise<Key[]> => {
          const rows = await client.rows(
            {
              entity: 'IncomingPayments',
              select: ['DocEntry'],
              filter: `(DocType eq 'rCustomer') and (Cancelled eq 'tYES') and (DocEntry gt ${after})`,
              orderby: 'DocEntry asc',
              pageSize: config.pageLimit,
            },
            context,
          )
          return rows.flatMap((row) => rowKey(row, 'DocEntry') ?? [])
        }
        const lookBack = (after: string) => {
          const from = new Big(after).minus(LOOK_BACK)
          return from.lt(0) ? new Big(0) : from
        }
        if (checkpoint === null) {
          const [newest] = await client.rows(
            {
              entity: 'IncomingPayments',
              select: ['DocEntry'],
              filter: `DocType eq 'rCustomer'`,
              orderby: 'DocEntry desc',
              top: 1,
              pageSize: 1,
            },
            context,
          )
          const after = rowKey(newest, 'DocEntry') ?? '0'
          const cancelled = await cancelledFrom(lookBack(after))
          return { records: [], checkpoint: JSON.stringify({ after, cancelled }), hasMore: false }
        }
        const { after, cancelled } = readCheckpoint(paymentCheckpoint, checkpoint)
        const limit = config.pageLimit
        const rows = await client.rows(
          {
            entity: 'IncomingPayments',
            select: ['DocEntry'],
            filter: `(DocType eq 'rCustomer') and (DocEntry gt ${after})`,
            orderby: 'DocEntry asc',
            top: limit + 1,
            pageSize: limit + 1,
          },
          context,
        )
        const fresh = rows.slice(0, limit).flatMap((row) => rowKey(row, 'DocEntry') ?? [])
        const last = fresh.at(-1) ?? after
        const now = (await cancelledFrom(lookBack(last))).filter((key) => new Big(key).lte(last))
        const known = new Set(cancelled)
        const wanted = [...new Set([...now.filter((key) => !known.has(key)), ...fresh])]
        const read = await payments.readMany(wanted, context)
        const records = read.flatMap((one) => {
          if (one.ok) return one.value === null ? [] : [one.value]
          if (one.failure.kind !== 'invalid-response') throw new SourceError(one.failure)
          skip(one.failure)
          return []
        })
        const next = { after: last, cancelled: now }
        return { records, checkpoint: JSON.stringify(next), hasMore: rows.length > limit }
      })
    },

    create: createPayment(source, map),
  }
}

function createPayment(
  { client, config }: Source,
  map: FinanceMapping,
): WriteAction<PaymentCreate, 'payment'> {
  const field = config.paymentReferenceField
  const requestOf = (input: PaymentCreate, write: WriteContext): Outcome<WriteRequest> => {
    const body = paymentBody(config, input, write)
    return body.ok ? ok({ method: 'POST', path: 'IncomingPayments', body: body.value }) : body
  }
  const resultOf = (key: Key, record: Outcome<Payment>): WriteResult<'payment'> => ({
    key,
    reached: 'effective',
    ...(record.ok ? { record: record.value } : {}),
  })

  return {
    preview(input, write) {
      const request = requestOf(input, write)
      if (request.ok) return preview(request.value)
      const why = 'message' in request.failure ? request.failure.message : request.failure.kind
      return { method: 'POST', path: 'IncomingPayments', body: why }
    },

    async send(input, write, context): Promise<Outcome<WriteResult<'payment'>>> {
      const request = requestOf(input, write)
      if (!request.ok) return request
      const sent = await outcomeOf(() => client.write(request.value, context))
      if (!sent.ok) return sent
      if (sent.value.status !== 201) {
        if (sent.value.status < 300) return fail(illegible('the answer does not name the payment'))
        const failure = client.writeFailure(sent.value)
        return fail(failure.kind === 'not-found' ? missingMaster(sent.value, failure) : failure)
      }
      const row = await outcomeOf(async () => parseJson(sent.value.text, 'IncomingPayments'))
      const key = row.ok ? rowKey(row.value, 'DocEntry') : undefined
      if (!row.ok || key === undefined) return fail(illegible('the answer does not name the payment'))
      return ok(resultOf(key, map.payment(row.value)))
    },

    async verify(input, write, context): Promise<Outcome<Verdict<'payment'>>> {
      return outcomeOf(async () => {
        const ours = `${field} eq ${literal(write.externalReference)}`
        const [row] = await client.rows(
          {
            entity: 'IncomingPayments',
            select: PAYMENT_FIELDS.includes(field) ? PAYMENT_FIELDS : [...PAYMENT_FIELDS, field],
            filter: `CardCode eq ${literal(input.customer)} and ${ours}`,
            orderby: 'DocEntry asc',
            pageSize: config.pageLimit,
          },
          context,
        )
        const key = rowKey(row, 'DocEntry')
        if (key !== undefined) return { effect: 'done', result: resultOf(key, map.payment(row)) }
        // The field is not unique, and a transaction may still be on its way.
        const evidence = `no incoming payment has ${field} = ${write.externalReference}`
        return { effect: 'none', proven: false, evidence }
      })
    },
  }
}

/** -2028 to a creation says that something it names is not there, or that an approval procedure has put it aside. */
function missingMaster(answer: Parameters<typeof vendorError>[0], failure: SourceFailure): SourceFailure {
  const error = vendorError(answer)
  if (error && /\[\w+\.\w+\]/.test(error.message)) return { kind: 'rejected', ...error }
  return { kind: 'unknown-outcome', detail: 'message' in failure ? failure.message : failure.kind }
}
