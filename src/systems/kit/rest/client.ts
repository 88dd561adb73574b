/**
 * The wire of systems with a JSON REST interface: who we are, the envelope around every answer, pages, and what each
 * ending means.
 */
import { z } from 'zod'
import type { Log } from '../../../observe/log.ts'
import { outcomeOf, type Rejection, SourceError, type SourceFailure } from '../../failure.ts'
import type { CallContext, VendorRequest } from '../../port.ts'
import type { Key } from '../../records.ts'
import { createHttpClient, type HttpAnswer, type HttpClient, type HttpRequest, unavailable } from '../http.ts'
import { jsonNumber, parseJson } from '../json.ts'
import { signatureOf } from '../signature.ts'
import { createTokens } from '../tokens.ts'
import { fieldOf, fieldText } from './fields.ts'
import type { RestAuth } from './settings.ts'

/** The contracts' code for an external reference that another document already has. */
export const CODE_DUPLICATE_REFERENCE = '40901'

/** Longer messages of a system are cut. */
const MAX_MESSAGE = 500

export interface RestClientOptions {
  /** What the system is, in messages: `CRM`, `WMS`. */
  readonly called: string
  readonly baseUrl: string
  readonly verifyCertificate: boolean
  readonly auth: RestAuth
  readonly timeoutMs: number
  readonly log: Log
  /** Default `coded`. */
  readonly envelope?: EnvelopeStyle
  /** Where a page has its records; `.`: the list stands there by itself. */
  readonly listItems: string
  /** Our name of a query parameter, and the system's where that is another. */
  readonly parameters: Readonly<Partial<Record<string, string>>>
  /** Codes that say that a period is closed. */
  readonly periodClosedCodes?: readonly string[]
}

/**
 * What stands around the data: `coded` is `{code, message, data, timestamp, details}` of seed 001, where only 0 is
 * success; `success` is `{success, data, error: {code, message, details}}` of seed 002; `none`: the body is the data.
 */
export type EnvelopeStyle = 'coded' | 'success' | 'none'

export interface RestAnswer {
  readonly data: unknown
  /** The same to be sent back: numbers stay JSON numbers with all their digits, where `data` has them as text. */
  verbatim(): unknown
  /** The system's clock when it answered, milliseconds since 1970, where it says so. */
  readonly at: number | null
}

export interface RestPage {
  readonly items: readonly unknown[]
  readonly hasMore: boolean
  /** The page is short, and nothing says whether it is the last: the system may give less than it is asked for. */
  readonly unsaid: boolean
  readonly at: number | null
}

/** What became of a write. */
export interface RestWritten {
  /** Undefined where the answer has no body. */
  readonly data: unknown
  /** Key of what was made, where the header `Location` names it. */
  readonly located: Key | undefined
}

export type Query = Readonly<Record<string, string>>

export interface RestClient {
  readonly called: string
  /** @throws SourceError */
  get(path: string, query: Query, context: CallContext): Promise<RestAnswer>
  /** @throws SourceError */
  getPage(path: string, query: Query, context: CallContext): Promise<RestPage>
  /** @throws SourceError `unknown-outcome` unless the answer can be read or nothing was sent */
  write(request: VendorRequest, context: CallContext): Promise<RestWritten>
  close(): void
}

/** A refusal, with the HTTP status that it has or stands for. */
export class RestRefusal extends SourceError {
  readonly status: number
  constructor(failure: SourceFailure, status: number) {
    super(failure)
    this.status = status
  }
}

/** Query parameters; those without a value are left out. */
export const queryOf = (parameters: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).filter((entry): entry is [string, string] => !!entry[1]))

export const broken = (path: string, what: string): SourceFailure => ({
  kind: 'invalid-response',
  detail: `GET ${path}: ${what}`,
})

const counted = z.string().regex(/^\d+$/).nullish().catch(undefined)

const paginationSchema = z.looseObject({
  hasMore: z.boolean().nullish().catch(undefined),
  page: counted,
  limit: counted,
  total: counted,
})

type Pagination = z.infer<typeof paginationSchema>

/** Whether more follows, where the system says so; else by its total; else it is asked until a page comes back short. */
function hasMoreOf(count: number, { hasMore, page, limit, total }: Pagination, query: Query): boolean {
  if (typeof hasMore === 'boolean') return hasMore
  // A system may give less than it is asked for; one that gives more does not cut its lists.
  const size = Number(limit ?? query.limit ?? Number.POSITIVE_INFINITY)
  const number = page ?? query.page
  if (total && number && Number.isFinite(size)) return Number(number) * size < Number(total)
  return count > 0 && count === size
}

