/** The public door: HTTP and WebSocket at `/graphql`, webhooks of the systems, the explorer, health. */
import type { IncomingMessage } from 'node:http'
import { ApolloServer, type ApolloServerPlugin } from '@apollo/server'
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginLandingPageDisabled,
} from '@apollo/server/plugin/disabled'
import { fastifyApolloDrainPlugin, fastifyApolloHandler } from '@as-integrations/fastify'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { DocumentNode, GraphQLSchema } from 'graphql'
import type { Caller } from '../caller/caller.ts'
import { stringifyAnswer } from '../federation/answer.ts'
import { apolloGateway } from '../federation/apollo.ts'
import type { Engine } from '../federation/engine.ts'
import type { Log } from '../observe/log.ts'
import { errorBody, requestError } from './answer.ts'
import { cacheControlHeader, demandedAgeMs, demandedOf } from './cache-control.ts'
import { type Authenticate, saysWho } from './callers.ts'
import { drainOf } from './drain.ts'
import { type Example, serveExplorer } from './explorer.ts'
import { checkNesting, sizeError } from './limits.ts'
import { answerInParts } from './multipart.ts'
import { createOperations } from './operations.ts'
import type { Pipeline } from './pipeline.ts'
import { answerPost, type PostOptions, plainRequest } from './post.ts'
import { serveEventStreams } from './server-sent-events.ts'
import { endAnswers, wantsEvents, wantsParts } from './streams.ts'
import { serveWebSocket } from './websocket.ts'

export interface DoorOptions<TContext extends object> {
  readonly host: string
  readonly port: number
  readonly maxBodyBytes: number
  /** A request that takes longer than this to arrive is given up, in milliseconds. Default: 30,000. */
  readonly arrivalMs?: number
  readonly engine: Engine<TContext>
  readonly pipeline: Pipeline
  readonly authenticate: Authenticate
  /** @param maxAgeMs What the client said of how new the answer must be. */
  contextFor(caller: Caller, signal: AbortSignal, maxAgeMs?: number): TContext
  /** What an answer was made of, once it is made. */
  readonly describe?: (context: TContext) => AnswerNotes
  /** Seconds that the schema lets an answer be kept. */
  readonly maxAgeOf?: (schema: GraphQLSchema, document: DocumentNode, operationName?: string | null) => number
  /** Marks every answer of the demo, so that nobody takes it for the real thing. */
  readonly demo: boolean
  readonly introspection: boolean
  readonly examples: readonly Example[]
  readonly webhook?: {
    receive(system: string, headers: Record<string, string | undefined>, body: Buffer): Promise<WebhookAnswer>
    tooLarge(system: string): void
  }
  readonly logger: Log
}

export interface AnswerNotes {
  readonly extensions: Readonly<Record<string, unknown>>
  /** Milliseconds since 1970 until which all of it holds; null where that cannot be said. */
  readonly freshUntil: number | null
}

export interface WebhookAnswer {
  readonly status: number
  readonly body: unknown
}

export interface Door {
  readonly url: string
  close(): Promise<void>
}

const PATH = '/graphql'
const ARRIVAL_MS = 30_000
const CHECK_MS = 10_000

