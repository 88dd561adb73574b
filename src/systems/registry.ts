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
  /** Those that hold records of this type: the leading one, then the others in the order of the configuration. */
  holding(type: RecordType): readonly System[]
  /** Id of the system that is written to where nobody names another; without a company: where none is named either. */
  leading(type: RecordType, company?: string): string | undefined
  /** What the types of events about such records of this system begin with. */
  eventName(system: string, type: RecordType): string
  close(): Promise<void>
}

/** Ids of systems by record type; or by record type and company, with `default` for all others. */
export type Leading = Readonly<Partial<Record<RecordType, string | Readonly<Record<string, string>>>>>

export function createSystems(list: readonly System[], leaders: Leading = {}): Systems {
  const leading: Systems['leading'] = (type, company = 'default') => {
    const leader = leaders[type]
    return typeof leader === 'string' ? leader : (leader?.[company] ?? leader?.default)
  }
  const ranked = (type: RecordType): readonly System[] => {
    const first = leading(type)
    return first === undefined
      ? list
      : list.toSorted((a, b) => Number(b.id === first) - Number(a.id === first))
  }
  const byId = new Map(list.map((system) => [system.id, system]))
  return {
    all: () => list,
    get: (id) => byId.get(id),
    holding: (type) => ranked(type).filter((system) => system.adapter.ports[type]),
    leading,
    eventName: (system, type) => byId.get(system)?.adapter.ports[type]?.eventName ?? type,
    async close() {
      await Promise.all(list.map((system) => system.adapter.close()))
    },
  }
}

export function portOf<T extends RecordType>(system: System, type: T): RecordPort<T> | undefined {
  return system.adapter.ports[type] as RecordPort<T> | undefined
}
