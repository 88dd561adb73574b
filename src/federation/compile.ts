/** A plan becomes functions once; executing it is calling them. */
import type { FetchNode, PlanNode } from '@apollo/query-planner'
import {
  type DocumentNode,
  type GraphQLError,
  type GraphQLFormattedError,
  Kind,
  parse,
  print,
  stripIgnoredCharacters,
} from 'graphql'
import type { Path } from './complete.ts'
import { anyItem, type Explanations, type FormatSubgraphError, subgraphError, unavailable } from './errors.ts'
import { mergeObject, type Shape, shapeOf } from './merge.ts'
import { isObject, type Json } from './property.ts'
import { objectsAt, placesOf, type Required, represent, requirements } from './representations.ts'
import { applyRewrites, originalKeys, type TypeMatch } from './rewrites.ts'
import { SubgraphFailure, type SubgraphRequest, type SubgraphResponse } from './transport.ts'

/** What one request knows while its plan runs. */
export interface Run<TContext> {
  /** Everything the subgraphs have given so far, merged; read by later fetches. */
  readonly data: Json
  readonly errors: GraphQLError[]
  readonly explanations: Explanations
  /** Coerced; defaults applied. */
  readonly variables: Readonly<Record<string, unknown>>
  readonly context: TContext
  readonly signal: AbortSignal | undefined
}

export type Step<TContext> = (run: Run<TContext>) => Promise<void>

