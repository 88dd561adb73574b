/**
 * Carries runs from step to step. What it does follows from the run and the journal alone, so that any process can go
 * on where another stopped: the step is in the run in the same transaction in which its write is in the journal.
 */
import type { EventLog } from '../events/log.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import type { Journal } from '../writeback/journal.ts'
import { step as stepWriteback } from '../writeback/journal.ts'
import type { Membership } from '../writeback/process.ts'
import type { Worker } from '../writeback/worker.ts'
import { type Problem, runOf, type Writeback, hasEnded as writebackEnded } from '../writeback/writeback.ts'
import type { Writer } from '../writeback/writer.ts'
import {
  type Flow,
  FlowReject,
  type Flows,
  type FlowTools,
  FlowWait,
  type Plan,
  type Step,
  stepsOf,
} from './flow.ts'
import { type FlowRun, hasEnded, mutationOf, type RunState, type RunStep, stepKey, viewOf } from './run.ts'
import { ATTENTION_AGAIN_MS, type Change, type LeasedRun, LostRun, leaseOf, type Runs } from './runs.ts'

export interface Runner {
  start(): void
  wake(): void
  /** Answers when the run has ended, needs a person, or the time is over, with its last state. */
  settled(id: string, withinMs: number): Promise<FlowRun | null>
  close(): Promise<void>
}

export interface RunnerOptions {
  readonly store: Store
  readonly runs: Runs
  readonly flows: Flows
  readonly tools: FlowTools
  readonly journal: Journal
  readonly writer: Writer
  readonly worker: Worker
  readonly events: Pick<EventLog, 'announce'>
  readonly membership: Membership
  readonly logger: Log
}

/** Runs in this process's hands at once. */
const CONCURRENCY = 16
/** So long a step stays in the same hands; a write that takes longer tells when it is done. */
const WAIT_MS = 5_000
/** So often a write that met a newer version is prepared anew. */
const CONFLICTS = 3
/** Without a signal from other processes, and for those that died, we look this often. */
const IDLE_MS = 1_000
/** How soon, and how seldom, what waits is looked at. */
const LOOK_FIRST_MS = 500
const LOOK_LAST_MS = 60_000
const GATHER_MS = 5
/** After an error of our own the run rests for so long. */
const RELEASE_MS = 5_000

/** A run cannot go on now: in how many milliseconds it is looked at again. */
interface Pause {
  readonly pause: number
}
type Next = FlowRun | Pause

