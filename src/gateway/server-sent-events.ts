/**
 * Operations whose results come as server-sent events, in both modes of GraphQL over SSE: a connection for each
 * operation, or one connection for all, reserved beforehand.
 *
 * The protocol's own library makes each subscriber's message for itself, keeps without a bound what a client does not
 * read, and for ever a reservation that nobody takes. So of the library there are only its names and small messages.
 *
 * @see https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
 */
import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OperationTypeNode } from 'graphql'
import { print, TOKEN_HEADER_KEY, TOKEN_QUERY_KEY } from 'graphql-sse'
import type { Caller } from '../caller/caller.ts'
import { errorBody } from './answer.ts'
import type { OperationArgs, OperationRequest, Operations } from './operations.ts'
import { type Outbox, sendAll, textOf } from './outbox.ts'
import { beginAnswer, isStream, type Results, Running, typeOf, wantsEvents, whenGone } from './streams.ts'

export interface EventStreamOptions {
  readonly path: string
  readonly operations: Operations
  /** Answers for those it does not know, and says who the others are. */
  guard(request: FastifyRequest, reply: FastifyReply): Promise<unknown>
  callerOf(request: FastifyRequest): Caller
  /** Whether the request says who is asking: a browser's EventSource cannot. */
  saysWho(request: FastifyRequest): boolean
  /** A reservation that no client takes for this long is dropped, with all that waits in it. */
  readonly reservationMs?: number
  /** Of one caller, at a time, that no client has taken yet. */
  readonly maxReservations?: number
  /** A client that takes nothing of what waits for this long is disconnected. */
  readonly patienceMs?: number
}

const RESERVATION_MS = 30_000
const MAX_RESERVATIONS = 1_000
const HEARTBEAT_MS = 12_000
/** Of one reservation, at a time: each may hold an answer that waits for the client, and counts until that is sent. */
const MAX_OPERATIONS = 1_000

/** A stream that belongs to one caller; operations may begin before its client is there, and wait for it. */
interface Reservation {
  readonly caller: Caller
  readonly operations: Map<string, Running>
  readonly outbox: PromiseWithResolvers<Outbox>
  /** Drops the reservation unless it is taken; undefined when it is. */
  expiry: NodeJS.Timeout | undefined
}

/**
 * Serves `PATH/stream`, in both modes.
 * @returns Answers an operation on a connection of its own, for other paths.
 */
