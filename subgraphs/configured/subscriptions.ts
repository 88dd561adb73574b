/** Subscriptions to the changes of own types, over the log of change events. */
import { factsOf } from '../../src/events/diff.ts'
import type { Facts } from '../../src/events/event.ts'
import type { OwnSubscription } from '../../src/systems/port.ts'
import type { System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { INITIAL, present, presentOne, type WatchArguments, watchLog } from '../kit/watch.ts'

type SubscriptionArguments = WatchArguments & Readonly<Record<string, unknown>>

export function subscriptionOf(
  rooms: Rooms,
  system: System,
  field: string,
  { type, filters }: OwnSubscription,
) {
  return (_: unknown, args: SubscriptionArguments, context: SubgraphContext) => {
    const wanted = filters.flatMap((name) => {
      const value = args[name]
      if (value === undefined || value === null) return []
      return [[name, new Set((Array.isArray(value) ? value : [value]).map(String))] as const]
    })
    const fits = (facts: Facts) => wanted.every(([name, values]) => values.has(facts[name] ?? ''))

    return watchLog(rooms, context, args, {
      field,
      filter: { record: type, matches: ({ system: of, data }) => of === system.id && fits(data.facts) },
      async of({ key, type: event }) {
        if (event.endsWith('.deleted')) return { record: null }
        const [found = null] = await presentOne(context, system, type, key)
        return { record: found instanceof Error ? found : found?.record }
      },
      now: async () =>
        (await present(rooms, context, type, system.id))
          .filter((found) => found instanceof Error || fits(factsOf(type, found.record)))
          .slice(0, INITIAL)
          .map((found) => ({ record: found instanceof Error ? found : found.record })),
    })
  }
}
