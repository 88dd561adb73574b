/**
 * Writes through gateways that are killed and frozen, into systems that have every bad day at once, and begins flows
 * over them; then compares what the systems have with what the journal and the runs say. It ends by itself.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { createRuns } from '../../src/flows/runs.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createRandom } from '../../src/simulation/random.ts'
import { openPostgresStore } from '../../src/store/postgres.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import type { RecordType } from '../../src/systems/records.ts'
import { runOf, type WritebackState } from '../../src/writeback/writeback.ts'
import { COMMIT_DELAY_MS, external, simulated, type Wish } from './write-systems.ts'

export interface CampaignOptions {
  readonly seed: number
  /** How long writes are sent; then it goes on until all is over, or nothing moves any more. */
  readonly seconds: number
  readonly clients: number
  readonly gateways: number
  /** Address of a PostgreSQL server; not given: SQLite, one gateway. */
  readonly postgres?: string | undefined
  /** A configuration file whose systems are written to; not given: simulated ones, with flows over them. */
  readonly systems?: string | undefined
  readonly say?: (line: string) => void
}

export interface CampaignReport {
  readonly seed: number
  readonly store: 'sqlite' | 'postgres'
  readonly gateways: number
  readonly seconds: number
  readonly kills: number
  readonly freezes: number
  readonly writebacks: number
  readonly states: Readonly<Record<string, number>>
  /** Writebacks that were sent more than once. */
  readonly sentAgain: number
  /** What a person is asked although the systems are fine: all tries met a fault. Known in advance, and not a miss. */
  readonly triesUsedUp: number
  /**
   * What a person is asked because a system made it later than its configuration says that it can: on a machine so
   * busy that the simulated systems stood still. Where the reference is not unique there is no defence against that.
   */
  readonly laterThanDeclared: number
  readonly lost: number
  readonly doubled: number
  readonly wronglyConfirmed: number
  readonly wronglyRejected: number
  readonly outOfOrder: number
  readonly stuck: number
  /** Runs of flows that were begun, by state. */
  readonly runs: Readonly<Record<string, number>>
  /** Runs that are not over, whose steps are not what the systems have, or whose writes belong to no step. */
  readonly halfDone: number
  /** Creates in systems where nobody can count them: whether one is there twice is not known. */
  readonly uncounted: number
  /** What external systems refused in their own words, and do not have. */
  readonly refused: number
  /** What is wrong, one line each; empty where the campaign has passed. */
  readonly misses: readonly string[]
}

const LEASE_MS = 2_000
const KEY = 'campaign-writer-key-01'
/** What has not moved for so long is stuck: whatever waits is looked at every minute. */
const STILL_MS = 100_000
/** So many misses are told one by one. */
const TOLD = 50

const asking = (type: string, mutation: string) =>
  `mutation M($input: ${type}!) { answer: ${mutation}(input: $input, waitFor: 2000) { writeback { id state } } }`
const MUTATIONS: Readonly<Record<Wish['mutation'], string>> = {
  createOrder: asking('CreateOrderInput', 'createOrder'),
  updateOrder: asking('UpdateOrderInput', 'updateOrder'),
  createOpportunity: asking('CreateOpportunityInput', 'createOpportunity'),
  recordPayment: asking('RecordPaymentInput', 'recordPayment'),
}

