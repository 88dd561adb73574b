/**
 * The answer as bytes of JSON, in one pass: what `complete` does for answers without fault, as code made for one
 * operation.
 *
 * Each selection becomes a function that reads its keys by name and puts JSON into a buffer, from a position to the
 * next free one. On anything out of order (a null that may not be, an unknown type, a wrong value) the whole attempt
 * is given up and `complete` tells it properly, so that this code knows nothing of paths and errors.
 *
 * Bytes and not text: text put together from ten thousand pieces is a tree, and making one string of it takes longer
 * than all the rest.
 *
 * Names in the generated code are GraphQL names of a validated operation: letters, digits and underscores.
 */
import {
  type GraphQLInterfaceType,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  isEnumType,
  isInterfaceType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
} from 'graphql'
import { dataStart, takeRoom, type Written } from './answer.ts'
import { get, type Json } from './property.ts'
import type { FieldPlan, Selection } from './selection.ts'

/** @returns undefined when something is not as it should be. */
export type Write = (data: Json) => Written | undefined

const giveUp = Symbol('give up')

/** Beyond this the operation is so large that compiling it would cost more than it saves. */
const maxCode = 500_000

/**
 * @param repeated Selections whose objects can stand in several places of an answer: their text is kept with the
 * object and written once.
 */
