import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  startSimulatorServer,
} from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { type Exchange, inCallScope } from '../../src/systems/call-scope.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import { createHttpSystem } from '../../src/systems/http/adapter.ts'
import { httpConfig } from '../../src/systems/http/config.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import type { Adapter, RecordPort, WriteContext } from '../../src/systems/port.ts'
import type { RecordType } from '../../src/systems/records.ts'
import { startRestCrmSimulator } from '../../src/systems/rest-crm/simulator.ts'
import { CRM, TOKEN } from './subjects/http.ts'

const context = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: '王芳' }

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function connect(settings: Record<string, unknown>, timeoutMs = 2_000): Adapter {
  const adapter = createHttpSystem(httpConfig.parse(settings), { systemId: 'any', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  return adapter
}

/** The port with everything that a test may want to call; what is not configured fails when it is called. */
function portOf<T extends RecordType>(adapter: Adapter, type: T): Required<RecordPort<T>> {
  const port = adapter.ports[type]
  if (!port) throw new Error(`no ${type} port`)
  return port as unknown as Required<RecordPort<T>>
}

function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}
const failureOf = (outcome: Outcome<unknown> | undefined) =>
  outcome && !outcome.ok ? outcome.failure : undefined

async function startCrm(options: { customers?: number; timeoutMs?: number; settings?: object } = {}) {
  const world = new World({ customers: options.customers ?? 12, orders: 0 })
  const crm = await startRestCrmSimulator(world, { auth: { type: 'bearer', token: TOKEN } })
  cleanups.push(() => crm.close())
  const adapter = connect({ baseUrl: crm.url, ...CRM, ...options.settings }, options.timeoutMs)
  return {
    world,
    crm,
    adapter,
    customer: portOf(adapter, 'customer'),
    opportunity: portOf(adapter, 'opportunity'),
  }
}

describe('a CRM described by configuration', () => {
  test('gives a customer with everything that is mapped', async () => {
    const { customer } = await startCrm()
    const [outcome] = await customer.readMany(['70007'], context)
    expect(given(outcome)).toEqual({
      key: '70007',
      version: '1',
      name: '上海晨光精密机械有限公司',
      code: null,
      legalName: null,
      type: null,
      vendorStatus: null,
      parent: null,
      level: 'VIP',
      vendorLevel: 'VIP',
      industry: '机械制造',
      taxNumber: '91310001MA1K007919',
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      contacts: [
        { name: '王芳', title: '采购总监', phone: null, email: null, primary: true },
        { name: '李强', title: '财务经理', phone: null, email: null, primary: false },
      ],
      addresses: [
        {
          type: 'OFFICE',
          default: null,
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: null,
          postalCode: null,
          country: null,
        },
      ],
      account: null,
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-03-31T09:00:00.000Z',
      customFields: { shortName: '上海晨光' },
    })
  })

  test('answers stand in the order of the keys, missing ones are null, repeated ones are asked once', async () => {
    const { customer, crm } = await startCrm()
    const outcomes = await customer.readMany(['70035', '99999', '70014', '70035', ''], context)
    expect(outcomes.map((outcome) => given(outcome)?.key ?? null)).toEqual([
      '70035',
      null,
      '70014',
      '70035',
      null,
    ])
    expect(crm.calls).toEqual(['GET /api/customers?ids=70035%2C99999%2C70014'])
  })

  test('reads one by one where the system has no batch, and no key climbs out of its path', async () => {
    const { opportunity, crm } = await startCrm()
    const outcomes = await opportunity.readMany(['OP-00002', '..', 'a/b', 'OP-99999', 'OP-00001'], context)
    expect(outcomes.map((outcome) => given(outcome)?.key ?? null)).toEqual([
      'OP-00002',
      null,
      null,
      null,
      'OP-00001',
    ])
    expect([...crm.calls].sort()).toEqual([
      'GET /api/opportunities/OP-00001',
      'GET /api/opportunities/OP-00002',
      'GET /api/opportunities/OP-99999',
      'GET /api/opportunities/a%2Fb',
    ])
  })
})

describe('lists and changes', () => {
  test('numbered pages are complete and without repetition while records are added at the front', async () => {
    const { customer, world } = await startCrm({ customers: 14 })
    const all = world.all('crmCustomers').map(({ id }) => id)
    const first = given(await customer.list({ first: 6 }, context))
    expect([first.items.length, first.hasMore]).toEqual([6, true])
    const newest = world.all('crmCustomers')[0]
    for (const id of ['90001', '90002', '90003']) {
      world.put('crmCustomers', { ...newest, id, createdAt: '2030-01-01T00:00:00.000Z' } as typeof newest &
        object)
    }
    const keys = first.items.map(({ record }) => record.key)
    for (let after = first.items.at(-1)?.position; after !== undefined; ) {
      const page = given(await customer.list({ first: 6, after }, context))
      keys.push(...page.items.map(({ record }) => record.key))
      after = page.hasMore ? page.items.at(-1)?.position : undefined
    }
    expect([...keys].sort()).toEqual([...all].sort())
  })

  test('cursors go on from the page and the record in it', async () => {
    const { opportunity, world } = await startCrm()
    const keys: string[] = []
    let after: string | undefined
    do {
      const page = given(await opportunity.list({ first: 3, after }, context))
      keys.push(...page.items.map(({ record }) => record.key))
      after = page.hasMore ? page.items.at(-1)?.position : undefined
    } while (after !== undefined)
    expect(keys).toHaveLength(world.count('crmOpportunities'))
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('filters that the request does not know are refused, a place of another list too', async () => {
    const { customer, opportunity } = await startCrm()
    expect(failureOf(await customer.list({ first: 1, filter: { customer: '70007' } }, context))?.kind).toBe(
      'unsupported',
    )
    const found = given(await customer.list({ first: 5, filter: { search: '晨光' } }, context))
    expect(found.items.map(({ record }) => record.key)).toEqual(['70007'])
    const own = given(await opportunity.list({ first: 9, filter: { customer: '70007' } }, context))
    expect(new Set(own.items.map(({ record }) => record.customer))).toEqual(new Set(['70007']))
    expect(failureOf(await customer.list({ first: 1, after: 'nonsense' }, context))).toMatchObject({
      kind: 'rejected',
      code: 'POSITION',
    })
  })

  test('what belongs to several customers comes in one walk, each to its own', async () => {
    const { opportunity, crm, world } = await startCrm()
    const outcomes = (await opportunity.lookups.byCustomer?.read(['70014', '1', '70007'], context)) ?? []
    const expected = (id: string) =>
      world
        .all('crmOpportunities')
        .filter((one) => one.customerId === id)
        .map(({ id }) => id)
    expect(
      outcomes.map((outcome) =>
        given(outcome)
          .map(({ key }) => key)
          .sort(),
      ),
    ).toEqual([expected('70014').sort(), [], expected('70007').sort()])
    expect(crm.calls[0]).toBe('GET /api/opportunities?customerIds=70014%2C1%2C70007&page=1&limit=2')
  })

  test('changes are followed from the clock of the system, in pages, also while records change', async () => {
    const { customer, world } = await startCrm()
    const start = given(await customer.changes(null, context))
    expect(start.records).toEqual([])
    const touched = world.all('crmCustomers').slice(0, 7)
    for (const one of touched)
      world.put('crmCustomers', { ...one, phone: '1', updatedAt: new Date().toISOString() })
    const seen = new Set<string>()
    let page = given(await customer.changes(start.checkpoint, context))
    const late = touched[0]
    if (late) world.put('crmCustomers', { ...late, phone: '2', updatedAt: new Date().toISOString() })
    for (;;) {
      for (const { key } of page.records) seen.add(key)
      if (!page.hasMore) break
      page = given(await customer.changes(page.checkpoint, context))
    }
    expect([...seen].sort()).toEqual(touched.map(({ id }) => id).sort())
    expect(JSON.parse(page.checkpoint).since).toBeLessThan(Date.now() - 4_000)
  })
})

describe('writes', () => {
  const input = {
    name: '新商机 🚀',
    customer: '70007',
    amount: { amount: '90071992547409.01', currency: 'CNY' },
  }

  test('a create carries the reference; sent again it is the same record', async () => {
    const { opportunity, world } = await startCrm()
    const before = world.count('crmOpportunities')
    expect(given(await opportunity.create.verify(input, write, context))).toEqual({
      effect: 'none',
      proven: true,
      evidence: 'no record has the reference, and the system takes each reference only once',
    })
    const made = given(
      await opportunity.create.send(
        { ...input, amount: { amount: '120.50', currency: 'CNY' } },
        write,
        context,
      ),
    )
    expect(made).toMatchObject({
      key: 'OP-00013',
      reached: 'effective',
      record: { amount: { amount: '120.50', currency: 'CNY' } },
    })
    const again = given(await opportunity.create.send(input, write, context))
    expect(again.key).toBe('OP-00013')
    expect(world.count('crmOpportunities')).toBe(before + 1)
  })

  test('what would be sent can be shown without credentials', async () => {
    const { opportunity, crm } = await startCrm()
    const request = await opportunity.create.previewLater?.(input, write)
    expect(request).toEqual({
      method: 'POST',
      path: '/api/opportunities',
      headers: { accept: 'application/json', 'content-type': 'application/json; charset=utf-8' },
      body: `{"name":"新商机 🚀","customerId":"70007","amount":"90071992547409.01","currency":"CNY","externalRef":"${write.externalReference}"}`,
    })
    expect(opportunity.create.preview(input, write)).toEqual({ method: 'POST', path: '/api/opportunities' })
    expect(crm.calls).toEqual([])
  })

  test('a lost answer is looked up, not sent again', async () => {
    const { opportunity, customer, crm } = await startCrm({ timeoutMs: 500 })
    crm.setFaults([{ kind: 'drop-after' }])
    const small = { ...input, amount: { amount: '1', currency: 'CNY' } }
    expect(failureOf(await opportunity.create.send(small, write, context))?.kind).toBe('unknown-outcome')
    const change = { key: '70007', changes: { phone: '110' } }
    expect(failureOf(await customer.update.send(change, write, context))?.kind).toBe('unknown-outcome')
    crm.setFaults([])
    expect(given(await opportunity.create.verify(small, write, context))).toMatchObject({
      effect: 'done',
      result: { key: 'OP-00013' },
    })
    expect(given(await customer.update.verify(change, write, context))).toMatchObject({
      effect: 'done',
      result: { key: '70007' },
    })
  })

  test('an update protects the version; where a version cannot be checked it is refused', async () => {
    const { customer, crm } = await startCrm()
    const changes = { name: '新名称', level: 'BASIC' as const }
    const done = given(
      await customer.update.send({ key: '70007', expectedVersion: '1', changes }, write, context),
    )
    expect(done).toMatchObject({ key: '70007', record: { name: '新名称', level: 'BASIC', version: '2' } })
    const stale = await customer.update.send({ key: '70007', expectedVersion: '1', changes }, write, context)
    expect(failureOf(stale)).toMatchObject({ kind: 'conflict' })
    const verdict = given(
      await customer.update.verify(
        { key: '70007', expectedVersion: '1', changes: { name: 'x' } },
        write,
        context,
      ),
    )
    expect(verdict).toMatchObject({ effect: 'none', proven: false })
    expect(
      given(
        await customer.update.verify(
          { key: '70007', expectedVersion: '2', changes: { name: 'x' } },
          write,
          context,
        ),
      ),
    ).toMatchObject({ effect: 'none', proven: true })
    expect(
      given(await customer.update.verify({ key: '70007', changes: { name: 'x' } }, write, context)),
    ).toMatchObject({ effect: 'none', proven: true })
    expect(failureOf(await customer.update.send({ key: '..', changes }, write, context))?.kind).toBe(
      'not-found',
    )
    const header = await customer.update.send(
      { key: '70007', expectedVersion: 'ä\n', changes },
      write,
      context,
    )
    expect(failureOf(header)).toMatchObject({ kind: 'rejected', code: 'REQUEST_TEMPLATE' })
    const settings = structuredClone(CRM)
    settings.records.customer.update.conditional = false
    const other = portOf(connect({ baseUrl: crm.url, ...settings }), 'customer')
    expect(
      failureOf(await other.update.send({ key: '70007', expectedVersion: '3', changes }, write, context))
        ?.kind,
    ).toBe('unsupported')
  })

  test('a refusal keeps code, words, field and details', async () => {
    const { opportunity } = await startCrm()
    expect(failureOf(await opportunity.create.send({ ...input, customer: '1' }, write, context))).toEqual({
      kind: 'rejected',
      code: '40001',
      message: 'There is no such customer.',
      field: 'customerId',
      details: { field: 'customerId', customerId: '1' },
    })
  })
})

describe('bad days', () => {
  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'truncate' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 500 },
      { kind: 'unavailable', reason: 'overloaded' },
    ],
    [{ kind: 'status', status: 302, headers: { location: '/login' } }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7_000 },
    ],
    [
      { kind: 'status', status: 200, body: '{"code":7001,"message":"库存不足"}' },
      { kind: 'rejected', code: '7001', message: '库存不足' },
    ],
    [{ kind: 'status', status: 200, body: '[1' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 404, body: '{"code":40400,"message":"no such path"}' },
      { kind: 'invalid-response' },
    ],
  ] as const)('a read that meets %j is %j, for every key', async (fault, failure) => {
    // Short only where nothing else ends it: a busy machine takes its time.
    const { customer, adapter, crm } = await startCrm({ timeoutMs: fault.kind === 'hang' ? 200 : 5_000 })
    crm.setFaults([fault])
    const outcomes = await customer.readMany(['70007', '70014'], context)
    expect(outcomes.map(failureOf)).toEqual([
      expect.objectContaining(failure),
      expect.objectContaining(failure),
    ])
    expect(failureOf(await adapter.health(context))?.kind).toBe(failure.kind)
    expect(failureOf(await customer.changes(null, context))?.kind).toBe(failure.kind)
    crm.setFaults([])
    expect(given((await customer.readMany(['70007'], context))[0])?.key).toBe('70007')
  })

  test.each([
    [{ kind: 'status', status: 500 }, 'unknown-outcome'],
    [{ kind: 'status', status: 503 }, 'unknown-outcome'],
    [{ kind: 'status', status: 302 }, 'unknown-outcome'],
    [{ kind: 'html' }, 'unknown-outcome'],
    [{ kind: 'status', status: 429 }, 'unavailable'],
    [{ kind: 'status', status: 400, body: 'nonsense' }, 'rejected'],
  ] as const)('a write that meets %j is %s', async (fault, kind) => {
    const { customer, crm } = await startCrm()
    crm.setFaults([fault])
    const outcome = await customer.update.send({ key: '70007', changes: { phone: '1' } }, write, context)
    expect(failureOf(outcome)?.kind).toBe(kind)
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, crm, customer } = await startCrm()
    const settings = structuredClone(CRM)
    settings.records.customer.map.account =
      "$number(revision) > 1 ? { 'creditLimit': { 'amount': 'much', 'currency': 'CNY' } }"
    const one = world.get('crmCustomers', '70014')
    if (one) world.put('crmCustomers', { ...one, revision: 2 })
    const broken = portOf(connect({ baseUrl: crm.url, ...settings }), 'customer')
    const [good, bad] = await broken.readMany(['70007', '70014'], context)
    expect(given(good)?.account).toBeNull()
    expect(failureOf(bad)).toEqual({
      kind: 'invalid-response',
      detail: 'customer: account.creditLimit.amount "much" is no decimal number',
    })
    const keys = given(await broken.list({ first: 100 }, context)).items.map(({ record }) => record.key)
    expect(keys).toHaveLength(11)
    expect(keys).not.toContain('70014')
    expect(given(await customer.list({ first: 100 }, context)).items).toHaveLength(12)
  })

  test('refused credentials are asked once and never shown', async () => {
    const { crm } = await startCrm()
    const other = connect({ baseUrl: crm.url, ...CRM, auth: { type: 'bearer', token: 'wrong-secret' } })
    const outcomes = await portOf(other, 'opportunity').readMany(
      ['OP-00001', 'OP-00002', 'OP-00003'],
      context,
    )
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual(Array(3).fill('unauthorized'))
    expect(crm.calls).toHaveLength(1)
    crm.setFaults([
      {
        kind: 'status',
        status: 400,
        body: JSON.stringify({ code: 1, message: `bad\\u0007 Bearer ${TOKEN}` }),
      },
    ])
    const echoed = await portOf(connect({ baseUrl: crm.url, ...CRM }), 'opportunity').readMany(
      ['OP-00001'],
      context,
    )
    expect(failureOf(echoed[0])).toMatchObject({ kind: 'rejected', code: '1' })
    expect(JSON.stringify([outcomes, echoed])).not.toMatch(/wrong-secret|7f3a9e/)
  })
})

