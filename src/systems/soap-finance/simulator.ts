/**
 * A finance system that speaks `finance.wsdl`, strictly: it reads the contract itself and refuses what the schema
 * does not allow. Shares nothing with the adapter but that document; its XML parser is another one.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { DOMParser, type Element } from '@xmldom/xmldom'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { balancesOf, digitsOf, nowText, openOf, pay, round, unappliedOf } from '../../simulation/trade.ts'
import type { FinanceInvoice, FinancePayment, World, WorldChange } from '../../simulation/world.ts'

export interface SoapFinanceSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `gateway`. */
  readonly username?: string
  /** Default `finance-demo`. */
  readonly password?: string
  /** The only one accepted; default `digest`. */
  readonly passwordType?: 'digest' | 'text'
  /** Default 1.1. */
  readonly soapVersion?: '1.1' | '1.2'
  /** Instead of WS-Security: HTTP Basic. */
  readonly httpBasic?: boolean
  /** Instead of WS-Security: the header element `Authorization` with user and password. */
  readonly basicHeader?: boolean
  /** The books are closed up to this day: nothing is posted on it or before. */
  readonly closedUpTo?: string
  /** Rows of one answer, whatever limit was asked for; default 200. */
  readonly maxRows?: number
  /** Where changes of invoices and payments are reported. */
  readonly webhook?: { readonly url: string | (() => string); readonly secret: string }
  /** Names that may stand in `Custom`; default none. */
  readonly customNames?: readonly string[]
  readonly now?: () => Date
}

const PATH = '/webservice'
const NS = 'http://finance.company.com/webservice'
const ENVELOPE = 'http://schemas.xmlsoap.org/soap/envelope/'
const ENVELOPE12 = 'http://www.w3.org/2003/05/soap-envelope'
const XSD = 'http://www.w3.org/2001/XMLSchema'
const WSS = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss'
const WSSE = `${WSS}-wssecurity-secext-1.0.xsd`
const WSU = `${WSS}-wssecurity-utility-1.0.xsd`
const EARLY_SECEXT = 'http://schemas.xmlsoap.org/ws/2002/12/secext'

/** The company is in China: its days are written with that zone, as some servers do. */
const DAY_ZONE = '+08:00'
const MAX_REQUEST_BYTES = 1024 * 1024
const MAX_KEYS = 200
const SKEW_MS = 5 * 60_000

export async function startSoapFinanceSimulator(
  world: World,
  options: SoapFinanceSimulatorOptions = {},
): Promise<Simulator> {
  const wsdl = readFileSync(new URL('./finance.wsdl', import.meta.url), 'utf8')
  const service = createService(world, wsdl, options)
  const server = await startSimulatorServer({
    ...(options.port === undefined ? {} : { port: options.port }),
    nameCall: (request) =>
      /<(?:[\w.-]+:)?Body[^>]*>\s*<(?:[\w.-]+:)?([\w.-]+)/.exec(request.body.toString('utf8'))?.[1] ??
      `${request.method} ${request.path}${request.rawQuery ? `?${request.rawQuery}` : ''}`,
    handle: service,
  })
  const stopReporting = options.webhook ? reportChanges(world, options.webhook) : undefined
  return {
    ...server,
    get calls() {
      return server.calls
    },
    async close() {
      stopReporting?.()
      await server.close()
    },
  }
}

/* ---- the service ---- */

class Fault extends Error {
  /** With prefix: `soap:Client`, `wsse:FailedAuthentication`. */
  readonly code: string
  readonly detail: string
  constructor(code: string, message: string, detail = '') {
    super(message)
    this.code = code
    this.detail = detail
  }
}

