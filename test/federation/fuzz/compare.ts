/** What must be equal of two answers to one operation, and what an answer must be on its own. */
import type { ExecutionResult } from 'graphql'

type Path = readonly (string | number)[]

/**
 * @returns What differs, or nothing.
 *
 * Data must be the same to the order of keys. Where a null has errors, which of several errors beneath it are told is
 * left to the implementation (GraphQL October 2021, 6.4.4): the nulls that have errors must be the same.
 */
export function difference(expected: ExecutionResult, actual: ExecutionResult): string | undefined {
  const [a, b] = [JSON.stringify(expected.data), JSON.stringify(actual.data)]
  if (a !== b) return `data\n  expected ${a}\n  actual   ${b}\n${told(expected)}\n${told(actual)}`
  const [wanted, found] = [nullsWithErrors(expected), nullsWithErrors(actual)]
  const missing = [...wanted].filter((place) => !found.has(place))
  const extra = [...found].filter((place) => !wanted.has(place))
  if (missing.length > 0)
    return `no error for the null at ${missing.join(' ')} of ${b}\n${told(expected)}\n${told(actual)}`
  if (extra.length > 0)
    return `an error too many at ${extra.join(' ')} of ${b}\n${told(expected)}\n${told(actual)}`
  return undefined
}

const told = ({ errors = [] }: ExecutionResult): string =>
  errors
    .map(
      ({ path, message, extensions }) => `  ${JSON.stringify(path)} ${message} ${JSON.stringify(extensions)}`,
    )
    .join('\n')

function nullsWithErrors({ data, errors = [] }: ExecutionResult): Set<string> {
  return new Set(errors.map(({ path = [] }) => JSON.stringify(reach(data, path))))
}

/** How far a path goes before it meets a null. */
function reach(data: unknown, path: Path): Path {
  let value = data
  for (const [index, element] of path.entries()) {
    if (value === null || typeof value !== 'object') return path.slice(0, index)
    value = (value as Record<string | number, unknown>)[element]
  }
  return path
}
