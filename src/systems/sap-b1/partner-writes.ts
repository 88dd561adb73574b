/** What may be written to customers: the fields of the business partner that callers know. */
import { fail, type Outcome, ok, outcomeOf, type SourceFailure } from '../failure.ts'
import { parseJson } from '../kit/json.ts'
import type {
  CallContext,
  CustomerChanges,
  CustomerCreate,
  UpdateOf,
  Verdict,
  WriteAction,
  WriteContext,
  WriteResult,
} from '../port.ts'
import type { Customer, Key } from '../records.ts'
import { literal, type ServiceLayer, vendorError, type WriteRequest } from './client.ts'
import type { SapB1Config } from './config.ts'
import { type Mapping, rowKey } from './mapping.ts'
import {
  etagHeader,
  finish,
  illegible,
  keyPath,
  nothingDone,
  preview,
  type Subject,
  unchanged,
} from './writing.ts'

export interface PartnerWritesOptions {
  readonly client: ServiceLayer
  readonly config: SapB1Config
  readonly map: Mapping
  readonly reread: (key: Key, context: CallContext) => Promise<Outcome<Customer | null>>
}

type Input = UpdateOf<CustomerChanges>

export function partnerUpdate({ client, map, reread }: PartnerWritesOptions): WriteAction<Input, 'customer'> {
  const subject: Subject<'customer'> = {
    client,
    reread,
    path: (key) => keyPath('BusinessPartners', key),
    read: (row) => map.customer(row, new Map()),
    nameOf: (customer) => `Customer ${customer.key}`,
    missing: noCustomer,
  }
  const request = ({ key, changes }: Input, etag?: string): WriteRequest => ({
    method: 'PATCH',
    path: subject.path(key),
    body: JSON.stringify({
      CardName: changes.name,
      Phone1: changes.phone,
      EmailAddress: changes.email,
    }),
    ...etagHeader(etag),
  })

  return {
    preview: (input) => preview(request(input)),

    async send(input, _write, context): Promise<Outcome<WriteResult<'customer'>>> {
      const unknown = cannotStore(input.changes)
      if (unknown) return fail(unknown)
      // Suppliers and leads are business partners too, and not ours to change.
      const present = await reread(input.key, context)
      if (!present.ok) return present
      if (present.value === null) return fail(noCustomer(input.key))
      const before = await unchanged(subject, input, context)
      if (!before.ok) return before
      return finish(subject, input.key, request(input, before.value), context)
    },

    async verify({ key, changes }, _write, context): Promise<Outcome<Verdict<'customer'>>> {
      const customer = await reread(key, context)
      if (!customer.ok) return customer
      if (customer.value === null) return nothingDone(`there is no customer ${key}`, true)
      const wished = [
        ['CardName', changes.name, customer.value.name],
        ['Phone1', changes.phone, customer.value.phone],
        ['EmailAddress', changes.email, customer.value.email],
      ] as const
      // An empty text and none are the same to the vendor.
      const missing = wished.filter(([, to, is]) => to !== undefined && (to || null) !== (is || null))
      if (missing.length > 0) {
        return nothingDone(`${missing.map(([name]) => name).join(', ')} are not as asked for`, false)
      }
      return ok({ effect: 'done', result: { key, record: customer.value, reached: 'effective' } })
    },
  }
}

/** A business partner of that code is there already. */
const TAKEN = '-2035'

/**
 * Codes of business partners are unique. Who is there already under the code was made by this write if it carries our
 * reference, else it is somebody else.
 */
export function partnerCreate({
  client,
  config,
  reread,
}: PartnerWritesOptions): WriteAction<CustomerCreate, 'customer'> {
  const { series, group, currency, referenceField } = config.partners
  const request = (input: CustomerCreate, write: WriteContext): WriteRequest => ({
    method: 'POST',
    path: 'BusinessPartners',
    body: JSON.stringify({
      ...(input.code === undefined ? { Series: series } : { CardCode: input.code }),
      CardType: 'cCustomer',
      CardName: input.name,
      GroupCode: group,
      Currency: currency,
      FederalTaxID: input.taxNumber,
      Phone1: input.phone,
      EmailAddress: input.email,
      ContactEmployees: input.contacts?.map(({ name, title, phone, email }) => ({
        Name: name,
        Position: title ?? undefined,
        Phone1: phone ?? undefined,
        E_Mail: email ?? undefined,
      })),
      [referenceField]: write.externalReference,
    }),
  })
  const refused = (input: CustomerCreate): SourceFailure | undefined => {
    const unknown = (['level', 'industry'] as const).find((name) => input[name] !== undefined)
    if (unknown !== undefined) return noPlaceFor(unknown)
    if (input.code !== undefined || series !== undefined) return undefined
    const message = 'This company has no series for customers ("partners.series"): give the code.'
    return { kind: 'unsupported', message }
  }
  const made = async (key: Key, context: CallContext): Promise<WriteResult<'customer'>> => {
    const record = await reread(key, context)
    return { key, reached: 'effective', ...(record.ok && record.value ? { record: record.value } : {}) }
  }
  const find = (write: WriteContext, context: CallContext) =>
    outcomeOf(async (): Promise<Key | undefined> => {
      const [row] = await client.rows(
        {
          entity: 'BusinessPartners',
          select: ['CardCode'],
          filter: `${referenceField} eq ${literal(write.externalReference)}`,
          orderby: 'CardCode asc',
          pageSize: 1,
          top: 1,
        },
        context,
      )
      return rowKey(row, 'CardCode')
    })

  return {
    preview: (input, write) => preview(request(input, write)),

    async send(input, write, context): Promise<Outcome<WriteResult<'customer'>>> {
      const unstorable = refused(input)
      if (unstorable) return fail(unstorable)
      const sent = await outcomeOf(() => client.write(request(input, write), context))
      if (!sent.ok) return sent
      const answer = sent.value
      if (answer.status === 201) {
        const body = await outcomeOf(async () => parseJson(answer.text, 'BusinessPartners'))
        const key = body.ok ? rowKey(body.value, 'CardCode') : undefined
        if (key === undefined) return fail(illegible('the answer does not name the customer'))
        return ok(await made(key, context))
      }
      if (answer.status < 300) return fail(illegible('the answer does not name the customer'))
      const failure = client.writeFailure(answer)
      if (vendorError(answer)?.code !== TAKEN) return fail(failure)
      const found = await find(write, context)
      if (!found.ok) return fail(illegible('the code is taken, and it cannot be seen by whom'))
      return found.value === undefined ? fail(failure) : ok(await made(found.value, context))
    },

    async verify(input, write, context): Promise<Outcome<Verdict<'customer'>>> {
      const found = await find(write, context)
      if (!found.ok) return found
      if (found.value !== undefined) return ok({ effect: 'done', result: await made(found.value, context) })
      const none = `no business partner has ${referenceField} = ${write.externalReference}`
      // With a code of its own a second one would be refused, should the first arrive after all.
      return input.code === undefined
        ? nothingDone(none, false)
        : nothingDone(`${none}, and the code ${input.code} can be taken only once`, true)
    },
  }
}

const noCustomer = (key: Key): SourceFailure => ({
  kind: 'not-found',
  message: `There is no customer with the key ${key}.`,
})

function cannotStore(changes: CustomerChanges): SourceFailure | undefined {
  const unknown = (['level', 'industry', 'contacts'] as const).find((name) => changes[name] !== undefined)
  if (unknown === undefined) return undefined
  return noPlaceFor(unknown)
}

const noPlaceFor = (field: string): SourceFailure => ({
  kind: 'unsupported',
  message: `SAP Business One does not take the ${field} of a customer.`,
})