export async function runWriteCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { seed, postgres, say = () => {} } = options
  const random = createRandom(seed)
  const folder = mkdtempSync(join(tmpdir(), 'tributary-faults-'))
  const schema = `faults_${seed}_${process.pid}`
  const { systems: file } = options
  const target = await (file === undefined ? simulated(folder) : external(file))
  const configFor = (port: number) => ({
    port,
    dataDir: join(folder, 'data'),
    store: { lease: `${LEASE_MS}ms`, ...(postgres ? { postgres, schema } : {}) },
    callers: [{ apiKey: KEY, subject: 'campaign', roles: ['reader', 'writer', 'operator'] }],
    systems: target.systems,
    ...(target.flows ? { flows: target.flows } : {}),
  })
  const gateways = await Promise.all(
    Array.from({ length: postgres ? options.gateways : 1 }, async (_, index) => {
      const port = await freePort()
      const file = join(folder, `gateway-${index}.yaml`)
      writeFileSync(file, stringify(configFor(port)))
      return new Gateway(file, port)
    }),
  )
  /** Writes that begin a run once they are confirmed. */
  const wins = new Set<string>()
  const answered = new Map<string, string>()
  let kills = 0
  let freezes = 0

  const openStore = () =>
    postgres
      ? openPostgresStore({ url: postgres, schema, connections: 2, logger: silentLog })
      : openSqliteStore(join(folder, 'data', 'tributary.sqlite'))

  try {
    for (const gateway of gateways) await gateway.start()
    say(`${gateways.length} gateway(s), seed ${seed}`)
    target.misbehave()

    const until = Date.now() + options.seconds * 1_000
    let number = 0
    const client = async () => {
      while (Date.now() < until) {
        const wish = random.pick(target.wishes)
        const { mutation } = wish
        const key = `${mutation}${wish.flow ? '-won' : ''}-${number++}`
        const input = { idempotencyKey: key, ...wish.input(key, (below) => random.int(0, below - 1)) }
        if (wish.flow) wins.add(key)
        // Asks until somebody has answered, now and then twice at once: as a client does that cannot know better.
        for (let tries = 0; tries < 200; tries++) {
          const twice = random.next() < 0.05
          const answers = await Promise.all(
            (twice ? [0, 1] : [0]).map(() => random.pick(gateways).ask(MUTATIONS[mutation], { input })),
          )
          const id = answers.find((one) => one !== null)
          if (id) {
            answered.set(key, id)
            break
          }
          await delay(200)
        }
      }
    }
    const chaos = async () => {
      await delay(2_000)
      while (Date.now() < until) {
        const gateway = random.pick(gateways)
        if (random.next() < 0.5) {
          kills++
          say('kill -9')
          await gateway.kill()
          await delay(random.int(100, 1_000))
          await gateway.start()
        } else {
          freezes++
          say('freeze')
          gateway.freeze()
          await delay(random.int(LEASE_MS / 2, LEASE_MS * 3))
          gateway.thaw()
        }
        await delay(random.int(1_000, 4_000))
      }
    }
    await Promise.all([chaos(), ...Array.from({ length: options.clients }, client)])

    say('the faults end; what is open comes to its end')
    target.behave()
    const store = await openStore()
    let moved = { to: '', at: Date.now() }
    while (Date.now() - moved.at < STILL_MS && (await isBusy(store, wins))) {
      await delay(250)
      const to = await headOf(store)
      if (to !== moved.to) moved = { to, at: Date.now() }
    }
    for (const gateway of gateways) await gateway.kill()
    // Late commits of the last requests.
    await delay(1_000)
    const rows = await store.read.selectFrom('writeback').selectAll().orderBy('sequence').execute()
    const sendings = await store.read
      .selectFrom('writeback_history')
      .select(['writeback', 'at'])
      .where('state', '=', 'sending')
      .orderBy('position')
      .execute()
    const lastSent = new Map(sendings.map(({ writeback, at }) => [writeback, at]))
    const begun = await store.read.selectFrom('flow_run').select('id').execute()
    const runs = await Promise.all(begun.map(({ id }) => createRuns(store).get(id)))
    await store.close()
    const truth = await target.truth()

    const misses: string[] = []
    const states: Record<string, number> = {}
    const totals = {
      lost: 0,
      doubled: 0,
      wronglyConfirmed: 0,
      wronglyRejected: 0,
      outOfOrder: 0,
      stuck: 0,
      halfDone: 0,
    }
    const miss = (kind: keyof typeof totals, text: string) => {
      totals[kind]++
      misses.push(`${kind}: ${text}`)
    }
    let triesUsedUp = 0
    let laterThanDeclared = 0
    const wasLate = (id: string, reference: string): boolean => {
      const sent = lastSent.get(id)
      const made = truth.madeAt(reference)
      return sent !== undefined && made !== undefined && Date.parse(made) - Date.parse(sent) > COMMIT_DELAY_MS
    }
    let sentAgain = 0
    let uncounted = 0
    let refused = 0
    const byKey = new Map(rows.map((row) => [row.idempotency_key, row]))
    for (const [key, id] of answered) {
      if (byKey.get(key)?.id !== id) miss('lost', `${key} was promised as ${id} and is not in the journal`)
    }
    const waitsFor = new Set<string>()
    for (const row of rows) {
      states[row.state] = (states[row.state] ?? 0) + 1
      if (row.attempts > 1) sentAgain++
      const about = `${row.idempotency_key} (${row.state}, ${row.attempts} attempts)`
      const blocked = waitsFor.has(row.ordering)
      if (row.state === 'needs-attention') waitsFor.add(row.ordering)
      const isCreate = row.action === 'create'
      const { system, record, external_reference: reference } = row
      const made = { system, record: record as RecordType, reference, input: JSON.parse(row.input) }
      const there = isCreate ? await truth.count(made) : 0
      if (there === undefined) uncounted++
      const state = JSON.parse(row.detail) as WritebackState
      if ((there ?? 0) > 1) miss('doubled', `${about} is ${there} times in ${row.system}`)
      if (['confirmed', 'compensated'].includes(row.state) && isCreate && there === 0)
        miss('wronglyConfirmed', `${about} is not in ${row.system}`)
      if (row.state === 'rejected') {
        if (target.refusesNothing || (there ?? 0) > 0)
          miss('wronglyRejected', `${about}: ${'problem' in state ? state.problem.message : ''}`)
        else refused++
      }
      if (row.state === 'needs-attention') {
        const undecidable = there === 0 && row.tries >= 3
        if (undecidable) triesUsedUp++
        else if (wasLate(row.id, reference)) laterThanDeclared++
        else miss('stuck', `${about}: ${'problem' in state ? state.problem.message : ''}`)
      }
      if (['accepted', 'sending', 'unknown'].includes(row.state) && !blocked) {
        const held = row.lease_owner === null ? 'free' : `held by ${row.lease_owner}`
        const due = new Date(Number(row.due_at)).toISOString()
        miss(
          'stuck',
          `${about} did not come to its end: ${held}, due ${due}, ${row.updated_at} ${row.detail}`,
        )
      }
    }
    // Of the changes to one record the last one confirmed is what the system has.
    for (const [ordering, list] of Map.groupBy(
      rows.filter((row) => row.action === 'update' && row.record === 'order'),
      (row) => row.ordering,
    )) {
      if (waitsFor.has(ordering)) continue
      const last = list.filter((row) => row.state === 'confirmed').at(-1)
      const comments = last && (await truth.commentsOf(last.system, ordering.slice('order/'.length)))
      if (last && comments !== last.idempotency_key)
        miss('outOfOrder', `${ordering} says "${comments}", the last change was "${last.idempotency_key}"`)
    }
    // Runs: one for each opportunity that was won, at its end, and every write of theirs at one of their steps.
    const runStates: Record<string, number> = {}
    const accounted = new Set<string>()
    const keys = new Map<string, number>()
    const attention = new Set(rows.filter((row) => row.state === 'needs-attention').map((row) => row.id))
    for (const run of runs) {
      if (!run) continue
      runStates[run.state.name] = (runStates[run.state.name] ?? 0) + 1
      keys.set(run.key, (keys.get(run.key) ?? 0) + 1)
      const writes = run.steps.flatMap((step) => [
        'writeback' in step && step.writeback !== null ? step.writeback : [],
        'undo' in step && step.undo !== null ? step.undo : [],
      ])
      for (const id of writes.flat()) accounted.add(id)
      const about = `${run.id} about ${run.key} (${run.state.name})`
      const isOver = ['completed', 'compensated'].includes(run.state.name)
      // One that waits for a person may wait only because a write of it does, whose tries were used up.
      if (!isOver && !writes.flat().some((id) => attention.has(id)))
        miss(
          'halfDone',
          `${about}: ${'problem' in run.state ? run.state.problem.message : 'did not come to its end'}`,
        )
      const loose = run.steps.filter(({ name }) =>
        run.state.name === 'completed'
          ? !['done', 'skipped'].includes(name)
          : !['undone', 'failed', 'pending', 'skipped'].includes(name),
      )
      if (isOver && loose.length > 0)
        miss('halfDone', `${about} has steps ${loose.map(({ step, name }) => `${step} ${name}`).join(', ')}`)
      if (isOver) for (const wrong of truth.wrongWith(run)) miss('halfDone', `${about}: ${wrong}`)
    }
    for (const row of rows) {
      const { mutation, idempotency_key: idempotencyKey } = row
      if (runOf({ mutation, idempotencyKey }) !== undefined && !accounted.has(row.id))
        miss('halfDone', `${idempotencyKey} (${row.state}) belongs to no step`)
      const won = wins.has(idempotencyKey) && (JSON.parse(row.detail) as WritebackState)
      if (won && won.name === 'confirmed' && keys.get(won.key) !== 1)
        miss('halfDone', `${idempotencyKey} is won as ${won.key} and has ${keys.get(won.key) ?? 0} runs`)
    }
    return {
      seed,
      store: postgres ? 'postgres' : 'sqlite',
      gateways: gateways.length,
      seconds: options.seconds,
      kills,
      freezes,
      writebacks: rows.length,
      states,
      sentAgain,
      triesUsedUp,
      laterThanDeclared,
      runs: runStates,
      uncounted,
      refused,
      ...totals,
      misses: misses.length > TOLD ? [...misses.slice(0, TOLD), `and ${misses.length - TOLD} more`] : misses,
    }
  } finally {
    for (const gateway of gateways) await gateway.kill()
    await target.close()
    rmSync(folder, { recursive: true, force: true })
    if (postgres) await dropSchema(postgres, schema)
  }
}

