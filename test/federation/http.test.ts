import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'graphql'
import { describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { createEngine } from '../../src/federation/engine.ts'
import { httpTransport } from '../../src/federation/http.ts'
import { asker, compose, plain, type SubgraphSource, schemaOf, serve } from './kit.ts'

/** Pushes to whoever listens; ends streams on return. */
function channel() {
  const listeners = new Set<(value: unknown) => void>()
  return {
    listeners,
    push(value: unknown) {
      for (const listener of listeners) listener(value)
    },
    stream(): AsyncIterableIterator<unknown> {
      const queue: unknown[] = []
      let wake: (() => void) | undefined
      let over = false
      const listener = (value: unknown) => {
        queue.push(value)
        wake?.()
      }
      listeners.add(listener)
      return {
        async next() {
          while (queue.length === 0 && !over) {
            await new Promise<void>((resolve) => {
              wake = resolve
            })
          }
          return over ? { done: true, value: undefined } : { done: false, value: queue.shift() }
        },
        async return() {
          over = true
          listeners.delete(listener)
          wake?.()
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]() {
          return this
        },
      }
    },
  }
}

const moved = channel()

const sources: Record<string, SubgraphSource> = {
  wms: {
    sdl: `
      type Query { stock: [Level!] }
      type Subscription { stockMoved: Level, whoAsks: String }
      type Level @key(fields: "id") { id: ID! onHand: Int }
    `,
    resolvers: {
      Query: {
        stock: () => [
          { id: 1, onHand: 3 },
          { id: 2, onHand: 4 },
        ],
      },
      Subscription: {
        stockMoved: { subscribe: () => moved.stream(), resolve: (event: unknown) => event },
        whoAsks: {
          subscribe: () => moved.stream(),
          resolve: (_: unknown, __: unknown, context: { extensions?: { headers?: { caller?: string } } }) =>
            context.extensions?.headers?.caller,
        },
      },
    },
  },
  erp: {
    sdl: `type Level @key(fields: "id") { id: ID! product: String caller: String }`,
    resolvers: {
      Level: {
        product: ({ id }: { id: string }) => `p${id}`,
        caller: (_: unknown, __: unknown, { headers }: { headers: { caller?: string } }) => headers.caller,
      },
    },
  },
}

async function start(intercept?: Parameters<typeof serve>[1]) {
  const [wms, erp] = await Promise.all([
    serve(schemaOf(sources.wms as SubgraphSource)),
    serve(schemaOf(sources.erp as SubgraphSource), intercept),
  ])
  const engine = createEngine<unknown>({
    supergraphSdl: compose(sources, { wms: wms.url, erp: erp.url }),
    transports: ({ url }) =>
      httpTransport({
        url,
        headers: (context) => ({ caller: (context as { caller?: string }).caller ?? 'nobody' }),
      }),
  })
  return {
    wms,
    erp,
    engine,
    ask: asker(engine),
    async [Symbol.asyncDispose]() {
      await engine.close()
      await wms[Symbol.asyncDispose]()
      await erp[Symbol.asyncDispose]()
    },
  }
}

describe('subgraphs over HTTP', () => {
  it('asks them with the headers of the caller', async () => {
    await using world = await start()
    const result = await world.ask('{ stock { onHand product caller } }', {}, { context: { caller: 'ada' } })
    expect(plain(result)).toEqual({
      data: {
        stock: [
          { onHand: 3, product: 'p1', caller: 'ada' },
          { onHand: 4, product: 'p2', caller: 'ada' },
        ],
      },
    })
  })

  it.each([
    ['a page instead of an answer', { body: '<html>nginx db-7</html>' }, 'malformed'],
    ['a refusal', { status: 502, body: 'upstream 10.0.0.7' }, 'status'],
    ['a truncated answer', { body: '{"data":{"_entities":[' }, 'malformed'],
    ['too few entities', { body: '{"data":{"_entities":[]}}' }, 'malformed'],
    ['no data', { body: '{"data":null}' }, 'malformed'],
    ['another shape', { body: '{"data":{"_entities":{}}}' }, 'malformed'],
  ])('tells the reason and nothing else of %s', async (_, answer, reason) => {
    await using world = await start(() => answer)
    expect(plain(await world.ask('{ stock { onHand product } }'))).toEqual({
      data: {
        stock: [
          { onHand: 3, product: null },
          { onHand: 4, product: null },
        ],
      },
      errors: [
        {
          message: 'Subgraph "erp" is unavailable.',
          path: ['stock'],
          extensions: { code: 'SUBGRAPH_UNAVAILABLE', subgraph: 'erp', reason },
        },
      ],
    })
  })

  it('reports wrong types inside an answer at their places', async () => {
    await using world = await start(() => ({ body: '{"data":{"_entities":[{"product":7},"x"]}}' }))
    const result = await world.ask('{ stock { product } }')
    expect(plain(result.data)).toEqual({ stock: [{ product: null }, { product: null }] })
    expect(result.errors?.map((e) => e.path)).toEqual([
      ['stock', 1, 'product'],
      ['stock', 0, 'product'],
    ])
  })

  it('lets go of the subgraph when the client leaves', async () => {
    await using world = await start(async () => {
      await sleep(5_000)
      return { body: '{}' }
    })
    const leaving = new AbortController()
    const answer = world.ask('{ stock { product } }', {}, { signal: leaving.signal })
    await sleep(50)
    leaving.abort()
    expect((await answer).errors?.[0]?.extensions.code).toBe('REQUEST_CANCELLED')
  })
})

describe('identical queries under way', () => {
  const slowly = async () => {
    await sleep(60)
    return undefined
  }
  const query = '{ stock { product } }'

  it('share one call among equal callers, and each gets an answer of its own', async () => {
    await using world = await start(slowly)
    const answers = await Promise.all(
      ['ada', 'ada', 'bo'].map((caller) => world.ask(query, {}, { context: { caller } })),
    )
    expect(answers.map(plain)).toEqual(
      Array(3).fill({ data: { stock: [{ product: 'p1' }, { product: 'p2' }] } }),
    )
    expect(world.erp.requests).toHaveLength(2)
    expect(answers[0]?.data?.stock).not.toBe(answers[1]?.data?.stock)
  })

  it('go on for those who stay when one leaves', async () => {
    await using world = await start(slowly)
    const leaving = new AbortController()
    const left = world.ask(query, {}, { signal: leaving.signal })
    const stayed = world.ask(query)
    await sleep(30)
    leaving.abort()
    expect((await left).errors?.[0]?.extensions.code).toBe('REQUEST_CANCELLED')
    expect(plain(await stayed)).toEqual({ data: { stock: [{ product: 'p1' }, { product: 'p2' }] } })
    expect(world.erp.requests).toHaveLength(1)
  })
})

describe('calls to subgraphs', () => {
  it('end at their deadline', async () => {
    await using world = await start(async () => {
      await sleep(400)
      return undefined
    })
    const impatient = createEngine<unknown>({
      supergraphSdl: world.engine.supergraphSdl,
      transports: ({ url }) => httpTransport({ url }),
      timeoutMs: { erp: 50 },
    })
    const result = await asker(impatient)('{ stock { onHand product } }')
    expect(plain(result)).toMatchObject({
      data: {
        stock: [
          { onHand: 3, product: null },
          { onHand: 4, product: null },
        ],
      },
      errors: [{ extensions: { code: 'SUBGRAPH_UNAVAILABLE', reason: 'timeout' } }],
    })
    await impatient.close()
  })

  it('are tried again for queries when the server was only passing by', async () => {
    let calls = 0
    await using world = await start(() => (++calls === 1 ? { status: 503, body: 'restarting' } : undefined))
    expect(plain(await world.ask('{ stock { product } }'))).toEqual({
      data: { stock: [{ product: 'p1' }, { product: 'p2' }] },
    })
    expect(calls).toBe(2)
  })
})

describe('subscriptions over one connection', () => {
  const events = async (world: Awaited<ReturnType<typeof start>>, query: string, context: unknown = {}) => {
    const stream = await world.engine.subscribe({ document: parse(query), context })
    if (!(Symbol.asyncIterator in stream)) throw new Error(JSON.stringify(stream))
    return stream
  }
  const until = async (condition: () => boolean) => {
    for (let i = 0; i < 200 && !condition(); i++) await sleep(10)
    expect(condition()).toBe(true)
  }

  it('evaluates the rest of the plan for each event', async () => {
    await using world = await start()
    const stream = await events(world, 'subscription { m: stockMoved { onHand product } }')
    const first = stream.next()
    await until(() => moved.listeners.size === 1)
    moved.push({ id: 7, onHand: 1 })
    expect(plain((await first).value)).toEqual({ data: { m: { onHand: 1, product: 'p7' } } })
    await stream.return?.()
    await until(() => moved.listeners.size === 0)
  })

  it('serves callers side by side, each under their own headers', async () => {
    await using world = await start()
    const streams = await Promise.all(
      ['ada', 'bo'].map((caller) => events(world, 'subscription { whoAsks }', { caller })),
    )
    const firsts = streams.map((stream) => stream.next())
    await until(() => moved.listeners.size === 2)
    expect(world.wms.sockets()).toBe(1)
    moved.push({})
    expect(plain(await Promise.all(firsts)).map(({ value }) => value.data)).toEqual([
      { whoAsks: 'ada' },
      { whoAsks: 'bo' },
    ])
    for (const stream of streams) await stream.return?.()
  })

  it('comes back after a lost connection', async () => {
    await using world = await start()
    const stream = await events(world, 'subscription { stockMoved { onHand } }')
    const first = stream.next()
    await until(() => moved.listeners.size === 1)
    world.wms.dropSockets()
    await until(() => moved.listeners.size === 0)
    await until(() => moved.listeners.size === 1)
    moved.push({ id: 7, onHand: 9 })
    expect(plain((await first).value)).toEqual({ data: { stockMoved: { onHand: 9 } } })
    await stream.return?.()
  })

  it('are no event, and a bad request, where there is no connection', async () => {
    const { url, ...gone } = await answerSubscriptions(() => [])
    await gone[Symbol.asyncDispose]()
    const engine = createEngine<object>({
      supergraphSdl: compose(sources, { wms: url }),
      transports: (subgraph) => httpTransport(subgraph),
    })
    const answer = await engine.subscribe({
      document: parse('subscription { stockMoved { onHand } }'),
      context: {},
    })
    expect(plain(answer)).toEqual({
      errors: [
        {
          message: 'Subgraph "wms" is unavailable.',
          path: ['stockMoved'],
          extensions: { code: 'SUBGRAPH_UNAVAILABLE', subgraph: 'wms', reason: 'unreachable' },
        },
      ],
    })
    await engine.close()
  })

  it.each([
    ['refuses', (id: string) => [{ id, type: 'error', payload: [{ message: 'no table wms.moves' }] }]],
    [
      'answers with errors',
      (id: string) => [
        { id, type: 'next', payload: { errors: [{ message: 'no table wms.moves' }] } },
        { id, type: 'complete' },
      ],
    ],
  ])('end with errors and no data where the subgraph %s', async (_, answers) => {
    await using refusing = await answerSubscriptions(answers)
    const engine = createEngine<object>({
      supergraphSdl: compose(sources, { wms: refusing.url }),
      transports: ({ url }) => httpTransport({ url }),
      scope: () => 'all',
    })
    const stream = await engine.subscribe({
      document: parse('subscription { stockMoved { onHand } }'),
      context: {},
    })
    if (!(Symbol.asyncIterator in stream)) throw new Error('it had a connection')
    expect(plain((await stream.next()).value)).toEqual({
      errors: [
        {
          message: 'Internal error in subgraph "wms".',
          extensions: { code: 'SUBGRAPH_ERROR', subgraph: 'wms' },
        },
      ],
    })
    expect((await stream.next()).done).toBe(true)
    await engine.close()
  })
})

/** `graphql-transport-ws`, by hand. */
async function answerSubscriptions(answers: (id: string) => unknown[]) {
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    handleProtocols: () => 'graphql-transport-ws',
  })
  await once(server, 'listening')
  server.on('connection', (socket) =>
    socket.on('message', (text) => {
      const { type, id } = JSON.parse(String(text))
      if (type === 'connection_init') socket.send('{"type":"connection_ack"}')
      if (type === 'subscribe') for (const answer of answers(id)) socket.send(JSON.stringify(answer))
    }),
  )
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`,
    async [Symbol.asyncDispose]() {
      for (const socket of server.clients) socket.terminate()
      server.close()
    },
  }
}
