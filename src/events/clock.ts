/**
 * Events that no system sends: invoices that nobody paid in time, systems that stopped answering; and the log's own
 * housekeeping. One process of a store does each at a time.
 */
import type { Log } from '../observe/log.ts'
import { type Store, takeLease } from '../store/store.ts'
import type { RecordType, RecordTypes } from '../systems/records.ts'
import type { System, Systems } from '../systems/registry.ts'
import { dropDeadline } from './append.ts'
import { affectedBy } from './dependents.ts'
import { factsOf } from './diff.ts'
import type { SystemHealth } from './health.ts'
import type { EventLog, Note } from './log.ts'

export interface Clock {
  start(): void
  /** Does everything once, as of `now`; for tests and for those who cannot wait. */
  tick(now?: Date): Promise<void>
  close(): Promise<void>
}

export interface ClockOptions {
  readonly store: Store
  readonly systems: Systems
  readonly log: EventLog
  readonly owner: string
  readonly logger: Log
  readonly health: (system: System) => SystemHealth
  /** IANA name: whose days these are. */
  readonly timeZone: string
  readonly keep: { readonly ageMs: number; readonly maxBytes: number }
}

const LOOK_MS = 1_000
const HOUSEKEEPING_MS = 60_000
const LEASE_MS = 15_000
const DUE = 200
/** A sender that repeats a webhook later than this has its change compared again, and finds it known. */
const REMEMBER_RECEIVED_MS = 24 * 60 * 60_000

export function createClock(options: ClockOptions): Clock {
  const { store, systems, log, owner, logger } = options
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  let closed = false
  let kept = 0

  const watchHealth = async () => {
    const changed: { system: System; state: SystemHealth }[] = []
    const known = await store.read
      .selectFrom('snapshot')
      .select(['system', 'state'])
      .where('record', '=', 'system')
      .execute()
    const before = new Map(known.map(({ system, state }) => [system, state]))
    for (const system of systems.all()) {
      const state = options.health(system)
      if (state !== (before.get(system.id) ?? 'REACHABLE')) changed.push({ system, state })
    }
    if (changed.length === 0) return
    await store.transact(async (tx) => {
      for (const { system, state } of changed) {
        await log.note(tx, [
          healthNote(system, (before.get(system.id) as SystemHealth) ?? 'REACHABLE', state),
        ])
        await tx
          .insertInto('snapshot')
          .values({ system: system.id, record: 'system', key: system.id, state })
          .onConflict((conflict) => conflict.columns(['system', 'record', 'key']).doUpdateSet({ state }))
          .execute()
      }
    })
    await log.announce()
  }

  const tellOverdue = async (now: Date) => {
    const today = dayIn(options.timeZone, now)
    for (;;) {
      const told = await store.transact(async (tx) => {
        const due = await tx
          .selectFrom('deadline')
          .innerJoin('snapshot', (join) =>
            join
              .onRef('snapshot.system', '=', 'deadline.system')
              .onRef('snapshot.record', '=', 'deadline.record')
              .onRef('snapshot.key', '=', 'deadline.key'),
          )
          .select(['deadline.system', 'deadline.record', 'deadline.key', 'deadline.day', 'snapshot.state'])
          .where('deadline.day', '<', today)
          .orderBy('deadline.day')
          .limit(DUE)
          .execute()
        await log.note(
          tx,
          due.map(({ system, key, day, state }) => overdueNote(system, key, day, JSON.parse(state), now)),
        )
        for (const { system, record, key } of due) await dropDeadline(tx, system, record as RecordType, key)
        return due.length
      })
      if (told > 0) await log.announce()
      if (told < DUE) return
    }
  }

  const keepHouse = async (now: Date) => {
    await log.prune(options.keep)
    const old = new Date(now.getTime() - options.keep.ageMs).toISOString()
    await store.transact(async (tx) => {
      await tx
        .deleteFrom('received')
        .where('at', '<', now.getTime() - REMEMBER_RECEIVED_MS)
        .execute()
      const over = tx
        .selectFrom('delivery')
        .select('id')
        .where('state', '!=', 'waiting')
        .where('created_at', '<', old)
      await tx.deleteFrom('delivery_attempt').where('delivery', 'in', over).execute()
      await tx.deleteFrom('delivery').where('state', '!=', 'waiting').where('created_at', '<', old).execute()
    })
  }

  const tick = async (now = new Date()) => {
    if (!(await takeLease(store, 'clock', owner, LEASE_MS))) return
    await watchHealth()
    if (now.getTime() - kept < HOUSEKEEPING_MS) return
    kept = now.getTime()
    await tellOverdue(now)
    await keepHouse(now)
  }

  const round = () => {
    running = tick()
      .catch((error: unknown) => {
        if (!closed) logger.error({ err: error }, 'the clock stumbled')
      })
      .then(() => {
        if (!closed) timer = setTimeout(round, LOOK_MS)
      })
  }

  return {
    start: round,
    async tick(now = new Date()) {
      kept = 0
      await tick(now)
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await running
      clearTimeout(timer)
    },
  }
}

const EVENTS: Readonly<Record<SystemHealth, string>> = {
  REACHABLE: 'system.recovered',
  UNREACHABLE: 'system.unreachable',
  MAINTENANCE: 'system.maintenance',
}

const healthNote = ({ id }: System, before: SystemHealth, after: SystemHealth): Note => ({
  source: `/systems/${id}`,
  type: EVENTS[after],
  system: id,
  record: 'system',
  key: id,
  data: { changes: [], facts: { state: after }, before: { state: before }, affects: [] },
})

function overdueNote(
  system: string,
  key: string,
  day: string,
  invoice: RecordTypes['invoice'],
  now: Date,
): Note {
  const facts = factsOf('invoice', invoice)
  return {
    id: `overdue/${key}/${day}`,
    source: `/systems/${system}`,
    type: 'invoice.overdue',
    system,
    record: 'invoice',
    key,
    time: now.toISOString(),
    data: { changes: [], facts, before: facts, affects: affectedBy('invoice', [invoice]) },
  }
}

/** The calendar day there: `2026-11-21`. */
function dayIn(timeZone: string, now: Date): string {
  return new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' }).format(now)
}
