/** The brokers that the contract runs over: real servers, spoken to here without our drivers. */
import { randomBytes } from 'node:crypto'
import { connect as connectSocket } from 'node:net'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { Producer, SimpleConsumer } from 'rocketmq-client-nodejs'
import type { BrokerSettings } from '../../src/events/brokers/config.ts'

export interface Stored {
  readonly key: string
  readonly type: string
  readonly body: Buffer
}

export interface TestBroker extends AsyncDisposable {
  readonly settings: BrokerSettings
  /** Made anew, empty: topics that nobody else uses, and a group that reads the first. */
  topics(): Promise<{ feed: string; sink: string; group: string }>
  put(topic: string, body: Buffer | string, headers?: Readonly<Record<string, string>>): Promise<void>
  /** Messages of a feed's topic that the broker would still give its group; null where it does not tell. */
  unsettled(topic: string, group: string): Promise<number | null>
  /**
   * Messages of a sink's topic from its first on, in the broker's order per key, until they are enough or none has come
   * for a while.
   */
  read(topic: string, isEnough: (found: readonly Stored[]) => boolean): Promise<readonly Stored[]>
}

export interface BrokerKind {
  readonly name: string
  readonly variable: string
  readonly address: string | undefined
  open(address: string): Promise<TestBroker>
}

const fresh = () => randomBytes(4).toString('hex')
const PATIENCE_MS = 15_000

async function openNats(address: string): Promise<TestBroker> {
  const nats: NatsConnection = await connect({
    servers: [address],
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    waitOnFirstConnect: true,
  })
  const manager = await jetstreamManager(nats)
  const streams: string[] = []
  return {
    settings: { kind: 'nats', servers: [address] },
    async topics() {
      const name = `t${fresh()}`
      await manager.streams.add({ name, subjects: [`${name}.in`, `${name}.out.>`] })
      streams.push(name)
      return { feed: `${name}.in`, sink: `${name}.out`, group: `${name}-group` }
    },
    async put(topic, body, given = {}) {
      const head = headers()
      for (const [name, value] of Object.entries(given)) head.set(name, value)
      await jetstream(nats).publish(topic, body, { headers: head })
    },
    async unsettled(topic, group) {
      const [stream = ''] = topic.split('.')
      const info = await manager.consumers.info(stream, group)
      return info.num_pending + info.num_ack_pending
    },
    async read(topic, isEnough) {
      const [stream = ''] = topic.split('.')
      const reader = `r${fresh()}`
      await manager.consumers.add(stream, {
        durable_name: reader,
        filter_subject: `${topic}.>`,
        ack_policy: AckPolicy.None,
      })
      const consumer = await jetstream(nats).consumers.get(stream, reader)
      const found: Stored[] = []
      for (;;) {
        const message = await consumer.next({ expires: PATIENCE_MS })
        if (!message) return found
        found.push({
          key: decodeURIComponent(message.headers?.get('tributary-key') ?? ''),
          type: message.subject.slice(topic.length + 1),
          body: Buffer.from(message.data),
        })
        if (isEnough(found)) return found
      }
    },
    async [Symbol.asyncDispose]() {
      for (const stream of streams) await manager.streams.delete(stream)
      await nats.close()
    },
  }
}

const silent = { info() {}, warn() {}, error() {}, debug() {} }

