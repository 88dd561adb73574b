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
  /** Incoming payments above become drafts that wait for approval. */
  readonly paymentApprovalAbove?: string
  /** The release knows PaidToDate of invoices. Default true. */
  readonly paidToDate?: boolean
  /** Quotations that orders can be made from, beside those that orders of the world follow. */
  readonly quotations?: readonly SimulatedQuotation[]
  /** Properties that this release or localization does not have. */
  readonly unknownFields?: readonly string[]
  /** The posting periods up to this day are locked. */
  readonly closedUpTo?: string
  /** Rows that were never changed have no UpdateDate, as in some releases. Default false: it is that of creation. */
  readonly emptyUpdateDates?: boolean
  /** Requests in a `$batch` may ask for pages of their own size. Default true: no source says. */
  readonly batchPages?: boolean
}

export interface SimulatedQuotation {
  readonly docEntry: number
  readonly docNum: number
  readonly cardCode: string
  /** Items, by line; what an order was made from is closed. */
  readonly items: readonly string[]
}

export interface SapB1Simulator extends Simulator {
  /** What the approver does with a draft. An approved one becomes an order. */
  decide(draft: number, decision: 'approve' | 'reject'): void
  /** The same with a payment's draft. */
  decidePayment(draft: number, decision: 'approve' | 'reject'): void
  /** Takes an invoice back as a whole. @returns DocEntry of the credit note */
  credit(invoice: number): number
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
  const { decide, decidePayment, credit } = company
  return Object.assign(server, { decide, decidePayment, credit })
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
    'CardCode CardName CardType Phone1 Phone2 Cellular EmailAddress FederalTaxID Currency Valid Frozen CompanyPrivate FatherCard BilltoDefault ShipToDefault ContactPerson',
  ),
  ...numbers(
    'Series GroupCode CreditLimit MaxCommitment CurrentAccountBalance OpenOrdersBalance OpenDeliveryNotesBalance PriceListNum PayTermsGrpCode Industry',
  ),
  BPAddresses: 'collection',
  ContactEmployees: 'collection',
  ...STAMPS,
}

const ITEM: Fields = {
  ...texts(
    'ItemCode ItemName ForeignName BarCode InventoryUOM DefaultWarehouse Valid Frozen InventoryItem SalesItem SalesUnit PurchaseUnit User_Text Mainsupplier',
  ),
  ...numbers(
    'ItemsGroupCode SalesItemsPerUnit PurchaseItemsPerUnit LeadTime MovingAveragePrice QuantityOnStock QuantityOrderedByCustomers QuantityOrderedFromVendors',
  ),
  ItemWarehouseInfoCollection: 'collection',
  ItemPrices: 'collection',
  ...STAMPS,
}

const WAREHOUSE: Fields = texts('WarehouseCode WarehouseName Inactive')

const TERMS: Fields = { GroupNumber: 'number', PaymentTermsGroupName: 'text' }
const PARTNER_GROUP: Fields = { Code: 'number', Name: 'text', Type: 'text' }
const INDUSTRY: Fields = { IndustryCode: 'number', IndustryName: 'text', IndustryDescription: 'text' }
const ITEM_GROUP: Fields = { Number: 'number', GroupName: 'text' }
const USER: Fields = { InternalKey: 'number', UserCode: 'text', UserName: 'text' }
const ATTACHMENT: Fields = { AbsoluteEntry: 'number', Attachments2_Lines: 'collection' }

const DOCUMENT: Fields = {
  ...numbers(
    'DocEntry DocNum Series DocRate DocTotal DocTotalFc DocTotalSys VatSum VatSumFc VatSumSys TotalDiscount TotalDiscountFC PaymentGroupCode UserSign AttachmentEntry',
  ),
  ...texts(
    'ShipToCode PayToCode Address Address2 PaymentMethod TrackingNumber DocType CardCode CardName NumAtCard Comments DocCurrency Reference1 Reference2 DocObjectCode DocumentStatus Cancelled CancelStatus Confirmed AuthorizationStatus',
  ),
  DocDate: 'date',
  DocDueDate: 'date',
  TaxDate: 'date',
  CreationDate: 'date',
  DocTime: 'time',
  UpdateDate: 'date',
  UpdateTime: 'time',
  DocumentLines: 'collection',
  AddressExtension: 'collection',
}

