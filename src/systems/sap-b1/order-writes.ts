/** What may be written to orders: create, update, cancel. */
import { fail, type Outcome, ok, outcomeOf, type SourceFailure } from '../failure.ts'
import type { HttpAnswer } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import type {
  ActionInput,
  CallContext,
  OrderChanges,
  OrderCreate,
  UpdateOf,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, Order } from '../records.ts'
import { literal, type ServiceLayer, vendorError, type WriteRequest } from './client.ts'
import type { SapB1Config } from './config.ts'
import {
  DOCUMENT_FIELDS,
  DRAFT_FIELDS,
  type Mapping,
  missingChanges,
  orderBody,
  orderChanges,
  readDraft,
  rowKey,
} from './mapping.ts'
import { etagHeader, finish, illegible, nothingDone, preview, type Subject, unchanged } from './writing.ts'

export interface OrderWritesOptions {
  readonly client: ServiceLayer
  readonly config: SapB1Config
  readonly map: Mapping
  readonly reread: (key: Key, context: CallContext) => Promise<Outcome<Order | null>>
}

type Result = Outcome<WriteResult<'order'>>
type Checked = Outcome<Verdict<'order'>>

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  update: WriteAction<UpdateOf<OrderChanges>, 'order'>
  actions: { cancel: WriteAction<ActionInput, 'order'> }
} {
  return {
    create: createAction(options),
    update: updateAction(options),
    actions: { cancel: cancelAction(options) },
  }
}

/* ---- create ---- */

function createAction({ client, config, map }: OrderWritesOptions): WriteAction<OrderCreate, 'order'> {
  const field = config.externalReferenceField
  const request = (input: OrderCreate, write: WriteContext): WriteRequest => ({
    method: 'POST',
    path: 'Orders',
    body: orderBody(config, input, write),
  })

  /** Orders that carry our reference, else the draft that an approval procedure made of it. */
  const find = async (input: OrderCreate, write: WriteContext, context: CallContext): Promise<Checked> =>
    outcomeOf(async (): Promise<Checked> => {
      const ours = `${field} eq ${literal(write.externalReference)}`
      // NumAtCard has no index of its own and other customers' numbers in it.
      const filter = field === 'NumAtCard' ? `CardCode eq ${literal(input.customer)} and ${ours}` : ours
      const query = { filter, orderby: 'DocEntry asc', pageSize: config.pageLimit }
      const select = field === 'NumAtCard' ? DOCUMENT_FIELDS : [...DOCUMENT_FIELDS, field]
      const [row] = await client.rows({ ...query, entity: 'Orders', select }, context)
      const key = rowKey(row, 'DocEntry')
      if (key !== undefined) return ok({ effect: 'done', result: resultOf(key, map.order(row)) })
      const drafts = await client.rows({ ...query, entity: 'Drafts', select: DRAFT_FIELDS }, context)
      const draft = drafts.map(readDraft).find((one) => one !== null)
      if (draft) return fail(draft.refused ? refusedDraft(draft.key) : awaiting(draft.key))
      return ok({
        effect: 'none',
        proven: false, // the field is not unique, and a transaction may still be on its way
        evidence: `no order and no draft has ${field} = ${write.externalReference}`,
      })
    }).then((outcome) => (outcome.ok ? outcome.value : outcome))

  return {
    preview: (input, write) => preview(request(input, write)),

    async send(input, write, context): Promise<Result> {
      const unstorable = cannotStore(config, input)
      if (unstorable) return fail(unstorable)
      const sent = await outcomeOf(() => client.write(request(input, write), context))
      if (!sent.ok) return sent
      const answer = sent.value
      if (answer.status === 201) return created(answer, map)
      const located = /\((\d+)\)\/?$/.exec(String(answer.headers.location ?? ''))?.[1]
      if (answer.status === 204 && located) return ok({ key: located, reached: 'saved' })
      if (answer.status < 300) return fail(illegible('the answer does not name the order'))
      const failure = client.writeFailure(answer)
      if (!isPerhapsDraft(answer)) return fail(failure)
      // An approval procedure stores a draft and then fails to find the order that it was asked for. The same
      // code stands for a missing master record, so the draft itself must tell.
      const verdict = await find(input, write, context)
      if (!verdict.ok) {
        const told = verdict.failure.kind === 'awaiting-approval' || verdict.failure.kind === 'rejected'
        return told
          ? verdict
          : fail({ kind: 'unknown-outcome', detail: 'the vendor found no order; no look at drafts yet' })
      }
      if (verdict.value.effect === 'done') return ok(verdict.value.result)
      const { code, message } = vendorError(answer) ?? { code: '-2028', message: '' }
      return fail({ kind: 'rejected', code, message })
    },

    verify: find,
  }
}

