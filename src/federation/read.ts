/**
 * A subgraph's answer as objects: what `JSON.parse` gives, as code made for one fetch.
 *
 * The fetch says which keys come in which order; what is left to do is to compare them, to find where values end and
 * to make objects of a known form. That takes a third of the time of a parser that expects anything. Whatever is
 * otherwise than expected ends the attempt, and `JSON.parse` says what it is: this code is right or silent.
 *
 * Keys in the generated code are GraphQL names: letters, digits and underscores.
 */
import { Kind, type SelectionSetNode } from 'graphql'
import { isObject, type Json } from './property.ts'
import type { SubgraphResponse } from './transport.ts'

/** @returns undefined where `JSON.parse` is to be asked. */
export type Read = (bytes: Buffer) => SubgraphResponse | undefined

const giveUp = Symbol('give up')

/** Generated code is slow until the engine has compiled it: an operation that is asked once is better parsed. */
const parsedFirst = 20
/** After so many attempts in vain, and as many as not in vain, nothing is tried any more. */
const maxMisses = 16
/** Beyond this the fetch is so large that compiling it would cost more than it saves. */
const maxCode = 300_000

/** @param selectionSet Of the fetch's operation. */
export function answerReader(selectionSet: SelectionSetNode): Read {
  let before = parsedFirst
  let read: Read | undefined
  let [hits, misses] = [0, 0]
  return (bytes) => {
    if (before > 0) {
      before--
      return undefined
    }
    if (misses > maxMisses && misses >= hits) return undefined
    read ??= compileRead(selectionSet)
    const answer = read(bytes)
    if (answer) hits++
    else misses++
    return answer
  }
}

/** The same without waiting for the operation to be asked often. */
export function compileRead(selectionSet: SelectionSetNode): Read {
  const code: string[] = []
  let size = 0
  let names = 0
  const define = (parameters: string, body: string): string => {
    const name = `read${code.length}`
    code.push(`function ${name}(${parameters}) {${body}}`)
    size += body.length
    return name
  }

  const objectFunction = (sets: readonly SelectionSetNode[]): string => {
    const { keys, canMiss } = collectKeys(sets)
    const entries = [...keys]
    let body = canMiss ? 'if (b[p] !== 123) throw giveUp; let q = ++p; let any = false; const r = {};' : ''
    entries.forEach(([key, nested], i) => {
      let value = 'b[p] === 34 ? string(p) : leaf(p)'
      if (key === '__typename') value = `typename(p, ${names++})`
      else if (nested.length > 0) value = `${valueFunction(nested)}(p)`
      if (canMiss) {
        const text = `"${key}":`
        body += `if (!any || b[p] === 44) { q = any ? p + 1 : p;
          if (${matches(text, 'q')}) { p = q + ${text.length}; r.${key} = ${value}; p = at.p; any = true; } }`
      } else {
        const text = `${i === 0 ? '{' : ','}"${key}":`
        body += `if (!(${matches(text, 'p')})) throw giveUp; p += ${text.length}; const v${i} = ${value}; p = at.p;`
      }
    })
    const object = canMiss ? 'r' : `{${entries.map(([key], i) => `${key}: v${i}`).join(', ')}}`
    return define('p', `${body} if (b[p] !== 125) throw giveUp; at.p = p + 1; return ${object};`)
  }

  /** An object, null, or lists of them. */
  const valueFunction = (sets: readonly SelectionSetNode[]): string => {
    const object = objectFunction(sets)
    const name = `read${code.length}`
    return define(
      'p',
      `const c = b[p]; if (c === 123) return ${object}(p); if (c !== 91) return nothing(p);
       const list = []; if (b[++p] === 93) { at.p = p + 1; return list; }
       for (;;) { list.push(${name}(p)); p = at.p; const d = b[p++];
         if (d === 93) { at.p = p; return list; } if (d !== 44) throw giveUp; }`,
    )
  }

  const root = objectFunction([selectionSet])
  // `__proto__` is no key like others.
  if (size > maxCode || code.some((text) => text.includes('__proto__'))) return () => undefined
  const make = new Function(
    'b',
    'at',
    'giveUp',
    'string',
    'leaf',
    'nothing',
    'typename',
    `"use strict"; ${code.join('\n')}\nreturn ${root};`,
  ) as (...helpers: unknown[]) => (position: number) => Json
  const readData = make(bytes, at, giveUp, readString, readLeaf, readNothing, typenames())
  return (answer) => readAnswer(answer, readData)
}

/** Keys in the order of first mention; some can be missing where fragments depend on types. */
function collectKeys(sets: readonly SelectionSetNode[]): {
  readonly keys: ReadonlyMap<string, readonly SelectionSetNode[]>
  readonly canMiss: boolean
} {
  const found = new Map<string, SelectionSetNode[]>()
  let canMiss = false
  const collect = (set: SelectionSetNode, isCertain: boolean): void => {
    for (const selection of set.selections) {
      const certain = isCertain && !selection.directives?.length
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value
        const nested = found.get(key) ?? []
        found.set(key, nested)
        if (selection.selectionSet) nested.push(selection.selectionSet)
        if (!certain) canMiss = true
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        collect(selection.selectionSet, certain && selection.typeCondition === undefined)
      } else canMiss = true
    }
  }
  for (const set of sets) collect(set, true)
  return { keys: found, canMiss }
}

/** Code that compares bytes with a text of ASCII. */
function matches(text: string, position: string): string {
  return Array.from(text, (char, i) => `b[${position} + ${i}] === ${char.charCodeAt(0)}`).join(' && ')
}

