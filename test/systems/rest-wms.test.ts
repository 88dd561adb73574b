import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import { type SimulatedRequest, startSimulatorServer } from '../../src/simulation/server.ts'
import { adjustStock, cancelDelivery, ship } from '../../src/simulation/warehousing.ts'
import { World } from '../../src/simulation/world.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import type { Adapter, ChangePage, WebhookRequest, WriteContext } from '../../src/systems/port.ts'
import type { RecordType } from '../../src/systems/records.ts'
import { createRestWms } from '../../src/systems/rest-wms/adapter.ts'
import { restWmsConfig } from '../../src/systems/rest-wms/config.ts'
import { type RestWmsSimulatorOptions, startRestWmsSimulator } from '../../src/systems/rest-wms/simulator.ts'

const AUTH = { type: 'signature', apiKey: 'wms-key-41', secret: 'wms-secret-7f3a9e' } as const
const context = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: '王芳' }
const another: WriteContext = { externalReference: 'fedcba9876543210fedcba9876543210', onBehalfOf: '李强' }

// The provider's numbers of the first products, and its warehouses.
const [BEARING, MOTOR, GUIDE, COUPLING, CONTROLLER] = [
  'SKU500013',
  'SKU500026',
  'SKU500039',
  'SKU500052',
  'SKU500065',
]
const [SZX, LAX, HAM] = ['WH-SZX-01', 'WH-LAX-02', 'WH-HAM-03']

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Settings = Record<string, unknown>

function connect(baseUrl: string, settings: Settings = {}, timeoutMs = 2_000) {
  const config = restWmsConfig.parse({ baseUrl, auth: AUTH, ...settings })
  const adapter = createRestWms(config, { systemId: 'wms', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  return { adapter, ...portsOf(adapter) }
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('not there')
  return value
}

function portsOf({ ports }: Adapter) {
  const { warehouse, product, inventoryLevel, reservation, delivery } = ports
  const whole = <P extends { list?: unknown }>(port: P | undefined) => {
    const found = must(port)
    return { ...found, list: must(found.list) as NonNullable<P['list']> }
  }
  const told = <P extends { list?: unknown; changes?: unknown }>(port: P | undefined) => {
    const found = whole(port)
    return { ...found, changes: must(found.changes) as NonNullable<P['changes']> }
  }
  return {
    warehouse: whole(warehouse),
    product: whole(product),
    stock: { ...told(inventoryLevel), byProduct: must(inventoryLevel?.lookups?.byProduct) },
    reservation: {
      ...told(reservation),
      byOrderNumber: must(reservation?.lookups?.byOrderNumber),
      create: must(reservation?.create),
      release: must(reservation?.actions?.release),
    },
    delivery: {
      ...told(delivery),
      byOrderNumber: must(delivery?.lookups?.byOrderNumber),
      create: must(delivery?.create),
      ship: must(delivery?.actions?.ship),
      receive: must(delivery?.actions?.receive),
      cancel: must(delivery?.actions?.cancel),
    },
  }
}

interface StartOptions extends Partial<RestWmsSimulatorOptions> {
  readonly settings?: Settings
  readonly timeoutMs?: number
}

async function start({ settings, timeoutMs, ...options }: StartOptions = {}) {
  const world = new World({ customers: 5, products: 7, orders: 0 })
  const wms = await startRestWmsSimulator(world, { auth: AUTH, ...options })
  cleanups.push(() => wms.close())
  return { world, wms, ...connect(wms.url, settings, timeoutMs) }
}

function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}
const failureOf = (outcome: Outcome<unknown> | undefined) =>
  outcome && !outcome.ok ? outcome.failure : undefined

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 5_000) throw new Error('waited in vain')
    await delay(10)
  }
}

/** A listener for webhooks; refuses the first few. */
async function startReceiver(refuseFirst = 0) {
  const received: WebhookRequest[] = []
  let left = refuseFirst
  const server = await startSimulatorServer({
    handle(request) {
      received.push({ headers: request.headers as WebhookRequest['headers'], body: request.body })
      return { status: left-- > 0 ? 503 : 204 }
    },
  })
  cleanups.push(() => server.close())
  return { url: `${server.url}/hooks/wms`, received }
}

const pieces = (value: string, vendorUnit = '个') => ({ value, unit: null, vendorUnit })

