/**
 * The protocol of 快递100: forms that carry JSON, answered with status 200 whatever happened.
 * @see https://api.kuaidi100.com/document, and the vendor's SDK kuaidi100-api/java-demo
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createWords, type Words } from '../kit/words.ts'
import type { CallContext } from '../port.ts'
import type { Kuaidi100Config } from './config.ts'

export interface Kuaidi100Client {
  /** @returns The trace as the vendor gives it; null where nothing is found. @throws SourceError */
  query(parcel: ParcelRef, context: CallContext): Promise<unknown>
  /** @returns Whether it was followed before. @throws SourceError */
  subscribe(parcel: ParcelRef, context: CallContext): Promise<{ readonly repeated: boolean }>
  /** Codes of the carriers whose number it may be, likeliest first. @throws SourceError */
  recognise(number: string, context: CallContext): Promise<readonly string[]>
  /** Whether the credentials are taken, as far as that can be told without spending a query. @throws SourceError */
  probe(context: CallContext): Promise<void>
  close(): void
}

export interface ParcelRef {
  readonly carrier: string
  readonly number: string
  readonly phone?: string | undefined
}

/** The codes of answers, as far as they are known from the vendor's pages and from those who use it. */
export const NOTHING_FOUND = '500'
export const PHONE_NEEDED = '408'
const FOLLOWED_BEFORE = '501'
/** To a question the same code says that its server failed: words such as these are no "followed before" (重复订阅). */
const FELL = /服务|系统|异常|错误|失败|繁忙|server|error|busy/i

const md5 = (text: string): string => createHash('md5').update(text, 'utf8').digest('hex').toUpperCase()

/** Over the very text that is sent. */
export const querySign = (param: string, key: string, customer: string): string => md5(param + key + customer)
export const pushSign = (param: string, salt: string): string => md5(param + salt)

/** What is sent to follow a parcel; with other words in place of the secrets it can be shown. */
export function subscription(
  { carrier, number, phone }: ParcelRef,
  { key, url, salt }: { readonly key: string; readonly url: string; readonly salt: string },
): string {
  const parameters = { callbackurl: url, salt, resultv2: '4', ...(phone === undefined ? {} : { phone }) }
  const param = JSON.stringify({ company: carrier, number, key, parameters })
  return new URLSearchParams({ schema: 'json', param }).toString()
}

const text = z.union([z.string(), z.boolean()]).transform(String)
const refusal = z.object({
  status: text.nullish(),
  result: text.nullish(),
  returnCode: text.nullish(),
  message: z.string().nullish(),
})

export const FORM = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }

export function createKuaidi100Client(config: Kuaidi100Config, timeoutMs: number): Kuaidi100Client {
  const { customer, key } = config
  const words = createWords([key, config.webhook?.salt ?? '', config.phone ?? ''], 200)
  const http = createHttpClient({ baseUrl: config.baseUrl, timeoutMs })
  const recogniseAt = config.recogniseUrl ? new URL(config.recogniseUrl) : null
  const recogniser = recogniseAt && createHttpClient({ baseUrl: recogniseAt.origin, timeoutMs })

  /** @throws SourceError */
  const ask = async (param: string, { signal }: CallContext) => {
    const body = new URLSearchParams({ customer, sign: querySign(param, key, customer), param }).toString()
    const answer = await http.request({
      method: 'POST',
      path: '/poll/query.do',
      headers: FORM,
      body,
      signal,
      writes: false,
    })
    return readAnswer(answer, 'POST /poll/query.do', words)
  }

  return {
    async query({ carrier, number, phone }, context) {
      // What is empty is left out: some sign it and some do not.
      const param = JSON.stringify({
        com: carrier,
        num: number,
        ...(phone === undefined ? {} : { phone }),
        resultv2: '4',
        show: '0',
        order: 'asc',
      })
      const { raw, code, message } = await ask(param, context)
      if (code === '200') return raw
      if (code === NOTHING_FOUND) return null
      throw new SourceError(queryFailure(code, message))
    },

    async subscribe(parcel, { signal }) {
      const { webhook } = config
      if (!webhook) throw new Error('parcels are followed only where there is a webhook')
      const answer = await http.request({
        method: 'POST',
        path: '/poll',
        headers: FORM,
        body: subscription(parcel, { key, ...webhook }),
        signal,
        writes: true,
      })
      let read: Answer
      try {
        read = readAnswer(answer, 'POST /poll', words)
      } catch (error) {
        // Unreadable, or the word of something between us: the subscription may stand.
        if (error instanceof SourceError && error.failure.kind !== 'unauthorized')
          throw new SourceError({ kind: 'unknown-outcome', detail: error.message }, { cause: error })
        throw error
      }
      if (read.code === '200') return { repeated: false }
      if (read.code === FOLLOWED_BEFORE && (/重复/.test(read.message) || !FELL.test(read.message))) {
        return { repeated: true }
      }
      throw new SourceError(subscribeFailure(read.code, read.message))
    },

    async recognise(number, { signal }) {
      if (!recogniser) return []
      const path = `${recogniseAt.pathname}?${new URLSearchParams({ num: number, key })}`
      const answer = await recogniser.request({ method: 'GET', path, signal, writes: false })
      const what = 'GET autonumber/auto'
      refuseStatus(answer, what)
      const raw = parseJson(answer.text, what)
      const found = z.array(z.object({ comCode: z.string() })).safeParse(raw)
      if (found.success) return found.data.map(({ comCode }) => comCode)
      const { code, message } = codeOf(raw, what, words)
      throw new SourceError(queryFailure(code, message))
    },

    async probe(context) {
      const { code, message } = await ask('{}', context)
      const failure = queryFailure(code, message)
      // The question is incomplete on purpose: that it is called so means that the signature was looked at.
      if (failure.kind !== 'rejected') throw new SourceError(failure)
    },

    close() {
      http.close()
      recogniser?.close()
    },
  }
}

