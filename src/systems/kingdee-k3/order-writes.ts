/**
 * What may be written to orders. A saved order is not effective: it is saved, submitted, audited, each by a call of
 * its own, so that what was reached is known when one of them is refused.
 */

import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
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
import { type Call, literal } from './client.ts'
import { documentStatusOf, type Form, keyOf, reachedBy, versionOf } from './mapping.ts'
import {
  type Current,
  cannotStore,
  changesModel,
  missingChanges,
  orderModel,
  readCurrent,
} from './order-models.ts'
import { readAll, type Source } from './reading.ts'
import { billNumberOf } from './references.ts'

export interface OrderWritesOptions {
  readonly source: Source
  readonly clock: Clock
  readonly form: Form
  readonly reread: (key: Key, context: CallContext) => Promise<Outcome<Order | null>>
  readonly log: (failure: SourceFailure, step: string) => void
}

type Result = Outcome<WriteResult<'order'>>
type Checked = Outcome<Verdict<'order'>>
type Stage = WriteResult<'order'>['reached']

const STAGES: readonly Stage[] = ['saved', 'submitted', 'effective']
const isAtLeast = (reached: Stage, target: Stage): boolean =>
  STAGES.indexOf(reached) >= STAGES.indexOf(target)

/** A document just saved may still be locked by that very call. */
const LOCKED_RETRIES_MS = [200, 800]

export function orderWrites(options: OrderWritesOptions): {
  create: WriteAction<OrderCreate, 'order'>
  update: WriteAction<UpdateOf<OrderChanges>, 'order'>
  actions: { confirm: WriteAction<ActionInput, 'order'>; cancel: WriteAction<ActionInput, 'order'> }
} {
  const steps = createSteps(options)
  return {
    create: createAction(options, steps),
    update: updateAction(options, steps),
    actions: { confirm: confirmAction(options, steps), cancel: cancelAction(options, steps) },
  }
}

/* ---- create ---- */

function createAction(
  { source, clock, form, reread, log }: OrderWritesOptions,
  steps: Steps,
): WriteAction<OrderCreate, 'order'> {
  const { client, config } = source
  const byNumber = config.profile === 'galaxy' || config.externalReferenceField === 'FBillNo'
  const save = (input: OrderCreate, write: WriteContext): Call => ({
    operation: 'Save',
    form: form.form,
    data: orderModel(config, input, write, clock.today()),
  })

  /** The number of the order that carries our reference. @throws SourceError */
  const numberOf = async (write: WriteContext, context: CallContext): Promise<string | null> => {
    const [field, value] = byNumber
      ? ['FBillNo', billNumberOf(config.billNumberPrefix, write.externalReference)]
      : [config.externalReferenceField, write.externalReference]
    const fields = ['FID', 'FBillNo', field]
    const filter = `${field} = ${literal(value)}`
    const [row] = await client.query({ form: form.form, fields, filter, order: 'FID ASC', limit: 1 }, context)
    return typeof row?.[1] === 'string' && row[1].trim() !== '' ? row[1] : null
  }

  const targetOf = (write: WriteContext): Stage => write.target ?? config.createTarget

  /** What an order that is there says of itself. Between submitting and auditing it waits for a person. */
  const resultOf = async (
    number: Key,
    target: Stage,
    context: CallContext,
    known: Stage = 'saved',
    note?: SourceFailure,
  ): Promise<Result> => {
    const read = await reread(number, context)
    const record = read.ok ? read.value : null
    const reached = record ? reachedBy(documentStatusOf(record)) : known
    if (reached === 'submitted' && target === 'effective') return fail(awaiting(number, note))
    return ok({
      key: number,
      ...(record ? { record } : {}),
      reached,
      ...(note && !isAtLeast(reached, target) ? { note: wordsOf(note) } : {}),
    })
  }

  return {
    targets: STAGES,
    // The flat push has a place for none of them.
    takes:
      config.profile === 'galaxy'
        ? []
        : ['shipTo', 'paymentTerms', 'paymentMethod', 'lines.comments', 'lines.customFields'],
    preview: (input, write) => client.preview(save(input, write)),

    async send(input, write, context): Promise<Result> {
      const unstorable = cannotStore(config, input)
      if (unstorable) return fail(unstorable)
      const sent = await outcomeOf(() =>
        client.write(
          { ...save(input, write), tookEffect: async () => (await numberOf(write, context)) !== null },
          context,
        ),
      )
      // A number that is taken can only be taken by an earlier sending of the same write.
      const isTaken = byNumber && !sent.ok && sent.failure.kind === 'rejected'
      if (!sent.ok && !isTaken) return sent
      const known = sent.ok ? (sent.value?.number ?? null) : null
      const found = known === null ? await outcomeOf(() => numberOf(write, context)) : ok(known)
      if (!sent.ok && found.ok && found.value === null) return sent
      if (!found.ok || found.value === null) {
        return fail({ kind: 'unknown-outcome', detail: 'Save: the answer does not name the order' })
      }
      // From here on the order exists: no failure may say that nothing had an effect.
      const number = found.value
      const on = await steps.advance(number, sent.ok && sent.value ? 'saved' : null, targetOf(write), context)
      if (on.failure) log(on.failure, on.step)
      const result = await resultOf(number, targetOf(write), context, on.reached, on.failure)
      if (on.failure?.kind !== 'unknown-outcome') return result
      const reached = result.ok ? result.value.reached : 'saved'
      // The step may still be on its way: whoever looks later will know.
      return result.ok && isAtLeast(reached, targetOf(write)) ? result : fail(on.failure)
    },

    async verify(_input, write, context): Promise<Checked> {
      const number = await outcomeOf(() => numberOf(write, context))
      if (!number.ok) return number
      if (number.value !== null) {
        const target = targetOf(write)
        const result = await resultOf(number.value, target, context)
        if (!result.ok) return result
        // Looking is no reason to go on with it: whoever asked decides, and has to know that there is something to do.
        const note = `Its answer was lost: it was found ${result.value.reached}, not ${target}. Confirm the order to go on.`
        return ok({
          effect: 'done',
          result: isAtLeast(result.value.reached, target) ? result.value : { ...result.value, note },
        })
      }
      // As the number, the reference is unique: a second Save could not make a second order.
      const where = byNumber ? 'FBillNo' : config.externalReferenceField
      return nothingDone(`no order, in whatever state, has the reference in ${where}`, byNumber)
    },
  }
}

