/**
 * Writing sales orders: create (新增), approve (审核), close (关闭). The gateway takes a write, answers at once with
 * the address of its result, and lets the agent carry it out later.
 *
 * Each write has a number of its own (`tradeid`), kept while its fate is open: the vendor means it as the mark of a
 * repetition. It is in memory only, and what it does is not documented; a lost write is therefore found by our
 * reference in the order itself.
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
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, Order } from '../records.ts'
import type { Pending, U8Client } from './client.ts'
import type { YonyouU8Config } from './config.ts'
import type { Mapping } from './mapping.ts'
import type { Orders } from './orders.ts'

export interface OrderWritesOptions {
  readonly client: U8Client
  readonly config: YonyouU8Config
  readonly map: Mapping
  readonly orders: Orders
}

type Result = Outcome<WriteResult<'order'>>
type Checked = Outcome<Verdict<'order'>>

interface Open {
  /** `tradeid` or `biz_id`. */
  readonly id: string
  /** Where its result will be, once the gateway has said so. */
  readonly pending?: Pending
}

/** How many writes with an open fate are remembered, and for how long. */
const OPEN_WRITES = { max: 1_000, ttl: 24 * 3_600_000 }

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  actions: Record<'confirm' | 'close' | 'cancel', WriteAction<ActionInput, 'order'>>
} {
  const sender = createSender(options)
  const act = (rule: Rule) => stateAction(options, sender, rule)
  return {
    create: createAction(options, sender),
    actions: {
      confirm: act({
        path: '/api/saleorder/verify',
        isDone: isApproved,
        refuse: (order) => (order.status === 'CLOSED' ? `Order ${order.number} is closed.` : null),
      }),
      close: act({ path: '/api/saleorder/close', isDone: isClosed, refuse: () => null }),
      cancel: act({
        path: '/api/saleorder/close',
        isDone: isClosed,
        // U8 does not cancel orders: it closes them, which means something else once goods have left.
        refuse: (order) =>
          order.fulfilmentStatus === 'PARTIAL' || order.fulfilmentStatus === 'COMPLETE'
            ? `Goods of order ${order.number} have been shipped: it can be closed, but not cancelled.`
            : null,
      }),
    },
  }
}

const isApproved = (order: Order): boolean =>
  ['CONFIRMED', 'IN_PROGRESS', 'SHIPPED', 'DELIVERED'].includes(order.status)
const isClosed = (order: Order): boolean => order.status === 'CLOSED' || order.status === 'CANCELLED'

/* ---- sending ---- */

interface Sender {
  /**
   * Sends and waits for the result.
   * @param name Tells apart the writes that belong to one reference.
   * @returns The id that the vendor gave, `rejected`, or `unknown-outcome` where the result is not there in time.
   */
  send(
    name: string,
    path: string,
    body: string,
    context: CallContext,
    /** Whether a result that names nothing has come true. */
    isThere?: () => Promise<boolean>,
  ): Promise<Outcome<{ id: string | null }>>
  /** What became of a write that this process sent: `null` if nothing is known here. */
  look(name: string, context: CallContext): Promise<'working' | 'refused' | { id: string | null } | null>
  /** Its fate is known. */
  forget(name: string): void
  /** Whether this process has sent it before. */
  knows(name: string): boolean
}

function createSender({ client, config }: OrderWritesOptions): Sender {
  const open = new LRUCache<string, Open>(OPEN_WRITES)

  return {
    knows: (name) => open.has(name),
    forget: (name) => {
      open.delete(name)
    },

    send: (name, path, body, context, isThere) =>
      outcomeOf(async () => {
        const known = open.get(name)
        const id = known?.id ?? (config.writeId === 'biz_id' ? name : await client.tradeId(context))
        open.set(name, { id })
        const accepted = await client.submit(path, { [config.writeId]: id }, body, context)
        if (accepted.done) return { id: accepted.id }
        open.set(name, { id, pending: accepted })
        const result = await client.awaitResult(accepted, context, isThere)
        if (!result.ok) throw new SourceError(result.failure)
        if (result.value !== null) return result.value
        const detail = `POST ${path}: no result within ${config.resultWithinSeconds} s (${config.writeId} ${id})`
        throw new SourceError({ kind: 'unknown-outcome', detail })
      }),

    async look(name, context) {
      const pending = open.get(name)?.pending
      if (!pending) return null
      const result = await client.result(pending, context)
      if (result.ok) return result.value ?? 'working'
      return result.failure.kind === 'rejected' ? 'refused' : null
    },
  }
}

