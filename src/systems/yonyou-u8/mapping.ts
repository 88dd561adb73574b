/**
 * The vendor's records and ours. Pure. Almost every value arrives as text, empty ones are left out or empty; numbers
 * are decimal text (`parseJson`). Field names differ in case between releases and are compared without it.
 * @see api.yonyouup.com, 接口文档: customer, inventory, currentstock, warehouse, saleorder, saleorderlist
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok, SourceError, type SourceFailure } from '../failure.ts'
import { addressLine } from '../kit/address.ts'
import { createClock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import { field, fieldText, pick } from '../kit/named-fields.ts'
import type { OrderCreate, WriteContext } from '../port.ts'
import {
  type Address,
  type ApprovalStatus,
  type Customer,
  type CustomFields,
  type Decimal,
  type InventoryLevel,
  joinKey,
  type Money,
  type Order,
  type OrderLine,
  type OrderStatus,
  type Party,
  type Product,
  type Quantity,
  type SubStatus,
  type UnitPrice,
  type Warehouse,
} from '../records.ts'
import type { YonyouU8Config } from './config.ts'

/* ---- what is read ---- */

const code = z.string().min(1)
const text = z
  .string()
  .nullish()
  .transform((value) => value || null)
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
/** SQL Server leaves out the zero before the point, and writes very small numbers with an exponent. */
const decimal = text.transform((value, context): Decimal | null => {
  if (value === null || isDecimal(value)) return value
  if (NUMBER.test(value)) return new Big(value.replace(/^\+/, '').replace(/\.(?=$|[eE])/, '')).toString()
  context.addIssue({ code: 'custom', message: 'is no number' })
  return z.NEVER
})
const given = decimal.transform((value, context): Decimal => {
  if (value !== null) return value
  context.addIssue({ code: 'custom', message: 'is missing' })
  return z.NEVER
})
const DAY = /^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)/
const day = text.transform((value, context) => {
  if (value === null) return null
  const [, year, month = '', date = ''] = DAY.exec(value) ?? []
  if (year) return `${year}-${month.padStart(2, '0')}-${date.padStart(2, '0')}`
  context.addIssue({ code: 'custom', message: 'is no date' })
  return z.NEVER
})
const yesNo = z.union([z.boolean(), z.string()]).nullish()
const stamp = z.string().regex(/^\d+$/).nullish()

const customerSchema = z.object({
  code,
  name: text,
  industry: text,
  taxNumber: text,
  phone: text,
  email: text,
  contact: text,
  contactPhone: text,
  contactEmail: text,
  street: text,
  city: text,
  province: text,
  postalCode: text,
  shipTo: text,
  currency: text,
  creditLimit: decimal,
  balance: decimal,
  parent: text,
  department: text,
  paymentTerms: text,
  stoppedOn: day,
  active: yesNo,
  createdAt: text,
  updatedAt: text,
})

const productSchema = z.object({
  code,
  name: text,
  foreignName: text,
  barcode: text,
  specification: text,
  category: text,
  categoryName: text,
  price: decimal,
  taxRate: decimal,
  supplier: text,
  supplierName: text,
  unit: text,
  stoppedOn: day,
  updatedAt: text,
})

const stockSchema = z.object({
  product: code,
  warehouse: code,
  onHand: decimal,
  available: decimal,
  reserved: decimal,
  incoming: decimal,
  unit: text,
})

const warehouseSchema = z.object({ code, name: text })

const lineSchema = z.object({
  rowno: text,
  inventorycode: text,
  inventoryname: text,
  unitname: text,
  quantity: given,
  unitprice: decimal,
  quotedprice: decimal,
  taxunitprice: decimal,
  money: decimal,
  sum: decimal,
  tax: decimal,
  taxrate: decimal,
  natmoney: decimal,
  natsum: decimal,
  discountrate: decimal,
  closer: text,
})
type Line = z.infer<typeof lineSchema>

