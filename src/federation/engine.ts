/**
 * The federation engine: a supergraph and a way to reach its subgraphs, made into something that executes.
 *
 * It knows GraphQL and nothing of the systems behind the subgraphs, of HTTP servers, or of who is asking.
 */
import { type DocumentNode, type ExecutionResult, GraphQLError, type GraphQLSchema } from 'graphql'
import { Explanations, type FormatSubgraphError } from './errors.ts'
import type { ResultStream } from './event-stream.ts'
import type { PlannedFetch } from './executable.ts'
import { Generation, Refusal } from './generation.ts'
import { Subscriptions } from './subscriptions.ts'
import type { Subgraph } from './supergraph.ts'
import { CallSignal, type SubgraphTransport } from './transport.ts'
import type { UpstreamOptions } from './upstream.ts'

export interface EngineOptions<TContext> extends UpstreamOptions<TContext> {
  readonly supergraphSdl: string
  /** One transport per subgraph name, or how to make one; made again when a reload brings another URL. */
  readonly transports:
    | Readonly<Record<string, SubgraphTransport<TContext>>>
    | ((subgraph: Subgraph) => SubgraphTransport<TContext>)
  /** Codes (`extensions.code`) of subgraph errors that clients may read; all others are masked. */
  readonly exposedCodes?: ReadonlySet<string>
  /** Instead of `exposedCodes`: decides per error. */
  readonly formatSubgraphError?: FormatSubgraphError
  /** Representations in one `_entities` call; more are asked in several calls at once. Default: no limit. */
  readonly maxRepresentations?: number | Readonly<Record<string, number>>
  /** Planned operations kept, fewer where they have more than 100 selections on average. Default 1000. */
  readonly planCacheSize?: number
  /** How much the planner may consider for one operation. Default 2000, refused in about 0.1 s. */
  readonly planPathsLimit?: number
  /** Selections of one operation, fragments expanded: planning takes time in proportion, on this thread. Default 2,000. */
  readonly maxSelections?: number
  /**
   * Callers of equal scope get equal answers: identical subscriptions among them share one upstream stream and one
   * evaluation per event. `undefined` shares with nobody, which is the default.
   */
  readonly scope?: (context: TContext) => string | undefined
  /** The context for one event of a subscription, from that of the subscribe request: fresh loaders, above all. */
  readonly eventContext?: (context: TContext) => TContext
  /**
   * What is said of the result of an event. `take` is asked of the context of the stream when the event has come, and
   * of the event's own when all of it is there.
   */
  readonly eventNotes?: {
    take(context: TContext): unknown
    extensions(taken: readonly unknown[]): Readonly<Record<string, unknown>>
  }
  /** Told what a query is going to ask of which subgraph, before it does. The same object for the same plan. */
  readonly onQuery?: (context: TContext, fetches: readonly PlannedFetch[]) => void
  /** Arguments that only say where a subscription begins, and the event field that says where it is. */
  readonly replay?: { readonly arguments: readonly string[]; readonly cursorField: string }
  /** Results that may wait for one slow subscriber before it is cut off. Default 1000. */
  readonly maxQueuedEvents?: number
}

export interface EngineRequest<TContext> {
  /** Parsed, and validated against `schema`. */
  readonly document: DocumentNode
  readonly operationName?: string | null | undefined
  /** As the client sent them. */
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined
  readonly context: TContext
  /**
   * Data may come as `DataText`, for a host that turns answers into text with `stringifyAnswer`: written in one
   * pass, without the objects in between.
   */
  readonly asText?: boolean
  /** Aborted when the client has left: fetches under way are aborted too. */
  readonly signal?: AbortSignal | undefined
}

export interface Engine<TContext> {
  /** What clients may ask. Another object after a reload. */
  readonly schema: GraphQLSchema
  readonly supergraphSdl: string
  /** Queries and mutations. Never rejects for what a client or a subgraph did: that is in `errors`. */
  execute(request: EngineRequest<TContext>): Promise<ExecutionResult>
  /** One result instead of a stream when the subscription could not begin. */
  subscribe(request: EngineRequest<TContext>): Promise<ResultStream | ExecutionResult>
  /**
   * Switches to another supergraph, once the operations in use are planned for it; subscriptions that are still
   * valid go on. Rejects, and changes nothing, when it cannot be loaded.
   */
  reload(supergraphSdl: string): Promise<void>
  /** Called after every reload. */
  onReload(listener: () => void): () => void
  /** Ends subscriptions, lets what is running finish, then closes the transports. */
  close(): Promise<void>
}

export function createEngine<TContext>(options: EngineOptions<TContext>): Engine<TContext> {
  const listeners = new Set<() => void>()
  const subscriptions = new Subscriptions(options)
  let current = new Generation(options, options.supergraphSdl)
  let changing: Promise<void> = Promise.resolve()

  const change = async (sdl: string): Promise<void> => {
    if (sdl === current.supergraph.sdl) return
    const previous = current
    const next = new Generation(options, sdl, previous)
    await next.warm(previous)
    current = next
    for (const listener of listeners) listener()
    await subscriptions.changeTo(next)
    // Not awaited: requests that began before the switch may take their time.
    void previous.retire(next)
  }

  return {
    get schema() {
      return current.supergraph.schema
    },
    get supergraphSdl() {
      return current.supergraph.sdl
    },

    async execute(request) {
      const generation = current
      generation.enter()
      const leaving = request.signal && new Leaving(request.signal)
      try {
        const { executable, variables } = generation.prepare(
          request.document,
          request.operationName,
          request.variables ?? {},
        )
        if (executable.kind === 'subscription') {
          throw new GraphQLError('Subscriptions are not answered by a single response.', {
            extensions: { code: 'OPERATION_NOT_SUPPORTED' },
          })
        }
        if (executable.kind === 'query') options.onQuery?.(request.context, executable.fetches)
        const run = {
          data: {},
          errors: [],
          explanations: new Explanations(),
          variables,
          context: request.context,
          signal: leaving?.signal,
        }
        await executable.step?.(run)
        return executable.finish(run, request.asText)
      } catch (error) {
        return refused(error, request.signal)
      } finally {
        leaving?.over()
        generation.leave()
      }
    },

    async subscribe(request) {
      try {
        return await subscriptions.subscribe(current, request)
      } catch (error) {
        return refused(error, request.signal)
      }
    },

    reload(sdl) {
      const done = changing.then(() => change(sdl))
      changing = done.catch(() => {})
      return done
    },

    onReload(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    async close() {
      await changing
      subscriptions.finish()
      await current.retire(undefined)
    },
  }
}

/** The host's signal for all calls of one request: listening to it is dear, and each of them would. */
class Leaving {
  readonly signal = new CallSignal()
  readonly #signal: AbortSignal
  readonly #left = (): void => this.signal.cancel(this.#signal.reason)

  constructor(signal: AbortSignal) {
    this.#signal = signal
    if (signal.aborted) this.#left()
    else signal.addEventListener('abort', this.#left)
  }

  over(): void {
    this.#signal.removeEventListener('abort', this.#left)
  }
}

/** Requests that never ran have no `data`; what is neither the client's nor a subgraph's fault is a bug here. */
function refused(error: unknown, signal: AbortSignal | undefined): ExecutionResult {
  if (error instanceof Refusal) return { errors: error.errors }
  if (error instanceof GraphQLError) return { errors: [error] }
  if (signal?.aborted) {
    return {
      errors: [new GraphQLError('The request was cancelled.', { extensions: { code: 'REQUEST_CANCELLED' } })],
    }
  }
  throw error
}
