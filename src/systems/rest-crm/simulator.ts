/**
 * A CRM that keeps the published contract (`openapi.yaml`) strictly: it refuses what it does not know instead of
 * ignoring it, and tells of every change in its collections by a signed webhook. Shares no code with the adapter.
 */
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { nowText } from '../../simulation/trade.ts'
import type { CrmCustomer, CrmOpportunity, World, WorldChange } from '../../simulation/world.ts'

export type RestCrmSimulatorAuth =
  | { readonly type: 'bearer'; readonly token: string }
  | { readonly type: 'basic'; readonly username: string; readonly password: string }
  | { readonly type: 'apiKey'; readonly header?: string; readonly key: string }

export interface RestCrmSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly auth: RestCrmSimulatorAuth
  /** Without it nobody is told of changes. */
  readonly webhook?: {
    /** A function is asked before every attempt: the gateway's port may be known only later. */
    readonly url: string | (() => string)
    readonly secret: string
    /** Pauses before the second, third, … attempt; then it gives up. Default 200, 800, 3200. */
    readonly retryDelaysMs?: readonly number[]
  }
  /** Most values in `ids` and `customerIds`, most records in a page. Default 100. */
  readonly limit?: number
}

export interface RestCrmSimulator extends Simulator {
  /** Sends the last event again, under the same id. @returns Whether there was one. */
  resendLastEvent(): Promise<boolean>
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
const MAX_BODY_BYTES = 256 * 1024

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
type Details = Readonly<Record<string, Json>>

/** An answer that is no success. The first three digits of the code are the HTTP status. */
class Refusal extends Error {
  readonly code: number
  readonly details: Details | undefined
  readonly headers: Readonly<Record<string, string>>
  constructor(code: number, message: string, details?: Details, headers: Record<string, string> = {}) {
    super(message)
    this.code = code
    this.details = details
    this.headers = headers
  }
}

const badField = (field: string, message: string, more: Details = {}) =>
  new Refusal(40001, message, { field, ...more })

export async function startRestCrmSimulator(
  world: World,
  options: RestCrmSimulatorOptions,
): Promise<RestCrmSimulator> {
  const limit = options.limit ?? 100
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    try {
      authenticate(options.auth, request)
      return route(world, request, limit)
    } catch (error) {
      if (error instanceof Refusal) return refuse(error)
      throw error
    }
  }
  const server = await startSimulatorServer({ ...(options.port ? { port: options.port } : {}), handle })
  const postman = options.webhook ? startPostman(world, options.webhook) : undefined
  return {
    url: server.url,
    get calls() {
      return server.calls
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    resendLastEvent: async () => (await postman?.resendLast()) ?? false,
    async close() {
      postman?.stop()
      await server.close()
    },
  }
}

/* ---- answers ---- */

const envelope = (code: number, message: string, data: Json, details?: Details): string =>
  JSON.stringify({ code, message, data, timestamp: Date.now(), ...(details ? { details } : {}) })

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }

const succeed = (data: Json, status = 200, headers: Record<string, string> = {}): SimulatedResponse => ({
  status,
  headers: { ...JSON_TYPE, ...headers },
  body: envelope(0, 'success', data),
})

const refuse = (refusal: Refusal): SimulatedResponse => ({
  status: Math.floor(refusal.code / 100),
  headers: { ...JSON_TYPE, ...refusal.headers },
  body: envelope(refusal.code, refusal.message, null, refusal.details),
})

function showCustomer(customer: CrmCustomer): { readonly [name: string]: Json } {
  return {
    customerId: customer.id,
    customerName: customer.name,
    level: customer.level,
    industry: customer.industry,
    taxNumber: customer.taxNumber,
    phone: customer.phone,
    email: customer.email,
    address: { ...customer.address },
    contacts: customer.contacts.map((contact) => ({ ...contact })),
    createDate: customer.createdAt,
    updateDate: customer.updatedAt,
    revision: customer.revision,
  }
}

function showOpportunity(opportunity: CrmOpportunity): { readonly [name: string]: Json } {
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
    externalRef: opportunity.externalRef,
    createDate: opportunity.createdAt,
    updateDate: opportunity.updatedAt,
  }
}

/* ---- requests ---- */

