import { isDeepStrictEqual } from 'node:util'
import { Kind, parse, type SelectionSetNode } from 'graphql'
import { describe, expect, it } from 'vitest'
import { answerReader, compileRead } from '../../src/federation/read.ts'
import { seeded } from './fuzz/dice.ts'

const selectionOf = (query: string): SelectionSetNode => {
  const [definition] = parse(query).definitions
  if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new Error('no operation')
  return definition.selectionSet
}

/** What any parser would say; undefined for what is no JSON. */
function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}

const same = (a: unknown, b: unknown): boolean =>
  isDeepStrictEqual(a, b) && JSON.stringify(a) === JSON.stringify(b)

const read = (query: string, text: string): unknown =>
  compileRead(selectionOf(query))(Buffer.from(text, 'latin1'))

const names = ['id', 'upc', '__typename', 'name', 'constructor', 'toString', 'a', 'ab', 'abc', 'price', 'x1']
const texts = [
  '',
  'u1',
  'Ada',
  'a longer text, in a sensible length',
  '客户',
  'é',
  '😀',
  '"',
  '\\',
  '\n',
  '\u0000',
]
const leaves = [
  'null',
  'true',
  'false',
  '0',
  '7',
  '-1',
  '-0',
  '1.5',
  '1e3',
  '1E-7',
  '123456789012345678',
  '{}',
]
const wild = [
  '',
  '"',
  '\\',
  ',',
  ':',
  '{',
  '}',
  '[',
  ']',
  ' ',
  '0',
  '-',
  '.',
  'e',
  'n',
  '\u0000',
  '\u001f',
  '\u00e4',
]

/** A selection, and an answer to it as a server writes it. */
function random(dice: () => number): { readonly query: string; answer(): string } {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(dice() * items.length)] as T
  type Field = { key: string; fields?: Field[]; type?: string }
  const selection = (depth: number): { text: string; fields: Field[] } => {
    const fields: Field[] = []
    const parts: string[] = []
    for (const key of names.filter(() => dice() < 0.4)) {
      const nested = depth > 0 && key !== '__typename' && dice() < 0.4 ? selection(depth - 1) : undefined
      const type = dice() < 0.15 ? pick(['A', 'B']) : undefined
      const text = nested ? `${key} ${nested.text}` : key
      parts.push(type ? `... on ${type} { ${text} }` : text)
      fields.push({ key, ...(nested ? { fields: nested.fields } : {}), ...(type ? { type } : {}) })
    }
    return parts.length > 0
      ? { text: `{ ${parts.join(' ')} }`, fields }
      : { text: '{ z }', fields: [{ key: 'z' }] }
  }
  const leaf = (): string => {
    const text = JSON.stringify(pick(texts) + (dice() < 0.2 ? pick(texts) : ''))
    if (dice() < 0.6) return text
    if (dice() < 0.2) return `[${Array.from({ length: Math.floor(dice() * 3) }, leaf).join()}]`
    return dice() < 0.1 ? `{"${pick(names)}":[${text},{"}":"]"}]}` : pick(leaves)
  }
  const value = (fields: Field[] | undefined): string => {
    if (!fields) return leaf()
    if (dice() < 0.1) return 'null'
    if (dice() < 0.3) {
      return `[${Array.from({ length: Math.floor(dice() * 4) }, () => value(fields)).join()}]`
    }
    return object(fields)
  }
  const object = (fields: Field[]): string => {
    const type = pick(['A', 'B'])
    const present = fields.filter((field) => field.type === undefined || field.type === type)
    return `{${present.map((field) => `"${field.key}":${value(field.fields)}`).join()}}`
  }
  const { text, fields } = selection(3)
  const ends = [
    '}',
    '}',
    '}',
    '}\n',
    ',"extensions":{"a":[1]}}',
    ',"errors":[{"message":"no"}]}',
    ',"data":null}',
  ]
  return { query: text, answer: () => `{"data":${object(fields)}${pick(ends)}` }
}

/** A fault in the bytes: something taken out, put in, doubled or cut off. */
function spoil(bytes: Buffer, dice: () => number): Buffer {
  const at = Math.floor(dice() * bytes.length)
  const to = Math.min(bytes.length, at + Math.floor(dice() * 4))
  const piece = wild[Math.floor(dice() * wild.length)] as string
  const part = dice() < 0.2 ? bytes.subarray(at, to + 10) : Buffer.from(piece, 'latin1')
  return Buffer.concat([bytes.subarray(0, at), part, ...(dice() < 0.1 ? [] : [bytes.subarray(to)])])
}

