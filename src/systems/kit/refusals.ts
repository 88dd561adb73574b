/**
 * What a vendor means that answers every question with HTTP 200, a code and words, and publishes no list of the codes.
 * Meaning is read from a configured table of codes first, then from the words.
 */
import { SourceError, type SourceFailure } from '../failure.ts'
import { type HttpAnswer, unavailable } from './http.ts'

/**
 * `token`: it has ended, fetch another; `credentials`: an operator must act; `throttled`: counted and refused unread;
 * `busy`: somewhere on its way; `missing`: there is nothing of the sort.
 */
export const MEANINGS = ['token', 'credentials', 'throttled', 'busy', 'missing'] as const
export type Meaning = (typeof MEANINGS)[number]

/** In the order in which they are looked for; seen in use, not documented. */
const WORDS: readonly (readonly [Meaning, RegExp])[] = [
  ['token', /token|令牌|授权.{0,4}(过期|失效)/i],
  [
    'credentials',
    /签名|sign\b|app_?(key|secret)|\bsid\b|\bsalt\b|卖家账号|接口账号|时间戳|timestamp|权限|未授权|白名单/i,
  ],
  ['throttled', /频率|频繁|限流|超(过|出).{0,12}(次数|限制)|too many|rate limit/i],
  ['busy', /繁忙|稍后|超时|busy|timeout/i],
  ['missing', /(没有|无|未)(找到|查询到|符合).{0,12}(数据|订单|商品|记录)|no data/i],
]

export const meaningIn = (words: string): Meaning | undefined =>
  WORDS.find(([, pattern]) => pattern.test(words))?.[0]

/** @param code, message The vendor's, cleaned. */
export function refusalOf(
  meaning: Meaning | 'refused',
  refusal: {
    readonly what: string
    readonly code: string
    readonly message: string
    readonly writes: boolean
  },
): SourceFailure {
  const { what, code, message, writes } = refusal
  const detail = `${what}: code ${code} ${message}`
  switch (meaning) {
    case 'token':
    case 'credentials':
      return { kind: 'unauthorized', detail }
    case 'throttled':
      return { kind: 'unavailable', reason: 'rate-limited', detail }
    case 'busy':
      // Where in its way a busy system gave up is not known.
      return writes
        ? { kind: 'unknown-outcome', detail }
        : { kind: 'unavailable', reason: 'overloaded', detail }
    default:
      return { kind: 'rejected', code, message: message || `The system answered with code ${code}.` }
  }
}

/**
 * What the HTTP status alone says, or an answer that is none of this vendor's; null: its envelope must tell.
 * The answer's text is left out: an error page may repeat what was sent.
 */
export function statusFailure(
  what: string,
  answer: HttpAnswer,
  hasEnvelope: boolean,
  writes: boolean,
): SourceFailure | null {
  const { status } = answer
  const detail = `${what}: HTTP ${status}${hasEnvelope ? '' : ', no JSON with a code'}`
  if (status === 429) return unavailable('rate-limited', detail, answer)
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status >= 500)
    return writes ? { kind: 'unknown-outcome', detail } : unavailable('overloaded', detail, answer)
  if (hasEnvelope) return null
  return writes ? { kind: 'unknown-outcome', detail } : { kind: 'invalid-response', detail }
}

/** Runs `read`; null where it says that the answer cannot be read. Other errors are bugs and pass. */
export function readable<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof SourceError) return null
    throw error
  }
}
