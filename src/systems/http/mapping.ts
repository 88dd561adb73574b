/** What expressions made of a system's record → our records. Pure; a record that breaks its schema fails alone. */
import { z } from 'zod'
import { fail, type Outcome, ok } from '../failure.ts'
import { type Clock, createClock } from '../kit/clock.ts'
import { isDecimal } from '../kit/json.ts'
import {
  ORDER_STATUSES,
  type OwnRecord,
  type OwnType,
  type RecordTypes,
  SHIPMENT_STATUSES,
  type UnifiedType,
} from '../records.ts'
import {
  compileExpression,
  type Expression,
  ExpressionError,
  textOf,
  type Vocabulary,
} from './expressions.ts'
import { toDateTime, toDay } from './times.ts'

/* ---- values ---- */

/** Also what is not there. */
const anything = z.unknown().optional()

/** What stands for a text; an empty one says nothing. */
const text = anything.transform((value, context) => {
  if (value === undefined || value === null || value === '') return null
  const found = textOf(value)
  if (found === undefined) context.addIssue('is no text')
  return found ?? null
})

const needed = <T>(schema: z.ZodType<T | null>) =>
  schema
    .transform((value, context): T => {
      if (value === null) context.addIssue('is missing')
      return value as T
    })
    .meta({ needed: true })

const convertedText = (what: string, convert: (given: string) => string | undefined) =>
  text
    .transform((given, context): string | null => {
      if (given === null) return null
      const found = convert(given)
      if (found === undefined) context.addIssue(`"${given.slice(0, 40)}" is no ${what}`)
      return found ?? null
    })
    .meta({ holds: what })

const decimal = convertedText('decimal number', (given) => (isDecimal(given) ? given : undefined))
const day = convertedText('calendar day', toDay)
const currency = convertedText('currency code of ISO 4217', (given) =>
  /^[A-Z]{3}$/.test(given) ? given : undefined,
)

/** XML and some JSON systems write truth as text. */
const truth = anything
  .transform((value, context): boolean | null => {
    if (value === undefined || value === null || value === '') return null
    if (typeof value === 'boolean') return value
    if (value === 'true' || value === '1') return true
    if (value === 'false' || value === '0') return false
    context.addIssue('is neither true nor false')
    return null
  })
  .meta({ holds: 'true or false' })

/** JSONata makes no difference between one value and a list of one. */
const listOf = <T>(item: z.ZodType<T>) =>
  z.preprocess(
    (value) => (value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]),
    z.array(item),
  )
const optionalListOf = <T>(item: z.ZodType<T>) =>
  anything
    .transform((value): unknown => value)
    .pipe(listOf(item).optional())
    .optional()

const money = z
  .strictObject({ amount: decimal, currency })
  .nullish()
  .transform((given, context) => {
    if (!given || given.amount === null) return null
    if (given.currency === null) {
      context.addIssue('has an amount without a currency')
      return null
    }
    return { amount: given.amount, currency: given.currency }
  })

const quantity = z
  .strictObject({ value: decimal, unit: text, vendorUnit: text })
  .nullish()
  .transform((given) => (given?.value == null ? null : { ...given, value: given.value }))

const totals = z
  .strictObject({ net: money, tax: money, gross: money, discount: money, freight: money })
  .nullish()
  .transform((given) => given ?? null)

const oneOf = <const V extends string>(...values: readonly V[]) =>
  convertedText(values.join(', '), (given) =>
    values.find((value) => value === given.toUpperCase()),
  ) as z.ZodType<V | null>

/** Where a value is none of ours it is kept as the vendor's, and ours is `UNKNOWN`. */
const status = <const V extends string>(...values: readonly V[]) =>
  text
    .transform((given) => ({ given, ours: values.find((value) => value === given?.toUpperCase()) }))
    .meta({ holds: values.join(', ') })

