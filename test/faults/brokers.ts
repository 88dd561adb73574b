/** Brokers of the campaign's own, that are killed and started again, and what is published to them and found there. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BROKERS, type Stored } from '../events/brokers.ts'

export type BrokerName = 'nats' | 'rocketmq'

export interface BrokerUnderTest extends AsyncDisposable {
  /** For the gateway's configuration: brokers, feeds and sinks. */
  readonly config: object
  /** Milliseconds between two restarts, at least. */
  readonly upMs: number
  /** Milliseconds after which all that was told has come again, whoever was killed while it had it in hand. */
  readonly settleMs: number
  /** As `kill -9` does, and started again after a while. */
  restart(): Promise<void>
  /** Answers when the topic has it, however long the server is away. */
  tell(body: string): Promise<void>
  /** What the gateway has not yet acknowledged; null where the broker does not tell. */
  unsettled(): Promise<number | null>
  /** What the sink's topic holds, in its order, until it is enough or no more comes. */
  told(isEnough: (found: readonly Stored[]) => boolean): Promise<readonly Stored[]>
}

/** A server's process. */
interface Server {
  readonly address: string
  kill(): Promise<void>
  /** Where it was. */
  again(): Promise<void>
  end(): Promise<void>
}

const KINDS = {
  nats: { start: startNats, of: 'NATS JetStream', upMs: 1_500, settleMs: 30_000 },
  // It takes its time to start; what a killed gateway had in hand comes again after a minute.
  rocketmq: { start: startRocketMq, of: 'RocketMQ 5', upMs: 10_000, settleMs: 100_000 },
} as const
const AWAY_MS = 400

export async function startBroker(name: BrokerName): Promise<BrokerUnderTest> {
  const { start, of, upMs, settleMs } = KINDS[name]
  const folder = mkdtempSync(join(tmpdir(), `tributary-${name}-`))
  const server = await start(folder)
  const broker = await BROKERS.find((kind) => kind.name === of)?.open(server.address)
  if (!broker) throw new Error(`no broker is called ${of}`)
  const { feed, sink, group } = await broker.topics()

  return {
    upMs,
    settleMs,
    config: {
      brokers: { bus: broker.settings },
      feeds: { orders: { broker: 'bus', topic: feed, group, system: 'erp', attempts: 1_000 } },
      sinks: { bi: { broker: 'bus', topic: sink, events: ['order.*'], from: 'beginning' } },
    },

    async restart() {
      await server.kill()
      await delay(AWAY_MS)
      await server.again()
    },

    async tell(body) {
      for (;;) {
        try {
          return await broker.put(feed, body)
        } catch {
          await delay(50)
        }
      }
    },

    unsettled: () => broker.unsettled(feed, group),
    told: (isEnough) => broker.read(sink, isEnough),

    async [Symbol.asyncDispose]() {
      // A client that waits for its server would keep the campaign.
      await Promise.race([Promise.allSettled([broker[Symbol.asyncDispose]()]), delay(5_000)])
      await server.end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startNats(folder: string): Promise<Server> {
  const port = await freePort()
  let server: ChildProcess | undefined
  const again = async () => {
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
  await again()
  return { address: `nats://127.0.0.1:${port}`, again, kill, end: kill }
}

/** Name server and broker; only the broker, which the proxy is part of, is killed. */
async function startRocketMq(folder: string): Promise<Server> {
  const script = new URL('../../.ci/rocketmq', import.meta.url).pathname
  const call = async (what: string) => (await promisify(execFile)(script, [what, folder])).stdout.trim()
  const again = async () => {
    await call('again')
  }
  const address = await call('start')
  return {
    address,
    again,
    kill: async () => {
      await call('kill')
    },
    end: async () => {
      await call('stop')
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
