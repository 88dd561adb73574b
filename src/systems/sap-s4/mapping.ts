/**
 * The vendor's records and ours. Pure. Decimals are texts in the vendor's own JSON; empty texts stand for "nothing".
 * @see API_BUSINESS_PARTNER, API_PRODUCT_SRV, API_MATERIAL_STOCK_SRV, API_SALES_ORDER_SRV, API_OUTBOUND_DELIVERY_SRV, API_BILLING_DOCUMENT_SRV
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import {
  type Address,
  type ApprovalStatus,
  type Customer,
  type CustomerLevel,
  type CustomFields,
  type Decimal,
  type Delivery,
  type Hold,
  type InventoryLevel,
  type Invoice,
  joinKey,
  type Key,
  type Money,
  type Order,
  type OrderLine,
  type OrderStatus,
  type Party,
  type Product,
  type ProductUnit,
  type Quantity,
  type Reference,
  type SubStatus,
  type UnitPrice,
} from '../records.ts'
import type { SapS4Config } from './config.ts'
import { dayOf, external, instantOf, isDate, timeOf } from './odata.ts'

/* ---- what is read ---- */

const text = z.string().nullish()
const decimal = z.string().refine(isDecimal, 'is no number')
const amount = decimal.or(z.literal('').transform(() => null)).nullish()
/** Empty text is what some services send where there is none. */
const date = z
  .string()
  .refine((text) => text === '' || isDate(text), 'is no date')
  .nullish()
const flag = z.boolean().nullish()

/** Behind a navigation to many: expanded rows, or only where they would be. */
const many = <S extends z.ZodType>(row: S) =>
  z.union([
    z.object({ results: z.array(row) }).transform(({ results }) => results),
    z.array(row),
    z
      .object({ __deferred: z.unknown() })
      .nullish()
      .transform((): z.infer<S>[] => []),
  ])
const one = <S extends z.ZodType>(row: S) => row.nullish()

const addressSchema = z.object({
  AddressID: text,
  StreetName: text,
  HouseNumber: text,
  CityName: text,
  PostalCode: text,
  Region: text,
  Country: text,
  to_EmailAddress: many(z.object({ EmailAddress: text, IsDefaultEmailAddress: flag })),
  to_PhoneNumber: many(
    z.object({ PhoneNumber: text, InternationalPhoneNumber: text, IsDefaultPhoneNumber: flag }),
  ),
})

const salesAreaSchema = z.object({
  SalesOrganization: text,
  DistributionChannel: text,
  Division: text,
  Currency: text,
  CustomerPaymentTerms: text,
  CustomerABCClassification: text,
  OrderIsBlockedForCustomer: text,
})

const partnerSchema = z.object({
  BusinessPartner: z.string(),
  Customer: text,
  BusinessPartnerCategory: text,
  BusinessPartnerFullName: text,
  OrganizationBPName1: text,
  Industry: text,
  BusinessPartnerIsBlocked: flag,
  CreationDate: date,
  CreationTime: text,
  LastChangeDate: date,
  LastChangeTime: text,
  ETag: text,
  to_BusinessPartnerTax: many(z.object({ BPTaxType: text, BPTaxNumber: text, BPTaxLongNumber: text })),
  to_BusinessPartnerAddress: many(addressSchema),
  to_Customer: one(
    z.object({
      Customer: text,
      OrderIsBlockedForCustomer: text,
      to_CustomerSalesArea: many(salesAreaSchema),
    }),
  ),
})

const valuationSchema = z.object({
  ValuationArea: text,
  ValuationType: text,
  InventoryValuationProcedure: text,
  StandardPrice: amount,
  MovingAveragePrice: amount,
  PriceUnitQty: amount,
  Currency: text,
})

const unitSchema = z.object({ AlternativeUnit: text, QuantityNumerator: amount, QuantityDenominator: amount })

const productSchema = z.object({
  Product: z.string().min(1),
  BaseUnit: text,
  ProductGroup: text,
  ProductStandardID: text,
  IsMarkedForDeletion: flag,
  LastChangeDateTime: date,
  to_Description: many(z.object({ Language: text, ProductDescription: text })),
  to_Valuation: many(valuationSchema),
  to_ProductUnitsOfMeasure: many(unitSchema),
})

const keyPart = z
  .string()
  .nullish()
  .transform((part) => part ?? '')

/** All of its key: what two pages both bring is one row. */
const stockSchema = z.object({
  Material: z.string().min(1),
  Plant: keyPart,
  StorageLocation: keyPart,
  Batch: keyPart,
  Supplier: keyPart,
  Customer: keyPart,
  WBSElementInternalID: keyPart,
  SDDocument: keyPart,
  SDDocumentItem: keyPart,
  InventorySpecialStockType: keyPart,
  InventoryStockType: keyPart,
  MaterialBaseUnit: text,
  MatlWrhsStkQtyInMatlBaseUnit: decimal,
})
const STOCK_KEY = Object.keys(stockSchema.shape).slice(0, 11) as readonly (keyof StockRow)[]
export type StockRow = z.infer<typeof stockSchema>

