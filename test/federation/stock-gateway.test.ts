import { ApolloServer } from '@apollo/server'
import { describe, expect, it } from 'vitest'
import { compose, fleet, plain, type SubgraphSource, schemaOf } from './kit.ts'

// Read in ApolloGateway's constructor; its telemetry would leave this machine.
process.env.APOLLO_TELEMETRY_DISABLED = 'true'
const { ApolloGateway, LocalGraphQLDataSource } = await import('@apollo/gateway')

type Thing = Record<string, unknown>
const prices: Record<string, number> = { USD: 1, EUR: 2 }
const sum = ({ price, weight }: { price: number; weight: number }) => price * 100 + weight

const shop: Record<string, SubgraphSource> = {
  shipping: {
    sdl: `
      type Product @key(fields: "upc") {
        upc: ID! weight: Int @external price(currency: String!): Int @external
        dollars: Int @requires(fields: "price(currency: \\"USD\\") weight")
        euros: Int @requires(fields: "price(currency: \\"EUR\\") weight")
      }
    `,
    resolvers: { Product: { dollars: sum, euros: sum } },
  },
  catalog: {
    sdl: `
      type Query { products: [Product] }
      type Product @key(fields: "upc") { upc: ID! name: String weight: Int price(currency: String!): Int }
    `,
    resolvers: {
      Query: { products: () => [{ upc: 'p1', name: 'one', weight: 7 }] },
      Product: { price: (_: unknown, { currency }: { currency: string }) => prices[currency] },
    },
  },
}
const books: Record<string, SubgraphSource> = {
  a: {
    sdl: 'type Query { book: Book } type Book @key(fields: "upc") { upc: ID! }',
    resolvers: { Query: { book: () => ({ upc: 'b1' }) } },
  },
  b: {
    sdl: 'type Book @key(fields: "upc") { upc: ID! pages: Int! }',
    resolvers: { Book: { __resolveReference: () => null } },
  },
}
const nodes: Record<string, SubgraphSource> = {
  a: {
    sdl: `
      type Query { a: Node }
      interface Node @key(fields: "id") { id: ID! }
      type Leaf implements Node @key(fields: "id") { id: ID! }
    `,
    resolvers: { Node: { __resolveReference: () => null } },
  },
  b: {
    sdl: 'type Query { lost: Node } type Node @interfaceObject @key(fields: "id") { id: ID! field: String }',
    resolvers: { Query: { lost: () => ({ id: 'x', field: 'f' }) } },
  },
}

const vehicles: Record<string, SubgraphSource> = {
  fleet: {
    sdl: `
      type Query { vehicles: [Vehicle!] depot: Depot }
      type Depot { name: String tool: Tool }
      interface Tool @key(fields: "id") { id: ID! }
      interface Vehicle @key(fields: "id") { id: ID! }
      type Car implements Vehicle @key(fields: "id") { id: ID! }
      type Tram implements Vehicle @key(fields: "id") { id: ID! }
    `,
    resolvers: {
      Query: {
        vehicles: () => ['Car', 'Tram'].map((type) => ({ __typename: type, id: type })),
        depot: () => ({ name: 'north', tool: { id: 't1' } }),
      },
    },
  },
  logs: {
    sdl: `
      type Query { ready: Boolean }
      type Vehicle @interfaceObject @key(fields: "id") { id: ID! plate: String! stops: [String] }
      type Tool @interfaceObject @key(fields: "id", resolvable: false) { id: ID! use: String }
    `,
    resolvers: {
      Vehicle: {
        __resolveReference: (it: Thing) => it,
        plate: ({ id }: Thing) => (id === 'Car' ? 'X 1' : null),
        stops: () => ['here'],
      },
    },
  },
}

async function askStock(sources: Record<string, SubgraphSource>, query: string): Promise<Thing> {
  const silent = { debug() {}, info() {}, warn() {}, error() {} }
  const gateway = new ApolloGateway({
    supergraphSdl: compose(sources),
    buildService: ({ name }) => new LocalGraphQLDataSource(schemaOf(sources[name] as SubgraphSource)),
    logger: silent,
  })
  const server = new ApolloServer({ gateway, logger: silent })
  await server.start()
  const { body } = await server.executeOperation({ query })
  await server.stop()
  if (body.kind !== 'single') throw new Error('not a single answer')
  return plain({ data: body.singleResult.data, errors: body.singleResult.errors?.length ?? 0 })
}

/** If one of these fails for the stock gateway, it has learned something, and our way around may go. */
describe('where the stock gateway answers otherwise', () => {
  it.each([
    {
      why: 'two fields require one field with different arguments',
      sources: shop,
      query: '{ products { dollars euros } }',
      stock: { data: { products: [{ dollars: 207, euros: 207 }] }, errors: 0 },
      ours: { data: { products: [{ dollars: 107, euros: 207 }] }, errors: 0 },
    },
    {
      why: 'the client asks for a required field with another argument',
      sources: shop,
      query: '{ products { price(currency: "EUR") dollars } }',
      stock: { data: { products: [{ price: 2, dollars: 207 }] }, errors: 0 },
      ours: { data: { products: [{ price: 2, dollars: 107 }] }, errors: 0 },
    },
    {
      why: 'an alias is called like a key',
      sources: shop,
      query: '{ products { upc: name dollars } }',
      stock: { data: { products: [{ upc: 'p1', dollars: 107 }] }, errors: 0 },
      ours: { data: { products: [{ upc: 'one', dollars: 107 }] }, errors: 0 },
    },
    {
      why: 'an alias is called like a required field',
      sources: shop,
      query: '{ products { weight: name dollars } }',
      stock: { data: { products: [{ weight: 'one', dollars: null }] }, errors: 1 },
      ours: { data: { products: [{ weight: 'one', dollars: 107 }] }, errors: 0 },
    },
    {
      why: 'a null where there may be none',
      sources: books,
      query: '{ book { pages } }',
      stock: { data: { book: null }, errors: 0 },
      ours: { data: { book: null }, errors: 1 },
    },
    {
      why: 'an interface object that nobody can resolve',
      sources: nodes,
      query: '{ lost { __typename id } }',
      stock: { data: { lost: null }, errors: 0 },
      ours: { data: { lost: null }, errors: 1 },
    },
    {
      why: 'a field further down that no subgraph can answer as it is asked for',
      sources: vehicles,
      query: '{ depot { name tool { use } } }',
      stock: { data: { depot: { name: 'north', tool: null } }, errors: 0 },
      ours: { data: { depot: { name: 'north', tool: null } }, errors: 1 },
    },
    {
      why: 'types of an interface object are asked for fields of their own',
      sources: vehicles,
      query: '{ vehicles { ... on Car { plate } ... on Tram { stops } } }',
      stock: { data: { vehicles: [{ plate: 'X 1' }, { stops: null }] }, errors: 1 },
      ours: { data: { vehicles: [{ plate: 'X 1' }, { stops: ['here'] }] }, errors: 0 },
    },
  ])('$why', async ({ sources, query, stock, ours }) => {
    expect(await askStock(sources, query)).toEqual(stock)
    const { data, errors } = await fleet(sources).ask(query)
    expect(plain({ data, errors: errors?.length ?? 0 })).toEqual(ours)
  })
})
