import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { codesOf, idOf, openTestGateway, type Result, type TestGateway } from './kit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway[Symbol.asyncDispose]())

/** Nothing here may leave a trace: not in a system, not in the journal, not in the cross-reference. */
const traces = async () => {
  const { world } = gateway.demo
  const { writebacks, unmappedRecords } = await gateway.data(
    '{ writebacks(first: 100) { nodes { id } } unmappedRecords(type: CUSTOMER) { totalCount } }',
  )
  return {
    orders: world.count('erpOrders'),
    payments: world.count('financePayments'),
    opportunities: world.count('crmOpportunities'),
    writebacks: writebacks.nodes.length,
    unmapped: unmappedRecords.totalCount,
  }
}
let before: Awaited<ReturnType<typeof traces>>
beforeAll(async () => {
  before = await traces()
})
afterEach(async () => {
  expect(await traces()).toEqual(before)
})

const customer = (key: string) => idOf('customer', 'crm', key)
const product = idOf('product', 'erp', 'A00001')
const CREATE =
  'mutation Create($input: CreateOrderInput!) { createOrder(input: $input) { writeback { id } } }'
const order = (changes: object = {}) => ({
  idempotencyKey: 'bad-input',
  customerId: customer('70007'),
  dueDate: '2026-12-31',
  lines: [{ productId: product, quantity: '1' }],
  ...changes,
})
const line = (changes: object) => order({ lines: [{ productId: product, quantity: '1', ...changes }] })

/** What is wrong, and what the answer must say of it. */
type Case = readonly [title: string, code: string, words: RegExp, query: string, variables?: object]

