import { createHash, createHmac, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeOrder, moveStock } from '../../src/simulation/trade.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import { openTestGateway, type TestGateway } from '../e2e/kit.ts'

const SECRET = 'a-secret-of-the-erp'
const API_KEY = 'erp-key'

async function open(notify: object): Promise<TestGateway> {
  const gateway = await openTestGateway({
    override(file) {
      Object.assign(file.systems.erp ?? {}, { notify })
    },
  })
  await gateway.poll()
  return gateway
}

function change(gateway: TestGateway, entry: number, comments: string): void {
  const order = gateway.demo.world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  changeOrder(gateway.demo.world, order, { comments })
}

const ORDERS = 'subscription { orderChanged { event changes { new } order { number } } }'
const COUNTS = `{ system(id: "erp") { webhooks {
  received repeated postponed badSignature badTimestamp malformed tooLarge } } }`
const countsOf = async (gateway: TestGateway) => (await gateway.data(COUNTS)).system.webhooks
const nothing = {
  received: 0,
  repeated: 0,
  postponed: 0,
  badSignature: 0,
  badTimestamp: 0,
  malformed: 0,
  tooLarge: 0,
}

/** The ways to sign, each as its own document says: written here a second time, from the document. */
const profiles = [
  {
    name: 'timestamp, key and body (seed 001)',
    notify: { profile: 'timestamp-key-body', apiKey: API_KEY, secret: SECRET },
    post(gateway: TestGateway, event: { entry: number }, { secret = SECRET, ageMs = 0 } = {}) {
      const timestamp = String(Date.now() - ageMs)
      const body = JSON.stringify({
        eventId: randomUUID(),
        eventType: 'ORDER_UPDATED',
        timestamp: Number(timestamp),
        data: { orderId: event.entry },
      })
      return gateway.post(body, {
        path: '/webhooks/erp',
        headers: {
          authorization: `ApiKey ${API_KEY}`,
          'x-timestamp': timestamp,
          'x-signature': createHash('sha256')
            .update(timestamp + API_KEY + body + secret)
            .digest('hex'),
        },
      })
    },
  },
  {
    name: 'a signature in the body (seed 002)',
    notify: { profile: 'signed-body', secret: SECRET },
    post(gateway: TestGateway, event: { entry: number }, { secret = SECRET, ageMs = 0 } = {}) {
      const bare = JSON.stringify({
        id: randomUUID(),
        event: 'order.updated',
        timestamp: new Date(Date.now() - ageMs).toISOString(),
        source: 'sap_b1',
        data: { externalId: String(event.entry), changes: {} },
        signature: '',
      })
      const signature = `sha256=${createHmac('sha256', secret).update(bare).digest('hex')}`
      return gateway.post(bare.replace('"signature":""', `"signature":"${signature}"`), {
        path: '/webhooks/erp',
      })
    },
  },
  {
    name: 'a signature put behind what it signs (seed 002)',
    notify: { profile: 'signed-body', secret: SECRET },
    post(gateway: TestGateway, event: { entry: number }, { secret = SECRET, ageMs = 0 } = {}) {
      const bare = JSON.stringify({
        id: randomUUID(),
        event: 'order.updated',
        timestamp: new Date(Date.now() - ageMs).toISOString(),
        source: 'sap_b1',
        data: { externalId: String(event.entry), changes: {} },
      })
      const signature = `sha256=${createHmac('sha256', secret).update(bare).digest('hex')}`
      return gateway.post(bare.replace(/\}$/, `,"signature":"${signature}"}`), {
        path: '/webhooks/erp',
      })
    },
  },
  {
    name: 'Standard Webhooks, with a CloudEvent',
    notify: { profile: 'standard', secret: SECRET },
    post(gateway: TestGateway, event: { entry: number }, { secret = SECRET, ageMs = 0 } = {}) {
      const id = randomUUID()
      const seconds = Math.floor((Date.now() - ageMs) / 1000)
      const body = Buffer.from(
        JSON.stringify({
          specversion: '1.0',
          id,
          source: '/erp',
          type: 'order.updated',
          subject: String(event.entry),
        }),
      )
      return gateway.post(body, {
        path: '/webhooks/erp',
        headers: {
          'webhook-id': id,
          'webhook-timestamp': String(seconds),
          'webhook-signature': signWebhook(secret, id, seconds, body),
        },
      })
    },
  },
]

