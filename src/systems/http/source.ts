/** Records of one type in a configured system, read in every way that its configuration tells. */

import { z } from 'zod'
import type { Log } from '../../observe/log.ts'
import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../failure.ts'
import { readCheckpoint } from '../kit/checkpoint.ts'
import type { CallContext } from '../port.ts'
import type { Key } from '../records.ts'
import type { Answer, SystemClient } from './client.ts'
import type { ChangesConfig, ListConfig, LookupConfig, RequestConfig } from './config.ts'
import { compileExpression, listOf, textOf, type Vocabulary } from './expressions.ts'
import type { Mapping } from './mapping.ts'
import { createPages, isTrue, type Page, type Pages, type Place, standsStill } from './paging.ts'
import { formatTime, toDateTime } from './times.ts'

export interface Tools {
  readonly client: SystemClient
  readonly vocabulary: Vocabulary
  readonly log: Log
  /** Requests that one call may have under way. */
  readonly concurrency: number
}

export interface ReadConfig {
  readonly request: RequestConfig
  readonly items: string
  readonly batchLimit: number
}

type Read<V> = (keys: readonly Key[], context: CallContext) => Promise<readonly Outcome<V>[]>

/* ---- by key ---- */

/** One outcome per key, same order; null where the system has no such record. */
export function readMany<R>(config: ReadConfig, mapping: Mapping<R>, tools: Tools): Read<R | null> {
  const pages = createPages(tools.client, { ...config, paging: { style: 'none' } }, tools.vocabulary)
  return (keys, context) =>
    inBatches<R | null>(
      keys,
      config.batchLimit,
      tools.concurrency,
      () => null,
      async (batch) => {
        const { items } = await readOnly(pages, batch, context)
        const reads = await mapAll(items, mapping)
        const found = new Map<Key, Outcome<R | null>>()
        for (const { key, outcome } of reads) if (key !== null) found.set(key, outcome)
        // A record without a key could be any of those that seem to be missing.
        const nameless = reads.find(({ key }) => key === null)
        const [only] = batch
        const other = batch.length === 1 && only !== undefined && !found.has(only) ? reads[0] : undefined
        for (const key of batch) {
          if (found.has(key)) continue
          if (nameless) found.set(key, nameless.outcome)
          else if (other && config.batchLimit === 1) found.set(key, anotherRecord(config))
        }
        return found
      },
    )
}

const anotherRecord = ({ request }: ReadConfig): Outcome<never> =>
  fail({
    kind: 'invalid-response',
    detail: `${request.path}: the answer is another record than was asked for`,
  })

const inputOf = (batch: readonly Key[]) => ({ key: batch[0], keys: batch })

async function readOnly(
  pages: Pages,
  batch: readonly Key[],
  context: CallContext,
): Promise<Pick<Page, 'items'>> {
  try {
    return await pages.read(pages.first, inputOf(batch), { ...context, writes: false })
  } catch (error) {
    if (isMissing(error)) return { items: [] }
    throw error
  }
}

/** The system says that there is no such record, or the key could not even be asked for. */
const isMissing = (error: unknown): boolean =>
  error instanceof SourceError && error.failure.kind === 'not-found'

async function mapAll<R>(items: readonly unknown[], mapping: Mapping<R>) {
  const reads = []
  for (const raw of items) reads.push({ raw, ...(await mapping.read(raw)) })
  return reads
}

/* ---- by another key ---- */

/** One outcome per key, same order; an empty list where nothing belongs to that key. */
export function lookup<R>(config: LookupConfig, mapping: Mapping<R>, tools: Tools): Read<readonly R[]> {
  const pages = createPages(tools.client, config, tools.vocabulary)
  const belongsTo = config.key === undefined ? undefined : compileExpression(config.key, tools.vocabulary)
  return (keys, context) =>
    inBatches<readonly R[]>(
      keys,
      config.batchLimit,
      tools.concurrency,
      () => [],
      async (batch) => {
        const found = new Map<Key, Outcome<readonly R[]>>()
        const seen = new Set<string>()
        const add = (key: Key, outcome: Outcome<R>): void => {
          const list = found.get(key) ?? ok([])
          // Half of what belongs to a key would look like all of it.
          if (!outcome.ok) found.set(key, outcome)
          else if (list.ok) found.set(key, ok([...list.value, outcome.value]))
        }
        try {
          for await (const { items } of pages.walk(inputOf(batch), { ...context, writes: false })) {
            for (const { raw, key, outcome } of await mapAll(items, mapping)) {
              if (key !== null && seen.has(key)) continue
              if (key !== null) seen.add(key)
              const owners = belongsTo ? await textsOf(belongsTo.evaluate(raw)) : batch
              // A broken record whose owner cannot be told may belong to any of them.
              for (const owner of owners ?? (outcome.ok ? [] : batch))
                if (batch.includes(owner)) add(owner, outcome)
            }
          }
        } catch (error) {
          if (!isMissing(error)) throw error
        }
        return found
      },
    )
}

