import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { systemSchema } from '../../src/config/schema.ts'
import { type Log, silentLog } from '../../src/observe/log.ts'
import { changeOrder, deliver, placeOrder } from '../../src/simulation/trade.ts'
import { type ErpOrder, World, type WorldOptions } from '../../src/simulation/world.ts'
import { failureText } from '../../src/systems/failure.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { createYonyouU8 } from '../../src/systems/yonyou-u8/adapter.ts'
import { yonyouU8Config } from '../../src/systems/yonyou-u8/config.ts'
import {
  startYonyouU8Simulator,
  type YonyouU8SimulatorOptions,
} from '../../src/systems/yonyou-u8/simulator.ts'
import { failure, value } from './outcomes.ts'

const SECRET = 'S3cret-密钥'
const call = { caller: gatewayCaller }
const REFERENCE = '0123456789abcdef0123456789abcdef'
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: 'wang.fang' }

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly world?: WorldOptions
  readonly simulator?: YonyouU8SimulatorOptions
  readonly config?: object
  readonly timeoutMs?: number
  readonly log?: Log
}

async function setUp(setup: Setup = {}) {
  const world = new World({ orders: 12, customers: 10, products: 10, ...setup.world })
  const simulator = await startYonyouU8Simulator(world, { appSecret: SECRET, ...setup.simulator })
  const open = (config: object = {}) => {
    const adapter = createYonyouU8(
      yonyouU8Config.parse({
        baseUrl: simulator.url,
        fromAccount: 'demo_dev',
        toAccount: 'demo_u8',
        appKey: 'opa-demo',
        appSecret: SECRET,
        resultAfterSeconds: 0,
        resultWithinSeconds: 1,
        orderDefaults: { saleType: '01', department: '02' },
        ...setup.config,
        ...config,
      }),
      { systemId: 'u8', log: setup.log ?? silentLog, timeoutMs: setup.timeoutMs ?? 2_000 },
    )
    closers.push(() => adapter.close())
    const { customer, product, warehouse, inventoryLevel, order } = adapter.ports
    if (!customer || !product || !warehouse || !inventoryLevel || !order?.create || !order.actions) {
      throw new Error('ports')
    }
    const { create, actions } = order
    return { adapter, customer, product, warehouse, inventoryLevel, order, create, actions }
  }
  closers.push(() => simulator.close())
  const called = (pattern: RegExp) => simulator.calls.filter((line) => pattern.test(line))
  return { world, simulator, open, called, ...open() }
}

function orderIn(world: World, entry: number): ErpOrder {
  const order = world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}

/** Numbers of the first orders: 1000 + 3n, ten digits. */
const numberOf = (entry: number): string => String(1000 + entry * 3).padStart(10, '0')

const newOrder: OrderCreate = {
  customer: 'C20001',
  dueDate: '2026-08-01',
  comments: '加急 🚚',
  lines: [{ product: 'A00003', quantity: '2.5', unitPrice: '356.50' }],
}

