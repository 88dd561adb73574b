/**
 * The vendor's records and ours. Pure. Numbers are decimal text (`parseJson`); times are the vendor's wall clock,
 * `2026-06-25 10:00:00`.
 * @see openweb.jushuitan.com, 开发文档: 订单查询, 库存查询, 普通商品资料查询, 订单上传
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import { fieldText } from '../kit/named-fields.ts'
import { receiverOf, referenceIn, shopAmounts } from '../kit/shop-order.ts'
import { broken, decimal, given, id, text } from '../kit/text-fields.ts'
import type { OrderCreate, WriteContext } from '../port.ts'
import {
  type ApprovalStatus,
  type DateText,
  type DateTimeText,
  type Decimal,
  type Delivery,
  type InventoryLevel,
  joinKey,
  type Money,
  type Order,
  type OrderStatus,
  type Party,
  type Product,
  type SubStatus,
} from '../records.ts'
import type { JushuitanConfig } from './config.ts'

const TIME = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d))?/
const time = text.refine((value) => value === null || TIME.test(value), 'is no time')

const itemSchema = z.object({
  oi_id: text,
  sku_id: text,
  name: text,
  qty: given,
  price: decimal,
  base_price: decimal,
  amount: decimal,
  refund_qty: decimal,
  remark: text,
})
const paySchema = z.object({ payment: text, pay_date: time })

const orderSchema = z.object({
  o_id: id,
  so_id: text,
  shop_id: text,
  status: text,
  shop_status: text,
  question_type: text,
  shop_buyer_id: text,
  shop_site: text,
  type: text,
  question_desc: text,
  creator_name: text,
  receiver_name: text,
  receiver_phone: text,
  receiver_mobile: text,
  receiver_state: text,
  receiver_city: text,
  receiver_district: text,
  receiver_address: text,
  receiver_zip: text,
  paid_amount: decimal,
  pay_date: time,
  pays: z.array(paySchema).nullish(),
  order_date: time,
  plan_delivery_date: time,
  send_date: time,
  created: time,
  modified: time,
  pay_amount: decimal,
  freight: decimal,
  free_amount: decimal,
  currency: text,
  remark: text,
  l_id: text,
  logistics_company: text,
  lc_id: text,
  io_id: text,
  wms_co_id: text,
  ts: text,
  items: z.array(itemSchema).nullish(),
})
type OrderRow = z.infer<typeof orderSchema>

const stockSchema = z.object({
  sku_id: id,
  qty: given,
  order_lock: decimal,
  purchase_qty: decimal,
  modified: time,
})

const productSchema = z.object({
  sku_id: id,
  name: text,
  sku_code: text,
  unit: text,
  remark: text,
  c_id: text,
  category: text,
  properties_value: text,
  sale_price: decimal,
  cost_price: decimal,
  supplier_id: text,
  supplier_name: text,
  pic_big: text,
  pic: text,
  labels: text,
  enabled: text,
  created: time,
  modified: time,
})

const STATES: Readonly<Record<string, OrderStatus>> = {
  WaitPay: 'NEW',
  WaitConfirm: 'PENDING_APPROVAL',
  WaitFConfirm: 'PENDING_APPROVAL',
  Question: 'PENDING_APPROVAL',
  Delivering: 'IN_PROGRESS',
  WaitOuterSent: 'IN_PROGRESS',
  Sent: 'SHIPPED',
  Merged: 'CLOSED',
  Split: 'CLOSED',
  Cancelled: 'CANCELLED',
}
const FULFILMENT: Readonly<Record<string, SubStatus>> = {
  WaitPay: 'NONE',
  WaitConfirm: 'NONE',
  WaitFConfirm: 'NONE',
  Sent: 'COMPLETE',
  // What was merged or split is sent under another number.
  Merged: 'NOT_RELEVANT',
  Split: 'NOT_RELEVANT',
}

/** Paid orders wait for the merchant's people or rules; before that nobody is asked. */
const APPROVAL: Readonly<Record<string, ApprovalStatus>> = {
  WaitConfirm: 'PENDING',
  WaitFConfirm: 'PENDING',
  Question: 'PENDING',
  Delivering: 'APPROVED',
  WaitOuterSent: 'APPROVED',
  Sent: 'APPROVED',
}