const postal = { street: text, city: text, province: text, postalCode: text, country: text }
const address = z.strictObject({
  type: oneOf('BILLING', 'SHIPPING', 'OFFICE', 'REGISTERED').transform(
    (given) => given ?? ('OFFICE' as const),
  ),
  default: truth,
  ...postal,
})
const contact = z.strictObject({ name: needed(text), title: text, phone: text, email: text, primary: truth })

/** An object that may be missing as a whole. */
const objectOf = <S extends z.ZodRawShape>(shape: S) =>
  z
    .strictObject(shape)
    .nullish()
    .transform((given) => given ?? null)

const party = objectOf({
  key: text,
  name: text,
  contact: text,
  phone: text,
  email: text,
  address: objectOf(postal),
})
const references = optionalListOf(
  z.strictObject({
    type: oneOf(
      'PROPOSAL',
      'QUOTATION',
      'CONTRACT',
      'OPPORTUNITY',
      'ORDER',
      'DELIVERY',
      'INVOICE',
      'OTHER',
    ).transform((given) => given ?? ('OTHER' as const)),
    number: needed(text),
    vendorType: text,
  }),
)
const subStatus = oneOf('NONE', 'PARTIAL', 'COMPLETE', 'NOT_RELEVANT')

const account = z
  .strictObject({
    company: text,
    salesArea: text,
    currency,
    creditLimit: money,
    paymentTerms: text,
    balance: money,
    blocked: truth,
  })
  .nullish()
  .transform((given) => given ?? null)

const unitPrice = z
  .strictObject({ amount: money, per: decimal, taxIncluded: truth })
  .nullish()
  .transform((given, context) => {
    if (!given?.amount) return null
    if (given.taxIncluded === null) context.addIssue('does not say whether tax is included: taxIncluded')
    return { amount: given.amount, per: given.per ?? '1', taxIncluded: given.taxIncluded ?? false }
  })

const wholeNumber = convertedText('whole number', (given) =>
  /^\d{1,9}$/.test(given) ? given : undefined,
).transform((given) => (given === null ? null : Number(given)))

/** What a company has added: texts under names of its own. */
const customFields = z.record(z.string(), text).optional()

/** As `status`, for records that need not have one. */
const optionalStatus = <const V extends string>(...values: readonly V[]) =>
  anything
    .transform((value, context) => {
      const given = text.safeParse(value)
      if (!given.success) context.addIssue('is no text')
      return given.data == null
        ? undefined
        : { given: given.data, ours: values.find((one) => one === given.data?.toUpperCase()) }
    })
    .meta({ holds: values.join(', ') })

const orderStatus = status(...ORDER_STATUSES)

/* ---- records ---- */

const UTC = createClock('UTC')

