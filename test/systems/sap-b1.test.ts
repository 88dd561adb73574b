import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import {
  cancelOrder,
  changeOrder,
  deliver,
  invoiceInErp,
  moveStock,
  placeOrder,
} from '../../src/simulation/trade.ts'
import { type ErpItem, type ErpOrder, World, type WorldOptions } from '../../src/simulation/world.ts'
import { createHoldings } from '../../src/store/holdings.ts'
import { failureText, type Outcome } from '../../src/systems/failure.ts'
import type { Holdings, OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { createSapB1 } from '../../src/systems/sap-b1/adapter.ts'
import { sapB1Config } from '../../src/systems/sap-b1/config.ts'
import { type SapB1SimulatorOptions, startSapB1Simulator } from '../../src/systems/sap-b1/simulator.ts'
import { sqlitePlace } from '../store/stores.ts'

const PASSWORD = 'S3cret-密码'
const call = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: 'wang.fang' }

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly world?: WorldOptions
  readonly simulator?: SapB1SimulatorOptions
  readonly config?: Partial<Parameters<typeof sapB1Config.parse>[0] & object>
  readonly timeoutMs?: number
}

async function setUp(setup: Setup = {}) {
  const world = new World({ orders: 12, customers: 10, products: 10, ...setup.world })
  const simulator = await startSapB1Simulator(world, { password: PASSWORD, ...setup.simulator })
  const open = (config: object = {}, holdings?: Holdings) => {
    const adapter = createSapB1(
      sapB1Config.parse({
        baseUrl: simulator.url,
        companyDb: 'SBODEMO_CN',
        username: 'manager',
        password: PASSWORD,
        ...setup.config,
        ...config,
      }),
      {
        systemId: 'erp',
        log: silentLog,
        timeoutMs: setup.timeoutMs ?? 2_000,
        ...(holdings ? { holdings } : {}),
      },
    )
    closers.push(() => adapter.close())
    const { customer, product, warehouse, inventoryLevel, order, delivery } = adapter.ports
    if (!customer || !product || !warehouse || !inventoryLevel || !order || !delivery)
      throw new Error('ports')
    return { adapter, customer, product, warehouse, inventoryLevel, order, delivery }
  }
  closers.push(() => simulator.close())
  const called = (pattern: RegExp) => simulator.calls.filter((line) => pattern.test(line))
  return { world, simulator, open, called, ...open() }
}

function value<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(outcome ? failureText(outcome.failure) : 'no outcome')
  return outcome.value
}

function failure<T>(outcome: Outcome<T> | undefined) {
  if (!outcome || outcome.ok) throw new Error(`no failure: ${JSON.stringify(outcome)}`)
  return outcome.failure
}

function orderIn(world: World, entry: number): ErpOrder {
  const order = world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}

const newOrder: OrderCreate = {
  customer: 'C20001',
  dueDate: '2026-08-01',
  lines: [{ product: 'A00003', quantity: '2.5', unitPrice: '356.50', warehouse: '02' }],
}

describe('reading', () => {
  test('answers one outcome per key, in the order of the keys, repeated and missing ones included', async () => {
    const { customer, order } = await setUp()
    const keys = ['C20003', 'nobody', 'C20001', 'C20003', '']
    const read = await customer.readMany(keys, call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual(['C20003', null, 'C20001', 'C20003', null])
    const orders = await order.readMany(['5', 'abc', '99999999999', '007', '1'], call)
    expect(orders.map((one) => value(one)?.key ?? null)).toEqual(['5', null, null, null, '1'])
    expect(await order.readMany([], call)).toEqual([])
  })

  test('cuts a filter at the batch limit and at the length of the request line', async () => {
    const { open, called } = await setUp()
    const keys = ['1', '2', '3', '4', '5', '6', '7']
    const read = await open({ batchLimit: 3, batchRequests: 1 }).order.readMany(keys, call)
    expect(read.map((one) => value(one)?.number)).toEqual([
      '1003',
      '1006',
      '1009',
      '1012',
      '1015',
      '1018',
      '1021',
    ])
    expect(called(/GET .*\/Orders\?/)).toHaveLength(3)
    const long = Array.from({ length: 10 }, (_, index) => `${'编号'.repeat(20)}${index}`)
    await open({ maxUrlLength: 1500, batchRequests: 1 }).product.readMany(long, call)
    const lines = called(/\/Items\?/)
    expect(lines.length).toBeGreaterThan(3)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(1600)
  })

  test('fifty orders come in one call, beyond the page of 20', async () => {
    const { open, called } = await setUp({ world: { orders: 50 } })
    const keys = Array.from({ length: 50 }, (_, index) => String(50 - index))
    const read = await open({ batchLimit: 50 }).order.readMany(keys, call)
    expect(read.map((one) => value(one)?.key)).toEqual(keys)
    expect(called(/\/Orders\?/)).toHaveLength(1)
  })

  test('keys with quotes, Chinese characters and signs come through', async () => {
    const { world, customer } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    for (const cardCode of ["O'Neill & Söhne", '客户#1+2%/?', "''"]) {
      world.put('erpAccounts', { ...account, cardCode, name: `${cardCode} 🧾` })
    }
    const keys = ["O'Neill & Söhne", '客户#1+2%/?', "''"]
    const read = await customer.readMany(keys, call)
    expect(read.map((one) => value(one)?.name)).toEqual(keys.map((key) => `${key} 🧾`))
  })

  test('a customer shows account, terms by name, and empty texts as null', async () => {
    const { customer } = await setUp()
    const [first, second, walkIn, supplier] = await customer.readMany(
      ['C20001', 'C20002-USD', 'C99001', 'V10001'],
      call,
    )
    expect(value(first)).toMatchObject({
      key: 'C20001',
      name: '上海晨光精密机械有限公司',
      taxNumber: '91310001MA1K007919',
      email: 'info@chenguang-jm.example',
      addresses: [
        { type: 'BILLING', default: true, city: '上海', street: '浦东新区张江路 88 号', country: 'CN' },
        { type: 'SHIPPING', default: true, city: '上海', province: '上海市', postalCode: '201708' },
      ],
      status: 'ACTIVE',
      vendorStatus: 'Valid=tYES Frozen=tNO',
      type: 'COMPANY',
      account: {
        company: 'SBODEMO_CN',
        currency: 'CNY',
        creditLimit: { amount: '105000', currency: 'CNY' },
        paymentTerms: '月结 30 天',
        blocked: false,
      },
    })
    expect(value(second)?.account?.currency).toBe('USD')
    expect(value(second)?.account?.creditLimit).toEqual({ amount: '110000', currency: 'CNY' })
    expect(value(walkIn)).toMatchObject({ taxNumber: null, phone: null, email: null, addresses: [] })
    expect(value(supplier)).toBeNull()
  })

  test('an account for any currency has none of its own', async () => {
    const { world, customer, open } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, currency: '##', frozen: true })
    expect(value((await customer.readMany(['C20001'], call))[0])?.account).toMatchObject({
      currency: null,
      creditLimit: { amount: '105000', currency: 'CNY' },
      blocked: true,
    })
    const own = open({ accountAmounts: 'account' })
    const [any, dollars] = await own.customer.readMany(['C20001', 'C20002-USD'], call)
    expect(value(any)?.account).toMatchObject({ currency: null, creditLimit: null, balance: null })
    expect(value(dollars)?.account?.creditLimit).toEqual({ amount: '110000', currency: 'USD' })
  })

  test('a dollar order in a yuan company shows both currencies right', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany(['5'], call))[0])
    expect(found).toMatchObject({
      number: '1015',
      customer: 'C20002-USD',
      customerReference: 'NL/4712',
      orderDate: '2026-06-18',
      dueDate: '2026-07-10',
      status: 'CONFIRMED',
      fulfilmentStatus: 'NONE',
      createdAt: '2026-06-18T17:00:00+08:00',
      exchangeRate: '7.1',
      totals: {
        gross: { amount: '1930.35', currency: 'USD' },
        tax: { amount: '222.08', currency: 'USD' },
      },
      companyTotals: {
        gross: { amount: '13705.49', currency: 'CNY' },
        tax: { amount: '1576.74', currency: 'CNY' },
      },
    })
    expect(found?.totals?.net ?? null).toBeNull()
    expect(found?.lines.map((line) => [line.unitPrice?.amount, line.net])).toEqual([
      [
        { amount: '249.99', currency: 'USD' },
        { amount: '1249.95', currency: 'USD' },
      ],
      [
        { amount: '1.8333', currency: 'USD' },
        { amount: '458.33', currency: 'USD' },
      ],
    ])
  })

  test('an order in company currency takes its totals from the fields of the company', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany(['1'], call))[0])
    expect(found?.totals).toEqual(found?.companyTotals)
    expect(found?.totals?.gross).toEqual({ amount: '3612.03', currency: 'CNY' })
    expect(found?.totals?.tax).toEqual({ amount: '415.54', currency: 'CNY' })
    expect(found?.lines.map((line) => line.net?.amount)).toEqual(['1280', '1595.06', '321.43'])
    expect(found?.lines[2]).toMatchObject({
      lineNumber: '3',
      discountPercent: '5',
      unitPrice: { amount: { amount: '48.335', currency: 'CNY' }, per: '1', taxIncluded: false },
      warehouse: '02',
    })
  })

  test('yen have no decimals', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany(['7'], call))[0])
    expect(found?.totals?.gross).toEqual({ amount: '17001', currency: 'JPY' })
    expect(found?.companyTotals?.gross).toEqual({ amount: '819.44', currency: 'CNY' })
  })

  test("the company's own currency codes are translated", async () => {
    const { world, open } = await setUp()
    world.put('erpOrders', { ...orderIn(world, 3), currency: 'RMB' })
    const { order } = open({ currencyCodes: { RMB: 'CNY' } })
    const found = value((await order.readMany(['3'], call))[0])
    expect(found?.totals?.gross?.currency).toBe('CNY')
    expect(found?.totals?.gross).toEqual(found?.companyTotals?.gross)
  })

  test('status and fulfilment follow the box "Approved", the open quantities and the document status', async () => {
    const { world, order } = await setUp()
    changeOrder(world, orderIn(world, 3), { confirmed: false })
    cancelOrder(world, orderIn(world, 5))
    changeOrder(world, orderIn(world, 6), { closed: true })
    const read = await order.readMany(['1', '2', '3', '5', '6', '8'], call)
    expect(read.map((one) => [value(one)?.status, value(one)?.fulfilmentStatus])).toEqual([
      ['DELIVERED', 'COMPLETE'],
      ['IN_PROGRESS', 'PARTIAL'],
      ['PENDING_APPROVAL', 'NONE'],
      ['CANCELLED', 'NOT_RELEVANT'],
      ['CLOSED', 'NONE'],
      ['CONFIRMED', 'NONE'],
    ])
    expect(value(read[3])?.vendorStatus).toBe('bost_Close Cancelled=tYES Confirmed=tYES')
    expect(
      value(read[1])?.lines.map((line) => [line.ordered.value, line.delivered?.value, line.open?.value]),
    ).toEqual([
      ['4', '2', '2'],
      ['2', '1', '1'],
    ])
    expect(value(read[5])?.comments).toBe('现金零售 🧾')
    expect(value(read[5])?.lines[0]?.ordered).toEqual({ value: '2', unit: null, vendorUnit: '个' })
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, order } = await setUp()
    world.put('erpOrders', { ...orderIn(world, 2), docDate: 'yesterday' })
    const [first, second, third] = await order.readMany(['1', '2', '3'], call)
    expect(value(first)?.key).toBe('1')
    expect(failure(second)).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('Order 2'),
    })
    expect(value(third)?.key).toBe('3')
    // A list cannot say so item by item: the record is left out. A customer's orders would look whole: they fail.
    const page = value(await order.list?.({ first: 20 }, call))
    expect(page.items.map((item) => item.record.key)).not.toContain('2')
    const byCustomer = await order.lookups?.byCustomer?.read(['C20001', 'C20003'], call)
    expect(failure(byCustomer?.[0]).kind).toBe('invalid-response')
    expect(value(byCustomer?.[1]).map((one) => one.key)).toEqual(['6'])
  })

  test('orders are found by number and by customer, newest first, over more pages than one', async () => {
    const { world, open, called } = await setUp()
    const { order } = open({ pageLimit: 2 })
    for (let n = 0; n < 5; n++) {
      placeOrder(world, {
        cardCode: 'C20003',
        currency: 'USD',
        docDate: '2026-07-01',
        dueDate: '2026-07-02',
        lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
      })
    }
    const [byCustomer, nobody] = (await order.lookups?.byCustomer?.read(['C20003', 'x'], call)) ?? []
    expect(value(byCustomer).map((one) => one.key)).toEqual(['17', '16', '15', '14', '13', '6'])
    expect(value(nobody)).toEqual([])
    expect(called(/\/Orders\?/)).toHaveLength(3)
    expect(called(/\/Orders\?/)[2]).toContain('$skip=4')
    const byNumber = await order.lookups?.byNumber?.read(['1018', '1', 'A-1'], call)
    expect(byNumber?.map((one) => value(one).map((found) => found.key))).toEqual([['6'], [], []])
  })

  test('a list is complete and without repetition while orders are added', async () => {
    const { world, order } = await setUp()
    const seen: string[] = []
    let after: string | undefined
    for (;;) {
      const page = value(await order.list?.({ first: 5, after }, call))
      seen.push(...page.items.map((item) => item.record.key))
      after = page.items.at(-1)?.position
      placeOrder(world, {
        cardCode: 'C20001',
        currency: 'CNY',
        docDate: '2026-07-01',
        dueDate: '2026-07-02',
        lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
      })
      if (!page.hasMore) break
    }
    expect(seen).toEqual(['12', '11', '10', '9', '8', '7', '6', '5', '4', '3', '2', '1'])
    const mine = value(await order.list?.({ first: 2, filter: { customer: 'C20002' } }, call))
    expect(mine).toMatchObject({ items: [{ position: '4' }], hasMore: false })
  })

  test('customers, products and warehouses are listed and searched', async () => {
    const { customer, product, warehouse } = await setUp()
    const page = value(await customer.list?.({ first: 3 }, call))
    expect(page.items.map((item) => item.position)).toEqual(['C20001', 'C20002', 'C20002-USD'])
    expect(page.hasMore).toBe(true)
    const found = value(await customer.list?.({ first: 9, filter: { search: '晨光' } }, call))
    expect(found.items.map((item) => item.record.key)).toEqual(['C20001'])
    const quoted = value(await customer.list?.({ first: 9, filter: { search: "O'" } }, call))
    expect(quoted.items).toEqual([])
    expect(value((await product.readMany(['A00002'], call))[0])).toMatchObject({
      sku: 'A00002',
      name: '伺服电机 750W',
      foreignName: 'Servo motor 750 W',
      barcode: '6900000209458',
      unit: '台',
      active: true,
    })
    expect(failure(await product.list?.({ first: 1, filter: { customer: 'C20001' } }, call)).kind).toBe(
      'unsupported',
    )
    expect(value(await warehouse.list?.({ first: 9 }, call)).items.map((item) => item.record)).toEqual([
      { key: '01', name: '上海总仓' },
      { key: '02', name: '深圳仓' },
      { key: 'HAM', name: 'Hamburg' },
      { key: 'YOK', name: '横浜倉庫' },
    ])
  })

  test('stock is read by item and warehouse; available is what is there less what is committed', async () => {
    const { open, called } = await setUp()
    const { inventoryLevel } = open({ unitCodes: { 个: 'H87' } })
    const [level, nowhere, noItem] = await inventoryLevel.readMany(['A00001/01', 'A00001/XX', 'B1/01'], call)
    // 137 at first, 100 delivered with order 1, 2 promised to the walk-in customer.
    const quantity = (value: string) => ({ value, unit: 'H87', vendorUnit: '个' })
    expect(value(level)).toEqual({
      key: 'A00001/01',
      product: 'A00001',
      warehouse: '01',
      onHand: quantity('37'),
      reserved: quantity('2'),
      available: quantity('35'),
      incoming: quantity('13'),
    })
    expect([value(nowhere), value(noItem)]).toEqual([null, null])
    expect(called(/\/Items\?/)).toHaveLength(1)
    const byProduct = await inventoryLevel.lookups?.byProduct?.read(['A00001', 'B1'], call)
    expect(byProduct?.map((one) => value(one).map((found) => found.warehouse))).toEqual([
      ['01', '02', 'YOK'],
      [],
    ])
  })

  test('all stock is listed, item by item, whatever the size of the pages', async () => {
    const { world, inventoryLevel } = await setUp()
    const expected = world
      .all('erpStock')
      .map((stock) => `${stock.item}/${stock.warehouse}`)
      .sort()
    for (const first of [1, 3, 7, 100]) {
      const seen: string[] = []
      let after: string | undefined
      for (;;) {
        const page = value(await inventoryLevel.list?.({ first, after }, call))
        seen.push(...page.items.map((item) => item.record.key))
        after = page.items.at(-1)?.position
        if (!page.hasMore) break
      }
      expect(seen).toEqual(expected)
    }
  })

  test('deliveries of many orders come in two calls', async () => {
    const { world, open, called } = await setUp()
    deliver(world, orderIn(world, 2))
    const { delivery } = open({ batchLimit: 50 })
    const keys = ['2', '3', ...Array.from({ length: 46 }, (_, index) => String(index + 100)), '1', 'x']
    const read = await delivery.lookups?.byOrder?.read(keys, call)
    const last = world.count('erpDeliveries')
    expect(value(read?.[0]).map((one) => one.key)).toEqual(['2', String(last)])
    expect(value(read?.[0])[0]).toMatchObject({
      number: '5002',
      customer: 'C20001',
      orders: ['2'],
      status: 'OPEN',
      lines: [
        { product: 'A00002', quantity: { value: '2' }, order: '2', orderLine: '0' },
        { product: 'A00005', quantity: { value: '1' }, order: '2', orderLine: '1' },
      ],
    })
    expect(value(read?.[1])).toEqual([])
    expect(value(read?.[48]).map((one) => one.key)).toEqual(['1'])
    expect(value(read?.[49])).toEqual([])
    expect(called(/QueryService_PostQuery|DeliveryNotes/)).toHaveLength(2)
  })

  test('deliveries joined over several pages are all found', async () => {
    const { open, called } = await setUp()
    const { delivery } = open({ pageLimit: 2 })
    const [first] = (await delivery.lookups?.byOrder?.read(['1', '2', '4'], call)) ?? []
    expect(value(first)[0]?.lines).toHaveLength(3)
    expect(called(/QueryService_PostQuery/)).toHaveLength(3)
  })

  test('the time zone of the server may have summer time', async () => {
    const { open } = await setUp()
    const { order } = open({ timeZone: 'Europe/Berlin' })
    expect(value((await order.readMany(['5'], call))[0])?.createdAt).toBe('2026-06-18T17:00:00+02:00')
  })
})

