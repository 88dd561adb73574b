/**
 * Why a system gave no result. Closed, and ordered by what the asker should do next: a new kind is a design
 * decision. Technical detail (`detail`) is for operators and never reaches a client.
 */
export type SourceFailure =
  /** Not reached, too slow, or asked to come back later. Had no effect; asking again may help. */
  | {
      readonly kind: 'unavailable'
      readonly reason: 'unreachable' | 'timeout' | 'rate-limited' | 'overloaded' | 'maintenance' | 'aborted'
      readonly detail: string
      readonly retryAfterMs?: number
    }
  /** Our own credentials were refused. Asking again would only lock the account: an operator must act. */
  | { readonly kind: 'unauthorized'; readonly detail: string }
  /** The system understood and said no. Had no effect; asking the same again will not help. */
  | Rejection
  /** Changed by someone else since the caller read it. */
  | { readonly kind: 'conflict'; readonly message: string; readonly currentVersion?: string }
  | { readonly kind: 'not-found'; readonly message: string }
  /** This system, or this adapter, cannot do that. */
  | { readonly kind: 'unsupported'; readonly message: string }
  /** It answered, in a form that cannot be read. For a write that was sent, see `unknown-outcome`. */
  | { readonly kind: 'invalid-response'; readonly detail: string }
  /** A write was sent and its effect is not known. Look before sending again. */
  | { readonly kind: 'unknown-outcome'; readonly detail: string }
  /** Accepted into the vendor's own approval procedure; effective only when a person there agrees. */
  | { readonly kind: 'awaiting-approval'; readonly vendorReference?: string; readonly message: string }

/** A business answer that an authorised caller must be able to read: which line, which field, how much is there. */
export interface Rejection {
  readonly kind: 'rejected'
  /** The vendor's own code, as text. */
  readonly code: string
  /** The vendor's own words, sanitised. */
  readonly message: string
  readonly line?: string
  readonly field?: string
  /** What every vendor says in a code of its own, where clients must be able to tell it apart. */
  readonly reason?: 'period-closed'
  readonly details?: Readonly<Record<string, string | number | boolean | null>>
}

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: SourceFailure }

export const ok = <T>(value: T): Outcome<T> => ({ ok: true, value })
export const fail = (failure: SourceFailure): Outcome<never> => ({ ok: false, failure })

/** Carries a failure through code that throws, for example out of an axios interceptor. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly failure: SourceFailure
  constructor(failure: SourceFailure, options?: ErrorOptions) {
    super(failureText(failure), options)
    this.failure = failure
  }
}

/** What an operator reads in a log line. */
export function failureText(failure: SourceFailure): string {
  switch (failure.kind) {
    case 'unavailable':
      return `unavailable (${failure.reason}): ${failure.detail}`
    case 'rejected':
      return `rejected (${failure.code}): ${failure.message}`
    case 'unauthorized':
    case 'invalid-response':
    case 'unknown-outcome':
      return `${failure.kind}: ${failure.detail}`
    default:
      return `${failure.kind}: ${failure.message}`
  }
}

/** Turns a function that throws `SourceError` into one that returns outcomes; other errors are bugs and pass. */
export async function outcomeOf<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return ok(await work())
  } catch (error) {
    if (error instanceof SourceError) return fail(error.failure)
    throw error
  }
}

/** What may be said to a caller about any failure: technical detail is left out. */
export function publicMessage(failure: SourceFailure, system: string): string {
  switch (failure.kind) {
    case 'unavailable':
      return `System "${system}" does not answer (${failure.reason}).`
    case 'unauthorized':
      return `System "${system}" refused the gateway's credentials. An operator must check its configuration.`
    case 'invalid-response':
      return `System "${system}" answered in a form that could not be read.`
    case 'unknown-outcome':
      return `System "${system}" was sent the change and its answer was lost; the gateway will look before it sends again.`
    default:
      return failure.message
  }
}

/** A vendor's words on one line, without what could forge a log, and no longer than `most` characters. */
export function oneLine(text: string, most: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not pass
  return text.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, most)
}
