/**
 * So many calls in any second and in any minute, whatever they are for. Vendors that count calls block who makes too
 * many of them; one question may cost several calls, so they are counted where they leave.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { SourceError } from '../failure.ts'

export interface PaceOptions {
  readonly perSecond: number
  readonly perMinute: number
  /** A call that would have to wait longer is refused, with the time when it may be tried again. */
  readonly maxWaitMs: number
}

/** Vendors count arrivals, we count departures. */
const JITTER_MS = 20

/** @returns Waits for the call's turn; @throws SourceError `unavailable` when it would not come in time. */
export function createPace(
  { perSecond, perMinute, maxWaitMs }: PaceOptions,
  now: () => number = Date.now,
): (signal: AbortSignal | undefined) => Promise<void> {
  /** Departures of the last minute, oldest first, those still to come included. */
  let departures: number[] = []
  const freeAt = (count: number, windowMs: number): number => {
    const oldest = departures.at(-count)
    return oldest === undefined ? 0 : oldest + windowMs + JITTER_MS
  }

  return async (signal) => {
    const start = now()
    departures = departures.filter((at) => at > start - 60_000 - JITTER_MS)
    const departure = Math.max(
      start,
      departures.at(-1) ?? 0,
      freeAt(perSecond, 1_000),
      freeAt(perMinute, 60_000),
    )
    const waitMs = departure - start
    if (waitMs > maxWaitMs) {
      const detail = `the next call may leave in ${waitMs} ms (${perSecond} a second, ${perMinute} a minute)`
      throw new SourceError({ kind: 'unavailable', reason: 'rate-limited', detail, retryAfterMs: waitMs })
    }
    departures.push(departure)
    if (waitMs === 0) return
    try {
      await delay(waitMs, undefined, signal ? { signal } : {})
    } catch {
      const detail = 'nobody waits for the answer any more'
      throw new SourceError({ kind: 'unavailable', reason: 'aborted', detail })
    }
  }
}
