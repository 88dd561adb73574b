/**
 * `npm run bench events [-- --subscribers 5000 --operations 100 --seconds 8]`: fan-out of one event to many WebSocket
 * subscribers, with a field from another subgraph: at 50 events a second, and with more than can be delivered.
 * Beside it a plain graphql-ws server and two gateways. Then events per second through a signed webhook, durable; how
 * long one takes from there to a subscriber; and a thousand clients that were cut off and come back at once. One server
 * at a time, clients in processes of their own.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Received, Resumed, Sent, Shape, Usage } from './messages.ts'

const { values } = parseArgs({
  options: {
    subscribers: { type: 'string', default: '5000' },
    operations: { type: 'string', default: '100' },
    matching: { type: 'string', default: '5' },
    rate: { type: 'string', default: '50' },
    /** Events of the second step, far more a second than any server here can deliver. */
    flood: { type: 'string', default: '400' },
    seconds: { type: 'string', default: '8' },
    processes: { type: 'string', default: '2' },
    servers: { type: 'string' },
    only: { type: 'string', default: 'fan-out,ingestion,webhooks,resume' },
    json: { type: 'string' },
  },
})
const shape: Shape = {
  subscribers: Number(values.subscribers),
  operations: Number(values.operations),
  matching: Number(values.matching),
}
const seconds = Number(values.seconds)

interface Contestant {
  readonly name: string
  /** What is measured. */
  readonly server: string
  /** The process in which events come to be, where that is another one, and which the server is told of. */
  readonly subgraphs?: string
}

const contestants: readonly Contestant[] = [
  { name: 'tributary', server: 'tributary.ts' },
  { name: 'graphql-ws', server: 'plain.ts' },
  { name: 'hive', server: 'peers/hive.mjs', subgraphs: 'subgraphs.ts' },
  { name: 'mercurius', server: 'peers/mercurius.mjs', subgraphs: 'subgraphs.ts' },
]

/** Events a second at which every server lags: what it does for a second of CPU then is what it can do at most. */
const FLOOD_RATE = 2_000

interface Step {
  readonly eventsPerSecond: number
  readonly events: number
  readonly deliveries: number
  readonly missing: number
  readonly disordered: number
  readonly incomplete: number
  readonly untilLastP50Ms: number
  readonly untilLastP99Ms: number
  readonly deliveriesPerSecond: number
  readonly cpuSeconds: number
  readonly deliveriesPerCpuSecond: number
}

interface Fan {
  readonly server: string
  readonly bytesPerSubscriber: number
  readonly quiet: Step
  readonly flood: Step
}

interface Process {
  readonly child: ChildProcess
  ask<T>(question: object): Promise<T>
}

function startProcess(file: string): Process {
  const child = fork(new URL(file, import.meta.url).pathname, [], {
    serialization: 'advanced',
    execArgv: ['--expose-gc'],
  })
  const gone = once(child, 'exit').then(([code]) => {
    throw new Error(`${file} ended with ${code}`)
  })
  gone.catch(() => {})
  return {
    child,
    async ask<T>(question: object): Promise<T> {
      child.send(question)
      const signal = AbortSignal.timeout(600_000)
      const [answer] = await Promise.race([once(child, 'message', { signal }), gone])
      if ((answer as { error?: string }).error) throw new Error((answer as { error: string }).error)
      return answer as T
    },
  }
}

async function stop(...processes: readonly (Process | undefined)[]): Promise<void> {
  for (const one of processes) one?.child.disconnect()
  await Promise.all(processes.map((one) => one && one.child.exitCode === null && once(one.child, 'exit')))
}

/** Subscribers, divided among processes. */
function startClients(): {
  readonly processes: readonly Process[]
  connect(question: Shape & { readonly url: string; readonly keep?: boolean }): Promise<void>
  all<T>(question: object): Promise<T[]>
} {
  const processes = Array.from({ length: Number(values.processes) }, () => startProcess('./clients.ts'))
  const all = <T>(question: object) => Promise.all(processes.map((one) => one.ask<T>(question)))
  return {
    processes,
    all,
    async connect({ subscribers, ...question }) {
      await all({ ...question, ask: 'connect', subscribers: subscribers / processes.length })
      // The last subscriptions are still on their way.
      await delay(2_000)
    },
  }
}

async function fanOut({ name, server: file, subgraphs: subgraphsFile }: Contestant): Promise<Fan> {
  const subgraphs = subgraphsFile === undefined ? undefined : startProcess(`./${subgraphsFile}`)
  const server = startProcess(`./${file}`)
  const clients = startClients()
  try {
    const known = await subgraphs?.ask<Record<string, string>>({ ask: 'start', ...shape })
    const { url } = await server.ask<{ url: string }>({ ask: 'start', ...shape, subgraphs: known })
    await clients.connect({ ...shape, url: String(url) })
    const { rss, rssAtStart } = await server.ask<Usage>({ ask: 'usage', lookOnly: true })
    const measure = async (rate: number, events: number): Promise<Step> => {
      const before = await server.ask<Usage>({ ask: 'usage' })
      const sent = await (subgraphs ?? server).ask<Sent>({ ask: 'send', ...shape, rate, events })
      const expected = (events * shape.matching * shape.subscribers) / shape.operations
      const received = await clients.all<Received>({
        ask: 'result',
        expected: expected / clients.processes.length,
      })
      const after = await server.ask<Usage>({ ask: 'usage' })
      const step = stepOf(sent, expected, received, (after.cpuMs - before.cpuMs) / 1_000)
      process.stderr.write(`${name} ${JSON.stringify(step)}\n`)
      return step
    }
    const rate = Number(values.rate)
    return {
      server: name,
      bytesPerSubscriber: Math.round((rss - rssAtStart) / shape.subscribers),
      quiet: await measure(rate, rate * seconds),
      flood: await measure(FLOOD_RATE, Number(values.flood)),
    }
  } finally {
    await stop(...clients.processes, server, subgraphs)
  }
}

