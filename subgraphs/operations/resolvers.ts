/** The gateway's own graph: its systems, its promises, and which records are the same. */
import { gatewayCaller } from '../../src/caller/caller.ts'
import { decodeId } from '../../src/identity/ids.ts'
import { readLinks } from '../../src/identity/links.ts'
import type { IdentityType, Unmapped } from '../../src/identity/registry.ts'
import type { RecordType, UnifiedType } from '../../src/systems/records.ts'
import { portOf, type System, type WriteMode } from '../../src/systems/registry.ts'
import type { Decided, Ending, Operated } from '../../src/writeback/operate.ts'
import { problemOf } from '../../src/writeback/worker.ts'
import {
  decisionsFor,
  hasEnded,
  type Problem,
  type StateName,
  type Transition,
  type Writeback,
} from '../../src/writeback/writeback.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput, graphError } from '../kit/errors.ts'
import {
  connectionOf,
  decodeCursor,
  encodeCursor,
  identityOf,
  keysIn,
  loadByKey,
  located,
  pageSize,
  systemOf,
} from '../kit/records.ts'
import { requireRole } from '../kit/writes.ts'
import { brokerResolvers } from './brokers.ts'
import { callResolvers } from './calls.ts'
import { flowResolvers } from './flows.ts'
import { registrationResolvers } from './registrations.ts'
import { operationsSubscriptions } from './subscriptions.ts'
import { webhookResolvers } from './webhooks.ts'

type GraphIdentityType = 'CUSTOMER' | 'PRODUCT'
const identityType = (type: GraphIdentityType): IdentityType => type.toLowerCase() as IdentityType

/** GraphQL's names of the types that have ids. */
const NODE_TYPES: Partial<Record<UnifiedType, string>> = {
  customer: 'Customer',
  product: 'Product',
  order: 'Order',
  opportunity: 'Opportunity',
  warehouse: 'Warehouse',
  inventoryLevel: 'InventoryLevel',
  delivery: 'Delivery',
  invoice: 'Invoice',
  payment: 'Payment',
  reservation: 'Reservation',
  shipment: 'Shipment',
}

const stateName = (state: StateName): string => state.replaceAll('-', '_').toUpperCase()
const stateOf = (name: string): StateName => name.toLowerCase().replaceAll('_', '-') as StateName
const modeName = (mode: WriteMode): string => ({ off: 'OFF', dryRun: 'DRY_RUN', on: 'ON' })[mode]

