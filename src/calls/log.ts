/**
 * The log of calls: every exchange with a system that is to be kept, with what it was for and what was said. It is
 * written in batches, off the path of the call: a note costs its caller the price of an array.
 */
import type { Log } from '../observe/log.ts'
import type { Database, Store } from '../store/store.ts'
import type { CallScope, CallSubject, Exchange } from '../systems/call-scope.ts'
import { createMask } from './mask.ts'

export interface CallLog {
  /** For the scope of a system's adapter; null: nothing is kept. */
  readonly told: CallScope['told'] | null
  start(): void
  list(page: CallPage): Promise<readonly Call[]>
  /** Takes the bodies and keys out of what matches; inside the caller's transaction. @returns Of how many calls. */
  eraseIn(tx: Database, what: Erasure): Promise<number>
  /** Writes what waits. */
  flush(): Promise<void>
  /** Takes out what is too old and what is too much; done by itself every minute. */
  prune(): Promise<void>
  /** Not kept, as more came than could be written. */
  dropped(): number
  close(): Promise<void>
}

export interface Call {
  readonly position: number
  readonly at: string
  readonly system: string
  readonly operation: string
  readonly request: string
  readonly key: string | null
  readonly writeback: string | null
  readonly attempt: number | null
  readonly subject: string | null
  readonly origin: string | null
  readonly outcome: CallOutcome
  readonly status: number | null
  readonly took: number
  readonly request_body: string | null
  readonly response_body: string | null
}

/** As HTTP tells: what a system says inside an answer of 200 is in the body. */
export type CallOutcome = 'ok' | 'refused' | 'failed' | 'unknown'

export interface CallPage {
  readonly first: number
  /** Only older than this position. */
  readonly before?: number | undefined
  readonly system?: string | undefined
  readonly operation?: string | undefined
  readonly key?: string | undefined
  readonly writeback?: string | undefined
  readonly outcome?: CallOutcome | undefined
  readonly tenant: string
}

export interface Erasure {
  readonly system?: string | undefined
  /** Of calls about this key, … */
  readonly key?: string | undefined
  /** … or whose bodies, path or key contain this text, in whatever letters. */
  readonly containing?: string | undefined
  readonly tenant: string
}

export interface CallLogSettings {
  readonly writes: boolean
  readonly failures: boolean
  /** Share of the reads that succeed, 0 to 1. */
  readonly reads: number
  readonly keep: number
  readonly maxCalls: number
  readonly bodyChars: number
  readonly mask: readonly string[]
}

/** That many wait at most; more are counted and dropped, so that a store that is slow costs no memory. */
const WAITING = 5_000
const BATCH = 250
const FLUSH_MS = 500
const PRUNE_MS = 60_000
/** Taken out in one transaction, so that others are not held up. */
const PRUNE = 1_000
const MOST_KEY = 300
const MOST_PATH = 500

interface Noted {
  readonly at: number
  readonly exchange: Exchange
  readonly about: CallSubject | undefined
}

