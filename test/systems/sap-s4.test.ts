import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { systemSchema } from '../../src/config/schema.ts'
import { type Log, silentLog } from '../../src/observe/log.ts'
import { changeOrder, deliver, placeOrder } from '../../src/simulation/trade.ts'
import { type ErpOrder, World, type WorldOptions } from '../../src/simulation/world.ts'
import { failureText, type Outcome } from '../../src/systems/failure.ts'
import { createClock } from '../../src/systems/kit/clock.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { createSapS4 } from '../../src/systems/sap-s4/adapter.ts'
import { sapS4Config } from '../../src/systems/sap-s4/config.ts'
import { createMapping } from '../../src/systems/sap-s4/mapping.ts'
import { type SapS4SimulatorOptions, startSapS4Simulator } from '../../src/systems/sap-s4/simulator.ts'

const SECRET = 'S3cret-密钥+/'
const call = { caller: gatewayCaller }
const REFERENCE = '0123456789abcdef0123456789abcdef'
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: 'wang.fang' }

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly world?: WorldOptions
  readonly simulator?: SapS4SimulatorOptions
  readonly config?: object
  readonly timeoutMs?: number
  readonly log?: Log
}

const settings = (url: string) => ({
  baseUrl: url,
  auth: {
    method: 'clientCredentials',
    tokenUrl: `${url}/oauth/token`,
    clientId: 'tributary',
    clientSecret: SECRET,
  },
  salesArea: { organization: '1010', channel: '10', division: '00' },
  descriptionLanguages: ['ZH', 'EN'],
  levelCodes: { A: 'VIP', B: 'PREMIUM' },
  discountCondition: 'ZDIS',
  rejectionReason: '61',
  timeZone: '+08:00',
})

