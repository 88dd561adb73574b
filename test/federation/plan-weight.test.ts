/** Kept plans are counted by what they cost, not by their number alone. */
import { parse } from 'graphql'
import { expect, test } from 'vitest'
import { weightOf } from '../../src/federation/generation.ts'
import { selectOperation } from '../../src/federation/operation.ts'

const weigh = (text: string) => weightOf(selectOperation(parse(text), undefined), text)

test('a plan weighs its selections, those of fragments each time they are spread', () => {
  const fragment = 'fragment F on Thing { name size }'
  expect(weigh('{ a: thing { name } b: thing { name } }')).toBe(4 + 1)
  expect(weigh(`{ a: thing { ...F } b: thing { ...F } } ${fragment}`)).toBe(6 + 1)
})

test('the schema that is asked for weighs what its answer does, a long text what it takes', () => {
  expect(weigh('{ a: __schema { types { name } } b: __type(name: "A") { __typename } }')).toBe(5 + 2_000 + 1)
  expect(weigh(`{ thing(name: "${'x'.repeat(10_000)}") { name } }`)).toBe(2 + 11)
})
