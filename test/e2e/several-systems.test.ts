/** Several systems of one sort: a second ERP, of another kind, with books of its own, beside that of the demo. */
import { afterEach, describe, expect, test } from 'vitest'
import type { DemoFile } from '../../src/demo/small.ts'
import { World } from '../../src/simulation/world.ts'
import { startRestErpSimulator } from '../../src/systems/rest-erp/simulator.ts'
import { addAccount } from '../systems/subjects/erp.ts'
import { codesOf, type Data, idOf, openTestGateway, SMALL } from './kit.ts'

const auth = { type: 'bearer', token: 'erp-token-91c2f0' } as const
/** Nothing old is good enough: a system that is down has no last known page. */
const FORGETFUL = { ttl: '0s', lists: '0s', lastKnown: '0s' }

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** One order every so many days, dated as they were entered, which is how both ERPs list them. */
function spread(world: World, days: number) {
  for (const order of world.all('erpOrders')) {
    const createdAt = new Date(Date.UTC(2026, 0, 1 + order.docEntry * days)).toISOString()
    world.put('erpOrders', { ...order, docDate: createdAt.slice(0, 10), createdAt })
  }
}

async function open(override: (raw: DemoFile) => void = () => {}) {
  const branch = new World({ ...SMALL, orders: 12 })
  spread(branch, 5)
  addAccount(branch, 'C-BRANCH', { name: '只在分公司', taxNumber: '91440300BRANCH0001' })
  const second = await startRestErpSimulator(branch, { auth })
  const gateway = await openTestGateway({
    before: async ({ world }) => spread(world, 2),
    override(raw) {
      const cache = { order: FORGETFUL, customer: FORGETFUL }
      raw.systems.erp2 = {
        kind: 'rest-erp',
        environment: 'test',
        writes: 'on',
        timeout: '2s',
        pollEvery: '0s',
        commitDelay: '1s',
        retry: { attempts: 0 },
        breaker: { failures: 1, probeEvery: '20ms' },
        baseUrl: second.url,
        auth,
        contract: 'extended',
        customFields: { order: { channel: 'metadata.customFields.channel' } },
        cache,
      }
      override(raw)
    },
  })
  cleanups.push(
    () => second.close(),
    async () => gateway[Symbol.asyncDispose](),
  )
  return { gateway, branch, second, main: gateway.demo.world }
}

const ORDERS = `query ($first: Int, $after: String, $system: ID) {
  orders(first: $first, after: $after, system: $system) {
    nodes { number orderDate system { id } }
    edges { cursor }
    pageInfo { hasNextPage endCursor missing { system code retryable } }
  }
}`
type Opened = Awaited<ReturnType<typeof open>>

async function rest({ gateway }: Opened, after: string | null, first: number): Promise<Data[]> {
  const all: Data[] = []
  for (let page = 0; page < 100; page++) {
    const { orders } = await gateway.data(ORDERS, { first, after })
    expect(orders.pageInfo.missing).toEqual([])
    all.push(...orders.nodes)
    if (!orders.pageInfo.hasNextPage) return all
    after = orders.pageInfo.endCursor
  }
  throw new Error('this list does not end')
}

const nameOf = ({ number, system }: Data): string => `${system.id} ${number}`
const everyOrder = ({ main, branch }: Opened): string[] =>
  [
    ...main.all('erpOrders').map(({ docNum }) => `erp ${docNum}`),
    ...branch.all('erpOrders').map(({ docNum }) => `erp2 ${docNum}`),
  ].sort()

