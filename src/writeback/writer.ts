/** The write path, as a mutation sees it: promise it, wait a little, answer with what is known. */
import type { Systems } from '../systems/registry.ts'
import type { Journal, WriteRequest } from './journal.ts'
import { actionOf, type Worker } from './worker.ts'
import type { Writeback, WritebackState } from './writeback.ts'

export interface Writer {
  /**
   * Journals the write, then waits until it has ended or the time is over. What is promised is carried out
   * whether or not anybody waits.
   */
  submit(request: WriteRequest, waitMs?: number): Promise<Submitted>
}

export type Submitted =
  | { readonly ok: true; readonly writeback: Writeback }
  | {
      readonly ok: false
      readonly reason: 'unsupported' | 'writes-off' | 'key-reused'
      readonly message: string
    }

/** As long as a person looks at a spinning wheel. */
const WAIT_MS = 5_000

export function createWriter(systems: Systems, journal: Journal, worker: Worker): Writer {
  return {
    async submit(request, waitMs = WAIT_MS) {
      const { record, action } = request
      const system = systems.get(request.system)
      const known = system && actionOf(system, record, action)
      if (!system || !known) {
        const message = `System "${request.system}" cannot ${action} ${record} records.`
        return { ok: false, reason: 'unsupported', message }
      }
      const mode = system.writeMode(record, action)
      if (mode === 'off') {
        const message =
          `Writing is switched off: system "${system.id}" has writes "off" for ${record}.${action}. ` +
          'An operator can set it to "dryRun" or "on" in the configuration.'
        return { ok: false, reason: 'writes-off', message }
      }
      const initial: WritebackState =
        mode === 'on'
          ? { name: 'accepted' }
          : { name: 'dry-run', preview: await preview(request, known.previewLater ?? known.preview) }
      const accepted = await journal.accept(request, initial)
      if (!accepted.ok) {
        const message =
          `The idempotency key "${request.idempotencyKey}" was used before with another input, ` +
          `for writeback ${accepted.writeback.id}. Use a new key for a new intention.`
        return { ok: false, reason: 'key-reused', message }
      }
      worker.wake()
      const settled = await worker.settled(accepted.writeback.id, waitMs)
      return { ok: true, writeback: settled ?? accepted.writeback }
    },
  }
}

async function preview(
  request: WriteRequest,
  describe: (input: unknown, write: { externalReference: string; onBehalfOf: string }) => unknown,
): Promise<string> {
  // The real reference is made when the write is journaled; a dry run shows where it would stand.
  const write = { externalReference: '0'.repeat(32), onBehalfOf: request.caller.subject }
  return JSON.stringify(await describe(request.input, write), null, 2)
}
