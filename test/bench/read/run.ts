/**
 * `npm run bench read`: one system of 150 ms, ten sessions and twenty calls in a second; a thousand customers asked
 * for as people do (Zipf), 200 times in a second, from a cold start, while five of them change in every second.
 *
 * On a machine that others use too, `chrt -r 5 npm run bench read` keeps them out of the latencies.
 *
 * Options: `--seconds N`, `--rate N`, `--changes N`, `--only ours,direct,apollo`, `--ttl SECONDS` of the peer's cache,
 * `--no-outage`. The peer needs `npm install` in `peers/` once.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { encodeId } from '../../../src/identity/ids.ts'
import { type Erp, startErp } from './erp.ts'
import { type Asked, openLoop } from './load.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    rate: { type: 'string', default: '200' },
    changes: { type: 'string', default: '5' },
    ttl: { type: 'string', default: '10' },
    only: { type: 'string', default: 'ours,direct,apollo' },
    'no-outage': { type: 'boolean', default: false },
  },
  allowPositionals: true,
})
const seconds = Number(values.seconds)
const perSecond = Number(values.rate)
const here = import.meta.dirname
const TOKEN = 'bench-token'
const SECRET = 'bench-webhook-secret'
const KEY = 'bench-caller-key-0001'
const CUSTOMERS = 1_000

const say = (line: string): boolean => process.stderr.write(`${line}\n`)

/** The same sequence in every run. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Rank r with a probability of 1/r, s = 1.0; which customer has which rank is mixed. */
function createZipf(keys: readonly string[], seed: number): () => string {
  const random = createRandom(seed)
  const order = [...keys].sort((a, b) => mix(a) - mix(b))
  const sums: number[] = []
  let sum = 0
  for (let rank = 1; rank <= order.length; rank++) {
    sum += 1 / rank
    sums.push(sum)
  }
  return () => {
    const at = random() * sum
    let [low, high] = [0, sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) < at) low = middle + 1
      else high = middle
    }
    return order[low] ?? ''
  }
}
const mix = (text: string): number =>
  [...text].reduce((hash, char) => Math.imul(hash ^ char.charCodeAt(0), 16_777_619) >>> 0, 2_166_136_261)

interface Variant {
  readonly name: string
  readonly title: string
  start(erp: Erp): ChildProcess
  readonly headers: Readonly<Record<string, string>>
  idOf(key: string): string
}

const node = { NODE_ENV: 'production', APOLLO_TELEMETRY_DISABLED: 'true' }
const run = (file: string, args: readonly string[], cwd = here): ChildProcess =>
  fork(join(here, file), args, {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...node },
  })

const global = (key: string) => encodeId({ type: 'customer', system: 'erp', key })
const variants: readonly Variant[] = [
  {
    name: 'ours',
    title: 'Tributary',
    start: (erp) => run('ours.ts', [erp.url, TOKEN, SECRET, KEY]),
    headers: { 'x-api-key': KEY },
    idOf: global,
  },
  {
    name: 'direct',
    title: '(a) the same schema, DataLoader per request only',
    start: (erp) => run('ours.ts', [erp.url, TOKEN, SECRET, KEY, 'direct']),
    headers: { 'x-api-key': KEY },
    idOf: global,
  },
  {
    name: 'apollo',
    title: `(b) @apollo/gateway, DataLoader per request, whole-response cache of ${values.ttl} s`,
    start: (erp) => run('peers/apollo.mjs', [erp.url, TOKEN, values.ttl], join(here, 'peers')),
    headers: {},
    idOf: (key) => key,
  },
]

interface Report {
  readonly arrivals: readonly number[]
  readonly applied: readonly (readonly [key: string, revision: number])[]
  readonly state?: unknown
  readonly rss?: number
}

const QUERY = 'query ($id: ID!) { customer(id: $id) { id name phone level } }'
const FLOOR = '{ __typename }'

