/** Everything that belongs to one supergraph and goes with it: schema, planner, transports, prepared operations. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type DocumentNode,
  GraphQLError,
  getVariableValues,
  Kind,
  NoUnusedVariablesRule,
  print,
  specifiedRules,
  validate,
} from 'graphql'
import { LRUCache } from 'lru-cache'
import type { Surroundings } from './compile.ts'
import type { EngineOptions } from './engine.ts'
import { exposeCodes } from './errors.ts'
import { type Executable, prepareExecutable } from './executable.ts'
import {
  countSelections,
  decideConditions,
  documentOf,
  type SelectedOperation,
  selectOperation,
  travelVariables,
} from './operation.ts'
import { type LoadedSupergraph, loadSupergraph, type Subgraph } from './supergraph.ts'
import { SubgraphFailure, type SubgraphTransport } from './transport.ts'
import { type Send, upstream } from './upstream.ts'

interface Link<TContext> {
  readonly subgraph: Subgraph
  readonly transport: SubgraphTransport<TContext>
  readonly send: Send<TContext>
}

/** A prepared operation, or why it cannot be prepared: asking again must not cost the planning again. */
type Prepared<TContext> = {
  readonly selected: SelectedOperation
  readonly conditions: Readonly<Record<string, unknown>>
  readonly draw: number
} & ({ readonly executable: Executable<TContext> } | { readonly refusal: GraphQLError })

/** An operation of a document the host has shown before. */
interface KnownOperation<TContext> {
  readonly selected: SelectedOperation
  /** Weak: how many plans are kept is for their own cache to say, whoever keeps the document. */
  readonly executables: Map<string, WeakRef<Executable<TContext>>>
}

/** What is wrong with a request before anything ran. */
export class Refusal extends Error {
  readonly errors: readonly GraphQLError[]
  constructor(errors: readonly GraphQLError[]) {
    super('refused')
    this.errors = errors
  }
}

/** graphql-js gives these no code; every transport is to give the same. */
function badVariable({ message, nodes, originalError, extensions }: GraphQLError): GraphQLError {
  return new GraphQLError(message, {
    nodes,
    originalError,
    extensions: { code: 'BAD_USER_INPUT', ...extensions },
  })
}

/** The same operation with other literals is another one; a client that writes them is bounded by the cache. */
const defaultPlanCacheSize = 1000
const defaultMaxSelections = 2_000
/** How large kept plans are on average, at most: a plan takes 3 kB for each selection, and some clients write thousands. */
const selectionsPerPlan = 100

/**
 * What keeping a plan costs, in selections. Introspection keeps its answer, of which a thousand selections are the
 * usual size; and the text is kept, which may be one long literal.
 */
export const weightOf = (selected: SelectedOperation, key: string): number =>
  countSelections(selected) +
  1_000 * (key.match(/\b__(?:schema|type)\b/g)?.length ?? 0) +
  Math.ceil(key.length / 1_000)

export class Generation<TContext> {
  readonly supergraph: LoadedSupergraph
  readonly links: ReadonlyMap<string, Link<TContext>>
  readonly #surroundings: Surroundings<TContext>
  readonly #maxSelections: number
  readonly #replay: NonNullable<EngineOptions<TContext>['replay']>
  readonly #prepared: LRUCache<string, Prepared<TContext>>
  /** The host hands over the same document object for the same text: no printing on the way to the plan then. */
  readonly #documents = new WeakMap<DocumentNode, Map<string, KnownOperation<TContext>>>()
  #users = 0
  #whenUnused: (() => void) | undefined

