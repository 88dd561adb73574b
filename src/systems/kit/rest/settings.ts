/** Settings that kinds with a JSON REST interface share. */
import { z } from 'zod'
import { isTimeZone } from '../clock.ts'

export const name = (standard: string, what: string) => z.string().min(1).default(standard).describe(what)

export const path = (standard: string, what: string) =>
  z
    .string()
    .regex(/^\/[^?#]*[^/?#]$/, 'starts with "/", ends without "/", has no query')
    .default(standard)
    .describe(what)

export const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)

/** It travels in a header. */
const printable = (what: string) =>
  z
    .string()
    .regex(/^[!-~]+$/, 'holds blanks or characters that no header takes')
    .meta({ secret: true })
    .describe(what)

/** How a gateway makes itself known. */
const authBy = {
  bearer: z.strictObject({
    type: z.literal('bearer').describe('`Authorization: Bearer TOKEN`'),
    token: printable('The token, without the word Bearer'),
  }),
  basic: z.strictObject({
    type: z.literal('basic').describe('HTTP Basic'),
    username: z.string().min(1).describe('The technical user'),
    password: secret('Its password'),
  }),
  apiKey: z.strictObject({
    type: z.literal('apiKey').describe('A key in a header of its own'),
    header: z
      .string()
      .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'is not a header name')
      .default('X-API-Key')
      .describe('The header that carries the key'),
    key: printable('The key'),
  }),
  login: z.strictObject({
    type: z
      .literal('login')
      .describe('A login that answers with a Bearer token, renewed when it ends or is refused'),
    path: z
      .string()
      .regex(/^\/[^?#]*[^/?#]$/, 'starts with "/", ends without "/", has no query')
      .default('/auth/login')
      .describe('Where the login is posted, as JSON'),
    username: z.string().min(1).describe('The technical user'),
    password: secret('Its password'),
    usernameField: name('username', 'Name of the user in the body'),
    passwordField: name('password', 'Name of the password in the body'),
    tokenField: name('token', 'Name of the token in the answer or its `data`; dots lead inwards'),
    expiryField: name(
      'expiresAt',
      'When it ends, there: a date-time, milliseconds since 1970, or seconds from now; absent: when it is refused',
    ),
  }),
  signature: z.strictObject({
    type: z
      .literal('signature')
      .describe(
        '`Authorization: ApiKey KEY`, `X-Timestamp` and `X-Signature` over time, key, body and secret',
      ),
    apiKey: printable('The key'),
    secret: secret('The secret that is signed with; it is never sent'),
  }),
}
export type RestAuth = z.infer<(typeof authBy)[keyof typeof authBy]>

const auth = z.discriminatedUnion('type', [
  authBy.bearer,
  authBy.basic,
  authBy.apiKey,
  authBy.login,
  authBy.signature,
])

/** How a system signs what it tells us. */
const webhookBy = {
  body: z.strictObject({
    profile: z
      .literal('body')
      .describe(
        'Signed in the body: its member `signature` is `sha256=` and the HMAC-SHA256 of the body without it',
      ),
    secret: secret('Shared with the system'),
  }),
  signature: z.strictObject({
    profile: z.literal('signature').describe('Signed as our own requests are: `X-Signature`, `X-Timestamp`'),
    apiKey: printable('The key that the system names'),
    secret: secret('The secret that it signs with'),
  }),
  standard: z.strictObject({
    profile: z.literal('standard').optional().describe('Signed as in Standard Webhooks: the default'),
    secret: secret('Shared with the system; with the prefix whsec_ the rest is base64, otherwise plain text'),
  }),
}

export const webhook = z.discriminatedUnion('profile', [
  webhookBy.standard,
  webhookBy.signature,
  webhookBy.body,
])
export type WebhookSettings = z.infer<typeof webhook>

/** What every one of these kinds asks for. @param called What the system is: `CRM`, `WMS`. */
export const restSettings = (called: string) => ({
  baseUrl: z
    .url({ protocol: /^https?$/, error: 'is an http or https address' })
    .describe(`Address of the ${called}; the paths below are appended to it`),
  verifyCertificate: z.boolean().default(true).describe('Refuse certificates that no known authority signed'),
  auth: auth.describe('How the gateway makes itself known'),
  webhook: webhook
    .optional()
    .describe(`The ${called} sends signed events; without this only polling finds changes`),
  pageLimit: z.int().min(1).max(1000).default(100).describe('Most records in one page'),
  onBehalfOfHeader: z
    .string()
    .regex(/^[A-Za-z0-9-]+$/, 'is not a header name')
    .nullable()
    .default('X-On-Behalf-Of')
    .describe(`Tells the ${called} for whom a write is made, percent-encoded UTF-8; null: it is not told`),
})

export const envelope = z
  .enum(['coded', 'success', 'none'])
  .describe(
    'What stands around the data: `{code, message, data}`, `{success, data, error}`, or nothing at all',
  )

export const paging = z
  .enum(['after', 'page'])
  .describe('`after`: by place in the order; `page`: by page number')

/** Every query parameter that these kinds send. */
const PARAMETERS = [
  'after',
  'category',
  'customerIds',
  'deliveryNos',
  'externalRef',
  'ids',
  'invoiceIds',
  'limit',
  'orderNos',
  'orderNumbers',
  'page',
  'search',
  'skuIds',
  'status',
  'trackingNos',
  'updatedSince',
] as const

/** How records are read where the contract leaves that open. @param called What the system is. */
export const readingSettings = (called: string) => ({
  envelope: envelope.default('coded'),
  paging: paging.default('after'),
  listItems: name('items', 'Where a page has its records; `.`: the list stands there by itself'),
  parameters: z
    .partialRecord(z.enum(PARAMETERS), z.string().min(1))
    .default({})
    .describe('Query parameters that have another name here: `updatedSince: updated_since`'),
  batchLimit: z
    .int()
    .min(1)
    .max(1000)
    .default(100)
    .describe('Most keys in one parameter; 1: there is no parameter `ids`, each is read by its own path'),
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
    .describe(`Time zone of date-times that the ${called} gives without an offset`),
})

export const customFields = (what: string) =>
  z
    .record(z.string().regex(/^[A-Za-z]\w{0,63}$/, 'is a name'), z.string().min(1))
    .default({})
    .describe(
      `Our name of a custom field of ${what}, and the name under which the system keeps it; dots lead inwards`,
    )

/** A code table: a word of the system, and what it means here. */
export const codes = <const S extends string>(meanings: readonly [S, ...S[]], what: string) =>
  z.record(z.string().min(1), z.enum(meanings)).default({}).describe(what)

export const unitCodes = z
  .record(z.string().min(1), z.string().regex(/^[A-Z0-9]{2,3}$/, 'is a code of UN/ECE Recommendation 20'))
  .default({})
  .describe('Units of measure as the system writes them, with their code of UN/ECE Recommendation 20')
