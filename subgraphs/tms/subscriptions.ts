/** Shipments as they go. */
import type { Facts } from '../../src/events/event.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { deliveriesOf, distinct, numbersOf, placesNaming, placesTracking } from '../kit/numbers.ts'
import { type Located, loadById, lookupAll } from '../kit/records.ts'
import { type DocumentArguments, watchDocuments } from '../kit/watch.ts'

interface ShipmentChangedArguments extends Omit<DocumentArguments, 'customerId'> {
  readonly orderId?: string | null
  readonly carrier?: string | null
}

export function shipmentSubscriptions(rooms: Rooms) {
  const { systems } = rooms

  /** Shipments of one order: those that name it, and those of its deliveries. */
  const ofOrder = async (context: SubgraphContext, id: string) => {
    const order = await loadById(systems, context, 'order', id)
    if (!order) throw badInput('"orderId": there is no such order.', 'orderId')
    const { system, record } = order
    const { key, number } = record
    const sent = await deliveriesOf(systems, context, { system, key, number })
    const tracked = new Set(
      sent.flatMap((one) => (one instanceof Error ? [] : (one.record.trackingNumbers ?? []))),
    )
    return {
      matches(facts: Facts, of: string): boolean {
        if (facts.number != null && tracked.has(facts.number)) return true
        const holder = systems.get(of)
        return (
          namedOrders(facts).includes(number) &&
          holder !== undefined &&
          numbersOf(systems, 'order', holder) === system
        )
      },
      async candidates(): Promise<(Located<'shipment'> | Error)[]> {
        const named = placesNaming(systems, 'shipment', 'byOrderNumber', {
          type: 'order',
          system: system.id,
          number,
        })
        const found = await Promise.all([
          lookupAll(context, 'shipment', 'byOrderNumber', named),
          lookupAll(context, 'shipment', 'byNumber', placesTracking(systems, tracked)),
        ])
        return distinct(found.flat())
      },
    }
  }

  return {
    shipmentChanged: {
      async subscribe(_: unknown, args: ShipmentChangedArguments, context: SubgraphContext) {
        const order = args.orderId == null ? null : await ofOrder(context, args.orderId)
        return watchDocuments(rooms, context, args, {
          field: 'shipmentChanged',
          record: 'shipment',
          also: {
            matches: (facts, system) =>
              (args.carrier == null || facts.carrier === args.carrier) &&
              (!order || order.matches(facts, system)),
            ...(order ? { candidates: order.candidates } : {}),
          },
        })
      },
    },
  }
}

const namedOrders = (facts: Facts): string[] => facts.orders?.split('\n') ?? []
