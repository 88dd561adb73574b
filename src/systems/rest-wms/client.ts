/**
 * The WMS's wire: signed requests, the envelope `{code, message, data, timestamp, details}`, pages, and what each
 * ending means.
 * @see openapi.yaml beside this file
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Log } from '../../observe/log.ts'
import { type Rejection, SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, type HttpRequest, retryAfterMs } from '../http.ts'
import { parseJson } from '../json.ts'
import type { CallContext, VendorRequest } from '../port.ts'
import type { RestWmsConfig } from './config.ts'

/** The WMS's code for an external reference that another document already has. */
export const CODE_DUPLICATE_REFERENCE = '40901'

/** Longer messages of a WMS are cut. */
const MAX_MESSAGE = 500

export interface WmsPage {
  readonly items: readonly unknown[]
  readonly hasMore: boolean
}

export interface WmsEvents extends WmsPage {
  /** Where the feed goes on. */
  readonly cursor: string
}

export interface RestWmsClient {
  /** @throws SourceError */
  getPage(path: string, query: Readonly<Record<string, string>>, context: CallContext): Promise<WmsPage>
  /**
   * What follows a place in the feed; without one: nothing, and where it ends now.
   * @returns null where the feed does not reach back to that place any more
   * @throws SourceError
   */
  getEvents(
    path: string,
    query: Readonly<Record<string, string>>,
    context: CallContext,
  ): Promise<WmsEvents | null>
  /** @returns `data`. @throws SourceError `unknown-outcome` unless the answer can be read or nothing was sent */
  write(request: VendorRequest, context: CallContext): Promise<unknown>
  close(): void
}

// Numbers arrive as decimal text, see parseJson.
const envelopeSchema = z.looseObject({
  code: z.string().regex(/^\d+$/),
  message: z.string().nullish(),
  data: z.unknown(),
  details: z.record(z.string(), z.unknown()).nullish(),
})
type Envelope = z.infer<typeof envelopeSchema>

const pageSchema = z.looseObject({
  items: z.array(z.unknown()),
  pagination: z.looseObject({ hasMore: z.boolean() }).nullish(),
})

const eventsSchema = z.looseObject({
  items: z.array(z.unknown()),
  nextCursor: z.string().min(1),
  hasMore: z.boolean(),
})

export const broken = (path: string, what: string) =>
  ({ kind: 'invalid-response', detail: `GET ${path}: ${what}` }) as const

/** The feed does not reach back that far. */
const GONE = 410

class WmsRefusal extends SourceError {
  readonly status: number
  constructor(failure: SourceFailure, status: number) {
    super(failure)
    this.status = status
  }
}

export function createRestWmsClient(config: RestWmsConfig, timeoutMs: number, log: Log): RestWmsClient {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  const credentials = credentialsOf(config.auth)
  /** The WMS's words, fit for a screen: no credentials that it echoes, one line, not a whole page. */
  const clean = (text: string) =>
    credentials.secrets
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  const exchange = async (request: HttpRequest): Promise<unknown> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    const answer = await http.request({
      ...request,
      headers: { accept: 'application/json', ...request.headers, ...credentials.headers(request.body ?? '') },
    })
    const envelope = readEnvelope(answer)
    if (envelope && /^0+$/.test(envelope.code) && answer.status >= 200 && answer.status < 300) {
      return envelope.data
    }
    const status = statusOf(answer, envelope)
    const failure = failureOf(what, request.writes, status, answer, envelope, clean)
    log.debug({ what, status: answer.status, code: envelope?.code, failure: failure.kind }, 'the WMS said no')
    throw new WmsRefusal(failure, status)
  }

  const get = (path: string, query: Readonly<Record<string, string>>, context: CallContext) => {
    const parameters = new URLSearchParams(query).toString()
    return exchange({
      method: 'GET',
      path: parameters ? `${path}?${parameters}` : path,
      signal: context.signal,
      writes: false,
    })
  }

  const shaped = <T>(schema: z.ZodType<T>, data: unknown, path: string): T => {
    const parsed = schema.safeParse(data)
    if (parsed.success) return parsed.data
    const why = z.prettifyError(parsed.error).replaceAll(/\s+/g, ' ')
    throw new SourceError(broken(path, why))
  }

  return {
    async getPage(path, query, context) {
      const { items, pagination } = shaped(pageSchema, await get(path, query, context), path)
      return { items, hasMore: pagination?.hasMore ?? false }
    },
    async getEvents(path, query, context) {
      try {
        const { items, nextCursor, hasMore } = shaped(eventsSchema, await get(path, query, context), path)
        return { items, cursor: nextCursor, hasMore }
      } catch (error) {
        if (error instanceof WmsRefusal && error.status === GONE) return null
        throw error
      }
    },
    write: (request, context) =>
      exchange({
        method: request.method as 'POST',
        path: request.path,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal: context.signal,
        writes: true,
      }),
    close: () => http.close(),
  }
}

