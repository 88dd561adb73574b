/**
 * OData as the simulated Service Layer reads it: filters, orders, columns, joins over lines. Written from the
 * manual, apart from everything that the adapter uses: two that agree on the same mistake prove nothing.
 */

export type Kind = 'text' | 'number' | 'date' | 'time' | 'collection'
export type Fields = Readonly<Record<string, Kind>>
export type Row = Readonly<Record<string, unknown>>

/** An answer that is a no. */
export class Refusal extends Error {
  readonly status: number
  readonly code: number | string
  constructor(status: number, code: number | string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

export const invalidQuery = (message: string): Refusal => new Refusal(400, -1000, message)

/** What a name in a query stands for. */
export interface Operand {
  readonly kind: Kind
  readonly of: (row: Row) => unknown
}
export type Resolve = (path: string) => Operand
export type Predicate = (row: Row) => boolean

export function fieldsOf(type: string, fields: Fields): Resolve {
  return (path) => {
    const kind = Object.hasOwn(fields, path) ? fields[path] : undefined
    if (kind === undefined) throw invalidQuery(`Property '${path}' of '${type}' is invalid`)
    return { kind, of: (row) => row[path] }
  }
}

/* ---- filters ---- */

type Token =
  | { readonly type: 'name' | 'mark'; readonly text: string }
  | { readonly type: 'literal'; readonly value: string | number | boolean | null }

const COMPARISONS = new Set(['eq', 'ne', 'gt', 'ge', 'lt', 'le'])
const FUNCTIONS: Readonly<Record<string, (text: string, part: string) => boolean>> = {
  startswith: (text, part) => text.startsWith(part),
  endswith: (text, part) => text.endsWith(part),
  contains: (text, part) => text.includes(part),
}

function tokens(filter: string): Token[] {
  const found: Token[] = []
  const pattern = /\s+|'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?)(?![\w])|([A-Za-z_][\w/]*)|([(),])/y
  while (pattern.lastIndex < filter.length) {
    const at = pattern.lastIndex
    const match = pattern.exec(filter)
    if (!match) throw invalidQuery(`Invalid filter expression at position ${at}`)
    const [, text, number, name, mark] = match
    if (text !== undefined) found.push({ type: 'literal', value: text.replaceAll("''", "'") })
    else if (number !== undefined) found.push({ type: 'literal', value: Number(number) })
    else if (name === 'null') found.push({ type: 'literal', value: null })
    else if (name === 'true' || name === 'false') found.push({ type: 'literal', value: name === 'true' })
    else if (name !== undefined) found.push({ type: 'name', text: name })
    else if (mark !== undefined) found.push({ type: 'mark', text: mark })
  }
  return found
}

export function parseFilter(filter: string, resolve: Resolve): Predicate {
  const list = tokens(filter)
  let at = 0
  const isNext = (text: string) => {
    const token = list[at]
    return token !== undefined && token.type !== 'literal' && token.text === text
  }
  const take = (text: string) => {
    if (!isNext(text)) throw invalidQuery(`Invalid filter expression: '${text}' expected`)
    at++
  }

  const disjunction = (): Predicate => {
    const terms = [conjunction()]
    while (isNext('or')) {
      at++
      terms.push(conjunction())
    }
    return terms.length === 1 ? (terms[0] as Predicate) : (row) => terms.some((term) => term(row))
  }
  const conjunction = (): Predicate => {
    const terms = [negation()]
    while (isNext('and')) {
      at++
      terms.push(negation())
    }
    return terms.length === 1 ? (terms[0] as Predicate) : (row) => terms.every((term) => term(row))
  }
  const negation = (): Predicate => {
    if (!isNext('not')) return primary()
    at++
    const term = negation()
    return (row) => !term(row)
  }
  const primary = (): Predicate => {
    if (isNext('(')) {
      at++
      const inner = disjunction()
      take(')')
      return inner
    }
    const token = list[at]
    const test = token?.type === 'name' ? FUNCTIONS[token.text] : undefined
    if (test && list[at + 1]?.type === 'mark') {
      at++
      take('(')
      const where = operand()
      take(',')
      const part = list[at++]
      take(')')
      if (!('kind' in where) || where.kind !== 'text' || part?.type !== 'literal') {
        throw invalidQuery('Invalid arguments of a text function')
      }
      return (row) => {
        const value = where.of(row)
        return typeof value === 'string' && test(value, String(part.value))
      }
    }
    const left = operand()
    const operator = list[at++]
    if (operator?.type !== 'name' || !COMPARISONS.has(operator.text)) {
      throw invalidQuery('Invalid filter expression: comparison expected')
    }
    return comparison(left, operator.text, operand())
  }
  const operand = (): Operand | { readonly value: string | number | boolean | null } => {
    const token = list[at++]
    if (token?.type === 'literal') return { value: token.value }
    if (token?.type === 'name') return resolve(token.text)
    throw invalidQuery('Invalid filter expression: property or value expected')
  }

  const predicate = disjunction()
  if (at < list.length) throw invalidQuery('Invalid filter expression: unexpected end')
  return predicate
}

type Side = Operand | { readonly value: string | number | boolean | null }

function comparison(left: Side, operator: string, right: Side): Predicate {
  const kind = 'kind' in left ? left.kind : 'kind' in right ? right.kind : undefined
  if (kind === undefined || kind === 'collection')
    throw invalidQuery('Invalid filter expression: no property')
  const reader = (side: Side): ((row: Row) => unknown) => {
    if (!('kind' in side)) {
      const value = literalFor(kind, side.value)
      return () => value
    }
    if (side.kind !== kind) throw invalidQuery('Incompatible types in filter')
    return (row) => comparable(kind, side.of(row))
  }
  const of = reader(left)
  const against = reader(right)
  return (row) => compareBy(operator, of(row), against(row))
}

function literalFor(kind: Kind, value: string | number | boolean | null): unknown {
  if (value === null) return null
  if (kind === 'number' ? typeof value !== 'number' : typeof value !== 'string') {
    throw invalidQuery(`Incompatible types in filter: ${JSON.stringify(value)}`)
  }
  if (kind === 'date' && !/^\d{4}-\d\d-\d\d(T00:00:00Z)?$/.test(String(value))) {
    throw invalidQuery(`Invalid date ${JSON.stringify(value)}`)
  }
  if (kind === 'time' && !/^\d\d:\d\d(:\d\d)?$/.test(String(value))) {
    throw invalidQuery(`Invalid time ${JSON.stringify(value)}`)
  }
  return comparable(kind, value)
}

function comparable(kind: Kind, value: unknown): unknown {
  if (value === null || value === undefined) return null
  if (kind === 'date') return String(value).slice(0, 10)
  if (kind === 'time') return String(value).padEnd(8, ':00')
  return value
}

/** As in SQL, nothing but `eq null` and `ne null` is true of a missing value. */
function compareBy(operator: string, a: unknown, b: unknown): boolean {
  if (a === null || b === null) {
    if (operator === 'eq') return a === b
    return operator === 'ne' && a !== b
  }
  const order = orderOf(a, b)
  switch (operator) {
    case 'eq':
      return order === 0
    case 'ne':
      return order !== 0
    case 'gt':
      return order > 0
    case 'ge':
      return order >= 0
    case 'lt':
      return order < 0
    default:
      return order <= 0
  }
}

function orderOf(a: unknown, b: unknown): number {
  if (a === b) return 0
  if (a === null) return -1
  if (b === null) return 1
  return (a as string) < (b as string) ? -1 : 1
}

/* ---- order and columns ---- */

export function parseOrder(orderby: string, resolve: Resolve): (a: Row, b: Row) => number {
  const terms = orderby.split(',').map((term) => {
    const [, path, direction = 'asc'] = /^\s*([\w/]+)(?:\s+(asc|desc))?\s*$/.exec(term) ?? []
    if (!path) throw invalidQuery(`Invalid $orderby: ${term}`)
    const { kind, of } = resolve(path)
    if (kind === 'collection') throw invalidQuery(`Cannot order by ${path}`)
    return { of: (row: Row) => comparable(kind, of(row)), sign: direction === 'desc' ? -1 : 1 }
  })
  return (a, b) => {
    for (const { of, sign } of terms) {
      const order = orderOf(of(a), of(b)) * sign
      if (order !== 0) return order
    }
    return 0
  }
}

export function parseSelect(select: string, resolve: Resolve): (row: Row) => Row {
  const names = select.split(',').map((name) => name.trim())
  const columns = names.map((name) => [name, resolve(name)] as const)
  return (row) => Object.fromEntries(columns.map(([name, { of }]) => [name, of(row) ?? null]))
}

/* ---- joins over lines ---- */

export interface CrossJoin {
  readonly entity: string
  readonly lines: string
  readonly option: URLSearchParams
}

/** Only `$crossjoin(X,X/Lines)`: a document with its own lines, which is what the query service is for. */
export function parseCrossJoin(path: string, option: string): CrossJoin {
  const [, entity, owner, lines] = /^\$crossjoin\((\w+),\s*(\w+)\/(\w+)\)$/.exec(path) ?? []
  if (!entity || owner !== entity || !lines) throw invalidQuery('invalid $crossjoin query')
  const parts = option.split('&').map((part): [string, string] => {
    const at = part.indexOf('=')
    return [part.slice(0, at).trim(), part.slice(at + 1)]
  })
  return { entity, lines, option: new URLSearchParams(parts) }
}

/** Splits `A($select=x,y),B($select=z)` into the columns of each part. */
export function parseExpand(expand: string): { name: string; columns: string[] }[] {
  const parts = [...expand.matchAll(/([\w/]+)\(\$select=([^)]*)\)/g)]
  if (parts.length === 0) throw invalidQuery('invalid $crossjoin query: $expand')
  return parts.map(([, name = '', columns = '']) => ({
    name,
    columns: columns.split(',').map((column) => column.trim()),
  }))
}