const conditionSchema = z.object({
  ConditionType: text,
  ConditionRateValue: amount,
  ConditionQuantity: amount,
  ConditionCurrency: text,
  ConditionInactiveReason: text,
})

const TEXT_FIELDS = ['Language', 'LongTextID', 'LongText'] as const
const textSchema = z.object({ Language: text, LongTextID: text, LongText: text })

const itemSchema = z.object({
  SalesOrderItem: z.string(),
  Material: text,
  SalesOrderItemText: text,
  RequestedQuantity: decimal,
  RequestedQuantityUnit: text,
  NetAmount: amount,
  TaxAmount: amount,
  ConfdDelivQtyInOrderQtyUnit: amount,
  TransactionCurrency: text,
  ProductionPlant: text,
  StorageLocation: text,
  SalesDocumentRjcnReason: text,
  SDProcessStatus: text,
  to_ScheduleLine: many(z.object({ DeliveredQtyInOrderQtyUnit: amount })),
  to_PricingElement: many(conditionSchema),
  to_Text: many(textSchema),
})

const partyAddressSchema = z.object({
  AddresseeFullName: text,
  OrganizationName1: text,
  StreetName: text,
  HouseNumber: text,
  CityName: text,
  Region: text,
  PostalCode: text,
  Country: text,
  PhoneNumber: text,
  EmailAddress: text,
})

const partySchema = z.object({
  PartnerFunction: text,
  Customer: text,
  to_Address: many(partyAddressSchema),
})

const orderSchema = z.object({
  SalesOrder: z.string().min(1),
  SalesOrderType: text,
  SalesOrganization: text,
  DistributionChannel: text,
  SoldToParty: text,
  PurchaseOrderByCustomer: text,
  SalesOrderDate: date,
  RequestedDeliveryDate: date,
  LastChangeDateTime: date,
  TotalNetAmount: amount,
  TransactionCurrency: text,
  OverallSDProcessStatus: text,
  OverallTotalDeliveryStatus: text,
  OverallOrdReltdBillgStatus: text,
  OverallSDDocumentRejectionSts: text,
  TotalCreditCheckStatus: text,
  TotalBlockStatus: text,
  DeliveryBlockReason: text,
  HeaderBillingBlockReason: text,
  SalesDocApprovalStatus: text,
  CustomerPaymentTerms: text,
  PaymentMethod: text,
  CreatedByUser: text,
  ReferenceSDDocument: text,
  ReferenceSDDocumentCategory: text,
  to_Item: many(itemSchema),
  to_Text: many(textSchema),
  to_Partner: many(partySchema),
})

const deliverySchema = z.object({
  DeliveryDocument: z.string().min(1),
  SoldToParty: text,
  ShipToParty: text,
  DocumentDate: date,
  ActualGoodsMovementDate: date,
  CreationDate: date,
  CreationTime: text,
  LastChangeDate: date,
  OverallSDProcessStatus: text,
  OverallGoodsMovementStatus: text,
  to_DeliveryDocumentItem: many(
    z.object({
      DeliveryDocumentItem: z.string(),
      Material: text,
      DeliveryDocumentItemText: text,
      ActualDeliveryQuantity: decimal,
      DeliveryQuantityUnit: text,
      Plant: text,
      StorageLocation: text,
      ReferenceSDDocument: text,
      ReferenceSDDocumentItem: text,
      ReferenceSDDocumentCategory: text,
    }),
  ),
})

const billingItemSchema = z.object({
  BillingDocumentItem: text,
  Material: text,
  BillingDocumentItemText: text,
  BillingQuantity: amount,
  BillingQuantityUnit: text,
  NetAmount: amount,
  TaxAmount: amount,
  TransactionCurrency: text,
  SalesDocument: text,
})

const billingSchema = z.object({
  BillingDocument: z.string().min(1),
  SDDocumentCategory: text,
  BillingDocumentType: text,
  SoldToParty: text,
  BillingDocumentDate: date,
  TotalNetAmount: amount,
  TaxAmount: amount,
  TotalGrossAmount: amount,
  TransactionCurrency: text,
  InvoiceClearingStatus: text,
  AccountingPostingStatus: text,
  BillingDocumentIsCancelled: flag,
  LastChangeDateTime: date,
  to_Item: many(billingItemSchema),
})

