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
const userOf = (id: string): User | undefined => users.find((user) => user.id === id)
const reviewsOf = (upc: string): Review[] => reviews.filter((review) => review.upc === upc)
const inStock = ({ upc }: Pick<Product, 'upc'>): boolean => Number(upc.slice(1)) % 2 === 0
const shippingEstimate = ({ price, weight }: Product): number => (price > 300 ? 0 : Math.round(weight / 2))

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
        author: ({ authorId }: Review) => userOf(authorId),
        product: ({ upc }: Review) => ({ upc }),
      },
      User: { reviews: ({ id }: User) => reviews.filter((review) => review.authorId === id) },
      Product: { reviews: ({ upc }: Product) => reviewsOf(upc) },
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
        inStock,
        shippingEstimate,
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

/** What an operation of `spread` can select, and what the shop's data say to it. */
const leaves: readonly { readonly fields: string; of(product: Product): Record<string, unknown> }[] = [
  { fields: 'name', of: ({ name }) => ({ name }) },
  { fields: 'price', of: ({ price }) => ({ price }) },
  { fields: 'weight', of: ({ weight }) => ({ weight }) },
  { fields: 'inStock', of: (product) => ({ inStock: inStock(product) }) },
  { fields: 'shippingEstimate', of: (product) => ({ shippingEstimate: shippingEstimate(product) }) },
  {
    fields: 'reviews { id body }',
    of: ({ upc }) => ({ reviews: reviewsOf(upc).map(({ id, body }) => ({ id, body })) }),
  },
  {
    fields: 'reviews { author { name } }',
    of: ({ upc }) => ({
      reviews: reviewsOf(upc).map(({ authorId }) => ({ author: { name: userOf(authorId)?.name } })),
    }),
  },
]

/** Two hundred operations that differ in what they select, each with a thousand values: every product. */
export const spread = {
  operations: 200,
  count: 200 * products.length,
  /** All operations in turn, and each comes to all of its values. */
  at(index: number): Measured {
    const { operation, product } = choice(index)
    const fields = chosen(operation).map((leaf) => leaf.fields)
    const query = `query S${operation}($upc: ID!) { ${aliasOf(operation)}product(upc: $upc) { upc ${fields.join(' ')} } }`
    return { name: 'spread', query, variables: { upc: product.upc } }
  },
  /** Made of the data, by nobody who executes GraphQL. */
  answerTo(index: number): string {
    const { operation, product } = choice(index)
    const answer: Record<string, unknown> = { upc: product.upc }
    for (const leaf of chosen(operation)) {
      for (const [key, value] of Object.entries(leaf.of(product))) {
        const present = answer[key]
        // Two selections of one list are one list.
        answer[key] =
          Array.isArray(present) && Array.isArray(value)
            ? present.map((item, i) => ({ ...item, ...value[i] }))
            : value
      }
    }
    return JSON.stringify({ data: { [aliasOf(operation) ? 'other' : 'product']: answer } })
  },
}

const chosen = (operation: number) => leaves.filter((_, bit) => ((operation + 1) >> bit) & 1)
const aliasOf = (operation: number): string => (operation >= 127 ? 'other: ' : '')

function choice(index: number): { readonly operation: number; readonly product: Product } {
  const operation = index % spread.operations
  // 41 and 1,000 have no factor in common: after a thousand rounds each operation has had them all.
  const value = (Math.floor(index / spread.operations) * 41 + operation * 5) % products.length
  return { operation, product: products[value] as Product }
}
