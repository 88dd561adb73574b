/**
 * An ERP that keeps the standard interface of seed 002 strictly: it refuses what it does not know instead of ignoring
 * it, and tells those who registered of every change. With `contract: 'standard'` it has only what the seed lists;
 * with `plain` only the two paths of seed 000. Shares no code with the adapter.
 */
import { randomUUID } from 'node:crypto'
import Big from 'big.js'
import type { SimulatedRequest } from '../../simulation/server.ts'
import {
  type Answered,
  actorOf,
  attributes,
  authenticate,
  BadField,
  type Check,
  CURRENCY,
  checkRevision,
  contains,
  type Digits,
  day,
  decimalNumber,
  decodePath,
  EMAIL,
  ID,
  type Letter,
  type LetterBox,
  listOf,
  listParameter,
  namedByIds,
  noSuchMethod,
  noSuchPath,
  notBlank,
  number,
  objectOf,
  oneOf,
  REFERENCE,
  Refusal,
  readBody,
  refuseParameters,
  type Shown,
  type StrictOptions,
  type StrictSimulator,
  standardLetter,
  startStrictSimulator,
  TIMED_PAGE,
  text,
  timedPage,
  truth,
  type Wrapping,
} from '../../simulation/strict-json.ts'
import {
  cancelOrder,
  changeOrder,
  deliver,
  nowText,
  placeOrder,
  TAX_PERCENT,
} from '../../simulation/trade.ts'
import type { ErpAccount, ErpItem, ErpOrder, ErpStock, World, WorldChange } from '../../simulation/world.ts'

export interface RestErpSimulatorOptions extends StrictOptions {
  /** Default `extended`. */
  readonly contract?: 'extended' | 'standard' | 'plain'
  /** Signs events in their body, too, with this secret. */
  readonly bodySecret?: string
}

/** `{success, data, error, timestamp}`; the seed says nothing of errors. */
const WRAPPING: Wrapping = {
  badFieldCode: 40001,
  succeed: (data) => ({ success: true, data }),
  refuse: ({ code, message, details }) => ({
    success: false,
    error: { code: String(code), message, ...(details ? { details } : {}) },
  }),
}

const PLAIN_WRAPPING: Wrapping = {
  badFieldCode: 40001,
  succeed: (data) => data,
  refuse: ({ code, message }) => ({ code: String(code), message }),
}

export async function startRestErpSimulator(
  world: World,
  { port, auth, contract = 'extended', webhook, bodySecret, limit = 100 }: RestErpSimulatorOptions,
): Promise<StrictSimulator> {
  const registered = new Map<string, LetterBox>()
  const erp: Erp = {
    world,
    limit,
    extended: contract === 'extended',
    revisions: countRevisions(world),
    registered,
  }
  const simulator = await startStrictSimulator({
    port,
    wrapping: contract === 'plain' ? PLAIN_WRAPPING : WRAPPING,
    route(request) {
      authenticate(auth, request)
      return contract === 'plain' ? routePlain(world, request) : route(erp, request)
    },
    letters: {
      world,
      boxes: () => [...(webhook ? [webhook] : []), ...registered.values()],
      write: (change) => letterOf(change, bodySecret),
    },
  })
  return {
    ...simulator,
    get calls() {
      return simulator.calls
    },
    async close() {
      erp.revisions.stop()
      await simulator.close()
    },
  }
}

interface Erp {
  readonly world: World
  readonly limit: number
  readonly extended: boolean
  readonly revisions: Revisions
  readonly registered: Map<string, LetterBox>
}

/** The world counts no revisions of accounts and orders: every change here is one. */
interface Revisions {
  of(id: string): number
  /** When the product was changed last; its stock is a part of it. */
  updateOf(item: ErpItem): string
  stop(): void
}
function countRevisions(world: World): Revisions {
  const changes = new Map<string, number>()
  const idOf = ({ collection, entity }: WorldChange): string | undefined => {
    if (collection === 'erpOrders') return orderId(entity as ErpOrder)
    return collection === 'erpAccounts' ? (entity as ErpAccount).cardCode : undefined
  }
  const moved = new Map<string, string>()
  const stop = world.onChange((change) => {
    if (change.collection === 'erpStock') moved.set((change.entity as ErpStock).item, nowText())
    const id = idOf(change)
    if (id !== undefined) changes.set(id, (changes.get(id) ?? 0) + 1)
  })
  const updateOf = ({ code, updatedAt }: ErpItem) => {
    const at = moved.get(code) ?? ''
    return at > updatedAt ? at : updatedAt
  }
  return { of: (id) => 1 + (changes.get(id) ?? 0), updateOf, stop }
}

/* ---- what is shown ---- */

const orderId = ({ docEntry }: ErpOrder): string => `SO-${docEntry}`

