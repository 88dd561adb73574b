/**
 * The log of change events: in the store, beside the journal, so that nothing is confirmed without its event.
 * Whoever watches keeps a position and reads on from there; a signal says when there is more.
 */
import type { Selectable } from 'kysely'
import type { Caller } from '../caller/caller.ts'
import { type Database, makeSecret, type Store, sharedValue } from '../store/store.ts'
import type { EventTable } from '../store/tables.ts'
import {
  type Appended,
  appendNotes,
  closeLog,
  type Loss,
  type NameOf,
  type Note,
  openLog,
  recordLoss,
  recordSighting,
  type Sighting,
} from './append.ts'
import { type CursorVerdict, createCursors, type Place } from './cursor.ts'
import type { ChangeEvent, EventData, Subject } from './event.ts'
import { type EventFilter, Tail } from './tail.ts'

export type { Appended, Loss, Note, Sighting } from './append.ts'
export type { EventFilter } from './tail.ts'

export interface EventLog {
  /**
   * Compares with the last known state and appends what changed, inside the caller's transaction. A change that
   * another feed reported already is no event.
   * @returns What was appended.
   */
  record(tx: Database, sightings: readonly Sighting[]): Promise<readonly Appended[]>
  /** The same for records that are gone. @returns How many of these were news. */
  lose(tx: Database, losses: readonly Loss[]): Promise<number>
  /** Appends what is no difference of a record. @returns How many of these were news. */
  note(tx: Database, notes: readonly Note[]): Promise<number>
  /**
   * To be called after the transaction is durable: applies to this node what the log has, then wakes those who
   * follow. Answers when everything that was durable at the time of the call is applied.
   */
  announce(): Promise<void>
  /**
   * Called with all events in order, each once, before anybody who follows sees them: what this node remembers of
   * the systems must not be older than what it tells.
   */
  onApply(listener: (events: readonly ChangeEvent[]) => void): void
  /** What is after `after` (default: from now on), in order, until the signal ends it. */
  follow(filter: EventFilter, after: number | undefined, signal: AbortSignal): AsyncGenerator<Told>
  /** Where this node stands: everything up to here has been applied. */
  here(): Place
  cursorOf(place: Place, caller: Caller): string
  placeOf(cursor: string, caller: Caller): CursorVerdict
  /** Forgets what is older than `ageMs` or beyond `maxBytes`, oldest first. @returns How many events. */
  prune(limits: { readonly ageMs: number; readonly maxBytes: number }): Promise<number>
  state(): Promise<LogState>
  close(): void
}

export type Told =
  | { readonly kind: 'event'; readonly event: ChangeEvent }
  /** What was between the position asked for and this place is not in the log any more. */
  | { readonly kind: 'gap'; readonly place: Place }

export interface LogState {
  readonly head: number
  readonly floor: number
  readonly bytes: number
  /** Of this node: applied, and who follows. */
  readonly applied: number
  readonly followers: number
}

const PAGE = 200
/** Events kept in memory for those who were away for a moment: many at once, after a network was. */
const RECENT = 2_000
/** Other processes of the same store append too; without a signal from them we look this often. */
const LOOK_EVERY_MS = 500
/** Taken out in one transaction. */
const PRUNE = 500

