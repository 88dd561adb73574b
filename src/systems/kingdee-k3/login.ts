/**
 * The ways to say who we are: sessions by three logins, a bearer token, or a signature on every call. There is one
 * session, shared by all requests: never more than one login on its way, which outlives the request that needed
 * it, and a refusal is remembered, so that nothing locks the user or goes round in circles.
 * @see the vendor's Java SDK 8.2.0; the Python package kingdee.cdp.webapi.sdk
 */
import { createHash, createHmac } from 'node:crypto'
import { z } from 'zod'
import { SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import type { Words } from '../kit/words.ts'
import type { AdapterContext } from '../port.ts'
import type { KingdeeK3Config } from './config.ts'

export interface Session {
  /** What goes with a call to `path`. */
  headers(path: string): Record<string, string>
  /** False: every call speaks for itself, and another login would change nothing. */
  readonly renewable: boolean
  /** Whether some call was answered in this session: if not, "session lost" cannot mean that it has expired. */
  proven: boolean
}

export interface Login {
  /** @throws SourceError Nothing has been sent of the call that needs the session when it does. */
  session(signal?: AbortSignal): Promise<Session>
  /** The vendor has ended it. */
  lost(session: Session): void
  /** A new session was refused at once: no login for a while. */
  refused(session: Session, failure: SourceFailure): void
  close(): Promise<void>
}

/** Refused credentials are not tried again for this long. */
const REFUSED_PAUSE_MS = 30_000
/** A logout must not hold up the end of the process. */
const LOGOUT_MS = 2_000

const AUTH = 'Kingdee.BOS.WebApi.ServicesStub.AuthService'

export const servicePath = (config: Pick<KingdeeK3Config, 'path'>, service: string): string =>
  `${config.path}/${service}.common.kdsvc`

/** The secrets of a configuration: none of them may be in a message. */
export function secretsOf({ login }: KingdeeK3Config): string[] {
  return [
    ...('password' in login ? [login.password] : []),
    ...('appSecret' in login ? [login.appSecret] : []),
  ]
}

export function createLogin(config: KingdeeK3Config, context: AdapterContext, words: Words): Login {
  const { login } = config
  const { tidy } = words
  if (login.method === 'signedHeaders') {
    const session: Session = {
      headers: (path) => signedHeaders({ ...login, language: config.language, path, now: Date.now() }),
      renewable: false,
      proven: true,
    }
    return { session: async () => session, lost() {}, refused() {}, async close() {} }
  }

  const connection = { baseUrl: config.baseUrl, verifyCertificate: config.verifyCertificate }
  const http = createHttpClient({
    ...connection,
    timeoutMs: config.loginTimeoutSeconds * 1000,
    maxSockets: 1,
  })
  const logoutHttp = createHttpClient({ ...connection, timeoutMs: LOGOUT_MS, maxSockets: 1 })
  let current: Session | undefined
  let opening: Promise<Session> | undefined
  let refusal: { failure: SourceFailure; until: number } | undefined
  let closed = false

  const refuse = (failure: SourceFailure) => {
    refusal = { failure, until: Date.now() + REFUSED_PAUSE_MS }
  }
  const open = async (): Promise<Session> => {
    const answer = await http.request({
      method: 'POST',
      ...loginRequest(config),
      // It opens a session at worst, which ends by itself: nothing to reconcile.
      writes: false,
    })
    try {
      const session = login.method === 'token' ? readToken(answer, tidy) : readSession(answer, tidy)
      const { cookie = '', authorization = '' } = session.headers('')
      words.hideCookies(cookie)
      words.hide(authorization.replace(/^Bearer /, ''))
      context.log.debug({ system: context.systemId }, 'logged in')
      refusal = undefined
      return session
    } catch (error) {
      if (error instanceof SourceError && error.failure.kind === 'unauthorized') refuse(error.failure)
      throw error
    }
  }
  const logout = async (session: Session) => {
    if (login.method === 'token') return
    const path = servicePath(config, `${AUTH}.Logout`)
    const headers = { 'content-type': 'application/json', ...session.headers(path) }
    await logoutHttp.request({ method: 'POST', path, headers, body: '{}', writes: false }).catch(() => {
      context.log.debug({ system: context.systemId }, 'no logout: the session ends by its timeout')
    })
  }

  return {
    async session(signal) {
      if (closed) throw new SourceError(aborted('shutting down'))
      if (current) return current
      if (refusal && Date.now() < refusal.until) throw new SourceError(refusal.failure)
      opening ??= open()
        .then((session) => {
          current = session
          return session
        })
        .finally(() => {
          opening = undefined
        })
      return await leavable(opening, context.timeoutMs, signal)
    },
    lost(session) {
      if (current === session) current = undefined
    },
    refused(session, failure) {
      if (current === session) current = undefined
      refuse(failure)
    },
    async close() {
      if (closed) return
      closed = true
      const session = current ?? (await opening?.catch(() => undefined))
      if (session) await logout(session)
      http.close()
      logoutHttp.close()
    },
  }
}

export type Tidy = Words['tidy']

const aborted = (detail: string): SourceFailure => ({ kind: 'unavailable', reason: 'aborted', detail })

/** Waits for the shared login, but no longer than the caller would wait for an answer. */
function leavable(
  opening: Promise<Session>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Session> {
  return new Promise((resolve, reject) => {
    const leave = (failure: SourceFailure) => {
      end()
      reject(new SourceError(failure))
    }
    const abort = () => leave(aborted('nobody waits any more'))
    const timer = setTimeout(
      () => leave({ kind: 'unavailable', reason: 'timeout', detail: 'the login takes longer' }),
      timeoutMs,
    )
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    if (signal?.aborted) return abort()
    signal?.addEventListener('abort', abort)
    opening.then(resolve, reject).finally(end)
  })
}

/* ---- logins ---- */

function loginRequest(config: KingdeeK3Config): {
  path: string
  headers: Record<string, string>
  body: string
} {
  const { login, language } = config
  const headers = { 'content-type': 'application/json' }
  const call = (service: string, parameters: readonly (string | number)[]) => ({
    path: servicePath(config, `${AUTH}.${service}`),
    headers,
    body: JSON.stringify({ parameters }),
  })
  switch (login.method) {
    case 'password':
      return call('ValidateUser', [login.accountId, login.username, login.password, language])
    case 'appSecret':
      return call('LoginByAppSecret', [
        login.accountId,
        login.username,
        login.appId,
        login.appSecret,
        language,
      ])
    case 'sign': {
      const seconds = Math.floor(Date.now() / 1000)
      const sign = loginSign(login, seconds)
      return call('LoginBySign', [login.accountId, login.username, login.appId, seconds, sign, language])
    }
    case 'token':
      return {
        path: login.tokenPath,
        headers,
        body: JSON.stringify({
          acct_id: login.accountId,
          username: login.username,
          password: login.password,
          app_id: login.appId,
          app_secret: login.appSecret,
        }),
      }
    case 'signedHeaders':
      throw new Error('signed calls need no login')
  }
}

/** Hexadecimal SHA-256 of the sorted values, run together. */
export function loginSign(
  login: { accountId: string; username: string; appId: string; appSecret: string },
  seconds: number,
): string {
  const values = [login.accountId, login.username, login.appId, login.appSecret, String(seconds)]
  return createHash('sha256').update(values.sort().join('')).digest('hex')
}

const loginSchema = z.object({
  LoginResultType: z.coerce.string(),
  Message: z.string().nullish(),
  KDSVCSessionId: z.string().nullish(),
})

/** The session id travels as a header and as a cookie; a balancer's cookies lead back to the node that knows it. */
function readSession(answer: HttpAnswer, tidy: Tidy): Session {
  if (answer.status !== 200) throw new SourceError(loginFailure(answer, tidy))
  const parsed = loginSchema.safeParse(parseJson(answer.text, 'login'))
  if (!parsed.success) {
    throw new SourceError({ kind: 'invalid-response', detail: 'login: the answer has no LoginResultType' })
  }
  const { LoginResultType: result, Message, KDSVCSessionId: id } = parsed.data
  if (result !== '1') {
    const detail = `login: LoginResultType ${result} ${tidy(Message ?? '')}`
    throw new SourceError({ kind: 'unauthorized', detail })
  }
  const cookies = new Map<string, string>()
  if (id) cookies.set('kdservice-sessionid', id)
  for (const header of [answer.headers['set-cookie'] ?? []].flat()) {
    const [, name, value] = /^\s*([^=;\s]+)=([^;]*)/.exec(header) ?? []
    if (name && value) cookies.set(name, value)
  }
  const sessionId = id ?? cookies.get('kdservice-sessionid')
  if (!sessionId) throw new SourceError({ kind: 'invalid-response', detail: 'login: no KDSVCSessionId' })
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  return {
    headers: () => ({ 'kdservice-sessionid': sessionId, cookie }),
    renewable: true,
    proven: false,
  }
}

function readToken(answer: HttpAnswer, tidy: Tidy): Session {
  if (answer.status >= 300) throw new SourceError(loginFailure(answer, tidy))
  const parsed = z.object({ access_token: z.string().min(1) }).safeParse(parseJson(answer.text, 'token'))
  if (!parsed.success) {
    throw new SourceError({ kind: 'invalid-response', detail: 'token: the answer has no access_token' })
  }
  const authorization = `Bearer ${parsed.data.access_token}`
  return { headers: () => ({ authorization }), renewable: true, proven: false }
}

function loginFailure(answer: HttpAnswer, tidy: Tidy): SourceFailure {
  const detail = `login: HTTP ${answer.status} ${tidy(answer.text)}`
  if (answer.status === 429 || answer.status >= 500) {
    const retry = retryAfterMs(answer.headers)
    const reason = answer.status === 429 ? 'rate-limited' : 'overloaded'
    return { kind: 'unavailable', reason, detail, ...(retry === undefined ? {} : { retryAfterMs: retry }) }
  }
  return answer.status === 400 || answer.status === 401 || answer.status === 403
    ? { kind: 'unauthorized', detail }
    : { kind: 'invalid-response', detail }
}

/* ---- signatures ---- */

/** What the second half of an application id is masked with, in every SDK of the vendor. */
const MASK = Buffer.from('0054f397c6234378b09ca7d3e5debce7', 'ascii')

/** @param now Unix time in milliseconds. */
export function signedHeaders(call: {
  readonly accountId: string
  readonly username: string
  readonly appId: string
  readonly appSecret: string
  readonly language: number
  readonly organization: string
  readonly timestampUnit: 's' | 'ms'
  readonly path: string
  readonly now: number
}): Record<string, string> {
  const [clientId = '', masked = ''] = splitOnce(call.appId, '_')
  const bare = Buffer.from(masked, 'base64').map((byte, at) => byte ^ (MASK[at % MASK.length] ?? 0))
  const apiSecret = Buffer.from(bare).toString('base64')
  const timestamp = String(call.timestampUnit === 'ms' ? call.now : Math.floor(call.now / 1000))
  const nonce = timestamp
  const signed = `POST\n${encodeURIComponent(call.path)}\n\nx-api-nonce:${nonce}\nx-api-timestamp:${timestamp}\n`
  const appData = [call.accountId, call.username, call.language, call.organization].join(',')
  return {
    'X-Api-ClientID': clientId,
    'X-Api-Auth-Version': '2.0',
    'x-api-timestamp': timestamp,
    'x-api-nonce': nonce,
    'x-api-signheaders': 'X-Api-TimeStamp,X-Api-Nonce',
    'X-Api-Signature': hmac(apiSecret, signed),
    'X-Kd-Appkey': call.appId,
    'X-Kd-Appdata': Buffer.from(appData, 'utf8').toString('base64'),
    'X-Kd-Signature': hmac(call.appSecret, call.appId + appData),
  }
}

/** Base64 of the hexadecimal text, not of the digest. */
function hmac(key: string, text: string): string {
  const hex = createHmac('sha256', key).update(text, 'utf8').digest('hex')
  return Buffer.from(hex, 'ascii').toString('base64')
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + 1)]
}
