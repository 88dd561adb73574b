import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import {
  authBy,
  codes,
  customFields,
  name,
  path,
  restSettings,
  unitCodes,
  webhookBy,
} from '../kit/rest/settings.ts'

const auth = z.discriminatedUnion('type', [authBy.bearer, authBy.basic, authBy.apiKey, authBy.signature])

const webhook = z.discriminatedUnion('profile', [webhookBy.standard, webhookBy.body, webhookBy.signature])

const optional = (what: string) => z.string().min(1).optional().describe(what)

const customerFields = z.strictObject({
  id: name('externalId', 'Key of the customer'),
  name: name('name', 'Name'),
  code: name('code', 'Number that people use'),
  type: name('type', '`company` or `individual`'),
  taxNumber: name('companyInfo.taxNumber', 'Tax number; other systems recognise the customer by it'),
  industry: name('companyInfo.industry', 'Industry'),
  phone: optional('Telephone of the customer itself, where the ERP keeps one beside those of the contacts'),
  email: optional('The same for the e-mail address'),
  contacts: name('contacts', 'List of `{name, title, phone, email, isPrimary}`'),
  addresses: name('addresses', 'List of `{type, address, city, province, postalCode, country}`'),
  currency: name('financialInfo.currency', 'Currency of the account'),
  creditLimit: name('financialInfo.creditLimit', 'Credit limit, in that currency'),
  paymentTerms: name('financialInfo.paymentTerms', 'Terms of payment'),
  createdAt: name('metadata.createdAt', 'Date and time of creation'),
  updatedAt: name('metadata.updatedAt', 'Date and time of the last change'),
  revision: name('metadata.revision', 'Mark that changes with every change'),
})

const productFields = z.strictObject({
  id: name('externalId', 'Key of the product'),
  sku: name('sku', 'Number that people use'),
  name: name('name', 'Name'),
  barcode: name('barcode', 'Bar code; other systems recognise the product by it'),
  unit: name('inventory.unit', 'Unit of the stock figures'),
  status: name('metadata.status', '`active`; anything else may not be sold any more'),
  createdAt: name('metadata.createdAt', 'Date and time of creation'),
  updatedAt: name('metadata.updatedAt', 'Date and time of the last change'),
})

const orderFields = z.strictObject({
  id: name('externalId', 'Key of the order'),
  number: name('orderNumber', 'Number that people use'),
  type: name('orderType', '`sales`; others are passed over'),
  customer: name('customer.id', 'Key of the customer'),
  customerName: name('customer.name', 'Name of the customer'),
  customerReference: name('references.customerReference', "The customer's own number of the order"),
  externalRef: name('references.externalRef', 'Receives the reference by which a lost answer is looked up'),
  orderDate: name('orderDate', 'Day of the order'),
  dueDate: name('delivery.expectedDate', 'Day on which it is wanted'),
  status: name('status.code', 'Status'),
  net: name('amounts.subtotal', 'Net total'),
  tax: name('amounts.taxAmount', 'Tax'),
  gross: name('amounts.totalAmount', 'Gross total'),
  discount: name('amounts.discountAmount', 'Discount on the whole'),
  freight: name('amounts.shippingAmount', 'Freight'),
  currency: name('amounts.currency', 'Currency of the order'),
  comments: name('metadata.notes', 'Free text'),
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
  net: name('subtotal', 'Net total of the line'),
  warehouse: name('warehouse', 'Key of the warehouse'),
})

/** What the system is known to keep: which parameters may be sent, and what a silence proves. */
export const CONTRACTS = ['extended', 'standard', 'plain'] as const

/** What an ERP of the kind `rest-erp` needs to be told. The defaults are the standard interface. */
export const restErpConfig = z.strictObject({
  ...restSettings('ERP'),
  auth: auth.describe('How the gateway makes itself known'),
  webhook: webhook
    .optional()
    .describe('The ERP sends signed events; without this only polling finds changes'),
  contract: z
    .enum(CONTRACTS)
    .default('standard')
    .describe(
      '`standard`: the interface to the letter; `extended`: also lists of orders, and the parameters ids, after, ' +
        'search, customerIds, orderNumbers, externalRef and If-Match; `plain`: only /orders/ID and /products/ID, ' +
        'without an envelope',
    ),
  batchLimit: z
    .int()
    .min(1)
    .max(1000)
    .default(100)
    .describe('Most keys in one parameter; `extended` only, else each record is read by its own path'),
  overlapSeconds: z
    .int()
    .min(0)
    .max(3600)
    .default(10)
    .describe('Polling looks back this far, for changes that became visible late'),
  timeZone: z
    .string()
    .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
    .default('UTC')
    .describe('Time zone of date-times that the ERP gives without an offset'),
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
  wholeStock: name('ALL', 'Key of the warehouse that stands for all, where stock is not told by warehouse'),
  unitCodes,
  orderStatuses: codes(
    [
      'DRAFT',
      'NEW',
      'PENDING_APPROVAL',
      'CONFIRMED',
      'IN_PROGRESS',
      'SHIPPED',
      'DELIVERED',
      'CLOSED',
      'CANCELLED',
    ],
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
      customer: customFields('a customer'),
      product: customFields('a product'),
      order: customFields('an order, also when one is created or changed'),
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

/** The configured names; with the contract `plain`, those that are still the standard's are its own. */
export function namesOf({ contract, paths, fields }: RestErpConfig): Pick<RestErpConfig, 'paths' | 'fields'> {
  if (contract !== 'plain') return { paths, fields }
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
