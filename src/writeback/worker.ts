/**
 * Carries writebacks to their systems. The rule that everything else follows from: a write whose fate is not known
 * is looked for, never sent again in hope.
 */

import { affectedBy } from '../events/dependents.ts'
import type { Appended, EventLog } from '../events/log.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import { type CallSubject, inCallScope } from '../systems/call-scope.ts'
import { publicMessage, type SourceFailure } from '../systems/failure.ts'
import type { CallContext, WriteAction, WriteContext, WriteResult } from '../systems/port.ts'
import type { RecordType } from '../systems/records.ts'
import { portOf, type System, type Systems } from '../systems/registry.ts'
import { createHolds, type Hold } from './holds.ts'
import {
  headOfHistory,
  type Journal,
  type Leased,
  leaseOf,
  ownerOf,
  type StepOptions,
  step,
} from './journal.ts'
import type { Membership } from './process.ts'
import { causeOf, hasEnded, type Problem, type Writeback, type WritebackState } from './writeback.ts'

export interface Worker {
  start(): void
  /** There is something new to do. */
  wake(): void
  /** A lease for a writeback of this system that is about to be promised, where a hand is free for it. */
  reserve(system: System): string | undefined
  /** To be called for each reservation: with the writeback that got the lease, else null. */
  settle(system: System, lease: string, writeback: Writeback | null): void
  /**
   * Answers when the writeback has ended or the time is over, with its last state.
   * @param isNew It was promised just now, and nothing can have become of it yet.
   */
  settled(id: string, withinMs: number, isNew?: boolean): Promise<Writeback | null>
  /** Told after each durable step, of this process and of others; sometimes twice. */
  onStep(listener: (writeback: Writeback) => void): () => void
  /** Tells the listeners of a step that somebody else has made durable. */
  announce(writeback: Writeback): void
  /** Systems were paused or resumed: answers when this process knows. */
  reconsider(): Promise<void>
  /** Why nothing is sent to this system for now. */
  holdOf(system: System): Hold | null
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
  readonly settings: (systemId: string) => WritingSettings
  /** What readers know of a system: in maintenance, or found to be down. */
  readonly away: (system: System) => SourceFailure | null
}