/** The navigations of each entity, in the order of the schemas above: what `$select` has to name. */
const NESTED = {
  customer: {
    '': partnerSchema,
    to_BusinessPartnerTax: ['BPTaxType', 'BPTaxNumber', 'BPTaxLongNumber'],
    to_BusinessPartnerAddress: addressSchema,
    'to_BusinessPartnerAddress/to_EmailAddress': ['EmailAddress', 'IsDefaultEmailAddress'],
    'to_BusinessPartnerAddress/to_PhoneNumber': [
      'PhoneNumber',
      'InternationalPhoneNumber',
      'IsDefaultPhoneNumber',
    ],
    to_Customer: ['OrderIsBlockedForCustomer'],
    'to_Customer/to_CustomerSalesArea': salesAreaSchema,
  },
  product: {
    '': productSchema,
    to_Description: ['Language', 'ProductDescription'],
    to_Valuation: valuationSchema,
    to_ProductUnitsOfMeasure: unitSchema,
  },
  order: {
    '': orderSchema,
    to_Item: itemSchema,
    'to_Item/to_ScheduleLine': ['DeliveredQtyInOrderQtyUnit'],
    'to_Item/to_PricingElement': conditionSchema,
    to_Text: TEXT_FIELDS,
    to_Partner: partySchema,
    'to_Partner/to_Address': partyAddressSchema,
  },
  delivery: {
    '': deliverySchema,
    to_DeliveryDocumentItem: [
      'DeliveryDocumentItem',
      'Material',
      'DeliveryDocumentItemText',
      'ActualDeliveryQuantity',
      'DeliveryQuantityUnit',
      'Plant',
      'StorageLocation',
      'ReferenceSDDocument',
      'ReferenceSDDocumentItem',
      'ReferenceSDDocumentCategory',
    ],
  },
  invoice: { '': billingSchema, to_Item: billingItemSchema },
} as const satisfies Record<string, Record<string, z.ZodObject | readonly string[]>>

export type EntityName = keyof typeof NESTED

export const STOCK_FIELDS = Object.keys(stockSchema.shape)

/** The paths of `$select`: without those that this release lacks, with those that the company has added. */
export function selectOf(config: SapS4Config, name: EntityName): string[] {
  const paths: string[] = []
  const parts: Record<string, z.ZodObject | readonly string[]> = NESTED[name]
  for (const [prefix, part] of Object.entries(parts)) {
    // What a product costs is kept by plant: without one there is nothing to choose by.
    if (prefix === 'to_Valuation' && config.defaults.plant === undefined) continue
    const names = 'shape' in part ? Object.keys(part.shape) : part
    for (const field of names) {
      const path = prefix === '' ? field : `${prefix}/${field}`
      const isAbsent = config.absentFields.some((one) => one === field || `${path}/`.startsWith(`${one}/`))
      if (!field.startsWith('to_') && !isAbsent) paths.push(path)
    }
  }
  const own = Object.values(config.customFields[name])
  // Held against the partner's own number, by which orders would name somebody else where the two differ.
  if (name === 'customer' && config.customerKey === 'BusinessPartner') own.push('to_Customer/Customer')
  if (name === 'order') {
    own.push(...[config.externalReferenceField, config.onBehalfOfField].filter((field) => field !== null))
    own.push(...Object.values(config.customFields.orderLine).map((field) => `to_Item/${field}`))
    if (config.itemTextType !== null) own.push(...TEXT_FIELDS.map((field) => `to_Item/to_Text/${field}`))
  }
  return [...new Set([...paths, ...own])]
}

/* ---- reading ---- */

export interface Mapping {
  customer(row: unknown): Outcome<Customer>
  product(row: unknown): Outcome<Product>
  order(row: unknown): Outcome<Order>
  delivery(row: unknown): Outcome<Delivery>
  invoice(row: unknown): Outcome<Invoice>
  /** One level per plant and storage location; rows of a broken material fail it alone. */
  inventoryLevels(rows: readonly unknown[]): ReadonlyMap<Key, Outcome<readonly InventoryLevel[]>>
}

