/**
 * A Service Layer v2 on loopback, strict where the vendor is: sessions by two cookies, pages of 20, unknown
 * properties refused. It shows the ERP part of the demo world, and writes into it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Big from 'big.js'
import { type BatchAnswer, parseBatch, renderBatch } from '../../simulation/batch.ts'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { cancelOrder, changeOrder, moveStock, nowText, placeOrder, rateOf } from '../../simulation/trade.ts'
import type {
  ErpAccount,
  ErpDelivery,
  ErpInvoice,
  ErpItem,
  ErpOrder,
  ErpPayment,
  World,
} from '../../simulation/world.ts'
import {
  type Fields,
  fieldsOf,
  invalidQuery,
  parseCrossJoin,
  parseExpand,
  parseFilter,
  parseOrder,
  parseSelect,
  Refusal,
  type Resolve,
  type Row,
} from './simulator-query.ts'

export interface SapB1SimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `manager`. */
  readonly user?: string
  /** Default `demo`. */
  readonly password?: string
  /** Default `SBODEMO_CN`. */
  readonly companyDb?: string
  /** Without activity a session ends after so long; the login answer tells whole minutes. Default 30 min. */
  readonly sessionTimeoutMs?: number
  /** Licences. Default 5. */
  readonly maxSessions?: number
  /** Real logins take 3 to 8 s. Default 0. */
  readonly loginDelayMs?: number
  /** User-defined fields of documents. Default `U_TributaryRef` and `U_TributaryUser`. */
  readonly userFields?: readonly string[]
  /** Orders whose gross total in company currency is above become drafts that wait for approval. */
  readonly approvalAbove?: string
  /** The release knows PaidToDate of invoices. Default true. */
  readonly paidToDate?: boolean
  /** The posting periods up to this day are locked. */
  readonly closedUpTo?: string
  /** Rows that were never changed have no UpdateDate, as in some releases. Default false: it is that of creation. */
  readonly emptyUpdateDates?: boolean
  /** Requests in a `$batch` may ask for pages of their own size. Default true: no source says. */
  readonly batchPages?: boolean
}

export interface SapB1Simulator extends Simulator {
  /** What the approver does with a draft. An approved one becomes an order. */
  decide(draft: number, decision: 'approve' | 'reject'): void
}

const ROOT = '/b1s/v2'
const PAGE_SIZE = 20
/** The series that gives customers their numbers. */
const PARTNER_SERIES = 71
/** Apache's limit of a request line. */
const MAX_URL = 8190
/** The demo company's server stands in Shanghai; its records say so nowhere. */
const OFFSET_MS = 8 * 3_600_000

export async function startSapB1Simulator(
  world: World,
  options: SapB1SimulatorOptions = {},
): Promise<SapB1Simulator> {
  const company = createCompany(world, options)
  const sessions = createSessions(options)

  const handle = async (request: SimulatedRequest): Promise<SimulatedResponse> => {
    if (/^\/ping(\/|$)/.test(request.path)) return { status: 200, body: 'pong' }
    if (!request.path.startsWith(`${ROOT}/`)) return { status: 404, body: '' }
    try {
      const path = decodeURIComponent(request.path.slice(ROOT.length + 1))
      if (request.rawQuery.length + request.path.length > MAX_URL) return { status: 414, body: '' }
      if (path === 'Login') return await sessions.login(request)
      sessions.check(request)
      if (path === 'Logout') return sessions.logout(request)
      if (path === '$batch') return batch(request)
      return company.serve(path, request)
    } catch (error) {
      if (error instanceof Refusal) return refusal(error)
      throw error
    }
  }
  /** Ends at the first part that fails; reads stand alone, and changesets are not asked of this simulator. */
  const batch = (request: SimulatedRequest): SimulatedResponse => {
    if (request.method !== 'POST') throw new Refusal(405, -1, 'Method not allowed')
    const answers: BatchAnswer[] = []
    for (const item of parseBatch(request.body, String(request.headers['content-type'] ?? ''), BATCHES)) {
      if (item.kind === 'changeset') throw new Refusal(501, -1, 'Changesets are not simulated')
      const { operation } = item
      const [path = '', rawQuery = ''] = operation.path.split('?', 2)
      if (!path.startsWith(`${ROOT}/`)) throw BATCHES.malformed('Unrecognized resource path')
      const { prefer: _, ...others } = operation.headers
      const part: SimulatedRequest = {
        ...operation,
        path,
        rawQuery,
        query: new URLSearchParams(rawQuery),
        headers: options.batchPages === false ? others : operation.headers,
      }
      const response = answerOf(() => company.serve(decodeURIComponent(path.slice(ROOT.length + 1)), part))
      const headers = Object.fromEntries(
        Object.entries(response.headers ?? {}).map(([name, value]) => [name, String(value)]),
      )
      answers.push({
        changeset: false,
        response: { status: response.status, headers, body: String(response.body ?? '') },
      })
      if (response.status >= 400) break
    }
    const boundary = `batchresponse_${randomUUID()}`
    return {
      status: 200,
      headers: { 'content-type': `multipart/mixed;boundary=${boundary}` },
      body: renderBatch(answers, boundary),
    }
  }

  const server = await startSimulatorServer({
    handle,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  return Object.assign(server, { decide: company.decide })
}

const BATCHES = {
  malformed: (message: string) => new Refusal(400, -1, `Incomplete request: ${message}`),
  bareRequestLines: true,
}

function answerOf(serve: () => SimulatedResponse): SimulatedResponse {
  try {
    return serve()
  } catch (error) {
    if (error instanceof Refusal) return refusal(error)
    throw error
  }
}

const json = (
  status: number,
  body: unknown,
  headers: Record<string, string | readonly string[]> = {},
): SimulatedResponse => ({
  status,
  headers: { 'content-type': 'application/json;odata.metadata=minimal;charset=utf-8', ...headers },
  body: JSON.stringify(body),
})

/** The vendor has two forms: session and business errors in the older one, database errors in the newer. */
function refusal({ status, code, message }: Refusal): SimulatedResponse {
  const body =
    typeof code === 'number' ? { code, message: { lang: 'en-us', value: message } } : { code, message }
  return json(status, { error: body })
}

function bodyOf(request: SimulatedRequest): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(request.body.toString('utf8'))
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body }
  } catch {
    // said below
  }
  throw new Refusal(400, -1, 'Bad post content: a JSON object is expected')
}

/* ---- sessions ---- */

