/**
 * A subgraph behind HTTP: pooled keep-alive connections for queries and mutations, and one `graphql-transport-ws`
 * connection for all subscriptions.
 *
 * @see GraphQL over HTTP, draft: https://graphql.github.io/graphql-over-http/draft/
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { isObject } from './property.ts'
import { type SubscriptionClient, subscriptionClient } from './remote-subscriptions.ts'
import {
  SubgraphFailure,
  type SubgraphRequest,
  type SubgraphResponse,
  type SubgraphTransport,
} from './transport.ts'

export interface HttpTransportOptions<TContext> {
  readonly url: string
  /** Where subscriptions go; the same place under `ws:` or `wss:` when not given. */
  readonly subscriptionUrl?: string
  /**
   * Headers of one request, such as the signed caller and what the host forwards. Over WebSocket, where one
   * connection serves all callers, they are sent as `extensions.headers` of each subscription.
   */
  readonly headers?: (context: TContext) => Readonly<Record<string, string>>
  /** Connections to the subgraph. Default 64. */
  readonly connections?: number
  /** Answers above this are refused. Default 64 MiB. */
  readonly maxResponseBytes?: number
}

export function httpTransport<TContext>(
  options: HttpTransportOptions<TContext>,
): SubgraphTransport<TContext> {
  const url = new URL(options.url)
  const path = url.pathname + url.search
  const pool = new Pool(url.origin, {
    connections: options.connections ?? 64,
    // Timeouts are the engine's, per subgraph; a second clock here would only disagree.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
  })
  const maxBytes = options.maxResponseBytes ?? 64 * 1024 * 1024
  let subscriptions: SubscriptionClient | undefined

  return {
    execute(request) {
      const headers: Record<string, string> = {
        ...options.headers?.(request.context),
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json;q=0.9',
      }
      return new Promise((resolve, reject) => {
        const { signal } = request
        if (signal?.aborted) return reject(signal.reason)
        pool.dispatch(
          { path, method: 'POST', headers, body: bodyOf(request) },
          new ResponseReader(signal, maxBytes, resolve, reject),
        )
      })
    },
    async subscribe(request) {
      subscriptions ??= subscriptionClient(options.subscriptionUrl ?? options.url)
      return subscriptions.subscribe({
        query: request.query,
        operationName: request.operationName,
        variables: request.variables,
        headers: options.headers?.(request.context),
      })
    },
    async close() {
      await subscriptions?.close()
      await pool.close()
    },
  }
}

function bodyOf(request: SubgraphRequest): string {
  const variables = request.variablesJson ?? JSON.stringify(request.variables ?? {})
  const name = request.operationName === undefined ? '' : `,"operationName":"${request.operationName}"`
  return `{"query":${quoted(request.query)}${name},"variables":${variables}}`
}

/** Plans have few distinct queries and send each of them often. */
const quotedQueries = new Map<string, string>()
function quoted(query: string): string {
  let text = quotedQueries.get(query)
  if (text === undefined) {
    if (quotedQueries.size >= 10_000) quotedQueries.clear()
    text = JSON.stringify(query)
    quotedQueries.set(query, text)
  }
  return text
}

/** Collects one answer. A class, as undici wants an object with these methods, one for each request. */
class ResponseReader implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal | undefined
  readonly #maxBytes: number
  readonly #resolve: (response: SubgraphResponse) => void
  readonly #reject: (reason: unknown) => void
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #status = 0
  #controller: Dispatcher.DispatchController | undefined

  constructor(
    signal: AbortSignal | undefined,
    maxBytes: number,
    resolve: (response: SubgraphResponse) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#signal = signal
    this.#maxBytes = maxBytes
    this.#resolve = resolve
    this.#reject = reject
    signal?.addEventListener('abort', this.#abort)
  }

  readonly #abort = (): void => {
    this.#settle()
    // Before the request has a connection there is nothing to abort: it is dropped when it gets one.
    this.#controller?.abort(new Error('aborted'))
    this.#reject(this.#signal?.reason)
  }

  #settle(): void {
    this.#signal?.removeEventListener('abort', this.#abort)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#signal?.aborted) controller.abort(new Error('aborted'))
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    _headers: IncomingHttpHeaders,
  ): void {
    this.#status = status
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes > this.#maxBytes) controller.abort(new Error('answer too large'))
    else this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.#settle()
    try {
      this.#resolve(parseResponse(this.#status, this.#chunks))
    } catch (error) {
      this.#reject(error)
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle()
    this.#reject(new SubgraphFailure('unreachable', { cause: error }))
  }
}

/** A GraphQL answer counts whatever its status; anything else only says whether the server refused or babbled. */
function parseResponse(status: number, chunks: readonly Buffer[]): SubgraphResponse {
  const [first] = chunks
  const text = (chunks.length === 1 && first ? first : Buffer.concat(chunks)).toString()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (cause) {
    throw new SubgraphFailure(status >= 200 && status < 300 ? 'malformed' : 'status', { cause, status })
  }
  if (!isObject(body) || !('data' in body || Array.isArray(body.errors))) {
    throw new SubgraphFailure(status >= 200 && status < 300 ? 'malformed' : 'status', { status })
  }
  return body as SubgraphResponse
}
