/**
 * Finds the entities of one fetch in what is known so far, grouped by representation.
 *
 * The same entity often stands in many places: forty orders of nine products. Where two objects at the path have
 * the same content they become one object, here, in the tree: what is fetched for it is merged once, the walks of
 * later fetches begin at it or pass through it once, and its part of the answer is written once.
 */
import type { PlanNode } from '@apollo/query-planner'
import { anyItem } from './errors.ts'
import type { Shape } from './merge.ts'
import { get, type Json, set } from './property.ts'
import type { Naming, PlanPath, Representer } from './representations.ts'

/** Entities that one representation stands for. */
export interface Group {
  readonly text: string
  /** The first is as good as any to make the representation of. */
  readonly targets: [Json, ...Json[]]
}

/** What is known while a plan runs. */
export interface Gathered {
  readonly data: Json
  /** By the number of a place, its different objects, in the order of the answer: where a fetch has looked for them. */
  found?: (readonly Json[] | undefined)[]
}

export type Collect = (gathered: Gathered) => readonly Group[]

/** The places, within lists, whose objects the entity fetches of one plan are about: there equal objects become one. */
export class Places {
  readonly #paths: PlanPath[] = []

  constructor(plan: PlanNode, path: PlanPath = []) {
    this.#add(plan, path)
  }

  #add(node: PlanNode, path: PlanPath): void {
    if (node.kind === 'Flatten') this.#add(node.node, [...path, ...node.path])
    else if (node.kind === 'Fetch') {
      if (node.requires && path.includes(anyItem) && this.numberOf(path) === -1) this.#paths.push(path)
    } else if (node.kind === 'Sequence' || node.kind === 'Parallel') {
      for (const child of node.nodes) this.#add(child, path)
    } else if (node.kind === 'Condition') {
      if (node.ifClause) this.#add(node.ifClause, path)
      if (node.elseClause) this.#add(node.elseClause, path)
    }
  }

  /** Their keys, without the lists in between. */
  keys(): (readonly (string | number)[])[] {
    return this.#paths.map(keysOf)
  }

  has(path: PlanPath): boolean {
    return this.numberOf(path) !== -1
  }

  numberOf(path: PlanPath): number {
    return this.#paths.findIndex((known) => known.length === path.length && isWithin(path, known))
  }

  /** Numbers of those on the way to a path, the nearest first. */
  before(path: PlanPath): readonly { readonly number: number; readonly path: PlanPath }[] {
    return this.#paths
      .map((known, number) => ({ number, path: known }))
      .filter((place) => place.path.length < path.length && isWithin(path, place.path))
      .sort((a, b) => b.path.length - a.path.length)
  }

  /** Numbers of those at which an answer of this shape, at this path, can bring other objects than there were. */
  changedBy(path: PlanPath, shape: Shape): readonly number[] {
    const brought: PlanPath[] = []
    const add = (keys: PlanPath, at: Shape): void => {
      for (const [key, nested] of at) {
        if (!nested) continue
        brought.push([...keys, key])
        add([...keys, key], nested)
      }
    }
    add(keysOf(path), shape)
    return this.keys().flatMap((keys, number) => (brought.some((b) => isWithin(keys, b)) ? [number] : []))
  }
}

const keysOf = (path: PlanPath): PlanPath => path.filter((element) => element !== anyItem)

const isWithin = (path: PlanPath, outer: PlanPath): boolean =>
  outer.length <= path.length && outer.every((element, i) => element === path[i])

export function compileCollect(path: PlanPath, representer: Representer, places: Places): Collect {
  const own = places.numberOf(path)
  const starts = places.before(path).map(({ number, path: start }) => ({ number, length: start.length }))
  const visits = new Map<number, Visit>()
  const visitFrom = (length: number): Visit => {
    const visit = visits.get(length) ?? compileVisit(path, length, places)
    visits.set(length, visit)
    return visit
  }
  return (gathered) => {
    const collection = new Collection(representer)
    gathered.found ??= []
    const { found } = gathered
    const here = found[own]
    if (here) {
      for (const object of here) collection.arriveAgain(object, object.__typename)
      return collection.groups
    }
    const start = starts.find(({ number }) => found[number])
    const from = (start && found[start.number]) ?? [gathered.data]
    visitFrom(start?.length ?? 0)(from, collection, ++marks, ++marks)
    if (own !== -1) found[own] = collection.found
    return collection.groups
  }
}

