/** Lists that span systems: one page of all of them, one cursor that remembers where each of them stands. */
import DataLoader from 'dataloader'
import type { IdentityType } from '../../src/identity/registry.ts'
import { isLeftOut } from '../../src/reading/parts.ts'
import type { Read } from '../../src/reading/reading.ts'
import { type Outcome, ok, type SourceFailure } from '../../src/systems/failure.ts'
import type { RecordType, RecordTypes } from '../../src/systems/records.ts'
import { portOf, type System, type Systems } from '../../src/systems/registry.ts'
import type { SubgraphContext } from './context.ts'
import { badInput, failureError, graphError } from './errors.ts'
import {
  type Connection,
  decodeCursor,
  encodeCursor,
  gathered,
  type Located,
  locatedFrom,
  pageSize,
  systemOf,
} from './records.ts'

export interface ListArguments {
  readonly first?: number | null
  readonly after?: string | null
  readonly system?: string | null
  readonly search?: string | null
}

/** How often one system is asked for one page, where nothing of what it answers belongs on it. */
const ROUNDS = 5

const STANDARD_SIZE = 20

/** It travels in addresses and cursors; what is longer breaks requests, and a few such in a row look like an outage. */
const MAX_SEARCH_LENGTH = 200

/** A system's place in a list. A cursor writes it as text: `` not begun, `=position`, `.` at its end. */
type Place = string
const BEGIN: Place = ''
const END: Place = '.'

interface Head<T extends RecordType> {
  readonly node: Located<T>
  readonly position: string
  /** Of the newest from here on: systems list by entry, and what is entered may be dated back. */
  readonly when: When
}

interface Source<T extends RecordType> {
  readonly system: System
  /** After the last of its records that is on a page. */
  place: Place
  /** Read and not on a page yet, newest first. */
  heads: Head<T>[]
  /** Where its heads end, and whether anything is behind them. */
  end: Place
  more: boolean
  rounds: number
  failure: SourceFailure | null
}

/**
 * One page over every system that can list such records, newest first: each system's own order is kept, and of their
 * next records the newest comes first. A system that does not answer is named in `pageInfo.missing`, and the cursor
 * keeps its place. What a system alone knows of customers and products is listed; what several know, once.
 * @throws the failure of a system where there is no other to answer; BAD_USER_INPUT, CURSOR_INVALID, UNKNOWN_SYSTEM
 */