const orderSchema = z.object({
  code,
  date: day,
  state: text,
  custcode: text,
  cusname: text,
  dpredatebt: day,
  memo: text,
  closer: text,
  money: decimal,
  sum: decimal,
  natmoney: decimal,
  natsum: decimal,
  fhstatus: text,
  typecode: text,
  maker: text,
  verifysystime: text,
  address: text,
  contact: text,
  contactPhone: text,
  createsystime: text,
  modifysystime: text,
  timestamp: stamp,
  currency: text,
  rate: decimal,
})
type Head = z.infer<typeof orderSchema>

/* ---- reading ---- */

/** What the vendor says; the configuration adds to these. */
const CURRENCIES: Readonly<Record<string, string>> = {
  人民币: 'CNY',
  美元: 'USD',
  欧元: 'EUR',
  日元: 'JPY',
  英镑: 'GBP',
  港币: 'HKD',
}
const STATES: Readonly<Record<string, OrderStatus>> = {
  Opening: 'NEW',
  Approved: 'CONFIRMED',
  Changing: 'PENDING_APPROVAL',
  Closed: 'CLOSED',
}
const SHIPPED: Readonly<Record<string, SubStatus>> = { '0': 'NONE', '1': 'PARTIAL', '2': 'COMPLETE' }
const NO = new Set(['0', 'false', 'False', 'FALSE', '否', 'N', 'n'])

export interface Mapping {
  customer(row: unknown): Outcome<Customer>
  product(row: unknown): Outcome<Product>
  warehouse(row: unknown): Outcome<Warehouse>
  /** One level per product and warehouse; the rows of one place are its batches. */
  inventoryLevels(rows: readonly unknown[]): readonly Outcome<InventoryLevel>[]
  /** @param row Head with `entry`, the lines. */
  order(row: unknown): Outcome<Order>
  /** Body of `POST /api/saleorder/add`, or why this configuration cannot say what is asked for. */
  orderBody(input: OrderCreate, write: WriteContext): Outcome<string>
}

