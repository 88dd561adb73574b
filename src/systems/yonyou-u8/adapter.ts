/** The ports of a U8 company behind the OpenAPI gateway. */

import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { contradictions, NOBODY } from '../kit/first-rows.ts'
import { fieldText } from '../kit/named-fields.ts'
import { inOrder, type ReadPage, walk } from '../kit/rows.ts'
import { readChanges } from '../kit/stamped-changes.ts'
import type { Adapter, CallContext, CreateAdapter, ListQuery, RecordPort } from '../port.ts'
import { type InventoryLevel, joinKey, type Key, type Order, splitKey } from '../records.ts'
import { createU8Client, type U8Client } from './client.ts'
import type { YonyouU8Config } from './config.ts'
import { createMapping, type Mapping, versionOf, versionRange } from './mapping.ts'
import { orderWrites } from './order-writes.ts'
import { createOrders, DETAIL, DETAIL_FIELDS, HEADS, LIST, type Orders } from './orders.ts'

export const createYonyouU8: CreateAdapter<YonyouU8Config> = (config, context): Adapter => {
  const client = createU8Client(config, context)
  const map = createMapping(config)
  const skip = (failure: Parameters<typeof failureText>[0]) =>
    context.log.warn({ system: context.systemId, failure: failureText(failure) }, 'a record cannot be read')
  const base: Base = { client, config, map, skip }

  const customers: Source<'customer'> =
    config.customers.profile === 'openapi'
      ? {
          ...archive('customer', config.customers.fields.code),
          read: map.customer,
        }
      : customerTable(base)
  const products: Source<'product'> = {
    ...archive('inventory', config.productFields.code),
    read: map.product,
  }
  // The interface tells no row versions of warehouses.
  const { changesFrom: _, ...warehouse } = archive('warehouse', 'code')
  const warehouses: Source<'warehouse'> = { ...warehouse, read: map.warehouse }
  const orders = createOrders({ client, config, clock: createClock(config.timeZone), read: map.order, skip })

  return {
    kind: 'yonyou-u8',
    ports: {
      customer: archivePort(base, customers),
      product: archivePort(base, products),
      warehouse: archivePort(base, warehouses),
      inventoryLevel: inventoryPort(base, products),
      order: orderPort(base, orders),
    },
    connect: (call) => outcomeOf(() => client.connect(call)),
    health: (call) =>
      outcomeOf(async () => {
        // A layer with a customer table may have nothing else.
        if (config.customers.profile === 'table') await customers.pages(client, undefined, call)(1, 1)
        else
          await client.page('/api/warehouse/batch_get', 'warehouse', { filter: {}, page: 1, size: 1 }, call)
        const set = config.dsSequence === undefined ? '' : `, account set ${config.dsSequence}`
        const host = new URL(config.baseUrl).host
        return { detail: `Yonyou U8 of ${config.toAccount}${set}, reached through ${host}` }
      }),
    checkConfiguration: (call) => outcomeOf(() => check(base, { customers, products }, call)),
    async close() {
      client.close()
    },
  }
}

/**
 * What the live company contradicts: fields that no row has, filters that are overlooked. Each costs a call.
 * @throws SourceError
 */
async function check(
  { client, config, map }: Base,
  sources: { customers: Source<'customer'>; products: Source<'product'> },
  context: CallContext,
): Promise<readonly string[]> {
  const size = Math.min(20, config.pageLimit)
  const { customFields } = config
  const archived = async (
    what: string,
    source: Source<'customer'> | Source<'product'>,
    custom: Readonly<Record<string, string>>,
  ) => {
    const { rows } = await source.pages(client, undefined, context)(1, size)
    const sentences = contradictions(what, rows, { codeField: source.codeField, custom, read: source.read })
    const { changesFrom } = source
    if (changesFrom === undefined || rows.length === 0 || config.changesBy === 'none') return sentences
    return [...sentences, ...(await overlooked(changesFrom.path, changesFrom.property, LATER, NO_CHANGES))]
  }
  const overlooked = async (
    path: string,
    property: string,
    filter: Readonly<Record<string, string | undefined>>,
    so: string,
  ) => {
    const { rows } = await client.page(path, property, { filter, page: 1, size: 1 }, context)
    return rows.length === 0 ? [] : [`${path} does not filter by ${Object.keys(filter)[0]}: ${so}`]
  }
  const ofOrders = async () => {
    const first = await client.page(LIST, HEADS, { filter: {}, page: 1, size }, context)
    if (first.rows.length === 0) return []
    const { externalReferenceField: reference } = config
    const filters: [Readonly<Record<string, string | undefined>>, string][] = [
      [{ [reference]: NOBODY }, 'an order whose answer was lost may be looked for in vain'],
      [{ custcode: NOBODY }, "a customer's orders are all orders, read and sorted out"],
      ...(config.changesBy === 'none' ? [] : [[LATER, NO_CHANGES] satisfies [object, string]]),
    ]
    const told: string[] = []
    for (const [filter, so] of filters) told.push(...(await overlooked(LIST, HEADS, filter, so)))
    return told
  }
  const stock = async () => {
    const query = { filter: {}, page: 1, size }
    const { rows } = await client.page('/api/currentstock/batch_get', 'currentstock', query, context)
    const broken = map.inventoryLevels(rows).find((level) => !level.ok)
    return broken && !broken.ok ? [`currentstock: ${failureText(broken.failure)}`] : []
  }
  const sentences: string[] = []
  for (const one of [
    () => archived('customer', sources.customers, customFields.customer),
    () => archived('inventory', sources.products, customFields.product),
    stock,
    ofOrders,
  ]) {
    const told = await outcomeOf(one)
    if (told.ok) sentences.push(...told.value)
    else if (told.failure.kind === 'unavailable' || told.failure.kind === 'unauthorized') {
      throw new SourceError(told.failure)
    } else sentences.push(failureText(told.failure))
  }
  return sentences
}

