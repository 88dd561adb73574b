/**
 * The one way out to business systems: axios on kept-alive sockets, every ending told apart by what the asker
 * should do next.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import axios, { type AxiosError, type AxiosInstance } from 'axios'
import { SourceError } from './failure.ts'

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
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
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
  const httpsAgent = new https.Agent({
    ...agentOptions,
    rejectUnauthorized: options.verifyCertificate ?? true,
  })
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

  return {
    async request(request) {
      const deadline = AbortSignal.timeout(options.timeoutMs)
      const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline
      try {
        const response = await client.request<string>({
          method: request.method,
          url: request.path,
          headers: { ...request.headers },
          ...(request.body === undefined ? {} : { data: request.body }),
          transformRequest: [(data: unknown) => data],
          signal,
        })
        return {
          status: response.status,
          headers: response.headers as HttpAnswer['headers'],
          text: typeof response.data === 'string' ? response.data : '',
        }
      } catch (error) {
        throw describeEnding(error as AxiosError, request, signal, deadline)
      }
    },
    close() {
      httpAgent.destroy()
      httpsAgent.destroy()
    },
  }
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
