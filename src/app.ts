/** The house put together: one process's systems, paths and subgraphs, from a checked configuration. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSubgraphContext, type Rooms, type SubgraphContext } from '../subgraphs/kit/context.ts'
import { type Caller, SERVICE_SCOPE } from './caller/caller.ts'
import { type CallLog, createCallLog } from './calls/log.ts'
import type { Config, SystemConfig } from './config/schema.ts'
import { createBrokers } from './events/brokers/brokers.ts'
import { type Clock, createClock } from './events/clock.ts'
import { isRecordEvent } from './events/event.ts'
import { createFeeds, type Door as FeedDoor, type Feeds } from './events/feeds.ts'
import { healthOf } from './events/health.ts'
import { openEventLog } from './events/log.ts'
import { createOutbound } from './events/outbound.ts'
import { createRegistrations } from './events/registrations.ts'
import { createReceiver } from './events/webhooks.ts'
import { createFlows, type Flow } from './flows/flow.ts'
import { createFlowDesk } from './flows/operate.ts'
import { createRunner } from './flows/runner.ts'
import { createRuns } from './flows/runs.ts'
import { flowsOf } from './flows/shipped.ts'
import { createFlowTools } from './flows/tools.ts'
import { createTriggers } from './flows/triggers.ts'
import { readLinks } from './identity/links.ts'
import { createIdentityRegistry } from './identity/registry.ts'
import { createSweeper, type Sweeper } from './identity/sweep.ts'
import type { Log } from './observe/log.ts'
import { type CallWatch, createCallWatch } from './reading/call-watch.ts'
import { countInStore } from './reading/day-calls.ts'
import { createReading } from './reading/reading.ts'
import { createHoldings } from './store/holdings.ts'
import { openSqliteStore } from './store/sqlite.ts'
import { makeSecret, type Store, StoreError, sharedValue } from './store/store.ts'
import { inCallScope } from './systems/call-scope.ts'
import { fail } from './systems/failure.ts'
import { kinds } from './systems/kinds.ts'
import type { Holdings } from './systems/port.ts'
import type { RecordType } from './systems/records.ts'
import { createSystems, type System, type WriteMode } from './systems/registry.ts'
import { createJournal } from './writeback/journal.ts'
import { createOperator } from './writeback/operate.ts'
import { joinStore } from './writeback/process.ts'
import { createWorker } from './writeback/worker.ts'
import { createWriter } from './writeback/writer.ts'

export interface App {
  readonly config: Config
  readonly rooms: Rooms
  readonly store: Store
  readonly feeds: Feeds
  readonly clock: Clock
  readonly sweeper: Sweeper
  /** Signs who is asking, between gateway and subgraphs. */
  readonly callerSecret: string
  /** @param maxAgeMs Values older than this will do only where there are no others; not given: any. */
  contextFor(caller: Caller, signal?: AbortSignal, maxAgeMs?: number): SubgraphContext
  /** Begins to carry writes, ask for changes and fill identities. */
  start(): void
  /** Answers when the first identity sweep is over: before that, customers of different systems are strangers. */
  ready(): Promise<void>
  close(): Promise<void>
}

export interface AppOptions {
  /** Flows beside those of the configuration. */
  readonly flows?: readonly Flow[]
}

