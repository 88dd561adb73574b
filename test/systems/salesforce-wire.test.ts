/** What the pages of the vendor allow and the simulator does not do: a small org of its own, written from them. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createSalesforce } from '../../src/systems/salesforce/adapter.ts'
import { salesforceConfig } from '../../src/systems/salesforce/config.ts'

const context = { caller: gatewayCaller }
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Ids whose last three characters are made up. */
const FIRST = '001000000000000001'
const SECOND = '001000000000000002'
const DEAL = '006000000000000001'
const MODIFIED = '2026-03-01T10:20:30.000+0000'

interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: string
  readonly headers: IncomingMessage['headers']
}
type Answer = readonly [status: number, body: unknown]

/** @param at A path that stands before all others. */
async function startOrg(answer: (asked: Asked, origin: string) => Answer, at = '') {
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://org')
    const one: Asked = {
      method: request.method ?? '',
      path: pathname.startsWith(at) ? pathname.slice(at.length) : `not below ${at}`,
      query: searchParams,
      body: Buffer.concat(chunks).toString(),
      headers: request.headers,
    }
    asked.push(one)
    const [status, body] = answer(one, `http://${request.headers.host}`)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  cleanups.push(async () => {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${at}`, asked }
}

function connect(loginUrl: string, auth: object = {}) {
  const config = salesforceConfig.parse({
    loginUrl,
    auth: { method: 'clientCredentials', clientId: 'app', clientSecret: 'consumer-secret', ...auth },
    currency: 'CNY',
  })
  const adapter = createSalesforce(config, { systemId: 'crm', log: silentLog, timeoutMs: 3_000 })
  cleanups.push(() => adapter.close())
  const { customer, opportunity } = adapter.ports
  if (!customer || !opportunity?.lookups?.byCustomer) throw new Error('ports are missing')
  return { adapter, customer, opportunity, byCustomer: opportunity.lookups.byCustomer }
}

const isLogin = ({ path }: Asked) => path === '/services/oauth2/token'
const account = (Id: string, Name: string) => ({ Id, Name, SystemModstamp: MODIFIED })
const page = (...records: object[]) => ({ totalSize: records.length, done: true, records })
/** Customers and their contacts in one composite request. */
const both = (first: unknown, status = 200) => ({
  compositeResponse: [
    { body: first, httpHeaders: {}, httpStatusCode: status, referenceId: 'q0' },
    { body: page(), httpHeaders: {}, httpStatusCode: 200, referenceId: 'q1' },
  ],
})

test('ids are taken as the org gives them; rows may be sparse, and numbers may be texts', async () => {
  const deal = { Id: DEAL, Name: '年度框架', AccountId: FIRST, StageName: 'Closed Won', Amount: '1000.50' }
  const org = await startOrg((one, origin) => {
    if (isLogin(one))
      return [200, { access_token: 'token-1', instance_url: `${origin}/`, token_type: 'Bearer' }]
    if (one.path === '/services/data/v61.0/composite') {
      return [200, both(page(account(SECOND, 'Nordlicht'), account(FIRST, '晨光')))]
    }
    return [200, page({ ...deal, SystemModstamp: MODIFIED })]
  })
  const { customer, byCustomer } = connect(org.url)
  const read = await customer.readMany([FIRST, SECOND], context)
  expect(read.map((one) => one.ok && one.value?.name)).toEqual(['晨光', 'Nordlicht'])
  expect(read[0]).toMatchObject({
    value: { key: FIRST, createdAt: null, updatedAt: '2026-03-01T10:20:30.000Z', contacts: [] },
  })
  const [deals] = await byCustomer.read([FIRST], context)
  expect(deals).toMatchObject({
    ok: true,
    value: [{ key: DEAL, customer: FIRST, stage: 'WON', amount: { amount: '1000.50', currency: 'CNY' } }],
  })
})

test('an id that the org refuses is nobody’s, hides no other, and no more such are asked for', async () => {
  const right = '001000000000003AAA'
  const org = await startOrg((one) => {
    if (isLogin(one)) return [200, { access_token: 'token-1' }]
    const refusal = [{ message: `invalid ID field: ${FIRST}`, errorCode: 'INVALID_QUERY_FILTER_OPERATOR' }]
    return [200, one.body.includes(FIRST) ? both(refusal, 400) : both(page(account(right, '晨光')))]
  })
  const { customer } = connect(org.url)
  const read = await customer.readMany([FIRST, right], context)
  expect(read).toMatchObject([
    { ok: true, value: null },
    { ok: true, value: { key: right } },
  ])
  const before = org.asked.length
  expect(await customer.readMany([SECOND], context)).toEqual([{ ok: true, value: null }])
  expect(org.asked).toHaveLength(before)
})

test('an org behind a path, next pages as paths or addresses, no instance_url', async () => {
  const next = ['/services/data/v61.0/query/01gRM-1', '/services/data/v62.0/query/01gRM-2']
  const row = (n: number) => ({
    Id: `00600000000000${n}AAA`,
    Name: 'x',
    AccountId: FIRST,
    SystemModstamp: MODIFIED,
  })
  const org = await startOrg((one, origin) => {
    if (isLogin(one)) return [200, { access_token: 'token-1' }]
    const at = next.indexOf(one.path)
    const after = next[at + 1]
    if (after === undefined) return [200, { done: true, nextRecordsUrl: null, records: [row(3)] }]
    const address = at < 0 ? after : `${origin}/crm${after}`
    return [200, { done: false, nextRecordsUrl: address, records: [row(at + 2)] }]
  }, '/crm')
  const [deals] = await connect(`${org.url}/`).byCustomer.read([FIRST], context)
  expect(deals?.ok && deals.value.map(({ key }) => key)).toEqual([1, 2, 3].map((n) => row(n).Id))
})

test('an error may stand alone; an org that hides its own record is still well', async () => {
  const org = await startOrg((one) => {
    if (isLogin(one)) return [200, { access_token: 'token-1' }]
    if (one.query.get('q')?.includes('Organization')) {
      return [400, { message: 'sObject type Organization is not supported.', errorCode: 'INVALID_TYPE' }]
    }
    return [200, page(account(FIRST, '晨光'))]
  })
  const health = await connect(org.url).adapter.health(context)
  expect(health).toMatchObject({
    ok: true,
    value: { detail: `Salesforce at ${new URL(org.url).host}, API 61.0` },
  })
  expect(org.asked.filter((one) => one.path === '/services/data/v61.0/query')).toHaveLength(2)
})

test('a token that says how long it lives is renewed in time, with the refresh token that came last', async () => {
  let logins = 0
  const org = await startOrg((one) => {
    if (!isLogin(one)) return [200, page()]
    logins++
    return [200, { access_token: `token-${logins}`, expires_in: '5', refresh_token: `refresh-${logins + 1}` }]
  })
  const auth = { method: 'refreshToken', clientSecret: undefined, refreshToken: 'refresh-1' }
  const { byCustomer } = connect(org.url, auth)
  await byCustomer.read([FIRST], context)
  await byCustomer.read([FIRST], context)
  const told = org.asked.filter(isLogin).map(({ body }) => new URLSearchParams(body).get('refresh_token'))
  expect(told).toEqual(['refresh-1', 'refresh-2'])
  expect(org.asked.filter((one) => !isLogin(one)).map(({ headers }) => headers.authorization)).toEqual([
    'Bearer token-1',
    'Bearer token-2',
  ])
})
