import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SapB1Simulator } from '../../src/systems/sap-b1/simulator.ts'
import {
  codesOf,
  type Data,
  eventually,
  idOf,
  openTestGateway,
  READER,
  type TestGateway,
} from '../e2e/kit.ts'

const FIELDS = `id state attempts key held blockedBy { id } decisions evidence preview
  problem { code message } history { state note attempt subject origin }`
const CREATE = `mutation C($input: CreateOrderInput!, $dryRun: Boolean, $waitFor: Int) {
  createOrder(input: $input, dryRun: $dryRun, waitFor: $waitFor) { writeback { ${FIELDS} } order { id } } }`
const UPDATE = `mutation U($input: UpdateOrderInput!, $waitFor: Int) {
  updateOrder(input: $input, waitFor: $waitFor) { writeback { ${FIELDS} } order { id comments version } } }`
const WRITEBACK = `query W($id: ID!) { writeback(id: $id) { ${FIELDS} } }`

const orderInput = (idempotencyKey: string, changes: object = {}) => ({
  idempotencyKey,
  customerId: idOf('customer', 'crm', '70007'),
  dueDate: '2026-12-31',
  lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity: '3' }],
  ...changes,
})
const order = (key: string) => idOf('order', 'erp', key)

/** Fast enough to see in a test what takes minutes in a company. */
const open = (more: Parameters<typeof openTestGateway>[0] = {}) =>
  openTestGateway({
    ...more,
    override(file) {
      for (const system of Object.values(file.systems))
        Object.assign(system, { commitDelay: '100ms', timeout: '1s', writing: { approvalEvery: '50ms' } })
      more.override?.(file)
    },
  })

