/**
 * Which objects of the answer so far a fetch is about, and how it names them to the subgraph: `_entities` takes
 * representations, `{ __typename, key fields, required fields }`.
 */
import type { FetchDataRewrite, QueryPlanSelectionNode } from '@apollo/query-planner'
import type { Path } from './complete.ts'
import { anyItem } from './errors.ts'
import { get, isObject, type Json, set } from './property.ts'
import { applyRewrites, type TypeMatch } from './rewrites.ts'

type PlanPath = readonly (string | number)[]

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

/** How one fetch names entities. */
export interface Representer {
  /** Where a representation is but a type and one plain field: the field, whose value tells entities apart. */
  onlyKey(typename: string): string | undefined
  /** JSON, equal for equal representations; null when a required field is missing. */
  text(entity: Json): string | null
  /** The same as an object. */
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
  // Nearly all representations are a type and some plain fields: per type, a list of keys with the text before each.
  const plainByType = new Map<string, readonly PlainField[] | null>()
  const plainFor = (typename: string): readonly PlainField[] | null => {
    let plain = plainByType.get(typename)
    if (plain === undefined) {
      plain = inputRewrites?.length ? null : plainFields(required, typename, matches)
      // The names of types come from subgraphs.
      if (plainByType.size < 1000) plainByType.set(typename, plain)
    }
    return plain
  }
  return {
    object,
    onlyKey(typename) {
      const plain = plainFor(typename)
      return plain?.length === 2 ? plain.find(({ source }) => source !== '__typename')?.source : undefined
    },
    text(entity) {
      const typename = entity.__typename
      const plain = typeof typename === 'string' ? plainFor(typename) : null
      if (!plain) {
        const representation = object(entity)
        return representation && JSON.stringify(representation)
      }
      let text = ''
      for (const { source, before } of plain) {
        const value = entity[source]
        if (value === undefined) return null
        text += before
        text += typeof value === 'number' && Number.isFinite(value) ? value : JSON.stringify(value)
      }
      return `${text}}`
    },
  }
}

interface PlainField {
  readonly source: string
  /** `{"key":` or `,"key":` */
  readonly before: string
}

/** @returns null where more than plain fields is required. */
function plainFields(
  required: readonly Required[],
  typename: string,
  matches: TypeMatch,
): PlainField[] | null {
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
  if (!add(required, false) || !sources.has('__typename')) return null
  return [...sources].map(([key, source], i) => ({ source, before: `${i === 0 ? '{' : ','}"${key}":` }))
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

/** Entities that one representation stands for. */
export interface Group {
  readonly text: string
  /** The first is as good as any to make the representation of. */
  readonly targets: [Json, ...Json[]]
}

/**
 * Finds the entities of one fetch, grouped by representation.
 *
 * The same entity often stands in many places: forty orders of nine products. Where two objects at the path have
 * the same content they become one object, here, in the tree: what is fetched for it is merged once, the walks of
 * later fetches pass through it once, and its part of the answer is written once.
 */
export type Collect = (root: Json) => Group[]

/** @param shared Positions (`positionOf`) where earlier fetches of the plan may have made objects one. */
export function compileCollect(
  path: PlanPath,
  representer: Representer,
  shared: ReadonlySet<string>,
): Collect {
  const visit = compileVisit(path, shared)
  return (root) => new Collection(representer).gather(root, visit)
}

/** One walk. */
class Collection {
  readonly #representer: Representer
  readonly #groups: Group[] = []
  #byText: Map<string, Group> | undefined
  // Most walks meet entities of one type, told apart by one field: no text is made for those met before.
  #typename: unknown
  #key: string | undefined
  readonly #byKey = new Map<unknown, Group>()
  readonly #arrived = ++marks

  constructor(representer: Representer) {
    this.#representer = representer
  }

  gather(root: Json, visit: Visit): Group[] {
    visit(root, ++marks, this)
    return this.#groups
  }

  /** @returns The object that is to stand where this one stood. */
  arrive(object: Json): Json {
    if (object[markSlot] === this.#arrived) return object
    const typename = object.__typename
    if (this.#typename === undefined && typeof typename === 'string') {
      this.#typename = typename
      this.#key = this.#representer.onlyKey(typename)
    }
    const key = this.#key !== undefined && typename === this.#typename ? object[this.#key] : undefined
    // Texts of numbers and strings differ, so do they as keys; other values have no identity of their own.
    const isKey = typeof key === 'string' || typeof key === 'number'
    const known = isKey ? this.#byKey.get(key) : undefined
    if (known) return this.#add(known, object)
    const text = this.#representer.text(object)
    if (text === null) return object
    const same = isKey ? undefined : this.#byText?.get(text)
    if (same) return this.#add(same, object)
    const group: Group = { text, targets: [object] }
    this.#groups.push(group)
    if (isKey) this.#byKey.set(key, group)
    else {
      this.#byText ??= new Map()
      this.#byText.set(text, group)
    }
    object[markSlot] = this.#arrived
    return object
  }

  #add(group: Group, object: Json): Json {
    if (sameContent(group.targets[0], object)) return group.targets[0]
    object[markSlot] = this.#arrived
    group.targets.push(object)
    return object
  }
}

type Visit = (root: Json, passed: number, collection: Collection) => void

/** Code for one path: nested loops that know their keys. Keys are GraphQL names. */
function compileVisit(path: PlanPath, shared: ReadonlySet<string>): Visit {
  const isObjectLike = (v: string): string =>
    `typeof ${v} === "object" && ${v} !== null && !Array.isArray(${v})`
  const build = (index: number, value: string, assign: (replacement: string) => string): string => {
    const element = path[index]
    if (element === anyItem) {
      const [i, item] = [`i${index}`, `v${index}`]
      return `if (Array.isArray(${value})) for (let ${i} = 0; ${i} < ${value}.length; ${i}++) {
        const ${item} = ${value}[${i}]; ${build(index + 1, item, (replacement) => `${value}[${i}] = ${replacement};`)} }`
    }
    if (element === undefined) {
      return `if (${isObjectLike(value)}) { const r = collection.arrive(${value}); if (r !== ${value}) { ${assign('r')} } }`
    }
    const next = `v${index}`
    const name = String(element)
    const read = name in Object.prototype ? `get(${value}, "${name}")` : `${value}.${name}`
    const once = shared.has(positionOf(path.slice(0, index)))
      ? `if (${value}[mark] === passed) ${index === 0 ? 'return' : 'continue'}; ${value}[mark] = passed;`
      : ''
    return `if (${isObjectLike(value)}) { ${once} const ${next} = ${read};
      ${build(index + 1, next, (replacement) => `set(${value}, "${name}", ${replacement});`)} }`
  }
  return new Function(
    'get',
    'set',
    'mark',
    `"use strict"; return (root, passed, collection) => { ${build(0, 'root', () => '')} }`,
  )(get, set, markSlot) as Visit
}

export const positionOf = (path: PlanPath): string => path.join('\n')

// A symbol of the object itself is cheaper than a set of objects per walk, and never part of an answer.
const markSlot = Symbol('seen by walk') as unknown as string
let marks = 0

/** Custom scalars in the process can be anything; a Date has no keys and is not equal to every other. */
function isPlain(value: object): value is Json {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Whether two values can be one: all that is in them is equal. */
function sameContent(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false
    for (let i = 0; i < a.length; i++) if (!sameContent(a[i], b[i])) return false
    return true
  }
  if (!isPlain(a) || !isPlain(b)) return false
  let keys = 0
  for (const key in b) {
    if (!sameContent(a[key], b[key])) return false
    keys++
  }
  for (const _ in a) keys--
  return keys === 0
}