function showCustomer({ revisions, extended }: Erp, account: ErpAccount): Shown {
  const { taxNumber, legalName = account.name, industry = '', tags, otherAddresses = [] } = account
  const custom = customShown(account.userFields)
  return {
    externalId: account.cardCode,
    name: account.name,
    code: account.cardCode,
    type: account.person ? 'individual' : 'company',
    contacts: contactsOf(account),
    ...(taxNumber === null && account.legalName === undefined && industry === ''
      ? {}
      : {
          companyInfo: {
            legalName,
            taxNumber: taxNumber ?? '',
            industry,
            registeredAddress: account.registeredAddress ?? account.street,
          },
        }),
    financialInfo: {
      creditLimit: number(account.creditLimit),
      paymentTerms: account.paymentTerms.name,
      currency: account.currency,
    },
    addresses: [
      ...(account.street
        ? [
            {
              type: 'billing',
              address: account.street,
              city: account.city,
              province: account.province ?? '',
              postalCode: account.zip,
              country: account.country,
              isDefault: true,
            },
          ]
        : []),
      ...otherAddresses.map(({ type, street, zip, isDefault = false, ...place }) => ({
        type,
        address: street,
        ...place,
        postalCode: zip,
        isDefault,
      })),
    ],
    metadata: {
      createdAt: account.createdAt,
      updatedAt: account.updatedAt,
      status: account.frozen ? 'inactive' : 'active',
      ...(tags ? { tags } : {}),
      ...(Object.keys(custom).length === 0 ? {} : { customFields: custom }),
      ...(extended ? { revision: String(revisions.of(account.cardCode)) } : {}),
    },
  }
}

/** What the world has no place for. */
const contacts = new WeakMap<ErpAccount, readonly Shown[]>()
const contactsOf = (account: ErpAccount): readonly Shown[] =>
  contacts.get(account) ??
  (account.phone || account.email
    ? [{ name: account.name, phone: account.phone, email: account.email, isPrimary: true }]
    : [])

const customShown = (userFields: Readonly<Record<string, string | null>> = {}): Shown =>
  Object.fromEntries(
    Object.entries(userFields)
      .filter(([name]) => name.startsWith('U_x_'))
      .map(([name, value]) => [name.slice('U_x_'.length), value]),
  )

const stockOf = (world: World, item: ErpItem) => world.all('erpStock').filter((one) => one.item === item.code)
const sum = (values: readonly string[]): string =>
  values.reduce((all, one) => all.plus(one), new Big(0)).toFixed()

function showProduct({ world, revisions }: Erp, item: ErpItem): Shown {
  return {
    externalId: item.code,
    sku: item.code,
    name: item.name,
    description: item.description ?? item.foreignName,
    barcode: item.barcode,
    category: {
      id: String(item.group),
      name: item.groupPath?.at(-1) ?? `G${item.group}`,
      path: item.groupPath ?? [`G${item.group}`],
    },
    specifications: (item.specifications ?? []).map(({ name, ...rest }) => ({ key: name, ...rest })),
    pricing: {
      standardPrice: number(item.price),
      ...(item.cost === undefined ? {} : { costPrice: number(item.cost) }),
      currency: world.companyCurrency,
      priceUnit: item.unit,
      taxRate: number(TAX_PERCENT),
    },
    inventory: {
      quantity: number(sum(stockOf(world, item).map((one) => one.inStock))),
      unit: item.unit,
      ...(item.minOrder === undefined ? {} : { minOrderQuantity: number(item.minOrder) }),
      ...(item.maxOrder === undefined ? {} : { maxOrderQuantity: number(item.maxOrder) }),
    },
    ...(item.supplier
      ? {
          supplier: {
            id: item.supplier.code,
            name: item.supplier.name,
            leadTime: item.supplier.leadTimeDays,
          },
        }
      : {}),
    ...(item.images || item.videos || item.documents
      ? {
          media: {
            images: item.images ?? [],
            ...(item.videos ? { videos: item.videos } : {}),
            ...(item.documents ? { documents: item.documents } : {}),
          },
        }
      : {}),
    metadata: {
      createdAt: item.createdAt,
      updatedAt: revisions.updateOf(item),
      status: item.active ? 'active' : 'discontinued',
      ...(item.tags ? { tags: item.tags } : {}),
    },
  }
}

function showInventory({ world, revisions }: Erp, item: ErpItem): Shown {
  const places = stockOf(world, item)
  return {
    quantity: number(sum(places.map((one) => one.inStock))),
    unit: item.unit,
    warehouses: places.map((one) => ({
      id: one.warehouse,
      name: world.get('erpWarehouses', one.warehouse)?.name ?? '',
      quantity: number(one.inStock),
    })),
    updatedAt: revisions.updateOf(item),
  }
}

const NAMES: Readonly<Record<string, string>> = {
  CREATED: '已创建',
  CONFIRMED: '已确认',
  PROCESSING: '处理中',
  DELIVERED: '已交付',
  CANCELLED: '已取消',
}

function statusOf(order: ErpOrder): string {
  if (order.cancelled) return 'CANCELLED'
  if (order.closed) return 'DELIVERED'
  if (order.lines.some((line) => !new Big(line.open).eq(line.quantity))) return 'PROCESSING'
  return order.confirmed ? 'CONFIRMED' : 'CREATED'
}

function showStatus(world: World, order: ErpOrder): Shown {
  const code = statusOf(order)
  const deliveries = world
    .all('erpDeliveries')
    .filter(({ lines }) => lines.some(({ baseEntry }) => baseEntry === order.docEntry))
    .map(({ createdAt, docNum }) => ({
      status: 'PROCESSING',
      timestamp: createdAt,
      notes: `出货单 ${docNum}`,
    }))
  const ended = { status: code, timestamp: order.updatedAt }
  return {
    status: { code, name: NAMES[code] ?? code, updatedAt: order.updatedAt },
    timeline: [
      { status: 'CREATED', timestamp: order.createdAt },
      ...deliveries,
      ...(code === 'CREATED' || code === 'PROCESSING' ? [] : [ended]),
    ],
  }
}

