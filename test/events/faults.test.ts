import { describe, expect, it } from 'vitest'
import { runEventCampaign } from '../faults/events.ts'
import { POSTGRES, SKIPPED } from '../store/stores.ts'

const clean = { misses: [], gaps: 0 }

describe('a short fault campaign', () => {
  it('leaves every subscriber with what the log has, though the gateway is killed', {
    timeout: 90_000,
  }, async () => {
    const report = await runEventCampaign({ seed: 7, seconds: 5, clients: 10, gateways: 1 })
    expect(report).toMatchObject(clean)
    expect(report.kills).toBeGreaterThan(0)
    expect(report.cuts).toBeGreaterThan(0)
    expect(report.events).toBeGreaterThan(10)
    expect(report.forgeries.refused).toBe(report.forgeries.sent)
  })

  const title = 'does so with two gateways on PostgreSQL'
  it.skipIf(POSTGRES === undefined)(
    POSTGRES === undefined ? `${title} (${SKIPPED})` : title,
    { timeout: 120_000 },
    async () => {
      const report = await runEventCampaign({
        seed: 11,
        seconds: 5,
        clients: 10,
        gateways: 2,
        postgres: POSTGRES,
      })
      expect(report).toMatchObject(clean)
      expect(report.kills).toBeGreaterThan(0)
    },
  )
})
