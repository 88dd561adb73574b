/**
 * The read path, as a request sees it: ask for one record, get one record, and the calls to the systems are as
 * few as the keys allow. Batching across requests, caching and protection take their place between `load` and
 * `readMany`, behind this face.
 */
import DataLoader from 'dataloader'
import { scopeKey } from '../caller/caller.ts'
import { fail, type Outcome } from '../systems/failure.ts'
import type { CallContext, ListPage, ListQuery, LookupName } from '../systems/port.ts'
import type { Key, RecordType, RecordTypes } from '../systems/records.ts'
import { portOf, type System } from '../systems/registry.ts'

export interface RecordReader {
  /** One record; null where the system has no such record. */
  load<T extends RecordType>(system: System, type: T, key: Key): Promise<Outcome<RecordTypes[T] | null>>
  /** Records that belong to another record's key, or carry a number. */
  lookup<T extends RecordType>(
    system: System,
    type: T,
    by: LookupName,
    key: Key,
  ): Promise<Outcome<readonly RecordTypes[T][]>>
  list<T extends RecordType>(system: System, type: T, query: ListQuery): Promise<Outcome<ListPage<T>>>
  /** Forgets what was read: the next question goes to the systems again. */
  renew(): void
}

/** For one request of one caller; never shared between callers. */
export function createRecordReader(context: CallContext): RecordReader {
  const loaders = new Map<string, DataLoader<Key, Outcome<unknown>>>()
  const scope = scopeKey(context.caller)

  const loaderOf = <V>(
    name: string,
    limit: number,
    read: (keys: readonly Key[]) => Promise<readonly Outcome<V>[]>,
  ): DataLoader<Key, Outcome<V>> => {
    const id = `${scope} ${name}`
    let loader = loaders.get(id)
    if (!loader) {
      loader = new DataLoader<Key, Outcome<unknown>>((keys) => read(keys), { maxBatchSize: limit })
      loaders.set(id, loader)
    }
    return loader as DataLoader<Key, Outcome<V>>
  }

  const recordLoader = <T extends RecordType>(system: System, type: T) => {
    const port = portOf(system, type)
    return (
      port &&
      loaderOf<RecordTypes[T] | null>(`${system.id} ${type}`, port.batchLimit, (keys) =>
        port.readMany(keys, context),
      )
    )
  }

  /** What came along with a list or a lookup need not be read again in this request. */
  const prime = <T extends RecordType>(system: System, type: T, records: readonly RecordTypes[T][]) => {
    const loader = recordLoader(system, type)
    for (const record of records) loader?.prime(record.key, { ok: true, value: record })
  }

  return {
    async load(system, type, key) {
      const loader = recordLoader(system, type)
      return loader ? loader.load(key) : unsupported(system, `read ${type} records`)
    },

    async lookup(system, type, by, key) {
      const lookup = portOf(system, type)?.lookups?.[by]
      if (!lookup) return unsupported(system, `find ${type} records ${by}`)
      const loader = loaderOf(`${system.id} ${type} ${by}`, lookup.batchLimit, (keys) =>
        lookup.read(keys, context),
      )
      const found = await loader.load(key)
      if (found.ok) prime(system, type, found.value)
      return found
    },

    async list(system, type, query) {
      const port = portOf(system, type)
      if (!port?.list) return unsupported(system, `list ${type} records`)
      const page = await port.list(query, context)
      if (page.ok) {
        prime(
          system,
          type,
          page.value.items.map((item) => item.record),
        )
      }
      return page
    },

    renew() {
      loaders.clear()
    },
  }
}

function unsupported(system: System, what: string): Outcome<never> {
  return fail({ kind: 'unsupported', message: `System "${system.id}" cannot ${what}.` })
}