/** What depends on the operation alone: the same code and the same words on both transports. */
const OPERATIONS: readonly Case[] = [
  ['a syntax error', 'GRAPHQL_PARSE_FAILED', /Expected Name/, '{ systems { id '],
  [
    'an unknown field',
    'GRAPHQL_VALIDATION_FAILED',
    /"nonsense" on type "System"/,
    '{ systems { nonsense } }',
  ],
  [
    'an unknown argument',
    'GRAPHQL_VALIDATION_FAILED',
    /Unknown argument "nr"/,
    '{ order(id: "x", nr: 1) { id } }',
  ],
  [
    'a wrong type',
    'GRAPHQL_VALIDATION_FAILED',
    /Int cannot represent/,
    '{ orders(first: "x") { nodes { id } } }',
  ],
  ['a field of the subgraphs only', 'GRAPHQL_VALIDATION_FAILED', /_service/, '{ _service { sdl } }'],
  ['a variable that is missing', 'BAD_USER_INPUT', /"\$input" of required type/, CREATE],
  [
    'an unknown field of an input',
    'BAD_USER_INPUT',
    /"colour" is not defined/,
    CREATE,
    { input: order({ colour: 'red' }) },
  ],
  [
    'an id of an unknown system',
    'UNKNOWN_SYSTEM',
    /Systems: crm, erp, fin/,
    `{ order(id: "${idOf('order', 'sap', '1')}") { id } }`,
  ],
  ['an unknown system', 'UNKNOWN_SYSTEM', /"sap"/, '{ orderByNumber(system: "sap", number: "1") { id } }'],
  [
    'an id of another type',
    'BAD_USER_INPUT',
    /not the id of an order/,
    `{ order(id: "${customer('70007')}") { id } }`,
  ],
  ['an id that is none', 'BAD_USER_INPUT', /not an id of this graph/, '{ node(id: "1b2VycAox?") { id } }'],
  [
    'a page of nothing',
    'BAD_USER_INPUT',
    /between 1 and 100; got 0/,
    '{ orders(first: 0) { nodes { id } } }',
  ],
  [
    'a page of too much',
    'BAD_USER_INPUT',
    /between 1 and 100; got 101/,
    '{ invoices(first: 101) { nodes { id } } }',
  ],
  [
    'a search that no address has room for',
    'BAD_USER_INPUT',
    /"search" must not have more than 200 characters/,
    `{ orders(search: "${'x'.repeat(201)}") { nodes { id } } }`,
  ],
  [
    'an id with a key longer than any system has',
    'BAD_USER_INPUT',
    /not the id of a customer/,
    `{ customer(id: "${idOf('customer', 'erp', '1'.repeat(256))}") { name } }`,
  ],
  ['a cursor that is none', 'CURSOR_INVALID', /endCursor/, '{ orders(after: "xx") { nodes { id } } }'],
  ['two names for one customer', 'BAD_USER_INPUT', /either "id" or "externalId"/, '{ customer { id } }'],
  [
    'an unknown customer',
    'BAD_USER_INPUT',
    /no account/,
    CREATE,
    { input: order({ customerId: customer('1') }) },
  ],
  [
    'a negative quantity',
    'BAD_USER_INPUT',
    /lines\[0\]\.quantity.*more than zero/,
    CREATE,
    { input: line({ quantity: '-1' }) },
  ],
  ['no quantity at all', 'BAD_USER_INPUT', /more than zero/, CREATE, { input: line({ quantity: '0.00' }) }],
  ['a quantity as a float', 'BAD_USER_INPUT', /in quotes/, CREATE, { input: line({ quantity: 1.5 }) }],
  ['a quantity with an exponent', 'BAD_USER_INPUT', /decimal/, CREATE, { input: line({ quantity: '1e3' }) }],
  [
    'a negative price',
    'BAD_USER_INPUT',
    /must not be negative/,
    CREATE,
    { input: line({ unitPrice: '-1' }) },
  ],
  [
    'a discount of more than all',
    'BAD_USER_INPUT',
    /between 0 and 100/,
    CREATE,
    { input: line({ discountPercent: '100.1' }) },
  ],
  [
    'an id of a product that is none',
    'BAD_USER_INPUT',
    /not the id of a product/,
    CREATE,
    { input: line({ productId: 'x' }) },
  ],
  [
    'a day that there is not',
    'BAD_USER_INPUT',
    /2026-02-30/,
    CREATE,
    { input: order({ dueDate: '2026-02-30' }) },
  ],
  ['a currency that is none', 'BAD_USER_INPUT', /ISO 4217/, CREATE, { input: order({ currency: 'yuan' }) }],
  ['no lines', 'BAD_USER_INPUT', /1 to 1000/, CREATE, { input: order({ lines: [] }) }],
  ['an empty key', 'BAD_USER_INPUT', /idempotencyKey/, CREATE, { input: order({ idempotencyKey: ' ' }) }],
  [
    'a key that is too long',
    'BAD_USER_INPUT',
    /1 to 200/,
    CREATE,
    { input: order({ idempotencyKey: 'k'.repeat(201) }) },
  ],
  [
    'a key of nothing to link',
    'BAD_USER_INPUT',
    /"key" is empty/,
    `mutation { linkExternalId(input: { type: CUSTOMER, id: "${customer('70035')}", system: "erp", key: "" }) { id } }`,
  ],
  [
    'CSV with mistakes, all told at once',
    'BAD_USER_INPUT',
    /Nothing was imported.*line 2: there is no system "sap".*line 3: "sameAsKey" is missing/,
    'mutation Import($csv: String!) { importExternalIds(input: { csv: $csv }) { linked } }',
    {
      csv: 'type,system,company,key,sameAsSystem,sameAsKey\ncustomer,sap,,X,crm,70035\ncustomer,erp,,C99001,crm,',
    },
  ],
]

describe('an operation is refused with a stable code and useful words, and leaves no trace:', () => {
  for (const [title, code, words, query, variables] of OPERATIONS) {
    it(title, async () => {
      const results: [string, Result][] = [
        ['HTTP', await gateway.ask(query, variables)],
        ['WebSocket', await gateway.askOverWebSocket(query, variables)],
      ]
      for (const [transport, { data, errors }] of results) {
        expect([transport, codesOf({ errors })]).toEqual([transport, [code]])
        expect(errors?.[0]?.message).toMatch(words)
        // What failed is null, and nothing beside it was done.
        for (const value of Object.values(data ?? {})) expect(value).toBeNull()
      }
    })
  }
})

const nested = (levels: number) =>
  `{ customer(externalId: { system: "crm", key: "70007" }) ${'{ orders { customer '.repeat(levels / 2)}{ id }${' } }'.repeat(levels / 2)} }`
