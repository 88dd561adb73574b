/** Orders as they change. */
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { failureError } from '../kit/errors.ts'
import { keysIn, type Located, locatedFrom } from '../kit/records.ts'
import { type DocumentArguments, INITIAL, watchDocuments } from '../kit/watch.ts'

export function orderSubscriptions(rooms: Rooms) {
  return {
    orderChanged: {
      subscribe: (_: unknown, args: DocumentArguments, context: SubgraphContext) =>
        watchDocuments(rooms, context, args, {
          field: 'orderChanged',
          record: 'order',
          async ofCustomer(customer): Promise<(Located<'order'> | Error)[]> {
            const answers = await Promise.all(
              keysIn(rooms.systems, customer, 'order').map(async ({ system, key }) => {
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
          },
        }),
    },
  }
}
