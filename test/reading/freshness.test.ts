/** Freshness as a frontend sees it: one gateway, three simulated systems, asked through the public door. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { idOf, openTestGateway, type TestGateway } from '../e2e/kit.ts'

const ORDER = `query ($id: ID!) { order(id: $id) { number comments provenance { system fetchedAt stale } } }`
const PRODUCT = `query ($id: ID!) { product(id: $id) { sku name unit } }`
const STATE = `{ system(id: "erp") {
  breaker inFlight queued latency { p50 p99 } calls { ok failed today } cache { hitRatio entries bytes }
} }`

const order = (gateway: TestGateway, at = 0) =>
  idOf('order', 'erp', String(gateway.demo.world.all('erpOrders').at(-1 - at)?.docEntry))

describe('an answer', () => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await openTestGateway()
  })
  afterAll(() => gateway[Symbol.asyncDispose]())
  const erpCalls = () => gateway.demo.simulators.erp.calls.length
  const ask = (headers: Record<string, string> = {}, query = ORDER, at = 0) =>
    gateway.post({ query, variables: { id: order(gateway, at) } }, { headers })

  it('names its sources; asked again, it comes without a call', async () => {
    const first = await ask()
    const before = erpCalls()
    const { body } = await ask()
    expect(erpCalls()).toBe(before)
    expect(body.data).toEqual(first.body.data)
    expect(body.extensions).toMatchObject({
      sources: [{ system: 'erp', record: 'order', count: 1, stale: false }],
    })
    expect(body.data.order.provenance).toMatchObject({ system: 'erp', stale: false })
  })

  it('is read anew for a client that demands it, and says so', async () => {
    const { body: old } = await ask()
    const before = erpCalls()
    const { body } = await ask({ 'cache-control': 'max-age=0' })
    expect(erpCalls()).toBe(before + 1)
    expect(body.extensions).toMatchObject({ freshness: { met: true } })
    const at = (of: typeof body) => Date.parse(of.data.order.provenance.fetchedAt)
    expect(at(body)).toBeGreaterThan(at(old))
    await ask({ 'cache-control': 'max-age=3600' })
    expect(erpCalls()).toBe(before + 1)
  })

  it('may be kept only where the schema says so', async () => {
    const product = idOf('product', 'erp', String(gateway.demo.world.all('erpItems')[0]?.code))
    const answer = await gateway.post({ query: PRODUCT, variables: { id: product } })
    expect(answer.headers.get('cache-control')).toBe('private, max-age=60')
    const kept = await gateway.post({ query: '{ products(first: 2) { nodes { sku name } } }' })
    // 60 by the schema; not longer than the list itself may be served unasked.
    expect(kept.headers.get('cache-control')).toMatch(/^private, max-age=([1-9]|10)$/)
    expect((await ask()).headers.get('cache-control')).toBe('no-store')
  })

  it('shows a change as soon as its event is here', async () => {
    const { world } = gateway.demo
    const entry = world.all('erpOrders').at(-2)
    await gateway.poll('erp')
    await ask({}, ORDER, 1)
    const { changeOrder } = await import('../../src/simulation/trade.ts')
    if (entry) changeOrder(world, entry, { comments: 'changed in the ERP' })
    await gateway.poll('erp')
    const before = erpCalls()
    const { body } = await ask({}, ORDER, 1)
    expect(body.data.order.comments).toBe('changed in the ERP')
    // The feed has read it: nobody needs to ask again.
    expect(erpCalls()).toBe(before)
  })

  it('shows what the same client has just written', async () => {
    const id = order(gateway, 2)
    await gateway.data(ORDER, { id })
    for (const comments of ['one', 'two', 'three']) {
      const { updateOrder } = await gateway.data(
        `mutation ($input: UpdateOrderInput!) { updateOrder(input: $input) { writeback { state } order { comments } } }`,
        { input: { idempotencyKey: `freshness-${comments}`, id, comments } },
      )
      expect(updateOrder).toEqual({ writeback: { state: 'CONFIRMED' }, order: { comments } })
      expect((await gateway.data(ORDER, { id })).order.comments).toBe(comments)
    }
  })

  it('tells operators how a system does', async () => {
    const { system } = await gateway.data(STATE)
    expect(system).toMatchObject({ breaker: 'CLOSED', queued: 0 })
    expect(system.calls.ok).toBeGreaterThan(0)
    expect(system.cache.entries).toBeGreaterThan(0)
    expect(system.cache.hitRatio).toBeGreaterThan(0)
    expect(system.latency.p99).toBeGreaterThanOrEqual(system.latency.p50)
  })
})

describe('while the ERP is down', () => {
  it('known records are answered, marked stale; others name the system; freshness returns with it', async () => {
    await using gateway = await openTestGateway({
      override: ({ systems }) =>
        Object.assign(systems.erp as object, {
          breaker: { failures: 3, probeEvery: '300ms' },
          retry: { attempts: 0 },
        }),
    })
    const { erp } = gateway.demo.simulators
    const [known, unknown] = [order(gateway), order(gateway, 5)]
    await gateway.data(ORDER, { id: known })
    erp.setFaults([{ kind: 'refuse' }])
    for (let count = 0; count < 3; count++) await gateway.ask(ORDER, { id: order(gateway, 6 + count) })
    expect((await gateway.data(STATE)).system.breaker).toBe('OPEN')

    const stale = await gateway.ask(ORDER, { id: known })
    expect(stale.errors).toBeUndefined()
    expect(stale.data.order.provenance.stale).toBe(true)
    expect(stale.extensions).toMatchObject({ sources: [{ system: 'erp', stale: true }] })
    const strict = await gateway.ask(ORDER, { id: known }, { 'cache-control': 'max-age=0' })
    expect(strict.data.order.number).toBe(stale.data.order.number)
    expect(strict.extensions).toMatchObject({ freshness: { met: false } })
    const missing = await gateway.ask(ORDER, { id: unknown })
    expect(missing.data).toEqual({ order: null })
    expect(missing.errors?.[0]?.extensions).toMatchObject({
      code: 'SYSTEM_UNAVAILABLE',
      system: 'erp',
      retryable: true,
      retryAfterMs: expect.any(Number),
    })

    erp.setFaults([])
    await expect
      .poll(async () => (await gateway.data(ORDER, { id: known })).order.provenance.stale, {
        timeout: 1_000,
        interval: 20,
      })
      .toBe(false)
  })
})

it('one request that asks a system item by item is warned about', async () => {
  const { createCallWatch } = await import('../../src/reading/call-watch.ts')
  const warnings: unknown[] = []
  const watch = createCallWatch({ warn: (about: unknown) => warnings.push(about) } as never, 3)
  const shared = {}
  for (const call of [shared, shared, {}, {}, {}, {}]) watch('erp', 'order list', call)
  expect(warnings).toEqual([{ system: 'erp', calls: 4, questions: { 'order list': 4 } }])
})