export function createMapping(config: SapS4Config, clock: Clock): Mapping {
  const currencyOf = (code: string) => config.currencyCodes[code] ?? code
  const money = (value: string | null | undefined, currency: string | null | undefined): Money | null =>
    value === null || value === undefined || !currency
      ? null
      : { amount: value, currency: currencyOf(currency) }
  const quantity = (value: Decimal, unit: string | null | undefined): Quantity => ({
    value: plain(value),
    unit: (unit && config.unitCodes[unit]) || null,
    vendorUnit: unit || null,
  })
  /** A stamp of two fields, in the server's time. A day alone is no instant. */
  const stamp = (day: string | null | undefined, time: string | null | undefined) => {
    const [on, at] = [dayOf(day), timeOf(time)]
    return on === null || at === null ? null : clock.dateTime(`${on}T${at}`)
  }
  const custom = (name: keyof SapS4Config['customFields'], row: unknown): { customFields?: CustomFields } => {
    const fields = Object.entries(config.customFields[name])
    if (fields.length === 0) return {}
    const values = row as Record<string, unknown>
    return {
      customFields: Object.fromEntries(
        fields.map(([ours, theirs]) => [ours, customValue(values[theirs])] as const),
      ),
    }
  }

  return {
    customer(row) {
      const parsed = partnerSchema.safeParse(row)
      if (!parsed.success) return broken('Customer', row, config.customerKey, parsed.error)
      const partner = parsed.data
      const { organization, channel, division } = config.salesArea
      const area = partner.to_Customer?.to_CustomerSalesArea.find(
        (one) =>
          one.SalesOrganization === organization &&
          one.DistributionChannel === channel &&
          one.Division === division,
      )
      const key = external(partner[config.customerKey] || partner.BusinessPartner)
      const number = external(partner.to_Customer?.Customer || key)
      if (number !== key) {
        const detail = `Customer ${number} is the partner ${key}: asked for by customerKey ${config.customerKey}, it is not found`
        return fail({ kind: 'invalid-response', detail })
      }
      const level = area?.CustomerABCClassification || null
      const [main] = partner.to_BusinessPartnerAddress
      const email = main?.to_EmailAddress.find((one) => one.IsDefaultEmailAddress) ?? main?.to_EmailAddress[0]
      const phone = main?.to_PhoneNumber.find((one) => one.IsDefaultPhoneNumber) ?? main?.to_PhoneNumber[0]
      const tax =
        config.taxTypes
          .map((type) => partner.to_BusinessPartnerTax.find((one) => one.BPTaxType === type))
          .find((one) => one !== undefined) ?? partner.to_BusinessPartnerTax[0]
      return ok({
        key,
        version: etagOf(row) ?? (partner.ETag || null),
        createdAt: stamp(partner.CreationDate, partner.CreationTime),
        updatedAt:
          stamp(partner.LastChangeDate, partner.LastChangeTime) ??
          stamp(partner.CreationDate, partner.CreationTime),
        ...custom('customer', row),
        name: partner.BusinessPartnerFullName || partner.OrganizationBPName1 || '',
        type: partnerType(partner.BusinessPartnerCategory),
        // Blocked as a whole; what is blocked of an area alone is told of the account.
        status:
          typeof partner.BusinessPartnerIsBlocked === 'boolean'
            ? partner.BusinessPartnerIsBlocked
              ? 'INACTIVE'
              : 'ACTIVE'
            : null,
        level: level === null ? null : ((config.levelCodes[level] ?? 'UNKNOWN') as CustomerLevel),
        vendorLevel: level,
        industry: partner.Industry || null,
        taxNumber: tax?.BPTaxLongNumber || tax?.BPTaxNumber || null,
        phone: phone?.InternationalPhoneNumber || phone?.PhoneNumber || null,
        email: email?.EmailAddress || null,
        addresses: partner.to_BusinessPartnerAddress.map(
          (address): Address => ({
            type: 'OFFICE',
            street: [address.StreetName, address.HouseNumber].filter(Boolean).join(' ') || null,
            city: address.CityName || null,
            province: address.Region || null,
            postalCode: address.PostalCode || null,
            country: address.Country || null,
          }),
        ),
        account: area
          ? {
              company: organization,
              salesArea: [organization, channel, division].join('/'),
              currency: area.Currency ? currencyOf(area.Currency) : null,
              creditLimit: null,
              balance: null,
              paymentTerms: area.CustomerPaymentTerms || null,
              blocked:
                partner.BusinessPartnerIsBlocked === true ||
                Boolean(partner.to_Customer?.OrderIsBlockedForCustomer) ||
                Boolean(area.OrderIsBlockedForCustomer),
            }
          : null,
      })
    },

    product(row) {
      const parsed = productSchema.safeParse(row)
      if (!parsed.success) return broken('Product', row, 'Product', parsed.error)
      const product = parsed.data
      const names = config.descriptionLanguages.flatMap(
        (language) =>
          product.to_Description.find((one) => one.Language === language)?.ProductDescription || [],
      )
      const key = external(product.Product)
      return ok({
        key,
        version: etagOf(row) ?? instantOf(product.LastChangeDateTime),
        updatedAt: instantOf(product.LastChangeDateTime),
        ...custom('product', row),
        sku: key,
        name: names[0] ?? (product.to_Description[0]?.ProductDescription || ''),
        foreignName: names[1] ?? null,
        barcode: product.ProductStandardID || null,
        unit: product.BaseUnit || null,
        units: product.to_ProductUnitsOfMeasure.flatMap((one) => productUnit(one, product.BaseUnit)),
        cost: costOf(product.to_Valuation),
        category: product.ProductGroup ? { key: product.ProductGroup } : null,
        active: typeof product.IsMarkedForDeletion === 'boolean' ? !product.IsMarkedForDeletion : null,
      })
    },

    inventoryLevels(rows) {
      const groups = new Map<Key, { rows: Map<string, StockRow>; failed?: Outcome<never> }>()
      for (const row of rows) {
        const material = rowKey(row, 'Material')
        if (material === undefined) continue
        const group = groups.get(material) ?? { rows: new Map<string, StockRow>() }
        groups.set(material, group)
        const parsed = stockSchema.safeParse(row)
        if (!parsed.success) group.failed = broken('Stock', row, 'Material', parsed.error)
        else group.rows.set(joinKey(STOCK_KEY.map((part) => String(parsed.data[part]))), parsed.data)
      }
      return new Map(
        [...groups].map(([material, group]) => [
          material,
          group.failed ?? levelsOf(material, [...group.rows.values()], quantity),
        ]),
      )
    },

    order(row) {
      const parsed = orderSchema.safeParse(row)
      if (!parsed.success) return broken('SalesOrder', row, 'SalesOrder', parsed.error)
      const order = parsed.data
      const key = external(order.SalesOrder)
      const own = (row as Record<string, unknown>)[config.externalReferenceField]
      const isOwnField = config.externalReferenceField !== 'PurchaseOrderByCustomer'
      // Where customers' own numbers stand, too, only our own form is taken for ours.
      const ours =
        typeof own === 'string' && own !== '' && (isOwnField || /^[0-9a-f]{32}$/.test(own)) ? own : null
      return ok({
        key,
        version: etagOf(row) ?? null,
        updatedAt: instantOf(order.LastChangeDateTime),
        ...custom('order', row),
        number: key,
        documentType: order.SalesOrderType || null,
        company: order.SalesOrganization || null,
        channel: order.DistributionChannel || null,
        customer: order.SoldToParty ? external(order.SoldToParty) : null,
        customerReference: ours !== null && !isOwnField ? null : order.PurchaseOrderByCustomer || null,
        externalReference: ours,
        orderDate: dayOf(order.SalesOrderDate),
        dueDate: dayOf(order.RequestedDeliveryDate),
        status: orderStatus(order, config.statusCodes),
        vendorStatus: vendorStatus(order),
        approvalStatus: approvalOf(order.SalesDocApprovalStatus),
        fulfilmentStatus: subStatus(order.OverallTotalDeliveryStatus),
        billingStatus: subStatus(order.OverallOrdReltdBillgStatus),
        holds: holdsOf(order),
        shipTo: partyOf(order, 'SH'),
        billTo: partyOf(order, 'BP'),
        payer: partyOf(order, 'PY'),
        payment:
          order.CustomerPaymentTerms || order.PaymentMethod
            ? { terms: order.CustomerPaymentTerms || null, method: order.PaymentMethod || null }
            : null,
        precededBy: precedingOf(order),
        createdBy: order.CreatedByUser || null,
        totals: { net: money(order.TotalNetAmount, order.TransactionCurrency) },
        comments: textOf(order.to_Text, config.textType),
        lines: order.to_Item.map((item, at) => orderLine(item, order, itemRow(row, at))),
      })
    },

    delivery(row) {
      const parsed = deliverySchema.safeParse(row)
      if (!parsed.success) return broken('DeliveryDocument', row, 'DeliveryDocument', parsed.error)
      const delivery = parsed.data
      const items = delivery.to_DeliveryDocumentItem
      const orderOf = (item: (typeof items)[number]) =>
        // Deliveries also follow stock transport orders and returns; C is a sales order.
        item.ReferenceSDDocument && (item.ReferenceSDDocumentCategory || 'C') === 'C'
          ? external(item.ReferenceSDDocument)
          : null
      const key = external(delivery.DeliveryDocument)
      return ok({
        key,
        version: etagOf(row) ?? null,
        createdAt: stamp(delivery.CreationDate, delivery.CreationTime),
        ...custom('delivery', row),
        number: key,
        customer: delivery.SoldToParty ? external(delivery.SoldToParty) : null,
        shipTo: delivery.ShipToParty ? { key: external(delivery.ShipToParty) } : null,
        orders: [...new Set(items.map(orderOf))].filter((order) => order !== null),
        date: dayOf(delivery.ActualGoodsMovementDate) ?? dayOf(delivery.DocumentDate),
        status: deliveryStatus(delivery.OverallSDProcessStatus),
        vendorStatus: `${delivery.OverallSDProcessStatus ?? ''} GoodsMovement=${delivery.OverallGoodsMovementStatus ?? ''}`,
        // Without quantity: the head of a line that was split by batch.
        lines: items.map((item) => ({
          id: external(item.DeliveryDocumentItem),
          product: item.Material ? external(item.Material) : null,
          description: item.DeliveryDocumentItemText || null,
          quantity: quantity(item.ActualDeliveryQuantity, item.DeliveryQuantityUnit),
          warehouse: warehouseOf(item.Plant, item.StorageLocation),
          order: orderOf(item),
          orderLine:
            orderOf(item) !== null && item.ReferenceSDDocumentItem
              ? external(item.ReferenceSDDocumentItem)
              : null,
        })),
      })
    },

    invoice(row) {
      const parsed = billingSchema.safeParse(row)
      if (!parsed.success) return broken('BillingDocument', row, 'BillingDocument', parsed.error)
      const document = parsed.data
      const key = external(document.BillingDocument)
      const currency = document.TransactionCurrency
      return ok({
        key,
        version: etagOf(row) ?? null,
        updatedAt: instantOf(document.LastChangeDateTime),
        ...custom('invoice', row),
        number: key,
        type: invoiceType(document.SDDocumentCategory, document.BillingDocumentType),
        customer: document.SoldToParty ? external(document.SoldToParty) : null,
        orderNumbers: [...new Set(document.to_Item.map((item) => external(item.SalesDocument ?? '')))].filter(
          (number) => number !== '',
        ),
        issueDate: dayOf(document.BillingDocumentDate),
        dueDate: null, // that of the accounting document
        status: document.BillingDocumentIsCancelled
          ? 'CANCELLED'
          : clearingStatus(document.InvoiceClearingStatus),
        vendorStatus: `${document.InvoiceClearingStatus ?? ''} Posting=${document.AccountingPostingStatus ?? ''}`,
        totals: {
          net: money(document.TotalNetAmount, currency),
          tax: money(document.TaxAmount, currency),
          gross: money(document.TotalGrossAmount, currency),
        },
        paid: null,
        open: null,
        // Its "gross amount" is the value before discounts, without tax: not what is gross here.
        lines: document.to_Item.map((item) => ({
          id: external(item.BillingDocumentItem ?? ''),
          product: item.Material ? external(item.Material) : null,
          description: item.BillingDocumentItemText || null,
          quantity: item.BillingQuantity ? quantity(item.BillingQuantity, item.BillingQuantityUnit) : null,
          net: money(item.NetAmount, item.TransactionCurrency || currency),
          tax: money(item.TaxAmount, item.TransactionCurrency || currency),
          orderNumber: item.SalesDocument ? external(item.SalesDocument) : null,
        })),
      })
    },
  }

  /** Of so many of the other unit so many base units: the vendor's names are the other way round. */
  function productUnit(unit: z.infer<typeof unitSchema>, base: string | null | undefined): ProductUnit[] {
    const { AlternativeUnit: vendorUnit, QuantityNumerator, QuantityDenominator } = unit
    if (!vendorUnit || vendorUnit === base || !QuantityNumerator || !QuantityDenominator) return []
    const [numerator, denominator] = [plain(QuantityDenominator), plain(QuantityNumerator)]
    return [{ unit: config.unitCodes[vendorUnit] ?? null, vendorUnit, numerator, denominator }]
  }

  /** Of one base unit, in the plant of new orders: at the standard price (S) or the moving average (V). */
  function costOf(valuations: readonly z.infer<typeof valuationSchema>[]): Money | null {
    const one = valuations.find((one) => one.ValuationArea === config.defaults.plant && !one.ValuationType)
    if (!one) return null
    const isAverage = one.InventoryValuationProcedure === 'V'
    const price = isAverage ? one.MovingAveragePrice : one.StandardPrice
    const per = new Big(one.PriceUnitQty || '1')
    if (!price || per.lte(0)) return null
    return money(per.eq(1) ? price : plain(new Big(price).div(per).toString()), one.Currency)
  }

  function textOf(texts: readonly z.infer<typeof textSchema>[], type: string): string | null {
    const found = texts.find((one) => one.LongTextID === type && one.Language === config.textLanguage)
    return found?.LongText || null
  }

  function orderLine(
    item: z.infer<typeof itemSchema>,
    order: z.infer<typeof orderSchema>,
    row: unknown,
  ): OrderLine {
    const currency = item.TransactionCurrency || order.TransactionCurrency
    const unit = item.RequestedQuantityUnit
    const id = external(item.SalesOrderItem)
    const product = item.Material ? external(item.Material) : null
    const rejected = Boolean(item.SalesDocumentRjcnReason)
    // Delivered is told by schedule line, of which an item has as many as delivery dates.
    const delivered = item.to_ScheduleLine.length
      ? item.to_ScheduleLine
          .reduce((sum, line) => sum.plus(line.DeliveredQtyInOrderQtyUnit ?? '0'), new Big(0))
          .toString()
      : null
    const open = delivered === null ? null : new Big(item.RequestedQuantity).minus(delivered)
    const active = item.to_PricingElement.filter((one) => !one.ConditionInactiveReason)
    const price = active.find((one) => one.ConditionType === config.priceCondition)
    const discount = active.find((one) => one.ConditionType === config.discountCondition)
    return {
      id,
      lineNumber: id,
      product,
      sku: product,
      description: item.SalesOrderItemText || null,
      ordered: quantity(item.RequestedQuantity, unit),
      confirmed: item.ConfdDelivQtyInOrderQtyUnit ? quantity(item.ConfdDelivQtyInOrderQtyUnit, unit) : null,
      delivered: delivered === null ? null : quantity(delivered, unit),
      open: rejected
        ? quantity('0', unit)
        : open === null
          ? null
          : quantity(open.lt(0) ? '0' : open.toString(), unit),
      unitPrice: price ? unitPrice(price) : null,
      // A discount is a condition of less than nothing.
      discountPercent: discount?.ConditionRateValue
        ? plain(new Big(discount.ConditionRateValue).times(-1).toString())
        : null,
      net: money(item.NetAmount, currency),
      tax: money(item.TaxAmount, currency),
      warehouse: warehouseOf(item.ProductionPlant, item.StorageLocation),
      status: rejected || item.SDProcessStatus === 'C' ? 'CLOSED' : 'OPEN',
      ...(config.itemTextType === null ? {} : { comments: textOf(item.to_Text, config.itemTextType) }),
      ...custom('orderLine', row),
    }
  }

  function unitPrice(condition: z.infer<typeof conditionSchema>): UnitPrice | null {
    const rate = condition.ConditionRateValue
    const amount = money(rate ? plain(rate) : null, condition.ConditionCurrency)
    return amount && { amount, per: plain(condition.ConditionQuantity || '1'), taxIncluded: false }
  }
}

