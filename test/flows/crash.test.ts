/** Lead to cash in processes that are killed with kill -9, or stand still, after each thing that they have done. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { CollectionName } from '../../src/simulation/state.ts'
import type { World } from '../../src/simulation/world.ts'
import { type Client, eventually, idOf } from '../e2e/kit.ts'
import { type Running, type Systems, simulateSystems } from '../e2e/processes.ts'
import { type Place, places } from '../store/stores.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 })

const START = `mutation S($id: ID!) { startFlow(input: { flow: "lead-to-cash", id: $id }, waitFor: 0) { id } }`
const RUN = `query R($key: String!) { flowRun(flow: "lead-to-cash", key: $key) {
  id state problem { message } steps { name state key writeback { attempts } } } }`
const LEASE_MS = 1_000

describe.each(places)('a run on $name whose process', ({ make, available }) => {
  let place: Place
  let systems: Systems
  // The one that goes on with a run is the next one that is killed.
  let gateway: Running
  beforeAll(async () => {
    if (!available) return
    place = make()
    systems = await simulateSystems({
      configure: (file) =>
        Object.assign(file, {
          store: { ...place.config.store, lease: `${LEASE_MS}ms` },
          flows: { leadToCash: { crm: 'crm', erp: 'erp', finance: 'fin', product: 'A00003' } },
        }),
    })
    gateway = await systems.run('start')
  })
  afterAll(async () => {
    await systems?.[Symbol.asyncDispose]()
    await place?.[Symbol.asyncDispose]()
  })

  it.skipIf(!available).each<[when: string, opportunity: string, collection: CollectionName]>([
    ['is killed when the ERP has just made the order', 'OP-00003', 'erpOrders'],
    ['is killed when finance has just booked the receivable', 'OP-00001', 'financeInvoices'],
    ['is killed when the CRM has just been told', 'OP-00002', 'crmOpportunities'],
  ])('%s goes on where it stopped, and does nothing twice', async (_when, key, collection) => {
    const { world } = systems
    const before = win(world, key)
    const first = gateway
    let killed: Promise<void> | undefined
    const stop = world.onChange((change) => {
      if (change.collection === collection) killed ??= first.kill()
    })
    await first.data(START, { id: idOf('opportunity', 'crm', key) }).catch(() => {})
    await eventually(() => killed !== undefined, 20_000)
    stop()
    await killed

    gateway = await systems.run('start')
    expectDoneOnce(world, key, await ended(gateway, key), before)
  })

  it.skipIf(!available)(
    'stands still for longer than its lease does nothing twice when it goes on',
    async () => {
      const { world } = systems
      const key = 'OP-00004'
      const before = win(world, key)
      const first = gateway
      let frozen = false
      const stop = world.onChange((change) => {
        if (frozen || change.collection !== 'erpOrders') return
        frozen = true
        process.kill(first.pid, 'SIGSTOP')
      })
      // Nobody answers while it stands still.
      const asked = first.data(START, { id: idOf('opportunity', 'crm', key) }).catch(() => {})
      await eventually(() => frozen, 20_000)
      stop()
      if (place.kind === 'postgres') {
        // Another one carries the run to its end meanwhile, and the first finds that out.
        const second = await systems.run('start')
        expectDoneOnce(world, key, await ended(second, key), before)
        process.kill(first.pid, 'SIGCONT')
        await asked
        // It reads and writes again: what it held is not its own any more.
        expectDoneOnce(world, key, await ended(first, key), before)
        await second.stop()
      } else {
        const since = Date.now()
        await eventually(() => Date.now() - since > 3 * LEASE_MS)
        process.kill(first.pid, 'SIGCONT')
        await asked
        expectDoneOnce(world, key, await ended(first, key), before)
      }
      await first.stop()
    },
  )
})

interface Run {
  readonly state: string
  readonly problem: unknown
  readonly steps: readonly { readonly key: string }[]
}
interface Before {
  readonly orders: number
  readonly invoices: number
}

function win(world: World, key: string): Before {
  const opportunity = world.get('crmOpportunities', key)
  if (!opportunity) throw new Error(`the seed has no ${key}`)
  world.put('crmOpportunities', { ...opportunity, stage: 'WON' })
  return { orders: world.count('erpOrders'), invoices: world.count('financeInvoices') }
}

const ended = (client: Client, key: string): Promise<Run> =>
  eventually(async () => {
    const { flowRun } = await client.data(RUN, { key })
    return ['COMPLETED', 'COMPENSATED', 'NEEDS_ATTENTION'].includes(flowRun?.state) && flowRun
  }, 40_000)

function expectDoneOnce(world: World, key: string, run: Run, before: Before): void {
  expect(run).toMatchObject({ state: 'COMPLETED', problem: null })
  expect(world.count('erpOrders')).toBe(before.orders + 1)
  expect(world.count('financeInvoices')).toBe(before.invoices + 1)
  const [order, receivable] = run.steps
  const number = String(world.get('erpOrders', order?.key ?? '')?.docNum)
  expect(world.get('financeInvoices', receivable?.key ?? '')?.orderNos).toEqual([number])
  expect(world.get('crmOpportunities', key)?.orderNumber).toBe(number)
}