const questions = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `a${from + i}: customers(first: ${from + i}) { nodes { id } }`)
/** A quote in a comment opens no text; what follows is still seen. */
const hidden = (query: string) => `# "\n${query}`
const inBlockText = (query: string) => `query Q($text: String = """ \\""" " { """) ${query}`

describe('an operation that is too large is refused before it costs anything:', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['32 levels', nested(32)],
    ['500 levels', nested(500)],
    ['5,000 levels', nested(5_000)],
    ['500 levels behind a comment', hidden(nested(500))],
    ['5,000 levels behind a comment', hidden(nested(5_000))],
    ['5,000 levels behind a text', inBlockText(nested(5_000))],
    [
      'a list in 4,000 lists',
      hidden(`{ customers(search: ${'['.repeat(4_000)}1${']'.repeat(4_000)}) { nodes { id } } }`),
    ],
    [
      'a type of 4,000 lists',
      hidden(`query Q($a: ${'['.repeat(4_000)}Int${']'.repeat(4_000)}) { systems { id } }`),
    ],
    ['more than 10,000 words', `{ ${'a '.repeat(10_001)} }`],
    [
      'the schema more than five times',
      `{ ${Array.from({ length: 6 }, (_, i) => `a${i}: __schema { types { fields { name } } }`).join(' ')} }`,
    ],
    [
      'more than 100 different questions',
      `{ ...F ... { ${questions(0, 51)} } } fragment F on Query { ${questions(51, 101)} }`,
    ],
  ]
  for (const [title, query] of cases) {
    it(title, async () => {
      const began = performance.now()
      const { status, body } = await gateway.post({ query })
      expect({ status, codes: codesOf(body) }).toEqual({ status: 400, codes: ['OPERATION_TOO_LARGE'] })
      expect(body.errors?.[0]?.message).toMatch(/Ask for less/)
      expect(await gateway.askOverWebSocket(query)).toEqual({
        errors: [expect.objectContaining({ extensions: { code: 'OPERATION_TOO_LARGE' } })],
      })
      expect(performance.now() - began).toBeLessThan(1_500)
    })
  }

  it('fragments that unfold to a billion fields', async () => {
    const fragments = Array.from(
      { length: 30 },
      (_, n) => `fragment F${n} on Query { ...F${n + 1} ...F${n + 1} }`,
    )
    const query = `{ ...F0 } ${fragments.join(' ')} fragment F30 on Query { systems { id } }`
    expect(codesOf(await gateway.ask(query))).toEqual(['OPERATION_TOO_COMPLEX'])
    expect(codesOf(await gateway.askOverWebSocket(query))).toEqual(['OPERATION_TOO_COMPLEX'])
  })

  it('fragments in a circle', async () => {
    const query = '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }'
    expect(codesOf(await gateway.ask(query))).toEqual(['GRAPHQL_VALIDATION_FAILED'])
  })

  it('thousands of fields of one name, which validation compares with each other', async () => {
    const began = performance.now()
    expect(codesOf(await gateway.ask(`{ ${'systems { id } '.repeat(2_400)} }`))).toEqual([
      'GRAPHQL_VALIDATION_FAILED',
    ])
    expect(performance.now() - began).toBeLessThan(5_000)
  })

  it('but texts and comments with brackets are no nesting', async () => {
    const found = `customers(search: "${'{'.repeat(200)}") { nodes { id } }`
    const query = `# ${'{'.repeat(5_000)}\n{ a: ${found} b: ${found} }`
    expect(await gateway.data(query)).toEqual({ a: { nodes: [] }, b: { nodes: [] } })
  })
})

