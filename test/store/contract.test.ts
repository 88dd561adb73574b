import { describe, expect, it } from 'vitest'
import { createHoldings } from '../../src/store/holdings.ts'
import { type Store, sharedValue, takeLease } from '../../src/store/store.ts'
import { places } from './stores.ts'

const set = (store: Store, name: string, value: string) =>
  store.transact((tx) =>
    tx
      .insertInto('meta')
      .values({ name, value })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
      .execute(),
  )
const get = async (store: Store, name: string) =>
  (await store.read.selectFrom('meta').select('value').where('name', '=', name).executeTakeFirst())?.value

for (const { name, make, available } of places) {
  describe.skipIf(!available)(`a store in ${name}`, () => {
    it('shows what was committed, to readers and after it was opened again', async () => {
      await using place = make()
      const first = await place.open()
      await set(first, 'word', '上海 — ünïcode 🚚')
      expect(await get(first, 'word')).toBe('上海 — ünïcode 🚚')
      await first.close()
      const second = await place.open()
      expect(await get(second, 'word')).toBe('上海 — ünïcode 🚚')
      await second.close()
    })

    it('undoes what failed, and nothing of those who shared its commit', async () => {
      await using place = make()
      const store = await place.open()
      const results = await Promise.allSettled([
        set(store, 'before', '1'),
        store.transact(async (tx) => {
          await tx.insertInto('meta').values({ name: 'failed', value: '1' }).execute()
          throw new Error('no')
        }),
        // An error of the database itself must not spoil the transaction for the others either.
        store.transact((tx) => tx.insertInto('meta').values({ name: 'before', value: 'twice' }).execute()),
        set(store, 'after', '1'),
      ])
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
      expect(await get(store, 'before')).toBe('1')
      expect(await get(store, 'failed')).toBeUndefined()
      expect(await get(store, 'after')).toBe('1')
      await store.close()
    })

    it('runs what is transacted at once one after the other, also in two processes', async () => {
      await using place = make()
      const stores =
        place.kind === 'postgres' ? [await place.open(), await place.open()] : [await place.open()]
      await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          (stores[index % stores.length] as Store).transact(async (tx) => {
            const row = await tx
              .selectFrom('meta')
              .select('value')
              .where('name', '=', 'count')
              .executeTakeFirst()
            const value = String(Number(row?.value ?? 0) + 1)
            await tx
              .insertInto('meta')
              .values({ name: 'count', value })
              .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
              .execute()
          }),
        ),
      )
      expect(await get(stores[0] as Store, 'count')).toBe('100')
      for (const store of stores) await store.close()
    })

    it('gives positions in the order in which they become visible, as numbers', async () => {
      await using place = make()
      const store = await place.open()
      const note = (writeback: string) =>
        store.transact((tx) =>
          tx
            .insertInto('writeback_history')
            .values({ writeback, state: 'accepted', at: '', note: null })
            .returning('position')
            .executeTakeFirstOrThrow(),
        )
      const rows = await Promise.all(['a', 'b', 'c'].map(note))
      const positions = rows.map((row) => row.position)
      expect(positions.every((one) => typeof one === 'number')).toBe(true)
      expect(positions).toEqual([...positions].sort((x, y) => x - y))
      await store.close()
    })

    it('makes a shared value once, whoever asks first', async () => {
      await using place = make()
      const store = await place.open()
      const values = await Promise.all(
        [1, 2, 3].map((n) => sharedValue(store, 'secret', () => `made by ${n}`)),
      )
      expect(new Set(values).size).toBe(1)
      await store.close()
    })

    it('lets one at a time have a lease, and the next one after its end', async () => {
      await using place = make()
      const store = await place.open()
      expect(await takeLease(store, 'poll', 'a', 60_000)).toBe(true)
      expect(await takeLease(store, 'poll', 'b', 60_000)).toBe(false)
      expect(await takeLease(store, 'poll', 'a', -1)).toBe(true)
      expect(await takeLease(store, 'poll', 'b', 60_000)).toBe(true)
      await store.close()
    })

    it('gives what a process that is gone has left to one of the others, once', async () => {
      await using place = make()
      const store = await place.open()
      const dead = new Set<string>()
      const of = (owner: string, system = 'erp') =>
        createHoldings(store, { owner, isAlive: async (other) => !dead.has(other) }, system)
      await of('a').hold('1', 'sealed 1')
      await of('a').hold('2', 'sealed 2')
      await of('a').release('2')
      await of('a', 'crm').hold('3', 'sealed 3')
      expect(await of('b').takeOver()).toEqual([])
      dead.add('a')
      const taken = await Promise.all([of('b').takeOver(), of('c').takeOver()])
      expect(taken.flat()).toEqual([{ id: '1', sealed: 'sealed 1' }])
      expect(await of('b', 'crm').takeOver()).toEqual([{ id: '3', sealed: 'sealed 3' }])
      dead.add('b')
      dead.add('c')
      expect(await of('d').takeOver()).toEqual([{ id: '1', sealed: 'sealed 1' }])
      await store.close()
    })

    it('refuses to begin anything after it was closed', async () => {
      await using place = make()
      const store = await place.open()
      await store.close()
      await expect(set(store, 'late', '1')).rejects.toThrow('closed')
    })
  })
}

describe.skipIf(!places[1]?.available)('a store in PostgreSQL that several processes share', () => {
  it('tells the others at once, and not the one that wrote', async () => {
    await using place = places[1]?.make() as ReturnType<(typeof places)[number]['make']>
    const [here, there] = [await place.open(), await place.open()]
    let own = 0
    here.onChangeElsewhere(() => own++)
    const heard = new Promise<void>((resolve) => there.onChangeElsewhere(resolve))
    await set(here, 'news', '1')
    await heard
    expect(await get(there, 'news')).toBe('1')
    expect(own).toBe(0)
    await here.close()
    await there.close()
  })

  it('ends the transaction of one that stands still, so that the others go on', {
    timeout: 15_000,
  }, async () => {
    await using place = places[1]?.make() as ReturnType<(typeof places)[number]['make']>
    const [frozen, living] = [await place.open(), await place.open()]
    const inside = Promise.withResolvers<void>()
    const woken = Promise.withResolvers<void>()
    const stuck = frozen.transact(async (tx) => {
      await tx.insertInto('meta').values({ name: 'half', value: '1' }).execute()
      inside.resolve()
      await woken.promise
    })
    stuck.catch(() => {})
    // Otherwise the other may come first, and wait for nobody.
    await inside.promise
    await set(living, 'whole', '1')
    woken.resolve()
    await expect(stuck).rejects.toThrow()
    expect(await get(living, 'half')).toBeUndefined()
    // It comes back with a new connection.
    await set(frozen, 'again', '1')
    await frozen.close()
    await living.close()
  })
})
