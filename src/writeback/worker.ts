/**
 * Carries writebacks to their systems. The rule that everything else follows from: a write whose fate is not known
 * is looked for, never sent again in hope.
 */

import { affectedBy } from '../events/dependents.ts'
import type { Appended, EventLog } from '../events/log.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import { publicMessage, type SourceFailure } from '../systems/failure.ts'
import type { CallContext, WriteAction, WriteResult } from '../systems/port.ts'
import type { RecordType } from '../systems/records.ts'
import { portOf, type System, type Systems } from '../systems/registry.ts'
import { type Journal, type StepOptions, step } from './journal.ts'
import type { Membership } from './process.ts'
import { hasEnded, type Problem, type Writeback, type WritebackState } from './writeback.ts'

export interface Worker {
  start(): void
  /** There is something new to do. */
  wake(): void
  /** Answers when the writeback has ended or the time is over, with its last state. */
  settled(id: string, withinMs: number): Promise<Writeback | null>
  /** Told after each durable step. */
  onStep(listener: (writeback: Writeback) => void): () => void
  close(): Promise<void>
}

export interface WorkerOptions {
  readonly store: Store
  readonly journal: Journal
  readonly systems: Systems
  readonly events: EventLog
  readonly membership: Membership
  readonly logger: Log
  readonly readers: Readers
}

/** Those who remember what systems said: they must hear of a confirmed write before its answer is sent. */
export interface Readers {
  /** To be called before sending; what it answers is told the events of the write, before they are announced. */
  observe(): (appended: readonly Appended[]) => void
  /** For a write of which there is no event: without `affects` nobody knows what else it touched. */
  invalidate(
    changes: readonly {
      readonly system: string
      readonly record: RecordType
      readonly key: string
      readonly affects?: ReturnType<typeof affectedBy> | undefined
    }[],
  ): void
}

const MAX_ATTEMPTS = 3
/** A writeback that could not be sent for so long is shown to a person. */
const GIVE_UP_AFTER_MS = 60 * 60_000
/** How often a lost write is looked for before a person is asked. */
const LOOK_AGAIN_MS = 2_000
/** Other processes accept writebacks too; without a signal from them we look this often. */
const IDLE_MS = 1_000
/** After an error of our own the writeback rests for so long. */
const RELEASE_MS = 5_000
/** Writebacks in hand at once, over all systems: one that hangs must not hold up the others. */
const IN_HAND = 16

type AnyAction = WriteAction<unknown, RecordType>

/** The action of an adapter, whatever its types: what was journaled under its name was checked before. */
export function actionOf(system: System, record: RecordType, action: string): AnyAction | undefined {
  const port = portOf(system, record)
  if (!port) return undefined
  const named = action === 'create' || action === 'update' ? port[action] : port.actions?.[action]
  return named as AnyAction | undefined
}

