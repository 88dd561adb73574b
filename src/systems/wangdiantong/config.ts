import { z } from 'zod'
import { isTimeZone } from '../kit/clock.ts'
import { MEANINGS } from '../kit/refusals.ts'
import { shopOrderDefaults } from '../kit/shop-order.ts'
import { ORDER_STATUSES } from '../records.ts'

const currency = z.string().regex(/^[A-Z]{3}$/, 'is a three-letter code of ISO 4217')
const code = z.string().min(1).max(40)
const field = (standard: string, what: string) => z.string().min(1).default(standard).describe(what)
const fieldOrNone = (standard: string | null, what: string) =>
  z.string().min(1).nullable().default(standard).describe(`${what}; null: there is none`)

/** What a seller of 旺店通 needs to be told; see README.md. */
export const wangdiantongConfig = z
  .strictObject({
    edition: z
      .enum(['enterprise', 'flagship'])
      .describe('企业版 (openapi2) or 旗舰版 (openapi): two products with two protocols'),
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'is an http or https address' })
      .optional()
      .describe('Address; absent: https://api.wangdian.cn/openapi2, or https://wdt.wangdian.cn/openapi'),
    sid: z.string().min(1).describe('Account of the seller (卖家账号)'),
    appKey: z.string().min(1).describe('Account of the interface (appkey, key)'),
    appSecret: z
      .string()
      .min(1)
      .meta({ secret: true })
      .describe('Secret of the interface; of the flagship edition it is SECRET:SALT'),
    verifyCertificate: z
      .boolean()
      .default(true)
      .describe('Refuse certificates that no known authority signed'),
    closeConnections: z
      .boolean()
      .default(false)
      .describe('Ask the server to close each connection, as the multi-tenant flagship edition wants it'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is an offset such as +08:00 or a name such as Asia/Shanghai')
      .default('+08:00')
      .describe('Time zone of the vendor, whose times say none'),
    currency: currency.default('CNY').describe('Currency of orders that name none'),
    company: z.string().min(1).optional().describe('Name of the company in records; absent: none'),
    customerFrom: z
      .enum(['buyer', 'customer', 'none'])
      .default('buyer')
      .describe("What an order's customer is: the buyer's name (buyer_nick), its customer_no, or nobody"),
    numbersOfOtherSystem: z
      .boolean()
      .default(false)
      .describe(
        "The platform's numbers are order numbers of the system that orderNumbersFrom names: deliveries are found by them",
      ),
    customerReferenceField: fieldOrNone(null, "Field of orders for the customer's own reference"),
    orderStates: z
      .record(z.string().regex(/^\d+$/, 'is a number'), z.enum(ORDER_STATUSES))
      .default({})
      .describe('What a trade_status means, where it is another than in the README'),
    stockFields: z
      .strictObject({
        onHand: field('stock_num', 'Quantity on hand (库存量)'),
        available: fieldOrNone(
          'avaliable_num',
          "Quantity that can be sold (可发库存); the vendor's spelling",
        ),
        reserved: fieldOrNone('order_num', 'Quantity promised to orders (待审核量)'),
        incoming: fieldOrNone('purchase_num', 'Quantity ordered from suppliers (采购在途)'),
      })
      .prefault({})
      .describe('Names of the stock figures'),
    errorCodes: z
      .record(z.string().regex(/^-?\d+$/, 'is a number'), z.enum(MEANINGS).exclude(['token']))
      .default({})
      .describe('What a code of the vendor means, where its words do not tell'),
    queues: z
      .strictObject({
        deliveries: z
          .strictObject({ shop: code.optional().describe('Number of the shop; absent: every shop') })
          .optional()
          .describe('What was sent comes from the queue of logistics to be told to the shop (物流同步)'),
        stock: z
          .strictObject({
            shop: code
              .optional()
              .describe('Number of the shop; of the flagship edition none, the account’s rights tell which'),
          })
          .optional()
          .describe('What stock moved comes from the queue of stock to be told to the shop (库存同步)'),
      })
      .prefault({})
      .describe(
        'Queues that the gateway reads and acknowledges. Only where nobody else does: what it has acknowledged counts as told to the shop',
      ),
    queueLimit: z.int().min(1).max(1_000).default(100).describe('Entries taken from a queue at once'),
    overlapSeconds: z
      .int()
      .min(1)
      .max(3_000)
      .default(60)
      .describe('Asking by time looks back so far, for clocks that differ'),
    orderWindowMinutes: z
      .int()
      .min(1)
      .max(43_200)
      .default(60)
      .describe('Widest span of modification times in one question for orders'),
    stockWindowDays: z
      .int()
      .min(1)
      .max(30)
      .default(30)
      .describe('Widest span of modification times in one question for stock'),
    listHours: z
      .int()
      .min(1)
      .max(8_784)
      .default(24)
      .describe('Lists of orders reach back so many hours; each window costs a call'),
    stockListDays: z.int().min(1).max(366).default(90).describe('Lists of stock reach back so many days'),
    pageLimit: z.int().min(1).max(1_000).default(100).describe('Rows in one page'),
    batchLimit: z.int().min(1).max(200).default(20).describe('Most records read together; each costs a call'),
    parallelCalls: z.int().min(1).max(16).default(2).describe('Calls on their way at once for one question'),
    callsPerSecond: z.int().min(1).default(5).describe("The vendor's limit on calls in a second"),
    callsPerMinute: z.int().min(1).default(60).describe("The vendor's limit on calls in a minute"),
    orderDefaults: z
      .strictObject({
        shop: code.describe('Number of the shop (shop_no) that new orders belong to'),
        ...shopOrderDefaults,
      })
      .optional()
      .describe('What every new order needs and callers do not know; without it no orders can be created'),
  })
  .refine((config) => config.edition === 'enterprise' || /^[^:]+:[^:]+$/.test(config.appSecret), {
    error: 'is SECRET:SALT in the flagship edition',
    path: ['appSecret'],
  })
  .refine(
    ({ edition, queues: { stock } }) =>
      stock === undefined || (edition === 'enterprise') === (stock.shop !== undefined),
    {
      error: 'is needed in the enterprise edition, and not known in the flagship edition',
      path: ['queues', 'stock', 'shop'],
    },
  )

export type WangdiantongConfig = z.infer<typeof wangdiantongConfig>
