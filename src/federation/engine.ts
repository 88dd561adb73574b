/**
 * The federation engine: a supergraph and a way to reach its subgraphs, made into something that executes.
 *
 * It knows GraphQL and nothing of the systems behind the subgraphs, of HTTP servers, or of who is asking.
 */
import {
  type DocumentNode,
  type ExecutionResult,
  GraphQLError,
  type GraphQLSchema,
  getVariableValues,
  print,
} from 'graphql'
import { LRUCache } from 'lru-cache'
import { failFetch, type Run, requestOf, type Surroundings, takeRoot } from './compile.ts'
import { Explanations, exposeCodes, type FormatSubgraphError } from './errors.ts'
import { type Executable, prepareExecutable } from './executable.ts'
import { decideConditions, documentOf, type SelectedOperation, selectOperation } from './operation.ts'
import { type LoadedSupergraph, loadSupergraph, type Subgraph } from './supergraph.ts'
import { SubgraphFailure, type SubgraphResponse, type SubgraphTransport } from './transport.ts'

export interface EngineOptions<TContext> {
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
  /** Planned operations kept. Default 1000. */
  readonly planCacheSize?: number
  /** How much the planner may consider for one operation. Default 2000, refused in about 0.1 s. */
  readonly planPathsLimit?: number
}

export interface EngineRequest<TContext> {
  /** Parsed, and validated against `schema`. */
  readonly document: DocumentNode
  readonly operationName?: string | null | undefined
  /** As the client sent them. */
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined
  readonly context: TContext
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
  subscribe(
    request: EngineRequest<TContext>,
  ): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult>
  /** Switches to another supergraph. Rejects, and changes nothing, when it cannot be loaded. */
  reload(supergraphSdl: string): Promise<void>
  /** Called after every reload. */
  onReload(listener: () => void): () => void
  close(): Promise<void>
}

/** Everything that belongs to one supergraph and goes with it. */
interface Generation<TContext> {
  readonly supergraph: LoadedSupergraph
  readonly transports: ReadonlyMap<string, { subgraph: Subgraph; transport: SubgraphTransport<TContext> }>
  readonly surroundings: Surroundings<TContext>
  readonly executables: LRUCache<string, Executable<TContext>>
  /** The host hands over the same document object for the same text: no printing on the way to the plan then. */
  readonly documents: WeakMap<DocumentNode, Map<string, KnownOperation<TContext>>>
}

interface KnownOperation<TContext> {
  readonly selected: SelectedOperation
  readonly executables: Map<string, Executable<TContext>>
}

