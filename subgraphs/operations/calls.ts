/** The log of calls to systems, for operators. */
import type { Call, CallOutcome } from '../../src/calls/log.ts'
import type { Decided } from '../../src/writeback/operate.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { connectionOf, decodeCursor, encodeCursor, pageSize, systemOf } from '../kit/records.ts'
import { requireRole } from '../kit/writes.ts'

interface CallArguments {
  readonly first?: number
  readonly after?: string | null
  readonly system?: string
  readonly operation?: string
  readonly key?: string
  readonly writeback?: string
  readonly outcome?: string
}

/** A shorter text is in every call. */
const SHORTEST = 3

export function callResolvers(
  { systems, journal, calls, operator }: Rooms,
  decidedBy: (context: SubgraphContext, reason: string) => Decided,
) {
  return {
    Query: {
      async systemCalls(_: unknown, args: CallArguments, context: SubgraphContext) {
        requireRole(context, 'operator')
        const { first, after, outcome, ...filter } = args
        const size = pageSize(first, 20)
        const list = `systemCalls/${JSON.stringify([filter.system, filter.operation, filter.key, filter.writeback, outcome])}`
        const [before] = after ? decodeCursor(list, after) : []
        // What was done just now is looked for just now.
        await calls.flush()
        const found = await calls.list({
          system: filter.system ?? undefined,
          operation: filter.operation ?? undefined,
          key: filter.key ?? undefined,
          writeback: filter.writeback ?? undefined,
          outcome: outcome ? (outcome.toLowerCase() as CallOutcome) : undefined,
          first: size + 1,
          before: before === undefined ? undefined : Number(before),
          tenant: context.caller.tenant,
        })
        const items = found
          .slice(0, size)
          .map((node) => ({ cursor: encodeCursor(list, [String(node.position)]), node }))
        return connectionOf(items, found.length > size, after != null)
      },
    },

    Mutation: {
      async eraseCalls(
        _: unknown,
        {
          input,
          reason,
        }: {
          input: { system?: string | null; key?: string | null; containing?: string | null }
          reason: string
        },
        context: SubgraphContext,
      ) {
        const decision = decidedBy(context, reason)
        const { system, key, containing } = input
        if (system != null) systemOf(systems, system)
        if (!key && !containing) throw badInput('Give "key" or "containing".', 'input')
        if (containing != null && [...containing].length < SHORTEST)
          throw badInput(`"containing" must have ${SHORTEST} characters or more.`, 'containing')
        await calls.flush()
        // What is to be forgotten is not kept once more with the decision.
        return operator.decide('erase calls', system ?? 'all systems', decision, (tx) =>
          calls.eraseIn(tx, {
            system: system ?? undefined,
            key: key ?? undefined,
            containing: containing ?? undefined,
            tenant: context.caller.tenant,
          }),
        )
      },
    },

    SystemCall: {
      id: ({ position }: Call) => String(position),
      system: ({ system }: Call) => systems.get(system) ?? { id: system },
      writeback: async ({ writeback }: Call, _: unknown, context: SubgraphContext) => {
        const found = writeback === null ? null : await journal.get(writeback)
        return found && found.caller.tenant === context.caller.tenant ? found : null
      },
      outcome: ({ outcome }: Call) => outcome.toUpperCase(),
      requestBody: (call: Call) => call.request_body,
      responseBody: (call: Call) => call.response_body,
    },
  }
}
