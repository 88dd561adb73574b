import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { systemSchema } from '../../src/config/schema.ts'
import { type Log, silentLog } from '../../src/observe/log.ts'
import { changeShopOrder, moveShopStock, placeShopOrder, sendShopOrder } from '../../src/simulation/shops.ts'
import { type ShopOrder, World } from '../../src/simulation/world.ts'
import { failureText } from '../../src/systems/failure.ts'
import { createJushuitan } from '../../src/systems/jushuitan/adapter.ts'
import { sign } from '../../src/systems/jushuitan/client.ts'
import { jushuitanConfig } from '../../src/systems/jushuitan/config.ts'
import {
  type JushuitanSimulatorOptions,
  startJushuitanSimulator,
} from '../../src/systems/jushuitan/simulator.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { at, failure, value } from './outcomes.ts'
import { startWire } from './wire.ts'

const SECRET = 'S3cret-密钥'
const REFERENCE = '0123456789abcdef0123456789abcdef'
const call = { caller: gatewayCaller }
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: 'wang.fang' }
const receiver = {
  name: '陈𠮷',
  phone: '13800000001',
  province: '上海市',
  city: '上海市',
  address: '张江路 88 号',
}
const orderDefaults = { shopId: '10087', taxPercent: '13', receiver }

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly simulator?: Partial<JushuitanSimulatorOptions>
  readonly config?: object
  readonly timeoutMs?: number
  readonly log?: Log
}

async function setUp(setup: Setup = {}) {
  const world = new World({ orders: 1, customers: 5, products: 12 })
  const simulator = await startJushuitanSimulator(world, { appSecret: SECRET, ...setup.simulator })
  closers.push(() => simulator.close())
  const open = (config: object = {}) => {
    const adapter = createJushuitan(
      jushuitanConfig.parse({
        baseUrl: simulator.url,
        appKey: 'jst-demo',
        appSecret: SECRET,
        callsPerSecond: 1_000,
        callsPerMinute: 10_000,
        listDays: 366,
        warehouses: [
          { id: '11001', name: '上海电商仓' },
          { id: '11002', name: '广州电商仓' },
        ],
        orderDefaults,
        ...setup.config,
        ...config,
      }),
      { systemId: 'jst', log: setup.log ?? silentLog, timeoutMs: setup.timeoutMs ?? 2_000 },
    )
    closers.push(() => adapter.close())
    const { order, delivery, inventoryLevel, product } = adapter.ports
    if (!order?.create || !order.actions?.cancel || !delivery || !inventoryLevel || !product)
      throw new Error('ports')
    return {
      adapter,
      order,
      create: order.create,
      cancel: order.actions.cancel,
      delivery,
      inventoryLevel,
      product,
    }
  }
  const called = (pattern: RegExp) => simulator.calls.filter((line) => pattern.test(line))
  /** The seed's orders of this shop, oldest first. */
  const seeded = () => world.all('shopOrders').filter((order) => order.shop === '10087')
  return { world, simulator, open, called, seeded, ...open() }
}

const newOrder: OrderCreate = {
  customer: '分销商-07',
  dueDate: '2026-12-31',
  comments: '加急 🚚',
  customerReference: 'PO 4711',
  lines: [
    { product: 'A00001', quantity: '3', unitPrice: '12.80' },
    { product: 'A00003', quantity: '1', unitPrice: '356.50', discountPercent: '10' },
  ],
}

