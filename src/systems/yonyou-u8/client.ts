/**
 * The OpenAPI gateway's protocol: a token in the query, pages, and writes whose result is fetched later.
 *
 * The gateway hands every call to an agent beside the company's U8 server; `errcode` is a text, and the vendor
 * publishes no list of its values. What a refusal means is therefore read from the configured table first, then from
 * the vendor's words.
 * @see api.yonyouup.com, 接口文档: system/token, system/tradeid, result
 */
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import {
  fail,
  type Outcome,
  ok,
  outcomeOf,
  type Rejection,
  SourceError,
  type SourceFailure,
} from '../failure.ts'
import { createHttpClient, type HttpAnswer, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createLanes } from '../kit/lanes.ts'
import { listIn } from '../kit/named-fields.ts'
import { createTokens } from '../kit/tokens.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import type { ERROR_MEANINGS, YonyouU8Config } from './config.ts'

export type Parameters = Readonly<Record<string, string | undefined>>

export interface Page {
  readonly rows: readonly unknown[]
  /** How many there are in all. */
  readonly rowCount: number
}

/** What the gateway said of a write: done, or carried out later and told under `url`. */
export type Accepted = { readonly done: true; readonly id: string | null } | Pending
export interface Pending {
  readonly done: false
  /** Path and query below the gateway's address. */
  readonly url: string
}

export interface U8Client {
  /** Makes sure that there is a token. @throws SourceError */
  connect(context: CallContext): Promise<void>
  /** One record, under the name `property`; null where the vendor has none. @throws SourceError */
  get(path: string, id: string, property: string, context: CallContext): Promise<unknown>
  /** One page, counted from 1. @throws SourceError */
  page(
    path: string,
    property: string,
    query: { readonly filter: Parameters; readonly page: number; readonly size: number },
    context: CallContext,
  ): Promise<Page>
  /** All pages. @throws SourceError */
  all(path: string, property: string, filter: Parameters, context: CallContext): Promise<unknown[]>
  /** Rows of the customer table: a POST that reads. @throws SourceError */
  query(path: string, body: Readonly<Record<string, unknown>>, context: CallContext): Promise<unknown[]>
  /** The number under which a write goes; one for each write. @throws SourceError */
  tradeId(context: CallContext): Promise<string>
  /** Sends a write, once. @throws SourceError */
  submit(path: string, id: Parameters, body: string, context: CallContext): Promise<Accepted>
  /** Asks once for the result of a write: `null` as long as there is none. */
  result(pending: Pending, context: CallContext): Promise<Outcome<{ readonly id: string | null } | null>>
  /** Asks until there is a result or the configured time is over: then `null`. */
  awaitResult(
    pending: Pending,
    context: CallContext,
    /** Asked where the result names no record: whether it is there all the same. */
    isThere?: () => Promise<boolean>,
  ): Promise<Outcome<{ readonly id: string | null } | null>>
  close(): void
}

// Numbers arrive as decimal text, see parseJson.
const envelopeSchema = z.looseObject({ errcode: z.string(), errmsg: z.string().nullish() })
type Envelope = z.infer<typeof envelopeSchema>

const tokenSchema = z.looseObject({
  token: z.looseObject({ id: z.string().min(1), expiresIn: z.string().regex(/^\d+$/).nullish() }),
})
const tradeSchema = z.looseObject({ trade: z.looseObject({ id: z.string().min(1) }) })
const count = z.string().regex(/^\d+$/).nullish()

type Meaning = (typeof ERROR_MEANINGS)[number]

