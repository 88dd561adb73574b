import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  startSimulatorServer,
} from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import { createHttpSystem } from '../../src/systems/http/adapter.ts'
import { httpConfig } from '../../src/systems/http/config.ts'
import type { Adapter, RecordPort, WriteContext } from '../../src/systems/port.ts'
import type { RecordType } from '../../src/systems/records.ts'
import { startRestCrmSimulator } from '../../src/systems/rest-crm/simulator.ts'

const TOKEN = 'token-7f3a9e'
const context = { caller: gatewayCaller }
const write: WriteContext = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: '王芳' }

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function connect(settings: Record<string, unknown>, timeoutMs = 2_000): Adapter {
  const adapter = createHttpSystem(httpConfig.parse(settings), { systemId: 'any', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  return adapter
}

/** The port with everything that a test may want to call; what is not configured fails when it is called. */
function portOf<T extends RecordType>(adapter: Adapter, type: T): Required<RecordPort<T>> {
  const port = adapter.ports[type]
  if (!port) throw new Error(`no ${type} port`)
  return port as unknown as Required<RecordPort<T>>
}

function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}
const failureOf = (outcome: Outcome<unknown> | undefined) =>
  outcome && !outcome.ok ? outcome.failure : undefined

const CRM = parse(`
auth: { type: bearer, token: ${TOKEN} }
errors:
  when: code != "0"
  code: code
  message: message
  field: details.field
  details: details
  kinds: { unauthorized: ['40100'], notFound: ['40401', '40402'], conflict: ['41200', '40900'] }
records:
  customer:
    read: { request: { path: /api/customers, query: { ids: "{$join(keys, ',')}" } }, items: data.items, batchLimit: 100 }
    list:
      request: { path: /api/customers, query: { page: '{page}', limit: '{size}', search: '{search}' } }
      items: data.items
      paging: { style: page, size: 5, hasMore: data.pagination.hasMore }
      filters: [search]
    changes:
      request: { path: /api/customers, query: { updatedSince: '{since}', page: '{page}', limit: '{size}' } }
      items: data.items
      paging: { style: page, size: 3, hasMore: data.pagination.hasMore }
      follow: { by: time, now: timestamp, changedAt: updateDate, overlapSeconds: 5 }
    update:
      request:
        method: PUT
        path: /api/customers/{key}
        headers: { If-Match: '"{version}"', X-On-Behalf-Of: '{$encodeUrlComponent(onBehalfOf)}' }
        body: "{ 'customerName': changes.name, 'level': changes.level, 'phone': changes.phone }"
      record: data
      conditional: true
    map:
      key: customerId
      version: revision
      name: customerName
      level: level
      industry: industry
      taxNumber: taxNumber
      phone: phone
      email: email
      addresses: "address.{ 'type': 'OFFICE', 'street': street, 'city': city }"
      contacts: "contacts.{ 'name': name, 'title': title, 'primary': primary }"
      createdAt: createDate
      updatedAt: updateDate
    customFields: { shortName: '$substring(customerName, 0, 4)' }
  opportunity:
    read: { request: { path: '/api/opportunities/{key}' }, items: data }
    lookups:
      byCustomer:
        request: { path: /api/opportunities, query: { customerIds: "{$join(keys, ',')}", page: '{page}', limit: '{size}' } }
        items: data.items
        paging: { style: page, size: 2, hasMore: data.pagination.hasMore }
        batchLimit: 50
        key: customerId
    list:
      request: { path: /api/opportunities, query: { after: '{cursor}', limit: '{size}', customerIds: '{customer}' } }
      items: data.items
      paging: { style: cursor, size: 5, next: "data.pagination.hasMore ? data.items[-1].(createDate & ',' & opportunityId)" }
      filters: [customer]
    create:
      request:
        path: /api/opportunities
        body: >
          { 'name': input.name, 'customerId': input.customer, 'stage': input.stage, 'amount': input.amount.amount,
            'currency': input.amount.currency, 'closeDate': input.closeDate, 'externalRef': reference }
      key: data.opportunityId
      record: data
      duplicate: { codes: ['40901'], key: opportunityId }
      unique: true
    find: { request: { path: /api/opportunities, query: { externalRef: '{reference}' } }, items: data.items, reference: externalRef }
    map:
      key: opportunityId
      name: name
      customer: customerId
      stage: stage
      amount: "amount ? { 'amount': amount, 'currency': currency }"
      probability: probability
      closeDate: closeDate
      owner: owner
      externalReference: externalRef
`)

async function startCrm(options: { customers?: number; timeoutMs?: number; settings?: object } = {}) {
  const world = new World({ customers: options.customers ?? 12, orders: 0 })
  const crm = await startRestCrmSimulator(world, { auth: { type: 'bearer', token: TOKEN } })
  cleanups.push(() => crm.close())
  const adapter = connect({ baseUrl: crm.url, ...CRM, ...options.settings }, options.timeoutMs)
  return {
    world,
    crm,
    adapter,
    customer: portOf(adapter, 'customer'),
    opportunity: portOf(adapter, 'opportunity'),
  }
}

describe('a CRM described by configuration', () => {
  test('gives a customer with everything that is mapped', async () => {
    const { customer } = await startCrm()
    const [outcome] = await customer.readMany(['70007'], context)
    expect(given(outcome)).toEqual({
      key: '70007',
      version: '1',
      name: '上海晨光精密机械有限公司',
      code: null,
      type: null,
      level: 'VIP',
      vendorLevel: 'VIP',
      industry: '机械制造',
      taxNumber: '91310001MA1K007919',
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      contacts: [
        { name: '王芳', title: '采购总监', phone: null, email: null, primary: true },
        { name: '李强', title: '财务经理', phone: null, email: null, primary: false },
      ],
      addresses: [
        {
          type: 'OFFICE',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: null,
          postalCode: null,
          country: null,
        },
      ],
      account: null,
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-03-31T09:00:00.000Z',
      customFields: { shortName: '上海晨光' },
    })
  })

  test('answers stand in the order of the keys, missing ones are null, repeated ones are asked once', async () => {
    const { customer, crm } = await startCrm()
    const outcomes = await customer.readMany(['70035', '99999', '70014', '70035', ''], context)
    expect(outcomes.map((outcome) => given(outcome)?.key ?? null)).toEqual([
      '70035',
      null,
      '70014',
      '70035',
      null,
    ])
    expect(crm.calls).toEqual(['GET /api/customers?ids=70035%2C99999%2C70014'])
  })

  test('reads one by one where the system has no batch, and no key climbs out of its path', async () => {
    const { opportunity, crm } = await startCrm()
    const outcomes = await opportunity.readMany(['OP-00002', '..', 'a/b', 'OP-99999', 'OP-00001'], context)
    expect(outcomes.map((outcome) => given(outcome)?.key ?? null)).toEqual([
      'OP-00002',
      null,
      null,
      null,
      'OP-00001',
    ])
    expect([...crm.calls].sort()).toEqual([
      'GET /api/opportunities/OP-00001',
      'GET /api/opportunities/OP-00002',
      'GET /api/opportunities/OP-99999',
      'GET /api/opportunities/a%2Fb',
    ])
  })
})
