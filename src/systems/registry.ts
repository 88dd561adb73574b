/** The configured systems: which there are, what each holds, what may be written to it. */
import type { Adapter, RecordPort } from './port.ts'
import type { RecordType } from './records.ts'

export type WriteMode = 'off' | 'dryRun' | 'on'

export interface System {
  readonly id: string
  readonly kind: string
  readonly environment: 'production' | 'test'
  readonly adapter: Adapter
  /** How often to ask for changes; 0: never. */
  readonly pollEveryMs: number
  /** After so long a write that is not to be found will not appear any more. */
  readonly commitDelayMs: number
  /** The system whose order numbers this one prints on its documents. */
  readonly orderNumbersFrom: string | undefined
  /** The same for numbers of deliveries. */
  readonly deliveryNumbersFrom?: string | undefined
  /** @param action `create`, `update`, or a named action. */
  writeMode(record: RecordType, action: string): WriteMode
}

export interface Systems {
  all(): readonly System[]
  get(id: string): System | undefined
  /** Those that hold records of this type, in the order of the configuration. */
  holding(type: RecordType): readonly System[]
  close(): Promise<void>
}

export function createSystems(list: readonly System[]): Systems {
  const byId = new Map(list.map((system) => [system.id, system]))
  return {
    all: () => list,
    get: (id) => byId.get(id),
    holding: (type) => list.filter((system) => system.adapter.ports[type]),
    async close() {
      await Promise.all(list.map((system) => system.adapter.close()))
    },
  }
}

export function portOf<T extends RecordType>(system: System, type: T): RecordPort<T> | undefined {
  return system.adapter.ports[type] as RecordPort<T> | undefined
}