function showOrder({ world, revisions, extended }: Erp, order: ErpOrder): Shown {
  const { userFields, shipTo, payment, references } = order
  const code = statusOf(order)
  return {
    externalId: orderId(order),
    orderNumber: String(order.docNum),
    orderType: 'sales',
    customer: { id: order.cardCode, name: order.cardName, code: order.cardCode },
    orderDate: order.docDate,
    items: order.lines.map((line) => ({
      lineNumber: line.lineNum + 1,
      product: { id: line.item, sku: line.item, name: line.description },
      quantity: number(line.quantity),
      unit: world.get('erpItems', line.item)?.unit ?? '',
      unitPrice: number(line.unitPrice),
      discount: number(line.discountPercent),
      taxRate: number(line.taxPercent),
      subtotal: number(line.total),
      warehouse: line.warehouse,
      ...(line.comments === undefined ? {} : { notes: line.comments }),
    })),
    amounts: {
      subtotal: number(new Big(order.gross).minus(order.tax).toFixed()),
      taxAmount: number(order.tax),
      discountAmount: 0,
      totalAmount: number(order.gross),
      currency: order.currency,
    },
    delivery: {
      address: shipTo?.street ?? '',
      city: shipTo?.city ?? '',
      province: shipTo?.province ?? '',
      postalCode: shipTo?.zip ?? '',
      ...(shipTo ? { recipient: shipTo.name, phone: shipTo.phone, country: shipTo.country } : {}),
      expectedDate: order.dueDate,
      ...(order.deliveredOn === undefined ? {} : { actualDate: order.deliveredOn }),
      ...(order.trackingNumber === undefined ? {} : { trackingNumber: order.trackingNumber }),
    },
    ...(payment
      ? {
          payment: {
            method: payment.method ?? '',
            terms: payment.terms ?? '',
            ...(payment.dueDate === undefined ? {} : { dueDate: payment.dueDate }),
            ...(payment.paid === undefined ? {} : { paidAmount: number(payment.paid) }),
            ...(payment.paidOn === undefined ? {} : { paidDate: payment.paidOn }),
          },
        }
      : {}),
    status: { code, name: NAMES[code] ?? code, updatedAt: order.updatedAt },
    references: {
      ...(order.numAtCard === null ? {} : { customerReference: order.numAtCard }),
      ...(userFields.U_ExternalRef ? { externalRef: userFields.U_ExternalRef } : {}),
      ...(references?.proposal === undefined ? {} : { proposalId: references.proposal }),
      ...(references?.quotation === undefined ? {} : { quotationId: references.quotation }),
      ...(references?.contract === undefined ? {} : { contractId: references.contract }),
    },
    metadata: {
      createdAt: order.createdAt,
      updatedAt: order.updatedAt,
      createdBy: userFields.U_CreatedBy ?? 'erp',
      ...(order.comments === null ? {} : { notes: order.comments }),
      customFields: customShown(userFields),
      ...(extended ? { revision: String(revisions.of(orderId(order))) } : {}),
    },
  }
}

/* ---- the standard interface ---- */

function route(erp: Erp, request: SimulatedRequest): Answered {
  const [, collection, id, below] =
    /^\/erp\/(customers|products|orders|webhooks)(?:\/([^/]+)(?:\/(inventory|status))?)?$/.exec(
      request.path,
    ) ?? []
  if (!collection) throw noSuchPath(request)
  const operation = `${request.method} ${collection}${id === undefined ? '' : '/ID'}${below ? `/${below}` : ''}`
  const key = decodePath(id)
  switch (operation) {
    case 'GET customers':
      return { data: recordsOf(erp, request, 'customers') }
    case 'POST customers':
      return createCustomer(erp, request)
    case 'GET customers/ID':
      refuseParameters(request)
      return { data: showCustomer(erp, findCustomer(erp, key)) }
    case 'PUT customers/ID':
      return updateCustomer(erp, findCustomer(erp, key), request)
    case 'GET products':
      return { data: recordsOf(erp, request, 'products') }
    case 'GET products/ID':
      refuseParameters(request)
      return { data: showProduct(erp, findProduct(erp, key)) }
    case 'GET products/ID/inventory':
      refuseParameters(request)
      return { data: showInventory(erp, findProduct(erp, key)) }
    case 'GET orders':
      if (!erp.extended) throw noSuchMethod(request, 'POST')
      return { data: recordsOf(erp, request, 'orders') }
    case 'POST orders':
      return createOrder(erp, request)
    case 'GET orders/ID':
      refuseParameters(request)
      return { data: showOrder(erp, findOrder(erp, key)) }
    case 'PUT orders/ID':
      return updateOrder(erp, findOrder(erp, key), request)
    case 'GET orders/ID/status':
      refuseParameters(request)
      return { data: showStatus(erp.world, findOrder(erp, key)) }
    case 'PUT orders/ID/status':
      return setStatus(erp, findOrder(erp, key), request)
    case 'POST webhooks':
      return register(erp, request)
    case 'DELETE webhooks/ID':
      refuseParameters(request)
      if (!erp.registered.delete(key)) throw new Refusal(40404, '回调不存在', { id: key })
      return { data: null }
    default:
      throw noSuchMethod(request, 'GET')
  }
}