/** Platforms hide names and numbers behind asterisks: they are shown as they come. */
function shipTo(it: OrderRow): Party | null {
  const { receiver_name: name, receiver_state: province, receiver_city: city } = it
  const street = [it.receiver_district, it.receiver_address].filter((part) => part !== null).join(' ') || null
  const phone = it.receiver_mobile ?? it.receiver_phone
  if ([name, phone, street, province, city].every((part) => part === null)) return null
  return { name, phone, address: { street, city, province, postalCode: it.receiver_zip } }
}

export interface Mapping {
  order(row: unknown): Outcome<Order>
  /** Null where nothing of the order was handed to a carrier, or is about to be. */
  delivery(row: unknown): Outcome<Delivery | null>
  /** @param warehouse `wms_co_id` that was asked for. */
  inventoryLevel(row: unknown, warehouse: string): Outcome<InventoryLevel>
  product(row: unknown): Outcome<Product>
  /** `biz` of an upload, or why this configuration cannot say what is asked for. */
  upload(input: OrderCreate, write: WriteContext): Outcome<string>
}

export function createMapping(config: JushuitanConfig, clock: Clock): Mapping {
  const states: Readonly<Record<string, OrderStatus>> = { ...STATES, ...config.orderStates }
  const dateTime = (local: string | null): DateTimeText | null => {
    const [, date, at] = TIME.exec(local ?? '') ?? []
    return date && at ? clock.dateTime(`${date}T${at}`) : null
  }
  const day = (local: string | null): DateText | null => TIME.exec(local ?? '')?.[1] ?? null
  const statusOf = ({ status }: OrderRow): OrderStatus => states[status ?? ''] ?? 'UNKNOWN'

  return {
    order(row) {
      const parsed = orderSchema.safeParse(row)
      if (!parsed.success) return broken('order', row, 'o_id', parsed.error)
      const it = parsed.data
      const currency = it.currency ?? config.currency
      const money = (amount: Decimal | null): Money | null => (amount === null ? null : { amount, currency })
      const reference = referenceIn(it.so_id)
      return ok({
        key: it.o_id,
        version: it.ts ?? it.modified,
        createdAt: dateTime(it.created),
        updatedAt: dateTime(it.modified),
        number: it.o_id,
        company: config.company ?? null,
        customer: config.customerFrom === 'buyer' ? it.shop_buyer_id : null,
        customerName: it.shop_buyer_id,
        customerReference: reference === null ? it.so_id : fieldText(row, config.customerReferenceField),
        externalReference: reference,
        shop: it.shop_id,
        platformNumbers: it.so_id === null || reference !== null ? [] : [it.so_id],
        orderDate: day(it.order_date),
        dueDate: day(it.plan_delivery_date),
        documentType: it.type,
        channel: it.shop_site,
        shipTo: shipTo(it),
        status: statusOf(it),
        vendorStatus: [it.status, it.question_type].filter((part) => part !== null).join(' ') || null,
        statusSince: statusOf(it) === 'SHIPPED' ? dateTime(it.send_date) : null,
        approvalStatus: APPROVAL[it.status ?? ''] ?? null,
        fulfilmentStatus: FULFILMENT[it.status ?? ''] ?? null,
        // 异常: somebody has to look before it goes on.
        holds:
          it.status === 'Question'
            ? [{ type: 'OTHER', code: it.question_type ?? 'Question', text: it.question_desc }]
            : it.status === null
              ? null
              : [],
        trackingNumbers: it.l_id === null ? [] : [it.l_id],
        payment: {
          method: it.pays?.find((pay) => pay.payment !== null)?.payment ?? null,
          paid: money(it.paid_amount),
          paidOn: day(it.pay_date ?? it.pays?.[0]?.pay_date ?? null),
        },
        createdBy: it.creator_name,
        totals: {
          gross: money(it.pay_amount),
          freight: money(it.freight),
          discount: money(it.free_amount),
        },
        comments: it.remark,
        lines: (it.items ?? []).map((line, index) => {
          const price = money(line.price ?? line.base_price)
          return {
            id: line.oi_id ?? String(index + 1),
            lineNumber: String(index + 1),
            product: line.sku_id,
            sku: line.sku_id,
            description: line.name,
            ordered: { value: line.qty },
            returned: line.refund_qty === null ? null : { value: line.refund_qty },
            unitPrice: price && { amount: price, per: '1', taxIncluded: true },
            gross: money(line.amount),
            warehouse: it.wms_co_id,
            comments: line.remark,
          }
        }),
      })
    },

    delivery(row) {
      const parsed = orderSchema.safeParse(row)
      if (!parsed.success) return broken('order', row, 'o_id', parsed.error)
      const it = parsed.data
      const status = statusOf(it)
      if (it.l_id === null && status !== 'SHIPPED' && status !== 'DELIVERED') return ok(null)
      const isSent = status === 'SHIPPED' || status === 'DELIVERED'
      return ok({
        key: it.o_id,
        version: it.ts ?? it.modified,
        createdAt: null,
        updatedAt: dateTime(it.modified),
        number: it.io_id ?? it.o_id,
        direction: 'OUTBOUND',
        customer: config.customerFrom === 'buyer' ? it.shop_buyer_id : null,
        orders: [it.o_id],
        ...(config.numbersOfOtherSystem && it.so_id !== null ? { orderNumbers: [it.so_id] } : {}),
        carrier: it.logistics_company ?? it.lc_id,
        trackingNumbers: it.l_id === null ? [] : [it.l_id],
        shipTo: shipTo(it),
        date: day(it.send_date),
        status: isSent ? 'CLOSED' : status === 'CANCELLED' ? 'CANCELLED' : 'OPEN',
        vendorStatus: it.status,
        lines: (it.items ?? []).map((line, index) => ({
          id: line.oi_id ?? String(index + 1),
          product: line.sku_id,
          description: line.name,
          quantity: { value: line.qty },
          warehouse: it.wms_co_id,
          order: it.o_id,
          orderLine: line.oi_id,
        })),
      })
    },

    inventoryLevel(row, warehouse) {
      const parsed = stockSchema.safeParse(row)
      if (!parsed.success) return broken('stock of', row, 'sku_id', parsed.error)
      const { sku_id: product, qty, order_lock: locked, purchase_qty: incoming, modified } = parsed.data
      return ok({
        key: joinKey([product, warehouse]),
        updatedAt: dateTime(modified),
        product,
        warehouse,
        onHand: { value: qty },
        reserved: locked === null ? null : { value: locked },
        // The vendor's own rule; may be negative.
        available: locked === null ? null : { value: new Big(qty).minus(locked).toFixed() },
        incoming: incoming === null ? null : { value: incoming },
      })
    },

    product(row) {
      const parsed = productSchema.safeParse(row)
      if (!parsed.success) return broken('product', row, 'sku_id', parsed.error)
      const it = parsed.data
      return ok({
        key: it.sku_id,
        version: it.modified,
        createdAt: dateTime(it.created),
        updatedAt: dateTime(it.modified),
        sku: it.sku_id,
        name: it.name ?? '',
        barcode: it.sku_code,
        unit: it.unit,
        active: it.enabled === null ? null : it.enabled === '1',
        // 1 启用, 0 备用, -1 禁用
        status: it.enabled === null ? 'UNKNOWN' : it.enabled === '1' ? 'ACTIVE' : 'INACTIVE',
        vendorStatus: it.enabled,
        description: it.remark,
        category: it.c_id === null ? null : { key: it.c_id, name: it.category },
        specifications:
          it.properties_value === null ? [] : [{ name: '颜色规格', value: it.properties_value }],
        price:
          it.sale_price === null
            ? null
            : { amount: { amount: it.sale_price, currency: config.currency }, per: '1', taxIncluded: true },
        cost: it.cost_price === null ? null : { amount: it.cost_price, currency: config.currency },
        supplier: it.supplier_id === null ? null : { key: it.supplier_id, name: it.supplier_name },
        images: [it.pic_big ?? it.pic].filter((url) => url !== null),
        tags: (it.labels ?? '').split(',').filter((label) => label !== ''),
      })
    },

    upload(input, { externalReference }) {
      const defaults = config.orderDefaults
      if (!defaults) {
        const message =
          'The configuration has no orderDefaults: this system does not know what new orders need.'
        return fail({ kind: 'unsupported', message })
      }
      const custom = Object.keys(input.customFields ?? {})[0]
      if (custom !== undefined) {
        const message = `This system has no field for "${custom}".`
        return fail({ kind: 'rejected', code: 'INPUT', message, field: custom })
      }
      const reference = config.customerReferenceField
      if (input.customerReference !== undefined && reference === null) {
        const message = 'This system has no field for a reference of the customer.'
        return fail({ kind: 'rejected', code: 'INPUT', message, field: 'customerReference' })
      }
      if (input.currency !== undefined && input.currency !== config.currency) {
        const message = `Orders of this shop are in ${config.currency}, not in ${input.currency}.`
        return fail({ kind: 'rejected', code: 'INPUT', message, field: 'currency' })
      }
      const amounts = shopAmounts(input, defaults.taxPercent)
      if (!amounts.ok) return amounts
      const { lines, pay } = amounts.value
      const to = receiverOf(input, defaults.receiver)
      if (!to.ok) return to
      const receiver = to.value
      const today = clock.wall(new Date())
      const orderedAt = input.orderDate ? `${input.orderDate} 00:00:00` : today.replace('T', ' ')
      const order = {
        shop_id: jsonNumber(defaults.shopId),
        so_id: externalReference,
        order_date: orderedAt,
        shop_status: defaults.shopStatus,
        shop_buyer_id: input.customer,
        receiver_name: receiver.name,
        receiver_phone: receiver.phone,
        receiver_state: receiver.province,
        receiver_city: receiver.city,
        ...(receiver.district === '' ? {} : { receiver_district: receiver.district }),
        receiver_address: receiver.address,
        pay_amount: jsonNumber(pay),
        freight: jsonNumber('0'),
        plan_delivery_date: `${input.dueDate} 00:00:00`,
        ...(input.comments === undefined ? {} : { remark: input.comments }),
        ...(reference === null || input.customerReference === undefined
          ? {}
          : { [reference]: input.customerReference }),
        items: lines.map((line, index) => ({
          sku_id: line.product,
          shop_sku_id: line.product,
          name: line.product,
          qty: jsonNumber(line.quantity),
          base_price: jsonNumber(line.price),
          amount: jsonNumber(line.amount),
          outer_oi_id: `${externalReference}-${index + 1}`,
        })),
        pay: {
          outer_pay_id: externalReference,
          pay_date: orderedAt,
          payment: input.paymentMethod ?? '其它',
          buyer_account: input.customer,
          amount: jsonNumber(pay),
        },
      }
      return ok(JSON.stringify([order]))
    },
  }
}

export const whenModified = (row: unknown): string | null => {
  const modified = (row as { modified?: unknown } | null)?.modified
  return typeof modified === 'string' && TIME.test(modified) ? modified.replace(' ', 'T').slice(0, 19) : null
}
