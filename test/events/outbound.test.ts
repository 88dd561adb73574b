import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAddressCheck } from '../../src/events/addresses.ts'
import { changeOrder } from '../../src/simulation/trade.ts'
import { verifyWebhook } from '../../src/systems/kit/signature.ts'
import { codesOf, eventually, openTestGateway, READER, type TestGateway } from '../e2e/kit.ts'

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Somebody else's server: takes what it is sent, and answers as it is told. */
async function receiver() {
  const received: Received[] = []
  const told = { status: 200 }
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks) })
      response.writeHead(told.status, { location: 'http://127.0.0.1:1/' }).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hook`,
    named: `http://localhost:${port}/hook`,
    received,
    answer: (status: number) => {
      told.status = status
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const open = (outbound: object) => openTestGateway({ override: (file) => Object.assign(file, { outbound }) })

const REGISTER = `mutation R($input: RegisterWebhookInput!) { registerWebhook(input: $input) {
  secret webhook { id url events state retryPolicy { maxRetries retryDelay backoffMultiplier } } } }`
const WEBHOOK = `query W($id: ID!) { webhook(id: $id) { state note
  deliveries { nodes { id event state nextAttemptAt attempts { number status error } } } } }`

const register = async (gateway: TestGateway, input: object) =>
  (await gateway.data(REGISTER, { input })).registerWebhook
const webhookOf = async (gateway: TestGateway, id: string) => (await gateway.data(WEBHOOK, { id })).webhook

let marks = 0
async function mark(gateway: TestGateway): Promise<string> {
  const order = gateway.demo.world.get('erpOrders', '7')
  if (!order) throw new Error('no order 7')
  const comments = `mark ${++marks}`
  changeOrder(gateway.demo.world, order, { comments })
  await gateway.poll('erp')
  return comments
}

describe('a webhook to others', () => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await open({ allow: ['127.0.0.0/8', '::1'], pauseAfter: '1500ms' })
    await gateway.poll()
  })
  afterAll(() => gateway[Symbol.asyncDispose]())

  it('brings the events that were asked for, signed, in order, once', async () => {
    await using hook = await receiver()
    const { secret, webhook } = await register(gateway, { url: hook.url, events: ['order.updated'] })
    expect(webhook.retryPolicy).toEqual({ maxRetries: 8, retryDelay: 5000, backoffMultiplier: 3 })
    const comments = [await mark(gateway), await mark(gateway), await mark(gateway)]
    await eventually(() => hook.received.length >= 3)
    const bodies = hook.received.map(({ body }) => JSON.parse(body.toString()))
    expect(bodies.map(({ data }) => data.changes.comments.new)).toEqual(comments)
    expect(bodies[0]).toMatchObject({
      event: 'order.updated',
      source: 'erp',
      timestamp: expect.any(String),
      data: { externalId: '7', changes: { comments: { new: comments[0] } } },
    })
    for (const { headers, body } of hook.received)
      expect(verifyWebhook(secret, { headers: headers as never, body }, new Date())).toMatchObject({
        ok: true,
      })
    expect(new Set(hook.received.map(({ headers }) => headers['webhook-id'])).size).toBe(3)
    await gateway.data('mutation D($id: ID!) { deleteWebhook(id: $id) }', { id: webhook.id })
  })

  it('that is not taken comes again under the same id, is visible, and can be replayed', async () => {
    await using hook = await receiver()
    hook.answer(302)
    const retryPolicy = { maxRetries: 1, retryDelay: 100, backoffMultiplier: 1 }
    const { webhook } = await register(gateway, { url: hook.named, events: ['order.*'], retryPolicy })
    await mark(gateway)
    const failed = await eventually(async () => {
      const { deliveries } = await webhookOf(gateway, webhook.id)
      return deliveries.nodes[0]?.state === 'FAILED' && deliveries.nodes[0]
    })
    expect(failed).toMatchObject({
      event: 'order.updated',
      nextAttemptAt: null,
      attempts: [
        { number: 1, status: 302, error: 'HTTP 302' },
        { number: 2, status: 302 },
      ],
    })
    expect(new Set(hook.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    hook.answer(200)
    const { replayWebhook } = await gateway.data('mutation P($id: ID!) { replayWebhook(id: $id) }', {
      id: webhook.id,
    })
    expect(replayWebhook).toBe(1)
    await eventually(
      async () => (await webhookOf(gateway, webhook.id)).deliveries.nodes[0].state === 'DELIVERED',
    )
    expect(hook.received).toHaveLength(3)
    await gateway.data('mutation D($id: ID!) { deleteWebhook(id: $id) }', { id: webhook.id })
  })

  it('at which nothing succeeds for long is paused, with an event; then it goes on where it stopped', async () => {
    await using hook = await receiver()
    await using watcher = await receiver()
    await register(gateway, { url: watcher.url, events: ['webhook.paused'] })
    hook.answer(500)
    const retryPolicy = { maxRetries: 20, retryDelay: 100, backoffMultiplier: 1 }
    const { webhook } = await register(gateway, { url: hook.url, events: ['order.updated'], retryPolicy })
    const missed = [await mark(gateway)]
    await eventually(async () => (await webhookOf(gateway, webhook.id)).state === 'FAILING')
    await eventually(() => watcher.received.length === 1)
    missed.push(await mark(gateway))
    hook.answer(200)
    const before = hook.received.length
    await gateway.data('mutation A($id: ID!) { setWebhookActive(id: $id, active: true) { state } }', {
      id: webhook.id,
    })
    await eventually(() => hook.received.length >= before + 2)
    const comments = hook.received
      .slice(before)
      .map(({ body }) => JSON.parse(body.toString()).data.changes.comments.new)
    expect(comments.sort()).toEqual(missed)
  })

  it('is a matter of operators, and needs an address and types', async () => {
    const input = { url: 'https://example.com/', events: ['*'] }
    expect(codesOf(await gateway.ask(REGISTER, { input }, READER))).toEqual(['FORBIDDEN'])
    expect(codesOf(await gateway.ask('{ webhooks { id } }', {}, READER))).toEqual(['FORBIDDEN'])
    const wrong = [
      { ...input, url: 'ftp://example.com' },
      { ...input, url: 'https://user:password@example.com' },
      { ...input, events: [] },
      { ...input, events: ['Order Created'] },
      { ...input, secret: 'short' },
      { ...input, retryPolicy: { maxRetries: 1000 } },
    ]
    for (const one of wrong)
      expect(codesOf(await gateway.ask(REGISTER, { input: one }))).toEqual(['BAD_USER_INPUT'])
  })
})

