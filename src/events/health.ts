/** How a system does, in one word, as its breaker sees it. */
import type { Reading } from '../reading/reading.ts'
import type { System } from '../systems/registry.ts'

export type SystemHealth = 'REACHABLE' | 'UNREACHABLE' | 'MAINTENANCE'

export function healthOf(reading: Pick<Reading, 'state'>, system: System): SystemHealth {
  const { breaker, maintenance } = reading.state(system)
  if (maintenance) return 'MAINTENANCE'
  return breaker === 'closed' ? 'REACHABLE' : 'UNREACHABLE'
}
