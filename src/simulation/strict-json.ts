/**
 * What strict simulators of JSON REST systems share: refusing whatever the contract does not know, pages, revisions,
 * and letters to those who want to be told. No adapter uses this, and it uses nothing of theirs.
 */
import { createHash, createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from './server.ts'
import { nowText } from './trade.ts'
import type { World, WorldChange } from './world.ts'

export type Shown = Readonly<Record<string, unknown>>

/** An answer that is no success. The first three digits of the code are the HTTP status. */
export class Refusal extends Error {
  readonly code: number
  readonly details: Shown | undefined
  readonly headers: Readonly<Record<string, string>>
  constructor(code: number, message: string, details?: Shown, headers: Record<string, string> = {}) {
    super(message)
    this.code = code
    this.details = details
    this.headers = headers
  }
}

/** A field or parameter that is not as it must be; each contract has its own code for it. */
export class BadField extends Error {
  readonly details: Shown
  constructor(field: string, message: string, more: Shown = {}) {
    super(message)
    this.details = { field, ...more }
  }
}

/* ---- the server ---- */

export const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }

/** How answers are wrapped. */
export interface Wrapping {
  readonly badFieldCode: number
  succeed(data: unknown): unknown
  refuse(refusal: Refusal): unknown
}

/** `{code, message, data, timestamp, details}` of seed 001. */
export const codedWrapping = (badFieldCode: number): Wrapping => ({
  badFieldCode,
  succeed: (data) => ({ code: 0, message: 'success', data, timestamp: Date.now() }),
  refuse: ({ code, message, details }) => ({
    code,
    message,
    data: null,
    timestamp: Date.now(),
    ...(details ? { details } : {}),
  }),
})

/** What a route answers: the data, and what is no plain 200. */
export interface Answered {
  readonly data: unknown
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** What each of these simulators can be told. */
export interface StrictOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly auth: SimulatorAuth
  /** Told of every change. */
  readonly webhook?: LetterBox
  /** Most values in a list, most records in a page. Default 100. */
  readonly limit?: number
}

export interface StrictServer {
  readonly port?: number | undefined
  readonly wrapping: Wrapping
  /** May throw Refusal and BadField. */
  readonly route: (request: SimulatedRequest) => Answered
  readonly letters?: Letters | undefined
}

export interface StrictSimulator extends Simulator {
  /** Sends the last event again, under the same id. @returns Whether there was one. */
  resendLastEvent(): Promise<boolean>
}

export async function startStrictSimulator({
  port,
  wrapping,
  route,
  letters,
}: StrictServer): Promise<StrictSimulator> {
  const refuse = (refusal: Refusal): SimulatedResponse => ({
    status: Math.floor(refusal.code / 100),
    headers: { ...JSON_TYPE, ...refusal.headers },
    body: JSON.stringify(wrapping.refuse(refusal)),
  })
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    try {
      const { data, status = 200, headers } = route(request)
      return {
        status,
        headers: { ...JSON_TYPE, ...headers },
        body: JSON.stringify(wrapping.succeed(data)),
      }
    } catch (error) {
      if (error instanceof Refusal) return refuse(error)
      if (error instanceof BadField)
        return refuse(new Refusal(wrapping.badFieldCode, error.message, error.details))
      throw error
    }
  }
  const server = await startSimulatorServer({ ...(port ? { port } : {}), handle })
  const postman = letters ? startPostman(letters) : undefined
  return {
    url: server.url,
    get calls() {
      return server.calls
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    resendLastEvent: async () => (await postman?.resendLast()) ?? false,
    async close() {
      postman?.stop()
      await server.close()
    },
  }
}

/* ---- who asks ---- */

export type SimulatorAuth =
  | { readonly type: 'bearer'; readonly token: string }
  | { readonly type: 'basic'; readonly username: string; readonly password: string }
  | { readonly type: 'apiKey'; readonly header?: string; readonly key: string }
  | { readonly type: 'signature'; readonly apiKey: string; readonly secret: string }

const WINDOW_MS = 5 * 60_000