export function serveEventStreams(
  server: FastifyInstance,
  options: EventStreamOptions,
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  const { operations, callerOf, patienceMs } = options
  const { reservationMs = RESERVATION_MS, maxReservations = MAX_RESERVATIONS } = options
  const reservations = new Map<string, Reservation>()

  const open = (reply: FastifyReply): Outbox =>
    beginAnswer(reply, {
      contentType: 'text/event-stream; charset=utf-8',
      heartbeat: COMMENT,
      heartbeatMs: HEARTBEAT_MS,
      ...(patienceMs === undefined ? {} : { patienceMs }),
    })

  async function answerAlone(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const asked = askedIn(request)
    if (typeof asked === 'string') return refuse(reply, 400, 'BAD_REQUEST', asked)
    const args = operations.prepare(asked, callerOf(request), request.headers['cache-control'])
    let results: Results
    if ('document' in args) {
      if (isUnsafe(request, args)) return refuseUnsafe(reply)
      const running = new Running(operations, args)
      whenGone(reply, () => running.stop())
      results = await running.begin()
    } else {
      // Not as a status: a browser's EventSource shows nothing of an answer that is no stream of events.
      results = { errors: args }
    }
    await send(results, open(reply))
    return reply.raw.end()
  }

  function reserve(request: FastifyRequest, reply: FastifyReply): unknown {
    const caller = callerOf(request)
    const waiting = [...reservations.values()].filter((one) => one.expiry && isSame(one.caller, caller))
    if (waiting.length >= maxReservations) {
      const message = `${maxReservations} streams are reserved and not taken. Open those, or wait until they expire.`
      return refuse(reply, 429, 'TOO_MANY_REQUESTS', message)
    }
    const token = randomUUID()
    reservations.set(token, {
      caller,
      operations: new Map(),
      outbox: Promise.withResolvers(),
      expiry: setTimeout(() => drop(token), reservationMs).unref(),
    })
    return reply.status(201).type('text/plain; charset=utf-8').send(token)
  }

  function drop(token: string): void {
    const reservation = reservations.get(token)
    if (!reservation) return
    reservations.delete(token)
    clearTimeout(reservation.expiry)
    for (const running of reservation.operations.values()) running.stop()
  }

  function reserved(request: FastifyRequest): Reservation | undefined {
    const reservation = reservations.get(tokenIn(request) ?? '')
    if (isTicket(request)) return reservation
    // Who says who it is must be the one who reserved.
    return reservation && isSame(reservation.caller, callerOf(request)) ? reservation : undefined
  }

  /**
   * A browser's EventSource cannot send credentials. So the reservation is made with them, and its token lets one
   * connection in, once and soon; operations are begun and ended with credentials again.
   * @see PROTOCOL.md, "Making reservations"
   */
  const isTicket = (request: FastifyRequest): boolean =>
    request.method === 'GET' &&
    wantsEvents(request) &&
    tokenIn(request) !== undefined &&
    !options.saysWho(request)

  function take(reservation: Reservation, token: string, reply: FastifyReply): unknown {
    if (!reservation.expiry) return refuse(reply, 409, 'CONFLICT', 'The stream is open already.')
    clearTimeout(reservation.expiry)
    reservation.expiry = undefined
    whenGone(reply, () => drop(token))
    reservation.outbox.resolve(open(reply))
    return reply
  }

  async function begin(reservation: Reservation, request: FastifyRequest, reply: FastifyReply) {
    const asked = askedIn(request)
    if (typeof asked === 'string') return refuse(reply, 400, 'BAD_REQUEST', asked)
    const id = String((Object(asked.extensions) as { operationId?: unknown }).operationId ?? '')
    if (id === '')
      return refuse(reply, 400, 'BAD_REQUEST', 'Send the id of the operation as "extensions.operationId".')
    const { operations: running } = reservation
    if (running.has(id))
      return refuse(reply, 409, 'CONFLICT', 'An operation with this id is running. Choose another id.')
    if (running.size >= MAX_OPERATIONS) {
      const message = `The stream carries ${MAX_OPERATIONS} operations already. Read it, or end some, or open another.`
      return refuse(reply, 429, 'TOO_MANY_REQUESTS', message)
    }
    const args = operations.prepare(asked, callerOf(request), request.headers['cache-control'])
    if (!('document' in args)) return reply.status(400).send({ errors: args })
    if (isUnsafe(request, args)) return refuseUnsafe(reply)
    const one = new Running(operations, args)
    running.set(id, one)
    const forget = () => {
      if (running.get(id) === one) running.delete(id)
    }
    let results: Results
    try {
      results = await one.begin()
    } catch (error) {
      forget()
      throw error
    }
    if (one.isStopped) return reply.status(204).send()
    void reservation.outbox.promise
      .then((outbox) => send(results, outbox, { id, running: one }))
      .finally(forget)
    return reply.status(202).send()
  }

  function end(reservation: Reservation, request: FastifyRequest, reply: FastifyReply): unknown {
    const { operationId } = Object(request.query) as { operationId?: unknown }
    if (typeof operationId !== 'string' || operationId === '')
      return refuse(reply, 400, 'BAD_REQUEST', 'Send the id of the operation as "operationId" in the URL.')
    reservation.operations.get(operationId)?.stop()
    reservation.operations.delete(operationId)
    return reply.status(200).send()
  }

  server.route({
    url: `${options.path}/stream`,
    method: ['GET', 'POST', 'PUT', 'DELETE'],
    onRequest: async (request, reply) => (isTicket(request) ? undefined : options.guard(request, reply)),
    async handler(request, reply) {
      if (request.method === 'PUT') return reserve(request, reply)
      const token = tokenIn(request)
      if (token === undefined && request.method !== 'DELETE' && wantsEvents(request))
        return answerAlone(request, reply)
      const reservation = reserved(request)
      if (!reservation || token === undefined) return refuse(reply, 404, 'NOT_FOUND', NO_STREAM)
      if (request.method === 'DELETE') return end(reservation, request, reply)
      return wantsEvents(request) ? take(reservation, token, reply) : begin(reservation, request, reply)
    },
  })
  return answerAlone
}

