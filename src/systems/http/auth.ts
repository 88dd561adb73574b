/**
 * How the gateway makes itself known. What a login or a token endpoint gives is shared by all requests: there is one
 * login on its way at most, it outlives the request that needed it, and a refusal is remembered for a while, so that
 * a wrong password locks nobody out.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { SourceError, type SourceFailure } from '../failure.ts'
import { signatureOf } from '../kit/signature.ts'
import type { AuthConfig } from './config.ts'

/** Where credentials stand in a request. */
export interface Carried {
  readonly headers: Readonly<Record<string, string>>
  /** Instead of a header: a parameter of the address, a field of the body, or whichever of both there is a place for. */
  readonly token?: {
    readonly parameter?: string | undefined
    readonly field?: string | undefined
    readonly value: string
  }
}

/** For one request. */
export interface Credentials extends Carried {
  /** The system has answered to them. */
  accepted(): void
  /** The system refused them. @returns Whether fresh ones are worth one more attempt. */
  refused(): boolean
}

export interface Authentication {
  /** @throws SourceError Nothing of the request has been sent when it does. */
  credentials(body: string, signal?: AbortSignal): Promise<Credentials>
  /** Texts that must never be shown. */
  secrets(): readonly string[]
  close(): Promise<void>
}

/** A token as a login or a token endpoint gives it. */
export interface Grant extends Carried {
  readonly secrets: readonly string[]
  /** Seconds; undefined: until it is refused. */
  readonly expiresIn: number | undefined
}

export interface Grants {
  /** @throws SourceError `unauthorized` where the credentials are wrong */
  open(): Promise<Grant>
  /** Never throws. */
  end?(grant: Grant): Promise<void>
  close?(): void
}

export function createAuthentication(auth: AuthConfig, grants: Grants | undefined): Authentication {
  switch (auth.type) {
    case 'none':
      return constant({ headers: {} }, [])
    case 'bearer':
      return constant({ headers: { authorization: `Bearer ${auth.token}` } }, [auth.token])
    case 'basic': {
      const encoded = basic(auth.username, auth.password)
      return constant({ headers: { authorization: `Basic ${encoded}` } }, [encoded, auth.password])
    }
    case 'apiKey':
      return constant(carried(auth, auth.key), [auth.key])
    case 'signature':
      return signature(auth)
    case 'clientCredentials':
      return new Tokens(grants as Grants, [auth.clientSecret, basic(auth.clientId, auth.clientSecret)])
    case 'login':
      return new Tokens(grants as Grants, [auth.password])
  }
}

export const basic = (user: string, password: string): string =>
  Buffer.from(`${user}:${password}`, 'utf8').toString('base64')

const unchangeable = { accepted: () => {}, refused: () => false }

/** @param inHeader Not given: the value as it is. */
export const carried = (
  {
    header,
    parameter,
    field,
  }: {
    readonly header: string
    readonly parameter?: string | undefined
    readonly field?: string | undefined
  },
  value: string,
  inHeader = value,
): Carried =>
  parameter === undefined && field === undefined
    ? { headers: { [header.toLowerCase()]: inHeader } }
    : { headers: {}, token: { parameter, field, value } }

const constant = (of: Carried, secrets: readonly string[]): Authentication => ({
  credentials: async () => ({ ...of, ...unchangeable }),
  secrets: () => secrets,
  close: async () => {},
})

/** As some in-house interfaces sign, under header names of their own. */
const signature = (auth: Extract<AuthConfig, { type: 'signature' }>): Authentication => ({
  async credentials(body) {
    const timestamp = String(Date.now())
    const headers = {
      [auth.keyHeader.toLowerCase()]: `${auth.keyPrefix}${auth.apiKey}`,
      [auth.timestampHeader.toLowerCase()]: timestamp,
      [auth.signatureHeader.toLowerCase()]: signatureOf(timestamp, auth.apiKey, body, auth.secret),
    }
    return { headers, ...unchangeable }
  },
  secrets: () => [auth.secret, auth.apiKey],
  close: async () => {},
})

