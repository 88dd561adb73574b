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
  type ApprovalStatus,
  type Customer,
  type CustomerStatus,
  type CustomFields,
  type DateText,
  type Delivery,
  type Hold,
  type InventoryLevel,
  type Invoice,
  type InvoiceLine,
  joinKey,
  type Money,
  type Order,
  type OrderLine,
  type OrderStatus,
  type Party,
  type Product,
  type ProductStatus,
  type Quantity,
  type Receivable,
  type Reference,
  type SubStatus,
  type Totals,
  type UnitPrice,
  type Warehouse,
} from '../records.ts'
import type { KingdeeK3Config } from './config.ts'
import { ENTRY_FIELDS, FIELDS, FORMS, type FormName, KEPT, SPARED } from './fields.ts'
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
  /**
   * The vendor says that it has no such field: it is not asked for any more.
   * @returns False where it must not be left out: the configuration names it, or records need it.
   */
  lacks(field: string): boolean
}
export interface Column {
  readonly name: string
  readonly field: string
}

/** @param id The vendor's form, where one shape of ours stands for several. */
export function createForm(config: KingdeeK3Config, name: FormName, id: string = FORMS[name]): Form {
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
  const inLines: Column[] =
    name === 'order'
      ? Object.entries(config.customFields.orderLine).map(([own, field]) => ({ name: `line.${own}`, field }))
      : []
  const absent = new Set<Column>()
  const isUsual = ({ name: own }: Column) =>
    named.some((column) => column.name === own) && overridden[own] === undefined
  const isSpared = (column: Column) =>
    isUsual(column) && (!KEPT.has(column.name) || (SPARED[name]?.has(column.name) ?? false))
  let head = [...named.filter((column) => !inEntries.has(column.name)), ...extra]
  let columns = [...head, ...named.filter((column) => inEntries.has(column.name)), ...inLines]
  return {
    name,
    form: id,
    get columns() {
      return columns
    },
    get head() {
      return head
    },
    of: (own) => columns.find((column) => column.name === own)?.field,
    lacks(field) {
      const lacking = field.toLowerCase()
      // A reference that is followed (`FReceiveId.FName`) may be named by its first part.
      const found = columns.filter(
        (column) =>
          `${column.field.toLowerCase()}.`.startsWith(`${lacking}.`) &&
          !absent.has(column) &&
          isSpared(column),
      )
      if (found.length === 0) return false
      // Of several values that follow one reference, what can be missed most easily goes first.
      const lesser = found.filter((column) => !KEPT.has(column.name))
      for (const column of lesser.length > 0 ? lesser : found) absent.add(column)
      head = head.filter((column) => !absent.has(column))
      columns = columns.filter((column) => !absent.has(column))
      return true
    },
  }
}

export type Row = Readonly<Record<string, unknown>>

/** A document: the head's values, which repeat in every row, and the rows of its entries. */
export interface Document {
  readonly id: string
  readonly rows: readonly Row[]
  /** Rows of other forms that speak of it; a form that was not read, or cannot be, is not there. */
  readonly related?: Readonly<Partial<Record<string, readonly Row[]>>>
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
  return typeof stamp === 'string' && LOCAL.test(stamp) ? stamp.replace(' ', 'T') : null
}

/* ---- what is read ---- */

const LOCAL = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?$/
/** A number that nobody has filled in is 0 in this vendor's tables. */
const isFilled = (value: string | null): value is string => value !== null && !new Big(value).eq(0)

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? null)
const decimal = z.string().refine(isDecimal, 'is no number')
const amount = decimal.nullish().transform((value) => value ?? null)
const stamp = z
  .string()
  .regex(LOCAL, 'is no time')
  .transform((value) => value.replace(' ', 'T'))
  .nullish()
const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}([T ]|$)/, 'is no date')
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
  legalName: text,
  parent: text,
  phone: text,
  email: text,
  taxNumber: text,
  contact: text,
  street: text,
  postalCode: text,
  province: text,
  country: text,
  billingStreet: text,
  salesArea: text,
  currency: text,
  creditLimit: amount,
  paymentTerms: text,
  documentStatus: text,
  forbidden: text,
  ...stamps,
})

const productSchema = z.object({
  ...whole,
  number: key,
  name: text,
  foreignName: text,
  barcode: text,
  description: text,
  specification: text,
  group: text,
  groupName: text,
  unit: text,
  cost: amount,
  taxRate: amount,
  minOrder: amount,
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
  documentType: text,
  customer: text,
  customerName: text,
  customerReference: text,
  externalReference: text,
  comments: text,
  receiver: text,
  receiverName: text,
  receiveAddress: text,
  linkMan: text,
  linkPhone: text,
  billTo: text,
  payer: text,
  paymentTerms: text,
  paymentMethod: text,
  approved: stamp,
  creator: text,
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
  invoiced: amount,
  returned: amount,
  price: amount,
  taxPrice: amount,
  discountPercent: amount,
  amount,
  taxRate: amount,
  taxAmount: amount,
  allAmount: amount,
  note: text,
  source: text,
  sourceType: text,
  dueDate: day,
  warehouse: text,
  rowClosed: text,
  rowFrozen: text,
  rowEnded: text,
})
type OrderEntry = z.infer<typeof orderEntrySchema>

