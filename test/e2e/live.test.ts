import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeOrder, deliver, moveStock, pay, placeOrder } from '../../src/simulation/trade.ts'
import type { ErpOrder } from '../../src/simulation/world.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import { codesOf, idOf, openTestGateway, READER, type TestGateway, temporaryFolder } from './kit.ts'

const ORDERS = `subscription Orders($id: ID, $customerId: ID, $after: String) {
  orderChanged(id: $id, customerId: $customerId, after: $after) {
    cursor event statusBefore statusAfter changes { field old new }
    order { id number status customerReference }
  } }`
const CREATE = `mutation Create($input: CreateOrderInput!) { createOrder(input: $input) {
  writeback { id state key } order { id number } } }`

const customer = (key: string) => idOf('customer', 'crm', key)
const input = (idempotencyKey: string) => ({
  idempotencyKey,
  customerId: customer('70007'),
  dueDate: '2026-12-31',
  customerReference: idempotencyKey,
  lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity: '2', warehouse: '02' }],
})

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
  // The first look remembers what is there; changes are told from then on.
  await gateway.poll()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const world = () => gateway.demo.world
function orderOf(entry: number): ErpOrder {
  const order = world().get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}
/** Moves the order of the Japanese customer, which nothing else here touches: an event to recognise. */
let marks = 0
async function mark(): Promise<string> {
  const comments = `mark ${++marks}`
  changeOrder(world(), orderOf(7), { comments })
  await gateway.poll('erp')
  return comments
}

describe('an order made by a mutation', () => {
  it('arrives once, though asking the ERP for changes finds it too', async () => {
    await using orders = await gateway.listen(ORDERS)
    const { createOrder } = await gateway.data(CREATE, { input: input('live-once') })
    const [created] = await orders.payloads(1)
    expect(created).toEqual({
      cursor: expect.any(String),
      event: 'order.created',
      statusBefore: null,
      statusAfter: 'CONFIRMED',
      changes: [],
      order: { ...createOrder.order, status: 'CONFIRMED', customerReference: 'live-once' },
    })
    await gateway.poll('erp')
    const comments = await mark()
    const [, next] = await orders.payloads(2)
    expect(next).toMatchObject({
      order: { number: '1021' },
      changes: [{ field: 'comments', new: JSON.stringify(comments) }],
    })
    expect(orders.results).toHaveLength(2)
  })

  it('arrives once while the gateway asks the ERP all the time', async () => {
    await using busy = await openTestGateway({ pollEvery: '20ms' })
    await using orders = await busy.listen(ORDERS)
    const { createOrder } = await busy.data(CREATE, { input: input('live-busy') })
    await orders.take(1)
    await busy.data(
      'mutation C($input: CancelOrderInput!) { cancelOrder(input: $input) { writeback { state } } }',
      { input: { idempotencyKey: 'live-busy', id: createOrder.order.id } },
    )
    expect((await orders.payloads(2)).map(({ event }) => event)).toEqual(['order.created', 'order.cancelled'])
    await busy.poll('erp')
    expect(orders.results).toHaveLength(2)
  })

  it('moves the stock it reserves', async () => {
    await using stock = await gateway.listen(
      `subscription Stock($productId: ID) { inventoryChanged(productId: $productId, warehouse: "02") {
        event onHandBefore onHandAfter availableBefore availableAfter
        level { product { sku name } warehouse { key name } reserved { value } } } }`,
      { productId: idOf('product', 'erp', 'A00003') },
    )
    const before = world().get('erpStock', 'A00003@02')
    const reserved = Number(before?.committed)
    const onHand = Number(before?.inStock)
    await gateway.data(CREATE, { input: input('live-stock') })
    await gateway.poll('erp')
    expect(await stock.payloads(1)).toEqual([
      {
        event: 'product.inventory.changed',
        onHandBefore: String(onHand),
        onHandAfter: String(onHand),
        availableBefore: String(onHand - reserved),
        availableAfter: String(onHand - reserved - 2),
        level: {
          product: { sku: 'A00003', name: '线性导轨 1m' },
          warehouse: { key: '02', name: '深圳仓' },
          reserved: { value: String(reserved + 2) },
        },
      },
    ])
  })
})