/* ---- tokens ---- */

/** Refused credentials are not tried again for this long. */
const REFUSED_PAUSE_MS = 30_000
/** A token is given up before it ends, so that none ends on the way. */
const MARGIN_SECONDS = 10
/** A system that refuses every fresh token would be logged in to without end. */
const RENEWALS_PER_MINUTE = 3
/** A logout at the end is waited for no longer. */
const GRACE_MS = 2_000

interface Held {
  readonly grant: Grant
  readonly expiresAt: number
  /** Whether the system has answered to it: if not, a refusal cannot mean that it has ended. */
  proven: boolean
}

class Tokens implements Authentication {
  readonly #grants: Grants
  readonly #constantSecrets: readonly string[]
  /** The last few, for requests still under way with them. */
  #recentSecrets: string[] = []
  #current: Held | undefined
  #opening: Promise<Held> | undefined
  #refusal: SourceFailure | undefined
  #refusedUntil = 0
  #renewals: number[] = []
  #closed = false

  constructor(grants: Grants, secrets: readonly string[]) {
    this.#grants = grants
    this.#constantSecrets = secrets
  }

  async credentials(_body: string, signal?: AbortSignal): Promise<Credentials> {
    const held = await this.#acquire(signal)
    return {
      headers: held.grant.headers,
      ...(held.grant.token ? { token: held.grant.token } : {}),
      accepted: () => {
        held.proven = true
      },
      refused: () => this.#refused(held),
    }
  }

  secrets(): readonly string[] {
    return [...this.#constantSecrets, ...this.#recentSecrets]
  }

  async close(): Promise<void> {
    this.#closed = true
    const held = this.#current ?? (await this.#opening?.catch(() => undefined))
    this.#current = undefined
    if (held) await Promise.race([this.#grants.end?.(held.grant), delay(GRACE_MS, undefined, { ref: false })])
    this.#grants.close?.()
  }

  #acquire(signal: AbortSignal | undefined): Promise<Held> {
    if (this.#closed) throw new SourceError(aborted('shutting down'))
    if (this.#current && Date.now() < this.#current.expiresAt) return Promise.resolve(this.#current)
    if (this.#refusal && Date.now() < this.#refusedUntil) throw new SourceError(this.#refusal)
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return signal ? leaveable(this.#opening, signal) : this.#opening
  }

  async #open(): Promise<Held> {
    try {
      const grant = await this.#grants.open()
      const seconds =
        grant.expiresIn === undefined
          ? Number.POSITIVE_INFINITY
          : Math.max(1, grant.expiresIn - MARGIN_SECONDS)
      const held: Held = { grant, expiresAt: Date.now() + seconds * 1000, proven: false }
      this.#current = held
      this.#refusal = undefined
      this.#recentSecrets = [...grant.secrets, ...this.#recentSecrets].slice(0, 8)
      return held
    } catch (error) {
      if (error instanceof SourceError && error.failure.kind === 'unauthorized') {
        this.#refusal = error.failure
        this.#refusedUntil = Date.now() + REFUSED_PAUSE_MS
      }
      throw error
    }
  }

  #refused(held: Held): boolean {
    // Somebody else has replaced it already.
    if (this.#current !== held) return true
    if (!held.proven) return false
    const now = Date.now()
    this.#renewals = this.#renewals.filter((at) => now - at < 60_000)
    if (this.#renewals.length >= RENEWALS_PER_MINUTE) return false
    this.#renewals.push(now)
    this.#current = undefined
    return true
  }
}

/** Ends the wait, not the work. */
function leaveable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw new SourceError(aborted('nobody waits any more'))
  return new Promise((resolve, reject) => {
    const leave = () => reject(new SourceError(aborted('nobody waits any more')))
    signal.addEventListener('abort', leave, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}

const aborted = (why: string): SourceFailure => ({
  kind: 'unavailable',
  reason: 'aborted',
  detail: `waiting for a token: ${why}`,
})
