/** What may be written to customers: the fields of the business partner that callers know. */
import { z } from 'zod'
import { gatewayCaller } from '../../caller/caller.ts'
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
import type { Address, Contact, Customer, CustomerLevel, Key } from '../records.ts'
import { literal, type ServiceLayer, vendorError, type WriteRequest } from './client.ts'
import type { SapB1Config } from './config.ts'
import {
  customBody,
  isSame,
  type Mapping,
  type PartnerNames,
  rowKey,
  stateOrCounty,
  text,
  unknownCustomField,
  vendorCurrency,
} from './mapping.ts'
import { NO_NAMES, type Tables } from './names.ts'
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
  readonly tables: Pick<Tables, 'paymentTerms' | 'partnerGroups' | 'industries'>
  readonly reread: (key: Key, context: CallContext) => Promise<Outcome<Customer | null>>
}

type Input = UpdateOf<CustomerChanges>

const CODES_ONLY: PartnerNames = { terms: NO_NAMES, groups: NO_NAMES, industries: NO_NAMES }

/** Without these, PATCH would add to the collection what is new, and keep the rest. */
const REPLACES = { 'b1s-replacecollectionsonpatch': 'true' }

/* ---- what is looked up before a body is made ---- */

const keptSchema = z.object({
  ContactEmployees: z
    .array(z.object({ InternalCode: z.string(), Name: text, FirstName: text, LastName: text }))
    .nullish(),
  BPAddresses: z.array(z.object({ AddressName: z.string(), AddressType: text })).nullish(),
})
type Kept = z.infer<typeof keptSchema>

interface Codes {
  readonly group?: number | undefined
  readonly industry?: number | null | undefined
  readonly terms?: number | undefined
  /** Contacts and addresses that are there, and keep their numbers and names. */
  readonly kept?: Kept
}

type Looked = Pick<CustomerChanges, 'level' | 'industry' | 'paymentTerms'>

async function codesOf(
  { config, tables }: PartnerWritesOptions,
  { level, industry, paymentTerms }: Looked,
  context: Pick<CallContext, 'caller'>,
): Promise<Outcome<Codes>> {
  const named = level && groupOf(config, level)
  const wanted = [
    named === undefined ? undefined : tables.partnerGroups.codeOf(named, context),
    industry ? tables.industries.codeOf(industry, context) : undefined,
    paymentTerms === undefined ? undefined : tables.paymentTerms.codeOf(paymentTerms, context),
  ] as const
  const found = await Promise.all(wanted)
  const failed = found.find((one) => one && !one.ok)
  if (failed && !failed.ok) return failed
  const [group, own, terms] = found.map((one) => (one?.ok ? Number(one.value) : undefined))
  return ok({ group, industry: industry === '' ? null : own, terms })
}

/** The group that stands for a level: the first that the configuration names for it, by code or name. */
const groupOf = ({ levelGroups }: SapB1Config, level: CustomerLevel): string | undefined =>
  Object.keys(levelGroups).find((group) => levelGroups[group] === level)

/* ---- bodies ---- */

type Fields = Partial<CustomerCreate> & CustomerChanges

const ADDRESS_TYPES: Partial<Record<Address['type'], 'bo_BillTo' | 'bo_ShipTo'>> = {
  BILLING: 'bo_BillTo',
  SHIPPING: 'bo_ShipTo',
}

function partnerBody(config: SapB1Config, input: Fields, codes: Codes): Record<string, unknown> {
  return {
    CardName: input.name,
    FederalTaxID: input.taxNumber,
    CompanyPrivate: input.type && (input.type === 'COMPANY' ? 'cCompany' : 'cPrivate'),
    GroupCode: codes.group,
    Industry: codes.industry,
    Phone1: input.phone,
    EmailAddress: input.email,
    Currency: input.currency && vendorCurrency(config, input.currency),
    CreditLimit: input.creditLimit?.amount,
    PayTermsGrpCode: codes.terms,
    ...contactsBody(input.contacts, codes.kept),
    ...addressesBody(input.addresses, codes.kept),
    ...customBody(config.customFields.customer, input.customFields),
  }
}

/** Persons are known by their names, and keep the number under which documents know them. */
function contactsBody(
  contacts: readonly Contact[] | undefined,
  kept: Kept | undefined,
): Record<string, unknown> {
  if (contacts === undefined) return {}
  const nameOf = (person: NonNullable<Kept['ContactEmployees']>[number]) =>
    [person.FirstName, person.LastName].filter(Boolean).join(' ') || (person.Name ?? '')
  const people = contacts.map(({ name, title, phone, email }) => {
    const known = kept?.ContactEmployees?.find((one) => one.Name === name || nameOf(one) === name)
    return {
      ...(known ? { InternalCode: Number(known.InternalCode) } : {}),
      Name: known?.Name ?? name,
      // Of somebody who is there what is not given is taken away; of somebody new it was never there.
      Position: title ?? (known ? null : undefined),
      Phone1: phone ?? (known ? null : undefined),
      E_Mail: email ?? (known ? null : undefined),
    }
  })
  const primary = people[contacts.findIndex((one) => one.primary === true)]
  return { ContactEmployees: people, ...(primary ? { ContactPerson: primary.Name } : {}) }
}

