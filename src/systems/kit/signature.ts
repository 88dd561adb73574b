/**
 * How messages are signed: as in Standard Webhooks, over the headers of seed 001 §2.3, or in the body as in seed 002
 * §2.3.2. Each covers the time too: a signature over the body alone could be replayed for ever.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { WebhookRequest } from '../port.ts'

/** Older or newer than this is refused: five minutes, as seeds of the project and Standard Webhooks agree. */
export const SIGNATURE_WINDOW_MS = 5 * 60_000

/**
 * Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, base64, prefixed `v1,`.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * @param secret The shared secret; with the prefix `whsec_` the rest is base64, otherwise it is taken as text. */
export function signWebhook(secret: string, id: string, timestampSeconds: number, body: Buffer): string {
  const key = secret.startsWith('whsec_')
    ? Buffer.from(secret.slice(6), 'base64')
    : Buffer.from(secret, 'utf8')
  const mac = createHmac('sha256', key).update(`${id}.${timestampSeconds}.`).update(body)
  return `v1,${mac.digest('base64')}`
}

export type SignatureVerdict =
  | { readonly ok: true; readonly id: string }
  | { readonly ok: false; readonly reason: 'signature' | 'timestamp'; readonly detail: string }

/** Checks `webhook-id`, `webhook-timestamp` and `webhook-signature` (several signatures may be given: key rotation). */
export function verifyWebhook(secret: string, request: WebhookRequest, now: Date): SignatureVerdict {
  const id = request.headers['webhook-id']
  const timestamp = request.headers['webhook-timestamp']
  const given = request.headers['webhook-signature']
  if (!id || !timestamp || !given) {
    const detail = 'webhook-id, webhook-timestamp and webhook-signature are needed'
    return { ok: false, reason: 'signature', detail }
  }
  const seconds = Number(timestamp)
  if (!Number.isInteger(seconds) || Math.abs(now.getTime() - seconds * 1000) > SIGNATURE_WINDOW_MS) {
    return { ok: false, reason: 'timestamp', detail: 'webhook-timestamp is not within five minutes of now' }
  }
  const expected = signWebhook(secret, id, seconds, request.body)
  const matches = given.split(' ').some((candidate) => isSame(candidate, expected))
  return matches ? { ok: true, id } : mismatch('webhook-signature does not match')
}

/**
 * SHA-256 over timestamp, key, body and secret, hexadecimal (seed 001 §2.3). Of a request, method, path and query are
 * not covered: only TLS protects them.
 * @param timestamp Milliseconds since 1970, as in the header `X-Timestamp`.
 */
export function signatureOf(
  timestamp: string,
  apiKey: string,
  body: string | Buffer,
  secret: string,
): string {
  return createHash('sha256').update(`${timestamp}${apiKey}`).update(body).update(secret).digest('hex')
}

/** Checks `Authorization: ApiKey KEY`, `X-Timestamp` and `X-Signature`. There is no id among the headers. */
export function verifySigned(
  { apiKey, secret }: { readonly apiKey: string; readonly secret: string },
  { headers, body }: WebhookRequest,
  now: Date,
): SignatureVerdict {
  const { authorization, 'x-timestamp': timestamp = '', 'x-signature': given } = headers
  if (!given || authorization === undefined)
    return mismatch('Authorization, X-Timestamp and X-Signature are needed')
  const matches = isSame(given.toLowerCase(), signatureOf(timestamp, apiKey, body, secret))
  if (!isSame(authorization, `ApiKey ${apiKey}`) || !matches)
    return mismatch('Authorization or X-Signature does not match')
  return within(/^\d{1,15}$/.test(timestamp) ? Number(timestamp) : Number.NaN, now, 'X-Timestamp')
}

/**
 * Checks the member `signature` of the body: `sha256=` and an HMAC-SHA256, hexadecimal. The seed does not say of what:
 * of the body without that member, wherever it stands, or with an empty one in its place.
 */
export function verifySignedBody(secret: string, { body }: WebhookRequest, now: Date): SignatureVerdict {
  const text = body.toString('utf8')
  const member = /"signature"\s*:\s*"(sha256=[0-9a-fA-F]{64})"/.exec(text)
  const given = member?.[1]
  if (!member || given === undefined) return mismatch('the body must have a signature like "sha256=…"')
  const before = text.slice(0, member.index)
  const after = text.slice(member.index + member[0].length)
  // With the comma that joined it to the others.
  const without = /,\s*$/.test(before)
    ? before.replace(/,\s*$/, '') + after.trimEnd().replace(/^\s+(?=\}$)/, '')
    : before + after.replace(/^\s*,\s*/, '')
  const emptied = before + member[0].replace(given, '') + after
  const matches = [without, emptied].some((signed) =>
    isSame(given.toLowerCase(), `sha256=${createHmac('sha256', secret).update(signed).digest('hex')}`),
  )
  if (!matches) return mismatch('signature does not match')
  const [, moment, ms] = /"timestamp"\s*:\s*(?:"([^"]*)"|(\d{13})\b)/.exec(without) ?? []
  return within(moment === undefined ? Number(ms) : Date.parse(moment), now, 'timestamp')
}

const mismatch = (detail: string): SignatureVerdict => ({ ok: false, reason: 'signature', detail })

const within = (at: number, now: Date, name: string): SignatureVerdict =>
  Math.abs(now.getTime() - at) <= SIGNATURE_WINDOW_MS
    ? { ok: true, id: '' }
    : { ok: false, reason: 'timestamp', detail: `${name} is not within five minutes of now` }

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