function createSessions(options: SapB1SimulatorOptions) {
  const timeoutMs = options.sessionTimeoutMs ?? 30 * 60_000
  const licences = options.maxSessions ?? 5
  const open = new Map<string, { route: string; endsAt: number }>()
  let logins = 0

  const cookies = (request: SimulatedRequest) =>
    new Map(
      (request.headers.cookie ?? '')
        .split(';')
        .map((part) => part.trim().split('=', 2) as [string, string | undefined]),
    )

  return {
    async login(request: SimulatedRequest): Promise<SimulatedResponse> {
      if (request.method !== 'POST') throw new Refusal(405, -1, 'Method not allowed')
      const body = bodyOf(request)
      if (options.loginDelayMs) await delay(options.loginDelayMs)
      const right =
        body.CompanyDB === (options.companyDb ?? 'SBODEMO_CN') &&
        body.UserName === (options.user ?? 'manager') &&
        body.Password === (options.password ?? 'demo')
      if (!right) throw new Refusal(401, 100000027, 'Login failed')
      for (const [id, session] of open) if (session.endsAt < Date.now()) open.delete(id)
      // Which code the vendor gives here is not known.
      if (open.size >= licences) throw new Refusal(503, -1101, 'No licence is left for another session')
      const id = randomUUID()
      const route = `.node${(logins++ % 2) + 1}`
      open.set(id, { route, endsAt: Date.now() + timeoutMs })
      return json(
        200,
        {
          '@odata.context': `${ROOT}/$metadata#B1Sessions/$entity`,
          SessionId: id,
          Version: '1000290',
          SessionTimeout: Math.max(1, Math.round(timeoutMs / 60_000)),
        },
        { 'set-cookie': [`B1SESSION=${id};HttpOnly;`, `ROUTEID=${route}; path=/`] },
      )
    },

    /** The balancer leads by ROUTEID; another node knows nothing of the session. */
    check(request: SimulatedRequest): void {
      const sent = cookies(request)
      const session = open.get(sent.get('B1SESSION') ?? '')
      if (!session || session.endsAt < Date.now() || session.route !== sent.get('ROUTEID')) {
        throw new Refusal(401, 301, 'Invalid session or session already timeout.')
      }
      session.endsAt = Date.now() + timeoutMs
    },

    logout(request: SimulatedRequest): SimulatedResponse {
      open.delete(cookies(request).get('B1SESSION') ?? '')
      return { status: 204 }
    },
  }
}

/* ---- entity sets ---- */

const STAMPS: Fields = { CreateDate: 'date', CreateTime: 'time', UpdateDate: 'date', UpdateTime: 'time' }

const PARTNER: Fields = {
  ...texts(
    'CardCode CardName CardType Phone1 Phone2 Cellular EmailAddress FederalTaxID Currency Valid Frozen CompanyPrivate',
  ),
  ...numbers(
    'Series GroupCode CreditLimit MaxCommitment CurrentAccountBalance OpenOrdersBalance OpenDeliveryNotesBalance PriceListNum PayTermsGrpCode',
  ),
  BPAddresses: 'collection',
  ContactEmployees: 'collection',
  ...STAMPS,
}

const ITEM: Fields = {
  ...texts(
    'ItemCode ItemName ForeignName BarCode InventoryUOM DefaultWarehouse Valid Frozen InventoryItem SalesItem',
  ),
  ...numbers('ItemsGroupCode QuantityOnStock QuantityOrderedByCustomers QuantityOrderedFromVendors'),
  ItemWarehouseInfoCollection: 'collection',
  ...STAMPS,
}

const WAREHOUSE: Fields = texts('WarehouseCode WarehouseName Inactive')

const TERMS: Fields = { GroupNumber: 'number', PaymentTermsGroupName: 'text' }

const DOCUMENT: Fields = {
  ...numbers(
    'DocEntry DocNum Series DocRate DocTotal DocTotalFc DocTotalSys VatSum VatSumFc VatSumSys TotalDiscount TotalDiscountFC',
  ),
  ...texts(
    'DocType CardCode CardName NumAtCard Comments DocCurrency Reference1 Reference2 DocObjectCode DocumentStatus Cancelled CancelStatus Confirmed AuthorizationStatus',
  ),
  DocDate: 'date',
  DocDueDate: 'date',
  TaxDate: 'date',
  CreationDate: 'date',
  DocTime: 'time',
  UpdateDate: 'date',
  UpdateTime: 'time',
  DocumentLines: 'collection',
}

const PAYMENT: Fields = {
  ...numbers('DocEntry DocNum CashSum TransferSum DocRate'),
  ...texts(
    'DocType CardCode CardName DocCurrency CashAccount TransferAccount TransferReference CounterReference Reference1 Reference2 Remarks Cancelled AuthorizationStatus',
  ),
  DocDate: 'date',
  TransferDate: 'date',
  PaymentInvoices: 'collection',
  PaymentChecks: 'collection',
}

const LINE: Fields = {
  ...texts(
    'ItemCode ItemDescription Currency WarehouseCode TaxCode VatGroup MeasureUnit UoMCode LineStatus FreeText',
  ),
  ...numbers(
    'DocEntry LineNum VisualOrder Quantity UnitPrice Price PriceAfterVAT DiscountPercent LineTotal RowTotalFC TaxPercentagePerRow UoMEntry RemainingOpenQuantity OpenAmount BaseType BaseEntry BaseLine',
  ),
  ShipDate: 'date',
}

function texts(names: string): Fields {
  return Object.fromEntries(names.split(' ').map((name) => [name, 'text' as const]))
}

function numbers(names: string): Fields {
  return Object.fromEntries(names.split(' ').map((name) => [name, 'number' as const]))
}

interface EntitySet {
  readonly type: string
  readonly key: string
  readonly fields: Fields
  rows(): Row[]
  find(key: string): Row | undefined
}

interface Draft {
  readonly entry: number
  readonly order: NewOrder
  status: 'dasPending' | 'dasGenerated' | 'dasRejected'
}

