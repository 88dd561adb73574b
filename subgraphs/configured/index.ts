/** Subgraphs that systems bring along in their configuration: composed with the built-in ones when there are any. */
import { readFileSync } from 'node:fs'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type DocumentNode, type GraphQLSchema, parse } from 'graphql'
import { ConfigError } from '../../src/config/load.ts'
import type { OwnGraph } from '../../src/systems/port.ts'
import type { System } from '../../src/systems/registry.ts'
import { builtInServices, SUBGRAPHS } from '../index.ts'
import type { Rooms } from '../kit/context.ts'
import { scalars } from '../kit/scalars.ts'
import { checkOwnGraph } from './check.ts'
import { finishLists, ownResolvers } from './resolvers.ts'
import { objectTypes } from './schema.ts'

export interface ConfiguredSubgraph {
  readonly name: string
  readonly system: System
  readonly typeDefs: DocumentNode
  readonly schema: GraphQLSchema
}

/**
 * @param rooms Those beyond `systems` are entered when something is asked: whoever only composes needs no others.
 * @throws ConfigError where a schema and what is said about its fields do not fit together
 */
export function configuredSubgraphs(rooms: Pick<Rooms, 'systems'>): readonly ConfiguredSubgraph[] {
  return rooms.systems.all().flatMap((system) => {
    const { graph } = system.adapter
    return graph ? [subgraphOf(rooms as Rooms, system, graph)] : []
  })
}

function subgraphOf(rooms: Rooms, system: System, graph: OwnGraph): ConfiguredSubgraph {
  // A system may be called like a built-in subgraph.
  const name = (SUBGRAPHS as readonly string[]).includes(system.id) ? `${system.id}-own` : system.id
  const at = `systems.${system.id}.graph`
  const typeDefs = sdlOf(graph, at)
  const problems = checkOwnGraph(rooms.systems, typeDefs, graph, at)
  if (problems.length > 0) throw new ConfigError('The configuration', problems)
  try {
    const resolvers = { ...scalars, ...ownResolvers(rooms, system, graph, typeDefs) }
    const schema = buildSubgraphSchema({ typeDefs, resolvers: resolvers as never })
    finishLists(schema)
    return { name, system, typeDefs, schema }
  } catch (error) {
    throw new ConfigError('The configuration', [{ path: `${at}.sdl`, message: (error as Error).message }])
  }
}

function sdlOf({ sdl }: OwnGraph, at: string): DocumentNode {
  try {
    parse(sdl, { noLocation: true })
  } catch (error) {
    throw new ConfigError('The configuration', [
      { path: `${at}.sdl`, message: `is no GraphQL schema: ${(error as Error).message}` },
    ])
  }
  const common = readFileSync(new URL('../../schema/common.graphql', import.meta.url), 'utf8')
  const own = objectTypes(parse(sdl, { noLocation: true }))
  const answers = own.has('Mutation') || own.has('Subscription') ? Object.entries(ANSWERS) : []
  const added = answers.flatMap(([type, text]) => (own.has(type) ? [] : [text]))
  return parse([common, sdl, ...added].join('\n'))
}

/** What mutations and subscriptions answer with, in every subgraph alike. */
const ANSWERS = {
  Writeback: 'type Writeback @key(fields: "id", resolvable: false) { id: ID! }',
  FieldChange: 'type FieldChange @shareable { field: String! old: String new: String }',
}

/**
 * The supergraph of the built-in subgraphs and these. Takes about 0.15 s, so nobody composes who has none.
 * @throws ConfigError with what composition has against it
 */
export async function composeWith(configured: readonly ConfiguredSubgraph[]): Promise<string> {
  const { composeServices } = await import('@apollo/composition')
  const composed = composeServices([
    ...builtInServices(),
    ...configured.map(({ name, typeDefs }) => ({ name, typeDefs, url: '' })),
  ])
  if (composed.supergraphSdl) return composed.supergraphSdl
  const about = (message: string) =>
    configured.find(({ name }) => message.includes(`"${name}"`) || message.includes(`[${name}]`))
  throw new ConfigError(
    'The configuration',
    (composed.errors ?? []).map(({ message }) => {
      const id = (about(message) ?? configured[0])?.system.id
      return { path: `systems.${id}.graph.sdl`, message: `does not fit into the graph: ${message}` }
    }),
  )
}