function createService(world: World, wsdl: string, options: SoapFinanceSimulatorOptions) {
  const validate = createValidator(wsdl)
  const authenticate = createAuthentication(options)
  const operations = createOperations(world, options)
  const is12 = options.soapVersion === '1.2'
  const mediaType = is12 ? 'application/soap+xml' : 'text/xml'
  const namespace = is12 ? ENVELOPE12 : ENVELOPE

  return (request: SimulatedRequest): SimulatedResponse => {
    if (request.path !== PATH) return plain(404, 'text/html', '<html><body>Not Found</body></html>')
    if (request.method === 'GET' && /^wsdl$/i.test(request.rawQuery)) return plain(200, 'text/xml', wsdl)
    if (request.method !== 'POST') return plain(405, 'text/plain', 'SOAP needs POST')
    const contentType = request.headers['content-type'] ?? ''
    if (contentType.split(';')[0]?.trim().toLowerCase() !== mediaType) {
      return plain(415, 'text/plain', `This service needs ${mediaType}`)
    }
    if (options.httpBasic) {
      const { username = 'gateway', password = 'finance-demo' } = options
      const expected = `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
      if (!equal(request.headers.authorization ?? '', expected))
        return plain(401, 'text/html', '<html><body>Unauthorized</body></html>')
    }
    if (request.body.length > MAX_REQUEST_BYTES) return plain(413, 'text/plain', 'Request too large')
    try {
      const { header, content } = readEnvelope(request.body, namespace)
      authenticate(header)
      const name = content.localName ?? ''
      const run = Object.hasOwn(operations, name) ? operations[name] : undefined
      if (content.namespaceURI !== NS || !run) {
        throw new Fault('soap:Client', `Operation {${content.namespaceURI}}${name} does not exist`)
      }
      if (is12) requireParameter(contentType, name)
      else requireAction(request.headers.soapaction, name)
      validate(content)
      return soap(200, namespace, mediaType, tag(`fin:${name}Response xmlns:fin="${NS}"`, run(content)))
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      const { code, message, detail } = error
      if (is12) return fault12(error)
      return soap(
        500,
        namespace,
        mediaType,
        tag(
          'soap:Fault',
          `<faultcode>${code}</faultcode>${tag('faultstring', text(message))}${detail && tag('detail', detail)}`,
        ),
      )
    }
  }
}

/** @see SOAP 1.1 section 6.1.1: present, quoted, possibly empty */
function requireAction(header: string | string[] | undefined, operation: string): void {
  if (typeof header !== 'string') throw new Fault('soap:Client', 'The header SOAPAction is missing')
  const action = /^"([^"]*)"$/.exec(header)?.[1]
  if (action === undefined) throw new Fault('soap:Client', 'SOAPAction is not in quotation marks')
  if (action !== '' && action !== `${NS}/${operation}`) {
    throw new Fault('soap:Client', `SOAPAction "${action}" is not that of ${operation}`)
  }
}

/** @see RFC 3902: the parameter may be left out */
function requireParameter(contentType: string, operation: string): void {
  const action = /;\s*action="([^"]*)"/i.exec(contentType)?.[1]
  if (action !== undefined && action !== `${NS}/${operation}`)
    throw new Fault('soap:Client', `action "${action}" is not that of ${operation}`)
}

/** The codes of 1.1 by those of 1.2; finer ones become subcodes of the sender's fault. */
function fault12({ code, message, detail }: Fault): SimulatedResponse {
  const general = {
    'soap:Server': 'soap:Receiver',
    'soap:VersionMismatch': code,
    'soap:MustUnderstand': code,
  }
  const value = general[code as keyof typeof general] ?? 'soap:Sender'
  const subcode = /^ws/.test(code) ? tag('soap:Subcode', tag('soap:Value', code)) : ''
  return soap(
    value === 'soap:Sender' ? 400 : 500,
    ENVELOPE12,
    'application/soap+xml',
    tag(
      'soap:Fault',
      tag('soap:Code', tag('soap:Value', value) + subcode) +
        tag('soap:Reason', tag('soap:Text xml:lang="en"', text(message))) +
        (detail && tag('soap:Detail', detail)),
    ),
  )
}

function readEnvelope(body: Buffer, namespace: string): { header: Element | undefined; content: Element } {
  const root = parse(body)
  if (root.localName !== 'Envelope') throw new Fault('soap:Client', 'The root element is no Envelope')
  if (root.namespaceURI !== namespace) {
    throw new Fault('soap:VersionMismatch', `Envelope of namespace ${root.namespaceURI}`)
  }
  const header = child(root, namespace, 'Header')
  const content = childrenOf(child(root, namespace, 'Body'))
  const [first] = content
  if (!first || content.length > 1) throw new Fault('soap:Client', 'The Body must have exactly one element')
  return { header, content: first }
}

function parse(body: Buffer): Element {
  try {
    const source = new TextDecoder('utf-8', { fatal: true }).decode(body)
    const document = new DOMParser({
      onError: (level, message) => {
        if (level !== 'warning') throw new Error(message)
      },
    }).parseFromString(source, 'text/xml')
    if (document.doctype) throw new Error('a document type declaration is not allowed')
    if (!document.documentElement) throw new Error('no root element')
    return document.documentElement
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : ''
    throw new Fault('soap:Client', `The message is no XML: ${reason}`)
  }
}

/* ---- WS-Security ---- */

function createAuthentication(options: SoapFinanceSimulatorOptions) {
  const username = options.username ?? 'gateway'
  const password = options.password ?? 'finance-demo'
  const now = options.now ?? (() => new Date())
  /** Nonce to the time until which it is remembered. */
  const seen = new Map<string, number>()

  const requireFresh = (created: string) => {
    const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/.test(created)
      ? Date.parse(created)
      : Number.NaN
    if (Number.isNaN(time)) throw new Fault('wsse:InvalidSecurity', 'Created is not in UTC')
    if (Math.abs(now().getTime() - time) > SKEW_MS)
      throw new Fault('wsu:MessageExpired', 'Message has expired')
  }

  return (header: Element | undefined) => {
    for (const element of childrenOf(header)) {
      const must = element.getAttributeNS(element.parentElement?.namespaceURI ?? '', 'mustUnderstand')
      if ((must === '1' || must === 'true') && element.namespaceURI !== WSSE) {
        throw new Fault('soap:MustUnderstand', `Header ${element.localName} is not understood`)
      }
    }
    if (options.httpBasic) return
    if (options.basicHeader) {
      const given = textOf(child(header, EARLY_SECEXT, 'Authorization')).trim()
      const expected = `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
      if (!equal(given, expected)) throw new Fault('soap:Client.Authentication', `Not known: ${given}`)
      return
    }
    const security = child(header, WSSE, 'Security')
    if (!security) throw new Fault('wsse:InvalidSecurity', 'The header wsse:Security is missing')
    const ids = descendants(security)
      .map((element) => element.getAttributeNS(WSU, 'Id'))
      .filter(Boolean)
    if (new Set(ids).size < ids.length) throw new Fault('wsse:InvalidSecurity', 'wsu:Id is used twice')

    const timestamp = child(security, WSU, 'Timestamp')
    if (timestamp) {
      requireFresh(textOf(child(timestamp, WSU, 'Created')))
      const expires = Date.parse(textOf(child(timestamp, WSU, 'Expires')))
      if (expires <= now().getTime()) throw new Fault('wsu:MessageExpired', 'Message has expired')
    }

    const token = child(security, WSSE, 'UsernameToken')
    const given = child(token, WSSE, 'Password')
    if (!token || !given) throw new Fault('wsse:InvalidSecurityToken', 'A UsernameToken is needed')
    const wanted = `${WSS}-username-token-profile-1.0#${options.passwordType === 'text' ? 'PasswordText' : 'PasswordDigest'}`
    if (given.getAttribute('Type') !== wanted) {
      throw new Fault('wsse:UnsupportedSecurityToken', 'This type of password is not accepted')
    }
    const nonce = textOf(child(token, WSSE, 'Nonce'))
    const created = textOf(child(token, WSU, 'Created'))
    const expected =
      options.passwordType === 'text'
        ? password
        : createHash('sha1')
            .update(Buffer.concat([Buffer.from(nonce, 'base64'), Buffer.from(created + password, 'utf8')]))
            .digest('base64')
    const matches = textOf(child(token, WSSE, 'Username')) === username && equal(textOf(given), expected)
    if (!matches) {
      throw new Fault('wsse:FailedAuthentication', 'The security token could not be authenticated')
    }
    if (options.passwordType === 'text') return
    if (!nonce) throw new Fault('wsse:InvalidSecurityToken', 'A nonce is needed')
    requireFresh(created)
    for (const [old, until] of seen) if (until < now().getTime()) seen.delete(old)
    if (seen.has(nonce)) throw new Fault('wsse:InvalidSecurityToken', 'This nonce has been used before')
    seen.set(nonce, now().getTime() + 2 * SKEW_MS)
  }
}

