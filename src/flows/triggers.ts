/**
 * Begins runs for what the log tells. One process at a time reads, with a checkpoint of its own: the run and the
 * place in the log become durable together, so each event is looked at once, whatever dies.
 */
import { type Caller, SERVICE_SCOPE } from '../caller/caller.ts'
import { appendNotes } from '../events/append.ts'
import type { ChangeEvent } from '../events/event.ts'
import { type EventLog, eventsBetween } from '../events/log.ts'
import type { Log } from '../observe/log.ts'
import { type Store, takeLease } from '../store/store.ts'
import { BLOCKING, FLOW, runOf } from '../writeback/writeback.ts'
import type { Flow, Flows, FlowTools } from './flow.ts'
import type { Cause } from './run.ts'
import { getIn, type Runs } from './runs.ts'

export interface Triggers {
  start(): void
  close(): Promise<void>
}

export interface TriggersOptions {
  readonly store: Store
  readonly runs: Runs
  readonly flows: Flows
  readonly tools: FlowTools
  readonly events: EventLog
  /** Names this process. */
  readonly owner: string
  /** Whose runs these are. */
  readonly tenant: string
  readonly logger: Log
  /** Runs were begun. */
  readonly wake: () => void
}

const FEED = 'flows'
const LEASE_MS = 10_000
const IDLE_MS = 1_000
/** Runs that led one to another; more of them is a circle. */
const MAX_DEPTH = 5
/** A change of a record within so long after a run wrote to it is taken to come from that. */
const AFTERWARDS_MS = 60_000

export function createTriggers(options: TriggersOptions): Triggers {
  const { store, runs, flows, tools, events, owner, tenant, logger, wake } = options
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let reading: Promise<void> | undefined
  let again = false

  const positionOf = async (): Promise<number> => {
    const row = await store.read
      .selectFrom('checkpoint')
      .select('value')
      .where('feed', '=', FEED)
      .executeTakeFirst()
    if (row) return Number(row.value)
    // What was before the first flow was switched on is history.
    const { head } = await events.state()
    await store.transact((tx) =>
      tx
        .insertInto('checkpoint')
        .values({ feed: FEED, value: String(head) })
        .onConflict((conflict) => conflict.column('feed').doNothing())
        .execute(),
    )
    return head
  }

  const read = async (): Promise<void> => {
    if (!(await takeLease(store, FEED, owner, LEASE_MS))) return
    for (let position = await positionOf(); !closed; ) {
      const page = await eventsBetween(store.read, position)
      const { floor } = await events.state()
      if (floor > position) {
        logger.error(
          { from: position, to: floor },
          'flows have missed events that are no longer in the log: begin their runs by hand',
        )
      }
      const last = page.at(-1)?.position ?? Math.max(position, floor)
      if (last === position) return
      const wanted = page.flatMap((event) =>
        flows.all().flatMap((flow) => (startsOn(flow, event) ? [{ flow, event }] : [])),
      )
      const causes = await Promise.all(wanted.map(({ event }) => causeOf(event)))
      const begun = await store.transact(async (tx) => {
        // Another process may have taken over while this one stood still.
        const mine = await tx.selectFrom('lease').select('owner').where('name', '=', FEED).executeTakeFirst()
        if (mine?.owner !== owner) return null
        let count = 0
        for (const [index, { flow, event }] of wanted.entries()) {
          const cause = causes[index] as Cause
          if (cause.depth > MAX_DEPTH) {
            logger.error(
              { flow: flow.name, key: event.key, event: cause.event, run: cause.run },
              `a flow is not begun: ${MAX_DEPTH} runs already led one to another`,
            )
            await appendNotes(tx, [refused(flow, event, cause)])
            continue
          }
          const { isNew } = await runs.startIn(tx, { flow, key: event.key, caller: callerOf(flow), cause })
          if (isNew) count++
        }
        await tx
          .updateTable('checkpoint')
          .set({ value: String(last) })
          .where('feed', '=', FEED)
          .execute()
        return count
      })
      if (begun === null) return
      position = last
      if (begun > 0) {
        events.announce().catch(() => {})
        wake()
      }
      if (!(await takeLease(store, FEED, owner, LEASE_MS))) return
    }
  }

  const callerOf = (flow: Flow): Caller => ({
    tenant,
    subject: `${FLOW}${flow.name}`,
    roles: ['writer'],
    credentialScope: SERVICE_SCOPE,
    dataScope: { kind: 'everything' },
  })

  const refused = (flow: Flow, event: ChangeEvent, cause: Cause) => ({
    source: '/flows',
    type: 'flow.refused',
    system: event.system,
    record: 'flow' as const,
    key: '',
    data: {
      changes: [],
      facts: { flow: flow.name, key: event.key, event: cause.event ?? null, run: cause.run ?? null, tenant },
      before: null,
      affects: [],
    },
  })

  /** Which run, if any, led to this event: told by the event itself, by the record's reference, or by what was written. */
  const causeOf = async (event: ChangeEvent): Promise<Cause> => {
    const told = `${event.source} ${event.id}`
    const run = event.data.cause?.run ?? (await writerOf(event))
    if (run === undefined) return { event: told, depth: 0 }
    const before = await getIn(store.read, run)
    return { event: told, run, depth: (before?.cause.depth ?? 0) + 1 }
  }

  const writerOf = async ({ system, record, key, appendedAt }: ChangeEvent): Promise<string | undefined> => {
    const since = new Date(appendedAt - AFTERWARDS_MS).toISOString()
    const written = await store.read
      .selectFrom('writeback')
      .select(['mutation', 'idempotency_key as idempotencyKey'])
      .where('system', '=', system)
      .where('ordering', '=', `${record}/${key}`)
      .where('mutation', 'like', `${FLOW}%`)
      .where((where) => where.or([where('state', 'in', [...BLOCKING]), where('updated_at', '>=', since)]))
      .orderBy('sequence', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (written) return runOf(written)
    const value = await tools.record(system, record as 'order', key).catch(() => null)
    if (!value?.externalReference) return undefined
    const made = await store.read
      .selectFrom('writeback')
      .select(['mutation', 'idempotency_key as idempotencyKey'])
      .where('external_reference', '=', value.externalReference)
      .executeTakeFirst()
    return made && runOf(made)
  }

  const turn = () => {
    if (closed) return
    if (reading) {
      again = true
      return
    }
    clearTimeout(timer)
    again = false
    reading = read()
      .catch((error: unknown) => logger.error({ err: error }, 'flows cannot read the log'))
      .finally(() => {
        reading = undefined
        if (again) turn()
        else if (!closed) timer = setTimeout(turn, IDLE_MS)
      })
  }

  return {
    start() {
      events.onApply((list) => {
        if (list.some((event) => flows.all().some((flow) => startsOn(flow, event)))) turn()
      })
      turn()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await reading
    },
  }
}

function startsOn({ subject, startsOn: begins }: Flow, event: ChangeEvent): boolean {
  if (!begins || event.record !== subject.record || event.system !== subject.system) return false
  return begins(event)
}
