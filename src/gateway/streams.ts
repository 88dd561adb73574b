/** What long answers over plain HTTP have in common, whichever protocol their messages follow. */
import type { Server } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ExecutionResult, getOperationAST, OperationTypeNode } from 'graphql'
import type { ResultStream } from '../federation/event-stream.ts'
import type { OperationArgs, Operations } from './operations.ts'
import { Outbox } from './outbox.ts'

/** Whether the client would rather have an event stream than one answer. */
export const wantsEvents = (request: FastifyRequest): boolean =>
  /text\/event-stream/.test(request.headers.accept ?? '')

/** Whether the client speaks the multipart subscription protocol; it says so with every operation. */
export const wantsParts = (request: FastifyRequest): boolean =>
  request.method === 'POST' && /multipart\/mixed[^,]*subscriptionSpec/i.test(request.headers.accept ?? '')

export const typeOf = ({ document, operationName }: OperationArgs): OperationTypeNode | undefined =>
  getOperationAST(document, operationName)?.operation

export const isSubscription = (args: OperationArgs): boolean =>
  typeOf(args) === OperationTypeNode.SUBSCRIPTION

export type Results = ResultStream | ExecutionResult

/** An operation on its way to a client who may leave at any time. */
export class Running {
  readonly #operations: Operations
  readonly #args: OperationArgs
  #results: Results | undefined

  constructor(operations: Operations, args: OperationArgs) {
    this.#operations = operations
    this.#args = args
  }

  async begin(): Promise<Results> {
    const args = this.#args
    const results = isSubscription(args)
      ? await this.#operations.subscribe(args)
      : await this.#operations.execute(args)
    this.#results = results
    // What came too late to be stopped.
    if (this.isStopped) this.stop()
    return results
  }

  get isStopped(): boolean {
    return this.#args.contextValue.end.signal.aborted
  }

  stop(): void {
    this.#args.contextValue.end.abort()
    if (this.#results && isStream(this.#results)) void this.#results.return?.()
  }
}

export const isStream = (results: Results): results is ResultStream => Symbol.asyncIterator in results

/** Calls when the client is gone: at once where it left already, and its leaving will not be told again. */
export function whenGone({ raw }: FastifyReply, call: () => void): void {
  if (raw.destroyed) call()
  else raw.once('close', call)
}

export interface LongAnswer {
  readonly contentType: string
  /** Sent at once, and when nothing else waits to be sent: so that nobody on the way takes the connection for dead. */
  readonly heartbeat: Buffer
  readonly heartbeatMs: number
  /** A client that takes nothing of what waits for this long is disconnected. Longer than a heartbeat's time. */
  readonly patienceMs?: number
}

/** Long enough to read why one was cut off, and no longer: what waits for the client is kept so long. */
const PATIENCE_MS = 60_000

/** Begins the answer; what it consists of goes through the outbox, and whoever began it ends it. */
export function beginAnswer(reply: FastifyReply, answer: LongAnswer): Outbox {
  reply.hijack()
  const { raw } = reply
  const outbox = new Outbox(raw, () => !raw.destroyed && !raw.writableEnded)
  // The client left while its operation began.
  if (raw.destroyed) return outbox
  raw.writeHead(200, {
    'content-type': answer.contentType,
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  })
  const heartbeat = setInterval(() => {
    if (outbox.isEmpty) outbox.add(answer.heartbeat)
  }, answer.heartbeatMs)
  // Node counts the time since the socket last took or gave anything.
  raw.setTimeout(answer.patienceMs ?? PATIENCE_MS, () => raw.destroy())
  // The head goes with the first of the body, and some browsers want some of that, too.
  outbox.add(answer.heartbeat)
  const end = () => {
    outbox.write()
    raw.end()
  }
  const ends = endsOf(reply.server)
  ends.add(end)
  raw.once('finish', () => clearInterval(heartbeat))
  raw.once('close', () => {
    clearInterval(heartbeat)
    ends.delete(end)
    // Nobody is left to be waited for.
    outbox.write()
  })
  return outbox
}

/**
 * For a server that is about to close: what is made already is still told, and answers end, though not as if they were
 * complete. Their clients see that they should ask elsewhere.
 */
export function endAnswers(server: FastifyInstance): void {
  for (const end of endsOf(server)) end()
}

const allEnds = new WeakMap<Server, Set<() => void>>()

/** What ends each of the answers that a server is giving. */
function endsOf({ server }: FastifyInstance): Set<() => void> {
  const known = allEnds.get(server)
  if (known) return known
  const ends = new Set<() => void>()
  allEnds.set(server, ends)
  return ends
}