describe('reading', () => {
  test('answers one outcome per key, in the order of the keys, repeated and missing ones included', async () => {
    const { customer, order, product } = await setUp()
    const read = await customer.readMany(['C20003', 'nobody', 'C20001', 'C20003', ''], call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual(['C20003', null, 'C20001', 'C20003', null])
    const orders = await order.readMany([numberOf(5), 'x', '1015', numberOf(5)], call)
    expect(orders.map((one) => value(one)?.key ?? null)).toEqual(['0000001015', null, null, '0000001015'])
    expect(await product.readMany([], call)).toEqual([])
  })

  test('many keys cost one call where their range fits a page, and single calls where it does not', async () => {
    const { product, open, called, simulator } = await setUp({ world: { products: 40 } })
    const keys = ['A00009', 'A00003', 'A00010', 'A00005']
    expect((await product.readMany(keys, call)).map((one) => value(one)?.key)).toEqual(keys)
    expect(called(/inventory/)).toHaveLength(1)
    simulator.clearCalls()
    const wide = ['A00001', 'A00014', 'A00027', 'A00040']
    const read = await open().product.readMany(wide, call)
    expect(read.map((one) => value(one)?.key)).toEqual(wide)
    expect(called(/inventory\/batch_get/)).toHaveLength(1)
    expect(called(/inventory\/get/)).toHaveLength(4)
  })

  test('a code in another case is another key, though the server does not think so', async () => {
    const { customer } = await setUp()
    const read = await customer.readMany(['c20001', 'C20001', 'c20002', 'c20003', 'C20004'], call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual([null, 'C20001', null, null, 'C20004'])
  })

  test('a customer shows its account, with currency by name and an amount in company currency', async () => {
    const { customer } = await setUp()
    const [first, dollars, walkIn] = await customer.readMany(['C20001', 'C20002-USD', 'C99001'], call)
    expect(value(first)).toMatchObject({
      key: 'C20001',
      name: '上海晨光精密机械有限公司',
      taxNumber: '91310001MA1K007919',
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      contacts: [],
      addresses: [{ type: 'OFFICE', street: '浦东新区张江路 88 号', city: null, postalCode: '201203' }],
      account: {
        company: 'demo_u8',
        currency: 'CNY',
        creditLimit: { amount: '105000.00', currency: 'CNY' },
        balance: null,
        paymentTerms: '月结 30 天',
        blocked: false,
      },
    })
    expect(value(dollars)?.account).toMatchObject({
      currency: 'USD',
      creditLimit: { amount: '110000.00', currency: 'CNY' },
    })
    expect(value(walkIn)).toMatchObject({ taxNumber: null, phone: null, email: null, addresses: [] })
  })

  test('times get the offset of the server, and a stopped customer is blocked', async () => {
    const { world, customer, open } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, frozen: true, updatedAt: '2026-06-30T20:30:00.000Z' })
    expect(value((await customer.readMany(['C20001'], call))[0])).toMatchObject({
      updatedAt: '2026-07-01T04:30:00+08:00',
      account: { blocked: true },
    })
    const urumqi = open({ timeZone: 'Europe/Berlin' })
    expect(value((await urumqi.customer.readMany(['C20001'], call))[0])?.updatedAt).toBe(
      '2026-07-01T04:30:00+02:00',
    )
  })

  test('a dollar order in a yuan company shows the currency of its amounts', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany([numberOf(5)], call))[0])
    expect(found).toMatchObject({
      number: '0000001015',
      company: 'demo_u8',
      customer: 'C20002-USD',
      orderDate: '2026-06-18',
      dueDate: '2026-07-10',
      status: 'CONFIRMED',
      vendorStatus: 'Approved fhstatus=0',
      fulfilmentStatus: 'NONE',
      createdAt: '2026-06-18T17:00:00+08:00',
      exchangeRate: '7.1',
      totals: {
        net: { amount: '1708.27', currency: 'USD' },
        gross: { amount: '1930.35', currency: 'USD' },
      },
      // The vendor's list has no totals in company currency.
      companyTotals: { net: null, gross: null },
    })
    expect(found?.lines.map((line) => [line.unitPrice, line.discountPercent, line.net])).toEqual([
      [
        { amount: { amount: '282.4887', currency: 'USD' }, per: '1', taxIncluded: true },
        '0',
        { amount: '1249.95', currency: 'USD' },
      ],
      [
        { amount: { amount: '2.071629', currency: 'USD' }, per: '1', taxIncluded: true },
        '0',
        { amount: '458.33', currency: 'USD' },
      ],
    ])
    expect(found?.totals?.tax ?? null).toBeNull()
  })

  test('an order that tells no currency is in company currency only where both amounts agree', async () => {
    const { order } = await setUp({ simulator: { orderCurrency: false } })
    const [yuan, dollars] = await order.readMany([numberOf(1), numberOf(5)], call)
    expect(value(yuan)?.totals?.gross).toEqual({ amount: '3612.03', currency: 'CNY' })
    expect(value(dollars)?.totals).toEqual({ net: null, gross: null })
    expect(value(dollars)?.lines.map((line) => [line.net, line.unitPrice])).toEqual([
      [null, null],
      [null, null],
    ])
  })

  test('yen have no decimals, and a currency that nobody has translated is no currency', async () => {
    const { world, order, open } = await setUp()
    expect(value((await order.readMany([numberOf(7)], call))[0])?.totals?.gross).toEqual({
      amount: '17001',
      currency: 'JPY',
    })
    world.put('erpOrders', { ...orderIn(world, 5), currency: '瑞士法郎' })
    expect(value((await order.readMany([numberOf(5)], call))[0])?.totals?.gross).toBeNull()
    const told = open({ currencyCodes: { 瑞士法郎: 'CHF' } })
    expect(value((await told.order.readMany([numberOf(5)], call))[0])?.totals?.gross?.currency).toBe('CHF')
  })

  test('a discount is what 扣率 leaves off the quoted price', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany([numberOf(1)], call))[0])
    expect(found?.lines[2]).toMatchObject({
      id: '3',
      lineNumber: '3',
      product: 'A00004',
      ordered: { value: '7', unit: null, vendorUnit: '个' },
      unitPrice: { amount: { amount: '54.61855', currency: 'CNY' }, taxIncluded: true },
      discountPercent: '5',
      net: { amount: '321.43', currency: 'CNY' },
    })
    expect(found?.customerReference ?? null).toBeNull()
    expect(value((await order.readMany([numberOf(8)], call))[0])?.comments).toBe('现金零售 🧾')
  })

  test('totals that only the list tells cost one more call, and none where the release tells them at once', async () => {
    const { order, called } = await setUp()
    expect(value((await order.readMany([numberOf(1)], call))[0])?.totals?.net?.amount).toBe('3196.49')
    expect(called(/saleorder/)).toHaveLength(2)
    const whole = await setUp({ simulator: { wholeHeads: true } })
    expect(value((await whole.order.readMany([numberOf(1)], call))[0])?.totals?.net?.amount).toBe('3196.49')
    expect(whole.called(/saleorder/)).toHaveLength(1)
  })

  test('status follows state, shipping and closing; a state nobody knows survives beside UNKNOWN', async () => {
    const { world, order, open, actions } = await setUp()
    changeOrder(world, orderIn(world, 3), { confirmed: false })
    value(await actions.close?.send({ key: numberOf(2) }, write, call))
    const keys = [1, 2, 3, 5].map(numberOf)
    const read = async (port = order) =>
      (await port.readMany(keys, call)).map((one) => [value(one)?.status, value(one)?.vendorStatus])
    expect(await read()).toEqual([
      ['SHIPPED', 'Approved fhstatus=2'],
      ['CLOSED', 'Closed fhstatus=1'],
      ['NEW', 'Opening fhstatus=0'],
      ['CONFIRMED', 'Approved fhstatus=0'],
    ])
    const own = open({ orderStates: { Opening: 'PENDING_APPROVAL' } })
    expect((await read(own.order))[2]?.[0]).toBe('PENDING_APPROVAL')
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, order } = await setUp()
    world.put('erpOrders', { ...orderIn(world, 2), docDate: 'yesterday' })
    const [first, second, third] = await order.readMany([1, 2, 3].map(numberOf), call)
    expect(value(first)?.key).toBe(numberOf(1))
    expect(failure(second)).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('0000001006'),
    })
    expect(value(third)?.key).toBe(numberOf(3))
    // A customer's orders would look whole: they fail. A list leaves the record out.
    const lists = await order.lookups?.byCustomer?.read(['C20001', 'C20003'], call)
    expect(failure(lists?.[0]).kind).toBe('invalid-response')
    expect(value(lists?.[1]).map((one) => one.key)).toEqual([numberOf(6)])
  })

  test('orders are found by number and by customer, newest first, over more pages than one', async () => {
    const { world, open, called } = await setUp()
    for (let n = 0; n < 5; n++) {
      placeOrder(world, {
        cardCode: 'C20003',
        currency: 'USD',
        docDate: '2026-07-01',
        dueDate: '2026-07-02',
        lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
      })
    }
    const { order } = open({ pageLimit: 2 })
    const [byCustomer, nobody] = (await order.lookups?.byCustomer?.read(['C20003', 'x'], call)) ?? []
    expect(value(byCustomer).map((one) => one.key)).toEqual([17, 16, 15, 14, 13, 6].map(numberOf))
    expect(value(nobody)).toEqual([])
    expect(called(/saleorderlist/)).toHaveLength(4)
    const byNumber = await order.lookups?.byNumber?.read([numberOf(6), '1', 'A-1'], call)
    expect(byNumber?.map((one) => value(one).map((found) => found.key))).toEqual([[numberOf(6)], [], []])
  })
})

