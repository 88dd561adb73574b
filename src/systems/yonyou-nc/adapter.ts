/** The ports of an NC Cloud company. */
import {
  fail,
  failureText,
  type Outcome,
  ok,
  outcomeOf,
  SourceError,
  type SourceFailure,
} from '../failure.ts'
import { contradictions, NOBODY } from '../kit/first-rows.ts'
import { fieldText } from '../kit/named-fields.ts'
import { walk, walkBack } from '../kit/rows.ts'
import { readChanges } from '../kit/stamped-changes.ts'
import type { Adapter, CallContext, CreateAdapter, Lookup, RecordPort } from '../port.ts'
import type { Key, Order, RecordTypes } from '../records.ts'
import { type Conditions, createNcClient, type NcClient, type Page } from './client.ts'
import type { YonyouNcConfig } from './config.ts'
import { createMapping, headOf, stampOf, stampText } from './mapping.ts'
import { orderWrites } from './order-writes.ts'

export const createYonyouNc: CreateAdapter<YonyouNcConfig> = (config, context): Adapter => {
  const client = createNcClient(config, context)
  const map = createMapping(config)
  const skip = (failure: SourceFailure) =>
    context.log.warn({ system: context.systemId, failure: failureText(failure) }, 'a record cannot be read')
  const base = { client, config, skip }
  const orders = source<'order'>(base, {
    ...config.orders,
    codeField: config.orders.fields.number,
    ts: config.orders.fields.ts,
    within: (row) => headOf(row, config),
    customerField: config.orders.fields.customer,
    madeAt: (row) => {
      const head = headOf(row, config)
      const { createdAt, orderDate } = config.orders.fields
      return fieldText(head, createdAt) ?? fieldText(head, orderDate)
    },
    read: map.order,
  })

  const customers = source<'customer'>(base, {
    ...config.customers,
    codeField: config.customers.fields.code,
    ts: config.customers.fields.ts,
    read: map.customer,
  })
  const products = source<'product'>(base, {
    ...config.products,
    codeField: config.products.fields.code,
    ts: config.products.fields.ts,
    read: map.product,
  })

  return {
    kind: 'yonyou-nc',
    ports: {
      customer: customers.port as RecordPort<'customer'>,
      product: products.port as RecordPort<'product'>,
      order: {
        ...(orders.port as RecordPort<'order'>),
        lookups: {
          // The number that people use is the key.
          byNumber: orders.lookup(config.orders.code, (order: Order) => order.key),
          byCustomer: orders.lookup(config.orders.customer, (order: Order) => order.customer ?? null),
        },
        ...orderWrites({
          client,
          config,
          map,
          byReference: (reference, call) =>
            orders.find({ [config.externalReferenceField]: [reference] }, call),
          rowOf: orders.rowOf,
        }),
      },
    },
    connect: (call) => outcomeOf(() => client.connect(call)),
    health: (call) =>
      outcomeOf(async () => {
        await client.page(config.customers.path, { pk_org: [config.org] }, 1, 1, call)
        const host = new URL(config.baseUrl).host
        return { detail: `NC Cloud ${config.bizCenter}, organisation ${config.org}, at ${host}` }
      }),
    checkConfiguration: (call) =>
      outcomeOf(async () => {
        const sentences: string[] = []
        const checks = [
          () => customers.check([], call),
          () => products.check([], call),
          () => orders.check([config.orders.customer, config.externalReferenceField], call),
        ]
        for (const check of checks) {
          const told = await outcomeOf(check)
          if (told.ok) sentences.push(...told.value)
          else if (told.failure.kind === 'unavailable' || told.failure.kind === 'unauthorized') {
            throw new SourceError(told.failure)
          } else sentences.push(failureText(told.failure))
        }
        return sentences
      }),
    async close() {
      client.close()
    },
  }
}

interface Base {
  readonly client: NcClient
  readonly config: YonyouNcConfig
  /** Where a page can only be given without a record that breaks its schema. */
  readonly skip: (failure: SourceFailure) => void
}

type Held = 'customer' | 'product' | 'order'

interface SourceOptions<T extends Held> {
  readonly path: string
  /** Parameters. */
  readonly code: string
  readonly search?: string | null
  readonly customer?: string
  readonly changedFrom: string | null
  readonly changedTo: string
  /** Fields of a row. */
  readonly codeField: string | null
  readonly ts: string | null
  readonly customerField?: string | null
  /** The server answers with the oldest first; absent: where `madeAt` is given, the rows tell. */
  readonly newestLast?: boolean | undefined
  /** When a row was made, as comparable text. */
  readonly madeAt?: (row: unknown) => string | null
  /** Our names of custom fields, and the vendor's. */
  readonly custom: Readonly<Record<string, string>>
  /** The part of a row that has these fields. */
  readonly within?: (row: unknown) => unknown
  read(row: unknown): Outcome<RecordTypes[T]>
}

/** Before a place in a list that is read from its end. */
const BACKWARDS = '-'