async function setUp(setup: Setup = {}) {
  const world = new World({ orders: 12, customers: 10, products: 10, ...setup.world })
  const simulator = await startSapS4Simulator(world, { clientSecret: SECRET, ...setup.simulator })
  closers.push(() => simulator.close())
  const open = (config: object = {}) => {
    const adapter = createSapS4(
      sapS4Config.parse({ ...settings(simulator.url), ...setup.config, ...config }),
      { systemId: 's4', log: setup.log ?? silentLog, timeoutMs: setup.timeoutMs ?? 2_000 },
    )
    closers.push(() => adapter.close())
    const { customer, product, inventoryLevel, order, delivery, invoice } = adapter.ports
    if (!customer || !product || !inventoryLevel || !order?.create || !order.update || !order.actions) {
      throw new Error('ports')
    }
    if (!delivery || !invoice) throw new Error('ports')
    const { create, update, actions } = order
    return {
      adapter,
      customer,
      product,
      inventoryLevel,
      order,
      delivery,
      invoice,
      create,
      update,
      cancel: actions.cancel,
      confirm: actions.confirm,
    }
  }
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

/** Numbers of orders: 1000 + 3n. */
const numberOf = (entry: number): string => String(1000 + entry * 3)

const newOrder: OrderCreate = {
  customer: 'C20001',
  dueDate: '2027-08-01',
  orderDate: '2027-07-01',
  currency: 'CNY',
  comments: '加急 🚚',
  lines: [
    { product: 'A00003', quantity: '2.5', unitPrice: '356.50', discountPercent: '5', warehouse: '1010/02' },
    { product: 'A00001', quantity: '3', unitPrice: '12.80' },
  ],
}

describe('reading', () => {
  test('answers one outcome per key, in the order of the keys, repeated, padded and missing ones included', async () => {
    const { customer, order, product, called } = await setUp()
    const read = await customer.readMany(['C20003', 'nobody', 'C20001', 'C20003', ''], call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual(['C20003', null, 'C20001', 'C20003', null])
    const keys = ['0000001015', 'x', '1003', '1015', "o'brien", '\ud800', '订单 & 100%']
    const orders = await order.readMany(keys, call)
    expect(orders.map((one) => value(one)?.key ?? null)).toEqual([
      '1015',
      null,
      '1003',
      '1015',
      null,
      null,
      null,
    ])
    expect(await product.readMany([], call)).toEqual([])
    expect(called(/A_SalesOrder/)).toHaveLength(1)
    expect(called(/A_Product/)).toHaveLength(0)
  })

  test('more keys than a filter takes go in one batch, whose parts follow their own pages', async () => {
    const { product, called } = await setUp({
      config: { filterTerms: 3 },
      simulator: { pageSize: 2 },
    })
    const keys = ['A00009', 'A00001', 'A00004', 'gone', 'A00002', 'A00007', 'A00003']
    const read = await product.readMany(keys, call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual(
      keys.map((key) => (key === 'gone' ? null : key)),
    )
    expect(called(/POST .*\$batch/)).toHaveLength(1)
    // One of the three parts has a third row, on a second page.
    expect(called(/GET .*skiptoken/)).toHaveLength(1)
  })

  test('a filter that would make the address too long goes in a batch', async () => {
    const { product, called } = await setUp({ config: { maxUrlLength: 500 } })
    const keys = Array.from({ length: 10 }, (_, at) => `A${String(at + 1).padStart(5, '0')}`)
    expect((await product.readMany(keys, call)).map((one) => value(one)?.key)).toEqual(keys)
    expect(called(/GET .*A_Product/)).toHaveLength(0)
    expect(called(/\$batch/)).toHaveLength(1)
  })

  test('an organisation is a customer only by its number as one', async () => {
    const { customer, world } = await setUp({ world: { customers: 5 } })
    const page = value(await customer.list?.({ first: 50 }, call))
    expect(page.items.map((item) => item.record.key)).toEqual(
      world
        .all('erpAccounts')
        .map((account) => account.cardCode)
        .sort(),
    )
    expect(page.items[0]?.record.type).toBe('COMPANY')
    expect((await customer.readMany(['1000001'], call)).map(value)).toEqual([null])
  })

  test('a customer shows the sales area that is configured, its tax number, and the addresses that are the main ones', async () => {
    const { customer } = await setUp()
    const [first, dollars, walkIn] = await customer.readMany(['C20001', 'C20002-USD', 'C99001'], call)
    expect(value(first)).toEqual({
      key: 'C20001',
      version: 'C2000120260420090000',
      status: 'ACTIVE',
      createdAt: '2024-11-08T17:00:00+08:00',
      updatedAt: '2026-04-20T17:00:00+08:00',
      name: '上海晨光精密机械有限公司',
      type: 'COMPANY',
      level: 'PREMIUM',
      vendorLevel: 'B',
      industry: null,
      taxNumber: '91310001MA1K007919',
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      addresses: [
        {
          type: 'OFFICE',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: null,
          postalCode: '201203',
          country: 'CN',
        },
      ],
      account: {
        company: '1010',
        salesArea: '1010/10/00',
        currency: 'CNY',
        creditLimit: null,
        balance: null,
        paymentTerms: 'Z012',
        blocked: false,
      },
    })
    // C20002: class C, which nobody has told the meaning of.
    expect(value(dollars)).toMatchObject({ level: 'UNKNOWN', vendorLevel: 'C', account: { currency: 'USD' } })
    expect(value(walkIn)).toMatchObject({ taxNumber: null, phone: null, email: null, addresses: [] })
  })

  test('a customer outside the configured sales area has no account here', async () => {
    const { open } = await setUp()
    const other = open({ salesArea: { organization: '2020', channel: '10', division: '00' } })
    expect(value((await other.customer.readMany(['C20001'], call))[0])).toMatchObject({
      name: '上海晨光精密机械有限公司',
      account: null,
    })
  })

  test('a frozen customer is blocked', async () => {
    const { world, customer } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, frozen: true })
    expect(value((await customer.readMany(['C20001'], call))[0])?.account?.blocked).toBe(true)
  })

  test('a product has its name in the languages that are configured, and what is not there is left out', async () => {
    const { product, open } = await setUp()
    const [first] = await product.readMany(['A00001'], call)
    expect(value(first)).toEqual({
      key: 'A00001',
      version: '2026-03-01T09:00:00Z',
      updatedAt: '2026-03-01T09:00:00Z',
      sku: 'A00001',
      name: '精密轴承 6204',
      foreignName: 'Precision bearing 6204',
      barcode: '6900000104729',
      unit: 'PC',
      units: [],
      cost: null, // of which plant, nobody has said
      category: { key: '101' },
      active: true,
    })
    const french = open({ descriptionLanguages: ['FR', 'EN'] })
    expect(value((await french.product.readMany(['A00001'], call))[0])).toMatchObject({
      name: 'Precision bearing 6204',
      foreignName: null,
    })
  })

  test('a product has a cost in the plant of new orders, for one unit, and its other units; neither where unwanted', async () => {
    const { world, open, called } = await setUp()
    const item = world.get('erpItems', 'A00001')
    if (!item) throw new Error('seed')
    world.put('erpItems', { ...item, salesUnit: { name: '箱', each: '12' } })
    const { product } = open({ defaults: { plant: '1010' }, unitCodes: { CAR: 'CT' } })
    expect(value((await product.readMany(['A00001'], call))[0])).toMatchObject({
      cost: { amount: '7.35', currency: 'CNY' },
      // 1 carton is 12 pieces
      units: [{ unit: 'CT', vendorUnit: 'CAR', numerator: '1', denominator: '12' }],
    })
    const before = called(/to_Valuation|UnitsOfMeasure/).length
    await product.readMany(['A00001'], { ...call, without: new Set(['cost', 'units']) })
    expect(called(/to_Valuation|UnitsOfMeasure/)).toHaveLength(before)
  })

  test('stock adds up the batches of one type and leaves out other types and special stock', async () => {
    const { inventoryLevel, world, open } = await setUp()
    const expected = world.get('erpStock', 'A00002@01')?.inStock
    const [level, none, nowhere] = await inventoryLevel.readMany(
      ['A00002/1010~101', 'A00002/1010~199', 'x/1010~101'],
      call,
    )
    expect(value(level)).toEqual({
      key: 'A00002/1010~101',
      product: 'A00002',
      warehouse: '1010/01',
      onHand: { value: expected, unit: 'EA', vendorUnit: 'EA' },
      reserved: null,
      available: null,
      incoming: null,
    })
    expect([none, nowhere].map(value)).toEqual([null, null])
    const lists = await inventoryLevel.lookups?.byProduct?.read(['A00001', 'x', 'A00001'], call)
    expect(lists?.map((list) => value(list).map((one) => one.warehouse))).toEqual([
      ['1010/01', '1010/02', '1010/YOK'],
      [],
      ['1010/01', '1010/02', '1010/YOK'],
    ])
    const blocked = open({ stockType: '07' })
    expect(value((await blocked.inventoryLevel.readMany(['A00002/1010~101'], call))[0])?.onHand.value).toBe(
      '5',
    )
  })

  test('warehouses are those that the configuration names', async () => {
    const { adapter, open } = await setUp()
    expect(adapter.ports.warehouse).toBeUndefined()
    const { warehouse } = open({ warehouses: { '1010/02': '深圳仓', '1010/01': '上海总仓' } }).adapter.ports
    const read = (await warehouse?.readMany(['1010/02', '1010/99'], call)) ?? []
    expect(read.map(value)).toEqual([{ key: '1010/02', name: '深圳仓' }, null])
    const page = value(await warehouse?.list?.({ first: 1 }, call))
    expect(page).toMatchObject({ items: [{ position: '1010/01' }], hasMore: true })
    const next = value(await warehouse?.list?.({ first: 1, after: '1010/01' }, call))
    expect(next).toMatchObject({ items: [{ record: { name: '深圳仓' } }], hasMore: false })
  })

  test('a stock row that two pages both bring is counted once, by all eleven parts of its key', () => {
    const map = createMapping(sapS4Config.parse(settings('http://s4.example')), createClock('+00:00'))
    const row = {
      Material: '000000000000004711',
      Plant: '0100',
      StorageLocation: '0001',
      Batch: 'L1',
      Supplier: '',
      Customer: '',
      WBSElementInternalID: '0',
      SDDocument: '',
      SDDocumentItem: '0',
      InventorySpecialStockType: '',
      InventoryStockType: '01',
      MaterialBaseUnit: 'KG',
      MatlWrhsStkQtyInMatlBaseUnit: '12345678901234567.12345678901230',
    }
    const levels = value(map.inventoryLevels([row, row, { ...row, Batch: 'L2' }]).get('4711'))
    expect(levels).toMatchObject([
      {
        key: '4711/0100~10001',
        onHand: { value: '24691357802469134.2469135780246', unit: 'KGM', vendorUnit: 'KG' },
      },
    ])
    const two = map.inventoryLevels([row, { ...row, Batch: 'L2', MaterialBaseUnit: 'ST' }]).get('4711')
    expect(failure(two)).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('two units'),
    })
  })

  test('an order has its dates as days, its amounts as the vendor wrote them, prices from its conditions', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany(['1003'], call))[0])
    expect(found).toMatchObject({
      key: '1003',
      number: '1003',
      version: `W/"datetimeoffset'2026-05-21T09%3A00%3A00Z'"`,
      updatedAt: '2026-05-21T09:00:00Z',
      company: '1010',
      customer: 'C20001',
      customerReference: 'CG-2026-0511',
      externalReference: null,
      orderDate: '2026-05-11',
      dueDate: '2026-05-25',
      status: 'DELIVERED',
      vendorStatus: 'C Delivery=C Rejection=A Approval= Credit= Block=',
      fulfilmentStatus: 'COMPLETE',
      totals: { net: { amount: '3196.49', currency: 'CNY' } },
    })
    expect(found?.totals?.gross ?? null).toBeNull()
    expect(found?.lines[2]).toEqual({
      id: '30',
      lineNumber: '30',
      product: 'A00004',
      sku: 'A00004',
      description: '联轴器 D30',
      ordered: { value: '7', unit: 'H87', vendorUnit: 'PC' },
      confirmed: { value: '7', unit: 'H87', vendorUnit: 'PC' },
      delivered: { value: '7', unit: 'H87', vendorUnit: 'PC' },
      open: { value: '0', unit: 'H87', vendorUnit: 'PC' },
      unitPrice: { amount: { amount: '48.335', currency: 'CNY' }, per: '1', taxIncluded: false },
      discountPercent: '5',
      net: { amount: '321.43', currency: 'CNY' },
      tax: { amount: '41.79', currency: 'CNY' }, // 13 %
      warehouse: '1010/02',
      status: 'CLOSED',
    })
  })

  test('an order says whom it concerns, how it is paid, what holds it; partners are asked for only where wanted', async () => {
    const { order, world, called } = await setUp({ world: { orders: 12 } })
    const sent = world.all('erpOrders').find((one) => one.shipTo !== undefined)
    if (!sent) throw new Error('seed')
    const found = value((await order.readMany([String(sent.docNum)], call))[0])
    expect(found).toMatchObject({
      documentType: 'OR',
      channel: '10',
      approvalStatus: 'NOT_REQUIRED',
      holds: [],
      shipTo: {
        key: 'C20001',
        name: '李强',
        phone: '+86 21 5550 0001',
        address: {
          street: '青浦区华新镇华腾路 1288 号 3 库',
          city: '上海',
          postalCode: '201708',
          country: 'CN',
        },
      },
      billTo: { key: 'C20001' },
      payer: { key: 'C20001' },
      payment: { terms: 'Z012', method: 'T' },
    })
    const asked = called(/to_Partner/).length
    const without = { ...call, without: new Set(['parties']) }
    expect(value((await order.readMany(['1003'], without))[0])).toMatchObject({ shipTo: null, payer: null })
    expect(called(/to_Partner/)).toHaveLength(asked)
  })

  test('dollars in a yuan company, and yen without decimals', async () => {
    const { order } = await setUp()
    const [dollars, yen] = await order.readMany([numberOf(5), numberOf(7)], call)
    expect(value(dollars)).toMatchObject({
      totals: { net: { amount: '1708.27', currency: 'USD' } },
      lines: [
        { unitPrice: { amount: { amount: '249.99', currency: 'USD' } } },
        { unitPrice: { amount: { amount: '1.8333', currency: 'USD' } }, net: { amount: '458.33' } },
      ],
    })
    expect(value(yen)?.totals?.net).toEqual({ amount: '15045', currency: 'JPY' })
  })

  test('the status follows process, delivery, rejection and approval; codes can be told otherwise', async () => {
    const { world, order, open, cancel } = await setUp()
    changeOrder(world, orderIn(world, 3), { confirmed: false })
    changeOrder(world, orderIn(world, 2), { closed: true })
    value(await cancel?.send({ key: numberOf(6) }, write, call))
    const keys = [1, 2, 3, 5, 6].map(numberOf)
    const read = async (port = order) => (await port.readMany(keys, call)).map((one) => value(one)?.status)
    expect(await read()).toEqual(['DELIVERED', 'CLOSED', 'PENDING_APPROVAL', 'CONFIRMED', 'CANCELLED'])
    expect(await read(open({ statusCodes: { A: 'NEW' } }).order)).toEqual([
      'DELIVERED',
      'CLOSED',
      'PENDING_APPROVAL',
      'NEW',
      'CANCELLED',
    ])
  })

  test('what an older release lacks is left out of the question from then on, and said once', async () => {
    const warnings: unknown[] = []
    const log = { ...silentLog, warn: (fields: unknown) => void warnings.push(fields) } as Log
    const { order, open, called } = await setUp({
      log,
      simulator: { absent: ['SalesDocApprovalStatus', 'DeliveryBlockReason', 'ProductionPlant'] },
    })
    const [first] = await order.readMany(['1003'], call)
    expect(value(first)).toMatchObject({ status: 'DELIVERED', lines: [{ warehouse: null }, {}, {}] })
    const before = called(/A_SalesOrder/).length
    expect(before).toBeGreaterThan(1)
    value((await order.readMany(['1006'], call))[0])
    expect(called(/A_SalesOrder/)).toHaveLength(before + 1)
    expect(warnings.flatMap((one) => (one as { unknown?: string[] }).unknown ?? []).sort()).toEqual([
      'DeliveryBlockReason',
      'SalesDocApprovalStatus',
      'to_Item/ProductionPlant',
    ])
    const told = open({ absentFields: ['SalesDocApprovalStatus', 'DeliveryBlockReason', 'ProductionPlant'] })
    const asked = called(/A_SalesOrder/).length
    expect(value((await told.order.readMany(['1003'], call))[0])?.status).toBe('DELIVERED')
    expect(called(/A_SalesOrder/)).toHaveLength(asked + 1)
  })

  test('a custom field that the configuration names and the company lacks is an error', async () => {
    const { open } = await setUp()
    const { order } = open({ customFields: { order: { region: 'YY1_Region_SDH' } } })
    expect(failure((await order.readMany(['1003'], call))[0])).toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('YY1_Region_SDH'),
    })
  })

  test('customers are known by the number of the partner where the service does not know the other', async () => {
    const { open, world } = await setUp({ simulator: { absent: ['Customer'] } })
    // Told by the configuration, or found out.
    for (const { customer } of [open({ customerKey: 'BusinessPartner' }), open()]) {
      const [found, supplier] = await customer.readMany(['C20001', '1000001'], call)
      expect(value(found)).toMatchObject({ key: 'C20001', account: { company: '1010', currency: 'CNY' } })
      expect(value(supplier)).toBeNull()
      const page = value(await customer.list?.({ first: 50 }, call))
      expect(page.items.map((item) => item.record.key)).toEqual(
        world
          .all('erpAccounts')
          .map((account) => account.cardCode)
          .sort(),
      )
    }
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, order } = await setUp()
    world.put('erpOrders', { ...orderIn(world, 2), docDate: 'yesterday' })
    const [first, second, third] = await order.readMany(['1003', '1006', '1009'], call)
    expect(value(first)?.key).toBe('1003')
    expect(failure(second)).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('SalesOrder 1006'),
    })
    expect(value(third)?.key).toBe('1009')
    // A customer's orders would look whole: they fail. A list leaves the record out.
    const lists = await order.lookups?.byCustomer?.read(['C20001', 'C20003'], call)
    expect(failure(lists?.[0]).kind).toBe('invalid-response')
    expect(value(lists?.[1]).map((one) => one.key)).toEqual(['1018'])
    const page = value(await order.list?.({ first: 9, filter: { customer: 'C20001' } }, call))
    expect(page.items.map((item) => item.record.key)).toEqual(['1009', '1003'])
  })

  test('deliveries of an order, and billing documents of an order, in two calls each', async () => {
    const { delivery, invoice, called, simulator } = await setUp()
    const deliveries = await delivery.lookups?.byOrder?.read(['1003', '1009', '0000001006'], call)
    expect(deliveries?.map((list) => value(list).map((one) => one.key))).toEqual([
      ['80000001'],
      [],
      ['80000002'],
    ])
    expect(called(/OUTBOUND/)).toHaveLength(2)
    expect(value(deliveries?.[0])[0]).toMatchObject({
      number: '80000001',
      customer: 'C20001',
      orders: ['1003'],
      date: '2026-05-21',
      status: 'OPEN',
      vendorStatus: 'B GoodsMovement=C',
      createdAt: '2026-05-21T17:00:00+08:00',
    })
    expect(value(deliveries?.[0])[0]?.lines[2]).toEqual({
      id: '30',
      product: 'A00004',
      description: '联轴器 D30',
      quantity: { value: '7', unit: 'H87', vendorUnit: 'PC' },
      warehouse: '1010/02',
      order: '1003',
      orderLine: '30',
    })
    simulator.clearCalls()
    const invoices = await invoice.lookups?.byOrderNumber?.read(['1003', '1006'], call)
    expect(invoices?.map((list) => value(list).map((one) => one.key))).toEqual([['90000001'], []])
    expect(called(/BILLING/)).toHaveLength(2)
  })

  test('a billing document has all three totals and its clearing status; what is due stands elsewhere', async () => {
    const { invoice } = await setUp()
    const [paid] = await invoice.readMany(['90000001'], call)
    expect(value(paid)).toMatchObject({
      number: '90000001',
      type: 'STANDARD',
      customer: 'C20001',
      orderNumbers: ['1003'],
      issueDate: '2026-05-22',
      dueDate: null,
      status: 'PARTIALLY_PAID',
      vendorStatus: 'B Posting=C',
      totals: {
        net: { amount: '3196.49', currency: 'CNY' },
        tax: { amount: '415.54', currency: 'CNY' },
        gross: { amount: '3612.03', currency: 'CNY' },
      },
      paid: null,
      open: null,
    })
    expect(value(paid)?.lines?.[2]).toEqual({
      id: '30',
      product: 'A00004',
      description: '联轴器 D30',
      quantity: { value: '7', unit: 'H87', vendorUnit: 'PC' },
      net: { amount: '321.43', currency: 'CNY' },
      tax: { amount: '41.79', currency: 'CNY' }, // 13 %
      orderNumber: '1003',
    })
    const [byCustomer] = (await invoice.lookups?.byCustomer?.read(['C20001'], call)) ?? []
    expect(value(byCustomer).map((one) => one.key)).toEqual(['90000001'])
  })

  test('orders of a customer come newest first, over more pages than one', async () => {
    const { order, called } = await setUp({ simulator: { pageSize: 2 } })
    const [mine, nobody] = (await order.lookups?.byCustomer?.read(['C20001', 'x'], call)) ?? []
    expect(value(mine).map((one) => one.key)).toEqual(['1009', '1006', '1003'])
    expect(value(nobody)).toEqual([])
    expect(called(/skiptoken=2/)).toHaveLength(1)
    const byNumber = await order.lookups?.byNumber?.read(['1006', '7'], call)
    expect(byNumber?.map((one) => value(one).length)).toEqual([1, 0])
  })
})

