/**
 * A subgraph behind HTTP: pooled keep-alive connections for queries and mutations, and one `graphql-transport-ws`
 * connection for all subscriptions.
 *
 * @see GraphQL over HTTP, draft: https://graphql.github.io/graphql-over-http/draft/
 */
import { type HttpAnswer, type HttpClientOptions, httpClient } from './http-client.ts'
import { type SubscriptionClient, subscriptionClient } from './remote-subscriptions.ts'
import { responseFrom } from './response.ts'
import {
  CallSignal,
  SubgraphFailure,
  type SubgraphRequest,
  type SubgraphResponse,
  type SubgraphTransport,
} from './transport.ts'

export interface HttpTransportOptions<TContext> extends HttpClientOptions {
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
}

export function httpTransport<TContext>(
  options: HttpTransportOptions<TContext>,
): SubgraphTransport<TContext> {
  const client = httpClient(options)
  let subscriptions: SubscriptionClient | undefined
  const deduplicate = options.deduplicate ?? true
  const underWay = new Map<string, SharedCall>()

  return {
    execute(request) {
      const headers = options.headers ? { ...options.headers(request.context), ...ownHeaders } : ownHeaders
      const body = bodyOf(request)
      const { signal } = request
      const take = (answer: HttpAnswer): SubgraphResponse => responseOf(request, answer)
      const alone = (): Promise<SubgraphResponse> => client.post(headers, body, signal).then(take)
      if (!deduplicate || request.operationKind !== 'query') return alone()
      const caller = deduplicate === true ? JSON.stringify(headers) : deduplicate(request.context)
      if (caller === undefined) return alone()
      const key = `${caller}\n${body}`
      let call = underWay.get(key)
      if (!call) {
        call = new SharedCall(
          (own) => client.post(headers, body, own),
          () => underWay.delete(key),
        )
        underWay.set(key, call)
      }
      // Each parses for itself: the engine writes into what it gets.
      return call.join(signal).then(take)
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
      await client.close()
    },
  }
}

const ownHeaders = {
  'content-type': 'application/json',
  accept: 'application/graphql-response+json, application/json;q=0.9',
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

/** A call that several wait for; it is given up when all of them have. */
class SharedCall {
  readonly #signal = new CallSignal()
  readonly #answer: Promise<HttpAnswer>
  #waiting = 0

  constructor(post: (signal: CallSignal) => Promise<HttpAnswer>, forget: () => void) {
    this.#answer = post(this.#signal)
    this.#answer.then(forget, forget)
    this.#signal.on({ onCancel: forget })
  }

  join(signal: CallSignal | undefined): Promise<HttpAnswer> {
    this.#waiting++
    if (!signal) return this.#answer
    return new Promise((resolve, reject) => {
      const waiter = {
        onCancel: (reason: unknown): void => {
          this.#waiting--
          if (this.#waiting === 0) this.#signal.cancel(reason)
          reject(reason)
        },
      }
      if (signal.cancelled) return waiter.onCancel(signal.reason)
      signal.on(waiter)
      const settle = (): void => signal.off(waiter)
      this.#answer.then(
        (answer) => {
          settle()
          resolve(answer)
        },
        (error) => {
          settle()
          reject(error)
        },
      )
    })
  }
}

/** A GraphQL answer counts whatever its status; anything else only says whether the server refused or babbled. */
function responseOf(request: SubgraphRequest, { status, bytes }: HttpAnswer): SubgraphResponse {
  let body: unknown = request.read?.(bytes)
  try {
    body ??= JSON.parse(bytes.toString())
  } catch (cause) {
    throw new SubgraphFailure(status >= 200 && status < 300 ? 'malformed' : 'status', { cause, status })
  }
  const response = responseFrom(body)
  if (!response) throw new SubgraphFailure(status >= 200 && status < 300 ? 'malformed' : 'status', { status })
  return response
}
