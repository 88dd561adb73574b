/** Flows over the demo's systems: what the runner makes of steps that go well, are refused, hang, and die. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { AppOptions } from '../../src/app.ts'
import { type Flow, reject, type Step } from '../../src/flows/flow.ts'
import { eventually, idOf, openTestGateway, READER, type TestGateway, temporaryFolder } from '../e2e/kit.ts'

const OPPORTUNITY = 'OP-00001'
const START = `mutation S($flow: String!, $id: ID!, $waitFor: Int) {
  startFlow(input: { flow: $flow, id: $id }, waitFor: $waitFor) { ...run } }
  fragment run on FlowRun { id flow version key state round subject problemStep problem { code message }
    decisions note steps { name state key problem { code } note writeback { id state key } undo { state } } }`
const RUN = `query R($id: ID!) { flowRun(id: $id) { ...run history { step state note subject } } }
  ${START.slice(START.indexOf('fragment'))}`

/** An order that B1 takes. */
const order: Step = {
  name: 'order',
  async prepare() {
    const input = {
      customer: 'C20001',
      dueDate: '2026-12-31',
      lines: [{ product: 'A00003', quantity: '2' }],
    }
    return { write: { system: 'erp', record: 'order', action: 'create', input }, data: { asked: '2' } }
  },
  undo: async (_run, { key }) => ({
    write: { system: 'erp', record: 'order', action: 'cancel', input: { key }, key },
  }),
}

/** One that it refuses: there is no such warehouse. */
const refusedOrder: Step = {
  name: 'refused',
  async prepare() {
    const lines = [{ product: 'A00003', quantity: '2', warehouse: 'NOWHERE' }]
    const input = { customer: 'C20001', dueDate: '2026-12-31', lines }
    return { write: { system: 'erp', record: 'order', action: 'create', input } }
  },
}

const payment: Step = {
  name: 'payment',
  async prepare(run) {
    const input = {
      customer: 'D-00003',
      date: '2026-11-20',
      amount: { amount: '1.00', currency: 'CNY' },
      reference: `for order ${run.results.order?.key}`,
      applications: [],
    }
    return { write: { system: 'fin', record: 'payment', action: 'create', input } }
  },
}

const flowOf = (stages: Flow['stages'], more: Partial<Flow> = {}): Flow => ({
  name: 'trial',
  version: 1,
  description: 'For tests.',
  subject: { system: 'crm', record: 'opportunity' },
  stages,
  ...more,
})

const open = (flow: Flow | readonly Flow[], options: Parameters<typeof openTestGateway>[0] = {}) =>
  openTestGateway({ ...options, app: { flows: [flow].flat() } satisfies AppOptions })

const start = async (gateway: TestGateway, waitFor = 10_000) =>
  (await gateway.data(START, { flow: 'trial', id: idOf('opportunity', 'crm', OPPORTUNITY), waitFor }))
    .startFlow

const look = async (gateway: TestGateway, id: string) => (await gateway.data(RUN, { id })).flowRun

