import { get, type IncomingMessage } from 'node:http'
import fastify from 'fastify'
import { createClient } from 'graphql-sse'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { serveEventStreams } from '../../src/gateway/server-sent-events.ts'
import { createFeed, LIMIT } from './feed.ts'

const SUBSCRIPTION = 'subscription { text }'
const PATIENCE_MS = 500

/** However busy the machine is. */
const SOON = { timeout: 15_000 }

const feed = createFeed()
const server = fastify({ forceCloseConnections: true })
let url = ''
beforeAll(async () => {
  serveEventStreams(server, {
    path: '/graphql',
    operations: feed.operations,
    guard: async () => {},
    callerOf: ({ headers }) => ({ ...gatewayCaller, subject: String(headers['x-as'] ?? 'somebody') }),
    saysWho: ({ headers }) => headers['x-as'] !== undefined,
    patienceMs: 5_000,
  })
  url = `${await server.listen({ host: '127.0.0.1', port: 0 })}/graphql/stream`
})
afterAll(() => server.close())
beforeEach(() => {
  feed.before = async () => {}
})

const client = (singleConnection: boolean) =>
  createClient({ url, singleConnection, retryAttempts: 0 } as Parameters<typeof createClient>[0])

async function all(one: ReturnType<typeof client>, query = SUBSCRIPTION): Promise<unknown[]> {
  const got: unknown[] = []
  for await (const { data } of one.iterate({ query })) got.push(data?.text)
  return got
}

const reserve = async (): Promise<string> => {
  const response = await fetch(url, { method: 'PUT' })
  expect(response.status).toBe(201)
  return response.text()
}

interface Asked {
  readonly method?: string
  readonly token?: string
  readonly id?: string
  readonly query?: string
  readonly as?: string
}

/** An operation for a reserved stream. */
const begin = ({ method = 'POST', token, id, query = SUBSCRIPTION, as }: Asked): Promise<Response> =>
  fetch(url, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { 'x-graphql-event-stream-token': token }),
      ...(as === undefined ? {} : { 'x-as': as }),
    },
    body: JSON.stringify({ query, ...(id === undefined ? {} : { extensions: { operationId: id } }) }),
  })

/** Opens a stream and reads none of it. */
const openUnread = (query: Readonly<Record<string, string>>): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = { accept: 'text/event-stream' }
    get(`${url}?${new URLSearchParams(query)}`, { headers, agent: false }, resolve).on('error', reject)
  })

interface Event {
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: what the client is told, looked at by the test
  readonly data: any
}

/** The events until the last word of one operation, by the form that the protocol says. */
async function readAll(response: IncomingMessage): Promise<Event[]> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk
    if (/event: complete\ndata:.*\n\n$/.test(text)) break
  }
  return text
    .split('\n\n')
    .filter((block) => block !== '' && block !== ':')
    .map((block) => {
      const [, event = '', data = ''] = /^event: (\w+)\ndata: ?(.*)$/.exec(block) ?? []
      return { event, data: data === '' ? null : JSON.parse(data) }
    })
}

const codeOf = async (response: Response): Promise<unknown> => {
  const { errors } = (await response.json()) as { errors: { extensions?: { code: string } }[] }
  return [response.status, errors[0]?.extensions?.code]
}

