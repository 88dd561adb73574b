import { describe, expect, it } from 'vitest'
import { randomGraph } from './graph.ts'
import { randomOperation } from './operations.ts'
import { bench, type Case, composes, overHttp } from './run.ts'
import { type Failure, shrink } from './shrink.ts'

/** How many graphs, and the first of them: `GRAPHS=5000 GRAPH=1000 vitest run test/federation/fuzz` takes an hour. */
const graphs = Number(process.env.GRAPHS ?? 8)
const first = Number(process.env.GRAPH ?? 1)
const operationsPerGraph = 12

const rates = [
  { nulls: 0, faults: 0 },
  { nulls: 0.1, faults: 0 },
  { nulls: 0.1, faults: 0.12 },
] as const

describe('random graphs', () => {
  it(
    `are answered as graphql-js answers one schema over the same data (${graphs} from ${first})`,
    async () => {
      let [composed, compared, refused] = [0, 0, 0]
      for (let seed = first; seed < first + graphs; seed++) {
        const of: Case = { graph: randomGraph(seed), seed, rates: rates[seed % 3] ?? rates[0] }
        if (!composes(of.graph)) continue
        composed++
        const on = bench(of, seed % 4 === 0 ? overHttp : undefined)
        for (let n = 0; n < operationsPerGraph; n++) {
          const root = on.engine.schema.getMutationType() && n % 6 === 5 ? 'mutation' : 'query'
          const operation = randomOperation(on.engine.schema, seed * 1000 + n, { root })
          const wrong: string | undefined = await on.check(operation)
          if (wrong === 'invalid') continue
          compared++
          if (wrong?.startsWith('refused')) refused++
          else if (wrong)
            expect.fail(`graph ${seed}, operation ${n}: ${wrong}\n${await smallest({ ...of, operation })}`)
        }
        await on.close()
      }
      // That the dice make graphs that compose and operations that are valid is part of what is tested.
      expect(composed).toBeGreaterThan(graphs * 0.8)
      expect(compared).toBeGreaterThan(composed * operationsPerGraph * 0.4)
      // The planner itself fails at some chains of requirements, one operation in thousands.
      expect(refused).toBeLessThanOrEqual(compared / 500)
    },
    60_000 + graphs * 2_000,
  )
})

async function smallest(failure: Failure): Promise<string> {
  const { graph, operation } = await shrink(failure, 300)
  const subgraphs = Object.entries(graph).map(([name, sdl]) => `# ${name}\n${sdl}`)
  return [...subgraphs, operation.query, JSON.stringify(operation.variables)].join('\n')
}