describe('a flow', () => {
  it('carries out its steps in order, hands on what they left, and tells of each', async () => {
    await using gateway = await open(flowOf([order, payment]))
    await using listener = await gateway.listen(
      'subscription { flowRunChanged { state steps { name state } } }',
    )
    const run = await start(gateway)
    expect(run).toMatchObject({
      flow: 'trial',
      version: 1,
      key: OPPORTUNITY,
      state: 'COMPLETED',
      problem: null,
      decisions: [],
      steps: [
        { name: 'order', state: 'DONE', writeback: { state: 'CONFIRMED' } },
        { name: 'payment', state: 'DONE', writeback: { state: 'CONFIRMED' } },
      ],
    })
    const [{ key }] = run.steps
    expect(gateway.demo.world.get('erpOrders', key)?.lines[0]).toMatchObject({
      item: 'A00003',
      quantity: '2',
    })
    const paid = gateway.demo.world.get('financePayments', run.steps[1].key)
    expect(paid?.reference).toBe(`for order ${key}`)
    // Begun; sent and done, twice; over.
    const messages = await listener.payloads(6)
    expect(messages.at(-1)).toMatchObject({ state: 'COMPLETED' })
  })

  it('has one run per record, whoever asks and how often', async () => {
    await using gateway = await open(flowOf([order]))
    const before = gateway.demo.world.count('erpOrders')
    const runs = await Promise.all(Array.from({ length: 6 }, () => start(gateway)))
    expect(new Set(runs.map(({ id }) => id)).size).toBe(1)
    expect(gateway.demo.world.count('erpOrders')).toBe(before + 1)
  })

  it('undoes what was done, the last first, when a step is refused', async () => {
    await using gateway = await open(flowOf([order, { ...order, name: 'second' }, refusedOrder, payment]))
    const payments = gateway.demo.world.count('financePayments')
    const run = await start(gateway)
    expect(run).toMatchObject({
      state: 'COMPENSATED',
      problem: { code: 'REJECTED', message: expect.stringContaining('NOWHERE') },
      problemStep: 'refused',
      decisions: ['RETRY'],
      steps: [
        { name: 'order', state: 'UNDONE', writeback: { state: 'COMPENSATED' }, undo: { state: 'CONFIRMED' } },
        {
          name: 'second',
          state: 'UNDONE',
          writeback: { state: 'COMPENSATED' },
          undo: { state: 'CONFIRMED' },
        },
        { name: 'refused', state: 'FAILED', writeback: { state: 'REJECTED' } },
        { name: 'payment', state: 'PENDING', writeback: null },
      ],
    })
    for (const { key } of run.steps.slice(0, 2))
      expect(gateway.demo.world.get('erpOrders', key)?.cancelled).toBe(true)
    expect(gateway.demo.world.count('financePayments')).toBe(payments)
    const { history } = await look(gateway, run.id)
    const undone = history.filter(({ state }: { state: string }) => state === 'UNDONE')
    expect(undone.map(({ step }: { step: string }) => step)).toEqual(['second', 'order'])
  })

  it('begins again, with steps of its own, when an operator says so', async () => {
    let refuse = true
    const picky: Step = {
      ...payment,
      async prepare(run, tools) {
        if (refuse) throw reject('NOT_YET', 'Come again.')
        return payment.prepare(run, tools)
      },
    }
    await using gateway = await open(flowOf([order, picky]))
    const run = await start(gateway)
    expect(run).toMatchObject({ state: 'COMPENSATED', problem: { code: 'NOT_YET', message: 'Come again.' } })
    refuse = false
    await gateway.data('mutation R($id: ID!) { retryFlowRun(id: $id, reason: "now") { id } }', { id: run.id })
    const after = await eventually(async () => {
      const now = await look(gateway, run.id)
      return now.state === 'COMPLETED' && now
    })
    expect(after.round).toBe(2)
    expect(after.steps[0].key).not.toBe(run.steps[0].key)
    expect(after.history).toContainEqual(expect.objectContaining({ state: 'RUNNING', note: 'now' }))
  })

  it('says loudly that it could not undo something, and goes on when a person has done it', async () => {
    await using gateway = await open(flowOf([order, refusedOrder]), {
      override: (file) => {
        Object.assign(file.systems.erp as object, { writes: { 'order.create': 'on' } })
      },
    })
    await using listener = await gateway.listen(
      'subscription { flowRunChanged(state: NEEDS_ATTENTION) { id state } }',
    )
    const run = await start(gateway)
    expect(run).toMatchObject({
      state: 'NEEDS_ATTENTION',
      problem: { code: 'WRITES_OFF' },
      problemStep: 'order',
      decisions: ['RETRY', 'RESOLVE'],
    })
    expect(run.steps[0]).toMatchObject({ state: 'NOT_UNDONE', writeback: { state: 'CONFIRMED' } })
    expect(await listener.payloads(1)).toEqual([{ id: run.id, state: 'NEEDS_ATTENTION' }])
    const denied = await gateway.ask(
      'mutation R($id: ID!) { resolveFlowRun(id: $id, step: "order", reason: "x") { id } }',
      { id: run.id },
      READER,
    )
    expect(denied.errors?.[0]?.extensions.code).toBe('FORBIDDEN')
    await gateway.data(
      'mutation R($id: ID!) { resolveFlowRun(id: $id, step: "order", reason: "cancelled by phone") { id } }',
      { id: run.id },
    )
    const after = await eventually(async () => {
      const now = await look(gateway, run.id)
      return now.state === 'COMPENSATED' && now
    })
    expect(after.steps[0]).toMatchObject({ state: 'UNDONE', note: 'by hand: cancelled by phone' })
    const { operatorActions } = await gateway.data('{ operatorActions { nodes { action about reason } } }')
    expect(operatorActions.nodes[0]).toEqual({
      action: 'resolve flow step order',
      about: run.id,
      reason: 'cancelled by phone',
    })
  })

  it('waits until it knows what became of a write before it undoes anything', async () => {
    await using gateway = await open(
      flowOf([
        [
          order,
          {
            ...payment,
            prepare: async () => {
              throw reject('NO', 'No.')
            },
          },
        ],
      ]),
    )
    // The order is made, and nobody is told.
    gateway.demo.simulators.erp.setFaults([{ kind: 'drop-after', times: 1, match: 'POST .*Orders' }])
    const begun = await start(gateway, 200)
    const after = await eventually(async () => {
      const now = await look(gateway, begun.id)
      return now.state === 'COMPENSATED' && now
    }, 20_000)
    expect(after.steps[0]).toMatchObject({ state: 'UNDONE', writeback: { state: 'COMPENSATED' } })
    expect(gateway.demo.world.get('erpOrders', after.steps[0].key)?.cancelled).toBe(true)
    const steps = after.history.map(
      (one: { step: string | null; state: string }) => `${one.step} ${one.state}`,
    )
    expect(steps.indexOf('payment FAILED')).toBeLessThan(steps.indexOf('order DONE'))
    expect(steps.indexOf('order DONE')).toBeLessThan(steps.indexOf('null UNDOING'))
  })

  it('is shown to a person where a write of it is, and goes on by itself when that is decided', async () => {
    await using gateway = await open(flowOf([order, payment]), {
      override: (file) => {
        Object.assign(file.systems.erp as object, { writing: { attempts: 1 } })
      },
    })
    gateway.demo.simulators.erp.setFaults([{ kind: 'status', status: 500, times: 1, match: 'POST .*Orders' }])
    const run = await start(gateway, 15_000)
    expect(run).toMatchObject({
      state: 'NEEDS_ATTENTION',
      problem: { code: 'WRITEBACK_NEEDS_ATTENTION' },
      problemStep: 'order',
    })
    const { id } = run.steps[0].writeback
    await gateway.data(
      'mutation R($id: ID!) { resolveWriteback(id: $id, outcome: CONFIRMED, key: "3", reason: "seen") { id } }',
      { id },
    )
    await eventually(async () => (await look(gateway, run.id)).state === 'COMPLETED')
  })

  it('gives up when an operator says so, and undoes what was done', async () => {
    const never: Step = {
      name: 'never',
      prepare: async (_run, tools) => {
        await tools.record('fin', 'payment', 'PAY-1')
        return { skip: 'unreachable' }
      },
    }
    await using gateway = await open(flowOf([order, never]))
    gateway.demo.simulators.fin.setFaults([{ kind: 'refuse' }])
    const run = await start(gateway, 1_500)
    expect(run.state).toBe('RUNNING')
    const waiting = await eventually(async () => {
      const now = await look(gateway, run.id)
      return now.note && now
    })
    expect(waiting.note).toContain('"fin" does not answer')
    await gateway.data('mutation C($id: ID!) { cancelFlowRun(id: $id, reason: "no more") { id } }', {
      id: run.id,
    })
    const after = await eventually(async () => {
      const now = await look(gateway, run.id)
      return now.state === 'COMPENSATED' && now
    })
    expect(after.problem).toEqual({ code: 'CANCELLED', message: 'no more' })
    expect(after.steps.map(({ state }: { state: string }) => state)).toEqual(['UNDONE', 'PENDING'])
  })

  it('stays with its version, and needs a person where a deploy has lost that', async () => {
    const dataDir = temporaryFolder()
    let id = ''
    {
      await using gateway = await open(flowOf([order]), { dataDir })
      await gateway.data('mutation { pauseSystem(id: "erp", reason: "stocktaking") { id } }')
      id = (await start(gateway, 300)).id
    }
    {
      await using gateway = await open(flowOf([order, payment], { version: 2 }), { dataDir })
      const lost = await eventually(async () => {
        const now = await look(gateway, id)
        return now.state === 'NEEDS_ATTENTION' && now
      })
      expect(lost).toMatchObject({ version: 1, problem: { code: 'FLOW_VERSION_MISSING' } })
      expect(lost.problem.message).toContain('version 1')
    }
    await using gateway = await open([flowOf([order]), flowOf([order, payment], { version: 2 })], { dataDir })
    await gateway.data('mutation { resumeSystem(id: "erp", reason: "done") { id } }')
    await gateway.data('mutation R($id: ID!) { retryFlowRun(id: $id, reason: "deployed") { id } }', { id })
    const after = await eventually(async () => {
      const now = await look(gateway, id)
      return now.state === 'COMPLETED' && now
    })
    expect(after.steps).toHaveLength(1)
    rmSync(dataDir, { recursive: true, force: true })
  })

  it('that makes what begins it comes to an end, and says so', async () => {
    const circle: Step = {
      name: 'again',
      async prepare() {
        const input = { customer: '70007', name: 'and again', stage: 'WON' }
        return { write: { system: 'crm', record: 'opportunity', action: 'create', input } }
      },
    }
    const flow = flowOf([circle], { startsOn: ({ data: { facts } }) => facts.stage === 'WON' })
    await using gateway = await open(flow, {
      override: (file) => Object.assign(file, { flows: { tenant: 'demo' } }),
    })
    const before = gateway.demo.world.count('crmOpportunities')
    await start(gateway)
    const refused = () =>
      gateway.app.store.read.selectFrom('event').select('data').where('type', '=', 'flow.refused').execute()
    await eventually(async () => (await refused()).length > 0, 20_000)
    // Polled and told by webhook, too: what the gateway made stays what it made.
    await gateway.poll('crm')
    const { flowRuns } = await gateway.data('{ flowRuns(first: 50) { nodes { key causedBy { id } } } }')
    expect(flowRuns.nodes).toHaveLength(6)
    expect(flowRuns.nodes.filter((one: { causedBy: unknown }) => one.causedBy === null)).toHaveLength(1)
    expect(gateway.demo.world.count('crmOpportunities')).toBe(before + 6)
    expect(await refused()).toHaveLength(1)
  })

  describe('whose record somebody else changes between reading and writing', () => {
    const CUSTOMER = '70007'
    const phoneOf = (gateway: TestGateway) => gateway.demo.world.get('crmCustomers', CUSTOMER)?.phone

    /** @param times So often somebody is faster. */
    const callBack = (gateway: () => TestGateway, times: number) => {
      const seen: (string | null | undefined)[] = []
      const step: Step = {
        name: 'call-back',
        async prepare(_run, tools) {
          const found = await tools.record('crm', 'customer', CUSTOMER)
          if (!found?.version) throw new Error('no version')
          seen.push(found.phone)
          if (seen.length <= times) {
            const { world } = gateway().demo
            const now = world.get('crmCustomers', CUSTOMER)
            if (!now) throw new Error('no customer')
            world.put('crmCustomers', { ...now, phone: `theirs ${seen.length}`, revision: now.revision + 1 })
          }
          const changes = { phone: `${found.phone}, and ours` }
          const input = { key: CUSTOMER, expectedVersion: found.version, changes }
          return { write: { system: 'crm', record: 'customer', action: 'update', input, key: CUSTOMER } }
        },
      }
      return { step, seen }
    }

    it('is read and written anew', async () => {
      let room: TestGateway | undefined
      const { step, seen } = callBack(() => room as TestGateway, 2)
      await using gateway = await open(flowOf([step]))
      room = gateway
      const run = await start(gateway)
      expect(run).toMatchObject({ state: 'COMPLETED', steps: [{ state: 'DONE' }] })
      expect(seen.slice(1)).toEqual(['theirs 1', 'theirs 2'])
      expect(phoneOf(gateway)).toBe('theirs 2, and ours')
      const { writebacks } = await gateway.data(
        '{ writebacks(first: 10) { nodes { state problem { code } } } }',
      )
      expect(writebacks.nodes).toEqual([
        { state: 'CONFIRMED', problem: null },
        { state: 'REJECTED', problem: expect.objectContaining({ code: 'CONFLICT' }) },
        { state: 'REJECTED', problem: expect.objectContaining({ code: 'CONFLICT' }) },
      ])
    })

    it('is given up after three more tries, and what was done is undone', async () => {
      let room: TestGateway | undefined
      const { step, seen } = callBack(() => room as TestGateway, 100)
      await using gateway = await open(flowOf([order, step]))
      room = gateway
      const run = await start(gateway, 20_000)
      expect(run).toMatchObject({
        state: 'COMPENSATED',
        problem: { code: 'CONFLICT' },
        steps: [{ state: 'UNDONE' }, { state: 'FAILED' }],
      })
      expect(seen).toHaveLength(4)
      expect(phoneOf(gateway)).toBe('theirs 4')
    })
  })
})

