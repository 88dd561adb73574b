/** What the mutations of all subgraphs do alike. */
import type { ShipTo, WriteTarget } from '../../src/systems/port.ts'
import type { CustomFields, RecordType } from '../../src/systems/records.ts'
import type { System, Systems } from '../../src/systems/registry.ts'
import type { Writeback } from '../../src/writeback/writeback.ts'
import type { Rooms, SubgraphContext } from './context.ts'
import { badInput, type Code, graphError } from './errors.ts'
import { identityOf, type Located, loadByKey, systemOf } from './records.ts'

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

export interface CustomFieldInput {
  readonly name: string
  readonly value?: string | null
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
      // A field of a new record may be called so.
      key: action === 'create' ? undefined : keyOf(adapterInput),
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

/** A key under which the customer, or whatever is written about, is known in a system. */
export interface Candidate {
  readonly system: System
  readonly key: string
  readonly company?: string | undefined
}

export interface Choice {
  readonly record: RecordType
  /** For messages: what could take the write. */
  readonly what: string
  /** What it is said with. */
  readonly asked: {
    readonly system?: string | null | undefined
    readonly company?: string | null | undefined
    readonly account?: string | null | undefined
  }
  /** Told where nothing could take it at all. */
  readonly none: string
}

/**
 * Where a write goes: to what the client names; else to the leading system of that record type and company; else to
 * the only one that could take it.
 * @throws BAD_USER_INPUT, naming the choices; UNKNOWN_SYSTEM
 */
export function chooseTarget(
  systems: Systems,
  all: readonly Candidate[],
  { record, what, asked: { system, company, account }, none }: Choice,
): Candidate {
  const named = system == null ? undefined : systemOf(systems, system)
  const leader = systems.leading(record, company ?? undefined)
  const led = (one: Candidate) => one.system.id === leader
  let fitting = all.filter(
    (one) => (!named || one.system === named) && (account == null || one.key === account),
  )
  if (company != null) {
    // The system that keeps a company's books need not say so with every key.
    const ofCompany = fitting.filter((one) => one.company === company)
    fitting = ofCompany.length > 0 ? ofCompany : named ? fitting : fitting.filter(led)
  }
  if (fitting.length > 1 && !named && fitting.some(led)) fitting = fitting.filter(led)
  const list = all.map(({ system: { id }, key }) => `${id} ${key}`.trim()).join(', ')
  const [chosen] = fitting
  if (chosen && fitting.length === 1) return chosen
  const saidBy = fitting.some(({ system: { id } }) => id !== chosen?.system.id) ? '"system"' : '"account"'
  if (list === '') throw badInput(none, 'system')
  throw badInput(
    chosen
      ? `There are several ${what}: ${list}. Say which with ${saidBy}, or have "leading" configured.`
      : `There is no such one among the ${what}: ${list}.`,
    chosen ? saidBy.slice(1, -1) : 'system',
  )
}

/** Lines that one document may have. */
const MAX_LINES = 1_000

/** @throws BAD_USER_INPUT */
export function requireLines(lines: readonly unknown[]): void {
  if (lines.length > 0 && lines.length <= MAX_LINES) return
  throw badInput(`"lines" must have 1 to ${MAX_LINES} entries; got ${lines.length}.`, 'lines')
}

/**
 * The key that a line's product has in the system that is written to, and how much of it.
 * @param place For messages: `lines[0]`.
 * @throws BAD_USER_INPUT
 */
export async function productLine(
  systems: Systems,
  context: SubgraphContext,
  system: System,
  { productId, quantity }: { readonly productId: string; readonly quantity: string },
  place: string,
): Promise<{ product: string; quantity: string }> {
  requirePositive(quantity, `${place}.quantity`)
  const identity = await identityOf(systems, context, 'product', productId)
  const product = identity.keys.find((key) => key.system === system.id)?.key
  if (product !== undefined) return { product, quantity }
  throw badInput(`"${place}.productId": this product is not known in "${system.id}".`, `${place}.productId`)
}

/** Without what is null in it. */
export const shipToInput = (shipTo: ShipTo | null | undefined): ShipTo | undefined =>
  shipTo ? { ...given(shipTo), name: shipTo.name, address: given(shipTo.address) } : undefined

/**
 * Custom fields as adapters take them; without any, nothing.
 * @throws BAD_USER_INPUT where one is named twice
 */
export function customInput(fields: readonly CustomFieldInput[] | null | undefined): {
  customFields?: CustomFields
} {
  if (fields == null || fields.length === 0) return {}
  const values = new Map(fields.map(({ name, value }) => [name, value ?? null]))
  if (values.size === fields.length) return { customFields: Object.fromEntries(values) }
  throw badInput('"customFields" names one field twice.', 'customFields')
}
