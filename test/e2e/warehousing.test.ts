/** Setting stock aside, sending it out and taking it in, in a warehouse system beside the demo's ERP. */
import Big from 'big.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { availableOf, skuIdOf, stockIdOf } from '../../src/simulation/warehousing.ts'
import { World } from '../../src/simulation/world.ts'
import { startRestWmsSimulator } from '../../src/systems/rest-wms/simulator.ts'
import { codesOf, idOf, openTestGateway, SMALL, type TestGateway } from './kit.ts'

const auth = { type: 'bearer', token: 'wms-token' } as const
const SZX = 'WH-SZX-01'

let world: World
let wms: Awaited<ReturnType<typeof startRestWmsSimulator>>
let gateway: TestGateway
beforeAll(async () => {
  world = new World(SMALL)
  wms = await startRestWmsSimulator(world, { auth })
  gateway = await openTestGateway({
    override(raw) {
      raw.systems.wms = {
        kind: 'rest-wms',
        environment: 'test',
        writes: 'on',
        pollEvery: '0s',
        baseUrl: wms.url,
        auth,
        customFields: { reservation: { batch: 'attributes.batch' } },
      }
    },
  })
}, 60_000)
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await wms.close()
})

/** As the ERP calls it; the warehouse knows it by the same barcode under its own number. */
const productId = idOf('product', 'erp', 'A00001')
const free = () => {
  const stock = world.get('wmsStock', stockIdOf(skuIdOf(1), SZX))
  if (!stock) throw new Error('no stock')
  return availableOf(stock)
}

const RESERVE = `mutation ($input: ReserveStockInput!) {
  reserveStock(input: $input) {
    writeback { state problem { code vendorCode line details { name value } } }
    reservation {
      id number status orderNumber order { number system { id } } customFields { name value }
      lines { quantity { value } open { value } warehouse { key name } product { sku } }
    }
  }
}`
const RELEASE = `mutation ($input: ReservationActionInput!) {
  releaseReservation(input: $input) { writeback { state } reservation { status lines { open { value } } } }
}`
const DELIVER = `mutation ($input: CreateDeliveryInput!) {
  createDelivery(input: $input) {
    writeback { state problem { code message } }
    delivery { id direction status orderNumbers orders { number } reservation { number status } lines { quantity { value } } }
  }
}`
const act = (mutation: string, input: object) =>
  gateway.ask(
    `mutation ($input: DeliveryActionInput!) { ${mutation}(input: $input) { writeback { state } delivery { status } } }`,
    { input: { idempotencyKey: `${mutation}-1`, ...input } },
  )

test('stock is set aside for an order once, is seen with the order, and given back', async () => {
  const before = free()
  const ofOrder = () => world.all('wmsReservations').filter(({ orderNo }) => orderNo === '1009')
  const earlier = ofOrder().map(({ reservationId }) => reservationId)
  const input = {
    idempotencyKey: 'reserve-1',
    orderNumber: '1009',
    customFields: [{ name: 'batch', value: '批 7' }],
    lines: [{ productId, quantity: '3', warehouse: SZX }],
  }
  for (const _twice of [1, 2]) {
    const { reserveStock } = await gateway.data(RESERVE, { input })
    expect(reserveStock).toMatchObject({
      writeback: { state: 'CONFIRMED' },
      reservation: {
        status: 'ACTIVE',
        orderNumber: '1009',
        order: { number: '1009', system: { id: 'erp' } },
        customFields: [{ name: 'batch', value: '批 7' }],
        lines: [
          {
            quantity: { value: '3' },
            open: { value: '3' },
            warehouse: { key: SZX, name: '深圳前海保税仓' },
            product: { sku: 'A00001' },
          },
        ],
      },
    })
  }
  expect(free()).toEqual(before.minus(3))

  const { orderByNumber } = await gateway.data(
    '{ orderByNumber(system: "erp", number: "1009") { reservations { id number status } } }',
  )
  expect(ofOrder()).toHaveLength(earlier.length + 1)
  expect(orderByNumber.reservations).toHaveLength(earlier.length + 1)
  const { id, number } = orderByNumber.reservations.find(
    (one: { number: string }) => !earlier.includes(one.number),
  )
  const { reservations, node } = await gateway.data(
    'query ($id: ID!) { reservations(first: 5) { nodes { number } } node(id: $id) { ... on Reservation { number } } }',
    { id },
  )
  expect(reservations.nodes.map((one: { number: string }) => one.number)).toContain(number)
  expect(node).toEqual({ number })

  const { releaseReservation } = await gateway.data(RELEASE, { input: { idempotencyKey: 'release-1', id } })
  expect(releaseReservation).toMatchObject({
    writeback: { state: 'CONFIRMED' },
    reservation: { status: 'RELEASED', lines: [{ open: { value: '0' } }] },
  })
  expect(free()).toEqual(before)
})

test('who asks for more than there is reads how much is missing, and in which line', async () => {
  const there = free().toFixed()
  const wanted = new Big(there).plus(3).toFixed()
  const { reserveStock } = await gateway.data(RESERVE, {
    input: {
      idempotencyKey: 'reserve-too-much',
      lines: [
        { productId: idOf('product', 'erp', 'A00002'), quantity: '1', warehouse: SZX },
        { productId, quantity: wanted, warehouse: SZX },
      ],
    },
  })
  expect(reserveStock.reservation).toBeNull()
  expect(reserveStock.writeback).toMatchObject({
    state: 'REJECTED',
    problem: { code: 'REJECTED', line: '2' },
  })
  expect(reserveStock.writeback.problem.details).toEqual(
    expect.arrayContaining([
      { name: 'required', value: wanted },
      { name: 'available', value: there },
    ]),
  )
})

