/**
 * The two protocols: signed forms of the enterprise edition (openapi2), and signed calls with positional arguments of
 * the flagship edition (openapi). Both answer HTTP 200 whatever happened.
 * @see open.wangdian.cn, 签名算法; API文档 of 企业版 and 旗舰版
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createPace } from '../kit/pace.ts'
import { type Meaning, meaningIn, readable, refusalOf, statusFailure } from '../kit/refusals.ts'
import { createWords } from '../kit/words.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import type { WangdiantongConfig } from './config.ts'

export type Answer = Readonly<Record<string, unknown>>

export interface EnterpriseClient {
  /**
   * @param method Without `.php`.
   * @param parameters Nested data are JSON text already; empty ones must not be sent.
   * @throws SourceError
   */
  call(
    method: string,
    parameters: Readonly<Record<string, string>>,
    how: { readonly writes: boolean; readonly context: CallContext },
  ): Promise<Answer>
  close(): void
}

export interface FlagshipClient {
  /** @param body A JSON array: the arguments. @param pager Pages from 0. @throws SourceError */
  call(
    method: string,
    body: string,
    how: { readonly writes: boolean; readonly context: CallContext; readonly pager?: Pager },
  ): Promise<Answer>
  close(): void
}

export interface Pager {
  readonly page: number
  readonly size: number
}

const md5 = (text: string): string => createHash('md5').update(text, 'utf8').digest('hex')
/** As the vendor counts: characters, not bytes and not halves of a pair. */
const characters = (text: string): number => [...text].length

/** `LL-name:LLLL-value`, sorted by name, joined by `;`, then the secret. */
export function signEnterprise(parameters: Readonly<Record<string, string>>, secret: string): string {
  const items = Object.keys(parameters)
    .sort()
    .map((name) => {
      const value = parameters[name] ?? ''
      const lengths = [characters(name), characters(value)].map(String)
      return `${lengths[0]?.padStart(2, '0')}-${name}:${lengths[1]?.padStart(4, '0')}-${value}`
    })
  return md5(items.join(';') + secret)
}

/** Names and values sorted by name, the body among them, between the secret and the secret. */
export function signFlagship(query: Readonly<Record<string, string>>, body: string, secret: string): string {
  const all: Readonly<Record<string, string>> = { ...query, body }
  const sorted = Object.keys(all).sort()
  return md5(secret + sorted.map((name) => name + all[name]).join('') + secret)
}

const BASE_URLS = {
  enterprise: 'https://api.wangdian.cn/openapi2',
  flagship: 'https://wdt.wangdian.cn/openapi',
}
export const baseUrlOf = ({ edition, baseUrl }: WangdiantongConfig): string => baseUrl ?? BASE_URLS[edition]

// Numbers arrive as decimal text, see parseJson.
const enterpriseSchema = z.looseObject({ code: z.string(), message: z.string().nullish() })
const flagshipSchema = z.looseObject({ status: z.string(), message: z.string().nullish() })

/** The flagship edition counts seconds from the beginning of 2012, in China. */
const FLAGSHIP_EPOCH = 1_325_347_200
const MAX_MESSAGE = 500

export function createEnterpriseClient(
  config: WangdiantongConfig,
  context: AdapterContext,
): EnterpriseClient {
  const wire = createWire(config, context, [config.appSecret])
  return {
    async call(method, parameters, { writes, context: { signal } }) {
      const path = `/${method}.php`
      await wire.pace(signal)
      const all = {
        ...parameters,
        sid: config.sid,
        appkey: config.appKey,
        timestamp: String(Math.floor(Date.now() / 1000)),
      }
      const form = new URLSearchParams({ ...all, sign: signEnterprise(all, config.appSecret) })
      const answer = await wire.post(path, {
        type: 'application/x-www-form-urlencoded; charset=utf-8',
        body: form.toString(),
        signal,
        writes,
      })
      const envelope = readable(
        () => enterpriseSchema.safeParse(parseJson(answer.text, 'answer')).data ?? null,
      )
      const { code = '', message } = envelope ?? {}
      wire.judge(`POST ${path}`, answer, envelope && { code, message: message ?? '' }, writes)
      return envelope as Answer
    },
    close: wire.close,
  }
}