/** Texts, or null where the expression could not be applied. */
async function textsOf(value: Promise<unknown>): Promise<readonly string[] | null> {
  try {
    return listOf(await value).flatMap((item) => textOf(item) ?? [])
  } catch {
    return null
  }
}

/**
 * Reads batch by batch, each distinct key once, some batches at a time.
 * @param read May throw SourceError: then every key of the batch fails alike.
 */
async function inBatches<V>(
  keys: readonly Key[],
  limit: number,
  concurrency: number,
  absent: () => V,
  read: (batch: readonly Key[]) => Promise<ReadonlyMap<Key, Outcome<V>>>,
): Promise<Outcome<V>[]> {
  const waiting = batchesOf(keys, limit)
  const outcomes = new Map<Key, Outcome<V>>()
  let refused: Outcome<never> | undefined
  const work = async (): Promise<void> => {
    for (let batch = waiting.shift(); batch; batch = waiting.shift()) {
      const list = batch
      // More attempts with refused credentials would only lock the account.
      const found = refused ?? (await outcomeOf(() => read(list)))
      for (const key of batch) outcomes.set(key, found.ok ? (found.value.get(key) ?? ok(absent())) : found)
      if (!found.ok && found.failure.kind === 'unauthorized') refused = found
    }
  }
  // The first alone: it finds out whether the credentials are right.
  const first = waiting.splice(1)
  await work()
  waiting.push(...first)
  await Promise.all(Array.from({ length: Math.min(concurrency, waiting.length) }, work))
  return keys.map((key) => outcomes.get(key) ?? ok(absent()))
}

/** Longer addresses are refused by servers and proxies, often without a word. */
const MAX_LIST_LENGTH = 6_000

function batchesOf(keys: readonly Key[], limit: number): Key[][] {
  const batches: Key[][] = []
  let length = 0
  for (const key of new Set(keys)) {
    if (key === '' || key.length > 1_000 || !key.isWellFormed()) continue
    const more = encodeURIComponent(key).length + '%2C'.length
    const batch = batches.at(-1)
    if (batch && batch.length < limit && length + more <= MAX_LIST_LENGTH) {
      batch.push(key)
      length += more
    } else {
      batches.push([key])
      length = more
    }
  }
  return batches
}

/* ---- lists ---- */

export interface Listed<R> {
  readonly items: readonly { readonly record: R; readonly position: string }[]
  readonly hasMore: boolean
}

/** Where a record stood: its page, its place in it, and its key, for pages move while records are added. */
const positionSchema = z.tuple([z.looseObject({}), z.int().min(0), z.string()])

