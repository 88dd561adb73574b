/** Types that only one system has, written and followed: the worked example of a supply chain, through the public door. */
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { startScmSimulator } from '../../src/systems/http/examples/scm-simulator.ts'
import { codesOf, idOf, openTestGateway, READER, SMALL, type TestGateway } from '../e2e/kit.ts'
import { example } from './http-examples.ts'

// A graph is composed in half a second; on a machine that is busy with other tests, in twenty.
vi.setConfig({ hookTimeout: 60_000, testTimeout: 30_000 })

const readme = readFileSync(new URL('../../src/systems/http/README.md', import.meta.url), 'utf8')

/** The service desk of the README, by its settings there. */
function deskOf(url: string): Record<string, unknown> {
  const [, settings = ''] = /```yaml\n(kind: http\nbaseUrl: \$\{DESK_URL\}[\s\S]*?)```/.exec(readme) ?? []
  const raw = parse(settings.replace(/\$\{DESK_URL\}/, url).replace(/\$\{DESK_TOKEN\}/, 'desk-1'))
  return { ...raw, environment: 'test', timeout: '2s', pollEvery: '0s' }
}

/** At the same address: it knows invoices by customer, and has no list of them. */
const LEDGER = {
  kind: 'http',
  environment: 'test',
  auth: { type: 'bearer', token: 'desk-1' },
  timeout: '2s',
  pollEvery: '0s',
  records: {
    customer: { read: { request: { path: '/debtors/{key}' } }, map: { key: 'no', name: 'name' } },
    invoice: {
      read: { request: { path: '/bills/{key}' } },
      lookups: { byCustomer: { request: { path: '/bills', query: { debtor: '{key}' } }, items: 'bills' } },
      map: {
        key: 'no',
        number: 'no',
        customer: 'debtor',
        orderNumbers: '[]',
        status: "'OPEN'",
        totals: "{ 'gross': { 'amount': sum, 'currency': 'CNY' } }",
      },
    },
  },
}

interface Ticket {
  readonly id: string
  readonly title: string
  readonly customer: string
  readonly ref: string
  readonly state: string
  readonly solution: string | null
  readonly changed: string
}

