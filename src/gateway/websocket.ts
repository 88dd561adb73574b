/** Queries, mutations and subscriptions over WebSocket, protocol `graphql-transport-ws`. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql'
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, handleProtocols, type ServerOptions } from 'graphql-ws'
import { type Extra, useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import type { Caller } from '../caller/caller.ts'
import type { Engine } from '../federation/engine.ts'
import type { Pipeline } from './pipeline.ts'

export interface WebSocketOptions<TContext> {
  readonly path: string
  readonly engine: Engine<TContext>
  readonly pipeline: Pipeline
  readonly maxMessageBytes: number
  /** From the headers of the upgrade and the payload of `connection_init`; null refuses the connection. */
  authenticate(credentials: Readonly<Record<string, unknown>>): Caller | null
  contextFor(caller: Caller, signal: AbortSignal): TContext
  /** Added to every result. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
}

interface Session extends Record<PropertyKey, unknown> {
  caller?: Caller
}

type EngineArgs<TContext> = ExecutionArgs & { contextValue: { context: TContext; end: AbortController } }

export function serveWebSocket<TContext>(server: Server, options: WebSocketOptions<TContext>): Listening {
  const { engine, pipeline } = options

  const argumentsOf = (source: string, operationName: unknown, variables: unknown, caller: Caller) => {
    const document = pipeline.prepare(engine.schema, source)
    if (!('kind' in document)) return document
    const end = new AbortController()
    return {
      schema: engine.schema,
      document,
      operationName: operationName as string | null | undefined,
      variableValues: variables as Record<string, unknown> | null | undefined,
      contextValue: { context: options.contextFor(caller, end.signal), end },
    } satisfies EngineArgs<TContext>
  }

  const requestOf = ({ document, operationName, variableValues, contextValue }: EngineArgs<TContext>) => ({
    document,
    operationName,
    variables: variableValues,
    context: contextValue.context,
    signal: contextValue.end.signal,
  })

  const marked = (result: ExecutionResult): ExecutionResult =>
    options.extensions ? { ...result, extensions: { ...result.extensions, ...options.extensions } } : result

  return listenWebSocket(server, {
    path: options.path,
    maxMessageBytes: options.maxMessageBytes,
    onConnect(context) {
      const caller = options.authenticate({ ...context.extra.request.headers, ...context.connectionParams })
      if (!caller) return false
      context.extra.caller = caller
      return true
    },
    onSubscribe(context, _id, payload) {
      const { caller } = context.extra
      if (!caller)
        return [new GraphQLError('Not authenticated.', { extensions: { code: 'UNAUTHENTICATED' } })]
      return argumentsOf(payload.query, payload.operationName, payload.variables, caller)
    },
    execute: async (args) => marked(await engine.execute(requestOf(args as EngineArgs<TContext>))),
    async subscribe(args) {
      const typed = args as EngineArgs<TContext>
      const stream = await engine.subscribe(requestOf(typed))
      if (!(Symbol.asyncIterator in stream)) return marked(stream)
      return endingWith(stream, marked, typed.contextValue.end)
    },
  })
}

export interface Listening {
  close(): Promise<void>
}

export type ListenOptions = Pick<
  ServerOptions<Record<string, unknown>, Extra & Session>,
  'onConnect' | 'onSubscribe' | 'execute' | 'subscribe'
> & { readonly path: string; readonly maxMessageBytes: number }

/** Upgrades connections on `path` that speak the protocol, and refuses the others in words. */
export function listenWebSocket(
  server: Server,
  { path, maxMessageBytes, ...protocol }: ListenOptions,
): Listening {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    handleProtocols: (protocols) => handleProtocols(protocols),
  })
  const disposable = useServer<Record<string, unknown>, Session>(protocol, sockets)

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const offered = request.headers['sec-websocket-protocol'] ?? ''
    if (request.url?.split('?')[0] !== path) refuse(socket, '404 Not Found', `GraphQL is at ${path}.`)
    else if (!offered.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL)) {
      refuse(socket, '400 Bad Request', `Speak ${GRAPHQL_TRANSPORT_WS_PROTOCOL} here.`)
    } else {
      sockets.handleUpgrade(request, socket, head, (webSocket) =>
        sockets.emit('connection', webSocket, request),
      )
    }
  }
  server.on('upgrade', upgrade)
  return {
    async close() {
      server.off('upgrade', upgrade)
      for (const client of sockets.clients) client.close(1001, 'Going away')
      await disposable.dispose()
    },
  }
}

function refuse(socket: Duplex, status: string, words: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${words.length}\r\n\r\n${words}`)
}

/** When the client has enough, whatever works for it is told. */
function endingWith(
  stream: AsyncIterableIterator<ExecutionResult>,
  change: (result: ExecutionResult) => ExecutionResult,
  end: AbortController,
): AsyncIterableIterator<ExecutionResult> {
  return {
    async next() {
      const { done, value } = await stream.next()
      return done ? { done, value: undefined } : { done: false, value: change(value) }
    },
    async return() {
      end.abort()
      await stream.return?.()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
