/** One entity set of the Service Layer read as one record type: by key, by page, by change, by another key. */
import { z } from 'zod'
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { changesByStamp, compare, listByKey, type Reader } from '../kit/keyset.ts'
import type { CallContext, ChangePage, ListPage, ListQuery, RecordPort } from '../port.ts'
import type { Key, RecordType, RecordTypes } from '../records.ts'
import { literal, queryPath, type ServiceLayer } from './client.ts'
import type { SapB1Config } from './config.ts'
import { changedSince, latestStamp, rowKey, type Stamp, stampMinus } from './mapping.ts'

export interface Source {
  readonly client: ServiceLayer
  readonly config: SapB1Config
  /** Where a page can only be given without a record that breaks its schema. */
  readonly skip: (failure: SourceFailure) => void
}

/* ---- one entity set, one record type ---- */

export interface EntityOptions<R> {
  readonly entity: string
  readonly select: readonly string[]
  /** The fields of each part that can be left out. */
  readonly parts?: Readonly<Record<string, readonly string[]>>
  readonly key: string
  /** Whole numbers are compared as such; a key that is none names no record. */
  readonly numeric: boolean
  /** Of a list. Numbers grow with time: highest first is newest first. */
  readonly direction: 'asc' | 'desc'
  readonly created: { readonly date: string; readonly time: string }
  /** Always part of the filter. */
  readonly where?: string
  readonly searched: readonly string[]
  /** Prepares the reading of rows; `null`: the row is no record of this sort. */
  read(context: CallContext): Promise<(row: unknown) => Outcome<R | null>>
}

export const DOCUMENT_KEY = {
  key: 'DocEntry',
  numeric: true,
  direction: 'desc',
  created: { date: 'CreationDate', time: 'DocTime' },
} as const

export const textKey = (key: string) =>
  ({
    key,
    numeric: false,
    direction: 'asc',
    created: { date: 'CreateDate', time: 'CreateTime' },
  }) as const

export type Entity<R> = Completed<R, R>

type ReadLists<R> = (keys: readonly Key[], context: CallContext) => Promise<readonly Outcome<readonly R[]>[]>

