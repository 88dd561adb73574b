/**
 * SOAP 1.1 and 1.2, document/literal wrapped, written by hand on our HTTP client: see README.md for why not by a library.
 * Every ending becomes a failure that says what to do next; after a write was sent, "no readable answer" is
 * `unknown-outcome`.
 */
import { randomBytes } from 'node:crypto'
import { SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, retryAfterMs } from '../kit/http.ts'
import { escapeXml, readXml, type XmlElement } from '../kit/xml.ts'
import type { VendorRequest } from '../port.ts'
import type { SoapFinanceConfig } from './config.ts'
import {
  answers,
  businessFault,
  type Operation,
  requests,
  type Shape,
  shapeOf,
  vendorName,
} from './contract.ts'
import { basicOf, securityHeader } from './security-header.ts'

const ENVELOPES = {
  '1.1': 'http://schemas.xmlsoap.org/soap/envelope/',
  '1.2': 'http://www.w3.org/2003/05/soap-envelope',
} as const
const XSI_NIL = '{http://www.w3.org/2001/XMLSchema-instance}nil'

/** Values of a request by contract name; absent ones are left out, their order does not matter. */
export interface Fields {
  readonly [name: string]: string | Fields | readonly string[] | readonly Fields[] | undefined
}

export interface CallOptions {
  readonly writes: boolean
  readonly signal?: AbortSignal | undefined
}

export interface FinanceClient {
  /**
   * @returns The answer by contract names: text, null for `xsi:nil`, lists as lists whatever their length, nothing
   * for absent elements; unchecked beyond that.
   * @throws SourceError
   */
  call(operation: Operation, fields: Fields, options: CallOptions): Promise<Readonly<Record<string, unknown>>>
  /** The request without its security header. */
  preview(operation: Operation, fields: Fields): VendorRequest
  close(): void
}

export function createFinanceClient(config: SoapFinanceConfig, timeoutMs: number): FinanceClient {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs,
    maxBodyBytes: config.maxAnswerBytes,
    maxSockets: config.maxConnections,
    verifyCertificate: config.verifyCertificate,
  })
  const codec = createCodec(config)
  const headersOf = (operation: Operation): Record<string, string> => {
    const action = `"${config.soapAction
      .replaceAll('{namespace}', config.namespace)
      .replaceAll('{operation}', codec.nameOf('', operation))}"`
    return config.soapVersion === '1.2'
      ? {
          'content-type': `application/soap+xml; charset=utf-8; action=${action}`,
          accept: 'application/soap+xml',
        }
      : { 'content-type': 'text/xml; charset=utf-8', accept: 'text/xml', soapaction: action }
  }
  const credentials: Record<string, string> =
    config.security.profile === 'basic'
      ? { authorization: `Basic ${basicOf(config.username, config.password)}` }
      : {}
  const envelope = (body: string, header?: string) => {
    const head = header === undefined ? '' : `<soap:Header>${header}</soap:Header>`
    return `<?xml version="1.0" encoding="utf-8"?>\n<soap:Envelope xmlns:soap="${ENVELOPES[config.soapVersion]}">${head}<soap:Body>${body}</soap:Body></soap:Envelope>`
  }

  return {
    async call(operation, fields, { writes, signal }) {
      const header = securityHeader(config, new Date(), randomBytes(16))
      const answer = await http.request({
        method: 'POST',
        path: config.path,
        headers: { ...headersOf(operation), ...credentials },
        body: envelope(codec.write(operation, fields), header),
        signal,
        writes,
      })
      try {
        return readAnswer(answer, operation, codec, config, writes)
      } catch (error) {
        if (writes && error instanceof SourceError && error.failure.kind === 'invalid-response') {
          throw new SourceError({ kind: 'unknown-outcome', detail: error.failure.detail }, { cause: error })
        }
        throw error
      }
    },
    preview: (operation, fields) => ({
      method: 'POST',
      path: config.path,
      headers: headersOf(operation),
      body: envelope(codec.write(operation, fields)),
    }),
    close: () => http.close(),
  }
}

/* ---- names and elements ---- */

interface Codec {
  nameOf(parent: string, name: string): string
  write(operation: Operation, fields: Fields): string
  /** @param parent The contract's name of `element`. */
  read(element: XmlElement, parent: string, shape: Shape): Record<string, unknown>
  /** Whether it has this contract name and stands in the service's namespace. */
  is(element: XmlElement, parent: string, name: string): boolean
}

