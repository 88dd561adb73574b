/** A plan becomes functions once; executing it is calling them. */
import type { FetchNode, PlanNode } from '@apollo/query-planner'
import {
  type DocumentNode,
  type GraphQLError,
  type GraphQLFormattedError,
  print,
  stripIgnoredCharacters,
} from 'graphql'
import { type Collect, compileCollect, type Gathered, type Group, Places } from './collect.ts'
import type { Path } from './complete.ts'
import { anyItem, type Explanations, type FormatSubgraphError, subgraphError, unavailable } from './errors.ts'
import { compileMerge, type Merge, type Shape } from './merge.ts'
import { answerShape, questionOf } from './plan.ts'
import { isObject, type Json } from './property.ts'
import { answerReader, type Read } from './read.ts'
import { compileRepresenter, objectsAt, placesOf, type Representer, requirements } from './representations.ts'
import { applyRewrites, originalKeys, type TypeMatch } from './rewrites.ts'
import { type CallSignal, SubgraphFailure, type SubgraphRequest, type SubgraphResponse } from './transport.ts'
import type { OutgoingRequest } from './upstream.ts'

/** What one request knows while its plan runs. */
export interface Run<TContext> extends Gathered {
  readonly errors: GraphQLError[]
  readonly explanations: Explanations
  /** Coerced; defaults applied. */
  readonly variables: Readonly<Record<string, unknown>>
  readonly context: TContext
  readonly signal: CallSignal | undefined
}

export type Step<TContext> = (run: Run<TContext>) => Promise<void>

/** What compiled plans call: the world outside the plan. */
export interface Surroundings<TContext> {
  send(subgraph: string, request: OutgoingRequest<TContext>): Promise<SubgraphResponse>
  maxRepresentations(subgraph: string): number
  readonly formatError: FormatSubgraphError
  possibleTypes(typeCondition: string): ReadonlySet<string>
  isObject(typeName: string): boolean
  /** Of a required field with arguments, which has a name of its own in plans. */
  realName(standIn: string): string
}

export function compilePlan<TContext>(
  node: PlanNode,
  surroundings: Surroundings<TContext>,
  path: Path = [],
  places: Places = new Places(node, path),
): Step<TContext> {
  switch (node.kind) {
    case 'Sequence': {
      const steps = node.nodes.map((child) => compilePlan(child, surroundings, path, places))
      return async (run) => {
        for (const step of steps) await step(run)
      }
    }
    case 'Parallel': {
      const steps = node.nodes.map((child) => compilePlan(child, surroundings, path, places))
      return async (run) => {
        await Promise.all(steps.map((step) => step(run)))
      }
    }
    case 'Flatten':
      return compilePlan(node.node, surroundings, [...path, ...node.path], places)
    case 'Fetch': {
      const fetch = compileFetch(node, path, surroundings, places)
      return fetch.representer
        ? entityFetch(fetch, compileCollect(path, fetch.representer, places))
        : rootFetch(fetch)
    }
    case 'Condition': {
      // Conditions are decided before planning; a planner may still make its own.
      const { condition, ifClause, elseClause } = node
      const [yes, no] = [ifClause, elseClause].map(
        (clause) => clause && compilePlan(clause, surroundings, path, places),
      )
      return async (run) => {
        await (run.variables[condition] === true ? yes : no)?.(run)
      }
    }
    case 'Defer':
      throw new Error('The planner was not asked for @defer')
  }
}

/** The parts of a fetch that are the same for every request. */
export interface Fetch<TContext> {
  readonly subgraph: string
  readonly path: Path
  readonly document: DocumentNode
  readonly query: string
  readonly operationName: string | undefined
  readonly kind: 'query' | 'mutation' | 'subscription'
  readonly variableNames: readonly string[]
  /** For a fetch of entities. */
  readonly representer: Representer | undefined
  readonly node: FetchNode
  /** Of the data for a root fetch, of one entity otherwise. */
  readonly shape: Shape
  readonly merge: Merge
  readonly read: Read
  /** Where its answer can bring objects that were not there when another fetch looked. */
  readonly changes: readonly number[]
  readonly matches: TypeMatch
  readonly surroundings: Surroundings<TContext>
}