async function measure(variant: Variant) {
  const erp = await startErp({
    customers: CUSTOMERS,
    latencyMs: 150,
    sessions: 10,
    callsPerSecond: 20,
    token: TOKEN,
    webhookSecret: SECRET,
  })
  const child = variant.start(erp)
  const message = <T>() =>
    new Promise<T>((resolve, reject) => {
      child.once('message', (one) => resolve(one as T))
      child.once('exit', (code) => reject(new Error(`${variant.name} ended with ${code}`)))
    })
  const { url, webhook } = await message<{ url: string; webhook?: string | null }>()
  const load = (options: Partial<Parameters<typeof openLoop>[0]>) =>
    openLoop({
      url,
      headers: variant.headers,
      keyOf: createZipf(erp.keys, 11),
      bodyOf: (key) => JSON.stringify({ query: QUERY, variables: { id: variant.idOf(key) } }),
      perSecond,
      seconds,
      ...options,
    })
  say(`  listens at ${url}`)
  // What a gateway needs to answer anything, compiled code included; customers are not touched.
  await load({ bodyOf: () => JSON.stringify({ query: FLOOR }), seconds: 3 })
  const floor = await load({ bodyOf: () => JSON.stringify({ query: FLOOR }), seconds: 5 })

  say(`  floor: ${JSON.stringify(percentiles(floor.map((one) => one.done - one.due)))} ms`)
  erp.webhook = webhook ?? null
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  Object.assign(erp.calls, { total: 0, refused: 0 })
  const nextChange = createZipf(erp.keys, 23)
  const changing = setInterval(() => erp.change(nextChange()), 1_000 / Number(values.changes))
  const asked = await load({ numbered: true })
  const calls = { ...erp.calls }
  say(`  ${calls.total} calls for ${asked.length} queries`)
  clearInterval(changing)
  child.send('report')
  const report = await message<Report>()
  const outage =
    variant.name === 'ours' && !values['no-outage'] ? await rehearseOutage(erp, load, asked) : null
  child.disconnect()
  await new Promise((resolve) => child.once('exit', resolve))
  const result = { ...summarise(variant, erp, asked, floor, calls, report), outage }
  await erp.close()
  return result
}

/** The system is killed under the same load, and comes back; only customers that were asked for before count. */
async function rehearseOutage(
  erp: Erp,
  load: (options: object) => Promise<Asked[]>,
  before: readonly Asked[],
) {
  const known = new Set(before.filter((one) => one.error === null).map((one) => one.key))
  const began = performance.now()
  setTimeout(() => {
    erp.down = true
  }, 3_000)
  setTimeout(() => {
    erp.down = false
  }, 10_000)
  const changing = setInterval(() => erp.change(erp.keys[7] ?? ''), 200)
  const asked = await load({ seconds: 16, keyOf: createZipf(erp.keys, 11) })
  clearInterval(changing)
  const away = asked.filter((one) => one.due - began > 3_000 && one.due - began < 10_000)
  const firstMarked = away.find((one) => one.stale)
  const lastUnmarked = away.findLast((one) => !one.stale && one.error === null)
  const lastMarked = asked.findLast((one) => one.stale)
  return {
    asked: asked.length,
    failed: asked.filter((one) => one.error !== null).length,
    failedOfKnown: asked.filter((one) => one.error !== null && known.has(one.key)).length,
    errors: countBy(asked.flatMap((one) => one.error ?? [])),
    firstMarkedAfterMs: firstMarked && Math.round(firstMarked.done - began - 3_000),
    lastUnmarkedAfterMs: lastUnmarked && Math.round(lastUnmarked.due - began - 3_000),
    lastMarkedAfterReturnMs: lastMarked && Math.round(lastMarked.due - began - 10_000),
  }
}

