import { GraphQLError } from 'graphql'
import { describe, expect, it } from 'vitest'
import { fleet, plain, type SubgraphSource } from './kit.ts'

type Thing = Record<string, unknown>
const answer = async (
  sources: Record<string, SubgraphSource>,
  query: string,
  variables?: Record<string, unknown>,
) => plain(await fleet(sources).ask(query, variables))

describe('@requires with arguments', () => {
  const prices: Record<string, number> = { USD: 1, EUR: 2 }
  const sources: Record<string, SubgraphSource> = {
    shipping: {
      sdl: `
        type Product @key(fields: "upc") {
          upc: ID!
          weight: Int @external
          price(currency: String!): Int @external
          category: Category @external
          tags(of: [String!]): [String!] @external
          dollars: Int @requires(fields: "price(currency: \\"USD\\") weight")
          euros: Int @requires(fields: "price(currency: \\"EUR\\") weight")
          category2: Int @requires(fields: "category { average(currency: \\"USD\\") }")
          plain: Int @requires(fields: "weight")
          tagged: String @requires(fields: "tags(of: [\\"a\\", \\"b\\"])")
          takes(n: Int): Int
        }
        type Category @external { average(currency: String!): Int }
      `,
      resolvers: {
        Product: {
          dollars: (p: Thing) => Number(p.price) * 100 + Number(p.weight),
          euros: (p: Thing) => Number(p.price) * 100 + Number(p.weight),
          category2: (p: { category: { average: number } }) => p.category.average,
          plain: (p: Thing) => p.weight,
          tagged: (p: { tags: string[] }) => p.tags.join('+'),
          takes: (_: unknown, { n }: { n: number }) => n,
        },
      },
    },
    catalog: {
      sdl: `
        type Query { products: [Product] }
        type Product @key(fields: "upc") {
          upc: ID! name: String weight: Int price(currency: String!): Int category: Category tags(of: [String!]): [String!]
        }
        type Category { average(currency: String!): Int }
      `,
      resolvers: {
        Query: { products: () => [{ upc: 'p1', name: 'one', weight: 7, category: {} }] },
        Product: {
          price: (_: unknown, { currency }: { currency: string }) => prices[currency],
          tags: (_: unknown, { of }: { of: string[] }) => of ?? ['all'],
        },
        Category: {
          average: (_: unknown, { currency }: { currency: string }) => 10 * (prices[currency] ?? 0),
        },
      },
    },
  }

  it('gives each field what it requires, whatever the client asks of the same fields', async () => {
    expect(
      await answer(
        sources,
        `query ($c: String!, $n: Int, $t: [String!]) { products {
          price(currency: $c) tags(of: $t) weight: name upc: weight category { average(currency: "EUR") }
          dollars euros category2 plain tagged takes(n: $n)
        } }`,
        { c: 'EUR', n: 5, t: ['x'] },
      ),
    ).toEqual({
      data: {
        products: [
          {
            price: 2,
            tags: ['x'],
            weight: 'one',
            upc: 7,
            category: { average: 20 },
            dollars: 107,
            euros: 207,
            category2: 10,
            plain: 7,
            tagged: 'a+b',
            takes: 5,
          },
        ],
      },
    })
  })

  it('costs one more call only where one representation cannot hold both', async () => {
    const { ask, asked } = fleet(sources)
    await ask('{ products { dollars plain tagged } }')
    expect(asked.map((a) => a.subgraph)).toEqual(['catalog', 'shipping'])
    asked.length = 0
    await ask('{ products { dollars euros plain } }')
    expect(asked.map((a) => a.subgraph)).toEqual(['catalog', 'shipping', 'shipping'])
  })
})

