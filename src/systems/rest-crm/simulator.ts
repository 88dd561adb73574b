/**
 * A CRM that keeps the published contract (`openapi.yaml`) strictly: it refuses what it does not know instead of
 * ignoring it, and tells of every change in its collections by a signed webhook. Shares no code with the adapter.
 */
import { randomUUID } from 'node:crypto'
import type { SimulatedRequest } from '../../simulation/server.ts'
import {
  type Answered,
  actorOf,
  attributes,
  authenticate,
  BadField,
  CURRENCY,
  checkRevision,
  codedWrapping,
  contains,
  day,
  decodePath,
  EMAIL,
  type Letter,
  type LetterBox,
  listOf,
  listParameter,
  NO_DECIMALS,
  noSuchMethod,
  noSuchPath,
  notBlank,
  objectOf,
  oneOf,
  onlyWith,
  REFERENCE,
  Refusal,
  readBody,
  refuseParameters,
  type Shown,
  type SimulatorAuth,
  type StrictSimulator,
  startStrictSimulator,
  TIMED_PAGE,
  text,
  timedPage,
  truth,
} from '../../simulation/strict-json.ts'
import { nowText } from '../../simulation/trade.ts'
import type { CrmCustomer, CrmNote, CrmOpportunity, World, WorldChange } from '../../simulation/world.ts'

export interface RestCrmSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly auth: SimulatorAuth
  /** Without it nobody is told of changes. */
  readonly webhook?: LetterBox
  /** Most values in `ids` and `customerIds`, most records in a page. Default 100. */
  readonly limit?: number
}

const LEVELS = ['VIP', 'PREMIUM', 'STANDARD', 'BASIC']
const STAGES = ['PROSPECTING', 'QUALIFICATION', 'PROPOSAL', 'NEGOTIATION', 'WON', 'LOST']
const PROBABILITY: Readonly<Record<string, number>> = {
  PROSPECTING: 10,
  QUALIFICATION: 20,
  PROPOSAL: 50,
  NEGOTIATION: 75,
  WON: 100,
  LOST: 0,
}
export function startRestCrmSimulator(
  world: World,
  { port, auth, webhook, limit = 100 }: RestCrmSimulatorOptions,
): Promise<StrictSimulator> {
  return startStrictSimulator({
    port,
    wrapping: codedWrapping(40001),
    route(request) {
      authenticate(auth, request)
      return route(world, request, limit)
    },
    letters: webhook && { world, boxes: () => [webhook], write: eventOf },
  })
}

/* ---- answers ---- */

const succeed = (data: unknown, status = 200, headers: Record<string, string> = {}): Answered => ({
  data,
  status,
  headers,
})

function showCustomer(customer: CrmCustomer): Shown {
  return {
    customerId: customer.id,
    customerName: customer.name,
    level: customer.level,
    industry: customer.industry,
    taxNumber: customer.taxNumber,
    ...(customer.legalName === undefined ? {} : { legalName: customer.legalName }),
    ...(customer.tags === undefined ? {} : { tags: customer.tags }),
    ...(customer.status === undefined ? {} : { status: customer.status }),
    ...(customer.parentId === undefined ? {} : { parentId: customer.parentId }),
    phone: customer.phone,
    email: customer.email,
    address: { ...customer.address },
    contacts: customer.contacts.map((contact) => ({ ...contact })),
    ...(customer.attributes ? { attributes: customer.attributes } : {}),
    ...(customer.externalRef === undefined ? {} : { externalRef: customer.externalRef }),
    createDate: customer.createdAt,
    updateDate: customer.updatedAt,
    revision: customer.revision,
  }
}

function showOpportunity(opportunity: CrmOpportunity): Shown {
  return {
    opportunityId: opportunity.id,
    name: opportunity.name,
    customerId: opportunity.customerId,
    stage: opportunity.stage,
    amount: opportunity.amount || null,
    currency: opportunity.currency || null,
    probability: opportunity.probability,
    closeDate: opportunity.closeDate || null,
    owner: opportunity.owner,
    lines: (opportunity.lines ?? []).map((line) => ({ ...line })),
    orderNumber: opportunity.orderNumber ?? null,
    ...(opportunity.attributes ? { attributes: opportunity.attributes } : {}),
    externalRef: opportunity.externalRef,
    createDate: opportunity.createdAt,
    updateDate: opportunity.updatedAt,
  }
}

