/**
 * Why nothing is sent to a system for now: an operator paused it, it is in maintenance, it is down, or it asked for
 * a rest. What waits for it is not touched, so no attempt is burnt and nothing is lost.
 */
import { gatewayCaller } from '../caller/caller.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import { failureText, type SourceFailure } from '../systems/failure.ts'
import type { System } from '../systems/registry.ts'

export interface Hold {
  readonly kind: 'paused' | 'maintenance' | 'down' | 'rest'
  /** For people. */
  readonly reason: string
  /** Milliseconds since 1970, where it is known when it ends or is looked at again. */
  readonly until?: number | undefined
}

export interface Holds {
  /** null where the system may be written to. */
  of(system: System): Hold | null
  /** Reads again which systems are paused. */
  refresh(): Promise<void>
  /** A write did not get through: asks the system how it is, and holds what waits for it where it is not well. */
  suspect(system: System): Promise<'well' | 'held'>
  /** It asked not to be called for so long. */
  rest(system: System, forMs: number): void
  close(): void
}

export interface HoldsOptions {
  readonly store: Store
  /** What readers know of it: in maintenance, or found to be down. */
  readonly away: (system: System) => SourceFailure | null
  /** Something may be sent again. */
  readonly wake: () => void
  readonly logger: Log
}

/** How long a system that is not well is left alone, from the first look to the last. */
const PROBE_FIRST_MS = 1_000
const PROBE_LAST_MS = 30_000
/** Refused credentials lock accounts when they are shown again and again. */
const PROBE_REFUSED_MS = 60_000

export function createHolds({ store, away, wake, logger }: HoldsOptions): Holds {
  let paused: ReadonlyMap<string, string> = new Map()
  const down = new Map<string, Hold>()
  const asking = new Map<string, Promise<'well' | 'held'>>()
  const timers = new Set<NodeJS.Timeout>()
  let closed = false

  const later = (ms: number, work: () => void) => {
    if (closed) return
    const timer = setTimeout(() => {
      timers.delete(timer)
      work()
    }, ms)
    timer.unref()
    timers.add(timer)
  }

  const ask = async (system: System, waitedMs: number): Promise<'well' | 'held'> => {
    const health = await system.adapter.health({ caller: gatewayCaller })
    if (health.ok) {
      if (down.delete(system.id)) logger.info({ system: system.id }, 'can be written to again')
      wake()
      return 'well'
    }
    const { failure } = health
    if (!down.has(system.id))
      logger.warn({ system: system.id }, `writes wait: the system is not well: ${failureText(failure)}`)
    const refused = failure.kind === 'unauthorized'
    const waitMs = refused
      ? PROBE_REFUSED_MS
      : Math.min(Math.max(PROBE_FIRST_MS, waitedMs * 2), PROBE_LAST_MS) * (0.75 + Math.random() / 2)
    const reason = refused
      ? `System "${system.id}" refuses the gateway's credentials.`
      : `System "${system.id}" does not answer.`
    down.set(system.id, { kind: 'down', reason, until: Date.now() + waitMs })
    later(waitMs, () => void suspect(system, waitMs).catch(() => {}))
    return 'held'
  }
  const suspect = (system: System, waitedMs = 0): Promise<'well' | 'held'> => {
    const known = asking.get(system.id)
    if (known) return known
    // Somebody found out already, and looks again at the time that is written down.
    if (waitedMs === 0 && down.get(system.id)?.kind === 'down') return Promise.resolve('held')
    const answer = ask(system, waitedMs).finally(() => asking.delete(system.id))
    asking.set(system.id, answer)
    return answer
  }

  return {
    of(system) {
      const reason = paused.get(system.id)
      if (reason !== undefined) return { kind: 'paused', reason: `Paused by an operator: ${reason}` }
      const failure = away(system)
      if (failure?.kind === 'unavailable') {
        const { retryAfterMs } = failure
        const until = retryAfterMs === undefined ? undefined : Date.now() + retryAfterMs
        return failure.reason === 'maintenance'
          ? { kind: 'maintenance', reason: `System "${system.id}" is in maintenance.`, until }
          : { kind: 'down', reason: `System "${system.id}" does not answer.`, until }
      }
      return down.get(system.id) ?? null
    },

    async refresh() {
      const rows = await store.read.selectFrom('paused_system').select(['system', 'reason']).execute()
      paused = new Map(rows.map((row) => [row.system, row.reason]))
    },

    suspect: (system) => suspect(system),

    rest(system, forMs) {
      if (down.has(system.id)) return
      const reason = `System "${system.id}" asked for a rest.`
      down.set(system.id, { kind: 'rest', reason, until: Date.now() + forMs })
      later(forMs, () => {
        if (down.get(system.id)?.kind === 'rest') down.delete(system.id)
        wake()
      })
    },

    close() {
      closed = true
      for (const timer of timers) clearTimeout(timer)
    },
  }
}
