import { createPublicKey } from 'node:crypto'
import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import { ORDER_STATUSES } from '../records.ts'

const currency = z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
const path = (standard: string, what: string) =>
  z.string().startsWith('/nccloud/api/').default(standard).describe(what)
const pathOrNone = (standard: string, what: string) =>
  z.string().startsWith('/nccloud/api/').nullable().default(standard).describe(`${what}; null: there is none`)
const parameter = (standard: string, what: string) => z.string().min(1).default(standard).describe(what)
const parameterOrNone = (standard: string | null, what: string) =>
  z.string().min(1).nullable().default(standard).describe(`${what}; null: there is none`)

/** The public key of the application as the vendor shows it: DER in Base64, sometimes with blanks in it. */
export const publicKeyText = (text: string): string => text.replaceAll(/\s+/g, '')
/** The key's length, which is that of what it encrypts; 0: it is no RSA key. */
function keyBytes(text: string): number {
  try {
    const der = Buffer.from(publicKeyText(text), 'base64')
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'rsa' ? (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8 : 0
  } catch {
    return 0
  }
}

/** What `code` or the words of a refusal mean to us; see `client.ts`. */
export const ERROR_MEANINGS = [
  'token',
  'configuration',
  'rejected',
  'period-closed',
  'conflict',
  'locked',
  'missing',
  'duplicate',
  'unknown',
] as const

/** Our names of what is read, and the vendor's, by the data dictionary of NC. */
export const CUSTOMER_FIELDS = {
  code: 'code',
  name: 'name',
  taxNumber: 'taxpayerid',
  phone: 'tel1',
  email: 'email',
  street: 'corpaddress',
  currency: null,
  creditLimit: null,
  paymentTerms: null,
  parent: 'pk_customer_main',
  enabled: 'enablestate',
  createdAt: 'creationtime',
  updatedAt: 'modifiedtime',
  ts: 'ts',
} as const
export const PRODUCT_FIELDS = {
  code: 'code',
  name: 'name',
  foreignName: 'ename',
  barcode: 'materialbarcode',
  description: 'memo',
  specification: 'materialspec',
  model: 'materialtype',
  category: 'pk_marbasclass',
  unit: 'pk_measdoc',
  enabled: 'enablestate',
  createdAt: 'creationtime',
  updatedAt: 'modifiedtime',
  ts: 'ts',
} as const
export const ORDER_FIELDS = {
  id: 'csaleorderid',
  number: 'vbillcode',
  documentType: 'vtrantypecode',
  channel: 'cchanneltypeid',
  company: 'pk_org',
  customer: 'ccustomerid',
  orderDate: 'dbilldate',
  status: 'fstatusflag',
  currency: 'corigcurrencyid',
  gross: 'ntotalorigmny',
  billTo: 'cinvoicecustid',
  receiver: 'chreceivecustid',
  paymentTerms: 'cpaytermid',
  paymentMethod: 'cbalancetypeid',
  paid: 'nreceivedmny',
  approvedAt: 'taudittime',
  createdBy: 'billmaker',
  comments: 'vnote',
  createdAt: 'creationtime',
  updatedAt: 'modifiedtime',
  ts: 'ts',
} as const
export const LINE_FIELDS = {
  id: 'csaleorderbid',
  number: 'crowno',
  product: 'cmaterialid',
  unit: 'cqtunitid',
  quantity: 'nqtunitnum',
  price: 'nqtorigprice',
  discountRate: 'nitemdiscountrate',
  taxRate: 'ntaxrate',
  net: 'norigmny',
  gross: 'norigtaxmny',
  comments: 'vrownote',
  invoiced: 'ntotalinvoicenum',
  returned: 'ntotalreturnnum',
  contract: 'vctcode',
  source: 'vsrccode',
  sourceType: 'vsrctype',
  rate: 'nexchangerate',
  warehouse: 'csendstordocid',
  dueDate: 'dsenddate',
  status: 'frowstatus',
  shipped: 'ntotaloutnum',
} as const

type Names = Readonly<Record<string, string | null>>
const fieldsOf = <N extends Names>(names: N, what: string) =>
  z
    .partialRecord(z.enum(Object.keys(names) as (keyof N & string)[]), z.string().min(1).nullable())
    .default({})
    .transform((own) => ({ ...names, ...own }) as { readonly [F in keyof N]: string | null })
    .describe(`Names in ${what} that differ from the vendor's data dictionary; null: it is not told`)

const customFields = (what: string) =>
  z
    .record(z.string().min(1).max(60), z.string().min(1))
    .default({})
    .describe(`Our name of a custom field of ${what}, and the field in which NC keeps it, for example def3`)

const changes = {
  changedFrom: parameterOrNone('ts_begin', 'Parameter for the time of change from which rows are asked for'),
  changedTo: parameter('ts_end', 'Parameter for the time of change up to which rows are asked for'),
}

/** What an NC Cloud company needs to be told; see README.md. */
export const yonyouNcConfig = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'is an http or https address' })
      .describe('Address of the NC Cloud server, without /nccloud'),
    verifyCertificate: z
      .boolean()
      .default(true)
      .describe('Refuse certificates that no known authority signed'),
    bizCenter: z.string().min(1).describe('Code of the business centre, which chooses the account set'),
    dsname: z.string().min(1).optional().describe('Data source, where the installation requires it'),
    clientId: z.string().min(1).describe('Code of the registered application (app_id)'),
    clientSecret: z.string().min(1).meta({ secret: true }).describe('Secret of the application, plain'),
    publicKey: z
      .string()
      .refine((text) => keyBytes(text) > 0, 'is no RSA public key in Base64')
      .describe('Public key of the application, as the vendor shows it'),
    grant: z
      .enum(['client_credentials', 'password'])
      .default('client_credentials')
      .describe('How a token is asked for; `password` needs a user of NC'),
    username: z.string().min(1).optional().describe('User of NC, for the grant `password`'),
    password: z
      .string()
      .min(1)
      .optional()
      .meta({ secret: true })
      .describe('Password of that user, for the grant `password`'),
    rsaPadding: z
      .enum(['oaep', 'pkcs1'])
      .default('oaep')
      .describe('How secrets are encrypted: `oaep` (SHA-256) in newer versions, `pkcs1` in those before'),
    rsaBlockBytes: z
      .int()
      .min(16)
      .max(446)
      .default(117)
      .describe("Longest piece that is encrypted at once; the vendor's tool takes 117"),
    tokenSignature: z
      .enum(['salted', 'plain'])
      .default('salted')
      .describe('Signature of the token request: `salted` in newer versions, `plain` in those before'),
    callSignature: z
      .enum(['salted', 'plain'])
      .default('salted')
      .describe('Signature of calls; which versions want which is not settled, try the other one'),
    bodyLevel: z
      .enum(['L0', 'L1', 'L2', 'L3', 'L4'])
      .default('L0')
      .describe(
        "The application's level: L0 plain, L1 encrypted, L2 compressed, L3 compressed then encrypted, L4 encrypted then compressed",
      ),
    org: z.string().min(1).describe('Code of the sales organisation (pk_org)'),
    company: z.string().min(1).optional().describe('Name of the company in records; absent: org'),
    currencyCodes: z
      .record(z.string().min(1), currency)
      .default({})
      .describe('Codes of currencies in NC with their ISO 4217 code, where they differ'),
    unitCodes: z
      .record(z.string().min(1), z.string().regex(/^[A-Z0-9]{2,3}$/, 'is a code of UN/ECE Recommendation 20'))
      .default({})
      .describe("The company's units of measure, with their code of UN/ECE Recommendation 20"),
    orderStates: z
      .record(z.string().min(1), z.enum(ORDER_STATUSES))
      .default({})
      .describe("What a fstatusflag means, besides the vendor's own 1, 2, 4, 5, 7 and 8"),
    errorCodes: z
      .record(z.string().min(1), z.enum(ERROR_MEANINGS))
      .default({})
      .describe('What a code of a refusal means, where this installation uses it differently'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
      .default('+08:00')
      .describe('Time zone of the server, whose clock stamps records without saying a zone'),
    parallelCalls: z.int().min(1).max(32).default(4).describe('Calls on their way at once'),
    batchLimit: z.int().min(1).max(500).default(100).describe('Most keys in one call'),
    pageLimit: z.int().min(1).max(1000).default(100).describe('Rows in one page'),
    paging: z
      .strictObject({
        index: parameter('pageIndex', 'Parameter for the number of a page'),
        size: parameter('pageSize', 'Parameter for the rows in a page'),
        first: z.int().min(0).max(1).default(1).describe('Number of the first page'),
        rows: parameter('rows', 'Where the rows are in `data`, if that is no list itself'),
        total: parameterOrNone('total', 'Where `data` says how many rows there are'),
      })
      .prefault({})
      .describe('How the query interfaces of this installation name pages'),
    overlapSeconds: z
      .int()
      .min(0)
      .max(86_400)
      .default(120)
      .describe('Polling looks back this far, for records that were stamped before they became visible'),
    customers: z
      .strictObject({
        path: path('/nccloud/api/uapbd/customermanage/customer/query', 'Interface that reads customers'),
        code: parameter('code', 'Parameter for customer codes'),
        search: parameterOrNone('name', 'Parameter for a part of the name'),
        ...changes,
        fields: fieldsOf(CUSTOMER_FIELDS, 'a customer'),
        custom: customFields('a customer'),
      })
      .prefault({})
      .describe('Customers'),
    products: z
      .strictObject({
        path: path('/nccloud/api/uapbd/materialmanage/material/query', 'Interface that reads materials'),
        code: parameter('code', 'Parameter for material codes'),
        search: parameterOrNone('name', 'Parameter for a part of the name'),
        ...changes,
        fields: fieldsOf(PRODUCT_FIELDS, 'a material'),
        custom: customFields('a material'),
      })
      .prefault({})
      .describe('Products'),
    orders: z
      .strictObject({
        path: path('/nccloud/api/so/saleorder/query', 'Interface that reads sales orders'),
        savePath: path('/nccloud/api/so/saleorder/save', 'Interface that saves a sales order'),
        code: parameter('vbillcode', 'Parameter for order numbers'),
        customer: parameter('ccustomerid', 'Parameter for customer codes'),
        updatePath: pathOrNone(
          '/nccloud/api/so/saleorder/update',
          'Interface that changes a sales order that is not approved',
        ),
        approvePath: pathOrNone('/nccloud/api/so/saleorder/approve', 'Interface that approves a sales order'),
        unapprovePath: pathOrNone(
          '/nccloud/api/so/saleorder/unapprove',
          'Interface that takes an approval back',
        ),
        newestLast: z
          .boolean()
          .optional()
          .describe(
            'The server answers with the oldest order first: lists are then read from their end, where it counts its rows; absent: the dates of its first and last order tell',
          ),
        ...changes,
        head: parameter('so_saleorder', 'Name of the head in an order'),
        lines: parameter('so_saleorder_b', 'Name of the lines in an order'),
        fields: fieldsOf(ORDER_FIELDS, 'the head of an order'),
        lineFields: fieldsOf(LINE_FIELDS, 'a line of an order'),
        custom: customFields('an order, also when one is created or changed'),
        lineCustom: customFields('an order line, for example vbdef3, also when one is created'),
      })
      .prefault({})
      .describe('Sales orders'),
    orderDefaults: z
      .strictObject({
        head: z
          .record(z.string().min(1), z.string())
          .describe('Fields of the head, for example ctrantypeid, cdeptid'),
        line: z
          .record(z.string().min(1), z.string())
          .default({})
          .describe('Fields of each line, for example ctaxcodeid'),
      })
      .optional()
      .describe('What every new order needs and callers do not know; without it no orders can be created'),
    externalReferenceField: z
      .string()
      .regex(/^vdef([1-9]|1\d|20)$/, 'is a free field of the head, vdef1 to vdef20')
      .default('vdef20')
      .describe('Free field of orders that takes the reference by which a lost answer is looked up'),
    customerReferenceField: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe("Field of orders for the customer's own reference; null: there is none"),
    onBehalfOfField: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe('Field of orders that takes the name of the person who asked; null: it is not passed on'),
    repeatCheck: z
      .boolean()
      .default(true)
      .describe(
        'The server refuses a second write with the same busi_id (repeat_check), and was seen to do so',
      ),
  })
  .refine((config) => config.grant !== 'password' || (config.username && config.password), {
    error: 'needs username and password',
    path: ['grant'],
  })
  .refine(
    ({ publicKey, rsaPadding, rsaBlockBytes }) =>
      rsaBlockBytes <= keyBytes(publicKey) - (rsaPadding === 'oaep' ? 66 : 11),
    { error: 'is longer than the public key can encrypt at once', path: ['rsaBlockBytes'] },
  )
  .refine(
    ({ externalReferenceField, customerReferenceField, onBehalfOfField, orders }) => {
      const used = [externalReferenceField, customerReferenceField, onBehalfOfField].filter(
        (one) => one !== null,
      )
      const all = [...used, ...Object.values(orders.custom)]
      return new Set(all).size === all.length
    },
    { error: 'uses one field of orders for two things', path: ['externalReferenceField'] },
  )

export type YonyouNcConfig = z.infer<typeof yonyouNcConfig>
