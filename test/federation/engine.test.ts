import { GraphQLError } from 'graphql'
import { describe, expect, it } from 'vitest'
import { fleet, plain, type SubgraphSource } from './kit.ts'

const customers = [
  { id: 'c1', name: 'Ada', boss: 'c2' },
  { id: 'c2', name: 'Bo', boss: null },
  { id: 'c3', name: 'Cyd', boss: 'c2' },
]

const shop: Record<string, SubgraphSource> = {
  crm: {
    sdl: `
      type Query { customers: [Customer!]! customer(id: ID!): Customer }
      type Mutation { rename(id: ID!, name: String!): Customer }
      type Customer @key(fields: "id") { id: ID! name: String boss: Customer level: Level }
      enum Level { VIP BASIC INTERNAL @inaccessible }
    `,
    resolvers: {
      Query: {
        customers: () => customers,
        customer: (_: unknown, { id }: { id: string }) => customers.find((c) => c.id === id),
      },
      Mutation: { rename: (_: unknown, { id, name }: { id: string; name: string }) => ({ id, name }) },
      Customer: {
        __resolveReference: ({ id }: { id: string }) => customers.find((c) => c.id === id),
        boss: ({ boss }: { boss: string | null }) => customers.find((c) => c.id === boss),
        level: ({ id }: { id: string }) => (id === 'c1' ? 'VIP' : 'INTERNAL'),
      },
    },
  },
  orders: {
    sdl: `
      type Customer @key(fields: "id") { id: ID! orders(first: Int = 2): [Order!] credit: Int! }
      type Order @key(fields: "number") { number: ID! total: Float }
    `,
    resolvers: {
      Customer: {
        orders: ({ id }: { id: string }, { first }: { first: number }) =>
          Array.from({ length: first }, (_, i) => ({ number: `${id}-${i}`, total: i + 0.5 })),
        credit: ({ id }: { id: string }) => {
          if (id === 'c2') throw new GraphQLError('blocked', { extensions: { code: 'BLOCKED' } })
          if (id === 'c3') throw new Error('ORA-00942 at db-7')
          return 7
        },
      },
    },
  },
}

