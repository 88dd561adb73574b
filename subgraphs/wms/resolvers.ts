/** Stock and deliveries, in every system that keeps them. */
import type { DeliveryLine } from '../../src/systems/records.ts'
import { portOf, type System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { type ListArguments, pageOver } from '../kit/lists.ts'
import { deliveriesOf, orderRefs } from '../kit/numbers.ts'
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
import { inventorySubscriptions } from './subscriptions.ts'

interface WarehouseNode {
  readonly system: System
  readonly key: string
}

/** What the gateway brings along from the subgraph that owns it. */
interface OrderNode {
  readonly id: string
  readonly number: string
}

interface DeliveryLineNode {
  readonly system: System
  readonly line: DeliveryLine
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

  return {
    Query: {
      inventoryLevel: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'inventoryLevel', id),
      delivery: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'delivery', id),
      deliveries: (_: unknown, args: ListArguments, context: SubgraphContext) =>
        pageOver(systems, context, 'delivery', args),
      warehouse: (_: unknown, { id }: { id: string }, context: SubgraphContext) => findWarehouse(context, id),
    },

    Subscription: inventorySubscriptions(rooms),

    Product: {
      async inventory({ id }: { id: string }, _: unknown, context: SubgraphContext) {
        const identity = await identityOf(systems, context, 'product', id)
        return lookupAll(context, 'inventoryLevel', 'byProduct', keysIn(systems, identity, 'inventoryLevel'))
      },
    },

    Order: {
      deliveries(order: OrderNode, _: unknown, context: SubgraphContext) {
        const { system, key } = located(systems, 'order', order.id)
        return deliveriesOf(systems, context, { system, key, number: order.number })
      },
    },

    Warehouse: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) => findWarehouse(context, id),
      id: ({ system, key }: WarehouseNode) => idOf('warehouse', system, key),
      async name({ system, key }: WarehouseNode, _: unknown, context: SubgraphContext) {
        if (!portOf(system, 'warehouse')) return null
        return (await loadByKey(context, system, 'warehouse', key))?.record.name ?? null
      },
    },

    InventoryLevel: {
      __resolveReference: ({ id }: { id: string }, context: SubgraphContext) =>
        loadById(systems, context, 'inventoryLevel', id),
      ...recordFields('inventoryLevel', ['onHand', 'reserved', 'available', 'incoming']),
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
        'externalReference',
        'createdAt',
        'updatedAt',
      ]),
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
    },
  }
}
