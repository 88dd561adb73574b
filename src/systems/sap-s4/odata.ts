/** The texts of OData 2: literals of filters, query strings, dates inside JSON. Pure. */
import type { DateText, DateTimeText } from '../records.ts'

export interface Query {
  readonly service: string
  readonly set: string
  /** Paths such as `to_Item/Material`; what lies behind a navigation is expanded. */
  readonly select: readonly string[]
  readonly filter?: string | undefined
  readonly orderby: string
  /** At most so many rows in all; default: every row. */
  readonly top?: number
}

/** A text in a filter or a key; quotes are doubled. Half a surrogate pair could not be sent and finds nothing. */
export const literal = (text: string): string => `'${text.toWellFormed().replaceAll("'", "''")}'`

/** Of a day, as `Edm.DateTime`. */
export const dayLiteral = (day: DateText): string => `datetime'${day}T00:00:00'`

/** Of an instant in UTC, as `Edm.DateTimeOffset`. */
export const instantLiteral = (instant: DateTimeText): string => `datetimeoffset'${instant}'`

export const oneOf = (field: string, values: readonly string[]): string =>
  values.map((value) => `${field} eq ${literal(value)}`).join(' or ')

/** Each term in brackets: a service is known that refuses a flat row of six. @see SAP/cloud-sdk-js#437 */
export function allOf(terms: readonly (string | undefined)[]): string | undefined {
  const given = terms.filter((term) => term !== undefined && term !== '')
  if (given.length === 0) return undefined
  return given.length === 1 ? given[0] : given.map((term) => `(${term})`).join(' and ')
}

/** Below the service, with its query string. */
export function queryPath(query: Query): string {
  const expand = new Set<string>()
  for (const path of query.select) {
    const steps = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= steps.length; depth++) expand.add(steps.slice(0, depth).join('/'))
  }
  const options = [
    '$format=json',
    `$select=${query.select.join(',')}`,
    ...(expand.size === 0 ? [] : [`$expand=${[...expand].join(',')}`]),
    ...(query.filter === undefined ? [] : [`$filter=${encodeURIComponent(query.filter)}`]),
    `$orderby=${encodeURIComponent(query.orderby)}`,
    ...(query.top === undefined ? [] : [`$top=${query.top}`]),
  ]
  return `${query.set}?${options.join('&')}`
}

/**
 * `/Date(1772323200000)/`, midnight in UTC, is a day of the calendar and is never shifted; `+0000` behind the
 * milliseconds makes it an instant. Both count milliseconds in UTC.
 */
const DATE = /^\/Date\((-?\d{1,15})([+-]\d{1,4})?\)\/$/

export const isDate = (text: string): boolean => {
  const ticks = DATE.exec(text)?.[1]
  return ticks !== undefined && Math.abs(Number(ticks)) <= 8.64e15
}

const isoOf = (text: string): string => new Date(Number(DATE.exec(text)?.[1])).toISOString()

export const dayOf = (date: string | null | undefined): DateText | null =>
  date ? isoOf(date).slice(0, 10) : null

export const instantOf = (date: string | null | undefined): DateTimeText | null =>
  date ? isoOf(date).replace('.000Z', 'Z') : null

/** A day as the vendor wants it in JSON. */
export const dateJson = (day: DateText): string => `/Date(${Date.parse(`${day}T00:00:00Z`)})/`

/** `PT13H45M00S` as `13:45:00`; null where it is none. */
export function timeOf(duration: string | null | undefined): string | null {
  const parts = /^PT(?:(\d{1,2})H)?(?:(\d{1,2})M)?(?:(\d{1,2})(?:\.\d+)?S)?$/.exec(duration ?? '')
  if (!parts) return null
  return [parts[1], parts[2], parts[3]].map((part) => (part ?? '0').padStart(2, '0')).join(':')
}

/**
 * Numbers of documents, customers and products are kept with leading zeros inside (ALPHA conversion) and shown
 * without; events, IDocs and references between documents may show them padded. Texts with a letter are as they are.
 */
export const external = (key: string): string => (/^\d+$/.test(key) ? key.replace(/^0+(?=.)/, '') : key)
