/**
 * An S/4HANA Gateway on loopback, strict where the vendor is: CSRF tokens bound to their cookies, If-Match, one
 * operation per changeset, decimals as text. It shows the ERP part of the demo world, and writes into it.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import Big from 'big.js'
import { type BatchAnswer, parseBatch, renderBatch } from '../../simulation/batch.ts'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { cancelOrder, changeOrder, placeOrder } from '../../simulation/trade.ts'
import type { ErpOrder, World, WorldChange } from '../../simulation/world.ts'
import {
  checkPaths,
  parseFilter,
  parseOrder,
  project,
  Refusal,
  type Row,
  type Show,
} from './simulator-query.ts'
import {
  billingNumber,
  CHANNEL,
  createRows,
  DIVISION,
  deliveryNumber,
  KEYS,
  ORGANIZATION,
  orderNumber,
  PLANT,
  SUPPLIER,
  typesOf,
} from './simulator-rows.ts'

const BATCHES = { malformed: (message: string) => new Refusal(400, '/IWBEP/CM_MGW_RT/004', message) }

export interface SapS4SimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `tributary`; also the user of basic authentication. */
  readonly clientId?: string
  /** Default `demo`. */
  readonly clientSecret?: string
  /** How long a token of the login lives. Default 12 h. */
  readonly tokenLifeSeconds?: number
  /** Only requests that name it are served. Default: any. */
  readonly sapClient?: string
  /** Rows of a page, whatever `$top` says. Default 100. */
  readonly pageSize?: number
  /** HEAD is refused with 403, as some systems do. */
  readonly refuseHead?: boolean
  /** Errors are XML, as they are where a service has no JSON for them. */
  readonly xmlErrors?: boolean
  /** Custom fields of orders. Default `YY1_TributaryRef_SDH`, `YY1_TributaryUser_SDH` and `YY1_Channel_SDH`. */
  readonly orderFields?: readonly string[]
  /** Services that are not active. */
  readonly inactive?: readonly string[]
  /** Properties that this release does not have. */
  readonly absent?: readonly string[]
  /** New orders whose net total is above wait for approval. */
  readonly approvalAbove?: string
  /** Where events go, as Event Mesh would bring them. */
  readonly events?: {
    readonly url: string | (() => string)
    readonly username: string
    readonly password: string
  }
}

export interface SapS4Simulator extends Simulator {
  /** Ends every session: cookies and CSRF tokens with them. */
  endSessions(): void
  /** Ends every token of the login. */
  endTokens(): void
  /** Numbers of orders that somebody has open; they cannot be changed. */
  readonly locked: Set<string>
}

const ROOT = '/sap/opu/odata/sap/'
const SESSION = 'SAP_SESSIONID_S4H_100'
const SERVICES: Readonly<Record<string, readonly string[]>> = {
  API_BUSINESS_PARTNER: ['A_BusinessPartner'],
  API_PRODUCT_SRV: ['A_Product'],
  API_MATERIAL_STOCK_SRV: ['A_MatlStkInAcctMod'],
  API_SALES_ORDER_SRV: ['A_SalesOrder', 'A_SalesOrderItem', 'A_SalesOrderText'],
  'API_OUTBOUND_DELIVERY_SRV;v=0002': ['A_OutbDeliveryHeader', 'A_OutbDeliveryItem'],
  API_BILLING_DOCUMENT_SRV: ['A_BillingDocument', 'A_BillingDocumentItem'],
}

