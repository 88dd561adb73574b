import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildSchema, type ExecutionResult, type GraphQLError, parse } from 'graphql'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { EventStream, Subscriber } from '../../src/federation/event-stream.ts'
import { type Listening, serveWebSocket } from '../../src/gateway/websocket.ts'

const schema = buildSchema('type Query { nothing: String } type Subscription { text: String }')

/** One stream for all who subscribe: they get the same objects, as those do who share a stream of the engine. */
let results: readonly ExecutionResult[] = []
/** Asked before each result. */
let before: (at: number) => Promise<void> = async () => {}
let left = 0

async function* stream(): AsyncGenerator<ExecutionResult> {
  try {
    for (const [at, result] of results.entries()) {
      await before(at)
      yield result
    }
  } finally {
    left++
  }
}

/** Results that may wait for one subscriber. */
const LIMIT = 20

function subscribe(): Subscriber {
  const reader = new Subscriber(LIMIT)
  const evaluate = async (result: ExecutionResult) => ({ result, cursor: undefined })
  const shared = new EventStream(stream(), evaluate, (error) => ({ errors: [error as GraphQLError] }))
  reader.onLeave(shared.join(reader))
  return reader
}

describe('a subscription over WebSocket', () => {
  const server = createServer()
  let listening: Listening
  let url = ''
  beforeAll(async () => {
    listening = serveWebSocket(server, {
      path: '/graphql',
      maxMessageBytes: 1_000_000,
      authenticate: () => gatewayCaller,
      operations: {
        prepare: ({ query }) => ({
          schema,
          document: parse(String(query)),
          contextValue: { context: {}, end: new AbortController() },
        }),
        execute: async () => ({ data: { nothing: null } }),
        subscribe: async () => subscribe(),
      },
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`
  })
  afterAll(async () => {
    await listening.close()
    server.close()
  })

  const client = () => createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0 })

  it('has its results whole, short and long, in any script, and an answer between them', async () => {
    // Around the lengths at which a frame changes its form; and letters of one to four bytes.
    const lengths = [0, 1, 40, 60, 70, 80, 100, 125, 126, 127, 1_000, 65_400, 65_480, 65_535, 65_536, 300_000]
    const texts = [...lengths.map((length) => 'x'.repeat(length)), '上海晨光', 'é😀"\\\n'.repeat(9_000)]
    results = texts.map((text) => ({ data: { text } }))
    const one = client()
    before = async (at) => {
      // The library's own messages go between ours.
      if (at === 5) for await (const _ of one.iterate({ query: '{ nothing }' })) break
    }
    const got: unknown[] = []
    for await (const { data } of one.iterate({ query: 'subscription { text }' })) got.push(data?.text)
    expect(got).toEqual(texts)
    before = async () => {}
    await one.dispose()
  })

  it('ends when its client leaves it, and others who share its results go on', async () => {
    results = Array.from({ length: 50 }, (_, at) => ({ data: { text: `result ${at}` } }))
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>()
    before = (at) => (at < 10 ? Promise.resolve() : gone)
    const [one, other] = [client(), client()]
    const whole = (async () => {
      const got: unknown[] = []
      for await (const { data } of other.iterate({ query: 'subscription { text }' })) got.push(data?.text)
      return got
    })()
    const count = left
    for await (const { data } of one.iterate({ query: 'subscription { text }' }))
      if (data?.text === 'result 9') break
    await one.dispose()
    leave()
    expect(await whole).toEqual(results.map(({ data }) => data?.text))
    await expect.poll(() => left).toBe(count + 2)
    before = async () => {}
    await other.dispose()
  })

  it('cuts off a client that does not read, instead of holding everything for it, and tells it why', async () => {
    const text = 'x'.repeat(100_000)
    results = Array.from({ length: 2_000 }, (_, at) => ({ data: { text: `${at} ${text}` } }))
    // Lets the socket have its turn.
    before = () => new Promise((resolve) => setImmediate(resolve))
    const socket = new WebSocket(url, 'graphql-transport-ws')
    await new Promise((resolve) => socket.once('open', resolve))
    socket.send('{"type":"connection_init"}')
    await new Promise((resolve) => socket.once('message', resolve))
    const count = left
    socket.send('{"id":"1","type":"subscribe","payload":{"query":"subscription { text }"}}')
    socket.pause()
    await expect.poll(() => left, { timeout: 15_000 }).toBe(count + 1)
    const messages: { type: string; payload?: ExecutionResult }[] = []
    const over = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        const message = JSON.parse(String(data))
        messages.push(message)
        if (message.type === 'complete') resolve()
      })
    })
    socket.resume()
    await over
    const last = messages.at(-2)?.payload
    expect(last?.errors).toMatchObject([{ extensions: { code: 'SUBSCRIBER_TOO_SLOW' } }])
    // Beside what the operating system took for both sides.
    const whole = messages.slice(0, -2)
    expect(whole.length).toBeGreaterThan(LIMIT)
    expect(whole.length).toBeLessThan(500)
    expect(whole.map(({ payload }) => Number.parseInt(String(payload?.data?.text), 10))).toEqual(
      whole.map((_, at) => at),
    )
    before = async () => {}
    socket.terminate()
  })

  it('says what it has to say to one connection in order, however many operations share it', async () => {
    results = Array.from({ length: 200 }, (_, at) => ({ data: { text: `result ${at}` } }))
    before = async (at) => {
      if (at % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const one = client()
    const all = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const got: unknown[] = []
        for await (const { data } of one.iterate({ query: 'subscription { text }' })) got.push(data?.text)
        return got
      }),
    )
    for (const got of all) expect(got).toEqual(results.map(({ data }) => data?.text))
    before = async () => {}
    await one.dispose()
  })
})
