/**
 * The REST API: who we are, queries however long and however many pages, and what each ending means.
 * @see REST API Developer Guide: "Query", "Composite", "Status Codes and Error Responses"
 */
import { z } from 'zod'
import { callScope, inCallScope } from '../call-scope.ts'
import { oneLine, SourceError, type SourceFailure } from '../failure.ts'
import {
  createHttpClient,
  type HttpAnswer,
  type HttpClient,
  type HttpRequest,
  retryAfterMs,
} from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import type { AdapterContext, CallContext, VendorRequest } from '../port.ts'
import type { SalesforceConfig } from './config.ts'
import { createLogin } from './login.ts'

export interface SalesforceClient {
  /** Makes sure that there is a token. @throws SourceError */
  connect(context: CallContext): Promise<void>
  /**
   * All rows of each query, in one call unless there are more than fit into one answer.
   * @param deleted Also rows that are in the recycle bin.
   * @throws SourceError
   */
  query(queries: readonly string[], context: CallContext, deleted?: boolean): Promise<Row[][]>
  /** A resource below `/services/data/vXX.0`. @throws SourceError */
  get(resource: string, context: CallContext): Promise<unknown>
  /** @throws SourceError `unknown-outcome` unless the answer can be read or nothing was sent */
  write(request: VendorRequest, context: CallContext): Promise<{ status: number; body: unknown }>
  /** Path below the version. */
  path(resource: string): string
  /** An exchange outside the REST API, with the same token. @throws SourceError */
  exchange(http: HttpClient, request: HttpRequest): Promise<HttpAnswer>
  /** Gives the token up: it was refused in another way than by the status 401. @throws SourceError */
  renew(): Promise<void>
  /** For exchanges that last longer. */
  open(timeoutMs: number): Promise<HttpClient>
  /** What the last answer said of the calls used, for example `18/5000`. */
  usage(): string | undefined
  host(): string
  clean(text: string): string
  close(): void
}

export type Row = Readonly<Record<string, unknown>>

/** Most queries in one composite request. */
const QUERIES_PER_CALL = 5
/** The quota is over 24 hours, and moves: before this nothing is gained by asking. */
const QUOTA_PAUSE_MS = 300_000
const MAX_MESSAGE = 500

const pageSchema = z.object({
  done: z.boolean().nullish(),
  nextRecordsUrl: z.string().nullish(),
  records: z.array(z.record(z.string(), z.unknown())),
})
const compositeSchema = z.object({
  compositeResponse: z.array(
    z.object({ body: z.unknown(), httpStatusCode: z.string(), referenceId: z.string() }),
  ),
})
const errorSchema = z.object({
  message: z.string().nullish(),
  errorCode: z.string(),
  fields: z.array(z.string()).nullish(),
})
type VendorError = z.infer<typeof errorSchema>
/** A list, from some resources one alone. */
const errorsSchema = z.union([z.array(errorSchema).min(1), errorSchema.transform((one) => [one])])