describe('lists and changes', () => {
  test('a list is complete while orders are added, newest first', async () => {
    const { order, world } = await setUp({ simulator: { pageSize: 3 } })
    const seen: string[] = []
    for (let after: string | undefined; ; ) {
      const page = value(await order.list?.({ first: 4, after }, call))
      seen.push(...page.items.map((item) => item.record.key))
      after = page.items.at(-1)?.position
      placeOrder(world, {
        cardCode: 'C20003',
        currency: 'USD',
        docDate: '2026-07-01',
        dueDate: '2026-07-02',
        lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }],
      })
      if (!page.hasMore) break
    }
    expect(seen).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(numberOf))
    const mine = value(await order.list?.({ first: 2, filter: { customer: 'C20001' } }, call))
    expect(mine.items.map((item) => item.record.key)).toEqual(['1009', '1006'])
    expect(mine.hasMore).toBe(true)
    const search = value(await order.list?.({ first: 9, filter: { search: "NL/'4711" } }, call))
    expect(search.items).toEqual([])
    const found = value(await order.list?.({ first: 9, filter: { search: 'NL/4711' } }, call))
    expect(found.items.map((item) => item.record.key)).toEqual(['1012'])
  })

  test('products do not belong to customers', async () => {
    const { product } = await setUp()
    const outcome = await product.list?.({ first: 2, filter: { customer: 'C20001' } }, call)
    expect(failure(outcome).kind).toBe('unsupported')
  })

  test('stock is listed material by material, however small the pages', async () => {
    const { inventoryLevel, open, world } = await setUp()
    const expected = world
      .all('erpStock')
      .map((place) => `${place.item}/1010~1${place.warehouse}`)
      .sort()
    const small = open({ pageLimit: 3 })
    for (const port of [inventoryLevel, small.inventoryLevel]) {
      const seen: string[] = []
      for (let after: string | undefined; ; ) {
        const page = value(await port.list?.({ first: 4, after }, call))
        seen.push(...page.items.map((item) => item.record.key))
        after = page.items.at(-1)?.position
        if (!page.hasMore) break
      }
      expect(seen).toEqual(expected)
    }
  })

  test('changes of orders go by the server’s stamps, page by page, and lose nothing that changes meanwhile', async () => {
    const { order, world, open } = await setUp({ config: { pageLimit: 2, overlapSeconds: 0 } })
    const start = value(await order.changes?.(null, call))
    const last = world.all('erpOrders').reduce((a, { updatedAt }) => (updatedAt > a ? updatedAt : a), '')
    const since = last.replace('.000Z', 'Z')
    expect(start).toEqual({ records: [], checkpoint: JSON.stringify({ since }), hasMore: false })
    for (const entry of [3, 1, 2]) changeOrder(world, orderIn(world, entry), { comments: `${entry}` })
    const first = value(await order.changes?.(start.checkpoint, call))
    expect(first.hasMore).toBe(true)
    const seen = first.records.map((one) => one.key)
    // Changed after its page: found by the next round.
    changeOrder(world, orderIn(world, 1), { comments: 'again' })
    let { checkpoint, hasMore } = first
    while (hasMore) {
      const page = value(await order.changes?.(checkpoint, call))
      seen.push(...page.records.map((one) => one.key))
      ;({ checkpoint, hasMore } = page)
    }
    expect(seen).toEqual(expect.arrayContaining(['1003', '1006', '1009']))
    let round = value(await order.changes?.(checkpoint, call))
    const again = [...round.records]
    while (round.hasMore) {
      round = value(await order.changes?.(round.checkpoint, call))
      again.push(...round.records)
    }
    expect(again.find((one) => one.key === '1003')?.comments).toBe('again')
    expect(failure(await order.changes?.('yesterday', call)).kind).toBe('unsupported')
    expect(failure(await open().order.changes?.('{"since":"2026-06-30"}', call)).kind).toBe('unsupported')
  })

  test('partners and deliveries are stamped with a day: the day before is looked at again', async () => {
    const { customer, delivery, world } = await setUp()
    const start = value(await customer.changes?.(null, call))
    expect(JSON.parse(start.checkpoint)).toEqual({ since: '2026-04-20' })
    const account = world.get('erpAccounts', 'C20004')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, name: '株式会社みなと', updatedAt: '2026-04-19T01:00:00.000Z' })
    const page = value(await customer.changes?.(start.checkpoint, call))
    expect(page.records.map((one) => one.key)).toContain('C20004')
    expect(JSON.parse(page.checkpoint)).toEqual({ since: '2026-04-20' })
    const before = value(await delivery.changes?.(null, call))
    deliver(world, orderIn(world, 3))
    const after = value(await delivery.changes?.(before.checkpoint, call))
    expect(after.records.at(-1)?.orders).toEqual(['1009'])
  })
})

