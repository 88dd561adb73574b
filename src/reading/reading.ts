/**
 * The read path of one process: what is cached, what is being fetched for whom, and what of it an event has made
 * old. `reader.ts` is its face towards one request.
 */
import { gatewayCaller } from '../caller/caller.ts'
import type { RecordEvent } from '../events/event.ts'
import type { Appended } from '../events/log.ts'
import type { Log } from '../observe/log.ts'
import { inCallScope } from '../systems/call-scope.ts'
import { type Outcome, ok, type SourceFailure } from '../systems/failure.ts'
import type { CallContext, ListPage, ListQuery, LookupName } from '../systems/port.ts'
import type { Key, RecordType, RecordTypes } from '../systems/records.ts'
import { portOf, type System, type Systems } from '../systems/registry.ts'
import { Batcher } from './batcher.ts'
import { type CacheState, type Entry, ReadCache } from './cache.ts'
import { type CallCounter, createDayCalls } from './day-calls.ts'
import { Fence, type Mark, type Tag } from './fence.ts'
import { createGuard, type Guard, type GuardState } from './guard.ts'
import { common, isEnough, type Lacks, leftOut, type Wants, WHOLE, without } from './parts.ts'
import { type Freshness, freshnessOf, type ReadingSettings } from './settings.ts'
import { type Change, listTag, lookupTag, recordTag, systemTag, tagsOf } from './tags.ts'

/** Where a value comes from. */
export interface Provenance {
  readonly system: string
  /** Milliseconds since 1970: when the fetch began that brought it. */
  readonly fetchedAt: number
  /** The system could not be asked when it was due: this is what it said last. */
  readonly stale: boolean
  /** Milliseconds since 1970 until which the configuration lets it be served unasked. */
  readonly freshUntil: number
}

export type Read<T> =
  | { readonly ok: true; readonly value: T; readonly from: Provenance; readonly call: object | null }
  | Failed

export interface Failed {
  readonly ok: false
  readonly failure: SourceFailure
  readonly call: object | null
}

/** Enough to find a call by. */
const KEYS_TOLD = 10

/** What one asker accepts. */
export interface Demand {
  readonly credentialScope: string
  /** Milliseconds since 1970: a fetch that began by then will do only where there is no other. */
  readonly since: number
  readonly signal?: AbortSignal | undefined
  /** What it is going to show. Not given: everything. */
  readonly wants?: Wants | undefined
}

export interface Reading {
  record<T extends RecordType>(
    system: System,
    type: T,
    key: Key,
    demand: Demand,
  ): Promise<Read<RecordTypes[T] | null>>
  /** @returns null where the system has no such lookup. */
  lookup<T extends RecordType>(
    system: System,
    type: T,
    by: LookupName,
    key: Key,
    demand: Demand,
  ): Promise<Read<readonly RecordTypes[T][]>> | null
  /** @returns null where the system does not list such records. */
  list<T extends RecordType>(
    system: System,
    type: T,
    query: ListQuery,
    demand: Demand,
  ): Promise<Read<ListPage<T>>> | null
  /**
   * Demotes what these changes touched, at once and in every credential scope: from here on no earlier fetch is
   * accepted for it.
   */
  invalidate(changes: readonly Change[]): void
  /** Events of the log, in its order. */
  apply(events: readonly RecordEvent[]): void
  /**
   * For those who read past the cache, as feeds and the write worker do, under the gateway's own credentials: to be
   * called before they read. What it answers is told which events came of it; the state that an event tells of is
   * then known without asking again.
   */
  observe(): (appended: readonly Appended[]) => void
  guardOf(system: System): Guard
  state(system: System): SystemReadState
  close(): Promise<void>
}

export interface SystemReadState extends GuardState {
  readonly cache: CacheState
}

export interface ReadingOptions {
  readonly systems: Systems
  readonly settings: (systemId: string) => ReadingSettings
  /** Of all cached values together. */
  readonly maxBytes: number
  /** Where the calls of a day are counted; not given: in this process. */
  readonly callCounter?: (systemId: string, perDay: number) => CallCounter
  readonly logger: Log
}

/** One way of asking one system: its batcher, and what is known of the answers. */
interface Question<V> {
  readonly id: string
  readonly system: System
  readonly batcher: Batcher<V>
  readonly freshness: Freshness
  ttlOf(value: V): number
  tagsOf(key: Key, value: V): readonly Tag[]
}

/** As long as a slow call; a system that hangs must not hold up the next batch. */
const HOLD_MS = 250

interface Seen extends Appended {
  readonly began: Mark
}

/** After so many answers that were old before they came, the last one is given: the record changes all the time. */
const MAX_ASKS = 3