/** Row versions that no row has reached. */
const LATER = versionRange(2n ** 62n, null)
const NO_CHANGES = 'changes cannot be followed, set changesBy: none'

interface Base {
  readonly client: U8Client
  readonly config: YonyouU8Config
  readonly map: Mapping
  /** Where a page can only be given without a record that breaks its schema. */
  readonly skip: (failure: Parameters<typeof failureText>[0]) => void
}

type Held = 'customer' | 'product' | 'warehouse'

/** Where records of one sort are read. */
interface Source<T extends Held> {
  readonly codeField: string
  readonly read: Mapping[T]
  /** One record by its code; null where there is none. @throws SourceError */
  one(client: U8Client, code: string, context: CallContext): Promise<unknown>
  /** Records from one code to another, in one page. @throws SourceError */
  range?(
    client: U8Client,
    from: string,
    to: string,
    size: number,
    context: CallContext,
  ): Promise<{ rows: readonly unknown[]; rowCount: number }>
  /** Pages of all records, or of those whose name contains a text. */
  pages(client: U8Client, search: string | undefined, context: CallContext): ReadPage
  readonly searchable: boolean
  /** What changes are read from; absent: they cannot be found. */
  readonly changesFrom?: { readonly path: string; readonly property: string }
}

/** The calls that the gateway has for customers, inventory and warehouses alike. */
function archive(property: string, codeField: string): Omit<Source<never>, 'read'> {
  const path = `/api/${property}/batch_get`
  return {
    codeField,
    searchable: true,
    one: (client, code, context) => client.get(`/api/${property}/get`, code, property, context),
    range: (client, from, to, size, context) => {
      const filter = { code_begin: from, code_end: to }
      return client.page(path, property, { filter, page: 1, size }, context)
    },
    pages: (client, search, context) => (page, size) =>
      client.page(path, property, { filter: { name: search }, page, size }, context),
    changesFrom: { path, property },
  }
}

/**
 * The customer table behind a query of its own; only equal codes can be asked for. What a condition looks like is
 * written nowhere: a layer that overlooks it answers with others, and the whole table is read.
 */
function customerTable({ config, map }: Base): Source<'customer'> {
  if (config.customers.profile !== 'table') throw new Error('not the profile of the table')
  const { accountNumber, path, fields } = config.customers
  const query = (client: U8Client, page: number, pageSize: number, condition: object, context: CallContext) =>
    client.query(path, { accountNumber, page, pageSize, condition }, context)
  let reading: Promise<ReadonlyMap<string, unknown>> | undefined
  /** All rows by code; whoever comes while they are read gets the same. */
  const whole = (client: U8Client, { caller }: CallContext) => {
    const readAll = async () => {
      const found = new Map<string, unknown>()
      for (let page = 1; ; page++) {
        const rows = await query(client, page, config.pageLimit, {}, { caller })
        const before = found.size
        for (const row of rows) found.set(fieldText(row, fields.code) ?? '', row)
        // A layer that overlooks the page, too, would answer the same for ever.
        if (rows.length < config.pageLimit || found.size === before) return found
      }
    }
    reading ??= readAll().finally(() => {
      reading = undefined
    })
    return reading
  }

  return {
    codeField: fields.code,
    searchable: false,
    read: map.customer,
    async one(client, code, context) {
      const rows = await query(client, 1, 2, { [fields.code]: code }, context)
      const codes = rows.map((row) => fieldText(row, fields.code))
      const at = codes.indexOf(code)
      if (at >= 0) return rows[at]
      const isOverlooked = codes.some((told) => told?.toLowerCase() !== code.toLowerCase())
      return isOverlooked ? ((await whole(client, context)).get(code) ?? null) : null
    },
    pages: (client, _search, context) => async (page, size) => {
      const rows = await query(client, page, size, {}, context)
      // It does not say how many there are: a full page promises another one.
      const upTo = (page - 1) * size + rows.length
      return { rows, rowCount: rows.length < size ? upTo : upTo + 1 }
    },
  }
}

