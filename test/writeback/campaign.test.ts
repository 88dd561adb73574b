import { describe, expect, it } from 'vitest'
import { runWriteCampaign } from '../faults/write.ts'
import { POSTGRES, SKIPPED } from '../store/stores.ts'

/** The campaign of `npm run faults write`, for a few seconds: it is there to run long elsewhere. */
const SHORT = { seed: 7, seconds: 6, clients: 6 }

describe('a short campaign of faults', () => {
  it('loses, doubles and misjudges nothing with one gateway on SQLite', { timeout: 150_000 }, async () => {
    const report = await runWriteCampaign({ ...SHORT, gateways: 1 })
    expect(report.misses).toEqual([])
    expect(report.kills + report.freezes).toBeGreaterThan(0)
    expect(report.writebacks).toBeGreaterThan(0)
  })

  it.skipIf(POSTGRES === undefined)(
    `nor with two on PostgreSQL${POSTGRES === undefined ? ` (${SKIPPED})` : ''}`,
    { timeout: 150_000 },
    async () => {
      const report = await runWriteCampaign({ ...SHORT, gateways: 2, postgres: POSTGRES })
      expect(report.misses).toEqual([])
      expect(report.kills + report.freezes).toBeGreaterThan(0)
      expect(report.writebacks).toBeGreaterThan(0)
    },
  )
})
