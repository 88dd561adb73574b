/** All subscriptions to one remote subgraph, multiplexed over one `graphql-transport-ws` connection. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { GraphQLFormattedError } from 'graphql'
import { type Client, createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { SubgraphFailure, type SubgraphResponse } from './transport.ts'

export interface SubscriptionPayload {
  readonly query: string
  readonly operationName: string | undefined
  readonly variables: Readonly<Record<string, unknown>> | undefined
  readonly headers: Readonly<Record<string, string>> | undefined
}

export interface SubscriptionClient {
  subscribe(payload: SubscriptionPayload): AsyncIterableIterator<SubgraphResponse>
  close(): Promise<void>
}

export function subscriptionClient(url: string): SubscriptionClient {
  const address = new URL(url)
  address.protocol = address.protocol.replace('http', 'ws')
  const client: Client = createClient({
    url: address.href,
    webSocketImpl: WebSocket,
    // The connection lives while there are subscriptions, and a moment longer.
    lazy: true,
    lazyCloseTimeout: 5_000,
    keepAlive: 15_000,
    // Lost connections come back and subscribe again. Only the server's explicit refusal is final.
    retryAttempts: 10,
    retryWait: (retries) => sleep(Math.min(100 * 2 ** retries, 10_000) * (0.5 + Math.random())),
    shouldRetry: () => true,
  })

  return {
    subscribe({ query, operationName, variables, headers }) {
      const source = client.iterate<Record<string, unknown>>({
        query,
        ...(operationName === undefined ? {} : { operationName }),
        ...(variables ? { variables: { ...variables } } : {}),
        ...(headers ? { extensions: { headers } } : {}),
      })
      let over = false
      const end: IteratorReturnResult<undefined> = { done: true, value: undefined }
      const next = async (): Promise<IteratorResult<SubgraphResponse>> => {
        if (over) return end
        try {
          const { done, value } = await source.next()
          if (done) over = true
          return done ? end : { done: false, value: value as SubgraphResponse }
        } catch (error) {
          over = true
          // graphql-ws throws the `error` message's GraphQL errors as an array, everything else as events.
          if (Array.isArray(error))
            return { done: false, value: { errors: error as GraphQLFormattedError[] } }
          throw new SubgraphFailure('unreachable', { cause: error })
        }
      }
      return {
        next,
        async return() {
          over = true
          await source.return?.()
          return end
        },
        async throw(error) {
          over = true
          await source.return?.()
          throw error
        },
        [Symbol.asyncIterator]() {
          return this
        },
      }
    },
    async close() {
      await client.dispose()
    },
  }
}
