/** One intended change in one system, from the moment it was promised to the moment its fate is known. */
import type { Caller } from '../caller/caller.ts'
import type { EventCause } from '../events/event.ts'
import type { WriteTarget } from '../systems/port.ts'
import type { RecordType } from '../systems/records.ts'

export interface Writeback {
  readonly id: string
  readonly idempotencyKey: string
  /** The mutation that promised it. */
  readonly mutation: string
  readonly caller: Caller
  readonly system: string
  readonly record: RecordType
  /** `create`, `update`, or a named action. */
  readonly action: string
  /** As the adapter's write action takes it. */
  readonly input: unknown
  /** What the write leaves in the vendor's reference field. */
  readonly externalReference: string
  /** How far the vendor's own procedure shall go; null: as the system is configured. */
  readonly target: WriteTarget | null
  /** How often it was sent. */
  readonly attempts: number
  /** How many of these count against the limit: those that met a system in health. */
  readonly tries: number
  readonly acceptedAt: string
  readonly updatedAt: string
  /** The order of acceptance. */
  readonly sequence: number
  /** Writebacks of one system with the same ordering are carried out in the order of acceptance. */
  readonly ordering: string
  readonly state: WritebackState
}

/** Each state with its own data only. */
export type WritebackState =
  | {
      readonly name: 'accepted'
      /** Why it was not sent at once, or not carried out. */
      readonly note?: string
      /** Since when it fails although the system is well. */
      readonly failingSince?: string
    }
  | { readonly name: 'sending' }
  | {
      readonly name: 'confirmed'
      readonly key: string
      readonly reached: string
      /** Why the vendor's procedure stopped before its end, or how a person knows. */
      readonly note?: string
    }
  | { readonly name: 'rejected'; readonly problem: Problem }
  | {
      readonly name: 'awaiting-approval'
      readonly vendorReference: string | null
      readonly message: string
      /** When it was first looked for in vain. */
      readonly notFoundSince?: string
    }
  | {
      readonly name: 'unknown'
      readonly problem: Problem
      /** When it was first looked for in vain; the vendor may still commit for some time. */
      readonly notFoundSince: string | null
      /** When its fate became unknown. */
      readonly since?: string
    }
  | { readonly name: 'dry-run'; readonly preview: string }
  | { readonly name: 'needs-attention'; readonly problem: Problem; readonly evidence?: string }
  | { readonly name: 'cancelled'; readonly reason: string }
  /** It was confirmed, and another writeback has undone it since. */
  | { readonly name: 'compensated'; readonly key: string; readonly reached: string; readonly by: string }

export type StateName = WritebackState['name']

export interface Problem {
  /** A code of this gateway; stable. */
  readonly code: string
  readonly vendorCode?: string | undefined
  readonly message: string
  readonly line?: string | undefined
  readonly field?: string | undefined
  /** What the system adds: how many are needed, how many there are. */
  readonly details?: Readonly<Record<string, string | number | boolean | null>> | undefined
}

/** Writes of flows have such names, and their keys begin with the run; mutations of clients are called otherwise. */
export const FLOW = 'flow/'

/** The run of a flow that a write belongs to. */
export const runOf = ({
  mutation,
  idempotencyKey,
}: Pick<Writeback, 'mutation' | 'idempotencyKey'>): string | undefined =>
  mutation.startsWith(FLOW) ? idempotencyKey.split('/')[0] : undefined

/** For the events that come of it. */
export const causeOf = (writeback: Writeback): EventCause => ({
  writeback: writeback.id,
  run: runOf(writeback),
})

/** States that nothing leaves by itself. */
const ENDED: ReadonlySet<StateName> = new Set([
  'confirmed',
  'rejected',
  'dry-run',
  'needs-attention',
  'cancelled',
  'compensated',
])

export const hasEnded = (state: WritebackState): boolean => ENDED.has(state.name)

/** States in which the worker has something to do. */
export const OPEN: readonly StateName[] = ['accepted', 'sending', 'unknown', 'awaiting-approval']

/** States that hold up later writes to the same record: what they did, or will do, is not settled. */
export const BLOCKING: readonly StateName[] = [...OPEN, 'needs-attention']

/** What an operator may do with a writeback as it stands. */
export type Decision = 'retry' | 'cancel' | 'resolve'

export function decisionsFor({ state, attempts }: Pick<Writeback, 'state' | 'attempts'>): Decision[] {
  switch (state.name) {
    case 'accepted':
      // In this state the system does not have it, or it has been proved that it has not.
      return ['retry', 'cancel']
    case 'needs-attention':
      return attempts === 0 ? ['retry', 'cancel'] : ['retry', 'resolve']
    case 'unknown':
    case 'awaiting-approval':
      return ['retry', 'resolve']
    default:
      return []
  }
}

export interface Transition {
  readonly state: StateName
  readonly at: string
  readonly note: string | null
  /** The attempt that it belongs to. */
  readonly attempt: number | null
  /** Who decided it, where it was a person. */
  readonly subject: string | null
  /** From where. */
  readonly origin: string | null
}