const ADDRESS_COLUMNS = [
  'AddressName',
  'AddressType',
  'Street',
  'Block',
  'City',
  'County',
  'State',
  'ZipCode',
  'Country',
]
const PAYMENT_LINE = [
  'DocEntry',
  'SumApplied',
  'AppliedFC',
  'TotalDiscount',
  'TotalDiscountFC',
  'InvoiceType',
  'LineNum',
]

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
    'DocEntry LineNum VisualOrder Quantity UnitPrice Price PriceAfterVAT DiscountPercent LineTotal RowTotalFC TaxPercentagePerRow NetTaxAmount NetTaxAmountFC GrossTotal GrossTotalFC UoMEntry RemainingOpenQuantity OpenAmount BaseType BaseEntry BaseLine',
  ),
  ShipDate: 'date',
}

function texts(names: string): Fields {
  return Object.fromEntries(names.split(' ').map((name) => [name, 'text' as const]))
}

function numbers(names: string): Fields {
  return Object.fromEntries(names.split(' ').map((name) => [name, 'number' as const]))
}

/** Of `AddressExtension`. */
const ADDRESS_FIELDS = ['ShipTo', 'BillTo'].flatMap((kind) =>
  [
    'Street',
    'StreetNo',
    'Block',
    'City',
    'ZipCode',
    'County',
    'State',
    'Country',
    'Address2',
    'Address3',
  ].map((part) => `${kind}${part}`),
)
const GROUPS = [
  [100, '客户'],
  [101, '重点客户'],
  [102, 'Distributors'],
] as const
const INDUSTRIES = [
  [1, '机械制造'],
  [2, '电子'],
  [3, 'Trade'],
] as const
const MANAGER = 1

interface EntitySet {
  readonly type: string
  readonly key: string
  readonly fields: Fields
  rows(): Row[]
  find(key: string): Row | undefined
}

interface PaymentDraft {
  readonly entry: number
  readonly row: Row
  readonly take: () => void
  status: 'pasPending' | 'pasGenerated' | 'pasRejected'
}

/** Numbers there have digits only. */
function quotationOf({ references }: ErpOrder): number | null {
  const digits = references?.quotation?.replaceAll(/\D/g, '')
  return digits ? Number(digits) : null
}

function attachmentLine(file: string, at: number): Row {
  const dot = file.lastIndexOf('.')
  return {
    LineNum: at + 1,
    FileName: file.slice(0, dot),
    FileExtension: file.slice(dot + 1),
    SourcePath: '\\\\files',
  }
}

interface Draft {
  readonly entry: number
  readonly order: NewOrder
  status: 'dasPending' | 'dasGenerated' | 'dasRejected'
}

