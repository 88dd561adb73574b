import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import { ORDER_STATUSES } from '../records.ts'

const currency = z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
const name = (standard: string, what: string) => z.string().min(1).default(standard).describe(what)
const nameOrNone = (standard: string | null, what: string) =>
  z.string().min(1).nullable().default(standard).describe(`${what}; null: there is none`)

/** Free fields in the head of a document that take text long enough for our reference: 10 has 60, 11 to 14 have 120. */
const longDefine = z.enum(['define10', 'define11', 'define12', 'define13', 'define14'])
const headDefine = z.enum(['define1', 'define2', 'define3', ...longDefine.options])
const lineDefine = z
  .string()
  .regex(
    /^(free([1-9]|10)|define(2[2-58-9]|3[0-3]))$/,
    'is a text field of lines: define22–25, 28–33, free1–10',
  )

/** What a vendor's `errcode` means to us; see `client.ts`. */
export const ERROR_MEANINGS = ['token', 'credentials', 'offline', 'busy', 'missing', 'pending'] as const

const customFields = (what: string) =>
  z
    .record(z.string().min(1).max(60), z.string().min(1))
    .default({})
    .describe(`Our name of a custom field of ${what}, and the field in which U8 keeps it`)

const customerFields = z.strictObject({
  code: name('code', 'Customer code'),
  name: name('name', 'Name'),
  industry: nameOrNone('industry', 'Industry'),
  taxNumber: nameOrNone('tax_reg_code', 'Tax number; other systems recognise the customer by it'),
  phone: nameOrNone('phone', 'Telephone'),
  email: nameOrNone('email', 'E-mail address'),
  contact: nameOrNone('contact', 'Name of the person to talk to'),
  contactPhone: nameOrNone('mobile', 'Telephone of that person'),
  contactEmail: nameOrNone(null, 'E-mail address of that person'),
  street: nameOrNone('address', 'Address, one line'),
  city: nameOrNone(null, 'City'),
  province: nameOrNone(null, 'Province'),
  postalCode: nameOrNone('postcode', 'Postal code'),
  shipTo: nameOrNone('devliver_site', "Delivery address, one line; the vendor's spelling"),
  currency: nameOrNone('ccusexch_name', 'Currency, by its name in U8'),
  creditLimit: nameOrNone('credit_amount', 'Credit limit, in company currency'),
  balance: nameOrNone('ar_rest', 'Open receivables, in company currency'),
  parent: nameOrNone(null, 'Code of the customer that it belongs to (总公司)'),
  department: nameOrNone('spec_operator_dept', 'Department that sells to the customer (分管部门)'),
  paymentTerms: nameOrNone('pay_condition', 'Payment terms'),
  stoppedOn: nameOrNone('end_date', 'Day from which the customer is no longer used'),
  active: nameOrNone(null, 'Yes or no: whether the customer may be used'),
  createdAt: nameOrNone(null, 'Date and time of creation'),
  updatedAt: nameOrNone('ModifyDate', 'Date and time of the last change'),
})

/** The names of the customer table as an integration guide for U8 prints it. */
const tableFields = z.strictObject({
  ...customerFields.shape,
  code: name('cCusCode', 'Customer code'),
  name: name('cCusName', 'Name'),
  industry: nameOrNone('cIndustry', 'Industry'),
  taxNumber: nameOrNone('cTaxNumber', 'Tax number; other systems recognise the customer by it'),
  phone: nameOrNone(null, 'Telephone'),
  email: nameOrNone(null, 'E-mail address'),
  contact: nameOrNone('cCusDefine1', 'Name of the person to talk to'),
  contactPhone: nameOrNone('cCusDefine2', 'Telephone of that person'),
  contactEmail: nameOrNone('cCusDefine3', 'E-mail address of that person'),
  street: nameOrNone('cCusAddress', 'Address, one line'),
  city: nameOrNone('cCusCity', 'City'),
  province: nameOrNone('cCusProvince', 'Province'),
  postalCode: nameOrNone('cCusPostCode', 'Postal code'),
  shipTo: nameOrNone(null, 'Delivery address, one line'),
  currency: nameOrNone(null, 'Currency, by its name in U8'),
  creditLimit: nameOrNone('iCreditLimit', 'Credit limit, in company currency'),
  balance: nameOrNone(null, 'Open receivables, in company currency'),
  parent: nameOrNone('cCusHeadCode', 'Code of the customer that it belongs to (总公司)'),
  department: nameOrNone('cCusDepart', 'Department that sells to the customer (分管部门)'),
  paymentTerms: nameOrNone('cPaymentTerms', 'Payment terms'),
  stoppedOn: nameOrNone(null, 'Day from which the customer is no longer used'),
  active: nameOrNone('bCusState', 'Yes or no: whether the customer may be used'),
  createdAt: nameOrNone('dCreateDate', 'Date and time of creation'),
  updatedAt: nameOrNone('dModifyDate', 'Date and time of the last change'),
})

