import { describe, expect, it } from 'vitest'
import { type Caller, gatewayCaller } from '../../src/caller/caller.ts'
import type { ChangeEvent } from '../../src/events/event.ts'
import { type EventFilter, type EventLog, openEventLog, type Sighting } from '../../src/events/log.ts'
import type { Store } from '../../src/store/store.ts'
import type { Order } from '../../src/systems/records.ts'
import { places } from '../store/stores.ts'

const order = (key: string, changes: Partial<Order> = {}): Order => ({
  key,
  number: `N${key}`,
  status: 'CONFIRMED',
  updatedAt: '2026-07-01T10:00:00Z',
  lines: [],
  ...changes,
})
const seen = (value: Order, more: Partial<Sighting> = {}): Sighting<'order'> =>
  ({ system: 'erp', record: 'order', value, ...more }) as Sighting<'order'>

for (const { name, make, available } of places) {
  const open = async () => {
    const place = make()
    const store = await place.open()
    const others: Store[] = []
    const log = await openEventLog(store)
    const appendTo = async (to: Store, toLog: EventLog, ...sightings: Sighting[]) => {
      const appended = await to.transact((tx) => toLog.record(tx, sightings))
      await toLog.announce()
      return appended
    }
    return {
      store,
      /** Another process of the same store, as far as the store can tell. */
      async another() {
        const other = await place.open()
        others.push(other)
        return other
      },
      log,
      append: (...sightings: Sighting[]) => appendTo(store, log, ...sightings),
      appendTo,
      async all(after = 0) {
        const stop = new AbortController()
        const events: ChangeEvent[] = []
        const head = await store.read
          .selectFrom('event')
          .select((of) => of.fn.max('position').as('head'))
          .executeTakeFirst()
        if (Number(head?.head ?? 0) <= after) return events
        for await (const told of log.follow({ record: 'order' }, after, stop.signal)) {
          if (told.kind !== 'event') throw new Error('a gap')
          events.push(told.event)
          if (told.event.position === Number(head?.head)) stop.abort()
        }
        return events
      },
      async [Symbol.asyncDispose]() {
        log.close()
        await Promise.all([store, ...others].map((one) => one.close()))
        await place[Symbol.asyncDispose]()
      },
    }
  }
  /** Follows in the background. */
  const follow = (log: EventLog, after?: number, filter: EventFilter = { record: 'order' }) => {
    const stop = new AbortController()
    const events: ChangeEvent[] = []
    const waiting = new Set<() => void>()
    const done = (async () => {
      for await (const told of log.follow(filter, after, stop.signal)) {
        if (told.kind !== 'event') throw new Error('a gap')
        events.push(told.event)
        for (const wake of waiting) wake()
      }
    })()
    return {
      events,
      async take(count: number) {
        while (events.length < count) {
          await new Promise<void>((resolve) => {
            waiting.add(resolve)
          })
        }
        return events.slice(0, count)
      },
      async stop() {
        stop.abort()
        await done
      },
    }
  }

  describe.skipIf(!available)(`the log of changes in ${name}`, () => {
    it('tells what a record was, and which fields differ', async () => {
      await using room = await open()
      await room.append(seen(order('1', { comments: 'a' }), { baseline: true }))
      expect(await room.append(seen(order('1', { comments: 'b', status: 'SHIPPED' })))).toEqual([
        expect.objectContaining({ type: 'order.shipped', system: 'erp', record: 'order', key: '1' }),
      ])
      expect(await room.all()).toEqual([
        {
          position: expect.any(Number),
          appendedAt: expect.any(Number),
          source: '/systems/erp',
          id: expect.any(String),
          type: 'order.shipped',
          system: 'erp',
          record: 'order',
          key: '1',
          time: '2026-07-01T10:00:00Z',
          data: {
            changes: [
              { field: 'status', old: '"CONFIRMED"', new: '"SHIPPED"' },
              { field: 'comments', old: '"a"', new: '"b"' },
            ],
            facts: { number: 'N1', status: 'SHIPPED', customer: null },
            before: { number: 'N1', status: 'CONFIRMED', customer: null },
            affects: [{ record: 'order', by: 'byNumber', key: 'N1' }],
          },
        },
      ])
    })

    it('calls a record new only where the feed says so', async () => {
      await using room = await open()
      await room.append(seen(order('1'), { isNew: true }), seen(order('2')))
      expect((await room.all()).map(({ type, key }) => [type, key])).toEqual([
        ['order.created', '1'],
        ['order.updated', '2'],
      ])
    })

    it('tells a change once, however many feeds report it', async () => {
      await using room = await open()
      const change = order('1', { status: 'SHIPPED' })
      await room.append(seen(order('1'), { baseline: true }))
      await room.append(seen(change), seen(change, { eventId: 'evt-1' }))
      await Promise.all([room.append(seen(change)), room.append(seen(change, { eventId: 'evt-2' }))])
      expect(await room.all()).toHaveLength(1)
    })

    it('sees no change in a touch, an order of fields, or an absent and an empty value', async () => {
      await using room = await open()
      await room.append(seen(order('1', { comments: null }), { baseline: true }))
      const { lines, ...rest } = order('1', { version: '2', updatedAt: '2026-07-02T10:00:00Z' })
      expect(await room.append(seen({ lines, ...rest }))).toEqual([])
    })

    it('tells what a first look finds changed in a record that is known already', async () => {
      await using room = await open()
      await room.append(seen(order('1'), { isNew: true }))
      const first = { baseline: true }
      await room.append(seen(order('1', { status: 'CANCELLED' }), first), seen(order('2'), first))
      expect((await room.all()).map(({ type, key }) => [type, key])).toEqual([
        ['order.created', '1'],
        ['order.cancelled', '1'],
      ])
    })

    it('ignores a state that is older than the last one', async () => {
      await using room = await open()
      await room.append(seen(order('1'), { baseline: true }))
      await room.append(seen(order('1', { status: 'SHIPPED', updatedAt: '2026-07-01T12:00:00Z' })))
      expect(await room.append(seen(order('1', { updatedAt: '2026-07-01T11:00:00Z' })))).toEqual([])
      expect(await room.all()).toHaveLength(1)
    })

    it('ignores it also where the last one was seen without a change', async () => {
      await using room = await open()
      await room.append(seen(order('1', { comments: 'x' }), { baseline: true }))
      // Touched at noon and as before; what was there at eleven comes late.
      await room.append(seen(order('1', { comments: 'x', updatedAt: '2026-07-01T12:00:00Z' })))
      const late = order('1', { comments: 'y', updatedAt: '2026-07-01T11:00:00Z' })
      expect(await room.append(seen(late))).toEqual([])
    })

    it('compares times, not their spelling', async () => {
      await using room = await open()
      await room.append(seen(order('1', { updatedAt: '2026-07-01T18:00:00+08:00' }), { baseline: true }))
      const later = order('1', { status: 'SHIPPED', updatedAt: '2026-07-01T10:30:00Z' })
      expect(await room.append(seen(later))).toHaveLength(1)
    })

    it('keeps systems and record types apart', async () => {
      await using room = await open()
      await room.append(
        seen(order('1'), { baseline: true }),
        seen(order('1'), { system: 'erp2', baseline: true }),
      )
      await room.append(seen(order('1', { status: 'SHIPPED' }), { system: 'erp2' }))
      expect((await room.all()).map(({ system }) => system)).toEqual(['erp2'])
    })

    it('gives two changes under one id of the system two ids', async () => {
      await using room = await open()
      await room.append(seen(order('1'), { eventId: 'evt' }))
      await room.append(seen(order('1', { status: 'SHIPPED' }), { eventId: 'evt' }))
      const ids = (await room.all()).map(({ id }) => id)
      expect(ids[0]).toBe('evt')
      expect(new Set(ids).size).toBe(2)
    })

    it('forgets what was recorded in a transaction that failed', async () => {
      await using room = await open()
      const failing = room.store.transact(async (tx) => {
        await room.log.record(tx, [seen(order('1'))])
        throw new Error('no')
      })
      await expect(failing).rejects.toThrow('no')
      expect(await room.append(seen(order('1')))).toHaveLength(1)
      expect(await room.all()).toHaveLength(1)
    })
  })

  describe.skipIf(!available)(`following the log in ${name}`, () => {
    it('begins now, or after a position', async () => {
      await using room = await open()
      await room.append(seen(order('1')), seen(order('2')))
      const [first] = await room.all()
      const now = follow(room.log)
      const after = follow(room.log, first?.position)
      await after.take(1)
      await room.append(seen(order('3')))
      expect((await after.take(2)).map(({ key }) => key)).toEqual(['2', '3'])
      expect((await now.take(1)).map(({ key }) => key)).toEqual(['3'])
      await Promise.all([now.stop(), after.stop()])
    })

    it('brings every event once and in order, to many at once, while many append', async () => {
      await using room = await open()
      const followers = Array.from({ length: 5 }, () => follow(room.log, 0))
      const total = 300
      await Promise.all(Array.from({ length: total }, (_, n) => room.append(seen(order(String(n))))))
      for (const follower of followers) {
        const positions = (await follower.take(total)).map(({ position }) => position)
        expect(positions).toEqual(positions.toSorted((a, b) => a - b))
        expect(new Set(positions).size).toBe(total)
        await follower.stop()
        expect(follower.events).toHaveLength(total)
      }
    })

    it('does not sleep through an event that comes while it looks', async () => {
      await using room = await open()
      const follower = follow(room.log, 0)
      // One at a time, each as soon as the one before was seen: a lost wake-up would leave the next unseen.
      const began = performance.now()
      for (let n = 1; n <= 50; n++) {
        await room.append(seen(order(String(n))))
        await follower.take(n)
      }
      // Looking twice a second would take 25 s.
      expect(performance.now() - began).toBeLessThan(5_000)
      await follower.stop()
    })

    it('ends at once when it is told to, also while it waits', async () => {
      await using room = await open()
      const follower = follow(room.log)
      await room.append(seen(order('1')))
      await follower.stop()
      const ended = follow(room.log, 0)
      await ended.take(1)
      const began = performance.now()
      await ended.stop()
      expect(performance.now() - began).toBeLessThan(300)
    })

    it('passes over what the filter does not want, in whatever number', async () => {
      await using room = await open()
      const others = Array.from({ length: 450 }, (_, n) => seen(order(String(n))))
      await room.append(...others, seen(order('wanted')))
      const follower = follow(room.log, 0, { record: 'order', matches: ({ key }) => key === 'wanted' })
      expect((await follower.take(1)).map(({ key }) => key)).toEqual(['wanted'])
      await follower.stop()
    })

    it('hears of what another process appended', async () => {
      await using room = await open()
      const store = await room.another()
      const other = await openEventLog(store)
      const follower = follow(room.log)
      await room.append(seen(order('own')))
      await follower.take(1)
      await room.appendTo(store, other, seen(order('foreign')))
      expect((await follower.take(2)).map(({ key }) => key)).toEqual(['own', 'foreign'])
      await follower.stop()
      other.close()
    })
  })

  describe.skipIf(!available)(`a cursor of the log in ${name}`, () => {
    const ada: Caller = { ...gatewayCaller, tenant: 'acme', subject: 'ada' }
    it('leads back to its position for who has the same rights', async () => {
      await using room = await open()
      const place = { position: 42, at: Date.now() }
      const cursor = room.log.cursorOf(place, ada)
      expect(room.log.placeOf(cursor, ada)).toEqual({ ok: true, place })
      expect(room.log.placeOf(cursor, { ...ada, subject: 'bob' })).toEqual({ ok: true, place })
    })

    it('is refused for another tenant, and when anything in it was changed', async () => {
      await using room = await open()
      const cursor = room.log.cursorOf({ position: 42, at: 1 }, ada)
      const text = Buffer.from(cursor, 'base64url').toString()
      const forgeries = [
        text.replace('.42.', '.41.'),
        text.slice(0, -1),
        `${text}x`,
        '',
        'a.b',
        '1.a.NaN.c.d',
      ]
      const refused = [
        room.log.placeOf(cursor, { ...ada, tenant: 'other' }),
        room.log.placeOf(cursor, { ...ada, credentialScope: 'own' }),
        ...forgeries.map((forged) => room.log.placeOf(Buffer.from(forged).toString('base64url'), ada)),
      ]
      for (const verdict of refused) expect(verdict).toEqual({ ok: false, reason: 'invalid' })
    })

    it('of another store is told apart from one that was forged', async () => {
      await using room = await open()
      await using elsewhere = await open()
      const cursor = room.log.cursorOf({ position: 42, at: 7 }, ada)
      expect(elsewhere.log.placeOf(cursor, ada)).toEqual({ ok: false, reason: 'other-log', at: 7 })
    })

    it('is good over a restart', async () => {
      await using room = await open()
      const place = { position: 7, at: 1 }
      const cursor = room.log.cursorOf(place, ada)
      const again = await openEventLog(await room.another())
      expect(again.placeOf(cursor, ada)).toEqual({ ok: true, place })
      again.close()
    })
  })
}
