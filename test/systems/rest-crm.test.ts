import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import { type SimulatedRequest, startSimulatorServer } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import type { Adapter, WebhookRequest, WriteContext } from '../../src/systems/port.ts'
import { createRestCrm } from '../../src/systems/rest-crm/adapter.ts'
import { restCrmConfig } from '../../src/systems/rest-crm/config.ts'
import { type RestCrmSimulatorOptions, startRestCrmSimulator } from '../../src/systems/rest-crm/simulator.ts'

const TOKEN = 'crm-token-7f3a9e'
const SECRET = 'whsec_c2VjcmV0IG9mIHRoZSBDUk0='
const context = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: '王芳' }

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Settings = Record<string, unknown>

function connect(baseUrl: string, settings: Settings = {}, timeoutMs = 2_000) {
  const config = restCrmConfig.parse({ baseUrl, auth: { type: 'bearer', token: TOKEN }, ...settings })
  const adapter = createRestCrm(config, { systemId: 'crm', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  return { adapter, ...portsOf(adapter) }
}

function portsOf(adapter: Adapter) {
  const { customer, opportunity } = adapter.ports
  const { update, list: listCustomers, changes: customerChanges } = customer ?? {}
  const { create, list: listOpportunities, changes: opportunityChanges, lookups } = opportunity ?? {}
  if (!customer || !update || !listCustomers || !customerChanges) throw new Error('no customer port')
  if (!opportunity || !create || !listOpportunities || !opportunityChanges || !lookups?.byCustomer)
    throw new Error('no opportunity port')
  return {
    customer: { ...customer, update, list: listCustomers, changes: customerChanges },
    opportunity: {
      ...opportunity,
      create,
      list: listOpportunities,
      changes: opportunityChanges,
      byCustomer: lookups.byCustomer,
    },
  }
}

interface StartOptions extends Partial<RestCrmSimulatorOptions> {
  readonly settings?: Settings
  readonly timeoutMs?: number
  readonly customers?: number
}

async function start({ settings, timeoutMs, customers, ...options }: StartOptions = {}) {
  const world = new World({ customers: customers ?? 12, orders: 0 })
  const crm = await startRestCrmSimulator(world, { auth: { type: 'bearer', token: TOKEN }, ...options })
  cleanups.push(() => crm.close())
  return { world, crm, ...connect(crm.url, settings, timeoutMs) }
}

function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}
const failureOf = (outcome: Outcome<unknown> | undefined) =>
  outcome && !outcome.ok ? outcome.failure : undefined

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 5_000) throw new Error('waited in vain')
    await delay(10)
  }
}

/** A listener for webhooks; refuses the first few. */
async function startReceiver(refuseFirst = 0) {
  const received: WebhookRequest[] = []
  let left = refuseFirst
  const server = await startSimulatorServer({
    handle(request) {
      received.push({ headers: request.headers as WebhookRequest['headers'], body: request.body })
      return { status: left-- > 0 ? 503 : 204 }
    },
  })
  cleanups.push(() => server.close())
  return { url: `${server.url}/hooks/crm`, received }
}

describe('customers are read', () => {
  test('a customer carries everything the CRM knows of it', async () => {
    const { customer } = await start()
    const [outcome] = await customer.readMany(['70007'], context)
    expect(given(outcome)).toEqual({
      key: '70007',
      version: '1',
      name: '上海晨光精密机械有限公司',
      level: 'VIP',
      vendorLevel: 'VIP',
      industry: '机械制造',
      taxNumber: '91310001MA1K007919',
      legalName: null,
      tags: null,
      status: null,
      vendorStatus: null,
      parent: null,
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      contacts: [
        {
          name: '王芳',
          title: '采购总监',
          phone: '+86 21 5550 0001',
          email: 'contact1@chenguang-jm.example',
          primary: true,
        },
        {
          name: '李强',
          title: '财务经理',
          phone: '+86 21 5550 0001',
          email: 'contact2@chenguang-jm.example',
          primary: false,
        },
      ],
      addresses: [
        {
          type: 'OFFICE',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: '上海市',
          postalCode: '201203',
          country: 'CN',
        },
      ],
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-03-31T09:00:00.000Z',
    })
  })

  test('answers stand in the order of the keys, missing ones are null, repeated ones are asked once', async () => {
    const { customer, crm } = await start()
    const keys = ['70035', '99999', '70014', '70035', '', '..', 'a,b']
    const outcomes = await customer.readMany(keys, context)
    expect(outcomes.map((outcome) => given(outcome)?.name ?? null)).toEqual([
      '深圳云帆科技有限公司',
      null,
      'Nordlicht Maschinenbau GmbH',
      '深圳云帆科技有限公司',
      null,
      null,
      null,
    ])
    expect(crm.calls).toEqual(['GET /api/customers?ids=70035%2C99999%2C70014'])
  })

  test('longer lists of keys are cut to the configured limit', async () => {
    const { customer, crm } = await start({ settings: { batchLimit: 2 }, limit: 2 })
    const outcomes = await customer.readMany(['70007', '70014', '70021', '70028', '70035'], context)
    expect(outcomes.map((outcome) => given(outcome)?.key)).toEqual([
      '70007',
      '70014',
      '70021',
      '70028',
      '70035',
    ])
    expect(crm.calls).toHaveLength(3)
  })

  test('long and broken keys do not spoil the answers for the others', async () => {
    const { customer, crm } = await start()
    const long = Array.from({ length: 60 }, (_, index) => `${index}`.padStart(190, 'x'))
    const outcomes = await customer.readMany(['70007', 'y'.repeat(50_000), '\ud842', ...long], context)
    expect(outcomes.map((outcome) => given(outcome)?.key ?? null)).toEqual(['70007', ...Array(62).fill(null)])
    expect(crm.calls).toHaveLength(2)
  })

  test('a CRM without the ids parameter is asked for each customer by its path', async () => {
    const { customer, crm } = await start({ settings: { batchLimit: 1 } })
    const outcomes = await customer.readMany(['70014', '1'], context)
    expect(outcomes.map((outcome) => given(outcome)?.industry ?? null)).toEqual([
      'Mechanical engineering',
      null,
    ])
    expect(crm.calls).toEqual(['GET /api/customers/70014', 'GET /api/customers/1'])
  })

  test('empty texts say nothing; characters beyond the basic plane survive', async () => {
    const { customer, world } = await start()
    const entity = world.get('crmCustomers', '70035')
    if (!entity) throw new Error('no such customer')
    world.put('crmCustomers', { ...entity, phone: '', email: '', name: '云帆 🚀 𠮷', level: 'Diamond' })
    const [outcome] = await customer.readMany(['70035'], context)
    expect(given(outcome)).toMatchObject({
      name: '云帆 🚀 𠮷',
      phone: null,
      email: null,
      level: 'UNKNOWN',
      vendorLevel: 'Diamond',
      contacts: [{ name: '陈𠮷', title: 'CEO' }],
    })
  })
})

