/** The published contract says what the simulator does and what the adapter sends; each is held against the other. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { silentLog } from '../../src/observe/log.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { createRestCrm } from '../../src/systems/rest-crm/adapter.ts'
import { restCrmConfig } from '../../src/systems/rest-crm/config.ts'
import { startRestCrmSimulator } from '../../src/systems/rest-crm/simulator.ts'

type Node = { readonly [name: string]: Node } & { readonly $ref?: string }

const file = new URL('../../src/systems/rest-crm/openapi.yaml', import.meta.url)
const contract = parse(readFileSync(file, 'utf8')) as Node

/** A place in the document; references inside it are followed. */
function at(...names: string[]): Node | undefined {
  return names.reduce<Node | undefined>((node, name) => {
    const next = node?.[name]
    return next?.$ref ? at(...next.$ref.slice('#/'.length).split('/')) : next
  }, contract)
}

function schemaOf(media: Node | undefined): z.ZodType {
  const schema = media?.content?.['application/json']?.schema
  if (!schema) throw new Error('the contract gives no schema here')
  const text = JSON.stringify({ ...schema, $defs: at('components', 'schemas') })
  return z.fromJSONSchema(JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')))
}

const templateOf = (path: string): string =>
  path.replace(/\?.*$/, '').replace(/^(\/api\/[a-z]+)\/[^/]+$/, '$1/{id}')

const TOKEN = 'contract-token'
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
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
  const world = new World({ customers: 8, orders: 0 })
  const crm = await startRestCrmSimulator(world, {
    auth: { type: 'bearer', token: TOKEN },
    webhook: { url: receiver.url, secret: 's' },
  })
  cleanups.push(() => crm.close())

  /** Sends a raw request; the answer must be one that the contract describes for that operation and status. */
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${crm.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const answer = (await response.json()) as { code: number; data: never; details?: { field?: string } }
    const responses = ['paths', templateOf(path), method.toLowerCase(), 'responses']
    const described =
      at(...responses, String(response.status)) ??
      at(...responses, 'default') ??
      at('components', 'responses', 'Error')
    const checked = schemaOf(described).safeParse(answer)
    expect(checked.error && z.prettifyError(checked.error)).toBeUndefined()
    if (answer.code !== 0) expect(at('info')?.description).toContain(`| ${answer.code} |`)
    expect(Math.abs(Date.now() - (answer as unknown as { timestamp: number }).timestamp)).toBeLessThan(10_000)
    return { status: response.status, etag: response.headers.get('etag'), ...answer }
  }
  return { world, crm, events, ask }
}

test('the schemas are strict enough to notice a difference', () => {
  const schema = schemaOf(at('paths', '/api/customers/{id}', 'get', 'responses', '200'))
  const data = {
    customerId: '1',
    customerName: 'x',
    level: 'VIP',
    createDate: '2026-03-01T00:00:00Z',
    updateDate: '2026-03-01T00:00:00Z',
    revision: 1,
  }
  const envelope = { code: 0, message: 'success', timestamp: 1 }
  expect(schema.safeParse({ ...envelope, data }).success).toBe(true)
  expect(schema.safeParse({ ...envelope, data: { ...data, level: 'GOLD' } }).success).toBe(false)
  expect(schema.safeParse({ ...envelope, data: { ...data, nick: 'y' } }).success).toBe(false)
  expect(schema.safeParse({ ...envelope, data: { ...data, createDate: '2026-03-01' } }).success).toBe(false)
  expect(schema.safeParse({ ...envelope, code: 1, data }).success).toBe(false)
})

