/** Subscriptions over the log of change events. */
import type { Place } from '../../src/events/cursor.ts'
import { factsOf } from '../../src/events/diff.ts'
import type { ChangeEvent, Facts } from '../../src/events/event.ts'
import type { EventFilter } from '../../src/events/log.ts'
import type { Identity } from '../../src/identity/registry.ts'
import type { Key, RecordType } from '../../src/systems/records.ts'
import { portOf, type System } from '../../src/systems/registry.ts'
import type { Rooms, SubgraphContext } from './context.ts'
import { failureError, graphError } from './errors.ts'
import { identityOf, type Located, located, locatedFrom, systemOf, unknownSystem } from './records.ts'

/** The arguments that all subscriptions over the log have. */
export interface WatchArguments {
  readonly after?: string | null
  readonly initial?: boolean | null
}

export interface Watch {
  /** The subscription's name, which is the key of its payload. */
  readonly field: string
  readonly filter: EventFilter
  /** What belongs to this subscription alone, in a payload for an event. */
  of(event: ChangeEvent): object | Promise<object>
  /** The same for each of the records that there are now, at most `INITIAL`; for `initial: true`. */
  now?(): Promise<readonly object[]>
  /** Instead of a payload that is nothing but a gap: what can be said without the log. */
  instead?(gap: Gap, since: Place): Promise<readonly object[]>
}

/** As clients read it. */
export interface Gap {
  readonly reason: 'CURSOR_TOO_OLD' | 'OTHER_LOG'
  readonly advice: string
}

/** Records sent for `initial: true`. */
export const INITIAL = 100

const ADVICE =
  'Events before this message may be missing. Read the present state now, or subscribe again with ' +
  '"initial: true"; nothing after this message is missing.'

/**
 * What matches, as payloads: the present state where that is asked for, then events from now on or after a cursor.
 * Each event is answered from what the systems say then, not from what an earlier event had read. Where the log has
 * not everything any more, a payload with `gap` says so and the stream goes on behind it.
 */
export async function watchLog(
  rooms: Rooms,
  context: SubgraphContext,
  { after, initial }: WatchArguments,
  watch: Watch,
): Promise<AsyncIterableIterator<unknown>> {
  const { events } = rooms
  const from = await startOf(rooms, context, after)
  const payload = (place: Place, rest: object) => ({
    [watch.field]: { cursor: events.cursorOf(place, context.caller), changes: [], ...rest },
  })
  const gap = async (reason: Gap['reason'], place: Place, since: Place) => {
    const told: Gap = { reason, advice: ADVICE }
    const about = { event: 'gap', time: new Date().toISOString(), gap: told }
    const instead = watch.instead ? await watch.instead(told, since) : [about]
    return instead.map((rest) => payload(place, rest))
  }
  // Before anything is read: what changes meanwhile comes as an event.
  const begin = from.place ?? events.here()
  return endable(async function* (signal) {
    if (from.gap) yield* await gap(from.gap, begin, from.since ?? begin)
    if (initial && watch.now) {
      context.renew()
      const time = new Date().toISOString()
      for (const rest of await watch.now()) yield payload(begin, { event: 'snapshot', time, ...rest })
    }
    let last = begin
    for await (const told of events.follow(watch.filter, begin.position, signal)) {
      if (told.kind === 'gap') {
        yield* await gap('CURSOR_TOO_OLD', told.place, last)
        last = told.place
        continue
      }
      const { event } = told
      last = { position: event.position, at: event.appendedAt }
      context.renew()
      const { changes } = event.data
      yield payload(last, { event: event.type, time: event.time, changes, ...(await watch.of(event)) })
    }
  })
}

interface Start {
  /** Not given: from now on. */
  readonly place?: Place
  readonly gap?: Gap['reason']
  /** What the client saw last, where the place itself is of no use. */
  readonly since?: Place
}

/** @throws CURSOR_INVALID */
async function startOf(
  { events }: Rooms,
  { caller }: SubgraphContext,
  after: string | null | undefined,
): Promise<Start> {
  if (after === undefined || after === null) return {}
  const verdict = events.placeOf(after, caller)
  if (verdict.ok) {
    // A log that was restored from a copy is shorter than its readers remember.
    const { head } = await events.state()
    if (verdict.place.position <= head) return { place: verdict.place }
    return { gap: 'OTHER_LOG', since: verdict.place }
  }
  if (verdict.reason === 'other-log') return { gap: 'OTHER_LOG', since: { position: 0, at: verdict.at } }
  const message = 'This cursor was not given to you by this gateway. Subscribe without "after".'
  throw graphError('CURSOR_INVALID', message)
}

/**
 * The newest records of a type, for `initial: true`: of one system or of all that can list them. Where one does not
 * answer its error stands in the place of a record.
 */
