/**
 * Servers written from the seeds and the published contracts alone: what those leave open is done here otherwise than
 * our simulators do it.
 */
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/observe/log.ts'
import { createRestCrm } from '../../src/systems/rest-crm/adapter.ts'
import { restCrmConfig } from '../../src/systems/rest-crm/config.ts'
import { createRestFinance } from '../../src/systems/rest-finance/adapter.ts'
import { restFinanceConfig } from '../../src/systems/rest-finance/config.ts'
import { createRestTms } from '../../src/systems/rest-tms/adapter.ts'
import { restTmsConfig } from '../../src/systems/rest-tms/config.ts'
import { createRestWms } from '../../src/systems/rest-wms/adapter.ts'
import { restWmsConfig } from '../../src/systems/rest-wms/config.ts'
import { closing, context, failureOf, given, type Handle, must, serve, write } from './rest-kit.ts'

const auth = { type: 'bearer', token: 't0ken' }
const options = { systemId: 'one', log: silentLog, timeoutMs: 5_000 }
const crm = (baseUrl: string, settings: object) =>
  closing(createRestCrm(restCrmConfig.parse({ baseUrl, auth, ...settings }), options))
const wms = (baseUrl: string, settings: object = {}) =>
  closing(createRestWms(restWmsConfig.parse({ baseUrl, auth, ...settings }), options))

const finance = (baseUrl: string, settings: object) =>
  closing(createRestFinance(restFinanceConfig.parse({ baseUrl, auth, ...settings }), options))
const tms = (baseUrl: string, settings: object) =>
  closing(createRestTms(restTmsConfig.parse({ baseUrl, auth, ...settings }), options))

describe('the CRM of seed 000: no envelope, a PUT of the whole customer, an answer without a body', () => {
  const KEY = '900000000000000001'
  const start = async () => {
    const customer = {
      customerId: 'KEY',
      customerName: '上海晨光 😀',
      email: '',
      address: '张江路１号',
      level: 'Vip',
      createDate: '2026-01-05 09:30:00',
      score: 12.5,
    }
    // An id that no double holds.
    const text = (value: unknown) => JSON.stringify(value).replace('"KEY"', KEY)
    const written: unknown[] = []
    const handle: Handle = ({ method, url, body }) => {
      if (method === 'GET' && url.pathname === '/api/customers/900000000000000001')
        return { raw: text(customer) }
      if (method === 'GET' && url.pathname === '/api/customers') return { raw: text([customer]) }
      if (method === 'PUT') {
        written.push(body)
        if (body.includes('BASIC'))
          return { status: 400, body: { status: 400, error: 'Bad Request', message: '不能降级' } }
        return { status: 204 }
      }
      if (method === 'POST') return { status: 201, headers: { location: `${url.pathname}/OP-1` } }
      return { status: 404, body: { status: 404, error: 'Not Found', path: url.pathname } }
    }
    const { url } = await serve(handle)
    const settings = {
      envelope: 'none',
      listItems: '.',
      paging: 'page',
      batchLimit: 1,
      updates: 'whole',
      timeZone: 'Asia/Shanghai',
    }
    return { ports: crm(url, settings).ports, written }
  }
  test('is read: ids keep their digits, times get their zone, who is not there is null', async () => {
    const { customer } = (await start()).ports
    const [known, unknown] = await must(customer).readMany([KEY, '1'], context)
    expect(given(known)).toMatchObject({
      key: KEY,
      level: 'VIP',
      email: null,
      addresses: [{ type: 'OFFICE', street: '张江路１号' }],
      createdAt: '2026-01-05T09:30:00+08:00',
    })
    expect(given(unknown)).toBeNull()
    expect(given(await must(customer?.list)({ first: 5 }, context)).items).toHaveLength(1)
  })

  test('is changed by all of the customer, number for number', async () => {
    const { ports, written } = await start()
    const { send } = must(ports.customer?.update)
    expect(given(await send({ key: KEY, changes: { phone: '1' } }, write, context))).toEqual({
      key: KEY,
      reached: 'effective',
    })
    expect(written).toEqual([
      '{"customerId":900000000000000001,"customerName":"上海晨光 😀","email":"","address":"张江路１号","level":"Vip","createDate":"2026-01-05 09:30:00","score":12.5,"phone":"1"}',
    ])
    expect(failureOf(await send({ key: KEY, changes: { level: 'BASIC' } }, write, context))).toMatchObject({
      kind: 'rejected',
      message: '不能降级',
    })
  })

  test('names what it made by its address', async () => {
    const { opportunity } = (await start()).ports
    const made = await must(opportunity?.create).send({ customer: KEY, name: '大单' }, write, context)
    expect(given(made).key).toBe('OP-1')
  })
})

