import { execute, Kind, NoUnusedVariablesRule, parse, specifiedRules, validate } from 'graphql'
import { describe, expect, it } from 'vitest'
import { DataText, stringifyAnswer } from '../../src/federation/answer.ts'
import { createEngine } from '../../src/federation/engine.ts'
import { httpTransport } from '../../src/federation/http.ts'
import { compileRead } from '../../src/federation/read.ts'
import { randomOperation } from './fuzz/operations.ts'
import { compose, fleet, plain, schemaOf, serve } from './kit.ts'
import { monolith, world } from './world.ts'

const rules = specifiedRules.filter((rule) => rule !== NoUnusedVariablesRule)
const argumentOf = (name: string): string | undefined =>
  ({ first: '2', upc: '"u3"', id: '"m1"', text: '"x"' })[name]

describe('random operations', () => {
  const { engine, ask } = fleet(world)
  const { schema, rootValue } = monolith(engine.schema)
  const seeds = Number(process.env.SEEDS ?? 60)
  const first = Number(process.env.SEED ?? 1)

  it(
    `get the answer that one schema over the same data gives (${seeds} operations)`,
    async () => {
      let compared = 0
      for (let seed = first; seed < first + seeds; seed++) {
        const { query, variables } = randomOperation(engine.schema, seed, { argumentOf })
        const document = parse(query)
        if (validate(schema, document, rules).length > 0) continue
        compared++
        const expected = await execute({ schema, document, variableValues: variables, rootValue })
        const actual = await engine.execute({ document, variables, context: {} })
        const written = await engine.execute({ document, variables, context: {}, asText: true })
        if (written.data) expect(written.data).toBeInstanceOf(DataText)
        // Also the order of keys: clients read JSON.
        const about = `seed ${seed}: ${query}\n${JSON.stringify(variables)}`
        expect(JSON.stringify(actual), about).toBe(JSON.stringify(expected))
        expect(stringifyAnswer(written), about).toBe(JSON.stringify(expected))
      }
      expect(compared).toBeGreaterThan(seeds / 3)
    },
    60_000 + seeds * 200,
  )

  it('get the same over HTTP, cut into batches', async () => {
    const served = await Promise.all(
      Object.entries(world).map(async ([name, source]) => [name, await serve(schemaOf(source))] as const),
    )
    const urls = Object.fromEntries(served.map(([name, { url }]) => [name, url]))
    const remote = createEngine<object>({
      supergraphSdl: compose(world, urls),
      transports: ({ url }) => {
        const transport = httpTransport<object>({ url })
        return {
          ...transport,
          execute(request) {
            // From the first answer on, as it will be when the operation has been asked often.
            const [definition] = request.document.definitions
            if (definition?.kind !== Kind.OPERATION_DEFINITION) throw new Error('no operation')
            const read = compileRead(definition.selectionSet)
            return transport.execute(
              Object.assign(request, {
                read: (bytes: Buffer) => {
                  const answer = read(bytes)
                  answers[answer ? 'read' : 'parsed']++
                  return answer
                },
              }),
            )
          },
        }
      },
      maxRepresentations: 2,
    })
    const answers = { read: 0, parsed: 0 }
    for (let seed = 5000; seed < 5030; seed++) {
      const { query, variables } = randomOperation(engine.schema, seed, { argumentOf })
      const document = parse(query)
      if (validate(schema, document, rules).length > 0) continue
      const expected = await execute({ schema, document, variableValues: variables, rootValue })
      const actual = await remote.execute({ document, variables, context: {}, asText: true })
      expect(stringifyAnswer(actual), `seed ${seed}: ${query}`).toBe(JSON.stringify(expected))
    }
    expect(answers.read).toBeGreaterThan(answers.parsed * 5)
    await remote.close()
    for (const [, server] of served) await server[Symbol.asyncDispose]()
  })

  it('are answered alike when asked again', async () => {
    const query = '{ products { name shipping related { upc discount } } }'
    expect(plain(await ask(query))).toEqual(plain(await ask(query)))
  })
})
