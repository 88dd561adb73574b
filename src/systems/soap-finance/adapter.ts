/** The ports of a finance system behind `finance.wsdl`. */
import { z } from 'zod'
import { type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { readCheckpoint } from '../kit/checkpoint.ts'
import { createReceiver, readStandardEvent } from '../kit/rest/webhook.ts'
import type {
  CallContext,
  ChangePage,
  CreateAdapter,
  ListPage,
  ListQuery,
  Lookup,
  RecordPort,
} from '../port.ts'
import type { Key, RecordType, RecordTypes } from '../records.ts'
import { createFinanceClient, type Fields, type FinanceClient } from './client.ts'
import type { SoapFinanceConfig } from './config.ts'
import { createMapping, isNumber, readDateTime } from './mapping.ts'
import { cancelInvoice, createPosting, invoicePosting, paymentPosting } from './postings.ts'

/** What the system may tell us of. */
const TOLD = ['invoice', 'payment', 'customer', 'product'] as const

export const createSoapFinance: CreateAdapter<SoapFinanceConfig> = (config, { log, timeoutMs }) => {
  const client = createFinanceClient(config, timeoutMs)
  const map = createMapping(config)
  const skip: Skip = (what, failure) =>
    log.warn({ record: what, failure }, 'A record that cannot be read is left out.')
  const customers = source<'customer'>(client, config, skip, map.customer, {
    find: 'FindCustomers',
    get: { operation: 'FindCustomers', field: 'CustomerNo' },
    list: 'Customer',
    number: 'CustomerNo',
  })
  const products = source<'product'>(client, config, skip, map.product, {
    find: 'FindProducts',
    get: { operation: 'FindProducts', field: 'ProductNo' },
    list: 'Product',
    number: 'ProductNo',
  })
  const invoices = source<'invoice'>(client, config, skip, map.invoice, {
    find: 'FindInvoices',
    get: { operation: 'GetInvoice', field: 'invoiceId' },
    list: 'Invoice',
    number: 'InvoiceNo',
  })
  const payments = source<'payment'>(client, config, skip, map.payment, {
    find: 'FindPayments',
    get: { operation: 'GetPayments', field: 'PaymentNo' },
    list: 'Payment',
    number: 'PaymentNo',
  })
  const receivables = source<'receivable'>(client, config, skip, map.receivable, {
    get: { operation: 'GetReceivables', field: 'CustomerNo' },
    list: 'Receivable',
    number: 'CustomerNo',
  })

  const customer: RecordPort<'customer'> = {
    batchLimit: config.batchSize,
    readMany: customers.readMany,
    list: customers.list,
    changes: customers.changes,
  }
  const product: RecordPort<'product'> = {
    batchLimit: config.batchSize,
    readMany: products.readMany,
    list: products.list,
  }
  const invoice: RecordPort<'invoice'> = {
    batchLimit: config.batchSize,
    readMany: invoices.readMany,
    lookups: {
      byOrderNumber: invoices.lookup('OrderNo', (raw) => raw.OrderNo),
      byCustomer: invoices.lookup('CustomerNo', (raw) => raw.CustomerNo),
    },
    list: invoices.list,
    changes: invoices.changes,
    create: createPosting(client, config, invoicePosting(map.invoice, config.customFields.invoice)),
    actions: { cancel: cancelInvoice(client, config, map.invoice) },
  }
  const payment: RecordPort<'payment'> = {
    batchLimit: config.batchSize,
    readMany: payments.readMany,
    lookups: {
      byInvoice: payments.lookup('InvoiceNo', (raw) =>
        Array.isArray(raw.Application) ? raw.Application.map((one) => one?.InvoiceNo) : undefined,
      ),
      byCustomer: payments.lookup('CustomerNo', (raw) => raw.CustomerNo),
    },
    list: payments.list,
    changes: payments.changes,
    create: createPosting(client, config, paymentPosting(map.payment, config.customFields.payment)),
  }
  const receivable: RecordPort<'receivable'> = {
    batchLimit: config.batchSize,
    readMany: receivables.readMany,
  }

  return {
    kind: 'soap-finance',
    ports: { customer, product, invoice, payment, receivable },
    // The cheapest question that needs the credentials; its answer carries the clock that WS-Security depends on.
    health: ({ signal }) =>
      outcomeOf(async () => {
        const answer = await client.call('FindCustomers', { Limit: '1' }, { writes: false, signal })
        const time = serverTime(answer, config)
        const seconds = Math.round((Date.parse(time) - Date.now()) / 1000)
        return {
          detail: `finance service at ${config.path} answers; its clock differs from ours by ${seconds} s`,
        }
      }),
    ...(config.webhook
      ? {
          webhook: createReceiver(config.webhook, (body, id) =>
            readStandardEvent(body, id, TOLD, (text) => readDateTime(text, config.timeZone)),
          ),
        }
      : {}),
    async close() {
      client.close()
    },
  }
}

/* ---- reading ---- */

type Raw = Readonly<Record<string, unknown>>
type Skip = (what: unknown, failure: SourceFailure) => void

/** Where one record type is found in the contract. */
interface Place {
  /** The paged operation; receivables have none. */
  readonly find?: 'FindCustomers' | 'FindProducts' | 'FindInvoices' | 'FindPayments'
  /** The operation that takes many keys, and the element that repeats. */
  readonly get: {
    readonly operation: 'GetInvoice' | 'GetPayments' | 'GetReceivables' | 'FindCustomers' | 'FindProducts'
    readonly field: string
  }
  /** The repeated element of the answer. */
  readonly list: string
  /** The element with the record's key. */
  readonly number: string
}

/** A customer with more records than this many pages is not read whole: somebody else's memory is at stake too. */
const MAX_PAGES = 100

function source<T extends RecordType>(
  client: FinanceClient,
  config: SoapFinanceConfig,
  skip: Skip,
  map: (raw: unknown) => Outcome<RecordTypes[T]>,
  { find, get, list, number }: Place,
) {
  const recordsOf = (answer: Raw) => answer[list] as readonly Raw[]
  const numberOf = (raw: Raw | undefined) => {
    const value = raw?.[number]
    return typeof value === 'string' && value !== '' ? value : undefined
  }

  const findPage = async (fields: Fields, limit: number, { signal }: CallContext) => {
    if (!find) throw new Error(`${list} has no paged operation`)
    const answer = await client.call(find, { ...fields, Limit: String(limit) }, { writes: false, signal })
    return { answer, records: recordsOf(answer), more: isTrue(answer.More) }
  }

  const findAll = async (fields: Fields, context: CallContext): Promise<readonly Raw[]> => {
    const records: Raw[] = []
    let after: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const found = await findPage({ ...fields, After: after }, config.pageSize, context)
      records.push(...found.records)
      if (!found.more) return records
      const last = numberOf(found.records.at(-1))
      if (!last || last === after) throw stuck(list)
      after = last
    }
    throw new SourceError({
      kind: 'unsupported',
      message: `More than ${MAX_PAGES * config.pageSize} records belong to one request.`,
    })
  }

  return {
    async readMany(keys: readonly Key[], context: CallContext): Promise<Outcome<RecordTypes[T] | null>[]> {
      const wanted = [...new Set(keys)].filter(isNumber)
      const loaded = await outcomeOf(async (): Promise<readonly Raw[]> => {
        if (wanted.length === 0) return []
        const fields = { [get.field]: wanted }
        if (get.operation === find) return findAll(fields, context)
        return recordsOf(await client.call(get.operation, fields, { writes: false, signal: context.signal }))
      })
      if (!loaded.ok) return keys.map((key) => (isNumber(key) ? loaded : ok(null)))
      const byKey = new Map(loaded.value.map((raw) => [numberOf(raw), map(raw)]))
      // A record without a number may be any of those asked for: then "there is no such record" cannot be said.
      const nameless = byKey.get(undefined)
      return keys.map((key) => byKey.get(key) ?? (nameless && isNumber(key) ? nameless : ok(null)))
    },

    /** @param keysOf Which keys a record, readable or not, belongs to; undefined where that cannot be said. */
    lookup(field: string, keysOf: (raw: Raw) => unknown): Lookup<T> {
      return {
        batchLimit: config.batchSize,
        async read(keys, context) {
          const wanted = [...new Set(keys)].filter(isNumber)
          const loaded = await outcomeOf(async () =>
            wanted.length === 0 ? [] : await findAll({ [field]: wanted }, context),
          )
          if (!loaded.ok) return keys.map((key) => (isNumber(key) ? loaded : ok([])))
          const groups = new Map<Key, Outcome<readonly RecordTypes[T][]>>(wanted.map((key) => [key, ok([])]))
          for (const raw of loaded.value) {
            const record = map(raw)
            const belongs = [keysOf(raw)].flat().filter((key) => typeof key === 'string')
            for (const key of new Set(record.ok || belongs.length > 0 ? belongs : wanted)) {
              const group = groups.get(key)
              if (group?.ok) groups.set(key, record.ok ? ok([...group.value, record.value]) : record)
            }
          }
          return keys.map((key) => groups.get(key) ?? ok([]))
        },
      }
    },

    list(query: ListQuery, context: CallContext): Promise<Outcome<ListPage<T>>> {
      return outcomeOf(async () => {
        const { customer, search } = query.filter ?? {}
        if (search !== undefined || (customer !== undefined && find === 'FindProducts')) {
          throw new SourceError({ kind: 'unsupported', message: 'This system cannot filter like that.' })
        }
        if (customer !== undefined && !isNumber(customer)) return { items: [], hasMore: false }
        const items: { record: RecordTypes[T]; position: string }[] = []
        let after = query.after
        let more = true
        // More than one page only where the caller wants more than one holds, or where records had to be left out.
        for (let page = 0; more && items.length < query.first && page < MAX_PAGES; page++) {
          const limit = Math.min(query.first - items.length, config.pageSize)
          const found = await findPage({ CustomerNo: customer, After: after }, limit, context)
          for (const raw of found.records) {
            const record = map(raw)
            if (record.ok) items.push({ record: record.value, position: record.value.key })
            else skip(raw[number], record.failure)
          }
          more = found.more
          const last = numberOf(found.records.at(-1))
          if (more && (!last || last === after)) throw stuck(list)
          after = last
        }
        return { items, hasMore: more }
      })
    },

    changes(checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<T>>> {
      return outcomeOf(async () => {
        if (checkpoint === null) {
          const { answer } = await findPage({}, 1, context)
          return {
            records: [],
            checkpoint: writeCheckpoint({ at: serverTime(answer, config) }),
            hasMore: false,
          }
        }
        const from = readCheckpoint(checkpointSchema, checkpoint)
        // In the middle of a sweep we go on behind the last record; a new sweep looks back a little, for records
        // whose time was taken before, but which were committed after, the last one.
        const since = from.after
          ? from.at
          : new Date(Date.parse(from.at) - config.changeOverlapSeconds * 1000).toISOString()
        const page = await findPage({ ChangedSince: since, After: from.after }, config.pageSize, context)
        const records: RecordTypes[T][] = []
        for (const raw of page.records) {
          const record = map(raw)
          if (record.ok) records.push(record.value)
          else skip(raw[number], record.failure)
        }
        const last = page.records.at(-1)
        const at = typeof last?.ChangedAt === 'string' && readDateTime(last.ChangedAt.trim(), config.timeZone)
        const after = numberOf(last)
        if (page.more) {
          if (!at || !after || (at === from.at && after === from.after)) throw stuck(list)
          return { records, checkpoint: writeCheckpoint({ at, after }), hasMore: true }
        }
        const end = at && Date.parse(at) > Date.parse(from.at) ? at : from.at
        return { records, checkpoint: writeCheckpoint({ at: end }), hasMore: false }
      })
    },
  }
}

const isTrue = (value: unknown) => typeof value === 'string' && ['true', '1'].includes(value.trim())

function serverTime(answer: Raw, config: SoapFinanceConfig): string {
  const given = answer.ServerTime
  const time = typeof given === 'string' ? readDateTime(given.trim(), config.timeZone) : undefined
  if (time) return time
  throw new SourceError({ kind: 'invalid-response', detail: 'the answer has no ServerTime' })
}

/** Asking on would ask the same again, for ever. */
function stuck(list: string): SourceError {
  const detail = `${list}: the answer says that there is more, and gives no place to go on from`
  return new SourceError({ kind: 'invalid-response', detail })
}

const checkpointSchema = z.strictObject({
  at: z.string().refine((at) => !Number.isNaN(Date.parse(at))),
  /** Present in the middle of a sweep: number of the last record received. */
  after: z.string().optional(),
})

const writeCheckpoint = (checkpoint: z.infer<typeof checkpointSchema>): string => JSON.stringify(checkpoint)
