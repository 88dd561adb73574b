/** Reading and writing records whose field names come from the configuration. Pure. */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome } from '../../failure.ts'
import type {
  Address,
  Contact,
  CustomFields,
  DateTimeText,
  Decimal,
  Money,
  PostalAddress,
  Quantity,
} from '../../records.ts'
import { isDecimal } from '../json.ts'

/** One field of a raw record; dots lead inwards: `metadata.updatedAt`. `undefined` when it is not there. */
export const fieldOf = (raw: unknown, name: string): unknown => {
  if (raw === null || typeof raw !== 'object') return undefined
  if (Object.hasOwn(raw, name)) return (raw as Record<string, unknown>)[name]
  const dot = name.indexOf('.')
  return dot < 0 ? undefined : fieldOf(fieldOf(raw, name.slice(0, dot)), name.slice(dot + 1))
}

/** As `fieldOf`, where the field is a text with something in it. */
export const fieldText = (raw: unknown, name: string): string | undefined => {
  const value = fieldOf(raw, name)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** The configured fields under our own names. */
export function renamed(raw: unknown, names: Readonly<Record<string, string>>): unknown {
  if (raw === null || typeof raw !== 'object') return raw
  return Object.fromEntries(Object.entries(names).map(([ours, theirs]) => [ours, fieldOf(raw, theirs)]))
}

/** Custom fields as text, under our names; nothing where none is configured. */
export function customOf(
  raw: unknown,
  names: Readonly<Record<string, string>>,
): { customFields?: CustomFields } {
  const entries = Object.entries(names)
  if (entries.length === 0) return {}
  return { customFields: Object.fromEntries(entries.map(([ours, theirs]) => [ours, textAt(raw, theirs)])) }
}

function textAt(raw: unknown, name: string): string | null {
  const value = fieldOf(raw, name)
  if (value === undefined || value === null) return null
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Sets a field of a body; dots in its name lead inwards. */
export function setAt(body: Record<string, unknown>, name: string, value: unknown): void {
  const [first = name, ...rest] = name.split('.')
  if (rest.length === 0) {
    body[first] = value
    return
  }
  const inner = { ...(body[first] as Record<string, unknown> | undefined) }
  setAt(inner, rest.join('.'), value)
  body[first] = inner
}

/** Sets each field that has a value and a name with this system; dots in a name lead inwards. */
export function setAll(
  body: Record<string, unknown>,
  values: readonly (readonly [name: string | undefined, value: unknown])[],
): void {
  for (const [name, value] of values)
    if (name && value !== undefined && value !== null) setAt(body, name, value)
}

/** Sets custom fields under the names that the system has for them. */
export function setCustom(
  body: Record<string, unknown>,
  names: Readonly<Record<string, string>>,
  custom: CustomFields | undefined,
): void {
  setAll(
    body,
    Object.entries(custom ?? {}).flatMap(([ours, value]) => {
      const theirs = names[ours]
      return theirs === undefined ? [] : [[theirs, value] as const]
    }),
  )
}

/** The names of custom fields that the record does not show as they were to be set. */
export const missingCustom = (shown: CustomFields | undefined, wanted: CustomFields | undefined): string[] =>
  Object.entries(wanted ?? {})
    .filter(([ours, value]) => value !== null && shown?.[ours] !== value)
    .map(([ours]) => `customFields.${ours}`)

/** For bodies: the field where there is a value, else nothing. */
export const given = (name: string, value: unknown): Record<string, unknown> =>
  value === undefined || value === null ? {} : { [name]: value }

/** A text that may be missing; an empty one says nothing either. */
export const optionalText = z
  .string()
  .nullish()
  .transform((text) => text || null)

/** Yes or no, as truth value, digit or word. */
export const optionalFlag = z
  .union([z.boolean(), z.string()])
  .nullish()
  .transform((given, context): boolean | null => {
    if (typeof given === 'boolean') return given
    if (!given) return null
    if (/^(true|1|y|yes|是)$/i.test(given)) return true
    if (!/^(false|0|n|no|否)$/i.test(given)) context.addIssue(`"${given.slice(0, 40)}" is neither yes nor no`)
    return false
  })

export const key = z.string().min(1)

/** A list of texts, where some systems write a single one as it is; empty ones say nothing. Null: there is no list. */
export const texts = z
  .union([z.array(z.string().nullable()), z.string()])
  .nullish()
  .transform((given): string[] | null =>
    given === null || given === undefined
      ? null
      : (typeof given === 'string' ? [given] : given).filter((one): one is string => !!one),
  )

export const decimal = z.string().refine(isDecimal, 'is no decimal number')

export const optionalDecimal = z
  .string()
  .nullish()
  .transform((text, context): Decimal | null => {
    if (!text) return null
    if (!isDecimal(text)) context.addIssue(`"${text.slice(0, 40)}" is no decimal number`)
    return text
  })

/**
 * A calendar day, also where the system writes it as midnight, without dashes, or in milliseconds since 1970.
 * @param wall What the clock over there shows at an instant, see `Clock.wall`.
 */
export const optionalDay = (wall: (instant: Date) => string) =>
  z
    .string()
    .nullish()
    .transform((text, context) => {
      if (!text) return null
      if (/^\d{12,14}$/.test(text)) return wall(new Date(Number(text))).slice(0, 10)
      const [, year, month, day] =
        /^(\d{4})([-/]?)(\d{2})\2(\d{2})(?:$|[T ])/.exec(text)?.toSpliced(2, 1) ?? []
      if (!day) context.addIssue(`"${text.slice(0, 40)}" is no calendar day`)
      return day ? `${year}-${month}-${day}` : null
    })

/**
 * Reads date-times with an offset, without one, and milliseconds since 1970.
 * @param local Puts the offset behind a wall-clock text, see `Clock.dateTime`.
 * @returns `null` for a calendar day, which is no point in time; `undefined` for anything else.
 */
export function toDateTime(
  text: string,
  local: (wall: string) => DateTimeText | null,
): DateTimeText | null | undefined {
  if (/^\d{12,14}$/.test(text)) return new Date(Number(text)).toISOString()
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return null
  const parts = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?$/.exec(text)
  if (!parts) return undefined
  const [, day, clock = '', offset] = parts
  const wall = `${day}T${clock.length === 5 ? `${clock}:00` : clock}`
  if (offset === undefined) return local(wall) ?? undefined
  const whole = wall + offset.replace(/(\d\d)(\d\d)$/, '$1:$2')
  return Number.isNaN(Date.parse(whole)) ? undefined : whole
}

/** @see toDateTime */
export const optionalTime = (local: (wall: string) => DateTimeText | null) =>
  z
    .string()
    .nullish()
    .transform((text, context): DateTimeText | null => {
      if (!text) return null
      const time = toDateTime(text, local)
      if (time === undefined) context.addIssue(`"${text.slice(0, 40)}" is no date-time`)
      return time ?? null
    })

/** A quantity in the system's unit, with our code where the configuration knows it. */
export const quantityIn =
  (unit: string | null, unitCodes: Readonly<Record<string, string>>) =>
  (value: Decimal): Quantity => ({
    value,
    unit: unit !== null && Object.hasOwn(unitCodes, unit) ? (unitCodes[unit] ?? null) : null,
    vendorUnit: unit,
  })

/** What a word of the system means: the configuration decides before the contract. */
export function meaningOf<S extends string>(
  word: string | null,
  ...tables: readonly Readonly<Record<string, S>>[]
): S | 'UNKNOWN' {
  const table = word === null ? undefined : tables.find((one) => Object.hasOwn(one, word))
  return (word !== null && table?.[word]) || 'UNKNOWN'
}

/** @returns `invalid-response` when this one record cannot be read. */
export function readable<T>(what: string, name: string | undefined, read: () => T): Outcome<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const detail = `${what} ${name ?? 'without a key'}: ${z.prettifyError(error).replaceAll(/\s+/g, ' ')}`
    return fail({ kind: 'invalid-response', detail })
  }
}