export function createMapping(config: YonyouU8Config): Mapping {
  const clock = createClock(config.timeZone)
  const currencies = { ...CURRENCIES, ...config.currencyCodes }
  const states: Readonly<Record<string, OrderStatus>> = { ...STATES, ...config.orderStates }
  const company = config.company ?? config.toAccount

  /** `人民币` → CNY; a name that nobody has translated says no currency. */
  const currencyOf = (name: string | null): string | null => {
    if (name === null) return null
    return currencies[name] ?? (/^[A-Z]{3}$/.test(name) ? name : null)
  }
  const money = (amount: Decimal | null, currency: string | null): Money | null =>
    amount === null || currency === null ? null : { amount, currency }
  const quantity = (value: Decimal, unit: string | null): Quantity => ({
    value,
    unit: unit === null ? null : (config.unitCodes[unit] ?? null),
    vendorUnit: unit,
  })
  /** `2018-01-03 10:11:12.0`; a day alone tells no time. */
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

  /* ---- orders ---- */

  /**
   * The currency of an order's amounts. Where the release does not say it, it is the company's if the amounts in
   * both currencies agree, else unknown.
   */
  const orderCurrency = (head: Head, lines: readonly Line[]): string | null => {
    if (head.currency !== null) return currencyOf(head.currency)
    const differs = (a: Decimal | null, b: Decimal | null) => a !== null && b !== null && !new Big(a).eq(b)
    const isForeign =
      differs(head.sum, head.natsum) ||
      lines.some((line) => differs(line.sum, line.natsum) || differs(line.money, line.natmoney))
    return isForeign ? null : config.companyCurrency
  }

  const unitPrice = (line: Line, currency: string | null): UnitPrice | null => {
    const price = (amount: Decimal | null, taxIncluded: boolean): UnitPrice | null => {
      const value = money(amount, currency)
      return value && { amount: value, per: '1', taxIncluded }
    }
    // A quoted price is before the discount, the others are after it; 0 stands for "not quoted".
    if (isQuoted(line)) return price(line.quotedprice, config.quotedPriceIncludesTax)
    return line.unitprice === null ? price(line.taxunitprice, true) : price(line.unitprice, false)
  }

  const orderLine = (line: Line, row: unknown, index: number, currency: string | null): OrderLine => {
    const number = line.rowno ?? String(index + 1)
    return {
      id: number,
      lineNumber: number,
      product: line.inventorycode,
      sku: line.inventorycode,
      description: line.inventoryname,
      ordered: quantity(line.quantity, line.unitname),
      unitPrice: unitPrice(line, currency),
      discountPercent: discountOf(line),
      taxRate: line.taxrate,
      net: money(line.money, currency),
      tax: money(line.tax, currency),
      gross: money(line.sum, currency),
      status: line.closer === null ? null : 'CLOSED',
      ...custom(config.customFields.orderLine, row),
    }
  }

  const statusOf = (head: Head, shipped: SubStatus | null): OrderStatus => {
    const said: OrderStatus = head.state === null ? 'UNKNOWN' : (states[head.state] ?? 'UNKNOWN')
    if (head.closer !== null && said !== 'CANCELLED') return 'CLOSED'
    if (said !== 'CONFIRMED') return said
    return shipped === 'PARTIAL' ? 'IN_PROGRESS' : shipped === 'COMPLETE' ? 'SHIPPED' : said
  }

  return {
    customer(row) {
      const names = config.customers.fields
      const parsed = pick(customerSchema, names, row)
      if (!parsed.success) return broken('customer', row, names.code, parsed.error)
      const it = parsed.data
      const inCompany = (amount: Decimal | null) => money(amount, config.companyCurrency)
      const blocked = blockedOf(names, it)
      const hasContact = it.contact !== null || it.contactPhone !== null || it.contactEmail !== null
      // The table has no column for a currency: its amounts are in the company's.
      const currency = names.currency === null ? config.companyCurrency : currencyOf(it.currency)
      return ok({
        key: it.code,
        code: it.code,
        version: fieldText(row, 'timestamp') ?? it.updatedAt,
        createdAt: dateTime(it.createdAt),
        updatedAt: dateTime(it.updatedAt),
        name: it.name ?? '',
        type: 'COMPANY',
        status: blocked === null ? 'UNKNOWN' : blocked ? 'INACTIVE' : 'ACTIVE',
        vendorStatus:
          it.stoppedOn ?? (it.active === null || it.active === undefined ? null : String(it.active)),
        parent: it.parent,
        industry: it.industry,
        taxNumber: it.taxNumber,
        phone: it.phone,
        email: it.email,
        contacts: hasContact
          ? [{ name: it.contact ?? '', phone: it.contactPhone, email: it.contactEmail, primary: true }]
          : [],
        addresses: addressesOf(it),
        account: {
          company,
          salesArea: it.department,
          currency,
          creditLimit: inCompany(it.creditLimit),
          balance: inCompany(it.balance),
          paymentTerms: it.paymentTerms,
          blocked,
        },
        ...custom(config.customFields.customer, row),
      })
    },

    product(row) {
      const names = config.productFields
      const parsed = pick(productSchema, names, row)
      if (!parsed.success) return broken('product', row, names.code, parsed.error)
      const it = parsed.data
      const active = names.stoppedOn === null ? null : it.stoppedOn === null
      return ok({
        key: it.code,
        version: fieldText(row, 'timestamp') ?? it.updatedAt,
        updatedAt: dateTime(it.updatedAt),
        sku: it.code,
        name: it.name ?? '',
        foreignName: it.foreignName,
        barcode: it.barcode,
        unit: it.unit,
        active,
        status: active === null ? 'UNKNOWN' : active ? 'ACTIVE' : 'DISCONTINUED',
        vendorStatus: it.stoppedOn,
        category: it.category === null ? null : { key: it.category, name: it.categoryName },
        specifications: it.specification === null ? [] : [{ name: '规格型号', value: it.specification }],
        price:
          it.price === null || new Big(it.price).eq(0)
            ? null
            : {
                amount: { amount: it.price, currency: config.companyCurrency },
                per: '1',
                taxIncluded: config.quotedPriceIncludesTax,
              },
        taxRate: it.taxRate,
        supplier: it.supplier === null ? null : { key: it.supplier, name: it.supplierName },
        ...custom(config.customFields.product, row),
      })
    },

    warehouse(row) {
      const parsed = pick(warehouseSchema, {}, row)
      if (!parsed.success) return broken('warehouse', row, 'code', parsed.error)
      return ok({ key: parsed.data.code, name: parsed.data.name })
    },

    inventoryLevels(rows) {
      const names = config.stockFields
      const places = new Map<string, Outcome<z.infer<typeof stockSchema>>>()
      for (const row of rows) {
        const parsed = pick(stockSchema, names, row)
        const place = joinKey([fieldText(row, names.product) ?? '', fieldText(row, names.warehouse) ?? ''])
        const before = places.get(place)
        if (before?.ok === false) continue
        if (!parsed.success) {
          places.set(place, broken('stock of', row, names.product, parsed.error))
        } else if (!before) {
          places.set(place, ok(parsed.data))
        } else if (before.value.unit !== parsed.data.unit) {
          const detail = `stock of ${place}: batches in different units cannot be added`
          places.set(place, fail({ kind: 'invalid-response', detail }))
        } else {
          const sum = (what: 'onHand' | 'available' | 'reserved' | 'incoming') =>
            plus(before.value[what], parsed.data[what])
          places.set(
            place,
            ok({
              ...before.value,
              onHand: sum('onHand'),
              available: sum('available'),
              reserved: sum('reserved'),
              incoming: sum('incoming'),
            }),
          )
        }
      }
      return [...places].map(([key, place]): Outcome<InventoryLevel> => {
        if (!place.ok) return place
        const { product, warehouse, unit, onHand, ...figures } = place.value
        const figure = (value: Decimal | null) => (value === null ? null : quantity(value, unit))
        if (onHand === null) {
          return fail({ kind: 'invalid-response', detail: `stock of ${key}: no quantity "${names.onHand}"` })
        }
        return ok({
          key,
          product,
          warehouse,
          onHand: quantity(onHand, unit),
          reserved: figure(figures.reserved),
          available: figure(figures.available),
          incoming: figure(figures.incoming),
        })
      })
    },

    order(row) {
      const parsed = pick(orderSchema, { ...config.orderFields }, row)
      if (!parsed.success) return broken('order', row, 'code', parsed.error)
      const entry = field(row, 'entry')
      // One line alone comes without the list in some releases.
      const rows: readonly unknown[] = Array.isArray(entry) ? entry : [entry]
      const lines = z.array(lineSchema).safeParse(rows)
      if (!lines.success) return broken('order', row, 'code', lines.error)
      const head = parsed.data
      const shipped = SHIPPED[head.fhstatus ?? ''] ?? null
      const status = statusOf(head, shipped)
      const currency = orderCurrency(head, lines.data)
      const totals = { net: money(head.money, currency), gross: money(head.sum, currency) }
      const isOwn = currency === config.companyCurrency
      return ok({
        key: head.code,
        version: head.timestamp ?? null,
        createdAt: dateTime(head.createsystime),
        updatedAt: dateTime(head.modifysystime),
        number: head.code,
        documentType: head.typecode,
        company,
        customer: head.custcode,
        customerName: head.cusname,
        shipTo: shipTo(head),
        customerReference: fieldText(row, config.customerReferenceField),
        externalReference: fieldText(row, config.externalReferenceField),
        orderDate: head.date,
        dueDate: head.dpredatebt,
        status,
        statusSince: status === 'CONFIRMED' ? dateTime(head.verifysystime) : null,
        approvalStatus: APPROVAL[head.state ?? ''] ?? null,
        vendorStatus: [head.state, head.fhstatus === null ? null : `fhstatus=${head.fhstatus}`]
          .filter((part) => part !== null)
          .join(' '),
        fulfilmentStatus: shipped,
        totals,
        companyTotals: isOwn
          ? totals
          : {
              net: money(head.natmoney, config.companyCurrency),
              gross: money(head.natsum, config.companyCurrency),
            },
        exchangeRate: head.rate !== null && new Big(head.rate).gt(0) ? head.rate : null,
        comments: head.memo,
        createdBy: head.maker,
        lines: lines.data.map((line, index) => orderLine(line, rows[index], index, currency)),
        ...custom(config.customFields.order, row),
      })
    },

    orderBody(input, write) {
      const standard = config.orderDefaults
      if (!standard)
        return cannot('The configuration of this system has no orderDefaults: no orders can be created.')
      if (input.customerReference !== undefined && config.customerReferenceField === null) {
        return cannot('This system has no field for the customer’s own reference.')
      }
      const hasWarehouse = input.lines.some((line) => line.warehouse !== undefined)
      if (hasWarehouse && config.lineWarehouseField === null) {
        return cannot('This system decides on the warehouse with the delivery: leave it out of the lines.')
      }
      const own = config.customFields.order
      const unknown = Object.keys(input.customFields ?? {}).find((name) => !Object.hasOwn(own, name))
      if (unknown !== undefined) return cannot(`This system has no custom field "${unknown}" of orders.`)
      const ownOfLines: Readonly<Record<string, string>> = config.customFields.orderLine
      const unknownOfLine = input.lines
        .flatMap((line) => Object.keys(line.customFields ?? {}))
        .find((name) => !Object.hasOwn(ownOfLines, name))
      if (unknownOfLine !== undefined) {
        return cannot(`This system has no custom field "${unknownOfLine}" of order lines.`)
      }
      const currency = currencyField(input.currency, config, currencies)
      if (!currency.ok) return currency
      const to = receiverFields(input.shipTo, config)
      if (!to.ok) return to

      const customs = Object.entries(input.customFields ?? {}).map(([name, value]) => [
        own[name],
        value ?? '',
      ])
      const saleorder = {
        date: input.orderDate,
        businesstype: standard.businessType,
        typecode: standard.saleType,
        custcode: input.customer,
        deptcode: standard.department,
        personcode: standard.person,
        dpredatebt: input.dueDate,
        taxrate: standard.taxPercent,
        memo: input.comments,
        ...currency.value,
        ...to.value,
        ...(config.customerReferenceField === null
          ? {}
          : { [config.customerReferenceField]: input.customerReference }),
        ...(config.onBehalfOfField === null ? {} : { [config.onBehalfOfField]: write.onBehalfOf }),
        ...Object.fromEntries(customs),
        [config.externalReferenceField]: write.externalReference,
        entry: input.lines.map((line, index) => ({
          rowno: String(index + 1),
          inventorycode: line.product,
          quantity: line.quantity,
          ...priceOf(line),
          ...(config.lineWarehouseField === null ? {} : { [config.lineWarehouseField]: line.warehouse }),
          bgift: '0',
          ...Object.fromEntries(
            Object.entries(line.customFields ?? {}).map(([name, value]) => [ownOfLines[name], value ?? '']),
          ),
        })),
      }
      return ok(JSON.stringify({ saleorder }))
    },
  }
}

