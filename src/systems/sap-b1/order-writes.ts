/** What may be written to orders: create, update, cancel. */
import { z } from 'zod'
import { gatewayCaller } from '../../caller/caller.ts'
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
  DRAFT_FIELDS,
  type Mapping,
  missingChanges,
  type OrderCodes,
  orderBody,
  orderChanges,
  readDraft,
  rowKey,
  text,
  unknownCustomField,
} from './mapping.ts'
import { NO_NAMES, type Tables } from './names.ts'
import { etagHeader, finish, illegible, nothingDone, preview, type Subject, unchanged } from './writing.ts'

export interface OrderWritesOptions {
  readonly client: ServiceLayer
  readonly config: SapB1Config
  readonly map: Mapping
  readonly tables: Pick<Tables, 'paymentTerms'>
  /** What is read of an order. */
  readonly select: readonly string[]
  readonly reread: (key: Key, context: CallContext) => Promise<Outcome<Order | null>>
  /** An order as reading shows it: what differed would be a change that nobody made. */
  readonly show: (row: unknown, context: CallContext) => Promise<Outcome<Order>>
}

const codesOf = async (
  { tables }: Pick<OrderWritesOptions, 'tables'>,
  { paymentTerms }: { readonly paymentTerms?: string | undefined },
  context: Pick<CallContext, 'caller'>,
): Promise<Outcome<OrderCodes>> => {
  if (paymentTerms === undefined) return ok({})
  const code = await tables.paymentTerms.codeOf(paymentTerms, context)
  return code.ok ? ok({ paymentTerms: code.value }) : code
}

const quotationSchema = z.object({
  DocEntry: z.string(),
  DocNum: z.string(),
  DocumentLines: z.array(z.object({ LineNum: z.string(), ItemCode: text, LineStatus: text })),
})

/**
 * The lines of quotations from which the lines of an order follow: for each the first of the same item that is open.
 * An order that takes up nothing of a quotation would be said to follow from it, and is refused.
 */
const basesOf = async (
  { client, config }: Pick<OrderWritesOptions, 'client' | 'config'>,
  { customer, precededBy = [], lines }: OrderCreate,
  context: Pick<CallContext, 'caller'>,
): Promise<Outcome<OrderCodes>> => {
  if (precededBy.length === 0) return ok({})
  const odd = precededBy.find(({ type }) => type !== 'QUOTATION')
  if (odd) {
    const message = `Orders of this system are made from quotations, and not from ${odd.type}.`
    return fail({ kind: 'unsupported', message })
  }
  const refused = (message: string): Outcome<never> =>
    fail({ kind: 'rejected', code: 'QUOTATION', message, field: 'precededBy' })
  const numbers = precededBy.map(({ number }) => number)
  const strange = numbers.find((number) => !isEntry(number))
  if (strange !== undefined) return refused(`"${strange}" is no number of a quotation.`)
  const read = await outcomeOf(async () => {
    const rows = await client.rows(
      {
        entity: 'Quotations',
        select: Object.keys(quotationSchema.shape),
        filter: `(CardCode eq ${literal(customer)}) and (${numbers.map((one) => `DocNum eq ${one}`).join(' or ')})`,
        orderby: 'DocEntry asc',
        pageSize: config.pageLimit,
      },
      context,
    )
    return rows.flatMap((row) => quotationSchema.safeParse(row).data ?? [])
  })
  if (!read.ok) return read
  const missing = numbers.find((number) => !read.value.some(({ DocNum }) => DocNum === number))
  if (missing !== undefined) return refused(`Customer ${customer} has no quotation ${missing}.`)
  const open = read.value.flatMap(({ DocEntry, DocNum, DocumentLines }) =>
    DocumentLines.filter(({ LineStatus }) => LineStatus !== 'bost_Close').map((line) => ({
      number: DocNum,
      item: line.ItemCode,
      entry: Number(DocEntry),
      line: Number(line.LineNum),
    })),
  )
  const used = new Set<string>()
  const bases = lines.map(({ product }) => {
    const at = open.findIndex(({ item }) => item === product)
    const [found] = at < 0 ? [] : open.splice(at, 1)
    if (found) used.add(found.number)
    return found && { entry: found.entry, line: found.line }
  })
  const unused = numbers.find((number) => !used.has(number))
  return unused === undefined
    ? ok({ bases })
    : refused(`Quotation ${unused} has no open line with a product of this order.`)
}

