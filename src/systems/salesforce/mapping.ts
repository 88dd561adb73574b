/** Accounts, contacts and opportunities ⇄ our records. Pure; what an org calls its own comes from the configuration. */
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import { isDecimal, jsonNumber } from '../kit/json.ts'
import { addressesText } from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type { CustomerChanges, CustomerCreate, OpportunityChanges, OpportunityCreate } from '../port.ts'
import type {
  Address,
  Contact,
  Customer,
  CustomerLevel,
  CustomFields,
  DateTimeText,
  Opportunity,
  OpportunityLine,
  OpportunityStage,
} from '../records.ts'
import type { CustomField, SalesforceConfig } from './config.ts'
import { longId, type ObjectName } from './ids.ts'

const optionalText = z
  .string()
  .nullish()
  .transform((text) => text || null)

const time = z.string().transform((text, context): DateTimeText => {
  const read = toDateTime(text)
  if (read === null) context.addIssue(`"${text.slice(0, 40)}" is no date-time`)
  return read ?? ''
})

const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, 'is no calendar day')
  .nullish()
  .transform((text) => text ?? null)

/** Numbers arrive as decimal text, see parseJson. */
const decimal = z
  .string()
  .refine(isDecimal, 'is no decimal number')
  .nullish()
  .transform((text) => text ?? null)

const id = (object: ObjectName) =>
  z.string().transform((text, context) => {
    const long = longId(text, object)
    if (long === null) context.addIssue(`"${text.slice(0, 20)}" is no id of ${object}`)
    return long ?? ''
  })

const stamped = { CreatedDate: time.nullish(), SystemModstamp: time }

const accountSchema = z.object({
  Id: id('Account'),
  Name: z.string(),
  Industry: optionalText,
  Phone: optionalText,
  BillingStreet: optionalText,
  BillingCity: optionalText,
  BillingState: optionalText,
  BillingPostalCode: optionalText,
  BillingCountry: optionalText,
  BillingCountryCode: optionalText,
  ShippingStreet: optionalText,
  ShippingCity: optionalText,
  ShippingState: optionalText,
  ShippingPostalCode: optionalText,
  ShippingCountry: optionalText,
  ShippingCountryCode: optionalText,
  ...stamped,
})
type AccountRow = z.infer<typeof accountSchema>

const contactSchema = z.object({
  Name: z.string(),
  Title: optionalText,
  Phone: optionalText,
  Email: optionalText,
})

const lineSchema = z.object({
  Description: optionalText,
  Quantity: z.string().refine(isDecimal, 'is no decimal number'),
  UnitPrice: decimal,
})

const opportunitySchema = z.object({
  Id: id('Opportunity'),
  Name: z.string(),
  AccountId: id('Account').nullish(),
  StageName: optionalText,
  IsWon: z.boolean().nullish(),
  IsClosed: z.boolean().nullish(),
  Amount: decimal,
  CurrencyIsoCode: optionalText,
  Probability: decimal,
  CloseDate: day,
  Owner: z.object({ Name: optionalText }).nullish(),
  ...stamped,
})

export interface Mapping {
  readonly accountFields: readonly string[]
  readonly contactFields: readonly string[]
  readonly opportunityFields: readonly string[]
  /** None where the org's lines are not read. */
  readonly lineFields: readonly string[]
  /** @returns `invalid-response` when this one record cannot be read. */
  customer(account: unknown, contacts: readonly unknown[]): Outcome<Customer>
  /** @returns `invalid-response` when this one record cannot be read. */
  opportunity(raw: unknown, lines: readonly unknown[]): Outcome<Opportunity>
  /** @returns `rejected` where the org has no place for something. */
  accountBody(changes: CustomerChanges): Outcome<Record<string, unknown>>
  newAccount(input: CustomerCreate): Outcome<Record<string, unknown>>
  /** Without the account that they belong to. */
  newContacts(input: CustomerCreate): Outcome<Record<string, unknown>[]>
  /**
   * What makes the contacts of an account those that are wanted, who are known by name; nobody is deleted.
   * @param rows All that it has. @returns Fields of each that changes; without an id: of one to be made.
   */
  contactChanges(
    wanted: readonly Contact[],
    rows: readonly unknown[],
  ): Outcome<{ readonly id: string | null; readonly fields: Record<string, unknown> }[]>
  /** @param today The day from which a missing close date is counted. */
  newOpportunity(
    input: OpportunityCreate,
    onBehalfOf: string,
    today: string,
  ): Outcome<Record<string, unknown>>
  opportunityBody(changes: OpportunityChanges): Outcome<Record<string, unknown>>
}

