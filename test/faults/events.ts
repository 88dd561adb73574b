/**
 * The change path under attack: deliveries doubled, reordered and late, from webhooks and polling at once; subscribers
 * cut off at random; gateways killed; forgeries. In the end what each subscriber received must be what the log has for
 * its filter: nothing missing, nothing twice, nothing out of order.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { parse } from 'yaml'
import { encodeId } from '../../src/identity/ids.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createRandom } from '../../src/simulation/random.ts'
import { changeOrder, deliver } from '../../src/simulation/trade.ts'
import { openPostgresStore } from '../../src/store/postgres.ts'
import { openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import { KEY, type Running, simulateSystems } from '../e2e/processes.ts'
import type { Stored } from '../events/brokers.ts'
import { type BrokerName, type BrokerUnderTest, startBroker } from './brokers.ts'

export interface EventCampaignOptions {
  readonly seed: number
  /** How long things change; the end takes up to half a minute more. */
  readonly seconds: number
  readonly clients: number
  readonly gateways: number
  /** Address of a PostgreSQL server; not given: SQLite, one gateway. */
  readonly postgres?: string | undefined
  /** Tells of changes and is told of events too, and is killed and started again; not given: no broker takes part. */
  readonly broker?: BrokerName | undefined
  readonly say?: (line: string) => void
}

export interface EventCampaignReport {
  readonly seed: number
  readonly store: 'sqlite' | 'postgres'
  readonly seconds: number
  readonly kills: number
  readonly cuts: number
  readonly webhooks: number
  readonly events: number
  readonly deliveries: number
  readonly gaps: number
  /** By what was wrong with them; those that were not answered, as a gateway was killed, do not count. */
  readonly forgeries: Readonly<Record<string, { readonly sent: number; readonly refused: number }>>
  /** Null where no broker took part. */
  readonly broker: {
    readonly restarts: number
    readonly messages: number
    readonly poison: number
    readonly parked: number
    readonly told: number
    readonly toldTwice: number
  } | null
  /** What is wrong, one line each; empty where the campaign has passed. */
  readonly misses: readonly string[]
}

const SECRET = 'the secret of the simulated erp'
const OTHERS_SECRET = 'the secret of another system'
const SETTLE_MS = 30_000
/**
 * What a gateway held when it was killed counts against the ERP's licences until the vendor ends it, after half an hour:
 * here sooner, so that a minute has more kills than there are licences.
 */
const ERP = { maxSessions: 8, sessionTimeoutMs: 4_000 }

interface Filter {
  readonly name: string
  readonly variables: Readonly<Record<string, unknown>>
  matches(event: { key: string; facts: Readonly<Record<string, string | null>> }): boolean
}

const SUBSCRIPTION = `subscription S($after: String, $id: ID, $status: [OrderStatus!]) {
  orderChanged(after: $after, id: $id, status: $status) { cursor gap { reason } order { number } } }`

