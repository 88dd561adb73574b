import { describe, expect, it } from 'vitest'
import { callsSchema } from '../../src/calls/config.ts'
import { type CallLog, createCallLog } from '../../src/calls/log.ts'
import { createMask } from '../../src/calls/mask.ts'
import { silentLog } from '../../src/observe/log.ts'
import { World } from '../../src/simulation/world.ts'
import { startSalesforceSimulator } from '../../src/systems/salesforce/simulator.ts'
import { codesOf, idOf, openTestGateway, READER, SMALL } from '../e2e/kit.ts'
import { places } from '../store/stores.ts'

const CREATE = `mutation C($input: CreateOrderInput!) { createOrder(input: $input) { writeback { id state problem { details { name value } } } } }`
const input = (idempotencyKey: string, quantity = '1') => ({
  idempotencyKey,
  customerId: idOf('customer', 'crm', '70007'),
  dueDate: '2026-12-31',
  lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity }],
})
const CALLS = `query Q($system: ID, $operation: String, $writeback: ID, $key: String, $outcome: CallOutcome, $after: String, $first: Int) {
  systemCalls(system: $system, operation: $operation, writeback: $writeback, key: $key, outcome: $outcome, after: $after, first: $first) {
    nodes { at operation request key attempt subject origin outcome status took requestBody responseBody
      system { id } writeback { id } } pageInfo { hasNextPage endCursor } } }`

describe('the log of calls', () => {
  it('has each write with what was sent, what came back, for whom and how long it took', async () => {
    await using gateway = await openTestGateway()
    const { createOrder } = await gateway.data(CREATE, { input: input('logged') })
    const { id } = createOrder.writeback
    const { systemCalls } = await gateway.data(CALLS, { writeback: id, operation: 'order.create' })
    const sent = systemCalls.nodes.find(({ request }: { request: string }) => request.startsWith('POST '))
    expect(sent).toMatchObject({
      system: { id: 'erp' },
      operation: 'order.create',
      request: 'POST /b1s/v2/Orders',
      key: 'logged',
      attempt: 1,
      subject: 'demo',
      outcome: 'OK',
      status: 201,
      writeback: { id },
    })
    expect(JSON.parse(sent.requestBody)).toMatchObject({ CardCode: 'C20001' })
    expect(sent.responseBody).toContain('DocEntry')
    expect(Math.abs(Date.now() - Date.parse(sent.at))).toBeLessThan(30_000)
  })

  it('keeps no credentials, in no form', async () => {
    await using gateway = await openTestGateway({
      override: (file) => Object.assign(file, { calls: { reads: 1 } }),
    })
    await gateway.data(
      '{ customers(first: 3) { nodes { name balances { open { amount } } orders(first: 1) { number } } } }',
    )
    const { systemCalls } = await gateway.data(CALLS, { first: 100 })
    const text = JSON.stringify(systemCalls)
    // The ERP's login is among them; its password is "demo", the CRM's token and the service's password are these.
    expect(text).toContain('/Login')
    expect(text).not.toMatch(/demo-crm-token|finance-demo|Password\\":\\"demo/)
    expect(
      systemCalls.nodes.some(({ operation }: { operation: string }) => operation === 'read receivable'),
    ).toBe(true)
  })

  it('has what failed, and of reads nothing else unless told to', async () => {
    await using gateway = await openTestGateway()
    await gateway.data('{ opportunities(first: 2) { nodes { name } } }')
    gateway.demo.simulators.crm.setFaults([{ kind: 'status', status: 500 }])
    await gateway.ask('{ opportunity(id: "1b3BwCmNybQpPUC0wMDAwNA") { name } }')
    await gateway.ask(`{ opportunity(id: "${idOf('opportunity', 'crm', 'OP-00004')}") { name } }`)
    const { systemCalls } = await gateway.data(CALLS, { system: 'crm' })
    const reads = systemCalls.nodes.filter(
      ({ operation }: { operation: string }) => operation === 'read opportunity',
    )
    expect(reads.length).toBeGreaterThan(0)
    for (const one of reads) expect(one).toMatchObject({ outcome: 'FAILED', status: 500, key: 'OP-00004' })
    expect(systemCalls.nodes.every(({ outcome }: { outcome: string }) => outcome !== 'OK')).toBe(true)
  })

  it('is for operators; what is erased is gone, and it is kept who asked for that', async () => {
    await using gateway = await openTestGateway()
    expect(codesOf(await gateway.ask(CALLS, {}, READER))).toEqual(['FORBIDDEN'])
    await gateway.data(CREATE, { input: input('erase-me') })
    const erase =
      'mutation E($input: EraseCallsInput!) { eraseCalls(input: $input, reason: "asked by the person") }'
    expect(codesOf(await gateway.ask(erase, { input: { system: 'erp' } }))).toEqual(['BAD_USER_INPUT'])
    const { eraseCalls } = await gateway.data(erase, { input: { containing: 'c20001' } })
    expect(eraseCalls).toBeGreaterThan(0)
    const { systemCalls } = await gateway.data(CALLS, { system: 'erp', first: 100 })
    expect(JSON.stringify(systemCalls)).not.toContain('C20001')
    const erased = systemCalls.nodes.find(({ request }: { request: string }) => request === 'erased')
    expect(erased).toMatchObject({
      operation: 'order.create',
      outcome: 'OK',
      requestBody: null,
      responseBody: null,
    })
    const { operatorActions } = await gateway.data('{ operatorActions { nodes { action about reason } } }')
    expect(operatorActions.nodes[0]).toEqual({
      action: 'erase calls',
      about: 'all systems',
      reason: 'asked by the person',
    })
  })
})