export function authenticate(auth: SimulatorAuth, request: SimulatedRequest): void {
  const given = (header: string) => String(request.headers[header.toLowerCase()] ?? '')
  const refused = (scheme: string) =>
    new Refusal(40100, 'The credentials are missing or wrong.', undefined, { 'www-authenticate': scheme })
  switch (auth.type) {
    case 'bearer':
      if (!same(given('authorization'), `Bearer ${auth.token}`)) throw refused('Bearer')
      return
    case 'basic': {
      const [scheme, coded = ''] = given('authorization').split(' ')
      const pair = Buffer.from(coded, 'base64').toString('utf8')
      if (scheme !== 'Basic' || !same(pair, `${auth.username}:${auth.password}`)) throw refused('Basic')
      return
    }
    case 'apiKey':
      if (!same(given(auth.header ?? 'X-API-Key'), auth.key)) throw refused('ApiKey')
      return
    case 'signature': {
      if (!same(given('authorization'), `ApiKey ${auth.apiKey}`)) throw refused('ApiKey')
      const timestamp = given('x-timestamp')
      if (!/^\d{1,15}$/.test(timestamp) || Math.abs(Date.now() - Number(timestamp)) > WINDOW_MS)
        throw new Refusal(40101, 'The timestamp is not within five minutes of now.')
      const hash = createHash('sha256')
      for (const part of [timestamp, auth.apiKey, request.body, auth.secret]) hash.update(part)
      if (!same(given('x-signature'), hash.digest('hex'))) throw new Refusal(40102, 'The signature is wrong.')
    }
  }
}

const same = (left: string, right: string): boolean => {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** For whom the caller writes. */
export function actorOf(request: SimulatedRequest): string | undefined {
  const header = request.headers['x-on-behalf-of']
  if (header === undefined) return undefined
  try {
    return decodeURIComponent(String(header))
  } catch {
    throw new BadField('X-On-Behalf-Of', 'X-On-Behalf-Of is not percent-encoded UTF-8.')
  }
}

/** Refuses a change of another revision than the present one. */
export function checkRevision(
  request: SimulatedRequest,
  revision: number | string,
  message = 'It was changed by somebody else.',
): void {
  const expected = request.headers['if-match']
  if (expected === undefined) return
  if (!/^"[!#-~]+"$/.test(expected)) throw new BadField('If-Match', 'If-Match is a revision in quotes.')
  if (expected === `"${revision}"`) return
  throw new Refusal(41200, message, { currentRevision: revision })
}

/* ---- paths and parameters ---- */

export function decodePath(text = ''): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Refusal(40000, 'The path is not percent-encoded UTF-8.')
  }
}

export const noSuchPath = (request: SimulatedRequest): Refusal =>
  new Refusal(40400, 'There is nothing at this path.', { path: request.path })

export const noSuchMethod = (request: SimulatedRequest, allow: string): Refusal =>
  new Refusal(40500, `${request.method} is not possible here.`, { allow }, { allow })

export function refuseParameters(request: SimulatedRequest, known: readonly string[] = []): void {
  for (const name of new Set(request.query.keys())) {
    if (!known.includes(name)) throw new Refusal(40000, `There is no parameter "${name}".`, { field: name })
    if (request.query.getAll(name).length > 1)
      throw new Refusal(40000, `"${name}" is given twice.`, { field: name })
  }
}

export function listParameter(
  request: SimulatedRequest,
  name: string,
  maximum: number,
): string[] | undefined {
  const text = request.query.get(name)
  if (text === null) return undefined
  const values = text.split(',')
  if (values.some((value) => value === '')) throw new BadField(name, `"${name}" holds an empty value.`)
  if (values.length > maximum) throw new BadField(name, `"${name}" holds too many values.`, { maximum })
  return [...new Set(values)]
}

export function onlyWith(request: SimulatedRequest, name: string): void {
  const other = [...request.query.keys()].find((key) => key !== name)
  if (other) throw new Refusal(40000, `"${other}" cannot be combined with "${name}".`, { field: other })
}