describe('logging in', () => {
  test('a token that has ended is renewed once, writes too', async () => {
    const { order, create, simulator, called } = await setUp()
    value((await order.readMany(['1003'], call))[0])
    simulator.endTokens()
    value((await order.readMany(['1003'], call))[0])
    expect(called(/oauth/)).toHaveLength(2)
    simulator.endTokens()
    value(await create.send(newOrder, write, call))
    expect(called(/oauth/)).toHaveLength(3)
  })

  test('wrong credentials are not tried again, and appear in no failure', async () => {
    for (const auth of [
      { ...settings('').auth, clientSecret: 'wrong-密码' },
      { method: 'basic', username: 'tributary', password: 'wrong-密码' },
    ]) {
      const { order, open, called, simulator } = await setUp()
      expect(order).toBeDefined()
      const tokenUrl = `${simulator.url}/oauth/token`
      const wrong = open({ auth: auth.method === 'basic' ? auth : { ...auth, tokenUrl } })
      const [first] = await wrong.order.readMany(['1003'], call)
      expect(failure(first).kind).toBe('unauthorized')
      const asked = simulator.calls.length
      const second = await wrong.create.send(newOrder, write, call)
      expect(failure(second).kind).toBe('unauthorized')
      expect(simulator.calls.length).toBe(asked)
      expect(asked).toBe(1)
      expect(JSON.stringify([first, second])).not.toMatch(/wrong|密码|S3cret/)
      expect(called(/SALES_ORDER/).length).toBeLessThan(2)
    }
  })

  test('a user and a password will do, and the client is named on every request', async () => {
    const { open, simulator } = await setUp({ simulator: { sapClient: '100', pageSize: 2 } })
    const basic = open({
      auth: { method: 'basic', username: 'tributary', password: SECRET },
      sapClient: '100',
      filterTerms: 1,
    })
    const read = await basic.order.lookups?.byCustomer?.read(['C20001', 'C20003'], call)
    expect(read?.map((list) => value(list).length)).toEqual([3, 1])
    value(await basic.create.send(newOrder, write, call))
    expect(simulator.calls.every((line) => line.split('sap-client=100').length === 2)).toBe(true)
    expect(value(await basic.adapter.health(call)).detail).toBe(
      'SAP S/4HANA, client 100, sales area 1010/10/00',
    )
  })
})