const preview = (path: string, body: string): VendorRequest => ({
  method: 'POST',
  path,
  headers: { 'content-type': 'application/json; charset=utf-8' },
  body,
})

/* ---- create ---- */

const ADD = '/api/saleorder/add'

function createAction(
  { config, map, orders }: OrderWritesOptions,
  sender: Sender,
): WriteAction<OrderCreate, 'order'> {
  const find = (input: OrderCreate, write: WriteContext, context: CallContext) =>
    orders.byReference(write.externalReference, input.customer, context)

  /** The order behind the id of a result. The vendor's pages do not say whether that is a number or a row id. */
  const identify = async (
    id: string | null,
    input: OrderCreate,
    write: WriteContext,
    context: CallContext,
  ): Promise<Result> => {
    const found = await find(input, write, context)
    if (found.ok && found.value) return ok(resultOf(found.value))
    const named = id === null ? ok(null) : await orders.readOne(id, context)
    if (
      named.ok &&
      named.value &&
      (named.value.externalReference ?? write.externalReference) === write.externalReference
    ) {
      return ok(resultOf(named.value))
    }
    // It was made, but cannot be read just now: the next look finds it by its reference.
    const why = found.ok ? 'the new order is not to be seen yet' : 'the new order could not be read'
    return fail({ kind: 'unknown-outcome', detail: `POST ${ADD}: ${why}` })
  }

  const targetOf = (write: WriteContext) => write.target ?? config.orderTarget

  /** Takes a saved order further, where that is wanted. What fails here does not undo the order. */
  const carryOn = async (saved: Result, write: WriteContext, context: CallContext): Promise<Result> => {
    if (!saved.ok || targetOf(write) === 'saved' || saved.value.reached === 'effective') return saved
    const { key } = saved.value
    const name = `${write.externalReference}-verify`
    const sent = await sender.send(name, VERIFY, voucher(key), context)
    const order = await orders.readOne(key, context)
    const result = order.ok && order.value ? resultOf(order.value) : saved.value
    if (sent.ok) sender.forget(name)
    if (sent.ok || result.reached === 'effective') return ok(result)
    return ok({ ...result, note: `saved, not approved: ${noteOf(sent.failure)}` })
  }

  return {
    // U8 knows no stage between the two.
    targets: ['saved', 'effective'],
    takes: ['shipTo', 'lines.customFields'],
    preview(input, write) {
      const body = map.orderBody(input, write)
      return preview(ADD, body.ok ? body.value : failureText(body.failure))
    },

    async send(input, write, context): Promise<Result> {
      const body = map.orderBody(input, write)
      if (!body.ok) return body
      const name = write.externalReference
      const isRepeated = sender.knows(name)
      const sent = await sender.send(name, ADD, body.value, context, async () => {
        const found = await find(input, write, context)
        return found.ok && found.value !== null
      })
      if (sent.ok) {
        const result = await identify(sent.value.id, input, write, context)
        if (result.ok) sender.forget(name)
        return carryOn(result, write, context)
      }
      const { failure } = sent
      if (failure.kind !== 'rejected') return sent
      // A second order with this number is refused as well, and so may be words that we took for a refusal: the
      // order itself has the last word.
      const found = await find(input, write, context)
      if (!found.ok && isRepeated) {
        return fail({ kind: 'unknown-outcome', detail: 'refused, and no look is possible' })
      }
      sender.forget(name)
      return found.ok && found.value ? carryOn(ok(resultOf(found.value)), write, context) : sent
    },

    async verify(input, write, context): Promise<Checked> {
      const name = write.externalReference
      const found = await find(input, write, context)
      if (!found.ok) return found
      if (found.value) {
        sender.forget(name)
        return ok({ effect: 'done', result: foundAgain(found.value, write) })
      }
      const field = config.externalReferenceField
      const none = `no order has ${field} = ${name}`
      const told = await sender.look(name, context)
      if (told === 'refused') {
        // Sent again, it is refused again, and then the caller reads why.
        sender.forget(name)
        return ok({
          effect: 'none',
          proven: true,
          evidence: `${none}, and the result says that it was refused`,
        })
      }
      if (told === 'working' || (told !== null && told.id === null)) {
        const result = told === 'working' ? 'is not there yet' : 'names none'
        // Its number is the mark of a repetition as the vendor means it, but nobody has confirmed that it is kept to.
        return ok({ effect: 'unknown', evidence: `${none} yet, and the result ${result}` })
      }
      if (told !== null) {
        const result = await identify(told.id, input, write, context)
        return result.ok && result.value.record
          ? ok({ effect: 'done', result: foundAgain(result.value.record, write) })
          : fail({
              kind: 'invalid-response',
              detail: `the result of ${name} names an order that cannot be read`,
            })
      }
      // The agent works off its queue in its own time; nothing here tells whether it is in it.
      return ok({ effect: 'none', proven: false, evidence: none })
    },
  }

  /** A look only looks: an approval that was to follow has not been sent, and is left to a person. */
  function foundAgain(order: Order, write: WriteContext): WriteResult<'order'> {
    const result = resultOf(order)
    const isShort = targetOf(write) === 'effective' && result.reached === 'saved'
    return isShort ? { ...result, note: 'saved, not approved: the answer to the creation was lost' } : result
  }

  function resultOf(order: Order): WriteResult<'order'> {
    return { key: order.key, record: order, reached: isApproved(order) ? 'effective' : 'saved' }
  }
}