function equal(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/* ---- the schema ---- */

/**
 * Checks a request against the schema inside the WSDL: which elements, in which order and number, and the simple
 * types and facets that our contract uses. Not a general validator.
 */
function createValidator(wsdl: string): (operation: Element) => void {
  const schema = descendants(parse(Buffer.from(wsdl))).find(
    (element) => element.namespaceURI === XSD && element.localName === 'schema',
  )
  const named = new Map(
    childrenOf(schema).map((one) => [`${one.localName} ${one.getAttribute('name')}`, one]),
  )

  const check = (element: Element, declaration: Element): void => {
    const type = declaration.getAttribute('type')
    const name = type?.replace(/^fin:/, '')
    const complex = type ? named.get(`complexType ${name}`) : child(declaration, XSD, 'complexType')
    for (const attribute of Array.from(element.attributes)) {
      if (!/^xmlns(:|$)/.test(attribute.name))
        throw invalid(element, `attribute ${attribute.name} is not allowed`)
    }
    if (complex) checkSequence(element, childrenOf(child(complex, XSD, 'sequence')))
    else checkText(element, type ?? '')
  }

  const checkSequence = (element: Element, declarations: readonly Element[]): void => {
    const children = childrenOf(element)
    let at = 0
    for (const declaration of declarations) {
      const name = declaration.getAttribute('name')
      const most = declaration.getAttribute('maxOccurs')
      const max = most === 'unbounded' ? Number.POSITIVE_INFINITY : Number(most || '1')
      let count = 0
      for (let next = children[at]; next?.localName === name && count < max; next = children[at]) {
        if (next.namespaceURI !== NS) throw invalid(next, `namespace must be ${NS}`)
        check(next, declaration)
        at++
        count++
      }
      if (count < Number(declaration.getAttribute('minOccurs') || '1')) {
        throw invalid(element, `element ${name} is missing`)
      }
    }
    const extra = children[at]
    if (extra) throw invalid(element, `element ${extra.localName} is not expected here`)
  }

  const checkText = (element: Element, type: string): void => {
    if (childrenOf(element).length > 0) throw invalid(element, 'must contain text only')
    const value = element.textContent ?? ''
    const simple = named.get(`simpleType ${type.replace(/^fin:/, '')}`)
    const restriction = child(simple, XSD, 'restriction')
    const base = restriction?.getAttribute('base') ?? type
    if (!LEXICAL[base]?.test(value)) throw invalid(element, `"${value.slice(0, 50)}" is no ${base}`)
    for (const facet of childrenOf(restriction)) {
      const limit = facet.getAttribute('value') ?? ''
      if (!keepsFacet(facet.localName ?? '', limit, value)) {
        throw invalid(element, `"${value.slice(0, 50)}" breaks ${facet.localName} ${limit}`)
      }
    }
  }

  return (operation) => {
    const declaration = named.get(`element ${operation.localName}`)
    if (!declaration) throw invalid(operation, 'is not declared')
    check(operation, declaration)
  }
}

const LEXICAL: Readonly<Record<string, RegExp>> = {
  'xs:string': /^/,
  'xs:decimal': /^[+-]?(\d+(\.\d*)?|\.\d+)$/,
  'xs:int': /^[+-]?\d{1,10}$/,
  'xs:date': /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(Z|[+-]\d{2}:\d{2})?$/,
  'xs:dateTime': /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})?$/,
}

