/**
 * Uploading and cancelling orders. A shop's number (`so_id`) belongs to one order for ever: our reference is that
 * number, so the same upload sent twice is one order, and what is not found under it is not there.
 */
import { fail, failureText, type Outcome, ok, outcomeOf } from '../failure.ts'
import { jsonNumber } from '../kit/json.ts'
import type {
  ActionInput,
  CallContext,
  OrderCreate,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, Order } from '../records.ts'
import type { JushuitanClient } from './client.ts'
import type { JushuitanConfig } from './config.ts'
import type { Mapping } from './mapping.ts'

const UPLOAD = '/open/jushuitan/orders/upload'
const CANCEL = '/open/jushuitan/orderbyoid/cancel'

export interface OrderWritesOptions {
  readonly client: JushuitanClient
  readonly config: JushuitanConfig
  readonly map: Mapping
  orderRows(by: 'o_ids' | 'so_ids', keys: readonly string[], call: CallContext): Promise<readonly unknown[]>
  readOne(key: Key, call: CallContext): Promise<Outcome<Order | null>>
}

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  actions: { cancel: WriteAction<ActionInput, 'order'> }
} {
  return { create: createAction(options), actions: { cancel: cancelAction(options) } }
}

const preview = (path: string, biz: string): VendorRequest => ({
  method: 'POST',
  path,
  headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
  body: `biz=${biz}`,
})

function createAction({
  client,
  config,
  map,
  orderRows,
}: OrderWritesOptions): WriteAction<OrderCreate, 'order'> {
  const find = (write: WriteContext, call: CallContext): Promise<Outcome<WriteResult<'order'> | null>> =>
    outcomeOf(async () => {
      const rows = await orderRows('so_ids', [write.externalReference], call)
      const shop = config.orderDefaults?.shopId
      const own = rows.find((row) => {
        const { so_id, shop_id } = row as Record<string, unknown>
        return so_id === write.externalReference && (shop === undefined || shop_id === shop)
      })
      return own === undefined ? null : resultOf(own)
    })

  const resultOf = (row: unknown): WriteResult<'order'> => {
    const order = map.order(row)
    const key = String((row as { o_id: unknown }).o_id)
    if (!order.ok) return { key, reached: 'submitted' }
    const waits = order.value.status === 'PENDING_APPROVAL'
    return { key, record: order.value, reached: waits ? 'submitted' : 'effective' }
  }

  return {
    takes: ['shipTo', 'paymentMethod'],
    preview(input, write) {
      const biz = map.upload(input, write)
      return preview(UPLOAD, biz.ok ? biz.value : failureText(biz.failure))
    },

    async send(input, write, call) {
      const biz = map.upload(input, write)
      if (!biz.ok) return biz
      const sent = await outcomeOf(() => client.write(UPLOAD, biz.value, call))
      if (!sent.ok) return sent
      const item = itemOf(sent.value.datas, 'so_id', write.externalReference)
      if (item === null) {
        const detail = `POST ${UPLOAD}: accepted, but nothing is said of ${write.externalReference}`
        return fail({ kind: 'unknown-outcome', detail })
      }
      if (!item.isDone) {
        const message = item.message || 'The order was not taken; the vendor does not say why.'
        return fail({ kind: 'rejected', code: 'UPLOAD', message })
      }
      const found = await find(write, call)
      if (found.ok && found.value) return ok(found.value)
      // It is there, whether it can be read just now or not.
      if (item.key !== null) return ok({ key: item.key, reached: 'submitted' })
      return fail({ kind: 'unknown-outcome', detail: `POST ${UPLOAD}: taken, but it cannot be read yet` })
    },

    async verify(_input, write, call): Promise<Outcome<Verdict<'order'>>> {
      const found = await find(write, call)
      if (!found.ok) return found
      if (found.value) return ok({ effect: 'done', result: found.value })
      // Shop and number identify an order: sent again, an upload that is still under way becomes the same order.
      const evidence = `no order has so_id ${write.externalReference}`
      return ok({ effect: 'none', proven: true, evidence })
    },
  }
}

/** What a call with a list says of one order; null: nothing. The list need not be in the order of what was sent. */
function itemOf(
  items: unknown,
  field: 'so_id' | 'o_id',
  number: string,
): { readonly isDone: boolean; readonly message: string; readonly key: Key | null } | null {
  const item = [items].flat().find((one) => (one as Record<string, unknown> | null)?.[field] === number)
  if (!item) return null
  const { issuccess, msg, o_id } = item as Record<string, unknown>
  return {
    isDone: /^(true|1)$/i.test(String(issuccess)),
    message: typeof msg === 'string' ? msg.slice(0, 500) : '',
    key: typeof o_id === 'string' && o_id !== '' && o_id !== '0' ? o_id : null,
  }
}

function cancelAction({ client, config, readOne }: OrderWritesOptions): WriteAction<ActionInput, 'order'> {
  const biz = (key: Key) => JSON.stringify({ o_ids: [jsonNumber(key)], cancel_type: config.cancelType })
  const done = (record: Order): WriteResult<'order'> => ({ key: record.key, record, reached: 'effective' })

  return {
    preview: ({ key }) => preview(CANCEL, biz(key)),

    async send({ key, expectedVersion }, _write, call) {
      const before = await readOne(key, call)
      if (!before.ok) return before
      const order = before.value
      if (order === null) return fail({ kind: 'not-found', message: `There is no order ${key}.` })
      if (expectedVersion !== undefined && order.version !== expectedVersion) {
        const message = `Order ${key} has been changed since it was read.`
        return fail({
          kind: 'conflict',
          message,
          ...(order.version ? { currentVersion: order.version } : {}),
        })
      }
      if (order.status === 'CANCELLED') return ok(done(order))
      const sent = await outcomeOf(() => client.write(CANCEL, biz(key), call))
      if (!sent.ok) return sent
      // The order has the last word: what the vendor answers of each one is not confirmed.
      const after = await readOne(key, call)
      if (after.ok && after.value?.status === 'CANCELLED') return ok(done(after.value))
      const item = itemOf(sent.value.datas, 'o_id', key)
      if (item && !item.isDone) {
        const message = item.message || `Order ${key} cannot be cancelled.`
        return fail({ kind: 'rejected', code: 'CANCEL', message })
      }
      return fail({
        kind: 'unknown-outcome',
        detail: `POST ${CANCEL}: taken, but order ${key} does not show it`,
      })
    },

    async verify({ key }, _write, call): Promise<Outcome<Verdict<'order'>>> {
      const read = await readOne(key, call)
      if (!read.ok) return read
      if (read.value?.status === 'CANCELLED') return ok({ effect: 'done', result: done(read.value) })
      const state = read.value?.vendorStatus ?? 'not there'
      return ok({ effect: 'none', proven: false, evidence: `order ${key} is ${state}` })
    },
  }
}
