/**
 * Webhooks to others: what the log has, to whoever registered for it. Deliveries are made in the store before anything
 * is sent, in the order of the log; each is tried until it is taken or its endpoint's patience is over.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import { request } from 'undici'
import type { Caller } from '../caller/caller.ts'
import type { Log } from '../observe/log.ts'
import { type Store, takeLease } from '../store/store.ts'
import type { DeliveryTable, EndpointTable } from '../store/tables.ts'
import { signWebhook } from '../systems/kit/signature.ts'
import { createAddressCheck, createOutboundAgent } from './addresses.ts'
import { appendNotes } from './append.ts'
import type { ChangeEvent } from './event.ts'
import { type EventLog, eventsBetween } from './log.ts'

export interface RetryPolicy {
  readonly maxRetries: number
  /** Milliseconds before the first retry. */
  readonly retryDelay: number
  readonly backoffMultiplier: number
}

export interface Endpoint {
  readonly id: string
  readonly url: string
  readonly events: readonly string[]
  readonly retryPolicy: RetryPolicy
  readonly state: 'active' | 'paused' | 'failing'
  readonly note: string | null
  readonly createdBy: string
  readonly createdAt: string
}

export interface EndpointInput {
  readonly url: string
  readonly events: readonly string[]
  readonly secret?: string | undefined
  readonly retryPolicy?: Partial<RetryPolicy> | undefined
}

export interface Delivery {
  readonly id: string
  readonly event: string
  readonly eventId: string
  readonly position: number
  readonly state: 'waiting' | 'delivered' | 'failed'
  readonly attempts: number
  readonly dueAt: number
  readonly createdAt: string
}

export interface Attempt {
  readonly number: number
  readonly at: string
  readonly status: number | null
  readonly error: string | null
  readonly took: number
}

export interface Outbound {
  start(): void
  /** @returns The endpoint with its secret, which is told this once. */
  register(caller: Caller, input: EndpointInput): Promise<{ endpoint: Endpoint; secret: string }>
  list(caller: Caller): Promise<readonly Endpoint[]>
  get(caller: Caller, id: string): Promise<Endpoint | null>
  /** Active again goes on where it stopped. */
  setActive(caller: Caller, id: string, active: boolean): Promise<Endpoint | null>
  remove(caller: Caller, id: string): Promise<boolean>
  deliveries(
    endpoint: string,
    page: { first: number; before?: number | undefined; state?: Delivery['state'] | undefined },
  ): Promise<readonly Delivery[]>
  attempts(delivery: string): Promise<readonly Attempt[]>
  /** Sends again, under the same id. @param delivery Default: all that failed. @returns How many. */
  replay(caller: Caller, id: string, delivery?: string): Promise<number>
  close(): Promise<void>
}

export interface OutboundOptions {
  readonly store: Store
  readonly log: EventLog
  readonly owner: string
  readonly logger: Log
  /** Internal networks that may be reached. */
  readonly allow: readonly string[]
  readonly timeoutMs: number
  /** An endpoint at which nothing succeeded for so long is paused. */
  readonly pauseAfterMs: number
}

const DEFAULT_POLICY: RetryPolicy = { maxRetries: 8, retryDelay: 5_000, backoffMultiplier: 3 }
const MAX_DELAY_MS = 6 * 60 * 60_000
const LEASE_MS = 15_000
const LOOK_MS = 1_000
/** Deliveries of one endpoint in one go; then others have their turn. */
const BURST = 50

