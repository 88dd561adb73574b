/** Who can do without a part of a record may get it without; nobody else ever does. */
import { describe, expect, test } from 'vitest'
import type { Wants } from '../../src/reading/parts.ts'
import { createRecordReader } from '../../src/reading/reader.ts'
import type { Demand } from '../../src/reading/reading.ts'
import { ok } from '../../src/systems/failure.ts'
import type { CallContext, RecordPort } from '../../src/systems/port.ts'
import type { Key, Opportunity } from '../../src/systems/records.ts'
import type { System } from '../../src/systems/registry.ts'
import { anyAge, caller, opportunity, readingOver, testSystem } from './kit.ts'

const wanting = (...fields: string[]): Wants => new Map([['opportunity', new Set(fields)]])
const head: Demand = { ...anyAge, wants: wanting('name', 'stage') }
const withLines: Demand = { ...anyAge, wants: wanting('name', 'lines') }

/** A CRM where lines cost extra. */
function crm() {
  const calls: { readonly asked: string; readonly whole: boolean }[] = []
  const held: (() => void)[] = []
  let holds = false
  let down = false
  const recordFor = (key: Key, { without }: CallContext): Opportunity => ({
    ...opportunity(key, 'c1'),
    lines: without?.has('lines') ? [] : [{ product: 'p1', quantity: '2' }],
  })
  const asked = async (what: string, { without }: CallContext) => {
    calls.push({ asked: what, whole: !without })
    if (holds) await new Promise<void>((resolve) => held.push(resolve))
  }
  const port: RecordPort<'opportunity'> = {
    batchLimit: 10,
    parts: { lines: ['lines'] },
    async readMany(keys, context) {
      await asked(keys.join(' '), context)
      const away = { kind: 'unavailable', reason: 'unreachable', detail: 'down' } as const
      return keys.map((key) => (down ? { ok: false, failure: away } : ok(recordFor(key, context))))
    },
    async list(_query, context) {
      await asked('list', context)
      const items = ['o1', 'o2'].map((key) => ({ record: recordFor(key, context), position: key }))
      return ok({ items, hasMore: false })
    },
    lookups: {
      byCustomer: {
        batchLimit: 10,
        async read(keys, context) {
          await asked(`of ${keys.join(' ')}`, context)
          return keys.map(() => ok(['o1', 'o2'].map((key) => recordFor(key, context))))
        },
      },
    },
  }
  const { system: base } = testSystem({ id: 'crm' })
  const system: System = { ...base, adapter: { ...base.adapter, ports: { opportunity: port } } }
  const reading = readingOver([system], { retry: { attempts: 0 } })
  return {
    system,
    calls,
    reading,
    hold() {
      holds = true
    },
    async release() {
      await expect.poll(() => held.length).toBeGreaterThan(0)
      for (const answer of held.splice(0)) answer()
    },
    fall() {
      down = true
    },
    async read(key: Key, demand: Demand): Promise<Opportunity> {
      const read = await reading.record(system, 'opportunity', key, demand)
      if (!read.ok || !read.value) throw new Error('no record')
      return read.value
    },
  }
}

describe('a record', () => {
  test('is read without what nobody wants, and says so to whom looks at it all the same', async () => {
    const { read, calls } = crm()
    const record = await read('o1', head)
    expect(record).toMatchObject({ key: 'o1', name: 'o1', stage: 'PROPOSAL' })
    expect(() => record.lines).toThrow('"lines" was left out')
    expect(calls).toEqual([{ asked: 'o1', whole: false }])
  })

  test('is read whole for those who do not say what they want', async () => {
    const { read, calls } = crm()
    expect((await read('o1', anyAge)).lines).toHaveLength(1)
    expect(calls).toEqual([{ asked: 'o1', whole: true }])
  })

  test('that is known whole serves everybody; one that is not serves those who can do without', async () => {
    const { read, calls } = crm()
    await read('o1', withLines)
    await read('o1', head)
    await read('o2', head)
    await read('o2', head)
    expect(calls.map(({ asked }) => asked)).toEqual(['o1', 'o2'])
    expect((await read('o2', withLines)).lines).toHaveLength(1)
    expect(calls).toHaveLength(3)
  })

  test('goes on being read with what was wanted of it once', async () => {
    const { read, calls, reading } = crm()
    await read('o1', withLines)
    reading.invalidate([{ system: 'crm', record: 'opportunity', key: 'o1', affects: [] }])
    await read('o1', head)
    await read('o1', withLines)
    expect(calls).toEqual([
      { asked: 'o1', whole: true },
      { asked: 'o1', whole: true },
    ])
  })

  test('is asked for once by those who come together, with what any of them wants', async () => {
    const { read, calls } = crm()
    const records = await Promise.all([read('o1', head), read('o1', withLines), read('o2', head)])
    expect(records[1]?.lines).toHaveLength(1)
    expect(calls).toEqual([{ asked: 'o1 o2', whole: true }])
  })

  test('that is under way without a part is not what one who wants the part waits for', async () => {
    const crmSystem = crm()
    const { read, calls } = crmSystem
    crmSystem.hold()
    const first = read('o1', head)
    await expect.poll(() => calls.length).toBe(1)
    const second = read('o1', withLines)
    const third = read('o1', head)
    await expect.poll(() => calls.length).toBe(2)
    await crmSystem.release()
    await first
    expect((await second).lines).toHaveLength(1)
    await third
    expect(calls).toHaveLength(2)
  })

  test('is not given without its part because the system is down', async () => {
    const { read, system, reading, ...rest } = crm()
    await read('o1', head)
    rest.fall()
    const read1 = await reading.record(system, 'opportunity', 'o1', withLines)
    expect(read1).toMatchObject({ ok: false, failure: { kind: 'unavailable' } })
    reading.invalidate([{ system: 'crm', record: 'opportunity', key: 'o1', affects: [] }])
    expect(await reading.record(system, 'opportunity', 'o1', head)).toMatchObject({
      ok: true,
      from: { stale: true },
    })
  })
})

describe('a list, and a lookup', () => {
  test('of heads does not push out records that are known whole', async () => {
    const { read, calls, reading, system } = crm()
    await read('o1', withLines)
    await reading.list(system, 'opportunity', { first: 10 }, head)
    await reading.lookup(system, 'opportunity', 'byCustomer', 'c1', head)
    await read('o1', withLines)
    await read('o2', head)
    expect(calls).toEqual([
      { asked: 'o1', whole: true },
      { asked: 'list', whole: false },
      { asked: 'of c1', whole: false },
    ])
  })

  test('is read again for one who wants more of it', async () => {
    const { calls, reading, system } = crm()
    const list = async (demand: Demand) => {
      const page = await reading.list(system, 'opportunity', { first: 10 }, demand)
      return page?.ok ? page.value.items.map(({ record }) => record) : []
    }
    await expect(list(head).then(([one]) => one?.lines)).rejects.toThrow('left out')
    expect((await list(withLines)).map(({ lines }) => lines?.length)).toEqual([1, 1])
    await list(head)
    expect(calls).toEqual([
      { asked: 'list', whole: false },
      { asked: 'list', whole: true },
    ])
  })
})

test('one request asks once for a record, whichever of its readers comes first', async () => {
  const { reading, system, calls } = crm()
  const reader = createRecordReader(reading, { caller })
  reader.want(wanting('name', 'lines'))
  await reader.load(system, 'opportunity', 'o1')
  const again = await reader.load(system, 'opportunity', 'o1')
  expect(again.ok && again.value?.lines).toHaveLength(1)
  expect(calls).toEqual([{ asked: 'o1', whole: true }])
})
