/**
 * The vendor's rows and ours. Pure. A query answers arrays; `documentsOf` makes of them documents whose values
 * have the names of `fields.ts`, and the rest maps those. Numbers arrive as decimal text (`parseJson`), dates as
 * `2026-03-01T00:00:00` without an offset, texts that nobody filled in as a blank.
 * @see K/3 Cloud WebAPI: BD_Customer, BD_MATERIAL, BD_STOCK, STK_Inventory, SAL_SaleOrder, SAL_OUTSTOCK, AR_receivable
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import {
  type Customer,
  type CustomFields,
  type DateText,
  type Delivery,
  type InventoryLevel,
  type Invoice,
  joinKey,
  type Money,
  type Order,
  type OrderLine,
  type OrderStatus,
  type Product,
  type Quantity,
  type Receivable,
  type SubStatus,
  type Totals,
  type Warehouse,
} from '../records.ts'
import type { KingdeeK3Config } from './config.ts'
import { ENTRY_FIELDS, FIELDS, FORMS, type FormName } from './fields.ts'
import { referenceOf } from './references.ts'

/* ---- forms, as this tenant has them ---- */

export interface Form {
  readonly name: FormName
  /** The vendor's FormId. */
  readonly form: string
  /** Ours and the vendor's names of all values that are read, head first. */
  readonly columns: readonly Column[]
  /** Those of the head alone: one row per document. */
  readonly head: readonly Column[]
  /** The vendor's name of a value; undefined where the tenant has none. */
  of(name: string): string | undefined
}
export interface Column {
  readonly name: string
  readonly field: string
}

export function createForm(config: KingdeeK3Config, name: FormName): Form {
  const overridden: Readonly<Record<string, string | null | undefined>> = config.fields[name]
  const inEntries = ENTRY_FIELDS[name] ?? new Set<string>()
  const custom = name in config.customFields ? config.customFields[name as 'order'] : {}
  const extra: Column[] = Object.entries(custom).map(([own, field]) => ({ name: `custom.${own}`, field }))
  if (name === 'order') {
    const { customerReferenceField, externalReferenceField } = config
    if (externalReferenceField !== 'FBillNo') {
      extra.push({ name: 'externalReference', field: externalReferenceField })
    }
    if (customerReferenceField) extra.push({ name: 'customerReference', field: customerReferenceField })
  }
  const named = Object.entries(FIELDS[name]).flatMap(([own, usual]): Column[] => {
    const field = overridden[own] === undefined ? (usual as string | null) : overridden[own]
    return field ? [{ name: own, field }] : []
  })
  const head = [...named.filter((column) => !inEntries.has(column.name)), ...extra]
  const columns = [...head, ...named.filter((column) => inEntries.has(column.name))]
  return {
    name,
    form: FORMS[name],
    columns,
    head,
    of: (own) => columns.find((column) => column.name === own)?.field,
  }
}

export type Row = Readonly<Record<string, unknown>>

/** A document: the head's values, which repeat in every row, and the rows of its entries. */
export interface Document {
  readonly id: string
  readonly rows: readonly Row[]
}

/** @param rows Columns in the order of `columns`. A row of another width keeps only its id, and so fails alone. */
export function documentsOf(columns: readonly Column[], rows: readonly (readonly unknown[])[]): Document[] {
  const byId = new Map<string, Row[]>()
  for (const cells of rows) {
    const fits = cells.length === columns.length
    const row: Row = Object.fromEntries(
      columns
        .slice(0, fits ? undefined : 2)
        .map(({ name }, at) => [name, isBlank(cells[at]) ? null : cells[at]]),
    )
    const id = typeof row.id === 'string' ? row.id : ''
    const found = byId.get(id)
    if (found) found.push(fits ? row : { ...row, misshapen: true })
    else byId.set(id, [fits ? row : { ...row, misshapen: true }])
  }
  return [...byId].map(([id, list]) => ({ id, rows: list }))
}

/** What stands in this vendor's tables where nobody has filled in a text. */
const isBlank = (cell: unknown): boolean => typeof cell === 'string' && cell.trim() === ''

/** The key of a document that may be broken otherwise. */
export function keyOf(document: Document): string | undefined {
  const key = document.rows[0]?.number
  return typeof key === 'string' && key !== '' ? key : undefined
}

export function stampOf(document: Document): string | null {
  const stamp = document.rows[0]?.modified ?? document.rows[0]?.created
  return typeof stamp === 'string' && LOCAL.test(stamp) ? stamp : null
}

/* ---- what is read ---- */