export interface WritingSettings {
  /** Writes under way at once, of each process. */
  readonly concurrency: number
  /** So often it is tried, then a person is asked. */
  readonly attempts: number
  /** Milliseconds between two looks at what waits for approval; more as it waits longer. */
  readonly approvalEvery: number
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

/** Before the second and the third try; both lie well within an hour. */
const TRY_AGAIN_MS = [2_000, 60_000] as const
/** What fails so long although the system is well is shown to a person. */
const GIVE_UP_AFTER_MS = 60 * 60_000
/** How often a lost write is looked for, at first and at last. */
const LOOK_AGAIN_MS = 2_000
const LOOK_LAST_MS = 60_000
/** Waiting for a person is looked at no more seldom than this. */
const APPROVAL_LAST_MS = 600_000
/** Other processes accept writebacks too, and die; without a signal from them we look this often. */
const IDLE_MS = 1_000
/** Many that end together are one reason to look for more. */
const GATHER_MS = 5
/** A process that has just come back looks again whether its lease has been renewed. */
const LAPSED_MS = 100
/** After an error of our own the writeback rests for so long. */
const RELEASE_MS = 5_000

type AnyAction = WriteAction<unknown, RecordType>

/** The action of an adapter, whatever its types: what was journaled under its name was checked before. */
export function actionOf(system: System, record: RecordType, action: string): AnyAction | undefined {
  const port = portOf(system, record)
  if (!port) return undefined
  const named = action === 'create' || action === 'update' ? port[action] : port.actions?.[action]
  return named as AnyAction | undefined
}

export function createWorker(options: WorkerOptions): Worker {
  const { store, journal, systems, events, membership, logger, readers, settings } = options
  const stop = new AbortController()
  const inHand = new Set<Promise<void>>()
  /** Hands that are full or promised, by system. */
  const busy = new Map<string, number>()
  const listeners = new Set<(writeback: Writeback) => void>()
  let timer: NodeJS.Timeout | undefined
  let waking: NodeJS.Timeout | undefined
  let filling = false
  let again = false
  let leases = 0
  let lookedAround = Number.NEGATIVE_INFINITY
  let heard: number | undefined

  const newLease = () => leaseOf(membership.owner, leases++)
  const freeHands = (system: System) => {
    const { concurrency } = settings(system.id)
    return Math.min(concurrency, system.adapter.concurrency ?? concurrency) - (busy.get(system.id) ?? 0)
  }
  const occupy = (system: string, by: 1 | -1) => busy.set(system, (busy.get(system) ?? 0) + by)
  const announce = (writeback: Writeback) => {
    // Those who watch writebacks are not waited for.
    events.announce().catch((error: unknown) => logger.error({ err: error }, 'events could not be applied'))
    hearStep(writeback)
  }
  const hearStep = (writeback: Writeback) => {
    for (const listener of listeners) listener(writeback)
  }

  /**
   * The state becomes durable together with the event that tells of it; then everybody hears.
   * @returns null where the lease was lost: somebody else carries it now, and nothing was changed.
   */
  const take = async (
    { writeback, lease }: Leased,
    state: WritebackState,
    how: StepOptions = {},
    result?: Confirmed,
  ): Promise<Leased | null> => {
    const { stepped, appended } = await store.transact(async (tx) => {
      const after = await step(tx, writeback, lease, state, how)
      if (!after || !result?.record) return { stepped: after, appended: [] }
      const { system, record } = writeback
      const isNew = writeback.action === 'create'
      const made = await events.record(tx, [
        { system, record, value: result.record, isNew, cause: causeOf(writeback) },
      ])
      return { stepped: after, appended: made }
    })
    if (result) await tellReaders(writeback, result, appended)
    if (!stepped) {
      logger.warn(
        { writeback: writeback.id, step: state.name },
        'lost to another process while it was carried',
      )
      return null
    }
    announce(stepped)
    return { writeback: stepped, lease }
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

  const work = async (held: Leased): Promise<unknown> => {
    const { writeback } = held
    const system = systems.get(writeback.system)
    const action = system && actionOf(system, writeback.record, writeback.action)
    if (!system || !action) {
      const problem: Problem = {
        code: 'UNSUPPORTED',
        message: `The configuration has no system "${writeback.system}" that can ${writeback.action} ${writeback.record} records any more.`,
      }
      return take(held, { name: 'needs-attention', problem })
    }
    switch (writeback.state.name) {
      case 'accepted':
        return send(held, system, action)
      case 'awaiting-approval':
        return lookForApproval(held, system, action)
      default:
        // A process that died while sending leaves `sending` behind: the system may have it.
        return look(held, system, action)
    }
  }

  const send = async (held: Leased, system: System, action: AnyAction): Promise<unknown> => {
    const { writeback, lease } = held
    const context: CallContext = { caller: writeback.caller, signal: undefined }
    // A session is opened before the attempt counts as one: what fails here has sent nothing.
    const ready = await system.adapter.connect?.(context)
    if (ready && !ready.ok) return settleFailure(held, system, ready.failure)
    // A process that slept longer than its lease may have lost this one to another.
    const mine = () => membership.isCurrent(ownerOf(lease))
    if (stop.signal.aborted || !mine()) return journal.release(writeback.id, lease, Date.now())
    const sending = await take(
      held,
      { name: 'sending' },
      { attempts: writeback.attempts + 1, tries: writeback.tries + 1, keep: true },
    )
    if (!sending) return null
    const observed = readers.observe()
    const outcome = await inCallScope({ maySend: mine, about: subjectOf(sending.writeback) }, () =>
      action.send(writeback.input, writeContextOf(writeback), context),
    )
    if (outcome.ok) return confirm(sending, system, outcome.value, observed)
    const { failure } = outcome
    if (sending.writeback.attempts > 1 && isRefusal(failure)) {
      // The refusal may be of a repetition: an earlier attempt, whose answer was lost, has taken effect after all.
      const verdict = await verify(action, writeback, context)
      if (verdict.ok && verdict.value.effect === 'done')
        return confirm(sending, system, verdict.value.result, observed)
    }
    return settleFailure(sending, system, failure)
  }

  const look = async (found: Leased, system: System, action: AnyAction): Promise<unknown> => {
    const context: CallContext = { caller: found.writeback.caller, signal: undefined }
    const problem: Problem = {
      code: 'OUTCOME_UNKNOWN',
      message: publicMessage({ kind: 'unknown-outcome', detail: '' }, system.id),
    }
    const now = () => new Date().toISOString()
    let held: Leased | null = found
    if (found.writeback.state.name === 'sending') {
      const unknown: WritebackState = { name: 'unknown', problem, notFoundSince: null, since: now() }
      held = await take(found, unknown, { keep: true })
      if (!held) return null
    }
    const { writeback } = held
    const { state } = writeback
    const since = (state.name === 'unknown' && state.since) || writeback.updatedAt
    const notFoundSince = state.name === 'unknown' ? state.notFoundSince : null
    const observed = readers.observe()
    const verdict = await verify(action, writeback, context)
    const lookLater = (absentSince: string | null, inMs: number) =>
      take(
        held,
        { name: 'unknown', problem, notFoundSince: absentSince, since },
        { dueAt: Date.now() + inMs },
      )
    if (!verdict.ok) {
      const { failure } = verdict
      // Found, and waiting for a person over there, or refused by one. Any other failure is one of looking.
      if (failure.kind === 'awaiting-approval' || failure.kind === 'rejected')
        return settleFailure(held, system, failure)
      if ((await systemIsWell(system, failure)) && ageMs(since) > GIVE_UP_AFTER_MS) {
        const evidence = `Looking for it fails: ${publicMessage(failure, system.id)}`
        return take(held, { name: 'needs-attention', problem, evidence })
      }
      // As it stands: a look that failed tells nothing, and need not be told.
      const wait = Math.min(Math.max(ageMs(since) / 2, LOOK_AGAIN_MS), LOOK_LAST_MS)
      return journal.release(writeback.id, held.lease, Date.now() + wait)
    }
    if (verdict.value.effect === 'done') return confirm(held, system, verdict.value.result, observed)
    const { evidence } = verdict.value
    const proven = verdict.value.effect === 'none' && verdict.value.proven
    const waited = notFoundSince !== null && ageMs(notFoundSince) >= system.commitDelayMs
    const lastTry = writeback.tries >= settings(system.id).attempts
    // No tries: a person who could look has told us to send it again.
    const blind = verdict.value.effect === 'unknown' && writeback.tries > 0
    // That a repetition would be safe is no proof that the last one will not come yet.
    if ((!proven || lastTry) && !waited) {
      const left = notFoundSince ? system.commitDelayMs - ageMs(notFoundSince) : system.commitDelayMs
      return lookLater(notFoundSince ?? now(), Math.max(left, 50))
    }
    if (blind || lastTry) {
      const sent = blind
        ? `Whether it was carried out cannot be seen: ${evidence}.`
        : `Sent ${writeback.attempts} times, never found in the system: ${evidence}.`
      const message = `System "${system.id}" was sent the change and its answer was lost.`
      return take(held, { name: 'needs-attention', problem: { ...problem, message }, evidence: sent })
    }
    return take(held, { name: 'accepted', note: `not in the system, sent again: ${evidence}` })
  }

  /** A person over there takes minutes or days; as long as it waits, nothing is written down. */
  const lookForApproval = async (held: Leased, system: System, action: AnyAction): Promise<unknown> => {
    const { writeback, lease } = held
    const { state } = writeback
    if (state.name !== 'awaiting-approval') return null
    const context: CallContext = { caller: writeback.caller, signal: undefined }
    const observed = readers.observe()
    const verdict = await verify(action, writeback, context)
    const wait = approvalWaitMs(writeback, settings(system.id).approvalEvery)
    const goOnWaiting = () => journal.release(writeback.id, lease, Date.now() + wait)
    if (!verdict.ok) {
      if (verdict.failure.kind === 'rejected') return settleFailure(held, system, verdict.failure)
      await systemIsWell(system, verdict.failure)
      return goOnWaiting()
    }
    if (verdict.value.effect === 'done') return confirm(held, system, verdict.value.result, observed)
    const { evidence } = verdict.value
    const absentSince = state.notFoundSince ?? new Date().toISOString()
    if (state.notFoundSince === undefined || ageMs(absentSince) < system.commitDelayMs) {
      const dueAt = Date.now() + Math.max(system.commitDelayMs, 50)
      return take(held, { ...state, notFoundSince: absentSince }, { dueAt })
    }
    const problem: Problem = {
      code: 'OUTCOME_UNKNOWN',
      message: `System "${system.id}" has neither the record nor what waited for approval any more.`,
    }
    return take(held, { name: 'needs-attention', problem, evidence: `${evidence}.` })
  }

  const confirm = async (
    held: Leased,
    system: System,
    { key, reached, record: answered, note }: WriteResult<RecordType>,
    observed: Confirmed['observed'],
  ): Promise<unknown> => {
    const record = answered ?? (await readBack(system, held.writeback, key))
    const state: WritebackState = { name: 'confirmed', key, reached, ...(note ? { note } : {}) }
    return take(held, state, {}, { key, record, observed })
  }

  const settleFailure = async (held: Leased, system: System, failure: SourceFailure): Promise<unknown> => {
    const { writeback } = held
    const { tries, state } = writeback
    const sent = state.name === 'sending'
    const problem = problemOf(failure, writeback.system)
    switch (failure.kind) {
      case 'unavailable': {
        // It had no effect. Where the system is not well, the attempt does not count and the whole queue waits.
        const asked = failure.reason === 'rate-limited' || failure.reason === 'maintenance'
        if (asked) holds.rest(system, failure.retryAfterMs ?? IDLE_MS)
        const well = !asked && failure.reason !== 'aborted' && (await systemIsWell(system, failure))
        if (!well) {
          const accepted: WritebackState = { name: 'accepted', note: problem.message }
          return take(held, accepted, sent ? { tries: tries - 1 } : {})
        }
        const failingSince = (state.name === 'accepted' && state.failingSince) || new Date().toISOString()
        if (sent ? tries >= settings(system.id).attempts : ageMs(failingSince) > GIVE_UP_AFTER_MS)
          return take(held, { name: 'needs-attention', problem })
        const wait = Math.max(failure.retryAfterMs ?? 0, tryAgainMs(sent ? tries : 1))
        const accepted: WritebackState = { name: 'accepted', note: problem.message, failingSince }
        return take(held, accepted, { dueAt: Date.now() + wait })
      }
      case 'unknown-outcome':
      case 'invalid-response':
        return take(held, {
          name: 'unknown',
          problem,
          notFoundSince: null,
          since: new Date().toISOString(),
        })
      case 'awaiting-approval':
        return take(
          held,
          {
            name: 'awaiting-approval',
            vendorReference: failure.vendorReference ?? null,
            message: failure.message,
          },
          { dueAt: Date.now() + settings(system.id).approvalEvery },
        )
      case 'unauthorized': {
        if (await systemIsWell(system, failure)) return take(held, { name: 'needs-attention', problem })
        const accepted: WritebackState = { name: 'accepted', note: problem.message }
        return take(held, accepted, sent ? { tries: tries - 1 } : {})
      }
      default:
        return take(held, { name: 'rejected', problem })
    }
  }

  const holds = createHolds({ store, away: options.away, wake: () => wake(), logger })

  /** Where a call failed: is it only this write, or the system? In the latter case what waits for it is held. */
  const systemIsWell = async (system: System, failure: SourceFailure): Promise<boolean> => {
    if (failure.kind !== 'unavailable' && failure.kind !== 'unauthorized') return true
    return (await holds.suspect(system)) === 'well'
  }

  const carry = (held: Leased) => {
    const { system, id } = held.writeback
    const task: Promise<void> = work(held)
      .then(() => {})
      .catch(async (error: unknown) => {
        logger.error({ writeback: id, err: error }, 'a writeback step failed')
        await journal.release(id, held.lease, Date.now() + RELEASE_MS)
      })
      .catch((error: unknown) => logger.error({ err: error }, 'the journal does not answer'))
      .finally(() => {
        inHand.delete(task)
        occupy(system, -1)
        wake()
      })
    inHand.add(task)
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
        // Not known to be alive: what is taken now would be lost at once. The next beat of the lease will tell.
        if (!membership.isCurrent(membership.owner)) {
          timer = setTimeout(wake, LAPSED_MS)
          return
        }
        if (performance.now() - lookedAround > IDLE_MS) {
          lookedAround = performance.now()
          await holds.refresh()
          await journal.releaseDead(membership.isAlive)
        }
        const open = systems.all().filter((system) => holds.of(system) === null)
        const slots = new Map(open.map((system) => [system.id, freeHands(system)]))
        // Promised before the question: meanwhile a mutation may ask for a hand too.
        for (const [system, free] of slots) if (free > 0) busy.set(system, (busy.get(system) ?? 0) + free)
        let taken: readonly Leased[] = []
        const asked = Date.now()
        try {
          if (!stop.signal.aborted) taken = await journal.claim(slots, newLease)
        } finally {
          for (const [system, free] of slots) if (free > 0) busy.set(system, (busy.get(system) ?? 0) - free)
        }
        for (const held of taken) {
          occupy(held.writeback.system, 1)
          carry(held)
        }
        const free = open.filter((system) => freeHands(system) > 0).map((system) => system.id)
        const due = await journal.nextDue(free)
        // Due before the question and not taken: something goes before it, and says so when it is done.
        const wait =
          due === null || due <= asked ? IDLE_MS : Math.min(Math.max(due - Date.now(), 20), IDLE_MS)
        if (!stop.signal.aborted) timer = setTimeout(wake, wait)
      } while (again && !stop.signal.aborted)
    } finally {
      filling = false
    }
  }
  const wake = () => {
    if (stop.signal.aborted || waking) return
    waking = setTimeout(fillNow, GATHER_MS)
  }
  const fillNow = () => {
    waking = undefined
    if (stop.signal.aborted) return
    fill().catch((error: unknown) => {
      logger.error({ err: error }, 'the write worker stumbled')
      if (!stop.signal.aborted) timer = setTimeout(wake, IDLE_MS)
    })
  }

