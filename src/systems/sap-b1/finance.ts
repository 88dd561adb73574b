/** Invoices (A/R) and incoming payments, where the company keeps them in Business One. */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { readCheckpoint } from '../kit/checkpoint.ts'
import { parseJson } from '../kit/json.ts'
import { compare } from '../kit/keyset.ts'
import type {
  CallContext,
  ChangePage,
  PaymentCreate,
  RecordPort,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import { type Delivery, type Invoice, joinKey, type Key, type Payment, splitKey } from '../records.ts'
import { literal, vendorError, type WriteRequest } from './client.ts'
import {
  batches,
  type Completed,
  completed,
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
  type Base,
  createFinanceMapping,
  DELIVERY_OBJECT,
  type FinanceMapping,
  INVOICE_FIELDS,
  INVOICE_OBJECT,
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
  const tableOf = (entityName: string, read: FinanceMapping['invoice']) =>
    entity<RawInvoice>(source, {
      entity: entityName,
      select: [...INVOICE_FIELDS, ...Object.values(source.config.customFields.invoice)],
      ...DOCUMENT_KEY,
      parts: { lines: ['DocumentLines'] },
      searched: ['CardName', 'NumAtCard'],
      read: async () => read,
    })
  const invoices = completed(tableOf('Invoices', map.invoice), withOrderNumbers(source, deliveries))
  const notes = source.config.creditNotes
    ? completed(tableOf('CreditNotes', map.creditNote), withInvoicedOrders(invoices))
    : null
  return {
    invoice: notes ? bothPorts(source, invoices, notes) : invoicePort(source, invoices),
    payment: paymentPort(source, map, invoices),
  }
}

/* ---- invoices ---- */

type Invoices = Completed<RawInvoice, Invoice>

const basesOf = (records: readonly RawInvoice[], type: string): Key[] => [
  ...new Set(
    records.flatMap(({ bases }) => bases.flatMap((base) => (base?.type === type ? [base.entry] : []))),
  ),
]

/** With the numbers of the orders that its lines follow from. */
function named(
  { bases, lines, ...invoice }: RawInvoice,
  numbersOf: (base: Base) => readonly string[],
): Invoice {
  const numbers = bases.map((base) => (base ? numbersOf(base) : []))
  return {
    ...invoice,
    orderNumbers: [...new Set(numbers.flat())],
    // What follows from several orders names none of them.
    lines: lines.map((line, at) => ({
      ...line,
      orderNumber: numbers[at]?.length === 1 ? (numbers[at]?.[0] ?? null) : null,
    })),
  }
}

/**
 * The lines of an invoice name the keys of orders, or of deliveries that follow from orders; people say numbers. Two
 * calls for all invoices of an answer tell them.
 */
function withOrderNumbers({ client, config }: Source, deliveries: Entity<Delivery>) {
  return async (invoices: readonly RawInvoice[], context: CallContext): Promise<Invoice[]> => {
    const viaDelivery = basesOf(invoices, DELIVERY_OBJECT)
    const delivered = new Map<Key, Delivery>()
    for (const delivery of await deliveries.readMany(viaDelivery, {
      caller: context.caller,
      signal: context.signal,
    })) {
      if (!delivery.ok) throw new SourceError(delivery.failure)
      if (delivery.value) delivered.set(delivery.value.key, delivery.value)
    }
    /** Keys of the orders behind a line. */
    const ordersOf = ({ type, entry, line }: Base): readonly Key[] => {
      if (type === ORDER_OBJECT) return [entry]
      const delivery = type === DELIVERY_OBJECT ? delivered.get(entry) : undefined
      const order = delivery?.lines.find(({ id }) => id === line)?.order
      return order ? [order] : (delivery?.orders ?? [])
    }
    const entries = [
      ...new Set(invoices.flatMap(({ bases }) => bases.flatMap((base) => (base ? ordersOf(base) : [])))),
    ]
    const parts = batches(entries, (entry) => `DocEntry eq ${entry}`, config, 200)
    const queries = [...parts].map(({ keys, terms }) => ({
      entity: 'Orders',
      select: ['DocEntry', 'DocNum'],
      filter: terms.join(' or '),
      orderby: 'DocEntry asc',
      pageSize: keys.length,
    }))
    const numbers = new Map<Key, string>()
    for (const rows of await client.manyRows(queries, context)) {
      if (!rows.ok) throw new SourceError(rows.failure)
      for (const row of rows.value) numbers.set(rowKey(row, 'DocEntry') ?? '', rowKey(row, 'DocNum') ?? '')
    }
    return invoices.map((one) =>
      named(one, (base) => ordersOf(base).flatMap((entry) => numbers.get(entry) ?? [])),
    )
  }
}

function invoicePort(source: Source, invoices: Invoices): RecordPort<'invoice'> {
  return {
    batchLimit: invoices.batchLimit,
    readMany: invoices.readMany,
    list: invoices.list,
    changes: invoices.changes,
    parts: INVOICE_PARTS,
    lookups: {
      byOrderNumber: {
        batchLimit: source.config.batchLimit,
        async read(numbers, context) {
          return readFollowers(await invoicesOfOrders(source, numbers, context), invoices, context)
        },
      },
      byCustomer: invoices.lookup('CardCode', customerOf),
    },
  }
}

const INVOICE_PARTS = { lines: ['lines', 'orderNumbers'] } as const
const customerOf = ({ customer }: RawInvoice): readonly Key[] => (customer ? [customer] : [])

/** Keys of the invoices that follow from orders, directly or by their deliveries. One outcome per number, same order. */
async function invoicesOfOrders(
  { client, config }: Source,
  numbers: readonly string[],
  context: CallContext,
): Promise<Outcome<readonly Key[]>[]> {
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
  const billed = await onwards(delivered, (keys) =>
    followers(client, config, 'Invoices', DELIVERY_OBJECT, keys, context),
  )
  return orders.map((_, at) => merged([direct[at] ?? ok([]), billed[at] ?? ok([])]))
}

/** What follows from what was found for each key: one question for all. */
async function onwards(
  found: readonly Outcome<readonly Key[]>[],
  ask: (keys: readonly Key[]) => Promise<Outcome<readonly Key[]>[]>,
): Promise<Outcome<readonly Key[]>[]> {
  const all = [...new Set(found.flatMap((one) => (one.ok ? one.value : [])))]
  const next = await ask(all)
  const of = new Map(all.map((key, at) => [key, next[at] ?? ok([])]))
  return found.map((one) => (one.ok ? merged(one.value.map((key) => of.get(key) ?? ok([]))) : one))
}

function merged(lists: readonly Outcome<readonly Key[]>[]): Outcome<readonly Key[]> {
  const broken = lists.find((list) => !list.ok)
  if (broken && !broken.ok) return broken
  return ok([...new Set(lists.flatMap((list) => (list.ok ? list.value : [])))])
}

/* ---- credit notes beside them ---- */

/** Entries of the two tables overlap. */
const NOTE = 'CN'
const noteKey = (entry: Key): Key => joinKey([NOTE, entry])
const entryOfNote = (key: Key): Key | null => {
  const [mark, entry] = splitKey(key)
  return mark === NOTE && entry !== undefined ? entry : null
}

/** A credit note follows from an invoice, which knows its orders. */
function withInvoicedOrders(invoices: Invoices) {
  return async (notes: readonly RawInvoice[], context: CallContext): Promise<Invoice[]> => {
    const numbers = new Map<Key, readonly string[]>()
    const plain = { caller: context.caller, signal: context.signal }
    for (const invoice of await invoices.readMany(basesOf(notes, INVOICE_OBJECT), plain)) {
      if (!invoice.ok) throw new SourceError(invoice.failure)
      if (invoice.value) numbers.set(invoice.value.key, invoice.value.orderNumbers ?? [])
    }
    return notes.map((note) => ({
      ...named(note, ({ type, entry }) => (type === INVOICE_OBJECT ? (numbers.get(entry) ?? []) : [])),
      key: noteKey(note.key),
    }))
  }
}

const bothCheckpoint = z.strictObject({ invoices: z.string(), creditNotes: z.string() })

/** Invoices and credit notes as one list of invoices. */
function bothPorts(source: Source, invoices: Invoices, notes: Invoices): RecordPort<'invoice'> {
  const { client, config } = source
  const port = invoicePort(source, invoices)
  const newestFirst = (a: Invoice, b: Invoice) => compare(b.createdAt ?? '', a.createdAt ?? '')
  const both = async (
    ask: (of: Invoices) => Promise<readonly Outcome<readonly Invoice[]>[]>,
  ): Promise<Outcome<readonly Invoice[]>[]> => {
    const [billed, credited] = await Promise.all([ask(invoices), ask(notes)])
    return billed.map((list, at) => {
      const more = credited[at] ?? ok([])
      if (!list.ok || !more.ok) return list.ok ? more : list
      return ok([...list.value, ...more.value].sort(newestFirst))
    })
  }
  const lookups = [invoices, notes].map((of) => of.lookup('CardCode', customerOf))

  return {
    ...port,
    async readMany(keys, context) {
      const isNote = keys.map((key) => entryOfNote(key) !== null)
      const [billed, credited] = await Promise.all([
        invoices.readMany(
          keys.filter((_, at) => !isNote[at]),
          context,
        ),
        notes.readMany(
          keys.flatMap((key) => entryOfNote(key) ?? []),
          context,
        ),
      ])
      const [rest, restOfNotes] = [[...billed], [...credited]]
      return isNote.map((note) => (note ? restOfNotes : rest).shift() ?? ok(null))
    },

    /** A place is one in each table: both go on where the last page ended. */
    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        const [invoiceAt, noteAt] = after === undefined ? [] : splitKey(after)
        const ask = (of: Invoices, at: string | undefined) =>
          of.list({ first, filter, ...(at ? { after: at } : {}) }, context)
        const pages = await Promise.all([ask(invoices, invoiceAt), ask(notes, noteAt)])
        const [billed, credited] = [given(pages[0]), given(pages[1])]
        const items: { record: Invoice; position: string }[] = []
        const [left, right] = [[...billed.items], [...credited.items]]
        let [place, notePlace] = [invoiceAt ?? '', noteAt ?? '']
        while (items.length < first) {
          const [a, b] = [left[0], right[0]]
          // Where one table's page ends and more is behind it, nobody knows what comes next.
          if ((!a && billed.hasMore) || (!b && credited.hasMore)) break
          const next = a && (!b || newestFirst(a.record, b.record) <= 0) ? left.shift() : right.shift()
          if (!next) break
          if (next === a) place = next.position
          else notePlace = next.position
          items.push({ record: next.record, position: joinKey([place, notePlace]) })
        }
        return { items, hasMore: billed.hasMore || credited.hasMore || left.length + right.length > 0 }
      })
    },

    changes(checkpoint, context) {
      return outcomeOf(async () => {
        const known = checkpoint === null ? null : readCheckpoint(bothCheckpoint, checkpoint)
        const pages = await Promise.all([
          invoices.changes(known?.invoices ?? null, context),
          notes.changes(known?.creditNotes ?? null, context),
        ])
        const [billed, credited] = [given(pages[0]), given(pages[1])]
        return {
          records: [...billed.records, ...credited.records].sort((a, b) =>
            compare(a.version ?? '', b.version ?? ''),
          ),
          checkpoint: JSON.stringify({ invoices: billed.checkpoint, creditNotes: credited.checkpoint }),
          hasMore: billed.hasMore || credited.hasMore,
        }
      })
    },

    lookups: {
      byCustomer: {
        batchLimit: invoices.batchLimit,
        read: (keys, context) =>
          both(
            (of) => (of === invoices ? lookups[0] : lookups[1])?.read(keys, context) ?? Promise.resolve([]),
          ),
      },
      byOrderNumber: {
        batchLimit: config.batchLimit,
        async read(numbers, context) {
          const billed = await invoicesOfOrders(source, numbers, context)
          const credited = await onwards(billed, (keys) =>
            followers(client, config, 'CreditNotes', INVOICE_OBJECT, keys, context),
          )
          return both((of) => readFollowers(of === invoices ? billed : credited, of, context))
        },
      },
    },
  }
}

