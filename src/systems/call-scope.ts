/**
 * What those who call an adapter want from the exchanges it leads to, however deep in the adapter they happen: to be
 * asked once more before a change goes out, and to be told of each exchange.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

export interface CallScope {
  /**
   * Asked after the connection stands and right before the first byte of a request that may change something; false
   * stops it. Between this question and the byte nothing waits.
   */
  readonly maySend?: () => boolean
  /** Told of each exchange when it is over; must be quick and never throw. */
  readonly told?: (exchange: Exchange, about: CallSubject | undefined) => void
  /** What the exchanges are for. */
  readonly about?: CallSubject
}

/** Why a system is called, in words of the business. */
export interface CallSubject {
  readonly system: string
  /** For example `order.create`, `order.create: looked for`, `read order`. */
  readonly operation?: string
  /** The record's key, or the keys asked for. */
  readonly key?: string
  readonly writeback?: string
  readonly attempt?: number
  readonly tenant?: string
  /** Who is behind it, and from where. */
  readonly subject?: string
  readonly origin?: string
}

/** One request and what came back, as it was on the wire; headers, with their credentials, are left out. */
export interface Exchange {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly writes: boolean
  readonly body: string | undefined
  /** Undefined where there was no complete answer. */
  readonly status: number | undefined
  readonly answer: string | undefined
  /** Why there was none. */
  readonly failure: string | undefined
  /** Milliseconds. */
  readonly took: number
}

const scopes = new AsyncLocalStorage<CallScope>()

/** Runs `work` so that every exchange in it belongs to `scope`, and to those around it. */
export const inCallScope = <T>(scope: CallScope, work: () => T): T =>
  scopes.run({ ...scopes.getStore(), ...scope }, work)

export const callScope = (): CallScope | undefined => scopes.getStore()