describe('a WMS that pages whatever it is asked', () => {
  const row = (warehouseId: string) => ({ skuId: 'S1', warehouseId, unit: '个', onHandQty: '1' })
  const rows = ['W1', 'W2', 'W3'].map(row)
  const page: Handle = ({ url }) => {
    const after = url.searchParams.get('after')?.split(',')[1] ?? ''
    const rest = rows.filter(({ warehouseId }) => warehouseId > after)
    const data = { items: rest.slice(0, 2), pagination: { limit: 2, hasMore: rest.length > 2 } }
    return { body: { code: 0, message: 'success', data } }
  }

  test('shows all stock of a product', async () => {
    const { url } = await serve(page)
    const { inventoryLevel } = wms(url).ports
    const [levels] = await must(inventoryLevel?.lookups?.byProduct).read(['S1'], context)
    expect(given(levels).map(({ warehouse }) => warehouse)).toEqual(['W1', 'W2', 'W3'])
    const [third] = await must(inventoryLevel).readMany(['S1/W3'], context)
    expect(given(third)).not.toBeNull()
  })

  test('is polled by the time of the change where it keeps no feed', async () => {
    const { url, calls } = await serve(({ url }) => ({
      body: {
        code: 0,
        data: { rows: url.searchParams.has('updated_since') ? rows.slice(0, 1) : [], total: 1 },
        timestamp: 1_770_000_000_000,
      },
    }))
    const settings = {
      feed: false,
      paging: 'page',
      listItems: 'rows',
      parameters: { updatedSince: 'updated_since', limit: 'size' },
    }
    const changes = must(wms(url, settings).ports.inventoryLevel?.changes)
    const since = given(await changes(null, context)).checkpoint
    expect(given(await changes(since, context)).records.map(({ key }) => key)).toEqual(['S1/W1'])
    expect(calls).toEqual([
      'GET /api/v1/inventory?size=1',
      'GET /api/v1/inventory?updated_since=2026-02-02T02%3A39%3A50.000Z&page=1&size=100',
    ])
  })

  test('acknowledges what is made and done without showing it: neither becomes the record', async () => {
    const { url } = await serve(({ url }) =>
      url.pathname.endsWith('/ship')
        ? { status: 204 }
        : { body: { code: 0, message: '', data: { deliveryId: 'D1', lines: [], status: 'CREATED' } } },
    )
    const { delivery } = wms(url, { defaultWarehouse: 'W1' }).ports
    const input = { direction: 'OUTBOUND', lines: [{ product: 'S1', quantity: '1' }] } as const
    const receipt = { key: 'D1', reached: 'effective' }
    expect(given(await must(delivery?.create).send(input, write, context))).toEqual(receipt)
    expect(given(await must(delivery?.actions?.ship).send({ key: 'D1' }, write, context))).toEqual(receipt)
  })
})

describe('a system that says 200 to everything', () => {
  test.each([
    [{ code: 404, message: '没有' }, { kind: 'not-found' }],
    [{ code: 401, message: '未登录' }, { kind: 'unauthorized' }],
    [{ code: 500, message: '系统异常' }, { kind: 'unknown-outcome' }],
    [
      { code: 42900, message: '太快' },
      { kind: 'unavailable', reason: 'rate-limited' },
    ],
    [
      { code: 7, message: '库存不足' },
      { kind: 'rejected', code: '7' },
    ],
  ])('means %j', async (body, failure) => {
    const { url } = await serve(() => ({ body }))
    const ship = must(wms(url).ports.delivery?.actions?.ship)
    expect(failureOf(await ship.send({ key: 'D1' }, write, context))).toMatchObject(failure)
  })
})

