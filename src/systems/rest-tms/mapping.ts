/** The TMS's shipments ⇄ ours. Pure; field names and codes come from the configuration. */
import { z } from 'zod'
import type { Outcome } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import {
  customOf,
  fieldText,
  key,
  meaningOfAnyCase,
  optionalDay,
  optionalText,
  optionalTime,
  readable,
  renamed,
  setAt,
  toDateTime,
} from '../kit/rest/fields.ts'
import type { ShipmentTrack } from '../port.ts'
import { SHIPMENT_STATUSES, type Shipment, type ShipmentStatus } from '../records.ts'
import type { RestTmsConfig } from './config.ts'

const STATUSES: Readonly<Record<string, ShipmentStatus>> = Object.fromEntries(
  SHIPMENT_STATUSES.map((status) => [status, status]),
)

export interface Mapping {
  /** @returns `invalid-response` when this one record cannot be read. */
  shipment(raw: unknown): Outcome<Shipment>
  shipmentBody(input: ShipmentTrack): Record<string, unknown>
  toDateTime(text: string): string | null | undefined
}

export function createMapping(config: RestTmsConfig): Mapping {
  const { fields } = config
  const clock = createClock(config.timeZone)
  const time = optionalTime(clock.dateTime)
  const day = optionalDay(clock.wall)
  const numbers = z
    .union([z.array(z.string()), z.string()])
    .nullish()
    .transform((given) => (typeof given === 'string' ? [given] : (given ?? [])).filter((one) => one !== ''))

  const shipments = z.object({
    id: key,
    trackingNumber: key,
    carrier: optionalText,
    carrierName: optionalText,
    status: optionalText,
    recipientRegion: optionalText,
    expectedDelivery: day,
    signedBy: optionalText,
    signedAt: time,
    orderNumbers: numbers,
    deliveryNumbers: numbers,
    events: z.array(z.unknown()).nullish(),
    createdAt: time,
    updatedAt: time,
  })
  const events = z.object({
    time: z
      .string()
      .transform((text) => toDateTime(text, clock.dateTime))
      .pipe(z.string({ error: 'is no date-time' })),
    place: optionalText,
    // Some carriers note a time and a status, and no word.
    text: optionalText.transform((text) => text ?? ''),
    status: optionalText,
  })
  const statusOf = (word: string | null) => meaningOfAnyCase(word, config.statuses, STATUSES)

  return {
    toDateTime: (text) => toDateTime(text, clock.dateTime),

    shipment: (raw) =>
      readable('shipment', fieldText(raw, fields.shipment.id), () => {
        // The telephone number is nobody's business who reads.
        const { phone: _, ...names } = fields.shipment
        const { id, status, events: noted, ...one } = shipments.parse(renamed(raw, names))
        return {
          key: id,
          ...one,
          status: statusOf(status),
          vendorStatus: status,
          events: (noted ?? [])
            .map((event) => {
              const { status: word, ...rest } = events.parse(renamed(event, fields.event))
              return { ...rest, status: word === null ? null : statusOf(word), vendorStatus: word }
            })
            .sort((a, b) => Date.parse(a.time) - Date.parse(b.time)),
          ...customOf(raw, config.customFields.shipment),
        }
      }),

    shipmentBody(input) {
      const names = fields.shipment
      const body: Record<string, unknown> = {}
      const set = (name: string, value: unknown) => {
        if (value !== undefined) setAt(body, name, value)
      }
      set(names.trackingNumber, input.trackingNumber)
      set(names.carrier, input.carrier && (config.carriers[input.carrier] ?? input.carrier))
      set(names.phone, input.phone)
      set(names.orderNumbers, input.orderNumber && [input.orderNumber])
      set(names.deliveryNumbers, input.deliveryNumber && [input.deliveryNumber])
      return body
    },
  }
}