const LOCAL = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?$/

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? null)
const decimal = z.string().refine(isDecimal, 'is no number')
const amount = decimal.nullish().transform((value) => value ?? null)
const stamp = z.string().regex(LOCAL, 'is no time').nullish()
const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}(T|$)/, 'is no date')
  .nullish()
  .transform((value) => value?.slice(0, 10) ?? null)
/** Check boxes come as booleans, in some releases as `1` and `0`. */
const yesNo = z
  .union([
    z.boolean(),
    z.enum(['0', '1', 'true', 'false']).transform((value) => value === '1' || value === 'true'),
  ])
  .nullish()
  .transform((value) => value ?? null)
const key = z.string().min(1)

const stamps = { created: stamp, modified: stamp }
const whole = { misshapen: z.undefined('the row has too few or too many columns').optional() }

const customerSchema = z.object({
  ...whole,
  number: key,
  name: text,
  phone: text,
  email: text,
  taxNumber: text,
  contact: text,
  street: text,
  postalCode: text,
  province: text,
  country: text,
  currency: text,
  creditLimit: amount,
  paymentTerms: text,
  forbidden: text,
  ...stamps,
})

const productSchema = z.object({
  ...whole,
  number: key,
  name: text,
  foreignName: text,
  barcode: text,
  unit: text,
  documentStatus: text,
  forbidden: text,
  ...stamps,
})

const warehouseSchema = z.object({ ...whole, number: key, name: text, ...stamps })

const stockSchema = z.object({
  ...whole,
  product: key,
  warehouse: key,
  quantity: decimal,
  available: amount,
  unit: text,
})

const orderSchema = z.object({
  ...whole,
  number: key,
  date: day,
  documentStatus: text,
  closeStatus: text,
  cancelStatus: text,
  customer: text,
  customerName: text,
  customerReference: text,
  externalReference: text,
  comments: text,
  currency: text,
  rate: amount,
  taxIncluded: yesNo,
  net: amount,
  tax: amount,
  gross: amount,
  companyNet: amount,
  companyTax: amount,
  companyGross: amount,
  ...stamps,
})

const orderEntrySchema = z.object({
  entry: key,
  row: text,
  product: text,
  description: text,
  unit: text,
  quantity: decimal,
  delivered: amount,
  open: amount,
  price: amount,
  taxPrice: amount,
  discountPercent: amount,
  amount,
  dueDate: day,
  warehouse: text,
  rowClosed: text,
})
type OrderEntry = z.infer<typeof orderEntrySchema>

const deliverySchema = z.object({
  ...whole,
  number: key,
  date: day,
  documentStatus: text,
  cancelStatus: text,
  customer: text,
  ...stamps,
})

const deliveryEntrySchema = z.object({
  entry: key,
  product: text,
  description: text,
  unit: text,
  quantity: decimal,
  warehouse: text,
  order: text,
  orderLine: text,
})

const invoiceSchema = z.object({
  ...whole,
  number: key,
  date: day,
  dueDate: day,
  documentStatus: text,
  cancelStatus: text,
  writtenOff: text,
  customer: text,
  currency: text,
  gross: amount,
  ...stamps,
})
const planSchema = z.object({ open: amount })

/* ---- reading ---- */

export interface Mapping {
  customer(document: Document): Outcome<Customer>
  product(document: Document): Outcome<Product>
  warehouse(document: Document): Outcome<Warehouse>
  order(document: Document): Outcome<Order>
  delivery(document: Document): Outcome<Delivery>
  invoice(document: Document): Outcome<Invoice>
  /** Rows of one product in one warehouse: lots and places of the same owner and status. */
  inventoryLevel(rows: readonly Row[]): Outcome<InventoryLevel>
}

