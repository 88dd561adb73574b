/** Change events: CloudEvents 1.0, one per change of one record in one system. */
import type { Key, RecordType } from '../systems/records.ts'
import type { Affected } from './dependents.ts'

/** What an event is about: a record of a system, or something of the gateway's own. */
export type Subject = RecordType | 'writeback' | 'system' | 'webhook' | 'flow'

export interface ChangeEvent {
  /** Where it stands in the log; only grows. */
  readonly position: number
  /** CloudEvents `source`: `/systems/ID`. With `id` it names the event once. */
  readonly source: string
  readonly id: string
  /** For example `order.status.changed`; the names of the project's event catalogue. */
  readonly type: string
  /** Empty for what belongs to no system. */
  readonly system: string
  readonly record: Subject
  readonly key: Key
  /** RFC 3339. */
  readonly time: string
  readonly data: EventData
  /** Milliseconds since 1970: when it came into the log. */
  readonly appendedAt: number
}

export type RecordEvent = ChangeEvent & { readonly record: RecordType }

const OWN: ReadonlySet<string> = new Set<Subject>(['writeback', 'system', 'webhook', 'flow'])

export const isRecordEvent = (event: ChangeEvent): event is RecordEvent => !OWN.has(event.record)

export interface EventData {
  /** Fields that differ; empty where no earlier state is known. */
  readonly changes: readonly FieldChange[]
  /** What filters and payloads need without reading the record again, as of the event. */
  readonly facts: Facts
  /** The same before; null where it is not known. */
  readonly before: Facts | null
  /** What else reads differently now; absent where nobody knows: of own types, and of earlier versions. */
  readonly affects?: readonly Affected[] | undefined
  /** Of a writeback: its state as of the event, as the journal has it. */
  readonly detail?: unknown
  /** What of the gateway's own doing led to it, where that is known. */
  readonly cause?: EventCause
}

export interface EventCause {
  readonly writeback?: string | undefined
  /** Of a flow. */
  readonly run?: string | undefined
}

export interface FieldChange {
  readonly field: string
  /** JSON text; null where the field had no value. */
  readonly old: string | null
  readonly new: string | null
}

export type Facts = Readonly<Record<string, string | null>>
