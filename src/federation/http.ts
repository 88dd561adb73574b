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
  /**
   * Lets identical queries under way share one call: same headers, same body. Default true. Mutations never do.
   * Headers that differ for each request, such as a trace id, leave nothing to share: name the caller here then.
   */
  readonly deduplicate?: boolean | ((context: TContext) => string | undefined)
  /** Connections to the subgraph. Default 64. */
  readonly connections?: number
  /** Answers above this are refused. Default 64 MiB. */
  readonly maxResponseBytes?: number
}

/** Posts text over pooled connections, and gets text back. */
export function rawClient(
  options: Pick<HttpTransportOptions<never>, 'url' | 'connections' | 'maxResponseBytes'>,
) {
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
  return {
    post(
      headers: Record<string, string>,
      body: string,
      signal: AbortSignal | undefined,
    ): Promise<RawResponse> {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        pool.dispatch(
          { path, method: 'POST', headers, body },
          new ResponseReader(signal, maxBytes, resolve, reject),
        )
      })
    },
    close: () => pool.close(),
  }
}

export function httpTransport<TContext>(
  options: HttpTransportOptions<TContext>,
): SubgraphTransport<TContext> {
  const { post, close } = rawClient(options)
  let subscriptions: SubscriptionClient | undefined
  const deduplicate = options.deduplicate ?? true
  const underWay = new Map<string, SharedCall>()

  return {
    async execute(request) {
      const headers: Record<string, string> = {
        ...options.headers?.(request.context),
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json;q=0.9',
      }
      const body = bodyOf(request)
      const { signal } = request
      if (!deduplicate || request.operationKind !== 'query')
        return parseResponse(await post(headers, body, signal))
      const caller = deduplicate === true ? JSON.stringify(headers) : deduplicate(request.context)
      if (caller === undefined) return parseResponse(await post(headers, body, signal))
      const key = `${caller}\n${body}`
      let call = underWay.get(key)
      if (!call) {
        call = new SharedCall((ownSignal) => post(headers, body, ownSignal))
        underWay.set(key, call)
        call.whenOver(() => underWay.delete(key))
      }
      // Each parses for itself: the engine writes into what it gets.
      return parseResponse(await call.join(signal))
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
      await close()
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

interface RawResponse {
  readonly status: number
  readonly text: string
}

/** A call that several wait for; it is given up when all of them have. */
class SharedCall {
  readonly #controller = new AbortController()
  readonly #response: Promise<RawResponse>
  #waiting = 0

  constructor(post: (signal: AbortSignal) => Promise<RawResponse>) {
    this.#response = post(this.#controller.signal)
  }

  whenOver(forget: () => void): void {
    this.#response.then(forget, forget)
    this.#controller.signal.addEventListener('abort', forget)
  }

  join(signal: AbortSignal | undefined): Promise<RawResponse> {
    this.#waiting++
    if (!signal) return this.#response
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting--
        if (this.#waiting === 0) this.#controller.abort(signal.reason)
        reject(signal.reason)
      }
      if (signal.aborted) return leave()
      signal.addEventListener('abort', leave, { once: true })
      const settle = (): void => signal.removeEventListener('abort', leave)
      this.#response.then(
        (response) => {
          settle()
          resolve(response)
        },
        (error) => {
          settle()
          reject(error)
        },
      )
    })
  }
}

/** Collects one answer. A class, as undici wants an object with these methods, one for each request. */
class ResponseReader implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal | undefined
  readonly #maxBytes: number
  readonly #resolve: (response: RawResponse) => void
  readonly #reject: (reason: unknown) => void
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #status = 0
  #controller: Dispatcher.DispatchController | undefined

  constructor(
    signal: AbortSignal | undefined,
    maxBytes: number,
    resolve: (response: RawResponse) => void,
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
    const chunks = this.#chunks
    const [first] = chunks
    const whole = chunks.length === 1 && first ? first : Buffer.concat(chunks)
    this.#resolve({ status: this.#status, text: whole.toString() })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle()
    this.#reject(new SubgraphFailure('unreachable', { cause: error }))
  }
}

/** A GraphQL answer counts whatever its status; anything else only says whether the server refused or babbled. */
function parseResponse({ status, text }: RawResponse): SubgraphResponse {
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