export function compileWriter(
  schema: GraphQLSchema,
  root: GraphQLObjectType,
  selection: Selection,
  repeated: ReadonlySet<Selection>,
): Write | undefined {
  const code: string[] = []
  const constants: unknown[] = []
  const functions = new Map<string, string>()
  const selectionIds = new Map<Selection, number>()
  let size = 0

  const constant = (value: unknown): string => {
    let index = constants.indexOf(value)
    if (index === -1) index = constants.push(value) - 1
    return `c[${index}]`
  }
  const define = (body: string): string => {
    const name = `write${code.length}`
    code.push(`function ${name}(p, v) {${body}}`)
    size += body.length
    return name
  }
  const idOf = (of: Selection): number => {
    let id = selectionIds.get(of)
    if (id === undefined) {
      id = selectionIds.size
      selectionIds.set(of, id)
    }
    return id
  }

  /** Code that reads a key of `v`. */
  const read = (key: string): string => (key in Object.prototype ? `get(v, "${key}")` : `v.${key}`)

  const fieldsFunction = (type: GraphQLObjectType | GraphQLInterfaceType, of: Selection): string => {
    const fields = of.fields(type)
    const describe = (field: FieldPlan): string =>
      field.name === '__typename'
        ? `${field.clientKey}=${type.name}`
        : `${field.key}:${field.clientKey}:${field.type}:${field.selection ? idOf(field.selection) : ''}`
    const memo = repeated.has(of)
    const signature = `${memo}{${fields.map(describe).join()}}`
    const known = functions.get(signature)
    if (known) return known
    // An operation is finite, and so are its selections: no function contains itself.
    let body = 'const b = s.buffer;'
    let literal = '{'
    fields.forEach((field, i) => {
      literal += `${i === 0 ? '' : ','}"${field.clientKey}":`
      if (field.name === '__typename') {
        literal += `"${type.name}"`
        return
      }
      body += `${put(literal)} p = ${valueFunction(field, field.type)}(p, ${read(field.key)});`
      literal = ''
    })
    body += put(`${literal}}`)
    const slot = memo ? constant(Symbol('place in the answer')) : ''
    const name = define(
      memo
        ? `const m = s.placeOf(v[${slot}]); if (m >= 0) return s.repeat(p, m);
          const from = p; ${body} v[${slot}] = s.remember(from, p); return p;`
        : `${body} return p;`,
    )
    functions.set(signature, name)
    return name
  }

  const objectFunction = (of: Selection): string => {
    const key = `selection ${idOf(of)}`
    const known = functions.get(key)
    if (known) return known
    const { type } = of
    let name: string
    if (isObjectType(type)) name = fieldsFunction(type, of)
    else {
      const cases = schema
        .getPossibleTypes(type)
        .map((possible) => `"${possible.name}": ${fieldsFunction(possible, of)}`)
      code.push(`const m${idOf(of)} = {__proto__: null, ${cases.join(', ')}};`)
      const typename = 'const n = v.__typename; const f = typeof n === "string" ? m'
      // As in `complete`: an interface object without a type is fine where nothing depends on it.
      const otherwise =
        isInterfaceType(type) && !of.dependsOnType
          ? `if (n === undefined || ${constant(new Set([type.name]))}.has(n)) return ${fieldsFunction(type, of)}(p, v);`
          : ''
      name = define(
        `${typename}${idOf(of)}[n] : undefined; if (f !== undefined) return f(p, v); ${otherwise} throw giveUp;`,
      )
    }
    functions.set(key, name)
    return name
  }

  const leafFunction = (type: GraphQLLeafType): string => {
    switch (type.name) {
      case 'String':
        return 'writeString'
      case 'ID':
        return 'writeId'
      case 'Int':
        return 'writeInt'
      case 'Float':
        return 'writeFloat'
      case 'Boolean':
        return 'writeBoolean'
      default: {
        if (isEnumType(type)) {
          const values = new Map(type.getValues().map(({ name }) => [name, `"${name}"`]))
          return define(
            `const t = ${constant(values)}.get(v); if (t === undefined) throw giveUp; return writeAscii(p, t);`,
          )
        }
        return 'writeAny'
      }
    }
  }

  /** A function for values of the type, null included. */
  const valueFunction = (field: FieldPlan, type: GraphQLOutputType): string => {
    if (field.name === '__schema' || field.name === '__type') return 'writeAnyOrNull'
    const key = `value ${type} ${field.selection ? idOf(field.selection) : ''}`
    const known = functions.get(key)
    if (known) return known
    const [inner, onNull] = isNonNullType(type)
      ? [type.ofType, 'throw giveUp;']
      : [type, 'return writeAscii(p, "null");']
    let body: string
    if (isListType(inner)) {
      const item = valueFunction(field, inner.ofType)
      body = `if (!Array.isArray(v)) throw giveUp; const b = s.buffer; const l = v.length; b[p++] = 91;
        if (l > 0) { p = ${item}(p, v[0]); for (let i = 1; i < l; i++) { b[p++] = 44; p = ${item}(p, v[i]); } }
        b[p++] = 93; return p;`
    } else if (isLeafType(inner)) body = `return ${leafFunction(inner)}(p, v);`
    else if (field.selection) {
      body = `if (typeof v !== "object" || Array.isArray(v)) throw giveUp; return ${objectFunction(field.selection)}(p, v);`
    } else throw new Error(`No selection for ${field.name}`)
    const name = define(`if (v === null || v === undefined) ${onNull} ${body}`)
    functions.set(key, name)
    return name
  }

  const main = fieldsFunction(root, selection)
  if (size > maxCode) return undefined
  const make = new Function(
    'c',
    's',
    'get',
    'giveUp',
    ...Object.keys(writers),
    `"use strict"; ${code.join('\n')}\nreturn ${main};`,
  ) as (...helpers: unknown[]) => (position: number, data: Json) => number
  const write = make(constants, sink, get, giveUp, ...Object.values(writers))
  return (data) => {
    try {
      return sink.collect((position) => write(position, data))
    } catch (error) {
      if (error === giveUp) return undefined
      throw error
    }
  }
}

/** Code that puts a text at `p` of `b`: byte by byte, without a call. */
function put(literal: string): string {
  if (literal.length > 60) return `p = writeAscii(p, ${JSON.stringify(literal)});`
  const stores = Array.from(literal, (char, i) => `b[p + ${i}] = ${char.charCodeAt(0)};`)
  return `${stores.join('')} p += ${literal.length};`
}

/**
 * Where answers are written, one after the other. Nothing checks for room: stores beyond the end of a typed array do
 * nothing, and an attempt that got further than the end is made again in a larger one.
 */
