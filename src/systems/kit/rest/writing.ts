/** What is written: new documents under a reference of ours, changes under a version, and named actions. */
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../../failure.ts'
import type {
  ActionInput,
  CallContext,
  Extra,
  UpdateOf,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../../port.ts'
import type { Key, RecordType, RecordTypes } from '../../records.ts'
import { isAddressable } from './batches.ts'
import { broken, CODE_DUPLICATE_REFERENCE, type RestClient, type RestWritten } from './client.ts'
import { fieldOf } from './fields.ts'
import type { Reading, Source } from './reading.ts'

/** See `Creation.findBy`. */
export const AMONG_CHANGED = Symbol('among what changed')
/** So far back a lost document is looked for among what changed. */
const LATELY_MS = 24 * 3_600_000

export interface WritingSettings {
  readonly onBehalfOfHeader: string | null
  /** The system refuses a second document with the same reference. */
  readonly uniqueExternalRef: boolean
  /** The system honours If-Match. */
  readonly conditional: boolean
  /** An action that was carried out before changes nothing when it is asked for again. */
  readonly repeatableActions: boolean
}

export interface Creation<Input, T extends RecordType> {
  readonly source: Source<T>
  /** Default: the source's own. */
  readonly path?: string
  readonly externalRefField: string
  /** What the system calls the document by, where that is not our reference: a number that stands in the input. */
  referenceOf?(input: Input): string
  /**
   * The parameter by which a reference is looked for; `AMONG_CHANGED`: there is none, but a list of what changed; null:
   * the system cannot look. Default `externalRef`.
   */
  readonly findBy?: string | typeof AMONG_CHANGED | null
  /** Where a refusal names the document that has the reference already. */
  readonly duplicateDetail: string
  /** See `WriteAction`. */
  readonly takes?: readonly Extra[]
  /** What speaks against sending this. */
  refuse?(input: Input): SourceFailure | undefined
  body(input: Input, externalReference: string, write: WriteContext): Record<string, unknown>
  /** Puts in what the system knows already and wants to be told nevertheless. The preview goes without. */
  completed?(
    body: Record<string, unknown>,
    input: Input,
    context: CallContext,
  ): Promise<Record<string, unknown>>
}

export interface Change<Changes, T extends RecordType> {
  readonly source: Source<T>
  /** See `WriteAction`. */
  readonly takes?: readonly Extra[]
  refuse?(changes: Changes): SourceFailure | undefined
  body(changes: Changes): Record<string, unknown>
  /**
   * What in a body replaces what is there, so that the rest of it must be sent along: it is read before. Its `objects`,
   * or the body the `record`. The preview shows only what is changed.
   */
  readonly whole?: 'objects' | 'record' | undefined
  /** Where only the present record tells what speaks against the change: it is read before anything is sent. */
  refuseFor?(changes: Changes): ((record: RecordTypes[T]) => SourceFailure | undefined) | undefined
  /** The names of the changed fields that the record does not show; none: the change has taken effect. */
  missing(record: RecordTypes[T], changes: Changes): readonly string[]
}

export interface NamedAction<T extends RecordType> {
  readonly source: Source<T>
  /** Below the record's own path; default method POST and an empty body. */
  readonly verb: string
  readonly method?: 'POST' | 'PUT'
  readonly body?: Readonly<Record<string, unknown>>
  isDone(record: RecordTypes[T]): boolean
}

export function createWriting(client: RestClient, reading: Reading, settings: WritingSettings) {
  const { called } = client

  const headers = (write: WriteContext, expectedVersion?: string): Record<string, string> => ({
    'content-type': 'application/json; charset=utf-8',
    ...(settings.onBehalfOfHeader === null
      ? {}
      : { [settings.onBehalfOfHeader.toLowerCase()]: encodeURIComponent(write.onBehalfOf.toWellFormed()) }),
    ...(expectedVersion === undefined ? {} : { 'if-match': `"${expectedVersion}"` }),
  })

  const missingRecord = (type: RecordType, key: Key) =>
    fail({ kind: 'not-found', message: `There is no ${type} "${key}".` })

  /** Why a change of this record at this version would be pointless to send. */
  const refusedTarget = (type: RecordType, { key, expectedVersion }: ActionInput) => {
    if (!isAddressable(key)) return missingRecord(type, key)
    if (expectedVersion === undefined) return undefined
    if (!settings.conditional) {
      const message = `This ${called} cannot check versions: leave expectedVersion out.`
      return fail({ kind: 'unsupported', message })
    }
    // What fits into no header was never a version of this system: nothing is sent.
    if (/^[!#-~]+$/.test(expectedVersion)) return undefined
    return fail({
      kind: 'conflict',
      message: `The ${type} "${key}" never had the version that is expected.`,
    })
  }

  /**
   * The record in an answer. One without its place in lists is a receipt: what it leaves out would be told as changed.
   */
  const shownIn = <T extends RecordType>(source: Source<T>, data: unknown): RecordTypes[T] | undefined => {
    if (source.place.some((name) => (fieldOf(data, name) ?? null) === null)) return undefined
    const record = source.read(data)
    return record.ok ? record.value : undefined
  }

  /** The change is done, whatever the system shows of it. */
  const changed = <T extends RecordType>(
    source: Source<T>,
    key: Key,
    { data }: RestWritten,
  ): WriteResult<T> => {
    const record = shownIn(source, data)
    return { key, reached: 'effective', ...(record ? { record } : {}) }
  }

  const create = <Input, T extends RecordType>({
    source,
    path = source.path,
    externalRefField,
    referenceOf,
    findBy = 'externalRef',
    duplicateDetail,
    takes = [],
    refuse,
    body,
    completed,
  }: Creation<Input, T>): WriteAction<Input, T> => {
    const sentBody = (input: Input, write: WriteContext) => body(input, write.externalReference, write)
    const preview = (input: Input, write: WriteContext): VendorRequest => ({
      method: 'POST',
      path,
      headers: headers(write),
      body: JSON.stringify(sentBody(input, write)),
    })
    return {
      preview,
      takes,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const refused = refuse?.(input)
        if (refused) return fail(refused)
        const sent = await outcomeOf(async () => {
          const request = preview(input, write)
          if (!completed) return client.write(request, context)
          const whole = await completed(sentBody(input, write), input, context)
          return client.write({ ...request, body: JSON.stringify(whole) }, context)
        })
        if (sent.ok) {
          const { data, located } = sent.value
          const record = shownIn(source, data)
          // Where our reference is the key, nobody needs to tell it.
          const key = record?.key ?? source.keyOf(data) ?? located ?? source.keyOf(sentBody(input, write))
          if (key !== undefined) return ok({ key, reached: 'effective', ...(record ? { record } : {}) })
          // It was made, but we were not told its key: it can be found by its reference.
          return fail({ kind: 'unknown-outcome', detail: `POST ${path}: no key in the answer` })
        }
        const { failure } = sent
        if (failure.kind !== 'rejected' || failure.code !== CODE_DUPLICATE_REFERENCE) return sent
        // The reference stands for this one write: what has it is what an earlier attempt made.
        const key = failure.details?.[duplicateDetail]
        if (typeof key === 'string') return ok({ key, reached: 'effective' })
        const detail = `POST ${path}: the reference is taken, and the answer does not say by what`
        return fail({ kind: 'unknown-outcome', detail })
      },

      verify: (input, write, context) =>
        outcomeOf(async (): Promise<Verdict<T>> => {
          if (findBy === null) {
            const evidence = `this ${called} offers no way to look for a reference`
            return { effect: 'unknown', evidence }
          }
          const externalReference = referenceOf?.(input) ?? write.externalReference
          const among = findBy === AMONG_CHANGED
          const items = among
            ? await reading.changedLately(source, LATELY_MS, context)
            : (await client.getPage(source.path, { [findBy]: externalReference }, context)).items
          for (const raw of items) {
            // A system that overlooks the parameter answers with everything: compare.
            if (fieldOf(raw, externalRefField) !== externalReference) continue
            const record = source.read(raw)
            const key = record.ok ? record.value.key : source.keyOf(raw)
            if (key === undefined) throw new SourceError(broken(source.path, 'a document without a key'))
            const result = {
              key,
              reached: 'effective' as const,
              ...(record.ok ? { record: record.value } : {}),
            }
            return { effect: 'done', result }
          }
          if (!among && items.length > 0) {
            const evidence = `this ${called} does not look for the reference: it answers with other records`
            return { effect: 'unknown', evidence }
          }
          if (among) {
            // The system may have dropped the field that carries the reference.
            const evidence = `no ${source.type} that changed within a day shows the reference`
            return { effect: 'unknown', evidence }
          }
          const evidence = settings.uniqueExternalRef
            ? `no ${source.type} has the reference, and the ${called} takes each reference only once`
            : `no ${source.type} has the reference yet`
          return { effect: 'none', proven: settings.uniqueExternalRef, evidence }
        }),
    }
  }

  const update = <Changes, T extends RecordType>({
    source,
    takes = [],
    refuse,
    refuseFor,
    body,
    whole,
    missing,
  }: Change<Changes, T>): WriteAction<UpdateOf<Changes>, T> => {
    const preview = (
      { key, expectedVersion, changes }: UpdateOf<Changes>,
      write: WriteContext,
    ): VendorRequest => ({
      method: 'PUT',
      path: `${source.path}/${encodeURIComponent(key)}`,
      headers: headers(write, expectedVersion),
      body: JSON.stringify(body(changes)),
    })
    /** @throws SourceError where nothing is sent */
    const request = async (
      input: UpdateOf<Changes>,
      write: WriteContext,
      context: CallContext,
    ): Promise<VendorRequest> => {
      const plain = preview(input, write)
      const changes = body(input.changes)
      const completed = whole === 'record' || (whole === 'objects' && Object.values(changes).some(isObject))
      const refuseRecord = refuseFor?.(input.changes)
      if (!completed && !refuseRecord) return plain
      const present = await client.get(plain.path, {}, context)
      const record = source.read(present.data)
      if (!record.ok) throw new SourceError(record.failure)
      const refused = refuseRecord?.(record.value)
      if (refused) throw new SourceError(refused)
      if (!completed) return plain
      const there = present.verbatim()
      const filled = Object.entries(changes).map(([name, value]) => [
        name,
        mergedInto(isObject(there) ? there[name] : undefined, value),
      ])
      const rest = whole === 'record' && isObject(there) ? there : {}
      return { ...plain, body: JSON.stringify({ ...rest, ...Object.fromEntries(filled) }) }
    }
    return {
      preview,
      takes,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const refusal = refuse?.(input.changes)
        const refused = refusal ? fail(refusal) : refusedTarget(source.type, input)
        if (refused) return refused
        return outcomeOf(async () =>
          changed(source, input.key, await client.write(await request(input, write, context), context)),
        )
      },

      async verify({ key, expectedVersion, changes }, _write, context): Promise<Outcome<Verdict<T>>> {
        if (!isAddressable(key)) return missingRecord(source.type, key)
        const read = await reading.readOne(source, key, context)
        if (!read.ok) return read
        const record = read.value
        if (record === null) return missingRecord(source.type, key)
        const lacking = missing(record, changes)
        if (lacking.length === 0) return ok({ effect: 'done', result: { key, record, reached: 'effective' } })
        const differs = `${source.type} ${key} differs in ${lacking.join(', ')}`
        if (expectedVersion === undefined) {
          // The same values set a second time change nothing more, and nobody asked to protect a version.
          const evidence = `${differs}; setting the same values again does no harm`
          return ok({ effect: 'none', proven: true, evidence })
        }
        if (record.version === expectedVersion) {
          // Should the first one arrive after all, If-Match lets only one of the two through.
          const evidence = `${differs} and is still at revision ${expectedVersion}`
          return ok({ effect: 'none', proven: true, evidence })
        }
        const evidence = `${differs} and is at revision ${record.version ?? 'unknown'}, not ${expectedVersion}: changed by somebody, perhaps after this change`
        return ok({ effect: 'none', proven: false, evidence })
      },
    }
  }

  const action = <T extends RecordType>({
    source,
    verb,
    method = 'POST',
    body = {},
    isDone,
  }: NamedAction<T>): WriteAction<ActionInput, T> => {
    const preview = ({ key, expectedVersion }: ActionInput, write: WriteContext): VendorRequest => ({
      method,
      path: `${source.path}/${encodeURIComponent(key)}/${verb}`,
      headers: headers(write, expectedVersion),
      body: JSON.stringify(body),
    })
    return {
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const refused = refusedTarget(source.type, input)
        if (refused) return refused
        return outcomeOf(async () =>
          changed(source, input.key, await client.write(preview(input, write), context)),
        )
      },

      async verify({ key }, _write, context): Promise<Outcome<Verdict<T>>> {
        if (!isAddressable(key)) return missingRecord(source.type, key)
        const read = await reading.readOne(source, key, context)
        if (!read.ok) return read
        const record = read.value
        if (record === null) return missingRecord(source.type, key)
        if (isDone(record)) return ok({ effect: 'done', result: { key, record, reached: 'effective' } })
        const state = `${source.type} ${key} is ${vendorStateOf(record)}`
        return ok({
          effect: 'none',
          proven: settings.repeatableActions,
          evidence: settings.repeatableActions ? `${state}; asking for it again does no harm` : state,
        })
      },
    }
  }

  return { create, update, action }
}

type Members = Readonly<Record<string, unknown>>

/** Neither a list nor a number that keeps its digits. */
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

const mergedInto = (there: unknown, changes: unknown): unknown => {
  if (!isObject(there) || !isObject(changes)) return changes
  const changed = Object.entries(changes).map(([name, value]) => [name, mergedInto(there[name], value)])
  return { ...there, ...Object.fromEntries(changed) }
}

const vendorStateOf = (record: RecordTypes[RecordType]): string => {
  const { vendorStatus, status } = record as { vendorStatus?: string | null; status?: string }
  return vendorStatus ?? status ?? 'in another state'
}

/** Refuses custom fields that nobody has configured: they would vanish on the way. */
export function unknownCustomField(
  what: string,
  custom: Readonly<Record<string, string>>,
  given: Readonly<Record<string, unknown>> | undefined,
): SourceFailure | undefined {
  const unknown = Object.keys(given ?? {}).find((ours) => !Object.hasOwn(custom, ours))
  return unknown === undefined
    ? undefined
    : { kind: 'unsupported', message: `${what} of this system have no custom field "${unknown}".` }
}
