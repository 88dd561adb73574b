/**
 * Expressions of a configured system: JSONata, held to bounds. What an expression sees is data only: no prototype, no
 * code of ours but the functions below, no text of a system evaluated as an expression, regular expressions in
 * linear time.
 * @see https://docs.jsonata.org
 */
import Big from 'big.js'
import jsonata from 'jsonata'
import { RE2JS } from 're2js'
import type { Clock } from '../kit/clock.ts'
import { plainDecimal } from '../kit/json.ts'
import { joinKey, splitKey } from '../records.ts'
import { toDateTime, toDay } from './times.ts'

export interface Expression {
  readonly source: string
  /** @throws ExpressionError */
  evaluate(input: unknown, variables?: Readonly<Record<string, unknown>>): Promise<unknown>
}

/** An expression cannot be understood, or not be applied to what it was given. */
export class ExpressionError extends Error {
  override readonly name = 'ExpressionError'
}

/** What the functions know of the system. */
export interface Vocabulary {
  /** Code tables: name → what the vendor writes → what it means. */
  readonly codes: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** For times without an offset. */
  readonly clock: Clock
}

/** ES2026; this TypeScript does not know it yet. A text that becomes a JSON number digit by digit. */
const rawJson = JSON as unknown as { rawJSON(text: string): object; isRawJSON(value: unknown): boolean }

/** One record is mapped in microseconds; what takes this long does not end. */
const TIMEOUT_MS = 250
const MAX_STACK = 100
const MAX_SEQUENCE = 100_000
/** What one expression may give: values, and levels of nesting. */
const MAX_VALUES = 1_000_000
const MAX_DEPTH = 32

/** @throws ExpressionError */
export function compileExpression(source: string, vocabulary: Vocabulary): Expression {
  let compiled: jsonata.Expression
  try {
    compiled = jsonata(source, {
      timeout: TIMEOUT_MS,
      stack: MAX_STACK,
      sequence: MAX_SEQUENCE,
      RegexEngine: LinearRegExp as unknown as RegExpConstructor,
    })
    checkRegExps(compiled.ast())
  } catch (error) {
    throw explained(error)
  }
  for (const [name, implementation] of Object.entries(functions(vocabulary)))
    compiled.assign(name, implementation)
  const path = simplePath(compiled.ast())
  return {
    source,
    async evaluate(input, variables) {
      const direct = path && walk(path, input)
      if (direct) return plainValue(direct.value)
      try {
        return plainValue(await compiled.evaluate(input, { ...variables }))
      } catch (error) {
        throw explained(error)
      }
    },
  }
}

/** The names of `a.b.c`: most expressions are no more than that, and the evaluator takes a hundred times as long. */
function simplePath(ast: object): readonly string[] | undefined {
  const isPlain = (node: object, ...fields: string[]) =>
    Object.keys(node).every((name) => fields.includes(name))
  const { type, steps } = ast as { type?: string; steps?: readonly { type: string; value: unknown }[] }
  if (type !== 'path' || !steps || !isPlain(ast, 'type', 'steps')) return undefined
  const simple = steps.every((step) => step.type === 'name' && isPlain(step, 'type', 'value', 'position'))
  return simple ? steps.map(({ value }) => String(value)) : undefined
}

/** @returns Undefined where a list is met: the language has rules of its own for those. */
function walk(path: readonly string[], input: unknown): { readonly value: unknown } | undefined {
  let value = input
  for (const name of path) {
    if (Array.isArray(value)) return undefined
    value =
      value !== null && typeof value === 'object' && Object.hasOwn(value, name)
        ? (value as Record<string, unknown>)[name]
        : undefined
  }
  return Array.isArray(value) ? undefined : { value }
}

function explained(error: unknown): ExpressionError {
  const { message, position } = Object(error) as { message?: unknown; position?: unknown }
  const where = typeof position === 'number' ? ` (at character ${position})` : ''
  return new ExpressionError(`${String(message).slice(0, 200)}${where}`, { cause: error })
}

/* ---- functions ---- */

