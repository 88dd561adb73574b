/**
 * One small world told twice: by four subgraphs that each know a part, and by one schema that knows all. Both read
 * the same objects, so whatever the gateway answers differently is the gateway's mistake.
 */
import { buildSchema, type GraphQLSchema, printSchema } from 'graphql'
import type { SubgraphSource } from './kit.ts'

type Thing = Record<string, unknown>

const currencies: Record<string, number> = { EUR: 1, USD: 2 }
const product = (n: number): Thing => ({
  __typename: 'Product',
  upc: `u${n}`,
  sku: { code: `s${n % 3}`, region: n < 4 ? 'eu' : 'us' },
  name: n === 4 ? null : `product ${n}`,
  kind: ['SMALL', 'LARGE'][n % 2],
  weight: n * 1.5,
  price: ({ currency = 'EUR' }: { currency?: string }) => n * 10 * (currencies[currency] ?? 0),
  dimensions: n === 2 ? null : { width: n, boxes: [{ depth: n }, { depth: n + 1 }] },
  inStock: n === 3 ? null : n,
  shipping: n * 20 + n * 1.5,
  shippingLocal: n * 10 + n * 1.5,
  volume: n === 2 ? null : n * (n + n + 1),
  related: () => [products[n % 5], products[(n + 1) % 5]],
  discount: n / 100,
  seller: () => people[n % 3],
})
const products: Thing[] = [1, 2, 3, 4, 5].map(product)

const people: Thing[] = [0, 1, 2].map((n) => ({
  __typename: 'Person',
  id: `p${n}`,
  name: `person ${n}`,
  email: n === 1 ? null : `p${n}@example.org`,
  friends: () => people.filter((_, i) => i !== n),
  favourite: () => [products[0], media[1], null][n],
  wrote: () => media.filter((m) => m.author === n),
}))

const reviews: Record<string, Thing[]> = {}
const media: Thing[] = [0, 1, 2, 3].map((n) => ({
  __typename: n % 2 ? 'Film' : 'Book',
  id: `m${n}`,
  title: `medium ${n}`,
  ...(n % 2 ? { minutes: n * 60 } : { pages: n * 100 }),
  author: n % 3,
  creator: () => people[n % 3],
  rating: n === 3 ? null : n / 2,
  reviews: ({ first = 2 }: { first?: number }) => (reviews[`m${n}`] ?? []).slice(0, first),
}))
media.forEach((medium, n) => {
  reviews[`m${n}`] = [0, 1].map((i) => ({
    __typename: 'Review',
    text: `review ${n}.${i}`,
    author: () => people[(n + i) % 3],
    about: () => medium,
  }))
})

const find = (things: readonly Thing[], key: string, value: unknown) => things.find((t) => t[key] === value)
const root = {
  products: ({ first = 3 }: { first?: number }) => products.slice(0, first),
  product: ({ upc }: { upc: string }) => find(products, 'upc', upc),
  media: () => media,
  medium: ({ id }: { id: string }) => find(media, 'id', id),
  search: () => [products[1], media[0], people[2], media[1]],
  matrix: () => [[products[0], null], [], [products[2]]],
  people: () => people,
  top: () => media[2],
}

/** Fields answer from the object, calling what is a function with the arguments. */
const rootResolvers = (names: readonly (keyof typeof root)[]) =>
  Object.fromEntries(
    names.map((name) => [name, (_: unknown, args: never) => (root[name] as (a: never) => unknown)(args)]),
  )

type Reference = Thing & {
  price?: number
  weight?: number
  dimensions?: { width: number; boxes: { depth: number }[] } | null
}
const byUpc = (reference: Reference) => ({ ...find(products, 'upc', reference.upc), reference })

