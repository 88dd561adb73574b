import { hostname } from 'node:os'
import { describe, expect, it } from 'vitest'
import type { Caller } from '../../src/caller/caller.ts'
import { type Store, takeLease } from '../../src/store/store.ts'
import { createJournal, step, type WriteRequest } from '../../src/writeback/journal.ts'
import { joinStore } from '../../src/writeback/process.ts'
import type { Writeback, WritebackState } from '../../src/writeback/writeback.ts'
import { places } from '../store/stores.ts'

const caller: Caller = {
  tenant: 'acme',
  subject: 'ada',
  roles: ['writer'],
  credentialScope: 'service',
  dataScope: { kind: 'everything' },
}
const request = (idempotencyKey: string, changes: Partial<WriteRequest> = {}): WriteRequest => ({
  caller,
  mutation: 'createOrder',
  idempotencyKey,
  clientInput: { quantity: '1' },
  system: 'erp',
  record: 'order',
  action: 'create',
  input: { customer: 'C1' },
  ...changes,
})
const ACCEPTED: WritebackState = { name: 'accepted' }
const take = (store: Store, { id }: Writeback, state: WritebackState, options = {}) =>
  store.transact((tx) => step(tx, id, state, options))
const alive = async () => true
const dead = async () => false

for (const { name, make, available } of places) {
  const open = async () => {
    const place = make()
    const store = await place.open()
    const others: Store[] = []
    const journal = createJournal(store)
    const accept = async (key: string, changes?: Partial<WriteRequest>) =>
      (await journal.accept(request(key, changes), ACCEPTED)).writeback
    return {
      store,
      journal,
      accept,
      /** Another process of the same store, as far as the store can tell. */
      async another() {
        const other = await place.open()
        others.push(other)
        return other
      },
      async [Symbol.asyncDispose]() {
        await Promise.all([store, ...others].map((one) => one.close()))
        await place[Symbol.asyncDispose]()
      },
    }
  }

  describe.skipIf(!available)(`the journal in ${name}`, () => {
    it('keeps a promise with everything that is needed to keep it', async () => {
      await using room = await open()
      const accepted = await room.journal.accept(request('k'), ACCEPTED)
      expect(accepted).toMatchObject({ ok: true, isNew: true })
      expect(await room.journal.get(accepted.writeback.id)).toEqual({
        id: expect.stringMatching(/^wb_[0-9a-f]{32}$/),
        idempotencyKey: 'k',
        caller,
        system: 'erp',
        record: 'order',
        action: 'create',
        input: { customer: 'C1' },
        externalReference: expect.stringMatching(/^[0-9a-f]{32}$/),
        attempts: 0,
        acceptedAt: expect.any(String),
        updatedAt: accepted.writeback.acceptedAt,
        state: ACCEPTED,
      })
    })

    it('finds the same promise under the same key and input, in whatever order the fields come', async () => {
      await using room = await open()
      const first = await room.journal.accept(
        request('k', { clientInput: { a: 1, b: [{ c: 2, d: 3 }] } }),
        ACCEPTED,
      )
      const again = await room.journal.accept(
        request('k', { clientInput: { b: [{ d: 3, c: 2 }], a: 1 } }),
        ACCEPTED,
      )
      expect(again).toEqual({ ...first, isNew: false })
    })

    it('refuses another input under the same key', async () => {
      await using room = await open()
      const first = await room.accept('k')
      for (const clientInput of [{ quantity: '1.0' }, { quantity: 1 }, { quantity: ['1'] }, {}]) {
        expect(await room.journal.accept(request('k', { clientInput }), ACCEPTED)).toMatchObject({
          ok: false,
          reason: 'key-reused',
          writeback: { id: first.id },
        })
      }
    })

    it('makes one promise of many at the same instant', async () => {
      await using room = await open()
      const accepted = await Promise.all(
        Array.from({ length: 20 }, () => room.journal.accept(request('k'), ACCEPTED)),
      )
      expect(new Set(accepted.map((one) => one.writeback.id)).size).toBe(1)
      expect(accepted.filter((one) => one.ok && one.isNew)).toHaveLength(1)
      const later = await createJournal(await room.another()).accept(request('k'), ACCEPTED)
      expect(later).toMatchObject({ ok: true, isNew: false })
    })

    it('keeps keys of tenants, callers and mutations apart, and their references too', async () => {
      await using room = await open()
      const all = await Promise.all([
        room.accept('k'),
        room.accept('k', { mutation: 'cancelOrder' }),
        room.accept('k', { caller: { ...caller, subject: 'bob' } }),
        room.accept('k', { caller: { ...caller, tenant: 'other' } }),
        room.accept('l'),
      ])
      expect(new Set(all.map(({ id }) => id)).size).toBe(5)
      expect(new Set(all.map(({ externalReference }) => externalReference)).size).toBe(5)
    })

    it('gives the same reference for the same key in another store: a lost journal makes no second order', async () => {
      await using one = await open()
      await using two = await open()
      expect((await one.accept('k')).externalReference).toBe((await two.accept('k')).externalReference)
    })

    it('writes down every step with its time and note', async () => {
      await using room = await open()
      const writeback = await room.accept('k')
      const problem = { code: 'OUTCOME_UNKNOWN', message: 'lost' }
      const steps: WritebackState[] = [
        { name: 'sending' },
        { name: 'unknown', problem, notFoundSince: null },
        { name: 'accepted', note: 'not there' },
        { name: 'sending' },
        { name: 'confirmed', key: '7', reached: 'effective' },
      ]
      for (const state of steps) await take(room.store, writeback, state)
      expect((await room.journal.history(writeback.id)).map(({ state, note }) => [state, note])).toEqual([
        ['accepted', null],
        ['sending', null],
        ['unknown', 'lost'],
        ['accepted', 'not there'],
        ['sending', null],
        ['confirmed', 'key 7'],
      ])
      expect(await room.journal.get(writeback.id)).toMatchObject({ state: steps.at(-1) })
    })

    it('lists newest first, by state and system, for one tenant, page after page', async () => {
      await using room = await open()
      for (let n = 0; n < 7; n++) await room.accept(`k${n}`, n % 2 ? { system: 'crm' } : {})
      await room.accept('hidden', { caller: { ...caller, tenant: 'other' } })
      const seen: string[] = []
      let after: { acceptedAt: string; id: string } | undefined
      for (;;) {
        const page = await room.journal.list({ first: 3, after, caller })
        seen.push(...page.map((one) => one.idempotencyKey))
        after = page.at(-1)
        if (page.length < 3) break
      }
      expect(seen.toSorted()).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6'])
      const inCrm = await room.journal.list({ first: 10, system: 'crm', caller })
      expect(inCrm.map((one) => one.idempotencyKey).toSorted()).toEqual(['k1', 'k3', 'k5'])
      expect(await room.journal.list({ first: 10, state: 'confirmed', caller })).toEqual([])
    })

    it('finds a key for its own caller only', async () => {
      await using room = await open()
      const { id } = await room.accept('k')
      expect(await room.journal.byKey(caller, 'k')).toMatchObject({ id })
      expect(await room.journal.byKey({ ...caller, subject: 'bob' }, 'k')).toBeNull()
      expect(await room.journal.byKey({ ...caller, tenant: 'other' }, 'k')).toBeNull()
    })
  })

  describe.skipIf(!available)(`claiming from the journal in ${name}`, () => {
    it('gives each writeback to one of many who ask at once', async () => {
      await using room = await open()
      for (let n = 0; n < 6; n++) await room.accept(`k${n}`)
      const claimed = await Promise.all(
        Array.from({ length: 12 }, (_, n) => room.journal.claim(`owner ${n}`, ['erp'], alive)),
      )
      const taken = claimed.flatMap((one) => one?.id ?? [])
      expect(new Set(taken).size).toBe(taken.length)
      // Whoever lost a race asks again; in the end all are taken, once.
      for (let rest = 6 - taken.length; rest > 0; rest--)
        taken.push((await room.journal.claim('late', ['erp'], alive))?.id ?? 'none')
      expect(new Set(taken).size).toBe(6)
      expect(await room.journal.claim('nobody', ['erp'], alive)).toBeNull()
    })

    it('leaves alone what is not due, ended, of another system, or held by the living', async () => {
      await using room = await open()
      const [later, done, held] = await Promise.all(['later', 'done', 'held'].map((key) => room.accept(key)))
      await room.accept('elsewhere', { system: 'crm' })
      if (!later || !done || !held) throw new Error('three')
      await take(room.store, later, ACCEPTED, { dueAt: Date.now() + 60_000 })
      await take(room.store, done, { name: 'confirmed', key: '1', reached: 'saved' })
      await take(room.store, held, { name: 'sending' }, { keepFor: 'somebody' })
      expect(await room.journal.claim('me', ['erp'], alive)).toBeNull()
      expect(await room.journal.claim('me', ['erp'], dead)).toMatchObject({ id: held.id })
      expect(await room.journal.claim('me', [], alive)).toBeNull()
    })

    it('takes what comes due first, and says when that is', async () => {
      await using room = await open()
      const [soon, later] = [await room.accept('soon'), await room.accept('later')]
      const now = Date.now()
      await take(room.store, later, ACCEPTED, { dueAt: now + 60_000 })
      await take(room.store, soon, ACCEPTED, { dueAt: now + 30_000 })
      expect(await room.journal.nextDue(['erp'])).toBe(now + 30_000)
      await room.journal.release(later.id, now - 1)
      expect(await room.journal.claim('me', ['erp'], alive)).toMatchObject({ id: later.id })
      // What is in somebody's hands wakes nobody.
      expect(await room.journal.nextDue(['erp'])).toBe(now + 30_000)
      expect(await room.journal.nextDue(['crm'])).toBeNull()
    })

    it('finds work behind any number of writebacks that others hold', async () => {
      await using room = await open()
      for (let n = 0; n < 60; n++) {
        await take(room.store, await room.accept(`held ${n}`), { name: 'sending' }, { keepFor: 'somebody' })
      }
      const free = await room.accept('free')
      expect(await room.journal.claim('me', ['erp'], alive)).toMatchObject({ id: free.id })
    })
  })

  describe.skipIf(!available)(`processes of one ${name} store`, () => {
    it('know each other alive until they leave', async () => {
      await using room = await open()
      const one = await joinStore(room.store)
      const two = await joinStore(await room.another())
      expect(one.owner).not.toBe(two.owner)
      expect([await one.isAlive(two.owner), await one.isAlive(one.owner), one.isCurrent()]).toEqual([
        true,
        true,
        true,
      ])
      await two.leave()
      expect(await one.isAlive(two.owner)).toBe(false)
      await one.leave()
    })

    it('do not wait for one of this machine that is gone', async () => {
      await using room = await open()
      const me = await joinStore(room.store)
      const gone = me.owner.replace(/\/\d+\//, '/4194304/')
      expect(await me.isAlive(gone)).toBe(false)
      await me.leave()
    })

    it('take over at once what a killed one of this machine held', async () => {
      await using room = await open()
      await takeLease(room.store, 'poll/erp', `${hostname()}/4194304/dead`, 60_000)
      await takeLease(room.store, 'poll/crm', 'another-machine/4194304/alive', 60_000)
      const me = await joinStore(room.store)
      expect(await takeLease(room.store, 'poll/erp', me.owner, 60_000)).toBe(true)
      expect(await takeLease(room.store, 'poll/crm', me.owner, 60_000)).toBe(false)
      await me.leave()
      expect(await takeLease(room.store, 'poll/erp', 'next', 60_000)).toBe(true)
    })
  })
}
