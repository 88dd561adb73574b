/**
 * A server that has what seed 002 §2.2 lists and nothing else, written from the seed alone: what it leaves open is
 * done here otherwise than our simulator does it.
 */
import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/observe/log.ts'
import type { OrderCreate } from '../../src/systems/port.ts'
import { createRestErp } from '../../src/systems/rest-erp/adapter.ts'
import { restErpConfig } from '../../src/systems/rest-erp/config.ts'
import {
  closing,
  context,
  failureOf,
  given,
  type Handle,
  type Handled,
  must,
  serve,
  write,
} from './rest-kit.ts'

function connect(baseUrl: string, settings: Record<string, unknown> = {}) {
  const auth = { type: 'bearer', token: 't0ken' }
  const config = restErpConfig.parse({ baseUrl, auth, ...settings })
  return closing(createRestErp(config, { systemId: 'erp', log: silentLog, timeoutMs: 5_000 }))
}

const metadata = { createdAt: '2026-02-01T00:00:00Z', updatedAt: '2026-02-04T16:00:00Z', status: 'active' }
const customerData = (externalId: string, more: object = {}) => ({
  externalId,
  name: `客户 ${externalId}`,
  type: 'company',
  contacts: [],
  addresses: [],
  metadata,
  ...more,
})
const productData = (externalId: string) => ({
  externalId,
  sku: `SKU-${externalId}`,
  name: `产品 ${externalId}`,
  category: { id: 'c', name: 'c', path: [] },
  specifications: [],
  pricing: { standardPrice: 12.5, currency: 'CNY', priceUnit: '个' },
  metadata,
})

/** Paths as the seed lists them; whatever else is asked is answered by a web framework. */
const letter: Handle = ({ method, url }) => {
  const page = (all: readonly unknown[]): Handled => {
    // It never gives more than two at once, whatever it is asked for, and says how many there are.
    const number = Number(url.searchParams.get('page') ?? '1')
    const items = all.slice((number - 1) * 2, number * 2)
    return {
      body: { success: true, data: { items, pagination: { page: number, limit: 2, total: all.length } } },
    }
  }
  switch (`${method} ${url.pathname}`) {
    case 'GET /erp/customers':
      return page(['C1', 'C2', 'C3'].map((id) => customerData(id)))
    case 'GET /erp/products':
      return page(['P1', 'P2', 'P3', 'P4', 'P5'].map(productData))
    case 'POST /erp/orders':
      return {
        body: { success: true, data: { externalId: 'O-1', orderNumber: 'SO2026-1', status: 'CREATED' } },
      }
    case 'GET /erp/orders/O-1/status':
      return {
        body: {
          success: true,
          data: {
            status: { code: 'SHIPPED', name: '已发货', updatedAt: '2026-02-05T08:00:00Z' },
            timeline: [
              { status: 'SHIPPED', timestamp: '2026-02-05T08:00:00Z', notes: '' },
              { status: 'CREATED', timestamp: '2026-02-04T16:00:00Z' },
            ],
          },
        },
      }
    default:
      return {
        status: 404,
        raw: `Cannot ${method} ${url.pathname}`,
        headers: { 'content-type': 'text/html' },
      }
  }
}

describe('a server that has only what the seed lists', () => {
  test('tells how an order stands: there is no order to read, but its status', async () => {
    const { url, calls } = await serve(letter)
    const { order } = connect(url).ports
    const lines = [{ product: 'P1', quantity: '1' }]
    const made = given(
      await must(order?.create).send({ customer: 'C1', dueDate: '2026-03-01', lines }, write, context),
    )
    expect(made.key).toBe('O-1')
    const [known, unknown] = await must(order).readMany(['O-1', 'O-2'], context)
    expect(given(known)).toMatchObject({
      key: 'O-1',
      status: 'SHIPPED',
      statusSince: '2026-02-05T08:00:00Z',
      timeline: [
        { status: 'NEW', time: '2026-02-04T16:00:00Z' },
        { status: 'SHIPPED', time: '2026-02-05T08:00:00Z' },
      ],
    })
    // A page of a web framework says nothing of orders.
    expect(failureOf(unknown)?.kind).toBe('invalid-response')
    expect(calls).toContain('GET /erp/orders/O-1/status')
  })

  test('shows products in its list only: they are found there', async () => {
    const { url, calls } = await serve(letter)
    const { product } = connect(url).ports
    const [last] = await must(product).readMany(['P5'], context)
    expect(given(last)).toMatchObject({
      sku: 'SKU-P5',
      price: { amount: { amount: '12.5', currency: 'CNY' } },
    })
    const [none] = await must(product).readMany(['P9'], context)
    expect(given(none)).toBeNull()
    // What it has learned it does not ask again.
    expect(calls.filter((call) => call.startsWith('GET /erp/products/'))).toEqual([
      'GET /erp/products/P5',
      'GET /erp/products/P1',
    ])
  })

  test('pages by its own size and tells a total: lists are complete', async () => {
    const { url } = await serve(letter)
    const page = given(await must(connect(url).ports.product?.list)({ first: 50 }, context))
    expect(page.items.map(({ record }) => record.key)).toEqual(['P1', 'P2', 'P3', 'P4', 'P5'])
    expect(page.hasMore).toBe(false)
  })
})