function findCustomer({ world }: Erp, id: string): ErpAccount {
  const found = world.get('erpAccounts', id)
  if (!found) throw new Refusal(40401, '客户不存在', { externalId: id })
  return found
}

function findProduct({ world }: Erp, id: string): ErpItem {
  const found = world.get('erpItems', id)
  if (!found) throw new Refusal(40402, '产品不存在', { externalId: id })
  return found
}

function findOrder({ world }: Pick<Erp, 'world'>, id: string): ErpOrder {
  const entry = /^SO-([1-9]\d*)$/.exec(id)?.[1]
  const found = entry === undefined ? undefined : world.get('erpOrders', entry)
  if (!found) throw new Refusal(40403, '订单不存在', { externalId: id })
  return found
}

function recordsOf(erp: Erp, request: SimulatedRequest, what: 'customers' | 'products' | 'orders'): Shown {
  const { world, limit, extended } = erp
  const more = extended ? ['ids', 'search', 'after'] : []
  const own = {
    customers: extended ? ['status', 'externalRef'] : ['status'],
    products: ['status', 'category'],
    orders: ['status', 'customerIds', 'orderNumbers', 'externalRef'],
  }[what]
  refuseParameters(request, [...TIMED_PAGE.filter((name) => name !== 'after'), ...own, ...more])
  const rows: Row[] = {
    customers: () => world.all('erpAccounts').map((one) => customerRow(erp, one)),
    products: () => world.all('erpItems').map((one) => productRow(erp, one)),
    orders: () => world.all('erpOrders').map((one) => orderRow(erp, one)),
  }[what]()
  const named = namedByIds(
    request,
    rows,
    ({ id }) => id,
    limit,
    ({ show }) => show(),
  )
  if (named) return named
  const customerIds = listParameter(request, 'customerIds', limit)
  const orderNumbers = listParameter(request, 'orderNumbers', limit)
  const { query } = request
  const found = rows
    .filter(({ status }) => [null, status].includes(query.get('status')))
    .filter(({ category }) => [null, category].includes(query.get('category')))
    .filter(({ texts }) => contains(texts, query.get('search')))
    .filter(({ customer }) => !customerIds || customerIds.includes(customer ?? ''))
    .filter(({ texts: [printed] }) => !orderNumbers || orderNumbers.includes(printed ?? ''))
    .filter(({ reference }) => [null, reference].includes(query.get('externalRef')))
  return timedPage(
    request,
    found,
    (row) => row,
    limit,
    ({ show }) => show(),
  )
}

interface Row {
  readonly id: string
  readonly createdAt: string
  readonly updatedAt: string
  readonly status: string
  /** What a search looks at; the number that people use first. */
  readonly texts: readonly (string | null)[]
  readonly category?: string
  readonly customer?: string
  readonly reference?: string | null
  show(): Shown
}

const customerRow = (erp: Erp, one: ErpAccount): Row => ({
  id: one.cardCode,
  createdAt: one.createdAt,
  updatedAt: one.updatedAt,
  status: one.frozen ? 'inactive' : 'active',
  texts: [one.cardCode, one.name, one.taxNumber],
  reference: one.userFields?.[REFERENCE_FIELD] ?? null,
  show: () => showCustomer(erp, one),
})

const productRow = (erp: Erp, one: ErpItem): Row => ({
  id: one.code,
  createdAt: one.createdAt,
  updatedAt: erp.revisions.updateOf(one),
  status: one.active ? 'active' : 'discontinued',
  texts: [one.code, one.name, one.barcode],
  category: String(one.group),
  show: () => showProduct(erp, one),
})

const orderRow = (erp: Erp, one: ErpOrder): Row => ({
  id: orderId(one),
  createdAt: one.createdAt,
  updatedAt: one.updatedAt,
  status: statusOf(one),
  texts: [String(one.docNum), one.cardName, one.numAtCard],
  customer: one.cardCode,
  reference: one.userFields.U_ExternalRef ?? null,
  show: () => showOrder(erp, one),
})

/* ---- writes ---- */

const CONTACT = objectOf(
  { name: notBlank(100), title: text(100), phone: text(50), email: EMAIL, isPrimary: truth },
  ['name', 'isPrimary'],
)
const ADDRESS = objectOf(
  {
    type: oneOf(['billing', 'shipping', 'office']),
    address: text(200),
    city: text(100),
    province: text(100),
    postalCode: text(20),
    country: text(2, /^([A-Z]{2})?$/, 'is not a country code'),
    isDefault: truth,
  },
  ['type', 'address', 'city', 'province', 'postalCode', 'country', 'isDefault'],
)
const CUSTOMER_FIELDS = {
  name: notBlank(200),
  companyInfo: objectOf({
    legalName: text(200),
    taxNumber: text(40),
    industry: text(100),
    registeredAddress: text(200),
  }),
  financialInfo: objectOf({
    creditLimit: decimalNumber(false),
    paymentTerms: text(100),
    currency: CURRENCY,
  }),
  contacts: listOf(CONTACT, 50, 0),
  addresses: listOf(ADDRESS, 50, 0),
  metadata: objectOf({
    tags: listOf(notBlank(40), 20, 0),
    customFields: attributes,
    // As it was shown: what is not the caller's to say is passed over.
    createdAt: text(40),
    updatedAt: text(40),
    status: text(20),
  }),
}
const CUSTOMER = objectOf(CUSTOMER_FIELDS)
const NEW_CUSTOMER = objectOf({ ...CUSTOMER_FIELDS, code: ID, type: oneOf(['company', 'individual']) }, [
  'name',
  'type',
  'contacts',
  'addresses',
])