export async function pageOver<T extends RecordType>(
  systems: Systems,
  context: SubgraphContext,
  type: T,
  args: ListArguments,
): Promise<Connection<Located<T>>> {
  const size = pageSize(args.first, STANDARD_SIZE)
  if ((args.search?.length ?? 0) > MAX_SEARCH_LENGTH)
    throw badInput(`"search" must not have more than ${MAX_SEARCH_LENGTH} characters.`, 'search')
  const list = `${type}/${args.system ?? ''}/${args.search ?? ''}`
  const holders =
    args.system == null
      ? systems.holding(type).filter((system) => portOf(system, type)?.list)
      : [systemOf(systems, args.system)]
  const places = args.after == null ? new Map<string, Place>() : placesIn(list, args.after, holders)
  const sources = holders.map((system): Source<T> => {
    const place = places.get(system.id) ?? BEGIN
    return { system, place, heads: [], end: place, more: place !== END, rounds: 0, failure: null }
  })
  const cursor = () =>
    encodeCursor(
      list,
      sources.flatMap(({ system, place }) => [system.id, place]),
    )
  const belongs = args.system == null && isShared(type) ? onceEach(context, type, holders, args) : null

  const fill = async (source: Source<T>) => {
    source.rounds++
    const read = await context.reader.list(source.system, type, {
      first: size,
      after: source.end === BEGIN ? undefined : source.end.slice(1),
      filter: args.search ? { search: args.search } : undefined,
    })
    if (!read.ok) {
      source.failure = read.failure
      // Asking again will not help: its place need not be kept.
      if (read.failure.kind === 'unsupported') source.place = END
      return
    }
    const { items, hasMore, end } = read.value
    source.more = hasMore && end !== undefined
    source.end = source.more ? `=${end}` : END
    const found = items.map(({ record, position }) => ({
      node: { system: source.system, record, from: read.from },
      position,
    }))
    const wanted = belongs ? await Promise.all(found.map(({ node }) => belongs(node))) : null
    source.heads = dated(
      type,
      found.filter((_, index) => wanted?.[index] ?? true),
    )
    if (source.heads.length === 0) source.place = source.end
  }
  const fillable = () =>
    sources.filter(
      ({ heads, more, failure, rounds }) => heads.length === 0 && more && !failure && rounds < ROUNDS,
    )

  const items: { cursor: string; node: Located<T> }[] = []
  await Promise.all(fillable().map(fill))
  while (items.length < size) {
    const next = newest(sources)
    if (!next) {
      const again = fillable()
      if (again.length === 0) break
      await Promise.all(again.map(fill))
      continue
    }
    const [head] = next.heads.splice(0, 1)
    if (!head) break
    next.place = next.heads.length === 0 ? next.end : `=${head.position}`
    items.push({ cursor: cursor(), node: head.node })
    // What it has next may be newer than what the others have.
    if (items.length < size && fillable().includes(next)) await fill(next)
  }

  const missing = sources.flatMap(({ system, failure }) => (failure ? [{ system, failure }] : []))
  const [first] = missing
  if (first && sources.every(({ failure, rounds }) => failure || rounds === 0))
    throw failureError(first.system.id, first.failure)
  const hasNextPage = sources.some(({ place }) => place !== END)
  return {
    edges: items,
    nodes: items.map(({ node }) => node),
    pageInfo: {
      hasNextPage,
      hasPreviousPage: args.after != null,
      startCursor: items[0]?.cursor ?? null,
      endCursor: items.length > 0 || hasNextPage ? cursor() : null,
      missing: missing.map(({ system, failure }) => {
        const { message, extensions } = failureError(system.id, failure)
        const { code, retryable, retryAfterMs } = extensions
        return { system: system.id, code, message, retryable: retryable === true, retryAfterMs }
      }),
    },
  }
}

/** @throws CURSOR_INVALID */
function placesIn(list: string, after: string, holders: readonly System[]): Map<string, Place> {
  const parts = decodeCursor(list, after)
  const places = new Map<string, Place>()
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [id, place] = [parts[at] as string, parts[at + 1] as string]
    if (holders.every((system) => system.id !== id)) {
      const message = `System "${id}", which this cursor knows, is gone. Start again without "after".`
      throw graphError('CURSOR_INVALID', message)
    }
    places.set(id, place)
  }
  return places
}

/** The source that has the newest; the first of those that are equal. */
function newest<T extends RecordType>(sources: readonly Source<T>[]): Source<T> | null {
  let best: { source: Source<T>; when: When } | null = null
  for (const source of sources) {
    const when = source.heads[0]?.when
    if (when && (!best || isNewer(when, best.when))) best = { source, when }
  }
  return best?.source ?? null
}

function dated<T extends RecordType>(type: T, found: readonly Omit<Head<T>, 'when'>[]): Head<T>[] {
  const heads: Head<T>[] = []
  for (const one of found.toReversed()) {
    const [own, behind] = [whenOf(type, one.node.record), heads.at(-1)?.when]
    heads.push({ ...one, when: behind && isNewer(behind, own) ? behind : own })
  }
  return heads.reverse()
}

interface When {
  /** A calendar day; empty where nothing tells: such records come last. */
  readonly day: string
  /** Milliseconds since 1970, where the system tells the moment. */
  readonly moment: number | null
}

function whenOf<T extends RecordType>(type: T, record: RecordTypes[T]): When {
  // Not worth reading more of every record than is shown: without the moment, the day will do.
  const told = (field: 'createdAt' | 'updatedAt') => (isLeftOut(record, field) ? null : record[field])
  const written = told('createdAt') ?? told('updatedAt')
  const moment = written == null ? Number.NaN : Date.parse(written)
  return {
    day: dayOf[type]?.(record) ?? written?.slice(0, 10) ?? '',
    moment: Number.isNaN(moment) ? null : moment,
  }
}

const dayOf: { readonly [T in RecordType]?: (record: RecordTypes[T]) => string | null | undefined } = {
  order: ({ orderDate }) => orderDate,
  invoice: ({ issueDate }) => issueDate,
  payment: ({ date }) => date,
  delivery: ({ date }) => date,
}

