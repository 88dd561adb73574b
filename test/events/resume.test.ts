import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeOrder, deliver, moveStock } from '../../src/simulation/trade.ts'
import type { ErpOrder } from '../../src/simulation/world.ts'
import { codesOf, eventually, idOf, openTestGateway, type TestGateway } from '../e2e/kit.ts'

const ORDERS = `subscription Orders($after: String, $initial: Boolean, $id: ID, $status: [OrderStatus!], $system: ID) {
  orderChanged(after: $after, initial: $initial, id: $id, status: $status, system: $system) {
    cursor event statusAfter changes { field new } gap { reason advice } order { number status } } }`

/** Nothing that was read before may answer. */
const OLD_AT_ONCE = { ttl: '1ms', lastKnown: '1ms' }

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    override(file) {
      Object.assign(file.systems.fin ?? {}, { breaker: { failures: 2, probeEvery: '200ms' } })
    },
  })
  await gateway.poll()
})
afterAll(() => gateway[Symbol.asyncDispose]())

function orderOf(entry: number): ErpOrder {
  const order = gateway.demo.world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}

let marks = 0
/** Changes an order, and waits until the log has it. */
async function mark(entry = 7): Promise<string> {
  const comments = `mark ${++marks}`
  changeOrder(gateway.demo.world, orderOf(entry), { comments })
  await gateway.poll('erp')
  return comments
}
const commentsOf = (payloads: readonly { changes: readonly { new: string }[] }[]) =>
  payloads.map(({ changes }) => changes[0] && JSON.parse(changes[0].new))

describe('a cursor', () => {
  it('that is too old gives a gap, then everything that the log still has', async () => {
    let cursor: string
    {
      await using orders = await gateway.listen(ORDERS)
      await mark()
      cursor = (await orders.payloads(1))[0].cursor
    }
    await mark()
    expect(await gateway.app.rooms.events.prune({ ageMs: -1, maxBytes: 0 })).toBeGreaterThan(0)
    const kept = await mark()
    await using again = await gateway.listen(ORDERS, { after: cursor })
    const [gap, first] = await again.payloads(2)
    expect(gap).toMatchObject({
      event: 'gap',
      gap: { reason: 'CURSOR_TOO_OLD', advice: expect.stringContaining('initial: true') },
      order: null,
      changes: [],
    })
    expect(commentsOf([first])).toEqual([kept])
    const live = await mark()
    expect(commentsOf((await again.payloads(3)).slice(2))).toEqual([live])

    // The gap's own cursor is a place to go on from: it is told once.
    await using later = await gateway.listen(ORDERS, { after: gap.cursor })
    expect(commentsOf(await later.payloads(2))).toEqual([kept, live])
  })

  it('of a log that is gone gives a gap, then what comes', async () => {
    await using other = await openTestGateway()
    await other.poll()
    await using theirs = await other.listen(ORDERS, { initial: true })
    const [{ cursor }] = await theirs.payloads(1)
    await using orders = await gateway.listen(ORDERS, { after: cursor })
    expect(await orders.payloads(1)).toMatchObject([
      { event: 'gap', gap: { reason: 'OTHER_LOG' }, order: null },
    ])
    const live = await mark()
    expect(commentsOf((await orders.payloads(2)).slice(1))).toEqual([live])
  })

  it('that was tampered with is refused', async () => {
    await using orders = await gateway.listen(ORDERS, { initial: true })
    const [{ cursor }] = await orders.payloads(1)
    const parts = Buffer.from(cursor, 'base64url').toString().split('.')
    parts[2] = '1'
    const after = Buffer.from(parts.join('.')).toString('base64url')
    await using forged = await gateway.listen(ORDERS, { after })
    expect(codesOf((await forged.take(1))[0] ?? {})).toEqual(['CURSOR_INVALID'])
  })
})

describe('"initial: true"', () => {
  it('sends the present state first, then events, without one between', async () => {
    await using one = await gateway.listen(ORDERS, { id: idOf('order', 'erp', '7'), initial: true })
    const [snapshot] = await one.payloads(1)
    expect(snapshot).toMatchObject({ event: 'snapshot', order: { number: '1021' }, gap: null, changes: [] })
    const live = await mark()
    expect(commentsOf((await one.payloads(2)).slice(1))).toEqual([live])
    // Its cursor is a place to go on from.
    await using again = await gateway.listen(ORDERS, {
      id: idOf('order', 'erp', '7'),
      after: snapshot.cursor,
    })
    expect(commentsOf(await again.payloads(1))).toEqual([live])
  })

  it('sends what matches the filter only', async () => {
    await using delivered = await gateway.listen(ORDERS, { status: ['DELIVERED'], initial: true })
    const { orders } = await gateway.data('{ orders(first: 100) { nodes { number status } } }')
    const expected = orders.nodes.filter((order: { status: string }) => order.status === 'DELIVERED')
    expect(expected.length).toBeGreaterThan(1)
    const snapshots = await delivered.payloads(expected.length)
    expect(snapshots.map(({ order }) => order)).toEqual(expected)
  })
})

