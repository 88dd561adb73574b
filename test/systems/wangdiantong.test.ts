import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { systemSchema } from '../../src/config/schema.ts'
import { type Log, silentLog } from '../../src/observe/log.ts'
import { changeShopOrder, moveShopStock, placeShopOrder, sendShopOrder } from '../../src/simulation/shops.ts'
import { type ShopOrder, World } from '../../src/simulation/world.ts'
import { failureText } from '../../src/systems/failure.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { createWangdiantong } from '../../src/systems/wangdiantong/adapter.ts'
import { signEnterprise, signFlagship } from '../../src/systems/wangdiantong/client.ts'
import { wangdiantongConfig } from '../../src/systems/wangdiantong/config.ts'
import {
  startWangdiantongSimulator,
  type WangdiantongSimulatorOptions,
} from '../../src/systems/wangdiantong/simulator.ts'
import { at, failure, value } from './outcomes.ts'
import { startWire } from './wire.ts'

const SECRETS = { enterprise: 'S3cret-密钥', flagship: 'S3cret-密钥:s4lt-盐' }
const REFERENCE = '0123456789abcdef0123456789abcdef'
const call = { caller: gatewayCaller }
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: 'wang.fang' }
const receiver = {
  name: '陈𠮷',
  phone: '13800000001',
  province: '上海市',
  city: '上海市',
  district: '浦东新区',
  address: '张江路 88 号',
}

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly edition?: 'enterprise' | 'flagship'
  readonly simulator?: Partial<WangdiantongSimulatorOptions>
  readonly config?: object
  readonly timeoutMs?: number
  readonly log?: Log
}

async function setUp(setup: Setup = {}) {
  const edition = setup.edition ?? 'enterprise'
  const world = new World({ orders: 1, customers: 5, products: 12 })
  const simulator = await startWangdiantongSimulator(world, {
    edition,
    appSecret: SECRETS[edition],
    ...setup.simulator,
  })
  closers.push(() => simulator.close())
  const open = (config: object = {}) => {
    const adapter = createWangdiantong(
      wangdiantongConfig.parse({
        edition,
        baseUrl: simulator.url,
        sid: 'demo',
        appKey: 'demo-ot',
        appSecret: SECRETS[edition],
        callsPerSecond: 1_000,
        callsPerMinute: 10_000,
        stockListDays: 366,
        orderDefaults: { shop: 'web01', taxPercent: '13', receiver },
        ...setup.config,
        ...config,
      }),
      { systemId: 'wdt', log: setup.log ?? silentLog, timeoutMs: setup.timeoutMs ?? 2_000 },
    )
    closers.push(() => adapter.close())
    const { order, delivery, inventoryLevel, warehouse } = adapter.ports
    if (!order?.create || !delivery || !warehouse) throw new Error('ports')
    return { adapter, order, create: order.create, delivery, inventoryLevel, warehouse }
  }
  const called = (pattern: RegExp) => simulator.calls.filter((line) => pattern.test(line))
  const seeded = () => world.all('shopOrders').filter((order) => order.shop === 'web01')
  return { world, simulator, open, called, seeded, ...open() }
}

const keyOf = ({ orderId }: ShopOrder): string => `JY${orderId}`

const newOrder: OrderCreate = {
  customer: '分销商-07',
  dueDate: '2026-12-31',
  comments: '加急 🚚',
  lines: [
    { product: 'A00001', quantity: '3', unitPrice: '12.80' },
    { product: 'A00003', quantity: '1', unitPrice: '356.50', discountPercent: '10' },
  ],
}

const place = (world: World, platformNumber: string): ShopOrder => {
  const { receiver: to, warehouse } = at(world.all('shopOrders'), 0)
  const line = { item: 'A00001', name: '精密轴承 6204', quantity: '1', price: '14.46', amount: '14.46' }
  return placeShopOrder(world, {
    shop: 'web01',
    platformNumber,
    buyer: 'b',
    receiver: to,
    warehouse,
    lines: [line],
  })
}

