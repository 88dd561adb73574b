/** One run of a flow, from the event or the mutation that began it to its end, step by step. */
import type { Caller } from '../caller/caller.ts'
import type { Key } from '../systems/records.ts'
import { FLOW, type Problem } from '../writeback/writeback.ts'
import type { RunView, StepResult } from './flow.ts'

export interface FlowRun {
  readonly id: string
  readonly flow: string
  readonly version: number
  /** Key of the record that it is about. */
  readonly key: Key
  readonly caller: Caller
  /** What began it. */
  readonly cause: Cause
  /** Grows when a run that was undone is begun again: its steps are new ones then. */
  readonly round: number
  readonly state: RunState
  readonly steps: readonly RunStep[]
  readonly startedAt: string
  readonly updatedAt: string
  readonly endedAt: string | null
}

export interface Cause {
  /** The event in the log, as `source id`; absent: a mutation. */
  readonly event?: string
  /** The run whose write led to that event. */
  readonly run?: string
  /** How many runs stand before this one. */
  readonly depth: number
}

/** Each state with its own data only. */
export type RunState =
  /** `note`: why it does not go on just now. */
  | { readonly name: 'running'; readonly note?: string }
  /** Something could not be done: what was done before is being undone. */
  | { readonly name: 'undoing'; readonly problem: Problem; readonly note?: string }
  | { readonly name: 'completed' }
  /** Everything that was done is undone. */
  | { readonly name: 'compensated'; readonly problem: Problem }
  | {
      readonly name: 'needs-attention'
      readonly problem: Problem
      readonly step?: string
      /** What it was doing, and goes on with. */
      readonly doing: 'running' | { readonly undoing: Problem }
    }
  /** A person says that it is over. */
  | { readonly name: 'resolved'; readonly reason: string }

export type RunStateName = RunState['name']

export type RunStep = { readonly step: string; readonly at: string } & StepState

/** `key`, `system`: of the record that the step made or changed. */
interface Done {
  readonly writeback: string
  readonly system: string
  readonly key: Key
  readonly data?: unknown
}

export type StepState =
  /** `conflicts`: so often somebody changed the record between reading and writing; it is read again. */
  | { readonly name: 'pending'; readonly conflicts?: number }
  /** In the journal. */
  | {
      readonly name: 'sent'
      readonly writeback: string
      readonly data?: unknown
      readonly conflicts?: number
    }
  | ({ readonly name: 'done' } & Done)
  | { readonly name: 'skipped'; readonly reason: string; readonly data?: unknown }
  | { readonly name: 'failed'; readonly writeback: string | null; readonly problem: Problem }
  /** What undoes it is in the journal. */
  | ({ readonly name: 'undoing'; readonly undo: string; readonly tries: number } & Done)
  | ({ readonly name: 'undone'; readonly undo: string | null; readonly note?: string } & Done)
  /** It is still in force. */
  | ({
      readonly name: 'not-undone'
      readonly undo: string | null
      readonly tries: number
      readonly problem: Problem
    } & Done)

export type StepStateName = StepState['name']

const ENDED: ReadonlySet<RunStateName> = new Set(['completed', 'compensated', 'resolved'])
export const hasEnded = (state: RunState): boolean => ENDED.has(state.name)

/** The journal's name of a flow's writes. */
export const mutationOf = ({ flow, version }: Pick<FlowRun, 'flow' | 'version'>): string =>
  `${FLOW}${flow}@${version}`
/** @param suffix Tells attempts with an input of their own apart: after a conflict, or of undoing. */
export const stepKey = (run: Pick<FlowRun, 'id' | 'round'>, step: string, suffix = ''): string =>
  `${run.id}/${run.round}/${step}${suffix}`

/** What an operator may do with a run as it stands. */
export type RunDecision = 'retry' | 'cancel' | 'resolve'

export function decisionsFor({ state }: Pick<FlowRun, 'state'>): RunDecision[] {
  switch (state.name) {
    case 'running':
      return ['retry', 'cancel']
    case 'undoing':
      return ['retry']
    case 'needs-attention':
      return state.doing === 'running' ? ['retry', 'cancel', 'resolve'] : ['retry', 'resolve']
    case 'compensated':
      return ['retry']
    default:
      return []
  }
}

export function viewOf(run: FlowRun): RunView {
  const results: Record<string, StepResult> = {}
  for (const step of run.steps) {
    if (step.name === 'skipped') results[step.step] = { system: '', key: '', data: step.data }
    else if ('key' in step) results[step.step] = { system: step.system, key: step.key, data: step.data }
  }
  return { id: run.id, key: run.key, startedAt: run.startedAt, results }
}
