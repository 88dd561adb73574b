import { describe, expect, it } from 'vitest'
import type { Caller } from '../../src/caller/caller.ts'
import type { Store } from '../../src/store/store.ts'
import { createJournal, type WriteRequest } from '../../src/writeback/journal.ts'
import type { WritebackState } from '../../src/writeback/writeback.ts'
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
      expect(await room.journal.get(accepted.writeback.id)).toMatchObject({
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
}