function keepsFacet(facet: string, limit: string, value: string): boolean {
  const characters = [...value].length
  switch (facet) {
    case 'minLength':
      return characters >= Number(limit)
    case 'maxLength':
      return characters <= Number(limit)
    case 'pattern':
      return new RegExp(`^(?:${limit})$`, 'u').test(value)
    case 'minInclusive':
      return Number(value) >= Number(limit)
    case 'maxInclusive':
      return Number(value) <= Number(limit)
    case 'totalDigits':
      return value.replace(/\D/g, '').length <= Number(limit)
    case 'fractionDigits':
      return (value.split('.')[1] ?? '').length <= Number(limit)
    default:
      throw new Error(`facet ${facet} is not known here`)
  }
}

const invalid = (element: Element, why: string) => new Fault('soap:Client', `${element.localName}: ${why}`)

/* ---- the operations ---- */

function createOperations(
  world: World,
  options: SoapFinanceSimulatorOptions,
): Readonly<Record<string, (request: Element) => string>> {
  const maxRows = options.maxRows ?? 200
  const now = options.now ?? (() => new Date())
  const today = () => new Date(now().getTime() + 8 * 3_600_000).toISOString().slice(0, 10)
  const invoicesNewestFirst = () => world.all('financeInvoices').sort(newestFirst((one) => one.invoiceNo))

  /** One page of rows that fit the criteria, as the WSDL's documentation orders them. */
  const page = <Row>(
    request: Element,
    rows: readonly Row[],
    numberOf: (row: Row) => string,
    changedOf: (row: Row) => string,
    render: (row: Row) => string,
  ): string => {
    const limit = Math.min(Number(value(request, 'Limit') ?? maxRows), maxRows)
    const since = value(request, 'ChangedSince')
    const after = value(request, 'After')
    let found: readonly Row[]
    if (since !== undefined) {
      const start = Date.parse(/(Z|[+-]\d{2}:\d{2})$/.test(since) ? since : `${since}Z`)
      found = rows
        .filter((row) => {
          const changed = Date.parse(changedOf(row))
          return changed > start || (changed === start && (after === undefined || numberOf(row) > after))
        })
        .sort((a, b) => compare(changedOf(a), changedOf(b)) || compare(numberOf(a), numberOf(b)))
    } else {
      const at = after === undefined ? -1 : rows.findIndex((row) => numberOf(row) === after)
      if (after !== undefined && at < 0) throw business('UNKNOWN_RECORD', `${after} is no record`, 'After')
      found = rows.slice(at + 1)
    }
    return [
      ...found.slice(0, limit).map(render),
      field('More', String(found.length > limit)),
      field('ServerTime', now().toISOString()),
    ].join('')
  }

  /** Criteria narrow the rows but must not hide the row that `After` names. */
  const matching = <Row>(request: Element, criterion: string, rows: Row[], of: (row: Row) => string[]) => {
    const wanted = new Set(keysOf(request, criterion))
    return wanted.size === 0 ? rows : rows.filter((row) => of(row).some((one) => wanted.has(one)))
  }

  return {
    GetInvoice: (request) =>
      // In the server's own order, each once.
      [...new Set(keysOf(request, 'invoiceId'))]
        .sort()
        .map((key) => world.get('financeInvoices', key))
        .map((one) => (one ? renderInvoice(one) : ''))
        .join(''),

    FindInvoices: (request) => {
      let rows = invoicesNewestFirst()
      rows = matching(request, 'OrderNo', rows, (one) => [...(one.orderNos ?? [one.orderNo])])
      rows = matching(request, 'CustomerNo', rows, (one) => [one.customerNo])
      rows = matching(request, 'ExternalReference', rows, (one) => [one.externalReference ?? ''])
      return page(
        request,
        rows,
        (one) => one.invoiceNo,
        (one) => one.updatedAt,
        renderInvoice,
      )
    },

    GetPayments: (request) =>
      [...new Set(keysOf(request, 'PaymentNo'))]
        .sort()
        .map((key) => world.get('financePayments', key))
        .map((one) => (one ? renderPayment(one) : ''))
        .join(''),

    FindPayments: (request) => {
      let rows = world.all('financePayments').sort(newestFirst((one) => one.paymentNo))
      rows = matching(request, 'InvoiceNo', rows, (one) => one.applications.map((part) => part.invoiceNo))
      rows = matching(request, 'CustomerNo', rows, (one) => [one.customerNo])
      rows = matching(request, 'ExternalReference', rows, (one) => [one.externalReference])
      return page(
        request,
        rows,
        (one) => one.paymentNo,
        (one) => one.updatedAt,
        renderPayment,
      )
    },

    WriteBackInvoice: (request) => claim(world, request, options),
    CancelInvoice: (request) => cancel(world, request),

    WriteBackPayment: (request) => field('Payment', writeBack(world, request, options), true),

    GetReceivables: (request) => {
      const asOf = value(request, 'AsOf')?.slice(0, 10) ?? today()
      return [...new Set(keysOf(request, 'CustomerNo'))]
        .sort()
        .filter((key) => world.get('financeCustomers', key))
        .map((key) => renderReceivable(world, key, asOf))
        .join('')
    },

    FindCustomers: (request) => {
      let rows = world.all('financeCustomers').sort((a, b) => compare(a.customerNo, b.customerNo))
      rows = matching(request, 'CustomerNo', rows, (one) => [one.customerNo])
      return page(
        request,
        rows,
        (one) => one.customerNo,
        (one) => one.updatedAt,
        (one) =>
          field(
            'Customer',
            field('CustomerNo', one.customerNo) +
              field('Name', one.name) +
              field('TaxNumber', one.taxNumber) +
              field('ChangedAt', one.updatedAt),
            true,
          ),
      )
    },

    FindProducts: (request) => {
      let rows = world.all('financeProducts').sort((a, b) => compare(a.productNo, b.productNo))
      rows = matching(request, 'ProductNo', rows, (one) => [one.productNo])
      return page(
        request,
        rows,
        (one) => one.productNo,
        () => '',
        (one) =>
          field(
            'Product',
            field('ProductNo', one.productNo) + field('Name', one.name) + field('Barcode', one.barcode),
            true,
          ),
      )
    },
  }
}