/** With fewer keys, a range of codes hardly ever saves a call. */
const RANGE_FROM = 4
/** Codes longer than this are in no table of U8. */
const MAX_CODE = 60

const isCode = (key: Key): boolean =>
  key.length > 0 && key.length <= MAX_CODE && key.isWellFormed() && !/\p{Cc}/u.test(key)

/**
 * Reads records by code: at first those that lie between the first and the last code, if that fits a page, then
 * each one that is still missing. The range is only a short cut: the server may sort codes in another way.
 */
async function readByCode<T extends Held>(
  { client, config }: Base,
  source: Source<T>,
  keys: readonly Key[],
  context: CallContext,
): Promise<ReadonlyMap<Key, Outcome<unknown>>> {
  const wanted = [...new Set(keys)].filter(isCode).sort()
  const found = new Map<Key, Outcome<unknown>>()
  const { range } = source
  if (range && wanted.length >= RANGE_FROM) {
    const size = Math.min(config.pageLimit, Math.max(wanted.length * 4, 20))
    const [from = '', to = ''] = [wanted[0], wanted.at(-1)]
    const page = await outcomeOf(() => range(client, from, to, size, context))
    if (page.ok && page.value.rowCount <= size) {
      const codes = new Set(wanted)
      for (const row of page.value.rows) {
        const code = fieldText(row, source.codeField)
        if (code !== null && codes.has(code)) found.set(code, ok(row))
      }
    }
    if (!page.ok && page.failure.kind !== 'rejected') return new Map(wanted.map((code) => [code, page]))
  }
  const rest = wanted.filter((code) => !found.has(code))
  const read = await inOrder(rest, config.parallelCalls, async (code) => {
    const row = await source.one(client, code, context)
    const told = fieldText(row, source.codeField)
    // The server takes "a1" for "A1"; who asked for "a1" must not get another key's record.
    return told === null || told === code ? row : null
  })
  rest.forEach((code, at) => {
    found.set(code, read[at] ?? ok(null))
  })
  return found
}

function archivePort<T extends Held>(base: Base, source: Source<T>): RecordPort<T> {
  const { client, config, skip } = base
  type Record = NonNullable<
    Extract<Awaited<ReturnType<RecordPort<T>['readMany']>>[number], { ok: true }>['value']
  >
  const read = source.read as (row: unknown) => Outcome<Record>
  const { changesFrom } = source

  const port = {
    batchLimit: config.batchLimit,

    async readMany(keys: readonly Key[], context: CallContext): Promise<Outcome<Record | null>[]> {
      const rows = await readByCode(base, source, keys, context)
      return keys.map((key) => {
        const row = rows.get(key) ?? ok(null)
        if (!row.ok) return row
        return row.value === null ? ok(null) : read(row.value)
      })
    },

    list({ first, after, filter }: ListQuery, context: CallContext) {
      return outcomeOf(async () => {
        if (filter?.customer !== undefined) throw unsupported('These records do not belong to customers.')
        if (filter?.search !== undefined && !source.searchable)
          throw unsupported('This table cannot be searched.')
        const page = source.pages(client, filter?.search, context)
        const items: { record: Record; position: string }[] = []
        for await (const { row, position } of walk(page, config.pageLimit, source.codeField, after)) {
          const record = read(row)
          if (!record.ok) skip(record.failure)
          else if (items.length === first) return { items, hasMore: true }
          else items.push({ record: record.value, position })
        }
        return { items, hasMore: false }
      })
    },

    ...(changesFrom && config.changesBy === 'timestamp'
      ? {
          changes(checkpoint: string | null, context: CallContext) {
            return readChanges(checkpoint, {
              page: (from, upTo, size) => {
                const query = { filter: versionRange(from, upTo), page: 1, size }
                return client.page(changesFrom.path, changesFrom.property, query, context)
              },
              keyOf: (row) => fieldText(row, source.codeField) ?? '',
              stampOf: versionOf,
              overlap: config.overlapVersions,
              limit: config.pageLimit,
              read: async (rows) =>
                rows.flatMap((row) => {
                  const record = read(row)
                  if (!record.ok) skip(record.failure)
                  return record.ok ? [record.value] : []
                }),
            })
          },
        }
      : {}),
  }
  return port as unknown as RecordPort<T>
}

