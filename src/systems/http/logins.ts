/** What gives credentials that end: logins of systems, and token endpoints of OAuth 2.0. */
import { SourceError } from '../failure.ts'
import type { HttpAnswer, HttpClient } from '../kit/http.ts'
import { basic, carried, type Grant, type Grants } from './auth.ts'
import {
  type Answer,
  type Operation,
  type Prepared,
  type Rules,
  type SystemClient,
  withCredentials,
} from './client.ts'
import type { AuthConfig, LoginConfig } from './config.ts'
import { type Expression, textOf, type Vocabulary } from './expressions.ts'
import { compileTemplate, fillHeader } from './templates.ts'
import { CONTENT_TYPES } from './wire.ts'

/** What a login needs of the client. */
export interface LoginTools {
  readonly operation: SystemClient['operation']
  readonly prepare: (operation: Operation, input: unknown) => Promise<Prepared>
  readonly exchange: (
    through: HttpClient,
    request: Prepared,
    rules?: Rules,
  ) => Promise<{ answer: Answer; http: HttpAnswer }>
  readonly evaluate: (expression: Expression | undefined, answer: Answer) => Promise<unknown>
  readonly compile: (source: string | undefined) => Expression | undefined
  readonly vocabulary: Vocabulary
  readonly http: HttpClient
  readonly open: (baseUrl: string) => HttpClient
}

export function grantsOf(auth: AuthConfig, tools: LoginTools): Grants | undefined {
  if (auth.type === 'login') return loginGrants(auth, tools)
  if (auth.type === 'clientCredentials') return clientCredentialGrants(auth, tools)
  return undefined
}

/** A login that was understood and refused is a matter for an operator, whatever the system calls it. */
async function asCredentials<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    const { failure } = error
    if (failure.kind !== 'rejected' && failure.kind !== 'not-found' && failure.kind !== 'conflict')
      throw error
    const code = failure.kind === 'rejected' ? failure.code : failure.kind
    throw new SourceError({ kind: 'unauthorized', detail: `login: ${code}` })
  }
}

function loginGrants(auth: LoginConfig, tools: LoginTools): Grants {
  const login = tools.operation(auth.request)
  const logout = auth.logout && tools.operation(auth.logout)
  const [token, expiresIn] = [tools.compile(auth.token), tools.compile(auth.expiresIn)]
  const value = compileTemplate(auth.value, tools.vocabulary)
  const tokens = new WeakMap<Grant, string>()
  return {
    open: () =>
      asCredentials(async () => {
        const { username, password } = auth
        const { answer, http } = await tools.exchange(
          tools.http,
          await tools.prepare(login, { username, password }),
        )
        const given = textOf(await tools.evaluate(token, answer))
        if (token && given === undefined) {
          throw new SourceError({ kind: 'invalid-response', detail: 'login: the answer has no token' })
        }
        const { token: inPlace, headers: inHeader } =
          given === undefined
            ? { headers: {} }
            : carried(auth, given, (await fillHeader(value, { token: given })) ?? '')
        const headers: Record<string, string> = { ...inHeader }
        const cookies = auth.cookies ? cookiesOf(http) : []
        if (cookies.length > 0) headers.cookie = cookies.join('; ')
        const seconds = Number(textOf(await tools.evaluate(expiresIn, answer)))
        const secrets = [
          ...(given === undefined ? [] : [given]),
          ...cookies.map((one) => one.replace(/^[^=]*=/, '')),
        ]
        const grant: Grant = {
          headers,
          ...(inPlace ? { token: inPlace } : {}),
          secrets,
          expiresIn: Number.isFinite(seconds) && seconds > 0 ? seconds : undefined,
        }
        if (given !== undefined) tokens.set(grant, given)
        return grant
      }),
    async end(grant) {
      if (!logout) return
      try {
        const request = await tools.prepare(logout, { token: tokens.get(grant) })
        await tools.exchange(tools.http, withCredentials(request, grant))
      } catch {
        // The session ends by itself then.
      }
    },
  }
}

const cookiesOf = ({ headers }: HttpAnswer): string[] =>
  [headers['set-cookie'] ?? []].flat().map((cookie) => String(cookie).split(';')[0] ?? '')

/** @see RFC 6749 section 4.4; the expiry of section 4.2.2 */
function clientCredentialGrants(
  auth: Extract<AuthConfig, { type: 'clientCredentials' }>,
  tools: LoginTools,
): Grants {
  const url = new URL(auth.tokenUrl)
  // The endpoint is often another machine than the system.
  const http = tools.open(url.origin)
  const inBody = auth.sendAs === 'body'
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    ...(auth.scope === undefined ? {} : { scope: auth.scope }),
    ...(inBody ? { client_id: auth.clientId, client_secret: auth.clientSecret } : {}),
    ...auth.parameters,
  })
  // Section 2.3.1: both are form-encoded before they are joined.
  const encoded = (text: string) => new URLSearchParams([['', text]]).toString().slice(1)
  const request: Prepared = {
    method: 'POST',
    path: `${url.pathname}${url.search}`,
    headers: {
      accept: 'application/json',
      'content-type': CONTENT_TYPES.form,
      ...(inBody
        ? {}
        : { authorization: `Basic ${basic(encoded(auth.clientId), encoded(auth.clientSecret))}` }),
    },
    format: 'form',
    rpcId: '',
    body: form.toString(),
  }
  const rules: Rules = {
    when: undefined,
    code: tools.compile('error'),
    message: tools.compile('error_description'),
    line: undefined,
    field: undefined,
    details: undefined,
  }
  return {
    open: () =>
      asCredentials(async () => {
        const { answer } = await tools.exchange(http, request, rules)
        const { access_token: token, expires_in: seconds, token_type: type } = Object(answer.body)
        if (typeof token !== 'string' || token === '' || !/^bearer$/i.test(textOf(type) ?? 'bearer')) {
          throw new SourceError({
            kind: 'invalid-response',
            detail: 'token endpoint: no bearer token in the answer',
          })
        }
        const expiresIn = Number(seconds)
        return {
          headers: { authorization: `Bearer ${token}` },
          secrets: [token],
          expiresIn: Number.isFinite(expiresIn) ? expiresIn : undefined,
        }
      }),
    close: () => http.close(),
  }
}
