/** The hours in which a system is announced to be away: nobody asks it, and nothing alarms. Pure. */
export interface MaintenanceWindow {
  /** `02:00`. */
  readonly from: string
  /** Not after `from`: the window ends on the next day. */
  readonly to: string
  /** The days on which it begins; not given: every day. */
  readonly days?: readonly Weekday[] | undefined
  /** IANA name, for example `Asia/Shanghai`. */
  readonly timeZone: string
}

export const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const
export type Weekday = (typeof WEEKDAYS)[number]

const DAY_MIN = 24 * 60

/** @returns Milliseconds until the last of the windows that are open at `now` ends; 0 where none is. */
export function maintenanceLeftMs(windows: readonly MaintenanceWindow[], now: number): number {
  return Math.max(0, ...windows.map((window) => leftMs(window, now)))
}

function leftMs(window: MaintenanceWindow, now: number): number {
  const { weekday, minute } = wallClock(window.timeZone, now)
  const from = minuteOf(window.from)
  const length = (minuteOf(window.to) - from + DAY_MIN) % DAY_MIN || DAY_MIN
  // It may have begun yesterday.
  for (const daysAgo of [0, 1]) {
    const began = WEEKDAYS[(weekday - daysAgo + 7) % 7] as Weekday
    const since = minute + daysAgo * DAY_MIN - from
    if (since >= 0 && since < length && (window.days ?? WEEKDAYS).includes(began))
      return (length - since) * 60_000 - (now % 60_000)
  }
  return 0
}

const minuteOf = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5))

const clocks = new Map<string, Intl.DateTimeFormat>()

function wallClock(timeZone: string, now: number): { weekday: number; minute: number } {
  let clock = clocks.get(timeZone)
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-US', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
    clocks.set(timeZone, clock)
  }
  const parts = new Map(clock.formatToParts(now).map((part) => [part.type, part.value]))
  return {
    weekday: WEEKDAYS.indexOf((parts.get('weekday') ?? '').toLowerCase() as Weekday),
    minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
  }
}
