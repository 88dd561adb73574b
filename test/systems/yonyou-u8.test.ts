import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { type Log, silentLog } from '../../src/observe/log.ts'
import { changeOrder, deliver, placeOrder } from '../../src/simulation/trade.ts'
import { type ErpOrder, World, type WorldOptions } from '../../src/simulation/world.ts'
import { failureText, type Outcome } from '../../src/systems/failure.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { createYonyouU8 } from '../../src/systems/yonyou-u8/adapter.ts'
import { yonyouU8Config } from '../../src/systems/yonyou-u8/config.ts'
import {
  startYonyouU8Simulator,
  type YonyouU8SimulatorOptions,
} from '../../src/systems/yonyou-u8/simulator.ts'

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
})
