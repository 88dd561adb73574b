/** What the transports that carry streams have in common: from a request to what the engine is asked, and back. */
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  getOperationAST,
} from 'graphql'
import type { Caller } from '../caller/caller.ts'
import type { Engine, EngineRequest } from '../federation/engine.ts'
import type { ResultStream } from '../federation/event-stream.ts'
import { selectOperation } from '../federation/operation.ts'
import { demandedOf } from './cache-control.ts'
import type { Pipeline } from './pipeline.ts'

export interface Operations {
  /**
   * @param cacheControl What the connection said, for operations that say nothing themselves.
   * @returns What to execute, or what is wrong with the request.
   */
  prepare(
    request: OperationRequest,
    caller: Caller,
    cacheControl?: unknown,
  ): OperationArgs | readonly GraphQLError[]
  execute(args: ExecutionArgs): Promise<ExecutionResult>
  subscribe(args: ExecutionArgs): Promise<ResultStream | ExecutionResult>
}

export interface OperationRequest {
  readonly query?: unknown
  readonly operationName?: string | null | undefined
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined
  readonly extensions?: unknown
}

/** In the shape the protocol libraries pass on; only `document` and the values are looked at here. */
export type OperationArgs = ExecutionArgs & { readonly contextValue: OperationContext }

interface OperationContext {
  readonly context: unknown
  /** Aborted when the client has enough: whatever works for it is told. */
  readonly end: AbortController
}

export interface OperationsOptions<TContext> {
  readonly engine: Engine<TContext>
  readonly pipeline: Pipeline
  contextFor(caller: Caller, signal: AbortSignal, maxAgeMs?: number): TContext
  /** Added to everything. What an event was made of is said by the engine. */
  readonly always: Readonly<Record<string, unknown>> | undefined
  /** Added to the answer of a query or a mutation, once it is made. */
  extensionsOf(context: TContext): Readonly<Record<string, unknown>>
}

export function createOperations<TContext>(options: OperationsOptions<TContext>): Operations {
  const { engine, pipeline } = options

  const { always } = options
  const markedWith = (result: ExecutionResult, added: Readonly<Record<string, unknown>>): ExecutionResult =>
    Object.keys(added).length === 0 ? result : { ...result, extensions: { ...result.extensions, ...added } }

  /** Who shares a result shares what is made of it: transports write it once. */
  const made = new WeakMap<ExecutionResult, ExecutionResult>()
  const markedOnce = (result: ExecutionResult): ExecutionResult => {
    if (!always) return result
    const known = made.get(result)
    if (known) return known
    const marked = markedWith(result, always)
    made.set(result, marked)
    return marked
  }

  return {
    prepare({ query, operationName, variables, extensions }, caller, cacheControl) {
      if (typeof query !== 'string') {
        return [new GraphQLError('Send the operation as "query".', { extensions: { code: 'BAD_REQUEST' } })]
      }
      const document = pipeline.prepare(engine.schema, query)
      if (!('kind' in document)) return document
      // An empty name is none, to the protocol libraries too.
      const name = operationName || undefined
      const ambiguous = whyNotOne(document, name)
      if (ambiguous) return [ambiguous]
      const end = new AbortController()
      return {
        schema: engine.schema,
        document,
        operationName: name,
        variableValues: variables,
        contextValue: {
          context: options.contextFor(caller, end.signal, demandedOf(extensions, cacheControl)),
          end,
        },
      }
    },

    async execute(args) {
      const { context } = (args as OperationArgs).contextValue
      const result = await engine.execute(requestOf(args as OperationArgs))
      return markedWith(result, { ...always, ...options.extensionsOf(context as TContext) })
    },

    async subscribe(args) {
      const stream = await engine.subscribe(requestOf(args as OperationArgs))
      if (!(Symbol.asyncIterator in stream)) return markedOnce(stream)
      return endingWith(stream, markedOnce, (args as OperationArgs).contextValue.end)
    },
  }

  function requestOf({
    document,
    operationName,
    variableValues,
    contextValue,
  }: OperationArgs): EngineRequest<TContext> {
    const { context, end } = contextValue
    return {
      document,
      operationName,
      variables: variableValues,
      context: context as TContext,
      signal: end.signal,
    }
  }
}

/** The protocol libraries look for the operation themselves, and have an error without a code where there is none. */
function whyNotOne(document: DocumentNode, operationName: string | undefined): GraphQLError | undefined {
  if (getOperationAST(document, operationName)) return undefined
  try {
    selectOperation(document, operationName)
    return undefined
  } catch (error) {
    return error as GraphQLError
  }
}

function endingWith(
  stream: ResultStream,
  change: (result: ExecutionResult) => ExecutionResult,
  end: AbortController,
): ResultStream {
  return {
    readBy: (reader) =>
      stream.readBy({ take: (result) => reader.take(change(result)), end: () => reader.end() }),
    next: () => stream.next().then((one) => (one.done ? one : { done: false, value: change(one.value) })),
    async return() {
      end.abort()
      await stream.return?.()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
