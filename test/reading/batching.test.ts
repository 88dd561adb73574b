/** How many calls reach a system, whatever the number of requests. */
import { describe, expect, test } from 'vitest'
import { createRecordReader } from '../../src/reading/reader.ts'
import { anyAge, caller, keysUpTo, readingOver, testSystem } from './kit.ts'

describe('calls to one system', () => {
  test('are as few as the distinct keys of all requests allow', async () => {
    const erp = testSystem({ batchLimit: 10 })
    using reading = readingOver([erp.system])
    const keys = keysUpTo(35)
    for (const key of keys) erp.names.set(key, `name of ${key}`)
    const requests = Array.from({ length: 20 }, () => createRecordReader(reading, { caller }))
    const answers = await Promise.all(
      requests.flatMap((reader) => keys.map((key) => reader.load(erp.system, 'customer', key))),
    )
    expect(answers).toHaveLength(700)
    expect(answers.every((answer) => answer.ok && answer.value !== null)).toBe(true)
    expect(erp.calls).toHaveLength(4)
    expect(new Set(erp.calls.flat()).size).toBe(35)
  })

  test('carry what came in while all sessions were busy', async () => {
    const erp = testSystem({ batchLimit: 10 })
    erp.latencyMs = 200
    using reading = readingOver([erp.system], { limits: { concurrency: 1 } })
    const ask = (keys: readonly string[]) =>
      Promise.all(keys.map((key) => reading.record(erp.system, 'customer', key, anyAge)))
    const first = ask(['a'])
    await expect.poll(() => erp.underWay, { interval: 1 }).toBe(1)
    // One after the other, each in a window of its own: they wait, and travel together.
    const others: Promise<unknown>[] = []
    for (const key of keysUpTo(8)) {
      others.push(ask([key]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all([first, ...others])
    expect(erp.calls).toHaveLength(2)
    expect(erp.most).toBe(1)
  })

  test('wait for the one before where they are counted, and then carry more', async () => {
    const erp = testSystem({ batchLimit: 10 })
    erp.latencyMs = 100
    using reading = readingOver([erp.system], { limits: { perSecond: 50 } })
    const ask = (key: string) => reading.record(erp.system, 'customer', key, anyAge)
    const asked = [ask('c0')]
    await expect.poll(() => erp.underWay, { interval: 1 }).toBe(1)
    for (const key of keysUpTo(5)) {
      asked.push(ask(key))
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
    await Promise.all(asked)
    expect(erp.calls).toEqual([['c0'], keysUpTo(5)])
  })

  test('are not made for a record that is being fetched, nor for one that a list has brought', async () => {
    const erp = testSystem()
    erp.latencyMs = 100
    for (const key of keysUpTo(3)) erp.names.set(key, key)
    using reading = readingOver([erp.system])
    const under = reading.record(erp.system, 'customer', 'c1', anyAge)
    await expect.poll(() => erp.underWay, { interval: 1 }).toBe(1)
    await Promise.all([under, reading.record(erp.system, 'customer', 'c1', anyAge)])
    expect(erp.calls).toHaveLength(1)
    await reading.list(erp.system, 'customer', { first: 10 }, anyAge)
    await Promise.all(keysUpTo(3).map((key) => reading.record(erp.system, 'customer', key, anyAge)))
    expect(erp.calls).toEqual([['c1'], ['list']])
  })

  test('are never shared between credential scopes', async () => {
    const erp = testSystem()
    using reading = readingOver([erp.system])
    await reading.record(erp.system, 'customer', 'c1', anyAge)
    await reading.record(erp.system, 'customer', 'c1', { ...anyAge, credentialScope: 'someone else' })
    expect(erp.calls).toHaveLength(2)
  })

  test('are given up when everybody who waits has left, and not before', async () => {
    const erp = testSystem()
    erp.latencyMs = 10_000
    using reading = readingOver([erp.system])
    const [one, other] = [new AbortController(), new AbortController()]
    const answers = [one, other].map(({ signal }) =>
      reading.record(erp.system, 'customer', 'c1', { ...anyAge, signal }),
    )
    await expect.poll(() => erp.underWay, { interval: 1 }).toBe(1)
    one.abort()
    await answers[0]
    expect(erp.underWay).toBe(1)
    other.abort()
    await answers[1]
    await expect.poll(() => erp.underWay).toBe(0)
  })

  test('are not repeated for a record that is not there', async () => {
    const erp = testSystem()
    using reading = readingOver([erp.system])
    for (let count = 0; count < 3; count++) {
      expect(await reading.record(erp.system, 'customer', 'nobody', anyAge)).toMatchObject({
        ok: true,
        value: null,
      })
    }
    expect(erp.calls).toHaveLength(1)
  })
})

test('one request reads a record once, even when it changes meanwhile', async () => {
  const erp = testSystem()
  erp.names.set('c1', 'before')
  using reading = readingOver([erp.system])
  const reader = createRecordReader(reading, { caller })
  await reader.load(erp.system, 'customer', 'c1')
  erp.names.set('c1', 'after')
  reading.invalidate([{ system: 'erp', record: 'customer', key: 'c1', affects: [] }])
  expect(await reader.load(erp.system, 'customer', 'c1')).toMatchObject({ value: { name: 'before' } })
  reader.renew()
  expect(await reader.load(erp.system, 'customer', 'c1')).toMatchObject({ value: { name: 'after' } })
})

test('a demand for freshness is met by a fetch that began after it, and never by one under way', async () => {
  const erp = testSystem()
  erp.latencyMs = 100
  erp.names.set('c1', 'name')
  using reading = readingOver([erp.system])
  const early = reading.record(erp.system, 'customer', 'c1', anyAge)
  await expect.poll(() => erp.underWay, { interval: 1 }).toBe(1)
  const strict = createRecordReader(reading, { caller, maxAgeMs: 0 })
  await Promise.all([early, strict.load(erp.system, 'customer', 'c1')])
  expect(erp.calls).toHaveLength(2)
  expect(strict.sources()).toMatchObject({ demandMet: true })
})

test('an event demotes what it declares, and nothing else', async () => {
  const erp = testSystem()
  using reading = readingOver([erp.system])
  const read = async () => {
    await Promise.all([
      ...['c1', 'c2'].map((key) => reading.record(erp.system, 'customer', key, anyAge)),
      ...['c1', 'c2'].map((key) => reading.lookup(erp.system, 'opportunity', 'byCustomer', key, anyAge)),
    ])
    return erp.calls.splice(0).flat()
  }
  await read()
  const affects = [{ record: 'opportunity', by: 'byCustomer', key: 'c2' }] as const
  reading.invalidate([{ system: 'erp', record: 'customer', key: 'c1', affects }])
  expect((await read()).sort()).toEqual(['byCustomer', 'c1', 'c2'])
  // A member of the answer, though the lookup itself is not named.
  reading.invalidate([{ system: 'erp', record: 'opportunity', key: 'o-c1', affects: [] }])
  expect(await read()).toEqual(['byCustomer', 'c1'])
  reading.invalidate([{ system: 'other', record: 'customer', key: 'c1', affects: [] }])
  expect(await read()).toEqual([])
})

test('memory stays within its bound with ten times more records than fit', async () => {
  const erp = testSystem({ batchLimit: 1_000 })
  const bound = 2 * 1024 * 1024
  using reading = readingOver([erp.system], {}, bound)
  const text = 'x'.repeat(400)
  const keys = keysUpTo(25_000)
  for (const key of keys) erp.names.set(key, `${text}${key}`)
  for (let at = 0; at < keys.length; at += 1_000) {
    const some = keys.slice(at, at + 1_000)
    await Promise.all(some.map((key) => reading.record(erp.system, 'customer', key, anyAge)))
    expect(reading.state(erp.system).cache.bytes).toBeLessThanOrEqual(bound)
  }
  const { entries, bytes } = reading.state(erp.system).cache
  expect(entries).toBeGreaterThan(500)
  expect(entries).toBeLessThan(2_500)
  expect(bytes).toBeGreaterThan(bound * 0.9)
})
