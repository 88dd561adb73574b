import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/observe/log.ts'
import { scanParcel } from '../../src/simulation/parcels.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { createRestTms } from '../../src/systems/rest-tms/adapter.ts'
import { restTmsConfig } from '../../src/systems/rest-tms/config.ts'
import { type RestTmsSimulatorOptions, startRestTmsSimulator } from '../../src/systems/rest-tms/simulator.ts'
import { closing, context, failureOf, given, must, startReceiver, until, write } from './rest-kit.ts'

const AUTH = { type: 'signature', apiKey: 'tms-key', secret: 'tms-secret-5a1' } as const

function connect(baseUrl: string, settings: Record<string, unknown> = {}, timeoutMs = 2_000) {
  const config = restTmsConfig.parse({ baseUrl, auth: AUTH, ...settings })
  const adapter = closing(createRestTms(config, { systemId: 'tms', log: silentLog, timeoutMs }))
  const shipment = must(adapter.ports.shipment)
  return { adapter, shipment, create: must(shipment.create), lookups: must(shipment.lookups) }
}

interface Start extends Partial<RestTmsSimulatorOptions> {
  readonly settings?: Record<string, unknown>
  readonly timeoutMs?: number
}

async function start({ settings, timeoutMs, ...options }: Start = {}) {
  const world = new World({ customers: 5, products: 5, orders: 0 })
  const tms = closing(await startRestTmsSimulator(world, { auth: AUTH, ...options }))
  return { world, tms, ...connect(tms.url, settings, timeoutMs) }
}

describe('shipments are read', () => {
  test('with what the carrier noted on the way, oldest first, and without a telephone number', async () => {
    const { shipment } = await start()
    const [signed, none] = await shipment.readMany(['T-YT7700000000011', 'T-1'], context)
    expect(given(signed)).toEqual({
      key: 'T-YT7700000000011',
      trackingNumber: 'YT7700000000011',
      carrier: 'YTO',
      carrierName: '圆通速递',
      status: 'DELIVERED',
      vendorStatus: 'DELIVERED',
      recipientRegion: '北京市朝阳区',
      expectedDelivery: '2026-03-03',
      signedBy: '张伟',
      signedAt: '2026-03-03T03:30:00.000Z',
      orderNumbers: ['1001'],
      deliveryNumbers: [],
      events: [
        ['2026-03-01T02:20:30.000Z', '浙江省杭州市', '【杭州萧山公司】已揽收 📦', 'PICKED_UP'],
        [
          '2026-03-01T15:59:59.000Z',
          '浙江省杭州市',
          '离开【杭州转运中心】，下一站【北京转运中心】',
          'IN_TRANSIT',
        ],
        [
          '2026-03-02T23:10:00.000Z',
          '北京市朝阳区',
          '【北京朝阳公司】派件中，请保持电话畅通',
          'OUT_FOR_DELIVERY',
        ],
        ['2026-03-03T03:30:00.000Z', '北京市朝阳区', '客户签收人：张伟，已签收', 'DELIVERED'],
      ].map(([time, place, text, status]) => ({ time, place, text, status, vendorStatus: status })),
      createdAt: '2026-03-01T01:00:00.000Z',
      updatedAt: '2026-03-03T03:30:00.000Z',
    })
    expect(given(none)).toBeNull()
  })

  test('each state of the seed is told apart', async () => {
    const { shipment } = await start()
    const numbers = ['SF1000000007', 'JT5200000000023', 'EA123456785CN', 'YT7700000000099']
    const read = await shipment.readMany(
      numbers.map((number) => `T-${number}`),
      context,
    )
    expect(read.map((one) => given(one)?.status)).toEqual(['IN_TRANSIT', 'EXCEPTION', 'CUSTOMS', 'CREATED'])
  })

  test('they are found by the number of carrier, order and delivery, in one call each', async () => {
    const { lookups, tms } = await start()
    const found = async (name: 'byNumber' | 'byOrderNumber' | 'byDeliveryNumber', numbers: string[]) =>
      (await must(lookups[name]).read(numbers, context)).map((one) => given(one).map(({ key }) => key))
    expect(await found('byNumber', ['JT5200000000023', '0', 'SF1000000007'])).toEqual([
      ['T-JT5200000000023'],
      [],
      ['T-SF1000000007'],
    ])
    expect(await found('byOrderNumber', ['1001'])).toEqual([['T-YT7700000000011']])
    expect(await found('byDeliveryNumber', ['OB-000001', 'IB-000002'])).toEqual([['T-SF1000000007'], []])
    expect(tms.calls).toHaveLength(3)
  })

  test('pages are complete while parcels are added; a scan is a change', async () => {
    const { shipment, create, world } = await start({ settings: { pageLimit: 2 } })
    const list = must(shipment.list)
    const begin = given(await must(shipment.changes)(null, context)).checkpoint
    const first = given(await list({ first: 2 }, context))
    given(await create.send({ trackingNumber: 'YT7700000000123', carrier: 'YTO' }, write, context))
    const rest = given(await list({ first: 50, after: must(first.items.at(-1)).position }, context))
    expect([...first.items, ...rest.items].map(({ record }) => record.trackingNumber)).toEqual([
      'YT7700000000099',
      'SF1000000007',
      'EA123456785CN',
      'JT5200000000023',
      'YT7700000000011',
    ])
    scanParcel(world, 'SF1000000007', 'OUT', '上海市', '派件中')
    const changes = given(await must(shipment.changes)(begin, context))
    expect(changes.records.map(({ trackingNumber, status }) => [trackingNumber, status])).toEqual([
      ['YT7700000000123', 'CREATED'],
      ['SF1000000007', 'OUT_FOR_DELIVERY'],
    ])
  })
})

