/** What clients read when something cannot be answered. The codes are stable and few; a new one is a decision. */
import { GraphQLError } from 'graphql'
import { publicMessage, type SourceFailure } from '../../src/systems/failure.ts'

export const CODES = [
  'BAD_USER_INPUT',
  'FORBIDDEN',
  'NOT_FOUND',
  'UNKNOWN_SYSTEM',
  'UNSUPPORTED',
  'WRITES_OFF',
  'IDEMPOTENCY_KEY_REUSED',
  'CONFLICT',
  'REJECTED',
  'OUTCOME_UNKNOWN',
  'SYSTEM_UNAVAILABLE',
  'SYSTEM_UNAUTHORIZED',
  'SYSTEM_RESPONSE_INVALID',
  'CURSOR_INVALID',
] as const
export type Code = (typeof CODES)[number]

export function graphError(
  code: Code,
  message: string,
  extensions: Record<string, unknown> = {},
): GraphQLError {
  return new GraphQLError(message, { extensions: { code, ...extensions } })
}

export const badInput = (message: string, field?: string): GraphQLError =>
  graphError('BAD_USER_INPUT', message, field === undefined ? {} : { field })

/** A system's failure in the words of this graph. Technical detail stays behind. */
export function failureError(system: string, failure: SourceFailure): GraphQLError {
  const message = publicMessage(failure, system)
  const about = { system, retryable: failure.kind === 'unavailable' }
  switch (failure.kind) {
    case 'unavailable':
      return graphError('SYSTEM_UNAVAILABLE', message, { ...about, retryAfterMs: failure.retryAfterMs })
    case 'unauthorized':
      return graphError('SYSTEM_UNAUTHORIZED', message, about)
    case 'rejected': {
      const { code: vendorCode, line, field, details } = failure
      return graphError('REJECTED', message, { ...about, vendorCode, line, field, details })
    }
    case 'conflict':
      return graphError('CONFLICT', message, about)
    case 'not-found':
      return graphError('NOT_FOUND', message, about)
    case 'unsupported':
      return graphError('UNSUPPORTED', message, about)
    case 'invalid-response':
      return graphError('SYSTEM_RESPONSE_INVALID', message, about)
    case 'unknown-outcome':
    case 'awaiting-approval':
      return graphError('OUTCOME_UNKNOWN', message, about)
  }
}
