/**
 * Fields of a configured schema: records of the system's own types by key, by another key, page by page; references to
 * what other subgraphs own; what writes such records, and what tells of their changes. Nothing here knows what the
 * types mean.
 */
import {
  type DocumentNode,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  getNullableType,
  isListType,
  isObjectType,
} from 'graphql'
import type { Outcome } from '../../src/systems/failure.ts'
import type { LookupName, OwnField, OwnGraph } from '../../src/systems/port.ts'
import type { Key, OwnRecord, OwnType } from '../../src/systems/records.ts'
import type { System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { failureError } from '../kit/errors.ts'
import { connectionOf, decodeCursor, encodeCursor, pageSize, unwrap } from '../kit/records.ts'
import { keysIn, referenceTo } from './entities.ts'
import { mutationOf } from './mutations.ts'
import { fieldOf, keyFrom, keysOf, nameOf, objectTypes, recordsIn } from './schema.ts'
import { subscriptionOf } from './subscriptions.ts'

type Resolver = (
  parent: Readonly<Record<string, unknown>>,
  args: Readonly<Record<string, unknown>>,
  context: SubgraphContext,
  info: GraphQLResolveInfo,
) => unknown

const NOTHING_MORE = 20

export function ownResolvers(rooms: Rooms, system: System, graph: OwnGraph, typeDefs: DocumentNode): object {
  const { systems } = rooms
  const types = objectTypes(typeDefs)

  const read = (context: SubgraphContext, type: OwnType, key: Key): Promise<Outcome<OwnRecord | null>> =>
    context.reader.load(system, type, key)

  /** Lookups of own types have names of their own; the reader takes them as they are. */
  const find = (
    context: SubgraphContext,
    type: OwnType,
    by: string,
    key: Key,
  ): Promise<Outcome<readonly OwnRecord[]>> => context.reader.lookup(system, type, by as LookupName, key)

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
            : await keysIn(systems, context, typeName, parent.id, of ?? system.id)
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
            await context.reader.list(system, field.type, {
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
            [...new Set(keys)].map((key) => referenceTo(context, field.entity, of, key)),
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
              unwrap(system, await read(context, name as OwnType, keyFrom(key, ref)))
          : (ref: unknown) => ref,
    }
  }
  for (const [path, field] of Object.entries(graph.fields)) {
    const [type = '', name = ''] = path.split('.')
    resolvers[type] = { ...resolvers[type], [name]: resolverOf(type, field) }
  }
  /** What a mutation or subscription answers with shows the record in each field of its type. */
  const answerWith = (root: 'Mutation' | 'Subscription', field: string, type: OwnType, resolver: unknown) => {
    resolvers[root] = { ...resolvers[root], [field]: resolver }
    const node = fieldOf(types, root, field)
    const answer = node && nameOf(node.type)
    if (answer === undefined) return
    const shown = recordsIn(types, answer, type).map((name) => [
      name,
      ({ record }: { readonly record?: unknown }) => record ?? null,
    ])
    resolvers[answer] = { ...resolvers[answer], ...Object.fromEntries(shown) }
  }
  for (const [field, mutation] of Object.entries(graph.mutations)) {
    const [key] = keysOf(types.get(mutation.type) ?? [])
    answerWith('Mutation', field, mutation.type, mutationOf(rooms, system, field, mutation, key ?? []))
  }
  for (const [field, subscription] of Object.entries(graph.subscriptions)) {
    const subscribe = subscriptionOf(rooms, system, field, subscription)
    answerWith('Subscription', field, subscription.type, { subscribe })
  }
  return resolvers
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