export async function present<T extends RecordType>(
  { systems }: Rooms,
  context: SubgraphContext,
  type: T,
  system: string | null | undefined,
): Promise<(Located<T> | Error)[]> {
  const asked = system == null ? systems.holding(type) : [systemOf(systems, system)]
  const answers = await Promise.all(
    asked
      .filter((one) => portOf(one, type)?.list)
      .map(async (one) => {
        const read = await context.reader.list(one, type, { first: INITIAL })
        if (!read.ok) return [failureError(one.id, read.failure)]
        return locatedFrom(
          one,
          read.from,
          read.value.items.map(({ record }) => record),
        )
      }),
  )
  return answers.flat().slice(0, INITIAL)
}

/** One record, where it is still there; its system's error where that does not answer. */
export async function presentOne<T extends RecordType>(
  context: SubgraphContext,
  system: System,
  type: T,
  key: Key,
): Promise<(Located<T> | Error)[]> {
  const read = await context.reader.load(system, type, key)
  if (!read.ok) return [failureError(system.id, read.failure)]
  return read.value ? locatedFrom(system, read.from, [read.value]) : []
}

type Document = 'order' | 'invoice' | 'shipment'

/** The arguments of subscriptions to documents: each narrows what is sent. */
export interface DocumentArguments extends WatchArguments {
  readonly id?: string | null
  readonly customerId?: string | null
  /** Of these after the event. */
  readonly status?: readonly string[] | null
  readonly system?: string | null
}

export interface DocumentWatch<T extends Document> {
  readonly field: string
  readonly record: T
  /** Those of a customer that there are now; only asked where the field has `customerId`. */
  ofCustomer?(customer: Identity): Promise<(Located<T> | Error)[]>
  /** What the field narrows by besides, told by the facts that an event carries. */
  also?: {
    matches(facts: Facts, system: string): boolean
    /** Where what matches is found without looking through everything; not given: as without it. */
    candidates?(): Promise<(Located<T> | Error)[]>
  }
}

/** What is sent of orders, invoices and shipments: the status before and after, and the record under its own name. */
export async function watchDocuments<T extends Document>(
  rooms: Rooms,
  context: SubgraphContext,
  args: DocumentArguments,
  { field, record: type, ofCustomer, also }: DocumentWatch<T>,
): Promise<AsyncIterableIterator<unknown>> {
  const { systems } = rooms
  const one = args.id == null ? null : located(systems, type, args.id)
  const customer =
    args.customerId == null ? null : await identityOf(systems, context, 'customer', args.customerId)
  if (args.system != null) systemOf(systems, args.system)
  const status = args.status == null ? null : new Set<string | null | undefined>(args.status)

  const fits = (system: string, key: Key, facts: Facts) =>
    (args.system == null || system === args.system) &&
    (!one || (one.system.id === system && one.key === key)) &&
    (!status || status.has(facts.status)) &&
    (!also || also.matches(facts, system)) &&
    (!customer || customer.keys.some((known) => known.system === system && known.key === facts.customer))

  const candidates = () => {
    if (one) return presentOne(context, one.system, type, one.key)
    if (customer && ofCustomer) return ofCustomer(customer)
    return also?.candidates?.() ?? present(rooms, context, type, args.system)
  }

  return watchLog(rooms, context, args, {
    field,
    filter: { record: type, matches: ({ system, key, data }) => fits(system, key, data.facts) },
    of: async (event) => ({
      statusBefore: event.data.before?.status ?? null,
      statusAfter: event.type === `${type}.deleted` ? null : (event.data.facts.status ?? null),
      [type]: await recordOf(rooms, context, type, event),
    }),
    now: async () =>
      (await candidates())
        .filter(
          (found) =>
            found instanceof Error || fits(found.system.id, found.record.key, factsOf(type, found.record)),
        )
        .slice(0, INITIAL)
        .map((found) => ({
          statusAfter: found instanceof Error ? null : found.record.status,
          [type]: found,
        })),
  })
}

/**
 * The record that an event tells of, as it is now; null where it is gone. Where its system does not answer, or is not
 * configured any more, the error stands in its place: the event itself is known, and those behind it are not held up.
 */
export async function recordOf<T extends RecordType>(
  { systems }: Rooms,
  context: SubgraphContext,
  type: T,
  { system, key, type: event }: ChangeEvent,
): Promise<Located<T> | Error | null> {
  if (event === `${type}.deleted`) return null
  const of = systems.get(system)
  if (!of) return unknownSystem(systems, system)
  const [found = null] = await presentOne(context, of, type, key)
  return found
}

/** An iterator whose `return` ends a source that is waiting; a plain generator would wait for the next value first. */
export function endable<P>(source: (signal: AbortSignal) => AsyncGenerator<P>): AsyncIterableIterator<P> {
  const end = new AbortController()
  const values = source(end.signal)
  return {
    next: () => values.next(),
    async return() {
      end.abort()
      return values.return(undefined)
    },
    async throw(error) {
      end.abort()
      return values.throw(error)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