/** An order that is open (开立) has not been handed to anybody yet. */
const APPROVAL: Readonly<Record<string, ApprovalStatus>> = {
  Approved: 'APPROVED',
  Changing: 'PENDING',
}

/** An address is one line here, and who receives the goods a name beside it. */
function shipTo({ address: street, contact: name, contactPhone: phone }: Head): Party | null {
  if (street === null && name === null && phone === null) return null
  return { name, phone, address: street === null ? null : { street } }
}

function receiverFields(
  to: OrderCreate['shipTo'],
  config: YonyouU8Config,
): Outcome<Readonly<Record<string, string>>> {
  if (to === undefined) return ok({})
  const { address, contact, contactPhone } = config.orderFields
  if (address === null) return cannot('Orders of this system have no delivery address of their own.')
  if (to.phone !== undefined && contactPhone === null) {
    return cannot(
      'Orders of this system have no field for the telephone of who receives the goods (shipTo.phone).',
    )
  }
  if (contact === null) return cannot('Orders of this system have no field for who receives the goods.')
  return ok({
    [address]: addressLine(to.address),
    [contact]: to.name,
    ...(to.phone === undefined || contactPhone === null ? {} : { [contactPhone]: to.phone }),
  })
}

const cannot = (message: string): Outcome<never> => fail({ kind: 'unsupported', message })

