/**
 * NC Cloud's OpenAPI: a token for an application, signed calls that are all POSTs, and answers that carry errors
 * under HTTP 200.
 *
 * The vendor's table of codes is short and its servers mix languages: the configured codes are read first, then the
 * words, then the table.
 * @see 用友 NC Cloud, OpenAPI 开发指南: /nccloud/opm/accesstoken, OpenCloudSecurityFilter, 错误码
 */
import { z } from 'zod'
import { type Outcome, outcomeOf, type Rejection, SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createLanes } from '../kit/lanes.ts'
import { createTokens } from '../kit/tokens.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import type { ERROR_MEANINGS, YonyouNcConfig } from './config.ts'
import { createSealing } from './sealing.ts'

export interface Page {
  readonly rows: readonly unknown[]
  /** How many there are in all, or one more than is known where the vendor does not say it. */
  readonly rowCount: number
  readonly isCounted: boolean
}

/** Values that a row's field may have; the vendor takes lists and single texts. */
export type Conditions = Readonly<Record<string, string | readonly string[] | undefined>>

export interface NcClient {
  /** Makes sure that there is a token. @throws SourceError */
  connect(context: CallContext): Promise<void>
  /** @param page Counted from 1. @throws SourceError */
  page(path: string, conditions: Conditions, page: number, size: number, context: CallContext): Promise<Page>
  /** All pages. @throws SourceError */
  all(path: string, conditions: Conditions, context: CallContext): Promise<unknown[]>
  /**
   * Sends a write, once.
   * @param reference Unique: the server refuses a second one, where it checks that.
   * @returns What the vendor tells of it; `duplicate`: it has had this reference before.
   */
  save(path: string, body: string, reference: string, context: CallContext): Promise<Outcome<Saved>>
  /** The headers of a write that tell the server to look for repetitions. */
  repeatHeaders(reference: string): Readonly<Record<string, string>>
  close(): void
}

export type Saved = { readonly kind: 'duplicate' } | { readonly kind: 'done'; readonly data: unknown }

type Meaning = (typeof ERROR_MEANINGS)[number]

/** Seen in use, in the order in which they are looked for. */
const WORDS: readonly (readonly [Meaning, RegExp])[] = [
  ['token', /access_token has expired|token.{0,8}(失效|过期)|(失效|过期).{0,8}token/i],
  [
    'configuration',
    /verify signature|decryption error|解密失败|busi ?center|账套编码|not registered|not authorized|appid参数缺失|content is null/i,
  ],
  ['rejected', /第三方应用.*没有.*权限/],
  ['duplicate', /busi_id.*(重复|已存在|duplicate|repeat)|(重复|repeated).{0,12}(请求|调用|提交|request)/i],
  ['period-closed', /期间.{0,8}已?(结账|关账|关闭)|已(结账|关账)/],
  ['missing', /未(查询到|找到)|没有(查询到|找到|符合)|无数据|no data/i],
]

/** @see 错误码解释 of the vendor's interface pages */
const CODES: Readonly<Record<string, Meaning>> = {
  '1000000001': 'rejected', // 业务异常
  '1000000002': 'rejected', // 校验异常
  '1000000003': 'unknown', // 运行时异常
  '1000000004': 'unknown', // 数据库异常
  '1000000005': 'locked', // 业务锁失败异常
  '1000000006': 'locked', // 锁失败异常
  '1000000007': 'conflict', // 业务数据版本冲突异常
  '1000000008': 'configuration', // 系统安全异常
  '1000000009': 'unknown', // 传递性异常
  '1000000010': 'unknown', // 未知异常
  '1000000011': 'token', // 重复登录异常
  '1000000012': 'token', // 会话失效异常
  '1000000013': 'configuration', // 安全公钥缺失
}

// Numbers arrive as decimal text, see parseJson.
const envelopeSchema = z.looseObject({
  success: z.boolean(),
  data: z.unknown().optional(),
  code: z.string().nullish(),
  message: z.string().nullish(),
})
type Envelope = z.infer<typeof envelopeSchema>

const tokenSchema = z.looseObject({
  access_token: z.string().min(1),
  expires_in: z.string().regex(/^\d+$/).nullish(),
  security_key: z.string().nullish(),
})

const TOKEN_PATH = '/nccloud/opm/accesstoken'
const MAX_MESSAGE = 500
/** A token is replaced so long before its end. */
const TOKEN_MARGIN_MS = 60_000
const TOKEN_LIFE_SECONDS = '3600'