describe('CSRF tokens', () => {
  test('a token is fetched once with its cookies and serves many writes at once', async () => {
    const { create, called } = await setUp()
    const sent = await Promise.all(
      Array.from({ length: 12 }, (_, at) =>
        create.send(newOrder, { ...write, externalReference: String(at).padStart(32, '0') }, call),
      ),
    )
    expect(new Set(sent.map((one) => value(one).key)).size).toBe(12)
    expect(called(/^HEAD/)).toHaveLength(1)
  })

  test('a session that has ended is replaced once, whoever notices it', async () => {
    const { create, simulator, called, world } = await setUp()
    value(await create.send(newOrder, write, call))
    simulator.endSessions()
    simulator.clearCalls()
    const before = world.count('erpOrders')
    const sent = await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        create.send(newOrder, { ...write, externalReference: String(at).padStart(32, '0') }, call),
      ),
    )
    expect(sent.every((one) => one.ok)).toBe(true)
    expect(world.count('erpOrders')).toBe(before + 8)
    expect(called(/^HEAD/).length).toBeLessThanOrEqual(2)
  })

  test('a system that refuses HEAD is asked by GET', async () => {
    const { create, called } = await setUp({ simulator: { refuseHead: true } })
    value(await create.send(newOrder, write, call))
    expect(called(/^HEAD/)).toHaveLength(2)
    expect(called(/^GET .*API_SALES_ORDER_SRV\/$/)).toHaveLength(1)
  })

  test('no token within the limit means that nothing was sent', async () => {
    const { create, simulator, world } = await setUp()
    const before = world.count('erpOrders')
    simulator.setFaults([{ kind: 'status', status: 503, match: '^HEAD' }])
    expect(failure(await create.send(newOrder, write, call))).toMatchObject({
      kind: 'unavailable',
      reason: 'overloaded',
    })
    simulator.setFaults([{ kind: 'refuse', match: '^(HEAD|GET)' }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unavailable')
    expect(world.count('erpOrders')).toBe(before)
  })

  test('a 403 that is not about the token is a refusal', async () => {
    const { create, simulator, called } = await setUp()
    const body = JSON.stringify({
      error: {
        code: 'V1/900',
        message: { lang: 'en', value: 'No authorization for sales organization 1010' },
      },
    })
    simulator.setFaults([{ kind: 'status', status: 403, body, match: '^POST .*A_SalesOrder' }])
    expect(failure(await create.send(newOrder, write, call))).toEqual({
      kind: 'rejected',
      code: 'V1/900',
      message: 'No authorization for sales organization 1010',
    })
    expect(called(/^POST .*A_SalesOrder/)).toHaveLength(1)
  })
})

