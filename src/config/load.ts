/** Reads the configuration once, at the edge: everything that is wrong with it is told at once. */
import { readFileSync } from 'node:fs'
import { closest, distance } from 'fastest-levenshtein'
import { parse } from 'yaml'
import type { z } from 'zod'
import { kinds } from '../systems/kinds.ts'
import { type Config, configSchema, type SystemConfig, systemSchema } from './schema.ts'

export interface Problem {
  /** Where in the file: `systems.erp.timeout`. */
  readonly path: string
  readonly message: string
  /** What to do about it. */
  readonly hint?: string | undefined
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]
  constructor(source: string, problems: readonly Problem[]) {
    const lines = problems.map(
      ({ path, message, hint }) => `  ${path || '(file)'}: ${message}${hint ? `\n    ${hint}` : ''}`,
    )
    super(`${source} cannot be used:\n${lines.join('\n')}`)
    this.problems = problems
  }
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Rejects with a ConfigError that tells every problem found. */
export async function loadConfigFile(file: string, env: Environment): Promise<Config> {
  let raw: unknown
  try {
    raw = parse(readFileSync(file, 'utf8'))
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const hint =
      'code' in Object(error)
        ? 'Give the file with --config FILE or TRIBUTARY_CONFIG.'
        : 'It must be YAML 1.2.'
    throw new ConfigError(file, [{ path: '', message, hint }])
  }
  return checkConfig(raw, env, file)
}

/** Rejects with a ConfigError that tells every problem found. */
export async function checkConfig(
  raw: unknown,
  env: Environment,
  source: string,
  demo = false,
): Promise<Config> {
  const problems: Problem[] = []
  const filled = fillIn(raw, env, [], problems)
  const parsed = configSchema.safeParse(filled ?? {})
  if (!parsed.success) problems.push(...problemsOf(parsed.error, filled, configSchema, []))

  const systems: Record<string, SystemConfig> = {}
  for (const [id, settings] of Object.entries(asRecord(asRecord(filled).systems))) {
    const system = await checkSystem(id, asRecord(settings), problems)
    if (system) systems[id] = system
  }
  problems.push(...mixedEnvironments(asRecord(asRecord(filled).systems)), ...disagreements(systems))
  if (parsed.success) problems.push(...leadersWithout(parsed.data.leading, Object.keys(systems)))
  if (parsed.success) problems.push(...flowsWithout(parsed.data.flows, Object.keys(systems)))
  if (parsed.success) problems.push(...brokerDisagreements(parsed.data, asRecord(asRecord(filled).systems)))
  if (problems.length > 0 || !parsed.success) throw new ConfigError(source, unique(problems))
  return { ...parsed.data, systems, demo }
}

async function checkSystem(
  id: string,
  settings: Record<string, unknown>,
  problems: Problem[],
): Promise<SystemConfig | null> {
  const path = ['systems', id]
  const common: Record<string, unknown> = {}
  const own: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(settings))
    (name in systemSchema.shape ? common : own)[name] = value

  const base = systemSchema.safeParse(common)
  if (!base.success) problems.push(...problemsOf(base.error, common, systemSchema, path))
  const name = String(settings.kind)
  const kind = kinds[name]
  if (!kind) {
    if (settings.kind !== undefined) {
      const message = `is no kind of system: "${name}"`
      problems.push({
        path: `systems.${id}.kind`,
        message,
        hint: `Kinds: ${Object.keys(kinds).join(', ')}.`,
      })
    }
    return null
  }
  const schema = await kind.config()
  const rest = schema.safeParse(own)
  if (!rest.success)
    problems.push(...problemsOf(rest.error, own, schema, path, Object.keys(systemSchema.shape)))
  const most = rest.success && kind.callsSetting ? asRecord(rest.data)[kind.callsSetting] : undefined
  const atOnce = asRecord(settings.writing).concurrency
  if (typeof most === 'number' && typeof atOnce === 'number' && atOnce > most) {
    problems.push({
      path: `systems.${id}.writing.concurrency`,
      message: `is ${atOnce}, but ${kind.callsSetting} lets only ${most} calls be under way`,
      hint: `Lower it, or raise ${kind.callsSetting} as far as the system's licences allow.`,
    })
  }
  return base.success && rest.success ? { ...base.data, settings: rest.data } : null
}