function levelsOf(
  material: string,
  rows: readonly StockRow[],
  quantity: (value: Decimal, unit: string | null | undefined) => Quantity,
): Outcome<readonly InventoryLevel[]> {
  const places = new Map<Key, { sum: Big; unit: string | null }>()
  for (const row of rows) {
    const place = joinKey([row.Plant, row.StorageLocation])
    const before = places.get(place)
    const unit = row.MaterialBaseUnit || null
    if (before && before.unit !== unit) {
      return fail({ kind: 'invalid-response', detail: `Stock ${material}: ${place} has two units` })
    }
    places.set(place, { sum: (before?.sum ?? new Big(0)).plus(row.MatlWrhsStkQtyInMatlBaseUnit), unit })
  }
  const product = external(material)
  const levels = [...places].map(([warehouse, { sum, unit }]): InventoryLevel => {
    const onHand = quantity(sum.toString(), unit)
    return {
      key: joinKey([product, warehouse]),
      product,
      warehouse,
      onHand,
      reserved: null,
      available: null,
      incoming: null,
    }
  })
  return ok(levels.sort((a, b) => (a.warehouse < b.warehouse ? -1 : a.warehouse > b.warehouse ? 1 : 0)))
}

/** Zeros behind the last digit are the vendor's width of field, not a statement. */
export const plain = (value: Decimal): Decimal => (value.includes('.') ? value.replace(/\.?0+$/, '') : value)