describe('reads that travel together', () => {
  const batches = /POST \S+\/\$batch$/

  test('keys beyond one filter or one request line come in one call, in their order', async () => {
    const { world, open, called, simulator } = await setUp({ world: { orders: 60 } })
    const keys = Array.from({ length: 50 }, (_, index) => String(50 - index))
    const { order, product } = open({ batchLimit: 15, maxUrlLength: 1800 })
    await Promise.all([order.readMany(['1'], call), product.readMany(['A00001'], call)]) // names are read once
    simulator.clearCalls()
    expect(order.batchLimit).toBe(60)
    const read = await order.readMany(keys, call)
    expect(read.map((one) => value(one)?.number)).toEqual(
      keys.map((key) => String(orderIn(world, Number(key)).docNum)),
    )
    const long = Array.from({ length: 40 }, (_, index) => `${'编号'.repeat(20)}${index}`)
    for (const code of [long[0], long[39]]) {
      world.put('erpItems', { ...(world.get('erpItems', 'A00001') as ErpItem), code: code ?? '' })
    }
    const items = await product.readMany(long, call)
    expect(items.map((one) => value(one)?.key ?? null)).toEqual([
      long[0],
      ...Array.from({ length: 38 }, () => null),
      long[39],
    ])
    expect(called(/Orders/)).toHaveLength(0)
    // 14 pieces of a request line, at most 4 of them in one call.
    expect(called(batches).length).toBeLessThanOrEqual(1 + 4)
  })

  test('what is asked while the only session is busy shares the next call, whatever it is', async () => {
    const { adapter, customer, order, product, warehouse, inventoryLevel, simulator, called } = await setUp({
      config: { maxSessions: 1 },
    })
    expect(adapter.readsAtOnce).toBe(5)
    await customer.readMany(['C20001'], call)
    await order.readMany(['2'], call)
    await product.readMany(['A00002'], call)
    simulator.clearCalls()
    simulator.setFaults([{ kind: 'delay', ms: 60, match: 'Orders' }])
    const first = order.readMany(['1'], call)
    await vi.waitUntil(() => called(/Orders/).length === 1, { interval: 5 })
    const rest = await Promise.all([
      customer.readMany(['C20002'], call),
      product.readMany(['A00001'], call),
      warehouse.readMany(['01'], call),
      inventoryLevel.readMany(['A00002/02'], call),
    ])
    expect(value((await first)[0])?.key).toBe('1')
    expect(rest.map(([one]) => value<{ key: string } | null>(one)?.key)).toEqual([
      'C20002',
      'A00001',
      '01',
      'A00002/02',
    ])
    expect(simulator.calls).toEqual([expect.stringMatching(/GET .*Orders/), expect.stringMatching(batches)])
  })

  test('the vendor stops at a part that fails: those behind it are asked again, and only it fails', async () => {
    const { world, open, customer, simulator, called } = await setUp({ config: { maxSessions: 1 } })
    await customer.readMany(['C20001'], call)
    // A field that the company does not have makes every question for orders wrong.
    const wrong = open({ maxSessions: 1, externalReferenceField: 'U_Nowhere' })
    await wrong.customer.readMany(['C20001'], call)
    await wrong.order.readMany(['1'], call)
    simulator.clearCalls()
    const [customers, orders, others] = await Promise.all([
      wrong.customer.readMany(['C20002'], call),
      wrong.order.readMany(['1'], call),
      wrong.customer.readMany(['C20003'], call),
    ])
    expect(value(customers?.[0])?.name).toBe(world.get('erpAccounts', 'C20002')?.name)
    expect(failure(orders?.[0])).toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('U_Nowhere'),
    })
    expect(value(others?.[0])?.key).toBe('C20003')
    expect(called(batches).length).toBeGreaterThan(0)
    expect(simulator.calls).toHaveLength(2)
  })

  test('pages behind the first are followed where a part may not ask for a size', async () => {
    const { open, called } = await setUp({ world: { orders: 60 }, simulator: { batchPages: false } })
    const keys = Array.from({ length: 60 }, (_, index) => String(index + 1))
    const read = await open({ batchLimit: 30 }).order.readMany(keys, call)
    expect(read.map((one) => value(one)?.key)).toEqual(keys)
    expect(called(batches).length + called(/GET .*Orders/).length).toBeLessThanOrEqual(3)
  })

  test('one who leaves takes nothing from the others; a call that all have left is given up', async () => {
    const { open, order, customer, simulator, called } = await setUp()
    await order.readMany(['1'], call)
    const mine = open({ maxSessions: 1 })
    await mine.customer.readMany(['C20001'], call)
    await mine.product.readMany(['A00001'], call)
    const before = called(batches).length
    simulator.setFaults([{ kind: 'delay', ms: 60, match: 'batch', times: 1 }])
    const leaving = new AbortController()
    const left = mine.customer.readMany(['C20002'], { ...call, signal: leaving.signal })
    const stays = mine.product.readMany(['A00001'], call)
    await vi.waitUntil(() => called(batches).length === before + 1, { interval: 5 })
    leaving.abort()
    expect(failure((await left)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
    expect(value((await stays)[0])?.key).toBe('A00001')

    simulator.setFaults([{ kind: 'hang', match: 'batch', times: 1 }])
    const all = new AbortController()
    const gone = [mine.customer, mine.product].map((port) =>
      port.readMany(['C20002'], { ...call, signal: all.signal }),
    )
    await vi.waitUntil(() => called(batches).length === before + 2, { interval: 5 })
    all.abort()
    for (const one of await Promise.all(gone))
      expect(failure<unknown>(one[0])).toMatchObject({ reason: 'aborted' })
    // Its session is free again.
    expect(value((await mine.customer.readMany(['C20003'], call))[0])?.key).toBe('C20003')
    expect(value((await customer.readMany(['C20003'], call))[0])?.key).toBe('C20003')
  })

  test.each([
    ['cut off', { kind: 'truncate' }, 'unavailable'],
    ['a proxy page', { kind: 'html' }, 'invalid-response'],
    [
      'not offered',
      { kind: 'status', status: 405, body: '{"error":{"code":-1,"message":"Method not allowed"}}' },
      'rejected',
    ],
    ['too much', { kind: 'status', status: 503 }, 'unavailable'],
  ] as const)('a $batch that is %s fails for all in it', async (_, fault, kind) => {
    const { simulator, order } = await setUp({ config: { maxSessions: 1 } })
    await order.readMany(['1'], call)
    simulator.setFaults([{ ...fault, match: 'batch' }])
    const read = await Promise.all([order.readMany(['1'], call), order.readMany(['2'], call)])
    expect(read.map(([one]) => failure(one).kind)).toEqual([kind, kind])
  })

  test('a session that has expired is replaced, and the reads are sent again', async () => {
    const { order, called } = await setUp({
      simulator: { sessionTimeoutMs: 60 },
      config: { maxSessions: 1 },
    })
    await order.readMany(['1'], call)
    await delay(90)
    const read = await Promise.all([order.readMany(['1'], call), order.readMany(['2'], call)])
    expect(read.map(([one]) => value(one)?.key)).toEqual(['1', '2'])
    expect(called(/Login/)).toHaveLength(2)
  })

  test('the simulator takes a $batch apart to the byte', async () => {
    const { simulator } = await setUp()
    const login = await fetch(`${simulator.url}/b1s/v2/Login`, {
      method: 'POST',
      body: JSON.stringify({ CompanyDB: 'SBODEMO_CN', UserName: 'manager', Password: PASSWORD }),
    })
    const cookie = login.headers
      .getSetCookie()
      .map((one) => one.split(';')[0])
      .join('; ')
    const send = async (lines: readonly string[], boundary = 'b1') => {
      const answer = await fetch(`${simulator.url}/b1s/v2/$batch`, {
        method: 'POST',
        headers: { cookie, 'content-type': `multipart/mixed;boundary=${boundary}` },
        body: lines.join('\r\n'),
      })
      return { status: answer.status, text: await answer.text() }
    }
    const part = ['--b1', 'Content-Type: application/http', 'Content-Transfer-Encoding: binary', '']
    const get = "GET /b1s/v2/Items('A00001')?$select=ItemCode"
    const taken = await send([...part, get, '', '', '--b1--', ''])
    expect(taken.status).toBe(200)
    expect(taken.text).toContain('"ItemCode":"A00001"')
    const refused: readonly (readonly string[])[] = [
      [...part, get, '--b1--', ''],
      [...part.filter((line) => !line.startsWith('Content-T')), get, '', '', '--b1--', ''],
      [...part, get, '', ''],
      [...part, 'POST /b1s/v2/Orders(1)/Cancel', '', '', '--b1--', ''],
      [...part, "GET Items('A00001')", '', '', '--b1--', ''],
    ]
    for (const lines of refused) expect((await send(lines)).status).toBe(400)
    expect((await send([...part, get, '', '', '--b1--', ''], 'other')).status).toBe(400)
  })
})

