import Big from 'big.js'
import { SourceError } from '../failure.ts'
import type { Decimal } from '../records.ts'

// Exponent notation would leave our decimals; these bounds keep `toString` plain for any amount a system sends.
Big.PE = 1_000
Big.NE = -1_000

/**
 * Parses JSON with every number as its decimal text: amounts never become doubles, and 18-digit ids stay whole.
 * @throws SourceError `invalid-response`
 */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text, ((_key: string, value: unknown, context?: { source?: string }) =>
      typeof value === 'number' ? plainDecimal(context?.source ?? String(value)) : value) as (
      key: string,
      value: unknown,
    ) => unknown)
  } catch {
    throw new SourceError({ kind: 'invalid-response', detail: `${what}: not JSON, but ${formOf(text)}` })
  }
}

/** Not the text itself: an error page may repeat the credentials that it was sent. */
function formOf(text: string): string {
  const start = text.trimStart()
  const form =
    start === '' ? 'nothing' : /^[[{"]/.test(start) ? 'a part of it' : /^</.test(start) ? 'markup' : 'text'
  return `${form} of ${text.length} characters`
}

/** Writes a JSON number or decimal text without exponent and without a plus sign; keeps trailing zeros. */
export function plainDecimal(source: string): Decimal {
  if (/^-?\d+(\.\d+)?$/.test(source)) return source
  return new Big(source.replace(/^\+/, '')).toString()
}

export function isDecimal(text: string): boolean {
  return /^-?\d+(\.\d+)?$/.test(text)
}

/** For `JSON.stringify`: decimal text becomes a number with all its digits; other text stays text. */
export const jsonNumber = (text: string): unknown =>
  /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)
    ? (JSON as unknown as { rawJSON(text: string): object }).rawJSON(text)
    : text
