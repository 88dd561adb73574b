/**
 * Fields of a configured schema: records of the system's own types by key, by another key, page by page; and
 * references to what other subgraphs own. Nothing here knows what the types mean.
 */
import {
  type DocumentNode,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  getNullableType,
  isListType,
  isObjectType,
} from 'graphql'
import type { Identity, IdentityType } from '../../src/identity/registry.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import type { OwnField, OwnGraph, OwnRecord } from '../../src/systems/port.ts'
import { joinKey, type Key, type RecordType } from '../../src/systems/records.ts'
import type { System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { failureError } from '../kit/errors.ts'
import {
  connectionOf,
  decodeCursor,
  encodeCursor,
  identityOf,
  idOf,
  located,
  pageSize,
  unwrap,
} from '../kit/records.ts'
import { keysOf, objectTypes } from './check.ts'

type Resolver = (
  parent: Readonly<Record<string, unknown>>,
  args: Readonly<Record<string, unknown>>,
  context: SubgraphContext,
  info: GraphQLResolveInfo,
) => unknown

/** What the other subgraphs own, by the name of its type. */
const ENTITIES: Readonly<Record<string, RecordType>> = {
  Customer: 'customer',
  Product: 'product',
  Order: 'order',
  Invoice: 'invoice',
  Delivery: 'delivery',
  Opportunity: 'opportunity',
  Payment: 'payment',
  Shipment: 'shipment',
}
const isIdentity = (type: RecordType): type is IdentityType => type === 'customer' || type === 'product'

const NOTHING_MORE = 20

export function ownResolvers(
  rooms: Pick<Rooms, 'systems'>,
  system: System,
  graph: OwnGraph,
  typeDefs: DocumentNode,
): object {
  const { systems } = rooms
  const own = asSystem(system, graph)
  const types = objectTypes(typeDefs)

  const read = async (context: SubgraphContext, type: string, key: Key) =>
    (await context.reader.load(own, type as RecordType, key)) as Outcome<OwnRecord | null>

  const find = async (context: SubgraphContext, type: string, by: string, key: Key) =>
    (await context.reader.lookup(own, type as RecordType, by as never, key)) as Outcome<readonly OwnRecord[]>

  /** The keys that an entity of another subgraph has in one system. */
  const keysIn = async (
    context: SubgraphContext,
    entity: string,
    id: unknown,
    of: string,
  ): Promise<readonly Key[]> => {
    const type = ENTITIES[entity]
    if (type === undefined || typeof id !== 'string') return []
    if (isIdentity(type)) {
      const identity: Identity = await identityOf(systems, context, type, id)
      return identity.keys.filter((key) => key.system === of).map(({ key }) => key)
    }
    const place = located(systems, type, id)
    return place.system.id === of ? [place.key] : []
  }

  const reference = async (context: SubgraphContext, entity: string, of: System, key: Key) => {
    const type = ENTITIES[entity] as RecordType
    const id = isIdentity(type) ? (await context.identities.byKey(type, of.id, key)).id : idOf(type, of, key)
    return { __typename: entity, id }
  }

  /** A field that holds one gets the first; one that holds many gets all, those that failed as errors in their place. */
  const held = (info: GraphQLResolveInfo, values: readonly unknown[]): unknown =>
    isListType(getNullableType(info.returnType)) ? values : (values[0] ?? null)

  const shown = (outcome: Outcome<OwnRecord | null>): OwnRecord | Error | null =>
    outcome.ok ? outcome.value : failureError(system.id, outcome.failure)

  const resolverOf = (typeName: string, field: OwnField): Resolver => {
    switch (field.get) {
      case 'record':
        return async (parent, args, context, info) => {
          const keys = unwrap(system, await field.keys(typeName === 'Query' ? args : parent))
          const found = await Promise.all(
            keys.map(async (key) => shown(await read(context, field.type, key))),
          )
          return held(
            info,
            found.filter((one) => one !== null),
          )
        }
      case 'lookup':
        return async (parent, args, context, info) => {
          const { keys: keysOf, system: of } = field
          const keys = keysOf
            ? unwrap(system, await keysOf(typeName === 'Query' ? args : parent))
            : await keysIn(context, typeName, parent.id, of ?? system.id)
          const found = await Promise.all(keys.map((key) => find(context, field.type, field.by, key)))
          const records = new Map<Key, OwnRecord>()
          const failures: Error[] = []
          for (const outcome of found) {
            if (outcome.ok) for (const record of outcome.value) records.set(record.key, record)
            else failures.push(failureError(system.id, outcome.failure))
          }
          // What could not be asked is told, also where something was found under another key.
          const [failure] = failures
          if (failure && records.size === 0) throw failure
          return held(info, [...records.values(), ...failures])
        }
      case 'list':
        return async (_parent, args, context, info) => {
          const { first, after, ...filter } = args
          const size = pageSize(first as number | null | undefined, NOTHING_MORE)
          const list = `${system.id}/${field.type}/${JSON.stringify(filter)}`
          const [position] = typeof after === 'string' ? decodeCursor(list, after) : []
          const page = unwrap(
            system,
            await context.reader.list(own, field.type as RecordType, {
              first: size,
              after: position,
              filter,
            }),
          )
          const items = page.items.map(({ record, position }) => ({
            cursor: encodeCursor(list, [position]),
            node: record,
          }))
          if (isListType(getNullableType(info.returnType))) return items.map(({ node }) => node)
          return connectionOf(items, page.hasMore, typeof after === 'string')
        }
      case 'entity':
        return async (parent, args, context, info) => {
          const keys = unwrap(system, await field.keys(typeName === 'Query' ? args : parent))
          const of = (field.system === undefined ? undefined : systems.get(field.system)) ?? system
          const found = await Promise.all(
            [...new Set(keys)].map((key) => reference(context, field.entity, of, key)),
          )
          return held(info, found)
        }
    }
  }

  const resolvers: Record<string, Record<string, unknown>> = {}
  for (const [name, nodes] of types) {
    const [key] = keysOf(nodes)
    if (!key) continue
    resolvers[name] = {
      __resolveReference:
        name in graph.types
          ? async (ref: Readonly<Record<string, unknown>>, context: SubgraphContext) =>
              unwrap(system, await read(context, name, keyFrom(key, ref)))
          : (ref: unknown) => ref,
    }
  }
  for (const [path, field] of Object.entries(graph.fields)) {
    const [type = '', name = ''] = path.split('.')
    resolvers[type] = { ...resolvers[type], [name]: resolverOf(type, field) }
  }
  return resolvers
}

const keyFrom = (fields: readonly string[], ref: Readonly<Record<string, unknown>>): Key => {
  const parts = fields.map((field) => String(ref[field] ?? ''))
  return parts.length === 1 ? (parts[0] as Key) : joinKey(parts)
}

/**
 * The system with its own types for ports, so that batching, cache, limits and last known values serve them as they
 * serve all others. Names of types and record types differ: the former begin with a capital letter.
 */
function asSystem(system: System, graph: OwnGraph): System {
  return { ...system, adapter: { ...system.adapter, ports: graph.types as never } }
}

/** Expressions make no difference between one value and a list of one; fields that are lists do. */
export function finishLists(schema: GraphQLSchema): void {
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('_')) continue
    for (const field of Object.values(type.getFields())) {
      if (field.resolve || !isListType(getNullableType(field.type))) continue
      field.resolve = (parent) => {
        const value: unknown = parent[field.name]
        return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]
      }
    }
  }
}