export function readable<T extends RecordType>(of: Reader<RecordTypes[T]>) {
  return {
    batchLimit: of.batchLimit,
    readMany: of.readMany,
    list: of.list,
    changes: of.changes,
  } satisfies {
    batchLimit: number
    readMany: RecordPort<T>['readMany']
    list(query: ListQuery, context: CallContext): Promise<Outcome<ListPage<T>>>
    changes(checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<T>>>
  }
}

export function entity<R extends { key: Key; version?: string | null }>(
  source: Source,
  options: EntityOptions<R>,
): Entity<R> {
  const { client, config, skip } = source
  const { entity: name, select, key } = options
  const termOf = (field: string, numeric: boolean) => (value: string) =>
    `${field} eq ${numeric ? value : literal(value)}`
  const literalOf = (value: string) => (options.numeric ? value : literal(value))
  const where = (...terms: (string | undefined)[]) => {
    const all = [options.where, ...terms].filter((term) => term !== undefined)
    return all.length === 0 ? undefined : all.map((term) => `(${term})`).join(' and ')
  }
  const query = (filter: string | undefined, orderby: string, pageSize: number, top?: number) => ({
    entity: name,
    select,
    ...(filter === undefined ? {} : { filter }),
    orderby,
    pageSize,
    ...(top === undefined ? {} : { top }),
  })
  /** Rows of queries that travel together, without the fields that are left out. */
  const allRows = async (
    asked: readonly ReturnType<typeof query>[],
    context: CallContext,
  ): Promise<Outcome<unknown[]>[]> => {
    const left = [...(context.without ?? [])].flatMap((part) => options.parts?.[part] ?? [])
    if (left.length === 0) return client.manyRows(asked, context)
    const fewer = select.filter((field) => !left.includes(field))
    return client.manyRows(
      asked.map((one) => ({ ...one, select: fewer })),
      context,
    )
  }
  const rowsOf = async (asked: ReturnType<typeof query>, context: CallContext): Promise<unknown[]> => {
    const [rows] = await allRows([asked], context)
    if (!rows?.ok) throw new SourceError(rows?.failure ?? UNANSWERED)
    return rows.value
  }
  /** How much of a request line is taken before the first term of a filter. */
  const overhead = queryPath(query(where(''), `${key} asc`, 1)).length + 100

  /** The rows that have one of these keys, in as many queries as their number and length ask for: one call. */
  const partsOf = async (
    keys: readonly Key[],
    term: (key: Key) => string,
    pageSize: (keys: readonly Key[]) => number,
    context: CallContext,
  ) => {
    if (keys.length === 0) return []
    const cut = [...batches(keys, term, config, overhead)]
    const read = await outcomeOf(() => options.read(context))
    const answers = read.ok
      ? await allRows(
          cut.map(({ keys, terms }) => query(where(terms.join(' or ')), `${key} asc`, pageSize(keys))),
          context,
        )
      : []
    return cut.map((batch, at) => {
      const rows = answers[at]
      if (!read.ok || !rows) return { batch, answer: read.ok ? fail(UNANSWERED) : read }
      return { batch, answer: rows.ok ? ok({ rows: rows.value, read: read.value }) : rows }
    })
  }

  const readMany: Entity<R>['readMany'] = async (keys, context) => {
    const found = new Map<Key, Outcome<R | null>>()
    const wanted = [...new Set(keys)].filter((one) => !options.numeric || isEntry(one))
    const parts = await partsOf(wanted, termOf(key, options.numeric), (keys) => keys.length, context)
    for (const { batch, answer } of parts) {
      const rows = answer.ok
        ? ok(answer.value.rows.map((row) => ({ key: rowKey(row, key), record: answer.value.read(row) })))
        : answer
      for (const one of batch.keys) found.set(one, rows.ok ? ok(null) : rows)
      if (!rows.ok) continue
      for (const row of rows.value) {
        if (row.key !== undefined) {
          if (found.has(row.key)) found.set(row.key, row.record)
          continue
        }
        // A row that does not say which record it is may be any of those that seem to be missing.
        for (const one of batch.keys) {
          const before = found.get(one)
          if (!row.record.ok && before?.ok && before.value === null) found.set(one, row.record)
        }
      }
    }
    return keys.map((one) => found.get(one) ?? ok(null))
  }

  /** The records of a page; what cannot be read is reported and left out. */
  const legible = (rows: readonly unknown[], read: (row: unknown) => Outcome<R | null>) =>
    rows.flatMap((row) => {
      const record = read(row)
      if (!record.ok) skip(record.failure)
      return record.ok && record.value !== null ? [record.value] : []
    })

  const placeOf = (row: unknown): string => {
    const place = rowKey(row, key)
    if (place !== undefined) return place
    throw new SourceError({ kind: 'invalid-response', detail: `${name}: a row without ${key}` })
  }

  const newest = async (context: CallContext): Promise<Stamp> => {
    const { date, time } = options.created
    const light = { entity: name, select: [key, 'UpdateDate', 'UpdateTime', date, time] }
    const filter = where()
    const [row] = await client.rows(
      {
        ...light,
        ...(filter === undefined ? {} : { filter }),
        orderby: `UpdateDate desc,UpdateTime desc,${key} desc`,
        top: 1,
        pageSize: 1,
      },
      context,
    )
    return latestStamp(row) ?? '1900-01-01T00:00:00'
  }

  return {
    batchLimit: config.batchLimit * config.batchRequests,
    readMany,

    async readOne(one, context) {
      const [record] = await readMany([one], context)
      return record ?? ok(null)
    },

    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        if (after !== undefined && options.numeric && !isEntry(after)) return { items: [], hasMore: false }
        const read = await options.read(context)
        const search = filter?.search
        if (filter?.customer !== undefined && !select.includes('CardCode')) {
          throw new SourceError({ kind: 'unsupported', message: `${name} do not belong to customers.` })
        }
        const compared = options.direction === 'desc' ? 'lt' : 'gt'
        return listByKey(
          { first, after },
          {
            placeOf,
            rows(from, limit) {
              const terms = where(
                filter?.customer === undefined ? undefined : `CardCode eq ${literal(filter.customer)}`,
                search === undefined
                  ? undefined
                  : options.searched.map((field) => `contains(${field},${literal(search)})`).join(' or '),
                from === undefined ? undefined : `${key} ${compared} ${literalOf(from)}`,
              )
              return rowsOf(query(terms, `${key} ${options.direction}`, limit, limit), context)
            },
            items: (rows) => legible(rows, read).map((record) => ({ record, position: record.key })),
          },
        )
      })
    },

    changes(checkpoint, context) {
      return outcomeOf(async () => {
        const read = await options.read(context)
        return changesByStamp(checkpoint, {
          stamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/,
          limit: config.pageLimit,
          newest: () => newest(context),
          placeOf,
          rows(since, after, limit) {
            const terms = where(
              changedSince(stampMinus(since, config.overlapSeconds), options.created),
              after === undefined ? undefined : `${key} gt ${literalOf(after)}`,
            )
            return client.rows(query(terms, `${key} asc`, limit, limit), context)
          },
          stampOf: latestStamp,
          records: (rows) => legible(rows, read).sort((a, b) => compare(stamp(a), stamp(b))),
        })
      })
    },

    lookup(field, keysOf, { numeric = false, newestOnly = false } = {}) {
      return {
        batchLimit: config.batchLimit * config.batchRequests,
        async read(keys, context) {
          const found = new Map<Key, Outcome<R[]>>()
          const wanted = [...new Set(keys)].filter((one) => !numeric || isEntry(one))
          const parts = await partsOf(wanted, termOf(field, numeric), () => config.pageLimit, context)
          for (const { batch, answer } of parts) {
            const rows = answer.ok
              ? ok(
                  answer.value.rows.map((row) => ({
                    of: rowKey(row, field),
                    record: answer.value.read(row),
                  })),
                )
              : answer
            for (const one of batch.keys) found.set(one, rows.ok ? ok([]) : rows)
            if (!rows.ok) continue
            for (const { of, record } of rows.value) {
              // Half a list would look whole: one record that cannot be read fails the list it belongs to.
              const owners = record.ok ? (record.value === null ? [] : keysOf(record.value)) : [of ?? '']
              for (const owner of owners) {
                const list = found.get(owner)
                if (!list?.ok) continue
                if (!record.ok) found.set(owner, record)
                else if (record.value) list.value.unshift(record.value) // read oldest first, given newest first
              }
            }
          }
          return keys.map((one) => {
            const list = found.get(one) ?? ok([])
            return list.ok && newestOnly ? ok(list.value.slice(0, 1)) : list
          })
        },
      }
    },
  }
}