export function compileFetch<TContext>(
  node: FetchNode,
  path: Path,
  surroundings: Surroundings<TContext>,
  places?: Places,
): Fetch<TContext> {
  const { document, definition } = questionOf(node)
  if (node.contextRewrites?.length) throw new Error('@fromContext is not supported')
  const shape = answerShape(node)
  const matches: TypeMatch = (condition, typename) =>
    typeof typename === 'string' &&
    (condition === typename || surroundings.possibleTypes(condition).has(typename))
  return {
    subgraph: node.serviceName,
    path,
    document,
    query: node.operation || stripIgnoredCharacters(print(document)),
    operationName: node.operationName,
    kind: definition.operation,
    variableNames: node.variableUsages ?? [],
    representer:
      node.requires &&
      compileRepresenter(requirements(node.requires, surroundings.realName), node.inputRewrites, matches),
    node,
    shape,
    merge: compileMerge(shape, surroundings.isObject),
    read: answerReader(definition.selectionSet),
    changes: places?.changedBy(path, shape) ?? [],
    matches,
    surroundings,
  }
}

export function requestOf<TContext>(
  fetch: Fetch<TContext>,
  run: Pick<Run<TContext>, 'variables' | 'context' | 'signal'>,
  groups?: readonly Group[],
): OutgoingRequest<TContext> {
  return new FetchRequest(fetch, run, groups)
}

/** Transports want variables either as objects or as text: each form is made when it is asked for. */
class FetchRequest<TContext> implements OutgoingRequest<TContext> {
  readonly document: DocumentNode
  readonly query: string
  readonly operationName: string | undefined
  readonly operationKind: SubgraphRequest['operationKind']
  readonly read: Read
  readonly context: TContext
  signal: CallSignal | undefined
  readonly #fetch: Fetch<TContext>
  readonly #values: Readonly<Record<string, unknown>>
  readonly #groups: readonly Group[] | undefined

  constructor(
    fetch: Fetch<TContext>,
    run: Pick<Run<TContext>, 'variables' | 'context' | 'signal'>,
    groups: readonly Group[] | undefined,
  ) {
    this.document = fetch.document
    this.query = fetch.query
    this.operationName = fetch.operationName
    this.operationKind = fetch.kind
    this.read = fetch.read
    this.context = run.context
    this.signal = run.signal
    this.#fetch = fetch
    this.#values = run.variables
    this.#groups = groups
  }

  get variables(): Record<string, unknown> {
    const variables: Record<string, unknown> = {}
    const { variableNames, representer } = this.#fetch
    for (const name of variableNames) {
      if (this.#values[name] !== undefined) variables[name] = this.#values[name]
    }
    if (this.#groups && representer) {
      variables.representations = this.#groups.map(({ targets }) => representer.object(targets[0]))
    }
    return variables
  }

  get variablesJson(): string {
    let text = ''
    if (this.#groups) {
      text = '"representations":['
      for (let i = 0; i < this.#groups.length; i++) text += (i > 0 ? ',' : '') + this.#groups[i]?.text
      text += ']'
    }
    for (const name of this.#fetch.variableNames) {
      const value = JSON.stringify(this.#values[name])
      if (value !== undefined) text += `${text === '' ? '' : ','}"${name}":${value}`
    }
    return `{${text}}`
  }
}

function rootFetch<TContext>(fetch: Fetch<TContext>): Step<TContext> {
  return async (run) => {
    const targets = fetch.path.length === 0 ? [run.data] : objectsAt(run.data, fetch.path)
    if (targets.length === 0) return
    await ask(
      fetch,
      run,
      requestOf(fetch, run),
      () => targets,
      (response) => takeRoot(fetch, run, response, targets),
    )
  }
}

/** Merges the answer of a fetch without representations, or the event of a subscription. */
export function takeRoot<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  response: SubgraphResponse,
  targets: readonly Json[],
): void {
  for (const error of response.errors ?? []) {
    const inside = error.path && originalKeys(error.path, fetch.node.outputRewrites)
    if (!inside || fetch.path.length === 0) {
      addError(fetch, run, error, inside ?? commonPath(fetch, run, targets), inside)
    } else {
      for (const place of placesOf(run.data, fetch.path, new Set(targets))) {
        addError(fetch, run, error, [...place, ...inside], [...fetch.path, ...inside])
      }
    }
  }
  const { data } = response
  if (isObject(data)) {
    applyRewrites(fetch.node.outputRewrites, data, fetch.matches)
    forgetChanged(fetch, run)
    for (const target of targets) fetch.merge(target, data)
  } else if (response.errors?.length) {
    // One of them took with it what the others were to stand beside.
    explainShape(fetch, run)
  } else {
    failFetch(fetch, run, new SubgraphFailure('malformed'), targets)
  }
}

/** Another fetch may have looked for objects where this one now brings some. */
function forgetChanged<TContext>(fetch: Fetch<TContext>, run: Run<TContext>): void {
  const { found } = run
  if (found) for (const place of fetch.changes) found[place] = undefined
}

function entityFetch<TContext>(fetch: Fetch<TContext>, collect: Collect): Step<TContext> {
  const limit = fetch.surroundings.maxRepresentations(fetch.subgraph)
  return async (run) => {
    const groups = collect(run)
    if (groups.length === 0) return
    if (groups.length <= limit) {
      await fetchBatch(fetch, run, groups)
      return
    }
    const batches: Promise<void>[] = []
    for (let start = 0; start < groups.length; start += limit) {
      batches.push(fetchBatch(fetch, run, groups.slice(start, start + limit)))
    }
    await Promise.all(batches)
  }
}

function fetchBatch<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  batch: readonly Group[],
): Promise<void> {
  return ask(
    fetch,
    run,
    requestOf(fetch, run, batch),
    () => targetsOf(batch),
    (response) => takeEntities(fetch, run, response, batch),
  )
}

const targetsOf = (batch: readonly Group[]): Json[] => batch.flatMap((group) => group.targets)

function takeEntities<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  response: SubgraphResponse,
  batch: readonly Group[],
): void {
  const { node, matches, merge } = fetch
  const entities = response.data?._entities
  const isWhole = Array.isArray(entities) && entities.length === batch.length
  for (const error of response.errors ?? []) {
    const [field, index, ...inside] = error.path ?? []
    const group = field === '_entities' && typeof index === 'number' ? batch[index] : undefined
    if (!group || typeof index !== 'number') {
      addError(fetch, run, error, commonPath(fetch, run, targetsOf(batch)), undefined)
      continue
    }
    const rest = originalKeys(inside, node.outputRewrites)
    for (const place of placesOf(run.data, fetch.path, new Set(group.targets))) {
      addError(fetch, run, error, [...place, ...rest], [...place, ...rest])
      if (isWhole && !isObject(entities[index])) explainShape(fetch, run, place)
    }
  }
  if (!isWhole) {
    if (response.errors?.length) explainShape(fetch, run)
    else failFetch(fetch, run, new SubgraphFailure('malformed'), targetsOf(batch))
    return
  }
  forgetChanged(fetch, run)
  for (let i = 0; i < entities.length; i++) {
    const entity: unknown = entities[i]
    const group = batch[i]
    if (!group || entity === null) continue
    if (!isObject(entity)) {
      const failure = unavailable(
        fetch.subgraph,
        new SubgraphFailure('malformed'),
        commonPath(fetch, run, group.targets),
      )
      run.errors.push(failure)
      for (const place of placesOf(run.data, fetch.path, new Set(group.targets)))
        explainShape(fetch, run, place)
      continue
    }
    if (node.outputRewrites?.length) {
      if (entity.__typename === undefined) entity.__typename = group.targets[0].__typename
      applyRewrites(node.outputRewrites, entity, matches)
    }
    for (const target of group.targets) merge(target, entity)
  }
}