export async function runEventCampaign(options: EventCampaignOptions): Promise<EventCampaignReport> {
  const random = createRandom(options.seed)
  const chance = (share: number) => random.next() < share
  const say = options.say ?? (() => {})
  const schema = `faults_${process.pid}_${Date.now() % 1_000_000}`
  await using broker = options.broker ? await startBroker(options.broker) : null
  await using systems = await simulateSystems({
    erp: ERP,
    configure(file) {
      Object.assign(
        file,
        broker?.config,
        options.postgres ? { store: { postgres: options.postgres, schema } } : {},
      )
      Object.assign(file.systems.erp ?? {}, {
        notify: { profile: 'standard', secret: SECRET },
        pollEvery: '400ms',
        breaker: { failures: 1_000 },
      })
    },
  })
  const { world } = systems
  const gateways: Running[] = []
  for (let at = 0; at < options.gateways; at++) gateways.push(await systems.run('start'))
  const any = () => gateways[Math.floor(random.next() * gateways.length)] as Running

  let running = true
  let kills = 0
  let cuts = 0
  let webhooks = 0
  let restarts = 0
  const forgeries: Record<string, { sent: number; refused: number }> = {}
  const messages: Promise<void>[] = []
  const told = new Set<string>()
  let poison = 0
  const misses: string[] = []

  // Everybody begins at the same place of the log.
  const start = await placeOf(gateways[0] as Running)
  const filters: Filter[] = [
    { name: 'every order', variables: {}, matches: () => true },
    {
      name: 'delivered ones',
      variables: { status: ['DELIVERED'] },
      matches: ({ facts }) => facts.status === 'DELIVERED',
    },
    ...[3, 5, 7].map((entry) => ({
      name: `order ${entry}`,
      variables: { id: encodeId({ type: 'order', system: 'erp', key: String(entry) }) },
      matches: ({ key }: { key: string }) => key === String(entry),
    })),
  ]
  const subscribers = Array.from({ length: options.clients }, (_, at) =>
    follow(filters[at % filters.length] as Filter, start, () => any().url),
  )

  const post = (body: Buffer, secret = SECRET, ageSeconds = 0, id: string = randomUUID()) => {
    const seconds = Math.floor(Date.now() / 1000) - ageSeconds
    return any()
      .post(body, {
        path: '/webhooks/erp',
        headers: {
          'webhook-id': id,
          'webhook-timestamp': String(seconds),
          'webhook-signature': signWebhook(secret, id, seconds, body),
        },
      })
      .then(({ status }) => status)
      .catch(() => 0)
  }
  const noticeOf = (entry: number) =>
    Buffer.from(
      JSON.stringify({
        id: randomUUID(),
        event: 'order.updated',
        timestamp: new Date().toISOString(),
        data: { externalId: String(entry) },
      }),
    )

  const changes = async () => {
    for (let count = 0; running; count++) {
      const entry = 1 + Math.floor(random.next() * 12)
      const order = world.get('erpOrders', String(entry))
      if (!order) continue
      if (chance(0.05) && !order.closed) deliver(world, order)
      else changeOrder(world, order, { comments: `change ${count}` })
      // Some changes are told twice, late, or not at all: then only polling finds them.
      const times = chance(0.2) ? 0 : chance(0.3) ? 3 : 1
      const body = noticeOf(entry)
      if (broker && chance(0.5)) {
        told.add(String(body))
        messages.push(broker.tell(String(body)))
      }
      if (broker && chance(0.02)) messages.push(broker.tell(`no JSON ${poison++}`))
      for (let time = 0; time < times; time++) {
        webhooks++
        void delay(chance(0.3) ? random.next() * 800 : 0).then(() =>
          post(chance(0.5) ? body : noticeOf(entry)),
        )
      }
      await delay(10 + random.next() * 40)
    }
  }

  const cutting = async () => {
    while (running) {
      await delay(100 + random.next() * 200)
      const one = subscribers[Math.floor(random.next() * subscribers.length)]
      if (one?.cut()) cuts++
    }
  }

  const killing = async () => {
    while (running) {
      await delay(2_500 + random.next() * 2_500)
      if (!running) return
      const at = Math.floor(random.next() * gateways.length)
      say(`kills gateway ${at}`)
      await gateways[at]?.kill()
      kills++
      gateways[at] = await systems.run('start')
    }
  }

  const forging = async () => {
    while (running) {
      await delay(200)
      const body = noticeOf(1)
      const attempts: readonly (readonly [kind: string, post: () => Promise<number>])[] = [
        ['the secret of another system', () => post(body, OTHERS_SECRET)],
        ['too old', () => post(body, SECRET, 301)],
        // Far enough: it must not become right on its way.
        ['from the future', () => post(body, SECRET, -400)],
        ['no JSON', () => post(Buffer.from('{"id": 1'), SECRET)],
        [
          'of no record',
          () => post(Buffer.from(JSON.stringify({ id: 'x', event: 'order.updated', data: {} }))),
        ],
        ['5 MB', () => post(Buffer.alloc(5_000_000, 0x20), SECRET)],
        ['100 MB', () => flood(any().url)],
      ]
      const [kind, send] = attempts[Math.floor(random.next() * attempts.length)] ?? []
      const status = await send?.()
      // Nothing was answered where a gateway was just killed.
      if (!status || kind === undefined) continue
      forgeries[kind] ??= { sent: 0, refused: 0 }
      forgeries[kind].sent++
      if (status >= 400 && status < 500) forgeries[kind].refused++
      else misses.push(`a forgery (${kind}) was answered with ${status}`)
    }
  }

  const restarting = async (server: BrokerUnderTest) => {
    while (running) {
      await delay(server.upMs * (1 + random.next()))
      if (!running) return
      say('restarts the broker')
      await server.restart()
      restarts++
    }
  }

  const actors = [changes(), cutting(), killing(), forging(), ...(broker ? [restarting(broker)] : [])]
  await delay(options.seconds * 1_000)
  running = false
  await Promise.all(actors)
  // Late deliveries.
  await delay(1_000)
  await Promise.all(messages)

  const file = parse(readFileSync(systems.configFile, 'utf8')) as { dataDir: string }
  const store = options.postgres
    ? await openPostgresStore({ url: options.postgres, schema, connections: 2, logger: silentLog })
    : await openSqliteStore(join(file.dataDir, 'tributary.sqlite'))
  // What the ERP has must come into the log, if only by the next round of polling.
  const behind = async () => {
    const known = await store.read
      .selectFrom('snapshot')
      .select(['key', 'state'])
      .where('record', '=', 'order')
      .execute()
    const states = new Map(known.map(({ key, state }) => [key, JSON.parse(state) as { comments?: string }]))
    return world.all('erpOrders').flatMap(({ docEntry, comments }) => {
      const told = states.get(String(docEntry))?.comments ?? ''
      return told === (comments ?? '')
        ? []
        : [`order ${docEntry}: the ERP says "${comments}", the log "${told}"`]
    })
  }
  for (const deadline = Date.now() + SETTLE_MS; (await behind()).length > 0 && Date.now() < deadline; )
    await delay(100)
  misses.push(...(await behind()))
  const rows = await store.read
    .selectFrom('event')
    .select(['position', 'key', 'data'])
    .where('record', '=', 'order')
    .where('position', '>', positionOf(start))
    .orderBy('position')
    .execute()
  const log = rows.map(({ position, key, data }) => ({
    position: Number(position),
    key,
    facts: JSON.parse(data).facts as Record<string, string | null>,
  }))
  say(`${log.length} events; waiting for ${subscribers.length} subscribers`)

  let deliveries = 0
  let gaps = 0
  for (const [at, one] of subscribers.entries()) {
    const expected = log.filter(one.filter.matches).map(({ position }) => position)
    const deadline = Date.now() + SETTLE_MS
    while (one.received.length < expected.length && Date.now() < deadline) await delay(50)
    one.end()
    deliveries += one.received.length
    gaps += one.gaps
    const wrong = expected.findIndex((position, index) => one.received[index] !== position)
    const first = wrong === -1 && one.received.length > expected.length ? expected.length : wrong
    if (first !== -1)
      misses.push(
        `subscriber ${at} (${one.filter.name}): at ${first} the log has ${expected[first]}, received was ` +
          `${one.received[first]}; ${one.received.length} of ${expected.length}`,
      )
    if (one.gaps > 0) misses.push(`subscriber ${at} was told of a gap, and the log is whole`)
  }
  const brokered = broker && {
    restarts,
    messages: messages.length,
    poison,
    ...(await compareWithBroker(broker, store, told, poison, misses)),
  }
  await store.close()
  if (log.length === 0) misses.push('nothing happened')
  return {
    seed: options.seed,
    store: options.postgres ? 'postgres' : 'sqlite',
    seconds: options.seconds,
    kills,
    cuts,
    webhooks,
    events: log.length,
    deliveries,
    gaps,
    forgeries,
    broker: brokered,
    misses,
  }
}