/** Books a claim, or says why not. */
function claim(world: World, request: Element, options: SoapFinanceSimulatorOptions): string {
  const { closedUpTo } = options
  const need = (name: string) => value(request, name) ?? ''
  const externalReference = need('ExternalReference')
  const existing = world.all('financeInvoices').find((one) => one.externalReference === externalReference)
  if (existing) {
    throw business('DUPLICATE', `External reference ${externalReference} exists`, 'ExternalReference', {
      InvoiceNo: existing.invoiceNo,
    })
  }
  const customerNo = need('CustomerNo')
  if (!world.get('financeCustomers', customerNo))
    throw business('UNKNOWN_CUSTOMER', `Customer ${customerNo} does not exist`, 'CustomerNo')
  const day = need('IssueDate').slice(0, 10)
  if (closedUpTo !== undefined && day <= closedUpTo)
    throw business('PERIOD_CLOSED', `Period ${day.slice(0, 7)} is closed`, 'IssueDate')
  const currency = need('Currency')
  const amountOf = (name: string): Big | null => {
    const given = value(request, name)
    if (given === undefined) return null
    const amount = new Big(given.replace(/^\+/, ''))
    if (!amount.round(digitsOf(currency), Big.roundDown).eq(amount))
      throw business('INVALID_AMOUNT', `${currency} has ${digitsOf(currency)} decimals`, name)
    return amount
  }
  const [gross, net, tax] = [
    amountOf('GrossAmount') ?? new Big(0),
    amountOf('NetAmount'),
    amountOf('TaxAmount'),
  ]
  if (gross.lte(0)) throw business('INVALID_AMOUNT', 'The amount must be positive', 'GrossAmount')
  if (net && tax && !net.plus(tax).eq(gross))
    throw business('INVALID_AMOUNT', 'Net and tax are not the gross amount', 'GrossAmount')
  const orderNos = values(request, 'OrderNo')
  const lines = childrenOf(child(request, NS, 'Lines')).map((element, index) => {
    const refuse = (code: string, message: string, where: string) =>
      business(code, message, where, {}, index + 1)
    const [quantity, unitPrice] = [value(element, 'Quantity'), value(element, 'UnitPrice')]
    if (quantity === undefined) throw refuse('INVALID_AMOUNT', 'A quantity is needed', 'Quantity')
    if (unitPrice === undefined) throw refuse('INVALID_AMOUNT', 'A price is needed', 'UnitPrice')
    const productNo = value(element, 'ProductNo') ?? ''
    if (productNo !== '' && !world.get('financeProducts', productNo))
      throw refuse('UNKNOWN_PRODUCT', `Product ${productNo} does not exist`, 'ProductNo')
    const taxPercent = value(element, 'TaxPercent')
    return {
      lineNo: Number(value(element, 'LineNo')),
      productNo,
      text: value(element, 'Description') ?? '',
      quantity,
      net: round(new Big(quantity).times(unitPrice), currency),
      unitPrice,
      ...(taxPercent === undefined ? {} : { taxPercent }),
    }
  })
  const comments = value(request, 'Comments')
  const attributes = customOf(request, options)
  const at = nowText()
  const invoice: FinanceInvoice = {
    invoiceNo: `INV-${String(world.count('financeInvoices') + 1).padStart(6, '0')}`,
    customerNo,
    orderNo: orderNos[0] ?? '',
    orderNos,
    externalReference,
    kind: 'STANDARD',
    currency,
    issueDate: day,
    dueDate: (value(request, 'DueDate') ?? day).slice(0, 10),
    net: round(net ?? gross.minus(tax ?? 0), currency),
    tax: round(tax ?? gross.minus(net ?? gross), currency),
    gross: round(gross, currency),
    paid: round(new Big(0), currency),
    cancelled: false,
    ...(comments === undefined ? {} : { comments }),
    ...(attributes ? { attributes } : {}),
    lines,
    createdAt: at,
    updatedAt: at,
  }
  world.put('financeInvoices', invoice)
  return renderInvoice(invoice)
}