/* ---- requests ---- */

function route(world: World, request: SimulatedRequest, limit: number): Answered {
  const [, collection, id] = /^\/api\/(customers|opportunities|notes)(?:\/([^/]+))?$/.exec(request.path) ?? []
  if (!collection) throw noSuchPath(request)
  const operation = `${request.method} ${collection}${id === undefined ? '' : '/{id}'}`
  switch (operation) {
    case 'GET customers':
      return succeed(listCustomers(world, request, limit))
    case 'GET customers/{id}': {
      const customer = findCustomer(world, decodePath(id))
      refuseParameters(request)
      return succeed(showCustomer(customer), 200, { etag: `"${customer.revision}"` })
    }
    case 'POST customers':
      return createCustomer(world, request)
    case 'PUT customers/{id}':
      return updateCustomer(world, decodePath(id), request)
    case 'GET opportunities':
      return succeed(listOpportunities(world, request, limit))
    case 'GET opportunities/{id}': {
      const opportunity = world.get('crmOpportunities', decodePath(id))
      if (!opportunity)
        throw new Refusal(40402, 'There is no such opportunity.', { opportunityId: decodePath(id) })
      refuseParameters(request)
      return succeed(showOpportunity(opportunity))
    }
    case 'POST opportunities':
      return createOpportunity(world, request)
    case 'PUT opportunities/{id}':
      return updateOpportunity(world, decodePath(id), request)
    case 'GET notes':
      return succeed(findNotes(world, request))
    case 'POST notes':
      return createNote(world, request)
    default: {
      if (collection === 'notes' && id !== undefined) throw noSuchPath(request)
      const allow = id ? 'GET, PUT' : 'GET, POST'
      throw noSuchMethod(request, allow)
    }
  }
}

function findCustomer(world: World, id: string): CrmCustomer {
  const customer = world.get('crmCustomers', id)
  if (!customer) throw new Refusal(40401, 'There is no such customer.', { customerId: id })
  return customer
}

/* ---- lists ---- */

function listCustomers(world: World, request: SimulatedRequest, limit: number): unknown {
  refuseParameters(request, ['ids', 'externalRef', 'search', ...TIMED_PAGE])
  const ids = listParameter(request, 'ids', limit)
  if (ids) {
    onlyWith(request, 'ids')
    return byIds(ids, (id) => world.get('crmCustomers', id), showCustomer)
  }
  const reference = request.query.get('externalRef')
  if (reference !== null) {
    onlyWith(request, 'externalRef')
    return {
      items: world
        .all('crmCustomers')
        .filter((one) => one.externalRef === reference)
        .map(showCustomer),
    }
  }
  const search = request.query.get('search')
  const found = world.all('crmCustomers').filter((one) => contains([one.id, one.name, one.taxNumber], search))
  return timedPage(request, found, timesOf, limit, showCustomer)
}

function listOpportunities(world: World, request: SimulatedRequest, limit: number): unknown {
  refuseParameters(request, ['ids', 'externalRef', 'customerIds', 'search', ...TIMED_PAGE])
  const ids = listParameter(request, 'ids', limit)
  if (ids) {
    onlyWith(request, 'ids')
    return byIds(ids, (id) => world.get('crmOpportunities', id), showOpportunity)
  }
  const reference = request.query.get('externalRef')
  if (reference !== null) {
    onlyWith(request, 'externalRef')
    const found = byReference(world, reference)
    return { items: found ? [showOpportunity(found)] : [] }
  }
  const customerIds = listParameter(request, 'customerIds', limit)
  const search = request.query.get('search')
  const found = world
    .all('crmOpportunities')
    .filter((one) => !customerIds || customerIds.includes(one.customerId))
    .filter((one) => contains([one.id, one.name], search))
  return timedPage(request, found, timesOf, limit, showOpportunity)
}

const timesOf = (one: CrmCustomer | CrmOpportunity) => one

const byReference = (world: World, reference: string): CrmOpportunity | undefined =>
  world.all('crmOpportunities').find((one) => one.externalRef === reference)