function createCompany(world: World, options: SapB1SimulatorOptions) {
  const userFields = options.userFields ?? ['U_TributaryRef', 'U_TributaryUser']
  const document: Fields = { ...DOCUMENT, ...texts(userFields.join(' ')) }
  const partner: Fields = { ...PARTNER, ...texts(userFields.join(' ')) }
  const payment: Fields = { ...PAYMENT, ...texts(userFields.join(' ')) }
  const show = createRows(world, userFields, options.emptyUpdateDates ?? false)
  const drafts: Draft[] = []

  const sets: Readonly<Record<string, EntitySet>> = {
    BusinessPartners: {
      type: 'BusinessPartner',
      key: 'CardCode',
      fields: partner,
      rows: () => [...world.all('erpAccounts').map(show.partner), SUPPLIER],
      find: (key) => {
        const account = world.get('erpAccounts', key)
        return account ? show.partner(account) : key === SUPPLIER.CardCode ? SUPPLIER : undefined
      },
    },
    Items: {
      type: 'Item',
      key: 'ItemCode',
      fields: ITEM,
      rows: () => world.all('erpItems').map(show.item),
      find: (key) => shown(world.get('erpItems', key), show.item),
    },
    Warehouses: {
      type: 'Warehouse',
      key: 'WarehouseCode',
      fields: WAREHOUSE,
      rows: () => world.all('erpWarehouses').map(show.warehouse),
      find: (key) => shown(world.get('erpWarehouses', key), show.warehouse),
    },
    PaymentTermsTypes: {
      type: 'PaymentTermsType',
      key: 'GroupNumber',
      fields: TERMS,
      rows: () => {
        const terms = world
          .all('erpAccounts')
          .map(({ paymentTerms: { code, name } }) => [code, name] as const)
        return [...new Map(terms)].map(([GroupNumber, PaymentTermsGroupName]) => ({
          GroupNumber,
          PaymentTermsGroupName,
        }))
      },
      find: () => undefined,
    },
    Orders: {
      type: 'Document',
      key: 'DocEntry',
      fields: document,
      rows: () => world.all('erpOrders').map(show.order),
      find: (key) => shown(world.get('erpOrders', key), show.order),
    },
    DeliveryNotes: {
      type: 'Document',
      key: 'DocEntry',
      fields: document,
      rows: () => world.all('erpDeliveries').map(show.delivery),
      find: (key) => shown(world.get('erpDeliveries', key), show.delivery),
    },
    Invoices: {
      type: 'Document',
      key: 'DocEntry',
      fields:
        options.paidToDate === false ? document : { ...document, ...numbers('PaidToDate PaidToDateFC') },
      rows: () => world.all('erpInvoices').map(show.invoice),
      find: (key) => shown(world.get('erpInvoices', key), show.invoice),
    },
    IncomingPayments: {
      type: 'Payment',
      key: 'DocEntry',
      fields: payment,
      rows: () => [...world.all('erpPayments').map(show.payment), SUPPLIER_PAYMENT],
      find: (key) => shown(world.get('erpPayments', key), show.payment),
    },
    Drafts: {
      type: 'Document',
      key: 'DocEntry',
      fields: document,
      rows: () => drafts.map((draft) => show.draft(draft)),
      find: (key) =>
        shown(
          drafts.find(({ entry }) => String(entry) === key),
          show.draft,
        ),
    },
  }

  const serve = (path: string, request: SimulatedRequest): SimulatedResponse => {
    if (path === 'QueryService_PostQuery' && request.method === 'POST') return joinLines(sets, request)
    const [, name = '', key, action] = /^(\w+)(?:\((.*)\))?(?:\/([\w$]+))?$/.exec(path) ?? []
    const set = Object.hasOwn(sets, name) ? sets[name] : undefined
    if (!set) throw new Refusal(404, -2000, `Unrecognized resource path '${name}'`)
    if (key === undefined) {
      if (request.method === 'GET') return collection(name, set, request, action)
      if (request.method === 'POST' && name === 'Orders') return post(request)
      if (request.method === 'POST' && name === 'IncomingPayments') return pay(request)
      if (request.method === 'POST' && name === 'BusinessPartners') return postPartner(request)
      throw new Refusal(405, -1, 'Method not allowed')
    }
    const row = set.find(keyText(key))
    if (!row) throw new Refusal(404, '-2028', 'No matching records found (ODBC -2028)')
    if (request.method === 'GET' && !action) return single(name, set, row, request)
    if (request.method === 'PATCH' && !action && name === 'BusinessPartners') {
      return patchPartner(row, request)
    }
    if (name !== 'Orders') throw new Refusal(405, -1, 'Method not allowed')
    const order = world.get('erpOrders', keyText(key)) as ErpOrder
    if (request.method === 'PATCH' && !action) return patch(order, row, request)
    if (request.method === 'POST' && action === 'Cancel') return cancel(order)
    if (request.method === 'POST' && action === 'Close') return close(order)
    throw new Refusal(405, -1, 'Method not allowed')
  }

  /* -- writing -- */

  const post = (request: SimulatedRequest): SimulatedResponse => {
    const order = readNewOrder(bodyOf(request), world, document, userFields)
    mustBeOpenPeriod(order.docDate, 'ORDR')
    const quiet = /return-no-content/.test(String(request.headers.prefer ?? ''))
    if (options.approvalAbove !== undefined && grossOf(order, world).gt(options.approvalAbove)) {
      drafts.push({ entry: 900 + drafts.length, order, status: 'dasPending' })
      if (quiet) return { status: 204 }
      // The procedure has put the order aside, and then it is not found where it should be.
      throw new Refusal(404, '-2028', 'No matching records found (ODBC -2028)')
    }
    const placed = placeOrder(world, order)
    const location = { location: `${ROOT}/Orders(${placed.docEntry})` }
    if (quiet) return { status: 204, headers: location }
    const row = show.order(placed)
    return json(201, { '@odata.context': `${ROOT}/$metadata#Orders/$entity`, ...row }, location)
  }

  const pay = (request: SimulatedRequest): SimulatedResponse => {
    const body = bodyOf(request)
    for (const name of Object.keys(body)) fieldsOf('Payment', payment)(name)
    const account = world.get('erpAccounts', String(body.CardCode ?? ''))
    if (body.DocType !== 'rCustomer' || !account) {
      throw new Refusal(
        400,
        -5002,
        `Enter a valid customer or vendor code  [ORCT.CardCode] , '${body.CardCode}'`,
      )
    }
    const date = dayIn(body.DocDate ?? localOf(new Date().toISOString()).date, 'DocDate')
    mustBeOpenPeriod(date, 'ORCT')
    const currency = textIn(body.DocCurrency, 'DocCurrency') ?? currencyOf(account, world)
    const means = (sum: 'CashSum' | 'TransferSum', ledger: 'CashAccount' | 'TransferAccount'): Big => {
      const value = new Big(numberIn(body[sum], `[ORCT.${sum}]`) ?? '0')
      if (value.gt(0) && !/^\d{6,}$/.test(textIn(body[ledger], ledger) ?? '')) {
        throw new Refusal(400, -5002, `Enter a valid G/L account  [ORCT.${ledger}]`)
      }
      return value
    }
    const cash = means('CashSum', 'CashAccount')
    const transfer = means('TransferSum', 'TransferAccount')
    const total = cash.plus(transfer)
    if (total.lte(0)) throw new Refusal(400, -10, 'The payment has no sum  [ORCT.DocTotal]')
    const isLocal = currency === world.companyCurrency
    const parts = Array.isArray(body.PaymentInvoices)
      ? (body.PaymentInvoices as Record<string, unknown>[])
      : []
    const invoices = parts.map((part, index) => {
      const place = (field: string) => `[RCT2.${field}][line: ${index + 1}]`
      for (const name of Object.keys(part)) {
        if (!['DocEntry', 'SumApplied', 'AppliedFC', 'InvoiceType', 'LineNum'].includes(name)) {
          throw invalidQuery(`Property '${name}' of 'PaymentInvoice' is invalid`)
        }
      }
      const invoice = world.get('erpInvoices', String(part.DocEntry))
      if (!invoice) throw new Refusal(404, '-2028', `No matching records found  ${place('DocEntry')}`)
      if (invoice.cardCode !== account.cardCode) {
        throw new Refusal(400, -10, `The invoice belongs to another customer  ${place('DocEntry')}`)
      }
      if (invoice.currency !== currency) {
        throw new Refusal(400, -10, `The invoice is in another currency  ${place('DocEntry')}`)
      }
      if (part[isLocal ? 'AppliedFC' : 'SumApplied'] !== undefined) {
        throw new Refusal(400, -10, `Sum in the wrong currency  ${place('SumApplied')}`)
      }
      const applied = new Big(
        numberIn(part[isLocal ? 'SumApplied' : 'AppliedFC'], place('SumApplied')) ?? '0',
      )
      const due = new Big(invoice.gross).minus(invoice.paid)
      if (applied.lte(0) || applied.gt(due)) {
        throw new Refusal(400, -5002, `Amount exceeds the balance due ${due}  ${place('SumApplied')}`)
      }
      return { docEntry: invoice.docEntry, amount: applied.toString() }
    })
    if (invoices.reduce((sum, { amount }) => sum.plus(amount), new Big(0)).gt(total)) {
      throw new Refusal(400, -5002, 'More is applied than paid  [ORCT.DocTotal]')
    }
    const docEntry = world.count('erpPayments') + 1
    const at = nowText()
    const taken: ErpPayment = {
      docEntry,
      docNum: 8000 + docEntry,
      cardCode: account.cardCode,
      currency,
      date,
      cash: cash.toString(),
      transfer: transfer.toString(),
      transferReference: textIn(body.TransferReference, 'TransferReference'),
      counterReference: textIn(body.CounterReference, 'CounterReference'),
      cancelled: false,
      invoices,
      userFields: Object.fromEntries(userFields.map((name) => [name, textIn(body[name], name)])),
      createdAt: at,
    }
    world.put('erpPayments', taken)
    for (const part of invoices) {
      const invoice = world.get('erpInvoices', String(part.docEntry)) as ErpInvoice
      const paid = new Big(invoice.paid).plus(part.amount)
      const companyPaid = paid.times(invoice.rate).toFixed(2)
      world.put('erpInvoices', { ...invoice, paid: paid.toString(), companyPaid, updatedAt: at })
    }
    return json(
      201,
      { '@odata.context': `${ROOT}/$metadata#IncomingPayments/$entity`, ...show.payment(taken) },
      { location: `${ROOT}/IncomingPayments(${docEntry})` },
    )
  }

  const mustBeOpenPeriod = (day: string, table: string): void => {
    if (options.closedUpTo === undefined || day > options.closedUpTo) return
    throw new Refusal(400, -5002, `Posting period locked; enter another date  [${table}.DocDate]`)
  }

  /** A number of the series, or a code that nobody has yet; never both and never neither. */
  const postPartner = (request: SimulatedRequest): SimulatedResponse => {
    const body = bodyOf(request)
    for (const name of Object.keys(body)) fieldsOf('BusinessPartner', partner)(name)
    const text = (name: string) => textIn(body[name], name)
    const place = (field: string) => `[OCRD.${field}]`
    if (body.CardType !== 'cCustomer')
      throw new Refusal(400, -5002, `Only customers here  ${place('CardType')}`)
    const name = text('CardName') ?? ''
    if (name.trim() === '') throw new Refusal(400, -10, `Name is missing  ${place('CardName')}`)
    if (name.length > 100) throw new Refusal(400, -1013, `Value too long  ${place('CardName')}`)
    const given = text('CardCode')
    if ((given === null) === (body.Series === undefined))
      throw new Refusal(400, -5002, `Enter a code, or a series that gives one  ${place('CardCode')}`)
    if (body.Series !== undefined && body.Series !== PARTNER_SERIES)
      throw new Refusal(400, -5002, `Series is not defined  ${place('Series')}`)
    const cardCode = given ?? `C${30_000 + world.count('erpAccounts')}`
    if (cardCode.length > 15) throw new Refusal(400, -1013, `Value too long  ${place('CardCode')}`)
    if (world.get('erpAccounts', cardCode) || cardCode === SUPPLIER.CardCode)
      throw new Refusal(
        400,
        '-2035',
        `This entry already exists in the following tables (ODBC -2035) '${cardCode}'`,
      )
    const people = Array.isArray(body.ContactEmployees)
      ? (body.ContactEmployees as Record<string, unknown>[])
      : []
    const contacts = people.map((person) => {
      for (const field of Object.keys(person)) {
        if (!['Name', 'Position', 'Phone1', 'E_Mail'].includes(field))
          throw invalidQuery(`Property '${field}' of 'ContactEmployee' is invalid`)
      }
      const of = (field: string) => textIn(person[field], field) ?? ''
      if (of('Name') === '') throw new Refusal(400, -10, 'Name of a contact is missing  [OCPR.Name]')
      return { name: of('Name'), title: of('Position'), phone: of('Phone1'), email: of('E_Mail') }
    })
    const at = nowText()
    const account: ErpAccount = {
      cardCode,
      name,
      taxNumber: text('FederalTaxID'),
      currency: text('Currency') ?? world.companyCurrency,
      creditLimit: '0',
      paymentTerms: { code: -1, name: '- Cash Basic -' },
      phone: text('Phone1') ?? '',
      email: text('EmailAddress') ?? '',
      street: '',
      city: '',
      zip: '',
      country: '',
      frozen: false,
      contacts,
      userFields: Object.fromEntries(userFields.map((field) => [field, text(field)])),
      createdAt: at,
      updatedAt: at,
    }
    world.put('erpAccounts', account)
    return json(
      201,
      { '@odata.context': `${ROOT}/$metadata#BusinessPartners/$entity`, ...show.partner(account) },
      { location: `${ROOT}/BusinessPartners('${encodeURIComponent(cardCode)}')` },
    )
  }

  const patchPartner = (row: Row, request: SimulatedRequest): SimulatedResponse => {
    mustMatch(row, request)
    const account = world.get('erpAccounts', String(row.CardCode))
    if (!account) throw new Refusal(400, -5002, 'Suppliers are kept by purchasing  [OCRD.CardType]')
    const changes: Partial<ErpAccount> = {}
    for (const [name, value] of Object.entries(bodyOf(request))) {
      fieldsOf('BusinessPartner', partner)(name)
      if (name === 'CardName') changes.name = textIn(value, name) ?? ''
      else if (name === 'Phone1') changes.phone = textIn(value, name) ?? ''
      else if (name === 'EmailAddress') changes.email = textIn(value, name) ?? ''
      else throw new Refusal(400, '-1029', `Field cannot be updated (ODBC -1029)  [OCRD.${name}]`)
    }
    if ((changes.name ?? '').length > 100) throw new Refusal(400, -1013, 'Value too long  [OCRD.CardName]')
    world.put('erpAccounts', { ...account, ...changes, updatedAt: nowText() })
    return { status: 204 }
  }

  const patch = (order: ErpOrder, row: Row, request: SimulatedRequest): SimulatedResponse => {
    mustMatch(row, request)
    if (order.cancelled) {
      throw new Refusal(400, -5002, 'The document is cancelled and cannot be changed  [ORDR.CANCELED]')
    }
    const body = bodyOf(request)
    const changes: Partial<ErpOrder> = {}
    const ours: Record<string, string | null> = {}
    for (const [name, value] of Object.entries(body)) {
      const kind = fieldsOf('Document', document)(name).kind
      if (name === 'DocDueDate') changes.dueDate = dayIn(value, 'DocDueDate')
      else if (name === 'NumAtCard') changes.numAtCard = textIn(value, name)
      else if (name === 'Comments') changes.comments = textIn(value, name)
      else if (name === 'Confirmed') changes.confirmed = value === 'tYES'
      else if (userFields.includes(name)) ours[name] = textIn(value, name)
      else throw new Refusal(400, '-1029', `Field cannot be updated (ODBC -1029)  [ORDR.${name}] , '${kind}'`)
    }
    changeOrder(world, order, { ...changes, userFields: { ...order.userFields, ...ours } })
    return { status: 204 }
  }

  const mustBeOpen = (order: ErpOrder): void => {
    if (order.cancelled) throw new Refusal(400, -5002, 'The document is already cancelled  [ORDR.CANCELED]')
    if (order.closed) throw new Refusal(400, -5002, 'The document is already closed  [ORDR.DocStatus]')
  }

  const cancel = (order: ErpOrder): SimulatedResponse => {
    mustBeOpen(order)
    if (order.lines.some((line) => !new Big(line.open).eq(line.quantity))) {
      throw new Refusal(400, -5002, 'The document has been delivered in part and cannot be cancelled')
    }
    cancelOrder(world, order)
    return { status: 204 }
  }

  const close = (order: ErpOrder): SimulatedResponse => {
    mustBeOpen(order)
    for (const line of order.lines)
      moveStock(world, line.item, line.warehouse, { committed: `-${line.open}` })
    changeOrder(world, order, { closed: true })
    return { status: 204 }
  }

  const decide = (entry: number, decision: 'approve' | 'reject'): void => {
    const draft = drafts.find((one) => one.entry === entry && one.status === 'dasPending')
    if (!draft) throw new Error(`no draft ${entry} waits`)
    draft.status = decision === 'approve' ? 'dasGenerated' : 'dasRejected'
    if (decision === 'approve') placeOrder(world, draft.order)
  }

  return { serve, decide }
}

