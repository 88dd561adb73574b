/** Lead to cash and payment received, as they come: five systems, through the public door. */
import { describe, expect, it } from 'vitest'
import { startRestWmsSimulator } from '../../src/systems/rest-wms/simulator.ts'
import { eventually, idOf, openTestGateway, type TestGateway } from '../e2e/kit.ts'

const RUN = `fragment run on FlowRun { id flow version key state subject event problemStep
  problem { code message line details { name value } } steps { name state key system { id } note writeback { id state } } }`
const START = `mutation S($flow: String!, $id: ID!) {
  startFlow(input: { flow: $flow, id: $id }, waitFor: 20000) { ...run } } ${RUN}`
const BY_KEY = `query R($flow: String!, $key: String!) { flowRun(flow: $flow, key: $key) { ...run } } ${RUN}`

/** The demo's systems and a warehouse beside them, which the simulated business shares. */
async function open(configure: (systems: Record<string, Record<string, unknown>>) => void = () => {}) {
  let wms: Awaited<ReturnType<typeof startRestWmsSimulator>> | undefined
  const auth = { type: 'bearer', token: 'wms-token' } as const
  // Its address is in the configuration, which is read before the world is there: a port is chosen first.
  const { createServer } = await import('node:net')
  const port = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = probe.address() as { port: number }
      probe.close(() => resolve(free))
    })
  })
  const gateway = await openTestGateway({
    webhooks: false,
    async before(demo) {
      wms = await startRestWmsSimulator(demo.world, { auth, port })
    },
    override(file) {
      Object.assign(file.systems, {
        wms: {
          kind: 'rest-wms',
          environment: 'test',
          writes: 'on',
          timeout: '5s',
          pollEvery: '0s',
          baseUrl: `http://127.0.0.1:${port}`,
          auth,
          defaultWarehouse: 'WH-SZX-01',
        },
      })
      configure(file.systems)
      Object.assign(file, {
        flows: {
          tenant: 'demo',
          leadToCash: { crm: 'crm', erp: 'erp', wms: 'wms', finance: 'fin' },
          paymentReceived: { finance: 'fin', erp: 'erp', crm: 'crm' },
        },
      })
    },
  })
  return {
    gateway,
    wms: wms as NonNullable<typeof wms>,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]()
      await wms?.close()
    },
  }
}

/** OP-00001 belongs to a Chinese customer that all systems know. */
function sell(gateway: TestGateway, quantity: string) {
  const { world } = gateway.demo
  const opportunity = world.get('crmOpportunities', 'OP-00001')
  if (!opportunity) throw new Error('the seed has no OP-00001')
  world.put('crmOpportunities', {
    ...opportunity,
    stage: 'NEGOTIATION',
    lines: [{ productCode: 'A00003', quantity, unitPrice: '100.00' }],
    updatedAt: new Date().toISOString(),
  })
}
function win(gateway: TestGateway) {
  const { world } = gateway.demo
  const opportunity = world.get('crmOpportunities', 'OP-00001')
  if (!opportunity) throw new Error('the seed has no OP-00001')
  world.put('crmOpportunities', { ...opportunity, stage: 'WON', updatedAt: new Date().toISOString() })
}

const counts = ({ demo: { world } }: TestGateway) => ({
  orders: world.all('erpOrders').filter(({ cancelled }) => !cancelled).length,
  reservations: world.all('wmsReservations').filter(({ status }) => status === 'ACTIVE').length,
  invoices: world.all('financeInvoices').filter(({ cancelled }) => !cancelled).length,
})

