/** What the configuration says about reading one system, and what it says when it says nothing. */
import type { SystemConfig } from '../config/schema.ts'
import type { RecordType } from '../systems/records.ts'

export type ReadingSettings = Pick<
  SystemConfig,
  'limits' | 'breaker' | 'retry' | 'maintenance' | 'batchWindow' | 'cache'
>
export type GuardSettings = Pick<ReadingSettings, 'limits' | 'breaker' | 'retry' | 'maintenance'>

/** Milliseconds. */
export interface Freshness {
  /** So long a value is served without asking, unless an event says that it changed. */
  readonly ttl: number
  /** After that, so long it is served while it is read anew. */
  readonly revalidate: number
  /** The same as `ttl` for lists and lookups: a record that appeared may have made no event. */
  readonly lists: number
  /** So long it is believed that a record is not there. */
  readonly absent: number
  /** So long a value is better than none when the system does not answer. */
  readonly lastKnown: number
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

const ORDINARY: Freshness = {
  ttl: MINUTE,
  revalidate: 0,
  lists: 10 * SECOND,
  absent: 10 * SECOND,
  lastKnown: 24 * HOUR,
}

/** Stock changes without a trace in most systems; what a customer owes changes by the calendar as well. */
const STANDARD: { readonly [T in RecordType]?: Partial<Freshness> } = {
  product: { ttl: 5 * MINUTE, revalidate: MINUTE },
  warehouse: { ttl: HOUR, revalidate: HOUR },
  inventoryLevel: { ttl: 10 * SECOND, lists: 5 * SECOND },
  receivable: { ttl: 30 * SECOND },
}

export function freshnessOf(settings: Pick<ReadingSettings, 'cache'>, type: RecordType): Freshness {
  const given = Object.entries(settings.cache[type] ?? {}).filter(([, value]) => value !== undefined)
  return { ...ORDINARY, ...STANDARD[type], ...Object.fromEntries(given) }
}
