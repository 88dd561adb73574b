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
}

const scopes = new AsyncLocalStorage<CallScope>()

/** Runs `work` so that every exchange in it belongs to `scope`, and to those around it. */
export const inCallScope = <T>(scope: CallScope, work: () => T): T =>
  scopes.run({ ...scopes.getStore(), ...scope }, work)

export const callScope = (): CallScope | undefined => scopes.getStore()