/**
 * The same records with what other entities add to them.
 * @param add One record for each, same order. @throws SourceError
 */
export function completed<Raw extends { key: Key }, R>(
  raw: Entity<Raw>,
  add: (records: readonly Raw[], context: CallContext) => Promise<R[]>,
): Completed<Raw, R> {
  const addAll = async <Held, Given>(
    outcomes: readonly Outcome<Held>[],
    recordsOf: (held: Held) => readonly Raw[],
    put: (records: readonly R[]) => Given,
    context: CallContext,
  ): Promise<Outcome<Given>[]> => {
    const all = outcomes.map((one) => (one.ok ? recordsOf(one.value) : []))
    const read = await outcomeOf(() => add(all.flat(), context))
    if (!read.ok) return outcomes.map((one) => (one.ok ? read : one))
    let at = 0
    return outcomes.map((one, index) => {
      const from = at
      at += all[index]?.length ?? 0
      return one.ok ? ok(put(read.value.slice(from, at))) : one
    })
  }
  const readMany: Completed<Raw, R>['readMany'] = async (keys, context) =>
    addAll(
      await raw.readMany(keys, context),
      (one) => (one ? [one] : []),
      ([record]) => record ?? null,
      context,
    )

  return {
    batchLimit: raw.batchLimit,
    readMany,
    async readOne(key, context) {
      const [record] = await readMany([key], context)
      return record ?? ok(null)
    },
    async list(query, context) {
      const page = await raw.list(query, context)
      if (!page.ok) return page
      return outcomeOf(async () => {
        const { items, hasMore } = page.value
        const records = await add(
          items.map(({ record }) => record),
          context,
        )
        const shown = items.map(({ position }, at) => ({ position, record: records[at] as R }))
        return { items: shown, hasMore }
      })
    },
    async changes(checkpoint, context) {
      const page = await raw.changes(checkpoint, context)
      if (!page.ok) return page
      return outcomeOf(async () => ({ ...page.value, records: await add(page.value.records, context) }))
    },
    lookup(field, keysOf, options) {
      const lookup = raw.lookup(field, keysOf, options)
      return {
        batchLimit: lookup.batchLimit,
        async read(keys, context) {
          return addAll(
            await lookup.read(keys, context),
            (list) => list,
            (records) => records,
            context,
          )
        },
      }
    },
  }
}

export interface Completed<Raw, R> extends Reader<R> {
  lookup(
    field: string,
    keysOf: (record: Raw) => readonly Key[],
    options?: { numeric?: boolean; newestOnly?: boolean },
  ): { batchLimit: number; read: ReadLists<R> }
}

