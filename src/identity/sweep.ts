/** Fills the cross-reference from the systems: everything once, and what changes from then on. */
import { gatewayCaller } from '../caller/caller.ts'
import type { Door } from '../events/feeds.ts'
import type { Log } from '../observe/log.ts'
import { type Store, takeLease } from '../store/store.ts'
import { failureText } from '../systems/failure.ts'
import type { Customer, Product, RecordType, RecordTypes } from '../systems/records.ts'
import { portOf, type System, type Systems } from '../systems/registry.ts'
import type { IdentityRegistry, IdentityType, ObservedRecord } from './registry.ts'

export interface MatchFields {
  readonly customer: readonly ('taxNumber' | 'code')[]
  readonly product: readonly ('barcode' | 'sku')[]
}

export interface Sweeper {
  /** Takes note of records that somebody has read. */
  noticed(system: System, type: RecordType, records: readonly RecordTypes[RecordType][]): Promise<void>
  /** Reads every customer and product that no earlier sweep has seen; answers when all systems were tried. */
  sweep(): Promise<void>
  /** Goes on trying those that did not answer, until `close`. */
  start(): Promise<void>
  close(): Promise<void>
}

export interface SweepOptions {
  readonly systems: Systems
  readonly identity: IdentityRegistry
  readonly store: Store
  readonly match: MatchFields
  readonly owner: string
  readonly logger: Log
  readonly door: Pick<Door, 'read'>
}

const PAGE = 100
const TRY_AGAIN_MS = 10_000
const LEASE_MS = 60_000

export function createSweeper({
  systems,
  identity,
  store,
  match,
  owner,
  logger,
  door,
}: SweepOptions): Sweeper {
  const stop = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  const noticed: Sweeper['noticed'] = async (system, type, records) => {
    if (type !== 'customer' && type !== 'product') return
    await identity.observe(
      type,
      system.id,
      records.map((record) => observationOf(type, record as Customer | Product, match)),
    )
  }

  const sweepOne = async (system: System, type: IdentityType): Promise<boolean> => {
    const port = portOf(system, type)
    const list = port?.list?.bind(port)
    if (!list) return true
    const feed = `identity/${system.id}/${type}`
    const done = await store.read
      .selectFrom('checkpoint')
      .select('feed')
      .where('feed', '=', feed)
      .executeTakeFirst()
    if (done) return true
    if (!(await takeLease(store, feed, owner, LEASE_MS))) return true
    let after: string | undefined
    for (;;) {
      const page = await door.read(
        system,
        (signal) => list({ first: PAGE, after }, { caller: gatewayCaller, signal }),
        stop.signal,
      )
      if (stop.signal.aborted) return true
      if (!page.ok) {
        logger.warn(
          { system: system.id, record: type },
          `identities could not be read: ${failureText(page.failure)}`,
        )
        return false
      }
      await noticed(
        system,
        type,
        page.value.items.map((item) => item.record),
      )
      after = page.value.items.at(-1)?.position
      if (!page.value.hasMore || after === undefined) break
    }
    // Where changes are reported, the sweep need not be repeated at the next start.
    if (port?.changes) {
      const value = new Date().toISOString()
      await store.transact((tx) => tx.insertInto('checkpoint').values({ feed, value }).execute())
    }
    return true
  }

  const sweepAll = async (): Promise<boolean> => {
    let complete = true
    // One after the other: the first configured system founds the identities that the others join.
    for (const system of systems.all()) {
      for (const type of ['customer', 'product'] as const) {
        if (stop.signal.aborted) return true
        complete = (await sweepOne(system, type)) && complete
      }
    }
    return complete
  }

  const keepTrying = async (): Promise<void> => {
    const complete = await sweepAll().catch((error: unknown) => {
      logger.error({ err: error }, 'the identity sweep failed')
      return false
    })
    if (complete || stop.signal.aborted) return
    timer = setTimeout(() => {
      running = keepTrying()
    }, TRY_AGAIN_MS)
  }

  return {
    noticed,
    async sweep() {
      await sweepAll()
    },
    start() {
      running = keepTrying()
      return running
    },
    async close() {
      stop.abort()
      clearTimeout(timer)
      await running
    },
  }
}

function observationOf(type: IdentityType, record: Customer | Product, match: MatchFields): ObservedRecord {
  const fields = record as unknown as Readonly<Record<string, string | null | undefined>>
  const wanted: readonly string[] = match[type]
  return {
    key: record.key,
    label: record.name,
    match: Object.fromEntries(wanted.map((field) => [field, fields[field]])),
    // An ERP keeps one account per currency or branch; a CRM with two of the same has a question to answer.
    severalPerSystem: 'account' in record && record.account != null,
  }
}
