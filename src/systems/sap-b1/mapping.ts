/**
 * The vendor's records and ours. Pure. Numbers arrive as decimal text (`parseJson`), dates with or without a
 * decorative `T00:00:00Z`, times as `HH:mm:ss` or `HH:mm`, yes and no as `tYES` and `tNO`.
 * @see SAP Business One Service Layer API reference: types BusinessPartner, Item, Warehouse, Document
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import { isDecimal } from '../kit/json.ts'
import type { OrderChanges, OrderCreate, ShipTo, WriteContext } from '../port.ts'
import {
  type Address,
  type ApprovalStatus,
  type Customer,
  type CustomFields,
  type DateText,
  type DateTimeText,
  type Decimal,
  type Delivery,
  type InventoryLevel,
  joinKey,
  type Money,
  type Order,
  type OrderLine,
  type OrderStatus,
  type Party,
  type PostalAddress,
  type Product,
  type ProductUnit,
  type Quantity,
  type SubStatus,
  type Totals,
  type Warehouse,
} from '../records.ts'
import type { SapB1Config } from './config.ts'

/** Object codes, as `BaseType` of the lines that follow from such a document. */
export const ORDER_OBJECT = '17'
export const QUOTATION_OBJECT = '23'

/* ---- what is read ---- */

export const text = z.string().nullish()
export const decimal = z.string().refine(isDecimal, 'is no number')
export const amount = decimal.nullish()
export const entry = z.string().regex(/^-?\d+$/, 'is no whole number')
export const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}/, 'is no date')
  .nullish()
const time = z
  .string()
  .regex(/^\d{2}:\d{2}(:\d{2})?$/, 'is no time')
  .nullish()

const stamps = {
  UpdateDate: day,
  UpdateTime: time,
  /** Documents say CreationDate and DocTime, everything else CreateDate and CreateTime. */
  CreationDate: day,
  DocTime: time,
  CreateDate: day,
  CreateTime: time,
}
type Stamped = { readonly [name in keyof typeof stamps]?: string | null | undefined }

const partnerSchema = z.object({
  CardCode: z.string(),
  CardName: text,
  CardType: text,
  CompanyPrivate: text,
  GroupCode: entry.nullish(),
  Industry: entry.nullish(),
  FatherCard: text,
  BilltoDefault: text,
  ShipToDefault: text,
  ContactPerson: text,
  Valid: text,
  FederalTaxID: text,
  Phone1: text,
  EmailAddress: text,
  Currency: text,
  CreditLimit: amount,
  CurrentAccountBalance: amount,
  PayTermsGrpCode: entry.nullish(),
  Frozen: text,
  BPAddresses: z
    .array(
      z.object({
        AddressName: text,
        AddressType: text,
        Street: text,
        Block: text,
        City: text,
        County: text,
        State: text,
        ZipCode: text,
        Country: text,
      }),
    )
    .nullish(),
  ContactEmployees: z
    .array(
      z.object({
        InternalCode: entry.nullish(),
        Name: text,
        FirstName: text,
        LastName: text,
        E_Mail: text,
        Phone1: text,
        MobilePhone: text,
        Position: text,
      }),
    )
    .nullish(),
  ...stamps,
})

const itemSchema = z.object({
  ItemCode: z.string(),
  ItemName: text,
  ForeignName: text,
  BarCode: text,
  InventoryUOM: text,
  SalesUnit: text,
  SalesItemsPerUnit: amount,
  PurchaseUnit: text,
  PurchaseItemsPerUnit: amount,
  User_Text: text,
  ItemsGroupCode: entry.nullish(),
  Mainsupplier: text,
  LeadTime: amount,
  MovingAveragePrice: amount,
  Valid: text,
  Frozen: text,
  ItemPrices: z.array(z.object({ PriceList: entry, Price: amount, Currency: text })).nullish(),
  ...stamps,
})

const stockSchema = z.object({
  ItemCode: z.string(),
  InventoryUOM: text,
  ItemWarehouseInfoCollection: z
    .array(z.object({ WarehouseCode: z.string(), InStock: decimal, Committed: amount, Ordered: amount }))
    .nullish(),
})

const warehouseSchema = z.object({ WarehouseCode: z.string(), WarehouseName: text })

const lineSchema = z.object({
  LineNum: entry,
  VisualOrder: entry.nullish(),
  ItemCode: text,
  ItemDescription: text,
  Quantity: decimal,
  RemainingOpenQuantity: amount,
  UnitPrice: amount,
  Currency: text,
  DiscountPercent: amount,
  LineTotal: amount,
  RowTotalFC: amount,
  TaxPercentagePerRow: amount,
  NetTaxAmount: amount,
  NetTaxAmountFC: amount,
  GrossTotal: amount,
  GrossTotalFC: amount,
  FreeText: text,
  WarehouseCode: text,
  MeasureUnit: text,
  UoMCode: text,
  LineStatus: text,
  BaseType: entry.nullish(),
  BaseEntry: entry.nullish(),
  BaseLine: entry.nullish(),
})