function mustMatch(row: Row, request: SimulatedRequest): void {
  const match = request.headers['if-match']
  if (match === undefined || match === '*' || match === etagOf(row)) return
  const message =
    'Another user or another operation modified data; to continue, open the window again (ODBC -2039)'
  throw new Refusal(412, '-2039', message)
}

const shown = <T>(entity: T | undefined, show: (entity: T) => Row): Row | undefined =>
  entity === undefined ? undefined : show(entity)

function keyText(key: string): string {
  const quoted = /^'(.*)'$/s.exec(key)
  return quoted?.[1] === undefined ? key : quoted[1].replaceAll("''", "'")
}

/* ---- reading ---- */

const COLLECTION_OPTIONS = new Set(['$select', '$filter', '$orderby', '$top', '$skip', '$count'])

function collection(
  name: string,
  set: EntitySet,
  request: SimulatedRequest,
  action: string | undefined,
): SimulatedResponse {
  for (const option of request.query.keys()) {
    if (!COLLECTION_OPTIONS.has(option)) throw invalidQuery(`Query option '${option}' is not supported`)
  }
  if (action !== undefined && action !== '$count') throw new Refusal(404, -2000, 'Unrecognized resource path')
  const resolve = fieldsOf(set.type, set.fields)
  const { rows, total, nextSkip } = answer(set.rows(), request.query, resolve, pageSize(request), set.key)
  if (action === '$count') return { status: 200, headers: { 'content-type': 'text/plain' }, body: `${total}` }
  const select = request.query.get('$select')
  const shape = select === null ? whole : parseSelect(select, resolve)
  return json(200, {
    '@odata.context': `${ROOT}/$metadata#${name}`,
    ...(request.query.get('$count') === 'true' ? { '@odata.count': total } : {}),
    value: rows.map(shape),
    // Relative, and without what else was asked for.
    ...(nextSkip === undefined ? {} : { '@odata.nextLink': `${name}?$skip=${nextSkip}` }),
  })
}

