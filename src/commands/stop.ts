import module from 'node:module'
import type { Log } from '../observe/log.ts'

/** Longer than any exchange with a system should take; then the process ends as it is. The journal knows the rest. */
const PATIENCE_MS = 15_000

/** For a process that runs now. Answers never; at SIGINT or SIGTERM it closes things one after the other and ends the process. */
export function untilStopped(logger: Log, closings: readonly (() => Promise<void>)[]): Promise<never> {
  let stopping = false
  const stop = async () => {
    if (stopping) process.exit(1)
    stopping = true
    setTimeout(() => process.exit(1), PATIENCE_MS).unref()
    for (const close of closings) {
      await close().catch((error: unknown) => logger.error({ err: error }, 'closing failed'))
    }
    process.exit(0)
  }
  // All that it needs is loaded. A process that is killed would write down nothing that it has compiled, and the next
  // one would start with a quarter more work.
  module.flushCompileCache()
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return new Promise(() => {})
}