describe('what else there is of orders and goods', () => {
  test('an order says to whom it goes, how it was paid, and what stops it', async () => {
    const { order, product, delivery, seeded } = await setUp()
    const [sent, paid] = seeded()
    const read = await order.readMany([sent?.orderId ?? '', paid?.orderId ?? ''], call)
    // The first order of the seed: ten bearings at 14.46, freight 12.00, discount 2.50; sent by YTO.
    expect(value(at(read, 0))).toMatchObject({
      documentType: '普通订单',
      channel: '商家自有商城',
      shipTo: {
        name: '陈𠮷',
        phone: '13800000001',
        address: { province: '上海市', city: '上海市', street: '浦东新区 张江路 88 号 3 幢' },
      },
      approvalStatus: 'APPROVED',
      statusSince: expect.stringMatching(/\+08:00$/),
      trackingNumbers: ['YT0000000000001'],
      payment: { method: '支付宝', paid: { amount: '154.10', currency: 'CNY' } },
      holds: [],
    })
    expect(value(at(read, 0))?.lines[0]).toMatchObject({
      gross: { amount: '144.60' },
      returned: { value: '0' },
    })
    expect(value(at(read, 1))).toMatchObject({
      approvalStatus: 'PENDING',
      statusSince: null,
      trackingNumbers: [],
    })
    const goods = value(at(await delivery.readMany([sent?.orderId ?? ''], call), 0))
    expect(goods?.shipTo?.name).toBe('陈𠮷')
    // 12.80 net, and 13 per cent of tax on it; shops state prices with tax.
    expect(value(at(await product.readMany(['A00001'], call), 0))).toMatchObject({
      status: 'ACTIVE',
      vendorStatus: '1',
      category: { key: '101', name: '类目101' },
      specifications: [{ name: '颜色规格', value: 'Precision bearing 6204' }],
      price: { amount: { amount: '14.46', currency: 'CNY' }, taxIncluded: true },
      cost: { amount: '7.68', currency: 'CNY' },
      supplier: null,
      images: ['https://img.example/A00001.jpg'],
      tags: [],
    })
  })

  test('an order that somebody has to look at is held, with the reason', async () => {
    const { simulator, open } = await setUp()
    await using held = await startWire(simulator.url, (answer, { line }) => {
      if (!line.includes('/orders/single/query')) return answer
      const said = JSON.parse(answer.body.toString('utf8'))
      for (const one of said.data.orders) {
        Object.assign(one, { status: 'Question', question_type: '缺货', question_desc: '等待补货' })
      }
      return { ...answer, body: Buffer.from(JSON.stringify(said)) }
    })
    const { items } = value(await open({ baseUrl: held.url }).order.list?.({ first: 1 }, call))
    expect(items[0]?.record).toMatchObject({
      status: 'PENDING_APPROVAL',
      holds: [{ type: 'OTHER', code: '缺货', text: '等待补货' }],
    })
  })

  test('an order may go to an address of its own, if it is one that carriers find', async () => {
    const { create, world } = await setUp()
    const shipTo = {
      name: '李强',
      phone: '13900000009',
      address: { province: '广东省', city: '深圳市', street: '南山区科技园南路 1 号' },
    }
    expect(create.takes).toContain('shipTo')
    const input = { ...newOrder, shipTo, paymentMethod: '银行转账' }
    const { key, record } = value(await create.send(input, write, call))
    expect(world.get('shopOrders', key)?.receiver).toEqual({
      name: '李强',
      phone: '13900000009',
      province: '广东省',
      city: '深圳市',
      district: '',
      address: '南山区科技园南路 1 号',
    })
    expect(record).toMatchObject({
      shipTo: { name: '李强', address: { city: '深圳市', street: '南山区科技园南路 1 号' } },
      payment: { method: '银行转账' },
    })
    const shown = create.preview(input, write).body
    for (const part of ['李强', '深圳市', '银行转账']) expect(shown).toContain(part)
    const { phone: _, ...unreachable } = shipTo
    expect(failure(await create.send({ ...newOrder, shipTo: unreachable }, write, call))).toMatchObject({
      kind: 'rejected',
      field: 'shipTo.phone',
    })
  })

  test('a check finds out shops and warehouses that are not there', async () => {
    const { adapter, open, simulator } = await setUp()
    expect(value(await adapter.checkConfiguration?.(call))).toEqual([])
    const wrong = open({
      warehouses: [
        { id: '0', name: '全部' },
        { id: '11009', name: '?' },
      ],
      orderDefaults: { ...orderDefaults, shopId: '99' },
    })
    expect(value(await wrong.adapter.checkConfiguration?.(call))).toEqual([
      'There is no shop 99 (/open/shops/query).',
      'There is no warehouse 11009 (/open/wms/partner/query).',
    ])
    expect(failure(await open({ appSecret: 'wr0ng' }).adapter.checkConfiguration?.(call)).kind).toBe(
      'unauthorized',
    )
    // The lists are permissions of their own, and no part of the merchant's that is connected.
    for (const msg of ['接口未开通', '无权限访问']) {
      const body = JSON.stringify({ code: 60, msg, data: null })
      simulator.setFaults([{ kind: 'status', status: 200, body, match: 'shops/query|partner/query' }])
      expect(value(await wrong.adapter.checkConfiguration?.(call))).toEqual([])
    }
  })

  test('whether a page is the last one may be told by its number alone', async () => {
    const { order, simulator, called } = await setUp()
    const rows = (ids: number[]) => ids.map((o_id) => ({ o_id, so_id: 'TB1', items: [] }))
    const page = (index: number) =>
      JSON.stringify({
        code: 0,
        data: { page_index: index, page_count: 2, data_count: 2, orders: rows([index]) },
      })
    simulator.setFaults(
      [1, 2].map((index) => ({ kind: 'status', status: 200, body: page(index), times: 1, match: 'single' })),
    )
    const found = await order.readMany(['1', '2'], call)
    expect(found.map((one) => value(one)?.key)).toEqual(['1', '2'])
    expect(called(/single/)).toHaveLength(2)
  })

  test('a token that is refused in other words is replaced, too', async () => {
    const { order, simulator, called } = await setUp()
    const body = JSON.stringify({ code: 100, msg: '非法的access_token' })
    simulator.setFaults([{ kind: 'status', status: 200, body, times: 1, match: 'single' }])
    value((await order.readMany(['1'], call))[0])
    expect(called(/getInitToken|refreshToken/)).toHaveLength(2)
  })

  test('stock of all warehouses is asked for without naming one', async () => {
    const { simulator, open } = await setUp()
    await using wire = await startWire(simulator.url)
    const { inventoryLevel } = open({ baseUrl: wire.url, warehouses: [{ id: '0', name: '全部' }] })
    value(at(await inventoryLevel.readMany(['A00001/0'], call), 0))
    const asked = wire.heard.find(({ line }) => line.includes('/open/inventory/query'))
    const biz = new URLSearchParams(asked?.body.toString('utf8')).get('biz')
    expect(JSON.parse(biz ?? '')).not.toHaveProperty('wms_co_id')
  })
})