describe('a parcel is followed', () => {
  test('once, in the code of the TMS, whoever asks again', async () => {
    const { create, world } = await start({ settings: { carriers: { 顺丰: 'SF' } } })
    const input = {
      trackingNumber: 'SF1000000999',
      carrier: '顺丰',
      phone: '13800000000',
      orderNumber: '1012',
      deliveryNumber: 'OB-9',
    }
    const before = world.count('parcels')
    const made = given(await create.send(input, write, context))
    expect(made).toMatchObject({
      key: 'T-SF1000000999',
      record: { carrier: 'SF', status: 'CREATED', orderNumbers: ['1012'], deliveryNumbers: ['OB-9'] },
    })
    const again = { ...write, externalReference: 'b'.repeat(32) }
    expect(given(await create.send(input, again, context)).key).toBe('T-SF1000000999')
    expect(world.count('parcels')).toBe(before + 1)
    expect(must(world.get('parcels', 'SF1000000999')).phone).toBe('13800000000')
  })

  test.each(['drop-after', 'hang-after', 'truncate'] as const)(
    'a lost answer (%s) is an unknown outcome; looking finds what became of it',
    async (kind) => {
      const { create, tms } = await start({ timeoutMs: kind === 'hang-after' ? 1_000 : 5_000 })
      const input = { trackingNumber: 'JT5200000000777', carrier: 'JT' }
      tms.setFaults([{ kind }])
      expect(failureOf(await create.send(input, write, context))?.kind).toBe('unknown-outcome')
      tms.setFaults([])
      expect(given(await create.verify(input, write, context))).toMatchObject({
        effect: 'done',
        result: { key: 'T-JT5200000000777' },
      })
      const other = { trackingNumber: 'JT5200000000778', carrier: 'JT' }
      expect(given(await create.verify(other, write, context))).toMatchObject({
        effect: 'none',
        proven: true,
      })
    },
  )

  test('what the TMS refuses keeps its words and field', async () => {
    const { create } = await start()
    const refusal = async (input: { trackingNumber: string; carrier?: string }) =>
      failureOf(await create.send(input, write, context))
    expect(await refusal({ trackingNumber: 'SF1000000998', carrier: 'SF' })).toMatchObject({
      kind: 'rejected',
      field: 'phone',
      message: '顺丰运单需要电话号码',
    })
    expect(await refusal({ trackingNumber: 'XX123456' })).toMatchObject({ message: '无法识别承运商' })
    expect(await refusal({ trackingNumber: 'SF1000000007', carrier: 'JT' })).toMatchObject({
      details: { carrierCode: 'SF' },
    })
  })
})

test('webhooks are signed as requests are, and name the shipment', async () => {
  const receiver = await startReceiver()
  const { adapter, world } = await start({
    webhook: { url: receiver.url, ...AUTH },
    settings: { webhook: { profile: 'signature', apiKey: AUTH.apiKey, secret: AUTH.secret } },
  })
  scanParcel(world, 'SF1000000007', 'SIGNED', '上海市', '已签收')
  await until(() => receiver.received.length === 1)
  const request = must(receiver.received[0])
  expect(JSON.parse(String(request.body)).event).toBe('shipment.status.changed')
  const { receive } = must(adapter.webhook)
  expect(receive(request, new Date())).toMatchObject({
    ok: true,
    notifications: [{ type: 'shipment', key: 'T-SF1000000007', change: 'updated' }],
  })
  const forged = { ...request, body: Buffer.from(String(request.body).replace('SF1', 'SF2')) }
  expect(receive(forged, new Date())).toMatchObject({ ok: false, reason: 'signature' })
  expect(receive(request, new Date(Date.now() + 360_000))).toMatchObject({ ok: false, reason: 'timestamp' })
})

