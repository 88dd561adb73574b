/**
 * Webhook signatures as in Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, base64, prefixed `v1,`.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { WebhookRequest } from '../port.ts'

/** Older or newer than this is refused: five minutes, as seeds of the project and Standard Webhooks agree. */
export const SIGNATURE_WINDOW_MS = 5 * 60_000

/** @param secret The shared secret; with the prefix `whsec_` the rest is base64, otherwise it is taken as text. */
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
  const expected = Buffer.from(signWebhook(secret, id, seconds, request.body))
  const matches = given.split(' ').some((candidate) => {
    const bytes = Buffer.from(candidate)
    return bytes.length === expected.length && timingSafeEqual(bytes, expected)
  })
  return matches
    ? { ok: true, id }
    : { ok: false, reason: 'signature', detail: 'webhook-signature does not match' }
}
