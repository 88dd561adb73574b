/** Entity sets read as records: by key, page by page, by what changed. */
import { type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { changesByStamp, chunks, compare, type Reader as KeysetReader, listByKey } from '../kit/keyset.ts'
import type { CallContext } from '../port.ts'
import type { Key } from '../records.ts'
import type { Gateway } from './client.ts'
import type { SapS4Config } from './config.ts'
import { rowKey } from './mapping.ts'
import {
  allOf,
  dayLiteral,
  dayOf,
  external,
  instantLiteral,
  instantOf,
  literal,
  oneOf,
  type Query,
} from './odata.ts'

export interface Source {
  readonly client: Gateway
  readonly config: SapS4Config
  /** Where a page can only be given without a record that breaks its schema. */
  readonly skip: (failure: SourceFailure) => void
}

export interface EntityOptions<R> {
  readonly service: string
  readonly set: string
  readonly key: string
  readonly select: readonly string[]
  /** What is expanded for each part that can be left out; navigations to many, which read as empty then. */
  readonly parts?: Readonly<Record<string, string>>
  /** Of a list. Numbers of documents grow with time: highest first is newest first. */
  readonly direction: 'asc' | 'desc'
  /** Always part of the filter. */
  readonly where?: string
  /** Rows that are no records of this sort, where no filter can leave them out. */
  readonly isRecord?: (row: unknown) => boolean
  readonly customerField?: string
  readonly searched: readonly string[]
  /**
   * `instant`: LastChangeDateTime. `day`: LastChangeDate, empty until the first change, and CreationDate; the time
   * beside them, where there is one, cannot be compared together with its day.
   */
  readonly changed: 'instant' | 'day'
  read(row: unknown): Outcome<R>
}

export interface Reader<R> extends KeysetReader<R> {
  lookup(field: string): {
    batchLimit: number
    read(keys: readonly Key[], context: CallContext): Promise<readonly Outcome<readonly R[]>[]>
  }
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/
const DAY = /^\d{4}-\d\d-\d\d$/

export function createReader<R extends { key: Key }>(source: Source, options: EntityOptions<R>): Reader<R> {
  const { client, config, skip } = source
  const { service, set, key, select, isRecord = () => true } = options
  const base = { service, set, select, orderby: `${key} asc` }
  const baseFor = ({ without }: CallContext) => {
    const left = [...(without ?? [])].flatMap((part) => options.parts?.[part] ?? [])
    return left.length === 0
      ? base
      : { ...base, select: select.filter((path) => !left.some((one) => path.startsWith(`${one}/`))) }
  }
  const where = (...terms: (string | undefined)[]) => allOf([options.where, ...terms])

  const readMany: Reader<R>['readMany'] = async (keys, context) => {
    const wanted = [...new Set(keys.map(external))].filter((one) => one !== '')
    const rows = await rowsBy(source, baseFor(context), key, wanted, where(), context)
    const found = new Map<Key, Outcome<R | null>>()
    for (const [one, outcome] of rows) {
      if (!outcome.ok) {
        found.set(one, outcome)
        continue
      }
      // The vendor may compare without regard to case: what was not asked for is no answer.
      const row = outcome.value.find((candidate) => rowKey(candidate, key) === one)
      found.set(one, row === undefined || !isRecord(row) ? ok(null) : options.read(row))
    }
    return keys.map((one) => found.get(external(one)) ?? ok(null))
  }

  /** The records of a page; what cannot be read is reported and left out. */
  const legible = (rows: readonly unknown[]) =>
    rows.filter(isRecord).flatMap((row) => {
      const record = options.read(row)
      if (!record.ok) skip(record.failure)
      return record.ok ? [record.value] : []
    })

  const stampOf = (row: unknown): string | null => {
    const field = (name: string) => {
      const value = (row as Record<string, unknown> | undefined)?.[name]
      return typeof value === 'string' && value !== '' ? value : null
    }
    if (options.changed === 'instant') return instantOf(field('LastChangeDateTime'))
    return later(dayOf(field('CreationDate')) ?? '', dayOf(field('LastChangeDate')))
  }

  const placeOf = (row: unknown): string => {
    const place = rowKey(row, key)
    if (place !== undefined) return place
    throw new SourceError({ kind: 'invalid-response', detail: `${set}: a row without ${key}` })
  }

  const newest = async (context: CallContext): Promise<string> => {
    // Two questions where the newest may never have been changed: one order cannot look at both days.
    const stamps = options.changed === 'instant' ? ['LastChangeDateTime'] : ['LastChangeDate', 'CreationDate']
    let latest = options.changed === 'instant' ? '1900-01-01T00:00:00Z' : '1900-01-01'
    for (const stamp of stamps) {
      const query = { service, set, select: [key, ...stamps], orderby: `${stamp} desc`, top: 1 }
      // Rows without the stamp may come first or last, as the database below likes it.
      const given = `${stamp} ge ${options.changed === 'instant' ? instantLiteral(latest) : dayLiteral('1900-01-01')}`
      const [row] = await client.rows({ ...query, filter: where(given) }, context)
      latest = later(latest, stampOf(row))
    }
    return latest
  }

  return {
    batchLimit: config.batchLimit,
    readMany,

    async readOne(one, context) {
      const [record] = await readMany([one], context)
      return record ?? ok(null)
    },

    list({ first, after, filter }, context) {
      return outcomeOf(async () => {
        const { customer, search } = filter ?? {}
        if (customer !== undefined && options.customerField === undefined) {
          throw new SourceError({ kind: 'unsupported', message: `${set} does not belong to customers.` })
        }
        const compared = options.direction === 'desc' ? 'lt' : 'gt'
        return listByKey(
          { first, after },
          {
            placeOf,
            rows(from, limit) {
              const terms = where(
                customer === undefined
                  ? undefined
                  : `${options.customerField} eq ${literal(external(customer))}`,
                search === undefined
                  ? undefined
                  : options.searched.map((field) => `substringof(${literal(search)},${field})`).join(' or '),
                from === undefined ? undefined : `${key} ${compared} ${literal(from)}`,
              )
              const orderby = `${key} ${options.direction}`
              return client.rows({ ...baseFor(context), filter: terms, orderby, top: limit }, context)
            },
            items: (rows) => legible(rows).map((record) => ({ record, position: record.key })),
          },
        )
      })
    },

    changes(checkpoint, context) {
      return outcomeOf(() =>
        changesByStamp(checkpoint, {
          stamp: options.changed === 'instant' ? INSTANT : DAY,
          limit: config.pageLimit,
          newest: () => newest(context),
          placeOf,
          rows(since, after, limit) {
            const changed =
              options.changed === 'instant'
                ? `LastChangeDateTime ge ${instantLiteral(minusSeconds(since, config.overlapSeconds))}`
                : ['LastChangeDate', 'CreationDate']
                    .map((field) => `${field} ge ${dayLiteral(minusDays(since, config.overlapDays))}`)
                    .join(' or ')
            const filter = where(changed, after === undefined ? undefined : `${key} gt ${literal(after)}`)
            return client.rows({ ...base, filter, top: limit }, context)
          },
          stampOf,
          later,
          records(rows) {
            const order = new Map(rows.map((row) => [rowKey(row, key), stampOf(row) ?? '']))
            return legible(rows).sort((a, b) => compare(order.get(a.key) ?? '', order.get(b.key) ?? ''))
          },
        }),
      )
    },

    lookup(field) {
      return {
        batchLimit: config.batchLimit,
        async read(keys, context) {
          const wanted = [...new Set(keys.map(external))].filter((one) => one !== '')
          const rows = await rowsBy(source, baseFor(context), field, wanted, where(), context)
          const found = new Map<Key, Outcome<readonly R[]>>()
          for (const [one, outcome] of rows) {
            if (!outcome.ok) {
              found.set(one, outcome)
              continue
            }
            // Half a list would look whole: one record that cannot be read fails the list it belongs to.
            const records = outcome.value
              .filter((row) => rowKey(row, field) === one)
              .map((row) => options.read(row))
            const failed = records.find((record) => !record.ok)
            const list = records.flatMap((record) => (record.ok ? [record.value] : []))
            found.set(one, failed && !failed.ok ? failed : ok(list.reverse())) // newest first
          }
          return keys.map((one) => found.get(external(one)) ?? ok([]))
        },
      }
    },
  }
}

/**
 * The rows that have one of these values in a field: in one request, whatever the number of values, because filters
 * that would be too long go together in a `$batch`. A part that fails concerns its own values alone.
 * @returns For each value all rows of its part.
 */
export async function rowsBy(
  { client, config }: Pick<Source, 'client' | 'config'>,
  base: Query,
  field: string,
  values: readonly string[],
  also: string | undefined,
  context: CallContext,
): Promise<ReadonlyMap<string, Outcome<readonly unknown[]>>> {
  const found = new Map<string, Outcome<readonly unknown[]>>()
  const parts = [...chunks(values, config.filterTerms)]
  const queries = parts.map((part) => ({ ...base, filter: allOf([also, oneOf(field, part)]) }))
  const answers = await outcomeOf(async (): Promise<readonly Outcome<unknown[]>[]> => {
    const [only, second] = queries
    if (only === undefined) return []
    if (second === undefined) return [ok(await client.rows(only, context))]
    return client.manyRows(queries, context)
  })
  for (const [at, part] of parts.entries()) {
    const answer = answers.ok ? answers.value[at] : answers
    for (const value of part) found.set(value, answer ?? ok([]))
  }
  return found
}

/** Instants come with and without fractions of seconds, which compare wrongly as text. */
function later(a: string, b: string | null): string {
  if (b === null) return a
  if (a === '') return b
  return Date.parse(b) > Date.parse(a) ? b : a
}

const minusSeconds = (instant: string, seconds: number): string =>
  new Date(Date.parse(instant) - seconds * 1000).toISOString().slice(0, 19).concat('Z')

const minusDays = (day: string, days: number): string =>
  new Date(Date.parse(day) - days * 86_400_000).toISOString().slice(0, 10)