const addressSchema = z.object({
  ShipToStreet: text,
  ShipToStreetNo: text,
  ShipToBlock: text,
  ShipToCity: text,
  ShipToZipCode: text,
  ShipToCounty: text,
  ShipToState: text,
  ShipToCountry: text,
  ShipToAddress2: text,
  ShipToAddress3: text,
  BillToStreet: text,
  BillToStreetNo: text,
  BillToBlock: text,
  BillToCity: text,
  BillToZipCode: text,
  BillToCounty: text,
  BillToState: text,
  BillToCountry: text,
})

export const documentSchema = z.object({
  DocEntry: entry,
  DocNum: entry,
  DocType: text,
  DocDate: day,
  DocDueDate: day,
  TaxDate: day,
  CardCode: text,
  CardName: text,
  NumAtCard: text,
  Comments: text,
  DocCurrency: text,
  DocRate: amount,
  DocTotal: amount,
  DocTotalFc: amount,
  VatSum: amount,
  VatSumFc: amount,
  TotalDiscount: amount,
  TotalDiscountFC: amount,
  DocumentStatus: text,
  Cancelled: text,
  CancelStatus: text,
  Confirmed: text,
  /** Absent where the lines were not asked for. */
  DocumentLines: z
    .array(lineSchema)
    .nullish()
    .transform((lines) => lines ?? []),
  ...stamps,
})

/** What orders say beyond what all documents do. */
const orderSchema = documentSchema.extend({
  AuthorizationStatus: text,
  ShipToCode: text,
  PayToCode: text,
  AddressExtension: addressSchema.nullish(),
  PaymentGroupCode: entry.nullish(),
  PaymentMethod: text,
  TrackingNumber: text,
  UserSign: entry.nullish(),
  AttachmentEntry: entry.nullish(),
})

const deliverySchema = documentSchema.extend({
  ShipToCode: text,
  AddressExtension: addressSchema.nullish(),
  TrackingNumber: text,
})

export const PARTNER_FIELDS = Object.keys(partnerSchema.shape).filter(
  (name) => name !== 'CreationDate' && name !== 'DocTime',
)
export const ITEM_FIELDS = Object.keys(itemSchema.shape).filter(
  (name) => name !== 'CreationDate' && name !== 'DocTime',
)
export const STOCK_FIELDS = Object.keys(stockSchema.shape)
export const WAREHOUSE_FIELDS = Object.keys(warehouseSchema.shape)
const ofDocument = (schema: z.ZodObject): readonly string[] =>
  Object.keys(schema.shape).filter((name) => name !== 'CreateDate' && name !== 'CreateTime')
export const DOCUMENT_FIELDS = ofDocument(documentSchema)
export const ORDER_FIELDS = ofDocument(orderSchema)
export const DELIVERY_FIELDS = ofDocument(deliverySchema)

/* ---- reading ---- */

export interface Mapping {
  /** `null`: a supplier or a lead, not a customer. */
  customer(row: unknown, names: PartnerNames): Outcome<Customer | null>
  product(row: unknown, groups: Names): Outcome<Product>
  /** One record per warehouse in which the item is kept, by warehouse code. */
  inventoryLevels(row: unknown): Outcome<readonly InventoryLevel[]>
  warehouse(row: unknown): Outcome<Warehouse>
  order(row: unknown, names: OrderNames): Outcome<RawOrder>
  delivery(row: unknown): Outcome<Delivery>
}

/** What a company calls things, by code: payment terms, groups, users. */
export type Names = ReadonlyMap<string, string>

export interface PartnerNames {
  readonly terms: Names
  readonly groups: Names
  readonly industries: Names
}

export interface OrderNames {
  readonly terms: Names
  readonly users: Names
}

/** An order before what other entities say of it is read. */
export interface RawOrder extends Omit<Order, 'precededBy' | 'attachments'> {
  /** Keys. */
  readonly quotations: readonly string[]
  readonly attachmentEntry: string | null
}

/** As a write answers it: with nothing of what other entities say. */
export function bareOrder({ quotations: _, attachmentEntry: __, ...order }: RawOrder): Order {
  return order
}

