/** The same subscription over every way a client may ask for it, with the client that people use for it. */
import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { createClient as createEventStreamClient } from 'graphql-sse'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestGateway, type TestGateway } from '../e2e/kit.ts'

const SUBSCRIPTION =
  'subscription { inventoryChanged { event onHandAfter level { product { sku } warehouse { key } } } }'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
  await gateway.poll() // the first look compares with nothing
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
})

/** Moves stock of A00001 in warehouse 01, again and again, until somebody has heard of it. */
async function moveUntil<T>(heard: Promise<T>): Promise<T> {
  let over = false
  const stop = () => {
    over = true
  }
  heard.then(stop, stop)
  while (!over) {
    const stock = gateway.demo.world.get('erpStock', 'A00001@01')
    if (stock) gateway.demo.world.put('erpStock', { ...stock, inStock: String(Number(stock.inStock) + 1) })
    await gateway.poll()
  }
  return heard
}

const MOVED = {
  inventoryChanged: {
    event: 'product.inventory.changed',
    onHandAfter: expect.stringMatching(/^\d+$/),
    level: { product: { sku: 'A00001' }, warehouse: { key: '01' } },
  },
}

describe('a subscription arrives', () => {
  it('over WebSocket, with graphql-ws', async () => {
    await using listener = await gateway.listen(SUBSCRIPTION)
    const [first] = await moveUntil(listener.take(1))
    expect(first?.data).toEqual(MOVED)
    expect(first?.extensions).toMatchObject({ demo: true })
  })

  it.each([
    ['a connection for each operation', { singleConnection: false as const, path: '/graphql' }],
    [
      'a connection for each operation, at the path of streams',
      { singleConnection: false as const, path: '/graphql/stream' },
    ],
    ['one connection for all', { singleConnection: true as const, path: '/graphql/stream' }],
  ])('as server-sent events, with graphql-sse: %s', async (_title, { singleConnection, path }) => {
    const client = createEventStreamClient({
      url: `${gateway.url}${path}`,
      singleConnection,
      retryAttempts: 0,
    } as never)
    const events = client.iterate<typeof MOVED>({ query: SUBSCRIPTION })
    const { value } = await moveUntil(events.next())
    expect(value?.data).toEqual(MOVED)
    await events.return?.()
    client.dispose()
  })

  it('in parts, with Apollo Client', async () => {
    const client = new ApolloClient({
      link: new HttpLink({ uri: `${gateway.url}/graphql` }),
      cache: new InMemoryCache({ addTypename: false } as never),
    })
    const first = new Promise((resolve, reject) => {
      const subscription = client.subscribe({ query: gql(SUBSCRIPTION), fetchPolicy: 'no-cache' }).subscribe({
        next(result) {
          subscription.unsubscribe()
          if (result.error) reject(result.error)
          else resolve(result.data)
        },
        error: reject,
      })
    })
    expect(await moveUntil(first)).toMatchObject(MOVED)
    client.stop()
  })
})

/** What an operation is answered as server-sent events, where that is one result. */
async function onlyEvent(query: string): Promise<unknown> {
  const client = createEventStreamClient({ url: `${gateway.url}/graphql`, retryAttempts: 0 })
  const results: unknown[] = []
  for await (const result of client.iterate({ query })) results.push(result)
  client.dispose()
  expect(results).toHaveLength(1)
  return results[0]
}

describe('a subscription that cannot begin says why', () => {
  const WRONG = 'subscription { nothingChanged { event } }'
  const code = 'GRAPHQL_VALIDATION_FAILED'

  it('over WebSocket', async () => {
    expect((await gateway.askOverWebSocket(WRONG)).errors).toMatchObject([{ extensions: { code } }])
  })

  it('as server-sent events', async () => {
    expect(await onlyEvent(WRONG)).toMatchObject({ errors: [{ extensions: { code } }] })
  })

  it('in parts', async () => {
    const accept = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0", application/json'
    const { body } = await gateway.post({ query: WRONG }, { headers: { accept } })
    expect(body.errors).toMatchObject([{ extensions: { code } }])
  })

  it('by an unusable cursor, in parts', async () => {
    const accept = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0", application/json'
    const query = 'subscription { inventoryChanged(after: "forged") { event } }'
    const { text } = await gateway.post({ query }, { headers: { accept } })
    expect(text).toContain('"payload":null')
    expect(text).toContain('CURSOR_INVALID')
    expect(text.trimEnd().endsWith('--graphql--')).toBe(true)
  })
})

describe('an operation that is not named says so', () => {
  const query = 'query A { __typename } query B { __typename }'
  const errors = [{ extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } }]

  it('over HTTP', async () => {
    expect((await gateway.post({ query })).body.errors).toMatchObject(errors)
  })
  it('over WebSocket', async () => {
    expect((await gateway.askOverWebSocket(query)).errors).toMatchObject(errors)
  })
  it('as server-sent events', async () => {
    expect(await onlyEvent(query)).toMatchObject({ errors })
  })
})

describe('limits hold on every way in', () => {
  const deep = `{ ${'a { '.repeat(400)} b ${'} '.repeat(400)} }`
  const code = 'OPERATION_TOO_LARGE'

  it('over HTTP', async () => {
    expect((await gateway.post({ query: deep })).body.errors).toMatchObject([{ extensions: { code } }])
  })
  it('over WebSocket', async () => {
    expect((await gateway.askOverWebSocket(deep)).errors).toMatchObject([{ extensions: { code } }])
  })
  it('as server-sent events', async () => {
    expect(await onlyEvent(deep)).toMatchObject({ errors: [{ extensions: { code } }] })
  })
})

describe('a subscription whose gateway stops', () => {
  it('ends without being complete, and not as if the connection broke', async () => {
    const stopping = await openTestGateway()
    const ends = await Promise.all(
      ['text/event-stream', 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'].map(
        async (accept) => {
          const response = await fetch(`${stopping.url}/graphql`, {
            method: 'POST',
            headers: { accept, 'content-type': 'application/json' },
            body: JSON.stringify({ query: SUBSCRIPTION }),
          })
          expect(response.status).toBe(200)
          return response
        },
      ),
    ).finally(() => stopping[Symbol.asyncDispose]())
    // A connection that is cut makes these fail.
    const texts = await Promise.all(ends.map((response) => response.text()))
    expect(texts).toEqual([':\n\n', '\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{}'])
  })
})
