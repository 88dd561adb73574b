import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ExecutionResult } from 'graphql'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { type Listening, serveWebSocket } from '../../src/gateway/websocket.ts'
import { createFeed, LIMIT } from './feed.ts'

const feed = createFeed()

describe('a subscription over WebSocket', () => {
  const server = createServer()
  let listening: Listening
  let url = ''
  beforeAll(async () => {
    listening = serveWebSocket(server, {
      path: '/graphql',
      maxMessageBytes: 1_000_000,
      authenticate: () => gatewayCaller,
      operations: feed.operations,
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
    feed.results = texts.map((text) => ({ data: { text } }))
    const one = client()
    feed.before = async (at) => {
      // The library's own messages go between ours.
      if (at === 5) for await (const _ of one.iterate({ query: '{ nothing }' })) break
    }
    const got: unknown[] = []
    for await (const { data } of one.iterate({ query: 'subscription { text }' })) got.push(data?.text)
    expect(got).toEqual(texts)
    feed.before = async () => {}
    await one.dispose()
  })

  it('ends when its client leaves it, and others who share its results go on', async () => {
    feed.results = Array.from({ length: 50 }, (_, at) => ({ data: { text: `result ${at}` } }))
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>()
    feed.before = (at) => (at < 10 ? Promise.resolve() : gone)
    const [one, other] = [client(), client()]
    const whole = (async () => {
      const got: unknown[] = []
      for await (const { data } of other.iterate({ query: 'subscription { text }' })) got.push(data?.text)
      return got
    })()
    const count = feed.left
    for await (const { data } of one.iterate({ query: 'subscription { text }' }))
      if (data?.text === 'result 9') break
    await one.dispose()
    await expect.poll(() => feed.left).toBe(count + 1)
    leave()
    expect(await whole).toEqual(feed.results.map(({ data }) => data?.text))
    await expect.poll(() => feed.left).toBe(count + 2)
    feed.before = async () => {}
    await other.dispose()
  })

  it('cuts off a client that does not read, instead of holding everything for it, and tells it why', async () => {
    const text = 'x'.repeat(100_000)
    feed.results = Array.from({ length: 2_000 }, (_, at) => ({ data: { text: `${at} ${text}` } }))
    // Lets the socket have its turn.
    feed.before = () => new Promise((resolve) => setImmediate(resolve))
    const socket = new WebSocket(url, 'graphql-transport-ws')
    await new Promise((resolve) => socket.once('open', resolve))
    socket.send('{"type":"connection_init"}')
    await new Promise((resolve) => socket.once('message', resolve))
    const count = feed.left
    socket.send('{"id":"1","type":"subscribe","payload":{"query":"subscription { text }"}}')
    socket.pause()
    await expect.poll(() => feed.left, { timeout: 15_000 }).toBe(count + 1)
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
    feed.before = async () => {}
    socket.terminate()
  })

  it('says what it has to say to one connection in order, however many operations share it', async () => {
    feed.results = Array.from({ length: 200 }, (_, at) => ({ data: { text: `result ${at}` } }))
    feed.before = async (at) => {
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
    for (const got of all) expect(got).toEqual(feed.results.map(({ data }) => data?.text))
    feed.before = async () => {}
    await one.dispose()
  })
})
