/**
 * Streams that systems keep of their changes: followed by one process of the store at a time, taken up again where
 * the log stands. They make changes known sooner; what they leave out is found by asking.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { gatewayCaller } from '../caller/caller.ts'
import type { Log } from '../observe/log.ts'
import { failureText } from '../systems/failure.ts'
import type { ChangeStream, Notification, StreamBatch } from '../systems/port.ts'
import type { System } from '../systems/registry.ts'

export interface StreamOptions {
  readonly logger: Log
  /** Whether there is no use in asking now. */
  away(system: System): boolean
  /** Takes or renews the right to ask this system for changes. */
  lease(system: System): Promise<boolean>
  position(feed: string): Promise<string | null>
  /** Into the log, in one transaction with the position. @returns False where a record cannot be read now. */
  take(
    system: System,
    notifications: readonly Notification[],
    position: { readonly feed: string; readonly value: string },
  ): Promise<boolean>
  /** Asks for everything that has changed. @returns Whether all of it could be read. */
  catchUp(system: System): Promise<boolean>
}

export interface Streams {
  start(systems: readonly System[]): void
  close(): Promise<void>
}

/** How often the right to follow is renewed, and looked for where another process has it. */
const RENEW_MS = 5_000
const BACKOFF_MS = { first: 500, most: 60_000 }
/** A stream that lasted so long was well: the next trouble is a new one. */
const WELL_MS = 60_000

export function createStreams(options: StreamOptions): Streams {
  const { logger } = options
  const stop = new AbortController()
  const running = new Set<Promise<void>>()
  const pause = (ms: number) => delay(ms, undefined, { signal: stop.signal }).catch(() => {})

  const keepFollowing = async (system: System, stream: ChangeStream): Promise<void> => {
    const feed = `stream/${system.id}`
    for (let tries = 0; !stop.signal.aborted; ) {
      if (options.away(system) || !(await options.lease(system))) {
        await pause(RENEW_MS)
        continue
      }
      const began = Date.now()
      let taken = 0
      // What there was before is remembered first, so that the first change can say what it changed; and what happened
      // while nobody followed may not all be in the stream.
      await options.catchUp(system)
      const take = async (batch: StreamBatch): Promise<boolean> => {
        if (batch.incomplete && !(await options.catchUp(system))) return false
        if (!(await options.take(system, batch.notifications, { feed, value: batch.position }))) return false
        taken++
        return true
      }
      const held = new AbortController()
      const renewal = setInterval(() => {
        options.lease(system).then(
          (isOurs) => isOurs || held.abort(),
          () => held.abort(),
        )
      }, RENEW_MS)
      const signal = AbortSignal.any([stop.signal, held.signal])
      const outcome = await stream
        .follow(await options.position(feed), take, { caller: gatewayCaller, signal })
        .finally(() => clearInterval(renewal))
      if (stop.signal.aborted) return
      tries = taken > 0 || Date.now() - began > WELL_MS ? 1 : tries + 1
      if (!outcome.ok) {
        const reason = failureText(outcome.failure)
        logger.warn({ system: system.id, tries }, `the stream of changes has ended: ${reason}`)
      }
      await pause(Math.min(BACKOFF_MS.first * 2 ** (tries - 1), BACKOFF_MS.most))
    }
  }

  /** An error is a bug, or a store that is away: neither may end it for good. */
  const keep = async (system: System, stream: ChangeStream): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await keepFollowing(system, stream)
      } catch (error) {
        if (stop.signal.aborted) return
        logger.error({ system: system.id, err: error }, 'following a stream failed')
        await pause(BACKOFF_MS.most)
      }
    }
  }

  return {
    start(systems) {
      for (const system of systems) {
        const { stream } = system.adapter
        if (!stream) continue
        const work = keep(system, stream).finally(() => running.delete(work))
        running.add(work)
      }
    },
    async close() {
      stop.abort()
      await Promise.allSettled([...running])
    },
  }
}
