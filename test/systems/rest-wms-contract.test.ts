/** The published contract says what the simulator does and what the adapter sends; each is held against the other. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { silentLog } from '../../src/observe/log.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { createRestWms } from '../../src/systems/rest-wms/adapter.ts'
import { restWmsConfig } from '../../src/systems/rest-wms/config.ts'
import { startRestWmsSimulator } from '../../src/systems/rest-wms/simulator.ts'
import { readContract } from './openapi.ts'

const { at, schemaOf } = readContract(new URL('../../src/systems/rest-wms/openapi.yaml', import.meta.url))

const templateOf = (path: string): string =>
  path.replace(/\?.*$/, '').replace(/^(\/api\/v1\/[a-z]+)\/[^/]+\/([a-z]+)$/, '$1/{id}/$2')

const AUTH = { type: 'signature', apiKey: 'contract-key', secret: 'contract-secret' } as const
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const sign = (body: string, timestamp = String(Date.now()), secret: string = AUTH.secret) => ({
  authorization: `ApiKey ${AUTH.apiKey}`,
  'x-timestamp': timestamp,
  'x-signature': createHash('sha256').update(`${timestamp}${AUTH.apiKey}${body}${secret}`).digest('hex'),
})

async function start() {
  const events: { headers: Record<string, unknown>; body: unknown }[] = []
  const receiver = await startSimulatorServer({
    handle({ headers, body }) {
      events.push({ headers, body: JSON.parse(String(body)) })
      return { status: 204 }
    },
  })
  cleanups.push(() => receiver.close())
  const world = new World({ customers: 5, products: 5, orders: 0 })
  const wms = await startRestWmsSimulator(world, {
    auth: AUTH,
    webhook: { url: receiver.url, secret: AUTH.secret, apiKey: AUTH.apiKey },
    keepEvents: 100,
  })
  cleanups.push(() => wms.close())

  /** Sends a raw request; the answer must be one that the contract describes for that operation and status. */
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
    const response = await fetch(`${wms.url}${path}`, {
      method,
      headers: {
        ...sign(text),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: text }),
    })
    const answer = (await response.json()) as {
      code: number
      data: Record<string, unknown> & { items: Record<string, unknown>[] }
      details?: Record<string, unknown>
    }
    const responses = ['paths', templateOf(path), method.toLowerCase(), 'responses']
    const described =
      at(...responses, String(response.status)) ??
      at(...responses, 'default') ??
      at('components', 'responses', 'Error')
    const checked = schemaOf(described).safeParse(answer)
    expect(checked.error && z.prettifyError(checked.error)).toBeUndefined()
    if (answer.code !== 0) expect(at('info')?.description).toContain(`| ${answer.code} |`)
    return { status: response.status, ...answer }
  }
  return { world, wms, events, ask }
}

test('the schemas are strict enough to notice a difference', () => {
  const schema = schemaOf(at('paths', '/api/v1/inventory', 'get', 'responses', '200'))
  const row = {
    skuId: '1',
    warehouseId: '1',
    unit: '个',
    onHandQty: 1,
    reservedQty: 0,
    availableQty: 1,
    incomingQty: 0,
    updateTime: '2026-03-01T00:00:00Z',
  }
  const answer = (item: object) => ({ code: 0, message: 'success', timestamp: 1, data: { items: [item] } })
  expect(schema.safeParse(answer(row)).success).toBe(true)
  expect(schema.safeParse(answer({ ...row, onHandQty: '1' })).success).toBe(false)
  expect(schema.safeParse(answer({ ...row, colour: 'red' })).success).toBe(false)
  expect(schema.safeParse({ ...answer(row), code: 1 }).success).toBe(false)
})

const reservation = (more: object = {}) => ({
  externalRef: 'r-1',
  lines: [{ skuId: 'SKU500026', warehouseId: 'WH-SZX-01', qty: 2 }],
  ...more,
})
const delivery = (more: object = {}) => ({
  externalRef: 'd-1',
  direction: 'OUT',
  deliveryType: 'SALES',
  warehouseId: 'WH-SZX-01',
  lines: [{ skuId: 'SKU500026', qty: 2 }],
  ...more,
})

