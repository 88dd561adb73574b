import { z } from 'zod'
import {
  codes,
  customFields,
  envelope,
  name,
  paging,
  path,
  readingSettings,
  restSettings,
  unitCodes,
} from '../kit/rest/settings.ts'
import { ORDER_STATUSES } from '../records.ts'

const optional = (what: string) => z.string().min(1).optional().describe(what)

const customerFields = z.strictObject({
  id: name('externalId', 'Key of the customer'),
  name: name('name', 'Name'),
  code: name('code', 'Number that people use'),
  type: name('type', '`company` or `individual`'),
  legalName: name('companyInfo.legalName', 'Name as registered'),
  registeredAddress: name('companyInfo.registeredAddress', 'Address as registered, in one line'),
  parent: optional('Key of the customer that it belongs to, where the ERP keeps such'),
  taxNumber: name('companyInfo.taxNumber', 'Tax number; other systems recognise the customer by it'),
  industry: name('companyInfo.industry', 'Industry'),
  phone: optional('Telephone of the customer itself, where the ERP keeps one beside those of the contacts'),
  email: optional('The same for the e-mail address'),
  contacts: name('contacts', 'List of `{name, title, phone, email, isPrimary}`'),
  addresses: name(
    'addresses',
    'List of `{type, address, city, province, postalCode, country, isDefault}`; type: billing, shipping, office',
  ),
  currency: name('financialInfo.currency', 'Currency of the account'),
  creditLimit: name('financialInfo.creditLimit', 'Credit limit, in that currency'),
  paymentTerms: name('financialInfo.paymentTerms', 'Terms of payment'),
  status: name('metadata.status', 'Status'),
  tags: name('metadata.tags', 'List of tags'),
  externalRef: name(
    'metadata.customFields.externalRef',
    'Receives the reference by which a lost answer is looked up',
  ),
  createdAt: name('metadata.createdAt', 'Date and time of creation'),
  updatedAt: name('metadata.updatedAt', 'Date and time of the last change'),
  revision: name('metadata.revision', 'Mark that changes with every change'),
})

const productFields = z.strictObject({
  id: name('externalId', 'Key of the product'),
  sku: name('sku', 'Number that people use'),
  name: name('name', 'Name'),
  barcode: name('barcode', 'Bar code; other systems recognise the product by it'),
  description: name('description', 'Description'),
  category: name('category', 'Category: `{id, name, path}`'),
  specifications: name('specifications', 'List of `{key, value, unit}`'),
  price: name('pricing.standardPrice', 'List price'),
  cost: name('pricing.costPrice', 'What it cost the company'),
  currency: name('pricing.currency', 'Currency of both'),
  taxRate: name('pricing.taxRate', 'Tax rate'),
  unit: name('inventory.unit', 'Unit of the stock figures'),
  minOrder: name('inventory.minOrderQuantity', 'The least that may be ordered at once, in that unit'),
  maxOrder: name('inventory.maxOrderQuantity', 'The most that may be ordered at once, in that unit'),
  supplier: name('supplier', 'Who it is bought from: `{id, name, leadTime}`, the time in days'),
  images: name('media.images', 'Addresses of pictures'),
  videos: name('media.videos', 'Addresses of films'),
  documents: name('media.documents', 'Addresses of documents'),
  status: name('metadata.status', '`active`, `inactive` or `discontinued`'),
  tags: name('metadata.tags', 'List of tags'),
  createdAt: name('metadata.createdAt', 'Date and time of creation'),
  updatedAt: name('metadata.updatedAt', 'Date and time of the last change'),
})

