/** What happens while a gateway looks at a system for the first time, page by page. */
import { expect, test } from 'vitest'
import { createFeeds } from '../../src/events/feeds.ts'
import { openEventLog } from '../../src/events/log.ts'
import { silentLog } from '../../src/observe/log.ts'
import { ok } from '../../src/systems/failure.ts'
import type { RecordPort } from '../../src/systems/port.ts'
import type { Order } from '../../src/systems/records.ts'
import { createSystems, type System } from '../../src/systems/registry.ts'
import { sqlitePlace } from '../store/stores.ts'

/** A system whose checkpoints count changes, and that names the last few of them again. */
function systemOf(overlap: number) {
  const all: Order[] = []
  const changed: string[] = []
  const meanwhile: (() => void)[] = []
  const put = (key: string, comments: string, createdAt = '2026-01-05T09:00:00Z') => {
    const at = all.findIndex((one) => one.key === key)
    const one: Order = { key, number: `N${key}`, status: 'CONFIRMED', lines: [], comments, createdAt }
    if (at === -1) all.push(one)
    else all[at] = one
    changed.push(key)
  }
  const port: RecordPort<'order'> = {
    batchLimit: 100,
    async readMany(keys) {
      return keys.map((key) => ok(all.find((one) => one.key === key) ?? null))
    },
    async list({ first, after }) {
      const from = after === undefined ? 0 : all.findIndex(({ key }) => key === after) + 1
      const items = all.slice(from, from + first).map((record) => ({ position: record.key, record }))
      const page = ok({ items, hasMore: from + first < all.length })
      meanwhile.shift()?.()
      return page
    },
    async changes(checkpoint) {
      const keys = checkpoint === null ? [] : changed.slice(Math.max(0, Number(checkpoint) - overlap))
      const records = all.filter(({ key }) => keys.includes(key))
      return ok({ records, checkpoint: String(changed.length), hasMore: false })
    },
  }
  const system = {
    id: 'erp',
    kind: 'made-up',
    environment: 'test',
    adapter: { ports: { order: port }, close: async () => {} },
    pollEveryMs: 0,
    commitDelayMs: 0,
    orderNumbersFrom: undefined,
    writeMode: () => 'off',
  } as unknown as System
  return { system, put, meanwhile }
}

test.each([0, 3])(
  'a change during the first look is told, once, where a system names the last %i again',
  async (overlap) => {
    const { system, put, meanwhile } = systemOf(overlap)
    for (let at = 0; at < 250; at++) put(`${1_000 + at}`, 'as it was')
    await using place = sqlitePlace()
    const store = await place.open()
    const log = await openEventLog(store)
    const feeds = createFeeds({
      store,
      systems: createSystems([system]),
      log,
      owner: 'test',
      logger: silentLog,
      door: {
        away: () => false,
        read: (_system, call, signal) => call(signal),
        record: async () => ok(null),
        observe: () => () => {},
      },
    })
    // After the first page was read.
    meanwhile.push(() => {
      put('1005', 'on a page read already')
      put('1150', 'on a page still to come')
      put('1249', 'touched')
      put('9000', 'made by others', new Date().toISOString())
    })
    const told = () => store.read.selectFrom('event').select(['type', 'key']).orderBy('key').execute()
    try {
      await feeds.pollOnce(system)
      const expected = [
        { type: 'order.updated', key: '1005' },
        { type: 'order.updated', key: '1150' },
        { type: 'order.updated', key: '1249' },
        { type: 'order.created', key: '9000' },
      ]
      expect(await told()).toEqual(expected)
      const { data } = await store.read
        .selectFrom('event')
        .select('data')
        .where('key', '=', '1005')
        .executeTakeFirstOrThrow()
      expect(JSON.parse(data).changes).toEqual([
        { field: 'comments', old: '"as it was"', new: '"on a page read already"' },
      ])

      await feeds.pollOnce(system)
      expect(await told()).toEqual(expected)
      put('1150', 'later')
      await feeds.pollOnce(system)
      expect(await told()).toHaveLength(5)
    } finally {
      await feeds.close()
      log.close()
      await store.close()
    }
  },
)
