/** How configuration files write times. */
import { z } from 'zod'

/** `250ms`, `30s`, `5m`, `1h`; milliseconds inside. */
export const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h)$/, 'is a duration such as 250ms, 30s, 5m or 1h')
  .transform((text) => {
    const unit = text.replace(/^\d+/, '') as 'ms' | 's' | 'm' | 'h'
    return Number.parseInt(text, 10) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit]
  })
