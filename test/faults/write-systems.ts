/**
 * What the campaign writes to: systems that it simulates itself, and can look into, or systems of yours behind doors
 * that have bad days, whose truth is what their adapters read.
 */
import { readFileSync } from 'node:fs'
import { request as askHttp, type IncomingMessage } from 'node:http'
import { request as askHttps } from 'node:https'
import { join } from 'node:path'
import { parse } from 'yaml'
import { openSystem } from '../../src/app.ts'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { checkConfig } from '../../src/config/load.ts'
import { startDemo } from '../../src/demo/small.ts'
import type { FlowRun } from '../../src/flows/run.ts'
import { encodeId } from '../../src/identity/ids.ts'
import { silentLog } from '../../src/observe/log.ts'
import {
  type Fault,
  type SimulatedRequest,
  type SimulatedResponse,
  startSimulatorServer,
} from '../../src/simulation/server.ts'
import type { RecordType } from '../../src/systems/records.ts'
import { portOf, type System } from '../../src/systems/registry.ts'
import { startRestWmsSimulator } from '../../src/systems/rest-wms/simulator.ts'

export interface CampaignSystems {
  /** Of the gateways' configuration. */
  readonly systems: Readonly<Record<string, Record<string, unknown>>>
  readonly flows?: object
  /** What the clients may ask for. */
  readonly wishes: readonly Wish[]
  /** Everything that is written is in order: what is refused is refused wrongly. */
  readonly refusesNothing: boolean
  misbehave(): void
  behave(): void
  truth(): Promise<Truth>
  close(): Promise<void>
}

/** One kind of mutation, with its input but for the key. */
export interface Wish {
  readonly mutation: 'createOrder' | 'updateOrder' | 'createOpportunity' | 'recordPayment'
  /** Begins a run of lead to cash. */
  readonly flow?: boolean
  /** @param key Different each time. @param pick Of so many, by the campaign's seed. */
  input(key: string, pick: (below: number) => number): object
}

/** What the systems have when all is over. */
export interface Truth {
  /** How often a record with this reference is there; undefined where the system lets nobody count. */
  count(made: Made): Promise<number | undefined>
  /** When it was made there, by the clock of the campaign; undefined where only the system knows. */
  madeAt(reference: string): string | undefined
  commentsOf(system: string, order: string): Promise<string | null | undefined>
  /** What is wrong with what a finished run left, one line each. */
  wrongWith(run: FlowRun): readonly string[]
}

/** A create as the journal has it. */
export interface Made {
  readonly system: string
  readonly record: RecordType
  readonly input: unknown
  readonly reference: string
}

/** Longer than the latest late commit and the longest request. */
export const COMMIT_DELAY_MS = 2_500
const TIMEOUT_MS = 1_000

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

const PATIENCE = { timeout: `${TIMEOUT_MS}ms`, pollEvery: '0s', commitDelay: `${COMMIT_DELAY_MS}ms` }

/* ---- simulated ---- */

/** Simulated customers whom all systems know, and one whom finance does not. */
const KNOWN = '70007'
const UNKNOWN_TO_FINANCE = '70014'

