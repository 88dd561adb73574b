/**
 * Which objects of the answer so far a fetch is about, and how it names them to the subgraph: `_entities` takes
 * representations, `{ __typename, key fields, required fields }`.
 */
import type { FetchDataRewrite, QueryPlanSelectionNode } from '@apollo/query-planner'
import type { Path } from './complete.ts'
import { anyItem } from './errors.ts'
import { get, isObject, type Json, set } from './property.ts'
import { applyRewrites, type TypeMatch } from './rewrites.ts'

export type PlanPath = readonly (string | number)[]

/** The objects at a plan's path, in the order of the answer. */
export function objectsAt(root: Json, path: PlanPath): Json[] {
  const found: Json[] = []
  walk(root, path, 0, (object) => found.push(object))
  return found
}

/** Where in the answer the wanted objects stand: every place, for each of them. */
export function placesOf(root: Json, path: PlanPath, wanted: ReadonlySet<Json>): Path[] {
  const places: Path[] = []
  walk(root, path, 0, (object, place) => {
    if (wanted.has(object)) places.push(place())
  })
  return places
}

function walk(
  value: unknown,
  path: PlanPath,
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

/** How one fetch names entities of one type. */
export interface Naming {
  /** Where a representation is but a type and one plain field: the field's value, which tells entities apart. */
  readonly key: ((entity: Json) => unknown) | undefined
  /** JSON, equal for equal representations; null when a required field is missing. */
  text(entity: Json): string | null
}

/** How one fetch names entities. */
export interface Representer {
  naming(typename: unknown): Naming
  /** What a naming's text says, as an object. */
  object(entity: Json): Json | null
}

export function compileRepresenter(
  required: readonly Required[],
  inputRewrites: readonly FetchDataRewrite[] | undefined,
  matches: TypeMatch,
): Representer {
  const object = (entity: Json): Json | null => {
    const representation = pick(entity, required, matches)
    if (!representation || typeof get(representation, '__typename') !== 'string') return null
    applyRewrites(inputRewrites, representation, matches)
    return representation
  }
  const long: Naming = {
    key: undefined,
    text(entity) {
      const representation = object(entity)
      return representation && JSON.stringify(representation)
    },
  }
  // Nearly all representations are a type and some plain fields.
  const codes = new Map<string, NamingCode>()
  const plainNaming = (typename: string): Naming | undefined => {
    const sources = inputRewrites?.length ? undefined : plainFields(required, typename, matches)
    if (!sources) return undefined
    const signature = [...sources].join()
    const code = codes.get(signature) ?? compileNaming(sources)
    codes.set(signature, code)
    return code(typename)
  }
  const byType = new Map<unknown, Naming>()
  return {
    object,
    naming(typename) {
      let naming = byType.get(typename)
      if (!naming) {
        naming = (typeof typename === 'string' ? plainNaming(typename) : undefined) ?? long
        // The names of types come from subgraphs.
        if (byType.size < 1000) byType.set(typename, naming)
      }
      return naming
    },
  }
}

/** One for all types of which the same fields are read: what comes from subgraphs is no part of the code. */
type NamingCode = (typename: string) => Naming

/** @param sources By key in the representation, where the value is found: GraphQL names, as in the generated code. */
function compileNaming(sources: ReadonlyMap<string, string>): NamingCode {
  const read = [...sources.values()].filter((source) => source !== '__typename')
  const values = read.map(
    (source, i) => `const v${i} = entity.${source}; if (v${i} === undefined) return null;`,
  )
  const parts = read.map((_, i) => `around[${i}] + scalarText(v${i}) + `)
  const key = read.length === 1 ? `(entity) => entity.${read[0]}` : 'undefined'
  const make = new Function(
    'scalarText',
    `"use strict"; return (around) => ({ key: ${key},
      text(entity) { ${values.join(' ')} return ${parts.join('')}around[${read.length}]; } })`,
  )(scalarText) as (around: readonly string[]) => Naming
  return (typename) => {
    const around: string[] = []
    let text = ''
    for (const [key, source] of sources) {
      text += `${text === '' && around.length === 0 ? '{' : ','}"${key}":`
      if (source === '__typename') text += JSON.stringify(typename)
      else {
        around.push(text)
        text = ''
      }
    }
    return make([...around, `${text}}`])
  }
}

function scalarText(value: unknown): string {
  if (typeof value === 'string') {
    // Keys are short, and the way into JSON.stringify is longer than they are.
    const { length } = value
    if (length > 64) return JSON.stringify(value)
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code < 32 || code === 34 || code === 92 || code > 126) return JSON.stringify(value)
    }
    return `"${value}"`
  }
  return typeof value === 'number' && Number.isFinite(value) ? String(value) : JSON.stringify(value)
}

/** @returns By key in the representation, where its value is found; undefined where more than plain fields is required. */
function plainFields(
  required: readonly Required[],
  typename: string,
  matches: TypeMatch,
): ReadonlyMap<string, string> | undefined {
  const sources = new Map<string, string>()
  const add = (parts: readonly Required[], optional: boolean): boolean =>
    parts.every((part) => {
      if (part.kind === 'fragment') {
        return part.typeCondition !== undefined && !matches(part.typeCondition, typename)
          ? true
          : add(part.nested, sources.size > 0)
      }
      // A second fragment with missing fields is left out as a whole; that needs the long way.
      if (optional || part.nested || part.source in Object.prototype || part.key in Object.prototype)
        return false
      sources.set(part.key, part.source)
      return true
    })
  return add(required, false) && sources.has('__typename') ? sources : undefined
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