describe('changes', () => {
  test('start at present, then tell what changed and what is new, even without a date of change', async () => {
    for (const emptyUpdateDates of [false, true]) {
      const { world, order, customer, delivery } = await setUp({ simulator: { emptyUpdateDates } })
      const start = value(await order.changes?.(null, call))
      expect(start).toMatchObject({ records: [], hasMore: false })
      const startDeliveries = value(await delivery.changes?.(null, call))
      const startCustomers = value(await customer.changes?.(null, call))

      changeOrder(world, orderIn(world, 2), { comments: '改' })
      const placed = placeOrder(world, {
        cardCode: 'C20001',
        currency: 'CNY',
        docDate: '2026-07-01',
        dueDate: '2026-07-02',
        lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
        at: new Date().toISOString(),
      })
      const next = value(await order.changes?.(start.checkpoint, call))
      const keys = next.records.map((record) => record.key)
      expect(keys).toContain('2')
      expect(keys).toContain(String(placed.docEntry))
      expect(next.hasMore).toBe(false)
      // The overlap repeats them; older ones are over.
      const again = value(await order.changes?.(next.checkpoint, call))
      expect(again.records.map((record) => record.key).sort()).toEqual(['13', '2'])

      deliver(world, orderIn(world, 2))
      const made = value(await delivery.changes?.(startDeliveries.checkpoint, call))
      expect(made.records.at(-1)?.orders).toEqual(['2'])
      const quiet = value(await customer.changes?.(startCustomers.checkpoint, call))
      expect(quiet.checkpoint).toBe(startCustomers.checkpoint)
      for (const close of closers.splice(0).reverse()) await close()
    }
  })

  test('a later morning counts although its clock time is earlier', async () => {
    const { world, order } = await setUp()
    const put = (entry: number, updatedAt: string) =>
      world.put('erpOrders', { ...orderIn(world, entry), updatedAt })
    put(3, '2026-07-01T09:30:00.000Z') // 17:30 in Shanghai
    const start = value(await order.changes?.(null, call))
    put(5, '2026-07-01T23:10:00.000Z') // 07:10 the next morning
    put(6, '2026-07-01T09:29:00.000Z') // stamped a minute before, visible only now
    put(8, '2026-07-01T08:00:00.000Z') // long before
    const { records } = value(await order.changes?.(start.checkpoint, call))
    expect(records.map((record) => record.key)).toEqual(['6', '3', '5'])
  })

  test('go page by page, and a record that changes meanwhile is not lost', async () => {
    const { world, open } = await setUp()
    const { order } = open({ pageLimit: 3, overlapSeconds: 0 })
    const put = (entry: number, updatedAt: string) =>
      world.put('erpOrders', { ...orderIn(world, entry), updatedAt })
    const start = value(await order.changes?.(null, call))
    for (let entry = 1; entry <= 8; entry++) put(entry, '2026-07-01T10:00:00.000Z') // all in one second
    const first = value(await order.changes?.(start.checkpoint, call))
    expect(first.records.map((record) => record.key)).toEqual(['1', '2', '3'])
    expect(first.hasMore).toBe(true)
    put(2, '2026-07-01T10:00:05.000Z') // behind the pages already read
    put(7, '2026-07-01T10:00:06.000Z') // ahead of them
    const second = value(await order.changes?.(first.checkpoint, call))
    expect(second.records.map((record) => record.key)).toEqual(['4', '5', '6'])
    const third = value(await order.changes?.(second.checkpoint, call))
    expect(third.records.map((record) => record.key)).toEqual(['8', '7'])
    expect(third.hasMore).toBe(false)
    const found: string[] = []
    let { checkpoint } = third
    for (;;) {
      const page = value(await order.changes?.(checkpoint, call))
      found.push(...page.records.map((record) => record.key))
      checkpoint = page.checkpoint
      if (!page.hasMore) break
    }
    expect(found).toContain('2')
  })

  test('a checkpoint that is none is refused', async () => {
    const { product } = await setUp()
    expect(failure(await product.changes?.('yesterday', call)).kind).toBe('unsupported')
    expect(failure(await product.changes?.('{"since":"2026"}', call)).kind).toBe('unsupported')
  })

  test('moving stock does not touch the item', async () => {
    const { world, product } = await setUp()
    const start = value(await product.changes?.(null, call))
    moveStock(world, 'A00007', '01', { inStock: '5' })
    const next = value(await product.changes?.(start.checkpoint, call))
    expect(next.records.map((record) => record.key)).not.toContain('A00007')
  })
})

