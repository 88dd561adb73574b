/** What the mutations of all subgraphs do alike. */
import type { WriteTarget } from '../../src/systems/port.ts'
import type { RecordType } from '../../src/systems/records.ts'
import type { System } from '../../src/systems/registry.ts'
import type { Writeback } from '../../src/writeback/writeback.ts'
import type { Rooms, SubgraphContext } from './context.ts'
import { badInput, type Code, graphError } from './errors.ts'
import { type Located, loadByKey } from './records.ts'

export interface Write<T extends RecordType> {
  readonly mutation: string
  /** The mutation's `input`, as the client sent it. */
  readonly input: { readonly idempotencyKey: string }
  readonly system: System
  readonly record: T
  readonly action: string
  /** What the adapter's action takes; with the key of the record that it changes. */
  readonly adapterInput: object
  readonly target?: TargetName | null | undefined
}

/** Arguments beside the input: they say nothing about what is intended. */
export interface How {
  readonly dryRun?: boolean | null
  /** Milliseconds. */
  readonly waitFor?: number | null
}

export type TargetName = 'SAVED' | 'SUBMITTED' | 'EFFECTIVE'

const MAX_WAIT_MS = 30_000

/** Promises the write, waits a little, and reads the record back where it was confirmed. */
export async function write<T extends RecordType>(
  rooms: Rooms,
  context: SubgraphContext,
  { mutation, input, system, record, action, adapterInput, target, dryRun, waitFor }: Write<T> & How,
): Promise<{ writeback: { id: string }; record: Located<T> | null }> {
  requireRole(context, 'writer')
  const { idempotencyKey, ...clientInput } = input
  if (idempotencyKey.trim() === '' || idempotencyKey.length > 200 || idempotencyKey.includes('\0')) {
    throw badInput(
      '"idempotencyKey" must be a text of 1 to 200 characters, one per intended change.',
      'idempotencyKey',
    )
  }
  const waitMs = waitOf(waitFor)
  const submitted = await rooms.writer.submit(
    {
      caller: context.caller,
      mutation,
      idempotencyKey,
      clientInput,
      system: system.id,
      record,
      action,
      input: adapterInput,
      key: keyOf(adapterInput),
      ...(target ? { target: target.toLowerCase() as WriteTarget } : {}),
    },
    { waitMs, dryRun: dryRun ?? false },
  )
  if (!submitted.ok) throw graphError(REASONS[submitted.reason], submitted.message, { system: system.id })
  return {
    writeback: { id: submitted.writeback.id },
    record: await written(context, system, record, submitted.writeback),
  }
}

/** @throws BAD_USER_INPUT */
export function waitOf(waitFor: number | null | undefined): number | undefined {
  if (waitFor == null) return undefined
  if (waitFor >= 0 && waitFor <= MAX_WAIT_MS) return waitFor
  throw badInput(`"waitFor" must be between 0 and ${MAX_WAIT_MS} milliseconds; got ${waitFor}.`, 'waitFor')
}

const REASONS: Readonly<Record<'unsupported' | 'writes-off' | 'key-reused', Code>> = {
  unsupported: 'UNSUPPORTED',
  'writes-off': 'WRITES_OFF',
  'key-reused': 'IDEMPOTENCY_KEY_REUSED',
}

async function written<T extends RecordType>(
  context: SubgraphContext,
  system: System,
  type: T,
  writeback: Writeback,
): Promise<Located<T> | null> {
  const key = keyToRead(writeback)
  if (key === null) return null
  // What was read before the write is not what there is now.
  context.renew()
  return loadByKey(context, system, type, key)
}

/** What was confirmed; or, where somebody was faster, what there is instead. */
function keyToRead({ state, input }: Writeback): string | null {
  if (state.name === 'confirmed') return state.key
  if (state.name !== 'rejected' || state.problem.code !== 'CONFLICT') return null
  return keyOf(input) ?? null
}

const keyOf = (input: unknown): string | undefined => (input as { readonly key?: string }).key

export function requireRole(context: SubgraphContext, role: 'writer' | 'steward' | 'operator'): void {
  if (context.caller.roles.includes(role)) return
  throw graphError(
    'FORBIDDEN',
    `This needs the role "${role}", which "${context.caller.subject}" does not have.`,
  )
}

/** @throws BAD_USER_INPUT unless the decimal text is more than zero. */
export function requirePositive(value: string, field: string): void {
  if (!value.startsWith('-') && /[1-9]/.test(value)) return
  throw badInput(`"${field}" must be more than zero; got "${value}".`, field)
}

/** Without fields that are absent or null: those stay as they are. */
export function given<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  ) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}
