/** What the engine needs to reach one subgraph. The two implementations are in-process and HTTP. */
import type { DocumentNode, GraphQLFormattedError } from 'graphql'

/** One operation for one subgraph, as the plan has it. */
export interface SubgraphRequest<TContext = unknown> {
  readonly document: DocumentNode
  /** The same document as text: printed once when the plan was compiled. */
  readonly query: string
  readonly operationName?: string | undefined
  readonly variables?: Readonly<Record<string, unknown>> | undefined
  /** Whatever the host put into the request: who is asking, loaders, headers. The engine never looks inside. */
  readonly context: TContext
  /** Aborted when the client has left or the time for this subgraph is over. */
  readonly signal?: AbortSignal | undefined
}

export interface SubgraphResponse {
  readonly data?: Record<string, unknown> | null
  readonly errors?: readonly GraphQLFormattedError[]
  readonly extensions?: Record<string, unknown>
}

export interface SubgraphTransport<TContext = unknown> {
  execute(request: SubgraphRequest<TContext>): Promise<SubgraphResponse>
  /** Ends when the source ends; the consumer's `return()` closes the upstream stream. */
  subscribe(request: SubgraphRequest<TContext>): Promise<AsyncIterableIterator<SubgraphResponse> | SubgraphResponse>
  close?(): Promise<void>
}