describe('lists', () => {
  test('pages are complete and newest first while customers are added', async () => {
    const { customer, world } = await start({ customers: 12 })
    const template = world.get('crmCustomers', '70007')
    if (!template) throw new Error('no such customer')
    const names: string[] = []
    let after: string | undefined
    for (let page = 0; ; page++) {
      const answer = given(await customer.list({ first: 5, after }, context))
      names.push(...answer.items.map(({ record }) => record.key))
      after = answer.items.at(-1)?.position
      const createdAt = `2026-07-0${page + 1}T00:00:00.000Z`
      world.put('crmCustomers', { ...template, id: `9000${page}`, createdAt })
      if (!answer.hasMore) break
    }
    // Rank n was created 600 - n days before the last day: the higher the rank, the newer.
    expect(names).toEqual(Array.from({ length: 12 }, (_, index) => String(70_000 + (12 - index) * 7)))
  })

  test('pages by number are complete as well', async () => {
    const { customer, world, crm } = await start({ settings: { paging: 'page', pageLimit: 5 } })
    const template = world.get('crmCustomers', '70007')
    if (!template) throw new Error('no such customer')
    const keys: string[] = []
    let after: string | undefined
    for (let page = 0; ; page++) {
      const answer = given(await customer.list({ first: 4, after }, context))
      keys.push(...answer.items.map(({ record }) => record.key))
      after = answer.items.at(-1)?.position
      const createdAt = `2026-07-0${page + 1}T00:00:00.000Z`
      world.put('crmCustomers', { ...template, id: `9000${page}`, createdAt })
      if (!answer.hasMore) break
    }
    expect(keys).toEqual(Array.from({ length: 12 }, (_, index) => String(70_000 + (12 - index) * 7)))
    expect(crm.calls.every((call) => call.includes('page='))).toBe(true)
  })

  test('more than one page of the CRM fills one page of ours', async () => {
    const { customer } = await start({ settings: { pageLimit: 5 } })
    const answer = given(await customer.list({ first: 11 }, context))
    expect(answer.items).toHaveLength(11)
    expect(answer.hasMore).toBe(true)
  })

  test('free text is searched by the CRM', async () => {
    const { customer } = await start()
    const found = given(await customer.list({ first: 10, filter: { search: 'みなと' } }, context))
    expect(found.items.map(({ record }) => record.key)).toEqual(['70028'])
    expect(found.hasMore).toBe(false)
  })

  test('a position that is none is rejected, not answered with the first page', async () => {
    const { customer } = await start()
    expect(failureOf(await customer.list({ first: 5, after: 'nonsense' }, context))).toMatchObject({
      kind: 'rejected',
      code: '40001',
      field: 'after',
    })
  })

  test('one record that cannot be read does not hide the others', async () => {
    const { customer, world } = await start()
    const entity = world.get('crmCustomers', '70014')
    if (!entity) throw new Error('no such customer')
    world.put('crmCustomers', { ...entity, email: 7 as never, phone: true as never })
    const outcomes = await customer.readMany(['70007', '70014'], context)
    expect(outcomes.map((outcome) => outcome.ok)).toEqual([true, false])
    expect(failureOf(outcomes[1])).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('customer 70014'),
    })
    const list = given(await customer.list({ first: 20 }, context))
    expect(list.items).toHaveLength(11)
  })
})

describe('opportunities are read', () => {
  test('an amount keeps its digits and its currency', async () => {
    const { opportunity } = await start()
    const outcomes = await opportunity.readMany(['OP-00004', 'OP-00002', 'OP-99999'], context)
    expect(outcomes.map(given)).toEqual([
      {
        key: 'OP-00004',
        version: null,
        name: '株式会社みなと物産 Retrofit line 2',
        customer: '70028',
        stage: 'PROPOSAL',
        vendorStage: 'PROPOSAL',
        amount: { amount: '4000.50', currency: 'JPY' },
        probability: '50',
        closeDate: '2026-08-03',
        owner: 'zhang.wei',
        lines: [],
        orderNumber: null,
        externalReference: null,
        createdAt: '2024-11-11T09:00:00.000Z',
        updatedAt: '2026-04-07T09:00:00.000Z',
      },
      expect.objectContaining({ stage: 'QUALIFICATION', amount: { amount: '2000.50', currency: 'EUR' } }),
      null,
    ])
  })

  test('those of many customers come in one call', async () => {
    const { opportunity, crm } = await start()
    const outcomes = await opportunity.byCustomer.read(['70021', '99999', '70007', '70021'], context)
    expect(outcomes.map((outcome) => given(outcome).map(({ key }) => key))).toEqual([
      ['OP-00003'],
      [],
      ['OP-00001'],
      ['OP-00003'],
    ])
    expect(crm.calls).toHaveLength(1)
  })

  test('a list can be narrowed to a customer', async () => {
    const { opportunity } = await start()
    const page = given(await opportunity.list({ first: 5, filter: { customer: '70014' } }, context))
    expect(page.items.map(({ record }) => record.key)).toEqual(['OP-00002'])
  })
})