describe('a field that requires what requires something itself', () => {
  const strict = (field: string) => (reference: Thing) => {
    if (reference[field] === undefined) throw new Error(`asked without ${field}`)
    return `${reference[field]}+`
  }
  const sources: Record<string, SubgraphSource> = {
    scales: {
      sdl: `
        type Query { anyOfScales: Parcel }
        type Parcel @key(fields: "id") { id: ID! weight: String label: String @external route: String @requires(fields: "label") }
      `,
      resolvers: {
        Query: { anyOfScales: () => ({ id: 'p1', weight: 'heavy' }) },
        Parcel: {
          __resolveReference: (r: Thing) => ({ weight: 'heavy', ...r }),
          route: strict('label'),
        },
      },
    },
    tariff: {
      sdl: `
        type Query { parcel: Parcel }
        type Parcel @key(fields: "id") { id: ID! weight: String @external price: String @requires(fields: "weight") }
      `,
      resolvers: { Query: { parcel: () => ({ id: 'p1' }) }, Parcel: { price: strict('weight') } },
    },
    office: {
      sdl: `
        type Query { anyOfOffice: [Parcel] }
        type Parcel @key(fields: "id") { id: ID! price: String @external label: String @requires(fields: "price") }
      `,
      resolvers: { Query: { anyOfOffice: () => [{ id: 'p1' }, null] }, Parcel: { label: strict('price') } },
    },
  }

  it('gets it, wherever the object was met', async () => {
    const full = { label: 'heavy++', price: 'heavy+', route: 'heavy+++' }
    expect(await answer(sources, '{ parcel { label } anyOfOffice { route } anyOfScales { route } }')).toEqual(
      {
        data: {
          parcel: { label: full.label },
          anyOfOffice: [{ route: full.route }, null],
          anyOfScales: { route: full.route },
        },
      },
    )
    expect(await answer(sources, '{ parcel { label price route } anyOfScales { label price } }')).toEqual({
      data: { parcel: full, anyOfScales: { label: full.label, price: full.price } },
    })
  })
})

describe('nulls', () => {
  const books: Thing[] = ['1', '2', '3'].map((id) => ({
    id,
    upc: `b${id}`,
    author: { id: `a${id}`, name: `name ${id}` },
  }))
  const sources: Record<string, SubgraphSource> = {
    a: {
      sdl: 'type Query { shelf: [Slot] strict: [Slot!]! } type Slot { book: Book sure: Book! } type Book @key(fields: "upc") { upc: ID! }',
      resolvers: {
        Query: {
          shelf: () => books.map(({ upc }) => ({ book: { upc }, sure: { upc } })),
          strict: () => books.map(({ upc }) => ({ book: { upc }, sure: { upc } })),
        },
      },
    },
    b: {
      sdl: 'type Book @key(fields: "id") @key(fields: "upc") { id: ID! upc: ID! pages: Int! }',
      resolvers: {
        Book: {
          __resolveReference: ({ upc }: Thing) =>
            upc === 'b3' ? null : { ...books.find((b) => b.upc === upc), pages: 1 },
        },
      },
    },
    c: {
      sdl: 'type Book @key(fields: "id") { id: ID! author: Author } type Author { id: ID! name: String }',
      resolvers: {
        Book: {
          __resolveReference: ({ id }: Thing) => {
            if (id == null) throw new Error('a reference without its key')
            return books.find((b) => b.id === id)
          },
        },
      },
    },
  }

  it('an entity that the next subgraph does not know leaves nullable fields null, without an error', async () => {
    expect(await answer(sources, '{ shelf { book { upc author { name } } } }')).toEqual({
      data: {
        shelf: [
          { book: { upc: 'b1', author: { name: 'name 1' } } },
          { book: { upc: 'b2', author: { name: 'name 2' } } },
          { book: { upc: 'b3', author: null } },
        ],
      },
    })
  })

  it('a null where the public schema has none is an error at its path and propagates', async () => {
    expect(await answer(sources, '{ shelf { book { id } } strict { sure { pages } } }')).toEqual({
      data: null,
      errors: [
        ['shelf', 2, 'book', 'id', 'Book.id'],
        ['strict', 2, 'sure', 'pages', 'Book.pages'],
      ].map((path) => ({
        message: `Cannot return null for non-nullable field ${path.pop()}.`,
        path,
        extensions: { code: 'INVALID_SUBGRAPH_RESULT' },
      })),
    })
  })
})

