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
import type { OrderChanges, OrderCreate, WriteContext } from '../port.ts'
import type {
  ApprovalStatus,
  Customer,
  CustomFields,
  Decimal,
  Money,
  Order,
  OrderLine,
  OrderStatus,
  Product,
  Quantity,
  Reference,
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
  parent: text,
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
  description: text,
  specification: text,
  model: text,
  category: text,
  unit: text,
  enabled: text,
  createdAt: text,
  updatedAt: text,
  ts: text,
})
const orderSchema = z.object({
  number: code,
  documentType: text,
  channel: text,
  company: text,
  customer: text,
  orderDate: day,
  status: text,
  currency: text,
  gross: decimal,
  billTo: text,
  receiver: text,
  paymentTerms: text,
  paymentMethod: text,
  paid: decimal,
  approvedAt: text,
  createdBy: text,
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
  taxRate: decimal,
  net: decimal,
  gross: decimal,
  comments: text,
  invoiced: decimal,
  returned: decimal,
  contract: text,
  source: text,
  sourceType: text,
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
  /** Body of the update interface. @param row The order as it stands: its ids, and the `ts` that guards it. */
  changesBody(changes: OrderChanges, row: unknown): Outcome<string>
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

  const orderLine = (line: Line, row: unknown, index: number, currency: string | null): OrderLine => {
    const part = (value: Decimal | null) => (value === null ? null : quantity(value, line.unit))
    const number = line.number ?? String(index + 1)
    const price = money(line.price, currency)
    const discount = line.discountRate === null ? null : new Big(100).minus(line.discountRate)
    return {
      id: line.id ?? number,
      lineNumber: number,
      product: line.product,
      sku: line.product,
      ordered: quantity(line.quantity, line.unit),
      delivered: part(line.shipped),
      invoiced: part(line.invoiced),
      returned: part(line.returned),
      unitPrice: price && { amount: price, per: '1', taxIncluded: false },
      discountPercent: discount === null || discount.eq(0) ? null : discount.toString(),
      taxRate: line.taxRate,
      net: money(line.net, currency),
      gross: money(line.gross, currency),
      warehouse: line.warehouse,
      status: line.status === null ? null : states[line.status] === 'CLOSED' ? 'CLOSED' : 'OPEN',
      comments: line.comments,
      ...custom(config.orders.lineCustom, row),
    }
  }

  /** Values under the vendor's names; an unknown name of ours is refused. */
  const fieldsFrom = (
    own: Readonly<Record<string, string>>,
    values: CustomFields | undefined,
    of: string,
  ): Outcome<Record<string, string>> => {
    const entries = Object.entries(values ?? {})
    const unknown = entries.find(([name]) => !Object.hasOwn(own, name))
    if (unknown) return cannot(`This system has no custom field "${unknown[0]}" of ${of}.`)
    return ok(Object.fromEntries(entries.map(([name, value]) => [own[name] ?? name, value ?? ''])))
  }
  const customValues = ({ customFields }: { readonly customFields?: CustomFields | undefined }) =>
    fieldsFrom(config.orders.custom, customFields, 'orders')

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
        status: enabled === null ? 'UNKNOWN' : enabled ? 'ACTIVE' : 'INACTIVE',
        vendorStatus: it.enabled,
        parent: it.parent,
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
      const enabled = isEnabled(it.enabled)
      return ok({
        key: it.code,
        version: it.ts,
        createdAt: dateTime(it.createdAt),
        updatedAt: dateTime(it.updatedAt) ?? dateTime(it.ts),
        sku: it.code,
        name: it.name ?? '',
        foreignName: it.foreignName,
        barcode: it.barcode,
        description: it.description,
        unit: it.unit,
        active: enabled,
        status: enabled === null ? 'UNKNOWN' : enabled ? 'ACTIVE' : 'INACTIVE',
        vendorStatus: it.enabled,
        category: it.category === null ? null : { key: it.category },
        specifications: [
          ...(it.specification === null ? [] : [{ name: '规格', value: it.specification }]),
          ...(it.model === null ? [] : [{ name: '型号', value: it.model }]),
        ],
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
      const shipped = progressOf(lines, 'shipped')
      return ok({
        key: head.number,
        version: head.ts,
        createdAt: dateTime(head.createdAt),
        updatedAt: dateTime(head.updatedAt) ?? dateTime(head.ts),
        number: head.number,
        documentType: head.documentType,
        channel: head.channel,
        company: config.company ?? head.company ?? config.org,
        customer: head.customer,
        shipTo: head.receiver === null ? null : { key: head.receiver },
        billTo: head.billTo === null ? null : { key: head.billTo },
        customerReference: fieldText(own, config.customerReferenceField),
        externalReference: fieldText(own, config.externalReferenceField),
        orderDate: head.orderDate,
        dueDate: shared(lines.map((line) => line.dueDate)),
        status: statusOf(head.status === null ? undefined : states[head.status], shipped),
        vendorStatus: head.status,
        statusSince:
          head.status === '2' && shipped !== 'COMPLETE' && shipped !== 'PARTIAL'
            ? dateTime(head.approvedAt)
            : null,
        approvalStatus: APPROVAL[head.status ?? ''] ?? null,
        fulfilmentStatus: shipped,
        billingStatus: progressOf(lines, 'invoiced'),
        holds:
          head.status === null
            ? null
            : head.status === FROZEN
              ? [{ type: 'OTHER', code: FROZEN, text: '冻结' }]
              : [],
        payment: { method: head.paymentMethod, terms: head.paymentTerms, paid: money(head.paid, currency) },
        precededBy: sourcesOf(lines),
        createdBy: head.createdBy,
        totals: { gross: money(head.gross, currency) },
        exchangeRate: shared(lines.map((line) => line.rate)),
        comments: head.comments,
        lines: lines.map((line, index) => orderLine(line, rows.data[index], index, currency)),
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
      const { fields, lineFields } = config.orders
      const customs = customValues(input)
      if (!customs.ok) return customs
      const lineCustoms: Record<string, string>[] = []
      for (const line of input.lines) {
        const values = fieldsFrom(config.orders.lineCustom, line.customFields, 'order lines')
        if (!values.ok) return values
        lineCustoms.push(values.value)
      }
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
        paymentTerms: input.paymentTerms,
        paymentMethod: input.paymentMethod,
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
          comments: line.comments,
        }),
      )
      const missing = [head, ...lines].find((part) => !part.ok)
      if (missing && !missing.ok) return missing
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
              ...customs.value,
              [config.externalReferenceField]: write.externalReference,
            },
            [config.orders.lines]: lines.map((line, index) => ({
              ...standard.line,
              ...(line.ok ? line.value : {}),
              ...lineCustoms[index],
            })),
          },
        ]),
      )
    },

    changesBody(changes, row) {
      const { fields, lineFields } = config.orders
      if (changes.customerReference !== undefined && config.customerReferenceField === null) {
        return cannot('This system has no field for the customer’s own reference.')
      }
      const customs = customValues(changes)
      if (!customs.ok) return customs
      const own = headOf(row, config)
      const known = named(fields, {
        id: fieldText(own, fields.id) ?? undefined,
        number: fieldText(own, fields.number) ?? undefined,
        ts: fieldText(own, fields.ts) ?? undefined,
        comments: changes.comments,
        paymentTerms: changes.paymentTerms,
      })
      if (!known.ok) return known
      const { dueDate } = changes
      const rows = z.array(z.unknown()).safeParse(field(row, config.orders.lines)).data ?? []
      const lines = (dueDate === undefined ? [] : rows).map((line) =>
        named(lineFields, { id: fieldText(line, lineFields.id) ?? undefined, dueDate }),
      )
      const missing = lines.find((line) => !line.ok)
      if (missing && !missing.ok) return missing
      const head = {
        pk_org: config.org,
        ...known.value,
        ...(config.customerReferenceField === null || changes.customerReference === undefined
          ? {}
          : { [config.customerReferenceField]: changes.customerReference }),
        ...customs.value,
      }
      return ok(
        JSON.stringify([
          {
            [config.orders.head]: head,
            ...(lines.length === 0
              ? {}
              : { [config.orders.lines]: lines.map((line) => (line.ok ? line.value : {})) }),
          },
        ]),
      )
    },
  }
}

const FROZEN = '3'
/** As `STATES`; before it is handed in nobody has been asked. */
const APPROVAL: Readonly<Record<string, ApprovalStatus>> = {
  '2': 'APPROVED',
  '7': 'PENDING',
  '8': 'REJECTED',
}

/** The contract and the document that lines were made from; null where they name none. */
function sourcesOf(lines: readonly Line[]): Reference[] | null {
  const found = new Map<string, Reference>()
  for (const { contract, source, sourceType } of lines) {
    if (contract !== null) found.set(`contract ${contract}`, { type: 'CONTRACT', number: contract })
    if (source !== null) {
      // 4310 销售报价单
      const type = sourceType === '4310' ? 'QUOTATION' : 'OTHER'
      found.set(`${sourceType} ${source}`, { type, number: source, vendorType: sourceType })
    }
  }
  return found.size === 0 ? null : [...found.values()]
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

/** By 累计出库数量 or 累计开票数量 of the lines; null where the vendor does not tell it. */
function progressOf(lines: readonly Line[], done: 'shipped' | 'invoiced'): SubStatus | null {
  if (lines.length === 0 || lines.some((line) => line[done] === null)) return null
  const parts = lines.map((line) => ({
    shipped: new Big(line[done] ?? 0),
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