describe('signing', () => {
  test('gives the known vector', () => {
    const parameters = {
      app_key: 'ak',
      access_token: 'at',
      timestamp: '1700000000',
      charset: 'utf-8',
      version: '2',
      biz: '{"page_index":1}',
    }
    expect(sign(parameters, 'secret')).toBe('4df1cce503415a354197a8f921b2173b')
  })

  test('goes over the raw text, in UTF-8', () => {
    const text = 'secretbiz{"name":"陈𠮷 &+"}'
    expect(sign({ biz: '{"name":"陈𠮷 &+"}' }, 'secret')).toBe(createHash('md5').update(text).digest('hex'))
  })
})

describe('reading orders', () => {
  test('answers one outcome per key, in the order of the keys, in one call', async () => {
    const { order, seeded, called } = await setUp()
    const [first, , third] = seeded().map(({ orderId }) => orderId)
    const read = await order.readMany([third ?? '', 'x', first ?? '', '99', third ?? '', '01'], call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual([third, null, first, null, third, null])
    expect(called(/single\/query/)).toHaveLength(1)
    expect(await order.readMany([], call)).toEqual([])
    expect(called(/single\/query/)).toHaveLength(1)
  })

  test('an order shows buyer, platform number, amounts with tax, and times with the offset of the vendor', async () => {
    const { order, seeded } = await setUp()
    const first = at(seeded(), 0)
    expect(value(at(await order.readMany([first.orderId], call), 0))).toMatchObject({
      key: first.orderId,
      number: first.orderId,
      customer: '小明的店',
      customerReference: '10087-260601',
      externalReference: null,
      shop: '10087',
      platformNumbers: ['10087-260601'],
      orderDate: '2026-06-25',
      updatedAt: '2026-06-25T10:00:00+08:00',
      status: 'SHIPPED',
      vendorStatus: 'Sent',
      fulfilmentStatus: 'COMPLETE',
      // 10 × 14.46 and 12 for freight, less 2.50
      totals: {
        gross: { amount: '154.10', currency: 'CNY' },
        freight: { amount: '12.00', currency: 'CNY' },
        discount: { amount: '2.50', currency: 'CNY' },
      },
      lines: [
        {
          product: 'A00001',
          description: '精密轴承 6204',
          ordered: { value: '10' },
          unitPrice: { amount: { amount: '14.46', currency: 'CNY' }, per: '1', taxIncluded: true },
        },
      ],
    })
    expect(value(at(await order.readMany([at(seeded(), 1).orderId], call), 0))?.comments).toBe('请轻放 🚚')
  })

  test('states are the vendor’s, and can be told otherwise', async () => {
    const { order, open, seeded } = await setUp()
    const keys = seeded().map(({ orderId }) => orderId)
    const states = (await order.readMany(keys, call)).map((one) => value(one)?.status)
    expect(states).toEqual(['SHIPPED', 'PENDING_APPROVAL', 'SHIPPED', 'CANCELLED', 'IN_PROGRESS', 'NEW'])
    const other = open({ orderStates: { WaitConfirm: 'CONFIRMED' } }).order
    expect(value(at(await other.readMany([at(keys, 1)], call), 0))?.status).toBe('CONFIRMED')
  })

  test('a parcel is a delivery of its order; an order of which nothing was handed over has none', async () => {
    const { delivery, seeded } = await setUp({ config: { numbersOfOtherSystem: true } })
    const [first, second] = seeded()
    const read = await delivery.readMany([first?.orderId ?? '', second?.orderId ?? ''], call)
    expect(value(at(read, 0))).toMatchObject({
      key: first?.orderId,
      orders: [first?.orderId],
      orderNumbers: ['10087-260601'],
      carrier: '圆通速递',
      trackingNumbers: ['YT0000000000001'],
      date: '2026-06-25',
      status: 'CLOSED',
      lines: [{ product: 'A00001', quantity: { value: '10' }, warehouse: '11001' }],
    })
    expect(value(at(read, 1))).toBeNull()
    const found = await delivery.lookups?.byOrderNumber?.read(['10087-260603', 'none', '10087-260602'], call)
    expect(found?.map((one) => value(one).map(({ trackingNumbers }) => trackingNumbers))).toEqual([
      [['YT0000000000003']],
      [],
      [],
    ])
  })

  test('lists go back window by window, last modified first, without gap or repetition', async () => {
    const { order, seeded } = await setUp({ config: { pageLimit: 2 } })
    const expected = seeded()
      .map(({ orderId }) => orderId)
      .reverse()
    const keys: string[] = []
    let after: string | undefined
    for (;;) {
      const page = value(await order.list?.({ first: 4, after }, call))
      keys.push(...page.items.map(({ record }) => record.key))
      after = page.items.at(-1)?.position
      if (!page.hasMore) break
    }
    expect(keys).toEqual(expected)
  })

  test('search finds an order by the number that the platform prints', async () => {
    const { order, seeded } = await setUp()
    const page = value(await order.list?.({ first: 5, filter: { search: '10087-260602' } }, call))
    expect(page.items.map(({ record }) => record.key)).toEqual([at(seeded(), 1).orderId])
    expect(failure(await order.list?.({ first: 5, filter: { customer: 'x' } }, call)).kind).toBe(
      'unsupported',
    )
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, order, seeded } = await setUp()
    const [first, second] = seeded()
    world.put('shopOrders', { ...(first as ShopOrder), updatedAt: '2026-06-25T02:00:00Z', pay: '"viel"' })
    const read = await order.readMany([first?.orderId ?? '', second?.orderId ?? ''], call)
    expect(failure(at(read, 0))).toMatchObject({ kind: 'invalid-response' })
    expect(value(at(read, 1))?.key).toBe(second?.orderId)
  })
})

