/** The CRM's customers and opportunities ⇄ our records. Pure; vendor field names come from the configuration. */
import { z } from 'zod'
import type { Outcome, SourceFailure } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import {
  addressesText,
  contactsText,
  customOf,
  decimal,
  fieldOf,
  fieldText,
  given,
  key,
  meaningOfAnyCase,
  missingCustom,
  optionalDay,
  optionalDecimal,
  optionalFlag,
  optionalText,
  optionalTime,
  readable,
  renamed,
  sameMoney,
  setCustom,
  texts,
  toDateTime,
} from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type {
  ActionInput,
  CustomerChanges,
  CustomerCreate,
  OpportunityChanges,
  OpportunityCreate,
} from '../port.ts'
import type {
  Address,
  Contact,
  Customer,
  CustomerLevel,
  Opportunity,
  OpportunityLine,
  OpportunityStage,
} from '../records.ts'
import type { RestCrmConfig, RestCrmFields } from './config.ts'

const LEVELS: ReadonlySet<string> = new Set<CustomerLevel>(['VIP', 'PREMIUM', 'STANDARD', 'BASIC'])
const STATUSES = { ACTIVE: 'ACTIVE', INACTIVE: 'INACTIVE' } as const
const STAGES: ReadonlySet<string> = new Set<OpportunityStage>([
  'PROSPECTING',
  'QUALIFICATION',
  'PROPOSAL',
  'NEGOTIATION',
  'WON',
  'LOST',
])

const addressSchema = z.object({
  street: optionalText,
  city: optionalText,
  province: optionalText,
  postalCode: optionalText,
  country: optionalText,
})

const contactSchema = z.object({
  name: z.string(),
  title: optionalText,
  phone: optionalText,
  email: optionalText,
  primary: optionalFlag,
})

const lineSchema = z.object({ product: z.string().min(1), quantity: decimal, unitPrice: optionalDecimal })

export interface Mapping {
  /** @returns `invalid-response` when this one record cannot be read. */
  customer(raw: unknown): Outcome<Customer>
  /** @returns `invalid-response` when this one record cannot be read. */
  opportunity(raw: unknown): Outcome<Opportunity>
  refuseCustomer(changes: CustomerChanges): SourceFailure | undefined
  refuseOpportunity(changes: OpportunityChanges): SourceFailure | undefined
  customerBody(changes: CustomerChanges): Record<string, unknown>
  newCustomer(input: CustomerCreate, externalReference: string): Record<string, unknown>
  opportunityBody(input: OpportunityCreate, externalReference: string): Record<string, unknown>
  /** A field without a name here cannot be changed. */
  opportunityChanges(changes: OpportunityChanges): Record<string, unknown>
  noteBody(input: ActionInput, externalReference: string): Record<string, unknown>
  toDateTime(text: string): string | null | undefined
}

