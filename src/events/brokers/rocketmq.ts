/**
 * RocketMQ 5 through its gRPC proxy. Topics and groups are the operator's. Order within a key is kept where the topic
 * is of the type FIFO (and, for consumers, the group too).
 *
 * @see apache/rocketmq-clients, nodejs/README.md; rocketmq.apache.org "Consumption Retry"
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type MessageView, Producer, SimpleConsumer } from 'rocketmq-client-nodejs'
import type { Log } from '../../observe/log.ts'
import type { RocketMqSettings } from './config.ts'
import { type Broker, CONCURRENT, type Message, type Verdict } from './port.ts'

/** The shortest that the proxy allows. */
const AWAIT_MS = 5_000
/** A message in hand for longer comes again: much longer than a read with its retries. */
const IN_HAND_MS = 60_000
const NOT_NOW: Verdict = { taken: false, againMs: 0 }
/** Of one receive: the proxy gives 32 at most. */
const BATCH = 32
const REQUEST_MS = 5_000
/** The library waits for a first answer for ever where the proxy went away in between. */
const START_MS = 15_000

export function createRocketMqBroker(settings: RocketMqSettings, logger: Log): Broker {
  const producers = new Map<string, Promise<Producer>>()
  const log = quiet(logger)
  const common = {
    endpoints: settings.endpoints,
    namespace: settings.namespace,
    sslEnabled: settings.tls,
    requestTimeout: REQUEST_MS,
    logger: log,
    ...(settings.accessKey !== undefined && settings.secretKey !== undefined
      ? { sessionCredentials: { accessKey: settings.accessKey, accessSecret: settings.secretKey } }
      : {}),
  }

  const producerFor = (topic: string): Promise<Producer> => {
    let known = producers.get(topic)
    if (!known) {
      // One attempt: whoever publishes tries again, in the right order.
      known = started(new Producer({ ...common, topic, maxAttempts: 1 }))
      producers.set(topic, known)
      known.catch(() => producers.delete(topic))
    }
    return known
  }

  return {
    async consume({ topic, group, onReady }, handle, signal) {
      const consumer = await started(
        new SimpleConsumer({
          ...common,
          consumerGroup: group,
          subscriptions: new Map([[topic, '*']]),
          awaitDuration: AWAIT_MS,
          maxRetryAttempts: 1,
        }),
      )
      const settle = async (view: MessageView) => {
        try {
          await tell(consumer, view, await handle(messageOf(view)))
        } catch (error) {
          logger.error({ err: error }, 'a message was not settled; it comes again')
        }
      }
      const inHand = new Set<Promise<void>>()
      const ended = new Promise<void>((resolve) => {
        if (signal.aborted) resolve()
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
      const receiving = (async () => {
        while (!signal.aborted) {
          for (const view of await consumer.receive(BATCH, IN_HAND_MS)) {
            // What comes when we have stopped is given back at once.
            const work = (signal.aborted ? tell(consumer, view, NOT_NOW) : settle(view))
              .catch(() => {})
              .finally(() => inHand.delete(work))
            inHand.add(work)
          }
          while (inHand.size > CONCURRENT - BATCH) await Promise.race(inHand)
        }
      })()
      // A question that is under way cannot be taken back: nobody waits for it.
      const over = async () => {
        await Promise.allSettled(inHand)
        await consumer.shutdown().catch(() => {})
      }
      receiving.then(over, over)
      onReady()
      await Promise.race([receiving, ended])
      await Promise.allSettled(inHand)
    },

    async publish({ topic, type, key, id, body }) {
      const producer = await producerFor(topic)
      const properties = new Map([['tributary-id', id]])
      await producer.send({
        topic,
        tag: type,
        messageGroup: key,
        keys: [encodeURIComponent(key)],
        properties,
        body,
      })
    },

    async close() {
      const open = await Promise.allSettled(producers.values())
      await Promise.allSettled(
        open.map((one) => (one.status === 'fulfilled' ? one.value.shutdown() : undefined)),
      )
    },
  }
}

/** @returns The same, ready. Rejects with what the proxy said. */
async function started<T extends Producer | SimpleConsumer>(client: T): Promise<T> {
  const stop = new AbortController()
  try {
    const late = delay(START_MS, undefined, { signal: stop.signal }).then(() => {
      throw new Error(`no answer within ${START_MS} ms`)
    })
    await Promise.race([client.startup(), late])
    return client
  } catch (error) {
    await client.shutdown().catch(() => {})
    throw new Error(`RocketMQ cannot be used: ${reasonOf(error)}`, { cause: error })
  } finally {
    stop.abort()
  }
}

/** The library wraps what went wrong in what it was doing, several times. */
function reasonOf(error: unknown): string {
  let inner = error as Error
  while (inner.cause instanceof Error) inner = inner.cause
  return inner.message
}

function messageOf(view: MessageView): Message {
  const { messageId, body, properties, bornTimestamp, deliveryAttempt } = view
  return {
    id: messageId,
    body,
    headers: Object.fromEntries([...properties].map(([name, value]) => [name.toLowerCase(), value])),
    at: bornTimestamp ?? new Date(),
    deliveries: deliveryAttempt ?? 1,
  }
}

async function tell(consumer: SimpleConsumer, view: MessageView, verdict: Verdict): Promise<void> {
  if (verdict.taken) await consumer.ack(view)
  else await consumer.changeInvisibleDuration(view, Math.max(verdict.againMs, 1_000))
}

/** By itself the library writes files into the home folder. What it calls an error is told by what we try next. */
function quiet(logger: Log) {
  const say = (...words: unknown[]) => logger.debug({ words: words.map(String) }, 'rocketmq client')
  return { debug: () => {}, info: () => {}, warn: say, error: say }
}
