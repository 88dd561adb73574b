/**
 * What else reads differently after a change of one record: other records of the same system, and the answers to
 * lookups that find it. Declared here once, written into the event, so that every node invalidates the same
 * without asking the system.
 */
import type { LookupName } from '../systems/port.ts'
import {
  isOwnType,
  joinKey,
  type Key,
  type RecordType,
  type RecordTypes,
  type UnifiedType,
} from '../systems/records.ts'

export interface Affected {
  readonly record: RecordType
  readonly key: Key
  /** A lookup's answer instead of a record: which records of this type it finds for `key`. */
  readonly by?: LookupName
}

type Declarations = { readonly [T in UnifiedType]: (record: RecordTypes[T]) => readonly Affected[] }

const record = (type: RecordType, key: Key | null | undefined): Affected[] =>
  key ? [{ record: type, key }] : []
const lookup = (type: RecordType, by: LookupName, key: Key | null | undefined): Affected[] =>
  key ? [{ record: type, by, key }] : []

/** What a customer owes and what is left of the credit. */
const standing = (customer: Key | null | undefined): Affected[] => [
  ...record('receivable', customer),
  ...record('customer', customer),
]

interface StockLine {
  readonly product?: Key | null
  readonly warehouse?: Key | null
}

/** Reserved and available stock follow orders and deliveries, and most systems change it without a trace. */
const stock = (lines: readonly StockLine[]): Affected[] =>
  lines.flatMap(({ product, warehouse }) => [
    ...lookup('inventoryLevel', 'byProduct', product),
    ...record('inventoryLevel', product && warehouse ? joinKey([product, warehouse]) : null),
  ])

const declarations: Declarations = {
  customer: () => [],
  product: () => [],
  warehouse: () => [],
  inventoryLevel: ({ product }) => lookup('inventoryLevel', 'byProduct', product),
  order: ({ number, customer, lines }) => [
    ...lookup('order', 'byNumber', number),
    ...lookup('order', 'byCustomer', customer),
    ...stock(lines),
  ],
  delivery: ({ orders, orderNumbers = [], reservation, lines }) => [
    ...orders.flatMap((order) => [...lookup('delivery', 'byOrder', order), ...record('order', order)]),
    ...orderNumbers.flatMap((number) => lookup('delivery', 'byOrderNumber', number)),
    ...record('reservation', reservation),
    ...stock(lines),
  ],
  reservation: ({ orderNumber, lines }) => [
    ...lookup('reservation', 'byOrderNumber', orderNumber),
    ...stock(lines),
  ],
  shipment: ({ trackingNumber, orderNumbers, deliveryNumbers }) => [
    ...lookup('shipment', 'byNumber', trackingNumber),
    ...orderNumbers.flatMap((number) => lookup('shipment', 'byOrderNumber', number)),
    ...deliveryNumbers.flatMap((number) => lookup('shipment', 'byDeliveryNumber', number)),
  ],
  invoice: ({ number, customer, orderNumbers }) => [
    ...lookup('invoice', 'byNumber', number),
    ...lookup('invoice', 'byCustomer', customer),
    ...orderNumbers.flatMap((order) => lookup('invoice', 'byOrderNumber', order)),
    ...standing(customer),
  ],
  payment: ({ customer, applications }) => [
    ...lookup('payment', 'byCustomer', customer),
    ...applications.flatMap(({ invoice }) => [
      ...lookup('payment', 'byInvoice', invoice),
      ...record('invoice', invoice),
    ]),
    ...standing(customer),
  ],
  receivable: () => [],
  opportunity: ({ customer }) => lookup('opportunity', 'byCustomer', customer),
}

/**
 * @param states The record before and after, as far as known: a payment moved to another invoice touches both.
 * @returns Undefined for a system's own type: nobody here knows what its fields mean.
 */
export function affectedBy<T extends RecordType>(
  type: T,
  states: readonly (RecordTypes[T] | null)[],
): readonly Affected[] | undefined {
  if (isOwnType(type)) return undefined
  const declare = declarations[type as UnifiedType] as (record: RecordTypes[T]) => readonly Affected[]
  const all = states.flatMap((state) => (state ? declare(state) : []))
  return [...new Map(all.map((one) => [JSON.stringify([one.record, one.by ?? null, one.key]), one])).values()]
}