/** Addresses are known by a name and their type: one after another they take the names that are there. */
function addressesBody(
  addresses: readonly Address[] | undefined,
  kept: Kept | undefined,
): Record<string, unknown> {
  if (addresses === undefined) return {}
  const counts = { bo_BillTo: 0, bo_ShipTo: 0 }
  const defaults: Record<string, string> = {}
  const rows = addresses.map((address) => {
    const type = ADDRESS_TYPES[address.type] ?? 'bo_BillTo'
    const at = counts[type]++
    const names =
      kept?.BPAddresses?.filter((one) => one.AddressType === type).map((one) => one.AddressName) ?? []
    const own = type === 'bo_BillTo' ? 'Bill to' : 'Ship to'
    const name = names[at] ?? (at === 0 ? own : `${own} ${at + 1}`)
    if (address.default === true) defaults[type === 'bo_BillTo' ? 'BilltoDefault' : 'ShipToDefault'] = name
    return {
      AddressName: name,
      AddressType: type,
      Street: address.street ?? null,
      Block: null,
      City: address.city ?? null,
      ...stateOrCounty('', address.province),
      ZipCode: address.postalCode ?? null,
      Country: address.country ?? null,
    }
  })
  return { BPAddresses: rows, ...defaults }
}

/** What this company or this vendor has no place for; `currency` is the customer's own, where it has one. */
function cannotStore(config: SapB1Config, input: Fields, currency: string | null): SourceFailure | undefined {
  if (input.level !== undefined && groupOf(config, input.level) === undefined) {
    return noPlace(`No customer group of this company stands for the level ${input.level} (levelGroups).`)
  }
  const unknown = unknownCustomField(config.customFields.customer, input.customFields)
  if (unknown !== undefined) {
    return noPlace(`No own field "${unknown}" is configured for customers of this system.`)
  }
  const odd = input.addresses?.find(({ type }) => ADDRESS_TYPES[type] === undefined)
  if (odd)
    return noPlace(`SAP Business One has bill-to and ship-to addresses, and none of the type ${odd.type}.`)
  const limit = input.creditLimit
  const counted = config.accountAmounts === 'company' ? config.companyCurrency : currency
  if (limit && counted !== null && limit.currency !== counted) {
    const message = `The credit limit of this customer is kept in ${counted}, not in ${limit.currency}.`
    return { kind: 'rejected', code: 'CURRENCY', message, field: 'creditLimit' }
  }
  return undefined
}

const noPlace = (message: string): SourceFailure => ({ kind: 'unsupported', message })

/* ---- update ---- */

export function partnerUpdate(options: PartnerWritesOptions): WriteAction<Input, 'customer'> {
  const { client, config, map, tables, reread } = options
  const subject: Subject<'customer'> = {
    client,
    reread,
    path: (key) => keyPath('BusinessPartners', key),
    read: (row) => map.customer(row, CODES_ONLY),
    nameOf: (customer) => `Customer ${customer.key}`,
    missing: noCustomer,
  }
  const request = ({ key, changes }: Input, codes: Codes, etag?: string): WriteRequest => {
    const replaces = changes.contacts !== undefined || changes.addresses !== undefined
    const headers = { ...etagHeader(etag).headers, ...(replaces ? REPLACES : {}) }
    return {
      method: 'PATCH',
      path: subject.path(key),
      body: JSON.stringify(partnerBody(config, changes, codes)),
      ...(Object.keys(headers).length === 0 ? {} : { headers }),
    }
  }
  /** Codes by name; and, where collections are replaced, what of them stays the same. */
  const lookUp = async (
    { key, changes }: Input,
    context: Pick<CallContext, 'caller'>,
  ): Promise<Outcome<Codes>> => {
    const codes = await codesOf(options, changes, context)
    if (!codes.ok || (changes.contacts === undefined && changes.addresses === undefined)) return codes
    const whole = await outcomeOf(() => client.whole(subject.path(key), context))
    if (!whole.ok) return whole
    const kept = keptSchema.safeParse(whole.value?.row)
    return kept.success
      ? ok({ ...codes.value, kept: kept.data })
      : fail({ kind: 'invalid-response', detail: `BusinessPartner ${key}: ${z.prettifyError(kept.error)}` })
  }

  return {
    takes: ['addresses', 'currency', 'creditLimit', 'paymentTerms', 'customFields'],
    preview: (input) => preview(request(input, {})),
    previewLater: async (input) => {
      const codes = await lookUp(input, { caller: gatewayCaller })
      return preview(request(input, codes.ok ? codes.value : {}))
    },

    async send(input, _write, context): Promise<Outcome<WriteResult<'customer'>>> {
      // Suppliers and leads are business partners too, and not ours to change.
      const present = await reread(input.key, context)
      if (!present.ok) return present
      if (present.value === null) return fail(noCustomer(input.key))
      const currency = input.changes.currency ?? present.value.account?.currency ?? null
      const unstorable = cannotStore(config, input.changes, currency)
      if (unstorable) return fail(unstorable)
      const codes = await lookUp(input, context)
      if (!codes.ok) return codes
      const before = await unchanged(subject, input, context)
      if (!before.ok) return before
      return finish(subject, input.key, request(input, codes.value, before.value), context)
    },

    async verify({ key, changes }, _write, context): Promise<Outcome<Verdict<'customer'>>> {
      const customer = await reread(key, context)
      if (!customer.ok) return customer
      if (customer.value === null) return nothingDone(`there is no customer ${key}`, true)
      const terms = await outcomeOf(() => tables.paymentTerms.read(context))
      if (!terms.ok) return terms
      const industries = await outcomeOf(() => tables.industries.read(context))
      if (!industries.ok) return industries
      const missing = missingChanges(customer.value, changes, terms.value, industries.value)
      if (missing.length > 0) return nothingDone(`${missing.join(', ')} are not as asked for`, false)
      return ok({ effect: 'done', result: { key, record: customer.value, reached: 'effective' } })
    },
  }
}