/** How far writebacks and runs have come. */
async function headOf(store: Store): Promise<string> {
  const heads = await Promise.all(
    (['writeback_history', 'flow_history'] as const).map((table) =>
      store.read
        .selectFrom(table)
        .select((of) => of.fn.max('position').as('head'))
        .executeTakeFirst(),
    ),
  )
  return heads.map((row) => row?.head ?? 0).join('/')
}

/** Whether anything is on its way, or about to begin; what stands behind one that waits for a person is not. */
async function isBusy(store: Store, wins: ReadonlySet<string>): Promise<boolean> {
  const open = await store.read
    .selectFrom('writeback')
    .select('id')
    .where('state', 'in', ['accepted', 'sending', 'unknown', 'awaiting-approval'])
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('writeback as ahead')
            .select('ahead.id')
            .whereRef('ahead.system', '=', 'writeback.system')
            .whereRef('ahead.ordering', '=', 'writeback.ordering')
            .whereRef('ahead.sequence', '<', 'writeback.sequence')
            .where('ahead.state', '=', 'needs-attention'),
        ),
      ),
    )
    .limit(1)
    .executeTakeFirst()
  if (open) return true
  const runs = await store.read.selectFrom('flow_run').select(['business_key', 'state']).execute()
  if (runs.some(({ state }) => state === 'running' || state === 'undoing')) return true
  const confirmed = await store.read
    .selectFrom('writeback')
    .select(['idempotency_key', 'detail'])
    .where('state', '=', 'confirmed')
    .where('idempotency_key', 'like', '%-won-%')
    .execute()
  const begun = new Set(runs.map((run) => run.business_key))
  return confirmed.some(
    (row) => wins.has(row.idempotency_key) && !begun.has((JSON.parse(row.detail) as { key: string }).key),
  )
}

