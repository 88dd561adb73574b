/**
 * Queries as the simulated WebAPI reads them: filters close to SQL, orders, columns, a row per entry. Written from
 * the vendor's documents, apart from everything that the adapter uses.
 */

export type Cell = string | number | boolean | null
export type Values = Readonly<Record<string, Cell>>

/** An answer that is a no. */
export class Refusal extends Error {
  readonly code: number
  readonly field: string | null
  constructor(code: number, message: string, field: string | null = null) {
    super(message)
    this.code = code
    this.field = field
  }
}

/** A form's rows: head values, and those of the entries where it has some. */
export interface Table {
  readonly head: readonly string[]
  readonly entry: readonly string[]
  documents(): readonly { readonly head: Values; readonly entries: readonly Values[] }[]
}

export interface BillQuery {
  readonly fields: string
  readonly filter: string
  readonly order: string
  readonly start: number
  readonly limit: number
}

export function runQuery(table: Table, query: BillQuery): Cell[][] {
  const known = new Map([...table.head, ...table.entry].map((name) => [name.toLowerCase(), name]))
  const inEntry = new Set(table.entry)
  let joins = false
  const resolve = (name: string): string => {
    const field = known.get(name.trim().toLowerCase())
    if (field === undefined) throw new Refusal(9, `元数据中标识为${name.trim()}的字段不存在`)
    joins ||= inEntry.has(field)
    return field
  }
  const columns = query.fields.split(',').map(resolve)
  const predicate = query.filter.trim() === '' ? () => true : parseFilter(query.filter, resolve)
  const order = query.order.trim() === '' ? undefined : parseOrder(query.order, resolve)
  const rows = table.documents().flatMap(({ head, entries }): Values[] => {
    if (!joins) return [head]
    // A left join: a document without entries is one row with nothing in them.
    return entries.length === 0 ? [head] : entries.map((entry) => ({ ...head, ...entry }))
  })
  const found = rows.filter(predicate)
  if (order) found.sort(order)
  return found
    .slice(query.start, query.start + query.limit)
    .map((row) => columns.map((column) => row[column] ?? null))
}

/* ---- filters ---- */

type Resolve = (name: string) => string
type Predicate = (row: Values) => boolean
type Token = { readonly type: 'name' | 'mark' | 'text' | 'number'; readonly text: string }

function tokens(filter: string): Token[] {
  const found: Token[] = []
  const pattern = /\s+|'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?)\b|([A-Za-z_][\w.]*)|(<>|!=|>=|<=|[=<>(),])/y
  while (pattern.lastIndex < filter.length) {
    const match = pattern.exec(filter)
    if (!match) throw new Refusal(6, '数据库操作失败：语法错误')
    const [, text, number, name, mark] = match
    if (text !== undefined) found.push({ type: 'text', text: text.replaceAll("''", "'") })
    else if (number !== undefined) found.push({ type: 'number', text: number })
    else if (name !== undefined) found.push({ type: 'name', text: name })
    else if (mark !== undefined) found.push({ type: 'mark', text: mark })
  }
  return found
}

function parseFilter(filter: string, resolve: Resolve): Predicate {
  const list = tokens(filter)
  let at = 0
  const wrong = () => new Refusal(6, '数据库操作失败：语法错误')
  const isWord = (word: string) => list[at]?.type === 'name' && list[at]?.text.toLowerCase() === word
  const isMark = (mark: string) => list[at]?.type === 'mark' && list[at]?.text === mark
  const take = (mark: string) => {
    if (!isMark(mark)) throw wrong()
    at++
  }
  const literal = (): string => {
    const token = list[at++]
    if (token?.type !== 'text' && token?.type !== 'number') throw wrong()
    return token.text
  }
  const disjunction = (): Predicate => {
    const terms = [conjunction()]
    while (isWord('or')) {
      at++
      terms.push(conjunction())
    }
    return (row) => terms.some((term) => term(row))
  }
  const conjunction = (): Predicate => {
    const terms = [term()]
    while (isWord('and')) {
      at++
      terms.push(term())
    }
    return (row) => terms.every((one) => one(row))
  }
  const term = (): Predicate => {
    if (isMark('(')) {
      at++
      const inner = disjunction()
      take(')')
      return inner
    }
    const name = list[at++]
    if (name?.type !== 'name') throw wrong()
    const field = resolve(name.text)
    if (isWord('in')) {
      at++
      take('(')
      const values = [literal()]
      while (isMark(',')) {
        at++
        values.push(literal())
      }
      take(')')
      const texts = new Set(values.map(folded))
      const numbers = new Set(values.map(Number))
      return (row) => {
        const cell = row[field] ?? null
        return typeof cell === 'number' ? numbers.has(cell) : cell !== null && texts.has(folded(String(cell)))
      }
    }
    if (isWord('like')) {
      at++
      const pattern = like(literal())
      return (row) => pattern.test(String(row[field] ?? ''))
    }
    const mark = list[at++]
    const test = mark?.type === 'mark' ? COMPARISONS[mark.text] : undefined
    if (!test) throw wrong()
    const value = literal()
    return (row) => {
      const order = compare(row[field] ?? null, value)
      return order !== null && test(order)
    }
  }
  const predicate = disjunction()
  if (at < list.length) throw wrong()
  return predicate
}

const COMPARISONS: Readonly<Record<string, (order: number) => boolean>> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '!=': (order) => order !== 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
}

/** As the database does: without regard to case, times as times, nothing equal to what is missing. */
function compare(cell: Cell, literal: string): number | null {
  if (cell === null) return null
  if (typeof cell === 'number') return cell - Number(literal)
  const text = typeof cell === 'boolean' ? (cell ? '1' : '0') : cell
  if (/^\d{4}-\d\d-\d\dT/.test(text)) {
    const other = Date.parse(`${literal.trim().replace(' ', 'T')}${literal.length > 10 ? 'Z' : ''}`)
    if (Number.isNaN(other)) throw new Refusal(6, '数据库操作失败：从字符串转换日期失败')
    return Date.parse(`${text}Z`) - other
  }
  return order(text, literal)
}

const folded = (text: string): string => text.toLowerCase().trimEnd()

function order(a: Cell, b: Cell): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  const left = a === null ? '' : folded(String(a))
  const right = b === null ? '' : folded(String(b))
  return left === right ? 0 : left < right ? -1 : 1
}

function like(pattern: string): RegExp {
  const source = pattern.replaceAll(/\[(.)\]|%|_|[\\^$.*+?()|{}[\]]/g, (part, bracketed?: string) => {
    if (bracketed !== undefined) return bracketed.replace(/[\\^$.*+?()|{}[\]]/, '\\$&')
    return part === '%' ? '[\\s\\S]*' : part === '_' ? '[\\s\\S]' : `\\${part}`
  })
  return new RegExp(`^${source}$`, 'iu')
}

function parseOrder(text: string, resolve: Resolve): (a: Values, b: Values) => number {
  const terms = text.split(',').map((part) => {
    const [, name, direction = 'asc'] = /^\s*([\w.]+)(?:\s+(asc|desc))?\s*$/i.exec(part) ?? []
    if (!name) throw new Refusal(6, '数据库操作失败：排序')
    return { field: resolve(name), sign: direction.toLowerCase() === 'desc' ? -1 : 1 }
  })
  return (a, b) => {
    for (const { field, sign } of terms) {
      const by = order(a[field] ?? null, b[field] ?? null) * sign
      if (by !== 0) return by
    }
    return 0
  }
}