/** Those that the parameter `ids` names, which nothing can be combined with; undefined where it is not given. */
export function namedByIds<T>(
  request: SimulatedRequest,
  all: readonly T[],
  idOf: (one: T) => string,
  maximum: number,
  show: (one: T) => unknown,
): Shown | undefined {
  const ids = listParameter(request, 'ids', maximum)
  if (!ids) return undefined
  onlyWith(request, 'ids')
  // In no promised order: whoever asks by id can sort for themselves.
  const found = all.filter((one) => ids.includes(idOf(one))).reverse()
  return { items: found.map(show) }
}

export const contains = (texts: readonly (string | null)[], search: string | null): boolean =>
  search === null || texts.some((text) => text?.toLowerCase().includes(search.toLowerCase()))

export function wholeNumber(text: string, field: string, maximum: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > maximum)
    throw new BadField(field, `"${field}" is a number from 1 to ${maximum}.`, { maximum })
  return value
}

/** As the world writes times: UTC with milliseconds. */
export function utcTime(text: string, field: string): string {
  const valid = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text)
  const at = valid ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw new BadField(field, `"${field}" needs a date-time with offset, like 2026-03-01T08:00:00Z.`)
  return new Date(at).toISOString()
}

/* ---- pages ---- */

export type Place = readonly [string, string]

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
export const comparePlaces = (a: readonly string[], b: readonly string[]): number =>
  compareTexts(a[0] ?? '', b[0] ?? '') || compareTexts(a[1] ?? '', b[1] ?? '')

export interface Timed {
  readonly id: string
  readonly createdAt: string
  readonly updatedAt: string
}

/** The parameters that `timedPage` reads. */
export const TIMED_PAGE = ['page', 'limit', 'after', 'updatedSince'] as const

/**
 * Newest first by creation; with `updatedSince`, oldest change first. `after` names a place in that order and stays
 * true while records are added; `page` counts from 1.
 */
export function timedPage<T>(
  request: SimulatedRequest,
  all: readonly T[],
  timesOf: (one: T) => Timed,
  maximum: number,
  show: (one: T) => unknown,
): Shown {
  const { query } = request
  const limit = wholeNumber(query.get('limit') ?? String(Math.min(50, maximum)), 'limit', maximum)
  const since = query.get('updatedSince')
  const direction = since === null ? -1 : 1
  const compare = (a: Place, b: Place): number => direction * comparePlaces(a, b)
  const place = (one: T): Place => {
    const { id, createdAt, updatedAt } = timesOf(one)
    return [since === null ? createdAt : updatedAt, id]
  }
  const from = since === null ? '' : utcTime(since, 'updatedSince')
  const sorted = all
    .filter((one) => timesOf(one).updatedAt >= from)
    .sort((a, b) => compare(place(a), place(b)))

  const after = query.get('after')
  const page = query.get('page')
  if (after !== null) {
    if (page !== null) throw new Refusal(40000, '"page" cannot be combined with "after".', { field: 'page' })
    const comma = after.indexOf(',')
    if (comma < 0) throw new BadField('after', '"after" is a time and an id, joined by a comma.')
    const start: Place = [utcTime(after.slice(0, comma), 'after'), after.slice(comma + 1)]
    const rest = sorted.filter((one) => compare(place(one), start) > 0)
    return { items: rest.slice(0, limit).map(show), pagination: { limit, hasMore: rest.length > limit } }
  }
  const number = wholeNumber(page ?? '1', 'page', 1_000_000)
  const items = sorted.slice((number - 1) * limit, number * limit)
  return {
    items: items.map(show),
    pagination: {
      limit,
      hasMore: sorted.length > number * limit,
      ...(page === null ? {} : { page: number, total: sorted.length }),
    },
  }
}

/* ---- bodies ---- */

const MAX_BODY_BYTES = 256 * 1024

/** A number as it was written. */
export class Digits {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** A JSON number with the digits that the world keeps. */
export const number = (text: string): unknown =>
  (JSON as unknown as { rawJSON(text: string): object }).rawJSON(text)

export function readBody(request: SimulatedRequest): unknown {
  const type = String(request.headers['content-type'] ?? '')
  if (!/^application\/json(;\s*charset=utf-8)?$/i.test(type))
    throw new Refusal(41500, 'The content type must be application/json in UTF-8.')
  if (request.body.length > MAX_BODY_BYTES)
    throw new Refusal(41300, 'The body is too large.', { maximum: MAX_BODY_BYTES })
  const keepDigits = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? new Digits(context?.source ?? String(value)) : value
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(request.body)
    return JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown)
  } catch {
    throw new Refusal(40000, 'The body is not JSON in UTF-8.')
  }
}