/* ---- other wires ---- */

interface Strict {
  readonly url: string
  readonly seen: SimulatedRequest[]
}

/** A server of a few lines, for what no simulator speaks. */
async function serve(
  handle: (request: SimulatedRequest) => SimulatedResponse | Promise<SimulatedResponse>,
): Promise<Strict & { setFaults: Awaited<ReturnType<typeof startSimulatorServer>>['setFaults'] }> {
  const seen: SimulatedRequest[] = []
  const server = await startSimulatorServer({
    handle(request) {
      seen.push(request)
      return handle(request)
    },
  })
  cleanups.push(() => server.close())
  return { url: server.url, seen, setFaults: server.setFaults }
}

const json = (value: unknown, status = 200, headers: Record<string, string> = {}): SimulatedResponse => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(value),
})

const PRODUCT = {
  read: { request: { path: '/products/{key}' } },
  map: { key: 'no', sku: 'no', name: 'title' },
}
const productOf = (settings: Record<string, unknown>, timeoutMs?: number) =>
  portOf(connect({ records: { product: PRODUCT }, ...settings }, timeoutMs), 'product')

describe('logins', () => {
  const auth = {
    type: 'login',
    username: 'gateway',
    password: 'pä ss"wörd',
    request: { path: '/login', body: "{ 'user': username, 'password': password }" },
    token: 'data.token',
    expiresIn: 'data.expires',
    header: 'X-Session',
    value: '{token}',
    logout: { method: 'POST', path: '/logout' },
  }
  const errors = { when: 'code != "0"', code: 'code', kinds: { unauthorized: ['401'] } }

  async function startSessions(options: { expires?: number; refuse?: boolean; always?: boolean } = {}) {
    let number = 0
    const open = new Set<string>()
    const server = await serve(async ({ path, headers, body }) => {
      if (path === '/login') {
        const { user, password } = JSON.parse(String(body))
        await new Promise((resolve) => setTimeout(resolve, 20))
        if (options.refuse || user !== 'gateway' || password !== 'pä ss"wörd')
          return json({ code: 1001, message: 'wrong' })
        const token = `session-${++number}`
        open.add(token)
        return json({ code: 0, data: { token, expires: options.expires ?? 3600 } })
      }
      const session = String(headers['x-session'])
      if (path === '/logout') return json({ code: open.delete(session) ? 0 : 401 })
      // As many systems do: HTTP 200, and the session is gone.
      if (!open.has(session) || options.always) return json({ code: 401, message: 'log in first' })
      return json({ code: 0, no: path.split('/')[2], title: '螺丝' })
    })
    const settings = { baseUrl: server.url, auth, errors, maxConnections: 16 }
    const logins = () => server.seen.filter(({ path }) => path === '/login').length
    return { server, open, settings, logins }
  }

  test('one serves a hundred who wait, and ends with a logout', async () => {
    const { settings, logins, open } = await startSessions()
    const adapter = connect({ records: { product: PRODUCT }, ...settings })
    const keys = Array.from({ length: 100 }, (_, index) => String(index))
    const outcomes = await Promise.all(keys.map((key) => portOf(adapter, 'product').readMany([key], context)))
    expect(outcomes.map(([outcome]) => given(outcome)?.key)).toEqual(keys)
    expect(logins()).toBe(1)
    expect(open.size).toBe(1)
    await adapter.close()
    expect(open.size).toBe(0)
  })

  test('a session that the system has ended is renewed once, for all who meet that', async () => {
    const { settings, logins, open } = await startSessions()
    const product = productOf(settings)
    given((await product.readMany(['1'], context))[0])
    open.clear()
    const outcomes = await product.readMany(['1', '2', '3', '4'], context)
    expect(outcomes.map((outcome) => given(outcome)?.key)).toEqual(['1', '2', '3', '4'])
    expect(logins()).toBe(2)
  })

  test('a token is replaced before it ends', async () => {
    const { settings, logins } = await startSessions({ expires: 11 })
    const product = productOf(settings)
    given((await product.readMany(['1'], context))[0])
    await new Promise((resolve) => setTimeout(resolve, 1_050))
    given((await product.readMany(['1'], context))[0])
    expect(logins()).toBe(2)
  })

  test('a wrong password is tried once, and never shown', async () => {
    const { settings, logins } = await startSessions()
    const product = productOf({ ...settings, auth: { ...auth, password: 'wrong-secret' } })
    const outcomes = await Promise.all(['1', '2', '3'].map((key) => product.readMany([key], context)))
    const later = await product.readMany(['4'], context)
    const failures = [...outcomes.flat(), ...later].map(failureOf)
    expect(failures.map((failure) => failure?.kind)).toEqual(Array(4).fill('unauthorized'))
    expect(JSON.stringify(failures)).not.toContain('wrong-secret')
    expect(logins()).toBe(1)
  })

  test('a system that refuses every session is not logged in to without end', async () => {
    const { settings, logins } = await startSessions({ always: true })
    const product = productOf(settings)
    for (let round = 0; round < 5; round++) {
      expect(failureOf((await product.readMany(['1'], context))[0])?.kind).toBe('unauthorized')
    }
    expect(logins()).toBe(1)
  })

  test('who leaves does not take the login along', async () => {
    const { settings, logins } = await startSessions()
    const product = productOf(settings)
    const gone = product.readMany(['1'], { ...context, signal: AbortSignal.timeout(5) })
    const stays = product.readMany(['2'], context)
    expect(failureOf((await gone)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
    expect(given((await stays)[0])?.key).toBe('2')
    expect(logins()).toBe(1)
  })
})

describe('writes in a session', () => {
  test('one that met an ended session is sent again in a new one, and once; actions are read back', async () => {
    let session = 0
    let ended = false
    const orders = new Map([['1', { no: '1', state: '10' }]])
    const sent: string[] = []
    const server = await serve(({ path, method, headers }) => {
      if (path === '/login') return json({ token: `t${++session}` })
      if (ended || headers.authorization !== `Bearer t${session}`) {
        ended = false
        session++
        return json({}, 401)
      }
      const order = orders.get(path.split('/')[2] ?? '')
      if (!order) return json({}, 404)
      if (method === 'POST') {
        sent.push(path)
        order.state = '90'
      }
      return json(order)
    })
    const adapter = connect({
      baseUrl: server.url,
      auth: {
        type: 'login',
        username: 'u',
        password: 'secret-pass',
        request: { method: 'POST', path: '/login' },
        token: 'token',
      },
      codes: { status: { '10': 'NEW', '90': 'CANCELLED' } },
      records: {
        order: {
          read: { request: { path: '/orders/{key}' } },
          actions: {
            cancel: {
              request: { method: 'POST', path: '/orders/{key}/cancel' },
              done: 'status = "CANCELLED"',
            },
          },
          map: {
            key: 'no',
            number: 'no',
            status: "$code('status', state)",
            vendorStatus: 'state',
            lines: '[]',
          },
        },
      },
    })
    const order = portOf(adapter, 'order')
    expect(given((await order.readMany(['1'], context))[0])).toMatchObject({
      status: 'NEW',
      vendorStatus: '10',
    })
    const cancel = order.actions.cancel
    if (!cancel) throw new Error('no cancel')
    expect(given(await cancel.verify({ key: '1' }, write, context))).toMatchObject({
      effect: 'none',
      proven: false,
    })
    ended = true
    expect(given(await cancel.send({ key: '1' }, write, context))).toEqual({ key: '1', reached: 'effective' })
    expect(sent).toEqual(['/orders/1/cancel'])
    expect(given(await cancel.verify({ key: '1' }, write, context))).toMatchObject({ effect: 'done' })
    expect(failureOf(await cancel.send({ key: '2' }, write, context))?.kind).toBe('not-found')
    orders.set('3', { no: '3', state: '77' })
    expect(given((await order.readMany(['3'], context))[0])).toMatchObject({
      status: 'UNKNOWN',
      vendorStatus: '77',
    })
  })
})

describe('all that a record may have', () => {
  test('is mapped: a product with category, price and supplier; an order with parties, holds and payment', async () => {
    const server = await serve(({ path }) =>
      path.startsWith('/products/')
        ? json({
            id: 'P-1',
            name: '伺服电机',
            state: 'eol',
            group: { id: '10', path: ['电机', '伺服'] },
            box: 12,
            list: 1280.5,
            supplier: { id: 'S-9', days: 14 },
            specs: [{ k: 'power', v: 750, u: 'W' }],
            pictures: 'https://img.example.com/p1.jpg',
          })
        : json({
            id: 'SO-1',
            state: 'frozen',
            type: 'ZOR',
            to: { name: '王芳', street: '张江路 1 号', city: '上海' },
            blocked: 'CR',
            terms: '月结30天',
            paid: '100.00',
            quote: 'Q-7',
            steps: [{ to: 'NEW', on: '2026-03-01T08:00:00Z' }, { to: 'frozen' }],
            lines: [{ no: 1, qty: 2, tax: '13', note: '急', colour: 'red' }],
          }),
    )
    const adapter = connect({
      baseUrl: server.url,
      auth: { type: 'none' },
      records: {
        product: {
          read: { request: { path: '/products/{key}' } },
          map: {
            key: 'id',
            sku: 'id',
            name: 'name',
            status: 'state = "eol" ? "DISCONTINUED" : state',
            units: '{ "vendorUnit": "箱", "numerator": "1", "denominator": box }',
            category: '{ "key": group.id, "path": group.path }',
            price: '{ "amount": { "amount": list, "currency": "CNY" }, "taxIncluded": true }',
            supplier: '{ "key": supplier.id, "leadTimeDays": supplier.days }',
            specifications: 'specs.{ "name": k, "value": v, "unit": u }',
            images: 'pictures',
          },
        },
        order: {
          read: { request: { path: '/orders/{key}' } },
          map: {
            key: 'id',
            number: 'id',
            status: 'state',
            documentType: 'type',
            shipTo: '{ "name": to.name, "address": { "street": to.street, "city": to.city } }',
            holds: 'blocked.{ "type": "CREDIT", "code": $ }',
            payment: '{ "terms": terms, "paid": { "amount": paid, "currency": "CNY" } }',
            precededBy: 'quote.{ "type": "QUOTATION", "number": $ }',
            timeline: 'steps.{ "status": to, "time": on }',
            lines:
              'lines.{ "id": no, "lineNumber": no, "ordered": { "value": qty }, "taxRate": tax, "comments": note, "customFields": { "colour": colour } }',
          },
        },
      },
    })
    expect(given((await portOf(adapter, 'product').readMany(['P-1'], context))[0])).toMatchObject({
      status: 'DISCONTINUED',
      units: [{ vendorUnit: '箱', numerator: '1', denominator: '12' }],
      category: { key: '10', name: null, path: ['电机', '伺服'] },
      price: { amount: { amount: '1280.5', currency: 'CNY' }, per: '1', taxIncluded: true },
      supplier: { key: 'S-9', leadTimeDays: 14 },
      specifications: [{ name: 'power', value: '750', unit: 'W' }],
      images: ['https://img.example.com/p1.jpg'],
    })
    expect(given((await portOf(adapter, 'order').readMany(['SO-1'], context))[0])).toMatchObject({
      status: 'UNKNOWN',
      vendorStatus: 'frozen',
      documentType: 'ZOR',
      shipTo: { name: '王芳', address: { street: '张江路 1 号', city: '上海', country: null } },
      holds: [{ type: 'CREDIT', code: 'CR', text: null }],
      payment: { terms: '月结30天', paid: { amount: '100.00', currency: 'CNY' }, paidOn: null },
      precededBy: [{ type: 'QUOTATION', number: 'Q-7' }],
      timeline: [
        { status: 'NEW', time: '2026-03-01T08:00:00Z' },
        { status: 'UNKNOWN', vendorStatus: 'frozen', time: null },
      ],
      lines: [{ taxRate: '13', comments: '急', customFields: { colour: 'red' } }],
    })
  })

  test('is carried to the system by a create that says so', async () => {
    const made: unknown[] = []
    const server = await serve(({ method, body }) => {
      if (method === 'POST') made.push(JSON.parse(String(body)))
      return method === 'POST' ? json({ id: 'C-1' }) : json([])
    })
    const adapter = connect({
      baseUrl: server.url,
      auth: { type: 'none' },
      records: {
        customer: {
          read: { request: { path: '/customers/{key}' } },
          create: {
            request: {
              path: '/customers',
              body: '{ "name": input.name, "tags": input.tags, "city": input.addresses[type="SHIPPING"].city, "ref": reference }',
            },
            takes: ['addresses', 'tags'],
            key: 'id',
          },
          find: { request: { path: '/customers', query: { ref: '{reference}' } }, reference: 'ref' },
          map: { key: 'id', name: 'name' },
        },
      },
    })
    const create = portOf(adapter, 'customer').create
    expect(create?.takes).toEqual(['addresses', 'tags'])
    const input = {
      name: '云帆科技',
      tags: ['重点', '华南'],
      addresses: [
        { type: 'OFFICE', city: '深圳' },
        { type: 'SHIPPING', city: '惠州' },
      ],
    } as const
    expect(given(await create?.send(input, write, context))).toMatchObject({ key: 'C-1' })
    expect(made).toEqual([
      { name: '云帆科技', tags: ['重点', '华南'], city: '惠州', ref: write.externalReference },
    ])
  })
})

describe('webhooks of a form of its own', () => {
  const secret = 'a secret of 16 or more'
  const now = new Date('2026-02-04T08:00:30Z')
  const { webhook } = connect({
    baseUrl: 'http://127.0.0.1:1',
    auth: { type: 'none' },
    timeZone: '+08:00',
    webhook: {
      signature: { profile: 'standard', secret },
      events:
        'rows.{ "id": $string(seq), "type": kind = "SO" ? "order" : kind, "key": no, "change": op = "D" ? "deleted" : "updated", "time": at }',
    },
    records: {
      order: { read: { request: { path: '/x' } }, map: { key: 'a', number: 'a', status: 'a', lines: '[]' } },
    },
  })
  const signed = (body: string, key = secret) => {
    const bytes = Buffer.from(body)
    const seconds = now.getTime() / 1000
    return {
      body: bytes,
      headers: {
        'webhook-id': 'm-1',
        'webhook-timestamp': String(seconds),
        'webhook-signature': signWebhook(key, 'm-1', seconds, bytes),
      },
    }
  }

  test('are read by an expression, after a look at the signature; news of other records are none', async () => {
    const body = JSON.stringify({
      rows: [
        { seq: 7, kind: 'SO', no: 'SO-1', op: 'U', at: '2026-02-04 16:00:00' },
        { seq: 8, kind: 'PO', no: 'PO-1', op: 'U', at: '2026-02-04 16:00:00' },
        { seq: 9, kind: 'SO', no: 'SO-2', op: 'D', at: '2026-02-04 16:00:01' },
      ],
    })
    expect(webhook?.receive(signed(body), now)).toEqual({ ok: true, notifications: [] })
    expect(await webhook?.readLater?.(signed(body))).toEqual({
      ok: true,
      notifications: [
        { id: '7', type: 'order', key: 'SO-1', change: 'updated', time: '2026-02-04T16:00:00+08:00' },
        { id: '9', type: 'order', key: 'SO-2', change: 'deleted', time: '2026-02-04T16:00:01+08:00' },
      ],
    })
    expect(webhook?.receive(signed(body, 'another secret'), now)).toMatchObject({ reason: 'signature' })
    expect(webhook?.receive(signed(body), new Date('2026-02-04T08:06:00Z'))).toMatchObject({
      reason: 'timestamp',
    })
  })

  test.each([
    ['{"rows":', /JSON/],
    [
      '{"rows":[{"kind":"SO","no":"1","at":"2026-02-04 16:00:00","seq":1},{"seq":2}]}',
      /events\[1\]\.type: is missing/,
    ],
    [
      '{"rows":{"seq":1,"kind":"SO","no":"1","at":"yesterday"}}',
      /events\[0\]\.time: "yesterday" is no date-time/,
    ],
  ])('that cannot be read are refused with the place: %s', async (body, detail) => {
    expect(await webhook?.readLater?.(signed(body))).toMatchObject({
      ok: false,
      reason: 'malformed',
      detail: expect.stringMatching(detail),
    })
  })
})

describe('other ways to be known', () => {
  test.each(['basic', 'body'] as const)('OAuth 2.0 client credentials, sent as %s', async (sendAs) => {
    const endpoint = await serve(({ body, headers }) => {
      const form = new URLSearchParams(String(body))
      const [id, secret] =
        sendAs === 'basic'
          ? Buffer.from(String(headers.authorization).slice(6), 'base64')
              .toString()
              .split(':')
              .map(decodeURIComponent)
          : [form.get('client_id'), form.get('client_secret')]
      if (headers['content-type'] !== 'application/x-www-form-urlencoded')
        return json({ error: 'invalid_request' }, 400)
      if (id !== 'gate:way' || secret !== 'sécret') return json({ error: 'invalid_client' }, 401)
      const ok =
        form.get('grant_type') === 'client_credentials' &&
        form.get('scope') === 'read write' &&
        form.get('audience') === 'erp'
      return ok
        ? json({ access_token: 'at-5577', token_type: 'Bearer', expires_in: 600 })
        : json({ error: 'invalid_scope' }, 400)
    })
    const system = await serve(({ headers }) =>
      headers.authorization === 'Bearer at-5577' ? json({ no: '7', title: 'x' }) : json({}, 401),
    )
    const auth = {
      type: 'clientCredentials',
      tokenUrl: `${endpoint.url}/oauth/token`,
      clientId: 'gate:way',
      clientSecret: 'sécret',
      scope: 'read write',
      parameters: { audience: 'erp' },
      sendAs,
    }
    const product = productOf({ baseUrl: system.url, auth })
    expect(given((await product.readMany(['7', '7'], context))[0])?.name).toBe('x')
    given((await product.readMany(['7'], context))[0])
    expect(endpoint.seen).toHaveLength(1)
    const refused = productOf({ baseUrl: system.url, auth: { ...auth, clientSecret: 'wrong-secret' } })
    const failure = failureOf((await refused.readMany(['7'], context))[0])
    expect(failure).toEqual({
      kind: 'unauthorized',
      detail: 'POST /oauth/token: HTTP 401, code invalid_client',
    })
  })

  test('a key and a signature over timestamp, key, body and secret', async () => {
    const { createHash } = await import('node:crypto')
    const system = await serve(({ headers, body }) => {
      const [key, timestamp] = [String(headers.authorization), String(headers['x-timestamp'])]
      const expected = createHash('sha256').update(`${timestamp}ak-1${body}top-secret`).digest('hex')
      const right = key === 'ApiKey ak-1' && Math.abs(Date.now() - Number(timestamp)) < 300_000
      return right && headers['x-signature'] === expected ? json([{ no: '7', title: '中文' }]) : json({}, 401)
    })
    const settings = {
      baseUrl: system.url,
      auth: { type: 'signature', apiKey: 'ak-1', secret: 'top-secret' },
      records: {
        product: {
          ...PRODUCT,
          read: { request: { path: '/q', body: "{ 'nos': keys, '说明': '中文' }" }, batchLimit: 9 },
        },
      },
    }
    expect(given((await productOf(settings).readMany(['7'], context))[0])?.name).toBe('中文')
    expect(String(system.seen[0]?.body)).toBe('{"nos":["7"],"说明":"中文"}')
  })

  test('HTTP Basic and a key in a header of its own', async () => {
    const system = await serve(({ headers }) =>
      headers.authorization === `Basic ${Buffer.from('ü:p:w').toString('base64')}` ||
      headers['x-tenant-key'] === 'k-9'
        ? json({ no: '7', title: String(headers['x-company']) })
        : json({}, 401),
    )
    const headers = { 'X-Company': '100' }
    const basic = productOf({
      baseUrl: system.url,
      headers,
      auth: { type: 'basic', username: 'ü', password: 'p:w' },
    })
    const key = productOf({
      baseUrl: system.url,
      headers,
      auth: { type: 'apiKey', header: 'X-Tenant-Key', key: 'k-9' },
    })
    expect(given((await basic.readMany(['7'], context))[0])?.name).toBe('100')
    expect(given((await key.readMany(['7'], context))[0])?.name).toBe('100')
  })
})

describe('a token that is not carried in a header', () => {
  const AUTH = {
    type: 'login',
    username: 'gw',
    password: 'pass-4711',
    request: { path: '/in', body: "{ 'u': username, 'p': password }" },
    token: 'sid',
    parameter: 'sid',
    field: 'sid',
    logout: { path: '/out', body: "{ 'bye': '1' }" },
  }

  /** Asks with everything that goes over the wire told, as to the log of calls. */
  const ask = async (format: 'form' | 'json', read: object) => {
    const told: Exchange[] = []
    const system = await serve(({ path, query, body }) => {
      const text = String(body)
      if (path === '/in') return text.includes('pass-4711') ? json({ sid: 'sid-0815' }) : json({}, 401)
      const given =
        text === ''
          ? query.get('sid')
          : format === 'form'
            ? new URLSearchParams(text).get('sid')
            : JSON.parse(text).sid
      return given === 'sid-0815' ? json({ no: '7', title: 'x' }) : json({}, 401)
    })
    const adapter = inCallScope({ told: (exchange) => told.push(exchange) }, () =>
      connect({ baseUrl: system.url, auth: AUTH, format, records: { product: { ...PRODUCT, read } } }),
    )
    const [outcome] = await portOf(adapter, 'product').readMany(['7'], context)
    await adapter.close()
    expect(given(outcome)?.name).toBe('x')
    return { system, told }
  }

  test.each([
    ['form', { request: { path: '/p', body: "{ 'no': key }" } }, 'no=7&sid=sid-0815'],
    [
      'json',
      { request: { path: '/p', body: "{ 'no': $numeral('90071992547409931') , 'k': key }" } },
      '{"sid":"sid-0815","no":90071992547409931,"k":"7"}',
    ],
  ] as const)('stands in the body of a %s, and no log of calls sees it', async (format, read, body) => {
    const { system, told } = await ask(format, read)
    expect(String(system.seen[1]?.body)).toBe(body)
    expect(system.seen.at(-1)?.path).toBe('/out')
    expect(told).toHaveLength(3)
    expect(JSON.stringify(told)).not.toMatch(/pass-4711|sid-0815/)
    expect(told[0]).toMatchObject({ path: '/in', body: '***', answer: '***' })
  })

  test('stands in the address where there is no body', async () => {
    const { system, told } = await ask('json', { request: { path: '/p', query: { no: '{key}' } } })
    expect(String(system.seen[1]?.query)).toBe('no=7&sid=sid-0815')
    expect(told[1]).toMatchObject({ path: '/p?no=7', body: undefined })
  })
})

describe('what a configuration names is looked for', () => {
  const check = async (answers: (request: SimulatedRequest) => object, list: object, map: object = {}) => {
    const system = await serve((request) => json(answers(request)))
    const product = {
      read: { request: { path: '/one/{key}' } },
      list,
      map: { key: 'no', sku: 'no', name: 'title', ...map },
    }
    const adapter = connect({ baseUrl: system.url, auth: { type: 'none' }, records: { product } })
    const found = await adapter.checkConfiguration?.(context)
    return found?.ok ? found.value : found?.failure
  }
  const rows = [{ no: '7', title: 'x' }, { no: '8' }]
  const all = ({ path }: SimulatedRequest) => (path === '/all' ? { data: { rows } } : { no: '7', title: 'x' })
  const list = { request: { path: '/all' }, items: 'data.rows' }

  test('a list that is not where it should be is told with the place where one is', async () => {
    expect(await check(all, { ...list, items: 'data.row' })).toEqual([
      'product: "items" of its list (data.row) finds nothing, but the answer has a list at "data.rows"',
    ])
    expect(await check(() => ({ data: { rows: [] } }), list)).toEqual([])
  })

  test('records that cannot be read are counted, with the reason of the first', async () => {
    expect(await check(all, list)).toEqual([
      expect.stringMatching(/^product: 1 of 2 records of the first page cannot be read \(.*name/),
    ])
    expect(await check(all, list, { name: 'no' })).toEqual([])
  })

  test('a record of the list that is not found by its key is told', async () => {
    const elsewhere = ({ path }: SimulatedRequest) => (path === '/all' ? { data: { rows } } : { rows: [] })
    expect(await check(elsewhere, list, { name: 'no' })).toEqual([
      expect.stringMatching(/^product: "7" of its list cannot be read by key/),
    ])
  })
})

describe('other bodies and pages', () => {
  const none = { type: 'none' }

  test('XML: asked and answered, with attributes, lists of one and Chinese text', async () => {
    const system = await serve(({ body, headers }) => {
      expect(headers['content-type']).toBe('application/xml; charset=utf-8')
      expect(String(body)).toBe(
        '<?xml version="1.0" encoding="UTF-8"?><Query><Table name="item"></Table><No>A&#60;1</No><No>B</No></Query>',
      )
      return {
        status: 200,
        headers: { 'content-type': 'text/xml' },
        body: '<?xml version="1.0"?><r:Answer xmlns:r="urn:x"><r:Status code="0"/><Items><Item no="A&lt;1"><Name><![CDATA[螺丝 & 螺母]]></Name><Active>true</Active></Item></Items></r:Answer>',
      }
    })
    const product = productOf({
      baseUrl: system.url,
      auth: none,
      format: 'xml',
      errors: { when: "Answer.Status.`@code` != '0'", code: 'Answer.Status.`@code`' },
      records: {
        product: {
          read: {
            request: { path: '/q', body: "{ 'Query': { 'Table': { '@name': 'item' }, 'No': keys } }" },
            items: 'Answer.Items.Item',
            batchLimit: 50,
          },
          map: { key: '`@no`', sku: '`@no`', name: 'Name', active: 'Active' },
        },
      },
    })
    const [found, missing] = await product.readMany(['A<1', 'B'], context)
    expect(given(found)).toMatchObject({ key: 'A<1', sku: 'A<1', name: '螺丝 & 螺母', active: true })
    expect(given(missing)).toBeNull()
  })

  test('XML bombs, outside entities and declarations are refused', async () => {
    const bodies = [
      '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
      '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
      '<x>&unknown;</x>',
      '<x><y></x>',
      `${'<a>'.repeat(5_000)}${'</a>'.repeat(5_000)}`,
    ]
    let next = 0
    const system = await serve(() => ({ status: 200, body: bodies[next++] ?? '' }))
    const product = productOf({ baseUrl: system.url, auth: none, format: 'xml' })
    for (const _ of bodies) {
      expect(failureOf((await product.readMany(['1'], context))[0])?.kind).toBe('invalid-response')
    }
  })

  test('JSON-RPC: results, refusals, and answers to somebody else', async () => {
    const answers: Record<string, (id: unknown) => unknown> = {
      good: (id) => ({ jsonrpc: '2.0', id, result: { no: 'good', title: '好', price: 1 } }),
      gone: (id) => ({ jsonrpc: '2.0', id, error: { code: 404, message: 'none' } }),
      bad: (id) => ({
        jsonrpc: '2.0',
        id,
        error: { code: -32602, message: '参数错误', data: { field: 'no' } },
      }),
      broken: (id) => ({ jsonrpc: '2.0', id, error: { code: -32603, message: 'Internal error' } }),
      other: () => ({ jsonrpc: '2.0', id: 'x', result: {} }),
    }
    const system = await serve(({ body }) => {
      const { jsonrpc, id, method, params } = JSON.parse(String(body))
      expect([jsonrpc, method]).toEqual(['2.0', 'item.get'])
      return json(answers[params.no]?.(id))
    })
    const product = productOf({
      baseUrl: system.url,
      auth: none,
      format: 'jsonRpc',
      errors: { field: 'field', kinds: { notFound: ['404'] } },
      records: {
        product: {
          ...PRODUCT,
          read: { request: { path: '/rpc', rpcMethod: 'item.get', body: "{ 'no': key }" } },
        },
      },
    })
    const outcomes = await product.readMany(Object.keys(answers), context)
    expect(given(outcomes[0])?.name).toBe('好')
    expect(given(outcomes[1])).toBeNull()
    expect(outcomes.slice(2).map(failureOf)).toEqual([
      { kind: 'rejected', code: '-32602', message: '参数错误', field: 'no', details: { field: 'no' } },
      expect.objectContaining({ kind: 'unavailable', reason: 'overloaded' }),
      expect.objectContaining({ kind: 'invalid-response' }),
    ])
  })

  test('forms, offsets, exact numbers and amounts', async () => {
    const rows = Array.from(
      { length: 7 },
      (_, index) =>
        `{"id":${9007199254740993n + BigInt(index)},"qty":${index}.50,"price":12345678901234567890.123}`,
    )
    const system = await serve(({ body, headers }) => {
      expect(headers['content-type']).toBe('application/x-www-form-urlencoded')
      const form = new URLSearchParams(String(body))
      const [start, limit] = [Number(form.get('start')), Number(form.get('limit'))]
      return {
        status: 200,
        body: `{"total":${rows.length},"rows":[${rows.slice(start, start + limit).join(',')}]}`,
      }
    })
    const adapter = connect({
      baseUrl: system.url,
      auth: none,
      format: 'form',
      records: {
        inventoryLevel: {
          read: {
            request: { path: '/stock', body: "{ 'ids': $join(keys, ',') }" },
            items: 'rows',
            batchLimit: 9,
          },
          list: {
            request: { path: '/stock', body: "{ 'start': $string(offset), 'limit': size }" },
            items: 'rows',
            paging: { style: 'offset', size: 3, total: 'total' },
          },
          map: {
            key: "$joinKey([id, '01'])",
            product: 'id',
            warehouse: "'01'",
            onHand: "{ 'value': $plus(qty, '0.1') }",
            available: "{ 'value': $times(qty, price) }",
          },
        },
      },
    })
    const stock = portOf(adapter, 'inventoryLevel')
    const page = given(await stock.list({ first: 100 }, context))
    expect(page.items.map(({ record }) => record.product)).toEqual(
      Array.from({ length: 7 }, (_, index) => String(9007199254740993n + BigInt(index))),
    )
    expect(page.items[2]?.record).toMatchObject({
      key: '9007199254740995/01',
      onHand: { value: '2.6' },
      available: { value: '30864197253086419725.3075' },
    })
    expect(system.seen).toHaveLength(3)
  })

  test('links to the next page are followed to the same system only', async () => {
    const stranger = await serve(() => json([{ no: 'stolen', title: 'x' }]))
    const system: Strict = await serve(({ path, query }) => {
      const page = Number(query.get('p') ?? '1')
      const target = path === '/far' ? `${stranger.url}/far?p=2` : `${system.url}${path}?p=${page + 1}`
      const items = [
        { no: `${page}a`, title: 'x' },
        { no: `${page}b`, title: 'y' },
      ]
      return json(
        items,
        200,
        page < 3 ? { link: `<${system.url}/other>; rel="first", <${target}>; rel="next"` } : {},
      )
    })
    const listing = (path: string) =>
      productOf({
        baseUrl: system.url,
        auth: { type: 'bearer', token: 'secret-for-one' },
        records: { product: { ...PRODUCT, list: { request: { path }, paging: { style: 'link' } } } },
      })
    const near = listing('/near')
    const first = given(await near.list({ first: 3 }, context))
    const rest = given(await near.list({ first: 9, after: first.items.at(-1)?.position }, context))
    expect([...first.items, ...rest.items].map(({ record }) => record.key)).toEqual([
      '1a',
      '1b',
      '2a',
      '2b',
      '3a',
      '3b',
    ])
    expect(failureOf(await listing('/far').list({ first: 9 }, context))?.kind).toBe('invalid-response')
    expect(stranger.seen).toEqual([])
  })

  test('changes by a mark: the first call walks to the present, deletions are told', async () => {
    const log = ['a', 'b', 'c', 'd'].map((no, index) => ({ seq: index + 1, no, title: no, gone: false }))
    const system = await serve(({ query }) => {
      const after = Number(query.get('after') ?? '0')
      const rows = log.filter(({ seq }) => seq > after).slice(0, 2)
      return json({
        rows: rows.filter(({ gone }) => !gone),
        gone: rows.filter(({ gone }) => gone).map(({ no }) => no),
        next: rows.at(-1)?.seq ?? after,
      })
    })
    const product = productOf({
      baseUrl: system.url,
      auth: none,
      records: {
        product: {
          ...PRODUCT,
          changes: {
            request: { path: '/changes', query: { after: '{since}' } },
            items: 'rows',
            deleted: 'gone',
            follow: { by: 'token', next: 'next', hasMore: '$count(rows) + $count(gone) > 0' },
          },
        },
      },
    })
    const start = given(await product.changes(null, context))
    expect(start).toMatchObject({ records: [], checkpoint: '{"token":"4"}', hasMore: false })
    log.push({ seq: 5, no: 'b', title: 'B', gone: false }, { seq: 6, no: 'c', title: 'c', gone: true })
    const page = given(await product.changes(start.checkpoint, context))
    expect(page).toMatchObject({
      records: [{ key: 'b', name: 'B' }],
      deleted: ['c'],
      checkpoint: '{"token":"6"}',
      hasMore: true,
    })
    expect(given(await product.changes(page.checkpoint, context))).toMatchObject({
      records: [],
      deleted: [],
      hasMore: false,
    })
  })

  test('a system that answers every page with the same one is not asked for ever', async () => {
    const system = await serve(() => json({ rows: [{ no: '1', title: 'x' }], more: true }))
    const product = productOf({
      baseUrl: system.url,
      auth: none,
      records: {
        product: {
          ...PRODUCT,
          list: { request: { path: '/l' }, items: 'rows', paging: { style: 'page', hasMore: 'more' } },
          lookups: {
            byNumber: { request: { path: '/l' }, items: 'rows', paging: { style: 'page', hasMore: 'more' } },
          },
        },
      },
    })
    expect(failureOf(await product.list({ first: 9 }, context))?.kind).toBe('invalid-response')
    expect(failureOf((await product.lookups.byNumber?.read(['1'], context))?.[0])?.kind).toBe(
      'invalid-response',
    )
    expect(system.seen.length).toBeLessThan(6)
  })

  test('answers that are too long, or another record than was asked for, are told', async () => {
    const system = await serve(({ path }) =>
      path === '/products/long'
        ? { status: 200, body: `"${'x'.repeat(3_000_000)}"` }
        : json({ no: 'other', title: 'x' }),
    )
    const product = productOf({ baseUrl: system.url, auth: none, maxAnswerBytes: 1_000_000 })
    const outcomes = await product.readMany(['long', 'me'], context)
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual([
      'invalid-response',
      'invalid-response',
    ])
  })
})

describe('expressions', () => {
  const read = async (name: string, raw: unknown) => {
    const system = await serve(() => json(raw))
    const settings = {
      baseUrl: system.url,
      auth: { type: 'none' },
      timeZone: 'Asia/Shanghai',
      codes: { state: { '10': 'open', '20': 'closed' } },
      records: {
        product: { read: { request: { path: '/x/{key}' } }, map: { key: "'k'", sku: "'s'", name } },
      },
    }
    const [outcome] = await productOf(settings).readMany(['k'], context)
    return outcome?.ok ? outcome.value?.name : outcome?.failure
  }

  test.each([
    ["$code('state', s)", { s: 10 }, 'open'],
    ["$code('state', s)", { s: '99' }, '99'],
    ["$vendorCode('state', s)", { s: 'closed' }, '20'],
    ['$time(t)', { t: '2026-07-01 08:30' }, '2026-07-01T08:30:00+08:00'],
    ['$time(t)', { t: 1782866400000 }, '2026-07-01T00:40:00.000Z'],
    ['$time(t)', { t: 1782866400 }, '2026-07-01T00:40:00.000Z'],
    ['$time(t)', { t: '20260701083059' }, '2026-07-01T08:30:59+08:00'],
    ['$time(t)', { t: 202607010830 }, '2026-07-01T08:30:00+08:00'],
    ['$time(t)', { t: '2026/07/01 08:30:59' }, '2026-07-01T08:30:59+08:00'],
    ['$day(t)', { t: '2026-02-28 00:00:00' }, '2026-02-28'],
    ['$day(t)', { t: '20260228235959' }, '2026-02-28'],
    ['$divide(a, b, 4)', { a: 10, b: 3 }, '3.3333'],
    ['$join($splitKey(s), "|")', { s: 'a~1b/c' }, 'a/b|c'],
    ['$replace(s, /[A-Z]+/, "-")', { s: 'aBCd' }, 'a-d'],
  ])('%s of %j is %j', async (expression, raw, expected) => {
    expect(await read(expression, raw)).toBe(expected)
  })

  test.each([
    ['$day(t)', { t: '2026-02-30' }],
    ["$code('nothing', t)", { t: '1' }],
    ['$eval(t)', { t: '1+1' }],
    ['t + 1', { t: 'x' }],
    ['($f := function($n) { $f($n + 1) }; $f(1))', {}],
    ['$string([1..200000])', {}],
    ['__proto__', {}],
    ['constructor.name', {}],
    ['$count(a) > 0 ? a', { a: [1, 2] }],
  ])('%s of %j fails for that record alone', async (expression, raw) => {
    expect(await read(expression, raw)).toMatchObject({ kind: 'invalid-response' })
  })

  test('a pattern that would take for ever takes no time', async () => {
    const began = performance.now()
    expect(await read('$match(s, /^(a+)+$/) ? "yes" : "no"', { s: `${'a'.repeat(40)}b` })).toBe('no')
    expect(performance.now() - began).toBeLessThan(1_000)
  })

  test('fields that are called like parts of JavaScript are only fields', async () => {
    const system = await serve(() => ({ status: 200, body: '{"__proto__":{"title":"x"},"constructor":"c"}' }))
    const settings = {
      baseUrl: system.url,
      auth: { type: 'none' },
      records: {
        product: {
          read: { request: { path: '/x' } },
          map: { key: "'k'", sku: 'constructor', name: '__proto__.title' },
        },
      },
    }
    const [outcome] = await productOf(settings).readMany(['k'], context)
    expect(given(outcome)).toMatchObject({ sku: 'c', name: 'x' })
    expect(Object.prototype).not.toHaveProperty('title')
  })
})

describe('the README', () => {
  test('shows settings that are settings', () => {
    const text = readFileSync(new URL('../../src/systems/http/README.md', import.meta.url), 'utf8')
    const samples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, sample = '']) => sample)
    expect(samples).toHaveLength(2)
    for (const sample of samples) {
      const { kind, writes, ...settings } = parse(sample.replaceAll(/\$\{\w+_URL\}/g, 'http://x.example'))
      expect(kind).toBe('http')
      expect(httpConfig.safeParse(settings).error).toBeUndefined()
    }
  })
})