describe('a new order is `OrderData`', () => {
  const wares: Readonly<Record<string, object>> = {
    P1: productData('P1'),
    P2: {
      ...productData('P2'),
      pricing: { standardPrice: 1, currency: 'CNY', priceUnit: '米', taxRate: 6 },
      inventory: { quantity: 1, unit: '米' },
    },
  }
  const sent = async (settings: Record<string, unknown>, lines: OrderCreate['lines']): Promise<unknown> => {
    const bodies: string[] = []
    const { url } = await serve(({ method, url, body }) => {
      const [, , collection, id = ''] = url.pathname.split('/')
      if (method === 'POST') {
        bodies.push(body)
        return { status: 201, body: { success: true, data: { externalId: 'O-1', orderNumber: '1' } } }
      }
      const data = collection === 'customers' ? customerData(id, { code: 'K1' }) : wares[id]
      return data ? { body: { success: true, data } } : { status: 404, body: { success: false } }
    })
    const create = must(connect(url, settings).ports.order?.create)
    given(await create.send({ customer: 'C1', dueDate: '2026-03-01', lines }, write, context))
    return JSON.parse(must(bodies[0]))
  }

  test('with names, units and amounts to the cent', async () => {
    // 3 × 0.335 = 1.005, and 10 × 12.3456 less 2.5 % = 120.3696; taxed with 13 % as the lines say.
    const lines = [
      { product: 'P1', quantity: '3', unitPrice: '0.335' },
      { product: 'P2', quantity: '10', unitPrice: '12.3456', discountPercent: '2.5' },
    ]
    const body = await sent({ currency: 'CNY', lineDefaults: { taxRate: 13 } }, lines)
    expect(body).toMatchObject({
      customer: { id: 'C1', name: '客户 C1', code: 'K1' },
      items: [
        { product: { id: 'P1', sku: 'SKU-P1', name: '产品 P1' }, subtotal: 1.01, taxRate: 13 },
        {
          product: { id: 'P2', sku: 'SKU-P2', name: '产品 P2' },
          unit: '米',
          subtotal: 120.37,
          discount: 2.5,
        },
      ],
      amounts: {
        currency: 'CNY',
        subtotal: 121.38,
        discountAmount: 3.09,
        taxAmount: 15.78,
        totalAmount: 137.16,
      },
    })
  })

  test('without amounts where a price is the system’s to say, without tax where no rate is known', async () => {
    const open = (await sent({ currency: 'CNY' }, [{ product: 'P2', quantity: '3' }])) as { amounts: unknown }
    expect(open.amounts).toEqual({ currency: 'CNY' })
    const line = { product: 'P1', quantity: '2', unitPrice: '5' }
    const untaxed = (await sent({ currency: 'CNY' }, [line])) as { amounts: unknown }
    expect(untaxed.amounts).toEqual({ currency: 'CNY', subtotal: 10, discountAmount: 0 })
  })

  test('without what cannot be read, and as it was given where the ERP is configured so', async () => {
    const line = { product: 'P9', quantity: '2' }
    expect(await sent({}, [line])).toMatchObject({ items: [{ product: { id: 'P9' }, quantity: 2 }] })
    expect(await sent({ newOrders: 'given' }, [{ ...line, product: 'P1' }])).toMatchObject({
      customer: { id: 'C1' },
      items: [{ lineNumber: 1, product: { id: 'P1' }, quantity: 2 }],
    })
  })
})

test('a list of changes in no order loses none, even where one moves while it is read', async () => {
  const changed = (id: string, day: string) =>
    customerData(id, { metadata: { ...metadata, updatedAt: `2026-02-${day}T00:00:00Z` } })
  // By creation, as many tables are read: the newest change stands first.
  let rows = [changed('C1', '09'), changed('C2', '05'), changed('C3', '07'), changed('C4', '06')]
  const { url } = await serve(({ url }) => {
    const number = Number(url.searchParams.get('page') ?? '1')
    const limit = Number(url.searchParams.get('limit'))
    const items = rows.slice((number - 1) * limit, number * limit)
    const hasMore = rows.length > number * limit
    return {
      body: {
        success: true,
        data: { items, pagination: { page: number, limit, total: rows.length, hasMore } },
      },
    }
  })
  const { customer } = connect(url, { pageLimit: 2 }).ports
  const changes = must(customer?.changes)
  const since = given(await changes(null, context)).checkpoint
  const first = given(await changes(since, context))
  expect(first.records.map(({ key }) => key)).toEqual(['C1', 'C2'])
  expect(first.hasMore).toBe(true)
  // C1 is gone from the front: what was third is now second.
  rows = rows.slice(1)
  const second = given(await changes(first.checkpoint, context))
  const rest = second.hasMore ? given(await changes(second.checkpoint, context)) : null
  expect([...second.records, ...(rest?.records ?? [])].map(({ key }) => key)).toEqual(['C3', 'C4'])
  expect((rest ?? second).hasMore).toBe(false)
})