function createCodec(config: SoapFinanceConfig): Codec {
  const nameOf = (parent: string, name: string) => vendorName(config.names, parent, name)
  const prefix = config.qualified ? `${config.prefix}:` : ''

  const writeMembers = (parent: string, shape: Shape, fields: Fields): string =>
    Object.entries(shape)
      .flatMap(([name, member]) => {
        const value = fields[name]
        const values: readonly (string | Fields)[] =
          value === undefined ? [] : isList(value) ? value : [value]
        const tag = prefix + nameOf(parent, name)
        return values.map((one) => {
          const content =
            typeof one === 'string' ? escapeXml(one) : writeMembers(name, shapeOf(member) ?? {}, one)
          return `<${tag}>${content}</${tag}>`
        })
      })
      .join('')

  const is = (element: XmlElement, parent: string, name: string) =>
    element.name === nameOf(parent, name) &&
    // Inside the operation, services differ in whether elements stand in a namespace; names decide there.
    (element.namespace === config.namespace || (parent !== '' && element.namespace === ''))

  const read = (element: XmlElement, parent: string, shape: Shape): Record<string, unknown> => {
    const record: Record<string, unknown> = {}
    for (const [name, member] of Object.entries(shape)) {
      const inner = shapeOf(member)
      const values = element.children
        .filter((child) => is(child, parent, name))
        .map((child) => (inner && !isNil(child) ? read(child, name, inner) : leafOf(child)))
      const repeats = member === 'many' || Array.isArray(member)
      // A value that must be single but is not stays a list, which the record's own check then refuses.
      if (repeats || values.length > 1) record[name] = values
      else if (values.length === 1) record[name] = values[0]
    }
    return record
  }

  return {
    nameOf,
    write(operation, fields) {
      const tag = `${config.prefix}:${nameOf('', operation)}`
      const members = writeMembers(operation, requests[operation], fields)
      return `<${tag} xmlns:${config.prefix}="${escapeXml(config.namespace)}">${members}</${tag}>`
    },
    read,
    is,
  }
}

const isList = (value: NonNullable<Fields[string]>): value is readonly string[] | readonly Fields[] =>
  Array.isArray(value)

/** Text; null for `xsi:nil`; an object, which no check takes for text, where elements stand instead. */
function leafOf(element: XmlElement): unknown {
  if (isNil(element)) return null
  return element.children.length > 0 ? {} : element.text
}

function isNil(element: XmlElement): boolean {
  return ['true', '1'].includes(element.attributes.get(XSI_NIL)?.trim() ?? '')
}

/* ---- answers ---- */

function readAnswer(
  answer: HttpAnswer,
  operation: Operation,
  codec: Codec,
  config: SoapFinanceConfig,
  writes: boolean,
): Record<string, unknown> {
  const xml = xmlOf(answer)
  if (xml === undefined) throw new SourceError(withoutSoap(answer, operation, writes))
  let root: XmlElement
  try {
    root = readXml(xml)
  } catch (error) {
    // A broken page behind 502 is as good a "come back later" as a whole one.
    if (answer.status >= 400) throw new SourceError(withoutSoap(answer, operation, writes))
    throw error
  }
  const ours = ENVELOPES[config.soapVersion]
  if (root.namespace !== ours || root.name !== 'Envelope') {
    if (answer.status >= 400) throw new SourceError(withoutSoap(answer, operation, writes))
    const other = Object.entries(ENVELOPES).find(([, namespace]) => namespace === root.namespace)?.[0]
    const what = other
      ? `a SOAP ${other} envelope; see soapVersion in the configuration`
      : `<${root.name}>, no SOAP ${config.soapVersion} envelope`
    throw unreadable(`${operation}: answered with ${what}`)
  }
  const body = root.children.find((child) => child.namespace === ours && child.name === 'Body')
  const content = body?.children[0]
  if (!content) throw unreadable(`${operation}: the answer's body is empty`)
  // Real servers send faults with status 200 as well.
  if (content.namespace === ours && content.name === 'Fault') {
    throw new SourceError(describeFault(content, answer, operation, codec, config, writes))
  }
  const name = `${operation}Response`
  if (!codec.is(content, '', name)) {
    throw unreadable(`${operation}: answered with <${content.name}> of namespace "${content.namespace}"`)
  }
  if (answer.status !== 200) throw unreadable(`${operation}: an answer with HTTP status ${answer.status}`)
  return codec.read(content, name, answers[operation])
}

