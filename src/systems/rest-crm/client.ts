/**
 * The CRM's wire: who we are, the envelope `{code, message, data, timestamp}`, pages, and what each ending means.
 * @see openapi.yaml beside this file
 */
import { z } from 'zod'
import type { Log } from '../../observe/log.ts'
import { type Rejection, SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, type HttpRequest, retryAfterMs } from '../http.ts'
import { parseJson } from '../json.ts'
import type { CallContext, VendorRequest } from '../port.ts'
import type { RestCrmConfig } from './config.ts'

/** The CRM's code for an external reference that another opportunity already has. */
export const CODE_DUPLICATE_REFERENCE = '40901'

/** Longer messages of a CRM are cut. */
const MAX_MESSAGE = 500

export interface CrmAnswer {
  readonly data: unknown
  /** The CRM's clock when it answered, milliseconds since 1970, where it says so. */
  readonly at: number | null
}

export interface CrmPage {
  readonly items: readonly unknown[]
  readonly hasMore: boolean
  readonly at: number | null
}

export interface RestCrmClient {
  /** @throws SourceError */
  get(path: string, query: Readonly<Record<string, string>>, context: CallContext): Promise<CrmAnswer>
  /** @throws SourceError */
  getPage(path: string, query: Readonly<Record<string, string>>, context: CallContext): Promise<CrmPage>
  /** @throws SourceError `unknown-outcome` unless the CRM's answer can be read or nothing was sent */
  write(request: VendorRequest, context: CallContext): Promise<CrmAnswer>
  close(): void
}

// Numbers arrive as decimal text, see parseJson.
const envelopeSchema = z.looseObject({
  code: z.string().regex(/^\d+$/),
  message: z.string().nullish(),
  data: z.unknown(),
  timestamp: z.string().regex(/^\d+$/).nullish(),
  details: z.record(z.string(), z.unknown()).nullish(),
})
type Envelope = z.infer<typeof envelopeSchema>

const pageSchema = z.looseObject({
  items: z.array(z.unknown()),
  pagination: z.looseObject({ hasMore: z.boolean() }).nullish(),
})

export function createRestCrmClient(config: RestCrmConfig, timeoutMs: number, log: Log): RestCrmClient {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  const credentials = credentialsOf(config.auth)
  /** The CRM's words, fit for a screen: no credentials that it echoes, one line, not a whole page. */
  const clean = (text: string) =>
    credentials.secrets
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  const exchange = async (request: HttpRequest): Promise<CrmAnswer> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    const answer = await http.request({
      ...request,
      headers: { accept: 'application/json', ...request.headers, ...credentials.headers },
    })
    const envelope = readEnvelope(answer)
    if (envelope && /^0+$/.test(envelope.code) && answer.status >= 200 && answer.status < 300) {
      return { data: envelope.data, at: envelope.timestamp ? Number(envelope.timestamp) : null }
    }
    const failure = failureOf(what, request.writes, answer, envelope, clean)
    log.debug({ what, status: answer.status, code: envelope?.code, failure: failure.kind }, 'the CRM said no')
    throw new SourceError(failure)
  }

  const get: RestCrmClient['get'] = (path, query, context) => {
    const parameters = new URLSearchParams(query).toString()
    return exchange({
      method: 'GET',
      path: parameters ? `${path}?${parameters}` : path,
      signal: context.signal,
      writes: false,
    })
  }

  return {
    get,
    async getPage(path, query, context) {
      const { data, at } = await get(path, query, context)
      const page = pageSchema.safeParse(data)
      if (!page.success) {
        const detail = `GET ${path}: data holds no list of items (${z.prettifyError(page.error)})`
        throw new SourceError({ kind: 'invalid-response', detail })
      }
      const { items, pagination } = page.data
      // A CRM that does not say whether more is there is asked until a page comes back short.
      const hasMore =
        pagination?.hasMore ?? (query.limit !== undefined && items.length >= Number(query.limit))
      return { items, hasMore, at }
    },
    write: (request, context) =>
      exchange({
        method: request.method as 'POST' | 'PUT',
        path: request.path,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal: context.signal,
        writes: true,
      }),
    close: () => http.close(),
  }
}

/** The headers that prove who we are, and every text in them that must never be shown. */
function credentialsOf(auth: RestCrmConfig['auth']): {
  readonly headers: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
} {
  switch (auth.type) {
    case 'bearer':
      return { headers: { authorization: `Bearer ${auth.token}` }, secrets: [auth.token] }
    case 'basic': {
      const encoded = Buffer.from(`${auth.username}:${auth.password}`, 'utf8').toString('base64')
      return { headers: { authorization: `Basic ${encoded}` }, secrets: [encoded, auth.password] }
    }
    case 'apiKey':
      return { headers: { [auth.header.toLowerCase()]: auth.key }, secrets: [auth.key] }
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

/**
 * What an answer that is no success means. The HTTP status decides; a CRM that says 200 to everything is judged by
 * its code, whose first three digits are a status.
 */
function failureOf(
  what: string,
  writes: boolean,
  answer: HttpAnswer,
  envelope: Envelope | null,
  clean: (text: string) => string,
): SourceFailure {
  const beginning = () => clean(answer.text.slice(0, 2_000)).slice(0, 40)
  const says = envelope ? `code ${envelope.code}` : `no envelope, starts with "${beginning()}"`
  const detail = `${what}: HTTP ${answer.status}, ${says}`
  const codeStatus = envelope && /^[45]\d{4}$/.test(envelope.code) ? Number(envelope.code.slice(0, 3)) : null
  const status = answer.status >= 400 ? answer.status : (codeStatus ?? answer.status)

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
  // 40400 is a path that the CRM does not have: a matter of configuration, not a missing record.
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

function rejectionOf(envelope: Envelope, clean: (text: string) => string): Rejection {
  const field = envelope.details?.field
  const details: Record<string, string | number | boolean | null> = {}
  for (const [name, value] of Object.entries(envelope.details ?? {}).slice(0, 20)) {
    if (value === null || typeof value === 'boolean') details[name] = value
    else if (typeof value === 'string') details[name] = clean(value)
  }
  return {
    kind: 'rejected',
    code: envelope.code,
    message: clean(envelope.message ?? '') || `The CRM answered with code ${envelope.code}.`,
    ...(typeof field === 'string' ? { field: clean(field) } : {}),
    ...(Object.keys(details).length === 0 ? {} : { details }),
  }
}