function authenticate(auth: RestCrmSimulatorAuth, request: SimulatedRequest): void {
  const refused = (scheme: string) =>
    new Refusal(40100, 'The credentials are missing or wrong.', undefined, { 'www-authenticate': scheme })
  const given = (header: string) => String(request.headers[header.toLowerCase()] ?? '')
  if (auth.type === 'bearer') {
    if (!same(given('authorization'), `Bearer ${auth.token}`)) throw refused('Bearer')
  } else if (auth.type === 'basic') {
    const [scheme, coded = ''] = given('authorization').split(' ')
    const pair = Buffer.from(coded, 'base64').toString('utf8')
    if (scheme !== 'Basic' || !same(pair, `${auth.username}:${auth.password}`)) throw refused('Basic')
  } else {
    if (!same(given(auth.header ?? 'X-API-Key'), auth.key)) throw refused('ApiKey')
  }
}

const same = (left: string, right: string): boolean => {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

function route(world: World, request: SimulatedRequest, limit: number): SimulatedResponse {
  const [, collection, id] = /^\/api\/(customers|opportunities)(?:\/([^/]+))?$/.exec(request.path) ?? []
  if (!collection) throw new Refusal(40400, 'There is nothing at this path.', { path: request.path })
  const operation = `${request.method} ${collection}${id === undefined ? '' : '/{id}'}`
  switch (operation) {
    case 'GET customers':
      return succeed(listCustomers(world, request, limit))
    case 'GET customers/{id}': {
      const customer = findCustomer(world, decode(id))
      refuseParameters(request)
      return succeed(showCustomer(customer), 200, { etag: `"${customer.revision}"` })
    }
    case 'PUT customers/{id}':
      return updateCustomer(world, decode(id), request)
    case 'GET opportunities':
      return succeed(listOpportunities(world, request, limit))
    case 'GET opportunities/{id}': {
      const opportunity = world.get('crmOpportunities', decode(id))
      if (!opportunity)
        throw new Refusal(40402, 'There is no such opportunity.', { opportunityId: decode(id) })
      refuseParameters(request)
      return succeed(showOpportunity(opportunity))
    }
    case 'POST opportunities':
      return createOpportunity(world, request)
    default: {
      const allow =
        collection === 'customers' ? (id ? 'GET, PUT' : 'GET') : id === undefined ? 'GET, POST' : 'GET'
      throw new Refusal(40500, `${request.method} is not possible here.`, { allow }, { allow })
    }
  }
}

function decode(text = ''): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Refusal(40000, 'The path is not percent-encoded UTF-8.')
  }
}

function findCustomer(world: World, id: string): CrmCustomer {
  const customer = world.get('crmCustomers', id)
  if (!customer) throw new Refusal(40401, 'There is no such customer.', { customerId: id })
  return customer
}

function refuseParameters(request: SimulatedRequest, allowed: readonly string[] = []): void {
  for (const name of new Set(request.query.keys())) {
    if (!allowed.includes(name)) throw new Refusal(40000, `There is no parameter "${name}".`, { field: name })
    if (request.query.getAll(name).length > 1)
      throw new Refusal(40000, `"${name}" is given twice.`, { field: name })
  }
}

/* ---- lists ---- */

function listCustomers(world: World, request: SimulatedRequest, limit: number): Json {
  refuseParameters(request, ['ids', 'page', 'limit', 'after', 'updatedSince', 'search'])
  const ids = listParameter(request, 'ids', limit)
  if (ids) {
    onlyWith(request, 'ids')
    return byIds(ids, (id) => world.get('crmCustomers', id), showCustomer)
  }
  const search = request.query.get('search')
  const found = world.all('crmCustomers').filter((one) => contains([one.id, one.name, one.taxNumber], search))
  return pageOf(request, found, limit, showCustomer)
}

function listOpportunities(world: World, request: SimulatedRequest, limit: number): Json {
  refuseParameters(request, [
    'ids',
    'externalRef',
    'customerIds',
    'page',
    'limit',
    'after',
    'updatedSince',
    'search',
  ])
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
  return pageOf(request, found, limit, showOpportunity)
}

const byReference = (world: World, reference: string): CrmOpportunity | undefined =>
  world.all('crmOpportunities').find((one) => one.externalRef === reference)

const contains = (texts: readonly string[], search: string | null): boolean =>
  search === null || texts.some((text) => text.toLowerCase().includes(search.toLowerCase()))

function listParameter(request: SimulatedRequest, name: string, maximum: number): string[] | undefined {
  const text = request.query.get(name)
  if (text === null) return undefined
  const values = text.split(',')
  if (values.some((value) => value === '')) throw badField(name, `"${name}" holds an empty value.`)
  if (values.length > maximum) throw badField(name, `"${name}" holds too many values.`, { maximum })
  return [...new Set(values)]
}