/** Which of the wished changes a customer does not show. */
function missingChanges(
  customer: Customer,
  changes: CustomerChanges,
  terms: ReadonlyMap<string, string>,
  industries: ReadonlyMap<string, string>,
): string[] {
  const { account } = customer
  const nameIn = (names: ReadonlyMap<string, string>, wished: string | undefined) =>
    wished && (names.get(wished) ?? wished)
  const wished: (readonly [string, string | null | undefined, string | null | undefined])[] = [
    ['CardName', changes.name, customer.name],
    ['Phone1', changes.phone, customer.phone],
    ['EmailAddress', changes.email, customer.email],
    ['GroupCode', changes.level, customer.level],
    ['Industry', nameIn(industries, changes.industry), customer.industry],
    ['Currency', changes.currency, account?.currency],
    ['CreditLimit', changes.creditLimit?.amount, account?.creditLimit?.amount],
    ['PayTermsGrpCode', nameIn(terms, changes.paymentTerms), account?.paymentTerms],
    ['ContactEmployees', changes.contacts && contactsText(changes.contacts), contactsText(customer.contacts)],
    ['BPAddresses', changes.addresses && addressesText(changes.addresses), addressesText(customer.addresses)],
    ...Object.entries(changes.customFields ?? {}).map(
      ([name, value]) => [name, value ?? '', customer.customFields?.[name]] as const,
    ),
  ]
  return wished.flatMap(([name, to, is]) => (to === undefined || isSame(to, is) ? [] : [name]))
}

/** Without regard to their order, which the vendor does not keep. */
const contactsText = (contacts: readonly Contact[] | null | undefined): string =>
  JSON.stringify(
    (contacts ?? [])
      .map(({ name, title, phone, email }) => [name, title || null, phone || null, email || null])
      .sort(),
  )

const addressesText = (addresses: readonly Address[] | null | undefined): string =>
  JSON.stringify(
    (addresses ?? [])
      .map((one) => [
        one.type,
        ...[one.street, one.city, one.province, one.postalCode, one.country].map((part) => part || null),
      ])
      .sort(),
  )

/* ---- create ---- */

/** A business partner of that code is there already. */
const TAKEN = '-2035'

/**
 * Codes of business partners are unique. Who is there already under the code was made by this write if it carries our
 * reference, else it is somebody else.
 */
export function partnerCreate(options: PartnerWritesOptions): WriteAction<CustomerCreate, 'customer'> {
  const { client, config, reread } = options
  const { series, group, currency, referenceField } = config.partners
  const request = (input: CustomerCreate, write: WriteContext, codes: Codes): WriteRequest => ({
    method: 'POST',
    path: 'BusinessPartners',
    body: JSON.stringify({
      ...(input.code === undefined ? { Series: series } : { CardCode: input.code }),
      CardType: 'cCustomer',
      ...partnerBody(config, input, codes),
      GroupCode: codes.group ?? group,
      Currency: input.currency === undefined ? currency : vendorCurrency(config, input.currency),
      [referenceField]: write.externalReference,
    }),
  })
  const refused = (input: CustomerCreate): SourceFailure | undefined => {
    const own = input.currency ?? (currency === '##' ? null : currency)
    const unstorable = cannotStore(config, input, own)
    if (unstorable) return unstorable
    if (input.code !== undefined || series !== undefined) return undefined
    const message = 'This company has no series for customers ("partners.series"): give the code.'
    return noPlace(message)
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
    takes: ['type', 'addresses', 'currency', 'creditLimit', 'paymentTerms', 'customFields'],
    preview: (input, write) => preview(request(input, write, {})),
    previewLater: async (input, write) => {
      const codes = await codesOf(options, input, { caller: gatewayCaller })
      return preview(request(input, write, codes.ok ? codes.value : {}))
    },

    async send(input, write, context): Promise<Outcome<WriteResult<'customer'>>> {
      const unstorable = refused(input)
      if (unstorable) return fail(unstorable)
      const codes = await codesOf(options, input, context)
      if (!codes.ok) return codes
      const sent = await outcomeOf(() => client.write(request(input, write, codes.value), context))
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