/** Judged by what is written: a mistake elsewhere in a system must not hide this one. */
function mixedEnvironments(systems: Record<string, unknown>): Problem[] {
  const known = Object.entries(systems).flatMap(([id, settings]) => {
    const { environment } = asRecord(settings)
    return environment === 'production' || environment === 'test' ? [{ id, environment }] : []
  })
  if (new Set(known.map(({ environment }) => environment)).size < 2) return []
  const list = known.map(({ id, environment }) => `${id} is ${environment}`).join(', ')
  const hint = 'Run one gateway for production and another for test.'
  return [{ path: 'systems', message: `mixes environments: ${list}`, hint }]
}

/** What no single field can know. */
function disagreements(systems: Readonly<Record<string, SystemConfig>>): Problem[] {
  const problems: Problem[] = []
  const entries = Object.entries(systems)
  for (const [id, settings] of entries) {
    for (const field of ['orderNumbersFrom', 'deliveryNumbersFrom'] as const) {
      const named = settings[field]
      if (named === undefined || named in systems) continue
      const hint = `Systems: ${Object.keys(systems).join(', ')}.`
      problems.push({ path: `systems.${id}.${field}`, message: `names no system: "${named}"`, hint })
    }
  }
  return problems
}

function leadersWithout(leading: Config['leading'], systems: readonly string[]): Problem[] {
  return Object.entries(leading).flatMap(([record, leader]) => {
    const named =
      typeof leader === 'string'
        ? [[`leading.${record}`, leader] as const]
        : Object.entries(leader).map(([company, id]) => [`leading.${record}.${company}`, id] as const)
    return named.flatMap(([path, id]): Problem[] =>
      systems.includes(id)
        ? []
        : [{ path, message: `names no system: "${id}"`, hint: `Systems: ${systems.join(', ')}.` }],
    )
  })
}

/** Flows name the systems they write to. */
function flowsWithout(flows: Config['flows'], systems: readonly string[]): Problem[] {
  const named = Object.entries({ leadToCash: flows.leadToCash, paymentReceived: flows.paymentReceived })
  return named.flatMap(([flow, settings]) =>
    (['crm', 'erp', 'wms', 'finance'] as const).flatMap((role): Problem[] => {
      const id: unknown = asRecord(settings)[role]
      if (typeof id !== 'string' || systems.includes(id)) return []
      const hint = `Systems: ${systems.join(', ')}.`
      return [{ path: `flows.${flow}.${role}`, message: `names no system: "${id}"`, hint }]
    }),
  )
}

function brokerDisagreements(
  { brokers, feeds, sinks }: Pick<Config, 'brokers' | 'feeds' | 'sinks'>,
  systems: object,
): Problem[] {
  const unknown = (path: string, name: string, what: string, known: object): Problem[] => {
    if (Object.hasOwn(known, name)) return []
    const list = Object.keys(known).join(', ') || 'none'
    return [{ path, message: `names no ${what}: "${name}"`, hint: `Known here: ${list}.` }]
  }
  return [
    ...Object.entries(feeds).flatMap(([name, { broker, system }]) => [
      ...unknown(`feeds.${name}.broker`, broker, 'broker', brokers),
      ...unknown(`feeds.${name}.system`, system, 'system', systems),
    ]),
    ...Object.entries(sinks).flatMap(([name, { broker }]) =>
      unknown(`sinks.${name}.broker`, broker, 'broker', brokers),
    ),
  ]
}