function onlyWith(request: SimulatedRequest, name: string): void {
  const other = [...request.query.keys()].find((key) => key !== name)
  if (other) throw new Refusal(40000, `"${other}" cannot be combined with "${name}".`, { field: other })
}

/** In no promised order: whoever asks by id can sort for themselves. */
function byIds<T>(ids: readonly string[], get: (id: string) => T | undefined, show: (one: T) => Json): Json {
  const items = ids.flatMap((id) => get(id) ?? []).reverse()
  return { items: items.map(show) }
}

/**
 * Newest first by creation; with `updatedSince`, oldest change first. `after` names a place in that order and stays
 * true while records are added; `page` counts from 1.
 */
function pageOf<T extends { readonly id: string; createdAt: string; updatedAt: string }>(
  request: SimulatedRequest,
  all: readonly T[],
  maximum: number,
  show: (one: T) => Json,
): Json {
  const { query } = request
  const limit = wholeNumber(query.get('limit') ?? String(Math.min(50, maximum)), 'limit', maximum)
  const since = query.get('updatedSince')
  const time = since === null ? 'createdAt' : 'updatedAt'
  const direction = since === null ? -1 : 1
  const compare = (a: readonly [string, string], b: readonly [string, string]): number =>
    direction * (compareTexts(a[0], b[0]) || compareTexts(a[1], b[1]))
  const place = (one: T): [string, string] => [one[time], one.id]
  const from = since === null ? '' : utcTime(since, 'updatedSince')
  const sorted = all.filter((one) => one.updatedAt >= from).sort((a, b) => compare(place(a), place(b)))

  const after = query.get('after')
  const page = query.get('page')
  if (after !== null) {
    if (page !== null) throw new Refusal(40000, '"page" cannot be combined with "after".', { field: 'page' })
    const comma = after.indexOf(',')
    if (comma < 0) throw badField('after', '"after" is a time and an id, joined by a comma.')
    const start: [string, string] = [utcTime(after.slice(0, comma), 'after'), after.slice(comma + 1)]
    const rest = sorted.filter((one) => compare(place(one), start) > 0)
    return { items: rest.slice(0, limit).map(show), pagination: { limit, hasMore: rest.length > limit } }
  }
  const number = wholeNumber(page ?? '1', 'page', 1_000_000)
  const items = sorted.slice((number - 1) * limit, number * limit)
  return {
    items: items.map(show),
    pagination: {
      limit,
      hasMore: sorted.length > number * limit,
      ...(page === null ? {} : { page: number, total: sorted.length }),
    },
  }
}

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function wholeNumber(text: string, field: string, maximum: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > maximum)
    throw badField(field, `"${field}" is a number from 1 to ${maximum}.`, { maximum })
  return value
}

/** As the world writes times: UTC with milliseconds. */
function utcTime(text: string, field: string): string {
  const valid = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text)
  const at = valid ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw badField(field, `"${field}" needs a date-time with offset, like 2026-03-01T08:00:00Z.`)
  return new Date(at).toISOString()
}

/* ---- writes ---- */

function readBody(request: SimulatedRequest): Record<string, unknown> {
  const type = String(request.headers['content-type'] ?? '')
  if (!/^application\/json(;\s*charset=utf-8)?$/i.test(type))
    throw new Refusal(41500, 'The content type must be application/json in UTF-8.')
  if (request.body.length > MAX_BODY_BYTES)
    throw new Refusal(41300, 'The body is too large.', { maximum: MAX_BODY_BYTES })
  let body: unknown
  try {
    body = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(request.body))
  } catch {
    throw new Refusal(40000, 'The body is not JSON in UTF-8.')
  }
  if (body === null || typeof body !== 'object' || Array.isArray(body))
    throw new Refusal(40000, 'The body is not a JSON object.')
  return body as Record<string, unknown>
}

type Check = (value: unknown, field: string) => void

const text =
  (maximum: number, pattern?: RegExp, hint = 'is not valid'): Check =>
  (value, field) => {
    if (typeof value !== 'string') throw badField(field, `"${field}" must be a text.`)
    if (!value.isWellFormed()) throw badField(field, `"${field}" holds half a character.`)
    if ([...value].length > maximum) throw badField(field, `"${field}" is too long.`, { maximum })
    if (pattern && !pattern.test(value)) throw badField(field, `"${field}" ${hint}.`)
  }
const oneOf =
  (values: readonly string[]): Check =>
  (value, field) => {
    if (!values.includes(value as string))
      throw badField(field, `"${field}" must be one of ${values.join(', ')}.`, { allowed: values })
  }
