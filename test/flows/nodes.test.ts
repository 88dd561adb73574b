import { describe, expect, it } from 'vitest'
import { openApp } from '../../src/app.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import { silentLog } from '../../src/observe/log.ts'
import { clientOf, eventually, idOf, openTestGateway } from '../e2e/kit.ts'
import { POSTGRES, postgresPlace, SKIPPED } from '../store/stores.ts'

const START = `mutation S($id: ID!) {
  startFlow(input: { flow: "lead-to-cash", id: $id }, waitFor: 20000) { id state steps { name state key } } }`

describe.skipIf(POSTGRES === undefined)(
  `flows of two gateways over one PostgreSQL${POSTGRES === undefined ? ` (${SKIPPED})` : ''}`,
  () => {
    it('make one run of an event that both see and mutations that reach both', async () => {
      await using place = postgresPlace()
      await using first = await openTestGateway({
        webhooks: false,
        override: (file) =>
          Object.assign(file, {
            store: place.config.store,
            flows: {
              tenant: 'demo',
              leadToCash: { crm: 'crm', erp: 'erp', finance: 'fin', product: 'A00003' },
            },
          }),
      })
      const app = await openApp(first.demo.config, silentLog)
      const door = await openGateway(app, silentLog)
      app.start()
      await app.ready()
      const second = clientOf(door.url)
      try {
        const { world } = first.demo
        const before = { orders: world.count('erpOrders'), invoices: world.count('financeInvoices') }
        await first.poll('crm')
        const opportunity = world.get('crmOpportunities', 'OP-00001')
        if (!opportunity) throw new Error('the seed has no OP-00001')
        world.put('crmOpportunities', { ...opportunity, stage: 'WON', updatedAt: new Date().toISOString() })
        const id = idOf('opportunity', 'crm', 'OP-00001')
        const [, ...answers] = await Promise.all([
          first.poll('crm'),
          ...Array.from({ length: 6 }, (_, index) => (index % 2 ? first : second).data(START, { id })),
        ])
        const runs = answers.map(({ startFlow }) => startFlow)
        expect(new Set(runs.map((run) => run.id)).size).toBe(1)
        await eventually(async () => {
          const { startFlow } = await second.data(START, { id })
          return startFlow.state === 'COMPLETED'
        })
        expect(world.count('erpOrders')).toBe(before.orders + 1)
        expect(world.count('financeInvoices')).toBe(before.invoices + 1)
        const { flowRuns } = await second.data('{ flowRuns { nodes { id } } }')
        expect(flowRuns.nodes).toHaveLength(1)
      } finally {
        await door.close()
        await app.close()
      }
    })
  },
)
