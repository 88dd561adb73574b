/**
 * The vendor's records and ours. Pure. Numbers arrive as decimal text, with four digits; times are the vendor's wall
 * clock, `2026-06-25 10:00:00`, and `0000-00-00 00:00:00` for none.
 * @see open.wangdian.cn, API文档: trade_query, stock_query, warehouse_query, trade_push; sales.TradeQuery.queryWithDetail,
 * sales.RawTrade.pushSelf2
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import { fieldText, pick } from '../kit/named-fields.ts'
import { type Receiver, receiverOf, referenceIn, type ShopLine, shopAmounts } from '../kit/shop-order.ts'
import { broken, decimal, given, id, text } from '../kit/text-fields.ts'
import type { OrderCreate, WriteContext } from '../port.ts'
import {
  type ApprovalStatus,
  type DateText,
  type DateTimeText,
  type Decimal,
  type Delivery,
  type Hold,
  type InventoryLevel,
  joinKey,
  type Money,
  type Order,
  type OrderStatus,
  type Party,
  type SubStatus,
  type Warehouse,
} from '../records.ts'
import type { WangdiantongConfig } from './config.ts'

const TIME = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d))?/

const lineSchema = z.object({
  rec_id: text,
  spec_no: text,
  goods_name: text,
  spec_name: text,
  num: given,
  actual_num: decimal,
  order_price: decimal,
  price: decimal,
  share_amount: decimal,
  src_oid: text,
  refund_num: decimal,
  tax_rate: decimal,
  remark: text,
})

const tradeSchema = z.object({
  trade_no: id,
  src_tids: text,
  trade_status: text,
  shop_no: text,
  warehouse_no: text,
  buyer_nick: text,
  customer_no: text,
  customer_name: text,
  trade_type: text,
  platform_id: text,
  receiver_name: text,
  receiver_mobile: text,
  receiver_telno: text,
  receiver_area: text,
  receiver_address: text,
  receiver_zip: text,
  freeze_reason: text,
  freeze_reason_info: text,
  paid: decimal,
  pay_time: text,
  trade_time: text,
  consign_time: text,
  to_deliver_time: text,
  created: text,
  modified: text,
  receivable: decimal,
  post_amount: decimal,
  discount: decimal,
  tax: decimal,
  currency: text,
  cs_remark: text,
  logistics_no: text,
  logistics_name: text,
  logistics_code: text,
  stockout_no: text,
  version_id: text,
  goods_list: z.array(lineSchema).nullish(),
})
type Trade = z.infer<typeof tradeSchema>

const stockSchema = z.object({
  spec_no: id,
  warehouse_no: id,
  modified: text,
  onHand: given,
  available: decimal,
  reserved: decimal,
  incoming: decimal,
})

const warehouseSchema = z.object({ warehouse_no: id, name: text })

/** By the numbers of the vendor's own pages, of both editions; they grow as an order goes on. */
const STATES: Readonly<Record<string, OrderStatus>> = {
  '4': 'CANCELLED',
  '5': 'CANCELLED',
  '6': 'PENDING_APPROVAL',
  '10': 'NEW',
  '12': 'NEW',
  '13': 'NEW',
  '15': 'NEW',
  '16': 'PENDING_APPROVAL',
  '19': 'NEW',
  '20': 'NEW',
  '21': 'IN_PROGRESS',
  '22': 'NEW',
  '23': 'PENDING_APPROVAL',
  '24': 'NEW',
  '25': 'NEW',
  '27': 'NEW',
  '30': 'PENDING_APPROVAL',
  '35': 'PENDING_APPROVAL',
  '40': 'IN_PROGRESS',
  '45': 'IN_PROGRESS',
  '50': 'IN_PROGRESS',
  '53': 'IN_PROGRESS',
  '55': 'CONFIRMED',
  '95': 'SHIPPED',
  '96': 'SHIPPED',
  '100': 'DELIVERED',
  '101': 'SHIPPED',
  '105': 'SHIPPED',
  '110': 'CLOSED',
}
const UNSENT = new Set<OrderStatus>(['NEW', 'PENDING_APPROVAL', 'CONFIRMED'])