describe('a TMS with other words', () => {
  test('is described by configuration; a record that cannot be read fails alone', async () => {
    const row = {
      no: 5,
      waybill: { no: 'W-1' },
      state: '派送中',
      so: 'SO-1',
      done: '2026-03-01 08:30:00',
      traces: [
        { at: '2026-03-01 08:00', what: '出站', state: '外太空' },
        { at: '2026-02-28 22:00:00', what: '揽收' },
      ],
      weight: 1.5,
    }
    const broken = { no: 6, waybill: { no: 'W-2' }, traces: [{ at: 'yesterday', what: 'x' }] }
    const server = closing(
      await startSimulatorServer({
        handle: () => ({
          status: 200,
          body: JSON.stringify({ success: true, data: { items: [broken, row] } }),
        }),
      }),
    )
    const { shipment } = connect(server.url, {
      envelope: 'success',
      timeZone: 'Asia/Shanghai',
      statuses: { 派送中: 'OUT_FOR_DELIVERY' },
      customFields: { shipment: { weight: 'weight' } },
      fields: {
        shipment: {
          id: 'no',
          trackingNumber: 'waybill.no',
          status: 'state',
          orderNumbers: 'so',
          updatedAt: 'done',
          events: 'traces',
        },
        event: { time: 'at', text: 'what', status: 'state' },
      },
    })
    const [one, two] = await shipment.readMany(['5', '6'], context)
    expect(given(one)).toMatchObject({
      key: '5',
      trackingNumber: 'W-1',
      status: 'OUT_FOR_DELIVERY',
      vendorStatus: '派送中',
      orderNumbers: ['SO-1'],
      updatedAt: '2026-03-01T08:30:00+08:00',
      events: [
        { time: '2026-02-28T22:00:00+08:00', text: '揽收', status: null, vendorStatus: null },
        { time: '2026-03-01T08:00:00+08:00', text: '出站', status: 'UNKNOWN', vendorStatus: '外太空' },
      ],
      customFields: { weight: '1.5' },
    })
    expect(failureOf(two)).toMatchObject({ kind: 'invalid-response' })
  })

  test('requests are signed over time, key, body and secret; a wrong secret is not tried again', async () => {
    const { tms } = await start()
    const { shipment } = connect(tms.url, { batchLimit: 1, auth: { ...AUTH, secret: 'wrong' } })
    const outcomes = await shipment.readMany(['T-SF1000000007', 'T-1'], context)
    expect(outcomes.map((one) => failureOf(one)?.kind)).toEqual(['unauthorized', 'unauthorized'])
    expect(tms.calls).toHaveLength(1)
    const seen: { headers: Record<string, unknown>; body: string }[] = []
    const server = closing(
      await startSimulatorServer({
        handle({ headers, body }) {
          seen.push({ headers, body: String(body) })
          return { status: 200, body: '{"code":0,"data":{"shipmentId":"1"}}' }
        },
      }),
    )
    given(await connect(server.url).create.send({ trackingNumber: '单号123456' }, write, context))
    const { headers, body } = must(seen[0])
    const content = `${headers['x-timestamp']}${AUTH.apiKey}${body}${AUTH.secret}`
    expect(headers['x-signature']).toBe(createHash('sha256').update(content).digest('hex'))
    expect(headers['x-on-behalf-of']).toBe(encodeURIComponent('王芳'))
  })

  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
  ] as const)('a read that meets %j is %j, for every key', async (fault, failure) => {
    const { shipment, tms, adapter } = await start({ timeoutMs: fault.kind === 'hang' ? 200 : 5_000 })
    tms.setFaults([fault])
    const outcomes = await shipment.readMany(['T-SF1000000007', 'T-1'], context)
    expect(outcomes.map(failureOf)).toEqual([
      expect.objectContaining(failure),
      expect.objectContaining(failure),
    ])
    expect(failureOf(await adapter.health(context))).toMatchObject(failure)
  })
})