export function createOutbound(options: OutboundOptions): Outbound {
  const { store, log, owner, logger } = options
  const agent = createOutboundAgent(createAddressCheck(options.allow), options.timeoutMs)
  const stop = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let again = false
  let started = false

  /** From the log to deliveries, with how far that has come: one transaction for each page and endpoint. */
  const fanOut = async (endpoint: Selectable<EndpointTable>) => {
    for (let position = Number(endpoint.position); !stop.signal.aborted; ) {
      const { floor } = await log.state()
      if (floor > position) {
        logger.error(
          { endpoint: endpoint.id },
          'events were out of the log before they were sent to a webhook',
        )
        position = floor
      }
      const page = await eventsBetween(store.read, position, log.here().position)
      const last = page.at(-1)
      if (!last) return
      const wanted = page.filter((event) => wants(endpoint, event))
      await store.transact(async (tx) => {
        for (const event of wanted) {
          await tx
            .insertInto('delivery')
            .values({
              id: `msg_${randomUUID().replaceAll('-', '')}`,
              endpoint: endpoint.id,
              position: event.position,
              event_id: event.id,
              type: event.type,
              body: JSON.stringify(bodyOf(event)),
              state: 'waiting',
              attempts: 0,
              due_at: Date.now(),
              created_at: new Date().toISOString(),
            })
            .onConflict((conflict) => conflict.columns(['endpoint', 'position']).doNothing())
            .execute()
        }
        await tx
          .updateTable('endpoint')
          .set({ position: last.position })
          .where('id', '=', endpoint.id)
          .execute()
      })
      position = last.position
    }
  }

  const sendDue = async (endpoint: Selectable<EndpointTable>) => {
    const due = await store.read
      .selectFrom('delivery')
      .selectAll()
      .where('endpoint', '=', endpoint.id)
      .where('state', '=', 'waiting')
      .where('due_at', '<=', Date.now())
      .orderBy('position')
      .limit(BURST)
      .execute()
    for (const delivery of due) {
      if (stop.signal.aborted) return
      const outcome = await post(endpoint, delivery)
      // The process stops: whether it was taken is not known, so it is sent once more under the same id.
      if (outcome === null) return
      await settle(endpoint, delivery, outcome)
      if (!outcome.ok) return
    }
    if (due.length === BURST) again = true
  }

  const post = async (
    { url, secret }: Selectable<EndpointTable>,
    { id, body }: Selectable<DeliveryTable>,
  ): Promise<Posted | null> => {
    const began = performance.now()
    const took = () => Math.round(performance.now() - began)
    const seconds = Math.floor(Date.now() / 1000)
    const bytes = Buffer.from(body)
    try {
      const answer = await request(url, {
        method: 'POST',
        dispatcher: agent,
        body: bytes,
        signal: AbortSignal.any([stop.signal, AbortSignal.timeout(options.timeoutMs)]),
        headers: {
          'content-type': 'application/json',
          'user-agent': 'tributary',
          'webhook-id': id,
          'webhook-timestamp': String(seconds),
          'webhook-signature': signWebhook(secret, id, seconds, bytes),
        },
      })
      await answer.body.dump()
      const ok = answer.statusCode >= 200 && answer.statusCode < 300
      return { ok, status: answer.statusCode, error: ok ? null : `HTTP ${answer.statusCode}`, took: took() }
    } catch (error) {
      if (stop.signal.aborted) return null
      const { message, cause } = error as Error & { cause?: Error }
      return { ok: false, status: null, error: cause?.message ?? message, took: took() }
    }
  }

  const settle = async (
    endpoint: Selectable<EndpointTable>,
    delivery: Selectable<DeliveryTable>,
    { ok, status, error, took }: Posted,
  ) => {
    const now = Date.now()
    const number = delivery.attempts + 1
    const retry = number <= endpoint.max_retries
    const wait = Math.min(endpoint.retry_delay * endpoint.backoff ** (number - 1), MAX_DELAY_MS)
    const failingSince = ok ? null : Number(endpoint.failing_since ?? now)
    const gone = status === 410
    const pause = !ok && (gone || now - (failingSince ?? now) >= options.pauseAfterMs)
    const note = gone
      ? 'it answered that it is gone'
      : `nothing was taken since ${timeText(failingSince ?? now)}`
    await store.transact(async (tx) => {
      await tx
        .insertInto('delivery_attempt')
        .values({ delivery: delivery.id, number, at: new Date(now).toISOString(), status, error, took })
        .execute()
      await tx
        .updateTable('delivery')
        .set({
          state: ok ? 'delivered' : retry ? 'waiting' : 'failed',
          attempts: number,
          due_at: ok ? now : now + wait * (0.9 + Math.random() / 5),
        })
        .where('id', '=', delivery.id)
        .execute()
      await tx
        .updateTable('endpoint')
        .set({ failing_since: failingSince, ...(pause ? { state: 'failing', note } : {}) })
        .where('id', '=', endpoint.id)
        .execute()
      if (pause) await appendNotes(tx, [pausedNote(endpoint, note)])
    })
    endpoint.failing_since = failingSince
    if (pause) {
      logger.error({ endpoint: endpoint.id, url: endpoint.url }, `a webhook endpoint was paused: ${note}`)
      await log.announce()
    }
  }

  const round = async () => {
    if (!(await takeLease(store, 'webhooks-out', owner, LEASE_MS))) return
    const endpoints = await store.read
      .selectFrom('endpoint')
      .selectAll()
      .where('state', '=', 'active')
      .execute()
    await Promise.all(
      endpoints.map(async (endpoint) => {
        await fanOut(endpoint)
        await sendDue(endpoint)
      }),
    )
  }

  const wake = () => {
    if (!started || stop.signal.aborted) return
    if (running) {
      again = true
      return
    }
    clearTimeout(timer)
    running = round()
      .catch((error: unknown) => {
        if (!stop.signal.aborted) logger.error({ err: error }, 'webhooks could not be sent')
      })
      .then(() => {
        running = undefined
        if (stop.signal.aborted) return
        if (again) {
          again = false
          setImmediate(wake)
        } else timer = setTimeout(wake, LOOK_MS)
      })
  }
  log.onApply(() => setImmediate(wake))

  const own = async (caller: Caller, id: string) =>
    store.read
      .selectFrom('endpoint')
      .selectAll()
      .where('id', '=', id)
      .where('tenant', '=', caller.tenant)
      .executeTakeFirst()

  return {
    start() {
      started = true
      wake()
    },

    async register(caller, { url, events, secret: given, retryPolicy }) {
      const secret = given ?? `whsec_${randomBytes(32).toString('base64')}`
      const policy = { ...DEFAULT_POLICY, ...retryPolicy }
      const row: EndpointTable = {
        id: `we_${randomUUID().replaceAll('-', '')}`,
        tenant: caller.tenant,
        subject: caller.subject,
        url,
        events: JSON.stringify(events),
        secret,
        max_retries: policy.maxRetries,
        retry_delay: policy.retryDelay,
        backoff: policy.backoffMultiplier,
        state: 'active',
        note: null,
        position: (await log.state()).head,
        failing_since: null,
        created_at: new Date().toISOString(),
      }
      await store.transact((tx) => tx.insertInto('endpoint').values(row).execute())
      return { endpoint: endpointOf(row), secret }
    },

    async list(caller) {
      const rows = await store.read
        .selectFrom('endpoint')
        .selectAll()
        .where('tenant', '=', caller.tenant)
        .orderBy('created_at')
        .execute()
      return rows.map(endpointOf)
    },

    async get(caller, id) {
      const row = await own(caller, id)
      return row ? endpointOf(row) : null
    },

    async setActive(caller, id, active) {
      if (!(await own(caller, id))) return null
      const state = active ? 'active' : 'paused'
      await store.transact((tx) =>
        tx
          .updateTable('endpoint')
          .set({ state, note: null, failing_since: null })
          .where('id', '=', id)
          .execute(),
      )
      wake()
      return this.get(caller, id)
    },

    async remove(caller, id) {
      if (!(await own(caller, id))) return false
      await store.transact(async (tx) => {
        const deliveries = tx.selectFrom('delivery').select('id').where('endpoint', '=', id)
        await tx.deleteFrom('delivery_attempt').where('delivery', 'in', deliveries).execute()
        await tx.deleteFrom('delivery').where('endpoint', '=', id).execute()
        await tx.deleteFrom('endpoint').where('id', '=', id).execute()
      })
      return true
    },

    async deliveries(endpoint, { first, before, state }) {
      let query = store.read.selectFrom('delivery').selectAll().where('endpoint', '=', endpoint)
      if (before !== undefined) query = query.where('position', '<', before)
      if (state !== undefined) query = query.where('state', '=', state)
      const rows = await query.orderBy('position', 'desc').limit(first).execute()
      return rows.map((row) => ({
        id: row.id,
        event: row.type,
        eventId: row.event_id,
        position: Number(row.position),
        state: row.state as Delivery['state'],
        attempts: row.attempts,
        dueAt: Number(row.due_at),
        createdAt: row.created_at,
      }))
    },

    attempts: (delivery) =>
      store.read
        .selectFrom('delivery_attempt')
        .select(['number', 'at', 'status', 'error', 'took'])
        .where('delivery', '=', delivery)
        .orderBy('number')
        .execute(),

    async replay(caller, id, delivery) {
      if (!(await own(caller, id))) return 0
      const { numUpdatedRows } = await store.transact((tx) => {
        const again = tx
          .updateTable('delivery')
          .set({ state: 'waiting', due_at: Date.now() })
          .where('endpoint', '=', id)
        return (
          delivery === undefined ? again.where('state', '=', 'failed') : again.where('id', '=', delivery)
        ).executeTakeFirst()
      })
      wake()
      return Number(numUpdatedRows)
    },

    async close() {
      stop.abort()
      clearTimeout(timer)
      await running
      await agent.destroy()
    },
  }
}

