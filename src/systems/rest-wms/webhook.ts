/** What the WMS tells us, after a look at its signature. */
import { timingSafeEqual } from 'node:crypto'
import { failureText, SourceError } from '../failure.ts'
import { parseJson } from '../json.ts'
import type { WebhookReceiver, WebhookRequest } from '../port.ts'
import { SIGNATURE_WINDOW_MS, type SignatureVerdict, verifyWebhook } from '../signature.ts'
import { signatureOf } from './client.ts'
import type { RestWmsConfig } from './config.ts'
import type { Mapping } from './mapping.ts'

export const createWebhook = (
  settings: NonNullable<RestWmsConfig['webhook']>,
  mapping: Mapping,
): WebhookReceiver => ({
  receive(request, now) {
    const signature =
      settings.profile === 'standard'
        ? verifyWebhook(settings.secret, request, now)
        : verifySigned(settings, request, now)
    if (!signature.ok) return signature
    let event: ReturnType<typeof mapping.event>
    try {
      event = mapping.event(parseJson(request.body.toString('utf8'), 'webhook'))
    } catch (error) {
      if (!(error instanceof SourceError)) throw error
      return { ok: false, reason: 'malformed', detail: failureText(error.failure) }
    }
    if (typeof event === 'string') return { ok: false, reason: 'malformed', detail: event }
    if (event && signature.id !== '' && event.id !== signature.id) {
      return { ok: false, reason: 'malformed', detail: 'eventId is not the one in the header webhook-id' }
    }
    return { ok: true, notifications: event === null ? [] : [event] }
  },
})

/** Checks `Authorization`, `X-Timestamp` and `X-Signature`. There is no id among the headers. */
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
