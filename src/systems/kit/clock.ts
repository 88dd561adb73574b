/** Vendors stamp records with their wall clock and do not say where it hangs: the configuration does. */
import type { DateText, DateTimeText } from '../records.ts'

/** A fixed offset such as `+08:00`, or a name of the IANA time zone database. */
export function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return true
  } catch {
    return false
  }
}

export interface Clock {
  /** Puts the offset behind a wall-clock text such as `2026-03-01T10:20:30.123`; null where it is none. */
  dateTime(local: string): DateTimeText | null
  /** What the clock there shows at an instant, to the second: `2026-03-01T10:20:30`. */
  wall(instant: Date): string
  today(): DateText
}

export function createClock(timeZone: string): Clock {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
  const offsetAt = (instant: number): string => {
    const name = format.formatToParts(instant).find((part) => part.type === 'timeZoneName')?.value ?? ''
    return name.slice(3) || '+00:00' // "GMT+08:00", and "GMT" alone for none
  }
  const wall = (instant: Date): string => {
    const [, sign, hours = '0', minutes = '0'] =
      /^([+-])(\d\d):(\d\d)/.exec(offsetAt(instant.getTime())) ?? []
    const ahead = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1)
    return new Date(instant.getTime() + ahead).toISOString().slice(0, 19)
  }
  return {
    dateTime(local) {
      const guess = Date.parse(`${local}Z`)
      if (Number.isNaN(guess)) return null
      // A first guess of the instant tells the offset well enough, except within hours of a change of clocks.
      const instant = Date.parse(`${local}${offsetAt(guess)}`)
      return Number.isNaN(instant) ? null : `${local}${offsetAt(instant)}`
    },
    wall,
    today: () => wall(new Date()).slice(0, 10),
  }
}