/** The company's own fields of a request, each known and given once. */
function customOf(
  request: Element,
  { customNames = [] }: SoapFinanceSimulatorOptions,
): Record<string, string> | null {
  const found: Record<string, string> = {}
  const given = childrenOf(request).filter(({ localName }) => localName === 'Custom')
  for (const element of given) {
    const name = value(element, 'Name') ?? ''
    if (!customNames.includes(name) || Object.hasOwn(found, name))
      throw business('UNKNOWN_CUSTOM', `There is no field ${name}, or it is given twice`, 'Custom')
    found[name] = value(element, 'Value') ?? ''
  }
  return given.length === 0 ? null : found
}

function cancel(world: World, request: Element): string {
  const invoiceNo = value(request, 'InvoiceNo') ?? ''
  const invoice = world.get('financeInvoices', invoiceNo)
  if (!invoice) throw business('UNKNOWN_INVOICE', `Invoice ${invoiceNo} does not exist`, 'InvoiceNo')
  if (invoice.cancelled) throw business('INVOICE_CANCELLED', `Invoice ${invoiceNo} is cancelled`, 'InvoiceNo')
  if (new Big(invoice.paid).gt(0)) {
    const message = `Invoice ${invoiceNo} has payments`
    throw business('INVOICE_PAID', message, 'InvoiceNo', { PaidAmount: invoice.paid })
  }
  const after = { ...invoice, cancelled: true, updatedAt: nowText() }
  world.put('financeInvoices', after)
  return renderInvoice(after)
}

/** Posts a payment, or says why not. */
function writeBack(world: World, request: Element, options: SoapFinanceSimulatorOptions): string {
  const { closedUpTo } = options
  const need = (name: string) => value(request, name) ?? ''
  const [externalReference, customerNo, currency] = [
    need('ExternalReference'),
    need('CustomerNo'),
    need('Currency'),
  ]
  const existing = world.find('financePayments', 'externalReference', externalReference)
  if (existing) {
    throw business('DUPLICATE', `External reference ${externalReference} exists`, 'ExternalReference', {
      PaymentNo: existing.paymentNo,
    })
  }
  if (!world.get('financeCustomers', customerNo)) {
    throw business('UNKNOWN_CUSTOMER', `Customer ${customerNo} does not exist`, 'CustomerNo')
  }
  const day = need('PaymentDate').slice(0, 10)
  if (closedUpTo !== undefined && day <= closedUpTo) {
    throw business('PERIOD_CLOSED', `Period ${day.slice(0, 7)} is closed`, 'PaymentDate')
  }
  const readAmount = (element: Element, line?: number, name = 'Amount'): Big => {
    const amount = new Big((value(element, name) ?? '').replace(/^\+/, ''))
    if (amount.lte(0)) throw business('INVALID_AMOUNT', 'The amount must be positive', name, {}, line)
    if (!amount.round(digitsOf(currency), Big.roundDown).eq(amount)) {
      const message = `${currency} has ${digitsOf(currency)} decimals`
      throw business('INVALID_AMOUNT', message, name, {}, line)
    }
    return amount
  }
  const amount = readAmount(request)
  const settled = new Map<string, Big>()
  let total = new Big(0)
  const applications = childrenOf(request)
    .filter((element) => element.localName === 'Application')
    .map((element, index) => {
      const line = index + 1
      const invoiceNo = value(element, 'InvoiceNo') ?? ''
      const part = readAmount(element, line)
      const discount = value(element, 'Discount') === undefined ? null : readAmount(element, line, 'Discount')
      total = total.plus(part)
      const invoice = world.get('financeInvoices', invoiceNo)
      const refuse = (code: string, message: string, details: Record<string, string> = {}) =>
        business(code, message, 'InvoiceNo', { InvoiceNo: invoiceNo, ...details }, line)
      if (!invoice) throw refuse('UNKNOWN_INVOICE', `Invoice ${invoiceNo} does not exist`)
      if (invoice.customerNo !== customerNo) {
        throw refuse('CUSTOMER_MISMATCH', `Invoice ${invoiceNo} belongs to customer ${invoice.customerNo}`)
      }
      if (invoice.cancelled) throw refuse('INVOICE_CANCELLED', `Invoice ${invoiceNo} is cancelled`)
      if (invoice.currency !== currency) {
        const message = `Invoice ${invoiceNo} is in ${invoice.currency}, the payment in ${currency}`
        throw refuse('CURRENCY_MISMATCH', message, { InvoiceCurrency: invoice.currency })
      }
      const sum = part.plus(discount ?? 0).plus(settled.get(invoiceNo) ?? 0)
      settled.set(invoiceNo, sum)
      const open = openOf(invoice)
      if (sum.gt(open)) {
        throw refuse('OVER_APPLIED', `Invoice ${invoiceNo} has ${round(open, currency)} ${currency} open`, {
          OpenAmount: round(open, currency),
          AppliedAmount: round(sum, currency),
          Currency: currency,
        })
      }
      return {
        invoiceNo,
        amount: round(part, currency),
        ...(discount === null ? {} : { discount: round(discount, currency) }),
      }
    })
  if (total.gt(amount)) {
    throw business('OVER_APPLIED', 'More is applied than was paid', 'Amount', {
      Amount: round(amount, currency),
      AppliedAmount: round(total, currency),
      Currency: currency,
    })
  }
  const attributes = customOf(request, options)
  const payment = pay(world, {
    ...(attributes ? { attributes } : {}),
    customerNo,
    date: day,
    amount: round(amount, currency),
    currency,
    method: need('Method'),
    reference: need('Reference'),
    externalReference,
    applications,
  })
  return paymentFields(payment)
}