describe('creating orders', () => {
  test('one deep create brings items, prices and text, and comes back as it went in', async () => {
    const { create, world, called } = await setUp()
    const result = value(await create.send(newOrder, write, call))
    expect(result).toMatchObject({
      key: '1039',
      reached: 'effective',
      record: {
        number: '1039',
        customer: 'C20001',
        customerReference: null,
        externalReference: REFERENCE,
        orderDate: '2027-07-01',
        dueDate: '2027-08-01',
        comments: '加急 🚚',
        status: 'CONFIRMED',
        totals: { net: { amount: '885.09', currency: 'CNY' } },
      },
    })
    expect(result.note).toBeUndefined()
    expect(result.record?.lines).toMatchObject([
      {
        product: 'A00003',
        ordered: { value: '2.5' },
        unitPrice: { amount: { amount: '356.5', currency: 'CNY' } },
        discountPercent: '5',
        warehouse: '1010/02',
      },
      { product: 'A00001', ordered: { value: '3' }, unitPrice: { amount: { amount: '12.8' } } },
    ])
    expect(
      orderIn(world, 13).lines.map((line) => [line.quantity, line.unitPrice, line.discountPercent]),
    ).toEqual([
      ['2.5', '356.5000', '5'],
      ['3', '12.8000', '0'],
    ])
    expect(called(/POST .*A_SalesOrder/)).toHaveLength(1)
  })

  test('the preview is the request that is sent, without credentials', async () => {
    const { create } = await setUp()
    const preview = create.preview(newOrder, write)
    expect(preview).toMatchObject({
      method: 'POST',
      path: '/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder',
      headers: { 'content-type': 'application/json' },
    })
    expect(JSON.parse(preview.body ?? '')).toEqual({
      SalesOrderType: 'OR',
      SalesOrganization: '1010',
      DistributionChannel: '10',
      OrganizationDivision: '00',
      SoldToParty: 'C20001',
      SalesOrderDate: '/Date(1814400000000)/',
      RequestedDeliveryDate: '/Date(1817078400000)/',
      TransactionCurrency: 'CNY',
      PurchaseOrderByCustomer: REFERENCE,
      to_Text: [{ Language: 'EN', LongTextID: 'TX01', LongText: '加急 🚚' }],
      to_Item: [
        {
          Material: 'A00003',
          RequestedQuantity: '2.5',
          ProductionPlant: '1010',
          StorageLocation: '02',
          to_PricingElement: [
            {
              ConditionType: 'PPR0',
              ConditionRateValue: '356.50',
              ConditionCurrency: 'CNY',
              ConditionQuantity: '1',
            },
            { ConditionType: 'ZDIS', ConditionRateValue: '-5' },
          ],
        },
        {
          Material: 'A00001',
          RequestedQuantity: '3',
          to_PricingElement: [
            {
              ConditionType: 'PPR0',
              ConditionRateValue: '12.80',
              ConditionCurrency: 'CNY',
              ConditionQuantity: '1',
            },
          ],
        },
      ],
    })
  })

  test('own fields take reference, user and what the company has added', async () => {
    const { create, world, open } = await setUp({
      config: {
        externalReferenceField: 'YY1_TributaryRef_SDH',
        onBehalfOfField: 'YY1_TributaryUser_SDH',
        customFields: { order: { channel: 'YY1_Channel_SDH' } },
      },
    })
    const input = { ...newOrder, customerReference: 'PO/1', customFields: { channel: '门店' } }
    const result = value(await create.send(input, write, call))
    expect(result.record).toMatchObject({
      customerReference: 'PO/1',
      externalReference: REFERENCE,
      customFields: { channel: '门店' },
    })
    expect(orderIn(world, 13).userFields).toEqual({
      YY1_TributaryRef_SDH: REFERENCE,
      YY1_TributaryUser_SDH: 'wang.fang',
      YY1_Channel_SDH: '门店',
    })
    const unknown = await create.send({ ...input, customFields: { colour: 'red' } }, write, call)
    expect(failure(unknown).kind).toBe('unsupported')
    const inOne = open({ externalReferenceField: 'PurchaseOrderByCustomer', onBehalfOfField: null })
    expect(failure(await inOne.create.send(input, write, call)).kind).toBe('unsupported')
  })

  test('an address of its own and texts of lines go with a new order, where there is a place for them', async () => {
    const { open } = await setUp()
    const { order } = open({ itemTextType: 'TX05' })
    const shipTo = {
      name: '李强',
      phone: '+86 21 5550 0001',
      address: {
        street: '华腾路 1288 号',
        city: '上海',
        province: '020',
        postalCode: '201708',
        country: 'CN',
      },
    }
    const [first, ...rest] = newOrder.lines
    const input = { ...newOrder, shipTo, lines: [{ ...first, comments: '轻放 📦' }, ...rest] } as OrderCreate
    const made = value(await order.create?.send(input, write, call)).record
    expect(made?.shipTo).toEqual({ key: 'C20001', email: null, ...shipTo })
    expect(made?.lines?.map(({ comments }) => comments)).toEqual(['轻放 📦', null])
    const abroad = { ...shipTo, address: { ...shipTo.address, province: '上海市' } }
    expect(failure(await order.create?.send({ ...input, shipTo: abroad }, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('上海市'),
    })
    expect(order.create?.takes).toContain('lines.comments')
    expect(open().order.create?.takes).not.toContain('lines.comments')
  })

  test('terms, method of payment and the fields of lines go with a new order; terms can be changed', async () => {
    const { open } = await setUp()
    const { create, order, update } = open({
      customFields: { orderLine: { engraving: 'YY1_Engraving_SDI' } },
    })
    const [line] = newOrder.lines
    if (!line) throw new Error('lines')
    const input: OrderCreate = {
      ...newOrder,
      paymentTerms: 'NT30',
      paymentMethod: 'T',
      lines: [{ ...line, customFields: { engraving: '晨光 №7' } }],
    }
    expect(create.takes).toEqual(['shipTo', 'paymentTerms', 'paymentMethod', 'lines.customFields'])
    const body = JSON.parse(create.preview?.(input, write).body ?? '')
    expect(body).toMatchObject({
      CustomerPaymentTerms: 'NT30',
      PaymentMethod: 'T',
      to_Item: [{ YY1_Engraving_SDI: '晨光 №7' }],
    })
    const { key } = value(await create.send(input, write, call))
    const read = async () => value((await order.readMany([key], call))[0])
    expect(await read()).toMatchObject({
      payment: { terms: 'NT30', method: 'T' },
      lines: [{ customFields: { engraving: '晨光 №7' } }],
    })
    const strange = { ...input, lines: [{ ...line, customFields: { colour: 'red' } }] }
    expect(failure(await create.send(strange, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('"colour"'),
    })
    const change = { key, changes: { paymentTerms: 'NT60' } }
    expect(value(await update.verify(change, write, call)).effect).toBe('none')
    value(await update.send(change, write, call))
    expect((await read())?.payment).toEqual({ terms: 'NT60', method: 'T' })
    expect(value(await update.verify(change, write, call)).effect).toBe('done')
  })

  test('a refusal keeps the vendor’s code, words, line and field, without what is said twice', async () => {
    const { create, simulator } = await setUp()
    const input = { ...newOrder, lines: [...newOrder.lines, { product: '4711', quantity: '1' }] }
    expect(failure(await create.send(input, write, call))).toEqual({
      kind: 'rejected',
      code: 'SLS_LORD/033',
      message: 'Material 4711 is not maintained',
      line: '30',
      field: 'Material',
    })
    expect(failure(await create.send({ ...newOrder, customer: 'C1' }, write, call))).toMatchObject({
      code: 'VP/199',
      field: 'SoldToParty',
    })
    const sent = simulator.calls.length
    const malformed = { ...newOrder, lines: [{ product: 'A00001', quantity: '1e3' }] }
    expect(failure(await create.send(malformed, write, call))).toMatchObject({ kind: 'rejected', line: '1' })
    expect(simulator.calls.length).toBe(sent)
  })

  test('errors in XML are read as well', async () => {
    const { create } = await setUp({ simulator: { xmlErrors: true } })
    const input = { ...newOrder, lines: [{ product: 'A&<B>', quantity: '1' }] }
    expect(failure(await create.send(input, write, call))).toMatchObject({
      kind: 'rejected',
      code: 'SLS_LORD/033',
      message: 'Material A&<B> is not maintained',
    })
  })

  test('warnings that come with a success are passed on', async () => {
    const { create } = await setUp()
    const result = value(await create.send({ ...newOrder, dueDate: '2027-06-01' }, write, call))
    expect(result.note).toBe('Requested delivery date lies in the past')
  })

  test('an order that waits for approval is handed in, and can be released', async () => {
    const { create, confirm } = await setUp({ simulator: { approvalAbove: '100' } })
    const result = value(await create.send(newOrder, write, call))
    expect([result.reached, result.record?.status]).toEqual(['submitted', 'PENDING_APPROVAL'])
    const input = { key: result.key }
    expect(value(await confirm?.verify(input, write, call))).toMatchObject({ effect: 'none' })
    expect(value(await confirm?.send(input, write, call)).record?.status).toBe('CONFIRMED')
    expect(value(await confirm?.verify(input, write, call))).toMatchObject({ effect: 'done' })
    expect(failure(await confirm?.send(input, write, call)).kind).toBe('rejected')
  })

  test('an answer that was lost is an unknown outcome, and the look afterwards finds the order', async () => {
    for (const kind of ['drop-after', 'truncate'] as const) {
      const { create, simulator, world } = await setUp()
      value(await create.send(newOrder, { ...write, externalReference: 'f'.repeat(32) }, call))
      simulator.setFaults([{ kind, match: '^POST .*A_SalesOrder', times: 1 }])
      const before = world.count('erpOrders')
      expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
      expect(world.count('erpOrders')).toBe(before + 1)
      expect(value(await create.verify(newOrder, write, call))).toMatchObject({
        effect: 'done',
        result: { key: '1042', reached: 'effective', record: { externalReference: REFERENCE } },
      })
    }
  })

  test('silence and a 500 are unknown outcomes; not found is no proof', async () => {
    const { create, simulator } = await setUp({ timeoutMs: 200 })
    value((await create.verify(newOrder, write, call)) as Outcome<unknown>)
    for (const fault of [
      { kind: 'hang' },
      { kind: 'html' },
      { kind: 'status', status: 500 },
      { kind: 'drop-before' },
    ] as const) {
      simulator.setFaults([{ ...fault, match: '^POST .*A_SalesOrder', times: 1 }])
      expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
      expect(value(await create.verify(newOrder, write, call))).toEqual({
        effect: 'none',
        proven: false,
        evidence: `no order of C20001 has PurchaseOrderByCustomer = ${REFERENCE}`,
      })
    }
  })

  test('429 says when to come back', async () => {
    const { create, order, simulator } = await setUp()
    simulator.setFaults([
      { kind: 'status', status: 429, headers: { 'retry-after': '7' }, match: 'A_SalesOrder', times: 2 },
    ])
    const limited = { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7000 }
    expect(failure((await order.readMany(['1003'], call))[0])).toMatchObject(limited)
    expect(failure(await create.send(newOrder, write, call))).toMatchObject(limited)
  })
})

describe('changing orders', () => {
  test('an update goes with the version that the caller read; an older one is a conflict', async () => {
    const { order, update, world } = await setUp()
    const version = value((await order.readMany(['1009'], call))[0])?.version ?? ''
    const changes = { dueDate: '2026-12-24' }
    const input = { key: '1009', expectedVersion: version, changes }
    const result = value(await update.send(input, write, call))
    expect(result.record?.dueDate).toBe('2026-12-24')
    expect(result.record?.version).not.toBe(version)
    expect(failure(await update.send(input, write, call)).kind).toBe('conflict')
    expect(orderIn(world, 3).dueDate).toBe('2026-12-24')
    expect(value(await update.verify(input, write, call))).toMatchObject({ effect: 'done' })
    const other = { ...input, changes: { dueDate: '2026-12-25' } }
    expect(value(await update.verify(other, write, call))).toMatchObject({
      effect: 'none',
      evidence: 'RequestedDeliveryDate are not as asked for',
    })
  })

  test('comments are a text of their own: made where there is none, changed where there is', async () => {
    const { update, world, called } = await setUp()
    expect(
      value(await update.send({ key: '1009', changes: { comments: '新' } }, write, call)).record?.comments,
    ).toBe('新')
    expect(called(/POST .*to_Text/)).toHaveLength(1)
    value(await update.send({ key: '1009', changes: { comments: '更新' } }, write, call))
    expect(orderIn(world, 3).comments).toBe('更新')
    expect(called(/PATCH .*A_SalesOrderText/)).toHaveLength(1)
    const stale = { key: '1009', expectedVersion: 'W/"old"', changes: { comments: 'x' } }
    expect(failure(await update.send(stale, write, call)).kind).toBe('conflict')
  })

  test('comments go behind the rest of a change; what is there of it is not sent again', async () => {
    const { update, order, simulator, called } = await setUp()
    const [before] = await order.readMany(['1009'], call)
    const expectedVersion = value(before)?.version ?? ''
    const heads = () => called(/PATCH .*A_SalesOrder\(/).length
    const both = { key: '1009', changes: { comments: '加急', dueDate: '2026-12-24' } }
    simulator.setFaults([{ kind: 'status', status: 500, match: 'POST .*to_Text', times: 1 }])
    expect(failure(await update.send({ ...both, expectedVersion }, write, call))).toMatchObject({
      kind: 'unknown-outcome',
      detail: expect.stringContaining('all but the comments is changed'),
    })
    expect(value(await update.verify(both, write, call))).toMatchObject({
      effect: 'none',
      evidence: expect.stringContaining('LongText'),
    })
    expect(heads()).toBe(1)
    // The version is not the caller's any more: who else may have changed it is not known.
    expect(failure(await update.send({ ...both, expectedVersion }, write, call))).toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('but for the comments'),
    })
    const body = JSON.stringify({ error: { code: 'TD/602', message: { lang: 'en', value: 'No such text' } } })
    simulator.setFaults([{ kind: 'status', status: 400, body, match: 'POST .*to_Text', times: 1 }])
    expect(failure(await update.send(both, write, call))).toMatchObject({
      kind: 'rejected',
      message: 'All but the comments is as asked for: No such text',
    })
    expect(value(await update.send(both, write, call)).record).toMatchObject(both.changes)
    expect(heads()).toBe(1)
    const all = { key: '1009', changes: { comments: '更', dueDate: '2026-12-25' } }
    expect(value(await update.send(all, write, call)).record).toMatchObject(all.changes)
    expect(failure(await update.send({ ...all, expectedVersion }, write, call)).kind).toBe('conflict')
  })

  test('a change of nothing is not sent, and an order that is not there is not found', async () => {
    const { update, called, cancel } = await setUp()
    expect(value(await update.send({ key: '1009', changes: {} }, write, call)).key).toBe('1009')
    expect(called(/PATCH|POST .*SALES/)).toHaveLength(0)
    const changes = { dueDate: '2026-12-24' }
    expect(failure(await update.send({ key: '4000', changes }, write, call)).kind).toBe('not-found')
    expect(failure(await update.send({ key: "1')/x", changes }, write, call)).kind).toBe('not-found')
    expect(failure(await cancel?.send({ key: '4000' }, write, call)).kind).toBe('not-found')
  })

  test('what is no ETag is an old version, and is never sent', async () => {
    const { update, confirm, called } = await setUp()
    for (const expectedVersion of ['*', 'W/"a\r\nb: c"', '版本', '']) {
      const input = { key: '1009', expectedVersion, changes: { dueDate: '2026-12-24' } }
      expect(failure(await update.send(input, write, call)).kind).toBe('conflict')
      expect(failure(await confirm?.send(input, write, call)).kind).toBe('conflict')
    }
    expect(called(/PATCH|POST .*SALES/)).toHaveLength(0)
  })

  test('an order that somebody has open is asked for later, with nothing done', async () => {
    const { update, simulator, world } = await setUp()
    simulator.locked.add('1009')
    const input = { key: '1009', changes: { dueDate: '2026-12-24' } }
    expect(failure(await update.send(input, write, call))).toMatchObject({
      kind: 'unavailable',
      reason: 'overloaded',
    })
    expect(orderIn(world, 3).dueDate).toBe('2026-07-15')
  })

  test('cancelling rejects every item, a changeset each, in one batch', async () => {
    const { cancel, called, world, create } = await setUp()
    const { key } = value(await create.send(newOrder, write, call))
    const result = value(await cancel?.send({ key }, write, call))
    expect(result.record?.status).toBe('CANCELLED')
    expect(result.record?.lines.map((line) => [line.status, line.open?.value])).toEqual([
      ['CLOSED', '0'],
      ['CLOSED', '0'],
    ])
    expect(called(/\$batch/)).toHaveLength(1)
    expect(orderIn(world, 13).cancelled).toBe(true)
    expect(value(await cancel?.verify({ key }, write, call))).toMatchObject({ effect: 'done' })
    expect(failure(await cancel?.send({ key }, write, call))).toMatchObject({ kind: 'rejected' })
  })

  test('with a version, the first item goes ahead: if it is refused nothing else is rejected', async () => {
    const { cancel, create, world, order } = await setUp()
    const { key, record } = value(await create.send(newOrder, write, call))
    const stale = { key, expectedVersion: 'W/"old"' }
    expect(failure(await cancel?.send(stale, write, call))).toMatchObject({
      kind: 'conflict',
      currentVersion: record?.version,
    })
    expect(orderIn(world, 13).cancelled).toBe(false)
    const version = value((await order.readMany([key], call))[0])?.version ?? ''
    value(await cancel?.send({ key, expectedVersion: version }, write, call))
    expect(orderIn(world, 13).cancelled).toBe(true)
  })

  test('an order that is delivered in part stays, and says why', async () => {
    const { cancel, world, order } = await setUp()
    // Both items of 1006 are half delivered.
    expect(failure(await cancel?.send({ key: '1006' }, write, call))).toMatchObject({
      kind: 'rejected',
      code: 'V1/455',
      line: '10',
    })
    expect(orderIn(world, 2).cancelled).toBe(false)
    expect(value((await order.readMany(['1006'], call))[0])?.status).toBe('IN_PROGRESS')
  })

  test('items that are rejected only in part are an unknown outcome', async () => {
    const { cancel, create, world } = await setUp()
    const { key } = value(await create.send(newOrder, write, call))
    const placed = orderIn(world, 13)
    const lines = placed.lines.map((line, at) => (at === 0 ? { ...line, open: '1' } : line))
    world.put('erpOrders', { ...placed, lines })
    expect(failure(await cancel?.send({ key }, write, call))).toEqual({
      kind: 'unknown-outcome',
      detail: '1 of 2 items are rejected, the others are not',
    })
    expect(value(await cancel?.verify({ key }, write, call))).toMatchObject({ effect: 'none', proven: false })
  })

  test('a batch that is cut off is an unknown outcome', async () => {
    const { cancel, create, simulator } = await setUp()
    const { key } = value(await create.send(newOrder, write, call))
    simulator.setFaults([{ kind: 'truncate', match: 'batch', times: 1 }])
    expect(failure(await cancel?.send({ key }, write, call)).kind).toBe('unknown-outcome')
    expect(value(await cancel?.verify({ key }, write, call))).toMatchObject({ effect: 'done' })
  })

  test('without a reason for rejection orders are not cancelled here', async () => {
    const { open } = await setUp()
    expect(open({ rejectionReason: null }).cancel).toBeUndefined()
  })
})

describe('bad days', () => {
  test('a service that is not active is a matter of configuration, and no other service is affected', async () => {
    const { invoice, order } = await setUp({ simulator: { inactive: ['API_BILLING_DOCUMENT_SRV'] } })
    expect(failure((await invoice.readMany(['90000001'], call))[0]).kind).toBe('unsupported')
    expect(value((await order.readMany(['1003'], call))[0])?.key).toBe('1003')
  })

  test('"no data" is an empty answer, whatever its status', async () => {
    const { order, simulator } = await setUp()
    const body = JSON.stringify({ error: { code: '/IWBEP/CM_MGW_RT/022', message: { value: 'No data' } } })
    simulator.setFaults([{ kind: 'status', status: 400, body, match: 'A_SalesOrder' }])
    expect((await order.readMany(['1003'], call)).map(value)).toEqual([null])
  })

  test('a link to the next page that leads elsewhere is not followed', async () => {
    const { simulator, order } = await setUp()
    const elsewhere: string[] = []
    const other = createServer((request, response) => {
      elsewhere.push(request.url ?? '')
      response.end('{}')
    })
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', () => resolve()))
    closers.push(async () => void other.close())
    const { port } = other.address() as AddressInfo
    for (const __next of [
      `http://127.0.0.1:${port}/sap/opu/odata/sap/OTHER_SRV/A?$skiptoken=1`,
      '../../OTHER_SRV/A?$skiptoken=1',
      'not a \u0000 link://',
      'http://[',
      'A_SalesOrder%E0?$skiptoken=1',
    ]) {
      simulator.setFaults([
        {
          kind: 'status',
          status: 200,
          body: JSON.stringify({ d: { results: [], __next } }),
          match: 'A_Sales',
        },
      ])
      expect((await order.readMany(['1003'], call))[0]?.ok).toBe(false)
    }
    await delay(20)
    expect(elsewhere).toEqual([])
  })

  test('pages that go round end', async () => {
    const { simulator, order } = await setUp()
    const body = JSON.stringify({ d: { results: [], __next: 'A_SalesOrder?$skiptoken=1' } })
    simulator.setFaults([{ kind: 'status', status: 200, body, match: 'A_Sales' }])
    expect(failure((await order.readMany(['1003'], call))[0])).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('go round'),
    })
  })

  test('entities declared in an XML error are not expanded', async () => {
    const { simulator, order } = await setUp()
    const body =
      '<!DOCTYPE e [<!ENTITY a SYSTEM "file:///etc/passwd">]><error><code>X/1</code><message>&a;</message></error>'
    simulator.setFaults([{ kind: 'status', status: 400, body, match: 'A_Sales' }])
    const said = failure((await order.readMany(['1003'], call))[0])
    expect(said.kind).toBe('invalid-response')
    expect(JSON.stringify(said)).not.toContain('root')
  })

  test('a secret that the vendor repeats is told to nobody', async () => {
    const lines: unknown[] = []
    const log = {
      ...silentLog,
      debug: (...all: unknown[]) => lines.push(all),
      warn: (...all: unknown[]) => lines.push(all),
    }
    const { simulator, create } = await setUp({ log: log as unknown as Log })
    const body = JSON.stringify({ error: { code: 'X/1', message: { value: `refused: ${SECRET}` } } })
    simulator.setFaults([{ kind: 'status', status: 400, body, match: 'POST .*A_Sales' }])
    const said = await create.send(newOrder, write, call)
    expect(failure(said)).toMatchObject({ kind: 'rejected', message: 'refused: ***' })
    expect(JSON.stringify([said, lines])).not.toContain(SECRET)
  })
})

