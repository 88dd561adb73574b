/** A subscription that brings what a test says, for tests of the transports that carry it. */
import { buildSchema, type ExecutionResult, type GraphQLError, parse } from 'graphql'
import { EventStream, Subscriber } from '../../src/federation/event-stream.ts'
import type { Operations } from '../../src/gateway/operations.ts'

/** Results that may wait for one subscriber. */
export const LIMIT = 20

export interface Feed {
  /** What every subscription brings: all get the same objects, as those do who share a stream of the engine. */
  results: readonly ExecutionResult[]
  /** Asked before each result. */
  before: (at: number) => Promise<void>
  /** Subscribers who went, were cut off, or have no more to wait for. */
  left: number
  readonly operations: Operations
}

export function createFeed(): Feed {
  const schema = buildSchema(
    'type Query { nothing: String } type Mutation { nothing: String } type Subscription { text: String }',
  )
  async function* stream(): AsyncGenerator<ExecutionResult> {
    for (const [at, result] of feed.results.entries()) {
      await feed.before(at)
      yield result
    }
  }
  const feed: Feed = {
    results: [],
    before: async () => {},
    left: 0,
    operations: {
      prepare: ({ query }) => ({
        schema,
        document: parse(String(query)),
        contextValue: { context: {}, end: new AbortController() },
      }),
      execute: async () => ({ data: { nothing: null } }),
      async subscribe() {
        const reader = new Subscriber(LIMIT)
        const evaluate = async (result: ExecutionResult) => ({ result, cursor: undefined })
        const shared = new EventStream(stream(), evaluate, (error) => ({ errors: [error as GraphQLError] }))
        const leave = shared.join(reader)
        reader.onLeave(() => {
          feed.left++
          leave()
        })
        return reader
      },
    },
  }
  return feed
}
