/** The CRM's customers and opportunities ⇄ our records. Pure; vendor field names come from the configuration. */
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import { isDecimal } from '../json.ts'
import type { CustomerChanges, Notification, OpportunityCreate } from '../port.ts'
import type {
  Address,
  Contact,
  Customer,
  CustomerLevel,
  DateTimeText,
  Opportunity,
  OpportunityStage,
} from '../records.ts'
import type { RestCrmFields } from './config.ts'

const LEVELS: ReadonlySet<string> = new Set<CustomerLevel>(['VIP', 'PREMIUM', 'STANDARD', 'BASIC'])
const STAGES: ReadonlySet<string> = new Set<OpportunityStage>([
  'PROSPECTING',
  'QUALIFICATION',
  'PROPOSAL',
  'NEGOTIATION',
  'WON',
  'LOST',
])

/** A text that may be missing; an empty one says nothing either. */
const optionalText = z
  .string()
  .nullish()
  .transform((text) => text || null)

/** @see toDateTime */
const optionalTime = (utcOffset: string) =>
  z
    .string()
    .nullish()
    .transform((text, context): DateTimeText | null => {
      if (!text) return null
      const time = toDateTime(text, utcOffset)
      if (time === undefined) context.addIssue(`"${text.slice(0, 40)}" is no date-time`)
      return time ?? null
    })

/** A calendar day, also where the vendor writes it as midnight. */
const optionalDay = z
  .string()
  .nullish()
  .transform((text, context) => {
    if (!text) return null
    const day = /^(\d{4}-\d{2}-\d{2})(?:$|[T ])/.exec(text)?.[1]
    if (!day) context.addIssue(`"${text.slice(0, 40)}" is no calendar day`)
    return day ?? null
  })

const optionalDecimal = z
  .string()
  .nullish()
  .transform((text, context) => {
    if (!text) return null
    if (!isDecimal(text)) context.addIssue(`"${text.slice(0, 40)}" is no decimal number`)
    return text
  })

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
  primary: z.boolean().nullish(),
})

const customerSchema = (utcOffset: string) =>
  z.object({
    id: z.string().min(1),
    name: z.string(),
    level: optionalText,
    industry: optionalText,
    taxNumber: optionalText,
    phone: optionalText,
    email: optionalText,
    createdAt: optionalTime(utcOffset),
    updatedAt: optionalTime(utcOffset),
    revision: optionalText,
  })

const opportunitySchema = (utcOffset: string) =>
  z.object({
    id: z.string().min(1),
    name: z.string(),
    customer: optionalText,
    stage: optionalText,
    amount: optionalDecimal,
    currency: optionalText,
    probability: optionalDecimal,
    closeDate: optionalDay,
    owner: optionalText,
    externalRef: optionalText,
    createdAt: optionalTime(utcOffset),
    updatedAt: optionalTime(utcOffset),
  })

export interface Mapping {
  /** @returns `invalid-response` when this one record cannot be read. */
  customer(raw: unknown): Outcome<Customer>
  /** @returns `invalid-response` when this one record cannot be read. */
  opportunity(raw: unknown): Outcome<Opportunity>
  customerBody(changes: CustomerChanges): Record<string, unknown>
  opportunityBody(input: OpportunityCreate, externalReference: string): Record<string, unknown>
}

/** @param utcOffset Offset of times that the CRM gives without one: `Z` or `+08:00`. */
export function createMapping(fields: RestCrmFields, utcOffset: string): Mapping {
  const customers = customerSchema(utcOffset)
  const opportunities = opportunitySchema(utcOffset)

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

  return {
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
          phone: plain.phone,
          email: plain.email,
          contacts: contacts(fieldOf(raw, fields.customer.contacts)),
          addresses: address(fieldOf(raw, fields.customer.address)),
          createdAt: plain.createdAt,
          updatedAt: plain.updatedAt,
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
          externalReference: plain.externalRef,
          createdAt: plain.createdAt,
          updatedAt: plain.updatedAt,
        }
      }),

    customerBody({ contacts: people, ...changes }) {
      const names = fields.customer
      return {
        ...given(names.name, changes.name),
        ...given(names.level, changes.level),
        ...given(names.industry, changes.industry),
        ...given(names.phone, changes.phone),
        ...given(names.email, changes.email),
        ...given(names.contacts, people?.map(contactBody(fields.contact))),
      }
    },

    opportunityBody(input, externalReference) {
      const names = fields.opportunity
      return {
        [names.name]: input.name,
        [names.customer]: input.customer,
        ...given(names.stage, input.stage),
        ...given(names.amount, input.amount?.amount),
        ...given(names.currency, input.amount?.currency),
        ...given(names.closeDate, input.closeDate),
        [names.externalRef]: externalReference,
      }
    },
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