const awaiting = (number: string, why?: SourceFailure): SourceFailure => ({
  kind: 'awaiting-approval',
  vendorReference: number,
  message: `Order ${number} is submitted and waits for approval in Kingdee.${why ? ` ${wordsOf(why)}` : ''}`,
})

/** The vendor's own words where they are meant for people. */
function wordsOf(failure: SourceFailure): string {
  return 'message' in failure ? failure.message : `The next step failed (${failure.kind}).`
}

/* ---- update ---- */

function updateAction(
  { source, form, reread }: OrderWritesOptions,
  steps: Steps,
): WriteAction<UpdateOf<OrderChanges>, 'order'> {
  const { client, config } = source
  const save = (input: UpdateOf<OrderChanges>, current: Current): Call => ({
    operation: 'Save',
    form: form.form,
    data: changesModel(config, input.changes, current),
  })
  return {
    // Where the tenant's terms stand elsewhere, a change of them could not be seen.
    takes: form.of('paymentTerms') === undefined ? ['shipTo'] : ['shipTo', 'paymentTerms'],
    // Which lines there are is only known when it is sent.
    preview: (input) =>
      client.preview(save(input, { id: '0', documentStatus: null, version: null, entries: [] })),

    async send(input, _write, context): Promise<Result> {
      const unstorable = cannotStore(config, input.changes)
      if (unstorable) return fail(unstorable)
      const before = await steps.unchanged(input, context)
      if (!before.ok) return before
      return steps.whileOpen(input.key, before.value, context, (isTaken) =>
        client.write({ ...save(input, before.value), tookEffect: isTaken }, context),
      )
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      const missing = missingChanges(order.value, input.changes)
      if (missing.length > 0) {
        const status = order.value.vendorStatus
        return nothingDone(`${missing.join(', ')} not as asked for; the order stands at ${status}`, false)
      }
      return ok({ effect: 'done', result: resultWith(order.value) })
    },
  }
}

/* ---- confirm ---- */