export async function simulated(folder: string): Promise<CampaignSystems> {
  const demo = await startDemo({
    port: 0,
    simulatorPorts: [0, 0, 0],
    everyMs: 0,
    pollEvery: '0s',
    world: { customers: 8, products: 8, orders: 30 },
    // Gateways that were killed leave sessions behind, which hold licences until they time out.
    erp: { sessionTimeoutMs: 4_000 },
    dataDir: join(folder, 'world'),
  })
  const { world } = demo
  const { erp, crm, fin } = demo.simulators
  const auth = { type: 'bearer', token: 'campaign-wms-token' } as const
  const wms = await startRestWmsSimulator(world, { auth })
  for (const one of world.all('wmsStock')) world.put('wmsStock', { ...one, onHand: '10000000' })
  const stranger = world.get('crmCustomers', UNKNOWN_TO_FINANCE)
  for (const one of world.all('financeCustomers')) {
    if (one.taxNumber === stranger?.taxNumber) world.put('financeCustomers', { ...one, taxNumber: 'NONE' })
  }
  const common = { environment: 'test', writes: 'on', ...PATIENCE, writing: { concurrency: 8 } }
  const customer = encodeId({ type: 'customer', system: 'crm', key: KNOWN })
  const winner = (customerId: string, currency: string): Wish => ({
    mutation: 'createOpportunity',
    flow: true,
    input: (key) => ({ customerId, name: key, stage: 'WON', amount: { amount: '100.00', currency } }),
  })
  return {
    refusesNothing: true,
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
      wms: { kind: 'rest-wms', ...common, baseUrl: wms.url, auth, defaultWarehouse: 'WH-SZX-01' },
    },
    flows: { leadToCash: { crm: 'crm', erp: 'erp', wms: 'wms', finance: 'fin', product: 'A00003' } },
    wishes: [
      {
        mutation: 'createOrder',
        input: () => ({
          customerId: customer,
          dueDate: '2026-12-31',
          lines: [{ productId: encodeId({ type: 'product', system: 'erp', key: 'A00003' }), quantity: '1' }],
        }),
      },
      {
        mutation: 'updateOrder',
        input: (comments, pick) => ({
          id: encodeId({ type: 'order', system: 'erp', key: String(2 + pick(8)) }),
          comments,
        }),
      },
      { mutation: 'createOpportunity', input: (name) => ({ customerId: customer, name }) },
      {
        mutation: 'recordPayment',
        input: () => ({
          customerId: customer,
          date: '2026-07-01',
          amount: { amount: '1', currency: 'CNY' },
        }),
      },
      winner(customer, 'CNY'),
      // Refused when the order and the stock are there already: both are undone.
      winner(encodeId({ type: 'customer', system: 'crm', key: UNKNOWN_TO_FINANCE }), 'EUR'),
    ],
    misbehave() {
      erp.setFaults(faultsOn('^(POST|PATCH) /b1s/v2/Orders'))
      crm.setFaults(faultsOn('^(POST|PATCH|PUT) /api/opportunities'))
      // Finance has one path for everything: what reads meets faults too.
      fin.setFaults(faultsOn('^POST'))
      wms.setFaults(faultsOn('^POST'))
    },
    behave() {
      for (const simulator of [erp, crm, fin, wms]) simulator.setFaults([])
    },
    async truth() {
      const there = new Map<string, number>()
      const times = new Map<string, string>()
      const note = (reference: string | null | undefined, { createdAt }: { readonly createdAt: string }) => {
        if (!reference) return
        there.set(reference, (there.get(reference) ?? 0) + 1)
        times.set(reference, createdAt)
      }
      for (const one of world.all('erpOrders')) note(one.userFields.U_TributaryRef, one)
      for (const one of world.all('crmOpportunities')) note(one.externalRef, one)
      for (const one of world.all('financePayments')) note(one.externalReference, one)
      for (const one of world.all('financeInvoices')) note(one.externalReference, one)
      for (const one of world.all('wmsReservations')) note(one.externalRef, one)
      return {
        count: async ({ reference }) => there.get(reference) ?? 0,
        madeAt: (reference) => times.get(reference),
        commentsOf: async (_system, order) => world.get('erpOrders', order)?.comments,
        wrongWith(run) {
          const wrong: string[] = []
          const done = run.state.name === 'completed'
          const keyOf = (name: string) => {
            const step = run.steps.find((one) => one.step === name)
            return step && 'key' in step ? step.key : undefined
          }
          const expectThat = (right: boolean, what: string) => {
            if (!right) wrong.push(what)
          }
          const [order, stock, receivable] = ['order', 'stock', 'receivable'].map(keyOf)
          if (done) expectThat(!!(order && stock && receivable), 'a step left no key')
          const made = order === undefined ? undefined : world.get('erpOrders', order)
          const held = stock === undefined ? undefined : world.get('wmsReservations', stock)
          const claim = receivable === undefined ? undefined : world.get('financeInvoices', receivable)
          if (order)
            expectThat(
              made?.cancelled === !done,
              `order ${order} is ${made?.cancelled ? '' : 'not '}cancelled`,
            )
          if (stock)
            expectThat((held?.status === 'ACTIVE') === done, `reservation ${stock} is ${held?.status}`)
          if (receivable)
            expectThat(claim?.cancelled === !done, `receivable ${receivable} is not as the run says`)
          const linked = world.get('crmOpportunities', run.key)?.orderNumber
          if (done) expectThat(linked === String(made?.docNum), `${run.key} names order ${linked ?? 'none'}`)
          return wrong
        },
      }
    },
    async close() {
      await wms.close()
      await demo.close()
    },
  }
}

