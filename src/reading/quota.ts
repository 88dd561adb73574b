/** How often a system may be called: in any second, and not at all while it asked for a rest. For days see `day-calls.ts`. */
import type { SourceFailure } from '../systems/failure.ts'
import { DAY_MS } from './day-calls.ts'

export interface QuotaOptions {
  readonly perSecond?: number | undefined
  /** A call that would have to wait longer is refused, with the time when it may be tried again. */
  readonly maxWaitMs: number
}

/** Vendors count arrivals, we count departures: a little longer than a second keeps jitter from making one too many. */
const WINDOW_MS = 1_020

export class Quota {
  readonly #options: QuotaOptions
  readonly #now: () => number
  /** Departures of the last second, oldest first; those still to come included. */
  #departures: number[] = []
  #restUntil = 0
  #day = 0
  #callsToday = 0

  constructor(options: QuotaOptions, now: () => number = Date.now) {
    this.#options = options
    this.#now = now
  }

  /** Of this process. */
  get callsToday(): number {
    this.#turnDay()
    return this.#callsToday
  }

  /** The system asked for it (Retry-After, or a limit of its own that we do not know). */
  rest(forMs: number): void {
    this.#restUntil = Math.max(this.#restUntil, this.#now() + forMs)
  }

  /**
   * Takes a place; calls leave in the order of asking.
   * @returns Milliseconds to wait before calling, or why it may not be called.
   */
  reserve(): { readonly waitMs: number } | { readonly refused: SourceFailure } {
    const now = this.#now()
    this.#turnDay()
    const { perSecond, maxWaitMs } = this.#options
    const departure = Math.max(now, this.#restUntil, perSecond === undefined ? 0 : this.#next(now, perSecond))
    const waitMs = departure - now
    if (waitMs > maxWaitMs) return { refused: refusal(`the next call may leave in ${waitMs} ms`, waitMs) }
    if (perSecond !== undefined) this.#departures.push(departure)
    this.#callsToday++
    return { waitMs }
  }

  /** Still to wait, for one who has waited: the system may have asked for a rest in between. */
  restMs(): number {
    return Math.max(0, this.#restUntil - this.#now())
  }

  #next(now: number, perSecond: number): number {
    this.#departures = this.#departures.filter((at) => at > now - WINDOW_MS)
    const recent = this.#departures
    const last = recent.at(-1) ?? 0
    // Once a quarter of the second's calls is used, the others leave evenly: what comes in between travels together
    // instead of finding everything used up.
    const paced = recent.length * 4 >= perSecond ? last + WINDOW_MS / perSecond : last
    const oldest = recent.at(-perSecond)
    return Math.max(paced, oldest === undefined ? 0 : oldest + WINDOW_MS)
  }

  #turnDay(): void {
    const day = Math.floor(this.#now() / DAY_MS)
    if (day === this.#day) return
    this.#day = day
    this.#callsToday = 0
  }
}

export const refusal = (detail: string, retryAfterMs: number): SourceFailure => ({
  kind: 'unavailable',
  reason: 'rate-limited',
  detail,
  retryAfterMs: Math.ceil(retryAfterMs),
})
