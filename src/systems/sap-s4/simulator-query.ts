/**
 * OData 2 as the simulated Gateway reads it: filters with typed literals, orders, columns behind navigations.
 * Written from the specification, apart from everything that the adapter uses.
 * @see OData 2.0, URI Conventions
 */

/** `alpha`: a text that is kept with leading zeros where it is all digits, and shown without. */
export type Edm =
  | 'string'
  | 'alpha'
  | 'boolean'
  | 'decimal'
  | 'date'
  | 'instant'
  | 'time'
  | { readonly many: string }
  | { readonly one: string }
export type Fields = Readonly<Record<string, Edm>>
export type Types = Readonly<Record<string, Fields>>
/** Values as the world has them: days and instants in ISO 8601, decimals as text. */
export type Row = Readonly<Record<string, unknown>>

/** An answer that is a no. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string
  /** Property or path at fault. */
  readonly target: string
  constructor(status: number, code: string, message: string, target = '') {
    super(message)
    this.status = status
    this.code = code
    this.target = target
  }
}

const invalid = (message: string): Refusal => new Refusal(400, '/IWBEP/CM_MGW_RT/021', message)

function fieldOf(types: Types, type: string, name: string): Edm {
  const fields = types[type]
  if (!fields || !Object.hasOwn(fields, name)) {
    throw new Refusal(400, '005056A509B11EE1B9A8FEC11C23378E', `Resource not found for segment '${name}'.`)
  }
  return fields[name] as Edm
}

/* ---- filters ---- */

interface Token {
  readonly kind: 'word' | 'mark' | 'string' | 'number' | 'date' | 'instant' | 'time'
  readonly text: string
}

function tokens(filter: string): Token[] {
  const pattern =
    /\s+|(datetimeoffset|datetime|time)'([^']*)'|'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?)[MmLlDd]?(?!\w)|([A-Za-z_][\w/]*)|([(),])/y
  const found: Token[] = []
  while (pattern.lastIndex < filter.length) {
    const at = pattern.lastIndex
    const match = pattern.exec(filter)
    if (!match) throw invalid(`Invalid expression at position ${at}`)
    const [, typed, typedText = '', text, number, word, mark] = match
    if (typed !== undefined) {
      const kind = typed === 'datetime' ? 'date' : typed === 'time' ? 'time' : 'instant'
      const form = {
        date: /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$/,
        instant: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
        time: /^PT(\d+H)?(\d+M)?(\d+S)?$/,
      }[kind]
      if (!form.test(typedText)) throw invalid(`Invalid literal ${typed}'${typedText}'`)
      found.push({ kind, text: typedText })
    } else if (text !== undefined) found.push({ kind: 'string', text: text.replaceAll("''", "'") })
    else if (number !== undefined) found.push({ kind: 'number', text: number })
    else if (word !== undefined) found.push({ kind: 'word', text: word })
    else if (mark !== undefined) found.push({ kind: 'mark', text: mark })
  }
  return found
}

type Predicate = (row: Row) => boolean

