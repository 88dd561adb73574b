/**
 * The answer as text, in one pass: what `complete` does for answers without fault, as code made for one operation.
 *
 * Each selection becomes a function that reads its keys by name and appends JSON. On anything out of order (a null
 * that may not be, an unknown type, a wrong value) the whole attempt is given up and `complete` tells it properly,
 * so that this code knows nothing of paths and errors.
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
import { get, type Json } from './property.ts'
import type { FieldPlan, Selection } from './selection.ts'

/** @returns undefined when something is not as it should be. */
export type Write = (data: Json) => string | undefined

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
    const name = `f${code.length}`
    code.push(`function ${name}(v) {${body}}`)
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
    let body = ''
    let literal = '{'
    for (const field of fields) {
      literal += `${literal.endsWith('{') && body === '' ? '' : ','}"${field.clientKey}":`
      if (field.name === '__typename') {
        literal += `"${type.name}"`
        continue
      }
      body += `t += ${JSON.stringify(literal)} + ${valueFunction(field, field.type)}(${read(field.key)});`
      literal = ''
    }
    const last = JSON.stringify(`${literal}}`)
    const slot = memo ? constant(Symbol('text')) : ''
    const name = define(
      memo
        ? `let t = v[${slot}]; if (t !== undefined) return t; t = ''; ${body} return v[${slot}] = t + ${last};`
        : `let t = ''; ${body} return t + ${last};`,
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
          ? `if (n === undefined || ${constant(new Set([type.name]))}.has(n)) return ${fieldsFunction(type, of)}(v);`
          : ''
      name = define(
        `${typename}${idOf(of)}[n] : undefined; if (f !== undefined) return f(v); ${otherwise} throw giveUp;`,
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
          return define(`const t = ${constant(values)}.get(v); if (t === undefined) throw giveUp; return t;`)
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
    const [inner, onNull] = isNonNullType(type) ? [type.ofType, 'throw giveUp;'] : [type, 'return "null";']
    let body: string
    if (isListType(inner)) {
      const item = valueFunction(field, inner.ofType)
      body = `if (!Array.isArray(v)) throw giveUp; const l = v.length; if (l === 0) return "[]";
        let t = "[" + ${item}(v[0]); for (let i = 1; i < l; i++) t += "," + ${item}(v[i]); return t + "]";`
    } else if (isLeafType(inner)) body = `return ${leafFunction(inner)}(v);`
    else if (field.selection) {
      body = `if (typeof v !== "object" || Array.isArray(v)) throw giveUp; return ${objectFunction(field.selection)}(v);`
    } else throw new Error(`No selection for ${field.name}`)
    const name = define(`if (v === null || v === undefined) ${onNull} ${body}`)
    functions.set(key, name)
    return name
  }

  const main = fieldsFunction(root, selection)
  if (size > maxCode) return undefined
  const make = new Function(
    'c',
    'get',
    'giveUp',
    'writeString',
    'writeId',
    'writeInt',
    'writeFloat',
    'writeBoolean',
    'writeAny',
    'writeAnyOrNull',
    `"use strict"; ${code.join('\n')}\nreturn ${main};`,
  ) as (...helpers: unknown[]) => (data: Json) => string
  const write = make(
    constants,
    get,
    giveUp,
    quote,
    writeId,
    writeInt,
    writeFloat,
    writeBoolean,
    writeAny,
    writeAnyOrNull,
  )
  return (data) => {
    try {
      return write(data)
    } catch (error) {
      if (error === giveUp) return undefined
      throw error
    }
  }
}

/** A string as JSON. Most need no escapes, and looking is cheaper than having it looked at in C++. */
export function quote(value: unknown): string {
  if (typeof value !== 'string') throw giveUp
  const { length } = value
  if (length > 60) return JSON.stringify(value)
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i)
    if (code < 32 || code === 34 || code === 92 || (code >= 0xd800 && code <= 0xdfff))
      return JSON.stringify(value)
  }
  return `"${value}"`
}

function writeId(value: unknown): string {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number' && Number.isInteger(value)) return `"${value}"`
  throw giveUp
}

function writeInt(value: unknown): string {
  if (typeof value === 'number' && (value | 0) === value) return String(value)
  throw giveUp
}

function writeFloat(value: unknown): string {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  throw giveUp
}

function writeBoolean(value: unknown): string {
  if (value === true) return 'true'
  if (value === false) return 'false'
  throw giveUp
}

/** A custom scalar: whatever the subgraph made of it. */
function writeAny(value: unknown): string {
  return typeof value === 'string' ? quote(value) : (JSON.stringify(value) ?? 'null')
}

function writeAnyOrNull(value: unknown): string {
  return value === undefined ? 'null' : writeAny(value)
}