describe('events', () => {
  const events = { username: 'mesh', password: 'M3sh-密' }
  const authorization = `Basic ${Buffer.from('mesh:M3sh-密').toString('base64')}`
  const now = new Date('2026-03-01T08:00:05Z')
  const sample = {
    specversion: '1.0',
    id: 'QgEK7wzuHtq',
    source: '/default/sap.s4.beh/S4HCLNT100',
    type: 'sap.s4.beh.salesorder.v1.SalesOrder.Changed.v1',
    time: '2026-03-01T08:00:00Z',
    datacontenttype: 'application/json',
    data: { SalesOrder: '0000001003', SalesOrderType: 'OR' },
  }
  const receive = async (body: unknown, headers: Record<string, string> = {}) => {
    const { open } = await setUp({ config: { events } })
    const { webhook } = open().adapter
    return webhook?.receive(
      {
        headers: { authorization, ...headers },
        body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
      },
      now,
    )
  }

  test('an event names what changed, without the zeros that it is padded with', async () => {
    const notification = {
      id: 'QgEK7wzuHtq',
      type: 'order',
      key: '1003',
      change: 'updated',
      time: '2026-03-01T08:00:00Z',
    }
    expect(await receive(sample)).toEqual({ ok: true, notifications: [notification] })
    const { data, ...attributes } = sample
    const binary = Object.fromEntries(Object.entries(attributes).map(([name, text]) => [`ce-${name}`, text]))
    expect(await receive(data, binary)).toEqual({ ok: true, notifications: [notification] })
  })

  test('several at once; those about something else are passed over', async () => {
    const about = (object: string, data: object, id: string) => ({
      ...sample,
      id,
      type: `sap.s4.beh.${object}.v1`,
      data,
    })
    const verdict = await receive([
      about('businesspartner.v1.BusinessPartner.Created', { BusinessPartner: '0010100001' }, 'a'),
      about('salesorder.v1.SalesOrder.Deleted', { SalesOrder: '7' }, 'b'),
      about('salesorder.v1.SalesOrder.ItemCreated', { SalesOrder: '8' }, 'c'),
      about('bankdetail.v1.BankDetail.Changed', { Bank: '1' }, 'd'),
      about('billingdocument.v1.BillingDocument.Created', { BillingDocument: '0090000001' }, 'e'),
    ])
    expect(verdict?.ok && verdict.notifications.map((one) => [one.type, one.key, one.change])).toEqual([
      ['customer', '10100001', 'created'],
      ['order', '7', 'deleted'],
      ['order', '8', 'updated'],
      ['invoice', '90000001', 'created'],
    ])
  })

  test('without the right user nothing is read, and what cannot be read is refused', async () => {
    expect(await receive(sample, { authorization: 'Basic bWVzaDp4' })).toMatchObject({
      ok: false,
      reason: 'signature',
    })
    expect(await receive(sample, { authorization: '' })).toMatchObject({ ok: false, reason: 'signature' })
    expect(await receive('<html>')).toMatchObject({ ok: false, reason: 'malformed' })
    expect(await receive({ ...sample, source: undefined })).toMatchObject({ ok: false, reason: 'malformed' })
    expect(await receive({ ...sample, data: {} })).toMatchObject({ ok: false, reason: 'malformed' })
  })

  test('the simulated mesh tells of a change, and the read afterwards shows it', async () => {
    const received: { headers: Record<string, string | undefined>; body: Buffer }[] = []
    const receiver = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      received.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(chunks) })
      response.end()
    })
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', () => resolve()))
    closers.push(async () => void receiver.close())
    const { port } = receiver.address() as AddressInfo
    const { world, order, open } = await setUp({
      simulator: { events: { url: `http://127.0.0.1:${port}/`, ...events } },
      config: { events },
    })
    changeOrder(world, orderIn(world, 3), { numAtCard: '改' })
    await expect.poll(() => received.length).toBe(1)
    const verdict = open().adapter.webhook?.receive(received[0] as (typeof received)[0], new Date())
    if (!verdict?.ok) throw new Error('verdict')
    const [told] = verdict.notifications
    expect(told).toMatchObject({ type: 'order', key: '1009', change: 'updated' })
    expect(value((await order.readMany([told?.key ?? ''], call))[0])?.customerReference).toBe('改')
  })
})

