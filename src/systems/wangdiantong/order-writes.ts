/**
 * Pushing orders. What is pushed is a raw order (原始订单) of the shop; the seller's own rules, or a person, hand it in,
 * and only then it is an order. The shop's number (`tid`) belongs to one raw order for ever: pushed again, the same
 * one is brought up to date.
 */
import { LRUCache } from 'lru-cache'
import { fail, failureText, type Outcome, ok, outcomeOf } from '../failure.ts'
import type { CallContext, OrderCreate, Verdict, WriteAction, WriteResult } from '../port.ts'
import type { WangdiantongConfig } from './config.ts'
import type { Edition, Row } from './edition.ts'
import type { Mapping } from './mapping.ts'

export interface OrderWritesOptions {
  readonly edition: Edition
  readonly config: WangdiantongConfig
  readonly map: Mapping
  /** Orders that carry a number of the platform. @throws SourceError */
  rowsOf(platformNumber: string, call: CallContext): Promise<readonly Row[]>
}

export function createAction({
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
      const isForm = config.edition === 'enterprise'
      const body = text.ok ? text.value : failureText(text.failure)
      return {
        method: 'POST',
        path: isForm ? '/trade_push.php' : '?method=sales.RawTrade.pushSelf2',
        headers: { 'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json' },
        body: isForm ? `shop_no=${config.orderDefaults?.shop ?? ''}&trade_list=${body}` : body,
      }
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
