import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import { cancelOrder, changeOrder, deliver, moveStock, placeOrder } from '../../src/simulation/trade.ts'
import { type ErpOrder, World, type WorldOptions } from '../../src/simulation/world.ts'
import { createKingdeeK3 } from '../../src/systems/kingdee-k3/adapter.ts'
import { kingdeeK3Config } from '../../src/systems/kingdee-k3/config.ts'
import { signedHeaders } from '../../src/systems/kingdee-k3/login.ts'
import { billNumberOf, referenceOf } from '../../src/systems/kingdee-k3/references.ts'
import {
  type KingdeeK3SimulatorOptions,
  startKingdeeK3Simulator,
} from '../../src/systems/kingdee-k3/simulator.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { failure, value } from './outcomes.ts'
import { startWire } from './wire.ts'

const PASSWORD = 'S3cret-密码'
const APP_SECRET = 'app-s3cret-应用'
const APP_ID = '205600_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4'
const ACCOUNT = '6500a1b2c3d4e5'
const call = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: 'wang.fang' }

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly world?: WorldOptions
  readonly simulator?: KingdeeK3SimulatorOptions
  readonly config?: object
  readonly timeoutMs?: number
}

async function setUp(setup: Setup = {}) {
  const world = new World({ orders: 12, customers: 10, products: 10, ...setup.world })
  const simulator = await startKingdeeK3Simulator(world, {
    password: PASSWORD,
    appSecret: APP_SECRET,
    ...setup.simulator,
  })
  const open = (config: object = {}) => {
    const adapter = createKingdeeK3(
      kingdeeK3Config.parse({
        baseUrl: simulator.url,
        organization: '100',
        login: { method: 'password', accountId: ACCOUNT, username: 'demo', password: PASSWORD },
        ...setup.config,
        ...config,
      }),
      { systemId: 'k3', log: silentLog, timeoutMs: setup.timeoutMs ?? 2_000 },
    )
    closers.push(() => adapter.close())
    const { customer, product, warehouse, inventoryLevel, order, delivery, invoice, receivable } =
      adapter.ports
    if (!customer || !product || !warehouse || !inventoryLevel) throw new Error('ports')
    if (!order || !delivery || !invoice || !receivable) throw new Error('ports')
    return { adapter, customer, product, warehouse, inventoryLevel, order, delivery, invoice, receivable }
  }
  closers.push(() => simulator.close())
  const called = (pattern: RegExp) => simulator.calls.filter((line) => pattern.test(line))
  return { world, simulator, open, called, ...open() }
}

/**
 * A server that has these rows in each form, as raw JSON by query field, and says of every other field that it does
 * not exist: what a filter leaves of the rows is not its concern.
 */