export function createCallLog(store: Store, settings: CallLogSettings, logger: Log): CallLog {
  const mask = createMask(settings.mask)
  let waiting: Noted[] = []
  let dropped = 0
  let droppedTold = 0
  let timer: NodeJS.Timeout | undefined
  let pruning: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let closed = false
  const { writes, failures, reads, bodyChars } = settings

  const isKept = ({ writes: isWrite, status }: Exchange): boolean => {
    if (isWrite ? writes : reads > 0 && (reads >= 1 || Math.random() < reads)) return true
    return failures && (status === undefined || status >= 400)
  }
  const told: CallLog['told'] = (exchange, about) => {
    // What is done for a write, a session or a look, is kept with it.
    if (!isKept(exchange) && !(writes && about?.writeback !== undefined)) return
    if (waiting.length >= WAITING) {
      dropped++
      return
    }
    waiting.push({ at: Date.now(), exchange, about })
    if (waiting.length >= BATCH) flushNow()
    else timer ??= setTimeout(flushNow, FLUSH_MS)
  }

  const flushNow = () => {
    clearTimeout(timer)
    timer = undefined
    const batch = waiting
    waiting = []
    if (batch.length === 0) return
    writing = writing.then(() => write(batch))
  }
  const write = async (batch: readonly Noted[]): Promise<void> => {
    try {
      const rows = batch.map(rowOf)
      for (let at = 0; at < rows.length; at += BATCH) {
        await store.transact((tx) =>
          tx
            .insertInto('call_log')
            .values(rows.slice(at, at + BATCH))
            .execute(),
        )
      }
      if (dropped > droppedTold) {
        logger.warn(
          { dropped: dropped - droppedTold },
          'calls were not kept: more came than could be written',
        )
        droppedTold = dropped
      }
    } catch (error) {
      dropped += batch.length
      logger.error({ err: error }, 'calls could not be kept')
    }
  }

  const rowOf = ({ at, exchange, about }: Noted) => ({
    at: new Date(at - exchange.took).toISOString(),
    system: about?.system ?? '',
    operation: about?.operation ?? 'connection',
    request: `${exchange.method} ${mask(exchange.path).slice(0, MOST_PATH)}`,
    key: about?.key?.slice(0, MOST_KEY) ?? null,
    writeback: about?.writeback ?? null,
    attempt: about?.attempt ?? null,
    tenant: about?.tenant ?? null,
    subject: about?.subject ?? null,
    origin: about?.origin ?? null,
    outcome: outcomeOf(exchange),
    status: exchange.status ?? null,
    took: Math.round(exchange.took),
    request_body: bounded(exchange.body),
    response_body: bounded(exchange.answer) ?? exchange.failure ?? null,
  })
  /** Masked before it is cut: half a secret is one, too. */
  const bounded = (body: string | undefined): string | null => {
    if (body === undefined || body === '' || bodyChars === 0) return null
    // A mask that reads far beyond what is kept would only take time.
    const masked = mask(body.slice(0, bodyChars * 2))
    return masked.length > bodyChars || body.length > bodyChars * 2
      ? `${masked.slice(0, bodyChars)}… (${body.length} characters)`
      : masked
  }

  const prune = async (): Promise<void> => {
    const before = new Date(Date.now() - settings.keep).toISOString()
    for (;;) {
      const newest = await store.read
        .selectFrom('call_log')
        .select((of) => of.fn.max('position').as('position'))
        .executeTakeFirst()
      const beyond = Number(newest?.position ?? 0) - settings.maxCalls
      const old = await store.read
        .selectFrom('call_log')
        .select(['position', 'at'])
        .orderBy('position')
        .limit(PRUNE)
        .execute()
      const last = old.filter(({ position, at }) => at < before || Number(position) <= beyond).at(-1)
      if (!last || closed) return
      await store.transact((tx) => tx.deleteFrom('call_log').where('position', '<=', last.position).execute())
      if (last.position !== old.at(-1)?.position) return
    }
  }
  const pruneLater = () => {
    if (closed) return
    pruning = setTimeout(() => {
      prune()
        .catch((error: unknown) => logger.error({ err: error }, 'old calls cannot be taken out'))
        .finally(pruneLater)
    }, PRUNE_MS)
    pruning.unref()
  }

  return {
    told: writes || failures || reads > 0 ? told : null,
    start: pruneLater,

    async list(page) {
      let query = store.read
        .selectFrom('call_log')
        .selectAll()
        // What the gateway asks by itself belongs to no tenant.
        .where((where) => where.or([where('tenant', 'is', null), where('tenant', '=', page.tenant)]))
      if (page.before !== undefined) query = query.where('position', '<', page.before)
      for (const field of ['system', 'operation', 'key', 'writeback', 'outcome'] as const) {
        const wanted = page[field]
        if (wanted !== undefined) query = query.where(field, '=', wanted)
      }
      const rows = await query.orderBy('position', 'desc').limit(page.first).execute()
      return rows.map((row) => ({ ...row, outcome: row.outcome as CallOutcome }))
    },

    async eraseIn(tx, { system, key, containing, tenant }) {
      let update = tx
        .updateTable('call_log')
        .set({ request_body: null, response_body: null, key: null, request: 'erased' })
        .where((where) => where.or([where('tenant', 'is', null), where('tenant', '=', tenant)]))
      if (system !== undefined) update = update.where('system', '=', system)
      if (key !== undefined) update = update.where('key', '=', key)
      if (containing !== undefined) {
        const pattern = `%${containing.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`
        update = update.where((where) =>
          where.or(
            (['request_body', 'response_body', 'key', 'request'] as const).map((field) =>
              where(where.fn<string>('lower', [field]), 'like', where.val(pattern)),
            ),
          ),
        )
      }
      const [result] = await update.execute()
      return Number(result?.numUpdatedRows ?? 0)
    },

    async flush() {
      flushNow()
      await writing
    },
    prune,
    dropped: () => dropped,

    async close() {
      closed = true
      clearTimeout(pruning)
      await this.flush()
    },
  }
}

function outcomeOf({ status, writes, failure }: Exchange): CallOutcome {
  if (status === undefined) return writes && failure === 'unknown-outcome' ? 'unknown' : 'failed'
  if (status >= 500) return writes ? 'unknown' : 'failed'
  return status >= 400 ? 'refused' : 'ok'
}
