/** What the transports that carry streams have in common: from a request to what the engine is asked, and back. */
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql'
import type { Caller } from '../caller/caller.ts'
import type { Engine, EngineRequest } from '../federation/engine.ts'
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
  subscribe(args: ExecutionArgs): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult>
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

  /** Who shares a result, and has the same to be added, shares what is made of it: transports write it once. */
  const made = new WeakMap<ExecutionResult, Map<string, ExecutionResult>>()
  const markedWith =
    (addedNow: () => Readonly<Record<string, unknown>>) =>
    (result: ExecutionResult): ExecutionResult => {
      const added = addedNow()
      if (Object.keys(added).length === 0) return result
      const key = JSON.stringify(added)
      const known = made.get(result)
      const same = known?.get(key)
      if (same) return same
      const marked = { ...result, extensions: { ...result.extensions, ...added } }
      if (known) known.set(key, marked)
      else made.set(result, new Map([[key, marked]]))
      return marked
    }

  return {
    prepare({ query, operationName, variables, extensions }, caller, cacheControl) {
      if (typeof query !== 'string') {
        return [new GraphQLError('Send the operation as "query".', { extensions: { code: 'BAD_REQUEST' } })]
      }
      const document = pipeline.prepare(engine.schema, query)
      if (!('kind' in document)) return document
      const end = new AbortController()
      return {
        schema: engine.schema,
        document,
        operationName,
        variableValues: variables,
        contextValue: {
          context: options.contextFor(caller, end.signal, demandedOf(extensions, cacheControl)),
          end,
        },
      }
    },

    async execute(args) {
      const { context } = (args as OperationArgs).contextValue
      const marked = markedWith(() => ({ ...options.always, ...options.extensionsOf(context as TContext) }))
      return marked(await engine.execute(requestOf(args as OperationArgs)))
    },

    async subscribe(args) {
      const marked = markedWith(() => options.always ?? {})
      const stream = await engine.subscribe(requestOf(args as OperationArgs))
      if (!(Symbol.asyncIterator in stream)) return marked(stream)
      return endingWith(stream, marked, (args as OperationArgs).contextValue.end)
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

function endingWith(
  stream: AsyncIterableIterator<ExecutionResult>,
  change: (result: ExecutionResult) => ExecutionResult,
  end: AbortController,
): AsyncIterableIterator<ExecutionResult> {
  return {
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
