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
  const parts = [...shape].map(([key, nested]) => ({
    key,
    merge: nested ? compileMerge(nested, isObjectTypeName) : undefined,
    keepExact: key === '__typename',
    // `constructor` is a fine alias, and every object seems to have one.
    inherited: key in Object.prototype,
  }))
  return (target, source) => {
    for (const { key, merge, keepExact, inherited } of parts) {
      const value = inherited ? get(source, key) : source[key]
      if (value === undefined) continue
      const present = inherited ? get(target, key) : target[key]
      if (present === undefined || present === null) {
        if (inherited) set(target, key, value)
        else target[key] = value
      } else if (value === null || value === present) {
        // keep what is there
      } else if (merge) mergeValue(present, value, merge)
      else if (keepExact && !isObjectTypeName(value as string)) {
        // keep the more exact name
      } else set(target, key, value)
    }
  }
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
