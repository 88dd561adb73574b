/** The ERP's records (seed 002 §2.1) ⇄ ours. Pure; field names and codes come from the configuration. */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, type SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import {
  customOf,
  decimal,
  fieldOf,
  fieldText,
  key,
  meaningOfAnyCase,
  missingCustom,
  optionalDay,
  optionalDecimal,
  optionalText,
  optionalTime,
  placeText,
  quantityIn,
  readable,
  renamed,
  setAll,
  setAt,
  setCustom,
  texts,
  toDateTime,
} from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type { Extra, OrderChanges, OrderCreate, ShipTo, WriteContext } from '../port.ts'
import {
  type Customer,
  type DateTimeText,
  type InventoryLevel,
  joinKey,
  type Key,
  type Money,
  type Order,
  type OrderStatus,
  type Product,
  type Reference,
} from '../records.ts'
import { namesOf, type RestErpConfig } from './config.ts'
import { type CustomerMapping, customerMapping } from './customers.ts'
import { type ProductMapping, productMapping } from './products.ts'

/** As seed 000 translates them. */
const STATUSES: Readonly<Record<string, OrderStatus>> = {
  CREATED: 'NEW',
  CONFIRMED: 'CONFIRMED',
  PROCESSING: 'IN_PROGRESS',
  SHIPPED: 'SHIPPED',
  DELIVERED: 'DELIVERED',
  CANCELLED: 'CANCELLED',
}
export interface Mapping extends CustomerMapping, ProductMapping {
  /** @returns `not-found` for what is no sales order. */
  order(raw: unknown): Outcome<Order>
  /** The stock of one product, from `/products/ID/inventory`. */
  stock(product: string, raw: unknown): Outcome<readonly InventoryLevel[]>
  /** From `/orders/ID/status`, oldest first. */
  timeline(raw: unknown): Outcome<NonNullable<Order['timeline']>>
  /** What `/orders/ID/status` alone tells of an order: no customer, no amounts, and none of its lines. */
  orderByStatus(id: string, raw: unknown): Outcome<Order>
  /** What orders have a place for, as this ERP is configured. */
  readonly takes: { readonly create: readonly Extra[]; readonly update: readonly Extra[] }
  refuseOrder(input: OrderCreate): SourceFailure | undefined
  refuseChanges(changes: OrderChanges): SourceFailure | undefined
  orderBody(input: OrderCreate, write: WriteContext): Record<string, unknown>
  /** All that `OrderData` says, as far as it is known: names, units, amounts. */
  wholeOrder(body: Record<string, unknown>, input: OrderCreate, known: KnownOfOrder): Record<string, unknown>
  changesBody(changes: OrderChanges): Record<string, unknown>
  missingInOrder(order: Order, changes: OrderChanges): string[]
  toDateTime(text: string): string | null | undefined
}

/** What the ERP has of those that an order names. */
export interface KnownOfOrder {
  readonly customer: Customer | null
  readonly products: ReadonlyMap<Key, Product>
}

/** What the mappings of all record types need. */
export interface ReadingTools {
  readonly times: { readonly createdAt: TimeSchema; readonly updatedAt: TimeSchema }
  /** Without its currency a number is no amount of money. */
  moneyIn(currency: string | null): (amount: string | null) => Money | null
  /** A tax rate as the ERP writes it, in per cent. */
  percent(rate: string | null): string | null
}
type TimeSchema = z.ZodType<DateTimeText | null>

