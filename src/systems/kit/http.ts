/**
 * The one way out to business systems: axios on kept-alive sockets, every ending told apart by what the asker
 * should do next.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import type { Duplex } from 'node:stream'
import axios, { type AxiosError, type AxiosInstance } from 'axios'
import { type CallScope, callScope, type Exchange } from '../call-scope.ts'
import { SourceError, type SourceFailure } from '../failure.ts'

export interface HttpOptions {
  readonly baseUrl: string
  /** The whole exchange, connection included. */
  readonly timeoutMs: number
  /** A longer answer is refused while it arrives. Default 32 MiB. */
  readonly maxBodyBytes?: number
  /** Sockets kept open to this system. */
  readonly maxSockets?: number
  /** Self-signed certificates are common on premises. Default true: they are refused. */
  readonly verifyCertificate?: boolean
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Relative to the base URL, query string included. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal | undefined
  /**
   * Whether the request may change something. An ending without a readable answer is then `unknown-outcome`,
   * unless the connection was never made.
   */
  readonly writes: boolean
  /** What is told of the exchange instead, where it carries credentials under names that nobody else knows. */
  readonly shown?: Partial<Pick<Exchange, 'path' | 'body' | 'answer'>>
}

export interface HttpAnswer {
  readonly status: number
  /** Lower-case names; several `set-cookie` stay a list. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly text: string
}

export interface HttpClient {
  /** Answers whatever the status is. @throws SourceError when there is no complete answer. */
  request(request: HttpRequest): Promise<HttpAnswer>
  close(): void
}

/** Errors raised before a connection stood: nothing was sent. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_INVALID_URL',
])

export function createHttpClient(options: HttpOptions): HttpClient {
  const agentOptions = { keepAlive: true, maxSockets: options.maxSockets ?? 16, keepAliveMsecs: 1_000 }
  const httpAgent = new http.Agent(agentOptions)
  const tls = { rejectUnauthorized: options.verifyCertificate ?? true }
  const httpsAgent = new https.Agent({ ...agentOptions, ...tls })
  // Writes go on sockets of their own: only for them must the moment of sending be known.
  const writing = {
    httpAgent: new ConnectedAgent(agentOptions),
    httpsAgent: new ConnectedTlsAgent({ ...agentOptions, ...tls }),
  }
  const client: AxiosInstance = axios.create({
    baseURL: options.baseUrl,
    httpAgent,
    httpsAgent,
    // A proxy from the environment must not see a company's ERP traffic unless somebody configures it here.
    proxy: false,
    // A redirect would send credentials to an address that nobody configured.
    maxRedirects: 0,
    maxContentLength: options.maxBodyBytes ?? 32 * 1024 * 1024,
    responseType: 'text',
    transformResponse: [(data: unknown) => data],
    transitional: { silentJSONParsing: false },
    validateStatus: () => true,
  })

  // Whose client this is, where it is made for a system; what each request is for is known when it is made.
  const owner = callScope()
  const exchange = async (request: HttpRequest): Promise<HttpAnswer> => {
    const deadline = AbortSignal.timeout(options.timeoutMs)
    const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline
    const gate = request.writes ? sendingGate(options.baseUrl) : null
    try {
      const response = await client.request<string>({
        method: request.method,
        url: request.path,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { data: request.body }),
        transformRequest: [(data: unknown) => data],
        signal,
        ...(gate ? { ...writing, transport: gate.transport } : {}),
      })
      return {
        status: response.status,
        headers: response.headers as HttpAnswer['headers'],
        text: typeof response.data === 'string' ? response.data : '',
      }
    } catch (error) {
      if (gate?.shut()) {
        const detail = 'stopped before the first byte: another process may carry this write now'
        throw new SourceError({ kind: 'unavailable', reason: 'aborted', detail }, { cause: error })
      }
      throw describeEnding(error as AxiosError, request, signal, deadline)
    }
  }

  return {
    request(request) {
      const scope = callScope()
      const told = scope?.told ?? owner?.told
      return told ? tellOf(request, exchange, told, scope?.about ?? owner?.about) : exchange(request)
    },
    close() {
      for (const agent of [httpAgent, httpsAgent, writing.httpAgent, writing.httpsAgent]) agent.destroy()
    },
  }
}

async function tellOf(
  request: HttpRequest,
  exchange: (request: HttpRequest) => Promise<HttpAnswer>,
  told: NonNullable<CallScope['told']>,
  about: CallScope['about'],
): Promise<HttpAnswer> {
  const began = performance.now()
  const { method, path, writes, body, shown } = request
  const tell = (end: Pick<Exchange, 'status' | 'answer' | 'failure'>) =>
    told(
      {
        ...{ method, path, writes, body, took: performance.now() - began, ...end, ...shown },
        answer: end.answer && (shown?.answer ?? end.answer),
      },
      about,
    )
  try {
    const answer = await exchange(request)
    tell({ status: answer.status, answer: answer.text, failure: undefined })
    return answer
  } catch (error) {
    const failure = error instanceof SourceError ? error.failure.kind : 'error'
    tell({ status: undefined, answer: undefined, failure })
    throw error
  }
}

/** Gives a socket away once it is connected: what is written to it then goes out at once, not some time later. */
class ConnectedAgent extends http.Agent {
  override createConnection(options: http.ClientRequestArgs, given?: Connected): null {
    return onceConnected(super.createConnection(options), 'connect', given)
  }
}

