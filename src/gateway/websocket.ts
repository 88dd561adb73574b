/** Queries, mutations and subscriptions over WebSocket, protocol `graphql-transport-ws`. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionResult, GraphQLError } from 'graphql'
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, handleProtocols, MessageType, type ServerOptions } from 'graphql-ws'
import { type Extra, useServer } from 'graphql-ws/use/ws'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Caller } from '../caller/caller.ts'
import type { ResultStream } from '../federation/event-stream.ts'
import type { Operations } from './operations.ts'
import { Outbox, sendAll } from './outbox.ts'

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
      return written(result as ResultStream, context.extra.socket, id)
    },
    execute: operations.execute,
    subscribe: operations.subscribe,
  })
}

/**
 * Sends the results of a stream by itself and tells the library of its end alone: the library would make each
 * subscriber's message for itself and write it for itself, and to many who share a stream that is most of the work.
 */
function written(
  results: ResultStream,
  socket: WebSocket,
  id: string,
): AsyncIterableIterator<ExecutionResult, undefined> {
  const outbox = outboxes.get(socket)
  if (!outbox) throw new Error('a WebSocket that was not opened here')
  const done = { done: true, value: undefined } as const
  const frame = framesFor(id)
  return {
    async next() {
      // The library says "complete" after that.
      await sendAll(results, outbox, frame)
      return done
    },
    async return() {
      await results.return?.()
      return done
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** Frames of ours are whole, as the library's own are: they can stand between each other. */
const outboxes = new WeakMap<WebSocket, Outbox>()

const FINAL_TEXT = 0x81
const CLOSING = Buffer.from('}')

/**
 * The `next` messages of one operation: each an unfragmented, uncompressed text frame of a server.
 *
 * @returns Makes a frame, in pieces, around a result that others share.
 * @see RFC 6455 §5.2
 */
function framesFor(id: string): (payload: Buffer) => readonly Buffer[] {
  const opening = Buffer.from(`{"id":${JSON.stringify(id)},"type":"${MessageType.Next}","payload":`)
  // Results of one operation are often equally long.
  let length = -1
  let head = opening
  return (payload) => {
    if (payload.length !== length) {
      length = payload.length
      head = Buffer.concat([frameHead(opening.length + length + CLOSING.length), opening])
    }
    return [head, payload, CLOSING]
  }
}

function frameHead(length: number): Buffer {
  if (length < 126) return Buffer.of(FINAL_TEXT, length)
  const head = Buffer.alloc(length < 65_536 ? 4 : 10)
  head[0] = FINAL_TEXT
  if (head.length === 4) {
    head[1] = 126
    head.writeUInt16BE(length, 2)
  } else {
    head[1] = 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return head
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
        outboxes.set(webSocket, new Outbox(socket, () => webSocket.readyState === webSocket.OPEN))
        sockets.emit('connection', webSocket, request)
      })
    }
  }
  server.on('upgrade', upgrade)
  return {
    async close() {
      server.off('upgrade', upgrade)
      for (const client of sockets.clients) {
        // What is made already is still told.
        outboxes.get(client)?.write()
        client.close(1001, 'Going away')
      }
      await disposable.dispose()
    },
  }
}

function refuse(socket: Duplex, status: string, words: string): void {
  // Node leaves an upgraded socket to us, errors included: unheard, a client's reset would end the process.
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${words.length}\r\n\r\n${words}`)
}