export const world: Record<string, SubgraphSource> = {
  catalog: {
    sdl: `
      type Query {
        products(first: Int = 3): [Product!]!
        product(upc: ID!): Product
        media: [Media!]!
        medium(id: ID!): Media
        search(text: String): [Hit]
        matrix: [[Product]!]
      }
      interface Media @key(fields: "id") { id: ID! title: String creator: Person }
      type Book implements Media @key(fields: "id") { id: ID! title: String creator: Person pages: Int }
      type Film implements Media @key(fields: "id") { id: ID! title: String creator: Person minutes: Int }
      union Hit = Product | Book | Film | Person
      type Product @key(fields: "upc") @key(fields: "sku { code region }") {
        upc: ID! sku: Sku! name: String kind: Kind weight: Float price(currency: Currency = EUR): Float dimensions: Dimensions
      }
      type Dimensions { width: Int boxes: [Box!]! }
      type Box { depth: Int }
      type Sku @shareable { code: String! region: String! }
      type Person @key(fields: "id") { id: ID! }
      enum Currency { EUR USD }
      enum Kind { SMALL LARGE }
    `,
    resolvers: {
      Query: rootResolvers(['products', 'product', 'media', 'medium', 'search', 'matrix']),
      Product: {
        __resolveReference: (r: Thing) =>
          r.upc
            ? find(products, 'upc', r.upc)
            : products.find((p) => JSON.stringify(p.sku) === JSON.stringify(r.sku)),
      },
      Media: { __resolveReference: (r: Thing) => find(media, 'id', r.id) },
      Book: { __resolveReference: (r: Thing) => find(media, 'id', r.id) },
      Film: { __resolveReference: (r: Thing) => find(media, 'id', r.id) },
    },
  },
  stock: {
    sdl: `
      type Query { top: Media }
      type Product @key(fields: "upc") {
        upc: ID!
        weight: Float @external
        price(currency: Currency = EUR): Float @external
        dimensions: Dimensions @external
        inStock: Int
        shipping: Float @requires(fields: "weight price(currency: USD)")
        shippingLocal: Float @requires(fields: "weight price(currency: EUR)")
        volume: Int @requires(fields: "dimensions { width boxes { depth } }")
        related: [Product!]
        seller: Person @provides(fields: "name")
      }
      type Dimensions @external { width: Int boxes: [Box!]! }
      type Box @external { depth: Int }
      enum Currency { EUR USD }
      type Media @interfaceObject @key(fields: "id") { id: ID! rating: Float reviews(first: Int = 2): [Review!]! }
      type Review { text: String author: Person about: Media }
      type Person @key(fields: "id") { id: ID! name: String @external }
    `,
    resolvers: {
      // This subgraph knows media only as one type.
      Query: { top: () => ({ ...media[2], __typename: 'Media' }) },
      Product: {
        __resolveReference: byUpc,
        shipping: ({ reference: { weight, price } }: { reference: Reference }) =>
          Number(price) + Number(weight),
        shippingLocal: ({ reference: { weight, price } }: { reference: Reference }) =>
          Number(price) + Number(weight),
        volume: ({ reference: { dimensions } }: { reference: Reference }) =>
          dimensions && dimensions.width * dimensions.boxes.reduce((sum, { depth }) => sum + depth, 0),
      },
      Media: { __resolveReference: (r: Thing) => ({ ...find(media, 'id', r.id), __typename: 'Media' }) },
      Review: { about: (r: { about: () => Thing }) => ({ ...r.about(), __typename: 'Media' }) },
      Person: { __resolveReference: (r: Thing) => find(people, 'id', r.id) },
    },
  },
  people: {
    sdl: `
      type Query { people: [Person!] }
      type Person @key(fields: "id") {
        id: ID! name: String @shareable email: String friends: [Person!] favourite: Favourite wrote: [Media!]
      }
      union Favourite = Product | Book | Film
      type Product @key(fields: "upc") { upc: ID! }
      interface Media @key(fields: "id") { id: ID! }
      type Book implements Media @key(fields: "id") { id: ID! }
      type Film implements Media @key(fields: "id") { id: ID! }
    `,
    resolvers: {
      Query: rootResolvers(['people']),
      Person: { __resolveReference: (r: Thing) => find(people, 'id', r.id) },
      Media: { __resolveReference: (r: Thing) => find(media, 'id', r.id) },
    },
  },
  pricing: {
    sdl: `
      type Product @key(fields: "sku { code region }") { sku: Sku! discount: Float }
      type Sku @shareable { code: String! region: String! }
    `,
    resolvers: {
      Product: {
        __resolveReference: (r: Thing) =>
          products.find((p) => JSON.stringify(p.sku) === JSON.stringify(r.sku)),
      },
    },
  },
}

/** The same world as one schema. */
export function monolith(apiSchema: GraphQLSchema): { schema: GraphQLSchema; rootValue: unknown } {
  return { schema: buildSchema(printSchema(apiSchema)), rootValue: root }
}
