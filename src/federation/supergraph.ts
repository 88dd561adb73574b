/** A supergraph as the engine needs it: what clients may ask, where the subgraphs are, and who plans. */
import { operationFromDocument, type Schema, Supergraph } from '@apollo/federation-internals'
import { type PlanNode, QueryPlanner, type SubscriptionNode } from '@apollo/query-planner'
import {
  type ConstDirectiveNode,
  type DocumentNode,
  type GraphQLSchema,
  type InterfaceTypeDefinitionNode,
  isAbstractType,
  isEnumType,
  isInterfaceType,
  isObjectType,
  Kind,
  type ObjectTypeDefinitionNode,
  parse,
  visit,
} from 'graphql'
import { expandCasts, interfaceObjectsOf } from './interface-objects.ts'
import { askForTypes, narrowFieldsOf } from './narrow-types.ts'
import { mapFetches } from './plan.ts'
import { separateRequiredArguments } from './required-arguments.ts'
import { middlesOfChains, planChains } from './required-chains.ts'

export interface Subgraph {
  readonly name: string
  /** As written in the supergraph; may be empty where subgraphs run in the process. */
  readonly url: string
}

export interface LoadedSupergraph {
  readonly sdl: string
  /** What clients see: no join directives, nothing inaccessible. */
  readonly schema: GraphQLSchema
  readonly subgraphs: readonly Subgraph[]
  /** Names of fields in keys and requirements: the planner asks for them whether the client did or not. */
  readonly reservedKeys: ReadonlySet<string>
  /**
   * @param operation A document with one operation, valid by `schema`. Nothing is to be asked when no plan comes.
   * @param draw Of `drawOverride`.
   * @throws GraphQLError when the operation is beyond the planner's bounds.
   */
  plan(operation: DocumentNode, draw: number): PlanNode | SubscriptionNode | undefined
  /**
   * Decides for one request which fields come from the subgraph that is taking them over:
   * `@override(from: "a", label: "percent(20)")` for 20 of 100. Other labels stay with the subgraph that had the field.
   * @returns The percentage from which on fields have not moved; one of few, as each has plans of its own.
   */
  drawOverride(): number
  /** Object types that satisfy a type condition in any subgraph, inaccessible ones included. */
  possibleTypes(typeCondition: string): ReadonlySet<string>
  isObject(typeName: string): boolean
  /** Whether subgraphs know the object type, or the value of the enum, and clients must not. */
  isHidden(typeName: string, enumValue?: string): boolean
  /** The field that a name in a plan's requirements stands for. */
  realName(name: string): string
}

export interface PlannerLimits {
  /**
   * Paths the planner may hold for one selection. Shareable nesting multiplies them with every level.
   */
  readonly pathsLimit: number
}

/**
 * Plans compared for one operation; beyond, the planner drops the options with most hops. Its default of 10,000
 * takes a second for twelve levels that three subgraphs share, and the plan is no better.
 */
const maxEvaluatedPlans = 1000

/** Nothing in it changes once it is loaded, so engines of one process that are given the same share it. */
let last: { readonly loaded: LoadedSupergraph; readonly pathsLimit: number } | undefined

/** @throws when the SDL is no Federation 2 supergraph; nothing is kept then. */
export function loadSupergraph(sdl: string, { pathsLimit }: PlannerLimits): LoadedSupergraph {
  if (last?.loaded.sdl !== sdl || last.pathsLimit !== pathsLimit)
    last = { loaded: load(sdl, pathsLimit), pathsLimit }
  return last.loaded
}

