/**
 * Where writebacks live. A writeback is here before its first byte is sent, and every step it takes is written
 * before the step is taken; so whatever dies, the next process knows where it stood.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type ExpressionBuilder, type Selectable, sql } from 'kysely'
import type { Caller } from '../caller/caller.ts'
import { appendNotes } from '../events/append.ts'
import type { Database, Store } from '../store/store.ts'
import type { Tables, WritebackTable } from '../store/tables.ts'
import type { WriteTarget } from '../systems/port.ts'
import type { Key, RecordType } from '../systems/records.ts'
import { stepNote } from './told.ts'
import {
  BLOCKING,
  OPEN,
  type StateName,
  type Transition,
  type Writeback,
  type WritebackState,
} from './writeback.ts'

export interface WriteRequest {
  readonly caller: Caller
  /** The mutation's name: a key means something only inside it. */
  readonly mutation: string
  readonly idempotencyKey: string
  /** What the client sent, to tell a repetition from a mistake. */
  readonly clientInput: unknown
  readonly system: string
  readonly record: RecordType
  readonly action: string
  /** For the adapter. */
  readonly input: unknown
  /** The record that it changes; not given: it makes a new one, which nobody else can write to yet. */
  readonly key?: Key | undefined
  /** How far the vendor's own procedure shall go; not given: as the system is configured. */
  readonly target?: WriteTarget | undefined
}

export type Accepted =
  | {
      readonly ok: true
      readonly writeback: Writeback
      readonly isNew: boolean
      /** Whether the lease asked for was given: the caller carries it. */
      readonly leased: boolean
    }
  | { readonly ok: false; readonly reason: 'key-reused'; readonly writeback: Writeback }

/** What becomes durable together with the promise, or keeps it from being made by throwing. Also for a known one. */
export type Attach = (tx: Database, writeback: Writeback) => Promise<void>

/** A writeback that this process carries until it lets go. */
export interface Leased {
  readonly writeback: Writeback
  readonly lease: string
}

export interface Journal {
  /**
   * Stores the promise, or finds the one made before under the same key.
   * @param lease Gives a new one to this holder at once, unless it must wait for an earlier one of its record.
   */
  accept(request: WriteRequest, initial: WritebackState, lease?: string, attach?: Attach): Promise<Accepted>
  get(id: string): Promise<Writeback | null>
  /** The same, inside a transaction. */
  getIn(tx: Database, id: string): Promise<Writeback | null>
  /** The writeback that this caller's mutation with this key made. */
  byKey(caller: Caller, idempotencyKey: string): Promise<Writeback | null>
  list(page: JournalPage): Promise<readonly Writeback[]>
  /** What this tenant's writebacks have become since then, oldest change first; at most `first`. */
  changedSince(tenant: string, since: Date, first: number): Promise<readonly Writeback[]>
  history(id: string): Promise<readonly Transition[]>
  /** The earlier writeback of the same record that this one waits for; null where there is none. */
  blocker(writeback: Writeback): Promise<Writeback | null>
  /**
   * Takes what is due, that nobody holds and that is the first of its record.
   * @param slots How many of each system at most.
   * @param lease Makes the name of a lease; each is used once, so that who lost one cannot use it again.
   */
  claim(slots: ReadonlyMap<string, number>, lease: () => string): Promise<readonly Leased[]>
  /** Lets go of a writeback as it stands; whoever takes it next judges by its state. */
  release(id: string, lease: string, dueAt: number): Promise<void>
  /** Frees what processes hold that are not alive. @returns Whether there was anything. */
  releaseDead(isAlive: (owner: string) => Promise<boolean>): Promise<boolean>
  /** When the next free writeback of these systems falls due; null where none waits. */
  nextDue(systems: readonly string[]): Promise<number | null>
  /** Writebacks that took a step after that position of the history, and where it ends now. */
  movedSince(
    position: number,
  ): Promise<{ readonly writebacks: readonly Writeback[]; readonly position: number }>
}

export interface JournalPage {
  readonly first: number
  /** Older than this one. */
  readonly after?: { readonly acceptedAt: string; readonly id: string } | undefined
  readonly state?: StateName | undefined
  readonly system?: string | undefined
  /** RFC 3339: accepted before, to find what takes long. */
  readonly acceptedBefore?: string | undefined
  readonly caller: Caller
}

/** A lease is the name of the process that holds it, and a number. */
export const leaseOf = (owner: string, number: number): string => `${owner}#${number}`
export const ownerOf = (lease: string): string => lease.slice(0, lease.lastIndexOf('#'))