const VERIFY = '/api/saleorder/verify'

function noteOf(failure: SourceFailure): string {
  return failure.kind === 'rejected' ? failure.message : 'the answer to the approval was lost'
}

/* ---- approve and close ---- */

interface Rule {
  readonly path: string
  readonly isDone: (order: Order) => boolean
  /** Why the order may not be asked for that; `null`: it may. */
  readonly refuse: (order: Order) => string | null
}

const voucher = (key: Key): string => JSON.stringify({ saleorder: { voucher_code: key } })

function stateAction(
  { orders }: OrderWritesOptions,
  sender: Sender,
  rule: Rule,
): WriteAction<ActionInput, 'order'> {
  const done = (order: Order): WriteResult<'order'> => ({
    key: order.key,
    record: order,
    reached: 'effective',
  })

  return {
    preview: ({ key }) => preview(rule.path, voucher(key)),

    async send({ key, expectedVersion }, write, context): Promise<Result> {
      const before = await orders.readOne(key, context)
      if (!before.ok) return before
      const order = before.value
      if (order === null) return fail({ kind: 'not-found', message: `There is no order ${key}.` })
      if (expectedVersion !== undefined) {
        const wrong = versionFailure(order, expectedVersion)
        if (wrong) return fail(wrong)
      }
      if (rule.isDone(order)) return ok(done(order))
      const no = rule.refuse(order)
      if (no !== null) return fail({ kind: 'rejected', code: 'STATE', message: no })

      const name = write.externalReference
      const sent = await sender.send(name, rule.path, voucher(key), context)
      if (!sent.ok && sent.failure.kind !== 'rejected') return sent
      const after = await orders.readOne(key, context)
      if (after.ok && after.value && rule.isDone(after.value)) {
        sender.forget(name)
        return ok(done(after.value))
      }
      if (!sent.ok) {
        sender.forget(name)
        return sent
      }
      return fail({
        kind: 'unknown-outcome',
        detail: `POST ${rule.path}: done, but order ${key} does not show it yet`,
      })
    },

    async verify({ key }, write, context): Promise<Checked> {
      const read = await orders.readOne(key, context)
      if (!read.ok) return read
      if (read.value === null)
        return ok({ effect: 'none', proven: true, evidence: `there is no order ${key}` })
      if (rule.isDone(read.value)) {
        sender.forget(write.externalReference)
        return ok({ effect: 'done', result: done(read.value) })
      }
      const state = `order ${key} is ${read.value.vendorStatus || 'without a state'}`
      const told = await sender.look(write.externalReference, context)
      if (told !== 'refused') return ok({ effect: 'none', proven: false, evidence: state })
      sender.forget(write.externalReference)
      return ok({
        effect: 'none',
        proven: true,
        evidence: `${state}, and the result says that it was refused`,
      })
    },
  }
}

function versionFailure(order: Order, expected: string): SourceFailure | null {
  const { version } = order
  if (!version) return { kind: 'unsupported', message: 'This release does not tell the version of an order.' }
  if (version === expected) return null
  return {
    kind: 'conflict',
    message: `Order ${order.number} has been changed since it was read.`,
    currentVersion: version,
  }
}