  /** What another process has done is told here too. */
  const hear = async (): Promise<void> => {
    if (listeners.size === 0) {
      heard = undefined
      return
    }
    heard ??= await headOfHistory(store)
    for (;;) {
      const moved = await journal.movedSince(heard)
      if (moved.position === heard) return
      heard = moved.position
      for (const writeback of moved.writebacks) hearStep(writeback)
    }
  }
  let hearing: Promise<void> = Promise.resolve()
  const unhook = store.onChangeElsewhere(() => {
    hearing = hearing.then(hear).catch(() => {})
    // It may have paused a system.
    lookedAround = Number.NEGATIVE_INFINITY
    wake()
  })

  return {
    start: wake,
    wake,
    announce,
    reserve(system) {
      if (stop.signal.aborted || !membership.isCurrent(membership.owner)) return undefined
      if (freeHands(system) <= 0 || holds.of(system) !== null) return undefined
      occupy(system.id, 1)
      return newLease()
    },
    settle(system, lease, writeback) {
      if (writeback) carry({ writeback, lease })
      else occupy(system.id, -1)
    },
    async reconsider() {
      await holds.refresh()
      wake()
    },
    holdOf: (system) => holds.of(system),
    async settled(id, withinMs, isNew = false) {
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
        const look = () => journal.get(id).then(check, () => {})
        const unlisten = this.onStep((writeback) => writeback.id === id && check(writeback))
        const limit = setTimeout(() => journal.get(id).then(done, () => done(null)), withinMs)
        // Another process may be the one that carries it.
        const peek = setInterval(look, IDLE_MS)
        if (!isNew) look()
      })
    },
    onStep(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      stop.abort()
      unhook()
      holds.close()
      clearTimeout(timer)
      clearTimeout(waking)
      await Promise.allSettled([...inHand, hearing])
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

const writeContextOf = (writeback: Writeback): WriteContext => ({
  externalReference: writeback.externalReference,
  onBehalfOf: writeback.caller.subject,
  ...(writeback.target ? { target: writeback.target } : {}),
})

/** Asks the system what became of a write. */
const verify = (action: AnyAction, writeback: Writeback, context: CallContext) =>
  inCallScope({ about: subjectOf(writeback, ': looked for') }, () =>
    action.verify(writeback.input, writeContextOf(writeback), context),
  )

const subjectOf = (
  { id, system, record, action, caller, attempts, idempotencyKey, input }: Writeback,
  suffix = '',
): CallSubject => ({
  system,
  operation: `${record}.${action}${suffix}`,
  key: (input as { key?: string } | null)?.key ?? idempotencyKey,
  writeback: id,
  attempt: attempts,
  tenant: caller.tenant,
  subject: caller.subject,
  ...(caller.origin === undefined ? {} : { origin: caller.origin }),
})

const isRefusal = ({ kind }: SourceFailure): boolean =>
  kind === 'rejected' || kind === 'conflict' || kind === 'not-found'

const ageMs = (since: string): number => Date.now() - Date.parse(since)

/** Spread, so that many that failed together do not come together again. */
const tryAgainMs = (tries: number): number =>
  (TRY_AGAIN_MS[Math.min(tries, TRY_AGAIN_MS.length) - 1] ?? TRY_AGAIN_MS[0]) * (0.75 + Math.random() / 2)

const approvalWaitMs = (writeback: Writeback, every: number): number =>
  Math.max(every, Math.min(ageMs(writeback.updatedAt) / 20, APPROVAL_LAST_MS))

export function problemOf(failure: SourceFailure, system: string): Problem {
  const message = publicMessage(failure, system)
  switch (failure.kind) {
    case 'rejected': {
      const code = failure.reason === 'period-closed' ? 'PERIOD_CLOSED' : 'REJECTED'
      const { line, field, details } = failure
      return { code, vendorCode: failure.code, message, line, field, details }
    }
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