function single(name: string, set: EntitySet, row: Row, request: SimulatedRequest): SimulatedResponse {
  const context = { '@odata.context': `${ROOT}/$metadata#${name}/$entity` }
  const select = request.query.get('$select')
  if (select === null) return json(200, { ...context, ...whole(row) }, { etag: etagOf(row) })
  const chosen = parseSelect(select, fieldsOf(set.type, set.fields))(row)
  // No header, and always the same meaningless mark in the body.
  return json(200, { ...context, '@odata.etag': mark('1'), ...chosen })
}

const whole = (row: Row): Row => ({ '@odata.etag': etagOf(row), ...row })
const mark = (text: string): string => `W/"${createHash('sha1').update(text).digest('hex').toUpperCase()}"`
const etagOf = (row: Row): string => mark(JSON.stringify(row))

function pageSize(request: SimulatedRequest): number {
  const preferred = /odata\.maxpagesize=(\d+)/.exec(String(request.headers.prefer ?? ''))?.[1]
  const size = Number(preferred ?? request.headers['b1s-pagesize'] ?? PAGE_SIZE)
  return size === 0 ? Number.POSITIVE_INFINITY : size
}

function answer(all: readonly Row[], query: URLSearchParams, resolve: Resolve, size: number, key?: string) {
  const filter = query.get('$filter')
  const found = filter === null ? [...all] : all.filter(parseFilter(filter, resolve))
  const orderby = query.get('$orderby') ?? key
  if (orderby !== undefined) found.sort(parseOrder(orderby, resolve))
  const skip = wholeNumber(query, '$skip') ?? 0
  const top = wholeNumber(query, '$top') ?? Number.POSITIVE_INFINITY
  const wanted = found.slice(skip, skip + top)
  const rows = wanted.slice(0, size)
  return { rows, total: found.length, nextSkip: rows.length < wanted.length ? skip + rows.length : undefined }
}

function wholeNumber(query: URLSearchParams, option: string): number | undefined {
  const text = query.get(option)
  if (text === null) return undefined
  if (!/^\d+$/.test(text)) throw invalidQuery(`Invalid ${option}`)
  return Number(text)
}

/** Rows of documents joined with their lines. The vendor answers JSON and calls it plain text. */
function joinLines(sets: Readonly<Record<string, EntitySet>>, request: SimulatedRequest): SimulatedResponse {
  const body = bodyOf(request)
  const join = parseCrossJoin(String(body.QueryPath ?? ''), String(body.QueryOption ?? ''))
  const set = Object.hasOwn(sets, join.entity) ? sets[join.entity] : undefined
  const filter = join.option.get('$filter')
  if (set?.fields[join.lines] !== 'collection' || filter === null)
    throw invalidQuery('invalid $crossjoin query')
  const linePath = `${join.entity}/${join.lines}`
  // Without it every document would be paired with every line there is.
  if (!filter.includes(`${join.entity}/DocEntry eq ${linePath}/DocEntry`)) {
    throw invalidQuery('invalid $crossjoin query: not joined by DocEntry')
  }
  const ofDocument = fieldsOf(set.type, set.fields)
  const ofLine = fieldsOf('DocumentLine', LINE)
  const resolve: Resolve = (path) => {
    const part = path.startsWith(`${linePath}/`) ? linePath : join.entity
    if (!path.startsWith(`${part}/`)) throw invalidQuery(`Property '${path}' is invalid`)
    const { kind, of } = (part === linePath ? ofLine : ofDocument)(path.slice(part.length + 1))
    return { kind, of: (row) => of(row[part] as Row) }
  }
  const pairs = set
    .rows()
    .flatMap((row) =>
      (row[join.lines] as Row[]).map((line): Row => ({ [join.entity]: row, [linePath]: line })),
    )
  const { rows, nextSkip } = answer(pairs, join.option, resolve, pageSize(request))
  const parts = parseExpand(join.option.get('$expand') ?? '').map(({ name, columns }) => {
    if (name !== join.entity && name !== linePath) throw invalidQuery('invalid $crossjoin query: $expand')
    return { name, shape: parseSelect(columns.join(','), name === linePath ? ofLine : ofDocument) }
  })
  const value = rows.map((row) =>
    Object.fromEntries(parts.map(({ name, shape }) => [name, shape(row[name] as Row)])),
  )
  const next =
    nextSkip === undefined ? {} : { '@odata.nextLink': `${ROOT}/QueryService_PostQuery?$skip=${nextSkip}` }
  return {
    status: 200,
    headers: { 'content-type': 'text/plain' },
    body: JSON.stringify({ '@odata.context': '$metadata#Collection(Edm.ComplexType)', value, ...next }),
  }
}