/** What compiled plans call: the world outside the plan. */
export interface Surroundings<TContext> {
  send(subgraph: string, request: SubgraphRequest<TContext>): Promise<SubgraphResponse>
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
): Step<TContext> {
  switch (node.kind) {
    case 'Sequence': {
      const steps = node.nodes.map((child) => compilePlan(child, surroundings, path))
      return async (run) => {
        for (const step of steps) await step(run)
      }
    }
    case 'Parallel': {
      const steps = node.nodes.map((child) => compilePlan(child, surroundings, path))
      return async (run) => {
        await Promise.all(steps.map((step) => step(run)))
      }
    }
    case 'Flatten':
      return compilePlan(node.node, surroundings, [...path, ...node.path])
    case 'Fetch': {
      const fetch = compileFetch(node, path, surroundings)
      return fetch.required ? entityFetch(fetch, fetch.required) : rootFetch(fetch)
    }
    case 'Condition': {
      // Conditions are decided before planning; a planner may still make its own.
      const { condition, ifClause, elseClause } = node
      const [yes, no] = [ifClause, elseClause].map(
        (clause) => clause && compilePlan(clause, surroundings, path),
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
  readonly required: readonly Required[] | undefined
  readonly node: FetchNode
  /** Of the data for a root fetch, of one entity otherwise. */
  readonly shape: Shape
  readonly matches: TypeMatch
  readonly surroundings: Surroundings<TContext>
}

export function compileFetch<TContext>(
  node: FetchNode,
  path: Path,
  surroundings: Surroundings<TContext>,
): Fetch<TContext> {
  const document = node.operationDocumentNode ?? parse(node.operation, { noLocation: true })
  const definition = document.definitions.find((d) => d.kind === Kind.OPERATION_DEFINITION)
  if (!definition) throw new Error('A fetch without an operation')
  if (node.contextRewrites?.length) throw new Error('@fromContext is not supported')
  const whole = shapeOf(definition.selectionSet)
  const shape = node.requires ? whole.get('_entities') : whole
  if (!shape) throw new Error('An entity fetch without _entities')
  for (const rewrite of node.outputRewrites ?? []) {
    if (rewrite.kind === 'KeyRenamer') renameInShape(shape, rewrite.path, rewrite.renameKeyTo)
  }
  return {
    subgraph: node.serviceName,
    path,
    document,
    query: node.operation || stripIgnoredCharacters(print(document)),
    operationName: node.operationName,
    kind: definition.operation,
    variableNames: node.variableUsages ?? [],
    required: node.requires && requirements(node.requires, surroundings.realName),
    node,
    shape,
    matches: (condition, typename) =>
      typeof typename === 'string' &&
      (condition === typename || surroundings.possibleTypes(condition).has(typename)),
    surroundings,
  }
}

/** After the rewrite the value is under its own key: the merge must look for it there. */
function renameInShape(shape: Shape, path: readonly string[], key: string): void {
  let at: Shape | null | undefined = shape
  for (const element of path.slice(0, -1)) {
    if (!element.startsWith('... on ')) at = at?.get(element)
  }
  const alias = path.at(-1)
  if (!at || alias === undefined || !at.has(alias)) return
  const renamed = at.get(alias) ?? null
  const present = at.get(key)
  if (renamed && present) for (const [k, v] of renamed) present.set(k, present.get(k) ?? v)
  else at.set(key, renamed)
}

export function requestOf<TContext>(
  fetch: Fetch<TContext>,
  run: Pick<Run<TContext>, 'variables' | 'context' | 'signal'>,
  representations?: { objects: readonly Json[]; texts: readonly string[] },
): SubgraphRequest<TContext> {
  const variables: Record<string, unknown> = {}
  for (const name of fetch.variableNames) {
    if (run.variables[name] !== undefined) variables[name] = run.variables[name]
  }
  let variablesJson = JSON.stringify(variables)
  if (representations) {
    const rest = variablesJson === '{}' ? '}' : `,${variablesJson.slice(1)}`
    variablesJson = `{"representations":[${representations.texts.join(',')}]${rest}`
    variables.representations = representations.objects
  }
  return {
    document: fetch.document,
    query: fetch.query,
    operationName: fetch.operationName,
    operationKind: fetch.kind,
    variables,
    variablesJson,
    context: run.context,
    signal: run.signal,
  }
}

function rootFetch<TContext>(fetch: Fetch<TContext>): Step<TContext> {
  return async (run) => {
    const targets = fetch.path.length === 0 ? [run.data] : objectsAt(run.data, fetch.path)
    if (targets.length === 0) return
    const response = await ask(fetch, run, requestOf(fetch, run), targets)
    if (response) takeRoot(fetch, run, response, targets)
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
    for (const target of targets) mergeObject(target, data, fetch.shape, fetch.surroundings.isObject)
  } else if (!response.errors?.length) {
    failFetch(fetch, run, new SubgraphFailure('malformed'), targets)
  }
}

function entityFetch<TContext>(fetch: Fetch<TContext>, required: readonly Required[]): Step<TContext> {
  const { node, surroundings, matches } = fetch
  const limit = surroundings.maxRepresentations(fetch.subgraph)
  return async (run) => {
    const groups = new Map<string, { representation: Json; targets: Json[] }>()
    for (const target of objectsAt(run.data, fetch.path)) {
      const representation = represent(target, required, node.inputRewrites, matches)
      if (!representation) continue
      const text = JSON.stringify(representation)
      const group = groups.get(text)
      if (group) group.targets.push(target)
      else groups.set(text, { representation, targets: [target] })
    }
    if (groups.size === 0) return
    const all = [...groups]
    const batches: Promise<void>[] = []
    for (let start = 0; start < all.length; start += limit) {
      batches.push(fetchBatch(fetch, run, all.slice(start, start + limit)))
    }
    await Promise.all(batches)
  }
}

async function fetchBatch<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  batch: readonly (readonly [text: string, group: { representation: Json; targets: Json[] }])[],
): Promise<void> {
  const { node, surroundings, matches } = fetch
  const targets = batch.flatMap(([, group]) => group.targets)
  const request = requestOf(fetch, run, {
    objects: batch.map(([, group]) => group.representation),
    texts: batch.map(([text]) => text),
  })
  const response = await ask(fetch, run, request, targets)
  if (!response) return
  for (const error of response.errors ?? []) {
    const [field, index, ...inside] = error.path ?? []
    const group = field === '_entities' && typeof index === 'number' ? batch[index]?.[1] : undefined
    if (!group) {
      addError(fetch, run, error, commonPath(fetch, run, targets), undefined)
      continue
    }
    const rest = originalKeys(inside, node.outputRewrites)
    for (const place of placesOf(run.data, fetch.path, new Set(group.targets))) {
      addError(fetch, run, error, [...place, ...rest], [...place, ...rest])
    }
  }
  const entities = response.data?._entities
  if (!Array.isArray(entities) || entities.length !== batch.length) {
    if (!response.errors?.length) failFetch(fetch, run, new SubgraphFailure('malformed'), targets)
    return
  }
  for (let i = 0; i < entities.length; i++) {
    const entity: unknown = entities[i]
    if (!isObject(entity)) continue
    const group = batch[i]?.[1]
    if (!group) continue
    if (node.outputRewrites?.length) {
      if (entity.__typename === undefined) entity.__typename = group.targets[0]?.__typename
      applyRewrites(node.outputRewrites, entity, matches)
    }
    for (const target of group.targets) mergeObject(target, entity, fetch.shape, surroundings.isObject)
  }
}

/** @returns undefined when there is no answer; the client has been told then. */
async function ask<TContext>(
  fetch: Fetch<TContext>,
  run: Run<TContext>,
  request: SubgraphRequest<TContext>,
  targets: readonly Json[],
): Promise<SubgraphResponse | undefined> {
  run.signal?.throwIfAborted()
  try {
    return await fetch.surroundings.send(fetch.subgraph, request)
  } catch (error) {
    run.signal?.throwIfAborted()
    failFetch(fetch, run, error, targets)
    return undefined
  }
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

/** An error that names no field explains every null among the fields it was fetched for. */
function explainShape<TContext>(fetch: Fetch<TContext>, run: Run<TContext>): void {
  for (const key of fetch.shape.keys()) run.explanations.add([...fetch.path, key])
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
