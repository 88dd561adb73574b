/**
 * Where writebacks live. A writeback is here before its first byte is sent, and every step it takes is written
 * before the step is taken; so whatever dies, the next process knows where it stood.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import type { Caller } from '../caller/caller.ts'
import { appendNotes } from '../events/append.ts'
import type { Database, Store } from '../store/store.ts'
import type { WritebackTable } from '../store/tables.ts'
import type { RecordType } from '../systems/records.ts'
import { stepNote } from './told.ts'
import type { StateName, Transition, Writeback, WritebackState } from './writeback.ts'

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
}

export type Accepted =
  | { readonly ok: true; readonly writeback: Writeback; readonly isNew: boolean }
  | { readonly ok: false; readonly reason: 'key-reused'; readonly writeback: Writeback }

export interface Journal {
  /** Stores the promise, or finds the one made before under the same key. */
  accept(request: WriteRequest, initial: WritebackState): Promise<Accepted>
  get(id: string): Promise<Writeback | null>
  /** The writeback that this caller's mutation with this key made. */
  byKey(caller: Caller, idempotencyKey: string): Promise<Writeback | null>
  list(page: JournalPage): Promise<readonly Writeback[]>
  /** What this tenant's writebacks have become since then, oldest change first; at most `first`. */
  changedSince(tenant: string, since: Date, first: number): Promise<readonly Writeback[]>
  history(id: string): Promise<readonly Transition[]>
  /** Takes what is due and nobody living holds. */
  claim(
    owner: string,
    systems: readonly string[],
    isAlive: (owner: string) => Promise<boolean>,
  ): Promise<Writeback | null>
  /** Lets go of a writeback as it stands; whoever takes it next judges by its state. */
  release(id: string, dueAt: number): Promise<void>
  /** When the next writeback of these systems falls due; null where none waits. */
  nextDue(systems: readonly string[]): Promise<number | null>
}

export interface JournalPage {
  readonly first: number
  /** Older than this one. */
  readonly after?: { readonly acceptedAt: string; readonly id: string } | undefined
  readonly state?: StateName | undefined
  readonly system?: string | undefined
  readonly caller: Caller
}

/** States in which the worker has something to do. */
const OPEN: readonly StateName[] = ['accepted', 'sending', 'unknown']