/** The XML of an answer, undefined where it is something else (an error page, nothing at all). */
function xmlOf(answer: HttpAnswer): string | undefined {
  const type = headerOf(answer, 'content-type')
  if (/^multipart\/related/i.test(type)) return rootPart(answer.text, type)
  const isXml = /^(text|application)\/([\w.-]+\+)?xml\b/i.test(type)
  // Some servers forget the type; a page of HTML never passes for an envelope.
  if (!isXml && !(/^(text\/plain|application\/octet-stream|$)/i.test(type) && /^\s*</.test(answer.text))) {
    return undefined
  }
  requireUtf8(type, answer.text)
  return answer.text
}

/**
 * The first part of an MTOM answer, which some servers send without being asked. (`start` may name another part;
 * no server seen does so.)
 */
function rootPart(text: string, type: string): string {
  const boundary = /boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(type)
  const [, part] = text.split(`--${boundary?.[1] ?? boundary?.[2] ?? '\n'}`)
  const end = part === undefined ? -1 : part.search(/\r?\n\r?\n/)
  if (part === undefined || end < 0) throw unreadable('a multipart answer without parts')
  const [head, content] = [part.slice(0, end), part.slice(end).trim()]
  if (/^content-transfer-encoding:\s*(base64|quoted-printable)/im.test(head)) {
    throw unreadable('a multipart answer in a transfer encoding')
  }
  requireUtf8(/^content-type:(.*)$/im.exec(head)?.[1] ?? '', content)
  return content
}

/** The body has been decoded as UTF-8 already; anything else would now be wrong, silently. */
function requireUtf8(type: string, text: string): void {
  const declared =
    /charset="?([^\s;"]+)/i.exec(type)?.[1] ?? /^\uFEFF?<\?xml[^>]*encoding=["']([^"']+)/i.exec(text)?.[1]
  if (declared && !/^(utf-?8|us-ascii|ascii)$/i.test(declared)) {
    throw unreadable(`encoded as ${declared.slice(0, 20)}; only UTF-8 is read`)
  }
}

/** What an answer without SOAP in it says: mostly a proxy speaks, or another service. */
function withoutSoap(answer: HttpAnswer, operation: Operation, writes: boolean): SourceFailure {
  const type = headerOf(answer, 'content-type') || 'no content type'
  const detail = `${operation}: HTTP ${answer.status} with ${type.slice(0, 60)} instead of SOAP`
  const retryAfter = retryAfterMs(answer.headers)
  const later = retryAfter === undefined ? {} : { retryAfterMs: retryAfter }
  if (answer.status === 401 || answer.status === 403) return { kind: 'unauthorized', detail }
  if (answer.status === 429) return { kind: 'unavailable', reason: 'rate-limited', detail, ...later }
  // Whether the service behind a failing proxy got the request, nobody can tell.
  if (writes) return { kind: 'unknown-outcome', detail }
  if (answer.status >= 500) return { kind: 'unavailable', reason: 'overloaded', detail, ...later }
  return {
    kind: 'invalid-response',
    detail: answer.status === 200 ? detail : `${detail}: check baseUrl and path`,
  }
}

/* ---- faults ---- */

/** The last part of the code alone tells these apart; servers use any prefix. */
const SECURITY_CODES = new Set([
  'InvalidSecurity',
  'InvalidSecurityToken',
  'FailedAuthentication',
  'FailedCheck',
  'SecurityTokenUnavailable',
  'UnsupportedSecurityToken',
  'UnsupportedAlgorithm',
])

function describeFault(
  fault: XmlElement,
  answer: HttpAnswer,
  operation: Operation,
  codec: Codec,
  config: SoapFinanceConfig,
  writes: boolean,
): SourceFailure {
  const secrets = [basicOf(config.username, config.password), config.password]
  const clean = (text: string) => sanitise(text, secrets)
  const said = config.soapVersion === '1.2' ? fault12(fault) : fault11(fault)
  const code = clean(said.code)
  const message = clean(said.message) || 'no reason given'
  const local = localOf(code)
  const general = GENERAL[said.general] ?? said.general
  const detail = `${operation}: fault ${code}: ${message}`

  if (local === 'MessageExpired') {
    const theirs = headerOf(answer, 'date')
    const clocks = `our clock says ${new Date().toISOString()}${theirs ? `, theirs ${theirs}` : ''}`
    return { kind: 'unavailable', reason: 'unreachable', detail: `${detail}; compare the clocks: ${clocks}` }
  }
  const isRefused = answer.status === 401 || answer.status === 403
  if (isRefused || SECURITY_CODES.has(local) || local === 'Client.Authentication')
    return { kind: 'unauthorized', detail }

  const business = businessFaultOf(said.detail, codec, clean)
  if (business && config.temporaryFaultCodes.includes(business.code)) {
    return { kind: 'unavailable', reason: 'overloaded', detail: `${detail} (${business.code})` }
  }
  if (business && config.periodClosedFaultCodes.includes(business.code)) {
    return { kind: 'rejected', message, ...business, reason: 'period-closed' }
  }
  if (business) return { kind: 'rejected', message, ...business }

  if (general === 'MustUnderstand') {
    return { kind: 'unauthorized', detail: `${detail}; see security.mustUnderstand in the configuration` }
  }
  if (general === 'VersionMismatch')
    return { kind: 'unsupported', message: `The service does not speak SOAP ${config.soapVersion}.` }
  if (general === 'Client') return { kind: 'rejected', code, message }
  // A technical fault may come after the work was done: a deadlock, a timeout of something behind.
  return writes ? { kind: 'unknown-outcome', detail } : { kind: 'unavailable', reason: 'overloaded', detail }
}