export function createMapping(config: RestCrmConfig): Mapping {
  const { fields, timeZone, customFields, customerStatuses } = config
  const clock = createClock(timeZone)
  const time = optionalTime(clock.dateTime)
  const day = optionalDay(clock.wall)
  const times = { createdAt: time, updatedAt: time }
  const customers = z.object({
    id: key,
    name: z.string(),
    level: optionalText,
    industry: optionalText,
    taxNumber: optionalText,
    legalName: optionalText,
    tags: texts,
    status: optionalText,
    parent: optionalText,
    phone: optionalText,
    email: optionalText,
    revision: optionalText,
    ...times,
  })
  const opportunities = z.object({
    id: key,
    name: z.string(),
    customer: optionalText,
    stage: optionalText,
    amount: optionalDecimal,
    currency: optionalText,
    probability: optionalDecimal,
    closeDate: day,
    owner: optionalText,
    orderNumber: optionalText,
    externalRef: optionalText,
    ...times,
  })

  const address = (raw: unknown): Address[] => {
    if (raw === null || raw === undefined || raw === '') return []
    if (typeof raw === 'string') return [{ type: 'OFFICE', street: raw }]
    return [{ type: 'OFFICE', ...addressSchema.parse(renamed(raw, fields.address)) }]
  }
  const contacts = (raw: unknown): Contact[] =>
    z
      .array(z.unknown())
      .nullish()
      .parse(raw)
      ?.map((one) => contactSchema.parse(renamed(one, fields.contact))) ?? []

  const linesOf = (raw: unknown): OpportunityLine[] =>
    z
      .array(z.unknown())
      .nullish()
      .parse(raw)
      ?.map((one) => lineSchema.parse(renamed(one, fields.line))) ?? []

  const customerBody: Mapping['customerBody'] = ({ contacts: people, addresses, ...changes }) => {
    const names = fields.customer
    const [place] = addresses ?? []
    const body = {
      ...given(names.name, changes.name),
      ...given(names.level, changes.level),
      ...given(names.industry, changes.industry),
      ...given(names.legalName, changes.legalName),
      ...given(names.tags, changes.tags),
      ...given(names.phone, changes.phone),
      ...given(names.email, changes.email),
      ...given(names.contacts, people?.map(contactBody(fields.contact))),
      ...given(names.address, place && addressBody(place)),
    }
    setCustom(body, customFields.customer, changes.customFields)
    return body
  }
  /** All of its parts: one that is left out must not stay as it was before. */
  const addressBody = (place: Address): Record<string, unknown> =>
    Object.fromEntries(
      (['street', 'city', 'province', 'postalCode', 'country'] as const).map((part) => [
        fields.address[part],
        place[part] ?? '',
      ]),
    )

  return {
    toDateTime: (text) => toDateTime(text, clock.dateTime),

    customer: (raw) =>
      readable('customer', fieldText(raw, fields.customer.id), () => {
        const { level, revision, ...plain } = customers.parse(renamed(raw, fields.customer))
        return {
          key: plain.id,
          version: revision,
          name: plain.name,
          level: level === null ? null : levelOf(level),
          vendorLevel: level,
          industry: plain.industry,
          taxNumber: plain.taxNumber,
          legalName: plain.legalName,
          tags: plain.tags,
          status: plain.status === null ? null : meaningOfAnyCase(plain.status, customerStatuses, STATUSES),
          vendorStatus: plain.status,
          parent: plain.parent,
          phone: plain.phone,
          email: plain.email,
          contacts: contacts(fieldOf(raw, fields.customer.contacts)),
          addresses: address(fieldOf(raw, fields.customer.address)),
          createdAt: plain.createdAt,
          updatedAt: plain.updatedAt,
          ...customOf(raw, customFields.customer),
        }
      }),

    opportunity: (raw) =>
      readable('opportunity', fieldText(raw, fields.opportunity.id), () => {
        const { amount, currency, ...plain } = opportunities.parse(renamed(raw, fields.opportunity))
        return {
          key: plain.id,
          version: null,
          name: plain.name,
          customer: plain.customer,
          stage: stageOf(plain.stage),
          vendorStage: plain.stage,
          // Without its currency a number is no amount of money.
          amount: amount !== null && currency !== null ? { amount, currency } : null,
          probability: plain.probability,
          closeDate: plain.closeDate,
          owner: plain.owner,
          lines: linesOf(fieldOf(raw, fields.opportunity.lines)),
          orderNumber: plain.orderNumber,
          externalReference: plain.externalRef,
          createdAt: plain.createdAt,
          updatedAt: plain.updatedAt,
          ...customOf(raw, customFields.opportunity),
        }
      }),

    refuseCustomer: ({ addresses = [], customFields: custom }) => {
      if (
        addresses.length > 1 ||
        addresses.some(({ type, default: isDefault }) => type !== 'OFFICE' || isDefault)
      ) {
        const message = 'This CRM keeps one address of a customer, of the type OFFICE.'
        return { kind: 'unsupported', message }
      }
      return unknownCustomField('Customers', customFields.customer, custom)
    },

    refuseOpportunity: ({ customFields: custom }) =>
      unknownCustomField('Opportunities', customFields.opportunity, custom),

    customerBody,

    newCustomer: ({ taxNumber, code: _, ...input }, externalReference) => ({
      ...customerBody(input),
      ...given(fields.customer.taxNumber, taxNumber),
      [fields.customer.externalRef]: externalReference,
    }),

    opportunityBody(input, externalReference) {
      const names = fields.opportunity
      const body = {
        [names.name]: input.name,
        [names.customer]: input.customer,
        ...given(names.stage, input.stage),
        ...given(names.amount, input.amount?.amount),
        ...given(names.currency, input.amount?.currency),
        ...given(names.closeDate, input.closeDate),
        [names.externalRef]: externalReference,
      }
      setCustom(body, customFields.opportunity, input.customFields)
      return body
    },

    opportunityChanges(changes) {
      const names = fields.opportunity
      const body = {
        ...given(names.name, changes.name),
        ...given(names.stage, changes.stage),
        ...given(names.amount, changes.amount?.amount),
        ...given(names.currency, changes.amount?.currency),
        ...given(names.closeDate, changes.closeDate),
        ...given(names.orderNumber, changes.orderNumber),
      }
      setCustom(body, customFields.opportunity, changes.customFields)
      return body
    },

    noteBody: ({ key, text }, externalReference) => ({
      [fields.note.customer]: key,
      [fields.note.text]: text ?? '',
      [fields.note.externalRef]: externalReference,
    }),
  }
}