describe('changes', () => {
  test.each(['after', 'page'])(
    'are found by polling, paged by %s, each change at least once',
    async (paging) => {
      const { customer, world } = await start({ settings: { paging, pageLimit: 2, overlapSeconds: 0 } })
      const begin = given(await customer.changes(null, context))
      expect(begin.records).toEqual([])
      expect(begin.hasMore).toBe(false)
      await delay(5)
      const touched = ['70007', '70021', '70035', '70014', '70028']
      // All in one moment: only the key tells them apart.
      const updatedAt = new Date().toISOString()
      for (const key of touched) {
        const entity = world.get('crmCustomers', key)
        if (entity) world.put('crmCustomers', { ...entity, phone: '1', updatedAt, revision: 2 })
      }
      await delay(5)
      const found: string[] = []
      let checkpoint = begin.checkpoint
      for (let more = true; more; ) {
        const page = given(await customer.changes(checkpoint, context))
        found.push(...page.records.map(({ key }) => key))
        checkpoint = page.checkpoint
        more = page.hasMore
      }
      expect([...new Set(found)].sort()).toEqual([...touched].sort())
      expect(given(await customer.changes(checkpoint, context)).records).toEqual([])
    },
  )

  test('of opportunities are found as well', async () => {
    const { opportunity } = await start()
    const { checkpoint } = given(await opportunity.changes(null, context))
    given(await opportunity.create.send({ name: '新产线', customer: '70007' }, write, context))
    const page = given(await opportunity.changes(checkpoint, context))
    expect(page.records.map(({ name }) => name)).toEqual(['新产线'])
  })
})

describe('a customer is updated', () => {
  test('only what is named changes', async () => {
    const { customer, world } = await start()
    const input = { key: '70007', changes: { phone: '+86 21 1234', level: 'PREMIUM' as const } }
    const result = given(await customer.update.send(input, write, context))
    expect(result).toMatchObject({
      key: '70007',
      reached: 'effective',
      record: { phone: '+86 21 1234', level: 'PREMIUM', industry: '机械制造', version: '2' },
    })
    expect(world.get('crmCustomers', '70007')).toMatchObject({
      phone: '+86 21 1234',
      level: 'PREMIUM',
      revision: 2,
    })
  })

  test('contacts are replaced as a whole', async () => {
    const { customer, world } = await start()
    const contacts = [{ name: '𠮷田 🙂', title: '', email: 'y@minato.example', primary: true }]
    const input = { key: '70028', changes: { contacts } }
    given(await customer.update.send(input, write, context))
    expect(world.get('crmCustomers', '70028')?.contacts).toEqual([
      { name: '𠮷田 🙂', title: '', phone: '', email: 'y@minato.example', primary: true },
    ])
    expect(given(await customer.update.verify(input, write, context))).toMatchObject({ effect: 'done' })
  })

  test('a version that is not the present one is a conflict that names the present one', async () => {
    const { customer, world } = await start()
    const first = { key: '70007', expectedVersion: '1', changes: { phone: '1' } }
    given(await customer.update.send(first, write, context))
    const second = { key: '70007', expectedVersion: '1', changes: { phone: '2' } }
    expect(failureOf(await customer.update.send(second, write, context))).toEqual({
      kind: 'conflict',
      message: 'The customer was changed by somebody else.',
      currentVersion: '2',
    })
    expect(world.get('crmCustomers', '70007')?.phone).toBe('1')
  })

  test('where the CRM cannot compare versions, an expected one is refused before anything is sent', async () => {
    const { customer, crm } = await start({ settings: { conditionalUpdates: false } })
    const input = { key: '70007', expectedVersion: '1', changes: { phone: '1' } }
    expect(failureOf(await customer.update.send(input, write, context))?.kind).toBe('unsupported')
    expect(crm.calls).toEqual([])
  })

  test('what the CRM refuses comes back with its code, its words and the field', async () => {
    const { customer } = await start()
    const input = { key: '70007', changes: { email: 'nobody' } }
    expect(failureOf(await customer.update.send(input, write, context))).toEqual({
      kind: 'rejected',
      code: '40001',
      message: '"email" is not an e-mail address.',
      field: 'email',
      details: { field: 'email' },
    })
    const level = { key: '70007', changes: { level: 'UNKNOWN' as const } }
    expect(failureOf(await customer.update.send(level, write, context))).toMatchObject({ field: 'level' })
  })

  test('a version that no CRM could have is a conflict, and nothing is sent', async () => {
    const { customer, crm } = await start()
    for (const expectedVersion of ['1\r\nX-Evil: 1', '版本', '']) {
      const input = { key: '70007', expectedVersion, changes: { phone: '1' } }
      expect(failureOf(await customer.update.send(input, write, context))?.kind).toBe('conflict')
    }
    expect(crm.calls).toEqual([])
  })

  test('half a character in a name is refused, in the name of the one who asks it is replaced', async () => {
    const { customer } = await start()
    const half = '\ud842'
    const input = { key: '70007', changes: { name: half } }
    const outcome = await customer.update.send(input, { ...write, onBehalfOf: half }, context)
    expect(failureOf(outcome)).toMatchObject({ kind: 'rejected', field: 'customerName' })
  })

  test('an unknown customer is not found', async () => {
    const { customer } = await start()
    for (const key of ['12345', '..', '']) {
      const outcome = await customer.update.send({ key, changes: { phone: '1' } }, write, context)
      expect(failureOf(outcome)?.kind).toBe('not-found')
    }
  })

  test('a dry run shows the request, without credentials', async () => {
    const { customer } = await start()
    const input = { key: '70007', expectedVersion: '3', changes: { name: '新名称' } }
    expect(customer.update.preview(input, write)).toEqual({
      method: 'PUT',
      path: '/api/customers/70007',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'x-on-behalf-of': '%E7%8E%8B%E8%8A%B3',
        'if-match': '"3"',
      },
      body: '{"customerName":"新名称"}',
    })
  })

  test.each(['drop-after', 'truncate'] as const)(
    'a lost answer (%s) is an unknown outcome, and looking finds the effect',
    async (kind) => {
      const { customer, crm } = await start()
      crm.setFaults([{ kind, match: '^PUT' }])
      const input = { key: '70014', expectedVersion: '1', changes: { industry: 'Robotics' } }
      expect(failureOf(await customer.update.send(input, write, context))?.kind).toBe('unknown-outcome')
      const verdict = given(await customer.update.verify(input, write, context))
      expect(verdict).toMatchObject({
        effect: 'done',
        result: { record: { industry: 'Robotics', version: '2' } },
      })
    },
  )

  test('a lost request leaves no effect; whether that is proof depends on the version', async () => {
    const { customer, crm, world } = await start()
    crm.setFaults([{ kind: 'drop-before', match: '^PUT' }])
    const input = { key: '70014', expectedVersion: '1', changes: { industry: 'Robotics', phone: '9' } }
    expect(failureOf(await customer.update.send(input, write, context))?.kind).toBe('unknown-outcome')
    expect(given(await customer.update.verify(input, write, context))).toEqual({
      effect: 'none',
      proven: true,
      evidence: 'customer 70014 differs in industry, phone and is still at revision 1',
    })
    const entity = world.get('crmCustomers', '70014')
    if (entity) world.put('crmCustomers', { ...entity, email: 'other@nordlicht.example', revision: 2 })
    expect(given(await customer.update.verify(input, write, context))).toMatchObject({
      effect: 'none',
      proven: false,
    })
  })
})

