/** Lists, batches and changes of systems with a JSON REST interface. */
import { z } from 'zod'
import type { Log } from '../../../observe/log.ts'
import { fail, failureText, type Outcome, ok, outcomeOf, SourceError } from '../../failure.ts'
import type { CallContext, ChangePage, ListFilter, ListPage, ListQuery, Lookup } from '../../port.ts'
import type { Key, RecordType, RecordTypes } from '../../records.ts'
import { readCheckpoint } from '../checkpoint.ts'
import { inBatches } from './batches.ts'
import { broken, type RestClient, type RestPage } from './client.ts'
import { fieldText } from './fields.ts'

/** Where records of one type are, and how one is read. */
export interface Source<T extends RecordType> {
  readonly type: T
  readonly path: string
  /** `not-found`: this is no record of that type, as a purchase order is no sales order; it is passed over. */
  readonly read: (raw: unknown) => Outcome<RecordTypes[T]>
  /** The key of a raw record, as far as it can be told where it cannot be read. */
  readonly keyOf: (raw: unknown) => Key | undefined
  /** The fields that make a record's place in the order of lists. */
  readonly place: readonly string[]
  /** And in the order of changes, the time of the change first; absent: the system does not tell of changes so. */
  readonly changed?: readonly string[]
  /** Parameters that narrow what is listed and polled; records read by key are not held to them. */
  readonly only?: Readonly<Record<string, string>>
  /** The filter as query parameters. */
  readonly filter: (filter: ListFilter) => Outcome<Record<string, string>>
}

export interface ReadingSettings {
  /** Most keys in one `ids` parameter. */
  readonly batchLimit: number
  readonly pageLimit: number
  /** `after`: by place in the order; `page`: by page number, counted from 1. */
  readonly paging: 'after' | 'page'
  /** `path`: there is no `ids` parameter, each record is read by its own path. */
  readonly keysIn: 'ids' | 'path'
  /** Polling by `updatedSince` looks back this far; 0 where the system has another feed. */
  readonly overlapSeconds: number
}

interface Stretch {
  readonly items: readonly { readonly raw: unknown; readonly position: string }[]
  readonly hasMore: boolean
  /** The system's clock, see `RestPage`. */
  readonly at: number | null
}

/** Where change polling goes on: everything since a time, and inside one sweep the place in it. */
const checkpointSchema = z.strictObject({
  since: z.string(),
  after: z.string().optional(),
  /** Pages by number: the place of the last record that was read, as in lists. */
  place: z.string().optional(),
  /** From where the sweep after this one goes on. */
  next: z.string().optional(),
})

export const unsupported = (message: string): Outcome<never> => fail({ kind: 'unsupported', message })

/** All, or the first failure: half of them would look like all. */
export function allOf<V>(outcomes: readonly Outcome<V>[]): Outcome<readonly V[]> {
  const values: V[] = []
  for (const outcome of outcomes) {
    if (!outcome.ok) return outcome
    values.push(outcome.value)
  }
  return ok(values)
}

const absentAsNull = <V>(outcome: Outcome<V>): Outcome<V | null> =>
  !outcome.ok && outcome.failure.kind === 'not-found' ? ok(null) : outcome

export type Reading = ReturnType<typeof createReading>

