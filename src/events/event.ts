/** Change events: CloudEvents 1.0, one per change of one record in one system. */
import type { Key, RecordType } from '../systems/records.ts'
import type { Affected } from './dependents.ts'

export interface ChangeEvent {
  /** Where it stands in the log; only grows. */
  readonly position: number
  /** CloudEvents `source`: `/systems/ID`. With `id` it names the event once. */
  readonly source: string
  readonly id: string
  /** For example `order.status.changed`; the names of the project's event catalogue. */
  readonly type: string
  readonly system: string
  readonly record: RecordType
  readonly key: Key
  /** RFC 3339. */
  readonly time: string
  readonly data: EventData
}

export interface EventData {
  /** Fields that differ; empty where no earlier state is known. */
  readonly changes: readonly FieldChange[]
  /** What filters and payloads need without reading the record again, as of the event. */
  readonly facts: Facts
  /** The same before; null where it is not known. */
  readonly before: Facts | null
  /** What else reads differently now; absent where an earlier version of this gateway wrote the event. */
  readonly affects?: readonly Affected[]
}

export interface FieldChange {
  readonly field: string
  /** JSON text; null where the field had no value. */
  readonly old: string | null
  readonly new: string | null
}

export type Facts = Readonly<Record<string, string | null>>