describe('a change made in a system', () => {
  it('of an order tells what it was before, and asks the other subgraphs for the rest', async () => {
    await using orders = await gateway.listen(
      `subscription { orderChanged { event statusBefore statusAfter
        order { number customer { name level accounts { key } } invoices { number open { amount } } } } }`,
    )
    deliver(world(), orderOf(3))
    await gateway.poll('erp')
    expect(await orders.payloads(1)).toEqual([
      {
        event: 'order.delivered',
        statusBefore: 'CONFIRMED',
        statusAfter: 'DELIVERED',
        order: {
          number: '1009',
          customer: { name: '上海晨光精密机械有限公司', level: 'VIP', accounts: [{ key: 'C20001' }] },
          invoices: [],
        },
      },
    ])
  })

  it('of stock without a trace in the ERP is found by comparing', async () => {
    await using stock = await gateway.listen(
      'subscription { inventoryChanged(warehouse: "HAM") { onHandBefore onHandAfter level { product { sku } } } }',
    )
    moveStock(world(), 'A00005', '01', { inStock: '1' })
    moveStock(world(), 'A00005', 'HAM', { inStock: '-4' })
    await gateway.poll('erp')
    expect(await stock.payloads(1)).toEqual([
      { onHandBefore: '704', onHandAfter: '700', level: { product: { sku: 'A00005' } } },
    ])
  })

  it('of a customer arrives by the webhook of the CRM, with the fields that differ', async () => {
    await using customers = await gateway.listen(
      'subscription S($id: ID) { customerChanged(id: $id) { event changes { field old new } customer { id level accounts { key } } } }',
      { id: customer('70021') },
    )
    const known = world().get('crmCustomers', '70021')
    if (!known) throw new Error('no customer 70021')
    const other = world().get('crmCustomers', '70042')
    if (!other) throw new Error('no customer 70042')
    const now = new Date().toISOString()
    world().put('crmCustomers', { ...other, level: 'BASIC', revision: 2, updatedAt: now })
    world().put('crmCustomers', { ...known, level: 'VIP', revision: 2, updatedAt: now })
    const [change] = await customers.payloads(1)
    expect(change).toEqual({
      event: 'customer.updated',
      changes: [
        { field: 'level', old: '"PREMIUM"', new: '"VIP"' },
        { field: 'vendorLevel', old: '"PREMIUM"', new: '"VIP"' },
      ],
      customer: { id: customer('70021'), level: 'VIP', accounts: [{ key: 'C20003' }] },
    })
    await gateway.poll('crm')
    expect(customers.results).toHaveLength(1)
  })

  it('of an invoice arrives by the webhook of finance, as paid when it is', async () => {
    await using invoices = await gateway.listen(
      `subscription { invoiceChanged { event invoice { number status paid { amount } open { amount }
        customer { name } orders { number status } } } }`,
    )
    const amount = '1050.90'
    pay(world(), {
      customerNo: 'D-00006',
      date: '2026-07-01',
      amount,
      currency: 'EUR',
      method: 'TRANSFER',
      reference: 'live',
      externalReference: 'live-invoice',
      applications: [{ invoiceNo: 'INV-000002', amount }],
    })
    expect(await invoices.payloads(1)).toEqual([
      {
        event: 'invoice.paid',
        invoice: {
          number: 'INV-000002',
          status: 'PAID',
          paid: { amount },
          open: { amount: '0.00' },
          customer: { name: 'Nordlicht Maschinenbau GmbH' },
          orders: [{ number: '1012', status: 'DELIVERED' }],
        },
      },
    ])
    await gateway.poll('fin')
    expect(invoices.results).toHaveLength(1)
  })

  it('of another order does not reach who watches one order, or one customer', async () => {
    await using one = await gateway.listen(ORDERS, { id: idOf('order', 'erp', '5') })
    await using both = await gateway.listen(ORDERS, { customerId: customer('70014') })
    changeOrder(world(), orderOf(6), { comments: 'somebody else' })
    changeOrder(world(), orderOf(4), { comments: 'the euro account' })
    changeOrder(world(), orderOf(5), { comments: 'the dollar account' })
    await gateway.poll('erp')
    const numbers = (payloads: readonly { order: { number: string } }[]) =>
      payloads.map(({ order }) => order.number)
    expect(numbers(await both.payloads(2)).sort()).toEqual(['1012', '1015'])
    expect(numbers(await one.payloads(1))).toEqual(['1015'])
    expect([both.results.length, one.results.length]).toEqual([2, 1])
  })
})