/** What is looked up before an order is made. */
const codesOfNew = async (
  options: OrderWritesOptions,
  input: OrderCreate,
  context: Pick<CallContext, 'caller'>,
): Promise<Outcome<OrderCodes>> => {
  const [codes, bases] = await Promise.all([
    codesOf(options, input, context),
    basesOf(options, input, context),
  ])
  if (!codes.ok) return codes
  return bases.ok ? ok({ ...codes.value, ...bases.value }) : bases
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

function createAction(options: OrderWritesOptions): WriteAction<OrderCreate, 'order'> {
  const { client, config, show, select } = options
  const field = config.externalReferenceField
  const request = (input: OrderCreate, write: WriteContext, codes: OrderCodes): WriteRequest => ({
    method: 'POST',
    path: 'Orders',
    body: orderBody(config, input, write, codes),
  })

  /** Orders that carry our reference, else the draft that an approval procedure made of it. */
  const find = async (input: OrderCreate, write: WriteContext, context: CallContext): Promise<Checked> =>
    outcomeOf(async (): Promise<Checked> => {
      const ours = `${field} eq ${literal(write.externalReference)}`
      // NumAtCard has no index of its own and other customers' numbers in it.
      const filter = field === 'NumAtCard' ? `CardCode eq ${literal(input.customer)} and ${ours}` : ours
      const query = { filter, orderby: 'DocEntry asc', pageSize: config.pageLimit }
      const [row] = await client.rows({ ...query, entity: 'Orders', select }, context)
      const key = rowKey(row, 'DocEntry')
      if (key !== undefined) return ok({ effect: 'done', result: resultOf(key, await show(row, context)) })
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
    takes: ['shipTo', 'paymentTerms', 'paymentMethod', 'precededBy', 'lines.comments', 'lines.customFields'],
    // With the names themselves, where they cannot be looked up.
    preview: (input, write) => preview(request(input, write, { paymentTerms: input.paymentTerms })),
    previewLater: async (input, write) => {
      const codes = await codesOfNew(options, input, { caller: gatewayCaller })
      return preview(request(input, write, codes.ok ? codes.value : { paymentTerms: input.paymentTerms }))
    },

    async send(input, write, context): Promise<Result> {
      const unstorable = cannotStore(config, input)
      if (unstorable) return fail(unstorable)
      const codes = await codesOfNew(options, input, context)
      if (!codes.ok) return codes
      const sent = await outcomeOf(() => client.write(request(input, write, codes.value), context))
      if (!sent.ok) return sent
      const answer = sent.value
      if (answer.status === 201) {
        const body = parsed(answer)
        const key = rowKey(body, 'DocEntry')
        if (key === undefined) return fail(illegible('the answer does not name the order'))
        return ok(resultOf(key, await show(body, context)))
      }
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
  const { config, tables, reread } = options
  const request = (input: UpdateOf<OrderChanges>, codes: OrderCodes, etag?: string): WriteRequest => ({
    method: 'PATCH',
    path: `Orders(${input.key})`,
    body: JSON.stringify(orderChanges(config, input.changes, codes)),
    ...etagHeader(etag),
  })
  const subject = orderSubject(options)
  return {
    takes: ['shipTo', 'paymentTerms'],
    preview: (input) => preview(request(input, input.changes)),
    previewLater: async (input) => {
      const codes = await codesOf(options, input.changes, { caller: gatewayCaller })
      return preview(request(input, codes.ok ? codes.value : input.changes))
    },

    async send(input, _write, context): Promise<Result> {
      const unstorable = cannotStore(config, input.changes)
      if (unstorable) return fail(unstorable)
      if (!isEntry(input.key)) return fail(noOrder(input.key))
      const codes = await codesOf(options, input.changes, context)
      if (!codes.ok) return codes
      const before = await unchanged(subject, input, context)
      if (!before.ok) return before
      return finish(subject, input.key, request(input, codes.value, before.value), context)
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      const codes = await codesOf(options, input.changes, context)
      if (!codes.ok) return codes
      const terms = await outcomeOf(() => tables.paymentTerms.read(context))
      if (!terms.ok) return terms
      const missing = missingChanges(order.value, input.changes, terms.value, codes.value)
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

/** What this configuration has no place for: to drop it silently would be worse than no. */
function cannotStore(
  config: SapB1Config,
  { customerReference, customFields, shipTo, lines }: OrderChanges & Partial<OrderCreate>,
): SourceFailure | undefined {
  const unsupported = (message: string): SourceFailure => ({ kind: 'unsupported', message })
  const ofOrder = unknownCustomField(config.customFields.order, customFields)
  if (ofOrder !== undefined)
    return unsupported(`No own field "${ofOrder}" is configured for orders of this system.`)
  const ofLine = lines?.map((line) => unknownCustomField(config.customFields.orderLine, line.customFields))
  const unknown = ofLine?.find((name) => name !== undefined)
  if (unknown !== undefined) {
    return unsupported(`No own field "${unknown}" is configured for order lines of this system.`)
  }
  if (shipTo?.phone && config.shipToPhoneField === null) {
    return unsupported(
      'Orders of this system have no place for the phone number of "shipTo" (shipToPhoneField).',
    )
  }
  // Our reference and the customer's cannot both be in NumAtCard.
  if (config.externalReferenceField === 'NumAtCard' && customerReference !== undefined) {
    return unsupported(
      'This system keeps the reference of the gateway where the customer’s own reference would stand.',
    )
  }
  return undefined
}

const orderSubject = ({ client, map, reread }: OrderWritesOptions): Subject<'order'> => ({
  client,
  reread,
  path: (key) => `Orders(${key})`,
  // Only its number and version are looked at.
  read: (row) => map.order(row, { terms: NO_NAMES, users: NO_NAMES }),
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
