/**
 * A Salesforce org over the customers and opportunities of the world: tokens, SOQL that it reads itself, records,
 * composite requests and change events. Refuses what the vendor refuses. Shares no code with the adapter.
 */
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import type { World } from '../../simulation/world.ts'
import { createEvents, type SimulatedEvents } from './simulator-events.ts'
import { accountId, checkFields, opportunityId, SimulatedOrg } from './simulator-org.ts'
import { fullId, parse, type Record_, Refusal, type Value } from './simulator-soql.ts'

export interface SalesforceSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly clientId: string
  readonly clientSecret?: string
  readonly refreshToken?: string
  /** The user and the public key (PEM) for JWT bearer. */
  readonly jwt?: { readonly username: string; readonly publicKey: string; readonly audience: string }
  /** Rows in a page at most: the size that a client asks for is only a hint. */
  readonly pageSize?: number
  /** The org has one currency, and records no CurrencyIsoCode. */
  readonly singleCurrency?: boolean
  /** How long an empty poll for events stays open. Default 20 seconds. */
  readonly pollMs?: number
  readonly channel?: string
  /** Calls allowed; default any number. */
  readonly quota?: number
}

export interface SalesforceSimulator extends Simulator {
  readonly events: SimulatedEvents
  readonly org: SimulatedOrg
  /** Every token given so far is refused from now on. */
  endSessions(): void
  setQuota(calls: number): void
  accountId(worldId: string): string
  opportunityId(worldId: string): string
}

const VERSION = 'v61.0'
const MAX_ADDRESS = 16_384
const MAX_SUBREQUESTS = 25
const MAX_SUBQUERIES = 5

