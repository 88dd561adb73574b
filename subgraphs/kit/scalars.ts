/** Our four scalars. Written here because each refuses in words that say what to send instead. */
import { inspect } from 'node:util'
import { GraphQLScalarType, Kind } from 'graphql'
import { badInput } from './errors.ts'

function textScalar(name: string, check: (text: string) => boolean, expected: string): GraphQLScalarType {
  const parse = (value: unknown): string => {
    if (typeof value === 'string' && check(value)) return value
    throw badInput(`${name} must be ${expected}; got ${shown(value)}.`)
  }
  return new GraphQLScalarType({
    name,
    serialize: (value) => String(value),
    parseValue: parse,
    parseLiteral: (node) => parse(node.kind === Kind.STRING ? node.value : literalText(node)),
  })
}

/** Short, and never by recursion: the value is whatever a client sent. */
function shown(value: unknown): string {
  if (typeof value !== 'string')
    return inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80)
  return value.length > 80 ? `${JSON.stringify(value.slice(0, 80))}…` : JSON.stringify(value)
}

const literalText = (node: object): unknown => ('value' in node ? { unquoted: node.value } : null)

function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const parsed = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(text)
}

export const scalars = {
  Decimal: textScalar(
    'Decimal',
    (text) => text.length <= 40 && /^-?\d+(\.\d+)?$/.test(text),
    'a decimal number in quotes, such as "12.50"',
  ),
  CurrencyCode: textScalar(
    'CurrencyCode',
    (text) => /^[A-Z]{3}$/.test(text),
    'a code of ISO 4217 in quotes, such as "CNY"',
  ),
  Date: textScalar('Date', isDay, 'a calendar day in quotes, such as "2026-06-30"'),
  DateTime: textScalar(
    'DateTime',
    (text) => /^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/.test(text) && !Number.isNaN(Date.parse(text)),
    'a moment with an offset in quotes, such as "2026-06-30T17:00:00+08:00"',
  ),
}