describe('what lies where is read', () => {
  test('a product carries the bar code by which other systems know it', async () => {
    const { product } = await start()
    const [outcome] = await product.readMany([BEARING], context)
    expect(given(outcome)).toEqual({
      key: 'SKU500013',
      sku: 'SKU500013',
      name: '精密轴承 6204',
      barcode: '6900000104729',
      unit: '个',
      active: true,
      createdAt: '2026-01-05T00:00:00.000Z',
      updatedAt: '2026-01-05T00:00:00.000Z',
    })
  })

  test('warehouses are those of the provider', async () => {
    const { warehouse } = await start()
    const page = given(await warehouse.list({ first: 10 }, context))
    expect(page.items.map(({ record }) => record)).toEqual([
      { key: 'WH-HAM-03', name: 'Hamburg Süd' },
      { key: 'WH-LAX-02', name: 'Los Angeles 海外仓' },
      { key: 'WH-SZX-01', name: '深圳前海保税仓' },
    ])
  })

  test('answers stand in the order of the keys, missing ones are null, repeated ones are asked once', async () => {
    const { product, wms } = await start()
    const keys = [CONTROLLER, 'SKU1', GUIDE, CONTROLLER, '', '..', 'a,b'].map(String)
    const outcomes = await product.readMany(keys, context)
    expect(outcomes.map((outcome) => given(outcome)?.name ?? null)).toEqual([
      '控制器 PLC-200',
      null,
      '线性导轨 1m',
      '控制器 PLC-200',
      null,
      null,
      null,
    ])
    expect(wms.calls).toEqual(['GET /api/v1/skus?ids=SKU500065%2CSKU1%2CSKU500039'])
  })

  test('a stock level says what is there, set aside, free and announced', async () => {
    const { stock, wms } = await start({ settings: { unitCodes: { 台: 'H87' } } })
    const keys = [`${GUIDE}/${SZX}`, `${MOTOR}/${LAX}`, `${BEARING}/${HAM}`, 'x', `${GUIDE}/${SZX}`]
    const outcomes = await stock.readMany(keys, context)
    expect(outcomes.map(given)).toEqual([
      // 199 there, 12 of them set aside for order 1009.
      {
        key: 'SKU500039/WH-SZX-01',
        product: 'SKU500039',
        warehouse: 'WH-SZX-01',
        onHand: pieces('199', '根'),
        reserved: pieces('12', '根'),
        available: pieces('187', '根'),
        incoming: pieces('0', '根'),
        updatedAt: '2026-06-24T10:00:00.000Z',
      },
      expect.objectContaining({
        onHand: { value: '0', unit: 'H87', vendorUnit: '台' },
        incoming: { value: '20', unit: 'H87', vendorUnit: '台' },
      }),
      null,
      null,
      expect.objectContaining({ key: 'SKU500039/WH-SZX-01' }),
    ])
    expect(wms.calls).toHaveLength(1)
  })

  test('the levels of many products come in one call, cut to the limit', async () => {
    const { stock, wms } = await start()
    const outcomes = await stock.byProduct.read([COUPLING, 'SKU1', BEARING, COUPLING].map(String), context)
    expect(
      outcomes.map((outcome) => given(outcome).map((level) => [level.warehouse, level.onHand.value])),
    ).toEqual([
      [
        [LAX, '49'],
        [SZX, '252'],
      ],
      [],
      [
        [LAX, '190'],
        [SZX, '87'],
      ],
      expect.anything(),
    ])
    expect(wms.calls).toEqual(['GET /api/v1/inventory?skuIds=SKU500052%2CSKU1%2CSKU500013'])
    wms.clearCalls()
    const two = connect(wms.url, { batchLimit: 2 })
    await two.stock.byProduct.read([COUPLING, MOTOR, BEARING].map(String), context)
    expect(wms.calls).toHaveLength(2)
  })

  test('a row that cannot be read fails alone, and the list of its product with it', async () => {
    const { stock, world } = await start()
    const row = must(world.get('wmsStock', `${GUIDE}@${LAX}`))
    world.put('wmsStock', { ...row, incoming: '"soon"' })
    const outcomes = await stock.readMany([`${GUIDE}/${SZX}`, `${GUIDE}/${LAX}`], context)
    expect(outcomes.map((outcome) => outcome.ok)).toEqual([true, false])
    expect(failureOf(outcomes[1])).toMatchObject({
      kind: 'invalid-response',
      detail: expect.stringContaining('stock SKU500039/WH-LAX-02'),
    })
    expect((await stock.byProduct.read([String(GUIDE)], context))[0]?.ok).toBe(false)
    // The list leaves it out.
    const levels = given(await stock.list({ first: 50 }, context)).items.map(({ record }) => record.key)
    expect(levels).toContain(`${GUIDE}/${SZX}`)
    expect(levels).not.toContain(`${GUIDE}/${LAX}`)
  })

  test('figures keep every digit, and texts every character', async () => {
    const { stock, product, world } = await start()
    const row = must(world.get('wmsStock', `${GUIDE}@${LAX}`))
    world.put('wmsStock', { ...row, onHand: '123456789012345678.1234567890', reserved: '0.10' })
    const sku = must(world.get('wmsSkus', String(GUIDE)))
    world.put('wmsSkus', { ...sku, name: 'Ａ１ 导轨 🛤️ 𠮷', barcode: '', unit: '' })
    const [level] = await stock.readMany([`${GUIDE}/${LAX}`], context)
    expect(given(level)).toMatchObject({
      onHand: { value: '123456789012345678.1234567890', vendorUnit: null },
      reserved: { value: '0.10' },
      available: { value: '123456789012345678.023456789' },
    })
    const [read] = await product.readMany([String(GUIDE)], context)
    expect(given(read)).toMatchObject({ name: 'Ａ１ 导轨 🛤️ 𠮷', barcode: null, unit: null })
  })

  test('pages are complete while records are added', async () => {
    const { stock, world } = await start()
    const places = world.all('wmsStock').map(({ skuId, warehouseId }) => `${skuId}/${warehouseId}`)
    const keys: string[] = []
    let after: string | undefined
    for (let page = 0; ; page++) {
      const answer = given(await stock.list({ first: 4, after }, context))
      keys.push(...answer.items.map(({ record }) => record.key))
      after = answer.items.at(-1)?.position
      adjustStock(world, `SKU0${page}`, SZX, '1') // before all others
      if (!answer.hasMore) break
    }
    expect(keys).toEqual([...places].sort())
  })

  test('more than one page of the WMS fills one page of ours', async () => {
    const { product } = await start({ settings: { pageLimit: 2 } })
    const answer = given(await product.list({ first: 5 }, context))
    expect(answer.items.map(({ record }) => record.key)).toEqual([
      BEARING,
      MOTOR,
      GUIDE,
      COUPLING,
      CONTROLLER,
    ])
    expect(answer.hasMore).toBe(true)
  })

  test('products are searched; what cannot be searched is said to be unsupported', async () => {
    const { product, stock, reservation } = await start()
    const found = given(await product.list({ first: 5, filter: { search: 'plc' } }, context))
    expect(found.items.map(({ record }) => record.key)).toEqual([CONTROLLER])
    expect(failureOf(await stock.list({ first: 5, filter: { search: 'x' } }, context))?.kind).toBe(
      'unsupported',
    )
    expect(failureOf(await reservation.list({ first: 5, filter: { customer: '1' } }, context))?.kind).toBe(
      'unsupported',
    )
  })

  test('a position that is none is rejected, not answered with the first page', async () => {
    const { stock } = await start()
    expect(failureOf(await stock.list({ first: 5, after: 'nonsense' }, context))).toMatchObject({
      kind: 'rejected',
      code: '40002',
      field: 'after',
    })
  })
})

