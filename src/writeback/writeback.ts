/** One intended change in one system, from the moment it was promised to the moment its fate is known. */
import type { Caller } from '../caller/caller.ts'
import type { RecordType } from '../systems/records.ts'

export interface Writeback {
  readonly id: string
  readonly idempotencyKey: string
  readonly caller: Caller
  readonly system: string
  readonly record: RecordType
  /** `create`, `update`, or a named action. */
  readonly action: string
  /** As the adapter's write action takes it. */
  readonly input: unknown
  /** What the write leaves in the vendor's reference field. */
  readonly externalReference: string
  readonly attempts: number
  readonly acceptedAt: string
  readonly updatedAt: string
  readonly state: WritebackState
}

/** Each state with its own data only. */
export type WritebackState =
  | { readonly name: 'accepted' /** Why it was not sent at once. */; readonly note?: string }
  | { readonly name: 'sending' }
  | { readonly name: 'confirmed'; readonly key: string; readonly reached: string }
  | { readonly name: 'rejected'; readonly problem: Problem }
  | { readonly name: 'awaiting-approval'; readonly vendorReference: string | null; readonly message: string }
  | {
      readonly name: 'unknown'
      readonly problem: Problem
      /** When it was first looked for in vain; the vendor may still commit for some time. */
      readonly notFoundSince: string | null
    }
  | { readonly name: 'dry-run'; readonly preview: string }
  | { readonly name: 'needs-attention'; readonly problem: Problem }

export type StateName = WritebackState['name']

export interface Problem {
  /** A code of this gateway; stable. */
  readonly code: string
  readonly vendorCode?: string | undefined
  readonly message: string
  readonly line?: string | undefined
  readonly field?: string | undefined
}

/** States that nothing leaves by itself. */
const ENDED: ReadonlySet<StateName> = new Set(['confirmed', 'rejected', 'dry-run', 'needs-attention'])

export const hasEnded = (state: WritebackState): boolean => ENDED.has(state.name)

export interface Transition {
  readonly state: StateName
  readonly at: string
  readonly note: string | null
}