export function list<R>(
  config: Pick<ListConfig, 'request' | 'items' | 'paging'>,
  mapping: Mapping<R>,
  tools: Tools,
) {
  const pages = createPages(tools.client, config, tools.vocabulary)

  /** The page of a position, and how many of its items come before what is wanted. */
  const resume = async (after: string, input: Readonly<Record<string, unknown>>, context: CallContext) => {
    const parsed = positionSchema.safeParse(jsonOf(after))
    if (!parsed.success) {
      throw new SourceError({ kind: 'rejected', code: 'POSITION', message: 'This is no place in this list.' })
    }
    const [place, index, key] = parsed.data as unknown as [Place, number, string]
    let expected: { page: Page; skip: number } | undefined
    let next: Place | null = place
    for (const by of [0, 1, 2, -1]) {
      // Where pages cannot be counted, each names the next one.
      const candidate: Place | null = pages.neighbour(place, by) ?? (by > 0 ? next : null)
      if (!candidate) continue
      const page: Page = await pages.read(candidate, input, { ...context, writes: false })
      next = page.next
      const at = (await mapAll(page.items, mapping)).findIndex((read) => read.key === key)
      if (at >= 0) return { page, skip: at + 1 }
      // The record is gone, or moved further: rather repeat records than omit some.
      expected ??= { page, skip: Math.min(index, page.items.length) }
    }
    return expected
  }

  return (
    first: number,
    after: string | undefined,
    input: Readonly<Record<string, unknown>>,
    context: CallContext,
  ) =>
    listOutcome(config.request.path, async (): Promise<Listed<R>> => {
      const found: { record: R; position: string }[] = []
      const seen = new Set<string>()
      const options = { ...context, writes: false }
      const from = after === undefined ? undefined : await resume(after, input, context)
      const take = async (page: Page, skip: number): Promise<'enough' | 'more'> => {
        let index = -1
        for (const { key, outcome } of await mapAll(page.items, mapping)) {
          index++
          if (index < skip || (key !== null && seen.has(key))) continue
          if (key !== null) seen.add(key)
          if (!outcome.ok) {
            // One bad record must not hide the rest; read by its key it fails alone.
            tools.log.warn(
              { path: config.request.path, key, failure: failureText(outcome.failure) },
              'a record cannot be read',
            )
            continue
          }
          if (found.length === first) return 'enough'
          found.push({ record: outcome.value, position: JSON.stringify([page.place, index, key]) })
        }
        return 'more'
      }
      if (from) {
        if ((await take(from.page, from.skip)) === 'enough') return { items: found, hasMore: true }
        if (!from.page.next) return { items: found, hasMore: false }
        if (found.length === first) return { items: found, hasMore: true }
      }
      for await (const page of pages.walk(input, options, from?.page.next ?? undefined)) {
        if ((await take(page, 0)) === 'enough') return { items: found, hasMore: true }
        if (found.length === first) return { items: found, hasMore: page.next !== null }
      }
      return { items: found, hasMore: false }
    })
}

