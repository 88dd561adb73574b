/** A client may demand freshness over every transport, and is told where it could not be had. */
import { createClient as createEventStreamClient } from 'graphql-sse'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { changeOrder } from '../../src/simulation/trade.ts'
import { idOf, openTestGateway, type Result, type TestGateway } from './kit.ts'

const ORDER = 'query ($id: ID!) { order(id: $id) { number comments } }'
const CHANGES = 'subscription { orderChanged { event order { number comments invoices { number } } } }'
const DEMAND = { cacheControl: 'max-age=0' }

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    override: ({ systems }) =>
      Object.assign(systems.erp as object, {
        breaker: { failures: 1, probeEvery: '200ms' },
        retry: { attempts: 0 },
      }),
  })
  await gateway.poll()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const { erp, fin } = { erp: () => gateway.demo.simulators.erp, fin: () => gateway.demo.simulators.fin }
const id = idOf('order', 'erp', '3')
const variables = { id }

interface Payload {
  readonly query: string
  readonly variables?: Record<string, unknown>
  readonly extensions?: Record<string, unknown>
}

/** The first result of an operation. */
type Ask = (payload: Payload) => Promise<Result>

const overWebSocket =
  (connectionParams?: Record<string, unknown>): Ask =>
  async (payload) => {
    const url = `${gateway.url.replace('http', 'ws')}/graphql`
    const client = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams })
    try {
      for await (const result of client.iterate(payload)) return result as Result
      throw new Error('no result')
    } finally {
      await client.dispose()
    }
  }

const overEvents =
  (headers: Record<string, string> = {}): Ask =>
  async (payload) => {
    const client = createEventStreamClient({
      url: `${gateway.url}/graphql/stream`,
      headers,
      retryAttempts: 0,
    })
    try {
      for await (const result of client.iterate(payload as never)) return result as Result
      throw new Error('no result')
    } finally {
      client.dispose()
    }
  }

const overPost: Ask = async (payload) => (await gateway.post(payload)).body

const asks: readonly (readonly [string, () => Ask, Payload['extensions']])[] = [
  ['POST, in its extensions', () => overPost, DEMAND],
  ['WebSocket, in its extensions', () => overWebSocket(), DEMAND],
  ['WebSocket, for the connection', () => overWebSocket({ 'cache-control': 'max-age=0' }), undefined],
  ['server-sent events, in its extensions', () => overEvents(), DEMAND],
  ['server-sent events, in a header', () => overEvents({ 'cache-control': 'max-age=0' }), undefined],
]

describe.each(asks)('a query over %s', (_how, askOf, extensions) => {
  const demanding = { query: ORDER, variables, ...(extensions ? { extensions } : {}) }
  beforeEach(async () => {
    await gateway.data(ORDER, variables)
  })

  it('reads what is known anew', async () => {
    const before = erp().calls.length
    const result = await askOf()(demanding)
    expect(result.errors).toBeUndefined()
    expect(erp().calls.length).toBe(before + 1)
    expect(result.extensions).toMatchObject({ freshness: { met: true } })
  })

  it('is told where that was impossible', async () => {
    erp().setFaults([{ kind: 'refuse' }])
    try {
      const result = await askOf()(demanding)
      expect(result.data?.order.number).toEqual(expect.any(String))
      expect(result.extensions).toMatchObject({ sources: [{ stale: true }], freshness: { met: false } })
    } finally {
      erp().setFaults([])
    }
    const breaker = '{ system(id: "erp") { breaker } }'
    await expect
      .poll(async () => (await gateway.data(breaker)).system.breaker, { timeout: 5_000 })
      .toBe('CLOSED')
  })
})

it('who demands nothing over WebSocket and server-sent events is served from what is known', async () => {
  await gateway.data(ORDER, variables)
  const before = erp().calls.length
  for (const ask of [overWebSocket(), overEvents(), overEvents({ 'cache-control': 'no-cache' })]) {
    const result = await ask({ query: ORDER, variables })
    expect(result.extensions).not.toHaveProperty('freshness')
  }
  expect(erp().calls.length).toBe(before)
})

describe('a subscription', () => {
  const change = async (comments: string) => {
    const order = gateway.demo.world.all('erpOrders').at(3)
    if (order) changeOrder(gateway.demo.world, order, { comments })
    await gateway.poll('erp')
  }

  it('reads what its events show anew, and says of each whether that was possible', async () => {
    const url = `${gateway.url.replace('http', 'ws')}/graphql`
    const client = createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0 })
    const events = client.iterate({ query: CHANGES, extensions: DEMAND })
    await using plain = await gateway.listen(CHANGES)
    // Both hear of it once both are there.
    const first = events.next()
    let heard: Result | undefined
    void first.then(({ value }) => {
      heard = value as Result
    })
    for (let count = 1; !heard; count++) await change(`change ${count}`)
    expect(heard).toMatchObject({ extensions: { freshness: { met: true } } })
    expect(heard.errors).toBeUndefined()
    fin().setFaults([{ kind: 'refuse' }])
    try {
      const second = events.next()
      await change('finance is away')
      expect((await second).value).toMatchObject({
        data: { orderChanged: { order: { comments: 'finance is away', invoices: expect.anything() } } },
        extensions: { freshness: { met: false } },
      })
    } finally {
      fin().setFaults([])
      await client.dispose()
    }
    expect(plain.results[0]?.extensions).toEqual({ demo: true })
  })
})