interface Operation {
  readonly method: string
  /** Below the service. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Buffer
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export async function startSapS4Simulator(
  world: World,
  options: SapS4SimulatorOptions = {},
): Promise<SapS4Simulator> {
  const doors = createDoors(options)
  const locked = new Set<string>()
  const gateway = createServices(world, options, locked)

  const handle = (request: SimulatedRequest): SimulatedResponse => {
    if (request.path === '/oauth/token') return doors.token(request)
    if (!request.path.startsWith(ROOT)) return { status: 404, body: '' }
    const [, service = '', path = ''] =
      /^([^/]+)(?:\/(.*))?$/.exec(decodeURIComponent(request.path.slice(ROOT.length))) ?? []
    const asXml = options.xmlErrors ?? !wantsJson(request.headers, request.query)
    try {
      if (!doors.isKnown(request)) return { status: 401, headers: { 'www-authenticate': 'Bearer' }, body: '' }
      if (options.sapClient && request.query.get('sap-client') !== options.sapClient) {
        return { status: 401, body: '' }
      }
      if (!Object.hasOwn(SERVICES, service) || options.inactive?.includes(service)) {
        throw new Refusal(404, '/IWFND/MED/170', `No service found for namespace '', name '${service}'`)
      }
      const session = doors.session(request)
      const operation = {
        method: request.method,
        path,
        query: request.query,
        headers: request.headers,
        body: request.body,
      }
      if (request.method === 'HEAD' || (request.method === 'GET' && path === '')) {
        if (request.method === 'HEAD' && options.refuseHead) return { status: 403, headers: session.cookies }
        const fetches = /^fetch$/i.test(String(request.headers['x-csrf-token'] ?? ''))
        const token: Record<string, string> = fetches ? { 'x-csrf-token': session.token } : {}
        return { status: 200, headers: { ...session.cookies, ...token } }
      }
      if (request.method !== 'GET' && !session.protects(request)) {
        return {
          status: 403,
          headers: { 'x-csrf-token': 'Required', 'content-type': 'text/plain', ...session.cookies },
          body: 'CSRF token validation failed',
        }
      }
      const answer = path === '$batch' ? batch(service, operation) : gateway.serve(service, operation)
      return { ...answer, headers: { ...answer.headers, ...session.cookies } }
    } catch (error) {
      if (error instanceof Refusal) return refusalOf(error, asXml)
      throw error
    }
  }

  const batch = (service: string, operation: Operation): Answer => {
    const part = (inner: {
      method: string
      path: string
      headers: Record<string, string>
      body: Buffer
    }): Answer => {
      const [path = '', query = ''] = inner.path.split('?', 2)
      const one = { ...inner, path: decodeURIComponent(path), query: new URLSearchParams(query) }
      try {
        return gateway.serve(service, one)
      } catch (error) {
        if (error instanceof Refusal) return refusalOf(error, options.xmlErrors ?? false)
        throw error
      }
    }
    const answers = parseBatch(operation.body, String(operation.headers['content-type'] ?? ''), BATCHES).map(
      (item): BatchAnswer => {
        if (item.kind === 'read') return { changeset: false, response: part(item.operation) }
        const [first, second] = item.operations
        if (!first || second) {
          const refusal = new Refusal(
            400,
            '/IWBEP/CM_MGW_RT/053',
            'Operation not allowed due to changeset restrictions',
          )
          return { changeset: false, response: refusalOf(refusal, false) }
        }
        const response = part(first)
        return { changeset: response.status < 300, response }
      },
    )
    const boundary = randomBytes(16).toString('hex').toUpperCase()
    return {
      status: 202,
      headers: { 'content-type': `multipart/mixed; boundary=${boundary}`, dataserviceversion: '2.0' },
      body: renderBatch(answers, boundary),
    }
  }

  const server = await startSimulatorServer({
    handle,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  const stop = options.events ? startMesh(world, options.events) : () => {}
  const close = server.close
  return Object.assign(server, {
    locked,
    endSessions: doors.endSessions,
    endTokens: doors.endTokens,
    async close() {
      stop()
      await close()
    },
  })
}

/* ---- who may come in ---- */

interface Session {
  readonly cookies: Readonly<Record<string, string | readonly string[]>>
  readonly token: string
  protects(request: SimulatedRequest): boolean
}

function createDoors(options: SapS4SimulatorOptions) {
  const clientId = options.clientId ?? 'tributary'
  const secret = options.clientSecret ?? 'demo'
  const lifeMs = (options.tokenLifeSeconds ?? 43_200) * 1000
  const bearers = new Map<string, number>()
  const sessions = new Map<string, string>()

  const credentials = (request: SimulatedRequest, decode: (text: string) => string): boolean => {
    const [, basic = ''] = /^Basic (.+)$/.exec(request.headers.authorization ?? '') ?? []
    const [user = '', ...password] = Buffer.from(basic, 'base64').toString('utf8').split(':')
    return decode(user) === clientId && decode(password.join(':')) === secret
  }

  return {
    token(request: SimulatedRequest): SimulatedResponse {
      const json = (status: number, body: unknown): SimulatedResponse => ({
        status,
        headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
        body: JSON.stringify(body),
      })
      const form = new URLSearchParams(request.body.toString('utf8'))
      if (request.method !== 'POST' || form.get('grant_type') !== 'client_credentials') {
        return json(400, { error: 'unsupported_grant_type' })
      }
      if (!credentials(request, decodeURIComponent)) {
        return json(401, { error: 'invalid_client', error_description: `Bad credentials ${secret}x` })
      }
      const bearer = randomBytes(24).toString('base64url')
      bearers.set(bearer, Date.now() + lifeMs)
      return json(200, { access_token: bearer, token_type: 'bearer', expires_in: lifeMs / 1000 })
    },

    isKnown(request: SimulatedRequest): boolean {
      const [, bearer = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? []
      return bearer === '' ? credentials(request, String) : (bearers.get(bearer) ?? 0) > Date.now()
    },

    /** The session of the cookie, or a new one: who comes without is given one. */
    session(request: SimulatedRequest): Session {
      const cookies = new Map(
        (request.headers.cookie ?? '')
          .split(';')
          .map((part) => part.trim().split('=', 2) as [string, string]),
      )
      const id = cookies.get(SESSION)
      const known = id === undefined ? undefined : sessions.get(id)
      if (known !== undefined) {
        return {
          cookies: {},
          token: known,
          protects: (one) => one.headers['x-csrf-token'] === known,
        }
      }
      const fresh = randomBytes(12).toString('base64url')
      const token = randomBytes(16).toString('base64url')
      sessions.set(fresh, token)
      return {
        cookies: {
          'set-cookie': [
            `sap-usercontext=sap-client=${options.sapClient ?? '100'}; path=/`,
            `${SESSION}=${fresh}; path=/; secure; HttpOnly`,
          ],
        },
        token,
        protects: () => false,
      }
    },

    endSessions: () => sessions.clear(),
    endTokens: () => bearers.clear(),
  }
}

const wantsJson = (headers: Operation['headers'], query: URLSearchParams): boolean =>
  query.get('$format') === 'json' || /json/.test(String(headers.accept ?? ''))

/* ---- answers ---- */

const json = (status: number, d: unknown, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json;charset=utf-8', dataserviceversion: '2.0', ...headers },
  body: JSON.stringify({ d }),
})

function refusalOf({ status, code, message, target }: Refusal, asXml: boolean): Answer {
  if (asXml) {
    const clean = message.replace(/[<>&]/g, (character) => `&#${character.charCodeAt(0)};`)
    return {
      status,
      headers: { 'content-type': 'application/xml;charset=utf-8' },
      body: `<?xml version="1.0" encoding="utf-8"?><error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>${code}</code><message xml:lang="en">${clean}</message><innererror/></error>`,
    }
  }
  const generic = {
    code: '/IWBEP/CX_MGW_BUSI_EXCEPTION',
    message: 'An exception was raised',
    propertyref: '',
    severity: 'error',
    target: '',
  }
  return {
    status,
    headers: { 'content-type': 'application/json;charset=utf-8' },
    body: JSON.stringify({
      error: {
        code,
        message: { lang: 'en', value: message },
        innererror: {
          transactionid: randomUUID().replaceAll('-', '').toUpperCase(),
          errordetails: [{ code, message, propertyref: '', severity: 'error', target }, generic],
        },
      },
    }),
  }
}

/* ---- the services ---- */

function createServices(world: World, options: SapS4SimulatorOptions, locked: ReadonlySet<string>) {
  const orderFields = options.orderFields ?? [
    'YY1_TributaryRef_SDH',
    'YY1_TributaryUser_SDH',
    'YY1_Channel_SDH',
  ]
  const lineFields = ['YY1_Engraving_SDI']
  const all = typesOf({ A_SalesOrder: orderFields, A_SalesOrderItem: lineFields })
  const types = Object.fromEntries(
    Object.entries(all).map(([type, fields]) => [
      type,
      Object.fromEntries(Object.entries(fields).filter(([name]) => !options.absent?.includes(name))),
    ]),
  )
  /** Reasons by item, of orders of which not all is rejected. */
  const rejections = new Map<number, Map<string, string>>()
  const rows = createRows(world, rejections)
  const pageSize = options.pageSize ?? 100

  const below = (list: Row[], navigation: string): Row[] => list.flatMap((row) => row[navigation] as Row[])
  const sets: Readonly<Record<string, () => Row[]>> = {
    A_BusinessPartner: () => [...world.all('erpAccounts').map(rows.partner), SUPPLIER],
    A_Product: () => world.all('erpItems').map(rows.product),
    A_MatlStkInAcctMod: rows.stock,
    A_SalesOrder: () => world.all('erpOrders').map(rows.order),
    A_SalesOrderItem: () => below(world.all('erpOrders').map(rows.order), 'to_Item'),
    A_SalesOrderText: () => below(world.all('erpOrders').map(rows.order), 'to_Text'),
    A_OutbDeliveryHeader: () => world.all('erpDeliveries').map(rows.delivery),
    A_OutbDeliveryItem: () => below(world.all('erpDeliveries').map(rows.delivery), 'to_DeliveryDocumentItem'),
    A_BillingDocument: () => world.all('financeInvoices').map(rows.invoice),
    A_BillingDocumentItem: () => below(world.all('financeInvoices').map(rows.invoice), 'to_Item'),
  }

  const etagOf = (type: string, row: Row): string | undefined =>
    type === 'A_SalesOrder' || type === 'A_BillingDocument'
      ? `W/"datetimeoffset'${encodeURIComponent(String(row.LastChangeDateTime).replace('.000Z', 'Z'))}'"`
      : undefined

  const showIn = (service: string): Show => ({
    types,
    metadata(type, row) {
      const key = (KEYS[type] ?? [])
        .map((name) => `${name}='${encodeURIComponent(String(row[name] ?? ''))}'`)
        .join(',')
      const uri = `https://s4.example${ROOT}${service}/${type}(${key})`
      const etag = etagOf(type, row)
      return { id: uri, uri, type: `${service.split(';')[0]}.${type}Type`, ...(etag ? { etag } : {}) }
    },
  })

  const OPTIONS = new Set([
    '$select',
    '$expand',
    '$filter',
    '$orderby',
    '$top',
    '$skip',
    '$skiptoken',
    '$inlinecount',
    '$format',
    'sap-client',
  ])
  const list = (text: string | null) => (text ? text.split(',').map((one) => one.trim()) : [])
  const whole = (query: URLSearchParams, option: string): number | undefined => {
    const text = query.get(option)
    if (text === null) return undefined
    if (!/^\d+$/.test(text)) throw new Refusal(400, '/IWBEP/CM_MGW_RT/021', `Invalid ${option}`)
    return Number(text)
  }

  const read = (service: string, set: string, key: string | undefined, { query }: Operation): Answer => {
    for (const option of query.keys()) {
      if (!OPTIONS.has(option)) throw new Refusal(400, '/IWBEP/CM_MGW_RT/021', `Invalid option '${option}'`)
    }
    const select = query.has('$select') ? list(query.get('$select')) : undefined
    const expand = list(query.get('$expand'))
    checkPaths(types, set, select ?? [], expand)
    const show = (row: Row) => project(showIn(service), set, row, select, expand)
    if (key !== undefined) {
      const row = byKey(set, key)
      const etag = etagOf(set, row)
      return json(200, show(row), etag ? { etag } : {})
    }
    const filter = query.get('$filter')
    const rowsOfSet = sets[set]?.() ?? []
    const found = filter === null ? rowsOfSet : rowsOfSet.filter(parseFilter(filter, types, set))
    const orderby = query.get('$orderby')
    if (orderby !== null) found.sort(parseOrder(orderby, types, set))
    const top = whole(query, '$top') ?? Number.POSITIVE_INFINITY
    const skipped = whole(query, '$skiptoken') ?? 0
    const start = skipped + (whole(query, '$skip') ?? 0)
    const left = Math.min(top - skipped, pageSize)
    const page = found.slice(start, start + left)
    const isMore = start + page.length < found.length && skipped + page.length < top && page.length > 0
    const next = new URLSearchParams(query)
    next.set('$skiptoken', String(skipped + page.length))
    return json(200, {
      results: page.map(show),
      ...(query.get('$inlinecount') === 'allpages' ? { __count: String(found.length) } : {}),
      ...(isMore ? { __next: `https://s4.example${ROOT}${service}/${set}?${next}` } : {}),
    })
  }

  const alpha = (text: string) => (/^\d+$/.test(text) ? text.replace(/^0+(?=.)/, '') : text)
  const keyParts = (set: string, key: string): string[] => {
    const single = /^'((?:[^']|'')*)'$/.exec(key)?.[1]
    const names = KEYS[set] ?? []
    const parts =
      single !== undefined && names.length === 1
        ? [single]
        : names.map((name) => new RegExp(`(?:^|,)${name}='((?:[^']|'')*)'`).exec(key)?.[1])
    if (parts.includes(undefined)) throw new Refusal(400, '/IWBEP/CM_MGW_RT/021', `Invalid key '${key}'`)
    return parts.map((part) => alpha((part ?? '').replaceAll("''", "'")))
  }
  const byKey = (set: string, key: string): Row => {
    const parts = keyParts(set, key)
    const names = KEYS[set] ?? []
    const row = sets[set]?.().find((one) => names.every((name, at) => String(one[name]) === parts[at]))
    if (!row) throw new Refusal(404, '/IWBEP/CM_MGW_RT/020', `Resource not found for segment '${set}Type'`)
    return row
  }

  /* -- writing -- */

  const orderOf = (number: string): ErpOrder => {
    const order = world.find('erpOrders', 'docNum', alpha(number))
    if (!order)
      throw new Refusal(404, '/IWBEP/CM_MGW_RT/020', "Resource not found for segment 'A_SalesOrderType'")
    if (locked.has(orderNumber(order))) {
      const words = `Sales order ${orderNumber(order)} is currently being processed by user MEIER`
      throw new Refusal(400, 'V1/042', words)
    }
    return order
  }

  const mustMatch = (order: ErpOrder, { headers }: Operation): void => {
    const match = headers['if-match']
    if (match === undefined) {
      throw new Refusal(428, '/IWBEP/CM_MGW_RT/194', 'An If-Match header is required')
    }
    if (match !== '*' && match !== etagOf('A_SalesOrder', rows.order(order))) {
      throw new Refusal(412, '/IWBEP/CM_MGW_RT/190', 'The entity has been changed since it was read')
    }
  }

  const bodyOf = ({ body, headers }: Operation): Record<string, unknown> => {
    if (!/json/.test(String(headers['content-type'] ?? ''))) {
      throw new Refusal(415, '/IWBEP/CM_MGW_RT/415', 'Unsupported media type')
    }
    try {
      const parsed: unknown = JSON.parse(body.toString('utf8'))
      if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed }
    } catch {
      // said below
    }
    throw new Refusal(400, '/IWBEP/CM_MGW_RT/004', 'Malformed request body')
  }

  /** Values of the type's own properties, each in the form that its type has in JSON. */
  const read1 = (type: string, body: Record<string, unknown>): Record<string, string | null> => {
    const values: Record<string, string | null> = {}
    for (const [name, value] of Object.entries(body)) {
      const edm = types[type]?.[name]
      const wrong = (why: string) =>
        new Refusal(400, '005056A509B11EE1B9A8FEC11C21578E', `Property '${name}' ${why}`, name)
      if (edm === undefined) throw wrong('is invalid')
      if (typeof edm === 'object') continue
      if (value === null) values[name] = null
      else if (typeof value !== 'string') throw wrong(`has the wrong type: ${typeof value}`)
      else if (edm === 'decimal' && !/^-?\d+(\.\d+)?$/.test(value)) throw wrong('is no decimal')
      else if (edm === 'date') {
        const ticks = /^\/Date\((-?\d+)\)\/$/.exec(value)?.[1]
        if (ticks === undefined || Number(ticks) % 86_400_000 !== 0) throw wrong('is no date')
        values[name] = new Date(Number(ticks)).toISOString().slice(0, 10)
      } else values[name] = value
    }
    return values
  }
  const children = (body: Record<string, unknown>, name: string): Record<string, unknown>[] => {
    const list = body[name]
    if (list === undefined) return []
    if (!Array.isArray(list)) throw new Refusal(400, '/IWBEP/CM_MGW_RT/004', `'${name}' is no list`)
    return list as Record<string, unknown>[]
  }

  const create = (service: string, operation: Operation): Answer => {
    const body = bodyOf(operation)
    const head = read1('A_SalesOrder', body)
    const needed = ['SalesOrderType', 'SalesOrganization', 'DistributionChannel', 'OrganizationDivision']
    for (const name of [...needed, 'SoldToParty']) {
      if (!head[name]) throw new Refusal(400, 'V1/320', `Enter ${name}`, name)
    }
    const area = [head.SalesOrganization, head.DistributionChannel, head.OrganizationDivision].join('/')
    if (area !== [ORGANIZATION, CHANNEL, DIVISION].join('/')) {
      throw new Refusal(400, 'V1/501', `Sales area ${area.replaceAll('/', ' ')} is not defined`)
    }
    if (head.SalesOrderType !== 'OR')
      throw new Refusal(400, 'V1/310', `Order type ${head.SalesOrderType} is not defined`)
    const account = world.get('erpAccounts', alpha(head.SoldToParty ?? ''))
    if (!account) {
      throw new Refusal(400, 'VP/199', `Customer ${head.SoldToParty} does not exist`, 'SoldToParty')
    }
    if (account.frozen)
      throw new Refusal(400, 'VP/152', `Customer ${account.cardCode} is blocked`, 'SoldToParty')
    if ((head.PurchaseOrderByCustomer ?? '').length > 35) {
      throw new Refusal(
        400,
        '005056A509B11EE1B9A8FEC11C21578E',
        "Property 'PurchaseOrderByCustomer' is too long",
      )
    }
    const lines = children(body, 'to_Item').map((item, index) => {
      const target = (name: string) => `/to_Item(SalesOrderItem='${(index + 1) * 10}')/${name}`
      const values = read1('A_SalesOrderItem', item)
      const material = world.get('erpItems', alpha(values.Material ?? ''))
      if (!material?.active) {
        throw new Refusal(
          400,
          'SLS_LORD/033',
          `Material ${values.Material} is not maintained`,
          target('Material'),
        )
      }
      if (!values.RequestedQuantity || new Big(values.RequestedQuantity).lte(0)) {
        throw new Refusal(400, 'V1/115', 'Enter a quantity', target('RequestedQuantity'))
      }
      if (values.ProductionPlant && values.ProductionPlant !== PLANT) {
        throw new Refusal(
          400,
          'V1/382',
          `Plant ${values.ProductionPlant} is not defined`,
          target('ProductionPlant'),
        )
      }
      const warehouse = values.StorageLocation || '01'
      if (!world.get('erpWarehouses', warehouse)) {
        throw new Refusal(
          400,
          'V1/384',
          `Storage location ${warehouse} is not defined`,
          target('StorageLocation'),
        )
      }
      const conditions = children(item, 'to_PricingElement').map((one) =>
        read1('A_SalesOrderItemPrElement', one),
      )
      for (const { ConditionType: type } of conditions) {
        if (type !== 'PPR0' && type !== 'ZDIS') {
          throw new Refusal(
            400,
            'V1/802',
            `Condition type ${type} cannot be entered by hand`,
            target('to_PricingElement'),
          )
        }
      }
      const [note] = children(item, 'to_Text').map((one) => read1('A_SalesOrderItemText', one))
      if (note && (note.LongTextID !== 'TX05' || note.Language !== 'EN')) {
        throw new Refusal(400, 'TD/602', `Text ID ${note.LongTextID} is not defined`, target('to_Text'))
      }
      const price = conditions.find((one) => one.ConditionType === 'PPR0')?.ConditionRateValue
      const discount = conditions.find((one) => one.ConditionType === 'ZDIS')?.ConditionRateValue
      return {
        item: material.code,
        quantity: values.RequestedQuantity,
        warehouse,
        ...(price ? { price } : {}),
        ...(discount ? { discountPercent: new Big(discount).times(-1).toString() } : {}),
        ...(note?.LongText ? { comments: note.LongText } : {}),
        ...(lineFields.some((name) => values[name] !== undefined)
          ? { userFields: ownFields(values, lineFields) }
          : {}),
      }
    })
    const [text] = children(body, 'to_Text').map((one) => read1('A_SalesOrderText', one))
    const shipTo = shipToOf(children(body, 'to_Partner'))
    const today = new Date().toISOString().slice(0, 10)
    const docDate = head.SalesOrderDate ?? today
    const net = lines.reduce(
      (sum, line) =>
        sum.plus(new Big(line.price ?? world.get('erpItems', line.item)?.price ?? '0').times(line.quantity)),
      new Big(0),
    )
    const placed = placeOrder(world, {
      cardCode: account.cardCode,
      currency: head.TransactionCurrency || account.currency,
      docDate,
      dueDate: head.RequestedDeliveryDate ?? today,
      numAtCard: head.PurchaseOrderByCustomer || null,
      comments: text?.LongText || null,
      confirmed: options.approvalAbove === undefined || net.lte(options.approvalAbove),
      userFields: ownFields(head),
      ...(head.CustomerPaymentTerms || head.PaymentMethod ? { payment: paymentOf(head) } : {}),
      ...(shipTo ? { shipTo } : {}),
      lines,
    })
    const row = rows.order(placed)
    // A deep create answers with what was created, one level of it.
    const shown = project(showIn(service), 'A_SalesOrder', row, undefined, ['to_Item'])
    const late = placed.dueDate < docDate
    const warning = {
      code: 'V4/083',
      message: 'Requested delivery date lies in the past',
      target: '',
      severity: 'warning',
      details: [],
    }
    return json(201, shown, {
      location: `https://s4.example${ROOT}${service}/A_SalesOrder('${orderNumber(placed)}')`,
      ...(late ? { 'sap-message': JSON.stringify(warning) } : {}),
    })
  }

  /** Partners that are not given are those of the customer. */
  const shipToOf = (partners: readonly Record<string, unknown>[]): ErpOrder['shipTo'] => {
    for (const partner of partners) {
      const values = read1('A_SalesOrderHeaderPartner', partner)
      if (!['SH', 'BP', 'PY'].includes(values.PartnerFunction ?? '')) {
        throw new Refusal(400, 'VP/206', `Partner function ${values.PartnerFunction} is not allowed`)
      }
      if (!world.get('erpAccounts', alpha(values.Customer ?? ''))) {
        throw new Refusal(400, 'VP/199', `Customer ${values.Customer} does not exist`, 'to_Partner')
      }
      const [address] = children(partner, 'to_Address').map((one) => read1('A_SalesOrderPartnerAddress', one))
      if (values.PartnerFunction !== 'SH' || !address) continue
      if (!/^[A-Z]{2}$/.test(address.Country ?? '')) {
        throw new Refusal(400, 'AM/067', 'Country is required', 'to_Address/Country')
      }
      const longest = { OrganizationName1: 40, StreetName: 60, CityName: 40, PostalCode: 10, Region: 3 }
      for (const [name, most] of Object.entries(longest)) {
        if ((address[name] ?? '').length > most) {
          throw new Refusal(400, '005056A509B11EE1B9A8FEC11C21578E', `Property '${name}' is too long`)
        }
      }
      return {
        name: address.OrganizationName1 ?? '',
        phone: address.PhoneNumber ?? '',
        street: address.StreetName ?? '',
        city: address.CityName ?? '',
        province: address.Region ?? '',
        zip: address.PostalCode ?? '',
        country: address.Country ?? '',
      }
    }
    return undefined
  }

  const ownFields = (
    values: Record<string, string | null>,
    names = orderFields,
  ): Record<string, string | null> =>
    Object.fromEntries(names.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]])))

  const paymentOf = (values: Record<string, string | null>) => {
    const { CustomerPaymentTerms: terms, PaymentMethod: method } = values
    if ((terms ?? '').length > 4 || (method ?? '').length > 1) {
      throw new Refusal(400, '005056A509B11EE1B9A8FEC11C21578E', 'A value of the payment is too long')
    }
    return { ...(terms ? { terms } : {}), ...(method ? { method } : {}) }
  }

  const NOTHING: Answer = { status: 204, headers: { dataserviceversion: '2.0' }, body: '' }

  const change = (number: string, operation: Operation): Answer => {
    const order = orderOf(number)
    mustMatch(order, operation)
    const values = read1('A_SalesOrder', bodyOf(operation))
    if (Object.keys(values).length === 0) {
      throw new Refusal(501, '/IWFND/CM_MGW/096', "Method 'UPDATE_ENTITY' not implemented")
    }
    const changes: Partial<ErpOrder> = {}
    for (const [name, value] of Object.entries(values)) {
      if (name === 'RequestedDeliveryDate') changes.dueDate = value ?? order.dueDate
      else if (name === 'PurchaseOrderByCustomer') changes.numAtCard = value || null
      else if (name === 'CustomerPaymentTerms') changes.payment = { ...order.payment, ...paymentOf(values) }
      else if (!orderFields.includes(name)) {
        throw new Refusal(400, '/IWBEP/CM_MGW_RT/021', `Property '${name}' cannot be changed`, name)
      }
    }
    if (order.cancelled || order.closed) throw new Refusal(400, 'V1/405', `Order ${number} is completed`)
    changeOrder(world, order, { ...changes, userFields: { ...order.userFields, ...ownFields(values) } })
    return NOTHING
  }

  const changeItem = (key: string, operation: Operation): Answer => {
    const [number = '', item = ''] = keyParts('A_SalesOrderItem', key)
    const order = orderOf(number)
    mustMatch(order, operation)
    const values = read1('A_SalesOrderItem', bodyOf(operation))
    const reason = values.SalesDocumentRjcnReason
    const line = order.lines.find((one) => String((one.lineNum + 1) * 10) === item)
    if (!line) throw new Refusal(404, '/IWBEP/CM_MGW_RT/020', 'Resource not found')
    if (Object.keys(values).length !== 1 || reason === undefined) {
      throw new Refusal(400, '/IWBEP/CM_MGW_RT/021', 'Only the reason for rejection can be changed')
    }
    if (!reason || !/^\d\d$/.test(reason)) {
      throw new Refusal(400, 'V1/383', `Reason ${reason} is not defined`, 'SalesDocumentRjcnReason')
    }
    if (!new Big(line.open).eq(line.quantity)) {
      throw new Refusal(
        400,
        'V1/455',
        `Item ${item} has been delivered`,
        `/A_SalesOrderItem(SalesOrderItem='${item}')`,
      )
    }
    const reasons = new Map(rejections.get(order.docEntry)).set(item, reason)
    rejections.set(order.docEntry, reasons)
    if (reasons.size === order.lines.length) cancelOrder(world, order)
    else changeOrder(world, order, {})
    return NOTHING
  }

  const changeText = (number: string, operation: Operation, isNew: boolean, service: string): Answer => {
    const order = orderOf(number)
    const values = read1('A_SalesOrderText', bodyOf(operation))
    if (isNew && (values.LongTextID !== 'TX01' || values.Language !== 'EN' || order.comments)) {
      throw new Refusal(400, 'TD/602', 'The text cannot be created')
    }
    if (!isNew) mustMatch(order, operation)
    const changed = changeOrder(world, order, { comments: values.LongText || null })
    if (!isNew) return NOTHING
    const [row] = rows.order(changed).to_Text as Row[]
    return json(201, project(showIn(service), 'A_SalesOrderText', row ?? {}, undefined, []))
  }

  const release = (service: string, operation: Operation): Answer => {
    const number = /^'(\w+)'$/.exec(operation.query.get('SalesOrder') ?? '')?.[1]
    if (number === undefined)
      throw new Refusal(400, '/IWBEP/CM_MGW_RT/021', "Parameter 'SalesOrder' is missing")
    const order = orderOf(number)
    mustMatch(order, operation)
    if (order.confirmed) throw new Refusal(400, 'SD_APM/015', `Order ${number} does not wait for approval`)
    const changed = changeOrder(world, order, { confirmed: true })
    return json(200, project(showIn(service), 'A_SalesOrder', rows.order(changed), undefined, []))
  }

  const serve = (service: string, operation: Operation): Answer => {
    const { method, path } = operation
    if (path === '$metadata' && method === 'GET') return metadata(service)
    if (service === 'API_SALES_ORDER_SRV' && method === 'POST' && path === 'releaseApprovalRequest') {
      return release(service, operation)
    }
    const [, set = '', key, navigation] = /^(\w+)(?:\((.*)\))?(?:\/(\w+))?$/.exec(path) ?? []
    if (!SERVICES[service]?.includes(set)) {
      throw new Refusal(404, '/IWFND/CM_MGW/001', `Resource not found for segment '${set || path}'`)
    }
    if (method === 'GET' && navigation === undefined) return read(service, set, key, operation)
    if (service === 'API_SALES_ORDER_SRV') {
      if (method === 'POST' && set === 'A_SalesOrder' && key === undefined) return create(service, operation)
      if (method === 'POST' && set === 'A_SalesOrder' && key !== undefined && navigation === 'to_Text') {
        return changeText(keyParts(set, key)[0] ?? '', operation, true, service)
      }
      if ((method === 'PATCH' || method === 'MERGE') && key !== undefined && navigation === undefined) {
        if (set === 'A_SalesOrder') return change(keyParts(set, key)[0] ?? '', operation)
        if (set === 'A_SalesOrderItem') return changeItem(key, operation)
        byKey(set, key)
        return changeText(keyParts(set, key)[0] ?? '', operation, false, service)
      }
    }
    throw new Refusal(405, '/IWFND/CM_MGW/096', `Method '${method}' is not allowed for '${path}'`)
  }

  /** Edmx, with every type that a set of the service leads to. */
  const metadata = (service: string): Answer => {
    const namespace = service.split(';')[0] ?? service
    const reached = new Set<string>()
    const reach = (type: string): void => {
      if (reached.has(type)) return
      reached.add(type)
      for (const edm of Object.values(types[type] ?? {})) {
        if (typeof edm === 'object') reach('many' in edm ? edm.many : edm.one)
      }
    }
    for (const set of SERVICES[service] ?? []) reach(set)
    const EDM = {
      string: 'Edm.String',
      alpha: 'Edm.String',
      boolean: 'Edm.Boolean',
      decimal: 'Edm.Decimal',
      date: 'Edm.DateTime',
      instant: 'Edm.DateTimeOffset',
      time: 'Edm.Time',
    }
    const associations: string[] = []
    const entities = [...reached].map((type) => {
      const properties = Object.entries(types[type] ?? {}).map(([name, edm]) => {
        if (typeof edm === 'string') return `<Property Name="${name}" Type="${EDM[edm]}"/>`
        const target = 'many' in edm ? edm.many : edm.one
        const association = `assoc_${createHash('md5').update(`${type}/${name}`).digest('hex').slice(0, 16)}`
        associations.push(
          `<Association Name="${association}"><End Type="${namespace}.${type}Type" Multiplicity="1" Role="From"/><End Type="${namespace}.${target}Type" Multiplicity="${'many' in edm ? '*' : '0..1'}" Role="To"/></Association>`,
        )
        return `<NavigationProperty Name="${name}" Relationship="${namespace}.${association}" FromRole="From" ToRole="To"/>`
      })
      const key = (KEYS[type] ?? []).map((name) => `<PropertyRef Name="${name}"/>`).join('')
      return `<EntityType Name="${type}Type">${key && `<Key>${key}</Key>`}${properties.join('')}</EntityType>`
    })
    const names = (SERVICES[service] ?? [])
      .map((set) => `<EntitySet Name="${set}" EntityType="${namespace}.${set}Type"/>`)
      .join('')
    return {
      status: 200,
      headers: { 'content-type': 'application/xml' },
      body: `<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices><Schema Namespace="${namespace}" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">${entities.join('')}${associations.join('')}<EntityContainer Name="${namespace}_Entities">${names}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`,
    }
  }

  return { serve }
}