const MOVED = 200

export function createJournal(store: Store): Journal {
  return {
    async accept(request, initial, lease, attach) {
      const { tenant, subject } = request.caller
      const { mutation, idempotencyKey } = request
      const inputHash = hash(canonical(request.clientInput))
      const reference = hash(canonical([tenant, subject, mutation, idempotencyKey])).slice(0, 32)
      const input = JSON.stringify(request.input)
      const caller = JSON.stringify(request.caller)
      return store.transact(async (tx) => {
        const known = await tx
          .selectFrom('writeback')
          .selectAll()
          .where('tenant', '=', tenant)
          .where('subject', '=', subject)
          .where('mutation', '=', mutation)
          .where('idempotency_key', '=', idempotencyKey)
          .executeTakeFirst()
        if (known) {
          const writeback = writebackOf(known)
          if (known.input_hash !== inputHash) return { ok: false, reason: 'key-reused', writeback }
          await attach?.(tx, writeback)
          return { ok: true, writeback, isNew: false, leased: false }
        }
        const now = new Date().toISOString()
        const ordering = `${request.record}/${request.key ?? `new:${reference}`}`
        // Nobody waits in line for a record that is not there yet.
        const waits = request.key !== undefined && (await isBlocked(tx, request.system, ordering))
        const leased = lease !== undefined && !waits
        const id = `wb_${randomUUID().replaceAll('-', '')}`
        // What is known here is not read back: this is half of what a promise costs.
        const { sequence } = await tx
          .insertInto('writeback')
          .values({
            id,
            tenant,
            subject,
            mutation,
            idempotency_key: idempotencyKey,
            input_hash: inputHash,
            caller,
            system: request.system,
            record: request.record,
            action: request.action,
            input,
            input_version: 1,
            external_reference: reference,
            state: initial.name,
            detail: JSON.stringify(initial),
            attempts: 0,
            due_at: Date.now(),
            lease_owner: leased ? lease : null,
            accepted_at: now,
            updated_at: now,
            sequence: sql<number>`(select coalesce(max(sequence), 0) + 1 from writeback)`,
            ordering,
            target: request.target ?? null,
            tries: 0,
          })
          .returning('sequence')
          .executeTakeFirstOrThrow()
        await noteTransition(tx, id, initial, now, {})
        const writeback: Writeback = {
          id,
          idempotencyKey,
          mutation,
          caller: request.caller,
          system: request.system,
          record: request.record,
          action: request.action,
          // As whoever reads it from the store gets it.
          input: JSON.parse(input),
          externalReference: reference,
          target: request.target ?? null,
          attempts: 0,
          tries: 0,
          acceptedAt: now,
          updatedAt: now,
          sequence,
          ordering,
          state: initial,
        }
        await attach?.(tx, writeback)
        return { ok: true, writeback, isNew: true, leased }
      })
    },

    get(id) {
      return this.getIn(store.read, id)
    },

    async getIn(tx, id) {
      const row = await tx.selectFrom('writeback').selectAll().where('id', '=', id).executeTakeFirst()
      return row ? writebackOf(row) : null
    },

    async byKey(caller, idempotencyKey) {
      const row = await store.read
        .selectFrom('writeback')
        .selectAll()
        .where('idempotency_key', '=', idempotencyKey)
        .where('tenant', '=', caller.tenant)
        .where('subject', '=', caller.subject)
        .orderBy('sequence', 'desc')
        .executeTakeFirst()
      return row ? writebackOf(row) : null
    },

    async list(page) {
      let query = store.read.selectFrom('writeback').selectAll().where('tenant', '=', page.caller.tenant)
      if (page.state) query = query.where('state', '=', page.state)
      if (page.system) query = query.where('system', '=', page.system)
      if (page.acceptedBefore) query = query.where('accepted_at', '<', page.acceptedBefore)
      const { after } = page
      if (after) {
        query = query.where((where) =>
          where.or([
            where('accepted_at', '<', after.acceptedAt),
            where.and([where('accepted_at', '=', after.acceptedAt), where('id', '<', after.id)]),
          ]),
        )
      }
      const rows = await query
        .orderBy('accepted_at', 'desc')
        .orderBy('id', 'desc')
        .limit(page.first)
        .execute()
      return rows.map(writebackOf)
    },

    async changedSince(tenant, since, first) {
      const rows = await store.read
        .selectFrom('writeback')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('updated_at', '>=', since.toISOString())
        .orderBy('updated_at')
        .orderBy('id')
        .limit(first)
        .execute()
      return rows.map(writebackOf)
    },

    async history(id) {
      return store.read
        .selectFrom('writeback_history')
        .select(['state', 'at', 'note', 'attempt', 'subject', 'origin'])
        .where('writeback', '=', id)
        .orderBy('position')
        .$castTo<Transition>()
        .execute()
    },

    async blocker({ system, ordering, sequence }) {
      const row = await store.read
        .selectFrom('writeback')
        .selectAll()
        .where('system', '=', system)
        .where('ordering', '=', ordering)
        .where('sequence', '<', sequence)
        .where('state', 'in', [...BLOCKING])
        .orderBy('sequence')
        .limit(1)
        .executeTakeFirst()
      return row ? writebackOf(row) : null
    },

    async claim(slots, lease) {
      const wanted = [...slots].filter(([, free]) => free > 0)
      // Looked for on the reading side first: most of the time there is nothing.
      const found = await Promise.all(wanted.map(([system, free]) => claimable(store.read, system, free)))
      if (found.every((rows) => rows.length === 0)) return []
      return store.transact(async (tx) => {
        const taken: Leased[] = []
        for (const [system, free] of wanted) {
          for (const { id } of await claimable(tx, system, free)) {
            const name = lease()
            const row = await tx
              .updateTable('writeback')
              .set({ lease_owner: name })
              .where('id', '=', id)
              .returningAll()
              .executeTakeFirstOrThrow()
            taken.push({ writeback: writebackOf(row), lease: name })
          }
        }
        return taken
      })
    },

    async release(id, lease, dueAt) {
      await store.transact((tx) =>
        tx
          .updateTable('writeback')
          .set({ lease_owner: null, due_at: dueAt })
          .where('id', '=', id)
          .where('lease_owner', '=', lease)
          .execute(),
      )
    },

    async releaseDead(isAlive) {
      const held = await store.read
        .selectFrom('writeback')
        .select('lease_owner')
        .distinct()
        .where('lease_owner', 'is not', null)
        .execute()
      const leases = held.flatMap(({ lease_owner: lease }) => (lease === null ? [] : [lease]))
      const dead: string[] = []
      for (const [owner, theirs] of Map.groupBy(leases, ownerOf)) {
        if (!(await isAlive(owner))) dead.push(...theirs)
      }
      if (dead.length === 0) return false
      await store.transact((tx) =>
        tx.updateTable('writeback').set({ lease_owner: null }).where('lease_owner', 'in', dead).execute(),
      )
      return true
    },

    async nextDue(systems) {
      if (systems.length === 0) return null
      const row = await store.read
        .selectFrom('writeback as w')
        .select((of) => of.fn.min('w.due_at').as('due'))
        .where('w.state', 'in', [...OPEN])
        .where('w.system', 'in', [...systems])
        .where('w.lease_owner', 'is', null)
        .where(isFirst)
        .executeTakeFirst()
      return row?.due === null || row?.due === undefined ? null : Number(row.due)
    },

    async movedSince(position) {
      const rows = await store.read
        .selectFrom('writeback_history')
        .select(['position', 'writeback'])
        .where('position', '>', position)
        .orderBy('position')
        .limit(MOVED)
        .execute()
      const ids = [...new Set(rows.map((row) => row.writeback))]
      const found = ids.length
        ? await store.read.selectFrom('writeback').selectAll().where('id', 'in', ids).execute()
        : []
      return { writebacks: found.map(writebackOf), position: rows.at(-1)?.position ?? position }
    },
  }
}