describe('the simulator answers as the contract says', () => {
  test('to reads', async () => {
    const { ask } = await start()
    expect((await ask('GET', '/api/customers/70007')).etag).toBe('"1"')
    expect((await ask('GET', '/api/opportunities/OP-00004')).status).toBe(200)
    const some = await ask('GET', '/api/customers?ids=70014,70007,1')
    expect(
      (some.data as { items: { customerId: string }[] }).items.map((one) => one.customerId).sort(),
    ).toEqual(['70007', '70014'])
    const page = await ask('GET', '/api/customers?page=2&limit=3')
    expect(page.data).toMatchObject({ pagination: { page: 2, limit: 3, total: 8, hasMore: true } })
    const rest = await ask('GET', '/api/customers?after=2024-11-10T09:00:00.000Z,70021')
    expect((rest.data as { items: { customerId: string }[] }).items.map((one) => one.customerId)).toEqual([
      '70014',
      '70007',
    ])
    const since = await ask('GET', '/api/opportunities?updatedSince=2026-04-08T17:00:00%2B08:00')
    expect(
      (since.data as { items: { opportunityId: string }[] }).items.map((one) => one.opportunityId),
    ).toEqual(['OP-00003', 'OP-00002', 'OP-00001'])
    expect((await ask('GET', '/api/opportunities?externalRef=none')).data).toEqual({ items: [] })
    expect((await ask('GET', '/api/opportunities?customerIds=70007,70014&search=retro')).data).toMatchObject({
      items: [{ opportunityId: 'OP-00002' }],
    })
  })

  test('to writes', async () => {
    const { ask } = await start()
    const changed = await ask('PUT', '/api/customers/70007', { phone: '5' }, { 'if-match': '"1"' })
    expect(changed).toMatchObject({ status: 200, etag: '"2"', data: { phone: '5', revision: 2 } })
    const unchanged = await ask('PUT', '/api/customers/70007', { phone: '5' })
    expect(unchanged.data).toMatchObject({ revision: 2 })
    const late = await ask('PUT', '/api/customers/70007', { phone: '6' }, { 'if-match': '"1"' })
    expect(late).toMatchObject({ status: 412, code: 41200, details: { currentRevision: 2 } })

    const customer = { customerName: '新客户', taxNumber: '9131', externalRef: 'c-1' }
    const placed = await ask('POST', '/api/customers', customer)
    expect(placed).toMatchObject({
      status: 201,
      etag: '"1"',
      data: { ...customer, level: 'STANDARD', revision: 1 },
    })
    const { customerId } = placed.data as { customerId: string }
    expect(await ask('POST', '/api/customers', customer)).toMatchObject({
      status: 409,
      code: 40901,
      details: { customerId },
    })
    expect((await ask('GET', '/api/customers?externalRef=c-1')).data).toMatchObject({
      items: [{ customerId }],
    })
    expect(await ask('POST', '/api/customers', { level: 'VIP' })).toMatchObject({ code: 40001 })

    const opportunity = { name: '商机', customerId: '70007', externalRef: 'r-1' }
    const made = await ask('POST', '/api/opportunities', opportunity)
    expect(made).toMatchObject({
      status: 201,
      data: {
        opportunityId: 'OP-00009',
        stage: 'PROSPECTING',
        amount: null,
        currency: null,
        closeDate: null,
      },
    })
    const lines = [{ productCode: 'A00003', quantity: '2', unitPrice: '9.90' }]
    expect(
      (await ask('POST', '/api/opportunities', { name: 'x', customerId: '70007', lines })).data,
    ).toMatchObject({
      lines,
      orderNumber: null,
    })
    const linked = await ask('PUT', '/api/opportunities/OP-00009', { stage: 'WON', orderNumber: '1031' })
    expect(linked.data).toMatchObject({ stage: 'WON', probability: 100, orderNumber: '1031' })
    const note = { customerId: '70007', text: 'paid', externalRef: 'n-1' }
    expect(await ask('POST', '/api/notes', note)).toMatchObject({ status: 201, data: { noteId: 'NT-00001' } })
    expect(await ask('POST', '/api/notes', note)).toMatchObject({
      status: 409,
      details: { noteId: 'NT-00001' },
    })
    expect((await ask('GET', '/api/notes?externalRef=n-1')).data).toMatchObject({ items: [note] })
    expect(await ask('PUT', '/api/opportunities/OP-00009', { amount: '1' })).toMatchObject({ code: 40001 })
    expect(await ask('PUT', '/api/opportunities/OP-99999', { stage: 'WON' })).toMatchObject({ code: 40402 })
    const again = await ask('POST', '/api/opportunities', { ...opportunity, name: 'other' })
    expect(again).toMatchObject({ status: 409, code: 40901, details: { opportunityId: 'OP-00009' } })
  })

  const put = (body: unknown) => ['PUT', '/api/customers/70007', body] as const
  const post = (body: object) =>
    ['POST', '/api/opportunities', { name: 'x', customerId: '70007', ...body }] as const
  test.each([
    [['GET', '/api/customers/1'], 40401, undefined],
    [['GET', '/api/customers/..%2F..'], 40401, undefined],
    [['PUT', '/api/customers/1', {}], 40401, undefined],
    [['GET', '/api/opportunities/1'], 40402, undefined],
    [['GET', '/api/orders'], 40400, undefined],
    [['GET', '/'], 40400, undefined],
    [['DELETE', '/api/customers/70007'], 40500, undefined],
    [['GET', '/api/customers?limit=101'], 40001, 'limit'],
    [['GET', '/api/customers?limit=0'], 40001, 'limit'],
    [['GET', '/api/customers?page=-1'], 40001, 'page'],
    [['GET', '/api/customers?after=x'], 40001, 'after'],
    [['GET', '/api/customers?updatedSince=2026-03-01'], 40001, 'updatedSince'],
    [['GET', `/api/customers?ids=${Array(101).fill('1').join(',')}`], 40001, 'ids'],
    [['GET', '/api/customers?ids=1,,2'], 40001, 'ids'],
    [['GET', '/api/customers?ids=1&search=x'], 40000, 'search'],
    [['GET', '/api/customers?page=1&after=2026-03-01T00:00:00Z,1'], 40000, 'page'],
    [['GET', '/api/customers?colour=red'], 40000, 'colour'],
    [['GET', '/api/customers?search=a&search=b'], 40000, 'search'],
    [put('{"phone":'), 40000, undefined],
    [put([]), 40000, undefined],
    [put({}), 40001, undefined],
    [put({ nickname: 'x' }), 40000, 'nickname'],
    [put({ revision: 7 }), 40000, 'revision'],
    [put({ customerName: ' ' }), 40001, 'customerName'],
    [put({ phone: 5 }), 40001, 'phone'],
    [put({ level: 'GOLD' }), 40001, 'level'],
    [put({ address: { country: 'China' } }), 40001, 'address.country'],
    [put({ contacts: [{ title: 'CEO' }] }), 40001, 'contacts[0].name'],
    [put({ contacts: [{ name: 'a', wife: 'b' }] }), 40000, 'contacts[0].wife'],
    [post({ customerId: '1' }), 40001, 'customerId'],
    [post({ name: undefined }), 40001, 'name'],
    [post({ amount: '1.5' }), 40001, 'currency'],
    [post({ amount: '1.5', currency: 'JPY' }), 40001, 'amount'],
    [post({ amount: 1.5, currency: 'CNY' }), 40001, 'amount'],
    [post({ amount: '-1', currency: 'CNY' }), 40001, 'amount'],
    [post({ closeDate: '2026-02-30' }), 40001, 'closeDate'],
    [post({ stage: 'DONE' }), 40001, 'stage'],
  ] as const)('to what it refuses: %j is %i, field %s', async ([method, path, body], code, field) => {
    const { ask, world } = await start()
    const answer = await ask(method, path, body)
    expect(answer).toMatchObject({ code, status: Math.floor(code / 100), data: null })
    expect(answer.details?.field).toBe(field)
    expect(world.get('crmCustomers', '70007')?.revision).toBe(1)
    expect(world.count('crmOpportunities')).toBe(8)
  })

  test('to strangers, to other content types, and to bad headers', async () => {
    const { ask } = await start()
    expect((await ask('GET', '/api/customers', undefined, { authorization: 'Bearer x' })).code).toBe(40100)
    expect((await ask('PUT', '/api/customers/70007', '{}', { 'content-type': 'text/plain' })).code).toBe(
      41500,
    )
    expect((await ask('PUT', '/api/customers/70007', '"'.padEnd(300_000))).code).toBe(41300)
    const weak = await ask('PUT', '/api/customers/70007', { phone: '1' }, { 'if-match': 'W/"1"' })
    expect(weak).toMatchObject({ code: 40001, details: { field: 'If-Match' } })
  })

  test('with events', async () => {
    const { ask, events } = await start()
    await ask('PUT', '/api/customers/70007', { contacts: [], industry: '机床' })
    await ask('PUT', '/api/customers/70007', { industry: '机床' })
    await ask('POST', '/api/opportunities', { name: '商机', customerId: '70007' })
    for (let waited = 0; events.length < 2 && waited < 3_000; waited += 10) await delay(10)
    await delay(50)
    // The second change changed nothing. Deliveries may overtake each other.
    expect(events).toHaveLength(2)
    const schema = schemaOf(at('webhooks', 'change', 'post', 'requestBody'))
    const headers = Object.values(at('webhooks', 'change', 'post', 'parameters') ?? {}) as unknown as {
      name: string
      schema: Record<string, unknown>
    }[]
    expect(headers).toHaveLength(3)
    for (const event of events) {
      const checked = schema.safeParse(event.body)
      expect(checked.error && z.prettifyError(checked.error)).toBeUndefined()
      for (const { name, schema } of headers) {
        expect(z.fromJSONSchema(schema).safeParse(event.headers[name]).success).toBe(true)
      }
    }
  })
})

