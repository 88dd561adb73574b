/**
 * The Service Layer's protocol: sessions by cookie, OData v4 queries, pages, errors in four shapes.
 * @see Working with SAP Business One Service Layer (user manual 1.26)
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { fail, type Outcome, outcomeOf, type Rejection, SourceError, type SourceFailure } from '../failure.ts'
import { createAbsentFields } from '../kit/absent-fields.ts'
import { createHttpClient, type HttpAnswer, type HttpRequest, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { readBatch, writeBatch } from '../kit/multipart.ts'
import { createWords, type Words } from '../kit/words.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import type { SapB1Config } from './config.ts'
import { createGathering, type Read } from './gathering.ts'
import { createLeft } from './left.ts'
import { type Session, SessionPool } from './sessions.ts'

export const SERVICE_ROOT = '/b1s/v2'

/** The vendor's page where nothing is asked for; a `Prefer` header asks for another size. */
const MAX_PAGE = 10_000
/** A logout must not hold up the end of the process. */
const LOGOUT_MS = 2_000

export interface Query {
  readonly entity: string
  readonly select: readonly string[]
  readonly filter?: string
  readonly orderby: string
  /** At most so many rows in all; default: every row. */
  readonly top?: number
  readonly pageSize: number
}

export interface WriteRequest {
  readonly method: 'POST' | 'PATCH'
  /** Below the service root, without a leading slash. */
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface ServiceLayer {
  /** Makes sure that a session is open. @throws SourceError */
  connect(context: CallContext): Promise<void>
  /** Every row, page by page. @throws SourceError */
  rows(query: Query, context: CallContext): Promise<unknown[]>
  /** As `rows`, for several queries that travel together; each may fail alone. Same order. */
  manyRows(queries: readonly Query[], context: CallContext): Promise<Outcome<unknown[]>[]>
  /**
   * Rows of a join over the lines of a document, which no filter on the document itself can reach.
   * @param option `$expand=…&$filter=…&$orderby=…`, not encoded.
   * @see manual, "Row-Level Filter" (9.2 PL11 on HANA, 10.0 elsewhere)
   */
  crossJoin(entities: readonly string[], option: string, context: CallContext): Promise<unknown[]>
  /** One whole record and its ETag: only a read without `$select` has one that can be used. `null`: not there. */
  whole(path: string, context: CallContext): Promise<{ row: unknown; etag: string | undefined } | null>
  /** Sends a write and answers what the vendor says; 4xx and 5xx are left to `writeFailure`. @throws SourceError */
  write(request: WriteRequest, context: CallContext): Promise<HttpAnswer>
  /** What an answer that is no success to a write means. */
  writeFailure(answer: HttpAnswer): SourceFailure
  /** The vendor's version as in `10.00.290`; empty before the first login. */
  version(): string
  close(): Promise<void>
}

export function createServiceLayer(config: SapB1Config, context: AdapterContext): ServiceLayer {
  const connection = { baseUrl: config.baseUrl, verifyCertificate: config.verifyCertificate }
  const http = createHttpClient({
    ...connection,
    timeoutMs: context.timeoutMs,
    maxSockets: config.maxSessions,
  })
  const loginHttp = createHttpClient({ ...connection, timeoutMs: config.loginTimeoutSeconds * 1000 })
  const logoutHttp = createHttpClient({ ...connection, timeoutMs: LOGOUT_MS })
  const words = createWords([config.password], 500)
  const tidy = createTidy(words)

  const remembered = createLeft(config, context)
  const logout = async (session: Session) => {
    const request: HttpRequest = {
      method: 'POST',
      path: `${SERVICE_ROOT}/Logout`,
      headers: { cookie: session.cookie },
      writes: false,
    }
    await logoutHttp.request(request).catch(() => {
      context.log.debug({ system: context.systemId }, 'no logout: the session ends by its timeout')
    })
    await remembered.forget(session)
  }
  const sessions = new SessionPool({
    max: config.maxSessions,
    waitMs: context.timeoutMs,
    async login() {
      const body = JSON.stringify({
        CompanyDB: config.companyDb,
        UserName: config.username,
        Password: config.password,
        ...(config.language === undefined ? {} : { Language: config.language }),
      })
      const answer = await loginHttp.request({
        method: 'POST',
        path: `${SERVICE_ROOT}/Login`,
        headers: { 'content-type': 'application/json' },
        body,
        // It opens a session at worst, which ends by itself: nothing to reconcile.
        writes: false,
      })
      if (answer.status !== 200) throw new SourceError(loginFailure(answer, tidy))
      context.log.debug({ system: context.systemId }, 'logged in')
      const session = readSession(answer)
      words.hideCookies(session.cookie)
      remembered.remember(session)
      return session
    },
    async left() {
      const found = await remembered.take()
      for (const { cookie } of found) words.hideCookies(cookie)
      return found
    },
    logout,
  })

  /** One exchange in a session; a session that turns out to be gone is replaced. */
  const exchange = async (request: HttpRequest): Promise<HttpAnswer> =>
    exchangeIn(await sessions.acquire(request.signal), request)

  const exchangeIn = async (first: Session, request: HttpRequest): Promise<HttpAnswer> => {
    // Every session that rested may have ended meanwhile; one newly opened cannot have.
    let session = first
    for (let left = config.maxSessions; ; left--, session = await sessions.acquire(request.signal)) {
      let answer: HttpAnswer
      try {
        answer = await http.request({ ...request, headers: { ...request.headers, cookie: session.cookie } })
      } catch (error) {
        sessions.release(session)
        throw error
      }
      if (isSessionGone(answer)) {
        sessions.discard()
        void remembered.forget(session)
        // Refused before anything was done, writes included. A session that never worked will not the next time.
        if (session.proven && left > 0) continue
        throw new SourceError({ kind: 'unauthorized', detail: `a new session was refused: ${tidy(answer)}` })
      }
      if (isSickNode(answer)) {
        // The cookie ties the session to that node: the next login may be led to another. This one costs a licence.
        sessions.discard()
        void logout(session)
        if (session.proven && left > 0 && !request.writes) continue
        return answer
      }
      session.proven = true
      sessions.release(session)
      return answer
    }
  }

  const gathering = createGathering({
    most: config.batchRequests,
    sessions,
    async send(session, reads, signal) {
      const [only, second] = reads
      const parts = reads.map(({ path, headers }) => ({
        method: 'GET' as const,
        path: `${SERVICE_ROOT}/${path}`,
        headers,
      }))
      if (only && !second) {
        const { path, headers } = parts[0] as (typeof parts)[0]
        return [await exchangeIn(session, { method: 'GET', path, headers, signal, writes: false })]
      }
      const boundary = `batch_${randomUUID()}`
      const answer = await exchangeIn(session, {
        method: 'POST',
        path: `${SERVICE_ROOT}/$batch`,
        headers: { 'content-type': `multipart/mixed;boundary=${boundary}`, accept: 'multipart/mixed' },
        body: writeBatch(parts, boundary),
        signal,
        writes: false,
      })
      if (answer.status >= 300) throw new SourceError(readFailure(answer, tidy))
      return readBatch(answer)
    },
  })

  const succeeded = (answer: HttpAnswer): HttpAnswer => {
    if (answer.status >= 300) throw new SourceError(readFailure(answer, tidy))
    return answer
  }

  /** Follows the pages. The next link may be relative and may have lost filter and columns: only `$skip` is used. */
  const pages = async (
    top: number,
    ask: (skip: number, left: number) => Promise<HttpAnswer>,
    what: string,
  ): Promise<unknown[]> => {
    const rows: unknown[] = []
    let skip = 0
    for (;;) {
      const answer = succeeded(await ask(skip, top - rows.length))
      const page = readPage(answer, what)
      rows.push(...page.value)
      const next = page['@odata.nextLink'] ?? page['odata.nextLink']
      if (!next || rows.length >= top) return rows.slice(0, top)
      const onwards = Number(/[?&](?:\$|%24)skip=(\d+)/i.exec(next)?.[1] ?? skip + page.value.length)
      if (onwards <= skip)
        throw new SourceError({ kind: 'invalid-response', detail: `${what}: pages go round` })
      skip = onwards
    }
  }

  const absent = createAbsentFields<Query>({
    own: /^U_/,
    nameOf: ({ entity }) => entity,
    missing({ entity }, unknown) {
      const what = { system: context.systemId, entity, unknown }
      context.log.warn(what, 'fields that this release does not have')
    },
  })

  const manyRows: ServiceLayer['manyRows'] = async (queries, call) => {
    const asked = queries.map(absent.without)
    const outcomes = await askedRows(asked, call)
    const ask = async (query: Query) =>
      (await askedRows([query], call))[0] ?? fail({ kind: 'invalid-response', detail: query.entity })
    return Promise.all(outcomes.map((outcome, at) => absent.settle(asked[at] as Query, outcome, ask)))
  }

  const askedRows: ServiceLayer['manyRows'] = (queries, { signal }) => {
    const asks = queries.map((query) => {
      const base = queryPath(query)
      const top = query.top ?? Number.POSITIVE_INFINITY
      const headers = { prefer: `odata.maxpagesize=${Math.min(query.pageSize, top, MAX_PAGE)}` }
      const place = (skip: number, left: number) =>
        `${Number.isFinite(left) ? `&$top=${left}` : ''}${skip > 0 ? `&$skip=${skip}` : ''}`
      return {
        top,
        page: (skip: number, left: number): Read => ({ path: base + place(skip, left), headers }),
      }
    })
    // The first pages go together; those behind them are rare, and not known before.
    const firsts = gathering.ask(
      asks.map(({ top, page }) => page(0, top)),
      signal,
    )
    return Promise.all(
      asks.map(({ top, page }, at) => {
        const ask = async (skip: number, left: number) => {
          const answer = skip === 0 ? firsts[at] : gathering.ask([page(skip, left)], signal)[0]
          return answer as Promise<HttpAnswer>
        }
        return outcomeOf(() => pages(top, ask, queries[at]?.entity ?? ''))
      }),
    )
  }

  return {
    async rows(query, context) {
      const [rows] = await manyRows([query], context)
      if (!rows?.ok)
        throw new SourceError(rows?.failure ?? { kind: 'invalid-response', detail: query.entity })
      return rows.value
    },
    manyRows,

    crossJoin(entities, option, { signal }) {
      const ask = (skip: number) =>
        exchange({
          method: 'POST',
          path: `${SERVICE_ROOT}/QueryService_PostQuery`,
          headers: {
            'content-type': 'application/json',
            prefer: `odata.maxpagesize=${config.pageLimit}`,
          },
          body: JSON.stringify({
            QueryPath: `$crossjoin(${entities.join(',')})`,
            QueryOption: skip > 0 ? `${option}&$skip=${skip}` : option,
          }),
          signal,
          writes: false,
        })
      return pages(Number.POSITIVE_INFINITY, ask, entities.join(','))
    },

    async whole(path, { signal }) {
      const answer = await exchange({ method: 'GET', path: `${SERVICE_ROOT}/${path}`, signal, writes: false })
      if (answer.status === 404) return null
      if (answer.status >= 300) throw new SourceError(readFailure(answer, tidy))
      const etag = answer.headers.etag
      return { row: parseJson(answer.text, path), etag: typeof etag === 'string' ? etag : undefined }
    },

    write(request, { signal }) {
      return exchange({
        method: request.method,
        path: `${SERVICE_ROOT}/${request.path}`,
        headers: { 'content-type': 'application/json', ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal,
        writes: true,
      })
    },

    writeFailure: (answer) => writeFailure(answer, tidy, config.periodClosedCodes),
    async connect({ signal }) {
      sessions.release(await sessions.acquire(signal))
    },
    version: () => sessions.version.replace(/^(\d{2})(\d{2})(\d+)$/, '$1.$2.$3'),

    async close() {
      await sessions.close(LOGOUT_MS)
      for (const client of [http, loginHttp, logoutHttp]) client.close()
    },
  }
}

/* ---- queries ---- */

/** A text in a filter or a key; quotes are doubled. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

export function queryPath(query: Query): string {
  const filter = query.filter === undefined ? '' : `&$filter=${encodeURIComponent(query.filter)}`
  return `${query.entity}?$select=${query.select.join(',')}${filter}&$orderby=${encodeURIComponent(query.orderby)}`
}

const pageSchema = z.object({
  value: z.array(z.unknown()),
  '@odata.nextLink': z.string().optional(),
  'odata.nextLink': z.string().optional(),
})

function readPage(answer: HttpAnswer, what: string): z.infer<typeof pageSchema> {
  const page = pageSchema.safeParse(parseJson(answer.text, what))
  if (page.success) return page.data
  throw new SourceError({ kind: 'invalid-response', detail: `${what}: ${z.prettifyError(page.error)}` })
}

/* ---- sessions ---- */

const loginSchema = z.object({ SessionId: z.string().min(1), Version: z.string().catch('') })

/**
 * Both cookies, read by hand: B1SESSION comes without a path and with a trailing semicolon, which strict cookie
 * jars drop or file under the wrong path. ROUTEID leads back to the node that knows the session.
 */
function readSession(answer: HttpAnswer): Session {
  const login = loginSchema.safeParse(parseJson(answer.text, 'Login'))
  if (!login.success) {
    throw new SourceError({ kind: 'invalid-response', detail: 'Login: the answer has no SessionId' })
  }
  const cookies = new Map([['B1SESSION', login.data.SessionId]])
  for (const header of [answer.headers['set-cookie'] ?? []].flat()) {
    const [, name, value] = /^\s*([^=;\s]+)=([^;]*)/.exec(header) ?? []
    if ((name === 'B1SESSION' || name === 'ROUTEID') && value) cookies.set(name, value)
  }
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  return { id: randomUUID(), cookie, version: login.data.Version, proven: false }
}

/* ---- errors ---- */

/** `code` comes as a number or a text, `message` as a text or with its language: all four are read. */
const errorSchema = z.object({
  error: z.object({
    code: z.coerce.string(),
    message: z.union([z.string(), z.object({ value: z.string() }).transform((message) => message.value)]),
  }),
})

interface VendorError {
  readonly code: string
  readonly message: string
}

export function vendorError(answer: HttpAnswer): VendorError | undefined {
  try {
    const parsed = errorSchema.safeParse(parseJson(answer.text, 'error'))
    return parsed.success ? parsed.data.error : undefined
  } catch {
    return undefined // a proxy's page, or half an answer
  }
}

/** What the answer says, fit to be told. */
type Tidy = (answer: HttpAnswer) => string

function createTidy(words: Words): Tidy {
  return (answer) => words.tidy(vendorError(answer)?.message ?? `HTTP ${answer.status}`)
}

/** 401 with code 301; other codes concern the user's rights, and another login would change nothing. */
function isSessionGone(answer: HttpAnswer): boolean {
  return answer.status === 401 && (vendorError(answer)?.code ?? '301') === '301'
}

/** A node that has lost its table definitions answers 500 with code 407 to everything. */
function isSickNode(answer: HttpAnswer): boolean {
  return answer.status === 500 && vendorError(answer)?.code === '407'
}

function loginFailure(answer: HttpAnswer, tidy: Tidy): SourceFailure {
  const detail = `Login: HTTP ${answer.status} ${vendorError(answer)?.code ?? ''} ${tidy(answer)}`
  if (answer.status >= 500 || answer.status === 429) {
    return { kind: 'unavailable', reason: 'overloaded', detail, ...retryAfter(answer) }
  }
  if (answer.status < 400) return { kind: 'invalid-response', detail }
  // No word of the vendor's: what stands in front of it has no such page.
  if (answer.status === 404 && !vendorError(answer)) {
    const where = `${detail}: no Service Layer answers at this address; look at "baseUrl"`
    return { kind: 'unavailable', reason: 'unreachable', detail: where }
  }
  // Wrong password, locked user, unknown company, no licence: all of them need a person.
  return { kind: 'unauthorized', detail }
}

function readFailure(answer: HttpAnswer, tidy: Tidy): SourceFailure {
  const error = vendorError(answer)
  const detail = `HTTP ${answer.status} ${error?.code ?? ''} ${tidy(answer)}`
  if (answer.status === 429)
    return { kind: 'unavailable', reason: 'rate-limited', detail, ...retryAfter(answer) }
  if (answer.status >= 500)
    return { kind: 'unavailable', reason: 'overloaded', detail, ...retryAfter(answer) }
  if (answer.status === 401 || answer.status === 403) return { kind: 'unauthorized', detail }
  if (error) return rejection(error, tidy(answer))
  return { kind: 'invalid-response', detail }
}

/** Under one of the general codes: `Posting period locked; enter another date  [ORDR.DocDate]`. */
const PERIOD_CLOSED =
  /(posting )?period (is )?(locked|closed)|deviates from (the )?permissible range|过账期间.{0,4}(锁定|关闭)/i

function writeFailure(answer: HttpAnswer, tidy: Tidy, periodClosed: readonly string[]): SourceFailure {
  const error = vendorError(answer)
  const detail = `HTTP ${answer.status} ${error?.code ?? ''} ${tidy(answer)}`
  if (answer.status === 429)
    return { kind: 'unavailable', reason: 'rate-limited', detail, ...retryAfter(answer) }
  if (answer.status === 401 || answer.status === 403) return { kind: 'unauthorized', detail }
  // The vendor's 5xx do not say whether the transaction went through.
  if (answer.status >= 500 || !error) return { kind: 'unknown-outcome', detail }
  if (answer.status === 412 || error.code === '-2039') return { kind: 'conflict', message: tidy(answer) }
  if (answer.status === 404) return { kind: 'not-found', message: tidy(answer) }
  const refused = rejection(error, tidy(answer))
  const isPeriod = periodClosed.includes(error.code) || PERIOD_CLOSED.test(error.message)
  return isPeriod ? { ...refused, reason: 'period-closed' } : refused
}

/**
 * A business answer. The vendor names the place inside the message, as in
 * `10001069 - Quantity falls into negative inventory  [RDR1.ItemCode][line: 2]`.
 */
function rejection(error: VendorError, message: string): Rejection {
  const line = /\[line:\s*(\d+)\]/i.exec(message)?.[1]
  const field = /\[[A-Z0-9]{3,8}\.(\w+)\]/.exec(message)?.[1]
  return {
    kind: 'rejected',
    code: error.code,
    message,
    ...(line === undefined ? {} : { line }),
    ...(field === undefined ? {} : { field }),
  }
}

function retryAfter(answer: HttpAnswer): { retryAfterMs?: number } {
  const ms = retryAfterMs(answer.headers)
  return ms === undefined ? {} : { retryAfterMs: ms }
}