/** The end of the history now. */
export async function headOfHistory(store: Store): Promise<number> {
  const row = await store.read
    .selectFrom('writeback_history')
    .select((of) => of.fn.max('position').as('head'))
    .executeTakeFirst()
  return Number(row?.head ?? 0)
}

function claimable(db: Database, system: string, limit: number) {
  return db
    .selectFrom('writeback as w')
    .select('w.id')
    .where('w.system', '=', system)
    .where('w.state', 'in', [...OPEN])
    .where('w.due_at', '<=', Date.now())
    .where('w.lease_owner', 'is', null)
    .where(isFirst)
    .orderBy('w.sequence')
    .limit(limit)
    .execute()
}

/** Writes to one record stay in order: what is ahead must have ended, and well enough that nothing of it is open. */
function isFirst(where: ExpressionBuilder<Tables & { w: WritebackTable }, 'w'>) {
  return where.not(
    where.exists(
      where
        .selectFrom('writeback as ahead')
        .select('ahead.id')
        .whereRef('ahead.system', '=', 'w.system')
        .whereRef('ahead.ordering', '=', 'w.ordering')
        .whereRef('ahead.sequence', '<', 'w.sequence')
        .where('ahead.state', 'in', [...BLOCKING]),
    ),
  )
}

async function isBlocked(tx: Database, system: string, ordering: string): Promise<boolean> {
  const ahead = await tx
    .selectFrom('writeback')
    .select('id')
    .where('system', '=', system)
    .where('ordering', '=', ordering)
    .where('state', 'in', [...BLOCKING])
    .limit(1)
    .executeTakeFirst()
  return ahead !== undefined
}

