/**
 * What goes into the log, inside a transaction that makes it durable: the difference between what was known of a
 * record and what was seen, its event, and what the clock must look after.
 */
import type { Database } from '../store/store.ts'
import type { Key, RecordType, RecordTypes } from '../systems/records.ts'
import { affectedBy } from './dependents.ts'
import { differenceOf, factsOf } from './diff.ts'
import type { EventCause, EventData, Facts, Subject } from './event.ts'

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
  /** What of the gateway's own doing led to it, where that is known. */
  readonly cause?: EventCause | undefined
  /** Remember the state and tell nobody: the first sight of what was there before us. */
  readonly baseline?: boolean
  /**
   * The system says that it changed after this position of the log, where a first look began: it is news even where
   * the look found it changed already, unless the log has told of it since.
   */
  readonly changedSince?: number | undefined
}

/** What the types of a record's events begin with: the record type, or what a configuration calls its own one. */
export type NameOf = (system: string, record: RecordType) => string

/** A record that is not there any more. */
export interface Loss {
  readonly system: string
  readonly record: RecordType
  readonly key: Key
  readonly eventId?: string | undefined
  readonly time?: string | undefined
  /** The system says so itself; otherwise a record that nobody here ever saw is no loss. */
  readonly told?: boolean
}

/** An event that is no difference of a record. */
export interface Note {
  /** With `source` it names the event once; not given: every note is an event of its own. */
  readonly id?: string | undefined
  readonly source: string
  readonly type: string
  readonly system: string
  readonly record: Subject
  readonly key: string
  readonly time?: string | undefined
  readonly data: EventData
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

/** The log as one transaction finds and leaves it. The store lets one at a time write, over all processes. */
export interface OpenLog {
  head: number
  bytes: number
}

export async function openLog(tx: Database): Promise<OpenLog> {
  const row = await tx
    .selectFrom('log_state')
    .select(['head', 'bytes'])
    .where('id', '=', 1)
    .executeTakeFirstOrThrow()
  return { head: Number(row.head), bytes: Number(row.bytes) }
}

export async function closeLog(tx: Database, { head, bytes }: OpenLog): Promise<void> {
  await tx.updateTable('log_state').set({ head, bytes }).where('id', '=', 1).execute()
}

/** Appends what is no difference of a record. @returns How many of these were news. */
export async function appendNotes(tx: Database, notes: readonly Note[]): Promise<number> {
  if (notes.length === 0) return 0
  const log = await openLog(tx)
  let news = 0
  for (const note of notes) if (await recordNote(tx, log, note)) news++
  if (news > 0) await closeLog(tx, log)
  return news
}

/** What is left of a record that is gone: a state from before must not bring it back. */
interface Tombstone {
  readonly deletedAt: string
}
const isTombstone = (state: object): state is Tombstone => 'deletedAt' in state

export async function recordSighting(
  tx: Database,
  log: OpenLog,
  sighting: Sighting,
  nameOf: NameOf,
): Promise<Appended | null> {
  const { system, record, value } = sighting
  const known = await stateOf(tx, system, record, value.key)
  const gone = known !== null && isTombstone(known)
  const before = known === null || isTombstone(known) ? null : known
  // A late delivery of an older state must not undo a newer one, nor bring back what is gone.
  const newest = gone ? (known as Tombstone).deletedAt : before?.updatedAt
  if (newest && value.updatedAt && Date.parse(value.updatedAt) < Date.parse(newest)) return null
  const isNew = gone || (sighting.isNew ?? false)
  const name = nameOf(system, record)
  const difference =
    differenceOf(record, before, value, isNew, name) ??
    ((await isUntold(tx, sighting)) ? differenceOf(record, null, value, isNew, name) : null)
  // A touch without a change is no event, but from then on what is older than the touch is late.
  const isTouched = Date.parse(value.updatedAt ?? '') > Date.parse(before?.updatedAt ?? '')
  if (!difference && !isTouched) return null
  await remember(tx, system, record, value.key, value)
  await setDeadline(tx, sighting, before)
  // What is known already, by a write of our own for one, was not there before us: its change is news.
  if (!difference || (sighting.baseline && known === null)) return null
  const sku = record === 'inventoryLevel' ? await skuOf(tx, system, difference.facts) : {}
  const { type, changes } = difference
  const data: EventData = {
    changes,
    facts: { ...difference.facts, ...sku },
    before: difference.before && { ...difference.before, ...sku },
    affects: affectedBy(record, [before, value]),
    ...(sighting.cause ? { cause: sighting.cause } : {}),
  }
  const source = `/systems/${system}`
  const position = await insert(tx, log, {
    source,
    id: await eventIdFor(tx, log, source, record, value.key, sighting.eventId),
    type,
    system,
    record,
    key: value.key,
    time: sighting.time ?? value.updatedAt ?? new Date().toISOString(),
    data,
  })
  return { type, system, record, key: value.key, position, value }
}

/** @returns Whether it was news. */
export async function recordLoss(tx: Database, log: OpenLog, loss: Loss, nameOf: NameOf): Promise<boolean> {
  const { system, record, key } = loss
  const known = await stateOf(tx, system, record, key)
  if (known ? isTombstone(known) : !loss.told) return false
  const before = known as RecordTypes[RecordType] | null
  const time = loss.time ?? new Date().toISOString()
  await remember(tx, system, record, key, { deletedAt: time })
  await dropDeadline(tx, system, record, key)
  const facts = before ? factsOf(record, before) : {}
  const source = `/systems/${system}`
  await insert(tx, log, {
    source,
    id: await eventIdFor(tx, log, source, record, key, loss.eventId),
    type: `${nameOf(system, record)}.deleted`,
    system,
    record,
    key,
    time,
    data: { changes: [], facts, before: before && facts, affects: affectedBy(record, [before]) },
  })
  return true
}

/** @returns False where the log has it already. */
async function recordNote(tx: Database, log: OpenLog, note: Note): Promise<boolean> {
  const { id, time, ...rest } = note
  if (id !== undefined && (await isTaken(tx, note.source, id))) return false
  await insert(tx, log, {
    ...rest,
    id: id ?? `${note.record}/${note.key}/${log.head + 1}`,
    time: time ?? new Date().toISOString(),
  })
  return true
}

async function insert(
  tx: Database,
  log: OpenLog,
  { data, ...event }: Omit<Note, 'id' | 'time'> & { readonly id: string; readonly time: string },
): Promise<number> {
  const text = JSON.stringify(data)
  const { position } = await tx
    .insertInto('event')
    .values({ ...event, data: text, appended_at: Date.now() })
    .returning('position')
    .executeTakeFirstOrThrow()
  log.head = Number(position)
  log.bytes += text.length
  return log.head
}

/**
 * The system's own id, or the event's place in this log. A system that uses one id for two changes has told us
 * of both: the states differ.
 */
async function eventIdFor(
  tx: Database,
  log: OpenLog,
  source: string,
  record: RecordType,
  key: Key,
  given: string | undefined,
): Promise<string> {
  const own = `${record}/${key}/${log.head + 1}`
  if (given === undefined) return own
  return (await isTaken(tx, source, given)) ? `${given}/${own}` : given
}

async function isTaken(tx: Database, source: string, id: string): Promise<boolean> {
  const taken = await tx
    .selectFrom('event')
    .select('position')
    .where('source', '=', source)
    .where('id', '=', id)
    .executeTakeFirst()
  return taken !== undefined
}

async function isUntold(tx: Database, { system, record, value, changedSince }: Sighting): Promise<boolean> {
  if (changedSince === undefined) return false
  const told = await tx
    .selectFrom('event')
    .select('position')
    .where('position', '>', changedSince)
    .where('system', '=', system)
    .where('record', '=', record)
    .where('key', '=', value.key)
    .executeTakeFirst()
  return told === undefined
}

async function stateOf(
  tx: Database,
  system: string,
  record: RecordType,
  key: Key,
): Promise<RecordTypes[RecordType] | Tombstone | null> {
  const known = await tx
    .selectFrom('snapshot')
    .select('state')
    .where('system', '=', system)
    .where('record', '=', record)
    .where('key', '=', key)
    .executeTakeFirst()
  return known ? JSON.parse(known.state) : null
}

async function remember(
  tx: Database,
  system: string,
  record: RecordType,
  key: Key,
  value: object,
): Promise<void> {
  const state = JSON.stringify(value)
  await tx
    .insertInto('snapshot')
    .values({ system, record, key, state })
    .onConflict((conflict) => conflict.columns(['system', 'record', 'key']).doUpdateSet({ state }))
    .execute()
}

/** Stock names its product by key; people filter by what is printed on the shelf. */
async function skuOf(tx: Database, system: string, facts: Facts): Promise<Facts> {
  const { product } = facts
  if (!product) return {}
  const known = (await stateOf(tx, system, 'product', product)) as RecordTypes['product'] | Tombstone | null
  return { sku: known && 'sku' in known ? known.sku : product }
}

/** An unpaid invoice falls due, once for each day that it was due. What was overdue before the first look is no news. */
async function setDeadline(
  tx: Database,
  { system, record, value, baseline }: Sighting,
  before: RecordTypes[RecordType] | null,
): Promise<void> {
  if (record !== 'invoice') return
  const invoice = value as RecordTypes['invoice']
  const day = dueDayOf(invoice)
  if (day !== null && before && dueDayOf(before as RecordTypes['invoice']) === day) return
  const isHistory = baseline && day !== null && day < new Date().toISOString().slice(0, 10)
  if (day === null || isHistory) return dropDeadline(tx, system, record, invoice.key)
  await tx
    .insertInto('deadline')
    .values({ system, record, key: invoice.key, day })
    .onConflict((conflict) => conflict.columns(['system', 'record', 'key']).doUpdateSet({ day }))
    .execute()
}

const dueDayOf = ({ status, dueDate }: RecordTypes['invoice']): string | null =>
  status === 'OPEN' || status === 'PARTIALLY_PAID' ? (dueDate ?? null) : null

export async function dropDeadline(
  tx: Database,
  system: string,
  record: RecordType,
  key: Key,
): Promise<void> {
  await tx
    .deleteFrom('deadline')
    .where('system', '=', system)
    .where('record', '=', record)
    .where('key', '=', key)
    .execute()
}