describe('the simulator answers as the contract says', () => {
  test('to reads', async () => {
    const { ask } = await start()
    const ids = async (path: string, id: string) => (await ask('GET', path)).data.items.map((one) => one[id])
    expect(await ids('/api/v1/warehouses?ids=WH-LAX-02,1', 'warehouseId')).toEqual(['WH-LAX-02'])
    expect(await ids('/api/v1/skus?search=PLC', 'skuId')).toEqual(['SKU500065'])
    expect(await ids('/api/v1/skus?limit=2&after=SKU500027', 'skuId')).toEqual(['SKU500039', 'SKU500052'])
    expect(await ids('/api/v1/inventory?skuIds=SKU500013', 'warehouseId')).toHaveLength(2)
    expect(await ids('/api/v1/inventory?after=SKU500052,WH-SZX-01', 'skuId')).toEqual([
      'SKU500065',
      'SKU500065',
    ])
    expect(await ids('/api/v1/reservations?orderNumbers=1009', 'reservationId')).toEqual(['RS-000001'])
    expect(await ids('/api/v1/deliveries', 'deliveryId')).toEqual(['IB-000002', 'OB-000001'])
    expect(await ids('/api/v1/deliveries?externalRef=none', 'deliveryId')).toEqual([])
    const page = await ask('GET', '/api/v1/inventory?limit=3')
    expect(page.data.pagination).toEqual({ limit: 3, hasMore: true })
  })

  test('to writes', async () => {
    const { ask } = await start()
    const made = await ask('POST', '/api/v1/reservations', reservation({ orderNo: 'SO 1', remark: '急' }))
    expect(made).toMatchObject({
      status: 201,
      data: { reservationId: 'RS-000002', status: 'ACTIVE', revision: 1 },
    })
    const again = await ask('POST', '/api/v1/reservations', reservation({ orderNo: 'other' }))
    expect(again).toMatchObject({ status: 409, code: 40901, details: { reservationId: 'RS-000002' } })
    const short = await ask(
      'POST',
      '/api/v1/reservations',
      reservation({
        externalRef: 'r-2',
        lines: [{ skuId: 'SKU500026', warehouseId: 'WH-SZX-01', qty: 145 }],
      }),
    )
    expect(short).toMatchObject({
      status: 400,
      code: 40001,
      details: { skuId: 'SKU500026', warehouseId: 'WH-SZX-01', line: 1, required: 145, available: 144 },
    })
    const out = await ask(
      'POST',
      '/api/v1/deliveries',
      delivery({ reservationId: 'RS-000002', recipient: { name: '王芳' } }),
    )
    expect(out).toMatchObject({ status: 201, data: { deliveryId: 'OB-000003', status: 'CREATED' } })
    const act = (path: string, headers = {}) => ask('POST', `/api/v1/${path}`, {}, headers)
    expect(await act('reservations/RS-000002/release')).toMatchObject({ code: 40902 })
    expect(await act('deliveries/OB-000003/ship', { 'if-match': '"7"' })).toMatchObject({
      code: 41200,
      details: { currentRevision: 1 },
    })
    expect(await act('deliveries/OB-000003/ship', { 'if-match': '"1"' })).toMatchObject({
      data: { status: 'SHIPPED', revision: 2 },
    })
    expect(await act('deliveries/OB-000003/ship')).toMatchObject({ data: { revision: 2 } })
    expect(await act('deliveries/OB-000003/cancel')).toMatchObject({
      code: 40902,
      details: { status: 'SHIPPED' },
    })
    expect(await act('deliveries/IB-000002/receive')).toMatchObject({ data: { status: 'RECEIVED' } })
    expect(await act('reservations/RS-000001/release')).toMatchObject({ data: { status: 'RELEASED' } })
  })

  test('to those who follow the feed', async () => {
    const { ask } = await start()
    const end = await ask('GET', '/api/v1/events')
    expect(end.data).toMatchObject({ items: [], hasMore: false })
    await ask('POST', '/api/v1/reservations', reservation())
    await ask('POST', '/api/v1/deliveries/IB-000002/receive', {})
    const first = await ask('GET', `/api/v1/events?cursor=${end.data.nextCursor}&limit=2`)
    expect(first.data).toMatchObject({
      hasMore: true,
      items: [
        {
          eventType: 'INVENTORY_CHANGED',
          skuId: 'SKU500026',
          warehouseId: 'WH-SZX-01',
          beforeQty: 146,
          afterQty: 146,
          changeType: 'RESERVE',
          afterAvailableQty: 144,
          reference: 'RS-000002',
        },
        { eventType: 'RESERVATION_CHANGED', reservationId: 'RS-000002', status: 'ACTIVE', change: 'created' },
      ],
    })
    const rest = await ask('GET', `/api/v1/events?cursor=${first.data.nextCursor}&types=INVENTORY_CHANGED`)
    expect(rest.data).toMatchObject({
      hasMore: false,
      items: [{ beforeQty: 0, afterQty: 20, changeType: 'IN', warehouseId: 'WH-LAX-02' }],
    })
    expect((await ask('GET', '/api/v1/events?cursor=c999')).code).toBe(41000)
  })

  const post = (body: unknown) => ['POST', '/api/v1/reservations', body] as const
  const send = (more: object) => ['POST', '/api/v1/deliveries', delivery(more)] as const
  const line = (more: object) =>
    post(reservation({ lines: [{ skuId: 'SKU500026', warehouseId: 'WH-SZX-01', qty: 2, ...more }] }))
  test.each([
    [['GET', '/api/v1/orders'], 40400, undefined],
    [['GET', '/'], 40400, undefined],
    [['POST', '/api/v1/reservations/RS-000001/ship', {}], 40400, undefined],
    [['POST', '/api/v1/reservations/RS-9/release', {}], 40401, undefined],
    [['POST', '/api/v1/deliveries/OB-9/ship', {}], 40402, undefined],
    [['DELETE', '/api/v1/reservations'], 40500, undefined],
    [['GET', '/api/v1/deliveries/OB-000001/ship'], 40500, undefined],
    [['GET', '/api/v1/skus?limit=101'], 40002, 'limit'],
    [['GET', '/api/v1/skus?colour=red'], 40000, 'colour'],
    [['GET', '/api/v1/skus?ids=1&search=x'], 40000, 'search'],
    [['GET', '/api/v1/skus?ids=1,,2'], 40002, 'ids'],
    [['GET', `/api/v1/inventory?skuIds=${Array(101).fill('1').join(',')}`], 40002, 'skuIds'],
    [['GET', '/api/v1/inventory?after=SKU500052'], 40002, 'after'],
    [['GET', '/api/v1/inventory?search=x'], 40000, 'search'],
    [['GET', '/api/v1/events?cursor=x'], 40002, 'cursor'],
    [['GET', '/api/v1/events?types=ORDER_CREATED'], 40002, 'types'],
    [['POST', '/api/v1/reservations/RS-000001/release', { force: true }], 40000, 'force'],
    [post('{"lines":'), 40000, undefined],
    [post([]), 40000, undefined],
    [post({ lines: [] }), 40002, 'lines'],
    [post(reservation({ externalRef: undefined })), 40002, 'externalRef'],
    [post(reservation({ externalRef: 'a b' })), 40002, 'externalRef'],
    [post(reservation({ status: 'RELEASED' })), 40000, 'status'],
    [post(reservation({ expireTime: '2020-01-01T00:00:00Z' })), 40002, 'expireTime'],
    [post(reservation({ orderNo: 'a,b' })), 40002, 'orderNo'],
    [line({ qty: '2' }), 40002, 'lines[0].qty'],
    [line({ qty: 0 }), 40002, 'lines[0].qty'],
    [line({ qty: 1.5 }), 40002, 'lines[0].qty'],
    [line({ skuId: '1' }), 40002, 'lines[0].skuId'],
    [line({ warehouseId: '01' }), 40002, 'lines[0].warehouseId'],
    [line({ price: 1 }), 40000, 'lines[0].price'],
    [send({ deliveryType: undefined }), 40002, 'deliveryType'],
    [send({ deliveryType: 'PURCHASE' }), 40002, 'deliveryType'],
    [send({ direction: 'UP' }), 40002, 'direction'],
    [send({ planDate: '2026-02-30' }), 40002, 'planDate'],
    [send({ reservationId: 'RS-9' }), 40002, 'reservationId'],
    [send({ recipient: { phone: '1' } }), 40002, 'recipient.name'],
    [send({ recipient: { name: 'x', country: 'China' } }), 40002, 'recipient.country'],
    [send({ attributes: { n: 1 } }), 40002, 'attributes.n'],
  ] as const)('to what it refuses: %j is %i, field %s', async ([method, path, body], code, field) => {
    const { ask, world } = await start()
    const before = world.count('wmsEvents')
    const answer = await ask(method, path, body)
    expect(answer).toMatchObject({ code, status: Math.floor(code / 100), data: null })
    expect(answer.details?.field).toBe(field)
    expect(world.count('wmsEvents')).toBe(before)
  })

  test('to strangers, to replays, to other content types', async () => {
    const { ask } = await start()
    const path = '/api/v1/skus'
    expect((await ask('GET', path, undefined, { authorization: 'ApiKey x' })).code).toBe(40100)
    expect((await ask('GET', path, undefined, sign('', String(Date.now() - 301_000)))).code).toBe(40101)
    expect((await ask('GET', path, undefined, sign('', String(Date.now() + 301_000)))).code).toBe(40101)
    expect((await ask('GET', path, undefined, sign('', undefined, 'x'))).code).toBe(40102)
    const body = JSON.stringify(reservation())
    expect((await ask('POST', '/api/v1/reservations', body, sign(body.replace('2', '3')))).code).toBe(40102)
    expect((await ask('POST', '/api/v1/reservations', body, { 'content-type': 'text/plain' })).code).toBe(
      41500,
    )
    expect((await ask('POST', '/api/v1/reservations', '"'.padEnd(300_000))).code).toBe(41300)
  })

  test('with events', async () => {
    const { ask, events } = await start()
    await ask('POST', '/api/v1/reservations', reservation())
    await ask('POST', '/api/v1/reservations/RS-000002/release', {})
    await ask('POST', '/api/v1/reservations/RS-000002/release', {})
    await ask('POST', '/api/v1/deliveries/IB-000002/receive', {})
    for (let waited = 0; events.length < 6 && waited < 3_000; waited += 10) await delay(10)
    await delay(50)
    // The second release changed nothing. Deliveries may overtake each other.
    expect(events).toHaveLength(6)
    const schema = schemaOf(at('webhooks', 'change', 'post', 'requestBody'))
    for (const event of events) {
      const checked = schema.safeParse(event.body)
      expect(checked.error && z.prettifyError(checked.error)).toBeUndefined()
    }
  })
})