export function createMapping(config: KingdeeK3Config, clock: Clock): Mapping {
  const currencyOf = (code: string | null) => (code === null ? null : (config.currencyCodes[code] ?? code))
  const money = (value: string | null, currency: string | null): Money | null =>
    value === null || currency === null ? null : { amount: value, currency }
  const quantity = (value: string, unit: string | null): Quantity => ({
    value,
    unit: unit === null ? null : (config.unitCodes[unit] ?? null),
    vendorUnit: unit,
  })
  const dateTime = (local: string | null | undefined) => (local ? clock.dateTime(local) : null)
  const base = (
    form: FormName,
    row: Row,
    of: { created?: string | null | undefined; modified?: string | null | undefined },
  ) => ({
    version: versionOf(of.modified ?? of.created),
    createdAt: dateTime(of.created),
    updatedAt: dateTime(of.modified),
    ...customOf(config, form, row),
  })

  const orderLine = (entry: OrderEntry, currency: string | null, taxIncluded: boolean | null): OrderLine => {
    const price = taxIncluded ? entry.taxPrice : entry.price
    const unitPrice = money(price, currency)
    return {
      id: entry.entry,
      lineNumber: entry.row ?? entry.entry,
      product: entry.product,
      sku: entry.product,
      description: entry.description,
      ordered: quantity(entry.quantity, entry.unit),
      delivered: entry.delivered === null ? null : quantity(entry.delivered, entry.unit),
      open: entry.open === null ? null : quantity(entry.open, entry.unit),
      unitPrice: unitPrice && { amount: unitPrice, per: '1', taxIncluded: taxIncluded ?? false },
      discountPercent: entry.discountPercent,
      net: money(entry.amount, currency),
      warehouse: entry.warehouse,
      status: entry.rowClosed === 'A' ? 'OPEN' : entry.rowClosed === 'B' ? 'CLOSED' : null,
    }
  }

  return {
    customer(document) {
      const parsed = customerSchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('customer', document, parsed.error)
      const row = parsed.data
      const { street, postalCode, province, country } = row
      const hasAddress = [street, postalCode, province].some((part) => part !== null)
      return ok({
        key: row.number,
        ...base('customer', document.rows[0] ?? {}, row),
        name: row.name ?? '',
        taxNumber: row.taxNumber,
        phone: row.phone,
        email: row.email,
        contacts: row.contact === null ? [] : [{ name: row.contact, phone: row.phone }],
        addresses: hasAddress
          ? [
              {
                type: 'OFFICE',
                street,
                province,
                postalCode,
                country: country === null ? null : (config.countryCodes[country] ?? isoCountry(country)),
              },
            ]
          : [],
        account: {
          company: config.organization,
          currency: currencyOf(row.currency),
          creditLimit: money(row.creditLimit, config.companyCurrency),
          paymentTerms: row.paymentTerms,
          balance: null,
          blocked: row.forbidden === 'B' ? true : row.forbidden === 'A' ? false : null,
        },
      })
    },

    product(document) {
      const parsed = productSchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('product', document, parsed.error)
      const row = parsed.data
      return ok({
        key: row.number,
        ...base('product', document.rows[0] ?? {}, row),
        sku: row.number,
        name: row.name ?? '',
        foreignName: row.foreignName,
        barcode: row.barcode,
        unit: row.unit,
        active: activeOf(row.forbidden, row.documentStatus),
      })
    },

    warehouse(document) {
      const parsed = warehouseSchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('warehouse', document, parsed.error)
      const row = parsed.data
      return ok({ key: row.number, ...base('warehouse', document.rows[0] ?? {}, row), name: row.name })
    },

    order(document) {
      const parsed = orderSchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('order', document, parsed.error)
      const head = parsed.data
      const entries = z.array(orderEntrySchema).safeParse(document.rows.filter(hasEntry))
      if (!entries.success) return broken('order', document, entries.error)
      const lines = entries.data
      const currency = currencyOf(head.currency)
      const fulfilmentStatus = head.cancelStatus === 'B' ? 'NOT_RELEVANT' : fulfilmentOf(lines)
      const totals: Totals = {
        net: money(head.net, currency),
        tax: money(head.tax, currency),
        gross: money(head.gross, currency),
      }
      const companyTotals: Totals = {
        net: money(head.companyNet, config.companyCurrency),
        tax: money(head.companyTax, config.companyCurrency),
        gross: money(head.companyGross, config.companyCurrency),
      }
      const dueDates = [...new Set(lines.map((line) => line.dueDate))]
      return ok({
        key: head.number,
        ...base('order', document.rows[0] ?? {}, head),
        number: head.number,
        company: config.organization,
        customer: head.customer,
        customerName: head.customerName,
        customerReference: head.customerReference,
        externalReference:
          config.externalReferenceField === 'FBillNo' || config.profile === 'galaxy'
            ? referenceOf(config.billNumberPrefix, head.number)
            : ownReference(config.externalReferenceField, head.externalReference),
        orderDate: head.date,
        // Only lines have one: it is the order's where they agree.
        dueDate: dueDates.length === 1 ? (dueDates[0] ?? null) : null,
        status: orderStatus(config, head, fulfilmentStatus),
        vendorStatus: vendorStatus(head.documentStatus, {
          FCloseStatus: head.closeStatus,
          FCancelStatus: head.cancelStatus,
        }),
        fulfilmentStatus,
        totals,
        companyTotals,
        exchangeRate: head.rate !== null && new Big(head.rate).gt(0) ? head.rate : null,
        comments: head.comments,
        lines: lines.map((line) => orderLine(line, currency, head.taxIncluded)),
      })
    },

    delivery(document) {
      const parsed = deliverySchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('delivery', document, parsed.error)
      const head = parsed.data
      const entries = z.array(deliveryEntrySchema).safeParse(document.rows.filter(hasEntry))
      if (!entries.success) return broken('delivery', document, entries.error)
      const orders = new Set(entries.data.flatMap(({ order }) => (order === null ? [] : [order])))
      return ok({
        key: head.number,
        ...base('delivery', document.rows[0] ?? {}, head),
        number: head.number,
        customer: head.customer,
        orders: [...orders],
        date: head.date,
        status: deliveryStatus(head),
        vendorStatus: vendorStatus(head.documentStatus, { FCancelStatus: head.cancelStatus }),
        lines: entries.data.map((entry) => ({
          id: entry.entry,
          product: entry.product,
          description: entry.description,
          quantity: quantity(entry.quantity, entry.unit),
          warehouse: entry.warehouse,
          order: entry.order,
          orderLine: entry.order === null || entry.orderLine === '0' ? null : entry.orderLine,
        })),
      })
    },

    invoice(document) {
      const parsed = invoiceSchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('receivable', document, parsed.error)
      const head = parsed.data
      const plan = z.array(planSchema).safeParse(document.rows)
      if (!plan.success) return broken('receivable', document, plan.error)
      const currency = currencyOf(head.currency)
      const open = plan.data.reduce<Big | null>(
        (sum, row) => (row.open === null ? sum : (sum ?? new Big(0)).plus(row.open)),
        null,
      )
      return ok({
        key: head.number,
        ...base('invoice', document.rows[0] ?? {}, head),
        number: head.number,
        // A receivable in red has a negative amount.
        type: head.gross === null ? 'UNKNOWN' : new Big(head.gross).lt(0) ? 'CREDIT_NOTE' : 'STANDARD',
        customer: head.customer,
        orderNumbers: [],
        issueDate: head.date,
        dueDate: head.dueDate,
        status: invoiceStatus(head),
        vendorStatus: vendorStatus(head.documentStatus, {
          FCancelStatus: head.cancelStatus,
          FWRITTENOFFSTATUS: head.writtenOff,
        }),
        totals: { gross: money(head.gross, currency) },
        paid: null,
        open: money(open === null ? null : open.toString(), currency),
      })
    },

    inventoryLevel(rows) {
      const parsed = z.array(stockSchema).safeParse(rows)
      const [first] = rows
      const document = { id: String(first?.id ?? ''), rows }
      if (!parsed.success) return broken('stock', document, parsed.error)
      const [row] = parsed.data
      if (!row) return broken('stock', document, 'no rows')
      if (new Set(parsed.data.map(({ unit }) => unit)).size > 1) return broken('stock', document, 'two units')
      const sum = (values: readonly (string | null)[]) =>
        values.reduce<Big>((total, value) => total.plus(value ?? '0'), new Big(0)).toString()
      const available = parsed.data.map((one) => one.available)
      return ok({
        key: joinKey([row.product, row.warehouse]),
        product: row.product,
        warehouse: row.warehouse,
        onHand: quantity(
          parsed.data.length === 1 ? row.quantity : sum(parsed.data.map((one) => one.quantity)),
          row.unit,
        ),
        reserved: null,
        available:
          config.availableStock && !available.includes(null) ? quantity(sum(available), row.unit) : null,
        incoming: null,
      })
    },
  }
}

