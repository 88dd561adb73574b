/** From an order to its parcels, through three systems; and what carriers tell, as it happens. */
import { afterEach, describe, expect, test } from 'vitest'
import { scanParcel, sendParcel } from '../../src/simulation/parcels.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { openDelivery, ship, skuIdOf } from '../../src/simulation/warehousing.ts'
import { World } from '../../src/simulation/world.ts'
import { startKuaidi100Simulator } from '../../src/systems/kuaidi100/simulator.ts'
import { startRestTmsSimulator } from '../../src/systems/rest-tms/simulator.ts'
import { startRestWmsSimulator } from '../../src/systems/rest-wms/simulator.ts'
import { codesOf, idOf, openTestGateway, READER, SMALL } from './kit.ts'

const KEY = 'AbCdEf123456'
const SALT = 'salt-of-sixteen-x'
const SENDER = '0755-26990000'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** The demo, with a warehouse that sends order 1009 in two parcels, and a service that tracks them. */
async function open({ withTms = false } = {}) {
  const world = new World(SMALL)
  const wms = await startRestWmsSimulator(world, { auth: { type: 'bearer', token: 'wms-token' } })
  const parcels = await startKuaidi100Simulator(world, {
    customer: 'CUST',
    key: KEY,
    senderPhone: SENDER,
    retryDelaysMs: [20, 20, 20],
  })
  const tms = await startRestTmsSimulator(world, { auth: { type: 'bearer', token: 'tms-token' } })
  let gatewayUrl = ''
  const answers: string[] = []
  // Its address has to be known before the gateway's is.
  const way = await startSimulatorServer({
    async handle({ path, headers, body }) {
      const answer = await fetch(`${gatewayUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': String(headers['content-type']) },
        body: body.toString(),
      })
      const text = await answer.text()
      answers.push(`${answer.status} ${text}`)
      return { status: answer.status, body: text }
    },
  })
  const common = { environment: 'test', writes: 'on', timeout: '2s', pollEvery: '0s', commitDelay: '1s' }
  const gateway = await openTestGateway({
    override(raw) {
      raw.systems.wms = {
        kind: 'rest-wms',
        ...common,
        baseUrl: wms.url,
        auth: { type: 'bearer', token: 'wms-token' },
      }
      raw.systems.parcels = {
        kind: 'kuaidi100',
        ...common,
        baseUrl: parcels.url,
        customer: 'CUST',
        key: KEY,
        phone: SENDER,
        webhook: { url: `${way.url}/webhooks/parcels`, salt: SALT },
      }
      if (!withTms) return
      raw.systems.tms = {
        kind: 'rest-tms',
        ...common,
        baseUrl: tms.url,
        auth: { type: 'bearer', token: 'tms-token' },
        // The ERP has deliveries too.
        deliveryNumbersFrom: 'wms',
      }
    },
  })
  gatewayUrl = gateway.url
  cleanups.push(
    () => wms.close(),
    () => parcels.close(),
    () => tms.close(),
    () => way.close(),
    async () => gateway[Symbol.asyncDispose](),
  )
  return { world, wms, parcels, gateway, answers }
}

/** Two deliveries of order 1009; the carrier has the first. */
function send(world: World) {
  const deliver = (quantity: string) =>
    ship(
      world,
      openDelivery(world, {
        direction: 'OUT',
        deliveryType: 'SALES',
        orderNo: '1009',
        warehouseId: 'WH-SZX-01',
        lines: [{ skuId: skuIdOf(1), quantity }],
      }),
    )
  const [first, second] = [deliver('2'), deliver('3')]
  const number = first.trackingNo ?? ''
  sendParcel(world, {
    number,
    carrier: 'SF',
    phone: '13800138000',
    from: '广东省深圳市',
    to: '上海市浦东新区',
    orderNo: null,
    deliveryNo: null,
    expectedDay: '2026-06-30',
  })
  scanParcel(world, number, 'COLLECTED', '广东省深圳市', '已收取快件', { at: '2026-06-28T02:00:00.000Z' })
  return { first, second, number }
}

const ORDER = `query ($number: String!) {
  orderByNumber(system: "erp", number: $number) {
    id
    deliveries {
      number direction status trackingNumbers
      orders { id number }
      lines { quantity { value } warehouse { key } }
      shipments { trackingNumber status }
      system { id }
    }
    shipments {
      trackingNumber carrier carrierName status vendorStatus recipientRegion expectedDelivery
      events { time place text status }
      system { id }
    }
  }
}`

const TRACK = `mutation ($input: TrackShipmentInput!) {
  trackShipment(input: $input) {
    writeback { id state problem { code message } }
    shipment { id trackingNumber status events { text } }
  }
}`

const CHANGED = `subscription ($orderId: ID, $carrier: String, $status: [ShipmentStatus!], $system: ID, $after: String, $initial: Boolean) {
  shipmentChanged(orderId: $orderId, carrier: $carrier, status: $status, system: $system, after: $after, initial: $initial) {
    cursor event time statusBefore statusAfter
    changes { field }
    shipment { trackingNumber status signedAt }
  }
}`

describe('an order', () => {
  test('leads to what the warehouse sent for it, and to where the parcels are', async () => {
    const { gateway, world } = await open()
    const { first, second, number } = send(world)
    const { orderByNumber: order } = await gateway.data(ORDER, { number: '1009' })
    const delivery = (sent: typeof first, quantity: string, shipments: unknown[]) => ({
      number: sent.deliveryId,
      direction: 'OUTBOUND',
      status: 'CLOSED',
      trackingNumbers: [sent.trackingNo],
      orders: [{ id: order.id, number: '1009' }],
      lines: [{ quantity: { value: quantity }, warehouse: { key: 'WH-SZX-01' } }],
      shipments,
      system: { id: 'wms' },
    })
    const known = { trackingNumber: number, status: 'PICKED_UP' }
    expect(order.deliveries.filter(({ system }: { system: { id: string } }) => system.id === 'wms')).toEqual(
      expect.arrayContaining([delivery(first, '2', [known]), delivery(second, '3', [])]),
    )
    expect(order.shipments).toEqual([
      {
        ...known,
        carrier: 'shunfeng',
        carrierName: '顺丰速运',
        vendorStatus: '1',
        recipientRegion: '上海市浦东新区',
        expectedDelivery: '2026-06-30',
        events: [
          {
            time: '2026-06-28T10:00:00+08:00',
            place: '广东省深圳市',
            text: '已收取快件',
            status: 'PICKED_UP',
          },
        ],
        system: { id: 'parcels' },
      },
    ])
  })

  test('an order that nobody sent has none', async () => {
    const { gateway } = await open()
    const { orders } = await gateway.data('{ orders(first: 1) { nodes { number shipments { id } } } }')
    expect(orders.nodes).toEqual([{ number: expect.not.stringMatching(/^1009$/), shipments: [] }])
  })

  test('is still shown where the tracking service is away: a null entry and its error', async () => {
    const { gateway, world, parcels } = await open()
    send(world)
    parcels.setFaults([{ kind: 'refuse' }])
    const { data, errors } = await gateway.ask(
      '{ orderByNumber(system: "erp", number: "1009") { number deliveries { number } shipments { status } } }',
    )
    expect(data.orderByNumber.number).toBe('1009')
    expect(data.orderByNumber.deliveries.length).toBeGreaterThanOrEqual(2)
    expect(data.orderByNumber.shipments).toBeNull()
    expect(errors?.[0]).toMatchObject({ extensions: { code: 'SYSTEM_UNAVAILABLE', system: 'parcels' } })
  })
})

describe('beside a transport system that knows orders and deliveries', () => {
  /** In a parcel with a number of its own, which only the transport system connects with the order. */
  const sendByOrder = (world: World, number: string, deliveryNo: string | null, orderNo: string | null) => {
    sendParcel(world, {
      number,
      carrier: 'YTO',
      phone: '13800138000',
      from: '广东省深圳市',
      to: '浙江省杭州市',
      orderNo,
      deliveryNo,
      expectedDay: null,
    })
    scanParcel(world, number, 'MOVING', '广东省深圳市', '运输中', { at: '2026-06-28T04:00:00.000Z' })
  }
  const SHIPMENTS = `{ orderByNumber(system: "erp", number: "1009") {
    id
    deliveries { number shipments { trackingNumber system { id } } }
    shipments { trackingNumber orders { id } system { id } }
  } }`

  test('what is found in several ways is one, and what each system knows stands beside the other’s', async () => {
    const { gateway, world } = await open({ withTms: true })
    const { first, number } = send(world)
    sendByOrder(world, 'YT7700000000201', first.deliveryId, '1009')
    sendByOrder(world, 'YT7700000000202', null, '1009')
    sendByOrder(world, 'YT7700000000203', null, '1008')
    const { orderByNumber: order } = await gateway.data(SHIPMENTS)
    const found = order.shipments.map((one: { trackingNumber: string; system: { id: string } }) =>
      [one.system.id, one.trackingNumber].join(' '),
    )
    expect(found.toSorted()).toEqual(
      [`parcels ${number}`, `tms ${number}`, 'tms YT7700000000201', 'tms YT7700000000202'].toSorted(),
    )
    const named = order.shipments.find(
      (one: { trackingNumber: string }) => one.trackingNumber === 'YT7700000000202',
    )
    expect(named.orders).toEqual([{ id: order.id }])
    const delivery = order.deliveries.find((one: { number: string }) => one.number === first.deliveryId)
    expect(
      delivery.shipments.map((one: { trackingNumber: string }) => one.trackingNumber).toSorted(),
    ).toEqual([number, number, 'YT7700000000201'].toSorted())
  })

  test('one that is away leaves a null, and the other’s are seen', async () => {
    const { gateway, world, parcels } = await open({ withTms: true })
    const { number } = send(world)
    parcels.setFaults([{ kind: 'refuse' }])
    const { data, errors } = await gateway.ask(SHIPMENTS)
    expect(data.orderByNumber.shipments).toEqual(
      expect.arrayContaining([expect.objectContaining({ trackingNumber: number }), null]),
    )
    expect(errors?.map(({ extensions }) => [extensions.code, extensions.system])).toContainEqual([
      'SYSTEM_UNAVAILABLE',
      'parcels',
    ])
  })

  test('those that can be listed are listed, newest first, page by page', async () => {
    const { gateway, world } = await open({ withTms: true })
    const page = (after: string | null) =>
      gateway.data(
        `query ($after: String) { shipments(first: 3, after: $after) {
          nodes { trackingNumber system { id } } pageInfo { hasNextPage endCursor }
        } }`,
        { after },
      )
    const { shipments: one } = await page(null)
    const { shipments: two } = await page(one.pageInfo.endCursor)
    const numbers = [...one.nodes, ...two.nodes].map(({ trackingNumber }) => trackingNumber)
    const newest = world
      .all('parcels')
      .toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
      .map((parcel) => parcel.number)
    expect(numbers).toEqual(newest.slice(0, numbers.length))
    expect(numbers.length).toBeGreaterThanOrEqual(5)
  })

  test('who watches an order hears of shipments that name it', async () => {
    const { gateway, world } = await open({ withTms: true })
    sendByOrder(world, 'YT7700000000202', null, '1009')
    sendByOrder(world, 'YT7700000000203', null, '1008')
    await gateway.poll('tms')
    const { orderByNumber: order } = await gateway.data(
      '{ orderByNumber(system: "erp", number: "1009") { id } }',
    )
    await using listener = await gateway.listen(CHANGED, { orderId: order.id, system: 'tms' })
    for (const number of ['YT7700000000203', 'YT7700000000202'])
      scanParcel(world, number, 'SIGNED', '浙江省杭州市', '已签收', { signedBy: '李娜' })
    await gateway.poll('tms')
    expect((await listener.payloads(1))[0]).toMatchObject({
      event: 'shipment.updated',
      statusBefore: 'IN_TRANSIT',
      statusAfter: 'DELIVERED',
      shipment: { trackingNumber: 'YT7700000000202' },
    })
    expect(listener.results).toHaveLength(1)
  })

  test('two that can follow want to be chosen from', async () => {
    const { gateway } = await open({ withTms: true })
    const input = { idempotencyKey: 'f', trackingNumber: 'JT5200000000023' }
    const refused = await gateway.ask(TRACK, { input })
    expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
    expect(refused.errors?.[0]?.message).toContain('parcels, tms')
    const { trackShipment } = await gateway.data(TRACK, { input: { ...input, system: 'tms' } })
    expect(trackShipment.writeback.state).toBe('CONFIRMED')
  })
})

describe('a shipment', () => {
  test('is found by its number and by its id', async () => {
    const { gateway } = await open()
    const { shipmentsByNumber } = await gateway.data(
      '{ shipmentsByNumber(trackingNumber: "YT7700000000011") { id status signedAt carrierName orders { id } } }',
    )
    const id = idOf('shipment', 'parcels', 'yuantong/YT7700000000011')
    expect(shipmentsByNumber).toEqual([
      {
        id,
        status: 'DELIVERED',
        signedAt: '2026-03-03T11:30:00+08:00',
        carrierName: '圆通速递',
        orders: [],
      },
    ])
    const read = await gateway.data(
      'query ($id: ID!) { shipment(id: $id) { trackingNumber } node(id: $id) { __typename ... on Shipment { status } } }',
      { id },
    )
    expect(read).toEqual({
      shipment: { trackingNumber: 'YT7700000000011' },
      node: { __typename: 'Shipment', status: 'DELIVERED' },
    })
  })

  test.each(['', '../../etc', 'a\u0000b', `S${'F'.repeat(70)}`])(
    'the tracking number %j is refused with a reason',
    async (trackingNumber) => {
      const { gateway } = await open()
      const result = await gateway.ask(
        'query ($n: String!) { shipmentsByNumber(trackingNumber: $n) { id } }',
        { n: trackingNumber },
      )
      expect(codesOf(result)).toEqual(['BAD_USER_INPUT'])
    },
  )

  test('is followed by a mutation, once per key, and its first state is an event', async () => {
    const { gateway, parcels } = await open()
    await using listener = await gateway.listen(CHANGED, { system: 'parcels' })
    const input = { idempotencyKey: 'follow-1', trackingNumber: 'JT5200000000023' }
    const made = await gateway.data(TRACK, { input })
    expect(made.trackShipment).toMatchObject({
      writeback: { state: 'CONFIRMED' },
      shipment: { trackingNumber: 'JT5200000000023', status: 'EXCEPTION' },
    })
    const again = await gateway.data(TRACK, { input })
    expect(again.trackShipment.writeback.id).toBe(made.trackShipment.writeback.id)
    expect(parcels.followed().map(({ parcel }) => parcel)).toEqual(['jtexpress/JT5200000000023'])
    const [created] = await listener.payloads(1)
    expect(created).toMatchObject({
      event: 'shipment.created',
      statusBefore: null,
      statusAfter: 'EXCEPTION',
      shipment: { trackingNumber: 'JT5200000000023' },
    })
  })

  test('cannot be followed by one who may only read, nor without its telephone number', async () => {
    const { gateway, parcels } = await open()
    const input = { idempotencyKey: 'follow-2', trackingNumber: 'JT5200000000023' }
    expect(codesOf(await gateway.ask(TRACK, { input }, READER))).toEqual(['FORBIDDEN'])
    const refused = await gateway.data(TRACK, {
      input: { idempotencyKey: 'follow-3', trackingNumber: '780012345678' },
    })
    expect(refused.trackShipment.writeback).toMatchObject({
      state: 'REJECTED',
      problem: { message: expect.stringContaining('name the carrier') },
    })
    expect(parcels.followed()).toEqual([])
  })
})

describe('shipmentChanged', () => {
  test('a push arrives at those whose filter it fits, with what it was before', async () => {
    const { gateway, world, parcels, answers } = await open()
    const { number } = send(world)
    const { orderByNumber: order } = await gateway.data(ORDER, { number: '1009' })
    await gateway.data(TRACK, { input: { idempotencyKey: 'f', trackingNumber: number, phone: '8000' } })
    await parcels.settled()
    await using ofOrder = await gateway.listen(CHANGED, { orderId: order.id })
    await using delivered = await gateway.listen(CHANGED, { status: ['DELIVERED'] })
    await using others = await gateway.listen(CHANGED, { carrier: 'yuantong' })

    scanParcel(world, number, 'OUT', '上海市浦东新区', '派件中', { at: '2026-06-29T01:00:00.000Z' })
    scanParcel(world, number, 'SIGNED', '上海市浦东新区', '已签收', { at: '2026-06-29T03:00:00.000Z' })
    await parcels.settled()
    const [out, signed] = await ofOrder.payloads(2)
    expect(out).toMatchObject({
      event: 'shipment.updated',
      time: '2026-06-29T09:00:00+08:00',
      statusBefore: 'PICKED_UP',
      statusAfter: 'OUT_FOR_DELIVERY',
    })
    expect(signed).toMatchObject({
      statusBefore: 'OUT_FOR_DELIVERY',
      statusAfter: 'DELIVERED',
      shipment: { trackingNumber: number, status: 'DELIVERED', signedAt: '2026-06-29T11:00:00+08:00' },
    })
    expect(signed.changes.map(({ field }: { field: string }) => field).sort()).toEqual([
      'events',
      'signedAt',
      'status',
      'vendorStatus',
    ])
    expect((await delivered.payloads(1))[0].cursor).not.toBe('')
    expect(delivered.results).toHaveLength(1)
    expect(others.results).toEqual([])
    expect(answers.at(-1)).toBe('200 {"result":true,"returnCode":"200","message":"成功"}')

    // The same bytes once more, and one that is forged: neither is news.
    expect(await parcels.pushAgain()).toMatchObject({ status: 200 })
    const forged = await gateway.post('param=%7B%7D&sign=00', {
      path: '/webhooks/parcels',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    expect(forged).toMatchObject({
      status: 401,
      body: { result: false, returnCode: '500', message: '"sign" does not match' },
    })
    const { system } = await gateway.data(
      '{ system(id: "parcels") { webhooks { repeated badSignature malformed } } }',
    )
    expect(system.webhooks).toEqual({ repeated: 1, badSignature: 1, malformed: 0 })

    // Who was away goes on where it stopped.
    await using resumed = await gateway.listen(CHANGED, { orderId: order.id, after: out.cursor })
    expect((await resumed.payloads(1))[0]).toMatchObject({ statusAfter: 'DELIVERED', cursor: signed.cursor })
    expect(ofOrder.results).toHaveLength(2)
  })

  test('tells first what there is, where that is asked for', async () => {
    const { gateway, world, parcels } = await open()
    const { number } = send(world)
    const { orderByNumber: order } = await gateway.data(ORDER, { number: '1009' })
    await using listener = await gateway.listen(CHANGED, { orderId: order.id, initial: true })
    expect((await listener.payloads(1))[0]).toMatchObject({
      event: 'snapshot',
      statusAfter: 'PICKED_UP',
      shipment: { trackingNumber: number },
    })
    await using none = await gateway.listen(CHANGED, {
      orderId: order.id,
      initial: true,
      status: ['DELIVERED'],
    })
    await gateway.data(TRACK, { input: { idempotencyKey: 'f', trackingNumber: number } })
    scanParcel(world, number, 'SIGNED', '上海市浦东新区', '已签收')
    await parcels.settled()
    // What is not delivered was no message of it.
    expect((await none.payloads(1))[0]).toMatchObject({ event: 'shipment.updated', statusAfter: 'DELIVERED' })
  })

  test('a cursor that was changed is refused', async () => {
    const { gateway } = await open()
    await using listener = await gateway.listen(CHANGED, {})
    await gateway.data(TRACK, { input: { idempotencyKey: 'f', trackingNumber: 'JT5200000000023' } })
    const [{ cursor }] = await listener.payloads(1)
    await using forged = await gateway.listen(CHANGED, { after: `${cursor.slice(0, -2)}AA` })
    const [refused] = await forged.take(1)
    expect(codesOf(refused ?? {})).toEqual(['CURSOR_INVALID'])
  })

  test('an order that is not there, and a system that is not, are refused', async () => {
    const { gateway } = await open()
    for (const [args, code] of [
      [{ orderId: idOf('order', 'erp', '999999') }, 'BAD_USER_INPUT'],
      [{ orderId: 'nonsense' }, 'BAD_USER_INPUT'],
      [{ system: 'nowhere' }, 'UNKNOWN_SYSTEM'],
    ] as const) {
      await using listener = await gateway.listen(CHANGED, args)
      const [refused] = await listener.take(1)
      expect(codesOf(refused ?? {})).toEqual([code])
    }
  })
})