describe('@interfaceObject', () => {
  const sources: Record<string, SubgraphSource> = {
    a: {
      sdl: `
        type Query { a: Node product: Product }
        interface Node @key(fields: "id") { id: ID! }
        type Thing implements Node @key(fields: "id") { id: ID! size: Int }
        interface Product @key(fields: "id") { id: ID! }
        type Bread implements Product @key(fields: "id") { id: ID! }
      `,
      resolvers: {
        Query: {
          a: () => ({ __typename: 'Thing', id: 'n1' }),
          product: () => ({ __typename: 'Bread', id: 'p1' }),
        },
        Node: {
          __resolveReference: ({ id }: Thing) =>
            id === 'gone' ? null : { __typename: 'Thing', id, size: 3 },
        },
        Thing: { __resolveReference: ({ id }: Thing) => ({ id, size: 3 }) },
      },
    },
    b: {
      sdl: `
        type Query { b: Node lost: Node }
        type Node @interfaceObject @key(fields: "id") { id: ID! field: String }
        type Product @interfaceObject @key(fields: "id") { id: ID! name: String! }
      `,
      resolvers: {
        Query: { b: () => ({ id: 'n1', field: 'field of n1' }), lost: () => ({ id: 'gone', field: 'bar' }) },
        Node: { __resolveReference: ({ id }: Thing) => ({ id, field: `field of ${id}` }) },
        Product: { __resolveReference: () => null },
      },
    },
  }

  it('needs no type where the answer does not depend on it', async () => {
    const { ask, asked } = fleet(sources)
    expect(plain(await ask('{ b { id field } lost { field ... on Node { id } } }'))).toEqual({
      data: { b: { id: 'n1', field: 'field of n1' }, lost: { field: 'bar', id: 'gone' } },
    })
    expect(asked.map((a) => a.subgraph)).toEqual(['b'])
  })

  it('asks each type only for what it was asked for', async () => {
    const works: Record<string, SubgraphSource> = {
      fleet: {
        sdl: `
          type Query { vehicles: [Vehicle!] }
          interface Vehicle @key(fields: "id") { id: ID! }
          type Car implements Vehicle @key(fields: "id") { id: ID! }
          type Tram implements Vehicle @key(fields: "id") { id: ID! line: Int }
        `,
        resolvers: {
          Query: { vehicles: () => ['Car', 'Tram'].map((type) => ({ __typename: type, id: type })) },
          Tram: { line: () => 4 },
        },
      },
      logs: {
        sdl: `type Vehicle @interfaceObject @key(fields: "id") {
          id: ID! plate: String! stops(first: Int): [String] seen: String
        }`,
        resolvers: {
          Vehicle: {
            __resolveReference: (it: Thing) => it,
            plate: ({ id }: Thing) => {
              if (id === 'Tram') throw new GraphQLError('A tram has no plate')
              return 'X 1'
            },
            stops: (_: Thing, { first }: { first: number }) => ['here', 'there'].slice(0, first),
            seen: ({ id }: Thing) => `seen ${id}`,
          },
        },
      },
    }
    const { ask, asked } = fleet(works)
    const query = `query ($n: Int) {
      vehicles { seen ... on Car { plate } ... on Tram { line stops(first: $n) } }
    }`
    expect(plain(await ask(query, { n: 1 }))).toEqual({
      data: {
        vehicles: [
          { seen: 'seen Car', plate: 'X 1' },
          { seen: 'seen Tram', line: 4, stops: ['here'] },
        ],
      },
    })
    expect(asked.filter(({ subgraph }) => subgraph === 'logs').map((a) => a.variables)).toEqual([
      { representations: [{ __typename: 'Vehicle', id: 'Car' }] },
      { representations: [{ __typename: 'Vehicle', id: 'Tram' }], n: 1 },
    ])

    asked.length = 0
    expect((await ask('{ vehicles { seen ... on Car { again: seen } } }')).errors).toBeUndefined()
    expect((await ask('{ vehicles { seen stops } }')).errors).toBeUndefined()
    // The second has nothing to tell apart.
    expect(asked.filter(({ subgraph }) => subgraph === 'logs')).toHaveLength(3)
  })

  it('finds the type elsewhere where it does', async () => {
    expect(
      await answer(sources, '{ a { field __typename } b { t: __typename ... on Thing { size field } } }'),
    ).toEqual({
      data: {
        a: { field: 'field of n1', __typename: 'Thing' },
        b: { t: 'Thing', size: 3, field: 'field of n1' },
      },
    })
  })

  it('finds the type also for a fragment on another interface', async () => {
    const rides: Record<string, SubgraphSource> = {
      garage: {
        sdl: `
          interface Ride @key(fields: "id") { id: ID! }
          interface Electric { range: Int }
          interface Heavy { tons: Int }
          type Tram implements Ride & Electric & Heavy @key(fields: "id") { id: ID! range: Int tons: Int }
          type Bike implements Ride & Electric @key(fields: "id") { id: ID! range: Int }
          type Horse implements Ride @key(fields: "id") { id: ID! hay: Int }
        `,
        resolvers: {
          Ride: { __resolveReference: ({ id }: { id: string }) => ({ __typename: id.slice(0, -1), id }) },
          Tram: { range: () => 900, tons: () => 40 },
          Bike: { range: () => 60 },
          Horse: { hay: () => 9 },
        },
      },
      trips: {
        sdl: `
          type Query { rides: [Ride!]! }
          type Ride @interfaceObject @key(fields: "id") { id: ID! rider: String }
        `,
        resolvers: {
          Query: { rides: () => ['Tram1', 'Bike2', 'Horse3'].map((id) => ({ id })) },
          Ride: { rider: ({ id }: Thing) => `of ${id}` },
        },
      },
    }
    expect(
      await answer(
        rides,
        `{ rides {
          ... on Electric { range ...Heavily ... on Ride { rider } }
          ... on Heavy { __typename ... on Electric { ... on Bike { nothing: range } } }
          ... on Horse { hay }
        } }
        fragment Heavily on Heavy { tons ... on Tram { id } }`,
      ),
    ).toEqual({
      data: {
        rides: [
          { range: 900, tons: 40, id: 'Tram1', rider: 'of Tram1', __typename: 'Tram' },
          { range: 60, rider: 'of Bike2' },
          { hay: 9 },
        ],
      },
    })
    expect(await answer(rides, '{ rides { ... on Heavy { ... on Electric { range } } } }')).toEqual({
      data: { rides: [{ range: 900 }, {}, {}] },
    })
  })

  it('that nobody can resolve is an error, not just null', async () => {
    expect(await answer(sources, '{ lost { __typename id } product { id name } }')).toEqual({
      data: { lost: null, product: null },
      errors: [
        {
          message: 'Cannot tell the type of field Query.lost.',
          path: ['lost'],
          extensions: { code: 'INVALID_SUBGRAPH_RESULT' },
        },
        {
          message: 'Cannot return null for non-nullable field Bread.name.',
          path: ['product', 'name'],
          extensions: { code: 'INVALID_SUBGRAPH_RESULT' },
        },
      ],
    })
  })
})