const unsupported = (message: string): SourceError => new SourceError({ kind: 'unsupported', message })

/* ---- stock ---- */

/** Stock is asked for product by product: the rows of one are its warehouses and batches. */
function inventoryPort(base: Base, products: Source<'product'>): RecordPort<'inventoryLevel'> {
  const { client, config, map, skip } = base
  const path = '/api/currentstock/batch_get'

  const levelsOf = (
    codes: readonly Key[],
    context: CallContext,
  ): Promise<Outcome<Outcome<InventoryLevel>[]>[]> =>
    inOrder(codes, config.parallelCalls, async (code) => {
      if (!isCode(code)) return []
      const filter = { invcode_begin: code, invcode_end: code }
      const rows = await client.all(path, 'currentstock', filter, context)
      const own = rows.filter((row) => {
        const told = fieldText(row, config.stockFields.product)
        return told === null || told === code
      })
      return [...map.inventoryLevels(own)]
    })

  const byProduct = async (codes: readonly Key[], context: CallContext) => {
    const distinct = [...new Set(codes)]
    const read = await levelsOf(distinct, context)
    return new Map(distinct.map((code, at) => [code, read[at] ?? ok([])]))
  }

  return {
    batchLimit: config.batchLimit,

    async readMany(keys, context) {
      const parts = keys.map((key) => splitKey(key))
      const levels = await byProduct(
        parts.map(([code = '']) => code),
        context,
      )
      return keys.map((key, at) => {
        const own = levels.get(parts[at]?.[0] ?? '') ?? ok([])
        if (!own.ok) return own
        const level = own.value.find((one) => one.ok && one.value.key === key)
        // A row that cannot be read may be the one that seems to be missing.
        return level ?? own.value.find((one) => !one.ok) ?? ok(null)
      })
    },

    lookups: {
      byProduct: {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const levels = await byProduct(keys, context)
          return keys.map((key) => {
            const own = levels.get(key) ?? ok([])
            return own.ok ? all(own.value) : own
          })
        },
      },
    },

    /** Product by product. A position says after which product, and which warehouse of the next one came last. */
    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        if (filter?.customer !== undefined) throw unsupported('Stock does not belong to customers.')
        const [from = '', last, lastWarehouse = ''] = after === undefined ? [] : splitKey(after)
        const items: { record: InventoryLevel; position: string }[] = []
        let before = from
        const page = products.pages(client, filter?.search, context)
        for await (const { row, position } of walk(
          page,
          config.pageLimit,
          products.codeField,
          from || undefined,
        )) {
          const code = fieldText(row, products.codeField)
          if (code === null) continue
          const [read = ok([])] = await levelsOf([code], context)
          if (!read.ok) throw new SourceError(read.failure)
          const levels = read.value.flatMap((level) => {
            if (!level.ok) skip(level.failure)
            return level.ok ? [level.value] : []
          })
          levels.sort((a, b) => (a.warehouse < b.warehouse ? -1 : 1))
          for (const record of levels) {
            if (code === last && record.warehouse <= lastWarehouse) continue
            if (items.length === first) return { items, hasMore: true }
            items.push({ record, position: joinKey([before, code, record.warehouse]) })
          }
          before = position
        }
        return { items, hasMore: false }
      })
    },
  }
}

/** Half of the stock would look like all of it: one row that cannot be read fails the list. */
function all<T>(outcomes: readonly Outcome<T>[]): Outcome<readonly T[]> {
  const values: T[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    values.push(outcome.value)
  }
  return ok(values)
}

/* ---- orders ---- */

function orderPort({ client, config, map }: Base, orders: Orders): RecordPort<'order'> {
  return {
    batchLimit: config.batchLimit,
    // By key it is one call for an order anyhow; of a list, one less for each.
    parts: { [DETAIL]: DETAIL_FIELDS },
    readMany: orders.readMany,
    lookups: {
      // The number that people use is the key.
      byNumber: {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const found = await orders.readMany(keys, context)
          return found.map(
            (one): Outcome<readonly Order[]> => (one.ok ? ok(one.value === null ? [] : [one.value]) : one),
          )
        },
      },
      byCustomer: { batchLimit: config.batchLimit, read: orders.byCustomers },
    },
    list: (query, context) =>
      query.first < 1 ? Promise.resolve(fail(NO_PAGE)) : outcomeOf(() => orders.list(query, context)),
    ...(config.changesBy === 'timestamp' ? { changes: orders.changes } : {}),
    ...orderWrites({ client, config, map, orders }),
  }
}

const NO_PAGE = { kind: 'unsupported', message: 'A page holds at least one record.' } as const