describe('what a flow writes to a CRM', () => {
  test('an opportunity shows its lines and, once told, the order that it became', async () => {
    const { opportunity, world } = await start()
    const won = world.get('crmOpportunities', 'OP-00003')
    if (!won) throw new Error('the seed has no OP-00003')
    world.put('crmOpportunities', {
      ...won,
      lines: [{ productCode: 'A00003', quantity: '2.5', unitPrice: null }],
    })
    const { update } = opportunity
    if (!update) throw new Error('opportunities cannot be changed')
    const change = { key: 'OP-00003', changes: { orderNumber: '1031' } }
    expect(given(await update.verify(change, write, context))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    expect(given(await update.send(change, write, context)).record).toMatchObject({
      orderNumber: '1031',
      lines: [{ product: 'A00003', quantity: '2.5', unitPrice: null }],
    })
    expect(world.get('crmOpportunities', 'OP-00003')?.orderNumber).toBe('1031')
    expect(given(await update.verify(change, write, context))).toMatchObject({ effect: 'done' })
  })

  test.each(['drop-after', 'truncate'] as const)(
    'a note is made once, though its answer is lost (%s)',
    async (kind) => {
      const { customer, crm, world } = await start()
      const note = customer.actions?.addNote
      if (!note) throw new Error('no notes')
      crm.setFaults([{ kind, times: 1 }])
      const input = { key: '70007', text: '到账 612.00 元 🤝' }
      const lost = await note.send(input, write, context)
      expect(lost).toMatchObject({ ok: false, failure: { kind: 'unknown-outcome' } })
      expect(given(await note.verify(input, write, context))).toMatchObject({
        effect: 'done',
        result: { key: '70007' },
      })
      expect(given(await note.send(input, write, context))).toEqual({ key: '70007', reached: 'effective' })
      expect(world.all('crmNotes')).toMatchObject([{ customerId: '70007', text: '到账 612.00 元 🤝' }])
    },
  )

  test('a note without words is refused before anything is sent', async () => {
    const { customer, crm } = await start()
    const before = crm.calls.length
    expect(await customer.actions?.addNote?.send({ key: '70007', text: ' ' }, write, context)).toMatchObject({
      ok: false,
      failure: { kind: 'unsupported' },
    })
    expect(crm.calls.length).toBe(before)
  })
})

describe('an opportunity is created', () => {
  const input = {
    name: '2027 年度框架 🤝',
    customer: '70007',
    stage: 'PROPOSAL' as const,
    amount: { amount: '120000.00', currency: 'CNY' },
    closeDate: '2026-12-31',
  }

  test('with its reference, for the person who asked', async () => {
    const { opportunity, world } = await start()
    const result = given(await opportunity.create.send(input, write, context))
    expect(result).toMatchObject({
      key: 'OP-00013',
      reached: 'effective',
      record: {
        name: '2027 年度框架 🤝',
        customer: '70007',
        amount: { amount: '120000.00', currency: 'CNY' },
        externalReference: write.externalReference,
        closeDate: '2026-12-31',
        owner: '王芳',
      },
    })
    expect(world.get('crmOpportunities', 'OP-00013')).toMatchObject({
      amount: '120000.00',
      externalRef: '0123456789abcdef0123456789abcdef',
    })
  })

  test('once, even when sent twice', async () => {
    const { opportunity, world } = await start()
    given(await opportunity.create.send(input, write, context))
    const again = given(await opportunity.create.send(input, write, context))
    expect(again.key).toBe('OP-00013')
    expect(world.count('crmOpportunities')).toBe(13)
  })

  test.each(['drop-after', 'truncate', 'hang'] as const)(
    'a lost answer (%s) is an unknown outcome; looking finds what became of it',
    async (kind) => {
      const { opportunity, crm } = await start({ timeoutMs: kind === 'hang' ? 1_000 : 5_000 })
      crm.setFaults([{ kind, match: '^POST' }])
      expect(failureOf(await opportunity.create.send(input, write, context))?.kind).toBe('unknown-outcome')
      const verdict = given(await opportunity.create.verify(input, write, context))
      if (kind === 'hang') expect(verdict).toMatchObject({ effect: 'none', proven: true })
      else expect(verdict).toMatchObject({ effect: 'done', result: { key: 'OP-00013' } })
    },
  )

  test('customers too: numbered by the CRM, once, and found after a lost answer', async () => {
    const { customer, crm, world } = await start()
    const create = customer.create
    if (!create) throw new Error('no create')
    const company = {
      name: '新客户 🏭 有限公司',
      taxNumber: '91310001MANEW00001',
      level: 'PREMIUM',
      industry: '机械',
      contacts: [{ name: '赵敏', title: '采购', primary: true }],
    } as const
    const before = world.count('crmCustomers')
    crm.setFaults([{ kind: 'drop-after', match: '^POST', times: 1 }])
    expect(failureOf(await create.send(company, write, context))?.kind).toBe('unknown-outcome')
    const found = given(await create.verify(company, write, context))
    expect(found).toMatchObject({
      effect: 'done',
      result: { record: { ...company, contacts: [{ name: '赵敏', title: '采购', primary: true }] } },
    })
    const again = given(await create.send(company, write, context))
    expect(found.effect === 'done' && found.result.key).toBe(again.key)
    expect(world.count('crmCustomers')).toBe(before + 1)
    const other = { ...write, externalReference: 'f'.repeat(32) }
    expect(given(await create.verify(company, other, context))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    expect(failureOf(await create.send({ ...company, code: '5' }, other, context))?.kind).toBe('unsupported')
  })

  test('not finding it proves nothing where references may repeat', async () => {
    const { opportunity } = await start({ settings: { uniqueExternalRef: false } })
    const verdict = given(await opportunity.create.verify(input, write, context))
    expect(verdict).toMatchObject({ effect: 'none', proven: false })
  })

  test('a proxy page instead of an answer is an unknown outcome', async () => {
    const { opportunity, crm } = await start()
    crm.setFaults([{ kind: 'html', times: 1 }])
    expect(failureOf(await opportunity.create.send(input, write, context))?.kind).toBe('unknown-outcome')
    crm.setFaults([
      { kind: 'status', status: 502, body: '<html>bad gateway</html>', afterwards: true, times: 1 },
    ])
    expect(failureOf(await opportunity.create.send(input, write, context))?.kind).toBe('unknown-outcome')
    expect(given(await opportunity.create.verify(input, write, context)).effect).toBe('done')
  })

  test('amounts in yen have no decimals, and amounts need a currency that exists', async () => {
    const { opportunity } = await start()
    const yen = { ...input, amount: { amount: '1003.5', currency: 'JPY' } }
    expect(failureOf(await opportunity.create.send(yen, write, context))).toEqual({
      kind: 'rejected',
      code: '40001',
      message: 'Amounts in JPY have no decimals.',
      field: 'amount',
      details: { field: 'amount', currency: 'JPY' },
    })
    const whole = { ...input, amount: { amount: '1003', currency: 'JPY' } }
    expect(given(await opportunity.create.send(whole, write, context)).record?.amount).toEqual({
      amount: '1003',
      currency: 'JPY',
    })
  })

  test('for a customer that does not exist it is rejected, naming the field', async () => {
    const { opportunity } = await start()
    const outcome = await opportunity.create.send({ ...input, customer: '1' }, write, context)
    expect(failureOf(outcome)).toMatchObject({ kind: 'rejected', code: '40001', field: 'customerId' })
  })
})

describe('a CRM that ignores what it is asked', () => {
  test.each(['after', 'page'])('is not asked for ever (%s)', async (paging) => {
    const items = ['1', '2'].map((id) => ({
      customerId: id,
      customerName: id,
      opportunityId: id,
      name: id,
      createDate: '2026-03-01T00:00:00Z',
      updateDate: '2026-03-01T00:00:00Z',
    }))
    const server = await startSimulatorServer({
      handle: () => ({
        status: 200,
        body: JSON.stringify({ code: 0, data: { items, pagination: { hasMore: true } }, timestamp: 1 }),
      }),
    })
    cleanups.push(() => server.close())
    const { customer, opportunity } = connect(server.url, { paging, pageLimit: 2 })
    expect(failureOf(await customer.list({ first: 10 }, context))?.kind).toBe('invalid-response')
    const [outcome] = await opportunity.byCustomer.read(['7'], context)
    expect(failureOf(outcome)?.kind).toBe('invalid-response')
    expect(server.calls.length).toBeLessThan(8)
    // A reference that it did not look for is not taken for ours.
    const input = { name: 'x', customer: '1' }
    expect(given(await opportunity.create.verify(input, write, context)).effect).toBe('unknown')
  })
})

describe('credentials', () => {
  test.each([
    [
      { type: 'basic' as const, username: 'gateway', password: 'pä ss:wörd' },
      { type: 'basic', username: 'gateway', password: 'wrong-secret' },
    ],
    [
      { type: 'apiKey' as const, header: 'X-CRM-Key', key: 'k-778899' },
      { type: 'apiKey', header: 'X-CRM-Key', key: 'wrong-secret' },
    ],
    [
      { type: 'bearer' as const, token: 'bearer-4242' },
      { type: 'bearer', token: 'wrong-secret' },
    ],
  ])('are sent as $type; wrong ones are unauthorized, asked once, and never shown', async (right, wrong) => {
    const { adapter, crm } = await start({ auth: right, settings: { auth: right } })
    expect(given(await adapter.health(context)).detail).toBe(
      `REST CRM at ${crm.url.slice('http://'.length)}: customers can be read`,
    )
    crm.clearCalls()
    const refused = connect(crm.url, { auth: wrong, batchLimit: 2 })
    const outcomes = await refused.customer.readMany(['70007', '70014', '70021'], context)
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual(Array(3).fill('unauthorized'))
    expect(crm.calls).toHaveLength(1)
    const oneByOne = connect(crm.url, { auth: wrong, batchLimit: 1 })
    await oneByOne.customer.readMany(['70007', '70014'], context)
    expect(crm.calls).toHaveLength(2)
    expect(JSON.stringify(outcomes)).not.toContain('wrong-secret')
    const update = await refused.customer.update.send(
      { key: '70007', changes: { phone: '1' } },
      write,
      context,
    )
    expect(failureOf(update)?.kind).toBe('unauthorized')
  })

  test('that a CRM echoes do not get into failures', async () => {
    const { customer, crm } = await start()
    const said = (status: number, message: string) => [
      {
        kind: 'status' as const,
        status,
        body: JSON.stringify({ code: status * 100 + 1, message, data: null, details: { field: TOKEN } }),
      },
    ]
    crm.setFaults(said(400, `bad\u0007 header\nBearer ${TOKEN}`))
    const rejected = await customer.readMany(['70007'], context)
    expect(failureOf(rejected[0])).toEqual({
      kind: 'rejected',
      code: '40001',
      message: 'bad header Bearer ***',
      field: '***',
      details: { field: '***' },
    })
    crm.setFaults([{ kind: 'status', status: 418, body: `<p>${TOKEN}` }])
    expect(JSON.stringify(await customer.readMany(['70007'], context))).not.toContain(TOKEN)
  })
})

describe('bad days', () => {
  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'drop-before' }, { kind: 'unavailable', reason: 'unreachable' }],
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
      { kind: 'status', status: 503, headers: { 'retry-after': '2' } },
      { kind: 'unavailable', reason: 'overloaded', retryAfterMs: 2_000 },
    ],
    // Some systems say 200 to everything: their code decides.
    [
      { kind: 'status', status: 200, body: '{"code":42900,"message":"slow down","data":null}' },
      { kind: 'unavailable', reason: 'rate-limited' },
    ],
    [
      { kind: 'status', status: 200, body: '{"code":7001,"message":"库存不足","data":null}' },
      { kind: 'rejected', code: '7001', message: '库存不足' },
    ],
    [
      { kind: 'status', status: 200, body: '{"code":0,"message":"success","data":[]}' },
      { kind: 'invalid-response' },
    ],
    [
      { kind: 'status', status: 404, body: '{"code":40400,"message":"no such path","data":null}' },
      { kind: 'invalid-response' },
    ],
  ] as const)('a read that meets %j is %j, for every key', async (fault, failure) => {
    const { customer, adapter, crm } = await start({ timeoutMs: fault.kind === 'hang' ? 200 : 5_000 })
    crm.setFaults([fault])
    const outcomes = await customer.readMany(['70007', '70014'], context)
    expect(outcomes.map(failureOf)).toEqual([
      expect.objectContaining(failure),
      expect.objectContaining(failure),
    ])
    expect(failureOf(await adapter.health(context))?.kind).toBe(failure.kind)
    expect(failureOf(await customer.changes(null, context))?.kind).toBe(failure.kind)
    expect(failureOf(await customer.list({ first: 5 }, context))?.kind).toBe(failure.kind)
    crm.setFaults([])
    expect(given((await customer.readMany(['70007'], context))[0])?.key).toBe('70007')
  })

  test.each([
    [{ kind: 'status', status: 500, body: '{"code":50000,"message":"?","data":null}' }, 'unknown-outcome'],
    [{ kind: 'status', status: 503, body: 'proxy' }, 'unknown-outcome'],
    [{ kind: 'status', status: 503, body: '{"code":50300,"message":"later","data":null}' }, 'unavailable'],
    [{ kind: 'status', status: 429 }, 'unavailable'],
    [{ kind: 'status', status: 302 }, 'unknown-outcome'],
    [{ kind: 'status', status: 404, body: 'nothing here' }, 'invalid-response'],
  ] as const)('a write that meets %j is %s', async (fault, kind) => {
    const { customer, crm } = await start()
    crm.setFaults([fault])
    const outcome = await customer.update.send({ key: '70007', changes: { phone: '1' } }, write, context)
    expect(failureOf(outcome)?.kind).toBe(kind)
  })

  test('a CRM that is not there is unreachable, for writes too: nothing was sent', async () => {
    const { customer, opportunity } = connect('http://127.0.0.1:1')
    const [read] = await customer.readMany(['70007'], context)
    expect(failureOf(read)).toMatchObject({ kind: 'unavailable', reason: 'unreachable' })
    const created = await opportunity.create.send({ name: 'x', customer: '70007' }, write, context)
    expect(failureOf(created)).toMatchObject({ kind: 'unavailable', reason: 'unreachable' })
  })

  test('a caller who leaves ends the call', async () => {
    const { customer, crm } = await start()
    crm.setFaults([{ kind: 'hang' }])
    const [outcome] = await customer.readMany(['70007'], { ...context, signal: AbortSignal.timeout(50) })
    expect(failureOf(outcome)).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
  })
})