/** @throws SourceError */
function given<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new SourceError(outcome.failure)
  return outcome.value
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
      ...Object.values(config.customFields.payment),
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
  /** What an approval procedure keeps until a person there agrees. @throws SourceError */
  const draftOf = async (write: WriteContext, context: CallContext): Promise<SourceFailure | null> => {
    const [row] = await client.rows(
      {
        entity: 'PaymentDrafts',
        select: ['DocEntry', 'AuthorizationStatus'],
        filter: `${field} eq ${literal(write.externalReference)}`,
        orderby: 'DocEntry desc',
        top: 1,
        pageSize: 1,
      },
      context,
    )
    const draft = rowKey(row, 'DocEntry')
    if (draft === undefined) return null
    const status = rowKey(row, 'AuthorizationStatus')
    if (status === 'pasRejected' || status === 'pasCancelled') {
      const message = `The payment was refused in the approval procedure of SAP Business One (draft ${draft}).`
      return { kind: 'rejected', code: status, message }
    }
    const message = `The payment waits for approval in SAP Business One as draft ${draft}.`
    return { kind: 'awaiting-approval', vendorReference: draft, message }
  }
  const resultOf = (key: Key, record: Outcome<Payment>): WriteResult<'payment'> => ({
    key,
    reached: 'effective',
    ...(record.ok ? { record: record.value } : {}),
  })

  return {
    takes: ['applications.discount', 'customFields'],
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
        if (failure.kind !== 'not-found') return fail(failure)
        const missing = missingMaster(sent.value, failure)
        if (missing.kind === 'rejected') return fail(missing)
        // An approval procedure has put it aside: the draft itself must tell.
        const draft = await outcomeOf(() => draftOf(write, context))
        return fail((draft.ok && draft.value) || missing)
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
            select: [...new Set([...PAYMENT_FIELDS, field, ...Object.values(config.customFields.payment)])],
            filter: `CardCode eq ${literal(input.customer)} and ${ours}`,
            orderby: 'DocEntry asc',
            pageSize: config.pageLimit,
          },
          context,
        )
        const key = rowKey(row, 'DocEntry')
        if (key !== undefined) return { effect: 'done', result: resultOf(key, map.payment(row)) }
        const draft = await draftOf(write, context)
        if (draft) throw new SourceError(draft)
        // The field is not unique, and a transaction may still be on its way.
        const evidence = `no incoming payment and no draft has ${field} = ${write.externalReference}`
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