export function createSalesforceClient(config: SalesforceConfig, context: AdapterContext): SalesforceClient {
  const login = createLogin(config, context.timeoutMs)
  const base = `/services/data/v${config.apiVersion}`
  /** By address: an org can move to another one. */
  const clients = new Map<string, HttpClient>()
  let usage: string | undefined

  /** Where the instance is, the login tells: its connections are made in some call, and are still the adapter's. */
  const owner = callScope()
  const connect = (baseUrl: string, timeoutMs: number): HttpClient =>
    inCallScope(owner ?? {}, () =>
      createHttpClient({ baseUrl, timeoutMs, verifyCertificate: config.verifyCertificate }),
    )
  const clientAt = (baseUrl: string): HttpClient => {
    const known = clients.get(baseUrl)
    if (known) return known
    for (const old of clients.values()) old.close()
    clients.clear()
    const made = connect(baseUrl, context.timeoutMs)
    clients.set(baseUrl, made)
    return made
  }

  /** The vendor's words, fit for a screen: no credentials that they repeat, one line, not a whole page. */
  const clean = (text: string): string =>
    oneLine(
      login
        .secrets()
        .reduce((shown, hidden) => shown.replaceAll(hidden, '***'), text)
        .trim(),
      MAX_MESSAGE,
    )

  const exchange = async (http: HttpClient | undefined, request: HttpRequest): Promise<HttpAnswer> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    for (let renewed = false; ; renewed = true) {
      const token = await login.get(request.signal)
      const answer = await (http ?? clientAt(login.instanceUrl())).request({
        ...request,
        headers: {
          accept: 'application/json',
          'sforce-call-options': `client=${config.clientName}`,
          ...request.headers,
          authorization: `Bearer ${token}`,
        },
      })
      const limits = answer.headers['sforce-limit-info']
      if (typeof limits === 'string') usage = /api-usage=(\d+\/\d+)/.exec(limits)?.[1] ?? usage
      if (answer.status !== 401) {
        login.proven(token)
        return answer
      }
      // Refused before anything was done: also a write may go out again, with another token.
      const failure = { kind: 'unauthorized', detail: `${what}: the token was refused` } as const
      login.refused(token, failure)
      if (renewed) throw new SourceError(failure)
    }
  }

  /** @throws SourceError */
  const settle = (what: string, writes: boolean, answer: HttpAnswer): unknown => {
    if (answer.status >= 200 && answer.status < 300) {
      return answer.text.trim() === '' ? null : readBody(what, writes, answer.text)
    }
    const errors = readErrors(answer.text)
    const failure = failureOf(what, writes, answer.status, errors, clean, retryAfterMs(answer.headers))
    context.log.debug({ what, status: answer.status, failure: failure.kind }, 'Salesforce said no')
    throw new SourceError(failure)
  }

  const read = async (request: Omit<HttpRequest, 'writes'>): Promise<unknown> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    const headers = { 'sforce-query-options': `batchSize=${config.pageLimit}`, ...request.headers }
    return settle(what, false, await exchange(undefined, { ...request, headers, writes: false }))
  }

  /** A path, or a whole address; only ever of the org we are logged in to. */
  const pathOf = (next: string): string | null => {
    const org = new URL(login.instanceUrl())
    const address = URL.canParse(next, org.origin) ? new URL(next, org.origin) : null
    if (address?.origin !== org.origin) return null
    const path = address.pathname + address.search
    const own = path.startsWith(`${org.pathname}/`) ? path.slice(org.pathname.length) : path
    return own.startsWith('/services/data/') ? own : null
  }

  const rest = async (what: string, first: unknown, signal: AbortSignal | undefined): Promise<Row[]> => {
    const rows: Row[] = []
    const seen = new Set<string>()
    for (let raw = first; ; ) {
      const page = pageSchema.safeParse(raw)
      if (!page.success) throw unreadable(what, 'no page of records')
      rows.push(...page.data.records)
      const { done, nextRecordsUrl: next } = page.data
      if (done || (done !== false && !next)) return rows
      const path = next ? pathOf(next) : null
      if (path === null) throw unreadable(what, 'no address of the next page')
      if (seen.has(path)) throw unreadable(what, 'the next page is the same again')
      seen.add(path)
      raw = await read({ method: 'GET', path, signal })
    }
  }

  const queryAddress = (text: string, deleted: boolean): string =>
    `${base}/${deleted ? 'queryAll' : 'query'}?${new URLSearchParams({ q: text })}`

  return {
    async connect({ signal }) {
      await login.get(signal)
    },

    async query(queries, { signal }, deleted = false) {
      const what = deleted ? 'queryAll' : 'query'
      const found: Row[][] = []
      for (let at = 0; at < queries.length; at += QUERIES_PER_CALL) {
        const addresses = queries.slice(at, at + QUERIES_PER_CALL).map((text) => queryAddress(text, deleted))
        const [only] = addresses
        if (only && addresses.length === 1 && only.length <= config.maxUrlLength) {
          found.push(await rest(what, await read({ method: 'GET', path: only, signal }), signal))
          continue
        }
        const answer = compositeSchema.safeParse(
          await read({
            method: 'POST',
            path: `${base}/composite`,
            headers: { 'content-type': 'application/json; charset=utf-8' },
            body: JSON.stringify({
              allOrNone: false,
              compositeRequest: addresses.map((url, index) => ({
                method: 'GET',
                url,
                referenceId: `q${index}`,
                httpHeaders: { 'Sforce-Query-Options': `batchSize=${config.pageLimit}` },
              })),
            }),
            signal,
          }),
        )
        if (!answer.success) throw unreadable('composite', 'no list of answers')
        for (const index of addresses.keys()) {
          const part = answer.data.compositeResponse.find(({ referenceId }) => referenceId === `q${index}`)
          if (!part) throw unreadable('composite', 'an answer is missing')
          const status = Number(part.httpStatusCode)
          if (status < 200 || status > 299) {
            const errors = errorsSchema.safeParse(part.body)
            throw new SourceError(failureOf(what, false, status, errors.success ? errors.data : [], clean))
          }
          found.push(await rest(what, part.body, signal))
        }
      }
      return found
    },

    get: (resource, { signal }) => read({ method: 'GET', path: `${base}/${resource}`, signal }),

    async write(request, { signal }) {
      const what = `${request.method} ${request.path}`
      const answer = await exchange(undefined, {
        method: request.method as 'POST' | 'PATCH',
        path: request.path,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal,
        writes: true,
      })
      const body = settle(what, true, answer)
      const parts = compositeSchema.safeParse(body)
      // Of several writes in one, all or none: the others are refused because of the one that tells why.
      const refusals = (parts.success ? parts.data.compositeResponse : [])
        .filter(({ httpStatusCode }) => Number(httpStatusCode) > 299)
        .map((part) => ({ status: Number(part.httpStatusCode), errors: errorsSchema.safeParse(part.body) }))
      const why = refusals.find(({ errors }) => errors.data?.[0]?.errorCode !== 'PROCESSING_HALTED')
      const refusal = why ?? refusals[0]
      if (refusal) {
        throw new SourceError(failureOf(what, true, refusal.status, refusal.errors.data ?? [], clean))
      }
      return { status: answer.status, body }
    },

    path: (resource) => `${base}/${resource}`,
    exchange,
    async renew() {
      const failure = { kind: 'unauthorized', detail: 'the token was refused' } as const
      login.refused(await login.get(), failure)
    },
    async open(timeoutMs) {
      await login.get()
      return connect(login.instanceUrl(), timeoutMs)
    },
    usage: () => usage,
    host: () => new URL(login.instanceUrl()).host,
    clean,
    close() {
      for (const client of clients.values()) client.close()
      login.close()
    },
  }
}