const orderFields = z.strictObject({
  id: name('externalId', 'Key of the order'),
  number: name('orderNumber', 'Number that people use'),
  type: name('orderType', '`sales`; others are passed over'),
  customer: name('customer.id', 'Key of the customer'),
  customerName: name('customer.name', 'Name of the customer'),
  customerCode: name('customer.code', 'Number of the customer that people use; sent only'),
  customerReference: name('references.customerReference', "The customer's own number of the order"),
  externalRef: name('references.externalRef', 'Receives the reference by which a lost answer is looked up'),
  orderDate: name('orderDate', 'Day of the order'),
  dueDate: name('delivery.expectedDate', 'Day on which it is wanted'),
  deliveredOn: name('delivery.actualDate', 'Day on which it arrived'),
  trackingNumber: name(
    'delivery.trackingNumber',
    'Number under which the carrier knows it, or a list of such',
  ),
  recipient: optional('Who receives the goods; `extended`: delivery.recipient'),
  recipientPhone: optional('Telephone of the recipient; `extended`: delivery.phone'),
  street: name('delivery.address', 'Where the goods go: street and number'),
  city: name('delivery.city', 'City'),
  province: name('delivery.province', 'Province or state'),
  postalCode: name('delivery.postalCode', 'Postal code'),
  country: optional('Country; `extended`: delivery.country'),
  paymentMethod: name('payment.method', 'How it is to be paid'),
  paymentTerms: name('payment.terms', 'Terms of payment'),
  paymentDue: name('payment.dueDate', 'Day on which it is to be paid'),
  paid: name('payment.paidAmount', 'What of it was paid'),
  paidOn: name('payment.paidDate', 'When it was paid'),
  proposal: name('references.proposalId', 'Number of the proposal that it was made from'),
  quotation: name('references.quotationId', 'Number of the quotation'),
  contract: name('references.contractId', 'Number of the contract'),
  status: name('status.code', 'Status'),
  statusSince: name('status.updatedAt', 'Since when it has that status'),
  net: name('amounts.subtotal', 'Net total'),
  tax: name('amounts.taxAmount', 'Tax'),
  gross: name('amounts.totalAmount', 'Gross total'),
  discount: name('amounts.discountAmount', 'Discount on the whole'),
  freight: name('amounts.shippingAmount', 'Freight'),
  currency: name('amounts.currency', 'Currency of the order'),
  comments: name('metadata.notes', 'Free text'),
  createdBy: name('metadata.createdBy', 'Who entered it; receives the one who asked'),
  items: name('items', 'The lines'),
  createdAt: name('metadata.createdAt', 'Date and time of creation'),
  updatedAt: name('metadata.updatedAt', 'Date and time of the last change'),
  revision: name('metadata.revision', 'Mark that changes with every change'),
})

const lineFields = z.strictObject({
  number: name('lineNumber', 'Number of the line'),
  product: name('product.id', 'Key of the product'),
  sku: name('product.sku', 'Number of the product that people use'),
  description: name('product.name', 'Name of the product'),
  quantity: name('quantity', 'Quantity'),
  unit: name('unit', 'Unit of the quantity'),
  unitPrice: name('unitPrice', 'Price of one unit'),
  discount: name('discount', 'Discount, in per cent'),
  taxRate: name('taxRate', 'Tax rate'),
  comments: name('notes', 'Free text'),
  net: name('subtotal', 'Net total of the line'),
  warehouse: name('warehouse', 'Key of the warehouse'),
})

/** What the system is known to keep: which parameters may be sent, and what a silence proves. */
export const CONTRACTS = ['extended', 'standard', 'plain'] as const

