/**
 * What systems and brokers write when something changed, in the forms that are around: CloudEvents, the event with
 * `id, event, timestamp, data.externalId` (seed 002 §2.3), and that with upper-case types (seed 001 §3.2).
 * A notice says what to look at; nothing else in it is believed. Pure.
 */
import { z } from 'zod'
import type { Notification } from '../systems/port.ts'
import { joinKey, RECORD_TYPES, type RecordType } from '../systems/records.ts'

const text = z.union([z.string().min(1).max(500), z.number().transform(String)])
const moment = z.union([
  z.iso.datetime({ offset: true }),
  // Milliseconds since 1970, also as text.
  z.coerce
    .number()
    .int()
    .min(1e12)
    .max(1e13)
    .transform((ms) => new Date(ms).toISOString()),
])
const where = z.looseObject({
  externalId: text.optional(),
  key: text.optional(),
  id: text.optional(),
  orderId: text.optional(),
  customerId: text.optional(),
  productId: text.optional(),
  invoiceId: text.optional(),
  skuId: text.optional(),
  sku: text.optional(),
  warehouseId: text.optional(),
  warehouse: text.optional(),
})

const cloudEvent = z.looseObject({
  specversion: z.literal('1.0'),
  id: text,
  type: text,
  time: moment.optional(),
  subject: text.optional(),
  data: where.optional(),
})
const named = z.looseObject({ id: text, event: text, timestamp: moment, data: where })
const upperCase = z.looseObject({ eventId: text, eventType: text, timestamp: moment, data: where.optional() })

export type Notice =
  | { readonly ok: true; readonly notifications: readonly Notification[] }
  | { readonly ok: false; readonly detail: string }

/** @param body JSON: one event or a list of them. */
export function readNotices(body: Buffer, now: Date): Notice {
  let raw: unknown
  try {
    raw = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return { ok: false, detail: 'the body is no JSON' }
  }
  const list = Array.isArray(raw) ? raw : [raw]
  if (list.length === 0 || list.length > 1_000) return { ok: false, detail: 'send 1 to 1,000 events at once' }
  const notifications: Notification[] = []
  for (const one of list) {
    const notice = readOne(one, now)
    if (typeof notice === 'string') return { ok: false, detail: notice }
    notifications.push(notice)
  }
  return { ok: true, notifications }
}

function readOne(raw: unknown, now: Date): Notification | string {
  const cloud = cloudEvent.safeParse(raw)
  if (cloud.success) {
    const { id, type, time = now.toISOString(), subject, data } = cloud.data
    return notification(id, type, time, { ...data, externalId: data?.externalId ?? subject })
  }
  const plain = named.safeParse(raw)
  if (plain.success)
    return notification(plain.data.id, plain.data.event, plain.data.timestamp, plain.data.data)
  const upper = upperCase.safeParse(raw)
  if (!upper.success) return 'it has none of the known forms: see src/events/README.md'
  const { eventId, eventType, timestamp, data, ...rest } = upper.data
  const place = where.safeParse({ ...rest, ...data })
  const type = eventType.toLowerCase().replaceAll('_', '.')
  return notification(eventId, type, timestamp, place.success ? place.data : {})
}

function notification(
  id: string,
  type: string,
  time: string,
  place: z.infer<typeof where>,
): Notification | string {
  const [first = '', second = ''] = type.split('.')
  const isStock = first === 'inventory' || (first === 'product' && second === 'inventory')
  const record = isStock ? 'inventoryLevel' : RECORD_TYPES.find((one) => one.toLowerCase() === first)
  if (!record) return `"${type}" is about nothing that is known here`
  const key = keyOf(record, place)
  if (!key) return 'it does not say which record: data.externalId is missing'
  const change = type.endsWith('.created') ? 'created' : type.endsWith('.deleted') ? 'deleted' : 'updated'
  return { id, type: record, key, change, time }
}

function keyOf(record: RecordType, place: z.infer<typeof where>): string | undefined {
  if (place.externalId !== undefined) return place.externalId
  if (record === 'inventoryLevel') {
    const product = place.skuId ?? place.sku ?? place.productId
    const warehouse = place.warehouseId ?? place.warehouse
    return product !== undefined && warehouse !== undefined ? joinKey([product, warehouse]) : undefined
  }
  const own: Partial<Record<RecordType, string | undefined>> = {
    order: place.orderId,
    customer: place.customerId,
    product: place.productId,
    invoice: place.invoiceId,
  }
  return own[record] ?? place.key ?? place.id
}