export function warehouseOf(
  plant: string | null | undefined,
  location: string | null | undefined,
): Key | null {
  return plant ? joinKey([plant, location ?? '']) : null
}

/** 1 person, 2 organisation, 3 group. Whether it is a customer stands elsewhere: it has a number as one. */
function partnerType(category: string | null | undefined): Customer['type'] {
  return category === '1' ? 'INDIVIDUAL' : category === '2' ? 'COMPANY' : null
}

function subStatus(letter: string | null | undefined): SubStatus | null {
  switch (letter) {
    case 'A':
      return 'NONE'
    case 'B':
      return 'PARTIAL'
    case 'C':
      return 'COMPLETE'
    case '':
      return 'NOT_RELEVANT'
    default:
      return null
  }
}

function orderStatus(
  order: z.infer<typeof orderSchema>,
  own: Readonly<Partial<Record<string, OrderStatus>>>,
): OrderStatus {
  if (order.OverallSDDocumentRejectionSts === 'C') return 'CANCELLED'
  const process = order.OverallSDProcessStatus ?? ''
  if (process !== 'C' && order.SalesDocApprovalStatus === 'A') return 'PENDING_APPROVAL'
  const configured = own[process]
  if (configured) return configured
  switch (process) {
    case 'A':
      return 'CONFIRMED'
    case 'B':
      return 'IN_PROGRESS'
    case 'C':
      return order.OverallTotalDeliveryStatus === 'C' ? 'DELIVERED' : 'CLOSED'
    default:
      return 'UNKNOWN'
  }
}

