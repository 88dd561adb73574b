import { z } from 'zod'

/** A fixed offset, or a name of the IANA time zone database. */
function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return true
  } catch {
    return false
  }
}

const currency = z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
const userField = z.string().regex(/^U_\w{1,50}$/, 'is a user-defined field, named U_…')

const custom = (what: string) =>
  z
    .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), userField)
    .default({})
    .describe(`User-defined fields of ${what}: our name, and the vendor's`)

/** What a SAP Business One company needs to be told; see README.md. */
export const sapB1Config = z.strictObject({
  baseUrl: z
    .url({ protocol: /^https?$/, error: 'is an http or https address' })
    .describe('Address of the Service Layer without /b1s/v2, usually https://HOST:50000'),
  companyDb: z.string().min(1).describe('Company database to log in to; also names the company in records'),
  username: z.string().min(1).describe('User with a licence for the Service Layer'),
  password: z.string().min(1).meta({ secret: true }).describe('Password of that user'),
  language: z
    .int()
    .positive()
    .optional()
    .describe("Business One's number of the language of error messages; absent: the user's own"),
  verifyCertificate: z
    .boolean()
    .default(true)
    .describe('Refuse self-signed certificates, which are common on premises'),
  maxSessions: z
    .int()
    .min(1)
    .max(32)
    .default(2)
    .describe('Sessions held at most; each counts against the licences, and carries one request at a time'),
  loginTimeoutSeconds: z
    .number()
    .positive()
    .max(300)
    .default(30)
    .describe('How long a login may take (3 to 8 s are usual); a login outlives the request that needed it'),
  companyCurrency: currency
    .default('CNY')
    .describe('Currency in which the company keeps its books, as ISO 4217 says it'),
  currencyCodes: z
    .record(z.string().min(1).max(3), currency)
    .default({})
    .describe("The company's own currency codes that differ from ISO 4217, for example RMB: CNY"),
  accountAmounts: z
    .enum(['company', 'account'])
    .default('company')
    .describe("Currency of a customer's credit limit and balance: the company's, or that of the account"),
  unitCodes: z
    .record(z.string().min(1), z.string().regex(/^[A-Z0-9]{2,3}$/, 'is a code of UN/ECE Recommendation 20'))
    .default({})
    .describe("The company's units of measure, with their code of UN/ECE Recommendation 20"),
  timeZone: z
    .string()
    .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Europe/Berlin')
    .default('+08:00')
    .describe('Time zone of the server, whose clock stamps records without saying a zone'),
  batchLimit: z
    .int()
    .min(1)
    .max(200)
    .default(25)
    .describe('Most keys in one filter; the vendor names no limit, 20 to 50 are known to pass'),
  batchRequests: z
    .int()
    .min(1)
    .max(100)
    .default(4)
    .describe(
      'Reads that travel together at most, in one $batch, where they wait for a session or were cut; 1: never',
    ),
  maxUrlLength: z
    .int()
    .min(1000)
    .max(8000)
    .default(4000)
    .describe('Longest request line; long keys are cut into more requests than batchLimit alone would'),
  pageLimit: z
    .int()
    .min(1)
    .max(1000)
    .default(100)
    .describe('Rows asked for per page where a number of keys does not say it'),
  overlapSeconds: z
    .int()
    .min(0)
    .max(86_400)
    .default(120)
    .describe('Polling looks back this far, for documents that were stamped before they became visible'),
  periodClosedCodes: z
    .array(z.string().min(1))
    .default([])
    .describe(
      "Codes with which this release refuses a date in a closed posting period; besides the vendor's words for it",
    ),
  externalReferenceField: z
    .union([z.literal('NumAtCard'), userField])
    .default('U_TributaryRef')
    .describe('Field of orders and drafts that takes the reference by which a lost answer is looked up'),
  invoices: z
    .boolean()
    .default(false)
    .describe('Offer invoices and incoming payments too: where no other system holds the same ones'),
  creditNotes: z
    .boolean()
    .default(true)
    .describe('Where invoices are offered: A/R credit notes too, as invoices of their own sort'),
  paymentReferenceField: z
    .union([z.literal('CounterReference'), userField])
    .default('U_TributaryRef')
    .describe('Field of incoming payments that takes the reference by which a lost answer is looked up'),
  paymentAccounts: z
    .strictObject({
      transfer: z.string().min(1).optional().describe('G/L account that takes transfers'),
      cash: z.string().min(1).optional().describe('G/L account that takes cash'),
    })
    .default({})
    .describe('Where new payments are booked; without an account of its sort a payment is refused'),
  partners: z
    .strictObject({
      series: z
        .int()
        .positive()
        .optional()
        .describe('Numbering series of new customers; absent: each comes with a code of its own'),
      group: z.int().optional().describe('Group of new customers; absent: as the company has it'),
      currency: z
        .union([currency, z.literal('##')])
        .default('##')
        .describe('Currency of new customers; ##: all'),
      referenceField: userField
        .default('U_TributaryRef')
        .describe('Field of business partners that takes the reference by which a lost answer is looked up'),
    })
    .prefault({})
    .describe('What new customers need and callers do not know'),
  levelGroups: z
    .record(z.string().min(1), z.enum(['VIP', 'PREMIUM', 'STANDARD', 'BASIC']))
    .default({})
    .describe('What customer groups mean, by code or name; the first that fits is written'),
  priceList: z
    .int()
    .positive()
    .default(1)
    .describe('Number of the price list that products show; 1 is the base price list'),
  priceListGross: z.boolean().default(false).describe('Prices of that list include tax'),
  shipToNameField: z
    .enum(['ShipToAddress2', 'ShipToAddress3'])
    .default('ShipToAddress2')
    .describe("Part of a document's ship-to address that holds the name of who receives the goods"),
  shipToPhoneField: userField
    .nullable()
    .default(null)
    .describe(
      'Field of orders for the phone number of who receives the goods; null: orders that give one are refused',
    ),
  customFields: z
    .strictObject({
      customer: custom('business partners'),
      product: custom('items'),
      order: custom('orders'),
      orderLine: custom('order lines'),
      delivery: custom('deliveries'),
      invoice: custom('invoices and credit notes'),
      payment: custom('incoming payments'),
    })
    .prefault({})
    .describe(
      "What the company has added: our names for the vendor's fields, read and, where records are written, written",
    ),
  onBehalfOfField: userField
    .nullable()
    .default(null)
    .describe('Field of orders that takes the name of the person who asked; null: it is not passed on'),
})

export type SapB1Config = z.infer<typeof sapB1Config>
