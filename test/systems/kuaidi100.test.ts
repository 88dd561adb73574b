import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import { scanParcel, sendParcel } from '../../src/simulation/parcels.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { createKuaidi100 } from '../../src/systems/kuaidi100/adapter.ts'
import { pushSign, querySign } from '../../src/systems/kuaidi100/client.ts'
import { kuaidi100Config } from '../../src/systems/kuaidi100/config.ts'
import {
  type Kuaidi100SimulatorOptions,
  startKuaidi100Simulator,
} from '../../src/systems/kuaidi100/simulator.ts'
import type { WebhookRequest, WebhookVerdict, WriteContext } from '../../src/systems/port.ts'
import { failure as failureOf, value as given } from './outcomes.ts'

const CUSTOMER = '7C5A3F1B'
const KEY = 'AbCdEf123456'
const SALT = 'salt-of-sixteen-x'
const context = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: '王芳' }

const YT = 'yuantong/YT7700000000011'
const SF = 'shunfeng/SF1000000007'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Settings = Record<string, unknown>

function connect(baseUrl: string, settings: Settings = {}, timeoutMs = 2_000) {
  const config = kuaidi100Config.parse({ baseUrl, customer: CUSTOMER, key: KEY, ...settings })
  const adapter = createKuaidi100(config, { systemId: 'kd', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  const port = adapter.ports.shipment
  if (!port?.lookups?.byNumber) throw new Error('no shipment port')
  return { adapter, port, byNumber: port.lookups.byNumber }
}

interface StartOptions extends Partial<Kuaidi100SimulatorOptions> {
  readonly settings?: Settings
  readonly timeoutMs?: number
}

async function start({ settings, timeoutMs, ...options }: StartOptions = {}) {
  const world = new World({ customers: 2, products: 3, orders: 0 })
  const service = await startKuaidi100Simulator(world, { customer: CUSTOMER, key: KEY, ...options })
  cleanups.push(() => service.close())
  return { world, service, ...connect(service.url, settings, timeoutMs) }
}

/** With somebody who takes pushes as the gateway's door would. */
async function startFollowing({ settings, ...options }: StartOptions = {}) {
  const verdicts: WebhookVerdict[] = []
  const requests: WebhookRequest[] = []
  let take: ((request: WebhookRequest) => WebhookVerdict) | undefined
  let answer: ((refusal: string | null) => object) | undefined
  let refuse = 0
  const door = await startSimulatorServer({
    handle({ headers, body }) {
      if (refuse > 0) {
        refuse--
        return { status: 200, body: 'OK' }
      }
      const request = { headers: headers as WebhookRequest['headers'], body }
      requests.push(request)
      const verdict = take?.(request)
      if (!verdict) return { status: 404 }
      verdicts.push(verdict)
      return {
        status: verdict.ok ? 200 : 401,
        body: JSON.stringify(answer?.(verdict.ok ? null : verdict.detail)),
      }
    },
  })
  cleanups.push(() => door.close())
  const webhook = { url: `${door.url}/webhooks/kd`, salt: SALT }
  const started = await start({ retryDelaysMs: [5, 5, 5], ...options, settings: { webhook, ...settings } })
  const receiver = started.adapter.webhook
  const create = started.port.create
  if (!receiver?.answer || !create) throw new Error('nothing can be followed')
  take = (request) => receiver.receive(request, new Date())
  answer = receiver.answer
  return {
    ...started,
    create,
    receiver,
    verdicts,
    requests,
    refusePushes: (count: number) => {
      refuse = count
    },
  }
}

const form = (fields: Readonly<Record<string, string>>): WebhookRequest => ({
  headers: { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' },
  body: Buffer.from(new URLSearchParams(fields).toString()),
})

describe('signatures', () => {
  test('a query is signed as in the vendor’s example', () => {
    const param = '{"com":"yuantong","num":"YT0000000000001"}'
    expect(querySign(param, 'testkey', 'TESTCUST')).toBe('1A0FFC32C421BB89D2407C86E589592D')
  })

  test('a push is signed over its text and the salt', () => {
    // printf '%s' '{"a":1}salt' | md5sum
    expect(pushSign('{"a":1}', 'salt')).toBe('B218F90555A22945EC35A666B2C7B040')
  })
})

describe('parcels are read', () => {
  test('a parcel that arrived, with every scan in its order and its time zone', async () => {
    const { port } = await start()
    const [outcome] = await port.readMany([YT], context)
    expect(given(outcome)).toEqual({
      key: YT,
      trackingNumber: 'YT7700000000011',
      carrier: 'yuantong',
      carrierName: '圆通速递',
      status: 'DELIVERED',
      vendorStatus: '3',
      recipientRegion: '北京市朝阳区',
      expectedDelivery: '2026-03-03',
      signedBy: null,
      signedAt: '2026-03-03T11:30:00+08:00',
      orderNumbers: [],
      deliveryNumbers: [],
      updatedAt: '2026-03-03T11:30:00+08:00',
      events: [
        {
          time: '2026-03-01T10:20:30+08:00',
          place: '浙江省杭州市',
          text: '【杭州萧山公司】已揽收 📦',
          status: 'PICKED_UP',
          vendorStatus: '103',
        },
        {
          time: '2026-03-01T23:59:59+08:00',
          place: '浙江省杭州市',
          text: '离开【杭州转运中心】，下一站【北京转运中心】',
          status: 'IN_TRANSIT',
          vendorStatus: '1002',
        },
        {
          time: '2026-03-03T07:10:00+08:00',
          place: '北京市朝阳区',
          text: '【北京朝阳公司】派件中，请保持电话畅通',
          status: 'OUT_FOR_DELIVERY',
          vendorStatus: '5',
        },
        {
          time: '2026-03-03T11:30:00+08:00',
          place: '北京市朝阳区',
          text: '客户签收人：张伟，已签收',
          status: 'DELIVERED',
          vendorStatus: '301',
        },
      ],
    })
  })

  test('answers stand in the order of the keys, repeated keys share one question, unknown ones are null', async () => {
    const { port, service } = await start()
    const keys = [
      'jtexpress/JT5200000000023',
      YT,
      'jtexpress/JT5200000000023',
      'yuantong/YT0000000000000',
      'ems/EA123456785CN',
      // Announced, and scanned nowhere yet.
      'yuantong/YT7700000000099',
    ]
    const outcomes = await port.readMany(keys, context)
    expect(outcomes.map((one) => given(one)?.trackingNumber ?? null)).toEqual([
      'JT5200000000023',
      'YT7700000000011',
      'JT5200000000023',
      null,
      'EA123456785CN',
      null,
    ])
    expect([...service.calls].sort()).toEqual([
      'QUERY EA123456785CN',
      'QUERY JT5200000000023',
      'QUERY YT0000000000000',
      'QUERY YT7700000000011',
      'QUERY YT7700000000099',
    ])
  })

  test('a refusal by the recipient and customs are told, with the vendor’s codes', async () => {
    const { port } = await start()
    const [refused, customs] = (
      await port.readMany(['jtexpress/JT5200000000023', 'ems/EA123456785CN'], context)
    ).map(given)
    expect(refused).toMatchObject({ status: 'EXCEPTION', vendorStatus: '14', signedAt: null })
    expect(refused?.events.at(-1)?.text).toBe('收件人拒收："外箱破损"')
    expect(customs).toMatchObject({ status: 'CUSTOMS', vendorStatus: '10', recipientRegion: 'Hamburg' })
  })

  test.each([
    '',
    'yuantong',
    'yuantong/',
    '/YT7700000000011',
    'Yuan Tong/YT7700000000011',
    `${YT}/1`,
    'yuantong/1&2=3456',
  ])('the key %j is nobody’s, and nothing is asked', async (key) => {
    const { port, service } = await start()
    expect(await port.readMany([key], context)).toEqual([{ ok: true, value: null }])
    expect(service.calls).toEqual([])
  })
})

describe('telephone numbers', () => {
  test('a carrier that wants one is not even asked without', async () => {
    const { port, service } = await start()
    const [outcome] = await port.readMany([SF], context)
    expect(failureOf(outcome)).toEqual({
      kind: 'rejected',
      code: '408',
      message:
        "顺丰速运 tells nothing without the last four digits of the recipient's or the sender's telephone number.",
      field: 'phone',
    })
    expect(service.calls).toEqual([])
  })

  test('the sender’s own number opens what it sent', async () => {
    const { port } = await start({ senderPhone: '0755-26990000', settings: { phone: '0000' } })
    expect(given((await port.readMany([SF], context))[0])).toMatchObject({
      carrierName: '顺丰速运',
      status: 'IN_TRANSIT',
    })
  })

  test('a wrong one is the vendor’s refusal, and is not asked again', async () => {
    const { port, service } = await start({ settings: { phone: '9999' } })
    for (const _round of [1, 2]) {
      const [outcome] = await port.readMany([SF], context)
      expect(failureOf(outcome)).toEqual({
        kind: 'rejected',
        code: '408',
        message: '验证码错误',
        field: 'phone',
      })
    }
    expect(service.calls).toHaveLength(1)
  })

  test('carriers that want none are not told any', async () => {
    const { port, service } = await start({ settings: { phone: '0000' } })
    const bodies: string[] = []
    const proxy = await startSimulatorServer({
      async handle({ body, headers, path }) {
        bodies.push(body.toString())
        const type = String(headers['content-type'])
        const answer = await fetch(`${service.url}${path}`, {
          method: 'POST',
          headers: { 'content-type': type },
          body: body.toString(),
        })
        return { status: answer.status, body: await answer.text() }
      },
    })
    cleanups.push(() => proxy.close())
    expect(given((await port.readMany([YT], context))[0])?.status).toBe('DELIVERED')
    const other = connect(proxy.url, { phone: '0000' })
    expect(given((await other.port.readMany([YT], context))[0])?.status).toBe('DELIVERED')
    expect(bodies).toHaveLength(1)
    expect(decodeURIComponent(bodies[0] ?? '')).not.toContain('phone')
  })
})

describe('by number alone', () => {
  test('the carrier is told by what its numbers look like', async () => {
    const { byNumber } = await start()
    const outcomes = await byNumber.read(['JT5200000000023', 'YT7700000000011', 'YT0000000000000'], context)
    expect(outcomes.map((one) => given(one).map(({ key }) => key))).toEqual([
      ['jtexpress/JT5200000000023'],
      [YT],
      [],
    ])
  })

  test('a number that could be anybody’s is not asked for', async () => {
    const { byNumber, service } = await start()
    expect(await byNumber.read(['780012345678'], context)).toEqual([{ ok: true, value: [] }])
    expect(service.calls).toEqual([])
  })

  test('unless the vendor is to tell whose it is', async () => {
    const { world, service } = await start()
    sendParcel(world, {
      number: '780012345678',
      carrier: 'ZTO',
      phone: '13600136000',
      from: '上海市',
      to: '江苏省苏州市',
      orderNo: null,
      deliveryNo: null,
      expectedDay: null,
    })
    scanParcel(world, '780012345678', 'COLLECTED', '上海市', '已揽收')
    const { byNumber } = connect(service.url, { recogniseUrl: `${service.url}/autonumber/auto` })
    const [outcome] = await byNumber.read(['780012345678'], context)
    expect(given(outcome)[0]?.key).toBe('zhongtong/780012345678')
    expect(service.calls).toEqual(['GET /autonumber/auto?780012345678', 'QUERY 780012345678'])
  })
})

describe('one parcel is not asked for too often', () => {
  test('whoever asks within the interval is told what was said last', async () => {
    const { port, byNumber, service, world } = await start({ intervalMs: 60_000 })
    const key = 'jtexpress/JT5200000000023'
    await Promise.all([port.readMany([key], context), port.readMany([key], context)])
    scanParcel(world, 'JT5200000000023', 'RETURNING', '四川省成都市', '退回中')
    expect(given((await port.readMany([key], context))[0])?.status).toBe('EXCEPTION')
    expect(given((await byNumber.read(['JT5200000000023'], context))[0])[0]?.status).toBe('EXCEPTION')
    expect([service.calls.length, service.askedTooOften]).toEqual([1, 0])
  })

  test('after it the parcel is asked for again, but not one that arrived', async () => {
    const { port, service, world } = await start({ settings: { intervalMinutes: 0 } })
    const moving = 'jtexpress/JT5200000000023'
    for (const _round of [1, 2]) await port.readMany([moving, YT], context)
    expect([...service.calls].sort()).toEqual([
      'QUERY JT5200000000023',
      'QUERY JT5200000000023',
      'QUERY YT7700000000011',
    ])
    scanParcel(world, 'JT5200000000023', 'RETURNED', '广东省广州市', '已退签')
    expect(given((await port.readMany([moving], context))[0])?.status).toBe('RETURNED')
  })

  test('a number that is not found is not asked for at once either', async () => {
    const { port, service } = await start({ intervalMs: 60_000 })
    for (const _round of [1, 2]) await port.readMany(['yuantong/YT0000000000000'], context)
    expect([service.calls.length, service.askedTooOften]).toEqual([1, 0])
  })

  test('one who gives up does not take the answer from those who wait with him', async () => {
    const { port, service } = await start()
    service.setFaults([{ kind: 'delay', ms: 100 }])
    const gone = new AbortController()
    const first = port.readMany([YT], { ...context, signal: gone.signal })
    const second = port.readMany([YT], context)
    gone.abort()
    expect(failureOf((await first)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
    expect(given((await second)[0])?.status).toBe('DELIVERED')
  })
})

describe('parcels are followed', () => {
  test('what is known already is told at once; then each scan as it happens, signed', async () => {
    const { create, service, world, verdicts, port } = await startFollowing()
    const result = given(
      await create.send(
        { trackingNumber: 'SF1000000007', carrier: '顺丰', phone: '+86 755 8600 1234' },
        write,
        context,
      ),
    )
    expect(result).toMatchObject({ key: SF, reached: 'effective', record: { status: 'IN_TRANSIT' } })
    await service.settled()
    scanParcel(world, 'SF1000000007', 'SIGNED', '上海市浦东新区', '已签收，感谢使用顺丰', {
      at: '2026-06-14T02:00:00.000Z',
    })
    await service.settled()
    expect(service.followed()).toEqual([{ parcel: SF, status: 'shutdown', taken: 2 }])
    const told = verdicts.flatMap((one) => (one.ok ? one.notifications : []))
    expect(told).toHaveLength(2)
    expect(told[1]).toMatchObject({
      type: 'shipment',
      key: SF,
      change: 'updated',
      time: '2026-06-14T10:00:00+08:00',
      record: {
        status: 'DELIVERED',
        signedAt: '2026-06-14T10:00:00+08:00',
        recipientRegion: '上海市浦东新区',
        expectedDelivery: '2026-06-14',
      },
    })
    expect(told[1]?.id).not.toBe(told[0]?.id)
    // What was pushed needs no question.
    service.clearCalls()
    expect(given((await port.readMany([SF], context))[0])?.status).toBe('DELIVERED')
    expect(service.calls).toEqual([])
  })

  test('a push is sent until it is answered as the vendor wants', async () => {
    const { create, service, verdicts, refusePushes } = await startFollowing()
    refusePushes(2)
    given(await create.send({ trackingNumber: 'JT5200000000023' }, write, context))
    await service.settled()
    expect(service.followed()).toEqual([{ parcel: 'jtexpress/JT5200000000023', status: 'polling', taken: 1 }])
    expect(verdicts).toHaveLength(1)
  })

  test('a parcel that nobody has scanned is followed all the same', async () => {
    const { create, service } = await startFollowing()
    const result = given(await create.send({ trackingNumber: 'YT7700000000099' }, write, context))
    expect(result.record).toMatchObject({
      status: 'UNKNOWN',
      carrierName: '圆通速递',
      events: [],
      updatedAt: null,
    })
    expect(service.followed()).toEqual([{ parcel: 'yuantong/YT7700000000099', status: 'polling', taken: 0 }])
  })

  test('following a parcel twice is one following', async () => {
    const { create, service } = await startFollowing()
    given(await create.send({ trackingNumber: 'JT5200000000023' }, write, context))
    const again = given(await create.send({ trackingNumber: 'JT5200000000023' }, write, context))
    expect(again).toMatchObject({ key: 'jtexpress/JT5200000000023', note: 'It was followed before.' })
    expect(service.followed()).toHaveLength(1)
    expect(service.calls.filter((call) => call.startsWith('QUERY'))).toHaveLength(1)
  })

  test('the code of "followed before" beside words of a server that failed is no success', async () => {
    const { create, service } = await startFollowing()
    const body = '{"result":false,"returnCode":"501","message":"服务器错误"}'
    service.setFaults([{ kind: 'status', status: 200, body, match: 'POST /poll$', times: 1 }])
    const input = { trackingNumber: 'JT5200000000023' }
    expect(failureOf(await create.send(input, write, context))).toMatchObject({ kind: 'unknown-outcome' })
    expect(service.followed()).toEqual([])
    expect(given(await create.send(input, write, context)).note).toBeUndefined()
  })

  test('a lost answer is an unknown outcome, and sending again is proven to be harmless', async () => {
    const { create, service } = await startFollowing()
    service.setFaults([{ kind: 'drop-after', match: 'POST /poll$', times: 1 }])
    const input = { trackingNumber: 'JT5200000000023' }
    expect(failureOf(await create.send(input, write, context))).toMatchObject({ kind: 'unknown-outcome' })
    expect(given(await create.verify(input, write, context))).toMatchObject({ effect: 'none', proven: true })
    expect(given(await create.send(input, write, context)).key).toBe('jtexpress/JT5200000000023')
    expect(service.followed()).toHaveLength(1)
  })

  test.each([
    [{ trackingNumber: '12' }, 'NUMBER', 'trackingNumber'],
    [{ trackingNumber: 'YT7700000000099', carrier: '飞鸽传书' }, 'CARRIER', 'carrier'],
    [{ trackingNumber: '780012345678' }, 'CARRIER', 'carrier'],
    [{ trackingNumber: 'SF1000000007' }, '408', 'phone'],
    [{ trackingNumber: 'SF1000000007', phone: '12' }, '408', 'phone'],
    [{ trackingNumber: 'YT7700000000099', carrier: 'nosuch' }, '700', 'carrier'],
  ])('%j is refused with its reason', async (input, code, field) => {
    const { create, service } = await startFollowing()
    expect(failureOf(await create.send(input, write, context))).toMatchObject({
      kind: 'rejected',
      code,
      field,
    })
    expect(service.followed()).toEqual([])
  })

  test('what would be sent can be seen, without the secrets', async () => {
    const { create } = await startFollowing()
    const preview = create.preview(
      { trackingNumber: 'SF1000000007', carrier: '顺丰速运', phone: '1234' },
      write,
    )
    expect(preview).toMatchObject({ method: 'POST', path: '/poll' })
    const sent = new URLSearchParams(preview.body)
    expect(JSON.parse(sent.get('param') ?? '')).toMatchObject({
      company: 'shunfeng',
      number: 'SF1000000007',
      key: '***',
      parameters: { salt: '***', phone: '1234', resultv2: '4' },
    })
  })

  test('without a webhook nothing can be followed', async () => {
    const { port, adapter } = await start()
    expect([port.create, adapter.webhook]).toEqual([undefined, undefined])
  })
})

describe('pushes', () => {
  test('one that was changed, unsigned or signed with another salt is refused', async () => {
    const { create, service, receiver, requests } = await startFollowing()
    given(await create.send({ trackingNumber: 'JT5200000000023' }, write, context))
    await service.settled()
    const fields = new URLSearchParams(requests[0]?.body.toString())
    const [param, sign] = [fields.get('param') ?? '', fields.get('sign') ?? '']
    expect(receiver.receive(form({ param, sign }), new Date()).ok).toBe(true)
    const forged: Record<string, string>[] = [
      { param: param.replace('拒收', '签收'), sign },
      { param },
      { param, sign: '' },
      { param, sign: pushSign(param, 'another salt, 16+') },
      { param, sign: pushSign(param, '') },
    ]
    for (const one of forged)
      expect(receiver.receive(form(one), new Date())).toMatchObject({ ok: false, reason: 'signature' })
    expect(receiver.answer?.('"sign" does not match')).toMatchObject({ result: false, returnCode: '500' })
  })

  test.each([
    ['no JSON', 'x'],
    ['another type', '[]'],
    ['nothing of a parcel', '{"status":"polling","lastResult":{}}'],
    [
      'a scan without a time',
      '{"status":"polling","lastResult":{"com":"a","nu":"b","state":"0","data":[{"context":"x"}]}}',
    ],
    ['a prototype', '{"status":"polling","lastResult":{"__proto__":{"com":"a","nu":"b"},"data":[]}}'],
  ])('one with %s is refused, though signed', async (_what, param) => {
    const { receiver } = await startFollowing()
    expect(receiver.receive(form({ param, sign: pushSign(param, SALT) }), new Date())).toMatchObject({
      ok: false,
      reason: 'malformed',
    })
  })

  test('JSON in place of a form is refused', async () => {
    const { receiver } = await startFollowing()
    const request = { headers: { 'content-type': 'application/json' }, body: Buffer.from('{}') }
    expect(receiver.receive(request, new Date())).toMatchObject({ ok: false, reason: 'malformed' })
  })

  test('one that comes late does not undo what is known', async () => {
    const { create, service, world, receiver, requests, port } = await startFollowing()
    given(await create.send({ trackingNumber: 'EA123456785CN' }, write, context))
    await service.settled()
    scanParcel(world, 'EA123456785CN', 'OUT', 'Hamburg', 'Out for delivery')
    await service.settled()
    const [first] = requests
    if (!first) throw new Error('no push came')
    expect(receiver.receive(first, new Date()).ok).toBe(true)
    expect(given((await port.readMany(['ems/EA123456785CN'], context))[0])?.status).toBe('OUT_FOR_DELIVERY')
  })

  test('the end of a search without result tells nothing; another carrier’s number is no parcel of this one', async () => {
    const { create, service, verdicts } = await startFollowing()
    given(await create.send({ trackingNumber: 'YT7700000000099' }, write, context))
    expect((await service.giveUp('YT7700000000099')).status).toBe(200)
    expect(await service.giveUp('YT7700000000099', 'zhongtong')).toEqual({
      status: 200,
      body: '{"result":true,"returnCode":"200","message":"成功"}',
    })
    expect(verdicts.map((one) => (one.ok ? one.notifications : one))).toEqual([
      [],
      [expect.objectContaining({ key: 'yuantong/YT7700000000099', change: 'deleted' })],
    ])
  })
})

describe('bad days', () => {
  test('a wrong key is refused once, and named in no error', async () => {
    const { service } = await start()
    const { port, adapter } = connect(service.url, { key: 'wrong-key-4711' })
    const failures = [
      failureOf((await port.readMany([YT], context))[0]),
      failureOf(await adapter.health(context)),
    ]
    for (const failure of failures)
      expect(failure).toEqual({ kind: 'unauthorized', detail: '503 验证签名失败' })
    expect(service.calls).toHaveLength(2)
    expect(JSON.stringify(failures)).not.toContain('wrong-key-4711')
  })

  test('with good credentials it is well', async () => {
    const { adapter } = await start()
    expect(given(await adapter.health(context)).detail).toContain(CUSTOMER)
  })

  test('a wrong key does not let a parcel be followed either', async () => {
    const { service, create } = await startFollowing({ settings: { key: 'wrong-key-4711' } })
    const failure = failureOf(await create.send({ trackingNumber: 'YT7700000000099' }, write, context))
    expect(failure).toMatchObject({ kind: 'unauthorized' })
    expect(service.followed()).toEqual([])
  })

  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'truncate' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7_000 },
    ],
    [
      { kind: 'status', status: 502 },
      { kind: 'unavailable', reason: 'overloaded' },
    ],
    [{ kind: 'status', status: 403 }, { kind: 'unauthorized' }],
    [
      { kind: 'status', status: 200, body: '{"result":false,"returnCode":"501","message":"服务器错误"}' },
      { kind: 'unavailable', reason: 'overloaded' },
    ],
    [
      { kind: 'status', status: 200, body: '{"result":false,"returnCode":"502","message":"服务器繁忙"}' },
      { kind: 'unavailable', reason: 'rate-limited' },
    ],
    [
      { kind: 'status', status: 200, body: '{"result":false,"returnCode":"601","message":"KEY已过期"}' },
      { kind: 'unauthorized' },
    ],
    [
      { kind: 'status', status: 200, body: '{"result":false,"returnCode":"666","message":"?"}' },
      { kind: 'rejected', code: '666' },
    ],
    [{ kind: 'status', status: 200, body: '{"result":true}' }, { kind: 'invalid-response' }],
    [{ kind: 'status', status: 200, body: '[]' }, { kind: 'invalid-response' }],
    [
      {
        kind: 'status',
        status: 200,
        body: '{"status":"200","com":"yuantong","nu":"YT1","state":"0","data":[]}',
      },
      { kind: 'invalid-response' },
    ],
    [
      {
        kind: 'status',
        status: 200,
        body: '{"status":"200","com":"yuantong","nu":"YT7700000000011","state":"0","data":[{"context":"x","ftime":"昨天"}]}',
      },
      { kind: 'invalid-response' },
    ],
  ] as const)('a read that meets %j fails as %j', async (fault, failure) => {
    // Only where nothing comes at all is the end waited for; elsewhere a busy machine may take its time.
    const { port, service } = await start({
      timeoutMs: 'reason' in failure && failure.reason === 'timeout' ? 150 : 5_000,
    })
    service.setFaults([fault])
    expect(failureOf((await port.readMany([YT], context))[0])).toMatchObject(failure)
  })

  test('an outage is over when the system is back: nothing of it is remembered', async () => {
    const { port, service } = await start()
    service.setFaults([{ kind: 'refuse', times: 1 }])
    expect(failureOf((await port.readMany([YT], context))[0])).toMatchObject({ kind: 'unavailable' })
    expect(given((await port.readMany([YT], context))[0])?.status).toBe('DELIVERED')
  })

  test('states that nobody here knows stay beside UNKNOWN, and empty texts are none', async () => {
    const { port, service } = await start()
    const body = JSON.stringify({
      status: '200',
      com: 'yuantong',
      nu: 'YT7700000000011',
      state: '9999',
      data: [
        { context: '', ftime: '2026-03-01 10:20:30', areaName: ' ', status: '漂流' },
        { context: 'x', time: '2026-03-01 09:20' },
      ],
    })
    service.setFaults([{ kind: 'status', status: 200, body }])
    expect(given((await port.readMany([YT], context))[0])).toMatchObject({
      status: 'UNKNOWN',
      vendorStatus: '9999',
      recipientRegion: null,
      expectedDelivery: null,
      events: [
        { time: '2026-03-01T09:20:00+08:00', text: 'x', place: null, status: null, vendorStatus: null },
        { time: '2026-03-01T10:20:30+08:00', text: '', place: null, status: 'UNKNOWN', vendorStatus: '漂流' },
      ],
    })
  })
})

/**
 * A service written from the vendor's pages alone: newest first whatever is asked, no fields of `resultv2`, codes as
 * numbers, and 408 for a carrier of which nobody here knows that it wants a telephone number.
 */
async function startPlain() {
  const asked: Record<string, string>[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const fields = new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
    const param = fields.get('param') ?? ''
    const question = JSON.parse(param) as Record<string, string>
    const sign = createHash('md5').update(`${param}${KEY}${CUSTOMER}`).digest('hex').toUpperCase()
    const said =
      request.url !== '/poll/query.do' || fields.get('sign') !== sign
        ? { result: false, returnCode: 503, message: '签名错误' }
        : say(question)
    asked.push(question)
    response.setHeader('content-type', 'text/html;charset=UTF-8')
    response.end(JSON.stringify(said))
  })
  const say = ({ com, num, phone }: Record<string, string>) => {
    if (com === 'zhongtong' && phone === undefined)
      return { result: false, returnCode: 408, message: '需要收件人或寄件人电话' }
    if (num === 'YT0000000000009') return { message: '查无结果', status: '400', nu: '', com: '', data: null }
    const scans = [
      { time: '…', ftime: '2026-03-02 09:00:00', context: '已签收' },
      { time: '…', ftime: '2026-03-01 10:20:30', context: null },
    ]
    const data = num === 'YT0000000000002' ? undefined : scans
    return { message: 'ok', status: '200', state: 3, ischeck: '1', com, nu: num, data }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    server.closeAllConnections()
    server.close()
  })
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