/**
 * The sink's topic must have every event of orders, each record's in the log's order; what it has twice is allowed.
 * Everything that the feed's topic was told must have been taken, and what nobody can read parked, each once.
 */
async function compareWithBroker(
  broker: BrokerUnderTest,
  store: Store,
  told: ReadonlySet<string>,
  poison: number,
  misses: string[],
) {
  const names = [...told].map((body) => createHash('sha256').update(body).digest('hex'))
  const untaken = async () => {
    const rows = await store.read.selectFrom('received').select('id').where('system', '=', 'erp').execute()
    const taken = new Set(rows.map(({ id }) => id))
    return names.filter((name) => !taken.has(name)).length
  }
  const parked = async () =>
    (await store.read.selectFrom('parked').select('body').execute()).map(({ body }) => JSON.parse(body).text)
  const isSettled = async () =>
    (await untaken()) === 0 && (await parked()).length >= poison && !(await broker.unsettled())
  for (const end = Date.now() + broker.settleMs; !(await isSettled()) && Date.now() < end; ) await delay(200)
  const lost = await untaken()
  if (lost > 0) misses.push(`${lost} of ${told.size} messages were not taken`)
  const left = await broker.unsettled()
  if (left) misses.push(`the broker still has ${left} messages that were not acknowledged`)
  const parkedOnes = await parked()
  if (parkedOnes.length !== poison || new Set(parkedOnes).size !== poison)
    misses.push(`${poison} messages could not be read, and ${parkedOnes.length} are parked`)

  const rows = await store.read
    .selectFrom('event')
    .select(['position', 'system', 'record', 'key'])
    .where('type', 'like', 'order.%')
    .orderBy('position')
    .execute()
  const expected = Map.groupBy(rows, ({ system, record, key }) => `${system}/${record}/${key}`)
  const sequenceOf = ({ body }: Stored) => Number(JSON.parse(body.toString()).sequence)
  const distinct = (all: readonly Stored[]) => [...new Set(all.map(sequenceOf))]
  const stored = await broker.told((all) => all.length >= rows.length && distinct(all).length >= rows.length)
  const found = Map.groupBy(stored, ({ key }) => key)
  for (const [key, events] of expected) {
    const firsts = distinct(found.get(key) ?? [])
    const wanted = events.map(({ position }) => Number(position))
    if (firsts.join() !== wanted.join())
      misses.push(`the broker was told of ${key}: ${firsts.join(' ')}; the log has ${wanted.join(' ')}`)
  }
  return {
    parked: parkedOnes.length,
    told: stored.length,
    toldTwice: stored.length - distinct(stored).length,
  }
}

