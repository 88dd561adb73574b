import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { checkConfig } from '../../src/config/load.ts'
import { silentLog } from '../../src/observe/log.ts'
import { World } from '../../src/simulation/world.ts'
import { failureText, type Outcome } from '../../src/systems/failure.ts'
import type { StreamBatch, WriteContext } from '../../src/systems/port.ts'
import { createSalesforce } from '../../src/systems/salesforce/adapter.ts'
import { salesforceConfig } from '../../src/systems/salesforce/config.ts'
import {
  type SalesforceSimulatorOptions,
  startSalesforceSimulator,
} from '../../src/systems/salesforce/simulator.ts'

const SECRET = 'consumer-secret-5d1c'
const context = { caller: gatewayCaller }
const REFERENCE = '0123456789abcdef0123456789abcdef'
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: '王芳' }

/** 上海晨光, Nordlicht, Pacific Rim and 深圳云帆: customers 70007, 70014, 70021 and 70035 of the world. */
const CHENGUANG = '0015gK000070007ABA'
const NORDLICHT = '0015gK000070014ABA'
const FIRST_DEAL = '0065gK000000001ABA'
const FOURTH_DEAL = '0065gK000000004ABA'

const ORG = {
  fields: {
    level: 'CustomerLevel__c',
    taxNumber: 'Tax_Number__c',
    email: 'Email__c',
    primaryContact: 'Primary__c',
    onBehalfOf: 'Requested_By__c',
  },
  levelCodes: { Platinum: 'VIP', Gold: 'PREMIUM', Silver: 'STANDARD', Bronze: 'BASIC' },
  customFields: { customer: { contract: 'Contract_No__c', checked: 'Credit_Check__c' } },
}

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type Settings = Record<string, unknown>

interface StartOptions extends Partial<SalesforceSimulatorOptions> {
  readonly settings?: Settings
  readonly timeoutMs?: number
  readonly customers?: number
}

function connect(loginUrl: string, settings: Settings = {}, timeoutMs = 3_000) {
  const auth = { method: 'clientCredentials', clientId: 'app', clientSecret: SECRET }
  const config = salesforceConfig.parse({ loginUrl, auth, ...ORG, ...settings })
  const adapter = createSalesforce(config, { systemId: 'crm', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  const { customer, opportunity } = adapter.ports
  const { update, list, changes } = customer ?? {}
  if (!customer || !update || !list || !changes) throw new Error('no customer port')
  const {
    create,
    update: change,
    actions,
    lookups,
    list: listDeals,
    changes: dealChanges,
  } = opportunity ?? {}
  const { win } = actions ?? {}
  if (!opportunity || !create || !change || !win || !lookups?.byCustomer || !listDeals || !dealChanges) {
    throw new Error('no opportunity port')
  }
  return {
    adapter,
    customer: { ...customer, update, list, changes },
    opportunity: {
      ...opportunity,
      create,
      update: change,
      win,
      byCustomer: lookups.byCustomer,
      list: listDeals,
      changes: dealChanges,
    },
  }
}

async function start({ settings, timeoutMs, customers, ...options }: StartOptions = {}) {
  const world = new World({ customers: customers ?? 12, orders: 0 })
  const org = await startSalesforceSimulator(world, { clientId: 'app', clientSecret: SECRET, ...options })
  cleanups.push(() => org.close())
  return { world, org, ...connect(org.url, settings, timeoutMs) }
}

function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}
const failureOf = (outcome: Outcome<unknown> | undefined) =>
  outcome && !outcome.ok ? outcome.failure : undefined
const dataCalls = (calls: readonly string[]) => calls.filter((call) => call.includes('/services/data/'))

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 5_000) throw new Error('waited in vain')
    await delay(10)
  }
}

