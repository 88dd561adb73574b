/** Changing accounts and opportunities; new ones by upsert, so that the same one twice is one. */
import { z } from 'zod'
import { gatewayCaller } from '../../caller/caller.ts'
import { fail, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import type {
  ActionInput,
  CallContext,
  CustomerChanges,
  CustomerCreate,
  Extra,
  OpportunityChanges,
  OpportunityCreate,
  UpdateOf,
  VendorRequest,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Key, RecordTypes } from '../records.ts'
import { longId } from './ids.ts'
import { missingCustomerChanges, missingOpportunityChanges, toDateTime } from './mapping.ts'
import { type Held, idOf, OBJECTS, type Reading, type Tools } from './reading.ts'
import { quoted, soql, within } from './soql.ts'

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }
const NAMES = { customer: 'customer', opportunity: 'opportunity' } as const

const upsertedSchema = z.object({ id: z.string(), success: z.literal(true) })

export function createWrites({ config, client, mapping }: Tools, reading: Reading) {
  const notFound = (type: Held, key: Key): Outcome<never> =>
    fail({ kind: 'not-found', message: `There is no ${NAMES[type]} "${key}".` })

  const readOne = async <T extends Held>(
    type: T,
    key: Key,
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>> => (await reading.readMany(type, [key], context))[0] ?? ok(null)

  const part = (method: 'POST' | 'PATCH', resource: string, referenceId: string, body: object) => ({
    method,
    url: client.path(resource),
    referenceId,
    body,
  })
  const allOrNone = (compositeRequest: readonly object[]): VendorRequest => ({
    method: 'POST',
    path: client.path('composite'),
    headers: JSON_TYPE,
    body: JSON.stringify({ allOrNone: true, compositeRequest }),
  })

  /* ---- updates ---- */

  interface Update<T extends Held, Changes> {
    readonly type: T
    readonly takes: readonly Extra[]
    readonly body: (changes: Changes) => Outcome<Record<string, unknown>>
    readonly missing: (record: RecordTypes[T], changes: Changes) => string[]
    /** What has to be looked up before the request can be told; `null`: there is nothing to change. */
    readonly together?: (
      input: UpdateOf<Changes>,
      alone: VendorRequest,
      context: CallContext,
    ) => Promise<Outcome<VendorRequest | null>>
    /** Sent twice at the same time it would be done twice. */
    readonly adds?: (changes: Changes) => boolean
  }

  const update = <T extends Held, Changes>({
    type,
    takes,
    body,
    missing,
    together = async (_input, alone) => ok(alone),
    adds = () => false,
  }: Update<T, Changes>): WriteAction<UpdateOf<Changes>, T> => {
    const preview = ({ key, expectedVersion, changes }: UpdateOf<Changes>): VendorRequest => {
      const fields = body(changes)
      return {
        method: 'PATCH',
        path: client.path(
          `sobjects/${OBJECTS[type]}/${longId(key, OBJECTS[type]) ?? encodeURIComponent(key)}`,
        ),
        headers: { ...JSON_TYPE, ...unmodifiedSince(expectedVersion) },
        body: fields.ok ? JSON.stringify(fields.value) : '{}',
      }
    }
    return {
      takes,
      preview,
      previewLater: async (input) => {
        const request = await together(input, preview(input), { caller: gatewayCaller })
        return (request.ok && request.value) || preview(input)
      },

      async send(input, _write, context): Promise<Outcome<WriteResult<T>>> {
        const key = longId(input.key, OBJECTS[type])
        if (key === null) return notFound(type, input.key)
        const fields = body(input.changes)
        if (!fields.ok) return fields
        if (input.expectedVersion !== undefined) {
          if (toDateTime(input.expectedVersion) !== input.expectedVersion) {
            const message = `"${input.key}" never had the version that is expected.`
            return fail({ kind: 'conflict', message })
          }
          // The header below counts in seconds: what changed within one is seen only here.
          const current = await readOne(type, key, context)
          if (!current.ok) return current
          if (current.value === null) return notFound(type, input.key)
          const { version } = current.value
          if (version && version !== input.expectedVersion) {
            const message = `"${input.key}" was changed by somebody else.`
            return fail({ kind: 'conflict', message, currentVersion: version })
          }
        }
        const request = await together({ ...input, key }, preview(input), context)
        if (!request.ok) return request
        return outcomeOf(async () => {
          if (request.value) await client.write(request.value, context)
          const record = await readOne(type, key, context)
          // The change is done, whether or not it can be shown.
          return { key, reached: 'effective', ...(record.ok && record.value ? { record: record.value } : {}) }
        })
      },

      async verify({ key: given, expectedVersion, changes }, _write, context): Promise<Outcome<Verdict<T>>> {
        const key = longId(given, OBJECTS[type])
        if (key === null) return notFound(type, given)
        const read = await readOne(type, key, context)
        if (!read.ok) return read
        const record = read.value
        if (record === null) return notFound(type, given)
        const differing = missing(record, changes)
        if (differing.length === 0)
          return ok({ effect: 'done', result: { key, record, reached: 'effective' } })
        const differs = `${OBJECTS[type]} ${key} differs in ${differing.join(', ')}`
        if (adds(changes)) return ok({ effect: 'none', proven: false, evidence: differs })
        if (expectedVersion === undefined) {
          // The same values set a second time change nothing more, and nobody asked to protect a version.
          const evidence = `${differs}; setting the same values again does no harm`
          return ok({ effect: 'none', proven: true, evidence })
        }
        if (record.version === expectedVersion) {
          // Should the first one arrive after all, its condition lets only one of the two through.
          return ok({ effect: 'none', proven: true, evidence: `${differs} and has not been changed since` })
        }
        const evidence = `${differs} and was changed at ${record.version ?? 'an unknown time'}, perhaps after this change`
        return ok({ effect: 'none', proven: false, evidence })
      },
    }
  }

  const updateOpportunity = update<'opportunity', OpportunityChanges>({
    type: 'opportunity',
    takes: ['customFields'],
    body: mapping.opportunityBody,
    missing: missingOpportunityChanges,
  })

  /** A named action is an update with one stage. */
  const updateCustomer = update<'customer', CustomerChanges>({
    type: 'customer',
    takes: ['addresses', 'customFields'],
    body: mapping.accountBody,
    missing: missingCustomerChanges,
    adds: ({ contacts }) => contacts !== undefined,
    /** The account and its contacts, all or none; who is there is looked up first, and is not made again. */
    async together({ key, changes }, alone, context) {
      const { contacts } = changes
      if (!contacts) return ok(alone)
      const where = [within('AccountId', [key])]
      const text = soql({ object: 'Contact', fields: mapping.contactFields, where, order: 'CreatedDate, Id' })
      const rows = await outcomeOf(async () => (await client.query([text], context)).flat())
      if (!rows.ok) return rows
      const changed = mapping.contactChanges(contacts, rows.value)
      if (!changed.ok) return changed
      const fields = mapping.accountBody(changes)
      if (!fields.ok) return fields
      const { 'content-type': _, ...httpHeaders } = alone.headers ?? {}
      const account =
        Object.keys(fields.value).length === 0
          ? []
          : [{ ...part('PATCH', `sobjects/Account/${key}`, 'account', fields.value), httpHeaders }]
      const people = changed.value.map(({ id, fields }, at) =>
        id === null
          ? part('POST', 'sobjects/Contact', `contact${at}`, { ...fields, AccountId: key })
          : part('PATCH', `sobjects/Contact/${id}`, `contact${at}`, fields),
      )
      const parts = [...account, ...people]
      return ok(parts.length === 0 ? null : allOrNone(parts))
    },
  })

  const toStage = (stage: 'WON' | 'LOST'): WriteAction<ActionInput, 'opportunity'> => {
    const as = (input: ActionInput): UpdateOf<OpportunityChanges> => ({ ...input, changes: { stage } })
    return {
      preview: (input, write) => updateOpportunity.preview(as(input), write),
      send: (input, write, context) => updateOpportunity.send(as(input), write, context),
      verify: (input, write, context) => updateOpportunity.verify(as(input), write, context),
    }
  }

  /* ---- new records ---- */

  interface Create<T extends Held, Input> {
    readonly type: T
    /** The External ID that takes the reference of a write. */
    readonly field: string
    readonly takes: readonly Extra[]
    readonly body: (input: Input, write: WriteContext) => Outcome<Record<string, unknown>>
    /** What is made together with it, or not at all. */
    readonly contacts?: (input: Input) => Outcome<Record<string, unknown>[]>
  }

  const absence = (what: string): string =>
    config.uniqueExternalReference
      ? `no ${what} has the reference, and the org takes each reference only once`
      : `no ${what} has the reference yet`

  /** Also one that somebody has deleted since: it was made. */
  const findByReference = <T extends Held>(type: T, field: string, reference: string, context: CallContext) =>
    outcomeOf(async (): Promise<WriteResult<T> | null> => {
      const object = OBJECTS[type]
      const text = soql({
        object,
        fields: [...(type === 'customer' ? mapping.accountFields : mapping.opportunityFields), 'IsDeleted'],
        where: [`${field} = ${quoted(reference)}`],
        limit: 2,
      })
      const rows = (await client.query([text], context, true)).flat()
      const row = rows.find((one) => one.IsDeleted !== true) ?? rows[0]
      if (!row) return null
      const key = idOf(row, object)
      if (key === null)
        throw new SourceError({ kind: 'invalid-response', detail: `${object}: a row without Id` })
      if (row.IsDeleted === true) return { key, reached: 'effective' }
      const [record] = await reading.toRecords(type, [row], context)
      const shown = record?.ok ? { record: record.value } : {}
      return { key, reached: 'effective', ...shown }
    })

  /** An upsert would add the contacts again: the account is inserted, and a reference that is taken undoes all. */
  const togetherWith = (object: string, record: object, contacts: readonly object[]): VendorRequest =>
    allOrNone([
      part('POST', `sobjects/${object}`, 'account', record),
      ...contacts.map((contact, at) =>
        part('POST', 'sobjects/Contact', `contact${at}`, { ...contact, AccountId: '@{account.id}' }),
      ),
    ])

  const create = <T extends Held, Input>({
    type,
    field,
    takes,
    body,
    contacts = () => ok([]),
  }: Create<T, Input>): WriteAction<Input, T> => {
    const object = OBJECTS[type]
    const preview = (input: Input, write: WriteContext): VendorRequest => {
      const fields = body(input, write)
      const people = contacts(input)
      if (fields.ok && people.ok && people.value.length > 0) {
        const record = { ...fields.value, [field]: write.externalReference }
        return togetherWith(object, record, people.value)
      }
      return {
        method: 'PATCH',
        path: client.path(`sobjects/${object}/${field}/${encodeURIComponent(write.externalReference)}`),
        headers: JSON_TYPE,
        body: fields.ok && people.ok ? JSON.stringify(fields.value) : '{}',
      }
    }
    return {
      takes,
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<T>>> {
        const fields = body(input, write)
        if (!fields.ok) return fields
        const people = contacts(input)
        if (!people.ok) return people
        const sent = await outcomeOf(() => client.write(preview(input, write), context))
        if (!sent.ok) {
          // Two of the same at once: the reference stands for this one write, so what has it is what was wanted.
          const isTaken = sent.failure.kind === 'rejected' && sent.failure.code === 'DUPLICATE_VALUE'
          const found = isTaken ? await findByReference(type, field, write.externalReference, context) : null
          return found?.ok && found.value ? ok(found.value) : sent
        }
        const answer = upsertedSchema.safeParse(sent.value.body)
        const key = answer.success ? longId(answer.data.id, object) : null
        // 204 says only that it was there already.
        const found = await findByReference(type, field, write.externalReference, context)
        if (found.ok && found.value) return ok(found.value)
        if (key !== null) return ok({ key, reached: 'effective' })
        return fail({ kind: 'unknown-outcome', detail: 'upsert: done, but no id in the answer' })
      },

      async verify(_input, write, context): Promise<Outcome<Verdict<T>>> {
        const found = await findByReference(type, field, write.externalReference, context)
        if (!found.ok) return found
        if (found.value) return ok({ effect: 'done', result: found.value })
        return ok({
          effect: 'none',
          proven: config.uniqueExternalReference,
          evidence: absence(NAMES[type]),
        })
      },
    }
  }

  const createOpportunity = create<'opportunity', OpportunityCreate>({
    type: 'opportunity',
    field: config.fields.externalReference,
    takes: ['customFields'],
    body(input, { onBehalfOf }) {
      const customer = longId(input.customer, 'Account')
      if (customer === null) return notFound('customer', input.customer)
      return mapping.newOpportunity({ ...input, customer }, onBehalfOf, new Date().toISOString().slice(0, 10))
    },
  })

  const { customerReference } = config.fields
  const createCustomer =
    customerReference === null
      ? undefined
      : create<'customer', CustomerCreate>({
          type: 'customer',
          field: customerReference,
          takes: ['addresses', 'customFields'],
          body: mapping.newAccount,
          contacts: mapping.newContacts,
        })

  /* ---- notes: tasks that are done, in the account's timeline ---- */

  const isNoted = (field: string, reference: string, context: CallContext) =>
    outcomeOf(async () => {
      const where = [`${field} = ${quoted(reference)}`]
      const text = soql({ object: 'Task', fields: ['Id'], where, limit: 1 })
      return (await client.query([text], context, true)).flat().length > 0
    })

  const noting = (field: string): WriteAction<ActionInput, 'customer'> => {
    const preview = ({ key, text }: ActionInput, { externalReference }: WriteContext): VendorRequest => ({
      method: 'PATCH',
      path: client.path(`sobjects/Task/${field}/${encodeURIComponent(externalReference)}`),
      headers: JSON_TYPE,
      body: JSON.stringify({
        ...config.defaults.note,
        WhatId: longId(key, 'Account') ?? key,
        Description: text ?? '',
      }),
    })
    return {
      preview,

      async send(input, write, context): Promise<Outcome<WriteResult<'customer'>>> {
        const key = longId(input.key, 'Account')
        if (key === null) return notFound('customer', input.key)
        if (!input.text?.trim()) return fail({ kind: 'unsupported', message: 'A note needs a text.' })
        const sent = await outcomeOf(() => client.write(preview(input, write), context))
        if (sent.ok) return ok({ key, reached: 'effective' })
        const isTaken = sent.failure.kind === 'rejected' && sent.failure.code === 'DUPLICATE_VALUE'
        const found = isTaken ? await isNoted(field, write.externalReference, context) : null
        return found?.ok && found.value ? ok({ key, reached: 'effective' }) : sent
      },

      async verify(input, write, context): Promise<Outcome<Verdict<'customer'>>> {
        const found = await isNoted(field, write.externalReference, context)
        if (!found.ok) return found
        const key = longId(input.key, 'Account') ?? input.key
        if (found.value) return ok({ effect: 'done', result: { key, reached: 'effective' } })
        return ok({ effect: 'none', proven: config.uniqueExternalReference, evidence: absence('note') })
      },
    }
  }
  const { noteReference } = config.fields

  return {
    addNote: noteReference === null ? undefined : noting(noteReference),
    updateCustomer,
    createCustomer,
    updateOpportunity,
    createOpportunity,
    win: toStage('WON'),
    lose: toStage('LOST'),
  }
}

/** @see REST API Developer Guide, "Conditional Request Headers": compared with the last modification, in seconds */
function unmodifiedSince(version: string | undefined): Record<string, string> {
  const at = version === undefined ? Number.NaN : Date.parse(version)
  return Number.isNaN(at) ? {} : { 'if-unmodified-since': new Date(at).toUTCString() }
}