const plus = (a: Decimal | null, b: Decimal | null): Decimal | null =>
  a === null || b === null ? (a ?? b) : new Big(a).plus(b).toString()

function addressesOf(it: z.infer<typeof customerSchema>): Address[] {
  const { street, city, province, postalCode, shipTo } = it
  const isGiven = [street, city, province, postalCode].some((part) => part !== null)
  return [
    ...(isGiven ? [{ type: 'OFFICE', street, city, province, postalCode } as const] : []),
    ...(shipTo === null ? [] : [{ type: 'SHIPPING', street: shipTo } as const]),
  ]
}

function blockedOf(
  names: YonyouU8Config['customers']['fields'],
  it: z.infer<typeof customerSchema>,
): boolean | null {
  if (it.stoppedOn !== null) return true
  if (it.active !== null && it.active !== undefined && it.active !== '') {
    return it.active === false || (typeof it.active === 'string' && NO.has(it.active))
  }
  // Where the vendor has a day of stopping and gives none, the customer is in use.
  return names.stoppedOn === null ? null : false
}

const isQuoted = (line: Line): boolean => line.quotedprice !== null && new Big(line.quotedprice).gt(0)

/** 扣率 is what remains to be paid, in per cent: 95 is a discount of 5. */
function discountOf(line: Line): Decimal | null {
  // 0 would be a gift; where nothing was agreed, some releases write it all the same.
  if (line.discountrate === null || new Big(line.discountrate).eq(0)) return null
  const discount = new Big(100).minus(line.discountrate).toString()
  // Beside a price after discount, the discount would be taken twice.
  return isQuoted(line) || discount === '0' ? discount : null
}

