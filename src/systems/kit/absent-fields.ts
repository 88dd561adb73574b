/**
 * Fields that a release or a localization does not have. A vendor refuses a read that names one, and names it: it is
 * asked again without, and from then on nobody asks for it.
 */
import type { Outcome, SourceFailure } from '../failure.ts'

/** What a read asks for. */
interface Selection {
  /** Names, or paths such as `to_Item/Material`. */
  readonly select: readonly string[]
  readonly filter?: string | undefined
  readonly orderby: string
}

export interface AbsentFields<Q extends Selection> {
  /** The same without what is known to be missing. */
  without(query: Q): Q
  /** @param outcome What came of `query`. @param ask Asks once more. */
  settle<R>(query: Q, outcome: Outcome<R>, ask: (fewer: Q) => Promise<Outcome<R>>): Promise<Outcome<R>>
}

export interface AbsentFieldsOptions<Q> {
  /** What the configuration names: its absence is an error, and it is not left out. */
  readonly own: RegExp
  nameOf(query: Q): string
  /** Told once of each. */
  missing(query: Q, fields: readonly string[]): void
}

export function createAbsentFields<Q extends Selection>(options: AbsentFieldsOptions<Q>): AbsentFields<Q> {
  const known = new Map<string, Set<string>>()
  const leave = (query: Q, places: ReadonlySet<string> | undefined): Q =>
    places ? { ...query, select: query.select.filter((path) => !isBelow(path, places)) } : query
  const without = (query: Q): Q => leave(query, known.get(options.nameOf(query)))
  const note = (query: Q, places: readonly string[]) => {
    const name = options.nameOf(query)
    const missing = known.get(name) ?? new Set()
    known.set(name, missing)
    const found = places.filter((place) => !missing.has(place))
    for (const place of found) missing.add(place)
    if (found.length > 0) options.missing(query, found)
  }

  /** Where else the name may stand, the refusal does not say: each place is tried alone, the farthest first. */
  const tried = async <R>(
    query: Q,
    name: string,
    places: readonly string[],
    ask: (fewer: Q) => Promise<Outcome<R>>,
  ): Promise<Outcome<R> | undefined> => {
    for (const place of places.toSorted((a, b) => b.split('/').length - a.split('/').length)) {
      const outcome = await ask(leave(query, new Set([place])))
      if (!outcome.ok && namesIn(outcome.failure).has(name)) continue
      note(query, [place])
      return outcome
    }
    note(query, places)
    return undefined
  }

  const settle = async <R>(
    query: Q,
    outcome: Outcome<R>,
    ask: (fewer: Q) => Promise<Outcome<R>>,
  ): Promise<Outcome<R>> => {
    let asked = query
    let latest = outcome
    while (!latest.ok) {
      const [found] = placesOf(asked, latest.failure, options.own)
      if (!found) return latest
      const [name, places] = found
      let next: Outcome<R> | undefined
      if (places.length === 1) note(asked, places)
      else next = await tried(asked, name, places, ask)
      asked = without(asked)
      latest = next ?? (await ask(asked))
    }
    return latest
  }
  return { without, settle }
}

const isBelow = (path: string, places: ReadonlySet<string>): boolean => {
  const steps = path.split('/')
  return steps.some((_, depth) => places.has(steps.slice(0, depth + 1).join('/')))
}

/**
 * What a refusal names: `Property 'TaxAmount' is invalid`, `Resource not found for segment 'to_Partner'`, `Property
 * TaxAmount not found in type …`.
 */
export function namesIn(failure: SourceFailure): ReadonlySet<string> {
  if (failure.kind !== 'rejected' && failure.kind !== 'not-found') return new Set()
  const words = failure.message.matchAll(
    /["'\u2018\u201c]([\w/]+)["'\u2019\u201d]|\b(?:property|field)\s+(\w+)/gi,
  )
  return new Set([...words].flatMap(([, quoted, bare]) => (quoted ?? bare ?? '').split('/')))
}

/** By name, the places of a query where it may be left out: nothing else in the query needs it. */
function placesOf({ select, filter, orderby }: Selection, failure: SourceFailure, own: RegExp) {
  const needed = new Set(`${filter ?? ''} ${orderby}`.match(/\w+/g))
  const found = new Map<string, Set<string>>()
  for (const name of namesIn(failure)) {
    for (const path of own.test(name) ? [] : select) {
      const steps = path.split('/')
      const at = steps.indexOf(name)
      if (at < 0 || (at === 0 && needed.has(name))) continue
      found.set(name, (found.get(name) ?? new Set()).add(steps.slice(0, at + 1).join('/')))
    }
  }
  return [...found].map(([name, places]) => [name, [...places]] as const)
}