/** In no promised order: whoever asks by id can sort for themselves. */
function byIds<T>(
  ids: readonly string[],
  get: (id: string) => T | undefined,
  show: (one: T) => Shown,
): unknown {
  const items = ids.flatMap((id) => get(id) ?? []).reverse()
  return { items: items.map(show) }
}

/* ---- writes ---- */

const ADDRESS = objectOf({
  street: text(200),
  city: text(100),
  province: text(100),
  postalCode: text(20),
  country: text(2, /^([A-Z]{2})?$/, 'is not a country code'),
})
const CONTACTS = listOf(
  objectOf({ name: notBlank(100), title: text(100), phone: text(50), email: EMAIL, primary: truth }, [
    'name',
  ]),
  50,
  0,
)
const CUSTOMER_FIELDS = {
  customerName: notBlank(200),
  level: oneOf(LEVELS),
  industry: text(100),
  taxNumber: text(50),
  legalName: text(200),
  tags: listOf(notBlank(50), 20, 0),
  phone: text(50),
  email: EMAIL,
  address: ADDRESS,
  attributes,
  contacts: (value: unknown, field: string) => {
    CONTACTS(value, field)
    if ((value as { primary?: boolean }[]).filter(({ primary }) => primary).length > 1)
      throw new BadField(field, 'Only one contact can be the primary one.')
  },
}
const CUSTOMER = objectOf(CUSTOMER_FIELDS)
const NEW_CUSTOMER = objectOf({ ...CUSTOMER_FIELDS, externalRef: REFERENCE }, ['customerName'])

function updateCustomer(world: World, id: string, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const customer = findCustomer(world, id)
  const body = readBody(request) as Record<string, unknown>
  actorOf(request)
  CUSTOMER(body, '')
  if (Object.keys(body).length === 0) throw new Refusal(40001, 'Nothing is to be changed.')
  checkRevision(request, customer.revision, 'The customer was changed by somebody else.')
  const changed = changedCustomer(customer, body)
  // Setting what is set already is no change, has no revision and is not announced.
  const isChange = JSON.stringify(showCustomer(changed)) !== JSON.stringify(showCustomer(customer))
  const after = isChange ? { ...changed, revision: customer.revision + 1, updatedAt: nowText() } : customer
  if (isChange) world.put('crmCustomers', after)
  return succeed(showCustomer(after), 200, { etag: `"${after.revision}"` })
}

function createCustomer(world: World, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const body = readBody(request) as Record<string, unknown>
  actorOf(request)
  NEW_CUSTOMER(body, '')
  const { externalRef, ...fields } = body
  const earlier = world
    .all('crmCustomers')
    .find((one) => externalRef !== undefined && one.externalRef === externalRef)
  if (earlier) {
    const details = { field: 'externalRef', customerId: earlier.id }
    throw new Refusal(40901, 'Another customer has this external reference.', details)
  }
  const now = nowText()
  const blank: CrmCustomer = {
    id: String(800_000 + world.count('crmCustomers')),
    name: '',
    level: 'STANDARD',
    industry: '',
    taxNumber: '',
    phone: '',
    email: '',
    address: { street: '', city: '', province: '', postalCode: '', country: '' },
    contacts: [],
    ...(externalRef === undefined ? {} : { externalRef: externalRef as string }),
    createdAt: now,
    updatedAt: now,
    revision: 1,
  }
  const customer = changedCustomer(blank, fields)
  world.put('crmCustomers', customer)
  return succeed(showCustomer(customer), 201, {
    location: `/api/customers/${customer.id}`,
    etag: '"1"',
  })
}

/** The body has passed `CUSTOMER`. */
function changedCustomer(customer: CrmCustomer, body: Record<string, unknown>): CrmCustomer {
  const { customerName, contacts, address, attributes, ...rest } = body as {
    customerName?: string
    attributes?: Record<string, string>
    contacts?: Partial<CrmCustomer['contacts'][number]>[]
    address?: Partial<CrmCustomer['address']>
  }
  return {
    ...customer,
    ...rest,
    ...(customerName === undefined ? {} : { name: customerName }),
    ...(address === undefined ? {} : { address: { ...customer.address, ...address } }),
    ...(attributes === undefined ? {} : { attributes: { ...customer.attributes, ...attributes } }),
    ...(contacts === undefined
      ? {}
      : {
          contacts: contacts.map(({ name = '', title = '', phone = '', email = '', primary = false }) => ({
            name,
            title,
            phone,
            email,
            primary,
          })),
        }),
  }
}