describe('a list over two ERPs', () => {
  test('is merged by date, and complete page by page, at one call of each per page', async () => {
    const opened = await open()
    const all = await rest(opened, null, 7)
    expect(all.map(nameOf).sort()).toEqual(everyOrder(opened))
    const days = all.map((order) => order.orderDate)
    expect(days).toEqual([...days].sort().reverse())
    // They are neighbours, not one after the other.
    const systems = all.map((order) => order.system.id)
    expect(systems.indexOf('erp2')).toBeLessThan(systems.lastIndexOf('erp'))
    expect(systems.indexOf('erp')).toBeLessThan(systems.lastIndexOf('erp2'))

    const { second, gateway } = opened
    second.clearCalls()
    gateway.demo.simulators.erp.clearCalls()
    const { orders } = await gateway.data(ORDERS, { first: 5 })
    const calls = (list: readonly string[]) => list.filter((call) => /orders\?/i.test(call)).length
    expect(calls(second.calls)).toBe(1)
    expect(calls(gateway.demo.simulators.erp.calls)).toBeLessThanOrEqual(1)
    // Any cursor is a place, not only the last one.
    const behind = await gateway.data(ORDERS, { first: 100, after: orders.edges[2].cursor })
    expect(behind.orders.nodes.map(nameOf)).toEqual(all.slice(3).map(nameOf))
  })

  test('tells which system is missing, keeps its place, and brings what it has when it is back', async () => {
    const opened = await open()
    const { gateway, second } = opened
    const { orders: before } = await gateway.data(ORDERS, { first: 6 })
    const seen = before.nodes.map(nameOf)
    second.setFaults([{ kind: 'refuse' }])
    const { orders: alone } = await gateway.data(ORDERS, { first: 6, after: before.pageInfo.endCursor })
    expect(alone.pageInfo).toMatchObject({
      hasNextPage: true,
      missing: [{ system: 'erp2', code: 'SYSTEM_UNAVAILABLE', retryable: true }],
    })
    expect(new Set(alone.nodes.map((order: Data) => order.system.id))).toEqual(new Set(['erp']))
    seen.push(...alone.nodes.map(nameOf))
    second.setFaults([])
    await expect
      .poll(async () => (await gateway.data(ORDERS, { first: 1 })).orders.pageInfo.missing, {
        timeout: 8_000,
      })
      .toEqual([])
    seen.push(...(await rest(opened, alone.pageInfo.endCursor, 6)).map(nameOf))
    expect(seen.sort()).toEqual(everyOrder(opened))
  })

  test('fails where nobody is left to answer, and can be gone on with', async () => {
    const opened = await open()
    const { gateway, second, main } = opened
    second.setFaults([{ kind: 'refuse' }])
    const first = main.all('erpOrders').length
    const { orders } = await gateway.data(ORDERS, { first: Math.min(100, first + 1) })
    expect(orders.nodes).toHaveLength(first)
    const after = orders.pageInfo.endCursor
    const failed = await gateway.ask(ORDERS, { first: 5, after })
    expect(codesOf(failed)).toEqual(['SYSTEM_UNAVAILABLE'])
    expect(failed.errors?.[0]?.extensions).toMatchObject({ system: 'erp2', retryable: true })
    second.setFaults([])
    await expect
      .poll(async () => (await gateway.ask(ORDERS, { first: 100, after })).data?.orders?.nodes, {
        timeout: 8_000,
      })
      .toHaveLength(opened.branch.all('erpOrders').length)
  })

  test('takes no cursor of another list', async () => {
    const { gateway } = await open()
    const { orders } = await gateway.data(ORDERS, { first: 2 })
    const after = orders.pageInfo.endCursor
    expect(codesOf(await gateway.ask(ORDERS, { first: 2, after, system: 'erp' }))).toEqual(['CURSOR_INVALID'])
  })
})

test('customers that several systems know are listed once, and those of one system too', async () => {
  const { gateway, main } = await open()
  const CUSTOMERS = `query ($after: String, $search: String) {
    customers(first: 5, after: $after, search: $search) {
      nodes { id name externalIds { system key } } pageInfo { hasNextPage endCursor missing { system code } }
    }
  }`
  const all: Data[] = []
  let after: string | null = null
  for (let page = 0; page < 50; page++) {
    const { customers } = await gateway.data(CUSTOMERS, { after })
    all.push(...customers.nodes)
    if (!customers.pageInfo.hasNextPage) break
    after = customers.pageInfo.endCursor
  }
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  const names = all.map(({ name }) => name)
  expect(names).toContain('只在分公司')
  for (const { name } of main.all('crmCustomers')) expect(names).toContain(name)
  const chenguang = all.find(({ name }) => name === '上海晨光精密机械有限公司')
  expect(chenguang.externalIds.map(({ system }: Data) => system).sort()).toEqual([
    'crm',
    'erp',
    'erp2',
    'fin',
  ])

  const { customers } = await gateway.data(CUSTOMERS, { search: '只在分公司' })
  expect(customers.nodes.map(({ name }: Data) => name)).toEqual(['只在分公司'])
})