describe('webhooks', () => {
  test('a change in the CRM arrives signed and names the record', async () => {
    const receiver = await startReceiver()
    const { adapter, customer, opportunity } = await start({
      webhook: { url: () => receiver.url, secret: SECRET },
      settings: { webhook: { secret: SECRET } },
    })
    given(await customer.update.send({ key: '70007', changes: { name: '新名称' } }, write, context))
    await until(() => receiver.received.length === 1)
    given(await opportunity.create.send({ name: '商机', customer: '70007' }, write, context))
    await until(() => receiver.received.length === 2)

    const verdicts = receiver.received.map((request) => adapter.webhook?.receive(request, new Date()))
    expect(verdicts).toEqual([
      {
        ok: true,
        notifications: [
          {
            id: receiver.received[0]?.headers['webhook-id'],
            type: 'customer',
            key: '70007',
            change: 'updated',
            time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
          },
        ],
      },
      {
        ok: true,
        notifications: [expect.objectContaining({ type: 'opportunity', key: 'OP-00013', change: 'created' })],
      },
    ])
    expect(JSON.parse(String(receiver.received[0]?.body))).toMatchObject({
      event: 'customer.updated',
      data: {
        externalId: '70007',
        changes: {
          customerName: { old: '上海晨光精密机械有限公司', new: '新名称' },
          revision: { old: 1, new: 2 },
        },
      },
    })
  })

  test('a refused delivery comes again under the same id, and so does a duplicate', async () => {
    const receiver = await startReceiver(2)
    const { world, crm } = await start({
      webhook: { url: receiver.url, secret: SECRET, retryDelaysMs: [5, 5] },
    })
    const entity = world.get('crmCustomers', '70007')
    if (entity) world.put('crmCustomers', { ...entity, phone: '2' })
    await until(() => receiver.received.length === 3)
    expect(await crm.resendLastEvent()).toBe(true)
    expect(receiver.received).toHaveLength(4)
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(new Set(receiver.received.map(({ body }) => String(body))).size).toBe(1)
  })

  test('a receiver that is away for good is given up on', async () => {
    const receiver = await startReceiver(100)
    const { world } = await start({ webhook: { url: receiver.url, secret: SECRET, retryDelaysMs: [1, 1] } })
    const entity = world.get('crmCustomers', '70007')
    if (entity) world.put('crmCustomers', { ...entity, phone: '2' })
    await until(() => receiver.received.length === 3)
    // Nothing tells that no fourth one comes.
    await delay(100)
    expect(receiver.received).toHaveLength(3)
  })

  test('wrong signatures, old timestamps and unreadable bodies are told apart', async () => {
    const { adapter } = connect('http://127.0.0.1:1', { webhook: { secret: 'plain text secret' } })
    const now = new Date('2026-07-01T08:00:00Z')
    const seconds = now.getTime() / 1000
    const event = (body: object | string, at = seconds, secret = 'plain text secret'): WebhookRequest => {
      const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
      return {
        headers: {
          'webhook-id': 'e-1',
          'webhook-timestamp': String(at),
          'webhook-signature': signWebhook(secret, 'e-1', at, bytes),
        },
        body: bytes,
      }
    }
    const body = {
      id: 'e-1',
      event: 'customer.deleted',
      timestamp: '2026-07-01T16:00:00+08:00',
      source: 'crm',
      data: { externalId: '70007' },
    }
    expect(adapter.webhook?.receive(event(body), now)).toEqual({
      ok: true,
      notifications: [
        { id: 'e-1', type: 'customer', key: '70007', change: 'deleted', time: '2026-07-01T16:00:00+08:00' },
      ],
    })
    const reason = (request: WebhookRequest) => {
      const verdict = adapter.webhook?.receive(request, now)
      return verdict?.ok === false ? verdict.reason : verdict
    }
    expect(reason(event(body, seconds, 'another secret'))).toBe('signature')
    expect(reason({ ...event(body), body: Buffer.from(JSON.stringify({ ...body, source: 'x' })) })).toBe(
      'signature',
    )
    expect(reason(event(body, seconds - 301))).toBe('timestamp')
    expect(reason(event('{"id":'))).toBe('malformed')
    expect(reason(event({ ...body, id: 'e-2' }))).toBe('malformed')
    expect(reason(event({ ...body, data: {} }))).toBe('malformed')
    expect(reason(event({ ...body, event: 'invoice.paid' }))).toEqual({ ok: true, notifications: [] })
  })

  test('without a secret there is no door for them', () => {
    expect(connect('http://127.0.0.1:1').adapter.webhook).toBeUndefined()
  })
})