/** What the records of one company have in common. */
export function createBasics(config: SapB1Config) {
  const toDateTime = createClock(config.timeZone)
  const currencyOf = (code: string) => config.currencyCodes[code] ?? code
  const money = (value: string | null | undefined, currency: string): Money | null =>
    value === null || value === undefined ? null : { amount: value, currency }
  const quantity = (value: string, unit: string | null): Quantity => ({
    value,
    unit: unit === null ? null : (config.unitCodes[unit] ?? null),
    vendorUnit: unit,
  })
  const base = (row: Stamped) => ({
    version: versionOf(row),
    createdAt: toDateTime(row.CreationDate ?? row.CreateDate, row.DocTime ?? row.CreateTime),
    updatedAt: toDateTime(row.UpdateDate, row.UpdateTime),
  })

  const totals = (document: z.infer<typeof documentSchema>, currency: string) => {
    const inCompany: Totals = {
      gross: money(document.DocTotal, config.companyCurrency),
      tax: money(document.VatSum, config.companyCurrency),
      discount: money(document.TotalDiscount, config.companyCurrency),
    }
    // DocTotal is in company currency whatever the document's is; the Fc fields are 0 where the two are the same.
    if (currency === config.companyCurrency) return { totals: inCompany, companyTotals: inCompany }
    const inDocument: Totals = {
      gross: money(document.DocTotalFc, currency),
      tax: money(document.VatSumFc, currency),
      discount: money(document.TotalDiscountFC, currency),
    }
    return { totals: inDocument, companyTotals: inCompany }
  }

  /** As of documents: what is in company currency has names without FC. */
  const lineTotals = (line: z.infer<typeof lineSchema>, currency: string) =>
    currency === config.companyCurrency
      ? {
          net: money(line.LineTotal, currency),
          tax: money(line.NetTaxAmount, currency),
          gross: money(line.GrossTotal, currency),
        }
      : {
          net: money(line.RowTotalFC, currency),
          tax: money(line.NetTaxAmountFC, currency),
          gross: money(line.GrossTotalFC, currency),
        }

  /** A company's own fields, whatever their type, as text. */
  const custom = (names: Readonly<Record<string, string>>, row: unknown): { customFields?: CustomFields } => {
    const entries = Object.entries(names).map(([ours, theirs]) => [ours, ownText(row, theirs)] as const)
    return entries.length === 0 ? {} : { customFields: Object.fromEntries(entries) }
  }

  return { currencyOf, money, quantity, base, totals, lineTotals, custom }
}