/* ---- events ---- */

function startMesh(world: World, events: NonNullable<SapS4SimulatorOptions['events']>): () => void {
  const stopped = new AbortController()
  const stopListening = world.onChange((change) => {
    const event = eventOf(change)
    if (!event) return
    const url = typeof events.url === 'string' ? events.url : events.url()
    // Unanswered events would be sent again by a real mesh; here polling finds what was missed.
    fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/cloudevents+json',
        authorization: `Basic ${Buffer.from(`${events.username}:${events.password}`).toString('base64')}`,
      },
      body: JSON.stringify(event),
      signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(5_000)]),
    }).then(
      (response) => response.arrayBuffer(),
      () => undefined,
    )
  })
  return () => {
    stopListening()
    stopped.abort()
  }
}

/** Numbers come padded here, other than from the services. */
const padded = (number: string): string => (/^\d+$/.test(number) ? number.padStart(10, '0') : number)

function eventOf({ collection, entity, before }: WorldChange): Row | undefined {
  const told = ((): [object: string, data: Row] | undefined => {
    const one = entity as never
    switch (collection) {
      case 'erpOrders':
        return ['salesorder.v1.SalesOrder', { SalesOrder: padded(orderNumber(one)) }]
      case 'erpAccounts':
        return [
          'businesspartner.v1.BusinessPartner',
          { BusinessPartner: padded((entity as { cardCode: string }).cardCode) },
        ]
      case 'erpItems':
        return ['product.v1.Product', { Product: (entity as { code: string }).code }]
      case 'erpDeliveries':
        return ['outbounddelivery.v1.OutboundDelivery', { OutboundDelivery: padded(deliveryNumber(one)) }]
      case 'financeInvoices':
        return ['billingdocument.v1.BillingDocument', { BillingDocument: padded(billingNumber(one)) }]
      default:
        return undefined
    }
  })()
  if (!told) return undefined
  const [object, data] = told
  return {
    specversion: '1.0',
    id: randomUUID(),
    source: '/default/sap.s4.beh/S4HCLNT100',
    type: `sap.s4.beh.${object}.${before ? 'Changed' : 'Created'}.v1`,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data,
  }
}
