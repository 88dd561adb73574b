/** Bodies on the wire: JSON, XML, forms and JSON-RPC, out of and into plain data. */
import { SourceError } from '../failure.ts'
import { parseJson } from '../kit/json.ts'
import { escapeXml, isXmlText, readXml, type XmlElement } from '../kit/xml.ts'
import { ExpressionError, textOf } from './expressions.ts'

export type Format = 'json' | 'xml' | 'form' | 'jsonRpc'

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json; charset=utf-8',
  xml: 'application/xml; charset=utf-8',
  form: 'application/x-www-form-urlencoded',
  jsonRpc: 'application/json; charset=utf-8',
}

/** @param id Of this call, for JSON-RPC. @throws ExpressionError where this form cannot say it */
export function writeBody(format: Format, value: unknown, rpc: { method: string; id: string }): string {
  switch (format) {
    case 'json':
      return JSON.stringify(value ?? null)
    case 'jsonRpc': {
      const { method, id } = rpc
      return JSON.stringify({ jsonrpc: '2.0', id, method, ...(value === undefined ? {} : { params: value }) })
    }
    case 'form':
      return writeForm(value)
    case 'xml':
      return writeXml(value)
  }
}

/** @throws SourceError `invalid-response` */
export function readBody(format: Format, text: string, what: string): unknown {
  if (text.trim() === '') return null
  return format === 'xml' ? xmlData(readXml(text)) : parseJson(text, what)
}

function writeForm(value: unknown): string {
  const form = new URLSearchParams()
  for (const [name, given] of Object.entries(Object(value))) {
    for (const item of Array.isArray(given) ? given : [given]) {
      if (item === undefined || item === null) continue
      const text = item === '' ? '' : textOf(item)
      if (text === undefined)
        throw new ExpressionError(`"${name}" of a form must be a text or a list of texts`)
      form.append(name, text)
    }
  }
  return form.toString()
}

/* ---- XML ---- */

/**
 * An element as data: its text where it has nothing else, or an object of `@attribute`, child elements by local name,
 * a list where a name repeats, and `#text`.
 */
function xmlData(root: XmlElement): Record<string, unknown> {
  return named([[root.name, dataOf(root)]])
}

function dataOf(element: XmlElement): unknown {
  if (element.children.length === 0 && element.attributes.size === 0) return element.text
  const fields: [string, unknown][] = [...element.attributes].map(([name, value]) => [
    `@${localName(name)}`,
    value,
  ])
  const children = new Map<string, unknown[]>()
  for (const child of element.children) {
    const same = children.get(child.name)
    if (same) same.push(dataOf(child))
    else children.set(child.name, [dataOf(child)])
  }
  for (const [name, values] of children) fields.push([name, values.length === 1 ? values[0] : values])
  if (element.text.trim() !== '') fields.push(['#text', element.text])
  return named(fields)
}

const localName = (name: string): string => name.replace(/^\{[^}]*\}/, '')

/** Without a prototype: an element may be called __proto__. */
function named(fields: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const data: Record<string, unknown> = Object.create(null)
  for (const [name, value] of fields) data[name] = value
  return data
}

function writeXml(value: unknown): string {
  const entries = Object.entries(Object(value))
  const [root] = entries
  if (!root || entries.length > 1)
    throw new ExpressionError('an XML body is an object with one field: its root')
  return `<?xml version="1.0" encoding="UTF-8"?>${writeElement(...root)}`
}

/** XML names, as far as anybody uses them in interfaces: no white space, no markup. */
const NAME = /^[\p{L}_][\p{L}\p{N}_.:-]*$/u

function writeElement(name: string, value: unknown): string {
  if (!NAME.test(name)) throw new ExpressionError(`"${name.slice(0, 40)}" is no name of an XML element`)
  if (Array.isArray(value)) return value.map((item) => writeElement(name, item)).join('')
  if (value === undefined || value === null) return ''
  if (typeof value !== 'object') return `<${name}>${xmlText(value)}</${name}>`
  let attributes = ''
  let content = ''
  for (const [field, item] of Object.entries(value)) {
    if (field === '#text') content += xmlText(item)
    else if (!field.startsWith('@')) content += writeElement(field, item)
    else if (!NAME.test(field.slice(1)))
      throw new ExpressionError(`"${field.slice(0, 40)}" is no name of an attribute`)
    else if (item !== undefined && item !== null) attributes += ` ${field.slice(1)}="${xmlText(item)}"`
  }
  return `<${name}${attributes}>${content}</${name}>`
}

function xmlText(value: unknown): string {
  const text = value === '' ? '' : textOf(value)
  if (text === undefined || !isXmlText(text)) throw new ExpressionError('XML cannot carry this text')
  return escapeXml(text)
}

/* ---- JSON-RPC ---- */

export type RpcAnswer =
  | { readonly result: unknown }
  | { readonly error: { readonly code: string; readonly message: string; readonly data: unknown } }

/** @see https://www.jsonrpc.org/specification section 5. @throws SourceError `invalid-response` */
export function readRpc(envelope: unknown, id: string, what: string): RpcAnswer {
  const answer = Object(envelope) as Record<string, unknown>
  const error = answer.error === undefined || answer.error === null ? null : Object(answer.error)
  // An error may come without our id where the system could not even read the call.
  if (error && (answer.id === id || answer.id === null || answer.id === undefined)) {
    return {
      error: { code: textOf(error.code) ?? '', message: textOf(error.message) ?? '', data: error.data },
    }
  }
  if (answer.jsonrpc === '2.0' && answer.id === id && Object.hasOwn(answer, 'result'))
    return { result: answer.result }
  throw new SourceError({ kind: 'invalid-response', detail: `${what}: no JSON-RPC answer to this call` })
}