/** What an ERP of the kind `rest-erp` needs to be told. The defaults are the standard interface. */
export const restErpConfig = z.strictObject({
  ...restSettings('ERP'),
  contract: z
    .enum(CONTRACTS)
    .default('standard')
    .describe(
      '`standard`: the interface to the letter; `extended`: also lists of orders, and the parameters ids, after, ' +
        'search, customerIds, orderNumbers, externalRef and If-Match; `plain`: only /orders/ID and /products/ID, ' +
        'without an envelope',
    ),
  ...readingSettings('ERP'),
  envelope: envelope
    .optional()
    .describe('What stands around the data; default: `plain` has nothing, the others `success`'),
  paging: paging.optional().describe('Default: `after` with `extended`, else `page`'),
  timeline: z
    .boolean()
    .default(false)
    .describe('Ask for the timeline of every order that is read: one more call for each'),
  pricesIncludeTax: z.boolean().default(false).describe('Unit prices are gross'),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'is no ISO 4217 code')
    .optional()
    .describe('Currency of amounts that come without one; absent: they are left out'),
  warehouses: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Keys of the warehouses whose stock `product.inventory.changed` may be about: the event names only the product',
    ),
  wholeStock: name('ALL', 'Key of the warehouse that stands for all, where stock is not told by warehouse'),
  taxRates: z
    .enum(['percent', 'fraction'])
    .default('percent')
    .describe('How tax rates are written: `percent` 13, `fraction` 0.13'),
  nestedUpdates: z
    .enum(['whole', 'merged'])
    .optional()
    .describe(
      'What a PUT of `{companyInfo: {industry}}` means: `whole` replaces companyInfo, so that the rest of it is read ' +
        'before and sent along (default); `merged` leaves the rest as it is (default of `extended`)',
    ),
  newOrders: z
    .enum(['whole', 'given'])
    .optional()
    .describe(
      'What a new order says: `whole`, also names, units and, where every price is given, amounts, for which customer ' +
        'and products are read before (default of `standard`); `given`, what the caller gives (default of `extended`)',
    ),
  only: z
    .strictObject({
      customers: z.strictObject({ status: optional('Only customers of this status') }).prefault({}),
      products: z
        .strictObject({
          status: optional('Only products of this status'),
          category: optional('Only products of this category'),
        })
        .prefault({}),
    })
    .prefault({})
    .describe('What is listed and polled, by the parameters `status` and `category`; by key all can be read'),
  unitCodes,
  customerStatuses: codes(
    ['ACTIVE', 'INACTIVE'],
    'What a status of a customer means, besides active and inactive',
  ),
  productStatuses: codes(
    ['ACTIVE', 'INACTIVE', 'DISCONTINUED'],
    'What a status of a product means, besides active, inactive and discontinued',
  ),
  orderStatuses: codes(
    ORDER_STATUSES,
    'What a status of an order means, besides CREATED, CONFIRMED, PROCESSING, SHIPPED, DELIVERED, CANCELLED',
  ),
  statusCodes: z
    .strictObject({
      confirm: name('CONFIRMED', 'Sets an order in force'),
      process: name('PROCESSING', 'Takes it up'),
      ship: name('SHIPPED', 'Reports it as sent'),
      deliver: name('DELIVERED', 'Reports it as arrived'),
      cancel: name('CANCELLED', 'Cancels it'),
    })
    .prefault({})
    .describe('The status that each action sets'),
  customerDefaults: z
    .record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()]))
    .default({ type: 'company' })
    .describe(
      'Fields of new customers that callers do not give, for example `metadata.status`; dots lead inwards',
    ),
  orderDefaults: z
    .record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .describe(
      'Fields of new orders that callers do not give, for example `payment.terms`; dots lead inwards',
    ),
  lineDefaults: z
    .record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .describe('The same for their lines, for example `taxRate`'),
  paths: z
    .strictObject({
      customers: path('/erp/customers', 'Customers; one of them is at /ID below it'),
      products: path('/erp/products', 'Products; /ID/inventory below it. `plain`: /api/products'),
      orders: path('/erp/orders', 'Orders; /ID/status below it. `plain`: /api/orders'),
      webhooks: path('/erp/webhooks', 'Where webhooks are registered'),
    })
    .prefault({})
    .describe('Where the ERP keeps what'),
  fields: z
    .strictObject({
      customer: customerFields.prefault({}).describe('Names in a customer'),
      product: productFields.prefault({}).describe('Names in a product'),
      order: orderFields.prefault({}).describe('Names in an order'),
      line: lineFields.prefault({}).describe('Names in a line of an order'),
    })
    .prefault({})
    .describe('How the ERP names its fields; dots lead inwards'),
  customFields: z
    .strictObject({
      customer: customFields('a customer, also when one is created or changed'),
      product: customFields('a product'),
      order: customFields('an order, also when one is created or changed'),
      line: customFields('a line of an order, also when one is created'),
    })
    .prefault({})
    .describe("The company's own fields"),
})

export type RestErpConfig = z.infer<typeof restErpConfig>

/** Seed 000 names it so; the rest is as in the standard interface. */
const PLAIN = {
  paths: { products: '/api/products', orders: '/api/orders' },
  fields: {
    product: { id: 'productId', sku: 'productCode', name: 'productName', unit: 'unit', status: 'status' },
    order: {
      id: 'orderId',
      number: 'orderNo',
      customer: 'customerId',
      customerName: 'customerName',
      orderDate: 'createDate',
      createdAt: 'createDate',
      status: 'status',
      gross: 'totalAmount',
      currency: 'currency',
      items: 'orderItems',
    },
    line: { number: 'itemId', product: 'productId', description: 'productName', net: 'totalPrice' },
  },
}

/** What the extended contract has beside the seed's names. */
const EXTENDED = {
  fields: {
    order: {
      recipient: 'delivery.recipient',
      recipientPhone: 'delivery.phone',
      country: 'delivery.country',
    },
  },
}

/** The configured names; with the contract `plain`, those that are still the standard's are its own. */
export function namesOf({ contract, paths, fields }: RestErpConfig): Pick<RestErpConfig, 'paths' | 'fields'> {
  if (contract === 'extended') {
    return { paths, fields: { ...fields, order: withDefaults(EXTENDED.fields.order, fields.order) } }
  }
  if (contract === 'standard') return { paths, fields }
  const standard = restErpConfig.pick({ paths: true, fields: true }).parse({})
  const replaced = <N extends Record<string, string | undefined>>(
    given: N,
    defaults: N,
    plain: Partial<Record<string, string>>,
  ): N =>
    Object.fromEntries(
      Object.entries(given).map(([ours, theirs]) => [
        ours,
        theirs === defaults[ours] ? (plain[ours] ?? theirs) : theirs,
      ]),
    ) as N
  return {
    paths: replaced(paths, standard.paths, PLAIN.paths),
    fields: {
      customer: fields.customer,
      product: replaced(fields.product, standard.fields.product, PLAIN.fields.product),
      order: replaced(fields.order, standard.fields.order, PLAIN.fields.order),
      line: replaced(fields.line, standard.fields.line, PLAIN.fields.line),
    },
  }
}

const withDefaults = <N extends object>(defaults: Partial<N>, given: N): N => ({ ...defaults, ...given })
