/** Writing one subgraph's answer into what is already known. */
import { Kind, type SelectionSetNode } from 'graphql'
import { get, isObject, type Json, set } from './property.ts'

/** The keys an answer can have; `null` for leaves, which are never looked into (a JSON scalar is a leaf). */
export type Shape = Map<string, Shape | null>

/** All keys of a selection, whatever the type conditions: an answer has those that apply to it. */
export function shapeOf(selectionSet: SelectionSetNode, shape: Shape = new Map()): Shape {
  for (const selection of selectionSet.selections) {
    if (selection.kind === Kind.FIELD) {
      const key = selection.alias?.value ?? selection.name.value
      const nested = selection.selectionSet
      shape.set(key, nested ? shapeOf(nested, shape.get(key) ?? new Map()) : null)
    } else if (selection.kind === Kind.INLINE_FRAGMENT) shapeOf(selection.selectionSet, shape)
  }
  return shape
}

/**
 * Merges by the fetch's own shape. Objects of `source` may become part of `target`.
 * A null never erases what another subgraph gave, and the name of an interface (from an @interfaceObject) never
 * replaces the name of an object type.
 */
export type Merge = (target: Json, source: Json) => void

export function compileMerge(shape: Shape, isObjectTypeName: (name: string) => boolean): Merge {
  const keys = [...shape.keys()]
  // What both have is seldom, and seldom much: it is compiled when it comes.
  const nested: (Merge | undefined)[] = []
  const mergePresent = (index: number, target: Json, present: unknown, value: unknown): void => {
    const key = keys[index] as string
    const inner = shape.get(key)
    if (inner) {
      nested[index] ??= compileMerge(inner, isObjectTypeName)
      mergeValue(present, value, nested[index])
    } else if (key !== '__typename' || isObjectTypeName(value as string)) set(target, key, value)
  }
  const code = keys.map((key, i) => {
    // `constructor` is a fine alias, and every object seems to have one.
    const inherited = key in Object.prototype
    const read = (object: string): string => (inherited ? `get(${object}, "${key}")` : `${object}.${key}`)
    const write = inherited ? `set(target, "${key}", v)` : `target.${key} = v`
    return `v = ${read('source')}; if (v !== undefined) { const present = ${read('target')};
      if (present === undefined || present === null) ${write};
      else if (v !== null && v !== present) mergePresent(${i}, target, present, v); }`
  })
  return new Function(
    'get',
    'set',
    'mergePresent',
    `"use strict"; return function merge(target, source) { let v; ${code.join('\n')} }`,
  )(get, set, mergePresent) as Merge
}

function mergeValue(target: unknown, source: unknown, merge: Merge): void {
  if (Array.isArray(target)) {
    if (!Array.isArray(source)) return
    const length = Math.min(target.length, source.length)
    for (let i = 0; i < length; i++) {
      if (target[i] == null) target[i] = source[i]
      else if (source[i] != null) mergeValue(target[i], source[i], merge)
    }
  } else if (target !== source && isObject(target) && isObject(source)) merge(target, source)
}
