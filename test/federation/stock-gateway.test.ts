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

const parcels: Record<string, SubgraphSource> = {
  scales: {
    sdl: 'type Parcel @key(fields: "id") { id: ID! weight: Int }',
    resolvers: { Parcel: { weight: () => 7 } },
  },
  tariff: {
    sdl: `
      type Query { parcel: Parcel }
      type Parcel @key(fields: "id") { id: ID! weight: Int @external price: Int @requires(fields: "weight") }
    `,
    resolvers: {
      Query: { parcel: () => ({ id: 'p1' }) },
      Parcel: { price: ({ weight }: { weight?: number }) => weight && weight * 10 },
    },
  },
  office: {
    sdl: `type Parcel @key(fields: "id") {
      id: ID! price: Int @external label: String @requires(fields: "price")
    }`,
    resolvers: { Parcel: { label: ({ price }: Thing) => `${price} EUR` } },
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

const shelves: Record<string, SubgraphSource> = {
  stock: {
    sdl: `
      type Query { item: Item }
      type Item @key(fields: "place", resolvable: false) @key(fields: "sku") {
        sku: ID! place: Int weight: Int @external label: String @requires(fields: "weight")
      }
    `,
    resolvers: {
      Query: { item: () => ({ sku: 's1', place: 4 }) },
      Item: {
        __resolveReference: ({ sku, weight }: Thing) => (sku ? { sku, weight } : null),
        label: ({ sku, weight }: Thing) => `${sku} of ${weight} g`,
      },
    },
  },
  goods: {
    sdl: 'type Item @key(fields: "sku") { sku: ID! weight: Int }',
    resolvers: { Item: { weight: () => 7 } },
  },
}
const rides: Record<string, SubgraphSource> = {
  garage: {
    sdl: `
      interface Ride @key(fields: "id") { id: ID! }
      interface Electric { range: Int }
      type Tram implements Ride & Electric @key(fields: "id") { id: ID! range: Int }
    `,
    resolvers: {
      Ride: { __resolveReference: ({ id }: Thing) => ({ __typename: 'Tram', id }) },
      Tram: { range: () => 900 },
    },
  },
  trips: {
    sdl: 'type Query { ride: Ride } type Ride @interfaceObject @key(fields: "id") { id: ID! }',
    resolvers: { Query: { ride: () => ({ id: 'r1' }) } },
  },
}
const parts: Record<string, SubgraphSource> = {
  a: {
    sdl: 'type Query { part: Part ready: Boolean } interface Part @key(fields: "id") { id: ID! }',
    resolvers: { Query: { ready: () => true } },
  },
  b: {
    sdl: `
      type Query { named: Part }
      type Part @interfaceObject @key(fields: "id", resolvable: false) { id: ID! name: String }
    `,
    resolvers: {},
  },
}
const library: Record<string, SubgraphSource> = {
  library: {
    sdl: `
      type Query { featured: Medium @shareable any: Medium }
      interface Medium { id: ID! }
      type Book implements Medium @key(fields: "id") { id: ID! }
    `,
    resolvers: { Query: { featured: () => ({ __typename: 'Book', id: 1 }) } },
  },
  print: {
    sdl: 'type Query { featured: Book @shareable } type Book @key(fields: "id") { id: ID! pages: Int }',
    resolvers: { Query: { featured: () => ({ id: 1, pages: 7 }) } },
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
    {
      why: 'a field requires something, and the first key of its type is not resolvable',
      sources: shelves,
      query: '{ item { label } }',
      stock: { data: { item: { label: null } }, errors: 0 },
      ours: { data: { item: { label: 's1 of 7 g' } }, errors: 0 },
    },
    {
      why: 'a fragment on another interface stands at an interface object',
      sources: rides,
      query: '{ ride { ... on Electric { range } } }',
      stock: { errors: 1 },
      ours: { data: { ride: { range: 900 } }, errors: 0 },
    },
    {
      why: 'no subgraph can answer a root field as it is asked for',
      sources: parts,
      query: '{ ready part { name } }',
      stock: { data: { ready: true, part: null }, errors: 0 },
      ours: { errors: 1 },
    },
    {
      why: 'a field requires one that requires something itself',
      sources: parcels,
      query: '{ parcel { label } }',
      stock: { data: { parcel: { label: 'null EUR' } }, errors: 0 },
      ours: { data: { parcel: { label: '70 EUR' } }, errors: 0 },
    },
    {
      why: "a field's type is narrower in the subgraph that is asked",
      sources: library,
      query: '{ featured { ... on Book { pages } } }',
      stock: { data: { featured: {} }, errors: 0 },
      ours: { data: { featured: { pages: 7 } }, errors: 0 },
    },
  ])('$why', async ({ sources, query, stock, ours }) => {
    expect(await askStock(sources, query)).toEqual(stock)
    const { data, errors } = await fleet(sources).ask(query)
    expect(plain({ data, errors: errors?.length ?? 0 })).toEqual(ours)
  })
})
