/** What a person may decide about writebacks and systems. Each decision is kept: who, from where, what and why. */
import type { Caller } from '../caller/caller.ts'
import type { Database, Store } from '../store/store.ts'
import { type Journal, step } from './journal.ts'
import type { Readers, Worker } from './worker.ts'
import { type Decision, decisionsFor, type Writeback, type WritebackState } from './writeback.ts'

export interface Operator {
  /**
   * Looks or sends again, now. What may be in the system already is looked for first; where it is proved absent, all
   * tries are given anew.
   */
  retry(id: string, decision: Decided): Promise<Operated>
  /** Gives up what was not sent yet. */
  cancel(id: string, decision: Decided): Promise<Operated>
  /** Says how it ended, where a person knows and the gateway does not. */
  resolve(id: string, ending: Ending, decision: Decided): Promise<Operated>
  /** Sends nothing to this system until it is resumed. */
  pause(system: string, decision: Decided): Promise<void>
  /** Does something else, and keeps who decided it. */
  decide<T>(what: string, about: string, decision: Decided, work: (tx: Database) => Promise<T>): Promise<T>
  resume(system: string, decision: Decided): Promise<void>
  /** What was decided, newest first. @param before Only older than this position. */
  actions(first: number, before: number | undefined, caller: Caller): Promise<readonly OperatorAction[]>
}

export interface Decided {
  readonly caller: Caller
  readonly reason: string
}

export type Ending = { readonly as: 'confirmed'; readonly key: string } | { readonly as: 'rejected' }

export type Operated =
  | { readonly ok: true; readonly writeback: Writeback }
  | { readonly ok: false; readonly reason: 'not-found' | 'not-possible'; readonly message: string }

export interface OperatorAction {
  readonly position: number
  readonly at: string
  readonly subject: string
  readonly origin: string | null
  readonly action: string
  readonly about: string
  readonly reason: string
}

export interface OperatorOptions {
  readonly store: Store
  readonly journal: Journal
  readonly worker: Worker
  readonly readers: Pick<Readers, 'invalidate'>
}

export function createOperator({ store, journal, worker, readers }: OperatorOptions): Operator {
  /** The decision and what follows from it, in one transaction; judged by the state at that moment. */
  const decide = async (
    id: string,
    what: Decision,
    decision: Decided,
    next: (writeback: Writeback) => WritebackState | 'now',
    note = '',
  ): Promise<Operated> => {
    const { caller } = decision
    const operated = await store.transact(async (tx): Promise<Operated> => {
      const writeback = await journal.getIn(tx, id)
      if (!writeback || writeback.caller.tenant !== caller.tenant)
        return { ok: false, reason: 'not-found', message: `There is no writeback "${id}".` }
      if (!decisionsFor(writeback).includes(what)) {
        const state = writeback.state.name
        const message = `A writeback that is "${state}" cannot be told to ${what}: ${WHY[what]}`
        return { ok: false, reason: 'not-possible', message }
      }
      await keepDecision(tx, decision, `${what}${note}`, id)
      const state = next(writeback)
      if (state === 'now') {
        await tx.updateTable('writeback').set({ due_at: Date.now() }).where('id', '=', id).execute()
        return { ok: true, writeback }
      }
      const by = { subject: caller.subject, origin: caller.origin ?? null }
      const after = await step(tx, id, null, state, { by, ...(what === 'retry' ? { tries: 0 } : {}) })
      return { ok: true, writeback: after ?? writeback }
    })
    if (operated.ok) worker.announce(operated.writeback)
    worker.wake()
    return operated
  }

  return {
    retry: (id, decision) =>
      decide(id, 'retry', decision, ({ state, attempts }) => {
        if (state.name !== 'needs-attention') return 'now'
        const note = `told to try again: ${decision.reason}`
        return attempts === 0
          ? { name: 'accepted', note }
          : { name: 'unknown', problem: { ...state.problem, message: note }, notFoundSince: null }
      }),

    cancel: (id, decision) =>
      decide(id, 'cancel', decision, () => ({ name: 'cancelled', reason: decision.reason })),

    async resolve(id, ending, decision) {
      const operated = await decide(
        id,
        'resolve',
        decision,
        () =>
          ending.as === 'confirmed'
            ? { name: 'confirmed', key: ending.key, reached: 'effective', note: decision.reason }
            : { name: 'rejected', problem: { code: 'RESOLVED_BY_HAND', message: decision.reason } },
        ending.as === 'confirmed' ? ` as confirmed, key ${ending.key}` : ' as rejected',
      )
      if (operated.ok && ending.as === 'confirmed') {
        const { system, record } = operated.writeback
        readers.invalidate([{ system, record, key: ending.key }])
      }
      return operated
    },

    decide: (what, about, decision, work) =>
      store.transact(async (tx) => {
        await keepDecision(tx, decision, what, about)
        return work(tx)
      }),

    async pause(system, decision) {
      const { reason, caller } = decision
      const row = { reason, subject: caller.subject, at: new Date().toISOString() }
      await store.transact(async (tx) => {
        await tx
          .insertInto('paused_system')
          .values({ system, ...row })
          .onConflict((conflict) => conflict.column('system').doUpdateSet(row))
          .execute()
        await keepDecision(tx, decision, 'pause', system)
      })
      await worker.reconsider()
    },

    async resume(system, decision) {
      await store.transact(async (tx) => {
        await tx.deleteFrom('paused_system').where('system', '=', system).execute()
        await keepDecision(tx, decision, 'resume', system)
      })
      await worker.reconsider()
    },

    async actions(first, before, caller) {
      let query = store.read.selectFrom('operator_action').selectAll().where('tenant', '=', caller.tenant)
      if (before !== undefined) query = query.where('position', '<', before)
      return query.orderBy('position', 'desc').limit(first).execute()
    },
  }
}

/** Who decided what, from where and why: for `operatorActions`. @param about What it is about: an id. */
export async function keepDecision(
  tx: Database,
  { caller, reason }: Decided,
  action: string,
  about: string,
): Promise<void> {
  await tx
    .insertInto('operator_action')
    .values({
      at: new Date().toISOString(),
      tenant: caller.tenant,
      subject: caller.subject,
      origin: caller.origin ?? null,
      action,
      about,
      reason,
    })
    .execute()
}

const WHY: Readonly<Record<Decision, string>> = {
  retry: 'it has ended.',
  cancel: 'it may have been sent. Resolve it when its fate is known, or undo it in the system.',
  resolve: 'its fate is known, or it was not sent yet.',
}