export function createMapping(config: SalesforceConfig): Mapping {
  const { fields, customFields, levelCodes, statusCodes, stageCodes, currency, defaults } = config
  const present = (...names: (string | null)[]): string[] => names.filter((name) => name !== null)
  const addressFields = (kind: 'Billing' | 'Shipping') =>
    ['Street', 'City', 'State', 'PostalCode', config.countryCodes ? 'CountryCode' : 'Country'].map(
      (part) => `${kind}${part}`,
    )
  const labelOf = <T extends string>(codes: Readonly<Record<string, T>>, ours: T): string | undefined =>
    Object.keys(codes).find((label) => codes[label] === ours)

  /** A company's own fields, whatever their type, as text. */
  const custom = (
    raw: unknown,
    names: Readonly<Record<string, CustomField>>,
  ): { customFields?: CustomFields } => {
    const entries = Object.entries(names).map(
      ([ours, theirs]) => [ours, textOf(fieldOf(raw, typed(theirs).field))] as const,
    )
    return entries.length > 0 ? { customFields: Object.fromEntries(entries) } : {}
  }
  const setCustom = (
    what: string,
    names: Readonly<Record<string, CustomField>>,
    values: CustomFields = {},
  ): Outcome<Record<string, unknown>> => {
    const known = Object.fromEntries(Object.keys(names).map((ours) => [ours, ours]))
    const unknown = unknownCustomField(what, known, values)
    if (unknown) return fail(unknown)
    const body: Record<string, unknown> = {}
    for (const [ours, value] of Object.entries(values)) {
      const { field, type } = typed(names[ours] as CustomField)
      const written = writtenAs(type, value)
      if (written === undefined) {
        const form = type === 'number' ? 'a plain decimal' : 'true or false'
        return refused('CUSTOM_FIELD', `"${ours}" takes ${form}, not "${value}".`, field)
      }
      body[field] = written
    }
    return ok(body)
  }
  const ownText = (raw: unknown, name: string | null): string | null =>
    name === null ? null : textOf(fieldOf(raw, name)) || null

  const address = (row: AccountRow, kind: 'Billing' | 'Shipping'): Address[] => {
    const country = config.countryCodes ? row[`${kind}CountryCode`] : row[`${kind}Country`]
    const parts = {
      street: row[`${kind}Street`],
      city: row[`${kind}City`],
      province: row[`${kind}State`],
      postalCode: row[`${kind}PostalCode`],
    }
    if (!country && Object.values(parts).every((part) => part === null)) return []
    // Without picklists the country is free text; only what is a code is passed on as one.
    const code = country && /^[A-Z]{2}$/.test(country) ? country : null
    return [{ type: kind === 'Billing' ? 'BILLING' : 'SHIPPING', ...parts, country: code }]
  }

  /** Both addresses: the one that is not among them is emptied. */
  const addressBody = (addresses: readonly Address[] | undefined): Outcome<Record<string, unknown>> => {
    if (!addresses) return ok({})
    const types = addresses.map(({ type }) => type)
    const isHeld = types.every((type) => type === 'BILLING' || type === 'SHIPPING')
    if (!isHeld || new Set(types).size < types.length || addresses.some((one) => one.default)) {
      const message = 'Accounts have one BILLING and one SHIPPING address; neither is marked as default.'
      return fail({ kind: 'unsupported', message })
    }
    const bodies = (['Billing', 'Shipping'] as const).map((kind) => {
      const one = addresses.find(({ type }) => type === kind.toUpperCase())
      const parts = [one?.street, one?.city, one?.province, one?.postalCode, one?.country]
      return Object.fromEntries(addressFields(kind).map((name, at) => [name, parts[at] || null]))
    })
    return ok(Object.assign({}, ...bodies))
  }

  const contact = (raw: unknown): Contact => {
    const { Name: name, Title: title, Phone: phone, Email: email } = contactSchema.parse(raw)
    const primary = fields.primaryContact === null ? null : fieldOf(raw, fields.primaryContact) === true
    return { name, title, phone, email, primary }
  }

  const contactBody = ({ name, title, phone, email, primary }: Contact): Record<string, unknown> => ({
    // Which part of a name is the family's, nobody has said: the org shows both parts as one name.
    LastName: name,
    ...given('Title', title ?? undefined),
    ...given('Phone', phone ?? undefined),
    ...given('Email', email ?? undefined),
    ...given(fields.primaryContact, primary ?? undefined),
  })

  const tooMany = (contacts: readonly Contact[]): Outcome<never> | undefined => {
    if (contacts.length > MAX_CONTACTS) {
      return refused('CONTACTS', `At most ${MAX_CONTACTS} contacts go in with a customer.`, 'contacts')
    }
    if (fields.primaryContact !== null || !contacts.some(({ primary }) => primary)) return undefined
    const message = 'No contact of this org is marked as the primary one: see fields.primaryContact.'
    return refused('CONTACTS', message, 'contacts')
  }

  const line = (raw: unknown): OpportunityLine => {
    const { Quantity: quantity, UnitPrice: unitPrice, Description: description } = lineSchema.parse(raw)
    return { product: ownText(raw, fields.lineProduct) ?? '', description, quantity, unitPrice }
  }

  const stageOf = (row: z.infer<typeof opportunitySchema>): OpportunityStage => {
    // Labels are renamed; these two say what a stage is.
    if (row.IsWon) return 'WON'
    if (row.IsClosed) return 'LOST'
    const stage = row.StageName === null ? undefined : own(stageCodes, row.StageName)
    const isOpen = row.IsClosed !== null && row.IsClosed !== undefined
    return stage === undefined || (isOpen && (stage === 'WON' || stage === 'LOST')) ? 'UNKNOWN' : stage
  }

  const stageLabel = (stage: OpportunityStage): Outcome<string> => {
    const label = stage === 'UNKNOWN' ? undefined : labelOf(stageCodes, stage)
    return label === undefined
      ? refused('STAGE', `No stage of this org stands for ${stage}: see stageCodes.`, 'StageName')
      : ok(label)
  }

  const amountBody = (amount: OpportunityCreate['amount']): Outcome<Record<string, unknown>> => {
    if (!amount) return ok({})
    if (currency === null) return ok({ Amount: jsonNumber(amount.amount), CurrencyIsoCode: amount.currency })
    return amount.currency === currency
      ? ok({ Amount: jsonNumber(amount.amount) })
      : refused(
          'CURRENCY',
          `This org knows amounts in ${currency} only, not in ${amount.currency}.`,
          'Amount',
        )
  }

  const accountFields = ({
    name,
    level,
    industry,
    phone,
    email,
    addresses,
    customFields: values,
  }: CustomerChanges): Outcome<Record<string, unknown>> => {
    const label = level === undefined || level === 'UNKNOWN' ? undefined : labelOf(levelCodes, level)
    if (level !== undefined && (fields.level === null || label === undefined)) {
      return refused('LEVEL', `This org has no value for the level ${level}: see levelCodes.`, 'level')
    }
    if (email !== undefined && fields.email === null) {
      return refused('EMAIL', 'Accounts of this org have no e-mail address: see fields.email.', 'email')
    }
    const places = addressBody(addresses)
    if (!places.ok) return places
    const own = setCustom('Customers', customFields.customer, values)
    if (!own.ok) return own
    return ok({
      ...given('Name', name),
      ...given('Industry', industry),
      ...given('Phone', phone),
      ...given(fields.level, label),
      ...given(fields.email, email),
      ...places.value,
      ...own.value,
    })
  }

  return {
    accountFields: [
      ...['Id', 'Name', 'Industry', 'Phone', 'CreatedDate', 'SystemModstamp'],
      ...addressFields('Billing'),
      ...addressFields('Shipping'),
      ...present(fields.code, fields.parent, fields.status, fields.level, fields.taxNumber, fields.email),
      ...fieldNames(customFields.customer),
    ],
    contactFields: [
      ...['Id', 'AccountId', 'Name', 'Title', 'Phone', 'Email'],
      ...present(fields.primaryContact),
    ],
    opportunityFields: [
      ...['Id', 'Name', 'AccountId', 'StageName', 'IsWon', 'IsClosed', 'Amount', 'Probability', 'CloseDate'],
      ...['Owner.Name', 'CreatedDate', 'SystemModstamp', fields.externalReference],
      ...present(fields.orderNumber),
      ...(currency === null ? ['CurrencyIsoCode'] : []),
      ...fieldNames(customFields.opportunity),
    ],

    lineFields:
      fields.lineProduct === null
        ? []
        : ['Id', 'OpportunityId', 'Description', 'Quantity', 'UnitPrice', fields.lineProduct],

    customer: (raw, contacts) =>
      readable('Account', raw, () => {
        const row = accountSchema.parse(raw)
        const level = ownText(raw, fields.level)
        const parent = ownText(raw, fields.parent)
        const status = ownText(raw, fields.status)
        return {
          key: row.Id,
          version: row.SystemModstamp,
          name: row.Name,
          code: ownText(raw, fields.code),
          parent: parent === null ? null : longId(parent, 'Account'),
          ...(fields.status === null
            ? {}
            : {
                status: status === null ? null : (own(statusCodes, status) ?? 'UNKNOWN'),
                vendorStatus: status,
              }),
          level: level === null ? null : (own(levelCodes, level) ?? 'UNKNOWN'),
          vendorLevel: level,
          industry: row.Industry,
          taxNumber: ownText(raw, fields.taxNumber),
          phone: row.Phone,
          email: ownText(raw, fields.email),
          contacts: contacts.map(contact),
          addresses: [...address(row, 'Billing'), ...address(row, 'Shipping')],
          ...custom(raw, customFields.customer),
          createdAt: row.CreatedDate ?? null,
          updatedAt: row.SystemModstamp,
        }
      }),

    opportunity: (raw, lines) =>
      readable('Opportunity', raw, () => {
        const row = opportunitySchema.parse(raw)
        const iso = currency ?? row.CurrencyIsoCode
        return {
          key: row.Id,
          version: row.SystemModstamp,
          name: row.Name,
          customer: row.AccountId ?? null,
          stage: stageOf(row),
          vendorStage: row.StageName,
          // Without its currency a number is no amount of money.
          amount: row.Amount !== null && iso !== null ? { amount: row.Amount, currency: iso } : null,
          probability: row.Probability,
          closeDate: row.CloseDate,
          owner: row.Owner?.Name ?? null,
          ...(fields.lineProduct === null ? {} : { lines: lines.map(line) }),
          ...(fields.orderNumber === null ? {} : { orderNumber: ownText(raw, fields.orderNumber) }),
          externalReference: ownText(raw, fields.externalReference),
          ...custom(raw, customFields.opportunity),
          createdAt: row.CreatedDate ?? null,
          updatedAt: row.SystemModstamp,
        }
      }),

    accountBody: accountFields,

    newContacts({ contacts = [] }) {
      const unstorable = tooMany(contacts)
      return unstorable ?? ok(contacts.map(contactBody))
    },

    contactChanges(contacts, rows) {
      const unstorable = tooMany(contacts)
      if (unstorable) return unstorable
      const left = rows.map((raw) => ({ id: textOf(fieldOf(raw, 'Id')) ?? '', ...contact(raw) }))
      const changed: { id: string | null; fields: Record<string, unknown> }[] = []
      for (const wanted of contacts) {
        const at = left.findIndex(({ name }) => name === wanted.name)
        const [known] = at < 0 ? [] : left.splice(at, 1)
        if (!known) {
          changed.push({ id: null, fields: contactBody(wanted) })
          continue
        }
        if (
          contactsText([known]) === contactsText([{ ...wanted, primary: wanted.primary ?? known.primary }])
        ) {
          continue
        }
        const { title, phone, email, primary } = wanted
        changed.push({
          id: known.id,
          // Of somebody who is there what is not given is taken away.
          fields: {
            Title: title || null,
            Phone: phone || null,
            Email: email || null,
            ...given(fields.primaryContact, primary ?? undefined),
          },
        })
      }
      const [missing] = left
      if (!missing) return ok(changed)
      const message = `Contacts are not deleted from here, because of what hangs on them: name "${missing.name}", too, or delete it in Salesforce.`
      return refused('CONTACTS', message, 'contacts')
    },

    newAccount({ taxNumber, code, ...input }) {
      if (code !== undefined && fields.code === null) {
        return refused('CODE', 'Accounts of this org have no number: see fields.code.', 'code')
      }
      if (taxNumber !== undefined && fields.taxNumber === null) {
        const message = 'Accounts of this org have no tax number: see fields.taxNumber.'
        return refused('TAX_NUMBER', message, 'taxNumber')
      }
      const body = accountFields(input)
      if (!body.ok) return body
      return ok({ ...body.value, ...given(fields.code, code), ...given(fields.taxNumber, taxNumber) })
    },

    newOpportunity(input, onBehalfOf, today) {
      const stage = stageLabel(input.stage ?? defaults.stage)
      if (!stage.ok) return stage
      const amount = amountBody(input.amount)
      if (!amount.ok) return amount
      const own = setCustom('Opportunities', customFields.opportunity, input.customFields)
      if (!own.ok) return own
      const latest = new Date(`${today}T00:00:00Z`)
      latest.setUTCDate(latest.getUTCDate() + defaults.closeInDays)
      return ok({
        ...defaults.opportunity,
        Name: input.name,
        AccountId: input.customer,
        StageName: stage.value,
        CloseDate: input.closeDate ?? latest.toISOString().slice(0, 10),
        ...amount.value,
        ...given(fields.onBehalfOf, onBehalfOf),
        ...own.value,
      })
    },

    opportunityBody({ name, stage, amount, closeDate, orderNumber, customFields: values }) {
      if (orderNumber !== undefined && fields.orderNumber === null) {
        const message = 'Opportunities of this org name no order: see fields.orderNumber.'
        return refused('ORDER_NUMBER', message, 'orderNumber')
      }
      const label = stage === undefined ? ok(undefined) : stageLabel(stage)
      if (!label.ok) return label
      const money = amountBody(amount)
      if (!money.ok) return money
      const own = setCustom('Opportunities', customFields.opportunity, values)
      if (!own.ok) return own
      return ok({
        ...given('Name', name),
        ...given('StageName', label.value),
        ...given('CloseDate', closeDate),
        ...given(fields.orderNumber, orderNumber),
        ...money.value,
        ...own.value,
      })
    },
  }
}