/** Submits and audits what is saved. */
function confirmAction(
  { source: { client }, form, reread }: OrderWritesOptions,
  steps: Steps,
): WriteAction<ActionInput, 'order'> {
  return {
    preview: (input) => client.preview(steps.call('Submit', input.key, form)),

    async send(input, _write, context): Promise<Result> {
      const before = await steps.unchanged(input, context)
      if (!before.ok) return before
      const from = reachedBy(before.value.documentStatus)
      const on = await steps.advance(input.key, from, 'effective', context)
      const { failure } = on
      if (!failure) return steps.result(input.key, context, on.reached)
      const mayAskAgain = failure.kind === 'unavailable' || failure.kind === 'unknown-outcome'
      const isAsBefore = on.reached === from
      if (failure.kind === 'unknown-outcome' || (isAsBefore && (from === 'saved' || mayAskAgain)))
        return fail(failure)
      return fail(awaiting(input.key, failure))
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      const result = resultWith(order.value)
      if (result.reached === 'effective') return ok({ effect: 'done', result })
      if (result.reached === 'submitted') return fail(awaiting(input.key))
      return nothingDone(`the order stands at ${order.value.vendorStatus}`, false)
    },
  }
}

/* ---- cancel ---- */

/** 作废: the order stays, marked as void. */
function cancelAction(
  { source: { client }, form, reread }: OrderWritesOptions,
  steps: Steps,
): WriteAction<ActionInput, 'order'> {
  return {
    preview: (input) => client.preview(steps.call('Cancel', input.key, form)),

    async send(input, _write, context): Promise<Result> {
      const before = await steps.unchanged(input, context)
      if (!before.ok) return before
      return steps.whileOpen(
        input.key,
        before.value,
        context,
        (isTaken) => client.write({ ...steps.call('Cancel', input.key, form), tookEffect: isTaken }, context),
        { staysOpen: true },
      )
    },

    async verify(input, _write, context): Promise<Checked> {
      const order = await reread(input.key, context)
      if (!order.ok) return order
      if (order.value === null) return nothingDone(`there is no order ${input.key}`, true)
      if (order.value.status !== 'CANCELLED') {
        return nothingDone(`the order is not cancelled; it stands at ${order.value.vendorStatus}`, false)
      }
      return ok({ effect: 'done', result: { key: input.key, record: order.value, reached: 'effective' } })
    },
  }
}

/* ---- steps ---- */

interface Advance {
  readonly reached: Stage
  /** Why it got no further. */
  readonly failure?: SourceFailure
  readonly step: string
}

interface Steps {
  call(step: 'Submit' | 'Audit' | 'UnAudit' | 'Cancel', number: Key, form: Form): Call
  /** Takes an order from one stage towards another. Null: nobody has looked yet where it stands. */
  advance(number: Key, from: Stage | null, target: Stage, context: CallContext): Promise<Advance>
  /** The order as it is, if it still has the version that the caller knows. */
  unchanged(input: ActionInput, context: CallContext): Promise<Outcome<Current>>
  /**
   * Does something to an order that may not be approved meanwhile: un-audits it where need be, and takes it back
   * to the stage where it was, also when the change is refused.
   */
  whileOpen(
    number: Key,
    current: Current,
    context: CallContext,
    change: (isTaken: () => Promise<boolean>) => Promise<unknown>,
    options?: { staysOpen?: boolean },
  ): Promise<Result>
  /** @param known What was reached, should the order not be there to be read. */
  result(number: Key, context: CallContext, known: Stage): Promise<Result>
}

