/** What an outcome holds, where a test knows which of the two it is. */
import { failureText, type Outcome, type SourceFailure } from '../../src/systems/failure.ts'

export function value<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(outcome ? failureText(outcome.failure) : 'no outcome')
  return outcome.value
}

export function failure(outcome: Outcome<unknown> | undefined): SourceFailure {
  if (!outcome || outcome.ok) throw new Error(`no failure: ${JSON.stringify(outcome)}`)
  return outcome.failure
}

/** The n-th of a list, which is there. */
export function at<T>(list: readonly T[], index: number): T {
  const one = list[index]
  if (one === undefined) throw new Error(`nothing at ${index}`)
  return one
}