/** One query interface, one record type. */
function source<T extends Held>({ client, config, skip }: Base, options: SourceOptions<T>) {
  type Record = RecordTypes[T]
  const { path, within = (row) => row, read } = options
  const fixed: Conditions = { pk_org: [config.org] }
  const codeOf = (row: unknown) => fieldText(within(row), options.codeField)
  /** Where rows are walked through, their code must stand outside. */
  const CODE = 'code of the row'
  const flat = (row: unknown) => ({ [CODE]: codeOf(row) ?? '', row })

  const legible = (rows: readonly unknown[]): Record[] =>
    rows.flatMap((row) => {
      const record = read(row)
      if (!record.ok) skip(record.failure)
      return record.ok ? [record.value] : []
    })

  const conditionsOf = ({ customer, search }: { customer?: Key; search?: string } = {}): Conditions => {
    const cannot = (message: string) => new SourceError({ kind: 'unsupported', message })
    if (customer !== undefined && !options.customer) throw cannot('These records do not belong to customers.')
    if (search !== undefined && !options.search) throw cannot('These records cannot be searched.')
    return {
      ...fixed,
      ...(customer === undefined ? {} : { [options.customer as string]: [customer] }),
      ...(search === undefined ? {} : { [options.search as string]: search }),
    }
  }

  /** Rows that have one of these values. @throws SourceError */
  const having = async (
    parameter: string,
    values: readonly string[],
    context: CallContext,
  ): Promise<unknown[]> => {
    const rows: unknown[] = []
    for (let at = 0; at < values.length; at += config.batchLimit) {
      const part = values.slice(at, at + config.batchLimit)
      rows.push(...(await client.all(path, { ...fixed, [parameter]: part }, context)))
    }
    return rows
  }

  const readMany = async (keys: readonly Key[], context: CallContext): Promise<Outcome<Record | null>[]> => {
    const wanted = [...new Set(keys)].filter(isCode)
    const rows = wanted.length === 0 ? ok([]) : await outcomeOf(() => having(options.code, wanted, context))
    if (!rows.ok) return keys.map((key) => (isCode(key) ? rows : ok(null)))
    const found = new Map<Key, Outcome<Record>>()
    let nameless: Outcome<Record> | undefined
    for (const row of rows.value) {
      const key = codeOf(row)
      if (key === null) nameless ??= read(row)
      // Codes are unique in an organisation; of two, the later would hide the earlier.
      else if (!found.has(key)) found.set(key, read(row))
    }
    // A row that does not say which record it is may be any of those that seem to be missing.
    return keys.map(
      (key) => found.get(key) ?? (nameless && !nameless.ok && isCode(key) ? nameless : ok(null)),
    )
  }

  const changedWithin = (from: bigint, upTo: bigint | null): Conditions => ({
    ...fixed,
    [options.changedFrom as string]: stampText(from),
    ...(upTo === null ? {} : { [options.changedTo]: stampText(upTo) }),
  })

  /** Whether a list is to be read from its end. Where rows are not counted, the end cannot be found. */
  const isNewestLast = async (page: (number: number, size: number) => Promise<Page>): Promise<boolean> => {
    const { madeAt, newestLast } = options
    if (!madeAt || newestLast === false) return false
    const begin = await page(1, config.pageLimit)
    if (!begin.isCounted || newestLast) return begin.isCounted
    const end = await page(Math.max(1, Math.ceil(begin.rowCount / config.pageLimit)), config.pageLimit)
    const at = (row: unknown) => (row === undefined ? null : madeAt((row as ReturnType<typeof flat>).row))
    const [first, last] = [at(begin.rows[0]), at(end.rows.at(-1))]
    return first !== null && last !== null && first < last
  }

  const port = {
    batchLimit: config.batchLimit,
    readMany,

    list({ first, after, filter }: Parameters<NonNullable<RecordPort<T>['list']>>[0], context: CallContext) {
      return outcomeOf(async () => {
        const conditions = conditionsOf(filter)
        const items: { record: Record; position: string }[] = []
        const ask = async (number: number, size: number) => {
          const page = await client.page(path, conditions, number, size, context)
          return { ...page, rows: page.rows.map(flat) }
        }
        const pages = new Map<number, Awaited<ReturnType<typeof ask>>>()
        const page = async (number: number, size: number) => {
          const read = pages.get(number) ?? (await ask(number, size))
          pages.set(number, read)
          return read
        }
        const isBackwards =
          after?.startsWith(BACKWARDS) ?? (after === undefined && (await isNewestLast(page)))
        const place = isBackwards ? after?.slice(BACKWARDS.length) : after
        const rows = (isBackwards ? walkBack : walk)(page, config.pageLimit, CODE, place)
        for await (const { row, position: here } of rows) {
          const position = isBackwards ? `${BACKWARDS}${here}` : here
          const record = read((row as ReturnType<typeof flat>).row)
          if (!record.ok) skip(record.failure)
          else if (items.length === first) return { items, hasMore: true }
          else items.push({ record: record.value, position })
        }
        return { items, hasMore: false }
      })
    },

    ...(options.changedFrom === null
      ? {}
      : {
          changes: (checkpoint: string | null, context: CallContext) =>
            readChanges(checkpoint, {
              page: (from, upTo, size) => client.page(path, changedWithin(from, upTo), 1, size, context),
              all: (from, upTo) => stable(() => client.all(path, changedWithin(from, upTo), context)),
              keyOf: (row) => codeOf(row) ?? '',
              stampOf: (row) => stampOf(within(row), options.ts),
              overlap: config.overlapSeconds,
              limit: config.pageLimit,
              read: async (rows) => legible(rows),
            }),
        }),
  }

  /** A row that changes leaves its range, and those after it move up: two readings must agree. */
  const stable = async (readAll: () => Promise<unknown[]>): Promise<unknown[]> => {
    const print = (rows: unknown[]) => JSON.stringify(rows.map((row) => codeOf(row)).sort())
    let before = await readAll()
    for (let tries = 0; tries < 5; tries++) {
      const again = await readAll()
      if (print(again) === print(before)) return again
      before = again
    }
    const detail = 'records change faster than they can be read'
    throw new SourceError({ kind: 'unavailable', reason: 'overloaded', detail })
  }

  return {
    port,

    lookup(parameter: string, keyOf: (record: Record) => Key | null): Lookup<T> {
      return {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const wanted = [...new Set(keys)].filter(isCode)
          const rows =
            wanted.length === 0 ? ok([]) : await outcomeOf(() => having(parameter, wanted, context))
          if (!rows.ok) return keys.map(() => rows)
          const groups = new Map<Key, Record[]>()
          const broken: SourceFailure[] = []
          for (const row of rows.value) {
            const record = read(row)
            if (!record.ok) broken.push(record.failure)
            const key = record.ok ? keyOf(record.value) : null
            if (record.ok && key !== null) groups.set(key, [...(groups.get(key) ?? []), record.value])
          }
          for (const failure of broken) skip(failure)
          return keys.map((key) => ok(newestFirst(groups.get(key) ?? [])))
        },
      }
    },

    /** The row that a record is made of; null where there is none. */
    async rowOf(key: Key, context: CallContext): Promise<Outcome<unknown>> {
      if (!isCode(key)) return ok(null)
      const rows = await outcomeOf(() => having(options.code, [key], context))
      return rows.ok ? ok(rows.value.find((row) => codeOf(row) === key) ?? null) : rows
    },

    /**
     * What of the configuration this interface contradicts: fields that no row of its first page has, and filters
     * that it overlooks. A field without a value may be left out by the server, so only those of every row are told.
     * @throws SourceError
     */
    async check(filters: readonly string[], context: CallContext): Promise<readonly string[]> {
      const { rows } = await client.page(path, fixed, 1, Math.min(20, config.pageLimit), context)
      const sentences = contradictions(path, rows, { ...options, within })
      const tried = rows.length === 0 ? [] : [options.code, ...filters]
      for (const parameter of tried) {
        const found = await client.page(path, { ...fixed, [parameter]: [NOBODY] }, 1, 1, context)
        if (found.rows.length > 0) sentences.push(`${path} does not filter by "${parameter}"`)
      }
      if (options.changedFrom !== null && rows.length > 0) {
        const later = changedWithin(BigInt(Math.floor(Date.now() / 1000) + 10 * 365 * 86_400), null)
        const found = await client.page(path, later, 1, 1, context)
        if (found.rows.length > 0) sentences.push(`${path} does not filter by "${options.changedFrom}"`)
      }
      return sentences
    },

    /** The one record that meets the conditions; a server that overlooks them answers with others. */
    async find(conditions: Conditions, context: CallContext): Promise<Outcome<Record | null>> {
      const rows = await outcomeOf(() => client.all(path, { ...fixed, ...conditions }, context))
      if (!rows.ok) return rows
      const row = rows.value.find((one) =>
        Object.entries(conditions).every(([name, values]) =>
          values?.includes(fieldText(within(one), name) ?? ''),
        ),
      )
      if (row !== undefined) return read(row)
      if (rows.value.length === 0) return ok(null)
      const detail = `${path} does not filter by ${Object.keys(conditions).join(', ')}`
      return fail({ kind: 'invalid-response', detail })
    },
  }
}

/** Codes longer than this are in no table of NC. */
const MAX_CODE = 60
const isCode = (key: Key): boolean =>
  key.length > 0 && key.length <= MAX_CODE && key.isWellFormed() && !/\p{Cc}/u.test(key)

function newestFirst<R extends { key: Key }>(records: R[]): R[] {
  const dateOf = (record: R): string => ('orderDate' in record ? String(record.orderDate) : '')
  return records.sort((a, b) =>
    dateOf(a) === dateOf(b) ? (a.key < b.key ? 1 : -1) : dateOf(a) < dateOf(b) ? 1 : -1,
  )
}