interface CustomerBody {
  name?: string
  code?: string
  type?: 'company' | 'individual'
  companyInfo?: { legalName?: string; taxNumber?: string; industry?: string; registeredAddress?: string }
  financialInfo?: { creditLimit?: Digits; paymentTerms?: string; currency?: string }
  contacts?: Shown[]
  addresses?: AddressBody[]
  metadata?: { tags?: string[]; customFields?: Record<string, string> }
}
interface AddressBody {
  type: 'billing' | 'shipping' | 'office'
  address: string
  city: string
  province: string
  postalCode: string
  country: string
  isDefault: boolean
}

/** Where the world keeps the reference of a customer. */
const REFERENCE_FIELD = 'U_x_externalRef'

/**
 * `Partial<CustomerData>` leaves out members of the customer, not of what they hold: to the letter, `companyInfo`
 * replaces the one that there was, with all that it does not say.
 */
const replacing = ({ companyInfo, financialInfo, ...given }: CustomerBody): CustomerBody => ({
  ...given,
  ...(companyInfo
    ? { companyInfo: { legalName: '', taxNumber: '', industry: '', registeredAddress: '', ...companyInfo } }
    : {}),
  ...(financialInfo ? { financialInfo: { paymentTerms: '', ...financialInfo } } : {}),
})

/** The account with what a body says of it. The first billing address is the account's own. */
function changedAccount(account: ErpAccount, given: CustomerBody): ErpAccount {
  const { companyInfo = {}, financialInfo = {}, addresses, metadata = {} } = given
  const after: ErpAccount = { ...account, updatedAt: nowText() }
  if (given.name !== undefined) after.name = given.name
  if (companyInfo.legalName !== undefined) after.legalName = companyInfo.legalName
  if (companyInfo.taxNumber !== undefined) after.taxNumber = companyInfo.taxNumber || null
  if (companyInfo.industry !== undefined) after.industry = companyInfo.industry
  if (companyInfo.registeredAddress !== undefined) after.registeredAddress = companyInfo.registeredAddress
  if (financialInfo.creditLimit !== undefined) after.creditLimit = financialInfo.creditLimit.text
  if (financialInfo.paymentTerms !== undefined)
    after.paymentTerms = { code: account.paymentTerms.code, name: financialInfo.paymentTerms }
  if (financialInfo.currency !== undefined) after.currency = financialInfo.currency
  if (metadata.tags !== undefined) after.tags = metadata.tags
  if (metadata.customFields !== undefined)
    after.userFields = { ...account.userFields, ...customOf(metadata.customFields) }
  if (addresses !== undefined) {
    const own = addresses.find(({ type }) => type === 'billing')
    Object.assign(after, {
      street: own?.address ?? '',
      city: own?.city ?? '',
      province: own?.province ?? '',
      zip: own?.postalCode ?? '',
      country: own?.country ?? '',
      otherAddresses: addresses
        .filter((one) => one !== own)
        .map(({ address, postalCode, ...place }) => ({ ...place, street: address, zip: postalCode })),
    })
  }
  contacts.set(after, given.contacts ?? contactsOf(account))
  return after
}

function createCustomer({ world, extended }: Erp, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const raw = readBody(request)
  actorOf(request)
  NEW_CUSTOMER(raw, '')
  const body = raw as CustomerBody
  const reference = body.metadata?.customFields?.externalRef
  const earlier =
    extended && reference !== undefined
      ? world.all('erpAccounts').find((one) => one.userFields?.[REFERENCE_FIELD] === reference)
      : undefined
  if (earlier) {
    const details = { field: 'metadata.customFields.externalRef', externalId: earlier.cardCode }
    throw new Refusal(40901, '外部单号已存在', details)
  }
  const { code = `C${30_001 + world.count('erpAccounts')}` } = body
  if (world.get('erpAccounts', code)) throw new Refusal(40904, '客户编码已存在', { field: 'code', code })
  const at = nowText()
  const fresh: ErpAccount = {
    cardCode: code,
    name: '',
    taxNumber: null,
    currency: world.companyCurrency,
    creditLimit: '0',
    paymentTerms: { code: -1, name: '现结' },
    phone: '',
    email: '',
    street: '',
    city: '',
    zip: '',
    country: '',
    frozen: false,
    person: body.type === 'individual',
    createdAt: at,
    updatedAt: at,
  }
  world.put('erpAccounts', changedAccount(fresh, body))
  return { data: { externalId: code, code }, status: 201 }
}

function updateCustomer(erp: Erp, account: ErpAccount, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const body = readBody(request)
  actorOf(request)
  CUSTOMER(body, '')
  conditional(erp, request, account.cardCode)
  const given = body as CustomerBody
  const after = changedAccount(account, erp.extended ? given : replacing(given))
  erp.world.put('erpAccounts', after)
  return { data: { externalId: after.cardCode, updatedAt: after.updatedAt } }
}

/** The standard interface knows no conditions: whoever sends one is told. */
function conditional({ extended, revisions }: Erp, request: SimulatedRequest, id: string): void {
  if (!extended && request.headers['if-match'] !== undefined)
    throw new BadField('If-Match', 'If-Match is not supported.')
  checkRevision(request, revisions.of(id), '数据已被他人修改')
}