/* ---- the world in the vendor's words ---- */

const SUPPLIER: Row = {
  CardCode: 'V10001',
  CardName: '宁波轴承供应商 Bearing Supplier',
  CardType: 'cSupplier',
  Currency: '##',
  GroupCode: 101,
  CreditLimit: 0,
  PayTermsGrpCode: -1,
  Valid: 'tYES',
  Frozen: 'tNO',
  BPAddresses: [],
  ContactEmployees: [],
  CreateDate: '2025-01-01T00:00:00Z',
  CreateTime: '08:00:00',
  UpdateDate: '2025-01-01T00:00:00Z',
  UpdateTime: '08:00:00',
}

const SUPPLIER_PAYMENT: Row = {
  DocEntry: 900_000,
  DocNum: 900_000,
  DocType: 'rSupplier',
  CardCode: 'V10001',
  DocCurrency: 'CNY',
  DocDate: '2026-01-01T00:00:00Z',
  CashSum: 0,
  TransferSum: 10,
  Cancelled: 'tNO',
  PaymentInvoices: [],
  PaymentChecks: [],
}

const yes = (value: boolean): string => (value ? 'tYES' : 'tNO')
const dateOf = (day: string): string => `${day.slice(0, 10)}T00:00:00Z`

function localOf(time: string): { date: string; clock: string } {
  const local = new Date(Date.parse(time) + OFFSET_MS).toISOString()
  return { date: dateOf(local), clock: local.slice(11, 19) }
}

