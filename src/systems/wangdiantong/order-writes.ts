/**
 * Pushing orders. What is pushed is a raw order (原始订单) of the shop; the seller's own rules, or a person, hand it in,
 * and only then it is an order. The shop's number (`tid`) belongs to one raw order for ever: pushed again, the same
 * one is brought up to date.
 */
import { LRUCache } from 'lru-cache'
import {
  fail,
  failureText,
  type Outcome,
  ok,
  outcomeOf,
  SourceError,
  type SourceFailure,
} from '../failure.ts'
import type {
  ActionInput,
  CallContext,
  OrderCreate,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteResult,
} from '../port.ts'
import type { Key, Order } from '../records.ts'
import type { WangdiantongConfig } from './config.ts'
import type { Edition, Row } from './edition.ts'
import type { Mapping } from './mapping.ts'

export interface OrderWritesOptions {
  readonly edition: Edition
  readonly config: WangdiantongConfig
  readonly map: Mapping
  /** Orders that carry a number of the platform. @throws SourceError */
  rowsOf(platformNumber: string, call: CallContext): Promise<readonly Row[]>
  /** The order of a number. @throws SourceError */
  rowOf(key: Key, call: CallContext): Promise<Row | null>
}

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  actions: { cancel: WriteAction<ActionInput, 'order'> }
} {
  return { create: createAction(options), actions: { cancel: cancelAction(options) } }
}

function pushRequest(config: WangdiantongConfig, body: string): VendorRequest {
  const isForm = config.edition === 'enterprise'
  return {
    method: 'POST',
    path: isForm ? '/trade_push.php' : '?method=sales.RawTrade.pushSelf2',
    headers: { 'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json' },
    body: isForm ? `shop_no=${config.orderDefaults?.shop ?? ''}&trade_list=${body}` : body,
  }
}

function createAction({
  edition,
  config,
  map,
  rowsOf,
}: OrderWritesOptions): WriteAction<OrderCreate, 'order'> {
  /** Taken as raw orders, as far as this process knows. */
  const taken = new LRUCache<string, true>({ max: 1_000, ttl: 7 * 24 * 3_600_000 })

  const find = (number: string, call: CallContext): Promise<Outcome<WriteResult<'order'> | null>> =>
    outcomeOf(async () => {
      const rows = await rowsOf(number, call)
      const shop = config.orderDefaults?.shop
      for (const row of rows) {
        if (shop !== undefined && row.shop_no !== shop) continue
        const order = map.order(row)
        if (!order.ok || order.value.externalReference !== number) continue
        const { key, status } = order.value
        const waits = status === 'PENDING_APPROVAL' || status === 'NEW'
        return { key, record: order.value, reached: waits ? 'submitted' : 'effective' }
      }
      return null
    })

  const waiting = (number: string) =>
    fail({
      kind: 'awaiting-approval',
      vendorReference: number,
      message: 'Taken as a raw order (原始订单); it becomes an order when it is handed in (递交) over there.',
    })

  return {
    takes: ['shipTo'],

    preview(input, write) {
      const text = map.pushed(input, write)
      return pushRequest(config, text.ok ? text.value : failureText(text.failure))
    },

    async send(input, write, call) {
      const text = map.pushed(input, write)
      if (!text.ok) return text
      const number = write.externalReference
      const sent = await outcomeOf(() => edition.push(text.value, number, call))
      if (!sent.ok) return sent
      if (!sent.value.taken) {
        const message =
          sent.value.message.slice(0, 500) || 'The order was not taken; the vendor does not say why.'
        return fail({ kind: 'rejected', code: 'PUSH', message })
      }
      taken.set(number, true)
      const found = await find(number, call)
      return found.ok && found.value ? ok(found.value) : waiting(number)
    },

    async verify(_input, { externalReference: number }, call): Promise<Outcome<Verdict<'order'>>> {
      const found = await find(number, call)
      if (!found.ok) return found
      if (found.value) return ok({ effect: 'done', result: found.value })
      if (taken.has(number)) return waiting(number)
      // A raw order is not seen here. Pushed again it stays one: but that is no proof that there is none.
      return ok({ effect: 'none', proven: false, evidence: `no order has the platform's number ${number}` })
    },
  }
}

/**
 * An order that has not left is cancelled by its shop: the raw order is pushed again as paid back, and the seller's
 * rules cancel what was made of it, at once or when somebody looks.
 */
function cancelAction({
  edition,
  config,
  map,
  rowOf,
}: OrderWritesOptions): WriteAction<ActionInput, 'order'> {
  const done = (record: Order): WriteResult<'order'> => ({ key: record.key, record, reached: 'effective' })
  const standing = (key: Key, call: CallContext): Promise<Outcome<{ row: Row; order: Order } | null>> =>
    outcomeOf(async () => {
      const row = await rowOf(key, call)
      if (row === null) return null
      const order = map.order(row)
      if (!order.ok) throw new SourceError(order.failure)
      return { row, order: order.value }
    })

  return {
    // What of the order is said again is only known when it is sent.
    preview: ({ key }) => pushRequest(config, JSON.stringify([{ trade_no: key, trade_status: 80 }])),

    async send({ key, expectedVersion }, _write, call) {
      const before = await standing(key, call)
      if (!before.ok) return before
      if (before.value === null) return fail({ kind: 'not-found', message: `There is no order ${key}.` })
      const { row, order } = before.value
      if (expectedVersion !== undefined && order.version !== expectedVersion) {
        const message = `Order ${key} has been changed since it was read.`
        const current = order.version ? { currentVersion: order.version } : {}
        return fail({ kind: 'conflict', message, ...current })
      }
      if (order.status === 'CANCELLED') return ok(done(order))
      if (order.fulfilmentStatus === 'COMPLETE') {
        return fail({ kind: 'rejected', code: 'SENT', message: `Order ${key} has been sent.` })
      }
      const text = map.closed(row)
      if (!text.ok) return text
      const sent = await outcomeOf(() => edition.push(text.value, String(row.src_tids ?? ''), call))
      if (!sent.ok) return sent
      if (!sent.value.taken) {
        const message = sent.value.message.slice(0, 500) || `Order ${key} cannot be cancelled.`
        return fail({ kind: 'rejected', code: 'PUSH', message })
      }
      const after = await standing(key, call)
      if (after.ok && after.value?.order.status === 'CANCELLED') return ok(done(after.value.order))
      return fail(waitingFor(key))
    },

    async verify({ key }, _write, call): Promise<Outcome<Verdict<'order'>>> {
      const now = await standing(key, call)
      if (!now.ok) return now
      if (now.value?.order.status === 'CANCELLED')
        return ok({ effect: 'done', result: done(now.value.order) })
      const state = now.value?.order.vendorStatus ?? 'not there'
      return ok({ effect: 'none', proven: false, evidence: `order ${key} has trade_status ${state}` })
    },
  }
}

const waitingFor = (key: Key): SourceFailure => ({
  kind: 'awaiting-approval',
  vendorReference: key,
  message: `The shop has paid order ${key} back; it is cancelled when it is looked at over there.`,
})
