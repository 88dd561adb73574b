/** Queries, mutations and subscriptions over WebSocket, protocol `graphql-transport-ws`. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionResult, GraphQLError } from 'graphql'
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, handleProtocols, MessageType, type ServerOptions } from 'graphql-ws'
import { type Extra, useServer } from 'graphql-ws/use/ws'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Caller } from '../caller/caller.ts'
import type { Operations } from './operations.ts'

export interface WebSocketOptions {
  readonly path: string
  readonly operations: Operations
  readonly maxMessageBytes: number
  /** From the headers of the upgrade and the payload of `connection_init`; null refuses the connection. */
  authenticate(credentials: Readonly<Record<string, unknown>>, origin?: string): Caller | null
}

interface Session extends Record<PropertyKey, unknown> {
  caller?: Caller
}

export function serveWebSocket(server: Server, options: WebSocketOptions): Listening {
  const { operations, path, maxMessageBytes } = options
  return listenWebSocket(server, {
    path,
    maxMessageBytes,
    onConnect(context) {
      const { headers, socket } = context.extra.request
      const caller = options.authenticate({ ...headers, ...context.connectionParams }, socket.remoteAddress)
      if (!caller) return false
      context.extra.caller = caller
      return true
    },
    onSubscribe(context, _id, payload) {
      const { caller } = context.extra
      if (caller) return operations.prepare(payload, caller, context.connectionParams?.['cache-control'])
      return [new GraphQLError('Not authenticated.', { extensions: { code: 'UNAUTHENTICATED' } })]
    },
    onOperation(context, id, _payload, _args, result) {
      if (!(Symbol.asyncIterator in result)) return undefined
      // What the library passes on here is what `subscribe` answered.
      const results = result as AsyncIterableIterator<ExecutionResult>
      return written(results, context.extra.socket, id)
    },
    execute: operations.execute,
    subscribe: operations.subscribe,
  })
}

/** A socket that holds more than this unsent is waited for; what comes meanwhile waits in its bounded queue. */
const UNSENT_BYTES = 16_384

/**
 * Sends the results of a stream by itself and tells the library of its end alone: the library would make each
 * subscriber's message for itself, and to many who share a stream that is most of the work.
 */
function written(
  results: AsyncIterableIterator<ExecutionResult>,
  socket: WebSocket,
  id: string,
): AsyncIterableIterator<ExecutionResult, undefined> {
  let over = false
  const raw = rawSockets.get(socket)
  if (!raw) throw new Error('a WebSocket that was not opened here')
  return {
    async next() {
      for await (const result of results) {
        if (over || socket.readyState !== socket.OPEN) break
        const frame = frameOf(result, id)
        // Whole frames, as the library's own are: they can stand between each other.
        if (raw.writableLength <= UNSENT_BYTES) raw.write(frame)
        else await new Promise<void>((resolve) => raw.write(frame, () => resolve()))
      }
      return { done: true, value: undefined }
    },
    async return() {
      over = true
      await results.return?.()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** What was upgraded: a message that many get is framed once, and the library would frame it for each. */
const rawSockets = new WeakMap<WebSocket, Duplex>()

/** By result: its text, and the last frame made of it. Clients of one library often number alike. */
const texts = new WeakMap<ExecutionResult, { readonly text: string; id: string; frame: Buffer }>()

function frameOf(result: ExecutionResult, id: string): Buffer {
  const known = texts.get(result)
  if (known?.id === id) return known.frame
  const text = known?.text ?? JSON.stringify(result)
  const frame = framed(`{"id":${JSON.stringify(id)},"type":"${MessageType.Next}","payload":${text}}`)
  if (known) Object.assign(known, { id, frame })
  else texts.set(result, { text, id, frame })
  return frame
}

const FINAL_TEXT = 0x81

/** One unfragmented, uncompressed text frame of a server. @see RFC 6455 §5.2 */
function framed(text: string): Buffer {
  const length = Buffer.byteLength(text)
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length)
  frame[0] = FINAL_TEXT
  if (head === 2) frame[1] = length
  else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  frame.write(text, head)
  return frame
}

export interface Listening {
  close(): Promise<void>
}

export type ListenOptions = Pick<
  ServerOptions<Record<string, unknown>, Extra & Session>,
  'onConnect' | 'onSubscribe' | 'onOperation' | 'execute' | 'subscribe'
> & { readonly path: string; readonly maxMessageBytes: number }

/** Upgrades connections on `path` that speak the protocol, and refuses the others in words. */
export function listenWebSocket(
  server: Server,
  { path, maxMessageBytes, ...protocol }: ListenOptions,
): Listening {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    // Also because frames are made here, see below.
    perMessageDeflate: false,
    handleProtocols: (protocols) => handleProtocols(protocols),
  })
  const disposable = useServer<Record<string, unknown>, Session>(protocol, sockets)

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const offered = request.headers['sec-websocket-protocol'] ?? ''
    if (request.url?.split('?')[0] !== path) refuse(socket, '404 Not Found', `GraphQL is at ${path}.`)
    else if (!offered.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL)) {
      refuse(socket, '400 Bad Request', `Speak ${GRAPHQL_TRANSPORT_WS_PROTOCOL} here.`)
    } else {
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        rawSockets.set(webSocket, socket)
        sockets.emit('connection', webSocket, request)
      })
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
  // Node leaves an upgraded socket to us, errors included: unheard, a client's reset would end the process.
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${words.length}\r\n\r\n${words}`)
}
