/** From ids to records and back: what the resolvers of all subgraphs do alike. */
import { decodeId, encodeId } from '../../src/identity/ids.ts'
import type { Identity, IdentityType } from '../../src/identity/registry.ts'
import type { Provenance } from '../../src/reading/reading.ts'
import { type Outcome, ok } from '../../src/systems/failure.ts'
import type { LookupName } from '../../src/systems/port.ts'
import type { CustomFields, RecordType, RecordTypes, UnifiedType } from '../../src/systems/records.ts'
import type { System, Systems } from '../../src/systems/registry.ts'
import type { SubgraphContext } from './context.ts'
import { badInput, failureError, graphError } from './errors.ts'

/** A record of one system, read already. */
export interface Located<T extends RecordType> {
  readonly system: System
  readonly record: RecordTypes[T]
  readonly from: Provenance
}

export function systemOf(systems: Systems, id: string): System {
  const system = systems.get(id)
  if (system) return system
  throw unknownSystem(systems, id)
}

export function unknownSystem(systems: Systems, id: string): Error {
  const known = systems
    .all()
    .map((one) => one.id)
    .join(', ')
  return graphError('UNKNOWN_SYSTEM', `There is no system "${id}". Systems: ${known}.`, { system: id })
}

export function unwrap<T>(system: System, outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value
  throw failureError(system.id, outcome.failure)
}

/** Takes an id of a record apart. @throws BAD_USER_INPUT, UNKNOWN_SYSTEM */
export function located(systems: Systems, type: UnifiedType, id: string): { system: System; key: string } {
  const ref = decodeId(id)
  if (ref?.type !== type) throw badInput(`"${id.slice(0, 80)}" is not the id of ${article(type)}.`, 'id')
  return { system: systemOf(systems, ref.system), key: ref.key }
}

export async function loadById<T extends UnifiedType>(
  systems: Systems,
  context: SubgraphContext,
  type: T,
  id: string,
): Promise<Located<T> | null> {
  const { system, key } = located(systems, type, id)
  return loadByKey(context, system, type, key)
}

export async function loadByKey<T extends RecordType>(
  context: SubgraphContext,
  system: System,
  type: T,
  key: string,
): Promise<Located<T> | null> {
  const read = await context.reader.load(system, type, key)
  const record = unwrap(system, read)
  return record && read.ok ? { system, record, from: read.from } : null
}

export const idOf = (type: UnifiedType, system: System, key: string): string =>
  encodeId({ type, system: system.id, key })

/** @throws BAD_USER_INPUT where the text is no id of that type, UNKNOWN_SYSTEM where its system is gone. */
export async function identityOf(
  systems: Systems,
  context: SubgraphContext,
  type: IdentityType,
  id: string,
): Promise<Identity> {
  located(systems, type, id)
  const identity = await context.identities.byId(type, id)
  if (!identity) throw badInput(`"${id.slice(0, 80)}" is not the id of ${article(type)}.`, 'id')
  return identity
}

/** The keys of an identity in the systems that hold such records, in the order of the configuration. */
export function keysIn(
  systems: Systems,
  identity: Identity,
  type: RecordType,
): { system: System; key: string; company: string | undefined }[] {
  return systems
    .holding(type)
    .flatMap((system) =>
      identity.keys
        .filter((key) => key.system === system.id)
        .map(({ key, company }) => ({ system, key, company: company || undefined })),
    )
}

/**
 * Answers of several systems as one list. One that failed leaves an error in its place, so that the others are
 * still seen; where none answered the whole list is the error.
 */
export function gathered<T>(
  answers: readonly { system: System; outcome: Outcome<readonly T[]> }[],
): (T | Error)[] {
  const failed = answers.flatMap(({ system, outcome }) =>
    outcome.ok ? [] : [failureError(system.id, outcome.failure)],
  )
  const [first] = failed
  if (first && failed.length === answers.length) throw first
  return [...answers.flatMap(({ outcome }) => (outcome.ok ? outcome.value : [])), ...failed]
}