const trackingNumbers = (it: Trade): string[] =>
  (it.logistics_no ?? '').split(',').filter((one) => one !== '')

/** 30 待客审 and 35 待财审 wait for people; what is further has been approved. */
function approvalOf(status: string | null): ApprovalStatus | null {
  const at = Number(status ?? 0)
  return at === 30 || at === 35 ? 'PENDING' : at >= 40 ? 'APPROVED' : null
}

/** 冻结: 0 is none. */
function holdsOf({ freeze_reason: code, freeze_reason_info: info }: Trade): Hold[] | null {
  if (code === null) return info === null ? null : [{ type: 'OTHER', code: info, text: info }]
  return /^0(\.0*)?$/.test(code) ? [] : [{ type: 'OTHER', code, text: info }]
}

/** The vendor writes 0.1300. */
const taxPercent = (rate: Decimal | null): Decimal | null =>
  rate === null ? null : new Big(rate).times(100).toFixed()

/** `receiver_area` is 省 市 区 with blanks between; platforms hide names and numbers behind asterisks. */
function shipTo(it: Trade): Party | null {
  const [province = null, city = null, ...district] = (it.receiver_area ?? '')
    .split(' ')
    .filter((part) => part)
  const street = [...district, it.receiver_address].filter((part) => part !== null).join(' ') || null
  const { receiver_name: name, receiver_zip: postalCode } = it
  const phone = it.receiver_mobile ?? it.receiver_telno
  if ([name, phone, street, province].every((part) => part === null)) return null
  return { name, phone, address: { street, city, province, postalCode } }
}

export interface Mapping {
  order(row: unknown): Outcome<Order>
  /** Null where nothing of the order was handed to a carrier, or is about to be. */
  delivery(row: unknown): Outcome<Delivery | null>
  inventoryLevel(row: unknown): Outcome<InventoryLevel>
  warehouse(row: unknown): Outcome<Warehouse>
  /** What `push` sends, or why this configuration cannot say what is asked for. */
  pushed(input: OrderCreate, write: WriteContext): Outcome<string>
  /** What `push` sends to have an order cancelled: the shop paid it back. @param row As it stands. */
  closed(row: unknown): Outcome<string>
}

interface RawOrder {
  readonly shop: string
  readonly number: string
  readonly orderedAt: string
  readonly buyer: string
  readonly receiver: Receiver
  readonly freight: Decimal
  readonly pay: Decimal
  readonly isClosed: boolean
  /** Further fields of the head. */
  readonly own: Readonly<Record<string, string>>
  readonly remark: string | undefined
  readonly lines: readonly (ShopLine & { readonly oid: string })[]
}