function createCompany(world: World, options: SapB1SimulatorOptions) {
  const userFields = options.userFields ?? ['U_TributaryRef', 'U_TributaryUser']
  const own = texts(userFields.join(' '))
  const without = (fields: Fields): Fields =>
    Object.fromEntries(Object.entries(fields).filter(([name]) => !options.unknownFields?.includes(name)))
  const document: Fields = { ...without(DOCUMENT), ...own }
  const partner: Fields = { ...without(PARTNER), ...own }
  const payment: Fields = { ...without(PAYMENT), ...own }
  const lineFields: Fields = { ...LINE, ...own }
  const show = createRows(world, userFields, options.emptyUpdateDates ?? false)
  const drafts: Draft[] = []
  const paymentDrafts: PaymentDraft[] = []
  const creditNotes: Row[] = []
  const quotations = options.quotations ?? []
  /** Lines of quotations that orders were made from: `DocEntry/LineNum`. */
  const taken = new Set<string>()
  const table = (type: string, fields: Fields, key: string, rows: () => Row[]): EntitySet => ({
    type,
    key,
    fields,
    rows,
    find: (wanted) => rows().find((row) => String(row[key]) === wanted),
  })
  const itemGroups = () =>
    [
      ...new Map(
        world.all('erpItems').map(({ group, groupPath }) => [group, groupPath?.at(-1) ?? `组 ${group}`]),
      ),
    ].map(([group, name]) => ({ Number: group, GroupName: name }))

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
      fields: { ...without(ITEM), ...own },
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
    CreditNotes: table(
      'Document',
      { ...document, ...numbers('PaidToDate PaidToDateFC') },
      'DocEntry',
      () => creditNotes,
    ),
    PaymentDrafts: table('Payment', payment, 'DocEntry', () =>
      paymentDrafts.map(({ entry, row, status }) => ({
        ...row,
        DocEntry: entry,
        AuthorizationStatus: status,
      })),
    ),
    BusinessPartnerGroups: table('BusinessPartnerGroup', PARTNER_GROUP, 'Code', () =>
      GROUPS.map(([Code, Name]) => ({ Code, Name, Type: 'bbpgt_CustomerGroup' })),
    ),
    Industries: table('Industry', INDUSTRY, 'IndustryCode', () =>
      INDUSTRIES.map(([IndustryCode, IndustryName]) => ({
        IndustryCode,
        IndustryName,
        IndustryDescription: null,
      })),
    ),
    ItemGroups: table('ItemGroups', ITEM_GROUP, 'Number', itemGroups),
    Users: table('User', USER, 'InternalKey', () => [
      { InternalKey: MANAGER, UserCode: options.user ?? 'manager', UserName: '管理员' },
    ]),
    Quotations: table('Document', document, 'DocEntry', () => [
      ...world.all('erpOrders').flatMap((order) => {
        const number = quotationOf(order)
        const head = { DocEntry: order.docEntry, DocNum: number, CardCode: order.cardCode }
        return number === null ? [] : [{ ...head, DocumentLines: [] }]
      }),
      ...quotations.map(({ docEntry, docNum, cardCode, items }) => ({
        DocEntry: docEntry,
        DocNum: docNum,
        CardCode: cardCode,
        DocumentLines: items.map((ItemCode, LineNum) => ({
          LineNum,
          ItemCode,
          LineStatus: taken.has(`${docEntry}/${LineNum}`) ? 'bost_Close' : 'bost_Open',
        })),
      })),
    ]),
    Attachments2: table('Attachments2', ATTACHMENT, 'AbsoluteEntry', () =>
      world
        .all('erpOrders')
        .flatMap(({ docEntry, attachments }) =>
          attachments === undefined
            ? []
            : [{ AbsoluteEntry: docEntry, Attachments2_Lines: attachments.map(attachmentLine) }],
        ),
    ),
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

  /** The quotations that lines of an order follow from. */
  const basesOf = (lines: readonly Record<string, unknown>[], { cardCode }: NewOrder) =>
    lines.flatMap((line, at) => {
      if (line.BaseType === undefined) return []
      const place = (field: string) => `[RDR1.${field}][line: ${at + 1}]`
      const quotation = quotations.find(({ docEntry }) => docEntry === line.BaseEntry)
      const key = `${line.BaseEntry}/${line.BaseLine}`
      const item = quotation?.items[Number(line.BaseLine)]
      if (line.BaseType !== 23 || !quotation || item === undefined) {
        throw new Refusal(404, '-2028', `No matching records found  ${place('BaseEntry')}`)
      }
      if (quotation.cardCode !== cardCode || item !== line.ItemCode) {
        throw new Refusal(400, -10, `The base document is another's  ${place('BaseEntry')}`)
      }
      if (taken.has(key)) throw new Refusal(400, -5002, `Base line is closed  ${place('BaseLine')}`)
      return [{ key, docNum: quotation.docNum }]
    })

  const post = (request: SimulatedRequest): SimulatedResponse => {
    const body = bodyOf(request)
    const read = readNewOrder(body, world, { document, line: lineFields, userFields })
    const bases = basesOf(body.DocumentLines as Record<string, unknown>[], read)
    const [base] = bases
    const order = base ? { ...read, references: { quotation: String(base.docNum) } } : read
    for (const { key } of bases) taken.add(key)
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
        if (!PAYMENT_LINE.includes(name)) {
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
      const discount = new Big(
        numberIn(part[isLocal ? 'TotalDiscount' : 'TotalDiscountFC'], place('TotalDiscount')) ?? '0',
      )
      const due = new Big(invoice.gross).minus(invoice.paid)
      if (applied.lte(0) || applied.plus(discount).gt(due)) {
        throw new Refusal(400, -5002, `Amount exceeds the balance due ${due}  ${place('SumApplied')}`)
      }
      return {
        docEntry: invoice.docEntry,
        amount: applied.toString(),
        ...(discount.eq(0) ? {} : { discount: discount.toString() }),
      }
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
    const take = () => {
      world.put('erpPayments', taken)
      for (const part of invoices) {
        const invoice = world.get('erpInvoices', String(part.docEntry)) as ErpInvoice
        const paid = new Big(invoice.paid).plus(part.amount).plus(part.discount ?? '0')
        const companyPaid = paid.times(invoice.rate).toFixed(2)
        world.put('erpInvoices', { ...invoice, paid: paid.toString(), companyPaid, updatedAt: at })
      }
    }
    if (options.paymentApprovalAbove !== undefined && total.gt(options.paymentApprovalAbove)) {
      const entry = 950 + paymentDrafts.length
      paymentDrafts.push({ entry, row: show.payment(taken), take, status: 'pasPending' })
      throw new Refusal(404, '-2028', 'No matching records found (ODBC -2028)')
    }
    take()
    return json(
      201,
      { '@odata.context': `${ROOT}/$metadata#IncomingPayments/$entity`, ...show.payment(taken) },
      { location: `${ROOT}/IncomingPayments(${docEntry})` },
    )
  }

  const decidePayment = (entry: number, decision: 'approve' | 'reject'): void => {
    const draft = paymentDrafts.find((one) => one.entry === entry && one.status === 'pasPending')
    if (!draft) throw new Error(`no payment draft ${entry} waits`)
    draft.status = decision === 'approve' ? 'pasGenerated' : 'pasRejected'
    if (decision === 'approve') draft.take()
  }

  const credit = (invoice: number): number => {
    const billed = world.get('erpInvoices', String(invoice))
    if (!billed) throw new Error(`no invoice ${invoice}`)
    const at = nowText()
    const { DocumentLines: lines, ...head } = show.invoice({ ...billed, createdAt: at, updatedAt: at })
    const DocEntry = creditNotes.length + 1
    creditNotes.push({
      ...head,
      DocEntry,
      DocNum: 9000 + DocEntry,
      DocObjectCode: 'oCreditNotes',
      PaidToDate: 0,
      PaidToDateFC: 0,
      DocumentStatus: 'bost_Open',
      DocumentLines: (lines as Row[]).map((line) => ({
        ...line,
        DocEntry,
        BaseType: 13,
        BaseEntry: invoice,
        BaseLine: line.LineNum,
      })),
    })
    return DocEntry
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
    const at = nowText()
    const blank: ErpAccount = {
      cardCode,
      name,
      taxNumber: null,
      currency: world.companyCurrency,
      creditLimit: '0',
      paymentTerms: { code: -1, name: '- Cash Basic -' },
      phone: '',
      email: '',
      street: '',
      city: '',
      zip: '',
      country: '',
      frozen: false,
      createdAt: at,
      updatedAt: at,
    }
    const { CardCode: _, CardType: __, Series: ___, ...fields } = body
    const account: ErpAccount = { ...blank, ...partnerChanges(blank, fields, true) }
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
    const replaces = request.headers['b1s-replacecollectionsonpatch'] === 'true'
    const changes = partnerChanges(account, bodyOf(request), replaces)
    world.put('erpAccounts', { ...account, ...changes, updatedAt: nowText() })
    return { status: 204 }
  }

  /** @param replaces Collections are as in the body; else what is there stays, and what is new is added. */
  const partnerChanges = (
    account: ErpAccount,
    body: Readonly<Record<string, unknown>>,
    replaces: boolean,
  ): Partial<ErpAccount> => {
    const changes: Partial<ErpAccount> = {}
    const ours: Record<string, string | null> = {}
    const code = (name: string, value: unknown, known: readonly (readonly [number, string])[]) => {
      const found = known.find(([one]) => one === value)
      if (!found) throw new Refusal(400, -5002, `Linked value does not exist  [OCRD.${name}] , '${value}'`)
      return found
    }
    for (const [name, value] of Object.entries(body)) {
      if (value === undefined) continue
      const { kind } = fieldsOf('BusinessPartner', partner)(name)
      const text = kind === 'text' ? (textIn(value, name) ?? '') : ''
      if (name === 'CardName') changes.name = text
      else if (name === 'FederalTaxID') changes.taxNumber = text || null
      else if (name === 'Phone1') changes.phone = text
      else if (name === 'EmailAddress') changes.email = text
      else if (name === 'Currency') changes.currency = text
      else if (name === 'CompanyPrivate') changes.person = text === 'cPrivate'
      else if (name === 'CreditLimit') changes.creditLimit = numberIn(value, '[OCRD.CreditLine]') ?? '0'
      else if (name === 'GroupCode') changes.group = code(name, value, GROUPS)[0]
      else if (name === 'Industry') {
        if (value === null) changes.industry = ''
        else changes.industry = code(name, value, INDUSTRIES)[1]
      } else if (name === 'PayTermsGrpCode') {
        const terms = (sets.PaymentTermsTypes?.rows() ?? []).map(
          (row) => [row.GroupNumber as number, String(row.PaymentTermsGroupName)] as const,
        )
        const [number, terms_] = code(name, value, terms)
        changes.paymentTerms = { code: number, name: terms_ }
      } else if (name === 'ContactEmployees') changes.contacts = contactsIn(account, value, replaces)
      else if (name === 'BPAddresses') Object.assign(changes, addressesIn(account, value, replaces))
      else if (['BilltoDefault', 'ShipToDefault', 'ContactPerson'].includes(name)) continue
      else if (userFields.includes(name)) ours[name] = text || null
      else throw new Refusal(400, '-1029', `Field cannot be updated (ODBC -1029)  [OCRD.${name}]`)
    }
    if ((changes.name ?? '').length > 100) throw new Refusal(400, -1013, 'Value too long  [OCRD.CardName]')
    const kept = { ...account.userFields, ...ours }
    return Object.keys(kept).length === 0 ? changes : { ...changes, userFields: kept }
  }

  const contactsIn = (account: ErpAccount, value: unknown, replaces: boolean): ErpAccount['contacts'] => {
    const before = account.contacts ?? []
    const people = Array.isArray(value) ? (value as Record<string, unknown>[]) : []
    const numbers = new Set<unknown>()
    const named = people.map((person) => {
      for (const field of Object.keys(person)) {
        if (!['InternalCode', 'Name', 'Position', 'Phone1', 'E_Mail'].includes(field))
          throw invalidQuery(`Property '${field}' of 'ContactEmployee' is invalid`)
      }
      const of = (field: string) => textIn(person[field], field) ?? ''
      if (of('Name') === '') throw new Refusal(400, -10, 'Name of a contact is missing  [OCPR.Name]')
      if (person.InternalCode !== undefined) {
        if (before[Number(person.InternalCode) - 1]?.name !== of('Name') || numbers.has(person.InternalCode))
          throw new Refusal(400, -5002, 'No such contact  [OCPR.CntctCode]')
        numbers.add(person.InternalCode)
      } else if (before.some((one) => one.name === of('Name')) && !replaces) {
        throw new Refusal(400, '-2035', 'This entry already exists  [OCPR.Name]')
      }
      return { name: of('Name'), title: of('Position'), phone: of('Phone1'), email: of('E_Mail') }
    })
    if (new Set(named.map((one) => one.name)).size < named.length)
      throw new Refusal(400, '-2035', 'This entry already exists  [OCPR.Name]')
    const rest = replaces ? [] : before.filter((_, at) => !numbers.has(at + 1))
    return [...rest, ...named]
  }

  const addressesIn = (account: ErpAccount, value: unknown, replaces: boolean): Partial<ErpAccount> => {
    const rows = Array.isArray(value) ? (value as Record<string, unknown>[]) : []
    const names = new Set(rows.map((row) => `${row.AddressType} ${row.AddressName}`))
    if (names.size < rows.length || rows.some((row) => !row.AddressName))
      throw new Refusal(400, '-2035', 'This entry already exists  [CRD1.Address]')
    if (!replaces && (account.street !== '' || (account.otherAddresses ?? []).length > 0))
      throw new Refusal(400, -5002, 'The simulator replaces addresses only as a whole  [CRD1.Address]')
    const read = rows.map((row) => {
      for (const field of Object.keys(row)) {
        if (!ADDRESS_COLUMNS.includes(field))
          throw invalidQuery(`Property '${field}' of 'BPAddress' is invalid`)
      }
      const of = (field: string) => textIn(row[field], field) ?? ''
      if (of('State').length > 3) throw new Refusal(400, -1013, 'Value too long  [CRD1.State]')
      return {
        type: of('AddressType') === 'bo_ShipTo' ? ('shipping' as const) : ('billing' as const),
        street: of('Street'),
        city: of('City'),
        province: of('State') || of('County'),
        zip: of('ZipCode'),
        country: of('Country'),
      }
    })
    const main = read.findIndex((one) => one.type === 'billing')
    const { street = '', city = '', zip = '', country = '', province = '' } = read[main] ?? {}
    return { street, city, zip, country, province, otherAddresses: read.filter((_, at) => at !== main) }
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
      else if (name === 'AddressExtension') changes.shipTo = shipToIn(value, order.shipTo)
      else if (name === 'PaymentGroupCode')
        changes.payment = { ...order.payment, terms: termsNamed(world, value) }
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

  return { serve, decide, decidePayment, credit }
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
      CompanyPrivate: account.person ? 'cPrivate' : 'cCompany',
      GroupCode: account.group ?? 100,
      Industry: INDUSTRIES.find(([, name]) => name === account.industry)?.[0] ?? -1,
      FatherCard: account.parent ?? null,
      BilltoDefault: account.street ? 'Bill to' : null,
      ShipToDefault: account.otherAddresses?.some(({ type }) => type === 'shipping') ? 'Ship to' : null,
      ContactPerson: account.contacts?.[0]?.name ?? null,
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
      BPAddresses: addressRows(account),
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

  const addressRows = (account: ErpAccount): Row[] => {
    const { street, city, zip, country, province } = account
    const all = [
      ...(street ? [{ type: 'billing' as const, street, city, zip, country, province }] : []),
      ...(account.otherAddresses ?? []),
    ]
    const counts = { billing: 0, shipping: 0, office: 0 }
    return all.map((address, RowNum) => {
      const at = ++counts[address.type]
      const name = address.type === 'shipping' ? 'Ship to' : 'Bill to'
      const isCode = /^[A-Z0-9]{1,3}$/.test(address.province ?? '')
      return {
        AddressName: at === 1 ? name : `${name} ${at}`,
        AddressType: address.type === 'shipping' ? 'bo_ShipTo' : 'bo_BillTo',
        Street: address.street,
        Block: null,
        City: address.city,
        ZipCode: address.zip,
        County: isCode ? null : address.province || null,
        State: isCode ? address.province : null,
        Country: address.country,
        RowNum,
        BPCode: account.cardCode,
      }
    })
  }

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
      SalesUnit: entity.salesUnit?.name ?? entity.unit,
      SalesItemsPerUnit: Number(entity.salesUnit?.each ?? '1'),
      PurchaseUnit: entity.unit,
      PurchaseItemsPerUnit: 1,
      User_Text: entity.description ?? null,
      Mainsupplier: entity.supplier?.code ?? null,
      LeadTime: entity.supplier?.leadTimeDays ?? null,
      MovingAveragePrice: Number(entity.cost ?? '0'),
      ItemPrices: [
        { PriceList: 1, Price: Number(entity.price), Currency: world.companyCurrency },
        { PriceList: 2, Price: 0, Currency: null },
      ],
      ...Object.fromEntries(userFields.map((name) => [name, null])),
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

  const termsOf = (entity: ErpOrder): number | null => {
    const accounts = world.all('erpAccounts').map(({ paymentTerms }) => paymentTerms)
    const own = accounts.find(({ name }) => name === entity.payment?.terms)
    return (own ?? world.get('erpAccounts', entity.cardCode)?.paymentTerms)?.code ?? null
  }

  /** The ship-to address of the document, else the customer's first; the bill-to address is the customer's own. */
  const addressesOf = (cardCode: string, shipTo: ErpOrder['shipTo']): Row => {
    const account = world.get('erpAccounts', cardCode)
    const first = account?.otherAddresses?.find(({ type }) => type === 'shipping')
    const to = shipTo ?? (first && { ...first, name: '' })
    const isCode = /^[A-Z0-9]{1,3}$/.test(to?.province ?? '')
    return {
      ShipToCode: shipTo || !first ? null : 'Ship to',
      PayToCode: account?.street ? 'Bill to' : null,
      AddressExtension: {
        ...Object.fromEntries(ADDRESS_FIELDS.map((name) => [name, null])),
        ShipToStreet: to?.street || null,
        ShipToCity: to?.city || null,
        ShipToZipCode: to?.zip || null,
        ShipToState: isCode ? to?.province : null,
        ShipToCounty: isCode ? null : to?.province || null,
        ShipToCountry: to?.country || null,
        ShipToAddress2: to?.name || null,
        BillToStreet: account?.street || null,
        BillToCity: account?.city || null,
        BillToZipCode: account?.zip || null,
        BillToCountry: account?.country || null,
      },
    }
  }

  const taxOf = (companyTotal: string, total: string, percent: string, currency: string): Row => {
    const tax = (net: string) => new Big(net).times(percent).div(100).toFixed(2)
    const gross = (net: string) => new Big(net).plus(tax(net)).toFixed(2)
    return {
      NetTaxAmount: Number(tax(companyTotal)),
      NetTaxAmountFC: inForeign(currency, tax(total)),
      GrossTotal: Number(gross(companyTotal)),
      GrossTotalFC: inForeign(currency, gross(total)),
    }
  }

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
      UserSign: MANAGER,
      AttachmentEntry: entity.attachments === undefined ? null : entity.docEntry,
      TrackingNumber: entity.trackingNumber ?? null,
      PaymentMethod: entity.payment?.method ?? null,
      PaymentGroupCode: termsOf(entity),
      ...addressesOf(entity.cardCode, entity.shipTo),
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
        ...taxOf(line.companyTotal, line.total, line.taxPercent, line.currency),
        FreeText: line.comments ?? null,
        WarehouseCode: line.warehouse,
        MeasureUnit: world.get('erpItems', line.item)?.unit ?? null,
        UoMCode: 'Manual',
        UoMEntry: -1,
        LineStatus: entity.closed || new Big(line.open).eq(0) ? 'bost_Close' : 'bost_Open',
        BaseType: quotationOf(entity) === null ? -1 : 23,
        BaseEntry: quotationOf(entity) === null ? null : entity.docEntry,
        BaseLine: quotationOf(entity) === null ? null : line.lineNum,
        ...Object.fromEntries(userFields.map((name) => [name, line.userFields?.[name] ?? null])),
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
      TrackingNumber: null,
      ...addressesOf(entity.cardCode, world.get('erpOrders', String(entity.lines[0]?.baseEntry))?.shipTo),
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

  /** What a line was sold for stands in the order behind it. */
  const billedLine = (entity: ErpInvoice, line: ErpInvoice['lines'][number]): Row => {
    const delivery = entity.baseType === 15 ? world.get('erpDeliveries', String(line.baseEntry)) : undefined
    const from = delivery?.lines.find(({ lineNum }) => lineNum === line.lineNum)
    const order = world.get('erpOrders', String(from?.baseEntry ?? line.baseEntry))
    const sold = order?.lines.find(({ lineNum }) => lineNum === (from?.baseLine ?? line.lineNum))
    if (!sold) return {}
    const total = new Big(sold.price).times(line.quantity)
    const company = total.times(entity.rate).toFixed(2)
    return {
      UnitPrice: Number(sold.price),
      TaxPercentagePerRow: Number(sold.taxPercent),
      LineTotal: Number(company),
      RowTotalFC: inForeign(entity.currency, total.toFixed(2)),
      ...taxOf(company, total.toFixed(2), sold.taxPercent, entity.currency),
    }
  }

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
        ...billedLine(entity, line),
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
      PaymentInvoices: entity.invoices.map(({ docEntry, amount, discount = '0' }, LineNum) => ({
        LineNum,
        TotalDiscount: Number(
          isLocal ? discount : new Big(discount).times(rateOf(entity.currency)).toFixed(2),
        ),
        TotalDiscountFC: isLocal ? 0 : Number(discount),
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
  readonly shipTo?: NonNullable<ErpOrder['shipTo']>
  readonly payment?: NonNullable<ErpOrder['payment']>
  readonly lines: readonly {
    readonly item: string
    readonly quantity: string
    readonly price?: string
    readonly discountPercent?: string
    readonly warehouse: string
    readonly comments?: string
    readonly userFields?: Record<string, string | null>
  }[]
}

interface DocumentFields {
  readonly document: Fields
  readonly line: Fields
  readonly userFields: readonly string[]
}

/** What a body says of the ship-to address over what is there. */
function shipToIn(value: unknown, before: ErpOrder['shipTo']): NonNullable<ErpOrder['shipTo']> {
  const given = (value ?? {}) as Record<string, unknown>
  for (const name of Object.keys(given)) {
    if (!ADDRESS_FIELDS.includes(name))
      throw invalidQuery(`Property '${name}' of 'AddressExtension' is invalid`)
  }
  const of = (field: string, old: string | undefined) =>
    given[field] === undefined ? (old ?? '') : (textIn(given[field], field) ?? '')
  if (of('ShipToState', '').length > 3) throw new Refusal(400, -1013, 'Value too long  [RDR12.StateS]')
  return {
    name: of('ShipToAddress2', before?.name),
    phone: before?.phone ?? '',
    street: of('ShipToStreet', before?.street),
    city: of('ShipToCity', before?.city),
    province: of('ShipToState', '') || of('ShipToCounty', before?.province),
    zip: of('ShipToZipCode', before?.zip),
    country: of('ShipToCountry', before?.country),
  }
}

function termsNamed(world: World, code: unknown): string {
  const found = world.all('erpAccounts').find(({ paymentTerms }) => paymentTerms.code === code)
  if (!found) throw new Refusal(400, -5002, `Payment terms are not defined  [ORDR.GroupNum] , '${code}'`)
  return found.paymentTerms.name
}

function readNewOrder(body: Record<string, unknown>, world: World, fields: DocumentFields): NewOrder {
  const { document, userFields } = fields
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
    ...(body.AddressExtension === undefined ? {} : { shipTo: shipToIn(body.AddressExtension, undefined) }),
    ...(body.PaymentGroupCode === undefined && body.PaymentMethod === undefined
      ? {}
      : {
          payment: {
            ...(body.PaymentGroupCode === undefined
              ? {}
              : { terms: termsNamed(world, body.PaymentGroupCode) }),
            ...(body.PaymentMethod === undefined
              ? {}
              : { method: textIn(body.PaymentMethod, 'PaymentMethod') ?? '' }),
          },
        }),
    lines: lines.map((line: Record<string, unknown>, index) => readNewLine(line, index + 1, world, fields)),
  }
}

function readNewLine(
  line: Record<string, unknown>,
  number: number,
  world: World,
  { line: known, userFields }: DocumentFields,
) {
  for (const name of Object.keys(line)) fieldsOf('DocumentLine', known)(name)
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
  const comments = textIn(line.FreeText, 'FreeText')
  const own = userFields.filter((name) => line[name] !== undefined)
  return {
    item: item.code,
    quantity,
    warehouse,
    ...(comments === null ? {} : { comments }),
    ...(own.length === 0
      ? {}
      : { userFields: Object.fromEntries(own.map((name) => [name, textIn(line[name], name)])) }),
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
