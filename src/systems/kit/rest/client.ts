/**
 * The wire of systems with a JSON REST interface: who we are, the envelope around every answer, pages, and what each
 * ending means.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Log } from '../../../observe/log.ts'
import { type Rejection, SourceError, type SourceFailure } from '../../failure.ts'
import type { CallContext, VendorRequest } from '../../port.ts'
import { createHttpClient, type HttpAnswer, type HttpRequest, retryAfterMs } from '../http.ts'
import { jsonNumber, parseJson } from '../json.ts'
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
  readonly at: number | null
}

export type Query = Readonly<Record<string, string>>

export interface RestClient {
  readonly called: string
  /** @throws SourceError */
  get(path: string, query: Query, context: CallContext): Promise<RestAnswer>
  /** @throws SourceError */
  getPage(path: string, query: Query, context: CallContext): Promise<RestPage>
  /** @returns `data`. @throws SourceError `unknown-outcome` unless the answer can be read or nothing was sent */
  write(request: VendorRequest, context: CallContext): Promise<unknown>
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

const pageSchema = z.looseObject({
  items: z.array(z.unknown()),
  pagination: z.looseObject({ hasMore: z.boolean() }).nullish(),
})

/** @throws SourceError `invalid-response` */
export function shaped<T>(schema: z.ZodType<T>, data: unknown, path: string): T {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new SourceError(broken(path, z.prettifyError(parsed.error).replaceAll(/\s+/g, ' ')))
}

export function createRestClient(options: RestClientOptions): RestClient {
  const { called, log } = options
  const http = createHttpClient(options)
  const credentials = credentialsOf(options.auth)
  const readEnvelope = envelopeReader(options.envelope ?? 'coded')
  /** The system's words, fit for a screen: no credentials that it echoes, one line, not a whole page. */
  const clean = (text: string) =>
    credentials.secrets
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  const exchange = async (request: HttpRequest): Promise<RestAnswer> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    const answer = await http.request({
      ...request,
      headers: { accept: 'application/json', ...request.headers, ...credentials.headers(request.body ?? '') },
    })
    const envelope = readEnvelope(answer)
    if (envelope?.success && answer.status >= 200 && answer.status < 300) {
      const enveloped = (options.envelope ?? 'coded') !== 'none'
      return {
        data: envelope.data,
        verbatim: () => {
          const body = JSON.parse(answer.text, keepNumbers) as { readonly data?: unknown }
          return enveloped ? body.data : body
        },
        at: envelope.at ?? clockOf(answer, options.envelope),
      }
    }
    const status = statusOf(answer, envelope)
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
    const parameters = new URLSearchParams(query).toString()
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
      const { data, at } = await get(path, query, context)
      const { items, pagination } = shaped(pageSchema, data, path)
      // A system that does not say whether more is there is asked until a page comes back short.
      const hasMore =
        pagination?.hasMore ?? (query.limit !== undefined && items.length >= Number(query.limit))
      return { items, hasMore, at }
    },
    async write(request, context) {
      const { data } = await exchange({
        method: request.method as 'POST' | 'PUT' | 'DELETE',
        path: request.path,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal: context.signal,
        writes: true,
      })
      return data
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
function clockOf(answer: HttpAnswer, style: EnvelopeStyle | undefined): number | null {
  const { date } = answer.headers
  const at =
    style === undefined || style === 'coded' || typeof date !== 'string' ? Number.NaN : Date.parse(date)
  return Number.isNaN(at) ? null : at
}

/* ---- who we are ---- */

/**
 * SHA-256 over timestamp, key, body and secret, one behind the other, in lower-case hexadecimal (seed 001 §2.3). Path
 * and query are not covered: only TLS protects them.
 * @param timestamp Milliseconds since 1970, as in the header `X-Timestamp`.
 */
export function signatureOf(
  timestamp: string,
  apiKey: string,
  body: string | Buffer,
  secret: string,
): string {
  return createHash('sha256').update(`${timestamp}${apiKey}`).update(body).update(secret).digest('hex')
}

/** The headers that prove who we are, and every text in them that must never be shown. */
function credentialsOf(auth: RestAuth): {
  readonly headers: (body: string) => Readonly<Record<string, string>>
  readonly secrets: readonly string[]
} {
  switch (auth.type) {
    case 'bearer':
      return { headers: () => ({ authorization: `Bearer ${auth.token}` }), secrets: [auth.token] }
    case 'basic': {
      const encoded = Buffer.from(`${auth.username}:${auth.password}`, 'utf8').toString('base64')
      return { headers: () => ({ authorization: `Basic ${encoded}` }), secrets: [encoded, auth.password] }
    }
    case 'apiKey':
      return { headers: () => ({ [auth.header.toLowerCase()]: auth.key }), secrets: [auth.key] }
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
        secrets: [auth.secret, auth.apiKey],
      }
  }
}

/* ---- envelopes ---- */

interface Envelope {
  readonly success: boolean
  /** Empty where the system has no codes. */
  readonly code: string
  readonly message?: string | null | undefined
  readonly data: unknown
  readonly details?: Readonly<Record<string, unknown>> | null | undefined
  readonly at?: number | undefined
}

const details = z.record(z.string(), z.unknown()).nullish()
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
      success: z.boolean(),
      data: z.unknown().optional(),
      timestamp: z.string().nullish(),
      error: z.looseObject({ code: z.string().nullish(), message: z.string().nullish(), details }).nullish(),
    })
    .transform(
      ({ success, data, error, timestamp }): Envelope => ({
        success,
        code: error?.code ?? '',
        message: error?.message,
        data,
        details: error?.details,
        ...timeOf(timestamp),
      }),
    ),
}

const timeOf = (text: string | null | undefined): { at?: number } => {
  if (!text) return {}
  const at = /^\d+$/.test(text) ? Number(text) : Date.parse(text)
  return Number.isNaN(at) ? {} : { at }
}

function envelopeReader(style: EnvelopeStyle): (answer: HttpAnswer) => Envelope | null {
  return (answer) => {
    let body: unknown
    try {
      body = parseJson(answer.text, 'answer')
    } catch (error) {
      if (error instanceof SourceError) return null
      throw error
    }
    if (style !== 'none') {
      const parsed = envelopes[style].safeParse(body)
      return parsed.success ? parsed.data : null
    }
    if (answer.status < 400) return { success: true, code: '', data: body }
    const said = body as { code?: unknown; message?: unknown } | null
    const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
    return { success: false, code: text(said?.code) ?? '', message: text(said?.message), data: null }
  }
}

/* ---- endings ---- */

/** The HTTP status; a system that says 200 to everything is judged by its code, whose first three digits are one. */
function statusOf(answer: HttpAnswer, envelope: Envelope | null): number {
  if (answer.status >= 400 || !envelope || !/^[45]\d{4}$/.test(envelope.code)) return answer.status
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
  if (status >= 500) {
    return writes ? { kind: 'unknown-outcome', detail } : unavailable('overloaded', detail, answer)
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

function unavailable(
  reason: 'rate-limited' | 'overloaded',
  detail: string,
  answer: HttpAnswer,
): SourceFailure {
  const after = retryAfterMs(answer.headers)
  return { kind: 'unavailable', reason, detail, ...(after === undefined ? {} : { retryAfterMs: after }) }
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
