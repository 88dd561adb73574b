/** What the transports that carry streams have in common: from a request to what the engine is asked, and back. */
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql'
import type { Caller } from '../caller/caller.ts'
import type { Engine, EngineRequest } from '../federation/engine.ts'
import type { Pipeline } from './pipeline.ts'

export interface Operations {
  /** @returns What to execute, or what is wrong with the request. */
  prepare(request: OperationRequest, caller: Caller): OperationArgs | readonly GraphQLError[]
  execute(args: ExecutionArgs): Promise<ExecutionResult>
  subscribe(args: ExecutionArgs): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult>
}

export interface OperationRequest {
  readonly query?: unknown
  readonly operationName?: string | null | undefined
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined
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
  contextFor(caller: Caller, signal: AbortSignal): TContext
  /** Added to every result, once it is made. */
  extensionsOf(context: TContext): Readonly<Record<string, unknown>>
}

export function createOperations<TContext>(options: OperationsOptions<TContext>): Operations {
  const { engine, pipeline } = options

  /** Who shares a result, and has the same to be added, shares what is made of it: transports write it once. */
  const made = new WeakMap<ExecutionResult, Map<string, ExecutionResult>>()
  const markedFor =
    ({ contextValue }: OperationArgs) =>
    (result: ExecutionResult): ExecutionResult => {
      const added = options.extensionsOf(contextValue.context as TContext)
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
    prepare({ query, operationName, variables }, caller) {
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
        contextValue: { context: options.contextFor(caller, end.signal), end },
      }
    },

    async execute(args) {
      const marked = markedFor(args as OperationArgs)
      return marked(await engine.execute(requestOf(args as OperationArgs)))
    },

    async subscribe(args) {
      const marked = markedFor(args as OperationArgs)
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
