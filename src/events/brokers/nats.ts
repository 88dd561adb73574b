/**
 * NATS JetStream: a durable pull consumer with explicit acknowledgement, and publishing that the stream confirms.
 * Streams are the operator's: they say how much is kept where. Consumers are made here where they are missing.
 *
 * @see https://docs.nats.io/nats-concepts/jetstream/consumers
 */
import { AckPolicy, JetStreamApiError, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, credsAuthenticator, headers, type NatsConnection, nanos } from '@nats-io/transport-node'
import type { Log } from '../../observe/log.ts'
import type { NatsSettings } from './config.ts'
import { type Broker, CONCURRENT, type Message, type Verdict } from './port.ts'

const CONNECT_MS = 5_000
/** A server that is silent for twice as long is taken for gone. */
const PING_MS = 10_000
const PUBLISH_MS = 5_000
/** Without a sign from us a message comes again after this: soon after we, or an acknowledgement, were lost. */
const ACK_WAIT_MS = 15_000
const SIGN_EVERY_MS = 5_000

export function createNatsBroker(settings: NatsSettings, logger: Log): Broker {
  let connection: Promise<NatsConnection> | undefined
  let closed = false

  /** One for all feeds and sinks; it comes back by itself when it was lost. */
  const connected = (): Promise<NatsConnection> => {
    if (closed) return Promise.reject(new Error('the broker is closed'))
    connection ??= connect(connectOptions(settings)).then(
      (made) => {
        void made.closed().then(() => {
          connection = undefined
        })
        return made
      },
      (error: unknown) => {
        connection = undefined
        throw error
      },
    )
    return connection
  }

  return {
    async consume({ topic, group, onReady }, handle, signal) {
      const nats = await connected()
      const manager = await jetstreamManager(nats, { timeout: CONNECT_MS })
      const stream = await manager.streams.find(topic).catch((cause: unknown) => {
        throw new Error(`no stream has the subject "${topic}": make one`, { cause })
      })
      await manager.consumers.info(stream, group).catch((error: unknown) => {
        if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_NOT_FOUND) throw error
        return manager.consumers.add(stream, {
          durable_name: group,
          filter_subject: topic,
          ack_policy: AckPolicy.Explicit,
          ack_wait: nanos(ACK_WAIT_MS),
          max_ack_pending: 10 * CONCURRENT,
        })
      })
      const consumer = await jetstream(nats).consumers.get(stream, group)
      const messages = await consumer.consume({ max_messages: CONCURRENT, abort_on_missing_resource: true })
      const stop = () => messages.stop()
      signal.addEventListener('abort', stop)
      if (signal.aborted) stop()
      const inHand = new Map<JsMsg, Promise<void>>()
      const signs = setInterval(() => {
        for (const message of inHand.keys()) message.working()
      }, SIGN_EVERY_MS)
      try {
        onReady()
        for await (const message of messages) {
          // What is still on its way here when we stop is given back at once.
          if (signal.aborted) {
            message.nak()
            continue
          }
          const work = handle(messageOf(message))
            .then((verdict) => tell(message, verdict))
            .catch((error: unknown) =>
              logger.error({ err: error }, 'a message was not settled; it comes again'),
            )
            .finally(() => inHand.delete(message))
          inHand.set(message, work)
          if (inHand.size >= CONCURRENT) await Promise.race(inHand.values())
        }
      } finally {
        signal.removeEventListener('abort', stop)
        await Promise.allSettled(inHand.values())
        clearInterval(signs)
      }
      if (!signal.aborted) throw new Error('the consumer ended: was it, or its stream, deleted?')
    },

    async publish({ topic, type, key, id, body }) {
      const nats = await connected()
      const head = headers()
      head.set('tributary-key', encodeURIComponent(key))
      // The stream drops what comes a second time within its window.
      await jetstream(nats).publish(`${topic}.${type}`, body, {
        msgID: id,
        headers: head,
        timeout: PUBLISH_MS,
      })
    },

    async close() {
      closed = true
      const open = await connection?.catch(() => undefined)
      // Acknowledgements that are still to be written go first.
      await open?.flush().catch(() => {})
      await open?.close()
    },
  }
}

const CONSUMER_NOT_FOUND = 10_014

function connectOptions({ servers, user, password, token, credentials, ca }: NatsSettings) {
  return {
    servers,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    ...(credentials === undefined
      ? {}
      : { authenticator: credsAuthenticator(new TextEncoder().encode(credentials)) }),
    ...(ca === undefined ? {} : { tls: { caFile: ca } }),
    name: 'tributary',
    timeout: CONNECT_MS,
    pingInterval: PING_MS,
    maxReconnectAttempts: -1,
    // A password that was changed over there may be changed back; whoever follows is told meanwhile.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 500,
  }
}

function messageOf(message: JsMsg): Message {
  const { info, data } = message
  const head: Record<string, string> = {}
  for (const name of message.headers?.keys() ?? [])
    head[name.toLowerCase()] = message.headers?.get(name) ?? ''
  return {
    id: `${info.stream}/${info.streamSequence}`,
    body: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    headers: head,
    at: new Date(Math.floor(info.timestampNanos / 1_000_000)),
    deliveries: info.deliveryCount,
  }
}

/** An acknowledgement that is lost is no harm: the message comes again, and is known. */
function tell(message: JsMsg, verdict: Verdict): void {
  if (verdict.taken) message.ack()
  else message.nak(verdict.againMs)
}
