import { type IncomingMessage, request } from 'node:http'
import fastify from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { answerInParts } from '../../src/gateway/multipart.ts'
import { createFeed, LIMIT } from './feed.ts'

/** However busy the machine is. */
const SOON = { timeout: 15_000 }

const feed = createFeed()
const server = fastify({ forceCloseConnections: true })
/** Asked before a request is looked at. */
let authenticating: () => Promise<void> = async () => {}
/** Asked before a subscription begins. */
let beginning: () => Promise<void> = async () => {}
/** A client is gone. */
let onClose: () => void = () => {}
let url = ''
beforeAll(async () => {
  const { operations } = feed
  const delayed = {
    ...operations,
    subscribe: async (args: Parameters<typeof operations.subscribe>[0]) => {
      await beginning()
      return operations.subscribe(args)
    },
  }
  server.post('/graphql', async (request, reply) => {
    reply.raw.once('close', () => onClose())
    await authenticating()
    await answerInParts(delayed, request, reply, gatewayCaller)
  })
  url = `${await server.listen({ host: '127.0.0.1', port: 0 })}/graphql`
})
afterAll(() => server.close())
beforeEach(() => {
  feed.before = async () => {}
  beginning = async () => {}
  authenticating = async () => {}
})

const ask = () => {
  const sent = request(url, { method: 'POST', headers: { 'content-type': 'application/json' }, agent: false })
  sent.end(JSON.stringify({ query: 'subscription { text }' }))
  return sent
}

describe('a subscription in parts', () => {
  it('holds no more than its bound for a client that does not read, and tells it why it is cut off', async () => {
    const text = 'x'.repeat(100_000)
    feed.results = Array.from({ length: 2_000 }, (_, at) => ({ data: { text: `${at} ${text}` } }))
    // Lets the socket have its turn.
    feed.before = () => new Promise((resolve) => setImmediate(resolve))
    const count = feed.left
    const response = await new Promise<IncomingMessage>((resolve, reject) =>
      ask().on('response', resolve).on('error', reject),
    )
    await expect.poll(() => feed.left, SOON).toBe(count + 1)
    let body = ''
    for await (const chunk of response.setEncoding('utf8')) body += chunk
    expect(body.endsWith('\r\n--graphql--\r\n')).toBe(true)
    const parts = body
      .slice(0, -'\r\n--graphql--\r\n'.length)
      .split('\r\n--graphql\r\ncontent-type: application/json\r\n\r\n')
      .slice(1)
      .map((part) => JSON.parse(part))
    expect(parts.shift()).toEqual({})
    expect(parts.at(-1).payload.errors).toMatchObject([{ extensions: { code: 'SUBSCRIBER_TOO_SLOW' } }])
    // Beside what the operating system took for both sides.
    const whole = parts.slice(0, -1)
    expect(whole.length).toBeGreaterThan(LIMIT)
    expect(whole.length).toBeLessThan(500)
    expect(whole.map(({ payload }) => Number.parseInt(payload.data.text, 10))).toEqual(
      whole.map((_, at) => at),
    )
  })

  it.each([
    ['while it began', (wait: () => Promise<void>) => (beginning = wait)],
    ['while it was asked who it is', (wait: () => Promise<void>) => (authenticating = wait)],
  ])('ends for a client that left %s', async (_title, at) => {
    feed.results = [{ data: { text: 'never' } }]
    feed.before = () => new Promise(() => {})
    const { promise: asked, resolve: hear } = Promise.withResolvers<void>()
    const { promise: lost, resolve: lose } = Promise.withResolvers<void>()
    at(() => {
      hear()
      return lost
    })
    onClose = lose
    const count = feed.left
    const sent = ask()
    sent.on('error', () => {})
    await asked
    sent.destroy()
    await lost
    await expect.poll(() => feed.left, SOON).toBe(count + 1)
  })
})