/**
 * SHA-256 over timestamp, key, body and secret, one behind the other, in lower-case hexadecimal. Path and query are
 * not covered: only TLS protects them.
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
function credentialsOf(auth: RestWmsConfig['auth']): {
  readonly headers: (body: string) => Readonly<Record<string, string>>
  readonly secrets: readonly string[]
} {
  switch (auth.type) {
    case 'bearer':
      return { headers: () => ({ authorization: `Bearer ${auth.token}` }), secrets: [auth.token] }
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

function readEnvelope(answer: HttpAnswer): Envelope | null {
  try {
    const parsed = envelopeSchema.safeParse(parseJson(answer.text, 'answer'))
    return parsed.success ? parsed.data : null
  } catch (error) {
    if (error instanceof SourceError) return null
    throw error
  }
}

/** The HTTP status; a WMS that says 200 to everything is judged by its code, whose first three digits are a status. */
function statusOf(answer: HttpAnswer, envelope: Envelope | null): number {
  if (answer.status >= 400 || !envelope || !/^[45]\d{4}$/.test(envelope.code)) return answer.status
  return Number(envelope.code.slice(0, 3))
}

/** What an answer that is no success means. */
function failureOf(
  what: string,
  writes: boolean,
  status: number,
  answer: HttpAnswer,
  envelope: Envelope | null,
  clean: (text: string) => string,
): SourceFailure {
  const beginning = () => clean(answer.text.slice(0, 2_000)).slice(0, 40)
  const says = envelope ? `code ${envelope.code}` : `no envelope, starts with "${beginning()}"`
  const detail = `${what}: HTTP ${answer.status}, ${says}`

  if (envelope?.code === '40101') {
    return { kind: 'unauthorized', detail: `${detail}: the clocks of gateway and WMS differ too much` }
  }
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status === 429) return unavailable('rate-limited', detail, answer)
  // The contract promises that 503 with an envelope did nothing; a proxy's 503 promises nothing.
  if (status === 503 && (envelope || !writes)) return unavailable('overloaded', detail, answer)
  if (status >= 500) {
    return writes ? { kind: 'unknown-outcome', detail } : unavailable('overloaded', detail, answer)
  }
  if (!envelope) {
    // Below 400 the write may well have been done by whatever stands behind the page that came back.
    if (writes && status < 400) return { kind: 'unknown-outcome', detail }
    return { kind: 'invalid-response', detail }
  }
  const rejection = rejectionOf(envelope, clean)
  // 40400 is a path that the WMS does not have: a matter of configuration, not a missing record.
  if (status === 404 && envelope.code === '40400') return { kind: 'invalid-response', detail }
  if (status === 404) return { kind: 'not-found', message: rejection.message }
  if (status === 412) {
    const currentVersion = envelope.details?.currentRevision
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

/** With the line, the field and the details (required 10, available 5) that the WMS names. */
function rejectionOf(envelope: Envelope, clean: (text: string) => string): Rejection {
  const details: Record<string, string | number | boolean | null> = {}
  for (const [name, value] of Object.entries(envelope.details ?? {}).slice(0, 20)) {
    if (value === null || typeof value === 'boolean') details[name] = value
    else if (typeof value === 'string') details[name] = clean(value)
  }
  const { field, line } = details
  return {
    kind: 'rejected',
    code: envelope.code,
    message: clean(envelope.message ?? '') || `The WMS answered with code ${envelope.code}.`,
    ...(typeof line === 'string' ? { line } : {}),
    ...(typeof field === 'string' ? { field } : {}),
    ...(Object.keys(details).length === 0 ? {} : { details }),
  }
}
