/** Streams that systems keep of their changes, followed by a whole gateway. */
import { rmSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { type SalesforceSimulator, startSalesforceSimulator } from '../../src/systems/salesforce/simulator.ts'
import { openTestGateway, SMALL, type TestGateway, temporaryFolder } from '../e2e/kit.ts'

const CHANGED =
  'subscription { customerChanged(system: "sf") { event cursor changes { field } customer { name } } }'
const CHENGUANG = '0015gK000070007ABA'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startOrg() {
  const world = new World(SMALL)
  const org = await startSalesforceSimulator(world, {
    clientId: 'app',
    clientSecret: 'sf-secret-1',
    pollMs: 500,
  })
  cleanups.push(() => org.close())
  return { world, org }
}

async function openOver(org: SalesforceSimulator, dataDir: string): Promise<TestGateway> {
  const gateway = await openTestGateway({
    dataDir,
    override(raw) {
      raw.systems.sf = {
        kind: 'salesforce',
        environment: 'test',
        loginUrl: org.url,
        auth: { method: 'clientCredentials', clientId: 'app', clientSecret: 'sf-secret-1' },
        changeEvents: {},
        // Nothing is found by asking, unless somebody says that it must be.
        pollEvery: '24h',
        timeout: '2s',
      }
    },
  })
  let isOpen = true
  cleanups.push(() => (isOpen ? gateway[Symbol.asyncDispose]() : undefined))
  return {
    ...gateway,
    async [Symbol.asyncDispose]() {
      isOpen = false
      await gateway[Symbol.asyncDispose]()
    },
  }
}

function folder(): string {
  const path = temporaryFolder()
  cleanups.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function rename(world: World, name: string): void {
  const one = world.get('crmCustomers', '70007')
  if (!one) throw new Error('the seed has 70007')
  // A second later than any before: the vendor stamps whole seconds.
  const updatedAt = new Date(Math.max(Date.now(), Date.parse(one.updatedAt) + 1_000)).toISOString()
  world.put('crmCustomers', { ...one, name, updatedAt })
}

const followed = (org: SalesforceSimulator, replays: number) =>
  vi.waitFor(
    () => {
      expect(org.events.subscribers).toBeGreaterThan(0)
      expect(org.events.replays.length).toBeGreaterThanOrEqual(replays)
    },
    { timeout: 10_000 },
  )

test('a change is in the log as soon as the stream tells of it, once, with what was there before', {
  timeout: 30_000,
}, async () => {
  const { world, org } = await startOrg()
  const gateway = await openOver(org, folder())
  await followed(org, 1)
  await using changes = await gateway.listen(CHANGED)
  rename(world, '晨光 A')
  rename(world, '晨光 B')
  await vi.waitFor(() => expect(changes.results.length).toBeGreaterThan(0), { timeout: 5_000 })
  await vi.waitFor(
    async () => {
      const all = await changes.payloads(changes.results.length)
      expect(all.at(-1)).toMatchObject({
        event: 'customer.updated',
        changes: [{ field: 'name' }],
        customer: { name: '晨光 B' },
      })
    },
    { timeout: 5_000 },
  )
  expect(org.events.replays).toEqual([-1])
})

test('a gateway that was away goes on from the last event that it has', { timeout: 40_000 }, async () => {
  const { world, org } = await startOrg()
  const dataDir = folder()
  const first = await openOver(org, dataDir)
  await followed(org, 1)
  const changes = await first.listen(CHANGED)
  rename(world, '晨光 A')
  const [before] = await changes.payloads(1)
  await changes[Symbol.asyncDispose]()
  await first[Symbol.asyncDispose]()
  const position = 8_123_457 // the simulated org's first event

  rename(world, '晨光 B')
  const second = await openOver(org, dataDir)
  await using again = await second.listen(
    `subscription { customerChanged(system: "sf", after: "${before.cursor}") { customer { name } } }`,
  )
  const [after] = await again.payloads(1)
  expect(after).toEqual({ customer: { name: '晨光 B' } })
  await followed(org, 2)
  expect(org.events.replays).toEqual([-1, position])
})

test('an overflow lets everything be asked for at once', { timeout: 30_000 }, async () => {
  const { world, org } = await startOrg()
  const gateway = await openOver(org, folder())
  await followed(org, 1)
  await using changes = await gateway.listen(CHANGED)
  // So much at once that the org tells of none of it by name.
  org.org.muted = true
  rename(world, '晨光 C')
  org.org.muted = false
  org.events.publish({
    entityName: 'Account',
    recordIds: ['000000000000000AAA'],
    changeType: 'GAP_OVERFLOW',
    changedFields: [],
  })
  const [told] = await changes.payloads(1)
  expect(told).toMatchObject({ event: 'customer.updated', customer: { name: '晨光 C' } })
})

test('what was deleted is told, and a broken stream is taken up again', { timeout: 40_000 }, async () => {
  const { world, org } = await startOrg()
  const gateway = await openOver(org, folder())
  await followed(org, 1)
  await using changes = await gateway.listen(CHANGED)
  org.setFaults([{ kind: 'refuse', match: '/cometd/', times: 2 }])
  org.events.dropSessions()
  org.endSessions()
  await followed(org, 2)
  rename(world, '晨光 D')
  const [renamed] = await changes.payloads(1)
  expect(renamed).toMatchObject({ customer: { name: '晨光 D' } })
  org.org.remove('Account', CHENGUANG)
  const [, gone] = await changes.payloads(2)
  expect(gone).toMatchObject({ event: 'customer.deleted', customer: null })
})