export function createEngine<TContext>(options: EngineOptions<TContext>): Engine<TContext> {
  const listeners = new Set<() => void>()
  let generation = createGeneration(options, options.supergraphSdl, undefined)

  return {
    get schema() {
      return generation.supergraph.schema
    },
    get supergraphSdl() {
      return generation.supergraph.sdl
    },

    async execute(request) {
      try {
        const { executable, run } = begin(generation, request)
        if (executable.kind === 'subscription') {
          throw new GraphQLError('Subscriptions are not answered by a single response.', {
            extensions: { code: 'OPERATION_NOT_SUPPORTED' },
          })
        }
        await executable.step?.(run)
        return executable.finish(run)
      } catch (error) {
        return refused(error, request.signal)
      }
    },

    async subscribe(request) {
      try {
        const { executable, run } = begin(generation, request)
        return await subscribeTo(generation, executable, run)
      } catch (error) {
        return refused(error, request.signal)
      }
    },

    async reload(supergraphSdl) {
      const previous = generation
      generation = createGeneration(options, supergraphSdl, previous)
      for (const listener of listeners) listener()
      const kept = new Set([...generation.transports.values()].map(({ transport }) => transport))
      for (const { transport } of previous.transports.values()) {
        if (!kept.has(transport)) await transport.close?.()
      }
    },

    onReload(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    async close() {
      await Promise.all([...generation.transports.values()].map(({ transport }) => transport.close?.()))
    },
  }
}

function createGeneration<TContext>(
  options: EngineOptions<TContext>,
  sdl: string,
  previous: Generation<TContext> | undefined,
): Generation<TContext> {
  const supergraph = loadSupergraph(sdl, { pathsLimit: options.planPathsLimit ?? 2000 })
  const transports = new Map<string, { subgraph: Subgraph; transport: SubgraphTransport<TContext> }>()
  for (const subgraph of supergraph.subgraphs) {
    const { name, url } = subgraph
    const known = previous?.transports.get(name)
    if (known && known.subgraph.url === url) transports.set(name, known)
    else if (typeof options.transports === 'function') {
      transports.set(name, { subgraph, transport: options.transports(subgraph) })
    } else {
      const transport = options.transports[name]
      if (!transport) throw new Error(`No transport for subgraph "${name}"`)
      transports.set(name, { subgraph, transport })
    }
  }
  const { maxRepresentations } = options
  return {
    supergraph,
    transports,
    surroundings: {
      send: (subgraph, request) => {
        const known = transports.get(subgraph)
        if (!known) throw new SubgraphFailure('unreachable')
        return known.transport.execute(request)
      },
      maxRepresentations: (subgraph) =>
        (typeof maxRepresentations === 'number' ? maxRepresentations : maxRepresentations?.[subgraph]) ??
        Number.POSITIVE_INFINITY,
      formatError: options.formatSubgraphError ?? exposeCodes(options.exposedCodes ?? new Set()),
      possibleTypes: supergraph.possibleTypes,
      isObject: supergraph.isObject,
      realName: supergraph.realName,
    },
    executables: new LRUCache({ max: options.planCacheSize ?? 1000 }),
    documents: new WeakMap(),
  }
}

/** @throws GraphQLError, or errors that carry several, for what is wrong with the request. */
function begin<TContext>(
  generation: Generation<TContext>,
  request: EngineRequest<TContext>,
): { executable: Executable<TContext>; run: Run<TContext> } {
  const known = knownOperation(generation, request.document, request.operationName)
  const { selected } = known
  const coerced = getVariableValues(
    generation.supergraph.schema,
    selected.definition.variableDefinitions ?? [],
    request.variables ?? {},
    { maxErrors: 50 },
  )
  if (coerced.errors) throw new Refusal(coerced.errors)
  const variables = coerced.coerced

  const conditions = selected.conditionVariables
    .map((name) => (variables[name] === true ? '1' : '0'))
    .join('')
  let executable = known.executables.get(conditions)
  if (!executable) {
    executable = findExecutable(generation, selected, variables)
    if (known.executables.size < 64) known.executables.set(conditions, executable)
  }
  return {
    executable,
    run: {
      data: {},
      errors: [],
      explanations: new Explanations(),
      variables,
      context: request.context,
      signal: request.signal,
    },
  }
}

function knownOperation<TContext>(
  generation: Generation<TContext>,
  document: DocumentNode,
  operationName: string | null | undefined,
): KnownOperation<TContext> {
  let byName = generation.documents.get(document)
  if (!byName) {
    byName = new Map()
    generation.documents.set(document, byName)
  }
  const key = operationName ?? ''
  let known = byName.get(key)
  if (!known) {
    known = { selected: selectOperation(document, operationName), executables: new Map() }
    byName.set(key, known)
  }
  return known
}

function findExecutable<TContext>(
  generation: Generation<TContext>,
  selected: SelectedOperation,
  variables: Readonly<Record<string, unknown>>,
): Executable<TContext> {
  const operation = decideConditions(selected, variables, generation.supergraph.reservedKeys)
  // Two clients' keys can travel alike.
  const key = `${print(documentOf(operation))}${JSON.stringify([...operation.clientKeys])}`
  let executable = generation.executables.get(key)
  if (!executable) {
    executable = prepareExecutable(generation.supergraph, operation, generation.surroundings)
    generation.executables.set(key, executable)
  }
  return executable
}

class Refusal extends Error {
  readonly errors: readonly GraphQLError[]
  constructor(errors: readonly GraphQLError[]) {
    super('refused')
    this.errors = errors
  }
}

/** Requests that never ran have no `data`; what is not the client's fault is not explained to it. */
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

async function subscribeTo<TContext>(
  generation: Generation<TContext>,
  executable: Executable<TContext>,
  run: Run<TContext>,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const { subscription } = executable
  if (!subscription) throw new GraphQLError('The operation is no subscription.')
  const known = generation.transports.get(subscription.subgraph)
  let source: AsyncIterableIterator<SubgraphResponse> | SubgraphResponse
  try {
    if (!known) throw new SubgraphFailure('unreachable')
    source = await known.transport.subscribe(requestOf(subscription, run))
  } catch (error) {
    run.signal?.throwIfAborted()
    failFetch(subscription, run, error, [run.data])
    return { errors: run.errors }
  }
  if (!(Symbol.asyncIterator in source)) {
    takeRoot(subscription, run, source, [run.data])
    return { errors: run.errors }
  }
  const events = source
  const evaluate = async (response: SubgraphResponse): Promise<ExecutionResult> => {
    const event: Run<TContext> = { ...run, data: {}, errors: [], explanations: new Explanations() }
    try {
      takeRoot(subscription, event, response, [event.data])
      await executable.step?.(event)
      return executable.finish(event)
    } catch (error) {
      return refused(error, run.signal)
    }
  }
  const end: IteratorReturnResult<undefined> = { done: true, value: undefined }
  const results: AsyncIterableIterator<ExecutionResult> = {
    async next() {
      let event: IteratorResult<SubgraphResponse>
      try {
        event = await events.next()
      } catch (error) {
        // The stream is lost, not just one event: say so once, the end follows.
        const errors: GraphQLError[] = []
        failFetch(subscription, { ...run, errors }, error, [run.data])
        return { done: false, value: { errors } }
      }
      return event.done ? end : { done: false, value: await evaluate(event.value) }
    },
    async return() {
      await events.return?.()
      return end
    },
    async throw(error) {
      await events.return?.()
      throw error
    },
    [Symbol.asyncIterator]() {
      return results
    },
  }
  return results
}
