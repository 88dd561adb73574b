import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'

const ownField = z.string().regex(/^YY1_\w{1,40}$/, 'is a custom field, named YY1_…')
const code = (what: string, length: number) =>
  z.string().min(1).max(length, `has at most ${length} characters`).describe(what)
const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)

const auth = z
  .discriminatedUnion('method', [
    z.strictObject({
      method: z.literal('clientCredentials').describe('OAuth 2.0: a token for client id and secret'),
      tokenUrl: z
        .url({ protocol: /^https?$/, error: 'is an http or https address' })
        .describe('Where tokens are issued: by the system itself, API Management or BTP'),
      clientId: z.string().min(1).describe('Id of the client'),
      clientSecret: secret('Secret of the client'),
      scope: z.string().min(1).optional().describe('Scope asked for; absent: what the client may have'),
      credentialsIn: z
        .enum(['header', 'body'])
        .default('header')
        .describe('Where client id and secret are: HTTP Basic, or the form as client_id and client_secret'),
    }),
    z.strictObject({
      method: z.literal('basic').describe('User and password on every request'),
      username: z.string().min(1).describe('Communication user, or a user on premises'),
      password: secret('Password of that user'),
    }),
  ])
  .describe('How to log in')

const custom = (what: string) =>
  z
    .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), ownField)
    .default({})
    .describe(`Custom fields of ${what}: our name, and the vendor's`)

