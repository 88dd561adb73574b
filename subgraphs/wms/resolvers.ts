/** Stock and deliveries, in every system that keeps them. */
import type { ShipTo } from '../../src/systems/port.ts'
import type { DeliveryLine, ReservationLine } from '../../src/systems/records.ts'
import { portOf, type System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { type ListArguments, pageOver } from '../kit/lists.ts'
import { deliveriesOf, type NumberedOrder, orderRefs, placesNaming } from '../kit/numbers.ts'
import {
  identityOf,
  idOf,
  keysIn,
  type Located,
  loadById,
  loadByKey,
  located,
  lookupAll,
  recordFields,
} from '../kit/records.ts'
import {
  type CustomFieldInput,
  chooseTarget,
  customInput,
  given,
  type How,
  productLine,
  requireLines,
  shipToInput,
  write,
} from '../kit/writes.ts'
import { inventorySubscriptions } from './subscriptions.ts'

interface WarehouseNode {
  readonly system: System
  readonly key: string
}

/** What the gateway brings along from the subgraph that owns it. */
interface OrderNode {
  readonly id: string
  /** Asked for with `@requires`. Where another subgraph requires `deliveries`, planners ask for them without it. */
  readonly number?: string
}

interface DeliveryLineNode {
  readonly system: System
  readonly line: DeliveryLine
}

interface ReservationLineNode {
  readonly system: System
  readonly line: ReservationLine
}

interface LineInput {
  readonly productId: string
  readonly quantity: string
}

interface ReserveStockInput {
  readonly idempotencyKey: string
  readonly system?: string | null
  readonly orderNumber?: string | null
  readonly expiresAt?: string | null
  readonly comments?: string | null
  readonly customFields?: readonly CustomFieldInput[] | null
  readonly lines: readonly (LineInput & { readonly warehouse?: string | null })[]
}

interface CreateDeliveryInput {
  readonly idempotencyKey: string
  readonly system?: string | null
  readonly direction: 'OUTBOUND' | 'INBOUND'
  readonly orderNumber?: string | null
  readonly reservationId?: string | null
  readonly warehouse?: string | null
  readonly date?: string | null
  readonly shipTo?: ShipTo | null
  readonly comments?: string | null
  readonly customFields?: readonly CustomFieldInput[] | null
  readonly lines: readonly LineInput[]
}

interface ActionInput {
  readonly idempotencyKey: string
  readonly id: string
  readonly expectedVersion?: string | null
}

export function wmsResolvers(rooms: Rooms) {
  const { systems } = rooms

  const productRef = async (context: SubgraphContext, system: System, key: string) => ({
    id: (await context.identities.byKey('product', system.id, key)).id,
  })

  const findWarehouse = async (context: SubgraphContext, id: string): Promise<WarehouseNode | null> => {
    const { system, key } = located(systems, 'warehouse', id)
    return (await loadByKey(context, system, 'warehouse', key)) ? { system, key } : null
  }

  /** With the order's number: what is found by it is asked for under the name that it has in its own system. */
  const numbered = async (
    context: SubgraphContext,
    { id, number }: OrderNode,
  ): Promise<NumberedOrder | null> => {
    const { system, key } = located(systems, 'order', id)
    const known = number ?? (await loadByKey(context, system, 'order', key))?.record.number
    return known === undefined ? null : { system, key, number: known }
  }

  const chooseSystem = (
    record: 'reservation' | 'delivery',
    what: string,
    system: string | null | undefined,
  ) => {
    const able = systems.holding(record).filter((one) => portOf(one, record)?.create)
    const candidates = able.map((one) => ({ system: one, key: '' }))
    return chooseTarget(systems, candidates, {
      record,
      what,
      asked: { system },
      none: `There are no ${what}.`,
    }).system
  }

  const act = <T extends 'reservation' | 'delivery'>(
    mutation: string,
    record: T,
    action: string,
    input: ActionInput,
    how: How,
    context: SubgraphContext,
  ) => {
    const { system, key } = located(systems, record, input.id)
    const adapterInput = { key, ...given({ expectedVersion: input.expectedVersion }) }
    return write(rooms, context, { mutation, input, system, record, action, adapterInput, ...how })
  }
  const deliveryAction =
    (mutation: string, action: string) =>
    async (_: unknown, { input, ...how }: { input: ActionInput } & How, context: SubgraphContext) => {
      const { writeback, record } = await act(mutation, 'delivery', action, input, how, context)
      return { writeback, delivery: record }
    }

  return {
    Query: {
      inventoryLevel: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'inventoryLevel', id),
      delivery: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'delivery', id),
      reservation: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'reservation', id),
      reservations: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'reservation', args),
      deliveries: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'delivery', args),
      warehouse: (_: unknown, { id }: { id: string }, context: SubgraphContext) => findWarehouse(context, id),
    },

    Mutation: {
      async reserveStock(
        _: unknown,
        { input, ...how }: { input: ReserveStockInput } & How,
        context: SubgraphContext,
      ) {
        requireLines(input.lines)
        const system = chooseSystem('reservation', 'systems that can set stock aside', input.system)
        const lines = await Promise.all(
          input.lines.map(async ({ warehouse, ...line }, index) => ({
            ...(await productLine(systems, context, system, line, `lines[${index}]`)),
            ...given({ warehouse }),
          })),
        )
        const { orderNumber, expiresAt, comments } = input
        const { writeback, record } = await write(rooms, context, {
          mutation: 'reserveStock',
          input,
          system,
          record: 'reservation',
          action: 'create',
          adapterInput: {
            ...given({ orderNumber, expiresAt, comments }),
            ...customInput(input.customFields),
            lines,
          },
          ...how,
        })
        return { writeback, reservation: record }
      },
      async releaseReservation(
        _: unknown,
        { input, ...how }: { input: ActionInput } & How,
        context: SubgraphContext,
      ) {
        const { writeback, record } = await act(
          'releaseReservation',
          'reservation',
          'release',
          input,
          how,
          context,
        )
        return { writeback, reservation: record }
      },

      async createDelivery(
        _: unknown,
        { input, ...how }: { input: CreateDeliveryInput } & How,
        context: SubgraphContext,
      ) {
        requireLines(input.lines)
        const system = chooseSystem('delivery', 'systems that take deliveries', input.system)
        const reservation =
          input.reservationId == null ? null : located(systems, 'reservation', input.reservationId)
        if (reservation && reservation.system.id !== system.id) {
          const message = `"reservationId" is of "${reservation.system.id}", the delivery is made in "${system.id}".`
          throw badInput(message, 'reservationId')
        }
        const lines = await Promise.all(
          input.lines.map((line, index) => productLine(systems, context, system, line, `lines[${index}]`)),
        )
        const { direction, orderNumber, warehouse, date, comments } = input
        const shipTo = shipToInput(input.shipTo)
        const { writeback, record } = await write(rooms, context, {
          mutation: 'createDelivery',
          input,
          system,
          record: 'delivery',
          action: 'create',
          adapterInput: {
            direction,
            ...given({ orderNumber, warehouse, date, comments, shipTo, reservation: reservation?.key }),
            ...customInput(input.customFields),
            lines,
          },
          ...how,
        })
        return { writeback, delivery: record }
      },
      shipDelivery: deliveryAction('shipDelivery', 'ship'),
      receiveDelivery: deliveryAction('receiveDelivery', 'receive'),
      cancelDelivery: deliveryAction('cancelDelivery', 'cancel'),
    },

    Subscription: inventorySubscriptions(rooms),

    Product: {
      async inventory({ id }: { id: string }, _: unknown, context: SubgraphContext) {
        const identity = await identityOf(systems, context, 'product', id)
        return lookupAll(context, 'inventoryLevel', 'byProduct', keysIn(systems, identity, 'inventoryLevel'))
      },
    },

    Order: {
      async deliveries(node: OrderNode, _: unknown, context: SubgraphContext) {
        const order = await numbered(context, node)
        return order && deliveriesOf(systems, context, order)
      },
      async reservations(node: OrderNode, _: unknown, context: SubgraphContext) {
        const order = await numbered(context, node)
        if (!order) return null
        const named = { type: 'order', system: order.system.id, number: order.number } as const
        const places = placesNaming(systems, 'reservation', 'byOrderNumber', named)
        return lookupAll(context, 'reservation', 'byOrderNumber', places)
      },
    },

    Warehouse: {
      __resolveReference({ id }: { id: string }, context: SubgraphContext) {
        const { system, key } = located(systems, 'warehouse', id)
        // Documents name it, and its system has nothing to say about it.
        return portOf(system, 'warehouse') ? findWarehouse(context, id) : { system, key }
      },
      id: ({ system, key }: WarehouseNode) => idOf('warehouse', system, key),
      async name({ system, key }: WarehouseNode, _: unknown, context: SubgraphContext) {
        if (!portOf(system, 'warehouse')) return null
        return (await loadByKey(context, system, 'warehouse', key))?.record.name ?? null
      },
    },

    InventoryLevel: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'inventoryLevel', id),
      ...recordFields('inventoryLevel', [
        'onHand',
        'reserved',
        'available',
        'incoming',
        'key',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      product: ({ system, record }: Located<'inventoryLevel'>, _: unknown, context: SubgraphContext) =>
        productRef(context, system, record.product),
      warehouse: ({ system, record }: Located<'inventoryLevel'>): WarehouseNode => ({
        system,
        key: record.warehouse,
      }),
    },

    Delivery: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'delivery', id),
      ...recordFields('delivery', [
        'number',
        'direction',
        'date',
        'status',
        'vendorStatus',
        'carrier',
        'shipTo',
        'externalReference',
        'orderNumbers',
        'key',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      reservation: ({ system, record }: Located<'delivery'>, _: unknown, context: SubgraphContext) =>
        record.reservation ? loadByKey(context, system, 'reservation', record.reservation) : null,
      trackingNumbers: ({ record }: Located<'delivery'>) => record.trackingNumbers ?? [],
      async customer({ system, record }: Located<'delivery'>, _: unknown, context: SubgraphContext) {
        if (!record.customer) return null
        return { id: (await context.identities.byKey('customer', system.id, record.customer)).id }
      },
      async orders({ system, record }: Located<'delivery'>, _: unknown, context: SubgraphContext) {
        const own = record.orders.map((key) => ({ id: idOf('order', system, key) }))
        return [...own, ...(await orderRefs(systems, context, system, record.orderNumbers ?? []))]
      },
      lines: ({ system, record }: Located<'delivery'>) =>
        record.lines.map((line): DeliveryLineNode => ({ system, line })),
    },

    DeliveryLine: {
      id: ({ line }: DeliveryLineNode) => line.id,
      product: ({ system, line }: DeliveryLineNode, _: unknown, context: SubgraphContext) =>
        line.product ? productRef(context, system, line.product) : null,
      description: ({ line }: DeliveryLineNode) => line.description ?? null,
      quantity: ({ line }: DeliveryLineNode) => line.quantity,
      warehouse: ({ system, line }: DeliveryLineNode): WarehouseNode | null =>
        line.warehouse ? { system, key: line.warehouse } : null,
      order: ({ system, line }: DeliveryLineNode) =>
        line.order ? { id: idOf('order', system, line.order) } : null,
      orderLine: ({ line }: DeliveryLineNode) => line.orderLine ?? null,
    },

    Reservation: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'reservation', id),
      ...recordFields('reservation', [
        'number',
        'orderNumber',
        'status',
        'vendorStatus',
        'expiresAt',
        'comments',
        'key',
        'externalReference',
        'version',
        'createdAt',
        'updatedAt',
      ]),
      async order({ system, record }: Located<'reservation'>, _: unknown, context: SubgraphContext) {
        if (!record.orderNumber) return null
        const [order] = await orderRefs(systems, context, system, [record.orderNumber])
        return order ?? null
      },
      lines: ({ system, record }: Located<'reservation'>) =>
        record.lines.map((line): ReservationLineNode => ({ system, line })),
    },

    ReservationLine: {
      id: ({ line }: ReservationLineNode) => line.id,
      product: ({ system, line }: ReservationLineNode, _: unknown, context: SubgraphContext) =>
        productRef(context, system, line.product),
      warehouse: ({ system, line }: ReservationLineNode): WarehouseNode => ({ system, key: line.warehouse }),
      quantity: ({ line }: ReservationLineNode) => line.quantity,
      open: ({ line }: ReservationLineNode) => line.open ?? null,
    },
  }
}