const given = (name: string, value: unknown): Record<string, unknown> =>
  value === undefined || value === null ? {} : { [name]: value }

/** The names of the changed fields that the customer does not show; none: the change has taken effect. */
export function missingChanges(customer: Customer, changes: CustomerChanges): string[] {
  const shown: Record<keyof CustomerChanges, unknown> = {
    name: customer.name,
    level: customer.level,
    industry: customer.industry,
    phone: customer.phone,
    email: customer.email,
    contacts: comparable(customer.contacts ?? []),
  }
  return (Object.keys(shown) as (keyof CustomerChanges)[]).filter((field) => {
    const wanted = field === 'contacts' ? changes.contacts && comparable(changes.contacts) : changes[field]
    return wanted !== undefined && (wanted || null) !== (shown[field] || null)
  })
}

/** Contacts as one text; what is absent, empty or false says the same. */
const comparable = (contacts: readonly Contact[]): string =>
  JSON.stringify(
    contacts.map(({ name, title, phone, email, primary }) => [
      name,
      title || null,
      phone || null,
      email || null,
      primary ?? false,
    ]),
  )

/**
 * Reads date-times with an offset, without one (the configured offset is added), and milliseconds since 1970.
 * @returns `null` for a calendar day, which is no point in time; `undefined` for anything else.
 */
export function toDateTime(text: string, utcOffset: string): DateTimeText | null | undefined {
  if (/^\d{12,14}$/.test(text)) return new Date(Number(text)).toISOString()
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return null
  const parts = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?$/.exec(text)
  if (!parts) return undefined
  const [, day, clock = '', offset = utcOffset] = parts
  const time = `${day}T${clock.length === 5 ? `${clock}:00` : clock}${offset.replace(/(\d\d)(\d\d)$/, '$1:$2')}`
  return Number.isNaN(Date.parse(time)) ? undefined : time
}

/** One field of a raw record; `undefined` when there is no record. */
export const fieldOf = (raw: unknown, name: string): unknown =>
  raw !== null && typeof raw === 'object' && Object.hasOwn(raw, name)
    ? (raw as Record<string, unknown>)[name]
    : undefined

/** As `fieldOf`, where the field is a text with something in it. */
export const fieldText = (raw: unknown, name: string): string | undefined => {
  const value = fieldOf(raw, name)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The configured fields under our own names. */
function renamed(raw: unknown, names: Readonly<Record<string, string>>): unknown {
  if (raw === null || typeof raw !== 'object') return raw
  return Object.fromEntries(Object.entries(names).map(([ours, theirs]) => [ours, fieldOf(raw, theirs)]))
}

function readable<T>(what: string, key: string | undefined, read: () => T): Outcome<T> {
  try {
    return ok(read())
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const detail = `${what} ${key ?? 'without a key'}: ${z.prettifyError(error).replaceAll(/\s+/g, ' ')}`
    return fail({ kind: 'invalid-response', detail })
  }
}

const levelOf = (vendorLevel: string): CustomerLevel => {
  const level = vendorLevel.toUpperCase()
  return LEVELS.has(level) ? (level as CustomerLevel) : 'UNKNOWN'
}

const stageOf = (vendorStage: string | null): OpportunityStage => {
  const stage = vendorStage?.toUpperCase() ?? ''
  return STAGES.has(stage) ? (stage as OpportunityStage) : 'UNKNOWN'
}

/* ---- events ---- */

const eventSchema = z.looseObject({
  id: z.string().min(1),
  event: z.string().min(1),
  timestamp: z.string(),
  data: z.looseObject({ externalId: z.string().min(1) }),
})

/**
 * Reads the body of a webhook.
 * @param id What the signed header calls the event; the body must agree.
 * @returns No notification for events about something else; an explanation where the body cannot be read.
 */
export function readEvent(raw: unknown, id: string, utcOffset: string): readonly Notification[] | string {
  const event = eventSchema.safeParse(raw)
  if (!event.success) return z.prettifyError(event.error).replaceAll(/\s+/g, ' ')
  if (event.data.id !== id) return 'the id in the body is not the one in the header webhook-id'
  const time = toDateTime(event.data.timestamp, utcOffset)
  if (!time) return `"${event.data.timestamp.slice(0, 40)}" is no date-time`
  const [, type, change] = /^(customer|opportunity)\.(created|updated|deleted)$/.exec(event.data.event) ?? []
  if (!type || !change) return []
  return [
    {
      id,
      type: type as 'customer' | 'opportunity',
      key: event.data.data.externalId,
      change: change as Notification['change'],
      time,
    },
  ]
}
