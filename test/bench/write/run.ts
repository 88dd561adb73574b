/**
 * Durable writebacks per second, and how long one takes, at 64 clients: the write path with a system that answers at
 * once, against a loop that only makes the same rows durable in the same three commits of the same store. They take
 * turns, so that a machine that others use, too, is as busy for the one as for the other.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gatewayCaller } from '../../../src/caller/caller.ts'
import { openEventLog } from '../../../src/events/log.ts'
import { silentLog } from '../../../src/observe/log.ts'
import { openPostgresStore } from '../../../src/store/postgres.ts'
import { openSqliteStore } from '../../../src/store/sqlite.ts'
import type { Store } from '../../../src/store/store.ts'
import { ok } from '../../../src/systems/failure.ts'
import type { Adapter, OrderCreate, WriteContext } from '../../../src/systems/port.ts'
import type { Order } from '../../../src/systems/records.ts'
import { createSystems, type System } from '../../../src/systems/registry.ts'
import { createJournal } from '../../../src/writeback/journal.ts'
import { joinStore } from '../../../src/writeback/process.ts'
import { createWorker } from '../../../src/writeback/worker.ts'
import { createWriter } from '../../../src/writeback/writer.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '64' },
    postgres: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const SECONDS = Number(values.seconds)
const CLIENTS = Number(values.clients)
const ROUNDS = Number(values.rounds)
const GOAL = { rate: 0.5, p99: 3 }

interface Figures {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

/** What all turns of one side took, in milliseconds. */
interface Turns {
  readonly took: number[]
  seconds: number
  /** Of the last write, over all turns. */
  number: number
}
const noTurns = (): Turns => ({ took: [], seconds: 0, number: 0 })

async function measure(turns: Turns, one: (number: number) => Promise<void>): Promise<void> {
  const { took } = turns
  const run = async (until: number, note: boolean) => {
    while (performance.now() < until) {
      const began = performance.now()
      await one(turns.number++)
      if (note) took.push(performance.now() - began)
    }
  }
  const clients = (ms: number, note: boolean) => {
    const until = performance.now() + ms
    return Promise.all(Array.from({ length: CLIENTS }, () => run(until, note)))
  }
  await clients(1_000, false)
  const began = performance.now()
  await clients(SECONDS * 1_000, true)
  turns.seconds += (performance.now() - began) / 1_000
}

function figuresOf({ took, seconds }: Turns): Figures {
  took.sort((a, b) => a - b)
  const at = (share: number) => Math.round((took[Math.floor(share * (took.length - 1))] ?? 0) * 10) / 10
  return { perSecond: Math.round(took.length / seconds), p50: at(0.5), p99: at(0.99) }
}

const orderOf = (key: string, reference: string): Order => ({
  key,
  number: key,
  status: 'CONFIRMED',
  fulfilmentStatus: 'NONE',
  externalReference: reference,
  customer: 'C20001',
  customerName: '上海晨光精密机械有限公司',
  orderDate: '2026-11-20',
  dueDate: '2026-12-31',
  totals: { gross: { amount: '805.69', currency: 'CNY' }, tax: { amount: '92.69', currency: 'CNY' } },
  lines: [
    {
      id: '0',
      lineNumber: '1',
      product: 'A00003',
      ordered: { value: '2', unit: 'H87' },
      net: { amount: '713.00', currency: 'CNY' },
    },
  ],
  version: '1',
})

const input: OrderCreate = {
  customer: 'C20001',
  dueDate: '2026-12-31',
  customerReference: 'PO 4711',
  lines: [{ product: 'A00003', quantity: '2' }],
}

/** A system that answers at once: what is measured is ours. */
function instantSystem(): System {
  let number = 0
  const adapter = {
    kind: 'instant',
    ports: {
      order: {
        batchLimit: 1,
        readMany: async (keys: readonly string[]) => keys.map(() => ok(null)),
        create: {
          preview: () => ({ method: 'POST', path: '/' }),
          async send(_input: OrderCreate, write: WriteContext) {
            const key = String(++number)
            return ok({ key, record: orderOf(key, write.externalReference), reached: 'effective' })
          },
          verify: async () => ok({ effect: 'none', proven: true, evidence: '' }),
        },
      },
    },
    health: async () => ok({ detail: '' }),
    close: async () => {},
  } as unknown as Adapter
  return {
    id: 'instant',
    kind: 'instant',
    environment: 'test',
    adapter,
    pollEveryMs: 0,
    commitDelayMs: 1_000,
    orderNumbersFrom: undefined,
    writeMode: () => 'on',
  }
}

