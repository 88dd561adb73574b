/**
 * Taking note of records that were read, and linking those that match: what systems bring in pages, and first of all
 * everything that they have.
 */
import type { Database } from '../store/store.ts'
import type { IdentityKeyTable, IdentityMatchTable } from '../store/tables.ts'
import { encodeId } from './ids.ts'
import {
  ALONE,
  APART,
  chunks,
  type IdentityType,
  isKey,
  merge,
  STANDS_ALONE,
  type SystemKey,
  tellLinked,
} from './keys.ts'

export interface ObservedRecord {
  readonly key: string
  readonly company?: string | null
  readonly label: string
  /** Values of the configured match fields, as the system has them. */
  readonly match: Readonly<Record<string, string | null | undefined>>
  /** One customer may have several accounts in one ERP; two records of a CRM with one tax number are a question. */
  readonly severalPerSystem: boolean
}

/** Makes values comparable that people write differently: full-width digits, spaces, hyphens, case. */
export function normaliseMatch(value: string): string {
  return value
    .normalize('NFKC')
    .replaceAll(/[\s\-./]/g, '')
    .toUpperCase()
}

/** Those of which `observeAll` would write something. */
export async function unknownOf(
  db: Database,
  type: IdentityType,
  system: string,
  records: readonly ObservedRecord[],
): Promise<ObservedRecord[]> {
  const known = new Set<string>()
  const keys = [...new Set(records.map(({ key }) => key))]
  for (const some of chunks(keys)) {
    const [rows, values] = await Promise.all([
      db
        .selectFrom('identity_key')
        .select(['company', 'key', 'label'])
        .where('type', '=', type)
        .where('system', '=', system)
        .where('key', 'in', some)
        .execute(),
      db
        .selectFrom('identity_match')
        .select(['company', 'key', 'field', 'value'])
        .where('type', '=', type)
        .where('system', '=', system)
        .where('key', 'in', some)
        .execute(),
    ])
    for (const { company, key, label } of rows) known.add(JSON.stringify([company, key, label]))
    for (const { company, key, field, value } of values)
      known.add(JSON.stringify([company, key, field, value]))
  }
  return records.filter(({ company, key, label, match }) => {
    const isKnown = (...what: string[]) => known.has(JSON.stringify([company ?? '', key, ...what]))
    return (
      !isKnown(label) ||
      Object.entries(match).some(([field, raw]) => {
        const value = normaliseMatch(raw ?? '')
        return value !== '' && !isKnown(field, value)
      })
    )
  })
}

/** What is known of a key while records are taken note of. */
interface Known {
  readonly key: SystemKey
  entity: string
  label: string
  linkedBy: string
  reason: string
  /** Not in the store yet. */
  isNew: boolean
}

/**
 * Takes note of one record after the other, each in sight of those before it; read and written together, as a first
 * look at a system brings all that it has.
 * @param records One chunk at most: they are looked up in one list.
 */
export async function observeAll(
  tx: Database,
  type: IdentityType,
  system: string,
  records: readonly ObservedRecord[],
): Promise<void> {
  const sight = await lookAround(tx, type, system, records)
  const now = new Date().toISOString()
  /** Written together at last, or before something else is asked of the store. */
  const made: Known[] = []
  const joined = new Map<string, string>()
  const flush = async (): Promise<void> => {
    // Those that are made here know it already, or came later.
    for (const [how, all] of Map.groupBy(joined, ([, by]) => by))
      await tellLinked(
        tx,
        type,
        all.map(([entity]) => entity),
        how,
      )
    joined.clear()
    const rows = made.splice(0).map((one) => {
      one.isNew = false
      const { key, entity, label, linkedBy, reason } = one
      return { type, ...key, entity, label, linked_by: linkedBy, reason, seen_at: now }
    })
    if (rows.length > 0) await tx.insertInto('identity_key').values(rows).execute()
  }
  const join = async (one: Known, target: string, how: string): Promise<void> => {
    const from = one.entity
    // Of one key in another company there may be a row: both are one entity.
    const isKept = sight.keys.values().some((other) => other.entity === from && !other.isNew)
    if (isKept) {
      await flush()
      await merge(tx, type, from, target, how)
    } else if (!joined.has(target)) joined.set(target, how)
    for (const other of sight.keys.values()) {
      const isJoined = other.entity === from
      if (isJoined || (other.entity === target && [ALONE, APART].includes(other.linkedBy)))
        Object.assign(other, { entity: target, linkedBy: how, reason: '' })
    }
  }

  for (const record of records) {
    const key: SystemKey = { system, company: record.company ?? '', key: record.key }
    const { label } = record
    let one = sight.keys.get(nameOf(key))
    if (!one) {
      const entity = encodeId({ type, system, key: key.key })
      one = { key, entity, label, linkedBy: ALONE, reason: STANDS_ALONE, isNew: true }
      sight.keys.set(nameOf(key), one)
      made.push(one)
    } else if (one.label !== label) {
      one.label = label
      if (!one.isNew) await tx.updateTable('identity_key').set({ label }).where(isKey(type, key)).execute()
    }
    const isFresh = sight.note(key, record.match)
    if (!isFresh || one.linkedBy === APART) continue
    const isLinked = one.linkedBy !== ALONE
    for (const [field, raw] of Object.entries(record.match)) {
      const others = sight.others(field, normaliseMatch(raw ?? ''), one)
      const [first, ...more] = new Set(others.map(({ entity }) => entity))
      if (first === undefined) continue
      const twin = !record.severalPerSystem && others.some((other) => other.key.system === system)
      if (more.length > 0 || twin) {
        if (isLinked) continue
        const names = others.map((other) => `${other.key.system} ${other.key.key}`).join(', ')
        one.reason = `${field} is shared with ${names}: link it by hand`
        const { reason } = one
        if (!one.isNew) await tx.updateTable('identity_key').set({ reason }).where(isKey(type, key)).execute()
        continue
      }
      // A link is not undone by a match; but a system that it says nothing of may still join.
      if (isLinked) {
        await flush()
        if (await shareASystem(tx, type, one.entity, first)) continue
      }
      await join(one, first, `match:${field}`)
      break
    }
  }
  await flush()
  await sight.keep()
}

