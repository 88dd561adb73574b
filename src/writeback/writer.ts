/** The write path, as a mutation sees it: promise it, wait a little, answer with what is known. */
import { EXTRAS, type WriteAction, type WriteContext } from '../systems/port.ts'
import type { RecordType } from '../systems/records.ts'
import type { System, Systems } from '../systems/registry.ts'
import type { Attach, Journal, WriteRequest } from './journal.ts'
import { actionOf, type Worker } from './worker.ts'
import type { Writeback, WritebackState } from './writeback.ts'

export interface Writer {
  /**
   * Journals the write, then waits until it has ended or the time is over. What is promised is carried out
   * whether or not anybody waits.
   */
  submit(request: WriteRequest, options?: SubmitOptions): Promise<Submitted>
}

export interface SubmitOptions {
  /** Default: as long as a person looks at a spinning wheel. */
  readonly waitMs?: number | undefined
  /** Shows what would be sent instead of sending it. */
  readonly dryRun?: boolean | undefined
  readonly attach?: Attach | undefined
}

export type Submitted =
  | { readonly ok: true; readonly writeback: Writeback }
  | {
      readonly ok: false
      readonly reason: 'unsupported' | 'writes-off' | 'key-reused'
      readonly message: string
    }

const WAIT_MS = 5_000

export function createWriter(systems: Systems, journal: Journal, worker: Worker): Writer {
  const promise = async (
    request: WriteRequest,
    initial: WritebackState,
    system: System,
    attach: Attach | undefined,
  ) => {
    // Where a hand is free, the promise and the lease become durable together.
    const lease = initial.name === 'accepted' ? worker.reserve(system) : undefined
    let carried: Writeback | null = null
    try {
      const accepted = await journal.accept(request, initial, lease, attach)
      if (accepted.ok && accepted.leased) carried = accepted.writeback
      if (accepted.ok && accepted.isNew) worker.announce(accepted.writeback)
      return accepted
    } finally {
      if (lease !== undefined) worker.settle(system, lease, carried)
      if (!carried) worker.wake()
    }
  }

  return {
    async submit(given, { waitMs = WAIT_MS, dryRun = false, attach } = {}) {
      const { record, action } = given
      const system = systems.get(given.system)
      const known = system && actionOf(system, record, action)
      if (!system || !known) {
        const message = `System "${given.system}" cannot ${action} ${record} records.`
        return { ok: false, reason: 'unsupported', message }
      }
      const targets = known.targets ?? ['effective']
      if (given.target !== undefined && !targets.includes(given.target)) {
        const message = `System "${given.system}" cannot stop at "${given.target}" when it is to ${action} ${record} records; it knows: ${targets.join(', ')}.`
        return { ok: false, reason: 'unsupported', message }
      }
      const extra = extraWithoutPlace(record, known, given.input)
      if (extra !== undefined) {
        const message = `System "${given.system}" has no place for "${extra}" when it is to ${action} ${record} records. Leave it out.`
        return { ok: false, reason: 'unsupported', message }
      }
      const mode = system.writeMode(record, action)
      if (mode === 'off') {
        const message =
          `Writing is switched off: system "${system.id}" has writes "off" for ${record}.${action}. ` +
          'An operator can set it to "dryRun" or "on" in the configuration.'
        return { ok: false, reason: 'writes-off', message }
      }
      const dry = dryRun || mode === 'dryRun'
      // A key that was used to try something out is still good for doing it.
      const request: WriteRequest = dry ? { ...given, mutation: `${given.mutation} (dry run)` } : given
      const initial: WritebackState = dry
        ? { name: 'dry-run', preview: await preview(request, known.previewLater ?? known.preview) }
        : { name: 'accepted' }
      const accepted = await promise(request, initial, system, attach)
      if (!accepted.ok) {
        const message =
          `The idempotency key "${request.idempotencyKey}" was used before with another input, ` +
          `for writeback ${accepted.writeback.id}. Use a new key for a new intention.`
        return { ok: false, reason: 'key-reused', message }
      }
      const settled = await worker.settled(
        accepted.writeback.id,
        waitMs,
        accepted.isNew && accepted.writeback.state.name === 'accepted',
      )
      return { ok: true, writeback: settled ?? accepted.writeback }
    },
  }
}

/** The first of the `EXTRAS` that is given and that the action does not take. */
function extraWithoutPlace(
  record: RecordType,
  { takes }: Pick<WriteAction<never, never>, 'takes'>,
  input: unknown,
): string | undefined {
  const extras: Partial<Record<RecordType, readonly string[]>> = EXTRAS
  const taken: readonly string[] = takes ?? []
  const { changes } = input as { readonly changes?: unknown }
  return extras[record]?.find((extra) => !taken.includes(extra) && has(changes ?? input, extra.split('.')))
}

function has(value: unknown, [field, ...rest]: readonly string[]): boolean {
  if (Array.isArray(value)) return value.some((one) => has(one, field === undefined ? [] : [field, ...rest]))
  if (field === undefined) return value !== undefined && value !== null
  return typeof value === 'object' && value !== null && has((value as Record<string, unknown>)[field], rest)
}

async function preview(
  request: WriteRequest,
  describe: (input: unknown, write: WriteContext) => unknown,
): Promise<string> {
  // The real reference is made when the write is journaled; a dry run shows where it would stand.
  const write: WriteContext = {
    externalReference: '0'.repeat(32),
    onBehalfOf: request.caller.subject,
    ...(request.target ? { target: request.target } : {}),
  }
  return JSON.stringify(await describe(request.input, write), null, 2)
}