describe('answers read by the shape of their fetch', () => {
  const seeds = Number(process.env.SEEDS ?? 150)
  const first = Number(process.env.SEED ?? 1)

  it(`are what JSON.parse makes of them, whole or broken (${seeds} fetches)`, () => {
    let [whole, broken, refused] = [0, 0, 0]
    for (let seed = first; seed < first + seeds; seed++) {
      const dice = seeded(seed)
      const { query, answer } = random(dice)
      const reader = compileRead(selectionOf(query))
      for (let i = 0; i < 8; i++) {
        const good = Buffer.from(answer())
        const about = `seed ${seed}: ${query}\n${good}`
        expect(same(reader(good), parsed(good)), about).toBe(true)
        whole++
        let bad: Buffer = good
        for (let faults = 0; faults < 3; faults++) {
          bad = spoil(bad, dice)
          const actual = reader(bad)
          if (actual === undefined) refused++
          else expect(same(actual, parsed(bad)), `${about}\n${bad.toString('latin1')}`).toBe(true)
          broken++
        }
      }
    }
    expect(whole).toBe(seeds * 8)
    // Not every fault breaks the form: a letter of a text can be another.
    expect(refused).toBeGreaterThan(broken / 2)
    expect(refused).toBeLessThan(broken)
  }, 600_000)

  it.each([
    ['another order of keys', '{ a b }', '{"data":{"b":1,"a":2}}'],
    ['a key twice', '{ a b }', '{"data":{"a":1,"a":2,"b":3}}'],
    ['a key that was not asked for', '{ a }', '{"data":{"a":1,"c":2}}'],
    ['a key too few', '{ a b }', '{"data":{"a":1}}'],
    ['no comma', '{ ... on A { a } ... on B { b } }', '{"data":{"a":"x""b":"y"}}'],
    ['a comma too many', '{ ... on A { a } }', '{"data":{"a":1,}}'],
    ['a scalar for an object', '{ a { b } }', '{"data":{"a":1}}'],
    ['spaces', '{ a }', '{"data":{ "a":1}}'],
    ['errors before data', '{ a }', '{"errors":[],"data":{"a":1}}'],
    ['a comma and nothing', '{ a }', '{"data":{"a":1},}'],
    ['no data', '{ a }', '{"data":null}'],
    ['a number of too many signs', '{ a }', '{"data":{"a":--1}}'],
    ['a number with a zero before it', '{ a }', '{"data":{"a":01}}'],
    ['a line break in a text', '{ a }', '{"data":{"a":"x\ny"}}'],
    ['an escape of nothing', '{ a }', '{"data":{"a":"\\q"}}'],
    ['an end too early', '{ a }', '{"data":{"a":"x'],
    ['an end within an escape', '{ a }', '{"data":{"a":"x\\'],
    ['an end within an object of a scalar', '{ a }', '{"data":{"a":{"b":"\\'],
    ['more than one answer', '{ a }', '{"data":{"a":1}}{}'],
    ['a key that is none of an object', '{ __proto__ }', '{"data":{"__proto__":1}}'],
    ['more than there is room for', '{ a }', `{"data":{"a":"${'x'.repeat(2 ** 21)}"}}`],
  ])('are left to it where there is %s', (_, query, text) => {
    expect(read(query, text)).toBeUndefined()
  })

  it('are never made of what was read before', () => {
    const reader = compileRead(selectionOf('{ a { b } c }'))
    const good = Buffer.from('{"data":{"a":[{"b":"x"},{"b":"y"}],"c":"z"}}')
    for (let length = 0; length < good.length; length++) {
      expect(reader(good)).toEqual({ data: { a: [{ b: 'x' }, { b: 'y' }], c: 'z' } })
      expect(reader(good.subarray(0, length))).toBeUndefined()
    }
  })

  it('are as UTF-8 decoders read them, also where they are no UTF-8', () => {
    for (const bytes of [
      [0xff],
      [0xe5, 0xae],
      [0xed, 0xa0, 0x80],
      [0xef, 0xbb, 0xbf, 0x41],
      [0xf0, 0x9f, 0x98],
    ]) {
      const answer = Buffer.concat([Buffer.from('{"data":{"a":"'), Buffer.from(bytes), Buffer.from('"}}')])
      expect(compileRead(selectionOf('{ a }'))(answer)).toEqual(parsed(answer))
    }
  })
})

describe('a reader', () => {
  const good = Buffer.from('{"data":{"a":1,"b":2}}')
  const other = Buffer.from('{"data":{"b":2,"a":1}}')

  it('begins where an operation is asked often', () => {
    const reader = answerReader(selectionOf('{ a b }'))
    const answers = Array.from({ length: 40 }, () => reader(good))
    expect(answers[0]).toBeUndefined()
    expect(answers.at(-1)).toEqual({ data: { a: 1, b: 2 } })
  })

  it('gives up on a server that answers in an order of its own, not for a few answers', () => {
    const reader = answerReader(selectionOf('{ a b }'))
    const readAll = (bytes: Buffer, count: number) =>
      Array.from({ length: count }, () => reader(bytes)).at(-1)
    readAll(good, 200)
    readAll(other, 50)
    expect(readAll(good, 1)).toEqual({ data: { a: 1, b: 2 } })
    readAll(other, 200)
    expect(readAll(good, 1)).toBeUndefined()
  })
})
