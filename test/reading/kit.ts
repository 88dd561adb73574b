/** A system that answers when the test says so, and the read path over it. */
import { pino } from 'pino'
import type { Caller } from '../../src/caller/caller.ts'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { systemSchema } from '../../src/config/schema.ts'
import { createReading, type Demand, type Reading } from '../../src/reading/reading.ts'
import type { ReadingSettings } from '../../src/reading/settings.ts'
import { fail, type Outcome, ok, type SourceFailure } from '../../src/systems/failure.ts'
import type { Adapter, CallContext } from '../../src/systems/port.ts'
import type { Customer, Key, Opportunity } from '../../src/systems/records.ts'
import { createSystems, type System } from '../../src/systems/registry.ts'

export const logger = pino({ level: 'silent' })
export const caller: Caller = { ...gatewayCaller, tenant: 'test', subject: 'test' }
export const anyAge: Demand = { credentialScope: 'service', since: 0 }

export const settingsFrom = (raw: Record<string, unknown> = {}): ReadingSettings =>
  systemSchema.parse({ kind: 'test', environment: 'test', ...raw })

export interface TestSystem {
  readonly system: System
  /** The keys of each call, in order; lookups and lists with their name in front. */
  readonly calls: (readonly Key[])[]
  /** What the system knows: a customer's name by key. */
  readonly names: Map<Key, string>
  /** Answers every call with it until it is taken away. */
  failure: SourceFailure | undefined
  /** Milliseconds until a call is answered, as the clock of the test runs. */
  latencyMs: number
  /** Calls under way, and the most there ever were. */
  underWay: number
  most: number
}

export const customer = (key: Key, name: string): Customer => ({ key, name })
export const opportunity = (key: Key, of: Key, name = key): Opportunity => ({
  key,
  name,
  customer: of,
  stage: 'PROPOSAL',
})

export function testSystem(options: { readonly id?: string; readonly batchLimit?: number } = {}): TestSystem {
  const { id = 'erp', batchLimit = 10 } = options
  const answer = async <R>(
    asked: readonly Key[],
    context: CallContext,
    read: () => R,
  ): Promise<Outcome<R>> => {
    test.calls.push(asked)
    test.underWay++
    test.most = Math.max(test.most, test.underWay)
    try {
      if (test.latencyMs > 0) await wait(test.latencyMs, context.signal)
      if (context.signal?.aborted) return fail({ kind: 'unavailable', reason: 'aborted', detail: 'let go' })
      return test.failure ? fail(test.failure) : ok(read())
    } finally {
      test.underWay--
    }
  }
  const known = (key: Key): Customer | null => {
    const name = test.names.get(key)
    return name === undefined ? null : customer(key, name)
  }
  const adapter: Adapter = {
    kind: 'test',
    ports: {
      customer: {
        batchLimit,
        async readMany(keys, context) {
          const all = await answer(keys, context, () => keys.map(known))
          return keys.map((_, index) => (all.ok ? ok(all.value[index] ?? null) : all))
        },
        list: ({ first }, context) =>
          answer(['list'], context, () => ({
            items: [...test.names.keys()].slice(0, first).map((key) => ({
              record: known(key) as Customer,
              position: key,
            })),
            hasMore: test.names.size > first,
          })),
      },
      opportunity: {
        batchLimit,
        readMany: async (keys) => keys.map(() => ok(null)),
        lookups: {
          byCustomer: {
            batchLimit,
            async read(keys, context) {
              const all = await answer(['byCustomer', ...keys], context, () =>
                keys.map((key) => [opportunity(`o-${key}`, key, test.names.get(key) ?? '')]),
              )
              return keys.map((_, index) => (all.ok ? ok(all.value[index] ?? []) : all))
            },
          },
        },
      },
    },
    health: (context) => answer(['health'], context, () => ({ detail: 'test' })),
    close: async () => {},
  }
  const system: System = {
    id,
    kind: 'test',
    environment: 'test',
    adapter,
    pollEveryMs: 0,
    commitDelayMs: 0,
    orderNumbersFrom: undefined,
    writeMode: () => 'off',
  }
  const test: TestSystem = {
    system,
    calls: [],
    names: new Map(),
    failure: undefined,
    latencyMs: 0,
    underWay: 0,
    most: 0,
  }
  return test
}

export function readingOver(
  systems: readonly System[],
  raw: Record<string, unknown> = {},
  maxBytes = 1024 * 1024,
): Reading & Disposable {
  const settings = settingsFrom(raw)
  const reading = createReading({
    systems: createSystems(systems),
    settings: () => settings,
    maxBytes,
    logger,
  })
  return Object.assign(reading, { [Symbol.dispose]: () => void reading.close() })
}

export const keysUpTo = (count: number): Key[] => Array.from({ length: count }, (_, index) => `c${index + 1}`)

async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