describe('lists', () => {
  /** Walks a list to its end, doing something between the pages. */
  async function walkAll(
    list: ReturnType<typeof listOf>,
    first: number,
    between: () => void = () => {},
    filter: object = {},
  ): Promise<string[]> {
    const seen: string[] = []
    for (let after: string | undefined; ; between()) {
      const page = value(await list({ first, after, filter }, call))
      seen.push(...page.items.map((item) => item.record.key))
      after = page.items.at(-1)?.position
      if (!page.hasMore) return seen
    }
  }
  const listOf = (
    port: Awaited<ReturnType<typeof setUp>>['order' | 'customer' | 'product' | 'inventoryLevel'],
  ) => {
    const { list } = port
    if (!list) throw new Error('no list')
    return list as NonNullable<Awaited<ReturnType<typeof setUp>>['order']['list']>
  }

  test('orders come newest first, whatever the vendor sorts by and however small its pages are', async () => {
    const { world, open } = await setUp({ world: { orders: 60 } })
    const expected = world
      .all('erpOrders')
      .map((order) => [order.docDate, numberOf(order.docEntry)] as const)
      .sort((a, b) => (a[0] !== b[0] ? (a[0] < b[0] ? 1 : -1) : a[1] < b[1] ? 1 : -1))
      .map(([, number]) => number)
    for (const pageLimit of [3, 7, 100]) {
      const { order } = open({ pageLimit })
      expect(await walkAll(listOf(order), 13)).toEqual(expected)
    }
  })

  test('an order list is complete and without repetition while orders are added', async () => {
    const { world, open } = await setUp()
    const { order } = open({ pageLimit: 4 })
    const add = () =>
      placeOrder(world, {
        cardCode: 'C20001',
        currency: 'CNY',
        docDate: '2026-07-01',
        dueDate: '2026-07-02',
        lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
      })
    const seen = await walkAll(listOf(order), 5, add)
    expect([...seen].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(numberOf))
    const mine = value(await order.list?.({ first: 2, filter: { customer: 'C20002' } }, call))
    expect(mine).toMatchObject({ items: [{ position: '2026-06-02/0000001012' }], hasMore: false })
    const named = value(await order.list?.({ first: 9, filter: { search: 'みなと' } }, call))
    expect(named.items.map((item) => item.record.key)).toEqual([numberOf(7)])
    expect(failure(await order.list?.({ first: 2, after: 'x/y' }, call))).toMatchObject({ kind: 'rejected' })
  })

  test('customers, products and warehouses are listed and searched; rows added meanwhile leave nothing out', async () => {
    const { world, customer, product, warehouse, open } = await setUp()
    const expected = world.all('erpAccounts').map((account) => account.cardCode)
    for (const first of [1, 4, 50]) expect(await walkAll(listOf(customer), first)).toEqual(expected)
    const items = world.all('erpItems').map((item) => item.code)
    const small = open({ pageLimit: 3 })
    expect(await walkAll(listOf(small.product), 4)).toEqual(items)
    const found = value(await customer.list?.({ first: 9, filter: { search: '晨光' } }, call))
    expect(found.items.map((item) => item.record.key)).toEqual(['C20001'])
    expect(failure(await product.list?.({ first: 1, filter: { customer: 'C20001' } }, call)).kind).toBe(
      'unsupported',
    )
    expect(value((await product.readMany(['A00002'], call))[0])).toMatchObject({
      sku: 'A00002',
      name: '伺服电机 750W',
      barcode: '6900000209458',
      unit: '台',
      active: true,
    })
    expect(value(await warehouse.list?.({ first: 9 }, call)).items.map((item) => item.record)).toEqual([
      { key: '01', name: '上海总仓' },
      { key: '02', name: '深圳仓' },
      { key: 'HAM', name: 'Hamburg' },
      { key: 'YOK', name: '横浜倉庫' },
    ])
  })

  test('stock is read by product and warehouse, its batches together', async () => {
    const quantity = (value: string) => ({ value, unit: 'H87', vendorUnit: '个' })
    // 137 at first, 100 delivered with order 1, 2 promised to the walk-in customer.
    const expected = {
      key: 'A00001/01',
      product: 'A00001',
      warehouse: '01',
      onHand: quantity('37'),
      reserved: quantity('2'),
      available: quantity('35'),
      incoming: quantity('13'),
    }
    for (const batches of [false, true]) {
      const { inventoryLevel } = await setUp({ simulator: { batches }, config: { unitCodes: { 个: 'H87' } } })
      const keys = ['A00001/01', 'A00001/XX', 'B1/01', 'A00001/01']
      const [level, nowhere, noItem, again] = await inventoryLevel.readMany(keys, call)
      expect(value(level)).toEqual(expected)
      expect([value(nowhere), value(noItem), value(again)]).toEqual([null, null, expected])
      const byProduct = await inventoryLevel.lookups?.byProduct?.read(['A00001', 'B1'], call)
      expect(byProduct?.map((one) => value(one).map((found) => found.warehouse))).toEqual([
        ['01', '02', 'YOK'],
        [],
      ])
    }
  })

  test('all stock is listed, product by product, whatever the size of the pages', async () => {
    const { world, open } = await setUp()
    const expected = world
      .all('erpStock')
      .map((stock) => `${stock.item}/${stock.warehouse}`)
      .sort()
    for (const first of [1, 3, 7, 100]) {
      const { inventoryLevel } = open({ pageLimit: 4 })
      expect(await walkAll(listOf(inventoryLevel), first)).toEqual(expected)
    }
  })

  test('a gateway with shorter pages than configured says which setting to change', async () => {
    const { customer } = await setUp({ simulator: { maxRows: 5 } })
    expect(failure(await customer.list?.({ first: 50 }, call))).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('no page has more than 5 rows: set pageLimit'),
    })
  })
})

describe('changes', () => {
  test('the first checkpoint is the newest row version; then each change is told once', async () => {
    const { world, order } = await setUp()
    const start = value(await order.changes?.(null, call))
    expect(start).toMatchObject({ records: [], hasMore: false })
    // The stretch before the checkpoint is looked at again, but was known.
    const still = value(await order.changes?.(start.checkpoint, call))
    expect(still.records).toEqual([])
    deliver(world, orderIn(world, 3))
    changeOrder(world, orderIn(world, 5), { comments: '改期' })
    const next = value(await order.changes?.(still.checkpoint, call))
    expect(next.records.map((one) => [one.key, one.status, one.comments])).toEqual([
      [numberOf(3), 'SHIPPED', null],
      [numberOf(5), 'CONFIRMED', '改期'],
    ])
    // Who did not get that far gets the same again.
    const again = value(await order.changes?.(still.checkpoint, call))
    expect(again.records.map((one) => one.key)).toEqual([numberOf(3), numberOf(5)])
    expect(value(await order.changes?.(next.checkpoint, call)).records).toEqual([])
  })

  test('more changes than a page holds come in several answers, none lost and none twice', async () => {
    const { world, open, called, simulator } = await setUp({ world: { orders: 40 } })
    const { order } = open({ pageLimit: 5, overlapVersions: 4 })
    let checkpoint = value(await order.changes?.(null, call)).checkpoint
    checkpoint = value(await order.changes?.(checkpoint, call)).checkpoint
    for (let n = 1; n <= 37; n++) changeOrder(world, orderIn(world, n), { comments: `n ${n}` })
    simulator.clearCalls()
    const seen: string[] = []
    for (;;) {
      const page = value(await order.changes?.(checkpoint, call))
      seen.push(...page.records.map((one) => one.comments ?? ''))
      checkpoint = page.checkpoint
      if (!page.hasMore) break
      // Changed while the pages are read: told where it is now.
      if (seen.length === 3) changeOrder(world, orderIn(world, 38), { comments: 'late' })
    }
    expect(seen.filter((one) => one !== 'late')).toEqual(Array.from({ length: 37 }, (_, n) => `n ${n + 1}`))
    expect(called(/page_index=[^1]/)).toEqual([])
  })

  test('customers and products tell their changes; stock does not', async () => {
    const { world, customer, product, inventoryLevel } = await setUp()
    const settled = async (changes: typeof customer.changes | typeof product.changes) => {
      const read = changes as typeof customer.changes
      const start = value(await read?.(null, call))
      return value(await read?.(start.checkpoint, call)).checkpoint
    }
    const [customers, products] = [await settled(customer.changes), await settled(product.changes)]
    const account = world.get('erpAccounts', 'C20004')
    const item = world.get('erpItems', 'A00005')
    if (!account || !item) throw new Error('seed')
    world.put('erpAccounts', { ...account, name: 'みなと 🌊' })
    world.put('erpItems', { ...item, active: false })
    expect(value(await customer.changes?.(customers, call)).records).toMatchObject([
      { key: 'C20004', name: 'みなと 🌊' },
    ])
    expect(value(await product.changes?.(products, call)).records).toMatchObject([
      { key: 'A00005', active: false },
    ])
    expect(inventoryLevel.changes).toBeUndefined()
    expect(failure(await customer.changes?.('yesterday', call)).kind).toBe('unsupported')
  })

  test('a release without row versions is configured so, and offers no changes', async () => {
    const { open } = await setUp()
    const { order, customer } = open({ changesBy: 'none' })
    expect([order.changes, customer.changes]).toEqual([undefined, undefined])
  })
})

