/**
 * Saving, changing, approving sales orders. The server refuses a second call with the same `busi_id` (`repeat_check`);
 * of a new order, the same reference stands in a free field of it: one prevents a second order, the other finds the
 * first. Changes and approvals carry the `ts` that the order had: the server refuses them when it has changed since.
 */
import { fail, failureText, type Outcome, ok, type SourceFailure } from '../failure.ts'
import { fieldText } from '../kit/named-fields.ts'
import type {
  ActionInput,
  CallContext,
  OrderChanges,
  OrderCreate,
  UpdateOf,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, Order } from '../records.ts'
import type { NcClient } from './client.ts'
import type { YonyouNcConfig } from './config.ts'
import { headOf, type Mapping } from './mapping.ts'

export interface OrderWritesOptions {
  readonly client: NcClient
  readonly config: YonyouNcConfig
  readonly map: Mapping
  byReference(reference: string, context: CallContext): Promise<Outcome<Order | null>>
  /** The vendor's row of an order. */
  rowOf(key: Key, context: CallContext): Promise<Outcome<unknown>>
}

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  update?: WriteAction<UpdateOf<OrderChanges>, 'order'>
  actions: Record<string, WriteAction<ActionInput, 'order'>>
} {
  const { updatePath, approvePath, unapprovePath } = options.config.orders
  const approved = (order: Order) => !['NEW', 'DRAFT', 'PENDING_APPROVAL', 'UNKNOWN'].includes(order.status)
  return {
    create: createOrder(options),
    ...(updatePath === null ? {} : { update: updateOrder(options, updatePath) }),
    actions: {
      ...(approvePath === null ? {} : { confirm: stateAction(options, approvePath, approved) }),
      ...(unapprovePath === null
        ? {}
        : { unapprove: stateAction(options, unapprovePath, (order) => !approved(order)) }),
    },
  }
}

