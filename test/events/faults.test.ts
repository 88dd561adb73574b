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
    expect(Object.keys(report.forgeries).length).toBeGreaterThan(2)
    for (const { sent, refused } of Object.values(report.forgeries)) expect(refused).toBe(sent)
  })

  const restarted =
    'leaves the broker with all that the log has, and the log with all that it told, through restarts'
  it.skipIf(process.env.TRIBUTARY_TEST_NATS === undefined)(restarted, { timeout: 120_000 }, async () => {
    const report = await runEventCampaign({ seed: 5, seconds: 6, clients: 4, gateways: 1, broker: 'nats' })
    expect(report).toMatchObject(clean)
    expect(report.broker?.restarts).toBeGreaterThan(0)
    expect(report.broker?.messages).toBeGreaterThan(10)
    expect(report.broker?.told).toBeGreaterThanOrEqual(report.events)
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
