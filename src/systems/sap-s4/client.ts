/**
 * The Gateway's protocol: who asks, CSRF tokens with the cookies they belong to, pages by `__next`, `$batch`.
 * @see SAP Gateway Foundation, OData 2.0; SAP Cloud SDK, http-client
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import { createAbsentFields } from '../kit/absent-fields.ts'
import { createHttpClient, type HttpAnswer } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { type BatchPart, readWholeBatch, writeBatch } from '../kit/multipart.ts'
import { createWords } from '../kit/words.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import type { SapS4Config } from './config.ts'
import { createErrors, NO_DATA, vendorError } from './errors.ts'
import { createLogin, orAborted } from './login.ts'
import { type Query, queryPath } from './odata.ts'

export interface WriteRequest {
  readonly service: string
  readonly method: 'POST' | 'PATCH'
  /** Below the service, without a leading slash. */
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Gateway {
  /** Every row, page by page. @throws SourceError */
  rows(query: Query, context: CallContext): Promise<unknown[]>
  /** Several queries to one service, in one `$batch`; each may fail alone. @throws SourceError */
  manyRows(queries: readonly Query[], context: CallContext): Promise<Outcome<unknown[]>[]>
  /** The service's own description of itself, XML. @throws SourceError */
  metadata(service: string, context: CallContext): Promise<string>
  /** Makes sure that a CSRF token is at hand. @throws SourceError */
  connect(service: string, context: CallContext): Promise<void>
  /** Sends a write, answers what the vendor says; 4xx and 5xx are left to `writeFailure`. @throws SourceError */
  write(request: WriteRequest, context: CallContext): Promise<HttpAnswer>
  /** Sends writes in one `$batch`, a changeset each: they succeed or fail one by one. @throws SourceError */
  writeAll(requests: readonly WriteRequest[], context: CallContext): Promise<HttpAnswer[]>
  writeFailure(answer: HttpAnswer): SourceFailure
  warnings(answer: HttpAnswer): string | undefined
  /** Where a write goes, without the host: for previews. */
  pathOf(service: string, path: string): string
  close(): Promise<void>
}

/**
 * The cookies of one session there, and the token that is valid in it. Never changed, only replaced as a whole:
 * a token sent with the cookies of another session is refused.
 * @see SAP/cloud-sdk-java#357
 */
interface Session {
  readonly cookies: ReadonlyMap<string, string>
  readonly token: string | null
}

interface Call {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly writes: boolean
}

const JSON_HEADERS = { accept: 'application/json', dataserviceversion: '2.0' }
/** A list longer than so many pages goes round in a circle. */
const MAX_PAGES = 10_000

