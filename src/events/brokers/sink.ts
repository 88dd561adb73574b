/**
 * The log's events to broker topics: at least once, in order for each record, from a place that the sink remembers.
 * One process of a store runs each sink.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../../observe/log.ts'
import { type Store, takeLease } from '../../store/store.ts'
import type { ChangeEvent } from '../event.ts'
import { type EventLog, eventsBetween } from '../log.ts'
import { dataOf, isNamedBy } from '../outbound.ts'
import type { SinkSettings } from './config.ts'
import { backoff } from './feed.ts'
import type { Broker, Outgoing } from './port.ts'

export interface BrokerSinks {
  start(): void
  list(): Promise<readonly SinkState[]>
  /**
   * Goes on after `position`, in the middle of whatever it is doing: what the log still has after it is sent again.
   * @returns The position it goes on after; null where there is no such sink.
   */
  backfill(name: string, position: number): Promise<number | null>
  close(): Promise<void>
}

export interface SinkState {
  readonly name: string
  readonly broker: string
  readonly topic: string
  readonly events: readonly string[]
  /** Everything up to here is at the broker. */
  readonly position: number
  /** Positions of the log after that. */
  readonly behind: number
  /** By this process, since it began. */
  readonly sent: number
  /** Times at which events had left the log before they were sent; since this process began. */
  readonly gaps: number
  /** Why it does not go on; null where it does. */
  readonly problem: string | null
}

export interface BrokerSinkOptions {
  readonly settings: Readonly<Record<string, SinkSettings>>
  readonly broker: (name: string) => Promise<Broker>
  readonly log: EventLog
  readonly store: Store
  readonly owner: string
  readonly logger: Log
}

const LEASE_MS = 15_000
const LOOK_MS = 1_000
/** Records whose events are under way at once. */
const LANES = 32
const RETRY_MS = { first: 200, most: 10_000 }

/** How far it has come, and how often it was sent back: what is sent again must not be taken for a repetition. */
interface Mark {
  readonly position: number
  readonly round: number
}