/** In approval, or nothing to approve; what the other letters mean is not documented. */
function approvalOf(letter: string | null | undefined): ApprovalStatus | null {
  if (letter === null || letter === undefined) return null
  return letter === '' ? 'NOT_REQUIRED' : letter === 'A' ? 'PENDING' : 'UNKNOWN'
}

/** Blocks for delivery and billing, and a credit check that was not passed (`B`); null where none of them is told. */
function holdsOf(order: z.infer<typeof orderSchema>): Hold[] | null {
  const { DeliveryBlockReason, HeaderBillingBlockReason, TotalCreditCheckStatus, TotalBlockStatus } = order
  const told = [DeliveryBlockReason, HeaderBillingBlockReason, TotalCreditCheckStatus, TotalBlockStatus]
  if (told.every((one) => one === null || one === undefined)) return null
  const blocks: Hold[] = [
    ...(DeliveryBlockReason ? [{ type: 'DELIVERY' as const, code: DeliveryBlockReason }] : []),
    ...(HeaderBillingBlockReason ? [{ type: 'BILLING' as const, code: HeaderBillingBlockReason }] : []),
  ]
  // Blocked in part or altogether without a reason at the head: it stands at an item.
  if (blocks.length === 0 && (TotalBlockStatus === 'B' || TotalBlockStatus === 'C')) {
    blocks.push({ type: 'OTHER', code: TotalBlockStatus })
  }
  return TotalCreditCheckStatus === 'B' ? [...blocks, { type: 'CREDIT', code: 'B' }] : blocks
}

/** Functions as the service shows them in English; inside they are WE, RE and RG, which some releases show. */
const FUNCTIONS = { SH: ['SH', 'WE'], BP: ['BP', 'RE'], PY: ['PY', 'RG'] } as const