function created(answer: HttpAnswer, map: Mapping): Result {
  const body = parsed(answer)
  const key = rowKey(body, 'DocEntry')
  return key === undefined
    ? fail(illegible('the answer does not name the order'))
    : ok(resultOf(key, map.order(body)))
}

function resultOf(key: Key, record: Outcome<Order>): WriteResult<'order'> {
  if (!record.ok) return { key, reached: 'saved' }
  return {
    key,
    record: record.value,
    reached: record.value.status === 'PENDING_APPROVAL' ? 'submitted' : 'effective',
  }
}

/** -2028 without the name of a table and field, which a missing master record would have. */
function isPerhapsDraft(answer: HttpAnswer): boolean {
  const error = vendorError(answer)
  return error?.code === '-2028' && answer.status < 500 && !/\[\w+\.\w+\]/.test(error.message)
}

const awaiting = (draft: Key): SourceFailure => ({
  kind: 'awaiting-approval',
  vendorReference: draft,
  message: `The order waits for approval in SAP Business One as draft ${draft}.`,
})

const refusedDraft = (draft: Key): SourceFailure => ({
  kind: 'rejected',
  code: 'dasRejected',
  message: `The order was refused in the approval procedure of SAP Business One (draft ${draft}).`,
})

/* ---- update ---- */

function updateAction(options: OrderWritesOptions): WriteAction<UpdateOf<OrderChanges>, 'order'> {
  const { config, reread } = options
  const request = (input: UpdateOf<OrderChanges>, etag?: string): WriteRequest => ({
    method: 'PATCH',
    path: `Orders(${input.key})`,
    body: JSON.stringify(orderChanges(input.changes)),
    ...etagHeader(etag),
  })
  const subject = orderSubject(options)
  return {
    preview: (input) => preview(request(input)),

    async send(input, _write, context): Promise<Result> {
      const unstorable = cannotStore(config, input.changes)
      if (unstorable) return fail(unstorable)
      if (!isEntry(input.key)) return fail(noOrder(input.key))
      const before = await unchanged(subject, input, context)
      if (!before.ok) return before
      return finish(subject, input.key, request(input, before.value), context)
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      const missing = missingChanges(order.value, input.changes)
      if (missing.length > 0) return nothingDone(`${missing.join(', ')} are not as asked for`, false)
      return ok({
        effect: 'done',
        result: { key: input.key, record: order.value, reached: 'effective' },
      })
    },
  }
}

/* ---- cancel ---- */

function cancelAction(options: OrderWritesOptions): WriteAction<ActionInput, 'order'> {
  const { reread } = options
  const subject = orderSubject(options)
  const request = (input: ActionInput): WriteRequest => ({
    method: 'POST',
    path: `Orders(${input.key})/Cancel`,
  })
  return {
    preview: (input) => preview(request(input)),

    async send(input, _write, context): Promise<Result> {
      if (!isEntry(input.key)) return fail(noOrder(input.key))
      // If-Match is documented for changes of entities only; the comparison before must do.
      const before = await unchanged(subject, input, context)
      if (!before.ok) return before
      return finish(subject, input.key, request(input), context)
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      if (order.value.status !== 'CANCELLED') return nothingDone('the order is not cancelled', false)
      return ok({ effect: 'done', result: { key: input.key, record: order.value, reached: 'effective' } })
    },
  }
}

/** Our reference and the customer's cannot both be in NumAtCard; dropping one silently would be worse than no. */
function cannotStore(
  config: SapB1Config,
  { customerReference, customFields }: OrderChanges,
): SourceFailure | undefined {
  const [custom] = Object.keys(customFields ?? {})
  if (custom !== undefined) {
    return {
      kind: 'unsupported',
      message: `No own field "${custom}" is configured for orders of this system.`,
    }
  }
  if (config.externalReferenceField !== 'NumAtCard' || customerReference === undefined) return undefined
  return {
    kind: 'unsupported',
    message: 'This system keeps the reference of the gateway where the customer’s own reference would stand.',
  }
}

const orderSubject = ({ client, map, reread }: OrderWritesOptions): Subject<'order'> => ({
  client,
  reread,
  path: (key) => `Orders(${key})`,
  read: map.order,
  nameOf: (order) => `Order ${order.number}`,
  missing: noOrder,
})

const isEntry = (key: Key): boolean => /^\d{1,10}$/.test(key)

const noOrder = (key: Key): SourceFailure => ({
  kind: 'not-found',
  message: `There is no order with the key ${key}.`,
})

function parsed(answer: HttpAnswer): unknown {
  try {
    return parseJson(answer.text, 'Orders')
  } catch {
    return undefined
  }
}
