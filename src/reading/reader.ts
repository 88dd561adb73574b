/**
 * The read path, as a request sees it: ask for one record, get one record, and the calls to the systems are as
 * few as the keys of all requests allow. Inside one request a record reads the same everywhere.
 */
import DataLoader from 'dataloader'
import type { CallContext, ListPage, ListQuery, LookupName } from '../systems/port.ts'
import type { Key, RecordType, RecordTypes } from '../systems/records.ts'
import type { System } from '../systems/registry.ts'
import type { CallWatch } from './call-watch.ts'
import type { Wants } from './parts.ts'
import type { Demand, Failed, Provenance, Read, Reading } from './reading.ts'
import { maySee } from './visibility.ts'

export interface RecordReader {
  /** One record; null where the system has no such record, or not for this caller. */
  load<T extends RecordType>(system: System, type: T, key: Key): Promise<Read<RecordTypes[T] | null>>
  /** Records that belong to another record's key, or carry a number. */
  lookup<T extends RecordType>(
    system: System,
    type: T,
    by: LookupName,
    key: Key,
  ): Promise<Read<readonly RecordTypes[T][]>>
  list<T extends RecordType>(system: System, type: T, query: ListQuery): Promise<Read<SeenPage<T>>>
  /** What the answer was made of. */
  sources(): SourcesReport
  /** What another process has read for this request. A record that both have read counts twice. */
  readElsewhere(report: SourcesReport): void
  /** Forgets what was read: the next question is answered anew. */
  renew(): void
  /** What the request is going to show, said before anything is read: records may be read without the rest. */
  want(wants: Wants): void
}

/** What of a page this caller may see. */
export interface SeenPage<T extends RecordType> extends ListPage<T> {
  /** Position of the last item, seen or not: where to go on. Undefined for an empty page. */
  readonly end: string | undefined
}

export interface RequestContext extends CallContext {
  /** Values older than this will do only where there are no others. */
  readonly maxAgeMs?: number | undefined
}

export interface SourcesReport {
  readonly sources: readonly Source[]
  /** Milliseconds since 1970 until which every value may be served unasked; null where nothing was read. */
  readonly freshUntil: number | null
  /** Whether every value is as new as the caller demanded; null where nothing was demanded. */
  readonly demandMet: boolean | null
}

export interface Source {
  readonly system: string
  readonly record: RecordType
  /** Distinct records. */
  readonly count: number
  /** RFC 3339; of the oldest. */
  readonly fetchedAt: string
  /** At least one is what the system said last, before it stopped answering. */
  readonly stale: boolean
}

interface Tally {
  readonly system: string
  readonly record: RecordType
  readonly keys: Set<Key>
  /** Counted by other processes. */
  elsewhere: number
  oldest: number
  stale: boolean
}

