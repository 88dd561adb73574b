/**
 * The vendor's records and ours. Pure. References are codes: the interfaces translate them from and to the keys of
 * NC's tables. Numbers are decimal text (`parseJson`).
 * @see 用友 NC Cloud, 数据字典: bd_customer, bd_material, so_saleorder, so_saleorder_b
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok, SourceError } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import { field, fieldText, pick } from '../kit/named-fields.ts'
import type { OrderCreate, WriteContext } from '../port.ts'
import type {
  Customer,
  CustomFields,
  Decimal,
  Money,
  Order,
  OrderLine,
  OrderStatus,
  Product,
  Quantity,
  SubStatus,
} from '../records.ts'
import type { YonyouNcConfig } from './config.ts'

const code = z.string().min(1)
const text = z
  .string()
  .nullish()
  .transform((value) => value || null)
const decimal = text.transform((value, context): Decimal | null => {
  if (value === null || isDecimal(value)) return value
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value))
    return new Big(value.replace(/^\+/, '').replace(/\.(?=$|[eE])/, '')).toString()
  context.addIssue({ code: 'custom', message: 'is no number' })
  return z.NEVER
})
const given = decimal.transform((value, context): Decimal => {
  if (value !== null) return value
  context.addIssue({ code: 'custom', message: 'is missing' })
  return z.NEVER
})
const day = text.transform((value, context) => {
  if (value === null) return null
  const date = /^\d{4}-\d\d-\d\d(?!\d)/.exec(value)?.[0]
  if (date) return date
  context.addIssue({ code: 'custom', message: 'is no date' })
  return z.NEVER
})

const customerSchema = z.object({
  code,
  name: text,
  taxNumber: text,
  phone: text,
  email: text,
  street: text,
  currency: text,
  creditLimit: decimal,
  paymentTerms: text,
  enabled: text,
  createdAt: text,
  updatedAt: text,
  ts: text,
})
const productSchema = z.object({
  code,
  name: text,
  foreignName: text,
  barcode: text,
  unit: text,
  enabled: text,
  createdAt: text,
  updatedAt: text,
  ts: text,
})
const orderSchema = z.object({
  number: code,
  company: text,
  customer: text,
  orderDate: day,
  status: text,
  currency: text,
  gross: decimal,
  comments: text,
  createdAt: text,
  updatedAt: text,
  ts: text,
})
const lineSchema = z.object({
  id: text,
  number: text,
  product: text,
  unit: text,
  quantity: given,
  price: decimal,
  discountRate: decimal,
  net: decimal,
  rate: decimal,
  warehouse: text,
  dueDate: day,
  status: text,
  shipped: decimal,
})
type Line = z.infer<typeof lineSchema>

/** 1 自由, 2 审批通过, 4 关闭, 5 失效, 7 审批中, 8 审批不通过; 3 冻结 says nothing of how far the order is. */
const STATES: Readonly<Record<string, OrderStatus>> = {
  '1': 'NEW',
  '2': 'CONFIRMED',
  '4': 'CLOSED',
  '5': 'CANCELLED',
  '7': 'PENDING_APPROVAL',
  '8': 'DRAFT',
}

export interface Mapping {
  customer(row: unknown): Outcome<Customer>
  product(row: unknown): Outcome<Product>
  /** @param row Head and lines under their names, or all in one. */
  order(row: unknown): Outcome<Order>
  /** Body of the save interface, or why this configuration cannot say what is asked for. */
  orderBody(input: OrderCreate, write: WriteContext): Outcome<string>
}

/** The head of an order as the interfaces answer it, beside its lines or around them. */
export function headOf(row: unknown, config: YonyouNcConfig): unknown {
  return field(row, config.orders.head) ?? row
}

/** The time of the last change as seconds, of the server's wall clock. @throws SourceError */
export function stampOf(row: unknown, name: string | null): bigint {
  const stamp = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)/.exec(fieldText(row, name) ?? '')
  const at = stamp ? Date.parse(`${stamp[1]}T${stamp[2]}Z`) : Number.NaN
  if (!Number.isNaN(at)) return BigInt(at / 1000)
  const detail = `a row without time of change "${name}": changes need changedFrom: null`
  throw new SourceError({ kind: 'invalid-response', detail })
}

export const stampText = (seconds: bigint): string =>
  new Date(Number(seconds) * 1000).toISOString().slice(0, 19).replace('T', ' ')

