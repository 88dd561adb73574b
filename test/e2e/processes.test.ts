import { composeServices } from '@apollo/composition'
import { parse } from 'graphql'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { CALLER_HEADER, signCaller } from '../../src/caller/signature.ts'
import { openSubgraphDoor } from '../../src/gateway/subgraph-door.ts'
import { silentLog } from '../../src/observe/log.ts'
import { SUBGRAPHS, subgraphSchema } from '../../subgraphs/index.ts'
import { clientOf, codesOf, eventually, idOf, openTestGateway } from './kit.ts'
import { CALLER_SECRET, KEY, type Running, type Systems, simulateSystems } from './processes.ts'

// Processes start in a second; on a machine that is busy with other tests, in ten.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const CREATE = `mutation Create($input: CreateOrderInput!) { createOrder(input: $input) {
  writeback { id state attempts } order { id number customer { name level } } } }`
const CREATE_ALONE =
  'mutation Create($input: CreateOrderInput!) { createOrder(input: $input) { writeback { state } } }'
const input = (idempotencyKey: string) => ({
  idempotencyKey,
  customerId: idOf('customer', 'crm', '70007'),
  dueDate: '2026-12-31',
  customerReference: idempotencyKey,
  lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity: '1' }],
})

let systems: Systems
let erp: Running
let gateway: Running
beforeAll(async () => {
  systems = await simulateSystems()
  erp = await systems.run('subgraph', 'erp', '--port', '0')
  gateway = await systems.run('start', '--remote', `erp=${erp.url}/graphql`)
})
afterAll(() => systems[Symbol.asyncDispose]())

const made = (key: string) => systems.world.all('erpOrders').filter((order) => order.numAtCard === key)

describe('a gateway and a subgraph as two processes over one store', () => {
  it('answer one query together', async () => {
    const { customer } = await gateway.data(
      '{ customer(externalId: { system: "crm", key: "70007" }) { name accounts { key } orders(first: 1) { number invoices { number } lines { product { sku inventory { warehouse { key } } } } } } }',
    )
    expect(customer).toMatchObject({
      name: '上海晨光精密机械有限公司',
      accounts: [{ key: 'C20001' }],
      orders: [{ number: '1009', invoices: [], lines: [{ product: { sku: 'A00003' } }] }],
    })
  })

  it('say together what an answer was made of, and whether it is as fresh as was demanded', async () => {
    const query = '{ orderByNumber(system: "erp", number: "1003") { number customer { name } } }'
    const first = await gateway.ask(query)
    expect(first.extensions?.sources).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ system: 'erp', record: 'order', count: 1, stale: false }),
        expect.objectContaining({ system: 'crm', record: 'customer', count: 1, stale: false }),
      ]),
    )
    const demand = { 'cache-control': 'max-age=0' }
    const fresh = await gateway.ask(query, {}, demand)
    expect(fresh.extensions).toMatchObject({ freshness: { met: true } })
    systems.simulators.erp.setFaults([{ kind: 'refuse' }])
    try {
      const stale = await gateway.ask(query, {}, demand)
      expect(stale.data?.orderByNumber.number).toBe('1003')
      expect(stale.extensions?.freshness).toEqual({ met: false })
      expect(stale.extensions?.sources).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ system: 'erp', record: 'order', stale: true }),
          expect.objectContaining({ system: 'crm', record: 'customer', stale: false }),
        ]),
      )
    } finally {
      systems.simulators.erp.setFaults([])
    }
  })

  it('make one order of one mutation, however many of them could carry it', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => gateway.data(CREATE, { input: input('together') })))
    for (const { createOrder } of answers) {
      expect(createOrder).toMatchObject({
        writeback: { state: 'CONFIRMED', attempts: 1 },
        order: { customer: { level: 'VIP' } },
      })
    }
    expect(new Set(answers.map(({ createOrder }) => createOrder.writeback.id)).size).toBe(1)
    expect(made('together')).toHaveLength(1)
  })

  it('tell of a change over a subscription that runs in the other process', async () => {
    await using orders = await gateway.listen(
      'subscription { orderChanged { event order { number customerReference customer { level } invoices { number } } } }',
    )
    await gateway.data(CREATE, { input: input('remote') })
    expect(await orders.payloads(1)).toEqual([
      {
        event: 'order.created',
        order: {
          number: expect.any(String),
          customerReference: 'remote',
          customer: { level: 'VIP' },
          invoices: [],
        },
      },
    ])
  })

  it('say of an event that the other process reads whether it is as fresh as was demanded', async () => {
    await using orders = await gateway.listen(
      'subscription { orderChanged { event order { customerReference customer { level } } } }',
      undefined,
      { 'x-api-key': KEY, 'cache-control': 'max-age=0' },
    )
    await gateway.data(CREATE, { input: input('demanding') })
    const [fresh] = await orders.take(1)
    expect(fresh).toMatchObject({
      data: { orderChanged: { order: { customerReference: 'demanding' } } },
      extensions: { freshness: { met: true } },
    })
    systems.simulators.crm.setFaults([{ kind: 'refuse' }])
    try {
      await gateway.data(CREATE_ALONE, { input: input('without the CRM') })
      expect((await orders.take(2))[1]).toMatchObject({
        data: { orderChanged: { order: { customer: { level: 'VIP' } } } },
        extensions: { freshness: { met: false } },
      })
    } finally {
      systems.simulators.crm.setFaults([])
    }
  })

  it('tell of the steps of a writeback that the other process carries', async () => {
    await using steps = await gateway.listen('subscription { writebackChanged { idempotencyKey state } }')
    await gateway.data(CREATE, { input: input('steps') })
    // Steps of earlier ones may still be on their way from the other process.
    const mine = () =>
      steps.results
        .map(({ data }) => data.writebackChanged)
        .filter(({ idempotencyKey }) => idempotencyKey === 'steps')
    await eventually(() => mine().at(-1)?.state === 'CONFIRMED')
    expect(mine().map(({ state }) => state)).toEqual(expect.arrayContaining(['SENDING', 'CONFIRMED']))
  })

  it('pass on what the other one refuses', async () => {
    const wrong = await gateway.ask('{ order(id: "x") { id } }')
    expect(wrong.errors?.[0]).toMatchObject({
      message: '"x" is not the id of an order.',
      extensions: { code: 'BAD_USER_INPUT', subgraph: 'erp' },
    })
  })
})

describe('a subgraph of its own', () => {
  const ask = (query: string, headers: Record<string, string> = {}) => erp.post({ query }, { headers })
  const order = '{ orderByNumber(system: "erp", number: "1003") { number } }'

  it('answers a signed caller', async () => {
    const signed = signCaller(CALLER_SECRET, gatewayCaller)
    const { body } = await ask(order, { [CALLER_HEADER]: signed })
    expect(body.data).toEqual({ orderByNumber: { number: '1003' } })
  })

  it('refuses a caller whose signature is missing, forged, expired or of another claim', async () => {
    const good = signCaller(CALLER_SECRET, gatewayCaller)
    const [claim = '', mac = ''] = good.split('.')
    const richer = Buffer.from(
      JSON.stringify({
        ...JSON.parse(Buffer.from(claim, 'base64url').toString()),
        expires: Date.now() + 1e9,
      }),
    ).toString('base64url')
    const headers: Record<string, string>[] = [
      {},
      { [CALLER_HEADER]: '' },
      { [CALLER_HEADER]: 'x.y' },
      { [CALLER_HEADER]: signCaller('another secret, as long as the right one', gatewayCaller) },
      { [CALLER_HEADER]: signCaller(CALLER_SECRET, gatewayCaller, Date.now() - 60_001) },
      { [CALLER_HEADER]: `${richer}.${mac}` },
      { 'x-api-key': 'key-of-the-tests-1' },
    ]
    for (const header of headers) {
      const { status, body } = await ask(order, header)
      expect({ status, codes: codesOf(body), header }).toEqual({
        status: 401,
        codes: ['UNAUTHENTICATED'],
        header,
      })
    }
  })

  it('does not let a query hide behind the question for its schema', async () => {
    for (const query of [
      `{ _service { sdl } ${order.slice(1)}`,
      `query A { _service { sdl } } query B ${order}`,
      `{ ...A } fragment A on Query { orderByNumber(system: "erp", number: "1003") { number } }`,
      'mutation { _service { sdl } }',
    ]) {
      const { status } = await ask(query)
      expect([query, status]).toEqual([query, query.startsWith('mutation') ? 400 : 401])
    }
  })

  it('refuses a subscription of an unsigned caller', async () => {
    const direct = clientOf(erp.url)
    await using orders = await direct.listen('subscription { orderChanged { event } }')
    expect(codesOf((await orders.take(1))[0] ?? {})).toEqual(['UNAUTHENTICATED'])
  })
})

describe('an independent router', () => {
  it('can compose what each subgraph says of itself, without showing who it is', async () => {
    await using whole = await openTestGateway()
    const services = await Promise.all(
      SUBGRAPHS.map(async (name) => {
        const door = await openSubgraphDoor({
          host: '127.0.0.1',
          port: 0,
          schema: subgraphSchema(name, whole.app.rooms),
          callerSecret: CALLER_SECRET,
          contextFor: whole.app.contextFor,
          logger: silentLog,
        })
        const { body } = await clientOf(new URL(door.url).origin).post({ query: '{ _service { sdl } }' })
        await door.close()
        return { name, url: door.url, typeDefs: parse(body.data._service.sdl) }
      }),
    )
    const composed = composeServices(services)
    expect(composed.errors ?? []).toEqual([])
    for (const name of SUBGRAPHS) expect(composed.supergraphSdl).toContain(`@join__graph(name: "${name}"`)
  })
})

describe('when the other process is gone', () => {
  it('the rest is answered, what it owns is null and typed, and it is found again when it is back', async () => {
    const [, port = ''] = /:(\d+)$/.exec(erp.url) ?? []
    await erp.kill()
    const query = '{ customer(externalId: { system: "crm", key: "70007" }) { name accounts { key } } }'
    const { data, errors } = await gateway.ask(query)
    expect(data).toEqual({ customer: { name: '上海晨光精密机械有限公司', accounts: null } })
    expect(errors).toEqual([
      expect.objectContaining({
        extensions: { code: 'SUBGRAPH_UNAVAILABLE', subgraph: 'erp', reason: 'unreachable' },
      }),
    ])
    erp = await systems.run('subgraph', 'erp', '--port', port)
    await eventually(async () => (await gateway.ask(query)).errors === undefined)
    expect(await gateway.data(query)).toEqual({
      customer: { name: '上海晨光精密机械有限公司', accounts: [{ key: 'C20001' }] },
    })
  })
})