/** @param addresses Of the gRPC proxy, and of the broker behind it, which topics and groups are made at. */
async function openRocketMq(addresses: string): Promise<TestBroker> {
  const [endpoints = '', broker = ''] = addresses.split(',')
  const common = { endpoints, namespace: '', logger: silent, requestTimeout: 10_000 }
  const producers = new Map<string, Promise<Producer>>()
  const makeTopic = (topic: string, type: 'NORMAL' | 'FIFO') =>
    administer(broker, UPDATE_TOPIC, {
      topic,
      defaultTopic: 'TBW102',
      readQueueNums: '2',
      writeQueueNums: '2',
      perm: '6',
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: '0',
      order: 'false',
      attributes: `+message.type=${type}`,
    })
  const makeGroup = (groupName: string, isOrdered: boolean) =>
    administer(broker, UPDATE_GROUP, {}, { groupName, consumeMessageOrderly: isOrdered, retryMaxTimes: 16 })

  return {
    settings: { kind: 'rocketmq', endpoints, namespace: '', tls: false },
    async topics() {
      const name = `t${fresh()}`
      const made = { feed: `${name}-in`, sink: `${name}-out`, group: `${name}-group` }
      await makeTopic(made.feed, 'NORMAL')
      await makeTopic(made.sink, 'FIFO')
      await makeGroup(made.group, false)
      return made
    },
    async put(topic, body, given = {}) {
      let starting = producers.get(topic)
      if (!starting) {
        const made = new Producer({ ...common, topic })
        starting = made.startup().then(() => made)
        producers.set(topic, starting)
        starting.catch(() => producers.delete(topic))
      }
      const producer = await starting
      await producer.send({ topic, body: Buffer.from(body), properties: new Map(Object.entries(given)) })
    },
    async unsettled() {
      return null
    },
    async read(topic, isEnough) {
      const group = `r${fresh()}`
      await makeGroup(group, true)
      const consumer = new SimpleConsumer({
        ...common,
        consumerGroup: group,
        subscriptions: new Map([[topic, '*']]),
        awaitDuration: 5_000,
      })
      await consumer.startup()
      const found: Stored[] = []
      try {
        for (let until = Date.now() + PATIENCE_MS; !isEnough(found) && Date.now() < until; ) {
          for (const view of await consumer.receive(32, 30_000)) {
            found.push({ key: view.messageGroup ?? '', type: view.tag ?? '', body: view.body })
            until = Date.now() + PATIENCE_MS
            await consumer.ack(view)
          }
        }
      } finally {
        await consumer.shutdown()
      }
      return found
    },
    async [Symbol.asyncDispose]() {
      for (const producer of producers.values()) await (await producer).shutdown()
    },
  }
}

/** Codes of the remoting protocol, as in RocketMQ's RequestCode. */
const UPDATE_TOPIC = 17
const UPDATE_GROUP = 200

/** One request to the broker: length, length of the JSON header, header, body. */
async function administer(address: string, code: number, extFields: object, body?: object): Promise<void> {
  const [host, port] = address.split(':')
  const header = Buffer.from(
    JSON.stringify({ code, language: 'OTHER', version: 0, opaque: 1, flag: 0, extFields }),
  )
  const payload = body ? Buffer.from(JSON.stringify(body)) : Buffer.alloc(0)
  const frame = Buffer.alloc(8)
  frame.writeUInt32BE(4 + header.length + payload.length, 0)
  frame.writeUInt32BE(header.length, 4)
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const socket = connectSocket(Number(port), host)
    let got = Buffer.alloc(0)
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error(`${address} does not answer`)))
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk])
      if (got.length < 8 || got.length < 4 + got.readUInt32BE(0)) return
      socket.destroy()
      resolve(got.subarray(8, 8 + (got.readUInt32BE(4) & 0xffffff)))
    })
    socket.write(Buffer.concat([frame, header, payload]))
  })
  const said = JSON.parse(answer.toString()) as { code: number; remark?: string }
  if (said.code !== 0) throw new Error(`RocketMQ refused request ${code}: ${said.remark}`)
}

export const BROKERS: readonly BrokerKind[] = [
  {
    name: 'NATS JetStream',
    variable: 'TRIBUTARY_TEST_NATS',
    address: process.env.TRIBUTARY_TEST_NATS,
    open: openNats,
  },
  {
    name: 'RocketMQ 5',
    variable: 'TRIBUTARY_TEST_ROCKETMQ',
    address: process.env.TRIBUTARY_TEST_ROCKETMQ,
    open: openRocketMq,
  },
]