/** A composite request has 25 parts; one is the account. */
const MAX_CONTACTS = 24

const refused = (code: string, message: string, field: string): Outcome<never> =>
  fail({ kind: 'rejected', code, message, field })

const given = (name: string | null, value: unknown): Record<string, unknown> =>
  name === null || value === undefined ? {} : { [name]: value }

const typed = (one: CustomField) => (typeof one === 'string' ? ({ field: one, type: 'text' } as const) : one)
const fieldNames = (names: Readonly<Record<string, CustomField>>): string[] =>
  Object.values(names).map((one) => typed(one).field)

/** Without a value the field is emptied. Undefined: it cannot take this one. */
function writtenAs(type: 'text' | 'number' | 'boolean', value: string | null): unknown {
  if (!value) return null
  if (type === 'number') return isDecimal(value) ? jsonNumber(value) : undefined
  if (type === 'boolean') return value === 'true' ? true : value === 'false' ? false : undefined
  return value
}

/** In whatever order; an empty text and none are the same. */
const contactsText = (contacts: readonly Contact[]): string =>
  JSON.stringify(
    contacts
      .map(({ name, title, phone, email, primary }) =>
        [name, title, phone, email].map((part) => part || '').concat(primary ? 'primary' : ''),
      )
      .sort(),
  )

