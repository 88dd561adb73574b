/** One random graph and its operations, asked of the engine and of graphql-js. */
import { execute, NoUnusedVariablesRule, parse, specifiedRules, validate } from 'graphql'
import { stringifyAnswer } from '../../../src/federation/answer.ts'
import { createEngine, type Engine } from '../../../src/federation/engine.ts'
import { inProcessTransport } from '../../../src/federation/in-process.ts'
import type { SubgraphTransport } from '../../../src/federation/transport.ts'
import { CompositionError, compose } from '../kit.ts'
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
}

/** @throws where the graph does not compose. */
export function bench(
  { graph, seed, rates }: Case,
  transports: (world: World) => Readonly<Record<string, SubgraphTransport<object>>> = (world) =>
    Object.fromEntries(Object.keys(graph).map((name) => [name, inProcessTransport(world.subgraph(name))])),
): Bench {
  const supergraphSdl = composed(graph)
  const world = new World(graph, seed, rates)
  const engine = createEngine<object>({
    supergraphSdl,
    transports: transports(world),
    formatSubgraphError: ({ message }, subgraph) => ({ message: `${subgraph}: ${message}` }),
  })
  const oracle = new World(graph, seed, rates)
  const schema = oracle.monolith(engine.schema)
  return {
    engine,
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