export function createGateway(config: SapS4Config, context: AdapterContext): Gateway {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs: context.timeoutMs,
    maxSockets: config.maxConnections,
    verifyCertificate: config.verifyCertificate,
  })
  const { auth, events } = config
  const secret = auth.method === 'basic' ? auth.password : auth.clientSecret
  const words = createWords([secret, events?.password ?? ''], 500)
  const login = createLogin(config, context, words)
  const errors = createErrors(words)
  const sessions = new Map<string, Session>()
  const fetching = new Map<string, Promise<Session>>()

  const pathOf = (service: string, path: string): string => {
    const client = config.sapClient ? `${path.includes('?') ? '&' : '?'}sap-client=${config.sapClient}` : ''
    return `${config.path}/${service}/${path}${client}`
  }

  /** One exchange; a token of the login that turns out to be over is renewed once, writes too: refused unread. */
  const send = async (
    service: string,
    call: Call,
    session: Session | undefined,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> => {
    for (let renewed = false; ; renewed = true) {
      const authorization = await login.header(signal)
      const cookie = session && session.cookies.size > 0 ? cookieHeader(session) : undefined
      if (cookie !== undefined) words.hideCookies(cookie)
      const answer = await http.request({
        method: call.method,
        path: call.path,
        headers: {
          ...JSON_HEADERS,
          'accept-language': config.language,
          authorization,
          ...(cookie === undefined ? {} : { cookie }),
          ...call.headers,
        },
        ...(call.body === undefined ? {} : { body: call.body }),
        signal,
        writes: call.writes,
      })
      if (answer.status === 401 && !renewed && login.refused(authorization)) continue
      adopt(service, session, answer)
      return answer
    }
  }

  /** Another session cookie means that ours is over: its token is, too. */
  const adopt = (service: string, used: Session | undefined, answer: HttpAnswer): void => {
    const set = cookiesOf(answer)
    if (set.size === 0 || sessions.get(service) !== used) return
    const cookies = new Map([...(used?.cookies ?? []), ...set])
    const same = [...cookies].every(
      ([name, value]) => !name.startsWith('SAP_SESSIONID') || used?.cookies.get(name) === value,
    )
    sessions.set(service, { cookies, token: same ? (used?.token ?? null) : null })
  }

  /** HEAD, the same without its slash, then GET: some systems refuse or redirect one of them. */
  const fetchToken = async (service: string): Promise<Session> => {
    const root = `${config.path}/${service}`
    const client = config.sapClient ? `?sap-client=${config.sapClient}` : ''
    let last: HttpAnswer | undefined
    for (const [method, path] of [
      ['HEAD', `${root}/${client}`],
      ['HEAD', `${root}${client}`],
      ['GET', `${root}/${client}`],
    ] as const) {
      const session = sessions.get(service)
      const call = { method, path, headers: { 'x-csrf-token': 'Fetch' }, writes: false }
      const answer = await send(service, call, session, undefined)
      const token = answer.headers['x-csrf-token']
      if (answer.status < 300 && typeof token === 'string' && !/^required$/i.test(token)) {
        const cookies = new Map([...(session?.cookies ?? []), ...cookiesOf(answer)])
        const opened = { cookies, token }
        sessions.set(service, opened)
        return opened
      }
      last = answer
      // What knows no HEAD says 405 or 501.
      const isOver = answer.status >= 500 && answer.status !== 501
      if (answer.status === 401 || answer.status === 429 || isOver) break
    }
    if (last && last.status >= 400) throw new SourceError(errors.read(last, `${service}: CSRF token`))
    throw new SourceError({ kind: 'invalid-response', detail: `${service}: no CSRF token` })
  }

  const withToken = async (service: string, signal: AbortSignal | undefined): Promise<Session> => {
    const session = sessions.get(service)
    if (session?.token) return session
    let work = fetching.get(service)
    if (!work) {
      // Without the caller's signal: others wait for the same token.
      work = fetchToken(service).finally(() => fetching.delete(service))
      fetching.set(service, work)
    }
    return orAborted(work, signal)
  }

  /** An exchange that needs a token: whatever may change something, and every `$batch`. */
  const protectedSend = async (
    service: string,
    call: Call,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> => {
    for (let replayed = false; ; replayed = true) {
      const session = await withToken(service, signal)
      const headers = { ...call.headers, 'x-csrf-token': session.token ?? '' }
      const answer = await send(service, { ...call, headers }, session, signal)
      const stale = answer.status === 403 && /^required$/i.test(String(answer.headers['x-csrf-token'] ?? ''))
      if (!stale || replayed) return answer
      // Refused unread. Another call may have fetched a new token meanwhile: then that one is used.
      const present = sessions.get(service)
      if (present?.token === session.token) sessions.set(service, { cookies: new Map(), token: null })
    }
  }

  const sendBatch = async (
    service: string,
    parts: readonly BatchPart[],
    writes: boolean,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> => {
    const boundary = `batch_${randomUUID()}`
    return protectedSend(
      service,
      {
        method: 'POST',
        path: pathOf(service, '$batch'),
        headers: { 'content-type': `multipart/mixed; boundary=${boundary}`, accept: 'multipart/mixed' },
        body: writeBatch(parts, boundary),
        writes,
      },
      signal,
    )
  }

  const get = async (
    service: string,
    path: string,
    signal: AbortSignal | undefined,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpAnswer> => {
    const answer = await send(
      service,
      { method: 'GET', path: pathOf(service, path), headers, writes: false },
      sessions.get(service),
      signal,
    )
    return answer
  }

  /** The rows of a page and of those behind it. @throws SourceError */
  const follow = async (
    query: Query,
    first: HttpAnswer,
    signal: AbortSignal | undefined,
  ): Promise<unknown[]> => {
    const rows: unknown[] = []
    const top = query.top ?? Number.POSITIVE_INFINITY
    const seen = new Set<string>()
    let answer = first
    for (let pages = 1; ; pages++) {
      const page = readPage(answer, query.set)
      rows.push(...page.rows)
      if (page.next === undefined || rows.length >= top) return rows.slice(0, top)
      const next = pathBelow(query, page.next)
      if (seen.has(next) || pages >= MAX_PAGES) {
        throw new SourceError({ kind: 'invalid-response', detail: `${query.set}: pages go round` })
      }
      seen.add(next)
      answer = await get(query.service, next, signal)
    }
  }

  const readPage = (answer: HttpAnswer, set: string): { rows: unknown[]; next?: string | undefined } => {
    if (answer.status === 200) return pageOf(answer, set)
    if (answer.status === 400 && vendorError(answer)?.code === NO_DATA) return { rows: [] }
    throw new SourceError(errors.read(answer, set))
  }

  /**
   * Absolute or relative, but never to another place: credentials would go with it. Behind API Management the link
   * may name the path that the system itself has; what lies below the service is the same.
   */
  const pathBelow = ({ service, set }: Query, next: string): string => {
    const root = `${config.path}/${service}/`
    const url = URL.parse(next, new URL(root + set, config.baseUrl).href)
    let decoded = ''
    try {
      decoded = decodeURIComponent(url?.pathname ?? '')
    } catch {
      // not readable: said below
    }
    const [name = ''] = service.split(';')
    const [, below = ''] = new RegExp(`/${name}(?:;v=\\d+)?/([^/].*)$`).exec(decoded) ?? []
    if (!url || below === '') {
      throw new SourceError({ kind: 'invalid-response', detail: `${service}: __next leads elsewhere` })
    }
    const search = url.search.replace(/([?&])sap-client=\d{3}(&|$)/, '$1').replace(/[?&]$/, '')
    return below + search
  }

  const absent = createAbsentFields<Query>({
    own: /^YY1_/,
    nameOf: ({ service, set }) => `${service}/${set}`,
    missing({ service, set }, unknown) {
      const what = { system: context.systemId, service, set, unknown }
      context.log.warn(what, 'fields that this release does not have')
    },
  })

  const askedRows = (query: Query, signal: AbortSignal | undefined) =>
    outcomeOf(async () => {
      const path = queryPath(query)
      if (path.length <= config.maxUrlLength)
        return follow(query, await get(query.service, path, signal), signal)
      const [only] = await askedTogether([query], signal)
      if (!only?.ok) throw new SourceError(only?.failure ?? { kind: 'invalid-response', detail: '$batch' })
      return only.value
    })

  const rows: Gateway['rows'] = async (wanted, { signal }) => {
    const query = absent.without(wanted)
    const ask = (one: Query) => askedRows(one, signal)
    const read = await absent.settle(query, await ask(query), ask)
    if (!read.ok) throw new SourceError(read.failure)
    return read.value
  }

  const manyRows: Gateway['manyRows'] = async (wanted, { signal }) => {
    const queries = wanted.map(absent.without)
    const outcomes = await askedTogether(queries, signal)
    const ask = (one: Query) => askedRows(one, signal)
    return Promise.all(outcomes.map((one, at) => absent.settle(queries[at] as Query, one, ask)))
  }

  const askedTogether = async (queries: readonly Query[], signal: AbortSignal | undefined) => {
    const [first] = queries
    if (!first) return []
    const parts = queries.map((query) => ({ method: 'GET', path: queryPath(query) }) as const)
    const answer = await sendBatch(first.service, parts, false, signal)
    if (answer.status >= 300) throw new SourceError(errors.read(answer, `${first.service}: $batch`))
    const answers = readWholeBatch(answer, queries.length)
    const outcomes: Outcome<unknown[]>[] = []
    for (const [at, query] of queries.entries()) {
      const part = answers[at]
      outcomes.push(
        part
          ? await outcomeOf(() => follow(query, part, signal))
          : fail({ kind: 'invalid-response', detail: '$batch' }),
      )
    }
    return outcomes
  }

  return {
    rows,
    manyRows,

    async metadata(service, { signal }) {
      const answer = await get(service, '$metadata', signal, { accept: 'application/xml' })
      if (answer.status !== 200) throw new SourceError(errors.read(answer, `${service}: $metadata`))
      return answer.text
    },

    async connect(service, { signal }) {
      await withToken(service, signal)
    },

    write(request, { signal }) {
      const { service, method, path, body, headers } = request
      return protectedSend(
        service,
        {
          method,
          path: pathOf(service, path),
          headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
          ...(body === undefined ? {} : { body }),
          writes: true,
        },
        signal,
      )
    },

    async writeAll(requests, { signal }) {
      const [first] = requests
      if (!first) return []
      const answer = await sendBatch(first.service, requests, true, signal)
      if (answer.status >= 300) throw new SourceError(errors.write(answer))
      try {
        return readWholeBatch(answer, requests.length)
      } catch (error) {
        if (!(error instanceof SourceError)) throw error
        throw new SourceError({ kind: 'unknown-outcome', detail: error.message })
      }
    },

    writeFailure: errors.write,
    warnings: errors.warnings,
    pathOf,

    async close() {
      http.close()
      login.close()
    },
  }
}

/* ---- cookies ---- */

function cookiesOf(answer: HttpAnswer): Map<string, string> {
  const cookies = new Map<string, string>()
  for (const header of [answer.headers['set-cookie'] ?? []].flat()) {
    const [, name, value] = /^\s*([^=;\s]+)=([^;]*)/.exec(header) ?? []
    if (name && value !== undefined) cookies.set(name, value)
  }
  return cookies
}

const cookieHeader = ({ cookies }: Session): string =>
  [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')

/* ---- answers ---- */

const pageSchema = z.object({
  d: z.union([
    z.array(z.unknown()).transform((results) => ({ results, __next: undefined })),
    z.object({ results: z.array(z.unknown()), __next: z.string().nullish() }),
  ]),
})

function pageOf(answer: HttpAnswer, what: string): { rows: unknown[]; next?: string | undefined } {
  const page = pageSchema.safeParse(parseJson(answer.text, what))
  if (page.success) return { rows: page.data.d.results, next: page.data.d.__next || undefined }
  throw new SourceError({ kind: 'invalid-response', detail: `${what}: ${z.prettifyError(page.error)}` })
}

/** One entity, as a create answers it. */
export function entityOf(answer: HttpAnswer, what: string): Outcome<unknown> {
  let json: unknown
  try {
    json = parseJson(answer.text, what)
  } catch {
    return fail({ kind: 'unknown-outcome', detail: `${what}: the answer cannot be read` })
  }
  const parsed = z.object({ d: z.unknown() }).safeParse(json)
  return parsed.success
    ? ok(parsed.data.d)
    : fail({ kind: 'unknown-outcome', detail: `${what}: the answer has no entity` })
}