  /** @param previous Its transports go on where subgraph and URL are the same. */
  constructor(options: EngineOptions<TContext>, sdl: string, previous?: Generation<TContext>) {
    this.supergraph = loadSupergraph(sdl, { pathsLimit: options.planPathsLimit ?? 2000 })
    const plans = options.planCacheSize ?? defaultPlanCacheSize
    this.#maxSelections = options.maxSelections ?? defaultMaxSelections
    this.#prepared = new LRUCache({
      max: plans,
      maxSize: Math.max(plans * selectionsPerPlan, 10 * this.#maxSelections),
    })
    this.#replay = options.replay ?? { arguments: ['after', 'initial'], cursorField: 'cursor' }
    const links = new Map<string, Link<TContext>>()
    for (const subgraph of this.supergraph.subgraphs) {
      const { name, url } = subgraph
      const known = previous?.links.get(name)
      if (known && known.subgraph.url === url) links.set(name, known)
      else {
        const transport =
          typeof options.transports === 'function' ? options.transports(subgraph) : options.transports[name]
        if (!transport) throw new Error(`No transport for subgraph "${name}"`)
        links.set(name, { subgraph, transport, send: upstream(name, transport, options) })
      }
    }
    this.links = links
    const { maxRepresentations } = options
    this.#surroundings = {
      send: (subgraph, request) => {
        const link = links.get(subgraph)
        return link ? link.send(request) : Promise.reject(new SubgraphFailure('unreachable'))
      },
      maxRepresentations: (subgraph) =>
        Math.max(
          1,
          (typeof maxRepresentations === 'number' ? maxRepresentations : maxRepresentations?.[subgraph]) ??
            Number.POSITIVE_INFINITY,
        ),
      formatError: options.formatSubgraphError ?? exposeCodes(options.exposedCodes ?? new Set()),
      possibleTypes: this.supergraph.possibleTypes,
      isObject: this.supergraph.isObject,
      realName: this.supergraph.realName,
    }
  }

  /** @throws GraphQLError or Refusal for what is wrong with the request. */
  prepare(
    document: DocumentNode,
    operationName: string | null | undefined,
    inputs: Readonly<Record<string, unknown>>,
  ): { executable: Executable<TContext>; variables: Record<string, unknown> } {
    const known = this.#know(document, operationName)
    const { definition, conditionVariables } = known.selected
    const { coerced: variables, errors } = getVariableValues(
      this.supergraph.schema,
      definition.variableDefinitions ?? [],
      inputs,
      { maxErrors: 50 },
    )
    if (!variables) throw new Refusal(errors.map(badVariable))
    const draw = this.supergraph.drawOverride()
    const key = `${conditionVariables.map((name) => (variables[name] === true ? '1' : '0')).join('')}${draw || ''}`
    let executable = known.executables.get(key)?.deref()
    if (!executable) {
      const conditions = Object.fromEntries(
        conditionVariables.map((name) => [name, variables[name] === true]),
      )
      const prepared = this.#find(known.selected, conditions, draw)
      if ('refusal' in prepared) throw prepared.refusal
      executable = prepared.executable
      // Combinations beyond this are found again by their text.
      if (known.executables.size < 64 || known.executables.has(key))
        known.executables.set(key, new WeakRef(executable))
    }
    return { executable, variables: travelVariables(variables) }
  }

  #know(document: DocumentNode, operationName: string | null | undefined): KnownOperation<TContext> {
    let byName = this.#documents.get(document)
    if (!byName) {
      byName = new Map()
      this.#documents.set(document, byName)
    }
    const key = operationName ?? ''
    let known = byName.get(key)
    if (!known) {
      known = { selected: selectOperation(document, operationName), executables: new Map() }
      byName.set(key, known)
    }
    return known
  }

  #find(
    selected: SelectedOperation,
    conditions: Readonly<Record<string, unknown>>,
    draw: number,
  ): Prepared<TContext> {
    const count = countSelections(selected)
    if (count > this.#maxSelections) {
      throw new GraphQLError(`The operation has more than ${this.#maxSelections} selections.`, {
        extensions: { code: 'OPERATION_TOO_COMPLEX' },
      })
    }
    const operation = decideConditions(selected, conditions, this.supergraph.reservedKeys)
    // Different keys of clients can travel under the same key.
    const key = `${print(documentOf(operation))}${JSON.stringify([...operation.clientKeys])}${draw || ''}`
    let prepared = this.#prepared.get(key)
    if (!prepared) {
      try {
        const executable = prepareExecutable(
          this.supergraph,
          operation,
          this.#surroundings,
          this.#replay,
          draw,
        )
        prepared = { selected, conditions, draw, executable }
      } catch (error) {
        prepared = { selected, conditions, draw, refusal: notPlannable(error) }
      }
      this.#prepared.set(key, prepared, { size: weightOf(selected, key) })
    }
    return prepared
  }

  /**
   * Prepares what the previous generation had prepared and this schema still allows, the last used last, so that
   * the first requests after the switch find their plans. Other work goes on in between.
   */
  async warm(previous: Generation<TContext>): Promise<void> {
    for (const { selected, conditions, draw } of [...previous.#prepared.values()].reverse()) {
      await nextTurn()
      if (!this.stillValid(selected)) continue
      try {
        this.#find(selected, conditions, draw)
      } catch {
        // It was allowed before and is not now: whoever asks is told.
      }
    }
  }

  isValid(document: DocumentNode, operationName: string | null | undefined): boolean {
    return this.stillValid(selectOperation(document, operationName))
  }

  stillValid({ definition, fragments }: SelectedOperation): boolean {
    const document = { kind: Kind.DOCUMENT, definitions: [definition, ...fragments.values()] } as const
    return validate(this.supergraph.schema, document, rules, { maxErrors: 1 }).length === 0
  }

  /** Counts a request, so that its transports stay open until it has ended. */
  enter(): void {
    this.#users++
  }

  leave(): void {
    this.#users--
    if (this.#users === 0) this.#whenUnused?.()
  }

  /** Closes the transports that no other generation uses, when the last request has ended. */
  retire(successor: Generation<TContext> | undefined): Promise<void> {
    const kept = new Set([...(successor?.links.values() ?? [])].map(({ transport }) => transport))
    const close = async (): Promise<void> => {
      await Promise.all(
        [...this.links.values()].map(({ transport }) =>
          kept.has(transport) ? undefined : transport.close?.(),
        ),
      )
    }
    if (this.#users === 0) return close()
    return new Promise((resolve) => {
      this.#whenUnused = () => resolve(close())
    })
  }
}

/** Of a fragment that one operation of a document does not reach, variables may be unused. */
const rules = specifiedRules.filter((rule) => rule !== NoUnusedVariablesRule)

const ownCodes = new Set<unknown>(['OPERATION_TOO_COMPLEX', 'OPERATION_NOT_PLANNABLE'])

function notPlannable(error: unknown): GraphQLError {
  if (error instanceof GraphQLError && ownCodes.has(error.extensions.code)) return error
  const isLimit = error instanceof Error && /limit/i.test(error.message)
  return new GraphQLError(
    isLimit ? 'The operation has too many ways to be answered.' : 'The operation cannot be planned.',
    {
      originalError: error instanceof Error ? error : null,
      extensions: { code: isLimit ? 'OPERATION_TOO_COMPLEX' : 'OPERATION_NOT_PLANNABLE' },
    },
  )
}
