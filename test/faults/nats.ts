/** A NATS server of the campaign's own, that is killed and started again, and what is published to it and found there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'

export interface NatsUnderTest extends AsyncDisposable {
  /** For the gateway's configuration: brokers, feeds and sinks. */
  readonly config: object
  /** As `kill -9` does, and started again after a while. */
  restart(): Promise<void>
  /** Answers when the stream has it, however long the server is away. */
  tell(body: string): Promise<void>
  /** What the gateway has not yet acknowledged. */
  unsettled(): Promise<number>
  /** What the sink's subject holds, in its order. */
  told(): Promise<readonly { readonly key: string; readonly id: string; readonly sequence: number }[]>
}

const FEED = 'campaign.in'
const SINK = 'campaign.out'
const GROUP = 'campaign'
const AWAY_MS = 400

export async function startNats(): Promise<NatsUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-nats-'))
  const port = await freePort()
  const url = `nats://127.0.0.1:${port}`
  let server: ChildProcess | undefined

  const start = async () => {
    const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder], {
      stdio: 'ignore',
    })
    const failed = once(child, 'error').then(([error]) => {
      throw new Error('nats-server cannot be started: .ci/nats installs it', { cause: error })
    })
    failed.catch(() => {})
    await Promise.race([once(child, 'spawn'), failed])
    server = child
  }
  const kill = async () => {
    const child = server
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  const connection = async () => {
    for (let tries = 1; ; tries++) {
      try {
        return await connect({ servers: [url], maxReconnectAttempts: -1, reconnectTimeWait: 100 })
      } catch (error) {
        if (tries === 50) throw error
        await delay(100)
      }
    }
  }

  await start()
  const nats = await connection()
  const manager = await jetstreamManager(nats)
  await manager.streams.add({ name: 'CAMPAIGN', subjects: [FEED, `${SINK}.>`] })

  return {
    config: {
      brokers: { bus: { kind: 'nats', servers: [url] } },
      feeds: { orders: { broker: 'bus', topic: FEED, group: GROUP, system: 'erp', attempts: 1_000 } },
      sinks: { bi: { broker: 'bus', topic: SINK, events: ['order.*'], from: 'beginning' } },
    },

    async restart() {
      await kill()
      await delay(AWAY_MS)
      await start()
    },

    async tell(body) {
      for (;;) {
        try {
          await jetstream(nats).publish(FEED, body, { timeout: 1_000 })
          return
        } catch {
          await delay(50)
        }
      }
    },

    async unsettled() {
      const info = await manager.consumers.info('CAMPAIGN', GROUP)
      return info.num_pending + info.num_ack_pending
    },

    async told() {
      const { state } = await manager.streams.info('CAMPAIGN')
      const reader = `reader-${Date.now()}`
      await manager.consumers.add('CAMPAIGN', {
        durable_name: reader,
        filter_subject: `${SINK}.>`,
        ack_policy: AckPolicy.None,
      })
      const consumer = await jetstream(nats).consumers.get('CAMPAIGN', reader)
      const { num_pending: count } = await consumer.info()
      const found: { key: string; id: string; sequence: number }[] = []
      if (count === 0 || state.messages === 0) return found
      for await (const message of await consumer.fetch({ max_messages: count, expires: 10_000 })) {
        const { id, sequence } = message.json<{ id: string; sequence: string }>()
        found.push({
          key: message.headers?.get('tributary-key') ?? '',
          id,
          sequence: Number(sequence),
        })
      }
      return found
    },

    async [Symbol.asyncDispose]() {
      await nats.close().catch(() => {})
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (!address || typeof address === 'string') throw new Error('no port')
  server.close()
  await once(server, 'close')
  return address.port
}