describe('stock is set aside', () => {
  const input = {
    orderNumber: '1012',
    comments: '首单 🚚',
    lines: [
      { product: String(MOTOR), quantity: '4', warehouse: SZX },
      { product: String(CONTROLLER), quantity: '5', warehouse: HAM },
    ],
  }

  test('for an order, once, in the name of the one who asked', async () => {
    const { reservation, stock, world } = await start()
    const result = given(await reservation.create.send(input, write, context))
    expect(result).toEqual({
      key: 'RS-000002',
      reached: 'effective',
      record: {
        key: 'RS-000002',
        number: 'RS-000002',
        version: '1',
        orderNumber: '1012',
        externalReference: write.externalReference,
        status: 'ACTIVE',
        vendorStatus: 'ACTIVE',
        expiresAt: null,
        comments: '首单 🚚',
        lines: [
          {
            id: '1',
            product: MOTOR,
            warehouse: SZX,
            quantity: pieces('4', '台'),
            open: pieces('4', '台'),
          },
          {
            id: '2',
            product: CONTROLLER,
            warehouse: HAM,
            quantity: pieces('5', '台'),
            open: pieces('5', '台'),
          },
        ],
        createdAt: expect.stringMatching(/Z$/),
        updatedAt: expect.stringMatching(/Z$/),
      },
    })
    expect(world.get('wmsReservations', 'RS-000002')?.operator).toBe('王芳')
    const [level] = await stock.readMany([`${MOTOR}/${SZX}`], context)
    expect(given(level)).toMatchObject({
      onHand: { value: '146' },
      reserved: { value: '4' },
      available: { value: '142' },
    })
    // The same write again has no further effect.
    expect(given(await reservation.create.send(input, write, context))).toEqual({
      key: 'RS-000002',
      reached: 'effective',
    })
    expect(world.get('wmsStock', `${MOTOR}@${SZX}`)?.reserved).toBe('4')
  })

  test('or not at all: too little is refused with what is wanted and what is there', async () => {
    const { reservation, world } = await start()
    const lines = [
      { product: String(MOTOR), quantity: '4', warehouse: SZX },
      { product: String(GUIDE), quantity: '187', warehouse: SZX },
      { product: String(GUIDE), quantity: '3', warehouse: SZX },
    ]
    expect(failureOf(await reservation.create.send({ lines }, write, context))).toEqual({
      kind: 'rejected',
      code: '40001',
      message: '库存不足',
      line: '2',
      details: { skuId: GUIDE, warehouseId: SZX, line: '2', required: '190', available: '187' },
    })
    expect(world.get('wmsStock', `${MOTOR}@${SZX}`)?.reserved).toBe('0')
    expect(given(await reservation.create.verify({ lines }, write, context))).toEqual({
      effect: 'none',
      proven: true,
      evidence: 'no reservation has the reference, and the WMS takes each reference only once',
    })
  })

  test('in the configured warehouse and for the configured time where the caller names none', async () => {
    const { reservation } = await start({ settings: { defaultWarehouse: SZX, reservationMinutes: 30 } })
    const before = Date.now()
    const lines = [{ product: String(MOTOR), quantity: '1' }]
    const { record } = given(await reservation.create.send({ lines }, write, context))
    expect(record?.lines[0]?.warehouse).toBe(SZX)
    const minutes = (Date.parse(record?.expiresAt ?? '') - before) / 60_000
    expect(minutes).toBeGreaterThanOrEqual(30)
    expect(minutes).toBeLessThan(31)
  })

  test('nothing is sent that would only be refused', async () => {
    const { reservation, wms } = await start()
    const line = { product: String(MOTOR), quantity: '1', warehouse: SZX }
    const noWarehouse = { lines: [{ product: String(MOTOR), quantity: '1' }] }
    expect(failureOf(await reservation.create.send(noWarehouse, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'WAREHOUSE',
    })
    const exponent = { lines: [line, { ...line, quantity: '1e3' }] }
    expect(failureOf(await reservation.create.send(exponent, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'DECIMAL',
      line: '2',
    })
    const custom = { customFields: { colour: 'red' }, lines: [line] }
    expect(failureOf(await reservation.create.send(custom, write, context))?.kind).toBe('unsupported')
    expect(wms.calls).toEqual([])
  })

  test.each([
    [{ product: 'SKU1', quantity: '1', warehouse: SZX }, '商品不存在', 'lines[0].skuId'],
    [{ product: MOTOR, quantity: '1', warehouse: '01' }, '仓库不存在', 'lines[0].warehouseId'],
    [{ product: MOTOR, quantity: '0.5', warehouse: SZX }, '"台" has no halves.', 'lines[0].qty'],
    [
      { product: MOTOR, quantity: '-1', warehouse: SZX },
      '"lines[0].qty" must be more than 0, with at most 18 digits before and 10 after the point.',
      'lines[0].qty',
    ],
  ])('what the WMS refuses comes back with its code, words and field: %j', async (line, message, field) => {
    const { reservation, world } = await start()
    const lines = [{ ...line, product: String(line.product) }]
    expect(failureOf(await reservation.create.send({ lines }, write, context))).toMatchObject({
      kind: 'rejected',
      code: '40002',
      message,
      field,
    })
    expect(world.count('wmsReservations')).toBe(1)
  })

  test.each(['drop-after', 'truncate', 'hang', 'html'] as const)(
    'a lost answer (%s) is an unknown outcome; looking finds what became of it',
    async (kind) => {
      const { reservation, wms } = await start({ timeoutMs: kind === 'hang' ? 1_000 : 5_000 })
      wms.setFaults([{ kind, match: '^POST' }])
      expect(failureOf(await reservation.create.send(input, write, context))?.kind).toBe('unknown-outcome')
      const verdict = given(await reservation.create.verify(input, write, context))
      if (kind === 'hang' || kind === 'html') expect(verdict).toMatchObject({ effect: 'none', proven: true })
      else expect(verdict).toMatchObject({ effect: 'done', result: { key: 'RS-000002' } })
    },
  )

  test('not finding it proves nothing where references may repeat', async () => {
    const { reservation } = await start({ settings: { uniqueExternalRef: false } })
    expect(given(await reservation.create.verify(input, write, context))).toMatchObject({ proven: false })
  })

  test('a dry run shows the request, without credentials', async () => {
    const { reservation } = await start({
      settings: { customFields: { reservation: { channel: 'attributes.ch' } } },
    })
    const preview = reservation.create.preview(
      { ...input, customFields: { channel: '天猫' }, lines: [{ ...must(input.lines[0]), quantity: '4.50' }] },
      write,
    )
    expect(preview).toEqual({
      method: 'POST',
      path: '/api/v1/reservations',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'x-on-behalf-of': '%E7%8E%8B%E8%8A%B3',
      },
      body:
        '{"externalRef":"0123456789abcdef0123456789abcdef","orderNo":"1012","remark":"首单 🚚",' +
        '"attributes":{"ch":"天猫"},"lines":[{"skuId":"SKU500026","warehouseId":"WH-SZX-01","qty":4.50}]}',
    })
  })

  test('custom fields go there and come back', async () => {
    const settings = { customFields: { reservation: { channel: 'attributes.ch', shop: 'attributes.shop' } } }
    const { reservation } = await start({ settings })
    const custom = { ...input, customFields: { channel: '天猫' } }
    const { key } = given(await reservation.create.send(custom, write, context))
    const [read] = await reservation.readMany([key], context)
    expect(given(read)?.customFields).toEqual({ channel: '天猫', shop: null })
  })

  test('reservations of orders are found by the number that the ordering system prints', async () => {
    const { reservation, wms } = await start({ settings: { pageLimit: 1 } })
    given(await reservation.create.send(input, write, context))
    given(await reservation.create.send({ ...input, orderNumber: 'SO 7' }, another, context))
    wms.clearCalls()
    const outcomes = await reservation.byOrderNumber.read(['1012', '1009', 'none', 'SO 7', '1012'], context)
    expect(outcomes.map((outcome) => given(outcome).map(({ key }) => key))).toEqual([
      ['RS-000002'],
      ['RS-000001'],
      [],
      ['RS-000003'],
      ['RS-000002'],
    ])
    expect(wms.calls).toHaveLength(3)
  })
})

describe('what was set aside is released', () => {
  test('and is free again; releasing it twice changes nothing', async () => {
    const { reservation, stock, world } = await start()
    const release = { key: 'RS-000001', expectedVersion: '1' }
    const result = given(await reservation.release.send(release, write, context))
    expect(result).toMatchObject({
      key: 'RS-000001',
      record: {
        status: 'RELEASED',
        version: '2',
        lines: [{ quantity: { value: '12' }, open: { value: '0' } }],
      },
    })
    const [level] = await stock.readMany([`${GUIDE}/${SZX}`], context)
    expect(given(level)).toMatchObject({ onHand: { value: '199' }, available: { value: '199' } })
    expect(given(await reservation.release.send(release, write, context)).record?.version).toBe('2')
    expect(world.get('wmsStock', `${GUIDE}@${SZX}`)?.reserved).toBe('0')
  })

  test('a version that is not the present one is a conflict that names the present one', async () => {
    const { reservation, wms } = await start()
    const stale = { key: 'RS-000001', expectedVersion: '7' }
    expect(failureOf(await reservation.release.send(stale, write, context))).toEqual({
      kind: 'conflict',
      message: '单据已被他人修改',
      currentVersion: '1',
    })
    wms.clearCalls()
    for (const expectedVersion of ['1\r\nX-Evil: 1', '版本', '']) {
      const bad = { key: 'RS-000001', expectedVersion }
      expect(failureOf(await reservation.release.send(bad, write, context))?.kind).toBe('conflict')
    }
    const plain = connect(wms.url, { conditionalWrites: false })
    expect(failureOf(await plain.reservation.release.send(stale, write, context))?.kind).toBe('unsupported')
    expect(wms.calls).toEqual([])
  })

  test.each(['drop-after', 'drop-before'] as const)(
    'a lost answer (%s) is cleared up by looking',
    async (kind) => {
      const { reservation, wms } = await start()
      wms.setFaults([{ kind, match: '^POST', times: 1 }])
      const input = { key: 'RS-000001' }
      expect(failureOf(await reservation.release.send(input, write, context))?.kind).toBe('unknown-outcome')
      const verdict = given(await reservation.release.verify(input, write, context))
      if (kind === 'drop-after') {
        expect(verdict).toMatchObject({ effect: 'done', result: { record: { status: 'RELEASED' } } })
      } else {
        expect(verdict).toEqual({
          effect: 'none',
          proven: true,
          evidence: 'reservation RS-000001 is ACTIVE; asking for it again does no harm',
        })
      }
    },
  )

  test('what is not there is not found', async () => {
    const { reservation } = await start()
    for (const key of ['RS-9', '..', '']) {
      expect(failureOf(await reservation.release.send({ key }, write, context))?.kind).toBe('not-found')
      expect(failureOf(await reservation.release.verify({ key }, write, context))?.kind).toBe('not-found')
    }
  })

  test('one that lapsed has given its goods back, and counts as released', async () => {
    const { reservation, world } = await start()
    const one = must(world.get('wmsReservations', 'RS-000001'))
    world.put('wmsReservations', { ...one, expiresAt: '2026-06-25T00:00:00.000Z' })
    const [read] = await reservation.readMany(['RS-000001'], context)
    expect(given(read)).toMatchObject({ status: 'EXPIRED', expiresAt: '2026-06-25T00:00:00.000Z' })
    expect(world.get('wmsStock', `${GUIDE}@${SZX}`)?.reserved).toBe('0')
    expect(given(await reservation.release.verify({ key: 'RS-000001' }, write, context)).effect).toBe('done')
    expect(given(await reservation.release.send({ key: 'RS-000001' }, write, context)).record?.status).toBe(
      'EXPIRED',
    )
  })
})

describe('goods leave', () => {
  const lines = [{ product: String(GUIDE), quantity: '5' }]
  const input = {
    direction: 'OUTBOUND' as const,
    orderNumber: '1009',
    reservation: 'RS-000001',
    warehouse: SZX,
    date: '2026-07-02',
    shipTo: {
      name: '王芳',
      phone: '+86 21 5550 0001',
      address: {
        street: '浦东新区张江路 88 号',
        city: '上海',
        province: '上海市',
        postalCode: '201203',
        country: 'CN',
      },
    },
    lines,
  }

  test('from what a reservation has set aside, and the rest stays set aside', async () => {
    const { delivery, reservation, stock, world } = await start()
    const created = given(await delivery.create.send(input, write, context))
    expect(created).toMatchObject({
      key: 'OB-000003',
      record: {
        number: 'OB-000003',
        direction: 'OUTBOUND',
        orders: [],
        orderNumbers: ['1009'],
        reservation: 'RS-000001',
        trackingNumbers: [],
        externalReference: write.externalReference,
        shipTo: input.shipTo,
        date: '2026-07-02',
        status: 'OPEN',
        vendorStatus: 'CREATED',
        lines: [
          {
            id: '1',
            product: GUIDE,
            description: '线性导轨 1m',
            quantity: pieces('5', '根'),
            warehouse: SZX,
          },
        ],
      },
    })
    expect(world.get('wmsDeliveries', 'OB-000003')).toMatchObject({
      deliveryType: 'SALES',
      recipient: { name: '王芳', city: '上海', country: 'CN' },
    })
    // Another delivery may take 7 more, not 8.
    const more = (quantity: string) => ({ ...input, lines: [{ product: String(GUIDE), quantity }] })
    expect(failureOf(await delivery.create.send(more('8'), another, context))).toMatchObject({
      code: '40001',
      details: { required: '8', available: '7' },
    })
    // What is being picked cannot be released.
    expect(failureOf(await reservation.release.send({ key: 'RS-000001' }, another, context))).toMatchObject({
      kind: 'rejected',
      code: '40902',
      details: { status: 'ACTIVE', deliveryId: 'OB-000003' },
    })

    const shipped = given(await delivery.ship.send({ key: 'OB-000003' }, write, context))
    expect(shipped.record).toMatchObject({
      status: 'CLOSED',
      vendorStatus: 'SHIPPED',
      trackingNumbers: ['SF1000000021'],
    })
    const [level] = await stock.readMany([`${GUIDE}/${SZX}`], context)
    expect(given(level)).toMatchObject({
      onHand: { value: '194' },
      reserved: { value: '7' },
      available: { value: '187' },
    })
    const [left] = await reservation.readMany(['RS-000001'], context)
    expect(given(left)).toMatchObject({ status: 'ACTIVE', lines: [{ open: { value: '7' } }] })

    const rest = given(await delivery.create.send(more('7'), another, context))
    given(await delivery.ship.send({ key: rest.key }, write, context))
    const [used] = await reservation.readMany(['RS-000001'], context)
    expect(given(used)).toMatchObject({ status: 'FULFILLED', lines: [{ open: { value: '0' } }] })
    expect(failureOf(await reservation.release.send({ key: 'RS-000001' }, another, context))).toMatchObject({
      code: '40902',
      details: { status: 'FULFILLED' },
    })
    expect(given(await reservation.release.verify({ key: 'RS-000001' }, another, context))).toMatchObject({
      effect: 'none',
    })
  })

  test('without a reservation, if enough is free; cancelling gives it back', async () => {
    const { delivery, world } = await start()
    const { reservation: _, ...plain } = input
    expect(
      failureOf(
        await delivery.create.send(
          { ...plain, lines: [{ product: String(GUIDE), quantity: '188' }] },
          write,
          context,
        ),
      ),
    ).toMatchObject({ code: '40001', message: '库存不足', details: { required: '188', available: '187' } })
    const { key } = given(await delivery.create.send(plain, write, context))
    expect(world.get('wmsStock', `${GUIDE}@${SZX}`)).toMatchObject({ onHand: '199', reserved: '17' })
    const cancelled = given(await delivery.cancel.send({ key, expectedVersion: '1' }, write, context))
    expect(cancelled.record).toMatchObject({ status: 'CANCELLED', version: '2' })
    expect(world.get('wmsStock', `${GUIDE}@${SZX}`)).toMatchObject({ onHand: '199', reserved: '12' })
    expect(failureOf(await delivery.ship.send({ key }, write, context))).toMatchObject({
      code: '40902',
      details: { status: 'CANCELLED' },
    })
  })

  test('not when somebody has counted less since', async () => {
    const { delivery, world } = await start()
    const { key } = given(await delivery.create.send(input, write, context))
    adjustStock(world, String(GUIDE), SZX, '-197')
    expect(failureOf(await delivery.ship.send({ key }, write, context))).toMatchObject({
      code: '40001',
      details: { required: '5', available: '2' },
    })
  })

  test.each(['drop-after', 'drop-before'] as const)(
    'a lost answer (%s) is cleared up by looking',
    async (kind) => {
      const { delivery, wms, world } = await start()
      wms.setFaults([{ kind, match: '^POST', times: 1 }])
      expect(failureOf(await delivery.create.send(input, write, context))?.kind).toBe('unknown-outcome')
      const found = given(await delivery.create.verify(input, write, context))
      expect(found.effect).toBe(kind === 'drop-after' ? 'done' : 'none')
      const { key } = given(await delivery.create.send(input, write, context))
      expect(world.count('wmsDeliveries')).toBe(3)

      wms.setFaults([{ kind, match: 'ship', times: 1 }])
      expect(failureOf(await delivery.ship.send({ key }, write, context))?.kind).toBe('unknown-outcome')
      const shipped = given(await delivery.ship.verify({ key }, write, context))
      expect(shipped).toMatchObject(
        kind === 'drop-after' ? { effect: 'done' } : { effect: 'none', proven: true },
      )
      given(await delivery.ship.send({ key }, write, context))
      expect(world.get('wmsStock', `${GUIDE}@${SZX}`)?.onHand).toBe('194')
      const careful = connect(wms.url, { repeatableActions: false })
      expect(given(await careful.delivery.cancel.verify({ key }, write, context))).toEqual({
        effect: 'none',
        proven: false,
        evidence: `delivery ${key} is SHIPPED`,
      })
    },
  )

  test('deliveries of orders are found by number, newest first in lists', async () => {
    const { delivery } = await start()
    given(await delivery.create.send(input, write, context))
    const outcomes = await delivery.byOrderNumber.read(['TB-20260612-0001', '1009'], context)
    expect(outcomes.map((outcome) => given(outcome).map(({ key, status }) => [key, status]))).toEqual([
      [['OB-000001', 'CLOSED']],
      [['OB-000003', 'OPEN']],
    ])
    const page = given(await delivery.list({ first: 2 }, context))
    expect(page.items.map(({ record }) => record.key)).toEqual(['OB-000003', 'IB-000002'])
    expect(page.hasMore).toBe(true)
  })
})

describe('goods arrive', () => {
  test('what was announced is taken in', async () => {
    const { delivery, stock } = await start()
    const [announced] = await delivery.readMany(['IB-000002'], context)
    expect(given(announced)).toMatchObject({
      direction: 'INBOUND',
      orderNumbers: ['PO-2026-0620'],
      status: 'OPEN',
      lines: [{ product: MOTOR, quantity: pieces('20', '台'), warehouse: LAX }],
    })
    expect(failureOf(await delivery.ship.send({ key: 'IB-000002' }, write, context))).toMatchObject({
      code: '40902',
      details: { status: 'CREATED', direction: 'IN' },
    })
    given(await delivery.receive.send({ key: 'IB-000002' }, write, context))
    const [level] = await stock.readMany([`${MOTOR}/${LAX}`], context)
    expect(given(level)).toMatchObject({ onHand: { value: '20' }, incoming: { value: '0' } })
    expect(given(await delivery.receive.verify({ key: 'IB-000002' }, write, context)).effect).toBe('done')
    expect(given(await delivery.ship.verify({ key: 'IB-000002' }, write, context)).effect).toBe('none')
  })

  test('new goods are announced', async () => {
    const { delivery, world } = await start({
      settings: { deliveryTypes: { inbound: 'RETURN' }, defaultWarehouse: HAM },
    })
    const input = {
      direction: 'INBOUND' as const,
      orderNumber: 'RMA-7',
      lines: [{ product: String(MOTOR), quantity: '1' }],
    }
    given(await delivery.create.send(input, write, context))
    expect(world.get('wmsDeliveries', 'IB-000003')?.deliveryType).toBe('RETURN')
    expect(world.get('wmsStock', `${MOTOR}@${HAM}`)?.incoming).toBe('1')
    const wrong = connect('http://127.0.0.1:1', {}).adapter.ports.delivery?.create?.preview(input, write)
    expect(JSON.parse(wrong?.body ?? '')).toMatchObject({ direction: 'IN', deliveryType: 'PURCHASE' })
  })

  test('a type that the WMS does not have is refused', async () => {
    const { delivery } = await start({ settings: { deliveryTypes: { inbound: 'GIFT' } } })
    const input = {
      direction: 'INBOUND' as const,
      warehouse: SZX,
      lines: [{ product: String(MOTOR), quantity: '1' }],
    }
    expect(failureOf(await delivery.create.send(input, write, context))).toMatchObject({
      code: '40002',
      field: 'deliveryType',
    })
  })
})

describe('changes', () => {
  /** Asks until nothing more is waiting. */
  async function follow<T extends RecordType>(
    changes: (checkpoint: string | null, of: typeof context) => Promise<Outcome<ChangePage<T>>>,
    checkpoint: string,
  ) {
    const records: ChangePage<T>['records'][number][] = []
    let page: ChangePage<T>
    let from = checkpoint
    let rounds = 0
    do {
      page = given(await changes(from, context))
      records.push(...page.records)
      from = page.checkpoint
      if (++rounds > 50) throw new Error('never ends')
    } while (page.hasMore)
    return { records, checkpoint: from }
  }

  test('of stock come from the feed, each place as it is now', async () => {
    const { stock, world, wms } = await start({ settings: { pageLimit: 2 } })
    const begin = given(await stock.changes(null, context))
    expect(begin).toMatchObject({ records: [], hasMore: false })
    adjustStock(world, String(BEARING), LAX, '-3')
    adjustStock(world, String(BEARING), LAX, '1')
    adjustStock(world, String(MOTOR), SZX, '4')
    const { records, checkpoint } = await follow(stock.changes, begin.checkpoint)
    expect(records.map(({ key, onHand }) => [key, onHand.value])).toEqual([
      [`${BEARING}/${LAX}`, '188'],
      [`${MOTOR}/${SZX}`, '150'],
    ])
    wms.clearCalls()
    expect(given(await stock.changes(checkpoint, context)).records).toEqual([])
    expect(wms.calls).toHaveLength(1)
  })

  test('a reservation changes what is available, and itself', async () => {
    const { stock, reservation, delivery } = await start()
    const [stockFrom, reservationFrom, deliveryFrom] = [
      given(await stock.changes(null, context)).checkpoint,
      given(await reservation.changes(null, context)).checkpoint,
      given(await delivery.changes(null, context)).checkpoint,
    ]
    const lines = [{ product: String(MOTOR), quantity: '6', warehouse: SZX }]
    const { key } = given(await reservation.create.send({ lines }, write, context))
    const first = await follow(stock.changes, stockFrom)
    expect(first.records.map(({ available }) => available?.value)).toEqual(['140'])
    given(await reservation.release.send({ key }, write, context))
    expect(
      (await follow(reservation.changes, reservationFrom)).records.map((one) => [one.key, one.status]),
    ).toEqual([[key, 'RELEASED']])
    expect((await follow(delivery.changes, deliveryFrom)).records).toEqual([])
    given(await delivery.receive.send({ key: 'IB-000002' }, write, context))
    expect((await follow(delivery.changes, deliveryFrom)).records.map((one) => one.status)).toEqual([
      'CLOSED',
    ])
    expect((await follow(stock.changes, first.checkpoint)).records.map((one) => one.key).sort()).toEqual([
      `${MOTOR}/${LAX}`,
      `${MOTOR}/${SZX}`,
    ])
  })

  test('after a feed that no longer reaches back, everything is compared and nothing is lost', async () => {
    const { stock, world } = await start({ keepEvents: 3, settings: { pageLimit: 4 } })
    const begin = given(await stock.changes(null, context))
    for (let n = 0; n < 5; n++) adjustStock(world, String(BEARING), LAX, '1')
    const restart = given(await stock.changes(begin.checkpoint, context))
    expect(restart).toMatchObject({ records: [], hasMore: true })
    // Happens during the walk.
    adjustStock(world, String(BEARING), LAX, '10')
    const { records, checkpoint } = await follow(stock.changes, restart.checkpoint)
    const places = world.all('wmsStock').map(({ skuId, warehouseId }) => `${skuId}/${warehouseId}`)
    expect([...new Set(records.map(({ key }) => key))].sort()).toEqual(places.sort())
    expect(records.at(-1)).toMatchObject({ key: `${BEARING}/${LAX}`, onHand: { value: '205' } })
    expect((await follow(stock.changes, checkpoint)).records).toEqual([])
  })

  test('a WMS that stands still or forgets its own end is not asked for ever', async () => {
    let gone = false
    const server = await startSimulatorServer({
      handle: () =>
        gone
          ? { status: 410, body: '{"code":41000,"message":"gone","data":null}' }
          : { status: 200, body: '{"code":0,"data":{"items":[],"nextCursor":"c1","hasMore":true}}' },
    })
    cleanups.push(() => server.close())
    const { stock } = connect(server.url)
    expect(failureOf(await stock.changes('{"cursor":"c1"}', context))?.kind).toBe('invalid-response')
    gone = true
    expect(failureOf(await stock.changes(null, context))?.kind).toBe('invalid-response')
    expect(failureOf(await stock.changes('{"cursor":"c1"}', context))?.kind).toBe('invalid-response')
    expect(server.calls).toHaveLength(4)
  })
})

describe('credentials', () => {
  test('each request is signed over time, key, body and secret', async () => {
    const seen: SimulatedRequest[] = []
    const server = await startSimulatorServer({
      handle(request) {
        seen.push(request)
        return { status: 200, body: '{"code":0,"data":{"items":[]}}' }
      },
    })
    cleanups.push(() => server.close())
    const { product, reservation } = connect(server.url)
    await product.readMany(['导轨'], context)
    await reservation.release.send({ key: 'RS-1' }, write, context)
    expect(seen.map(({ headers }) => headers.authorization)).toEqual([
      'ApiKey wms-key-41',
      'ApiKey wms-key-41',
    ])
    for (const { headers, body } of seen) {
      const timestamp = String(headers['x-timestamp'])
      expect(Math.abs(Date.now() - Number(timestamp))).toBeLessThan(5_000)
      const expected = createHash('sha256')
        .update(`${timestamp}wms-key-41${body}wms-secret-7f3a9e`)
        .digest('hex')
      expect(headers['x-signature']).toBe(expected)
    }
    expect(seen.map(({ body }) => String(body))).toEqual(['', '{}'])
  })

  test.each([
    [AUTH, { ...AUTH, secret: 'wrong-secret' }],
    [AUTH, { ...AUTH, apiKey: 'wrong-secret' }],
    [
      { type: 'bearer', token: 'bearer-4242' },
      { type: 'bearer', token: 'wrong-secret' },
    ],
  ] as const)('%j: wrong ones are unauthorized, asked once, and never shown', async (right, wrong) => {
    const { adapter, wms } = await start({ auth: right, settings: { auth: right } })
    expect(given(await adapter.health(context)).detail).toBe(
      `REST WMS at ${wms.url.slice('http://'.length)}: warehouses can be read`,
    )
    wms.clearCalls()
    const refused = connect(wms.url, { auth: wrong, batchLimit: 1 })
    const outcomes = await refused.product.readMany([BEARING, MOTOR, GUIDE].map(String), context)
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual(Array(3).fill('unauthorized'))
    expect(wms.calls).toHaveLength(1)
    const released = await refused.reservation.release.send({ key: 'RS-000001' }, write, context)
    expect(failureOf(released)?.kind).toBe('unauthorized')
    expect(JSON.stringify([outcomes, released])).not.toContain('wrong-secret')
  })

  test('clocks that differ too much are named as the reason', async () => {
    const server = await startSimulatorServer({
      handle: () => ({ status: 401, body: '{"code":40101,"message":"时间戳超出五分钟","data":null}' }),
    })
    cleanups.push(() => server.close())
    expect(failureOf(await connect(server.url).adapter.health(context))).toEqual({
      kind: 'unauthorized',
      detail: 'GET /api/v1/warehouses: HTTP 401, code 40101: the clocks of gateway and WMS differ too much',
    })
  })

  test('that a WMS echoes do not get into failures', async () => {
    const { product, wms } = await start()
    const said = {
      code: 40002,
      message: `bad\u0007 key\n${AUTH.apiKey}`,
      data: null,
      details: { field: AUTH.secret },
    }
    wms.setFaults([{ kind: 'status', status: 400, body: JSON.stringify(said) }])
    expect(failureOf((await product.readMany(['x'], context))[0])).toEqual({
      kind: 'rejected',
      code: '40002',
      message: 'bad key ***',
      field: '***',
      details: { field: '***' },
    })
    wms.setFaults([{ kind: 'status', status: 418, body: `<p>${AUTH.secret}` }])
    expect(JSON.stringify(await product.readMany(['x'], context))).not.toContain(AUTH.secret)
  })
})

describe('bad days', () => {
  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'drop-before' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'truncate' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 500 },
      { kind: 'unavailable', reason: 'overloaded' },
    ],
    [{ kind: 'status', status: 302, headers: { location: '/login' } }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7_000 },
    ],
    [
      { kind: 'status', status: 503, headers: { 'retry-after': '2' } },
      { kind: 'unavailable', reason: 'overloaded', retryAfterMs: 2_000 },
    ],
    // Some systems say 200 to everything: their code decides.
    [
      { kind: 'status', status: 200, body: '{"code":42900,"message":"slow down","data":null}' },
      { kind: 'unavailable', reason: 'rate-limited' },
    ],
    [
      { kind: 'status', status: 200, body: '{"code":0,"message":"success","data":[]}' },
      { kind: 'invalid-response' },
    ],
    [
      { kind: 'status', status: 200, body: '{"code":0,"data":{"items":"many"}}' },
      { kind: 'invalid-response' },
    ],
    [
      { kind: 'status', status: 404, body: '{"code":40400,"message":"no such path","data":null}' },
      { kind: 'invalid-response' },
    ],
  ] as const)('a read that meets %j is %j, for every key', async (fault, failure) => {
    const { product, stock, adapter, wms } = await start({ timeoutMs: fault.kind === 'hang' ? 200 : 5_000 })
    wms.setFaults([fault])
    const outcomes = await product.readMany([BEARING, MOTOR].map(String), context)
    expect(outcomes.map(failureOf)).toEqual([
      expect.objectContaining(failure),
      expect.objectContaining(failure),
    ])
    expect(failureOf((await stock.readMany([`${BEARING}/${SZX}`], context))[0])?.kind).toBe(failure.kind)
    expect(failureOf(await adapter.health(context))?.kind).toBe(failure.kind)
    expect(failureOf(await stock.changes(null, context))?.kind).toBe(failure.kind)
    expect(failureOf(await product.list({ first: 5 }, context))?.kind).toBe(failure.kind)
    wms.setFaults([])
    expect(given((await product.readMany([String(BEARING)], context))[0])?.key).toBe(BEARING)
  })

  test.each([
    [{ kind: 'status', status: 500, body: '{"code":50000,"message":"?","data":null}' }, 'unknown-outcome'],
    [{ kind: 'status', status: 503, body: 'proxy' }, 'unknown-outcome'],
    [{ kind: 'status', status: 503, body: '{"code":50300,"message":"later","data":null}' }, 'unavailable'],
    [{ kind: 'status', status: 429 }, 'unavailable'],
    [{ kind: 'status', status: 302 }, 'unknown-outcome'],
    [{ kind: 'status', status: 404, body: 'nothing here' }, 'invalid-response'],
    [{ kind: 'status', status: 200, body: '{"code":40001,"message":"库存不足","data":null}' }, 'rejected'],
  ] as const)('a write that meets %j is %s', async (fault, kind) => {
    const { delivery, wms } = await start()
    wms.setFaults([fault])
    expect(failureOf(await delivery.ship.send({ key: 'OB-000001' }, write, context))?.kind).toBe(kind)
  })

  test('an answer without a key leaves the outcome unknown', async () => {
    const { reservation, wms } = await start()
    wms.setFaults([{ kind: 'status', status: 201, body: '{"code":0,"data":{}}' }])
    const input = { lines: [{ product: String(MOTOR), quantity: '1', warehouse: SZX }] }
    expect(failureOf(await reservation.create.send(input, write, context))?.kind).toBe('unknown-outcome')
  })

  test('a WMS that is not there is unreachable, for writes too: nothing was sent', async () => {
    const { product, reservation } = connect('http://127.0.0.1:1')
    const [read] = await product.readMany(['x'], context)
    expect(failureOf(read)).toMatchObject({ kind: 'unavailable', reason: 'unreachable' })
    expect(failureOf(await reservation.release.send({ key: 'x' }, write, context))).toMatchObject({
      kind: 'unavailable',
      reason: 'unreachable',
    })
  })

  test('a caller who leaves ends the call', async () => {
    const { product, wms } = await start()
    wms.setFaults([{ kind: 'hang' }])
    const [outcome] = await product.readMany(['x'], { ...context, signal: AbortSignal.timeout(50) })
    expect(failureOf(outcome)).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
  })

  test('a body without end is refused', async () => {
    const server = await startSimulatorServer({
      handle: () => ({
        status: 200,
        body: `{"code":0,"data":{"items":["${'x'.repeat(34 * 1024 * 1024)}"]}}`,
      }),
    })
    cleanups.push(() => server.close())
    const [outcome] = await connect(server.url, {}, 10_000).product.readMany(['x'], context)
    expect(failureOf(outcome)?.kind).toBe('invalid-response')
  })

  test('a WMS that ignores what it is asked is not asked for ever', async () => {
    const items = ['1', '2'].map((id) => ({
      skuId: id,
      skuName: id,
      warehouseId: id,
      deliveryId: id,
      createTime: '2026-03-01T00:00:00Z',
    }))
    const server = await startSimulatorServer({
      handle: () => ({
        status: 200,
        body: JSON.stringify({ code: 0, data: { items, pagination: { hasMore: true } } }),
      }),
    })
    cleanups.push(() => server.close())
    const { product, delivery } = connect(server.url, { pageLimit: 2 })
    expect(failureOf(await product.list({ first: 10 }, context))?.kind).toBe('invalid-response')
    const [found] = await delivery.byOrderNumber.read(['7'], context)
    expect(failureOf(found)?.kind).toBe('invalid-response')
    expect(server.calls.length).toBeLessThan(8)
    // A reference that it did not look for is not taken for ours.
    const input = { direction: 'INBOUND' as const, lines: [] }
    expect(given(await delivery.create.verify(input, write, context)).effect).toBe('unknown')
  })
})

