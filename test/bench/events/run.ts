/**
 * `npm run bench events [-- --subscribers 5000 --operations 100 --rate 50 --seconds 10]`: fan-out of one event to many
 * WebSocket subscribers, with a field from another subgraph; beside it a plain graphql-ws server that does no more than
 * a program of twenty lines would. Then events per second through a signed webhook, durable; then a thousand clients
 * that were cut off and come back at once. One server at a time, clients in processes of their own.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { FromClients, FromServer, Numbers } from './messages.ts'

const { values } = parseArgs({
  options: {
    subscribers: { type: 'string', default: '5000' },
    operations: { type: 'string', default: '100' },
    matching: { type: 'string', default: '5' },
    rate: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '10' },
    servers: { type: 'string', default: 'tributary,plain' },
    json: { type: 'string' },
  },
})
const shape = {
  subscribers: Number(values.subscribers),
  operations: Number(values.operations),
  matching: Number(values.matching),
  rate: Number(values.rate),
  seconds: Number(values.seconds),
}

interface Process {
  readonly child: ChildProcess
  ask<T>(question: object, wait?: number): Promise<T>
}

function startProcess(file: string, ...args: string[]): Process {
  const child = fork(new URL(file, import.meta.url).pathname, args, { serialization: 'advanced' })
  return {
    child,
    async ask<T>(question: object, wait = 300_000): Promise<T> {
      child.send(question)
      const signal = AbortSignal.timeout(wait)
      const [answer] = await once(child, 'message', { signal })
      if ((answer as { error?: string }).error) throw new Error((answer as { error: string }).error)
      return answer as T
    },
  }
}

async function fanOut(name: string): Promise<Numbers> {
  const server = startProcess(`./${name}.ts`)
  const clients = startProcess('./clients.ts')
  try {
    const { url } = await server.ask<{ url: string }>({ ask: 'start', operations: shape.operations })
    await clients.ask({ ask: 'connect', url, ...shape })
    await delay(1_000)
    const before = await server.ask<FromServer>({ ask: 'usage' })
    const sent = await server.ask<FromServer>({ ask: 'send', ...shape })
    const got = await clients.ask<FromClients>({ ask: 'result', events: sent.events })
    const after = await server.ask<FromServer>({ ask: 'usage' })
    const cpu = (after.cpuMs - before.cpuMs) / 1_000
    const expected = (sent.events * shape.matching * shape.subscribers) / shape.operations
    return {
      server: name,
      events: sent.events,
      deliveries: got.deliveries,
      missing: expected - got.deliveries,
      eventToLastP50Ms: got.p50,
      eventToLastP99Ms: got.p99,
      cpuSeconds: round(cpu),
      deliveriesPerCpuSecond: Math.round(got.deliveries / cpu),
      bytesPerSubscriber: Math.round((before.rss - before.rssAtStart) / shape.subscribers),
    }
  } finally {
    clients.child.kill()
    server.child.kill()
    await Promise.all([once(server.child, 'exit'), once(clients.child, 'exit')])
  }
}

async function tributaryAlone(): Promise<object> {
  const server = startProcess('./tributary.ts')
  const clients = startProcess('./clients.ts')
  try {
    const { url } = await server.ask<{ url: string }>({ ask: 'start', operations: shape.operations })
    const ingestion = await server.ask<object>({ ask: 'ingest', seconds: 5 })
    await clients.ask({ ask: 'connect', url, ...shape, subscribers: 1_000, matching: 5 })
    await delay(500)
    // Cut off while events go on, back at once.
    const sending = server.ask<FromServer>({ ask: 'send', ...shape, seconds: 20 })
    await clients.ask({ ask: 'cut' })
    await delay(10_000)
    const resumed = clients.ask<object>({ ask: 'resume' })
    await sending
    const resume = await resumed
    return { ingestion, resume }
  } finally {
    clients.child.kill()
    server.child.kill()
  }
}

const round = (value: number) => Math.round(value * 100) / 100

const fans: Numbers[] = []
for (const name of values.servers.split(',')) {
  fans.push(await fanOut(name))
  process.stderr.write(`${JSON.stringify(fans.at(-1))}\n`)
}
const [ours, plain] = fans
const ratio = ours && plain ? round(ours.deliveriesPerCpuSecond / plain.deliveriesPerCpuSecond) : null
const alone = values.servers.includes('tributary') ? await tributaryAlone() : {}
const report = { cores: availableParallelism(), node: process.version, shape, fanOut: fans, ratio, ...alone }
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
if (values.json) writeFileSync(values.json, JSON.stringify(report))
process.exit(fans.some(({ missing }) => missing !== 0) ? 1 : 0)
