import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import { FIELDS, type FormName } from './fields.ts'

const currency = z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
// Field names end up in filters that are close to raw SQL: nothing but names passes.
const queryField = z.string().regex(/^F\w{0,79}(\.F\w{1,79}){0,2}$/, 'is a query field, named F…')
const ownField = z.string().regex(/^F_\w{1,78}$/, 'is a field of the company, named F_…')

const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)
const account = {
  accountId: z.string().min(1).describe('Id of the data centre (账套); GetDataCenterList tells it'),
  username: z.string().min(1).describe('User on whose behalf everything is read and written'),
}
const application = {
  appId: z.string().min(1).describe('Id of the registered third-party application'),
  appSecret: secret('Secret of that application'),
}

const login = z
  .discriminatedUnion('method', [
    z.strictObject({
      method: z.literal('password').describe('ValidateUser: a session, by user and password'),
      ...account,
      password: secret('Password of that user'),
    }),
    z.strictObject({
      method: z.literal('appSecret').describe('LoginByAppSecret: a session, by application and its secret'),
      ...account,
      ...application,
    }),
    z.strictObject({
      method: z.literal('sign').describe('LoginBySign: as appSecret, and the secret does not travel'),
      ...account,
      ...application,
    }),
    z.strictObject({
      method: z.literal('signedHeaders').describe('No session: each call is signed, as newer SDKs do'),
      ...account,
      ...application,
      appId: z
        .string()
        .regex(/^[^_]+_[A-Za-z0-9+/]+=*$/, 'has the form <clientId>_<enc>')
        .describe('Id of the registered third-party application, of the form <clientId>_<enc>'),
      organization: z
        .string()
        .default('')
        .describe('Organisation to work in; empty: the main one of the user'),
      timestampUnit: z
        .enum(['s', 'ms'])
        .default('s')
        .describe('Unit of the timestamp: the Java SDK sends ms, others s'),
    }),
    z.strictObject({
      method: z.literal('token').describe('A bearer token from a gateway in front of the vendor'),
      ...account,
      password: secret('Password of that user'),
      ...application,
      tokenPath: z
        .string()
        .startsWith('/')
        .default('/auth/token')
        .describe('Where the token is issued, below baseUrl'),
    }),
  ])
  .describe('How to log in')

/** Without these a record cannot be told from another. */
const NEEDED = new Set(['id', 'number', 'entry', 'quantity'])

/** Overrides of the names in `fields.ts`; null: the tenant has no such field. */
const overrides = <F extends FormName>(form: F) =>
  z
    .partialRecord(
      z.enum(Object.keys(FIELDS[form]) as [keyof (typeof FIELDS)[F] & string]),
      queryField.nullable(),
    )
    .refine(
      (fields) =>
        Object.entries(fields).every(
          ([name, field]) => field !== null || !NEEDED.has(name) || (form === 'invoice' && name === 'entry'),
        ),
      `may be null for anything but ${[...NEEDED].join(', ')}`,
    )
    .default({})
    .describe(`Query fields of the tenant that differ from those in fields.ts (${form})`)

const custom = (form: FormName) =>
  z
    .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), queryField)
    .default({})
    .describe(`Custom fields: our name, and the vendor's field in the head of the form (${form})`)

