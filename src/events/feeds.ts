/**
 * Where changes come from: asking the systems, and being told by them. Each feed is run by one process of the
 * store at a time; what it finds goes into the log in the same transaction as how far it has read.
 */
import { createHash } from 'node:crypto'
import { gatewayCaller } from '../caller/caller.ts'
import type { Log } from '../observe/log.ts'
import { type Database, type Store, takeLease } from '../store/store.ts'
import { failureText, type Outcome } from '../systems/failure.ts'
import type {
  CallContext,
  ChangePage,
  Notification,
  RecordPort,
  WebhookReceiver,
  WebhookRequest,
} from '../systems/port.ts'
import type { Key, RecordType, RecordTypes } from '../systems/records.ts'
import { portOf, type System, type Systems } from '../systems/registry.ts'
import type { Appended, EventLog, Loss, Sighting } from './log.ts'
import { createStreams } from './streams.ts'

export interface Feeds {
  /** Asks every system that can tell, until `close`. */
  start(): void
  /** Asks one system now; for tests and for those who cannot wait. */
  pollOnce(system: System): Promise<void>
  receive(system: System, request: WebhookRequest): Promise<WebhookOutcome>
  /** A webhook that was too long to be read at all. */
  tooLarge(systemId: string): void
  webhookCounts(systemId: string): WebhookCounts
  /**
   * What a webhook or a broker's message told of a system, into the log. To be acknowledged after that.
   * @param received Names the message by its bytes: what was taken under this name is not looked at again.
   * @returns `postponed` where a record cannot be read now: the message has to come again.
   */
  take(system: System, notifications: readonly Notification[], received: Received): Promise<Taken>
  close(): Promise<void>
}

export type WebhookOutcome =
  | { readonly ok: true; readonly received: number }
  | { readonly ok: false; readonly status: 400 | 401 | 404 | 503; readonly message: string }

export interface Received {
  readonly system: string
  readonly id: string
}
export type Taken = 'taken' | 'repeated' | 'postponed'

/** What a system's webhooks became, since this process began. */
export interface WebhookCounts {
  readonly received: number
  /** The same bytes again: not looked at a second time. */
  readonly repeated: number
  readonly refused: {
    readonly signature: number
    readonly timestamp: number
    readonly malformed: number
    readonly tooLarge: number
  }
  /** Answered with 503: the record could not be read. */
  readonly postponed: number
}

/** What stands between everybody who reads and a system. */
export interface Door {
  /** Whether there is no use in asking now. */
  away(system: System): boolean
  read<R>(
    system: System,
    call: (signal: AbortSignal) => Promise<Outcome<R>>,
    signal: AbortSignal,
  ): Promise<Outcome<R>>
  /** One record as it is now, read together with what others ask at this moment. */
  record(system: System, type: RecordType, key: Key): Promise<Outcome<RecordTypes[RecordType] | null>>
  /** To be called before reading; what it answers is told which events came of it, before they are announced. */
  observe(): (appended: readonly Appended[]) => void
}

export interface FeedOptions {
  readonly store: Store
  readonly systems: Systems
  readonly log: EventLog
  readonly owner: string
  readonly logger: Log
  readonly door: Door
  /** Where the configuration says how a system signs, instead of what its kind says. */
  readonly receiverOf?: (system: System) => WebhookReceiver | undefined
  /** Told of every record a feed has read: identities grow with it. */
  readonly onRecords?: (
    system: System,
    type: RecordType,
    records: readonly RecordTypes[RecordType][],
  ) => Promise<void>
}

/** Longer than any gap between two polls that are on time. */
const LEASE_MS = 15_000
const PAGE = 100
/** Newest records remembered before the first change; older ones change seldom. */
const BASELINE = 1_000
const CLOCK_SLACK_MS = 60_000

