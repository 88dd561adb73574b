/** A subgraph in this process: graphql-js executes against its schema, nothing is turned into text between. */
import { type ExecutionResult, execute, type GraphQLSchema, subscribe } from 'graphql'
import type { SubgraphRequest, SubgraphResponse, SubgraphTransport } from './transport.ts'

/**
 * @param schema A subgraph schema, with `_entities`, as `buildSubgraphSchema` makes it. The request's context is
 * the resolvers' context value.
 */
export function inProcessTransport<TContext>(schema: GraphQLSchema): SubgraphTransport<TContext> {
  const argumentsOf = (request: SubgraphRequest<TContext>) => ({
    schema,
    document: request.document,
    operationName: request.operationName ?? null,
    variableValues: request.variables ?? null,
    contextValue: request.context,
  })
  return {
    async execute(request) {
      return toResponse(await execute(argumentsOf(request)))
    },
    async subscribe(request) {
      const source = await subscribe(argumentsOf(request))
      return Symbol.asyncIterator in source ? mapResponses(source) : toResponse(source)
    },
  }
}

/** The planner's operations fit the schema, so unlike a remote answer this one needs no checks. */
function toResponse(result: ExecutionResult): SubgraphResponse {
  const { data = null, errors } = result
  return errors ? { data, errors } : { data }
}

function mapResponses(source: AsyncGenerator<ExecutionResult>): AsyncIterableIterator<SubgraphResponse> {
  const map = ({ done, value }: IteratorResult<ExecutionResult>): IteratorResult<SubgraphResponse> =>
    done ? { done, value: undefined } : { done: false, value: toResponse(value) }
  return {
    next: async () => map(await source.next()),
    // graphql-js hands `return` to the resolver's iterator at once, even while it waits for the next event.
    return: async () => map(await source.return(undefined)),
    throw: async (error) => map(await source.throw(error)),
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