const NO_STREAM =
  'There is no such stream. Ask with "Accept: text/event-stream" for one of its own, or reserve one with PUT and send ' +
  'what that answers as X-GraphQL-Event-Stream-Token.'

/** Sends the results and that they are complete, which a client who stopped them knows. */
async function send(
  results: Results,
  outbox: Outbox,
  one?: { readonly id: string; readonly running: Running },
): Promise<void> {
  const frame = eventsFor(one?.id)
  if (isStream(results)) await sendAll(results, outbox, frame)
  else outbox.add(...frame(textOf(results)))
  if (!one?.running.isStopped)
    outbox.add(Buffer.from(print({ event: 'complete', data: one ? { id: one.id } : null })))
  await outbox.emptied()
}

/** The `next` events of one operation, around a result that others share: JSON has no line breaks of its own. */
function eventsFor(id: string | undefined): (text: Buffer) => readonly Buffer[] {
  if (id === undefined) return (text) => [NEXT, text, END]
  const opening = Buffer.from(`event: next\ndata: {"id":${JSON.stringify(id)},"payload":`)
  return (text) => [opening, text, CLOSING]
}

const NEXT = Buffer.from('event: next\ndata: ')
const END = Buffer.from('\n\n')
const CLOSING = Buffer.from('}\n\n')
const COMMENT = Buffer.from(':\n\n')

/** @returns What is wrong with the request, where it asks nothing that could be looked at. */
function askedIn({ method, query, body }: FastifyRequest): OperationRequest | string {
  const given = Object(method === 'GET' ? query : body) as Record<string, unknown>
  const asked = { ...given }
  for (const name of ['variables', 'extensions']) {
    const value = given[name]
    if (method === 'GET' && typeof value === 'string' && value !== '') {
      try {
        asked[name] = JSON.parse(value)
      } catch {
        return `What the URL says as "${name}" is not JSON. Send an object as JSON.`
      }
    } else if (value === '') asked[name] = undefined
    const object = asked[name] ?? {}
    if (typeof object !== 'object' || Array.isArray(object)) return `Send "${name}" as an object.`
  }
  if (typeof asked.query !== 'string' || asked.query === '') return 'Send the operation as "query".'
  if (typeof (asked.operationName ?? '') !== 'string') return 'Send "operationName" as text.'
  return asked
}

function tokenIn({ headers, query }: FastifyRequest): string | undefined {
  const given = headers[TOKEN_HEADER_KEY] ?? (Object(query) as Record<string, unknown>)[TOKEN_QUERY_KEY]
  return typeof given === 'string' && given !== '' ? given : undefined
}

const isSame = (one: Caller, other: Caller): boolean =>
  one.tenant === other.tenant && one.subject === other.subject

/** A GET may be asked again by anything on the way. */
const isUnsafe = ({ method }: FastifyRequest, args: OperationArgs): boolean =>
  method === 'GET' && typeOf(args) === OperationTypeNode.MUTATION

const refuseUnsafe = (reply: FastifyReply) =>
  refuse(reply.header('allow', 'POST'), 405, 'METHOD_NOT_ALLOWED', 'Send a mutation with POST.')

const refuse = (reply: FastifyReply, status: number, code: string, message: string) =>
  reply.status(status).send(errorBody(code, message))
