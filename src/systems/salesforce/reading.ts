/** Reading accounts with their contacts, and opportunities with their lines: by key, by customer, in pages. */
import {
  fail,
  failureText,
  type Outcome,
  ok,
  outcomeOf,
  SourceError,
  type SourceFailure,
} from '../failure.ts'
import type { AdapterContext, CallContext, ListPage, ListQuery, Lookup } from '../port.ts'
import type { Key, Opportunity, RecordTypes } from '../records.ts'
import type { Row, SalesforceClient } from './client.ts'
import type { SalesforceConfig } from './config.ts'
import { isExact, longId, type ObjectName } from './ids.ts'
import { fieldOf, type Mapping, toDateTime } from './mapping.ts'
import { behind, contains, type Place, soql, within } from './soql.ts'

export type Held = 'customer' | 'opportunity'

export interface Tools {
  readonly config: SalesforceConfig
  readonly client: SalesforceClient
  readonly mapping: Mapping
  readonly context: AdapterContext
}

export const OBJECTS = { customer: 'Account', opportunity: 'Opportunity' } as const satisfies Record<
  Held,
  ObjectName
>

export interface Reading {
  readMany<T extends Held>(
    type: T,
    keys: readonly Key[],
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>[]>
  list<T extends Held>(type: T, query: ListQuery, context: CallContext): Promise<Outcome<ListPage<T>>>
  readonly byCustomer: Lookup<'opportunity'>
  /** With a second query for contacts or lines. @throws SourceError */
  toRecords<T extends Held>(
    type: T,
    rows: readonly Row[],
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T]>[]>
  /** What cannot be read is left out, and said to the operator: one bad record must not hide the rest. */
  readable<T extends Held>(type: T, records: readonly Outcome<RecordTypes[T]>[]): (RecordTypes[T] | null)[]
}

export function createReading({ config, client, mapping, context: { log } }: Tools): Reading {
  const fieldsOf = (type: Held) => (type === 'customer' ? mapping.accountFields : mapping.opportunityFields)

  /** Cut by number, and by length: 20 characters for each key, and the fields before them. */
  const cut = (ids: readonly string[]): string[][] => {
    const room = Math.max(1, Math.floor((config.maxQueryLength - 2_000) / 21))
    const size = Math.min(config.batchLimit, room)
    return Array.from({ length: Math.ceil(ids.length / size) }, (_, at) =>
      ids.slice(at * size, (at + 1) * size),
    )
  }

  /**
   * An org that checks ids refuses a whole query for one whose last characters do not fit: those go in queries of
   * their own, and once one was refused nobody has such an id.
   */
  let checksIds = false
  const batchesOf = (ids: readonly string[]): string[][] => [
    ...cut(ids.filter(isExact)),
    ...(checksIds ? [] : cut(ids.filter((id) => !isExact(id)))),
  ]
  const isNobodys = ([id = '']: readonly string[], failure: SourceFailure): boolean => {
    if (isExact(id) || failure.kind !== 'rejected' || !NO_ID.has(failure.code)) return false
    checksIds = true
    return true
  }

  /** Records that belong to those that are read: contacts, and lines of opportunities where they are wanted. */
  const CHILDREN = {
    customer: { object: 'Contact', parent: 'AccountId', fields: mapping.contactFields, part: 'contacts' },
    opportunity: {
      object: 'OpportunityLineItem',
      parent: 'OpportunityId',
      fields: mapping.lineFields,
      part: 'lines',
    },
  } as const
  const childrenQueries = (type: Held, ids: readonly string[], { without }: CallContext): string[] => {
    const { object, parent, fields, part } = CHILDREN[type]
    if (fields.length === 0 || without?.has(part)) return []
    const order = type === 'customer' ? 'CreatedDate, Id' : 'SortOrder, CreatedDate, Id'
    return cut(ids).map((some) => soql({ object, fields, where: [within(parent, some)], order }))
  }

  const withChildren = <T extends Held>(
    type: T,
    rows: readonly Row[],
    children: readonly Row[],
  ): Outcome<RecordTypes[T]>[] => {
    const byParent = new Map<string, Row[]>()
    for (const child of children) {
      const parent = longId(String(child[CHILDREN[type].parent] ?? ''), OBJECTS[type]) ?? ''
      const list = byParent.get(parent) ?? []
      list.push(child)
      byParent.set(parent, list)
    }
    const map = type === 'customer' ? mapping.customer : mapping.opportunity
    return rows.map((row) => map(row, byParent.get(idOf(row, OBJECTS[type]) ?? '') ?? [])) as Outcome<
      RecordTypes[T]
    >[]
  }

  /** Records and what belongs to them, by id, in one call. */
  const readBatch = async <T extends Held>(
    type: T,
    ids: readonly string[],
    context: CallContext,
  ): Promise<Map<string, Outcome<RecordTypes[T]>>> => {
    const main = soql({ object: OBJECTS[type], fields: fieldsOf(type), where: [within('Id', ids)] })
    const [rows = [], ...children] = await client.query(
      [main, ...childrenQueries(type, ids, context)],
      context,
    )
    const records = withChildren(type, rows, children.flat())
    const found = new Map<string, Outcome<RecordTypes[T]>>()
    rows.forEach((row, at) => {
      const record = records[at]
      const id = idOf(row, OBJECTS[type])
      if (!record) return
      if (id !== null) found.set(id, record)
      // A record without an id could be any of those that seem to be missing.
      else for (const one of ids) if (!found.has(one)) found.set(one, record)
    })
    return found
  }

  const readMany: Reading['readMany'] = async (type, keys, context) => {
    const ids = keys.map((key) => longId(key, OBJECTS[type]))
    const distinct = [...new Set(ids.filter((id) => id !== null))]
    const outcomes = new Map<string, Outcome<RecordTypes[typeof type] | null>>()
    let refused: Outcome<never> | undefined
    for (const batch of batchesOf(distinct)) {
      const found = refused ?? (await outcomeOf(() => readBatch(type, batch, context)))
      if (!found.ok && isNobodys(batch, found.failure)) continue
      for (const id of batch) outcomes.set(id, found.ok ? (found.value.get(id) ?? ok(null)) : found)
      if (!found.ok && (found.failure.kind === 'unauthorized' || found.failure.kind === 'unavailable')) {
        refused = found
      }
    }
    return ids.map((id) => (id === null ? ok(null) : (outcomes.get(id) ?? ok(null))))
  }

  const toRecords: Reading['toRecords'] = async (type, rows, context) => {
    const ids = rows.map((row) => idOf(row, OBJECTS[type])).filter((id) => id !== null)
    const queries = ids.length > 0 ? childrenQueries(type, ids, context) : []
    const children = queries.length > 0 ? await client.query(queries, context) : []
    return withChildren(type, rows, children.flat())
  }

  const readable: Reading['readable'] = (type, records) =>
    records.map((record) => {
      if (record.ok) return record.value
      log.warn({ object: OBJECTS[type], failure: failureText(record.failure) }, 'a record cannot be read')
      return null
    })

  const byCustomer: Lookup<'opportunity'> = {
    batchLimit: config.batchLimit,
    async read(keys, context) {
      const ids = keys.map((key) => longId(key, 'Account'))
      const outcomes = new Map<string, Outcome<readonly Opportunity[]>>()
      for (const batch of batchesOf([...new Set(ids.filter((id) => id !== null))])) {
        const text = soql({
          object: 'Opportunity',
          fields: mapping.opportunityFields,
          where: [within('AccountId', batch)],
          order: 'CreatedDate DESC, Id DESC',
        })
        const read = await outcomeOf(async () => {
          const rows = (await client.query([text], context)).flat()
          return { rows, records: await toRecords('opportunity', rows, context) }
        })
        if (!read.ok && isNobodys(batch, read.failure)) continue
        if (!read.ok) {
          for (const id of batch) outcomes.set(id, read)
          continue
        }
        const { rows, records } = read.value
        for (const [at, record] of records.entries()) {
          const account = longId(String(rows[at]?.AccountId ?? ''), 'Account')
          // Half of a customer's opportunities would look like all of them.
          for (const id of account === null ? batch : [account]) {
            const list = outcomes.get(id) ?? ok([])
            outcomes.set(id, !list.ok ? list : record.ok ? ok([...list.value, record.value]) : record)
          }
        }
      }
      return ids.map((id) => (id === null ? ok([]) : (outcomes.get(id) ?? ok([]))))
    },
  }

  const list: Reading['list'] = async (type, { first, after, filter = {} }, context) => {
    const place = after === undefined ? undefined : readPlace(after, OBJECTS[type])
    if (place === null) {
      return fail({ kind: 'rejected', code: 'POSITION', message: 'This is no place in this list.' })
    }
    const { customer, search } = filter
    if (customer !== undefined && type === 'customer') {
      const message = 'Customers cannot be listed by customer: read that one.'
      return fail({ kind: 'unsupported', message })
    }
    const account = customer === undefined ? undefined : longId(customer, 'Account')
    if (account === null) return ok({ items: [], hasMore: false })
    const names = type === 'customer' && config.fields.code !== null ? ['Name', config.fields.code] : ['Name']
    const pageAfter = async (from: Place | undefined): Promise<ListPage<typeof type>> => {
      const text = soql({
        object: OBJECTS[type],
        fields: fieldsOf(type),
        where: [
          account === undefined ? undefined : within('AccountId', [account]),
          search ? `(${names.map((name) => contains(name, search)).join(' OR ')})` : undefined,
          from && behind('CreatedDate', from, '<'),
        ],
        order: 'CreatedDate DESC, Id DESC',
        // One more tells whether there are more.
        limit: first + 1,
      })
      const rows = (await client.query([text], context)).flat()
      const shown = rows.slice(0, first)
      const records = readable(type, await toRecords(type, shown, context))
      const items = records.flatMap((record, at) => {
        const row = shown[at]
        return record && row ? [{ record, position: placeText(row, 'CreatedDate', OBJECTS[type]) }] : []
      })
      const hasMore = rows.length > first
      const last = shown.at(-1)
      // From a page where nothing could be read nobody could go on.
      if (items.length > 0 || !hasMore || !last) return { items, hasMore }
      return pageAfter(placeOf(last, 'CreatedDate', OBJECTS[type]))
    }
    const page = await outcomeOf(() => pageAfter(place))
    const isEmpty = !page.ok && account !== undefined && isNobodys([account], page.failure)
    return isEmpty ? ok({ items: [], hasMore: false }) : page
  }

  return { readMany, list, byCustomer, toRecords, readable }
}

/** What an org says of a text that it takes for no id. */
const NO_ID = new Set(['INVALID_QUERY_FILTER_OPERATOR', 'MALFORMED_ID', 'INVALID_ID_FIELD'])

export const idOf = (row: Row, object: ObjectName): string | null => {
  const id = fieldOf(row, 'Id')
  return typeof id === 'string' ? longId(id, object) : null
}

/** Where a row stands in an order by `time` and id. @throws SourceError */
export function placeOf(row: Row, time: string, object: ObjectName): Place {
  const at = toDateTime(String(fieldOf(row, time) ?? ''))
  const id = idOf(row, object)
  if (at !== null && id !== null) return { at, id }
  throw new SourceError({ kind: 'invalid-response', detail: `${object}: a row without Id or ${time}` })
}

const placeText = (row: Row, time: string, object: ObjectName): string => {
  const { at, id } = placeOf(row, time, object)
  return `${at},${id}`
}

function readPlace(text: string, object: ObjectName): Place | null {
  const [, at = '', id = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z),(\w{18})$/.exec(text) ?? []
  return toDateTime(at) !== null && longId(id, object) === id ? { at, id } : null
}