describe('reading', () => {
  test('a customer carries its account and its contacts, in one call', async () => {
    const { customer, org } = await start()
    org.org.setExtra(CHENGUANG, 'Contract_No__c', '合同-７７🚚')
    await customer.readMany([CHENGUANG], context)
    org.clearCalls()
    const [outcome] = await customer.readMany([CHENGUANG], context)
    expect(given(outcome)).toEqual({
      key: CHENGUANG,
      version: '2026-03-31T09:00:00.000Z',
      name: '上海晨光精密机械有限公司',
      code: '70007',
      parent: null,
      level: 'VIP',
      vendorLevel: 'Platinum',
      industry: '机械制造',
      taxNumber: '91310001MA1K007919',
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      contacts: [
        {
          name: '王芳',
          title: '采购总监',
          phone: '+86 21 5550 0001',
          email: 'contact1@chenguang-jm.example',
          primary: true,
        },
        {
          name: '李强',
          title: '财务经理',
          phone: '+86 21 5550 0001',
          email: 'contact2@chenguang-jm.example',
          primary: false,
        },
      ],
      addresses: [
        {
          type: 'BILLING',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: '上海市',
          postalCode: '201203',
          country: 'CN',
        },
      ],
      customFields: { contract: '合同-７７🚚', checked: 'false' },
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-03-31T09:00:00.000Z',
    })
    expect(org.calls).toEqual(['POST /services/data/v61.0/composite'])
  })

  test('answers stand in the order of the keys; short ids are long ones; what is none is never asked', async () => {
    const { customer, org } = await start()
    const keys = [
      NORDLICHT,
      '0015gK000099999ABA',
      '0015gK000070007',
      CHENGUANG,
      NORDLICHT,
      '',
      "x' OR Name != '",
      FIRST_DEAL,
      '0015gK000070007ABB',
    ]
    const outcomes = await customer.readMany(keys, context)
    expect(outcomes.map((outcome) => given(outcome)?.key ?? null)).toEqual([
      NORDLICHT,
      null,
      CHENGUANG,
      CHENGUANG,
      NORDLICHT,
      null,
      null,
      null,
      null,
    ])
    org.clearCalls()
    expect(await customer.readMany(["' OR Id != '"], context)).toEqual([{ ok: true, value: null }])
    expect(org.calls).toEqual([])
  })

  test('an account says whether it is active, and to which other it belongs', async () => {
    const { customer, org } = await start({ settings: { fields: { status: 'Active__c' } } })
    org.org.setExtra(CHENGUANG, 'ParentId', NORDLICHT)
    org.org.setExtra(NORDLICHT, 'Active__c', 'No')
    const pacific = org.accountId('70021')
    org.org.setExtra(pacific, 'Active__c', 'On hold')
    const read = (await customer.readMany([CHENGUANG, NORDLICHT, pacific], context)).map(given)
    expect(read).toMatchObject([
      { parent: NORDLICHT, status: 'ACTIVE', vendorStatus: 'Yes' },
      { parent: null, status: 'INACTIVE', vendorStatus: 'No' },
      { parent: null, status: 'UNKNOWN', vendorStatus: 'On hold' },
    ])
  })

  test('many keys go in batches, and long queries in bodies', async () => {
    const { opportunity, org } = await start({
      customers: 35,
      settings: { batchLimit: 10, maxUrlLength: 500 },
    })
    const keys = Array.from({ length: 30 }, (_, at) =>
      org.opportunityId(`OP-${String(at + 1).padStart(5, '0')}`),
    )
    const outcomes = await opportunity.readMany(keys, context)
    expect(outcomes.map((outcome) => given(outcome)?.key)).toEqual(keys)
    expect(dataCalls(org.calls)).toEqual(Array(3).fill('POST /services/data/v61.0/composite'))
  })

  test('a length bounds a query where the number of keys does not', async () => {
    const { opportunity, org } = await start({ customers: 30, settings: { maxQueryLength: 2_100 } })
    const keys = Array.from({ length: 9 }, (_, at) => org.opportunityId(`OP-0000${at + 1}`))
    const outcomes = await opportunity.readMany(keys, context)
    expect(outcomes.map((outcome) => given(outcome)?.key)).toEqual(keys)
    expect(dataCalls(org.calls)).toHaveLength(3)
  })

  test('an opportunity has amount, stage and owner; won is what the org says is won', async () => {
    const { opportunity } = await start()
    const [first, fourth] = await opportunity.readMany([FIRST_DEAL, '0065gK000000003ABA'], context)
    expect(given(first)).toEqual({
      key: FIRST_DEAL,
      version: '2026-04-10T09:00:00.000Z',
      name: '上海晨光精密机械有限公司 年度框架',
      customer: CHENGUANG,
      stage: 'NEGOTIATION',
      vendorStage: 'Negotiation/Review',
      amount: { amount: '1000.5', currency: 'CNY' },
      probability: '75',
      closeDate: '2026-07-31',
      owner: 'zhang.wei',
      externalReference: null,
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-04-10T09:00:00.000Z',
    })
    expect(given(fourth)).toMatchObject({ stage: 'WON', vendorStage: 'Closed Won', probability: '100' })
  })

  test('lines and the order that it became are read where the org has a place for them', async () => {
    const fields = { lineProduct: 'ProductCode', orderNumber: 'Order_Number__c' }
    const { opportunity, world } = await start({ settings: { fields } })
    const one = world.get('crmOpportunities', 'OP-00001')
    if (!one) throw new Error('the seed has OP-00001')
    const lines = [
      { productCode: 'A00003', quantity: '2', unitPrice: '356.5' },
      { productCode: 'A00001', quantity: '0.5', unitPrice: null },
    ]
    world.put('crmOpportunities', { ...one, lines, orderNumber: '1009' })
    const expected = {
      key: FIRST_DEAL,
      orderNumber: '1009',
      lines: [
        { product: 'A00003', description: null, quantity: '2', unitPrice: '356.5' },
        { product: 'A00001', description: null, quantity: '0.5', unitPrice: null },
      ],
    }
    const [read, other] = await opportunity.readMany([FIRST_DEAL, FOURTH_DEAL], context)
    expect(given(read)).toMatchObject(expected)
    expect(given(other)).toMatchObject({ lines: [], orderNumber: null })
    const [deals] = await opportunity.byCustomer.read([CHENGUANG], context)
    expect(given(deals)).toMatchObject([expected])
    const listed = given(await opportunity.list({ first: 50 }, context)).items.map(({ record }) => record)
    expect(listed.find(({ key }) => key === FIRST_DEAL)).toMatchObject(expected)
  })

  test('a stage that nobody has mapped stays readable', async () => {
    const { opportunity } = await start({ settings: { stageCodes: { Prospecting: 'PROSPECTING' } } })
    const [first] = await opportunity.readMany([FIRST_DEAL], context)
    expect(given(first)).toMatchObject({ stage: 'UNKNOWN', vendorStage: 'Negotiation/Review' })
  })

  test('an org with one currency gives it to all amounts', async () => {
    const { opportunity } = await start({ singleCurrency: true, settings: { currency: 'EUR' } })
    const [first] = await opportunity.readMany([FIRST_DEAL], context)
    expect(given(first)?.amount).toEqual({ amount: '1000.5', currency: 'EUR' })
  })

  test('more rows than fit into a page are all read', async () => {
    const { opportunity, org, world } = await start({ pageSize: 2 })
    for (let at = 1; at <= 7; at++) {
      const one = world.get('crmOpportunities', 'OP-00002')
      if (!one) throw new Error('the seed has OP-00002')
      world.put('crmOpportunities', { ...one, id: `OP-10${at}`, createdAt: `2026-02-0${at}T08:00:00.000Z` })
    }
    const [deals, none] = await opportunity.byCustomer.read([NORDLICHT, '0015gK000099999ABA'], context)
    expect(given(deals).map(({ key }) => key)).toEqual([
      ...[7, 6, 5, 4, 3, 2, 1].map((at) => org.opportunityId(`OP-10${at}`)),
      '0065gK000000002ABA',
    ])
    expect(given(none)).toEqual([])
    expect(dataCalls(org.calls)).toHaveLength(4)
  })

  test('one broken record fails alone', async () => {
    const { opportunity, org } = await start()
    org.org.setExtra(FIRST_DEAL, 'CloseDate', 'next week')
    const [broken, whole] = await opportunity.readMany([FIRST_DEAL, FOURTH_DEAL], context)
    expect(failureOf(broken)?.kind).toBe('invalid-response')
    expect(given(whole)?.key).toBe(FOURTH_DEAL)
  })
})

describe('lists', () => {
  test('pages are whole while records are added, and equal times are told apart', async () => {
    const { opportunity, world } = await start({ customers: 12 })
    const one = world.get('crmOpportunities', 'OP-00002')
    if (!one) throw new Error('the seed has OP-00002')
    for (let at = 1; at <= 6; at++) {
      world.put('crmOpportunities', { ...one, id: `OP-20${at}`, createdAt: '2026-02-01T08:00:00.000Z' })
    }
    const seen: string[] = []
    let after: string | undefined
    for (let page = 0; page < 20; page++) {
      const { items, hasMore } = given(await opportunity.list({ first: 4, after }, context))
      seen.push(...items.map(({ record }) => record.key))
      world.put('crmOpportunities', { ...one, id: `OP-3${page}0`, createdAt: new Date().toISOString() })
      if (!hasMore) break
      after = items.at(-1)?.position
    }
    expect(seen).toHaveLength(18)
    expect(new Set(seen).size).toBe(18)
  })

  test('a search takes wildcards and quotes for letters', async () => {
    const { customer, world } = await start()
    const one = world.get('crmCustomers', '70014')
    if (!one) throw new Error('the seed has 70014')
    world.put('crmCustomers', { ...one, id: '99001', name: "O'Neill 100% \\ Söhne_GmbH" })
    const search = async (text: string) =>
      given(await customer.list({ first: 10, filter: { search: text } }, context)).items.map(
        ({ record }) => record.name,
      )
    expect(await search("O'Neill 100%")).toEqual(["O'Neill 100% \\ Söhne_GmbH"])
    expect(await search('\\ S')).toEqual(["O'Neill 100% \\ Söhne_GmbH"])
    expect(await search('e_G')).toEqual(["O'Neill 100% \\ Söhne_GmbH"])
    expect(await search('%_%')).toEqual([])
    expect(await search('70007')).toEqual(['上海晨光精密机械有限公司'])
    expect(await search("' OR Name != '")).toEqual([])
  })

  test('what is no place in the list is refused', async () => {
    const { customer } = await start()
    for (const after of ['', '2026-02-01', `2026-02-01T08:00:00.000Z,${FIRST_DEAL}`, "x' OR Id != ''"]) {
      expect(failureOf(await customer.list({ first: 1, after }, context))).toMatchObject({ code: 'POSITION' })
    }
  })
})

