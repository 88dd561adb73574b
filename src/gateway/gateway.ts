/** The gateway of this house: the engine over the built-in subgraphs, behind the public door. */
import { readFileSync } from 'node:fs'
import type { GraphQLSchema } from 'graphql'
import { composeWith, configuredSubgraphs } from '../../subgraphs/configured/index.ts'
import { SUBGRAPHS, subgraphSchema, subgraphSdl, supergraphFile } from '../../subgraphs/index.ts'
import type { SubgraphContext } from '../../subgraphs/kit/context.ts'
import { CODES } from '../../subgraphs/kit/errors.ts'
import { wantsOf } from '../../subgraphs/kit/wants.ts'
import type { App } from '../app.ts'
import { scopeKey } from '../caller/caller.ts'
import { CALLER_HEADER, signCaller } from '../caller/signature.ts'
import { createEngine } from '../federation/engine.ts'
import type { PlannedFetch } from '../federation/executable.ts'
import { httpTransport } from '../federation/http.ts'
import { inProcessTransport } from '../federation/in-process.ts'
import type { SubgraphResponse, SubgraphTransport } from '../federation/transport.ts'
import type { Log } from '../observe/log.ts'
import type { Wants } from '../reading/parts.ts'
import type { SourcesReport } from '../reading/reader.ts'
import { cacheHints, createMaxAgeOf } from './cache-control.ts'
import { createAuthenticate } from './callers.ts'
import { examples as usual } from './examples.ts'
import type { Example } from './explorer.ts'
import { createPipeline } from './pipeline.ts'
import { takingNotes } from './reading-notes.ts'
import { type AnswerNotes, type Door, openDoor, type WebhookAnswer } from './server.ts'

/** @param first What the explorer begins with; default: the first of the usual examples. */
export async function openGateway(app: App, logger: Log, first?: Example): Promise<Door> {
  const { config, rooms } = app
  const schemas = new Map<string, GraphQLSchema>()
  const inProcess = (name: string, schema: GraphQLSchema) => {
    schemas.set(name, schema)
    return logged(inProcessTransport<SubgraphContext>(schema), name, logger)
  }
  const transports = Object.fromEntries(
    SUBGRAPHS.map((name) => {
      const remote = config.subgraphs[name]
      return [
        name,
        remote
          ? takingNotes(
              httpTransport<SubgraphContext>({
                url: remote.url,
                headers: ({ caller, maxAgeMs }) => ({
                  [CALLER_HEADER]: signCaller(app.callerSecret, caller),
                  ...(maxAgeMs === undefined
                    ? {}
                    : { 'cache-control': `max-age=${Math.floor(maxAgeMs / 1_000)}` }),
                }),
              }),
            )
          : inProcess(name, subgraphSchema(name, rooms)),
      ]
    }),
  )
  const configured = configuredSubgraphs(rooms)
  for (const { name, schema } of configured) transports[name] = inProcess(name, schema)
  /** Over all subgraphs: one of them may read first what another one shows more of. */
  const wants = new WeakMap<readonly PlannedFetch[], Wants>()
  const wantsOfPlan = (fetches: readonly PlannedFetch[]): Wants => {
    const known = wants.get(fetches)
    if (known) return known
    const asked = fetches.flatMap(({ subgraph, document }) => {
      const schema = schemas.get(subgraph)
      return schema ? [{ schema, document }] : []
    })
    const made = wantsOf(asked)
    wants.set(fetches, made)
    return made
  }
  const engine = createEngine<SubgraphContext>({
    supergraphSdl:
      configured.length > 0 ? await composeWith(configured) : readFileSync(supergraphFile, 'utf8'),
    transports,
    exposedCodes: new Set(CODES),
    // Who may see the same asks the same: one evaluation per event for all of them.
    scope: ({ caller, maxAgeMs }) =>
      JSON.stringify([scopeKey(caller), [...caller.roles].sort(), maxAgeMs ?? null]),
    eventContext: ({ caller, maxAgeMs }) => app.contextFor(caller, undefined, maxAgeMs),
    eventNotes: {
      take: ({ reader }) => reader.sources().demandMet,
      // Messages stay small: sources are told where they were asked about.
      extensions: (met) => (met[0] === null ? {} : { freshness: { met: !met.includes(false) } }),
    },
    onQuery: ({ reader }, fetches) => reader.want(wantsOfPlan(fetches)),
  })
  const { maxTokens, maxDepth, maxRootFields } = config
  const door = await openDoor<SubgraphContext>({
    host: config.host,
    port: config.port,
    maxBodyBytes: config.maxBodyBytes,
    engine,
    pipeline: createPipeline({ maxTokens, maxDepth, maxRootFields, introspection: true }),
    authenticate: createAuthenticate(config),
    contextFor: app.contextFor,
    describe: ({ reader }) => describe(reader.sources()),
    maxAgeOf: createMaxAgeOf(
      cacheHints([...SUBGRAPHS.map(subgraphSdl), ...configured.map(({ typeDefs }) => typeDefs)]),
    ),
    demo: config.demo,
    introspection: true,
    // Altair opens the last window.
    examples: first ? [...usual, first] : usual,
    webhook: {
      receive: (system, headers, body) => receive(app, system, headers, body),
      tooLarge: app.feeds.tooLarge,
    },
    logger,
  })
  return {
    url: door.url,
    async close() {
      await door.close()
      await engine.close()
    },
  }
}

function describe({ sources, freshUntil, demandMet }: SourcesReport): AnswerNotes {
  return {
    extensions: {
      ...(sources.length > 0 ? { sources } : {}),
      ...(demandMet === null ? {} : { freshness: { met: demandMet } }),
    },
    freshUntil,
  }
}

const known = new Set<unknown>(CODES)

/** What the engine masks for clients is a bug of ours: operators must find it in the log. */
function logged<TContext>(
  transport: SubgraphTransport<TContext>,
  subgraph: string,
  logger: Log,
): SubgraphTransport<TContext> {
  const look = (response: SubgraphResponse): SubgraphResponse => {
    for (const error of response.errors ?? []) {
      if (known.has(error.extensions?.code)) continue
      const { originalError } = error as { originalError?: unknown }
      logger.error({ subgraph, path: error.path, err: originalError ?? error }, 'a resolver failed')
    }
    return response
  }
  return {
    ...transport,
    execute: async (request) => look(await transport.execute(request)),
  }
}

async function receive(
  app: App,
  id: string,
  headers: Record<string, string | undefined>,
  body: Buffer,
): Promise<WebhookAnswer> {
  const system = app.rooms.systems.get(id)
  if (!system) return { status: 404, body: { error: `There is no system "${id}".` } }
  const outcome = await app.feeds.receive(system, { headers, body })
  const status = outcome.ok ? 200 : outcome.status
  const wanted = system.adapter.webhook?.answer?.(outcome.ok ? null : outcome.message)
  if (wanted) return { status, body: wanted }
  return { status, body: outcome.ok ? { received: outcome.received } : { error: outcome.message } }
}