describe('signing', () => {
  test('gives the known vector of the enterprise edition', () => {
    const parameters = { appkey: 'ak-test', page_no: '0', sid: 'test', timestamp: '1700000000' }
    expect(signEnterprise(parameters, 'appsecret')).toBe('79164349cce3544344b3022d04b51f1c')
  })

  test('gives the vendor’s example of the flagship edition', () => {
    const query = {
      sid: 'wdterp30',
      key: 'czhc',
      salt: 'dd488d0802b1e431e4c72cd355847853',
      method: 'wms.stockout.Sales.weighingExt',
      timestamp: '232623153',
      v: '1.0',
    }
    const body = '["xc109393939393939","",1.2,0,false]'
    expect(signFlagship(query, body, '693f9fed686bfe13441385da98b436b6')).toBe(
      '20f557aaf9190797c581bbceeb6d5a5c',
    )
  })

  test('lengths are characters: a text of three, one of them outside the basic plane, counts three', async () => {
    // Seen through the simulator, which counts by itself: a wrong length is a wrong signature.
    const { order } = await setUp()
    expect(value(await order.list?.({ first: 1, filter: { search: '陈𠮷🚚' } }, call)).items).toEqual([])
  })
})

describe.each(['enterprise', 'flagship'] as const)('the %s edition', (edition) => {
  test('an order says to whom it goes, what was paid, and its approval', async () => {
    const { world, order } = await setUp({ edition })
    const [sent, paid] = world.all('shopOrders').filter(({ shop }) => shop === 'web01')
    const read = await order.readMany([`JY${sent?.orderId}`, `JY${paid?.orderId}`], call)
    // The first order of the seed: ten bearings at 14.46, freight 12.00, discount 2.50; sent by YTO.
    expect(value(read[0])).toMatchObject({
      documentType: '1',
      channel: '127',
      shipTo: {
        name: '陈𠮷',
        phone: '13800000001',
        address: { province: '上海市', city: '上海市', street: '浦东新区 张江路 88 号 3 幢' },
      },
      approvalStatus: 'APPROVED',
      statusSince: expect.stringMatching(/\+08:00$/),
      trackingNumbers: ['YT0000000000001'],
      payment: { paid: { amount: '154.1000', currency: 'CNY' }, paidOn: expect.stringMatching(/^2026-06/) },
      holds: [],
    })
    expect(value(read[0])?.lines[0]).toMatchObject({
      taxRate: '13',
      gross: { amount: '144.6000' },
      returned: { value: '0.0000' },
      comments: null,
    })
    expect(value(read[1])).toMatchObject({ approvalStatus: 'PENDING', statusSince: null })
  })

  test('an order may go to an address of its own, if it is one that carriers find', async () => {
    const { create, world } = await setUp({ edition })
    const shipTo = {
      name: '李强',
      phone: '13900000009',
      address: { province: '广东省', city: '深圳市', street: '南山区科技园南路 1 号' },
    }
    const input = { ...newOrder, shipTo }
    const { key, record } = value(await create.send(input, write, call))
    expect(world.get('shopOrders', key.slice(2))?.receiver).toEqual({
      name: '李强',
      phone: '13900000009',
      province: '广东省',
      city: '深圳市',
      district: '',
      address: '南山区科技园南路 1 号',
    })
    expect(record?.shipTo).toMatchObject({ name: '李强', address: { city: '深圳市' } })
    for (const part of ['李强', '深圳市', '13900000009'])
      expect(create.preview(input, write).body).toContain(part)
    const nowhere = { ...shipTo, address: { city: '深圳市', street: '科技园' } }
    expect(failure(await create.send({ ...newOrder, shipTo: nowhere }, write, call))).toMatchObject({
      kind: 'rejected',
      field: 'shipTo.address.province',
    })
  })

  test('stock is read by product, listed, and told when it moves', async () => {
    const { world, inventoryLevel } = await setUp({ edition })
    const stock = world.get('shopStock', 'A00002@11001')
    const [level, none] = await (inventoryLevel?.readMany(['A00002/11001', 'A00002/99'], call) ?? [])
    const { onHand, locked, incoming } = stock ?? { onHand: '0', locked: '0', incoming: '0' }
    const figures = value(level)
    expect(
      [figures?.onHand, figures?.reserved, figures?.available, figures?.incoming].map((one) =>
        Number(one?.value),
      ),
    ).toEqual([Number(onHand), Number(locked), Number(onHand) - Number(locked), Number(incoming)])
    expect(value(none)).toBeNull()
    const begin = value(await inventoryLevel?.changes?.(null, call))
    moveShopStock(world, 'A00002', '11001', { onHand: '5' })
    const told = value(await inventoryLevel?.changes?.(begin.checkpoint, call))
    expect(told.records.map(({ key }) => key)).toContain('A00002/11001')
    const page = value(await inventoryLevel?.list?.({ first: 3 }, call))
    expect(page).toMatchObject({ hasMore: true })
    expect(page.items).toHaveLength(3)
  })

  test('an order is cancelled by its shop, which pays it back; once, and not after it has left', async () => {
    const { world, order, called } = await setUp({ edition })
    const cancel = order.actions?.cancel
    if (!cancel) throw new Error('no cancel')
    const [sent, paid] = world.all('shopOrders').filter(({ shop }) => shop === 'web01')
    const key = `JY${paid?.orderId}`
    const locked = () => Number(world.get('shopStock', 'A00002@11001')?.locked)
    const before = locked()
    expect(failure(await cancel.send({ key, expectedVersion: '99' }, write, call))).toMatchObject({
      kind: 'conflict',
      currentVersion: '1',
    })
    expect(value(await cancel.verify({ key }, write, call))).toMatchObject({ effect: 'none', proven: false })
    expect(value(await cancel.send({ key, expectedVersion: '1' }, write, call))).toMatchObject({
      key,
      reached: 'effective',
      record: { status: 'CANCELLED' },
    })
    expect(locked()).toBe(before - 1)
    const pushed = () => called(/trade_push|pushSelf2/).length
    expect(pushed()).toBe(1)
    expect(value(await cancel.verify({ key }, write, call))).toMatchObject({ effect: 'done' })
    value(await cancel.send({ key }, write, call))
    expect(pushed()).toBe(1)
    expect(failure(await cancel.send({ key: `JY${sent?.orderId}` }, write, call))).toMatchObject({
      kind: 'rejected',
      code: 'SENT',
    })
    expect(failure(await cancel.send({ key: 'JY1' }, write, call)).kind).toBe('not-found')
  })

  test('a cancelled order that people still have to look at waits for them; others’ shops cancel theirs', async () => {
    const { world, order, open } = await setUp({ edition, simulator: { holdsRawOrders: true } })
    const [, paid] = world.all('shopOrders').filter(({ shop }) => shop === 'web01')
    const key = `JY${paid?.orderId}`
    expect(failure(await order.actions?.cancel?.send({ key }, write, call))).toMatchObject({
      kind: 'awaiting-approval',
      vendorReference: key,
    })
    const other = open({ orderDefaults: { shop: 'web02', taxPercent: '13', receiver } }).order
    expect(failure(await other.actions?.cancel?.send({ key }, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('configured shop'),
    })
  })

  test('a check finds out a shop that is not there', async () => {
    const { adapter, open, simulator } = await setUp({ edition })
    expect(value(await adapter.checkConfiguration?.(call))).toEqual([])
    const wrong = open({ orderDefaults: { shop: 'nowhere', taxPercent: '13', receiver } }).adapter
    expect(value(await wrong.checkConfiguration?.(call))).toEqual(['There is no shop nowhere.'])
    const bad = open({ appSecret: edition === 'flagship' ? 'wr0ng:s4lt-盐' : 'wr0ng' }).adapter
    expect(failure(await bad.checkConfiguration?.(call)).kind).toBe('unauthorized')
    // The list of shops is a right of its own.
    const body = JSON.stringify({ code: 7, status: 7, message: '接口未开通' })
    const match = edition === 'flagship' ? 'queryShop' : '/shop.php'
    simulator.setFaults([{ kind: 'status', status: 200, body, match }])
    expect(value(await wrong.checkConfiguration?.(call))).toEqual([])
  })
})

describe.each(['enterprise', 'flagship'] as const)('orders of the %s edition', (edition) => {
  test('are read by number, in the order of the keys', async () => {
    const { order, seeded, called } = await setUp({ edition })
    const [first, , third] = seeded().map(keyOf)
    const keys = [third ?? '', 'JY0', first ?? '', third ?? '', '', 'a,b']
    const read = await order.readMany(keys, call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual([third, null, first, third, null, null])
    expect(called(/[tT]rade_?[qQ]uery/)).toHaveLength(3)
  })

  test('put together from several of the platform, an order tells all their numbers', async () => {
    const { order, seeded, world } = await setUp({ edition })
    const first = at(seeded(), 0)
    world.put('shopOrders', { ...first, platformNumber: 'P-1,P-2' })
    expect(value(at(await order.readMany([keyOf(first)], call), 0))?.platformNumbers).toEqual(['P-1', 'P-2'])
  })

  test('show buyer, platform number, amounts with tax, and times with the offset of the vendor', async () => {
    const { order, seeded } = await setUp({ edition })
    const first = at(seeded(), 0)
    expect(value(at(await order.readMany([keyOf(first)], call), 0))).toMatchObject({
      number: keyOf(first),
      customer: '小明的店',
      customerReference: 'web01-260601',
      externalReference: null,
      shop: 'web01',
      platformNumbers: ['web01-260601'],
      orderDate: '2026-06-25',
      createdAt: '2026-06-25T10:00:00+08:00',
      updatedAt: '2026-06-25T10:00:00+08:00',
      status: 'SHIPPED',
      vendorStatus: '95',
      fulfilmentStatus: 'COMPLETE',
      totals: {
        gross: { amount: '154.1000', currency: 'CNY' },
        freight: { amount: '12.0000', currency: 'CNY' },
        discount: { amount: '2.5000', currency: 'CNY' },
      },
      lines: [
        {
          product: 'A00001',
          ordered: { value: '10.0000' },
          unitPrice: { amount: { amount: '14.4600', currency: 'CNY' }, per: '1', taxIncluded: true },
        },
      ],
    })
  })

  test('their states are the vendor’s numbers; one that nobody knows survives beside UNKNOWN', async () => {
    const { order, seeded, open } = await setUp({ edition })
    const keys = seeded().map(keyOf)
    const states = (await order.readMany(keys, call)).map((one) => value(one)?.status)
    expect(states).toEqual(['SHIPPED', 'PENDING_APPROVAL', 'SHIPPED', 'CANCELLED', 'CONFIRMED', 'NEW'])
    const other = open({ orderStates: { '55': 'IN_PROGRESS' } }).order
    expect(value(at(await other.readMany([at(keys, 4)], call), 0))?.status).toBe('IN_PROGRESS')
  })

  test('what was sent is a delivery with its waybill', async () => {
    const { delivery, seeded } = await setUp({ edition, config: { numbersOfOtherSystem: true } })
    const [first, second] = seeded()
    const read = await delivery.readMany(
      [first, second].map((one) => (one ? keyOf(one) : '')),
      call,
    )
    expect(value(at(read, 0))).toMatchObject({
      number: `CK${first?.orderId}`,
      orders: [first && keyOf(first)],
      orderNumbers: ['web01-260601'],
      carrier: '圆通速递',
      trackingNumbers: ['YT0000000000001'],
      date: '2026-06-25',
      status: 'CLOSED',
    })
    expect(value(at(read, 1))).toBeNull()
    const found = await delivery.lookups?.byOrderNumber?.read(['web01-260603', 'web01-2606', 'none'], call)
    expect(found?.map((one) => value(one).length)).toEqual([1, 0, 0])
  })

  test('changes come hour by hour, each once, pages read from the last to the first', async () => {
    const { world, order, called } = await setUp({ edition, config: { pageLimit: 2 } })
    const from = Date.now() - 5 * 3_600_000
    const begin = JSON.stringify({ from: new Date(from).toISOString() })
    const expected: string[] = []
    for (let n = 0; n < 5; n++) {
      const placed = place(world, `S-${n}`)
      const hour = new Date(from + (n < 3 ? 1_800_000 : 9_000_000)).toISOString()
      world.put('shopOrders', { ...placed, updatedAt: hour })
      expected.push(keyOf(placed))
    }
    const seen: string[] = []
    let checkpoint = begin
    for (let round = 0; round < 10; round++) {
      const page = value(await order.changes?.(checkpoint, call))
      seen.push(...page.records.map(({ key }) => key))
      checkpoint = page.checkpoint
      if (!page.hasMore) break
    }
    expect([...new Set(seen)].sort()).toEqual(expected.sort())
    // Five hours and what is left; two pages where three are, the first of them twice.
    expect(called(/[tT]rade_?[qQ]uery/).length).toBeLessThanOrEqual(6 + 2)
  })

  test('lists go back as far as they are told to', async () => {
    const { world, order, open } = await setUp({ edition })
    const old = place(world, 'old')
    world.put('shopOrders', { ...old, updatedAt: new Date(Date.now() - 30 * 3_600_000).toISOString() })
    const [second, first] = [place(world, 'S-1'), place(world, 'S-2')]
    world.put('shopOrders', { ...second, updatedAt: new Date(Date.now() - 7_200_000).toISOString() })
    const page = value(await order.list?.({ first: 1 }, call))
    expect(page).toMatchObject({ items: [{ record: { key: keyOf(first) } }], hasMore: true })
    const after = page.items[0]?.position
    const rest = value(await order.list?.({ first: 5, after }, call))
    expect(rest).toMatchObject({ items: [{ record: { key: keyOf(second) } }], hasMore: false })
    const all = value(await open({ listHours: 40 }).order.list?.({ first: 10 }, call))
    expect(all.items.map(({ record }) => record.key)).toEqual([first, second, old].map(keyOf))
  })

  test('are pushed with prices that include tax, to the cent, and read back', async () => {
    const { world, create, called } = await setUp({ edition })
    const result = value(await create.send(newOrder, write, call))
    expect(result.record).toMatchObject({
      externalReference: REFERENCE,
      customer: '分销商-07',
      comments: '加急 🚚',
      totals: { gross: { amount: '405.9500', currency: 'CNY' } },
    })
    expect(world.get('shopOrders', result.key.slice(2))).toMatchObject({
      platformNumber: REFERENCE,
      receiver: { ...receiver },
      lines: [{ amount: '43.39' }, { amount: '362.56' }],
    })
    expect(called(/push/)).toHaveLength(1)
  })

  test('what is refused of an order is a rejection in the vendor’s words, though the call succeeded', async () => {
    const { create } = await setUp({ edition })
    const lines = [{ product: 'NOWHERE', quantity: '1', unitPrice: '1' }]
    expect(failure(await create.send({ ...newOrder, lines }, write, call))).toEqual({
      kind: 'rejected',
      code: 'PUSH',
      message: '商家编码NOWHERE不存在',
    })
  })

  test('a raw order waits until it is handed in over there', async () => {
    const { simulator, create, open } = await setUp({ edition, simulator: { holdsRawOrders: true } })
    expect(failure(await create.send(newOrder, write, call))).toMatchObject({
      kind: 'awaiting-approval',
      vendorReference: REFERENCE,
    })
    expect(failure(await create.verify(newOrder, write, call)).kind).toBe('awaiting-approval')
    // Another process knows nothing of it, and says so: that is no proof.
    expect(value(await open().create.verify(newOrder, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
    })
    simulator.handIn()
    expect(value(await create.verify(newOrder, write, call)).effect).toBe('done')
  })

  test.each([
    ['drop-after', 'done'],
    ['drop-before', 'none'],
  ] as const)('a push that ends in %s is unknown, and looking tells: %s', async (kind, effect) => {
    const { simulator, create } = await setUp({ edition })
    simulator.setFaults([{ kind, match: 'push' }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    expect(value(await create.verify(newOrder, write, call)).effect).toBe(effect)
  })

  test('the same push twice is one order', async () => {
    const { world, create } = await setUp({ edition })
    const first = value(await create.send(newOrder, write, call))
    expect(value(await create.send(newOrder, write, call)).key).toBe(first.key)
    expect(world.all('shopOrders').filter(({ platformNumber }) => platformNumber === REFERENCE)).toHaveLength(
      1,
    )
  })
})

describe('stock of the enterprise edition', () => {
  const stockOf = (port: Awaited<ReturnType<typeof setUp>>['inventoryLevel']) => {
    if (!port) throw new Error('no stock')
    return port
  }

  test('is read by product and warehouse, with the vendor’s own figure of what can be sold', async () => {
    const { inventoryLevel } = await setUp()
    const read = await stockOf(inventoryLevel).readMany(['A00001/11001', 'A00001/99', 'none/11002'], call)
    expect(value(at(read, 0))).toMatchObject({
      onHand: { value: '30.0000' },
      reserved: { value: '4.0000' },
      available: { value: '26.0000' },
      incoming: { value: '0.0000' },
    })
    expect(read.slice(1).map((one) => value(one))).toEqual([null, null])
    const of = await stockOf(inventoryLevel).lookups?.byProduct?.read(['A00002'], call)
    expect(value(of?.[0]).map(({ key }) => key)).toEqual(['A00002/11001', 'A00002/11002'])
  })

  test('is listed whole, and its changes are found by time', async () => {
    const { world, inventoryLevel } = await setUp({ config: { pageLimit: 7 } })
    const port = stockOf(inventoryLevel)
    const keys: string[] = []
    let after: string | undefined
    for (;;) {
      const page = value(await port.list?.({ first: 10, after }, call))
      keys.push(...page.items.map(({ record }) => record.key))
      after = page.items.at(-1)?.position
      if (!page.hasMore) break
    }
    expect([...keys].sort()).toEqual(
      world
        .all('shopStock')
        .map(({ item, warehouse }) => `${item}/${warehouse}`)
        .sort(),
    )
    const begin = value(await port.changes?.(null, call))
    moveShopStock(world, 'A00002', '11002', { onHand: '5' })
    expect(value(await port.changes?.(begin.checkpoint, call)).records.map(({ key }) => key)).toEqual([
      'A00002/11002',
    ])
  })

  test('figures are named by configuration, and left out where there are none', async () => {
    const { open } = await setUp()
    const port = stockOf(open({ stockFields: { available: null, reserved: 'sending_num' } }).inventoryLevel)
    expect(value(at(await port.readMany(['A00001/11001'], call), 0))).toMatchObject({
      available: null,
      reserved: { value: '0.0000' },
    })
  })

  test('warehouses are the vendor’s', async () => {
    const { warehouse } = await setUp()
    expect((await warehouse.readMany(['11002', 'x'], call)).map((one) => value(one))).toEqual([
      { key: '11002', name: '广州电商仓' },
      null,
    ])
    expect(value(await warehouse.list?.({ first: 1 }, call))).toMatchObject({
      items: [{ position: '11001' }],
      hasMore: true,
    })
  })
})

describe('queues', () => {
  const waybill = { carrier: 'SF', carrierName: '顺丰速运', number: 'SF1000000001' }

  test.each(['enterprise', 'flagship'] as const)(
    'what was sent is acknowledged only by a question with the checkpoint that names it (%s)',
    async (edition) => {
      const { world, simulator, seeded, called, open } = await setUp({ edition })
      const { delivery } = open({ queues: { deliveries: { shop: 'web01' } } })
      const begin = value(await delivery.changes?.(null, call))
      expect(simulator.calls).toEqual([])
      sendShopOrder(world, at(seeded(), 4), waybill)
      const acknowledged = () => called(/_ack|update/)
      const first = value(await delivery.changes?.(begin.checkpoint, call))
      expect(first.records.map(({ trackingNumbers }) => trackingNumbers)).toEqual([['SF1000000001']])
      expect(first.hasMore).toBe(true)
      // The checkpoint was lost with the process: the entry is still there, and comes again.
      expect(acknowledged()).toEqual([])
      expect(value(await delivery.changes?.(begin.checkpoint, call)).records).toHaveLength(1)
      expect(simulator.waiting.logistics).toBe(1)
      // It was kept: now it is taken off the queue, and nothing is left.
      const second = value(await delivery.changes?.(first.checkpoint, call))
      expect(second).toMatchObject({ records: [], hasMore: false })
      expect(simulator.waiting.logistics).toBe(0)
      expect(acknowledged()).toHaveLength(1)
      // Said again after a restart that came in between, it does no harm.
      expect(value(await delivery.changes?.(first.checkpoint, call)).records).toEqual([])
      expect(value(await delivery.changes?.(second.checkpoint, call)).records).toEqual([])
      expect(acknowledged()).toHaveLength(2)
    },
  )

  test('an entry whose order cannot be read is not acknowledged', async () => {
    const { world, simulator, seeded, called, open } = await setUp()
    const { delivery } = open({ queues: { deliveries: {} } })
    const begin = value(await delivery.changes?.(null, call))
    sendShopOrder(world, at(seeded(), 4), waybill)
    simulator.setFaults([{ kind: 'refuse', match: 'trade_query' }])
    expect(failure(await delivery.changes?.(begin.checkpoint, call)).kind).toBe('unavailable')
    simulator.setFaults([])
    expect(value(await delivery.changes?.(begin.checkpoint, call)).records).toHaveLength(1)
    expect(called(/_ack/)).toEqual([])
  })

  test('a queue from which nothing is taken is not read for ever', async () => {
    const lines: string[] = []
    const log = { ...silentLog, warn: (...parts: unknown[]) => void lines.push(JSON.stringify(parts)) } as Log
    const { world, seeded, open } = await setUp({ simulator: { keepsQueues: true }, log })
    const { delivery } = open({ queues: { deliveries: {} } })
    const begin = value(await delivery.changes?.(null, call))
    sendShopOrder(world, at(seeded(), 4), waybill)
    const first = value(await delivery.changes?.(begin.checkpoint, call))
    const second = value(await delivery.changes?.(first.checkpoint, call))
    expect(second).toMatchObject({ records: [], hasMore: false, checkpoint: first.checkpoint })
    expect(lines.join()).toContain('非待同步状态')
  })

  const stockQueues = [
    ['enterprise', { shop: 'web01' }],
    ['flagship', {}],
  ] as const
  test.each(stockQueues)(
    'stock that moved again after it was read stays in its queue (%s)',
    async (edition, stock) => {
      const { world, simulator, open } = await setUp({ edition })
      const { inventoryLevel } = open({ queues: { stock } })
      const begin = value(await inventoryLevel?.changes?.(null, call))
      moveShopStock(world, 'A00002', '11002', { onHand: '5' })
      const first = value(await inventoryLevel?.changes?.(begin.checkpoint, call))
      expect(first.records.map(({ key }) => key)).toEqual(['A00002/11001', 'A00002/11002'])
      moveShopStock(world, 'A00002', '11002', { locked: '1' })
      const second = value(await inventoryLevel?.changes?.(first.checkpoint, call))
      expect(second.records.map(({ reserved }) => Number(reserved?.value))).toContain(1)
      expect(second.hasMore).toBe(true)
      expect(value(await inventoryLevel?.changes?.(second.checkpoint, call)).hasMore).toBe(false)
      expect(simulator.waiting.stock).toBe(0)
    },
  )

  test('goods whose stock cannot be calculated do not hide what waits behind them (flagship)', async () => {
    const { world, simulator, called, open } = await setUp({
      edition: 'flagship',
      simulator: { unsynced: ['A00001'] },
    })
    const { inventoryLevel } = open({ queues: { stock: {} } })
    const begin = value(await inventoryLevel?.changes?.(null, call))
    moveShopStock(world, 'A00001', '11001', { onHand: '4' })
    expect(value(await inventoryLevel?.changes?.(begin.checkpoint, call)).records).toEqual([])
    moveShopStock(world, 'A00002', '11001', { onHand: '5' })
    const first = value(await inventoryLevel?.changes?.(begin.checkpoint, call))
    expect(new Set(first.records.map(({ product }) => product))).toEqual(new Set(['A00002']))
    // Nothing was acknowledged before the checkpoint came back.
    expect(called(/syncSuccess/)).toEqual([])
    value(await inventoryLevel?.changes?.(first.checkpoint, call))
    expect(simulator.waiting.stock).toBe(1)
  })
})

describe('refusals and bad days', () => {
  test.each(['enterprise', 'flagship'] as const)(
    'a wrong secret is no secret in any message (%s)',
    async (edition) => {
      const lines: string[] = []
      const note = (...parts: unknown[]) => void lines.push(JSON.stringify(parts))
      const log = { ...silentLog, debug: note, info: note, warn: note, error: note } as Log
      const { open } = await setUp({ edition, log })
      const { order } = open({ appSecret: edition === 'flagship' ? 'wr0ng:s4lt-盐' : 'wr0ng' })
      const said = failure(at(await order.readMany(['JY1'], call), 0))
      expect(said.kind).toBe('unauthorized')
      expect(`${failureText(said)}${lines.join()}`).not.toMatch(/wr0ng|S3cret|s4lt/)
    },
  )

  test('a vendor that throttles has done nothing: reads and writes may come again', async () => {
    const { create, order } = await setUp({ simulator: { perMinute: 1 } })
    value(at(await order.readMany(['JY1'], call), 0))
    const limited = { kind: 'unavailable', reason: 'rate-limited' }
    expect(failure(at(await order.readMany(['JY1'], call), 0))).toMatchObject(limited)
    expect(failure(await create.send(newOrder, write, call))).toMatchObject(limited)
  })

  test('calls leave at the pace that is configured', async () => {
    const { open, called } = await setUp()
    const { order } = open({ callsPerMinute: 2 })
    const read = await order.readMany(['JY1', 'JY2', 'JY3', 'JY4'], call)
    expect(read.filter((one) => one.ok)).toHaveLength(2)
    expect(failure(at(read, 3))).toMatchObject({ kind: 'unavailable', reason: 'rate-limited' })
    expect(called(/trade_query/)).toHaveLength(2)
  })

  test('a code can be given a meaning that its words do not have', async () => {
    const { simulator, order, open } = await setUp()
    simulator.setFaults([{ kind: 'status', status: 200, body: '{"code":1610,"message":"?"}' }])
    expect(failure(at(await order.readMany(['JY1'], call), 0))).toMatchObject({
      kind: 'rejected',
      code: '1610',
    })
    const told = open({ errorCodes: { '1610': 'busy' } })
    expect(failure(at(await told.order.readMany(['JY1'], call), 0))).toMatchObject({ reason: 'overloaded' })
    expect(failure(await told.create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
  })

  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 502 },
      { kind: 'unavailable', reason: 'overloaded' },
    ],
    [{ kind: 'status', status: 200, body: '{"code":0,"trades":{}}' }, { kind: 'invalid-response' }],
    [{ kind: 'status', status: 200, body: '' }, { kind: 'invalid-response' }],
  ] as const)('a read that meets %o', async (fault, expected) => {
    const { simulator, order } = await setUp({ timeoutMs: 300 })
    simulator.setFaults([fault])
    expect(failure(at(await order.readMany(['JY1'], call), 0))).toMatchObject(expected)
  })

  test.each(['enterprise', 'flagship'] as const)(
    'rows that nobody counts are all read (%s)',
    async (edition) => {
      const { world, simulator, seeded, open } = await setUp({ edition })
      for (const order of seeded().slice(0, 5)) changeShopOrder(world, order, { remark: '改' })
      const counted = value(await open({ pageLimit: 100 }).order.list?.({ first: 50 }, call))
      expect(counted.items.length).toBeGreaterThan(4)
      const { origin, pathname } = new URL(simulator.url)
      await using uncounted = await startWire(origin, (answer) => ({
        ...answer,
        body: Buffer.from(answer.body.toString('utf8').replaceAll(/"total_count":"?\d+"?/g, '"x":0')),
      }))
      const { order } = open({ pageLimit: 2, baseUrl: uncounted.url + pathname })
      const read = value(await order.list?.({ first: 50 }, call))
      expect(read.items.map(({ record }) => record.key)).toEqual(
        counted.items.map(({ record }) => record.key),
      )
    },
  )

  test('an empty body of the flagship edition is a success without anything', async () => {
    const { simulator, order } = await setUp({ edition: 'flagship' })
    simulator.setFaults([{ kind: 'status', status: 200, body: '' }])
    expect(value(at(await order.readMany(['JY1'], call), 0))).toBeNull()
  })

  test('a record that breaks its schema fails alone', async () => {
    const { world, order, seeded } = await setUp()
    const [first, second] = seeded()
    world.put('shopOrders', { ...(first as ShopOrder), platformNumber: 7 as unknown as string })
    const read = await order.readMany(
      [first, second].map((one) => (one ? keyOf(one) : '')),
      call,
    )
    // A number where text belongs is text here; what is no time is none.
    expect(value(at(read, 0))?.customerReference).toBe('7')
    expect(value(at(read, 1))?.key).toBe(second && keyOf(second))
    changeShopOrder(world, second as ShopOrder, { remark: 'ok' })
    expect(value(at(await order.readMany([second ? keyOf(second) : ''], call), 0))?.comments).toBe('ok')
  })

  test('what cannot be said is refused before anything is sent', async () => {
    const { create, open, simulator } = await setUp()
    const one = { ...newOrder, customerReference: 'PO 4711' }
    expect(failure(await create.send(one, write, call))).toMatchObject({ field: 'customerReference' })
    expect(failure(await open({ orderDefaults: undefined }).create.send(newOrder, write, call)).kind).toBe(
      'unsupported',
    )
    expect(simulator.calls).toEqual([])
    const told = open({ customerReferenceField: 'buyer_message' }).create
    expect(value(await told.send(one, write, call)).record?.customerReference).toBe('PO 4711')
  })

  test('health tells the seller', async () => {
    const { adapter } = await setUp()
    expect(value(await adapter.health(call)).detail).toMatch(
      /^Wangdiantong \(enterprise\), seller demo, at 127\.0\.0\.1/,
    )
  })

  test('settings that contradict each other are refused', () => {
    const base = { edition: 'flagship', sid: 's', appKey: 'k', appSecret: 'only-secret' }
    expect(wangdiantongConfig.safeParse(base).error?.issues[0]?.path).toEqual(['appSecret'])
    const stock = { ...base, appSecret: 'a:b', queues: { stock: { shop: 'x' } } }
    for (const wrong of [stock, { ...stock, edition: 'enterprise', queues: { stock: {} } }]) {
      const path = wangdiantongConfig.safeParse(wrong).error?.issues[0]?.path
      expect(path).toEqual(['queues', 'stock', 'shop'])
    }
  })

  test('the samples in the README are valid', () => {
    const page = readFileSync(new URL('../../src/systems/wangdiantong/README.md', import.meta.url), 'utf8')
    const samples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => parseYaml(yaml ?? ''))
    expect(samples.map(({ edition }) => edition)).toEqual(['enterprise', 'flagship'])
    for (const sample of samples) {
      const common = Object.keys(systemSchema.shape)
      const own = Object.fromEntries(Object.entries(sample).filter(([name]) => !common.includes(name)))
      // Secrets come from the environment.
      if (own.edition === 'flagship') own.appSecret = 'secret:salt'
      wangdiantongConfig.parse(own)
    }
  })
})