async function sheetServer(
  forms: Readonly<Record<string, readonly Readonly<Record<string, string>>[]>>,
  { config = {}, names = (field: string) => field } = {},
) {
  let asked = 0
  const answer = (path: string, body: string): string => {
    if (path.includes('ValidateUser')) return '{"LoginResultType":1,"KDSVCSessionId":"s-1"}'
    if (!path.includes('ExecuteBillQuery')) return '{}'
    asked++
    const { FormId, FieldKeys, FilterString, OrderString, StartRow } = JSON.parse(
      JSON.parse(body).parameters[0],
    )
    const rows = forms[FormId] ?? []
    const used =
      `${FieldKeys},${FilterString.replaceAll(/'[^']*'/g, '')},${OrderString}`.match(/F[\w.]+/g) ?? []
    const unknown = used.find((name) => !(name in (rows[0] ?? {})))
    if (unknown !== undefined) {
      const Errors = [{ FieldName: null, Message: `元数据中标识为${names(unknown)}的字段不存在`, DIndex: 0 }]
      return JSON.stringify([[{ Result: { ResponseStatus: { IsSuccess: false, Errors, MsgCode: 9 } } }]])
    }
    const cells = (row: Readonly<Record<string, string>>) =>
      `[${String(FieldKeys)
        .split(',')
        .map((name) => row[name])
        .join(',')}]`
    return `[${StartRow > 0 ? '' : rows.map(cells).join(',')}]`
  }
  const server = createServer((incoming, response) => {
    const parts: Buffer[] = []
    incoming.on('data', (part: Buffer) => parts.push(part))
    incoming.on('end', () => {
      response.setHeader('content-type', 'application/json; charset=utf-8')
      response.end(answer(incoming.url ?? '', Buffer.concat(parts).toString('utf8')))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const adapter = createKingdeeK3(
    kingdeeK3Config.parse({
      baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      organization: '100',
      login: { method: 'password', accountId: ACCOUNT, username: 'demo', password: PASSWORD },
      ...config,
    }),
    { systemId: 'k3', log: silentLog, timeoutMs: 2_000 },
  )
  closers.push(() => adapter.close())
  const { order, inventoryLevel, customer, product, delivery, receivable } = adapter.ports
  if (!order || !inventoryLevel || !customer || !product || !delivery || !receivable) throw new Error('ports')
  return {
    adapter,
    order,
    inventoryLevel,
    customer,
    product,
    delivery,
    receivable,
    asked: () => asked,
  }
}

/** An order with the fields of the sheet, section 5, and no others. */
const sheetOrder = {
  FID: '7',
  FBillNo: '"SO1"',
  FDate: '"2026-03-01T00:00:00"',
  FDocumentStatus: '"C"',
  FCloseStatus: '"A"',
  FCancelStatus: '"A"',
  'FCustId.FNumber': '"C1"',
  'FSaleOrgId.FNumber': '"100"',
  'FSalerId.FNumber': 'null',
  FCreateDate: '"2026-03-01T10:20:30"',
  FModifyDate: '"2026-03-02T10:20:30.5"',
  FApproveDate: '"2026-03-01T11:00:00"',
  FNetOrderBillNo: '" "',
  FSaleOrderEntry_FEntryID: '71',
  'FMaterialId.FNumber': '"M1"',
  FQty: '2',
  FTaxPrice: '11.3',
  FAllAmount: '22.6',
  FDeliveryDate: '"2026-03-09T00:00:00"',
}

function orderIn(world: World, entry: number): ErpOrder {
  const order = world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}

const n = (entry: number) => `XSDD${String(entry).padStart(6, '0')}`

const newOrder: OrderCreate = {
  customer: 'C20001',
  dueDate: '2026-08-01',
  lines: [{ product: 'A00003', quantity: '2.5', unitPrice: '356.50', warehouse: '02' }],
}

const lost =
  '{"Result":{"ResponseStatus":{"ErrorCode":500,"IsSuccess":false,"Errors":[{"FieldName":null,"Message":"会话信息已丢失，请重新登录","DIndex":0}],"SuccessEntitys":[],"SuccessMessages":[],"MsgCode":1}}}'
const said = (code: number, message = '忙') =>
  lost.replace('会话信息已丢失，请重新登录', message).replace('"MsgCode":1', `"MsgCode":${code}`)
const answers = (body: string, match: string, times?: number) =>
  [{ kind: 'status', status: 200, body, match, ...(times === undefined ? {} : { times }) }] as const

describe('reading', () => {
  test('answers one outcome per key, in the order of the keys, repeated and missing ones included', async () => {
    const { customer, order, called } = await setUp()
    const keys = ['C20003', 'nobody', 'C20001', 'C20003', '', ' ', 'c20001']
    const read = await customer.readMany(keys, call)
    const found = ['C20003', null, 'C20001', 'C20003', null, null, null]
    expect(read.map((one) => value(one)?.key ?? null)).toEqual(found)
    const orders = await order.readMany([n(5), 'x', n(99), n(1)], call)
    expect(orders.map((one) => value(one)?.key ?? null)).toEqual([n(5), null, null, n(1)])
    expect(called(/ExecuteBillQuery/)).toHaveLength(2)
    expect(await order.readMany([], call)).toEqual([])
    expect(called(/ExecuteBillQuery/)).toHaveLength(2)
  })

  test('batches are cut to the limit', async () => {
    const { open, called } = await setUp()
    const keys = [1, 2, 3, 4, 5, 6, 7].map(n)
    const read = await open({ batchLimit: 3 }).order.readMany(keys, call)
    expect(read.map((one) => value(one)?.number)).toEqual(keys)
    expect(called(/ExecuteBillQuery/)).toHaveLength(3)
  })

  test('orders with more entries than a page has rows come whole', async () => {
    const { open, called } = await setUp()
    const { order } = open({ pageLimit: 2 })
    const read = await order.readMany([1, 2, 3, 4, 5].map(n), call)
    expect(read.map((one) => value(one)?.lines.length)).toEqual([3, 2, 1, 1, 2])
    expect(value(read[0])?.lines.map((line) => [line.id, line.lineNumber])).toEqual([
      ['10000101', '1'],
      ['10000102', '2'],
      ['10000103', '3'],
    ])
    expect(called(/ExecuteBillQuery/)).toHaveLength(5)
  })

  test('keys with quotes, Chinese characters and signs come through, and no filter can be broken out of', async () => {
    const { world, customer } = await setUp()
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    const keys = ["O'Neill & Söhne", '客户#1+2%/?', "''", "x') or ('1'='1", '１２３🧾']
    for (const cardCode of keys) world.put('erpAccounts', { ...account, cardCode, name: `${cardCode} 🧾` })
    const read = await customer.readMany(keys, call)
    expect(read.map((one) => value(one)?.name)).toEqual(keys.map((key) => `${key} 🧾`))
  })

  test('a customer is that of the organisation; empty texts are null', async () => {
    const { customer } = await setUp()
    const [first, second, walkIn] = await customer.readMany(['C20001', 'C20002-USD', 'C99001'], call)
    // The same number exists in organisation 200, under another name.
    expect(value(first)).toMatchObject({
      key: 'C20001',
      name: '上海晨光精密机械有限公司',
      taxNumber: '91310001MA1K007919',
      addresses: [
        { type: 'OFFICE', street: '上海 浦东新区张江路 88 号', postalCode: '201203', country: 'CN' },
        { type: 'BILLING', street: '上海 浦东新区张江路 88 号' },
      ],
      legalName: '上海晨光精密机械有限公司',
      status: 'ACTIVE',
      vendorStatus: 'C FForbidStatus=A',
      parent: null,
      account: {
        company: '100',
        salesArea: '内销部',
        currency: 'CNY',
        creditLimit: null,
        paymentTerms: '月结 30 天',
        blocked: false,
      },
    })
    expect(value(second)?.account?.currency).toBe('USD')
    // The second account of Nordlicht belongs to the first.
    expect(value(second)?.parent).toBe('C20002')
    expect(value(second)?.addresses?.[0]?.country).toBe('DE')
    expect(value(walkIn)).toMatchObject({
      taxNumber: null,
      phone: null,
      email: null,
      addresses: [],
      contacts: [],
    })
  })

  test('two records of one number are told, not mixed', async () => {
    const { open } = await setUp()
    const { customer } = open({ fields: { customer: { organization: null } } })
    const read = await customer.readMany(['C20001', 'C20003'], call)
    expect(failure(read[0])).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('several records'),
    })
    expect(value(read[1])?.key).toBe('C20003')
  })

  test('a dollar order shows both currencies, net, tax and gross right', async () => {
    const { order } = await setUp()
    const found = value((await order.readMany([n(5)], call))[0])
    expect(found).toMatchObject({
      number: 'XSDD000005',
      company: '100',
      customer: 'C20002-USD',
      customerName: 'Nordlicht Maschinenbau GmbH',
      orderDate: '2026-06-18',
      dueDate: '2026-07-10',
      status: 'CONFIRMED',
      vendorStatus: 'C FCloseStatus=A FCancelStatus=A',
      fulfilmentStatus: 'NONE',
      createdAt: '2026-06-18T17:00:00+08:00',
      version: '2026-06-18T17:00:00',
      exchangeRate: '7.1',
      totals: {
        net: { amount: '1708.27', currency: 'USD' },
        gross: { amount: '1930.35', currency: 'USD' },
        tax: { amount: '222.08', currency: 'USD' },
      },
      companyTotals: {
        gross: { amount: '13705.49', currency: 'CNY' },
        tax: { amount: '1576.74', currency: 'CNY' },
      },
    })
    expect(found?.lines.map((line) => [line.unitPrice, line.net])).toEqual([
      [
        { amount: { amount: '249.99', currency: 'USD' }, per: '1', taxIncluded: false },
        { amount: '1249.95', currency: 'USD' },
      ],
      [
        { amount: { amount: '1.8333', currency: 'USD' }, per: '1', taxIncluded: false },
        { amount: '458.33', currency: 'USD' },
      ],
    ])
  })

  test('yen have no decimals, and prices that include tax say so', async () => {
    const { world, order } = await setUp()
    const yen = value((await order.readMany([n(7)], call))[0])
    expect(yen?.totals?.gross).toEqual({ amount: '17001', currency: 'JPY' })
    expect(yen?.companyTotals?.gross).toEqual({ amount: '819.44', currency: 'CNY' })
    changeOrder(world, orderIn(world, 3), { userFields: { FIsIncludedTax: 'true' } })
    // 356.50 and 13 percent on top
    expect(value((await order.readMany([n(3)], call))[0])?.lines[0]?.unitPrice).toEqual({
      amount: { amount: '402.845', currency: 'CNY' },
      per: '1',
      taxIncluded: true,
    })
  })

  test('unknown currencies, units and states survive as they are; known ones follow the code tables', async () => {
    const { world, open } = await setUp()
    const { order } = open({ currencyCodes: {}, unitCodes: { 根: 'NPL' }, statusCodes: {} })
    changeOrder(world, orderIn(world, 3), { confirmed: false, userFields: { FDocumentStatus: 'Q' } })
    const found = value((await order.readMany([n(3)], call))[0])
    expect(found).toMatchObject({ status: 'UNKNOWN', vendorStatus: 'Q FCloseStatus=A FCancelStatus=A' })
    expect(found?.totals?.gross?.currency).toBe('PRE001')
    expect(found?.lines[0]?.ordered).toEqual({ value: '12', unit: 'NPL', vendorUnit: '根' })
    const told = open({ statusCodes: { Q: 'PENDING_APPROVAL' } })
    expect(value((await told.order.readMany([n(3)], call))[0])?.status).toBe('PENDING_APPROVAL')
  })

  test('status follows approval, closing, voiding and what has left', async () => {
    const { world, order } = await setUp()
    changeOrder(world, orderIn(world, 3), { confirmed: false, userFields: { FDocumentStatus: 'A' } })
    changeOrder(world, orderIn(world, 4), { confirmed: false, userFields: { FDocumentStatus: 'Z' } })
    cancelOrder(world, orderIn(world, 5))
    changeOrder(world, orderIn(world, 6), { closed: true })
    changeOrder(world, orderIn(world, 8), { confirmed: false })
    const read = await order.readMany([1, 2, 3, 4, 5, 6, 8].map(n), call)
    expect(read.map((one) => [value(one)?.status, value(one)?.fulfilmentStatus])).toEqual([
      ['DELIVERED', 'COMPLETE'],
      ['IN_PROGRESS', 'PARTIAL'],
      ['NEW', 'NONE'],
      ['DRAFT', 'COMPLETE'],
      ['CANCELLED', 'NOT_RELEVANT'],
      ['CLOSED', 'NONE'],
      ['PENDING_APPROVAL', 'NONE'],
    ])
    expect(
      value(read[1])?.lines.map((line) => [line.ordered.value, line.delivered?.value, line.open?.value]),
    ).toEqual([
      ['4', '2', '2'],
      ['2', '1', '1'],
    ])
    expect(value(read[6])?.comments).toBe('现金零售 🧾')
    expect(value(read[0])?.comments).toBeNull()
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, order } = await setUp()
    world.put('erpOrders', { ...orderIn(world, 2), docDate: 'yesterday' })
    const [first, second, third] = await order.readMany([1, 2, 3].map(n), call)
    expect(value(first)?.key).toBe(n(1))
    expect(failure(second)).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('order XSDD000002'),
    })
    expect(value(third)?.key).toBe(n(3))
    const page = value(await order.list?.({ first: 20 }, call))
    expect(page.items).toHaveLength(11)
    const byCustomer = await order.lookups?.byCustomer?.read(['C20001', 'C20003'], call)
    expect(failure(byCustomer?.[0]).kind).toBe('invalid-response')
    expect(value(byCustomer?.[1]).map((one) => one.key)).toEqual([n(6)])
  })

  test('a row with a column too few fails alone', async () => {
    const { warehouse, simulator } = await setUp()
    await warehouse.readMany(['01'], call)
    const body = '[[1,"01","上海总仓","100","2025-01-01T08:00:00","2025-01-01T08:00:00"],[2,"02"]]'
    simulator.setFaults(answers(body, 'ExecuteBillQuery'))
    const [first, second] = await warehouse.readMany(['01', '02'], call)
    expect(value(first)).toMatchObject({ key: '01', name: '上海总仓' })
    expect(failure(second)).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('columns'),
    })
  })

  test('numbers keep their digits', async () => {
    const { order } = await sheetServer({
      SAL_SaleOrder: [
        {
          FID: '900719925474099312',
          FBillNo: '"B-1"',
          'FSaleOrgId.FNumber': '"100"',
          'FCustId.FNumber': '"C1"',
          'FMaterialId.FNumber': '"A1"',
          FNetOrderBillNo: '" "',
          FCreateDate: 'null',
          FModifyDate: '"2026-03-01T10:20:30.123"',
          'FSettleCurrId.FNumber': '"PRE001"',
          FBillAmount: '1234567890123456789012345.678',
          FBillTaxAmount: '1E+2',
          FBillAllAmount: '0.000000000000000000000000001',
          FSaleOrderEntry_FEntryID: '900719925474099313',
          FQty: '2.50',
          FDeliveryDate: 'null',
        },
      ],
    })
    const found = value((await order.readMany(['B-1'], call))[0])
    expect(found?.totals).toEqual({
      net: { amount: '1234567890123456789012345.678', currency: 'CNY' },
      tax: { amount: '100', currency: 'CNY' },
      gross: { amount: '0.000000000000000000000000001', currency: 'CNY' },
    })
    expect(found?.lines[0]).toMatchObject({ id: '900719925474099313', ordered: { value: '2.50' } })
    expect(found).toMatchObject({
      updatedAt: '2026-03-01T10:20:30.123+08:00',
      dueDate: null,
      createdAt: null,
    })
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
    expect(seen).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(n))
    const mine = value(await order.list?.({ first: 2, filter: { customer: 'C20002' } }, call))
    expect(mine).toMatchObject({ items: [{ position: '100004' }], hasMore: false })
  })

  test('customers, products and warehouses are listed and searched', async () => {
    const { customer, product, warehouse, world } = await setUp()
    const found = value(await customer.list?.({ first: 9, filter: { search: '晨光' } }, call))
    expect(found.items.map((item) => item.record.key)).toEqual(['C20001'])
    for (const search of ["O'", '100%', '_____________________________________', '[a]']) {
      expect(value(await customer.list?.({ first: 9, filter: { search } }, call)).items).toEqual([])
    }
    const account = world.get('erpAccounts', 'C20001')
    if (!account) throw new Error('seed')
    world.put('erpAccounts', { ...account, cardCode: 'P1', name: '打折 100% [a]' })
    for (const search of ['100%', '[a]']) {
      const hit = value(await customer.list?.({ first: 9, filter: { search } }, call))
      expect(hit.items.map((item) => item.record.key)).toEqual(['P1'])
    }
    expect(value((await product.readMany(['A00002'], call))[0])).toMatchObject({
      sku: 'A00002',
      name: '伺服电机 750W',
      barcode: '6900000209458',
      unit: '台',
      active: true,
    })
    const all = value(await product.list?.({ first: 100 }, call))
    expect(all.items).toHaveLength(10)
    expect(failure(await product.list?.({ first: 1, filter: { customer: 'C20001' } }, call)).kind).toBe(
      'unsupported',
    )
    const places = value(await warehouse.list?.({ first: 9 }, call)).items.map(({ record }) => [
      record.key,
      record.name,
    ])
    expect(places).toEqual([
      ['YOK', '横浜倉庫'],
      ['HAM', 'Hamburg'],
      ['02', '深圳仓'],
      ['01', '上海总仓'],
    ])
  })

  test('orders are found by number and by customer, newest first', async () => {
    const { open } = await setUp()
    const { order } = open({ pageLimit: 2 })
    const byCustomer = await order.lookups?.byCustomer?.read(['C20001', 'x'], call)
    expect(value(byCustomer?.[0]).map((one) => one.key)).toEqual([3, 2, 1].map(n))
    expect(value(byCustomer?.[1])).toEqual([])
    const byNumber = await order.lookups?.byNumber?.read([n(6), '1'], call)
    expect(byNumber?.map((one) => value(one).map((found) => found.key))).toEqual([[n(6)], []])
  })

  test('a level is what one owner has of usable goods in one warehouse, all lots together', async () => {
    const { open, called } = await setUp()
    const { inventoryLevel } = open({ unitCodes: { 个: 'H87' } })
    const [level, nowhere, noItem] = await inventoryLevel.readMany(['A00001/01', 'A00001/XX', 'B1/01'], call)
    // 137 at first, 100 delivered with order 1; 5 under inspection and 7 of another owner do not count.
    expect(value(level)).toEqual({
      key: 'A00001/01',
      product: 'A00001',
      warehouse: '01',
      onHand: { value: '37', unit: 'H87', vendorUnit: '个' },
      reserved: null,
      available: null,
      incoming: null,
    })
    expect([value(nowhere), value(noItem)]).toEqual([null, null])
    expect(called(/ExecuteBillQuery/)).toHaveLength(1)
    const calculated = open({ availableStock: true, stockStatus: null })
    const all = value((await calculated.inventoryLevel.readMany(['A00001/01'], call))[0])
    expect([all?.onHand.value, all?.available?.value]).toEqual(['42', '35'])
    const theirs = value(
      (await open({ stockOwner: 'VMI-9' }).inventoryLevel.readMany(['A00001/01'], call))[0],
    )
    expect(theirs?.onHand.value).toBe('7')
    const byProduct = await inventoryLevel.lookups?.byProduct?.read(['A00001', 'B1'], call)
    expect(byProduct?.map((one) => value(one).map((found) => found.warehouse))).toEqual([
      ['01', '02', 'YOK'],
      [],
    ])
  })

  test('all stock is listed whatever the size of the pages', async () => {
    const { world, inventoryLevel, open } = await setUp()
    const expected = world
      .all('erpStock')
      .map((stock) => `${stock.item}/${stock.warehouse}`)
      .sort()
    const narrow = open({ pageLimit: 2 }).inventoryLevel
    for (const [port, first] of [
      [inventoryLevel, 1],
      [inventoryLevel, 7],
      [inventoryLevel, 100],
      [narrow, 5],
    ] as const) {
      const seen: string[] = []
      let after: string | undefined
      for (;;) {
        const page = value(await port.list?.({ first, after }, call))
        seen.push(...page.items.map((item) => item.record.key))
        after = page.items.at(-1)?.position
        if (!page.hasMore) break
      }
      expect(seen).toEqual(expected)
    }
  })

  test('deliveries of many orders come in two calls', async () => {
    const { world, delivery, called } = await setUp()
    deliver(world, orderIn(world, 2))
    const last = `XSCKD${String(world.count('erpDeliveries')).padStart(6, '0')}`
    const read = await delivery.lookups?.byOrder?.read([n(2), n(3), n(1), 'x'], call)
    expect(read?.map((one) => value(one).map((found) => found.key))).toEqual([
      ['XSCKD000002', last],
      [],
      ['XSCKD000001'],
      [],
    ])
    expect(value(read?.[0])[0]).toMatchObject({
      number: 'XSCKD000002',
      customer: 'C20001',
      orders: [n(2)],
      date: '2026-06-15',
      status: 'CLOSED',
      vendorStatus: 'C FCancelStatus=A',
      lines: [
        { product: 'A00002', quantity: { value: '2' }, warehouse: '01', order: n(2), orderLine: '10000201' },
        { product: 'A00005', quantity: { value: '1' }, order: n(2), orderLine: '10000202' },
      ],
    })
    expect(called(/ExecuteBillQuery/)).toHaveLength(2)
  })

  test('receivables show amount and what is open of it, and add up by customer and currency', async () => {
    const { invoice, receivable } = await setUp()
    const first = value((await invoice.readMany(['AR00000001'], call))[0])
    // 3612.03 of order 1, of which 1000 are paid; the collection is planned in two parts.
    expect(first).toMatchObject({
      number: 'AR00000001',
      type: 'STANDARD',
      customer: 'C20001',
      issueDate: '2026-05-22',
      dueDate: '2026-06-21',
      status: 'PARTIALLY_PAID',
      totals: { gross: { amount: '3612.03', currency: 'CNY' } },
      open: { amount: '2612.03', currency: 'CNY' },
      paid: null,
    })
    const owed = await receivable.readMany(['C20001', 'nobody', 'C20004', 'C20003'], call)
    expect(value(owed[0])).toMatchObject({
      key: 'C20001',
      balances: [
        { open: { amount: '2612.03', currency: 'CNY' }, overdue: { amount: '2612.03', currency: 'CNY' } },
      ],
    })
    expect(value(owed[1])).toBeNull()
    expect(value(owed[2])?.balances[0]?.open).toEqual({ amount: '17001', currency: 'JPY' })
    expect(value(owed[3])?.balances).toEqual([])
    const byCustomer = await invoice.lookups?.byCustomer?.read(['C20001'], call)
    expect(value(byCustomer?.[0]).map((one) => one.key)).toEqual(['AR00000001'])
  })

  test('configured fields are read under their names; a field that the tenant lacks is named', async () => {
    const { open, world } = await setUp()
    const custom = open({
      customFields: { customer: { region: 'F_TRB_Region' }, order: { region: 'F_TRB_Region' } },
      customerReferenceField: 'F_TRB_CustRef',
      fields: { customer: { contact: 'FShortName', phone: 'FTEL', taxNumber: null } },
    })
    changeOrder(world, orderIn(world, 3), { userFields: { F_TRB_Region: '华东 🧾', F_TRB_CustRef: 'PO-7' } })
    const customers = await custom.customer.readMany(['C20001', 'C20002'], call)
    expect(customers.map((one) => value(one)?.customFields)).toEqual([{ region: '国内' }, { region: '海外' }])
    expect(value(customers[0])?.taxNumber).toBeNull()
    const orders = await custom.order.readMany([n(3), n(1)], call)
    expect(orders.map((one) => [value(one)?.customFields, value(one)?.customerReference])).toEqual([
      [{ region: '华东 🧾' }, 'PO-7'],
      [{ region: null }, null],
    ])
    const wrong = open({ fields: { customer: { taxNumber: 'FTaxNo' } } })
    expect(failure((await wrong.customer.readMany(['C20001'], call))[0])).toMatchObject({
      kind: 'rejected',
      code: '9',
      message: '元数据中标识为FTaxNo的字段不存在',
    })
  })

  test('fields that a data centre does not have are left out; what a record needs is not', async () => {
    const { order, inventoryLevel, customer, asked } = await sheetServer({
      SAL_SaleOrder: [sheetOrder],
      STK_Inventory: [
        {
          'FMaterialId.FNumber': '"M1"',
          'FStockId.FNumber': '"W1"',
          'FStockOrgId.FNumber': '"100"',
          'FLot.FNumber': '"L1"',
          FQty: '5',
          FBaseQty: '5',
          FAVBQty: '4',
        },
        {
          'FMaterialId.FNumber': '"M1"',
          'FStockId.FNumber': '"W1"',
          'FStockOrgId.FNumber': '"100"',
          'FLot.FNumber': '"L2"',
          FQty: '7',
          FBaseQty: '7',
          FAVBQty: '7',
        },
      ],
      // Without its number nobody could say which customer it is.
      BD_Customer: [{ FCUSTID: '1', FName: '"x"', 'FUseOrgId.FNumber': '"100"', FModifyDate: 'null' }],
    })
    expect(value((await order.readMany(['SO1'], call))[0])).toMatchObject({
      status: 'CONFIRMED',
      approvalStatus: 'APPROVED',
      statusSince: '2026-03-01T11:00:00+08:00',
      fulfilmentStatus: null,
      holds: null,
      dueDate: '2026-03-09',
      lines: [{ unitPrice: null, gross: null, taxRate: null, ordered: { value: '2' } }],
    })
    const before = asked()
    await order.readMany(['SO1'], call)
    expect(asked() - before).toBe(1)
    expect(value((await inventoryLevel.readMany(['M1/W1'], call))[0])).toMatchObject({
      onHand: { value: '12' },
      available: null,
    })
    expect(value(await inventoryLevel.list?.({ first: 5 }, call)).items).toHaveLength(1)
    expect(failure((await customer.readMany(['C1'], call))[0])).toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('FNumber'),
    })
  })

  test('orders asked for by many at once are read by what the data centre has', async () => {
    // Some servers name the reference that was followed, and not what was wanted of it.
    const { adapter, order } = await sheetServer(
      { SAL_SaleOrder: [sheetOrder] },
      {
        names: (field) => field.split('.')[0] ?? field,
        config: { fields: { order: { currency: null } } },
      },
    )
    const read = await Promise.all([1, 2, 3].map(() => order.readMany(['SO1'], call)))
    for (const [outcome] of read) {
      expect(value(outcome)).toMatchObject({
        customer: 'C1',
        lines: [
          {
            product: 'M1',
            unitPrice: { amount: { amount: '11.3', currency: 'CNY' }, taxIncluded: true },
            gross: { amount: '22.6', currency: 'CNY' },
          },
        ],
      })
    }
    const [sentence = ''] = value(await adapter.checkConfiguration?.(call)).filter((one) =>
      one.startsWith('SAL_SaleOrder'),
    )
    expect(sentence).toMatch(/^SAL_SaleOrder: read without FBillTypeID, .*FMaterialId,.* fields\.order/)
  })

  test('what a data centre cannot tell is unsupported, and not empty', async () => {
    const head = { FBillNo: '"D1"', FDate: '"2026-03-02 00:00:00"', FDocumentStatus: '"C"' }
    const { product, delivery, receivable } = await sheetServer({
      BD_MATERIAL: [
        { FMATERIALID: '2', FNumber: '"M1"', FName: '"x"', FModifyDate: '"2026-03-02 10:20:30"' },
      ],
      BD_Customer: [{ FCUSTID: '1', FNumber: '"C1"', FName: '"x"', FModifyDate: 'null' }],
      SAL_OUTSTOCK: [
        { FID: '8', ...head, 'FCustomerID.FNumber': '"C1"', 'FMaterialID.FNumber': '"M1"', FRealQty: '2' },
        { FID: '8', ...head, 'FCustomerID.FNumber': '"C1"', 'FMaterialID.FNumber': '"M2"', FRealQty: '3' },
      ],
      AR_receivable: [
        { FID: '9', ...head, FBillNo: '"AR1"', 'FCUSTOMERID.FNumber': '"C1"', FALLAMOUNTFOR: '113.5' },
      ],
    })
    // Materials of the sheet belong to no organisation.
    expect(value((await product.readMany(['M1'], call))[0])).toMatchObject({
      key: 'M1',
      version: '2026-03-02T10:20:30',
      updatedAt: '2026-03-02T10:20:30+08:00',
    })
    expect(value((await delivery.readMany(['D1'], call))[0])).toMatchObject({
      date: '2026-03-02',
      lines: [
        { id: '1', product: 'M1', quantity: { value: '2' } },
        { id: '2', product: 'M2', quantity: { value: '3' } },
      ],
    })
    expect(failure(await delivery.changes?.(null, call))).toMatchObject({ kind: 'unsupported' })
    expect(failure((await delivery.lookups?.byOrder?.read(['SO1'], call))?.[0])).toMatchObject({
      kind: 'unsupported',
    })
    expect(failure((await receivable.readMany(['C1'], call))[0])).toMatchObject({ kind: 'unsupported' })
  })

  test('an order says who gets and pays it, its approval, taxes, and what stops it', async () => {
    const { world, order } = await setUp()
    changeOrder(world, orderIn(world, 2), {
      userFields: {
        FReceiveAddress: '上海市 张江路 99 号',
        FLinkMan: '李强',
        FLinkPhone: '13800000002',
        FSrcBillNo: 'XSBJ0007',
        '0.FMrpFreezeStatus': 'B',
        '1.FEntryNote': '轻放',
      },
    })
    const [plain, changed] = (await order.readMany([n(1), n(2)], call)).map(value)
    // Order 1 of the seed: delivered whole, billed whole; 13 per cent of tax.
    expect(plain).toMatchObject({
      documentType: 'XSDD01_SYS',
      approvalStatus: 'APPROVED',
      billingStatus: 'COMPLETE',
      holds: [],
      precededBy: null,
      createdBy: 'demo',
      shipTo: {
        key: 'C20001',
        name: '上海晨光精密机械有限公司',
        address: { street: '上海 浦东新区张江路 88 号' },
      },
      billTo: { key: 'C20001' },
      payer: { key: 'C20001' },
    })
    // 100 × 12.80, and the tax on it.
    expect(plain?.lines[0]).toMatchObject({
      taxRate: '13',
      net: { amount: '1280' },
      tax: { amount: '166.4' },
      gross: { amount: '1446.4' },
      invoiced: { value: '100' },
    })
    expect(changed).toMatchObject({
      billingStatus: 'NONE',
      shipTo: { name: '李强', phone: '13800000002', address: { street: '上海市 张江路 99 号' } },
      holds: [{ type: 'DELIVERY', code: 'FMrpFreezeStatus', text: '业务冻结: 1' }],
      precededBy: [{ type: 'QUOTATION', number: 'XSBJ0007', vendorType: 'SAL_QUOTATION' }],
    })
    expect(changed?.lines.map((line) => line.comments)).toEqual([null, '轻放'])
  })

  test('products have their group, tax rate and cost, and the prices of the configured list', async () => {
    const { open, product, called } = await setUp()
    const [bare] = (await product.readMany(['A00001'], call)).map(value)
    expect(bare).toMatchObject({
      category: { key: '101', name: '物料组101' },
      specifications: [{ name: '规格型号', value: 'Precision bearing 6204' }],
      taxRate: '13',
      cost: { amount: '7.68', currency: 'CNY' },
      minOrder: null,
      price: null,
      status: 'ACTIVE',
    })
    const priced = open({ priceList: 'XSJM0001' }).product
    const before = called(/ExecuteBillQuery/).length
    const [bearing, nothing] = await priced.readMany(['A00001', 'nothing'], call)
    expect(value(bearing)?.price).toEqual({
      amount: { amount: '12.8', currency: 'CNY' },
      per: '1',
      taxIncluded: false,
    })
    expect(value(nothing)).toBeNull()
    expect(called(/ExecuteBillQuery/).length - before).toBe(2)
    await priced.readMany(['A00001'], { ...call, without: new Set(['price']) })
    expect(called(/ExecuteBillQuery/).length - before).toBe(3)
  })

  test('receivables tell what they bill, for which orders, and under which tax invoices', async () => {
    const { open } = await setUp()
    const { invoice } = open({ taxInvoiceForms: ['IV_SALESIC'] })
    const [paid, unpaid] = (await invoice.readMany(['AR00000001', 'AR00000002'], call)).map(value)
    // Order 1 of the seed has three lines; 1000 of its bill are paid.
    expect(paid?.orderNumbers).toEqual([n(1)])
    expect(paid?.lines).toHaveLength(3)
    expect(paid?.lines?.[0]).toMatchObject({
      product: 'A00001',
      quantity: { value: '100', vendorUnit: '个' },
      unitPrice: { amount: { amount: '12.8', currency: 'CNY' }, taxIncluded: false },
      taxRate: '13',
      net: { amount: '1280' },
      gross: { amount: '1446.4' },
      orderNumber: n(1),
    })
    expect(paid?.taxInvoices).toEqual([
      { kind: '增值税专用发票', number: '25312000000000000001', issuedOn: '2026-05-22' },
    ])
    expect(unpaid?.taxInvoices).toEqual([])
    expect(value((await open().invoice.readMany(['AR00000001'], call))[0])?.taxInvoices).toBeNull()
    // A tenant without the form, or a user without the right to it, has receivables all the same.
    const { invoice: other } = open({ taxInvoiceForms: ['IV_SALESOC'] })
    expect(value((await other.readMany(['AR00000001'], call))[0])).toMatchObject({
      number: 'AR00000001',
      taxInvoices: null,
    })
  })

  test('a check names every field that this tenant does not have', async () => {
    const { adapter, open } = await setUp()
    expect(value(await adapter.checkConfiguration?.(call))).toEqual([])
    const wrong = open({
      customFields: { order: { region: 'F_XYZ' } },
      fields: { invoice: { open: 'FOpen' } },
    })
    expect(value(await wrong.adapter.checkConfiguration?.(call))).toEqual([
      'SAL_SaleOrder: rejected (9): 元数据中标识为F_XYZ的字段不存在',
      'AR_receivable: rejected (9): 元数据中标识为FOpen的字段不存在',
    ])
  })

  test('field names that could carry SQL are refused by the configuration', () => {
    const base = { baseUrl: 'http://k3.example', organization: '100' }
    const login = { method: 'password', accountId: 'a', username: 'u', password: 'p' }
    const bad = kingdeeK3Config.safeParse({
      ...base,
      login,
      fields: { order: { comments: "FNote' or 1=1" } },
    })
    expect(bad.success).toBe(false)
    const without = kingdeeK3Config.safeParse({ ...base, login, fields: { order: { entry: null } } })
    expect(without.error?.issues[0]?.path).toEqual(['fields', 'order'])
    const galaxy = kingdeeK3Config.safeParse({ ...base, login, profile: 'galaxy' })
    expect(galaxy.error?.issues[0]?.message).toBe('must be token in the profile galaxy')
  })
})

