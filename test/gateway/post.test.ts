/** A plain POST and Apollo Server give one answer: the short way is only shorter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestGateway, type TestGateway } from '../e2e/kit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway[Symbol.asyncDispose]())

/** `extensions` is what makes a request go by Apollo Server: there may be a persisted query in it. */
const REQUESTS: Readonly<Record<string, object>> = {
  'a query': { query: '{ systems { id kind } }' },
  'a query with variables and a name': {
    query:
      'query A($key: String!) { customer(externalId: { system: "crm", key: $key }) { name level } } query B { __typename }',
    operationName: 'A',
    variables: { key: '70007' },
  },
  'a name that is not there': { query: 'query A { __typename }', operationName: 'B' },
  'a name that is empty': { query: 'query A { __typename }', operationName: '' },
  'several operations and an empty name': {
    query: 'query A { __typename } query B { __typename }',
    operationName: '',
  },
  'several operations and no name': { query: 'query A { __typename } query B { __typename }' },
  'a variable that is missing': { query: 'query ($id: ID!) { order(id: $id) { number } }' },
  'a variable of another type': {
    query: 'query ($first: Int) { orders(first: $first) { nodes { number } } }',
    variables: { first: 'many' },
  },
  'a field that is not there': { query: '{ nothing }' },
  'no GraphQL at all': { query: 'SELECT * FROM orders' },
  'an empty query': { query: '' },
  'a record that does not exist': { query: '{ order(id: "xx") { number } }' },
  'a subscription': { query: 'subscription { orderChanged { event } }' },
  introspection: { query: '{ __schema { queryType { name } } }' },
  'too deep an operation': { query: `{ ${'a { '.repeat(40)} b ${'} '.repeat(40)} }` },
  'an unknown fragment': { query: '{ ...Nobody }' },
}

describe.each([
  ['application/json', 'application/json; charset=utf-8'],
  ['*/*', 'application/json; charset=utf-8'],
  [
    'application/graphql-response+json,application/json;q=0.9',
    'application/graphql-response+json; charset=utf-8',
  ],
  // The client weighs, not the order (RFC 9110, 12.5.1).
  ['application/graphql-response+json;q=0.5, application/json', 'application/json; charset=utf-8'],
  ['application/graphql-response+json;q=0, application/json;q=0.1', 'application/json; charset=utf-8'],
])('to a client that accepts %s', (accept, type) => {
  it.each(Object.entries(REQUESTS))('%s is answered alike', async (_title, request) => {
    const headers = { accept }
    const direct = await gateway.post(request, { headers })
    const byApollo = await gateway.post({ ...request, extensions: {} }, { headers })
    const seen = ({ status, headers: given, body }: typeof direct) => {
      const { sources, ...extensions } = (body.extensions ?? {}) as Record<string, unknown>
      return {
        status,
        type: given.get('content-type'),
        keep: given.get('cache-control'),
        body: { ...body, extensions, sources: Array.isArray(sources) },
      }
    }
    expect(seen(direct)).toEqual(seen(byApollo))
    expect(direct.headers.get('content-type')).toBe(type)
  })
})

it('large answers that are on their way together arrive whole', async () => {
  const ask = (i: number, more = {}) =>
    gateway.post({ query: `{ n${i}: __schema { types { name description fields { name } } } }`, ...more })
  const numbers = Array.from({ length: 12 }, (_, i) => i)
  const whole = await ask(0, { extensions: {} })
  expect(JSON.stringify(whole.body).length).toBeGreaterThan(30_000)
  const answers = [...(await Promise.all(numbers.map((i) => ask(i)))), await ask(0)]
  for (const [i, { body }] of answers.entries()) {
    expect(body.data).toEqual({ [`n${i % 12}`]: (whole.body.data as Record<string, unknown>).n0 })
  }
})

it('a GET needs nothing but its query, and changes nothing; a form is no POST', async () => {
  const get = (query: string) => fetch(`${gateway.url}/graphql?${new URLSearchParams({ query })}`)
  const answer = await get('{ __typename }')
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ data: { __typename: 'Query' } })
  const change = 'mutation { pauseSystem(id: "erp", reason: "x") { id } }'
  expect((await get(change)).status).toBe(405)
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=b',
    '',
  ]) {
    const body = new Blob([JSON.stringify({ query: change })], { type })
    const refused = await fetch(`${gateway.url}/graphql`, { method: 'POST', body })
    expect([refused.status, type]).toEqual([415, type])
  }
})

it('an empty operation name in a URL is none', async () => {
  const search = new URLSearchParams({ query: 'query A { __typename }', operationName: '' })
  const answer = await fetch(`${gateway.url}/graphql?${search}`)
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ data: { __typename: 'Query' } })
})

it('a browser that comes to look is sent to the explorer, and gets no page with scripts from elsewhere', async () => {
  const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
  const answer = await fetch(`${gateway.url}/graphql`, { headers: { accept }, redirect: 'manual' })
  expect(answer.status).toBe(303)
  expect(answer.headers.get('location')).toBe('/')
})

it('a mutation that is sent both ways is done once', async () => {
  const query = `mutation ($input: UpdateCustomerInput!) {
    updateCustomer(input: $input) { writeback { id state } customer { level } }
  }`
  const { customer } = await gateway.data('{ customer(externalId: { system: "crm", key: "70007" }) { id } }')
  const variables = { input: { idempotencyKey: 'both-ways', id: customer.id, level: 'BASIC' } }
  const direct = await gateway.post({ query, variables })
  const byApollo = await gateway.post({ query, variables, extensions: {} })
  expect(direct.body.data.updateCustomer).toMatchObject({
    writeback: { state: 'CONFIRMED' },
    customer: { level: 'BASIC' },
  })
  expect(byApollo.body.data).toEqual(direct.body.data)
})
