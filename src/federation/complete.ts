/**
 * From what the subgraphs gave to what the client asked for: only the requested keys, in the requested order,
 * checked against the API schema, nulls propagated (GraphQL October 2021, 6.4.3 and 6.4.4).
 *
 * Subgraphs have completed their values against their own schemas already; what can still be wrong is what only
 * the gateway can see: a field no subgraph gave, a value or type that the public schema does not have, a null
 * where another subgraph's schema allows it.
 *
 * An `@inaccessible` type or enum value is none of these: for this client it is not there, which is null, and an
 * error at its place would tell that it is.
 */
import {
  type GraphQLEnumType,
  GraphQLError,
  type GraphQLInterfaceType,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  isEnumType,
  isInterfaceType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql'
import { get, isObject, type Json, set } from './property.ts'
import type { FieldPlan, Selection } from './selection.ts'
import type { LoadedSupergraph } from './supergraph.ts'
import { type Places, unansweredError } from './unanswered.ts'

export type Path = (string | number)[]

/** Null, and the client has been told why. */
const failed = Symbol('failed')

export interface Completed {
  readonly data: Json | null
  readonly errors: readonly GraphQLError[]
}

/**
 * @param raw The merged answers; null when nothing could be had.
 * @param isExplained Whether a null at this path has its error already, so that one cause makes one error.
 * @param left Fields that were not asked for, by their places.
 * @returns Errors with paths of travelling keys.
 */
export function complete(
  { schema, isHidden }: Pick<LoadedSupergraph, 'schema' | 'isHidden'>,
  root: GraphQLObjectType,
  selection: Selection,
  raw: Json,
  isExplained: (path: Readonly<Path>) => boolean,
  left: Places,
): Completed {
  const errors: GraphQLError[] = []
  const path: Path = []
  const fail = (why: string | GraphQLError): typeof failed => {
    if (!isExplained(path)) {
      const { message, extensions } =
        typeof why === 'string' ? { message: why, extensions: { code: 'INVALID_SUBGRAPH_RESULT' } } : why
      errors.push(new GraphQLError(message, { path: [...path], extensions }))
    }
    return failed
  }

  const completeFields = (
    type: GraphQLObjectType | GraphQLInterfaceType,
    chosen: Selection,
    object: Json,
  ): Json | typeof failed => {
    const result: Json = {}
    for (const field of chosen.fields(type)) {
      if (field.name === '__typename') {
        set(result, field.clientKey, type.name)
        continue
      }
      const value = get(object, field.key)
      if (field.name === '__schema' || field.name === '__type') {
        set(result, field.clientKey, value ?? null)
        continue
      }
      path.push(field.key)
      const completed =
        value === undefined && left.size > 0 && left.has(placeOf(path))
          ? fail(unansweredError(`${field.parent}.${field.name}`))
          : completeValue(field.type, field, value ?? null)
      path.pop()
      if (completed === failed && isNonNullType(field.type)) return failed
      set(result, field.clientKey, completed === failed ? null : completed)
    }
    return result
  }

  const completeValue = (type: GraphQLOutputType, field: FieldPlan, value: unknown): unknown => {
    if (isNonNullType(type)) {
      const completed = completeValue(type.ofType, field, value)
      return completed === null
        ? fail(`Cannot return null for non-nullable field ${field.parent}.${field.name}.`)
        : completed
    }
    if (value === null || value === undefined) return null
    if (isListType(type)) {
      if (!Array.isArray(value)) return fail(`Expected a list for field ${field.parent}.${field.name}.`)
      const items: unknown[] = new Array(value.length)
      let broken = false
      for (let i = 0; i < value.length; i++) {
        path.push(i)
        const item = completeValue(type.ofType, field, value[i])
        path.pop()
        if (item === failed && isNonNullType(type.ofType)) broken = true
        items[i] = item === failed ? null : item
      }
      return broken ? failed : items
    }
    if (isLeafType(type)) {
      if (typeof value === 'string' && isEnumType(type) && isHidden(type.name, value)) return null
      const leaf = completeLeaf(type, value)
      return leaf === undefined ? fail(`Invalid value for field ${field.parent}.${field.name}.`) : leaf
    }
    if (!isObject(value) || !field.selection) {
      return fail(`Expected an object for field ${field.parent}.${field.name}.`)
    }
    if (isObjectType(type)) return completeFields(type, field.selection, value)
    const typename = get(value, '__typename')
    const actual = typeof typename === 'string' ? schema.getType(typename) : undefined
    if (typeof typename === 'string' && isHidden(typename)) return null
    if (isObjectType(actual) && schema.isSubType(type, actual)) {
      return completeFields(actual, field.selection, value)
    }
    // A subgraph that knows the interface only as an object (@interfaceObject) cannot name the type. That is no
    // loss until the answer depends on it.
    if (
      isInterfaceType(type) &&
      !field.selection.dependsOnType &&
      (actual === undefined ? typename === undefined : isInterfaceType(actual))
    ) {
      return completeFields(type, field.selection, value)
    }
    return fail(`Cannot tell the type of field ${field.parent}.${field.name}.`)
  }

  const data = completeFields(root, selection, raw)
  return { data: data === failed ? null : data, errors }
}

const placeOf = (path: Readonly<Path>): string =>
  path.filter((element) => typeof element === 'string').join('\n')

/** @returns undefined for a value that the type does not have. */
export function completeLeaf(type: GraphQLLeafType, value: unknown): unknown {
  if (isEnumType(type)) return typeof value === 'string' && hasValue(type, value) ? value : undefined
  switch (type.name) {
    case 'String':
      return typeof value === 'string' ? value : undefined
    case 'Boolean':
      return typeof value === 'boolean' ? value : undefined
    case 'Int':
      return typeof value === 'number' && (value | 0) === value ? value : undefined
    case 'Float':
      return typeof value === 'number' && Number.isFinite(value) ? value : undefined
    case 'ID':
      if (typeof value === 'string') return value
      return typeof value === 'number' && Number.isInteger(value) ? String(value) : undefined
    default:
      return value
  }
}

function hasValue(type: GraphQLEnumType, value: string): boolean {
  return type.getValue(value) !== undefined
}
