/**
 * `npm run bench gateway`: ours against the limit and against peers, one core for each, answers compared.
 *
 * Options: `--seconds N` per measurement, `--only NAME,NAME`, `--url NAME=URL` for a server of your own that reads
 * the supergraph this prints.
 */
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { parse } from 'graphql'
import { createEngine } from '../../../src/federation/engine.ts'
import { httpTransport } from '../../../src/federation/http.ts'
import { fanOut } from './fan-out.ts'
import { load } from './load.ts'
import type { Recording } from './replay.ts'
import { deep, type Measured, mutation, nested, small, spread, supergraph } from './shop.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    queries: { type: 'string', default: 'small,deep,nested,mutation,spread' },
    subscribers: { type: 'string', default: '1000' },
    json: { type: 'boolean', default: false },
    peers: { type: 'string', default: join(import.meta.dirname, 'peers') },
  },
  allowPositionals: true,
})
const seconds = Number(values.seconds)
const connections = Number(values.connections)
const only = values.only.split(',').filter(Boolean)
const here = import.meta.dirname
const work = mkdtempSync(join(tmpdir(), 'bench-gateway-'))
const canPin = spawnSync('taskset', ['-c', '0', 'true']).status === 0
const children: ChildProcess[] = []

const say = (line: string): boolean => process.stderr.write(`${line}\n`)

/** `PROFILE=DIR` writes CPU profiles of ours. */
const profiling = (file: string): string[] =>
  process.env.PROFILE && /(ours|engine-alone|replay)\.ts$/.test(file)
    ? ['--cpu-prof', `--cpu-prof-dir=${process.env.PROFILE}`]
    : []

/** Starts a module on one core; what it reports first says where it listens. */
function start<T>(
  file: string,
  args: readonly string[],
  core: number,
  cwd = here,
): Promise<[T, ChildProcess]> {
  const node = process.execPath
  const child = fork(file, args, {
    cwd,
    ...(canPin ? { execPath: 'taskset', execArgv: ['-c', String(core), node, ...profiling(file)] } : {}),
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_ENV: 'production', APOLLO_TELEMETRY_DISABLED: 'true' },
  })
  children.push(child)
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve([message as T, child]))
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)))
  })
}

const [{ urls, subscriptionUrl }, subgraphProcess] = await start<{
  urls: Record<string, string>
  subscriptionUrl: string
}>(join(here, 'subgraphs.ts'), [], 1)
if (canPin) spawnSync('taskset', ['-p', '-c', '1', String(process.pid)])
const sdl = supergraph(urls)
const supergraphFile = join(work, 'supergraph.graphql')
writeFileSync(supergraphFile, sdl)

const upstreamCalls = (): Promise<number> =>
  new Promise((resolve) => {
    subgraphProcess.once('message', (message) => resolve((message as { requests: number }).requests))
    subgraphProcess.send('count')
  })

/** Runs an operation once and writes down what it asked for, in stages. */
async function record({ query, variables }: Measured): Promise<Recording> {
  const stages: { url: string; body: string }[][] = []
  let finished = 0
  const engine = createEngine<object>({
    supergraphSdl: sdl,
    transports: ({ url }) => {
      const transport = httpTransport<object>({ url })
      return {
        ...transport,
        async execute(request) {
          const stage = finished
          const calls = stages[stage] ?? []
          stages[stage] = calls
          calls.push({
            url,
            body: JSON.stringify({
              query: request.query,
              operationName: request.operationName,
              variables: request.variables,
            }),
          })
          const response = await transport.execute(request)
          finished = Math.max(finished, stage + 1)
          return response
        },
      }
    },
  })
  const result = await engine.execute({ document: parse(query), variables, context: {} })
  await engine.close()
  if (result.errors) throw new Error(JSON.stringify(result.errors))
  return { answer: `${JSON.stringify(result)}\n`, stages: stages.filter(Boolean) }
}

/** Requests sent in turn. */
interface Workload {
  readonly name: string
  /** Different ones. */
  readonly count: number
  readonly at: (index: number) => Measured
  /** Each operation once: recorded, and asked for before anything is measured. */
  readonly samples: readonly Measured[]
  /** Where there are too many to ask for each beforehand. */
  readonly answerTo?: (index: number) => string
}

const single = (operation: Measured): Workload => ({
  name: operation.name,
  count: 1,
  at: () => operation,
  samples: [operation],
})
const all: readonly Workload[] = [
  ...[small, deep, nested, mutation].map(single),
  {
    name: 'spread',
    count: spread.count,
    at: spread.at,
    samples: Array.from({ length: spread.operations }, (_, i) => spread.at(i)),
    answerTo: spread.answerTo,
  },
]
const workloads = values.queries
  .split(',')
  .flatMap((name) => all.filter((workload) => workload.name === name))

