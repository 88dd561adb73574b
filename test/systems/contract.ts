/**
 * What every adapter owes to those who call it, written once. `conduct` is what any system can show, a real one too;
 * `contract` adds what only a simulator can be made to do.
 */
import Big from 'big.js'
import { describe, expect, test, vi } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import type { Log } from '../../src/observe/log.ts'
import type { Fault, Simulator } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import { failureText, type Outcome, type SourceFailure } from '../../src/systems/failure.ts'
import { kinds } from '../../src/systems/kinds.ts'
import type {
  Adapter,
  CallContext,
  ChangePage,
  ListPage,
  ListQuery,
  WriteAction,
  WriteContext,
} from '../../src/systems/port.ts'
import type { Key, RecordType, RecordTypes } from '../../src/systems/records.ts'
import { secretsIn } from './secrets.ts'
import type { SampleKeys, Samples, Settings, Subject } from './subject.ts'
import { startWire, type Wire } from './wire.ts'

const call = { caller: gatewayCaller }
const REFERENCE = '0123456789abcdef0123456789abcdef'
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: '王芳' }

/** Any script, quotes of every kind, what looks like markup, an escape or a number, and nothing at all. */
const TEXTS = [
  '上海晨光精密机械有限公司',
  '１２３４５６（株）みなと',
  '𠮷野家 🧾🚚 👨‍👩‍👧',
  `O'Neill "&" <Söhne> 100 % \\ /+;=`,
  '000123',
]

/** Amounts as books have them: none of them is what it was once a float has carried it. */
const DECIMALS = ['0.1', '1003', '48.335', '0.07', '98765432109.87', '1.833333']

/* ---- a system, opened ---- */

/** Ports as the suite sees them, whatever they hold. */
interface AnyPort {
  readonly batchLimit: number
  readMany(keys: readonly Key[], context: CallContext): Promise<readonly Outcome<AnyRecord | null>[]>
  list?(query: ListQuery, context: CallContext): Promise<Outcome<ListPage<RecordType>>>
  changes?(checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<RecordType>>>
  readonly create?: WriteAction<unknown, RecordType>
  readonly update?: WriteAction<unknown, RecordType>
  readonly actions?: Readonly<Record<string, WriteAction<unknown, RecordType>>>
}
type AnyRecord = RecordTypes[RecordType]

interface Opened extends AsyncDisposable {
  readonly adapter: Adapter
  readonly samples: SampleKeys
  port(type: RecordType): AnyPort
  /** What the adapter said in logs and failures is looked through when the test ends. */
  note<T>(said: T): T
}

/** A system that the suite may use: a simulator, or a real one. */
export interface System {
  readonly kind: string
  /** What the kind's schema made of its settings. */
  readonly config: unknown
  readonly samples: SampleKeys
  /** Texts that belong in no error and no log line. */
  readonly secrets: readonly string[]
  readonly timeoutMs?: number | undefined
}

export async function openSystem(system: System): Promise<Opened> {
  const said: string[] = []
  const line = (...parts: unknown[]) => void said.push(parts.map(textOf).join(' '))
  const log = { debug: line, info: line, warn: line, error: line, child: () => log } as unknown as Log
  const create = await kinds[system.kind]?.adapter()
  if (!create) throw new Error(`kinds.ts has no ${system.kind}`)
  const adapter = create(system.config as never, {
    systemId: 'tested',
    log,
    timeoutMs: system.timeoutMs ?? 5_000,
  })
  return {
    adapter,
    samples: system.samples,
    port(type) {
      const port = adapter.ports[type]
      if (!port) throw new Error(`${system.kind} has no port for ${type}`)
      return port as unknown as AnyPort
    },
    note(outcome) {
      said.push(textOf(outcome))
      return outcome
    },
    async [Symbol.asyncDispose]() {
      await adapter.close()
      const all = said.join('\n')
      for (const secret of system.secrets.flatMap(spellings)) {
        if (all.includes(secret))
          throw new Error(`a secret was told: ${said.find((one) => one.includes(secret))}`)
      }
    },
  }
}

/** Errors show what JSON would hide. */
const textOf = (value: unknown): string =>
  value instanceof Error
    ? `${value.stack} ${textOf(value.cause)}`
    : typeof value === 'string'
      ? value
      : JSON.stringify(value, (_key, inner) => (inner instanceof Error ? textOf(inner) : inner))

/** A secret may also be told in the form in which it travels. */
const spellings = (secret: string): string[] => [
  secret,
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
  Buffer.from(secret).toString('base64'),
]

function value<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(outcome ? failureText(outcome.failure) : 'no outcome')
  return outcome.value
}