/** The vendor works out all other prices and amounts from the net price after discount. */
function priceOf(line: OrderCreate['lines'][number]): Record<string, string | undefined> {
  const { unitPrice: price, discountPercent: discount } = line
  const rate = discount === undefined ? undefined : new Big(100).minus(discount)
  return {
    unitprice:
      price === undefined || rate === undefined ? price : new Big(price).times(rate).div(100).toString(),
    discountrate: rate?.toString(),
  }
}

function currencyField(
  wanted: string | undefined,
  config: YonyouU8Config,
  currencies: Readonly<Record<string, string>>,
): Outcome<Record<string, string>> {
  if (wanted === undefined) return ok({})
  const name = Object.entries(currencies).findLast(([, iso]) => iso === wanted)?.[0]
  const { currency } = config.orderFields
  if (currency === null && wanted === config.companyCurrency) return ok({})
  if (currency === null) return cannot('Orders of this system say no currency.')
  return name === undefined
    ? cannot(`The configuration has no name of the currency ${wanted} in U8.`)
    : ok({ [currency]: name })
}

function broken(type: string, row: unknown, keyField: string, error: z.ZodError): Outcome<never> {
  const key = fieldText(row, keyField) ?? 'without a code'
  const failure: SourceFailure = {
    kind: 'invalid-response',
    detail: `${type} ${key}: ${z.prettifyError(error)}`,
  }
  return fail(failure)
}

/** The version of a row: SQL Server gives each changed row the next number of its database. */
export function versionOf(row: unknown): bigint {
  const text = fieldText(row, 'timestamp')
  // A version beyond 2^53 may have been written with an exponent.
  if (text !== null && /^\d+(\.\d+)?$/.test(text))
    return BigInt(new Big(text).round(0, Big.roundDown).toFixed(0))
  const detail = 'a row without timestamp: this release needs changesBy: none'
  throw new SourceError({ kind: 'invalid-response', detail })
}

/** A range of versions, as the gateway filters by it. */
export const versionRange = (from: bigint, upTo: bigint | null): Record<string, string | undefined> => ({
  timestamp_begin: from.toString(),
  timestamp_end: upTo?.toString(),
})