const recordings: Record<string, Recording> = {}
const answers = new Map<string, readonly string[]>()
for (const { name, count, samples, answerTo } of workloads) {
  const recorded: Recording[] = []
  for (const [i, sample] of samples.entries()) {
    const recording = await record(sample)
    if (answerTo && answerTo(i) !== recording.answer.trimEnd()) {
      throw new Error(`${name} ${i}: the data say ${answerTo(i)}, the engine ${recording.answer}`)
    }
    recorded.push(recording)
  }
  answers.set(
    name,
    recorded.map(({ answer }) => answer.trimEnd()),
  )
  const [first] = recorded
  if (!first) continue
  recordings[name] = first
  const calls = recorded.reduce((sum, { stages }) => sum + stages.flat().length, 0) / recorded.length
  const size = recorded.reduce((sum, { answer }) => sum + answer.length, 0) / recorded.length
  say(
    `${name}: ${count} requests, ${calls.toFixed(1)} upstream calls in ${first.stages.length} stages, answers of ${(size / 1000).toFixed(1)} kB`,
  )
}
const recordingFile = join(work, 'recording.json')
writeFileSync(recordingFile, JSON.stringify(recordings))

interface Contestant {
  readonly name: string
  readonly pid: number
  readonly urlFor: (workload: Workload) => string
  readonly child: ChildProcess
}

const contestants: Contestant[] = []
const wanted = (name: string): boolean => only.length === 0 || only.includes(name)
const enter = async (name: string, file: string, args: readonly string[], fixed = false): Promise<void> => {
  if (!wanted(name)) return
  if (!existsSync(file)) return void say(`${name}: not installed (npm ci in ${dirname(file)})`)
  const [{ url }, child] = await start<{ url: string }>(file, args, 0, dirname(file))
  contestants.push({
    name,
    pid: child.pid ?? 0,
    urlFor: (workload) => (fixed ? url + workload.name : url),
    child,
  })
}
await enter('replay', join(here, 'replay.ts'), [recordingFile], true)
await enter('replay with our client', join(here, 'replay.ts'), [recordingFile, 'own'], true)
await enter('engine alone', join(here, 'engine-alone.ts'), [supergraphFile])
await enter('tributary', join(here, 'ours.ts'), [supergraphFile, 'remote', subscriptionUrl])
await enter('tributary deduplicating', join(here, 'ours.ts'), [supergraphFile, 'deduplicate'])
await enter('tributary in process', join(here, 'ours.ts'), [supergraphFile, 'in-process'])
await enter('hive-rust', join(values.peers, 'hive.mjs'), [supergraphFile, 'rust'])
await enter('hive-js', join(values.peers, 'hive.mjs'), [supergraphFile, 'js'])
await enter('apollo', join(values.peers, 'apollo.mjs'), [supergraphFile])

/** By operation and contestant. */
const results: Record<string, Record<string, { perSecond: number; cpu: number }[]>> = {}

/** What a process has used so far, its threads and its system calls; without /proc there is nothing to say. */
function residentBytes(pid: number): number {
  try {
    const kB = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Number(kB) * 1024
  } catch {
    return Number.NaN
  }
}

function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return Number.NaN
  }
}

let wrongAnswers = 0
/** What each contestant says to each request, once it has been compared with the reference. */
const checked = new Map<string, string[]>()
const bodyOf = ({ query, variables }: Measured): string => JSON.stringify({ query, variables })

/** How far each contestant has come: what it was asked last time is not what it is asked next. */
const positions = new Map<string, number>()

async function measure(
  contestant: Contestant,
  workload: Workload,
  time: number,
): Promise<{ perSecond: number; cpu: number }> {
  const url = contestant.urlFor(workload)
  const { count, samples, answerTo } = workload
  const key = `${contestant.name} ${workload.name}`
  const expected = checked.get(key) ?? []
  checked.set(key, expected)
  for (const [i, sample] of samples.entries()) {
    if (i < expected.length) continue
    const body = bodyOf(sample)
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body,
    })
    const answer = await response.text()
    expected.push(answer)
    if (JSON.stringify(JSON.parse(answer)) !== answers.get(workload.name)?.[i]) {
      wrongAnswers++
      say(`${contestant.name}: another answer to ${body}: ${answer.slice(0, 300)}`)
    }
  }
  const before = await upstreamCalls()
  const cpuBefore = cpuSeconds(contestant.pid)
  const from = positions.get(key) ?? 0
  const bodies = count === 1 ? samples.map(bodyOf) : []
  const result = await load({
    url,
    count,
    bodyAt: (index) => bodies[index] ?? bodyOf(workload.at(index)),
    expectedAt: answerTo ?? ((index) => expected[index] ?? ''),
    from,
    connections,
    seconds: time,
  })
  const { answered } = result
  positions.set(key, (from + answered) % count)
  const calls = ((await upstreamCalls()) - before) / answered
  const cpu = ((cpuSeconds(contestant.pid) - cpuBefore) / answered) * 1e6
  wrongAnswers += result.wrong
  say(
    `${contestant.name} · ${workload.name}: ${result.perSecond.toFixed(0)}/s, p50 ${result.p50.toFixed(1)} ms, p99 ${result.p99.toFixed(1)} ms, ${calls.toFixed(1)} upstream calls and ${cpu.toFixed(0)} µs of CPU each${result.wrong ? `, ${result.wrong} WRONG` : ''}`,
  )
  return { perSecond: result.perSecond, cpu }
}

