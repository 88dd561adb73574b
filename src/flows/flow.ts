/**
 * What a flow is: writes in several systems that belong together, declared as steps with what undoes them. A flow
 * says what is to be written; how it gets there, once, is the writeback's business.
 */
import type { ChangeEvent } from '../events/event.ts'
import type { IdentityType } from '../identity/registry.ts'
import type { LookupName, WriteTarget } from '../systems/port.ts'
import type { Key, RecordType, RecordTypes } from '../systems/records.ts'
import type { Problem } from '../writeback/writeback.ts'

export interface Flow {
  readonly name: string
  /** Runs stay with the version that they began with: keep the old one declared until its runs have ended. */
  readonly version: number
  readonly description: string
  /** The record that a run is about; its key is the business key: one run per flow and key. */
  readonly subject: { readonly system: string; readonly record: RecordType }
  /** Which change of the subject begins a run; absent: it is begun by hand only. Looks at the event alone. */
  startsOn?(event: ChangeEvent): boolean
  /** Why a run cannot begin now, for who begins it by hand; null: it can. */
  refuses?(subject: Key, tools: FlowTools): Promise<string | null>
  /** In order; those in one list are carried out together. */
  readonly stages: readonly (Step | readonly Step[])[]
}

export interface Step {
  /** Unique in its flow; part of the step's idempotency key, so a new name is a new step. */
  readonly name: string
  /** What is to be written. May be asked again after a crash, until the write is in the journal; then never again. */
  prepare(run: RunView, tools: FlowTools): Promise<Plan>
  /** What undoes it; absent: nothing needs to be undone. Asked only for a step that is done. */
  undo?(run: RunView, done: StepResult, tools: FlowTools): Promise<Plan>
}

/** What comes of preparing a step. */
export type Plan =
  | {
      readonly write: StepWrite
      /** JSON that later steps and the undoing find beside the result. */
      readonly data?: unknown
    }
  /** Nothing to do here; the flow goes on. */
  | { readonly skip: string; readonly data?: unknown }
  /** It cannot be done: what was done before is undone. */
  | { readonly reject: Problem }

export interface StepWrite {
  readonly system: string
  readonly record: RecordType
  readonly action: string
  /** As the adapter's action takes it. */
  readonly input: object
  /** The record that it changes; not given: it makes a new one. */
  readonly key?: Key
  readonly target?: WriteTarget
}

/** What a step sees of its run. */
export interface RunView {
  readonly id: string
  /** Key of the subject. */
  readonly key: Key
  readonly startedAt: string
  /** Of the steps that are done or skipped, by name. */
  readonly results: Readonly<Record<string, StepResult>>
}

export interface StepResult {
  /** Empty where the step was skipped. */
  readonly system: string
  readonly key: Key
  readonly data?: unknown
}

/** Reads as of now, never from the cache. Throw `FlowWait` out of a step to be asked again later. */
export interface FlowTools {
  /** @throws FlowWait where the system does not answer, FlowReject where the read is refused. */
  record<T extends RecordType>(system: string, type: T, key: Key): Promise<RecordTypes[T] | null>
  lookup<T extends RecordType>(
    system: string,
    type: T,
    by: LookupName,
    key: Key,
  ): Promise<readonly RecordTypes[T][]>
  /** The keys that another system has for the same customer or product; empty where none is known. */
  counterparts(type: IdentityType, of: { system: string; key: Key }, system: string): Promise<readonly Key[]>
}

/** A step cannot be prepared now; it is asked again later. */
export class FlowWait extends Error {
  override readonly name = 'FlowWait'
}

/** As `{ reject }`, out of the depth of a step. */
export class FlowReject extends Error {
  override readonly name = 'FlowReject'
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

export const reject = (code: string, message: string, more: Partial<Problem> = {}): FlowReject =>
  new FlowReject({ code, message, ...more })

export const stepsOf = (stage: Step | readonly Step[]): readonly Step[] =>
  Array.isArray(stage) ? stage : [stage as Step]
export const allSteps = (flow: Flow): Step[] => flow.stages.flatMap(stepsOf)

export interface Flows {
  /** The newest version of each, in the order of declaration. */
  all(): readonly Flow[]
  newest(name: string): Flow | undefined
  get(name: string, version: number): Flow | undefined
}

/** @throws where two flows, or two steps of one, have one name. */
export function createFlows(list: readonly Flow[]): Flows {
  const byVersion = new Map<string, Flow>()
  const newest = new Map<string, Flow>()
  for (const flow of list) {
    const id = `${flow.name}@${flow.version}`
    if (!/^[a-z][a-z0-9-]{0,40}$/.test(flow.name)) throw new Error(`"${flow.name}" is no name for a flow`)
    if (byVersion.has(id)) throw new Error(`flow ${id} is declared twice`)
    const names = allSteps(flow).map((step) => step.name)
    if (names.length === 0) throw new Error(`flow ${id} has no steps`)
    for (const name of names) {
      if (!/^[a-z][a-z0-9-]{0,40}$/.test(name)) throw new Error(`flow ${id}: "${name}" is no name for a step`)
      if (names.indexOf(name) !== names.lastIndexOf(name))
        throw new Error(`flow ${id} has two steps called "${name}"`)
    }
    byVersion.set(id, flow)
    const known = newest.get(flow.name)
    if (!known || known.version < flow.version) newest.set(flow.name, flow)
  }
  return {
    all: () => [...newest.values()],
    newest: (name) => newest.get(name),
    get: (name, version) => byVersion.get(`${name}@${version}`),
  }
}