export function createMapping(config: RestErpConfig): Mapping {
  const { fields } = namesOf(config)
  const clock = createClock(config.timeZone)
  const time = optionalTime(clock.dateTime)
  const day = optionalDay(clock.wall)
  const times = { createdAt: time, updatedAt: time }
  const moneyIn =
    (currency: string | null) =>
    (amount: string | null): Money | null => {
      const known = currency ?? config.currency
      return amount === null || known === undefined ? null : { amount, currency: known }
    }
  const percent = (rate: string | null) =>
    rate === null || config.taxRates === 'percent' ? rate : new Big(rate).times(100).toFixed()
  const tools: ReadingTools = { times, moneyIn, percent }

  // Seed 000 expects that there may be none; `OrderData` has them.
  const items = z.array(z.unknown())
  const orders = z.object({
    id: key,
    number: optionalText,
    type: optionalText,
    customer: optionalText,
    customerName: optionalText,
    customerReference: optionalText,
    externalRef: optionalText,
    orderDate: day,
    dueDate: day,
    deliveredOn: day,
    trackingNumber: texts,
    recipient: optionalText,
    recipientPhone: optionalText,
    street: optionalText,
    city: optionalText,
    province: optionalText,
    postalCode: optionalText,
    country: optionalText,
    paymentMethod: optionalText,
    paymentTerms: optionalText,
    paymentDue: day,
    paid: optionalDecimal,
    paidOn: day,
    proposal: optionalText,
    quotation: optionalText,
    contract: optionalText,
    status: optionalText,
    statusSince: time,
    net: optionalDecimal,
    tax: optionalDecimal,
    gross: optionalDecimal,
    discount: optionalDecimal,
    freight: optionalDecimal,
    currency: optionalText,
    comments: optionalText,
    createdBy: optionalText,
    items: config.contract === 'plain' ? items.nullish().transform((all) => all ?? []) : items,
    revision: optionalText,
    ...times,
  })
  const lines = z.object({
    number: optionalText,
    product: optionalText,
    sku: optionalText,
    description: optionalText,
    quantity: decimal,
    unit: optionalText,
    unitPrice: optionalDecimal,
    discount: optionalDecimal,
    taxRate: optionalDecimal,
    comments: optionalText,
    net: optionalDecimal,
    warehouse: optionalText,
  })
  const inventory = z.object({
    quantity: optionalDecimal,
    unit: optionalText,
    warehouses: z.array(z.looseObject({ id: key, quantity: decimal })).nullish(),
    updatedAt: time,
  })
  const steps = z.array(z.object({ status: z.string(), timestamp: time, notes: optionalText }))
  const timelines = z.object({ timeline: steps })
  const statuses = z.object({
    status: z.object({ code: z.string(), updatedAt: time }),
    timeline: steps.nullish(),
  })
  const timelineOf = (given: z.infer<typeof steps>): NonNullable<Order['timeline']> =>
    given
      .map(({ status, timestamp, notes }) => ({
        status: statusOf(status),
        vendorStatus: status,
        time: timestamp,
        note: notes,
      }))
      .sort((a, b) => Date.parse(a.time ?? '') - Date.parse(b.time ?? ''))

  const statusOf = (code: string | null) => meaningOfAnyCase(code, config.orderStatuses, STATUSES)

  /** The seed's orders do not say who receives the goods: without a place for that, nobody else can be named. */
  const { recipient = '', recipientPhone = '', country = '', ...standardNames } = fields.order
  const orderNames = { ...standardNames, recipient, recipientPhone, country }
  const shipTo: readonly Extra[] = recipient === '' ? [] : ['shipTo']
  const takes: Mapping['takes'] = {
    create: [
      ...shipTo,
      'paymentTerms',
      'paymentMethod',
      'precededBy',
      'lines.comments',
      'lines.customFields',
    ],
    update: [...shipTo, 'paymentTerms'],
  }

  const refuseShipTo = (shipTo: ShipTo | undefined): SourceFailure | undefined => {
    const unable = (what: string): SourceFailure => ({
      kind: 'unsupported',
      message: `Orders of this ERP have no place for ${what}.`,
    })
    if (shipTo?.phone && recipientPhone === '') return unable("the recipient's telephone")
    if (shipTo?.address.country && country === '') return unable('the country of a delivery address')
    return undefined
  }

  /** All of it: a part that is left out must not stay as it was before. */
  const shipToFields = (shipTo: ShipTo | undefined): readonly (readonly [string | undefined, unknown])[] =>
    shipTo === undefined
      ? []
      : [
          [recipient, shipTo.name],
          [recipientPhone, shipTo.phone ?? ''],
          [orderNames.street, shipTo.address.street ?? ''],
          [orderNames.city, shipTo.address.city ?? ''],
          [orderNames.province, shipTo.address.province ?? ''],
          [orderNames.postalCode, shipTo.address.postalCode ?? ''],
          [country, shipTo.address.country ?? ''],
        ]

  return {
    ...customerMapping(config, tools),
    ...productMapping(config, tools),
    takes,
    toDateTime: (text) => toDateTime(text, clock.dateTime),

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
          // Where an ERP has no number beside the key, people use the key.
          number: one.number ?? one.id,
          version: one.revision,
          documentType: one.type,
          customer: one.customer,
          customerName: one.customerName,
          customerReference: one.customerReference,
          externalReference: one.externalRef,
          orderDate: one.orderDate,
          dueDate: one.dueDate,
          status: statusOf(one.status),
          vendorStatus: one.status,
          statusSince: one.statusSince,
          deliveredOn: one.deliveredOn,
          trackingNumbers: one.trackingNumber,
          shipTo: shipToOf(one),
          payment: paymentOf(one, money(one.paid)),
          precededBy: REFERENCES.flatMap(([type, field]) => {
            const number = one[field]
            return number === null ? [] : [{ type, number }]
          }),
          createdBy: one.createdBy,
          totals: {
            net: money(one.net),
            tax: money(one.tax),
            gross: money(one.gross),
            discount: money(one.discount),
            freight: money(one.freight),
          },
          comments: one.comments,
          lines: one.items.map((item, index) => {
            const line = lines.parse(renamed(item, fields.line))
            const price = money(line.unitPrice)
            const number = line.number ?? String(index + 1)
            return {
              id: number,
              lineNumber: number,
              product: line.product,
              sku: line.sku,
              description: line.description,
              ordered: quantityIn(line.unit, config.unitCodes)(line.quantity),
              unitPrice: price && { amount: price, per: '1', taxIncluded: config.pricesIncludeTax },
              discountPercent: line.discount,
              taxRate: percent(line.taxRate),
              net: money(line.net),
              warehouse: line.warehouse,
              comments: line.comments,
              ...customOf(item, config.customFields.line),
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

    timeline: (raw) => readable('timeline', undefined, () => timelineOf(timelines.parse(raw).timeline)),

    orderByStatus: (id, raw) =>
      readable('status of order', id, () => {
        const { status, timeline } = statuses.parse(raw)
        return {
          key: id,
          number: id,
          status: statusOf(status.code),
          vendorStatus: status.code,
          statusSince: status.updatedAt,
          updatedAt: status.updatedAt,
          lines: [],
          ...(timeline ? { timeline: timelineOf(timeline) } : {}),
        }
      }),

    refuseOrder(input) {
      const refused =
        unknownCustomField('Orders', config.customFields.order, input.customFields) ??
        input.lines
          .map((line) => unknownCustomField('Lines of orders', config.customFields.line, line.customFields))
          .find((unknown) => unknown !== undefined) ??
        refuseShipTo(input.shipTo) ??
        refuseReferences(input.precededBy)
      if (refused) return refused
      for (const field of ['quantity', 'unitPrice', 'discountPercent'] as const) {
        const at = input.lines.findIndex((line) => typeof jsonNumber(line[field] ?? '0') === 'string')
        if (at < 0) continue
        const message = `${field} is no plain decimal.`
        return { kind: 'rejected', code: 'DECIMAL', message, line: String(at + 1), field }
      }
      return undefined
    },

    refuseChanges: ({ customFields, shipTo }) =>
      unknownCustomField('Orders', config.customFields.order, customFields) ?? refuseShipTo(shipTo),

    orderBody(input, { externalReference, onBehalfOf }) {
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
        [orderNames.createdBy, onBehalfOf],
        [orderNames.paymentTerms, input.paymentTerms],
        [orderNames.paymentMethod, input.paymentMethod],
        ...shipToFields(input.shipTo),
        ...REFERENCES.map(
          ([type, field]) =>
            [orderNames[field], input.precededBy?.find((one) => one.type === type)?.number] as const,
        ),
      ])
      setCustom(body, config.customFields.order, input.customFields)
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
            [fields.line.comments, line.comments],
          ])
          setCustom(item, config.customFields.line, line.customFields)
          return item
        }),
      )
      return body
    },

    wholeOrder(body, input, { customer, products }) {
      const whole: Record<string, unknown> = { ...body }
      setAll(whole, [
        [orderNames.customerName, customer?.name],
        [orderNames.customerCode, customer?.code],
      ])
      const currency = fieldText(whole, orderNames.currency) ?? customer?.account?.currency
      const digits = digitsOf(currency)
      const amounts = input.lines.map((line) => amountsOf(line, products.get(line.product), config, digits))
      const items = (fieldOf(body, orderNames.items) as Record<string, unknown>[]).map((item, index) => {
        const ware = products.get(input.lines[index]?.product ?? '')
        const filled = { ...item }
        setAll(filled, [
          [fields.line.sku, ware?.sku],
          [fields.line.description, ware?.name],
          [fields.line.unit, ware?.unit],
          [fields.line.net, jsonAmount(amounts[index]?.net, digits)],
        ])
        return filled
      })
      setAt(whole, orderNames.items, items)
      const priced = amounts.filter((one) => one !== null)
      if (priced.length < amounts.length) return whole
      const net = sumOf(priced.map((one) => one.net))
      const taxes = priced.flatMap((one) => (one.tax === null ? [] : [one.tax]))
      const tax = taxes.length < priced.length ? undefined : sumOf(taxes).round(digits, Big.roundHalfUp)
      setAll(whole, [
        [orderNames.currency, currency],
        [orderNames.net, jsonAmount(net, digits)],
        [orderNames.discount, jsonAmount(sumOf(priced.map((one) => one.discount)), digits)],
        [orderNames.tax, jsonAmount(tax, digits)],
        [orderNames.gross, jsonAmount(tax && net.plus(tax), digits)],
      ])
      return whole
    },

    changesBody(changes) {
      const body: Record<string, unknown> = {}
      setAll(body, [
        [orderNames.dueDate, changes.dueDate],
        [orderNames.customerReference, changes.customerReference],
        [orderNames.comments, changes.comments],
        [orderNames.paymentTerms, changes.paymentTerms],
        ...shipToFields(changes.shipTo),
      ])
      setCustom(body, config.customFields.order, changes.customFields)
      return body
    },

    missingInOrder(order, { customFields, shipTo, ...changes }) {
      const shown = { ...order, paymentTerms: order.payment?.terms }
      const plain: string[] = (['dueDate', 'customerReference', 'comments', 'paymentTerms'] as const).filter(
        (field) => changes[field] !== undefined && (changes[field] || null) !== (shown[field] || null),
      )
      if (shipTo && shipToText(shipTo) !== shipToText(order.shipTo)) plain.push('shipTo')
      return [...plain, ...missingCustom(order.customFields, customFields)]
    },
  }
}