const AMOUNT = text(20, /^(0|[1-9]\d{0,14})(\.\d{1,2})?$/, 'must be a decimal number, not negative, as text')

/** Amount and currency say something together only. */
function checkMoney(amount: string | undefined, currency: string | undefined): void {
  if ((amount === undefined) !== (currency === undefined))
    throw new BadField(amount === undefined ? 'amount' : 'currency', 'Amount and currency go together.')
  if (currency && NO_DECIMALS.includes(currency) && amount?.includes('.'))
    throw new BadField('amount', `Amounts in ${currency} have no decimals.`, { currency })
}

const OPPORTUNITY = objectOf(
  {
    name: notBlank(200),
    customerId: text(64, /^[A-Za-z0-9_-]+$/, 'is not an id'),
    stage: oneOf(STAGES),
    amount: AMOUNT,
    currency: CURRENCY,
    closeDate: day,
    owner: text(100),
    lines: listOf(
      objectOf(
        {
          productCode: notBlank(50),
          quantity: text(
            20,
            /^(?=.*[1-9])(0|[1-9]\d{0,11})(\.\d{1,6})?$/,
            'must be a decimal number above 0, as text',
          ),
          unitPrice: text(
            20,
            /^(0|[1-9]\d{0,14})(\.\d{1,4})?$/,
            'must be a decimal number, not negative, as text',
          ),
        },
        ['productCode', 'quantity'],
      ),
      200,
      0,
    ),
    attributes,
    externalRef: REFERENCE,
  },
  ['name', 'customerId'],
)

const OPPORTUNITY_CHANGES = objectOf({
  name: notBlank(200),
  stage: oneOf(STAGES),
  amount: AMOUNT,
  currency: CURRENCY,
  closeDate: day,
  orderNumber: notBlank(50),
  attributes,
})

function updateOpportunity(world: World, id: string, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const opportunity = world.get('crmOpportunities', id)
  if (!opportunity) throw new Refusal(40402, 'There is no such opportunity.', { opportunityId: id })
  const body = readBody(request) as Partial<CrmOpportunity>
  actorOf(request)
  OPPORTUNITY_CHANGES(body, '')
  if (Object.keys(body).length === 0) throw new Refusal(40001, 'Nothing is to be changed.')
  checkMoney(body.amount, body.currency)
  if (request.headers['if-match'] !== undefined)
    throw new BadField('If-Match', 'Opportunities have no revision.')
  const probability = body.stage === undefined ? opportunity.probability : (PROBABILITY[body.stage] ?? 0)
  const attributes = { ...opportunity.attributes, ...body.attributes }
  const changed = { ...opportunity, ...body, probability, ...(body.attributes ? { attributes } : {}) }
  const isChange = JSON.stringify(showOpportunity(changed)) !== JSON.stringify(showOpportunity(opportunity))
  const after = isChange ? { ...changed, updatedAt: nowText() } : opportunity
  if (isChange) world.put('crmOpportunities', after)
  return succeed(showOpportunity(after))
}

/* ---- notes ---- */

const NOTE = objectOf(
  { customerId: text(64, /^[A-Za-z0-9_-]+$/, 'is not an id'), text: notBlank(2000), externalRef: REFERENCE },
  ['customerId', 'text'],
)

const showNote = (note: CrmNote): Shown => ({
  noteId: note.id,
  customerId: note.customerId,
  text: note.text,
  author: note.author,
  externalRef: note.externalRef,
  createDate: note.createdAt,
})

function findNotes(world: World, request: SimulatedRequest): unknown {
  refuseParameters(request, ['externalRef', 'customerId'])
  const [reference, customer] = [request.query.get('externalRef'), request.query.get('customerId')]
  if ((reference === null) === (customer === null))
    throw new Refusal(40000, 'Give externalRef or customerId.', { field: 'customerId' })
  const found = world
    .all('crmNotes')
    .filter((one) => (reference === null ? one.customerId === customer : one.externalRef === reference))
  return { items: found.map(showNote) }
}