function summarise(
  variant: Variant,
  erp: Erp,
  asked: readonly Asked[],
  floor: readonly Asked[],
  calls: Erp['calls'],
  { arrivals, applied, state, rss }: Report,
) {
  const answered = asked.filter((one) => one.error === null)
  const times = (list: readonly Asked[]) => percentiles(list.map((one) => one.done - one.due))
  const warm = warmOf(answered)
  const late = asked.slice(Math.floor(asked.length / 2))
  /** For how long the value had been superseded when the question was asked. */
  const ages = answered.map((one) => {
    const superseded = erp.historyOf(one.key)[one.revision ?? 0]
    return superseded === undefined ? 0 : Math.max(0, one.due - superseded)
  })
  return {
    variant: variant.name,
    title: variant.title,
    queries: asked.length,
    calls: calls.total,
    callsPer1000: round((calls.total / asked.length) * 1_000),
    callsRefused: calls.refused,
    failed: asked.length - answered.length,
    errors: countBy(asked.flatMap((one) => one.error ?? [])),
    all: times(asked),
    secondHalf: times(late),
    warm: variant.name === 'ours' ? times(warm) : null,
    warmSecondHalf:
      variant.name === 'ours' ? times(warm.filter((one) => one.due >= (late[0]?.due ?? 0))) : null,
    floor: times(floor),
    outdated: {
      share: round(ages.filter((age) => age > 0).length / Math.max(1, ages.length), 4),
      ...percentiles(ages.filter((age) => age > 0)),
      max: Math.round(Math.max(0, ...ages)),
    },
    olderThanAppliedEvent: variant.name === 'ours' ? violations(variant, asked, arrivals, applied) : null,
    eventsApplied: applied.length,
    state,
    rssMiB: rss === undefined ? undefined : Math.round(rss / 1024 / 1024),
  }
}

/** Answers with a value that some earlier answer had brought before this question was asked. */
function warmOf(answered: readonly Asked[]): Asked[] {
  const brought = new Map<string, number>()
  const nameOf = (one: Asked) => `${one.key} ${one.fetchedAt}`
  for (const one of answered)
    brought.set(nameOf(one), Math.min(one.done, brought.get(nameOf(one)) ?? Number.POSITIVE_INFINITY))
  return answered.filter((one) => (brought.get(nameOf(one)) ?? 0) < one.due)
}

/** Answers that are older than an event which had been applied on the node when their request arrived there. */
function violations(
  variant: Variant,
  asked: readonly Asked[],
  arrivals: Report['arrivals'],
  applied: Report['applied'],
): number {
  const byKey = new Map<string, { at: number; revision: number }[]>()
  applied.forEach(([key, revision], at) => {
    const list = byKey.get(key) ?? []
    byKey.set(key, list)
    list.push({ at, revision })
  })
  let count = 0
  asked.forEach((one, index) => {
    if (one.revision === null) return
    const seen = arrivals[index]
    if (seen === undefined) throw new Error(`the node did not note when request ${index} arrived`)
    const events = byKey.get(variant.idOf(one.key)) ?? []
    const least = Math.max(0, ...events.filter((event) => event.at < seen).map((event) => event.revision))
    if (one.revision < least) count++
  })
  return count
}

function percentiles(list: readonly number[]) {
  const sorted = [...list].sort((a, b) => a - b)
  const at = (share: number) => round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0, 1)
  return { p50: at(0.5), p99: at(0.99) }
}

const round = (value: number, digits = 1): number => Number(value.toFixed(digits))

function countBy(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1
  return counts
}

const results: Awaited<ReturnType<typeof measure>>[] = []
for (const variant of variants.filter((one) => values.only.split(',').includes(one.name))) {
  if (variant.name === 'apollo' && !existsSync(join(here, 'peers', 'node_modules'))) {
    say(`${variant.title}: left out; run "npm install" in ${join(here, 'peers')}`)
    continue
  }
  say(`${variant.title} …`)
  results.push(await measure(variant))
}
process.stdout.write(`${JSON.stringify(results, null, 1)}\n`)
const [ours, direct] = ['ours', 'direct'].map((name) => results.find((one) => one.variant === name))
if (ours && direct)
  say(`calls: ${round(direct.callsPer1000 / ours.callsPer1000)} times fewer than (a); goal: 20`)
if (ours?.warm) {
  const { warm, warmSecondHalf, floor } = ours
  say(
    `warm reads: p99 ${warm.p99} ms, ${warmSecondHalf?.p99} in the second half; the floor ${floor.p99}; goal: within 5 ms`,
  )
}
if (ours) say(`answers older than an event applied before: ${ours.olderThanAppliedEvent}; goal: 0`)
process.exit(0)
