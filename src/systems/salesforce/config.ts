import { createPrivateKey } from 'node:crypto'
import { z } from 'zod'

const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)
const apiName = z
  .string()
  .regex(/^[A-Za-z]\w{0,79}$/, 'is the API name of a field, such as Tax_Number__c')
  .describe('API name of a field')
const address = z.url({ protocol: /^https?$/, error: 'is an http or https address' })
const fieldFor = (what: string) => apiName.nullable().default(null).describe(`${what}; null: there is none`)
const customField = z.union([
  apiName,
  z.strictObject({
    field: apiName,
    type: z.enum(['text', 'number', 'boolean']).describe('How it is written; dates are text'),
  }),
])
export type CustomField = z.infer<typeof customField>
const custom = (what: string) =>
  z
    .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), customField)
    .default({})
    .describe(`Further fields of ${what}: our name, and the vendor's`)

const channel = z.string().regex(/^\/data\/\w{1,80}$/, 'is a channel such as /data/ChangeEvents')

const auth = z
  .discriminatedUnion('method', [
    z.strictObject({
      method: z.literal('clientCredentials').describe('The app acts as the user it is set up to run as'),
      clientId: z.string().min(1).describe('Consumer key of the connected app'),
      clientSecret: secret('Consumer secret'),
    }),
    z.strictObject({
      method: z
        .literal('jwt')
        .describe('JWT bearer: the app signs for a user who has approved it beforehand'),
      clientId: z.string().min(1).describe('Consumer key of the connected app'),
      username: z.string().min(1).describe('The user to act as'),
      privateKey: secret('RSA key in PEM whose certificate the app has').refine(
        isRsaKey,
        'is no RSA private key in PEM',
      ),
      audience: address
        .default('https://login.salesforce.com')
        .describe('https://test.salesforce.com for sandboxes'),
    }),
    z.strictObject({
      method: z.literal('refreshToken').describe('A user has logged in once and let the app go on'),
      clientId: z.string().min(1).describe('Consumer key of the connected app'),
      clientSecret: secret('Consumer secret; absent where the app needs none').optional(),
      refreshToken: secret('The refresh token'),
    }),
  ])
  .describe('How to log in')

export const LEVELS = ['VIP', 'PREMIUM', 'STANDARD', 'BASIC'] as const
export const STAGES = ['PROSPECTING', 'QUALIFICATION', 'PROPOSAL', 'NEGOTIATION', 'WON', 'LOST'] as const