describe('an internal address', () => {
  it('is refused when it is connected to, written out or behind a name', async () => {
    await using gateway = await open({})
    await gateway.poll()
    await using hook = await receiver()
    const ids: string[] = []
    for (const url of [hook.url, hook.named]) {
      const { webhook } = await register(gateway, { url, events: ['order.*'] })
      ids.push(webhook.id)
    }
    await mark(gateway)
    for (const id of ids) {
      const attempts = await eventually(async () => {
        const [delivery] = (await webhookOf(gateway, id)).deliveries.nodes
        return delivery?.attempts.length > 0 && delivery.attempts
      })
      expect(attempts[0]).toMatchObject({ status: null, error: expect.stringContaining('internal address') })
    }
    expect(hook.received).toHaveLength(0)
  })

  it('is known in every spelling; one network may be allowed', () => {
    const isAllowed = createAddressCheck([])
    const internal = [
      '127.0.0.1',
      '10.1.2.3',
      '169.254.169.254',
      '192.168.0.1',
      '172.31.0.1',
      '100.64.0.1',
      '0.0.0.0',
    ]
    const internal6 = [
      '::1',
      '::',
      'fe80::1',
      'fd00::1',
      '::ffff:127.0.0.1',
      '::ffff:a00:1',
      '64:ff9b::7f00:1',
    ]
    for (const address of [...internal, ...internal6])
      expect([address, isAllowed(address)]).toEqual([address, false])
    for (const address of ['8.8.8.8', '2606:4700::1111', '172.32.0.1']) expect(isAllowed(address)).toBe(true)
    const withOwn = createAddressCheck(['10.1.0.0/16'])
    expect(['10.1.2.3', '10.2.0.1'].map(withOwn)).toEqual([true, false])
  })
})