describe('refusals in whatever form', () => {
  const orderOf = (refusal: Handled) => async () => {
    const { url } = await serve(() => refusal)
    const create = must(connect(url).ports.order?.create)
    const lines = [{ product: 'P1', quantity: '1' }]
    return failureOf(await create.send({ customer: 'C1', dueDate: '2026-03-01', lines }, write, context))
  }
  test.each([
    [
      { success: false, message: '库存不足', code: 40001 },
      { code: '40001', message: '库存不足' },
    ],
    [
      { success: false, error: '库存不足' },
      { code: '400', message: '库存不足' },
    ],
    [
      { success: false, error: { code: 7, message: '库存不足', details: ['A'] } },
      { code: '7', message: '库存不足' },
    ],
    [{ error: 'Bad Request', message: '库存不足' }, { message: '库存不足' }],
    [
      { message: ['name is empty', 'type is empty'] },
      { code: '400', message: 'name is empty; type is empty' },
    ],
  ])('%j', async (body, expected) => {
    expect(await orderOf({ status: 400, body })()).toMatchObject({ kind: 'rejected', ...expected })
  })

  // The kinds of error of §8.1, from a server whose HTTP status says nothing.
  test.each([
    ['authentication_error', 'unauthorized'],
    ['authorization_error', 'unauthorized'],
    ['network_error', 'unknown-outcome'],
    ['timeout_error', 'unknown-outcome'],
    ['validation_error', 'rejected'],
    ['business_logic_error', 'rejected'],
    ['rate_limit_error', 'unavailable'],
    ['unknown_error', 'unknown-outcome'],
  ])('%s is %s', async (type, kind) => {
    const error = { type, message: '库存不足', retryable: false }
    for (const status of [200, 400])
      expect((await orderOf({ status, body: { success: false, error } })())?.kind).toBe(kind)
    expect((await orderOf({ body: { success: false, code: type.toUpperCase() } })())?.kind).toBe(kind)
  })

  test.each([
    { status: 404 },
    { status: 404, body: { success: false, error: { code: 'NOT_FOUND', message: '不存在' } } },
    { status: 404, body: { statusCode: 404, message: 'Not Found' } },
  ])('%j is a customer that is not there', async (refusal) => {
    const { url } = await serve(() => refusal)
    const [none] = await must(connect(url).ports.customer).readMany(['C9'], context)
    expect(given(none)).toBeNull()
  })

  test('an answer without success is no answer', async () => {
    const { url } = await serve(() => ({ body: { items: [] } }))
    expect(failureOf(await must(connect(url).ports.customer?.list)({ first: 1 }, context))?.kind).toBe(
      'invalid-response',
    )
  })
})