/**
 * Where answers are put to be read. Always the same place, which generated code can then take for granted; a zero
 * ends the answer, which ends whatever is being read, so that nothing has to look for the end.
 */
const bytes = Buffer.allocUnsafeSlow(2 * 1024 * 1024)
/** Where the value that was read last ended. */
const at = { p: 0 }
/** The answer with one character for each byte. */
let text = ''

const start = '{"data":'

function readAnswer(answer: Buffer, readData: (position: number) => Json): SubgraphResponse | undefined {
  const { length } = answer
  if (length >= bytes.length) return undefined
  bytes.set(answer)
  bytes[length] = 0
  const latin = answer.toString('latin1')
  if (!latin.startsWith(start)) return undefined
  text = latin
  try {
    const data = readData(start.length)
    let p = at.p
    const end = bytes[p++]
    if (end === 44 && bytes[p] === 34) {
      // Errors or extensions: seldom, and seldom large.
      const rest: unknown = JSON.parse(`{${bytes.toString('utf8', p, length)}`)
      return isObject(rest) ? { data, ...rest } : undefined
    }
    if (end !== 125) return undefined
    while (isSpace(bytes[p])) p++
    return p === length ? { data } : undefined
  } catch (error) {
    if (error === giveUp || error instanceof SyntaxError) return undefined
    throw error
  } finally {
    text = ''
  }
}

const isSpace = (byte: number | undefined): boolean => byte === 32 || byte === 10 || byte === 13 || byte === 9

function readString(p: number): string {
  const from = p + 1
  let q = from
  let all = 0
  for (;;) {
    const byte = bytes[q] as number
    if (byte === 34) break
    if (byte === 92) return readEscaped(p, q)
    if (byte < 32) throw giveUp
    all |= byte
    q++
  }
  at.p = q + 1
  return all < 128 ? text.substring(from, q) : bytes.toString('utf8', from, q)
}

/** @param q Of the first backslash. */
function readEscaped(p: number, q: number): string {
  for (let i = q; ; i++) {
    const byte = bytes[i] as number
    if (byte === 92) i++
    else if (byte === 34) {
      at.p = i + 1
      return JSON.parse(bytes.toString('utf8', p, i + 1))
    }
    // Also the zero at the end, unless a backslash was before it.
    if (byte < 32 || bytes[i] === 0) throw giveUp
  }
}

/** A scalar; lists and objects where a subgraph has scalars that are such. */
function readLeaf(p: number): unknown {
  switch (bytes[p]) {
    case 34:
      return readString(p)
    case 110:
      return readNothing(p)
    case 116:
      return readWord(p, 'true', true)
    case 102:
      return readWord(p, 'false', false)
    case 91: {
      const list: unknown[] = []
      let q = p + 1
      if (bytes[q] === 93) {
        at.p = q + 1
        return list
      }
      for (;;) {
        list.push(readLeaf(q))
        q = at.p
        const byte = bytes[q++]
        if (byte === 93) {
          at.p = q
          return list
        }
        if (byte !== 44) throw giveUp
      }
    }
    case 123:
      return readObject(p)
    default:
      return readNumber(p)
  }
}

function readWord<T>(p: number, word: string, value: T): T {
  for (let i = 0; i < word.length; i++) if (bytes[p + i] !== word.charCodeAt(i)) throw giveUp
  at.p = p + word.length
  return value
}

function readNothing(p: number): null {
  return readWord(p, 'null', null)
}

function readNumber(p: number): number {
  let q = p
  let value = 0
  let byte = bytes[q] as number
  const first = byte
  while (byte >= 48 && byte <= 57) {
    value = value * 10 + byte - 48
    byte = bytes[++q] as number
  }
  const isPlain = q > p && q - p <= 15 && (first !== 48 || q === p + 1)
  if (isPlain && byte !== 46 && byte !== 69 && byte !== 101) {
    at.p = q
    return value
  }
  // Anything else that a number can be made of.
  q = p
  while (isOfNumber(bytes[q] as number)) q++
  if (q === p) throw giveUp
  at.p = q
  return JSON.parse(text.substring(p, q))
}

const isOfNumber = (byte: number): boolean =>
  (byte >= 48 && byte <= 57) || byte === 45 || byte === 43 || byte === 46 || byte === 69 || byte === 101

function readObject(p: number): unknown {
  let depth = 0
  for (let i = p; ; i++) {
    const byte = bytes[i] as number
    if (byte === 0) throw giveUp
    if (byte === 34) {
      for (i++; bytes[i] !== 34; i++) {
        if (bytes[i] === 92) i++
        if (bytes[i] === 0) throw giveUp
      }
    } else if (byte === 123 || byte === 91) depth++
    else if (byte === 125 || byte === 93) {
      depth--
      if (depth === 0) {
        at.p = i + 1
        return JSON.parse(bytes.toString('utf8', p, i + 1))
      }
    }
  }
}

/** The names of types, made once: one place of a fetch has few. */
function typenames(): (p: number, place: number) => unknown {
  const last: { readonly written: Uint8Array; readonly name: string }[] = []
  return (p, place) => {
    const known = last[place]
    if (known) {
      const { written, name } = known
      let i = 0
      while (i < written.length && bytes[p + i] === written[i]) i++
      if (i === written.length) {
        at.p = p + i
        return name
      }
    }
    const name = readLeaf(p)
    if (typeof name === 'string')
      last[place] = { written: Uint8Array.prototype.slice.call(bytes, p, at.p), name }
    return name
  }
}
