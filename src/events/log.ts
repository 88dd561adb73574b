/**
 * The log of change events: in the store, beside the journal, so that nothing is confirmed without its event.
 * Whoever watches keeps a position and reads on from there; a signal says when there is more.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Caller, scopeKey } from '../caller/caller.ts'
import { type Database, makeSecret, type Store, sharedValue } from '../store/store.ts'
import type { EventTable } from '../store/tables.ts'
import type { RecordType, RecordTypes } from '../systems/records.ts'
import { affectedBy } from './dependents.ts'
import { differenceOf } from './diff.ts'
import type { ChangeEvent, EventData } from './event.ts'

/** A state of a record that some feed, or a confirmed write, has seen. */
export interface Sighting<T extends RecordType = RecordType> {
  readonly system: string
  readonly record: T
  readonly value: RecordTypes[T]
  /** The system's own id of the event, where it told us one. */
  readonly eventId?: string | undefined
  /** The system's own time of the change. */
  readonly time?: string | undefined
  /** Says that the record is new where no earlier state is known. */
  readonly isNew?: boolean
  /** Remember the state and tell nobody: the first sight of what was there before us. */
  readonly baseline?: boolean
}

export interface EventLog {
  /**
   * Compares with the last known state and appends what changed, inside the caller's transaction. A change that
   * another feed reported already is no event.
   * @returns What was appended.
   */
  record(tx: Database, sightings: readonly Sighting[]): Promise<readonly Appended[]>
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
  /** Events after `after` (default: from now on), in order, until the signal ends it. */
  follow(filter: EventFilter, after: number | undefined, signal: AbortSignal): AsyncGenerator<ChangeEvent>
  cursorOf(position: number, caller: Caller): string
  /** @returns The position, or why the cursor cannot be used. */
  positionOf(cursor: string, caller: Caller): { readonly position: number } | { readonly refused: string }
  close(): void
}

export interface EventFilter {
  readonly record: RecordType
  readonly matches?: (event: ChangeEvent) => boolean
}

export interface Appended {
  readonly type: string
  readonly system: string
  readonly record: RecordType
  readonly key: string
  readonly position: number
  /** The record as the event tells of it. */
  readonly value: RecordTypes[RecordType]
}

const PAGE = 200
/** Other processes of the same store append too; without a signal from them we look this often. */
const LOOK_EVERY_MS = 500