/** Puts environment variables where the text says `${NAME}`. */
function fillIn(value: unknown, env: Environment, path: readonly string[], problems: Problem[]): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{(\w+)\}/g, (_whole, name: string) => {
      const found = env[name]
      if (found === undefined || found === '') {
        const message = `${NEEDS} ${name}, which is not set`
        problems.push({ path: path.join('.'), message, hint: `Set it before starting: ${name}=… npm start` })
      }
      // Long enough for every rule, so that a missing secret is told once, as missing.
      return found || 'x'.repeat(64)
    })
  }
  if (Array.isArray(value))
    return value.map((item, index) => fillIn(item, env, [...path, String(index)], problems))
  if (value && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, fillIn(item, env, [...path, name], problems)]),
    )
  }
  return value
}

function problemsOf(
  error: z.ZodError,
  input: unknown,
  schema: z.ZodType,
  prefix: readonly string[],
  alsoKnown: readonly string[] = [],
): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    const at = [...prefix, ...issue.path.map(String)]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => {
        const known = [...keysAt(schema, issue.path), ...(issue.path.length === 0 ? alsoKnown : [])]
        return { path: [...at, key].join('.'), message: 'is not known', hint: suggestion(key, known) }
      })
    }
    const value = issue.path.reduce<unknown>((of, step) => asRecord(of)[String(step)], input)
    const message = value === undefined ? 'is missing' : wording(issue.message, value)
    return [
      {
        path: at.join('.'),
        message,
        hint: value === undefined ? descriptionAt(schema, issue.path) : undefined,
      },
    ]
  })
}

const wording = (message: string, value: unknown): string =>
  /^(is|must|cannot|has|names|mixes|starts|needs)\b/.test(message)
    ? message
    : `${message.charAt(0).toLowerCase()}${message.slice(1)} (it is ${typeof value === 'object' ? 'a list or an object' : `a ${typeof value}`})`

function suggestion(key: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined
  const near = closest(key, [...known])
  return distance(key, near) <= Math.max(2, key.length / 3)
    ? `Did you mean "${near}"?`
    : `Known here: ${known.join(', ')}.`
}

type Inspectable = {
  shape?: Record<string, z.ZodType>
  /** Of a list of names. */
  options?: readonly unknown[]
  def?: {
    innerType?: z.ZodType
    element?: z.ZodType
    keyType?: z.ZodType
    valueType?: z.ZodType
    in?: z.ZodType
  }
}

/** Walks a schema to the place an issue talks of, through defaults, lists and records. */
function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): Inspectable | undefined {
  let place: Inspectable | undefined = schema as Inspectable
  const unwrap = () => {
    while (place && !place.shape && (place.def?.innerType ?? place.def?.in)) {
      place = (place.def?.innerType ?? place.def?.in) as Inspectable
    }
  }
  unwrap()
  for (const step of path) {
    place = (place?.shape?.[String(step)] ?? place?.def?.element ?? place?.def?.valueType) as
      | Inspectable
      | undefined
    unwrap()
  }
  return place
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const place = schemaAt(schema, path)
  const names = (place?.def?.keyType as Inspectable | undefined)?.options ?? []
  return [...Object.keys(place?.shape ?? {}), ...names.filter((name) => typeof name === 'string')]
}

function descriptionAt(schema: z.ZodType, path: readonly PropertyKey[]): string | undefined {
  const parent = schemaAt(schema, path.slice(0, -1))
  return parent?.shape?.[String(path.at(-1))]?.description
}

const asRecord = (value: unknown): Record<string, unknown> =>
  value && typeof value === 'object' ? (value as Record<string, unknown>) : {}

/** Told once; and what stands in for a missing secret is not judged as well. */
function unique(problems: readonly Problem[]): Problem[] {
  const byText = new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem]))
  const missing = new Set(problems.filter((one) => one.message.startsWith(NEEDS)).map((one) => one.path))
  return [...byText.values()].filter((one) => !missing.has(one.path) || one.message.startsWith(NEEDS))
}

const NEEDS = 'needs the environment variable'