describe('webhooks', () => {
  const signed = { profile: 'signature', apiKey: 'hook-key', secret: 'hook-secret' } as const
  const standard = { profile: 'standard', secret: 'whsec_c2VjcmV0IG9mIHRoZSBXTVM=' } as const

  test.each([
    ['signature', signed, { secret: signed.secret, apiKey: signed.apiKey }],
    ['standard', standard, { secret: standard.secret }],
  ] as const)('a change of stock arrives signed (%s) and names the place', async (_name, webhook, sender) => {
    const receiver = await startReceiver()
    const { adapter, world } = await start({
      webhook: { url: () => receiver.url, ...sender },
      settings: { webhook },
    })
    adjustStock(world, String(BEARING), LAX, '-3')
    await until(() => receiver.received.length === 1)
    const request = must(receiver.received[0])
    const body = JSON.parse(String(request.body))
    expect(body).toEqual({
      eventId: expect.any(String),
      eventType: 'INVENTORY_CHANGED',
      timestamp: expect.any(Number),
      warehouseId: LAX,
      skuId: BEARING,
      beforeQty: 190,
      afterQty: 187,
      changeType: 'ADJUST',
      beforeAvailableQty: 190,
      afterAvailableQty: 187,
      reference: null,
    })
    expect(adapter.webhook?.receive(request, new Date())).toEqual({
      ok: true,
      notifications: [
        {
          id: body.eventId,
          type: 'inventoryLevel',
          key: `${BEARING}/${LAX}`,
          change: 'updated',
          time: new Date(body.timestamp).toISOString(),
        },
      ],
    })
  })

  test('goods that leave and documents that change are told as well', async () => {
    const receiver = await startReceiver()
    const { adapter, reservation, world } = await start({
      webhook: { url: receiver.url, secret: signed.secret, apiKey: signed.apiKey },
      settings: { webhook: signed },
    })
    const lines = [{ product: String(MOTOR), quantity: '1', warehouse: SZX }]
    given(await reservation.create.send({ lines }, write, context))
    await until(() => receiver.received.length === 2)
    cancelDelivery(world, must(world.get('wmsDeliveries', 'IB-000002')))
    await until(() => receiver.received.length === 3)
    ship(world, must(world.get('wmsDeliveries', 'OB-000001')))
    await until(() => receiver.received.length === 5)
    const told = receiver.received.map((request) => {
      const verdict = must(adapter.webhook).receive(request, new Date())
      const { changeType } = JSON.parse(String(request.body))
      return verdict.ok
        ? verdict.notifications.map(({ type, key, change }) => [type, key, change, changeType])
        : verdict
    })
    expect(told.sort()).toEqual(
      [
        [['inventoryLevel', `${MOTOR}/${SZX}`, 'updated', 'RESERVE']],
        [['reservation', 'RS-000002', 'created', undefined]],
        [['delivery', 'IB-000002', 'updated', undefined]],
        [['inventoryLevel', `${BEARING}/${SZX}`, 'updated', 'OUT']],
        [['delivery', 'OB-000001', 'updated', undefined]],
      ].sort(),
    )
  })

  test('a refused delivery comes again, and so does a duplicate', async () => {
    const receiver = await startReceiver(2)
    const { world, wms } = await start({
      webhook: { url: receiver.url, ...signed, retryDelaysMs: [5, 5] },
    })
    adjustStock(world, String(BEARING), LAX, '1')
    await until(() => receiver.received.length === 3)
    expect(await wms.resendLastEvent()).toBe(true)
    expect(new Set(receiver.received.map(({ body }) => String(body))).size).toBe(1)
  })

  test('wrong signatures, old timestamps and unreadable bodies are told apart', () => {
    const { adapter } = connect('http://127.0.0.1:1', { webhook: signed })
    const now = new Date('2026-07-01T08:00:00Z')
    const request = (
      body: object | string,
      change: { at?: number; secret?: string; key?: string } = {},
    ): WebhookRequest => {
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      const { at = now.getTime(), secret = signed.secret, key = signed.apiKey } = change
      return {
        headers: {
          authorization: `ApiKey ${key}`,
          'x-timestamp': String(at),
          'x-signature': createHash('sha256')
            .update(`${at}${key}${text}${secret}`)
            .digest('hex')
            .toUpperCase(),
        },
        body: Buffer.from(text),
      }
    }
    // As the Java class of a sender that keeps to the seven fields would write it.
    const event = {
      eventId: 'e-1',
      eventType: 'INVENTORY_CHANGED',
      timestamp: 1706518800000,
      warehouseId: SZX,
      skuId: BEARING,
      beforeQty: 10,
      afterQty: 5,
      changeType: 'OUT',
    }
    const receive = (of: WebhookRequest) => must(adapter.webhook).receive(of, now)
    expect(receive(request(event))).toEqual({
      ok: true,
      notifications: [
        {
          id: 'e-1',
          type: 'inventoryLevel',
          key: `${BEARING}/${SZX}`,
          change: 'updated',
          time: '2024-01-29T09:00:00.000Z',
        },
      ],
    })
    const reason = (of: WebhookRequest) => {
      const verdict = receive(of)
      return verdict.ok ? verdict : verdict.reason
    }
    expect(reason(request(event, { secret: 'other' }))).toBe('signature')
    expect(reason(request(event, { key: 'other' }))).toBe('signature')
    expect(reason({ ...request(event), body: Buffer.from(JSON.stringify({ ...event, afterQty: 6 })) })).toBe(
      'signature',
    )
    expect(reason({ headers: {}, body: Buffer.from('{}') })).toBe('signature')
    expect(reason(request(event, { at: now.getTime() - 301_000 }))).toBe('timestamp')
    expect(reason(request(event, { at: now.getTime() + 301_000 }))).toBe('timestamp')
    expect(reason(request('{"eventId":'))).toBe('malformed')
    expect(reason(request({ ...event, skuId: undefined }))).toBe('malformed')
    expect(reason(request({ ...event, timestamp: 'soon' }))).toBe('malformed')
    expect(reason(request({ ...event, eventType: 'ORDER_CREATED' }))).toEqual({ ok: true, notifications: [] })
  })

  test('the id in the signed header and in the body must agree', () => {
    const { adapter } = connect('http://127.0.0.1:1', { webhook: standard })
    const now = new Date('2026-07-01T08:00:00Z')
    const body = Buffer.from(
      JSON.stringify({
        eventId: 'e-2',
        eventType: 'DELIVERY_CHANGED',
        timestamp: now.getTime(),
        deliveryId: 'OB-1',
      }),
    )
    const seconds = now.getTime() / 1000
    const receive = (id: string) =>
      must(adapter.webhook).receive(
        {
          headers: {
            'webhook-id': id,
            'webhook-timestamp': String(seconds),
            'webhook-signature': signWebhook(standard.secret, id, seconds, body),
          },
          body,
        },
        now,
      )
    expect(receive('e-2')).toMatchObject({ ok: true })
    expect(receive('e-1')).toMatchObject({ ok: false, reason: 'malformed' })
  })

  test('without a secret there is no door for them', () => {
    expect(connect('http://127.0.0.1:1').adapter.webhook).toBeUndefined()
  })
})

