/** Customers as they change. */
import type { ChangeEvent } from '../../src/events/event.ts'
import type { Identity } from '../../src/identity/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { identityOf, systemOf } from '../kit/records.ts'
import { present, type WatchArguments, watchLog } from '../kit/watch.ts'

interface CustomerChangedArguments extends WatchArguments {
  readonly id?: string | null
  readonly system?: string | null
}

export function customerSubscriptions(
  rooms: Rooms,
  customerOf: (context: SubgraphContext, identity: Identity) => unknown,
) {
  const { systems } = rooms
  return {
    customerChanged: {
      async subscribe(_: unknown, args: CustomerChangedArguments, context: SubgraphContext) {
        const wanted = args.id == null ? null : await identityOf(systems, context, 'customer', args.id)
        if (args.system != null) systemOf(systems, args.system)
        const byKey = async (system: string, key: string) =>
          customerOf(context, await context.identities.byKey('customer', system, key))

        return watchLog(rooms, context, args, {
          field: 'customerChanged',
          filter: {
            record: 'customer',
            matches: ({ system, key }: ChangeEvent) =>
              (args.system == null || system === args.system) &&
              (!wanted || wanted.keys.some((known) => known.system === system && known.key === key)),
          },
          of: async ({ type, system, key }) => ({
            customer: type === 'customer.deleted' ? null : await byKey(system, key),
          }),
          async now() {
            if (wanted) return [{ customer: customerOf(context, wanted) }]
            const all = await present(rooms, context, 'customer', args.system)
            return Promise.all(
              all.map(async (one) => ({
                customer: one instanceof Error ? one : await byKey(one.system.id, one.record.key),
              })),
            )
          },
        })
      },
    },
  }
}