/** Never what every object has. */
const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined

export const fieldOf = (raw: unknown, name: string): unknown =>
  raw !== null && typeof raw === 'object' && Object.hasOwn(raw, name)
    ? (raw as Record<string, unknown>)[name]
    : undefined

const textOf = (value: unknown): string | null => {
  if (value === null || value === undefined) return null
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** `2026-03-01T10:20:30.000+0000` and `…Z`, in UTC: as SOQL takes it back, and so that texts can be compared. */
export function toDateTime(text: string): DateTimeText | null {
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?)(?:Z|([+-]\d\d):?(\d\d))$/.exec(text)
  if (!parts) return null
  const [, clock, hours, minutes] = parts
  const at = Date.parse(`${clock}${hours === undefined ? 'Z' : `${hours}:${minutes}`}`)
  return Number.isNaN(at) ? null : new Date(at).toISOString()
}

/** The fields whose change the customer does not show; none: the change has taken effect. */
export function missingCustomerChanges(customer: Customer, changes: CustomerChanges): string[] {
  const shown = {
    name: customer.name,
    level: customer.level as CustomerLevel | null,
    industry: customer.industry,
    phone: customer.phone,
    email: customer.email,
  }
  const differing: string[] = (Object.keys(shown) as (keyof typeof shown)[]).filter(
    (field) => changes[field] !== undefined && (changes[field] || null) !== (shown[field] || null),
  )
  const { addresses } = changes
  const isElsewhere = addresses && placesText(addresses) !== placesText(customer.addresses ?? [])
  const shownContacts = customer.contacts ?? []
  // Who is the first to talk to is compared only where the change says it.
  const wantedContacts = changes.contacts?.map((one) => ({
    ...one,
    primary: one.primary ?? shownContacts.find(({ name }) => name === one.name)?.primary ?? null,
  }))
  const areOthers = wantedContacts && contactsText(wantedContacts) !== contactsText(shownContacts)
  return [
    ...differing,
    ...(isElsewhere ? ['addresses'] : []),
    ...(areOthers ? ['contacts'] : []),
    ...missingCustom(customer.customFields, changes.customFields),
  ]
}