export async function startSalesforceSimulator(
  world: World,
  options: SalesforceSimulatorOptions,
): Promise<SalesforceSimulator> {
  const org = new SimulatedOrg(world, options.singleCurrency ?? false)
  const events = createEvents(options.channel ?? '/data/ChangeEvents', options.pollMs ?? 20_000)
  org.onEvent(events.publish)
  const tokens = new Set<string>()
  const cursors = new Map<string, readonly object[]>()
  let quota = options.quota ?? Number.POSITIVE_INFINITY
  let used = 0

  const isKnown = (request: SimulatedRequest) =>
    tokens.has(/^Bearer (\S+)$/.exec(String(request.headers.authorization ?? ''))?.[1] ?? '')

  /* ---- queries ---- */

  const show = (object: string, row: Record_, fields: readonly string[]): object => {
    const shown: Record<string, unknown> = {
      attributes: { type: object, url: `/services/data/${VERSION}/sobjects/${object}/${row.Id}` },
    }
    for (const field of fields) {
      const value = row[field] ?? null
      const [relation, inner] = field.split('.')
      if (inner !== undefined) {
        shown[relation as string] = value === null ? null : { attributes: { type: 'User' }, [inner]: value }
      } else if (org.typeOf(object, field) === 'datetime' && typeof value === 'string') {
        shown[field] = value.replace('Z', '+0000')
      } else shown[field] = value
    }
    return shown
  }

  const page = (rows: readonly object[], size: number, total: number): object => {
    const records = rows.slice(0, size)
    if (rows.length <= size) return { totalSize: total, done: true, records }
    const cursor = `01g5gK${randomBytes(6).toString('hex')}-${size}`
    cursors.set(cursor, rows.slice(size))
    const nextRecordsUrl = `/services/data/${VERSION}/query/${cursor}`
    return { totalSize: total, done: false, nextRecordsUrl, records }
  }

  const sizeOf = (hint: unknown): number => {
    const asked = /^batchSize=(\d+)$/.exec(String(hint ?? ''))?.[1]
    if (hint !== undefined && asked === undefined) {
      throw new Refusal(400, 'INVALID_FIELD', 'Sforce-Query-Options: batchSize=N')
    }
    return Math.min(options.pageSize ?? 2_000, Math.max(200, Math.min(2_000, Number(asked ?? 2_000))))
  }

  const query = (text: string | null, deleted: boolean, hint: unknown): object => {
    if (text === null) throw new Refusal(400, 'MALFORMED_QUERY', 'SOQL statements cannot be empty or null')
    const statement = parse(text, org)
    const rows = org
      .rows(statement.object)
      .filter((row) => (deleted || row.IsDeleted !== true) && statement.matches(row))
      .sort(statement.compare)
      .slice(0, statement.limit)
      .map((row) => show(statement.object, row, statement.fields))
    return page(rows, sizeOf(hint), rows.length)
  }

  /* ---- records ---- */

  const bodyOf = (headers: SimulatedRequest['headers'], body: Buffer): Record<string, unknown> => {
    if (!/^application\/json(?:;|$)/.test(String(headers['content-type'] ?? ''))) {
      throw new Refusal(415, 'UNSUPPORTED_MEDIA_TYPE', 'Content-Type must be application/json')
    }
    try {
      const parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
      if (parsed && typeof parsed === 'object' && !Array.isArray(parsed)) return parsed
    } catch {
      // below
    }
    throw new Refusal(400, 'JSON_PARSER_ERROR', 'The HTTP entity body is required, and must be a JSON object')
  }

  const patch = (object: string, given: string, request: SimulatedRequest): SimulatedResponse => {
    const id = fullId(given)
    const row = id === null ? undefined : org.find(object, id)
    if (!row || id === null) {
      throw new Refusal(404, 'NOT_FOUND', 'Provided external ID field does not exist or is not accessible')
    }
    checkCondition(row, request.headers['if-unmodified-since'])
    const fields = bodyOf(request.headers, request.body)
    if (Object.keys(fields).length === 0)
      throw new Refusal(400, 'JSON_PARSER_ERROR', 'There is nothing to change')
    checkFields(org, object, fields, false)
    org.update(object, id, fields as Record<string, Value>)
    return { status: 204 }
  }

  const upsert = (
    object: string,
    field: string,
    value: string,
    request: SimulatedRequest,
  ): SimulatedResponse => {
    const known = org.fieldsOf(object) ?? {}
    if (!Object.hasOwn(known, field) || !known[field]?.externalId) {
      throw new Refusal(
        404,
        'NOT_FOUND',
        `Provided external ID field does not exist or is not accessible: ${field}`,
      )
    }
    const fields = bodyOf(request.headers, request.body)
    if (Object.hasOwn(fields, field)) {
      throw new Refusal(
        400,
        'INVALID_FIELD',
        `The ${field} field should not be specified in the sobject data.`,
      )
    }
    if (value.length > (known[field]?.length ?? 0)) {
      throw new Refusal(400, 'STRING_TOO_LONG', `${field}: data value too large`, [field])
    }
    const found = org
      .rows(object)
      .filter(
        (row) => row.IsDeleted !== true && String(row[field] ?? '').toLowerCase() === value.toLowerCase(),
      )
    if (found.length > 1) {
      return json(
        300,
        found.map((row) => `/services/data/${VERSION}/sobjects/${object}/${row.Id}`),
      )
    }
    const [only] = found
    checkFields(org, object, fields, !only)
    if (only) {
      org.update(object, String(only.Id), fields as Record<string, Value>)
      return json(200, { id: only.Id, success: true, errors: [], created: false })
    }
    const id = org.create(object, { ...(fields as Record<string, Value>), [field]: value })
    return json(201, { id, success: true, errors: [], created: true })
  }

  const describe = (object: string): object => ({
    name: object,
    queryable: true,
    createable: true,
    updateable: true,
    fields: Object.entries(org.fieldsOf(object) ?? {}).map(([name, field]) => ({
      name,
      type: field.type,
      length: field.length ?? 0,
      createable: field.set !== undefined,
      updateable: field.set === 'always',
      nillable: !field.needed,
      defaultedOnCreate: field.set === undefined || field.type === 'boolean',
      externalId: field.externalId ?? false,
      unique: field.externalId ?? false,
      picklistValues: (field.values ?? []).map((value) => ({ value, label: value, active: true })),
    })),
  })

  /* ---- the ways in ---- */

  const resource = (
    path: string,
    parameters: URLSearchParams,
    request: SimulatedRequest,
  ): SimulatedResponse => {
    const [, rest] = /^\/services\/data\/v61\.0\/(.+)$/.exec(path) ?? []
    const parts = (rest ?? '').split('/').map(decodeURIComponent)
    const [what, object = '', third, fourth] = parts
    const hint = request.headers['sforce-query-options']
    const { method } = request
    if (method === 'GET' && (what === 'query' || what === 'queryAll')) {
      if (object === '') return json(200, query(parameters.get('q'), what === 'queryAll', hint))
      const rows = cursors.get(object)
      if (!rows) throw new Refusal(400, 'INVALID_QUERY_LOCATOR', 'invalid query locator')
      cursors.delete(object)
      return json(200, page(rows, sizeOf(hint), rows.length))
    }
    if (what === 'sobjects' && org.has(object)) {
      if (method === 'GET' && third === 'describe') return json(200, describe(object))
      if (method === 'PATCH' && third && fourth) return upsert(object, third, fourth, request)
      if (method === 'PATCH' && third) return patch(object, third, request)
    }
    throw new Refusal(404, 'NOT_FOUND', 'The requested resource does not exist')
  }

  /** An account and its contacts, all or none. */
  const insertAll = (list: readonly Record<string, unknown>[], allOrNone: unknown): SimulatedResponse => {
    if (allOrNone !== true) throw new Refusal(400, 'INVALID_INPUT', 'This org inserts all or none')
    const ids = new Map<unknown, string>()
    const check = ({ url, body }: Record<string, unknown>) => {
      const [, object = ''] =
        /^\/services\/data\/v61\.0\/sobjects\/(Account|Contact)$/.exec(String(url)) ?? []
      if (object === '') throw new Refusal(404, 'NOT_FOUND', 'The requested resource does not exist')
      const { AccountId, ...fields } = body as Record<string, unknown>
      checkFields(org, object, fields, true)
      if (object === 'Contact' && AccountId !== `@{${list[0]?.referenceId}.id}`) {
        throw new Refusal(400, 'INVALID_INPUT', 'Invalid reference specified')
      }
      const { Tributary_Ref__c: reference } = fields
      const isTaken =
        reference !== undefined && org.rows(object).some((row) => row.Tributary_Ref__c === reference)
      if (isTaken) throw new Refusal(400, 'DUPLICATE_VALUE', 'duplicate value found', ['Tributary_Ref__c'])
      return { object, fields: fields as Record<string, Value> }
    }
    const answers = list.map((part) =>
      answerOf(() => {
        check(part)
        return { status: 201 }
      }),
    )
    const isRefused = answers.some(({ status }) => status !== 201)
    const [account, ...contacts] = isRefused ? [] : list.map(check)
    if (account) {
      const id = org.create(account.object, account.fields)
      org.addContacts(
        id,
        contacts.map(({ fields }) => fields),
      )
      ids.set(list[0]?.referenceId, id)
    }
    const halted = [
      {
        errorCode: 'PROCESSING_HALTED',
        message: 'The transaction was rolled back since another operation failed.',
      },
    ]
    const compositeResponse = list.map(({ referenceId }, at) => {
      const made = {
        id: ids.get(referenceId) ?? fullId(`0035gK1${String(at).padStart(8, '0')}`),
        success: true,
        errors: [],
      }
      const refused = answers[at]?.status === 201 ? halted : JSON.parse(String(answers[at]?.body))
      return {
        body: isRefused ? refused : made,
        httpHeaders: {},
        httpStatusCode: isRefused ? 400 : 201,
        referenceId,
      }
    })
    return json(200, { compositeResponse })
  }

  /** An account and its contacts that are there, and contacts that are added: all or none. */
  const changeAll = (list: readonly Record<string, unknown>[], allOrNone: unknown): SimulatedResponse => {
    if (allOrNone !== true) throw new Refusal(400, 'INVALID_INPUT', 'This org changes all or none')
    const check = ({ method, url, body, httpHeaders }: Record<string, unknown>) => {
      const [, object = '', id] =
        /^\/services\/data\/v61\.0\/sobjects\/(Account|Contact)(?:\/(\w+))?$/.exec(String(url)) ?? []
      const isNew = method === 'POST'
      const row = id === undefined ? undefined : org.find(object, fullId(id) ?? '')
      if (object === '' || (isNew ? id !== undefined || object !== 'Contact' : !row || row.IsDeleted)) {
        throw new Refusal(404, 'NOT_FOUND', 'The requested resource does not exist')
      }
      const fields = body as Record<string, Value>
      checkFields(org, object, fields, isNew)
      if (row) checkCondition(row, Object(httpHeaders)['if-unmodified-since'])
      return { object, id, fields }
    }
    const answers = list.map((part) =>
      answerOf(() => {
        check(part)
        return { status: part.method === 'POST' ? 201 : 204 }
      }),
    )
    const isRefused = answers.some(({ status }) => status > 299)
    for (const { object, id, fields } of isRefused ? [] : list.map(check)) {
      if (id !== undefined) org.update(object, fullId(id) as string, fields)
      else org.addContacts(fullId(String(fields.AccountId)) as string, [fields])
    }
    const halted = [{ errorCode: 'PROCESSING_HALTED', message: 'The transaction was rolled back.' }]
    const compositeResponse = list.map(({ referenceId }, at) => {
      const { status = 400, body } = answers[at] ?? {}
      const said = status > 299 ? JSON.parse(String(body)) : isRefused ? halted : null
      return {
        body: said,
        httpHeaders: {},
        httpStatusCode: isRefused ? Math.max(status, 400) : status,
        referenceId,
      }
    })
    return json(200, { compositeResponse })
  }

  const composite = (request: SimulatedRequest): SimulatedResponse => {
    const body = bodyOf(request.headers, request.body)
    const list = body.compositeRequest
    if (!Array.isArray(list) || list.length === 0 || list.length > MAX_SUBREQUESTS) {
      throw new Refusal(400, 'INVALID_INPUT', `1 to ${MAX_SUBREQUESTS} subrequests`)
    }
    const isNewAccount = list.some(({ url }) => String(url).endsWith('/sobjects/Account'))
    if (isNewAccount) return insertAll(list, body.allOrNone)
    if (list.every(({ method }) => method !== 'GET')) return changeAll(list, body.allOrNone)
    if (list.length > MAX_SUBQUERIES) {
      throw new Refusal(
        400,
        'INVALID_INPUT',
        `No more than ${MAX_SUBQUERIES} queries in one composite request`,
      )
    }
    const references = new Set(list.map(({ referenceId }) => referenceId))
    if (references.size < list.length) throw new Refusal(400, 'INVALID_INPUT', 'Duplicate reference id')
    const compositeResponse = list.map(({ method, url: address, referenceId, httpHeaders = {} }) => {
      if (method !== 'GET')
        throw new Refusal(400, 'INVALID_INPUT', 'This org is only read by composite requests')
      const [path = '', parameters = ''] = String(address).split('?')
      const headers = Object.fromEntries(
        Object.entries(httpHeaders as Record<string, string>).map(([name, value]) => [
          name.toLowerCase(),
          value,
        ]),
      )
      const inner = { ...request, method, headers }
      const answer = answerOf(() => resource(path, new URLSearchParams(parameters), inner))
      return {
        body: JSON.parse(String(answer.body ?? 'null')),
        httpHeaders: {},
        httpStatusCode: answer.status,
        referenceId,
      }
    })
    return json(200, { compositeResponse })
  }

  const token = (request: SimulatedRequest): SimulatedResponse => {
    const form = new URLSearchParams(request.body.toString('utf8'))
    const refuse = (error: string, description: string) =>
      json(400, { error, error_description: description })
    if (request.method !== 'POST') return refuse('invalid_request', 'use POST')
    switch (form.get('grant_type')) {
      case 'client_credentials':
      case 'refresh_token': {
        if (form.get('client_id') !== options.clientId)
          return refuse('invalid_client_id', 'client identifier invalid')
        if (options.clientSecret !== undefined && form.get('client_secret') !== options.clientSecret) {
          return refuse('invalid_client', `invalid client credentials: ${form.get('client_secret')}`)
        }
        if (
          form.get('grant_type') === 'refresh_token' &&
          form.get('refresh_token') !== options.refreshToken
        ) {
          return refuse('invalid_grant', 'expired access/refresh token')
        }
        break
      }
      case 'urn:ietf:params:oauth:grant-type:jwt-bearer':
        if (!isAssertion(form.get('assertion') ?? '', options))
          return refuse('invalid_grant', 'invalid assertion')
        break
      default:
        return refuse('unsupported_grant_type', 'grant type not supported')
    }
    const access_token = `00D5gK000000001!${randomBytes(24).toString('base64url')}`
    tokens.add(access_token)
    const issued_at = String(Date.now())
    // Where the client has come in: the org's own address is known by no other name.
    const instance_url = `http://${request.headers.host}`
    return json(200, { access_token, instance_url, token_type: 'Bearer', issued_at, scope: 'api' })
  }

  const handle = async (request: SimulatedRequest): Promise<SimulatedResponse> => {
    if (request.path.length + request.rawQuery.length > MAX_ADDRESS) return { status: 414 }
    if (request.path === '/services/oauth2/token') return token(request)
    if (request.path === '/cometd/61.0' && request.method === 'POST') {
      return bayeux(events, request, isKnown(request))
    }
    if (!isKnown(request)) {
      return json(401, [{ message: 'Session expired or invalid', errorCode: 'INVALID_SESSION_ID' }])
    }
    if (used >= quota) {
      return json(403, [{ message: 'TotalRequests Limit exceeded.', errorCode: 'REQUEST_LIMIT_EXCEEDED' }])
    }
    used++
    const answer = answerOf(() =>
      request.path === `/services/data/${VERSION}/composite` && request.method === 'POST'
        ? composite(request)
        : resource(request.path, request.query, request),
    )
    const most = Number.isFinite(quota) ? quota : 5_000
    return { ...answer, headers: { ...answer.headers, 'sforce-limit-info': `api-usage=${used}/${most}` } }
  }

  const server = await startSimulatorServer({ ...(options.port ? { port: options.port } : {}), handle })
  return {
    url: server.url,
    events,
    org,
    accountId,
    opportunityId,
    get calls() {
      return server.calls
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    endSessions: () => tokens.clear(),
    setQuota(calls) {
      quota = calls
      used = 0
    },
    async close() {
      org.close()
      events.close()
      await server.close()
    },
  }
}

function checkCondition(row: Readonly<Record<string, unknown>>, condition: string | undefined): void {
  if (condition === undefined) return
  const at = Date.parse(condition)
  if (Number.isNaN(at)) throw new Refusal(400, 'INVALID_HEADER', 'If-Unmodified-Since is no HTTP date')
  if (Date.parse(String(row.LastModifiedDate)) > at) {
    throw new Refusal(412, 'PRECONDITION_FAILED', 'The record has been modified since the given date')
  }
}

const json = (status: number, body: unknown): SimulatedResponse => ({
  status,
  headers: { 'content-type': 'application/json;charset=UTF-8' },
  body: JSON.stringify(body),
})

function answerOf(work: () => SimulatedResponse): SimulatedResponse {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { code, message, fields } = error
    return json(error.status, [{ message, errorCode: code, ...(fields.length > 0 ? { fields } : {}) }])
  }
}