/** A gateway as a process of its own, that can be killed, frozen and started again. */
class Gateway {
  readonly #file: string
  readonly #port: number
  #child: ChildProcess | undefined

  constructor(file: string, port: number) {
    this.#file = file
    this.#port = port
  }

  async start(): Promise<void> {
    const entry = join(import.meta.dirname, '../../src/tributary.mjs')
    const child = spawn(process.execPath, [entry, 'start', '--config', this.#file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TRIBUTARY_LOG: 'error' },
    })
    this.#child = child
    // A campaign that is ended from outside leaves nothing behind that runs on.
    process.once('exit', () => child.kill('SIGKILL'))
    let said = ''
    child.stderr?.on('data', (chunk) => {
      said += chunk
    })
    await new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', (chunk) => {
        said += chunk
        if (said.includes('Ready.')) resolve()
      })
      child.once('exit', (code, signal) =>
        reject(new Error(`the gateway ended (${code ?? signal}): ${said}`)),
      )
    })
    // Nobody reads on, and a full pipe would stop it.
    child.stdout?.resume()
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** @returns The writeback's id; null where the answer did not come, or was none. */
  async ask(query: string, variables: object): Promise<string | null> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#port}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': KEY },
        body: JSON.stringify({ query, variables }),
        signal: AbortSignal.timeout(8_000),
      })
      const { data } = (await response.json()) as { data?: { answer?: { writeback: { id: string } } | null } }
      return data?.answer?.writeback.id ?? null
    } catch {
      return null
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

async function dropSchema(url: string, schema: string): Promise<void> {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`drop schema if exists ${schema} cascade`)
  await client.end()
}
