/** What was read and when, bounded in bytes over all systems; the least recently used goes first. */
import { LRUCache } from 'lru-cache'
import type { Mark, Tag } from './fence.ts'
import type { Lacks } from './parts.ts'

export interface Entry {
  readonly system: string
  /** A record, null for a record that is not there, a list of records, or a page. */
  readonly value: unknown
  readonly mark: Mark
  /** What it depends on. */
  readonly tags: readonly Tag[]
  /** What was left out when it was read. */
  readonly lacks: Lacks
}

export interface CacheState {
  /** Of those who asked, how many had not to wait for the system; null before anybody asked. */
  readonly hitRatio: number | null
  readonly entries: number
  readonly bytes: number
}

interface Held extends Entry {
  readonly bytes: number
}

interface Counts {
  hits: number
  misses: number
  entries: number
  bytes: number
}

export class ReadCache {
  readonly #entries: LRUCache<string, Held>
  readonly #counts = new Map<string, Counts>()

  constructor(maxBytes: number) {
    this.#entries = new LRUCache<string, Held>({
      maxSize: maxBytes,
      // One huge page must not push out everything else.
      maxEntrySize: Math.max(1, Math.floor(maxBytes / 8)),
      sizeCalculation: (held) => held.bytes,
      dispose: (held) => {
        const counts = this.#countsOf(held.system)
        counts.entries--
        counts.bytes -= held.bytes
      },
    })
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id)
  }

  /** Without counting as use. */
  peek(id: string): Entry | undefined {
    return this.#entries.peek(id)
  }

  /** Keeps it unless a later fetch was kept already: answers may come back in another order than they began. */
  put(id: string, entry: Entry): void {
    const known = this.#entries.peek(id)
    if (known && isLater(known.mark, entry.mark)) return
    const bytes = OVERHEAD + 2 * id.length + sizeOf(entry.value) + sizeOf(entry.tags)
    this.#entries.set(id, { ...entry, bytes })
    if (!this.#entries.has(id)) return
    const counts = this.#countsOf(entry.system)
    counts.entries++
    counts.bytes += bytes
  }

  count(system: string, hit: boolean): void {
    const counts = this.#countsOf(system)
    if (hit) counts.hits++
    else counts.misses++
  }

  state(system: string): CacheState {
    const { hits, misses, entries, bytes } = this.#countsOf(system)
    return { hitRatio: hits + misses === 0 ? null : hits / (hits + misses), entries, bytes }
  }

  #countsOf(system: string): Counts {
    let counts = this.#counts.get(system)
    if (!counts) {
      counts = { hits: 0, misses: 0, entries: 0, bytes: 0 }
      this.#counts.set(system, counts)
    }
    return counts
  }
}

const isLater = (one: Mark, other: Mark): boolean =>
  one.position !== other.position ? one.position > other.position : one.at > other.at

/** The entry itself, its place in the cache's lists and map. */
const OVERHEAD = 400

/**
 * About how many bytes a value takes, rather too many than too few: two per character, whatever V8 makes of it,
 * and 24 for each field or item. A walk, because writing JSON only to measure it costs ten times as much.
 */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 24 + 2 * value.length
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 32
  if (Array.isArray(value)) for (const item of value) bytes += 16 + sizeOf(item)
  else for (const name in value) bytes += 24 + sizeOf((value as Record<string, unknown>)[name])
  return bytes
}
