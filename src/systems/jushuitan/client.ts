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
import { SourceError } from '../failure.ts'
import { createHttpClient, type HttpAnswer } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createPace } from '../kit/pace.ts'
import { type Meaning, meaningIn, readable, refusalOf, statusFailure } from '../kit/refusals.ts'
import { createTokens } from '../kit/tokens.ts'
import { createWords } from '../kit/words.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import type { JushuitanConfig } from './config.ts'

export interface JushuitanClient {
  /** Makes sure that there is a token. @throws SourceError */
  connect(context: CallContext): Promise<void>
  /** Asks; answers `data`, with a count of 0 where the vendor says that there is nothing. @throws SourceError */
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
  data: z.unknown().optional(),
})
type Envelope = z.infer<typeof envelopeSchema>

const tokenSchema = z.looseObject({
  access_token: z.string().min(1),
  refresh_token: z.string().min(1).nullish(),
  expires_in: z.string().regex(/^\d+$/),
})

const NOTHING: Data = { data_count: '0' }
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

  const words = createWords([config.appSecret], MAX_MESSAGE)

  const meaningOf = ({ code, msg }: Envelope): Meaning | 'ok' | 'refused' => {
    if (code === '0') return 'ok'
    return config.errorCodes[code] ?? meaningIn(msg ?? '') ?? 'refused'
  }

  /** What an answer that is no success means. */
  const said = (what: string, { code, msg }: Envelope, meaning: Meaning | 'refused', writes: boolean) => {
    log.debug({ what, code, meaning }, 'Jushuitan said no')
    return refusalOf(meaning, { what, code: words.tidy(code), message: words.tidy(msg ?? ''), writes })
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
    const early = statusFailure(what, answer, envelope !== null, false)
    if (early) throw new SourceError(early)
    const body = envelope as Envelope
    const meaning = meaningOf(body)
    if (meaning !== 'ok') {
      const failure = said(what, body, meaning, false)
      // Whatever else it says: without a token nothing can be asked.
      if (failure.kind !== 'rejected') throw new SourceError(failure)
      throw new SourceError({
        kind: 'unauthorized',
        detail: `${what}: code ${failure.code} ${failure.message}`,
      })
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
    words.hide(token.access_token)
    if (token.refresh_token) words.hide(token.refresh_token)
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
      const early = statusFailure(what, answer, envelope !== null, writes)
      if (early) throw new SourceError(early)
      const body = envelope as Envelope
      const meaning = meaningOf(body)
      if (meaning !== 'token') {
        tokens.proven(token)
        return { envelope: body, meaning }
      }
      const detail = `${what}: the token is refused (code ${words.tidy(body.code)})`
      tokens.refused(token, { kind: 'unauthorized', detail })
      if (attempt > 1) throw new SourceError({ kind: 'unauthorized', detail })
    }
  }

  return {
    async connect({ signal }) {
      await tokens.get(signal)
    },

    async query(path, biz, context) {
      const { envelope, meaning } = await exchange(path, JSON.stringify(biz), false, context)
      if (meaning === 'missing') return NOTHING
      if (meaning !== 'ok') throw new SourceError(said(`POST ${path}`, envelope, meaning, false))
      const data = asData(envelope.data)
      if (data) return data
      throw new SourceError({ kind: 'invalid-response', detail: `POST ${path}: no data` })
    },

    async write(path, biz, context) {
      const { envelope, meaning } = await exchange(path, biz, true, context)
      if (meaning !== 'ok') throw new SourceError(said(`POST ${path}`, envelope, meaning, true))
      // A list alone is taken for the results of the items.
      return Array.isArray(envelope.data) ? { datas: envelope.data } : (asData(envelope.data) ?? {})
    },

    close: () => http.close(),
  }
}

const asData = (data: unknown): Data | null =>
  typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as Data) : null

const readEnvelope = (answer: HttpAnswer): Envelope | null =>
  readable(() => envelopeSchema.safeParse(parseJson(answer.text, 'answer')).data ?? null)