/** What customers owe, by currency, from their open receivables. Two currencies are never added. */
export function receivableOf(customer: string, invoices: readonly Invoice[], today: DateText): Receivable {
  const byCurrency = new Map<string, { open: Big; overdue: Big }>()
  for (const invoice of invoices) {
    if (!invoice.open) continue
    const { amount: open, currency } = invoice.open
    const sums = byCurrency.get(currency) ?? { open: new Big(0), overdue: new Big(0) }
    const late = invoice.dueDate && invoice.dueDate < today
    byCurrency.set(currency, {
      open: sums.open.plus(open),
      overdue: late ? sums.overdue.plus(open) : sums.overdue,
    })
  }
  return {
    key: customer,
    customer,
    asOf: today,
    balances: [...byCurrency].map(([currency, sums]) => ({
      open: { amount: sums.open.toString(), currency },
      overdue: { amount: sums.overdue.toString(), currency },
    })),
  }
}

/* ---- states ---- */

/** How far a document got: only `C` is approved, and only what is approved counts. */
export function reachedBy(documentStatus: string | null): 'saved' | 'submitted' | 'effective' {
  return documentStatus === 'C' ? 'effective' : documentStatus === 'B' ? 'submitted' : 'saved'
}

/** The first word of what `vendorStatus` made. */
export const documentStatusOf = (order: Order): string | null => order.vendorStatus?.split(' ')[0] || null