function business(
  code: string,
  message: string,
  where: string,
  details: Readonly<Record<string, string>> = {},
  line?: number,
): Fault {
  const content = [
    field('Code', code),
    field('Field', where),
    line === undefined ? '' : field('Line', String(line)),
    ...Object.entries(details).map(([name, detail]) =>
      field('Detail', field('Name', name) + field('Value', detail), true),
    ),
  ]
  const fault = `<fin:BusinessFault xmlns:fin="${NS}">${content.join('')}</fin:BusinessFault>`
  return new Fault('soap:Client', message, fault)
}

/* ---- rendering ---- */

function renderInvoice(one: FinanceInvoice): string {
  const open = openOf(one)
  const status = one.cancelled
    ? 'CANCELLED'
    : open.lte(0)
      ? 'PAID'
      : new Big(one.paid).gt(0)
        ? 'PART_PAID'
        : 'OPEN'
  return field(
    'Invoice',
    [
      field('InvoiceNo', one.invoiceNo),
      field('Kind', one.kind),
      field('CustomerNo', one.customerNo),
      ...(one.orderNos ?? [one.orderNo]).map((number) => field('OrderNo', number)),
      field('IssueDate', one.issueDate + DAY_ZONE),
      field('DueDate', one.dueDate + DAY_ZONE),
      field('Currency', one.currency),
      field('NetAmount', one.net),
      field('TaxAmount', one.tax),
      field('GrossAmount', one.gross),
      field('PaidAmount', one.paid),
      field('OpenAmount', round(open, one.currency)),
      field('Lines', one.lines.map((line) => renderLine(line, one)).join(''), true),
      field('TaxInvoices', (one.taxInvoices ?? []).map(renderTaxInvoice).join(''), true),
      ...renderCustom(one.attributes),
      one.externalReference === undefined ? '' : field('ExternalReference', one.externalReference),
      field('Status', status),
      field('CreatedAt', one.createdAt),
      field('ChangedAt', one.updatedAt),
    ].join(''),
    true,
  )
}

function renderLine(line: FinanceInvoice['lines'][number], { orderNo }: FinanceInvoice): string {
  const some = (name: string, content: string | undefined) => (content ? field(name, content) : '')
  const content = [
    field('LineNo', String(line.lineNo)),
    some('ProductNo', line.productNo),
    some('Description', line.text),
    field('Quantity', line.quantity),
    some('UnitPrice', line.unitPrice),
    some('TaxPercent', line.taxPercent),
    field('NetAmount', line.net),
    some('OrderNo', orderNo),
  ]
  return field('Line', content.join(''), true)
}

function renderTaxInvoice(one: NonNullable<FinanceInvoice['taxInvoices']>[number]): string {
  const content = [
    field('Kind', one.kind),
    field('Code', one.code),
    field('TaxInvoiceNo', one.number),
    field('IssueDate', one.day + DAY_ZONE),
    field('File', one.file),
  ]
  return field('TaxInvoice', content.join(''), true)
}

const renderCustom = (attributes: Readonly<Record<string, string>> = {}): string[] =>
  Object.entries(attributes).map(([name, content]) =>
    field('Custom', field('Name', name) + field('Value', content), true),
  )

const renderPayment = (one: FinancePayment): string => field('Payment', paymentFields(one), true)

function paymentFields(one: FinancePayment): string {
  return [
    field('PaymentNo', one.paymentNo),
    field('CustomerNo', one.customerNo),
    field('PaymentDate', one.date + DAY_ZONE),
    field('Currency', one.currency),
    field('Amount', one.amount),
    field('Method', one.method),
    field('Reference', one.reference),
    field('ExternalReference', one.externalReference),
    ...one.applications.map((part) =>
      field(
        'Application',
        field('InvoiceNo', part.invoiceNo) +
          field('Amount', part.amount) +
          (part.discount === undefined ? '' : field('Discount', part.discount)),
        true,
      ),
    ),
    field('UnappliedAmount', round(unappliedOf(one), one.currency)),
    ...renderCustom(one.attributes),
    field('Status', one.cancelled ? 'CANCELLED' : 'POSTED'),
    field('CreatedAt', one.createdAt),
    field('ChangedAt', one.updatedAt),
  ].join('')
}

/** What was open at the end of that day: invoices issued by then, less what payments dated by then settled. */
function renderReceivable(world: World, customerNo: string, asOf: string): string {
  const settled = new Map<string, Big>()
  for (const payment of world.all('financePayments')) {
    if (payment.customerNo !== customerNo || payment.cancelled || payment.date > asOf) continue
    for (const { invoiceNo, amount, discount = '0' } of payment.applications) {
      settled.set(invoiceNo, new Big(amount).plus(discount).plus(settled.get(invoiceNo) ?? 0))
    }
  }
  const issued = world
    .all('financeInvoices')
    .filter((one) => one.customerNo === customerNo && !one.cancelled && one.issueDate <= asOf)
  const balances = balancesOf(issued, asOf, ({ gross, invoiceNo }) =>
    new Big(gross).minus(settled.get(invoiceNo) ?? 0),
  )
  return field(
    'Receivable',
    [
      field('CustomerNo', customerNo),
      field('AsOf', asOf + DAY_ZONE),
      ...[...balances]
        .sort(([a], [b]) => compare(a, b))
        .map(([currency, { open, overdue }]) =>
          field(
            'Balance',
            field('Currency', currency) +
              field('OpenAmount', round(open, currency)) +
              field('OverdueAmount', round(overdue, currency)),
            true,
          ),
        ),
    ].join(''),
    true,
  )
}