test('the newest orders of many customers cost as many calls as their keys need, those of one a page', async () => {
  const opened = await open((raw) => {
    Object.assign(raw.systems.erp2 as object, { batchLimit: 4 })
  })
  const { gateway, main, branch, second } = opened
  const QUERY =
    '{ customers(first: 50) { nodes { externalIds { system key } orders(first: 3) { number system { id } } } } }'
  const id = idOf('customer', 'erp', 'C20001')
  await gateway.data('{ customers(first: 50) { nodes { id } } }')
  second.clearCalls()
  const { customers } = await gateway.data(QUERY)
  const ordersOf = (world: World, system: string, cardCode: string) =>
    world
      .all('erpOrders')
      .filter((order) => order.cardCode === cardCode)
      .map(({ docNum, docDate }) => ({ name: `${system} ${docNum}`, docDate }))
  let keys = 0
  for (const { externalIds, orders } of customers.nodes) {
    const expected = externalIds.flatMap(({ system, key }: Data) => {
      if (system === 'erp2') keys++
      if (system === 'erp') return ordersOf(main, system, key)
      return system === 'erp2' ? ordersOf(branch, system, key) : []
    })
    expected.sort((a: Data, b: Data) => (a.docDate < b.docDate ? 1 : -1))
    expect(orders.map(nameOf)).toEqual(expected.slice(0, 3).map(({ name }: Data) => name))
  }
  expect(keys).toBeGreaterThan(8)
  const calls = () => second.calls.filter((call) => /orders\?/i.test(call))
  expect(calls()).toHaveLength(Math.ceil(keys / 4))

  second.clearCalls()
  const { customer } = await gateway.data(
    'query ($id: ID!) { customer(id: $id) { orders(first: 2) { number system { id } } } }',
    { id },
  )
  expect(customer.orders).toHaveLength(2)
  expect(calls()).toHaveLength(1)
  expect(calls()[0]).toMatch(/limit=2(&|$)/)
})

const CREATE = `mutation ($input: CreateOrderInput!) {
  createOrder(input: $input) {
    writeback { id state attempts problem { code message } system { id } }
    order { id status version customFields { name value } system { id } }
  }
}`
const INPUT = {
  customerId: idOf('customer', 'erp', 'C20001'),
  dueDate: '2026-12-31',
  lines: [{ productId: idOf('product', 'erp', 'A00001'), quantity: '2', unitPrice: '10' }],
}

describe('a write that several systems could take', () => {
  test('goes to the system that it names, and is refused with the choices where it names none', async () => {
    const { gateway } = await open()
    const refused = await gateway.ask(CREATE, { input: { idempotencyKey: 'which-1', ...INPUT } })
    expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
    expect(refused.errors?.[0]).toMatchObject({
      message:
        'There are several accounts of this customer: erp C20001, erp2 C20001. Say which with "system", or have "leading" configured.',
      extensions: { field: 'system' },
    })
    for (const system of ['erp', 'erp2']) {
      const { createOrder } = await gateway.data(CREATE, {
        input: { idempotencyKey: `which-${system}`, ...INPUT, system },
      })
      expect(createOrder).toMatchObject({
        writeback: { state: 'CONFIRMED', system: { id: system } },
        order: { system: { id: system } },
      })
    }
  })

  test('follows the system that leads, by company where one is named', async () => {
    const { gateway } = await open((raw) => {
      Object.assign(raw, { leading: { order: { default: 'erp2', 华东: 'erp' } } })
    })
    const target = async (key: string, more: object) =>
      (await gateway.data(CREATE, { input: { idempotencyKey: key, ...INPUT, ...more } })).createOrder
        .writeback.system.id
    expect(await target('lead-1', {})).toBe('erp2')
    expect(await target('lead-2', { company: '华东' })).toBe('erp')
    expect(await target('lead-3', { company: '其他' })).toBe('erp2')
    expect(await target('lead-4', { system: 'erp' })).toBe('erp')
  })
})