/** Records that belong to something, in every place where it has a key. */
export async function lookupAll<T extends RecordType>(
  context: SubgraphContext,
  type: T,
  by: LookupName,
  places: readonly { readonly system: System; readonly key: string }[],
): Promise<(Located<T> | Error)[]> {
  const answers = await Promise.all(
    places.map(async ({ system, key }) => {
      const outcome = await context.reader.lookup(system, type, by, key)
      return outcome.ok
        ? { system, outcome: ok(locatedFrom(system, outcome.from, outcome.value)) }
        : { system, outcome }
    }),
  )
  return gathered(answers)
}

export const locatedFrom = <T extends RecordType>(
  system: System,
  from: Provenance,
  records: readonly RecordTypes[T][],
): Located<T>[] => records.map((record) => ({ system, record, from }))

export const provenanceOf = ({ from }: { readonly from: Provenance }) => ({
  system: from.system,
  fetchedAt: new Date(from.fetchedAt).toISOString(),
  stale: from.stale,
})

/** What a company has added to its system, by name; null where the system tells no such fields. */
export const customFieldsOf = (record: { readonly customFields?: CustomFields } | null | undefined) =>
  record?.customFields ? Object.entries(record.customFields).map(([name, value]) => ({ name, value })) : null

/** Resolvers for `id`, `provenance`, `customFields` and for fields that stand in the record under the same name. */
export function recordFields<T extends UnifiedType>(type: T, fields: readonly (keyof RecordTypes[T])[]) {
  return {
    id: (node: Located<T>) => idOf(type, node.system, node.record.key),
    provenance: (node: Located<T>) => provenanceOf(node),
    customFields: (node: Located<T>) => customFieldsOf(node.record),
    ...Object.fromEntries(fields.map((field) => [field, (node: Located<T>) => node.record[field] ?? null])),
  }
}

export const MAX_PAGE = 100

/** @throws BAD_USER_INPUT */
export function pageSize(first: number | null | undefined, standard: number): number {
  const size = first ?? standard
  if (size < 1 || size > MAX_PAGE)
    throw badInput(`"first" must be between 1 and ${MAX_PAGE}; got ${size}.`, 'first')
  return size
}

export interface Connection<N> {
  readonly edges: readonly { readonly cursor: string; readonly node: N }[]
  readonly nodes: readonly N[]
  readonly pageInfo: {
    readonly hasNextPage: boolean
    readonly hasPreviousPage: boolean
    readonly startCursor: string | null
    readonly endCursor: string | null
    readonly missing: readonly MissingSystem[]
  }
}

/** A system that did not answer, in the words of this graph. */
export interface MissingSystem {
  readonly system: string
  readonly code: unknown
  readonly message: string
  readonly retryable: boolean
  readonly retryAfterMs: unknown
}

export function connectionOf<N>(
  items: readonly { readonly cursor: string; readonly node: N }[],
  hasNextPage: boolean,
  hasPreviousPage: boolean,
): Connection<N> {
  return {
    edges: items,
    nodes: items.map((item) => item.node),
    pageInfo: {
      hasNextPage,
      hasPreviousPage,
      startCursor: items[0]?.cursor ?? null,
      endCursor: items.at(-1)?.cursor ?? null,
      missing: [],
    },
  }
}

/** A cursor names the list it belongs to: one of another list is refused instead of giving a wrong page. */
export const encodeCursor = (list: string, place: readonly string[]): string =>
  Buffer.from(JSON.stringify([list, ...place])).toString('base64url')

export function decodeCursor(list: string, cursor: string): string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    if (Array.isArray(parts) && parts[0] === list && parts.every((part) => typeof part === 'string'))
      return parts.slice(1)
  } catch {
    // told below
  }
  throw graphError(
    'CURSOR_INVALID',
    'This cursor belongs to another list. Pass the "endCursor" of the page before.',
  )
}

const NAMES: Readonly<Record<UnifiedType, string>> = {
  customer: 'a customer',
  product: 'a product',
  warehouse: 'a warehouse',
  inventoryLevel: 'an inventory level',
  order: 'an order',
  delivery: 'a delivery',
  reservation: 'a reservation',
  shipment: 'a shipment',
  invoice: 'an invoice',
  payment: 'a payment',
  receivable: 'a receivable',
  opportunity: 'an opportunity',
}
const article = (type: UnifiedType): string => NAMES[type]
