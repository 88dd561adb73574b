/** Systems that bring their own types: the two worked examples, executed through the public door. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/observe/log.ts'
import type { Simulator } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { createHttpSystem } from '../../src/systems/http/adapter.ts'
import { httpConfig } from '../../src/systems/http/config.ts'
import { startHrSimulator } from '../../src/systems/http/examples/hr-simulator.ts'
import { startScmSimulator } from '../../src/systems/http/examples/scm-simulator.ts'
import { createSystems, type System } from '../../src/systems/registry.ts'
import { composeWith, configuredSubgraphs } from '../../subgraphs/configured/index.ts'
import { codesOf, idOf, openTestGateway, SMALL, type TestGateway } from '../e2e/kit.ts'
import { example } from './http-examples.ts'

let gateway: TestGateway
let hr: Simulator
let scm: Simulator
beforeAll(async () => {
  // The same seed gives the same world: its customers and items have the same keys.
  const world = new World(SMALL)
  const webhook = { url: () => `${gateway.url}/webhooks/hr`, secret: 'hr-webhook-secret-1234567' }
  hr = await startHrSimulator(world, { password: 'hr-secret-1', webhook })
  scm = await startScmSimulator(world, { clientSecret: 'scm-secret-1' })
  gateway = await openTestGateway({
    override(raw) {
      raw.systems.hr = example('hr', {
        HR_URL: hr.url,
        HR_PASSWORD: 'hr-secret-1',
        HR_WEBHOOK_SECRET: webhook.secret,
      })
      raw.systems.scm = example('scm', { SCM_URL: scm.url, SCM_SECRET: 'scm-secret-1' })
    },
  })
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await Promise.all([hr.close(), scm.close()])
})
afterEach(() => {
  for (const simulator of [hr, scm]) {
    simulator.setFaults([])
    simulator.clearCalls()
  }
})

describe('HR: types that nobody here has heard of', () => {
  test('an employee is read by number, with manager and reports', async () => {
    expect(
      await gateway.data(
        '{ employee(number: "E004") { number name department title phone hiredOn status manager { name reports { number } } } none: employee(number: "E999") { name } }',
      ),
    ).toEqual({
      employee: {
        number: 'E004',
        name: 'Jürgen Weiß',
        department: '销售部',
        title: 'Key Account Manager',
        phone: null,
        hiredOn: '2020-02-29',
        status: 'ON_LEAVE',
        manager: {
          name: '刘晓燕',
          reports: [{ number: 'E003' }, { number: 'E004' }, { number: 'E005' }].reverse(),
        },
      },
      none: null,
    })
  })

  test('the account manager of a customer stands beside its name from the CRM', async () => {
    const id = idOf('customer', 'crm', '70014')
    expect(
      await gateway.data(
        'query ($id: ID!) { customer(id: $id) { name accountManager { number name accounts { id name } } } }',
        { id },
      ),
    ).toEqual({
      customer: {
        name: 'Nordlicht Maschinenbau GmbH',
        accountManager: {
          number: 'E004',
          name: 'Jürgen Weiß',
          accounts: [
            { id, name: 'Nordlicht Maschinenbau GmbH' },
            { id: idOf('customer', 'crm', '70035'), name: '深圳云帆科技有限公司' },
            { id: idOf('customer', 'crm', '70056'), name: expect.any(String) },
          ],
        },
      },
    })
  })

  test('account managers of many customers cost one call', async () => {
    const { customers } = await gateway.data(
      '{ customers(first: 8) { nodes { externalIds { system key } accountManager { number } } } }',
    )
    expect(customers.nodes).toHaveLength(8)
    for (const { externalIds, accountManager } of customers.nodes) {
      const { key } = externalIds.find(({ system }: { system: string }) => system === 'crm')
      const rank = (Number(key) - 70_007) / 7
      expect(accountManager.number).toBe(['E003', 'E004', 'E005'][rank % 3])
    }
    expect(hr.calls.filter((call) => call.includes('customerNos')).length).toBeLessThanOrEqual(1)
  })

  test('a list goes on by cursor and can be narrowed', async () => {
    const query =
      'query ($after: String, $department: String) { employees(first: 2, after: $after, department: $department) { nodes { number } pageInfo { hasNextPage endCursor } } }'
    const numbers: string[] = []
    let after: string | null = null
    do {
      const { employees } = await gateway.data(query, { after, department: '销售部' })
      numbers.push(...employees.nodes.map(({ number }: { number: string }) => number))
      after = employees.pageInfo.hasNextPage ? employees.pageInfo.endCursor : null
    } while (after !== null)
    expect(numbers).toEqual(['E002', 'E003', 'E004', 'E005'])
    const { employees } = await gateway.data('{ employees(first: 1) { pageInfo { endCursor } } }')
    const foreign = await gateway.ask(query, { after: employees.pageInfo.endCursor, department: '销售部' })
    expect(codesOf(foreign)).toEqual(['CURSOR_INVALID'])
  })

  test('a customer is given to another employee; HR tells of both, and everybody who asks sees it', async () => {
    const id = idOf('customer', 'crm', '70021')
    const query = 'query ($id: ID!) { customer(id: $id) { name accountManager { number } } }'
    const managed = async () => (await gateway.data(query, { id })).customer.accountManager.number
    expect(await managed()).toBe('E005')
    await using watching = await gateway.listen(
      'subscription { employeeChanged(department: "销售部") { event changes { field } employee { number accounts { id } } } }',
    )
    const assign = (number: string, idempotencyKey: string) =>
      gateway.data(
        'mutation ($input: AssignAccountManagerInput!) { assignAccountManager(input: $input) { writeback { state attempts problem { vendorCode message } } employee { number } } }',
        { input: { idempotencyKey, number, customerId: id } },
      )
    const away = { vendorCode: '4221', message: 'Jürgen Weiß 不在岗' }
    expect((await assign('E004', 'assign-1')).assignAccountManager).toEqual({
      writeback: { state: 'REJECTED', attempts: 1, problem: away },
      employee: null,
    })
    // Whether it was done is seen by reading who looks after whom.
    hr.setFaults([{ kind: 'drop-after', match: 'POST /api/employees/E003/customers', times: 1 }])
    expect((await assign('E003', 'assign-2')).assignAccountManager).toMatchObject({
      writeback: { state: 'CONFIRMED', attempts: 1 },
      employee: { number: 'E003' },
    })
    expect(await managed()).toBe('E003')
    const told = await watching.payloads(2)
    const accountsOf = (number: string) =>
      told
        .find(({ employee }) => employee.number === number)
        .employee.accounts.map((one: { id: string }) => one.id)
    expect(told.map(({ event }) => event)).toEqual(['employee.updated', 'employee.updated'])
    expect(accountsOf('E003')).toContain(id)
    expect(accountsOf('E005')).not.toContain(id)
  })

  test('when HR is away, customers are still there; what HR said last is said again', async () => {
    const id = idOf('customer', 'crm', '70028')
    const query = 'query ($id: ID!) { customer(id: $id) { name accountManager { name } } }'
    hr.setFaults([{ kind: 'refuse' }])
    const answer = await gateway.ask(
      'query ($id: ID!) { customer(id: $id) { name } employee(number: "E777") { name } }',
      { id },
    )
    expect(answer.data.customer.name).toBe('株式会社みなと物産')
    expect(codesOf(answer)).toEqual(['SYSTEM_UNAVAILABLE'])
    expect(answer.errors?.[0]?.extensions).toMatchObject({ system: 'hr', retryable: true })
    expect((await gateway.ask(query, { id })).data.customer.name).toBe('株式会社みなと物産')
  })
})

describe('SCM: XML that becomes part of the graph', () => {
  test('a purchase order with its supplier and the products of the ERP', async () => {
    expect(
      await gateway.data(
        `{ purchaseOrder(number: "PO-0002") { number orderedOn status total { amount currency } supplier { number name country email }
           lines { lineNumber product { sku name } quantity { value vendorUnit } unitPrice { amount currency } } } }`,
      ),
    ).toEqual({
      purchaseOrder: {
        number: 'PO-0002',
        orderedOn: '2026-05-02',
        status: 'PARTIAL',
        // 20 × 1008.0000 + 20 × 213.9000
        total: { amount: '24438.00', currency: 'CNY' },
        supplier: {
          number: 'S-200',
          name: 'Müller & Söhne <Antriebe> GmbH',
          country: 'DE',
          email: 'vertrieb@mueller.example',
        },
        lines: [
          {
            lineNumber: '10',
            product: { sku: 'A00002', name: '伺服电机 750W' },
            quantity: { value: '20', vendorUnit: '台' },
            unitPrice: { amount: '1008.0000', currency: 'CNY' },
          },
          {
            lineNumber: '20',
            product: { sku: 'A00003', name: '线性导轨 1m' },
            quantity: { value: '20', vendorUnit: '根' },
            unitPrice: { amount: '213.9000', currency: 'CNY' },
          },
        ],
      },
    })
  })

  test('a product knows its purchase orders, a supplier too; lists are walked to their end', async () => {
    const id = idOf('product', 'erp', 'A00003')
    const { product, supplier } = await gateway.data(
      'query ($id: ID!) { product(id: $id) { sku purchaseOrders { number } } supplier(number: "S-300") { name email orders { number supplier { number } } } }',
      { id },
    )
    expect(product).toEqual({ sku: 'A00003', purchaseOrders: [{ number: 'PO-0003' }, { number: 'PO-0002' }] })
    expect(supplier).toEqual({
      name: '東京精工株式会社',
      email: '',
      orders: [
        { number: 'PO-0006', supplier: { number: 'S-300' } },
        { number: 'PO-0003', supplier: { number: 'S-300' } },
      ],
    })
    const { purchaseOrders } = await gateway.data(
      '{ purchaseOrders(first: 100) { edges { cursor node { number } } pageInfo { hasNextPage } } }',
    )
    expect(purchaseOrders.edges.map(({ node }: { node: { number: string } }) => node.number)).toEqual(
      [8, 7, 6, 5, 4, 3, 2, 1].map((n) => `PO-000${n}`),
    )
    expect(purchaseOrders.pageInfo.hasNextPage).toBe(false)
  })

  test('one question spans CRM, ERP, HR and SCM', async () => {
    const answer = await gateway.ask(
      `{ customer(externalId: { system: "crm", key: "70007" }) { name accountManager { name }
           orders(first: 1) { lines { product { sku purchaseOrders { number supplier { name } } } } } } }`,
    )
    expect(answer.errors).toBeUndefined()
    expect(answer.data.customer).toMatchObject({
      name: '上海晨光精密机械有限公司',
      accountManager: { name: '赵敏' },
    })
    const sources = answer.extensions?.sources as { system: string; record: string }[]
    expect(new Set(sources.map(({ system }) => system))).toEqual(new Set(['crm', 'erp', 'hr', 'scm']))
  })
})

describe('a configured schema', () => {
  interface Graph {
    sdl: string
    fields: Record<string, object>
    mutations: Record<string, object>
    subscriptions: Record<string, { filters?: string[] }>
  }

  /** As at the start: the schema of an example, changed, beside systems that nobody asks. */
  const compose = async (change: (graph: Graph) => void, name: 'hr' | 'scm' = 'hr') => {
    const { kind, environment, writes, timeout, pollEvery, ...settings } = example(name, {
      HR_URL: hr.url,
      SCM_URL: scm.url,
      HR_WEBHOOK_SECRET: 'hr-webhook-secret-1234567',
    })
    change(settings.graph as Graph)
    const adapter = createHttpSystem(httpConfig.parse({ ...settings, auth: { type: 'none' } }), {
      systemId: name,
      log: silentLog,
      timeoutMs: 1_000,
    })
    const systems = createSystems([
      { id: 'crm', adapter: { kind: 'none', ports: {} } },
      { id: 'erp', adapter: { kind: 'none', ports: {} } },
      { id: name, adapter },
    ] as unknown as readonly System[])
    return composeWith(configuredSubgraphs({ systems }))
  }

  test('becomes part of the supergraph', async () => {
    expect(await compose(() => {})).toContain('accountManager: Employee @join__field(graph: HR)')
  })

  test.each<[string, (graph: Graph) => void, RegExp]>([
    [
      'is no schema',
      (graph) => {
        graph.sdl = 'type {'
      },
      /systems\.hr\.graph\.sdl: is no GraphQL schema: Syntax Error/,
    ],
    [
      'leaves a field without a source',
      (graph) => {
        graph.sdl = graph.sdl.replace('title: String', 'title: String salary: Decimal')
      },
      /nothing tells where Employee\.salary comes from/,
    ],
    [
      'leaves a field of another type without a source',
      (graph) => {
        delete graph.fields['Customer.accountManager']
      },
      /nothing tells where Customer\.accountManager comes from/,
    ],
    [
      'names a system that is not there',
      (graph) => {
        graph.fields['Employee.accounts'] = { get: 'entity', entity: 'Customer', system: 'cmr', key: 'x' }
      },
      /fields\.Employee\.accounts\.system: names no system: "cmr"\n\s*Systems: crm, erp, hr/,
    ],
    [
      'names a field that is not there',
      (graph) => {
        graph.fields['Employee.boss'] = { get: 'record', type: 'Employee', key: 'x' }
      },
      /fields\.Employee\.boss: is not in the schema/,
    ],
    [
      'has a mutation of which nothing is said',
      (graph) => {
        graph.sdl += 'type Mutation { fire(number: ID!): Employee }'
      },
      /nothing tells where Mutation\.fire comes from\n\s*Add it to mutations/,
    ],
    [
      'has an argument that the request does not see',
      (graph) => {
        graph.sdl = graph.sdl.replace('department: String):', 'department: String, title: String):')
      },
      /the argument "title" of Query\.employees would be overlooked\n\s*Add it to types\.Employee\.list\.filters/,
    ],
    [
      'takes a field that another subgraph has',
      (graph) => {
        graph.sdl = graph.sdl.replace('accountManager: Employee', 'accountManager: Employee name: String')
        graph.fields['Customer.name'] = graph.fields['Customer.accountManager'] ?? {}
      },
      /systems\.hr\.graph\.sdl: does not fit into the graph: .*Customer\.name/,
    ],
    [
      'says something else of a shared type',
      (graph) => {
        graph.sdl += 'type Money { amount: Float }'
      },
      /systems\.hr\.graph\.sdl: .*Money/,
    ],
  ])('that %s is refused at the start, with its place', async (_title, change, words) => {
    await expect(compose(change)).rejects.toThrow(words)
  })

  const replace = (text: string, by: string) => (graph: Graph) => {
    expect(graph.sdl).toContain(text)
    graph.sdl = graph.sdl.replace(text, by)
  }

  test.each<[string, (graph: Graph) => void, RegExp]>([
    [
      'an input without a key of its own intention',
      replace('idempotencyKey: ID!', 'idempotencyKey: ID'),
      /the input of Mutation\.createPurchaseOrder must have "idempotencyKey: ID!"/,
    ],
    [
      'an update that does not say of what',
      replace('number: ID!\n  expectedOn: Date\n', 'no: ID!\n  expectedOn: Date\n'),
      /the input of Mutation\.updatePurchaseOrder must have "number": it says which PurchaseOrder is meant/,
    ],
    [
      'an update of what cannot be seen afterwards',
      replace('expectedOn: Date\n  note', 'urgent: Boolean\n  note'),
      /"urgent", which is no mapped field of PurchaseOrder: whether it was changed could not be seen/,
    ],
    [
      'an answer without the writeback',
      replace('writeback: Writeback!', 'done: Boolean'),
      /Mutation\.createPurchaseOrder must answer with a type that has "writeback: Writeback!"[\s\S]*where PurchaseOrderPayload\.done comes from/,
    ],
    [
      'ids that are not in the input',
      (graph) => {
        Object.assign(graph.mutations.createPurchaseOrder as object, {
          ids: { 'lines.product': { entity: 'Product', system: 'epr' } },
        })
      },
      /ids\.lines\.product: is not in the input of Mutation\.createPurchaseOrder[\s\S]*system: names no system: "epr"/,
    ],
    [
      'a subscription with an argument of which nothing is said',
      replace('supplierNumber: ID\n    status', 'productId: ID\n    status'),
      /the argument "productId" of Subscription\.purchaseOrderChanged would be overlooked[\s\S]*"supplierNumber" is no argument of/,
    ],
    [
      'a message with a field of which nothing is said',
      replace('gap: EventGap', 'gap: EventGap\n  supplier: Supplier'),
      /nothing tells where PurchaseOrderChange\.supplier comes from: Subscription\.purchaseOrderChanged answers with PurchaseOrder and cursor, event, time, changes, gap/,
    ],
  ])('that writes and tells, with %s, is refused at the start', async (_title, change, words) => {
    await expect(compose(change, 'scm')).rejects.toThrow(words)
  })
})
