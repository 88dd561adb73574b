/**
 * Tokens of OAuth 2.0. Salesforce says where the org is together with the token, and seldom when the token ends: it
 * is used until it is refused.
 * @see RFC 6749 sections 4.4 and 6, RFC 7523 section 2.1
 */
import { sign } from 'node:crypto'
import { z } from 'zod'
import { SourceError } from '../failure.ts'
import { createHttpClient, type HttpClient, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createTokens, type Tokens } from '../kit/tokens.ts'
import type { SalesforceConfig } from './config.ts'

export interface Login extends Tokens {
  /** The org's address, as it came with the last token. */
  instanceUrl(): string
  /** Texts that must never be shown. */
  secrets(): readonly string[]
  close(): void
}

/** A token is given up so long before its end: it has to live until it arrives. */
const MARGIN_MS = 10_000
/** How long a signed request for a token may be used: Salesforce takes no more than a few minutes. */
const ASSERTION_S = 180

const tokenSchema = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/, 'cannot stand in a header'),
  /** Absent: the org is where the login is. */
  instance_url: z.url({ protocol: /^https?$/ }).nullish(),
  /** Seconds; Salesforce itself seldom says it. */
  expires_in: z
    .string()
    .regex(/^\d{1,9}$/)
    .nullish(),
  /** The org takes each refresh token once. */
  refresh_token: z.string().min(1).nullish(),
})

export function createLogin(config: SalesforceConfig, timeoutMs: number): Login {
  const base = new URL(config.loginUrl)
  const http: HttpClient = createHttpClient({
    baseUrl: addressOf(base),
    timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  let instance: string | undefined
  const recent: string[] = []
  let refreshToken: string | undefined

  const fetchToken = async () => {
    const answer = await http.request({
      method: 'POST',
      path: '/services/oauth2/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({
        ...grantOf(config),
        ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
      }).toString(),
      // A token more changes nothing.
      writes: false,
    })
    const detail = `token: HTTP ${answer.status}`
    if (answer.status === 429 || answer.status >= 500) {
      const after = retryAfterMs(answer.headers)
      const reason = answer.status === 429 ? ('rate-limited' as const) : ('overloaded' as const)
      const when = after === undefined ? {} : { retryAfterMs: after }
      throw new SourceError({ kind: 'unavailable', reason, detail, ...when })
    }
    if (answer.status >= 400) {
      // The description may repeat what was sent; the code cannot.
      const code = /"error"\s*:\s*"([a-z_]{1,40})"/.exec(answer.text)?.[1] ?? ''
      throw new SourceError({ kind: 'unauthorized', detail: `${detail} ${code}`.trim() })
    }
    const read = tokenSchema.safeParse(parseJson(answer.text, 'token'))
    if (!read.success) {
      const what = 'no access_token, or an instance_url that is no address'
      throw new SourceError({ kind: 'invalid-response', detail: `${detail}: ${what}` })
    }
    const { access_token: token, instance_url: address, expires_in: seconds, refresh_token: next } = read.data
    const org = new URL(address ?? base)
    if (org.protocol !== base.protocol) {
      const what = `instance_url is ${org.protocol}//, the login ${base.protocol}//`
      throw new SourceError({ kind: 'invalid-response', detail: `${detail}: ${what}` })
    }
    instance = addressOf(org)
    if (config.auth.method === 'refreshToken' && next) refreshToken = next
    recent.unshift(token, ...(next ? [next] : []))
    recent.splice(8)
    const life = seconds ? Math.max(Number(seconds) * 1_000 - MARGIN_MS, 0) : Number.POSITIVE_INFINITY
    return { id: token, endsAt: Date.now() + life }
  }

  return {
    ...createTokens(fetchToken),
    instanceUrl: () => instance ?? addressOf(base),
    secrets: () => [...secretsOf(config), ...recent].flatMap((one) => [one, encodeURIComponent(one)]),
    close: () => http.close(),
  }
}

/** With the path that a proxy in front of the org may have, and no slash at the end. */
const addressOf = ({ origin, pathname }: URL): string => origin + pathname.replace(/\/+$/, '')

function secretsOf({ auth }: SalesforceConfig): string[] {
  switch (auth.method) {
    case 'clientCredentials':
      return [auth.clientSecret]
    case 'jwt':
      return [auth.privateKey]
    case 'refreshToken':
      return [auth.refreshToken, ...(auth.clientSecret === undefined ? [] : [auth.clientSecret])]
  }
}

function grantOf({ auth }: SalesforceConfig): Record<string, string> {
  switch (auth.method) {
    case 'clientCredentials':
      return {
        grant_type: 'client_credentials',
        client_id: auth.clientId,
        client_secret: auth.clientSecret,
      }
    case 'refreshToken':
      return {
        grant_type: 'refresh_token',
        client_id: auth.clientId,
        refresh_token: auth.refreshToken,
        ...(auth.clientSecret === undefined ? {} : { client_secret: auth.clientSecret }),
      }
    case 'jwt':
      return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: assertionOf(auth) }
  }
}

function assertionOf(auth: Extract<SalesforceConfig['auth'], { method: 'jwt' }>): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + ASSERTION_S
  const claims = { iss: auth.clientId, sub: auth.username, aud: auth.audience, exp }
  const text = `${part({ alg: 'RS256' })}.${part(claims)}`
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), auth.privateKey).toString('base64url')}`
}
