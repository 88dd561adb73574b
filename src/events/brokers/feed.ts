/**
 * Broker topics as feeds: a message is checked, its records are read and go into the log; only then is it acknowledged.
 * One that nobody could take is parked, with the reason, so that those behind it go on.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../../observe/log.ts'
import type { Store } from '../../store/store.ts'
import type { Systems } from '../../systems/registry.ts'
import { type Feeds, receivedOf } from '../feeds.ts'
import { readNotices } from '../notices.ts'
import { createReceiver } from '../webhooks.ts'
import type { FeedSettings } from './config.ts'
import type { Broker, Message, Verdict } from './port.ts'

export interface BrokerFeeds {
  start(): void
  list(): readonly FeedState[]
  /** Newest first. @param before The id of the last one of the page before. */
  parked(page: {
    first: number
    before?: string | undefined
    feed?: string | undefined
  }): Promise<readonly Parked[]>
  /** Tries again, as if it had just come. @returns Why it stays parked: null where it does not. */
  replay(id: string): Promise<{ readonly reason: string | null } | 'gone'>
  /** Forgets it. @returns Whether it was there. */
  discard(id: string): Promise<boolean>
  close(): Promise<void>
}

/** What a feed became, since this process began. */
export interface FeedState {
  readonly name: string
  readonly broker: string
  readonly topic: string
  readonly group: string
  readonly system: string
  readonly connected: boolean
  /** Why it is not connected. */
  readonly problem: string | null
  readonly received: number
  /** Known already: the same bytes were taken before. */
  readonly repeated: number
  /** Given back, to come again: a record could not be read. */
  readonly postponed: number
  readonly parked: number
}

export interface Parked {
  readonly id: string
  readonly feed: string
  readonly reason: string
  readonly at: string
  /** As text; what is no UTF-8 in base64. */
  readonly body: string
  readonly replayable: boolean
}

export interface BrokerFeedOptions {
  readonly settings: Readonly<Record<string, FeedSettings>>
  readonly broker: (name: string) => Promise<Broker>
  readonly feeds: Pick<Feeds, 'take'>
  readonly systems: Systems
  readonly store: Store
  readonly logger: Log
  readonly maxBodyBytes: number
}

/** Of each feed: the oldest go first. */
const KEEP_PARKED = 10_000
/** So much of a body that is too long is shown. */
const SHOWN_BYTES = 4_096
const BACKOFF_MS = { first: 1_000, most: 60_000 }
/** Between two tries to reach the broker. */
const RECONNECT_MS = { first: 250, most: 10_000 }

type Counted = { -readonly [K in keyof FeedState]: FeedState[K] }
type Outcome =
  | { readonly kind: 'taken' | 'repeated' | 'postponed' }
  | { readonly kind: 'poison'; readonly reason: string }

