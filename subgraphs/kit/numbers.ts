/**
 * Documents of different systems that name each other by the numbers they print: whose numbers those are, and what is
 * found by them.
 */
import type { LookupName } from '../../src/systems/port.ts'
import { portOf, type System, type Systems } from '../../src/systems/registry.ts'
import type { SubgraphContext } from './context.ts'
import { idOf, type Located, lookupAll } from './records.ts'

type Numbered = 'order' | 'delivery'
type Naming = 'delivery' | 'reservation' | 'invoice' | 'shipment'

/**
 * The system whose numbers stand on the documents of `system`: the configured one, itself, or the only one that has
 * such records. Undefined where that is not clear: the same number may mean something else elsewhere.
 */
export function numbersOf(systems: Systems, type: Numbered, system: System): System | undefined {
  const from = type === 'order' ? system.orderNumbersFrom : system.deliveryNumbersFrom
  if (from !== undefined) return systems.get(from)
  const holders = systems.holding(type)
  if (holders.includes(system)) return system
  return holders.length === 1 ? holders[0] : undefined
}

/** Systems that find records of a type by a number of `of`, each with that number. */
export function placesNaming(
  systems: Systems,
  naming: Naming,
  by: LookupName,
  of: { readonly type: Numbered; readonly system: string; readonly number: string },
): { system: System; key: string }[] {
  return systems
    .holding(naming)
    .filter((one) => portOf(one, naming)?.lookups?.[by] && numbersOf(systems, of.type, one)?.id === of.system)
    .map((system) => ({ system, key: of.number }))
}

/** Systems that find a shipment by its tracking number, each with each of these numbers. */
export const placesTracking = (systems: Systems, trackingNumbers: Iterable<string>, only?: System) =>
  systems
    .holding('shipment')
    .filter((one) => portOf(one, 'shipment')?.lookups?.byNumber && (!only || one === only))
    .flatMap((system) => [...new Set(trackingNumbers)].map((key) => ({ system, key })))

export interface NumberedOrder {
  readonly system: System
  readonly key: string
  readonly number: string
}

/** What was sent for an order: by its own system, and by those that know it by its number. */
export async function deliveriesOf(
  systems: Systems,
  context: SubgraphContext,
  { system, key, number }: NumberedOrder,
): Promise<(Located<'delivery'> | Error)[]> {
  const own = portOf(system, 'delivery')?.lookups?.byOrder
  const named = { type: 'order', system: system.id, number } as const
  const elsewhere = placesNaming(systems, 'delivery', 'byOrderNumber', named)
  const found = await Promise.all([
    own ? lookupAll(context, 'delivery', 'byOrder', [{ system, key }]) : [],
    lookupAll(context, 'delivery', 'byOrderNumber', elsewhere),
  ])
  return distinct(found.flat())
}

/** References to orders by their numbers in the system that prints them on the documents of `system`. */
export async function orderRefs(
  systems: Systems,
  context: SubgraphContext,
  system: System,
  numbers: readonly string[],
): Promise<({ readonly id: string } | Error)[]> {
  const from = numbersOf(systems, 'order', system)
  if (!from || !portOf(from, 'order')?.lookups?.byNumber) return []
  const places = numbers.map((key) => ({ system: from, key }))
  const orders = await lookupAll(context, 'order', 'byNumber', places)
  return orders.map((order) =>
    order instanceof Error ? order : { id: idOf('order', from, order.record.key) },
  )
}

/** The same record found in two ways is one. */
export function distinct<T extends Located<'delivery'> | Located<'shipment'>>(
  found: readonly (T | Error)[],
): (T | Error)[] {
  const seen = new Set<string>()
  return found.filter((one) => {
    if (one instanceof Error) return true
    const name = `${one.system.id}\n${one.record.key}`
    return seen.has(name) ? false : seen.add(name)
  })
}