describe('a service that says no more than the vendor’s pages', () => {
  test('is read: newest first, codes as numbers, texts and lists that are missing', async () => {
    const { url } = await startPlain()
    const { port } = connect(url)
    const keys = ['YT0000000000001', 'YT0000000000002', 'YT0000000000009'].map((one) => `yuantong/${one}`)
    const [trace, bare, older] = await port.readMany(keys, context)
    expect(given(trace)).toMatchObject({
      status: 'DELIVERED',
      vendorStatus: '3',
      events: [
        { time: '2026-03-01T10:20:30+08:00', text: '', status: null },
        { time: '2026-03-02T09:00:00+08:00', text: '已签收', status: null },
      ],
    })
    expect(given(bare)?.events).toEqual([])
    expect(failureOf(older)).toMatchObject({ kind: 'rejected', code: '400', message: '查无结果' })
  })

  test('that wants a telephone number where nobody knew is told it, and from then on at once', async () => {
    const { url, asked } = await startPlain()
    const { port } = connect(url, { phone: '2024' })
    const [first, second] = ['zhongtong/780000000001', 'zhongtong/780000000002']
    expect(given((await port.readMany([String(first)], context))[0])?.status).toBe('DELIVERED')
    expect(given((await port.readMany([String(second)], context))[0])?.status).toBe('DELIVERED')
    expect(asked.map(({ num, phone }) => [num, phone])).toEqual([
      ['780000000001', undefined],
      ['780000000001', '2024'],
      ['780000000002', '2024'],
    ])
    const without = connect(url).port
    expect(failureOf((await without.readMany([String(first)], context))[0])).toMatchObject({
      kind: 'rejected',
      code: '408',
      field: 'phone',
    })
  })

  test('finer states that are newer than the table mean what they refine', async () => {
    const { port, service } = await start()
    const body = JSON.stringify({
      status: '200',
      com: 'yuantong',
      nu: 'YT7700000000011',
      state: '305',
      data: [
        { context: 'a', ftime: '2026-03-01 10:20:30', status: '派件', statusCode: '9001' },
        { context: 'b', ftime: '2026-03-01 11:20:30.0', status: '签收', statusCode: '305' },
        { context: 'c', ftime: '2026-03-01 12:20:30', status: 'constructor', statusCode: 'toString' },
      ],
    })
    service.setFaults([{ kind: 'status', status: 200, body }])
    const shipment = given((await port.readMany([YT], context))[0])
    expect(shipment).toMatchObject({ status: 'DELIVERED', vendorStatus: '305' })
    expect(shipment?.events.map(({ status }) => status)).toEqual(['OUT_FOR_DELIVERY', 'DELIVERED', 'UNKNOWN'])
  })

  test('a push with its state as a number is read', async () => {
    const { receiver } = await startFollowing()
    const scan = { ftime: '2026-03-01 10:20:30', context: '已签收' }
    const lastResult = { status: 200, state: 3, com: 'yuantong', nu: 'YT0000000000001', data: [scan] }
    const param = JSON.stringify({ status: 'shutdown', message: '', lastResult })
    const sign = createHash('md5').update(`${param}${SALT}`).digest('hex')
    expect(await receiver.receive(form({ param, sign }), new Date())).toMatchObject({
      ok: true,
      notifications: [
        { key: 'yuantong/YT0000000000001', record: { status: 'DELIVERED', vendorStatus: '3' } },
      ],
    })
  })
})

describe('settings', () => {
  test('a carrier of one’s own', async () => {
    const { service } = await start()
    const { byNumber } = connect(service.url, {
      carriers: {
        yuantong: { name: '圆通', numbers: '^YT77' },
        zhongtong: { name: '中通', needsPhone: true },
      },
    })
    expect(given((await byNumber.read(['YT7700000000011'], context))[0])[0]?.carrierName).toBe('圆通')
  })

  test.each([
    [{ webhook: { url: 'https://g.example', salt: 'short' } }, 'webhook.salt'],
    [{ phone: 'call me' }, 'phone'],
    [{ carriers: { yuantong: { name: 'x', numbers: '(' } } }, 'carriers.yuantong.numbers'],
    [{ carriers: { 'Yuan Tong': { name: 'x' } } }, 'carriers.Yuan Tong'],
    [{ colour: 'red' }, ''],
  ])('%j is refused', (settings, path) => {
    const parsed = kuaidi100Config.safeParse({ customer: CUSTOMER, key: KEY, ...settings })
    expect(parsed.error?.issues.map((issue) => issue.path.join('.'))).toEqual([path])
  })
})