export function createWorker(options: WorkerOptions): Worker {
  const { store, journal, systems, events, membership, logger, readers } = options
  const stop = new AbortController()
  const inHand = new Set<Promise<void>>()
  const listeners = new Set<(writeback: Writeback) => void>()
  let timer: NodeJS.Timeout | undefined
  let filling = false
  let again = false

  /** The state becomes durable together with the event that tells of it; then everybody hears. */
  const take = async (
    writeback: Writeback,
    state: WritebackState,
    how: StepOptions = {},
    result?: Confirmed,
  ) => {
    const appended = await store.transact(async (tx) => {
      await step(tx, writeback.id, state, how)
      if (!result?.record) return []
      const { system, record } = writeback
      const isNew = writeback.action === 'create'
      return events.record(tx, [{ system, record, value: result.record, isNew }])
    })
    if (result) await tellReaders(writeback, result, appended)
    // Those who watch writebacks are not waited for.
    events.announce().catch((error: unknown) => logger.error({ err: error }, 'events could not be applied'))
    const stored = await journal.get(writeback.id)
    if (stored) for (const listener of listeners) listener(stored)
  }

  /** Read your own writes: nothing older is served from here on. */
  const tellReaders = async (
    { system, record }: Writeback,
    { key, record: value, observed }: Confirmed,
    appended: readonly Appended[],
  ) => {
    try {
      if (appended.length > 0) {
        observed(appended)
        return await events.announce()
      }
    } catch (error) {
      logger.error({ err: error }, 'events could not be applied')
    }
    // A feed was faster and has logged this state already, or it could not be read back.
    readers.invalidate([{ system, record, key, affects: value && affectedBy(record, [value]) }])
  }

  const work = async (writeback: Writeback): Promise<void> => {
    const system = systems.get(writeback.system)
    const action = system && actionOf(system, writeback.record, writeback.action)
    if (!system || !action) {
      const problem: Problem = {
        code: 'UNSUPPORTED',
        message: `The configuration has no system "${writeback.system}" that can ${writeback.action} ${writeback.record} records any more.`,
      }
      return take(writeback, { name: 'needs-attention', problem })
    }
    // A process that died while sending leaves `sending` behind: the system may have it.
    if (writeback.state.name !== 'accepted') return look(writeback, system, action)
    return send(writeback, system, action)
  }

  const send = async (writeback: Writeback, system: System, action: AnyAction): Promise<void> => {
    const context: CallContext = { caller: writeback.caller, signal: undefined }
    // A session is opened before the attempt counts as one: what fails here has sent nothing.
    const ready = await system.adapter.connect?.(context)
    if (ready && !ready.ok) return settleFailure(writeback, ready.failure)
    // A process that slept longer than its lease may have lost this one to another.
    if (!membership.isCurrent() || stop.signal.aborted) return
    await take(
      writeback,
      { name: 'sending' },
      { attempts: writeback.attempts + 1, keepFor: membership.owner },
    )
    const sent: Writeback = { ...writeback, attempts: writeback.attempts + 1 }
    const observed = readers.observe()
    const outcome = await action.send(sent.input, writeContextOf(sent), context)
    if (outcome.ok) return confirm(sent, system, outcome.value, observed)
    return settleFailure(sent, outcome.failure)
  }

  const look = async (writeback: Writeback, system: System, action: AnyAction): Promise<void> => {
    const context: CallContext = { caller: writeback.caller, signal: undefined }
    const problem: Problem = {
      code: 'OUTCOME_UNKNOWN',
      message: publicMessage({ kind: 'unknown-outcome', detail: '' }, system.id),
    }
    if (writeback.state.name === 'sending') {
      await take(writeback, { name: 'unknown', problem, notFoundSince: null }, { keepFor: membership.owner })
    }
    const observed = readers.observe()
    const verdict = await action.verify(writeback.input, writeContextOf(writeback), context)
    const notFoundSince = writeback.state.name === 'unknown' ? writeback.state.notFoundSince : null
    const lookLater = (since: string | null, inMs: number) =>
      take(writeback, { name: 'unknown', problem, notFoundSince: since }, { dueAt: Date.now() + inMs })
    if (!verdict.ok) {
      // Found, and waiting for a person over there. Any other failure is one of looking and leaves the question open.
      if (verdict.failure.kind === 'awaiting-approval') return settleFailure(writeback, verdict.failure)
      if (isOld(writeback)) {
        const message = `${problem.message} Looking for it failed: ${publicMessage(verdict.failure, system.id)}`
        return take(writeback, { name: 'needs-attention', problem: { ...problem, message } })
      }
      return lookLater(notFoundSince, LOOK_AGAIN_MS)
    }
    if (verdict.value.effect === 'done') return confirm(writeback, system, verdict.value.result, observed)
    const { proven, evidence } = verdict.value
    const waited = notFoundSince !== null && Date.now() - Date.parse(notFoundSince) >= system.commitDelayMs
    if (!proven && !waited) {
      const wait = notFoundSince
        ? Date.parse(notFoundSince) + system.commitDelayMs - Date.now()
        : system.commitDelayMs
      return lookLater(notFoundSince ?? new Date().toISOString(), Math.max(wait, 50))
    }
    if (writeback.attempts >= MAX_ATTEMPTS) {
      const message = `Sent ${writeback.attempts} times, never found in the system: ${evidence}`
      return take(writeback, { name: 'needs-attention', problem: { ...problem, message } })
    }
    return take(writeback, { name: 'accepted', note: `not in the system, sent again: ${evidence}` })
  }

  const confirm = async (
    writeback: Writeback,
    system: System,
    { key, reached, record: answered }: WriteResult<RecordType>,
    observed: Confirmed['observed'],
  ): Promise<void> => {
    const record = answered ?? (await readBack(system, writeback, key))
    await take(writeback, { name: 'confirmed', key, reached }, {}, { key, record, observed })
  }

  const settleFailure = async (writeback: Writeback, failure: SourceFailure): Promise<void> => {
    const problem = problemOf(failure, writeback.system)
    switch (failure.kind) {
      case 'unavailable': {
        if (isOld(writeback)) return take(writeback, { name: 'needs-attention', problem })
        const wait = failure.retryAfterMs ?? backoffMs(writeback)
        return take(writeback, { name: 'accepted', note: problem.message }, { dueAt: Date.now() + wait })
      }
      case 'unknown-outcome':
      case 'invalid-response':
        return take(writeback, { name: 'unknown', problem, notFoundSince: null })
      case 'awaiting-approval':
        return take(writeback, {
          name: 'awaiting-approval',
          vendorReference: failure.vendorReference ?? null,
          message: failure.message,
        })
      case 'unauthorized':
        return take(writeback, { name: 'needs-attention', problem })
      default:
        return take(writeback, { name: 'rejected', problem })
    }
  }

  /** Takes up work until hands are full or nothing is due; then sleeps until something is. */
  const fill = async (): Promise<void> => {
    if (filling) {
      again = true
      return
    }
    filling = true
    try {
      do {
        again = false
        clearTimeout(timer)
        const mine = systems.all().map((system) => system.id)
        while (inHand.size < IN_HAND && !stop.signal.aborted) {
          const writeback = await journal.claim(membership.owner, mine, membership.isAlive)
          if (!writeback) break
          const task = work(writeback)
            .catch(async (error: unknown) => {
              logger.error({ writeback: writeback.id, err: error }, 'a writeback step failed')
              await journal.release(writeback.id, Date.now() + RELEASE_MS)
            })
            .catch((error: unknown) => logger.error({ err: error }, 'the journal does not answer'))
            .finally(() => {
              inHand.delete(task)
              wake()
            })
          inHand.add(task)
        }
        const due = await journal.nextDue(mine)
        const wait = due === null ? IDLE_MS : Math.min(Math.max(due - Date.now(), 20), IDLE_MS)
        if (!stop.signal.aborted) timer = setTimeout(wake, wait)
      } while (again && !stop.signal.aborted)
    } finally {
      filling = false
    }
  }
  const wake = () => {
    if (stop.signal.aborted) return
    fill().catch((error: unknown) => logger.error({ err: error }, 'the write worker stumbled'))
  }

  return {
    start: wake,
    wake,
    async settled(id, withinMs) {
      return new Promise<Writeback | null>((resolve) => {
        const done = (writeback: Writeback | null) => {
          clearTimeout(limit)
          clearInterval(peek)
          unlisten()
          resolve(writeback)
        }
        const check = (writeback: Writeback | null) => {
          if (writeback && (hasEnded(writeback.state) || writeback.state.name === 'awaiting-approval'))
            done(writeback)
        }
        const unlisten = this.onStep((writeback) => writeback.id === id && check(writeback))
        const limit = setTimeout(async () => done(await journal.get(id)), withinMs)
        // Another process may be the one that carries it.
        const peek = setInterval(async () => check(await journal.get(id)), 250)
        journal.get(id).then(check, () => {})
      })
    },
    onStep(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      stop.abort()
      clearTimeout(timer)
      await Promise.allSettled([...inHand])
    },
  }

  async function readBack(system: System, writeback: Writeback, key: string) {
    const [outcome] =
      (await portOf(system, writeback.record)?.readMany([key], { caller: writeback.caller })) ?? []
    return outcome?.ok && outcome.value ? outcome.value : undefined
  }
}

