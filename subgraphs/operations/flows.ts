/** Flows and their runs. */
import type { ChangeEvent } from '../../src/events/event.ts'
import { type Flow, stepsOf } from '../../src/flows/flow.ts'
import type { Begun, Told } from '../../src/flows/operate.ts'
import { decisionsFor, type FlowRun, type RunStateName, type RunStep } from '../../src/flows/run.ts'
import { decodeId } from '../../src/identity/ids.ts'
import type { Decided } from '../../src/writeback/operate.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput, type Code, graphError } from '../kit/errors.ts'
import { connectionOf, decodeCursor, encodeCursor, pageSize } from '../kit/records.ts'
import { INITIAL, type WatchArguments, watchLog } from '../kit/watch.ts'
import { requireRole, waitOf } from '../kit/writes.ts'

const stateOf = (name: string): RunStateName => name.toLowerCase().replaceAll('_', '-') as RunStateName
const upper = (name: string): string => name.replaceAll('-', '_').toUpperCase()
/** Sent after a gap; who has more of them asks for the list. */
const AFTER_GAP = 1_000

interface RunChangedArguments extends WatchArguments {
  readonly id?: string | null
  readonly flow?: string | null
  readonly state?: readonly string[] | null
}

export function flowResolvers(
  rooms: Rooms,
  decidedBy: (context: SubgraphContext, reason: string) => Decided,
) {
  const { systems, journal, flows: desk } = rooms
  const { runs, flows } = desk

  const mayRead = (context: SubgraphContext, run: FlowRun | null): FlowRun | null =>
    run && run.caller.tenant === context.caller.tenant ? run : null
  const told = (outcome: Told): FlowRun => {
    if (outcome.ok) return outcome.run
    throw outcome.reason === 'not-found'
      ? graphError('NOT_FOUND', outcome.message)
      : badInput(outcome.message, 'id')
  }
  const writebackOf = (id: string | null) => (id === null ? null : journal.get(id))

  return {
    Query: {
      flows: () => flows.all(),

      async flowRun(
        _: unknown,
        { id, flow, key }: { id?: string | null; flow?: string | null; key?: string | null },
        context: SubgraphContext,
      ) {
        if (id != null && flow == null && key == null) return mayRead(context, await runs.get(id))
        if (id != null || flow == null || key == null)
          throw badInput('Give either "id", or "flow" and "key".')
        return runs.byKey(context.caller.tenant, flow, key)
      },

      async flowRuns(
        _: unknown,
        args: { first?: number; after?: string; state?: string; flow?: string; startedBefore?: string },
        context: SubgraphContext,
      ) {
        const size = pageSize(args.first, 20)
        const list = `flowRuns/${args.state ?? ''}/${args.flow ?? ''}/${args.startedBefore ?? ''}`
        const [startedAt, id] = args.after ? decodeCursor(list, args.after) : []
        const found = await runs.list({
          first: size + 1,
          after: startedAt !== undefined && id !== undefined ? { startedAt, id } : undefined,
          state: args.state ? stateOf(args.state) : undefined,
          flow: args.flow,
          startedBefore: args.startedBefore ? new Date(args.startedBefore).toISOString() : undefined,
          tenant: context.caller.tenant,
        })
        const items = found
          .slice(0, size)
          .map((node) => ({ cursor: encodeCursor(list, [node.startedAt, node.id]), node }))
        return connectionOf(items, found.length > size, args.after != null)
      },
    },

    Mutation: {
      async startFlow(
        _: unknown,
        { input, waitFor }: { input: { flow: string; id: string }; waitFor?: number | null },
        context: SubgraphContext,
      ) {
        requireRole(context, 'writer')
        const waitMs = waitOf(waitFor) ?? 5_000
        const about = decodeId(input.id)
        if (!about) throw badInput(`"${input.id.slice(0, 80)}" is not an id of this graph.`, 'id')
        const { type, system, key } = about
        const begun = await desk.begin(input.flow, { system, record: type, key }, context.caller, waitMs)
        if (begun.ok) return begun.run
        throw graphError(REASONS[begun.reason], begun.message)
      },

      retryFlowRun: async (_: unknown, args: { id: string; reason: string }, context: SubgraphContext) =>
        told(await desk.retry(args.id, decidedBy(context, args.reason))),

      cancelFlowRun: async (_: unknown, args: { id: string; reason: string }, context: SubgraphContext) =>
        told(await desk.cancel(args.id, decidedBy(context, args.reason))),

      resolveFlowRun: async (
        _: unknown,
        args: { id: string; step?: string | null; reason: string },
        context: SubgraphContext,
      ) => told(await desk.resolve(args.id, args.step ?? undefined, decidedBy(context, args.reason))),
    },

    Subscription: {
      flowRunChanged: {
        async subscribe(_: unknown, args: RunChangedArguments, context: SubgraphContext) {
          const { id, flow } = args
          if (id != null && !mayRead(context, await runs.get(id)))
            throw badInput(`There is no run "${id}" of a flow.`, 'id')
          const states =
            args.state == null ? null : new Set<string | null | undefined>(args.state.map(stateOf))
          const { tenant } = context.caller
          const wanted = (run: FlowRun) =>
            (id == null || run.id === id) &&
            (flow == null || run.flow === flow) &&
            (!states || states.has(run.state.name))
          return watchLog(rooms, context, args, {
            field: 'flowRunChanged',
            filter: {
              record: 'flow',
              matches: ({ key, data: { facts } }: ChangeEvent) =>
                key !== '' &&
                facts.tenant === tenant &&
                (id == null || key === id) &&
                (flow == null || facts.flow === flow) &&
                (!states || states.has(facts.state)),
            },
            of: async ({ key }) => ({ ...(await runs.get(key)) }),
            now: async () =>
              (await runs.list({ first: INITIAL, tenant, flow: flow ?? undefined })).filter(wanted),
            instead: async (gap, { at }) =>
              (await runs.changedSince(tenant, new Date(at), AFTER_GAP))
                .filter(wanted)
                .map((run) => ({ ...run, gap })),
          })
        },
      },
    },

    Flow: {
      system: ({ subject }: Flow) => systems.get(subject.system) ?? { id: subject.system },
      record: ({ subject }: Flow) => subject.record,
      steps: (flow: Flow) =>
        flow.stages.flatMap((stage, index) =>
          stepsOf(stage).map(({ name, undo }) => ({ name, stage: index + 1, undoable: undo !== undefined })),
        ),
    },

    FlowRun: {
      __resolveReference: async ({ id }: { id: string }, context: SubgraphContext) =>
        mayRead(context, await runs.get(id)),
      state: ({ state }: FlowRun) => upper(state.name),
      problem: ({ state }: FlowRun) => ('problem' in state ? state.problem : null),
      problemStep({ state, steps }: FlowRun) {
        if (state.name === 'needs-attention' && state.step !== undefined) return state.step
        return steps.find((step) => step.name === 'failed')?.step ?? null
      },
      note: ({ state }: FlowRun) =>
        'note' in state ? state.note : state.name === 'resolved' ? state.reason : null,
      decisions: (run: FlowRun) => decisionsFor(run).map(upper),
      subject: ({ caller }: FlowRun) => caller.subject,
      event: ({ cause }: FlowRun) => cause.event ?? null,
      causedBy: async ({ cause }: FlowRun, _: unknown, context: SubgraphContext) =>
        cause.run === undefined ? null : mayRead(context, await runs.get(cause.run)),
      history: async (run: FlowRun) =>
        (await runs.history(run.id)).map((one) => ({ ...one, state: upper(one.state) })),
    },

    FlowStep: {
      name: (step: RunStep) => step.step,
      state: (step: RunStep) => upper(step.name),
      writeback: (step: RunStep) => writebackOf('writeback' in step ? step.writeback : null),
      undo: (step: RunStep) => writebackOf('undo' in step ? step.undo : null),
      system: (step: RunStep) =>
        'system' in step ? (systems.get(step.system) ?? { id: step.system }) : null,
      key: (step: RunStep) => ('key' in step ? step.key : null),
      note: (step: RunStep) =>
        step.name === 'skipped' ? step.reason : step.name === 'undone' ? (step.note ?? null) : null,
      problem: (step: RunStep) => ('problem' in step ? step.problem : null),
    },
  }
}

const REASONS: Readonly<Record<Extract<Begun, { ok: false }>['reason'], Code>> = {
  unknown: 'BAD_USER_INPUT',
  refused: 'BAD_USER_INPUT',
  unavailable: 'SYSTEM_UNAVAILABLE',
}