/** What the records' keys are, and whoever has their values. */
async function lookAround(
  tx: Database,
  type: IdentityType,
  system: string,
  records: readonly ObservedRecord[],
) {
  const keys = new Map<string, Known>()
  /** Whose value of a field it is, by field and value. */
  const having = new Map<string, Map<string, SystemKey>>()
  /** The value of a key, by key and field. */
  const values = new Map<string, string>()
  const fresh = new Map<string, IdentityMatchTable>()
  const wanted = Map.groupBy(
    records.flatMap(({ match }) => Object.entries(match)),
    ([field]) => field,
  )
  const put = ({ field, value, ...key }: Pick<IdentityMatchTable, 'field' | 'value' | keyof SystemKey>) => {
    const place = nameOf(key, field)
    const before = values.get(place)
    if (before !== undefined) having.get(`${field}\n${before}`)?.delete(nameOf(key))
    values.set(place, value)
    const all = having.get(`${field}\n${value}`) ?? new Map<string, SystemKey>()
    having.set(`${field}\n${value}`, all.set(nameOf(key), key))
  }
  const know = (row: IdentityKeyTable) => {
    const key = { system: row.system, company: row.company, key: row.key }
    const { entity, label, linked_by: linkedBy, reason } = row
    keys.set(nameOf(key), { key, entity, label, linkedBy, reason, isNew: false })
  }

  const own = [...new Set(records.map(({ key }) => key))]
  const rows = await tx
    .selectFrom('identity_key')
    .selectAll()
    .where('type', '=', type)
    .where('system', '=', system)
    .where('key', 'in', own)
    .execute()
  rows.forEach(know)
  const matches = await tx
    .selectFrom('identity_match')
    .select(['field', 'value', 'system', 'company', 'key'])
    .where('type', '=', type)
    .where('system', '=', system)
    .where('key', 'in', own)
    .execute()
  matches.forEach(put)
  for (const [field, entries] of wanted) {
    const all = new Set(entries.map(([, raw]) => normaliseMatch(raw ?? '')).filter((value) => value !== ''))
    if (all.size === 0) continue
    const found = await tx
      .selectFrom('identity_match as m')
      .innerJoin('identity_key as k', (join) =>
        join
          .onRef('k.type', '=', 'm.type')
          .onRef('k.system', '=', 'm.system')
          .onRef('k.company', '=', 'm.company')
          .onRef('k.key', '=', 'm.key'),
      )
      .where('m.type', '=', type)
      .where('m.field', '=', field)
      .where('m.value', 'in', [...all])
      .selectAll('k')
      .select('m.value')
      .execute()
    for (const { value, ...row } of found) {
      know(row)
      const { system, company, key } = row
      put({ field, value, system, company, key })
    }
  }

  return {
    keys,
    /** @returns Whether a value is new for this key. */
    note(key: SystemKey, match: ObservedRecord['match']): boolean {
      let isFresh = false
      for (const [field, raw] of Object.entries(match)) {
        const value = normaliseMatch(raw ?? '')
        if (value === '' || values.get(nameOf(key, field)) === value) continue
        isFresh = true
        put({ field, value, ...key })
        fresh.set(nameOf(key, field), { type, field, value, ...key })
      }
      return isFresh
    },
    /** Who has that value and is another, but for those who were taken apart. */
    others: (field: string, value: string, than: Known): readonly Known[] =>
      [...(having.get(`${field}\n${value}`)?.keys() ?? [])].flatMap((name) => {
        const other = keys.get(name)
        return other && other.entity !== than.entity && other.linkedBy !== APART ? other : []
      }),
    async keep(): Promise<void> {
      for (const some of chunks([...fresh.values()]))
        await tx
          .insertInto('identity_match')
          .values(some)
          .onConflict((conflict) =>
            conflict
              .columns(['type', 'field', 'system', 'company', 'key'])
              .doUpdateSet((row) => ({ value: row.ref('excluded.value') })),
          )
          .execute()
    },
  }
}

const nameOf = ({ system, company, key }: SystemKey, field = ''): string =>
  JSON.stringify([system, company, key, field])

/** Then the two were told apart by somebody, or by another value. */
async function shareASystem(tx: Database, type: IdentityType, one: string, other: string): Promise<boolean> {
  const systemsOf = (entity: string) =>
    tx.selectFrom('identity_key').select('system').where('type', '=', type).where('entity', '=', entity)
  const shared = await systemsOf(one).where('system', 'in', systemsOf(other)).limit(1).executeTakeFirst()
  return shared !== undefined
}