/* ---- yours ---- */

interface Samples {
  readonly customer?: string
  readonly product?: string
}

/**
 * @param file A configuration file whose `systems` are written to, through doors that have bad days. Its section
 * `campaign` may name a customer and a product by system (`erp: { customer: C20001, product: A00003 }`); where it
 * names none, the first that the system lists is taken.
 */
export async function external(file: string): Promise<CampaignSystems> {
  const given = parse(readFileSync(file, 'utf8')) as {
    systems?: Record<string, Record<string, unknown>>
    campaign?: Record<string, Samples>
  }
  const callers = [{ apiKey: 'nobody-asks-with-this-key', subject: 'campaign', roles: ['reader'] }]
  const config = await checkConfig({ callers, systems: given.systems ?? {} }, process.env, file)
  const doors: Awaited<ReturnType<typeof startSimulatorServer>>[] = []
  const behindDoors: Record<string, Record<string, unknown>> = {}
  const opened: System[] = []
  const wishes: Wish[] = []
  for (const [id, settings] of Object.entries(given.systems ?? {})) {
    const checked = config.systems[id]
    if (!checked) continue
    if (checked.environment === 'production')
      throw new Error(
        `${file}: system "${id}" is a production system. This campaign writes thousands of records.`,
      )
    const system = await openSystem(id, checked, silentLog)
    opened.push(system)
    wishes.push(...(await wishesFor(system, given.campaign?.[id] ?? {})))
    const { baseUrl } = settings
    const filled = (checked.settings as { baseUrl?: string }).baseUrl
    if (typeof baseUrl !== 'string' || filled === undefined) {
      behindDoors[id] = { ...settings, ...PATIENCE }
      continue
    }
    const door = await startSimulatorServer({ handle: (request) => passOn(filled, request) })
    doors.push(door)
    const { pathname } = new URL(filled)
    behindDoors[id] = { ...settings, ...PATIENCE, baseUrl: `${door.url}${pathname === '/' ? '' : pathname}` }
  }
  if (wishes.length === 0)
    throw new Error(
      `${file}: no system has writes "on" for order.create, opportunity.create or payment.create, and a customer to write for.`,
    )
  const context = { caller: gatewayCaller }
  return {
    systems: behindDoors,
    wishes,
    refusesNothing: false,
    misbehave() {
      for (const door of doors) door.setFaults(faultsOn('^(POST|PATCH|PUT|DELETE)'))
    },
    behave() {
      for (const door of doors) door.setFaults([])
    },
    async truth() {
      const listed = new Map<string, Promise<Map<string, number> | undefined>>()
      const systemOf = (id: string) => opened.find((one) => one.id === id)
      return {
        async count({ system: id, record, input, reference }) {
          const system = systemOf(id)
          const port = system && portOf(system, record)
          if (!system || !port) return undefined
          const name = `${id} ${record}`
          const all = listed.get(name) ?? referencesIn(system, record)
          listed.set(name, all)
          const counted = await all
          if (counted) return counted.get(reference) ?? 0
          // It lists none: whether it is there at all can still be asked.
          const action = port.create as unknown as Verifiable
          const verdict = await action.verify(
            input,
            { externalReference: reference, onBehalfOf: 'campaign' },
            context,
          )
          if (!verdict.ok) return undefined
          return verdict.value.effect === 'done' ? 1 : 0
        },
        madeAt: () => undefined,
        async commentsOf(id, order) {
          const system = systemOf(id)
          const [read] = (system && (await portOf(system, 'order')?.readMany([order], context))) ?? []
          return read?.ok ? read.value?.comments : undefined
        },
        wrongWith: () => [],
      }
    },
    async close() {
      await Promise.all([...doors, ...opened.map(({ adapter }) => adapter)].map((one) => one.close()))
    },
  }
}

