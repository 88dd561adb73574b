/** What a remote subgraph sent, as the engine takes it: the rest of the house can rely on its form. */
import type { GraphQLFormattedError } from 'graphql'
import { isObject } from './property.ts'
import type { SubgraphResponse } from './transport.ts'

/**
 * @param body Parsed JSON.
 * @returns undefined for what is no answer of GraphQL (October 2021, 7.1), or says of errors what nobody can read.
 */
export function responseFrom(body: unknown): SubgraphResponse | undefined {
  if (!isObject(body)) return undefined
  const { errors } = body
  // Nearly all answers.
  if (errors === undefined) return 'data' in body ? (body as SubgraphResponse) : undefined
  if (errors !== null && !Array.isArray(errors)) return undefined
  if (!('data' in body) && !errors?.length) return undefined
  body.errors = errors?.map(errorFrom)
  return body as SubgraphResponse
}

function errorFrom(error: unknown): GraphQLFormattedError {
  if (!isObject(error)) return { message: String(error) }
  const { message, path, extensions } = error
  return {
    message: String(message),
    ...(isPath(path) ? { path } : {}),
    ...(isObject(extensions) ? { extensions } : {}),
  }
}

const isPath = (path: unknown): path is (string | number)[] =>
  Array.isArray(path) &&
  path.every((element) => typeof element === 'string' || (Number.isInteger(element) && element >= 0))