describe('stock and goods', () => {
  test('stock is read per warehouse; what is available is less what orders have locked', async () => {
    const { inventoryLevel, called } = await setUp()
    const read = await inventoryLevel.readMany(
      ['A00001/11001', 'A00001/99', 'none/11002', 'A00001/11002'],
      call,
    )
    // The seed: 50 in the first warehouse; each of two shops ordered 10 and 2, and the 10 were sent.
    expect(value(at(read, 0))).toMatchObject({
      product: 'A00001',
      warehouse: '11001',
      onHand: { value: '30' },
      reserved: { value: '4' },
      available: { value: '26' },
      incoming: { value: '0' },
    })
    expect(read.slice(1, 3).map((one) => value(one))).toEqual([null, null])
    expect(value(at(read, 3))?.onHand.value).toBe('79')
    expect(called(/inventory/)).toHaveLength(2)
    const of = await inventoryLevel.lookups?.byProduct?.read(['A00001', 'a,b'], call)
    expect(of?.map((one) => value(one).map(({ warehouse }) => warehouse))).toEqual([['11001', '11002'], []])
  })

  test('available may be less than nothing', async () => {
    const { world, inventoryLevel } = await setUp()
    moveShopStock(world, 'A00001', '11001', { locked: '100' })
    expect(value(at(await inventoryLevel.readMany(['A00001/11001'], call), 0))?.available?.value).toBe('-74')
  })

  test('all stock is listed, warehouse by warehouse', async () => {
    const { world, inventoryLevel } = await setUp({ config: { stockPageLimit: 5 } })
    const keys: string[] = []
    let after: string | undefined
    for (;;) {
      const page = value(await inventoryLevel.list?.({ first: 7, after }, call))
      keys.push(...page.items.map(({ record }) => record.key))
      after = page.items.at(-1)?.position
      if (!page.hasMore) break
    }
    const expected = world.all('shopStock').map(({ item, warehouse }) => `${item}/${warehouse}`)
    expect([...keys].sort()).toEqual(expected.sort())
  })

  test('goods are read by code', async () => {
    const { product, world } = await setUp()
    const read = await product.readMany(['A00002', 'none', 'A00001'], call)
    expect(value(at(read, 0))).toMatchObject({
      sku: 'A00002',
      name: '伺服电机 750W',
      barcode: world.get('erpItems', 'A00002')?.barcode,
      unit: '台',
      active: true,
    })
    expect(value(at(read, 1))).toBeNull()
  })
})