const unreadable = (what: string, why: string): SourceError =>
  new SourceError({ kind: 'invalid-response', detail: `${what}: ${why}` })

function readBody(what: string, writes: boolean, text: string): unknown {
  try {
    return parseJson(text, what)
  } catch (error) {
    // It was sent, and what came back does not say what became of it.
    if (writes) throw new SourceError({ kind: 'unknown-outcome', detail: `${what}: answer cannot be read` })
    throw error
  }
}

function readErrors(text: string): VendorError[] {
  try {
    const errors = errorsSchema.safeParse(JSON.parse(text))
    return errors.success ? errors.data : []
  } catch {
    return []
  }
}

/** Codes that say: nothing was done, come again. */
const BUSY = new Set(['UNABLE_TO_LOCK_ROW', 'SERVER_UNAVAILABLE', 'REQUEST_RUNNING_TOO_LONG'])
const QUOTA = new Set(['REQUEST_LIMIT_EXCEEDED', 'TXN_SECURITY_METERING_ERROR'])

/** @see REST API Developer Guide, "Status Codes and Error Responses" */
export function failureOf(
  what: string,
  writes: boolean,
  status: number,
  errors: readonly VendorError[],
  clean: (text: string) => string,
  retryAfter?: number,
): SourceFailure {
  const [first] = errors
  // Codes are capitals; anything else may repeat what was sent.
  const code = first && /^[A-Z][A-Z0-9_]{0,79}$/.test(first.errorCode) ? first.errorCode : String(status)
  const detail = `${what}: HTTP ${status} ${code}`
  const message = first?.message ? clean(first.message) : `HTTP ${status}`
  const when = retryAfter === undefined ? {} : { retryAfterMs: retryAfter }
  if (QUOTA.has(code)) {
    return { kind: 'unavailable', reason: 'rate-limited', detail, retryAfterMs: retryAfter ?? QUOTA_PAUSE_MS }
  }
  if (status === 429) return { kind: 'unavailable', reason: 'rate-limited', detail, ...when }
  if (BUSY.has(code) && (!writes || code === 'UNABLE_TO_LOCK_ROW')) {
    return { kind: 'unavailable', reason: 'overloaded', detail, ...when }
  }
  if (status >= 500) {
    if (writes) return { kind: 'unknown-outcome', detail }
    return { kind: 'unavailable', reason: 'overloaded', detail, ...when }
  }
  // Nothing that Salesforce says by itself comes without a code.
  if (!first && status !== 300 && status !== 404 && status !== 412 && status !== 414 && status !== 431) {
    return writes ? { kind: 'unknown-outcome', detail } : { kind: 'invalid-response', detail }
  }
  if (status === 401) return { kind: 'unauthorized', detail }
  if (status === 412 || status === 409 || status === 428) return { kind: 'conflict', message }
  if (status === 404 && (!first || code === 'NOT_FOUND' || code === 'ENTITY_IS_DELETED')) {
    return { kind: 'not-found', message }
  }
  if (status === 300) {
    return { kind: 'rejected', code: 'MULTIPLE_CHOICES', message: 'Several records have this external id.' }
  }
  const field = first?.fields?.[0]
  return { kind: 'rejected', code, message, ...(field ? { field: clean(field) } : {}) }
}
