/**
 * Writes through gateways that are killed and frozen, into systems that have every bad day at once; then compares
 * what the systems have with what the journal says. Everything runs on loopback and ends by itself.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { startDemo } from '../../src/demo.ts'
import { encodeId } from '../../src/identity/ids.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createRandom } from '../../src/simulation/random.ts'
import type { Fault } from '../../src/simulation/server.ts'
import { openPostgresStore } from '../../src/store/postgres.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { WritebackState } from '../../src/writeback/writeback.ts'

export interface CampaignOptions {
  readonly seed: number
  /** How long writes are sent; the end takes up to a minute more. */
  readonly seconds: number
  readonly clients: number
  readonly gateways: number
  /** Address of a PostgreSQL server; not given: SQLite, one gateway. */
  readonly postgres?: string | undefined
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
  readonly lost: number
  readonly doubled: number
  readonly wronglyConfirmed: number
  readonly wronglyRejected: number
  readonly outOfOrder: number
  readonly stuck: number
  /** What is wrong, one line each; empty where the campaign has passed. */
  readonly misses: readonly string[]
}

/** Longer than the latest late commit and the longest request. */
const COMMIT_DELAY_MS = 2_500
const TIMEOUT_MS = 1_000
const LEASE_MS = 2_000
const KEY = 'campaign-writer-key-01'
const DRAIN_MS = 90_000

/** On requests that write. Chosen so that about one in five meets one, and three in a row hardly ever do. */
const faultsOn = (match: string): readonly Fault[] => [
  { kind: 'refuse', match, chance: 0.02 },
  { kind: 'drop-before', match, chance: 0.03 },
  { kind: 'drop-after', match, chance: 0.04 },
  { kind: 'truncate', match, chance: 0.02 },
  { kind: 'status', status: 500, afterwards: true, match, chance: 0.03 },
  { kind: 'html', match, chance: 0.01 },
  { kind: 'hang', match, chance: 0.01 },
  { kind: 'hang-after', match, chance: 0.01 },
  { kind: 'twice', match, chance: 0.02 },
  { kind: 'late', ms: 800, match, chance: 0.02 },
]

const MUTATIONS = {
  createOrder: `mutation C($input: CreateOrderInput!) { answer: createOrder(input: $input, waitFor: 2000) { writeback { id state } } }`,
  updateOrder: `mutation U($input: UpdateOrderInput!) { answer: updateOrder(input: $input, waitFor: 2000) { writeback { id state } } }`,
  createOpportunity: `mutation O($input: CreateOpportunityInput!) { answer: createOpportunity(input: $input, waitFor: 2000) { writeback { id state } } }`,
  recordPayment: `mutation P($input: RecordPaymentInput!) { answer: recordPayment(input: $input, waitFor: 2000) { writeback { id state } } }`,
} as const
type Mutation = keyof typeof MUTATIONS