describe('`flows.modules`', () => {
  const withModule = async (text: string, use: (file: string) => Promise<void>) => {
    const folder = temporaryFolder()
    const file = join(folder, 'house-flow.mjs')
    writeFileSync(file, text)
    try {
      await use(file)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  const configured = (file: string) =>
    openTestGateway({
      override: (raw) => Object.assign(raw, { flows: { tenant: 'demo', modules: [file] } }),
    })

  it('brings flows of the house, which run as those that come with the gateway', async () => {
    const module = `export default [{
      name: 'trial', version: 3, description: 'Of the house.',
      subject: { system: 'crm', record: 'opportunity' },
      stages: [{
        name: 'mark',
        prepare: async (run) => ({
          write: { system: 'crm', record: 'opportunity', action: 'update', key: run.key,
            input: { key: run.key, changes: { name: 'seen by the house' } } },
        }),
      }],
    }]`
    await withModule(module, async (file) => {
      await using gateway = await configured(file)
      const { flows } = await gateway.data('{ flows { name version description } }')
      expect(flows).toEqual([{ name: 'trial', version: 3, description: 'Of the house.' }])
      expect(await start(gateway)).toMatchObject({
        state: 'COMPLETED',
        version: 3,
        steps: [{ name: 'mark' }],
      })
      expect(gateway.demo.world.get('crmOpportunities', OPPORTUNITY)?.name).toBe('seen by the house')
    })
  })

  it('says which file brings none', async () => {
    await withModule('export default { steps: [] }', async (file) => {
      await expect(configured(file)).rejects.toThrow(`${file}: its default export is no flow`)
    })
  })
})