const FLOOD = 100_000_000

/** A body of 100 MB, sent for as long as nobody says no. @returns The status; 0 without an answer. */
function flood(gateway: string): Promise<number> {
  return new Promise((resolve) => {
    const post = request(`${gateway}/webhooks/erp`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': FLOOD },
    })
    const chunk = Buffer.alloc(1_000_000, 0x20)
    let left = FLOOD
    const write = () => {
      while (left > 0) {
        left -= chunk.length
        if (!post.write(chunk)) return void post.once('drain', write)
      }
      post.end()
    }
    post.on('response', (answer) => {
      resolve(answer.statusCode ?? 0)
      answer.resume()
      left = 0
      post.destroy()
    })
    post.on('error', () => resolve(0))
    write()
  })
}

/** The test may look into what clients must not: `version.epoch.position.time.signature`. */
const positionOf = (cursor: string): number =>
  Number(Buffer.from(cursor, 'base64url').toString('utf8').split('.')[2])

async function placeOf(gateway: Running): Promise<string> {
  const client = connect(gateway.url)
  try {
    const query = `subscription { orderChanged(initial: true, id: "${encodeId({ type: 'order', system: 'erp', key: '1' })}") { cursor } }`
    for await (const { data } of client.iterate<{ orderChanged: { cursor: string } }>({ query })) {
      if (data) return data.orderChanged.cursor
    }
    throw new Error('no place in the log')
  } finally {
    await client.dispose()
  }
}

/** One that is cut off while it connects says so to nobody in particular. */
class Socket extends WebSocket {
  constructor(...args: ConstructorParameters<typeof WebSocket>) {
    super(...args)
    this.on('error', () => {})
  }
}

const connect = (url: string): Client =>
  createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: Socket,
    retryAttempts: 0,
    connectionParams: { 'x-api-key': KEY },
  })

/** Goes on where it stopped, at whatever gateway answers. */
function follow(filter: Filter, start: string, urlOf: () => string) {
  const received: number[] = []
  let last = start
  let gaps = 0
  let over = false
  let client: Client | undefined
  const run = async () => {
    while (!over) {
      const mine = connect(urlOf())
      client = mine
      try {
        const stream = mine.iterate<{ orderChanged: { cursor: string; gap: object | null } }>({
          query: SUBSCRIPTION,
          variables: { ...filter.variables, after: last },
        })
        for await (const { data } of stream) {
          // Whatever is still under way on a connection that was cut counts as lost.
          if (client !== mine || over) break
          if (!data) continue
          const { cursor, gap } = data.orderChanged
          last = cursor
          if (gap) gaps++
          else received.push(positionOf(cursor))
        }
      } catch {
        // Cut off, or the gateway is gone.
      }
      await delay(50)
    }
  }
  void run()
  return {
    filter,
    received,
    get gaps() {
      return gaps
    },
    cut(): boolean {
      if (!client) return false
      client.terminate()
      return true
    },
    end() {
      over = true
      client?.terminate()
    },
  }
}