interface Verifiable {
  verify(
    input: unknown,
    write: { externalReference: string; onBehalfOf: string },
    context: object,
  ): Promise<{ ok: true; value: { effect: string } } | { ok: false }>
}

async function wishesFor(system: System, samples: Samples): Promise<Wish[]> {
  const { id } = system
  const writes = (record: RecordType) =>
    portOf(system, record)?.create !== undefined && system.writeMode(record, 'create') === 'on'
  const key = samples.customer ?? (await firstKey(system, 'customer'))
  const product = samples.product ?? (await firstKey(system, 'product'))
  if (key === undefined) return []
  const customerId = encodeId({ type: 'customer', system: id, key })
  const wishes: Wish[] = []
  if (writes('order') && product !== undefined)
    wishes.push({
      mutation: 'createOrder',
      input: (comments) => ({
        customerId,
        system: id,
        account: key,
        dueDate: '2026-12-31',
        comments,
        lines: [{ productId: encodeId({ type: 'product', system: id, key: product }), quantity: '1' }],
      }),
    })
  if (writes('opportunity'))
    wishes.push({ mutation: 'createOpportunity', input: (name) => ({ customerId, name }) })
  if (writes('payment'))
    wishes.push({
      mutation: 'recordPayment',
      input: () => ({
        customerId,
        date: new Date().toISOString().slice(0, 10),
        amount: { amount: '1', currency: 'CNY' },
      }),
    })
  return wishes
}

async function firstKey(system: System, record: RecordType): Promise<string | undefined> {
  const page = await portOf(system, record)?.list?.({ first: 1 }, { caller: gatewayCaller })
  return page?.ok ? page.value.items[0]?.record.key : undefined
}

/** How often each reference is there, over all pages; undefined where the system cannot list such records. */
async function referencesIn(system: System, record: RecordType): Promise<Map<string, number> | undefined> {
  const port = portOf(system, record)
  if (!port?.list) return undefined
  const found = new Map<string, number>()
  for (let after: string | undefined; ; ) {
    const page = await port.list({ first: 100, after }, { caller: gatewayCaller })
    if (!page.ok)
      throw new Error(`${system.id} does not list its ${record} records: ${JSON.stringify(page.failure)}`)
    for (const { record: one } of page.value.items) {
      const { externalReference } = one as { externalReference?: string | null }
      if (externalReference) found.set(externalReference, (found.get(externalReference) ?? 0) + 1)
    }
    after = page.value.items.at(-1)?.position
    if (!page.value.hasMore || after === undefined) return found
  }
}

const HOP = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive', 'expect'])

/** Byte for byte, but for what belongs to one connection. */
function passOn(baseUrl: string, request: SimulatedRequest): Promise<SimulatedResponse> {
  const { protocol, origin } = new URL(baseUrl)
  const url = `${origin}${request.path}${request.rawQuery === '' ? '' : `?${request.rawQuery}`}`
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP.has(name)))
  return new Promise((resolve, reject) => {
    const outgoing = (protocol === 'https:' ? askHttps : askHttp)(
      url,
      { method: request.method, headers: { ...headers, 'content-length': request.body.length } },
      (incoming: IncomingMessage) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const kept = Object.entries(incoming.headers).filter(([name]) => !HOP.has(name)) as [
            string,
            string | string[],
          ][]
          resolve({
            status: incoming.statusCode ?? 502,
            headers: Object.fromEntries(kept),
            body: Buffer.concat(chunks),
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(request.body)
  })
}