let gateway: TestGateway
beforeAll(async () => {
  gateway = await open()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const find = async (id: string, of = gateway): Promise<Data> => (await of.data(WRITEBACK, { id })).writeback
const reaches = (id: string, state: string, of = gateway): Promise<Data> =>
  eventually(async () => {
    const found = await find(id, of)
    return found.state === state && found
  })
const decide = async (mutation: string, args: string, of = gateway): Promise<Data> =>
  Object.values(await of.data(`mutation { ${mutation}(${args}, reason: "because") { ${FIELDS} } }`))[0]
const pause = (of = gateway) =>
  of.data('mutation { pauseSystem(id: "erp", reason: "stocktaking") { writesHeld } }')
const resume = (of = gateway) =>
  of.data('mutation { resumeSystem(id: "erp", reason: "done") { writesHeld } }')

describe('a paused system', () => {
  it('holds its queue, visibly, and carries it out when it is resumed', async () => {
    expect((await pause()).pauseSystem.writesHeld).toContain('stocktaking')
    const { createOrder } = await gateway.data(CREATE, { input: orderInput('while paused'), waitFor: 50 })
    expect(createOrder.writeback).toMatchObject({
      state: 'ACCEPTED',
      attempts: 0,
      held: expect.stringContaining('stocktaking'),
      decisions: ['RETRY', 'CANCEL'],
    })
    expect((await resume()).resumeSystem.writesHeld).toBeNull()
    expect(await reaches(createOrder.writeback.id, 'CONFIRMED')).toMatchObject({ attempts: 1, held: null })
  })

  it('lets an operator cancel what was not sent, and keeps who did it and from where', async () => {
    await pause()
    const { createOrder } = await gateway.data(CREATE, { input: orderInput('cancelled'), waitFor: 50 })
    const { id } = createOrder.writeback
    const before = gateway.demo.world.count('erpOrders')
    expect(await decide('cancelWriteback', `id: "${id}"`)).toMatchObject({
      state: 'CANCELLED',
      decisions: [],
    })
    await resume()
    const { history } = await find(id)
    expect(history.at(-1)).toEqual({
      state: 'CANCELLED',
      note: 'because',
      attempt: 0,
      subject: 'demo',
      origin: '127.0.0.1',
    })
    const { operatorActions } = await gateway.data(
      '{ operatorActions(first: 3) { nodes { action about reason subject origin } } }',
    )
    const who = { subject: 'demo', origin: '127.0.0.1' }
    expect(operatorActions.nodes).toEqual([
      { action: 'resume', about: 'erp', reason: 'done', ...who },
      { action: 'cancel', about: id, reason: 'because', ...who },
      { action: 'pause', about: 'erp', reason: 'stocktaking', ...who },
    ])
    // What comes after it is sent, and it is not.
    await gateway.data(CREATE, { input: orderInput('after the cancelled one') })
    expect(gateway.demo.world.count('erpOrders')).toBe(before + 1)
  })

  it('is for operators only', async () => {
    const refused = await gateway.ask('mutation { pauseSystem(id: "erp", reason: "no") { id } }', {}, READER)
    expect(codesOf(refused)).toEqual(['FORBIDDEN'])
    const list = await gateway.ask('{ operatorActions { nodes { action } } }', {}, READER)
    expect(codesOf(list)).toEqual(['FORBIDDEN'])
  })
})

describe('what has ended', () => {
  it('can be neither cancelled nor resolved nor tried again', async () => {
    const { createOrder } = await gateway.data(CREATE, { input: orderInput('ended') })
    const { id } = createOrder.writeback
    for (const mutation of [
      `cancelWriteback(id: "${id}", reason: "no")`,
      `retryWriteback(id: "${id}", reason: "no")`,
      `resolveWriteback(id: "${id}", outcome: REJECTED, reason: "no")`,
    ]) {
      const refused = await gateway.ask(`mutation { ${mutation} { id } }`)
      expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
      expect(refused.errors?.[0]?.message).toContain('"confirmed"')
    }
  })
})

describe('writes to one record', () => {
  it('are carried out in order, and hold up no other record', async () => {
    await using own = await open()
    const { erp } = own.demo.simulators
    erp.setFaults([{ kind: 'drop-before', match: 'PATCH .*Orders\\(5\\)', times: 1 }])
    const update = (id: string, comments: string, waitFor = 0) =>
      own.data(UPDATE, { input: { idempotencyKey: comments, id: order(id), comments }, waitFor })
    await pause(own)
    const first = (await update('5', 'first')).updateOrder.writeback
    const second = (await update('5', 'second')).updateOrder.writeback
    const other = (await update('6', 'other')).updateOrder.writeback
    expect(second).toMatchObject({ blockedBy: { id: first.id }, held: expect.stringContaining(first.id) })
    expect(other).toMatchObject({ blockedBy: null })
    await resume(own)
    await reaches(second.id, 'CONFIRMED', own)
    expect(await find(first.id, own)).toMatchObject({ state: 'CONFIRMED', attempts: 2 })
    expect(await find(other.id, own)).toMatchObject({ state: 'CONFIRMED', attempts: 1 })
    expect(own.demo.world.get('erpOrders', '5')?.comments).toBe('second')
    const sent = erp.calls.filter((call) => call.startsWith('PATCH'))
    expect(sent.at(-1)).toContain('Orders(5)')
  })

  it('wait behind one that needs a person, until the person has decided', async () => {
    await using own = await open()
    own.demo.simulators.erp.setFaults([{ kind: 'drop-before', match: 'PATCH', times: 3 }])
    const update = (comments: string, waitFor: number) =>
      own.data(UPDATE, { input: { idempotencyKey: comments, id: order('5'), comments }, waitFor })
    const { writeback: head } = (await update('lost', 10_000)).updateOrder
    expect(head).toMatchObject({ state: 'NEEDS_ATTENTION', attempts: 3, decisions: ['RETRY', 'RESOLVE'] })
    expect(head.evidence).toContain('never found')
    const { writeback: next } = (await update('next', 300)).updateOrder
    expect(next).toMatchObject({ state: 'ACCEPTED', blockedBy: { id: head.id } })
    const resolved = await decide('resolveWriteback', `id: "${head.id}", outcome: REJECTED`, own)
    expect(resolved).toMatchObject({ state: 'REJECTED', problem: { code: 'RESOLVED_BY_HAND' } })
    await reaches(next.id, 'CONFIRMED', own)
  })
})

describe('a write that needs a person', () => {
  it('looks for it first when it is told to try again', async () => {
    await using own = await open()
    own.demo.simulators.erp.setFaults([{ kind: 'drop-before', match: 'POST .*/Orders', times: 3 }])
    const { createOrder } = await own.data(CREATE, { input: orderInput('thrice'), waitFor: 10_000 })
    expect(createOrder.writeback).toMatchObject({ state: 'NEEDS_ATTENTION', attempts: 3 })
    await decide('retryWriteback', `id: "${createOrder.writeback.id}"`, own)
    const { history } = await reaches(createOrder.writeback.id, 'CONFIRMED', own)
    const decided = history.findIndex(({ subject }: Data) => subject === 'demo')
    expect(history[decided]).toMatchObject({ state: 'UNKNOWN', note: expect.stringContaining('because') })
    expect(history.slice(decided).map(({ state }: Data) => state)).toEqual([
      'UNKNOWN',
      'UNKNOWN',
      'ACCEPTED',
      'SENDING',
      'CONFIRMED',
    ])
  })

  it('is none that the system makes a moment later, though a repetition would have been safe', async () => {
    await using own = await open({
      override: (file) =>
        Object.assign(file.systems.crm as object, {
          commitDelay: '3s',
          uniqueExternalRef: true,
          writing: { attempts: 1 },
        }),
    })
    const match = 'POST /api/opportunities'
    own.demo.simulators.crm.setFaults([{ kind: 'late', ms: 600, match, times: 1 }])
    const { createOpportunity } = await own.data(
      `mutation O($id: ID!) { createOpportunity(input: { idempotencyKey: "late", customerId: $id, name: "late" },
        waitFor: 20000) { writeback { ${FIELDS} } } }`,
      { id: idOf('customer', 'crm', '70007') },
    )
    const { state, attempts, history } = createOpportunity.writeback
    expect({ state, attempts }).toEqual({ state: 'CONFIRMED', attempts: 1 })
    expect(history.map((one: Data) => one.state)).not.toContain('NEEDS_ATTENTION')
    const made = own.demo.world.all('crmOpportunities').filter(({ name }) => name === 'late')
    expect(made).toHaveLength(1)
  })

  it('is confirmed by hand with the key that the person found', async () => {
    await using own = await open()
    own.demo.simulators.erp.setFaults([{ kind: 'drop-before', match: 'POST .*/Orders', times: 3 }])
    const { createOrder } = await own.data(CREATE, { input: orderInput('by hand'), waitFor: 10_000 })
    const args = `id: "${createOrder.writeback.id}", outcome: CONFIRMED`
    const without = await own.ask(`mutation { resolveWriteback(${args}, reason: "seen") { id } }`)
    expect(codesOf(without)).toEqual(['BAD_USER_INPUT'])
    const resolved = await decide('resolveWriteback', `${args}, key: "7"`, own)
    expect(resolved).toMatchObject({ state: 'CONFIRMED', key: '7' })
  })
})

describe('a system that is down', () => {
  it('keeps what waits for it, asks nobody, and gets it once when it is back', async () => {
    await using own = await open()
    const { erp } = own.demo.simulators
    const before = own.demo.world.count('erpOrders')
    erp.setFaults([{ kind: 'status', status: 503 }])
    const sent = await Promise.all(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((key) =>
        own.data(CREATE, { input: orderInput(`down ${key}`), waitFor: 2_500 }),
      ),
    )
    for (const { createOrder } of sent) expect(createOrder.writeback.held).toContain('does not answer')
    erp.setFaults([])
    for (const { createOrder } of sent) {
      const { history } = await reaches(createOrder.writeback.id, 'CONFIRMED', own)
      expect(history.filter(({ state }: Data) => state === 'NEEDS_ATTENTION')).toEqual([])
    }
    expect(own.demo.world.count('erpOrders')).toBe(before + sent.length)
  })
})

describe('a write that waits for approval over there', () => {
  it('is confirmed when it is approved, and rejected when it is not', async () => {
    await using own = await open({ erp: { approvalAbove: '1000' } })
    const make = async (key: string) => {
      const { createOrder } = await own.data(CREATE, { input: orderInput(key) })
      expect(createOrder.writeback).toMatchObject({ state: 'AWAITING_APPROVAL', attempts: 1 })
      return createOrder.writeback.id as string
    }
    const [yes, no] = [await make('yes'), await make('no')]
    const erp = own.demo.simulators.erp as SapB1Simulator
    erp.decide(900, 'approve')
    erp.decide(901, 'reject')
    expect(await reaches(yes, 'CONFIRMED', own)).toMatchObject({ attempts: 1 })
    const { history, problem } = await reaches(no, 'REJECTED', own)
    expect(problem.message).toContain('refused')
    // As long as it waited, nothing was written down.
    expect(history.map(({ state }: Data) => state)).toEqual([
      'ACCEPTED',
      'SENDING',
      'AWAITING_APPROVAL',
      'REJECTED',
    ])
  })
})

describe('arguments beside the input', () => {
  it('show the request with dryRun, and leave the key for the real write', async () => {
    const before = gateway.demo.world.count('erpOrders')
    const input = orderInput('tried first')
    const { createOrder: dry } = await gateway.data(CREATE, { input, dryRun: true })
    expect(dry).toMatchObject({ writeback: { state: 'DRY_RUN', attempts: 0 }, order: null })
    expect(JSON.parse(dry.writeback.preview)).toMatchObject({ method: 'POST', path: '/b1s/v2/Orders' })
    expect(gateway.demo.world.count('erpOrders')).toBe(before)
    const { createOrder: real } = await gateway.data(CREATE, { input })
    expect(real.writeback).toMatchObject({ state: 'CONFIRMED', preview: null })
    expect(gateway.demo.world.count('erpOrders')).toBe(before + 1)
  })

  it('answer at once with waitFor 0, and never wait longer than half a minute', async () => {
    const input = orderInput('at once')
    const { createOrder } = await gateway.data(CREATE, { input, waitFor: 0 })
    expect(['ACCEPTED', 'SENDING']).toContain(createOrder.writeback.state)
    await reaches(createOrder.writeback.id, 'CONFIRMED')
    const refused = await gateway.ask(CREATE, { input: orderInput('for ever'), waitFor: 30_001 })
    expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
  })

  it('refuse a target that the system cannot stop at, before anything is journaled', async () => {
    const refused = await gateway.ask(CREATE, { input: orderInput('draft', { target: 'SAVED' }) })
    expect(codesOf(refused)).toEqual(['UNSUPPORTED'])
    const made = await gateway.data(CREATE, { input: orderInput('in force', { target: 'EFFECTIVE' }) })
    expect(made.createOrder.writeback.state).toBe('CONFIRMED')
  })

  it('refuse what the system has no place for instead of leaving it out', async () => {
    const before = gateway.demo.world.count('erpAccounts')
    const create = (idempotencyKey: string, legalName: string | null) =>
      gateway.ask(
        'mutation ($input: CreateCustomerInput!) { createCustomer(input: $input) { writeback { state } } }',
        {
          input: { idempotencyKey, system: 'erp', code: 'C90009', name: '云帆', legalName },
        },
      )
    const refused = await create('named twice', '云帆有限公司')
    expect(codesOf(refused)).toEqual(['UNSUPPORTED'])
    expect(refused.errors?.[0]?.message).toContain('no place for "legalName"')
    expect((await create('with null', null)).data?.createCustomer.writeback.state).toBe('CONFIRMED')
    expect(gateway.demo.world.count('erpAccounts')).toBe(before + 1)
  })
})

describe('a change of something that somebody else has changed', () => {
  it('answers CONFLICT with the record as it is now', async () => {
    const id = order('4')
    const read = await gateway.data('query O($id: ID!) { order(id: $id) { version } }', { id })
    await gateway.data(UPDATE, { input: { idempotencyKey: 'quick', id, comments: 'quick' } })
    const { updateOrder } = await gateway.data(UPDATE, {
      input: { idempotencyKey: 'slow', id, comments: 'slow', expectedVersion: read.order.version },
    })
    expect(updateOrder).toMatchObject({
      writeback: { state: 'REJECTED', problem: { code: 'CONFLICT' } },
      order: { id, comments: 'quick' },
    })
  })
})