function failure(outcome: Outcome<unknown> | undefined): SourceFailure {
  if (!outcome || outcome.ok) throw new Error(`did not fail: ${textOf(outcome)}`)
  return outcome.failure
}

/** A short timeout is meant for one exchange of a test; the others may take their time on a busy machine. */
const patiently = <T>(ask: () => Promise<Outcome<T>>): Promise<T> =>
  vi.waitFor(async () => value(await ask()), { timeout: 5_000, interval: 20 })

const keysOf = (outcomes: readonly Outcome<AnyRecord | null>[]) =>
  outcomes.map((one) => value(one)?.key ?? null)

function at(record: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((of, step) => (of as Record<string, unknown> | null)?.[step], record)
}

async function readOne(
  { port, note }: Opened,
  type: RecordType,
  key: Key,
): Promise<Outcome<AnyRecord | null>> {
  const [outcome] = note(await port(type).readMany([key], call))
  if (!outcome) throw new Error('no outcome')
  return outcome
}

/** Walks a list to its end. @param between is told how many pages there were. */
async function walk(
  port: AnyPort,
  first: number,
  between: (pages: number) => void = () => {},
  most = 500,
): Promise<Key[]> {
  const keys: Key[] = []
  let after: string | undefined
  for (let pages = 1; pages <= most; pages++) {
    const page = value(await port.list?.({ first, after }, call))
    expect(page.items.length).toBeLessThanOrEqual(first)
    keys.push(...page.items.map(({ record }) => record.key))
    after = page.items.at(-1)?.position ?? after
    if (!page.hasMore) return keys
    // An empty page that promises more would be asked for without end.
    expect(page.items.length).toBeGreaterThan(0)
    between(pages)
  }
  return keys
}

/** Follows changes to the present. */
async function follow(port: AnyPort, from: string, between: (pages: number) => void = () => {}) {
  const records: AnyRecord[] = []
  let checkpoint = from
  for (let pages = 1; pages <= 100; pages++) {
    const page = value(await port.changes?.(checkpoint, call))
    records.push(...page.records)
    checkpoint = page.checkpoint
    if (!page.hasMore) return { records, checkpoint }
    between(pages)
  }
  throw new Error('the changes have no end')
}

/* ---- what any system can show ---- */

/** @param types The record types that it is held to. */
export function conduct(types: readonly RecordType[], open: () => Promise<Opened>): void {
  test('tells that it is well', async () => {
    await using it = await open()
    expect(value(it.note(await it.adapter.health(call))).detail).not.toBe('')
  })

  describe.each(types)('%s', (type) => {
    test('outcomes stand in the order of the keys; repeated keys are answered each time, a missing one is null', async () => {
      await using it = await open()
      const { there, missing } = samplesOf(it, type)
      const [a, b] = there
      const read = it.note(await it.port(type).readMany([b, missing, a, b, '', a], call))
      expect(keysOf(read)).toEqual([b, null, a, b, null, a])
      expect(await it.port(type).readMany([], call)).toEqual([])
    })

    test('decimals, currencies, days and instants have their one form', async () => {
      await using it = await open()
      for (const outcome of await it.port(type).readMany(samplesOf(it, type).there, call)) {
        expect(misshapen(value(outcome))).toEqual([])
      }
    })

    test('a list goes on where it stopped, each record once; a place that is none is no crash', async () => {
      await using it = await open()
      const port = it.port(type)
      if (!port.list) return
      const keys = await walk(port, 7, undefined, 8)
      expect(new Set(keys).size).toBe(keys.length)
      expect(keys.length).toBeGreaterThan(0)
      const nowhere = it.note(await port.list({ first: 3, after: 'no place %/~' }, call))
      // A text may be a place in the order of keys, behind which there may be something.
      if (!nowhere.ok) expect(nowhere.failure.kind).toBe('rejected')
    })

    test('a list shows records as reading them by key does', async () => {
      await using it = await open()
      const port = it.port(type)
      const page = it.note(await port.list?.({ first: 5 }, call))
      if (!page?.ok) return
      const listed = page.value.items.map(({ record }) => record)
      const read = it.note(
        await port.readMany(
          listed.map(({ key }) => key),
          call,
        ),
      )
      expect(listed).toEqual(read.map(value))
    })

    test('a filter that it does not have is unsupported', async () => {
      await using it = await open()
      for (const filter of [{ search: 'zz no such text' }, { customer: samplesOf(it, type).missing }]) {
        const page = it.note(await it.port(type).list?.({ first: 2, filter }, call))
        if (page?.ok) expect(page.value.items).toEqual([])
        else if (page) expect(page.failure.kind).toBe('unsupported')
      }
    })

    test('changes begin with the present; a checkpoint that is none is refused', async () => {
      await using it = await open()
      const port = it.port(type)
      if (!port.changes) return
      const present = value(it.note(await port.changes(null, call)))
      expect(present).toMatchObject({ records: [], hasMore: false })
      value(it.note(await port.changes(present.checkpoint, call)))
      expect(it.note(await port.changes('no checkpoint %/~', call)).ok).toBe(false)
    })
  })
}