describe('a CRM with other paths and names', () => {
  test('is described by configuration alone', async () => {
    const written: SimulatedRequest[] = []
    const record = {
      no: 'NO',
      title: '甲公司',
      grade: 'vip',
      trade: '',
      addr: '上海市某路 1 号',
      people: [{ who: '王', main: true }],
      made: '2026-03-01 08:30:00',
      touched: '2026-03-02',
      etag: 'v7',
    }
    // An id of 19 digits, as a JSON number.
    const json = (value: unknown) => JSON.stringify(value).replace('"NO"', '1234567890123456789')
    const server = await startSimulatorServer({
      handle(request) {
        if (request.method === 'PUT') written.push(request)
        const found = request.path === '/v2/accounts/1234567890123456789'
        return found
          ? { status: 200, body: json({ code: 0, message: 'OK', data: record }) }
          : { status: 404, body: json({ code: 404, message: 'nothing', data: null }) }
      },
    })
    cleanups.push(() => server.close())
    const { customer } = connect(server.url, {
      batchLimit: 1,
      timeZone: '+08:00',
      onBehalfOfHeader: null,
      paths: { customers: '/v2/accounts' },
      fields: {
        customer: {
          id: 'no',
          name: 'title',
          level: 'grade',
          industry: 'trade',
          address: 'addr',
          contacts: 'people',
          createdAt: 'made',
          updatedAt: 'touched',
          revision: 'etag',
        },
        contact: { name: 'who', primary: 'main' },
      },
    })
    const key = '1234567890123456789'
    const outcomes = await customer.readMany([key, '2'], context)
    expect(outcomes.map(given)).toEqual([
      {
        key,
        version: 'v7',
        name: '甲公司',
        level: 'VIP',
        vendorLevel: 'vip',
        industry: null,
        taxNumber: null,
        legalName: null,
        tags: null,
        status: null,
        vendorStatus: null,
        parent: null,
        phone: null,
        email: null,
        contacts: [{ name: '王', title: null, phone: null, email: null, primary: true }],
        addresses: [{ type: 'OFFICE', street: '上海市某路 1 号' }],
        createdAt: '2026-03-01T08:30:00+08:00',
        // A day is not a point in time.
        updatedAt: null,
      },
      null,
    ])
    const input = { key, changes: { name: '乙公司', contacts: [{ name: '李' }] } }
    given(await customer.update.send(input, write, context))
    expect(written.map(({ path, body }) => [path, String(body)])).toEqual([
      ['/v2/accounts/1234567890123456789', '{"title":"乙公司","people":[{"who":"李"}]}'],
    ])
    expect(written[0]?.headers).not.toHaveProperty('x-on-behalf-of')
  })

  test('a setting that is no setting is named', () => {
    const parsed = restCrmConfig.safeParse({
      baseUrl: 'ftp://crm',
      auth: { type: 'bearer', token: 't' },
      fields: { customer: { nmae: 'x' } },
    })
    expect(parsed.error?.issues.map(({ path }) => path.join('.'))).toEqual(['baseUrl', 'fields.customer'])
  })
})

