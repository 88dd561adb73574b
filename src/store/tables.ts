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
  log_state: LogStateTable
  snapshot: SnapshotTable
  paused_system: PausedSystemTable
  operator_action: OperatorActionTable
  deadline: DeadlineTable
  received: ReceivedTable
  parked: ParkedTable
  endpoint: EndpointTable
  delivery: DeliveryTable
  delivery_attempt: DeliveryAttemptTable
  flow_run: FlowRunTable
  flow_history: FlowHistoryTable
  call_log: CallLogTable
  holding: HoldingTable
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
  /** The order of acceptance over all processes. */
  sequence: number
  /** Names the record within its system: what has the same is carried out one after the other. */
  ordering: string
  /** How far the vendor's own procedure shall go; null: as the system is configured. */
  target: string | null
  /** Attempts that count against the limit. */
  tries: number
}

export interface WritebackHistoryTable {
  position: Generated<number>
  writeback: string
  state: string
  at: string
  note: string | null
  /** Who decided it, where it was a person. */
  subject?: string | null
  /** From where: the network address. */
  origin?: string | null
  attempt?: number | null
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
  /** Milliseconds since 1970, by the clock of the process that appended it. */
  appended_at: Generated<number>
}

/** One row: what the log holds. */
export interface LogStateTable {
  id: number
  /** The last position given. */
  head: number
  /** The last position that was taken out: the log begins after it. */
  floor: number
  /** Of all events in the log, as text. */
  bytes: number
}

/** The last state of a record that went into an event, to tell a change from a repetition. */
export interface SnapshotTable {
  system: string
  record: string
  key: string
  state: string
}

/** Systems that an operator has told the gateway not to write to for now. */
export interface PausedSystemTable {
  system: string
  reason: string
  subject: string
  at: string
}

/** What operators did, in order. */
export interface OperatorActionTable {
  position: Generated<number>
  at: string
  tenant: string
  subject: string
  origin: string | null
  action: string
  /** A writeback's id, or a system's. */
  about: string
  reason: string
}

/** Days on which something falls due, for the clock that tells of it. */
export interface DeadlineTable {
  system: string
  record: string
  key: string
  /** A calendar day. */
  day: string
}

/** Webhooks that were taken, by the sender's own id, for as long as one may be repeated. */
export interface ReceivedTable {
  system: string
  id: string
  /** Milliseconds since 1970. */
  at: number
}

/** Messages of a broker that nobody could read: kept for a person, so that those behind them go on. */
export interface ParkedTable {
  id: string
  feed: string
  reason: string
  body: string
  at: string
}

/** Who is to be told of events by webhook. */
export interface EndpointTable {
  id: string
  tenant: string
  /** Who registered it. */
  subject: string
  url: string
  /** JSON list of event types; `*` stands for all, `order.*` for all of orders. */
  events: string
  secret: string
  max_retries: number
  retry_delay: number
  backoff: number
  /** `active`, `paused` by a person, or `failing`: paused by the gateway. */
  state: string
  /** Why it is paused. */
  note: string | null
  /** How far in the log its deliveries have been made. */
  position: number
  /** Milliseconds since 1970: the first of the failures since which nothing succeeded. */
  failing_since: number | null
  created_at: string
}

/** One event on its way to one endpoint. */
export interface DeliveryTable {
  id: string
  endpoint: string
  position: number
  event_id: string
  type: string
  body: string
  /** `waiting`, `delivered`, `failed`. */
  state: string
  attempts: number
  /** Milliseconds since 1970. */
  due_at: number
  created_at: string
}

export interface DeliveryAttemptTable {
  delivery: string
  number: number
  at: string
  /** HTTP status; null where there was no answer. */
  status: number | null
  error: string | null
  /** Milliseconds. */
  took: number
}

/** One run of a flow; one per tenant, flow and business key. */
export interface FlowRunTable {
  id: string
  flow: string
  version: number
  business_key: string
  tenant: string
  caller: string
  cause: string
  round: number
  state: string
  /** What belongs to the state alone. */
  detail: string
  steps: string
  /** Milliseconds since 1970; when it is looked at. */
  due_at: number
  lease_owner: string | null
  started_at: string
  updated_at: string
  ended_at: string | null
}

export interface FlowHistoryTable {
  position: Generated<number>
  run: string
  at: string
  /** Null: the run itself. */
  step: string | null
  state: string
  note: string | null
  subject: string | null
  origin: string | null
}

/** An exchange with a system. */
export interface CallLogTable {
  position: Generated<number>
  /** When it began. */
  at: string
  system: string
  operation: string
  /** Method and path. */
  request: string
  key: string | null
  writeback: string | null
  attempt: number | null
  /** Null: the gateway by itself. */
  tenant: string | null
  subject: string | null
  origin: string | null
  outcome: string
  status: number | null
  /** Milliseconds. */
  took: number
  request_body: string | null
  response_body: string | null
}

/** What a process holds open in a system, for example a session. */
export interface HoldingTable {
  id: string
  system: string
  /** Names the process, as in leases. */
  owner: string
  /** Readable only with the system's credentials, which do not stand here. */
  sealed: string
}