describe('sessions', () => {
  test('one login serves all, and health tells version and company', async () => {
    const { adapter, customer, called } = await setUp({ config: { maxSessions: 1 } })
    expect(value(await adapter.health(call)).detail).toBe('SAP Business One 10.00.290, company SBODEMO_CN')
    await Promise.all(Array.from({ length: 8 }, () => customer.readMany(['C20001'], call)))
    expect(called(/Login/)).toHaveLength(1)
  })

  test('an expired session is replaced by one login, however many requests notice', async () => {
    const { order, called } = await setUp({
      simulator: { sessionTimeoutMs: 80, loginDelayMs: 30 },
      config: { maxSessions: 1 },
    })
    expect(value((await order.readMany(['1'], call))[0])?.key).toBe('1')
    await delay(120)
    const read = await Promise.all(Array.from({ length: 6 }, () => order.readMany(['1'], call)))
    expect(read.map(([one]) => value(one)?.key)).toEqual(['1', '1', '1', '1', '1', '1'])
    expect(called(/Login/)).toHaveLength(2)
  })

  test('activity keeps a session', async () => {
    const { order, called } = await setUp({ simulator: { sessionTimeoutMs: 250 } })
    for (let n = 0; n < 5; n++) {
      await order.readMany(['1'], call)
      await delay(100)
    }
    expect(called(/Login/)).toHaveLength(1)
  })

  test('a write in an expired session is sent again: it was refused unread', async () => {
    const { world, order } = await setUp({ simulator: { sessionTimeoutMs: 60 }, config: { maxSessions: 1 } })
    await order.readMany(['1'], call)
    await delay(90)
    expect(value(await order.create?.send(newOrder, write, call)).key).toBe('13')
    expect(world.count('erpOrders')).toBe(13)
  })

  test('never more sessions than configured: what exceeds them waits in line', async () => {
    const { simulator, order, called } = await setUp({
      simulator: { maxSessions: 2 },
      config: { maxSessions: 2 },
    })
    simulator.setFaults([{ kind: 'delay', ms: 30, match: 'Orders' }])
    const read = await Promise.all(
      Array.from({ length: 10 }, (_, index) => order.readMany([String(index + 1)], call)),
    )
    expect(read.map(([one]) => value(one)?.key)).toEqual(Array.from({ length: 10 }, (_, i) => String(i + 1)))
    expect(called(/Login/).length).toBeLessThanOrEqual(2)
  })

  test('whoever waits in line too long is told so', async () => {
    const { simulator, order } = await setUp({ config: { maxSessions: 1, batchRequests: 1 }, timeoutMs: 500 })
    await order.readMany(['1'], call)
    simulator.setFaults([{ kind: 'delay', ms: 200, match: 'Orders' }])
    const read = await Promise.all(Array.from({ length: 5 }, () => order.readMany(['1'], call)))
    expect(read.map(([one]) => one?.ok)).toEqual([true, true, true, false, false])
    expect(failure(read[4]?.[0])).toMatchObject({ kind: 'unavailable', reason: 'overloaded' })
  })

  test('a write that never got a session was not sent', async () => {
    const { world, simulator, order } = await setUp({ timeoutMs: 100 })
    simulator.setFaults([{ kind: 'hang', match: 'Login' }])
    expect(failure(await order.create?.send(newOrder, write, call))).toMatchObject({
      kind: 'unavailable',
      reason: 'timeout',
    })
    expect(world.count('erpOrders')).toBe(12)
  })

  test('a wrong password is tried once, and is in no message', async () => {
    const { open, called } = await setUp()
    const wrong = 'Wr0ng-密码'
    const { order, adapter } = open({ password: wrong })
    const read = await Promise.all(Array.from({ length: 5 }, () => order.readMany(['1', '2'], call)))
    for (const [one] of read) expect(failure(one).kind).toBe('unauthorized')
    expect(failure(await adapter.health(call)).kind).toBe('unauthorized')
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unauthorized')
    expect(called(/Login/)).toHaveLength(1)
    expect(JSON.stringify(read)).not.toContain(wrong)
    expect(JSON.stringify(order.create?.preview(newOrder, write))).not.toContain(PASSWORD)
  })

  test('an address where there is no Service Layer is not taken for a wrong password', async () => {
    const { adapter, simulator } = await setUp()
    simulator.setFaults([{ kind: 'status', status: 404, body: '<html>Not Found</html>', match: 'Login' }])
    const { kind, detail } = failure(await adapter.health(call)) as { kind: string; detail: string }
    expect(kind).toBe('unavailable')
    expect(detail).toContain('baseUrl')
  })

  test('a lack of rights does not cost a session', async () => {
    const { order, simulator, called } = await setUp()
    const body = '{"error":{"code":"-5006","message":"You are not permitted to perform this action"}}'
    simulator.setFaults([{ kind: 'status', status: 401, body, match: 'Orders' }])
    expect(failure((await order.readMany(['1'], call))[0]).kind).toBe('unauthorized')
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unauthorized')
    simulator.setFaults([])
    expect(value((await order.readMany(['1'], call))[0])?.key).toBe('1')
    expect(called(/Login/)).toHaveLength(1)
  })

  test('a system that ends every session at once is not asked for ever', async () => {
    const { order, simulator, called } = await setUp({ simulator: { maxSessions: 50 } })
    await Promise.all([order.readMany(['1'], call), order.readMany(['2'], call)])
    const body = '{"error":{"code":301,"message":{"lang":"en-us","value":"Invalid session"}}}'
    simulator.setFaults([{ kind: 'status', status: 401, body, match: 'Orders|batch' }])
    const read = await Promise.all(Array.from({ length: 4 }, () => order.readMany(['1'], call)))
    for (const [one] of read) expect(failure(one).kind).toBe('unauthorized')
    expect(called(/Login/).length).toBeLessThanOrEqual(6)
  })

  test('where no licence is left the system is overloaded', async () => {
    const { open, order } = await setUp({ simulator: { maxSessions: 1 }, config: { maxSessions: 1 } })
    await order.readMany(['1'], call)
    const [late] = await open().order.readMany(['1'], call)
    expect(failure(late)).toMatchObject({ kind: 'unavailable', reason: 'overloaded' })
  })

  test('with fewer licences than configured, requests wait for the sessions that there are', async () => {
    const { order, simulator } = await setUp({ simulator: { maxSessions: 1 }, config: { maxSessions: 2 } })
    simulator.setFaults([{ kind: 'delay', ms: 20, match: 'Orders' }])
    const read = await Promise.all(Array.from({ length: 6 }, () => order.readMany(['1'], call)))
    expect(read.map(([one]) => value(one)?.key)).toEqual(['1', '1', '1', '1', '1', '1'])
  })

  test('a login outlives the request that needed it', async () => {
    const { order, called } = await setUp({ simulator: { loginDelayMs: 250 }, timeoutMs: 100 })
    expect(failure((await order.readMany(['1'], call))[0])).toMatchObject({
      kind: 'unavailable',
      reason: 'timeout',
    })
    await delay(250)
    expect(value((await order.readMany(['1'], call))[0])?.key).toBe('1')
    expect(called(/Login/)).toHaveLength(1)
  })

  test('closing logs out, also what is still busy, and frees the licence', async () => {
    const { adapter, order, open, called, simulator } = await setUp({ simulator: { maxSessions: 1 } })
    await order.readMany(['1'], call)
    await order.readMany(['1'], call)
    simulator.setFaults([{ kind: 'delay', ms: 50, match: 'Orders' }])
    const busy = order.readMany(['3'], call)
    await delay(10)
    await adapter.close()
    expect(value((await busy)[0])?.key).toBe('3')
    expect(called(/Logout/)).toHaveLength(1)
    expect(failure((await order.readMany(['1'], call))[0])).toMatchObject({ kind: 'unavailable' })
    expect(value((await open().order.readMany(['1'], call))[0])?.key).toBe('1')
  })

  test('a caller that leaves frees its place', async () => {
    const { order, simulator } = await setUp({ config: { maxSessions: 1, batchRequests: 1 } })
    await order.readMany(['1'], call)
    simulator.setFaults([{ kind: 'hang', match: 'Orders', times: 1 }])
    const leaving = new AbortController()
    const hanging = order.readMany(['1'], { ...call, signal: leaving.signal })
    const waiting = order.readMany(['2'], { ...call, signal: leaving.signal })
    const staying = order.readMany(['3'], call)
    await delay(30)
    leaving.abort()
    expect(failure((await hanging)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
    expect(failure((await waiting)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
    expect(value((await staying)[0])?.key).toBe('3')
  })
})

describe('sessions of a gateway that was killed', () => {
  /** As many processes as wanted at one store; those in `dead` have been killed, and log nobody out. */
  async function setUpProcesses(setup: Setup = {}) {
    const place = sqlitePlace()
    const store = await place.open()
    closers.push(async () => {
      await store.close()
      await place[Symbol.asyncDispose]()
    })
    const dead = new Set<string>()
    const isAlive = async (owner: string) => !dead.has(owner)
    const it = await setUp({ ...setup, config: { batchRequests: 1, ...setup.config } })
    // Long enough for a second session to be wanted.
    it.simulator.setFaults([{ kind: 'delay', ms: 30, match: 'Orders' }])
    const process = (owner: string, config: object = {}) =>
      it.open(config, createHoldings(store, { owner, isAlive }, 'erp'))
    const held = () => store.read.selectFrom('holding').selectAll().orderBy('owner').execute()
    return { ...it, dead, process, held }
  }
  const two = ({ order }: ReturnType<Awaited<ReturnType<typeof setUp>>['open']>) =>
    Promise.all([order.readMany(['1'], call), order.readMany(['2'], call)])

  test('are gone on with by the next one: killed three times, it still has its licences', async () => {
    const { process, dead, held, called } = await setUpProcesses({ simulator: { maxSessions: 2 } })
    for (let life = 0; life < 4; life++) {
      const [one, other] = await two(process(`life-${life}`))
      expect([value(one?.[0])?.key, value(other?.[0])?.key]).toEqual(['1', '2'])
      await vi.waitFor(async () => expect(await held()).toHaveLength(2))
      dead.add(`life-${life}`)
    }
    expect(called(/Login/)).toHaveLength(2)
    expect(called(/Logout/)).toEqual([])
  })

  test('stand in the store so that only the password opens them, and for the same company', async () => {
    const { process, dead, held, called } = await setUpProcesses({ config: { maxSessions: 1 } })
    await process('one').order.readMany(['1'], call)
    await vi.waitFor(async () => expect(await held()).toHaveLength(1))
    const [row] = await held()
    for (const part of [JSON.stringify(row), ...(row?.sealed.split('.') ?? [])]) {
      expect(`${part} ${Buffer.from(part, 'base64url').toString('latin1')}`).not.toMatch(/B1SESSION|ROUTEID/)
    }
    dead.add('one')
    // Not opened, so it logs in, and the vendor refuses that.
    const [read] = await process('other', { password: 'another' }).order.readMany(['1'], call)
    expect(failure(read).kind).toBe('unauthorized')
    expect(await held()).toEqual([])
    await process('third').order.readMany(['1'], call)
    await vi.waitFor(async () => expect(await held()).toHaveLength(1))
    dead.add('third')
    const [elsewhere] = await process('fourth', { companyDb: 'SBODEMO_DE' }).order.readMany(['1'], call)
    expect(failure(elsewhere).kind).toBe('unauthorized')
    expect(called(/Login/)).toHaveLength(4)
  })

  test('are left to those that live, and given up when they have ended', async () => {
    const { process, dead, held, called } = await setUpProcesses({
      simulator: { sessionTimeoutMs: 200 },
      config: { maxSessions: 1 },
    })
    await process('one').order.readMany(['1'], call)
    await process('other').order.readMany(['1'], call)
    expect(called(/Login/)).toHaveLength(2)
    await vi.waitFor(async () => expect((await held()).map(({ owner }) => owner)).toEqual(['one', 'other']))
    dead.add('one')
    await delay(220)
    const third = process('third')
    expect(value((await third.order.readMany(['1'], call))[0])?.key).toBe('1')
    expect(called(/Login/)).toHaveLength(3)
    await vi.waitFor(async () => expect((await held()).map(({ owner }) => owner)).toEqual(['other', 'third']))
    await third.adapter.close()
    expect((await held()).map(({ owner }) => owner)).toEqual(['other'])
  })

  test('are logged out where there are more of them than one gateway may have', async () => {
    const { process, dead, held, called } = await setUpProcesses({ simulator: { maxSessions: 4 } })
    await Promise.all([two(process('one')), two(process('other'))])
    await vi.waitFor(async () => expect(await held()).toHaveLength(4))
    dead.add('one').add('other')
    await process('third').order.readMany(['1'], call)
    await vi.waitFor(async () => expect(await held()).toHaveLength(2))
    expect(called(/Logout/)).toHaveLength(2)
    expect(called(/Login/)).toHaveLength(4)
  })
})

describe('bad days', () => {
  test.each([
    ['refuse', { kind: 'unavailable', reason: 'unreachable' }],
    ['hang', { kind: 'unavailable', reason: 'timeout' }],
    ['drop-before', { kind: 'unavailable', reason: 'unreachable' }],
    ['truncate', { kind: 'unavailable', reason: 'unreachable' }],
    ['html', { kind: 'invalid-response' }],
  ] as const)('a read that meets "%s"', async (kind, expected) => {
    const { order, simulator } = await setUp({ timeoutMs: 200 })
    await order.readMany(['1'], call)
    simulator.setFaults([{ kind, match: 'Orders' }])
    const read = await order.readMany(['1', '2'], call)
    for (const one of read) expect(failure(one)).toMatchObject(expected)
    const looked = await order.lookups?.byCustomer?.read(['C20001'], call)
    expect(failure(looked?.[0])).toMatchObject(expected)
    expect(failure(await order.list?.({ first: 1 }, call))).toMatchObject(expected)
    expect(failure(await order.changes?.(null, call))).toMatchObject(expected)
    simulator.setFaults([])
    expect(value((await order.readMany(['1'], call))[0])?.key).toBe('1')
  })

  test('a system that is not there is unreachable, for writes too', async () => {
    const { order, simulator, adapter } = await setUp()
    await simulator.close()
    const unreachable = { kind: 'unavailable', reason: 'unreachable' }
    expect(failure(await adapter.health(call))).toMatchObject(unreachable)
    expect(failure((await order.readMany(['1'], call))[0])).toMatchObject(unreachable)
    expect(failure(await order.create?.send(newOrder, write, call))).toMatchObject(unreachable)
  })

  test('an overloaded system says when to come back', async () => {
    const { order, simulator } = await setUp()
    simulator.setFaults([{ kind: 'status', status: 503, headers: { 'retry-after': '7' }, match: 'Orders' }])
    expect(failure((await order.readMany(['1'], call))[0])).toMatchObject({
      kind: 'unavailable',
      reason: 'overloaded',
      retryAfterMs: 7000,
    })
  })

  test('a sick node is left for another, and its session logged out', async () => {
    const { order, simulator, called } = await setUp({ config: { maxSessions: 1 } })
    await order.readMany(['1'], call)
    simulator.setFaults([
      {
        kind: 'status',
        status: 500,
        body: '{"error":{"code":407,"message":{"lang":"en-us","value":"Table definition not found"}}}',
        match: 'Orders',
        times: 1,
      },
    ])
    expect(value((await order.readMany(['1'], call))[0])?.key).toBe('1')
    expect(called(/Login/)).toHaveLength(2)
    await vi.waitFor(() => expect(called(/Logout/)).toHaveLength(1))
  })

  test('a missing user-defined field is named', async () => {
    const { order } = await setUp({ simulator: { userFields: [] } })
    expect(failure((await order.readMany(['1'], call))[0])).toMatchObject({
      kind: 'rejected',
      code: '-1000',
      message: expect.stringContaining('U_TributaryRef'),
    })
  })
})

describe('creating an order', () => {
  test('sends what was asked for, exactly, with the reference, and reads the answer', async () => {
    const { world, open } = await setUp()
    const { order } = open({ onBehalfOfField: 'U_TributaryUser' })
    const input: OrderCreate = {
      ...newOrder,
      orderDate: '2026-07-20',
      customerReference: "采购 'A' 🧾",
      comments: '',
      lines: [
        { product: 'A00003', quantity: '2.5', unitPrice: '356.5000', warehouse: '02', discountPercent: '10' },
        { product: 'A00001', quantity: '3' },
      ],
    }
    const result = value(await order.create?.send(input, write, call))
    expect(result).toMatchObject({
      key: '13',
      reached: 'effective',
      record: {
        number: '1039',
        customer: 'C20001',
        externalReference: write.externalReference,
        customerReference: "采购 'A' 🧾",
        orderDate: '2026-07-20',
        dueDate: '2026-08-01',
        comments: null,
        status: 'CONFIRMED',
      },
    })
    const stored = orderIn(world, 13)
    expect(stored.userFields).toEqual({
      U_TributaryRef: write.externalReference,
      U_TributaryUser: 'wang.fang',
    })
    expect(stored.lines.map((line) => [line.item, line.quantity, line.unitPrice, line.price])).toEqual([
      ['A00003', '2.5', '356.5000', '320.8500'],
      ['A00001', '3', '12.8000', '12.8000'],
    ])
    expect(order.create?.preview(input, write)).toMatchObject({
      method: 'POST',
      path: '/b1s/v2/Orders',
      body: expect.stringContaining('"UnitPrice":"356.5000"'),
    })
  })

  test.each([
    [{ customer: 'nobody' }, { code: '-5002', field: 'CardCode' }],
    [
      {
        lines: [
          { product: 'A00001', quantity: '1' },
          { product: 'ZZ', quantity: '1' },
        ],
      },
      { code: '-5002', field: 'ItemCode', line: '2' },
    ],
    [{ lines: [{ product: 'A00001', quantity: '-1' }] }, { code: '-10', field: 'Quantity', line: '1' }],
    [{ lines: [{ product: 'A00001', quantity: '1', warehouse: 'X' }] }, { code: '-10', line: '1' }],
    [{ currency: 'GBP' }, { code: '-10', field: 'DocCur' }],
  ] as const)("the vendor's no to %j is told with line and field", async (change, expected) => {
    const { world, order } = await setUp()
    const refused = failure(await order.create?.send({ ...newOrder, ...change }, write, call))
    expect(refused).toMatchObject({ kind: 'rejected', ...expected })
    expect(world.count('erpOrders')).toBe(12)
  })

  test('a frozen customer is refused', async () => {
    const { world, order } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, frozen: true })
    expect(failure(await order.create?.send(newOrder, write, call))).toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('inactive'),
    })
  })

  test.each(['drop-after', 'truncate', 'html', 'hang', 'drop-before'] as const)(
    'an answer lost by "%s" is unknown, and a look tells',
    async (kind) => {
      const { world, order, simulator } = await setUp({ timeoutMs: 300 })
      await order.readMany(['1'], call)
      simulator.setFaults([{ kind, match: 'POST .*/Orders', times: 1 }])
      expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unknown-outcome')
      const verdict = value(await order.create?.verify(newOrder, write, call))
      const arrived = kind === 'drop-after' || kind === 'truncate'
      expect(world.count('erpOrders')).toBe(arrived ? 13 : 12)
      if (arrived) {
        expect(verdict).toMatchObject({
          effect: 'done',
          result: { key: '13', record: { externalReference: write.externalReference } },
        })
      } else {
        expect(verdict).toMatchObject({
          effect: 'none',
          proven: false,
          evidence: expect.stringContaining(write.externalReference),
        })
      }
      simulator.setFaults([{ kind: 'refuse' }])
      expect(failure(await order.create?.verify(newOrder, write, call)).kind).toBe('unavailable')
    },
  )

  test("a vendor's own error 500 leaves the outcome open", async () => {
    const { order, simulator } = await setUp()
    simulator.setFaults([{ kind: 'status', status: 500, afterwards: true, match: 'POST .*/Orders' }])
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    simulator.setFaults([])
    expect(value(await order.create?.verify(newOrder, write, call))).toMatchObject({ effect: 'done' })
  })

  test('NumAtCard can hold the reference, and then nothing else', async () => {
    const { world, open } = await setUp()
    const { order } = open({ externalReferenceField: 'NumAtCard' })
    const result = value(await order.create?.send(newOrder, write, call))
    expect(orderIn(world, 13).numAtCard).toBe(write.externalReference)
    expect(result.record).toMatchObject({
      externalReference: write.externalReference,
      customerReference: null,
    })
    expect(value(await order.create?.verify(newOrder, write, call))).toMatchObject({ effect: 'done' })
    expect(value(await order.create?.verify({ ...newOrder, customer: 'C20003' }, write, call))).toMatchObject(
      { effect: 'none' },
    )
    const both = { ...newOrder, customerReference: 'PO-1' }
    expect(failure(await order.create?.send(both, write, call)).kind).toBe('unsupported')
    expect(world.count('erpOrders')).toBe(13)
    // Numbers of the customer's own are not taken for ours.
    expect(value((await order.readMany(['5'], call))[0])).toMatchObject({
      customerReference: 'NL/4712',
      externalReference: null,
    })
  })

  test('an approval procedure makes a draft of it: awaited, then found, or refused', async () => {
    const { order, simulator, world } = await setUp({ simulator: { approvalAbove: '500' } })
    const awaited = { kind: 'awaiting-approval', vendorReference: '900' }
    expect(failure(await order.create?.send(newOrder, write, call))).toMatchObject(awaited)
    expect(failure(await order.create?.verify(newOrder, write, call))).toMatchObject(awaited)
    expect(world.count('erpOrders')).toBe(12)
    simulator.decide(900, 'approve')
    expect(value(await order.create?.verify(newOrder, write, call))).toMatchObject({
      effect: 'done',
      result: { key: '13' },
    })
    const other = { ...write, externalReference: 'f'.repeat(32) }
    expect(failure(await order.create?.send(newOrder, other, call))).toMatchObject({ vendorReference: '901' })
    simulator.decide(901, 'reject')
    expect(failure(await order.create?.verify(newOrder, other, call))).toMatchObject({
      kind: 'rejected',
      code: 'dasRejected',
    })
    const small = { ...newOrder, lines: [{ product: 'A00001', quantity: '1' }] }
    expect(
      value(await order.create?.send(small, { ...write, externalReference: 'e'.repeat(32) }, call)).key,
    ).toBe('14')
  })

  test('a draft that cannot be looked for leaves the outcome open', async () => {
    const { order, simulator } = await setUp({ simulator: { approvalAbove: '500' } })
    simulator.setFaults([{ kind: 'refuse', match: 'Drafts' }])
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unknown-outcome')
  })
})