const DELIVERY = objectOf({
  expectedDate: day,
  actualDate: day,
  trackingNumber: text(60),
  address: text(200),
  city: text(100),
  province: text(100),
  postalCode: text(20),
  recipient: notBlank(100),
  phone: text(50),
  country: text(2, /^([A-Z]{2})?$/, 'is not a country code'),
})
const REFERENCES = objectOf({
  customerReference: text(100),
  externalRef: REFERENCE,
  proposalId: text(50),
  quotationId: text(50),
  contractId: text(50),
})
const PAYMENT = objectOf({
  method: text(40),
  terms: text(100),
  dueDate: day,
  paidAmount: decimalNumber(false),
  paidDate: day,
})
const METADATA = objectOf({
  notes: text(500),
  createdBy: text(100),
  customFields: attributes,
  createdAt: text(40),
  updatedAt: text(40),
})
const rate: Check = (value, field) => {
  decimalNumber(false)(value, field)
  if (new Big((value as Digits).text).gt(100)) throw new BadField(field, `"${field}" is a percentage.`)
}
const ITEM_FIELDS = {
  lineNumber: decimalNumber(true),
  product: objectOf({ id: ID }, ['id']),
  quantity: decimalNumber(true),
  unitPrice: decimalNumber(false),
  discount: rate,
  taxRate: rate,
  warehouse: ID,
  notes: text(200),
}
const ORDER_FIELDS = {
  orderType: oneOf(['sales']),
  customer: objectOf({ id: ID }, ['id']),
  orderDate: day,
  delivery: DELIVERY,
  references: REFERENCES,
  payment: PAYMENT,
  amounts: objectOf({ currency: CURRENCY }),
  metadata: METADATA,
}
const NEW_ORDER = objectOf(
  { ...ORDER_FIELDS, items: listOf(objectOf(ITEM_FIELDS, ['lineNumber', 'product', 'quantity']), 200) },
  ['orderType', 'customer', 'items'],
)
/** `OrderData` as the seed has it: what is not optional there, as far as its sender can know it, must be said. */
const LETTER_ORDER = objectOf(
  {
    ...ORDER_FIELDS,
    customer: objectOf({ id: ID, name: notBlank(200), code: text(50) }, ['id', 'name']),
    amounts: objectOf({
      currency: CURRENCY,
      subtotal: decimalNumber(false),
      taxAmount: decimalNumber(false),
      discountAmount: decimalNumber(false),
      totalAmount: decimalNumber(false),
    }),
    items: listOf(
      objectOf(
        {
          ...ITEM_FIELDS,
          product: objectOf({ id: ID, sku: ID, name: notBlank(200) }, ['id', 'sku', 'name']),
          unit: notBlank(20),
          subtotal: decimalNumber(false),
        },
        ['lineNumber', 'product', 'quantity', 'unit'],
      ),
      200,
    ),
  },
  ['orderType', 'customer', 'items'],
)
const CHANGED_ORDER = objectOf({
  delivery: DELIVERY,
  references: REFERENCES,
  payment: PAYMENT,
  metadata: METADATA,
})

interface OrderBody {
  customer: { id: string }
  orderDate?: string
  delivery?: {
    expectedDate?: string
    address?: string
    city?: string
    province?: string
    postalCode?: string
    recipient?: string
    phone?: string
    country?: string
  }
  references?: {
    customerReference?: string
    externalRef?: string
    proposalId?: string
    quotationId?: string
    contractId?: string
  }
  payment?: { method?: string; terms?: string; dueDate?: string; paidAmount?: Digits; paidDate?: string }
  amounts?: { currency?: string; subtotal?: Digits; taxAmount?: Digits; totalAmount?: Digits }
  metadata?: { notes?: string; createdBy?: string; customFields?: Record<string, string> }
  items: {
    product: { id: string }
    quantity: Digits
    unitPrice?: Digits
    discount?: Digits
    subtotal?: Digits
    warehouse?: string
    notes?: string
  }[]
}

/** Amounts that are said must be those of the lines. */
function checkSums({ items, amounts }: OrderBody): void {
  const differs = (said: Digits, due: Big) => new Big(said.text).minus(due).abs().gt('0.01')
  let sum = new Big(0)
  for (const [index, { quantity, unitPrice, discount, subtotal }] of items.entries()) {
    if (!subtotal) continue
    sum = sum.plus(subtotal.text)
    const full = new Big(quantity.text).times(unitPrice?.text ?? 0)
    if (differs(subtotal, full.minus(full.times(discount?.text ?? 0).div(100))))
      throw new BadField(`items[${index}].subtotal`, '金额与数量单价不符', { line: index + 1 })
  }
  if (amounts?.subtotal && differs(amounts.subtotal, sum))
    throw new BadField('amounts.subtotal', '合计与明细不符')
  const { subtotal, taxAmount, totalAmount } = amounts ?? {}
  if (totalAmount && differs(totalAmount, new Big(subtotal?.text ?? 0).plus(taxAmount?.text ?? 0)))
    throw new BadField('amounts.totalAmount', '合计与明细不符')
}

