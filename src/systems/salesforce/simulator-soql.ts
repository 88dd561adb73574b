/** Reads SOQL as the simulated org does, and applies it to rows. Shares nothing with the adapter. */

/** An error as Salesforce answers it. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string
  readonly fields: readonly string[]
  constructor(status: number, code: string, message: string, fields: readonly string[] = []) {
    super(message)
    this.status = status
    this.code = code
    this.fields = fields
  }
}

export type FieldType =
  | 'id'
  | 'string'
  | 'picklist'
  | 'boolean'
  | 'double'
  | 'currency'
  | 'date'
  | 'datetime'
  | 'reference'

export type Value = string | number | boolean | null
export type Record_ = Readonly<Record<string, Value>>

/** What the parser asks of the org. */
export interface Schema {
  /** The type of a field, which may be one of a related object (`Owner.Name`). */
  typeOf(object: string, field: string): FieldType | undefined
  has(object: string): boolean
}

export interface Statement {
  readonly fields: readonly string[]
  readonly object: string
  readonly matches: (row: Record_) => boolean
  readonly compare: (a: Record_, b: Record_) => number
  readonly limit: number
}

type Token =
  | { readonly kind: 'word' | 'symbol' | 'literal'; readonly text: string }
  | { readonly kind: 'text'; readonly text: string; readonly raw: string }

const malformed = (message: string) => new Refusal(400, 'MALFORMED_QUERY', message)
const MAX_LENGTH = 100_000
const MAX_OFFSET = 2_000
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  '"': '"',
  "'": "'",
  '\\': '\\',
}

function tokens(source: string): Token[] {
  const list: Token[] = []
  let rest = source
  while (rest.trim() !== '') {
    rest = rest.trimStart()
    const text = /^'((?:[^'\\]|\\.)*)'/s.exec(rest)
    const found =
      text ??
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)/.exec(rest) ??
      /^\d{4}-\d\d-\d\d/.exec(rest) ??
      /^-?\d+(?:\.\d+)?/.exec(rest) ??
      /^[A-Za-z_][\w.]*/.exec(rest) ??
      /^(?:!=|<=|>=|[=<>(),])/.exec(rest)
    if (!found) throw malformed(`unexpected token: '${rest[0]}'`)
    const [whole] = found
    if (text) {
      const raw = text[1] ?? ''
      const bad = [...raw.matchAll(/\\(.)/gs)].find(([, letter]) => !/[nrtbf"'\\_%]/.test(letter ?? ''))
      if (bad) throw malformed(`Illegal string literal: invalid escape ${bad[0]}`)
      // Escaped wildcards keep their backslash for LIKE.
      list.push({
        kind: 'text',
        raw,
        text: raw.replaceAll(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter),
      })
    } else if (/^[A-Za-z_]/.test(whole)) list.push({ kind: 'word', text: whole })
    else if (/^[-\d]/.test(whole)) list.push({ kind: 'literal', text: whole })
    else list.push({ kind: 'symbol', text: whole })
    rest = rest.slice(whole.length)
  }
  return list
}

type Condition = (row: Record_) => boolean