function createRows(world: World, userFields: readonly string[], emptyUpdateDates: boolean) {
  /** Stored entities are never mutated: what was made of one stays right. */
  const made = new WeakMap<object, Row>()
  const once =
    <T extends object>(make: (entity: T) => Row) =>
    (entity: T): Row => {
      const row = made.get(entity) ?? make(entity)
      made.set(entity, row)
      return row
    }

  const stamps = (
    entity: { createdAt: string; updatedAt: string },
    created: readonly [date: string, time: string],
  ): Row => {
    const at = localOf(entity.createdAt)
    const changed = localOf(entity.updatedAt)
    const empty = emptyUpdateDates && entity.createdAt === entity.updatedAt
    return {
      [created[0]]: at.date,
      // Documents keep the minute of their creation only.
      [created[1]]: created[1] === 'DocTime' ? `${at.clock.slice(0, 5)}:00` : at.clock,
      UpdateDate: empty ? null : changed.date,
      UpdateTime: empty ? null : changed.clock,
    }
  }

  const partner = once(
    (account: ErpAccount): Row => ({
      CardCode: account.cardCode,
      CardName: account.name,
      CardType: 'cCustomer',
      CompanyPrivate: 'cCompany',
      GroupCode: 100,
      Phone1: account.phone || null,
      EmailAddress: account.email || null,
      FederalTaxID: account.taxNumber,
      Currency: account.currency,
      CreditLimit: Number(account.creditLimit),
      MaxCommitment: Number(account.creditLimit),
      CurrentAccountBalance: 0, // bills are written in finance
      PayTermsGrpCode: account.paymentTerms.code,
      Valid: yes(!account.frozen),
      Frozen: yes(account.frozen),
      BPAddresses: account.street
        ? [
            {
              AddressName: 'Bill to',
              AddressType: 'bo_BillTo',
              Street: account.street,
              Block: null,
              City: account.city,
              ZipCode: account.zip,
              County: null,
              State: null,
              Country: account.country,
              RowNum: 0,
              BPCode: account.cardCode,
            },
          ]
        : [],
      ContactEmployees: (account.contacts ?? []).map((person, at) => ({
        InternalCode: at + 1,
        CardCode: account.cardCode,
        Name: person.name,
        Position: person.title || null,
        Phone1: person.phone || null,
        E_Mail: person.email || null,
      })),
      ...Object.fromEntries(userFields.map((name) => [name, account.userFields?.[name] ?? null])),
      ...stamps(account, ['CreateDate', 'CreateTime']),
    }),
  )

  /** Not kept: the stock inside changes without the item. */
  const item = (entity: ErpItem): Row => {
    const places = world.all('erpWarehouses').flatMap(({ code }) => {
      const stock = world.get('erpStock', `${entity.code}@${code}`)
      return stock ? [stock] : []
    })
    const sum = (of: 'inStock' | 'committed' | 'ordered') =>
      Number(places.reduce((total, place) => total.plus(place[of]), new Big(0)))
    return {
      ItemCode: entity.code,
      ItemName: entity.name,
      ForeignName: entity.foreignName,
      ItemsGroupCode: entity.group,
      BarCode: entity.barcode,
      InventoryUOM: entity.unit,
      DefaultWarehouse: '01',
      Valid: yes(entity.active),
      Frozen: yes(!entity.active),
      InventoryItem: 'tYES',
      SalesItem: 'tYES',
      QuantityOnStock: sum('inStock'),
      QuantityOrderedByCustomers: sum('committed'),
      QuantityOrderedFromVendors: sum('ordered'),
      ItemWarehouseInfoCollection: places.map((place) => ({
        ItemCode: entity.code,
        WarehouseCode: place.warehouse,
        InStock: Number(place.inStock),
        Committed: Number(place.committed),
        Ordered: Number(place.ordered),
        MinimalStock: 0,
        MaximalStock: 0,
        CountedQuantity: 0,
        Locked: 'tNO',
      })),
      ...stamps(entity, ['CreateDate', 'CreateTime']),
    }
  }

  const warehouse = ({ code, name }: { code: string; name: string }): Row => ({
    WarehouseCode: code,
    WarehouseName: name,
    Inactive: 'tNO',
  })

  const inForeign = (currency: string, value: string): number =>
    currency === world.companyCurrency ? 0 : Number(value)

  const order = once(
    (entity: ErpOrder): Row => ({
      DocEntry: entity.docEntry,
      DocNum: entity.docNum,
      Series: 8,
      DocType: 'dDocument_Items',
      DocObjectCode: 'oOrders',
      DocDate: dateOf(entity.docDate),
      DocDueDate: dateOf(entity.dueDate),
      TaxDate: dateOf(entity.docDate),
      CardCode: entity.cardCode,
      CardName: entity.cardName,
      NumAtCard: entity.numAtCard,
      Comments: entity.comments,
      DocCurrency: entity.currency,
      DocRate: Number(entity.rate),
      DocTotal: Number(entity.companyGross),
      DocTotalFc: inForeign(entity.currency, entity.gross),
      VatSum: Number(entity.companyTax),
      VatSumFc: inForeign(entity.currency, entity.tax),
      TotalDiscount: 0,
      TotalDiscountFC: 0,
      DocumentStatus: entity.closed ? 'bost_Close' : 'bost_Open',
      Cancelled: yes(entity.cancelled),
      CancelStatus: entity.cancelled ? 'csYes' : 'csNo',
      Confirmed: yes(entity.confirmed),
      AuthorizationStatus: 'dasWithout',
      ...stamps(entity, ['CreationDate', 'DocTime']),
      ...Object.fromEntries(userFields.map((name) => [name, entity.userFields[name] ?? null])),
      DocumentLines: entity.lines.map((line) => ({
        DocEntry: entity.docEntry,
        LineNum: line.lineNum,
        VisualOrder: line.lineNum,
        ItemCode: line.item,
        ItemDescription: line.description,
        Quantity: Number(line.quantity),
        RemainingOpenQuantity: Number(line.open),
        UnitPrice: Number(line.unitPrice),
        Price: Number(line.price),
        PriceAfterVAT: Number(new Big(line.price).times(new Big(line.taxPercent).plus(100)).div(100)),
        Currency: line.currency,
        DiscountPercent: Number(line.discountPercent),
        LineTotal: Number(line.companyTotal),
        RowTotalFC: inForeign(line.currency, line.total),
        TaxPercentagePerRow: Number(line.taxPercent),
        WarehouseCode: line.warehouse,
        MeasureUnit: world.get('erpItems', line.item)?.unit ?? null,
        UoMCode: 'Manual',
        UoMEntry: -1,
        LineStatus: entity.closed || new Big(line.open).eq(0) ? 'bost_Close' : 'bost_Open',
        BaseType: -1,
        BaseEntry: null,
        BaseLine: null,
      })),
    }),
  )

  const delivery = once((entity: ErpDelivery): Row => {
    const lines = entity.lines.map((line) => {
      const base = world
        .get('erpOrders', String(line.baseEntry))
        ?.lines.find(({ lineNum }) => lineNum === line.baseLine)
      const total = new Big(base?.price ?? '0').times(line.quantity)
      return { line, base, total, tax: total.times(base?.taxPercent ?? '0').div(100) }
    })
    const sum = (of: 'total' | 'tax') => lines.reduce((total, line) => total.plus(line[of]), new Big(0))
    const [net, tax] = [sum('total'), sum('tax')]
    const inCompany = (value: Big) => Number(value.times(entity.rate).toFixed(2))
    const inDocument = (value: Big) => inForeign(entity.currency, value.toFixed(2))
    return {
      DocEntry: entity.docEntry,
      DocNum: entity.docNum,
      Series: 7,
      DocType: 'dDocument_Items',
      DocObjectCode: 'oDeliveryNotes',
      DocDate: dateOf(entity.docDate),
      DocDueDate: dateOf(entity.docDate),
      TaxDate: dateOf(entity.docDate),
      CardCode: entity.cardCode,
      CardName: world.get('erpAccounts', entity.cardCode)?.name ?? null,
      NumAtCard: null,
      Comments: null,
      DocCurrency: entity.currency,
      DocRate: Number(entity.rate),
      DocTotal: inCompany(net.plus(tax)),
      DocTotalFc: inDocument(net.plus(tax)),
      VatSum: inCompany(tax),
      VatSumFc: inDocument(tax),
      TotalDiscount: 0,
      TotalDiscountFC: 0,
      DocumentStatus: entity.closed ? 'bost_Close' : 'bost_Open',
      Cancelled: yes(entity.cancelled),
      CancelStatus: entity.cancelled ? 'csYes' : 'csNo',
      Confirmed: 'tYES',
      AuthorizationStatus: 'dasWithout',
      ...stamps(entity, ['CreationDate', 'DocTime']),
      ...Object.fromEntries(userFields.map((name) => [name, null])),
      DocumentLines: lines.map(({ line, base, total }) => ({
        DocEntry: entity.docEntry,
        LineNum: line.lineNum,
        VisualOrder: line.lineNum,
        ItemCode: line.item,
        ItemDescription: line.description,
        Quantity: Number(line.quantity),
        RemainingOpenQuantity: Number(line.quantity), // open until it is invoiced
        UnitPrice: Number(base?.unitPrice ?? 0),
        Price: Number(base?.price ?? 0),
        Currency: entity.currency,
        DiscountPercent: Number(base?.discountPercent ?? 0),
        LineTotal: inCompany(total),
        RowTotalFC: inDocument(total),
        WarehouseCode: line.warehouse,
        MeasureUnit: world.get('erpItems', line.item)?.unit ?? null,
        UoMCode: 'Manual',
        UoMEntry: -1,
        LineStatus: 'bost_Open',
        BaseType: 17,
        BaseEntry: line.baseEntry,
        BaseLine: line.baseLine,
      })),
    }
  })

  const invoice = once((entity: ErpInvoice): Row => {
    const isPaid = new Big(entity.paid).gte(entity.gross)
    return {
      DocEntry: entity.docEntry,
      DocNum: entity.docNum,
      Series: 4,
      DocType: 'dDocument_Items',
      DocObjectCode: 'oInvoices',
      DocDate: dateOf(entity.docDate),
      DocDueDate: dateOf(entity.dueDate),
      TaxDate: dateOf(entity.docDate),
      CardCode: entity.cardCode,
      CardName: world.get('erpAccounts', entity.cardCode)?.name ?? null,
      NumAtCard: null,
      Comments: null,
      DocCurrency: entity.currency,
      DocRate: Number(entity.rate),
      DocTotal: Number(entity.companyGross),
      DocTotalFc: inForeign(entity.currency, entity.gross),
      VatSum: Number(entity.companyTax),
      VatSumFc: inForeign(entity.currency, entity.tax),
      PaidToDate: Number(entity.companyPaid),
      PaidToDateFC: inForeign(entity.currency, entity.paid),
      TotalDiscount: 0,
      TotalDiscountFC: 0,
      DocumentStatus: isPaid || entity.cancelled ? 'bost_Close' : 'bost_Open',
      Cancelled: yes(entity.cancelled),
      CancelStatus: entity.cancelled ? 'csYes' : 'csNo',
      Confirmed: 'tYES',
      AuthorizationStatus: 'dasWithout',
      ...stamps(entity, ['CreationDate', 'DocTime']),
      ...Object.fromEntries(userFields.map((name) => [name, null])),
      DocumentLines: entity.lines.map((line) => ({
        DocEntry: entity.docEntry,
        LineNum: line.lineNum,
        VisualOrder: line.lineNum,
        ItemCode: line.item,
        ItemDescription: line.description,
        Quantity: Number(line.quantity),
        RemainingOpenQuantity: 0,
        Currency: entity.currency,
        LineStatus: 'bost_Close',
        BaseType: entity.baseType,
        BaseEntry: line.baseEntry,
        BaseLine: line.lineNum,
      })),
    }
  })

  const payment = once((entity: ErpPayment): Row => {
    const isLocal = entity.currency === world.companyCurrency
    return {
      DocEntry: entity.docEntry,
      DocNum: entity.docNum,
      DocType: 'rCustomer',
      DocDate: dateOf(entity.date),
      CardCode: entity.cardCode,
      CardName: world.get('erpAccounts', entity.cardCode)?.name ?? null,
      DocCurrency: entity.currency,
      CashSum: Number(entity.cash),
      TransferSum: Number(entity.transfer),
      TransferReference: entity.transferReference,
      CounterReference: entity.counterReference,
      Remarks: null,
      Cancelled: yes(entity.cancelled),
      AuthorizationStatus: 'pasWithout',
      ...Object.fromEntries(userFields.map((name) => [name, entity.userFields[name] ?? null])),
      PaymentInvoices: entity.invoices.map(({ docEntry, amount }, LineNum) => ({
        LineNum,
        DocEntry: docEntry,
        SumApplied: Number(isLocal ? amount : new Big(amount).times(rateOf(entity.currency)).toFixed(2)),
        AppliedFC: isLocal ? 0 : Number(amount),
        InvoiceType: 'it_Invoice',
      })),
      PaymentChecks: [],
    }
  })

  const draft = ({ entry, order, status }: Draft): Row => ({
    DocEntry: entry,
    DocNum: entry,
    DocObjectCode: 'oOrders',
    DocType: 'dDocument_Items',
    CardCode: order.cardCode,
    NumAtCard: order.numAtCard,
    Comments: order.comments,
    DocCurrency: order.currency,
    DocDate: dateOf(order.docDate),
    DocDueDate: dateOf(order.dueDate),
    DocumentStatus: status === 'dasPending' ? 'bost_Open' : 'bost_Close',
    Cancelled: 'tNO',
    AuthorizationStatus: status,
    ...order.userFields,
    DocumentLines: [],
  })

  return { partner, item, warehouse, order, delivery, invoice, payment, draft }
}