export function createMapping(config: YonyouNcConfig): Mapping {
  const clock = createClock(config.timeZone)
  const states: Readonly<Record<string, OrderStatus>> = { ...STATES, ...config.orderStates }
  const company = config.company ?? config.org

  const currencyOf = (own: string | null): string | null =>
    own === null ? null : (config.currencyCodes[own] ?? (/^[A-Z]{3}$/.test(own) ? own : null))
  const money = (amount: Decimal | null, currency: string | null): Money | null =>
    amount === null || currency === null ? null : { amount, currency }
  const quantity = (value: Decimal, unit: string | null): Quantity => ({
    value,
    unit: unit === null ? null : (config.unitCodes[unit] ?? null),
    vendorUnit: unit,
  })
  const dateTime = (local: string | null) => {
    const [, date, time] = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)/.exec(local ?? '') ?? []
    return date ? clock.dateTime(`${date}T${time}`) : null
  }
  const custom = (names: Readonly<Record<string, string>>, row: unknown): { customFields?: CustomFields } => {
    const entries = Object.entries(names)
    if (entries.length === 0) return {}
    return {
      customFields: Object.fromEntries(entries.map(([own, vendors]) => [own, fieldText(row, vendors)])),
    }
  }
  /** 1 not yet in use, 2 in use, 3 stopped. */
  const isEnabled = (state: string | null): boolean | null => (state === null ? null : state === '2')

  const orderLine = (line: Line, index: number, currency: string | null): OrderLine => {
    const number = line.number ?? String(index + 1)
    const price = money(line.price, currency)
    const discount = line.discountRate === null ? null : new Big(100).minus(line.discountRate)
    return {
      id: line.id ?? number,
      lineNumber: number,
      product: line.product,
      sku: line.product,
      ordered: quantity(line.quantity, line.unit),
      delivered: line.shipped === null ? null : quantity(line.shipped, line.unit),
      unitPrice: price && { amount: price, per: '1', taxIncluded: false },
      discountPercent: discount === null || discount.eq(0) ? null : discount.toString(),
      net: money(line.net, currency),
      warehouse: line.warehouse,
      status: line.status === null ? null : states[line.status] === 'CLOSED' ? 'CLOSED' : 'OPEN',
    }
  }

  return {
    customer(row) {
      const { fields: names } = config.customers
      const parsed = pick(customerSchema, names, row)
      if (!parsed.success) return broken('customer', row, names.code, parsed.error)
      const it = parsed.data
      const currency = currencyOf(it.currency)
      const enabled = isEnabled(it.enabled)
      return ok({
        key: it.code,
        code: it.code,
        version: it.ts,
        createdAt: dateTime(it.createdAt),
        updatedAt: dateTime(it.updatedAt) ?? dateTime(it.ts),
        name: it.name ?? '',
        type: 'COMPANY',
        taxNumber: it.taxNumber,
        phone: it.phone,
        email: it.email,
        contacts: [],
        addresses: it.street === null ? [] : [{ type: 'OFFICE', street: it.street }],
        account: {
          company,
          currency,
          creditLimit: money(it.creditLimit, currency),
          paymentTerms: it.paymentTerms,
          blocked: enabled === null ? null : !enabled,
        },
        ...custom(config.customers.custom, row),
      })
    },

    product(row) {
      const { fields: names } = config.products
      const parsed = pick(productSchema, names, row)
      if (!parsed.success) return broken('product', row, names.code, parsed.error)
      const it = parsed.data
      return ok({
        key: it.code,
        version: it.ts,
        createdAt: dateTime(it.createdAt),
        updatedAt: dateTime(it.updatedAt) ?? dateTime(it.ts),
        sku: it.code,
        name: it.name ?? '',
        foreignName: it.foreignName,
        barcode: it.barcode,
        unit: it.unit,
        active: isEnabled(it.enabled),
        ...custom(config.products.custom, row),
      })
    },

    order(row) {
      const { fields: names, lineFields } = config.orders
      const own = headOf(row, config)
      const parsed = pick(orderSchema, names, own)
      if (!parsed.success) return broken('order', own, names.number, parsed.error)
      const head = parsed.data
      const rows = z.array(z.unknown()).safeParse(field(row, config.orders.lines))
      if (!rows.success) return broken('order', own, names.number, rows.error)
      const lines: Line[] = []
      for (const one of rows.data) {
        const line = pick(lineSchema, lineFields, one)
        if (!line.success) return broken('order', own, names.number, line.error)
        lines.push(line.data)
      }
      const currency = currencyOf(head.currency)
      const shipped = shippedOf(lines)
      return ok({
        key: head.number,
        version: head.ts,
        createdAt: dateTime(head.createdAt),
        updatedAt: dateTime(head.updatedAt) ?? dateTime(head.ts),
        number: head.number,
        company: config.company ?? head.company ?? config.org,
        customer: head.customer,
        customerReference: fieldText(own, config.customerReferenceField),
        externalReference: fieldText(own, config.externalReferenceField),
        orderDate: head.orderDate,
        dueDate: shared(lines.map((line) => line.dueDate)),
        status: statusOf(head.status === null ? undefined : states[head.status], shipped),
        vendorStatus: head.status,
        fulfilmentStatus: shipped,
        totals: { gross: money(head.gross, currency) },
        exchangeRate: shared(lines.map((line) => line.rate)),
        comments: head.comments,
        lines: lines.map((line, index) => orderLine(line, index, currency)),
        ...custom(config.orders.custom, own),
      })
    },

    orderBody(input, write) {
      const standard = config.orderDefaults
      if (!standard)
        return cannot('The configuration of this system has no orderDefaults: no orders can be created.')
      if (input.customerReference !== undefined && config.customerReferenceField === null) {
        return cannot('This system has no field for the customer’s own reference.')
      }
      const { custom: own, fields, lineFields } = config.orders
      const unknown = Object.keys(input.customFields ?? {}).find((name) => !Object.hasOwn(own, name))
      if (unknown !== undefined) return cannot(`This system has no custom field "${unknown}" of orders.`)
      const currency =
        input.currency === undefined
          ? undefined
          : (Object.entries(config.currencyCodes).find(([, iso]) => iso === input.currency)?.[0] ??
            input.currency)
      const head = named(fields, {
        customer: input.customer,
        orderDate: input.orderDate,
        currency,
        comments: input.comments,
      })
      const lines = input.lines.map((line, index) =>
        named(lineFields, {
          number: String((index + 1) * 10),
          product: line.product,
          quantity: line.quantity,
          price: line.unitPrice,
          discountRate:
            line.discountPercent === undefined
              ? undefined
              : new Big(100).minus(line.discountPercent).toString(),
          warehouse: line.warehouse,
          dueDate: input.dueDate,
        }),
      )
      const missing = [head, ...lines].find((part) => !part.ok)
      if (missing && !missing.ok) return missing
      const customs = Object.entries(input.customFields ?? {}).map(([name, value]) => [
        own[name],
        value ?? '',
      ])
      return ok(
        JSON.stringify([
          {
            [config.orders.head]: {
              pk_org: config.org,
              ...standard.head,
              ...(head.ok ? head.value : {}),
              ...(config.customerReferenceField === null
                ? {}
                : { [config.customerReferenceField]: input.customerReference }),
              ...(config.onBehalfOfField === null ? {} : { [config.onBehalfOfField]: write.onBehalfOf }),
              ...Object.fromEntries(customs),
              [config.externalReferenceField]: write.externalReference,
            },
            [config.orders.lines]: lines.map((line) => ({
              ...standard.line,
              ...(line.ok ? line.value : {}),
            })),
          },
        ]),
      )
    },
  }
}

