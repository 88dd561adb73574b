/**
 * The open platform's protocol: a signed form with the business data as JSON text in `biz`, a token that is renewed,
 * and failures inside HTTP 200.
 *
 * The numbers of the vendor's codes are not confirmed: what a refusal means is read from the configured table first,
 * then from the vendor's words.
 * @see openweb.jushuitan.com, 开发文档: 签名规则, 获取初始token, 刷新token
 */
import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { oneLine, SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, retryAfterMs } from '../http.ts'
import { parseJson } from '../json.ts'
import { createPace } from '../pace.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import { createTokens } from '../tokens.ts'
import type { ERROR_MEANINGS, JushuitanConfig } from './config.ts'

export interface JushuitanClient {
  /** Makes sure that there is a token. @throws SourceError */
  connect(context: CallContext): Promise<void>
  /** Asks; answers `data`, empty where the vendor says that there is nothing. @throws SourceError */
  query(path: string, biz: unknown, context: CallContext): Promise<Data>
  /** Sends a write, once; answers `data`. @throws SourceError */
  write(path: string, biz: string, context: CallContext): Promise<Data>
  close(): void
}

export type Data = Readonly<Record<string, unknown>>

/** Lower-case MD5 over the secret and, sorted by name, names and values as they are sent, before URL encoding. */
export function sign(parameters: Readonly<Record<string, string>>, secret: string): string {
  const sorted = Object.keys(parameters).sort()
  const text = secret + sorted.map((name) => name + parameters[name]).join('')
  return createHash('md5').update(text, 'utf8').digest('hex')
}

// Numbers arrive as decimal text, see parseJson.
const envelopeSchema = z.looseObject({
  code: z.string(),
  msg: z.string().nullish(),
  data: z.unknown(),
})
type Envelope = z.infer<typeof envelopeSchema>

const tokenSchema = z.looseObject({
  access_token: z.string().min(1),
  refresh_token: z.string().min(1).nullish(),
  expires_in: z.string().regex(/^\d+$/),
})

type Meaning = (typeof ERROR_MEANINGS)[number]

/** The vendor's words, in the order in which they are looked for. */
const WORDS: readonly (readonly [Meaning, RegExp])[] = [
  [
    'token',
    /token.{0,12}(过期|失效|无效|错误|不存在|expired|invalid)|(过期|失效|无效|invalid|expired).{0,12}token|授权.{0,4}(过期|失效)/i,
  ],
  ['credentials', /签名|sign\b|app_?(key|secret)|时间戳|timestamp|权限|未授权|白名单/i],
  ['throttled', /频率|频繁|限流|超(过|出).{0,8}(次数|限制)|too many|rate limit/i],
  ['busy', /繁忙|稍后|超时|busy|timeout/i],
  ['missing', /(没有|无|未)(找到|查询到|符合).{0,12}(数据|订单|商品|记录)|no data/i],
]

const MAX_MESSAGE = 500
/** A token is replaced so long before its end; one that lives shorter, at half of its life. */
const TOKEN_MARGIN_MS = 3_600_000