/** What a K/3 Cloud data centre needs to be told; see README.md. */
export const kingdeeK3Config = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'is an http or https address' })
      .describe('Address of the server, without /K3Cloud'),
    path: z
      .string()
      .regex(/^(\/[\w-]+)*$/, 'is a path such as /K3Cloud')
      .default('/K3Cloud')
      .describe('Where the services are; written /k3cloud on some servers'),
    verifyCertificate: z
      .boolean()
      .default(true)
      .describe('Refuse self-signed certificates, which are common on premises'),
    maxConnections: z
      .int()
      .min(1)
      .max(64)
      .default(8)
      .describe('Calls under way at once; the vendor has a limit (MsgCode 14) and does not publish it'),
    profile: z
      .enum(['k3cloud', 'galaxy'])
      .default('k3cloud')
      .describe(
        'galaxy: bearer token, bodies {formid, data} with data as an object, and orders pushed flat with FEntity',
      ),
    login,
    language: z.int().positive().default(2052).describe("The vendor's number of the language; 2052: zh-CN"),
    loginTimeoutSeconds: z
      .number()
      .positive()
      .max(300)
      .default(30)
      .describe('How long a login may take; a login outlives the request that needed it'),
    organization: z
      .string()
      .min(1)
      .describe('Number of the organisation whose records these are; the same number may exist in several'),
    companyCurrency: currency.default('CNY').describe('Currency in which the organisation keeps its books'),
    currencyCodes: z
      .record(z.string().min(1), currency)
      .default({
        PRE001: 'CNY',
        PRE002: 'HKD',
        PRE003: 'EUR',
        PRE004: 'JPY',
        PRE005: 'TWD',
        PRE006: 'GBP',
        PRE007: 'USD',
      })
      .describe("Numbers of the vendor's currencies, with their code of ISO 4217"),
    unitCodes: z
      .record(z.string().min(1), z.string().regex(/^[A-Z0-9]{2,3}$/, 'is a code of UN/ECE Recommendation 20'))
      .default({})
      .describe('Numbers of units of measure, with their code of UN/ECE Recommendation 20'),
    countryCodes: z
      .record(z.string().min(1), z.string().regex(/^[A-Z]{2}$/, 'is a two-letter code of ISO 3166'))
      .default({ China: 'CN' })
      .describe('Numbers of countries, with their code of ISO 3166'),
    statusCodes: z
      .record(
        z.string().min(1),
        z.enum(['DRAFT', 'NEW', 'PENDING_APPROVAL', 'CONFIRMED', 'IN_PROGRESS', 'UNKNOWN']),
      )
      .default({})
      .describe('What values of FDocumentStatus mean here, where it is not the usual'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
      .default('+08:00')
      .describe('Time zone of the server, whose clock stamps records without saying a zone'),
    batchLimit: z
      .int()
      .min(1)
      .max(1000)
      .default(200)
      .describe('Most keys in one filter; the vendor names no limit'),
    pageLimit: z
      .int()
      .min(2)
      .max(10_000)
      .default(2000)
      .describe('Rows asked for at once; must not be above what the server gives (about 2000 in practice)'),
    overlapSeconds: z
      .int()
      .min(0)
      .max(86_400)
      .default(120)
      .describe('Polling looks back this far, for documents that were stamped before they became visible'),
    stockStatus: z
      .string()
      .nullable()
      .default('KCZT01_SYS')
      .describe('Only stock in this status (KCZT01_SYS: usable) is shown; null: of every status'),
    stockOwner: z
      .string()
      .optional()
      .describe('Number of the owner whose stock is shown; absent: the organisation itself'),
    priceList: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'Number of the sales price list (BD_SAL_PriceList) whose prices are the list prices; null: none',
      ),
    taxInvoiceForms: z
      .array(z.enum(['IV_SALESIC', 'IV_SALESOC']))
      .default([])
      .describe(
        'Forms in which the tax invoices (发票) of receivables are looked up: IV_SALESIC 增值税专用发票, IV_SALESOC 普通发票; each costs a call',
      ),
    availableStock: z
      .boolean()
      .default(false)
      .describe('Whether FAVBQty is calculated in this data centre; where not, it stays 0 and is not shown'),
    externalReferenceField: z
      .union([z.enum(['FBillNo', 'FNetOrderBillNo']), ownField])
      .default('FNetOrderBillNo')
      .describe(
        'Field of orders that takes the reference by which a lost answer is looked up; FBillNo makes it the number, which the vendor keeps unique',
      ),
    billNumberPrefix: z
      .string()
      .regex(/^[A-Z][A-Z0-9]{0,4}$/, 'is up to five capital letters and digits')
      .default('TB')
      .describe('Begins the order numbers that are made from references (externalReferenceField: FBillNo)'),
    customerReferenceField: ownField
      .nullable()
      .default(null)
      .describe("Field of orders with the customer's own reference; null: there is none"),
    onBehalfOfField: ownField
      .nullable()
      .default(null)
      .describe('Field of orders that takes the name of the person who asked; null: it is not passed on'),
    createTarget: z
      .enum(['saved', 'submitted', 'effective'])
      .default('effective')
      .describe('How far a new order is taken: Save, then Submit, then Audit'),
    unauditApproved: z
      .boolean()
      .default(true)
      .describe(
        'Un-audit an approved order to change or cancel it, and audit it again; false: let it be refused',
      ),
    defaults: z
      .strictObject({
        billType: z.string().min(1).default('XSDD01_SYS').describe('Document type of new orders'),
        currency: currency
          .optional()
          .describe(
            'Currency of new orders where the caller names none; absent: none is sent, and the vendor takes the customer’s',
          ),
        unit: z.string().optional().describe("Unit of new lines; absent: the vendor takes the product's"),
        warehouse: z.string().optional().describe('Warehouse of new lines where the caller names none'),
        taxPercent: z
          .string()
          .regex(/^\d+(\.\d+)?$/)
          .optional()
          .describe("Tax rate of new lines; absent: the vendor takes the customer's or product's"),
      })
      .prefault({})
      .describe('What new orders need and callers do not say'),
    fields: z
      .strictObject({
        customer: overrides('customer'),
        product: overrides('product'),
        warehouse: overrides('warehouse'),
        inventoryLevel: overrides('inventoryLevel'),
        order: overrides('order'),
        delivery: overrides('delivery'),
        invoice: overrides('invoice'),
        invoiceLine: overrides('invoiceLine'),
        taxInvoice: overrides('taxInvoice'),
        price: overrides('price'),
      })
      .prefault({})
      .describe('Query fields of this tenant that differ from those in fields.ts'),
    customFields: z
      .strictObject({
        customer: custom('customer'),
        product: custom('product'),
        order: custom('order'),
        orderLine: z
          .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), queryField)
          .default({})
          .describe('Custom fields: our name, and the vendor’s field in the entries of an order'),
        delivery: custom('delivery'),
        invoice: custom('invoice'),
      })
      .prefault({})
      .describe(
        "What the company has added: our names for the vendor's fields, read and, of orders and their lines, written",
      ),
  })
  .refine((config) => config.profile !== 'galaxy' || config.login.method === 'token', {
    path: ['login', 'method'],
    error: 'must be token in the profile galaxy',
  })

export type KingdeeK3Config = z.infer<typeof kingdeeK3Config>