interface Answer {
  readonly raw: unknown
  /** `200`: success. */
  readonly code: string
  readonly message: string
}

function refuseStatus(answer: HttpAnswer, what: string): void {
  const { status } = answer
  if (status === 200) return
  const detail = `${what}: HTTP ${status}`
  if (status === 401 || status === 403) throw new SourceError({ kind: 'unauthorized', detail })
  if (status === 429 || status >= 500) {
    const after = retryAfterMs(answer.headers)
    throw new SourceError({
      kind: 'unavailable',
      reason: status === 429 ? 'rate-limited' : 'overloaded',
      detail,
      ...(after === undefined ? {} : { retryAfterMs: after }),
    })
  }
  throw new SourceError({ kind: 'invalid-response', detail })
}

/** @throws SourceError */
function readAnswer(answer: HttpAnswer, what: string, words: Words): Answer {
  refuseStatus(answer, what)
  const raw = parseJson(answer.text, what)
  return { raw, ...codeOf(raw, what, words) }
}

/** A trace carries `status`, everything else `returnCode`; the older answers say in `status` what is wrong. */
function codeOf(
  raw: unknown,
  what: string,
  words: Words,
): { readonly code: string; readonly message: string } {
  const trace = z.object({ status: text, nu: z.string() }).safeParse(raw)
  if (trace.success && trace.data.status === '200') return { code: '200', message: 'ok' }
  const said = refusal.safeParse(raw)
  const older = said.success && said.data.status !== '200' ? said.data.status : undefined
  const code = said.success ? (said.data.returnCode ?? older) : undefined
  if (!said.success || code == null)
    throw new SourceError({ kind: 'invalid-response', detail: `${what}: neither a trace nor a code` })
  // A success code beside `result: false` is none.
  if (code === '200' && said.data.result === 'false')
    throw new SourceError({ kind: 'invalid-response', detail: `${what}: code 200, and result false` })
  return { code, message: words.tidy(said.data.message ?? '') }
}

function queryFailure(code: string, message: string): SourceFailure {
  const detail = `${code} ${message}`
  switch (code) {
    case '501':
      return { kind: 'unavailable', reason: 'overloaded', detail }
    case '502':
      return { kind: 'unavailable', reason: 'rate-limited', detail }
    case '503':
    case '601':
      return { kind: 'unauthorized', detail }
    case PHONE_NEEDED:
      return { kind: 'rejected', code, message, field: 'phone' }
    default:
      return { kind: 'rejected', code, message }
  }
}

function subscribeFailure(code: string, message: string): SourceFailure {
  const detail = `${code} ${message}`
  switch (code) {
    case '500':
    case FOLLOWED_BEFORE:
    case '502':
      // Its own server failed on the way: whether before or after it took the parcel, it does not say.
      return { kind: 'unknown-outcome', detail }
    case '503':
    case '600':
    case '601':
      return { kind: 'unauthorized', detail }
    case '700':
    case '701':
    case '702':
      return { kind: 'rejected', code, message, field: 'carrier' }
    default:
      return { kind: 'rejected', code, message }
  }
}