export function operationsResolvers(rooms: Rooms) {
  const { systems, identity, journal, worker, operator, reading, feeds } = rooms

  const mayRead = (context: SubgraphContext, writeback: Writeback | null): Writeback | null =>
    writeback && writeback.caller.tenant === context.caller.tenant ? writeback : null

  const decidedBy = (context: SubgraphContext, reason: string): Decided => {
    requireRole(context, 'operator')
    if (reason.trim() === '' || reason.length > 1_000)
      throw badInput('"reason" must be a text of 1 to 1000 characters.', 'reason')
    return { caller: context.caller, reason }
  }
  const operated = (outcome: Operated): Writeback => {
    if (outcome.ok) return outcome.writeback
    throw outcome.reason === 'not-found'
      ? graphError('NOT_FOUND', outcome.message)
      : badInput(outcome.message, 'id')
  }
  /** A reference alone would be shown by every subgraph that only adds fields to it. */
  const isThere = async (context: SubgraphContext, type: UnifiedType, id: string): Promise<boolean> => {
    if (type !== 'customer' && type !== 'product') {
      const { system, key } = located(systems, type, id)
      // What its system cannot be asked for is named by documents only.
      return !portOf(system, type) || (await loadByKey(context, system, type, key)) !== null
    }
    const known = await identityOf(systems, context, type, id)
    if (known.keys.length > 1) return true
    const found = keysIn(systems, known, type).map(({ system, key }) => loadByKey(context, system, type, key))
    return (await Promise.all(found)).some((one) => one !== null)
  }
  const webhooks = webhookResolvers(rooms)
  const brokers = brokerResolvers(rooms)
  const flows = flowResolvers(rooms, decidedBy)
  const calls = callResolvers(rooms, decidedBy)
  const registrations = registrationResolvers(rooms, decidedBy)

  return {
    Query: {
      ...webhooks.Query,
      ...brokers.Query,
      ...flows.Query,
      ...calls.Query,
      async node(_: unknown, { id }: { id: string }, context: SubgraphContext) {
        const type = decodeId(id)?.type
        const __typename = type && NODE_TYPES[type]
        if (!__typename) throw badInput(`"${id.slice(0, 80)}" is not an id of this graph.`, 'id')
        return (await isThere(context, type, id)) ? { __typename, id } : null
      },

      systems: () => systems.all(),
      system: (_: unknown, { id }: { id: string }) => systems.get(id) ?? null,

      async writeback(
        _: unknown,
        args: { id?: string | null; idempotencyKey?: string | null },
        context: SubgraphContext,
      ) {
        if ((args.id == null) === (args.idempotencyKey == null))
          throw badInput('Give either "id" or "idempotencyKey".')
        const found =
          args.id != null
            ? await journal.get(args.id)
            : await journal.byKey(context.caller, args.idempotencyKey as string)
        return mayRead(context, found)
      },

      async writebacks(
        _: unknown,
        args: { first?: number; after?: string; state?: string; system?: string; acceptedBefore?: string },
        context: SubgraphContext,
      ) {
        const size = pageSize(args.first, 20)
        const list = `writebacks/${args.state ?? ''}/${args.system ?? ''}/${args.acceptedBefore ?? ''}`
        const [acceptedAt, id] = args.after ? decodeCursor(list, args.after) : []
        const found = await journal.list({
          first: size + 1,
          after: acceptedAt !== undefined && id !== undefined ? { acceptedAt, id } : undefined,
          state: args.state ? stateOf(args.state) : undefined,
          system: args.system,
          acceptedBefore: args.acceptedBefore ? new Date(args.acceptedBefore).toISOString() : undefined,
          caller: context.caller,
        })
        const items = found
          .slice(0, size)
          .map((node) => ({ cursor: encodeCursor(list, [node.acceptedAt, node.id]), node }))
        return connectionOf(items, found.length > size, args.after != null)
      },

      async operatorActions(_: unknown, args: { first?: number; after?: string }, context: SubgraphContext) {
        requireRole(context, 'operator')
        const size = pageSize(args.first, 20)
        const [before] = args.after ? decodeCursor('operatorActions', args.after) : []
        const found = await operator.actions(size + 1, before ? Number(before) : undefined, context.caller)
        const items = found
          .slice(0, size)
          .map((node) => ({ cursor: encodeCursor('operatorActions', [String(node.position)]), node }))
        return connectionOf(items, found.length > size, args.after != null)
      },

      async unmappedRecords(
        _: unknown,
        args: { type: GraphIdentityType; first?: number; after?: string; system?: string },
      ) {
        const size = pageSize(args.first, 20)
        const list = `unmapped/${args.type}/${args.system ?? ''}`
        const [system, key] = args.after ? decodeCursor(list, args.after) : []
        const { items, total } = await identity.unmapped(identityType(args.type), {
          first: size + 1,
          after: system !== undefined && key !== undefined ? { system, key } : undefined,
          system: args.system,
        })
        const edges = items.slice(0, size).map((item) => ({
          cursor: encodeCursor(list, [item.key.system, item.key.key]),
          node: { ...item, type: args.type },
        }))
        return { ...connectionOf(edges, items.length > size, args.after != null), totalCount: total }
      },
    },

    Mutation: {
      async retryWriteback(_: unknown, args: { id: string; reason: string }, context: SubgraphContext) {
        return operated(await operator.retry(args.id, decidedBy(context, args.reason)))
      },

      async cancelWriteback(_: unknown, args: { id: string; reason: string }, context: SubgraphContext) {
        return operated(await operator.cancel(args.id, decidedBy(context, args.reason)))
      },

      async resolveWriteback(
        _: unknown,
        args: { id: string; outcome: 'CONFIRMED' | 'REJECTED'; key?: string | null; reason: string },
        context: SubgraphContext,
      ) {
        const decision = decidedBy(context, args.reason)
        if ((args.outcome === 'CONFIRMED') !== (args.key != null && args.key !== ''))
          throw badInput('Give "key" for CONFIRMED, and only then.', 'key')
        const ending: Ending =
          args.outcome === 'CONFIRMED' ? { as: 'confirmed', key: args.key as string } : { as: 'rejected' }
        return operated(await operator.resolve(args.id, ending, decision))
      },

      async pauseSystem(_: unknown, args: { id: string; reason: string }, context: SubgraphContext) {
        const decision = decidedBy(context, args.reason)
        const system = systemOf(systems, args.id)
        await operator.pause(system.id, decision)
        return system
      },

      async resumeSystem(_: unknown, args: { id: string; reason: string }, context: SubgraphContext) {
        const decision = decidedBy(context, args.reason)
        const system = systemOf(systems, args.id)
        await operator.resume(system.id, decision)
        return system
      },

      ...webhooks.Mutation,
      ...brokers.Mutation,
      ...flows.Mutation,
      ...calls.Mutation,
      ...registrations.Mutation,
      async linkExternalId(
        _: unknown,
        {
          input,
        }: {
          input: { type: GraphIdentityType; id: string; system: string; company?: string | null; key: string }
        },
        context: SubgraphContext,
      ) {
        requireRole(context, 'steward')
        if (input.key.trim() === '')
          throw badInput('"key" is empty: say how the system calls the record.', 'key')
        const type = identityType(input.type)
        const target = await identityOf(systems, context, type, input.id)
        const system = systemOf(systems, input.system)
        const [sameAs] = target.keys
        if (!sameAs) throw badInput('This id has no key to link to.', 'id')
        const key = { system: system.id, company: input.company ?? '', key: input.key }
        await identity.link([{ type, key, sameAs }], 'manual')
        const [linked] = await identity.byIds(type, [input.id])
        return { id: linked?.id ?? input.id, externalIds: linked?.keys ?? [] }
      },

      async unlinkExternalId(
        _: unknown,
        { input }: { input: { type: GraphIdentityType; system: string; key: string } },
        context: SubgraphContext,
      ) {
        requireRole(context, 'steward')
        const type = identityType(input.type)
        const key = { system: systemOf(systems, input.system).id, key: input.key }
        const rest = await identity.unlink(type, key)
        if (!rest) {
          throw badInput(`"${input.key}" of "${key.system}" is linked with nothing: it stands alone.`, 'key')
        }
        const [alone] = await identity.byKeys(type, [key])
        return {
          id: alone?.id,
          externalIds: alone?.keys ?? [],
          rest: { id: rest.id, externalIds: rest.keys },
        }
      },

      async importExternalIds(_: unknown, { input }: { input: { csv: string } }, context: SubgraphContext) {
        requireRole(context, 'steward')
        const links = readLinks(input.csv, (id) => systems.get(id) !== undefined)
        if ('problems' in links) {
          throw badInput(`Nothing was imported: ${links.problems.slice(0, 20).join('; ')}.`, 'csv')
        }
        const linked = await identity.link(links.requests, 'import')
        return { linked, unchanged: links.requests.length - linked }
      },
    },

    Subscription: { ...operationsSubscriptions(rooms, mayRead), ...flows.Subscription },

    SystemCall: calls.SystemCall,

    Flow: flows.Flow,
    FlowRun: flows.FlowRun,
    FlowStep: flows.FlowStep,

    Webhook: webhooks.Webhook,
    WebhookDelivery: webhooks.WebhookDelivery,

    Node: {
      __resolveType: (node: { __typename: string }) => node.__typename,
    },

    System: {
      ...registrations.System,
      __resolveReference: ({ id }: { id: string }) => systems.get(id) ?? null,
      environment: (system: System) => system.environment.toUpperCase(),
      capabilities: capabilitiesOf,
      feeds: feedsOf,
      writesHeld: (system: System) => worker.holdOf(system)?.reason ?? null,
      async health(system: System) {
        const began = performance.now()
        const outcome = await system.adapter.health({ caller: gatewayCaller })
        const latency = Math.round(performance.now() - began)
        return outcome.ok
          ? { reachable: true, detail: outcome.value.detail, latency, code: null }
          : { reachable: false, detail: null, latency, code: problemOf(outcome.failure, system.id).code }
      },
      breaker(system: System) {
        const { breaker, maintenance } = reading.state(system)
        return maintenance ? 'MAINTENANCE' : breaker.toUpperCase().replace('-', '_')
      },
      inFlight: (system: System) => reading.state(system).inFlight,
      queued: (system: System) => reading.state(system).queued,
      latency: (system: System) => reading.state(system).latency,
      calls: (system: System) => reading.state(system).calls,
      cache: (system: System) => reading.state(system).cache,
      webhooks(system: System) {
        const { refused, ...counts } = feeds.webhookCounts(system.id)
        const { signature: badSignature, timestamp: badTimestamp, ...others } = refused
        return { ...counts, badSignature, badTimestamp, ...others }
      },
    },

    Writeback: {
      async __resolveReference({ id }: { id: string }, context: SubgraphContext) {
        return mayRead(context, await journal.get(id))
      },
      system: (writeback: Writeback) => systems.get(writeback.system) ?? { id: writeback.system },
      state: (writeback: Writeback) => stateName(writeback.state.name),
      key: ({ state }: Writeback) => ('key' in state ? state.key : null),
      reached: ({ state }: Writeback) => ('reached' in state ? state.reached : null),
      preview: ({ state }: Writeback) => (state.name === 'dry-run' ? state.preview : null),
      problem: ({ state }: Writeback) => ('problem' in state ? state.problem : null),
      note: ({ state }: Writeback) =>
        state.name === 'awaiting-approval' ? state.message : 'note' in state ? (state.note ?? null) : null,
      undoneBy: ({ state }: Writeback) => (state.name === 'compensated' ? journal.get(state.by) : null),
      evidence: ({ state }: Writeback) =>
        state.name === 'needs-attention' ? (state.evidence ?? null) : null,
      subject: ({ caller }: Writeback) => caller.subject,
      decisions: (writeback: Writeback) => decisionsFor(writeback).map((one) => one.toUpperCase()),
      blockedBy: async (writeback: Writeback, _: unknown, context: SubgraphContext) =>
        writeback.state.name === 'accepted' ? mayRead(context, await journal.blocker(writeback)) : null,
      held: async (writeback: Writeback) => {
        if (hasEnded(writeback.state)) return null
        const ahead = await journal.blocker(writeback)
        if (ahead) return `Waits for writeback ${ahead.id}, which is ahead of it at the same record.`
        const system = systems.get(writeback.system)
        return (system && worker.holdOf(system)?.reason) ?? null
      },
      history: (writeback: Writeback) => journal.history(writeback.id),
    },

    WritebackProblem: {
      details: ({ details = {} }: Problem) =>
        Object.entries(details).map(([name, value]) => ({
          name,
          value: value === null ? null : String(value),
        })),
    },

    WritebackTransition: {
      state: ({ state }: Transition) => stateName(state),
    },

    UnmappedRecord: {
      system: ({ key }: Unmapped) => systems.get(key.system) ?? { id: key.system },
      key: ({ key }: Unmapped) => key.key,
    },
  }
}