/** @param nameOf Not given: events are called after the record type. */
export async function openEventLog(
  store: Store,
  nameOf: NameOf = (_system, record) => record,
): Promise<EventLog> {
  const secret = await sharedValue(store, 'cursor-secret', makeSecret)
  const epoch = await sharedValue(store, 'log-epoch', () => makeSecret().slice(0, 8))
  const cursors = createCursors(epoch, secret)
  const tail = new Tail()
  const listeners = new Set<(events: readonly ChangeEvent[]) => void>()
  let applied = (await stateOf(store.read)).head
  let appliedAt = await timeOf(store.read, applied)
  /** What was applied after `recentFrom`, in order. */
  const recent: ChangeEvent[] = []
  let recentFrom = applied

  const applyAll = async () => {
    for (;;) {
      const page = await eventsBetween(store.read, applied)
      const last = page.at(-1)
      if (!last) return
      for (const listener of listeners) listener(page)
      applied = last.position
      appliedAt = last.appendedAt
      recent.push(...page)
      recentFrom = recent.splice(0, Math.max(0, recent.length - RECENT)).at(-1)?.position ?? recentFrom
      tail.offer(page)
    }
  }
  // One at a time; those who come while it runs wait for one more, which sees what they have made durable.
  let running: Promise<void> = Promise.resolve()
  let next: Promise<void> | undefined
  const advance = (): Promise<void> => {
    next ??= running.then(() => {
      next = undefined
      const applying = applyAll()
      running = applying.catch(() => {})
      return applying
    })
    return next
  }
  // What fails now is looked for again at the next turn.
  const timer = setInterval(() => advance().catch(() => {}), LOOK_EVERY_MS)
  timer.unref()
  const unhook = store.onChangeElsewhere(() => advance().catch(() => {}))

  return {
    async record(tx, sightings) {
      if (sightings.length === 0) return []
      const log = await openLog(tx)
      const { head } = log
      const appended: Appended[] = []
      for (const sighting of sightings) {
        const event = await recordSighting(tx, log, sighting, nameOf)
        if (event) appended.push(event)
      }
      if (log.head !== head) await closeLog(tx, log)
      return appended
    },

    async lose(tx, losses) {
      if (losses.length === 0) return 0
      const log = await openLog(tx)
      let news = 0
      for (const loss of losses) if (await recordLoss(tx, log, loss, nameOf)) news++
      if (news > 0) await closeLog(tx, log)
      return news
    },

    async note(tx, notes) {
      return appendNotes(tx, notes)
    },

    announce: advance,

    onApply(listener) {
      listeners.add(listener)
    },

    async *follow(filter, after, signal) {
      let position = after ?? applied
      for (;;) {
        while (position < applied && !signal.aborted) {
          const upTo = applied
          const isRecent = position >= recentFrom
          const page = isRecent
            ? recentAfter(recent, position, filter.record)
            : await eventsBetween(store.read, position, upTo, filter.record)
          const { floor } = await stateOf(store.read)
          // Looked at after reading: whatever was taken out before or meanwhile is seen.
          if (floor > position) {
            position = floor
            yield { kind: 'gap', place: { position, at: await timeOf(store.read, position + 1) } }
            continue
          }
          for (const event of page) {
            position = event.position
            if (signal.aborted) return
            if (!filter.matches || filter.matches(event)) yield { kind: 'event', event }
          }
          if (isRecent || page.length < PAGE) position = Math.max(position, upTo)
        }
        if (signal.aborted) return
        // Nothing was awaited since `applied` was looked at: nothing can slip in between.
        const follower = tail.join(filter)
        try {
          for (;;) {
            const events = await follower.take(signal)
            if (!events) break
            for (const event of events) {
              if (signal.aborted) return
              if (event.position <= position) continue
              position = event.position
              yield { kind: 'event', event }
            }
          }
        } finally {
          tail.leave(follower)
        }
        if (signal.aborted) return
      }
    },

    here: () => ({ position: applied, at: appliedAt }),
    cursorOf: cursors.of,

    placeOf(cursor, caller) {
      return cursors.read(cursor, caller)
    },

    async prune({ ageMs, maxBytes }) {
      let pruned = 0
      for (;;) {
        const before = Date.now() - ageMs
        const taken = await store.transact(async (tx) => {
          const log = await openLog(tx)
          const oldest = await tx
            .selectFrom('event')
            .select(['position', 'appended_at', 'data'])
            .orderBy('position')
            .limit(PRUNE)
            .execute()
          let floor = 0
          let count = 0
          for (const { position, appended_at: at, data } of oldest) {
            if (Number(at) >= before && log.bytes <= maxBytes) break
            log.bytes = Math.max(0, log.bytes - data.length)
            floor = Number(position)
            count++
          }
          if (count === 0) return 0
          await tx.deleteFrom('event').where('position', '<=', floor).execute()
          await tx.updateTable('log_state').set({ floor, bytes: log.bytes }).where('id', '=', 1).execute()
          return count
        })
        pruned += taken
        if (taken < PRUNE) return pruned
      }
    },

    async state() {
      return { ...(await stateOf(store.read)), applied, followers: tail.followers }
    },

    close() {
      unhook()
      clearInterval(timer)
    },
  }
}

function recentAfter(
  recent: readonly ChangeEvent[],
  position: number,
  record: Subject | undefined,
): readonly ChangeEvent[] {
  const from = recent.findIndex((event) => event.position > position)
  if (from === -1) return []
  return recent.slice(from).filter((event) => record === undefined || event.record === record)
}

async function stateOf(db: Database): Promise<{ head: number; floor: number; bytes: number }> {
  const row = await db
    .selectFrom('log_state')
    .select(['head', 'floor', 'bytes'])
    .where('id', '=', 1)
    .executeTakeFirstOrThrow()
  return { head: Number(row.head), floor: Number(row.floor), bytes: Number(row.bytes) }
}

async function timeOf(db: Database, position: number): Promise<number> {
  const row = await db
    .selectFrom('event')
    .select('appended_at')
    .where('position', '=', position)
    .executeTakeFirst()
  return Number(row?.appended_at ?? 0)
}

/** @param until The last position to give; not given: whatever there is. */
export async function eventsBetween(
  db: Database,
  after: number,
  until?: number,
  record?: Subject,
): Promise<ChangeEvent[]> {
  let query = db.selectFrom('event').selectAll().where('position', '>', after)
  if (until !== undefined) query = query.where('position', '<=', until)
  if (record !== undefined) query = query.where('record', '=', record)
  const rows = await query.orderBy('position').limit(PAGE).execute()
  return rows.map(eventOf)
}

function eventOf({ appended_at, ...row }: Selectable<EventTable>): ChangeEvent {
  return {
    ...row,
    position: Number(row.position),
    record: row.record as Subject,
    data: JSON.parse(row.data) as EventData,
    appendedAt: Number(appended_at),
  }
}