const sumOf = (all: readonly Big[]): Big => all.reduce((sum, one) => sum.plus(one), new Big(0))

const jsonAmount = (amount: Big | undefined, digits: number): unknown =>
  amount && jsonNumber(amount.toFixed(digits))

/** Rounded to the currency's decimals, except for the tax. */
interface LineAmounts {
  readonly net: Big
  readonly discount: Big
  /** Null where no tax rate is known. */
  readonly tax: Big | null
}

/** Null where the line has no price, or one of which it is not known what is tax. */
function amountsOf(
  { quantity, unitPrice, discountPercent = '0' }: OrderCreate['lines'][number],
  product: Product | undefined,
  { lineDefaults, taxRates, pricesIncludeTax }: RestErpConfig,
  digits: number,
): LineAmounts | null {
  if (unitPrice === undefined || pricesIncludeTax) return null
  const full = new Big(quantity).times(unitPrice)
  const net = full.minus(full.times(discountPercent).div(100)).round(digits, Big.roundHalfUp)
  const discount = full.round(digits, Big.roundHalfUp).minus(net)
  const { taxRate: standing } = lineDefaults
  const percent =
    standing === undefined
      ? product?.taxRate
      : new Big(String(standing)).times(taxRates === 'fraction' ? 100 : 1).toFixed()
  return { net, discount, tax: percent ? net.times(percent).div(100) : null }
}