describe('connecting', () => {
  test('a check holds every property against the live description', async () => {
    const { adapter, open } = await setUp({
      simulator: { absent: ['SalesDocApprovalStatus', 'Industry', 'to_ProductUnitsOfMeasure'] },
    })
    expect(value((await adapter.checkConfiguration?.(call)) as Outcome<readonly string[]>)).toEqual([
      'A_BusinessPartner has no property Industry.',
      'A_Product has no property to_ProductUnitsOfMeasure.',
      'A_SalesOrder has no property SalesDocApprovalStatus.',
    ])
    const own = open({
      absentFields: ['SalesDocApprovalStatus', 'Industry', 'to_ProductUnitsOfMeasure'],
      externalReferenceField: 'YY1_Elsewhere_SDH',
      deliveryService: 'API_OUTBOUND_DELIVERY_SRV',
    })
    const said = value((await own.adapter.checkConfiguration?.(call)) as Outcome<readonly string[]>)
    expect(said[0]).toBe('A_SalesOrder has no property YY1_Elsewhere_SDH.')
    expect(said[1]).toMatch(/^API_OUTBOUND_DELIVERY_SRV: unsupported: .*not active/)
    expect(said).toHaveLength(2)
  })

  test('the settings that the README shows are ones that the configuration takes', () => {
    const readme = readFileSync(new URL('../../src/systems/sap-s4/README.md', import.meta.url), 'utf8')
    const samples = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parseYaml(text ?? ''))
    expect(samples.length).toBeGreaterThan(0)
    for (const sample of samples) {
      const entries = Object.entries(sample as Record<string, unknown>)
      const isOfSystem = ([name]: [string, unknown]) => name in systemSchema.shape
      systemSchema.parse(Object.fromEntries(entries.filter(isOfSystem)))
      sapS4Config.parse(Object.fromEntries(entries.filter((entry) => !isOfSystem(entry))))
    }
  })
})