const contactBody =
  (names: RestCrmFields['contact']) =>
  (contact: Contact): Record<string, unknown> => ({
    [names.name]: contact.name,
    ...given(names.title, contact.title),
    ...given(names.phone, contact.phone),
    ...given(names.email, contact.email),
    ...given(names.primary, contact.primary),
  })

/** The names of the changed fields that the customer does not show; none: the change has taken effect. */
export function missingChanges(customer: Customer, changes: CustomerChanges): string[] {
  const shown = {
    name: customer.name,
    level: customer.level,
    industry: customer.industry,
    legalName: customer.legalName,
    tags: JSON.stringify(customer.tags ?? []),
    phone: customer.phone,
    email: customer.email,
    contacts: contactsText(customer.contacts),
    addresses: addressesText(customer.addresses),
  }
  const asked = {
    ...changes,
    tags: changes.tags && JSON.stringify(changes.tags),
    contacts: changes.contacts && contactsText(changes.contacts),
    addresses: changes.addresses && addressesText(changes.addresses),
  }
  const missing: string[] = (Object.keys(shown) as (keyof typeof shown)[]).filter((field) => {
    const wanted = asked[field]
    return wanted !== undefined && (wanted || null) !== (shown[field] || null)
  })
  return [...missing, ...missingCustom(customer.customFields, changes.customFields)]
}

/** The same for an opportunity. */
export function missingOpportunityChanges(opportunity: Opportunity, changes: OpportunityChanges): string[] {
  const fields = ['name', 'stage', 'closeDate', 'orderNumber'] as const
  const missing: string[] = fields.filter(
    (field) => changes[field] !== undefined && changes[field] !== opportunity[field],
  )
  const { amount } = changes
  if (amount && !sameMoney(amount, opportunity.amount)) missing.push('amount')
  return [...missing, ...missingCustom(opportunity.customFields, changes.customFields)]
}

const levelOf = (vendorLevel: string): CustomerLevel => {
  const level = vendorLevel.toUpperCase()
  return LEVELS.has(level) ? (level as CustomerLevel) : 'UNKNOWN'
}

const stageOf = (vendorStage: string | null): OpportunityStage => {
  const stage = vendorStage?.toUpperCase() ?? ''
  return STAGES.has(stage) ? (stage as OpportunityStage) : 'UNKNOWN'
}
