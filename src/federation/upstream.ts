/** Around every call to a subgraph: a deadline, another try where that is safe, and what was measured. */
import {
  CallSignal,
  SubgraphFailure,
  type SubgraphFailureReason,
  type SubgraphRequest,
  type SubgraphResponse,
  type SubgraphTransport,
} from './transport.ts'

/** One call to a subgraph, all tries together. */
export interface Measured<TContext> {
  readonly subgraph: string
  readonly operationKind: SubgraphRequest['operationKind']
  readonly milliseconds: number
  /** `errors`: an answer with errors in it. `cancelled`: the client left. */
  readonly outcome: 'ok' | 'errors' | 'cancelled' | SubgraphFailureReason
  /** For operators: what the failure or the first error really was. */
  readonly cause?: unknown
  readonly context: TContext
}

export interface UpstreamOptions<TContext> {
  /** For all tries of one call. Default 30 s. */
  readonly timeoutMs?: number | Readonly<Record<string, number>> | undefined
  /** Further tries of a query that got no answer. Mutations are never sent twice. Default 1. */
  readonly retries?: number | Readonly<Record<string, number>> | undefined
  readonly onFetch?: ((measured: Measured<TContext>) => void) | undefined
}

/** A request on its way: the deadline of the call is put into its signal. */
export interface OutgoingRequest<TContext> extends SubgraphRequest<TContext> {
  signal: CallSignal | undefined
}

export type Send<TContext> = (request: OutgoingRequest<TContext>) => Promise<SubgraphResponse>

export function upstream<TContext>(
  subgraph: string,
  transport: SubgraphTransport<TContext>,
  options: UpstreamOptions<TContext>,
): Send<TContext> {
  const timeoutMs = forSubgraph(options.timeoutMs, subgraph) ?? 30_000
  const retries = forSubgraph(options.retries, subgraph) ?? 1
  const { onFetch } = options

  const send: Send<TContext> = (request) =>
    call(request, transport, request.operationKind === 'query' ? retries : 0, timeoutMs)
  if (!onFetch) return send

  return async (request) => {
    const started = performance.now()
    const leaving = request.signal
    const measured = (outcome: Measured<TContext>['outcome'], cause?: unknown): void =>
      onFetch({
        subgraph,
        operationKind: request.operationKind,
        milliseconds: performance.now() - started,
        outcome,
        ...(cause === undefined ? {} : { cause }),
        context: request.context,
      })
    try {
      const response = await send(request)
      const [error] = response.errors ?? []
      measured(error ? 'errors' : 'ok', error)
      return response
    } catch (error) {
      if (leaving?.cancelled) measured('cancelled')
      else measured(error instanceof SubgraphFailure ? error.reason : 'unreachable', error)
      throw error
    }
  }
}

/** A refused connection or a restarting proxy; a babbling or slow server will not do better for being asked again. */
function mayRetry(error: unknown): boolean {
  if (!(error instanceof SubgraphFailure)) return false
  return error.reason === 'unreachable' || (error.reason === 'status' && retryable.has(error.status ?? 0))
}
const retryable = new Set([502, 503, 504])

function forSubgraph(
  value: number | Readonly<Record<string, number>> | undefined,
  subgraph: string,
): number | undefined {
  return typeof value === 'object' ? value[subgraph] : value
}

/** @param left Further tries, all within the time. */
function call<TContext>(
  request: OutgoingRequest<TContext>,
  transport: SubgraphTransport<TContext>,
  left: number,
  milliseconds: number,
): Promise<SubgraphResponse> {
  const leaving = request.signal
  return new Promise((resolve, reject) => {
    if (leaving?.cancelled) return reject(leaving.reason)
    const signal = new CallSignal()
    const client = {
      // A transport need not know the signal: whoever waits is let go in any case.
      onCancel(reason: unknown): void {
        settle()
        signal.cancel(reason)
        reject(reason)
      },
    }
    const timer = setTimeout(() => client.onCancel(new SubgraphFailure('timeout')), milliseconds)
    const settle = (): void => {
      clearTimeout(timer)
      leaving?.off(client)
    }
    const succeed = (response: SubgraphResponse): void => {
      settle()
      resolve(response)
    }
    const fail = (error: unknown): void => {
      if (left-- > 0 && !signal.cancelled && mayRetry(error)) attempt()
      else {
        settle()
        reject(error)
      }
    }
    const attempt = (): void => {
      try {
        transport.execute(request).then(succeed, fail)
      } catch (error) {
        fail(error)
      }
    }
    leaving?.on(client)
    request.signal = signal
    attempt()
  })
}