const EMAIL = text(200, /^$|^[^\s@]+@[^\s@]+$/, 'is not an e-mail address')
const NOT_BLANK = /\S/

function checkFields(
  value: unknown,
  checks: Readonly<Record<string, Check>>,
  at = '',
): asserts value is Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw badField(at, `"${at}" must be an object.`)
  for (const [name, inner] of Object.entries(value)) {
    const field = at ? `${at}.${name}` : name
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (!check) throw new Refusal(40000, `There is no field "${field}" that can be set.`, { field })
    check(inner, field)
  }
}

const ADDRESS: Readonly<Record<string, Check>> = {
  street: text(200),
  city: text(100),
  province: text(100),
  postalCode: text(20),
  country: text(2, /^([A-Z]{2})?$/, 'is not a country code'),
}
const CONTACT: Readonly<Record<string, Check>> = {
  name: text(100, NOT_BLANK, 'must not be blank'),
  title: text(100),
  phone: text(50),
  email: EMAIL,
  primary: (value, field) => {
    if (typeof value !== 'boolean') throw badField(field, `"${field}" must be true or false.`)
  },
}
const CUSTOMER: Readonly<Record<string, Check>> = {
  customerName: text(200, NOT_BLANK, 'must not be blank'),
  level: oneOf(LEVELS),
  industry: text(100),
  taxNumber: text(50),
  phone: text(50),
  email: EMAIL,
  address: (value, field) => checkFields(value, ADDRESS, field),
  contacts: (value, field) => {
    if (!Array.isArray(value)) throw badField(field, `"${field}" must be a list.`)
    if (value.length > 50) throw badField(field, `"${field}" is too long.`, { maximum: 50 })
    value.forEach((contact, index) => {
      const at = `${field}[${index}]`
      checkFields(contact, CONTACT, at)
      if (!('name' in contact)) throw badField(`${at}.name`, `"${at}.name" is needed.`)
    })
    if (value.filter((contact) => contact.primary).length > 1)
      throw badField(field, 'Only one contact can be the primary one.')
  },
}

function updateCustomer(world: World, id: string, request: SimulatedRequest): SimulatedResponse {
  refuseParameters(request)
  const customer = findCustomer(world, id)
  const body = readBody(request)
  actorOf(request)
  checkFields(body, CUSTOMER)
  if (Object.keys(body).length === 0) throw new Refusal(40001, 'Nothing is to be changed.')
  const expected = request.headers['if-match']
  if (expected !== undefined) {
    if (!/^"\d+"$/.test(expected)) throw badField('If-Match', 'If-Match is a revision in quotes.')
    if (expected !== `"${customer.revision}"`) {
      const details = { currentRevision: customer.revision }
      throw new Refusal(41200, 'The customer was changed by somebody else.', details)
    }
  }
  const changed = changedCustomer(customer, body)
  // Setting what is set already is no change, has no revision and is not announced.
  const isChange = JSON.stringify(showCustomer(changed)) !== JSON.stringify(showCustomer(customer))
  const after = isChange ? { ...changed, revision: customer.revision + 1, updatedAt: nowText() } : customer
  if (isChange) world.put('crmCustomers', after)
  return succeed(showCustomer(after), 200, { etag: `"${after.revision}"` })
}