export function createFeeds(options: FeedOptions): Feeds {
  const { store, systems, log, logger, door } = options
  const stop = new AbortController()
  const ask = <R>(system: System, call: (context: CallContext) => Promise<Outcome<R>>) =>
    door.read(system, (signal) => call({ caller: gatewayCaller, signal }), stop.signal)
  /** @returns Null where it was not answered: the log of the process says so. */
  const askFor = async <R>(
    system: System,
    record: RecordType,
    what: string,
    call: (context: CallContext) => Promise<Outcome<R>>,
  ): Promise<R | null> => {
    const answer = await ask(system, call)
    if (answer.ok) return answer.value
    logger.warn({ system: system.id, record }, `${what}: ${failureText(answer.failure)}`)
    return null
  }
  const running = new Set<Promise<void>>()
  const timers = new Set<NodeJS.Timeout>()

  const append = async (
    sightings: readonly Sighting[],
    observed: (appended: readonly Appended[]) => void,
    checkpoints: readonly Checkpoint[] = [],
    losses: readonly Loss[] = [],
    received?: Received,
  ) => {
    const { appended, lost } = await store.transact(async (tx) => {
      const events = await log.record(tx, sightings)
      const gone = await log.lose(tx, losses)
      if (received) {
        await tx
          .insertInto('received')
          .values({ ...received, at: Date.now() })
          .onConflict((conflict) => conflict.columns(['system', 'id']).doNothing())
          .execute()
      }
      for (const checkpoint of checkpoints) await keep(tx, checkpoint)
      return { appended: events, lost: gone }
    })
    if (appended.length > 0) observed(appended)
    if (appended.length > 0 || lost > 0) await log.announce()
  }

  /** @returns Whether all of it could be read. */
  const pollChanges = async <T extends RecordType>(
    system: System,
    type: T,
    port: RecordPort<T>,
  ): Promise<boolean> => {
    const { changes } = port
    if (!changes) return true
    const feed = `changes/${system.id}/${type}`
    const ask = async (since: string | null) => {
      const page = await askFor(system, type, 'changes could not be read', (context) =>
        changes.call(port, since, context),
      )
      if (page) await options.onRecords?.(system, type, page.records)
      return page
    }
    const over = `baseline/${system.id}/${type}`
    const lookedAt = await checkpointOf(store, over)
    const look = lookedAt === null ? await firstLook(system, type, port, feed, ask) : undefined
    if (look === null) return false
    const bornAfter = Date.parse(look?.at ?? lookedAt ?? '')
    const before = new Set(look?.before)
    for (;;) {
      const since = await checkpointOf(store, feed)
      const observed = door.observe()
      const page = await ask(since)
      if (!page) return false
      const { records, deleted = [], checkpoint, hasMore } = page
      const sightings = records.map((value): Sighting => {
        const isNew = value.createdAt != null && Date.parse(value.createdAt) >= bornAfter - CLOCK_SLACK_MS
        const changedSince = look && !before.has(value.key) ? look.position : undefined
        return { system: system.id, record: type, value, isNew, changedSince }
      })
      const losses = deleted.map(
        (key): Loss => ({ system: system.id, record: type, key, told: since !== null }),
      )
      const checkpoints: Checkpoint[] = [{ feed, value: checkpoint }]
      // What changed during the look is told: now it is over.
      if (look && !hasMore)
        checkpoints.push({ feed: over, value: look.at }, { feed: lookOf(feed), value: null })
      await append(sightings, observed, checkpoints, losses)
      if (!hasMore || stop.signal.aborted) return !hasMore
    }
  }

  /**
   * Remembers the newest records before changes are told, so that the first change of each can say what was there
   * before. The system is asked for changes first, and once more at once: what it names then (it looks back a little)
   * was changed before the look. What it names after the look and did not name before has changed meanwhile, and is
   * news even where the look has found it changed already.
   * @param ask Names what changed since a checkpoint.
   * @returns Null where the system does not answer.
   */
  const firstLook = async <T extends RecordType>(
    system: System,
    type: T,
    port: RecordPort<T>,
    feed: string,
    ask: (since: string | null) => Promise<ChangePage<T> | null>,
  ): Promise<Look | null> => {
    const silently = (values: readonly RecordTypes[T][]) =>
      values.map((value): Sighting => ({ system: system.id, record: type, value, baseline: true }))
    const begun = await checkpointOf(store, lookOf(feed))
    const look: Look = begun
      ? JSON.parse(begun)
      : { at: new Date().toISOString(), position: log.here().position, before: [] }
    for (let isOver = begun !== null; !isOver; ) {
      const since = await checkpointOf(store, feed)
      const observed = door.observe()
      const page = await ask(since)
      if (!page) return null
      look.before.push(...page.records.map(({ key }) => key))
      const losses = (page.deleted ?? []).map((key): Loss => ({ system: system.id, record: type, key }))
      // Where a checkpoint acknowledges what a queue has handed out, it has to be durable before it is sent.
      const checkpoints: Checkpoint[] = [{ feed, value: page.checkpoint }]
      isOver = since !== null && !page.hasMore
      if (isOver) checkpoints.push({ feed: lookOf(feed), value: JSON.stringify(look) })
      await append(silently(page.records), observed, checkpoints, losses)
      if (stop.signal.aborted) return null
    }
    let after: string | undefined
    const { list } = port
    for (let read = 0; read < BASELINE && list && !stop.signal.aborted; ) {
      const observed = door.observe()
      const page = await askFor(system, type, 'could not be looked at', (context) =>
        list.call(port, { first: PAGE, after }, context),
      )
      // Without it changes are told all the same, only not what was there before.
      if (!page) break
      const values = page.items.map((item) => item.record)
      await append(silently(values), observed)
      read += values.length
      after = page.items.at(-1)?.position
      if (!page.hasMore || after === undefined) break
    }
    return look
  }

  /** For figures that change without a trace in the system: compares everything, page by page. */
  const sweep = async <T extends RecordType>(system: System, type: T, port: RecordPort<T>) => {
    const feed = `sweep/${system.id}/${type}`
    const baseline = (await checkpointOf(store, feed)) === null
    let after: string | undefined
    const { list } = port
    if (!list) return
    for (;;) {
      const observed = door.observe()
      const page = await askFor(system, type, 'could not be compared', (context) =>
        list.call(port, { first: PAGE, after }, context),
      )
      if (!page) return
      const values = page.items.map((item) => item.record)
      await append(
        values.map((value) => ({ system: system.id, record: type, value, baseline })),
        observed,
      )
      after = page.items.at(-1)?.position
      if (!page.hasMore || after === undefined || stop.signal.aborted) break
    }
    if (baseline && !stop.signal.aborted)
      await append([], door.observe(), [{ feed, value: new Date().toISOString() }])
  }

  const lease = (system: System) =>
    takeLease(store, `poll/${system.id}`, options.owner, system.pollEveryMs + LEASE_MS)

  const poll = async (system: System): Promise<boolean> => {
    if (door.away(system)) return false
    if (!(await lease(system))) return false
    let isWhole = true
    for (const type of Object.keys(system.adapter.ports) as RecordType[]) {
      const port = portOf(system, type)
      if (!port || stop.signal.aborted) continue
      if (port.changes) isWhole = (await pollChanges(system, type, port)) && isWhole
      else if (type === 'inventoryLevel') await sweep(system, type, port)
    }
    return isWhole
  }

  /** One after the other: what is asked for later must see what has happened until then. */
  const turns = new Map<string, Promise<boolean>>()
  const pollInTurn = (system: System): Promise<boolean> => {
    const before = turns.get(system.id)?.catch(() => false)
    const mine = before ? before.then(() => poll(system)) : poll(system)
    turns.set(system.id, mine)
    return mine
  }

  const pollOnce = async (system: System) => {
    await pollInTurn(system)
  }

  const keepPolling = (system: System) => {
    const round = async () => {
      try {
        await pollOnce(system)
      } catch (error) {
        if (!stop.signal.aborted) logger.error({ system: system.id, err: error }, 'polling failed')
      }
      if (stop.signal.aborted) return
      const timer = setTimeout(() => {
        timers.delete(timer)
        track(round())
      }, system.pollEveryMs)
      timers.add(timer)
    }
    track(round())
  }

  const counted = new Map<string, Mutable<WebhookCounts>>()
  const counts = (id: string) => {
    let known = counted.get(id)
    if (!known) {
      const refused = { signature: 0, timestamp: 0, malformed: 0, tooLarge: 0 }
      known = { received: 0, repeated: 0, refused, postponed: 0 }
      counted.set(id, known)
    }
    return known
  }

  /** A notification says what to look at; the record itself is asked for, so that no order of arrival matters. */
  const take = async (
    system: System,
    notifications: readonly Notification[],
    received: Received | undefined,
    position?: { feed: string; value: string },
  ): Promise<Taken> => {
    if (received && (await isReceived(store, received))) return 'repeated'
    const sightings: Sighting[] = []
    const losses: Loss[] = []
    const observed = door.observe()
    const found = await Promise.all(notifications.map((one) => readNotified(system, one, door)))
    for (const one of found) {
      if (!one.ok) return 'postponed'
      if (one.sighting) sightings.push(one.sighting)
      if (one.loss) losses.push(one.loss)
    }
    for (const { record, value } of sightings) await options.onRecords?.(system, record, [value])
    await append(sightings, observed, position ? [position] : [], losses, received)
    return 'taken'
  }

  const track = (work: Promise<void>) => {
    running.add(work)
    work.finally(() => running.delete(work))
  }

  const streams = createStreams({
    logger,
    away: door.away,
    lease,
    position: (feed) => checkpointOf(store, feed),
    take: async (system, notifications, position) =>
      (await take(system, notifications, undefined, position)) === 'taken',
    catchUp: pollInTurn,
  })

  return {
    start() {
      for (const system of systems.all()) if (system.pollEveryMs > 0) keepPolling(system)
      streams.start(systems.all())
    },

    pollOnce,

    async receive(system, request) {
      const receiver = options.receiverOf?.(system) ?? system.adapter.webhook
      if (!receiver) return { ok: false, status: 404, message: `System "${system.id}" sends no webhooks.` }
      const count = counts(system.id)
      const signed = receiver.receive(request, new Date())
      const verdict = signed.ok && receiver.readLater ? await receiver.readLater(request) : signed
      if (!verdict.ok) {
        count.refused[verdict.reason]++
        const status = verdict.reason === 'malformed' ? 400 : 401
        return { ok: false, status, message: verdict.detail }
      }
      // The same bytes under a signature that is still good: sent again, by the system or by somebody else.
      const taken = await take(system, verdict.notifications, receivedOf(system, request.body))
      if (taken === 'postponed') {
        count.postponed++
        return { ok: false, status: 503, message: 'The record could not be read now; send it again.' }
      }
      count[taken === 'repeated' ? 'repeated' : 'received']++
      return { ok: true, received: verdict.notifications.length }
    },

    tooLarge(id) {
      // Only names of systems are counted: whoever calls may invent others.
      if (systems.get(id)) counts(id).refused.tooLarge++
    },

    webhookCounts: counts,

    take,

    async close() {
      stop.abort()
      for (const timer of timers) clearTimeout(timer)
      await Promise.allSettled([...running, streams.close()])
    },
  }
}

