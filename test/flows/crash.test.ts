/** Lead to cash in a process that is killed with kill -9 after each thing that it has done. */
import { afterAll, describe, expect, it, vi } from 'vitest'
import type { CollectionName } from '../../src/simulation/state.ts'
import { eventually, idOf } from '../e2e/kit.ts'
import { simulateSystems } from '../e2e/processes.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 })

const START = `mutation S($id: ID!) { startFlow(input: { flow: "lead-to-cash", id: $id }, waitFor: 0) { id } }`
const RUN = `query R($key: String!) { flowRun(flow: "lead-to-cash", key: $key) {
  id state problem { message } steps { name state key writeback { attempts } } } }`

const systems = await simulateSystems({
  configure: (file) =>
    Object.assign(file, {
      flows: { leadToCash: { crm: 'crm', erp: 'erp', finance: 'fin', product: 'A00003' } },
    }),
})
afterAll(() => systems[Symbol.asyncDispose]())

describe('a run whose process is killed', () => {
  it.each<[when: string, opportunity: string, collection: CollectionName]>([
    ['when the ERP has just made the order', 'OP-00003', 'erpOrders'],
    ['when finance has just booked the receivable', 'OP-00001', 'financeInvoices'],
    ['when the CRM has just been told', 'OP-00002', 'crmOpportunities'],
  ])('%s goes on where it stopped, and does nothing twice', async (_when, key, collection) => {
    const { world } = systems
    const opportunity = world.get('crmOpportunities', key)
    if (!opportunity) throw new Error(`the seed has no ${key}`)
    world.put('crmOpportunities', { ...opportunity, stage: 'WON' })
    const before = { orders: world.count('erpOrders'), invoices: world.count('financeInvoices') }

    const first = await systems.run('start')
    let killed: Promise<void> | undefined
    const stop = world.onChange((change) => {
      if (change.collection === collection) killed ??= first.kill()
    })
    await first.data(START, { id: idOf('opportunity', 'crm', key) }).catch(() => {})
    await eventually(() => killed !== undefined, 20_000)
    stop()
    await killed

    const second = await systems.run('start')
    const run = await eventually(async () => {
      const { flowRun } = await second.data(RUN, { key })
      return ['COMPLETED', 'COMPENSATED', 'NEEDS_ATTENTION'].includes(flowRun?.state) && flowRun
    }, 40_000)
    await second.stop()
    expect(run).toMatchObject({ state: 'COMPLETED', problem: null })
    expect(world.count('erpOrders')).toBe(before.orders + 1)
    expect(world.count('financeInvoices')).toBe(before.invoices + 1)
    const number = String(world.get('erpOrders', run.steps[0].key)?.docNum)
    expect(world.get('financeInvoices', run.steps[1].key)?.orderNos).toEqual([number])
    expect(world.get('crmOpportunities', key)?.orderNumber).toBe(number)
  })
})
