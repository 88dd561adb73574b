/** What a system is spared, and what readers get while it is away. Time is the test's. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { maintenanceLeftMs } from '../../src/reading/maintenance.ts'
import { Quota } from '../../src/reading/quota.ts'
import type { SourceFailure } from '../../src/systems/failure.ts'
import { anyAge, keysUpTo, readingOver, testSystem } from './kit.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-03-04T12:00:00Z') })
})
afterEach(() => {
  vi.useRealTimers()
})

const DOWN: SourceFailure = { kind: 'unavailable', reason: 'unreachable', detail: 'refused' }

/** Reads, and lets so much time go by as that takes. */
async function reads<T>(work: Promise<T>): Promise<T> {
  let over = false
  const done = work.finally(() => {
    over = true
  })
  while (!over) await vi.advanceTimersByTimeAsync(10)
  return done
}

describe('a system that does not answer', () => {
  const setup = (raw: Record<string, unknown> = {}) => {
    const erp = testSystem()
    erp.names.set('c1', 'known')
    const reading = readingOver([erp.system], {
      breaker: { failures: 3, probeEvery: '5s' },
      retry: { attempts: 0 },
      ...raw,
    })
    const read = (key: string) => reads(reading.record(erp.system, 'customer', key, anyAge))
    return { erp, reading, read }
  }

  test('gives its last known value, marked; and an error where there is none', async () => {
    const { erp, reading, read } = setup()
    expect(await read('c1')).toMatchObject({ value: { name: 'known' }, from: { stale: false } })
    erp.failure = DOWN
    await vi.advanceTimersByTimeAsync(61_000)
    expect(await read('c1')).toMatchObject({ ok: true, value: { name: 'known' }, from: { stale: true } })
    expect(await read('c2')).toMatchObject({
      ok: false,
      failure: { kind: 'unavailable', reason: 'unreachable' },
    })
    void reading.close()
  })

  test('is not asked by readers any more, is looked for, and is asked again within one probe interval', async () => {
    const { erp, reading, read } = setup()
    await read('c1')
    erp.failure = DOWN
    for (const key of ['x1', 'x2', 'x3']) await read(key)
    expect(reading.state(erp.system).breaker).toBe('open')
    erp.calls.length = 0
    // Fresh by its age; but no event can have come from a system that is down.
    expect(await read('c1')).toMatchObject({ from: { stale: true } })
    expect(await read('x4')).toMatchObject({ ok: false, failure: { retryAfterMs: expect.any(Number) } })
    expect(erp.calls).toEqual([])
    await vi.advanceTimersByTimeAsync(12_000)
    expect(erp.calls).toEqual([['health'], ['health']])
    erp.failure = undefined
    erp.names.set('c1', 'changed meanwhile')
    await vi.advanceTimersByTimeAsync(5_000)
    expect(reading.state(erp.system).breaker).toBe('closed')
    // Younger than its time to live; but what was read before the outage is read anew.
    expect(await read('c1')).toMatchObject({ value: { name: 'changed meanwhile' }, from: { stale: false } })
    void reading.close()
  })

  test('has its last known value forgotten when that is too old', async () => {
    const { erp, reading, read } = setup({ cache: { customer: { lastKnown: '1h' } } })
    await read('c1')
    erp.failure = DOWN
    await vi.advanceTimersByTimeAsync(3_700_000)
    expect(await read('c1')).toMatchObject({ ok: false })
    void reading.close()
  })

  test('is tried again, a little later, before a reader is told', async () => {
    const { erp, reading } = setup({ retry: { attempts: 2 } })
    erp.failure = DOWN
    const answer = reading.record(erp.system, 'customer', 'c1', anyAge)
    await vi.advanceTimersByTimeAsync(3)
    expect(erp.calls).toHaveLength(1)
    erp.failure = undefined
    expect(await reads(answer)).toMatchObject({ value: { name: 'known' } })
    expect(erp.calls).toHaveLength(2)
    void reading.close()
  })

  test('holds a reader no longer than the timeout', async () => {
    const { erp, reading, read } = setup({ limits: { timeout: '2s' } })
    erp.latencyMs = 3_600_000
    const before = Date.now()
    expect(await read('c1')).toMatchObject({ ok: false, failure: { reason: 'timeout' } })
    expect(Date.now() - before).toBeLessThan(2_100)
    void reading.close()
  })

  test('shows refused credentials instead of hiding them behind old values', async () => {
    const { erp, reading, read } = setup()
    await read('c1')
    erp.failure = { kind: 'unauthorized', detail: 'wrong password' }
    await vi.advanceTimersByTimeAsync(61_000)
    expect(await read('c1')).toMatchObject({ ok: false, failure: { kind: 'unauthorized' } })
    void reading.close()
  })
})

