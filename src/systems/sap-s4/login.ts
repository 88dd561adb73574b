/** Who the gateway is to an S/4HANA system: a user and password, or a token that is fetched and renewed. */
import { z } from 'zod'
import { SourceError } from '../failure.ts'
import { createHttpClient, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import type { Words } from '../kit/words.ts'
import type { AdapterContext } from '../port.ts'
import type { SapS4Config } from './config.ts'

export interface Login {
  /** The value of `authorization`. @throws SourceError */
  header(signal: AbortSignal | undefined): Promise<string>
  /** Says that this value was refused. False: there is nothing to renew. */
  refused(header: string): boolean
  close(): void
}

/** Credentials that were refused are not tried again for so long, lest the client be locked. */
const REFUSED_MS = 30_000
/** A token is not used in the last moments before its end. */
const MARGIN_MS = 30_000
const DEFAULT_LIFE_S = 600

const tokenSchema = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/, 'cannot stand in a header'),
  expires_in: z.coerce.number().optional(),
})

export function createLogin(config: SapS4Config, context: AdapterContext, words: Pick<Words, 'hide'>): Login {
  const { auth } = config
  if (auth.method === 'basic') {
    const header = basic(auth.username, auth.password)
    words.hide(header.slice('Basic '.length))
    let blockedUntil = 0
    return {
      async header() {
        if (Date.now() >= blockedUntil) return header
        throw new SourceError({ kind: 'unauthorized', detail: 'user and password were refused just now' })
      },
      refused() {
        blockedUntil = Date.now() + REFUSED_MS
        return false
      },
      close: () => {},
    }
  }
  const address = new URL(auth.tokenUrl)
  const http = createHttpClient({
    baseUrl: address.origin,
    timeoutMs: context.timeoutMs,
    verifyCertificate: config.verifyCertificate,
  })
  let token: { header: string; until: number } | undefined
  let failed: { error: SourceError; until: number } | undefined
  let fetching: Promise<string> | undefined
  const client = basic(encodeURIComponent(auth.clientId), encodeURIComponent(auth.clientSecret))
  words.hide(client.slice('Basic '.length))
  words.hide(encodeURIComponent(auth.clientSecret))

  const fetchToken = async (): Promise<string> => {
    const form = new URLSearchParams({ grant_type: 'client_credentials' })
    if (auth.scope !== undefined) form.set('scope', auth.scope)
    const inBody = auth.credentialsIn === 'body'
    if (inBody) {
      form.set('client_id', auth.clientId)
      form.set('client_secret', auth.clientSecret)
    }
    const answer = await http.request({
      method: 'POST',
      path: address.pathname + address.search,
      headers: {
        ...(inBody ? {} : { authorization: client }),
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
      },
      body: form.toString(),
      // A token more changes nothing.
      writes: false,
    })
    const detail = `token: HTTP ${answer.status}`
    if (answer.status === 429 || answer.status >= 500) {
      const after = retryAfterMs(answer.headers)
      const reason = answer.status === 429 ? 'rate-limited' : 'overloaded'
      throw new SourceError({
        kind: 'unavailable',
        reason,
        detail,
        ...(after === undefined ? {} : { retryAfterMs: after }),
      })
    }
    if (answer.status >= 400) {
      // RFC 6749 section 5.2; its description may repeat what was sent, its code cannot.
      const code = /"error"\s*:\s*"([a-z_]{1,40})"/.exec(answer.text)?.[1] ?? ''
      const error = new SourceError({ kind: 'unauthorized', detail: `${detail} ${code}`.trim() })
      failed = { error, until: Date.now() + REFUSED_MS }
      throw error
    }
    const read = tokenSchema.safeParse(parseJson(answer.text, 'token'))
    if (!read.success) {
      throw new SourceError({ kind: 'invalid-response', detail: `${detail}: no access_token` })
    }
    const life = (read.data.expires_in ?? DEFAULT_LIFE_S) * 1000
    const header = `Bearer ${read.data.access_token}`
    words.hide(read.data.access_token)
    token = { header, until: Date.now() + Math.max(life - MARGIN_MS, life / 2) }
    context.log.debug({ system: context.systemId }, 'a new token')
    return header
  }

  return {
    async header(signal) {
      if (token && Date.now() < token.until) return token.header
      if (failed && Date.now() < failed.until) throw failed.error
      // Without the caller's signal: others wait for the same token.
      fetching ??= fetchToken().finally(() => {
        fetching = undefined
      })
      return orAborted(fetching, signal)
    },
    refused(header) {
      if (token?.header === header) token = undefined
      return true
    },
    close: () => http.close(),
  }
}

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** Waits for what others wait for too, until the caller has gone. @throws SourceError */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  const aborted = () =>
    new SourceError({ kind: 'unavailable', reason: 'aborted', detail: 'nobody waits any more' })
  if (signal.aborted) {
    work.catch(() => {})
    throw aborted()
  }
  let stop: () => void = () => {}
  const gone = new Promise<never>((_, reject) => {
    stop = () => reject(aborted())
    signal.addEventListener('abort', stop, { once: true })
  })
  return Promise.race([work, gone]).finally(() => signal.removeEventListener('abort', stop))
}
