/** What these tests share: subgraphs from SDL and resolvers, in the process or behind HTTP on loopback. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { composeServices } from '@apollo/composition'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type ExecutionResult, execute, type GraphQLSchema, parse, validate } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { createEngine, type Engine, type EngineOptions } from '../../src/federation/engine.ts'
import { inProcessTransport } from '../../src/federation/in-process.ts'
import type { SubgraphRequest, SubgraphTransport } from '../../src/federation/transport.ts'

// biome-ignore lint/suspicious/noExplicitAny: resolvers of test subgraphs are written by hand, next to their SDL
export type Resolvers = Record<string, any>

export interface SubgraphSource {
  readonly sdl: string
  readonly resolvers?: Resolvers
}

const link =
  'extend schema @link(url: "https://specs.apollo.dev/federation/v2.7", import: ["@key", "@requires", "@provides", "@external", "@shareable", "@override", "@inaccessible", "@interfaceObject", "@tag", "@extends"])\n'

export const documentOf = (sdl: string) =>
  parse(sdl.includes('@link(') || sdl.startsWith('# v1') ? sdl : link + sdl)

/** The subgraphs do not fit together. */
export class CompositionError extends Error {}

export function compose(
  sources: Readonly<Record<string, SubgraphSource>>,
  urls: Record<string, string> = {},
): string {
  const result = composeServices(
    Object.entries(sources).map(([name, { sdl }]) => ({
      name,
      url: urls[name] ?? `http://${name}.invalid`,
      typeDefs: documentOf(sdl),
    })),
  )
  if (result.errors) throw new CompositionError(result.errors.map((e) => e.message).join('\n'))
  return result.supergraphSdl
}

export const schemaOf = ({ sdl, resolvers = {} }: SubgraphSource): GraphQLSchema =>
  buildSubgraphSchema({ typeDefs: documentOf(sdl), resolvers })

/** What was asked of which subgraph. */
export interface Asked {
  readonly subgraph: string
  readonly query: string
  readonly variables: Readonly<Record<string, unknown>> | undefined
}

export interface Fleet {
  readonly engine: Engine<unknown>
  readonly asked: Asked[]
  ask(
    query: string,
    variables?: Record<string, unknown>,
    more?: { context?: unknown; operationName?: string; signal?: AbortSignal; asText?: boolean },
  ): Promise<ExecutionResult>
}

/** Subgraphs in the process, recorded. */
export function fleet(
  sources: Readonly<Record<string, SubgraphSource>>,
  options: Partial<EngineOptions<unknown>> = {},
  wrap: (name: string, transport: SubgraphTransport<unknown>) => SubgraphTransport<unknown> = (_, t) => t,
): Fleet {
  const asked: Asked[] = []
  const transports = Object.fromEntries(
    Object.entries(sources).map(([name, source]) => {
      const transport = wrap(name, inProcessTransport<unknown>(schemaOf(source)))
      const record = (request: SubgraphRequest): void => {
        // What goes over HTTP must say the same as what goes to a schema in the process.
        const json = JSON.stringify(request.variables ?? {})
        if (
          JSON.stringify(sorted(JSON.parse(request.variablesJson ?? '{}'))) !==
          JSON.stringify(sorted(JSON.parse(json)))
        ) {
          throw new Error(`variablesJson ${request.variablesJson} is not ${json}`)
        }
        asked.push({ subgraph: name, query: request.query, variables: request.variables })
      }
      const recorded: SubgraphTransport<unknown> = {
        ...transport,
        execute(request) {
          record(request)
          return transport.execute(request)
        },
        subscribe(request) {
          record(request)
          return transport.subscribe(request)
        },
      }
      return [name, recorded]
    }),
  )
  const engine = createEngine<unknown>({ supergraphSdl: compose(sources), transports, ...options })
  return { engine, asked, ask: asker(engine) }
}

export function asker(engine: Engine<unknown>): Fleet['ask'] {
  return async (query, variables, more = {}) => {
    const document = parse(query)
    const errors = validate(engine.schema, document)
    if (errors.length > 0) return { errors }
    return engine.execute({ document, variables, context: {}, ...more })
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  )
}

export interface Served extends AsyncDisposable {
  readonly url: string
  readonly requests: { headers: NodeJS.Dict<string | string[]>; body: string }[]
  /** Cuts every WebSocket. */
  dropSockets(): void
  readonly sockets: () => number
}

/** One subgraph as a real server: HTTP, and `graphql-transport-ws` on the same port. */
export async function serve(
  schema: GraphQLSchema,
  intercept?: (
    body: string,
  ) => Promise<{ status?: number; body: string } | undefined> | { status?: number; body: string } | undefined,
): Promise<Served> {
  const requests: Served['requests'] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    requests.push({ headers: request.headers, body })
    const instead = await intercept?.(body)
    if (instead) {
      response.writeHead(instead.status ?? 200, { 'content-type': 'application/json' }).end(instead.body)
      return
    }
    const { query, variables, operationName } = JSON.parse(body)
    const document = parse(query)
    const errors = validate(schema, document)
    const result =
      errors.length > 0
        ? { errors }
        : await execute({
            schema,
            document,
            variableValues: variables,
            operationName,
            contextValue: { headers: request.headers },
          })
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result))
  })
  const sockets = new WebSocketServer({ server })
  const disposable = useServer({ schema, context: (_, __, payload) => ({ ...payload }) }, sockets)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/graphql`,
    requests,
    dropSockets: () => {
      for (const socket of sockets.clients) socket.terminate()
    },
    sockets: () => sockets.clients.size,
    async [Symbol.asyncDispose]() {
      await disposable.dispose()
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Data and messages, without the class names and null prototypes that comparisons trip over. */
export const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value))
