/**
 * Who is asking. Part of every port call and of every key that shares a result, so that two callers who may
 * see different things never share one.
 */
export interface Caller {
  readonly tenant: string
  /** The person or machine behind the request, as the identity provider or the configuration names it. */
  readonly subject: string
  readonly roles: readonly string[]
  /** Names the vendor credentials used on the caller's behalf; results may only be shared inside one scope. */
  readonly credentialScope: string
  readonly dataScope: DataScope
  /** The network address that the request came from, for what must be kept: who did it, and from where. */
  readonly origin?: string
  /** True only for the caller that the demo invents when nobody authenticates. */
  readonly demo?: true
}

/** What the caller may see. A union, so that a narrower scope cannot be forgotten by code that handles it. */
export type DataScope = { readonly kind: 'everything' }

export const SERVICE_SCOPE = 'service'

/** The gateway itself: feeds, identity sweeps and the write worker act as this caller. */
export const gatewayCaller: Caller = {
  tenant: 'tributary',
  subject: 'gateway',
  roles: ['service'],
  credentialScope: SERVICE_SCOPE,
  dataScope: { kind: 'everything' },
}

/** One text for everything that decides what the caller gets to see. */
export function scopeKey(caller: Caller): string {
  return JSON.stringify([caller.tenant, caller.credentialScope, caller.dataScope])
}
