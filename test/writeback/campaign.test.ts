import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { World } from '../../src/simulation/world.ts'
import { startRestCrmSimulator } from '../../src/systems/rest-crm/simulator.ts'
import { startRestErpSimulator } from '../../src/systems/rest-erp/simulator.ts'
import { SMALL, temporaryFolder } from '../e2e/kit.ts'
import { runWriteCampaign } from '../faults/write.ts'
import { POSTGRES, SKIPPED } from '../store/stores.ts'

/** The campaign of `npm run faults write`, for a few seconds: it is there to run long elsewhere. */
const SHORT = { seed: 7, seconds: 4, clients: 6 }

describe('a short campaign of faults', () => {
  it('loses, doubles and misjudges nothing with one gateway on SQLite', { timeout: 200_000 }, async () => {
    const report = await runWriteCampaign({ ...SHORT, gateways: 1 })
    expect(report.misses).toEqual([])
    expect(report.kills + report.freezes).toBeGreaterThan(0)
    expect(report.writebacks).toBeGreaterThan(0)
    expect(Object.keys(report.runs)).not.toEqual([])
  })

  it.skipIf(POSTGRES === undefined)(
    `nor with two on PostgreSQL${POSTGRES === undefined ? ` (${SKIPPED})` : ''}`,
    { timeout: 200_000 },
    async () => {
      const report = await runWriteCampaign({ ...SHORT, gateways: 2, postgres: POSTGRES })
      expect(report.misses).toEqual([])
      expect(report.kills + report.freezes).toBeGreaterThan(0)
      expect(report.writebacks).toBeGreaterThan(0)
      expect(Object.keys(report.runs)).not.toEqual([])
    },
  )

  it('takes systems that it did not make, and asks them what they have', { timeout: 200_000 }, async () => {
    const folder = temporaryFolder()
    const world = new World(SMALL)
    const auth = { type: 'bearer', token: 'a-token-of-yours' } as const
    const crm = await startRestCrmSimulator(world, { auth })
    const erp = await startRestErpSimulator(world, { auth })
    try {
      const file = join(folder, 'systems.yaml')
      const common = { environment: 'test', writes: 'on', auth }
      writeFileSync(
        file,
        stringify({
          systems: {
            crm: { kind: 'rest-crm', baseUrl: crm.url, ...common },
            erp: { kind: 'rest-erp', baseUrl: erp.url, contract: 'extended', ...common },
          },
          campaign: { erp: { customer: 'C20001', product: 'A00003' } },
        }),
      )
      const before = { orders: world.count('erpOrders'), opportunities: world.count('crmOpportunities') }
      const report = await runWriteCampaign({ ...SHORT, gateways: 1, systems: file })
      expect(report).toMatchObject({ misses: [], uncounted: 0, refused: 0 })
      const { confirmed = 0 } = report.states
      expect(confirmed).toBeGreaterThan(0)
      const made =
        world.count('erpOrders') - before.orders + world.count('crmOpportunities') - before.opportunities
      expect(made).toBe(confirmed)
      expect(world.count('erpOrders')).toBeGreaterThan(before.orders)
    } finally {
      await crm.close()
      await erp.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
