/**
 * Explores in which order things can happen to one record: readers come, their calls read the system's state and
 * answer later, the record changes, its event arrives, a write is confirmed. Whatever the order, nobody may get a
 * value older than an event or a confirmation that was applied before they came.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { affectedBy } from '../../src/events/dependents.ts'
import { Fence } from '../../src/reading/fence.ts'
import * as Parts from '../../src/reading/parts.ts'
import { createReading, type Reading } from '../../src/reading/reading.ts'
import { type Outcome, ok } from '../../src/systems/failure.ts'
import type { Key, Opportunity } from '../../src/systems/records.ts'
import { createSystems, type System } from '../../src/systems/registry.ts'
import { logger, opportunity, settingsFrom, testSystem } from './kit.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
// An ES module's exports can be replaced only so.
vi.mock('../../src/reading/parts.ts', { spy: true })

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const KEY = 'o1'
const CUSTOMER = 'c1'

/** One call of the read path to the system: it sees the state at some moment, and its answer arrives later. */
interface Call {
  readonly keys: readonly Key[]
  seen: number | undefined
  answer(value: number): void
}

type Step =
  | `reader ${number}`
  | `call ${number} reads`
  | `call ${number} answers`
  | 'record changes'
  | 'event is applied'
  | 'feed reads'
  | 'write takes effect'
  | 'write is confirmed'

interface Plan {
  /** The credential scope of each reader, and how it asks. */
  readonly readers: readonly {
    readonly scope: string
    readonly by: 'key' | 'customer'
    /** What it shows; not given: everything. */
    readonly wants?: Parts.Wants
  }[]
  readonly changes: number
  readonly write: boolean
}

interface Violation {
  readonly steps: readonly Step[]
  readonly reader: number
  readonly got: number
  readonly expected: number
}

/** Replays `choose` on a fresh read path until nothing is left to do. */
async function run(plan: Plan, choose: (possible: readonly Step[]) => Step): Promise<Violation | null> {
  const calls: Call[] = []
  let version = 0
  /** The least that one who comes now must see. */
  let floor = 0
  const pending: { version: number; position: number; observed?: ReturnType<Reading['observe']> }[] = []
  let changes = 0
  let position = 0
  let writing: 'no' | 'effective' | 'done' = 'no'
  const steps: Step[] = []
  const arrived = new Map<number, number>()
  const results = new Map<number, number>()

  const { reading, system } = readingOver(calls)
  const comes = (index: number) => {
    const reader = plan.readers[index]
    if (!reader) return
    arrived.set(index, floor)
    const demand = { credentialScope: reader.scope, since: 0, wants: reader.wants }
    const seesLines = !reader.wants
    const record =
      reader.by === 'key'
        ? reading.record(system, 'opportunity', KEY, demand)
        : reading
            .lookup(system, 'opportunity', 'byCustomer', CUSTOMER, demand)
            ?.then((read) => (read.ok ? { ...read, value: read.value[0] ?? null } : read))
    record?.then((read) => results.set(index, read.ok ? versionOf(read.value, seesLines) : Number.NaN))
  }
  const apply = () => {
    const event = pending.shift()
    if (!event) return
    const value = recordOf(event.version)
    const { position: at } = event
    event.observed?.([{ type: 't', system: 'erp', record: 'opportunity', key: KEY, position: at, value }])
    const affects = affectedBy('opportunity', [value])
    const data = { changes: [], facts: {}, before: null, affects }
    reading.apply([
      {
        position: at,
        source: '',
        id: '',
        type: '',
        system: 'erp',
        record: 'opportunity',
        key: KEY,
        appendedAt: 0,
        time: '',
        data,
      },
    ])
    floor = Math.max(floor, event.version)
  }

  const unread = () => pending.find((event) => !event.observed)

  for (;;) {
    const possible: Step[] = [
      ...plan.readers.flatMap((_, index): Step[] => (arrived.has(index) ? [] : [`reader ${index}`])),
      ...calls.flatMap((call, index): Step[] =>
        call.seen === undefined ? [`call ${index} reads`] : call.seen >= 0 ? [`call ${index} answers`] : [],
      ),
      ...(changes < plan.changes ? (['record changes'] as const) : []),
      ...(pending.length > 0 ? (['event is applied'] as const) : []),
      // The feed may bring the value along; it can only have read the state that there is.
      ...(unread()?.version === version ? (['feed reads'] as const) : []),
      ...(plan.write && writing === 'no' ? (['write takes effect'] as const) : []),
      ...(writing === 'effective' ? (['write is confirmed'] as const) : []),
    ]
    if (possible.length === 0) break
    const step = choose(possible)
    steps.push(step)
    const index = Number(/\d+/.exec(step)?.[0])
    const call = calls[index]
    if (step.startsWith('reader')) comes(index)
    else if (step.endsWith('reads') && call) call.seen = version
    else if (step.endsWith('answers') && call) {
      call.answer(call.seen ?? 0)
      call.seen = -1
    } else if (step === 'record changes') {
      changes++
      pending.push({ version: ++version, position: ++position })
    } else if (step === 'event is applied') apply()
    else if (step === 'feed reads') {
      const event = unread()
      if (event) event.observed = reading.observe()
    } else if (step === 'write takes effect') {
      version++
      writing = 'effective'
    } else if (step === 'write is confirmed') {
      const affects = affectedBy('opportunity', [recordOf(version)])
      reading.invalidate([{ system: 'erp', record: 'opportunity', key: KEY, affects }])
      floor = version
      writing = 'done'
    }
    await vi.advanceTimersByTimeAsync(5)
  }
  void reading.close()
  for (const [reader, expected] of arrived) {
    const got = results.get(reader) ?? Number.NaN
    if (!(got >= expected)) return { steps, reader, got, expected }
  }
  return null
}