describe('a filter', () => {
  it('by status and by system lets nothing else through', async () => {
    await using delivered = await gateway.listen(ORDERS, { status: ['DELIVERED'] })
    await using elsewhere = await gateway.listen(ORDERS, { system: 'crm' })
    await mark(6)
    deliver(gateway.demo.world, orderOf(6))
    await gateway.poll('erp')
    expect(await delivered.payloads(1)).toMatchObject([
      { event: 'order.delivered', statusAfter: 'DELIVERED' },
    ])
    expect(elsewhere.results).toHaveLength(0)
  })

  it('by SKU knows the product of the shelf; the event says why the figures moved', async () => {
    await using stock = await gateway.listen(
      `subscription { inventoryChanged(sku: "A00002", warehouse: "YOK") {
        sku warehouse reason onHandBefore onHandAfter level { product { sku } } } }`,
    )
    moveStock(gateway.demo.world, 'A00003', 'HAM', { inStock: '1' })
    moveStock(gateway.demo.world, 'A00002', 'HAM', { inStock: '1' })
    moveStock(gateway.demo.world, 'A00002', 'YOK', { inStock: '-3' })
    await gateway.poll('erp')
    expect(await stock.payloads(1)).toEqual([
      {
        sku: 'A00002',
        warehouse: 'YOK',
        reason: 'OUT',
        onHandBefore: '807',
        onHandAfter: '804',
        level: { product: { sku: 'A00002' } },
      },
    ])
  })
})

describe('the log', () => {
  it('is bounded by size: the oldest events go first, positions go on', async () => {
    await mark()
    const { events } = gateway.app.rooms
    const before = await events.state()
    expect(before.bytes).toBeGreaterThan(0)
    await events.prune({ ageMs: 60_000, maxBytes: 1 })
    const after = await events.state()
    expect(after.head).toBe(before.head)
    expect(after.floor).toBeGreaterThan(before.floor)
    expect(after.bytes).toBeLessThan(before.bytes)
    await mark()
    expect((await events.state()).head).toBeGreaterThan(before.head)
  })

  it('is read once for all who follow', async () => {
    const { events } = gateway.app.rooms
    const before = (await events.state()).followers
    // Five who ask the same share one follower; another question is another.
    const same = await Promise.all(Array.from({ length: 5 }, () => gateway.listen(ORDERS)))
    await using other = await gateway.listen(ORDERS, { system: 'erp' })
    await eventually(async () => (await events.state()).followers >= before + 2)
    expect((await events.state()).followers).toBe(before + 2)
    const comments = await mark()
    for (const one of [...same, other]) expect(commentsOf(await one.payloads(1))).toEqual([comments])
    for (const one of same) await one[Symbol.asyncDispose]()
    await eventually(async () => (await events.state()).followers === before + 1)
  })
})

describe('a writeback', () => {
  const STEPS = `subscription Steps($after: String, $initial: Boolean, $state: [WritebackState!]) {
    writebackChanged(after: $after, initial: $initial, state: $state) {
      cursor idempotencyKey state attempts gap { reason } } }`
  const create = (idempotencyKey: string) =>
    gateway.data(
      'mutation C($input: CreateOrderInput!) { createOrder(input: $input) { writeback { state } } }',
      {
        input: {
          idempotencyKey,
          customerId: idOf('customer', 'crm', '70007'),
          dueDate: '2026-12-31',
          lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity: '1' }],
        },
      },
    )

  it('is told of after a lost connection too, each step in the state that it had then', async () => {
    let cursor: string
    {
      await using steps = await gateway.listen(STEPS)
      await create('resume-1')
      cursor = (await steps.payloads(2))[1].cursor
    }
    await create('resume-2')
    {
      await using again = await gateway.listen(STEPS, { after: cursor })
      expect(await again.payloads(2)).toMatchObject([
        { idempotencyKey: 'resume-2', state: 'SENDING', attempts: 1, gap: null },
        { idempotencyKey: 'resume-2', state: 'CONFIRMED', attempts: 1, gap: null },
      ])
    }
    await gateway.app.rooms.events.prune({ ageMs: -1, maxBytes: 0 })
    // The steps are gone; what became of it is not.
    await using late = await gateway.listen(STEPS, { after: cursor })
    const told = () => late.results.map(({ data }) => data.writebackChanged)
    const found = await eventually(() => told().find((one) => one.idempotencyKey === 'resume-2'))
    expect(found).toMatchObject({ state: 'CONFIRMED', gap: { reason: 'CURSOR_TOO_OLD' } })
  })
})

