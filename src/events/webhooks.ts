/**
 * Webhooks of systems whose kind has none of its own: signed in one of the ways that are around. Each way covers time
 * and body; a signature over the body alone could be replayed for ever, and is not offered.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { SIGNATURE_WINDOW_MS, verifyWebhook } from '../systems/kit/signature.ts'
import type { WebhookReceiver, WebhookRequest, WebhookVerdict } from '../systems/port.ts'
import { readNotices } from './notices.ts'

const secret = z.string().min(16, 'is too short: use 16 characters or more').meta({ secret: true })

export const notifySchema = z
  .discriminatedUnion('profile', [
    z.strictObject({
      profile: z.literal('standard').describe('Standard Webhooks: HMAC-SHA256 over id, timestamp and body'),
      secret,
    }),
    z.strictObject({
      profile: z
        .literal('timestamp-key-body')
        .describe(
          'X-Signature: SHA-256 over timestamp, API key, body and secret; X-Timestamp in milliseconds',
        ),
      apiKey: z.string().min(1).meta({ secret: true }),
      secret,
    }),
    z.strictObject({
      profile: z
        .literal('signed-body')
        .describe('The member "signature" of the body: sha256= and HMAC-SHA256 of the body with it empty'),
      secret,
    }),
  ])
  .describe(
    'How the system signs its webhooks to /webhooks/SYSTEM, where its kind has no webhooks of its own',
  )
export type NotifySettings = z.infer<typeof notifySchema>

export function createReceiver(settings: NotifySettings): WebhookReceiver {
  return {
    receive(request, now) {
      const refused = refusalOf(settings, request, now)
      if (refused) return refused
      const notice = readNotices(request.body, now)
      return notice.ok ? notice : { ok: false, reason: 'malformed', detail: notice.detail }
    },
  }
}

type Refusal = Extract<WebhookVerdict, { ok: false }>

function refusalOf(settings: NotifySettings, request: WebhookRequest, now: Date): Refusal | null {
  switch (settings.profile) {
    case 'standard': {
      const verdict = verifyWebhook(settings.secret, request, now)
      return verdict.ok ? null : verdict
    }
    case 'timestamp-key-body':
      return timestampKeyBody(settings.apiKey, settings.secret, request, now)
    case 'signed-body':
      return signedBody(settings.secret, request, now)
  }
}

/** As in seed 001 §2.3, with the key compared too, and a window to both sides. */
function timestampKeyBody(apiKey: string, key: string, request: WebhookRequest, now: Date): Refusal | null {
  const { authorization = '', 'x-timestamp': timestamp = '', 'x-signature': given = '' } = request.headers
  const expected = timestampKeyBodySignature(timestamp, apiKey, request.body, key)
  const isKnown = isSame(authorization, `ApiKey ${apiKey}`)
  if (!isSame(given.toLowerCase(), expected) || !isKnown)
    return wrong('Authorization or X-Signature does not match')
  return outside(/^\d{13}$/.test(timestamp) ? Number(timestamp) : Number.NaN, now, 'X-Timestamp')
}

export const timestampKeyBodySignature = (timestamp: string, apiKey: string, body: Buffer, key: string) =>
  createHash('sha256').update(timestamp).update(apiKey).update(body).update(key).digest('hex')

/**
 * As in seed 002 §2.3.2, which does not say what is signed: here it is the bytes as they came, with nothing between
 * the quotes of `signature`. The timestamp is in them.
 */
function signedBody(key: string, request: WebhookRequest, now: Date): Refusal | null {
  let event: { signature?: unknown; timestamp?: unknown }
  try {
    event = JSON.parse(request.body.toString('utf8'))
  } catch {
    return { ok: false, reason: 'malformed', detail: 'the body is no JSON' }
  }
  const given = event?.signature
  if (typeof given !== 'string' || !/^sha256=[0-9a-f]{64}$/.test(given))
    return wrong('"signature" is missing')
  const at = request.body.lastIndexOf(given)
  const bare = Buffer.concat([request.body.subarray(0, at), request.body.subarray(at + given.length)])
  if (!isSame(given, bodySignature(bare, key))) return wrong('"signature" does not match')
  return outside(Date.parse(String(event.timestamp)), now, '"timestamp"')
}

/** @param bare The body with an empty `signature`. */
export const bodySignature = (bare: Buffer, key: string): string =>
  `sha256=${createHmac('sha256', key).update(bare).digest('hex')}`

const wrong = (detail: string): Refusal => ({ ok: false, reason: 'signature', detail })

function outside(at: number, now: Date, name: string): Refusal | null {
  if (Math.abs(now.getTime() - at) <= SIGNATURE_WINDOW_MS) return null
  return { ok: false, reason: 'timestamp', detail: `${name} is not within five minutes of now` }
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