/** The body has passed `checkFields`. */
function changedCustomer(customer: CrmCustomer, body: Record<string, unknown>): CrmCustomer {
  const { customerName, contacts, address, ...rest } = body as {
    customerName?: string
    contacts?: Partial<CrmCustomer['contacts'][number]>[]
    address?: Partial<CrmCustomer['address']>
  }
  return {
    ...customer,
    ...rest,
    ...(customerName === undefined ? {} : { name: customerName }),
    ...(address === undefined ? {} : { address: { ...customer.address, ...address } }),
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

const OPPORTUNITY: Readonly<Record<string, Check>> = {
  name: text(200, NOT_BLANK, 'must not be blank'),
  customerId: text(64, /^[A-Za-z0-9_-]+$/, 'is not an id'),
  stage: oneOf(STAGES),
  amount: text(20, /^(0|[1-9]\d{0,14})(\.\d{1,2})?$/, 'must be a decimal number, not negative, as text'),
  currency: text(3, /^[A-Z]{3}$/, 'is not a currency code'),
  closeDate: (value, field) => {
    text(10, /^\d{4}-\d\d-\d\d$/, 'must be a day like 2026-03-01')(value, field)
    const day = new Date(`${value}T00:00:00Z`)
    if (Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== value)
      throw badField(field, `"${field}" is no day of the calendar.`)
  },
  owner: text(100),
  externalRef: text(64, /^[A-Za-z0-9._:-]+$/, 'is not a reference'),
}
/** Currencies without a smaller unit. */
const NO_DECIMALS = ['JPY', 'KRW', 'VND']

function createOpportunity(world: World, request: SimulatedRequest): SimulatedResponse {
  refuseParameters(request)
  const body = readBody(request)
  const actor = actorOf(request)
  checkFields(body, OPPORTUNITY)
  const given = body as Readonly<Record<string, string | undefined>>
  for (const field of ['name', 'customerId']) {
    if (given[field] === undefined) throw badField(field, `"${field}" is needed.`)
  }
  const { name = '', customerId = '', stage = 'PROSPECTING', amount, currency, externalRef } = given
  // Said first, so that repeating a request gives the same answer whatever became of its customer since.
  const earlier = externalRef === undefined ? undefined : byReference(world, externalRef)
  if (earlier) {
    const details = { field: 'externalRef', opportunityId: earlier.id }
    throw new Refusal(40901, 'Another opportunity has this external reference.', details)
  }
  if (!world.get('crmCustomers', customerId))
    throw badField('customerId', 'There is no such customer.', { customerId })
  if ((amount === undefined) !== (currency === undefined))
    throw badField(amount === undefined ? 'amount' : 'currency', 'Amount and currency go together.')
  if (currency && NO_DECIMALS.includes(currency) && amount?.includes('.'))
    throw badField('amount', `Amounts in ${currency} have no decimals.`, { currency })
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
    createdAt: now,
    updatedAt: now,
  }
  world.put('crmOpportunities', opportunity)
  return succeed(showOpportunity(opportunity), 201, { location: `/api/opportunities/${opportunity.id}` })
}

/** For whom the caller writes. */
function actorOf(request: SimulatedRequest): string | undefined {
  const header = request.headers['x-on-behalf-of']
  if (header === undefined) return undefined
  try {
    return decodeURIComponent(String(header))
  } catch {
    throw badField('X-On-Behalf-Of', 'X-On-Behalf-Of is not percent-encoded UTF-8.')
  }
}

/* ---- webhooks ---- */

interface CrmEvent {
  readonly id: string
  readonly body: string
}

function startPostman(world: World, webhook: NonNullable<RestCrmSimulatorOptions['webhook']>) {
  const pauses = webhook.retryDelaysMs ?? [200, 800, 3_200]
  const stopped = new AbortController()
  let last: CrmEvent | undefined

  const attempt = async ({ id, body }: CrmEvent): Promise<boolean> => {
    const url = typeof webhook.url === 'string' ? webhook.url : webhook.url()
    const seconds = String(Math.floor(Date.now() / 1000))
    const key = webhook.secret.startsWith('whsec_')
      ? Buffer.from(webhook.secret.slice('whsec_'.length), 'base64')
      : webhook.secret
    const mac = createHmac('sha256', key).update([id, seconds, body].join('.')).digest('base64')
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        ...JSON_TYPE,
        'webhook-id': id,
        'webhook-timestamp': seconds,
        'webhook-signature': `v1,${mac}`,
      },
      body,
      signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(5_000)]),
    })
    await response.arrayBuffer()
    return response.ok
  }

  /** Ends after the last pause: a receiver that was away longer finds the changes by asking. */
  const deliver = async (event: CrmEvent): Promise<void> => {
    for (const pause of [...pauses, null]) {
      if (await attempt(event).catch(() => false)) return
      if (pause === null || stopped.signal.aborted) return
      await delay(pause, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined)
    }
  }

  const stopListening = world.onChange((change) => {
    const event = eventOf(change)
    if (!event) return
    last = event
    void deliver(event)
  })

  return {
    async resendLast(): Promise<boolean> {
      if (!last) return false
      await deliver(last)
      return true
    },
    stop() {
      stopListening()
      stopped.abort()
    },
  }
}

function eventOf(change: WorldChange): CrmEvent | undefined {
  const { collection } = change
  if (collection !== 'crmCustomers' && collection !== 'crmOpportunities') return undefined
  const show = (entity: WorldChange['entity'] | undefined): { readonly [name: string]: Json } => {
    if (!entity) return {}
    return collection === 'crmCustomers'
      ? showCustomer(entity as CrmCustomer)
      : showOpportunity(entity as CrmOpportunity)
  }
  const [before, after] = [show(change.before), show(change.entity)]
  const changes: Record<string, Json> = {}
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
