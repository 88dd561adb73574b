/**
 * The one token in use. Never more than one is fetched at a time, the fetch outlives the caller that needed it, and
 * refused credentials are remembered for a while.
 */
import { fail, type Outcome, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'

export interface Token {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly endsAt: number
}

export interface Tokens {
  /** @throws SourceError */
  get(signal?: AbortSignal): Promise<string>
  /** The vendor took this token. */
  proven(id: string): void
  /** The vendor refused this token: the next `get` fetches another, but not for ever. */
  refused(id: string, failure: SourceFailure): void
}

/** Refused credentials are not tried again for this long. */
const PAUSE_MS = 30_000

export function createTokens(fetchToken: () => Promise<Token>): Tokens {
  let token: Token | undefined
  let isProven = false
  /** Tokens refused one after the other that never worked. */
  let duds = 0
  let fetching: Promise<Outcome<Token>> | undefined
  let refusal: { failure: SourceFailure; until: number } | undefined

  const remember = (failure: SourceFailure) => {
    refusal = { failure, until: Date.now() + PAUSE_MS }
  }

  const fresh = async (): Promise<Outcome<Token>> => {
    const outcome = await outcomeOf(fetchToken)
    if (outcome.ok) {
      token = outcome.value
      isProven = false
      refusal = undefined
    } else if (outcome.failure.kind === 'unauthorized') {
      remember(outcome.failure)
    }
    return outcome
  }

  return {
    async get(signal) {
      if (refusal && Date.now() < refusal.until) throw new SourceError(refusal.failure)
      if (token && Date.now() < token.endsAt) return token.id
      fetching ??= fresh().finally(() => {
        fetching = undefined
      })
      const outcome = await untilAborted(fetching, signal)
      if (!outcome.ok) throw new SourceError(outcome.failure)
      return outcome.value.id
    },
    proven(id) {
      if (token?.id !== id) return
      isProven = true
      duds = 0
    },
    refused(id, failure) {
      if (token?.id !== id) return // somebody else has replaced it already
      token = undefined
      // A new one may have been refused because another process fetched one too; two in a row mean something else.
      if (isProven) duds = 0
      else duds++
      if (duds < 2) return
      duds = 0
      remember(failure)
    },
  }
}

function untilAborted<T>(work: Promise<Outcome<T>>, signal: AbortSignal | undefined): Promise<Outcome<T>> {
  if (!signal) return work
  const detail = 'nobody waits for the token any more'
  const gone = fail({ kind: 'unavailable', reason: 'aborted', detail })
  if (signal.aborted) return Promise.resolve(gone)
  return new Promise((resolve, reject) => {
    const abort = () => resolve(gone)
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