/** Where there is no answer, the client is told. */
function ask<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  request: OutgoingRequest<TContext>,
  targets: () => readonly Json[],
  take: (response: SubgraphResponse) => void,
): Promise<void> {
  if (run.signal?.cancelled) return Promise.reject(run.signal.reason)
  return fetch.surroundings.send(fetch.subgraph, request).then(take, (error) => {
    run.signal?.throwIfCancelled()
    failFetch(fetch, run, error, targets())
  })
}

export function failFetch<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  error: unknown,
  targets: readonly Json[],
): void {
  run.errors.push(unavailable(fetch.subgraph, error, commonPath(fetch, run, targets)))
  explainShape(fetch, run)
}

function addError<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  error: GraphQLFormattedError,
  path: Path | undefined,
  explained: Path | undefined,
): void {
  run.errors.push(subgraphError(error, fetch.subgraph, path, fetch.surroundings.formatError))
  if (explained) run.explanations.add(explained)
  else explainShape(fetch, run)
}

/** An error that names no field, or that took the whole object with it, explains every null among what was fetched. */
function explainShape<TContext>(fetch: Fetch<TContext>, run: Run<TContext>, place: Path = fetch.path): void {
  for (const key of fetch.shape.keys()) run.explanations.add([...place, key])
}

/** The deepest place of the answer that holds all of them: the field itself where there is one target and one key. */
function commonPath<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  targets: readonly Json[],
): Path | undefined {
  const keys = [...fetch.shape.keys()].filter((key) => key !== '__typename')
  const only = keys.length === 1 ? keys : []
  const list = fetch.path.indexOf(anyItem)
  if (list === -1) return nonEmpty([...fetch.path, ...only])
  const places = placesOf(run.data, fetch.path, new Set(targets))
  if (places.length === 1) return nonEmpty([...(places[0] ?? []), ...only])
  return nonEmpty(fetch.path.slice(0, list))
}

function nonEmpty(path: Path): Path | undefined {
  return path.length > 0 ? path : undefined
}
