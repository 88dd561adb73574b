/** Stock as it changes. */
import Big from 'big.js'
import type { ChangeEvent, Facts } from '../../src/events/event.ts'
import { portOf } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { identityOf, keysIn, type Located, lookupAll, systemOf } from '../kit/records.ts'
import { INITIAL, present, recordOf, type WatchArguments, watchLog } from '../kit/watch.ts'

interface InventoryChangedArguments extends WatchArguments {
  readonly productId?: string | null
  readonly sku?: string | null
  readonly warehouse?: string | null
  readonly system?: string | null
}

export function inventorySubscriptions(rooms: Rooms) {
  const { systems } = rooms
  return {
    inventoryChanged: {
      async subscribe(_: unknown, args: InventoryChangedArguments, context: SubgraphContext) {
        const product =
          args.productId == null ? null : await identityOf(systems, context, 'product', args.productId)
        if (args.system != null) systemOf(systems, args.system)

        const matches = ({ system, data: { facts } }: ChangeEvent) =>
          (args.system == null || system === args.system) &&
          (args.warehouse == null || facts.warehouse === args.warehouse) &&
          (args.sku == null || (facts.sku ?? facts.product) === args.sku) &&
          (!product || product.keys.some((key) => key.system === system && key.key === facts.product))

        const candidates = async (): Promise<(Located<'inventoryLevel'> | Error)[]> => {
          const { sku } = args
          if (product)
            return lookupAll(
              context,
              'inventoryLevel',
              'byProduct',
              keysIn(systems, product, 'inventoryLevel'),
            )
          if (sku == null) return present(rooms, context, 'inventoryLevel', args.system)
          // Systems that know a product by another key than its SKU are not asked.
          const places = systems
            .holding('inventoryLevel')
            .filter((system) => portOf(system, 'inventoryLevel')?.lookups?.byProduct)
          return lookupAll(
            context,
            'inventoryLevel',
            'byProduct',
            places.map((system) => ({ system, key: sku })),
          )
        }

        return watchLog(rooms, context, args, {
          field: 'inventoryChanged',
          filter: { record: 'inventoryLevel', matches },
          async of(event) {
            const { facts, before } = event.data
            return {
              sku: facts.sku ?? facts.product,
              warehouse: facts.warehouse,
              reason: reasonOf(before, facts),
              onHandBefore: before?.onHand ?? null,
              onHandAfter: facts.onHand ?? null,
              availableBefore: before?.available ?? null,
              availableAfter: facts.available ?? null,
              level: await recordOf(rooms, context, 'inventoryLevel', event),
            }
          },
          now: async () =>
            (await candidates())
              .filter(
                (level) =>
                  level instanceof Error ||
                  ((args.warehouse == null || level.record.warehouse === args.warehouse) &&
                    (args.system == null || level.system.id === args.system)),
              )
              .slice(0, INITIAL)
              .map((level) => (level instanceof Error ? { level } : { ...figuresOf(level), level })),
        })
      },
    },
  }
}

const figuresOf = ({ record }: Located<'inventoryLevel'>) => ({
  warehouse: record.warehouse,
  onHandAfter: record.onHand.value,
  availableAfter: record.available?.value ?? null,
})

/** As far as the figures tell; systems that list changes do not say why. */
function reasonOf(before: Facts | null, after: Facts): string | null {
  if (!before) return null
  const moved = compare(before.onHand, after.onHand)
  if (moved !== 0) return moved < 0 ? 'IN' : 'OUT'
  const promised = compare(before.available, after.available)
  if (promised === 0) return null
  return promised < 0 ? 'RELEASED' : 'RESERVED'
}

/** Below zero where the second is more. */
const compare = (a: string | null | undefined, b: string | null | undefined): number =>
  a == null || b == null ? 0 : new Big(a).cmp(b)
