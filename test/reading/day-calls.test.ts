/** A day's calls are counted once for all who make them. */
import { describe, expect, it } from 'vitest'
import { countInStore, createDayCalls, type DayCalls } from '../../src/reading/day-calls.ts'
import { createReading } from '../../src/reading/reading.ts'
import { createSystems } from '../../src/systems/registry.ts'
import { places } from '../store/stores.ts'
import { anyAge, logger, settingsFrom, testSystem } from './kit.ts'

const NOON = Date.parse('2026-03-04T12:00:00Z')

async function takeAll(calls: DayCalls): Promise<number> {
  let count = 0
  while (await calls.take()) count++
  return count
}

for (const { name, make, available } of places) {
  describe.skipIf(!available)(`calls of a day, counted in ${name}`, () => {
    it('are as many as allowed, whoever makes them and however they take turns', async () => {
      await using place = make()
      const first = await place.open()
      const second = place.kind === 'postgres' ? await place.open() : first
      const makers = [first, second, second].map((store) =>
        createDayCalls(countInStore(store, 'erp', 1_000), 1_000, () => NOON),
      )
      const counts = await Promise.all(makers.map(takeAll))
      expect(counts.reduce((sum, count) => sum + count)).toBe(1_000)
      await first.close()
      if (second !== first) await second.close()
    })

    it('are remembered over a restart; what a process has not used is given back when it stops', async () => {
      await using place = make()
      const open = async () => {
        const store = await place.open()
        return { store, calls: createDayCalls(countInStore(store, 'erp', 1_000), 1_000, () => NOON) }
      }
      const before = await open()
      for (let count = 0; count < 123; count++) expect(await before.calls.take()).toBe(true)
      await before.calls.close()
      await before.store.close()
      const after = await open()
      expect(await takeAll(after.calls)).toBe(877)
      await after.store.close()
    })

    it('are not passed when a process dies, and begin anew the next day', async () => {
      await using place = make()
      const store = await place.open()
      let now = NOON
      const make_ = () => createDayCalls(countInStore(store, 'erp', 1_000), 1_000, () => now)
      const killed = make_()
      for (let count = 0; count < 25; count++) await killed.take()
      const rest = await takeAll(make_())
      // It had taken one block of 20, a second one, and perhaps one ahead.
      expect(rest).toBeLessThanOrEqual(1_000 - 25)
      expect(rest).toBeGreaterThanOrEqual(1_000 - 60)
      now += 12 * 3_600_000
      expect(await takeAll(make_())).toBe(1_000)
      // A clock that is behind gets nothing of a day that is over.
      now -= 1
      expect(await takeAll(make_())).toBe(0)
      await store.close()
    })
  })
}

describe('a system with two calls a day', () => {
  const readingOver = (counter: Parameters<typeof createReading>[0]['callCounter']) => {
    const erp = testSystem()
    const reading = createReading({
      systems: createSystems([erp.system]),
      settings: () => settingsFrom({ limits: { perDay: 2 }, batchWindow: '1ms', retry: { attempts: 0 } }),
      maxBytes: 1e6,
      logger,
      ...(counter ? { callCounter: counter } : {}),
    })
    return { erp, read: (key: string) => reading.record(erp.system, 'customer', key, anyAge) }
  }

  it('is not called a third time, and its caller is told when to come again', async () => {
    const { erp, read } = readingOver(undefined)
    expect((await read('a')).ok && (await read('b')).ok).toBe(true)
    const third = await read('c')
    if (third.ok || third.failure.kind !== 'unavailable') throw new Error('it was called')
    expect(third.failure.reason).toBe('rate-limited')
    const midnight = Math.ceil(Date.now() / 86_400_000) * 86_400_000
    expect(Date.now() + (third.failure.retryAfterMs ?? 0)).toBeCloseTo(midnight, -4)
    expect(erp.calls).toHaveLength(2)
    expect((await read('a')).ok).toBe(true)
  })

  it('is not called at all while nobody can say how often it was called', async () => {
    const { erp, read } = readingOver(() => ({ claim: () => Promise.reject(new Error('the store is away')) }))
    expect(await read('a')).toMatchObject({ ok: false, failure: { reason: 'rate-limited' } })
    expect(erp.calls).toHaveLength(0)
  })
})
