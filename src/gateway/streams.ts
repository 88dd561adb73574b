/**
 * Subscriptions over plain HTTP: server-sent events, and the multipart answers that Apollo Client asks for.
 *
 * @see GraphQL over SSE, both modes: https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
 * @see Multipart subscriptions: https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
 */
import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ExecutionResult, getOperationAST, OperationTypeNode } from 'graphql'
import { createHandler } from 'graphql-sse/lib/use/fastify'
import type { Caller } from '../caller/caller.ts'
import type { OperationArgs, OperationRequest, Operations } from './operations.ts'
import { Outbox, textOf } from './outbox.ts'

export interface StreamOptions {
  readonly path: string
  readonly operations: Operations
  /** Answers for those it does not know, and says who the others are. */
  guard(request: FastifyRequest, reply: FastifyReply): Promise<unknown>
  callerOf(request: FastifyRequest): Caller
}

/** Serves `PATH/stream`, in both modes of GraphQL over SSE. */
export function serveEventStreams(
  server: FastifyInstance,
  options: StreamOptions,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const { operations } = options
  const handle = createHandler({
    // The library's own way reads a header that is missing as the text "undefined".
    authenticate: ({ raw }) => streamToken(raw),
    onSubscribe({ raw }, params) {
      const args = operations.prepare(
        params as OperationRequest,
        options.callerOf(raw),
        raw.headers['cache-control'],
      )
      // The library's types know graphql-js alone; it passes on what it is given.
      if ('document' in args) return args as never
      return [JSON.stringify({ errors: args }), REFUSED]
    },
    execute: operations.execute as never,
    subscribe: operations.subscribe as never,
  })
  server.route({
    url: `${options.path}/stream`,
    method: ['GET', 'POST', 'PUT', 'DELETE'],
    preHandler: options.guard,
    handler: (request, reply) => handle(request, reply),
  })
  return handle
}

const REFUSED = {
  status: 400,
  statusText: 'Bad Request',
  headers: { 'content-type': 'application/json; charset=utf-8' },
}

/** Names the stream that belongs together in single connection mode; unguessable, since who has it gets the results. */
function streamToken({ headers, query }: FastifyRequest): string {
  const { token } = (query ?? {}) as { token?: unknown }
  const given = headers['x-graphql-event-stream-token'] ?? token
  return typeof given === 'string' && given !== '' ? given : randomUUID()
}

/** Whether the client would rather have an event stream than one answer. */
export const wantsEvents = (request: FastifyRequest): boolean =>
  /text\/event-stream/.test(request.headers.accept ?? '')

/** Whether the client speaks the multipart subscription protocol; it says so with every operation. */
export const wantsParts = (request: FastifyRequest): boolean =>
  request.method === 'POST' && /multipart\/mixed[^,]*subscriptionSpec/i.test(request.headers.accept ?? '')

const HEARTBEAT_MS = 5_000

/**
 * Answers a subscription in parts.
 * @returns False where the operation is no subscription: it is for the ordinary way then.
 */
export async function answerInParts(
  operations: Operations,
  request: FastifyRequest,
  reply: FastifyReply,
  caller: Caller,
): Promise<boolean> {
  const body = (request.body ?? {}) as OperationRequest
  const args = operations.prepare(body, caller, request.headers['cache-control'])
  if (!('document' in args) || !isSubscription(args)) return false
  const stream = await operations.subscribe(args)
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    'content-type': 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  })
  const outbox = new Outbox(raw, () => !raw.destroyed)
  const send = (...payload: readonly Buffer[]): boolean => outbox.add(PART, ...payload)
  const heartbeat = setInterval(() => void send(EMPTY), HEARTBEAT_MS)
  if (Symbol.asyncIterator in stream) {
    raw.on('close', () => {
      void stream.return?.()
      // Nobody is left to be waited for.
      outbox.write()
    })
    await new Promise<void>((resolve) => {
      const more = stream.readBy({
        take(result) {
          const hasRoom = send(PAYLOAD, textOf(result), END)
          if (!hasRoom) outbox.afterwards(() => more())
          return hasRoom
        },
        end: resolve,
      })
    })
  } else {
    send(Buffer.from(JSON.stringify(failure(stream))))
  }
  clearInterval(heartbeat)
  await new Promise<void>((resolve) => outbox.afterwards(resolve))
  raw.end('\r\n--graphql--\r\n')
  return true
}

const PART = Buffer.from('\r\n--graphql\r\ncontent-type: application/json\r\n\r\n')
const PAYLOAD = Buffer.from('{"payload":')
const END = Buffer.from('}')
const EMPTY = Buffer.from('{}')

/** Errors before the first event are the transport's, not a payload's. */
const failure = (result: ExecutionResult) => ({ payload: null, errors: result.errors })

const isSubscription = ({ document, operationName }: OperationArgs): boolean =>
  getOperationAST(document, operationName)?.operation === OperationTypeNode.SUBSCRIPTION
