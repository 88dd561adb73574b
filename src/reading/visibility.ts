/** What a caller may see of what the cache holds for all: decided after the cache, alike for records, lists and lookups. */
import type { DataScope } from '../caller/caller.ts'
import type { RecordType, RecordTypes } from '../systems/records.ts'

export function maySee<T extends RecordType>(scope: DataScope, _type: T, _record: RecordTypes[T]): boolean {
  switch (scope.kind) {
    case 'everything':
      return true
  }
}