class Sink {
  buffer = takeRoom()
  // Where in this attempt the objects are that stand in several places. Their numbers are never used again: an object
  // may carry one from an attempt before.
  #firstPlace = 0
  #starts: number[] = []
  #ends: number[] = []

  collect(write: (position: number) => number): Written {
    const usual = this.buffer
    try {
      for (;;) {
        this.#firstPlace += this.#starts.length
        this.#starts = []
        this.#ends = []
        const end = write(dataStart)
        if (end + spareBytes <= this.buffer.length) return this.#handOver(end, usual)
        this.buffer = Buffer.allocUnsafeSlow(end + spareBytes)
      }
    } finally {
      // A large answer does not keep its room.
      if (this.buffer.length !== usual.length) this.buffer = usual
    }
  }

  #handOver(end: number, usual: Buffer): Written {
    const room = this.buffer
    if (end <= copiedBytes) {
      const own = Buffer.allocUnsafe(end + spareBytes)
      own.set(room.subarray(0, end))
      return { room: own, end }
    }
    if (room === usual) this.buffer = takeRoom()
    return { room, end }
  }

  remember(start: number, end: number): number {
    this.#ends.push(end)
    return this.#firstPlace + this.#starts.push(start) - 1
  }

  /** @returns Below 0 for what this attempt has not written yet. */
  placeOf(remembered: number | undefined): number {
    return remembered === undefined ? -1 : remembered - this.#firstPlace
  }

  repeat(position: number, place: number): number {
    const [start, end] = [this.#starts[place] as number, this.#ends[place] as number]
    this.buffer.copyWithin(position, start, end)
    return position + end - start
  }
}

/** For what follows the data in an answer. */
const spareBytes = 300
/** Up to here an answer is copied: a whole room for it would be more trouble. */
const copiedBytes = 16 * 1024

const sink = new Sink()

const writers = {
  /** A text of ASCII that needs no escapes. */
  writeAscii(p: number, text: string): number {
    const { buffer } = sink
    for (let i = 0; i < text.length; i++) buffer[p + i] = text.charCodeAt(i)
    return p + text.length
  },

  writeString(p: number, value: unknown): number {
    if (typeof value !== 'string') throw giveUp
    const { length } = value
    if (length > 200) return writeText(p, JSON.stringify(value))
    const { buffer } = sink
    buffer[p] = 34
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code < 32 || code === 34 || code === 92 || code > 126) return writeText(p, JSON.stringify(value))
      buffer[p + 1 + i] = code
    }
    buffer[p + 1 + length] = 34
    return p + length + 2
  },

  writeId(p: number, value: unknown): number {
    if (typeof value === 'string') return writers.writeString(p, value)
    if (typeof value === 'number' && Number.isInteger(value)) return writers.writeAscii(p, `"${value}"`)
    throw giveUp
  },

  writeInt(p: number, value: unknown): number {
    if (typeof value === 'number' && (value | 0) === value) return writers.writeAscii(p, String(value))
    throw giveUp
  },

  writeFloat(p: number, value: unknown): number {
    if (typeof value === 'number' && Number.isFinite(value)) return writers.writeAscii(p, String(value))
    throw giveUp
  },

  writeBoolean(p: number, value: unknown): number {
    if (value === true) return writers.writeAscii(p, 'true')
    if (value === false) return writers.writeAscii(p, 'false')
    throw giveUp
  },

  /** A custom scalar: whatever the subgraph made of it. */
  writeAny(p: number, value: unknown): number {
    if (typeof value === 'string') return writers.writeString(p, value)
    return writeText(p, JSON.stringify(value) ?? 'null')
  },

  writeAnyOrNull(p: number, value: unknown): number {
    return value === undefined ? writers.writeAscii(p, 'null') : writers.writeAny(p, value)
  },
}

/** Any text. `Buffer.write` refuses to begin beyond the end, and cuts what does not fit. */
function writeText(p: number, text: string): number {
  const { buffer } = sink
  const most = text.length * 3
  return p + (p + most <= buffer.length ? buffer.write(text, p) : Math.max(most, buffer.length - p + 1))
}