/* ---- new orders ---- */

interface NewOrder {
  readonly cardCode: string
  readonly currency: string
  readonly docDate: string
  readonly dueDate: string
  readonly numAtCard: string | null
  readonly comments: string | null
  readonly userFields: Record<string, string | null>
  readonly lines: readonly {
    readonly item: string
    readonly quantity: string
    readonly price?: string
    readonly discountPercent?: string
    readonly warehouse: string
  }[]
}

function readNewOrder(
  body: Record<string, unknown>,
  world: World,
  document: Fields,
  userFields: readonly string[],
): NewOrder {
  for (const name of Object.keys(body)) fieldsOf('Document', document)(name)
  const account = world.get('erpAccounts', String(body.CardCode ?? ''))
  if (!account) {
    throw new Refusal(
      400,
      -5002,
      `Enter a valid customer or vendor code  [ORDR.CardCode] , '${body.CardCode}'`,
    )
  }
  if (account.frozen)
    throw new Refusal(400, -10, `10001071 - Customer ${account.cardCode} is inactive  [ORDR.CardCode]`)
  if (body.DocDueDate === undefined) throw new Refusal(400, -5002, 'Enter a delivery date  [ORDR.DocDueDate]')
  const currency = textIn(body.DocCurrency, 'DocCurrency') ?? currencyOf(account, world)
  const allowed = ['##', currency].includes(account.currency) || currency === world.companyCurrency
  if (!allowed)
    throw new Refusal(400, -10, `The currency differs from the customer's  [ORDR.DocCur] , '${currency}'`)
  const today = localOf(new Date().toISOString()).date
  const lines = body.DocumentLines
  if (!Array.isArray(lines) || lines.length === 0) {
    throw new Refusal(400, -5002, 'The document has no lines  [ORDR.DocumentLines]')
  }
  return {
    cardCode: account.cardCode,
    currency,
    docDate: dayIn(body.DocDate ?? today, 'DocDate'),
    dueDate: dayIn(body.DocDueDate, 'DocDueDate'),
    numAtCard: textIn(body.NumAtCard, 'NumAtCard'),
    comments: textIn(body.Comments, 'Comments'),
    userFields: Object.fromEntries(userFields.map((name) => [name, textIn(body[name], name)])),
    lines: lines.map((line: Record<string, unknown>, index) => readNewLine(line, index + 1, world)),
  }
}

function readNewLine(line: Record<string, unknown>, number: number, world: World) {
  for (const name of Object.keys(line)) fieldsOf('DocumentLine', LINE)(name)
  const place = (field: string) => `[RDR1.${field}][line: ${number}]`
  const item = world.get('erpItems', String(line.ItemCode ?? ''))
  if (!item)
    throw new Refusal(
      400,
      -5002,
      `Item number is missing or unknown  ${place('ItemCode')} , '${line.ItemCode}'`,
    )
  if (!item.active)
    throw new Refusal(400, -10, `10001069 - Item ${item.code} is inactive  ${place('ItemCode')}`)
  const quantity = numberIn(line.Quantity, place('Quantity')) ?? '1'
  if (new Big(quantity).lte(0))
    throw new Refusal(400, -10, `Quantity must be greater than zero  ${place('Quantity')}`)
  const price = numberIn(line.UnitPrice ?? line.Price, place('Price'))
  const discountPercent = numberIn(line.DiscountPercent, place('DiscPrcnt'))
  const warehouse = textIn(line.WarehouseCode, 'WarehouseCode') ?? '01'
  if (!world.get('erpWarehouses', warehouse)) {
    throw new Refusal(400, -10, `Warehouse is unknown  ${place('WhsCode')} , '${warehouse}'`)
  }
  return {
    item: item.code,
    quantity,
    warehouse,
    ...(price === undefined ? {} : { price }),
    ...(discountPercent === undefined ? {} : { discountPercent }),
  }
}

function currencyOf(account: ErpAccount, world: World): string {
  return account.currency === '##' ? world.companyCurrency : account.currency
}

function grossOf(order: NewOrder, world: World): Big {
  const net = order.lines.reduce((sum, line) => {
    const price = line.price
      ? new Big(line.price).times(rateOf(order.currency))
      : new Big(world.get('erpItems', line.item)?.price ?? '0')
    return sum.plus(price.times(line.quantity))
  }, new Big(0))
  return net.times('1.13')
}

/** Numbers may come as text. */
function numberIn(value: unknown, place: string): string | undefined {
  if (value === undefined || value === null) return undefined
  const text = String(value)
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new Refusal(400, -1013, `Invalid number  ${place} , '${text}'`)
  return text
}

function textIn(value: unknown, field: string): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string') return value
  throw new Refusal(400, -1013, `Invalid text  [ORDR.${field}]`)
}

function dayIn(value: unknown, field: string): string {
  const day = /^(\d{4}-\d\d-\d\d)(T00:00:00Z)?$/.exec(String(value))?.[1]
  if (day === undefined || Number.isNaN(Date.parse(day))) {
    throw new Refusal(400, -1013, `Invalid date  [ORDR.${field}] , '${value}'`)
  }
  return day
}