export function createFlagshipClient(config: WangdiantongConfig, context: AdapterContext): FlagshipClient {
  const [secret = '', salt = ''] = config.appSecret.split(':')
  const wire = createWire(config, context, [config.appSecret, secret, salt])
  return {
    async call(method, body, { writes, pager, context: { signal } }) {
      await wire.pace(signal)
      const query: Record<string, string> = {
        sid: config.sid,
        key: config.appKey,
        salt,
        method,
        timestamp: String(Math.floor(Date.now() / 1000) - FLAGSHIP_EPOCH),
        v: '1.0',
        ...(pager ? { page_no: String(pager.page), page_size: String(pager.size), calc_total: '1' } : {}),
      }
      const signed = new URLSearchParams({ ...query, sign: signFlagship(query, body, secret) })
      const answer = await wire.post(`?${signed}`, {
        type: 'application/json; charset=utf-8',
        body,
        signal,
        writes,
      })
      const what = `POST ${method}`
      // An empty body is a success without anything to tell.
      if (answer.status === 200 && answer.text.trim() === '') return {}
      const envelope = readable(() => flagshipSchema.safeParse(parseJson(answer.text, 'answer')).data ?? null)
      const { status = '', message } = envelope ?? {}
      wire.judge(what, answer, envelope && { code: status, message: message ?? '' }, writes)
      return envelope as Answer
    },
    close: wire.close,
  }
}

interface Sending {
  readonly type: string
  readonly body: string
  readonly signal: AbortSignal | undefined
  readonly writes: boolean
}

/** What both protocols stand on. */
function createWire(
  config: WangdiantongConfig,
  { timeoutMs, log }: AdapterContext,
  secrets: readonly string[],
) {
  const { origin, pathname } = new URL(baseUrlOf(config))
  const http = createHttpClient({
    baseUrl: origin,
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  const words = createWords(secrets, MAX_MESSAGE)
  const meaningOf = (code: string, message: string): Meaning | 'ok' | 'refused' => {
    if (code === '0') return 'ok'
    return config.errorCodes[code] ?? meaningIn(message) ?? 'refused'
  }
  return {
    pace: createPace({
      perSecond: config.callsPerSecond,
      perMinute: config.callsPerMinute,
      maxWaitMs: timeoutMs,
    }),
    post: (path: string, { type, body, signal, writes }: Sending): Promise<HttpAnswer> =>
      http.request({
        method: 'POST',
        path: pathname.replace(/\/$/, '') + path,
        headers: {
          accept: 'application/json',
          'content-type': type,
          ...(config.closeConnections ? { connection: 'close' } : {}),
        },
        body,
        signal,
        writes,
      }),
    /** @throws SourceError where the answer is no success. */
    judge(
      what: string,
      answer: HttpAnswer,
      envelope: { readonly code: string; readonly message: string } | null,
      writes: boolean,
    ): void {
      const early = statusFailure(what, answer, envelope !== null, writes)
      if (early) throw new SourceError(early)
      if (!envelope) return
      const meaning = meaningOf(envelope.code, envelope.message)
      if (meaning === 'ok' || (meaning === 'missing' && !writes)) return
      log.debug({ what, code: envelope.code, meaning }, 'Wangdiantong said no')
      // There are no tokens here: words that sound like one are about the account.
      const failure: SourceFailure = refusalOf(meaning, {
        what,
        code: words.tidy(envelope.code),
        message: words.tidy(envelope.message),
        writes,
      })
      throw new SourceError(failure)
    },
    close: () => http.close(),
  }
}