describe('changes', () => {
  test('begin now, tell each order that was changed, and miss none over several pages', async () => {
    const { world, open } = await setUp()
    const { order } = open({ batchLimit: 2, overlapSeconds: 0 })
    const start = value(await order.changes?.(null, call))
    expect(start.records).toEqual([])
    for (const entry of [4, 9, 2, 7, 11]) changeOrder(world, orderIn(world, entry), { comments: 'x' })
    const seen: string[] = []
    let checkpoint = start.checkpoint
    for (;;) {
      const page = value(await order.changes?.(checkpoint, call))
      seen.push(...page.records.map((record) => record.key))
      checkpoint = page.checkpoint
      if (!page.hasMore) break
      // Between two pages: found by the next round.
      changeOrder(world, orderIn(world, 1), { comments: 'late' })
    }
    for (const entry of [4, 9, 2, 7, 11]) expect(seen).toContain(n(entry))
    const next = value(await order.changes?.(checkpoint, call))
    expect(next.records.map((record) => record.key)).toContain(n(1))
    expect(failure(await order.changes?.('nonsense', call)).kind).toBe('unsupported')
  })

  test('stock moves are not told: no modification is kept', async () => {
    const { world, inventoryLevel } = await setUp()
    expect(inventoryLevel.changes).toBeUndefined()
    moveStock(world, 'A00001', '01', { inStock: '3' })
    expect(value((await inventoryLevel.readMany(['A00001/01'], call))[0])?.onHand.value).toBe('40')
  })
})