interface Confirmed {
  readonly key: string
  readonly observed: (appended: readonly Appended[]) => void
  readonly record: WriteResult<RecordType>['record'] | undefined
}

const writeContextOf = (writeback: Writeback) => ({
  externalReference: writeback.externalReference,
  onBehalfOf: writeback.caller.subject,
})

const isOld = (writeback: Writeback): boolean =>
  Date.now() - Date.parse(writeback.acceptedAt) > GIVE_UP_AFTER_MS

/** Half of the time it waits already, between one second and one minute, spread so that many do not come at once. */
function backoffMs(writeback: Writeback): number {
  const waiting = Date.now() - Date.parse(writeback.acceptedAt)
  return Math.min(Math.max(waiting / 2, 1_000), 60_000) * (0.75 + Math.random() / 2)
}

export function problemOf(failure: SourceFailure, system: string): Problem {
  const message = publicMessage(failure, system)
  switch (failure.kind) {
    case 'rejected':
      return { code: 'REJECTED', vendorCode: failure.code, message, line: failure.line, field: failure.field }
    case 'conflict':
      return { code: 'CONFLICT', message }
    case 'not-found':
      return { code: 'NOT_FOUND', message }
    case 'unsupported':
      return { code: 'UNSUPPORTED', message }
    case 'unauthorized':
      return { code: 'SYSTEM_UNAUTHORIZED', message }
    case 'unavailable':
      return { code: 'SYSTEM_UNAVAILABLE', message }
    default:
      return { code: 'OUTCOME_UNKNOWN', message }
  }
}