/** The vendor's words, in the order in which they are looked for. Seen in use; not documented. */
const WORDS: readonly (readonly [Meaning, RegExp])[] = [
  // Nothing that is sold is called so.
  ['token', /token|令牌/i],
  [
    'credentials',
    /接口.{0,8}(不存在|未)|无此接口|app_?(key|secret)|(from|to)_account|ds_sequence|数据源|账号|账套|授权|权限/i,
  ],
  ['offline', /离线|不在线|未启动|未运行|未连接|无法连接|offline/i],
  ['busy', /繁忙|频繁|超出.{0,6}(次数|限制)|too many|busy/i],
  // Not every 正在: that goods are being counted is a reason to refuse.
  [
    'pending',
    /处理中|执行中|排队|正在(处理|执行)|(请求|任务|结果).{0,6}(尚未|未完成|等待)|processing|pending/i,
  ],
  [
    'missing',
    /不存在|没有(找到|符合|查询到|数据)|未(找到|查询到)|查无|无此|无数据|no data|not (found|exist)/i,
  ],
]
/** Of a result that is not there yet, said of nothing but results. */
const NOT_YET =
  /尚未|未完成|未(被)?(处理|执行|返回)|等待|稍[后候]|进行中|waiting|running|in progress|queued|not (yet|ready|finished|completed?)/i

/** Longer messages of the vendor are cut. */
const MAX_MESSAGE = 500
/** A token is replaced so long before its end. */
const TOKEN_MARGIN_MS = 60_000
const TOKEN_LIFE_SECONDS = '7200'
/** The result of a write may be asked for less often than this only on request: tests set 0. */
const MIN_POLL_MS = 20

