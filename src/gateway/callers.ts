/** Who is asking, by API key; in the demo also whoever does not say. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { type Caller, SERVICE_SCOPE } from '../caller/caller.ts'
import type { Config } from '../config/schema.ts'

/** @returns null where nobody is known by these credentials. */
export type Authenticate = (
  credentials: Readonly<Record<string, unknown>>,
  /** The network address that asks. */
  origin?: string,
) => Caller | null

const demoCaller: Caller = {
  tenant: 'demo',
  subject: 'demo',
  roles: ['reader', 'writer', 'steward', 'operator'],
  credentialScope: SERVICE_SCOPE,
  dataScope: { kind: 'everything' },
  demo: true,
}

/**
 * Looks for `Authorization: Bearer KEY` or `X-API-Key: KEY`, in HTTP headers or in the payload of a WebSocket's
 * `connection_init`; names in any case.
 */
export function createAuthenticate(config: Pick<Config, 'callers' | 'demo'>): Authenticate {
  const known = config.callers.map(({ apiKey, subject, tenant, roles }) => ({
    digest: digestOf(apiKey),
    caller: {
      tenant,
      subject,
      roles,
      credentialScope: SERVICE_SCOPE,
      dataScope: { kind: 'everything' },
    } satisfies Caller,
  }))
  const find = (credentials: Readonly<Record<string, unknown>>) => {
    const key = keyIn(credentials)
    if (key === null) return config.demo ? demoCaller : null
    const digest = digestOf(key)
    // Every candidate is compared: the time taken tells nothing about which one was near.
    return known.reduce<Caller | null>(
      (found, one) => (timingSafeEqual(one.digest, digest) ? one.caller : found),
      null,
    )
  }
  return (credentials, origin) => {
    const caller = find(credentials)
    return caller && origin !== undefined ? { ...caller, origin } : caller
  }
}

/** Whether anything was said of who is asking, true or not. */
export const saysWho = (credentials: Readonly<Record<string, unknown>>): boolean =>
  keyIn(credentials) !== null

function keyIn(credentials: Readonly<Record<string, unknown>>): string | null {
  let key: string | null = null
  for (const [name, value] of Object.entries(credentials)) {
    if (typeof value !== 'string') continue
    if (name.toLowerCase() === 'x-api-key') key = value
    if (name.toLowerCase() === 'authorization') key = value.replace(/^Bearer\s+/i, '')
  }
  return key
}

const digestOf = (key: string): Buffer => createHash('sha256').update(key).digest()
