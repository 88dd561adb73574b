/** What is written to the WMS: new documents under a reference of ours, and actions on them. */
import { fail, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import type {
  ActionInput,
  CallContext,
  DeliveryCreate,
  ReservationCreate,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, RecordType, RecordTypes } from '../records.ts'
import { isAddressable } from './batches.ts'
import { broken, CODE_DUPLICATE_REFERENCE, type RestWmsClient } from './client.ts'
import type { RestWmsConfig } from './config.ts'
import { fieldOf, fieldText, type Mapping } from './mapping.ts'

export type Document = 'reservation' | 'delivery'

/** Where records of one type are, and how one is read. */
export interface RecordSource<T extends RecordType> {
  readonly type: T
  readonly path: string
  readonly read: (raw: unknown) => Outcome<RecordTypes[T]>
  readonly keyOf: (raw: unknown) => Key | undefined
}

export interface Creation<Input, T extends Document> {
  readonly source: RecordSource<T>
  readonly idField: string
  readonly externalRefField: string
  /** Where the WMS names the document that has the reference already. */
  readonly duplicateDetail: string
  body(input: Input, externalReference: string): Record<string, unknown>
}

/** @param readOne Reads one document by key, for looking what became of an action. */
export function createWrites(
  client: RestWmsClient,
  mapping: Mapping,
  config: RestWmsConfig,
  readOne: <T extends Document>(
    source: RecordSource<T>,
    key: Key,
    context: CallContext,
  ) => Promise<Outcome<RecordTypes[T] | null>>,
) {
  const writeHeaders = (write: WriteContext): Record<string, string> => ({
    'content-type': 'application/json; charset=utf-8',
    ...(config.onBehalfOfHeader === null
      ? {}
      : { [config.onBehalfOfHeader.toLowerCase()]: encodeURIComponent(write.onBehalfOf.toWellFormed()) }),
  })

  const createAction = <Input extends ReservationCreate | DeliveryCreate, T extends Document>({
    source,
    idField,
    externalRefField,
    duplicateDetail,
    body,
  }: Creation<Input, T>): WriteAction<Input, T> => {
    const preview = (input: Input, write: WriteContext): VendorRequest => ({
      method: 'POST',
      path: source.path,
      headers: writeHeaders(write),
      body: JSON.stringify(body(input, write.externalReference)),
    })
    return {
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const refused = mapping.refuse(input)
        if (refused) return fail(refused)
        const sent = await outcomeOf(() => client.write(preview(input, write), context))
        if (sent.ok) {
          const record = source.read(sent.value)
          if (record.ok) return ok({ key: record.value.key, record: record.value, reached: 'effective' })
          const key = fieldText(sent.value, idField)
          if (key !== undefined) return ok({ key, reached: 'effective' })
          // It was made, but we were not told its key: it can be found by its reference.
          return fail({ kind: 'unknown-outcome', detail: `POST ${source.path}: no key in the answer` })
        }
        const { failure } = sent
        if (failure.kind !== 'rejected' || failure.code !== CODE_DUPLICATE_REFERENCE) return sent
        // The reference stands for this one write: what has it is what an earlier attempt made.
        const key = failure.details?.[duplicateDetail]
        if (typeof key === 'string') return ok({ key, reached: 'effective' })
        const detail = `POST ${source.path}: the reference is taken, and the answer does not say by what`
        return fail({ kind: 'unknown-outcome', detail })
      },

      verify: (_input, write, context) =>
        outcomeOf(async (): Promise<Verdict<T>> => {
          const { externalReference } = write
          const { items } = await client.getPage(source.path, { externalRef: externalReference }, context)
          for (const raw of items) {
            // A WMS that overlooks the parameter answers with everything: compare.
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
          const evidence = config.uniqueExternalRef
            ? `no ${source.type} has the reference, and the WMS takes each reference only once`
            : `no ${source.type} has the reference yet`
          return { effect: 'none', proven: config.uniqueExternalRef, evidence }
        }),
    }
  }

  const namedAction = <T extends Document>(
    source: RecordSource<T>,
    verb: string,
    isDone: (record: RecordTypes[T]) => boolean,
  ): WriteAction<ActionInput, T> => {
    const preview = ({ key, expectedVersion }: ActionInput, write: WriteContext): VendorRequest => ({
      method: 'POST',
      path: `${source.path}/${encodeURIComponent(key)}/${verb}`,
      headers: {
        ...writeHeaders(write),
        ...(expectedVersion === undefined ? {} : { 'if-match': `"${expectedVersion}"` }),
      },
      body: '{}',
    })
    const missing = (key: Key) => fail({ kind: 'not-found', message: `There is no ${source.type} "${key}".` })
    return {
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const { key, expectedVersion } = input
        if (!isAddressable(key)) return missing(key)
        if (expectedVersion !== undefined && !config.conditionalWrites) {
          const message = 'This WMS cannot check the version of a document: leave expectedVersion out.'
          return fail({ kind: 'unsupported', message })
        }
        // What fits into no header was never a version of this WMS: nothing is sent.
        if (expectedVersion !== undefined && !/^[!#-~]+$/.test(expectedVersion)) {
          const message = `The ${source.type} "${key}" never had the version that is expected.`
          return fail({ kind: 'conflict', message })
        }
        return outcomeOf(async (): Promise<WriteResult<T>> => {
          const record = source.read(await client.write(preview(input, write), context))
          // It is done, whatever the WMS shows of it.
          return { key, reached: 'effective', ...(record.ok ? { record: record.value } : {}) }
        })
      },

      async verify({ key }, _write, context): Promise<Outcome<Verdict<T>>> {
        if (!isAddressable(key)) return missing(key)
        const read = await readOne(source, key, context)
        if (!read.ok) return read
        const record = read.value
        if (record === null) return missing(key)
        if (isDone(record)) return ok({ effect: 'done', result: { key, record, reached: 'effective' } })
        const state = `${source.type} ${key} is ${record.vendorStatus ?? record.status}`
        return ok({
          effect: 'none',
          proven: config.repeatableActions,
          evidence: config.repeatableActions ? `${state}; asking for it again does no harm` : state,
        })
      },
    }
  }

  return { createAction, namedAction }
}