const stamp = (record: { version?: string | null }): string => record.version ?? ''

const UNANSWERED: SourceFailure = { kind: 'invalid-response', detail: 'no answer to a query' }

/** Document keys are 32-bit whole numbers; anything else would make the vendor refuse the whole filter. */
export function isEntry(key: string): boolean {
  return /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) <= 2_147_483_647
}

/** Cuts keys so that neither the number of terms nor the length of the request line passes its limit. */
export function* batches(
  keys: readonly Key[],
  termOf: (key: Key) => string,
  config: Pick<SapB1Config, 'batchLimit' | 'maxUrlLength'>,
  overhead: number,
): Generator<{ keys: Key[]; terms: string[] }> {
  let batch: { keys: Key[]; terms: string[] } = { keys: [], terms: [] }
  let length = overhead
  for (const key of keys) {
    const term = termOf(key)
    const cost = encodeURIComponent(` or ${term}`).length
    const full = batch.keys.length === config.batchLimit || length + cost > config.maxUrlLength
    if (full && batch.keys.length > 0) {
      yield batch
      batch = { keys: [], terms: [] }
      length = overhead
    }
    batch.keys.push(key)
    batch.terms.push(term)
    length += cost
  }
  if (batch.keys.length > 0) yield batch
}

/* ---- documents that follow from others ---- */

/**
 * Which document another follows from stands in its lines only, and no filter reaches into lines. The query service
 * joins them.
 * @param entity Where the followers are.
 * @param baseType Object code of what they follow.
 * @returns Keys of the followers, one outcome per base key, same order.
 */
export async function followers(
  client: ServiceLayer,
  config: SapB1Config,
  entity: string,
  baseType: string,
  keys: readonly Key[],
  context: CallContext,
): Promise<Outcome<readonly Key[]>[]> {
  const line = `${entity}/DocumentLines`
  const found = new Map<Key, Outcome<readonly Key[]>>()
  const wanted = [...new Set(keys)].filter(isEntry)
  for (const batch of batches(wanted, (key) => `${line}/BaseEntry eq ${key}`, config, 0)) {
    const option = [
      `$expand=${entity}($select=DocEntry),${line}($select=BaseEntry)`,
      `$filter=${entity}/DocEntry eq ${line}/DocEntry and ${line}/BaseType eq ${baseType} and (${batch.terms.join(' or ')})`,
      `$orderby=${entity}/DocEntry asc,${line}/LineNum asc`,
    ].join('&')
    const links = await outcomeOf(async () =>
      (await client.crossJoin([entity, line], option, context)).map((row) => readLink(row, entity, line)),
    )
    for (const key of batch.keys) {
      if (!links.ok) {
        found.set(key, links)
        continue
      }
      const mine = links.value.flatMap((link) => (link?.base === key ? [link.follower] : []))
      found.set(key, ok([...new Set(mine)]))
    }
  }
  return keys.map((key) => found.get(key) ?? ok([]))
}

function readLink(row: unknown, entity: string, line: string): { base: Key; follower: Key } | null {
  const parsed = z
    .object({ [entity]: z.object({ DocEntry: z.string() }), [line]: z.object({ BaseEntry: z.string() }) })
    .safeParse(row)
  if (!parsed.success) return null
  const { [entity]: head, [line]: lines } = parsed.data as Record<string, Record<string, string>>
  return head?.DocEntry && lines?.BaseEntry ? { follower: head.DocEntry, base: lines.BaseEntry } : null
}

/** Reads what `followers` found, in one batch for all. One that cannot be read fails the list it belongs to. */
export async function readFollowers<R>(
  linked: readonly Outcome<readonly Key[]>[],
  { readMany }: Pick<Entity<R>, 'readMany'>,
  context: CallContext,
): Promise<Outcome<readonly R[]>[]> {
  const entries = [...new Set(linked.flatMap((one) => (one.ok ? one.value : [])))]
  const read = await readMany(entries, context)
  const byEntry = new Map(read.map((record, at) => [entries[at], record]))
  return linked.map((one) => (one.ok ? all(one.value.map((key) => byEntry.get(key) ?? ok(null))) : one))
}

function all<R>(outcomes: readonly Outcome<R | null>[]): Outcome<readonly R[]> {
  const records: R[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    if (outcome.value !== null) records.push(outcome.value)
  }
  return ok(records)
}
