/** What may be written to customers: the fields of the business partner that callers know. */
import { fail, type Outcome, ok, type SourceFailure } from '../failure.ts'
import type { CallContext, CustomerChanges, UpdateOf, Verdict, WriteAction, WriteResult } from '../port.ts'
import type { Customer, Key } from '../records.ts'
import type { ServiceLayer, WriteRequest } from './client.ts'
import type { Mapping } from './mapping.ts'
import { etagHeader, finish, keyPath, nothingDone, preview, type Subject, unchanged } from './writing.ts'

export interface PartnerWritesOptions {
  readonly client: ServiceLayer
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

const noCustomer = (key: Key): SourceFailure => ({
  kind: 'not-found',
  message: `There is no customer with the key ${key}.`,
})

function cannotStore(changes: CustomerChanges): SourceFailure | undefined {
  const unknown = (['level', 'industry', 'contacts'] as const).find((name) => changes[name] !== undefined)
  if (unknown === undefined) return undefined
  return { kind: 'unsupported', message: `SAP Business One does not take the ${unknown} of a customer.` }
}