describe('changes', () => {
  test('begin with nothing; then each changed order comes, by row version', async () => {
    const { world, order, seeded, called } = await setUp()
    const begin = value(await order.changes?.(null, call))
    expect(begin.records).toEqual([])
    changeShopOrder(world, at(seeded(), 5), { status: 'PAID' })
    const first = value(await order.changes?.(begin.checkpoint, call))
    expect(first.records.map(({ key, status }) => [key, status])).toEqual([
      [at(seeded(), 5).orderId, 'PENDING_APPROVAL'],
    ])
    changeShopOrder(world, at(seeded(), 1), { status: 'PICKING' })
    const second = value(await order.changes?.(first.checkpoint, call))
    expect(second.records.map(({ key }) => key)).toContain(at(seeded(), 1).orderId)
    expect(called(/single/)).toHaveLength(2)
    // Nothing new: only the last one again, and the same checkpoint.
    const third = value(await order.changes?.(second.checkpoint, call))
    expect(third).toMatchObject({ checkpoint: second.checkpoint, hasMore: false })
  })

  test('more changes than a page come to the end, none left out', async () => {
    const { world, order, seeded } = await setUp({ config: { pageLimit: 3 } })
    const begin = value(await order.changes?.(null, call))
    for (let n = 0; n < 20; n++) place(world, `S-${n}`)
    const seen = new Set<string>()
    let checkpoint = begin.checkpoint
    for (let round = 0; round < 20; round++) {
      const page = value(await order.changes?.(checkpoint, call))
      for (const { customerReference } of page.records) seen.add(String(customerReference))
      checkpoint = page.checkpoint
      if (!page.hasMore) break
    }
    expect([...seen].sort()).toEqual(Array.from({ length: 20 }, (_, n) => `S-${n}`).sort())
    expect(seeded()).toHaveLength(26)
  })

  test('without versions, changes come by time of modification, over weeks in windows of seven days', async () => {
    const { world, open, seeded, called } = await setUp()
    const { order } = open({ changesBy: 'modified' })
    const from = new Date(Date.now() - 20 * 86_400_000)
    const old = at(seeded(), 1)
    changeShopOrder(world, old, { remark: 'alt' }, new Date(from.getTime() + 86_400_000).toISOString())
    let page = value(await order.changes?.(JSON.stringify({ from: from.toISOString() }), call))
    expect(page.hasMore).toBe(true)
    const keys = page.records.map(({ key }) => key)
    for (let round = 0; page.hasMore && round < 5; round++) {
      page = value(await order.changes?.(page.checkpoint, call))
      keys.push(...page.records.map(({ key }) => key))
    }
    expect(keys).toEqual([old.orderId])
    expect(called(/single/)).toHaveLength(3)
    expect(failure(await order.changes?.('{"x":1}', call)).kind).toBe('unsupported')
  })

  test('a parcel that leaves is a changed delivery', async () => {
    const { world, delivery, seeded } = await setUp()
    const begin = value(await delivery.changes?.(null, call))
    const waybill = { carrier: 'SF', carrierName: '顺丰速运', number: 'SF1000000001' }
    sendShopOrder(world, at(seeded(), 4), waybill)
    changeShopOrder(world, at(seeded(), 5), { status: 'PAID' })
    const page = value(await delivery.changes?.(begin.checkpoint, call))
    expect(page.records.map(({ key, trackingNumbers }) => [key, trackingNumbers])).toEqual([
      [at(seeded(), 4).orderId, ['SF1000000001']],
    ])
  })

  test('stock that moved is found, in each warehouse', async () => {
    const { world, inventoryLevel } = await setUp()
    const begin = value(await inventoryLevel.changes?.(null, call))
    moveShopStock(world, 'A00002', '11002', { onHand: '5' })
    moveShopStock(world, 'A00003', '11001', { onHand: '-1' })
    const page = value(await inventoryLevel.changes?.(begin.checkpoint, call))
    expect(page.records.map(({ key }) => key).sort()).toEqual(['A00002/11002', 'A00003/11001'])
  })
})