describe('who is asking', () => {
  test('the published test vector of signed headers', () => {
    const path = '/K3Cloud/Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.ExecuteBillQuery.common.kdsvc'
    const headers = signedHeaders({
      accountId: 'dcid-1',
      username: 'user-1',
      language: 2052,
      organization: '100',
      appId: '123456_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4',
      appSecret: 'test-app-secret-value',
      timestampUnit: 's',
      path,
      now: 1_700_000_000_000,
    })
    expect(headers).toMatchObject({
      'X-Api-ClientID': '123456',
      'X-Api-Signature':
        'MjNhMzg5MmZiMWE1MTQ1ZGE5NWFkYmZiZWYxYzhlY2NjNzcwM2ZjNDJlZTczMzBhNzkxOTk1ODhjNDZkMTEzYw==',
      'X-Kd-Appdata': 'ZGNpZC0xLHVzZXItMSwyMDUyLDEwMA==',
      'X-Kd-Signature':
        'NjI5MzRiZGVhNGJhOWY2N2Y2YzQ2MzQ5ODA3N2JiZTRiMDRmOTUwNjI3YWIzODU1ODBkZDdhNzgwMzdmMDgxMg==',
    })
  })

  const account = { accountId: ACCOUNT, username: 'demo' }
  const application = { appId: APP_ID, appSecret: APP_SECRET }
  test.each([
    [{ method: 'appSecret', ...account, ...application }, 'LoginByAppSecret', 1],
    [{ method: 'sign', ...account, ...application }, 'LoginBySign', 1],
    [{ method: 'signedHeaders', ...account, ...application, organization: '100' }, 'Login', 0],
    [{ method: 'signedHeaders', ...account, ...application, timestampUnit: 'ms' }, 'Login', 0],
  ])('%j', async (login, service, logins) => {
    const { open, called } = await setUp()
    const { order, adapter } = open({ login })
    expect(value(await adapter.health(call)).detail).toBe(
      `K/3 Cloud, data centre ${ACCOUNT}, organisation 100`,
    )
    expect(value((await order.readMany([n(1)], call))[0])?.key).toBe(n(1))
    expect(called(new RegExp(service))).toHaveLength(logins)
    expect(value(await order.create?.send(newOrder, write, call)).reached).toBe('effective')
  })

  test('one login serves a hundred waiters', async () => {
    const { customer, called } = await setUp({ simulator: { loginDelayMs: 30 } })
    await Promise.all(Array.from({ length: 100 }, () => customer.readMany(['C20001'], call)))
    expect(called(/ValidateUser/)).toHaveLength(1)
  })

  test('a lost session is replaced by one login, however many requests notice', async () => {
    const { order, simulator, called } = await setUp({ simulator: { loginDelayMs: 30 } })
    expect(value((await order.readMany([n(1)], call))[0])?.key).toBe(n(1))
    simulator.endSessions()
    const read = await Promise.all(Array.from({ length: 6 }, () => order.readMany([n(1)], call)))
    expect(read.map(([one]) => value(one)?.key)).toEqual(Array.from({ length: 6 }, () => n(1)))
    expect(called(/ValidateUser/)).toHaveLength(2)
  })

  test('a system that loses every session is not logged in to for ever', async () => {
    const { order, simulator, called } = await setUp()
    await order.readMany([n(1)], call)
    simulator.setFaults(answers(`[[${lost}]]`, 'ExecuteBillQuery'))
    for (let round = 0; round < 4; round++) {
      const read = await Promise.all(Array.from({ length: 4 }, () => order.readMany([n(1)], call)))
      for (const [one] of read) expect(failure(one).kind).toBe('unauthorized')
    }
    expect(called(/ValidateUser/)).toHaveLength(2)
  })

  test('a first session that is refused costs one login', async () => {
    const { order, simulator, called } = await setUp()
    simulator.setFaults(answers(`[[${lost}]]`, 'ExecuteBillQuery'))
    expect(failure((await order.readMany([n(1)], call))[0])).toMatchObject({
      kind: 'unauthorized',
      detail: expect.stringContaining('MsgCode 1'),
    })
    expect(failure((await order.readMany([n(1)], call))[0]).kind).toBe('unauthorized')
    expect(called(/ValidateUser/)).toHaveLength(1)
  })

  test('a change that meets a lost session goes on in a new one; an order that is not there is said so', async () => {
    const { order, simulator, called } = await setUp()
    await order.readMany([n(3)], call)
    simulator.endSessions()
    const input = { key: n(3), changes: { comments: '改' } }
    expect(value(await order.update?.send(input, write, call)).record?.comments).toBe('改')
    expect(called(/ValidateUser/)).toHaveLength(2)
    expect(failure(await order.update?.send({ ...input, key: 'X9' }, write, call)).kind).toBe('not-found')
  })

  test('a save that meets a lost session is sent again once, after a look for its reference', async () => {
    const { world, order, simulator, called } = await setUp()
    await order.readMany([n(1)], call)
    simulator.endSessions()
    simulator.clearCalls()
    expect(value(await order.create?.send(newOrder, write, call))).toMatchObject({
      key: n(13),
      reached: 'effective',
    })
    expect(simulator.calls.map((line) => /\w+(?=\.common)/.exec(line)?.[0])).toEqual([
      'Save',
      'ValidateUser',
      'ExecuteBillQuery',
      'Save',
      'Submit',
      'Audit',
      'ExecuteBillQuery',
    ])
    expect(world.count('erpOrders')).toBe(13)
    // Done, and then answered as if the session had been lost: the look prevents a second order.
    simulator.setFaults([
      { kind: 'status', status: 200, body: lost, match: 'Save', times: 1, afterwards: true },
    ])
    const other = { ...write, externalReference: 'f'.repeat(32) }
    expect(value(await order.create?.send(newOrder, other, call)).key).toBe(n(14))
    expect(world.count('erpOrders')).toBe(14)
    expect(called(/ValidateUser/)).toHaveLength(2)
  })

  test('wrong credentials are tried once, and are in no message', async () => {
    const { open, called } = await setUp()
    const wrong = 'Wr0ng-密码'
    const { order, adapter } = open({ login: { method: 'password', ...account, password: wrong } })
    const read = await Promise.all(Array.from({ length: 5 }, () => order.readMany([n(1), n(2)], call)))
    for (const [one] of read) expect(failure(one).kind).toBe('unauthorized')
    expect(failure(await adapter.health(call)).kind).toBe('unauthorized')
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unauthorized')
    expect(failure(await adapter.connect?.(call)).kind).toBe('unauthorized')
    expect(called(/ValidateUser/)).toHaveLength(1)
    expect(JSON.stringify(read)).toContain('***')
    expect(JSON.stringify(read)).not.toContain(wrong)
    expect(JSON.stringify(order.create?.preview(newOrder, write))).not.toContain(wrong)
    const unsigned = open({ login: { method: 'signedHeaders', ...account, ...application, appSecret: 'x' } })
    expect(failure((await unsigned.order.readMany([n(1)], call))[0]).kind).toBe('unauthorized')
  })

  test('a login outlives the request that needed it, and a write that got none was not sent', async () => {
    const { order, called, world } = await setUp({ simulator: { loginDelayMs: 250 }, timeoutMs: 100 })
    expect(failure(await order.create?.send(newOrder, write, call))).toMatchObject({
      kind: 'unavailable',
      reason: 'timeout',
    })
    await delay(250)
    expect(value((await order.readMany([n(1)], call))[0])?.key).toBe(n(1))
    expect(called(/ValidateUser/)).toHaveLength(1)
    expect(world.count('erpOrders')).toBe(12)
  })

  test('closing logs out', async () => {
    const { adapter, order, called } = await setUp()
    await order.readMany([n(1)], call)
    await adapter.close()
    expect(called(/Logout/)).toHaveLength(1)
    expect(failure((await order.readMany([n(1)], call))[0])).toMatchObject({
      kind: 'unavailable',
      reason: 'aborted',
    })
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
    const { order, inventoryLevel, receivable, simulator } = await setUp({
      timeoutMs: kind === 'hang' ? 200 : 2_000,
    })
    await order.readMany([n(1)], call)
    simulator.setFaults([{ kind, match: 'ExecuteBillQuery' }])
    for (const one of await order.readMany([n(1), n(2)], call)) expect(failure(one)).toMatchObject(expected)
    const looked = await order.lookups?.byCustomer?.read(['C20001'], call)
    expect(failure(looked?.[0])).toMatchObject(expected)
    expect(failure(await order.list?.({ first: 1 }, call))).toMatchObject(expected)
    expect(failure(await order.changes?.(null, call))).toMatchObject(expected)
    expect(failure((await inventoryLevel.readMany(['A00001/01'], call))[0])).toMatchObject(expected)
    expect(failure((await receivable.readMany(['C20001'], call))[0])).toMatchObject(expected)
    simulator.setFaults([])
    expect(value((await order.readMany([n(1)], call))[0])?.key).toBe(n(1))
  })

  test.each([
    [2, { kind: 'unauthorized' }],
    [4, { kind: 'invalid-response' }],
    [6, { kind: 'unavailable', reason: 'overloaded' }],
    [7, { kind: 'unauthorized' }],
    [10, { kind: 'not-found' }],
    [11, { kind: 'rejected', code: '11', message: '忙' }],
    [13, { kind: 'unavailable', reason: 'overloaded' }],
    [14, { kind: 'unavailable', reason: 'rate-limited' }],
    [15, { kind: 'unauthorized' }],
  ] as const)('a read that is answered with MsgCode %i inside HTTP 200', async (code, expected) => {
    const { order, simulator, called } = await setUp()
    await order.readMany([n(1)], call)
    simulator.setFaults(answers(`[[${said(code)}]]`, 'ExecuteBillQuery'))
    expect(failure((await order.readMany([n(1)], call))[0])).toMatchObject(expected)
    simulator.setFaults(answers(said(code), 'ExecuteBillQuery'))
    expect(failure((await order.readMany([n(1)], call))[0])).toMatchObject(expected)
    expect(called(/ValidateUser/)).toHaveLength(1)
  })

  test('answers of other forms are no answers', async () => {
    const { order, simulator } = await setUp()
    await order.readMany([n(1)], call)
    const failing = async (body: string) => {
      simulator.setFaults([{ kind: 'status', status: 200, body, match: 'ExecuteBillQuery' }])
      return failure((await order.readMany([n(1)], call))[0])
    }
    expect((await failing('response_error: 未将对象引用设置到对象的实例')).kind).toBe('invalid-response')
    expect((await failing('{"a":1}')).kind).toBe('invalid-response')
    expect((await failing('[1]')).kind).toBe('invalid-response')
    simulator.setFaults([])
    expect(value((await order.readMany([n(1)], call))[0])?.key).toBe(n(1))
  })
})

