/** What the engine needs to reach one subgraph. The two implementations are in-process and HTTP. */
import type { DocumentNode, GraphQLFormattedError } from 'graphql'

/** One operation for one subgraph, as the plan has it. */
export interface SubgraphRequest<TContext = unknown> {
  readonly document: DocumentNode
  /** The same document as text: printed once when the plan was compiled. */
  readonly query: string
  readonly operationName?: string | undefined
  /** What the operation does. Only queries may be repeated or shared. */
  readonly operationKind: 'query' | 'mutation' | 'subscription'
  readonly variables?: Readonly<Record<string, unknown>> | undefined
  /** `variables` as JSON text: representations were serialised when they were deduplicated. */
  readonly variablesJson?: string | undefined
  /** Whatever the host put into the request: who is asking, loaders, headers. The engine never looks inside. */
  readonly context: TContext
  /**
   * For transports that get bytes of JSON: the answer made of them, quicker than by `JSON.parse`, or undefined where that
   * is to be asked.
   */
  readonly read?: ((bytes: Buffer) => SubgraphResponse | undefined) | undefined
  /** When the client has left or the time for this subgraph is over. */
  readonly signal?: CallSignal | undefined
}

/** Wants to know when nobody waits any more. */
export interface Cancellable {
  onCancel(reason: unknown): void
}

/** What an `AbortSignal` is, at a tenth of its price: every call to a subgraph has one. */
export class CallSignal {
  cancelled = false
  reason: unknown
  // Mostly it is one who waits.
  #first: Cancellable | undefined
  #others: Set<Cancellable> | undefined

  cancel(reason: unknown): void {
    if (this.cancelled) return
    this.cancelled = true
    this.reason = reason
    const first = this.#first
    const others = this.#others
    this.#first = undefined
    this.#others = undefined
    first?.onCancel(reason)
    for (const one of others ?? []) one.onCancel(reason)
  }

  on(one: Cancellable): void {
    if (this.#first === undefined) this.#first = one
    else {
      this.#others ??= new Set()
      this.#others.add(one)
    }
  }

  off(one: Cancellable): void {
    if (this.#first === one) this.#first = undefined
    else this.#others?.delete(one)
  }

  throwIfCancelled(): void {
    if (this.cancelled) throw this.reason
  }
}

/** The engine takes `data` over and writes into it: nobody else may hold on to its objects. */
export interface SubgraphResponse {
  readonly data?: Record<string, unknown> | null
  readonly errors?: readonly GraphQLFormattedError[]
  readonly extensions?: Record<string, unknown>
}

export interface SubgraphTransport<TContext = unknown> {
  /** @throws SubgraphFailure when there is no GraphQL answer at all. */
  execute(request: SubgraphRequest<TContext>): Promise<SubgraphResponse>
  /** Ends when the source ends; the consumer's `return()` closes the upstream stream. */
  subscribe(
    request: SubgraphRequest<TContext>,
  ): Promise<AsyncIterableIterator<SubgraphResponse> | SubgraphResponse>
  close?(): Promise<void>
}

/** Why a subgraph gave no answer. For operators the cause; clients see only the reason. */
export type SubgraphFailureReason = 'unreachable' | 'timeout' | 'status' | 'malformed'

export class SubgraphFailure extends Error {
  readonly reason: SubgraphFailureReason
  /** HTTP status where there was one. */
  readonly status: number | undefined
  constructor(reason: SubgraphFailureReason, options: { cause?: unknown; status?: number } = {}) {
    super(`subgraph gave no answer (${reason})`, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'SubgraphFailure'
    this.reason = reason
    this.status = options.status
  }
}
