/** What a run of a flow tells in the log of events. Pure. */
import type { Note } from '../events/append.ts'
import type { FlowRun, RunStep } from './run.ts'

/** Each state of a run, and each step that has come to something. */
export function runNote(run: FlowRun, step?: RunStep): Note {
  const { state, flow, version, key, caller } = run
  const told = step ? `step.${step.name}` : state.name === 'running' ? 'started' : state.name
  return {
    source: '/flows',
    type: `flow.${told.replaceAll('-', '.')}`,
    system: '',
    record: 'flow',
    key: run.id,
    data: {
      changes: [],
      facts: {
        flow,
        version: String(version),
        key,
        state: state.name,
        tenant: caller.tenant,
        step: step?.step ?? null,
        code: 'problem' in state ? state.problem.code : null,
      },
      before: null,
      affects: [],
      cause: { run: run.id },
    },
  }
}
