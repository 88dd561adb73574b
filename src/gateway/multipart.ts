/**
 * Subscriptions in the multipart answers that Apollo Client asks for.
 *
 * @see https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ExecutionResult } from 'graphql'
import type { Caller } from '../caller/caller.ts'
import type { OperationRequest, Operations } from './operations.ts'
import { sendAll, textOf } from './outbox.ts'
import { beginAnswer, isStream, isSubscription, Running, whenGone } from './streams.ts'

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
  const running = new Running(operations, args)
  whenGone(reply, () => running.stop())
  const results = await running.begin()
  const outbox = beginAnswer(reply, {
    contentType: 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"',
    heartbeat: Buffer.concat([PART, Buffer.from('{}')]),
    heartbeatMs: HEARTBEAT_MS,
  })
  if (isStream(results)) await sendAll(results, outbox, (text) => [PART, PAYLOAD, text, END])
  else outbox.add(PART, textOf(failure(results)))
  await outbox.emptied()
  reply.raw.end('\r\n--graphql--\r\n')
  return true
}

const PART = Buffer.from('\r\n--graphql\r\ncontent-type: application/json\r\n\r\n')
const PAYLOAD = Buffer.from('{"payload":')
const END = Buffer.from('}')

/** Errors before the first event are the transport's, not a payload's. */
const failure = ({ errors }: ExecutionResult) => ({ payload: null, errors })