/** All fields of each type, with times as that clock shows them. */
function shapes(clock: Clock) {
  const time = convertedText('date-time', (given) => toDateTime(given, clock))
  const base = { key: needed(text), version: text, createdAt: time, updatedAt: time, customFields }
  return {
    customer: {
      ...base,
      name: needed(text),
      code: text,
      legalName: text,
      type: oneOf('COMPANY', 'INDIVIDUAL'),
      status: optionalStatus('ACTIVE', 'INACTIVE'),
      vendorStatus: text,
      parent: text,
      tags: optionalListOf(needed(text)),
      level: status('VIP', 'PREMIUM', 'STANDARD', 'BASIC'),
      vendorLevel: text,
      industry: text,
      taxNumber: text,
      phone: text,
      email: text,
      contacts: optionalListOf(contact),
      addresses: optionalListOf(address),
      account,
    },
    product: {
      ...base,
      sku: needed(text),
      name: needed(text),
      foreignName: text,
      barcode: text,
      description: text,
      unit: text,
      units: optionalListOf(
        z.strictObject({
          unit: text,
          vendorUnit: needed(text),
          numerator: needed(decimal),
          denominator: needed(decimal),
        }),
      ),
      active: truth,
      status: optionalStatus('ACTIVE', 'INACTIVE', 'DISCONTINUED'),
      vendorStatus: text,
      category: objectOf({ key: needed(text), name: text, path: optionalListOf(needed(text)) }),
      specifications: optionalListOf(z.strictObject({ name: needed(text), value: needed(text), unit: text })),
      price: unitPrice,
      cost: money,
      taxRate: decimal,
      minOrder: quantity,
      maxOrder: quantity,
      supplier: objectOf({ key: needed(text), name: text, leadTimeDays: wholeNumber }),
      images: optionalListOf(needed(text)),
      videos: optionalListOf(needed(text)),
      documents: optionalListOf(needed(text)),
      tags: optionalListOf(needed(text)),
    },
    warehouse: { ...base, name: text },
    inventoryLevel: {
      ...base,
      product: needed(text),
      warehouse: needed(text),
      onHand: needed(quantity),
      reserved: quantity,
      available: quantity,
      incoming: quantity,
    },
    order: {
      ...base,
      number: needed(text),
      documentType: text,
      company: text,
      channel: text,
      customer: text,
      customerName: text,
      shipTo: party,
      billTo: party,
      payer: party,
      customerReference: text,
      externalReference: text,
      shop: text,
      platformNumbers: optionalListOf(needed(text)),
      orderDate: day,
      dueDate: day,
      postingDate: day,
      status: orderStatus,
      vendorStatus: text,
      statusSince: time,
      approvalStatus: oneOf('NOT_REQUIRED', 'PENDING', 'APPROVED', 'REJECTED', 'UNKNOWN'),
      fulfilmentStatus: subStatus,
      billingStatus: subStatus,
      holds: optionalListOf(
        z.strictObject({
          type: oneOf('DELIVERY', 'BILLING', 'CREDIT', 'OTHER').transform(
            (given) => given ?? ('OTHER' as const),
          ),
          code: needed(text),
          text,
        }),
      ),
      deliveredOn: day,
      trackingNumbers: optionalListOf(needed(text)),
      payment: objectOf({ method: text, terms: text, dueDate: day, paid: money, paidOn: day }),
      totals,
      companyTotals: totals,
      exchangeRate: decimal,
      comments: text,
      lines: listOf(
        z.strictObject({
          id: needed(text),
          lineNumber: needed(text),
          product: text,
          sku: text,
          description: text,
          ordered: needed(quantity),
          confirmed: quantity,
          delivered: quantity,
          invoiced: quantity,
          returned: quantity,
          open: quantity,
          unitPrice,
          discountPercent: decimal,
          taxRate: decimal,
          net: money,
          tax: money,
          gross: money,
          warehouse: text,
          status: oneOf('OPEN', 'CLOSED'),
          comments: text,
          customFields,
        }),
      ),
      timeline: optionalListOf(
        z
          .strictObject({ status: orderStatus, vendorStatus: text, time, note: text })
          .transform(({ status: { ours, given }, vendorStatus, ...step }) => ({
            status: ours ?? ('UNKNOWN' as const),
            vendorStatus: vendorStatus ?? given,
            ...step,
          })),
      ),
      precededBy: references,
      followedBy: references,
      attachments: optionalListOf(z.strictObject({ name: needed(text), url: text, mediaType: text })),
      createdBy: text,
    },
    delivery: {
      ...base,
      number: needed(text),
      customer: text,
      direction: oneOf('OUTBOUND', 'INBOUND'),
      orders: listOf(needed(text)),
      orderNumbers: optionalListOf(needed(text)),
      reservation: text,
      carrier: text,
      trackingNumbers: optionalListOf(needed(text)),
      shipTo: party,
      externalReference: text,
      date: day,
      status: status('OPEN', 'CLOSED', 'CANCELLED'),
      vendorStatus: text,
      lines: listOf(
        z.strictObject({
          id: needed(text),
          product: text,
          description: text,
          quantity: needed(quantity),
          warehouse: text,
          order: text,
          orderLine: text,
        }),
      ),
    },
    reservation: {
      ...base,
      number: needed(text),
      orderNumber: text,
      externalReference: text,
      status: status('ACTIVE', 'FULFILLED', 'RELEASED', 'EXPIRED'),
      vendorStatus: text,
      expiresAt: time,
      comments: text,
      lines: listOf(
        z.strictObject({
          id: needed(text),
          product: needed(text),
          warehouse: needed(text),
          quantity: needed(quantity),
          open: quantity,
        }),
      ),
    },
    shipment: {
      ...base,
      trackingNumber: needed(text),
      carrier: text,
      carrierName: text,
      status: status(...SHIPMENT_STATUSES),
      vendorStatus: text,
      recipientRegion: text,
      expectedDelivery: day,
      signedBy: text,
      signedAt: time,
      orderNumbers: listOf(needed(text)),
      deliveryNumbers: listOf(needed(text)),
      events: listOf(
        z.strictObject({
          time: needed(time),
          place: text,
          text: needed(text),
          status: oneOf(...SHIPMENT_STATUSES),
          vendorStatus: text,
        }),
      ),
    },
    invoice: {
      ...base,
      number: needed(text),
      type: status('STANDARD', 'CREDIT_NOTE', 'DOWN_PAYMENT', 'CANCELLATION', 'PRO_FORMA'),
      customer: text,
      orderNumbers: listOf(needed(text)),
      issueDate: day,
      dueDate: day,
      status: status('OPEN', 'PARTIALLY_PAID', 'PAID', 'CANCELLED'),
      vendorStatus: text,
      totals: needed(totals),
      paid: money,
      open: money,
      lines: optionalListOf(
        z.strictObject({
          id: needed(text),
          product: text,
          description: text,
          quantity,
          unitPrice,
          taxRate: decimal,
          net: money,
          tax: money,
          gross: money,
          orderNumber: text,
        }),
      ),
      taxInvoices: optionalListOf(
        z.strictObject({
          kind: text,
          code: text,
          number: needed(text),
          issuedOn: day,
          redLetterOf: text,
          file: text,
        }),
      ),
      externalReference: text,
    },
    payment: {
      ...base,
      number: needed(text),
      customer: text,
      date: day,
      amount: needed(money),
      method: text,
      reference: text,
      externalReference: text,
      status: status('POSTED', 'CANCELLED'),
      vendorStatus: text,
      applications: listOf(z.strictObject({ invoice: needed(text), amount: needed(money), discount: money })),
      unapplied: money,
    },
    receivable: {
      ...base,
      customer: needed(text),
      asOf: needed(day),
      balances: listOf(z.strictObject({ open: needed(money), overdue: money })),
    },
    opportunity: {
      ...base,
      name: needed(text),
      customer: text,
      stage: status('PROSPECTING', 'QUALIFICATION', 'PROPOSAL', 'NEGOTIATION', 'WON', 'LOST'),
      vendorStage: text,
      amount: money,
      probability: decimal,
      closeDate: day,
      owner: text,
      lines: optionalListOf(
        z.strictObject({
          product: needed(text),
          description: text,
          quantity: needed(decimal),
          unitPrice: decimal,
        }),
      ),
      orderNumber: text,
      externalReference: text,
    },
  } satisfies { [T in UnifiedType]?: Record<string, z.ZodType> }
}
type Shapes = ReturnType<typeof shapes>
export type MappedType = keyof Shapes

