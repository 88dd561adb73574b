/**
 * The WebAPI's protocol: everything is a POST that is answered with HTTP 200, business errors and lost sessions
 * included. What went wrong stands in `ResponseStatus`, whose `MsgCode` tells the sort.
 * @see K/3 Cloud WebAPI: DynamicFormService
 */
import { z } from 'zod'
import { SourceError, type SourceFailure } from '../failure.ts'
import { createHttpClient, type HttpAnswer, type HttpRequest, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import { createWords } from '../kit/words.ts'
import type { AdapterContext, CallContext, VendorRequest } from '../port.ts'
import type { KingdeeK3Config } from './config.ts'
import { createLogin, secretsOf, servicePath, type Tidy } from './login.ts'

const FORM_SERVICE = 'Kingdee.BOS.WebApi.ServicesStub.DynamicFormService'

export interface Query {
  readonly form: string
  /** Names in the order in which the answer's columns come. */
  readonly fields: readonly string[]
  readonly filter: string
  readonly order: string
  readonly limit: number
  /** Rows to leave out; what is added meanwhile shifts them, so a filter by key is better. */
  readonly startRow?: number
}

/** An operation of the service, with its form. `ExcuteOperation` is the vendor's spelling. */
export interface Call {
  readonly operation: 'Save' | 'Submit' | 'Audit' | 'UnAudit' | 'ExcuteOperation'
  readonly form: string
  /** For `ExcuteOperation`: which one. */
  readonly code?: string
  /** Numbers that must not pass through a double are made by `number`. */
  readonly data: unknown
}

export interface WriteCall extends Call {
  /**
   * Asked when the session was lost on the way: whether the write took effect all the same. Only then, and only
   * once, is it sent again.
   */
  tookEffect(): Promise<boolean>
}

export interface WebApi {
  /** Rows of columns, in the order of `fields`. @throws SourceError */
  query(query: Query, context: CallContext): Promise<readonly (readonly unknown[])[]>
  /** @returns What the vendor says it did; `null`: an earlier sending turned out to have done it. @throws SourceError */
  write(call: WriteCall, context: CallContext): Promise<Done | null>
  /** The request of a write, without credentials. */
  preview(call: Call): VendorRequest
  connect(context: CallContext): Promise<void>
  close(): Promise<void>
}

export interface Done {
  readonly id: string | null
  readonly number: string | null
}

export function createWebApi(config: KingdeeK3Config, context: AdapterContext): WebApi {
  const http = createHttpClient({
    baseUrl: config.baseUrl,
    verifyCertificate: config.verifyCertificate,
    timeoutMs: context.timeoutMs,
    maxSockets: config.maxConnections,
  })
  const words = createWords(secretsOf(config), 300)
  const { tidy } = words
  const login = createLogin(config, context, words)

  const requestOf = (call: Call): { path: string; body: string } => ({
    path: servicePath(config, `${FORM_SERVICE}.${call.operation}`),
    body: bodyOf(config, call),
  })

  /** One exchange in a session; one that turns out to be gone is replaced, once. */
  const exchange = async (
    request: { path: string; body: string; writes: boolean },
    { signal }: CallContext,
    tookEffect?: () => Promise<boolean>,
  ): Promise<HttpAnswer | null> => {
    for (let renewed = false; ; renewed = true) {
      const session = await login.session(signal)
      const sent: HttpRequest = {
        method: 'POST',
        path: request.path,
        headers: { 'content-type': 'application/json', ...session.headers(request.path) },
        body: request.body,
        writes: request.writes,
        signal,
      }
      const answer = await http.request(sent)
      if (!isSessionLost(answer)) {
        session.proven = true
        return answer
      }
      // The same code comes for a wrong data centre, a missing authorisation or a cookie on its way: a session
      // that never worked will not the next time, so there is no second login for it.
      if (!session.renewable || !session.proven || renewed) {
        const failure: SourceFailure = {
          kind: 'unauthorized',
          detail: `${describe(answer, tidy)} (in a new session)`,
        }
        login.refused(session, failure)
        throw new SourceError(failure)
      }
      login.lost(session)
      if (tookEffect && (await tookEffect())) return null
    }
  }

  return {
    async query(query, call) {
      const operation = 'ExecuteBillQuery'
      const data = {
        FormId: query.form,
        FieldKeys: query.fields.join(','),
        FilterString: query.filter,
        OrderString: query.order,
        TopRowCount: 0,
        StartRow: query.startRow ?? 0,
        Limit: query.limit,
      }
      const body =
        config.profile === 'galaxy'
          ? JSON.stringify({ data })
          : JSON.stringify({ parameters: [JSON.stringify(data)] })
      const path = servicePath(config, `${FORM_SERVICE}.${operation}`)
      const answer = await exchange({ path, body, writes: false }, call)
      return readRows(answer as HttpAnswer, query.form, tidy)
    },

    async write(call, context) {
      const answer = await exchange({ ...requestOf(call), writes: true }, context, call.tookEffect)
      if (answer === null) return null
      const what = `${call.operation} ${call.form}`
      const failure = httpFailure(answer, true, tidy)
      if (failure) throw new SourceError(failure)
      let body: unknown
      try {
        body = parse(answer, what)
      } catch {
        // A proxy's page, or half an answer: the write has been sent.
        throw new SourceError({ kind: 'unknown-outcome', detail: `${what}: ${tidy(answer.text)}` })
      }
      const { Id = null, Number: number = null } = resultSchema.safeParse(body).data?.Result ?? {}
      const status = statusOf(body)
      // A gateway in front may leave of the answer what it needs itself: the id of what was saved says enough.
      const isBare = !answer.text.includes('ResponseStatus')
      const isNamed = call.operation === 'Save' && isBare && Boolean(Id) && Id !== '0'
      if (!status && !isNamed) {
        throw new SourceError({ kind: 'unknown-outcome', detail: `${what}: no ResponseStatus` })
      }
      if (status && !status.IsSuccess) throw new SourceError(statusFailure(status, true, tidy))
      const [entity] = status?.SuccessEntitys ?? []
      return { id: Id || entity?.Id || null, number: number || entity?.Number || null }
    },

    preview(call) {
      const { path, body } = requestOf(call)
      return { method: 'POST', path, headers: { 'content-type': 'application/json' }, body }
    },

    async connect({ signal }) {
      await login.session(signal)
    },

    async close() {
      await login.close()
      http.close()
    },
  }
}

/* ---- requests ---- */

/** A text in a filter, which is close to raw SQL: quotes are doubled. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A text inside `like '%…%'`, where three characters have a meaning of their own. */
export const contains = (field: string, text: string): string =>
  `${field} like ${literal(`%${text.replaceAll(/[[%_]/g, '[$&]')}%`)}`

/** A decimal that is written as the JSON number it is, without passing through a double. */
export function number(decimal: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(decimal)
}

function bodyOf(config: KingdeeK3Config, { form, code, data }: Call): string {
  if (config.profile === 'galaxy') {
    return JSON.stringify({ formid: form, ...(code === undefined ? {} : { opNumber: code }), data })
  }
  // Official SDKs send the data as a text.
  return JSON.stringify({
    parameters: [form, ...(code === undefined ? [] : [code]), JSON.stringify(data)],
  })
}

/* ---- answers ---- */

const text = z.coerce.string().nullish()

const statusSchema = z.object({
  IsSuccess: z.boolean(),
  MsgCode: text,
  ErrorCode: text,
  Errors: z.array(z.object({ FieldName: text, Message: text, DIndex: text })).nullish(),
  SuccessEntitys: z.array(z.object({ Id: text, Number: text })).nullish(),
})
type ResponseStatus = z.infer<typeof statusSchema>

const resultSchema = z.object({ Result: z.object({ Id: text, Number: text }) })

function parse(answer: HttpAnswer, what: string): unknown {
  return parseJson(answer.text, what)
}

/** `Result.ResponseStatus`, bare or inside the two arrays of a query's answer. */
function statusOf(body: unknown): ResponseStatus | undefined {
  const [first = body] = Array.isArray(body) ? body : []
  const [cell = first] = Array.isArray(first) ? first : []
  const parsed = z.object({ Result: z.object({ ResponseStatus: statusSchema }) }).safeParse(cell)
  return parsed.success ? parsed.data.Result.ResponseStatus : undefined
}

function statusIn(answer: HttpAnswer): ResponseStatus | undefined {
  // Long answers are rows; what the vendor has to say about itself comes first.
  if (!answer.text.slice(0, 500).includes('ResponseStatus')) return undefined
  try {
    return statusOf(parse(answer, 'answer'))
  } catch {
    return undefined
  }
}

function isSessionLost(answer: HttpAnswer): boolean {
  if (answer.status === 401) return true
  if (answer.text.startsWith('response_error:')) return answer.text.includes('会话信息已丢失')
  const status = statusIn(answer)
  return status !== undefined && !status.IsSuccess && status.MsgCode === '1'
}

function readRows(answer: HttpAnswer, form: string, tidy: Tidy): readonly (readonly unknown[])[] {
  const failure = httpFailure(answer, false, tidy)
  if (failure) throw new SourceError(failure)
  const body = parse(answer, form)
  const status = statusOf(body)
  if (status && !status.IsSuccess) throw new SourceError(statusFailure(status, false, tidy))
  const rows = z.array(z.array(z.unknown())).safeParse(body)
  if (!rows.success) throw new SourceError({ kind: 'invalid-response', detail: `${form}: rows expected` })
  return rows.data
}

/** What stands outside of the vendor's own form of errors. */
function httpFailure(answer: HttpAnswer, writes: boolean, tidy: Tidy): SourceFailure | undefined {
  const { status } = answer
  const detail = describe(answer, tidy)
  if (answer.text.startsWith('response_error:')) {
    return { kind: writes ? 'unknown-outcome' : 'invalid-response', detail }
  }
  if (status < 300) return undefined
  const retry = retryAfterMs(answer.headers)
  const later = retry === undefined ? {} : { retryAfterMs: retry }
  if (status === 429) return { kind: 'unavailable', reason: 'rate-limited', detail, ...later }
  if (status === 403) return { kind: 'unauthorized', detail }
  if (writes) return { kind: 'unknown-outcome', detail }
  if (status >= 500) return { kind: 'unavailable', reason: 'overloaded', detail, ...later }
  return { kind: 'invalid-response', detail }
}

/** @see the vendor's list of MsgCode */
function statusFailure(status: ResponseStatus, writes: boolean, tidy: Tidy): SourceFailure {
  const code = status.MsgCode || '0'
  const errors = status.Errors ?? []
  const message = tidy(errors.map((error) => error.Message ?? '').join('; '))
  const detail = `MsgCode ${code}: ${message}`
  switch (code) {
    case '2': // no permission
    case '7': // no licence
    case '15': // administrators may not log in
      return { kind: 'unauthorized', detail }
    case '13': // another user has it open
      return { kind: 'unavailable', reason: 'overloaded', detail }
    case '14': // too many calls
      return { kind: 'unavailable', reason: 'rate-limited', detail }
    case '10':
      return { kind: 'not-found', message }
    case '4': // an exception
    case '6': // the database failed
      if (writes) return { kind: 'unknown-outcome', detail }
      return code === '6'
        ? { kind: 'unavailable', reason: 'overloaded', detail }
        : { kind: 'invalid-response', detail }
    default: {
      const field = errors.find((error) => error.FieldName)?.FieldName
      // DIndex counts the documents of a batch; only the words tell the line: 第2行, 第2条分录.
      const line = /第\s*(\d+)\s*(?:行|条)/.exec(message)?.[1]
      return {
        kind: 'rejected',
        code,
        message,
        ...(line === undefined ? {} : { line }),
        ...(field ? { field } : {}),
      }
    }
  }
}

function describe(answer: HttpAnswer, tidy: Tidy): string {
  const status = statusIn(answer)
  const said = status?.Errors?.map((error) => error.Message ?? '').join('; ')
  return `HTTP ${answer.status} ${status ? `MsgCode ${status.MsgCode ?? ''} ` : ''}${tidy(said ?? answer.text)}`
}