export function parseFilter(filter: string, types: Types, type: string): Predicate {
  const list = tokens(filter)
  let at = 0
  const isNext = (text: string) => {
    const token = list[at]
    return token !== undefined && (token.kind === 'word' || token.kind === 'mark') && token.text === text
  }
  const take = (text: string) => {
    if (!isNext(text)) throw invalid(`Invalid expression: '${text}' expected`)
    at++
  }
  const chain = (word: string, next: () => Predicate, join: (terms: Predicate[]) => Predicate) => () => {
    const terms = [next()]
    while (isNext(word)) {
      at++
      terms.push(next())
    }
    return terms.length === 1 ? (terms[0] as Predicate) : join(terms)
  }
  const negation = (): Predicate => {
    if (!isNext('not')) return primary()
    at++
    const term = negation()
    return (row) => !term(row)
  }
  const conjunction = chain('and', negation, (terms) => (row) => terms.every((term) => term(row)))
  const disjunction = chain('or', conjunction, (terms) => (row) => terms.some((term) => term(row)))
  const property = (): { name: string; edm: Edm } => {
    const token = list[at++]
    if (token?.kind !== 'word') throw invalid('Invalid expression: property expected')
    if (token.text.includes('/')) throw invalid(`Filtering behind '${token.text}' is not supported`)
    const edm = fieldOf(types, type, token.text)
    if (typeof edm === 'object') throw invalid(`Filtering on '${token.text}' is not supported`)
    return { name: token.text, edm }
  }
  const primary = (): Predicate => {
    if (isNext('(')) {
      at++
      const inner = disjunction()
      take(')')
      return inner
    }
    if (isNext('substringof') || isNext('startswith')) {
      const isPart = list[at++]?.text === 'substringof'
      take('(')
      const first = isPart ? list[at++] : undefined
      if (isPart) take(',')
      const { name, edm } = property()
      if (!isPart) take(',')
      const part = first ?? list[at++]
      take(')')
      if ((edm !== 'string' && edm !== 'alpha') || part?.kind !== 'string') throw invalid('Invalid arguments')
      return (row) => {
        const value = String(row[name] ?? '')
        return isPart ? value.includes(part.text) : value.startsWith(part.text)
      }
    }
    const { name, edm } = property()
    const operator = list[at++]
    if (operator?.kind !== 'word' || !/^(eq|ne|gt|ge|lt|le)$/.test(operator.text)) {
      throw invalid('Invalid expression: comparison expected')
    }
    const against = literalFor(edm, list[at++], name)
    return (row) => compareBy(operator.text, comparable(edm, row[name]), against)
  }
  const predicate = disjunction()
  if (at < list.length) throw invalid('Invalid expression: end expected')
  return predicate
}

function literalFor(edm: Edm, token: Token | undefined, name: string): string | null {
  if (token?.kind === 'word' && token.text === 'null') return null
  const wanted = { string: 'string', alpha: 'string', decimal: 'number', boolean: 'word' } as const
  const kind = typeof edm === 'string' && edm in wanted ? wanted[edm as keyof typeof wanted] : edm
  if (token === undefined || token.kind !== kind) throw invalid(`Invalid literal for '${name}'`)
  if (edm === 'boolean' && !/^(true|false)$/.test(token.text)) throw invalid(`Invalid literal for '${name}'`)
  if (edm === 'time') return comparable(edm, clockOf(token.text))
  return comparable(edm, token.text)
}

function clockOf(duration: string): string {
  const part = (letter: string) => (new RegExp(`(\\d+)${letter}`).exec(duration)?.[1] ?? '0').padStart(2, '0')
  return `${part('H')}:${part('M')}:${part('S')}`
}

/** As text that sorts as the value does. */
function comparable(edm: Edm, value: unknown): string | null {
  if (value === null || value === undefined) return null
  const text = String(value)
  switch (edm) {
    case 'alpha':
      return /^\d+$/.test(text) ? text.padStart(40, '0') : text
    case 'decimal':
      return (Number(text) + 1e15).toFixed(3).padStart(24, '0')
    case 'date':
      return text.slice(0, 10)
    case 'instant':
      return new Date(text).toISOString()
    default:
      return text
  }
}

function compareBy(operator: string, a: string | null, b: string | null): boolean {
  if (a === null || b === null) {
    if (operator === 'eq') return a === b
    return operator === 'ne' && a !== b
  }
  const order = a < b ? -1 : a > b ? 1 : 0
  const wanted = { eq: [0], ne: [-1, 1], gt: [1], ge: [0, 1], lt: [-1], le: [-1, 0] }[operator] ?? []
  return wanted.includes(order)
}