describe('changing an order', () => {
  test('changes what is asked for and leaves the rest', async () => {
    const { world, order } = await setUp()
    const input = { key: '5', changes: { dueDate: '2026-09-01', comments: '加急 🚚' } }
    const result = value(await order.update?.send(input, write, call))
    expect(result.record).toMatchObject({
      dueDate: '2026-09-01',
      comments: '加急 🚚',
      customerReference: 'NL/4712',
    })
    expect(orderIn(world, 5).lines).toHaveLength(2)
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({ effect: 'done' })
    const other = { key: '5', changes: { comments: 'never written' } }
    expect(value(await order.update?.verify(other, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
      evidence: expect.stringContaining('Comments'),
    })
  })

  test('an expected version guards against a change in between', async () => {
    const { world, order, called } = await setUp()
    const before = value((await order.readMany(['5'], call))[0])
    const input = { key: '5', expectedVersion: before?.version ?? '', changes: { comments: '一' } }
    const result = value(await order.update?.send(input, write, call))
    expect(called(/GET \/b1s\/v2\/Orders\(5\)$/)).toHaveLength(1)
    expect(failure(await order.update?.send(input, write, call))).toEqual({
      kind: 'conflict',
      message: 'Order 1015 has been changed since it was read.',
      currentVersion: result.record?.version,
    })
    expect(orderIn(world, 5).comments).toBe('一')
  })

  test('a change between look and write is stopped by the ETag', async () => {
    const { world, order, simulator } = await setUp()
    const before = value((await order.readMany(['5'], call))[0])
    simulator.setFaults([{ kind: 'delay', ms: 150, match: 'PATCH' }])
    const sent = order.update?.send(
      { key: '5', expectedVersion: before?.version ?? '', changes: { comments: '晚' } },
      write,
      call,
    )
    await delay(75)
    changeOrder(world, orderIn(world, 5), { comments: '早' })
    expect(failure(await sent)).toMatchObject({ kind: 'conflict', message: expect.stringContaining('-2039') })
    expect(orderIn(world, 5).comments).toBe('早')
  })

  test('an order that is not there is not found', async () => {
    const { order } = await setUp()
    for (const key of ['999', 'abc']) {
      const input = { key, changes: { comments: 'x' } }
      expect(failure(await order.update?.send(input, write, call)).kind).toBe('not-found')
      expect(failure(await order.actions?.cancel?.send({ key }, write, call)).kind).toBe('not-found')
      const expecting = { ...input, expectedVersion: 'v' }
      expect(failure(await order.update?.send(expecting, write, call)).kind).toBe('not-found')
      expect(value(await order.update?.verify(input, write, call))).toMatchObject({ proven: true })
    }
  })

  test.each(['drop-after', 'html', 'hang'] as const)(
    'an answer lost by "%s" is unknown, and a look tells',
    async (kind) => {
      const { order, simulator } = await setUp({ timeoutMs: 200 })
      await order.readMany(['1'], call)
      simulator.setFaults([{ kind, match: 'PATCH', times: 1 }])
      const input = { key: '5', changes: { customerReference: 'PO 9' } }
      expect(failure(await order.update?.send(input, write, call)).kind).toBe('unknown-outcome')
      expect(value(await order.update?.verify(input, write, call)).effect).toBe(
        kind === 'drop-after' ? 'done' : 'none',
      )
    },
  )

  test('cancelling frees the stock, and is refused once the order is closed or delivered in part', async () => {
    const { world, order } = await setUp()
    const cancel = order.actions?.cancel
    expect(value(await cancel?.verify({ key: '3' }, write, call)).effect).toBe('none')
    expect(value(await cancel?.send({ key: '3' }, write, call)).record?.status).toBe('CANCELLED')
    expect(world.get('erpStock', 'A00003@02')?.committed).toBe('0')
    expect(value(await cancel?.verify({ key: '3' }, write, call)).effect).toBe('done')
    for (const key of ['3', '1', '2']) {
      expect(failure(await cancel?.send({ key }, write, call))).toMatchObject({
        kind: 'rejected',
        code: '-5002',
      })
    }
    expect(failure(await cancel?.send({ key: '5', expectedVersion: 'old' }, write, call)).kind).toBe(
      'conflict',
    )
    expect(orderIn(world, 5).cancelled).toBe(false)
  })
})

interface RawBody {
  readonly value: readonly { readonly DocEntry: number }[]
  readonly [name: string]: unknown
}

describe('the simulator is as strict as the vendor', () => {
  async function raw(options: SapB1SimulatorOptions = {}) {
    const { simulator } = await setUp({ world: { orders: 45 }, simulator: options })
    const login = await fetch(`${simulator.url}/b1s/v2/Login`, {
      method: 'POST',
      body: JSON.stringify({ CompanyDB: 'SBODEMO_CN', UserName: 'manager', Password: PASSWORD }),
    })
    const cookies = login.headers.getSetCookie()
    const cookie = cookies.map((one) => one.split(';')[0]).join('; ')
    const get = async (path: string, headers: Record<string, string> = {}) => {
      const response = await fetch(`${simulator.url}/b1s/v2/${path}`, { headers: { cookie, ...headers } })
      return {
        status: response.status,
        etag: response.headers.get('etag'),
        body: (await response.json()) as RawBody,
      }
    }
    return {
      url: simulator.url,
      login: (await login.json()) as { SessionId: string; SessionTimeout: number },
      cookies,
      get,
    }
  }

  test('cookies come without a path and with a trailing semicolon, and both are needed', async () => {
    const { url, cookies, login, get } = await raw()
    expect(login.SessionTimeout).toBe(30)
    expect(cookies).toEqual([`B1SESSION=${login.SessionId};HttpOnly;`, 'ROUTEID=.node1; path=/'])
    expect(await get('Warehouses', { cookie: `B1SESSION=${login.SessionId}` })).toMatchObject({
      status: 401,
      body: { error: { code: 301, message: { value: 'Invalid session or session already timeout.' } } },
    })
    expect((await fetch(`${url}/ping/`)).status).toBe(200)
  })

  test('a page has 20 rows, and the next link forgets what was asked for', async () => {
    const { get } = await raw()
    const { body } = await get('Orders?$select=DocEntry&$filter=DocEntry gt 2&$orderby=DocEntry&$count=true')
    expect(body.value).toHaveLength(20)
    expect(body['@odata.count']).toBe(43)
    expect(body['@odata.nextLink']).toBe('Orders?$skip=20')
    const cut = await get('Orders?$select=DocEntry&$top=30')
    expect(cut.body.value).toHaveLength(20)
    const preferred = await get('Orders?$select=DocEntry&$top=30', { prefer: 'odata.maxpagesize=40' })
    expect(preferred.body.value).toHaveLength(30)
    expect(preferred.body['@odata.nextLink']).toBeUndefined()
  })

  test('filters are parsed: precedence, negation, functions, doubled quotes', async () => {
    const { get } = await raw()
    const keys = async (filter: string) =>
      (
        await get(`Orders?$select=DocEntry&$orderby=DocEntry desc&$filter=${encodeURIComponent(filter)}`)
      ).body.value.map((row) => row.DocEntry)
    expect(await keys('DocEntry eq 1 or DocEntry eq 2 and DocEntry eq 3')).toEqual([1])
    expect(await keys('(DocEntry eq 1 or DocEntry eq 2) and not (DocEntry eq 1)')).toEqual([2])
    expect(await keys("startswith(NumAtCard,'CG-2026') and endswith(NumAtCard,'08')")).toEqual([2])
    expect(await keys("contains(Comments,'🧾')")).toEqual([8])
    expect(await keys("NumAtCard eq 'O''Neill' or DocDate eq '2026-05-11'")).toEqual([1])
    expect(
      await keys("CardCode eq 'C20001' and UpdateDate eq '2026-05-21' and UpdateTime ge '17:00:00'"),
    ).toEqual([1])
  })

  test.each([
    'Orders?$select=Unknown',
    "Orders?$filter=Unknown eq '1'",
    'Orders?$filter=DocEntry in (1,2)',
    "Orders?$filter=DocEntry eq 'x'",
    'Orders?$filter=DocEntry eq 1 or',
    "Orders?$filter=CardCode eq 'x",
    'Orders?$orderby=DocumentLines',
    'Orders?$expand=BusinessPartner',
    'Orders?$top=-1',
  ])('%s is refused', async (path) => {
    const { get } = await raw()
    expect(await get(path)).toMatchObject({ status: 400, body: { error: { code: -1000 } } })
  })

  test('only a whole read has a useful ETag; a missing key has the newer form of errors', async () => {
    const { get } = await raw()
    const whole = await get('Orders(1)')
    expect(whole.etag).toMatch(/^W\/"[0-9A-F]{40}"$/)
    expect(whole.body['@odata.etag']).toBe(whole.etag)
    const chosen = await get('Orders(1)?$select=DocEntry')
    expect(chosen.etag).toBeNull()
    expect(chosen.body['@odata.etag']).toBe('W/"356A192B7913B04C54574D18C28D46E6395428AB"')
    expect(await get('Orders(999)')).toMatchObject({
      status: 404,
      body: { error: { code: '-2028', message: 'No matching records found (ODBC -2028)' } },
    })
  })
})

describe('creating customers', () => {
  const input = {
    name: '新客户 🏭 有限公司',
    taxNumber: '91310001MANEW00001',
    phone: '+86 21 5555',
    email: 'buy@new.example',
    contacts: [{ name: '赵敏', title: '采购', email: 'zm@new.example' }],
  }

  test('a series gives the code; what was given comes back as it went in', async () => {
    const { world, open } = await setUp()
    const { customer } = open({ partners: { series: 71 } })
    const made = value(await customer.create?.send(input, write, call))
    expect(made).toMatchObject({
      key: 'C30011',
      record: {
        name: input.name,
        taxNumber: input.taxNumber,
        phone: input.phone,
        email: input.email,
        contacts: [{ name: '赵敏', title: '采购', phone: null, email: 'zm@new.example' }],
      },
    })
    expect(world.get('erpAccounts', 'C30011')).toMatchObject({
      currency: '##',
      userFields: { U_TributaryRef: write.externalReference },
    })
    expect(JSON.parse(customer.create?.preview(input, write).body ?? '')).toMatchObject({
      CardType: 'cCustomer',
      Series: 71,
    })
  })

  test('without a series the code comes with the input, and a code is taken only once', async () => {
    const { world, customer, called } = await setUp()
    const before = world.count('erpAccounts')
    expect(failure(await customer.create?.send(input, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('partners.series'),
    })
    expect(called(/POST .*BusinessPartners/)).toHaveLength(0)
    expect(value(await customer.create?.send({ ...input, code: 'C-NEW' }, write, call)).key).toBe('C-NEW')
    // Once more, as after a lost answer: the same customer, found by our reference.
    expect(value(await customer.create?.send({ ...input, code: 'C-NEW' }, write, call)).key).toBe('C-NEW')
    expect(world.count('erpAccounts')).toBe(before + 1)
    const other = { ...write, externalReference: 'f'.repeat(32) }
    expect(failure(await customer.create?.send({ ...input, code: 'C20001' }, other, call))).toMatchObject({
      kind: 'rejected',
      code: '-2035',
    })
  })

  test.each(['drop-after', 'truncate'] as const)(
    'a lost answer (%s) is found by the reference',
    async (kind) => {
      const { simulator, open } = await setUp()
      const { customer } = open({ partners: { series: 71 } })
      simulator.setFaults([{ kind, match: 'POST .*BusinessPartners' }])
      expect(failure(await customer.create?.send(input, write, call)).kind).toBe('unknown-outcome')
      simulator.setFaults([])
      expect(value(await customer.create?.verify(input, write, call))).toMatchObject({
        effect: 'done',
        result: { key: 'C30011', record: { name: input.name } },
      })
    },
  )

  test('nobody with the reference proves something only where the code is unique', async () => {
    const { open, customer } = await setUp()
    expect(value(await customer.create?.verify({ ...input, code: 'C-NEW' }, write, call))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    const numbered = open({ partners: { series: 71 } }).customer
    expect(value(await numbered.create?.verify(input, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
    })
  })

  test('what the vendor has no place for or refuses is said', async () => {
    const { open } = await setUp()
    const { customer } = open({ partners: { series: 71 } })
    expect(failure(await customer.create?.send({ ...input, level: 'VIP' }, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('level'),
    })
    const long = { ...input, name: '长'.repeat(101) }
    expect(failure(await customer.create?.send(long, write, call))).toMatchObject({
      kind: 'rejected',
      code: '-1013',
      field: 'CardName',
    })
    const nowhere = open({ partners: { series: 9 } }).customer
    expect(failure(await nowhere.create?.send(input, write, call))).toMatchObject({ field: 'Series' })
  })
})

describe('writing customers', () => {
  const changes = { name: '上海晨光 🏭', phone: '+86 21 1', email: '' }

  test('changes the fields of the business partner, and nothing else', async () => {
    const { world, customer } = await setUp()
    const sent = value(await customer.update?.send({ key: 'C20001', changes }, write, call))
    expect(sent).toMatchObject({
      key: 'C20001',
      record: { name: '上海晨光 🏭', phone: '+86 21 1', email: null },
    })
    expect(world.get('erpAccounts', 'C20001')).toMatchObject({
      name: '上海晨光 🏭',
      email: '',
      taxNumber: '91310001MA1K007919',
    })
    expect(value(await customer.update?.verify({ key: 'C20001', changes }, write, call))).toMatchObject({
      effect: 'done',
    })
  })

  test('a customer that somebody else has changed since is a conflict', async () => {
    const { world, customer } = await setUp()
    const before = value((await customer.readMany(['C20001'], call))[0])
    const account = world.get('erpAccounts', 'C20001')
    if (!account || !before?.version) throw new Error('seed')
    world.put('erpAccounts', { ...account, phone: '2', updatedAt: '2026-07-01T00:00:00.000Z' })
    const input = { key: 'C20001', changes, expectedVersion: before.version }
    expect(failure(await customer.update?.send(input, write, call))).toEqual({
      kind: 'conflict',
      message: 'Customer C20001 has been changed since it was read.',
      currentVersion: '2026-07-01T08:00:00',
    })
    const after = { ...input, expectedVersion: '2026-07-01T08:00:00' }
    expect(value(await customer.update?.send(after, write, call)).record?.phone).toBe('+86 21 1')
  })

  test('a change between the comparison and the write is refused by the vendor', async () => {
    const { world, customer, simulator } = await setUp()
    const before = value((await customer.readMany(['C20001'], call))[0])
    const account = world.get('erpAccounts', 'C20001')
    if (!account || !before?.version) throw new Error('seed')
    simulator.setFaults([{ match: 'PATCH', kind: 'delay', ms: 150, times: 1 }])
    const input = { key: 'C20001', changes, expectedVersion: before.version }
    const sending = customer.update?.send(input, write, call)
    while (!simulator.calls.some((line) => line.startsWith('PATCH'))) await delay(5)
    world.put('erpAccounts', { ...account, phone: '3' })
    expect(failure(await sending).kind).toBe('conflict')
    expect(world.get('erpAccounts', 'C20001')?.phone).toBe('3')
  })

  test('a lost answer is cleared up by reading; what the vendor has no place for is refused', async () => {
    const { customer, simulator, called } = await setUp()
    simulator.setFaults([{ match: 'PATCH', kind: 'drop-after', times: 1 }])
    const input = { key: 'C20001', changes }
    expect(failure(await customer.update?.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await customer.update?.verify(input, write, call))).toMatchObject({ effect: 'done' })
    const other = { key: 'C20001', changes: { phone: '9' } }
    expect(value(await customer.update?.verify(other, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
    })
    simulator.clearCalls()
    const level = { key: 'C20001', changes: { level: 'VIP' as const } }
    expect(failure(await customer.update?.send(level, write, call)).kind).toBe('unsupported')
    for (const key of ['V10001', "no'body"]) {
      expect(failure(await customer.update?.send({ key, changes }, write, call)).kind).toBe('not-found')
    }
    expect(called(/PATCH/)).toEqual([])
  })
})

test('an order in a locked posting period is told apart, by words or by configured codes', async () => {
  const { order, open, simulator } = await setUp({ simulator: { closedUpTo: '2026-06-30' } })
  const late = { ...newOrder, orderDate: '2026-06-15' }
  expect(failure(await order.create?.send(late, write, call))).toMatchObject({
    kind: 'rejected',
    code: '-5002',
    field: 'DocDate',
    reason: 'period-closed',
  })
  const body = '{"error":{"code":"-4711","message":"nein"}}'
  simulator.setFaults([{ match: 'POST .*/Orders', kind: 'status', status: 400, body }])
  expect(failure(await order.create?.send(newOrder, write, call))).not.toHaveProperty('reason')
  const own = open({ periodClosedCodes: ['-4711'] }).order
  expect(failure(await own.create?.send(newOrder, write, call))).toMatchObject({ reason: 'period-closed' })
})

describe('what the seed asks of records', () => {
  test('a customer tells group, industry, parent and own fields', async () => {
    const { world, open } = await setUp({ simulator: { userFields: ['U_TributaryRef', 'U_Region'] } })
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', {
      ...account,
      group: 101,
      industry: '机械制造',
      parent: 'C20002',
      userFields: { U_Region: '华东' },
    })
    const settings = { customFields: { customer: { region: 'U_Region' } } }
    const [named, plain] = [
      open({ ...settings, levelGroups: { 重点客户: 'VIP' } }),
      open({ ...settings, levelGroups: { '100': 'STANDARD' } }),
    ]
    expect(value((await named.customer.readMany(['C20001'], call))[0])).toMatchObject({
      level: 'VIP',
      vendorLevel: '重点客户',
      industry: '机械制造',
      parent: 'C20002',
      customFields: { region: '华东' },
    })
    expect(value((await plain.customer.readMany(['C20001'], call))[0])?.level).toBe('UNKNOWN')
    expect(value((await plain.customer.readMany(['C20002'], call))[0])?.level).toBe('STANDARD')
  })

  test('a product tells category, price, cost, supplier and the units that it is sold in', async () => {
    const { world, product, open } = await setUp()
    const item = world.get('erpItems', 'A00001')
    if (!item) throw new Error('seed')
    world.put('erpItems', {
      ...item,
      cost: '8.05',
      description: '深沟球轴承',
      supplier: { code: 'V10001', name: '宁波轴承供应商', leadTimeDays: 14 },
      salesUnit: { name: '箱', each: '12' },
    })
    expect(value((await product.readMany(['A00001'], call))[0])).toMatchObject({
      status: 'ACTIVE',
      description: '深沟球轴承',
      category: { key: String(item.group), name: `组 ${item.group}` },
      price: { amount: { amount: '12.8', currency: 'CNY' }, per: '1', taxIncluded: false },
      cost: { amount: '8.05', currency: 'CNY' },
      supplier: { key: 'V10001', leadTimeDays: 14 },
      units: [{ vendorUnit: '箱', numerator: '1', denominator: '12' }],
    })
    // That list has no price for it: the vendor says 0.
    expect(value((await open({ priceList: 2 }).product.readMany(['A00001'], call))[0])?.price).toBeNull()
  })

  test('an order tells its addresses, terms, approval, quotation, files and who entered it', async () => {
    const { world, order } = await setUp()
    // Of the seed: made from quotation QT-2026-031, with an address and terms of its own.
    world.put('erpOrders', { ...orderIn(world, 2), attachments: ['合同.pdf'] })
    const found = value((await order.readMany(['2'], call))[0])
    expect(found).toMatchObject({
      documentType: 'dDocument_Items',
      shipTo: {
        name: '李强',
        address: {
          street: '青浦区华新镇华腾路 1288 号 3 库',
          city: '上海',
          province: '上海市',
          country: 'CN',
        },
      },
      billTo: { address: { street: '浦东新区张江路 88 号', city: '上海' } },
      payment: { method: 'TRANSFER', terms: '月结 30 天' },
      approvalStatus: 'NOT_REQUIRED',
      precededBy: [{ type: 'QUOTATION', number: '2026031' }],
      attachments: [{ name: '合同.pdf' }],
      createdBy: 'manager',
    })
    // 4 × the price of the second product, 13 % tax on it.
    const [line] = found?.lines ?? []
    expect(line?.taxRate).toBe('13')
    expect(Number(line?.net?.amount) + Number(line?.tax?.amount)).toBeCloseTo(Number(line?.gross?.amount), 2)
    expect(Number(line?.tax?.amount)).toBeCloseTo(Number(line?.net?.amount) * 0.13, 2)
    expect(found).not.toHaveProperty('quotations')
    const other = value((await order.readMany(['3'], call))[0])
    expect(other).toMatchObject({ precededBy: [], attachments: [] })
  })

  test('a field that a release does not have is left out, and the rest is read', async () => {
    const { order, customer, called } = await setUp({
      simulator: { unknownFields: ['AddressExtension', 'TrackingNumber', 'FatherCard'] },
    })
    expect(value((await order.readMany(['1'], call))[0])).toMatchObject({
      number: '1003',
      trackingNumbers: [],
    })
    expect(called(/GET .*\/Orders\?/)).toHaveLength(3)
    expect(value((await customer.readMany(['C20001'], call))[0])).toMatchObject({ parent: null })
    await order.readMany(['2'], call)
    expect(called(/GET .*\/Orders\?/)).toHaveLength(4)
  })
})

describe('what the seed asks of writes', () => {
  const OWN = ['U_TributaryRef', 'U_Channel', 'U_Note']
  const settings = {
    customFields: { order: { channel: 'U_Channel' }, orderLine: { note: 'U_Note' } },
  }
  const shipTo = {
    name: '李强',
    address: {
      street: '华腾路 1288 号',
      city: '上海',
      province: '上海市',
      postalCode: '201708',
      country: 'CN',
    },
  }

  test('an order follows from a quotation of its customer, line by line', async () => {
    const quotations = [
      { docEntry: 70, docNum: 5001, cardCode: 'C20001', items: ['A00001', 'A00003', 'A00003'] },
      { docEntry: 71, docNum: 5002, cardCode: 'C20003', items: ['A00003'] },
    ]
    const { order } = await setUp({ simulator: { quotations } })
    const { create } = order
    if (!create) throw new Error('create')
    const precededBy = [{ type: 'QUOTATION' as const, number: '5001' }]
    const [line] = newOrder.lines
    if (!line) throw new Error('lines')
    // The third product is not in it.
    const lines = [line, { product: 'A00002', quantity: '1' }, line]
    const input: OrderCreate = { ...newOrder, precededBy, lines }
    const shown = JSON.parse((await create.previewLater?.(input, write))?.body ?? '').DocumentLines
    const base = { BaseType: 23, BaseEntry: 70 }
    expect(shown).toEqual([
      expect.objectContaining({ ...base, BaseLine: 1 }),
      expect.not.objectContaining({ BaseType: 23 }),
      expect.objectContaining({ ...base, BaseLine: 2 }),
    ])
    const { key } = value(await create.send(input, write, call))
    const [made] = await order.readMany([key], call)
    expect(value(made)).toMatchObject({ precededBy: [{ type: 'QUOTATION', number: '5001' }] })
    // What the first has taken is closed, another's is not there, and a contract is something else.
    const refusals = [
      [precededBy, 'Quotation 5001 has no open line'],
      [[{ type: 'QUOTATION' as const, number: '5002' }], 'Customer C20001 has no quotation 5002'],
      [[{ type: 'QUOTATION' as const, number: 'QT-1' }], '"QT-1" is no number'],
      [[{ type: 'CONTRACT' as const, number: '1' }], 'not from CONTRACT'],
    ] as const
    for (const [references, words] of refusals) {
      const again = { ...newOrder, precededBy: references, lines: [line] }
      expect(failure(await create.send(again, write, call))).toMatchObject({
        message: expect.stringContaining(words),
      })
    }
  })

  test('an order takes address, terms, comments of lines and own fields, and shows them', async () => {
    const { world, open } = await setUp({ simulator: { userFields: OWN } })
    const { order } = open(settings)
    const input: OrderCreate = {
      ...newOrder,
      shipTo,
      paymentTerms: 'Net 60',
      paymentMethod: 'BT',
      customFields: { channel: '展会' },
      lines: [{ product: 'A00003', quantity: '1', comments: '轻放', customFields: { note: 'n1' } }],
    }
    expect(order.create?.takes).toEqual(
      expect.arrayContaining([
        'shipTo',
        'paymentTerms',
        'paymentMethod',
        'lines.comments',
        'lines.customFields',
      ]),
    )
    const sent = await order.create?.previewLater?.(input, write)
    expect(JSON.parse(sent?.body ?? '')).toMatchObject({
      PaymentGroupCode: 3,
      PaymentMethod: 'BT',
      U_Channel: '展会',
      AddressExtension: { ShipToStreet: '华腾路 1288 号', ShipToCounty: '上海市', ShipToAddress2: '李强' },
      DocumentLines: [{ FreeText: '轻放', U_Note: 'n1' }],
    })
    const { key } = value(await order.create?.send(input, write, call))
    expect(orderIn(world, Number(key)).payment).toEqual({ terms: 'Net 60', method: 'BT' })
    expect(value((await order.readMany([key], call))[0])).toMatchObject({
      shipTo,
      payment: { terms: 'Net 60', method: 'BT' },
      customFields: { channel: '展会' },
      lines: [{ comments: '轻放', customFields: { note: 'n1' } }],
    })
  })

  test('a change of address, terms and own fields is sent, and looked for afterwards', async () => {
    const { world, open } = await setUp({ simulator: { userFields: OWN } })
    const { order } = open(settings)
    const input = {
      key: '3',
      changes: { shipTo, paymentTerms: '现结', customerReference: 'PO-9', customFields: { channel: '电话' } },
    }
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({
      effect: 'none',
      evidence: expect.stringMatching(/NumAtCard.*ShipTo street.*channel/),
    })
    expect(value(await order.update?.send(input, write, call)).record).toMatchObject({
      shipTo,
      customerReference: 'PO-9',
      customFields: { channel: '电话' },
    })
    expect(orderIn(world, 3).payment?.terms).toBe('现结')
    expect(value(await order.update?.verify(input, write, call)).effect).toBe('done')
  })

  test.each([
    [{ paymentTerms: 'Net 999' }, 'rejected', 'Net 999'],
    [{ customFields: { nothing: '1' } }, 'unsupported', '"nothing"'],
    [{ shipTo: { ...shipTo, phone: '+86 1' } }, 'unsupported', 'shipToPhoneField'],
  ])(
    'what the company has no place for is refused before anything is sent: %j',
    async (changes, kind, words) => {
      const { open, called } = await setUp({ simulator: { userFields: OWN } })
      const { order } = open(settings)
      expect(failure(await order.update?.send({ key: '3', changes }, write, call))).toMatchObject({
        kind,
        message: expect.stringContaining(words),
      })
      expect(called(/PATCH/)).toEqual([])
    },
  )

  test('contacts and addresses of a customer are replaced, and keep their numbers and names', async () => {
    const { world, open } = await setUp()
    const { customer } = open({ levelGroups: { 重点客户: 'VIP' } })
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    const person = (name: string) => ({ name, title: '采购', phone: '1', email: `${name}@x.example` })
    world.put('erpAccounts', { ...account, contacts: [person('王芳'), person('李雷')] })
    const input = {
      key: 'C20001',
      changes: {
        level: 'VIP' as const,
        industry: '电子',
        paymentTerms: 'Net 60',
        creditLimit: { amount: '5000', currency: 'CNY' },
        contacts: [
          { name: '李雷', title: '经理' },
          { name: '韩梅梅', email: 'hmm@x.example' },
        ],
        addresses: [
          {
            type: 'SHIPPING' as const,
            street: '新路 1 号',
            city: '苏州',
            province: 'JS',
            country: 'CN',
            default: true,
          },
          { type: 'BILLING' as const, street: '新路 2 号', city: '苏州', country: 'CN' },
        ],
      },
    }
    const sent = await customer.update?.previewLater?.(input, write)
    expect(JSON.parse(sent?.body ?? '')).toMatchObject({
      GroupCode: 101,
      Industry: 2,
      PayTermsGrpCode: 3,
      CreditLimit: '5000',
      ContactEmployees: [
        { InternalCode: 2, Name: '李雷', Position: '经理', Phone1: null },
        { Name: '韩梅梅', E_Mail: 'hmm@x.example' },
      ],
      BPAddresses: [
        { AddressName: 'Ship to', AddressType: 'bo_ShipTo', State: 'JS', County: null },
        { AddressName: 'Bill to', AddressType: 'bo_BillTo' },
      ],
      ShipToDefault: 'Ship to',
    })
    expect(value(await customer.update?.verify(input, write, call)).effect).toBe('none')
    expect(value(await customer.update?.send(input, write, call)).record).toMatchObject({
      level: 'VIP',
      industry: '电子',
      contacts: [
        { name: '李雷', title: '经理', phone: null, email: null },
        { name: '韩梅梅', email: 'hmm@x.example' },
      ],
      account: { paymentTerms: 'Net 60', creditLimit: { amount: '5000', currency: 'CNY' } },
    })
    expect(value(await customer.update?.verify(input, write, call)).effect).toBe('done')
    expect(world.get('erpAccounts', 'C20001')).toMatchObject({
      street: '新路 2 号',
      group: 101,
      industry: '电子',
    })
    const dollars = { key: 'C20001', changes: { creditLimit: { amount: '1', currency: 'USD' } } }
    expect(failure(await customer.update?.send(dollars, write, call))).toMatchObject({ code: 'CURRENCY' })
    const nowhere = { key: 'C20001', changes: { industry: '航天' } }
    expect(failure(await customer.update?.send(nowhere, write, call))).toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('机械制造'),
    })
  })

  test('a new customer comes with type, terms, addresses and own fields', async () => {
    const { open } = await setUp({ simulator: { userFields: OWN } })
    const { customer } = open({ customFields: { customer: { note: 'U_Note' } } })
    const input = {
      name: '新客户',
      code: 'C-NEW',
      type: 'INDIVIDUAL' as const,
      paymentTerms: '月结 30 天',
      currency: 'USD',
      addresses: [{ type: 'BILLING' as const, street: '一路', city: '杭州', country: 'CN' }],
      customFields: { note: 'x' },
    }
    expect(value(await customer.create?.send(input, write, call)).record).toMatchObject({
      type: 'INDIVIDUAL',
      addresses: [{ type: 'BILLING', street: '一路', city: '杭州', country: 'CN' }],
      account: { currency: 'USD', paymentTerms: '月结 30 天' },
      customFields: { note: 'x' },
    })
    const office = { ...input, code: 'C-2', addresses: [{ type: 'OFFICE' as const, city: '杭州' }] }
    expect(failure(await customer.create?.send(office, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('OFFICE'),
    })
  })
})

describe('invoices and payments', () => {
  const accounts = { transfer: '161000', cash: '101000' }
  /** Order 1 is billed by its delivery, order 5 (in dollars) without one. */
  async function books(simulator: SapB1SimulatorOptions = {}, config: object = {}) {
    const set = await setUp({ simulator, config: { invoices: true, paymentAccounts: accounts, ...config } })
    const { world } = set
    const [delivery] = world.all('erpDeliveries')
    if (!delivery) throw new Error('seed')
    const at = '2026-06-01T08:30:00.000Z'
    invoiceInErp(world, { order: orderIn(world, 1), delivery }, at)
    invoiceInErp(world, { order: orderIn(world, 5) }, at)
    const { invoice, payment } = set.adapter.ports
    if (!invoice?.lookups || !payment?.create || !payment.lookups) throw new Error('ports')
    return { ...set, invoice, payment, create: payment.create }
  }
  const input = {
    customer: 'C20001',
    date: '2026-06-20',
    amount: { amount: '1000.00', currency: 'CNY' },
    method: 'TRANSFER',
    reference: '首付款',
    applications: [{ invoice: '1', amount: '612.00' }],
  }

  test('are offered only where the configuration says so', async () => {
    const { adapter } = await setUp()
    expect(Object.keys(adapter.ports)).not.toContain('invoice')
    expect(Object.keys(adapter.ports)).not.toContain('payment')
  })

  test('an invoice tells amounts in its currency, what is due, and the numbers of its orders', async () => {
    const { invoice } = await books()
    const [first, dollars, none] = await invoice.readMany(['1', '2', '3'], call)
    expect(value(first)).toMatchObject({
      number: '7001',
      type: 'STANDARD',
      customer: 'C20001',
      orderNumbers: ['1003'],
      issueDate: '2026-06-01',
      dueDate: '2026-07-01',
      status: 'OPEN',
      totals: { gross: { amount: '3612.03', currency: 'CNY' } },
      paid: { amount: '0', currency: 'CNY' },
      open: { amount: '3612.03', currency: 'CNY' },
      createdAt: '2026-06-01T16:30:00+08:00',
    })
    expect(value(dollars)).toMatchObject({
      customer: 'C20002-USD',
      orderNumbers: ['1015'],
      totals: { gross: { amount: '1930.35', currency: 'USD' } },
      open: { amount: '1930.35', currency: 'USD' },
    })
    expect(value(none)).toBeNull()
    expect(value(first)).not.toHaveProperty('deliveries')
  })

  test('invoices are found by order number, through deliveries too, and by customer', async () => {
    const { invoice } = await books()
    const byOrder = await invoice.lookups?.byOrderNumber?.read(['1003', '1015', '1006', 'x', '999'], call)
    expect(byOrder?.map((one) => value(one).map(({ key }) => key))).toEqual([['1'], ['2'], [], [], []])
    const byCustomer = await invoice.lookups?.byCustomer?.read(['C20002-USD', 'nobody'], call)
    expect(byCustomer?.map((one) => value(one).map(({ orderNumbers }) => orderNumbers))).toEqual([
      [['1015']],
      [],
    ])
    const page = value(await invoice.list?.({ first: 5 }, call))
    expect(page.items.map(({ record }) => [record.key, record.orderNumbers])).toEqual([
      ['2', ['1015']],
      ['1', ['1003']],
    ])
  })

  test('an older release that tells nothing of payments leaves them out, and is asked for them once', async () => {
    const { invoice, called } = await books({ paidToDate: false })
    const read = value((await invoice.readMany(['1'], call))[0])
    expect(read).toMatchObject({ status: 'OPEN', paid: null, open: null })
    value((await invoice.readMany(['2'], call))[0])
    expect(called(/Invoices\?\S*PaidToDate,/)).toHaveLength(1)
  })

  test('credit notes are invoices of their own sort, beside the others and never mixed up with them', async () => {
    const { invoice, simulator, world } = await books()
    const start = value(await invoice.changes?.(null, call))
    expect(simulator.credit(1)).toBe(1)
    const [note, billed, none] = await invoice.readMany(['CN/1', '1', 'CN/7'], call)
    expect(value(note)).toMatchObject({
      key: 'CN/1',
      number: '9001',
      type: 'CREDIT_NOTE',
      customer: 'C20001',
      orderNumbers: ['1003'],
      totals: { gross: { amount: '3612.03', currency: 'CNY' } },
    })
    expect(value(billed)).toMatchObject({ key: '1', type: 'STANDARD', number: '7001' })
    expect(value(none)).toBeNull()
    const changed = value(await invoice.changes?.(start.checkpoint, call))
    expect(changed.records.map(({ key }) => key)).toContain('CN/1')
    // Newest first over both tables, whatever the size of the pages.
    invoiceInErp(world, { order: orderIn(world, 3) }, '2026-06-02T08:30:00.000Z')
    for (const first of [1, 2, 10]) {
      const seen: string[] = []
      for (let after: string | undefined; ; ) {
        const page = value(await invoice.list?.({ first, after }, call))
        seen.push(...page.items.map(({ record }) => record.key))
        after = page.items.at(-1)?.position
        if (!page.hasMore) break
      }
      expect(seen).toEqual(['CN/1', '3', '2', '1'])
    }
    const [ofOrder] = (await invoice.lookups?.byOrderNumber?.read(['1003'], call)) ?? []
    expect(value(ofOrder).map(({ key }) => key)).toEqual(['CN/1', '1'])
    const [mine] = (await invoice.lookups?.byCustomer?.read(['C20001'], call)) ?? []
    expect(value(mine).map(({ key }) => key)).toEqual(['CN/1', '3', '1'])
  })

  test('lines tell what was billed, at what tax, and for which order', async () => {
    const { invoice } = await books()
    const dollars = value((await invoice.readMany(['2'], call))[0])
    // 5 × 249.99 USD net, 13 % on it.
    expect(dollars?.lines?.[0]).toMatchObject({
      quantity: { value: '5' },
      unitPrice: { amount: { amount: '249.99', currency: 'USD' } },
      taxRate: '13',
      net: { amount: '1249.95', currency: 'USD' },
      tax: { amount: '162.49', currency: 'USD' },
      gross: { amount: '1412.44', currency: 'USD' },
      orderNumber: '1015',
    })
  })

  test('a discount is applied with the payment, and settles the invoice with it', async () => {
    const { create, invoice, world } = await books()
    const early = {
      ...input,
      amount: { amount: '3539.79', currency: 'CNY' },
      applications: [{ invoice: '1', amount: '3539.79', discount: '72.24' }],
    }
    expect(create.takes).toContain('applications.discount')
    const made = value(await create.send(early, write, call))
    expect(made.record?.applications).toEqual([
      {
        invoice: '1',
        amount: { amount: '3539.79', currency: 'CNY' },
        discount: { amount: '72.24', currency: 'CNY' },
      },
    ])
    expect(value((await invoice.readMany(['1'], call))[0])?.status).toBe('PAID')
    expect(create.preview(early, write).body).toContain('"TotalDiscount":"72.24"')
    expect(world.get('erpPayments', '1')?.invoices).toEqual([
      { docEntry: 1, amount: '3539.79', discount: '72.24' },
    ])
  })

  test('an approval procedure makes a draft of a payment: awaited, then found, or refused', async () => {
    const { create, simulator } = await books({ paymentApprovalAbove: '500' })
    expect(failure(await create.send(input, write, call))).toMatchObject({
      kind: 'awaiting-approval',
      vendorReference: '950',
    })
    expect(failure(await create.verify(input, write, call)).kind).toBe('awaiting-approval')
    simulator.decidePayment(950, 'approve')
    expect(value(await create.verify(input, write, call))).toMatchObject({
      effect: 'done',
      result: { key: '1' },
    })
    const other = { ...write, externalReference: 'e'.repeat(32) }
    expect(failure(await create.send(input, other, call)).kind).toBe('awaiting-approval')
    simulator.decidePayment(951, 'reject')
    expect(failure(await create.verify(input, other, call))).toMatchObject({
      kind: 'rejected',
      code: 'pasRejected',
    })
  })

  test('a payment is taken, applied, and changes the invoice', async () => {
    const { world, invoice, payment, create } = await books()
    expect(value(await create.send(input, write, call))).toMatchObject({
      key: '1',
      reached: 'effective',
      record: {
        number: '8001',
        customer: 'C20001',
        date: '2026-06-20',
        amount: { amount: '1000', currency: 'CNY' },
        method: 'TRANSFER',
        reference: '首付款',
        externalReference: write.externalReference,
        status: 'POSTED',
        applications: [{ invoice: '1', amount: { amount: '612', currency: 'CNY' } }],
      },
    })
    expect(world.get('erpPayments', '1')).toMatchObject({ transfer: '1000', cash: '0' })
    expect(value((await invoice.readMany(['1'], call))[0])).toMatchObject({
      status: 'PARTIALLY_PAID',
      paid: { amount: '612' },
      open: { amount: '3000.03' },
    })
    const byInvoice = await payment.lookups?.byInvoice?.read(['1', '2', '3'], call)
    expect(byInvoice?.map((one) => value(one).map(({ key }) => key))).toEqual([['1'], [], []])
    const byCustomer = await payment.lookups?.byCustomer?.read(['C20001', 'V10001'], call)
    expect(byCustomer?.map((one) => value(one).length)).toEqual([1, 0])
  })

  test('foreign currency is applied in that currency; cash goes to its own account', async () => {
    const { world, invoice, create } = await books()
    const dollars = {
      ...input,
      customer: 'C20002-USD',
      method: 'CASH',
      amount: { amount: '1930.35', currency: 'USD' },
      applications: [{ invoice: '2', amount: '1930.35' }],
    }
    expect(value(await create.send(dollars, write, call)).record).toMatchObject({
      method: 'CASH',
      amount: { amount: '1930.35', currency: 'USD' },
      applications: [{ invoice: '2', amount: { amount: '1930.35', currency: 'USD' } }],
    })
    expect(world.get('erpPayments', '1')).toMatchObject({ cash: '1930.35', counterReference: '首付款' })
    expect(value((await invoice.readMany(['2'], call))[0])).toMatchObject({
      status: 'PAID',
      open: { amount: '0' },
    })
  })

  test('a payment whose answer was lost is found by its reference', async () => {
    const { create, simulator } = await books()
    simulator.setFaults([{ match: 'POST .*/IncomingPayments', kind: 'drop-after', times: 1 }])
    expect(failure(await create.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await create.verify(input, write, call))).toMatchObject({
      effect: 'done',
      result: { key: '1', record: { number: '8001' } },
    })
    const other = { ...write, externalReference: 'f'.repeat(32) }
    expect(value(await create.verify(input, other, call))).toMatchObject({ effect: 'none', proven: false })
  })

  test('what the vendor refuses names line and field; a locked period is told apart', async () => {
    const { create, open } = await books({ closedUpTo: '2026-05-31' })
    const over = {
      ...input,
      applications: [{ invoice: '1', amount: '9999' }],
      amount: { amount: '9999', currency: 'CNY' },
    }
    expect(failure(await create.send(over, write, call))).toMatchObject({
      kind: 'rejected',
      code: '-5002',
      line: '1',
      field: 'SumApplied',
    })
    const unknown = { ...input, applications: [{ invoice: '77', amount: '1' }] }
    expect(failure(await create.send(unknown, write, call))).toMatchObject({
      kind: 'rejected',
      code: '-2028',
    })
    expect(failure(await create.send({ ...input, date: '2026-05-31' }, write, call))).toMatchObject({
      kind: 'rejected',
      reason: 'period-closed',
    })
    const cheque = { ...input, method: 'CHEQUE' }
    expect(failure(await create.send(cheque, write, call)).kind).toBe('unsupported')
    const poor = open({ paymentAccounts: {} }).adapter.ports.payment?.create
    expect(failure(await poor?.send(input, write, call)).kind).toBe('unsupported')
  })

  test('changes tell new payments, and later that one was cancelled', async () => {
    const { world, payment, create, invoice } = await books()
    const start = value(await payment.changes?.(null, call))
    const invoices = value(await invoice.changes?.(null, call))
    expect(start.records).toEqual([])
    value(await create.send(input, write, call))
    const first = value(await payment.changes?.(start.checkpoint, call))
    expect(first.records.map(({ key, status }) => [key, status])).toEqual([['1', 'POSTED']])
    expect(value(await payment.changes?.(first.checkpoint, call)).records).toEqual([])
    const taken = world.get('erpPayments', '1')
    if (!taken) throw new Error('no payment')
    world.put('erpPayments', { ...taken, cancelled: true })
    const second = value(await payment.changes?.(first.checkpoint, call))
    expect(second.records.map(({ key, status }) => [key, status])).toEqual([['1', 'CANCELLED']])
    expect(value(await payment.changes?.(second.checkpoint, call)).records).toEqual([])
    const changed = value(await invoice.changes?.(invoices.checkpoint, call))
    expect(changed.records.find(({ key }) => key === '1')?.status).toBe('PARTIALLY_PAID')
  })
})
