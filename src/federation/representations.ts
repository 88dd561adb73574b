/**
 * Which objects of the answer so far a fetch is about, and how it names them to the subgraph: `_entities` takes
 * representations, `{ __typename, key fields, required fields }`.
 */
import type { FetchDataRewrite, QueryPlanSelectionNode } from '@apollo/query-planner'
import type { Path } from './complete.ts'
import { anyItem } from './errors.ts'
import { get, isObject, type Json, set } from './property.ts'
import { applyRewrites, type TypeMatch } from './rewrites.ts'

/** The objects at a plan's path, in the order of the answer. The same object can stand in several places. */
export function objectsAt(root: Json, path: readonly (string | number)[]): Json[] {
  const found: Json[] = []
  walk(root, path, 0, (object) => found.push(object))
  return found
}

/** Where in the answer the wanted objects stand: every place, for each of them. */
export function placesOf(root: Json, path: readonly (string | number)[], wanted: ReadonlySet<Json>): Path[] {
  const places: Path[] = []
  walk(root, path, 0, (object, place) => {
    if (wanted.has(object)) places.push(place())
  })
  return places
}

function walk(
  value: unknown,
  path: readonly (string | number)[],
  index: number,
  visit: (object: Json, place: () => Path) => void,
  place: Path = [],
): void {
  if (value === null || value === undefined) return
  const element = path[index]
  if (element === anyItem) {
    if (!Array.isArray(value)) return
    for (let i = 0; i < value.length; i++) {
      place.push(i)
      walk(value[i], path, index + 1, visit, place)
      place.pop()
    }
  } else if (element === undefined) {
    if (isObject(value)) visit(value, () => [...place])
  } else if (isObject(value)) {
    place.push(element)
    walk(get(value, String(element)), path, index + 1, visit, place)
    place.pop()
  }
}

/** What a representation is made of. */
export type Required =
  | {
      readonly kind: 'field'
      readonly source: string
      readonly key: string
      readonly nested: readonly Required[] | undefined
    }
  | {
      readonly kind: 'fragment'
      readonly typeCondition: string | undefined
      readonly nested: readonly Required[]
    }

/** @param realName The field a stand-in stands for: the subgraph knows it by this name. */
export function requirements(
  selections: readonly QueryPlanSelectionNode[],
  realName: (standIn: string) => string,
): Required[] {
  return selections.map((selection): Required => {
    if (selection.kind === 'InlineFragment') {
      const { typeCondition } = selection
      return { kind: 'fragment', typeCondition, nested: requirements(selection.selections, realName) }
    }
    return {
      kind: 'field',
      source: selection.alias ?? selection.name,
      key: realName(selection.name),
      nested: selection.selections && requirements(selection.selections, realName),
    }
  })
}

/** @returns null when a required field is missing: the subgraph could not resolve such a representation. */
export function represent(
  entity: Json,
  requires: readonly Required[],
  inputRewrites: readonly FetchDataRewrite[] | undefined,
  matches: TypeMatch,
): Json | null {
  const representation = pick(entity, requires, matches)
  if (!representation || typeof get(representation, '__typename') !== 'string') return null
  applyRewrites(inputRewrites, representation, matches)
  return representation
}

function pick(source: Json, required: readonly Required[], matches: TypeMatch): Json | null {
  const result: Json = {}
  for (const part of required) {
    if (part.kind === 'field') {
      const value = get(source, part.source)
      const picked = value !== undefined && part.nested ? pickValue(value, part.nested, matches) : value
      if (picked === undefined) return null
      assign(result, part.key, picked)
    } else if (part.typeCondition === undefined || matches(part.typeCondition, get(source, '__typename'))) {
      const picked = pick(source, part.nested, matches)
      if (!picked) continue
      for (const key of Object.keys(picked)) assign(result, key, picked[key])
    }
  }
  return result
}

/** @returns undefined when something beneath is missing. */
function pickValue(value: unknown, required: readonly Required[], matches: TypeMatch): unknown {
  if (value === null) return null
  if (Array.isArray(value)) {
    const items: unknown[] = []
    for (const item of value) {
      const picked = pickValue(item, required, matches)
      if (picked === undefined) return undefined
      items.push(picked)
    }
    return items
  }
  return isObject(value) ? (pick(value, required, matches) ?? undefined) : undefined
}

/** Two fragments may select different parts of one nested object. */
function assign(target: Json, key: string, value: unknown): void {
  const present = get(target, key)
  if (Array.isArray(present) && Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const [a, b] = [present[i], value[i]]
      if (isObject(a) && isObject(b)) for (const k of Object.keys(b)) assign(a, k, b[k])
    }
  } else if (isObject(present) && isObject(value)) {
    for (const k of Object.keys(value)) assign(present, k, value[k])
  } else set(target, key, value)
}