/** The delivery address after a change of some of its parts; none where all of them are empty. */
function shipToOf(
  { shipTo }: Partial<ErpOrder>,
  { address, city, province, postalCode, recipient, phone, country }: NonNullable<OrderBody['delivery']> = {},
): ErpOrder['shipTo'] {
  const changed = {
    name: recipient ?? shipTo?.name ?? '',
    phone: phone ?? shipTo?.phone ?? '',
    street: address ?? shipTo?.street ?? '',
    city: city ?? shipTo?.city ?? '',
    province: province ?? shipTo?.province ?? '',
    zip: postalCode ?? shipTo?.zip ?? '',
    country: country ?? shipTo?.country ?? '',
  }
  return Object.values(changed).every((part) => part === '') ? undefined : changed
}

const paymentOf = ({
  paidAmount,
  paidDate,
  ...agreed
}: NonNullable<OrderBody['payment']>): NonNullable<ErpOrder['payment']> => ({
  ...agreed,
  ...(paidAmount === undefined ? {} : { paid: paidAmount.text }),
  ...(paidDate === undefined ? {} : { paidOn: paidDate }),
})

const shipToChange = (order: ErpOrder, delivery: OrderBody['delivery']): Partial<ErpOrder> => {
  const shipTo = shipToOf(order, delivery)
  return shipTo ? { shipTo } : {}
}

const customOf = (given: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [`U_x_${name}`, value]))

function createOrder(erp: Erp, request: SimulatedRequest): Answered {
  const { world } = erp
  refuseParameters(request)
  const raw = readBody(request)
  const actor = actorOf(request)
  const whole = erp.extended ? NEW_ORDER : LETTER_ORDER
  whole(raw, '')
  const body = raw as OrderBody
  checkSums(body)
  const reference = body.references?.externalRef
  // Said first, so that repeating a request gives the same answer whatever became of its customer since.
  const earlier =
    erp.extended && reference !== undefined
      ? world.all('erpOrders').find((one) => one.userFields.U_ExternalRef === reference)
      : undefined
  if (earlier) {
    const details = { field: 'references.externalRef', externalId: orderId(earlier) }
    throw new Refusal(40901, '外部单号已存在', details)
  }
  const account = world.get('erpAccounts', body.customer.id)
  if (!account) throw new BadField('customer.id', '客户不存在', { customer: body.customer.id })
  if (account.frozen) throw new Refusal(40002, '客户已冻结', { customer: account.cardCode })
  const currency = body.amounts?.currency ?? account.currency
  if (currency !== account.currency)
    throw new BadField('amounts.currency', '币种与客户不符', { currency: account.currency })
  const lines = body.items.map(
    ({ product, quantity, unitPrice, discount, notes, warehouse = '01' }, index) => {
      const at = { line: index + 1 }
      const item = world.get('erpItems', product.id)
      if (!item?.active)
        throw new BadField(`items[${index}].product.id`, '产品不存在', { ...at, product: product.id })
      if (!world.get('erpStock', `${item.code}@${warehouse}`))
        throw new BadField(`items[${index}].warehouse`, '仓库无此产品', { ...at, warehouse })
      return {
        item: item.code,
        quantity: quantity.text,
        warehouse,
        ...(unitPrice ? { price: unitPrice.text } : {}),
        ...(discount ? { discountPercent: discount.text } : {}),
        ...(notes === undefined ? {} : { comments: notes }),
      }
    },
  )
  const today = nowText().slice(0, 10)
  const { references, payment } = body
  const createdBy = body.metadata?.createdBy ?? actor
  const shipTo = shipToOf({}, body.delivery)
  const order = placeOrder(world, {
    cardCode: account.cardCode,
    currency,
    docDate: body.orderDate ?? today,
    dueDate: body.delivery?.expectedDate ?? today,
    numAtCard: body.references?.customerReference ?? null,
    comments: body.metadata?.notes ?? null,
    confirmed: false,
    ...(shipTo ? { shipTo } : {}),
    ...(payment ? { payment: paymentOf(payment) } : {}),
    references: {
      proposal: references?.proposalId,
      quotation: references?.quotationId,
      contract: references?.contractId,
    },
    userFields: {
      ...customOf(body.metadata?.customFields),
      ...(reference === undefined ? {} : { U_ExternalRef: reference }),
      ...(createdBy === undefined ? {} : { U_CreatedBy: createdBy }),
    },
    lines,
  })
  const data = { externalId: orderId(order), orderNumber: String(order.docNum), status: statusOf(order) }
  return { data, status: 201 }
}

function updateOrder(erp: Erp, order: ErpOrder, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const raw = readBody(request)
  actorOf(request)
  CHANGED_ORDER(raw, '')
  const { delivery, references, payment, metadata } = raw as Partial<OrderBody>
  if (references?.externalRef !== undefined && references.externalRef !== order.userFields.U_ExternalRef)
    throw new BadField('references.externalRef', '外部单号不可修改')
  conditional(erp, request, orderId(order))
  if (order.closed) throw new Refusal(40902, '订单已关闭', { status: statusOf(order) })
  const changed = changeOrder(erp.world, order, {
    ...(delivery?.expectedDate === undefined ? {} : { dueDate: delivery.expectedDate }),
    ...(references?.customerReference === undefined ? {} : { numAtCard: references.customerReference }),
    ...(metadata?.notes === undefined ? {} : { comments: metadata.notes }),
    ...(payment ? { payment: { ...order.payment, ...paymentOf(payment) } } : {}),
    ...shipToChange(order, delivery),
    userFields: { ...order.userFields, ...customOf(metadata?.customFields) },
  })
  return { data: { externalId: orderId(changed), updatedAt: changed.updatedAt } }
}

