/** Invoices as they change, and as they fall due. */
import { portOf } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { keysIn, lookupAll } from '../kit/records.ts'
import { type DocumentArguments, watchDocuments } from '../kit/watch.ts'

export function invoiceSubscriptions(rooms: Rooms) {
  return {
    invoiceChanged: {
      subscribe: (_: unknown, args: DocumentArguments, context: SubgraphContext) =>
        watchDocuments(rooms, context, args, {
          field: 'invoiceChanged',
          record: 'invoice',
          ofCustomer(customer) {
            const places = keysIn(rooms.systems, customer, 'invoice').filter(
              ({ system }) => portOf(system, 'invoice')?.lookups?.byCustomer,
            )
            return lookupAll(context, 'invoice', 'byCustomer', places)
          },
        }),
    },
  }
}
