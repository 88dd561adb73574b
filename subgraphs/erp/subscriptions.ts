/** Orders as they change. */
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { newestOfCustomer } from '../kit/lists.ts'
import { keysIn } from '../kit/records.ts'
import { type DocumentArguments, INITIAL, watchDocuments } from '../kit/watch.ts'

export function orderSubscriptions(rooms: Rooms) {
  return {
    orderChanged: {
      subscribe: (_: unknown, args: DocumentArguments, context: SubgraphContext) =>
        watchDocuments(rooms, context, args, {
          field: 'orderChanged',
          record: 'order',
          ofCustomer: (customer) =>
            newestOfCustomer(context, 'order', keysIn(rooms.systems, customer, 'order'), INITIAL),
        }),
    },
  }
}