describe('unions, enums and interfaces that subgraphs know in part', () => {
  const sources: Record<string, SubgraphSource> = {
    a: {
      sdl: `
        type Query { fromA: [Action] kind: Kind kinds: [Kind!] hidden: Secret deep: Deep @shareable }
        type Deep @key(fields: "id") { id: ID! }
        union Action = Common | OnlyA
        type Common @shareable { label: String }
        type OnlyA { label: String! a: Int }
        enum Kind { REGULAR SECRET @inaccessible }
        interface Secret { id: ID! }
        type Open implements Secret { id: ID! }
        type Closed implements Secret @inaccessible { id: ID! }
      `,
      resolvers: {
        Query: {
          fromA: () => [
            { __typename: 'Common', label: 'c' },
            { __typename: 'OnlyA', a: 1, label: 'l' },
          ],
          kind: () => 'SECRET',
          kinds: () => ['SECRET', 'REGULAR'],
          hidden: () => ({ __typename: 'Closed', id: 1 }),
          deep: () => ({ id: 1 }),
        },
      },
    },
    b: {
      sdl: `
        type Query { fromB: [Action!] deep: Deep @shareable }
        type Deep @key(fields: "id") { id: ID! actions: [Action] }
        union Action = Common | OnlyB
        type Common @shareable { label: String }
        type OnlyB { b: Int }
      `,
      resolvers: {
        Query: {
          fromB: () => [
            { __typename: 'Common', label: 'c' },
            { __typename: 'OnlyB', b: 2 },
          ],
          deep: () => ({ id: 1 }),
        },
        Deep: { actions: () => [{ __typename: 'OnlyB', b: 2 }], __resolveReference: (r: Thing) => r },
      },
    },
  }
  const actions = '{ __typename ... on Common { label } ... on OnlyA { a x: label } ... on OnlyB { b } }'

  it('answer with the members each of them knows', async () => {
    expect(
      await answer(sources, `{ fromA ${actions} fromB ${actions} deep { id actions ${actions} } }`),
    ).toEqual({
      data: {
        fromA: [
          { __typename: 'Common', label: 'c' },
          { __typename: 'OnlyA', a: 1, x: 'l' },
        ],
        fromB: [
          { __typename: 'Common', label: 'c' },
          { __typename: 'OnlyB', b: 2 },
        ],
        deep: { id: '1', actions: [{ __typename: 'OnlyB', b: 2 }] },
      },
    })
  })

  it('never show what is inaccessible, and do not tell of it where null may be', async () => {
    const query = '{ kind hidden { id __typename } }'
    const expected = { data: { kind: null, hidden: null } }
    expect(await answer(sources, query)).toEqual(expected)
    expect(plain(await fleet(sources).ask(query, {}, { asText: true }))).toEqual(expected)
    expect(await answer(sources, '{ kinds }')).toEqual({
      data: { kinds: null },
      errors: [
        {
          message: 'Cannot return null for non-nullable field Query.kinds.',
          path: ['kinds', 0],
          extensions: { code: 'INVALID_SUBGRAPH_RESULT' },
        },
      ],
    })
  })

  it('tell of a value that no subgraph declares', async () => {
    const { ask } = fleet(sources, {}, (_, transport) => ({
      ...transport,
      execute: async () => ({ data: { kind: 'NEW' } }),
    }))
    expect(plain(await ask('{ kind }'))).toEqual({
      data: { kind: null },
      errors: [
        {
          message: 'Invalid value for field Query.kind.',
          path: ['kind'],
          extensions: { code: 'INVALID_SUBGRAPH_RESULT' },
        },
      ],
    })
  })
})

