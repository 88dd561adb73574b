/** Runs as people begin them and decide about them. Each decision is kept: who, from where, what and why. */
import type { Caller } from '../caller/caller.ts'
import type { EventLog } from '../events/log.ts'
import type { Database, Store } from '../store/store.ts'
import { type Decided, keepDecision } from '../writeback/operate.ts'
import { FlowReject, type Flows, type FlowTools, FlowWait } from './flow.ts'
import { decisionsFor, type FlowRun, type RunDecision, type RunStep } from './run.ts'
import type { Runner } from './runner.ts'
import { type Change, getIn, type Runs } from './runs.ts'

export interface FlowDesk {
  readonly flows: Flows
  readonly runs: Runs
  /** Begins a run, or finds the one there is; waits a little for its end. */
  begin(
    name: string,
    subject: { system: string; record: string; key: string },
    caller: Caller,
    waitMs: number,
  ): Promise<Begun>
  /** Goes on now. What could not be undone is tried again; a run that was undone begins again, with steps of its own. */
  retry(id: string, decision: Decided): Promise<Told>
  /** Carries out no further step, and undoes what was done. */
  cancel(id: string, decision: Decided): Promise<Told>
  /** Says that a step is undone, by hand, or that the run is over as it stands. */
  resolve(id: string, step: string | undefined, decision: Decided): Promise<Told>
}

export type Begun =
  | { readonly ok: true; readonly run: FlowRun }
  | { readonly ok: false; readonly reason: 'unknown' | 'refused' | 'unavailable'; readonly message: string }

export type Told =
  | { readonly ok: true; readonly run: FlowRun }
  | { readonly ok: false; readonly reason: 'not-found' | 'not-possible'; readonly message: string }

export interface FlowDeskOptions {
  readonly store: Store
  readonly flows: Flows
  readonly runs: Runs
  readonly runner: Runner
  readonly tools: FlowTools
  readonly events: Pick<EventLog, 'announce'>
}

export function createFlowDesk({ store, flows, runs, runner, tools, events }: FlowDeskOptions): FlowDesk {
  const decide = async (
    id: string,
    what: RunDecision,
    decision: Decided,
    note: string,
    next: (run: FlowRun, tx: Database) => Change | string | Promise<Change | string>,
  ): Promise<Told> => {
    const { caller } = decision
    const told = await store.transact(async (tx): Promise<Told> => {
      const run = await getIn(tx, id)
      if (!run || run.caller.tenant !== caller.tenant)
        return { ok: false, reason: 'not-found', message: `There is no run "${id}" of a flow.` }
      if (!decisionsFor(run).includes(what)) {
        const message = `A run that is "${run.state.name}" cannot be told to ${what}.`
        return { ok: false, reason: 'not-possible', message }
      }
      const change = await next(run, tx)
      if (typeof change === 'string') return { ok: false, reason: 'not-possible', message: change }
      await keepDecision(tx, decision, `${what} flow${note}`, id)
      const by = { subject: caller.subject, origin: caller.origin ?? null }
      return { ok: true, run: await runs.changeIn(tx, id, null, { ...change, by, note: decision.reason }) }
    })
    if (told.ok) events.announce().catch(() => {})
    runner.wake()
    return told
  }

  return {
    flows,
    runs,

    async begin(name, { system, record, key }, caller, waitMs) {
      const flow = flows.newest(name)
      if (!flow) {
        const known = flows.all().map((one) => one.name)
        const message = `There is no flow "${name}". ${known.length ? `Flows: ${known.join(', ')}.` : 'The configuration switches none on.'}`
        return { ok: false, reason: 'unknown', message }
      }
      const { subject } = flow
      if (subject.system !== system || subject.record !== record) {
        const message = `Flow "${name}" is about records "${subject.record}" of system "${subject.system}", not "${record}" of "${system}".`
        return { ok: false, reason: 'refused', message }
      }
      const known = await runs.byKey(caller.tenant, name, key)
      if (!known) {
        try {
          const why = await flow.refuses?.(key, tools)
          if (why) return { ok: false, reason: 'refused', message: why }
        } catch (error) {
          if (error instanceof FlowWait) return { ok: false, reason: 'unavailable', message: error.message }
          if (error instanceof FlowReject) return { ok: false, reason: 'refused', message: error.message }
          throw error
        }
      }
      const { run } = known
        ? { run: known }
        : await store.transact((tx) => runs.startIn(tx, { flow, key, caller, cause: { depth: 0 } }))
      events.announce().catch(() => {})
      runner.wake()
      return { ok: true, run: (await runner.settled(run.id, waitMs)) ?? run }
    },

    retry: (id, decision) =>
      decide(id, 'retry', decision, '', (run): Change => {
        const at = new Date().toISOString()
        if (run.state.name === 'compensated') {
          const steps = run.steps.map(({ step }): RunStep => ({ step, at, name: 'pending' }))
          return { state: { name: 'running' }, steps, round: run.round + 1 }
        }
        if (run.state.name !== 'needs-attention') return {}
        const { doing } = run.state
        const steps = run.steps.map((step): RunStep => {
          if (step.name !== 'not-undone') return step
          const { problem: _problem, undo: _undo, ...done } = step
          // Tried under the next number: the one before has ended, and its key says so for ever.
          return { ...done, at, name: 'done' }
        })
        return {
          state: doing === 'running' ? { name: 'running' } : { name: 'undoing', problem: doing.undoing },
          steps,
        }
      }),

    cancel: (id, decision) =>
      decide(id, 'cancel', decision, '', () => ({
        state: { name: 'undoing', problem: { code: 'CANCELLED', message: decision.reason } },
      })),

    resolve: (id, step, decision) =>
      decide(id, 'resolve', decision, step ? ` step ${step}` : '', (run): Change | string => {
        if (step === undefined) return { state: { name: 'resolved', reason: decision.reason } }
        const is = run.steps.find((one) => one.step === step)
        if (is?.name !== 'not-undone')
          return is
            ? `Step "${step}" is "${is.name}": only one that could not be undone can be resolved.`
            : `The run has no step "${step}".`
        const { problem: _problem, tries: _tries, ...done } = is
        const { state } = run
        const undoing =
          state.name === 'needs-attention' && state.doing !== 'running' ? state.doing.undoing : is.problem
        return {
          state: { name: 'undoing', problem: undoing },
          step: {
            ...done,
            at: new Date().toISOString(),
            name: 'undone',
            note: `by hand: ${decision.reason}`,
          },
        }
      }),
  }
}