export async function openApp(config: Config, logger: Log, options: AppOptions = {}): Promise<App> {
  const store = await openStore(config, logger)
  const calls = createCallLog(store, config.calls, logger)
  const membership = await joinStore(store, { leaseMs: config.store.lease })
  const systems = createSystems(
    await Promise.all(
      Object.entries(config.systems).map(([id, system]) =>
        openSystem(id, system, logger, { calls, holdings: createHoldings(store, membership, id) }),
      ),
    ),
    config.leading,
  )
  const identity = createIdentityRegistry(store)
  const events = await openEventLog(store, systems.eventName)
  const journal = createJournal(store)
  const reading = createReading({
    systems,
    settings(id) {
      const system = config.systems[id]
      if (!system) throw new Error(`no system ${id}`) // systems are made from the same configuration
      return system
    },
    maxBytes: config.reading.cacheBytes,
    callCounter: (system, perDay) => countInStore(store, system, perDay),
    logger,
  })
  events.onApply((list) => reading.apply(list.filter(isRecordEvent)))
  const worker = createWorker({
    store,
    journal,
    systems,
    events,
    membership,
    logger,
    readers: reading,
    away: (system) => reading.guardOf(system).refusal(),
    settings(id) {
      const system = config.systems[id]
      if (!system) throw new Error(`no system ${id}`) // systems are made from the same configuration
      return system.writing
    },
  })
  const writer = createWriter(systems, journal, worker)
  const operator = createOperator({ store, journal, worker, readers: reading })
  const { owner } = membership
  const match = { customer: config.identity.customer.match, product: config.identity.product.match }
  const door: FeedDoor = {
    away: (system) => reading.guardOf(system).refusal() !== null,
    read: (system, call, signal) => reading.guardOf(system).read(call, { signal }),
    async record(system, type, key) {
      const now = { credentialScope: SERVICE_SCOPE, since: Date.now() }
      const read = await reading.record(system, type, key, now)
      // What it said last is no answer to what it says now.
      return read.ok && read.from.stale ? AWAY : read
    },
    observe: reading.observe,
  }
  const sweeper = createSweeper({ systems, identity, store, match, owner, logger, door })
  const receivers = new Map(
    Object.entries(config.systems).flatMap(([id, { notify }]) =>
      notify ? [[id, createReceiver(notify)] as const] : [],
    ),
  )
  const feeds = createFeeds({
    store,
    systems,
    log: events,
    owner,
    logger,
    door,
    onRecords: sweeper.noticed,
    receiverOf: (system) => receivers.get(system.id),
  })
  const brokers = createBrokers(config, {
    feeds,
    systems,
    store,
    log: events,
    owner,
    logger,
    maxBodyBytes: config.maxBodyBytes,
  })
  const clock = createClock({
    store,
    systems,
    log: events,
    owner,
    logger,
    health: (system) => healthOf(reading, system),
    timeZone: config.events.timeZone,
    keep: { ageMs: config.events.keep, maxBytes: config.events.maxBytes },
  })
  const outbound = createOutbound({
    store,
    log: events,
    owner,
    logger,
    allow: config.outbound.allow,
    timeoutMs: config.outbound.timeout,
    pauseAfterMs: config.outbound.pauseAfter,
  })
  const flows = createFlows([...(await flowsOf(config.flows)), ...(options.flows ?? [])])
  const runs = createRuns(store)
  const tools = createFlowTools(systems, reading, identity)
  const flowing = { store, runs, flows, tools, events, logger }
  const runner = createRunner({ ...flowing, journal, writer, worker, membership })
  const triggers = createTriggers({ ...flowing, owner, tenant: config.flows.tenant, wake: runner.wake })
  const desk = createFlowDesk({ ...flowing, runner })
  const rooms: Rooms = {
    systems,
    identity,
    events,
    feeds,
    brokers,
    outbound,
    registrations: createRegistrations({ store, operator }),
    journal,
    writer,
    worker,
    operator,
    flows: desk,
    calls,
    reading,
  }
  for (const file of config.identity.import) {
    const links = readLinks(readFileSync(file, 'utf8'), (id) => systems.get(id) !== undefined)
    if ('problems' in links) throw new Error(`${file}: ${links.problems.join('; ')}`)
    await identity.link(links.requests, 'configured')
  }
  const watch = (): CallWatch | undefined =>
    process.env.NODE_ENV === 'production' ? undefined : createCallWatch(logger, config.reading.expectedCalls)
  let swept: Promise<void> = Promise.resolve()

  return {
    config,
    rooms,
    store,
    feeds,
    clock,
    sweeper,
    callerSecret: config.callerSecret ?? (await sharedValue(store, 'caller-secret', makeSecret)),
    contextFor: (caller, signal, maxAgeMs) =>
      createSubgraphContext(rooms, { caller, signal, maxAgeMs }, watch()),
    start() {
      worker.start()
      clock.start()
      outbound.start()
      calls.start()
      runner.start()
      // Nothing is begun where no flow is declared; what was begun before is shown to a person.
      if (flows.all().length > 0) triggers.start()
      swept = sweeper.start()
      // Feeds read what identities are made of too; the sweep goes first, so that the first system founds them.
      const follow = () => {
        feeds.start()
        brokers.start()
      }
      swept.then(follow, follow)
    },
    ready: () => swept,
    async close() {
      await Promise.all([triggers.close(), runner.close()])
      // Its messages are read through the feeds.
      await brokers.close()
      await Promise.all([feeds.close(), clock.close(), outbound.close(), sweeper.close(), worker.close()])
      events.close()
      await reading.close()
      await systems.close()
      await calls.close()
      await membership.leave()
      await store.close()
    },
  }
}

async function openStore({ dataDir, store }: Config, logger: Log): Promise<Store> {
  const { postgres: url, schema, connections } = store
  try {
    if (url === undefined) return await openSqliteStore(join(dataDir, 'tributary.sqlite'))
    const { openPostgresStore } = await import('./store/postgres.ts')
    return await openPostgresStore({ url, schema, connections, logger })
  } catch (error) {
    // What drivers say names no address with its password.
    const { message, code } = error as { message: string; code?: string }
    const reason = message || code
    throw new StoreError(
      url === undefined
        ? `The data folder "${dataDir}" (dataDir) cannot be used: ${reason}. It must be a folder that may be written to, and tributary.sqlite in it a database.`
        : `The PostgreSQL of store.postgres cannot be used: ${reason}. See that it runs, and that its address, user and password are right.`,
      { cause: error },
    )
  }
}

interface SystemOptions {
  /** Told of its exchanges. */
  readonly calls?: Pick<CallLog, 'told'>
  readonly holdings?: Holdings
}

export async function openSystem(
  id: string,
  config: SystemConfig,
  logger: Log,
  { calls, holdings }: SystemOptions = {},
): Promise<System> {
  const kind = kinds[config.kind]
  if (!kind) throw new Error(`no kind ${config.kind}`) // the configuration was checked
  const create = await kind.adapter()
  const log = logger.child({ system: id })
  // The adapter's connections remember whose they are.
  const scope = calls?.told ? { told: calls.told, about: { system: id } } : {}
  const adapter = inCallScope(scope, () =>
    create(config.settings as never, {
      systemId: id,
      log,
      timeoutMs: config.timeout,
      ...(holdings ? { holdings } : {}),
    }),
  )
  return {
    id,
    kind: config.kind,
    environment: config.environment,
    adapter,
    pollEveryMs: config.pollEvery,
    commitDelayMs: config.commitDelay,
    orderNumbersFrom: config.orderNumbersFrom,
    deliveryNumbersFrom: config.deliveryNumbersFrom,
    writeMode: (record, action) => modeOf(config.writes, record, action),
  }
}

const AWAY = fail({
  kind: 'unavailable',
  reason: 'unreachable',
  detail: 'only its last known value is there',
})

function modeOf(writes: SystemConfig['writes'], record: RecordType, action: string): WriteMode {
  return typeof writes === 'string' ? writes : (writes[`${record}.${action}`] ?? 'off')
}
