/** One contract for every broker: what a topic tells is in the log once, and what the log has is in the topic. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeOrder } from '../../src/simulation/trade.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import { openTestGateway, READER, type TestGateway, temporaryFolder } from '../e2e/kit.ts'
import { BROKERS, type TestBroker } from './brokers.ts'

const ORDERS = 'subscription { orderChanged { event changes { new } order { number } } }'
const SECRET = 'a secret of the publisher'

/** Seed 001 §3.2. */
const told = (entry: number, eventId: string = randomUUID()) =>
  JSON.stringify({
    eventId,
    eventType: 'ORDER_UPDATED',
    timestamp: Date.now(),
    data: { orderId: entry },
  })

function change(gateway: TestGateway, entry: number, comments: string): void {
  const order = gateway.demo.world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  changeOrder(gateway.demo.world, order, { comments })
}

const feedState = (gateway: TestGateway) => {
  const [state] = gateway.app.rooms.brokers.feeds.list()
  if (!state) throw new Error('no feed')
  return state
}
const commentsOf = (results: readonly { changes: readonly { new: string }[] }[]) =>
  results.map(({ changes }) => changes.map((one) => JSON.parse(one.new) as string).join())

for (const { name, variable, address, open } of BROKERS) {
  const skipped = address === undefined
  if (skipped) process.stderr.write(`${name} is not tested: set ${variable} to the address of a server\n`)
  describe.skipIf(skipped)(name, { timeout: 60_000 }, () => {
    let broker: TestBroker
    beforeAll(async () => {
      broker = await open(address as string)
    }, 60_000)
    afterAll(() => broker?.[Symbol.asyncDispose]())

    type Topics = Awaited<ReturnType<TestBroker['topics']>>
    const openWith = async (
      topics: Topics,
      settings: { feed?: object; sink?: object; system?: object; dataDir?: string } = {},
    ): Promise<TestGateway> => {
      const { feed, sink, group } = topics
      const gateway = await openTestGateway({
        ...(settings.dataDir ? { dataDir: settings.dataDir } : {}),
        override(file) {
          Object.assign(file, {
            maxBodyBytes: 65_536,
            brokers: { bus: broker.settings },
            ...(settings.feed
              ? { feeds: { orders: { broker: 'bus', topic: feed, group, system: 'erp', ...settings.feed } } }
              : {}),
            ...(settings.sink ? { sinks: { bi: { broker: 'bus', topic: sink, ...settings.sink } } } : {}),
          })
          Object.assign(file.systems.erp ?? {}, { breaker: { failures: 1_000 }, ...settings.system })
        },
      })
      await gateway.poll()
      return gateway
    }

    it('tells of a change: it is an event, once, however often it is told', async () => {
      const topics = await broker.topics()
      await using gateway = await openWith(topics, { feed: {} })
      await using orders = await gateway.listen(ORDERS)
      change(gateway, 7, 'first')
      const message = told(7)
      for (const _time of [1, 2, 3]) await broker.put(topics.feed, message)
      await expect.poll(() => feedState(gateway).received, { timeout: 20_000 }).toBe(3)
      change(gateway, 8, 'second')
      await broker.put(topics.feed, told(8))
      expect(commentsOf(await orders.payloads(2))).toEqual(['first', 'second'])
      // Acknowledged, each of them.
      if ((await broker.unsettled(topics.feed, topics.group)) !== null)
        await expect.poll(() => broker.unsettled(topics.feed, topics.group)).toBe(0)
      expect(feedState(gateway)).toMatchObject({ connected: true, problem: null, parked: 0, postponed: 0 })
    })

    it('has what it told while nobody listened', async () => {
      const topics = await broker.topics()
      const dataDir = temporaryFolder()
      try {
        const before = await openWith(topics, { feed: {}, dataDir })
        await expect.poll(() => feedState(before).connected, { timeout: 20_000 }).toBe(true)
        await before[Symbol.asyncDispose]()
        await broker.put(topics.feed, told(7))
        await using gateway = await openWith(topics, { feed: {}, dataDir })
        await expect.poll(() => feedState(gateway).received, { timeout: 30_000 }).toBe(1)
      } finally {
        rmSync(dataDir, { recursive: true, force: true })
      }
    })

    it('is asked again for what could not be read, and acknowledged only when it is in the log', async () => {
      const topics = await broker.topics()
      await using gateway = await openWith(topics, {
        feed: {},
        system: { retry: { attempts: 0 }, breaker: { failures: 1_000 } },
      })
      await using orders = await gateway.listen(ORDERS)
      change(gateway, 7, 'while it was away')
      gateway.demo.simulators.erp.setFaults([{ kind: 'refuse' }])
      await broker.put(topics.feed, told(7))
      await expect.poll(() => feedState(gateway).postponed, { timeout: 20_000 }).toBeGreaterThan(0)
      expect((await broker.unsettled(topics.feed, topics.group)) ?? 1).toBe(1)
      gateway.demo.simulators.erp.setFaults([])
      expect(commentsOf(await orders.payloads(1))).toEqual(['while it was away'])
      expect(feedState(gateway).parked).toBe(0)
    })

    it('does not stop at what nobody can take: that is parked with the reason, and tried again when asked', async () => {
      const topics = await broker.topics()
      await using gateway = await openWith(topics, {
        feed: { attempts: 1 },
        system: { retry: { attempts: 0 } },
      })
      const { feeds } = gateway.app.rooms.brokers
      await using orders = await gateway.listen(ORDERS)
      await broker.put(topics.feed, 'this is no JSON')
      await broker.put(topics.feed, Buffer.from([0xff, 0xfe, 0x00]))
      await broker.put(topics.feed, Buffer.alloc(70_000, 0x20))
      await broker.put(
        topics.feed,
        JSON.stringify({ eventId: '1', eventType: 'WEATHER_CHANGED', timestamp: Date.now() }),
      )
      await expect.poll(() => feedState(gateway).parked, { timeout: 20_000 }).toBe(4)
      change(gateway, 8, 'behind them')
      await broker.put(topics.feed, told(8))
      expect(commentsOf(await orders.payloads(1))).toEqual(['behind them'])

      gateway.demo.simulators.erp.setFaults([{ kind: 'refuse' }])
      change(gateway, 7, 'parked')
      const message = told(7)
      await broker.put(topics.feed, message)
      await expect.poll(() => feedState(gateway).parked, { timeout: 20_000 }).toBe(5)
      const list = await feeds.parked({ first: 10 })
      expect(list.map(({ reason }) => reason).toSorted()).toEqual([
        '"weather.changed" is about nothing that is known here',
        'it has 70000 bytes; 65536 are allowed',
        'its record could not be read, 1 times',
        'the body is no JSON',
        'the body is no JSON',
      ])
      const last = list.find(({ reason }) => reason.startsWith('its record'))
      expect(last).toMatchObject({ feed: 'orders', body: message, replayable: true })
      expect(await feeds.replay(last?.id ?? '')).toEqual({ reason: 'its record cannot be read now' })
      gateway.demo.simulators.erp.setFaults([])
      expect(await feeds.replay(last?.id ?? '')).toEqual({ reason: null })
      expect(await feeds.replay(last?.id ?? '')).toBe('gone')
      expect(commentsOf(await orders.payloads(2))).toEqual(['behind them', 'parked'])
      const long = list.find(({ reason }) => reason.startsWith('it has'))
      expect(long).toMatchObject({ body: ' '.repeat(4_096), replayable: false })
      expect(await feeds.replay(long?.id ?? '')).toEqual({ reason: long?.reason })
      const words = list.find(({ body }) => body === 'this is no JSON')
      expect(await feeds.replay(words?.id ?? '')).toEqual({ reason: 'the body is no JSON' })
      expect(await feeds.discard(words?.id ?? '')).toBe(true)
      expect(await feeds.discard(words?.id ?? '')).toBe(false)
      expect(await feeds.parked({ first: 10 })).toHaveLength(3)
      const [first, ...rest] = await feeds.parked({ first: 10 })
      expect(await feeds.parked({ first: 10, before: first?.id })).toEqual(rest)
      // The same through the graph, page by page.
      const graph = await gateway.data(`{
        brokerFeeds { name connected received parked }
        parkedMessages(first: 2) { nodes { id feed reason } pageInfo { hasNextPage endCursor } }
      }`)
      expect(graph.brokerFeeds).toMatchObject([{ name: 'orders', connected: true, received: 6, parked: 5 }])
      const { nodes, pageInfo } = graph.parkedMessages
      expect(pageInfo.hasNextPage).toBe(true)
      const after = await gateway.data(
        'query Next($after: String) { parkedMessages(after: $after) { nodes { id } pageInfo { hasNextPage } } }',
        { after: pageInfo.endCursor },
      )
      const ids = [...nodes, ...after.parkedMessages.nodes].map(({ id }: { id: string }) => id)
      expect(ids).toEqual([first, ...rest].map((one) => one?.id))
      const discard = 'mutation Discard($id: ID!) { discardParkedMessage(id: $id) }'
      expect(await gateway.data(discard, { id: ids[0] })).toEqual({ discardParkedMessage: true })
      const asReader = await gateway.ask(discard, { id: ids[1] }, READER)
      expect(asReader.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }])
    })

    it('is believed only where its messages are signed, if so configured', async () => {
      const topics = await broker.topics()
      await using gateway = await openWith(topics, {
        feed: { signature: { profile: 'standard', secret: SECRET } },
      })
      await using orders = await gateway.listen(ORDERS)
      const put = (body: string, secret: string) => {
        const id = randomUUID()
        const seconds = Math.floor(Date.now() / 1000)
        const signature = signWebhook(secret, id, seconds, Buffer.from(body))
        return broker.put(topics.feed, body, {
          'webhook-id': id,
          'webhook-timestamp': String(seconds),
          'webhook-signature': signature,
        })
      }
      change(gateway, 7, 'forged')
      await put(told(7), 'the secret of another')
      await broker.put(topics.feed, told(7))
      await expect.poll(() => feedState(gateway).parked, { timeout: 20_000 }).toBe(2)
      change(gateway, 8, 'signed')
      await put(told(8), SECRET)
      expect(commentsOf(await orders.payloads(1))).toEqual(['signed'])
    })

    it('is told of every event, in order for each record, and again from any place', async () => {
      const topics = await broker.topics()
      const dataDir = temporaryFolder()
      const sequences = (list: readonly { body: Buffer; key: string }[], key: string) =>
        list.filter((one) => one.key === key).map(({ body }) => JSON.parse(body.toString()).data.changes)
      try {
        {
          await using gateway = await openWith(topics, { sink: { events: ['order.*'] }, dataDir })
          for (const count of [1, 2, 3])
            for (const entry of [7, 8]) {
              change(gateway, entry, `change ${count}`)
              await gateway.poll('erp')
            }
          const { sinks } = gateway.app.rooms.brokers
          await expect.poll(async () => (await sinks.list())[0]?.sent, { timeout: 20_000 }).toBe(6)
        }
        // After a restart it goes on behind what it has sent.
        await using gateway = await openWith(topics, { sink: { events: ['order.*'] }, dataDir })
        change(gateway, 7, 'change 4')
        await gateway.poll('erp')
        const { sinks } = gateway.app.rooms.brokers
        await expect.poll(async () => (await sinks.list())[0]?.sent, { timeout: 20_000 }).toBe(1)
        const sent = await broker.read(topics.sink, ({ length }) => length === 7)
        expect(sent).toHaveLength(7)
        const comment = (count: number, old: string) => ({
          comments: { old, new: `change ${count}` },
        })
        expect(sequences(sent, 'erp/order/8').slice(1)).toMatchObject([
          comment(2, 'change 1'),
          comment(3, 'change 2'),
        ])
        expect(sequences(sent, 'erp/order/7').slice(1)).toMatchObject([
          comment(2, 'change 1'),
          comment(3, 'change 2'),
          comment(4, 'change 3'),
        ])
        const { data, sequence, ...envelope } = JSON.parse(sent[0]?.body.toString() ?? '')
        expect(sent[0]?.type).toBe('order.updated')
        expect(envelope).toMatchObject({
          specversion: '1.0',
          source: '/systems/erp',
          type: 'order.updated',
          subject: '7',
          datacontenttype: 'application/json',
        })

        // Everything once more, under the same ids.
        const backfill = `mutation Again($name: String!, $after: String!) {
          backfillSink(name: $name, after: $after) { name topic events } }`
        expect(await gateway.data(backfill, { name: 'bi', after: String(Number(sequence) - 1) })).toEqual({
          backfillSink: { name: 'bi', topic: topics.sink, events: ['order.*'] },
        })
        const unknown = await gateway.ask(backfill, { name: 'nobody', after: '0' })
        expect(unknown.errors).toMatchObject([{ extensions: { code: 'NOT_FOUND' } }])
        await expect.poll(async () => (await sinks.list())[0]?.sent, { timeout: 20_000 }).toBe(8)
        const all = await broker.read(topics.sink, ({ length }) => length === 14)
        expect(all).toHaveLength(14)
        const idsOf = (list: typeof all) => list.map(({ body }) => JSON.parse(body.toString()).id).toSorted()
        expect(new Set(idsOf(all))).toEqual(new Set(idsOf(sent)))
        expect((await sinks.list())[0]).toMatchObject({ behind: 0, gaps: 0, problem: null })
      } finally {
        rmSync(dataDir, { recursive: true, force: true })
      }
    })

    it('that is not there holds nobody up, and its reason can be seen', async () => {
      const topics = { feed: 'missing.topic', sink: 'missing.sink', group: 'nobody' }
      await using gateway = await openWith(topics, { feed: {}, sink: {} })
      change(gateway, 7, 'seen by polling')
      await gateway.poll('erp')
      await expect.poll(() => feedState(gateway).problem, { timeout: 30_000 }).toMatch(/topic|stream/i)
      const { sinks } = gateway.app.rooms.brokers
      await expect.poll(async () => (await sinks.list())[0]?.problem, { timeout: 30_000 }).not.toBeNull()
      expect((await sinks.list())[0]).toMatchObject({ sent: 0, behind: 1 })
    })
  })
}