/** Fields that a configuration can map, per record type. */
export const RECORD_FIELDS: { readonly [T in MappedType]: readonly string[] } = Object.fromEntries(
  Object.entries(shapes(UTC)).map(([type, shape]) => [
    type,
    Object.keys(shape).filter((field) => field !== 'customFields'),
  ]),
) as never

/** For the page that lists them. */
export const recordShape = (type: MappedType): z.ZodRawShape => shapes(UTC)[type]

/** Without these no record of that type can be made. */
export function requiredFields(type: MappedType): readonly string[] {
  const empty = z.object(shapes(UTC)[type]).safeParse({})
  return [...new Set(empty.error?.issues.map((issue) => String(issue.path[0])) ?? [])]
}

/** Our field beside which each vendor's own code is kept. */
const VENDOR_CODES: Readonly<Record<string, string>> = {
  level: 'vendorLevel',
  status: 'vendorStatus',
  stage: 'vendorStage',
}

/** What a vendor does not give is null, except fields that are absent where there is nothing to list. */
function settle(record: Record<string, unknown>): Record<string, unknown> {
  const settled: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(record)) {
    if (value === undefined) continue
    if (isStatus(value))
      settled[field] = value.ours ?? (value.given === null && field === 'level' ? null : 'UNKNOWN')
    else settled[field] = value
  }
  for (const [field, vendorField] of Object.entries(VENDOR_CODES)) {
    const value = record[field]
    if (isStatus(value)) settled[vendorField] ??= value.given
  }
  return settled
}
const isStatus = (value: unknown): value is { given: string | null; ours: string | undefined } =>
  value !== null && typeof value === 'object' && 'ours' in value

