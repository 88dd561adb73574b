/** What is remembered stays within its bound, whatever is asked: ten times more records than fit. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { anyAge, customer, keysUpTo, readingOver, testSystem } from './kit.ts'

const MIB = 1024 * 1024
const BOUND = 8 * MIB

setFlagsFromString('--expose_gc')
const collect = runInNewContext('gc') as () => void
const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}

/** About 4 KiB: two bytes a character, and another text for each key. */
const nameOf = (key: string): string => {
  const first = 0x4e00 + Number(key.slice(1))
  return String.fromCharCode(...Array.from({ length: 2_048 }, (_, at) => first + (at % 97)))
}

test('memory stays within the bound while ten times as much is read, listed and invalidated', {
  timeout: 120_000,
}, async () => {
  const erp = testSystem({ batchLimit: 100 })
  const { customer: port } = erp.system.adapter.ports
  if (!port) throw new Error('no port')
  const system = {
    ...erp.system,
    adapter: {
      ...erp.system.adapter,
      ports: {
        customer: {
          ...port,
          readMany: async (keys: readonly string[]) =>
            keys.map((key) => ({ ok: true, value: customer(key, nameOf(key)) }) as const),
          list: async ({ first, after = '0' }: { first: number; after?: string | undefined }) => {
            const items = Array.from({ length: first }, (_, at) => {
              const key = `c${Number(after) + at + 1}`
              return { record: customer(key, nameOf(key)), position: key.slice(1) }
            })
            return { ok: true, value: { items, hasMore: true } } as const
          },
        },
      },
    },
  }
  using reading = readingOver([system], {}, BOUND)
  const one = customer('c1', nameOf('c1'))
  const fitting = Math.floor(BOUND / (2 * one.name.length))
  const keys = keysUpTo(10 * fitting)
  const before = heap()
  let most = 0
  for (let at = 0; at < keys.length; at += 100) {
    const some = keys.slice(at, at + 100)
    const read = await Promise.all(some.map((key) => reading.record(system, 'customer', key, anyAge)))
    expect(read.every((one) => one.ok && one.value !== null)).toBe(true)
    await reading.list(system, 'customer', { first: 20, after: String(at) }, anyAge)
    reading.invalidate(some.map((key) => ({ system: 'erp', record: 'customer', key, affects: [] })))
    const { bytes } = reading.state(system).cache
    most = Math.max(most, bytes)
    expect(bytes).toBeLessThanOrEqual(BOUND)
  }
  // It is used, and the estimate is honest: the heap has not grown by more than the bound and what tags take.
  expect(most).toBeGreaterThan(0.9 * BOUND)
  expect(reading.state(system).cache.entries).toBeLessThanOrEqual(fitting)
  expect(heap() - before).toBeLessThan(1.5 * BOUND)

  // What was read last is there; what was read first had to go, and is asked for again.
  const last = await reading.record(system, 'customer', keys.at(-1) as string, anyAge)
  expect(last.ok && last.value?.name).toBe(nameOf(keys.at(-1) as string))
  const first = await reading.record(system, 'customer', 'c1', anyAge)
  expect(first.ok && first.call).not.toBeNull()
})