/** Where a list should be, "there is no such record" means that the path is wrong. */
async function listOutcome<T>(path: string, work: () => Promise<T>): Promise<Outcome<T>> {
  const outcome = await outcomeOf(work)
  if (outcome.ok || outcome.failure.kind !== 'not-found') return outcome
  return fail({ kind: 'invalid-response', detail: `${path}: the system knows no such path` })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/* ---- changes ---- */

export interface Changed<R> {
  readonly records: readonly R[]
  readonly deleted: readonly Key[]
  readonly checkpoint: string
  readonly hasMore: boolean
}

/** Everything since a time, and inside one sweep the page in it and when it began; or everything since a mark. */
const timeCheckpoint = z.strictObject({
  since: z.number(),
  until: z.number().optional(),
  place: z.looseObject({}).optional(),
})
const tokenCheckpoint = z.strictObject({ token: z.string().nullable() })

export function changes<R>(config: ChangesConfig, mapping: Mapping<R>, tools: Tools) {
  const { client, vocabulary } = tools
  const { follow } = config
  const pages = createPages(client, config, vocabulary)
  const compile = (source: string | undefined) =>
    source === undefined ? undefined : compileExpression(source, vocabulary)
  const deleted = compile(config.deleted)

  const pageOf = async (page: Page): Promise<Pick<Changed<R>, 'records' | 'deleted'>> => {
    const records: R[] = []
    for (const { key, outcome } of await mapAll(page.items, mapping)) {
      if (outcome.ok) records.push(outcome.value)
      else
        tools.log.warn(
          { path: config.request.path, key, failure: failureText(outcome.failure) },
          'a record cannot be read',
        )
    }
    const gone = deleted
      ? listOf(await client.read(deleted, page.answer)).flatMap((key) => textOf(key) ?? [])
      : []
    return { records, deleted: gone }
  }

  const byTime = (follow: Extract<ChangesConfig['follow'], { by: 'time' }>) => {
    const [now, changedAt] = [compile(follow.now), compile(follow.changedAt)]
    const clockOf = async (answer: Answer): Promise<number> => {
      const { date } = answer.headers
      const said = now
        ? momentOf(await client.read(now, answer))
        : typeof date === 'string'
          ? Date.parse(date)
          : Number.NaN
      if (!Number.isNaN(said)) return said
      const detail = `${config.request.path}: the answer does not tell the time there; set "now" of "follow"`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    const momentOf = (value: unknown): number => {
      const text = textOf(value) ?? ''
      return Date.parse(toDateTime(text, vocabulary.clock) ?? text)
    }
    const inputFor = (since: number) => ({ since: formatTime(since, follow.format, vocabulary.clock) })

    return async (checkpoint: string | null, context: CallContext): Promise<Changed<R>> => {
      const options = { ...context, writes: false }
      const overlap = follow.overlapSeconds * 1000
      if (checkpoint === null) {
        const page = await pages.read(pages.first, inputFor(Date.now()), options)
        const since = (await clockOf(page.answer)) - overlap
        return { records: [], deleted: [], checkpoint: JSON.stringify({ since }), hasMore: false }
      }
      const from = readCheckpoint(timeCheckpoint, checkpoint)
      const page = await pages.read(
        (from.place as Place | undefined) ?? pages.first,
        inputFor(from.since),
        options,
      )
      const until = from.until ?? (await clockOf(page.answer))
      const following = async (): Promise<z.infer<typeof timeCheckpoint>> => {
        if (!page.next) return { since: until - overlap }
        const last =
          changedAt && page.items.length > 0
            ? momentOf(await changedAt.evaluate(page.items.at(-1)))
            : Number.NaN
        // Pages shift when a record changes again and moves to the end: go on from the last time, and count pages only
        // through records that changed in the same moment.
        const moment = floorTo(last, follow.format)
        return moment > from.since ? { since: moment, until } : { since: from.since, until, place: page.next }
      }
      const next = JSON.stringify(await following())
      if (next === checkpoint && page.next) throw standsStill(config.request.path)
      return { ...(await pageOf(page)), checkpoint: next, hasMore: page.next !== null }
    }
  }

  const byToken = (follow: Extract<ChangesConfig['follow'], { by: 'token' }>) => {
    const nextToken = compileExpression(follow.next, vocabulary)
    const more = compile(follow.hasMore)
    const start = follow.start && client.operation(follow.start)
    return async (checkpoint: string | null, context: CallContext): Promise<Changed<R>> => {
      const options = { ...context, writes: false }
      if (checkpoint === null && start) {
        const token = textOf(await client.read(nextToken, await client.send(start, {}, options)))
        if (token === undefined) throw noToken(config)
        return { records: [], deleted: [], checkpoint: JSON.stringify({ token }), hasMore: false }
      }
      const from = checkpoint === null ? { token: null } : readCheckpoint(tokenCheckpoint, checkpoint)
      const records: R[] = []
      const gone: Key[] = []
      let token = from.token
      for (;;) {
        let last: Page | undefined
        for await (const page of pages.walk({ since: token ?? undefined }, options)) {
          last = page
          if (checkpoint === null) continue
          const changed = await pageOf(page)
          records.push(...changed.records)
          gone.push(...changed.deleted)
        }
        const next = last && textOf(await client.read(nextToken, last.answer))
        if (last === undefined || (next === undefined && token === null)) throw noToken(config)
        const waiting = more
          ? isTrue(await client.read(more, last.answer))
          : last.items.length > 0 && next !== undefined && next !== token
        if (waiting && (next === undefined || next === token)) throw standsStill(config.request.path)
        token = next ?? token
        // The present state: what there was until now is walked through and left aside.
        if (checkpoint === null && waiting) continue
        return { records, deleted: gone, checkpoint: JSON.stringify({ token }), hasMore: waiting }
      }
    }
  }

  const read = follow.by === 'time' ? byTime(follow) : byToken(follow)
  return (checkpoint: string | null, context: CallContext): Promise<Outcome<Changed<R>>> =>
    listOutcome(config.request.path, () => read(checkpoint, context))
}

/** What the format leaves of a moment: going on from later than that would ask from the same moment again. */
const floorTo = (at: number, format: 'iso' | 'local' | 'ms' | 's'): number =>
  format === 'iso' || format === 'ms' ? at : Math.floor(at / 1000) * 1000

const noToken = ({ request }: ChangesConfig): SourceError =>
  new SourceError({
    kind: 'invalid-response',
    detail: `${request.path}: the answer has no mark to go on from`,
  })