export function parse(source: string, schema: Schema): Statement {
  if (source.length > MAX_LENGTH) throw malformed('SOQL statements cannot be longer than 100000 characters.')
  const list = tokens(source)
  let at = 0
  const peek = () => list[at]
  const isWord = (word: string, ahead = 0) => {
    const token = list[at + ahead]
    return token?.kind === 'word' && token.text.toUpperCase() === word
  }
  const isSymbol = (symbol: string) => {
    const token = peek()
    return token?.kind === 'symbol' && token.text === symbol
  }
  const fail = (): never => {
    throw malformed(`unexpected token: '${peek()?.text ?? '<EOF>'}'`)
  }
  const word = (wanted?: string): string => {
    const token = peek()
    if (token?.kind !== 'word' || (wanted && token.text.toUpperCase() !== wanted)) return fail()
    at++
    return token.text
  }
  const symbol = (wanted: string) => {
    if (!isSymbol(wanted)) fail()
    at++
  }
  const number = (): number => {
    const token = peek()
    if (token?.kind !== 'literal' || !/^\d+$/.test(token.text)) return fail()
    at++
    return Number(token.text)
  }

  word('SELECT')
  const fields = [word()]
  while (isSymbol(',')) {
    symbol(',')
    fields.push(word())
  }
  word('FROM')
  const object = word()
  if (!schema.has(object)) {
    throw new Refusal(400, 'INVALID_TYPE', `sObject type '${object}' is not supported.`)
  }
  const typeOf = (field: string): FieldType => {
    const type = schema.typeOf(object, field)
    if (type) return type
    const message = `No such column '${field}' on entity '${object}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name.`
    throw new Refusal(400, 'INVALID_FIELD', message)
  }
  for (const field of fields) typeOf(field)
  const twice = fields.find((field, index) => fields.indexOf(field) !== index)
  if (twice) throw new Refusal(400, 'INVALID_FIELD', `duplicate field selected: ${twice}`)

  const value = (field: string): Value => {
    const token = peek() ?? fail()
    at++
    const type = typeOf(field)
    const wrong = (hint: string) =>
      new Refusal(
        400,
        'INVALID_FIELD',
        `value of filter criterion for field '${field}' must be of type ${type} ${hint}`,
      )
    if (token.kind === 'word') {
      const text = token.text.toLowerCase()
      if (text === 'null') return null
      if (type !== 'boolean' || (text !== 'true' && text !== 'false')) throw wrong('')
      return text === 'true'
    }
    if (token.kind === 'text') {
      if (type === 'id' || type === 'reference') {
        const id = fullId(token.text)
        if (id === null || id.slice(0, 3) !== prefixOf(object, field)) {
          throw new Refusal(400, 'INVALID_QUERY_FILTER_OPERATOR', `invalid ID field: ${token.text}`)
        }
        return id
      }
      if (type !== 'string' && type !== 'picklist') throw wrong('and should not be enclosed in quotes')
      return token.text
    }
    const isTime = /T/.test(token.text)
    const isDay = !isTime && /^\d{4}-/.test(token.text)
    if (type === 'datetime' && isTime) return new Date(token.text).toISOString()
    if (type === 'date' && isDay) return token.text
    if ((type === 'double' || type === 'currency') && !isTime && !isDay) return Number(token.text)
    throw wrong(type === 'string' || type === 'picklist' ? 'and should be enclosed in quotes' : '')
  }

  const comparison = (): Condition => {
    const field = word()
    const type = typeOf(field)
    if (isWord('NOT') && isWord('IN', 1)) fail()
    if (isWord('IN')) {
      word('IN')
      symbol('(')
      const values = [value(field)]
      while (isSymbol(',')) {
        symbol(',')
        values.push(value(field))
      }
      symbol(')')
      const set = new Set(values.map(folded))
      return (row) => set.has(folded(row[field] ?? null))
    }
    if (isWord('LIKE')) {
      word('LIKE')
      const token = peek()
      at++
      if (type !== 'string' && type !== 'picklist') {
        const message = `field '${field}' can not be filtered by the operator LIKE`
        throw new Refusal(400, 'INVALID_FIELD', message)
      }
      if (token?.kind !== 'text') return fail()
      const pattern = likePattern(token.raw)
      return (row) => pattern.test(String(row[field] ?? ''))
    }
    const operator = peek()
    if (operator?.kind !== 'symbol' || !OPERATORS[operator.text]) return fail()
    at++
    const compare = OPERATORS[operator.text] as (order: number) => boolean
    const wanted = value(field)
    if ((type === 'boolean' || wanted === null) && operator.text !== '=' && operator.text !== '!=') fail()
    return (row) => {
      const shown = row[field] ?? null
      if (shown === null || wanted === null) {
        return operator.text === '=' ? shown === wanted : operator.text === '!=' && shown !== wanted
      }
      return compare(order(shown, wanted))
    }
  }

  const part = (): Condition => {
    if (!isSymbol('(')) return comparison()
    symbol('(')
    const inner = condition()
    symbol(')')
    return inner
  }

  /** Without parentheses only one of AND and OR: Salesforce refuses a mixture. */
  const condition = (): Condition => {
    const parts = [part()]
    const joint = isWord('AND') ? 'AND' : isWord('OR') ? 'OR' : null
    while (joint && isWord(joint)) {
      word(joint)
      parts.push(part())
    }
    if (isWord('AND') || isWord('OR')) fail()
    return joint === 'OR' ? (row) => parts.some((one) => one(row)) : (row) => parts.every((one) => one(row))
  }

  let matches: Condition = () => true
  if (isWord('WHERE')) {
    word('WHERE')
    matches = condition()
  }
  const orders: { field: string; sign: number }[] = []
  if (isWord('ORDER')) {
    word('ORDER')
    word('BY')
    do {
      if (orders.length > 0) symbol(',')
      const field = word()
      typeOf(field)
      const isDown = isWord('DESC')
      if (isDown || isWord('ASC')) word()
      orders.push({ field, sign: isDown ? -1 : 1 })
    } while (isSymbol(','))
  }
  let limit = Number.POSITIVE_INFINITY
  if (isWord('LIMIT')) {
    word('LIMIT')
    limit = number()
  }
  if (isWord('OFFSET')) {
    word('OFFSET')
    if (number() > MAX_OFFSET) {
      throw new Refusal(400, 'NUMBER_OUTSIDE_VALID_RANGE', `Maximum SOQL offset allowed is ${MAX_OFFSET}`)
    }
    throw malformed('this org is not asked for an offset')
  }
  if (peek()) fail()
  const compare = (a: Record_, b: Record_): number => {
    for (const { field, sign } of orders) {
      const result = order(a[field] ?? null, b[field] ?? null)
      if (result !== 0) return result * sign
    }
    return 0
  }
  return { fields, object, matches, compare, limit }
}