describe('a WMS with other paths, names and codes', () => {
  test('is described by configuration alone', async () => {
    const seen: SimulatedRequest[] = []
    const answer = {
      no: 7001,
      so: 'SO-1',
      state: 'PICKED',
      kind: 'OUT',
      made: '2026-03-01 08:30:00',
      touched: 1772332200000,
      wh: 'A1',
      channel: { name: '抖音' },
      rows: [{ row: 10, item: 'X-1', n: '3', uom: 'EA' }],
    }
    const server = await startSimulatorServer({
      handle(request) {
        seen.push(request)
        return {
          status: 200,
          body: JSON.stringify({ code: 0, data: request.method === 'GET' ? { items: [answer] } : answer }),
        }
      },
    })
    cleanups.push(() => server.close())
    const { delivery } = connect(server.url, {
      timeZone: 'Asia/Shanghai',
      onBehalfOfHeader: null,
      unitCodes: { EA: 'C62' },
      deliveryStatuses: { PICKED: 'OPEN' },
      deliveryTypes: { outbound: 'B2C' },
      customFields: { delivery: { channel: 'channel.name' } },
      paths: { deliveries: '/wms/out' },
      fields: {
        delivery: {
          id: 'no',
          orderNumber: 'so',
          status: 'state',
          direction: 'kind',
          createdAt: 'made',
          updatedAt: 'touched',
          warehouse: 'wh',
          lines: 'rows',
        },
        deliveryLine: { id: 'row', product: 'item', quantity: 'n', unit: 'uom' },
      },
    })
    const [read] = await delivery.readMany(['7001'], context)
    expect(given(read)).toEqual({
      key: '7001',
      number: '7001',
      shipTo: null,
      version: null,
      direction: 'OUTBOUND',
      orders: [],
      orderNumbers: ['SO-1'],
      reservation: null,
      trackingNumbers: [],
      externalReference: null,
      date: null,
      status: 'OPEN',
      vendorStatus: 'PICKED',
      lines: [
        {
          id: '10',
          product: 'X-1',
          description: null,
          quantity: { value: '3', unit: 'C62', vendorUnit: 'EA' },
          warehouse: 'A1',
        },
      ],
      createdAt: '2026-03-01T08:30:00+08:00',
      updatedAt: '2026-03-01T02:30:00.000Z',
      customFields: { channel: '抖音' },
    })
    const input = {
      direction: 'OUTBOUND' as const,
      warehouse: 'A1',
      customFields: { channel: '抖音' },
      lines: [{ product: 'X-1', quantity: '3' }],
    }
    expect(given(await delivery.create.send(input, write, context)).key).toBe('7001')
    expect(String(seen.at(-1)?.body)).toBe(
      '{"kind":"OUT","deliveryType":"B2C","externalRef":"0123456789abcdef0123456789abcdef",' +
        '"channel":{"name":"抖音"},"wh":"A1","rows":[{"item":"X-1","n":3}]}',
    )
    expect(seen.at(-1)?.headers).not.toHaveProperty('x-on-behalf-of')
  })

  test('a code that nobody has explained survives beside UNKNOWN', async () => {
    const { delivery, world } = await start()
    const one = must(world.get('wmsDeliveries', 'OB-000001'))
    world.put('wmsDeliveries', { ...one, status: 'constructor' as never })
    const [read] = await delivery.readMany(['OB-000001'], context)
    expect(given(read)).toMatchObject({ status: 'UNKNOWN', vendorStatus: 'constructor' })
  })

  test('a warehouse to fall back on is looked up by the check', async () => {
    const { wms } = await start()
    const check = async (defaultWarehouse: string) =>
      given(await connect(wms.url, { defaultWarehouse }).adapter.checkConfiguration?.(context))
    expect(await check(SZX)).toEqual([])
    expect(await check('WH-1')).toEqual(['defaultWarehouse: there is no warehouse "WH-1".'])
  })

  test('settings that are none are named', () => {
    const parsed = restWmsConfig.safeParse({
      baseUrl: 'ftp://wms',
      auth: { type: 'signature', apiKey: 'a b', secret: '' },
      timeZone: 'Shanghai',
      fields: { stock: { qty: 'x' } },
    })
    expect(parsed.error?.issues.map(({ path }) => path.join('.'))).toEqual([
      'baseUrl',
      'auth.apiKey',
      'auth.secret',
      'timeZone',
      'fields.stock',
    ])
  })
})