export function createRunner(options: RunnerOptions): Runner {
  const { store, runs, flows, tools, journal, writer, worker, events, membership, logger } = options
  const stop = new AbortController()
  const inHand = new Map<string, Promise<void>>()
  /** In hand, and something happened meanwhile. */
  const nudged = new Set<string>()
  const waiting = new Map<string, Set<() => void>>()
  let timer: NodeJS.Timeout | undefined
  let waking: NodeJS.Timeout | undefined
  let filling = false
  let again = false
  let leases = 0
  let lookedAround = Number.NEGATIVE_INFINITY

  const announce = () =>
    events.announce().catch((error: unknown) => logger.error({ err: error }, 'events could not be applied'))

  const change = async ({ run, lease }: LeasedRun, what: Change): Promise<FlowRun> => {
    const changed = await store.transact((tx) => runs.changeIn(tx, run.id, lease, what))
    announce()
    for (const tell of waiting.get(run.id) ?? []) tell()
    return changed
  }

  /* ---- one look at a run ---- */

  const advance = async (held: LeasedRun): Promise<Next> => {
    const { run } = held
    const flow = flows.get(run.flow, run.version)
    if (!flow) {
      const message = `This gateway has no flow "${run.flow}" of version ${run.version}. Deploy a version that has it, or resolve the run.`
      return attention(held, { code: 'FLOW_VERSION_MISSING', message })
    }
    // What a person, or a deploy, may have put right meanwhile is looked at anew.
    const { state } = run
    const doing = state.name === 'needs-attention' ? state.doing : null
    const isUndoing = state.name === 'undoing' || (doing !== null && doing !== 'running')
    return isUndoing ? undo(held, flow) : goOn(held, flow)
  }

  const goOn = async (held: LeasedRun, flow: Flow): Promise<Next> => {
    for (const stage of flow.stages) {
      const steps = stepsOf(stage)
      const before = steps.map((step) => stateOf(held.run, step.name))
      if (before.every(({ name }) => name === 'done' || name === 'skipped')) continue
      const sent = before.filter((one) => one.name === 'sent')
      const failed = before.find((one) => one.name === 'failed')
      // What is on its way is known before anything else is decided: only then it is clear what must be undone.
      if (sent.length > 0) {
        const settled = await settle(held, sent)
        if (settled) return settled
        continue
      }
      if (failed?.name === 'failed')
        return change(held, { state: { name: 'undoing', problem: failed.problem } })
      const pending = steps.filter((step) => stateOf(held.run, step.name).name === 'pending')
      const begun = await Promise.allSettled(pending.map((step) => begin(held, step)))
      const broken = begun.find((one) => one.status === 'rejected')
      if (broken) throw broken.reason
      // Together they have changed the run more than once.
      return (await runs.get(held.run.id)) ?? { pause: LOOK_FIRST_MS }
    }
    return change(held, { state: { name: 'completed' } })
  }

  /** Puts the step's write into the journal, or says why there is none. */
  const begin = async (held: LeasedRun, step: Step): Promise<void> => {
    const { run } = held
    const at = now()
    const plan = await planOf(() => step.prepare(viewOf(run), tools))
    if ('skip' in plan) {
      const skipped: RunStep = { step: step.name, at, name: 'skipped', reason: plan.skip, data: plan.data }
      await change(held, { step: skipped })
      return
    }
    const fail = (problem: Problem, writeback: string | null = null) =>
      change(held, { step: { step: step.name, at, name: 'failed', writeback, problem } })
    if ('reject' in plan) {
      await fail(plan.reject)
      return
    }
    const is = stateOf(run, step.name)
    const conflicts = is.name === 'pending' ? (is.conflicts ?? 0) : 0
    const suffix = conflicts === 0 ? '' : `/${conflicts + 1}`
    const refused = await submit(held, step.name, plan, suffix, (writeback) => ({
      step: step.name,
      at: now(),
      name: 'sent',
      writeback,
      ...(plan.data === undefined ? {} : { data: plan.data }),
      ...(conflicts === 0 ? {} : { conflicts }),
    }))
    if (refused) await fail(refused)
  }

  /**
   * The promise of a write and the run's knowledge of it become durable together, or neither does.
   * @returns Why it was not promised.
   */
  const submit = async (
    { run, lease }: LeasedRun,
    step: string,
    { write, data: _data }: Extract<Plan, { write: unknown }>,
    suffix: string,
    stepFor: (writeback: string) => RunStep,
  ): Promise<Problem | null> => {
    if (stop.signal.aborted || !membership.isCurrent(membership.owner)) throw new LostRun(run.id)
    const key = stepKey(run, step, suffix)
    const submitted = await writer.submit(
      {
        caller: run.caller,
        mutation: mutationOf(run),
        idempotencyKey: key,
        // The step is the intention: what was journaled first is what is meant, whatever is read afterwards.
        clientInput: { step: key },
        ...write,
      },
      {
        waitMs: 0,
        attach: async (tx, writeback) => {
          await runs.changeIn(tx, run.id, lease, { step: stepFor(writeback.id) })
        },
      },
    )
    if (submitted.ok) {
      await ended(submitted.writeback.id)
      return null
    }
    const code = submitted.reason === 'writes-off' ? 'WRITES_OFF' : 'UNSUPPORTED'
    return { code, message: submitted.message }
  }

  /** Most writes end soon: it is cheaper to wait for them than to put the run down and take it up again. */
  const ended = (id: string): Promise<void> =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(limit)
        unlisten()
        stop.signal.removeEventListener('abort', done)
        resolve()
      }
      const check = (writeback: Writeback | null) => {
        if (!writeback || writebackEnded(writeback.state) || writeback.state.name === 'awaiting-approval')
          done()
      }
      const unlisten = worker.onStep((writeback) => writeback.id === id && check(writeback))
      const limit = setTimeout(done, WAIT_MS)
      stop.signal.addEventListener('abort', done)
      if (stop.signal.aborted) done()
      else journal.get(id).then(check, done)
    })

  /** Takes over what has become of writes; waits for those that are on their way. */
  const settle = async (held: LeasedRun, sent: readonly RunStep[]): Promise<Next | null> => {
    let { run } = held
    let waitsFor: Writeback | null = null
    let person: { step: RunStep; writeback: Writeback } | null = null
    let moved = false
    for (const step of sent) {
      if (step.name !== 'sent') continue
      const writeback = await journal.get(step.writeback)
      if (!writeback) throw new Error(`writeback ${step.writeback} is not in the journal`)
      const { state } = writeback
      const { step: name, data } = step
      if (state.name === 'confirmed' || state.name === 'compensated') {
        const done = { writeback: writeback.id, system: writeback.system, key: state.key }
        const next: RunStep = {
          step: name,
          at: now(),
          name: 'done',
          ...done,
          ...(data === undefined ? {} : { data }),
        }
        run = await change({ ...held, run }, { step: next })
        moved = true
      } else if (state.name === 'needs-attention') person = { step, writeback }
      else if (isConflict(state) && (step.conflicts ?? 0) < CONFLICTS) {
        // Somebody else was faster: what is to be written is worked out from what there is now.
        const conflicts = (step.conflicts ?? 0) + 1
        run = await change({ ...held, run }, { step: { step: name, at: now(), name: 'pending', conflicts } })
        moved = true
      } else if (writebackEnded(state)) {
        const next: RunStep = {
          step: name,
          at: now(),
          name: 'failed',
          writeback: writeback.id,
          problem: refusal(writeback),
        }
        run = await change({ ...held, run }, { step: next })
        moved = true
      } else waitsFor = writeback
    }
    if (moved) return run
    if (person) return attention(held, writebackProblem(person.writeback), person.step.step)
    return waitsFor ? wait(held, `Waits for writeback ${waitsFor.id} (${waitsFor.state.name}).`) : null
  }

  /* ---- undoing, in reverse ---- */

  const undo = async (held: LeasedRun, flow: Flow): Promise<Next> => {
    const { run } = held
    const { state } = run
    const problem =
      state.name === 'undoing'
        ? state.problem
        : state.name === 'needs-attention' && state.doing !== 'running'
          ? state.doing.undoing
          : { code: 'UNKNOWN', message: 'It was told to undo its steps.' }
    const steps = flow.stages.flatMap(stepsOf)
    const sent = run.steps.filter((one) => one.name === 'sent')
    if (sent.length > 0) {
      const settled = await settle(held, sent)
      if (settled) return settled
    }
    for (const step of steps.toReversed()) {
      const is = stateOf(run, step.name)
      if (is.name === 'done') return beginUndo(held, step, is, 1)
      if (is.name === 'undoing') return settleUndo(held, is)
      if (is.name === 'not-undone') return attention(held, is.problem, is.step)
    }
    return change(held, { state: { name: 'compensated', problem } })
  }

  const beginUndo = async (
    held: LeasedRun,
    step: Step,
    is: Extract<RunStep, { name: 'done' }>,
    tries: number,
  ): Promise<Next> => {
    const { step: name, writeback, system, key, data } = is
    const done = { writeback, system, key, ...(data === undefined ? {} : { data }) }
    const base = () => ({ step: name, at: now(), ...done })
    const undone = (note: string): Promise<FlowRun> =>
      change(held, { step: { ...base(), name: 'undone', undo: null, note } })
    if (!step.undo) return undone('nothing to undo')
    const undoing = step.undo
    const plan = await planOf(() => undoing(viewOf(held.run), { system, key, data }, tools))
    if ('skip' in plan) return undone(plan.skip)
    const attempt = tries + triesBefore(held.run, name)
    if ('reject' in plan) return notUndone(held, { ...base(), tries: attempt, undo: null }, plan.reject)
    const refused = await submit(held, name, plan, `/undo/${attempt}`, (undo) => ({
      ...base(),
      name: 'undoing',
      undo,
      tries: attempt,
    }))
    if (refused) return notUndone(held, { ...base(), tries: attempt, undo: null }, refused)
    return (await runs.get(held.run.id)) ?? { pause: LOOK_FIRST_MS }
  }

  const settleUndo = async (held: LeasedRun, is: Extract<RunStep, { name: 'undoing' }>): Promise<Next> => {
    const undo = await journal.get(is.undo)
    if (!undo) throw new Error(`writeback ${is.undo} is not in the journal`)
    const { tries, ...base } = is
    if (undo.state.name === 'confirmed') {
      const compensated = await store.transact(async (tx) => {
        const run = await runs.changeIn(tx, held.run.id, held.lease, {
          step: { ...base, at: now(), name: 'undone' },
        })
        const original = await journal.getIn(tx, is.writeback)
        if (original?.state.name !== 'confirmed') return { run, original: null }
        const { key, reached } = original.state
        const after = await stepWriteback(tx, original.id, null, {
          name: 'compensated',
          key,
          reached,
          by: undo.id,
        })
        return { run, original: after }
      })
      if (compensated.original) worker.announce(compensated.original)
      announce()
      return compensated.run
    }
    if (undo.state.name === 'needs-attention')
      return attention(held, writebackProblem(undo), is.step, `undoing step "${is.step}"`)
    if (writebackEnded(undo.state)) return notUndone(held, { ...base, at: now(), tries }, refusal(undo))
    return wait(held, `Waits for writeback ${undo.id} (${undo.state.name}), which undoes step "${is.step}".`)
  }

  /** What was done stays in force: nobody may overlook that. */
  const notUndone = async (
    held: LeasedRun,
    step: Omit<Extract<RunStep, { name: 'not-undone' }>, 'name' | 'problem'>,
    problem: Problem,
  ): Promise<Next> => {
    logger.error(
      {
        run: held.run.id,
        flow: held.run.flow,
        step: step.step,
        writeback: step.writeback,
        code: problem.code,
      },
      `a flow could not undo what it did: ${problem.message}`,
    )
    return change(held, { step: { ...step, name: 'not-undone', problem } })
  }

  /* ---- standing still ---- */

  const attention = async (
    held: LeasedRun,
    problem: Problem,
    step?: string,
    while_ = step ? `step "${step}"` : '',
  ): Promise<Next> => {
    const { state } = held.run
    const doing =
      state.name === 'needs-attention'
        ? state.doing
        : state.name === 'undoing'
          ? { undoing: state.problem }
          : ('running' as const)
    const isKnown =
      state.name === 'needs-attention' && state.step === step && state.problem.message === problem.message
    if (!isKnown) {
      logger.error(
        { run: held.run.id, flow: held.run.flow, key: held.run.key, step, code: problem.code },
        `a flow needs attention${while_ && ` at ${while_}`}: ${problem.message}`,
      )
      const next: RunState = { name: 'needs-attention', problem, doing, ...(step ? { step } : {}) }
      await change(held, { state: next })
    }
    return { pause: ATTENTION_AGAIN_MS }
  }

  const wait = async (held: LeasedRun, note: string): Promise<Pause> => {
    const { state } = held.run
    // It was shown to a person, and goes on: what it waits for moves again.
    const moving: RunState =
      state.name === 'needs-attention'
        ? state.doing === 'running'
          ? { name: 'running', note }
          : { name: 'undoing', problem: state.doing.undoing, note }
        : state.name === 'undoing'
          ? { ...state, note }
          : { name: 'running', note }
    const known = 'note' in state ? state.note : undefined
    if (known !== note) await change(held, { state: moving, note })
    const age = Date.now() - Date.parse(held.run.updatedAt)
    return { pause: Math.min(Math.max(age / 2, LOOK_FIRST_MS), LOOK_LAST_MS) }
  }

  /* ---- hands ---- */

  const carry = (held: LeasedRun) => {
    const { id } = held.run
    const task = work(held)
      .catch((error: unknown) => logger.error({ err: error }, 'the runs of flows cannot be reached'))
      .finally(() => {
        inHand.delete(id)
        nudged.delete(id)
        for (const tell of waiting.get(id) ?? []) tell()
        wake()
      })
    inHand.set(id, task)
  }

  const work = async (held: LeasedRun): Promise<void> => {
    const { lease } = held
    let { run } = held
    const release = (inMs: number) =>
      runs.release(run.id, lease, nudged.delete(run.id) ? Date.now() : Date.now() + inMs)
    try {
      for (;;) {
        if (stop.signal.aborted) return await release(0)
        const next = await lookAt({ run, lease })
        if ('pause' in next) return await release(next.pause)
        run = next
        if (hasEnded(run.state)) return
      }
    } catch (error) {
      if (error instanceof LostRun) {
        logger.warn({ run: run.id }, 'lost to another process while it was carried')
        // Or only given up by this one, which was not sure of its lease: then it is still in its name.
        return await release(0)
      }
      logger.error({ run: run.id, flow: run.flow, err: error }, 'a step of a flow failed')
      await release(RELEASE_MS)
    }
  }

  const lookAt = async (held: LeasedRun): Promise<Next> => {
    try {
      return await advance(held)
    } catch (error) {
      if (error instanceof FlowWait) return wait(held, error.message)
      if (!(error instanceof FlowBug)) throw error
      logger.error({ run: held.run.id, flow: held.run.flow, err: error.cause }, 'a flow threw an error')
      return attention(held, { code: 'FLOW_ERROR', message: error.message })
    }
  }

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
        if (membership.isCurrent(membership.owner)) {
          if (performance.now() - lookedAround > IDLE_MS) {
            lookedAround = performance.now()
            await runs.releaseDead(membership.isAlive)
          }
          const owner = membership.owner
          const name = () => leaseOf(owner, leases++)
          if (!stop.signal.aborted)
            for (const held of await runs.claim(CONCURRENCY - inHand.size, name)) carry(held)
        }
        const due = inHand.size < CONCURRENCY ? await runs.nextDue() : null
        const inMs = due === null ? IDLE_MS : Math.min(Math.max(due - Date.now(), 20), IDLE_MS)
        if (!stop.signal.aborted) timer = setTimeout(wake, inMs)
      } while (again && !stop.signal.aborted)
    } finally {
      filling = false
    }
  }
  const wake = () => {
    if (stop.signal.aborted || waking) return
    waking = setTimeout(() => {
      waking = undefined
      if (stop.signal.aborted) return
      fill().catch((error: unknown) => {
        logger.error({ err: error }, 'the runner of flows stumbled')
        if (!stop.signal.aborted) timer = setTimeout(wake, IDLE_MS)
      })
    }, GATHER_MS)
  }

  const unlisten = worker.onStep((writeback) => {
    const id = runOf(writeback)
    if (id === undefined || !writebackEnded(writeback.state)) return
    if (inHand.has(id)) {
      nudged.add(id)
      return
    }
    runs.nudge(id).then(wake, () => {})
  })
  const unhook = store.onChangeElsewhere(wake)

  return {
    start: wake,
    wake,
    async settled(id, withinMs) {
      const deadline = performance.now() + withinMs
      for (;;) {
        const run = await runs.get(id)
        const left = deadline - performance.now()
        if (!run || hasEnded(run.state) || run.state.name === 'needs-attention' || left <= 0) return run
        await new Promise<void>((resolve) => {
          const others = waiting.get(id) ?? new Set()
          waiting.set(id, others)
          const done = () => {
            clearTimeout(limit)
            others.delete(done)
            if (others.size === 0) waiting.delete(id)
            resolve()
          }
          // Another process may be the one that carries it.
          const limit = setTimeout(done, Math.min(left, IDLE_MS))
          others.add(done)
        })
      }
    },
    async close() {
      stop.abort()
      unlisten()
      unhook()
      clearTimeout(timer)
      clearTimeout(waking)
      await Promise.allSettled(inHand.values())
    },
  }
}