describe('an error of what the client did not ask for', () => {
  it('is told where the answer ends', async () => {
    const sources: Record<string, SubgraphSource> = {
      goods: {
        sdl: `
          type Query { items: [Item] }
          interface Item @key(fields: "sku") { sku: ID! }
          type Heavy implements Item @key(fields: "sku") { sku: ID! weight: Int }
          type Light implements Item @key(fields: "sku") { sku: ID! }
        `,
        resolvers: {
          Query: {
            items: () => [
              { __typename: 'Light', sku: 1 },
              { __typename: 'Heavy', sku: 2 },
            ],
          },
          Heavy: {
            __resolveReference: ({ sku }: Thing) => ({ sku }),
            weight: () => {
              throw new GraphQLError('no scales')
            },
          },
        },
      },
      transport: {
        sdl: `
          type Heavy @key(fields: "sku") {
            sku: ID! weight: Int @external crane: String @requires(fields: "weight")
          }
        `,
        resolvers: {
          Heavy: { __resolveReference: (it: Thing) => it, crane: ({ weight }: Thing) => `for ${weight}` },
        },
      },
    }
    const query = '{ items { ... on Heavy { lift: crane } } }'
    const error = {
      message: 'Internal error in subgraph "goods".',
      path: ['items', 1],
      extensions: { code: 'SUBGRAPH_ERROR', subgraph: 'goods' },
    }
    expect(await answer(sources, query)).toEqual({
      data: { items: [{}, { lift: 'for null' }] },
      errors: [error],
    })
    expect((await answer(sources, '{ items { ... on Heavy { crane weight } } }')).errors).toEqual([
      { ...error, path: ['items', 1, 'weight'] },
    ])
  })
})

