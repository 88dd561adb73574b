/**
 * The common way in: an operation as JSON in a POST. It goes through the pipeline to the engine and comes out as
 * text, without the stations that Apollo Server keeps for everything else (GET, persisted queries, what a strange
 * request deserves to be told). Both ways answer alike; a test holds them to it.
 *
 * @see GraphQL over HTTP, draft: https://graphql.github.io/graphql-over-http/draft/
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema } from 'graphql'
import { answerBytes, releaseAnswer } from '../federation/answer.ts'
import type { Engine } from '../federation/engine.ts'
import type { Pipeline } from './pipeline.ts'

export interface PlainRequest {
  readonly query: string
  readonly operationName: string | null | undefined
  readonly variables: Record<string, unknown> | null | undefined
}

/** @returns Null where the request is anything but plain. */
export function plainRequest({ method, headers, body }: FastifyRequest): PlainRequest | null {
  if (method !== 'POST' || !/^application\/json\b/i.test(headers['content-type'] ?? '')) return null
  if (answerType(headers.accept) === null) return null
  const { query, operationName, variables, ...rest } = Object(body) as Record<string, unknown>
  if (typeof query !== 'string' || query === '' || Object.keys(rest).length > 0 || Array.isArray(body))
    return null
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') return null
  if (
    variables !== undefined &&
    variables !== null &&
    (typeof variables !== 'object' || Array.isArray(variables))
  )
    return null
  return { query, operationName, variables: variables as PlainRequest['variables'] }
}

const JSON_TYPE = 'application/json; charset=utf-8'
const GRAPHQL_TYPE = 'application/graphql-response+json; charset=utf-8'

/** What most clients send; anything else is weighed by Apollo Server. */
function answerType(accept: string | undefined): string | null {
  if (accept === undefined || accept === '*/*' || accept === 'application/json') return JSON_TYPE
  return /^application\/graphql-response\+json\s*(,|$)/.test(accept) ? GRAPHQL_TYPE : null
}

export interface PostOptions<TContext> {
  readonly engine: Engine<TContext>
  readonly pipeline: Pipeline
  contextFor(
    request: FastifyRequest,
    reply: FastifyReply,
  ): { readonly context: TContext; readonly signal: AbortSignal }
  /** What is said of an answer besides itself; without a context where nothing was executed. */
  notesOf(executed: Executed<TContext> | null): { readonly extensions: object; readonly cacheControl: string }
}

export interface Executed<TContext> {
  readonly context: TContext
  readonly schema: GraphQLSchema
  readonly document: DocumentNode
  readonly operationName: string | null | undefined
  readonly failed: boolean
}

export async function answerPost<TContext>(
  options: PostOptions<TContext>,
  plain: PlainRequest,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { engine, pipeline } = options
  const { schema } = engine
  const document = pipeline.prepare(schema, plain.query)
  let result: ExecutionResult | { readonly errors: readonly GraphQLError[] }
  let executed: Executed<TContext> | null = null
  if ('kind' in document) {
    const { operationName, variables } = plain
    const { context, signal } = options.contextFor(request, reply)
    result = await engine.execute({ document, operationName, variables, context, signal, asText: true })
    executed = { context, schema, document, operationName, failed: result.errors !== undefined }
  } else {
    result = { errors: document }
  }
  const { extensions, cacheControl } = options.notesOf(executed)
  const all = { ...('extensions' in result ? result.extensions : {}), ...extensions }
  const bytes = answerBytes((Object.keys(all).length > 0 ? { ...result, extensions: all } : result) as never)
  // Sent, or nobody is there any more.
  reply.raw.once('close', () => releaseAnswer(result as never))
  return reply
    .status('data' in result ? 200 : 400)
    .header('content-type', answerType(request.headers.accept) ?? JSON_TYPE)
    .header('cache-control', cacheControl)
    .send(bytes)
}