describe('the adapter asks for nothing else', () => {
  const config = restWmsConfig.parse({
    baseUrl: 'http://127.0.0.1:1',
    auth: AUTH,
    customFields: { reservation: { a: 'attributes.a' }, delivery: { a: 'attributes.a' } },
  })
  const { ports } = createRestWms(config, { systemId: 'wms', log: silentLog, timeoutMs: 1_000 })
  const write = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: 'x' }

  test('its bodies have the form that the contract gives, and every field is used', () => {
    const common = { orderNumber: 'SO 1', comments: 'c', customFields: { a: 'b' } }
    const reserve = ports.reservation?.create?.preview(
      {
        ...common,
        expiresAt: '2027-01-01T00:00:00Z',
        lines: [{ product: 'p', quantity: '2.50', warehouse: 'w' }],
      },
      write,
    )
    const create = ports.delivery?.create?.preview(
      {
        ...common,
        direction: 'OUTBOUND',
        reservation: 'RS-1',
        warehouse: 'w',
        date: '2026-12-31',
        shipTo: {
          name: 'n',
          phone: 'p',
          address: { street: 's', city: 'c', province: 'p', postalCode: '1', country: 'CN' },
        },
        lines: [{ product: 'p', quantity: '2' }],
      },
      write,
    )
    const actions = [
      ports.reservation?.actions?.release,
      ports.delivery?.actions?.ship,
      ports.delivery?.actions?.receive,
      ports.delivery?.actions?.cancel,
    ].map((action) => action?.preview({ key: '1', expectedVersion: '1' }, write))
    const fieldsOf = (schema: string) => Object.keys(at('components', 'schemas', schema, 'properties') ?? {})
    for (const request of [reserve, create, ...actions]) {
      const operation = at(
        'paths',
        templateOf(request?.path ?? ''),
        (request?.method ?? '').toLowerCase(),
        'requestBody',
      )
      const checked = schemaOf(operation).safeParse(JSON.parse(request?.body ?? ''))
      expect(checked.error && z.prettifyError(checked.error)).toBeUndefined()
    }
    expect(Object.keys(JSON.parse(reserve?.body ?? '')).sort()).toEqual(fieldsOf('NewReservation').sort())
    const made = JSON.parse(create?.body ?? '')
    expect(Object.keys(made).sort()).toEqual(fieldsOf('NewDelivery').sort())
    expect(Object.keys(made.recipient).sort()).toEqual(fieldsOf('Recipient').sort())
  })

  test('its standard names and paths are those of the contract', () => {
    const schemas = {
      warehouse: 'Warehouse',
      product: 'Sku',
      stock: 'Stock',
      reservation: 'Reservation',
      reservationLine: 'ReservationLine',
      delivery: 'Delivery',
      deliveryLine: 'DeliveryLine',
      recipient: 'Recipient',
    } as const
    for (const [ours, theirs] of Object.entries(schemas)) {
      const known = Object.keys(at('components', 'schemas', theirs, 'properties') ?? {})
      for (const name of Object.values(config.fields[ours as keyof typeof schemas]))
        expect(known).toContain(name)
    }
    for (const path of Object.values(config.paths)) expect(at('paths', path)).toBeDefined()
  })
})

test('the samples of the README are settings', () => {
  const readme = readFileSync(new URL('../../src/systems/rest-wms/README.md', import.meta.url), 'utf8')
  const [standard, other] = [...readme.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => parse(text ?? ''))
  const { kind, ...own } = standard
  expect(kind).toBe('rest-wms')
  expect(restWmsConfig.parse({ ...own, ...other })).toMatchObject({
    auth: { type: 'signature' },
    defaultWarehouse: 'WH-SZX-01',
    deliveryTypes: { outbound: 'B2C', inbound: 'PURCHASE' },
    fields: { delivery: { id: 'billNo', orderNumber: 'soNo', status: 'status' } },
  })
})