describe('the customer table', () => {
  const table = { customers: { profile: 'table', accountNumber: '001' } }

  test('is read by code and page by page, under the names of the table', async () => {
    const { world, customer, called, order } = await setUp({ simulator: { tableOf: '001' }, config: table })
    const account = world.get('erpAccounts', 'C20003')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, frozen: true })
    const [first, none, third] = await customer.readMany(['C20001', 'x', 'C20003'], call)
    expect(value(first)).toEqual({
      key: 'C20001',
      status: 'ACTIVE',
      vendorStatus: 'true',
      parent: null,
      code: 'C20001',
      version: '2026-04-20 17:00:00.0',
      createdAt: '2024-11-08T17:00:00+08:00',
      updatedAt: '2026-04-20T17:00:00+08:00',
      name: '上海晨光精密机械有限公司',
      type: 'COMPANY',
      industry: null,
      taxNumber: '91310001MA1K007919',
      phone: null,
      email: null,
      contacts: [{ name: '', phone: '+86 21 5550 0001', email: 'info@chenguang-jm.example', primary: true }],
      addresses: [
        {
          type: 'OFFICE',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: null,
          postalCode: '201203',
        },
      ],
      account: {
        salesArea: null,
        company: 'demo_u8',
        currency: 'CNY',
        creditLimit: { amount: '105000', currency: 'CNY' },
        balance: null,
        paymentTerms: '月结 30 天',
        blocked: false,
      },
    })
    expect(value(none)).toBeNull()
    expect(value(third)?.account?.blocked).toBe(true)
    expect(called(/customer\/query/).every((line) => line === 'POST /api/customer/query')).toBe(true)
    const pages: string[] = []
    for (let after: string | undefined; ; ) {
      const page = value(await customer.list?.({ first: 4, after }, call))
      pages.push(...page.items.map((item) => item.record.key))
      after = page.items.at(-1)?.position
      if (!page.hasMore) break
    }
    expect(pages).toEqual(world.all('erpAccounts').map((one) => one.cardCode))
    expect(failure(await customer.list?.({ first: 1, filter: { search: 'x' } }, call)).kind).toBe(
      'unsupported',
    )
    expect(customer.changes).toBeUndefined()
    expect(value((await order.readMany([numberOf(1)], call))[0])?.customer).toBe('C20001')
  })

  test('customers are found where the condition is overlooked', async () => {
    const { customer, simulator, called } = await setUp({
      simulator: { tableOf: '001' },
      config: { ...table, pageLimit: 4 },
    })
    const others = JSON.stringify({ data: [{ cCusCode: 'X1' }, { cCusCode: 'X2' }] })
    simulator.setFaults([{ match: 'customer/query', kind: 'status', status: 200, body: others, times: 2 }])
    const keys = ['C20003', 'nobody']
    const [found, none] = (await customer.readMany(keys, call)).map(value)
    expect([found?.key, none]).toEqual(['C20003', null])
    // Ten customers and more, four to a page, read at most once for each of the two.
    expect(called(/customer\/query/).length).toBeLessThanOrEqual(2 + 2 * 4)
  })

  test('a wrong account set is a matter of configuration', async () => {
    const { open } = await setUp({ simulator: { tableOf: '001' }, config: table })
    const { customer } = open({ customers: { profile: 'table', accountNumber: '999' } })
    expect(failure((await customer.readMany(['C20001'], call))[0]).kind).toBe('unauthorized')
  })
})

