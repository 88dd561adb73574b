/**
 * Brings together what all requests ask in one way: one kind of question, one system, one credential scope. A key
 * that is waiting is asked once; a key that is under way is awaited, unless an invalidation fell in between.
 */
import { fail, type Outcome, type SourceFailure } from '../systems/failure.ts'
import type { Key } from '../systems/records.ts'
import type { Mark } from './fence.ts'
import type { Guard } from './guard.ts'
import { common, isEnough, type Lacks, WHOLE } from './parts.ts'

export interface BatcherOptions<V> {
  /** The most keys of one call. */
  readonly limit: number
  /** How long the first key waits for others. */
  readonly windowMs: number
  /**
   * Where calls are counted: a batch that is not full waits up to so long for the call before it, and takes along
   * what comes meanwhile. 0: it does not wait.
   */
  readonly holdMs: number
  readonly guard: Guard
  /** Here and now. */
  mark(): Mark
  /** Whether what a fetch that began at `mark` will bring for the key is known to be outdated. */
  overtaken(key: Key, mark: Mark): boolean
  /** Asks the system, once. One outcome per key, in their order. `lacks`: what none of those who wait for it need. */
  read(keys: readonly Key[], signal: AbortSignal, lacks: Lacks): Promise<readonly Outcome<V>[]>
  /** Told of every key that was answered, before those who wait for it. */
  fetched(key: Key, value: V, mark: Mark, lacks: Lacks): void
}

export interface Fetched<V> {
  readonly outcome: Outcome<V>
  /** When the fetch began that brought it. */
  readonly mark: Mark
  /** Same object, same call to the system. */
  readonly call: object | null
}

interface Item<V> {
  readonly key: Key
  readonly answer: PromiseWithResolvers<Fetched<V>>
  /** Set when its fetch begins, anew for each attempt. */
  mark: Mark | undefined
  /** What all who wait for it can do without; once it is under way, what its call leaves out. */
  lacks: Lacks
  /** Those who have not left. */
  waiters: number
  /** Nobody left: give up the call if all its keys are so. */
  left: () => void
}