export interface StepOptions {
  readonly attempts?: number
  readonly tries?: number
  /** When a worker shall look again; default: now. */
  readonly dueAt?: number
  /** Keeps the writeback in these hands; otherwise anybody may take it. */
  readonly keep?: boolean
  /** Who decided it, where it was a person, and from where. */
  readonly by?: { readonly subject: string; readonly origin: string | null } | undefined
}

/**
 * One step, inside the caller's transaction: the state, its history, its event, and whatever else belongs to it.
 * @param of Its id, or itself by whoever holds its lease: nobody else changes it then, and it is not read again.
 * @param lease Whose step it is; null: an operator's, who takes it out of anybody's hands.
 * @returns The writeback as it stands then; null where the lease was lost, and nothing was changed.
 */
export async function step(
  tx: Database,
  of: string | Writeback,
  lease: string | null,
  state: WritebackState,
  options: StepOptions = {},
): Promise<Writeback | null> {
  const id = typeof of === 'string' ? of : of.id
  const now = new Date().toISOString()
  let update = tx
    .updateTable('writeback')
    .set({
      state: state.name,
      detail: JSON.stringify(state),
      ...(options.attempts === undefined ? {} : { attempts: options.attempts }),
      ...(options.tries === undefined ? {} : { tries: options.tries }),
      due_at: options.dueAt ?? Date.now(),
      lease_owner: options.keep ? lease : null,
      updated_at: now,
    })
    .where('id', '=', id)
  if (lease !== null) update = update.where('lease_owner', '=', lease)
  const writeback = await updated()
  if (!writeback) return null
  await noteTransition(tx, id, state, now, {
    attempt: writeback.attempts,
    ...(options.by ? { subject: options.by.subject, origin: options.by.origin } : {}),
  })
  await appendNotes(tx, [stepNote(writeback)])
  return writeback

  async function updated(): Promise<Writeback | null> {
    if (typeof of === 'string' || lease === null) {
      const row = await update.returningAll().executeTakeFirst()
      return row ? writebackOf(row) : null
    }
    const { numUpdatedRows } = await update.executeTakeFirst()
    if (numUpdatedRows === 0n) return null
    const { attempts = of.attempts, tries = of.tries } = options
    return { ...of, state, attempts, tries, updatedAt: now }
  }
}

async function noteTransition(
  tx: Database,
  writeback: string,
  state: WritebackState,
  at: string,
  more: { attempt?: number; subject?: string; origin?: string | null },
): Promise<void> {
  await tx
    .insertInto('writeback_history')
    .values({ writeback, state: state.name, at, note: noteOf(state), ...more })
    .execute()
}

function noteOf(state: WritebackState): string | null {
  switch (state.name) {
    case 'accepted':
      return state.note ?? null
    case 'confirmed':
      return state.note ? `key ${state.key}: ${state.note}` : `key ${state.key}`
    case 'rejected':
    case 'unknown':
      return state.problem.message
    case 'needs-attention':
      return state.evidence ? `${state.problem.message} ${state.evidence}` : state.problem.message
    case 'awaiting-approval':
      return state.message
    case 'cancelled':
      return state.reason
    case 'compensated':
      return `undone by writeback ${state.by}`
    default:
      return null
  }
}

/** The same input in another order of fields is the same input. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value && typeof value === 'object') {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
    return `{${entries.join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

function writebackOf(row: Selectable<WritebackTable>): Writeback {
  return {
    id: row.id,
    idempotencyKey: row.idempotency_key,
    mutation: row.mutation,
    caller: JSON.parse(row.caller) as Caller,
    system: row.system,
    record: row.record as RecordType,
    action: row.action,
    input: JSON.parse(row.input),
    externalReference: row.external_reference,
    target: row.target as WriteTarget | null,
    attempts: row.attempts,
    tries: row.tries,
    acceptedAt: row.accepted_at,
    updatedAt: row.updated_at,
    sequence: row.sequence,
    ordering: row.ordering,
    state: JSON.parse(row.detail) as WritebackState,
  }
}
