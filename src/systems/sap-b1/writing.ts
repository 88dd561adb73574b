/** What all writes to one entity have in common. */
import { fail, type Outcome, ok, outcomeOf, type SourceFailure } from '../failure.ts'
import type { ActionInput, CallContext, VendorRequest, Verdict, WriteResult } from '../port.ts'
import type { Key, RecordType, RecordTypes } from '../records.ts'
import { literal, SERVICE_ROOT, type ServiceLayer, type WriteRequest } from './client.ts'

/** One record to be changed, and how it is read whole. */
export interface Subject<T extends RecordType> {
  readonly client: ServiceLayer
  /** Below the service root. */
  path(key: Key): string
  read(row: unknown): Outcome<RecordTypes[T] | null>
  /** What people call it: `Order 1015`. */
  nameOf(record: RecordTypes[T]): string
  readonly missing: (key: Key) => SourceFailure
  reread(key: Key, context: CallContext): Promise<Outcome<RecordTypes[T] | null>>
}

/**
 * Compares the version that the caller knows with the present one, and answers the ETag that keeps it so until
 * the change arrives. Without an expected version nothing is asked.
 */
export async function unchanged<T extends RecordType>(
  subject: Subject<T>,
  input: ActionInput,
  context: CallContext,
): Promise<Outcome<string | undefined>> {
  if (input.expectedVersion === undefined) return ok(undefined)
  const whole = await outcomeOf(() => subject.client.whole(subject.path(input.key), context))
  if (!whole.ok) return whole
  if (whole.value === null) return fail(subject.missing(input.key))
  const read = subject.read(whole.value.row)
  if (!read.ok) return read
  if (read.value === null) return fail(subject.missing(input.key))
  const { version } = read.value
  if (version === input.expectedVersion) return ok(whole.value.etag)
  return fail({
    kind: 'conflict',
    message: `${subject.nameOf(read.value)} has been changed since it was read.`,
    ...(version ? { currentVersion: version } : {}),
  })
}

/** Sends a change that is answered without a body, and reads the record again. */
export async function finish<T extends RecordType>(
  { client, reread }: Subject<T>,
  key: Key,
  request: WriteRequest,
  context: CallContext,
): Promise<Outcome<WriteResult<T>>> {
  const sent = await outcomeOf(() => client.write(request, context))
  if (!sent.ok) return sent
  if (sent.value.status >= 300) return fail(client.writeFailure(sent.value))
  // 204 without content is the vendor's yes; a page from a proxy in between has content.
  if (sent.value.status !== 204) return fail(illegible(`HTTP ${sent.value.status} instead of 204`))
  const record = await reread(key, context)
  return ok({ key, reached: 'effective', ...(record.ok && record.value ? { record: record.value } : {}) })
}

export const nothingDone = (evidence: string, proven: boolean): Outcome<Verdict<never>> =>
  ok({ effect: 'none', proven, evidence })

export const illegible = (detail: string): SourceFailure => ({ kind: 'unknown-outcome', detail })

export const etagHeader = (etag: string | undefined): Pick<WriteRequest, 'headers'> =>
  etag === undefined ? {} : { headers: { 'if-match': etag } }

export function preview(request: WriteRequest): VendorRequest {
  return {
    method: request.method,
    path: `${SERVICE_ROOT}/${request.path}`,
    ...(request.body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: request.body }),
  }
}

/** A text key in a path: `BusinessPartners('C1')`. */
export const keyPath = (entity: string, key: Key): string => `${entity}(${encodeURIComponent(literal(key))})`