export function createReading(client: RestClient, settings: ReadingSettings, log: Log) {
  /** The record by its own path, or null where the system says that there is none. */
  const byPath = async <T extends RecordType>(
    source: Source<T>,
    key: Key,
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>> => {
    const path = `${source.path}/${encodeURIComponent(key)}`
    const answer = await outcomeOf(() => client.get(path, {}, context))
    return absentAsNull(answer.ok ? source.read(answer.value.data) : answer)
  }

  /** @throws SourceError */
  const byIds = async <T extends RecordType>(
    source: Source<T>,
    keys: readonly Key[],
    context: CallContext,
  ) => {
    const found = new Map<Key, Outcome<RecordTypes[T] | null>>()
    const items = await wholeOf(source, { ids: keys.join(',') }, context)
    let nameless: Outcome<RecordTypes[T]> | undefined
    for (const raw of items) {
      const outcome = source.read(raw)
      const key = outcome.ok ? outcome.value.key : source.keyOf(raw)
      if (key !== undefined) found.set(key, absentAsNull(outcome))
      else nameless = outcome
    }
    // A record without a key could be any of those that seem to be missing.
    if (nameless) for (const key of keys) if (!found.has(key)) found.set(key, nameless)
    return found
  }

  const readMany = <T extends RecordType>(
    source: Source<T>,
    keys: readonly Key[],
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>[]> => {
    const limit = settings.keysIn === 'path' ? 1 : settings.batchLimit
    return inBatches<RecordTypes[T] | null>(keys, limit, null, async (batch) => {
      if (settings.keysIn === 'ids') return byIds(source, batch, context)
      const [only = ''] = batch
      const one = await byPath(source, only, context)
      if (!one.ok) throw new SourceError(one.failure)
      return new Map([[only, one]])
    })
  }

  const readOne = async <T extends RecordType>(
    source: Source<T>,
    key: Key,
    context: CallContext,
  ): Promise<Outcome<RecordTypes[T] | null>> => (await readMany(source, [key], context))[0] ?? ok(null)

  /* ---- lists ---- */

  const placeOf = (path: string, raw: unknown, names: readonly string[]): string => {
    const parts = names.map((name) => fieldText(raw, name))
    if (parts.every((part) => part !== undefined)) return parts.join(',')
    const missing = `a record without ${names.join(' or ')} has no place in the list`
    throw new SourceError(broken(path, missing))
  }

  /** A system that answers every page with the same one would be asked for ever. */
  const standsStill = (path: string): SourceError =>
    new SourceError(
      broken(
        path,
        `the next page is the same again; does this ${client.called} page as it is configured ("${settings.paging}")?`,
      ),
    )

  /** In the order of the system; a record added meanwhile has its own place and moves no other. */
  async function* walkByPlace<T extends RecordType>(
    source: Source<T>,
    query: Record<string, string>,
    first: number,
    after: string | undefined,
    context: CallContext,
  ): AsyncGenerator<Stretch> {
    const limit = String(Math.min(first, settings.pageLimit))
    for (let place = after; ; ) {
      const paging: Record<string, string> = place === undefined ? { limit } : { limit, after: place }
      const { items, hasMore, at } = await client.getPage(source.path, { ...query, ...paging }, context)
      const placed = items.map((raw) => ({ raw, position: placeOf(source.path, raw, source.place) }))
      yield { items: placed, hasMore, at }
      if (!hasMore || placed.length === 0) return
      const last = placed.at(-1)?.position
      if (last === place) throw standsStill(source.path)
      place = last
    }
  }

  /**
   * Page numbers shift while records are added. A position is therefore the index and the key of a record: the
   * next read looks for that key around where it was, and when it is gone rather repeats records than omits some.
   * @param fromStart When it is gone, everything is read again: records of a sweep may move anywhere.
   */
  async function* walkByPage<T extends RecordType>(
    source: Source<T>,
    query: Record<string, string>,
    _first: number,
    after: string | undefined,
    context: CallContext,
    fromStart = false,
  ): AsyncGenerator<Stretch> {
    const size = settings.pageLimit
    const pages = new Map<number, RestPage>()
    const readPage = async (page: number): Promise<RestPage> => {
      const known = pages.get(page)
      if (known) return known
      const paging = { page: String(page), limit: String(size) }
      const read = await client.getPage(source.path, { ...query, ...paging }, context)
      pages.set(page, read)
      return read
    }
    const idOf = (raw: unknown) => source.keyOf(raw) ?? ''

    const seen = new Set<string>()
    let page = 1
    let offset = 0
    if (after !== undefined) {
      const [, indexText, id] = /^(\d{1,12}):(.+)$/s.exec(after) ?? []
      if (indexText === undefined) {
        throw new SourceError({
          kind: 'rejected',
          code: 'POSITION',
          message: 'This is no place in this list.',
        })
      }
      const index = Number(indexText)
      const expected = Math.floor(index / size) + 1
      page = fromStart ? 1 : expected
      offset = fromStart ? 0 : index % size
      for (const candidate of [expected, expected + 1, expected + 2, expected - 1]) {
        if (candidate < 1) continue
        const { items } = await readPage(candidate)
        const at = items.findIndex((raw) => idOf(raw) === id)
        if (at < 0) continue
        page = candidate
        offset = at + 1
        for (const raw of items.slice(0, offset)) seen.add(idOf(raw))
        break
      }
    }
    let wasUnsaid = false
    for (const start = page; ; page++) {
      const { items, hasMore, unsaid, at } = await readPage(page)
      const base = (page - 1) * size
      const placed = items
        .map((raw, index) => ({ raw, id: idOf(raw), position: `${base + index}:${idOf(raw)}` }))
        .slice(offset)
        .filter(({ id }) => !seen.has(id))
      const isNew = page > start && items.length > 0
      if (isNew && items.every((raw) => seen.has(idOf(raw)))) {
        // All of it was on the page before: it is a system that does not page.
        if (wasUnsaid) return
        throw standsStill(source.path)
      }
      for (const { id } of placed) seen.add(id)
      yield { items: placed, hasMore: hasMore || unsaid, at }
      offset = 0
      if (!(hasMore || unsaid) || items.length === 0) return
      wasUnsaid = unsaid
    }
  }

  const walk = settings.paging === 'after' ? walkByPlace : walkByPage

  /** Every raw record of a list. @throws SourceError */
  const walked = async <T extends RecordType>(
    source: Source<T>,
    query: Record<string, string>,
    context: CallContext,
  ): Promise<readonly unknown[]> => {
    const all: unknown[] = []
    for await (const page of walk(source, query, settings.pageLimit, undefined, context)) {
      for (const { raw } of page.items) all.push(raw)
    }
    return all
  }

  /** The raw records that changed since so long ago by the system's clock. @throws SourceError */
  const changedLately = async <T extends RecordType>(
    source: Source<T>,
    ms: number,
    context: CallContext,
  ): Promise<readonly unknown[]> => {
    const { at } = await client.getPage(source.path, { limit: '1' }, context)
    const updatedSince = new Date((at ?? Date.now()) - ms).toISOString()
    return walked(source, { updatedSince }, context)
  }

  /**
   * What the contracts do not page, such as the records of some keys; a system that does so nevertheless is followed.
   * @throws SourceError
   */
  const wholeOf = async <T extends RecordType>(
    source: Source<T>,
    query: Record<string, string>,
    context: CallContext,
  ): Promise<readonly unknown[]> => {
    const { items, hasMore } = await client.getPage(source.path, query, context)
    return hasMore ? walked(source, query, context) : items
  }

  /** What cannot be read is left out of lists, and said to the operator: one bad record must not hide the rest. */
  const readable = <T extends RecordType>(source: Source<T>, raw: unknown): RecordTypes[T][] => {
    const outcome = source.read(raw)
    if (outcome.ok) return [outcome.value]
    if (outcome.failure.kind === 'not-found') return []
    log.warn({ path: source.path, failure: failureText(outcome.failure) }, 'a record cannot be read')
    return []
  }

  /** @throws SourceError */
  const listPage = async <T extends RecordType>(
    source: Source<T>,
    query: Record<string, string>,
    first: number,
    after: string | undefined,
    context: CallContext,
  ): Promise<ListPage<T>> => {
    const items: { record: RecordTypes[T]; position: string }[] = []
    for await (const page of walk(source, query, first, after, context)) {
      const left = first - items.length
      const read = page.items.flatMap(({ raw, position }) =>
        readable(source, raw).map((record) => ({ record, position })),
      )
      items.push(...read.slice(0, left))
      if (read.length > left || !page.hasMore || items.length === first) {
        return { items, hasMore: read.length > left || page.hasMore }
      }
    }
    return { items, hasMore: false }
  }

  const list =
    <T extends RecordType>(source: Source<T>) =>
    async ({ first, after, filter }: ListQuery, context: CallContext): Promise<Outcome<ListPage<T>>> => {
      const query = source.filter(filter ?? {})
      if (!query.ok) return query
      return outcomeOf(() => listPage(source, { ...source.only, ...query.value }, first, after, context))
    }

  /**
   * Records that belong to other keys, by a parameter that takes many of them.
   * @param ownersOf The keys that a record belongs to; `rawOwner` where it cannot be read.
   */
  const lookup = <T extends RecordType>(
    source: Source<T>,
    parameter: string,
    ownersOf: (record: RecordTypes[T]) => readonly (Key | null | undefined)[],
    rawOwner: string,
  ): Lookup<T> => ({
    batchLimit: settings.batchLimit,
    read: (keys, context) =>
      inBatches<readonly RecordTypes[T][]>(keys, settings.batchLimit, [], async (batch) => {
        const found = new Map<Key, Outcome<readonly RecordTypes[T][]>>()
        const seen = new Set<Key>()
        const query = { [parameter]: batch.join(',') }
        for await (const page of walk(source, query, settings.pageLimit, undefined, context)) {
          for (const { raw } of page.items) {
            const outcome = source.read(raw)
            if (!outcome.ok) {
              if (outcome.failure.kind === 'not-found') continue
              // Half of what belongs to a key would look like all of it.
              const owner = fieldText(raw, rawOwner)
              for (const key of owner === undefined ? batch : [owner]) found.set(key, outcome)
              continue
            }
            if (seen.has(outcome.value.key)) continue
            seen.add(outcome.value.key)
            for (const owner of ownersOf(outcome.value)) {
              if (!owner) continue
              const list = found.get(owner) ?? ok([])
              if (list.ok) found.set(owner, ok([...list.value, outcome.value]))
            }
          }
        }
        return found
      }),
  })

  /* ---- changes ---- */

  const overlapped = (at: number): string => new Date(at - settings.overlapSeconds * 1000).toISOString()

  /**
   * One page of a sweep over all that changed since a moment. Nobody promised an order, and pages shift while records
   * change: the sweep keeps its moment to its end, goes on behind the record that it read last, and begins again where
   * that one has gone. The next sweep looks back to where this one began. @throws SourceError
   */
  const sweepByPage = async <T extends RecordType>(
    source: Source<T>,
    { since, place, next }: z.infer<typeof checkpointSchema>,
    context: CallContext,
  ): Promise<ChangePage<T>> => {
    const query = { ...source.only, updatedSince: since }
    let clock: number | null = null
    for await (const page of walkByPage(source, query, settings.pageLimit, place, context, true)) {
      clock ??= page.at
      // Of the page with the last record nothing may be left.
      if (page.items.length === 0 && page.hasMore) continue
      const records = page.items.flatMap(({ raw }) => readable(source, raw))
      const from = next ?? (clock === null ? since : overlapped(clock))
      const last = page.items.at(-1)
      const checkpoint = page.hasMore && last ? { since, place: last.position, next: from } : { since: from }
      return { records, checkpoint: JSON.stringify(checkpoint), hasMore: page.hasMore && last !== undefined }
    }
    return { records: [], checkpoint: JSON.stringify({ since: next ?? since }), hasMore: false }
  }

  /** One page of what changed by `updatedSince`, oldest change first. @throws SourceError */
  const changesSince = async <T extends RecordType>(
    source: Source<T>,
    checkpoint: string | null,
    context: CallContext,
  ): Promise<ChangePage<T>> => {
    if (checkpoint === null) {
      const { at } = await client.getPage(source.path, { limit: '1' }, context)
      if (at === null) {
        const what = `no timestamp in the answer; without the ${client.called}'s clock its changes cannot be polled`
        throw new SourceError(broken(source.path, what))
      }
      return { records: [], checkpoint: JSON.stringify({ since: overlapped(at) }), hasMore: false }
    }
    const from = readCheckpoint(checkpointSchema, checkpoint)
    if (settings.paging === 'page') return sweepByPage(source, from, context)
    const { items, hasMore, at } = await client.getPage(
      source.path,
      {
        ...source.only,
        updatedSince: from.since,
        limit: String(settings.pageLimit),
        ...(from.after === undefined ? {} : { after: from.after }),
      },
      context,
    )
    const last = items.at(-1)
    const names = source.changed ?? source.place
    const lastTime = fieldText(last, names[0] ?? '')
    const next = (): z.infer<typeof checkpointSchema> =>
      !hasMore || last === undefined
        ? { since: at === null ? (lastTime ?? from.since) : overlapped(at) }
        : { since: from.since, after: placeOf(source.path, last, names) }
    const following = JSON.stringify(next())
    if (hasMore && following === checkpoint) throw standsStill(source.path)
    return {
      records: items.flatMap((raw) => readable(source, raw)),
      checkpoint: following,
      hasMore: hasMore && last !== undefined,
    }
  }

  return {
    readMany,
    readOne,
    wholeOf,
    changedLately,
    listPage,
    list,
    lookup,
    /** What every record type of these systems offers to readers. */
    port: <T extends RecordType>(source: Source<T>) => ({
      batchLimit: settings.keysIn === 'path' ? 1 : settings.batchLimit,
      readMany: (keys: readonly Key[], context: CallContext) => readMany(source, keys, context),
      list: list(source),
    }),
    changes:
      <T extends RecordType>(source: Source<T>) =>
      (checkpoint: string | null, context: CallContext): Promise<Outcome<ChangePage<T>>> =>
        outcomeOf(() => changesSince(source, checkpoint, context)),
  }
}
