/** What every resolver has at hand: the rooms of the house, and what belongs to one request. */
import DataLoader from 'dataloader'
import type { Caller } from '../../src/caller/caller.ts'
import type { CallLog } from '../../src/calls/log.ts'
import type { Brokers } from '../../src/events/brokers/brokers.ts'
import type { Feeds } from '../../src/events/feeds.ts'
import type { EventLog } from '../../src/events/log.ts'
import type { Outbound } from '../../src/events/outbound.ts'
import type { Registrations } from '../../src/events/registrations.ts'
import type { FlowDesk } from '../../src/flows/operate.ts'
import type { Identity, IdentityRegistry, IdentityType } from '../../src/identity/registry.ts'
import type { CallWatch } from '../../src/reading/call-watch.ts'
import { createRecordReader, type RecordReader, type RequestContext } from '../../src/reading/reader.ts'
import type { Reading } from '../../src/reading/reading.ts'
import type { Systems } from '../../src/systems/registry.ts'
import type { Journal } from '../../src/writeback/journal.ts'
import type { Operator } from '../../src/writeback/operate.ts'
import type { Worker } from '../../src/writeback/worker.ts'
import type { Writer } from '../../src/writeback/writer.ts'

/** What lives as long as the process. */
export interface Rooms {
  readonly systems: Systems
  readonly identity: IdentityRegistry
  readonly events: EventLog
  readonly feeds: Pick<Feeds, 'webhookCounts'>
  readonly brokers: Pick<Brokers, 'feeds' | 'sinks'>
  readonly outbound: Outbound
  readonly registrations: Registrations
  readonly journal: Journal
  readonly writer: Writer
  readonly worker: Worker
  readonly operator: Operator
  readonly flows: FlowDesk
  readonly calls: CallLog
  readonly reading: Reading
}

/** What lives as long as a request. */
export interface SubgraphContext {
  readonly caller: Caller
  /** Milliseconds: nothing older is wanted; undefined where the client did not say. */
  readonly maxAgeMs: number | undefined
  readonly reader: RecordReader
  readonly identities: IdentityLoaders
  /** Starts afresh, for the next event of a subscription or after a write: nothing read before is used again. */
  renew(): void
}

export interface IdentityLoaders {
  byId(type: IdentityType, id: string): Promise<Identity | null>
  byKey(type: IdentityType, system: string, key: string): Promise<Identity>
}

export function createSubgraphContext(
  rooms: Rooms,
  request: RequestContext,
  watch?: CallWatch,
): SubgraphContext {
  const reader = createRecordReader(rooms.reading, request, watch)
  const ids = new Map<IdentityType, DataLoader<string, Identity | null>>()
  const keys = new Map<IdentityType, DataLoader<{ system: string; key: string }, Identity, string>>()

  const identities: IdentityLoaders = {
    byId(type, id) {
      const loader = getOrMake(
        ids,
        type,
        () => new DataLoader<string, Identity | null>((list) => rooms.identity.byIds(type, list)),
      )
      return loader.load(id)
    },
    byKey(type, system, key) {
      const loader = getOrMake(
        keys,
        type,
        () =>
          new DataLoader(
            (list: readonly { system: string; key: string }[]) => rooms.identity.byKeys(type, list),
            {
              cacheKeyFn: (one) => JSON.stringify([one.system, one.key]),
            },
          ),
      )
      return loader.load({ system, key })
    },
  }

  return {
    caller: request.caller,
    maxAgeMs: request.maxAgeMs,
    reader,
    identities,
    renew() {
      reader.renew()
      ids.clear()
      keys.clear()
    },
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