export function createU8Client(config: YonyouU8Config, { timeoutMs, log }: AdapterContext): U8Client {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  const lanes = createLanes(config.parallelCalls, timeoutMs)

  /** Texts that must never be shown: the secret, and every token that is or was in use. */
  const secrets = new Set([config.appSecret])
  const clean = (text: string) =>
    [...secrets]
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  const meaningOf = ({ errcode, errmsg }: Envelope): Meaning | 'ok' | 'refused' => {
    if (/^0+$/.test(errcode)) return 'ok'
    return config.errorCodes[errcode] ?? WORDS.find(([, words]) => words.test(errmsg ?? ''))?.[0] ?? 'refused'
  }

  const tokens = createTokens(async () => {
    const query = queryOf({
      from_account: config.fromAccount,
      app_key: config.appKey,
      app_secret: config.appSecret,
    })
    const what = 'GET /system/token'
    const answer = await http.request({ method: 'GET', path: `/system/token?${query}`, writes: false })
    const envelope = readEnvelope(answer)
    const early = statusFailure(what, answer, envelope, false)
    if (early) throw new SourceError(early)
    const body = envelope as Envelope
    const meaning = meaningOf(body)
    const detail = `${what}: errcode ${clean(body.errcode)} ${clean(body.errmsg ?? '')}`
    if (meaning === 'offline' || meaning === 'busy') throw new SourceError(unavailable(meaning, detail))
    if (meaning !== 'ok') throw new SourceError({ kind: 'unauthorized', detail })
    const parsed = tokenSchema.safeParse(body)
    if (!parsed.success) throw new SourceError({ kind: 'invalid-response', detail: `${what}: no token` })
    const { id, expiresIn } = parsed.data.token
    if (secrets.size > 20) for (const old of [...secrets].slice(1, 10)) secrets.delete(old)
    secrets.add(id)
    const lifeMs = Number(expiresIn ?? TOKEN_LIFE_SECONDS) * 1000
    // A life too short for the margin is used by half.
    return { id, endsAt: Date.now() + Math.max(lifeMs - TOKEN_MARGIN_MS, lifeMs / 2) }
  })

  interface Call {
    readonly method: 'GET' | 'POST'
    readonly path: string
    readonly query: Parameters
    readonly body?: string
    /** The token in a header instead of the query. */
    readonly bearer?: boolean
    readonly writes: boolean
    readonly context: CallContext
  }

  /** One call with the present token, and once more with a new one if that was refused: it was refused unread. */
  const exchange = async (call: Call): Promise<Envelope> => {
    const { method, path, writes } = call
    const what = `${method} ${path}`
    const { signal } = call.context
    for (let attempt = 1; ; attempt++) {
      const token = await tokens.get(signal)
      const query = queryOf({ ...call.query, ...(call.bearer ? {} : { token }) })
      const answer = await lanes.run(signal, () =>
        http.request({
          method,
          path: query ? `${path}?${query}` : path,
          headers: {
            accept: 'application/json',
            ...(call.bearer ? { authorization: `Bearer ${token}` } : {}),
            ...(call.body === undefined ? {} : { 'content-type': 'application/json; charset=utf-8' }),
          },
          ...(call.body === undefined ? {} : { body: call.body }),
          signal,
          writes,
        }),
      )
      const envelope = readEnvelope(answer)
      const refusedToken = answer.status === 401 || (envelope && meaningOf(envelope) === 'token')
      if (refusedToken) {
        const detail = `${what}: the token is refused${envelope ? ` (errcode ${clean(envelope.errcode)})` : ''}`
        tokens.refused(token, { kind: 'unauthorized', detail })
        if (attempt === 1) continue
        throw new SourceError({ kind: 'unauthorized', detail })
      }
      const early = statusFailure(what, answer, envelope, writes)
      if (early) throw new SourceError(early)
      tokens.proven(token)
      return envelope as Envelope
    }
  }

  /** What an envelope that is no success means; @throws SourceError */
  const refusal = (
    what: string,
    envelope: Envelope,
    meaning: Meaning | 'refused',
    writes: boolean,
  ): never => {
    const detail = `${what}: errcode ${clean(envelope.errcode)} ${clean(envelope.errmsg ?? '')}`
    log.debug({ what, errcode: envelope.errcode, meaning }, 'U8 said no')
    switch (meaning) {
      case 'credentials':
        throw new SourceError({ kind: 'unauthorized', detail })
      case 'offline':
        throw new SourceError(unavailable(meaning, detail))
      case 'busy':
        // Where in its way a busy gateway gave up is not known.
        throw new SourceError(writes ? { kind: 'unknown-outcome', detail } : unavailable(meaning, detail))
      case 'pending':
        throw new SourceError(writes ? { kind: 'unknown-outcome', detail } : unavailable('busy', detail))
      default:
        throw new SourceError(rejectionOf(envelope, clean))
    }
  }

  const account = {
    from_account: config.fromAccount,
    to_account: config.toAccount,
    app_key: config.appKey,
    ds_sequence: config.dsSequence === undefined ? undefined : String(config.dsSequence),
  }

  const read = async (path: string, filter: Parameters, context: CallContext): Promise<Envelope | null> => {
    const call = { method: 'GET', path, query: { ...account, ...filter }, writes: false, context } as const
    const envelope = await exchange(call)
    const meaning = meaningOf(envelope)
    if (meaning === 'ok') return envelope
    return meaning === 'missing' ? null : refusal(`GET ${path}`, envelope, meaning, false)
  }

  const page: U8Client['page'] = async (path, property, query, context) => {
    const { index, size } = config.paging
    const paging = { [index]: String(query.page), [size]: String(query.size) }
    const envelope = await read(path, { ...query.filter, ...paging }, context)
    if (envelope === null) return { rows: [], rowCount: 0 }
    const value = listIn(envelope, property)
    const isOne = typeof value === 'object' && value !== null && !Array.isArray(value)
    // A list of one may come as that one, a list of none as nothing.
    const rows = isOne ? (Object.keys(value).length > 0 ? [value] : []) : value || []
    const counts = count.safeParse(envelope.row_count)
    if (!Array.isArray(rows) || !counts.success) {
      const detail = `GET ${path}: no list "${property}" with its row_count`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    // Without a count, a full page promises another one.
    const known = counts.data ? Number(counts.data) : undefined
    const upTo = (query.page - 1) * query.size + rows.length
    const rowCount = known ?? (rows.length < query.size ? upTo : upTo + 1)
    if (query.page === 1 && rows.length > 0 && rows.length < query.size && rowCount > rows.length) {
      // Pages would then be counted in another size than ours.
      const detail = `GET ${path}: no page has more than ${rows.length} rows: set pageLimit to that`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    return { rows, rowCount }
  }

  const resultOf = async (
    pending: Pending,
    context: CallContext,
  ): Promise<Outcome<{ id: string | null } | null>> => {
    const what = `GET ${pending.url.split('?')[0]}`
    const asked = await outcomeOf(() =>
      lanes.run(context.signal, () =>
        http.request({ method: 'GET', path: pending.url, signal: context.signal, writes: false }),
      ),
    )
    if (!asked.ok) return asked
    const envelope = readEnvelope(asked.value)
    const early = statusFailure(what, asked.value, envelope, false)
    if (early) return fail(early)
    const body = envelope as Envelope
    const meaning = meaningOf(body)
    if (meaning === 'ok') return ok({ id: textOf(body.id) })
    const words = body.errmsg ?? ''
    // The gateway has forgotten the request, or not yet heard of it: that says nothing of the order. What is not said
    // in words is no refusal either: a write that is still under way would be told as refused.
    const isOpen = /(request|trade)_?id/i.test(words) || NOT_YET.test(words) || words.trim() === ''
    if (isOpen && config.errorCodes[body.errcode] === undefined) return ok(null)
    switch (meaning) {
      case 'refused':
      case 'missing': // "customer 99 does not exist" is why the order was refused
      case 'credentials': // the agent's user may not do it
        return fail(rejectionOf(body, clean))
      default:
        // Neither done nor refused: an agent that went offline may have done it before.
        return ok(null)
    }
  }

  return {
    async connect({ signal }) {
      await tokens.get(signal)
    },

    async get(path, id, property, context) {
      const envelope = await read(path, { id }, context)
      const record = envelope?.[property]
      if (record === undefined || record === null || record === '') return null
      const one = Array.isArray(record) ? record[0] : record
      return one && typeof one === 'object' && Object.keys(one).length > 0 ? one : null
    },

    page,

    async all(path, property, filter, context) {
      const size = config.pageLimit
      const rows: unknown[] = []
      for (let at = 1; ; at++) {
        const read = await page(path, property, { filter, page: at, size }, context)
        rows.push(...read.rows)
        if (read.rows.length === 0 || rows.length >= read.rowCount) return rows
      }
    },

    async query(path, body, context) {
      const call = { method: 'POST', path, query: {}, bearer: true, writes: false, context } as const
      const envelope = await exchange({ ...call, body: JSON.stringify(body) })
      const meaning = meaningOf(envelope)
      if (meaning === 'missing') return []
      if (meaning !== 'ok') refusal(`POST ${path}`, envelope, meaning, false)
      if (Array.isArray(envelope.data)) return envelope.data
      throw new SourceError({ kind: 'invalid-response', detail: `POST ${path}: no list "data"` })
    },

    async tradeId(context) {
      const { from_account, app_key } = account
      const path = '/system/tradeid'
      const query = { from_account, app_key }
      const envelope = await exchange({ method: 'GET', path, query, writes: false, context })
      const meaning = meaningOf(envelope)
      if (meaning !== 'ok') return refusal(`GET ${path}`, envelope, meaning, false)
      const parsed = tradeSchema.safeParse(envelope)
      if (parsed.success) return parsed.data.trade.id
      throw new SourceError({ kind: 'invalid-response', detail: `GET ${path}: no number` })
    },

    async submit(path, id, body, context) {
      const query = { ...account, ...id }
      const envelope = await exchange({ method: 'POST', path, query, body, writes: true, context })
      const meaning = meaningOf(envelope)
      if (meaning !== 'ok') return refusal(`POST ${path}`, envelope, meaning, true)
      const url = textOf(envelope.url)
      if (url !== null) return { done: false, url: pathOf(url, config.baseUrl) }
      const request = textOf(envelope.requestid)
      if (request !== null) return { done: false, url: `/result?${queryOf({ requestid: request })}` }
      // Some calls are answered at once.
      if ('id' in envelope) return { done: true, id: textOf(envelope.id) }
      throw new SourceError({
        kind: 'unknown-outcome',
        detail: `POST ${path}: neither a result nor its address`,
      })
    },

    result: resultOf,

    async awaitResult(pending, context, isThere) {
      const until = Date.now() + config.resultWithinSeconds * 1000
      const everyMs = Math.max(config.resultAfterSeconds * 1000, MIN_POLL_MS)
      for (let wait = config.resultAfterSeconds * 1000; ; wait = everyMs) {
        try {
          await delay(wait, undefined, context.signal ? { signal: context.signal } : {})
        } catch {
          return ok(null) // nobody waits any more; the write goes its way
        }
        const outcome = await resultOf(pending, context)
        if (!outcome.ok && outcome.failure.kind === 'rejected') return outcome
        const done = outcome.ok ? outcome.value : null
        // Some gateways answer without an error from the beginning: only an id, or the deed itself, says that it is done.
        if (done && (done.id !== null || !isThere || (await isThere()))) return outcome
        // A result that could not be fetched is still there for the next time.
        if (Date.now() + everyMs > until) return ok(null)
      }
    },

    close: () => http.close(),
  }
}

function readEnvelope(answer: HttpAnswer): Envelope | null {
  try {
    const parsed = envelopeSchema.safeParse(withErrcode(parseJson(answer.text, 'answer')))
    return parsed.success ? parsed.data : null
  } catch (error) {
    if (error instanceof SourceError) return null
    throw error
  }
}

/** The customer table's answer is only known to carry `data`: without an errcode that is a success. */
function withErrcode(body: unknown): unknown {
  const isBare =
    typeof body === 'object' &&
    body !== null &&
    !('errcode' in body) &&
    'data' in body &&
    Array.isArray(body.data)
  return isBare ? { ...body, errcode: '0' } : body
}

/** What the HTTP status alone says, or the lack of an envelope; `null`: the envelope must tell. */
function statusFailure(
  what: string,
  answer: HttpAnswer,
  envelope: Envelope | null,
  writes: boolean,
): SourceFailure | null {
  const { status } = answer
  // Not the answer's text: an error page may repeat the address, and the address holds the token.
  const detail = `${what}: HTTP ${status}${envelope ? '' : ', no JSON with an errcode'}`
  const after = retryAfterMs(answer.headers)
  const later = after === undefined ? {} : { retryAfterMs: after }
  if (status === 429) return { ...unavailable('busy', detail), ...later }
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status >= 500) {
    return writes
      ? { kind: 'unknown-outcome', detail }
      : { kind: 'unavailable', reason: 'overloaded', detail, ...later }
  }
  if (envelope) return null
  return writes ? { kind: 'unknown-outcome', detail } : { kind: 'invalid-response', detail }
}

function unavailable(
  why: 'offline' | 'busy',
  detail: string,
): Extract<SourceFailure, { kind: 'unavailable' }> {
  return { kind: 'unavailable', reason: why === 'busy' ? 'rate-limited' : 'unreachable', detail }
}

function rejectionOf(envelope: Envelope, clean: (text: string) => string): Rejection {
  const message = clean(envelope.errmsg ?? '')
  const line = /第\s*(\d+)\s*行/.exec(message)?.[1]
  return {
    kind: 'rejected',
    code: clean(envelope.errcode),
    message: message || `U8 answered with errcode ${clean(envelope.errcode)}.`,
    ...(line === undefined ? {} : { line }),
  }
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/**
 * Where a result is fetched: below the configured address whatever host the vendor names, so that a gateway reached
 * through another address stays reachable and a forged answer leads nowhere.
 */
function pathOf(url: string, baseUrl: string): string {
  try {
    const { pathname, search } = new URL(url, baseUrl)
    return `${pathname}${search}`
  } catch {
    throw new SourceError({ kind: 'unknown-outcome', detail: 'the address of the result cannot be read' })
  }
}

/** Parameters without a value are left out. */
function queryOf(parameters: Parameters): string {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => !!entry[1])
  return new URLSearchParams(given).toString()
}