describe('a narrow system', () => {
  test('gets no more calls at once than it has sessions, and no endless queue', async () => {
    const erp = testSystem({ batchLimit: 1 })
    erp.latencyMs = 100
    using reading = readingOver([erp.system], { limits: { concurrency: 3, queue: 5 } })
    const answers = await reads(
      Promise.all(keysUpTo(12).map((key) => reading.record(erp.system, 'customer', key, anyAge))),
    )
    expect(erp.most).toBe(3)
    expect(erp.calls).toHaveLength(8)
    expect(answers.filter((answer) => !answer.ok)).toHaveLength(4)
    expect(answers.find((answer) => !answer.ok)).toMatchObject({
      failure: { reason: 'overloaded', retryAfterMs: expect.any(Number) },
    })
  })

  test('is left alone for as long as it asks', async () => {
    const erp = testSystem()
    using reading = readingOver([erp.system], { retry: { attempts: 1 } })
    erp.failure = { kind: 'unavailable', reason: 'rate-limited', detail: '429', retryAfterMs: 3_000 }
    const began = Date.now()
    const answer = reading.record(erp.system, 'customer', 'c1', anyAge)
    await vi.advanceTimersByTimeAsync(1_000)
    erp.failure = undefined
    expect(await reads(answer)).toMatchObject({ ok: true })
    expect(Date.now() - began).toBeGreaterThanOrEqual(3_000)
    expect(erp.calls).toHaveLength(2)
  })

  test('is not asked in its maintenance window, and nothing alarms', async () => {
    const erp = testSystem()
    erp.names.set('c1', 'known')
    const maintenance = [{ from: '20:30', to: '21:00', timeZone: 'Asia/Shanghai' }]
    using reading = readingOver([erp.system], { maintenance })
    expect(await reads(reading.record(erp.system, 'customer', 'c1', anyAge))).toMatchObject({
      from: { stale: false },
    })
    await vi.advanceTimersByTimeAsync(31 * 60_000)
    expect(await reads(reading.record(erp.system, 'customer', 'c1', anyAge))).toMatchObject({
      from: { stale: true },
    })
    expect(await reads(reading.record(erp.system, 'customer', 'c2', anyAge))).toMatchObject({
      failure: { reason: 'maintenance', retryAfterMs: expect.any(Number) },
    })
    expect(erp.calls).toHaveLength(1)
    expect(reading.state(erp.system)).toMatchObject({ breaker: 'closed', maintenance: true })
  })
})

describe('the quota', () => {
  test('never lets more calls leave in any second than agreed', () => {
    let now = 0
    const quota = new Quota({ perSecond: 20, maxWaitMs: 60_000 }, () => now)
    const departures: number[] = []
    for (let call = 0; call < 300; call++) {
      const place = quota.reserve()
      if ('waitMs' in place) departures.push(now + place.waitMs)
      now += [0, 3, 170, 1, 40][call % 5] as number
    }
    for (const from of departures)
      expect(departures.filter((at) => at >= from && at < from + 1_000).length).toBeLessThanOrEqual(20)
  })

  test('lets a few calls leave at once, then spreads them', () => {
    const quota = new Quota({ perSecond: 20, maxWaitMs: 60_000 }, () => 0)
    const waits = Array.from({ length: 8 }, () => (quota.reserve() as { waitMs: number }).waitMs)
    expect(waits.slice(0, 5)).toEqual([0, 0, 0, 0, 0])
    expect(waits[5]).toBe(51)
    expect(waits[7]).toBe(153)
  })
})

describe('a maintenance window', () => {
  const at = (text: string) => Date.parse(text)
  test('is told in the clock of its own time zone', () => {
    const window = { from: '02:00', to: '04:00', timeZone: 'Asia/Shanghai' }
    expect(maintenanceLeftMs([window], at('2026-03-03T17:59:00Z'))).toBe(0)
    expect(maintenanceLeftMs([window], at('2026-03-03T18:00:00Z'))).toBe(2 * 3_600_000)
    expect(maintenanceLeftMs([window], at('2026-03-03T20:00:00Z'))).toBe(0)
  })

  test('goes over midnight, on the days on which it begins', () => {
    const window = { from: '23:00', to: '01:00', days: ['sat'] as const, timeZone: 'UTC' }
    expect(maintenanceLeftMs([window], at('2026-03-07T23:30:00Z'))).toBe(90 * 60_000)
    expect(maintenanceLeftMs([window], at('2026-03-08T00:30:00Z'))).toBe(30 * 60_000)
    expect(maintenanceLeftMs([window], at('2026-03-08T23:30:00Z'))).toBe(0)
  })
})
