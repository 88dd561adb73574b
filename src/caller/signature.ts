/**
 * Who is asking, carried from the gateway to a subgraph on another machine: JSON, signed, valid for a short time.
 * A subgraph believes nothing else.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import type { Caller } from './caller.ts'

export const CALLER_HEADER = 'x-tributary-caller'

/** Long enough for a slow network and clocks that differ a little; a subscription is checked when it begins. */
const VALID_MS = 60_000

const callerSchema = z.strictObject({
  tenant: z.string(),
  subject: z.string(),
  roles: z.array(z.string()),
  credentialScope: z.string(),
  dataScope: z.discriminatedUnion('kind', [z.strictObject({ kind: z.literal('everything') })]),
  origin: z.string().optional(),
  demo: z.literal(true).optional(),
})
const claimSchema = z.strictObject({ caller: callerSchema, expires: z.number() })

export function signCaller(secret: string, caller: Caller, now: number = Date.now()): string {
  const claim = Buffer.from(JSON.stringify({ caller, expires: now + VALID_MS })).toString('base64url')
  return `${claim}.${macOf(secret, claim)}`
}

/** @returns null where the header is missing, forged, or too old. */
export function verifyCaller(secret: string, header: unknown, now: number = Date.now()): Caller | null {
  if (typeof header !== 'string') return null
  const [claim = '', mac = ''] = header.split('.')
  const expected = Buffer.from(macOf(secret, claim))
  const given = Buffer.from(mac)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null
  try {
    const { caller, expires } = claimSchema.parse(
      JSON.parse(Buffer.from(claim, 'base64url').toString('utf8')),
    )
    return expires > now ? (caller as Caller) : null
  } catch {
    return null
  }
}

const macOf = (secret: string, claim: string): string =>
  createHmac('sha256', secret).update(claim).digest('base64url')
