/** Writes of a configured system: sent once; when the answer was lost, looked for. */
import Big from 'big.js'
import { fail, type Outcome, ok, outcomeOf } from '../failure.ts'
import { isDecimal } from '../kit/json.ts'
import type {
  ActionInput,
  CallContext,
  UpdateOf,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, RecordType, RecordTypes } from '../records.ts'
import type { Operation } from './client.ts'
import type { OwnTypeConfig, RecordConfig } from './config.ts'
import { compileExpression, type Expression, ExpressionError, listOf, textOf } from './expressions.ts'
import type { Mapping } from './mapping.ts'
import { createPages, isTrue } from './paging.ts'
import type { Tools } from './source.ts'

type Creating = NonNullable<(RecordConfig | OwnTypeConfig)['create']>
type Updating = NonNullable<(RecordConfig | OwnTypeConfig)['update']>
type ReadOne<R> = (key: Key, context: CallContext) => Promise<Outcome<R | null>>

/** What `preview` can tell at once; the templates take time, see `previewLater`. */
const outline = ({ method, path }: Operation): VendorRequest => ({ method, path: path.source })

/* ---- create ---- */

export function createAction<Input, T extends RecordType>(
  { create, find }: { readonly create: Creating; readonly find: NonNullable<RecordConfig['find']> },
  mapping: Mapping<RecordTypes[T]>,
  tools: Tools,
): WriteAction<Input, T> {
  const { client, vocabulary } = tools
  const operation = client.operation(create.request)
  const key = compileExpression(create.key, vocabulary)
  const record = create.record === undefined ? undefined : compileExpression(create.record, vocabulary)
  const duplicateKey = create.duplicate && compileExpression(create.duplicate.key, vocabulary)
  const found = createPages(client, { ...find, paging: { style: 'none' } }, vocabulary)
  const referenceOf = compileExpression(find.reference, vocabulary)
  const inputOf = (input: Input, { externalReference, onBehalfOf }: WriteContext) => ({
    input,
    reference: externalReference,
    onBehalfOf,
  })

  const look = (reference: string, context: CallContext) =>
    outcomeOf(async (): Promise<{ key: Key; record?: RecordTypes[T] } | null> => {
      const { items } = await found.read(found.first, { reference }, { ...context, writes: false })
      for (const raw of items) {
        // A system that overlooks the parameter answers with everything: compare.
        if (textOf(await quiet(referenceOf, raw)) !== reference) continue
        const { key, outcome } = await mapping.read(raw)
        if (outcome.ok) return { key: outcome.value.key, record: outcome.value }
        if (key !== null) return { key }
      }
      return null
    })

  return {
    ...('takes' in create ? { takes: create.takes } : {}),
    preview: () => outline(operation),
    previewLater: (input, write) => client.describe(operation, inputOf(input, write)),

    async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
      const sent = await outcomeOf(() =>
        client.send(operation, inputOf(input, write), { ...context, writes: true }),
      )
      if (!sent.ok) {
        const { failure } = sent
        const { duplicate } = create
        if (failure.kind !== 'rejected' || !duplicate?.codes.includes(failure.code) || !duplicateKey)
          return sent
        // The reference stands for this one write: what has it is what an earlier attempt made.
        const there = textOf(await quiet(duplicateKey, failure.details)) ?? undefined
        if (there !== undefined) return ok({ key: there, reached: create.reached })
        const looked = await look(write.externalReference, context)
        return looked.ok && looked.value ? ok({ ...looked.value, reached: create.reached }) : sent
      }
      const answer = sent.value
      const given = textOf(await quiet(key, answer.body))
      const raw = record && (await quiet(record, answer.body))
      const read = raw === undefined || raw === null ? undefined : await mapping.read(raw)
      const made = read?.outcome.ok ? read.outcome.value : undefined
      const newKey = given ?? made?.key ?? read?.key
      if (newKey === undefined || newKey === null) {
        // It was made, but we were not told its key: it can be found by its reference.
        return fail({ kind: 'unknown-outcome', detail: `${create.request.path}: no key in the answer` })
      }
      return ok({ key: newKey, reached: create.reached, ...(made ? { record: made } : {}) })
    },

    async verify(_input, write, context): Promise<Outcome<Verdict<T>>> {
      const looked = await look(write.externalReference, context)
      if (!looked.ok && looked.failure.kind !== 'not-found') return looked
      if (looked.ok && looked.value) {
        return ok({ effect: 'done', result: { ...looked.value, reached: create.reached } })
      }
      const evidence = create.unique
        ? 'no record has the reference, and the system takes each reference only once'
        : 'no record has the reference yet'
      return ok({ effect: 'none', proven: create.unique, evidence })
    },
  }
}

/** An expression on an answer whose write has been done: what cannot be read of it is not there. */
async function quiet(
  expression: Expression,
  input: unknown,
  variables?: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  try {
    return await expression.evaluate(input, variables)
  } catch (error) {
    if (error instanceof ExpressionError) return undefined
    throw error
  }
}

/* ---- update and actions ---- */

const stale = (key: Key, version: string): string => `record ${key} is still at version ${version}`

const cannotCheck: Outcome<never> = fail({
  kind: 'unsupported',
  message: 'This system cannot check the version of a record: leave expectedVersion out.',
})