async function ours(store: Store, turns: Turns): Promise<void> {
  const membership = await joinStore(store)
  const systems = createSystems([instantSystem()])
  const events = await openEventLog(store)
  const journal = createJournal(store)
  const worker = createWorker({
    store,
    journal,
    systems,
    events,
    membership,
    logger: silentLog,
    readers: { observe: () => () => {}, invalidate: () => {} },
    away: () => null,
    settings: () => ({ concurrency: CLIENTS, attempts: 3, approvalEvery: 30_000 }),
  })
  const writer = createWriter(systems, journal, worker)
  worker.start()
  await measure(turns, async (number) => {
    const submitted = await writer.submit({
      caller: gatewayCaller,
      mutation: 'createOrder',
      idempotencyKey: `bench-${number}`,
      clientInput: input,
      system: 'instant',
      record: 'order',
      action: 'create',
      input,
    })
    if (!submitted.ok || submitted.writeback.state.name !== 'confirmed')
      throw new Error(`not confirmed: ${JSON.stringify(submitted)}`)
  })
  await worker.close()
  events.close()
  await membership.leave()
}

/** What `ours` leaves behind, read back and written again by a loop that decides nothing. */
async function raw(store: Store, turns: Turns): Promise<void> {
  const [row] = await store.read
    .selectFrom('writeback')
    .selectAll()
    .where('mutation', '=', 'createOrder')
    .where('idempotency_key', 'like', 'bench-%')
    .orderBy('sequence', 'desc')
    .limit(1)
    .execute()
  if (!row) throw new Error('nothing to repeat')
  const history = await store.read
    .selectFrom('writeback_history')
    .selectAll()
    .where('writeback', '=', row.id)
    .orderBy('position')
    .execute()
  const events = await store.read
    .selectFrom('event')
    .selectAll()
    .where((where) =>
      where.or([where('key', '=', row.id), where('data', 'like', `%${row.external_reference}%`)]),
    )
    .execute()
  const key = (JSON.parse(row.detail) as { key: string }).key
  const orderEvent = await store.read.selectFrom('event').selectAll().where('key', '=', key).execute()
  const snapshot = await store.read
    .selectFrom('snapshot')
    .selectAll()
    .where('key', '=', key)
    .executeTakeFirstOrThrow()
  const told = [...events.filter((event) => event.key === row.id), ...orderEvent]
  const sending = told.filter((event) => event.type === 'writeback.sending')
  const confirmed = told.filter((event) => event.type !== 'writeback.sending')
  const last = await store.read
    .selectFrom('writeback')
    .select((of) => of.fn.max('sequence').as('sequence'))
    .executeTakeFirstOrThrow()
  let sequence = Number(last.sequence)
  let position = (
    await store.read
      .selectFrom('event')
      .select((of) => of.fn.max('position').as('head'))
      .executeTakeFirstOrThrow()
  ).head as number
  await measure(turns, async (number) => {
    const id = `raw_${number}`
    await store.transact(async (tx) => {
      await tx
        .insertInto('writeback')
        .values({
          ...row,
          id,
          idempotency_key: id,
          sequence: ++sequence,
          state: 'accepted',
          detail: '{"name":"accepted"}',
        })
        .execute()
      await addHistory(tx, 0, id)
    })
    for (const [at, state, list] of [
      [1, 'sending', sending],
      [2, 'confirmed', confirmed],
    ] as const) {
      await store.transact(async (tx) => {
        await tx
          .updateTable('writeback')
          .set({ state, detail: row.detail, updated_at: row.updated_at, attempts: 1, lease_owner: null })
          .where('id', '=', id)
          .execute()
        await addHistory(tx, at, id)
        for (const event of list) {
          position++
          await tx
            .insertInto('event')
            .values({ ...event, position: undefined, id: `raw ${position}` } as never)
            .execute()
        }
        await tx.updateTable('log_state').set({ head: position }).where('id', '=', 1).execute()
        if (state === 'confirmed')
          await tx
            .insertInto('snapshot')
            .values({ ...snapshot, key: id })
            .execute()
      })
    }
  })

  async function addHistory(
    tx: Parameters<Parameters<Store['transact']>[0]>[0],
    at: number,
    writeback: string,
  ) {
    const { position: _, ...values } = history[at] ??
      history[0] ?? { position: 0, state: '', at: '', note: null }
    await tx
      .insertInto('writeback_history')
      .values({ ...values, writeback })
      .execute()
  }
}

const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
const schema = `bench_${process.pid}`
const store = values.postgres
  ? await openPostgresStore({ url: values.postgres, schema, connections: 4, logger: silentLog })
  : await openSqliteStore(join(folder, 'bench.sqlite'))
const written = noTurns()
const repeated = noTurns()
for (let round = 0; round < ROUNDS; round++) {
  await ours(store, written)
  await raw(store, repeated)
}
const measured = figuresOf(written)
const bound = figuresOf(repeated)
await store.close()
rmSync(folder, { recursive: true, force: true })
if (values.postgres) {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: values.postgres })
  await client.connect()
  await client.query(`drop schema if exists ${schema} cascade`)
  await client.end()
}
const share = Math.round((measured.perSecond / bound.perSecond) * 100) / 100
const slower = Math.round((measured.p99 / bound.p99) * 100) / 100
const report = {
  store: values.postgres ? 'postgres' : 'sqlite',
  clients: CLIENTS,
  seconds: SECONDS * ROUNDS,
  writebacks: measured,
  raw: bound,
  share,
  p99Times: slower,
  goal: GOAL,
  reached: share >= GOAL.rate && slower <= GOAL.p99,
}
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
process.exit(report.reached ? 0 : 1)