const STATUS = objectOf({ status: oneOf(['CONFIRMED', 'DELIVERED', 'CANCELLED']) }, ['status'])

function setStatus(erp: Erp, order: ErpOrder, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const raw = readBody(request)
  actorOf(request)
  STATUS(raw, '')
  const { status } = raw as { status: string }
  const present = statusOf(order)
  // What was asked for before changes nothing.
  if (present === status) return { data: showStatus(erp.world, order) }
  conditional(erp, request, orderId(order))
  const possible: Readonly<Record<string, readonly string[]>> = {
    CONFIRMED: ['CREATED'],
    DELIVERED: ['CONFIRMED', 'PROCESSING'],
    CANCELLED: ['CREATED', 'CONFIRMED'],
  }
  if (!possible[status]?.includes(present))
    throw new Refusal(40902, '当前状态不允许该操作', { status: present, wanted: status })
  if (status === 'CONFIRMED') changeOrder(erp.world, order, { confirmed: true })
  else if (status === 'CANCELLED') cancelOrder(erp.world, order)
  else deliver(erp.world, order)
  return { data: showStatus(erp.world, findOrder(erp, orderId(order))) }
}

/* ---- webhooks ---- */

/** As the seed lists them. */
const EVENTS = [
  ...['customer', 'product', 'order'].flatMap((one) => [`${one}.created`, `${one}.updated`]),
  ...['customer.deleted', 'product.deleted', 'product.inventory.changed', 'order.status.changed'],
  ...['order.shipped', 'order.delivered', 'order.cancelled'],
  ...['invoice.created', 'invoice.paid', 'invoice.overdue'],
]

const WEBHOOK = objectOf(
  {
    url: text(500, /^https?:\/\//, 'is no address'),
    events: listOf(oneOf(EVENTS), 50),
    secret: notBlank(200),
    retryPolicy: objectOf({
      maxRetries: decimalNumber(false),
      retryDelay: decimalNumber(false),
      backoffMultiplier: decimalNumber(false),
    }),
  },
  ['url', 'events', 'secret'],
)

function register({ registered }: Erp, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const body = readBody(request)
  WEBHOOK(body, '')
  const { url, secret, events, retryPolicy } = body as {
    url: string
    secret: string
    events: string[]
    retryPolicy?: Record<string, Digits>
  }
  const id = `wh-${randomUUID()}`
  const {
    maxRetries = 3,
    retryDelay = 200,
    backoffMultiplier = 2,
  } = Object.fromEntries(Object.entries(retryPolicy ?? {}).map(([name, { text }]) => [name, Number(text)]))
  const retryDelaysMs = Array.from({ length: maxRetries }, (_, n) => retryDelay * backoffMultiplier ** n)
  registered.set(id, { url, secret, retryDelaysMs, wants: ({ event }) => events.includes(event ?? '') })
  return { data: { id }, status: 201 }
}

function letterOf({ collection, entity, before }: WorldChange, secret?: string): Letter | undefined {
  const told = subjectOf({ collection, entity, before })
  if (!told) return undefined
  const [event, externalId] = told
  return standardLetter(event, externalId, { source: 'rest_erp', secret })
}

function subjectOf({ collection, entity, before }: WorldChange): readonly [string, string] | undefined {
  const happened = before ? 'updated' : 'created'
  switch (collection) {
    case 'erpAccounts':
      return [`customer.${happened}`, (entity as ErpAccount).cardCode]
    case 'erpItems':
      return [`product.${happened}`, (entity as ErpItem).code]
    case 'erpStock':
      return ['product.inventory.changed', (entity as { item: string }).item]
    case 'erpOrders': {
      const order = entity as ErpOrder
      const status = statusOf(order)
      const same = !before || statusOf(before as ErpOrder) === status
      const ending = { CANCELLED: 'cancelled', DELIVERED: 'delivered' }[status] ?? 'status.changed'
      return [`order.${same ? happened : ending}`, orderId(order)]
    }
    default:
      return undefined
  }
}

/* ---- the plain interface of seed 000 ---- */

function routePlain(world: World, request: SimulatedRequest): Answered {
  const [, collection, id] = /^\/api\/(products|orders)\/([^/]+)$/.exec(request.path) ?? []
  if (!collection) throw noSuchPath(request)
  if (request.method !== 'GET') throw noSuchMethod(request, 'GET')
  refuseParameters(request)
  const key = decodePath(id)
  if (collection === 'products') {
    const item = world.get('erpItems', key)
    if (!item) throw new Refusal(40402, '产品不存在')
    return {
      data: {
        productId: item.code,
        productName: item.name,
        unit: item.unit,
        status: item.active ? 'ACTIVE' : 'X',
      },
    }
  }
  const order = findOrder({ world }, key)
  return {
    data: {
      orderId: orderId(order),
      orderNo: String(order.docNum),
      customerId: order.cardCode,
      customerName: order.cardName,
      createDate: order.createdAt,
      totalAmount: number(order.gross),
      status: statusOf(order),
      orderItems: order.lines.map((line) => ({
        itemId: `${order.docEntry}-${line.lineNum}`,
        productId: line.item,
        productName: line.description,
        quantity: number(line.quantity),
        unitPrice: number(line.price),
        totalPrice: number(line.total),
      })),
    },
  }
}
