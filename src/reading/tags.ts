/** Names for what a cached answer depends on, and which of them an event invalidates. Pure. */
import type { Affected } from '../events/dependents.ts'
import type { LookupName } from '../systems/port.ts'
import type { Key, RecordType } from '../systems/records.ts'
import type { Tag } from './fence.ts'

// Separated by a character that no key has.
const tag = (...parts: readonly string[]): Tag => parts.join('\u0000')

export const recordTag = (system: string, type: RecordType, key: Key): Tag => tag(system, type, 'record', key)

/** Which records belong to a key of another record, or carry a number. */
export const lookupTag = (system: string, type: RecordType, by: LookupName, key: Key): Tag =>
  tag(system, type, by, key)

/** Which records there are. */
export const listTag = (system: string, type: RecordType): Tag => tag(system, type, 'list')

/** Everything of a system: for a change of which too little is known to say what it touched. */
export const systemTag = (system: string): Tag => tag(system)

export interface Change {
  readonly system: string
  readonly record: RecordType
  readonly key: Key
  /** Not given: nobody knows what else reads differently now. */
  readonly affects?: readonly Affected[] | undefined
}

export function tagsOf({ system, record, key, affects }: Change): Tag[] {
  return [
    recordTag(system, record, key),
    listTag(system, record),
    ...(affects
      ? affects.map((one) =>
          one.by ? lookupTag(system, one.record, one.by, one.key) : recordTag(system, one.record, one.key),
        )
      : [systemTag(system)]),
  ]
}