/** @param content Text, or finished elements where `nested`. */
const field = (name: string, content: string, nested = false): string =>
  tag(`fin:${name}`, nested ? content : text(content))

const tag = (start: string, content: string): string => `<${start}>${content}</${start.split(' ')[0]}>`

const text = (content: string): string =>
  content.replace(/[&<>\r]/g, (one) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[one] ?? '&#xD;')

function soap(status: number, namespace: string, mediaType: string, body: string): SimulatedResponse {
  const envelope = `soap:Envelope xmlns:soap="${namespace}" xmlns:wsse="${WSSE}" xmlns:wsu="${WSU}"`
  return plain(
    status,
    mediaType,
    `<?xml version="1.0" encoding="UTF-8"?>\n${tag(envelope, tag('soap:Body', body))}`,
  )
}

function plain(status: number, type: string, body: string): SimulatedResponse {
  const headers = { 'content-type': `${type}; charset=utf-8`, ...(status === 405 ? { allow: 'POST' } : {}) }
  return { status, headers, body }
}

/* ---- elements and rows ---- */

function childrenOf(element: Element | undefined): Element[] {
  return element ? Array.from(element.childNodes).filter((node): node is Element => node.nodeType === 1) : []
}

function descendants(element: Element): Element[] {
  return [element, ...childrenOf(element).flatMap(descendants)]
}

function child(element: Element | undefined, namespace: string, name: string): Element | undefined {
  return childrenOf(element).find((one) => one.namespaceURI === namespace && one.localName === name)
}

const textOf = (element: Element | undefined): string => element?.textContent?.trim() ?? ''

function values(request: Element, name: string): string[] {
  return childrenOf(request)
    .filter((one) => one.localName === name)
    .map((one) => one.textContent ?? '')
}

const value = (request: Element, name: string): string | undefined => values(request, name)[0]

function keysOf(request: Element, name: string): string[] {
  const keys = values(request, name)
  if (keys.length > MAX_KEYS) throw business('TOO_MANY_KEYS', `At most ${MAX_KEYS} are read at once`, name)
  return keys
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function newestFirst<Row extends { readonly createdAt: string }>(numberOf: (row: Row) => string) {
  return (a: Row, b: Row) => compare(b.createdAt, a.createdAt) || compare(numberOf(b), numberOf(a))
}

/* ---- webhooks ---- */

/** Tried after these pauses, then given up: whoever missed it finds the change by polling. */
const PAUSES_MS = [0, 250, 1_000, 3_000]
const MAX_WAITING = 500

function reportChanges(
  world: World,
  { url, secret }: NonNullable<SoapFinanceSimulatorOptions['webhook']>,
): () => void {
  const stopped = new AbortController()
  const waiting: { id: string; body: string }[] = []
  let busy = false

  const post = async ({ id, body }: { id: string; body: string }): Promise<boolean> => {
    const timestamp = Math.floor(Date.now() / 1000)
    const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
    const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
    try {
      const response = await fetch(typeof url === 'string' ? url : url(), {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': `v1,${signature}`,
        },
        body,
        signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(3_000)]),
      })
      await response.arrayBuffer()
      return response.ok
    } catch {
      return false
    }
  }

  // One after the other, so that they arrive in the order in which things happened.
  const work = async () => {
    if (busy) return
    busy = true
    for (let event = waiting.shift(); event && !stopped.signal.aborted; event = waiting.shift()) {
      for (const pause of PAUSES_MS) {
        await delay(pause, undefined, { signal: stopped.signal, ref: false }).catch(() => {})
        if (stopped.signal.aborted || (await post(event))) break
      }
    }
    busy = false
  }

  const unsubscribe = world.onChange((change) => {
    const event = eventOf(change)
    if (!event) return
    const hash = createHash('sha256')
      .update(JSON.stringify([event, change.entity]))
      .digest('hex')
    const id = hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
    const { name, key, time } = event
    const body = { id, event: name, timestamp: time, source: 'finance', data: { externalId: key } }
    waiting.push({ id, body: JSON.stringify(body) })
    if (waiting.length > MAX_WAITING) waiting.shift()
    void work()
  })
  return () => {
    unsubscribe()
    stopped.abort()
  }
}

function eventOf(change: WorldChange): { name: string; key: string; time: string } | undefined {
  if (change.collection === 'financePayments') {
    const payment = change.entity as FinancePayment
    const name = change.before ? 'payment.updated' : 'payment.created'
    return { name, key: payment.paymentNo, time: payment.updatedAt }
  }
  if (change.collection === 'financeInvoices') {
    const invoice = change.entity as FinanceInvoice
    const before = change.before as FinanceInvoice | undefined
    const settled = openOf(invoice).lte(0) && !invoice.cancelled
    const name = !before
      ? 'invoice.created'
      : settled && invoice.paid !== before.paid
        ? 'invoice.paid'
        : 'invoice.updated'
    return { name, key: invoice.invoiceNo, time: invoice.updatedAt }
  }
  return undefined
}