describe('logging in', () => {
  test('one token serves a hundred who wait', async () => {
    const { customer, org } = await start()
    await Promise.all(Array.from({ length: 100 }, () => customer.readMany([CHENGUANG], context)))
    expect(org.calls.filter((call) => call.includes('/oauth2/'))).toHaveLength(1)
  })

  test('a session that has ended is renewed once, also for a write', async () => {
    const { customer, opportunity, org } = await start()
    await customer.readMany([CHENGUANG], context)
    org.endSessions()
    const [outcome] = await customer.readMany([CHENGUANG], context)
    expect(given(outcome)?.code).toBe('70007')
    org.endSessions()
    given(await opportunity.win.send({ key: FIRST_DEAL }, write, context))
    expect(org.calls.filter((call) => call.includes('/oauth2/'))).toHaveLength(3)
  })

  test('wrong credentials are not tried again, and are in no message', async () => {
    const { customer, org } = await start({ clientSecret: 'another' })
    const [first] = await customer.readMany([CHENGUANG], context)
    const [second] = await customer.readMany([NORDLICHT], context)
    expect(failureOf(first)?.kind).toBe('unauthorized')
    expect(failureOf(second)?.kind).toBe('unauthorized')
    expect(org.calls).toHaveLength(1)
    expect(failureText(failureOf(first) as never)).not.toContain(SECRET)
  })

  test('a signed request or a refresh token will do as well', async () => {
    const pair = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const audience = 'https://test.salesforce.com'
    const jwt = { username: 'tributary@example.com', publicKey: pair.publicKey, audience }
    const { org } = await start({ jwt, refreshToken: 'refresh-77' })
    const methods = [
      { method: 'jwt', clientId: 'app', username: jwt.username, privateKey: pair.privateKey, audience },
      { method: 'refreshToken', clientId: 'app', clientSecret: SECRET, refreshToken: 'refresh-77' },
    ]
    for (const auth of methods) {
      const [outcome] = await connect(org.url, { auth }).customer.readMany([CHENGUANG], context)
      expect(given(outcome)?.code).toBe('70007')
    }
    const someoneElse = { ...methods[0], username: 'other@example.com' }
    const [refused] = await connect(org.url, { auth: someoneElse }).customer.readMany([CHENGUANG], context)
    expect(failureOf(refused)?.kind).toBe('unauthorized')
    const bad = salesforceConfig.safeParse({ loginUrl: org.url, auth: { ...methods[0], privateKey: 'none' } })
    expect(bad.error?.issues[0]?.message).toBe('is no RSA private key in PEM')
  })
})

describe('bad days', () => {
  test('the quota is a limit, busy is busy, silence ends in time', async () => {
    const { customer, org } = await start({ timeoutMs: 300 })
    await customer.readMany([CHENGUANG], context)
    const read = async () => failureOf((await customer.readMany([CHENGUANG], context))[0])
    org.setQuota(0)
    expect(await read()).toMatchObject({ kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 300_000 })
    org.setQuota(1_000)
    org.setFaults([{ kind: 'status', status: 503, headers: { 'retry-after': '7' } }])
    expect(await read()).toMatchObject({ kind: 'unavailable', reason: 'overloaded', retryAfterMs: 7_000 })
    org.setFaults([{ kind: 'status', status: 429, headers: { 'retry-after': '2' } }])
    expect(await read()).toMatchObject({ kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 2_000 })
    org.setFaults([{ kind: 'hang' }])
    expect(await read()).toMatchObject({ kind: 'unavailable', reason: 'timeout' })
    org.setFaults([{ kind: 'truncate' }])
    expect(await read()).toMatchObject({ kind: 'unavailable' })
    org.setFaults([{ kind: 'html' }])
    expect(await read()).toMatchObject({ kind: 'invalid-response' })
    org.setFaults([{ kind: 'status', status: 200, body: '{"records":"none"}' }])
    expect(await read()).toMatchObject({ kind: 'invalid-response' })
    org.setFaults([])
    expect(await read()).toBeUndefined()
  })

  test('the org’s words reach the caller without what they repeat of us', async () => {
    const { customer, org } = await start()
    const body = JSON.stringify([
      { message: `bad ${SECRET}\nline`, errorCode: 'INVALID_FIELD', fields: ['X__c'] },
    ])
    org.setFaults([{ kind: 'status', status: 400, body, match: 'composite' }])
    expect(failureOf((await customer.readMany([CHENGUANG], context))[0])).toEqual({
      kind: 'rejected',
      code: 'INVALID_FIELD',
      message: 'bad *** line',
      field: 'X__c',
    })
  })

  test('the next page is asked of nobody but the org', async () => {
    const { opportunity, org } = await start()
    const body = JSON.stringify({ done: false, nextRecordsUrl: 'http://elsewhere.example/x', records: [] })
    org.setFaults([{ kind: 'status', status: 200, body, match: 'query' }])
    expect(failureOf((await opportunity.readMany([FIRST_DEAL], context))[0])?.kind).toBe('invalid-response')
  })
})