function capabilitiesOf(system: System) {
  return Object.entries(system.adapter.ports).flatMap(([type, port]) => {
    if (!port) return []
    const record = type as RecordType
    const reads = [
      { action: 'read', batchLimit: port.batchLimit },
      ...Object.entries(port.lookups ?? {}).map(([action, { batchLimit }]) => ({ action, batchLimit })),
      ...(port.list ? [{ action: 'list' }] : []),
      ...(port.changes ? [{ action: 'changes' }] : []),
    ]
    const writes = Object.entries({ create: port.create, update: port.update, ...port.actions })
    return [
      ...reads.map((read) => ({ record, writes: null, ...read })),
      ...writes.flatMap(([action, write]) => {
        if (!write) return []
        const targets = (write.targets ?? ['effective']).map((target) => target.toUpperCase())
        const takes = write.takes ?? []
        return [{ record, action, writes: modeName(system.writeMode(record, action)), targets, takes }]
      }),
    ]
  })
}

const feedsOf = ({ adapter, pollEveryMs }: System) => ({
  pollEvery: pollEveryMs === 0 ? null : pollEveryMs,
  polled: Object.entries(adapter.ports).flatMap(([type, port]) => (port?.changes ? [type] : [])),
  webhook: adapter.webhook !== undefined,
  registration: adapter.registration !== undefined,
  stream: adapter.stream !== undefined,
})
