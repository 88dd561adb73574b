/**
 * Where runs live, in the store beside the journal. Every step of a run is durable before it is taken, under the
 * lease of the process that takes it: who has lost the lease changes nothing any more.
 */
import { randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import type { Caller } from '../caller/caller.ts'
import { appendNotes } from '../events/append.ts'
import type { Database, Store } from '../store/store.ts'
import type { FlowRunTable } from '../store/tables.ts'
import { leaseOf, ownerOf } from '../writeback/journal.ts'
import { allSteps, type Flow } from './flow.ts'
import { type Cause, type FlowRun, hasEnded, type RunState, type RunStateName, type RunStep } from './run.ts'
import { runNote } from './told.ts'

export interface Start {
  readonly flow: Flow
  readonly key: string
  readonly caller: Caller
  readonly cause: Cause
}

export interface LeasedRun {
  readonly run: FlowRun
  readonly lease: string
}

/** What changes in one transaction. */
export interface Change {
  readonly state?: RunState
  readonly step?: RunStep
  /** All steps anew. */
  readonly steps?: readonly RunStep[]
  readonly round?: number
  readonly note?: string | null
  readonly by?: { readonly subject: string; readonly origin: string | null }
}

export interface RunTransition {
  readonly at: string
  readonly step: string | null
  readonly state: string
  readonly note: string | null
  readonly subject: string | null
  readonly origin: string | null
}

export interface RunPage {
  readonly first: number
  readonly after?: { readonly startedAt: string; readonly id: string } | undefined
  readonly state?: RunStateName | undefined
  readonly flow?: string | undefined
  /** RFC 3339: started before, to find what takes long. */
  readonly startedBefore?: string | undefined
  readonly tenant: string
}

/** Somebody else has taken the run: nothing was changed. */
export class LostRun extends Error {
  override readonly name = 'LostRun'
}

/** A run that needs a person is looked at again in case the reason is gone. */
const ATTENTION_AGAIN_MS = 60_000

export type Runs = ReturnType<typeof createRuns>

export function createRuns(store: Store) {
  const get = (id: string) => getIn(store.read, id)

  return {
    get,

    /** Begins a run, or finds the one there is, inside a transaction. */
    async startIn(
      tx: Database,
      { flow, key, caller, cause }: Start,
    ): Promise<{ readonly run: FlowRun; readonly isNew: boolean }> {
      const known = await byKeyIn(tx, caller.tenant, flow.name, key)
      if (known) return { run: known, isNew: false }
      const now = new Date().toISOString()
      const state: RunState = { name: 'running' }
      const steps = allSteps(flow).map((step): RunStep => ({ step: step.name, at: now, name: 'pending' }))
      const row = await tx
        .insertInto('flow_run')
        .values({
          id: `run_${randomUUID().replaceAll('-', '')}`,
          flow: flow.name,
          version: flow.version,
          business_key: key,
          tenant: caller.tenant,
          caller: JSON.stringify(caller),
          cause: JSON.stringify(cause),
          round: 1,
          state: state.name,
          detail: JSON.stringify(state),
          steps: JSON.stringify(steps),
          due_at: Date.now(),
          lease_owner: null,
          started_at: now,
          updated_at: now,
          ended_at: null,
        })
        .returningAll()
        .executeTakeFirstOrThrow()
      const run = runFrom(row)
      await noteIn(tx, run, { state, note: cause.event ? `by event ${cause.event}` : null })
      await appendNotes(tx, [runNote(run)])
      return { run, isNew: true }
    },

    byKey: (tenant: string, flow: string, key: string) => byKeyIn(store.read, tenant, flow, key),

    async list(page: RunPage): Promise<FlowRun[]> {
      let query = store.read.selectFrom('flow_run').selectAll().where('tenant', '=', page.tenant)
      if (page.state) query = query.where('state', '=', page.state)
      if (page.flow) query = query.where('flow', '=', page.flow)
      if (page.startedBefore) query = query.where('started_at', '<', page.startedBefore)
      const { after } = page
      if (after) {
        query = query.where((where) =>
          where.or([
            where('started_at', '<', after.startedAt),
            where.and([where('started_at', '=', after.startedAt), where('id', '<', after.id)]),
          ]),
        )
      }
      const rows = await query.orderBy('started_at', 'desc').orderBy('id', 'desc').limit(page.first).execute()
      return rows.map(runFrom)
    },

    async changedSince(tenant: string, since: Date, first: number): Promise<FlowRun[]> {
      const rows = await store.read
        .selectFrom('flow_run')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('updated_at', '>=', since.toISOString())
        .orderBy('updated_at')
        .limit(first)
        .execute()
      return rows.map(runFrom)
    },

    history: (run: string): Promise<RunTransition[]> =>
      store.read
        .selectFrom('flow_history')
        .select(['at', 'step', 'state', 'note', 'subject', 'origin'])
        .where('run', '=', run)
        .orderBy('position')
        .execute(),

    /** Takes what is due and in nobody's hands. */
    async claim(limit: number, lease: () => string): Promise<LeasedRun[]> {
      if (limit <= 0 || (await due(store.read, 1)).length === 0) return []
      return store.transact(async (tx) => {
        const taken: LeasedRun[] = []
        for (const { id } of await due(tx, limit)) {
          const name = lease()
          const row = await tx
            .updateTable('flow_run')
            .set({ lease_owner: name })
            .where('id', '=', id)
            .returningAll()
            .executeTakeFirstOrThrow()
          taken.push({ run: runFrom(row), lease: name })
        }
        return taken
      })
    },

    async nextDue(): Promise<number | null> {
      const row = await store.read
        .selectFrom('flow_run')
        .select((of) => of.fn.min('due_at').as('due'))
        .where('ended_at', 'is', null)
        .where('lease_owner', 'is', null)
        .executeTakeFirst()
      return row?.due === null || row?.due === undefined ? null : Number(row.due)
    },

    /** Lets go; looked at again at that time. */
    async release(id: string, lease: string, dueAt: number): Promise<void> {
      await store.transact((tx) =>
        tx
          .updateTable('flow_run')
          .set({ lease_owner: null, due_at: dueAt })
          .where('id', '=', id)
          .where('lease_owner', '=', lease)
          .execute(),
      )
    },

    /** A write of it has come to something: it is looked at now. */
    async nudge(id: string): Promise<void> {
      await store.transact((tx) =>
        tx
          .updateTable('flow_run')
          .set({ due_at: Date.now() })
          .where('id', '=', id)
          .where('ended_at', 'is', null)
          .execute(),
      )
    },

    async releaseDead(isAlive: (owner: string) => Promise<boolean>): Promise<boolean> {
      const held = await store.read
        .selectFrom('flow_run')
        .select('lease_owner')
        .distinct()
        .where('lease_owner', 'is not', null)
        .execute()
      const leases = held.flatMap(({ lease_owner: lease }) => (lease === null ? [] : [lease]))
      const dead: string[] = []
      for (const [owner, theirs] of Map.groupBy(leases, ownerOf))
        if (!(await isAlive(owner))) dead.push(...theirs)
      if (dead.length === 0) return false
      await store.transact((tx) =>
        tx.updateTable('flow_run').set({ lease_owner: null }).where('lease_owner', 'in', dead).execute(),
      )
      return true
    },

    /**
     * One change inside the caller's transaction, with its history and its event.
     * @param lease Whose it is; null: an operator's, who takes it out of anybody's hands.
     * @throws LostRun
     */
    async changeIn(tx: Database, id: string, lease: string | null, change: Change): Promise<FlowRun> {
      const before = await rowIn(tx, id)
      if (!before || (lease !== null && before.lease_owner !== lease)) throw new LostRun(id)
      const now = new Date().toISOString()
      const { step } = change
      const steps = change.steps ?? (JSON.parse(before.steps) as RunStep[])
      const next = step ? steps.map((one) => (one.step === step.step ? step : one)) : steps
      const state = change.state ?? (JSON.parse(before.detail) as RunState)
      const ended = hasEnded(state)
      const free = lease === null || ended
      const row = await tx
        .updateTable('flow_run')
        .set({
          state: state.name,
          detail: JSON.stringify(state),
          steps: JSON.stringify(next),
          updated_at: now,
          ended_at: ended ? now : null,
          ...(change.round === undefined ? {} : { round: change.round }),
          ...(free ? { lease_owner: null } : {}),
          ...(lease === null ? { due_at: Date.now() } : {}),
        })
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirstOrThrow()
      const run = runFrom(row)
      await noteIn(tx, run, change)
      await appendNotes(tx, [
        ...(step ? [runNote(run, step)] : []),
        ...(change.state && change.state.name !== before.state ? [runNote(run)] : []),
      ])
      return run
    },
  }

  function due(db: Database, limit: number) {
    return db
      .selectFrom('flow_run')
      .select('id')
      .where('ended_at', 'is', null)
      .where('lease_owner', 'is', null)
      .where('due_at', '<=', Date.now())
      .orderBy('due_at')
      .limit(limit)
      .execute()
  }
}

export { ATTENTION_AGAIN_MS, leaseOf }

const rowIn = (db: Database, id: string) =>
  db.selectFrom('flow_run').selectAll().where('id', '=', id).executeTakeFirst()

export async function getIn(db: Database, id: string): Promise<FlowRun | null> {
  const row = await rowIn(db, id)
  return row ? runFrom(row) : null
}

async function byKeyIn(db: Database, tenant: string, flow: string, key: string): Promise<FlowRun | null> {
  const row = await db
    .selectFrom('flow_run')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('flow', '=', flow)
    .where('business_key', '=', key)
    .executeTakeFirst()
  return row ? runFrom(row) : null
}

async function noteIn(tx: Database, run: FlowRun, { step, state, note, by }: Change): Promise<void> {
  const entries = [
    ...(step ? [{ step: step.step, state: step.name as string, note: note ?? stepNote(step) }] : []),
    ...(state
      ? [
          {
            step: null,
            state: state.name as string,
            note: step ? stateNote(state) : (note ?? stateNote(state)),
          },
        ]
      : []),
  ]
  for (const entry of entries) {
    await tx
      .insertInto('flow_history')
      .values({
        run: run.id,
        at: run.updatedAt,
        ...entry,
        subject: by?.subject ?? null,
        origin: by?.origin ?? null,
      })
      .execute()
  }
}

function stepNote(step: RunStep): string | null {
  switch (step.name) {
    case 'sent':
      return `writeback ${step.writeback}`
    case 'done':
      return `${step.system} ${step.key}`
    case 'skipped':
      return step.reason
    case 'failed':
    case 'not-undone':
      return step.problem.message
    case 'undoing':
      return `writeback ${step.undo}`
    case 'undone':
      return step.note ?? null
    default:
      return null
  }
}

function stateNote(state: RunState): string | null {
  if ('problem' in state) return state.problem.message
  if (state.name === 'resolved') return state.reason
  return null
}

function runFrom(row: Selectable<FlowRunTable>): FlowRun {
  return {
    id: row.id,
    flow: row.flow,
    version: row.version,
    key: row.business_key,
    caller: JSON.parse(row.caller) as Caller,
    cause: JSON.parse(row.cause) as Cause,
    round: row.round,
    state: JSON.parse(row.detail) as RunState,
    steps: JSON.parse(row.steps) as RunStep[],
    startedAt: row.started_at,
    updatedAt: row.updated_at,
    endedAt: row.ended_at,
  }
}