/** Decimals of a currency; two where it is not known. */
const digitsOf = (currency: string | null | undefined): number =>
  currency
    ? (new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ??
      2)
    : 2

/** What an order can be made from, and the name of the field that says so. */
const REFERENCES = [
  ['PROPOSAL', 'proposal'],
  ['QUOTATION', 'quotation'],
  ['CONTRACT', 'contract'],
] as const

function refuseReferences(given: readonly Reference[] = []): SourceFailure | undefined {
  const known: readonly string[] = REFERENCES.map(([type]) => type)
  const strange = given.find(({ type }) => !known.includes(type))
  const twice = given.find(({ type }, index) => given.findIndex((one) => one.type === type) !== index)
  if (!strange && !twice) return undefined
  const message = strange
    ? `Orders of this ERP cannot say that they were made from a document of type ${strange.type}.`
    : `Orders of this ERP can be made from one ${twice?.type} only.`
  return { kind: 'unsupported', message }
}

interface ShippingFields {
  readonly recipient: string | null
  readonly recipientPhone: string | null
  readonly street: string | null
  readonly city: string | null
  readonly province: string | null
  readonly postalCode: string | null
  readonly country: string | null
}

function shipToOf(one: ShippingFields): Order['shipTo'] {
  const { recipient: name, recipientPhone: phone, street, city, province, postalCode, country } = one
  const address = { street, city, province, postalCode, country }
  const told = Object.values(address).some((part) => part !== null)
  return told || name !== null || phone !== null ? { name, phone, address: told ? address : null } : null
}

const shipToText = (shipTo: Order['shipTo'] | ShipTo): string =>
  JSON.stringify([shipTo?.name || null, shipTo?.phone || null, placeText(shipTo?.address ?? {})])

interface PaymentFields {
  readonly paymentMethod: string | null
  readonly paymentTerms: string | null
  readonly paymentDue: string | null
  readonly paidOn: string | null
}

function paymentOf(one: PaymentFields, paid: Money | null): Order['payment'] {
  const { paymentMethod: method, paymentTerms: terms, paymentDue: dueDate, paidOn } = one
  const payment = { method, terms, dueDate, paid, paidOn }
  return Object.values(payment).every((part) => part === null) ? null : payment
}