describe('of a system whose address the login tells', () => {
  it('has the calls to that address, too', { timeout: 30_000 }, async () => {
    const auth = { clientId: 'app', clientSecret: 'sf-secret-1' }
    const org = await startSalesforceSimulator(new World(SMALL), auth)
    try {
      await using gateway = await openTestGateway({
        override(file) {
          file.systems.sf = {
            kind: 'salesforce',
            environment: 'test',
            writes: 'on',
            pollEvery: '0s',
            loginUrl: org.url,
            auth: { method: 'clientCredentials', ...auth },
          }
        },
      })
      const { updateOpportunity } = await gateway.data(
        `mutation U($id: ID!) { updateOpportunity(input: { idempotencyKey: "sf-1", id: $id, stage: WON }) {
          writeback { id state } } }`,
        { id: idOf('opportunity', 'sf', '0065gK000000001ABA') },
      )
      expect(updateOpportunity.writeback.state).toBe('CONFIRMED')
      const { id } = updateOpportunity.writeback
      const { systemCalls } = await gateway.data(CALLS, { writeback: id, operation: 'opportunity.update' })
      expect(systemCalls.nodes).toContainEqual(
        expect.objectContaining({
          system: { id: 'sf' },
          request: expect.stringMatching(/^PATCH \/services\/data\/.*0065gK000000001ABA/),
          subject: 'demo',
          attempt: 1,
          outcome: 'OK',
        }),
      )
      expect(JSON.stringify(systemCalls)).not.toContain('sf-secret-1')
    } finally {
      await org.close()
    }
  })
})

describe.each(places)('what is kept on $name', ({ make, available }) => {
  const HOUR = 3_600_000
  const exchange = (path: string, took = 5) => ({
    ...{
      method: 'POST',
      path,
      writes: true,
      body: '{}',
      answer: '{}',
      status: 201,
      failure: undefined,
      took,
    },
  })
  const withLog = async (settings: object, use: (log: CallLog) => Promise<void>) => {
    await using place = make()
    const store = await place.open()
    const log = createCallLog(store, { ...callsSchema.parse({}), ...settings }, silentLog)
    try {
      await use(log)
    } finally {
      await log.close()
      await store.close()
    }
  }
  const paths = async (log: CallLog) =>
    (await log.list({ first: 5_000, tenant: 'demo' })).map(({ request }) => request.slice('POST '.length))

  it.skipIf(!available)('is younger than `keep`', async () => {
    await withLog({ keep: HOUR }, async (log) => {
      // A call is of the time at which it began. There are more than go in one transaction.
      for (let n = 0; n < 1_200; n++) log.told?.(exchange(`/old/${n}`, 2 * HOUR), undefined)
      log.told?.(exchange('/young', HOUR / 2), undefined)
      await log.flush()
      expect(await paths(log)).toHaveLength(1_201)
      await log.prune()
      expect(await paths(log)).toEqual(['/young'])
    })
  })

  it.skipIf(!available)('is no more than `maxCalls`, the newest ones', async () => {
    await withLog({ maxCalls: 3 }, async (log) => {
      for (let n = 1; n <= 1_500; n++) log.told?.(exchange(`/${n}`), undefined)
      await log.flush()
      await log.prune()
      expect(await paths(log)).toEqual(['/1500', '/1499', '/1498'])
    })
  })
})

describe('masking', () => {
  const mask = createMask(['phone'])
  it.each([
    ['{"Password":"a\\"b","UserName":"m"}', '{"Password":"***","UserName":"m"}'],
    [
      '{"access_token" : "x.y", "app-secret":"s", "n":1}',
      '{"access_token" : "***", "app-secret":"***", "n":1}',
    ],
    ['{"phone":13800138000,"mobilePhone":"1"}', '{"phone":"***","mobilePhone":"***"}'],
    ['{"password":"cut off in the mid', '{"password":"***"'],
    [
      '<wsse:Password Type="x">geheim</wsse:Password><A>1</A>',
      '<wsse:Password Type="x">***</wsse:Password><A>1</A>',
    ],
    ['grant_type=x&client_secret=abc&scope=y', 'grant_type=x&client_secret=***&scope=y'],
    ['/api?sign=ABC&t=1', '/api?sign=***&t=1'],
    ['{"data":"{\\"token\\":\\"t-1\\",\\"a\\":1}"}', '{"data":"{\\"token\\":\\"***\\",\\"a\\":1}"}'],
    ['{"designation":"Ms","signal":"on"}', '{"designation":"Ms","signal":"on"}'],
  ])('of %s', (text, masked) => {
    expect(mask(text)).toBe(masked)
  })
})