function isNewer(a: When, b: When): boolean {
  if (a.day !== b.day) return a.day > b.day
  return a.moment !== null && b.moment !== null && a.moment > b.moment
}

const isShared = (type: RecordType): type is IdentityType => type === 'customer' || type === 'product'

/**
 * Whether a record of one system stands for what it is on this list: that which the first of the systems knows.
 * A search may find it in a later system only, so there each that is found is listed, once in a page.
 */
function onceEach<T extends RecordType>(
  context: SubgraphContext,
  type: IdentityType,
  holders: readonly System[],
  { search }: ListArguments,
): (node: Located<T>) => Promise<boolean> {
  const seen = new Set<string>()
  return async ({ system, record }) => {
    const { id, keys } = await context.identities.byKey(type, system.id, record.key)
    if (search) return seen.has(id) ? false : Boolean(seen.add(id))
    const home = holders
      .map((holder) => keys.find((key) => key.system === holder.id))
      .find((key) => key !== undefined)
    return !home || (home.system === system.id && home.key === record.key)
  }
}

/* ---- what belongs to a customer ---- */

/** Those that find their customer's documents, many customers at once. */
type Belonging = 'order' | 'invoice'

interface Wanted {
  readonly key: string
  readonly first: number
}

type Newest = DataLoader<Wanted, Read<readonly Located<Belonging>[]>>
const loaders = new WeakMap<SubgraphContext, Map<string, Newest>>()

/**
 * The newest documents of a customer, over all keys that it has; an error in the place of a system that did not
 * answer. For one customer a page is read; for several that are asked for together, the documents of all of them in as
 * many calls as their keys need.
 */
export async function newestOfCustomer<T extends Belonging>(
  context: SubgraphContext,
  type: T,
  places: readonly { readonly system: System; readonly key: string }[],
  first: number,
): Promise<(Located<T> | Error)[]> {
  const answers = await Promise.all(
    places.map(async ({ system, key }) => {
      const read = await newestLoader(context, type, system).load({ key, first })
      const outcome: Outcome<readonly Located<T>[]> = read.ok ? ok(read.value as readonly Located<T>[]) : read
      return { system, outcome }
    }),
  )
  const all = gathered(answers)
  const found = all.filter((one): one is Located<T> => !(one instanceof Error))
  return [...newestFirst(type, found).slice(0, first), ...all.filter((one) => one instanceof Error)]
}

function newestLoader<T extends Belonging>(context: SubgraphContext, type: T, system: System): Newest {
  const ofRequest = loaders.get(context) ?? new Map<string, Newest>()
  loaders.set(context, ofRequest)
  const id = `${type} ${system.id}`
  const known = ofRequest.get(id)
  if (known) return known
  const canLookUp = portOf(system, type)?.lookups?.byCustomer !== undefined
  const page = async ({ key, first }: Wanted) => {
    const read = await context.reader.list(system, type, { first, filter: { customer: key } })
    // It has no list, or none by customer: what a configured system has is as configured.
    if (!read.ok && read.failure.kind === 'unsupported' && canLookUp) return lookup({ key, first })
    if (!read.ok) return read
    const records = read.value.items.map(({ record }) => record)
    return { ...read, value: locatedFrom<T>(system, read.from, records) }
  }
  const lookup = async ({ key, first }: Wanted) => {
    const read = await context.reader.lookup(system, type, 'byCustomer', key)
    if (!read.ok) return read
    return {
      ...read,
      value: newestFirst(type, locatedFrom<T>(system, read.from, read.value)).slice(0, first),
    }
  }
  // What was read is remembered elsewhere; here it only comes together.
  const loader: Newest = new DataLoader(
    (wanted) => {
      const several = new Set(wanted.map(({ key }) => key)).size > 1
      return Promise.all(wanted.map(several && canLookUp ? lookup : page))
    },
    { cache: false },
  )
  ofRequest.set(id, loader)
  return loader
}

function newestFirst<T extends RecordType>(type: T, found: readonly Located<T>[]): Located<T>[] {
  const dated = found.map((node) => ({ node, when: whenOf(type, node.record) }))
  const order = (a: When, b: When) => Number(isNewer(b, a)) - Number(isNewer(a, b))
  return dated.sort((a, b) => order(a.when, b.when)).map(({ node }) => node)
}