export function createNcClient(config: YonyouNcConfig, { timeoutMs, log }: AdapterContext): NcClient {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  const lanes = createLanes(config.parallelCalls, timeoutMs)
  const sealing = createSealing(config)
  /** By token: a new token brings a new key, and a call under way goes on with its own. */
  const securityKeys = new Map<string, string>()

  /** Texts that must never be shown. */
  const secrets = new Set([config.clientSecret, ...(config.password ? [config.password] : [])])
  const clean = (text: string) =>
    [...secrets, ...securityKeys.keys(), ...securityKeys.values()]
      .filter((secret) => secret !== '')
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  const meaningOf = ({ code, message }: Envelope): Meaning =>
    config.errorCodes[code ?? ''] ??
    WORDS.find(([, words]) => words.test(message ?? ''))?.[0] ??
    CODES[code ?? ''] ??
    'unknown'

  const wordsOf = ({ code, message }: Envelope): string =>
    `code ${clean(code ?? '-')} ${clean(message ?? '')}`.trim()

  const tokens = createTokens(async () => {
    const what = `POST ${TOKEN_PATH}`
    const isPassword = config.grant === 'password'
    const [username = '', password = ''] = isPassword ? [config.username, config.password] : []
    const query = new URLSearchParams({
      grant_type: config.grant,
      client_id: config.clientId,
      client_secret: sealing.encrypt(config.clientSecret),
      biz_center: config.bizCenter,
      ...(config.dsname === undefined ? {} : { dsname: config.dsname }),
      ...(isPassword ? { username, password: sealing.encrypt(password) } : {}),
      signature: sealing.signToken(config.clientSecret, username, password),
    })
    const answer = await http.request({
      method: 'POST',
      // The vendor wants all of it in the address, the body empty: the address is never logged.
      path: `${TOKEN_PATH}?${query}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '0' },
      writes: false,
    })
    const envelope = readEnvelope(answer.text)
    const early = statusFailure(what, answer, envelope !== null, false)
    if (early) throw new SourceError(early)
    const body = envelope as Envelope
    if (!body.success) {
      const meaning = meaningOf(body)
      const detail = `${what}: ${wordsOf(body)}`
      if (meaning === 'locked') throw new SourceError({ kind: 'unavailable', reason: 'overloaded', detail })
      throw new SourceError({ kind: 'unauthorized', detail })
    }
    const parsed = tokenSchema.safeParse(body.data)
    if (!parsed.success) throw new SourceError({ kind: 'invalid-response', detail: `${what}: no token` })
    const { access_token: id, expires_in, security_key: securityKey } = parsed.data
    if (config.bodyLevel !== 'L0' && config.bodyLevel !== 'L2' && !isAesKey(securityKey)) {
      const detail = `${what}: no security_key, which level ${config.bodyLevel} needs`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    if (securityKeys.size > 20)
      for (const old of [...securityKeys.keys()].slice(0, 10)) securityKeys.delete(old)
    securityKeys.set(id, securityKey ?? '')
    const lifeMs = Number(expires_in ?? TOKEN_LIFE_SECONDS) * 1000
    // A life too short for the margin is used by half.
    return { id, endsAt: Date.now() + Math.max(lifeMs - TOKEN_MARGIN_MS, lifeMs / 2) }
  })

  interface Call {
    readonly path: string
    readonly body: string
    readonly headers?: Readonly<Record<string, string>>
    readonly writes: boolean
    readonly context: CallContext
  }

  /** One call with the present token, and once more with a new one if that was refused: it was refused unread. */
  const exchange = async (call: Call): Promise<Envelope> => {
    const { path, writes } = call
    const what = `POST ${path}`
    const { signal } = call.context
    for (let attempt = 1; ; attempt++) {
      const token = await tokens.get(signal)
      const securityKey = securityKeys.get(token) ?? ''
      const packed = sealing.pack(call.body, securityKey)
      const answer = await lanes.run(signal, () =>
        http.request({
          method: 'POST',
          path,
          headers: {
            accept: 'application/json',
            'content-type': 'application/json;charset=utf-8',
            access_token: token,
            client_id: config.clientId,
            signature: sealing.signCall(call.body),
            ucg_flag: 'y',
            ...call.headers,
          },
          body: packed,
          signal,
          writes,
        }),
      )
      const envelope = read(answer.text, securityKey)
      const refusedToken =
        answer.status === 401 || (envelope && !envelope.success && meaningOf(envelope) === 'token')
      if (refusedToken) {
        const detail = `${what}: the token is refused${envelope ? ` (${wordsOf(envelope)})` : ''}`
        tokens.refused(token, { kind: 'unauthorized', detail })
        if (attempt === 1) continue
        throw new SourceError({ kind: 'unauthorized', detail })
      }
      const early = statusFailure(what, answer, envelope !== null, writes)
      if (early) throw new SourceError(early)
      tokens.proven(token)
      return envelope as Envelope
    }
  }

  /** Errors may come plain where answers come packed. */
  const read = (text: string, securityKey: string): Envelope | null => {
    const plain = readEnvelope(text)
    if (plain || config.bodyLevel === 'L0') return plain
    try {
      return readEnvelope(sealing.unpack(text, securityKey))
    } catch {
      return null
    }
  }

  const refusal = (what: string, envelope: Envelope, meaning: Meaning, writes: boolean): SourceFailure => {
    const detail = `${what}: ${wordsOf(envelope)}`
    log.debug({ what, code: envelope.code, meaning }, 'NC said no')
    switch (meaning) {
      case 'configuration':
        return { kind: 'unauthorized', detail }
      case 'conflict':
        return { kind: 'conflict', message: rejectionOf(envelope, clean).message }
      case 'locked':
        // Nothing is done without the lock.
        return { kind: 'unavailable', reason: 'overloaded', detail }
      case 'period-closed':
        return { ...rejectionOf(envelope, clean), reason: 'period-closed' }
      case 'unknown':
        // Where in its way the server fell is not known.
        return writes ? { kind: 'unknown-outcome', detail } : rejectionOf(envelope, clean)
      default:
        return rejectionOf(envelope, clean)
    }
  }

  const page: NcClient['page'] = async (path, conditions, number, size, context) => {
    const { paging } = config
    const body = JSON.stringify({
      ...conditions,
      [paging.index]: String(number - 1 + paging.first),
      [paging.size]: String(size),
    })
    const envelope = await exchange({ path, body, writes: false, context })
    if (!envelope.success) {
      const meaning = meaningOf(envelope)
      if (meaning === 'missing') return { rows: [], rowCount: 0, isCounted: true }
      throw new SourceError(refusal(`POST ${path}`, envelope, meaning, false))
    }
    const data = envelope.data ?? []
    const isList = Array.isArray(data)
    const within = (name: string | null): unknown =>
      isList || name === null || typeof data !== 'object'
        ? undefined
        : (data as Record<string, unknown>)[name]
    const rows = isList ? data : (within(paging.rows) ?? (Object.keys(data).length === 0 ? [] : undefined))
    const total = within(paging.total)
    if (!Array.isArray(rows) || (total !== undefined && !/^\d+$/.test(String(total)))) {
      const detail = `POST ${path}: no list "${paging.rows}" in data`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    if (rows.length > size) {
      const detail = `POST ${path}: more rows than asked for: this interface knows no "${paging.size}"`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    // Without a count, a full page promises another one.
    const upTo = (number - 1) * size + rows.length
    if (total !== undefined) return { rows, rowCount: Number(total), isCounted: true }
    const isLast = rows.length < size
    return { rows, rowCount: isLast ? upTo : upTo + 1, isCounted: isLast }
  }

  return {
    async connect({ signal }) {
      await tokens.get(signal)
    },

    page,

    async all(path, conditions, context) {
      const rows: unknown[] = []
      for (let number = 1; ; number++) {
        const read = await page(path, conditions, number, config.pageLimit, context)
        rows.push(...read.rows)
        if (read.rows.length === 0 || number * config.pageLimit >= read.rowCount) return rows
      }
    },

    repeatHeaders: (reference): Readonly<Record<string, string>> =>
      config.repeatCheck ? { repeat_check: 'Y', busi_id: reference } : {},

    save(path, body, reference, context) {
      return outcomeOf(async (): Promise<Saved> => {
        const headers = this.repeatHeaders(reference)
        const envelope = await exchange({ path, body, headers, writes: true, context })
        if (envelope.success) return { kind: 'done', data: envelope.data }
        const meaning = meaningOf(envelope)
        if (meaning === 'duplicate') return { kind: 'duplicate' }
        throw new SourceError(refusal(`POST ${path}`, envelope, meaning, true))
      })
    },

    close: () => http.close(),
  }
}

const isAesKey = (text: string | null | undefined): boolean =>
  [16, 24, 32].includes(Buffer.from(text ?? '', 'base64').length) && (text ?? '').length >= 16

function readEnvelope(text: string): Envelope | null {
  try {
    const parsed = envelopeSchema.safeParse(parseJson(text, 'answer'))
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
  isLegible: boolean,
  writes: boolean,
): SourceFailure | null {
  const { status } = answer
  const detail = `${what}: HTTP ${status}${isLegible ? '' : ', no answer in the form of the interface'}`
  const after = retryAfterMs(answer.headers)
  const later = after === undefined ? {} : { retryAfterMs: after }
  if (status === 429) return { kind: 'unavailable', reason: 'rate-limited', detail, ...later }
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status >= 500) {
    return writes
      ? { kind: 'unknown-outcome', detail }
      : { kind: 'unavailable', reason: 'overloaded', detail, ...later }
  }
  if (isLegible) return null
  return writes ? { kind: 'unknown-outcome', detail } : { kind: 'invalid-response', detail }
}

function rejectionOf(envelope: Envelope, clean: (text: string) => string): Rejection {
  const message = clean(envelope.message ?? '')
  const code = clean(envelope.code ?? '') || 'NC'
  const line = /第\s*(\d+)\s*行/.exec(message)?.[1]
  return {
    kind: 'rejected',
    code,
    message: message || `NC Cloud answered with code ${code}.`,
    ...(line === undefined ? {} : { line }),
  }
}