async function startDesk() {
  const tickets = new Map<string, Ticket>()
  const keep = (ticket: Omit<Ticket, 'changed'>): Ticket => {
    const kept = { ...ticket, changed: new Date().toISOString() }
    tickets.set(ticket.id, kept)
    return kept
  }
  const json = (status: number, body: object | null): SimulatedResponse => ({
    status,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const handle = ({ method, path, query, headers, body }: SimulatedRequest): SimulatedResponse => {
    if (headers.authorization !== 'Bearer desk-1') return json(401, { message: 'who is there?' })
    if (path === '/debtors/D1') return json(200, { no: 'D1', name: 'Debtor 1' })
    if (path === '/bills') return json(200, { bills: [{ no: 'B1', debtor: query.get('debtor'), sum: 12.5 }] })
    const [, id = '', act] = /^\/tickets\/(\w+)(\/close)?$/.exec(path) ?? []
    const one = tickets.get(id)
    if (method === 'POST' && path === '/tickets') {
      const { title, customer, ref } = JSON.parse(body.toString('utf8'))
      return json(
        201,
        keep({ id: `T${tickets.size + 1}`, title, customer, ref, state: 'open', solution: null }),
      )
    }
    if (method === 'POST' && act && one) {
      const { solution } = JSON.parse(body.toString('utf8'))
      return json(200, keep({ ...one, state: 'closed', solution }))
    }
    if (method === 'GET' && path === '/tickets') {
      const found = [...tickets.values()].filter(
        ({ ref, changed }) =>
          (!query.has('ref') || ref === query.get('ref')) &&
          (!query.has('since') || changed >= (query.get('since') as string)),
      )
      return json(200, { now: new Date().toISOString(), tickets: found })
    }
    return method === 'GET' && one ? json(200, one) : json(404, { message: 'no such thing' })
  }
  const simulator = await startSimulatorServer({ handle })
  return { ...simulator, tickets, keep }
}

let world: World
let scm: Simulator
let desk: Awaited<ReturnType<typeof startDesk>>
let gateway: TestGateway
beforeAll(async () => {
  world = new World(SMALL)
  scm = await startScmSimulator(world, { clientSecret: 'scm-secret-1' })
  desk = await startDesk()
  gateway = await openTestGateway({
    override(raw) {
      raw.systems.desk = deskOf(desk.url)
      raw.systems.ledger = { ...LEDGER, baseUrl: desk.url }
      raw.systems.scm = example('scm', { SCM_URL: scm.url, SCM_SECRET: 'scm-secret-1' })
    },
  })
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await Promise.all([scm.close(), desk.close()])
})
afterEach(() => {
  scm.setFaults([])
  scm.clearCalls()
})

const CREATE = `mutation ($input: CreatePurchaseOrderInput!, $dryRun: Boolean, $waitFor: Int) {
  createPurchaseOrder(input: $input, dryRun: $dryRun, waitFor: $waitFor) {
    writeback { id state attempts key preview problem { code vendorCode message line field } }
    purchaseOrder { number status expectedOn note supplier { name } total { amount currency } lines { lineNumber product { sku } quantity { value } } }
  }
}`
const orderFor = (idempotencyKey: string, more: object = {}) => ({
  idempotencyKey,
  supplierNumber: 'S-200',
  expectedOn: '2026-12-24',
  note: '加急 🚚 <bald>',
  lines: [
    { productId: idOf('product', 'erp', 'A00001'), quantity: '12.5' },
    { productId: idOf('product', 'erp', 'A00003'), quantity: '3' },
  ],
  ...more,
})
const create = async (idempotencyKey: string, more?: object) =>
  (await gateway.data(CREATE, { input: orderFor(idempotencyKey, more) })).createPurchaseOrder
const notedBy = (note: string) => world.all('purchaseOrders').filter((order) => order.note === note)

describe('a purchase order', () => {
  test('is made once, with the keys of the ERP in the place of ids; the answer shows it whole', async () => {
    const { writeback, purchaseOrder } = await create('own-1', { note: 'once' })
    const [made, ...others] = notedBy('once')
    expect(others).toEqual([])
    expect(made).toMatchObject({ supplier: 'S-200', expected: '2026-12-24', requestedBy: 'demo' })
    expect(made?.lines.map(({ item, quantity }) => [item, quantity])).toEqual([
      ['A00001', '12.5'],
      ['A00003', '3'],
    ])
    expect(writeback).toMatchObject({ state: 'CONFIRMED', attempts: 1, key: made?.no })
    expect(purchaseOrder).toEqual({
      number: made?.no,
      status: 'OPEN',
      expectedOn: '2026-12-24',
      note: 'once',
      supplier: { name: 'Müller & Söhne <Antriebe> GmbH' },
      total: { amount: made?.total, currency: 'CNY' },
      lines: [
        { lineNumber: '10', product: { sku: 'A00001' }, quantity: { value: '12.5' } },
        { lineNumber: '20', product: { sku: 'A00003' }, quantity: { value: '3' } },
      ],
    })
    expect((await create('own-1', { note: 'once' })).writeback.id).toBe(writeback.id)
    expect(notedBy('once')).toHaveLength(1)
    const other = await gateway.ask(CREATE, { input: orderFor('own-1', { note: 'other' }) })
    expect(codesOf(other)).toEqual(['IDEMPOTENCY_KEY_REUSED'])
  })

  test('that is only tried out is shown and not sent, and its key is not used up', async () => {
    const { createPurchaseOrder } = await gateway.data(CREATE, {
      input: orderFor('own-dry', { note: 'dry' }),
      dryRun: true,
    })
    expect(createPurchaseOrder).toMatchObject({ writeback: { state: 'DRY_RUN' }, purchaseOrder: null })
    const { method, path, body } = JSON.parse(createPurchaseOrder.writeback.preview)
    expect([method, path]).toEqual(['POST', '/scm/order'])
    expect(body).toContain('<Line item="A00001" quantity="12.5"/>'.replace('/>', ''))
    expect(scm.calls.filter((call) => call.includes('/scm/order'))).toEqual([])
    expect((await create('own-dry', { note: 'dry' })).writeback.state).toBe('CONFIRMED')
  })

  test('whose answer is lost is looked for by its reference, and not made again', async () => {
    scm.setFaults([{ kind: 'drop-after', match: 'POST /scm/order', times: 1 }])
    const { writeback, purchaseOrder } = await create('own-lost', { note: 'lost' })
    expect(writeback).toMatchObject({ state: 'CONFIRMED', attempts: 1, key: notedBy('lost')[0]?.no })
    expect(purchaseOrder.number).toBe(notedBy('lost')[0]?.no)
    expect(notedBy('lost')).toHaveLength(1)
  })

  test('that the system refuses says why, in its words, with line and field', async () => {
    const { writeback, purchaseOrder } = await create('own-no', {
      lines: [{ productId: idOf('product', 'erp', 'A00001'), quantity: '0' }],
    })
    expect(writeback).toMatchObject({
      state: 'REJECTED',
      problem: {
        code: 'REJECTED',
        vendorCode: 'S422',
        message: 'Quantity must be more than zero',
        line: '10',
        field: 'quantity',
      },
    })
    expect(purchaseOrder).toBeNull()
  })

  test('of a product that the ERP does not know is refused before anything is promised, with its place', async () => {
    const lines = [
      { productId: idOf('product', 'erp', 'A00001'), quantity: '1' },
      { productId: idOf('customer', 'crm', '70007'), quantity: '1' },
    ]
    const answer = await gateway.ask(CREATE, { input: orderFor('own-unknown', { lines }) })
    expect(codesOf(answer)).toEqual(['BAD_USER_INPUT'])
    const known = await gateway.data('{ writeback(idempotencyKey: "own-unknown") { id } }')
    expect(known.writeback).toBeNull()
  })

  test('is not for readers to make', async () => {
    const answer = await gateway.ask(CREATE, { input: orderFor('own-reader') }, READER)
    expect(codesOf(answer)).toEqual(['FORBIDDEN'])
  })

  test('is changed, read back, and cancelled with a reason; what came before is not shown any more', async () => {
    const { purchaseOrder } = await create('own-change', { note: 'to be changed' })
    const { number } = purchaseOrder
    const change = (input: object) =>
      gateway.data(
        'mutation ($input: UpdatePurchaseOrderInput!) { updatePurchaseOrder(input: $input) { writeback { state } purchaseOrder { expectedOn note } } }',
        { input: { number, ...input } },
      )
    const read = async () =>
      (
        await gateway.data(
          'query ($number: ID!) { purchaseOrder(number: $number) { expectedOn note status } }',
          { number },
        )
      ).purchaseOrder
    expect(await read()).toEqual({ expectedOn: '2026-12-24', note: 'to be changed', status: 'OPEN' })
    expect(await change({ idempotencyKey: 'own-change-1', expectedOn: '2027-01-08' })).toEqual({
      updatePurchaseOrder: {
        writeback: { state: 'CONFIRMED' },
        purchaseOrder: { expectedOn: '2027-01-08', note: 'to be changed' },
      },
    })
    expect(await read()).toMatchObject({ expectedOn: '2027-01-08' })
    // The answer is lost: whether it was changed is seen by reading it.
    scm.setFaults([{ kind: 'drop-after', match: 'POST /scm/order', times: 1 }])
    expect(await change({ idempotencyKey: 'own-change-2', note: 'changed' })).toMatchObject({
      updatePurchaseOrder: { writeback: { state: 'CONFIRMED' }, purchaseOrder: { note: 'changed' } },
    })
    const cancelled = await gateway.data(
      'mutation ($input: CancelPurchaseOrderInput!) { cancelPurchaseOrder(input: $input) { writeback { state } purchaseOrder { status note } } }',
      { input: { idempotencyKey: 'own-cancel', number, reason: 'not needed' } },
    )
    expect(cancelled.cancelPurchaseOrder).toEqual({
      writeback: { state: 'CONFIRMED' },
      purchaseOrder: { status: 'CANCELLED', note: 'not needed' },
    })
    expect(scm.calls.filter((call) => call.includes('/scm/order'))).toHaveLength(4)
    const nothing = await gateway.ask(
      'mutation ($input: UpdatePurchaseOrderInput!) { updatePurchaseOrder(input: $input) { writeback { state } } }',
      { input: { number, idempotencyKey: 'own-change-3' } },
    )
    expect(codesOf(nothing)).toEqual(['BAD_USER_INPUT'])
  })

  test('shows in the journal, in what the system can do, and to those who watch writes', async () => {
    const query =
      'subscription { writebackChanged(system: "scm", state: [CONFIRMED]) { id key record action state } }'
    await using watching = await gateway.listen(query)
    const { writeback } = await create('own-watch', { note: 'watched' })
    expect(await watching.payloads(1)).toEqual([
      { id: writeback.id, key: writeback.key, record: 'PurchaseOrder', action: 'create', state: 'CONFIRMED' },
    ])
    const { system } = await gateway.data(
      '{ system(id: "scm") { capabilities { record action writes batchLimit } feeds { polled } } }',
    )
    const of = (record: string) =>
      system.capabilities
        .filter((one: { record: string }) => one.record === record)
        .map(({ action, writes }: { action: string; writes: string | null }) => `${action} ${writes ?? '-'}`)
    expect(of('PurchaseOrder')).toEqual([
      'read -',
      'bySupplier -',
      'byItem -',
      'list -',
      'changes -',
      'create ON',
      'update ON',
      'cancel ON',
    ])
    expect(of('Supplier')).toEqual(['read -'])
    expect(system.feeds.polled).toEqual(['PurchaseOrder'])
  })
})

describe('changes of purchase orders', () => {
  const CHANGED = `subscription ($supplierNumber: ID, $status: [String!], $after: String, $initial: Boolean) {
    purchaseOrderChanged(supplierNumber: $supplierNumber, status: $status, after: $after, initial: $initial) {
      cursor event changes { field old new } purchaseOrder { number status lines { product { name } } }
    }
  }`
  const change = (no: string, fields: object) => {
    const order = world.get('purchaseOrders', no)
    if (!order) throw new Error(`no ${no}`)
    const revision = Math.max(...world.all('purchaseOrders').map((one) => one.revision)) + 1
    world.put('purchaseOrders', { ...order, ...fields, revision })
  }

  test('are told once, with what differs and products of the ERP; others by supplier and status are not', async () => {
    await gateway.poll('scm')
    await using all = await gateway.listen(CHANGED)
    await using narrow = await gateway.listen(CHANGED, { supplierNumber: 'S-300', status: ['RECEIVED'] })
    change('PO-0001', { status: 'PARTIAL' })
    change('PO-0003', { status: 'RECEIVED' })
    await gateway.poll('scm')
    expect(await all.payloads(2)).toEqual([
      {
        cursor: expect.any(String),
        event: 'purchaseorder.updated',
        changes: [{ field: 'status', old: '"OPEN"', new: '"PARTIAL"' }],
        purchaseOrder: {
          number: 'PO-0001',
          status: 'PARTIAL',
          lines: [{ product: { name: '精密轴承 6204' } }, { product: { name: '伺服电机 750W' } }],
        },
      },
      expect.objectContaining({
        purchaseOrder: expect.objectContaining({ number: 'PO-0003', status: 'RECEIVED' }),
      }),
    ])
    const [only] = await narrow.payloads(1)
    expect(only.purchaseOrder.number).toBe('PO-0003')
    expect(narrow.results).toHaveLength(1)
    // Who was away goes on where it stopped.
    const [{ cursor }] = await all.payloads(1)
    await using later = await gateway.listen(CHANGED, { after: cursor })
    expect((await later.payloads(1))[0].purchaseOrder.number).toBe('PO-0003')
  })

  test('make what was read before old: by key, by supplier and in lists', async () => {
    await gateway.poll('scm')
    const query =
      '{ purchaseOrder(number: "PO-0004") { status } supplier(number: "S-100") { orders { number status } } purchaseOrders(first: 100) { nodes { number status } } }'
    const shown = async () => {
      const { purchaseOrder, supplier, purchaseOrders } = await gateway.data(query)
      const inList = ({ number }: { number: string }) => number === 'PO-0004'
      return [
        purchaseOrder.status,
        supplier.orders.find(inList).status,
        purchaseOrders.nodes.find(inList).status,
      ]
    }
    expect(await shown()).toEqual(['PARTIAL', 'PARTIAL', 'PARTIAL'])
    change('PO-0004', { status: 'RECEIVED' })
    expect(await shown()).toEqual(['PARTIAL', 'PARTIAL', 'PARTIAL'])
    await gateway.poll('scm')
    expect(await shown()).toEqual(['RECEIVED', 'RECEIVED', 'RECEIVED'])
  })

  test('that we make ourselves are told too, as created; the present state comes first where it is asked for', async () => {
    await gateway.poll('scm')
    await using watching = await gateway.listen(CHANGED, { status: ['PARTIAL'], initial: true })
    const partial = world.all('purchaseOrders').filter(({ status }) => status === 'PARTIAL')
    const snapshot = await watching.payloads(partial.length)
    expect(new Set(snapshot.map(({ event }) => event))).toEqual(new Set(['snapshot']))
    expect(snapshot.map((one) => one.purchaseOrder.number).sort()).toEqual(partial.map(({ no }) => no).sort())
    await using all = await gateway.listen(CHANGED)
    const { writeback } = await create('own-told', { note: 'told' })
    await gateway.poll('scm')
    change('PO-0002', { note: 'after' })
    await gateway.poll('scm')
    expect((await all.payloads(2)).map(({ event, purchaseOrder }) => [event, purchaseOrder.number])).toEqual([
      ['purchaseorder.created', writeback.key],
      ['purchaseorder.updated', 'PO-0002'],
    ])
  })
})

describe('the service desk of the README', () => {
  const OPEN = /```graphql\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''

  test('opens a ticket for a customer of the CRM, closes it, and tells of both', async () => {
    await gateway.poll('desk')
    const query =
      'subscription { ticketChanged(number: "T1") { event changes { field new } ticket { state solution } } }'
    await using watching = await gateway.listen(query)
    expect(await gateway.data(OPEN)).toEqual({
      openTicket: {
        writeback: { state: 'CONFIRMED', key: 'T1' },
        ticket: { number: 'T1', state: 'open', customer: { name: '上海晨光精密机械有限公司' } },
      },
    })
    expect(desk.tickets.get('T1')).toMatchObject({ title: 'Spindle is loud', customer: '70007' })
    // The answer is lost: whether the ticket was closed, and so, is seen by reading it.
    desk.setFaults([{ kind: 'drop-after', match: 'POST /tickets/T1/close', times: 1 }])
    const { closeTicket } = await gateway.data(
      'mutation { closeTicket(input: { idempotencyKey: "close-1", number: "T1", solution: "oiled" }) { writeback { state attempts } ticket { state solution } } }',
    )
    expect(closeTicket).toEqual({
      writeback: { state: 'CONFIRMED', attempts: 1 },
      ticket: { state: 'closed', solution: 'oiled' },
    })
    expect(await watching.payloads(2)).toMatchObject([
      { event: 'ticket.created', changes: [] },
      {
        event: 'ticket.updated',
        changes: [
          { field: 'state', new: '"closed"' },
          { field: 'solution', new: '"oiled"' },
        ],
        ticket: { state: 'closed', solution: 'oiled' },
      },
    ])
  })

  test('whose answer to a new ticket is lost is not asked a second time', async () => {
    desk.setFaults([{ kind: 'drop-after', match: 'POST /tickets$', times: 1 }])
    const before = desk.tickets.size
    const lost = OPEN.replace('readme-1', 'readme-2')
    const { openTicket } = await gateway.data(lost)
    expect(openTicket.writeback).toEqual({ state: 'CONFIRMED', key: `T${before + 1}` })
    expect(desk.tickets.size).toBe(before + 1)
  })

  test('says which writes it takes', async () => {
    const { system } = await gateway.data('{ system(id: "desk") { capabilities { record action writes } } }')
    expect(system.capabilities.filter(({ writes }: { writes: string | null }) => writes !== null)).toEqual([
      { record: 'Ticket', action: 'create', writes: 'ON' },
      { record: 'Ticket', action: 'close', writes: 'ON' },
    ])
  })
})

test('invoices of a customer are found in a system that knows them by customer and has no list', async () => {
  const { customer } = await gateway.data(
    '{ customer(externalId: { system: "ledger", key: "D1" }) { name invoices { number totals { gross { amount } } } } }',
  )
  expect(customer).toEqual({
    name: 'Debtor 1',
    invoices: [{ number: 'B1', totals: { gross: { amount: '12.5' } } }],
  })
})