describe('a login for a token', () => {
  const auth = { type: 'login', username: 'gw', password: 'p4ss-w0rd' }
  /** Seed 002 §6.2: `POST /auth/login` with `{username, password}` gives `{token, expiresAt}`. */
  async function withLogin(lifeMs = 3_600_000) {
    let issued = 0
    let valid = ''
    const server = await serve(({ method, url, headers, body }) => {
      if (`${method} ${url.pathname}` === 'POST /auth/login') {
        const given = JSON.parse(body) as { username: string; password: string }
        if (given.username !== 'gw' || given.password !== 'p4ss-w0rd') return { status: 401, body: { given } }
        valid = `token-${++issued}`
        return { body: { token: valid, expiresAt: new Date(Date.now() + lifeMs).toISOString() } }
      }
      if (headers.authorization !== `Bearer ${valid}`) return { status: 401, body: { success: false } }
      if (url.pathname === '/erp/customers/C1') return { body: { success: true, data: customerData('C1') } }
      return { body: { success: true, data: { externalId: 'O-1', orderNumber: '1', status: 'CREATED' } } }
    })
    const logins = () => server.calls.filter((call) => call === 'POST /auth/login').length
    return { ...server, logins, expire: () => (valid = 'none') }
  }

  test('once for many who wait; renewed once when it is refused, for reads and for writes', async () => {
    const { url, logins, expire } = await withLogin()
    const { ports } = connect(url, { auth })
    const many = await Promise.all(
      Array.from({ length: 20 }, () => must(ports.customer).readMany(['C1'], context)),
    )
    expect(many.map(([one]) => given(one)?.key)).toEqual(Array(20).fill('C1'))
    expect(logins()).toBe(1)
    expire()
    expect(given((await must(ports.customer).readMany(['C1'], context))[0])?.key).toBe('C1')
    expect(logins()).toBe(2)
    expire()
    const lines = [{ product: 'P1', quantity: '1' }]
    const made = await must(ports.order?.create).send(
      { customer: 'C1', dueDate: '2026-03-01', lines },
      write,
      context,
    )
    expect(given(made).key).toBe('O-1')
    expect(logins()).toBe(3)
  })

  test('is made anew when the token has ended, before it is refused', async () => {
    const { url, logins, calls } = await withLogin(-1)
    const { ports } = connect(url, { auth })
    for (let n = 0; n < 2; n++) given((await must(ports.customer).readMany(['C1'], context))[0])
    expect(logins()).toBe(2)
    expect(calls).toHaveLength(4)
  })

  test('a wrong password is not tried again, and is in no failure', async () => {
    const { url, logins } = await withLogin()
    const { ports } = connect(url, { auth: { ...auth, password: 'wr0ng-s3cret' } })
    const outcomes = await must(ports.customer).readMany(['C1', 'C2'], context)
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual(['unauthorized', 'unauthorized'])
    given(
      await must(ports.customer)
        .readMany([], context)
        .then((none) => ({ ok: true, value: none })),
    )
    // Neither in the batch nor afterwards.
    expect(failureOf((await must(ports.customer).readMany(['C1'], context))[0])?.kind).toBe('unauthorized')
    expect(logins()).toBe(1)
    expect(JSON.stringify(outcomes)).not.toContain('wr0ng-s3cret')
  })

  test('the token may stand in an envelope, under another name, and end in seconds', async () => {
    const { url, calls } = await serve(({ url, headers }) => {
      if (url.pathname === '/api/login')
        return { body: { success: true, data: { access: 'abc', ttl: 3600 } } }
      if (headers.authorization !== 'Bearer abc') return { status: 401 }
      return { body: { success: true, data: customerData('C1') } }
    })
    const own = { ...auth, path: '/api/login', tokenField: 'access', expiryField: 'ttl' }
    const { ports } = connect(url, { auth: own })
    for (let n = 0; n < 2; n++) given((await must(ports.customer).readMany(['C1'], context))[0])
    expect(calls).toHaveLength(3)
  })
})

test('a signature in the body may stand anywhere in it', () => {
  const { webhook } = connect('http://127.0.0.1:1', { webhook: { profile: 'body', secret: 's3cret' } })
  const now = new Date('2026-02-04T16:00:30Z')
  const event = {
    id: 'e-1',
    event: 'order.shipped',
    timestamp: '2026-02-04T16:00:00Z',
    source: 'x',
    data: { externalId: 'O-1', changes: {} },
  }
  const signature = `sha256=${createHmac('sha256', 's3cret').update(JSON.stringify(event)).digest('hex')}`
  const { id, ...rest } = event
  for (const body of [
    { ...event, signature },
    { signature, ...event },
    { id, signature, ...rest },
  ]) {
    const verdict = must(webhook).receive({ headers: {}, body: Buffer.from(JSON.stringify(body)) }, now)
    expect(verdict).toMatchObject({
      ok: true,
      notifications: [{ type: 'order', key: 'O-1', change: 'updated' }],
    })
  }
  const forged = JSON.stringify({ signature, ...event }).replace('O-1', 'O-2')
  expect(must(webhook).receive({ headers: {}, body: Buffer.from(forged) }, now)).toMatchObject({ ok: false })
})

test('an order of seed 000 is read without items, a moment in milliseconds, and its status in any case', async () => {
  // 2025-09-05 16:30 in Greenwich is the next day in Shanghai.
  const order = {
    orderId: 'ORD1',
    orderNo: 'SO1',
    customerId: 9001,
    createDate: 1_757_089_800_000,
    totalAmount: 1234.5,
    status: 'processing',
    orderItems: null,
  }
  const { url } = await serve(({ url }) =>
    url.pathname === '/api/orders/ORD1'
      ? { body: order }
      : { status: 404, body: { status: 404, error: 'Not Found', path: url.pathname } },
  )
  const settings = { contract: 'plain', currency: 'CNY', timeZone: 'Asia/Shanghai' }
  const [known, none] = await must(connect(url, settings).ports.order).readMany(['ORD1', 'ORD9'], context)
  expect(given(known)).toMatchObject({
    number: 'SO1',
    customer: '9001',
    orderDate: '2025-09-06',
    status: 'IN_PROGRESS',
    totals: { gross: { amount: '1234.5', currency: 'CNY' } },
    lines: [],
  })
  expect(given(none)).toBeNull()
})