export async function openEventLog(store: Store): Promise<EventLog> {
  const secret = await sharedValue(store, 'cursor-secret', makeSecret)
  const epoch = await sharedValue(store, 'log-epoch', () => makeSecret().slice(0, 8))
  const more = createSignal()
  const listeners = new Set<(events: readonly ChangeEvent[]) => void>()
  let applied = await headOf(store.read)

  const applyAll = async () => {
    for (;;) {
      const page = await eventsBetween(store.read, applied)
      const last = page.at(-1)
      if (!last) return
      for (const listener of listeners) listener(page)
      applied = last.position
      more.raise()
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

  const sign = (text: string) => createHmac('sha256', secret).update(text).digest('base64url').slice(0, 16)

  return {
    async record(tx, sightings) {
      const appended: Appended[] = []
      for (const sighting of sightings) {
        const event = await recordOne(tx, sighting)
        if (event) appended.push(event)
      }
      return appended
    },

    announce: advance,

    onApply(listener) {
      listeners.add(listener)
    },

    async *follow(filter, after, abort) {
      let position = after ?? applied
      while (!abort.aborted) {
        // Taken before looking: what is appended in between raises it.
        const seen = more.count()
        const page = await eventsBetween(store.read, position, applied, filter.record)
        for (const event of page) {
          position = event.position
          if (abort.aborted) return
          if (!filter.matches || filter.matches(event)) yield event
        }
        if (page.length < PAGE) await more.past(seen, abort)
      }
    },

    cursorOf(position, caller) {
      const text = `${epoch}.${position}`
      return Buffer.from(`${text}.${sign(text + scopeKey(caller))}`).toString('base64url')
    },

    positionOf(cursor, caller) {
      const [ofEpoch, position, signature = ''] = Buffer.from(cursor, 'base64url').toString('utf8').split('.')
      const expected = Buffer.from(sign(`${ofEpoch}.${position}${scopeKey(caller)}`))
      const given = Buffer.from(signature)
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
        return { refused: 'This cursor was not given to you by this gateway. Subscribe without "after".' }
      }
      if (ofEpoch !== epoch) {
        return {
          refused:
            'This cursor belongs to a log that is gone. Read the present state and subscribe without "after".',
        }
      }
      return { position: Number(position) }
    },

    close() {
      unhook()
      clearInterval(timer)
    },
  }
}

async function recordOne(tx: Database, sighting: Sighting): Promise<Appended | null> {
  const { system, record, value } = sighting
  const known = await tx
    .selectFrom('snapshot')
    .select('state')
    .where('system', '=', system)
    .where('record', '=', record)
    .where('key', '=', value.key)
    .executeTakeFirst()
  const before = known ? (JSON.parse(known.state) as RecordTypes[RecordType]) : null
  // A late delivery of an older state must not undo a newer one.
  if (before?.updatedAt && value.updatedAt && Date.parse(value.updatedAt) < Date.parse(before.updatedAt))
    return null
  const difference = differenceOf(record, before, value, sighting.isNew ?? false)
  if (!difference) return null
  const state = JSON.stringify(value)
  await tx
    .insertInto('snapshot')
    .values({ system, record, key: value.key, state })
    .onConflict((conflict) => conflict.columns(['system', 'record', 'key']).doUpdateSet({ state }))
    .execute()
  if (sighting.baseline) return null
  const { type, changes, facts } = difference
  const affects = affectedBy(record, [before, value])
  const data: EventData = { changes, facts, before: difference.before, affects }
  const source = `/systems/${system}`
  const { position } = await tx
    .insertInto('event')
    .values({
      source,
      id: await eventIdFor(tx, source, sighting),
      type,
      system,
      record,
      key: value.key,
      time: sighting.time ?? value.updatedAt ?? new Date().toISOString(),
      data: JSON.stringify(data),
    })
    .returning('position')
    .executeTakeFirstOrThrow()
  return { type, system, record, key: value.key, position: Number(position), value }
}

/**
 * The system's own id, or the event's place in this log. A system that uses one id for two changes has told us
 * of both: the states differ.
 */
async function eventIdFor(
  tx: Database,
  source: string,
  { record, value, eventId }: Sighting,
): Promise<string> {
  const own = `${record}/${value.key}/${(await headOf(tx)) + 1}`
  if (eventId === undefined) return own
  const taken = await tx
    .selectFrom('event')
    .select('position')
    .where('source', '=', source)
    .where('id', '=', eventId)
    .executeTakeFirst()
  return taken ? `${eventId}/${own}` : eventId
}

async function headOf(db: Database): Promise<number> {
  const row = await db
    .selectFrom('event')
    .select((of) => of.fn.max('position').as('head'))
    .executeTakeFirst()
  return Number(row?.head ?? 0)
}

/** @param until The last position to give; not given: whatever there is. */
async function eventsBetween(
  db: Database,
  after: number,
  until?: number,
  record?: RecordType,
): Promise<ChangeEvent[]> {
  let query = db.selectFrom('event').selectAll().where('position', '>', after)
  if (until !== undefined) query = query.where('position', '<=', until)
  if (record !== undefined) query = query.where('record', '=', record)
  const rows = await query.orderBy('position').limit(PAGE).execute()
  return rows.map(eventOf)
}

function eventOf(row: Omit<EventTable, 'position'> & { position: number }): ChangeEvent {
  return { ...row, record: row.record as RecordType, data: JSON.parse(row.data) as EventData }
}

/** Wakes all who wait; a counter instead of a queue, so that a slow one holds nothing. */
function createSignal() {
  let count = 0
  const waiting = new Set<() => void>()
  return {
    count: () => count,
    raise() {
      count++
      for (const wake of waiting) wake()
    },
    async past(seen: number, abort: AbortSignal): Promise<void> {
      if (count !== seen || abort.aborted) return
      await new Promise<void>((resolve) => {
        const wake = () => {
          waiting.delete(wake)
          abort.removeEventListener('abort', wake)
          resolve()
        }
        waiting.add(wake)
        abort.addEventListener('abort', wake)
      })
    },
  }
}
