/** The wire of a configured system: requests from templates, answers read, and what each ending means. */
import { randomUUID } from 'node:crypto'
import type { Log } from '../../observe/log.ts'
import { type Rejection, SourceError, type SourceFailure } from '../failure.ts'
import {
  createHttpClient,
  type HttpAnswer,
  type HttpClient,
  type HttpRequest,
  unavailable,
} from '../kit/http.ts'
import type { CallContext, VendorRequest } from '../port.ts'
import { type Authentication, type Carried, createAuthentication } from './auth.ts'
import type { HttpConfig, RequestConfig } from './config.ts'
import {
  compileExpression,
  type Expression,
  ExpressionError,
  textOf,
  type Vocabulary,
} from './expressions.ts'
import { grantsOf } from './logins.ts'
import { compileTemplate, fillHeader, fillPath, fillValues, type Template } from './templates.ts'
import { CONTENT_TYPES, type Format, readBody, readRpc, writeBody } from './wire.ts'

/** A request template, understood. */
export interface Operation {
  readonly method: HttpRequest['method']
  readonly path: Template
  readonly query: readonly (readonly [string, Template])[]
  readonly headers: readonly (readonly [string, Template])[]
  readonly body: Expression | undefined
  readonly rpcMethod: string
  readonly format: Format
}

/** An answer that is no refusal. */
export interface Answer {
  /** What expressions see: data of JSON or XML, the result of JSON-RPC. */
  readonly body: unknown
  readonly status: number
  readonly headers: HttpAnswer['headers']
}

export interface SendOptions extends CallContext {
  readonly writes: boolean
}

export interface SystemClient {
  operation(request: RequestConfig): Operation
  /** @throws SourceError */
  send(operation: Operation, input: unknown, options: SendOptions): Promise<Answer>
  /** Reads another page by the address that the system gave. @throws SourceError also where it leads elsewhere */
  follow(operation: Operation, link: string, input: unknown, options: SendOptions): Promise<Answer>
  /** The request without credentials. @throws SourceError */
  describe(operation: Operation, input: unknown): Promise<VendorRequest>
  /** Evaluates an expression on an answer. @throws SourceError `invalid-response` */
  read(expression: Expression, answer: Answer): Promise<unknown>
  /** Gets credentials ahead of a request. @throws SourceError */
  connect(context: CallContext): Promise<void>
  close(): Promise<void>
}

/** A request that has not been sent. */
export interface Prepared extends VendorRequest {
  readonly method: HttpRequest['method']
  readonly headers: Readonly<Record<string, string>>
  readonly format: Format
  readonly rpcId: string
}

/** How answers say no. */
export interface Rules {
  readonly when: Expression | undefined
  readonly code: Expression | undefined
  readonly message: Expression | undefined
  readonly line: Expression | undefined
  readonly field: Expression | undefined
  readonly details: Expression | undefined
}

/** Longer messages of a system are cut. */
const MAX_MESSAGE = 500