/** One walk. */
class Collection {
  readonly groups: Group[] = []
  readonly found: Json[] = []
  readonly #representer: Representer
  #byText: Map<string, Group> | undefined
  // Most walks meet entities of one type, told apart by one field: no text is made for those met before.
  #typename: unknown
  #usual: Naming | undefined
  readonly #byKey = new Map<unknown, Group>()

  constructor(representer: Representer) {
    this.#representer = representer
  }

  /** @returns The object that is to stand where this one stood. */
  arrive(object: Json, typename: unknown): Json {
    const group = this.#groupOf(object, typename)
    if (group) {
      const [first] = group.targets
      if (first !== object) {
        if (sameContent(first, object)) return first
        group.targets.push(object)
      }
    }
    this.found.push(object)
    return object
  }

  /** For what an earlier walk has left in its place. */
  arriveAgain(object: Json, typename: unknown): void {
    const group = this.#groupOf(object, typename)
    if (group && group.targets[0] !== object) group.targets.push(object)
  }

  /** @returns Its group, which may have been made for it; undefined where it cannot be named. */
  #groupOf(object: Json, typename: unknown): Group | undefined {
    if (this.#usual === undefined && typeof typename === 'string') {
      this.#typename = typename
      this.#usual = this.#representer.naming(typename)
    }
    const isUsual = typename === this.#typename
    const naming = this.#usual && isUsual ? this.#usual : this.#representer.naming(typename)
    const key = isUsual ? naming.key?.(object) : undefined
    // Texts of numbers and strings differ, so do they as keys; other values have no identity of their own.
    const isKey = typeof key === 'string' || typeof key === 'number'
    const known = isKey ? this.#byKey.get(key) : undefined
    if (known) return known
    const text = naming.text(object)
    if (text === null) return undefined
    const same = isKey ? undefined : this.#byText?.get(text)
    if (same) return same
    const group: Group = { text, targets: [object] }
    this.groups.push(group)
    if (isKey) this.#byKey.set(key, group)
    else {
      this.#byText ??= new Map()
      this.#byText.set(text, group)
    }
    return group
  }
}

/** @param starts Different objects. */
type Visit = (starts: readonly Json[], collection: Collection, passed: number, arrived: number) => void

/** Code for the rest of a path: nested loops that know their keys. Keys are GraphQL names. */
function compileVisit(path: PlanPath, from: number, places: Places): Visit {
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
      return `if (${isObjectLike(value)} && ${value}[mark] !== arrived) {
        const r = collection.arrive(${value}, ${value}.__typename);
        if (r === ${value}) ${value}[mark] = arrived; else { ${assign('r')} } }`
    }
    const next = `v${index}`
    const name = String(element)
    const read = name in Object.prototype ? `get(${value}, "${name}")` : `${value}.${name}`
    const once =
      index > from && places.has(path.slice(0, index))
        ? `if (${value}[mark] === passed) continue; ${value}[mark] = passed;`
        : ''
    return `if (${isObjectLike(value)}) { ${once} const ${next} = ${read};
      ${build(index + 1, next, (replacement) => `set(${value}, "${name}", ${replacement});`)} }`
  }
  return new Function(
    'get',
    'set',
    'mark',
    `"use strict"; return function visit(starts, collection, passed, arrived) {
      for (let s = 0; s < starts.length; s++) { const start = starts[s]; ${build(from, 'start', () => '')} } }`,
  )(get, set, markSlot) as Visit
}

// A symbol of the object itself is cheaper than a set of objects per walk, and never part of an answer.
const markSlot = Symbol('seen by walk') as unknown as string
let marks = 0

/** Custom scalars in the process can be anything; a Date has no keys and is not equal to every other. */
function isPlain(value: object): value is Json {
  // The prototype itself is dear to ask for.
  if (value.constructor === Object) return true
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
