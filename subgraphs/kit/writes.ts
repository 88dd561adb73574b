/** What the mutations of all subgraphs do alike. */
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
  /** What the adapter's action takes. */
  readonly adapterInput: unknown
}

/** Promises the write, waits a little, and reads the record back where it was confirmed. */
export async function write<T extends RecordType>(
  rooms: Rooms,
  context: SubgraphContext,
  { mutation, input, system, record, action, adapterInput }: Write<T>,
): Promise<{ writeback: { id: string }; record: Located<T> | null }> {
  requireRole(context, 'writer')
  const { idempotencyKey, ...clientInput } = input
  if (idempotencyKey.trim() === '' || idempotencyKey.length > 200) {
    throw badInput(
      '"idempotencyKey" must be a text of 1 to 200 characters, one per intended change.',
      'idempotencyKey',
    )
  }
  const submitted = await rooms.writer.submit({
    caller: context.caller,
    mutation,
    idempotencyKey,
    clientInput,
    system: system.id,
    record,
    action,
    input: adapterInput,
  })
  if (!submitted.ok) throw graphError(REASONS[submitted.reason], submitted.message, { system: system.id })
  return {
    writeback: { id: submitted.writeback.id },
    record: await written(context, system, record, submitted.writeback),
  }
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
  if (writeback.state.name !== 'confirmed') return null
  // What was read before the write is not what there is now.
  context.renew()
  return loadByKey(context, system, type, writeback.state.key)
}

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