describe.each([
  ['a connection for each operation', false],
  ['one connection for all', true],
])('server-sent events, %s', (_title, isSingle) => {
  it('bring the results whole, short and long, in any script, and then end', async () => {
    const texts = [
      '',
      'x',
      '上海晨光',
      'é😀"\\\n\r\u2028'.repeat(9_000),
      'x'.repeat(300_000),
      'data: \n\nevent: complete',
    ]
    feed.results = texts.map((text) => ({ data: { text } }))
    const one = client(isSingle)
    expect(await all(one)).toEqual(texts)
    const answers: unknown[] = []
    for await (const answer of one.iterate({ query: '{ nothing }' })) answers.push(answer)
    expect(answers).toEqual([{ data: { nothing: null } }])
    one.dispose()
  })

  it('are made into text once for all who share them', async () => {
    let made = 0
    feed.results = Array.from({ length: 10 }, (_, at) => ({
      data: {
        text: {
          toJSON() {
            made++
            return `result ${at}`
          },
        },
      },
    }))
    const [one, other] = [client(isSingle), client(isSingle)]
    const expected = feed.results.map((_, at) => `result ${at}`)
    expect(await Promise.all([all(one), all(other), all(one)])).toEqual([expected, expected, expected])
    expect(made).toBe(10)
    one.dispose()
    other.dispose()
  })

  it('stop for the client who leaves, and go on for the others', async () => {
    feed.results = Array.from({ length: 50 }, (_, at) => ({ data: { text: `result ${at}` } }))
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>()
    feed.before = (at) => (at < 10 ? Promise.resolve() : gone)
    const [one, other] = [client(isSingle), client(isSingle)]
    const whole = all(other)
    const count = feed.left
    for await (const { data } of one.iterate({ query: SUBSCRIPTION })) if (data?.text === 'result 9') break
    await expect.poll(() => feed.left, SOON).toBe(count + 1)
    leave()
    expect(await whole).toEqual(feed.results.map(({ data }) => data?.text))
    await expect.poll(() => feed.left, SOON).toBe(count + 2)
    one.dispose()
    other.dispose()
  })

  it('are not held without a bound for a client that does not read, which is told why it is cut off', async () => {
    const text = 'x'.repeat(100_000)
    feed.results = Array.from({ length: 2_000 }, (_, at) => ({ data: { text: `${at} ${text}` } }))
    // Lets the socket have its turn.
    feed.before = () => new Promise((resolve) => setImmediate(resolve))
    const count = feed.left
    const token = isSingle ? await reserve() : undefined
    const response = await openUnread(token === undefined ? { query: SUBSCRIPTION } : { token })
    if (token !== undefined) expect((await begin({ token, id: '1' })).status).toBe(202)
    await expect.poll(() => feed.left, SOON).toBe(count + 1)
    const events = await readAll(response)
    expect(events.at(-1)).toEqual({ event: 'complete', data: isSingle ? { id: '1' } : null })
    const payloads = events.slice(0, -1).map(({ event, data }) => {
      expect(event).toBe('next')
      if (isSingle) expect(data.id).toBe('1')
      return isSingle ? data.payload : data
    })
    expect(payloads.at(-1).errors).toMatchObject([{ extensions: { code: 'SUBSCRIBER_TOO_SLOW' } }])
    // Beside what the operating system took for both sides.
    const whole = payloads.slice(0, -1)
    expect(whole.length).toBeGreaterThan(LIMIT)
    expect(whole.length).toBeLessThan(500)
    expect(whole.map(({ data }) => Number.parseInt(data.text, 10))).toEqual(whole.map((_, at) => at))
  })
})

describe('a connection for each operation', () => {
  it('is opened by a comment, and kept by one where nothing else is to be said', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      feed.results = [{ data: { text: 'late' } }]
      const { promise: silence, resolve: speak } = Promise.withResolvers<void>()
      feed.before = () => silence
      const response = (await openUnread({ query: SUBSCRIPTION })).setEncoding('utf8')
      expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      await expect.poll(() => text, SOON).toBe(':\n\n')
      vi.advanceTimersByTime(12_000)
      await expect.poll(() => text, SOON).toBe(':\n\n:\n\n')
      speak()
      await expect.poll(() => response.complete, SOON).toBe(true)
      expect(text).toBe(':\n\n:\n\nevent: next\ndata: {"data":{"text":"late"}}\n\nevent: complete\ndata:\n\n')
    } finally {
      vi.useRealTimers()
    }
  })

  it('is refused for what asks nothing, and for a mutation that anything on the way could ask again', async () => {
    const headers = { accept: 'text/event-stream' }
    const ask = (query: Readonly<Record<string, string>>) =>
      fetch(`${url}?${new URLSearchParams(query)}`, { headers })
    expect(await codeOf(await ask({}))).toEqual([400, 'BAD_REQUEST'])
    expect(await codeOf(await ask({ query: '{ nothing }', variables: '{' }))).toEqual([400, 'BAD_REQUEST'])
    expect(await codeOf(await ask({ query: '{ nothing }', variables: '[]' }))).toEqual([400, 'BAD_REQUEST'])
    const mutation = await ask({ query: 'mutation { nothing }' })
    expect(mutation.headers.get('allow')).toBe('POST')
    expect(await codeOf(mutation)).toEqual([405, 'METHOD_NOT_ALLOWED'])
  })

  it('is closed on a client that takes nothing for long', async () => {
    const impatient = fastify({ forceCloseConnections: true })
    serveEventStreams(impatient, {
      path: '/graphql',
      operations: feed.operations,
      guard: async () => {},
      callerOf: () => gatewayCaller,
      saysWho: () => true,
      patienceMs: PATIENCE_MS,
    })
    const address = await impatient.listen({ host: '127.0.0.1', port: 0 })
    const connections = () =>
      new Promise<number>((resolve, reject) =>
        impatient.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      )
    try {
      feed.results = Array.from({ length: 2_000 }, () => ({ data: { text: 'x'.repeat(100_000) } }))
      feed.before = () => new Promise((resolve) => setImmediate(resolve))
      const count = feed.left
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const query = new URLSearchParams({ query: SUBSCRIPTION })
        const headers = { accept: 'text/event-stream' }
        get(`${address}/graphql/stream?${query}`, { headers, agent: false }, resolve).on('error', reject)
      })
      response.on('error', () => {})
      await expect.poll(() => feed.left, SOON).toBe(count + 1)
      await expect.poll(connections, SOON).toBe(0)
      response.destroy()
    } finally {
      await impatient.close()
    }
  })
})

