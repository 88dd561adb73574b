import {
  type ExecutionResult,
  execute,
  type GraphQLSchema,
  Kind,
  NoUnusedVariablesRule,
  parse,
  specifiedRules,
  validate,
} from 'graphql'
import { expect, it } from 'vitest'
import { stringifyAnswer } from '../../../src/federation/answer.ts'
import { createEngine } from '../../../src/federation/engine.ts'
import { httpTransport } from '../../../src/federation/http.ts'
import { compileRead } from '../../../src/federation/read.ts'
import { compose, serve } from '../kit.ts'
import { misfit } from './conform.ts'
import { diceOf } from './dice.ts'
import { randomGraph } from './graph.ts'
import { spoil } from './hostile.ts'
import { randomOperation } from './operations.ts'
import { composes } from './run.ts'
import { World } from './world.ts'

const graphs = Number(process.env.GRAPHS ?? 4)
const first = Number(process.env.GRAPH ?? 1)
const rules = specifiedRules.filter((rule) => rule !== NoUnusedVariablesRule)

it(
  `whatever subgraphs send over HTTP, clients get JSON that their schema allows (${graphs} graphs from ${first})`,
  async () => {
    let [composed, asked] = [0, 0]
    for (let seed = first; seed < first + graphs; seed++) {
      const graph = randomGraph(seed)
      if (!composes(graph)) continue
      composed++
      const world = new World(graph, seed, { nulls: 0.05, faults: 0 })
      let dice = diceOf(seed)
      const sent: string[] = []
      const served = await Promise.all(
        Object.keys(graph).map(async (name) => {
          const schema = world.subgraph(name)
          const server = await serve(schema, async (body) => {
            const { query, variables } = JSON.parse(body)
            const answer = await execute({ schema, document: parse(query), variableValues: variables })
            const text = JSON.stringify(answer)
            const said = dice.chance(0.4) ? spoil(text, dice) : text
            sent.push(`${name}: ${query} => ${said}`)
            return { body: said }
          })
          return [name, server] as const
        }),
      )
      const supergraphSdl = compose(
        Object.fromEntries(Object.entries(graph).map(([name, sdl]) => [name, { sdl }])),
        Object.fromEntries(served.map(([name, { url }]) => [name, url])),
      )
      const engine = createEngine<object>({ supergraphSdl, transports: ({ url }) => quickTransport(url) })
      for (let n = 0; n < 8; n++) {
        const { query, variables } = randomOperation(engine.schema, seed * 1000 + n)
        const document = parse(query)
        if (validate(engine.schema, document, rules).length > 0) continue
        for (let again = 0; again < 6; again++) {
          dice = diceOf(seed * 100_000 + n * 100 + again)
          sent.length = 0
          asked++
          const answer = await engine.execute({ document, variables, context: {}, asText: again % 2 === 0 })
          const result = JSON.parse(stringifyAnswer(answer))
          const about = `${query}\n${JSON.stringify(variables)}\n${sent.join('\n')}`
          expect(wrongWith(engine.schema, document, variables, result), about).toBeUndefined()
        }
      }
      await engine.close()
      for (const [, server] of served) await server[Symbol.asyncDispose]()
    }
    expect(asked).toBeGreaterThan(composed * 10)
    expect(composed).toBeGreaterThan(graphs / 2)
  },
  60_000 + graphs * 5_000,
)

/** Reads from the first answer on as it will when the operation has been asked often, every other time. */
function quickTransport(url: string) {
  const transport = httpTransport<object>({ url })
  let calls = 0
  return {
    ...transport,
    execute(request: Parameters<typeof transport.execute>[0]) {
      const [definition] = request.document.definitions
      if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new Error('no operation')
      const read = calls++ % 2 === 0 ? compileRead(definition.selectionSet) : undefined
      return transport.execute(Object.assign(request, { read }))
    },
  }
}

/** Data of the schema; errors with messages, at places that are there. */
function wrongWith(
  schema: GraphQLSchema,
  document: ReturnType<typeof parse>,
  variables: Record<string, unknown>,
  { data, errors }: ExecutionResult,
): string | undefined {
  if (errors?.length === 0) return 'errors without an error'
  for (const { message, path = [] } of errors ?? []) {
    if (typeof message !== 'string' || message === '') return 'an error without a message'
    let value: unknown = data
    for (const element of path) {
      if (value === null) break
      if (typeof value !== 'object' || !Object.hasOwn(value as object, element))
        return `${path.join('.')} is nowhere`
      value = (value as Record<string | number, unknown>)[element]
    }
  }
  return data === undefined && !errors ? 'neither data nor errors' : misfit(schema, document, variables, data)
}