const noSuchRecord = (key: Key): Outcome<never> =>
  fail({ kind: 'not-found', message: `There is no record "${key}".` })

export function updateAction<Changes extends object, T extends RecordType>(
  config: Updating,
  mapping: Mapping<RecordTypes[T]>,
  readOne: ReadOne<RecordTypes[T]>,
  tools: Tools,
): WriteAction<UpdateOf<Changes>, T> {
  const { client, vocabulary } = tools
  const operation = client.operation(config.request)
  const record = config.record === undefined ? undefined : compileExpression(config.record, vocabulary)
  const inputOf = (input: UpdateOf<Changes>, write: WriteContext) => ({
    key: input.key,
    version: input.expectedVersion,
    changes: input.changes,
    reference: write.externalReference,
    onBehalfOf: write.onBehalfOf,
  })
  return {
    ...('takes' in config ? { takes: config.takes } : {}),
    preview: () => outline(operation),
    previewLater: (input, write) => client.describe(operation, inputOf(input, write)),

    async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
      if (input.expectedVersion !== undefined && !config.conditional) return cannotCheck
      return outcomeOf(async () => {
        const answer = await client.send(operation, inputOf(input, write), { ...context, writes: true })
        const raw = record && (await quiet(record, answer.body))
        const read = raw === undefined || raw === null ? undefined : await mapping.read(raw)
        // The change is done, whatever the system shows of it.
        const shown =
          read?.outcome.ok && read.outcome.value.key === input.key ? { record: read.outcome.value } : {}
        return { key: input.key, reached: config.reached, ...shown }
      })
    },

    async verify({ key, expectedVersion, changes }, _write, context): Promise<Outcome<Verdict<T>>> {
      const read = await readOne(key, context)
      if (!read.ok) return read
      if (read.value === null) return noSuchRecord(key)
      const record = read.value
      const missing = Object.entries(changes)
        .filter(
          ([field, wanted]) => wanted !== undefined && !holds(record[field as keyof typeof record], wanted),
        )
        .map(([field]) => field)
      if (missing.length === 0)
        return ok({ effect: 'done', result: { key, record, reached: config.reached } })
      const differs = `record ${key} differs in ${missing.join(', ')}`
      if (expectedVersion === undefined) {
        // The same values set a second time change nothing more, and nobody asked to protect a version.
        return ok({
          effect: 'none',
          proven: true,
          evidence: `${differs}; setting the same values again does no harm`,
        })
      }
      if (record.version === expectedVersion) {
        // Should the first one arrive after all, the version lets only one of the two through.
        return ok({
          effect: 'none',
          proven: true,
          evidence: `${differs}, and ${stale(key, expectedVersion)}`,
        })
      }
      const evidence = `${differs} and is at version ${record.version ?? 'unknown'}, not ${expectedVersion}: changed by somebody, perhaps after this change`
      return ok({ effect: 'none', proven: false, evidence })
    },
  }
}

/** Whether a value that was read back says what was wanted: fields that nobody set do not count, nor do trailing zeros. */
function holds(actual: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true
  if (wanted === null || wanted === '') return actual === null || actual === undefined || actual === ''
  if (Array.isArray(wanted)) {
    const list = listOf(actual)
    return list.length === wanted.length && wanted.every((item, index) => holds(list[index], item))
  }
  if (typeof wanted === 'object') {
    return Object.entries(wanted).every(([field, value]) => holds(Object(actual)[field], value))
  }
  if (typeof wanted === 'string' && typeof actual === 'string' && isDecimal(wanted) && isDecimal(actual)) {
    return wanted === actual || (wanted.includes('.') !== actual.includes('.') && new Big(wanted).eq(actual))
  }
  return wanted === actual
}

export function namedAction<T extends RecordType>(
  name: string,
  config: RecordConfig['actions'][string],
  readOne: ReadOne<RecordTypes[T]>,
  tools: Tools,
): WriteAction<ActionInput, T> {
  const { client, vocabulary } = tools
  const operation = client.operation(config.request)
  const done = compileExpression(config.done, vocabulary)
  const inputOf = (input: ActionInput, write: WriteContext) => ({
    key: input.key,
    version: input.expectedVersion,
    input: input.input,
    reference: write.externalReference,
    onBehalfOf: write.onBehalfOf,
  })
  return {
    preview: () => outline(operation),
    previewLater: (input, write) => client.describe(operation, inputOf(input, write)),

    async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
      if (input.expectedVersion !== undefined && !config.conditional) return cannotCheck
      return outcomeOf(async () => {
        await client.send(operation, inputOf(input, write), { ...context, writes: true })
        return { key: input.key, reached: config.reached }
      })
    },

    async verify({ key, expectedVersion, input }, _write, context): Promise<Outcome<Verdict<T>>> {
      const read = await readOne(key, context)
      if (!read.ok) return read
      const record = read.value
      if (record === null) return noSuchRecord(key)
      if (isTrue(await quiet(done, record, { input }))) {
        return ok({ effect: 'done', result: { key, record, reached: config.reached } })
      }
      const protectedByVersion = expectedVersion !== undefined && record.version === expectedVersion
      const evidence = `${name}: record ${key} does not show it${protectedByVersion ? `, and ${stale(key, expectedVersion)}` : ''}`
      return ok({ effect: 'none', proven: config.repeatable || protectedByVersion, evidence })
    },
  }
}
