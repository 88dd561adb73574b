import { describe, expect, it } from 'vitest'
import type { World } from '../../src/simulation/world.ts'
import { codesOf, type Data, openTestGateway, SMALL, type TestGateway } from './kit.ts'

const FIFTY = `{ orders(first: 50) { nodes {
  id number status
  customer { id name level }
  lines { ordered { value } product { sku name inventory { warehouse { key } available { value } } } }
  invoices { number status open { amount } }
} } }`

const FORGETFUL = { cache: { invoice: { ttl: '0s', lists: '0s', lastKnown: '0s' } } }

const LIMITS = { crm: 20, erp: 10, fin: 30 }

/** A gateway whose systems take fewer keys at once than the query has. */
function openSmallBatches(): Promise<TestGateway> {
  return openTestGateway({
    world: { customers: 45, products: 40, orders: 90 },
    override: ({ systems: { crm, erp, fin } }) => {
      Object.assign(crm as object, { batchLimit: LIMITS.crm })
      // Each read by itself, to be counted; in a $batch these would be two calls in all.
      Object.assign(erp as object, { batchLimit: LIMITS.erp, batchRequests: 1 })
      Object.assign(fin as object, { batchSize: LIMITS.fin })
    },
  })
}

/** What the query is about, as the world has it: the fifty newest orders. */
function expectationFrom(world: World) {
  const orders = world.all('erpOrders').slice(-50)
  const accounts = new Set(orders.map((order) => order.cardCode))
  const taxNumbers = [...accounts].map((code) => world.get('erpAccounts', code)?.taxNumber)
  const inCrm = new Set(
    taxNumbers.flatMap((tax) => world.find('crmCustomers', 'taxNumber', tax ?? '')?.id ?? []),
  )
  const items = new Set(orders.flatMap((order) => order.lines.map((line) => line.item)))
  return { orders, inCrm, items }
}

const calls = (distinct: number, limit: number) => Math.ceil(distinct / limit)

describe('one query of fifty orders with customers, lines, products, stock and invoices', () => {
  it('calls each system as often as its distinct keys need, and no more', async () => {
    await using gateway = await openSmallBatches()
    const { erp, crm, fin } = gateway.demo.simulators
    const { orders, inCrm, items } = expectationFrom(gateway.demo.world)
    // Names of payment terms are read once and kept.
    await gateway.data('{ node(id: "1Y2VycApDOTkwMDE") { ... on Customer { accounts { paymentTerms } } } }')
    for (const simulator of [erp, crm, fin]) simulator.clearCalls()

    const { orders: answer } = await gateway.data(FIFTY)
    expect(answer.nodes.map((node: Data) => node.number)).toEqual(
      orders.map((order) => String(order.docNum)).reverse(),
    )
    const called = (list: readonly string[], pattern: RegExp) =>
      list.filter((call) => pattern.test(call)).length
    expect(inCrm.size).toBeGreaterThan(LIMITS.crm)
    expect(items.size).toBeGreaterThan(2 * LIMITS.erp)
    expect({
      orders: called(erp.calls, /GET .*\/Orders\?/),
      products: called(erp.calls, /GET .*\/Items\?(?!.*ItemWarehouseInfoCollection)/),
      stock: called(erp.calls, /GET .*\/Items\?.*ItemWarehouseInfoCollection/),
      customers: called(crm.calls, /GET .*\/customers\?/),
      invoices: called(fin.calls, /FindInvoices/),
    }).toEqual({
      orders: 1,
      products: calls(items.size, LIMITS.erp),
      stock: calls(items.size, LIMITS.erp),
      customers: calls(inCrm.size, LIMITS.crm),
      invoices: calls(orders.length, LIMITS.fin),
    })
    // Nothing else was asked, but for the session that a second call at the same time may need.
    const records = erp.calls.filter((call) => !call.includes('/Login'))
    expect({ erp: records.length, crm: crm.calls.length, fin: fin.calls.length }).toEqual({
      erp: 1 + 2 * calls(items.size, LIMITS.erp),
      crm: calls(inCrm.size, LIMITS.crm),
      fin: calls(orders.length, LIMITS.fin),
    })
  })
})