describe('a null that went up', () => {
  const fails = () => {
    throw new GraphQLError('no')
  }
  const sources: Record<string, SubgraphSource> = {
    a: {
      sdl: `
        type Query { shelf: [Book!] }
        type Mutation { first: Int! second: Int! }
        type Book @key(fields: "id") { id: ID! }
      `,
      resolvers: {
        Query: { shelf: () => [{ id: 1 }, { id: 2 }] },
        Mutation: { first: () => 1, second: fails },
      },
    },
    b: {
      sdl: 'type Book @key(fields: "id") { id: ID! pages: Int! price: Int! note: String }',
      resolvers: {
        Book: {
          __resolveReference: ({ id }: Thing) => ({ id, pages: 10, note: 'good' }),
          price: ({ id }: Thing) => (id === '2' ? fails() : 5),
        },
      },
    },
  }
  const error = (subgraph: string, path: unknown[]) => ({
    message: `Internal error in subgraph "${subgraph}".`,
    path,
    extensions: { code: 'SUBGRAPH_ERROR', subgraph },
  })

  it('has one error, where it began, whatever it took with it', async () => {
    expect(await answer(sources, 'mutation { first second }')).toEqual({
      data: null,
      errors: [error('a', ['second'])],
    })
    expect(await answer(sources, '{ shelf { pages price note } }')).toEqual({
      data: { shelf: null },
      errors: [error('b', ['shelf', 1, 'price'])],
    })
  })
})

describe('a field whose type is narrower in one subgraph', () => {
  const books = ['b1', 'b2'].map((id) => ({ __typename: 'Book', id, pages: 7 }))
  const sources: Record<string, SubgraphSource> = {
    library: {
      sdl: `
        type Query { featured: [Medium!]! @shareable any: Medium }
        interface Medium { id: ID! }
        type Book implements Medium @key(fields: "id") { id: ID! }
        type Film implements Medium { id: ID! }
      `,
      resolvers: { Query: { featured: () => books, any: () => ({ __typename: 'Film', id: 'f1' }) } },
    },
    print: {
      sdl: `
        type Query { featured: [Book!]! @shareable }
        type Book @key(fields: "id") { id: ID! pages: Int }
      `,
      resolvers: { Query: { featured: () => books } },
    },
  }

  it('is of that type, whatever is asked of it', async () => {
    const { ask, asked } = fleet(sources)
    for (const asText of [false, true]) {
      const result = await ask('{ featured { ... on Book { pages } ... on Film { id } } }', {}, { asText })
      expect(plain(result)).toEqual({ data: { featured: [{ pages: 7 }, { pages: 7 }] } })
    }
    expect(asked.map(({ subgraph }) => subgraph)).toEqual(['print', 'print'])
    expect(
      plain(await ask('{ featured { id pages: __typename } any { id ... on Film { __typename } } }')),
    ).toEqual({
      data: {
        featured: books.map(({ id }) => ({ id, pages: 'Book' })),
        any: { id: 'f1', __typename: 'Film' },
      },
    })
  })
})

describe('mutations', () => {
  it('run one after the other, across subgraphs, and lead back into queries', async () => {
    const order: string[] = []
    const add =
      (name: string) =>
      (_: unknown, { n }: { n: number }) => {
        order.push(`${name}${n}`)
        return n
      }
    const sources: Record<string, SubgraphSource> = {
      a: {
        sdl: 'type Query { counted: [String!] } type Mutation { a(n: Int): Int go: Payload } type Payload { ok: Boolean query: Query }',
        resolvers: {
          Query: { counted: () => order },
          Mutation: { a: add('a'), go: () => ({ ok: true, query: {} }) },
        },
      },
      b: {
        sdl: 'type Query { other: String fails: String! } type Mutation { b(n: Int): Int }',
        resolvers: {
          Query: {
            other: () => 'there',
            fails: () => {
              throw new GraphQLError('no')
            },
          },
          Mutation: { b: add('b') },
        },
      },
    }
    expect(
      await answer(sources, 'mutation { x: a(n: 1) b(n: 2) y: a(n: 3) go { ok query { counted other } } }'),
    ).toEqual({
      data: { x: 1, b: 2, y: 3, go: { ok: true, query: { counted: ['a1', 'b2', 'a3'], other: 'there' } } },
    })
    expect(await answer(sources, 'mutation { go { ok query { counted fails } } }')).toEqual({
      data: { go: { ok: true, query: null } },
      errors: [
        {
          message: 'Internal error in subgraph "b".',
          path: ['go', 'query', 'fails'],
          extensions: { code: 'SUBGRAPH_ERROR', subgraph: 'b' },
        },
      ],
    })
  })
})