async function bayeux(
  events: SimulatedEvents,
  request: SimulatedRequest,
  isKnown: boolean,
): Promise<SimulatedResponse> {
  let list: unknown
  try {
    list = JSON.parse(request.body.toString('utf8'))
  } catch {
    return { status: 400 }
  }
  if (!Array.isArray(list) || list.length !== 1) return { status: 400 }
  const { messages, cookie } = await events.answer(list[0], String(request.headers.cookie ?? ''), isKnown)
  const answer = json(200, messages)
  return cookie
    ? { ...answer, headers: { ...answer.headers, 'set-cookie': `${cookie}; path=/; HttpOnly` } }
    : answer
}

function isAssertion(assertion: string, { clientId, jwt }: SalesforceSimulatorOptions): boolean {
  const [header, claims, signature] = assertion.split('.')
  if (!jwt || !header || !claims || !signature) return false
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
  if (read(header).alg !== 'RS256') return false
  const { iss, sub, aud, exp } = read(claims)
  const seconds = Date.now() / 1000
  return (
    verify(
      'sha256',
      Buffer.from(`${header}.${claims}`),
      createPublicKey(jwt.publicKey),
      Buffer.from(signature, 'base64url'),
    ) &&
    iss === clientId &&
    sub === jwt.username &&
    aud === jwt.audience &&
    exp > seconds &&
    exp <= seconds + 300
  )
}
