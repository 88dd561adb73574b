/** Orders as they change. */
import type { ChangeEvent } from '../../src/events/event.ts'
import type { OrderStatus } from '../../src/systems/records.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { failureError } from '../kit/errors.ts'
import { identityOf, keysIn, type Located, located, locatedFrom, systemOf } from '../kit/records.ts'
import { INITIAL, present, presentOne, recordOf, type WatchArguments, watchLog } from '../kit/watch.ts'

interface OrderChangedArguments extends WatchArguments {
  readonly id?: string | null
  readonly customerId?: string | null
  readonly status?: readonly OrderStatus[] | null
  readonly system?: string | null
}

export function orderSubscriptions(rooms: Rooms) {
  const { systems } = rooms
  return {
    orderChanged: {
      async subscribe(_: unknown, args: OrderChangedArguments, context: SubgraphContext) {
        const one = args.id == null ? null : located(systems, 'order', args.id)
        const customer =
          args.customerId == null ? null : await identityOf(systems, context, 'customer', args.customerId)
        if (args.system != null) systemOf(systems, args.system)
        const status = args.status == null ? null : new Set<string | null | undefined>(args.status)

        const matches = ({ system, key, data }: ChangeEvent) =>
          (args.system == null || system === args.system) &&
          (!one || (one.system.id === system && one.key === key)) &&
          (!status || status.has(data.facts.status)) &&
          (!customer ||
            customer.keys.some((known) => known.system === system && known.key === data.facts.customer))

        const candidates = async (): Promise<(Located<'order'> | Error)[]> => {
          if (one) return presentOne(context, one.system, 'order', one.key)
          if (!customer) return present(rooms, context, 'order', args.system)
          const answers = await Promise.all(
            keysIn(systems, customer, 'order').map(async ({ system, key }) => {
              const read = await context.reader.list(system, 'order', {
                first: INITIAL,
                filter: { customer: key },
              })
              if (!read.ok) return [failureError(system.id, read.failure)]
              return locatedFrom<'order'>(
                system,
                read.from,
                read.value.items.map(({ record }) => record),
              )
            }),
          )
          return answers.flat()
        }

        return watchLog(rooms, context, args, {
          field: 'orderChanged',
          filter: { record: 'order', matches },
          of: async (event) => ({
            statusBefore: event.data.before?.status ?? null,
            statusAfter: event.type === 'order.deleted' ? null : (event.data.facts.status ?? null),
            order: await recordOf(rooms, context, 'order', event),
          }),
          now: async () =>
            (await candidates())
              .filter(
                (order) =>
                  order instanceof Error ||
                  ((!status || status.has(order.record.status)) &&
                    (args.system == null || order.system.id === args.system)),
              )
              .slice(0, INITIAL)
              .map((order) => ({ statusAfter: order instanceof Error ? null : order.record.status, order })),
        })
      },
    },
  }
}