describe('what a company has added to its CRM', () => {
  const customFields = { customer: { source: 'attributes.source' }, opportunity: { line: 'attributes.line' } }

  test('is read and written under its own names; a name that nobody has configured is refused', async () => {
    const { customer, opportunity, world } = await start({ settings: { customFields } })
    const { update } = customer
    if (!update || !opportunity.create || !opportunity.update) throw new Error('the CRM cannot be written')
    expect(update.takes).toEqual(['legalName', 'addresses', 'tags', 'customFields'])
    const address = { street: '新路 1 号', city: '上海', country: 'CN' }
    const change = {
      key: '70007',
      changes: { customFields: { source: '展会' }, addresses: [{ type: 'OFFICE' as const, ...address }] },
    }
    expect(given(await update.verify(change, write, context))).toMatchObject({
      effect: 'none',
      evidence: expect.stringContaining('addresses, customFields.source'),
    })
    given(await update.send(change, write, context))
    expect(given(await update.verify(change, write, context)).effect).toBe('done')
    // A part that is left out is no longer there.
    expect(world.get('crmCustomers', '70007')).toMatchObject({
      attributes: { source: '展会' },
      address: { ...address, province: '', postalCode: '' },
    })
    const input = { name: '商机', customer: '70007', customFields: { line: '轴承' } }
    const { key } = given(await opportunity.create.send(input, write, context))
    expect(given((await opportunity.readMany([key], context))[0])?.customFields).toEqual({ line: '轴承' })
    const later = { key, changes: { customFields: { line: '导轨' } } }
    given(await opportunity.update.send(later, write, context))
    expect(given(await opportunity.update.verify(later, write, context)).effect).toBe('done')
    for (const refused of [
      await opportunity.create.send({ ...input, customFields: { colour: 'red' } }, write, context),
      await update.send({ key: '70007', changes: { customFields: { colour: 'red' } } }, write, context),
      await update.send(
        { key: '70007', changes: { addresses: [{ type: 'BILLING', street: 'x' }] } },
        write,
        context,
      ),
    ])
      expect(refused).toMatchObject({ ok: false, failure: { kind: 'unsupported' } })
  })
})

test('a customer has its registered name and tags both ways, its status and to whom it belongs', async () => {
  const { customer, world } = await start()
  const present = world.get('crmCustomers', '70007')
  if (!present) throw new Error('the seed has no 70007')
  world.put('crmCustomers', { ...present, parentId: '70014', status: 'dormant' })
  const change = {
    key: '70007',
    changes: { legalName: '上海晨光精密机械有限公司', tags: ['重点', '老客户'] },
  }
  expect(given(await customer.update.verify(change, write, context))).toMatchObject({
    effect: 'none',
    evidence: 'customer 70007 differs in legalName, tags; setting the same values again does no harm',
  })
  given(await customer.update.send(change, write, context))
  expect(given((await customer.readMany(['70007'], context))[0])).toMatchObject({
    ...change.changes,
    status: 'UNKNOWN',
    vendorStatus: 'dormant',
    parent: '70014',
  })
  expect(given(await customer.update.verify(change, write, context)).effect).toBe('done')
})