describe('a writeback', () => {
  it('is told of at each step', async () => {
    await using steps = await gateway.listen(
      'subscription { writebackChanged { id state attempts idempotencyKey system { id } } }',
    )
    const { createOrder } = await gateway.data(CREATE, { input: input('live-steps') })
    const { id } = createOrder.writeback
    const about = { id, idempotencyKey: 'live-steps', system: { id: 'erp' }, attempts: 1 }
    expect(await steps.payloads(2)).toEqual([
      { ...about, state: 'SENDING' },
      { ...about, state: 'CONFIRMED' },
    ])
  })
})

describe('after a lost connection', () => {
  it('the cursor brings what was missed, in order, and then goes on', async () => {
    let cursor: string
    {
      await using orders = await gateway.listen(ORDERS, { id: idOf('order', 'erp', '7') })
      await mark()
      cursor = (await orders.payloads(1))[0].cursor
    }
    const missed = [await mark(), await mark(), await mark()]
    await using again = await gateway.listen(ORDERS, { id: idOf('order', 'erp', '7'), after: cursor })
    const news = async (count: number) =>
      (await again.payloads(count)).map(({ changes }) => JSON.parse(changes[0].new))
    expect(await news(3)).toEqual(missed)
    const live = await mark()
    expect(await news(4)).toEqual([...missed, live])
    expect(new Set((await again.payloads(4)).map((payload) => payload.cursor)).size).toBe(4)
  })

  it('a cursor that was not given by this gateway is refused', async () => {
    for (const after of ['', 'x', Buffer.from('abcdefgh.1.AAAAAAAAAAAAAAAA').toString('base64url')]) {
      await using orders = await gateway.listen(ORDERS, { after })
      const [refused] = await orders.take(1)
      expect(codesOf(refused ?? {})).toEqual(['CURSOR_INVALID'])
      await orders.ended
    }
  })

  it('a cursor of another tenant is refused', async () => {
    await using own = await openTestGateway({
      override: (file) =>
        file.callers.push({ apiKey: 'key-of-a-stranger-2', subject: 'eve', tenant: 'other' }),
    })
    await using orders = await own.listen(ORDERS)
    await own.data(CREATE, { input: input('cursor') })
    const [{ cursor }] = await orders.payloads(1)
    await using stranger = await own.listen(ORDERS, { after: cursor }, { 'X-API-Key': 'key-of-a-stranger-2' })
    expect(codesOf((await stranger.take(1))[0] ?? {})).toEqual(['CURSOR_INVALID'])
    await using reader = await own.listen(ORDERS, { after: cursor }, READER)
    await own.data(CREATE, { input: input('cursor, next') })
    expect(await reader.payloads(1)).toMatchObject([{ order: { customerReference: 'cursor, next' } }])
  })

  it('the log is still there when the gateway was restarted', async () => {
    const dataDir = temporaryFolder()
    let cursor: string
    {
      await using first = await openTestGateway({ dataDir })
      await using orders = await first.listen(ORDERS)
      await first.data(CREATE, { input: input('before') })
      cursor = (await orders.payloads(1))[0].cursor
      await first.data(CREATE, { input: input('between') })
    }
    await using second = await openTestGateway({ dataDir })
    await using orders = await second.listen(ORDERS, { after: cursor })
    expect(await orders.payloads(1)).toMatchObject([{ order: { customerReference: 'between' } }])
  })
})

