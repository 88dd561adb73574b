/** The ERP's records (seed 002 §2.1) ⇄ ours. Pure; field names and codes come from the configuration. */
import { z } from 'zod'
import { fail, type Outcome, type SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import {
  contactsText,
  customOf,
  decimal,
  fieldText,
  given,
  key,
  meaningOf,
  optionalDay,
  optionalDecimal,
  optionalText,
  optionalTime,
  quantityIn,
  readable,
  renamed,
  setAt,
  toDateTime,
} from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type { CustomerChanges, OrderChanges, OrderCreate } from '../port.ts'
import {
  type Address,
  type Customer,
  type InventoryLevel,
  joinKey,
  type Money,
  type Order,
  type OrderStatus,
  type Product,
} from '../records.ts'
import { namesOf, type RestErpConfig } from './config.ts'

/** As seed 000 translates them. */
const STATUSES: Readonly<Record<string, OrderStatus>> = {
  CREATED: 'NEW',
  CONFIRMED: 'CONFIRMED',
  PROCESSING: 'IN_PROGRESS',
  SHIPPED: 'SHIPPED',
  DELIVERED: 'DELIVERED',
  CANCELLED: 'CANCELLED',
}
const TYPES: Readonly<Record<string, 'COMPANY' | 'INDIVIDUAL'>> = {
  company: 'COMPANY',
  individual: 'INDIVIDUAL',
}
const ADDRESS_TYPES: Readonly<Record<string, Address['type']>> = {
  billing: 'BILLING',
  shipping: 'SHIPPING',
  office: 'OFFICE',
}

const contactSchema = z.object({
  name: z.string(),
  title: optionalText,
  phone: optionalText,
  email: optionalText,
  isPrimary: z.boolean().nullish(),
})

const addressSchema = z.object({
  type: optionalText,
  address: optionalText,
  city: optionalText,
  province: optionalText,
  postalCode: optionalText,
  country: optionalText,
})

export interface Mapping {
  /** @returns `invalid-response` when this one record cannot be read; the others alike. */
  customer(raw: unknown): Outcome<Customer>
  product(raw: unknown): Outcome<Product>
  /** @returns `not-found` for what is no sales order. */
  order(raw: unknown): Outcome<Order>
  /** The stock of one product, from `/products/ID/inventory`. */
  stock(product: string, raw: unknown): Outcome<readonly InventoryLevel[]>
  /** From `/orders/ID/status`, oldest first. */
  timeline(raw: unknown): Outcome<NonNullable<Order['timeline']>>
  refuseOrder(input: OrderCreate): SourceFailure | undefined
  refuseChanges(changes: OrderChanges): SourceFailure | undefined
  refuseCustomer(changes: CustomerChanges): SourceFailure | undefined
  orderBody(input: OrderCreate, externalReference: string): Record<string, unknown>
  changesBody(changes: OrderChanges): Record<string, unknown>
  customerBody(changes: CustomerChanges): Record<string, unknown>
  missingInOrder(order: Order, changes: OrderChanges): string[]
  missingInCustomer(customer: Customer, changes: CustomerChanges): string[]
  toDateTime(text: string): string | null | undefined
}

export function createMapping(config: RestErpConfig): Mapping {
  const { fields } = namesOf(config)
  const clock = createClock(config.timeZone)
  const time = optionalTime(clock.dateTime)
  const times = { createdAt: time, updatedAt: time }

  const customers = z.object({
    id: key,
    name: z.string(),
    code: optionalText,
    type: optionalText,
    taxNumber: optionalText,
    industry: optionalText,
    phone: optionalText,
    email: optionalText,
    contacts: z.array(contactSchema).nullish(),
    addresses: z.array(addressSchema).nullish(),
    currency: optionalText,
    creditLimit: optionalDecimal,
    paymentTerms: optionalText,
    revision: optionalText,
    ...times,
  })
  const products = z.object({
    id: key,
    sku: key,
    name: z.string(),
    barcode: optionalText,
    unit: optionalText,
    status: optionalText,
    ...times,
  })
  const orders = z.object({
    id: key,
    number: key,
    type: optionalText,
    customer: optionalText,
    customerName: optionalText,
    customerReference: optionalText,
    externalRef: optionalText,
    orderDate: optionalDay,
    dueDate: optionalDay,
    status: optionalText,
    net: optionalDecimal,
    tax: optionalDecimal,
    gross: optionalDecimal,
    discount: optionalDecimal,
    freight: optionalDecimal,
    currency: optionalText,
    comments: optionalText,
    items: z.array(z.unknown()),
    revision: optionalText,
    ...times,
  })
  const lines = z.object({
    number: key,
    product: optionalText,
    sku: optionalText,
    description: optionalText,
    quantity: decimal,
    unit: optionalText,
    unitPrice: optionalDecimal,
    discount: optionalDecimal,
    net: optionalDecimal,
    warehouse: optionalText,
  })
  const inventory = z.object({
    quantity: optionalDecimal,
    unit: optionalText,
    warehouses: z.array(z.looseObject({ id: key, quantity: decimal })).nullish(),
    updatedAt: time,
  })
  const timelines = z.object({
    timeline: z.array(z.object({ status: z.string(), timestamp: time, notes: optionalText })),
  })

  const moneyIn =
    (currency: string | null) =>
    (amount: string | null): Money | null => {
      const known = currency ?? config.currency
      // Without its currency a number is no amount of money.
      return amount === null || known === undefined ? null : { amount, currency: known }
    }
  const statusOf = (code: string | null) =>
    config.orderStatuses[code ?? ''] ?? meaningOf(code?.toUpperCase() ?? null, STATUSES)

  const orderNames = fields.order
  const withCustom = (body: Record<string, unknown>, custom: OrderChanges['customFields']) => {
    for (const [ours, value] of Object.entries(custom ?? {})) {
      const theirs = config.customFields.order[ours]
      if (theirs !== undefined && value !== null) setAt(body, theirs, value)
    }
  }
  /** Sets each field that has a value; dots in its name lead inwards. */
  const setAll = (body: Record<string, unknown>, values: readonly (readonly [string, unknown])[]) => {
    for (const [name, value] of values) if (value !== undefined && value !== null) setAt(body, name, value)
  }

  return {
    toDateTime: (text) => toDateTime(text, clock.dateTime),

    customer: (raw) =>
      readable('customer', fieldText(raw, fields.customer.id), () => {
        const { phone = '', email = '', ...names } = fields.customer
        const one = customers.parse(renamed(raw, { ...names, phone, email }))
        const { currency, creditLimit, paymentTerms } = one
        return {
          key: one.id,
          version: one.revision,
          name: one.name,
          code: one.code,
          type: (one.type !== null && TYPES[one.type]) || null,
          industry: one.industry,
          taxNumber: one.taxNumber,
          phone: one.phone,
          email: one.email,
          contacts: (one.contacts ?? []).map(({ isPrimary, ...contact }) => ({
            ...contact,
            primary: isPrimary ?? null,
          })),
          addresses: (one.addresses ?? []).map(({ type, address, ...place }) => ({
            type: (type !== null && ADDRESS_TYPES[type]) || 'OFFICE',
            street: address,
            ...place,
          })),
          account: {
            company: null,
            currency: currency ?? config.currency ?? null,
            creditLimit: moneyIn(currency)(creditLimit),
            paymentTerms,
          },
          createdAt: one.createdAt,
          updatedAt: one.updatedAt,
          ...customOf(raw, config.customFields.customer),
        }
      }),

    product: (raw) =>
      readable('product', fieldText(raw, fields.product.id), () => {
        const { id, status, ...one } = products.parse({
          ...(renamed(raw, fields.product) as object),
          // Where an ERP has no number beside the key, people use the key.
          sku: fieldText(raw, fields.product.sku) ?? fieldText(raw, fields.product.id),
        })
        const active = status === null ? null : status.toLowerCase() === 'active'
        return { key: id, ...one, active, ...customOf(raw, config.customFields.product) }
      }),

    order: (raw) => {
      const type = fieldText(raw, orderNames.type)
      if (type !== undefined && type !== 'sales') {
        return fail({ kind: 'not-found', message: `This is a ${type} order.` })
      }
      return readable('order', fieldText(raw, orderNames.id), () => {
        const one = orders.parse(renamed(raw, orderNames))
        const money = moneyIn(one.currency)
        return {
          key: one.id,
          number: one.number,
          version: one.revision,
          customer: one.customer,
          customerName: one.customerName,
          customerReference: one.customerReference,
          externalReference: one.externalRef,
          orderDate: one.orderDate,
          dueDate: one.dueDate,
          status: statusOf(one.status),
          vendorStatus: one.status,
          totals: {
            net: money(one.net),
            tax: money(one.tax),
            gross: money(one.gross),
            discount: money(one.discount),
            freight: money(one.freight),
          },
          comments: one.comments,
          lines: one.items.map((item) => {
            const line = lines.parse(renamed(item, fields.line))
            const price = money(line.unitPrice)
            return {
              id: line.number,
              lineNumber: line.number,
              product: line.product,
              sku: line.sku,
              description: line.description,
              ordered: quantityIn(line.unit, config.unitCodes)(line.quantity),
              unitPrice: price && { amount: price, per: '1', taxIncluded: config.pricesIncludeTax },
              discountPercent: line.discount,
              net: money(line.net),
              warehouse: line.warehouse,
            }
          }),
          createdAt: one.createdAt,
          updatedAt: one.updatedAt,
          ...customOf(raw, config.customFields.order),
        }
      })
    },

    stock: (product, raw) =>
      readable('stock', product, () => {
        const { quantity, unit, warehouses, updatedAt } = inventory.parse(raw)
        const level = (warehouse: string, value: string): InventoryLevel => ({
          key: joinKey([product, warehouse]),
          product,
          warehouse,
          onHand: quantityIn(unit, config.unitCodes)(value),
          updatedAt,
        })
        if (warehouses) return warehouses.map((one) => level(one.id, one.quantity))
        return quantity === null ? [] : [level(config.wholeStock, quantity)]
      }),

    timeline: (raw) =>
      readable('timeline', undefined, () =>
        timelines
          .parse(raw)
          .timeline.map(({ status, timestamp, notes }) => ({
            status: statusOf(status),
            vendorStatus: status,
            time: timestamp,
            note: notes,
          }))
          .sort((a, b) => Date.parse(a.time ?? '') - Date.parse(b.time ?? '')),
      ),

    refuseOrder(input) {
      const unknown = unknownCustomField('Orders', config.customFields.order, input.customFields)
      if (unknown) return unknown
      for (const field of ['quantity', 'unitPrice', 'discountPercent'] as const) {
        const at = input.lines.findIndex((line) => typeof jsonNumber(line[field] ?? '0') === 'string')
        if (at < 0) continue
        const message = `${field} is no plain decimal.`
        return { kind: 'rejected', code: 'DECIMAL', message, line: String(at + 1), field }
      }
      return undefined
    },

    refuseChanges: ({ customFields }) =>
      unknownCustomField('Orders', config.customFields.order, customFields),

    refuseCustomer(changes) {
      const unable = (what: string): SourceFailure => ({
        kind: 'unsupported',
        message: `Customers of this ERP have no ${what}.`,
      })
      if (changes.level !== undefined) return unable('level')
      if (changes.phone !== undefined && fields.customer.phone === undefined)
        return unable('telephone of their own: change their contacts')
      if (changes.email !== undefined && fields.customer.email === undefined)
        return unable('e-mail address of their own: change their contacts')
      return undefined
    },

    orderBody(input, externalReference) {
      const body: Record<string, unknown> = {}
      setAll(body, Object.entries(config.orderDefaults))
      setAll(body, [
        [orderNames.type, 'sales'],
        [orderNames.customer, input.customer],
        [orderNames.externalRef, externalReference],
        [orderNames.customerReference, input.customerReference],
        [orderNames.orderDate, input.orderDate],
        [orderNames.dueDate, input.dueDate],
        [orderNames.currency, input.currency ?? config.currency],
        [orderNames.comments, input.comments],
      ])
      withCustom(body, input.customFields)
      setAt(
        body,
        orderNames.items,
        input.lines.map((line, index) => {
          const item: Record<string, unknown> = {}
          setAll(item, Object.entries(config.lineDefaults))
          setAll(item, [
            [fields.line.number, index + 1],
            [fields.line.product, line.product],
            [fields.line.quantity, jsonNumber(line.quantity)],
            [fields.line.unitPrice, line.unitPrice && jsonNumber(line.unitPrice)],
            [fields.line.discount, line.discountPercent && jsonNumber(line.discountPercent)],
            [fields.line.warehouse, line.warehouse],
          ])
          return item
        }),
      )
      return body
    },

    changesBody(changes) {
      const body: Record<string, unknown> = {}
      setAll(body, [
        [orderNames.dueDate, changes.dueDate],
        [orderNames.customerReference, changes.customerReference],
        [orderNames.comments, changes.comments],
      ])
      withCustom(body, changes.customFields)
      return body
    },

    customerBody({ name, industry, phone, email, contacts }) {
      const body: Record<string, unknown> = {}
      setAll(body, [
        [fields.customer.name, name],
        [fields.customer.industry, industry],
        [fields.customer.phone ?? '', phone],
        [fields.customer.email ?? '', email],
        [
          fields.customer.contacts,
          contacts?.map((contact) => ({
            name: contact.name,
            ...given('title', contact.title),
            ...given('phone', contact.phone),
            ...given('email', contact.email),
            isPrimary: contact.primary ?? false,
          })),
        ],
      ])
      return body
    },

    missingInOrder(order, { customFields, ...changes }) {
      const plain = (['dueDate', 'customerReference', 'comments'] as const).filter(
        (field) => changes[field] !== undefined && (changes[field] || null) !== (order[field] || null),
      )
      const custom = Object.entries(customFields ?? {}).filter(
        ([ours, value]) => value !== null && order.customFields?.[ours] !== value,
      )
      return [...plain, ...custom.map(([ours]) => `customFields.${ours}`)]
    },

    missingInCustomer(customer, changes) {
      const shown = { ...customer, contacts: contactsText(customer.contacts) }
      const wanted = { ...changes, contacts: changes.contacts && contactsText(changes.contacts) }
      return (['name', 'industry', 'phone', 'email', 'contacts'] as const).filter(
        (field) => wanted[field] !== undefined && (wanted[field] || null) !== (shown[field] || null),
      )
    },
  }
}