/** For one request of one caller; never shared between callers. */
export function createRecordReader(
  reading: Reading,
  context: RequestContext,
  watch?: CallWatch,
): RecordReader {
  const { caller, signal, maxAgeMs } = context
  const loaders = new Map<string, DataLoader<Key, Read<unknown>>>()
  const tallies = new Map<string, Tally>()
  let demand: Demand
  let wants: Wants | undefined
  let freshUntil: number | null = null
  let demandMet: boolean | null = null
  let round = 0

  const begin = () => {
    // Without a demand every age will do.
    const since = maxAgeMs === undefined ? 0 : Date.now() - maxAgeMs
    demand = { credentialScope: caller.credentialScope, since, signal, wants }
    demandMet = maxAgeMs === undefined ? null : true
    freshUntil = null
    round++
    loaders.clear()
    tallies.clear()
  }
  begin()

  const tallyOf = (system: string, record: RecordType, fetchedAt: number, stale: boolean): Tally => {
    const id = `${system} ${record}`
    let tally = tallies.get(id)
    if (!tally) {
      tally = { system, record, keys: new Set(), elsewhere: 0, oldest: fetchedAt, stale }
      tallies.set(id, tally)
    }
    tally.oldest = Math.min(tally.oldest, fetchedAt)
    tally.stale ||= stale
    return tally
  }

  const note = (type: RecordType, keys: readonly Key[], from: Provenance) => {
    const tally = tallyOf(from.system, type, from.fetchedAt, from.stale)
    for (const key of keys) tally.keys.add(key)
    freshUntil = Math.min(freshUntil ?? Number.POSITIVE_INFINITY, from.stale ? 0 : from.freshUntil)
    if (demandMet && (from.stale || from.fetchedAt < demand.since)) demandMet = false
  }

  const loaderOf = <V>(id: string, read: (key: Key) => Promise<Read<V>>): DataLoader<Key, Read<V>> => {
    let loader = loaders.get(id)
    if (!loader) {
      loader = new DataLoader<Key, Read<unknown>>((keys) => Promise.all(keys.map(read)))
      loaders.set(id, loader)
    }
    return loader as DataLoader<Key, Read<V>>
  }

  /** Nothing is noted for a round that is over: its answer was given up by `renew`. */
  const noting = async <V, S>(
    system: System,
    type: RecordType,
    what: string,
    answer: Promise<Read<V>>,
    shown: (value: V) => { readonly value: S; readonly keys: readonly Key[] },
  ): Promise<Read<S>> => {
    const ofRound = round
    const read = await answer
    if (read.call) watch?.(system.id, `${type} ${what}`, read.call)
    if (!read.ok) return read
    const { value, keys } = shown(read.value)
    if (ofRound === round) note(type, keys, read.from)
    return { ...read, value }
  }

  const recordLoader = <T extends RecordType>(system: System, type: T) =>
    loaderOf<RecordTypes[T] | null>(`${system.id} ${type}`, (key) =>
      noting(system, type, 'by key', reading.record(system, type, key, demand), (record) => ({
        value: record && maySee(caller.dataScope, type, record) ? record : null,
        keys: [key],
      })),
    )

  /** What came along with a list or a lookup need not be read again in this request. */
  const prime = <T extends RecordType>(
    system: System,
    type: T,
    records: readonly RecordTypes[T][],
    from: Provenance,
  ) => {
    const loader = recordLoader(system, type)
    for (const record of records) loader.prime(record.key, { ok: true, value: record, from, call: null })
  }

  return {
    load: (system, type, key) => recordLoader(system, type).load(key),

    async lookup<T extends RecordType>(system: System, type: T, by: LookupName, key: Key) {
      const loader = loaderOf<readonly RecordTypes[T][]>(`${system.id} ${type} ${by}`, async (of) => {
        const answer = reading.lookup(system, type, by, of, demand)
        if (!answer) return unsupported(system, `find ${type} records ${by}`)
        return noting(system, type, by, answer, (all) => {
          const value = all.filter((record) => maySee(caller.dataScope, type, record))
          return { value, keys: value.map((record) => record.key) }
        })
      })
      const found = await loader.load(key)
      if (found.ok) prime(system, type, found.value, found.from)
      return found
    },

    async list<T extends RecordType>(system: System, type: T, query: ListQuery) {
      const answer = reading.list(system, type, query, demand)
      if (!answer) return unsupported(system, `list ${type} records`)
      const page = await noting(system, type, 'list', answer, (all) => {
        const items = all.items.filter((item) => maySee(caller.dataScope, type, item.record))
        const value: SeenPage<T> = { ...all, items, end: all.items.at(-1)?.position }
        return { value, keys: items.map((item) => item.record.key) }
      })
      if (page.ok) {
        const records = page.value.items.map((item) => item.record)
        prime(system, type, records, page.from)
      }
      return page
    },

    sources: () => ({
      sources: [...tallies.values()].map(({ system, record, keys, elsewhere, oldest, stale }) => ({
        system,
        record,
        count: keys.size + elsewhere,
        fetchedAt: new Date(oldest).toISOString(),
        stale,
      })),
      freshUntil,
      demandMet,
    }),

    readElsewhere(report) {
      for (const { system, record, count, fetchedAt, stale } of report.sources) {
        tallyOf(system, record, Date.parse(fetchedAt), stale).elsewhere += count
      }
      if (report.freshUntil !== null) {
        freshUntil = Math.min(freshUntil ?? Number.POSITIVE_INFINITY, report.freshUntil)
      }
      if (report.demandMet === false && demandMet) demandMet = false
    },

    renew: begin,

    want(all) {
      wants = all
      begin()
    },
  }
}

function unsupported(system: System, what: string): Failed {
  const message = `System "${system.id}" cannot ${what}.`
  return { ok: false, failure: { kind: 'unsupported', message }, call: null }
}