export const receivedOf = (system: System, body: Buffer): Received => ({
  system: system.id,
  id: createHash('sha256').update(body).digest('hex'),
})

/** New is what was made after this feed began to look; systems stamp to the minute, some with a clock of their own. */
interface Checkpoint {
  readonly feed: string
  /** Null: forgotten. */
  readonly value: string | null
}

/** A first look that has begun. */
interface Look {
  /** When, RFC 3339: what was made later is new. */
  readonly at: string
  /** The log's then. */
  readonly position: number
  /** What the system says changed shortly before. */
  readonly before: Key[]
}

const lookOf = (feed: string): string => `look/${feed}`

async function keep(tx: Database, { feed, value }: Checkpoint): Promise<void> {
  if (value === null) await tx.deleteFrom('checkpoint').where('feed', '=', feed).execute()
  else {
    await tx
      .insertInto('checkpoint')
      .values({ feed, value })
      .onConflict((conflict) => conflict.column('feed').doUpdateSet({ value }))
      .execute()
  }
}

async function readNotified(
  system: System,
  notification: Notification,
  door: Door,
): Promise<{ ok: true; sighting?: Sighting; loss?: Loss } | { ok: false }> {
  const { type, key, id, time, change } = notification
  if (!portOf(system, type)) return { ok: true }
  const outcome: Outcome<RecordTypes[RecordType] | null> = notification.record
    ? { ok: true, value: notification.record }
    : await door.record(system, type, key)
  if (!outcome.ok) return { ok: false }
  if (!outcome.value) {
    const told = change === 'deleted'
    return { ok: true, loss: { system: system.id, record: type, key, eventId: id, time, told } }
  }
  const sighting: Sighting = {
    system: system.id,
    record: type,
    value: outcome.value,
    eventId: id,
    time,
    isNew: change === 'created',
  }
  return { ok: true, sighting }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] }

async function isReceived(store: Store, { system, id }: Received): Promise<boolean> {
  const row = await store.read
    .selectFrom('received')
    .select('at')
    .where('system', '=', system)
    .where('id', '=', id)
    .executeTakeFirst()
  return row !== undefined
}

async function checkpointOf(store: Store, feed: string): Promise<string | null> {
  const row = await store.read
    .selectFrom('checkpoint')
    .select('value')
    .where('feed', '=', feed)
    .executeTakeFirst()
  return row?.value ?? null
}
