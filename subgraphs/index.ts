/** The built-in subgraphs: what each says of itself, and the schema that executes it. */
import { readFileSync } from 'node:fs'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type DocumentNode, type GraphQLSchema, parse } from 'graphql'
import { crmResolvers } from './crm/resolvers.ts'
import { erpResolvers } from './erp/resolvers.ts'
import { financeResolvers } from './finance/resolvers.ts'
import type { Rooms } from './kit/context.ts'
import { scalars } from './kit/scalars.ts'
import { operationsResolvers } from './operations/resolvers.ts'
import { tmsResolvers } from './tms/resolvers.ts'
import { wmsResolvers } from './wms/resolvers.ts'

export const SUBGRAPHS = ['crm', 'erp', 'wms', 'finance', 'operations', 'tms'] as const
export type SubgraphName = (typeof SUBGRAPHS)[number]

/** Where a subgraph listens as a process of its own, unless told otherwise; also the address in the supergraph. */
export const subgraphPort = (name: SubgraphName): number => 4101 + SUBGRAPHS.indexOf(name)

const resolversOf: Readonly<Record<SubgraphName, (rooms: Rooms) => object>> = {
  crm: crmResolvers,
  erp: erpResolvers,
  wms: wmsResolvers,
  finance: financeResolvers,
  operations: operationsResolvers,
  tms: tmsResolvers,
}

const file = (name: string): string =>
  readFileSync(new URL(`../schema/${name}.graphql`, import.meta.url), 'utf8')

/** What the subgraph serves at `_service`: the shared part and its own. */
export function subgraphSdl(name: SubgraphName): DocumentNode {
  return parse(`${file('common')}\n${file(name)}`)
}

/** What composition is told of them. */
export const builtInServices = () =>
  SUBGRAPHS.map((name) => ({
    name,
    typeDefs: subgraphSdl(name),
    url: `http://127.0.0.1:${subgraphPort(name)}/graphql`,
  }))

export const supergraphFile = new URL('../schema/supergraph.graphql', import.meta.url)

export function subgraphSchema(name: SubgraphName, rooms: Rooms): GraphQLSchema {
  const resolvers = { ...scalars, ...resolversOf[name](rooms) }
  return buildSubgraphSchema({ typeDefs: subgraphSdl(name), resolvers: resolvers as never })
}