export function createBrokerFeeds(options: BrokerFeedOptions): BrokerFeeds {
  const { store, logger } = options
  const stop = new AbortController()
  const running = new Set<Promise<void>>()
  const feeds = new Map(
    Object.entries(options.settings).map(([name, settings]) => [name, prepare(name, settings)]),
  )

  function prepare(name: string, settings: FeedSettings) {
    const system = options.systems.get(settings.system)
    if (!system) throw new Error(`no system ${settings.system}`) // the configuration was checked
    const state: Counted = {
      name,
      broker: settings.broker,
      topic: settings.topic,
      group: settings.group ?? `tributary-${name}`,
      system: settings.system,
      connected: false,
      problem: null,
      received: 0,
      repeated: 0,
      postponed: 0,
      parked: 0,
    }
    const receiver = settings.signature && createReceiver(settings.signature)
    return { settings, system, state, receiver, log: logger.child({ feed: name }) }
  }
  type Feed = ReturnType<typeof prepare>

  const process = async ({ system, receiver }: Feed, message: Letter): Promise<Outcome> => {
    const { body, headers, at } = message
    if (body.length > options.maxBodyBytes)
      return { kind: 'poison', reason: `it has ${body.length} bytes; ${options.maxBodyBytes} are allowed` }
    // How long it waited at the broker says nothing against it.
    const read = receiver?.receive({ headers, body }, at) ?? readNotices(body, at)
    if (!read.ok) return { kind: 'poison', reason: read.detail }
    return { kind: await options.feeds.take(system, read.notifications, receivedOf(system, body)) }
  }

  const handle = async (feed: Feed, message: Message): Promise<Verdict> => {
    const { state, log, settings } = feed
    state.received++
    const last = message.deliveries >= settings.attempts
    try {
      const outcome = await process(feed, message)
      if (outcome.kind === 'poison') return await park(feed, message, outcome.reason)
      if (outcome.kind === 'repeated') state.repeated++
      if (outcome.kind !== 'postponed') return { taken: true }
      if (last) return await park(feed, message, `its record could not be read, ${message.deliveries} times`)
      state.postponed++
    } catch (error) {
      log.error({ err: error, message: message.id }, 'a message could not be taken')
      // Where even this fails it comes again: nothing is lost.
      if (last) return await park(feed, message, 'it could not be taken: see the log of the process')
    }
    return { taken: false, againMs: backoff(BACKOFF_MS, message.deliveries) }
  }

  const park = async ({ state, log }: Feed, message: Message, reason: string): Promise<Verdict> => {
    log.warn({ message: message.id, reason }, 'a message was parked')
    // The same message, come again because we ended before it was acknowledged, is parked once.
    const id = createHash('sha256').update(`${state.name}/${message.id}`).digest('base64url').slice(0, 22)
    const row = {
      id,
      feed: state.name,
      reason,
      body: pack(message, options.maxBodyBytes),
      at: new Date().toISOString(),
    }
    await store.transact(async (tx) => {
      await tx
        .insertInto('parked')
        .values(row)
        .onConflict((conflict) => conflict.column('id').doNothing())
        .execute()
      const kept = tx
        .selectFrom('parked')
        .select('id')
        .where('feed', '=', state.name)
        .orderBy('at', 'desc')
        .orderBy('id', 'desc')
        .limit(KEEP_PARKED)
      await tx.deleteFrom('parked').where('feed', '=', state.name).where('id', 'not in', kept).execute()
    })
    state.parked++
    return { taken: true }
  }

  const run = async (feed: Feed) => {
    const { state, settings, log } = feed
    for (let tries = 1; !stop.signal.aborted; tries++) {
      try {
        const broker = await options.broker(settings.broker)
        const onReady = () => {
          tries = 0
          state.connected = true
          state.problem = null
          log.info({ broker: settings.broker, topic: state.topic }, 'following the topic')
        }
        const source = { topic: settings.topic, group: state.group, onReady }
        await broker.consume(source, (message) => handle(feed, message), stop.signal)
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error)
        if (problem !== state.problem)
          log.warn({ broker: settings.broker, reason: problem }, 'the topic cannot be read')
        state.problem = problem
      }
      state.connected = false
      await delay(backoff(RECONNECT_MS, tries), undefined, { signal: stop.signal }).catch(() => {})
    }
  }

  return {
    start() {
      for (const feed of feeds.values()) {
        const work = run(feed).finally(() => running.delete(work))
        running.add(work)
      }
    },

    list: () => [...feeds.values()].map(({ state }) => ({ ...state })),

    async parked({ first, before, feed }) {
      let query = store.read.selectFrom('parked').selectAll()
      if (feed !== undefined) query = query.where('feed', '=', feed)
      if (before !== undefined) {
        const last = await store.read
          .selectFrom('parked')
          .select('at')
          .where('id', '=', before)
          .executeTakeFirst()
        // One that is gone since ends the list; whoever lists begins again.
        const at = last?.at ?? ''
        query = query.where((where) =>
          where.or([where('at', '<', at), where.and([where('at', '=', at), where('id', '<', before)])]),
        )
      }
      const rows = await query.orderBy('at', 'desc').orderBy('id', 'desc').limit(first).execute()
      return rows.map(({ id, feed: name, reason, at, body }) => {
        const packed = JSON.parse(body) as Packed
        return {
          id,
          feed: name,
          reason,
          at,
          body: packed.text ?? packed.base64 ?? '',
          replayable: !packed.cut,
        }
      })
    },

    async replay(id) {
      const row = await store.read.selectFrom('parked').selectAll().where('id', '=', id).executeTakeFirst()
      if (!row) return 'gone'
      const feed = feeds.get(row.feed)
      if (!feed) return { reason: `the configuration has no feed "${row.feed}" any more` }
      const packed = JSON.parse(row.body) as Packed
      if (packed.cut) return { reason: row.reason }
      const outcome = await process(feed, unpack(packed))
      if (outcome.kind === 'poison') return { reason: outcome.reason }
      if (outcome.kind === 'postponed') return { reason: 'its record cannot be read now' }
      await store.transact((tx) => tx.deleteFrom('parked').where('id', '=', id).execute())
      return { reason: null }
    },

    async discard(id) {
      const { numDeletedRows } = await store.transact((tx) =>
        tx.deleteFrom('parked').where('id', '=', id).executeTakeFirst(),
      )
      return numDeletedRows > 0n
    },

    async close() {
      stop.abort()
      await Promise.allSettled([...running])
    },
  }
}

type Letter = Pick<Message, 'body' | 'headers' | 'at'>

/** How a parked message is kept. */
interface Packed {
  readonly headers: Readonly<Record<string, string>>
  readonly at: number
  readonly text?: string
  readonly base64?: string
  /** Too long: this is its beginning. */
  readonly cut?: true
}

function pack({ headers, at, body }: Letter, maxBytes: number): string {
  const cut = body.length > maxBytes
  const shown = cut ? body.subarray(0, SHOWN_BYTES) : body
  const text = shown.toString('utf8')
  const isText = Buffer.from(text).equals(shown)
  const packed: Packed = {
    headers,
    at: at.getTime(),
    ...(isText ? { text } : { base64: shown.toString('base64') }),
    ...(cut ? { cut } : {}),
  }
  return JSON.stringify(packed)
}

function unpack({ headers, at, text, base64 }: Packed): Letter {
  const body = text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text)
  return { headers, at: new Date(at), body }
}

/** @param tries How often it was tried. */
export const backoff = ({ first, most }: { first: number; most: number }, tries: number): number =>
  Math.min(first * 2 ** Math.max(tries - 1, 0), most)