function load(sdl: string, pathsLimit: number): LoadedSupergraph {
  const document = parse(sdl, { noLocation: true })
  const required = separateRequiredArguments(document)
  const original = Supergraph.build(document)
  const schema = original.apiSchema().toGraphQLJSSchema()
  // The planner's version has external fields that nothing requires by their own name any more.
  const forPlanner = resolvableKeysFirst(required.document)
  const supergraph =
    forPlanner === document ? original : Supergraph.build(forPlanner, { validateSupergraph: false })
  const plannerSchema: Schema = supergraph.apiSchema()
  const full = supergraph.schema.toGraphQLJSSchema()
  const planner = new QueryPlanner(supergraph, {
    exposeDocumentNodeInFetchNode: true,
    // Fragments are expanded and merged away: subgraphs parse less, and the merge below knows every key.
    reuseQueryFragments: false,
    typeConditionedFetching: false,
    debug: { pathsLimit, maxEvaluatedPlans },
  })

  const possible = new Map<string, ReadonlySet<string>>()
  for (const type of Object.values(full.getTypeMap())) {
    if (isObjectType(type)) possible.set(type.name, new Set([type.name]))
    else if (isAbstractType(type)) {
      const names = new Set([type.name, ...full.getPossibleTypes(type).map((t) => t.name)])
      if (isInterfaceType(type)) {
        for (const implementation of full.getImplementations(type).interfaces) names.add(implementation.name)
      }
      possible.set(type.name, names)
    }
  }
  const nothing: ReadonlySet<string> = new Set()
  const interfaceObjects = interfaceObjectsOf(document)
  const narrow = narrowFieldsOf(document)
  const middles = middlesOfChains(forPlanner)
  const labels = percentagesOf(document)
  const percentages = [...new Set(labels.values())].filter((p) => p > 0 && p < 100).sort((a, b) => a - b)

  return {
    sdl,
    schema,
    subgraphs: supergraph.subgraphsMetadata(),
    reservedKeys: new Set(['__typename', ...required.fields.keys(), ...fieldsInFieldSets(document)]),
    drawOverride() {
      if (percentages.length === 0) return 0
      const drawn = Math.random() * 100
      return percentages.findLast((percentage) => percentage <= drawn) ?? 0
    },
    plan(operation, draw) {
      const planned = interfaceObjects.size > 0 ? expandCasts(schema, interfaceObjects, operation) : operation
      const build = () =>
        planner.buildQueryPlan(operationFromDocument(plannerSchema, planned, { validate: false }), {
          overrideConditions: new Map([...labels].map(([label, percentage]) => [label, percentage > draw])),
        })
      const { node } = middles.size > 0 ? planChains(middles, build) : build()
      if (!node) return undefined
      const restored = required.restore(node)
      return narrow.size > 0 ? mapFetches(restored, (fetch) => [askForTypes(fetch, narrow)]) : restored
    },
    possibleTypes: (typeCondition) => possible.get(typeCondition) ?? nothing,
    isObject: (typeName) => isObjectType(full.getType(typeName)),
    isHidden(typeName, enumValue) {
      const [inner, outer] = [full.getType(typeName), schema.getType(typeName)]
      if (enumValue === undefined) return isObjectType(inner) && !outer
      return (
        isEnumType(inner) && isEnumType(outer) && !!inner.getValue(enumValue) && !outer.getValue(enumValue)
      )
    },
    realName: (name) => required.fields.get(name)?.name ?? name,
  }
}

/**
 * To come back to a subgraph with what a field requires, the planner takes the type's first key there, also one that
 * is `resolvable: false`: the subgraph is asked with a key it does not answer to.
 */
function resolvableKeysFirst(supergraph: DocumentNode): DocumentNode {
  const isResolvable = (directive: ConstDirectiveNode): boolean =>
    !directive.arguments?.some(
      ({ name, value }) => name.value === 'resolvable' && value.kind === Kind.BOOLEAN && !value.value,
    )
  const sorted = <T extends ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode>(
    type: T,
  ): T | undefined => {
    const directives = type.directives?.toSorted((a, b) => Number(isResolvable(b)) - Number(isResolvable(a)))
    const asBefore = directives?.every((directive, i) => directive === type.directives?.[i]) ?? true
    return asBefore ? undefined : { ...type, directives }
  }
  return visit(supergraph, { ObjectTypeDefinition: sorted, InterfaceTypeDefinition: sorted })
}

/** The labels of progressive overrides that name a percentage. */
function percentagesOf(supergraph: DocumentNode): ReadonlyMap<string, number> {
  const labels = new Map<string, number>()
  visit(supergraph, {
    Argument({ name, value }) {
      if (name.value !== 'overrideLabel' || value.kind !== Kind.STRING) return
      const percentage = /^percent\((\d+(?:\.\d+)?)\)$/.exec(value.value)?.[1]
      if (percentage !== undefined) labels.set(value.value, Number(percentage))
    },
  })
  return labels
}

/** All field names in the field sets of the join directives: `@key`, `@requires`, `@provides`. */
function fieldsInFieldSets(supergraph: DocumentNode): Set<string> {
  const names = new Set<string>()
  visit(supergraph, {
    Directive(directive) {
      if (directive.name.value !== 'join__type' && directive.name.value !== 'join__field') return
      for (const { name, value } of directive.arguments ?? []) {
        if (!fieldSets.has(name.value) || value.kind !== 'StringValue') continue
        visit(parse(`{${value.value}}`, { noLocation: true }), {
          Field(field) {
            names.add(field.name.value)
          },
        })
      }
    },
  })
  return names
}

const fieldSets = new Set(['key', 'requires', 'provides'])