const customers = z.discriminatedUnion('profile', [
  z.strictObject({
    profile: z.literal('openapi').describe('The gateway’s own interface, /api/customer'),
    fields: customerFields.prefault({}).describe('Names in a customer'),
  }),
  z.strictObject({
    profile: z
      .literal('table')
      .describe('The customer table behind a query of its own: POST, token as Bearer, rows under `data`'),
    accountNumber: z.string().min(1).describe('Account set (账套号)'),
    path: z.string().startsWith('/').default('/api/customer/query').describe('Where the query is'),
    fields: tableFields.prefault({}).describe('Columns of the table'),
  }),
])

const productFields = z.strictObject({
  code: name('code', 'Inventory code (存货编码)'),
  name: name('name', 'Name'),
  foreignName: nameOrNone(null, 'Name in another language'),
  barcode: nameOrNone('barcode', 'Bar code; other systems recognise the product by it'),
  specification: nameOrNone('specs', 'Specification (规格型号)'),
  category: nameOrNone('sort_code', 'Code of the class (存货分类)'),
  categoryName: nameOrNone('sort_name', 'Name of the class'),
  price: nameOrNone('ref_sale_price', 'Reference sales price, in company currency, as quoted prices'),
  taxRate: nameOrNone('tax_rate', 'Tax rate in per cent'),
  supplier: nameOrNone('main_supplier', 'Code of the main supplier'),
  supplierName: nameOrNone('main_supplier_name', 'Name of the main supplier'),
  unit: nameOrNone('ccomunitname', 'Main unit of measure'),
  stoppedOn: nameOrNone('end_date', 'Day from which the product is no longer used'),
  updatedAt: nameOrNone('ModifyDate', 'Date and time of the last change'),
})

const stockFields = z.strictObject({
  product: name('invcode', 'Inventory code'),
  warehouse: name('whcode', 'Warehouse code'),
  onHand: name('qty', 'Quantity on hand (现存量)'),
  available: nameOrNone('availableqty', 'Quantity available (可用量)'),
  reserved: nameOrNone('outqty', 'Quantity still to be shipped (待发货量)'),
  incoming: nameOrNone('inqty', 'Quantity still to be received (待入库量)'),
  unit: nameOrNone('unitname', 'Main unit of measure'),
})