export type Check = (value: unknown, field: string) => void

export const text =
  (maximum: number, pattern?: RegExp, hint = 'is not valid'): Check =>
  (value, field) => {
    if (typeof value !== 'string') throw new BadField(field, `"${field}" must be a text.`)
    if (!value.isWellFormed()) throw new BadField(field, `"${field}" holds half a character.`)
    if ([...value].length > maximum) throw new BadField(field, `"${field}" is too long.`, { maximum })
    if (pattern && !pattern.test(value)) throw new BadField(field, `"${field}" ${hint}.`)
  }
export const notBlank = (maximum: number): Check => text(maximum, /\S/, 'must not be blank')
export const oneOf =
  (values: readonly string[]): Check =>
  (value, field) => {
    if (!values.includes(value as string))
      throw new BadField(field, `"${field}" must be one of ${values.join(', ')}.`, { allowed: values })
  }
export const truth: Check = (value, field) => {
  if (typeof value !== 'boolean') throw new BadField(field, `"${field}" must be true or false.`)
}
export const objectOf =
  (checks: Readonly<Record<string, Check>>, needed: readonly string[] = []): Check =>
  (value, at) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Digits)
      throw at
        ? new BadField(at, `"${at}" must be an object.`)
        : new Refusal(40000, 'The body is no JSON object.')
    for (const [name, inner] of Object.entries(value)) {
      const field = at ? `${at}.${name}` : name
      const check = Object.hasOwn(checks, name) ? checks[name] : undefined
      if (!check) throw new Refusal(40000, `There is no field "${field}" that can be set.`, { field })
      check(inner, field)
    }
    for (const name of needed) {
      const field = at ? `${at}.${name}` : name
      if (!Object.hasOwn(value, name)) throw new BadField(field, `"${field}" is needed.`)
    }
  }
export const listOf =
  (check: Check, maximum: number, minimum = 1): Check =>
  (value, field) => {
    if (!Array.isArray(value)) throw new BadField(field, `"${field}" must be a list.`)
    if (value.length < minimum) throw new BadField(field, `"${field}" must not be empty.`)
    if (value.length > maximum) throw new BadField(field, `"${field}" is too long.`, { maximum })
    value.forEach((one, index) => {
      check(one, `${field}[${index}]`)
    })
  }
/** A JSON number, not negative. @param above Whether it must be more than 0. */
export const decimalNumber =
  (above: boolean): Check =>
  (value, field) => {
    if (!(value instanceof Digits)) throw new BadField(field, `"${field}" must be a number.`)
    const fits = /^(0|[1-9]\d{0,17})(\.\d{1,10})?$/.test(value.text)
    if (!fits || (above && new Big(value.text).lte(0)))
      throw new BadField(
        field,
        `"${field}" must be ${above ? 'more than 0' : '0 or more'}, with at most 18 digits before and 10 after the point.`,
      )
  }
export const attributes: Check = (value, field) => {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Digits)
    throw new BadField(field, `"${field}" must be an object.`)
  if (Object.keys(value).length > 20) throw new BadField(field, `"${field}" holds too much.`, { maximum: 20 })
  for (const [name, inner] of Object.entries(value)) text(200)(inner, `${field}.${name}`)
}
export const day: Check = (value, field) => {
  text(10, /^\d{4}-\d\d-\d\d$/, 'must be a day like 2026-03-01')(value, field)
  const start = new Date(`${value}T00:00:00Z`)
  if (Number.isNaN(start.getTime()) || start.toISOString().slice(0, 10) !== value)
    throw new BadField(field, `"${field}" is no day of the calendar.`)
}
export const EMAIL = text(200, /^$|^[^\s@]+@[^\s@]+$/, 'is not an e-mail address')
export const CURRENCY = text(3, /^[A-Z]{3}$/, 'is not a currency code')
export const COUNTRY = text(2, /^[A-Z]{2}$/, 'is not a country code')
export const REFERENCE = text(64, /^[A-Za-z0-9._:-]+$/, 'is not a reference')
export const ID = text(64, /^[^,\p{Cc}]+$/u, 'is not an id')