describe('the adapter asks for nothing else', () => {
  const config = restCrmConfig.parse({
    baseUrl: 'http://127.0.0.1:1',
    auth: { type: 'bearer', token: TOKEN },
  })
  const { ports } = createRestCrm(config, { systemId: 'crm', log: silentLog, timeoutMs: 1_000 })
  const write = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: 'x' }

  test('its bodies have the form that the contract gives', () => {
    const create = ports.opportunity?.create?.preview(
      {
        name: '商机',
        customer: '70007',
        stage: 'WON',
        amount: { amount: '1003', currency: 'JPY' },
        closeDate: '2026-12-31',
      },
      write,
    )
    const update = ports.customer?.update?.preview(
      {
        key: '70007',
        changes: {
          name: 'n',
          level: 'BASIC',
          industry: 'i',
          phone: '1',
          email: '',
          contacts: [{ name: 'c', title: 't', phone: 'p', email: 'e@x', primary: true }],
        },
      },
      write,
    )
    for (const request of [create, update]) {
      const operation = at(
        'paths',
        templateOf(request?.path ?? ''),
        (request?.method ?? '').toLowerCase(),
        'requestBody',
      )
      const body = JSON.parse(request?.body ?? '')
      expect(schemaOf(operation).safeParse(body).error).toBeUndefined()
      // Each field that can be written was in the body.
      expect(Object.keys(body).length).toBeGreaterThanOrEqual(6)
    }
  })

  test('its standard names are those of the contract', () => {
    const namesOf = (schema: string) =>
      Object.keys(at('components', 'schemas', schema, 'properties') ?? {})
        // What stands in there is named by the configuration.
        .filter((name) => name !== 'attributes')
        .sort()
    const { customer, address, contact, opportunity } = config.fields
    expect(Object.values(customer).sort()).toEqual(namesOf('Customer'))
    expect(Object.values(address).sort()).toEqual(namesOf('Address'))
    expect(Object.values(contact).sort()).toEqual(namesOf('Contact'))
    expect(Object.values(opportunity).sort()).toEqual(namesOf('Opportunity'))
    for (const path of Object.values(config.paths)) expect(at('paths', path)).toBeDefined()
  })
})

test('the samples of the README are settings', () => {
  const readme = readFileSync(new URL('../../src/systems/rest-crm/README.md', import.meta.url), 'utf8')
  const [standard, other] = [...readme.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => parse(text ?? ''))
  const { kind, ...own } = standard
  expect(kind).toBe('rest-crm')
  expect(restCrmConfig.parse({ ...own, ...other })).toMatchObject({
    auth: { type: 'bearer' },
    paging: 'page',
    fields: { customer: { id: 'accountNo', name: 'title', phone: 'phone' } },
  })
})