const deliverySchema = z.object({
  ...whole,
  number: key,
  date: day,
  documentStatus: text,
  cancelStatus: text,
  customer: text,
  receiver: text,
  receiveAddress: text,
  linkMan: text,
  linkPhone: text,
  carrier: text,
  tracking: text,
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
const invoiceLineSchema = z.object({
  entry: key,
  currency: text,
  taxIncluded: yesNo,
  product: text,
  description: text,
  unit: text,
  quantity: decimal,
  price: amount,
  taxPrice: amount,
  taxRate: amount,
  net: amount,
  tax: amount,
  gross: amount,
  order: text,
})
const taxInvoiceSchema = z.object({
  form: text,
  number: key,
  invoiceNumber: text,
  date: day,
  cancelStatus: text,
})
const priceSchema = z.object({
  currency: text,
  taxIncluded: yesNo,
  price: amount,
  fromQuantity: amount,
  effective: day,
  expires: day,
  forbidden: text,
})

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
  /** Who says that documents have no currency says that they are kept in the company's; who has not said it may err. */
  const documentCurrency = (form: 'order' | 'invoice', code: string | null) =>
    config.fields[form].currency === null ? config.companyCurrency : currencyOf(code)
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

  const orderLine = (
    entry: OrderEntry,
    row: Row,
    currency: string | null,
    taxIncluded: boolean | null,
  ): OrderLine => {
    // Where the order does not say which of the two was agreed, the one that is there.
    const withTax = taxIncluded ?? entry.price === null
    const unitPrice = money(withTax ? entry.taxPrice : entry.price, currency)
    const part = (value: string | null) => (value === null ? null : quantity(value, entry.unit))
    return {
      id: entry.entry,
      lineNumber: entry.row ?? entry.entry,
      product: entry.product,
      sku: entry.product,
      description: entry.description,
      ordered: quantity(entry.quantity, entry.unit),
      delivered: part(entry.delivered),
      invoiced: part(entry.invoiced),
      returned: part(entry.returned),
      open: part(entry.open),
      unitPrice: unitPrice && { amount: unitPrice, per: '1', taxIncluded: withTax },
      discountPercent: entry.discountPercent,
      taxRate: entry.taxRate,
      net: money(entry.amount, currency),
      tax: money(entry.taxAmount, currency),
      gross: money(entry.allAmount, currency),
      warehouse: entry.warehouse,
      status: entry.rowClosed === 'A' ? 'OPEN' : entry.rowClosed === 'B' ? 'CLOSED' : null,
      comments: entry.note,
      ...valuesOf(Object.keys(config.customFields.orderLine), 'line', row),
    }
  }

  /** Of the rows that hold today, the one from the smallest quantity on. */
  const listPrice = (rows: readonly Row[]): UnitPrice | null => {
    const today = clock.today()
    const valid = rows
      .flatMap((row) => priceSchema.safeParse(row).data ?? [])
      .filter(
        (row) =>
          row.forbidden !== 'B' &&
          (row.effective ?? today) <= today &&
          (row.expires === null || row.expires > today),
      )
      .sort((a, b) => new Big(a.fromQuantity ?? 0).cmp(b.fromQuantity ?? 0))
    const [row] = valid
    const amount = row ? money(row.price, currencyOf(row.currency)) : null
    return amount && { amount, per: '1', taxIncluded: row?.taxIncluded ?? false }
  }

  const invoiceLine = (line: z.infer<typeof invoiceLineSchema>, currency: string | null): InvoiceLine => {
    const withTax = line.taxIncluded ?? line.price === null
    const amount = money(withTax ? line.taxPrice : line.price, currency)
    return {
      id: line.entry,
      product: line.product,
      description: line.description,
      quantity: quantity(line.quantity, line.unit),
      unitPrice: amount && { amount, per: '1', taxIncluded: withTax },
      taxRate: line.taxRate,
      net: money(line.net, currency),
      tax: money(line.tax, currency),
      gross: money(line.gross, currency),
      orderNumber: line.order,
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
        legalName: row.legalName,
        ...standingOf(row.forbidden, row.documentStatus),
        parent: row.parent,
        taxNumber: row.taxNumber,
        phone: row.phone,
        email: row.email,
        contacts: row.contact === null ? [] : [{ name: row.contact, phone: row.phone }],
        addresses: [
          ...(hasAddress
            ? [
                {
                  type: 'OFFICE',
                  street,
                  province,
                  postalCode,
                  country: country === null ? null : (config.countryCodes[country] ?? isoCountry(country)),
                } as const,
              ]
            : []),
          ...(row.billingStreet === null ? [] : [{ type: 'BILLING', street: row.billingStreet } as const]),
        ],
        account: {
          company: config.organization,
          salesArea: row.salesArea,
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
        description: row.description,
        unit: row.unit,
        active: activeOf(row.forbidden, row.documentStatus),
        ...standingOf(row.forbidden, row.documentStatus),
        category: row.group === null ? null : { key: row.group, name: row.groupName },
        specifications: row.specification === null ? [] : [{ name: '规格型号', value: row.specification }],
        price: listPrice(document.related?.price ?? []),
        cost: isFilled(row.cost) ? money(row.cost, config.companyCurrency) : null,
        taxRate: row.taxRate,
        minOrder: isFilled(row.minOrder) ? quantity(row.minOrder, row.unit) : null,
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
      const rows = document.rows.filter(hasEntry)
      const entries = z.array(orderEntrySchema).safeParse(rows)
      if (!entries.success) return broken('order', document, entries.error)
      const lines = entries.data
      const currency = documentCurrency('order', head.currency)
      const fulfilmentStatus = head.cancelStatus === 'B' ? 'NOT_RELEVANT' : progressOf(lines, 'delivered')
      const status = orderStatus(config, head, fulfilmentStatus)
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
        documentType: head.documentType,
        company: config.organization,
        customer: head.customer,
        customerName: head.customerName,
        shipTo: shipTo(head, head.receiverName),
        billTo: head.billTo === null ? null : { key: head.billTo },
        payer: head.payer === null ? null : { key: head.payer },
        customerReference: head.customerReference,
        externalReference:
          config.externalReferenceField === 'FBillNo' || config.profile === 'galaxy'
            ? referenceOf(config.billNumberPrefix, head.number)
            : ownReference(config.externalReferenceField, head.externalReference),
        orderDate: head.date,
        // Only lines have one: it is the order's where they agree.
        dueDate: dueDates.length === 1 ? (dueDates[0] ?? null) : null,
        status,
        vendorStatus: vendorStatus(head.documentStatus, {
          FCloseStatus: head.closeStatus,
          FCancelStatus: head.cancelStatus,
        }),
        statusSince: head.documentStatus === 'C' && status === 'CONFIRMED' ? dateTime(head.approved) : null,
        approvalStatus: APPROVAL[head.documentStatus ?? ''] ?? null,
        fulfilmentStatus,
        billingStatus: head.cancelStatus === 'B' ? 'NOT_RELEVANT' : progressOf(lines, 'invoiced'),
        holds: holdsOf(lines),
        payment: { method: head.paymentMethod, terms: head.paymentTerms },
        precededBy: sourcesOf(lines),
        createdBy: head.creator,
        totals,
        companyTotals,
        exchangeRate: head.rate !== null && new Big(head.rate).gt(0) ? head.rate : null,
        comments: head.comments,
        lines: lines.map((line, at) => orderLine(line, rows[at] ?? {}, currency, head.taxIncluded)),
      })
    },

    delivery(document) {
      const parsed = deliverySchema.safeParse(document.rows[0])
      if (!parsed.success) return broken('delivery', document, parsed.error)
      const head = parsed.data
      // Where the data centre tells no ids of entries, their places stand for them.
      const rows = document.rows.map((row, at) =>
        row.entry === undefined && row.quantity !== undefined ? { ...row, entry: String(at + 1) } : row,
      )
      const entries = z.array(deliveryEntrySchema).safeParse(rows.filter(hasEntry))
      if (!entries.success) return broken('delivery', document, entries.error)
      const orders = new Set(entries.data.flatMap(({ order }) => (order === null ? [] : [order])))
      return ok({
        key: head.number,
        ...base('delivery', document.rows[0] ?? {}, head),
        number: head.number,
        customer: head.customer,
        orders: [...orders],
        carrier: head.carrier,
        trackingNumbers: head.tracking === null ? [] : [head.tracking],
        shipTo: shipTo(head),
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
      const lines = z.array(invoiceLineSchema).safeParse(document.related?.lines ?? [])
      if (!lines.success) return broken('receivable', document, lines.error)
      const slips = z.array(taxInvoiceSchema).safeParse(document.related?.taxInvoices ?? [])
      if (!slips.success) return broken('receivable', document, slips.error)
      const currency = documentCurrency('invoice', head.currency)
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
        orderNumbers: [...new Set(lines.data.flatMap((line) => line.order ?? []))],
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
        lines: document.related?.lines ? lines.data.map((line) => invoiceLine(line, currency)) : null,
        taxInvoices: document.related?.taxInvoices
          ? slips.data
              .filter((slip) => slip.cancelStatus !== 'B')
              .map((slip) => ({
                kind: TAX_INVOICES[slip.form ?? ''] ?? null,
                // Before it is printed, it has the number of the document alone.
                number: slip.invoiceNumber ?? slip.number,
                issuedOn: slip.date,
              }))
          : null,
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

function progressOf(lines: readonly OrderEntry[], done: 'delivered' | 'invoiced'): SubStatus | null {
  const wanted = lines.filter((line) => new Big(line.quantity).gt(0))
  if (wanted.length === 0) return 'NOT_RELEVANT'
  if (wanted.some((line) => line[done] === null)) return null
  if (wanted.every((line) => new Big(line[done] ?? '0').gte(line.quantity))) return 'COMPLETE'
  return wanted.some((line) => new Big(line[done] ?? '0').gt(0)) ? 'PARTIAL' : 'NONE'
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

/** Whether basic data can be used: forbidden (禁用) or not, and approved. */
function standingOf(
  forbidden: string | null,
  documentStatus: string | null,
): { status: CustomerStatus & ProductStatus; vendorStatus: string | null } {
  const active = activeOf(forbidden, documentStatus)
  return {
    status: active === null ? 'UNKNOWN' : active ? 'ACTIVE' : 'INACTIVE',
    vendorStatus:
      forbidden === null && documentStatus === null
        ? null
        : vendorStatus(documentStatus, { FForbidStatus: forbidden }),
  }
}

/** Before it is submitted nobody has been asked. */
const APPROVAL: Readonly<Record<string, ApprovalStatus>> = { B: 'PENDING', C: 'APPROVED', D: 'PENDING' }

/** Rows that a person has frozen (冻结) or ended (终止); null: not told. */
function holdsOf(lines: readonly OrderEntry[]): Hold[] | null {
  if (lines.every((line) => line.rowFrozen === null && line.rowEnded === null)) return null
  const rows = (is: (line: OrderEntry) => boolean) => lines.filter(is).map((line) => line.row ?? line.entry)
  const frozen = rows((line) => line.rowFrozen === 'B')
  const ended = rows((line) => line.rowEnded === 'B')
  return [
    ...(frozen.length > 0
      ? [{ type: 'DELIVERY', code: 'FMrpFreezeStatus', text: `业务冻结: ${frozen.join(', ')}` } as const]
      : []),
    ...(ended.length > 0
      ? [{ type: 'OTHER', code: 'FMrpTerminateStatus', text: `业务终止: ${ended.join(', ')}` } as const]
      : []),
  ]
}

/** What rows were pushed from, for example a quotation. */
function sourcesOf(lines: readonly OrderEntry[]): Reference[] | null {
  const sources = new Map<string, Reference>()
  for (const { source, sourceType } of lines) {
    if (source === null) continue
    const form = sourceType?.toLowerCase() ?? ''
    const type = form.includes('quotation') ? 'QUOTATION' : form.includes('contract') ? 'CONTRACT' : 'OTHER'
    sources.set(`${form} ${source}`, { type, number: source, vendorType: sourceType })
  }
  return sources.size === 0 ? null : [...sources.values()]
}

const TAX_INVOICES: Readonly<Record<string, string>> = {
  IV_SALESIC: '增值税专用发票',
  IV_SALESOC: '增值税普通发票',
}

/** An address is one line here, and who takes the goods a name beside it. */
function shipTo(
  head: {
    readonly receiver: string | null
    readonly receiveAddress: string | null
    readonly linkMan: string | null
    readonly linkPhone: string | null
  },
  receiverName: string | null = null,
): Party | null {
  const { receiver: key, receiveAddress: street, linkMan, linkPhone: phone } = head
  const name = linkMan ?? receiverName
  if ([key, street, name, phone].every((part) => part === null)) return null
  return { key, name, phone, address: street === null ? null : { street } }
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
  return valuesOf(names, 'custom', row)
}

function valuesOf(names: readonly string[], prefix: string, row: Row): { customFields?: CustomFields } {
  if (names.length === 0) return {}
  const value = (name: string): string | null => {
    const cell = row[`${prefix}.${name}`]
    return cell === null || cell === undefined || cell === '' ? null : String(cell)
  }
  return { customFields: Object.fromEntries(names.map((name) => [name, value(name)])) }
}

function broken(type: string, document: Document, error: z.ZodError | string): Outcome<never> {
  const why = typeof error === 'string' ? error : z.prettifyError(error)
  const name = keyOf(document) ?? `with id ${document.id || 'unknown'}`
  return fail({ kind: 'invalid-response', detail: `${type} ${name}: ${why}` })
}