function partyOf(order: z.infer<typeof orderSchema>, function_: keyof typeof FUNCTIONS): Party | null {
  const names: readonly (string | null | undefined)[] = FUNCTIONS[function_]
  const party = order.to_Partner.find((one) => names.includes(one.PartnerFunction))
  if (!party) return null
  const [address] = party.to_Address
  return {
    key: party.Customer ? external(party.Customer) : null,
    ...(address
      ? {
          name: address.OrganizationName1 || address.AddresseeFullName || null,
          phone: address.PhoneNumber || null,
          email: address.EmailAddress || null,
          address: {
            street: [address.StreetName, address.HouseNumber].filter(Boolean).join(' ') || null,
            city: address.CityName || null,
            province: address.Region || null,
            postalCode: address.PostalCode || null,
            country: address.Country || null,
          },
        }
      : {}),
  }
}

/** Categories of SD documents: B quotation, C order, G contract. */
function precedingOf({
  ReferenceSDDocument: number,
  ReferenceSDDocumentCategory: category,
}: z.infer<typeof orderSchema>): Reference[] | null {
  if (number === null || number === undefined) return null
  if (number === '') return []
  const types: Readonly<Record<string, Reference['type']>> = { B: 'QUOTATION', C: 'ORDER', G: 'CONTRACT' }
  return [{ type: types[category ?? ''] ?? 'OTHER', number: external(number), vendorType: category || null }]
}

/** An item as the vendor sent it, with the fields that only the configuration knows. */
function itemRow(order: unknown, at: number): unknown {
  const { to_Item: items } = order as { to_Item?: readonly unknown[] | { results?: readonly unknown[] } }
  return (
    (Array.isArray(items) ? items : (items as { results?: readonly unknown[] } | undefined)?.results)?.[at] ??
    {}
  )
}

/** For example `B Delivery=B Rejection=A Approval= Credit= Block=`. */
function vendorStatus(order: z.infer<typeof orderSchema>): string {
  return [
    order.OverallSDProcessStatus ?? '',
    `Delivery=${order.OverallTotalDeliveryStatus ?? ''}`,
    `Rejection=${order.OverallSDDocumentRejectionSts ?? ''}`,
    `Approval=${order.SalesDocApprovalStatus ?? ''}`,
    `Credit=${order.TotalCreditCheckStatus ?? ''}`,
    `Block=${order.DeliveryBlockReason ?? ''}`,
  ].join(' ')
}

/** Open until it is billed, too, where it is to be billed. */
function deliveryStatus(process: string | null | undefined): Delivery['status'] {
  if (process === 'C') return 'CLOSED'
  return process === 'A' || process === 'B' ? 'OPEN' : 'UNKNOWN'
}

function clearingStatus(letter: string | null | undefined): Invoice['status'] {
  if (letter === 'C') return 'PAID'
  if (letter === 'B') return 'PARTIALLY_PAID'
  return letter === 'A' ? 'OPEN' : 'UNKNOWN'
}

/** Category of the SD document; a down payment has the category of an invoice and a type of its own. */
function invoiceType(category: string | null | undefined, type: string | null | undefined): Invoice['type'] {
  if (type === 'FAZ') return 'DOWN_PAYMENT'
  switch (category) {
    case 'M':
    case 'P': // debit memo
      return 'STANDARD'
    case 'O':
      return 'CREDIT_NOTE'
    case 'N':
    case 'S':
      return 'CANCELLATION'
    case 'U':
      return 'PRO_FORMA'
    default:
      return 'UNKNOWN'
  }
}

function customValue(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value !== 'string') return typeof value === 'boolean' ? String(value) : JSON.stringify(value)
  if (!isDate(value)) return value
  return /[+-]\d+\)\/$/.test(value) ? instantOf(value) : dayOf(value)
}

function etagOf(row: unknown): string | undefined {
  const parsed = z.object({ __metadata: z.object({ etag: z.string().min(1) }) }).safeParse(row)
  return parsed.success ? parsed.data.__metadata.etag : undefined
}

function broken(type: string, row: unknown, keyField: string, error: z.ZodError): Outcome<never> {
  const key = rowKey(row, keyField) ?? 'without a key'
  return fail({ kind: 'invalid-response', detail: `${type} ${key}: ${z.prettifyError(error)}` })
}

/** Whether a business partner is a customer: it has a number as one, or what is kept of it as one. */
export function isCustomer(row: unknown): boolean {
  const { Customer, to_Customer } = (row ?? {}) as { Customer?: unknown; to_Customer?: unknown }
  if (typeof Customer === 'string' && Customer !== '') return true
  return typeof to_Customer === 'object' && to_Customer !== null && !('__deferred' in to_Customer)
}

/** The key of a row that may be broken otherwise, as the outside knows it. */
export function rowKey(row: unknown, field: string): string | undefined {
  const key = typeof row === 'object' && row !== null ? (row as Record<string, unknown>)[field] : undefined
  return typeof key === 'string' && key !== '' ? external(key) : undefined
}