/** What an S/4HANA system needs to be told; see README.md. */
export const sapS4Config = z.strictObject({
  baseUrl: z
    .url({ protocol: /^https?$/, error: 'is an http or https address' })
    .describe('Address of the system or of the API Management before it, without /sap/opu'),
  path: z
    .string()
    .regex(/^(\/[\w-]+)*$/, 'is a path such as /sap/opu/odata/sap')
    .default('/sap/opu/odata/sap')
    .describe('Where the services are'),
  sapClient: z
    .string()
    .regex(/^\d{3}$/, 'has three digits')
    .optional()
    .describe('Client (Mandant) to work in, on premises'),
  language: z
    .string()
    .regex(/^[A-Za-z]{2}$/, 'has two letters')
    .default('en')
    .describe("Language of the vendor's messages; locks are told by the English words"),
  auth,
  verifyCertificate: z
    .boolean()
    .default(true)
    .describe('Refuse self-signed certificates, which are common on premises'),
  maxConnections: z
    .int()
    .min(1)
    .max(64)
    .default(8)
    .describe('Calls under way at once; each takes a work process there'),
  customerKey: z
    .enum(['Customer', 'BusinessPartner'])
    .default('Customer')
    .describe(
      'Number by which customers are known. BusinessPartner where both numbers are the same and the service does not filter by the other',
    ),
  deliveryService: z
    .string()
    .regex(/^\w+(;v=\d{1,4})?$/, 'is a service, with its version where it has one')
    .default('API_OUTBOUND_DELIVERY_SRV;v=0002')
    .describe('Service of outbound deliveries; older releases have API_OUTBOUND_DELIVERY_SRV'),
  absentFields: z
    .array(z.string().regex(/^\w+(\/\w+)*$/, 'is a property, or a path such as to_Item/TaxAmount'))
    .default([])
    .describe(
      'Properties that this release does not have yet, for example SalesDocApprovalStatus, or to_Item/TaxAmount where it stands elsewhere too',
    ),
  salesArea: z
    .strictObject({
      organization: code('Sales organisation', 4),
      channel: code('Distribution channel', 2),
      division: code('Division', 2),
    })
    .describe('Sales area of new orders, and the one whose terms customers show'),
  defaults: z
    .strictObject({
      orderType: code('Document type of new orders', 4).default('OR'),
      unit: code("Unit of new lines; absent: the vendor takes the product's", 3).optional(),
      plant: code('Plant of new lines where the caller names none', 4).optional(),
      storageLocation: code('Storage location in that plant', 4).optional(),
    })
    .prefault({})
    .describe('What new orders need and callers do not say'),
  rejectionReason: code('Reason for rejection that cancels an order; null: orders are not cancelled here', 2)
    .nullable()
    .default(null),
  priceCondition: code('Condition type of the price of a line: PPR0, PR00 on premises', 4).default('PPR0'),
  discountCondition: code('Condition type of a discount in percent; null: none is read or written', 4)
    .nullable()
    .default(null),
  textType: code('Text of an order that takes the comments', 4).default('TX01'),
  itemTextType: code(
    'Text of an item that takes the comments of a line; null: there are none, and none are taken',
    4,
  )
    .nullable()
    .default(null),
  textLanguage: code('Language of these texts', 2).default('EN'),
  descriptionLanguages: z
    .array(z.string().regex(/^[A-Z0-9]{2}$/, 'is a language such as EN'))
    .min(1)
    .default(['EN'])
    .describe('Languages of product names: the first found is the name, the next the foreign name'),
  taxTypes: z
    .array(z.string().min(1))
    .default([])
    .describe('Which tax number of a customer is shown, by type (CN5, DE0, …); none fits: the first'),
  levelCodes: z
    .record(z.string().min(1), z.enum(['VIP', 'PREMIUM', 'STANDARD', 'BASIC']))
    .default({})
    .describe('What the ABC classification of a customer means'),
  statusCodes: z
    .partialRecord(
      z.enum(['A', 'B', 'C']),
      z.enum(['NEW', 'PENDING_APPROVAL', 'CONFIRMED', 'IN_PROGRESS', 'SHIPPED', 'DELIVERED', 'CLOSED']),
    )
    .default({})
    .describe('What the overall status of an order means here, where it is not the usual'),
  unitCodes: z
    .record(z.string().min(1), z.string().regex(/^[A-Z0-9]{2,3}$/, 'is a code of UN/ECE Recommendation 20'))
    .default({ PC: 'H87', EA: 'EA', KG: 'KGM', G: 'GRM', M: 'MTR', L: 'LTR' })
    .describe('Units of measure, with their code of UN/ECE Recommendation 20'),
  currencyCodes: z
    .record(z.string().min(1), z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217'))
    .default({})
    .describe('Currencies whose code differs from ISO 4217, for example RMB: CNY'),
  customFields: z
    .strictObject({
      customer: custom('business partners'),
      product: custom('products'),
      order: custom('orders'),
      orderLine: custom('items of orders'),
      delivery: custom('deliveries'),
      invoice: custom('billing documents'),
    })
    .prefault({})
    .describe(
      "What the company has added: our names for the vendor's fields, read and, of orders and their items, written",
    ),
  timeZone: z
    .string()
    .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Europe/Berlin')
    .default('+00:00')
    .describe('Time zone of the server, for the few stamps that are date and time apart'),
  warehouses: z
    .record(z.string().regex(/^\w{1,4}\/\w{0,4}$/, 'is PLANT/LOCATION'), z.string().min(1))
    .default({})
    .describe('Names of storage locations, by plant and location: no service of the vendor lists them'),
  stockType: code('Stock that is shown: 01 is unrestricted use', 2).default('01'),
  specialStock: z
    .string()
    .max(1)
    .default('')
    .describe("Special stock that is shown; empty: the company's own"),
  batchLimit: z
    .int()
    .min(1)
    .max(1000)
    .default(200)
    .describe('Most keys of one reading; more than filterTerms of them go in one $batch'),
  filterTerms: z
    .int()
    .min(1)
    .max(100)
    .default(40)
    .describe('Most keys in one filter; the vendor names no limit, up to about 50 are known to pass'),
  maxUrlLength: z
    .int()
    .min(500)
    .max(8000)
    .default(4000)
    .describe('Longest request line; a longer one goes in a $batch'),
  pageLimit: z
    .int()
    .min(2)
    .max(5000)
    .default(200)
    .describe('Rows asked for at once where a number of keys does not say it'),
  overlapSeconds: z
    .int()
    .min(0)
    .max(86_400)
    .default(120)
    .describe('Polling looks back this far, for documents that were stamped before they became visible'),
  overlapDays: z
    .int()
    .min(0)
    .max(30)
    .default(1)
    .describe('The same for business partners and deliveries, which are stamped with a day only'),
  externalReferenceField: z
    .union([z.literal('PurchaseOrderByCustomer'), ownField])
    .default('PurchaseOrderByCustomer')
    .describe('Field of orders that takes the reference by which a lost answer is looked up'),
  onBehalfOfField: ownField
    .nullable()
    .default(null)
    .describe('Field of orders that takes the name of the person who asked; null: it is not passed on'),
  events: z
    .strictObject({
      username: z.string().min(1).describe('User that Event Mesh names'),
      password: secret('Its password'),
    })
    .optional()
    .describe('Event Mesh calls with CloudEvents; without this only polling finds changes'),
})

export type SapS4Config = z.infer<typeof sapS4Config>
