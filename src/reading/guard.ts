/**
 * Stands between everybody who reads and one system: no more calls at once, per second and per day than it bears,
 * none while it is down or in maintenance, another try where that may help.
 */
import {
  BulkheadRejectedError,
  bulkhead,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhenResult,
  retry,
  TaskCancelledError,
  TimeoutStrategy,
  timeout,
} from 'cockatiel'
import type { Log } from '../observe/log.ts'
import { fail, failureText, type Outcome, type SourceFailure } from '../systems/failure.ts'
import { countHere, createDayCalls, DAY_MS, type DayCalls } from './day-calls.ts'
import { maintenanceLeftMs } from './maintenance.ts'
import { refusal as limitReached, Quota } from './quota.ts'
import type { GuardSettings } from './settings.ts'

export interface Guard {
  /**
   * Calls the system when it is this call's turn. `call` is run once for each attempt; it must let go when its
   * signal is aborted. Not to be used for writes: they are never tried again here.
   * @returns What the last attempt gave, or why none was made.
   */
  read<R>(call: (signal: AbortSignal) => Promise<Outcome<R>>, options?: CallOptions): Promise<Outcome<R>>
  /** Why a call would be refused now; null where it would be made. */
  refusal(): SourceFailure | null
  /** Whether a new call would have to wait for others. */
  isBusy(): boolean
  /** When the system last came back; what was read before may have missed changes. 0: it never was away. */
  recoveredAt(): number
  state(): GuardState
  /** Answers when what was not used of the day's calls is given back. */
  close(): Promise<void>
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Asked when the call's turn has come: there may be nothing left to ask. */
  readonly wanted?: () => boolean
}

export interface GuardState {
  readonly breaker: 'closed' | 'open' | 'half-open'
  readonly maintenance: boolean
  /** Calls under way, and calls waiting for their turn. */
  readonly inFlight: number
  readonly queued: number
  /** Milliseconds, over the last calls; null before the first. */
  readonly latency: { readonly p50: number; readonly p99: number } | null
  readonly calls: { readonly ok: number; readonly failed: number; readonly today: number }
}

/** Carries a refusal past the policies, which look at results only. */
class Refused extends Error {
  readonly failure: SourceFailure
  constructor(failure: SourceFailure) {
    super(failure.kind)
    this.failure = failure
  }
}

/** Enough for a p99 that means something. */
const LATENCIES = 500
/** Where a system says "too many" and not how long. */
const REST_MS = 1_000

export interface GuardOptions extends GuardSettings {
  readonly systemId: string
  readonly logger: Log
  /** Where `limits.perDay` is counted; not given: in this process. */
  readonly dayCalls?: DayCalls | undefined
  /** Reaches the system as cheaply as possible; asked while the breaker is open. */
  probe(signal: AbortSignal): Promise<Outcome<unknown>>
}