/** What a U8 company behind the OpenAPI gateway needs to be told; see README.md. */
export const yonyouU8Config = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'is an http or https address' })
      .default('https://api.yonyouup.com')
      .describe('Address of the OpenAPI gateway'),
    fromAccount: z.string().min(1).describe('Account of the developer who calls (from_account)'),
    toAccount: z.string().min(1).describe('Account of the company that is called (to_account)'),
    appKey: z.string().min(1).describe('Key of the application'),
    appSecret: z.string().min(1).meta({ secret: true }).describe('Secret of the application'),
    dsSequence: z
      .int()
      .min(1)
      .optional()
      .describe("Number of the account set among the application's data sources; absent: the first"),
    verifyCertificate: z
      .boolean()
      .default(true)
      .describe('Refuse certificates that no known authority signed'),
    company: z.string().min(1).optional().describe('Name of the company in records; absent: toAccount'),
    companyCurrency: currency.default('CNY').describe('Currency in which the company keeps its books'),
    currencyCodes: z
      .record(z.string().min(1), currency)
      .default({})
      .describe(
        'Names of currencies in U8 with their ISO 4217 code, besides 人民币 美元 欧元 日元 英镑 港币',
      ),
    unitCodes: z
      .record(z.string().min(1), z.string().regex(/^[A-Z0-9]{2,3}$/, 'is a code of UN/ECE Recommendation 20'))
      .default({})
      .describe("The company's units of measure, with their code of UN/ECE Recommendation 20"),
    orderStates: z
      .record(z.string().min(1), z.enum(ORDER_STATUSES))
      .default({})
      .describe('What a state of an order means, besides Opening, Approved, Changing and Closed'),
    errorCodes: z
      .record(z.string().min(1), z.enum(ERROR_MEANINGS))
      .default({})
      .describe("What an errcode means, where the vendor's words do not tell; the vendor publishes no list"),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
      .default('+08:00')
      .describe('Time zone of the U8 server, whose clock stamps records without saying a zone'),
    parallelCalls: z.int().min(1).max(32).default(4).describe('Calls on their way at once'),
    batchLimit: z
      .int()
      .min(1)
      .max(500)
      .default(50)
      .describe(
        'Most keys read together; the gateway has no such call: each costs one, or a range of codes is read',
      ),
    pageLimit: z.int().min(1).max(1000).default(100).describe('Rows in one page'),
    paging: z
      .strictObject({
        index: name('page_index', 'Parameter for the number of a page, counted from 1'),
        size: name('rows_per_page', 'Parameter for the rows in a page'),
      })
      .prefault({})
      .describe('How this release names pages'),
    changesBy: z
      .enum(['timestamp', 'none'])
      .default('timestamp')
      .describe(
        "`timestamp`: changes are found by the rows' version; `none`: this release does not filter by it",
      ),
    overlapVersions: z
      .int()
      .min(0)
      .max(1_000_000)
      .default(1000)
      .describe(
        'Polling looks back so many row versions, for rows that were versioned before they became visible',
      ),
    writeId: z
      .enum(['tradeid', 'biz_id'])
      .default('tradeid')
      .describe(
        '`tradeid`: a number is fetched for each write; `biz_id`: our reference is the number, where the release takes it',
      ),
    resultAfterSeconds: z
      .number()
      .min(0)
      .max(60)
      .default(3)
      .describe(
        'Writes are carried out later: the result is asked for after so long, and again every so often',
      ),
    resultWithinSeconds: z
      .number()
      .min(0)
      .max(600)
      .default(30)
      .describe('After so long without a result a write counts as unknown and is looked for'),
    externalReferenceField: longDefine
      .default('define10')
      .describe('Free field of orders that takes the reference by which a lost answer is looked up'),
    customerReferenceField: headDefine
      .nullable()
      .default(null)
      .describe("Free field of orders for the customer's own reference; null: there is none"),
    onBehalfOfField: z
      .enum(['maker', ...headDefine.options])
      .nullable()
      .default(null)
      .describe('Field of orders that takes the name of the person who asked; null: it is not passed on'),
    lineWarehouseField: lineDefine
      .nullable()
      .default(null)
      .describe('Field of order lines for the warehouse, which U8 decides with the delivery; null: none'),
    orderTarget: z
      .enum(['saved', 'effective'])
      .default('saved')
      .describe('How far a new order is taken: saved (开立), or approved as well (审核)'),
    orderDefaults: z
      .strictObject({
        businessType: z.string().min(1).default('普通销售').describe('Business type (业务类型)'),
        saleType: z.string().min(1).describe('Code of the sale type (销售类型)'),
        department: z.string().min(1).describe('Code of the department'),
        person: z.string().min(1).optional().describe('Code of the salesperson'),
        taxPercent: z
          .string()
          .regex(/^\d{1,2}(\.\d{1,4})?$/, 'is a percentage')
          .optional()
          .describe("Tax rate; absent: the vendor's own default, which may be outdated"),
      })
      .optional()
      .describe('What every new order needs and callers do not know; without it no orders can be created'),
    quotedPriceIncludesTax: z
      .boolean()
      .default(true)
      .describe('Quoted prices (报价) include tax, as the option 报价含税 of the sales module says'),
    orderFields: z
      .strictObject({
        currency: nameOrNone('cexch_name', 'Currency of an order, by its name in U8'),
        rate: nameOrNone('iexchrate', 'Exchange rate'),
        address: nameOrNone('sendaddress', 'Delivery address, one line'),
        contact: nameOrNone('ccusperson', 'Who receives the goods'),
        contactPhone: nameOrNone(null, 'Telephone of that person'),
      })
      .prefault({})
      .describe('Names in an order that differ between releases'),
    customers: customers
      .prefault({ profile: 'openapi' })
      .describe('Where customers are read, and under which names'),
    productFields: productFields.prefault({}).describe('Names in a product'),
    stockFields: stockFields.prefault({}).describe('Names in a row of stock'),
    customFields: z
      .strictObject({
        customer: customFields('a customer'),
        product: customFields('a product'),
        order: customFields('an order, also when one is created'),
        orderLine: z
          .record(z.string().min(1).max(60), lineDefine)
          .default({})
          .describe('Our name of a custom field of an order line, and the field in which U8 keeps it'),
      })
      .prefault({})
      .describe("The company's own fields"),
  })
  .refine(
    (config) => {
      const used = [config.externalReferenceField, config.customerReferenceField, config.onBehalfOfField]
      const custom = Object.values(config.customFields.order)
      const all = [...used.filter((field) => field !== null), ...custom]
      const ofLines = [config.lineWarehouseField, ...Object.values(config.customFields.orderLine)]
      const lines = ofLines.filter((field) => field !== null)
      return new Set(all).size === all.length && new Set(lines).size === lines.length
    },
    { error: 'uses one field of orders for two things', path: ['externalReferenceField'] },
  )

export type YonyouU8Config = z.infer<typeof yonyouU8Config>
export type CustomerFields = YonyouU8Config['customers']['fields']