const recordOf = (version: number): Opportunity => ({
  ...opportunity(KEY, CUSTOMER, `v${version}`),
  lines: [{ product: 'p1', quantity: String(version) }],
})
const headOf = (version: number): Opportunity => ({ ...recordOf(version), lines: [] })

/** NaN where head and lines are not of one version, or where lines were left out for one who wants them. */
function versionOf(record: Opportunity | null, withLines: boolean): number {
  const version = Number(record?.name.slice(1) ?? Number.NaN)
  if (!withLines) return version
  try {
    return Number(record?.lines?.[0]?.quantity) === version ? version : Number.NaN
  } catch {
    return Number.NaN
  }
}

function readingOver(calls: Call[]): { reading: Reading; system: System } {
  const ask = (keys: readonly Key[]) =>
    new Promise<number>((resolve) => calls.push({ keys, seen: undefined, answer: resolve }))
  const { system: base } = testSystem()
  const system: System = {
    ...base,
    adapter: {
      ...base.adapter,
      ports: {
        opportunity: {
          batchLimit: 10,
          parts: { lines: ['lines'] },
          async readMany(keys, { without }) {
            const version = await ask(keys)
            return keys.map((): Outcome<Opportunity> => ok((without ? headOf : recordOf)(version)))
          },
          lookups: {
            byCustomer: {
              batchLimit: 10,
              async read(keys, { without }) {
                const version = await ask(keys)
                return keys.map(() => ok([(without ? headOf : recordOf)(version)]))
              },
            },
          },
        },
      },
    },
  }
  const settings = settingsFrom({ limits: { timeout: '1h' } })
  const reading = createReading({
    systems: createSystems([system]),
    settings: () => settings,
    maxBytes: 1e6,
    logger,
  })
  return { reading, system }
}

/** Every order there is, depth first; each is replayed from the start. */
async function exploreAll(plan: Plan): Promise<{ runs: number; violations: Violation[] }> {
  const violations: Violation[] = []
  let runs = 0
  let path: { choice: number; of: number }[] = []
  for (;;) {
    let depth = 0
    const found = await run(plan, (possible) => {
      const place = path[depth] ?? { choice: 0, of: possible.length }
      path[depth++] = place
      return possible[place.choice] as Step
    })
    runs++
    if (found) violations.push(found)
    path = path.slice(0, depth)
    while (path.length > 0 && (path.at(-1)?.choice ?? 0) + 1 === path.at(-1)?.of) path.pop()
    const last = path.at(-1)
    if (!last) return { runs, violations }
    last.choice++
  }
}

async function exploreSome(plan: Plan, runs: number): Promise<Violation[]> {
  const violations: Violation[] = []
  let state = 7
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state / 2 ** 32
  }
  for (let count = 0; count < runs; count++) {
    const found = await run(plan, (possible) => possible[Math.floor(random() * possible.length)] as Step)
    if (found) violations.push(found)
  }
  return violations
}

const byKey = { scope: 'service', by: 'key' } as const
const byCustomer = { scope: 'service', by: 'customer' } as const
const elsewhere = { scope: 'other', by: 'key' } as const
const heads: Parts.Wants = new Map([['opportunity', new Set(['name'])]])
const headOnly = { ...byKey, wants: heads } as const
const headByCustomer = { ...byCustomer, wants: heads } as const

describe('whatever the order, nobody gets less than what was applied before they came', () => {
  test.each([
    ['two readers, one change', { readers: [byKey, byKey], changes: 1, write: false }],
    ['two readers, one write', { readers: [byKey, byKey], changes: 0, write: true }],
    [
      'a reader by key, one by lookup, one change',
      { readers: [byKey, byCustomer], changes: 1, write: false },
    ],
    [
      'readers in two credential scopes, one change',
      { readers: [byKey, elsewhere], changes: 1, write: false },
    ],
    [
      'a reader of the head, one of everything, one change',
      { readers: [headOnly, byKey], changes: 1, write: false },
    ],
    [
      'a reader of the head, one of everything, one write',
      { readers: [headOnly, byKey], changes: 0, write: true },
    ],
    [
      'a lookup of heads, a reader of everything, one change',
      { readers: [headByCustomer, byKey], changes: 1, write: false },
    ],
  ] as const)('every order of %s', { timeout: 120_000 }, async (_name, plan) => {
    const { runs, violations } = await exploreAll(plan)
    expect(violations).toEqual([])
    expect(runs).toBeGreaterThan(100)
  })

  test('2000 orders of readers of heads and of everything, two changes and a write', {
    timeout: 120_000,
  }, async () => {
    const plan = { readers: [headOnly, byKey, headByCustomer, byKey], changes: 2, write: true }
    expect(await exploreSome(plan, 2_000)).toEqual([])
  })

  test('3000 orders of four readers in two scopes, two changes and a write', {
    timeout: 120_000,
  }, async () => {
    const plan = { readers: [byKey, byCustomer, elsewhere, byKey], changes: 2, write: true }
    expect(await exploreSome(plan, 3_000)).toEqual([])
  })
})

test('the explorer would see it: where a head passes for everything', { timeout: 120_000 }, async () => {
  vi.spyOn(Parts, 'isEnough').mockReturnValue(true)
  const { violations } = await exploreAll({ readers: [headOnly, byKey], changes: 0, write: false })
  expect(violations.length).toBeGreaterThan(0)
})

test('the explorer would see it: without the fence it finds old values', { timeout: 120_000 }, async () => {
  vi.spyOn(Fence.prototype, 'overtaken').mockReturnValue(false)
  const { violations } = await exploreAll({ readers: [byKey, byKey], changes: 1, write: false })
  expect(violations.length).toBeGreaterThan(0)
})
