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
import { load } from './load.ts'
import type { Recording } from './replay.ts'
import { deep, type Measured, mutation, nested, small, spread, supergraph } from './shop.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    queries: { type: 'string', default: 'small,deep,nested,mutation' },
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
  process.env.PROFILE && file.endsWith('ours.ts')
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

const [{ urls }, subgraphProcess] = await start<{ urls: Record<string, string> }>(
  join(here, 'subgraphs.ts'),
  [],
  1,
)
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

const all = { small, deep, nested, mutation }
const measured = values.queries.split(',').map((name) => all[name as keyof typeof all])
const recordings: Record<string, Recording> = {}
for (const operation of measured) recordings[operation.name] = await record(operation)
const recordingFile = join(work, 'recording.json')
writeFileSync(recordingFile, JSON.stringify(recordings))
for (const { name } of measured) {
  const recording = recordings[name]
  say(
    `${name}: ${recording?.stages.flat().length} upstream calls in ${recording?.stages.length} stages, answer of ${((recording?.answer.length ?? 0) / 1000).toFixed(1)} kB`,
  )
}

interface Contestant {
  readonly name: string
  readonly pid: number
  readonly urlFor: (operation: Measured) => string
}

const contestants: Contestant[] = []
const wanted = (name: string): boolean => only.length === 0 || only.includes(name)
const enter = async (name: string, file: string, args: readonly string[], fixed = false): Promise<void> => {
  if (!wanted(name)) return
  if (!existsSync(file)) return void say(`${name}: not installed (npm ci in ${dirname(file)})`)
  const [{ url }, child] = await start<{ url: string }>(file, args, 0, dirname(file))
  contestants.push({ name, pid: child.pid ?? 0, urlFor: (operation) => (fixed ? url + operation.name : url) })
}
await enter('replay', join(here, 'replay.ts'), [recordingFile], true)
await enter('tributary', join(here, 'ours.ts'), [supergraphFile, 'remote'])
await enter('tributary, deduplicating', join(here, 'ours.ts'), [supergraphFile, 'deduplicate'])
await enter('tributary, in process', join(here, 'ours.ts'), [supergraphFile, 'in-process'])
await enter('hive-rust', join(values.peers, 'hive.mjs'), [supergraphFile, 'rust'])
await enter('hive-js', join(values.peers, 'hive.mjs'), [supergraphFile, 'js'])
await enter('apollo', join(values.peers, 'apollo.mjs'), [supergraphFile])

/** By operation and contestant. */
const results: Record<string, Record<string, { perSecond: number; cpu: number }[]>> = {}

/** What a process has used so far, its threads and its system calls; without /proc there is nothing to say. */
function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return Number.NaN
  }
}

let wrongAnswers = 0
const bodyOf = ({ query, variables }: Measured): string => JSON.stringify({ query, variables })

async function measure(
  contestant: Contestant,
  operation: Measured,
  time: number,
): Promise<{ perSecond: number; cpu: number }> {
  const expected = recordings[operation.name]?.answer ?? ''
  const body = bodyOf(operation)
  const response = await fetch(contestant.urlFor(operation), {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body,
  })
  const answer = await response.text()
  if (JSON.stringify(JSON.parse(answer)) !== expected.trimEnd()) {
    wrongAnswers++
    say(`${contestant.name}: another answer to ${operation.name}: ${answer.slice(0, 300)}`)
  }
  const before = await upstreamCalls()
  const cpuBefore = cpuSeconds(contestant.pid)
  const result = await load({
    url: contestant.urlFor(operation),
    bodies: [body],
    expected: [answer],
    connections,
    seconds: time,
  })
  const calls = ((await upstreamCalls()) - before) / (result.perSecond * time)
  const cpu = ((cpuSeconds(contestant.pid) - cpuBefore) / (result.perSecond * time)) * 1e6
  wrongAnswers += result.wrong
  say(
    `${contestant.name} · ${operation.name}: ${result.perSecond.toFixed(0)}/s, p50 ${result.p50.toFixed(1)} ms, p99 ${result.p99.toFixed(1)} ms, ${calls.toFixed(1)} upstream calls and ${cpu.toFixed(0)} µs of CPU each${result.wrong ? `, ${result.wrong} WRONG` : ''}`,
  )
  return { perSecond: result.perSecond, cpu }
}

for (const contestant of contestants) {
  for (const operation of measured) await measure(contestant, operation, Math.min(seconds, 3))
}
for (let round = 0; round < Number(values.rounds); round++) {
  for (const contestant of contestants) {
    for (const operation of measured) {
      const byName = results[operation.name] ?? {}
      results[operation.name] = byName
      const rates = byName[contestant.name] ?? []
      byName[contestant.name] = rates
      rates.push(await measure(contestant, operation, seconds))
    }
  }
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0
const of = (operation: Measured, name: string, what: 'perSecond' | 'cpu'): number =>
  median((results[operation.name]?.[name] ?? []).map((result) => result[what]))
const ratio = (a: number, b: number): string => (b > 0 ? (a / b).toFixed(2) : '–')
const lines = measured.flatMap((operation) => [
  `| ${operation.name} | requests/s | of the limit | × Hive (Rust) | CPU each, µs | limit's CPU / its | Hive's CPU / its |`,
  '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ...contestants.map(({ name }) => {
    const [rate, cpu] = [of(operation, name, 'perSecond'), of(operation, name, 'cpu')]
    const cells = [
      rate.toFixed(0),
      ratio(rate, of(operation, 'replay', 'perSecond')),
      ratio(rate, of(operation, 'hive-rust', 'perSecond')),
      cpu.toFixed(0),
      ratio(of(operation, 'replay', 'cpu'), cpu),
      ratio(of(operation, 'hive-rust', 'cpu'), cpu),
    ]
    return `| ${name} | ${cells.join(' | ')} |`
  }),
  '',
])
process.stdout.write(`${lines.join('\n')}\n`)
if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`)
void mutation
void spread
// They end when they hear nothing from here any more.
for (const child of children) if (child.connected) child.disconnect()
await new Promise((resolve) => setTimeout(resolve, process.env.PROFILE ? 3000 : 200))
process.exit(wrongAnswers > 0 ? 1 : 0)