function samplesOf({ samples }: Opened, type: RecordType): Samples {
  const found = samples[type]
  if (!found) throw new Error(`no sample keys for ${type}`)
  return found
}

const DAYS = new Set(['orderDate', 'dueDate', 'postingDate', 'date', 'issueDate', 'closeDate', 'asOf'])
const INSTANTS = new Set(['createdAt', 'updatedAt', 'expiresAt', 'at', 'time'])
const FORMS = {
  day: /^\d{4}-\d\d-\d\d$/,
  instant: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
  decimal: /^-?\d+(\.\d+)?$/,
  currency: /^[A-Z]{3}$/,
}

/** Paths of values that have another form than their name promises. */
function misshapen(of: unknown, path = ''): string[] {
  if (typeof of !== 'object' || of === null) return []
  const wrong: string[] = []
  const fields = of as Record<string, unknown>
  const isMoney = 'currency' in fields && 'amount' in fields
  // What a specification says of a product is any text: only it has a name.
  const isQuantity = 'value' in fields && ('unit' in fields || 'vendorUnit' in fields) && !('name' in fields)
  for (const [name, inner] of Object.entries(fields)) {
    const form = DAYS.has(name)
      ? FORMS.day
      : INSTANTS.has(name)
        ? FORMS.instant
        : (isMoney && name === 'amount') || (isQuantity && name === 'value') || name === 'exchangeRate'
          ? FORMS.decimal
          : isMoney && name === 'currency'
            ? FORMS.currency
            : undefined
    const here = path === '' ? name : `${path}.${name}`
    if (inner === null || inner === undefined) continue
    if (form && !(typeof inner === 'string' && form.test(inner))) wrong.push(`${here}: ${textOf(inner)}`)
    else wrong.push(...misshapen(inner, here))
  }
  return wrong
}

/* ---- what a simulator can be made to do ---- */

interface Simulated extends Opened {
  readonly world: World
  readonly simulator: Simulator
  readonly settings: Settings
  /** Calls since the simulator started, or since they were cleared. */
  called(pattern: string): number
}

interface OpenOptions {
  readonly settings?: Settings | undefined
  readonly timeoutMs?: number
  /** Default: a fresh one. */
  readonly world?: World
  readonly prepare?: (world: World) => void
  /** The system closes the door on these. */
  readonly wrongCredentials?: true
}

function worldOf(of: Subject): World {
  const world = new World({ customers: 10, products: 10, orders: 12, ...of.world })
  of.prepare?.(world)
  return world
}

async function systemOf(kind: string, of: Subject, settings: Settings, timeoutMs?: number): Promise<System> {
  const schema = await kinds[kind]?.config()
  if (!schema) throw new Error(`kinds.ts has no ${kind}`)
  const secrets = secretsIn(schema, settings)
  return { kind, config: schema.parse(settings), samples: of.samples, secrets, timeoutMs }
}

async function open(kind: string, of: Subject, options: OpenOptions = {}): Promise<Simulated> {
  const world = options.world ?? worldOf(of)
  options.prepare?.(world)
  const simulator = await of.start(world)
  const right = { ...of.settings(simulator.url), ...options.settings }
  const settings = options.wrongCredentials ? of.wrongCredentials(right) : right
  const opened = await openSystem(await systemOf(kind, of, settings, options.timeoutMs))
  return {
    ...opened,
    world,
    simulator,
    settings,
    called: (pattern) => simulator.calls.filter((line) => new RegExp(pattern).test(line)).length,
    async [Symbol.asyncDispose]() {
      try {
        await opened[Symbol.asyncDispose]()
      } finally {
        await simulator.close()
      }
    },
  }
}

/** What cannot be asked of a kind is no case of it, rather than one that is skipped. */
const testWhere =
  (applies: unknown) =>
  (name: string, body: () => Promise<void>): void => {
    if (applies) test(name, body)
  }

