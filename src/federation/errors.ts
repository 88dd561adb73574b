/** Errors on their way from subgraphs to clients: what may be said, and where in the client's answer it belongs. */
import { GraphQLError, type GraphQLFormattedError } from 'graphql'
import type { Path } from './complete.ts'
import { SubgraphFailure } from './transport.ts'

/** What a client may learn of a subgraph's error; its path is the engine's business. */
export interface ExposedError {
  readonly message: string
  readonly extensions?: Readonly<Record<string, unknown>>
}

export type FormatSubgraphError = (error: GraphQLFormattedError, subgraph: string) => ExposedError

/**
 * Lets errors through whose `extensions.code` the host knows; all others are technical, and their text may name
 * tables, hosts or people.
 */
export function exposeCodes(codes: ReadonlySet<string>): FormatSubgraphError {
  return (error, subgraph) => {
    const code = error.extensions?.code
    if (typeof code === 'string' && codes.has(code)) {
      return { message: error.message, extensions: { ...error.extensions, subgraph } }
    }
    return {
      message: `Internal error in subgraph "${subgraph}".`,
      extensions: { code: 'SUBGRAPH_ERROR', subgraph },
    }
  }
}

/** For a subgraph that did not answer. The cause stays with the operators. */
export function unavailable(subgraph: string, error: unknown, path: Path | undefined): GraphQLError {
  const reason = error instanceof SubgraphFailure ? error.reason : 'unreachable'
  return new GraphQLError(`Subgraph "${subgraph}" is unavailable.`, {
    ...(path ? { path } : {}),
    extensions: { code: 'SUBGRAPH_UNAVAILABLE', subgraph, reason },
  })
}

export function subgraphError(
  error: GraphQLFormattedError,
  subgraph: string,
  path: Path | undefined,
  format: FormatSubgraphError,
): GraphQLError {
  const { message, extensions } = format(error, subgraph)
  return new GraphQLError(message, {
    ...(path && path.length > 0 ? { path } : {}),
    ...(extensions ? { extensions: { ...extensions } } : {}),
  })
}

/** Any index, in a path that stands for all items of a list. */
export const anyItem = '@'

/** Remembers where errors are, so that a null they caused is not reported twice. */
export class Explanations {
  /** Made with the first error: nearly all requests have none. */
  #exact: Set<string> | undefined
  readonly #patterns: (readonly (string | number)[])[] = []

  /** @param path May contain `@` for every item of a list. */
  add(path: readonly (string | number)[]): void {
    const text = path.join('\n')
    this.#exact ??= new Set()
    if (this.#exact.has(text)) return
    this.#exact.add(text)
    this.#patterns.push(path)
  }

  /** A null is explained by an error at the same place, beneath it (it propagated) or above it. */
  covers(path: readonly (string | number)[]): boolean {
    if (this.#exact === undefined) return false
    if (this.#exact.has(path.join('\n'))) return true
    return this.#patterns.some((pattern) => {
      const length = Math.min(pattern.length, path.length)
      for (let i = 0; i < length; i++) {
        if (pattern[i] !== path[i] && !(pattern[i] === anyItem && typeof path[i] === 'number')) return false
      }
      return true
    })
  }
}
