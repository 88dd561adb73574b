/** What systems tell us, after a look at the signature. */
import { z } from 'zod'
import { failureText, SourceError } from '../../failure.ts'
import type { Notification, WebhookReceiver, WebhookRequest } from '../../port.ts'
import { parseJson } from '../json.ts'
import { type SignatureVerdict, verifySigned, verifySignedBody, verifyWebhook } from '../signature.ts'
import type { WebhookSettings } from './settings.ts'

/**
 * @param read Finds the notifications in a body, or explains why it cannot be read. `id` is what the signed headers
 * call the event, where they do: then the body must agree.
 */
export const createReceiver = (
  settings: WebhookSettings,
  read: (body: unknown, id: string | null) => readonly Notification[] | string,
): WebhookReceiver => ({
  receive(request, now) {
    const signature = verifySignature(settings, request, now)
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

export function verifySignature(
  settings: WebhookSettings,
  request: WebhookRequest,
  now: Date,
): SignatureVerdict {
  switch (settings.profile) {
    case 'signature':
      return verifySigned(settings, request, now)
    case 'body':
      return verifySignedBody(settings.secret, request, now)
    default:
      return verifyWebhook(settings.secret, request, now)
  }
}

/* ---- events ---- */

const eventSchema = z.looseObject({
  id: z.string().min(1),
  event: z.string().min(1),
  timestamp: z.string(),
  data: z.looseObject({ externalId: z.string().min(1) }),
})

/** Seed 002 §2.3.3: what happened, behind the record's name. */
const HAPPENINGS: Readonly<Record<string, Notification['change']>> = {
  created: 'created',
  updated: 'updated',
  deleted: 'deleted',
  'inventory.changed': 'updated',
  'status.changed': 'updated',
  shipped: 'updated',
  delivered: 'updated',
  cancelled: 'updated',
  paid: 'updated',
  overdue: 'updated',
}

/**
 * Reads an event in the form of seed 002 §2.3.2: `{id, event: "order.created", timestamp, data: {externalId}}`.
 * @param id What the signed header calls the event, where it does; the body must agree.
 * @param toDateTime See `toDateTime` of fields.ts.
 * @returns No notification for events about something else; an explanation where the body cannot be read.
 */
export function readStandardEvent(
  raw: unknown,
  id: string | null,
  types: readonly Notification['type'][],
  toDateTime: (text: string) => string | null | undefined,
): readonly Notification[] | string {
  const event = eventSchema.safeParse(raw)
  if (!event.success) return z.prettifyError(event.error).replaceAll(/\s+/g, ' ')
  if (id !== null && event.data.id !== id) return 'the id in the body is not the one in the header webhook-id'
  const time = toDateTime(event.data.timestamp)
  if (!time) return `"${event.data.timestamp.slice(0, 40)}" is no date-time`
  const [, subject, happening = ''] = /^([a-zA-Z]+)\.([a-z.]+)$/.exec(event.data.event) ?? []
  const type = types.find((one) => one === subject)
  const change = Object.hasOwn(HAPPENINGS, happening) ? HAPPENINGS[happening] : undefined
  if (!type || !change) return []
  return [{ id: event.data.id, type, key: event.data.data.externalId, change, time }]
}