function createOrder(options: OrderWritesOptions): WriteAction<OrderCreate, 'order'> {
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
    takes: ['paymentTerms', 'paymentMethod', 'lines.comments', 'lines.customFields'],

    preview(input, write) {
      const body = map.orderBody(input, write)
      return request(options, path, body.ok ? body.value : failureText(body.failure), write)
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

const request = (
  { client }: OrderWritesOptions,
  path: string,
  body: string,
  { externalReference }: WriteContext,
): VendorRequest => ({
  method: 'POST',
  path,
  headers: {
    'content-type': 'application/json;charset=utf-8',
    ...client.repeatHeaders(externalReference),
  },
  body,
})

const missing = (key: Key): SourceFailure => ({ kind: 'not-found', message: `There is no order ${key}.` })

/** The order as it stands, if it still has the version that the caller knows. */
async function standing(
  { map, rowOf }: OrderWritesOptions,
  { key, expectedVersion }: ActionInput,
  context: CallContext,
): Promise<Outcome<{ row: unknown; order: Order }>> {
  const row = await rowOf(key, context)
  if (!row.ok) return row
  if (row.value === null) return fail(missing(key))
  const order = map.order(row.value)
  if (!order.ok) return order
  const { version } = order.value
  if (expectedVersion === undefined || version === expectedVersion) {
    return ok({ row: row.value, order: order.value })
  }
  const message = `Order ${key} has been changed since it was read.`
  return fail({ kind: 'conflict', message, ...(version ? { currentVersion: version } : {}) })
}

/* ---- change ---- */

function updateOrder(
  options: OrderWritesOptions,
  path: string,
): WriteAction<UpdateOf<OrderChanges>, 'order'> {
  const { client, config, map } = options

  return {
    takes: ['paymentTerms'],

    // Ids, lines and ts are only known when it is sent.
    preview({ key, changes }, write) {
      const { number } = config.orders.fields
      const body = map.changesBody(changes, { [config.orders.head]: { [number ?? '']: key } })
      return request(options, path, body.ok ? body.value : failureText(body.failure), write)
    },

    async send(input, write, context) {
      const before = await standing(options, input, context)
      if (!before.ok) return before
      const body = map.changesBody(input.changes, before.value.row)
      if (!body.ok) return body
      const sent = await client.save(path, body.value, write.externalReference, context)
      if (!sent.ok) return sent
      const after = await standing(options, { key: input.key }, context)
      // It was done, or done before under the same busi_id: the order itself says which of the two can be told.
      if (!after.ok)
        return fail({ kind: 'unknown-outcome', detail: `POST ${path}: the order cannot be read` })
      const lacking = missingChanges(after.value.order, input.changes)
      if (lacking.length === 0) return ok(doneWith(after.value.order))
      const detail = `POST ${path}: taken, but ${lacking.join(', ')} not as asked for`
      return fail({ kind: 'unknown-outcome', detail })
    },

    async verify({ key, changes }, _write, context) {
      const now = await standing(options, { key }, context)
      if (!now.ok) return now.failure.kind === 'not-found' ? ok(noOrder(key)) : now
      const lacking = missingChanges(now.value.order, changes)
      if (lacking.length === 0) return ok({ effect: 'done', result: doneWith(now.value.order) })
      const evidence = `${lacking.join(', ')} not as asked for; fstatusflag ${now.value.order.vendorStatus}`
      return ok({ effect: 'none', proven: false, evidence })
    },
  }
}

const noOrder = (key: Key): Verdict<'order'> => ({
  effect: 'none',
  proven: true,
  evidence: `there is no order ${key}`,
})

const doneWith = (order: Order): WriteResult<'order'> => ({
  key: order.key,
  record: order,
  reached: ['NEW', 'DRAFT'].includes(order.status)
    ? 'saved'
    : order.status === 'PENDING_APPROVAL'
      ? 'submitted'
      : 'effective',
})

/** Which of the wished changes an order does not show; an empty text and none are the same to the vendor. */
function missingChanges(order: Order, changes: OrderChanges): string[] {
  const pairs = [
    ['dueDate', changes.dueDate, order.dueDate],
    ['customerReference', changes.customerReference, order.customerReference],
    ['comments', changes.comments, order.comments],
    ['paymentTerms', changes.paymentTerms, order.payment?.terms],
    ...Object.entries(changes.customFields ?? {}).map(
      ([name, wished]) => [name, wished ?? '', order.customFields?.[name]] as const,
    ),
  ] as const
  return pairs.flatMap(([name, wished, found]) =>
    wished === undefined || (wished || null) === (found || null) ? [] : [name],
  )
}

/* ---- approve, and take it back ---- */

function stateAction(
  options: OrderWritesOptions,
  path: string,
  isDone: (order: Order) => boolean,
): WriteAction<ActionInput, 'order'> {
  const { client, config } = options
  const { id, number, ts } = config.orders.fields
  const body = (key: Key, row: unknown) => {
    const own = headOf(row, config)
    const known = [id, ts].flatMap((name) => {
      const value = name === null ? null : fieldText(own, name)
      return name === null || value === null ? [] : [[name, value]]
    })
    return JSON.stringify([{ pk_org: config.org, [number ?? '']: key, ...Object.fromEntries(known) }])
  }

  return {
    preview: ({ key }, write) => request(options, path, body(key, null), write),

    async send(input, write, context) {
      const before = await standing(options, input, context)
      if (!before.ok) return before
      if (isDone(before.value.order)) return ok({ ...doneWith(before.value.order), reached: 'effective' })
      const sent = await client.save(
        path,
        body(input.key, before.value.row),
        write.externalReference,
        context,
      )
      if (!sent.ok) return sent
      const after = await standing(options, { key: input.key }, context)
      if (after.ok && isDone(after.value.order)) {
        return ok({ ...doneWith(after.value.order), reached: 'effective' })
      }
      if (after.ok && after.value.order.status === 'PENDING_APPROVAL')
        return fail(awaiting(after.value.order))
      return fail({ kind: 'unknown-outcome', detail: `POST ${path}: taken, but the order does not show it` })
    },

    async verify({ key }, _write, context) {
      const now = await standing(options, { key }, context)
      if (!now.ok) return now.failure.kind === 'not-found' ? ok(noOrder(key)) : now
      const { order } = now.value
      if (isDone(order)) return ok({ effect: 'done', result: { ...doneWith(order), reached: 'effective' } })
      return ok({
        effect: 'none',
        proven: false,
        evidence: `order ${key} has fstatusflag ${order.vendorStatus}`,
      })
    },
  }
}