export function createJushuitanClient(
  config: JushuitanConfig,
  { timeoutMs, log }: AdapterContext,
): JushuitanClient {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  const pace = createPace({
    perSecond: config.callsPerSecond,
    perMinute: config.callsPerMinute,
    maxWaitMs: timeoutMs,
  })

  /** Texts that must never be shown: the secret, and every token that is or was in use. */
  const secrets = [config.appSecret]
  const keepSecret = (text: string) => {
    if (!secrets.includes(text)) secrets.push(text)
    // Sixteen tokens back is further than any call under way.
    if (secrets.length > 17) secrets.splice(1, 1)
  }
  const clean = (text: string) =>
    oneLine(
      secrets.reduce((censored, secret) => censored.replaceAll(secret, '***'), text),
      MAX_MESSAGE,
    ).trim()

  const meaningOf = ({ code, msg }: Envelope): Meaning | 'ok' | 'refused' => {
    if (code === '0') return 'ok'
    return config.errorCodes[code] ?? WORDS.find(([, words]) => words.test(msg ?? ''))?.[0] ?? 'refused'
  }

  const post = async (
    path: string,
    parameters: Readonly<Record<string, string>>,
    writes: boolean,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> => {
    await pace(signal)
    // Stamped when it leaves: the vendor refuses what is minutes old.
    const stamped = { ...parameters, timestamp: String(Math.floor(Date.now() / 1000)) }
    const form = new URLSearchParams({ ...stamped, sign: sign(stamped, config.appSecret) })
    return http.request({
      method: 'POST',
      path,
      headers: {
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      },
      body: form.toString(),
      signal,
      writes,
    })
  }

  let refreshToken: string | null = null

  const tokenFrom = async (path: string, parameters: Readonly<Record<string, string>>) => {
    const what = `POST ${path}`
    const answer = await post(
      path,
      { app_key: config.appKey, charset: 'utf-8', ...parameters },
      false,
      undefined,
    )
    const envelope = readEnvelope(answer)
    const early = statusFailure(what, answer, envelope, false)
    if (early) throw new SourceError(early)
    const body = envelope as Envelope
    const meaning = meaningOf(body)
    if (meaning !== 'ok') {
      const detail = `${what}: code ${clean(body.code)} ${clean(body.msg ?? '')}`
      if (meaning === 'throttled' || meaning === 'busy') throw new SourceError(unavailable(meaning, detail))
      throw new SourceError({ kind: 'unauthorized', detail })
    }
    const parsed = tokenSchema.safeParse(body.data)
    if (!parsed.success) throw new SourceError({ kind: 'invalid-response', detail: `${what}: no token` })
    return parsed.data
  }

  const initToken = () =>
    // Any six characters: the vendor wants them of applications that serve their own company.
    tokenFrom('/openWeb/auth/getInitToken', {
      grant_type: 'authorization_code',
      code: randomBytes(3).toString('hex'),
    })

  const renewedToken = async () => {
    if (refreshToken === null) return initToken()
    try {
      const grant = { grant_type: 'refresh_token', scope: 'all', refresh_token: refreshToken }
      return await tokenFrom('/openWeb/auth/refreshToken', grant)
    } catch (error) {
      if (!(error instanceof SourceError) || error.failure.kind !== 'unauthorized') throw error
      // Another process has refreshed with it, or it was too old.
      refreshToken = null
      return initToken()
    }
  }

  const tokens = createTokens(async () => {
    const token = await renewedToken()
    keepSecret(token.access_token)
    if (token.refresh_token) keepSecret(token.refresh_token)
    refreshToken = token.refresh_token ?? null
    const lifeMs = Number(token.expires_in) * 1000
    return {
      id: token.access_token,
      endsAt: Date.now() + Math.max(lifeMs - TOKEN_MARGIN_MS, lifeMs / 2),
    }
  })

  /** One call with the present token, and once more with a new one if that was refused: it was refused unread. */
  const exchange = async (
    path: string,
    biz: string,
    writes: boolean,
    { signal }: CallContext,
  ): Promise<{ envelope: Envelope; meaning: ReturnType<typeof meaningOf> }> => {
    const what = `POST ${path}`
    for (let attempt = 1; ; attempt++) {
      const token = await tokens.get(signal)
      const common = { app_key: config.appKey, access_token: token, charset: 'utf-8', version: '2' }
      const answer = await post(path, { ...common, biz }, writes, signal)
      const envelope = readEnvelope(answer)
      const early = statusFailure(what, answer, envelope, writes)
      if (early) throw new SourceError(early)
      const body = envelope as Envelope
      const meaning = meaningOf(body)
      if (meaning !== 'token') {
        tokens.proven(token)
        return { envelope: body, meaning }
      }
      const detail = `${what}: the token is refused (code ${clean(body.code)})`
      tokens.refused(token, { kind: 'unauthorized', detail })
      if (attempt > 1) throw new SourceError({ kind: 'unauthorized', detail })
    }
  }

  /** What an answer that is no success means. */
  const refusal = (
    path: string,
    { code, msg }: Envelope,
    meaning: Meaning | 'refused',
    writes: boolean,
  ): SourceError => {
    const detail = `POST ${path}: code ${clean(code)} ${clean(msg ?? '')}`
    log.debug({ path, code, meaning }, 'Jushuitan said no')
    switch (meaning) {
      case 'token':
      case 'credentials':
        return new SourceError({ kind: 'unauthorized', detail })
      case 'throttled':
        // The platform counts calls before it looks at them: nothing was done.
        return new SourceError(unavailable(meaning, detail))
      case 'busy':
        return new SourceError(writes ? { kind: 'unknown-outcome', detail } : unavailable(meaning, detail))
      default: {
        const message = clean(msg ?? '') || `Jushuitan answered with code ${clean(code)}.`
        return new SourceError({ kind: 'rejected', code: clean(code), message })
      }
    }
  }

  return {
    async connect({ signal }) {
      await tokens.get(signal)
    },

    async query(path, biz, context) {
      const { envelope, meaning } = await exchange(path, JSON.stringify(biz), false, context)
      if (meaning === 'missing') return {}
      if (meaning !== 'ok') throw refusal(path, envelope, meaning, false)
      const data = asData(envelope.data)
      if (data) return data
      throw new SourceError({ kind: 'invalid-response', detail: `POST ${path}: no data` })
    },

    async write(path, biz, context) {
      const { envelope, meaning } = await exchange(path, biz, true, context)
      if (meaning !== 'ok') throw refusal(path, envelope, meaning, true)
      return asData(envelope.data) ?? {}
    },

    close: () => http.close(),
  }
}

const asData = (data: unknown): Data | null =>
  typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as Data) : null

function readEnvelope(answer: HttpAnswer): Envelope | null {
  try {
    const parsed = envelopeSchema.safeParse(parseJson(answer.text, 'answer'))
    return parsed.success ? parsed.data : null
  } catch (error) {
    if (error instanceof SourceError) return null
    throw error
  }
}

/** What the HTTP status alone says, or the lack of an envelope; `null`: the envelope must tell. */
function statusFailure(
  what: string,
  answer: HttpAnswer,
  envelope: Envelope | null,
  writes: boolean,
): SourceFailure | null {
  const { status } = answer
  // Not the answer's text: an error page may repeat what was sent, and that holds the token.
  const detail = `${what}: HTTP ${status}${envelope ? '' : ', no JSON with a code'}`
  if (status === 429) {
    const after = retryAfterMs(answer.headers)
    return { ...unavailable('throttled', detail), ...(after === undefined ? {} : { retryAfterMs: after }) }
  }
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status >= 500) {
    return writes
      ? { kind: 'unknown-outcome', detail }
      : { kind: 'unavailable', reason: 'overloaded', detail }
  }
  if (envelope) return null
  return writes ? { kind: 'unknown-outcome', detail } : { kind: 'invalid-response', detail }
}

const unavailable = (
  why: 'throttled' | 'busy',
  detail: string,
): Extract<SourceFailure, { kind: 'unavailable' }> => ({
  kind: 'unavailable',
  reason: why === 'throttled' ? 'rate-limited' : 'overloaded',
  detail,
})
