/** What other subgraphs own, by the name of its type: ids into keys of one system, and back. */
import type { IdentityType } from '../../src/identity/registry.ts'
import type { Key, UnifiedType } from '../../src/systems/records.ts'
import type { System, Systems } from '../../src/systems/registry.ts'
import type { SubgraphContext } from '../kit/context.ts'
import { identityOf, idOf, located } from '../kit/records.ts'

const ENTITIES: Readonly<Record<string, UnifiedType>> = {
  Customer: 'customer',
  Product: 'product',
  Order: 'order',
  Invoice: 'invoice',
  Delivery: 'delivery',
  Opportunity: 'opportunity',
  Payment: 'payment',
  Shipment: 'shipment',
}
const isIdentity = (type: UnifiedType): type is IdentityType => type === 'customer' || type === 'product'

/**
 * The keys that an entity has in one system.
 * @throws BAD_USER_INPUT where it is no id of such a record
 */
export async function keysIn(
  systems: Systems,
  context: SubgraphContext,
  entity: string,
  id: unknown,
  of: string,
): Promise<readonly Key[]> {
  const type = ENTITIES[entity]
  if (type === undefined || typeof id !== 'string') return []
  if (isIdentity(type)) {
    const { keys } = await identityOf(systems, context, type, id)
    return keys.filter((key) => key.system === of).map(({ key }) => key)
  }
  const place = located(systems, type, id)
  return place.system.id === of ? [place.key] : []
}

/** The entity that has a key in a system, for the subgraph that owns it. */
export async function referenceTo(
  context: SubgraphContext,
  entity: string,
  of: System,
  key: Key,
): Promise<{ readonly __typename: string; readonly id: string }> {
  const type = ENTITIES[entity] as UnifiedType
  const id = isIdentity(type) ? (await context.identities.byKey(type, of.id, key)).id : idOf(type, of, key)
  return { __typename: entity, id }
}