export function createSystemClient(
  config: HttpConfig,
  vocabulary: Vocabulary,
  timeoutMs: number,
  log: Log,
): SystemClient {
  const open = (baseUrl: string): HttpClient =>
    createHttpClient({
      baseUrl,
      timeoutMs,
      verifyCertificate: config.verifyCertificate,
      maxSockets: config.maxConnections,
      maxBodyBytes: config.maxAnswerBytes,
    })
  const base = config.baseUrl.replace(/\/+$/, '')
  const http = open(base)
  const compile = (source: string | undefined): Expression | undefined =>
    source === undefined ? undefined : compileExpression(source, vocabulary)
  const { kinds, ...says } = config.errors
  const refusal: Rules = {
    when: compile(says.when),
    code: compile(says.code),
    message: compile(says.message),
    line: compile(says.line),
    field: compile(says.field),
    details: compile(says.details),
  }

  const operation = (request: RequestConfig): Operation => {
    const format = request.format ?? config.format
    return {
      method: request.method ?? (request.body === undefined && format !== 'jsonRpc' ? 'GET' : 'POST'),
      path: compileTemplate(request.path, vocabulary),
      query: Object.entries(request.query).map(([name, value]) => [name, compileTemplate(value, vocabulary)]),
      headers: Object.entries(request.headers).map(([name, value]) => [
        name.toLowerCase(),
        compileTemplate(value, vocabulary),
      ]),
      body: compile(request.body),
      rpcMethod: request.rpcMethod ?? '',
      format,
    }
  }

  const prepare = async (operation: Operation, input: unknown): Promise<Prepared> => {
    const rpcId = randomUUID()
    try {
      const path = await fillPath(operation.path, input)
      const query = new URLSearchParams()
      for (const [name, template] of operation.query) {
        for (const value of await fillValues(template, input)) query.append(name, value)
      }
      const headers: Record<string, string> = {
        ...lowerCase(config.headers),
        accept: ACCEPT[operation.format],
      }
      for (const [name, template] of operation.headers) {
        const value = await fillHeader(template, input)
        if (value !== undefined) headers[name] = value
      }
      const parameters = query.toString()
      const hasBody = operation.body !== undefined || operation.format === 'jsonRpc'
      if (hasBody) headers['content-type'] ??= CONTENT_TYPES[operation.format]
      const rpc = { method: operation.rpcMethod, id: rpcId }
      return {
        method: operation.method,
        path: parameters ? `${path}${path.includes('?') ? '&' : '?'}${parameters}` : path,
        headers,
        format: operation.format,
        rpcId,
        ...(hasBody ? { body: writeBody(operation.format, await operation.body?.evaluate(input), rpc) } : {}),
      }
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error
      const message = `The request cannot be written: ${error.message}`
      throw new SourceError({ kind: 'rejected', code: 'REQUEST_TEMPLATE', message })
    }
  }

  /* ---- answers ---- */

  let authentication: Authentication
  /** Where the system has a code for a record that is not there, 404 alone means a path that is not there. */
  const codesMissing = kinds.notFound.length > 0

  /** The system's words, fit for a screen: no credentials that it echoes, one line, not a whole page. */
  const clean = (text: string): string =>
    authentication
      .secrets()
      .filter((secret) => secret.length > 2)
      .reduce((censored, secret) => censored.replaceAll(secret, '***'), text)
      .replaceAll(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, MAX_MESSAGE)

  const evaluate = async (expression: Expression | undefined, answer: Answer): Promise<unknown> => {
    if (!expression) return undefined
    try {
      return await expression.evaluate(answer.body, {
        status: String(answer.status),
        headers: { ...answer.headers },
      })
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error
      const detail = `"${expression.source.slice(0, 80)}" cannot be applied to the answer: ${clean(error.message)}`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
  }

  /** @throws SourceError Whatever keeps the answer from being one. */
  const understand = async (
    request: Prepared,
    http: HttpAnswer,
    writes: boolean,
    rules: Rules = refusal,
  ): Promise<Answer> => {
    const what = `${request.method} ${request.path.split('?')[0]}`
    const { status, headers } = http
    const success = status >= 200 && status < 300
    let body: unknown
    let unreadable: { readonly kind: 'invalid-response'; readonly detail: string } | undefined
    try {
      body = readBody(request.format, http.text, what)
      // Silence or a single word would pass for "there is no such record".
      if (!writes && success && status !== 204 && (typeof body !== 'object' || body === null)) {
        throw new SourceError({ kind: 'invalid-response', detail: `${what}: HTTP ${status}, no data` })
      }
    } catch (error) {
      if (!(error instanceof SourceError)) throw error
      const detail = `${what}: HTTP ${status}, neither ${request.format} nor empty; starts with "${clean(http.text.slice(0, 2_000)).slice(0, 40)}"`
      unreadable = { kind: 'invalid-response', detail }
    }
    const refuse = (failure: SourceFailure): never => {
      log.debug({ what, status, failure: failure.kind }, 'the system said no')
      throw new SourceError(failure)
    }
    if (unreadable) {
      const known = byStatus(`${what}: HTTP ${status}`, writes, http, codesMissing)
      if (known) return refuse(known)
      // Refused, in words that cannot be read.
      if (status >= 400) return refuse(plainRejection(status))
      return refuse(writes ? unknown(unreadable.detail) : unreadable)
    }
    if (request.format === 'jsonRpc' && body !== null) {
      try {
        const rpc = readRpc(body, request.rpcId, what)
        if ('error' in rpc) return refuse(await rpcFailure(what, rpc.error, writes, http))
        body = rpc.result
      } catch (error) {
        if (!(error instanceof SourceError) || error.failure.kind !== 'invalid-response') throw error
        // A proxy's page with status 502 says more than "no JSON-RPC".
        const known = byStatus(`${what}: HTTP ${status}`, writes, http, codesMissing)
        return refuse(known ?? (writes ? unknown(error.failure.detail) : error.failure))
      }
    }
    const answer: Answer = { body, status, headers }
    const refused = truthy(
      await evaluate(rules.when, answer).catch((error) =>
        success && !writes ? Promise.reject(error) : undefined,
      ),
    )
    if (success && !refused) return answer
    return refuse(await failureOf(what, answer, http, writes, rules))
  }

  const failureOf = async (
    what: string,
    answer: Answer,
    http: HttpAnswer,
    writes: boolean,
    rules: Rules,
  ): Promise<SourceFailure> => {
    const said = async (expression: Expression | undefined) =>
      textOf(await evaluate(expression, answer).catch(() => undefined))
    const code = await said(rules.code)
    const detail = `${what}: HTTP ${answer.status}${code === undefined ? '' : `, code ${clean(code).slice(0, 60)}`}`
    const message = clean((await said(rules.message)) ?? '')
    // "Success" without a word of what is wrong: no refusal of this system looks like that.
    if (answer.status < 300 && code === undefined && message === '') {
      const odd = `${detail}: neither a success nor a refusal`
      return writes ? unknown(odd) : { kind: 'invalid-response', detail: odd }
    }
    const known = byCode(code, detail, message, http)
    if (known) return known
    const status = byStatus(detail, writes, http, codesMissing)
    if (status?.kind === 'not-found' && message) return { ...status, message }
    if (status) return status
    // 409 says many things, "there is one already" among them: a code must say that it is a matter of versions.
    if (answer.status === 412) return { kind: 'conflict', message: message || CHANGED }
    const line = await said(rules.line)
    const field = await said(rules.field)
    const details = detailsOf(await evaluate(rules.details, answer).catch(() => undefined), clean)
    const rejection: Rejection = {
      kind: 'rejected',
      code: clean(code ?? `HTTP ${answer.status}`),
      message:
        message ||
        `The system answered with ${code === undefined ? `status ${answer.status}` : `code ${clean(code)}`}.`,
      ...(line === undefined ? {} : { line: clean(line) }),
      ...(field === undefined ? {} : { field: clean(field) }),
      ...(details === undefined ? {} : { details }),
    }
    return rejection
  }

  const byCode = (
    code: string | undefined,
    detail: string,
    message: string,
    http: HttpAnswer,
  ): SourceFailure | undefined => {
    if (code === undefined) return undefined
    if (kinds.unauthorized.includes(code)) return { kind: 'unauthorized', detail }
    if (kinds.notFound.includes(code))
      return { kind: 'not-found', message: message || 'There is no such record.' }
    if (kinds.conflict.includes(code)) return { kind: 'conflict', message: message || CHANGED }
    if (kinds.rateLimited.includes(code)) return unavailable('rate-limited', detail, http)
    if (kinds.overloaded.includes(code)) return unavailable('overloaded', detail, http)
    if (kinds.awaitingApproval.includes(code))
      return { kind: 'awaiting-approval', message: message || 'A person must agree.' }
    return undefined
  }

  const rpcFailure = async (
    what: string,
    error: { code: string; message: string; data: unknown },
    writes: boolean,
    http: HttpAnswer,
  ): Promise<SourceFailure> => {
    const detail = `${what}: JSON-RPC error ${clean(error.code).slice(0, 60)}`
    const message = clean(error.message)
    const known = byCode(error.code, detail, message, http)
    if (known) return known
    // "Internal error" promises nothing of what was done before.
    if (error.code === '-32603') return writes ? unknown(detail) : unavailable('overloaded', detail, http)
    const data: Answer = { body: error.data, status: http.status, headers: http.headers }
    const about = async (expression: Expression | undefined) =>
      textOf(await evaluate(expression, data).catch(() => undefined))
    const [line, field] = [await about(refusal.line), await about(refusal.field)]
    const details = detailsOf(error.data, clean)
    return {
      kind: 'rejected',
      code: clean(error.code),
      message: message || detail,
      ...(line === undefined ? {} : { line: clean(line) }),
      ...(field === undefined ? {} : { field: clean(field) }),
      ...(details ? { details } : {}),
    }
  }

  /* ---- exchanges ---- */

  /** Without credentials of a session: for logins. @throws SourceError */
  const exchange = async (
    through: HttpClient,
    request: Prepared,
    rules?: Rules,
  ): Promise<{ answer: Answer; http: HttpAnswer }> => {
    const http = await through.request({ ...bare(request), writes: false, shown: withoutSecrets(request) })
    return { answer: await understand(request, http, false, rules), http }
  }

  const deliver = async (request: Prepared, { writes, signal }: SendOptions): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      const credentials = await authentication.credentials(request.body ?? '', signal)
      const answer = await http.request({
        ...bare(withCredentials(request, credentials)),
        signal,
        writes,
        // By what name a token stands there, nobody else knows.
        ...(credentials.token ? { shown: { path: request.path, body: request.body } } : {}),
      })
      try {
        const understood = await understand(request, answer, writes)
        credentials.accepted()
        return understood
      } catch (error) {
        if (!(error instanceof SourceError)) throw error
        if (error.failure.kind !== 'unauthorized') {
          if (answer.status < 500) credentials.accepted()
          throw error
        }
        // Refused is not done: once more with a fresh session does no harm, also for writes.
        if (answer.status === 403 || !credentials.refused() || attempt > 1) throw error
      }
    }
  }

  authentication = createAuthentication(
    config.auth,
    grantsOf(config.auth, { operation, prepare, exchange, evaluate, compile, vocabulary, http, open }),
  )

  return {
    operation,
    send: async (operation, input, options) => deliver(await prepare(operation, input), options),
    async follow(operation, link, input, options) {
      const request = await prepare(operation, input)
      const url = URL.parse(link, base + request.path)
      // Credentials go to the configured system only, whatever an answer says.
      if (!url || url.origin !== new URL(base).origin || url.username !== '') {
        throw new SourceError({
          kind: 'invalid-response',
          detail: `the next page is at another place: "${clean(link).slice(0, 80)}"`,
        })
      }
      // axios takes an absolute address as it is.
      return deliver({ ...request, path: url.href.replace(/#.*$/, '') }, options)
    },
    async describe(operation, input) {
      const { method, path, headers, body } = await prepare(operation, input)
      return { method, path, headers, ...(body === undefined ? {} : { body }) }
    },
    read: (expression, answer) => evaluate(expression, answer),
    async connect({ signal }) {
      await authentication.credentials('', signal)
    },
    async close() {
      await authentication.close()
      http.close()
    },
  }
}

/** @throws SourceError where the request has no place for them */
export function withCredentials(request: Prepared, { headers, token }: Carried): Prepared {
  const known = { ...request, headers: { ...request.headers, ...headers } }
  if (!token) return known
  const { parameter, field, value } = token
  const body = field === undefined ? undefined : bodyWith(request, field, value)
  if (body !== undefined) return { ...known, body }
  if (parameter === undefined) {
    const message = `The request cannot be written: it has no form and no JSON object that could carry "${field}"; set "parameter" of auth.`
    throw new SourceError({ kind: 'rejected', code: 'REQUEST_TEMPLATE', message })
  }
  const query = new URLSearchParams([[parameter, value]])
  return { ...known, path: `${request.path}${request.path.includes('?') ? '&' : '?'}${query}` }
}

/** @returns Undefined where there is no body, or one that takes no field. */
function bodyWith({ format, body }: Prepared, field: string, value: string): string | undefined {
  if (body === undefined) return undefined
  if (format === 'form') return `${body}${body === '' ? '' : '&'}${new URLSearchParams([[field, value]])}`
  // Written into the text: its numbers may have more digits than a float.
  if (format !== 'json' || !body.startsWith('{')) return undefined
  return `{${JSON.stringify(field)}:${JSON.stringify(value)}${body === '{}' ? '' : ','}${body.slice(1)}`
}

/** Of logins: a password and a token may have any name. */
const withoutSecrets = ({ path, body }: Prepared) => ({
  path: path.split('?')[0] ?? path,
  body: body === undefined ? undefined : '***',
  answer: '***',
})

const ACCEPT: Readonly<Record<Format, string>> = {
  json: 'application/json',
  form: 'application/json',
  jsonRpc: 'application/json',
  xml: 'application/xml, text/xml',
}
const plainRejection = (status: number): Rejection => ({
  kind: 'rejected',
  code: `HTTP ${status}`,
  message: `The system answered with status ${status}.`,
})
const CHANGED = 'It was changed by somebody else in between.'

const lowerCase = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

const bare = ({ method, path, headers, body }: Prepared) => ({
  method,
  path,
  headers,
  ...(body === undefined ? {} : { body }),
})

const truthy = (value: unknown): boolean => value === true || value === 'true'

const unknown = (detail: string): SourceFailure => ({ kind: 'unknown-outcome', detail })

/** What an HTTP status alone says; undefined where the body has more to say, or nothing is wrong. */
function byStatus(
  detail: string,
  writes: boolean,
  answer: HttpAnswer,
  codesMissing: boolean,
): SourceFailure | undefined {
  const { status } = answer
  if (status === 401 || status === 403) return { kind: 'unauthorized', detail }
  if (status === 404 && codesMissing) return { kind: 'invalid-response', detail }
  if (status === 404) return { kind: 'not-found', message: 'There is no such record.' }
  if (status === 429) return unavailable('rate-limited', detail, answer)
  // A proxy says 503 for a system that may have got the request and done its work.
  if (status >= 500) return writes ? unknown(detail) : unavailable('overloaded', detail, answer)
  if (status >= 300 && status < 400) return writes ? unknown(detail) : { kind: 'invalid-response', detail }
  return undefined
}

function detailsOf(value: unknown, clean: (text: string) => string): Rejection['details'] | undefined {
  if (!value || typeof value !== 'object' || Array.isArray(value)) return undefined
  const details: Record<string, string | boolean | null> = {}
  for (const [name, item] of Object.entries(value).slice(0, 20)) {
    if (item === null || typeof item === 'boolean') details[name] = item
    else if (typeof item === 'string' || typeof item === 'number') details[name] = clean(String(item))
  }
  return Object.keys(details).length === 0 ? undefined : details
}