export function createMapping(config: WangdiantongConfig, clock: Clock): Mapping {
  const states: Readonly<Record<string, OrderStatus>> = { ...STATES, ...config.orderStates }
  const parts = (local: string | null) => {
    const [, date, at] = TIME.exec(local ?? '') ?? []
    return date && !date.startsWith('0000') ? { date, at } : null
  }
  const dateTime = (local: string | null): DateTimeText | null => {
    const it = parts(local)
    return it?.at ? clock.dateTime(`${it.date}T${it.at}`) : null
  }
  const day = (local: string | null): DateText | null => parts(local)?.date ?? null
  const statusOf = (it: Trade): OrderStatus => states[it.trade_status ?? ''] ?? 'UNKNOWN'
  const isSent = (it: Trade): boolean => ['SHIPPED', 'DELIVERED', 'CLOSED'].includes(statusOf(it))
  const customerOf = (it: Trade) =>
    ({ buyer: it.buyer_nick, customer: it.customer_no, none: null })[config.customerFrom]
  const platformNumbers = (it: Trade): string[] => (it.src_tids ?? '').split(',').filter((one) => one !== '')
  const versionOf = (it: Trade) => it.version_id ?? it.modified

  return {
    order(row) {
      const parsed = tradeSchema.safeParse(row)
      if (!parsed.success) return broken('order', row, 'trade_no', parsed.error)
      const it = parsed.data
      const status = statusOf(it)
      const currency = /^[A-Z]{3}$/.test(it.currency ?? '') ? (it.currency ?? '') : config.currency
      const money = (amount: Decimal | null): Money | null => (amount === null ? null : { amount, currency })
      const numbers = platformNumbers(it)
      const reference = numbers.map(referenceIn).find((one) => one !== null) ?? null
      const own = fieldText(row, config.customerReferenceField)
      const fulfilment: SubStatus | null = isSent(it)
        ? 'COMPLETE'
        : status === 'CANCELLED'
          ? 'NOT_RELEVANT'
          : UNSENT.has(status)
            ? 'NONE'
            : null
      return ok({
        key: it.trade_no,
        version: versionOf(it),
        createdAt: dateTime(it.created),
        updatedAt: dateTime(it.modified),
        number: it.trade_no,
        company: config.company ?? null,
        customer: customerOf(it),
        customerName: it.customer_name ?? it.buyer_nick,
        customerReference: reference === null ? it.src_tids : own,
        externalReference: reference,
        documentType: it.trade_type,
        channel: it.platform_id,
        shipTo: shipTo(it),
        shop: it.shop_no,
        platformNumbers: numbers.filter((number) => referenceIn(number) === null),
        orderDate: day(it.trade_time),
        dueDate: day(it.to_deliver_time),
        status,
        vendorStatus: it.trade_status,
        statusSince: status === 'SHIPPED' ? dateTime(it.consign_time) : null,
        approvalStatus: status === 'CANCELLED' ? null : approvalOf(it.trade_status),
        fulfilmentStatus: fulfilment,
        holds: holdsOf(it),
        trackingNumbers: trackingNumbers(it),
        payment: { paid: money(it.paid), paidOn: day(it.pay_time) },
        totals: {
          gross: money(it.receivable),
          tax: money(it.tax),
          freight: money(it.post_amount),
          discount: money(it.discount),
        },
        comments: it.cs_remark,
        lines: (it.goods_list ?? []).map((line, index) => {
          const price = money(line.order_price ?? line.price)
          return {
            id: line.rec_id ?? String(index + 1),
            lineNumber: String(index + 1),
            product: line.spec_no,
            sku: line.spec_no,
            description: [line.goods_name, line.spec_name].filter((part) => part !== null).join(' ') || null,
            ordered: { value: line.num },
            returned: line.refund_num === null ? null : { value: line.refund_num },
            unitPrice: price && { amount: price, per: '1', taxIncluded: true },
            taxRate: taxPercent(line.tax_rate),
            gross: money(line.share_amount),
            warehouse: it.warehouse_no,
            comments: line.remark,
          }
        }),
      })
    },

    delivery(row) {
      const parsed = tradeSchema.safeParse(row)
      if (!parsed.success) return broken('order', row, 'trade_no', parsed.error)
      const it = parsed.data
      if (it.logistics_no === null && !isSent(it)) return ok(null)
      return ok({
        key: it.trade_no,
        version: versionOf(it),
        updatedAt: dateTime(it.modified),
        number: it.stockout_no ?? it.trade_no,
        direction: 'OUTBOUND',
        customer: customerOf(it),
        orders: [it.trade_no],
        ...(config.numbersOfOtherSystem ? { orderNumbers: platformNumbers(it) } : {}),
        carrier: it.logistics_name ?? it.logistics_code,
        trackingNumbers: trackingNumbers(it),
        shipTo: shipTo(it),
        date: day(it.consign_time),
        status: isSent(it) ? 'CLOSED' : statusOf(it) === 'CANCELLED' ? 'CANCELLED' : 'OPEN',
        vendorStatus: it.trade_status,
        lines: (it.goods_list ?? []).map((line, index) => ({
          id: line.rec_id ?? String(index + 1),
          product: line.spec_no,
          description: line.goods_name,
          quantity: { value: line.actual_num ?? line.num },
          warehouse: it.warehouse_no,
          order: it.trade_no,
          orderLine: line.rec_id,
        })),
      })
    },

    inventoryLevel(row) {
      const parsed = pick(stockSchema, config.stockFields, row)
      if (!parsed.success) return broken('stock of', row, 'spec_no', parsed.error)
      const { spec_no: product, warehouse_no: warehouse, modified, onHand, ...figures } = parsed.data
      const figure = (value: Decimal | null) => (value === null ? null : { value })
      return ok({
        key: joinKey([product, warehouse]),
        updatedAt: dateTime(modified),
        product,
        warehouse,
        onHand: { value: onHand },
        reserved: figure(figures.reserved),
        available: figure(figures.available),
        incoming: figure(figures.incoming),
      })
    },

    warehouse(row) {
      const parsed = warehouseSchema.safeParse(row)
      if (!parsed.success) return broken('warehouse', row, 'warehouse_no', parsed.error)
      return ok({ key: parsed.data.warehouse_no, name: parsed.data.name })
    },

    pushed(input, { externalReference: number }) {
      const defaults = config.orderDefaults
      if (!defaults) {
        const message =
          'The configuration has no orderDefaults: this system does not know what new orders need.'
        return fail({ kind: 'unsupported', message })
      }
      const refuse = (message: string, name: string) =>
        fail({ kind: 'rejected', code: 'INPUT', message, field: name })
      const custom = Object.keys(input.customFields ?? {})[0]
      if (custom !== undefined) return refuse(`This system has no field for "${custom}".`, custom)
      if (input.currency !== undefined && input.currency !== config.currency) {
        return refuse(`Orders of this shop are in ${config.currency}, not in ${input.currency}.`, 'currency')
      }
      const reference = config.customerReferenceField
      if (input.customerReference !== undefined && reference === null) {
        return refuse('This system has no field for a reference of the customer.', 'customerReference')
      }
      const amounts = shopAmounts(input, defaults.taxPercent)
      if (!amounts.ok) return amounts
      const { lines, pay } = amounts.value
      const to = receiverOf(input, defaults.receiver)
      if (!to.ok) return to
      const receiver = to.value
      const orderedAt = input.orderDate
        ? `${input.orderDate} 00:00:00`
        : clock.wall(new Date()).replace('T', ' ')
      return ok(
        rawOrder({
          shop: defaults.shop,
          number,
          orderedAt,
          buyer: input.customer,
          receiver,
          freight: '0',
          pay,
          isClosed: false,
          own: {
            to_deliver_time: `${input.dueDate} 00:00:00`,
            ...(reference === null || input.customerReference === undefined
              ? {}
              : { [reference]: input.customerReference }),
          },
          remark: input.comments,
          lines: lines.map((line, index) => ({ ...line, oid: oidOf(number, index) })),
        }),
      )
    },

    closed(row) {
      const refuse = (message: string) => fail({ kind: 'unsupported', message } as const)
      const parsed = tradeSchema.safeParse(row)
      if (!parsed.success) return broken('order', row, 'trade_no', parsed.error)
      const it = parsed.data
      const [number, ...others] = platformNumbers(it)
      if (it.shop_no === null || it.shop_no !== config.orderDefaults?.shop) {
        return refuse(
          'Only orders of the configured shop can be cancelled: of others, their platform says so.',
        )
      }
      if (number === undefined || others.length > 0) {
        return refuse('Orders that were put together from several of the shop cannot be cancelled.')
      }
      const [province = '', city = '', ...district] = (it.receiver_area ?? '')
        .split(' ')
        .filter((part) => part)
      const orderedAt = it.trade_time ?? clock.wall(new Date()).replace('T', ' ')
      return ok(
        rawOrder({
          shop: it.shop_no,
          number,
          orderedAt,
          buyer: it.buyer_nick ?? '',
          receiver: {
            name: it.receiver_name ?? '',
            phone: it.receiver_mobile ?? it.receiver_telno ?? '',
            province,
            city,
            district: district.join(' '),
            address: it.receiver_address ?? '',
          },
          freight: it.post_amount ?? '0',
          pay: it.paid ?? it.receivable ?? '0',
          isClosed: true,
          own: {},
          remark: it.cs_remark ?? undefined,
          lines: (it.goods_list ?? []).map((line, index) => ({
            oid: line.src_oid ?? oidOf(number, index),
            product: line.spec_no ?? '',
            quantity: line.num,
            price: line.price ?? line.order_price ?? '0',
            discount: '0',
            amount: line.share_amount ?? '0',
          })),
        }),
      )
    },
  }

  /** A raw order as either edition takes it; one that is closed was paid back whole before it was sent. */
  function rawOrder(raw: RawOrder): string {
    const { number, lines, receiver, isClosed } = raw
    // 30 paid and waiting, 80 paid back (已退款); of a line, 5 is a refund that has ended.
    const status = isClosed ? 80 : 30
    const refund = isClosed ? 5 : 0
    const items = lines.map((line) => ({
      oid: line.oid,
      num: jsonNumber(line.quantity),
      price: jsonNumber(line.price),
      status,
      refund_status: refund,
      goods_id: line.product,
      spec_id: line.product,
      goods_no: line.product,
      spec_no: line.product,
      goods_name: line.product,
      // The vendor works out price × quantity + adjustment − discount; so it comes to the cent.
      adjust_amount: jsonNumber(
        new Big(line.amount).plus(line.discount).minus(new Big(line.price).times(line.quantity)).toFixed(),
      ),
      discount: jsonNumber(line.discount),
      share_discount: 0,
    }))
    const head = {
      tid: number,
      trade_status: status,
      pay_status: 2,
      delivery_term: 1,
      trade_time: raw.orderedAt,
      pay_time: raw.orderedAt,
      buyer_nick: raw.buyer,
      receiver_name: receiver.name,
      receiver_address: receiver.address,
      receiver_mobile: receiver.phone,
      logistics_type: -1,
      post_amount: jsonNumber(raw.freight),
      cod_amount: 0,
      paid: jsonNumber(raw.pay),
      ...raw.own,
    }
    const { province, city, district } = receiver
    if (config.edition === 'enterprise') {
      const trade = {
        ...head,
        receiver_province: province,
        receiver_city: city,
        ...(district === '' ? {} : { receiver_district: district }),
        ...(raw.remark === undefined ? {} : { seller_memo: raw.remark }),
        order_list: items,
      }
      return JSON.stringify([trade])
    }
    const count = lines.reduce((sum, line) => sum.plus(line.quantity), new Big(0)).toFixed()
    const discount = lines.reduce((sum, line) => sum.plus(line.discount), new Big(0)).toFixed(2)
    const trade = {
      ...head,
      process_status: 10,
      refund_status: refund,
      order_count: lines.length,
      goods_count: jsonNumber(count),
      pay_method: 1,
      end_time: null,
      receiver_area: [province, city, district].filter((one) => one).join(' '),
      other_amount: 0,
      discount: jsonNumber(discount),
      receivable: jsonNumber(raw.pay),
      is_auto_wms: false,
      warehouse_no: '',
      ...(raw.remark === undefined ? {} : { remark: raw.remark }),
    }
    const details = items.map((item, index) => ({
      ...item,
      tid: number,
      order_type: 0,
      total_amount: jsonNumber(lines[index]?.amount ?? '0'),
      refund_amount: isClosed ? jsonNumber(lines[index]?.amount ?? '0') : 0,
      remark: '',
      json: '',
    }))
    return JSON.stringify([raw.shop, [trade], details])
  }
}

/** What a line of an order that we pushed is called at the shop. */
export const oidOf = (number: string, index: number): string => `${number}-${index + 1}`

export const whenModified = (row: unknown): string | null => {
  const modified = fieldText(row, 'modified')
  return modified !== null && TIME.test(modified) ? modified.replace(' ', 'T').slice(0, 19) : null
}
