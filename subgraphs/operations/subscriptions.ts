/** What happens in the gateway itself: its promises, and how its systems do. */
import type { ChangeEvent } from '../../src/events/event.ts'
import { healthOf } from '../../src/events/health.ts'
import type { StateName, Writeback, WritebackState } from '../../src/writeback/writeback.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { systemOf } from '../kit/records.ts'
import { INITIAL, type WatchArguments, watchLog } from '../kit/watch.ts'

interface WritebackChangedArguments extends WatchArguments {
  readonly id?: string | null
  readonly system?: string | null
  readonly state?: readonly string[] | null
}

/** Sent after a gap; who has more of them asks for the list. */
const AFTER_GAP = 1_000

const stateOf = (name: string): StateName => name.toLowerCase().replaceAll('_', '-') as StateName

export function operationsSubscriptions(
  rooms: Rooms,
  mayRead: (context: SubgraphContext, writeback: Writeback | null) => Writeback | null,
) {
  const { systems, journal, reading } = rooms
  return {
    writebackChanged: {
      async subscribe(_: unknown, args: WritebackChangedArguments, context: SubgraphContext) {
        const { id, system } = args
        if (id != null && !mayRead(context, await journal.get(id)))
          throw badInput(`There is no writeback "${id}".`, 'id')
        if (system != null) systemOf(systems, system)
        const states = args.state == null ? null : new Set<string | null | undefined>(args.state.map(stateOf))
        const { tenant } = context.caller
        const wanted = (one: Writeback) =>
          (id == null || one.id === id) &&
          (system == null || one.system === system) &&
          (!states || states.has(one.state.name))

        return watchLog(rooms, context, args, {
          field: 'writebackChanged',
          filter: {
            record: 'writeback',
            matches: ({ key, system: of, data: { facts } }: ChangeEvent) =>
              facts.tenant === tenant &&
              (id == null || key === id) &&
              (system == null || of === system) &&
              (!states || states.has(facts.state)),
          },
          // As of the event: what has become of it since comes in events of its own.
          async of({ key, time, data }) {
            const { state, attempts } = data.detail as { state: WritebackState; attempts: number }
            return { ...(await journal.get(key)), state, attempts, updatedAt: time }
          },
          now: async () =>
            (
              await journal.list({ first: INITIAL, caller: context.caller, system: system ?? undefined })
            ).filter(wanted),
          // The journal forgets nothing: steps may be missing, writebacks are not.
          instead: async (gap, { at }) =>
            (await journal.changedSince(tenant, new Date(at), AFTER_GAP))
              .filter(wanted)
              .map((one) => ({ ...one, gap })),
        })
      },
    },

    systemChanged: {
      async subscribe(_: unknown, args: WatchArguments & { id?: string | null }, context: SubgraphContext) {
        const { id } = args
        if (id != null) systemOf(systems, id)
        return watchLog(rooms, context, args, {
          field: 'systemChanged',
          filter: { record: 'system', matches: ({ key }: ChangeEvent) => id == null || key === id },
          of: ({ key, data: { facts, before } }) => ({
            stateBefore: before?.state ?? null,
            stateAfter: facts.state,
            system: systems.get(key) ?? { id: key },
          }),
          now: async () =>
            systems
              .all()
              .filter((system) => id == null || system.id === id)
              .map((system) => ({ stateAfter: healthOf(reading, system), system })),
        })
      },
    },
  }
}