describe('a value is refused whatever it is made of:', () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const raw = (dueDate: string) =>
    `{"query":${JSON.stringify(CREATE)},"variables":{"input":{"idempotencyKey":"deep","customerId":"x","lines":[],"dueDate":${dueDate}}}}`

  it('100,000 lists in each other where a day should be', async () => {
    const { body } = await gateway.post(raw(deep))
    expect(codesOf(body)).toEqual(['BAD_USER_INPUT'])
    expect(body.errors?.[0]?.message.length).toBeLessThan(1_000)
  })

  it('the same where an object should be', async () => {
    const { body } = await gateway.post(`{"query":${JSON.stringify(CREATE)},"variables":{"input":${deep}}}`)
    expect(codesOf(body)).toEqual(['BAD_USER_INPUT'])
  })

  it('names that objects have by themselves', async () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
      const { body } = await gateway.post({ query: CREATE, variables: { input: { ...order(), [name]: 1 } } })
      expect(codesOf(body)).toEqual(['BAD_USER_INPUT'])
      expect(codesOf(await gateway.ask(`{ orderByNumber(system: "${name}", number: "1") { id } }`))).toEqual([
        'UNKNOWN_SYSTEM',
      ])
    }
  })

  it('keys that would be more than a key in a filter, a path or an element', async () => {
    const keys = [
      "C20001' or CardCode eq 'C20002",
      '../opportunities',
      '70007,70014',
      '</fin:CustomerNo>',
      '%2e%2e',
      '\u0000',
    ]
    for (const key of keys) {
      for (const system of ['crm', 'erp', 'fin']) {
        const { data, errors } = await gateway.ask(
          'query K($key: String!, $system: ID!) { customer(externalId: { system: $system, key: $key }) { name } }',
          { key, system },
        )
        expect({ system, key, data, errors }).toEqual({
          system,
          key,
          data: { customer: null },
          errors: undefined,
        })
      }
    }
  })
})

describe('a request that is no operation is answered in the form of GraphQL:', () => {
  const requests: readonly (readonly [string, number, string, string | Buffer, Record<string, string>?])[] = [
    ['malformed JSON', 400, 'BAD_REQUEST', '{"query": '],
    ['nothing', 400, 'BAD_REQUEST', ''],
    ['null', 400, 'BAD_REQUEST', 'null'],
    ['a number', 400, 'BAD_REQUEST', '3'],
    ['bytes that are no UTF-8', 400, 'BAD_REQUEST', Buffer.from([0x7b, 0xff, 0xfe])],
    ['no query', 400, 'BAD_REQUEST', '{"variables":{}}'],
    ['a query that is no text', 400, 'BAD_REQUEST', '{"query":3}'],
    ['an empty query', 400, 'BAD_REQUEST', '{"query":""}'],
    ['variables that are a text', 400, 'BAD_REQUEST', '{"query":"{systems{id}}","variables":"x"}'],
    ['a prototype', 400, 'BAD_REQUEST', '{"query":"{systems{id}}","__proto__":{"a":1}}'],
    ['operations in a batch', 400, 'BAD_REQUEST', '[{"query":"{systems{id}}"},{"query":"{systems{id}}"}]'],
    ['lists without end', 400, 'BAD_REQUEST', '['.repeat(500_000)],
    [
      'another content type',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      '<query/>',
      { 'content-type': 'application/xml' },
    ],
    [
      'a form, as another site could send it',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      'query=1',
      { 'content-type': 'application/x-www-form-urlencoded' },
    ],
    [
      'a body over the limit',
      413,
      'PAYLOAD_TOO_LARGE',
      `{"query":"{systems{id}}","x":"${'x'.repeat(1_048_576)}"}`,
    ],
    [
      'several operations and no name',
      400,
      'OPERATION_RESOLUTION_FAILURE',
      '{"query":"query A {systems{id}} query B {systems{id}}"}',
    ],
  ]
  for (const [title, status, code, body, headers] of requests) {
    it(title, async () => {
      const answer = await gateway.post(body, headers ? { headers } : {})
      expect({ status: answer.status, codes: codesOf(answer.body) }).toEqual({ status, codes: [code] })
      expect(answer.body.errors?.[0]?.message).not.toBe('')
      expect(answer.body.data).toBeUndefined()
    })
  }

  it('a subscription that is posted for a single answer', async () => {
    const answer = await gateway.post({ query: 'subscription { orderChanged { event } }' })
    expect(codesOf(answer.body)).toEqual(['OPERATION_NOT_SUPPORTED'])
  })

  it('a mutation that a link could trigger', async () => {
    const query = encodeURIComponent('mutation { importExternalIds(input: { csv: "x" }) { linked } }')
    const answer = await gateway.post('', { method: 'GET', path: `/graphql?query=${query}` })
    expect({ status: answer.status, codes: codesOf(answer.body) }).toEqual({
      status: 405,
      codes: ['BAD_REQUEST'],
    })
  })

  it.each(['PUT', 'PATCH', 'DELETE'])('%s', async (method) => {
    const { status, headers, body } = await gateway.post('{"query":"{systems{id}}"}', { method })
    expect({ status, codes: codesOf(body) }).toEqual({ status: 405, codes: ['METHOD_NOT_ALLOWED'] })
    expect(headers.get('allow')).toBe('GET, POST')
  })

  it('a path that there is not', async () => {
    const answer = await gateway.post('{}', { path: '/graphiql' })
    expect({ status: answer.status, codes: codesOf(answer.body) }).toEqual({
      status: 404,
      codes: ['NOT_FOUND'],
    })
    const outside = await gateway.post('', { method: 'GET', path: '/explorer/..%2f..%2fpackage.json' })
    expect(outside.status).toBe(404)
  })
})

