/**
 * The end of the log, for all who follow it in this process: each event is read once and offered to everybody whose
 * subject it is. Who does not keep up holds a bounded number of events here and reads on from the store.
 */
import type { ChangeEvent, Subject } from './event.ts'

export interface EventFilter {
  /** Not given: events of every subject. */
  readonly record?: Subject
  /** Looks at nothing but the event: it is asked before anything is fetched. */
  readonly matches?: (event: ChangeEvent) => boolean
}

/** Events that may wait for one follower. */
const BUFFER = 1_000

export class Tail {
  readonly #bySubject = new Map<Subject | undefined, Set<Follower>>()

  /** @param events In order. */
  offer(events: readonly ChangeEvent[]): void {
    const everything = this.#bySubject.get(undefined)
    for (const event of events) {
      for (const follower of this.#bySubject.get(event.record) ?? []) follower.offer(event)
      for (const follower of everything ?? []) follower.offer(event)
    }
  }

  join(filter: EventFilter): Follower {
    const follower = new Follower(filter)
    const others = this.#bySubject.get(filter.record)
    if (others) others.add(follower)
    else this.#bySubject.set(filter.record, new Set([follower]))
    return follower
  }

  leave(follower: Follower): void {
    const { record } = follower.filter
    const others = this.#bySubject.get(record)
    others?.delete(follower)
    if (others?.size === 0) this.#bySubject.delete(record)
  }

  get followers(): number {
    return [...this.#bySubject.values()].reduce((sum, { size }) => sum + size, 0)
  }
}

export class Follower {
  readonly filter: EventFilter
  #waiting: ChangeEvent[] = []
  #behind = false
  #wake: (() => void) | undefined

  constructor(filter: EventFilter) {
    this.filter = filter
  }

  offer(event: ChangeEvent): void {
    if (this.#behind || (this.filter.matches && !this.filter.matches(event))) return
    if (this.#waiting.length < BUFFER) this.#waiting.push(event)
    else this.#behind = true
    this.#wake?.()
  }

  /** @returns What waits, in order; null where the follower has fallen behind, or the signal has ended it. */
  async take(signal: AbortSignal): Promise<readonly ChangeEvent[] | null> {
    while (this.#waiting.length === 0 && !this.#behind && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#wake = undefined
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#wake = wake
        signal.addEventListener('abort', wake)
      })
    }
    if (signal.aborted || this.#waiting.length === 0) return null
    return this.#waiting.splice(0)
  }
}