export function createBrokerSinks(options: BrokerSinkOptions): BrokerSinks {
  const { store, log, owner } = options
  const stop = new AbortController()
  const running = new Set<Promise<void>>()
  const wakers = new Set<() => void>()
  const sinks = new Map(
    Object.entries(options.settings).map(([name, settings]) => {
      const state = { sent: 0, gaps: 0, problem: null as string | null, renewAt: 0 }
      return [name, { name, settings, state, logger: options.logger.child({ sink: name }) }]
    }),
  )
  type Sink = NonNullable<ReturnType<typeof sinks.get>>
  log.onApply(() => {
    for (const wake of wakers) wake()
  })

  const markOf = async ({ name, settings }: Sink): Promise<Mark> => {
    const known = await readMark(store, name)
    if (known) return known
    const { floor } = await log.state()
    const first = { position: settings.from === 'beginning' ? floor : log.here().position, round: 0 }
    await store.transact(async (tx) => {
      await tx
        .insertInto('checkpoint')
        .values({ feed: feedOf(name), value: JSON.stringify(first) })
        .onConflict((conflict) => conflict.column('feed').doNothing())
        .execute()
    })
    return (await readMark(store, name)) ?? first
  }

  /** Only from where it was: a backfill that was asked for meanwhile, or another process, is not undone. */
  const advance = (name: string, from: Mark, position: number) =>
    store.transact(async (tx) => {
      const { numUpdatedRows } = await tx
        .updateTable('checkpoint')
        .set({ value: JSON.stringify({ position, round: from.round } satisfies Mark) })
        .where('feed', '=', feedOf(name))
        .where('value', '=', JSON.stringify(from))
        .executeTakeFirst()
      return numUpdatedRows > 0n
    })

  /** @returns Whether there may be more. */
  const sendPage = async (sink: Sink): Promise<boolean> => {
    const { name, settings, state, logger } = sink
    const mark = await markOf(sink)
    const { floor } = await log.state()
    if (floor > mark.position) {
      state.gaps++
      logger.error({ from: mark.position, to: floor }, 'events had left the log before they were sent')
      return advance(name, mark, floor)
    }
    const page = await eventsBetween(store.read, mark.position, log.here().position)
    const last = page.at(-1)
    if (!last) return false
    const wanted = page.filter(({ type }) => isNamedBy(settings.events, type))
    if (wanted.length > 0) {
      const broker = await options.broker(settings.broker)
      await sendAll(sink, broker, wanted, mark.round)
      if (stop.signal.aborted) return false
    }
    return advance(name, mark, last.position)
  }

  /** Events of one record wait for each other, those of several go side by side. Tries until all are there. */
  const sendAll = async (sink: Sink, broker: Broker, events: readonly ChangeEvent[], round: number) => {
    const { name, settings, state, logger } = sink
    const byKey = Map.groupBy(events, keyOf)
    const lanes = [...byKey.values()]
    const lane = async () => {
      for (let own = lanes.shift(); own; own = lanes.shift()) {
        for (const event of own) {
          const message = messageOf(name, settings.topic, event, round)
          for (let tries = 1; !stop.signal.aborted; tries++) {
            if (!(await mayRun(name))) throw new Error('another process has taken over')
            try {
              await broker.publish(message)
              state.sent++
              state.problem = null
              break
            } catch (error) {
              const problem = error instanceof Error ? error.message : String(error)
              if (problem !== state.problem)
                logger.warn({ reason: problem }, 'an event was not taken; it is sent again')
              state.problem = problem
              await pause(backoff(RETRY_MS, tries))
            }
          }
          if (stop.signal.aborted) return
        }
      }
    }
    const done = await Promise.allSettled(Array.from({ length: Math.min(LANES, lanes.length) }, lane))
    for (const one of done) if (one.status === 'rejected') throw one.reason
  }

  const mayRun = async (name: string): Promise<boolean> => {
    const state = sinks.get(name)?.state
    if (state && Date.now() < state.renewAt) return true
    const mine = await takeLease(store, `sink/${name}`, owner, LEASE_MS)
    if (state) state.renewAt = mine ? Date.now() + LEASE_MS / 3 : 0
    return mine
  }
  const pause = (ms: number) => delay(ms, undefined, { signal: stop.signal }).catch(() => {})

  const run = async (sink: Sink) => {
    const { state, logger } = sink
    for (let failures = 0; !stop.signal.aborted; ) {
      let more = false
      // Before looking: what comes while we look is not slept through.
      const news = Promise.withResolvers<void>()
      wakers.add(news.resolve)
      try {
        if (await mayRun(sink.name)) more = await sendPage(sink)
        failures = 0
      } catch (error) {
        failures++
        const problem = error instanceof Error ? error.message : String(error)
        if (problem !== state.problem) logger.warn({ reason: problem }, 'the sink cannot go on')
        state.problem = problem
      }
      if (!more)
        await (failures > 0
          ? pause(backoff(RETRY_MS, failures))
          : Promise.race([news.promise, pause(LOOK_MS)]))
      wakers.delete(news.resolve)
    }
  }

  return {
    start() {
      for (const sink of sinks.values()) {
        const work = run(sink).finally(() => running.delete(work))
        running.add(work)
      }
    },

    async list() {
      const { head } = await log.state()
      return Promise.all(
        [...sinks.values()].map(
          async ({ name, settings: { broker, topic, events }, state: { sent, gaps, problem } }) => {
            const position = (await readMark(store, name))?.position ?? head
            return {
              name,
              broker,
              topic,
              events,
              position,
              behind: Math.max(0, head - position),
              sent,
              gaps,
              problem,
            }
          },
        ),
      )
    },

    async backfill(name, position) {
      const sink = sinks.get(name)
      if (!sink) return null
      const { floor, head } = await log.state()
      const target = Math.min(Math.max(position, floor), head)
      await markOf(sink)
      await store.transact(async (tx) => {
        const row = await tx
          .selectFrom('checkpoint')
          .select('value')
          .where('feed', '=', feedOf(name))
          .executeTakeFirstOrThrow()
        const { round } = JSON.parse(row.value) as Mark
        const value = JSON.stringify({ position: target, round: round + 1 } satisfies Mark)
        await tx.updateTable('checkpoint').set({ value }).where('feed', '=', feedOf(name)).execute()
      })
      for (const wake of wakers) wake()
      return target
    },

    async close() {
      stop.abort()
      await Promise.allSettled([...running])
    },
  }
}

const feedOf = (name: string) => `sink/${name}`

async function readMark(store: Store, name: string): Promise<Mark | null> {
  const row = await store.read
    .selectFrom('checkpoint')
    .select('value')
    .where('feed', '=', feedOf(name))
    .executeTakeFirst()
  return row ? (JSON.parse(row.value) as Mark) : null
}

const keyOf = ({ system, record, key }: ChangeEvent): string => `${system}/${record}/${key}`

/**
 * A CloudEvent in structured mode; `sequence` is its place in the log.
 *
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 */
export function messageOf(sink: string, topic: string, event: ChangeEvent, round: number): Outgoing {
  const { source, id, type, time, key, position } = event
  const body = {
    specversion: '1.0',
    id,
    source,
    type,
    time,
    subject: key,
    datacontenttype: 'application/json',
    sequence: String(position),
    data: dataOf(event),
  }
  return {
    topic,
    type,
    key: keyOf(event),
    id: `${sink}/${round}/${position}`,
    body: Buffer.from(JSON.stringify(body)),
  }
}
