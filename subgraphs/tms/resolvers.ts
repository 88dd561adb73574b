/** Parcels under way, in every system that knows of them. */
import { portOf, type System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { type ListArguments, pageOver } from '../kit/lists.ts'
import { distinct, orderRefs, placesNaming, placesTracking } from '../kit/numbers.ts'
import { type Located, loadById, located, lookupAll, recordFields, systemOf } from '../kit/records.ts'
import { chooseTarget, given, type How, write } from '../kit/writes.ts'
import { shipmentSubscriptions } from './subscriptions.ts'

/** What the gateway brings along from the subgraph that owns it. */
interface DeliveryNode {
  readonly id: string
  readonly number?: string | null
  readonly trackingNumbers?: readonly string[] | null
}

interface OrderNode {
  readonly id: string
  readonly system: { readonly id: string }
  readonly number: string
  readonly deliveries?: readonly (DeliveryNode | null)[] | null
}

interface TrackShipmentInput {
  readonly idempotencyKey: string
  readonly system?: string | null
  readonly trackingNumber: string
  readonly carrier?: string | null
  readonly phone?: string | null
  readonly orderNumber?: string | null
  readonly deliveryNumber?: string | null
}

/** Of any carrier in the world: letters, digits, and what stands between them. */
const TRACKING_NUMBER = /^[\p{L}\p{N}][\p{L}\p{N} ./-]{0,63}$/u

export function tmsResolvers(rooms: Rooms) {
  const { systems } = rooms

  const ofDelivery = async (context: SubgraphContext, delivery: DeliveryNode) => {
    const { system } = located(systems, 'delivery', delivery.id)
    const numbers = delivery.trackingNumbers ?? []
    const found = [lookupAll(context, 'shipment', 'byNumber', placesTracking(systems, numbers))]
    if (delivery.number != null) {
      const named = { type: 'delivery', system: system.id, number: delivery.number } as const
      const places = placesNaming(systems, 'shipment', 'byDeliveryNumber', named)
      found.push(lookupAll(context, 'shipment', 'byDeliveryNumber', places))
    }
    return (await Promise.all(found)).flat()
  }

  const chooseTracker = (input: TrackShipmentInput): System => {
    const able = systems.holding('shipment').filter((one) => portOf(one, 'shipment')?.create)
    const candidates = able.map((system) => ({ system, key: '' }))
    return chooseTarget(systems, candidates, {
      record: 'shipment',
      what: 'systems that can follow a shipment',
      asked: { system: input.system },
      none: 'No system can follow shipments.',
    }).system
  }

  return {
    Query: {
      shipment: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'shipment', id),

      shipments: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'shipment', args),

      shipmentsByNumber(
        _: unknown,
        { trackingNumber, system }: { trackingNumber: string; system?: string | null },
        context: SubgraphContext,
      ) {
        requireTrackingNumber(trackingNumber)
        const only = system == null ? undefined : systemOf(systems, system)
        return lookupAll(context, 'shipment', 'byNumber', placesTracking(systems, [trackingNumber], only))
      },
    },

    Mutation: {
      async trackShipment(
        _: unknown,
        { input, ...how }: { input: TrackShipmentInput } & How,
        context: SubgraphContext,
      ) {
        const { trackingNumber, carrier, phone, orderNumber, deliveryNumber } = input
        requireTrackingNumber(trackingNumber)
        const { writeback, record } = await write(rooms, context, {
          mutation: 'trackShipment',
          input,
          system: chooseTracker(input),
          record: 'shipment',
          action: 'create',
          adapterInput: { trackingNumber, ...given({ carrier, phone, orderNumber, deliveryNumber }) },
          ...how,
        })
        return { writeback, shipment: record }
      },
    },

    Subscription: shipmentSubscriptions(rooms),

    Delivery: {
      shipments: async (delivery: DeliveryNode, _: unknown, context: SubgraphContext) =>
        distinct(await ofDelivery(context, delivery)),
    },

    Order: {
      async shipments(order: OrderNode, _: unknown, context: SubgraphContext) {
        const named = { type: 'order', system: order.system.id, number: order.number } as const
        const places = placesNaming(systems, 'shipment', 'byOrderNumber', named)
        const sent = (order.deliveries ?? []).flatMap((delivery) => (delivery ? [delivery] : []))
        const found = await Promise.all([
          lookupAll(context, 'shipment', 'byOrderNumber', places),
          ...sent.map((delivery) => ofDelivery(context, delivery)),
        ])
        return distinct(found.flat())
      },
    },

    Shipment: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'shipment', id),
      ...recordFields('shipment', [
        'trackingNumber',
        'carrier',
        'carrierName',
        'status',
        'vendorStatus',
        'recipientRegion',
        'expectedDelivery',
        'signedBy',
        'signedAt',
        'orderNumbers',
        'deliveryNumbers',
        'events',
        'key',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      orders: ({ system, record }: Located<'shipment'>, _: unknown, context: SubgraphContext) =>
        orderRefs(systems, context, system, record.orderNumbers),
    },
  }
}

function requireTrackingNumber(text: string): void {
  if (TRACKING_NUMBER.test(text)) return
  throw badInput(
    `"trackingNumber" must be 1 to 64 letters and digits; got "${text.slice(0, 80)}".`,
    'trackingNumber',
  )
}