describe('one connection for all', () => {
  it('may be opened after its operations began; until then no more waits than the bound allows', async () => {
    const token = await reserve()
    feed.results = Array.from({ length: LIMIT }, (_, at) => ({ data: { text: `result ${at}` } }))
    const count = feed.left
    expect((await begin({ token, id: 'fits' })).status).toBe(202)
    expect((await begin({ token, id: 'answer', query: '{ nothing }' })).status).toBe(202)
    await expect.poll(() => feed.left, SOON).toBe(count + 1)
    feed.results = [...feed.results, ...feed.results]
    expect((await begin({ token, id: 'too much' })).status).toBe(202)
    await expect.poll(() => feed.left, SOON).toBe(count + 2)

    const response = (await openUnread({ token })).setEncoding('utf8')
    let text = ''
    for await (const chunk of response) {
      text += chunk
      if (text.split('event: complete').length === 4 && text.endsWith('\n\n')) break
    }
    const nexts = [...text.matchAll(/^event: next\ndata: (.*)$/gm)].map(([, data = '']) => JSON.parse(data))
    const of = (id: string) => nexts.filter((next) => next.id === id).map(({ payload }) => payload)
    expect(of('fits')).toEqual(feed.results.slice(0, LIMIT))
    expect(of('answer')).toEqual([{ data: { nothing: null } }])
    expect(of('too much')).toEqual([
      ...feed.results.slice(0, LIMIT),
      { errors: [expect.objectContaining({ extensions: { code: 'SUBSCRIBER_TOO_SLOW' } })] },
    ])
  })

  it('is the business of who reserved it, once, and of nobody without its token', async () => {
    feed.before = () => new Promise(() => {})
    feed.results = [{ data: { text: 'never' } }]
    const token = await reserve()
    expect(await codeOf(await begin({ id: '1' }))).toEqual([404, 'NOT_FOUND'])
    expect(await codeOf(await begin({ token: 'guessed', id: '1' }))).toEqual([404, 'NOT_FOUND'])
    expect(await codeOf(await begin({ token, id: '1', as: 'somebody else' }))).toEqual([404, 'NOT_FOUND'])
    expect(await codeOf(await begin({ token }))).toEqual([400, 'BAD_REQUEST'])
    expect((await begin({ token, id: '1' })).status).toBe(202)
    expect(await codeOf(await begin({ token, id: '1' }))).toEqual([409, 'CONFLICT'])

    const remove = (query: string) =>
      fetch(`${url}${query}`, { method: 'DELETE', headers: { 'x-graphql-event-stream-token': token } })
    expect(await codeOf(await remove(''))).toEqual([400, 'BAD_REQUEST'])
    const count = feed.left
    expect((await remove('?operationId=1')).status).toBe(200)
    expect(feed.left).toBe(count + 1)
    expect((await begin({ token, id: '1' })).status).toBe(202)

    const open = await openUnread({ token })
    expect(open.statusCode).toBe(200)
    expect((await openUnread({ token })).statusCode).toBe(409)
    open.destroy()
    // With its client the stream goes, and all that it carried.
    await expect.poll(() => feed.left, SOON).toBe(count + 2)
    expect((await begin({ token, id: '2' })).status).toBe(404)
  })

  it('is reserved so often and no more before one is taken', async () => {
    await using modest = fastify()
    serveEventStreams(modest, {
      path: '/graphql',
      operations: feed.operations,
      guard: async () => {},
      callerOf: ({ headers }) => ({ ...gatewayCaller, subject: String(headers['x-as']) }),
      saysWho: () => true,
      maxReservations: 3,
    })
    const put = (as: string) =>
      modest.inject({ method: 'PUT', url: '/graphql/stream', headers: { 'x-as': as } })
    for (let at = 0; at < 3; at++) expect((await put('greedy')).statusCode).toBe(201)
    expect((await put('greedy')).statusCode).toBe(429)
    expect((await put('somebody else')).statusCode).toBe(201)
  })

  it('lets in who has nothing but its token, as an EventSource does; for all else it must be said who asks', async () => {
    await using keyed = fastify()
    serveEventStreams(keyed, {
      path: '/graphql',
      operations: feed.operations,
      guard: async ({ headers }, reply) =>
        headers['x-as'] === undefined ? reply.status(401).send({ errors: [] }) : undefined,
      callerOf: ({ headers }) => ({ ...gatewayCaller, subject: String(headers['x-as']) }),
      saysWho: ({ headers }) => headers['x-as'] !== undefined,
    })
    const at = `${await keyed.listen({ host: '127.0.0.1', port: 0 })}/graphql/stream`
    const ask = (method: string, query: string, headers: Record<string, string>, body?: object) =>
      fetch(`${at}${query}`, {
        method,
        headers: {
          accept: 'text/event-stream',
          ...headers,
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
      })
    const mine = { 'x-as': 'portal' }
    expect((await ask('PUT', '', {})).status).toBe(401)
    const token = await (await ask('PUT', '', mine)).text()
    const operation = { query: SUBSCRIPTION, extensions: { operationId: '1' } }
    expect((await ask('POST', `?token=${token}`, { accept: '*/*' }, operation)).status).toBe(401)
    expect((await ask('DELETE', `?token=${token}&operationId=1`, {})).status).toBe(401)
    expect((await ask('GET', `?query=${encodeURIComponent(SUBSCRIPTION)}`, {})).status).toBe(401)
    expect((await ask('GET', '?token=guessed', {})).status).toBe(404)
    expect((await ask('GET', `?token=${token}`, { 'x-as': 'somebody else' })).status).toBe(404)

    feed.results = [{ data: { text: 'for the ticket' } }]
    const open = await ask('GET', `?token=${token}`, {})
    expect(open.status).toBe(200)
    expect((await ask('GET', `?token=${token}`, {})).status).toBe(409)
    expect((await ask('POST', `?token=${token}`, { ...mine, accept: '*/*' }, operation)).status).toBe(202)
    const reader = open.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('event: complete')) text += (await reader?.read())?.value
    expect(text).toContain('{"id":"1","payload":{"data":{"text":"for the ticket"}}}')
    await reader?.cancel()
  })

  it('carries so many operations and no more', async () => {
    feed.results = [{ data: { text: 'never read' } }]
    const token = await reserve()
    const ask = (id: string) =>
      server.inject({
        method: 'POST',
        url: '/graphql/stream',
        headers: { 'x-graphql-event-stream-token': token },
        payload: { query: '{ nothing }', extensions: { operationId: id } },
      })
    for (let at = 0; at < 1_000; at++) expect((await ask(`${at}`)).statusCode).toBe(202)
    expect((await ask('one more')).statusCode).toBe(429)
    const response = await openUnread({ token })
    response.resume()
    await expect.poll(async () => (await ask('read meanwhile')).statusCode, SOON).toBe(202)
    response.destroy()
  })

  it('is reserved for a while only', async () => {
    const brief = fastify()
    serveEventStreams(brief, {
      path: '/graphql',
      operations: feed.operations,
      guard: async () => {},
      callerOf: () => gatewayCaller,
      saysWho: () => true,
      reservationMs: 500,
    })
    const at = '/graphql/stream'
    const { payload: token } = await brief.inject({ method: 'PUT', url: at })
    feed.before = () => new Promise(() => {})
    const headers = { 'x-graphql-event-stream-token': token }
    const payload = { query: SUBSCRIPTION, extensions: { operationId: '1' } }
    const count = feed.left
    const ask = async () => (await brief.inject({ method: 'POST', url: at, headers, payload })).statusCode
    expect(await ask()).toBe(202)
    await expect.poll(() => feed.left, SOON).toBe(count + 1)
    expect(await ask()).toBe(404)
    await brief.close()
  })
})