describe('a configuration', () => {
  const problems = (settings: object) =>
    httpConfig
      .safeParse({ baseUrl: 'https://x.example', auth: { type: 'none' }, ...settings })
      .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)

  test('is checked down to its expressions', () => {
    const read = { request: { path: '/x/{key' } }
    expect(
      problems({
        records: { product: { read, map: { key: 'a.(b', sku: 'a', name: '$match(a, /(?=x)/)' } } },
      }),
    ).toEqual([
      'records.product.read.request.path: is no template: "{" without "}" (at character 3)',
      'records.product.map.key: is no expression: Expected ")" before end of expression (at character 4)',
      'records.product.map.name: is no expression: error parsing regexp: invalid or unsupported Perl syntax: `(?=`',
    ])
  })

  test('names what is missing and what does not belong', () => {
    const read = { request: { path: '/x' } }
    expect(
      problems({
        records: { product: { read, map: { key: 'a' }, create: { request: read.request, key: 'k' } } },
      }),
    ).toEqual([
      'records.product.map.sku: is missing',
      'records.product.map.name: is missing',
      'records.product.create: is not possible for product',
      'records.product.find: is needed beside "create": a lost answer is looked up by it',
    ])
    const page = { request: { path: '/c' }, paging: { style: 'page' }, follow: { by: 'time' } }
    expect(problems({ records: { warehouse: { read, map: { key: 'a' }, changes: page } } })).toEqual([
      'records.warehouse.changes.follow.changedAt: is missing: numbered pages shift while records change',
    ])
    expect(problems({})).toEqual(['records: is missing: say what the system holds'])
  })
})