test('a list that is not there is no empty list', async () => {
  const { url } = await serve(() => ({ status: 404, body: { message: 'Not Found' } }))
  const list = must(wms(url).ports.warehouse?.list)
  expect(failureOf(await list({ first: 1 }, context))?.kind).toBe('invalid-response')
})

describe('a finance system of seed 000', () => {
  test('says in words that the payment is written back, which is known there by our reference', async () => {
    const { url } = await serve(() => ({
      raw: '付款结果回写成功',
      headers: { 'content-type': 'text/plain' },
    }))
    const settings = { envelope: 'none', fields: { payment: { id: 'id', externalRef: 'id' } } }
    const { send } = must(finance(url, settings).ports.payment?.create)
    const amount = { amount: '5', currency: 'CNY' }
    const input = { customer: 'F-1', date: '2026-06-30', amount, applications: [] }
    expect(given(await send(input, write, context)).key).toBe(write.externalReference)
  })

  test('that answers with a page says nothing', async () => {
    const { url } = await serve(() => ({ raw: '<html>ok</html>', headers: { 'content-type': 'text/html' } }))
    const { send } = must(finance(url, { envelope: 'none' }).ports.payment?.create)
    const amount = { amount: '5', currency: 'CNY' }
    const input = { customer: 'F-1', date: '2026-06-30', amount, applications: [] }
    expect(failureOf(await send(input, write, context))?.kind).toBe('unknown-outcome')
  })

  test('writes days and currencies in its own way', async () => {
    // 2026-02-01 16:30 in Greenwich is the next day in Shanghai.
    const invoice = {
      invoiceId: 'I-1',
      invoiceType: 'standard',
      issueDate: 1_769_963_400_000,
      dueDate: '2026/03/01',
      grossAmount: 113,
      status: 'Open',
    }
    const { url } = await serve(() => ({ body: { code: 0, data: invoice } }))
    const settings = { batchLimit: 1, currency: 'CNY', timeZone: 'Asia/Shanghai' }
    const [read] = await must(finance(url, settings).ports.invoice).readMany(['I-1'], context)
    expect(given(read)).toMatchObject({
      type: 'STANDARD',
      status: 'OPEN',
      issueDate: '2026-02-02',
      dueDate: '2026-03-01',
      totals: { gross: { amount: '113', currency: 'CNY' } },
    })
  })
})

test('a shipment is shown though its carrier noted a time and no word', async () => {
  const tracks = [{ time: '2026-02-02 10:00', description: null, status: 'in_transit' }]
  const shipment = { shipmentId: 501, trackingNo: 'SF1', status: 'in_transit', orderNos: 'SO-1', tracks }
  const { url } = await serve(() => ({ body: { code: 0, data: shipment } }))
  const [read] = await must(tms(url, { batchLimit: 1 }).ports.shipment).readMany(['501'], context)
  expect(given(read)).toMatchObject({
    key: '501',
    status: 'IN_TRANSIT',
    orderNumbers: ['SO-1'],
    events: [{ time: '2026-02-02T10:00:00+00:00', text: '', status: 'IN_TRANSIT' }],
  })
})

test.each([
  [2, 3],
  [5, 5],
])(
  'a list that says nothing of its pages is read to its end, where it gives %i at once and asked for %i',
  async (cap, pageLimit) => {
    const all = ['C1', 'C2', 'C3', 'C4', 'C5'].map((customerId) => ({ customerId, customerName: customerId }))
    const { url } = await serve(({ url }) => {
      const page = Number(url.searchParams.get('page'))
      return { body: cap < all.length ? all.slice((page - 1) * cap, page * cap) : all }
    })
    const settings = { envelope: 'none', listItems: '.', paging: 'page', pageLimit: pageLimit + 1 }
    const list = must(crm(url, settings).ports.customer?.list)
    const { items, hasMore } = given(await list({ first: 50 }, context))
    expect(items.map(({ record }) => record.key)).toEqual(['C1', 'C2', 'C3', 'C4', 'C5'])
    expect(hasMore).toBe(false)
  },
)
