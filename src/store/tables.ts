/** The durable state, as the queries see it. Times are RFC 3339 text in UTC; structured values are JSON text. */
import type { Generated } from 'kysely'

export interface Tables {
  meta: MetaTable
  lease: LeaseTable
  checkpoint: CheckpointTable
  identity_key: IdentityKeyTable
  identity_match: IdentityMatchTable
  writeback: WritebackTable
  writeback_history: WritebackHistoryTable
  event: EventTable
  snapshot: SnapshotTable
}

/** Single values that belong to the whole store: the log's epoch, the secrets made at first start. */
export interface MetaTable {
  name: string
  value: string
}

/** Who does a thing that only one process may do. */
export interface LeaseTable {
  name: string
  owner: string
  /** Milliseconds since 1970. */
  until: number
}

/** How far a feed has read. */
export interface CheckpointTable {
  feed: string
  value: string
}

/** A key that a system has for something, and the identity it belongs to. */
export interface IdentityKeyTable {
  type: string
  system: string
  /** Empty where the system has no companies. */
  company: string
  key: string
  entity: string
  /** What people call it, for lists. */
  label: string
  /** `match:taxNumber`, `import`, `manual`, or `none` while it stands alone. */
  linked_by: string
  /** Why it stands alone. */
  reason: string
  seen_at: string
}

/** Values by which records of different systems are recognised as the same, normalised. */
export interface IdentityMatchTable {
  type: string
  field: string
  value: string
  system: string
  company: string
  key: string
}

export interface WritebackTable {
  id: string
  /** An idempotency key means something only inside tenant, subject and mutation. */
  tenant: string
  subject: string
  mutation: string
  idempotency_key: string
  input_hash: string
  caller: string
  system: string
  record: string
  action: string
  input: string
  input_version: number
  external_reference: string
  state: string
  /** What belongs to the state alone: result, problem, evidence. */
  detail: string
  attempts: number
  /** Milliseconds since 1970; when a worker may take it. */
  due_at: number
  lease_owner: string | null
  accepted_at: string
  updated_at: string
}

export interface WritebackHistoryTable {
  position: Generated<number>
  writeback: string
  state: string
  at: string
  note: string | null
}

/** The log of change events; `position` only grows and is seen in order. */
export interface EventTable {
  position: Generated<number>
  /** CloudEvents `source` and `id`: together they name an event once. */
  source: string
  id: string
  type: string
  system: string
  record: string
  key: string
  time: string
  data: string
}

/** The last state of a record that went into an event, to tell a change from a repetition. */
export interface SnapshotTable {
  system: string
  record: string
  key: string
  state: string
}
