import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { inCallScope } from '../../src/systems/call-scope.ts'
import { outcomeOf } from '../../src/systems/failure.ts'
import { createHttpClient } from '../../src/systems/kit/http.ts'
import { joinStore } from '../../src/writeback/process.ts'
import { eventually } from '../e2e/kit.ts'
import { places } from '../store/stores.ts'

describe('the last question before a change goes out', () => {
  let arrived: string[] = []
  const server = createServer((request, response) => {
    arrived.push(`${request.method} ${request.url}`)
    request.resume().on('end', () => response.end('done'))
  })
  let client: ReturnType<typeof createHttpClient>
  beforeEach(async () => {
    arrived = []
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    client = createHttpClient({ baseUrl: `http://127.0.0.1:${port}`, timeoutMs: 5_000 })
  })
  afterEach(async () => {
    client.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const post = (maySend: () => boolean) =>
    inCallScope({ maySend }, () =>
      outcomeOf(() => client.request({ method: 'POST', path: '/orders', body: '{}', writes: true })),
    )

  it('is asked when the connection stands, and nothing arrives where the answer is no', async () => {
    let connected = 0
    server.on('connection', () => connected++)
    let asked = 0
    const outcome = await post(() => {
      asked++
      return false
    })
    expect(outcome).toMatchObject({ ok: false, failure: { kind: 'unavailable', reason: 'aborted' } })
    expect(asked).toBe(1)
    // The same on a connection that is kept open from an earlier request.
    expect(await post(() => true)).toMatchObject({ ok: true, value: { status: 200 } })
    expect(await post(() => false)).toMatchObject({ ok: false })
    expect(arrived).toEqual(['POST /orders'])
    expect(connected).toBeGreaterThan(0)
  })

  it('is not asked of those who only read', async () => {
    const outcome = await inCallScope({ maySend: () => false }, () =>
      outcomeOf(() => client.request({ method: 'GET', path: '/orders', writes: false })),
    )
    expect(outcome).toMatchObject({ ok: true })
  })

  it('does not change how a system is told apart that nobody can reach', async () => {
    const closed = createHttpClient({ baseUrl: 'http://127.0.0.1:1', timeoutMs: 5_000 })
    const outcome = await inCallScope({ maySend: () => true }, () =>
      outcomeOf(() => closed.request({ method: 'POST', path: '/', body: '', writes: true })),
    )
    expect(outcome).toMatchObject({ ok: false, failure: { kind: 'unavailable', reason: 'unreachable' } })
    closed.close()
  })
})

for (const { name, make, available } of places) {
  describe.skipIf(!available)(`a process that joined the store in ${name}`, () => {
    it('comes back under another name after it stood still for longer than its lease', async () => {
      await using place = make()
      const store = await place.open()
      const fast = { beatMs: 20, leaseMs: 400 }
      const [frozen, other] = [await joinStore(store, fast), await joinStore(store, fast)]
      const before = frozen.owner
      expect(frozen.isCurrent(before)).toBe(true)
      expect(await other.isAlive(before)).toBe(true)
      // Stands still: no timer fires, no lease is renewed.
      const until = Date.now() + 500
      while (Date.now() < until) {}
      // At the first moment after it, before any beat.
      expect(frozen.isCurrent(before)).toBe(false)
      await eventually(() => frozen.isCurrent(frozen.owner))
      expect(frozen.owner).not.toBe(before)
      expect(frozen.isCurrent(before)).toBe(false)
      expect(await frozen.isAlive(before)).toBe(false)
      await frozen.leave()
      expect(await other.isAlive(frozen.owner)).toBe(false)
      await other.leave()
      await store.close()
    })

    it('does not believe again what it has once given up, where the store was slower than its lease', async () => {
      await using place = make()
      const store = await place.open()
      let pass = Promise.resolve()
      const slow: Store = {
        ...store,
        transact: async (work) => {
          await pass
          return store.transact(work)
        },
      }
      const process = await joinStore(slow, { beatMs: 100, leaseMs: 400 })
      const before = process.owner
      let open = () => {}
      pass = new Promise((resolve) => {
        open = resolve
      })
      await eventually(() => !process.isCurrent(before))
      // The beat that waits would have kept the lease, had it come through in time.
      open()
      await eventually(() => {
        expect(process.isCurrent(before)).toBe(false)
        return process.owner !== before && process.isCurrent(process.owner)
      })
      await process.leave()
      await store.close()
    })
  })
}
