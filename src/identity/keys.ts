/** Rows of keys, and what linking does with them. */
import type { ExpressionBuilder } from 'kysely'
import type { Database } from '../store/store.ts'
import type { Tables } from '../store/tables.ts'

/** Record types that have one identity over all systems; all others belong to the system that holds them. */
export type IdentityType = 'customer' | 'product'

export interface SystemKey {
  readonly system: string
  readonly company: string
  readonly key: string
}

/** `linked_by` of a key that nothing was linked with, */
export const ALONE = 'none'
/** and of one that a person has taken out: only a person links it again. */
export const APART = 'apart'
export const STANDS_ALONE = 'no record of another system has the same match value'

/** Everything of `from` belongs to `into` from now on; the keys stay as they are, so old ids still lead here. */
export async function merge(
  tx: Database,
  type: IdentityType,
  from: string,
  into: string,
  how: string,
): Promise<void> {
  await tx
    .updateTable('identity_key')
    .set({ entity: into, linked_by: how, reason: '' })
    .where('type', '=', type)
    .where('entity', '=', from)
    .execute()
  await tellLinked(tx, type, [into], how)
}

/** Those who stood alone there have company now. */
export async function tellLinked(
  tx: Database,
  type: IdentityType,
  entities: readonly string[],
  how: string,
): Promise<void> {
  await tx
    .updateTable('identity_key')
    .set({ linked_by: how, reason: '' })
    .where('type', '=', type)
    .where('entity', 'in', entities)
    .where('linked_by', 'in', [ALONE, APART])
    .execute()
}

export function isKey(type: IdentityType, key: SystemKey) {
  return (where: ExpressionBuilder<Tables, 'identity_key'>) =>
    where.and([
      where('type', '=', type),
      where('system', '=', key.system),
      where('company', '=', key.company),
      where('key', '=', key.key),
    ])
}

/** SQLite takes 32,766 parameters; lists are cut well below. */
const CHUNK = 500

export function* chunks<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += CHUNK) yield all.slice(at, at + CHUNK)
}