export async function runWriteCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { seed, postgres, say = () => {} } = options
  const random = createRandom(seed)
  const folder = mkdtempSync(join(tmpdir(), 'tributary-faults-'))
  const schema = `faults_${seed}_${process.pid}`
  const demo = await startDemo({
    port: 0,
    simulatorPorts: [0, 0, 0],
    everyMs: 0,
    pollEvery: '0s',
    world: { customers: 8, products: 8, orders: 30 },
    dataDir: join(folder, 'world'),
  })
  const { erp, crm, fin } = demo.simulators
  const common = {
    environment: 'test',
    writes: 'on',
    timeout: `${TIMEOUT_MS}ms`,
    pollEvery: '0s',
    commitDelay: `${COMMIT_DELAY_MS}ms`,
    writing: { concurrency: 8 },
  }
  const configFor = (port: number) => ({
    port,
    dataDir: join(folder, 'data'),
    store: { lease: `${LEASE_MS}ms`, ...(postgres ? { postgres, schema } : {}) },
    callers: [{ apiKey: KEY, subject: 'campaign', roles: ['reader', 'writer', 'operator'] }],
    systems: {
      crm: {
        kind: 'rest-crm',
        ...common,
        baseUrl: crm.url,
        auth: { type: 'bearer', token: 'demo-crm-token' },
      },
      erp: {
        kind: 'sap-b1',
        ...common,
        // As many as there are sessions.
        writing: { concurrency: 2 },
        baseUrl: erp.url,
        companyDb: 'SBODEMO_CN',
        username: 'manager',
        password: 'demo',
      },
      fin: {
        kind: 'soap-finance',
        ...common,
        baseUrl: fin.url,
        username: 'gateway',
        password: 'finance-demo',
        orderNumbersFrom: 'erp',
      },
    },
  })
  const gateways = await Promise.all(
    Array.from({ length: postgres ? options.gateways : 1 }, async (_, index) => {
      const port = await freePort()
      const file = join(folder, `gateway-${index}.yaml`)
      writeFileSync(file, stringify(configFor(port)))
      return new Gateway(file, port)
    }),
  )
  const asked = new Map<string, Mutation>()
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
    erp.setFaults(faultsOn('^(POST|PATCH) /b1s/v2/Orders'))
    crm.setFaults(faultsOn('^POST /api/opportunities'))
    // Finance has one path for everything: what reads meets faults too.
    fin.setFaults(faultsOn('^POST'))

    const until = Date.now() + options.seconds * 1_000
    let number = 0
    const inputOf = (mutation: Mutation, idempotencyKey: string): object => {
      const customerId = encodeId({ type: 'customer', system: 'crm', key: '70007' })
      switch (mutation) {
        case 'createOrder':
          return {
            idempotencyKey,
            customerId,
            dueDate: '2026-12-31',
            lines: [
              { productId: encodeId({ type: 'product', system: 'erp', key: 'A00003' }), quantity: '1' },
            ],
          }
        case 'updateOrder':
          return {
            idempotencyKey,
            id: encodeId({ type: 'order', system: 'erp', key: String(random.int(2, 9)) }),
            comments: idempotencyKey,
          }
        case 'createOpportunity':
          return { idempotencyKey, customerId, name: idempotencyKey }
        case 'recordPayment':
          return { idempotencyKey, customerId, date: '2026-07-01', amount: { amount: '1', currency: 'CNY' } }
      }
    }
    const client = async () => {
      while (Date.now() < until) {
        const mutation = random.pick(Object.keys(MUTATIONS) as Mutation[])
        const key = `${mutation}-${number++}`
        const input = inputOf(mutation, key)
        asked.set(key, mutation)
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
    for (const simulator of [erp, crm, fin]) simulator.setFaults([])
    const store = await openStore()
    const drained = Date.now() + DRAIN_MS
    for (;;) {
      const open = await store.read
        .selectFrom('writeback')
        .select((of) => of.fn.countAll<number>().as('count'))
        .where('state', 'in', ['accepted', 'sending', 'unknown', 'awaiting-approval'])
        .where((where) =>
          where.not(
            where.exists(
              where
                .selectFrom('writeback as ahead')
                .select('ahead.id')
                .whereRef('ahead.ordering', '=', 'writeback.ordering')
                .whereRef('ahead.sequence', '<', 'writeback.sequence')
                .where('ahead.state', '=', 'needs-attention'),
            ),
          ),
        )
        .executeTakeFirstOrThrow()
      if (Number(open.count) === 0 || Date.now() > drained) break
      await delay(250)
    }
    for (const gateway of gateways) await gateway.kill()
    // Late commits of the last requests.
    await delay(1_000)
    const rows = await store.read.selectFrom('writeback').selectAll().orderBy('sequence').execute()
    await store.close()

    const inSystems = new Map<string, number>()
    const count = (reference: string | null | undefined) => {
      if (reference) inSystems.set(reference, (inSystems.get(reference) ?? 0) + 1)
    }
    for (const one of demo.world.all('erpOrders')) count(one.userFields.U_TributaryRef)
    for (const one of demo.world.all('crmOpportunities')) count(one.externalRef)
    for (const one of demo.world.all('financePayments')) count(one.externalReference)

    const misses: string[] = []
    const states: Record<string, number> = {}
    const totals = { lost: 0, doubled: 0, wronglyConfirmed: 0, wronglyRejected: 0, outOfOrder: 0, stuck: 0 }
    const miss = (kind: keyof typeof totals, text: string) => {
      totals[kind]++
      misses.push(`${kind}: ${text}`)
    }
    let triesUsedUp = 0
    let sentAgain = 0
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
      const there = inSystems.get(row.external_reference) ?? 0
      const state = JSON.parse(row.detail) as WritebackState
      if (there > 1) miss('doubled', `${about} is ${there} times in ${row.system}`)
      if (row.state === 'confirmed' && isCreate && there === 0)
        miss('wronglyConfirmed', `${about} is not in ${row.system}`)
      if (row.state === 'rejected')
        miss('wronglyRejected', `${about}: ${'problem' in state ? state.problem.message : ''}`)
      if (row.state === 'needs-attention') {
        const undecidable = there === 0 && row.tries >= 3
        if (undecidable) triesUsedUp++
        else miss('stuck', `${about}: ${'problem' in state ? state.problem.message : ''}`)
      }
      if (['accepted', 'sending', 'unknown'].includes(row.state) && !blocked)
        miss('stuck', `${about} did not come to its end`)
    }
    // Of the changes to one record the last one confirmed is what the system has.
    for (const [ordering, list] of Map.groupBy(
      rows.filter((row) => row.action === 'update'),
      (row) => row.ordering,
    )) {
      if (waitsFor.has(ordering)) continue
      const last = list.filter((row) => row.state === 'confirmed').at(-1)
      const comments = demo.world.get('erpOrders', ordering.slice('order/'.length))?.comments
      if (last && comments !== last.idempotency_key)
        miss('outOfOrder', `${ordering} says "${comments}", the last change was "${last.idempotency_key}"`)
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
      ...totals,
      misses,
    }
  } finally {
    for (const gateway of gateways) await gateway.kill()
    await demo.close()
    rmSync(folder, { recursive: true, force: true })
    if (postgres) await dropSchema(postgres, schema)
  }
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