const cannot = (message: string): Outcome<never> => fail({ kind: 'unsupported', message })

/** Values under the vendor's names; what has no name in this installation cannot be said. */
function named<F extends string>(
  names: { readonly [name in F]: string | null },
  values: { readonly [name in F]?: string | undefined },
): Outcome<Record<string, string>> {
  const row: Record<string, string> = {}
  for (const [own, value] of Object.entries(values) as [F, string | undefined][]) {
    if (value === undefined) continue
    const name = names[own]
    if (name === null) return cannot(`Orders of this system have no field for ${own}.`)
    row[name] = value
  }
  return ok(row)
}

/** What all lines say alike; null where they differ or say nothing. */
function shared(values: readonly (string | null)[]): string | null {
  const [first = null] = values
  return values.every((value) => value === first) ? first : null
}

/** By 累计出库数量 of the lines; null where the vendor does not tell it. */
function shippedOf(lines: readonly Line[]): SubStatus | null {
  if (lines.length === 0 || lines.some((line) => line.shipped === null)) return null
  const parts = lines.map((line) => ({
    shipped: new Big(line.shipped ?? 0),
    ordered: new Big(line.quantity),
  }))
  if (parts.every(({ shipped }) => shipped.eq(0))) return 'NONE'
  return parts.every(({ shipped, ordered }) => shipped.gte(ordered)) ? 'COMPLETE' : 'PARTIAL'
}

function statusOf(said: OrderStatus | undefined, shipped: SubStatus | null): OrderStatus {
  if (said !== 'CONFIRMED') return said ?? 'UNKNOWN'
  return shipped === 'PARTIAL' ? 'IN_PROGRESS' : shipped === 'COMPLETE' ? 'SHIPPED' : said
}

function broken(type: string, row: unknown, keyField: string | null, error: z.ZodError): Outcome<never> {
  const key = fieldText(row, keyField) ?? 'without a code'
  return fail({ kind: 'invalid-response', detail: `${type} ${key}: ${z.prettifyError(error)}` })
}
