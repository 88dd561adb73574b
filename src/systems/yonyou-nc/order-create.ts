/**
 * Saving a sales order. The server refuses a second call with the same `busi_id` (`repeat_check`), and the same
 * reference stands in a free field of the order: one prevents a second order, the other finds the first.
 */
import { fail, failureText, type Outcome, ok, type SourceFailure } from '../failure.ts'
import type { CallContext, OrderCreate, Verdict, WriteAction, WriteResult } from '../port.ts'
import type { Order } from '../records.ts'
import type { NcClient } from './client.ts'
import type { YonyouNcConfig } from './config.ts'
import type { Mapping } from './mapping.ts'

export interface OrderCreateOptions {
  readonly client: NcClient
  readonly config: YonyouNcConfig
  readonly map: Mapping
  byReference(reference: string, context: CallContext): Promise<Outcome<Order | null>>
}

export function createOrder(options: OrderCreateOptions): WriteAction<OrderCreate, 'order'> {
  const { client, config, map, byReference } = options
  const path = config.orders.savePath

  const lookAgain = async (reference: string, why: string, context: CallContext) => {
    const found = await byReference(reference, context)
    if (found.ok && found.value) return resultOf(found.value)
    // The server has had the call: whatever became of it, it must not be sent as another.
    return fail({ kind: 'unknown-outcome', detail: `POST ${path}: ${why}` })
  }

  return {
    targets: ['saved'],

    preview(input, write) {
      const body = map.orderBody(input, write)
      return {
        method: 'POST',
        path,
        headers: {
          'content-type': 'application/json;charset=utf-8',
          ...client.repeatHeaders(write.externalReference),
        },
        body: body.ok ? body.value : failureText(body.failure),
      }
    },

    async send(input, write, context): Promise<Outcome<WriteResult<'order'>>> {
      const body = map.orderBody(input, write)
      if (!body.ok) return body
      const reference = write.externalReference
      const saved = await client.save(path, body.value, reference, context)
      if (!saved.ok) return saved
      if (saved.value.kind === 'duplicate') {
        return lookAgain(reference, `busi_id ${reference} was used before, and no order has it`, context)
      }
      const [row] = [saved.value.data].flat()
      const told = map.order(row)
      if (told.ok && told.value.externalReference === reference) return resultOf(told.value)
      return lookAgain(reference, 'saved, and the new order is not to be seen yet', context)
    },

    async verify(_input, write, context): Promise<Outcome<Verdict<'order'>>> {
      const found = await byReference(write.externalReference, context)
      if (!found.ok) return found
      if (found.value) {
        const result = resultOf(found.value)
        return result.ok ? ok({ effect: 'done', result: result.value }) : result
      }
      const evidence = `no order has ${config.externalReferenceField} = ${write.externalReference}`
      // Sent again under the same busi_id, it cannot become a second order.
      return ok({ effect: 'none', proven: config.repeatCheck, evidence })
    },
  }
}

function resultOf(order: Order): Outcome<WriteResult<'order'>> {
  if (order.status === 'PENDING_APPROVAL') return fail(awaiting(order))
  const isInForce = !['NEW', 'DRAFT'].includes(order.status)
  return ok({ key: order.key, record: order, reached: isInForce ? 'effective' : 'saved' })
}

const awaiting = (order: Order): SourceFailure => ({
  kind: 'awaiting-approval',
  vendorReference: order.number,
  message: `Order ${order.number} waits for approval in NC Cloud.`,
})