describe('lead to cash', () => {
  it('makes of a won opportunity an order, a reservation, a receivable, and a link back', async () => {
    await using room = await open()
    const { gateway } = room
    const { world } = gateway.demo
    sell(gateway, '2')
    await gateway.poll('crm')
    const before = counts(gateway)
    const won = await gateway.data(`mutation { updateOpportunity(input: {
      idempotencyKey: "won", id: "${idOf('opportunity', 'crm', 'OP-00001')}", stage: WON
    }) { writeback { state } opportunity { lines { product quantity unitPrice } orderNumber } } }`)
    expect(won.updateOpportunity).toEqual({
      writeback: { state: 'CONFIRMED' },
      opportunity: { lines: [{ product: 'A00003', quantity: '2', unitPrice: '100.00' }], orderNumber: null },
    })
    const run = await eventually(async () => {
      const { flowRun } = await gateway.data(BY_KEY, { flow: 'lead-to-cash', key: 'OP-00001' })
      return flowRun?.state === 'COMPLETED' && flowRun
    }, 20_000)
    expect(run).toMatchObject({
      version: 1,
      subject: 'flow/lead-to-cash',
      event: expect.stringMatching(/^\/systems\/crm /),
    })
    expect(run.steps.map((step: { name: string }) => step.name)).toEqual([
      'order',
      'stock',
      'receivable',
      'link',
    ])
    const [order, stock, receivable] = run.steps
    const made = world.get('erpOrders', order.key)
    expect(made).toMatchObject({
      numAtCard: 'OP-00001',
      currency: 'CNY',
      lines: [{ item: 'A00003', quantity: '2' }],
    })
    expect(made?.lines[0]?.total).toBe('200.00')
    const number = String(made?.docNum)
    expect(world.get('wmsReservations', stock.key)).toMatchObject({ orderNo: number, status: 'ACTIVE' })
    // 2 × 100.00 and 13 % tax.
    expect(world.get('financeInvoices', receivable.key)).toMatchObject({
      orderNos: [number],
      gross: '226.00',
      currency: 'CNY',
    })
    expect(world.get('crmOpportunities', 'OP-00001')?.orderNumber).toBe(number)
    expect(counts(gateway)).toEqual({
      orders: before.orders + 1,
      reservations: before.reservations + 1,
      invoices: before.invoices + 1,
    })
    // The link is a change of a won opportunity, and the mutation asks for the same: neither begins another run.
    await gateway.poll()
    const { startFlow } = await gateway.data(START, {
      flow: 'lead-to-cash',
      id: idOf('opportunity', 'crm', 'OP-00001'),
    })
    expect(startFlow.id).toBe(run.id)
    const { flowRuns } = await gateway.data('{ flowRuns(flow: "lead-to-cash") { nodes { id } } }')
    expect(flowRuns.nodes).toEqual([{ id: run.id }])
  })

  it('leaves nothing behind where the warehouse has not enough', async () => {
    await using room = await open()
    const { gateway } = room
    sell(gateway, '100000')
    win(gateway)
    const before = counts(gateway)
    const { startFlow: run } = await gateway.data(START, {
      flow: 'lead-to-cash',
      id: idOf('opportunity', 'crm', 'OP-00001'),
    })
    expect(run).toMatchObject({ state: 'COMPENSATED', problemStep: 'stock', problem: { code: 'REJECTED' } })
    expect(run.problem.details).toEqual(
      expect.arrayContaining([expect.objectContaining({ name: 'required', value: '100000' })]),
    )
    expect(run.steps.map(({ state }: { state: string }) => state)).toEqual([
      'UNDONE',
      'FAILED',
      'PENDING',
      'PENDING',
    ])
    expect(counts(gateway)).toEqual(before)
    expect(gateway.demo.world.get('crmOpportunities', 'OP-00001')?.orderNumber ?? null).toBeNull()
  })

  it('releases stock and cancels the order where finance refuses', async () => {
    await using room = await open((systems) => {
      Object.assign(systems.fin as object, { writes: 'off' })
    })
    const { gateway } = room
    sell(gateway, '1')
    win(gateway)
    const before = counts(gateway)
    const { startFlow: run } = await gateway.data(START, {
      flow: 'lead-to-cash',
      id: idOf('opportunity', 'crm', 'OP-00001'),
    })
    expect(run).toMatchObject({
      state: 'COMPENSATED',
      problemStep: 'receivable',
      problem: { code: 'WRITES_OFF' },
    })
    expect(counts(gateway)).toEqual(before)
    expect(gateway.demo.world.get('wmsReservations', run.steps[1].key)?.status).toBe('RELEASED')
    expect(gateway.demo.world.get('erpOrders', run.steps[0].key)?.cancelled).toBe(true)
  })

  it('is not begun by hand for what is not won, or for something else', async () => {
    await using room = await open()
    const { gateway } = room
    sell(gateway, '1')
    const lost = await gateway.ask(START, {
      flow: 'lead-to-cash',
      id: idOf('opportunity', 'crm', 'OP-00001'),
    })
    expect(lost.errors?.[0]?.message).toContain('NEGOTIATION')
    const other = await gateway.ask(START, { flow: 'lead-to-cash', id: idOf('order', 'erp', '3') })
    expect(other.errors?.[0]?.message).toContain('"opportunity" of system "crm"')
    const unknown = await gateway.ask(START, { flow: 'returns', id: idOf('order', 'erp', '3') })
    expect(unknown.errors?.[0]?.message).toContain('lead-to-cash, payment-received')
  })
})

describe('payment received', () => {
  it('is noted at the order that it is for, and at the customer', async () => {
    await using room = await open()
    const { gateway } = room
    const { world } = gateway.demo
    await gateway.data(`mutation { recordPayment(input: {
      idempotencyKey: "pay", customerId: "${idOf('customer', 'crm', '70007')}", date: "2026-11-20"
      amount: { amount: "612.00", currency: "CNY" }, method: "TRANSFER"
      applications: [{ invoiceId: "${idOf('invoice', 'fin', 'INV-000001')}", amount: "612.00" }]
    }) { writeback { state } } }`)
    const key = world.all('financePayments').at(-1)?.paymentNo as string
    const run = await eventually(async () => {
      const { flowRun } = await gateway.data(BY_KEY, { flow: 'payment-received', key })
      return flowRun?.state === 'COMPLETED' && flowRun
    }, 20_000)
    expect(run.steps.filter(({ state }: { state: string }) => state === 'DONE')).toHaveLength(2)
    // INV-000001 bills order 1003.
    const order = world.all('erpOrders').find(({ docNum }) => docNum === 1003)
    expect(order?.comments).toContain(`Payment ${key}: 612.00 CNY, 2026-11-20`)
    expect(world.all('crmNotes')).toMatchObject([
      { customerId: '70007', text: `Payment ${key}: 612.00 CNY, 2026-11-20 (1003)` },
    ])
  })
})
