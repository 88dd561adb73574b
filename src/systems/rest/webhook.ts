/** What systems tell us, after a look at the signature. */
import { timingSafeEqual } from 'node:crypto'
import { failureText, SourceError } from '../failure.ts'
import { parseJson } from '../json.ts'
import type { Notification, WebhookReceiver, WebhookRequest } from '../port.ts'
import { SIGNATURE_WINDOW_MS, type SignatureVerdict, verifyWebhook } from '../signature.ts'
import { signatureOf } from './client.ts'

export type WebhookSettings =
  | { readonly profile: 'standard'; readonly secret: string }
  | { readonly profile: 'signature'; readonly apiKey: string; readonly secret: string }

/**
 * @param read Finds the notifications in a body, or explains why it cannot be read. `id` is what the signed headers
 * call the event, where they do: then the body must agree.
 */
export const createReceiver = (
  settings: WebhookSettings,
  read: (body: unknown, id: string | null) => readonly Notification[] | string,
): WebhookReceiver => ({
  receive(request, now) {
    const signature =
      settings.profile === 'standard'
        ? verifyWebhook(settings.secret, request, now)
        : verifySigned(settings, request, now)
    if (!signature.ok) return signature
    let notifications: readonly Notification[] | string
    try {
      notifications = read(parseJson(request.body.toString('utf8'), 'webhook'), signature.id || null)
    } catch (error) {
      if (!(error instanceof SourceError)) throw error
      return { ok: false, reason: 'malformed', detail: failureText(error.failure) }
    }
    return typeof notifications === 'string'
      ? { ok: false, reason: 'malformed', detail: notifications }
      : { ok: true, notifications }
  },
})

/** Checks `Authorization`, `X-Timestamp` and `X-Signature` (seed 001 §2.3). There is no id among the headers. */
function verifySigned(
  { apiKey, secret }: { readonly apiKey: string; readonly secret: string },
  { headers, body }: WebhookRequest,
  now: Date,
): SignatureVerdict {
  const timestamp = headers['x-timestamp'] ?? ''
  const given = headers['x-signature']
  if (!given || headers.authorization === undefined) {
    const detail = 'Authorization, X-Timestamp and X-Signature are needed'
    return { ok: false, reason: 'signature', detail }
  }
  if (!/^\d{1,15}$/.test(timestamp) || Math.abs(now.getTime() - Number(timestamp)) > SIGNATURE_WINDOW_MS) {
    return { ok: false, reason: 'timestamp', detail: 'X-Timestamp is not within five minutes of now' }
  }
  const matches =
    same(headers.authorization, `ApiKey ${apiKey}`) &&
    same(given.toLowerCase(), signatureOf(timestamp, apiKey, body, secret))
  return matches
    ? { ok: true, id: '' }
    : { ok: false, reason: 'signature', detail: 'X-Signature does not match' }
}

const same = (given: string, expected: string): boolean => {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