/** @throws SourceError `invalid-response` */
export function shaped<T>(schema: z.ZodType<T>, data: unknown, path: string): T {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new SourceError(broken(path, z.prettifyError(parsed.error).replaceAll(/\s+/g, ' ')))
}

export function createRestClient(options: RestClientOptions): RestClient {
  const { called, log } = options
  const http = createHttpClient(options)
  const credentials = credentialsOf(options.auth, http)
  const readEnvelope = envelopeReader(options.envelope ?? 'coded')
  /** The system's words, fit for a screen: no credentials that it echoes, one line, not a whole page. */
  const clean = (text: string) =>
    credentials
      .secrets()
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  /** A token that was refused has done nothing: once, another is fetched. */
  const ask = async (request: HttpRequest) => {
    for (let attempt = 1; ; attempt++) {
      const proof = await credentials.headers(request.body ?? '', request.signal)
      const headers = { accept: 'application/json', ...request.headers, ...proof }
      const answer = await http.request({ ...request, headers })
      const envelope = readEnvelope(answer, request.writes)
      const status = statusOf(answer, envelope)
      const isRefused = status === 401
      const renewed = credentials.judged?.(proof, isRefused) ?? false
      if (!isRefused || !renewed || attempt > 1) return { answer, envelope, status }
    }
  }

  const exchange = async (request: HttpRequest): Promise<RestAnswer & { readonly answer: HttpAnswer }> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    const { answer, envelope, status } = await ask(request)
    if (envelope?.success && answer.status >= 200 && answer.status < 300) {
      const enveloped = (options.envelope ?? 'coded') !== 'none'
      return {
        answer,
        data: envelope.data,
        verbatim: () => {
          const body = JSON.parse(answer.text, keepNumbers) as { readonly data?: unknown }
          return enveloped ? body.data : body
        },
        at: envelope.at ?? clockOf(answer),
      }
    }
    const failure = failureOf({
      what,
      writes: request.writes,
      status,
      answer,
      said: envelope,
      clean,
      ...options,
    })
    const { kind } = failure
    const code = envelope && clean(envelope.code)
    log.debug({ what, status: answer.status, code, failure: kind }, `the ${called} said no`)
    throw new RestRefusal(failure, status)
  }

  const get: RestClient['get'] = (path, query, context) => {
    const parameters = new URLSearchParams(
      Object.entries(query).map(([ours, value]): [string, string] => [
        options.parameters[ours] ?? ours,
        value,
      ]),
    ).toString()
    return exchange({
      method: 'GET',
      path: parameters ? `${path}?${parameters}` : path,
      signal: context.signal,
      writes: false,
    })
  }

  return {
    called,
    get,
    async getPage(path, query, context) {
      const page = await outcomeOf(() => get(path, query, context))
      if (!page.ok) {
        // No record is missing here: the list itself is.
        if (page.failure.kind !== 'not-found') throw new SourceError(page.failure)
        throw new SourceError(broken(path, `there is no such list (${page.failure.message})`))
      }
      const { data, at } = page.value
      const items = options.listItems === '.' ? data : fieldOf(data, options.listItems)
      if (!Array.isArray(items)) {
        const where =
          options.listItems === '.' ? 'the answer is no list' : `no list at "${options.listItems}"`
        throw new SourceError(broken(path, `${where}; the setting listItems says where it is`))
      }
      // Beside the records or a level deeper; a list by itself has nothing.
      const around = paginationSchema.safeParse(fieldOf(data, 'pagination') ?? data)
      const { hasMore, total, limit } = around.data ?? {}
      const told = typeof hasMore === 'boolean' || total || limit
      const unsaid = !told && items.length > 0 && items.length < Number(query.limit)
      return { items, hasMore: hasMoreOf(items.length, around.data ?? {}, query), unsaid, at }
    },
    async write(request, context) {
      const { data, answer } = await exchange({
        method: request.method as 'POST' | 'PUT' | 'DELETE',
        path: request.path,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal: context.signal,
        writes: true,
      })
      return { data, located: locatedIn(answer) }
    },
    close: () => http.close(),
  }
}

const keepNumbers = ((_: string, value: unknown, context?: { readonly source?: string }) =>
  typeof value === 'number' ? jsonNumber(context?.source ?? String(value)) : value) as (
  key: string,
  value: unknown,
) => unknown