test('an order is moved on by what its system can do, and carries the own fields of its company', async () => {
  const { gateway, branch } = await open()
  const customFields = [{ name: 'channel', value: '抖音 🛒' }]
  const { createOrder } = await gateway.data(CREATE, {
    input: { idempotencyKey: 'act-1', ...INPUT, system: 'erp2', customFields },
  })
  expect(createOrder.order).toMatchObject({ status: 'NEW', customFields })
  const { id } = createOrder.order
  const act = (mutation: string, type: string, input: object) =>
    gateway.ask(
      `mutation ($input: ${type}!) { ${mutation}(input: $input) { writeback { state } order { status customFields { value } } } }`,
      { input: { idempotencyKey: `${mutation}-1`, id, ...input } },
    )
  const confirmed = await act('confirmOrder', 'OrderActionInput', {})
  expect(confirmed.data.confirmOrder).toMatchObject({
    writeback: { state: 'CONFIRMED' },
    order: { status: 'CONFIRMED' },
  })
  const changed = await act('updateOrder', 'UpdateOrderInput', {
    customFields: [{ name: 'channel', value: '直播' }],
  })
  expect(changed.data.updateOrder.order.customFields).toEqual([{ value: '直播' }])
  const delivered = await act('changeOrderStatus', 'ChangeOrderStatusInput', { status: 'DELIVERED' })
  expect(delivered.data.changeOrderStatus.order.status).toBe('DELIVERED')
  expect(
    branch
      .all('erpOrders')
      .at(-1)
      ?.lines.map(({ open }) => Number(open)),
  ).toEqual([0])

  const closed = await act('closeOrder', 'OrderActionInput', {})
  expect(codesOf(closed)).toEqual(['UNSUPPORTED'])
  expect(closed.errors?.[0]?.extensions).toMatchObject({ system: 'erp2' })
  const twice = await act('updateOrder', 'UpdateOrderInput', {
    idempotencyKey: 'twice',
    customFields: [...customFields, ...customFields],
  })
  expect(codesOf(twice)).toEqual(['BAD_USER_INPUT'])
  const b1 = await gateway.data(CREATE, {
    input: { idempotencyKey: 'b1-custom', ...INPUT, system: 'erp', customFields },
  })
  expect(b1.createOrder.writeback).toMatchObject({
    state: 'REJECTED',
    problem: { code: 'UNSUPPORTED', message: expect.stringContaining('channel') },
  })
  const unknown = await gateway.data(CREATE, {
    input: {
      idempotencyKey: 'unknown',
      ...INPUT,
      system: 'erp2',
      customFields: [{ name: 'nix', value: '1' }],
    },
  })
  expect(unknown.createOrder.writeback).toMatchObject({
    state: 'REJECTED',
    problem: { message: expect.stringContaining('nix') },
  })
})

test('an ERP that has only what the seed lists shows a lost customer among those that changed, a lost order never', async () => {
  const world = new World({ ...SMALL, orders: 0 })
  const letter = await startRestErpSimulator(world, { auth, contract: 'standard' })
  cleanups.push(() => letter.close())
  const { gateway } = await open(({ systems }) => {
    const own = { contract: 'standard', baseUrl: letter.url, customFields: {}, commitDelay: '50ms' }
    systems.letter = { ...systems.erp2, ...own }
  })
  const count = () => ({
    customers: world.all('erpAccounts').length,
    orders: world.all('erpOrders').length,
  })
  const before = count()
  const lose = () => letter.setFaults([{ kind: 'drop-after', match: 'POST', times: 1 }])

  lose()
  const { createCustomer } = await gateway.data(
    `mutation { createCustomer(input: { idempotencyKey: "lost", system: "letter", name: "丢失 😀" }) {
      writeback { state attempts } customer { name } } }`,
  )
  expect(createCustomer).toMatchObject({
    writeback: { state: 'CONFIRMED', attempts: 1 },
    customer: { name: '丢失 😀' },
  })

  lose()
  const { createOrder } = await gateway.data(CREATE, {
    input: { idempotencyKey: 'lost', ...INPUT, system: 'letter' },
  })
  expect(createOrder.writeback).toMatchObject({ state: 'NEEDS_ATTENTION', attempts: 1 })
  expect(count()).toEqual({ customers: before.customers + 1, orders: before.orders + 1 })

  // Who has looked over there, and says so, has it sent again.
  await gateway.data(
    `mutation { retryWriteback(id: "${createOrder.writeback.id}", reason: "it is not there") { id } }`,
  )
  await expect.poll(() => count().orders, { timeout: 5_000 }).toBe(before.orders + 2)
})