const takesPart = (contestant: Contestant, workload: Workload): boolean =>
  !contestant.name.startsWith('replay') || workload.count === 1

/** Compiling what runs often is CPU time too: until it is over, it would be most of what is seen. */
const warmRequests = 1500
const warmTries = 5

// Rounds are interleaved: what else the machine does meets all alike. The first one only warms up.
for (let round = 0; round <= Number(values.rounds); round++) {
  for (const workload of workloads) {
    for (const contestant of contestants) {
      if (!takesPart(contestant, workload)) continue
      let result = await measure(contestant, workload, seconds)
      let answered = result.perSecond * seconds
      for (let i = 1; round === 0 && answered < warmRequests && i < warmTries; i++) {
        result = await measure(contestant, workload, seconds)
        answered += result.perSecond * seconds
      }
      if (round === 0) continue
      const byName = results[workload.name] ?? {}
      results[workload.name] = byName
      const rates = byName[contestant.name] ?? []
      byName[contestant.name] = rates
      rates.push(result)
    }
  }
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0
const of = (workload: Workload, name: string, what: 'perSecond' | 'cpu'): number =>
  median((results[workload.name]?.[name] ?? []).map((result) => result[what]))
const ratio = (a: number, b: number): string => (a > 0 && b > 0 ? (a / b).toFixed(2) : '–')
const lines = workloads.flatMap((workload) => [
  `| ${workload.name} | requests/s | of the limit | × Hive (Rust) | CPU each, µs | limit's CPU / its | Hive's CPU / its |`,
  '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ...contestants
    .filter((contestant) => takesPart(contestant, workload))
    .map(({ name }) => {
      const [rate, cpu] = [of(workload, name, 'perSecond'), of(workload, name, 'cpu')]
      const cells = [
        rate.toFixed(0),
        ratio(rate, of(workload, 'replay', 'perSecond')),
        ratio(rate, of(workload, 'hive-rust', 'perSecond')),
        cpu.toFixed(0),
        ratio(of(workload, 'replay', 'cpu'), cpu),
        ratio(of(workload, 'hive-rust', 'cpu'), cpu),
      ]
      return `| ${name} | ${cells.join(' | ')} |`
    }),
  '',
])
if (Number(values.subscribers) > 0) {
  const subscribers = Number(values.subscribers)
  lines.push(
    `| one event to ${subscribers} subscribers | until the last has it, ms | events/s | messages/s | memory each, kB |`,
    '| --- | ---: | ---: | ---: | ---: |',
  )
  const measureFanOut = async (
    name: string,
    url: string,
    child: ChildProcess,
    source: ChildProcess,
  ): Promise<void> => {
    say(`${name}: ${subscribers} subscribers`)
    const before = residentBytes(child.pid ?? 0)
    let memory = 0
    const result = await fanOut(
      url,
      subscribers,
      200,
      (upc) => source.send({ move: upc }),
      () => {
        memory = (residentBytes(child.pid ?? 0) - before) / subscribers / 1000
      },
    )
    wrongAnswers += result.wrong
    lines.push(
      `| ${name} | ${result.untilLast.toFixed(1)} | ${result.eventsPerSecond.toFixed(0)} | ${result.deliveriesPerSecond.toFixed(0)} | ${memory.toFixed(1)} |`,
    )
  }
  // Fresh processes: one that has answered a million queries has memory to spare.
  const [ours, oursProcess] = await start<{ url: string }>(
    join(here, 'ours.ts'),
    [supergraphFile, 'remote', subscriptionUrl],
    0,
  )
  await measureFanOut('tributary', ours.url, oursProcess, subgraphProcess)
  const [{ url }, plain] = await start<{ url: string }>(join(here, 'plain-ws.ts'), [], 0)
  await measureFanOut('graphql-ws on graphql-js, no gateway', url, plain, plain)
  for (const planner of ['rust', 'js']) {
    const file = join(values.peers, 'hive.mjs')
    if (!wanted(`hive-${planner}`) || !existsSync(file)) continue
    const [hive, hiveProcess] = await start<{ url: string }>(
      file,
      [supergraphFile, planner, subscriptionUrl],
      0,
      dirname(file),
    )
    try {
      await measureFanOut(`hive-${planner}`, hive.url, hiveProcess, subgraphProcess)
    } catch (error) {
      say(`hive-${planner}: no fan-out: ${error instanceof Error ? error.message : error}`)
    }
  }
}

process.stdout.write(`${lines.join('\n')}\n`)
if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`)
// They end when they hear nothing from here any more.
for (const child of children) if (child.connected) child.disconnect()
await new Promise((resolve) => setTimeout(resolve, process.env.PROFILE ? 3000 : 200))
process.exit(wrongAnswers > 0 ? 1 : 0)