export function parseOrder(orderby: string, types: Types, type: string): (a: Row, b: Row) => number {
  const terms = orderby.split(',').map((term) => {
    const [, name, direction] = /^\s*(\w+)(?:\s+(asc|desc))?\s*$/.exec(term) ?? []
    if (!name) throw invalid(`Invalid $orderby '${term}'`)
    const edm = fieldOf(types, type, name)
    if (typeof edm === 'object') throw invalid(`Cannot order by '${name}'`)
    return { name, edm, sign: direction === 'desc' ? -1 : 1 }
  })
  return (a, b) => {
    for (const { name, edm, sign } of terms) {
      const [x, y] = [comparable(edm, a[name]), comparable(edm, b[name])]
      if (x === y) continue
      if (x === null || y === null) return (x === null ? -1 : 1) * sign
      return (x < y ? -1 : 1) * sign
    }
    return 0
  }
}

/* ---- what is shown ---- */

export interface Show {
  readonly types: Types
  /** `__metadata` of an entity. */
  metadata(type: string, row: Row): Row
}

/** Writes an entity as JSON wants it: chosen columns, expanded navigations, the others deferred. */
export function project(
  show: Show,
  type: string,
  row: Row,
  select: readonly string[] | undefined,
  expand: readonly string[],
): Row {
  const shown: Record<string, unknown> = { __metadata: show.metadata(type, row) }
  const fields = show.types[type] ?? {}
  for (const [name, edm] of Object.entries(fields)) {
    const below = (paths: readonly string[]) =>
      paths.flatMap((path) => (path.startsWith(`${name}/`) ? [path.slice(name.length + 1)] : []))
    const chosen = select?.includes(name) || select === undefined || select.includes('*')
    if (typeof edm !== 'object') {
      if (chosen) shown[name] = wire(edm, row[name])
      continue
    }
    const isExpanded = expand.some((path) => path === name || path.startsWith(`${name}/`))
    const columns = select === undefined || select.includes(name) ? undefined : below(select)
    if (!isExpanded) {
      if (chosen) shown[name] = { __deferred: { uri: `${String(show.metadata(type, row).uri)}/${name}` } }
      continue
    }
    if (columns?.length === 0) continue
    const inner = 'many' in edm ? edm.many : edm.one
    const entity = (one: Row) => project(show, inner, one, columns, below(expand))
    if ('many' in edm) shown[name] = { results: ((row[name] as Row[] | undefined) ?? []).map(entity) }
    else shown[name] = row[name] ? entity(row[name] as Row) : null
  }
  return shown
}

/** Every path of `$select` and `$expand` must exist, and what is selected behind a navigation must be expanded. */
export function checkPaths(
  types: Types,
  type: string,
  select: readonly string[],
  expand: readonly string[],
): void {
  const walk = (path: string): Edm => {
    let at = type
    let edm: Edm = 'string'
    for (const step of path.split('/')) {
      edm = fieldOf(types, at, step)
      at = typeof edm !== 'object' ? '' : 'many' in edm ? edm.many : edm.one
    }
    return edm
  }
  for (const path of expand) {
    if (typeof walk(path) !== 'object') throw invalid(`'${path}' cannot be expanded`)
  }
  for (const path of select) {
    if (path === '*') continue
    walk(path)
    const navigation = path.split('/').slice(0, -1).join('/')
    if (navigation !== '' && !expand.some((one) => one === navigation || one.startsWith(`${navigation}/`))) {
      throw invalid(`'${path}' is selected but not expanded`)
    }
  }
}

export function wire(edm: Edm, value: unknown): unknown {
  if (value === null || value === undefined) return edm === 'string' || edm === 'alpha' ? '' : null
  switch (edm) {
    case 'date':
      return `/Date(${Date.parse(`${String(value).slice(0, 10)}T00:00:00Z`)})/`
    case 'instant':
      return `/Date(${Date.parse(String(value))}+0000)/`
    case 'time': {
      const [hours, minutes, seconds] = String(value).split(':')
      return `PT${hours}H${minutes}M${seconds}S`
    }
    case 'boolean':
      return value
    default:
      return String(value)
  }
}
