/** Notices the query that asks a system once for every item of a list. For development and tests. */
import type { Log } from '../observe/log.ts'

/** @param call The same object for the same call: one that many keys share counts once. */
export type CallWatch = (system: string, question: string, call: object) => void

/** For one request. Warns once per system. */
export function createCallWatch(logger: Log, expectedCalls: number): CallWatch {
  const calls = new Map<string, Map<object, string>>()
  return (system, question, call) => {
    const seen = calls.get(system) ?? new Map<object, string>()
    calls.set(system, seen)
    if (seen.has(call)) return
    seen.set(call, question)
    if (seen.size !== expectedCalls + 1) return
    const questions: Record<string, number> = {}
    for (const one of seen.values()) questions[one] = (questions[one] ?? 0) + 1
    logger.warn(
      { system, calls: seen.size, questions },
      `one request has made more than ${expectedCalls} calls to this system; is something asked for item by item?`,
    )
  }
}
