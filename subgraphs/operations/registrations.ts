/** Systems that are told where to call, as operators see them. */
import type { System } from '../../src/systems/registry.ts'
import type { Decided } from '../../src/writeback/operate.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput, failureError } from '../kit/errors.ts'
import { systemOf } from '../kit/records.ts'

export function registrationResolvers(
  { systems, registrations }: Rooms,
  decidedBy: (context: SubgraphContext, reason: string) => Decided,
) {
  return {
    Mutation: {
      async registerSystemWebhook(
        _: unknown,
        { id, address, reason }: { id: string; address: string; reason: string },
        context: SubgraphContext,
      ) {
        const decision = decidedBy(context, reason)
        const system = systemOf(systems, id)
        const url = URL.canParse(address) ? new URL(address) : null
        const isPlain = url && !url.username && !url.password && !url.search && !url.hash
        if (!url || !isPlain || !/^https?:$/.test(url.protocol))
          throw badInput(
            '"address" must be the http or https address at which the system reaches this gateway, for example https://gateway.example.com.',
            'address',
          )
        const made = await registrations.register(system, url.href, decision)
        if (!made.ok) throw failureError(system.id, made.failure)
        return system
      },
      async unregisterSystemWebhook(
        _: unknown,
        { id, reason }: { id: string; reason: string },
        context: SubgraphContext,
      ) {
        const decision = decidedBy(context, reason)
        const system = systemOf(systems, id)
        const gone = await registrations.unregister(system, decision)
        if (!gone.ok) throw failureError(system.id, gone.failure)
        return system
      },
    },
    System: {
      async webhookRegistration(system: System) {
        const known = await registrations.of(system)
        return known && { ...known, registeredAt: known.at, registeredBy: known.by }
      },
    },
  }
}
