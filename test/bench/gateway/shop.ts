/** The measured graph: four subgraphs, a shop of people, products, reviews and sales. */

import { composeServices } from '@apollo/composition'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type GraphQLSchema, parse } from 'graphql'

interface User {
  id: string
  name: string
  username: string
  birthday: string
}
interface Product {
  upc: string
  name: string
  price: number
  weight: number
}
interface Review {
  id: string
  body: string
  authorId: string
  upc: string
}

const users: User[] = Array.from({ length: 12 }, (_, i) => ({
  id: `u${i}`,
  name: `Customer number ${i}`,
  username: `customer.${i}@example.org`,
  birthday: `19${70 + i}-01-0${1 + (i % 9)}`,
}))
/** The first nine are sold and reviewed; the others are there to be asked for. */
const products: Product[] = Array.from({ length: 1000 }, (_, i) => ({
  upc: `p${i}`,
  name: `Product ${i}, in a sensible length`,
  price: 100 + i * 37,
  weight: 10 + i * 53,
}))
const reviews: Review[] = Array.from({ length: 34 }, (_, i) => ({
  id: `r${i}`,
  body: `What customer ${i % 12} has to say of product ${i % 9}: it does what it should.`,
  authorId: `u${i % 12}`,
  upc: `p${i % 9}`,
}))
interface Purchase {
  id: string
  quantity: number
  userId: string
  upc: string
}
const purchases: Purchase[] = Array.from({ length: 40 }, (_, i) => ({
  id: `o${i}`,
  quantity: 1 + (i % 5),
  userId: `u${i % 12}`,
  upc: `p${(i * 7) % 9}`,
}))
/** Who waits for stock to move. */
export const moves = {
  listeners: new Set<(upc: string) => void>(),
  move(upc: string): void {
    for (const listener of this.listeners) listener(upc)
  },
  stream(): AsyncIterableIterator<unknown> {
    const queue: string[] = []
    let wake = (): void => {}
    let over = false
    const listener = (upc: string): void => {
      queue.push(upc)
      wake()
    }
    this.listeners.add(listener)
    return {
      next: async () => {
        while (queue.length === 0 && !over) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        return over
          ? { done: true, value: undefined }
          : { done: false, value: { stockMoved: { upc: queue.shift() } } }
      },
      return: async () => {
        over = true
        this.listeners.delete(listener)
        wake()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  },
}

const link =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@requires", "@external", "@provides", "@shareable"])\n'

export const subgraphs: Record<
  string,
  // biome-ignore lint/suspicious/noExplicitAny: what resolvers take is in the SDL beside them
  { sdl: string; resolvers: Record<string, any> }
> = {
  accounts: {
    sdl: `
      type Query { me: User users: [User!] user(id: ID!): User }
      type User @key(fields: "id") { id: ID! name: String username: String @shareable birthday: String }
    `,
    resolvers: {
      Query: {
        me: () => users[0],
        users: () => users,
        user: (_: unknown, { id }: User) => users.find((user) => user.id === id),
      },
      User: { __resolveReference: ({ id }: User) => users.find((user) => user.id === id) },
    },
  },
  products: {
    sdl: `
      type Query { topProducts(first: Int = 5): [Product!] product(upc: ID!): Product }
      type Product @key(fields: "upc") { upc: ID! name: String price: Int weight: Int }
    `,
    resolvers: {
      Query: {
        topProducts: (_: unknown, { first }: { first: number }) => products.slice(0, first),
        product: (_: unknown, { upc }: Product) => products.find((product) => product.upc === upc),
      },
      Product: {
        __resolveReference: ({ upc }: Product) => products.find((product) => product.upc === upc),
      },
    },
  },
  reviews: {
    sdl: `
      type Mutation { review(upc: ID!, body: String!): Review! }
      type Review @key(fields: "id") { id: ID! body: String author: User @provides(fields: "username") product: Product }
      type User @key(fields: "id") { id: ID! username: String @external reviews: [Review!] }
      type Product @key(fields: "upc") { upc: ID! reviews: [Review!] }
    `,
    resolvers: {
      Mutation: {
        review: (_: unknown, { upc, body }: Review) => ({ id: 'new', body, authorId: 'u0', upc }),
      },
      Review: {
        author: ({ authorId }: Review) => users.find((user) => user.id === authorId),
        product: ({ upc }: Review) => ({ upc }),
      },
      User: { reviews: ({ id }: User) => reviews.filter((review) => review.authorId === id) },
      Product: { reviews: ({ upc }: Product) => reviews.filter((review) => review.upc === upc) },
    },
  },
  sales: {
    sdl: `
      type Subscription { stockMoved: Product }
      type User @key(fields: "id") { id: ID! purchases: [Purchase!] }
      type Purchase { id: ID! quantity: Int product: Product }
      type Product @key(fields: "upc") {
        upc: ID! weight: Int @external price: Int @external inStock: Boolean
        shippingEstimate: Int @requires(fields: "price weight")
      }
    `,
    resolvers: {
      Subscription: { stockMoved: { subscribe: () => moves.stream() } },
      User: { purchases: ({ id }: User) => purchases.filter((purchase) => purchase.userId === id) },
      Purchase: { product: ({ upc }: Purchase) => ({ upc }) },
      Product: {
        inStock: ({ upc }: Product) => Number(upc.slice(1)) % 2 === 0,
        shippingEstimate: ({ price, weight }: Product) => (price > 300 ? 0 : Math.round(weight / 2)),
      },
    },
  },
}

export const schemaOf = (name: string): GraphQLSchema => {
  const source = subgraphs[name]
  if (!source) throw new Error(`no subgraph ${name}`)
  return buildSubgraphSchema({ typeDefs: parse(link + source.sdl), resolvers: source.resolvers })
}

/** @param urls By subgraph name. */
export function supergraph(urls: Readonly<Record<string, string>>): string {
  const result = composeServices(
    Object.entries(subgraphs).map(([name, { sdl }]) => ({
      name,
      url: urls[name] ?? '',
      typeDefs: parse(link + sdl),
    })),
  )
  if (result.errors) throw new Error(result.errors.join('\n'))
  return result.supergraphSdl
}

export interface Measured {
  readonly name: string
  readonly query: string
  readonly variables: Record<string, unknown>
}

/** One fetch to each subgraph. */
export const small: Measured = {
  name: 'small',
  query: `query Small($upc: ID!) {
    product(upc: $upc) { upc name price inStock shippingEstimate reviews { id body author { name } } }
  }`,
  variables: { upc: 'p1' },
}

const parts = `
  fragment User on User { id username name }
  fragment Review on Review { id body }
  fragment Product on Product { inStock name price shippingEstimate upc weight }`

/** Each hop leads into another subgraph, and the same few products and people stand in many places. */
export const deep: Measured = {
  name: 'deep',
  query: `query Deep {
    users { ...User purchases { ...Purchase product { ...Product reviews { ...Review author { ...User purchases { ...Purchase product { ...Product } } } } } } }
  }
  fragment Purchase on Purchase { id quantity }${parts}`,
  variables: {},
}

/** The hops lead through one subgraph: it sends nearly the whole answer itself, and all of it must be parsed. */
export const nested: Measured = {
  name: 'nested',
  query: `query Nested {
    users { ...User reviews { ...Review product { ...Product reviews { ...Review author { ...User reviews { ...Review product { ...Product } } } } } } }
  }${parts}`,
  variables: {},
}

export const mutation: Measured = {
  name: 'mutation',
  query: `mutation Write($upc: ID!) { review(upc: $upc, body: "good") { id body author { username name } product { name inStock } } }`,
  variables: { upc: 'p3' },
}

/** What a thousand screens show: the moved product, with its name from another subgraph. */
export const subscription = 'subscription Moved { stockMoved { upc inStock name price } }'

/** Two hundred operations that differ in what they select, each with values of its own out of a thousand. */
export function spread(valuesEach: number): Measured[] {
  const leaves = [
    'name',
    'price',
    'weight',
    'inStock',
    'shippingEstimate',
    'reviews { id body }',
    'reviews { author { name } }',
  ]
  return Array.from({ length: 200 }, (_, i) => {
    const fields = leaves.filter((_, bit) => ((i + 1) >> bit) & 1)
    const alias = i >= 127 ? 'other: ' : ''
    const query = `query S${i}($upc: ID!) { ${alias}product(upc: $upc) { upc ${fields.join(' ')} } }`
    return Array.from({ length: valuesEach }, (_, k) => ({
      name: 'spread',
      query,
      variables: { upc: `p${(i * valuesEach + k * 41) % 1000}` },
    }))
  }).flat()
}
