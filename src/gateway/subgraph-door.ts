/** One subgraph as a process of its own. It believes only a signed caller; its schema it tells anyone. */

import fastify, { type FastifyRequest } from 'fastify'
import {
  type DocumentNode,
  type ExecutionArgs,
  execute,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  Kind,
  OperationTypeNode,
  subscribe,
} from 'graphql'
import { type Caller, gatewayCaller } from '../caller/caller.ts'
import { CALLER_HEADER, verifyCaller } from '../caller/signature.ts'
import type { Log } from '../observe/log.ts'
import { errorBody, requestError } from './answer.ts'
import { demandedAgeMs, demandedOf } from './cache-control.ts'
import { drainOf } from './drain.ts'
import { createPipeline } from './pipeline.ts'
import { mapped } from './reading-notes.ts'
import type { Door } from './server.ts'
import { listenWebSocket } from './websocket.ts'

export interface SubgraphDoorOptions<TContext> {
  readonly host: string
  readonly port: number
  readonly schema: GraphQLSchema
  readonly callerSecret: string
  contextFor(caller: Caller, signal?: AbortSignal, maxAgeMs?: number): TContext
  /** Told of a query before it is executed. */
  readonly onQuery?: (context: TContext, document: DocumentNode) => void
  /** What an answer was made of: for the gateway, beside the answer. */
  readonly describe?: (context: TContext) => Readonly<Record<string, unknown>>
  readonly logger: Log
}

interface Body {
  readonly query?: unknown
  readonly operationName?: string | null
  readonly variables?: Record<string, unknown> | null
}

/** The gateway has checked what the client sent; these bounds only keep a stranger out. */
const LIMITS = { maxTokens: 200_000, maxDepth: 200, maxRootFields: 1_000, introspection: true }
const MAX_BODY = 64 * 1024 * 1024

export async function openSubgraphDoor<TContext>(options: SubgraphDoorOptions<TContext>): Promise<Door> {
  const { schema, logger } = options
  const pipeline = createPipeline(LIMITS)
  const server = fastify({ bodyLimit: MAX_BODY, return503OnClosing: false })
  const drain = drainOf(server)
  server.setErrorHandler((error: Error & { code?: string; statusCode?: number }, _request, reply) => {
    const { status, body } = requestError(error)
    if (status >= 500) logger.error({ err: error }, 'a subgraph request failed')
    return reply.status(status).send(body)
  })

  /** Asking for the schema needs no caller: composition and other routers do it before anybody has asked anything. */
  const callerOf = (header: unknown, document: DocumentNode): Caller | null =>
    verifyCaller(options.callerSecret, header) ?? (asksForSchemaOnly(document) ? gatewayCaller : null)

  server.post('/graphql', async (request: FastifyRequest<{ Body: Body | null }>, reply) => {
    const { query, operationName, variables } = request.body ?? {}
    if (typeof query !== 'string')
      return reply.status(400).send(errorBody('BAD_REQUEST', 'Send {"query": "…"}.'))
    const document = pipeline.prepare(schema, query)
    if (!('kind' in document)) return reply.status(400).send({ errors: document })
    const caller = callerOf(request.headers[CALLER_HEADER], document)
    if (!caller) return reply.status(401).send(errorBody('UNAUTHENTICATED', UNSIGNED))
    const left = new AbortController()
    reply.raw.on('close', () => reply.raw.writableFinished || left.abort())
    const demanded = demandedAgeMs(request.headers['cache-control'])
    const contextValue = options.contextFor(caller, left.signal, demanded)
    const operation = getOperationAST(document, operationName)
    if (operation?.operation === OperationTypeNode.QUERY) options.onQuery?.(contextValue, document)
    const result = await execute({ schema, document, operationName, variableValues: variables, contextValue })
    const extensions = { ...result.extensions, ...options.describe?.(contextValue) }
    const answer = Object.keys(extensions).length > 0 ? { ...result, extensions } : result
    return reply.type('application/json').send(JSON.stringify(answer))
  })

  const sockets = listenWebSocket(server.server, {
    path: '/graphql',
    maxMessageBytes: MAX_BODY,
    // One connection carries many callers: each subscription names its own.
    onConnect: () => true,
    onSubscribe(_context, _id, payload) {
      const document = pipeline.prepare(schema, payload.query)
      if (!('kind' in document)) return document
      const headers = payload.extensions?.headers as Record<string, unknown> | undefined
      const caller = callerOf(headers?.[CALLER_HEADER], document)
      if (!caller) return [new GraphQLError(UNSIGNED, { extensions: { code: 'UNAUTHENTICATED' } })]
      const { operationName, variables: variableValues } = payload
      const demanded = demandedOf(undefined, headers?.['cache-control'])
      const contextValue = options.contextFor(caller, undefined, demanded)
      return { schema, document, operationName, variableValues, contextValue }
    },
    execute: (args: ExecutionArgs) => execute(args),
    async subscribe(args: ExecutionArgs) {
      const stream = await subscribe(args)
      const { describe } = options
      if (!describe || !(Symbol.asyncIterator in stream)) return stream
      return mapped(stream, (result) => ({
        ...result,
        extensions: { ...result.extensions, ...describe(args.contextValue as TContext) },
      }))
    },
  })
  await server.listen({ host: options.host, port: options.port })
  const address = server.server.address()
  const port = typeof address === 'object' && address ? address.port : options.port
  return {
    url: `http://${options.host}:${port}/graphql`,
    async close() {
      await sockets.close()
      await drain()
    },
  }
}

const UNSIGNED =
  'This subgraph answers the gateway only: the signed caller header is missing, forged or too old. Ask the gateway.'

function asksForSchemaOnly(document: DocumentNode): boolean {
  return document.definitions.every(
    (definition) =>
      definition.kind === Kind.OPERATION_DEFINITION &&
      definition.operation === OperationTypeNode.QUERY &&
      definition.selectionSet.selections.every(
        (selection) => selection.kind === Kind.FIELD && selection.name.value === '_service',
      ),
  )
}