describe('a mutation whose answer is lost', () => {
  it('is the last that is sent', async () => {
    const done: string[] = []
    const act = (name: string, value: unknown) => () => {
      done.push(name)
      return value
    }
    const sources: Record<string, SubgraphSource> = {
      a: {
        sdl: 'type Query { a: Int } type Mutation { sure: Int! maybe: Int also: Int }',
        resolvers: {
          Mutation: {
            sure: act('sure', null),
            maybe: act('maybe', new GraphQLError('no')),
            also: act('also', 1),
          },
        },
      },
      b: { sdl: 'type Mutation { b: Int }', resolvers: { Mutation: { b: act('b', 2) } } },
    }
    const lost = await answer(sources, 'mutation { also sure b last: also }')
    expect([lost.data, lost.errors?.map(({ path }) => path)]).toEqual([null, [['sure']]])
    expect(done).toEqual(['also', 'sure'])
    done.length = 0
    expect((await answer(sources, 'mutation { maybe b last: also }')).data).toEqual({
      maybe: null,
      b: 2,
      last: 1,
    })
    expect(done).toEqual(['maybe', 'b', 'also'])
  })
})

describe('keys', () => {
  it('that a subgraph does not resolve are not what it is asked with again', async () => {
    const { ask, asked } = fleet({
      stock: {
        sdl: `
          type Query { shelves: [Item!]! }
          type Item
            @key(fields: "place { row }", resolvable: false)
            @key(fields: "sku place { row box }")
            @key(fields: "sku", resolvable: false) {
            sku: ID! place: Place! weight: Int! @external label: String! @requires(fields: "weight")
          }
          type Place { row: Int! box: Int! }
        `,
        resolvers: {
          Query: { shelves: () => [{ sku: 's1', place: { row: 1, box: 2 } }] },
          Item: {
            __resolveReference: ({ sku, place, weight }: Thing) =>
              sku === 's1' && (place as Thing).box === 2 ? { sku, weight } : null,
            label: ({ sku, weight }: Thing) => `${sku} of ${weight} g`,
          },
        },
      },
      goods: {
        sdl: `
          type Item @key(fields: "sku") { sku: ID! weight: Int! }
        `,
        resolvers: { Item: { __resolveReference: ({ sku }: Thing) => ({ sku, weight: 7 }) } },
      },
    })
    expect(plain(await ask('{ shelves { label } }'))).toEqual({ data: { shelves: [{ label: 's1 of 7 g' }] } })
    expect(asked.map(({ subgraph }) => subgraph)).toEqual(['stock', 'goods', 'stock'])
  })
})

describe('@override with a label', () => {
  const moving = (label: string): Record<string, SubgraphSource> => ({
    old: {
      sdl: 'type Query { part: Part } type Part @key(fields: "id") { id: ID! maker: String }',
      resolvers: { Query: { part: () => ({ id: 1, maker: 'old' }) } },
    },
    new: {
      sdl: `type Part @key(fields: "id") { id: ID! maker: String @override(from: "old", label: "${label}") }`,
      resolvers: { Part: { maker: () => 'new' } },
    },
  })
  const makers = async (label: string) => {
    const { ask } = fleet(moving(label))
    const seen = new Set<unknown>()
    for (let i = 0; i < 100; i++) seen.add((await ask('{ part { maker } }')).data?.part)
    return [...seen].map((part) => (part as Thing).maker)
  }

  it.each([
    ['percent(0)', ['old']],
    ['percent(100)', ['new']],
    ['of-our-own', ['old']],
  ])('%s is from %s', async (label, expected) => {
    expect([...new Set(await makers(label))]).toEqual(expected)
  })

  it('percent(50) is from the one or from the other', async () => {
    expect([...new Set(await makers('percent(50)'))].sort()).toEqual(['new', 'old'])
  })
})