export async function openDoor<TContext extends object>(options: DoorOptions<TContext>): Promise<Door> {
  const { engine, pipeline, logger } = options
  const { arrivalMs = ARRIVAL_MS } = options
  const server = fastify({
    bodyLimit: options.maxBodyBytes,
    return503OnClosing: false,
    // Fastify would wait for ever: connections that bring a byte now and then cost their sender nothing.
    requestTimeout: arrivalMs,
    http: { headersTimeout: arrivalMs, connectionsCheckingInterval: Math.min(arrivalMs, CHECK_MS) },
  })
  const drain = drainOf(server)
  // What is no JSON is refused by its type, not by what it says.
  server.removeContentTypeParser('text/plain')
  const signals = new WeakMap<TContext, AbortSignal>()
  const extensions = options.demo ? { demo: true } : undefined
  const notesOf = createNotesOf(options, extensions)
  const marked = (body: object) => (extensions ? { ...body, extensions } : body)

  const apollo = new ApolloServer<TContext>({
    gateway: apolloGateway<TContext>(engine, (context) => signals.get(context), { asText: true }),
    stringifyResult: stringifyAnswer,
    introspection: options.introspection,
    includeStacktraceInErrorResponses: false,
    // What another page can have a browser send without being asked first is a GET: a query, whose answer that page
    // cannot read, and never with credentials, which are headers. A POST needs a JSON body, which no form sends.
    csrfPrevention: false,
    validationRules: [...pipeline.rules],
    parseOptions: { maxTokens: pipeline.limits.maxTokens },
    stopOnTerminationSignals: false,
    logger: quiet(logger),
    plugins: [
      fastifyApolloDrainPlugin(server),
      ApolloServerPluginCacheControlDisabled(),
      // Its page is made of scripts from elsewhere; the explorer is at /.
      ApolloServerPluginLandingPageDisabled(),
      markAnswers(notesOf),
    ],
    formatError: (formatted, error) => sizeError(error, pipeline.limits)?.toJSON() ?? formatted,
  })
  await apollo.start()

  server.setErrorHandler((error: Error & { code?: string; statusCode?: number }, _request, reply) => {
    const { status, body } = requestError(error)
    if (status >= 500) logger.error({ err: error }, 'a request failed')
    return reply.status(status).send(marked(body))
  })
  server.setNotFoundHandler((_request, reply) =>
    reply
      .status(404)
      .send(
        marked(errorBody('NOT_FOUND', `There is nothing here. The graph is at ${PATH}, the explorer at /.`)),
      ),
  )

  const callers = new WeakMap<FastifyRequest, Caller>()
  const guard = async (request: FastifyRequest, reply: FastifyReply) => {
    const caller = options.authenticate(request.headers, request.ip)
    if (!caller) {
      const message =
        'Say who you are: send "Authorization: Bearer KEY" or "X-API-Key: KEY" with a key of this gateway.'
      return reply.status(401).send(marked(errorBody('UNAUTHENTICATED', message)))
    }
    callers.set(request, caller)
  }
  const callerOf = (request: FastifyRequest): Caller => {
    const caller = callers.get(request)
    if (!caller) throw new Error('the guard did not run')
    return caller
  }
  const operations = createOperations({
    engine,
    pipeline,
    contextFor: options.contextFor,
    always: extensions,
    extensionsOf: (context) => options.describe?.(context).extensions ?? {},
  })
  const contextFor = (request: FastifyRequest, reply: FastifyReply) => {
    const signal = leavingSignal(reply)
    const context = options.contextFor(
      callerOf(request),
      signal,
      demandedOf((request.body as { extensions?: unknown } | null | undefined)?.extensions) ??
        demandedAgeMs(request.headers['cache-control']),
    )
    return { context, signal }
  }
  const post = { engine, pipeline, contextFor, notesOf }
  const answerByApollo = fastifyApolloHandler(apollo, {
    async context(request, reply) {
      const { context, signal } = contextFor(request, reply)
      signals.set(context, signal)
      return context
    },
  })
  const answerWithEvents = serveEventStreams(server, {
    path: PATH,
    operations,
    guard,
    callerOf,
    saysWho: ({ headers }) => saysWho(headers),
  })
  server.route({
    url: PATH,
    method: ['GET', 'POST'],
    // Before the body is read: strangers are not listened to.
    onRequest: [async (request, reply) => (isVisit(request) ? reply.redirect('/', 303) : undefined), guard],
    async preHandler(request, reply) {
      if (wantsEvents(request)) await answerWithEvents(request, reply)
      else if (wantsParts(request)) await answerInParts(operations, request, reply, callerOf(request))
    },
    handler: (request, reply) => {
      const plain = plainRequest(request)
      if (plain) return answerPost(post, plain, request, reply)
      // Before Apollo Server's parser, which has no such check of its own.
      const source = sourceOf(request)
      const deep = source === undefined ? null : checkNesting(source, pipeline.limits)
      if (deep) return reply.status(400).send(marked({ errors: [deep.toJSON()] }))
      return answerByApollo.call(server, request, reply)
    },
  })
  server.route({
    url: PATH,
    method: ['PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    handler: (_request, reply) =>
      reply
        .status(405)
        .header('allow', 'GET, POST')
        .send(marked(errorBody('METHOD_NOT_ALLOWED', 'Operations are asked with POST or GET.'))),
  })
  server.get('/health', async () => ({ status: 'ok' }))
  serveWebhooks(server, options)
  serveExplorer(server, options.examples)

  const sockets = serveWebSocket(server.server, {
    path: PATH,
    operations,
    maxMessageBytes: options.maxBodyBytes,
    authenticate: options.authenticate,
  })
  await server.listen({ host: options.host, port: options.port })
  const address = server.server.address()
  const port = typeof address === 'object' && address ? address.port : options.port
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`,
    async close() {
      await sockets.close()
      endAnswers(server)
      await drain()
      await apollo.stop()
    },
  }
}

/** A system's own door: the signature covers the bytes as they came, so the body stays unread. */
function serveWebhooks<TContext extends object>(
  server: FastifyInstance,
  options: DoorOptions<TContext>,
): void {
  const { webhook } = options
  if (!webhook) return
  server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    scope.setErrorHandler((error: Error & { code?: string }, request, reply) => {
      if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
        webhook.tooLarge((request.params as { system: string }).system)
      const { status, body } = requestError(error)
      if (status >= 500) options.logger.error({ err: error }, 'a webhook failed')
      return reply.status(status).send(body)
    })
    // CloudEvents asks first whether it may send here. The answer is the same for every name, so that nobody learns from
    // it which systems there are: what is sent afterwards is believed for its credentials alone. The callback that may
    // be named is not called, since who can ask here could make the gateway call anywhere.
    // @see CloudEvents, HTTP 1.1 Web Hooks for Event Delivery, section 4
    scope.options('/webhooks/:system', async (request, reply) => {
      reply.header('allow', 'POST')
      const origin = request.headers['webhook-request-origin']
      if (typeof origin === 'string' && origin !== '') {
        reply.header('webhook-allowed-origin', origin)
        reply.header('webhook-allowed-rate', '*')
      }
      return reply.status(200).send()
    })
    scope.post('/webhooks/:system', async (request, reply) => {
      const { system } = request.params as { system: string }
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const answer = await webhook.receive(system, oneEach(request.headers), body)
      return reply.status(answer.status).send(answer.body)
    })
  })
}

const oneEach = (headers: IncomingMessage['headers']): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  )

function sourceOf(request: FastifyRequest): string | undefined {
  const from = request.method === 'GET' ? request.query : request.body
  const query = (from as { query?: unknown } | null | undefined)?.query
  return typeof query === 'string' ? query : undefined
}

/** Whether somebody came with a browser to see what is here. */
const isVisit = ({ method, headers, query }: FastifyRequest): boolean =>
  method === 'GET' && /\btext\/html\b/.test(headers.accept ?? '') && Object.keys(Object(query)).length === 0

/** Aborted when the client is gone before its answer was. */
function leavingSignal(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  reply.raw.on('close', () => {
    if (!reply.raw.writableFinished) left.abort()
  })
  return left.signal
}

/** Says of each answer what it was made of, and how long it may be kept. */
function createNotesOf<TContext extends object>(
  { describe, maxAgeOf }: Pick<DoorOptions<TContext>, 'describe' | 'maxAgeOf'>,
  always: Readonly<Record<string, unknown>> | undefined,
): PostOptions<TContext>['notesOf'] {
  return (executed) => {
    const notes = executed ? describe?.(executed.context) : undefined
    const keep = executed && notes && !executed.failed && maxAgeOf
    const maxAge = keep ? keep(executed.schema, executed.document, executed.operationName) : 0
    return {
      extensions: { ...always, ...notes?.extensions },
      cacheControl: cacheControlHeader(maxAge, notes?.freshUntil ?? null),
    }
  }
}

/** The same for what goes by Apollo Server. */
function markAnswers<TContext extends object>(
  notesOf: PostOptions<TContext>['notesOf'],
): ApolloServerPlugin<TContext> {
  return {
    async requestDidStart({ request }) {
      // As the engine takes it; Apollo Server would look for an operation of that name, and break where there is none.
      if (request.operationName === '') request.operationName = undefined
      return {
        async willSendResponse({ response, contextValue: context, schema, document, operationName }) {
          if (response.body.kind !== 'single') return
          const { singleResult } = response.body
          const failed = singleResult.errors !== undefined
          const { extensions, cacheControl } = notesOf(
            document ? { context, schema, document, operationName, failed } : null,
          )
          const all = { ...singleResult.extensions, ...extensions }
          if (Object.keys(all).length > 0) singleResult.extensions = all
          response.http.headers.set('cache-control', cacheControl)
        },
      }
    },
  }
}

/** Apollo Server greets at start; only what goes wrong is worth a line. */
const quiet = (logger: Log) => ({
  debug: () => {},
  info: () => {},
  warn: (message?: unknown) => logger.warn(String(message)),
  error: (message?: unknown) => logger.error(String(message)),
})