export function createGuard(options: GuardOptions): Guard {
  const { limits, logger, systemId } = options
  const quota = new Quota({
    perSecond: limits.perSecond,
    maxWaitMs: limits.wait,
  })
  const { perDay } = limits
  const dayCalls =
    perDay === undefined ? undefined : (options.dayCalls ?? createDayCalls(countHere(perDay), perDay))
  const slots = bulkhead(limits.concurrency, limits.queue)
  const breaker = circuitBreaker(handleWhenResult(isOutage), {
    halfOpenAfter: options.breaker.probeEvery,
    breaker: new ConsecutiveBreaker(options.breaker.failures),
  })
  const inTime = timeout(limits.timeout, TimeoutStrategy.Aggressive)
  const again = retry(handleWhenResult(isWorthAnotherTry), {
    maxAttempts: options.retry.attempts,
    // Decorrelated jitter: callers that failed together do not come back together.
    backoff: new ExponentialBackoff({ initialDelay: options.retry.delay, maxDelay: options.retry.maxDelay }),
  })
  const closing = new AbortController()
  const latencies: number[] = []
  let inFlight = 0
  let queued = 0
  let answered = 0
  let failed = 0
  let nextProbeAt = 0
  let recoveredAt = 0
  let timer: NodeJS.Timeout | undefined

  const probe = () => {
    breaker.execute(() => exchange(options.probe, closing.signal)).catch(() => {})
  }
  breaker.onBreak((reason) => {
    if (nextProbeAt === 0)
      logger.warn(
        { system: systemId },
        `is not asked any more: ${reasonText(reason)}; looking for it meanwhile`,
      )
    nextProbeAt = Date.now() + options.breaker.probeEvery
    clearTimeout(timer)
    if (closing.signal.aborted) return
    timer = setTimeout(probe, options.breaker.probeEvery + 1)
    timer.unref()
  })
  breaker.onReset(() => {
    recoveredAt = Date.now()
    nextProbeAt = 0
    logger.info({ system: systemId }, 'answers again')
  })

  const refusal = (): SourceFailure | null => {
    const left = maintenanceLeftMs(options.maintenance, Date.now())
    if (left > 0)
      return { kind: 'unavailable', reason: 'maintenance', detail: 'maintenance window', retryAfterMs: left }
    if (breaker.state === CircuitState.Closed) return null
    // Only the probe may find out: a reader must not wait for a system that is known to be down.
    const retryAfterMs = Math.max(0, nextProbeAt - Date.now())
    return { kind: 'unavailable', reason: 'unreachable', detail: 'the breaker is open', retryAfterMs }
  }
  const refuseIfClosed = () => {
    const failure = refusal()
    if (failure) throw new Refused(failure)
  }

  /** One exchange, measured and bounded in time. */
  const exchange = async <R>(
    call: (signal: AbortSignal) => Promise<Outcome<R>>,
    signal: AbortSignal | undefined,
  ): Promise<Outcome<R>> => {
    const began = performance.now()
    inFlight++
    let outcome: Outcome<R> | undefined
    try {
      outcome = await inTime.execute((context) => call(context.signal), signal)
    } catch (error) {
      if (!(error instanceof TaskCancelledError)) throw error
      const reason = signal?.aborted ? 'aborted' : 'timeout'
      outcome = fail({ kind: 'unavailable', reason, detail: `${reason} after ${limits.timeout} ms at most` })
    } finally {
      inFlight--
      if (outcome?.ok) answered++
      else failed++
      latencies.push(performance.now() - began)
      if (latencies.length > LATENCIES) latencies.shift()
    }
    if (!outcome.ok && outcome.failure.kind === 'unavailable') {
      const { reason, retryAfterMs } = outcome.failure
      if (retryAfterMs !== undefined) quota.rest(retryAfterMs)
      else if (reason === 'rate-limited') quota.rest(REST_MS)
    }
    return outcome
  }

  const takeOfDay = async (calls: DayCalls) => {
    let isThere: boolean
    try {
      isThere = await calls.take()
    } catch (error) {
      logger.warn({ system: systemId, err: error }, 'the calls of the day cannot be counted: none is made')
      throw new Refused(limitReached('the calls of the day cannot be counted', REST_MS))
    }
    if (isThere) return
    const retryAfterMs = DAY_MS - (Date.now() % DAY_MS)
    throw new Refused(limitReached(`all ${perDay} calls of the day are used`, retryAfterMs))
  }

  const waitForTurn = async (since: number, signal: AbortSignal | undefined) => {
    const inQueue = Date.now() - since
    if (inQueue > limits.wait) throw new Refused(crowded(`waited ${inQueue} ms for a free session`))
    if (dayCalls) await takeOfDay(dayCalls)
    const place = quota.reserve()
    if ('refused' in place) {
      dayCalls?.putBack()
      throw new Refused(place.refused)
    }
    let { waitMs } = place
    while (waitMs > 0) {
      if (Date.now() - since + waitMs > 2 * limits.wait) throw new Refused(crowded('asked for a rest'))
      await sleep(waitMs, signal)
      waitMs = quota.restMs()
    }
  }

  const attempt = async <R>(
    call: (signal: AbortSignal) => Promise<Outcome<R>>,
    { signal, wanted }: CallOptions,
  ): Promise<Outcome<R>> => {
    refuseIfClosed()
    const since = Date.now()
    queued++
    let waiting = true
    const stopWaiting = () => {
      if (waiting) queued--
      waiting = false
    }
    try {
      return await slots.execute(async () => {
        if (wanted && !wanted()) throw new Refused(NOT_WANTED)
        await waitForTurn(since, signal)
        // The system may have gone away while this one waited.
        refuseIfClosed()
        stopWaiting()
        return breaker.execute(() => exchange(call, signal), signal)
      }, signal)
    } finally {
      stopWaiting()
    }
  }

  return {
    async read(call, callOptions = {}) {
      try {
        return await again.execute(() => attempt(call, callOptions), callOptions.signal)
      } catch (error) {
        if (error instanceof Refused) return fail(error.failure)
        if (error instanceof BulkheadRejectedError)
          return fail(crowded(`${limits.queue} calls are waiting already`))
        if (error instanceof TaskCancelledError)
          return fail({ kind: 'unavailable', reason: 'aborted', detail: 'nobody waits any more' })
        throw error
      }
    },
    refusal,
    isBusy: () => slots.executionSlots === 0,
    recoveredAt: () => recoveredAt,
    state: () => ({
      breaker: STATES[breaker.state],
      maintenance: maintenanceLeftMs(options.maintenance, Date.now()) > 0,
      inFlight,
      queued,
      latency: percentiles(latencies),
      calls: { ok: answered, failed, today: quota.callsToday },
    }),
    async close() {
      closing.abort()
      clearTimeout(timer)
      // Others miss what is not given back, nobody gets too much.
      await dayCalls?.close().catch(() => {})
    },
  }
}

const STATES = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half-open',
  [CircuitState.Isolated]: 'open',
} as const

const NOT_WANTED: SourceFailure = { kind: 'unavailable', reason: 'aborted', detail: 'nothing left to ask' }

const crowded = (detail: string): SourceFailure => ({
  kind: 'unavailable',
  reason: 'overloaded',
  detail,
  retryAfterMs: REST_MS,
})

const failureIn = (result: unknown): SourceFailure | undefined => {
  const outcome = result as Outcome<unknown>
  return outcome.ok ? undefined : outcome.failure
}

/** A system that limits us is alive, and a caller who left says nothing about it. */
function isOutage(result: unknown): boolean {
  const failure = failureIn(result)
  return failure?.kind === 'unavailable' && failure.reason !== 'aborted' && failure.reason !== 'rate-limited'
}

/** After a timeout the person who waited is gone: a second wait of that length helps nobody. */
function isWorthAnotherTry(result: unknown): boolean {
  const failure = failureIn(result)
  return failure?.kind === 'unavailable' && failure.reason !== 'aborted' && failure.reason !== 'timeout'
}

function reasonText(reason: object): string {
  const failure = 'value' in reason ? failureIn(reason.value) : undefined
  return failure ? failureText(failure) : 'failed'
}

function percentiles(samples: readonly number[]): { p50: number; p99: number } | null {
  if (samples.length === 0) return null
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
  return { p50: at(0.5), p99: at(0.99) }
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(done, ms)
    function done() {
      signal?.removeEventListener('abort', left)
      resolve()
    }
    function left() {
      clearTimeout(timer)
      reject(new TaskCancelledError())
    }
    if (signal?.aborted) left()
    else signal?.addEventListener('abort', left, { once: true })
  })
}
