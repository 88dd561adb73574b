/** One random graph and its operations, asked of the engine and of graphql-js. */
import { execute, NoUnusedVariablesRule, parse, specifiedRules, validate } from 'graphql'
import { stringifyAnswer } from '../../../src/federation/answer.ts'
import { createEngine, type Engine } from '../../../src/federation/engine.ts'
import { httpTransport } from '../../../src/federation/http.ts'
import { inProcessTransport } from '../../../src/federation/in-process.ts'
import type { SubgraphTransport } from '../../../src/federation/transport.ts'
import { CompositionError, compose, serve } from '../kit.ts'
import { difference } from './compare.ts'
import type { Graph } from './graph.ts'
import type { RandomOperation } from './operations.ts'
import { type Rates, World } from './world.ts'

const rules = specifiedRules.filter((rule) => rule !== NoUnusedVariablesRule)

/** All that an answer depends on. */
export interface Case {
  readonly graph: Graph
  readonly seed: number
  readonly rates: Rates
}

export const composed = (graph: Graph): string =>
  compose(Object.fromEntries(Object.entries(graph).map(([name, sdl]) => [name, { sdl }])))

export function composes(graph: Graph): boolean {
  try {
    composed(graph)
    return true
  } catch (error) {
    if (error instanceof CompositionError) return false
    throw error
  }
}

export interface Bench {
  readonly engine: Engine<object>
  /** @returns What is wrong with the engine's answer; undefined when nothing is, `invalid` when the operation is. */
  check(operation: RandomOperation): Promise<string | 'invalid' | undefined>
  close(): Promise<void>
}

/** How subgraphs are reached. */
export interface Reach {
  readonly transports: Readonly<Record<string, SubgraphTransport<object>>>
  close?(): Promise<void>
}

const inProcess = (graph: Graph, world: World): Reach => ({
  transports: Object.fromEntries(
    Object.keys(graph).map((name) => [name, inProcessTransport(world.subgraph(name))]),
  ),
})

/** Behind servers of their own, and asked for few entities at a time. */
export function overHttp(graph: Graph, world: World): Reach {
  const links = Object.keys(graph).map((name) => {
    const link = serve(world.subgraph(name)).then((server) => ({
      server,
      transport: httpTransport<object>({ url: server.url }),
    }))
    const transport: SubgraphTransport<object> = {
      execute: async (request) => (await link).transport.execute(request),
      subscribe: async (request) => (await link).transport.subscribe(request),
      close: async () => (await link).transport.close?.(),
    }
    return { name, link, transport }
  })
  return {
    transports: Object.fromEntries(links.map(({ name, transport }) => [name, transport])),
    async close() {
      for (const { link } of links) await (await link).server[Symbol.asyncDispose]()
    },
  }
}

/** @throws where the graph does not compose. */
export function bench(
  { graph, seed, rates }: Case,
  reach: (graph: Graph, world: World) => Reach = inProcess,
): Bench {
  const supergraphSdl = composed(graph)
  const world = new World(graph, seed, rates)
  const reached = reach(graph, world)
  const engine = createEngine<object>({
    supergraphSdl,
    transports: reached.transports,
    ...(reached.close ? { maxRepresentations: 2 } : {}),
    formatSubgraphError: ({ message }, subgraph) => ({ message: `${subgraph}: ${message}` }),
  })
  const oracle = new World(graph, seed, rates)
  const schema = oracle.monolith(engine.schema)
  return {
    engine,
    async close() {
      await engine.close()
      await reached.close?.()
    },
    async check({ query, variables }) {
      const document = parse(query)
      if (validate(engine.schema, document, rules).length > 0) return 'invalid'
      const run = async (asText: boolean): Promise<string | undefined> => {
        oracle.mutations.length = 0
        world.mutations.length = 0
        const expected = await execute({ schema, document, variableValues: variables })
        const actual = await engine.execute({ document, variables, context: {}, asText })
        const text = stringifyAnswer(actual)
        const refusal = actual.errors?.find(({ extensions }) => extensions.code === 'OPERATION_NOT_PLANNABLE')
        if (refusal) return `refused: ${refusal.message} ${refusal.originalError?.message ?? ''}`
        if (!('data' in expected)) return 'data' in actual ? 'data for a bad request' : undefined
        const different = difference(expected, JSON.parse(text))
        if (different) return different
        const [wanted, done] = [oracle.mutations.join('\n'), world.mutations.join('\n')]
        // One subgraph may have been asked for several at once, before another took the answer away.
        const alike = expected.data ? wanted === done : done.startsWith(wanted)
        return alike ? undefined : `mutations\n${wanted}\n${done}`
      }
      return (await run(false)) ?? (await run(true))
    },
  }
}
