/** All subscriptions to one remote subgraph, multiplexed over one `graphql-transport-ws` connection. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { responseFrom } from './response.ts'
import { SubgraphFailure, type SubgraphResponse } from './transport.ts'

export interface SubscriptionPayload {
  readonly query: string
  readonly operationName: string | undefined
  readonly variables: Readonly<Record<string, unknown>> | undefined
  readonly headers: Readonly<Record<string, string>> | undefined
}

export interface SubscriptionClient {
  /**
   * @returns When there is a connection. What the subgraph answers to the subscribe message may come as the first and
   * only response: errors, and no data.
   * @throws SubgraphFailure where no connection can be had.
   */
  subscribe(payload: SubscriptionPayload): Promise<AsyncIterableIterator<SubgraphResponse>>
  close(): Promise<void>
}

/** Who asks while a lost connection is being made again waits no longer than this. */
const connectMs = 10_000

export function subscriptionClient(url: string): SubscriptionClient {
  const address = new URL(url)
  address.protocol = address.protocol.replace('http', 'ws')
  let isConnected = false
  /** Subscriptions that have had a connection. */
  let begun = 0
  const client: Client = createClient({
    url: address.href,
    webSocketImpl: WebSocket,
    // The connection lives while there are subscriptions, and a moment longer.
    lazy: true,
    lazyCloseTimeout: 5_000,
    keepAlive: 15_000,
    on: {
      connected: () => {
        isConnected = true
      },
      closed: () => {
        isConnected = false
      },
    },
    // Lost connections come back and subscribe again. Only the server's explicit refusal is final, and where nobody has
    // had a connection yet: those who ask are better told.
    retryAttempts: 10,
    retryWait: (retries) => sleep(Math.min(100 * 2 ** retries, 10_000) * (0.5 + Math.random())),
    shouldRetry: () => begun > 0,
  })

  /** @param first Rejects where no connection can be had. */
  const connected = async (first: Promise<unknown>): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const stopListening = client.on('connected', () => resolve())
    first.then(
      () => resolve(),
      (cause) => reject(new SubgraphFailure('unreachable', { cause })),
    )
    const timer = setTimeout(() => reject(new SubgraphFailure('timeout')), connectMs)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      stopListening()
    }
  }

  return {
    async subscribe({ query, operationName, variables, headers }) {
      const source = client.iterate<Record<string, unknown>>({
        query,
        ...(operationName === undefined ? {} : { operationName }),
        ...(variables ? { variables: { ...variables } } : {}),
        ...(headers ? { extensions: { headers } } : {}),
      })
      // It asks for a connection now, and goes wrong where there is none.
      let first: Promise<IteratorResult<unknown>> | undefined = source.next()
      first.catch(() => {})
      if (!isConnected) {
        try {
          await connected(first)
        } catch (error) {
          await source.return?.()
          throw error
        }
      }
      begun++
      let over = false
      const finish = (): void => {
        if (!over) begun--
        over = true
      }
      const end: IteratorReturnResult<undefined> = { done: true, value: undefined }
      const next = async (): Promise<IteratorResult<SubgraphResponse>> => {
        if (over) return end
        try {
          const coming = first ?? source.next()
          first = undefined
          const { done, value } = await coming
          if (done) finish()
          if (done) return end
          const response = responseFrom(value)
          if (!response) {
            finish()
            await source.return?.()
            throw new SubgraphFailure('malformed')
          }
          return { done: false, value: response }
        } catch (error) {
          finish()
          if (error instanceof SubgraphFailure) throw error
          // graphql-ws throws the `error` message's GraphQL errors as an array, everything else as events.
          const refusal = Array.isArray(error) && responseFrom({ errors: error })
          if (refusal) return { done: false, value: refusal }
          throw new SubgraphFailure('unreachable', { cause: error })
        }
      }
      const responses: AsyncIterableIterator<SubgraphResponse> = {
        next,
        async return() {
          finish()
          await source.return?.()
          return end
        },
        async throw(error) {
          finish()
          await source.return?.()
          throw error
        },
        [Symbol.asyncIterator]() {
          return this
        },
      }
      return responses
    },
    async close() {
      await client.dispose()
    },
  }
}
