/** From two states of a record to the event that tells the difference. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { isOwnType, type RecordType, type RecordTypes } from '../systems/records.ts'
import type { Facts, FieldChange } from './event.ts'

/** Fields that change with every touch and tell nothing. */
const NOISE = new Set(['key', 'version', 'updatedAt', 'createdAt', 'asOf'])

export interface Difference {
  readonly type: string
  readonly changes: readonly FieldChange[]
  readonly facts: Facts
  readonly before: Facts | null
}

/**
 * @param before The last known state; null where there is none.
 * @param isNew Whether the record is known to be new, when there is no earlier state.
 * @param name What the event's type begins with.
 * @returns null where nothing differs that matters.
 */
export function differenceOf<T extends RecordType>(
  record: T,
  before: RecordTypes[T] | null,
  after: RecordTypes[T],
  isNew: boolean,
  name: string = record,
): Difference | null {
  const facts = factsOf(record, after)
  if (!before)
    return {
      type: isNew ? firstType(record, name) : changedType(record, name, null, facts),
      changes: [],
      facts,
      before: null,
    }
  const changes = fieldChanges(before, after)
  if (changes.length === 0) return null
  const factsBefore = factsOf(record, before)
  return { type: changedType(record, name, factsBefore, facts), changes, facts, before: factsBefore }
}

function fieldChanges(before: object, after: object): FieldChange[] {
  const old = new Map(Object.entries(before))
  const now = new Map(Object.entries(after))
  const fields = [...new Set([...old.keys(), ...now.keys()])].filter((field) => !NOISE.has(field))
  return fields
    .filter((field) => !isDeepStrictEqual(old.get(field) ?? null, now.get(field) ?? null))
    .map((field) => ({ field, old: jsonOf(old.get(field)), new: jsonOf(now.get(field)) }))
}

const jsonOf = (value: unknown): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value)

/** What a filter or a payload asks of an event, by record type. */
export function factsOf<T extends RecordType>(type: T, record: RecordTypes[T]): Facts {
  const any = record as RecordTypes[RecordType]
  switch (type) {
    case 'order': {
      const order = any as RecordTypes['order']
      return { number: order.number, status: order.status, customer: order.customer ?? null }
    }
    case 'inventoryLevel': {
      const level = any as RecordTypes['inventoryLevel']
      return {
        product: level.product,
        warehouse: level.warehouse,
        onHand: level.onHand.value,
        available: level.available?.value ?? null,
      }
    }
    case 'invoice': {
      const invoice = any as RecordTypes['invoice']
      return {
        number: invoice.number,
        status: invoice.status,
        customer: invoice.customer ?? null,
        dueDate: invoice.dueDate ?? null,
      }
    }
    case 'payment': {
      const payment = any as RecordTypes['payment']
      return { number: payment.number, status: payment.status, customer: payment.customer ?? null }
    }
    case 'opportunity': {
      const opportunity = any as RecordTypes['opportunity']
      return { stage: opportunity.stage, customer: opportunity.customer ?? null }
    }
    case 'product': {
      const product = any as RecordTypes['product']
      return { sku: product.sku }
    }
    case 'customer': {
      const customer = any as RecordTypes['customer']
      return { level: customer.level ?? null }
    }
    case 'delivery': {
      const delivery = any as RecordTypes['delivery']
      return { status: delivery.status, order: delivery.orders[0] ?? null }
    }
    case 'reservation': {
      const reservation = any as RecordTypes['reservation']
      return {
        number: reservation.number,
        status: reservation.status,
        order: reservation.orderNumber ?? null,
      }
    }
    case 'shipment': {
      const shipment = any as RecordTypes['shipment']
      return {
        number: shipment.trackingNumber,
        carrier: shipment.carrier ?? null,
        status: shipment.status,
        // One in a line.
        orders: shipment.orderNumbers.join('\n'),
      }
    }
    default:
      return isOwnType(type) ? plainFacts(record) : {}
  }
}

/** Longer texts are nothing to filter by. */
const MAX_FACT = 200

/** Of a type that nobody here knows: what can be written in one word. */
const plainFacts = (record: object): Facts =>
  Object.fromEntries(
    Object.entries(record).flatMap(([field, value]): [string, string | null][] => {
      if (value === null || value === undefined) return [[field, null]]
      const text = typeof value === 'object' ? undefined : String(value)
      return text === undefined || text.length > MAX_FACT ? [] : [[field, text]]
    }),
  )

const firstType = (record: RecordType, name: string): string =>
  record === 'inventoryLevel' ? 'product.inventory.changed' : `${name}.created`

function changedType(record: RecordType, name: string, before: Facts | null, after: Facts): string {
  if (record === 'inventoryLevel') return 'product.inventory.changed'
  if (before && before.status !== after.status) {
    if (record === 'order') return orderStatusType(after.status ?? '')
    if (record === 'invoice' && after.status === 'PAID') return 'invoice.paid'
  }
  return `${name}.updated`
}

function orderStatusType(status: string): string {
  switch (status) {
    case 'SHIPPED':
      return 'order.shipped'
    case 'DELIVERED':
      return 'order.delivered'
    case 'CANCELLED':
      return 'order.cancelled'
    default:
      return 'order.status.changed'
  }
}