function ownText(row: unknown, field: string): string | null {
  const value = (row as Record<string, unknown> | null)?.[field]
  if (value === null || value === undefined) return null
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** The rows of a collection beside those that the schema has read: own fields are in no schema. */
const rawLines = (row: unknown): readonly unknown[] => {
  const lines = (row as Record<string, unknown> | null)?.DocumentLines
  return Array.isArray(lines) ? lines : []
}

type Addresses = z.infer<typeof addressSchema>

function postal(address: Addresses, kind: 'ShipTo' | 'BillTo'): PostalAddress | null {
  const of = (part: 'Street' | 'StreetNo' | 'Block' | 'City' | 'ZipCode' | 'County' | 'State' | 'Country') =>
    address[`${kind}${part}`] || null
  const found = {
    street:
      [[of('Street'), of('StreetNo')].filter(Boolean).join(' '), of('Block')].filter(Boolean).join(', ') ||
      null,
    city: of('City'),
    province: of('State') ?? of('County'),
    postalCode: of('ZipCode'),
    country: of('Country'),
  }
  return Object.values(found).every((part) => part === null) ? null : found
}

export function createMapping(config: SapB1Config): Mapping {
  const { currencyOf, money, quantity, base, totals, lineTotals, custom } = createBasics(config)

  const shipTo = (
    row: unknown,
    {
      ShipToCode,
      AddressExtension,
    }: { ShipToCode?: string | null | undefined; AddressExtension?: Addresses | null | undefined },
  ): Party | null => {
    const address = AddressExtension ? postal(AddressExtension, 'ShipTo') : null
    const name = AddressExtension?.[config.shipToNameField] || null
    if (!ShipToCode && address === null && name === null) return null
    const phone = config.shipToPhoneField === null ? null : ownText(row, config.shipToPhoneField) || null
    return { key: ShipToCode || null, name, phone, address }
  }

  const units = (item: z.infer<typeof itemSchema>): ProductUnit[] => {
    const traded = [
      [item.SalesUnit, item.SalesItemsPerUnit],
      [item.PurchaseUnit, item.PurchaseItemsPerUnit],
    ] as const
    const found = new Map<string, Decimal>()
    for (const [unit, each] of traded) {
      if (unit && each && unit !== item.InventoryUOM && new Big(each).gt(0)) found.set(unit, each)
    }
    return [...found].map(([vendorUnit, denominator]) => ({
      unit: config.unitCodes[vendorUnit] ?? null,
      vendorUnit,
      numerator: '1',
      denominator,
    }))
  }

  const listPrice = (item: z.infer<typeof itemSchema>): Product['price'] => {
    const found = item.ItemPrices?.find(({ PriceList }) => PriceList === String(config.priceList))
    if (!found?.Price || new Big(found.Price).eq(0)) return null // 0 is how the vendor says none
    const currency = found.Currency ? currencyOf(found.Currency) : config.companyCurrency
    return { amount: { amount: found.Price, currency }, per: '1', taxIncluded: config.priceListGross }
  }

  const orderLine = (
    raw: unknown,
    line: z.infer<typeof lineSchema>,
    document: z.infer<typeof documentSchema>,
    currency: string,
  ): OrderLine => {
    const unit = unitOf(line)
    const delivered = deliveredOf(line, document)
    return {
      id: line.LineNum,
      // The row that people see: drag and drop changes it, LineNum stays.
      lineNumber: new Big(line.VisualOrder ?? line.LineNum).plus(1).toString(),
      product: line.ItemCode || null,
      sku: line.ItemCode || null,
      description: line.ItemDescription ?? null,
      ordered: quantity(line.Quantity, unit),
      delivered: delivered === null ? null : quantity(delivered, unit),
      open:
        line.RemainingOpenQuantity === null || line.RemainingOpenQuantity === undefined
          ? null
          : quantity(line.RemainingOpenQuantity, unit),
      unitPrice:
        line.UnitPrice === null || line.UnitPrice === undefined
          ? null
          : {
              amount: {
                amount: line.UnitPrice,
                currency: line.Currency ? currencyOf(line.Currency) : currency,
              },
              per: '1',
              taxIncluded: false,
            },
      discountPercent: line.DiscountPercent ?? null,
      taxRate: line.TaxPercentagePerRow ?? null,
      ...lineTotals(line, currency),
      warehouse: line.WarehouseCode || null,
      status: line.LineStatus === 'bost_Open' ? 'OPEN' : line.LineStatus === 'bost_Close' ? 'CLOSED' : null,
      comments: line.FreeText || null,
      ...custom(config.customFields.orderLine, raw),
    }
  }

  return {
    customer(row, { terms, groups, industries }) {
      const parsed = partnerSchema.safeParse(row)
      if (!parsed.success) return broken('BusinessPartner', row, 'CardCode', parsed.error)
      const partner = parsed.data
      if (partner.CardType !== 'cCustomer') return ok(null)
      // ## marks an account that may be invoiced in any currency.
      const currency = !partner.Currency || partner.Currency === '##' ? null : currencyOf(partner.Currency)
      const amountsIn = config.accountAmounts === 'account' ? currency : config.companyCurrency
      const code = partner.PayTermsGrpCode
      const industry = partner.Industry
      const frozen = yesNo(partner.Frozen)
      return ok({
        key: partner.CardCode,
        ...base(partner),
        ...custom(config.customFields.customer, row),
        name: partner.CardName ?? '',
        type:
          partner.CompanyPrivate === 'cCompany'
            ? 'COMPANY'
            : partner.CompanyPrivate === 'cPrivate'
              ? 'INDIVIDUAL'
              : null,
        status: statusOf(partner.Valid, partner.Frozen),
        vendorStatus: frozen === null ? null : `Valid=${partner.Valid ?? ''} Frozen=${partner.Frozen ?? ''}`,
        parent: partner.FatherCard || null,
        ...levelOf(config, partner.GroupCode, groups),
        industry: !industry || industry === '-1' ? null : (industries.get(industry) ?? industry),
        taxNumber: partner.FederalTaxID || null,
        phone: partner.Phone1 || null,
        email: partner.EmailAddress || null,
        contacts: (partner.ContactEmployees ?? []).map((person) => ({
          name: [person.FirstName, person.LastName].filter(Boolean).join(' ') || (person.Name ?? ''),
          title: person.Position || null,
          phone: person.Phone1 || person.MobilePhone || null,
          email: person.E_Mail || null,
          ...(partner.ContactPerson ? { primary: person.Name === partner.ContactPerson } : {}),
        })),
        addresses: (partner.BPAddresses ?? []).map(
          (address): Address => ({
            type: address.AddressType === 'bo_ShipTo' ? 'SHIPPING' : 'BILLING',
            default:
              Boolean(address.AddressName) &&
              address.AddressName ===
                (address.AddressType === 'bo_ShipTo' ? partner.ShipToDefault : partner.BilltoDefault),
            street: [address.Street, address.Block].filter(Boolean).join(', ') || null,
            city: address.City || null,
            province: address.State || address.County || null,
            postalCode: address.ZipCode || null,
            country: address.Country || null,
          }),
        ),
        account: {
          company: config.companyDb,
          currency,
          creditLimit: amountsIn === null ? null : money(partner.CreditLimit, amountsIn),
          balance: amountsIn === null ? null : money(partner.CurrentAccountBalance, amountsIn),
          paymentTerms: code === null || code === undefined ? null : (terms.get(code) ?? code),
          blocked: frozen,
        },
      })
    },

    product(row, groups) {
      const parsed = itemSchema.safeParse(row)
      if (!parsed.success) return broken('Item', row, 'ItemCode', parsed.error)
      const item = parsed.data
      const frozen = yesNo(item.Frozen)
      const { ItemsGroupCode: group, Mainsupplier: supplier, LeadTime: days } = item
      return ok({
        key: item.ItemCode,
        ...base(item),
        ...custom(config.customFields.product, row),
        sku: item.ItemCode,
        name: item.ItemName ?? '',
        foreignName: item.ForeignName || null,
        barcode: item.BarCode || null,
        description: item.User_Text || null,
        unit: item.InventoryUOM || null,
        units: units(item),
        active: frozen === null ? yesNo(item.Valid) : !frozen,
        status: statusOf(item.Valid, item.Frozen),
        vendorStatus: frozen === null ? null : `Valid=${item.Valid ?? ''} Frozen=${item.Frozen ?? ''}`,
        category: group ? { key: group, name: groups.get(group) ?? null } : null,
        price: listPrice(item),
        cost: item.MovingAveragePrice ? money(item.MovingAveragePrice, config.companyCurrency) : null,
        supplier: supplier ? { key: supplier, leadTimeDays: days ? Math.round(Number(days)) : null } : null,
      })
    },

    inventoryLevels(row) {
      const parsed = stockSchema.safeParse(row)
      if (!parsed.success) return broken('Item', row, 'ItemCode', parsed.error)
      const { ItemCode: product, ItemWarehouseInfoCollection: places } = parsed.data
      const unit = parsed.data.InventoryUOM || null
      const levels = (places ?? []).map((place): InventoryLevel => {
        const { WarehouseCode: warehouse, InStock, Committed, Ordered } = place
        return {
          key: joinKey([product, warehouse]),
          product,
          warehouse,
          onHand: quantity(InStock, unit),
          reserved: Committed ? quantity(Committed, unit) : null,
          // The vendor's own rule; what is ordered counts only in planning.
          available: Committed ? quantity(new Big(InStock).minus(Committed).toString(), unit) : null,
          incoming: Ordered ? quantity(Ordered, unit) : null,
        }
      })
      return ok(levels.sort((a, b) => compare(a.warehouse, b.warehouse)))
    },

    warehouse(row) {
      const parsed = warehouseSchema.safeParse(row)
      if (!parsed.success) return broken('Warehouse', row, 'WarehouseCode', parsed.error)
      return ok({ key: parsed.data.WarehouseCode, name: parsed.data.WarehouseName ?? null })
    },

    order(row, { terms, users }) {
      const parsed = orderSchema.safeParse(row)
      if (!parsed.success) return broken('Order', row, 'DocEntry', parsed.error)
      const document = parsed.data
      const currency = document.DocCurrency ? currencyOf(document.DocCurrency) : config.companyCurrency
      const fulfilmentStatus = fulfilmentOf(document)
      const left = (row as Record<string, unknown>)[config.externalReferenceField]
      const ours = referenceOf(config.externalReferenceField, left)
      const lines = rawLines(row)
      const { PaymentGroupCode: term, PaymentMethod: method, UserSign: user } = document
      const billTo = document.AddressExtension ? postal(document.AddressExtension, 'BillTo') : null
      return ok({
        key: document.DocEntry,
        ...base(document),
        ...custom(config.customFields.order, row),
        number: document.DocNum,
        documentType: document.DocType || null,
        company: config.companyDb,
        shipTo: shipTo(row, document),
        billTo: document.PayToCode || billTo ? { key: document.PayToCode || null, address: billTo } : null,
        approvalStatus: approvalOf(document.AuthorizationStatus),
        payment:
          term || method ? { method: method || null, terms: term ? (terms.get(term) ?? term) : null } : null,
        trackingNumbers: document.TrackingNumber ? [document.TrackingNumber] : [],
        createdBy: user ? (users.get(user) ?? user) : null,
        quotations: [
          ...new Set(
            document.DocumentLines.flatMap((line) =>
              line.BaseType === QUOTATION_OBJECT && line.BaseEntry ? [line.BaseEntry] : [],
            ),
          ),
        ],
        attachmentEntry: document.AttachmentEntry ?? null,
        customer: document.CardCode || null,
        customerName: document.CardName ?? null,
        customerReference:
          config.externalReferenceField === 'NumAtCard' && ours ? null : document.NumAtCard || null,
        externalReference: ours,
        orderDate: dayOf(document.TaxDate ?? document.DocDate),
        dueDate: dayOf(document.DocDueDate),
        postingDate: dayOf(document.DocDate),
        status: orderStatus(document, fulfilmentStatus),
        vendorStatus: vendorStatus(document),
        fulfilmentStatus,
        ...totals(document, currency),
        exchangeRate: document.DocRate && new Big(document.DocRate).gt(0) ? document.DocRate : null,
        comments: document.Comments || null,
        lines: document.DocumentLines.map((line, at) => orderLine(lines[at], line, document, currency)),
      })
    },

    delivery(row) {
      const parsed = deliverySchema.safeParse(row)
      if (!parsed.success) return broken('DeliveryNote', row, 'DocEntry', parsed.error)
      const document = parsed.data
      const orderOf = (line: z.infer<typeof lineSchema>) =>
        line.BaseType === ORDER_OBJECT && line.BaseEntry ? line.BaseEntry : null
      return ok({
        key: document.DocEntry,
        ...base(document),
        ...custom(config.customFields.delivery, row),
        number: document.DocNum,
        customer: document.CardCode || null,
        shipTo: shipTo(row, document),
        trackingNumbers: document.TrackingNumber ? [document.TrackingNumber] : [],
        orders: [...new Set(document.DocumentLines.map(orderOf))].filter((order) => order !== null),
        date: dayOf(document.DocDate),
        status: deliveryStatus(document),
        vendorStatus: vendorStatus(document),
        lines: document.DocumentLines.map((line) => ({
          id: line.LineNum,
          product: line.ItemCode || null,
          description: line.ItemDescription ?? null,
          quantity: quantity(line.Quantity, unitOf(line)),
          warehouse: line.WarehouseCode || null,
          order: orderOf(line),
          orderLine: orderOf(line) === null ? null : (line.BaseLine ?? null),
        })),
      })
    },
  }
}

type Document = z.infer<typeof documentSchema>

/** Both boxes may be ticked with dates; the dates are not looked at. */
function statusOf(
  valid: string | null | undefined,
  frozen: string | null | undefined,
): 'ACTIVE' | 'INACTIVE' | null {
  if (frozen === 'tYES') return 'INACTIVE'
  return frozen === 'tNO' || valid === 'tYES' ? 'ACTIVE' : null
}

function levelOf(
  { levelGroups }: SapB1Config,
  group: string | null | undefined,
  groups: Names,
): Pick<Customer, 'level' | 'vendorLevel'> {
  if (!group) return { level: null, vendorLevel: null }
  const name = groups.get(group)
  const level = levelGroups[group] ?? (name === undefined ? undefined : levelGroups[name])
  // Where nobody said what the groups mean, they say nothing of a level.
  return {
    level: level ?? (Object.keys(levelGroups).length === 0 ? null : 'UNKNOWN'),
    vendorLevel: name ?? group,
  }
}

function approvalOf(status: string | null | undefined): ApprovalStatus | null {
  switch (status) {
    case null:
    case undefined:
    case '':
      return null
    case 'dasWithout':
      return 'NOT_REQUIRED'
    case 'dasPending':
      return 'PENDING'
    case 'dasApproved':
    case 'dasGenerated':
    case 'dasGeneratedbyAuthorizer':
      return 'APPROVED'
    case 'dasRejected':
    case 'dasCancelled':
      return 'REJECTED'
    default:
      return 'UNKNOWN'
  }
}

/**
 * The open quantity is what has not been delivered. Of a cancelled order nothing is said: whether its lines keep
 * their open quantity differs between releases.
 */
function deliveredOf(line: z.infer<typeof lineSchema>, document: Document): Decimal | null {
  const open = line.RemainingOpenQuantity
  if (open === null || open === undefined || document.Cancelled === 'tYES') return null
  return new Big(line.Quantity).minus(open).toString()
}

function fulfilmentOf(document: Document): SubStatus | null {
  if (document.Cancelled === 'tYES' || document.DocType === 'dDocument_Service') return 'NOT_RELEVANT'
  const lines = document.DocumentLines.filter((line) => new Big(line.Quantity).gt(0))
  if (lines.length === 0) return 'NOT_RELEVANT'
  const delivered = lines.map((line) => deliveredOf(line, document))
  if (delivered.includes(null)) return null
  if (lines.every((line, index) => new Big(delivered[index] ?? '0').gte(line.Quantity))) return 'COMPLETE'
  return delivered.some((quantity) => new Big(quantity ?? '0').gt(0)) ? 'PARTIAL' : 'NONE'
}

/** `Confirmed` is the box "Approved" of the order: without the tick nothing may be delivered. */
function orderStatus(document: Document, fulfilment: SubStatus | null): OrderStatus {
  if (document.Cancelled === 'tYES') return 'CANCELLED'
  switch (document.DocumentStatus) {
    case 'bost_Delivered':
      return 'DELIVERED'
    case 'bost_Paid':
      return 'CLOSED'
    case 'bost_Close':
      return fulfilment === 'COMPLETE' ? 'DELIVERED' : 'CLOSED'
    case 'bost_Open':
      if (document.Confirmed === 'tNO') return 'PENDING_APPROVAL'
      return fulfilment === 'PARTIAL' ? 'IN_PROGRESS' : 'CONFIRMED'
    default:
      return 'UNKNOWN'
  }
}

/** A delivery is open until it is invoiced or returned. A document that cancels another counts as cancelled. */
function deliveryStatus(document: Document): Delivery['status'] {
  if (document.Cancelled === 'tYES' || document.CancelStatus === 'csCancellation') return 'CANCELLED'
  if (document.DocumentStatus === 'bost_Open') return 'OPEN'
  return document.DocumentStatus === 'bost_Close' ? 'CLOSED' : 'UNKNOWN'
}

/** The three codes that say where a document stands, for example `bost_Open Cancelled=tNO Confirmed=tYES`. */
export function vendorStatus(document: Document): string {
  return `${document.DocumentStatus ?? ''} Cancelled=${document.Cancelled ?? ''} Confirmed=${document.Confirmed ?? ''}`
}

/** `Manual` is what the vendor calls a line without a unit group; its unit is then free text. */
export function unitOf(line: z.infer<typeof lineSchema>): string | null {
  return line.MeasureUnit || (line.UoMCode && line.UoMCode !== 'Manual' ? line.UoMCode : null)
}

/** In NumAtCard, which customers' own order numbers share, only our own form is taken for ours. */
export function referenceOf(field: string, value: unknown): string | null {
  if (typeof value !== 'string' || value === '') return null
  return field !== 'NumAtCard' || /^[0-9a-f]{32}$/.test(value) ? value : null
}

export function yesNo(value: string | null | undefined): boolean | null {
  return value === 'tYES' ? true : value === 'tNO' ? false : null
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export function broken(type: string, row: unknown, keyField: string, error: z.ZodError): Outcome<never> {
  const key = rowKey(row, keyField) ?? 'without a key'
  return fail({ kind: 'invalid-response', detail: `${type} ${key}: ${z.prettifyError(error)}` })
}

/** The key of a row that may be broken otherwise. */
export function rowKey(row: unknown, field: string): string | undefined {
  const key = typeof row === 'object' && row !== null ? (row as Record<string, unknown>)[field] : undefined
  return typeof key === 'string' ? key : undefined
}

/* ---- dates and times ---- */

export const dayOf = (date: string | null | undefined): DateText | null => date?.slice(0, 10) ?? null

/** The server's wall clock as `2026-06-30T17:05:00`: what records are stamped with, and what polling compares. */
export type Stamp = string

function stampOf(date: string | null | undefined, time: string | null | undefined): Stamp | null {
  if (!date || !time) return null
  return `${date.slice(0, 10)}T${time.length === 5 ? `${time}:00` : time}`
}

/**
 * What is compared to notice that a record has changed in between: the vendor's stamp of the last change, to the
 * second. The vendor's ETags would be finer, but a read of chosen columns has none that can be used.
 */
function versionOf(row: Stamped): string | null {
  return (
    stampOf(row.UpdateDate, row.UpdateTime) ??
    stampOf(row.CreationDate ?? row.CreateDate, row.DocTime ?? row.CreateTime)
  )
}

/** The later one of a row's stamps, of creation and of change; null where it has neither. */
export function latestStamp(row: unknown): Stamp | null {
  const parsed = z.object(stamps).safeParse(row)
  if (!parsed.success) return null
  const { UpdateDate, UpdateTime, CreationDate, CreateDate, DocTime, CreateTime } = parsed.data
  const all = [
    stampOf(UpdateDate, UpdateTime ?? '00:00:00'),
    stampOf(CreationDate ?? CreateDate, DocTime ?? CreateTime ?? '00:00:00'),
  ]
  return all.reduce((latest, stamp) => (latest === null || (stamp ?? '') > latest ? stamp : latest), null)
}

export function stampMinus(stamp: Stamp, seconds: number): Stamp {
  return new Date(Date.parse(`${stamp}Z`) - seconds * 1000).toISOString().slice(0, 19)
}

/**
 * Rows stamped at or after `since`. Date and time are two columns, so that the day itself needs its own term:
 * `UpdateDate ge D and UpdateTime ge T` would lose later days' mornings. New rows may have no UpdateDate, or one
 * without a time, so their creation is looked at as well; its time may be cut to the minute.
 */
export function changedSince(since: Stamp, created: { date: string; time: string }): string {
  const [day, time = ''] = since.split('T')
  const minute = `${time.slice(0, 5)}:00`
  return [
    `UpdateDate gt '${day}'`,
    `(UpdateDate eq '${day}' and UpdateTime ge '${time}')`,
    `${created.date} gt '${day}'`,
    `(${created.date} eq '${day}' and ${created.time} ge '${minute}')`,
  ].join(' or ')
}

/** Puts the server's offset behind its wall clock. */
function createClock(
  timeZone: string,
): (date: string | null | undefined, time: string | null | undefined) => DateTimeText | null {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  const offsetAt = (instant: number): string => {
    const name = format.formatToParts(instant).find((part) => part.type === 'timeZoneName')?.value ?? ''
    return name.slice(3) || '+00:00' // "GMT+08:00", and "GMT" alone for none
  }
  return (date, time) => {
    const local = stampOf(date, time)
    if (local === null) return null
    // A first guess of the instant tells the offset well enough, except within hours of a change of clocks.
    const guess = Date.parse(`${local}${offsetAt(Date.parse(`${local}Z`))}`)
    return Number.isNaN(guess) ? null : `${local}${offsetAt(guess)}`
  }
}

/* ---- writing ---- */

/** Codes of what callers name; looked up before the body is made. */
export interface OrderCodes {
  readonly paymentTerms?: string | undefined
  /** By line: the line of a quotation that it follows from. */
  readonly bases?: readonly (QuotationLine | undefined)[] | undefined
}

export interface QuotationLine {
  readonly entry: number
  readonly line: number
}

/**
 * Body of `POST Orders`. Decimals go as text, which the vendor accepts and no double can spoil.
 * `NumAtCard` cannot hold both our reference and the customer's: see `cannotStore`.
 */
export function orderBody(
  config: SapB1Config,
  input: OrderCreate,
  write: WriteContext,
  codes: OrderCodes,
): string {
  return JSON.stringify({
    CardCode: input.customer,
    DocDate: input.orderDate,
    TaxDate: input.orderDate,
    DocDueDate: input.dueDate,
    DocCurrency: input.currency === undefined ? undefined : vendorCurrency(config, input.currency),
    NumAtCard: input.customerReference,
    Comments: input.comments,
    PaymentGroupCode: numberOf(codes.paymentTerms),
    PaymentMethod: input.paymentMethod,
    ...shipToBody(config, input.shipTo),
    ...customBody(config.customFields.order, input.customFields),
    ...(config.onBehalfOfField === null ? {} : { [config.onBehalfOfField]: write.onBehalfOf }),
    [config.externalReferenceField]: write.externalReference,
    DocumentLines: input.lines.map((line, at) => ({
      ...baseBody(codes.bases?.[at]),
      ItemCode: line.product,
      Quantity: line.quantity,
      UnitPrice: line.unitPrice,
      DiscountPercent: line.discountPercent,
      WarehouseCode: line.warehouse,
      FreeText: line.comments,
      ...customBody(config.customFields.orderLine, line.customFields),
    })),
  })
}

const baseBody = (base: QuotationLine | undefined): Record<string, number> =>
  base === undefined ? {} : { BaseType: Number(QUOTATION_OBJECT), BaseEntry: base.entry, BaseLine: base.line }

export const vendorCurrency = (config: SapB1Config, iso: string): string =>
  Object.entries(config.currencyCodes).find(([, code]) => code === iso)?.[0] ?? iso

const numberOf = (code: string | undefined): number | string | undefined =>
  code !== undefined && /^-?\d+$/.test(code) ? Number(code) : code

export function orderChanges(
  config: SapB1Config,
  changes: OrderChanges,
  codes: OrderCodes,
): Record<string, unknown> {
  return {
    DocDueDate: changes.dueDate,
    NumAtCard: changes.customerReference,
    Comments: changes.comments,
    PaymentGroupCode: numberOf(codes.paymentTerms),
    ...shipToBody(config, changes.shipTo),
    ...customBody(config.customFields.order, changes.customFields),
  }
}

/** The whole address: what is not given must not be left over from another one. */
function shipToBody(config: SapB1Config, shipTo: ShipTo | undefined): Record<string, unknown> {
  if (shipTo === undefined) return {}
  const { street, city, province, postalCode, country } = shipTo.address
  return {
    AddressExtension: {
      ShipToStreet: street ?? null,
      ShipToStreetNo: null,
      ShipToBlock: null,
      ShipToCity: city ?? null,
      ShipToZipCode: postalCode ?? null,
      ...stateOrCounty('ShipTo', province),
      ShipToCountry: country ?? null,
      [config.shipToNameField]: shipTo.name,
    },
    ...(config.shipToPhoneField === null ? {} : { [config.shipToPhoneField]: shipTo.phone ?? null }),
  }
}

/** A state is a code of a table there; a name has its place in the county. */
export function stateOrCounty<P extends string>(prefix: P, province: string | null | undefined) {
  const isCode = /^[A-Z0-9]{1,3}$/.test(province ?? '')
  return {
    [`${prefix}State`]: isCode ? province : null,
    [`${prefix}County`]: isCode ? null : (province ?? null),
  }
}

export function customBody(
  names: Readonly<Record<string, string>>,
  values: CustomFields | undefined,
): Record<string, string | null> {
  return Object.fromEntries(Object.entries(values ?? {}).map(([name, value]) => [names[name] ?? name, value]))
}

/** The first custom field that the configuration has no name for. */
export function unknownCustomField(
  names: Readonly<Record<string, string>>,
  values: CustomFields | undefined,
): string | undefined {
  return Object.keys(values ?? {}).find((name) => !Object.hasOwn(names, name))
}

/** An empty text and none are the same to the vendor; numbers and days come back in its own width. */
export function isSame(wished: string | null | undefined, found: string | null | undefined): boolean {
  if ((wished || null) === (found || null)) return true
  if (!wished || !found) return false
  if (isDecimal(wished) && isDecimal(found)) return new Big(wished).eq(found)
  return /^\d{4}-\d\d-\d\d$/.test(wished) && found.slice(0, 10) === wished
}

/** Which of the wished changes an order does not show. */
export function missingChanges(
  order: Order,
  changes: OrderChanges,
  terms: Names,
  codes: OrderCodes,
): string[] {
  const { shipTo, customFields } = changes
  const term = codes.paymentTerms
  const pairs: (readonly [string, string | null | undefined, string | null | undefined])[] = [
    ['DocDueDate', changes.dueDate, order.dueDate],
    ['NumAtCard', changes.customerReference, order.customerReference],
    ['Comments', changes.comments, order.comments],
    ['PaymentGroupCode', term && (terms.get(term) ?? term), order.payment?.terms],
    ...(shipTo === undefined
      ? []
      : ([
          ['ShipTo name', shipTo.name, order.shipTo?.name],
          ['ShipTo phone', shipTo.phone, order.shipTo?.phone],
          ...(['street', 'city', 'province', 'postalCode', 'country'] as const).map(
            (part) => [`ShipTo ${part}`, shipTo.address[part] ?? '', order.shipTo?.address?.[part]] as const,
          ),
        ] as const)),
    ...Object.entries(customFields ?? {}).map(
      ([name, value]) => [name, value ?? '', order.customFields?.[name]] as const,
    ),
  ]
  return pairs.flatMap(([name, wished, found]) =>
    wished === undefined || isSame(wished, found) ? [] : [name],
  )
}

/* ---- drafts ---- */

export const DRAFT_FIELDS = ['DocEntry', 'DocObjectCode', 'AuthorizationStatus']

const draftSchema = z.object({
  DocEntry: entry,
  DocObjectCode: text,
  AuthorizationStatus: text,
})

/** What an approval procedure keeps until a person there agrees. `null`: a draft of another sort. */
export function readDraft(row: unknown): { key: string; refused: boolean } | null {
  const parsed = draftSchema.safeParse(row)
  // Where the code is not told, only what was asked for by our own reference is here.
  if (!parsed.success || ![null, undefined, 'oOrders', ORDER_OBJECT].includes(parsed.data.DocObjectCode))
    return null
  const { DocEntry: key, AuthorizationStatus: status } = parsed.data
  return { key, refused: status === 'dasRejected' || status === 'dasCancelled' }
}
