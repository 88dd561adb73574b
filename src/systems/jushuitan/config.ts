import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import { MEANINGS } from '../kit/refusals.ts'
import { shopOrderDefaults } from '../kit/shop-order.ts'
import { ORDER_STATUSES } from '../records.ts'

const currency = z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
const number = z.string().regex(/^\d{1,18}$/, 'is a number')

/** What a merchant of 聚水潭 needs to be told; see README.md. */
export const jushuitanConfig = z.strictObject({
  baseUrl: z
    .url({ protocol: /^https?$/, error: 'is an http or https address' })
    .default('https://openapi.jushuitan.com')
    .describe('Address of the open platform; dev-api.jushuitan.com is its test environment'),
  appKey: z.string().min(1).describe('Key of the application (app_key)'),
  appSecret: z.string().min(1).meta({ secret: true }).describe('Secret of the application (app_secret)'),
  verifyCertificate: z.boolean().default(true).describe('Refuse certificates that no known authority signed'),
  timeZone: z
    .string()
    .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
    .default('+08:00')
    .describe('Time zone of the vendor, whose times say none'),
  currency: currency.default('CNY').describe('Currency of orders that name none'),
  company: z.string().min(1).optional().describe('Name of the company in records; absent: none'),
  customerFrom: z
    .enum(['buyer', 'none'])
    .default('buyer')
    .describe("What an order's customer is: the buyer's account (shop_buyer_id), or nobody"),
  numbersOfOtherSystem: z
    .boolean()
    .default(false)
    .describe(
      "The platform's numbers are order numbers of the system that orderNumbersFrom names: deliveries are found by them",
    ),
  warehouses: z
    .array(
      z.strictObject({
        id: number.describe('wms_co_id; 0 stands for all warehouses together'),
        name: z.string().min(1).describe('Name in records'),
      }),
    )
    .min(1)
    .default([{ id: '0', name: '全部仓库' }])
    .describe('Warehouses whose stock is read; each costs a call per batch'),
  orderStates: z
    .record(z.string().min(1), z.enum(ORDER_STATUSES))
    .default({})
    .describe('What a status of an order means, where it is another than in the README'),
  errorCodes: z
    .record(z.string().regex(/^-?\d+$/, 'is a number'), z.enum(MEANINGS))
    .default({})
    .describe('What a code of the vendor means, where its words do not tell'),
  changesBy: z
    .enum(['version', 'modified'])
    .default('version')
    .describe('How changed orders are found: by row version (start_ts), or by the time of modification'),
  overlapSeconds: z
    .int()
    .min(1)
    .max(86_400)
    .default(60)
    .describe('Asking by time looks back so far, for clocks that differ'),
  windowDays: z.int().min(1).max(31).default(7).describe('Widest span of modification times in one question'),
  listDays: z.int().min(1).max(366).default(30).describe('Lists reach back so many days'),
  pageLimit: z.int().min(1).max(100).default(50).describe('Rows in one page of orders and goods'),
  stockPageLimit: z.int().min(1).max(100).default(100).describe('Rows in one page of stock'),
  batchLimit: z.int().min(1).max(100).default(20).describe('Most orders asked for by number in one call'),
  stockBatchLimit: z.int().min(1).max(100).default(100).describe('Most goods asked for in one call'),
  callsPerSecond: z.int().min(1).default(5).describe("The vendor's limit on calls in a second"),
  callsPerMinute: z.int().min(1).default(100).describe("The vendor's limit on calls in a minute"),
  cancelType: z
    .string()
    .min(1)
    .default('其它')
    .describe('Reason given with a cancellation (cancel_type), one that the merchant has set up'),
  customerReferenceField: z
    .string()
    .min(1)
    .nullable()
    .default('outer_so_id')
    .describe("Field of orders for the customer's own reference; null: there is none"),
  orderDefaults: z
    .strictObject({
      shopId: number.describe('Number of the shop (shop_id) that new orders belong to'),
      shopStatus: z
        .string()
        .min(1)
        .default('WAIT_SELLER_SEND_GOODS')
        .describe('State of new orders on the platform (shop_status)'),
      ...shopOrderDefaults,
    })
    .optional()
    .describe('What every new order needs and callers do not know; without it no orders can be created'),
})

export type JushuitanConfig = z.infer<typeof jushuitanConfig>