const OPERATORS: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '!=': (order) => order !== 0,
  '<': (order) => order < 0,
  '>': (order) => order > 0,
  '<=': (order) => order <= 0,
  '>=': (order) => order >= 0,
}

/** Ids are told apart by case, other texts are not. */
const folded = (value: Value): Value =>
  typeof value === 'string' && fullId(value) === null ? value.toLowerCase() : value

/** Nulls come first. */
function order(a: Value, b: Value): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1
  const [x, y] = [folded(a), folded(b)] as [string | number | boolean, string | number | boolean]
  return x < y ? -1 : x > y ? 1 : 0
}

function likePattern(raw: string): RegExp {
  const source = [...raw.matchAll(/\\(.)|(.)/gs)].map(([, escaped, plain]) => {
    if (plain === '%') return '.*'
    if (plain === '_') return '.'
    const letter = plain ?? ESCAPES[escaped ?? ''] ?? escaped ?? ''
    return letter.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${source.join('')}$`, 'isu')
}

/* ---- ids ---- */

export const SIMULATED_PREFIXES: Readonly<Record<string, string>> = {
  Account: '001',
  Contact: '003',
  Opportunity: '006',
  OpportunityLineItem: '00k',
  Organization: '00D',
  Task: '00T',
}

/** References are named after what they lead to. */
const prefixOf = (object: string, field: string): string | undefined =>
  SIMULATED_PREFIXES[field === 'Id' ? object : field.replace(/Id$/, '')]

/** 15 or 18 characters to 18; null where it is no id. */
export function fullId(text: string): string | null {
  if (!/^(?:[A-Za-z0-9]{15}|[A-Za-z0-9]{18})$/.test(text)) return null
  const short = text.slice(0, 15)
  const chunks = [short.slice(0, 5), short.slice(5, 10), short.slice(10)]
  const check = chunks.map((chunk) => {
    const bits = [...chunk].reverse().map((letter) => (letter >= 'A' && letter <= 'Z' ? '1' : '0'))
    return 'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'[Number.parseInt(bits.join(''), 2)]
  })
  const full = short + check.join('')
  return text.length === 15 || text === full ? full : null
}