describe('while finance is', () => {
  for (const kind of ['refuse', 'hang', 'html', 'truncate'] as const) {
    it(`${{ refuse: 'down', hang: 'silent', html: 'behind a broken proxy', truncate: 'cut off' }[kind]}, the query brings all the rest, and says who is missing`, async () => {
      await using gateway = await openTestGateway({
        world: { ...SMALL, orders: 60 },
        // Nothing is remembered: what readers get of known records is told in test/reading.
        override: ({ systems }) => Object.assign(systems.fin as object, { timeout: '500ms', ...FORGETFUL }),
      })
      const healthy = await gateway.data(FIFTY)
      expect(healthy.orders.nodes.some((node: Data) => node.invoices.length > 0)).toBe(true)
      gateway.demo.simulators.fin.setFaults([{ kind }])
      const began = performance.now()
      const { data, errors, ...rest } = await gateway.ask(FIFTY)
      const took = performance.now() - began
      expect(data.orders.nodes).toEqual(
        healthy.orders.nodes.map((node: Data) => ({ ...node, invoices: null })),
      )
      expect(errors).toHaveLength(50)
      const expected = {
        refuse: { code: 'SYSTEM_UNAVAILABLE', retryable: true },
        hang: { code: 'SYSTEM_UNAVAILABLE', retryable: true },
        truncate: { code: 'SYSTEM_UNAVAILABLE', retryable: true },
        html: { code: 'SYSTEM_RESPONSE_INVALID', retryable: false },
      }[kind]
      for (const { message, path, extensions } of errors ?? []) {
        expect(path?.at(-1)).toBe('invoices')
        expect(extensions).toMatchObject({ ...expected, system: 'fin', subgraph: 'finance' })
        expect(message).toContain('"fin"')
        expect(message).not.toContain('127.0.0.1')
      }
      expect(rest.extensions).toMatchObject({ demo: true })
      // 500 ms is the timeout of one exchange; the rest is for slow machines.
      expect(took).toBeLessThan(3_000)
    })
  }
})

describe('while a system is down', () => {
  it('lists over several systems keep what the others gave, and say which is missing', async () => {
    await using gateway = await openTestGateway()
    gateway.demo.simulators.crm.setFaults([{ kind: 'refuse' }])
    const { data, errors } = await gateway.ask(
      '{ customer(externalId: { system: "crm", key: "70014" }) { id name level accounts { key } orders { number } balances { open { amount } } } }',
    )
    expect(data.customer).toMatchObject({
      accounts: [{ key: 'C20002' }, { key: 'C20002-USD' }],
      orders: [{ number: '1015' }, { number: '1012' }],
      balances: [{ open: { amount: '1050.90' } }],
    })
    expect(errors?.every(({ extensions }) => extensions.system === 'crm')).toBe(true)
    expect(codesOf({ errors })).toContain('SYSTEM_UNAVAILABLE')
  })

  it('its health says so, and the others are well', async () => {
    await using gateway = await openTestGateway({
      override: ({ systems }) => Object.assign(systems.erp as object, { timeout: '300ms' }),
    })
    gateway.demo.simulators.erp.setFaults([{ kind: 'hang', match: 'Warehouses' }])
    expect(await gateway.data('{ systems { id health { reachable code detail } } }')).toMatchObject({
      systems: [
        { id: 'crm', health: { reachable: true } },
        { id: 'erp', health: { reachable: false, code: 'SYSTEM_UNAVAILABLE', detail: null } },
        { id: 'fin', health: { reachable: true } },
      ],
    })
  })

  it('a write waits in the journal, and is done once when the system is back', async () => {
    await using gateway = await openTestGateway()
    const { world, simulators } = gateway.demo
    const before = world.count('financePayments')
    simulators.fin.setFaults([{ kind: 'refuse', times: 1 }])
    const { recordPayment } = await gateway.data(
      `mutation Pay($input: RecordPaymentInput!) { recordPayment(input: $input) {
        writeback { state history { state note } } payment { number } } }`,
      {
        input: {
          idempotencyKey: 'patient',
          customerId: '1Y2NybQo3MDAwNw',
          date: '2026-07-01',
          amount: { amount: '10', currency: 'CNY' },
        },
      },
    )
    expect(recordPayment.writeback.state).toBe('CONFIRMED')
    expect(world.count('financePayments')).toBe(before + 1)
  })

  it('wrong credentials are an operator’s matter, told without a secret', async () => {
    await using gateway = await openTestGateway({
      override: ({ systems }) => Object.assign(systems.fin as object, { password: 'wrong-secret' }),
    })
    const { data, errors } = await gateway.ask(
      '{ customer(externalId: { system: "crm", key: "70007" }) { name balances { asOf } } }',
    )
    expect(data.customer.name).toBe('上海晨光精密机械有限公司')
    // Finance could not even be asked who the customer is there.
    expect(data.customer.balances ?? []).toEqual([])
    expect(JSON.stringify(errors ?? [])).not.toContain('wrong-secret')
    const { systems } = await gateway.data('{ systems { id health { reachable code } } }')
    expect(systems[2]).toEqual({ id: 'fin', health: { reachable: false, code: 'SYSTEM_UNAUTHORIZED' } })
  })
})