/** In whatever order; one without any part is none. */
const placesText = (addresses: readonly Address[]): string =>
  addressesText(
    addresses
      .filter(({ type: _, default: __, ...parts }) => Object.values(parts).some((part) => part))
      .toSorted((a, b) => (a.type < b.type ? -1 : 1)),
  )

const missingCustom = (shown: CustomFields = {}, wanted: CustomFields = {}): string[] =>
  Object.keys(wanted)
    .filter((ours) => !sameValue(wanted[ours] || null, shown[ours] || null))
    .map((ours) => `customFields.${ours}`)

/** As for customers. */
export function missingOpportunityChanges(record: Opportunity, changes: OpportunityChanges): string[] {
  const { name, stage, closeDate, amount, orderNumber } = changes
  return [
    ...(name !== undefined && name !== record.name ? ['name'] : []),
    ...(stage !== undefined && stage !== record.stage ? ['stage'] : []),
    ...(closeDate !== undefined && closeDate !== record.closeDate ? ['closeDate'] : []),
    ...(orderNumber !== undefined && (orderNumber || null) !== (record.orderNumber ?? null)
      ? ['orderNumber']
      : []),
    ...(amount !== undefined &&
    !(record.amount?.currency === amount.currency && sameNumber(record.amount.amount, amount.amount))
      ? ['amount']
      : []),
    ...missingCustom(record.customFields, changes.customFields),
  ]
}

const sameValue = (a: string | null, b: string | null): boolean =>
  a === b || (a !== null && b !== null && isDecimal(a) && isDecimal(b) && sameNumber(a, b))
const sameNumber = (a: string, b: string): boolean => bare(a) === bare(b)
const bare = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text)

function readable<T>(what: string, raw: unknown, read: () => T): Outcome<T> {
  try {
    return ok(read())
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const key = textOf(fieldOf(raw, 'Id')) ?? 'without a key'
    const detail = `${what} ${key}: ${z.prettifyError(error).replaceAll(/\s+/g, ' ')}`
    return fail({ kind: 'invalid-response', detail })
  }
}
