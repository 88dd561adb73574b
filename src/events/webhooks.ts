/**
 * Webhooks of systems whose kind has none of its own: signed in one of the ways that are around. Each way covers time
 * and body; a signature over the body alone could be replayed for ever, and is not offered.
 */
import { z } from 'zod'
import {
  type SignatureVerdict,
  verifySigned,
  verifySignedBody,
  verifyWebhook,
} from '../systems/kit/signature.ts'
import type { WebhookReceiver, WebhookRequest } from '../systems/port.ts'
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
        .describe(
          'The member "signature" of the body: sha256= and HMAC-SHA256 of the body without it, or with it empty',
        ),
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
      const signature = verify(settings, request, now)
      if (!signature.ok) return signature
      const notice = readNotices(request.body, now)
      return notice.ok ? notice : { ok: false, reason: 'malformed', detail: notice.detail }
    },
  }
}

function verify(settings: NotifySettings, request: WebhookRequest, now: Date): SignatureVerdict {
  switch (settings.profile) {
    case 'standard':
      return verifyWebhook(settings.secret, request, now)
    case 'timestamp-key-body':
      return verifySigned(settings, request, now)
    case 'signed-body':
      return verifySignedBody(settings.secret, request, now)
  }
}
