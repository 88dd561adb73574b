import { GraphQLError } from 'graphql'
import { describe, expect, it } from 'vitest'
import { DataText, stringifyAnswer } from '../../src/federation/answer.ts'
import { fleet, type SubgraphSource } from './kit.ts'

const odd = 'quote " back \\ line \n null \u0000 pair 😀 lone \ud800 sep \u2028'
const sources: Record<string, SubgraphSource> = {
  a: {
    sdl: `
      scalar Anything
      type Query {
        text: String number: Float whole: Int id: ID yes: Boolean any(n: Int): Anything
        list: [[Int]!] none: [Int] nothing: String must: Must kind: Kind fails: Int
      }
      type Must { value: Int! }
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
        list: () => [[1, null], []],
        none: () => [],
        must: () => ({ value: 1 }),
        kind: () => 'SECRET',
        fails: () => {
          throw new GraphQLError('no')
        },
      },
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
    const { data, errors } = await both('{ whole kind }')
    expect(data).toEqual({ whole: -7, kind: null })
    expect(errors).toHaveLength(1)
  })

  it('keep what a host adds', () => {
    const data = new DataText('{"a":1}') as never
    expect(stringifyAnswer({ data, extensions: { demo: true } })).toBe(
      '{"data":{"a":1},"extensions":{"demo":true}}',
    )
    expect(stringifyAnswer({ errors: [] })).toBe('{"errors":[]}')
  })
})