test('what was set aside is sent out; what comes in is received; what was sent cannot be called off', async () => {
  const { reserveStock } = await gateway.data(RESERVE, {
    input: {
      idempotencyKey: 'reserve-2',
      orderNumber: '1009',
      lines: [{ productId, quantity: '2', warehouse: SZX }],
    },
  })
  const out = await gateway.data(DELIVER, {
    input: {
      idempotencyKey: 'deliver-1',
      direction: 'OUTBOUND',
      orderNumber: '1009',
      reservationId: reserveStock.reservation.id,
      warehouse: SZX,
      shipTo: { name: '王芳', phone: '13800138000', address: { city: '上海市', street: '浦东大道 1 号' } },
      lines: [{ productId, quantity: '2' }],
    },
  })
  expect(out.createDelivery).toMatchObject({
    writeback: { state: 'CONFIRMED', problem: null },
    delivery: {
      direction: 'OUTBOUND',
      status: 'OPEN',
      orderNumbers: ['1009'],
      orders: [{ number: '1009' }],
      reservation: { number: reserveStock.reservation.number },
      lines: [{ quantity: { value: '2' } }],
    },
  })
  const { id } = out.createDelivery.delivery
  const shipped = await act('shipDelivery', { id })
  expect(shipped.data.shipDelivery).toEqual({
    writeback: { state: 'CONFIRMED' },
    delivery: { status: 'CLOSED' },
  })
  const recalled = await act('cancelDelivery', { id })
  expect(recalled.data.cancelDelivery.writeback.state).toBe('REJECTED')

  const stock = () => new Big(world.get('wmsStock', stockIdOf(skuIdOf(1), SZX))?.onHand ?? 0)
  const before = stock()
  const back = await gateway.data(DELIVER, {
    input: {
      idempotencyKey: 'deliver-2',
      direction: 'INBOUND',
      warehouse: SZX,
      lines: [{ productId, quantity: '5' }],
    },
  })
  const received = await act('receiveDelivery', { id: back.createDelivery.delivery.id })
  expect(received.data.receiveDelivery.delivery.status).toBe('CLOSED')
  expect(stock()).toEqual(before.plus(5))
})

test('a system that cannot is said to be unable, by name', async () => {
  const { deliveries } = await gateway.data('{ deliveries(system: "erp", first: 1) { nodes { id } } }')
  const refused = await act('shipDelivery', { id: deliveries.nodes[0].id })
  expect(codesOf(refused)).toEqual(['UNSUPPORTED'])
  expect(refused.errors?.[0]?.extensions.system).toBe('erp')
  const nowhere = await gateway.ask(RESERVE, {
    input: { idempotencyKey: 'erp-cannot', system: 'erp', lines: [{ productId, quantity: '1' }] },
  })
  expect(nowhere.errors?.[0]).toMatchObject({
    message: 'There is no such one among the systems that can set stock aside: wms.',
    extensions: { code: 'BAD_USER_INPUT' },
  })
})

test('what nobody has is no node, whoever adds fields to its type', async () => {
  const query = `query ($id: ID!) { node(id: $id) { id ... on Customer { name orders { number } balances { asOf } } } }`
  for (const [type, system, key] of [
    ['customer', 'erp', 'C00000'],
    ['customer', 'crm', '1'],
    ['product', 'wms', 'SKU1'],
    ['order', 'erp', '999999'],
    ['reservation', 'wms', 'RS-NONE'],
  ] as const) {
    expect(await gateway.ask(query, { id: idOf(type, system, key) })).toMatchObject({ data: { node: null } })
  }
  const { node } = await gateway.data(query, { id: idOf('customer', 'crm', '70007') })
  expect(node).toMatchObject({
    name: '上海晨光精密机械有限公司',
    orders: expect.arrayContaining([{ number: '1009' }]),
  })
})

test('all that an adapter declares can be read: ports, lookups, actions, stages and how changes are known', async () => {
  const { system } = await gateway.data(`{ system(id: "wms") {
    capabilities { record action writes targets takes batchLimit }
    feeds { pollEvery polled webhook registration stream }
  } }`)
  const declared = Object.entries(gateway.system('wms').adapter.ports).flatMap(([record, port]) => [
    `${record} read`,
    ...Object.keys(port?.lookups ?? {}).map((name) => `${record} ${name}`),
    ...Object.keys(port?.actions ?? {}).map((name) => `${record} ${name}`),
    ...(['list', 'changes', 'create', 'update'] as const).flatMap((name) =>
      port?.[name] ? [`${record} ${name}`] : [],
    ),
  ])
  const shown = system.capabilities.map(
    (one: { record: string; action: string }) => `${one.record} ${one.action}`,
  )
  expect(shown.sort()).toEqual(declared.sort())
  expect(declared).toContain('reservation byOrderNumber')
  const of = (record: string, action: string) =>
    system.capabilities.find(
      (one: { record: string; action: string }) => one.record === record && one.action === action,
    )
  expect(of('reservation', 'release')).toMatchObject({
    writes: 'ON',
    targets: ['EFFECTIVE'],
    takes: [],
    batchLimit: null,
  })
  expect(of('delivery', 'read')).toMatchObject({
    writes: null,
    targets: null,
    takes: null,
    batchLimit: expect.any(Number),
  })
  expect(system.feeds).toEqual({
    pollEvery: null,
    polled: expect.arrayContaining(['inventoryLevel', 'reservation', 'delivery']),
    webhook: false,
    registration: false,
    stream: false,
  })
})