export function createJournal(store: Store): Journal {
  return {
    async accept(request, initial) {
      const { tenant, subject } = request.caller
      const { mutation, idempotencyKey } = request
      const inputHash = hash(canonical(request.clientInput))
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
          return { ok: true, writeback, isNew: false }
        }
        const now = new Date().toISOString()
        const row: WritebackTable = {
          id: `wb_${randomUUID().replaceAll('-', '')}`,
          tenant,
          subject,
          mutation,
          idempotency_key: idempotencyKey,
          input_hash: inputHash,
          caller: JSON.stringify(request.caller),
          system: request.system,
          record: request.record,
          action: request.action,
          input: JSON.stringify(request.input),
          input_version: 1,
          external_reference: hash(canonical([tenant, subject, mutation, idempotencyKey])).slice(0, 32),
          state: initial.name,
          detail: JSON.stringify(initial),
          attempts: 0,
          due_at: Date.now(),
          lease_owner: null,
          accepted_at: now,
          updated_at: now,
        }
        await tx.insertInto('writeback').values(row).execute()
        await noteTransition(tx, row.id, initial, now)
        return { ok: true, writeback: writebackOf(row), isNew: true }
      })
    },

    async get(id) {
      const row = await store.read.selectFrom('writeback').selectAll().where('id', '=', id).executeTakeFirst()
      return row ? writebackOf(row) : null
    },

    async byKey(caller, idempotencyKey) {
      const row = await store.read
        .selectFrom('writeback')
        .selectAll()
        .where('idempotency_key', '=', idempotencyKey)
        .where('tenant', '=', caller.tenant)
        .where('subject', '=', caller.subject)
        .orderBy('accepted_at', 'desc')
        .executeTakeFirst()
      return row ? writebackOf(row) : null
    },

    async list(page) {
      let query = store.read.selectFrom('writeback').selectAll().where('tenant', '=', page.caller.tenant)
      if (page.state) query = query.where('state', '=', page.state)
      if (page.system) query = query.where('system', '=', page.system)
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
        .select(['state', 'at', 'note'])
        .where('writeback', '=', id)
        .orderBy('position')
        .$castTo<Transition>()
        .execute()
    },

    async claim(owner, systems, isAlive) {
      if (systems.length === 0) return null
      const candidates = await store.read
        .selectFrom('writeback')
        .select(['id', 'lease_owner'])
        .where('state', 'in', [...OPEN])
        .where('system', 'in', [...systems])
        .where('due_at', '<=', Date.now())
        .orderBy('due_at')
        .limit(50)
        .execute()
      for (const { id, lease_owner: holder } of candidates) {
        if (holder === owner || (holder && (await isAlive(holder)))) continue
        const taken = await store.transact(async (tx) => {
          const { numUpdatedRows } = await tx
            .updateTable('writeback')
            .set({ lease_owner: owner })
            .where('id', '=', id)
            .where('state', 'in', [...OPEN])
            .where((where) => (holder ? where('lease_owner', '=', holder) : where('lease_owner', 'is', null)))
            .executeTakeFirst()
          return Number(numUpdatedRows) === 1
        })
        if (taken) return this.get(id)
      }
      return null
    },

    async release(id, dueAt) {
      await store.transact((tx) =>
        tx.updateTable('writeback').set({ lease_owner: null, due_at: dueAt }).where('id', '=', id).execute(),
      )
    },

    async nextDue(systems) {
      if (systems.length === 0) return null
      const row = await store.read
        .selectFrom('writeback')
        .select((of) => of.fn.min('due_at').as('due'))
        .where('state', 'in', [...OPEN])
        .where('system', 'in', [...systems])
        .executeTakeFirst()
      return row?.due === null || row?.due === undefined ? null : Number(row.due)
    },
  }
}

export interface StepOptions {
  /** Counts the attempt that begins with this step. */
  readonly attempts?: number
  /** When a worker shall look again; default: now. */
  readonly dueAt?: number
  /** Keeps the writeback for this worker; otherwise anybody may take it. */
  readonly keepFor?: string
}

/** One step, inside the caller's transaction: the state, its history, its event, and whatever else belongs to it. */
export async function step(
  tx: Database,
  id: string,
  state: WritebackState,
  options: StepOptions = {},
): Promise<void> {
  const now = new Date().toISOString()
  const row = await tx
    .updateTable('writeback')
    .set({
      state: state.name,
      detail: JSON.stringify(state),
      ...(options.attempts === undefined ? {} : { attempts: options.attempts }),
      due_at: options.dueAt ?? Date.now(),
      lease_owner: options.keepFor ?? null,
      updated_at: now,
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst()
  await noteTransition(tx, id, state, now)
  if (row) await appendNotes(tx, [stepNote(writebackOf(row))])
}

async function noteTransition(
  tx: Database,
  writeback: string,
  state: WritebackState,
  at: string,
): Promise<void> {
  await tx
    .insertInto('writeback_history')
    .values({ writeback, state: state.name, at, note: noteOf(state) })
    .execute()
}

function noteOf(state: WritebackState): string | null {
  switch (state.name) {
    case 'accepted':
      return state.note ?? null
    case 'confirmed':
      return `key ${state.key}`
    case 'rejected':
    case 'unknown':
    case 'needs-attention':
      return state.problem.message
    case 'awaiting-approval':
      return state.message
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
    caller: JSON.parse(row.caller) as Caller,
    system: row.system,
    record: row.record as RecordType,
    action: row.action,
    input: JSON.parse(row.input),
    externalReference: row.external_reference,
    attempts: row.attempts,
    acceptedAt: row.accepted_at,
    updatedAt: row.updated_at,
    state: JSON.parse(row.detail) as WritebackState,
  }
}