class ConnectedTlsAgent extends https.Agent {
  override createConnection(options: https.RequestOptions, given?: Connected): null {
    return onceConnected(super.createConnection(options), 'secureConnect', given)
  }
}

type Connected = (error: Error | null, socket: Duplex) => void

function onceConnected(socket: Duplex | null | undefined, event: string, given: Connected | undefined): null {
  if (!socket) throw new Error('no socket') // Node's own agents always make one
  const done = (error: Error | null) => {
    socket.off('error', done)
    socket.off(event, connected)
    given?.(error, socket)
  }
  const connected = () => done(null)
  socket.once('error', done)
  socket.once(event, connected)
  return null
}

/** Asks `maySend` of the call's scope when the request is about to be written to a connected socket. */
function sendingGate(baseUrl: string) {
  const maySend = callScope()?.maySend
  if (!maySend) return null
  let shut = false
  const { request } = baseUrl.startsWith('https:') ? https : http
  const transport = {
    request(options: https.RequestOptions, answered: (response: http.IncomingMessage) => void) {
      const sending = request(options, answered)
      // Raised in the same turn in which the request is written.
      sending.once('socket', () => {
        if (maySend()) return
        shut = true
        sending.destroy()
      })
      return sending
    },
  }
  return { transport, shut: () => shut }
}

function describeEnding(
  error: AxiosError,
  request: HttpRequest,
  signal: AbortSignal,
  deadline: AbortSignal,
): Error {
  if (!axios.isAxiosError(error) && !axios.isCancel(error)) return error as Error
  // axios reports an abort and a deadline alike: only the signals tell them apart.
  const timedOut = deadline.aborted && signal.reason === deadline.reason
  const what = `${request.method} ${request.path.split('?')[0]}`
  const detail = timedOut
    ? `${what}: no answer in time`
    : `${what}: ${error.code ?? 'failed'} ${error.message}`
  const cause = { cause: error }
  if (NOT_SENT.has(error.code ?? '')) {
    return new SourceError({ kind: 'unavailable', reason: 'unreachable', detail }, cause)
  }
  if (request.writes) return new SourceError({ kind: 'unknown-outcome', detail }, cause)
  if (timedOut) return new SourceError({ kind: 'unavailable', reason: 'timeout', detail }, cause)
  if (signal.aborted) return new SourceError({ kind: 'unavailable', reason: 'aborted', detail }, cause)
  if (/maxContentLength/.test(error.message))
    return new SourceError({ kind: 'invalid-response', detail }, cause)
  return new SourceError({ kind: 'unavailable', reason: 'unreachable', detail }, cause)
}

/**
 * Reads `Retry-After`, in seconds or as an HTTP date.
 * @see RFC 9110 section 10.2.3
 */
export function retryAfterMs(headers: HttpAnswer['headers'], now: Date = new Date()): number | undefined {
  const value = headers['retry-after']
  if (typeof value !== 'string') return undefined
  const seconds = Number(value)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now.getTime())
}

/** What an answer means that says to come back later, and perhaps when. */
export function unavailable(
  reason: 'rate-limited' | 'overloaded',
  detail: string,
  answer: HttpAnswer,
): SourceFailure {
  const after = retryAfterMs(answer.headers)
  return { kind: 'unavailable', reason, detail, ...(after === undefined ? {} : { retryAfterMs: after }) }
}