export class Batcher<V> {
  readonly #options: BatcherOptions<V>
  readonly #waiting = new Map<Key, Item<V>>()
  readonly #underWay = new Map<Key, Item<V>>()
  /** Calls asked of the guard whose turn has not come: they take what waits then, so that batches grow meanwhile. */
  #turns = 0
  /** Calls under way. */
  #open = 0
  /** When the first of those who wait came. */
  #since = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: BatcherOptions<V>) {
    this.#options = options
  }

  /**
   * @param since Milliseconds since 1970: a fetch that began earlier will not do.
   * @param mayLack What this asker can do without.
   */
  ask(key: Key, since: number, signal?: AbortSignal, mayLack: Lacks = WHOLE): Promise<Fetched<V>> {
    const waiting = this.#waiting.get(key)
    if (waiting) waiting.lacks = common(waiting.lacks, mayLack)
    const item = waiting ?? this.#joinable(key, since, mayLack) ?? this.#add(key, mayLack)
    item.waiters++
    return signal ? this.#awaitUntil(item, signal) : item.answer.promise
  }

  #joinable(key: Key, since: number, mayLack: Lacks): Item<V> | undefined {
    const item = this.#underWay.get(key)
    // One whom everybody left is being given up.
    if (!item?.mark || item.waiters === 0 || !isEnough(item.lacks, mayLack)) return undefined
    return item.mark.at <= since || this.#options.overtaken(key, item.mark) ? undefined : item
  }

  #add(key: Key, mayLack: Lacks): Item<V> {
    const item: Item<V> = {
      key,
      answer: Promise.withResolvers(),
      mark: undefined,
      lacks: mayLack,
      waiters: 0,
      left: () => {
        this.#waiting.delete(key)
      },
    }
    if (this.#waiting.size === 0) this.#since = performance.now()
    this.#waiting.set(key, item)
    if (this.#waiting.size >= this.#options.limit * (this.#turns + 1)) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), this.#options.windowMs)
    return item
  }

  #awaitUntil(item: Item<V>, signal: AbortSignal): Promise<Fetched<V>> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        item.waiters--
        if (item.waiters === 0) item.left()
        resolve({ outcome: fail(LEFT), mark: NEVER, call: null })
      }
      if (signal.aborted) return leave()
      signal.addEventListener('abort', leave, { once: true })
      const settle = () => signal.removeEventListener('abort', leave)
      item.answer.promise.then(
        (fetched) => {
          settle()
          resolve(fetched)
        },
        (error) => {
          settle()
          reject(error)
        },
      )
    })
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { limit, holdMs } = this.#options
    const hold = this.#since + holdMs - performance.now()
    if (this.#open > 0 && hold > 0 && this.#waiting.size < limit * (this.#turns + 1)) {
      this.#timer = setTimeout(() => this.#flush(), hold)
      return
    }
    const needed = Math.ceil(this.#waiting.size / limit)
    while (this.#turns < needed) void this.#takeTurn()
  }

  async #takeTurn(): Promise<void> {
    const { guard, limit } = this.#options
    this.#turns++
    const abandoned = new AbortController()
    let batch: Item<V>[] | undefined
    let needless = false
    const wanted = () => {
      needless = batch === undefined && this.#waiting.size === 0
      return !needless
    }
    const begin = (): Item<V>[] => {
      this.#turns--
      this.#open++
      const items = [...this.#waiting.values()].slice(0, limit)
      // Calls are what is scarce: one for all, with what any of them needs.
      const lacks = items.map((item) => item.lacks).reduce(common, items[0]?.lacks ?? WHOLE)
      for (const item of items) {
        item.lacks = lacks
        this.#waiting.delete(item.key)
        this.#underWay.set(item.key, item)
        item.left = () => {
          if (items.every((one) => one.waiters === 0)) abandoned.abort()
        }
      }
      this.#since = performance.now()
      return items
    }
    try {
      const outcome = await guard.read(
        async (signal) => {
          batch ??= begin()
          if (batch.length === 0) return { ok: true, value: [] }
          const mark = this.#options.mark()
          for (const item of batch) item.mark = mark
          return wholeOf(
            await this.#options.read(
              batch.map((item) => item.key),
              signal,
              batch[0]?.lacks ?? WHOLE,
            ),
          )
        },
        { signal: abandoned.signal, wanted },
      )
      if (batch) this.#settle(batch, outcome)
      else if (needless) this.#turns--
      else this.#refuse(outcome)
    } catch (error) {
      for (const item of batch ?? this.#withoutTurn()) this.#end(item, () => item.answer.reject(error))
    } finally {
      if (batch) this.#open--
      if (this.#waiting.size > 0) this.#flush()
    }
  }

  #settle(batch: readonly Item<V>[], outcome: Outcome<readonly Outcome<V>[]>): void {
    const call = {}
    batch.forEach((item, index) => {
      const mark = item.mark ?? NEVER
      const own: Outcome<V> = outcome.ok ? (outcome.value[index] ?? fail(MISSING)) : outcome
      if (own.ok) this.#options.fetched(item.key, own.value, mark, item.lacks)
      this.#end(item, () => item.answer.resolve({ outcome: own, mark, call }))
    })
  }

  /** The turn did not come: those who have no other turn to hope for are told. */
  #refuse(outcome: Outcome<unknown>): void {
    if (outcome.ok) return
    for (const item of this.#withoutTurn())
      this.#end(item, () => item.answer.resolve({ outcome, mark: NEVER, call: null }))
  }

  #withoutTurn(): Item<V>[] {
    this.#turns--
    return [...this.#waiting.values()].slice(this.#turns * this.#options.limit)
  }

  #end(item: Item<V>, tell: () => void): void {
    if (this.#waiting.get(item.key) === item) this.#waiting.delete(item.key)
    if (this.#underWay.get(item.key) === item) this.#underWay.delete(item.key)
    tell()
  }
}

const NEVER: Mark = { position: -1, at: 0 }
const LEFT: SourceFailure = { kind: 'unavailable', reason: 'aborted', detail: 'the caller has left' }
const MISSING: SourceFailure = {
  kind: 'invalid-response',
  detail: 'the adapter answered fewer keys than asked',
}

/** Where every key failed because the system did not answer, the call failed: that is what breakers count. */
function wholeOf<V>(outcomes: readonly Outcome<V>[]): Outcome<readonly Outcome<V>[]> {
  const [first] = outcomes
  const down =
    first && !first.ok && outcomes.every((outcome) => !outcome.ok && outcome.failure.kind === 'unavailable')
  return down ? first : { ok: true, value: outcomes }
}
