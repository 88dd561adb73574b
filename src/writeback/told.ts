/** A step of a writeback as an event: those who watch see each state, whatever has become of it since. Pure. */
import type { Note } from '../events/append.ts'
import { causeOf, type Writeback } from './writeback.ts'

export function stepNote(writeback: Writeback): Note {
  const { id, system, record, action, caller, attempts, state } = writeback
  // Looking in vain again and again is no news.
  const repeats = state.name === 'unknown' || state.name === 'awaiting-approval'
  return {
    ...(repeats ? { id: `${id}/${attempts}/${state.name}` } : {}),
    source: '/writebacks',
    type: `writeback.${state.name.replaceAll('-', '.')}`,
    system,
    record: 'writeback',
    key: id,
    data: {
      changes: [],
      facts: {
        state: state.name,
        tenant: caller.tenant,
        record,
        action,
        key: 'key' in state ? state.key : null,
        code: 'problem' in state ? state.problem.code : null,
        attempts: String(attempts),
      },
      before: null,
      affects: [],
      detail: { state, attempts },
      cause: causeOf(writeback),
    },
  }
}