function createNote(world: World, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const body = readBody(request)
  const actor = actorOf(request)
  NOTE(body, '')
  const {
    customerId,
    text: content,
    externalRef,
  } = body as {
    customerId: string
    text: string
    externalRef?: string
  }
  const earlier =
    externalRef === undefined
      ? undefined
      : world.all('crmNotes').find((one) => one.externalRef === externalRef)
  if (earlier) {
    const details = { field: 'externalRef', noteId: earlier.id, customerId: earlier.customerId }
    throw new Refusal(40901, 'Another note has this external reference.', details)
  }
  if (!world.get('crmCustomers', customerId))
    throw new BadField('customerId', 'There is no such customer.', { customerId })
  const note: CrmNote = {
    id: `NT-${String(world.count('crmNotes') + 1).padStart(5, '0')}`,
    customerId,
    text: content,
    author: actor ?? 'api',
    externalRef: externalRef ?? null,
    createdAt: nowText(),
  }
  world.put('crmNotes', note)
  return succeed(showNote(note), 201)
}

function createOpportunity(world: World, request: SimulatedRequest): Answered {
  refuseParameters(request)
  const body = readBody(request)
  const actor = actorOf(request)
  OPPORTUNITY(body, '')
  const given = body as Readonly<Record<string, string | undefined>>
  const { lines = [], attributes } = body as {
    attributes?: Record<string, string>
    lines?: readonly { productCode: string; quantity: string; unitPrice?: string }[]
  }
  const { name = '', customerId = '', stage = 'PROSPECTING', amount, currency, externalRef } = given
  // Said first, so that repeating a request gives the same answer whatever became of its customer since.
  const earlier = externalRef === undefined ? undefined : byReference(world, externalRef)
  if (earlier) {
    const details = { field: 'externalRef', opportunityId: earlier.id }
    throw new Refusal(40901, 'Another opportunity has this external reference.', details)
  }
  if (!world.get('crmCustomers', customerId))
    throw new BadField('customerId', 'There is no such customer.', { customerId })
  checkMoney(amount, currency)
  const now = nowText()
  const opportunity: CrmOpportunity = {
    id: `OP-${String(world.count('crmOpportunities') + 1).padStart(5, '0')}`,
    name,
    customerId,
    stage,
    amount: amount ?? '',
    currency: currency ?? '',
    probability: PROBABILITY[stage] ?? 0,
    closeDate: given.closeDate ?? '',
    owner: given.owner ?? actor ?? 'api',
    externalRef: externalRef ?? null,
    lines: lines.map(({ unitPrice = null, ...line }) => ({ ...line, unitPrice })),
    ...(attributes ? { attributes } : {}),
    createdAt: now,
    updatedAt: now,
  }
  world.put('crmOpportunities', opportunity)
  return succeed(showOpportunity(opportunity), 201, { location: `/api/opportunities/${opportunity.id}` })
}

/* ---- webhooks ---- */

function eventOf(change: WorldChange): Letter | undefined {
  const { collection } = change
  if (collection !== 'crmCustomers' && collection !== 'crmOpportunities') return undefined
  const show = (entity: WorldChange['entity'] | undefined): Shown => {
    if (!entity) return {}
    return collection === 'crmCustomers'
      ? showCustomer(entity as CrmCustomer)
      : showOpportunity(entity as CrmOpportunity)
  }
  const [before, after] = [show(change.before), show(change.entity)]
  const changes: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(after)) {
    const old = before[field] ?? null
    if (JSON.stringify(old) !== JSON.stringify(value)) changes[field] = { old, new: value }
  }
  const id = randomUUID()
  const body = JSON.stringify({
    id,
    event: `${collection === 'crmCustomers' ? 'customer' : 'opportunity'}.${change.before ? 'updated' : 'created'}`,
    timestamp: nowText(),
    source: 'rest-crm',
    data: { externalId: (change.entity as CrmCustomer | CrmOpportunity).id, changes },
  })
  return { id, body }
}
