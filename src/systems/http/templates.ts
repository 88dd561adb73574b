/**
 * Texts with holes: `/employees/{key}`. What stands between braces is an expression; `{{` and `}}` are braces. Each
 * value is encoded for the place where it stands, so that no key can become a path or a second parameter.
 */
import { SourceError } from '../failure.ts'
import {
  compileExpression,
  type Expression,
  ExpressionError,
  textOf,
  type Vocabulary,
} from './expressions.ts'

export interface Template {
  /** As the configuration has it. */
  readonly source: string
  readonly parts: readonly (string | Expression)[]
}

/** @throws ExpressionError */
export function compileTemplate(source: string, vocabulary: Vocabulary): Template {
  const parts: (string | Expression)[] = []
  let text = ''
  for (let at = 0; at < source.length; at++) {
    const character = source[at] as string
    if ((character === '{' || character === '}') && source[at + 1] === character) {
      text += character
      at++
    } else if (character === '}') {
      throw new ExpressionError(`"}" without "{" (at character ${at})`)
    } else if (character === '{') {
      const end = endOfHole(source, at)
      if (text !== '') parts.push(text)
      text = ''
      parts.push(compileExpression(source.slice(at + 1, end), vocabulary))
      at = end
    } else text += character
  }
  if (text !== '') parts.push(text)
  return { source, parts }
}

/** The brace that ends the hole: expressions have braces and quoted texts of their own. */
function endOfHole(source: string, start: number): number {
  let depth = 0
  let quote = ''
  for (let at = start; at < source.length; at++) {
    const character = source[at] as string
    if (quote !== '') {
      if (character === '\\') at++
      else if (character === quote) quote = ''
    } else if (character === '"' || character === "'" || character === '`') quote = character
    else if (character === '{') depth++
    else if (character === '}' && --depth === 0) return at
  }
  throw new ExpressionError(`"{" without "}" (at character ${start})`)
}

/** A record with such a key cannot be asked for: its place in the path would be empty, or climb. */
const notAddressable = (): SourceError =>
  new SourceError({ kind: 'not-found', message: 'There is no such record.' })

/** @throws ExpressionError, or SourceError `not-found` */
export async function fillPath(template: Template, input: unknown): Promise<string> {
  let path = ''
  for (const part of template.parts) {
    if (typeof part === 'string') {
      path += part
      continue
    }
    const text = textOf(await part.evaluate(input))
    if (text === undefined || !text.isWellFormed()) throw notAddressable()
    path += encodeURIComponent(text)
  }
  if (/(^|\/)\.{1,2}(\/|$)/.test(path)) throw notAddressable()
  return path
}

/**
 * @returns The values of one parameter: none where its holes are all empty, several where its only hole is a list.
 * @throws ExpressionError
 */
export async function fillValues(template: Template, input: unknown): Promise<readonly string[]> {
  const [only] = template.parts
  if (template.parts.length === 1 && typeof only === 'object') {
    const value = await only.evaluate(input)
    return (Array.isArray(value) ? value : [value]).flatMap((item) => scalar(item, only.source) ?? [])
  }
  let text = ''
  let filled = template.parts.every((part) => typeof part === 'string')
  for (const part of template.parts) {
    const value = typeof part === 'string' ? part : scalar(await part.evaluate(input), part.source)
    if (typeof part !== 'string' && value !== undefined) filled = true
    text += value ?? ''
  }
  return filled ? [text] : []
}

function scalar(value: unknown, source: string): string | undefined {
  if (value !== null && typeof value === 'object')
    throw new ExpressionError(`{${source}} gives no single text`)
  return textOf(value)
}

/** @returns Undefined where its holes are all empty. @throws ExpressionError */
export async function fillHeader(template: Template, input: unknown): Promise<string | undefined> {
  const [value] = await fillValues(template, input)
  if (value === undefined || /^[\t\x20-\x7e]*$/.test(value)) return value
  throw new ExpressionError(`"${template.source}" gives what no header can carry; use $encodeUrlComponent`)
}