/** Envelopes without a time: the header `Date` tells it, to the second. */
function clockOf({ headers: { date } }: HttpAnswer): number | null {
  const at = typeof date === 'string' ? Date.parse(date) : Number.NaN
  return Number.isNaN(at) ? null : at
}

/** The last part of the address at which a new record is. */
function locatedIn({ status, headers: { location } }: HttpAnswer): Key | undefined {
  if (status !== 201 || typeof location !== 'string') return undefined
  const [, last] = /([^/?#]+)\/?(?:[?#].*)?$/.exec(location) ?? []
  try {
    return last === undefined ? undefined : decodeURIComponent(last)
  } catch {
    return undefined
  }
}

/* ---- who we are ---- */

type Headers = Readonly<Record<string, string>>

interface Credentials {
  /** The headers that prove who we are. @throws SourceError where a login fails */
  headers(body: string, signal: AbortSignal | undefined): Headers | Promise<Headers>
  /** Every text in them that must never be shown. */
  secrets(): readonly string[]
  /** Told how the proof was taken. @returns Whether another one can be had. */
  judged?(proof: Headers, isRefused: boolean): boolean
}

function credentialsOf(auth: RestAuth, http: HttpClient): Credentials {
  switch (auth.type) {
    case 'bearer':
      return { headers: () => ({ authorization: `Bearer ${auth.token}` }), secrets: () => [auth.token] }
    case 'basic': {
      const encoded = Buffer.from(`${auth.username}:${auth.password}`, 'utf8').toString('base64')
      return {
        headers: () => ({ authorization: `Basic ${encoded}` }),
        secrets: () => [encoded, auth.password],
      }
    }
    case 'apiKey':
      return { headers: () => ({ [auth.header.toLowerCase()]: auth.key }), secrets: () => [auth.key] }
    case 'login':
      return loginCredentials(auth, http)
    case 'signature':
      return {
        headers(body) {
          const timestamp = String(Date.now())
          return {
            authorization: `ApiKey ${auth.apiKey}`,
            'x-timestamp': timestamp,
            'x-signature': signatureOf(timestamp, auth.apiKey, body, auth.secret),
          }
        },
        secrets: () => [auth.secret, auth.apiKey],
      }
  }
}

/** A token that says nothing of its end is used until it is refused. */
const NEVER = Number.MAX_SAFE_INTEGER
/** A token that ends while a request is under way would be refused. */
const EARLY_MS = 5_000

function loginCredentials(auth: Extract<RestAuth, { type: 'login' }>, http: HttpClient): Credentials {
  let current = ''
  const tokens = createTokens(async () => {
    const what = `POST ${auth.path}`
    const answer = await http.request({
      method: 'POST',
      path: auth.path,
      headers: { accept: 'application/json', 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify({ [auth.usernameField]: auth.username, [auth.passwordField]: auth.password }),
      // Asked for a second time it only gives another token.
      writes: false,
    })
    const detail = `${what}: HTTP ${answer.status}`
    if (answer.status === 429) throw new SourceError(unavailable('rate-limited', detail, answer))
    if (answer.status >= 500) throw new SourceError(unavailable('overloaded', detail, answer))
    // Neither the answer nor its words: they may repeat the password.
    if (answer.status >= 400) throw new SourceError({ kind: 'unauthorized', detail })
    const body = parseJson(answer.text, what)
    const id = fieldText(body, auth.tokenField) ?? fieldText(body, `data.${auth.tokenField}`)
    if (id === undefined || !/^[!-~]+$/.test(id)) {
      // Some say 200 to a wrong password.
      throw new SourceError({ kind: 'unauthorized', detail: `${detail}, without "${auth.tokenField}"` })
    }
    current = id
    const ends = fieldText(body, auth.expiryField) ?? fieldText(body, `data.${auth.expiryField}`)
    return { id, endsAt: endOf(ends) - EARLY_MS }
  })
  return {
    headers: async (_, signal) => ({ authorization: `Bearer ${await tokens.get(signal)}` }),
    secrets: () => (current === '' ? [auth.password] : [auth.password, current]),
    judged({ authorization = '' }, isRefused) {
      const id = authorization.slice('Bearer '.length)
      if (!isRefused) tokens.proven(id)
      else tokens.refused(id, { kind: 'unauthorized', detail: 'the token is refused as soon as it is given' })
      return true
    },
  }
}

/** Milliseconds since 1970. */
function endOf(text: string | undefined): number {
  if (text === undefined) return NEVER
  if (!/^\d+$/.test(text)) return Number.isNaN(Date.parse(text)) ? NEVER : Date.parse(text)
  const value = Number(text)
  // What is too small for a moment of this century is a number of seconds, or a moment in seconds.
  if (value > 100_000_000_000) return value
  return value > 1_000_000_000 ? value * 1_000 : Date.now() + value * 1_000
}

/* ---- envelopes ---- */

interface Envelope {
  /** Null where the answer does not say. */
  readonly success: boolean | null
  /** Empty where the system has no codes. */
  readonly code: string
  /** A word of seed 002 §8.1, or whatever stands there. */
  readonly sort?: string | undefined
  readonly message?: string | null | undefined
  readonly data: unknown
  readonly details?: Readonly<Record<string, unknown>> | null | undefined
  readonly at?: number | undefined
}

const details = z.record(z.string(), z.unknown()).nullish().catch(undefined)
const said = z.string().nullish().catch(undefined)
/** One text, or several: what a validation found. */
const words = z
  .union([z.string(), z.array(z.string()).transform((all) => all.join('; '))])
  .nullish()
  .catch(undefined)
const milliseconds = z.string().regex(/^\d+$/).nullish()

// Numbers arrive as decimal text, see parseJson.
const envelopes = {
  coded: z
    .looseObject({
      code: z.string().regex(/^\d+$/),
      message: z.string().nullish(),
      data: z.unknown().optional(),
      timestamp: milliseconds,
      details,
    })
    .transform(
      ({ code, message, data, timestamp, details }): Envelope => ({
        success: /^0+$/.test(code),
        code,
        message,
        data,
        details,
        ...(timestamp ? { at: Number(timestamp) } : {}),
      }),
    ),
  success: z
    .looseObject({
      success: z.boolean().nullish(),
      data: z.unknown().optional(),
      timestamp: z.string().nullish().catch(undefined),
      // The seed does not say how a refusal looks: an object, a text, or members beside `success`.
      error: z
        .union([
          z.looseObject({ code: said, type: said, message: words, details }),
          z.string().transform((text) => ({ text, code: undefined, type: undefined, message: undefined })),
        ])
        .nullish()
        .catch(undefined),
      code: said,
      type: said,
      message: words,
      details,
    })
    .transform(
      ({ success, data, error, code, type, message, details, timestamp }): Envelope => ({
        success: success ?? null,
        code: error?.code ?? code ?? error?.type ?? type ?? '',
        sort: (error?.type ?? type ?? error?.code ?? code)?.toLowerCase(),
        // A framework writes `{status, error: "Bad Request", message}`: the message says more.
        message: error?.message ?? message ?? (error && 'text' in error ? String(error.text) : undefined),
        data,
        details: (error && 'details' in error ? error.details : undefined) ?? details,
        ...timeOf(timestamp),
      }),
    ),
}

const timeOf = (text: string | null | undefined): { at?: number } => {
  if (!text) return {}
  const at = /^\d+$/.test(text) ? Number(text) : Date.parse(text)
  return Number.isNaN(at) ? {} : { at }
}

function envelopeReader(style: EnvelopeStyle): (answer: HttpAnswer, writes: boolean) => Envelope | null {
  return (answer, writes) => {
    // Nothing more is to be said of a write that is done.
    const { 'content-type': type = '' } = answer.headers
    const plain = answer.text.trim() === '' || /^text\/plain\b/i.test(String(type))
    const silent = answer.status === 204 || (style === 'none' && plain)
    if (writes && silent && answer.status >= 200 && answer.status < 300) {
      return { success: true, code: '', data: undefined }
    }
    let body: unknown
    try {
      body = parseJson(answer.text, 'answer')
    } catch (error) {
      if (error instanceof SourceError) return null
      throw error
    }
    if (style === 'none' && answer.status < 400) return { success: true, code: '', data: body }
    const parsed = envelopes[style === 'none' ? 'success' : style].safeParse(body)
    if (!parsed.success) return null
    // A refusal says what it is by its status; a success without its envelope is something else.
    return parsed.data.success === null && answer.status < 400 ? null : parsed.data
  }
}

/* ---- endings ---- */

/** The kinds of error of seed 002 §8.1, as the HTTP status that means the same. */
const SORTS: Readonly<Record<string, number>> = {
  authentication_error: 401,
  authorization_error: 403,
  // Behind the system: what became of a write nobody knows.
  network_error: 502,
  timeout_error: 504,
  validation_error: 400,
  business_logic_error: 400,
  rate_limit_error: 429,
  unknown_error: 500,
}

/**
 * The HTTP status; a system that says 200 to everything is judged by its code, whose first three digits are one, or by
 * the seed's word.
 */
function statusOf(answer: HttpAnswer, envelope: Envelope | null): number {
  if (!envelope || envelope.success === true) return answer.status
  const sort =
    envelope.sort !== undefined && Object.hasOwn(SORTS, envelope.sort) ? SORTS[envelope.sort] : undefined
  if (sort !== undefined && (answer.status < 400 || answer.status === 400 || answer.status === 500))
    return sort
  if (answer.status >= 400 || !/^[45]\d\d(\d\d)?$/.test(envelope.code)) return answer.status
  return Number(envelope.code.slice(0, 3))
}

interface Ending {
  readonly what: string
  readonly called: string
  readonly writes: boolean
  readonly status: number
  readonly answer: HttpAnswer
  readonly said: Envelope | null
  readonly clean: (text: string) => string
  readonly periodClosedCodes?: readonly string[]
}

/** What an answer that is no success means. */
function failureOf(ending: Ending): SourceFailure {
  const { what, called, writes, status, answer, said: envelope, clean } = ending
  const beginning = () => clean(answer.text.slice(0, 2_000)).slice(0, 40)
  const says = envelope
    ? `code ${clean(envelope.code) || 'none'}`
    : `no envelope, starts with "${beginning()}"`
  const detail = `${what}: HTTP ${answer.status}, ${says}`

  if (envelope?.code === '40101') {
    return { kind: 'unauthorized', detail: `${detail}: the clocks of gateway and ${called} differ too much` }
  }
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status === 429) return unavailable('rate-limited', detail, answer)
  // The contracts promise that 503 with an envelope did nothing; a proxy's 503 promises nothing.
  if (status === 503 && (envelope || !writes)) return unavailable('overloaded', detail, answer)
  if (status >= 500 || status === 408) {
    return writes ? { kind: 'unknown-outcome', detail } : unavailable('overloaded', detail, answer)
  }
  // So do many frameworks say that there is no such record; a path that is wrong fails in lists, too.
  if (!envelope && status === 404 && /^(\{.*\})?$/s.test(answer.text.trim())) {
    return { kind: 'not-found', message: `The ${called} has nothing there.` }
  }
  if (!envelope) {
    // Below 400 the write may well have been done by whatever stands behind the page that came back.
    if (writes && status < 400) return { kind: 'unknown-outcome', detail }
    return { kind: 'invalid-response', detail }
  }
  const rejection = rejectionOf(envelope, ending)
  // 40400 is a path that the system does not have: a matter of configuration, not a missing record.
  if (status === 404 && envelope.code === '40400') return { kind: 'invalid-response', detail }
  if (status === 404) return { kind: 'not-found', message: rejection.message }
  const currentVersion = envelope.details?.currentRevision
  if (status === 412 || (status === 409 && typeof currentVersion === 'string')) {
    return {
      kind: 'conflict',
      message: rejection.message,
      ...(typeof currentVersion === 'string' ? { currentVersion: clean(currentVersion) } : {}),
    }
  }
  return rejection
}

/** With the line, the field and the details (required 10, available 5) that the system names. */
function rejectionOf(
  envelope: Envelope,
  { called, status, clean, periodClosedCodes = [] }: Ending,
): Rejection {
  const details: Record<string, string | number | boolean | null> = {}
  for (const [given, value] of Object.entries(envelope.details ?? {}).slice(0, 20)) {
    const name = clean(given)
    if (value === null || typeof value === 'boolean') details[name] = value
    else if (typeof value === 'string') details[name] = clean(value)
  }
  const { field, line } = details
  const code = clean(envelope.code) || String(status)
  return {
    kind: 'rejected',
    code,
    message: clean(envelope.message ?? '') || `The ${called} answered with code ${code}.`,
    ...(periodClosedCodes.includes(code) ? { reason: 'period-closed' as const } : {}),
    ...(typeof line === 'string' ? { line } : {}),
    ...(typeof field === 'string' ? { field } : {}),
    ...(Object.keys(details).length === 0 ? {} : { details }),
  }
}
