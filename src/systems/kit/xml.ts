/**
 * XML in and out, for answers that nobody here controls: well-formed or refused, namespaces resolved, no DTD, no
 * entity but the five of XML itself, bounded depth.
 */
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { SourceError } from '../failure.ts'

export interface XmlElement {
  readonly namespace: string
  readonly name: string
  /** By name; of those in a namespace by `{namespace}name`. */
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  /** Character data of this element alone, CDATA included, white space as it came. */
  readonly text: string
}

/** Answers of business systems are some ten levels deep at most. */
const MAX_DEPTH = 40

/** What the parser gives with `preserveOrder`: one key beside `:@`, the element's name or that of its text. */
type ParsedNode = Readonly<Record<string, unknown>> & { readonly ':@'?: Readonly<Record<string, string>> }

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  trimValues: false,
  // References are resolved below, so that `&lt;` inside CDATA stays what it is and unknown ones are refused.
  processEntities: false,
  cdataPropName: '#cdata',
  maxNestedTags: MAX_DEPTH,
})

/** @throws SourceError `invalid-response` */
export function readXml(text: string): XmlElement {
  // The parser repairs what is cut off or unbalanced; only the validator refuses it.
  const verdict = XMLValidator.validate(text)
  if (verdict !== true) throw unreadable(`${verdict.err.msg} (line ${verdict.err.line})`)
  if (hasDeclarations(text)) throw unreadable('it has a document type declaration')
  let nodes: readonly ParsedNode[]
  try {
    nodes = parser.parse(text)
  } catch (error) {
    throw unreadable(error instanceof Error ? error.message : String(error))
  }
  const roots = nodes.filter((node) => /^[^#?]/.test(nameOf(node)))
  const [root] = roots
  if (!root || roots.length > 1) throw unreadable('it has not exactly one root element')
  return elementOf(root, { own: new Map([['xml', 'http://www.w3.org/XML/1998/namespace']]) })
}

/**
 * Whether there is `<!DOCTYPE` or anything else of a DTD, which a SOAP message must not contain (SOAP 1.1 section 3).
 * Inside comments and CDATA it is only text. In linear time, whatever the text.
 */
function hasDeclarations(text: string): boolean {
  for (let at = text.indexOf('<!'); at >= 0; at = text.indexOf('<!', at)) {
    const end = text.startsWith('<!--', at) ? '-->' : text.startsWith('<![CDATA[', at) ? ']]>' : undefined
    if (end === undefined) return true
    at = text.indexOf(end, at + 4)
    if (at < 0) return true
  }
  return false
}

/** Prefixes declared on one element; those around it are not copied, so that a million declarations stay cheap. */
interface Scope {
  readonly own: ReadonlyMap<string, string>
  readonly outer?: Scope
}

function elementOf(node: ParsedNode, outer: Scope): XmlElement {
  const qualified = nameOf(node)
  const given = Object.entries(node[':@'] ?? {}).map(([name, value]) => [name, resolve(value)] as const)
  const declared = given.filter(([name]) => name === 'xmlns' || name.startsWith('xmlns:'))
  const scope: Scope =
    declared.length === 0
      ? outer
      : { own: new Map(declared.map(([name, value]) => [name.slice(6), value])), outer }
  const attributes = new Map<string, string>()
  for (const [name, value] of given) {
    if (name === 'xmlns' || name.startsWith('xmlns:')) continue
    const [prefix, local] = splitName(name)
    attributes.set(prefix === '' ? local : `{${namespaceOf(prefix, scope)}}${local}`, value)
  }
  const children: XmlElement[] = []
  let text = ''
  for (const child of node[qualified] as readonly ParsedNode[]) {
    const name = nameOf(child)
    if (name === '#text') text += resolve(child['#text'] as string)
    else if (name === '#cdata') text += cdataOf(child)
    else if (!name.startsWith('?')) children.push(elementOf(child, scope))
  }
  const [prefix, name] = splitName(qualified)
  return { namespace: namespaceOf(prefix, scope), name, attributes, children, text }
}

function nameOf(node: ParsedNode): string {
  return Object.keys(node).find((key) => key !== ':@') ?? ''
}

function cdataOf(node: ParsedNode): string {
  return (node['#cdata'] as readonly ParsedNode[]).map((part) => part['#text'] as string).join('')
}

function splitName(qualified: string): [prefix: string, local: string] {
  const at = qualified.indexOf(':')
  return at < 0 ? ['', qualified] : [qualified.slice(0, at), qualified.slice(at + 1)]
}

function namespaceOf(prefix: string, scope: Scope): string {
  for (let level: Scope | undefined = scope; level; level = level.outer) {
    const namespace = level.own.get(prefix)
    if (namespace !== undefined) return namespace
  }
  if (prefix === '') return ''
  throw unreadable(`prefix "${prefix}" is not declared`)
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function resolve(text: string): string {
  return text.replace(/&([^;&]*);?/g, (reference, name: string) => {
    const entity = Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined
    if (entity !== undefined) return entity
    const digits = /^#(?:x([0-9a-f]{1,6})|([0-9]{1,7}))$/i.exec(name)
    const code = digits?.[1] ? Number.parseInt(digits[1], 16) : Number(digits?.[2] ?? Number.NaN)
    if (!(code <= 0x10ffff) || !isXmlText(String.fromCodePoint(code))) {
      throw unreadable(`reference "${reference.slice(0, 20)}" means nothing`)
    }
    return String.fromCodePoint(code)
  })
}

function unreadable(detail: string): SourceError {
  return new SourceError({ kind: 'invalid-response', detail: `not readable as XML: ${detail.slice(0, 200)}` })
}

/** Whether XML 1.0 can carry this text: no control characters, no half of a surrogate pair. */
export function isXmlText(text: string): boolean {
  return /^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]*$/u.test(text)
}

/** For element content and for attributes in double quotes. A bare carriage return would be read as a line feed. */
export function escapeXml(text: string): string {
  return text.replace(/[<>&"\r]/g, (character) => `&#${character.charCodeAt(0)};`)
}