describe('local customising', () => {
  test('an order says where it goes, its approval and taxes; a product its class, price and tax', async () => {
    const { order, product, open, world } = await setUp()
    changeOrder(world, orderIn(world, 3), { confirmed: false })
    const [sold, open3] = (await order.readMany([numberOf(1), numberOf(3)], call)).map(value)
    // Order 1 of the seed: 100 × 12.80 and 13 per cent of tax, for 上海晨光.
    expect(sold).toMatchObject({
      documentType: '01',
      approvalStatus: 'APPROVED',
      createdBy: 'demo',
      shipTo: { address: { street: '浦东新区张江路 88 号' } },
    })
    expect(sold?.lines[0]).toMatchObject({
      taxRate: '13',
      net: { amount: '1280.00', currency: 'CNY' },
      tax: { amount: '166.4' },
      gross: { amount: '1446.40' },
    })
    expect(open3).toMatchObject({ approvalStatus: null, statusSince: null })
    expect(value((await product.readMany(['A00001'], call))[0])).toMatchObject({
      status: 'ACTIVE',
      category: { key: '101', name: '存货类101' },
      specifications: [{ name: '规格型号', value: 'Precision bearing 6204' }],
      price: { amount: { amount: '14.464', currency: 'CNY' }, taxIncluded: true },
      taxRate: '13',
      supplier: null,
    })
    const net = open({ quotedPriceIncludesTax: false }).product
    expect(value((await net.readMany(['A00001'], call))[0])?.price?.taxIncluded).toBe(false)
  })

  test('address, and free fields of lines, go with a new order; what has no field is refused', async () => {
    const { open } = await setUp()
    const { create, order } = open({ customFields: { orderLine: { batch: 'define22' } } })
    const shipTo = {
      name: '李强',
      address: { country: 'CN', province: '上海市', city: '上海市', street: '张江路 99 号' },
    }
    const [line] = newOrder.lines
    if (!line) throw new Error('no line')
    const input = { ...newOrder, shipTo, lines: [{ ...line, customFields: { batch: 'B-7' } }] }
    expect(create.takes).toEqual(['shipTo', 'lines.customFields'])
    const { key } = value(await create.send(input, write, call))
    expect(value((await order.readMany([key], call))[0])).toMatchObject({
      shipTo: { name: '李强', address: { street: '上海市 张江路 99 号' } },
      lines: [{ customFields: { batch: 'B-7' } }],
    })
    for (const part of ['李强', '张江路 99 号', 'B-7'])
      expect(create.preview(input, write).body).toContain(part)
    const called = { ...newOrder, shipTo: { ...shipTo, phone: '139' } }
    const coloured = { ...newOrder, lines: [{ ...line, customFields: { colour: 'red' } }] }
    expect(failure(await create.send(called, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('shipTo.phone'),
    })
    expect(failure(await create.send(coloured, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('"colour"'),
    })
  })

  test('own fields of customers, products and orders come under our names, and go back under theirs', async () => {
    const { open } = await setUp()
    const { customer, product, order, create } = open({
      customFields: {
        customer: { homeMarket: 'bcusdomestic' },
        product: { group: 'sort_code', nothing: 'self_define1' },
        order: { project: 'define12', channel: 'define2' },
      },
    })
    expect(value((await customer.readMany(['C20001'], call))[0])?.customFields).toEqual({ homeMarket: '1' })
    expect(value((await product.readMany(['A00002'], call))[0])?.customFields).toEqual({
      group: '102',
      nothing: null,
    })
    const input = { ...newOrder, customFields: { project: '高铁 ２号线' } }
    const { key } = value(await create.send(input, write, call))
    expect(value((await order.readMany([key], call))[0])?.customFields).toEqual({
      project: '高铁 ２号线',
      channel: null,
    })
    const unknown = { ...newOrder, customFields: { colour: 'red' } }
    expect(failure(await create.send(unknown, write, call))).toMatchObject({ kind: 'unsupported' })
  })

  test('what the configuration cannot say is refused before anything is sent', async () => {
    const { open, called, create } = await setUp()
    const cases = [
      await create.send({ ...newOrder, customerReference: 'PO 1' }, write, call),
      await create.send(
        { ...newOrder, lines: [{ product: 'A1', quantity: '1', warehouse: '01' }] },
        write,
        call,
      ),
      await create.send({ ...newOrder, currency: 'CHF' }, write, call),
      await open({ orderDefaults: undefined }).create.send(newOrder, write, call),
    ]
    expect(cases.map((one) => failure(one).kind)).toEqual(Array(4).fill('unsupported'))
    expect(called(/POST/)).toEqual([])
    const { lineWarehouseField } = yonyouU8Config.parse({
      fromAccount: 'a',
      toAccount: 'b',
      appKey: 'c',
      appSecret: 'd',
      lineWarehouseField: 'define28',
    })
    expect(lineWarehouseField).toBe('define28')
  })

  test('the samples in the README are valid', () => {
    const text = readFileSync(new URL('../../src/systems/yonyou-u8/README.md', import.meta.url), 'utf8')
    const samples = [...text.matchAll(/```yaml\n(.*?)```/gs)].map((match) => parseYaml(match[1] ?? ''))
    expect(samples).toHaveLength(2)
    for (const sample of samples) {
      const entries = Object.entries(sample as Record<string, unknown>)
      const isOfSystem = ([name]: [string, unknown]) => name in systemSchema.shape
      systemSchema.parse(Object.fromEntries(entries.filter(isOfSystem)))
      yonyouU8Config.parse(Object.fromEntries(entries.filter((entry) => !isOfSystem(entry))))
    }
  })

  test('two uses of one field are refused by the configuration', () => {
    const parsed = yonyouU8Config.safeParse({
      fromAccount: 'a',
      toAccount: 'b',
      appKey: 'c',
      appSecret: 'd',
      customFields: { order: { project: 'define10' } },
    })
    expect(parsed.error?.issues[0]?.message).toBe('uses one field of orders for two things')
  })

  test('an errcode can be given a meaning that its words do not have', async () => {
    const { open } = await setUp()
    // The simulator's code for a parameter that it does not know.
    const { order } = open({ errorCodes: { '40003': 'missing' }, externalReferenceField: 'define14' })
    const page = await order.list?.({ first: 5, filter: { search: '晨光' } }, call)
    expect(value(page).items).toHaveLength(3)
  })
})

describe('writing', () => {
  test('an order is created, read back and saved, not yet approved', async () => {
    const { world, create, order } = await setUp({
      config: {
        externalReferenceField: 'define11',
        onBehalfOfField: 'maker',
        customerReferenceField: 'define1',
      },
    })
    const input = { ...newOrder, orderDate: '2026-07-02', customerReference: 'PO 4711' }
    const result = value(await create.send(input, write, call))
    expect(result).toMatchObject({
      key: numberOf(13),
      reached: 'saved',
      record: {
        status: 'NEW',
        customer: 'C20001',
        customerReference: 'PO 4711',
        externalReference: REFERENCE,
        orderDate: '2026-07-02',
        dueDate: '2026-08-01',
        comments: '加急 🚚',
        totals: { net: { amount: '891.25', currency: 'CNY' }, gross: { amount: '1007.11', currency: 'CNY' } },
        lines: [{ product: 'A00003', ordered: { value: '2.5', vendorUnit: '根' } }],
      },
    })
    expect(orderIn(world, 13).userFields).toMatchObject({
      define11: REFERENCE,
      maker: 'wang.fang',
      deptcode: '02',
    })
    expect(value((await order.readMany([result.key], call))[0])?.externalReference).toBe(REFERENCE)
  })

  test('discounts, currencies and long decimals arrive as they were meant', async () => {
    const { world, create } = await setUp()
    const input: OrderCreate = {
      customer: 'C20002-USD',
      dueDate: '2026-08-01',
      currency: 'USD',
      lines: [
        { product: 'A00001', quantity: '10', unitPrice: '1.8300', discountPercent: '2.5' },
        { product: 'A00004', quantity: '3' },
      ],
    }
    const { record } = value(await create.send(input, write, call))
    expect(record?.totals?.net).toEqual({ amount: '38.27', currency: 'USD' })
    expect(record?.lines[0]).toMatchObject({
      discountPercent: '2.5',
      net: { amount: '17.84', currency: 'USD' },
      unitPrice: { amount: { amount: '2.0679', currency: 'USD' }, taxIncluded: true },
    })
    expect(orderIn(world, 13).lines.map((line) => line.unitPrice)).toEqual(['1.8300', '6.8077'])
    const long = '1234567890123456.789012345678'
    const preview = create.preview(
      { ...newOrder, lines: [{ product: 'A1', quantity: long, unitPrice: long, discountPercent: '10' }] },
      write,
    )
    expect(preview.path).toBe('/api/saleorder/add')
    expect(preview.body).toContain(`"quantity":"${long}"`)
    expect(preview.body).toContain('"unitprice":"1111111101111111.1101111111102"')
    expect(JSON.stringify(preview)).not.toMatch(/token|S3cret|opa-demo/)
  })

  test('the result is asked for until it is there', async () => {
    const { create, called } = await setUp({
      simulator: { workMs: 150 },
      config: { resultAfterSeconds: 0.05, resultWithinSeconds: 2 },
    })
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
    expect(called(/\/result\?/).length).toBeGreaterThan(1)
    expect(called(/saleorder\/add/)).toHaveLength(1)
  })

  test.each([
    ['', '{"errcode":"1","errmsg":""}'],
    ['in words', '{"errcode":20010,"errmsg":"请求等待代理执行"}'],
    ['by no error and no id', '{"errcode":"0","errmsg":"","tradeid":"t-1"}'],
  ])('a result that is still to come is no refusal, told %s', async (_how, body) => {
    const { create, simulator } = await setUp({
      simulator: { workMs: 60 },
      config: { resultAfterSeconds: 0.02, resultWithinSeconds: 2 },
    })
    simulator.setFaults([{ match: '/result', kind: 'status', status: 200, body, times: 2 }])
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
  })

  test('an order whose result never names it is found by its reference', async () => {
    const { create, simulator, called } = await setUp({
      simulator: { workMs: 0 },
      config: { resultAfterSeconds: 0.02, resultWithinSeconds: 2 },
    })
    simulator.setFaults([{ match: '/result', kind: 'status', status: 200, body: '{"errcode":"0"}' }])
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
    expect(called(/saleorder\/add/)).toHaveLength(1)
  })

  test('a result that does not come in time leaves the write open, and a later look finds it', async () => {
    const { create, called } = await setUp({
      simulator: { workMs: 400 },
      config: { resultAfterSeconds: 0.02, resultWithinSeconds: 0.1 },
    })
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    expect(value(await create.verify(newOrder, write, call))).toMatchObject({
      // Whatever is waited for: sent again, it might come twice.
      effect: 'unknown',
      evidence: expect.stringContaining('the result is not there yet'),
    })
    await delay(450)
    expect(value(await create.verify(newOrder, write, call))).toMatchObject({
      effect: 'done',
      result: { key: numberOf(13), reached: 'saved' },
    })
    expect(called(/saleorder\/add/)).toHaveLength(1)
  })

  test.each(['drop-after', 'truncate', 'html'] as const)(
    'an answer lost by %s is cleared up by the reference in the order, in another process too',
    async (kind) => {
      const { world, create, open, simulator, called } = await setUp()
      simulator.setFaults([{ match: 'POST .*/saleorder/add', kind, times: 1 }])
      expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
      const isMade = kind !== 'html'
      expect(world.count('erpOrders')).toBe(isMade ? 13 : 12)
      for (const process of [create, open().create]) {
        const verdict = value(await process.verify(newOrder, write, call))
        expect(verdict).toMatchObject(
          isMade
            ? { effect: 'done', result: { key: numberOf(13) } }
            : { effect: 'none', proven: false, evidence: `no order has define10 = ${REFERENCE}` },
        )
      }
      expect(called(/saleorder\/add/)).toHaveLength(1)
    },
  )

  test('a result that cannot be fetched leaves the write open; it is found by its reference', async () => {
    const { create, simulator } = await setUp({ config: { resultWithinSeconds: 0.1 } })
    simulator.setFaults([{ match: 'GET /result', kind: 'drop-before' }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    expect(value(await create.verify(newOrder, write, call)).effect).toBe('done')
  })

  test('sent again, a write carries the same number, and has one effect where the vendor honours it', async () => {
    for (const repeated of ['same', 'refused'] as const) {
      const { world, create, simulator } = await setUp({ simulator: { repeated } })
      simulator.setFaults([{ match: 'POST .*/saleorder/add', kind: 'drop-after', times: 1 }])
      failure(await create.send(newOrder, write, call))
      expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
      expect(world.count('erpOrders')).toBe(13)
      const numbers = simulator.calls.flatMap((line) => /tradeid=(\w+)/.exec(line)?.[1] ?? [])
      expect(new Set(numbers).size).toBe(1)
    }
  })

  test('with biz_id our reference is the number, after a restart too', async () => {
    const { world, open, simulator, called } = await setUp({ config: { writeId: 'biz_id' } })
    simulator.setFaults([{ match: 'POST .*/saleorder/add', kind: 'drop-after', times: 1 }])
    failure(await open().create.send(newOrder, write, call))
    expect(value(await open().create.send(newOrder, write, call)).key).toBe(numberOf(13))
    expect(world.count('erpOrders')).toBe(13)
    expect(called(new RegExp(`biz_id=${REFERENCE}`))).toHaveLength(2)
    expect(called(/tradeid/)).toEqual([])
  })

  test('a refusal comes later and says why, with its line', async () => {
    const { create, called } = await setUp()
    const input = { ...newOrder, lines: [...newOrder.lines, { product: '没有', quantity: '1' }] }
    expect(failure(await create.send(input, write, call))).toEqual({
      kind: 'rejected',
      code: '-1',
      message: '第2行存货编码[没有]不存在',
      line: '2',
    })
    expect(called(/\/result\?/)).toHaveLength(1)
    // Its fate is known: the next attempt is a new write.
    expect(value(await create.verify(input, write, call))).toMatchObject({ effect: 'none', proven: false })
    value(await create.send(newOrder, write, call))
    expect(new Set(called(/saleorder\/add/).map((line) => /tradeid=(\w+)/.exec(line)?.[1])).size).toBe(2)
  })

  test('a refusal that is learnt of by looking is proof that nothing was made', async () => {
    const { create } = await setUp({ simulator: { workMs: 150 }, config: { resultWithinSeconds: 0.05 } })
    const input = { ...newOrder, customer: '没有' }
    expect(failure(await create.send(input, write, call)).kind).toBe('unknown-outcome')
    await delay(200)
    expect(value(await create.verify(input, write, call))).toMatchObject({ effect: 'none', proven: true })
  })

  test('goods that are being counted are a refusal, not a write under way', async () => {
    const { create, simulator } = await setUp()
    const body = '{"errcode":"-1","errmsg":"存货正在盘点，不能下单"}'
    simulator.setFaults([{ match: 'GET /result', kind: 'status', status: 200, body }])
    // The order was made nevertheless: it has the last word.
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
    const other = { ...newOrder, customer: '没有' }
    const fresh = { ...write, externalReference: 'b'.repeat(32) }
    expect(failure(await create.send(other, fresh, call))).toMatchObject({
      kind: 'rejected',
      message: '存货正在盘点，不能下单',
    })
  })

  test('what the gateway refuses at once was never sent on', async () => {
    const { create, world } = await setUp()
    const input = { ...newOrder, dueDate: '1 August' }
    expect(failure(await create.send(input, write, call))).toMatchObject({ kind: 'rejected', code: '40003' })
    expect(world.count('erpOrders')).toBe(12)
  })

  test('without the agent nothing is sent; without the gateway nothing either', async () => {
    const { create, simulator, world, adapter } = await setUp()
    value((await adapter.connect?.(call)) ?? { ok: true, value: undefined })
    simulator.setAgent(false)
    expect(failure(await create.send(newOrder, write, call))).toMatchObject({
      kind: 'unavailable',
      reason: 'unreachable',
    })
    simulator.setAgent(true)
    simulator.setFaults([{ match: 'tradeid', kind: 'drop-before' }])
    expect(
      failure(await create.send(newOrder, { ...write, externalReference: 'f'.repeat(32) }, call)).kind,
    ).toBe('unavailable')
    expect(world.count('erpOrders')).toBe(12)
  })

  test('an order can be taken to approval at once; what stops it there does not undo it', async () => {
    const { create, open, simulator } = await setUp({ config: { orderTarget: 'effective' } })
    expect(value(await create.send(newOrder, write, call))).toMatchObject({
      reached: 'effective',
      record: { status: 'CONFIRMED' },
    })
    // What a write asks for goes before what is configured.
    expect(create.targets).toEqual(['saved', 'effective'])
    const asked = { ...write, externalReference: 'c'.repeat(32), target: 'saved' as const }
    expect(value(await create.send(newOrder, asked, call))).toMatchObject({ reached: 'saved' })
    simulator.setFaults([{ match: '/saleorder/verify', kind: 'status', status: 500, body: '' }])
    const other = { ...write, externalReference: 'e'.repeat(32) }
    expect(value(await open().create.send(newOrder, other, call))).toMatchObject({
      reached: 'saved',
      note: expect.stringContaining('saved, not approved'),
    })
    // A look sends nothing, not even the approval that was to follow.
    const lost = { ...write, externalReference: 'd'.repeat(32) }
    simulator.setFaults([{ match: 'POST .*/saleorder/add', kind: 'drop-after', times: 1 }])
    failure(await create.send(newOrder, lost, call))
    simulator.clearCalls()
    expect(value(await create.verify(newOrder, lost, call))).toMatchObject({
      effect: 'done',
      result: { reached: 'saved', note: expect.stringContaining('saved, not approved') },
    })
    expect(simulator.calls.filter((line) => line.startsWith('POST'))).toEqual([])
  })

  test('orders are approved, closed and cancelled; what is done already is not sent again', async () => {
    const { world, actions, called, create } = await setUp()
    const { key } = value(await create.send(newOrder, write, call))
    const steps = { ...write, externalReference: 'a'.repeat(32) }
    expect(value(await actions.confirm?.send({ key }, steps, call)).record?.status).toBe('CONFIRMED')
    value(await actions.confirm?.send({ key }, steps, call))
    expect(called(/saleorder\/verify/)).toHaveLength(1)
    expect(value(await actions.cancel?.send({ key }, steps, call)).record?.status).toBe('CLOSED')
    expect(orderIn(world, 13).cancelled).toBe(true)
    expect(failure(await actions.confirm?.send({ key }, steps, call))).toMatchObject({
      kind: 'rejected',
      code: 'STATE',
    })
    expect(failure(await actions.cancel?.send({ key: numberOf(2) }, steps, call))).toMatchObject({
      kind: 'rejected',
      message: 'Goods of order 0000001006 have been shipped: it can be closed, but not cancelled.',
    })
    expect(value(await actions.close?.send({ key: numberOf(2) }, steps, call)).record?.status).toBe('CLOSED')
    expect(failure(await actions.close?.send({ key: 'x' }, steps, call)).kind).toBe('not-found')
  })

  test('an action whose answer was lost is cleared up by reading the order', async () => {
    const { world, actions, simulator } = await setUp()
    changeOrder(world, orderIn(world, 3), { confirmed: false })
    simulator.setFaults([{ match: 'POST .*/saleorder/verify', kind: 'drop-after', times: 1 }])
    const input = { key: numberOf(3) }
    expect(failure(await actions.confirm?.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await actions.confirm?.verify(input, write, call))).toMatchObject({
      effect: 'done',
      result: { key: numberOf(3), record: { status: 'CONFIRMED' } },
    })
    expect(value(await actions.close?.verify(input, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
    })
    expect(value(await actions.close?.verify({ key: 'x' }, write, call))).toMatchObject({
      effect: 'none',
      proven: true,
    })
  })

  test('an action on an order that has changed since is a conflict', async () => {
    const { world, actions, order } = await setUp()
    const before = value((await order.readMany([numberOf(3)], call))[0])
    const input = { key: numberOf(3), expectedVersion: before?.version ?? '' }
    changeOrder(world, orderIn(world, 3), { comments: 'later' })
    const conflict = failure(await actions.close?.send(input, write, call))
    expect(conflict).toMatchObject({ kind: 'conflict' })
    const after = value((await order.readMany([numberOf(3)], call))[0])
    value(await actions.close?.send({ ...input, expectedVersion: after?.version ?? '' }, write, call))
  })
})

describe('tokens', () => {
  test('a token that has ended is replaced once, and the call repeated, writes too', async () => {
    const { customer, create, simulator, called, world } = await setUp()
    value((await customer.readMany(['C20001'], call))[0])
    simulator.expireTokens()
    expect(value((await customer.readMany(['C20001'], call))[0])?.key).toBe('C20001')
    expect(called(/system\/token/)).toHaveLength(2)
    simulator.setFaults([
      {
        match: 'POST',
        kind: 'status',
        status: 200,
        body: '{"errcode":"10014","errmsg":"token 已过期"}',
        times: 1,
      },
    ])
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
    expect(world.count('erpOrders')).toBe(13)
    expect(called(/system\/token/)).toHaveLength(3)
  })

  test('a gateway that refuses every token is not asked for ever', async () => {
    const { customer, simulator, called } = await setUp()
    const body = '{"errcode":"10013","errmsg":"token 无效"}'
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 200, body }])
    const read = await Promise.all(Array.from({ length: 20 }, () => customer.readMany(['C20001'], call)))
    expect(new Set(read.map(([one]) => failure(one).kind))).toEqual(new Set(['unauthorized']))
    expect(called(/system\/token/).length).toBeLessThanOrEqual(3)
    const before = simulator.calls.length
    expect(failure((await customer.readMany(['C20001'], call))[0]).kind).toBe('unauthorized')
    expect(simulator.calls.length).toBe(before)
  })

  test('a wrong secret is not tried again, and stands in no message and no log line', async () => {
    const lines: string[] = []
    const note = (...parts: unknown[]) => lines.push(JSON.stringify(parts))
    const log = { ...silentLog, debug: note, info: note, warn: note, error: note } as unknown as Log
    const { open, called } = await setUp({ log })
    const { customer, create, adapter } = open({ appSecret: 'wrong-秘密' })
    const failures = [
      failure((await customer.readMany(['C20001'], call))[0]),
      failure((await customer.readMany(['C20002', 'C20003'], call))[1]),
      failure(await create.send(newOrder, write, call)),
      failure(await adapter.health(call)),
    ]
    expect(failures.map((one) => one.kind)).toEqual(Array(4).fill('unauthorized'))
    expect(called(/system\/token/)).toHaveLength(1)
    const texts = [...failures.map(failureText), ...lines].join('\n')
    expect(texts).not.toContain('wrong-秘密')
    expect(texts).not.toContain(encodeURIComponent('wrong-秘密'))
  })

  test('the vendor’s words are shown without tokens and secrets that they repeat', async () => {
    const { customer, create, simulator } = await setUp()
    value((await customer.readMany(['C20001'], call))[0])
    const token = /[?&]token=(\w+)/.exec(simulator.calls.join('\n'))?.[1]
    const errmsg = `无法保存 ${token} ${SECRET}\n\u0007 ${'x'.repeat(900)}`
    const body = JSON.stringify({ errcode: '-1', errmsg })
    simulator.setFaults([{ match: 'POST', kind: 'status', status: 200, body }])
    const said = failure(await create.send(newOrder, write, call))
    expect(said.kind === 'rejected' && said.message.startsWith('无法保存 *** *** xxx')).toBe(true)
    expect(said.kind === 'rejected' && said.message.length).toBe(500)
  })

  test('health tells the company, and what is wrong', async () => {
    const { adapter, simulator, open } = await setUp()
    expect(value(await adapter.health(call)).detail).toMatch(
      /^Yonyou U8 of demo_u8, reached through 127\.0\.0\.1:\d+$/,
    )
    simulator.setAgent(false)
    expect(failure(await adapter.health(call))).toMatchObject({ kind: 'unavailable', reason: 'unreachable' })
    simulator.setAgent(true)
    expect(failure(await open({ dsSequence: 2 }).adapter.health(call)).kind).toBe('unauthorized')
    expect(failure(await open({ toAccount: 'other' }).adapter.health(call)).kind).toBe('unauthorized')
  })
})

describe('bad days', () => {
  const readOne = async (port: Awaited<ReturnType<typeof setUp>>['customer']) =>
    failure((await port.readMany(['C20001'], call))[0])

  test('a half-open socket ends at the timeout, and the other keys are not asked for', async () => {
    const { customer, simulator, called } = await setUp({ timeoutMs: 200, config: { parallelCalls: 2 } })
    simulator.setFaults([{ match: '/customer/', kind: 'hang' }])
    const began = Date.now()
    const keys = ['C20001', 'C20002', 'C20003']
    const read = await customer.readMany(keys, call)
    expect(read.map((one) => failure(one))).toEqual(
      Array(3).fill(expect.objectContaining({ kind: 'unavailable', reason: 'timeout' })),
    )
    expect(Date.now() - began).toBeLessThan(1_000)
    expect(called(/customer/)).toHaveLength(2)
  })

  test('abort lets go of the socket, and of the place in line', async () => {
    const { customer, simulator } = await setUp({ config: { parallelCalls: 1 } })
    value((await customer.readMany(['C20001'], call))[0])
    simulator.setFaults([{ match: '/customer/', kind: 'hang' }])
    const abort = new AbortController()
    const reads = Promise.all(
      ['C20001', 'C20002'].map((key) => customer.readMany([key], { ...call, signal: abort.signal })),
    )
    await delay(50)
    abort.abort()
    const read = await reads
    expect(read.map(([one]) => failure(one))).toEqual(
      Array(2).fill(expect.objectContaining({ kind: 'unavailable', reason: 'aborted' })),
    )
    simulator.setFaults([])
    expect(value((await customer.readMany(['C20003'], call))[0])?.key).toBe('C20003')
  })

  test('abort while the result is waited for leaves the write open', async () => {
    const { create } = await setUp({ simulator: { workMs: 5_000 }, config: { resultAfterSeconds: 3 } })
    const abort = new AbortController()
    const sent = create.send(newOrder, write, { ...call, signal: abort.signal })
    await delay(200)
    abort.abort()
    expect(failure(await sent).kind).toBe('unknown-outcome')
  })

  test('429 says when to come back; 5xx is unavailable for reads and unknown for writes', async () => {
    const { customer, create, simulator } = await setUp()
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 429, headers: { 'retry-after': '7' } }])
    expect(await readOne(customer)).toMatchObject({
      kind: 'unavailable',
      reason: 'rate-limited',
      retryAfterMs: 7_000,
    })
    expect(failure(await create.send(newOrder, write, call))).toMatchObject({
      kind: 'unavailable',
      retryAfterMs: 7_000,
    })
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 502 }])
    expect(await readOne(customer)).toMatchObject({ kind: 'unavailable', reason: 'overloaded' })
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    const busy = '{"errcode":"50001","errmsg":"系统繁忙，请稍后再试"}'
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 200, body: busy }])
    expect(await readOne(customer)).toMatchObject({ kind: 'unavailable', reason: 'rate-limited' })
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
  })

  test('answers of the wrong type are typed failures', async () => {
    const { customer, order, simulator } = await setUp()
    const answers = [
      '[]',
      '{"errcode":0}',
      '{"errcode":"0","customer":{"code":17,"name":["x"]}}',
      '"text"',
      'null',
    ]
    for (const body of answers) {
      simulator.setFaults([{ match: '/api/', kind: 'status', status: 200, body }])
      const [read] = await customer.readMany(['17'], call)
      const isMissing = body === '{"errcode":0}'
      if (isMissing) expect(value(read)).toBeNull()
      else expect(failure(read).kind).toBe('invalid-response')
    }
    simulator.setFaults([
      {
        match: 'batch_get',
        kind: 'status',
        status: 200,
        body: '{"errcode":"0","saleorderlist":"1"}',
      },
    ])
    expect(failure(await order.list?.({ first: 1 }, call)).kind).toBe('invalid-response')
  })

  test('an interface that is not there is no empty one', async () => {
    const { order, customer, simulator } = await setUp()
    const body = '{"errcode":"404","errmsg":"接口不存在"}'
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 200, body }])
    expect(failure(await order.list?.({ first: 1 }, call)).kind).toBe('unauthorized')
    expect(failure((await customer.readMany(['C20001'], call))[0]).kind).toBe('unauthorized')
  })

  test('a list of one may come as that one, under another name', async () => {
    const { customer, simulator } = await setUp()
    const one = '{"errcode":"0","customer":{"code":"17","name":"x"},"row_count":"1"}'
    const other = '{"errcode":"0","customers":[{"code":"17","name":"x"}]}'
    for (const body of [one, other]) {
      simulator.setFaults([{ match: 'batch_get', kind: 'status', status: 200, body }])
      const page = value(await customer.list?.({ first: 5 }, call))
      expect(page?.items.map(({ record }) => record.key)).toEqual(['17'])
    }
  })

  test('a check names the filters that the gateway overlooks, and the fields that no row has', async () => {
    const { adapter, simulator, open } = await setUp()
    expect(value(await adapter.checkConfiguration?.(call))).toEqual([])
    const rows =
      '{"errcode":"0","saleorderlist":[{"code":"XS1","date":"2026-01-02","timestamp":"7"}],"row_count":1}'
    simulator.setFaults([{ match: 'saleorderlist/batch_get', kind: 'status', status: 200, body: rows }])
    const wrong = open({ customFields: { customer: { region: 'no_such_field' } } })
    expect(value(await wrong.adapter.checkConfiguration?.(call))).toEqual([
      'customer: no row has "no_such_field" (region)',
      expect.stringMatching(/saleorderlist\/batch_get does not filter by define10/),
      expect.stringMatching(/saleorderlist\/batch_get does not filter by custcode/),
      expect.stringMatching(/saleorderlist\/batch_get does not filter by timestamp_begin.*changesBy: none/),
    ])
  })

  test('a result is only fetched from the configured address, whatever host the vendor names', async () => {
    const { create, simulator, called } = await setUp({ config: { resultWithinSeconds: 0.1 } })
    const body = '{"errcode":"0","tradeid":"t","url":"http://127.0.0.1:9/result?requestid=abc"}'
    simulator.setFaults([{ match: 'POST', kind: 'status', status: 200, body }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    expect(called(/GET \/result\?requestid=abc/).length).toBeGreaterThan(0)
  })

  test('texts of any script come through, and keys that no table has cost no call', async () => {
    const { world, customer, product, called } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    const codes = ["O'Neill & Söhne", '客户#1+2%/?', '１２３ＡＢＣ🧾']
    for (const cardCode of codes) world.put('erpAccounts', { ...account, cardCode, name: `${cardCode} 𠮷` })
    expect((await customer.readMany(codes, call)).map((one) => value(one)?.name)).toEqual(
      codes.map((code) => `${code} 𠮷`),
    )
    const impossible = ['', 'x'.repeat(61), 'a\u0000b', '\ud800']
    expect((await product.readMany(impossible, call)).map((one) => value(one))).toEqual([
      null,
      null,
      null,
      null,
    ])
    expect(called(/inventory/)).toEqual([])
  })
})