describe('creating an order', () => {
  test('saves, submits and audits what was asked for, exactly', async () => {
    const { world, open, called } = await setUp()
    const { order } = open({
      onBehalfOfField: 'F_TRB_User',
      customerReferenceField: 'F_TRB_CustRef',
      customFields: { order: { region: 'F_TRB_Region' } },
    })
    const input: OrderCreate = {
      ...newOrder,
      orderDate: '2026-07-20',
      currency: 'USD',
      customerReference: "采购 'A' 🧾",
      comments: '加急 "now"\n第二行',
      customFields: { region: '华东' },
      lines: [
        { product: 'A00003', quantity: '2.5', unitPrice: '356.5000', warehouse: '02', discountPercent: '10' },
        { product: 'A00001', quantity: '3' },
      ],
    }
    const result = value(await order.create?.send(input, write, call))
    expect(result).toMatchObject({
      key: n(13),
      reached: 'effective',
      record: {
        number: n(13),
        customer: 'C20001',
        externalReference: write.externalReference,
        customerReference: "采购 'A' 🧾",
        customFields: { region: '华东' },
        orderDate: '2026-07-20',
        dueDate: '2026-08-01',
        comments: '加急 "now"\n第二行',
        status: 'CONFIRMED',
      },
    })
    expect(result.note).toBeUndefined()
    const stored = orderIn(world, 13)
    expect(stored.userFields).toMatchObject({
      FNetOrderBillNo: write.externalReference,
      F_TRB_User: 'wang.fang',
    })
    expect(stored.currency).toBe('USD')
    expect(
      stored.lines.map((line) => [line.item, line.quantity, line.unitPrice, line.price, line.warehouse]),
    ).toEqual([
      ['A00003', '2.5', '356.5000', '320.8500', '02'],
      ['A00001', '3', '1.8028', '1.8028', '01'],
    ])
    expect(called(/\.(Save|Submit|Audit)\./)).toHaveLength(3)
  })

  test('a preview is the request, digits kept, without credentials', async () => {
    const { order } = await setUp()
    const preview = order.create?.preview({ ...newOrder, orderDate: '2026-07-20' }, write)
    expect(preview).toMatchObject({
      method: 'POST',
      path: '/K3Cloud/Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.Save.common.kdsvc',
    })
    const [form, data] = JSON.parse(preview?.body ?? '').parameters
    expect(form).toBe('SAL_SaleOrder')
    expect(data).toContain('"FPrice":356.50,')
    expect(JSON.parse(data)).toEqual({
      NeedUpDateFields: [],
      NeedReturnFields: ['FBillNo'],
      IsDeleteEntry: 'false',
      IsAutoSubmitAndAudit: 'false',
      Model: {
        FID: 0,
        FBillTypeID: { FNUMBER: 'XSDD01_SYS' },
        FDate: '2026-07-20',
        FSaleOrgId: { FNumber: '100' },
        FCustId: { FNumber: 'C20001' },
        FNetOrderBillNo: write.externalReference,
        // No currency was asked for: the vendor takes the customer's.
        FSaleOrderFinance: { FIsIncludedTax: 'false' },
        FSaleOrderEntry: [
          {
            FMaterialId: { FNumber: 'A00003' },
            FQty: 2.5,
            FPrice: 356.5,
            FDeliveryDate: '2026-08-01',
            FSOStockId: { FNumber: '02' },
          },
        ],
      },
    })
    expect(JSON.stringify(preview)).not.toContain(PASSWORD)
  })

  test('saved is not effective: the target is what is asked for, and what was reached is what is said', async () => {
    const { open, world } = await setUp()
    const saved = value(await open({ createTarget: 'saved' }).order.create?.send(newOrder, write, call))
    expect([saved.reached, saved.record?.status]).toEqual(['saved', 'NEW'])
    const other = { ...write, externalReference: 'a'.repeat(32) }
    const submitted = value(
      await open({ createTarget: 'submitted' }).order.create?.send(newOrder, other, call),
    )
    expect([submitted.reached, submitted.record?.status]).toEqual(['submitted', 'PENDING_APPROVAL'])
    // What a write asks for goes before what is configured.
    const asked = { ...write, externalReference: 'b'.repeat(32), target: 'saved' as const }
    const { create } = open({ createTarget: 'effective' }).order
    expect(create?.targets).toEqual(['saved', 'submitted', 'effective'])
    expect(value(await create?.send(newOrder, asked, call)).reached).toBe('saved')
    expect(value(await create?.verify(newOrder, asked, call))).toMatchObject({ result: { reached: 'saved' } })
    expect([13, 14, 15].map((entry) => orderIn(world, entry).confirmed)).toEqual([false, false, false])
  })

  test('where people approve, the order waits for them, and verifying tells when they did', async () => {
    const { order, simulator, called } = await setUp({ simulator: { approval: 'people' } })
    expect(failure(await order.create?.send(newOrder, write, call))).toMatchObject({
      kind: 'awaiting-approval',
      vendorReference: n(13),
      message: expect.stringContaining('单据处于审批流程中'),
    })
    expect(failure(await order.create?.verify(newOrder, write, call)).kind).toBe('awaiting-approval')
    simulator.decide(n(13), 'approve')
    expect(value(await order.create?.verify(newOrder, write, call))).toMatchObject({
      effect: 'done',
      result: { key: n(13), reached: 'effective' },
    })
    simulator.decide(n(13), 'sendBack')
    expect(value(await order.create?.verify(newOrder, write, call))).toMatchObject({
      effect: 'done',
      result: { key: n(13), reached: 'saved', record: { status: 'PENDING_APPROVAL' } },
    })
    expect(called(/Save/)).toHaveLength(1)
  })

  test('an order that may not be submitted is there all the same: saved, with the reason', async () => {
    const { order, world } = await setUp({ simulator: { submitLimit: '500' } })
    expect(value(await order.create?.send(newOrder, write, call))).toMatchObject({
      key: n(13),
      reached: 'saved',
      note: '客户信用额度不足，超额507.11元',
      record: { status: 'NEW' },
    })
    expect(world.count('erpOrders')).toBe(13)
  })

  test.each([
    [{ customer: 'nobody' }, { code: '9', field: 'FCustId' }],
    [
      {
        lines: [
          { product: 'A00001', quantity: '1' },
          { product: 'ZZ', quantity: '1' },
        ],
      },
      { code: '9', field: 'FMaterialId', line: '2' },
    ],
    [{ lines: [{ product: 'A00001', quantity: '0' }] }, { code: '11', field: 'FQty', line: '1' }],
    [{ lines: [{ product: 'A00001', quantity: '1e3' }] }, { code: 'DECIMAL', line: '1' }],
    [{ currency: 'XXX' }, { code: '9', message: '结算币别是必填项' }],
  ] as const)('%j is refused with the reason', async (change, expected) => {
    const { order, world } = await setUp()
    const outcome = await order.create?.send({ ...newOrder, ...change }, write, call)
    expect(failure(outcome)).toMatchObject({ kind: 'rejected', ...expected })
    expect(world.count('erpOrders')).toBe(12)
  })

  test('without a currency the order is in the customer’s; address, terms and lines go along', async () => {
    const { open, world } = await setUp()
    const { order } = open({ customFields: { orderLine: { tag: 'F_TRB_LineTag' } } })
    const input: OrderCreate = {
      ...newOrder,
      customer: 'C20002',
      shipTo: {
        name: '王芳',
        phone: '13900000000',
        address: {
          country: 'CN',
          province: '上海市',
          city: '上海市',
          street: '张江路 1 号',
          postalCode: '201203',
        },
      },
      paymentTerms: 'SKTJ04_SYS',
      paymentMethod: 'JSFS04_SYS',
      lines: [
        { product: 'A00003', quantity: '1', comments: '先发 🚚', customFields: { tag: 'A/7' } },
        { product: 'A00001', quantity: '2' },
      ],
    }
    const { key, record } = value(await order.create?.send(input, write, call))
    expect(world.get('erpOrders', String(Number(key.slice(4))))?.currency).toBe('EUR')
    expect(record).toMatchObject({
      shipTo: { name: '王芳', phone: '13900000000', address: { street: '上海市 张江路 1 号 201203' } },
      payment: { terms: 'SKTJ04_SYS', method: 'JSFS04_SYS' },
      lines: [
        { comments: '先发 🚚', customFields: { tag: 'A/7' } },
        { comments: null, customFields: { tag: null } },
      ],
    })
    const preview = order.create?.preview(input, write).body ?? ''
    for (const part of ['张江路 1 号', '王芳', 'SKTJ04_SYS', 'JSFS04_SYS', '先发 🚚', 'A/7']) {
      expect(preview).toContain(part)
    }
    const unknown = {
      ...input,
      lines: [{ product: 'A00003', quantity: '1', customFields: { colour: 'red' } }],
    }
    expect(failure(await order.create?.send(unknown, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('"colour"'),
    })
  })

  test('what there is no field for is refused unsent', async () => {
    const { order, called } = await setUp()
    for (const change of [{ customerReference: 'PO-1' }, { customFields: { region: 'x' } }]) {
      expect(failure(await order.create?.send({ ...newOrder, ...change }, write, call)).kind).toBe(
        'unsupported',
      )
    }
    expect(called(/Save/)).toHaveLength(0)
  })

  test('defaults stand for what callers omit', async () => {
    const { open } = await setUp()
    const { order } = open({
      defaults: {
        billType: 'XSDD05_SYS',
        currency: 'EUR',
        unit: '根',
        warehouse: '02',
        taxPercent: '13.00',
      },
    })
    const input = { ...newOrder, lines: [{ product: 'A00003', quantity: '1' }] }
    const { Model } = JSON.parse(JSON.parse(order.create?.preview(input, write).body ?? '').parameters[1])
    expect(Model).toMatchObject({
      FBillTypeID: { FNUMBER: 'XSDD05_SYS' },
      FSaleOrderFinance: { FSettleCurrId: { FNumber: 'PRE003' } },
      FSaleOrderEntry: [{ FUnitID: { FNumber: '根' }, FSOStockId: { FNumber: '02' }, FEntryTaxRate: 13 }],
    })
    expect(value(await order.create?.send(input, write, call)).record?.lines[0]?.warehouse).toBe('02')
  })

  test.each([
    ['drop-after', 'Save'],
    ['truncate', 'Save'],
    ['html', 'Save'],
    ['hang', 'Save'],
    ['drop-after', 'Submit'],
    ['drop-before', 'Audit'],
  ] as const)('"%s" at %s leaves an unknown outcome, and verifying tells', async (kind, operation) => {
    const { order, simulator, world, called } = await setUp({ timeoutMs: 300 })
    await order.readMany([n(1)], call)
    simulator.setFaults([{ kind, match: `\\.${operation}\\.`, times: 1 }])
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    const verdict = await order.create?.verify(newOrder, write, call)
    if (operation === 'Audit') expect(failure(verdict)).toMatchObject({ kind: 'awaiting-approval' })
    else if (operation === 'Submit') expect(failure(verdict)).toMatchObject({ kind: 'awaiting-approval' })
    else if (kind === 'drop-after' || kind === 'truncate') {
      const note = expect.stringContaining('saved, not effective')
      expect(value(verdict)).toMatchObject({ effect: 'done', result: { key: n(13), reached: 'saved', note } })
    } else {
      expect(value(verdict)).toEqual({
        effect: 'none',
        proven: false,
        evidence: 'no order, in whatever state, has the reference in FNetOrderBillNo',
      })
    }
    expect(world.count('erpOrders')).toBe(kind === 'html' || kind === 'hang' ? 12 : 13)
    expect(called(/\.Save\./)).toHaveLength(1)
  })

  test.each([4, 6])('a save answered with MsgCode %i may have been done', async (code) => {
    const { order, simulator } = await setUp()
    simulator.setFaults(answers(said(code), 'Save', 1))
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    simulator.setFaults(answers('response_error: x', 'Save', 1))
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    simulator.setFaults(answers(said(14), 'Save', 1))
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unavailable')
  })

  test('a document that its own save still locks is submitted a moment later', async () => {
    const { order, simulator, called } = await setUp()
    simulator.lock(n(13), 1)
    expect(value(await order.create?.send(newOrder, write, call)).reached).toBe('effective')
    expect(called(/Submit/)).toHaveLength(2)
  })

  test('as the order number, the reference is unique: twice the same create has one effect', async () => {
    const { open, world } = await setUp()
    const { order } = open({ externalReferenceField: 'FBillNo' })
    expect(value(await order.create?.verify(newOrder, write, call))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    const result = value(await order.create?.send(newOrder, write, call))
    expect(result.key).toBe(billNumberOf('TB', write.externalReference))
    expect(result.key.length).toBeLessThanOrEqual(30)
    expect(result.record?.externalReference).toBe(write.externalReference)
    const again = value(await order.create?.send(newOrder, write, call))
    expect([again.key, again.reached]).toEqual([result.key, 'effective'])
    expect(world.count('erpOrders')).toBe(13)
    for (const reference of ['0'.repeat(32), 'f'.repeat(32)]) {
      expect(referenceOf('TB', billNumberOf('TB', reference))).toBe(reference)
    }
    expect([n(1), 'TB1', `TB${'Z'.repeat(25)}`].map((one) => referenceOf('TB', one))).toEqual([
      null,
      null,
      null,
    ])
  })
})

describe('changing an order', () => {
  test('names the fields it changes, and keeps the lines', async () => {
    const { world, order } = await setUp()
    const before = orderIn(world, 5)
    const version = value((await order.readMany([n(5)], call))[0])?.version ?? ''
    const input = {
      key: n(5),
      expectedVersion: version,
      changes: { dueDate: '2026-09-09', comments: '改期 🧾' },
    }
    expect(value(await order.update?.send(input, write, call))).toMatchObject({
      key: n(5),
      reached: 'effective',
      record: { dueDate: '2026-09-09', comments: '改期 🧾', status: 'CONFIRMED' },
    })
    expect(orderIn(world, 5).lines).toEqual(before.lines)
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({ effect: 'done' })
    expect(failure(await order.update?.send(input, write, call))).toMatchObject({
      kind: 'conflict',
      currentVersion: expect.stringMatching(/^\d{4}-/),
    })
  })

  test('another address is sent, and looked for when the answer was lost', async () => {
    const { order, simulator } = await setUp()
    const shipTo = { name: '李强', address: { city: '上海', street: '张江路 99 号' } }
    const input = { key: n(3), changes: { shipTo } }
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({
      effect: 'none',
      evidence: expect.stringContaining('shipTo.name, shipTo.address not as asked for'),
    })
    simulator.setFaults([{ kind: 'drop-after', match: '\\.Save\\.', times: 1 }])
    expect(failure(await order.update?.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({
      effect: 'done',
      result: { record: { shipTo: { name: '李强', address: { street: '上海 张江路 99 号' } } } },
    })
  })

  test('terms of payment are changed, alone', async () => {
    const { order, world } = await setUp()
    const { comments, dueDate } = orderIn(world, 5)
    const input = { key: n(5), changes: { paymentTerms: 'SKTJ04_SYS' } }
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({ effect: 'none' })
    expect(value(await order.update?.send(input, write, call))).toMatchObject({
      record: { payment: { terms: 'SKTJ04_SYS' }, comments, dueDate },
    })
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({ effect: 'done' })
    const unknown = { key: n(5), changes: { paymentTerms: 'SKTJ99' } }
    expect(failure(await order.update?.send(unknown, write, call))).toMatchObject({
      kind: 'rejected',
      field: 'FRecConditionId',
    })
  })

  test('un-audits an approved order and audits it again, or lets the vendor refuse', async () => {
    const { open, called, world } = await setUp()
    const input = { key: n(5), changes: { comments: 'x' } }
    await open().order.update?.send(input, write, call)
    const operations = called(/DynamicForm/).flatMap(
      (line) => /\.(UnAudit|Save|Submit|Audit)\./.exec(line)?.[1] ?? [],
    )
    expect(operations).toEqual(['UnAudit', 'Save', 'Submit', 'Audit'])
    expect(
      failure(await open({ unauditApproved: false }).order.update?.send(input, write, call)),
    ).toMatchObject({
      kind: 'rejected',
      code: '12',
      message: '审核中或已审核的单据不能修改',
    })
    // Delivered in part: there is a document behind it.
    expect(failure(await open().order.update?.send({ ...input, key: n(2) }, write, call))).toMatchObject({
      kind: 'rejected',
      message: '存在下游单据，不允许反审核',
    })
    expect(orderIn(world, 2).confirmed).toBe(true)
  })

  test('a change that is refused leaves the order approved', async () => {
    const { order, world, simulator } = await setUp()
    simulator.setFaults(answers(said(11, '交货日期无效'), 'Save', 1))
    const input = { key: n(5), changes: { comments: 'x' } }
    expect(failure(await order.update?.send(input, write, call))).toMatchObject({
      kind: 'rejected',
      code: '11',
    })
    expect(orderIn(world, 5)).toMatchObject({ confirmed: true, comments: null })
  })

  test('where people approve, a changed order waits for them', async () => {
    const { order, world } = await setUp({ simulator: { approval: 'people' } })
    const input = { key: n(5), changes: { comments: 'x' } }
    expect(failure(await order.update?.send(input, write, call))).toMatchObject({
      kind: 'awaiting-approval',
      vendorReference: n(5),
    })
    expect(orderIn(world, 5)).toMatchObject({ confirmed: false, comments: 'x' })
  })

  test('a lost answer is resolved by reading back', async () => {
    const { order, simulator } = await setUp({ timeoutMs: 300 })
    const input = { key: n(5), changes: { comments: 'x', dueDate: '2026-09-10' } }
    simulator.setFaults([{ kind: 'drop-before', match: '\\.Save\\.', times: 1 }])
    expect(failure(await order.update?.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await order.update?.verify(input, write, call))).toEqual({
      effect: 'none',
      proven: false,
      evidence: 'dueDate, comments not as asked for; the order stands at D FCloseStatus=A FCancelStatus=A',
    })
    simulator.setFaults([{ kind: 'drop-after', match: '\\.Save\\.', times: 1 }])
    expect(failure(await order.update?.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await order.update?.verify(input, write, call))).toMatchObject({
      effect: 'done',
      result: { reached: 'saved' },
    })
  })

  test('confirming submits and audits what is saved', async () => {
    const { open, order, simulator } = await setUp()
    await open({ createTarget: 'saved' }).order.create?.send(newOrder, write, call)
    const input = { key: n(13) }
    expect(value(await order.actions?.confirm?.verify(input, write, call))).toMatchObject({ effect: 'none' })
    simulator.lock(n(13), 9)
    expect(failure(await order.actions?.confirm?.send(input, write, call)).kind).toBe('unavailable')
    simulator.lock(n(13), 0)
    expect(value(await order.actions?.confirm?.send(input, write, call))).toMatchObject({
      reached: 'effective',
      record: { status: 'CONFIRMED' },
    })
    expect(value(await order.actions?.confirm?.verify(input, write, call))).toMatchObject({ effect: 'done' })
    expect(failure(await order.actions?.confirm?.send({ key: 'X' }, write, call)).kind).toBe('not-found')
  })

  test('cancelling voids an order, approved or not, and leaves a delivered one alone', async () => {
    const { order, world } = await setUp()
    const cancel = order.actions?.cancel
    expect(value(await cancel?.send({ key: n(5) }, write, call))).toMatchObject({
      reached: 'effective',
      record: { status: 'CANCELLED' },
    })
    expect(value(await cancel?.verify({ key: n(5) }, write, call))).toMatchObject({ effect: 'done' })
    expect(failure(await cancel?.send({ key: n(5) }, write, call))).toMatchObject({
      kind: 'rejected',
      code: '12',
    })
    expect(failure(await cancel?.send({ key: n(1) }, write, call))).toMatchObject({ kind: 'rejected' })
    expect(orderIn(world, 1).confirmed).toBe(true)
    expect(value(await cancel?.verify({ key: n(3) }, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
    })
    expect(
      failure(await cancel?.send({ key: n(3), expectedVersion: '2020-01-01T00:00:00' }, write, call)).kind,
    ).toBe('conflict')
  })
})

test('the samples of the README are settings', () => {
  const readme = readFileSync(new URL('../../src/systems/kingdee-k3/README.md', import.meta.url), 'utf8')
  const samples = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, sample = '']) => parseYaml(sample))
  expect(samples).toHaveLength(2)
  for (const { kind, ...settings } of samples) {
    expect(kind).toBe('kingdee-k3')
    expect(kingdeeK3Config.safeParse(settings).error?.issues ?? []).toEqual([])
  }
})

describe('the profile galaxy', () => {
  const galaxy = {
    profile: 'galaxy',
    login: {
      method: 'token',
      accountId: ACCOUNT,
      username: 'demo',
      password: PASSWORD,
      appId: APP_ID,
      appSecret: APP_SECRET,
    },
  }

  test('reads with a bearer token, which is renewed once when it has expired', async () => {
    const { order, simulator, called } = await setUp({ simulator: { auth: 'token' }, config: galaxy })
    expect(value((await order.readMany([n(5)], call))[0])?.number).toBe(n(5))
    simulator.endSessions()
    const read = await Promise.all(Array.from({ length: 5 }, () => order.readMany([n(5)], call)))
    expect(read.map(([one]) => value(one)?.key)).toEqual(Array.from({ length: 5 }, () => n(5)))
    expect(called(/auth\/token/)).toHaveLength(2)
  })

  test('an answer with the id alone, as the specification reads it, is a success', async () => {
    const { open, simulator, world } = await setUp({ simulator: { auth: 'token' }, config: galaxy })
    await using bare = await startWire(simulator.url, (answer, { line }) => {
      if (!line.includes('.Save.')) return answer
      const { Result } = JSON.parse(answer.body.toString('utf8'))
      return { ...answer, body: Buffer.from(JSON.stringify({ Result: { Id: Result.Id } })) }
    })
    const { order } = open({ baseUrl: bare.url })
    const before = world.count('erpOrders')
    const { lines, customer, dueDate } = newOrder
    const input = { customer, dueDate, lines: lines.map(({ product, quantity }) => ({ product, quantity })) }
    expect(value(await order.create?.send(input, write, call))).toMatchObject({
      key: billNumberOf('TB', write.externalReference),
      reached: 'effective',
    })
    expect(world.count('erpOrders')).toBe(before + 1)
  })

  test('pushes orders flat, with FEntity', async () => {
    const { order, simulator, world } = await setUp({ simulator: { auth: 'token' }, config: galaxy })
    const input: OrderCreate = {
      customer: 'C20001',
      orderDate: '2026-07-20',
      dueDate: '2026-08-01',
      lines: [{ product: 'A00003', quantity: '2.5', unitPrice: '356.50' }],
    }
    const number = billNumberOf('TB', write.externalReference)
    const body = JSON.parse(order.create?.preview(input, write).body ?? '')
    expect(body).toEqual({
      formid: 'SAL_SaleOrder',
      data: {
        Model: {
          FBillNo: number,
          FCustomerId: 'C20001',
          FDate: '2026-07-20',
          FEntity: [
            { FMaterialId: 'A00003', FQty: 2.5, FPrice: 356.5, FAmount: 891.25, FDeliveryDate: '2026-08-01' },
          ],
        },
      },
    })
    expect(value(await order.create?.send(input, write, call))).toMatchObject({
      key: number,
      reached: 'effective',
      record: {
        externalReference: write.externalReference,
        totals: { net: { amount: '891.25', currency: 'CNY' } },
      },
    })
    simulator.setFaults([{ kind: 'drop-after', match: 'Save', times: 1 }])
    const other = { ...write, externalReference: 'b'.repeat(32) }
    expect(failure(await order.create?.send(input, other, call)).kind).toBe('unknown-outcome')
    expect(value(await order.create?.verify(input, other, call))).toMatchObject({ effect: 'done' })
    expect(world.count('erpOrders')).toBe(14)
    expect(failure(await order.create?.send(newOrder, write, call)).kind).toBe('unsupported')
    const cancelled = await order.actions?.cancel?.send({ key: number }, write, call)
    expect(value(cancelled).record?.status).toBe('CANCELLED')
  })

  test('a wrong application secret is tried once', async () => {
    const { open, called } = await setUp({ simulator: { auth: 'token' }, config: galaxy })
    const { order } = open({ login: { ...galaxy.login, appSecret: 'Wr0ng' } })
    for (let round = 0; round < 3; round++) {
      const [one] = await order.readMany([n(1)], call)
      expect(failure(one)).toMatchObject({ kind: 'unauthorized' })
      expect(JSON.stringify(one)).not.toContain('Wr0ng')
    }
    expect(called(/auth\/token/)).toHaveLength(1)
  })
})
