/** The WMS's records ⇄ ours. Pure; its field names and codes come from the configuration. */
import { z } from 'zod'
import type { Outcome, SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import {
  customOf,
  decimal,
  fieldText,
  given,
  key,
  meaningOfAnyCase,
  optionalDay,
  optionalDecimal,
  optionalFlag,
  optionalText,
  optionalTime,
  quantityIn,
  readable,
  renamed,
  setAt,
  toDateTime,
} from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type { DeliveryCreate, Notification, ReservationCreate } from '../port.ts'
import {
  type Delivery,
  type InventoryLevel,
  joinKey,
  type Product,
  type Reservation,
  type Warehouse,
} from '../records.ts'
import type { RestWmsConfig } from './config.ts'

type ReservationStatus = Reservation['status']
type DeliveryStatus = Delivery['status']

const RESERVATION_STATUSES: Readonly<Record<string, ReservationStatus>> = {
  ACTIVE: 'ACTIVE',
  FULFILLED: 'FULFILLED',
  RELEASED: 'RELEASED',
  EXPIRED: 'EXPIRED',
}
const DELIVERY_STATUSES: Readonly<Record<string, DeliveryStatus>> = {
  CREATED: 'OPEN',
  SHIPPED: 'CLOSED',
  RECEIVED: 'CLOSED',
  CANCELLED: 'CANCELLED',
}
const DIRECTIONS: Readonly<Record<string, 'OUTBOUND' | 'INBOUND'>> = { OUT: 'OUTBOUND', IN: 'INBOUND' }

export interface Mapping {
  /** @returns `invalid-response` when this one record cannot be read; the others alike. */
  warehouse(raw: unknown): Outcome<Warehouse>
  product(raw: unknown): Outcome<Product>
  inventoryLevel(raw: unknown): Outcome<InventoryLevel>
  reservation(raw: unknown): Outcome<Reservation>
  delivery(raw: unknown): Outcome<Delivery>
  /** What speaks against sending this, or undefined. */
  refuse(input: ReservationCreate | DeliveryCreate): SourceFailure | undefined
  /** @param now Reservations hold for a configured time from here. */
  reservationBody(input: ReservationCreate, externalReference: string, now: Date): Record<string, unknown>
  deliveryBody(input: DeliveryCreate, externalReference: string): Record<string, unknown>
  /**
   * Reads an event of the feed or of a webhook.
   * @returns null where it is about something else; an explanation where it cannot be read.
   */
  event(raw: unknown): WmsEvent | null | string
  toDateTime(text: string): string | null | undefined
}

/** One entry of the feed: what it is about, and when. */
export interface WmsEvent extends Notification {
  readonly type: 'inventoryLevel' | 'reservation' | 'delivery'
}

export function createMapping(config: RestWmsConfig): Mapping {
  const { fields } = config
  const clock = createClock(config.timeZone)

  const time = optionalTime(clock.dateTime)
  const day = optionalDay(clock.wall)
  const times = { createdAt: time, updatedAt: time }
  const warehouses = z.object({ id: key, name: optionalText })
  const products = z.object({
    id: key,
    name: z.string(),
    barcode: optionalText,
    unit: optionalText,
    active: optionalFlag,
    ...times,
  })
  const stock = z.object({
    product: key,
    warehouse: key,
    onHand: decimal,
    reserved: optionalDecimal,
    available: optionalDecimal,
    incoming: optionalDecimal,
    unit: optionalText,
    updatedAt: time,
  })
  const document = {
    id: key,
    orderNumber: optionalText,
    status: optionalText,
    externalRef: optionalText,
    comments: optionalText,
    revision: optionalText,
    lines: z.array(z.unknown()),
    ...times,
  }
  const reservations = z.object({ ...document, expiresAt: time })
  const reservationLines = z.object({
    id: key,
    product: key,
    warehouse: key,
    quantity: decimal,
    open: optionalDecimal,
    unit: optionalText,
  })
  const deliveries = z.object({
    ...document,
    direction: optionalText,
    reservation: optionalText,
    warehouse: optionalText,
    date: day,
    trackingNumber: optionalText,
    recipient: z.unknown().optional(),
  })
  const recipients = z.object({
    name: optionalText,
    phone: optionalText,
    street: optionalText,
    city: optionalText,
    province: optionalText,
    postalCode: optionalText,
    country: optionalText,
  })
  const shipToOf = (raw: unknown): Delivery['shipTo'] => {
    if (raw === null || raw === undefined) return null
    const { name, phone, ...address } = recipients.parse(renamed(raw, fields.recipient))
    return { name, phone, address }
  }
  const deliveryLines = z.object({
    id: key,
    product: optionalText,
    description: optionalText,
    quantity: decimal,
    unit: optionalText,
  })

  const present = <T>(value: string | null, map: (value: string) => T): T | null =>
    value === null ? null : map(value)

  /** What reservations and deliveries share when they are made. */
  const documentBody = (
    input: ReservationCreate | DeliveryCreate,
    names: { readonly externalRef: string; readonly orderNumber: string; readonly comments: string },
    custom: Readonly<Record<string, string>>,
    externalReference: string,
  ): Record<string, unknown> => {
    const body: Record<string, unknown> = {
      [names.externalRef]: externalReference,
      ...given(names.orderNumber, input.orderNumber),
      ...given(names.comments, input.comments),
    }
    for (const [ours, value] of Object.entries(input.customFields ?? {})) {
      const theirs = custom[ours]
      if (theirs !== undefined && value !== null) setAt(body, theirs, value)
    }
    return body
  }

  return {
    toDateTime: (text) => toDateTime(text, clock.dateTime),

    warehouse: (raw) =>
      readable('warehouse', fieldText(raw, fields.warehouse.id), () => {
        const { id, name } = warehouses.parse(renamed(raw, fields.warehouse))
        return { key: id, name }
      }),

    product: (raw) =>
      readable('product', fieldText(raw, fields.product.id), () => {
        const { id, ...plain } = products.parse(renamed(raw, fields.product))
        return {
          key: id,
          sku: id,
          ...plain,
          active: plain.active ?? null,
          ...customOf(raw, config.customFields.product),
        }
      }),

    inventoryLevel: (raw) =>
      readable('stock', stockKeyOf(raw, fields.stock), () => {
        const { product, warehouse, ...row } = stock.parse(renamed(raw, fields.stock))
        const quantity = quantityIn(row.unit, config.unitCodes)
        return {
          key: joinKey([product, warehouse]),
          product,
          warehouse,
          onHand: quantity(row.onHand),
          reserved: present(row.reserved, quantity),
          available: present(row.available, quantity),
          incoming: present(row.incoming, quantity),
          updatedAt: row.updatedAt,
        }
      }),

    reservation: (raw) =>
      readable('reservation', fieldText(raw, fields.reservation.id), () => {
        const { id, status, externalRef, revision, lines, ...plain } = reservations.parse(
          renamed(raw, fields.reservation),
        )
        return {
          key: id,
          number: id,
          version: revision,
          ...plain,
          externalReference: externalRef,
          status: meaningOfAnyCase(status, config.reservationStatuses, RESERVATION_STATUSES),
          vendorStatus: status,
          lines: lines.map((one) => {
            const line = reservationLines.parse(renamed(one, fields.reservationLine))
            const quantity = quantityIn(line.unit, config.unitCodes)
            return {
              id: line.id,
              product: line.product,
              warehouse: line.warehouse,
              quantity: quantity(line.quantity),
              open: present(line.open, quantity),
            }
          }),
          ...customOf(raw, config.customFields.reservation),
        }
      }),

    delivery: (raw) =>
      readable('delivery', fieldText(raw, fields.delivery.id), () => {
        const { id, status, revision, lines, ...plain } = deliveries.parse(renamed(raw, fields.delivery))
        return {
          key: id,
          number: id,
          version: revision,
          direction: plain.direction === null ? null : (DIRECTIONS[plain.direction.toUpperCase()] ?? null),
          orders: [], // orders are kept elsewhere: only their numbers stand here
          orderNumbers: plain.orderNumber === null ? [] : [plain.orderNumber],
          reservation: plain.reservation,
          trackingNumbers: plain.trackingNumber === null ? [] : [plain.trackingNumber],
          externalReference: plain.externalRef,
          shipTo: shipToOf(plain.recipient),
          date: plain.date,
          status: meaningOfAnyCase(status, config.deliveryStatuses, DELIVERY_STATUSES),
          vendorStatus: status,
          lines: lines.map((one) => {
            const line = deliveryLines.parse(renamed(one, fields.deliveryLine))
            return {
              id: line.id,
              product: line.product,
              description: line.description,
              quantity: quantityIn(line.unit, config.unitCodes)(line.quantity),
              warehouse: plain.warehouse,
            }
          }),
          createdAt: plain.createdAt,
          updatedAt: plain.updatedAt,
          ...customOf(raw, config.customFields.delivery),
        }
      }),

    refuse(input) {
      const isDelivery = 'direction' in input
      const custom = config.customFields[isDelivery ? 'delivery' : 'reservation']
      const what = isDelivery ? 'Deliveries' : 'Reservations'
      const unknown = unknownCustomField(what, custom, input.customFields)
      if (unknown) return unknown
      const named = isDelivery
        ? input.warehouse !== undefined
        : input.lines.every(({ warehouse }) => warehouse !== undefined)
      if (!named && config.defaultWarehouse === undefined) {
        const message = 'Name a warehouse: this system is configured without one to fall back on.'
        return { kind: 'rejected', code: 'WAREHOUSE', message, field: 'warehouse' }
      }
      const at = input.lines.findIndex(({ quantity }) => typeof jsonNumber(quantity) === 'string')
      if (at < 0) return undefined
      const message = 'The quantity is no plain decimal.'
      return { kind: 'rejected', code: 'DECIMAL', message, line: String(at + 1), field: 'quantity' }
    },

    reservationBody(input, externalReference, now) {
      const { reservation: names, reservationLine: lineNames } = fields
      const minutes = config.reservationMinutes
      const lapses =
        input.expiresAt ??
        (minutes === undefined ? undefined : new Date(now.getTime() + minutes * 60_000).toISOString())
      return {
        ...documentBody(input, names, config.customFields.reservation, externalReference),
        ...given(names.expiresAt, lapses),
        [names.lines]: input.lines.map(({ product, quantity, warehouse }) => ({
          [lineNames.product]: product,
          ...given(lineNames.warehouse, warehouse ?? config.defaultWarehouse),
          [lineNames.quantity]: jsonNumber(quantity),
        })),
      }
    },

    deliveryBody(input, externalReference) {
      const { delivery: names, deliveryLine: lineNames, recipient } = fields
      const outbound = input.direction === 'OUTBOUND'
      const { shipTo } = input
      return {
        [names.direction]: outbound ? 'OUT' : 'IN',
        [names.type]: config.deliveryTypes[outbound ? 'outbound' : 'inbound'],
        ...documentBody(input, names, config.customFields.delivery, externalReference),
        ...given(names.warehouse, input.warehouse ?? config.defaultWarehouse),
        ...given(names.reservation, input.reservation),
        ...given(names.date, input.date),
        ...given(
          names.recipient,
          shipTo && {
            [recipient.name]: shipTo.name,
            ...given(recipient.phone, shipTo.phone),
            ...given(recipient.street, shipTo.address.street),
            ...given(recipient.city, shipTo.address.city),
            ...given(recipient.province, shipTo.address.province),
            ...given(recipient.postalCode, shipTo.address.postalCode),
            ...given(recipient.country, shipTo.address.country),
          },
        ),
        [names.lines]: input.lines.map(({ product, quantity }) => ({
          [lineNames.product]: product,
          [lineNames.quantity]: jsonNumber(quantity),
        })),
      }
    },

    event(raw) {
      const event = eventSchema.safeParse(raw)
      if (!event.success) return z.prettifyError(event.error).replaceAll(/\s+/g, ' ')
      const { eventId, eventType, timestamp, change } = event.data
      const about = subjectOf(event.data)
      if (about === null) return null
      if (about === undefined) return `${eventType} does not say what it is about`
      const time = toDateTime(timestamp, clock.dateTime)
      if (!time) return `"${timestamp.slice(0, 40)}" is no date-time`
      return { id: eventId, ...about, change, time }
    },
  }
}

/* ---- events ---- */

const eventSchema = z.looseObject({
  eventId: key,
  eventType: z.string(),
  timestamp: z.string(),
  warehouseId: z.string().nullish(),
  skuId: z.string().nullish(),
  reservationId: z.string().nullish(),
  deliveryId: z.string().nullish(),
  change: z
    .enum(['created', 'updated', 'deleted'])
    .nullish()
    .transform((change) => change ?? 'updated'),
})

/** @returns null for other events; undefined where the keys are missing. */
function subjectOf(event: z.infer<typeof eventSchema>): Pick<WmsEvent, 'type' | 'key'> | null | undefined {
  const { skuId, warehouseId, reservationId, deliveryId } = event
  switch (event.eventType) {
    case 'INVENTORY_CHANGED':
      return skuId && warehouseId ? { type: 'inventoryLevel', key: joinKey([skuId, warehouseId]) } : undefined
    case 'RESERVATION_CHANGED':
      return reservationId ? { type: 'reservation', key: reservationId } : undefined
    case 'DELIVERY_CHANGED':
      return deliveryId ? { type: 'delivery', key: deliveryId } : undefined
    default:
      return null
  }
}

/** The key of a raw row of stock, as far as it can be told. */
export function stockKeyOf(
  raw: unknown,
  names: { readonly product: string; readonly warehouse: string },
): string | undefined {
  const [product, warehouse] = [fieldText(raw, names.product), fieldText(raw, names.warehouse)]
  return product !== undefined && warehouse !== undefined ? joinKey([product, warehouse]) : undefined
}