describe('writing', () => {
  const input = {
    name: '新年框架 🚚',
    customer: CHENGUANG,
    stage: 'PROPOSAL' as const,
    amount: { amount: '120000.25', currency: 'CNY' },
    closeDate: '2026-12-31',
  }

  test('a new opportunity carries the reference and who asked for it', async () => {
    const { opportunity, world } = await start({
      settings: { defaults: { opportunity: { Type: 'New Customer' } } },
    })
    const { key, record, reached } = given(await opportunity.create.send(input, write, context))
    expect(reached).toBe('effective')
    expect(record).toMatchObject({
      key,
      name: '新年框架 🚚',
      customer: CHENGUANG,
      stage: 'PROPOSAL',
      vendorStage: 'Proposal/Price Quote',
      amount: { amount: '120000.25', currency: 'CNY' },
      closeDate: '2026-12-31',
      externalReference: REFERENCE,
    })
    expect(world.find('crmOpportunities', 'externalRef', REFERENCE)).toMatchObject({
      customerId: '70007',
      stage: 'PROPOSAL',
      amount: '120000.25',
    })
  })

  test('the request can be shown beforehand, without credentials', async () => {
    const { opportunity, org } = await start()
    expect(opportunity.create.preview(input, write)).toEqual({
      method: 'PATCH',
      path: `/services/data/v61.0/sobjects/Opportunity/Tributary_Ref__c/${REFERENCE}`,
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: '{"Name":"新年框架 🚚","AccountId":"0015gK000070007ABA","StageName":"Proposal/Price Quote","CloseDate":"2026-12-31","Amount":120000.25,"CurrencyIsoCode":"CNY","Requested_By__c":"王芳"}',
    })
    expect(org.calls).toEqual([])
  })

  test('the same create twice is one opportunity', async () => {
    const { opportunity, world } = await start()
    const before = world.count('crmOpportunities')
    const first = given(await opportunity.create.send(input, write, context))
    const second = given(await opportunity.create.send(input, write, context))
    expect(second.key).toBe(first.key)
    expect(world.count('crmOpportunities')).toBe(before + 1)
  })

  test('a create whose answer was lost is found; one that never arrived is proven not to be there', async () => {
    const { opportunity, org } = await start()
    org.setFaults([{ kind: 'drop-before', match: 'PATCH' }])
    expect(failureOf(await opportunity.create.send(input, write, context))?.kind).toBe('unknown-outcome')
    expect(given(await opportunity.create.verify(input, write, context))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    org.setFaults([{ kind: 'drop-after', match: 'PATCH' }])
    expect(failureOf(await opportunity.create.send(input, write, context))?.kind).toBe('unknown-outcome')
    org.setFaults([])
    expect(given(await opportunity.create.verify(input, write, context))).toMatchObject({
      effect: 'done',
      result: { record: { externalReference: REFERENCE } },
    })
  })

  test('what was made and then deleted counts as made', async () => {
    const { opportunity, org } = await start()
    const { key } = given(await opportunity.create.send(input, write, context))
    org.org.remove('Opportunity', key)
    expect(given(await opportunity.create.verify(input, write, context))).toEqual({
      effect: 'done',
      result: { key, reached: 'effective' },
    })
  })

  test('a broken answer leaves the outcome open, 5xx too; a lock does not', async () => {
    const { opportunity, org } = await start()
    const send = async () => failureOf(await opportunity.create.send(input, write, context))?.kind
    org.setFaults([{ kind: 'html', match: 'PATCH', times: 1 }])
    expect(await send()).toBe('unknown-outcome')
    org.setFaults([{ kind: 'status', status: 503, match: 'PATCH', times: 1 }])
    expect(await send()).toBe('unknown-outcome')
    const body = '[{"message":"unable to obtain exclusive access","errorCode":"UNABLE_TO_LOCK_ROW"}]'
    org.setFaults([{ kind: 'status', status: 400, body, match: 'PATCH', times: 1 }])
    expect(await send()).toBe('unavailable')
    org.setFaults([{ kind: 'refuse', match: 'oauth2|PATCH' }])
    expect(await send()).toBe('unknown-outcome')
  })

  test('two with the same reference at once: the one that is refused finds the other', async () => {
    const { opportunity, org } = await start()
    const { key } = given(await opportunity.create.send(input, write, context))
    const body =
      '[{"message":"duplicate value found","errorCode":"DUPLICATE_VALUE","fields":["Tributary_Ref__c"]}]'
    org.setFaults([{ kind: 'status', status: 400, body, match: 'PATCH' }])
    expect(given(await opportunity.create.send(input, write, context)).key).toBe(key)
  })

  test('what the org cannot hold is refused, by us or by it', async () => {
    const { opportunity, customer } = await start({
      singleCurrency: true,
      settings: { currency: 'CNY', fields: { level: 'CustomerLevel__c' }, levelCodes: { Platinum: 'VIP' } },
    })
    const amount = { amount: '10', currency: 'USD' }
    expect(failureOf(await opportunity.create.send({ ...input, amount }, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'CURRENCY',
    })
    const name = 'x'.repeat(121)
    expect(failureOf(await opportunity.create.send({ ...input, name }, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'STRING_TOO_LONG',
      field: 'Name',
    })
    const stranger = { ...input, customer: '0015gK000099999ABA' }
    expect(failureOf(await opportunity.create.send(stranger, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'INVALID_CROSS_REFERENCE_KEY',
      field: 'AccountId',
    })
    const basic = { key: CHENGUANG, changes: { level: 'BASIC' as const } }
    expect(failureOf(await customer.update.send(basic, write, context))).toMatchObject({ code: 'LEVEL' })
    const contacts = { key: CHENGUANG, changes: { phone: '1', contacts: [] } }
    expect(failureOf(await customer.update.send(contacts, write, context))).toMatchObject({
      code: 'CONTACTS',
      message: expect.stringContaining('not deleted'),
    })
    expect(given((await customer.readMany([CHENGUANG], context))[0])?.phone).not.toBe('1')
  })

  test('a new customer is one account, however often it is sent; a lost answer is found', async () => {
    const fields = { ...ORG.fields, customerReference: 'Tributary_Ref__c' }
    const { adapter, customer, org, world } = await start({ settings: { fields } })
    const { create } = customer
    if (!create) throw new Error('no customers are made')
    const made = {
      name: '苏州河谷 🧾',
      code: 'C-991',
      taxNumber: '91320500MA1TEST001',
      level: 'PREMIUM' as const,
      phone: '+86 512 5550 0001',
      addresses: [
        {
          type: 'SHIPPING' as const,
          street: '工业园区 1 号',
          city: '苏州',
          postalCode: '215000',
          country: 'CN',
        },
      ],
      customFields: { contract: '合同-1' },
    }
    const request = create.preview(made, write)
    expect(request).toMatchObject({
      method: 'PATCH',
      path: `/services/data/v61.0/sobjects/Account/Tributary_Ref__c/${REFERENCE}`,
    })
    expect(JSON.parse(request.body ?? '')).toEqual({
      Name: '苏州河谷 🧾',
      AccountNumber: 'C-991',
      Tax_Number__c: '91320500MA1TEST001',
      CustomerLevel__c: 'Gold',
      Phone: '+86 512 5550 0001',
      BillingStreet: null,
      BillingCity: null,
      BillingState: null,
      BillingPostalCode: null,
      BillingCountry: null,
      ShippingStreet: '工业园区 1 号',
      ShippingCity: '苏州',
      ShippingState: null,
      ShippingPostalCode: '215000',
      ShippingCountry: 'CN',
      Contract_No__c: '合同-1',
    })
    const before = world.count('crmCustomers')
    expect(given(await create.verify(made, write, context))).toMatchObject({ effect: 'none', proven: true })
    org.setFaults([{ kind: 'drop-after', match: 'PATCH' }])
    expect(failureOf(await create.send(made, write, context))?.kind).toBe('unknown-outcome')
    org.setFaults([])
    const found = given(await create.verify(made, write, context))
    const again = given(await create.send(made, write, context))
    expect(found).toMatchObject({ effect: 'done', result: { key: again.key } })
    expect(world.count('crmCustomers')).toBe(before + 1)
    expect(again.record).toMatchObject({
      name: '苏州河谷 🧾',
      code: 'C-991',
      taxNumber: '91320500MA1TEST001',
      level: 'PREMIUM',
      addresses: [{ type: 'SHIPPING', street: '工业园区 1 号', city: '苏州', province: null, country: 'CN' }],
      customFields: { contract: '合同-1' },
    })
    expect(given(await adapter.checkConfiguration?.(context))).toEqual([])
    expect((await start()).customer.create).toBeUndefined()
  })

  test('contacts are made with their account or not at all, and once', async () => {
    const fields = { ...ORG.fields, customerReference: 'Tributary_Ref__c' }
    const { customer, world } = await start({ settings: { fields } })
    const { create } = customer
    if (!create) throw new Error('no customers are made')
    const contacts = [
      { name: '欧阳静', title: '采购经理', phone: '+86 512 1', email: 'jing@hegu.example', primary: true },
      { name: 'Hans Müller' },
    ]
    const made = { name: '苏州河谷', contacts }
    const request = create.preview(made, write)
    expect(request).toMatchObject({ method: 'POST', path: '/services/data/v61.0/composite' })
    const insert = { method: 'POST', url: '/services/data/v61.0/sobjects/Contact' }
    const AccountId = '@{account.id}'
    expect(JSON.parse(request.body ?? '')).toEqual({
      allOrNone: true,
      compositeRequest: [
        {
          method: 'POST',
          url: '/services/data/v61.0/sobjects/Account',
          referenceId: 'account',
          body: { Name: '苏州河谷', Tributary_Ref__c: REFERENCE },
        },
        {
          ...insert,
          referenceId: 'contact0',
          body: {
            LastName: '欧阳静',
            Title: '采购经理',
            Phone: '+86 512 1',
            Email: 'jing@hegu.example',
            Primary__c: true,
            AccountId,
          },
        },
        { ...insert, referenceId: 'contact1', body: { LastName: 'Hans Müller', AccountId } },
      ],
    })
    const before = world.count('crmCustomers')
    const tooLong = { ...made, contacts: [...contacts, { name: 'x'.repeat(81) }] }
    expect(failureOf(await create.send(tooLong, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'STRING_TOO_LONG',
      field: 'LastName',
    })
    expect(world.count('crmCustomers')).toBe(before)
    const first = given(await create.send(made, write, context))
    expect(first.record?.contacts).toMatchObject([
      { name: '欧阳静', title: '采购经理', email: 'jing@hegu.example', primary: true },
      { name: 'Hans Müller', title: null, primary: false },
    ])
    const second = given(await create.send(made, write, context))
    expect(second.key).toBe(first.key)
    expect(second.record?.contacts).toHaveLength(2)
    expect(world.count('crmCustomers')).toBe(before + 1)
  })

  test('contacts of an account that is there are changed and added together with it, and never twice', async () => {
    const { customer, org } = await start()
    const before = given((await customer.readMany([CHENGUANG], context))[0])
    const [first, ...others] = before?.contacts ?? []
    if (!first) throw new Error('the seed has contacts')
    const added = { name: 'Hans Müller', phone: '+49 40 1', email: 'hans@example.com' }
    const contacts = [{ ...first, title: '总经理', email: null }, ...others, added]
    const update = { key: CHENGUANG, changes: { phone: '+86 21 1', contacts } }
    const shown = await customer.update.previewLater?.(update, write)
    const { compositeRequest } = JSON.parse(shown?.body ?? '')
    expect(compositeRequest.map((part: { method: string; url: string }) => [part.method, part.url])).toEqual([
      ['PATCH', `/services/data/v61.0/sobjects/Account/${CHENGUANG}`],
      ['PATCH', '/services/data/v61.0/sobjects/Contact/0035gK000000001ABA'],
      ['POST', '/services/data/v61.0/sobjects/Contact'],
    ])
    expect(given(await customer.update.verify(update, write, context))).toMatchObject({
      effect: 'none',
      proven: false, // it may be on its way, and a second one would add the person again
      evidence: expect.stringContaining('contacts'),
    })
    org.setFaults([{ kind: 'drop-after', match: 'POST', times: 1 }])
    expect(failureOf(await customer.update.send(update, write, context))?.kind).toBe('unknown-outcome')
    expect(given(await customer.update.verify(update, write, context)).effect).toBe('done')
    const { record } = given(await customer.update.send(update, write, context))
    expect(record?.phone).toBe('+86 21 1')
    expect(record?.contacts).toHaveLength(others.length + 2)
    expect(record?.contacts).toEqual(
      expect.arrayContaining([
        { ...first, title: '总经理', email: null },
        { ...added, title: null, primary: false },
      ]),
    )
    // All or none: what one contact cannot hold keeps the account as it was.
    const tooLong = { phone: '2', contacts: [...(record?.contacts ?? []), { name: 'x'.repeat(81) }] }
    const refused = await customer.update.send({ key: CHENGUANG, changes: tooLong }, write, context)
    expect(failureOf(refused)).toMatchObject({ code: 'STRING_TOO_LONG', field: 'LastName' })
    expect(given((await customer.readMany([CHENGUANG], context))[0])?.phone).toBe('+86 21 1')
    const version = before?.version ?? ''
    const stale = { key: CHENGUANG, expectedVersion: version, changes: { contacts } }
    expect(failureOf(await customer.update.send(stale, write, context))?.kind).toBe('conflict')
  })

  test('own fields that are numbers or checkboxes are written as such', async () => {
    const customFields = { customer: { checked: { field: 'Credit_Check__c', type: 'boolean' } } }
    const { customer } = await start({ settings: { customFields } })
    const update = { key: CHENGUANG, changes: { customFields: { checked: 'true' } } }
    expect(given(await customer.update.send(update, write, context)).record?.customFields).toEqual({
      checked: 'true',
    })
    expect(given(await customer.update.verify(update, write, context)).effect).toBe('done')
    const odd = { key: CHENGUANG, changes: { customFields: { checked: 'perhaps' } } }
    expect(failureOf(await customer.update.send(odd, write, context))).toMatchObject({
      code: 'CUSTOM_FIELD',
      field: 'Credit_Check__c',
    })
    const discount = { discount: { field: 'Discount__c', type: 'number' } }
    const { customer: numbered } = connect('http://127.0.0.1:9', { customFields: { customer: discount } })
    const preview = (value: string) =>
      numbered.update.preview({ key: CHENGUANG, changes: { customFields: { discount: value } } }, write).body
    expect(preview('12345678901234567.890')).toBe('{"Discount__c":12345678901234567.890}')
  })

  test('a note about a customer is one task, however often it is sent; a lost answer is found', async () => {
    const fields = { noteReference: 'Activity_Ref__c' }
    const { adapter, customer, org, world } = await start({ settings: { fields } })
    const { addNote } = customer.actions ?? {}
    if (!addNote) throw new Error('no notes are taken')
    const note = { key: CHENGUANG, text: '要求月底前交货 🚚' }
    const request = addNote.preview(note, write)
    expect(request.path).toBe(`/services/data/v61.0/sobjects/Task/Activity_Ref__c/${REFERENCE}`)
    expect(JSON.parse(request.body ?? '')).toEqual({
      Subject: 'Note',
      Status: 'Completed',
      WhatId: CHENGUANG,
      Description: '要求月底前交货 🚚',
    })
    expect(given(await addNote.verify(note, write, context))).toMatchObject({ effect: 'none', proven: true })
    const before = world.count('crmNotes')
    org.setFaults([{ kind: 'drop-after', match: 'PATCH' }])
    expect(failureOf(await addNote.send(note, write, context))?.kind).toBe('unknown-outcome')
    org.setFaults([])
    expect(given(await addNote.verify(note, write, context)).effect).toBe('done')
    expect(given(await addNote.send(note, write, context))).toEqual({ key: CHENGUANG, reached: 'effective' })
    expect(world.count('crmNotes')).toBe(before + 1)
    expect(world.find('crmNotes', 'externalRef', REFERENCE)).toMatchObject({
      customerId: '70007',
      text: '要求月底前交货 🚚',
    })
    expect(failureOf(await addNote.send({ ...note, text: ' ' }, write, context))?.kind).toBe('unsupported')
    expect(failureOf(await addNote.send({ ...note, key: FIRST_DEAL }, write, context))?.kind).toBe(
      'not-found',
    )
    expect(given(await adapter.checkConfiguration?.(context))).toEqual([])
    expect((await start()).customer.actions).toBeUndefined()
  })

  test('addresses and own fields are changed, emptied and looked up; what has no place is refused', async () => {
    const customFields = { customer: { contract: 'Contract_No__c' }, opportunity: { region: 'Region__c' } }
    const { customer, opportunity } = await start({ settings: { customFields } })
    const addresses = [
      { type: 'SHIPPING' as const, street: '外高桥 5 号库', city: '上海', province: null, country: 'CN' },
      { type: 'BILLING' as const, street: '张江路 90 号', city: '上海', province: '上海市', country: 'CN' },
    ]
    const update = { key: CHENGUANG, changes: { addresses, customFields: { contract: 'K-7' } } }
    expect(given(await customer.update.verify(update, write, context))).toMatchObject({ effect: 'none' })
    const { record } = given(await customer.update.send(update, write, context))
    expect(record).toMatchObject({
      addresses: [
        { type: 'BILLING', street: '张江路 90 号', postalCode: null },
        { type: 'SHIPPING', street: '外高桥 5 号库' },
      ],
      customFields: { contract: 'K-7' },
    })
    expect(given(await customer.update.verify(update, write, context)).effect).toBe('done')
    const emptied = { key: CHENGUANG, changes: { addresses: [], customFields: { contract: null } } }
    expect(given(await customer.update.verify(emptied, write, context)).effect).toBe('none')
    expect(given(await customer.update.send(emptied, write, context)).record).toMatchObject({
      addresses: [],
      customFields: { contract: null },
    })
    expect(given(await customer.update.verify(emptied, write, context)).effect).toBe('done')

    const region = { key: FIRST_DEAL, changes: { customFields: { region: '华东' } } }
    expect(given(await opportunity.update.verify(region, write, context)).effect).toBe('none')
    expect(given(await opportunity.update.send(region, write, context)).record?.customFields).toEqual({
      region: '华东',
    })
    expect(given(await opportunity.update.verify(region, write, context)).effect).toBe('done')
    const made = await opportunity.create.send({ ...input, customFields: { region: '华南' } }, write, context)
    expect(given(made).record?.customFields).toEqual({ region: '华南' })

    const nowhere = [
      { addresses: [{ type: 'OFFICE' as const, street: 'x' }] },
      { addresses: [...addresses, { type: 'SHIPPING' as const, street: 'x' }] },
      { customFields: { colour: 'blue' } },
    ]
    for (const changes of nowhere) {
      const sent = await customer.update.send({ key: CHENGUANG, changes }, write, context)
      expect(failureOf(sent)?.kind).toBe('unsupported')
    }
    const colour = { ...input, customFields: { colour: 'blue' } }
    expect(failureOf(await opportunity.create.send(colour, write, context))).toMatchObject({
      kind: 'unsupported',
      message: 'Opportunities of this system have no custom field "colour".',
    })
  })

  test('Closed Won is one action', async () => {
    const { opportunity, world } = await start()
    const { record } = given(await opportunity.win.send({ key: FIRST_DEAL }, write, context))
    expect(record).toMatchObject({ stage: 'WON', vendorStage: 'Closed Won', probability: '100' })
    expect(world.get('crmOpportunities', 'OP-00001')?.stage).toBe('WON')
    expect(given(await opportunity.win.verify({ key: FIRST_DEAL }, write, context)).effect).toBe('done')
  })

  test('an opportunity is told which order it became, where there is a place for it', async () => {
    const { opportunity, world } = await start({ settings: { fields: { orderNumber: 'Order_Number__c' } } })
    const update = { key: FIRST_DEAL, changes: { orderNumber: 'SO-1009' } }
    expect(given(await opportunity.update.verify(update, write, context))).toMatchObject({ effect: 'none' })
    expect(given(await opportunity.update.send(update, write, context)).record).toMatchObject({
      orderNumber: 'SO-1009',
    })
    expect(world.get('crmOpportunities', 'OP-00001')?.orderNumber).toBe('SO-1009')
    expect(given(await opportunity.update.verify(update, write, context)).effect).toBe('done')
    const placeless = await start()
    expect(failureOf(await placeless.opportunity.update.send(update, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'ORDER_NUMBER',
    })
  })

  test('a renamed stage is written under its own name', async () => {
    const { opportunity } = await start({
      settings: { stageCodes: { 'Proposal/Price Quote': 'WON', 'Closed Won': 'WON' } },
    })
    expect(JSON.parse(opportunity.win.preview({ key: FIRST_DEAL }, write).body ?? '')).toEqual({
      StageName: 'Proposal/Price Quote',
    })
  })

  test('a customer is changed; a stale version is a conflict, also within a second', async () => {
    const { customer, world } = await start()
    const version = '2026-03-31T09:00:00.000Z'
    const changes = { name: '上海晨光 🚚', level: 'PREMIUM' as const, phone: '' }
    const { record } = given(
      await customer.update.send({ key: CHENGUANG, expectedVersion: version, changes }, write, context),
    )
    expect(record).toMatchObject({ name: '上海晨光 🚚', level: 'PREMIUM', vendorLevel: 'Gold', phone: null })
    const now = world.get('crmCustomers', '70007')?.updatedAt.slice(0, 19)
    const stale = await customer.update.send(
      { key: CHENGUANG, expectedVersion: version, changes },
      write,
      context,
    )
    expect(failureOf(stale)).toMatchObject({ kind: 'conflict', currentVersion: `${now}.000Z` })
    const nonsense = { key: CHENGUANG, expectedVersion: '"7"\r\nx: y', changes }
    expect(failureOf(await customer.update.send(nonsense, write, context))?.kind).toBe('conflict')
  })

  test('somebody who is faster between looking and sending is noticed by the org', async () => {
    const { customer, org, world } = await start()
    const version = '2026-03-31T09:00:00.000Z'
    const update = { key: CHENGUANG, expectedVersion: version, changes: { name: 'mine' } }
    org.setFaults([{ kind: 'delay', ms: 200, match: 'PATCH' }])
    const sending = customer.update.send(update, write, context)
    await until(() => org.calls.some((call) => call.startsWith('PATCH')))
    const one = world.get('crmCustomers', '70007')
    if (!one) throw new Error('the seed has 70007')
    world.put('crmCustomers', { ...one, name: 'theirs', updatedAt: new Date().toISOString() })
    expect(failureOf(await sending)?.kind).toBe('conflict')
    expect(world.get('crmCustomers', '70007')?.name).toBe('theirs')
  })

  test('an update whose answer was lost is looked up', async () => {
    const { customer, org } = await start()
    const update = { key: CHENGUANG, expectedVersion: '2026-03-31T09:00:00.000Z', changes: { name: '晨光' } }
    org.setFaults([{ kind: 'drop-before', match: 'PATCH' }])
    expect(failureOf(await customer.update.send(update, write, context))?.kind).toBe('unknown-outcome')
    expect(given(await customer.update.verify(update, write, context))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    org.setFaults([{ kind: 'drop-after', match: 'PATCH' }])
    expect(failureOf(await customer.update.send(update, write, context))?.kind).toBe('unknown-outcome')
    org.setFaults([])
    expect(given(await customer.update.verify(update, write, context)).effect).toBe('done')
  })

  test('what is not there cannot be changed', async () => {
    const { customer, opportunity } = await start()
    const update = { key: '0015gK000099999ABA', changes: { name: 'x' } }
    expect(failureOf(await customer.update.send(update, write, context))?.kind).toBe('not-found')
    expect(failureOf(await opportunity.win.send({ key: 'OP-00001' }, write, context))?.kind).toBe('not-found')
    expect(failureOf(await customer.update.verify(update, write, context))?.kind).toBe('not-found')
  })
})

describe('changes by asking', () => {
  const put = (world: World, id: string, name: string, updatedAt = new Date().toISOString()) => {
    const one = world.get('crmCustomers', id)
    if (!one) throw new Error(`the seed has ${id}`)
    world.put('crmCustomers', { ...one, name, updatedAt })
  }

  test('first nothing but a checkpoint, then what has changed since', async () => {
    const { customer, world } = await start({ settings: { overlapSeconds: 0 } })
    const begin = given(await customer.changes(null, context))
    expect(begin).toMatchObject({ records: [], hasMore: false })
    put(world, '70014', 'Nordlicht SE')
    const page = given(await customer.changes(begin.checkpoint, context))
    expect(page.records.map(({ name }) => name)).toContain('Nordlicht SE')
    expect(page.hasMore).toBe(false)
  })

  test('a hundred changes of one second are all told, page by page', async () => {
    const { opportunity, world } = await start({
      customers: 450,
      settings: { pageLimit: 200, overlapSeconds: 0 },
    })
    let { checkpoint } = given(await opportunity.changes(null, context))
    const at = '2026-11-22T08:00:00.000Z'
    for (const one of world.all('crmOpportunities')) world.put('crmOpportunities', { ...one, updatedAt: at })
    const seen = new Set<string>()
    let pages = 0
    for (let hasMore = true; hasMore; pages++) {
      const page = given(await opportunity.changes(checkpoint, context))
      for (const { key } of page.records) seen.add(key)
      checkpoint = page.checkpoint
      hasMore = page.hasMore
    }
    expect(seen.size).toBe(450)
    expect(pages).toBe(3)
    expect(given(await opportunity.changes(checkpoint, context)).hasMore).toBe(true)
  })

  test('what was deleted is told; a contact that changes or goes changes its customer', async () => {
    const { customer, opportunity, org } = await start({ settings: { overlapSeconds: 0 } })
    const begin = given(await customer.changes(null, context))
    const deals = given(await opportunity.changes(null, context))
    org.org.remove('Account', NORDLICHT)
    org.org.remove('Opportunity', FIRST_DEAL)
    org.org.update('Contact', '0035gK000000001ABA', { Title: '总经理' })
    const page = given(await customer.changes(begin.checkpoint, context))
    expect(page.deleted).toEqual([NORDLICHT])
    expect(page.records.find(({ key }) => key === CHENGUANG)?.contacts?.[0]).toMatchObject({
      title: '总经理',
    })
    expect(given(await opportunity.changes(deals.checkpoint, context)).deleted).toEqual([FIRST_DEAL])
    org.org.remove('Contact', '0035gK000000002ABA')
    const next = given(await customer.changes(page.checkpoint, context))
    expect(next.records.find(({ key }) => key === CHENGUANG)?.contacts?.map(({ name }) => name)).toEqual([
      '王芳',
    ])
  })

  test('a checkpoint of another kind is refused', async () => {
    const { customer } = await start()
    expect(failureOf(await customer.changes('"yesterday"', context))).toMatchObject({ kind: 'unsupported' })
  })
})

describe('the stream of change events', () => {
  const settings = { changeEvents: {} }

  function follow(adapter: ReturnType<typeof connect>['adapter'], position: string | null = null) {
    const stop = new AbortController()
    const batches: StreamBatch[] = []
    const ended = adapter.stream?.follow(
      position,
      async (batch) => {
        batches.push(batch)
        return true
      },
      { ...context, signal: stop.signal },
    )
    if (!ended) throw new Error('no stream')
    cleanups.push(async () => {
      stop.abort()
      await ended
    })
    return { batches, ended, stop, notifications: () => batches.flatMap((batch) => batch.notifications) }
  }
  const touch = (world: World, id: string) => {
    const one = world.get('crmOpportunities', id)
    if (!one) throw new Error(`the seed has ${id}`)
    world.put('crmOpportunities', { ...one, name: `${one.name}!`, updatedAt: new Date().toISOString() })
  }

  test('tells of changes as they happen; a contact is its customer', async () => {
    const { adapter, org, world } = await start({ settings })
    const stream = follow(adapter)
    await until(() => org.events.subscribers === 1)
    touch(world, 'OP-00001')
    await until(() => stream.notifications().length === 1)
    org.org.update('Contact', '0035gK000000001ABA', { Title: '总经理' })
    org.org.remove('Opportunity', FOURTH_DEAL)
    await until(() => stream.notifications().length === 3)
    expect(stream.notifications().map(({ type, key, change }) => [type, key, change])).toEqual([
      ['opportunity', FIRST_DEAL, 'updated'],
      ['customer', CHENGUANG, 'updated'],
      ['opportunity', FOURTH_DEAL, 'deleted'],
    ])
    expect(new Set(stream.notifications().map(({ id }) => id)).size).toBe(3)
    expect(stream.batches.every(({ incomplete }) => !incomplete)).toBe(true)
  })

  test('comes by a channel for each object as well, and goes on in each where it stopped', async () => {
    const channel = ['Account', 'Contact', 'Opportunity'].map((object) => `/data/${object}ChangeEvent`)
    const { adapter, org, world } = await start({ settings: { changeEvents: { channel } } })
    const first = follow(adapter)
    await until(() => org.events.replays.length === 3)
    touch(world, 'OP-00001')
    await until(() => first.notifications().length === 1)
    org.org.update('Contact', '0035gK000000001ABA', { Title: '总经理' })
    await until(() => first.notifications().length === 2)
    first.stop.abort()
    await first.ended
    touch(world, 'OP-00002')
    const second = follow(adapter, first.batches.at(-1)?.position ?? null)
    await until(() => second.notifications().length === 1)
    expect(second.notifications().map(({ key }) => key)).toEqual(['0065gK000000002ABA'])
    // Of accounts nothing had come: what happened to them meanwhile has to be asked for.
    expect(org.events.replays.slice(0, 3)).toEqual([-1, -1, -1])
    expect(org.events.replays[3]).toBe(-1)
    expect(org.events.replays[5]).toBeGreaterThan(0)
    expect(second.batches[0]?.incomplete).toBe(true)
  })

  test('goes on where it stopped', async () => {
    const { adapter, org, world } = await start({ settings })
    const first = follow(adapter)
    await until(() => org.events.subscribers === 1)
    touch(world, 'OP-00001')
    await until(() => first.batches.length === 1)
    first.stop.abort()
    expect(await first.ended).toEqual({ ok: true, value: undefined })
    touch(world, 'OP-00002')
    touch(world, 'OP-00003')
    const second = follow(adapter, first.batches[0]?.position ?? null)
    await until(() => second.notifications().length === 2)
    expect(second.notifications().map(({ key }) => key)).toEqual(['0065gK000000002ABA', '0065gK000000003ABA'])
  })

  test('where it cannot go on it says that something may be missing', async () => {
    const { adapter, org, world } = await start({ settings })
    org.events.forget()
    touch(world, 'OP-00002')
    const stream = follow(adapter, '17')
    await until(() => stream.batches.length === 1)
    expect(stream.batches[0]).toMatchObject({
      incomplete: true,
      notifications: [{ key: '0065gK000000002ABA' }],
    })
    touch(world, 'OP-00003')
    await until(() => stream.batches.length === 2)
    expect(stream.batches[1]?.incomplete).toBe(false)
  })

  test('a gap is read again; an overflow says that everything must be asked for', async () => {
    const { adapter, org } = await start({ settings })
    const stream = follow(adapter)
    await until(() => org.events.subscribers === 1)
    const gap = { entityName: 'Opportunity', changedFields: [] }
    org.events.publish({ ...gap, changeType: 'GAP_UPDATE', recordIds: [FIRST_DEAL, FOURTH_DEAL] })
    await until(() => stream.notifications().length === 2)
    org.events.publish({ ...gap, changeType: 'GAP_OVERFLOW', recordIds: ['000000000000000AAA'] })
    await until(() => stream.batches.some(({ incomplete }) => incomplete))
    expect(stream.notifications()).toHaveLength(2)
  })

  test('a batch that could not be taken comes again', async () => {
    const { adapter, org, world } = await start({ settings })
    const refuse = adapter.stream?.follow('8123455', async () => false, context)
    await until(() => org.events.subscribers === 1)
    touch(world, 'OP-00001')
    expect(failureOf(await refuse)).toMatchObject({ kind: 'unavailable', reason: 'overloaded' })
    const stream = follow(adapter, '8123455')
    await until(() => stream.notifications().length === 1)
  })

  test('a forgotten session and an ended token end it, and it can be taken up again', async () => {
    const { adapter, org, world } = await start({ settings, pollMs: 50 })
    const first = follow(adapter)
    await until(() => org.events.subscribers === 1)
    org.events.dropSessions()
    expect(failureOf(await first.ended)?.kind).toBe('unavailable')
    org.endSessions()
    expect(failureOf(await follow(adapter).ended)?.kind).toBe('unauthorized')
    const third = follow(adapter)
    await until(() => org.events.subscribers === 1)
    touch(world, 'OP-00001')
    await until(() => third.notifications().length === 1)
  })

  test('a channel that may not be heard is said so', async () => {
    const { adapter } = await start({ settings: { changeEvents: { channel: '/data/Other__chn' } } })
    expect(failureOf(await follow(adapter).ended)).toMatchObject({ kind: 'rejected', code: '403' })
  })
})

describe('an operator', () => {
  test('sees which org answers and how many calls are used', async () => {
    const { adapter, org } = await start()
    const { host } = new URL(org.url)
    expect(given(await adapter.health(context)).detail).toBe(
      `Salesforce 示例公司 Sandbox (sandbox) at ${host}, API 61.0, 1/5000 calls used in 24 hours`,
    )
  })

  test('is told what of the configuration the org does not have', async () => {
    const { adapter } = await start()
    expect(given(await adapter.checkConfiguration?.(context))).toEqual([])
    const wrong = await start({
      settings: {
        fields: { level: 'Industry', taxNumber: 'VAT__c', externalReference: 'Requested_By__c' },
        levelCodes: { Gold: 'VIP' },
        stageCodes: { Prospecting: 'PROSPECTING', Gewonnen: 'WON' },
        customFields: { opportunity: { x: 'X__c' } },
      },
    })
    expect(given(await wrong.adapter.checkConfiguration?.(context))).toEqual([
      'Account has no field VAT__c, or this user may not see it.',
      'Opportunity has no field X__c, or this user may not see it.',
      'Opportunity.Requested_By__c is no External ID.',
      'Opportunity.Requested_By__c is not unique: mark it, or set uniqueExternalReference to false.',
      'levelCodes: Account.Industry has no active value "Gold".',
      'stageCodes: Opportunity.StageName has no active value "Gewonnen".',
    ])
  })
})

test('the samples of the README are configurations', async () => {
  const page = readFileSync(new URL('../../src/systems/salesforce/README.md', import.meta.url), 'utf8')
  const samples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => parse(text ?? ''))
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const env = { SF_CLIENT_ID: 'app', SF_CLIENT_SECRET: SECRET, SF_PRIVATE_KEY: privateKey }
  const callers = [{ apiKey: 'sixteen characters', subject: 'portal' }]
  expect(samples).toHaveLength(2)
  for (const crm of samples) {
    const { systems } = await checkConfig({ callers, systems: { crm } }, env, 'README.md')
    expect(systems.crm).toMatchObject({ kind: 'salesforce', settings: { loginUrl: crm.loginUrl } })
  }
})