export function createReading(options: ReadingOptions): Reading {
  const fence = new Fence()
  const cache = new ReadCache(options.maxBytes)
  const guards = new Map<string, Guard>()
  const questions = new Map<string, Question<unknown>>()
  /** Read by a feed or a write, by the position of the event that tells of it. */
  const expected = new Map<number, Seen>()
  let applied = 0
  const mark = (): Mark => ({ position: fence.position, at: Date.now() })

  const guardOf = (system: System): Guard => {
    const known = guards.get(system.id)
    if (known) return known
    const settings = options.settings(system.id)
    const { concurrency } = settings.limits
    const { adapter } = system
    const { perDay } = settings.limits
    const dayCalls =
      perDay !== undefined && options.callCounter
        ? createDayCalls(options.callCounter(system.id, perDay), perDay)
        : undefined
    const most = Math.min(concurrency, adapter.readsAtOnce ?? adapter.concurrency ?? concurrency)
    const guard = createGuard({
      ...settings,
      // Where calls wait for a session, their batches still grow.
      limits: { ...settings.limits, concurrency: most },
      systemId: system.id,
      logger: options.logger,
      dayCalls,
      probe: (signal) => system.adapter.health({ caller: gatewayCaller, signal }),
    })
    guards.set(system.id, guard)
    return guard
  }

  /** What is shared among callers is asked by nobody in particular, under the credentials that they share. */
  const contextOf = (credentialScope: string, signal: AbortSignal, lacks: Lacks): CallContext => ({
    caller: { ...gatewayCaller, credentialScope },
    signal,
    ...(lacks.length > 0 ? { without: new Set(lacks) } : {}),
  })

  const questionOf = <V>(
    system: System,
    type: RecordType,
    name: string,
    scope: string,
    make: (freshness: Freshness) => {
      readonly limit: number
      ttlOf: Question<V>['ttlOf']
      /** Known before the answer is. */
      keyTags(key: Key): readonly Tag[]
      valueTags(value: V): readonly Tag[]
      read(keys: readonly Key[], context: CallContext, lacks: Lacks): Promise<readonly Outcome<V>[]>
      fetched?(value: V, mark: Mark, lacks: Lacks): void
    },
  ): Question<V> => {
    const id = questionId(system.id, type, name, scope)
    const known = questions.get(id)
    if (known) return known as Question<V>
    const settings = options.settings(system.id)
    const freshness = freshnessOf(settings, type)
    const { limit, ttlOf, keyTags, valueTags, read, fetched } = make(freshness)
    const tagsOf = (key: Key, value: V) => [...keyTags(key), ...valueTags(value)]
    const about = {
      system: system.id,
      operation: name === 'record' ? `read ${type}` : `read ${type} ${name}`,
    }
    const question: Question<V> = {
      id,
      system,
      freshness,
      ttlOf,
      tagsOf,
      batcher: new Batcher<V>({
        limit,
        windowMs: settings.batchWindow,
        holdMs: settings.limits.perSecond || settings.limits.perDay ? HOLD_MS : 0,
        guard: guardOf(system),
        mark,
        overtaken: (key, { position }) => fence.overtaken(keyTags(key), position),
        read: (keys, signal, lacks) =>
          inCallScope({ about: { ...about, key: keys.slice(0, KEYS_TOLD).join(' ') } }, () =>
            read(keys, contextOf(scope, signal, lacks), lacks),
          ),
        fetched(key, value, began, lacks) {
          fetched?.(value, began, lacks)
          put(question, key, value, began, lacks)
        },
      }),
    }
    questions.set(id, question as Question<unknown>)
    return question
  }

  /** Refuses what an event has overtaken while it was fetched. */
  const put = <V>(question: Question<V>, key: Key, value: V, began: Mark, lacks: Lacks) => {
    const tags = question.tagsOf(key, value)
    if (fence.overtaken(tags, began.position)) return
    const id = entryId(question.id, key)
    // A list of heads must not push out records that are known whole and still hold.
    const known = lacks.length > 0 && cache.peek(id)
    if (known && !isEnough(lacks, known.lacks) && holds(question, known)) return
    cache.put(id, { system: question.system.id, value, mark: began, tags, lacks })
  }

  const holds = <V>(question: Question<V>, { mark: began, tags, value }: Entry): boolean =>
    !fence.overtaken(tags, began.position) && Date.now() - began.at <= question.ttlOf(value as V)

  /** @param mayLack What the asker can do without. */
  const ask = async <V>(
    question: Question<V>,
    key: Key,
    demand: Demand,
    mayLack: Lacks,
  ): Promise<Read<V>> => {
    const { system, batcher } = question
    const guard = guardOf(system)
    const entry = cache.get(entryId(question.id, key))
    const known = entry && isEnough(entry.lacks, mayLack) && judge(question, entry, demand, guard)
    // What is known of it goes on being read: it is wanted by others, and the last known value when nothing answers.
    const toLack = entry ? common(mayLack, entry.lacks) : mayLack
    if (known) {
      cache.count(system.id, true)
      // Nobody waits for it; a failure shows when it is due.
      if (known.refresh) batcher.ask(key, 0, undefined, toLack).catch(() => {})
      return {
        ok: true,
        value: entry.value as V,
        from: provenanceOf(question, entry, known.stale),
        call: null,
      }
    }
    cache.count(system.id, false)
    const asked = fence.position
    for (let asks = 1; ; asks++) {
      const { outcome, mark: began, call } = await batcher.ask(key, demand.since, demand.signal, toLack)
      if (!outcome.ok) return lastKnown(question, key, outcome.failure, call, mayLack)
      // Joined under way: an event before we came may have touched what only the answer shows.
      const joined = began.position < asked
      const tags = joined ? question.tagsOf(key, outcome.value) : []
      if (joined && asks < MAX_ASKS && fence.overtaken(tags, began.position)) continue
      const from: Provenance = {
        system: system.id,
        fetchedAt: began.at,
        stale: false,
        freshUntil: began.at + question.ttlOf(outcome.value),
      }
      return { ok: true, value: outcome.value, from, call }
    }
  }

  /** @returns null where the system has to be asked and can be. */
  const judge = <V>(
    question: Question<V>,
    entry: Entry,
    demand: Demand,
    guard: Guard,
  ): { readonly stale: boolean; readonly refresh: boolean } | null => {
    const age = Date.now() - entry.mark.at
    // Known to be away: what it said last is all there is, and nobody has to wait to be told so.
    if (guard.refusal()) return age <= question.freshness.lastKnown ? { stale: true, refresh: false } : null
    if (entry.mark.at <= demand.since || fence.overtaken(entry.tags, entry.mark.position)) return null
    const ttl = question.ttlOf(entry.value as V)
    if (age > ttl + question.freshness.revalidate) return null
    if (entry.mark.at >= guard.recoveredAt()) return { stale: false, refresh: age > ttl }
    // It was away since, and a change may have gone unheard: read anew. But a system that has just come back must
    // not be brought down by everybody doing so at once.
    return guard.isBusy() ? { stale: true, refresh: true } : null
  }

  const lastKnown = <V>(
    question: Question<V>,
    key: Key,
    failure: SourceFailure,
    call: object | null,
    mayLack: Lacks,
  ): Read<V> => {
    // Refused credentials and unreadable answers are shown: hiding them behind old values would keep them unseen.
    if (failure.kind === 'unavailable' && failure.reason !== 'aborted') {
      const entry = cache.get(entryId(question.id, key))
      const isUseful = entry && isEnough(entry.lacks, mayLack)
      if (isUseful && Date.now() - entry.mark.at <= question.freshness.lastKnown) {
        return { ok: true, value: entry.value as V, from: provenanceOf(question, entry, true), call }
      }
    }
    return { ok: false, failure, call }
  }

  const recordQuestion = <T extends RecordType>(system: System, type: T, scope: string) => {
    const port = portOf(system, type)
    return (
      port &&
      questionOf<RecordTypes[T] | null>(system, type, 'record', scope, (freshness) => ({
        limit: port.batchLimit,
        ttlOf: (value) => (value === null ? freshness.absent : freshness.ttl),
        keyTags: (key) => [recordTag(system.id, type, key), systemTag(system.id)],
        valueTags: () => [],
        async read(keys, context, lacks) {
          const outcomes = await port.readMany(keys, context)
          if (lacks.length === 0) return outcomes
          return outcomes.map((one) =>
            one.ok && one.value ? ok(without(one.value, port.parts, lacks)) : one,
          )
        },
      }))
    )
  }

  /** What came along with a list or a lookup need not be read again. */
  const keepAll = <T extends RecordType>(
    system: System,
    type: T,
    scope: string,
    records: readonly RecordTypes[T][],
    began: Mark,
    lacks: Lacks,
  ) => {
    const question = recordQuestion(system, type, scope)
    if (question) for (const record of records) put(question, record.key, record, began, lacks)
  }

  /** Its own event has just raised the fence: the state that it tells of is as new as that. */
  const keepSeen = ({ system: id, record, value, began }: Seen) => {
    const system = options.systems.get(id)
    const now = { position: fence.position, at: began.at }
    if (system) keepAll(system, record, gatewayCaller.credentialScope, [value], now, WHOLE)
  }

  const mayLackOf = (system: System, type: RecordType, { wants }: Demand): Lacks =>
    leftOut(portOf(system, type)?.parts, type, wants)

  const membersOf = <T extends RecordType>(system: System, type: T, records: readonly RecordTypes[T][]) =>
    records.map((record) => recordTag(system.id, type, record.key))

  return {
    async record(system, type, key, demand) {
      const question = recordQuestion(system, type, demand.credentialScope)
      if (question) return ask(question, key, demand, mayLackOf(system, type, demand))
      return { ok: false, failure: cannot(system, `read ${type} records`), call: null }
    },

    lookup<T extends RecordType>(system: System, type: T, by: LookupName, key: Key, demand: Demand) {
      const port = portOf(system, type)
      const lookup = port?.lookups?.[by]
      if (!lookup) return null
      const scope = demand.credentialScope
      const question = questionOf<readonly RecordTypes[T][]>(system, type, by, scope, (freshness) => ({
        limit: lookup.batchLimit,
        ttlOf: () => freshness.lists,
        keyTags: (of) => [lookupTag(system.id, type, by, of), systemTag(system.id)],
        valueTags: (records) => membersOf(system, type, records),
        async read(keys, context, lacks) {
          const outcomes = await lookup.read(keys, context)
          if (lacks.length === 0) return outcomes
          return outcomes.map((one) =>
            one.ok ? ok(one.value.map((record) => without(record, port.parts, lacks))) : one,
          )
        },
        fetched: (records, began, lacks) => keepAll(system, type, scope, records, began, lacks),
      }))
      return ask(question, key, demand, mayLackOf(system, type, demand))
    },

    list<T extends RecordType>(system: System, type: T, query: ListQuery, demand: Demand) {
      const port = portOf(system, type)
      if (!port?.list) return null
      const list = port.list.bind(port)
      const scope = demand.credentialScope
      const question = questionOf<ListPage<T>>(system, type, 'list', scope, (freshness) => ({
        limit: 1,
        ttlOf: () => freshness.lists,
        keyTags(key) {
          const { filter } = JSON.parse(key) as ListQuery
          const about = filter?.customer
          const scoped = about !== undefined && !filter?.search
          return [
            scoped ? lookupTag(system.id, type, 'byCustomer', about) : listTag(system.id, type),
            systemTag(system.id),
          ]
        },
        valueTags: (page) =>
          membersOf(
            system,
            type,
            page.items.map((item) => item.record),
          ),
        read: (keys, context, lacks) =>
          Promise.all(
            keys.map(async (key) => {
              const page = await list(JSON.parse(key) as ListQuery, context)
              if (!page.ok || lacks.length === 0) return page
              const items = page.value.items.map((item) => ({
                ...item,
                record: without(item.record, port.parts, lacks),
              }))
              return ok({ ...page.value, items })
            }),
          ),
        fetched(page, began, lacks) {
          const records = page.items.map((item) => item.record)
          keepAll(system, type, scope, records, began, lacks)
        },
      }))
      return ask(question, JSON.stringify(query), demand, mayLackOf(system, type, demand))
    },

    invalidate(changes) {
      fence.raise(changes.flatMap(tagsOf))
    },

    apply(events) {
      for (const { position, system, record, key, data } of events) {
        const seen = expected.get(position)
        expected.delete(position)
        // Whatever else happened to the record since it was read: then nobody knows its present state.
        const untouched =
          seen && !fence.overtaken([recordTag(system, record, key), systemTag(system)], seen.began.position)
        fence.raise(tagsOf({ system, record, key, affects: data.affects }))
        if (untouched) keepSeen(seen)
        applied = position
      }
    },

    observe() {
      const began = mark()
      return (appended) => {
        for (const one of appended) if (one.position > applied) expected.set(one.position, { ...one, began })
      }
    },

    guardOf,

    state: (system) => ({ ...guardOf(system).state(), cache: cache.state(system.id) }),

    async close() {
      await Promise.all([...guards.values()].map((guard) => guard.close()))
    },
  }
}

const questionId = (...parts: readonly string[]): string => parts.join('\u0000')
const entryId = (question: string, key: Key): string => `${question}\u0000${key}`

function provenanceOf<V>(question: Question<V>, entry: Entry, stale: boolean): Provenance {
  return {
    system: question.system.id,
    fetchedAt: entry.mark.at,
    stale,
    freshUntil: entry.mark.at + question.ttlOf(entry.value as V),
  }
}

const cannot = (system: System, what: string) =>
  ({ kind: 'unsupported', message: `System "${system.id}" cannot ${what}.` }) as const
