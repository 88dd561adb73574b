/**
 * Subscriptions that run: who asks the same with the same rights shares one stream; a supergraph reload goes on
 * with those that are still valid.
 */
import { type ExecutionResult, GraphQLError } from 'graphql'
import { failFetch, type Run, requestOf, takeRoot } from './compile.ts'
import type { EngineOptions, EngineRequest } from './engine.ts'
import { Explanations, subgraphError } from './errors.ts'
import { type Evaluate, EventStream, Replay, type ResultStream, Subscriber } from './event-stream.ts'
import { type Executable, eventCursorKey } from './executable.ts'
import type { Generation } from './generation.ts'
import { get, isObject } from './property.ts'
import { SubgraphFailure, type SubgraphResponse } from './transport.ts'

type Source = AsyncIterableIterator<SubgraphResponse>

/** One running upstream subscription. */
interface Running<TContext> {
  readonly request: EngineRequest<TContext>
  readonly stream: EventStream<SubgraphResponse>
  executable: Executable<TContext>
  variables: Readonly<Record<string, unknown>>
  generation: Generation<TContext>
  /** In which the subgraph reads the events. */
  context: TContext
}

/** Raised where the subgraph answered with a result instead of a stream. */
class NoStream extends Error {
  readonly result: ExecutionResult
  constructor(result: ExecutionResult) {
    super('no stream')
    this.result = result
  }
}

export class Subscriptions<TContext> {
  readonly #options: EngineOptions<TContext>
  readonly #running = new Set<Running<TContext>>()
  /** Streams that others can join, by what they give; promises, as two can ask at the same moment. */
  readonly #shared = new Map<string, Promise<Running<TContext>>>()
  /** Streams that begin in the past, by what they give and where they begin. */
  readonly #replays = new Map<string, Promise<Running<TContext>>>()

  constructor(options: EngineOptions<TContext>) {
    this.#options = options
  }