/** What the two versions say alike, in their own words. */
interface Said {
  /** The finest code, with its prefix. */
  readonly code: string
  /** Who is to blame, without prefix. */
  readonly general: string
  readonly message: string
  readonly detail: XmlElement | undefined
}

/** The codes of SOAP 1.2 by those of 1.1. */
const GENERAL: Readonly<Record<string, string>> = { Sender: 'Client', Receiver: 'Server' }

const memberOf = (element: XmlElement | undefined, name: string) =>
  element?.children.find((child) => child.name === name)
const textOf = (element: XmlElement | undefined) => element?.text.trim() ?? ''
const localOf = (code: string) => code.slice(code.lastIndexOf(':') + 1)

function fault11(fault: XmlElement): Said {
  const code = textOf(memberOf(fault, 'faultcode'))
  // `soap:Client.Authentication`: SOAP 1.1 section 4.4.1 lets servers refine a code after a dot.
  const [general = ''] = localOf(code).split('.')
  const message = textOf(memberOf(fault, 'faultstring'))
  return { code, general, message, detail: memberOf(fault, 'detail') }
}

/** @see SOAP 1.2 part 1, section 5.4: subcodes, each inside the one before, refine the code */
function fault12(fault: XmlElement): Said {
  const codes: string[] = []
  for (let at = memberOf(fault, 'Code'); at; at = memberOf(at, 'Subcode'))
    codes.push(textOf(memberOf(at, 'Value')))
  const [general = ''] = codes
  const message = textOf(memberOf(memberOf(fault, 'Reason'), 'Text'))
  return { code: codes.at(-1) ?? '', general: localOf(general), message, detail: memberOf(fault, 'Detail') }
}

interface BusinessFault {
  readonly code: string
  readonly field?: string
  readonly line?: string
  readonly details?: Readonly<Record<string, string>>
}

const withoutNamespace = (element: XmlElement): XmlElement => ({
  ...element,
  namespace: '',
  children: element.children.map(withoutNamespace),
})

/** Any element of the detail with a code counts, whatever its name and namespace: vendors choose theirs freely. */
function businessFaultOf(
  detail: XmlElement | undefined,
  codec: Codec,
  clean: (text: string) => string,
): BusinessFault | undefined {
  for (const element of detail ? [...detail.children, detail] : []) {
    const fault = codec.read(withoutNamespace(element), 'BusinessFault', businessFault)
    const text = (value: unknown) => (typeof value === 'string' ? clean(value) : '')
    if (text(fault.Code) === '') continue
    const details = Object.fromEntries(
      (fault.Detail as Record<string, unknown>[])
        .map((one) => [text(one?.Name), text(one?.Value)] as const)
        .filter(([name]) => name !== ''),
    )
    return {
      code: text(fault.Code),
      ...(text(fault.Field) ? { field: text(fault.Field) } : {}),
      ...(text(fault.Line) ? { line: text(fault.Line) } : {}),
      ...(Object.keys(details).length > 0 ? { details } : {}),
    }
  }
  return undefined
}

/** A server's words go to logs and to callers: on one line, of bounded length, and never with our password. */
function sanitise(text: string, secrets: readonly string[]): string {
  const line = secrets
    .reduce((clean, secret) => clean.replaceAll(secret, '***'), text)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
  return line.length > 500 ? `${line.slice(0, 500)}…` : line
}

function headerOf(answer: HttpAnswer, name: string): string {
  const value = answer.headers[name]
  return typeof value === 'string' ? value : ''
}

function unreadable(detail: string): SourceError {
  return new SourceError({ kind: 'invalid-response', detail })
}
