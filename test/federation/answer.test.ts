import { GraphQLError } from 'graphql'
import { describe, expect, it } from 'vitest'
import { answerBytes, DataText, stringifyAnswer } from '../../src/federation/answer.ts'
import { fleet, type SubgraphSource } from './kit.ts'

const odd = 'quote " back \\ line \n null \u0000 pair 😀 lone \ud800 sep \u2028'
const sources: Record<string, SubgraphSource> = {
  a: {
    sdl: `
      scalar Anything
      type Query {
        text: String number: Float whole: Int id: ID yes: Boolean any(n: Int): Anything
        texts(count: Int!, length: Int!): [String!]! sales: [Sale!]!
        list: [[Int]!] none: [Int] nothing: String must: Must kinds: [Kind!] fails: Int
      }
      type Must { value: Int! }
      type Sale { item: Item! }
      type Item @key(fields: "id") { id: ID! }
      enum Kind { OPEN SECRET @inaccessible }
    `,
    resolvers: {
      Query: {
        text: () => odd,
        number: () => 1e21,
        whole: () => -7,
        id: () => 12,
        yes: () => false,
        any: (_: unknown, { n }: { n: number }) => [{ a: [1, { b: odd }] }, new Date(0), 'x"', 7, null][n],
        texts: (_: unknown, { count, length }: { count: number; length: number }) =>
          Array.from({ length: count }, (_, i) => `${i}é`.padEnd(length, 'ab"c')),
        sales: () => Array.from({ length: 3000 }, (_, i) => ({ item: { id: `i${i % 7}` } })),
        list: () => [[1, null], []],
        none: () => [],
        must: () => ({ value: 1 }),
        kinds: () => ['SECRET'],
        fails: () => {
          throw new GraphQLError('no')
        },
      },
    },
  },
  b: {
    sdl: 'type Item @key(fields: "id") { id: ID! name: String }',
    resolvers: {
      Item: { __resolveReference: ({ id }: { id: string }) => ({ id, name: `${id} ${odd}`.repeat(5) }) },
    },
  },
}

describe('answers as text', () => {
  const { ask } = fleet(sources)
  const both = async (query: string) => {
    const [object, text] = await Promise.all([ask(query), ask(query, {}, { asText: true })])
    expect(JSON.parse(stringifyAnswer(text))).toEqual(JSON.parse(JSON.stringify(object)))
    return text
  }

  it('say what answers as objects say, whatever is in them', async () => {
    const query =
      '{ text number whole id yes l: list none nothing must { value __typename } a: any(n: 0) b: any(n: 1) c: any(n: 2) d: any(n: 3) e: any(n: 4) }'
    const { data } = await both(query)
    expect(data).toBeInstanceOf(DataText)
    expect(JSON.parse(JSON.stringify({ data })).data.text).toBe(odd)
  })

  it('carry errors beside the text', async () => {
    const { data, errors } = await both('{ whole fails }')
    expect(data).toBeInstanceOf(DataText)
    expect(errors).toHaveLength(1)
  })

  it('are objects where a fault must be told', async () => {
    const { data, errors } = await both('{ whole kinds }')
    expect(data).toEqual({ whole: -7, kinds: null })
    expect(errors).toHaveLength(1)
  })

  it.each([
    [10, 190],
    [1, 600_000],
    [5000, 100],
    [3000, 300],
  ])('are whole whatever their size: %d texts of %d', async (count, length) => {
    const { data } = await both(`{ whole texts(count: ${count}, length: ${length}) id }`)
    expect(data).toBeInstanceOf(DataText)
  })

  it('are whole where one object stands in thousands of places', async () => {
    const { data } = await both('{ sales { item { name } } id }')
    expect(data).toBeInstanceOf(DataText)
    expect((data as unknown as DataText).bytes.length).toBeGreaterThan(600_000)
  })

  it('can be told twice, with other words after them', () => {
    const answer = { data: new DataText('{"a":"é"}') as never }
    const first = answerBytes({ ...answer, extensions: { n: 1 } })
    const second = answerBytes({ ...answer, extensions: { n: 'x'.repeat(1000) } })
    expect(answerBytes(answer).toString()).toBe('{"data":{"a":"é"}}')
    expect(first.toString()).toBe('{"data":{"a":"é"},"extensions":{"n":1}}')
    expect(JSON.parse(second.toString()).extensions.n).toHaveLength(1000)
  })

  it('have memory of their own until they are given back, and then another has it', async () => {
    const large = async (length: number) => {
      const { data } = await ask(`{ texts(count: 300, length: ${length}) }`, {}, { asText: true })
      return data as unknown as DataText
    }
    const first = await large(100)
    const said = first.bytes.toString()
    const memory = first.bytes.buffer
    const others = [await large(101), await large(102)]
    expect(first.bytes.toString()).toBe(said)
    expect(others.map(({ bytes }) => bytes.buffer)).not.toContain(memory)
    first.release()
    const later = [await large(103), await large(104)]
    expect(later.map(({ bytes }) => bytes.buffer)).toContain(memory)
    for (const [i, { bytes }] of [...others, ...later].entries()) {
      expect(JSON.parse(bytes.toString()).texts.map(({ length }: string) => length)).toEqual(
        Array(300).fill(101 + i),
      )
    }
  })

  it('keep what a host adds', () => {
    const data = new DataText('{"a":1}') as never
    expect(stringifyAnswer({ data, extensions: { demo: true } })).toBe(
      '{"data":{"a":1},"extensions":{"demo":true}}',
    )
    expect(stringifyAnswer({ errors: [] })).toBe('{"errors":[]}')
  })
})