/** Currencies without a smaller unit. */
export const NO_DECIMALS: readonly string[] = ['JPY', 'KRW', 'VND']

/* ---- telling others ---- */

export interface Letter {
  readonly id: string
  /** What happened, for boxes that take only some of it. */
  readonly event?: string
  readonly body: string
}

/** An event as seed 002 §2.3.2 writes it. @param secret Signs it in its body: `signature` covers what stands before. */
export function standardLetter(
  event: string,
  externalId: string,
  { source, secret }: { readonly source: string; readonly secret?: string | undefined },
): Letter {
  const id = randomUUID()
  const letter = { id, event, timestamp: nowText(), source, data: { externalId, changes: {} } }
  const body = JSON.stringify(letter)
  if (secret === undefined) return { id, event, body }
  const signature = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
  return { id, event, body: JSON.stringify({ ...letter, signature }) }
}

export interface LetterBox {
  /** A function is asked before every attempt: the gateway's port may be known only later. */
  readonly url: string | (() => string)
  readonly secret: string
  /** With a key: signed as requests are. Without: as in Standard Webhooks. */
  readonly apiKey?: string
  /** Pauses before the second, third, … attempt; then it gives up. Default 200, 800, 3200. */
  readonly retryDelaysMs?: readonly number[]
  /** Default: it takes everything. */
  wants?(letter: Letter): boolean
}

export interface Letters {
  readonly world: World
  /** Asked at each change: boxes may come and go. */
  boxes(): readonly LetterBox[]
  /** What is told of a change, or nothing. */
  write(change: WorldChange): Letter | undefined
}

/** Carries what `write` says of each change to those who want it. */
export function startPostman({ world, boxes, write }: Letters) {
  const stopped = new AbortController()
  let last: Letter | undefined

  const proofOf = ({ id, body }: Letter, { apiKey, secret }: LetterBox): Record<string, string> => {
    if (apiKey !== undefined) {
      const timestamp = String(Date.now())
      const signature = createHash('sha256')
        .update(timestamp + apiKey + body + secret)
        .digest('hex')
      return { authorization: `ApiKey ${apiKey}`, 'x-timestamp': timestamp, 'x-signature': signature }
    }
    const seconds = String(Math.floor(Date.now() / 1000))
    const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : secret
    const mac = createHmac('sha256', key).update([id, seconds, body].join('.')).digest('base64')
    return { 'webhook-id': id, 'webhook-timestamp': seconds, 'webhook-signature': `v1,${mac}` }
  }

  const attempt = async (letter: Letter, box: LetterBox): Promise<boolean> => {
    const response = await fetch(typeof box.url === 'string' ? box.url : box.url(), {
      method: 'POST',
      headers: { ...JSON_TYPE, ...proofOf(letter, box) },
      body: letter.body,
      signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(5_000)]),
    })
    await response.arrayBuffer()
    return response.ok
  }

  /** Ends after the last pause: a receiver that was away longer finds the changes by asking. */
  const deliver = async (letter: Letter, box: LetterBox): Promise<void> => {
    for (const pause of [...(box.retryDelaysMs ?? [200, 800, 3_200]), null]) {
      if (await attempt(letter, box).catch(() => false)) return
      if (pause === null || stopped.signal.aborted) return
      await delay(pause, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined)
    }
  }

  const stopListening = world.onChange((change) => {
    const letter = write(change)
    if (!letter) return
    last = letter
    for (const box of boxes()) if (box.wants?.(letter) ?? true) void deliver(letter, box)
  })

  return {
    async resendLast(): Promise<boolean> {
      const letter = last
      if (!letter) return false
      await Promise.all(boxes().map((box) => deliver(letter, box)))
      return true
    },
    stop() {
      stopListening()
      stopped.abort()
    },
  }
}
