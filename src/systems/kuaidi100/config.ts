import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'

const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)
const address = z.url({ protocol: /^https?$/, error: 'is an http or https address' })

const isPattern = (text: string): boolean => {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}

const carrier = z.strictObject({
  name: z.string().min(1).describe('As people call it'),
  aliases: z
    .array(z.string().min(1))
    .default([])
    .describe('Other names and codes of it, as warehouses write them'),
  numbers: z
    .string()
    .refine(isPattern, 'is no regular expression')
    .optional()
    .describe('What its tracking numbers look like, where that tells them from others: a regular expression'),
  needsPhone: z
    .boolean()
    .default(false)
    .describe('It tells nothing without digits of the recipient’s or the sender’s telephone number'),
})

/** What an account at 快递100 needs to be told. */
export const kuaidi100Config = z.strictObject({
  baseUrl: address.default('https://poll.kuaidi100.com').describe('Address of the interface'),
  customer: z.string().min(1).describe('Number of the account (customer)'),
  key: secret('Authorisation key of the account (授权key)'),
  webhook: z
    .strictObject({
      url: address.describe('Where 快递100 reaches this gateway: its public address and /webhooks/SYSTEM'),
      salt: z
        .string()
        .min(16, 'is too short: use 16 to 32 characters')
        .max(32, 'is too long: 快递100 takes 32 characters')
        .meta({ secret: true })
        .describe('What pushes are signed with; never changes for parcels that are followed already'),
    })
    .optional()
    .describe('Lets parcels be followed: 快递100 tells of their events; without it they are only asked for'),
  phone: z
    .string()
    .regex(/^[\d-]{4,20}$/, 'is a telephone number or its last four digits')
    .meta({ secret: true })
    .optional()
    .describe('The sender’s own telephone number, for carriers that tell nothing without one (顺丰)'),
  intervalMinutes: z
    .int()
    .min(0)
    .max(1440)
    .default(30)
    .describe('One parcel is not asked for more often than this; what was said last is told instead'),
  remember: z
    .int()
    .min(100)
    .max(1_000_000)
    .default(10_000)
    .describe('Parcels whose last answer is kept in memory for that'),
  carriers: z
    .record(z.string().regex(/^[a-z0-9]{2,40}$/, 'is a code of 快递100: small letters and digits'), carrier)
    .default({})
    .describe('Carriers by the codes of 快递100, beside the usual ones or instead of what is known of them'),
  recogniseUrl: address
    .optional()
    .describe(
      'Where 快递100 tells the carrier of a bare number, for example https://www.kuaidi100.com/autonumber/auto; each question costs',
    ),
  timeZone: z
    .string()
    .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
    .default('Asia/Shanghai')
    .describe('Time zone of its times, which come without an offset'),
})
export type Kuaidi100Config = z.infer<typeof kuaidi100Config>