function stepOf(
  { events, ms }: Sent,
  expected: number,
  received: readonly Received[],
  cpuSeconds: number,
): Step {
  const untilLast = new Map<string, number>()
  for (const one of received)
    for (const [moment, ms] of one.untilLast) untilLast.set(moment, Math.max(ms, untilLast.get(moment) ?? 0))
  const at = quantiles([...untilLast.values()])
  const deliveries = sum(received.map((one) => one.deliveries))
  const took =
    Math.max(...received.map(({ lastAt }) => lastAt)) - Math.min(...received.map(({ firstAt }) => firstAt))
  return {
    eventsPerSecond: round((events / ms) * 1_000),
    events,
    deliveries,
    missing: expected - deliveries,
    disordered: sum(received.map((one) => one.disordered)),
    incomplete: sum(received.map((one) => one.incomplete)),
    untilLastP50Ms: at(0.5),
    untilLastP99Ms: at(0.99),
    deliveriesPerSecond: Math.round((deliveries / took) * 1_000),
    cpuSeconds: round(cpuSeconds),
    deliveriesPerCpuSecond: Math.round(deliveries / cpuSeconds),
  }
}

async function alone(what: ReadonlySet<string>): Promise<object> {
  const server = startProcess('./tributary.ts')
  const clients = startClients()
  try {
    const { url } = await server.ask<{ url: string }>({ ask: 'start', ...shape })
    const webhooks = what.has('webhooks')
      ? await besideTimers(server.ask<object>({ ask: 'webhooks', seconds: 20 }))
      : undefined
    const ingestion = what.has('ingestion')
      ? await server.ask<object>({ ask: 'ingest', seconds: 5 })
      : undefined
    const resume = what.has('resume') ? await resumed(server, clients, url) : undefined
    return { webhooks, ingestion, resume }
  } finally {
    await stop(...clients.processes, server)
  }
}

/** The same with how late a timer of this process, which has nothing to do, comes meanwhile: so late is the machine. */
async function besideTimers(work: Promise<object>): Promise<object> {
  const late: number[] = []
  let isOver = false
  const over = () => {
    isOver = true
  }
  work.then(over, over)
  while (!isOver) {
    const began = performance.now()
    await delay(20)
    late.push(performance.now() - began - 20)
  }
  return { ...(await work), timersLateP99Ms: quantiles(late)(0.99) }
}

/** Cut off while events go on, back at once. */
async function resumed(
  server: Process,
  clients: ReturnType<typeof startClients>,
  url: string,
): Promise<object> {
  await clients.connect({ ...shape, url, subscribers: 1_000, keep: true })
  const sending = server.ask<Sent>({
    ask: 'send',
    ...shape,
    rate: Number(values.rate),
    events: 20 * Number(values.rate),
  })
  await clients.all({ ask: 'cut' })
  await delay(10_000)
  const found = await clients.all<Resumed>({ ask: 'resume' })
  await sending
  return {
    clients: sum(found.map((one) => one.clients)),
    caughtUpMs: Math.max(...found.map(({ caughtUpMs }) => caughtUpMs)),
    replayed: sum(found.map((one) => one.replayed)),
    gaps: sum(found.map((one) => one.gaps)),
    duplicates: sum(found.map((one) => one.duplicates)),
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0)
const round = (value: number) => Math.round(value * 100) / 100
const quantiles = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b)
  return (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
}

const what = new Set(values.only.split(','))
const names = values.servers?.split(',')
const fans: Fan[] = []
for (const contestant of what.has('fan-out') ? contestants : []) {
  if (names && !names.includes(contestant.name)) continue
  if (contestant.subgraphs && !existsSync(new URL('./peers/node_modules', import.meta.url))) {
    process.stderr.write(`${contestant.name} is left out: npm i --prefix test/bench/events/peers\n`)
    continue
  }
  fans.push(await fanOut(contestant))
}
const capacity = (fan: Fan) => fan.flood.deliveriesPerCpuSecond
const ours = fans.find(({ server }) => server === 'tributary')
const ratios = Object.fromEntries(
  ours
    ? fans.filter((fan) => fan !== ours).map((fan) => [fan.server, round(capacity(ours) / capacity(fan))])
    : [],
)
const report = {
  cores: availableParallelism(),
  load: round(loadavg()[0] ?? 0),
  node: process.version,
  shape: { ...shape, seconds },
  fanOut: fans,
  ratios,
  ...(['ingestion', 'webhooks', 'resume'].some((one) => what.has(one)) ? await alone(what) : {}),
}
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
if (values.json) writeFileSync(values.json, JSON.stringify(report))
const wrong = fans
  .flatMap(({ quiet, flood }) => [quiet, flood])
  .some(({ missing, disordered, incomplete }) => missing !== 0 || disordered > 0 || incomplete > 0)
process.exit(wrong ? 1 : 0)
