/**
 * Business events as Event Mesh delivers them: CloudEvents 1.0 over HTTP, structured, binary or several at once.
 * They say that something changed and are read back; they come at least once and in no order.
 * @see CloudEvents 1.0, HTTP Protocol Binding; SAP Business Accelerator Hub, events of S/4HANA
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { failureText, SourceError } from '../failure.ts'
import { parseJson } from '../kit/json.ts'
import type { Notification, WebhookReceiver, WebhookRequest, WebhookVerdict } from '../port.ts'
import type { RecordType } from '../records.ts'
import type { SapS4Config } from './config.ts'
import { external } from './odata.ts'

/** What an event is about, by the object in its type, and where its data names the record. */
const OBJECTS: Readonly<Record<string, { readonly type: RecordType; readonly keys: readonly string[] }>> = {
  salesorder: { type: 'order', keys: ['SalesOrder'] },
  businesspartner: { type: 'customer', keys: ['Customer', 'BusinessPartner'] },
  product: { type: 'product', keys: ['Product', 'Material'] },
  outbounddelivery: { type: 'delivery', keys: ['OutboundDelivery', 'DeliveryDocument'] },
  billingdocument: { type: 'invoice', keys: ['BillingDocument'] },
}

const eventSchema = z.object({
  specversion: z.string().regex(/^1\./, 'is not 1.x'),
  id: z.string().min(1),
  source: z.string().min(1),
  type: z.string().min(1),
  time: z.iso.datetime({ offset: true }).optional(),
  data: z.record(z.string(), z.unknown()).optional(),
})

export function createReceiver(events: NonNullable<SapS4Config['events']>): WebhookReceiver {
  const expected = digest(`Basic ${Buffer.from(`${events.username}:${events.password}`).toString('base64')}`)
  return {
    receive(request, now): WebhookVerdict {
      // Event Mesh signs nothing: a user and a password are what it offers to a webhook.
      const given = request.headers.authorization
      if (given === undefined || !timingSafeEqual(digest(given), expected)) {
        return { ok: false, reason: 'signature', detail: 'user and password do not match' }
      }
      const notifications: Notification[] = []
      let envelopes: readonly unknown[]
      try {
        envelopes = envelopesOf(request)
      } catch (error) {
        if (!(error instanceof SourceError)) throw error
        return { ok: false, reason: 'malformed', detail: failureText(error.failure) }
      }
      for (const envelope of envelopes) {
        const notification = notificationOf(envelope, now)
        if (typeof notification === 'string') return { ok: false, reason: 'malformed', detail: notification }
        if (notification) notifications.push(notification)
      }
      return { ok: true, notifications }
    },
  }
}

function envelopesOf({ headers, body }: WebhookRequest): readonly unknown[] {
  const text = body.toString('utf8')
  if (headers['ce-type'] !== undefined) {
    const attributes = ['specversion', 'id', 'source', 'type', 'time'].flatMap((name) => {
      const value = headers[`ce-${name}`]
      return value === undefined ? [] : [[name, unescaped(value)] as const]
    })
    return [{ ...Object.fromEntries(attributes), data: text === '' ? {} : parseJson(text, 'event') }]
  }
  const json = parseJson(text, 'event')
  return Array.isArray(json) ? json : [json]
}

function unescaped(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/** A text says why it cannot be read; null: it is about something else. */
function notificationOf(envelope: unknown, now: Date): Notification | string | null {
  const parsed = eventSchema.safeParse(envelope)
  if (!parsed.success) return z.prettifyError(parsed.error)
  const { id, type, time, data } = parsed.data
  const [, name = '', event = ''] = /^sap\.s4\.beh\.(\w+)\.v\d+\.\w+\.(\w+)\.v\d+$/i.exec(type) ?? []
  const object = Object.hasOwn(OBJECTS, name.toLowerCase()) ? OBJECTS[name.toLowerCase()] : undefined
  if (!object) return null
  const key = object.keys.map((field) => data?.[field]).find((value) => typeof value === 'string' && value)
  if (typeof key !== 'string') return `an event ${type} that does not say which`
  return {
    id,
    type: object.type,
    key: external(key),
    change: event === 'Created' ? 'created' : event === 'Deleted' ? 'deleted' : 'updated',
    time: time ?? now.toISOString(),
  }
}

/** Of equal length, whatever was sent. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