/** What a word of the system means, however it is spelled in the contract; the configuration is taken at its word. */
export const meaningOfAnyCase = <S extends string>(
  word: string | null,
  configured: Readonly<Record<string, S>>,
  contract: Readonly<Record<string, S>>,
): S | 'UNKNOWN' => {
  const meant = meaningOf(word, configured)
  if (meant !== 'UNKNOWN' || word === null) return meant
  const spelled = Object.keys(contract).find((known) => known.toLowerCase() === word.toLowerCase())
  return meaningOf(spelled ?? null, contract)
}

export const sameNumber = (left: Decimal, right: Decimal): boolean => new Big(left).eq(right)

export const sameMoney = (left: Money, right: Money | null | undefined): boolean =>
  !!right && left.currency === right.currency && sameNumber(left.amount, right.amount)

/** Addresses as one text to compare; what is absent, empty or false says the same. */
export const addressesText = (addresses: readonly Address[] = []): string =>
  JSON.stringify(
    addresses.map(({ type, default: isDefault, ...place }) => [type, isDefault ?? false, placeText(place)]),
  )

/** One address the same way. */
export const placeText = (place: PostalAddress): string => {
  const { street, city, province, postalCode, country } = place
  return JSON.stringify([street, city, province, postalCode, country].map((part) => part || null))
}

/** Contacts as one text to compare; what is absent, empty or false says the same. */
export const contactsText = (contacts: readonly Contact[] = []): string =>
  JSON.stringify(
    contacts.map(({ name, title, phone, email, primary }) => [
      name,
      title || null,
      phone || null,
      email || null,
      primary ?? false,
    ]),
  )