function createSteps({ source, form, reread, log }: OrderWritesOptions): Steps {
  const { client, config } = source
  const call: Steps['call'] = (step, number) =>
    step === 'Cancel'
      ? { operation: 'ExcuteOperation', form: form.form, code: 'Cancel', data: { Numbers: [number] } }
      : {
          operation: step,
          form: form.form,
          data: { Numbers: [number], Ids: '', NetworkCtrl: '', IgnoreInterationFlag: '' },
        }

  const statusOf = async (number: Key, context: CallContext): Promise<string | null> => {
    const order = await reread(number, context)
    if (!order.ok) throw new SourceError(order.failure)
    return order.value ? documentStatusOf(order.value) : null
  }

  const step = async (
    name: 'Submit' | 'Audit' | 'UnAudit',
    number: Key,
    isDone: (documentStatus: string | null) => boolean,
    context: CallContext,
  ): Promise<Outcome<unknown>> => {
    const write = {
      ...call(name, number, form),
      tookEffect: async () => isDone(await statusOf(number, context)),
    }
    for (const wait of [...LOCKED_RETRIES_MS, undefined]) {
      const outcome = await outcomeOf(() => client.write(write, context))
      const isLocked = !outcome.ok && outcome.failure.kind === 'unavailable'
      if (!isLocked || wait === undefined || context.signal?.aborted) return outcome
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
    throw new Error('not reached: the last round returns')
  }

  const advance: Steps['advance'] = async (number, from, target, context) => {
    const status = from === null ? await outcomeOf(() => statusOf(number, context)) : null
    let reached = from ?? (status?.ok ? reachedBy(status.value) : 'saved')
    if (reached === 'saved' && isAtLeast(target, 'submitted')) {
      const outcome = await step('Submit', number, (status) => reachedBy(status) !== 'saved', context)
      if (!outcome.ok) return { reached, failure: outcome.failure, step: 'Submit' }
      reached = 'submitted'
    }
    if (reached === 'submitted' && target === 'effective') {
      const outcome = await step('Audit', number, (status) => reachedBy(status) === 'effective', context)
      if (!outcome.ok) return { reached, failure: outcome.failure, step: 'Audit' }
      reached = 'effective'
    }
    return { reached, step: '' }
  }

  const result: Steps['result'] = async (number, context, known) => {
    const order = await reread(number, context)
    if (!order.ok || order.value === null) return ok({ key: number, reached: known })
    return ok(resultWith(order.value))
  }

  return {
    call,
    advance,
    result,

    unchanged(input, context) {
      return outcomeOf(async () => {
        const missing = new SourceError({
          kind: 'not-found',
          message: `There is no order with the number ${input.key}.`,
        })
        const filter = () => `${form.of('number')} = ${literal(input.key)}`
        const columns = () =>
          ['id', 'number', 'modified', 'created', 'documentStatus', 'entry'].flatMap((name) =>
            form.columns.filter((column) => column.name === name),
          )
        const found = await readAll(source, form, columns, filter, context)
        // The vendor compares without regard to case.
        const document = found.find((one) => keyOf(one) === input.key)
        const seen = document ? readCurrent(document) : null
        if (seen === null) throw missing
        if (input.expectedVersion !== undefined && versionOf(input.expectedVersion) !== seen.version) {
          throw new SourceError({
            kind: 'conflict',
            message: `Order ${input.key} has been changed since it was read.`,
            ...(seen.version ? { currentVersion: seen.version } : {}),
          })
        }
        return seen
      })
    },

    async whileOpen(number, current, context, change, { staysOpen = false } = {}) {
      const was = reachedBy(current.documentStatus)
      const reopens = was === 'effective' && config.unauditApproved
      if (reopens) {
        const unaudited = await step('UnAudit', number, (status) => status !== 'C', context)
        if (!unaudited.ok) return unaudited
      }
      const opened = reopens ? await reread(number, context) : null
      const before = opened === null ? current.version : opened.ok ? opened.value?.version : undefined
      const changed = await outcomeOf(() =>
        change(async () => {
          const now = await reread(number, context)
          if (!now.ok) throw new SourceError(now.failure)
          return before !== undefined && now.value?.version !== before
        }),
      )
      if (!changed.ok && changed.failure.kind === 'unknown-outcome') return changed
      if (reopens && (!changed.ok || !staysOpen)) {
        const back = await advance(number, 'saved', 'effective', context)
        if (back.failure) {
          log(back.failure, back.step)
          // Not "nothing happened": the order is no longer approved.
          if (changed.ok) return fail(awaiting(number, back.failure))
          const detail = `refused, and not approved again: ${wordsOf(back.failure)}`
          return fail({ kind: 'unknown-outcome', detail })
        }
      }
      if (!changed.ok) return changed
      const after = await result(number, context, was)
      return staysOpen && after.ok ? ok({ ...after.value, reached: 'effective' }) : after
    },
  }
}

const resultWith = (order: Order): WriteResult<'order'> => ({
  key: order.key,
  record: order,
  reached: reachedBy(documentStatusOf(order)),
})

const nothingDone = (evidence: string, proven: boolean): Checked => ok({ effect: 'none', proven, evidence })