describe('the engine', () => {
  it('joins entities of two subgraphs, each asked once', async () => {
    const { ask, asked } = fleet(shop)
    const result = await ask(
      '{ customers { name boss { name orders(first: 1) { number } } orders { total } } }',
    )
    expect(plain(result)).toEqual({
      data: {
        customers: [
          {
            name: 'Ada',
            boss: { name: 'Bo', orders: [{ number: 'c2-0' }] },
            orders: [{ total: 0.5 }, { total: 1.5 }],
          },
          { name: 'Bo', boss: null, orders: [{ total: 0.5 }, { total: 1.5 }] },
          {
            name: 'Cyd',
            boss: { name: 'Bo', orders: [{ number: 'c2-0' }] },
            orders: [{ total: 0.5 }, { total: 1.5 }],
          },
        ],
      },
    })
    expect(asked.map((a) => [a.subgraph, (a.variables?.representations as unknown[])?.length])).toEqual([
      ['crm', undefined],
      ['orders', 3],
      ['orders', 1],
    ])
  })

  it('answers with the keys and the order the client asked for', async () => {
    const { ask } = fleet(shop)
    const { data } = await ask(
      '{ a: customer(id: "c1") { orders { __proto__: number } constructor: name __typename } }',
    )
    expect(JSON.stringify(data)).toBe(
      '{"a":{"orders":[{"__proto__":"c1-0"},{"__proto__":"c1-1"}],"constructor":"Ada","__typename":"Customer"}}',
    )
  })

  it('puts subgraph errors at every place of the answer they concern, and exposes known codes only', async () => {
    const { ask } = fleet(shop, { exposedCodes: new Set(['BLOCKED']) })
    const result = await ask('{ customers { id c: credit boss { credit } } }')
    expect(plain(result)).toEqual({
      data: null,
      errors: expect.arrayContaining([
        {
          message: 'blocked',
          path: ['customers', 1, 'c'],
          extensions: { code: 'BLOCKED', subgraph: 'orders' },
        },
        {
          message: 'blocked',
          path: ['customers', 0, 'boss', 'credit'],
          extensions: { code: 'BLOCKED', subgraph: 'orders' },
        },
        {
          message: 'Internal error in subgraph "orders".',
          path: ['customers', 2, 'c'],
          extensions: { code: 'SUBGRAPH_ERROR', subgraph: 'orders' },
        },
      ]),
    })
    expect(result.errors).toHaveLength(4)
  })

  it('hides enum values that are not public', async () => {
    const { ask } = fleet(shop)
    expect(plain(await ask('{ customers { level } }'))).toEqual({
      data: { customers: [{ level: 'VIP' }, { level: null }, { level: null }] },
    })
  })

  it('keeps what other subgraphs gave when one does not answer', async () => {
    const { ask } = fleet(shop, {}, (name, transport) =>
      name === 'orders'
        ? { ...transport, execute: () => Promise.reject(new Error('ECONNREFUSED 10.0.0.7')) }
        : transport,
    )
    expect(plain(await ask('{ customer(id: "c1") { name orders { number } } }'))).toEqual({
      data: { customer: { name: 'Ada', orders: null } },
      errors: [
        {
          message: 'Subgraph "orders" is unavailable.',
          path: ['customer', 'orders'],
          extensions: { code: 'SUBGRAPH_UNAVAILABLE', subgraph: 'orders', reason: 'unreachable' },
        },
      ],
    })
  })

  it('decides @skip and @include before it plans', async () => {
    const { ask, asked } = fleet(shop)
    const query = `query ($x: Boolean!) { customer(id: "c1") { ...F @include(if: $x) name @skip(if: $x) } }
      fragment F on Customer { orders(first: 1) { number } }`
    expect((await ask(query, { x: false })).data).toEqual({ customer: { name: 'Ada' } })
    expect(asked.map((a) => a.subgraph)).toEqual(['crm'])
    expect((await ask(query, { x: true })).data).toEqual({ customer: { orders: [{ number: 'c1-0' }] } })
    expect((await ask('{ customer(id: "c1") { name @skip(if: true) } }')).data).toEqual({ customer: {} })
  })

  it('answers introspection beside data', async () => {
    const { ask } = fleet(shop)
    const result = await ask(
      'query ($n: String!) { __typename t: __type(name: $n) { name kind } customer(id: "c2") { name } }',
      {
        n: 'Order',
      },
    )
    expect(plain(result.data)).toEqual({
      __typename: 'Query',
      t: { name: 'Order', kind: 'OBJECT' },
      customer: { name: 'Bo' },
    })
  })

  it('cuts representations to batches', async () => {
    const { ask, asked } = fleet(shop, { maxRepresentations: { orders: 2 } })
    const result = await ask('{ customers { orders(first: 1) { number } } }')
    expect(plain(result.data)).toEqual({
      customers: ['c1', 'c2', 'c3'].map((id) => ({ orders: [{ number: `${id}-0` }] })),
    })
    expect(asked.filter((a) => a.subgraph === 'orders')).toHaveLength(2)
  })

  it('refuses variables in the words of graphql-js', async () => {
    const { ask } = fleet(shop)
    const result = await ask('query ($id: ID!) { customer(id: $id) { name } }', {})
    expect(result).not.toHaveProperty('data')
    expect(result.errors?.[0]?.message).toBe('Variable "$id" of required type "ID!" was not provided.')
  })

  it('has room for a variable called like the planner’s own', async () => {
    const { ask } = fleet(shop)
    const query =
      'query ($representations: Int) { customer(id: "c1") { orders(first: $representations) { number } } }'
    expect(plain(await ask(query, { representations: 1 }))).toEqual({
      data: { customer: { orders: [{ number: 'c1-0' }] } },
    })
  })

  it('runs mutations', async () => {
    const { ask } = fleet(shop)
    const result = await ask(
      'mutation { a: rename(id: "c1", name: "X") { name orders(first: 1) { number } } }',
    )
    expect(plain(result)).toEqual({ data: { a: { name: 'X', orders: [{ number: 'c1-0' }] } } })
  })
})
