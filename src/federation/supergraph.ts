/** A supergraph as the engine needs it: what clients may ask, where the subgraphs are, and who plans. */
import { type Operation, operationFromDocument, type Schema, Supergraph } from '@apollo/federation-internals'
import { type QueryPlan, QueryPlanner } from '@apollo/query-planner'
import {
  type DocumentNode,
  type GraphQLSchema,
  isAbstractType,
  isInterfaceType,
  isObjectType,
  parse,
} from 'graphql'

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
  /** @throws GraphQLError when the operation is beyond the planner's bounds. */
  plan(document: DocumentNode, operationName: string | undefined): QueryPlan
  /** Object types that satisfy a type condition in any subgraph, inaccessible ones included. */
  possibleTypes(typeCondition: string): ReadonlySet<string>
  isObject(typeName: string): boolean
}

export interface PlannerLimits {
  /**
   * Paths the planner may consider for one operation. Shareable nesting multiplies them: three subgraphs and
   * eight levels take three seconds without a bound, twelve levels longer than anyone waits.
   */
  readonly pathsLimit: number
}

/** @throws when the SDL is no Federation 2 supergraph; nothing is kept then. */
export function loadSupergraph(sdl: string, limits: PlannerLimits): LoadedSupergraph {
  const supergraph = Supergraph.build(parse(sdl, { noLocation: true }))
  const apiSchema: Schema = supergraph.apiSchema()
  const schema = apiSchema.toGraphQLJSSchema()
  const full = supergraph.schema.toGraphQLJSSchema()
  const planner = new QueryPlanner(supergraph, {
    exposeDocumentNodeInFetchNode: true,
    // Fragments are expanded and merged away: subgraphs parse less, and the merge below knows every key.
    reuseQueryFragments: false,
    typeConditionedFetching: false,
    debug: { pathsLimit: limits.pathsLimit },
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

  return {
    sdl,
    schema,
    subgraphs: supergraph.subgraphsMetadata(),
    plan(document, operationName) {
      const operation: Operation = operationFromDocument(apiSchema, document, {
        validate: false,
        ...(operationName === undefined ? {} : { operationName }),
      })
      return planner.buildQueryPlan(operation)
    },
    possibleTypes: (typeCondition) => possible.get(typeCondition) ?? nothing,
    isObject: (typeName) => isObjectType(full.getType(typeName)),
  }
}
