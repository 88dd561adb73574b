/** Days and moments as systems write them. */
import type { Clock } from '../kit/clock.ts'
import type { DateText, DateTimeText } from '../records.ts'

/** @returns Undefined where it is no day of the calendar. */
export function toDay(text: string): DateText | undefined {
  const [, year, month, date] = /^(\d{4})[-/]?(\d{2})[-/]?(\d{2})(?:$|[T ]|\d{4}(?:\d{2})?$)/.exec(text) ?? []
  if (year === undefined) return undefined
  const day = `${year}-${month}-${date}`
  const parsed = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(day) ? day : undefined
}

/**
 * @param text With or without offset, `T` or a space between; `20260630170000`; or seconds or milliseconds since 1970.
 * @param clock Of the system, for those without.
 * @returns Undefined where it is no moment; a day alone is none.
 */
export function toDateTime(text: string, clock: Clock): DateTimeText | undefined {
  const compact = COMPACT.exec(text)
  if (compact) {
    const [, year, month, date, hour, minute, second = '00'] = compact
    return clock.dateTime(`${year}-${month}-${date}T${hour}:${minute}:${second}`) ?? undefined
  }
  if (/^\d{9,10}$/.test(text)) return new Date(Number(text) * 1000).toISOString()
  if (/^\d{12,13}$/.test(text)) return new Date(Number(text)).toISOString()
  const parts = /^(\d{4}[-/]\d{2}[-/]\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?$/.exec(
    text,
  )
  if (!parts) return undefined
  const [, day = '', short = '', offset] = parts
  const local = `${day.replaceAll('/', '-')}T${short.length === 5 ? `${short}:00` : short}`
  if (offset === undefined) return clock.dateTime(local) ?? undefined
  const time = local + offset.replace(/(\d\d)(\d\d)$/, '$1:$2')
  return Number.isNaN(Date.parse(time)) ? undefined : time
}

/** A year of this century or the last, then everything without a word between. */
const COMPACT = /^((?:19|20)\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])([0-5]\d)([0-5]\d)?$/

/** How a system wants to be told a moment. */
export type TimeFormat = 'iso' | 'local' | 'ms' | 's'

/** `local` is what the system's own clock shows, without offset. */
export function formatTime(at: number, format: TimeFormat, clock: Clock): string {
  switch (format) {
    case 'iso':
      return new Date(at).toISOString()
    case 'ms':
      return String(at)
    case 's':
      return String(Math.floor(at / 1000))
    case 'local':
      return clock.wall(new Date(at)).replace('T', ' ')
  }
}