/** All cases, over a kind against its simulator. */
export function contract(kind: string, of: Subject): void {
  const start = (options?: OpenOptions) => open(kind, of, options)
  const types = Object.keys(of.samples) as RecordType[]
  const main = of.reads.type
  const [first, second] = of.samples[main]?.there ?? []
  if (first === undefined || second === undefined) throw new Error(`${kind}: no sample keys for ${main}`)
  /** Reads once, so that what follows meets a session that stands. */
  const warm = async (options?: OpenOptions) => {
    const it = await start(options)
    await patiently(() => readOne(it, main, first))
    it.simulator.clearCalls()
    return it
  }
  const fault = (kindOfFault: Exclude<Fault['kind'], 'status' | 'delay' | 'late'>): Fault => ({
    kind: kindOfFault,
    match: of.reads.request,
  })
  const said = (status: number, body: string, headers: Record<string, string> = {}): Fault => ({
    kind: 'status',
    status,
    body,
    headers,
    match: of.reads.request,
  })
  const reading = of.reads.call ?? of.reads.request

  conduct(types, start)

  test('every record type that it holds is held to this contract', async () => {
    await using it = await start()
    expect(Object.keys(it.adapter.ports).sort()).toEqual([...types].sort())
    expect(it.adapter.kind).toBe(kind)
  })

  describe('reading', () => {
    test('keys are asked for once, and cut to the limit', async () => {
      const { settings, calls } = of.reads.cut
      await using it = await warm({ settings })
      const { there, missing } = samplesOf(it, main)
      const keys = [...there, missing, ...there, missing]
      expect(keysOf(await it.port(main).readMany(keys, call))).toEqual([...there, null, ...there, null])
      expect(it.called(reading)).toBe(calls)
    })

    test('a list holds all that there was when it began, whatever is added meanwhile', async () => {
      for (const type of types) {
        await using it = await start()
        const port = it.port(type)
        if (!port.list) continue
        const before = await walk(port, 100)
        expect(before).toEqual(expect.arrayContaining([...samplesOf(it, type).there]))
        const keys = await walk(port, 2, (pages) => {
          if (pages <= 4) of.insert[type]?.(it.world, pages)
        })
        expect(keys.filter((key) => !before.includes(key)).length).toBeLessThanOrEqual(4)
        expect(keys).toEqual(expect.arrayContaining(before))
        expect(new Set(keys).size).toBe(keys.length)
      }
    })

    test('changes tell what was added and what was changed, also while they are read', async () => {
      for (const type of types) {
        await using it = await start()
        const port = it.port(type)
        const [insert, touch] = [of.insert[type], of.touch[type]]
        if (!port.changes) continue
        expect(insert ?? touch, `a way to change a ${type}`).toBeDefined()
        const { checkpoint } = value(await port.changes(null, call))
        const [changed] = samplesOf(it, type).there
        touch?.(it.world, changed)
        const added = insert ? [0, 1, 2].map((n) => insert(it.world, n)) : []
        const { records, checkpoint: next } = await follow(port, checkpoint, (pages) => {
          if (pages === 1 && insert) added.push(insert(it.world, 3))
        })
        const told = records.map(({ key }) => key)
        expect(told).toEqual(expect.arrayContaining([...added, ...(touch ? [changed] : [])]))
        // What differed from one way of reading to the other would be told as a change that nobody made.
        for (const record of new Map(records.map((one) => [one.key, one])).values())
          expect(record).toEqual(value(await readOne(it, type, record.key)))
        const late = insert?.(it.world, 9)
        if (late === undefined) continue
        expect((await follow(port, next)).records.map(({ key }) => key)).toContain(late)
      }
    })

    test('texts of any script come back as they are, an empty one as none', async () => {
      for (const text of [...TEXTS, '']) {
        let key = ''
        await using it = await start({
          prepare: (world) => {
            key = of.text.put(world, text)
          },
        })
        const record = value(await readOne(it, of.text.type, key))
        expect(record?.key).toBe(key)
        expect(at(record, of.text.at) ?? '').toBe(text)
      }
    })

    testWhere(of.longKey)('a key of 18 digits keeps them all', async () => {
      const digits = '912345678901234567'
      let key = ''
      await using it = await start({
        prepare: (world) => {
          key = of.longKey?.put(world, digits) ?? ''
        },
      })
      expect(key).toContain(digits)
      expect(value(await readOne(it, of.longKey?.type ?? main, key))?.key).toBe(key)
    })

    testWhere(of.decimal)('decimals lose no digit that the vendor keeps', async () => {
      if (!of.decimal) return
      const { type, put, at: path, digits } = of.decimal
      for (const decimal of DECIMALS) {
        const kept = new Big(decimal).round(digits)
        let key = ''
        await using it = await start({
          prepare: (world) => {
            key = put(world, kept.toFixed())
          },
        })
        const read = at(value(await readOne(it, type, key)), path)
        expect(read).toMatch(FORMS.decimal)
        expect(new Big(String(read)).toFixed()).toBe(kept.toFixed())
      }
    })

    test.each(of.money)(
      '$type $key: $at is $amount $currency',
      async ({ type, key, at: path, amount, currency }) => {
        await using it = await start()
        const read = at(value(await readOne(it, type, key)), path) as { amount: string; currency: string }
        expect(read).toMatchObject({ currency, amount: expect.stringMatching(FORMS.decimal) })
        expect(new Big(read.amount).toFixed()).toBe(new Big(amount).toFixed())
      },
    )

    test('instants and days do not depend on where the gateway stands', async () => {
      const { TZ } = process.env
      const readings: string[] = []
      const world = worldOf(of)
      try {
        for (const zone of ['UTC', 'Pacific/Kiritimati', 'America/Los_Angeles']) {
          process.env.TZ = zone
          await using it = await start({ world })
          const all = await Promise.all(
            types.map((type) => it.port(type).readMany(samplesOf(it, type).there, call)),
          )
          readings.push(JSON.stringify(all.map((outcomes) => outcomes.map(value))))
          if (!of.time) continue
          const read = at(value(await readOne(it, of.time.type, of.time.key)), of.time.at)
          expect(new Date(String(read)).toISOString()).toBe(of.time.instant)
        }
      } finally {
        if (TZ === undefined) delete process.env.TZ
        else process.env.TZ = TZ
      }
      expect(new Set(readings).size).toBe(1)
    })

    testWhere(of.zone && of.time)(
      'a wall clock hangs where the configuration says, and days stay',
      async () => {
        const { time, zone } = of
        if (!time || !zone) return
        const records = await Promise.all(
          ['+08:00', '-03:30'].map(async (offset) => {
            await using it = await start({ settings: zone(offset) })
            return value(await readOne(it, time.type, time.key))
          }),
        )
        const [east, west] = records.map((record) => Date.parse(String(at(record, time.at))))
        expect((west ?? 0) - (east ?? 0)).toBe(11.5 * 3_600_000)
        const days = records.map((record) =>
          Object.entries(record ?? {}).filter(([name, day]) => DAYS.has(name) && day),
        )
        expect(days[0]).toEqual(days[1])
      },
    )
  })

  describe('credentials', () => {
    test('wrong ones are unauthorized and asked once', async () => {
      await using it = await start({ wrongCredentials: true })
      const waiting = of.login ? 10 : 1
      const outcomes = await Promise.all(
        Array.from({ length: waiting }, () => it.port(main).readMany([first], call)),
      )
      for (const outcome of it.note(outcomes).flat()) expect(failure(outcome).kind).toBe('unauthorized')
      expect(it.called(of.login?.request ?? '')).toBe(1)
      if (of.login) expect(it.called(reading)).toBe(0)
      expect(failure(it.note(await it.adapter.health(call))).kind).toBe('unauthorized')
      const { create } = of
      if (!create) return
      const before = create.count(it.world)
      const sent = it.note(await it.port(create.type).create?.send(create.input, write, call))
      expect(failure(sent).kind).toBe('unauthorized')
      expect(create.count(it.world)).toBe(before)
    })

    test('what the system repeats of them is told to nobody', async () => {
      const simulator = await of.start(worldOf(of))
      await using _closing = { [Symbol.asyncDispose]: () => simulator.close() }
      let repeat: ((words: string) => { readonly status: number; readonly body: string }) | undefined
      const words: string[] = []
      await using wire = await startWire(simulator.url, (answer, heard) => {
        words.push(...credentialsIn(heard.line, heard.headers))
        if (!repeat || !new RegExp(of.reads.request).test(heard.line)) return answer
        const { status, body } = repeat(words.join(' '))
        return { status, headers: answer.headers, body: Buffer.from(body) }
      })
      const system = await systemOf(kind, of, of.settings(wire.url))
      expect(system.secrets).not.toEqual([])
      words.push(...system.secrets)
      await using it = await openSystem({ ...system, secrets: words })
      value(await readOne(it, main, first))
      const ways = [
        of.reads.refusal,
        (text: string) => ({ status: 400, body: text }),
        (text: string) => ({ status: 200, body: text }),
        (text: string) => ({ status: 500, body: `<p>${text}</p>` }),
      ]
      for (const way of ways) {
        repeat = way
        expect((await readOne(it, main, first)).ok).toBe(false)
      }
    })

    const { login } = of
    if (!login) return

    test('a hundred who wait cost one login', async () => {
      await using it = await start()
      const all = await Promise.all(Array.from({ length: 100 }, () => it.port(main).readMany([second], call)))
      expect(all.map((read) => keysOf(read))).toEqual(Array(100).fill([second]))
      expect(it.called(login.request)).toBe(1)
    })

    test('a session that has ended is renewed once, whoever meets that', async () => {
      await using it = await warm()
      login.expire(it.simulator)
      const all = await Promise.all(Array.from({ length: 6 }, () => it.port(main).readMany([first], call)))
      expect(all.map((read) => keysOf(read))).toEqual(Array(6).fill([first]))
      expect(it.called(login.request)).toBe(1)
    })

    testWhere(login.logout)('sessions are bounded, and logged out', async () => {
      const { settings, most } = login.sessions ?? { settings: {}, most: 1 }
      await using it = await start({ settings })
      await Promise.all(Array.from({ length: 30 }, () => it.port(main).readMany([first], call)))
      const logins = it.called(login.request)
      expect(logins).toBeGreaterThan(0)
      expect(logins).toBeLessThanOrEqual(most)
      await it.adapter.close()
      expect(it.called(login.logout ?? '')).toBe(logins)
    })
  })

  describe('bad days', () => {
    test.each([
      ['refuse', { kind: 'unavailable', reason: 'unreachable' }],
      ['drop-before', { kind: 'unavailable', reason: 'unreachable' }],
      ['truncate', { kind: 'unavailable', reason: 'unreachable' }],
      ['html', { kind: 'invalid-response' }],
    ] as const)('a read that meets "%s" fails so, and the next one succeeds', async (bad, expected) => {
      await using it = await warm()
      it.simulator.setFaults([fault(bad)])
      const read = it.note(await it.port(main).readMany([first, second], call))
      expect(read.map(failure)).toEqual(Array(2).fill(expect.objectContaining(expected)))
      it.simulator.setFaults([])
      expect(value(await readOne(it, main, first))?.key).toBe(first)
    })

    test('who has left before it began costs nothing', async () => {
      await using it = await warm()
      const gone = { ...call, signal: AbortSignal.abort() }
      const [outcome] = it.note(await it.port(main).readMany([second], gone))
      expect(failure(outcome)).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
      expect(it.simulator.calls).toEqual([])
    })

    test('a half-open socket ends at the timeout', async () => {
      await using it = await warm({ timeoutMs: 200 })
      it.simulator.setFaults([fault('hang')])
      const began = performance.now()
      expect(failure(await readOne(it, main, first))).toMatchObject({
        kind: 'unavailable',
        reason: 'timeout',
      })
      expect(performance.now() - began).toBeLessThan(1_500)
      it.simulator.setFaults([])
      expect(value(await readOne(it, main, first))?.key).toBe(first)
    })

    test('who leaves, or waits for half an answer, lets go of the socket', async () => {
      await using far = await start()
      let mute: 'nothing' | 'half' | undefined
      await using wire = await startWire(far.simulator.url, (answer, { line }) =>
        mute && new RegExp(of.reads.request).test(line) ? mute : answer,
      )
      const system = await systemOf(kind, of, of.settings(wire.url))
      await using it = await openSystem(system)
      value(await readOne(it, main, first))
      for (mute of ['nothing', 'half'] as const) {
        const leaving = new AbortController()
        const read = it.port(main).readMany([first], { ...call, signal: leaving.signal })
        await vi.waitFor(() => expect(wire.waiting()).toBe(1), { interval: 2 })
        leaving.abort()
        expect(failure(it.note(await read)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
        await vi.waitFor(() => expect(wire.waiting()).toBe(0), { interval: 2 })
      }
      mute = 'half'
      await using hasty = await openSystem({ ...system, timeoutMs: 300 })
      mute = undefined
      await patiently(() => readOne(hasty, main, first))
      mute = 'half'
      expect(failure(await readOne(hasty, main, first))).toMatchObject({
        kind: 'unavailable',
        reason: 'timeout',
      })
      await vi.waitFor(() => expect(wire.waiting()).toBe(0), { interval: 2 })
    })

    test('429 and 503 say when to come back, and are not asked again at once', async () => {
      await using it = await warm()
      for (const [status, reason] of [
        [429, 'rate-limited'],
        [503, 'overloaded'],
      ] as const) {
        it.simulator.clearCalls()
        it.simulator.setFaults([said(status, '', { 'retry-after': '7' })])
        expect(failure(await readOne(it, main, first))).toMatchObject({
          kind: 'unavailable',
          reason,
          retryAfterMs: 7_000,
        })
        expect(it.simulator.calls).toHaveLength(1)
      }
    })

    test('an answer of another type than promised is told as such', async () => {
      await using it = await warm()
      for (const body of ODD_BODIES) {
        it.simulator.setFaults([said(200, body)])
        const outcome = await readOne(it, main, first)
        if (of.reads.isNothing?.(body)) expect(value(outcome)).toBeNull()
        else expect(outcome.ok ? body : outcome.failure).toMatchObject({ kind: 'invalid-response' })
      }
      it.simulator.setFaults([])
      expect(value(await readOne(it, main, first))?.key).toBe(first)
    })

    test('30 MB of nothing are told as such', async () => {
      await using it = await warm()
      it.simulator.setFaults([said(200, `{"value":"${'x'.repeat(30_000_000)}"}`)])
      expect(failure(await readOne(it, main, first)).kind).toBe('invalid-response')
    })

    testWhere(of.reads.xml)('XML bombs and what points outside are refused', async () => {
      const nested = 'bcdefghij'.split('').map((name, index) => {
        const inner = `&${'abcdefghij'[index]};`
        return `<!ENTITY ${name} "${inner.repeat(10)}">`
      })
      const cases: [declaration: string, text: string, readable: boolean][] = [
        ['<!-- nothing in it -->', '', true],
        [`<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">${nested.join('')}]>`, '&j;', false],
        ['<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', '&e;', false],
        ['<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">', '', false],
        ['<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]>', '', false],
      ]
      for (const [declaration, text, readable] of cases) {
        await using far = await start()
        await using wire = await startWire(far.simulator.url, (answer, { line }) => {
          if (!new RegExp(of.reads.request).test(line)) return answer
          const whole = answer.body.toString('utf8')
          const [prologue = ''] = /^\s*<\?xml.*?\?>/.exec(whole) ?? []
          const rest = whole.slice(prologue.length)
          const body = text === '' ? rest : rest.replace(/>([^<>\s][^<>]*)</, `>${text}<`)
          return { ...answer, body: Buffer.from(`${prologue}${declaration}${body}`) }
        })
        await using it = await openSystem(await systemOf(kind, of, of.settings(wire.url)))
        const outcome = await readOne(it, main, first)
        if (readable) expect(value(outcome)?.key).toBe(first)
        else expect(failure(outcome).kind).toBe('invalid-response')
      }
    })
  })

  const { create, versioned } = of
  const creating = (create: NonNullable<Subject['create']>) => {
    const ready = async (options: OpenOptions = {}) => {
      const it = await start({ ...options, settings: { ...create.settings, ...options.settings } })
      const action = it.port(create.type).create
      if (!action) throw new Error(`${kind} cannot create a ${create.type}`)
      // A session first, and what writes need beside it: faults shall meet the write itself.
      const { connect } = it.adapter
      if (connect) await patiently(() => connect(call))
      return Object.assign(it, { action, before: create.count(it.world) })
    }

    test('what would be sent is shown without credentials, and sends nothing', async () => {
      await using it = await ready()
      it.simulator.clearCalls()
      const { action } = it
      const preview = it.note(
        action.previewLater
          ? await action.previewLater(create.input, write)
          : action.preview(create.input, write),
      )
      expect(preview.method).toMatch(/^(POST|PUT|PATCH)$/)
      expect(it.simulator.calls).toEqual([])
    })

    test('makes one record, which is found by its reference, and was not before', async () => {
      await using it = await ready()
      const none = value(it.note(await it.action.verify(create.input, write, call)))
      expect(none).toMatchObject({ effect: 'none', proven: create.unique })
      const { key, record } = value(it.note(await it.action.send(create.input, write, call)))
      expect(create.count(it.world)).toBe(it.before + 1)
      const read = value(await readOne(it, create.type, key))
      expect(read?.key).toBe(key)
      // What differed would be told as a change that nobody made.
      if (record) expect(read).toEqual(record)
      const found = value(it.note(await it.action.verify(create.input, write, call)))
      expect(found).toMatchObject({ effect: 'done', result: { key } })
    })

    test('sent twice it is findable, and done once where the vendor sees to that', async () => {
      await using it = await ready()
      const { key } = value(it.note(await it.action.send(create.input, write, call)))
      const again = it.note(await it.action.send(create.input, write, call))
      if (create.unique) expect(create.count(it.world)).toBe(it.before + 1)
      if (create.unique && again.ok) expect(again.value.key).toBe(key)
      const found = value(it.note(await it.action.verify(create.input, write, call)))
      expect(found.effect).toBe('done')
    })

    test.each(['drop-after', 'truncate', 'html', 'hang'] as const)(
      'an answer lost by "%s" leaves the outcome open, and a look tells',
      async (bad) => {
        await using it = await ready({ timeoutMs: bad === 'hang' ? 300 : 5_000 })
        await patiently(() => readOne(it, main, first))
        it.simulator.setFaults([{ kind: bad, match: create.request, times: 1 }])
        const sent = it.note(await it.action.send(create.input, write, call))
        expect(failure(sent).kind).toBe('unknown-outcome')
        it.simulator.setFaults([])
        const looked = await patiently(() => it.action.verify(create.input, write, call))
        const made = create.count(it.world) - it.before
        expect(made).toBe(bad === 'drop-after' || bad === 'truncate' ? 1 : 0)
        expect(looked.effect).toBe(made === 1 ? 'done' : 'none')
      },
    )

    test('a system that is not there was sent nothing', async () => {
      await using it = await ready()
      await it.simulator.close()
      expect(failure(it.note(await it.adapter.health(call))).kind).toBe('unavailable')
      const sent = it.note(await it.action.send(create.input, write, call))
      expect(failure(sent)).toMatchObject({ kind: 'unavailable', reason: 'unreachable' })
    })

    testWhere(create.text)('texts of any script go in as they are', async () => {
      await using it = await ready()
      for (const [index, text] of TEXTS.entries()) {
        const own = { ...write, externalReference: `${index}${REFERENCE.slice(1)}` }
        const { key } = value(it.note(await it.action.send(create.text?.input(text), own, call)))
        expect(create.text?.stored(it.world, key)).toBe(text)
      }
    })
  }
  if (create) describe('creating', () => creating(create))

  testWhere(versioned)(
    'a write to a version that is no longer there is a conflict, and not done',
    async () => {
      if (!versioned) return
      await using it = await start({ settings: versioned.settings })
      const { key, type } = versioned
      const port = it.port(type)
      const action = 'action' in versioned.write ? port.actions?.[versioned.write.action] : port.update
      const changes = 'update' in versioned.write ? { changes: versioned.write.update } : {}
      const versionNow = async () => {
        const version = value(await readOne(it, type, key))?.version
        expect(version).toEqual(expect.any(String))
        return version
      }
      const stale = await versionNow()
      of.touch[type]?.(it.world, key)
      expect(await versionNow()).not.toBe(stale)
      const refused = it.note(await action?.send({ key, expectedVersion: stale, ...changes }, write, call))
      expect(failure(refused).kind).toBe('conflict')
      expect(versioned.done(it.world)).toBe(false)
      const fresh = await versionNow()
      value(it.note(await action?.send({ key, expectedVersion: fresh, ...changes }, write, call)))
      expect(versioned.done(it.world)).toBe(true)
    },
  )
}

const ODD_BODIES = [
  '',
  'null',
  'true',
  '42',
  '"text"',
  '[]',
  '{}',
  '[[[[[]]]]]',
  '{"value":7,"d":7,"data":7,"items":7,"rows":7,"Result":7,"errcode":"0","code":0,"success":true}',
  '{"value":{"a":1},"d":{"results":{}},"data":{"items":{}},"records":{},"code":0}',
  '[null]',
  '{"unterminated": "',
  '<answer/>',
]

/** Tokens and sessions, as they go to the system. */
function credentialsIn(line: string, headers: Wire['heard'][number]['headers']): string[] {
  const [, scheme, credential = ''] = /^(\w+) (.+)$/.exec(headers.authorization ?? '') ?? []
  const cookies = (headers.cookie ?? '').split(';').map((part) => part.slice(part.indexOf('=') + 1).trim())
  const sessions = cookies.filter((one) => !one.includes('='))
  const inAddress = [...line.matchAll(/[?&](?:access_)?token=([^&\s]+)/g)].map(([, token = '']) => token)
  const bare = scheme && /bearer|basic/i.test(scheme) ? [credential] : []
  return [...bare, ...sessions, ...inAddress].filter((one) => one.length >= 12)
}