  async subscribe(
    generation: Generation<TContext>,
    request: EngineRequest<TContext>,
  ): Promise<ResultStream | ExecutionResult> {
    const { executable, variables } = generation.prepare(
      request.document,
      request.operationName,
      request.variables ?? {},
    )
    const { subscription } = executable
    if (!subscription) {
      return {
        errors: [
          new GraphQLError('The operation is no subscription.', {
            extensions: { code: 'OPERATION_NOT_SUPPORTED' },
          }),
        ],
      }
    }
    const queued = this.#options.maxQueuedEvents ?? 1000
    const reader = new Subscriber(queued)
    try {
      const scope = this.#options.scope?.(request.context)
      const { common, isReplay, canBeginNow } = subscription.withoutReplay(variables)
      const open = (from: Readonly<Record<string, unknown>>): Promise<Running<TContext>> =>
        this.#open(
          generation,
          request,
          executable,
          from,
          isReplay && scope !== undefined && from === variables ? queued / 2 : 0,
        )
      if (scope === undefined) this.#follow(reader, await open(variables))
      else {
        const key = JSON.stringify([scope, subscription.identity, common])
        if (!isReplay) this.#follow(reader, await this.#join(key, () => open(common)))
        else {
          // The shared stream first: it has what comes from now on, the replay brings what was before.
          const shared = canBeginNow ? this.#join(key, () => open(common)) : this.#shared.get(key)
          const live = await shared
          const replay = await this.#joinReplay(JSON.stringify([key, variables]), () => open(variables))
          if (live && !live.stream.ended) new Replay(reader, replay.stream, live.stream)
          else this.#follow(reader, replay)
        }
      }
    } catch (error) {
      if (error instanceof NoStream) return error.result
      throw error
    }
    const { signal } = request
    if (signal) {
      const leave = (): void => void reader.return()
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
    }
    return reader
  }

  #follow(reader: Subscriber, { stream }: Running<TContext>): void {
    if (stream.ended) reader.end()
    else reader.onLeave(stream.join(reader))
  }

  #join(key: string, open: () => Promise<Running<TContext>>): Promise<Running<TContext>> {
    const known = this.#shared.get(key)
    if (known) return known
    const opening = open()
    this.#shared.set(key, opening)
    const forget = (): void => {
      if (this.#shared.get(key) === opening) this.#shared.delete(key)
    }
    opening.then((running) => running.stream.whenEnded.then(forget), forget)
    return opening
  }

  /** Many come back at once after a break, and were cut off at the same event: they go through the past together. */
  async #joinReplay(key: string, open: () => Promise<Running<TContext>>): Promise<Running<TContext>> {
    let current = this.#replays.get(key)
    while (current) {
      const known = await current.catch(() => undefined)
      if (known?.stream.isWhole) return known
      // Of all who waited for one that is of no use any more, the first opens another.
      const next = this.#replays.get(key)
      if (next === current) break
      current = next
    }
    const opening = open()
    this.#replays.set(key, opening)
    const forget = (): void => {
      if (this.#replays.get(key) === opening) this.#replays.delete(key)
    }
    opening.then((running) => running.stream.whenEnded.then(forget), forget)
    return opening
  }

  async #open(
    generation: Generation<TContext>,
    request: EngineRequest<TContext>,
    executable: Executable<TContext>,
    variables: Readonly<Record<string, unknown>>,
    remember: number,
  ): Promise<Running<TContext>> {
    const { source, context } = await this.#connect(generation, request, executable, variables)
    generation.enter()
    const running: Running<TContext> = {
      request,
      executable,
      variables,
      generation,
      context,
      stream: new EventStream(
        source,
        this.#evaluation(request, executable, variables, context),
        (error) => lost(running.executable, this.#run(request, running.variables), error),
        remember,
      ),
    }
    this.#running.add(running)
    void running.stream.whenEnded.then(() => {
      this.#running.delete(running)
      running.generation.leave()
    })
    return running
  }

  /** @throws NoStream with what the client is to be told. */
  async #connect(
    generation: Generation<TContext>,
    request: EngineRequest<TContext>,
    executable: Executable<TContext>,
    variables: Readonly<Record<string, unknown>>,
  ): Promise<{ source: Source; context: TContext }> {
    const fetch = executable.subscription?.fetch
    if (!fetch) throw new Error('not a subscription')
    const run = this.#run(request, variables)
    let source: Source | SubgraphResponse
    try {
      const link = generation.links.get(fetch.subgraph)
      if (!link) throw new SubgraphFailure('unreachable')
      source = await link.transport.subscribe(requestOf(fetch, run))
    } catch (error) {
      throw new NoStream(lost(executable, run, error))
    }
    if (Symbol.asyncIterator in source) return { source, context: run.context }
    if (!source.errors?.length) throw new NoStream(lost(executable, run, new SubgraphFailure('malformed')))
    takeRoot(fetch, run, source, [run.data])
    throw new NoStream({ errors: executable.finish(run).errors ?? [] })
  }

  #run(request: EngineRequest<TContext>, variables: Readonly<Record<string, unknown>>): Run<TContext> {
    const { context } = request
    return {
      data: {},
      errors: [],
      explanations: new Explanations(),
      variables,
      context: this.#options.eventContext ? this.#options.eventContext(context) : context,
      // A stream belongs to all its readers: none of them leaving may abort it.
      signal: undefined,
    }
  }

  #evaluation(
    request: EngineRequest<TContext>,
    executable: Executable<TContext>,
    variables: Readonly<Record<string, unknown>>,
    context: TContext,
  ): Evaluate<SubgraphResponse> {
    const { subscription } = executable
    if (!subscription) throw new Error('not a subscription')
    const { eventNotes } = this.#options
    return async (response) => {
      // At once: the next event is asked for while this one is evaluated, and read in the same context.
      const taken = eventNotes?.take(context)
      if (response.data === undefined && response.errors?.length) {
        // No event: what a remote subgraph says of a stream that could not begin (GraphQL October 2021, 6.2.3.1).
        const { subgraph, surroundings } = subscription.fetch
        const errors = response.errors.map((error) =>
          subgraphError(error, subgraph, undefined, surroundings.formatError),
        )
        return { result: { errors }, cursor: undefined }
      }
      const run = this.#run(request, variables)
      takeRoot(subscription.fetch, run, response, [run.data])
      const root = get(run.data, subscription.rootKey)
      const cursor = isObject(root) ? get(root, eventCursorKey) : undefined
      await executable.step?.(run)
      const result = executable.finish(run)
      const extensions = eventNotes?.extensions([taken, eventNotes.take(run.context)]) ?? {}
      return {
        result: Object.keys(extensions).length > 0 ? { ...result, extensions } : result,
        cursor: typeof cursor === 'string' || typeof cursor === 'number' ? String(cursor) : undefined,
      }
    }
  }

  /**
   * Goes over to another supergraph. What is still valid goes on: with the same upstream stream where that is asked
   * for in the same words, with a new one otherwise. What is not is ended with a reason.
   */
  async changeTo(next: Generation<TContext>): Promise<void> {
    for (const running of [...this.#running]) {
      try {
        await this.#change(running, next)
      } catch (error) {
        running.stream.finish(error instanceof NoStream ? error.result : outdated)
      }
    }
  }

  async #change(running: Running<TContext>, next: Generation<TContext>): Promise<void> {
    const { request, executable: before, generation: previous } = running
    if (!next.isValid(request.document, request.operationName)) return running.stream.finish(outdated)
    const { executable, variables } = next.prepare(
      request.document,
      request.operationName,
      request.variables ?? {},
    )
    const [from, to] = [before.subscription?.fetch, executable.subscription?.fetch]
    if (!from || !to) return running.stream.finish(outdated)
    const sameStream =
      from.query === to.query &&
      from.subgraph === to.subgraph &&
      previous.links.get(from.subgraph)?.transport === next.links.get(to.subgraph)?.transport
    if (sameStream) {
      running.stream.evaluateBy(this.#evaluation(request, executable, variables, running.context))
    } else {
      const { source, context } = await this.#connect(next, request, executable, variables)
      running.stream.continueWith(source, this.#evaluation(request, executable, variables, context))
      running.context = context
    }
    if (running.stream.ended) return
    next.enter()
    previous.leave()
    Object.assign(running, { executable, variables, generation: next })
  }

  /** Ends all, with a reason if one is given. */
  finish(last?: ExecutionResult): void {
    for (const running of [...this.#running]) running.stream.finish(last)
  }
}

const outdated: ExecutionResult = {
  errors: [
    new GraphQLError('The subscription is not valid any more: the graph has changed.', {
      extensions: { code: 'SUBSCRIPTION_OUTDATED' },
    }),
  ],
}

/** The stream is lost, or was never there. */
function lost<TContext>(
  executable: Executable<TContext>,
  run: Run<TContext>,
  error: unknown,
): ExecutionResult {
  if (executable.subscription) failFetch(executable.subscription.fetch, run, error, [run.data])
  return { errors: run.errors }
}