interface Posted {
  readonly ok: boolean
  readonly status: number | null
  readonly error: string | null
  readonly took: number
}

const timeText = (ms: number): string => new Date(ms).toISOString()

function wants({ events, tenant }: Selectable<EndpointTable>, { type, record, data }: ChangeEvent): boolean {
  // What belongs to a tenant is told to nobody else.
  if (record === 'writeback' || record === 'webhook') if (data.facts.tenant !== tenant) return false
  return isNamedBy(JSON.parse(events) as string[], type)
}

/** @param patterns Event types; `order.*` for all of orders, `*` for all. */
export const isNamedBy = (patterns: readonly string[], type: string): boolean =>
  patterns.some(
    (pattern) =>
      pattern === '*' ||
      pattern === type ||
      (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1))),
  )

/** Seed 002 §2.3.2; its signature stands in the headers, as in Standard Webhooks. */
export function bodyOf(event: ChangeEvent): object {
  const { source, id, type, time, system } = event
  return { id: `${source}/${id}`, event: type, timestamp: time, source: system, data: dataOf(event) }
}

export function dataOf({ type, key, data }: ChangeEvent): object {
  const { tenant: _, ...facts } = data.facts
  return {
    externalId: key,
    changes: Object.fromEntries(
      data.changes.map(({ field, old, new: now }) => [field, { old: parsed(old), new: parsed(now) }]),
    ),
    before: data.before,
    after: type.endsWith('.deleted') ? null : facts,
  }
}

const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text))

const pausedNote = ({ id, tenant, url }: Selectable<EndpointTable>, reason: string) => ({
  source: '/webhooks',
  type: 'webhook.paused',
  system: '',
  record: 'webhook' as const,
  key: id,
  data: { changes: [], facts: { tenant, url, reason }, before: null, affects: [] },
})

function endpointOf(row: EndpointTable): Endpoint {
  return {
    id: row.id,
    url: row.url,
    events: JSON.parse(row.events) as string[],
    retryPolicy: {
      maxRetries: row.max_retries,
      retryDelay: row.retry_delay,
      backoffMultiplier: row.backoff,
    },
    state: row.state as Endpoint['state'],
    note: row.note,
    createdBy: row.subject,
    createdAt: row.created_at,
  }
}