describe('operations the planner cannot take', () => {
  it('are refused where it would leave out a field without a word', async () => {
    const sources: Record<string, SubgraphSource> = {
      a: {
        sdl: `
          type Query { part: Part ready: Boolean boxes: [Box!] }
          type Box { label: String part: Part sure: Part! }
          interface Part @key(fields: "id") { id: ID! }
        `,
        resolvers: {
          Query: { part: () => null, ready: () => true, boxes: () => [{ label: 'x' }, { label: 'y' }] },
        },
      },
      b: {
        sdl: `
          type Query { named: Part }
          type Part @interfaceObject @key(fields: "id", resolvable: false) { id: ID! name: String }
        `,
        resolvers: { Query: { named: () => ({ id: 1, name: 'one' }) } },
      },
    }
    const { ask, asked } = fleet(sources)
    for (const query of ['{ part { name } }', '{ ready part { ... on Part { name } } }']) {
      expect(plain(await ask(query)), query).toEqual({
        errors: [
          {
            message: 'No subgraph can answer field Query.part as it is asked for.',
            extensions: { code: 'OPERATION_NOT_PLANNABLE' },
          },
        ],
      })
    }
    expect(asked).toEqual([])
    expect(plain(await ask('{ part { id } named { name } ready }'))).toEqual({
      data: { part: null, named: { name: 'one' }, ready: true },
    })

    // Further down, what can be had is.
    const left = (field: string, index: number) => ({
      message: `No subgraph can answer field Box.${field} as it is asked for.`,
      path: ['boxes', index, field],
      extensions: { code: 'OPERATION_NOT_PLANNABLE' },
    })
    expect(plain(await ask('{ ready boxes { label part { name } } }', {}, { asText: true }))).toEqual({
      data: {
        ready: true,
        boxes: [
          { label: 'x', part: null },
          { label: 'y', part: null },
        ],
      },
      errors: [left('part', 0), left('part', 1)],
    })
    expect(plain(await ask('{ boxes { label sure { name } } ready }'))).toEqual({
      data: { boxes: null, ready: true },
      errors: [left('sure', 0), left('sure', 1)],
    })
  })

  it('are refused by their size, expanded', async () => {
    const { ask } = fleet({ a: { sdl: 'type Query { q: Q } type Q { q: Q n: Int }', resolvers: {} } })
    const bomb = Array.from(
      { length: 20 },
      (_, i) => `fragment F${i} on Q { a: q { ...F${i + 1} } b: q { ...F${i + 1} } }`,
    )
    const result = await ask(`{ q { ...F0 } } ${bomb.join(' ')} fragment F20 on Q { n }`)
    expect(result.errors?.[0]?.extensions.code).toBe('OPERATION_TOO_COMPLEX')
  })

  it('are refused where every level can be answered in several ways, and not planned again', async () => {
    const levels = 8
    const sdl = (own: string) => {
      const types = Array.from({ length: levels }, (_, i) => {
        const next = i + 1 < levels ? `n: L${i + 1} @shareable` : ''
        return `type L${i} @key(fields: "id") { id: ID! ${next} ${own}: Int shared: Int @shareable }`
      })
      return `type Query { n: L0 @shareable } ${types.join(' ')}`
    }
    const sources = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { sdl: sdl(name) }]))
    const deep = (level: number): string =>
      level === levels - 1 ? '{ a b c }' : `{ shared n ${deep(level + 1)} }`
    const query = `{ n ${deep(0)} }`
    expect((await fleet(sources).ask(query)).errors).toBeUndefined()
    const { ask } = fleet(sources, { planPathsLimit: 2 })
    const refused = await ask(query)
    expect(refused.errors?.[0]?.extensions.code).toBe('OPERATION_TOO_COMPLEX')
    // The same refusal, not another like it.
    expect((await ask(query)).errors?.[0]).toBe(refused.errors?.[0])
  })
})