describe('the clock', () => {
  it('tells of an invoice that nobody paid in time, once', async () => {
    await using overdue = await gateway.listen(
      'subscription { invoiceChanged { event invoice { number status dueDate } } }',
    )
    const soon = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)
    const invoice = gateway.demo.world.all('financeInvoices').find((one) => one.paid === '0')
    if (!invoice) throw new Error('every invoice is paid')
    gateway.demo.world.put('financeInvoices', {
      ...invoice,
      dueDate: soon,
      updatedAt: new Date().toISOString(),
    })
    await gateway.poll('fin')
    await overdue.payloads(1)
    await gateway.app.clock.tick()
    const later = new Date(Date.now() + 3 * 86_400_000)
    await gateway.app.clock.tick(later)
    await gateway.app.clock.tick(later)
    expect((await overdue.payloads(2))[1]).toMatchObject({
      event: 'invoice.overdue',
      invoice: { number: invoice.invoiceNo, dueDate: soon },
    })
    expect(overdue.results).toHaveLength(2)
  })

  it('tells of a system that stopped answering, and of its return', async () => {
    await using health = await gateway.listen(
      'subscription { systemChanged(id: "fin") { event stateBefore stateAfter system { id } } }',
    )
    gateway.demo.simulators.fin.setFaults([{ kind: 'refuse' }])
    try {
      await eventually(async () => {
        await gateway.ask(
          `{ invoices(system: "fin", first: ${1 + Math.floor(Math.random() * 90)}) { nodes { id } } }`,
        )
        return health.results.length > 0
      })
    } finally {
      gateway.demo.simulators.fin.setFaults([])
    }
    expect(await health.payloads(2)).toEqual([
      {
        event: 'system.unreachable',
        stateBefore: 'REACHABLE',
        stateAfter: 'UNREACHABLE',
        system: { id: 'fin' },
      },
      {
        event: 'system.recovered',
        stateBefore: 'UNREACHABLE',
        stateAfter: 'REACHABLE',
        system: { id: 'fin' },
      },
    ])
  })

  it('goes on while the system is away: each event is told, with the error in place of the record', async () => {
    await using alone = await openTestGateway({
      override(file) {
        Object.assign(file.systems.erp ?? {}, {
          breaker: { failures: 2, probeEvery: '200ms' },
          cache: { order: OLD_AT_ONCE },
        })
      },
    })
    await alone.poll()
    const { world, simulators } = alone.demo
    const change = async (comments: string) => {
      const order = world.get('erpOrders', '7')
      if (!order) throw new Error('no order 7')
      changeOrder(world, order, { comments })
      await alone.poll('erp')
    }
    let after: string
    {
      await using orders = await alone.listen(ORDERS)
      await change('seen')
      after = (await orders.payloads(1))[0].cursor
    }
    await change('first')
    await change('second')
    simulators.erp.setFaults([{ kind: 'refuse' }])
    await using again = await alone.listen(ORDERS, { after })
    const told = await again.take(2)
    for (const { errors } of told) expect(errors).toMatchObject([{ path: ['orderChanged', 'order'] }])
    expect(told.map(codesOf)).toEqual([['SYSTEM_UNAVAILABLE'], ['SYSTEM_UNAVAILABLE']])
    const payloads = told.map(({ data }) => data?.orderChanged)
    expect(commentsOf(payloads)).toEqual(['first', 'second'])
    expect(payloads.map(({ order }) => order)).toEqual([null, null])
    // Live as well: what was missed is over, and the stream is not.
    simulators.erp.setFaults([])
    await expect
      .poll(async () => (await alone.ask('{ systems { id breaker } }')).data?.systems)
      .toContainEqual({ id: 'erp', breaker: 'CLOSED' })
    await change('third')
    expect(commentsOf((await again.take(3)).slice(2).map(({ data }) => data?.orderChanged))).toEqual([
      'third',
    ])
  })
})
