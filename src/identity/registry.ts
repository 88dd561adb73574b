/**
 * Which keys of which systems mean the same customer or product. A record that stands alone is its own identity;
 * when records are linked, the identity that was there first keeps its id and takes the others' keys, and every
 * id that was ever given out still leads to it.
 */
import DataLoader from 'dataloader'
import type { Database, Store } from '../store/store.ts'
import type { IdentityKeyTable } from '../store/tables.ts'
import { decodeId, encodeId } from './ids.ts'
import {
  ALONE,
  APART,
  chunks,
  type IdentityType,
  isKey,
  merge,
  STANDS_ALONE,
  type SystemKey,
} from './keys.ts'
import { type ObservedRecord, observeAll, unknownOf } from './observe.ts'

export type { IdentityType, ObservedRecord, SystemKey }

export interface Identity {
  readonly id: string
  /** Never empty; the founding key first. */
  readonly keys: readonly SystemKey[]
}

export interface LinkRequest {
  readonly type: IdentityType
  readonly key: SystemKey
  /** Any key of the identity that it shall belong to. */
  readonly sameAs: SystemKey
}

export interface Unmapped {
  readonly key: SystemKey
  readonly id: string
  readonly label: string
  readonly reason: string
  readonly seenAt: string
}

export interface IdentityRegistry {
  /** One identity per id, same order; null where the text is no id of that type. */
  byIds(type: IdentityType, ids: readonly string[]): Promise<readonly (Identity | null)[]>
  /** One identity per key, same order. A key that was never seen is an identity of its own. */
  byKeys(type: IdentityType, keys: readonly Pick<SystemKey, 'system' | 'key'>[]): Promise<readonly Identity[]>
  /** Takes note of records that were read, and links those that match. */
  observe(type: IdentityType, system: string, records: readonly ObservedRecord[]): Promise<void>
  /**
   * All or nothing. What the configuration says (`configured`) does not join what a person has taken apart.
   * @returns How many changed something.
   */
  link(requests: readonly LinkRequest[], how: 'manual' | 'import' | 'configured'): Promise<number>
  /**
   * Takes a key out of its identity: from then on it is an identity of its own, which no match joins with another.
   * Where the founding key is taken out, the others keep together under the id of the one that came next.
   * @returns What it was taken from, as that is now; null where it stood alone.
   */
  unlink(type: IdentityType, key: Pick<SystemKey, 'system' | 'key'>): Promise<Identity | null>
  /** Records that stand alone, by system and key. */
  unmapped(
    type: IdentityType,
    page: UnmappedPage,
  ): Promise<{ readonly items: readonly Unmapped[]; readonly total: number }>
}

export interface UnmappedPage {
  readonly first: number
  readonly after?: { readonly system: string; readonly key: string } | undefined
  readonly system?: string | undefined
}