describe.each(profiles)('a webhook signed by $name', ({ notify, post }) => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await open(notify)
  })
  afterAll(() => gateway[Symbol.asyncDispose]())

  it('is taken; one that is forged or late is refused, counted, and not in the log', async () => {
    await using orders = await gateway.listen(ORDERS)
    const before = (await gateway.app.rooms.events.state()).head
    change(gateway, 7, 'refused')
    expect((await post(gateway, { entry: 7 }, { secret: 'another secret 123' })).status).toBe(401)
    expect((await post(gateway, { entry: 7 }, { ageMs: 301_000 })).status).toBe(401)
    expect((await post(gateway, { entry: 7 }, { ageMs: -301_000 })).status).toBe(401)
    const tooLarge = await gateway.post(Buffer.alloc(2_000_000), { path: '/webhooks/erp' })
    expect(tooLarge.status).toBe(413)
    expect((await gateway.app.rooms.events.state()).head).toBe(before)
    expect((await post(gateway, { entry: 7 })).status).toBe(200)
    expect(await orders.payloads(1)).toMatchObject([
      { order: { number: '1021' }, changes: [{ new: '"refused"' }] },
    ])
    expect(await countsOf(gateway)).toEqual({
      ...nothing,
      received: 1,
      badSignature: 1,
      badTimestamp: 2,
      tooLarge: 1,
    })
  })
})

describe('a webhook', () => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await open({ profile: 'standard', secret: SECRET })
  })
  afterAll(() => gateway[Symbol.asyncDispose]())

  const send = (event: object, id = randomUUID()) => {
    const body = Buffer.from(JSON.stringify({ id, timestamp: new Date().toISOString(), ...event }))
    const seconds = Math.floor(Date.now() / 1000)
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': signWebhook(SECRET, id, seconds, body),
    }
    return () => gateway.post(body, { path: '/webhooks/erp', headers })
  }

  it('that is sent again byte by byte is answered, and not looked at again', async () => {
    change(gateway, 7, 'once')
    const post = send({ event: 'order.updated', data: { externalId: '7' } })
    expect((await post()).status).toBe(200)
    const calls = gateway.demo.simulators.erp.calls.length
    expect((await post()).status).toBe(200)
    expect(gateway.demo.simulators.erp.calls).toHaveLength(calls)
    expect(await countsOf(gateway)).toMatchObject({ received: 1, repeated: 1 })
  })

  it('of stock names product and warehouse apart', async () => {
    await using stock = await gateway.listen(
      'subscription { inventoryChanged { sku warehouse reason onHandAfter } }',
    )
    moveStock(gateway.demo.world, 'A00002', 'YOK', { inStock: '5' })
    const { status } = await send({
      eventId: randomUUID(),
      eventType: 'INVENTORY_CHANGED',
      timestamp: Date.now(),
      warehouseId: 'YOK',
      skuId: 'A00002',
      beforeQty: 1,
      afterQty: 2,
      changeType: 'IN',
    })()
    expect(status).toBe(200)
    // The figures are the system's own, not the message's.
    expect(await stock.payloads(1)).toEqual([
      { sku: 'A00002', warehouse: 'YOK', reason: 'IN', onHandAfter: '812' },
    ])
  })

  it('of a record that is gone tells of its end, once; three feeds make it one event', async () => {
    await using orders = await gateway.listen(ORDERS)
    for (const event of ['order.deleted', 'order.updated', 'order.deleted'])
      expect((await send({ event, data: { externalId: '99999' } })()).status).toBe(200)
    change(gateway, 7, 'afterwards')
    await send({ event: 'order.updated', data: { externalId: '7' } })()
    expect(await orders.payloads(2)).toMatchObject([
      { event: 'order.deleted', order: null },
      { event: 'order.updated', order: { number: '1021' } },
    ])
    expect(orders.results).toHaveLength(2)
  })

  it('that says nothing understandable is refused as such', async () => {
    const odd = [
      {},
      { event: 'order.updated', data: {} },
      { event: 'weather.changed', data: { externalId: '1' } },
    ]
    for (const event of odd) expect((await send(event)()).status).toBe(400)
    expect(await countsOf(gateway)).toMatchObject({ malformed: odd.length })
  })
})