const DOCUMENT_STATUS: Readonly<Record<string, OrderStatus>> = {
  Z: 'DRAFT', // put aside
  A: 'NEW', // created, not submitted
  B: 'PENDING_APPROVAL',
  C: 'CONFIRMED',
  D: 'PENDING_APPROVAL', // to be approved again
}

function orderStatus(
  config: KingdeeK3Config,
  head: { documentStatus: string | null; closeStatus: string | null; cancelStatus: string | null },
  fulfilment: SubStatus | null,
): OrderStatus {
  if (head.cancelStatus === 'B') return 'CANCELLED'
  const code = head.documentStatus ?? ''
  const status = config.statusCodes[code] ?? DOCUMENT_STATUS[code] ?? 'UNKNOWN'
  if (status !== 'CONFIRMED') return status
  if (fulfilment === 'COMPLETE') return 'DELIVERED'
  if (head.closeStatus === 'B') return 'CLOSED'
  return fulfilment === 'PARTIAL' ? 'IN_PROGRESS' : 'CONFIRMED'
}

function fulfilmentOf(lines: readonly OrderEntry[]): SubStatus | null {
  const wanted = lines.filter((line) => new Big(line.quantity).gt(0))
  if (wanted.length === 0) return 'NOT_RELEVANT'
  if (wanted.some((line) => line.delivered === null)) return null
  if (wanted.every((line) => new Big(line.delivered ?? '0').gte(line.quantity))) return 'COMPLETE'
  return wanted.some((line) => new Big(line.delivered ?? '0').gt(0)) ? 'PARTIAL' : 'NONE'
}

/** The goods leave when the document is approved. */
function deliveryStatus(head: {
  documentStatus: string | null
  cancelStatus: string | null
}): Delivery['status'] {
  if (head.cancelStatus === 'B') return 'CANCELLED'
  if (head.documentStatus === 'C') return 'CLOSED'
  return DOCUMENT_STATUS[head.documentStatus ?? ''] ? 'OPEN' : 'UNKNOWN'
}

function invoiceStatus(head: { cancelStatus: string | null; writtenOff: string | null }): Invoice['status'] {
  if (head.cancelStatus === 'B') return 'CANCELLED'
  const status = { A: 'OPEN', B: 'PARTIALLY_PAID', C: 'PAID' } as const
  return status[head.writtenOff as 'A'] ?? 'UNKNOWN'
}

/** The codes that say where a document stands, for example `C FCloseStatus=A FCancelStatus=A`. */
function vendorStatus(
  documentStatus: string | null,
  others: Readonly<Record<string, string | null>>,
): string {
  const rest = Object.entries(others).map(([field, code]) => `${field}=${code ?? ''}`)
  return [documentStatus ?? '', ...rest].join(' ')
}

function activeOf(forbidden: string | null, documentStatus: string | null): boolean | null {
  if (forbidden === 'B') return false
  if (forbidden !== 'A') return null
  return documentStatus === null || documentStatus === 'C'
}

const isoCountry = (code: string): string | null => (/^[A-Z]{2}$/.test(code) ? code : null)

const hasEntry = (row: Row): boolean => row.entry !== null && row.entry !== undefined && row.entry !== '0'

/** In a field that others may use too, only our own form is taken for ours. */
function ownReference(field: string, value: string | null): string | null {
  return value !== null && (field.startsWith('F_') || /^[0-9a-f]{32}$/.test(value)) ? value : null
}

/** What is compared to notice that a record has changed in between; the fraction comes with or without zeros. */
export function versionOf(stamp: string | null | undefined): string | null {
  return stamp ? stamp.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '') : null
}

function customOf(config: KingdeeK3Config, form: FormName, row: Row): { customFields?: CustomFields } {
  const names = form in config.customFields ? Object.keys(config.customFields[form as 'order']) : []
  if (names.length === 0) return {}
  const value = (name: string): string | null => {
    const cell = row[`custom.${name}`]
    return cell === null || cell === undefined || cell === '' ? null : String(cell)
  }
  return { customFields: Object.fromEntries(names.map((name) => [name, value(name)])) }
}

function broken(type: string, document: Document, error: z.ZodError | string): Outcome<never> {
  const why = typeof error === 'string' ? error : z.prettifyError(error)
  const name = keyOf(document) ?? `with id ${document.id || 'unknown'}`
  return fail({ kind: 'invalid-response', detail: `${type} ${name}: ${why}` })
}
