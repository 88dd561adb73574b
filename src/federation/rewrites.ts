/**
 * The planner's corrections to data on its way in and out of a subgraph: an interface object goes out under its
 * interface's name, a field that could not be merged comes back from its generated alias.
 */
import type { FetchDataRewrite } from '@apollo/query-planner'
import { get, isObject, set } from './property.ts'

export type TypeMatch = (typeCondition: string, typename: unknown) => boolean

export function applyRewrites(
  rewrites: readonly FetchDataRewrite[] | undefined,
  value: unknown,
  matches: TypeMatch,
): void {
  for (const rewrite of rewrites ?? []) applyAt(rewrite.path, 0, value, rewrite, matches)
}

const fragmentPrefix = '... on '

function applyAt(
  path: readonly string[],
  index: number,
  value: unknown,
  rewrite: FetchDataRewrite,
  matches: TypeMatch,
): void {
  if (Array.isArray(value)) {
    for (const item of value) applyAt(path, index, item, rewrite, matches)
    return
  }
  const element = path[index]
  if (!isObject(value) || element === undefined) return
  if (element.startsWith(fragmentPrefix)) {
    const typename = get(value, '__typename')
    if (typename === undefined || matches(element.slice(fragmentPrefix.length), typename)) {
      applyAt(path, index + 1, value, rewrite, matches)
    }
  } else if (index < path.length - 1) applyAt(path, index + 1, get(value, element), rewrite, matches)
  else if (rewrite.kind === 'ValueSetter') set(value, element, rewrite.setValueTo)
  else {
    const present = get(value, element)
    if (present === undefined) return
    set(value, rewrite.renameKeyTo, present)
    value[element] = undefined
  }
}

/** A path in a subgraph's answer with generated aliases replaced by the client's keys. */
export function originalKeys(
  path: readonly (string | number)[],
  rewrites: readonly FetchDataRewrite[] | undefined,
): (string | number)[] {
  const renamed = new Map<string, string>()
  for (const rewrite of rewrites ?? []) {
    const last = rewrite.path.at(-1)
    if (rewrite.kind === 'KeyRenamer' && last !== undefined) renamed.set(last, rewrite.renameKeyTo)
  }
  return path.map((element) => (typeof element === 'string' ? (renamed.get(element) ?? element) : element))
}