export function createIdentityRegistry(store: Store): IdentityRegistry {
  const read = async (
    type: IdentityType,
    keys: readonly Pick<SystemKey, 'system' | 'key'>[],
  ): Promise<readonly Identity[]> => {
    const rows = await rowsOfKeys(store.read, type, keys)
    const groups = await rowsOfEntities(store.read, type, [...new Set(rows.values())])
    return keys.map(({ system, key }) => {
      const own = encodeId({ type, system, key })
      const id = rows.get(own) ?? own
      return { id, keys: groups.get(id) ?? [{ system, company: '', key }] }
    })
  }

  /** Many requests, and the evaluations of one event, ask at the same moment: they share a read. Nothing is kept. */
  const asked = new Map<IdentityType, DataLoader<Pick<SystemKey, 'system' | 'key'>, Identity>>()
  const byKeys: IdentityRegistry['byKeys'] = (type, keys) => {
    const known = asked.get(type)
    const loader = known ?? new DataLoader((list) => read(type, list), { cache: false })
    if (!known) asked.set(type, loader)
    return Promise.all(keys.map((key) => loader.load(key)))
  }

  return {
    byKeys,

    async byIds(type, ids) {
      const refs = ids.map((id) => {
        const ref = decodeId(id)
        return ref?.type === type ? ref : null
      })
      const found = await byKeys(
        type,
        refs.filter((ref) => ref !== null),
      )
      let next = 0
      return refs.map((ref) => (ref ? (found[next++] ?? null) : null))
    },

    async observe(type, system, records) {
      // Feeds tell of the same records again and again: without news nothing is committed.
      const news = await unknownOf(store.read, type, system, records)
      if (news.length === 0) return
      for (const some of chunks(news)) await store.transact((tx) => observeAll(tx, type, system, some))
    },

    async link(requests, how) {
      return store.transact(async (tx) => {
        let changed = 0
        for (const { type, key, sameAs } of requests) {
          const target = (await ensureRow(tx, type, sameAs)).entity
          const row = await ensureRow(tx, type, key)
          if (row.entity === target) continue
          if (how === 'configured' && (await isApart(tx, type, [row.entity, target]))) continue
          await merge(tx, type, row.entity, target, how)
          changed++
        }
        return changed
      })
    },

    unlink: (type, { system, key }) =>
      store.transact(async (tx) => {
        const own = encodeId({ type, system, key })
        const entity = (await rowsOfKeys(tx, type, [{ system, key }])).get(own)
        const keys = (entity !== undefined && (await rowsOfEntities(tx, type, [entity])).get(entity)) || []
        const rest = keys.filter((one) => one.system !== system || one.key !== key)
        const [next] = rest
        if (entity === undefined || !next) return null
        const id = entity === own ? encodeId({ type, ...next }) : entity
        const isOne = new Set(rest.map((one) => JSON.stringify([one.system, one.key]))).size === 1
        await tx
          .updateTable('identity_key')
          .set({ entity: id, ...(isOne ? { linked_by: ALONE, reason: STANDS_ALONE } : {}) })
          .where('type', '=', type)
          .where('entity', '=', entity)
          .execute()
        await tx
          .updateTable('identity_key')
          .set({ entity: own, linked_by: APART, reason: '' })
          .where('type', '=', type)
          .where('system', '=', system)
          .where('key', '=', key)
          .execute()
        return { id, keys: rest }
      }),

    async unmapped(type, page) {
      let query = store.read
        .selectFrom('identity_key')
        .where('type', '=', type)
        .where('linked_by', '=', ALONE)
      if (page.system) query = query.where('system', '=', page.system)
      const { total } = await query
        .select((of) => of.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow()
      const { after } = page
      if (after) {
        query = query.where((where) =>
          where.or([
            where('system', '>', after.system),
            where.and([where('system', '=', after.system), where('key', '>', after.key)]),
          ]),
        )
      }
      const rows = await query.selectAll().orderBy('system').orderBy('key').limit(page.first).execute()
      const items = rows.map((row) => ({
        key: { system: row.system, company: row.company, key: row.key },
        id: row.entity,
        label: row.label,
        reason: row.reason,
        seenAt: row.seen_at,
      }))
      return { items, total: Number(total) }
    },
  }
}

async function isApart(tx: Database, type: IdentityType, entities: readonly string[]): Promise<boolean> {
  const apart = await tx
    .selectFrom('identity_key')
    .select('key')
    .where('type', '=', type)
    .where('entity', 'in', entities)
    .where('linked_by', '=', APART)
    .executeTakeFirst()
  return apart !== undefined
}

async function ensureRow(tx: Database, type: IdentityType, key: SystemKey): Promise<IdentityKeyTable> {
  const known = await tx.selectFrom('identity_key').selectAll().where(isKey(type, key)).executeTakeFirst()
  if (known) return known
  const row: IdentityKeyTable = {
    type,
    ...key,
    entity: encodeId({ type, system: key.system, key: key.key }),
    label: '',
    linked_by: ALONE,
    reason: STANDS_ALONE,
    seen_at: new Date().toISOString(),
  }
  await tx.insertInto('identity_key').values(row).execute()
  return row
}

/** From a key's own id to the id of the identity it belongs to. */
async function rowsOfKeys(
  db: Database,
  type: IdentityType,
  keys: readonly Pick<SystemKey, 'system' | 'key'>[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const bySystem = Map.groupBy(keys, (key) => key.system)
  for (const [system, list] of bySystem) {
    const wanted = [...new Set(list.map(({ key }) => key))]
    for (const some of chunks(wanted)) {
      const rows = await db
        .selectFrom('identity_key')
        .select(['key', 'entity'])
        .where('type', '=', type)
        .where('system', '=', system)
        .where('key', 'in', some)
        .execute()
      for (const row of rows) found.set(encodeId({ type, system, key: row.key }), row.entity)
    }
  }
  return found
}

async function rowsOfEntities(
  db: Database,
  type: IdentityType,
  entities: readonly string[],
): Promise<Map<string, SystemKey[]>> {
  const groups = new Map<string, SystemKey[]>()
  for (const some of chunks(entities)) {
    const rows = await db
      .selectFrom('identity_key')
      .select(['system', 'company', 'key', 'entity'])
      .where('type', '=', type)
      .where('entity', 'in', some)
      .orderBy('seen_at')
      .orderBy('key')
      .execute()
    for (const { entity, ...key } of rows) {
      const group = groups.get(entity)
      // The founding key is the one that the id names.
      if (!group) groups.set(entity, [key])
      else if (encodeId({ type, system: key.system, key: key.key }) === entity) group.unshift(key)
      else group.push(key)
    }
  }
  return groups
}