/** What a Salesforce org needs to be told; see README.md. */
export const salesforceConfig = z.strictObject({
  loginUrl: address.describe('My Domain address, such as https://example.my.salesforce.com'),
  auth,
  apiVersion: z
    .string()
    .regex(/^\d{2,3}\.0$/, 'is a version such as 61.0')
    .default('61.0')
    .describe('Version of the REST and streaming API'),
  verifyCertificate: z.boolean().default(true).describe('Refuse certificates that no known authority signed'),
  clientName: z
    .string()
    .regex(/^[A-Za-z0-9_./-]{1,60}$/, 'is a short name')
    .default('tributary')
    .describe('Who we are in the API logs and in the origin of change events'),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
    .nullable()
    .default(null)
    .describe('Currency of an org that has one; null: the org has several, and each record says its own'),
  countryCodes: z
    .boolean()
    .default(false)
    .describe('The org has state and country picklists: countries are read as codes'),
  fields: z
    .strictObject({
      code: apiName.nullable().default('AccountNumber').describe("People's number of a customer; null: none"),
      parent: apiName
        .nullable()
        .default('ParentId')
        .describe('Field of accounts that leads to the account that one belongs to; null: none'),
      status: fieldFor('Field of accounts that says whether the customer is active'),
      level: fieldFor("Field of accounts that holds the customer's level"),
      taxNumber: fieldFor('Field of accounts that holds the tax number; others recognise the customer by it'),
      email: fieldFor('Field of accounts that holds an e-mail address'),
      primaryContact: fieldFor('Checkbox of contacts that marks the first person to talk to'),
      customerReference: fieldFor(
        'Text field of accounts, External ID and unique, that takes the reference of a write; without it no accounts are made',
      ),
      externalReference: apiName
        .default('Tributary_Ref__c')
        .describe('Text field of opportunities, External ID and unique, that takes the reference of a write'),
      noteReference: fieldFor(
        'Text field of activities, External ID and unique, that takes the reference of a write; without it no notes are taken',
      ),
      orderNumber: fieldFor('Field of opportunities that takes the number of the order that one became'),
      lineProduct: fieldFor('Field of opportunity products that names the product, such as ProductCode'),
      onBehalfOf: fieldFor('Field of opportunities that takes the name of the person who asked'),
    })
    .prefault({})
    .describe('Where an org keeps what has no standard field'),
  customFields: z
    .strictObject({ customer: custom('accounts'), opportunity: custom('opportunities') })
    .prefault({})
    .describe('What the company has added, to be read and written: as text, unless a type is given'),
  statusCodes: z
    .record(z.string().min(1), z.enum(['ACTIVE', 'INACTIVE']))
    .default({ Yes: 'ACTIVE', No: 'INACTIVE', true: 'ACTIVE', false: 'INACTIVE' })
    .describe('What the values of the status field mean'),
  levelCodes: z
    .record(z.string().min(1), z.enum(LEVELS))
    .default({})
    .describe('What the values of the level field mean; the first that fits is written'),
  stageCodes: z
    .record(z.string().min(1), z.enum(STAGES))
    .default({
      Prospecting: 'PROSPECTING',
      Qualification: 'QUALIFICATION',
      'Needs Analysis': 'QUALIFICATION',
      'Id. Decision Makers': 'QUALIFICATION',
      'Proposal/Price Quote': 'PROPOSAL',
      'Value Proposition': 'PROPOSAL',
      'Perception Analysis': 'PROPOSAL',
      'Negotiation/Review': 'NEGOTIATION',
      'Closed Won': 'WON',
      'Closed Lost': 'LOST',
    })
    .describe('What the stages of opportunities mean; the first that fits is written'),
  defaults: z
    .strictObject({
      stage: z.enum(STAGES).default('PROSPECTING').describe('Stage of a new opportunity'),
      closeInDays: z
        .int()
        .min(0)
        .max(3650)
        .default(30)
        .describe('A new opportunity without a close date is expected after so many days'),
      opportunity: z
        .record(apiName, z.union([z.string(), z.boolean()]))
        .default({})
        .describe('Further fields of new opportunities, such as RecordTypeId or Type'),
      note: z
        .record(apiName, z.union([z.string(), z.boolean()]))
        .default({ Subject: 'Note', Status: 'Completed' })
        .describe('Further fields of the tasks that notes about a customer become'),
    })
    .prefault({})
    .describe('What new records need and callers do not say'),
  batchLimit: z.int().min(1).max(2000).default(200).describe('Most keys of one reading'),
  maxQueryLength: z
    .int()
    .min(1000)
    .max(100_000)
    .default(20_000)
    .describe('Longest SOQL text, in characters; keys beyond it go in another query'),
  maxUrlLength: z
    .int()
    .min(500)
    .max(12_000)
    .default(6_000)
    .describe('Longest request line; a longer query goes in the body of a composite request'),
  pageLimit: z.int().min(200).max(2000).default(500).describe('Rows asked for at once'),
  overlapSeconds: z
    .int()
    .min(0)
    .max(86_400)
    .default(120)
    .describe('Polling looks back this far, for records that were stamped before they became visible'),
  uniqueExternalReference: z
    .boolean()
    .default(true)
    .describe('The org refuses a second record with the same reference, so that sending again is safe'),
  changeEvents: z
    .strictObject({
      channel: z
        .union([channel, z.array(channel).min(1)])
        .default('/data/ChangeEvents')
        .describe(
          'Channel of the change events of accounts, contacts and opportunities; or several, such as /data/AccountChangeEvent',
        ),
    })
    .optional()
    .describe('Follow Change Data Capture; without this only polling finds changes'),
})

function isRsaKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

export type SalesforceConfig = z.infer<typeof salesforceConfig>