function place(world: World, platformNumber: string): ShopOrder {
  const { receiver: to, warehouse } = at(world.all('shopOrders'), 0)
  const line = { item: 'A00001', name: '精密轴承 6204', quantity: '1', price: '14.46', amount: '14.46' }
  return placeShopOrder(world, {
    shop: '10087',
    platformNumber,
    buyer: 'b',
    receiver: to,
    warehouse,
    lines: [line],
  })
}

describe('writing', () => {
  test('an order is uploaded with prices that include tax, and read back', async () => {
    const { world, create, called } = await setUp()
    const result = value(await create.send(newOrder, write, call))
    expect(result.reached).toBe('submitted')
    expect(result.record).toMatchObject({
      key: result.key,
      status: 'PENDING_APPROVAL',
      customer: '分销商-07',
      customerReference: 'PO 4711',
      externalReference: REFERENCE,
      // What stands there is ours, not a platform's.
      platformNumbers: [],
      comments: '加急 🚚',
      // 12.80 × 1.13 × 3 = 43.39; 356.50 × 1.13 × 0.9 = 362.56
      totals: { gross: { amount: '405.95', currency: 'CNY' } },
    })
    expect(world.get('shopOrders', result.key)).toMatchObject({
      platformNumber: REFERENCE,
      receiver: { name: '陈𠮷' },
      lines: [
        { item: 'A00001', quantity: '3', price: '14.464', amount: '43.39' },
        { item: 'A00003', quantity: '1', price: '402.845', amount: '362.56' },
      ],
    })
    expect(called(/upload/)).toHaveLength(1)
  })

  test('what the vendor refuses of an item is a rejection in its words', async () => {
    const { create, world } = await setUp()
    const lines = [{ product: 'NOWHERE', quantity: '1', unitPrice: '1' }]
    expect(failure(await create.send({ ...newOrder, lines }, write, call))).toEqual({
      kind: 'rejected',
      code: 'UPLOAD',
      message: '商品编码NOWHERE不存在',
    })
    expect(world.all('shopOrders').some(({ platformNumber }) => platformNumber === REFERENCE)).toBe(false)
  })

  test('what cannot be said is refused before anything is sent', async () => {
    const { create, open, called } = await setUp()
    const noPrice = { ...newOrder, lines: [{ product: 'A00001', quantity: '1' }] }
    expect(failure(await create.send(noPrice, write, call))).toMatchObject({
      kind: 'rejected',
      line: '1',
      field: 'unitPrice',
    })
    expect(failure(await create.send({ ...newOrder, currency: 'USD' }, write, call))).toMatchObject({
      field: 'currency',
    })
    const custom = { ...newOrder, customFields: { project: 'x' } }
    expect(failure(await create.send(custom, write, call))).toMatchObject({ field: 'project' })
    const without = open({ orderDefaults: undefined }).create
    expect(failure(await without.send(newOrder, write, call)).kind).toBe('unsupported')
    expect(called(/upload/)).toHaveLength(0)
  })

  test.each([
    ['drop-after', 'done'],
    ['drop-before', 'none'],
  ] as const)('an upload that ends in %s is unknown, and looking tells: %s', async (kind, effect) => {
    const { simulator, create } = await setUp()
    await create.verify(newOrder, write, call) // a token is there
    simulator.setFaults([{ kind, match: 'upload' }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    const verdict = value(await create.verify(newOrder, write, call))
    expect(verdict.effect).toBe(effect)
    if (verdict.effect === 'none') expect(verdict.proven).toBe(true)
    if (verdict.effect === 'done') expect(verdict.result.record?.externalReference).toBe(REFERENCE)
  })

  test('the same upload twice is one order', async () => {
    const { world, create } = await setUp()
    const first = value(await create.send(newOrder, write, call))
    const second = value(await create.send(newOrder, write, call))
    expect(second.key).toBe(first.key)
    expect(world.all('shopOrders').filter(({ platformNumber }) => platformNumber === REFERENCE)).toHaveLength(
      1,
    )
  })

  test('an order is cancelled once; one that was sent is not; a stale version is a conflict', async () => {
    const { cancel, order, seeded, called } = await setUp()
    const [sent, open] = seeded()
    const key = open?.orderId ?? ''
    const version = value(at(await order.readMany([key], call), 0))?.version ?? ''
    expect(failure(await cancel.send({ key, expectedVersion: '1' }, write, call))).toMatchObject({
      kind: 'conflict',
      currentVersion: version,
    })
    expect(value(await cancel.send({ key, expectedVersion: version }, write, call)).record?.status).toBe(
      'CANCELLED',
    )
    expect(value(await cancel.send({ key }, write, call)).record?.status).toBe('CANCELLED')
    expect(called(/cancel/)).toHaveLength(1)
    expect(value(await cancel.verify({ key }, write, call)).effect).toBe('done')
    expect(failure(await cancel.send({ key: sent?.orderId ?? '' }, write, call))).toEqual({
      kind: 'rejected',
      code: 'CANCEL',
      message: '订单已发货，不能取消',
    })
    expect(failure(await cancel.send({ key: '42' }, write, call)).kind).toBe('not-found')
  })

  test('a dry run shows the business data and no credentials', async () => {
    const { create } = await setUp()
    const shown = create.preview(newOrder, write)
    expect(shown.path).toBe('/open/jushuitan/orders/upload')
    expect(JSON.parse(shown.body?.replace('biz=', '') ?? '')).toMatchObject([
      { shop_id: 10087, so_id: REFERENCE },
    ])
    expect(JSON.stringify(shown)).not.toContain(SECRET)
  })
})

describe('tokens and limits', () => {
  test('a hundred callers share one token', async () => {
    const { order, called } = await setUp()
    await Promise.all(Array.from({ length: 100 }, () => order.readMany(['1'], call)))
    expect(called(/getInitToken/)).toHaveLength(1)
  })

  test('a token that has ended is renewed with the refresh token, once, and the call repeated, writes too', async () => {
    const { simulator, order, create, called } = await setUp()
    await order.readMany(['1'], call)
    simulator.expireTokens()
    expect(value(await create.send(newOrder, write, call)).record?.externalReference).toBe(REFERENCE)
    expect(called(/refreshToken/)).toHaveLength(1)
    expect(called(/getInitToken/)).toHaveLength(1)
  })

  test('where the refresh token was used by another, a new token is fetched', async () => {
    const { simulator, order, called } = await setUp()
    await order.readMany(['1'], call)
    simulator.expireTokens()
    simulator.forgetGrants()
    expect(value(at(await order.readMany(['1'], call), 0))).toBeNull()
    expect(called(/refreshToken|getInitToken/).map((line) => line.split('/').at(-1))).toEqual([
      'getInitToken',
      'refreshToken',
      'getInitToken',
    ])
  })

  test('a token is replaced before its life is over', async () => {
    const { order, called } = await setUp({ simulator: { expiresIn: 1 } })
    await order.readMany(['1'], call)
    await expect
      .poll(async () => {
        value(at(await order.readMany(['1'], call), 0))
        return called(/refreshToken/).length
      })
      .toBeGreaterThan(0)
  })

  test('a wrong secret is not tried again, and stands in no message and no log line', async () => {
    const lines: string[] = []
    const note = (...parts: unknown[]) => void lines.push(JSON.stringify(parts))
    const log = { ...silentLog, debug: note, info: note, warn: note, error: note } as Log
    const { open, called } = await setUp({ log })
    const { order } = open({ appSecret: 'wr0ng-geheim' })
    const first = failure(at(await order.readMany(['1'], call), 0))
    expect(first.kind).toBe('unauthorized')
    expect(failure(at(await order.readMany(['1'], call), 0)).kind).toBe('unauthorized')
    expect(called(/Token/)).toHaveLength(1)
    expect(`${failureText(first)}${lines.join()}`).not.toMatch(/wr0ng|S3cret/)
  })

  test('the vendor’s words are shown without tokens that they repeat', async () => {
    const { simulator, order } = await setUp()
    await order.readMany(['1'], call)
    const token = /at-[0-9a-f]{32}/
    simulator.setFaults([
      { kind: 'status', status: 200, match: 'single', body: `{"code":77,"msg":"no ${SECRET}","data":null}` },
    ])
    const said = failure(at(await order.readMany(['1'], call), 0))
    expect(said).toEqual({ kind: 'rejected', code: '77', message: 'no ***' })
    expect(failureText(said)).not.toMatch(token)
  })

  test('calls leave at the pace that the vendor allows; more is told when to come again', async () => {
    const { open, called } = await setUp()
    const { order } = open({ callsPerMinute: 3 })
    value(at(await order.readMany(['1'], call), 0))
    value(at(await order.readMany(['2'], call), 0))
    const refused = failure(at(await order.readMany(['3'], call), 0))
    expect(refused).toMatchObject({ kind: 'unavailable', reason: 'rate-limited' })
    if (refused.kind === 'unavailable') expect(refused.retryAfterMs).toBeGreaterThan(50_000)
    expect(called(/single/)).toHaveLength(2)
  })

  test('a platform that throttles has done nothing: reads and writes may come again', async () => {
    const { create, order } = await setUp({ simulator: { perMinute: 2 } })
    value(at(await order.readMany(['1'], call), 0))
    const kinds = { kind: 'unavailable', reason: 'rate-limited' }
    expect(failure(at(await order.readMany(['1'], call), 0))).toMatchObject(kinds)
    expect(failure(await create.send(newOrder, write, call))).toMatchObject(kinds)
  })

  test('a code can be given a meaning that its words do not have', async () => {
    const { simulator, order, open } = await setUp()
    const odd = {
      kind: 'status',
      status: 200,
      match: 'single',
      body: '{"code":199,"msg":"?","data":null}',
    } as const
    simulator.setFaults([odd])
    expect(failure(at(await order.readMany(['1'], call), 0)).kind).toBe('rejected')
    const { order: told } = open({ errorCodes: { '199': 'busy' } })
    expect(failure(at(await told.readMany(['1'], call), 0))).toMatchObject({ reason: 'overloaded' })
  })
})

describe('bad days', () => {
  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'truncate' }, { kind: 'unavailable' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 503 },
      { kind: 'unavailable', reason: 'overloaded' },
    ],
    [
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7_000 },
    ],
    [{ kind: 'status', status: 200, body: '{"code":0,"data":{"orders":{}}}' }, { kind: 'invalid-response' }],
  ] as const)('a read that meets %o', async (fault, expected) => {
    const { simulator, order } = await setUp({ timeoutMs: 300 })
    await order.readMany(['1'], call)
    simulator.setFaults([{ ...fault, match: 'single' }])
    expect(failure(at(await order.readMany(['1'], call), 0))).toMatchObject(expected)
  })

  test.each(['hang-after', 'truncate', 'html'] as const)('a write that meets %s is unknown', async (kind) => {
    const { simulator, order, create } = await setUp({ timeoutMs: 300 })
    await order.readMany(['1'], call)
    simulator.setFaults([{ kind, match: 'upload' }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
  })

  test('health tells the application, and what is wrong', async () => {
    const { adapter, simulator } = await setUp()
    expect(value(await adapter.health(call)).detail).toMatch(
      /^Jushuitan, application jst-demo, at 127\.0\.0\.1/,
    )
    simulator.setFaults([{ kind: 'refuse' }])
    expect(failure(await adapter.health(call)).kind).toBe('unavailable')
  })

  test('the samples in the README are valid', () => {
    const page = readFileSync(new URL('../../src/systems/jushuitan/README.md', import.meta.url), 'utf8')
    const samples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => parseYaml(yaml ?? ''))
    expect(samples.length).toBeGreaterThan(0)
    for (const sample of samples) {
      const common = Object.keys(systemSchema.shape)
      const own = Object.fromEntries(Object.entries(sample).filter(([name]) => !common.includes(name)))
      expect(sample.kind).toBe('jushuitan')
      expect(jushuitanConfig.parse(own).orderDefaults?.shopId).toBe('10087')
    }
  })
})