describe('a WebSocket', () => {
  const { WebSocket } = globalThis
  const open = (protocol: string): Promise<WebSocket> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/graphql`, protocol)
      socket.addEventListener('open', () => resolve(socket))
      socket.addEventListener('error', reject)
    })
  const closeOf = (socket: WebSocket): Promise<number> =>
    new Promise((resolve) => {
      socket.addEventListener('close', ({ code }) => resolve(code))
    })

  it('is closed with the protocol’s code for what is no message', async () => {
    for (const message of [
      '{',
      'null',
      '[]',
      '{"type":"nonsense"}',
      '{"type":"subscribe","id":1}',
      `${'['.repeat(100_000)}`,
    ]) {
      const socket = await open('graphql-transport-ws')
      const closed = closeOf(socket)
      socket.send(message)
      expect(await closed).toBe(4400)
    }
  })

  it('is closed for a message over the limit', async () => {
    const socket = await open('graphql-transport-ws')
    const closed = closeOf(socket)
    socket.send('x'.repeat(1_100_000))
    expect(await closed).toBe(1009)
  })

  it('may not ask before it says hello, nor with a key that nobody has', async () => {
    const early = await open('graphql-transport-ws')
    const unauthorized = closeOf(early)
    early.send(JSON.stringify({ type: 'subscribe', id: '1', payload: { query: '{ systems { id } }' } }))
    expect(await unauthorized).toBe(4401)

    const guessing = await open('graphql-transport-ws')
    const forbidden = closeOf(guessing)
    guessing.send(JSON.stringify({ type: 'connection_init', payload: { 'x-api-key': 'guessed' } }))
    expect(await forbidden).toBe(4403)
  })

  it('that is refused and reset at once does no harm', async () => {
    const { port } = new URL(gateway.url)
    const upgrade = (path: string, protocol: string) =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`
    const reset = (text: string) =>
      new Promise<void>((resolve) => {
        const socket = connect(Number(port), '127.0.0.1', () => {
          socket.write(text, () => {
            socket.resetAndDestroy()
            resolve()
          })
        })
        socket.on('error', () => resolve())
      })
    for (let time = 0; time < 300; time++) {
      await reset(upgrade('/nowhere', 'graphql-transport-ws'))
      await reset(upgrade('/graphql', 'graphql-ws'))
    }
    expect((await gateway.post('', { method: 'GET', path: '/health' })).status).toBe(200)
  })
})

describe('many aliases', () => {
  it('of one question are one call', async () => {
    const { crm } = gateway.demo.simulators
    crm.clearCalls()
    const fields = Array.from({ length: 400 }, (_, n) => `a${n}: customers(first: 5) { nodes { name } }`)
    const data = await gateway.data(`{ ${fields.join(' ')} }`)
    expect(Object.keys(data)).toHaveLength(400)
    expect(crm.calls).toHaveLength(1)
  })

  it('of mutations run one after the other, and the first that fails does not undo the others', async () => {
    const fields = Array.from(
      { length: 50 },
      (_, n) => `a${n}: importExternalIds(input: { csv: "x" }) { linked }`,
    )
    const { errors } = await gateway.ask(`mutation { ${fields.join(' ')} }`)
    expect(new Set(codesOf({ errors }))).toEqual(new Set(['BAD_USER_INPUT']))
  })
})