/* ---- mapping ---- */

/** One record read: its key where that much can be told, and the record or why there is none. */
export interface Read<R> {
  readonly key: string | null
  readonly outcome: Outcome<R>
}

export interface Mapping<R> {
  read(raw: unknown): Promise<Read<R>>
}

type Expressions = Readonly<Record<string, string>>

/** @param custom A company's own fields, under their names here. */
export function recordMapping<T extends MappedType>(
  type: T,
  { map, customFields: custom }: { readonly map: Expressions; readonly customFields: Expressions },
  vocabulary: Vocabulary,
): Mapping<RecordTypes[T]> {
  const schema = z.object(shapes(vocabulary.clock)[type])
  return mapping(map, custom, vocabulary, (fields) => {
    const parsed = schema.safeParse(fields)
    if (parsed.success) return ok(settle(parsed.data) as unknown as RecordTypes[T])
    const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
    return unreadable(type, issues.join('; '))
  })
}

/** A record of a type that nobody here has heard of: what the expressions give, as JSON. */
export function ownMapping(type: OwnType, map: Expressions, vocabulary: Vocabulary): Mapping<OwnRecord> {
  return mapping(map, {}, vocabulary, (fields) => {
    const key = textOf(fields.key)
    if (key === undefined) return unreadable(type, 'key is missing')
    // As the log keeps it: what is read again must compare equal.
    const own: Record<string, unknown> = { ...JSON.parse(JSON.stringify(fields)), key }
    // By these two the log tells what is new and what is late.
    for (const field of ['createdAt', 'updatedAt']) {
      const text = textOf(fields[field])
      const time = text === undefined ? null : toDateTime(text, vocabulary.clock)
      if (time === undefined) return unreadable(type, `${field}: "${text?.slice(0, 40)}" is no date-time`)
      if (field in fields) own[field] = time
    }
    if ('version' in fields) own.version = textOf(fields.version) ?? null
    return ok(own as OwnRecord)
  })
}

function mapping<R>(
  map: Expressions,
  custom: Expressions,
  vocabulary: Vocabulary,
  finish: (fields: Record<string, unknown>) => Outcome<R>,
): Mapping<R> {
  const compile = (expressions: Expressions): readonly (readonly [string, Expression])[] =>
    Object.entries(expressions).map(([field, source]) => [field, compileExpression(source, vocabulary)])
  const [own, added] = [compile(map), compile(custom)]
  return {
    async read(raw) {
      let broken: Outcome<never> | undefined
      const evaluate = async (expressions: typeof own): Promise<Record<string, unknown>> => {
        const fields: Record<string, unknown> = {}
        for (const [field, expression] of expressions) {
          try {
            fields[field] = await expression.evaluate(raw)
          } catch (error) {
            if (!(error instanceof ExpressionError)) throw error
            broken ??= unreadable('record', `${field}: ${error.message}`)
          }
        }
        return fields
      }
      const fields = await evaluate(own)
      if (added.length > 0) fields.customFields = await evaluate(added)
      return { key: textOf(fields.key) ?? null, outcome: broken ?? finish(fields) }
    },
  }
}

const unreadable = (type: string, detail: string): Outcome<never> =>
  fail({ kind: 'invalid-response', detail: `${type}: ${detail.slice(0, 500)}` })
