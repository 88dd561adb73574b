/** Which systems have been told, over their own interface, to call this gateway: for systems that can be told. */
import { z } from 'zod'
import { gatewayCaller } from '../caller/caller.ts'
import type { Store } from '../store/store.ts'
import { fail, type Outcome, ok } from '../systems/failure.ts'
import type { System } from '../systems/registry.ts'
import type { Decided, Operator } from '../writeback/operate.ts'

const registrationSchema = z.object({
  /** The system's own id. */
  id: z.string(),
  url: z.string(),
  by: z.string(),
  at: z.string(),
})
export type Registration = z.infer<typeof registrationSchema>

export interface Registrations {
  /** The one made through this gateway; null: none, or made by somebody else. */
  of(system: System): Promise<Registration | null>
  /**
   * Registers the gateway's door for this system, then takes away the one that was registered before: for a moment
   * there are two, which repeats events under their ids, rather than none, which would lose them.
   * @param address Where the system reaches this gateway, without a path behind it: `/webhooks/SYSTEM` is added.
   */
  register(system: System, address: string, decision: Decided): Promise<Outcome<Registration>>
  /** One that is not there any more is no failure. */
  unregister(system: System, decision: Decided): Promise<Outcome<void>>
}

const nameOf = (system: System) => `webhook-registration/${system.id}`
const context = { caller: gatewayCaller }

export function createRegistrations({
  store,
  operator,
}: {
  readonly store: Store
  readonly operator: Pick<Operator, 'decide'>
}): Registrations {
  const of: Registrations['of'] = async (system) => {
    const row = await store.read
      .selectFrom('meta')
      .select('value')
      .where('name', '=', nameOf(system))
      .executeTakeFirst()
    return row ? registrationSchema.parse(JSON.parse(row.value)) : null
  }
  const unsupported = (system: System) =>
    fail({
      kind: 'unsupported',
      message: `System "${system.id}" (${system.adapter.kind}) cannot be told where to call, or its webhooks are not configured: register ${doorOf(system)} there by hand.`,
    })

  return {
    of,

    async register(system, address, decision) {
      const { registration } = system.adapter
      if (!registration) return unsupported(system)
      const before = await of(system)
      const url = `${address.replace(/\/+$/, '')}${doorOf(system)}`
      const made = await registration.register(url, context)
      if (!made.ok) return made
      const { caller } = decision
      const kept = { id: made.value, url, by: caller.subject, at: new Date().toISOString() }
      const value = JSON.stringify(kept)
      await operator.decide('register webhook', system.id, decision, (tx) =>
        tx
          .insertInto('meta')
          .values({ name: nameOf(system), value })
          .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
          .execute(),
      )
      if (before && before.id !== made.value) {
        const gone = await registration.unregister(before.id, context)
        if (!gone.ok) return gone
      }
      return ok(kept)
    },

    async unregister(system, decision) {
      const { registration } = system.adapter
      if (!registration) return unsupported(system)
      const known = await of(system)
      if (!known) return ok(undefined)
      const gone = await registration.unregister(known.id, context)
      if (!gone.ok) return gone
      await operator.decide('unregister webhook', system.id, decision, (tx) =>
        tx.deleteFrom('meta').where('name', '=', nameOf(system)).execute(),
      )
      return ok(undefined)
    },
  }
}

const doorOf = (system: System): string => `/webhooks/${encodeURIComponent(system.id)}`