/** An error of the flow's own code. */
class FlowBug extends Error {}

async function planOf(ask: () => Promise<Plan>): Promise<Plan> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof FlowReject) return { reject: error.problem }
    if (error instanceof FlowWait) throw error
    const message = error instanceof Error ? error.message : String(error)
    throw new FlowBug(`The flow's own code failed: ${message}`, { cause: error })
  }
}

function stateOf(run: FlowRun, step: string): RunStep {
  const found = run.steps.find((one) => one.step === step)
  if (!found) throw new FlowBug(`The run has no step "${step}": the flow was changed without a new version.`)
  return found
}

/** How often it was tried to undo a step, in vain. */
const triesBefore = (run: FlowRun, step: string): number => {
  const is = run.steps.find((one) => one.step === step)
  return is && 'tries' in is ? is.tries : 0
}

const isConflict = (state: Writeback['state']): boolean =>
  state.name === 'rejected' && state.problem.code === 'CONFLICT'

const now = (): string => new Date().toISOString()

/** Why a write that has ended did not bring what the step wanted. */
function refusal({ state, system, id }: Writeback): Problem {
  switch (state.name) {
    case 'rejected':
      return state.problem
    case 'cancelled':
      return { code: 'CANCELLED', message: `An operator gave up writeback ${id}: ${state.reason}` }
    case 'dry-run':
      return {
        code: 'DRY_RUN',
        message: `System "${system}" has writes "dryRun": writeback ${id} shows what would be sent, and nothing was.`,
      }
    default:
      return { code: 'UNKNOWN', message: `Writeback ${id} is "${state.name}".` }
  }
}

const writebackProblem = (writeback: Writeback): Problem => {
  const { state } = writeback
  const said = 'problem' in state ? ` ${state.problem.message}` : ''
  return {
    code: 'WRITEBACK_NEEDS_ATTENTION',
    message: `Writeback ${writeback.id} to system "${writeback.system}" needs a person:${said} Retry or resolve it; the run goes on by itself then.`,
  }
}