describe('a webhook', () => {
  const SECRET = 'demo-webhook-secret'
  const body = (change: object = {}) =>
    Buffer.from(
      JSON.stringify({
        id: 'evt-1',
        event: 'invoice.updated',
        timestamp: new Date().toISOString(),
        source: 'finance',
        data: { externalId: 'INV-000001' },
        ...change,
      }),
    )
  const call = (
    raw: Buffer,
    { id = 'evt-1', secret = SECRET, ageSeconds = 0, system = 'fin', headers = {} } = {},
  ) => {
    const timestamp = Math.floor(Date.now() / 1000) - ageSeconds
    return gateway.post(raw, {
      path: `/webhooks/${system}`,
      headers: {
        'webhook-id': id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signWebhook(secret, id, timestamp, raw),
        ...headers,
      },
    })
  }

  it('that is signed is received, once where it comes twice', async () => {
    await using invoices = await gateway.listen(
      'subscription S($id: ID) { invoiceChanged(id: $id) { event invoice { paid { amount } } } }',
      { id: idOf('invoice', 'fin', 'INV-000003') },
    )
    pay(world(), {
      customerNo: 'D-00012',
      date: '2026-07-01',
      amount: '1000',
      currency: 'JPY',
      method: 'TRANSFER',
      reference: '',
      externalReference: 'webhook',
      applications: [{ invoiceNo: 'INV-000003', amount: '1000' }],
    })
    expect(await invoices.payloads(1)).toEqual([
      { event: 'invoice.updated', invoice: { paid: { amount: '1000' } } },
    ])
    const id = randomUUID()
    const raw = body({ id, data: { externalId: 'INV-000003' } })
    for (const _time of [1, 2]) {
      const { status, body: answer } = await call(raw, { id })
      expect({ status, answer }).toEqual({ status: 200, answer: { received: 1 } })
    }
    expect(invoices.results).toHaveLength(1)
  })

  it('with a wrong signature is refused', async () => {
    expect((await call(body(), { secret: 'guessed' })).status).toBe(401)
    expect((await call(body(), { headers: { 'webhook-signature': 'v1,' } })).status).toBe(401)
    expect((await call(body(), { headers: { 'webhook-id': 'evt-2' } })).status).toBe(401)
    expect((await gateway.post(body(), { path: '/webhooks/fin' })).status).toBe(401)
  })

  it('that is older or newer than five minutes is refused, though its signature is right', async () => {
    expect((await call(body(), { ageSeconds: 301 })).status).toBe(401)
    expect((await call(body(), { ageSeconds: -301 })).status).toBe(401)
    expect((await call(body(), { ageSeconds: 295 })).status).toBe(200)
  })

  it('that cannot be read is refused as such', async () => {
    const malformed = [
      Buffer.from('{'),
      Buffer.from('null'),
      Buffer.alloc(0),
      Buffer.from([0xff, 0xfe, 0x00]),
      body({ id: undefined }),
      body({ id: 'another' }),
      body({ timestamp: 'yesterday' }),
      body({ data: {} }),
      Buffer.from('['.repeat(20_000)),
    ]
    for (const raw of malformed) {
      const { status, body: answer } = await call(raw)
      expect({ status, error: typeof answer?.error, raw: raw.toString('utf8', 0, 20) }).toEqual({
        status: 400,
        error: 'string',
        raw: raw.toString('utf8', 0, 20),
      })
    }
  })

  it('for a system that there is not, or that sends none, finds nobody', async () => {
    expect((await call(body(), { system: 'nobody' })).status).toBe(404)
    expect((await call(body(), { system: 'erp' })).status).toBe(404)
    expect((await call(body(), { system: '__proto__' })).status).toBe(404)
  })

  it('of a record that is not there any more is received', async () => {
    const { status } = await call(body({ data: { externalId: 'INV-999999' } }))
    expect(status).toBe(200)
  })

  it('whose record cannot be read now is to be sent again', async () => {
    gateway.demo.simulators.fin.setFaults([{ kind: 'refuse' }])
    try {
      expect((await call(body())).status).toBe(503)
    } finally {
      gateway.demo.simulators.fin.setFaults([])
    }
  })

  it('over the limit of the body is refused', async () => {
    const { status } = await call(Buffer.alloc(1_100_000, 0x20))
    expect(status).toBe(413)
  })
})

describe('history', () => {
  it('is not told as news: orders that were there before the first look are no events', async () => {
    await using fresh = await openTestGateway()
    await using orders = await fresh.listen(ORDERS)
    await fresh.poll('erp')
    placeOrder(fresh.demo.world, {
      cardCode: 'C20003',
      currency: 'USD',
      docDate: '2026-07-01',
      dueDate: '2026-07-09',
      lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
    })
    await fresh.poll('erp')
    expect(await orders.payloads(1)).toMatchObject([{ event: 'order.created' }])
    expect(orders.results).toHaveLength(1)
  })
})