/** By name, without `$`. Decimals are text; these calculate exactly. `undefined` in, `undefined` out. */
function functions({ codes, clock }: Vocabulary): Record<string, (...args: unknown[]) => unknown> {
  const exact = (work: (a: Big, b: Big) => Big) => (a: unknown, b: unknown) => {
    const [left, right] = [bigOf(a), bigOf(b)]
    return left && right ? work(left, right).toString() : undefined
  }
  const table = (name: unknown): Readonly<Record<string, string>> => {
    if (typeof name === 'string' && Object.hasOwn(codes, name)) return codes[name] ?? {}
    throw new ExpressionError(`there is no code table "${String(name)}"`)
  }
  return {
    plus: exact((a, b) => a.plus(b)),
    minus: exact((a, b) => a.minus(b)),
    times: exact((a, b) => a.times(b)),
    /** To `digits` decimal places (default 6), half up. */
    divide: (a, b, digits) => {
      const [left, right] = [bigOf(a), bigOf(b)]
      if (!left || !right) return undefined
      if (right.eq(0)) throw new ExpressionError('division by zero')
      const Rounded = Big()
      Rounded.DP = Math.min(20, Math.max(0, Number(digits ?? 6)))
      return new Rounded(left).div(right).toString()
    },
    /** A decimal text as a JSON number with the same digits, for bodies. */
    numeral: (text) => {
      const value = bigOf(text)
      return value === undefined ? undefined : rawJson.rawJSON(plainDecimal(String(text)))
    },
    /** What a vendor's code means, by a table of the configuration; itself where the table does not have it. */
    code: (name, value) => {
      const meanings = table(name)
      const text = textOf(value)
      return text !== undefined && Object.hasOwn(meanings, text) ? meanings[text] : text
    },
    /** The vendor's code for a meaning: the first of the table. */
    vendorCode: (name, meaning) =>
      Object.entries(table(name)).find(([, value]) => value === textOf(meaning))?.[0],
    /** A calendar day, also where the vendor writes it as midnight. */
    day: (text) => (isNothing(text) ? undefined : required(toDay(String(text)), text, 'calendar day')),
    /** A moment with offset; milliseconds since 1970 too. */
    time: (text) =>
      isNothing(text) ? undefined : required(toDateTime(String(text), clock), text, 'date-time'),
    joinKey: (parts) => (Array.isArray(parts) ? joinKey(parts.map((part) => textOf(part) ?? '')) : undefined),
    splitKey: (key) => (isNothing(key) ? undefined : splitKey(String(key))),
    eval: () => {
      throw new ExpressionError('$eval is not available: text of a system is never an expression')
    },
  }
}

const isNothing = (value: unknown): boolean => value === undefined || value === null || value === ''

function bigOf(value: unknown): Big | undefined {
  if (isNothing(value)) return undefined
  try {
    return new Big(typeof value === 'number' ? String(value) : (value as string))
  } catch {
    throw new ExpressionError(`"${String(value).slice(0, 40)}" is no decimal number`)
  }
}

function required<T>(value: T | null | undefined, text: unknown, what: string): T {
  if (value !== null && value !== undefined) return value
  throw new ExpressionError(`"${String(text).slice(0, 40)}" is no ${what}`)
}

/** A text, or what stands for one; nothing for empty texts, lists and objects. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  if (typeof value === 'number' && Number.isFinite(value)) return plainDecimal(String(value))
  return typeof value === 'boolean' ? String(value) : undefined
}

/** What an expression gave, as a list. JSONata makes no difference between one value and a list of one. */
export function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

/** A copy that is JSON, whatever the evaluator's own values carry. @throws ExpressionError beyond the bounds */
function plainValue(result: unknown): unknown {
  let values = 0
  const copy = (value: unknown, depth: number): unknown => {
    if (++values > MAX_VALUES || depth > MAX_DEPTH) throw new ExpressionError('the result is too large')
    if (value === null || typeof value !== 'object') return typeof value === 'function' ? undefined : value
    if (rawJson.isRawJSON(value)) return value
    if (Array.isArray(value)) return Array.from(value, (item) => copy(item, depth + 1))
    // Without a prototype: a vendor's field may be called __proto__.
    const fields: Record<string, unknown> = Object.create(null)
    for (const [name, item] of Object.entries(value)) fields[name] = copy(item, depth + 1)
    return fields
  }
  return copy(result, 0)
}

/* ---- regular expressions ---- */

/** As much of `RegExp` as JSONata uses, in time linear in the text: a system's answer cannot stall the gateway. */
class LinearRegExp {
  lastIndex = 0
  readonly #pattern: RE2JS
  constructor(pattern: RegExp) {
    this.#pattern = linear(pattern)
  }
  exec(text: string): (string[] & { index: number }) | null {
    const matcher = this.#pattern.matcher(text)
    if (this.lastIndex > text.length || !matcher.find(this.lastIndex)) return null
    this.lastIndex = matcher.end()
    const groups = Array.from(
      { length: matcher.groupCount() + 1 },
      (_, index) => matcher.group(index) as string,
    )
    return Object.assign(groups, { index: matcher.start() })
  }
}

const patterns = new WeakMap<RegExp, RE2JS>()

function linear(pattern: RegExp): RE2JS {
  let known = patterns.get(pattern)
  if (!known) {
    const flags =
      (pattern.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0) | (pattern.multiline ? RE2JS.MULTILINE : 0)
    known = RE2JS.compile(RE2JS.translateRegExp(pattern.source), flags)
    patterns.set(pattern, known)
  }
  return known
}

/** Look-around and back references are refused when the configuration is read, not when the first record comes. */
function checkRegExps(node: unknown): void {
  if (node instanceof RegExp) linear(node)
  else if (node && typeof node === 'object') for (const part of Object.values(node)) checkRegExps(part)
}
