/**
 * `gateway`: the engine alone, over any Federation 2 subgraphs that are remote. The supergraph comes from a file,
 * or is composed here from what the subgraphs say of themselves; either way it is followed when it changes.
 */
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { type Caller, SERVICE_SCOPE } from '../caller/caller.ts'
import { createEngine, type Engine } from '../federation/engine.ts'
import { httpTransport } from '../federation/http.ts'
import { createPipeline } from '../gateway/pipeline.ts'
import { openDoor } from '../gateway/server.ts'
import { createLog, type Log } from '../observe/log.ts'
import { UsageError } from './explain.ts'
import type { Flags } from './flags.ts'
import { portOf, remotesOf } from './settings.ts'
import { untilStopped } from './stop.ts'

/** Without a configuration nobody is known by name, so everybody is the same stranger. */
const anybody: Caller = {
  tenant: 'default',
  subject: 'anybody',
  roles: ['reader'],
  credentialScope: SERVICE_SCOPE,
  dataScope: { kind: 'everything' },
}

export async function gateway(flags: Flags): Promise<void> {
  const logger = createLog()
  let engine: Engine<object> | undefined
  const source = await openSource(
    flags,
    async (supergraphSdl) => {
      try {
        await engine?.reload(supergraphSdl)
        logger.info('the supergraph was reloaded')
      } catch (error) {
        logger.error({ err: error }, 'the changed supergraph cannot be used; the one before stays')
      }
    },
    logger,
  )
  const opened = createEngine<object>({
    supergraphSdl: source.supergraphSdl,
    transports: ({ url }) => httpTransport({ url }),
  })
  engine = opened
  const door = await openDoor({
    host: '127.0.0.1',
    port: portOf(flags) ?? 4000,
    maxBodyBytes: 1_048_576,
    engine: opened,
    pipeline: createPipeline({ maxTokens: 10_000, maxDepth: 30, maxRootFields: 1_000, introspection: true }),
    authenticate: () => anybody,
    contextFor: () => ({}),
    demo: false,
    introspection: true,
    examples: [],
    logger,
  })
  process.stdout.write(`GraphQL    ${door.url}/graphql  (also ws://)\n`)
  await untilStopped(logger, [source.close, door.close, opened.close])
}

interface Source {
  readonly supergraphSdl: string
  close(): Promise<void>
}

type Changed = (supergraphSdl: string) => Promise<void>

async function openSource(flags: Flags, changed: Changed, logger: Log): Promise<Source> {
  const remotes = Object.entries(remotesOf(flags))
  if (flags.supergraph !== undefined && remotes.length === 0)
    return fromFile(flags.supergraph, changed, logger)
  if (flags.supergraph === undefined && remotes.length > 0) return fromSubgraphs(remotes, changed)
  throw new UsageError(
    'Say either which supergraph, --supergraph FILE, or which subgraphs, --remote NAME=URL.',
  )
}

const LOOK_EVERY_MS = 500

function fromFile(file: string, changed: Changed, logger: Log): Source {
  watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, () => {
    try {
      void changed(readFileSync(file, 'utf8'))
    } catch (error) {
      // An editor that writes by renaming: the next look finds it.
      logger.warn({ file, err: error }, 'the supergraph cannot be read now')
    }
  })
  try {
    return { supergraphSdl: readFileSync(file, 'utf8'), close: async () => unwatchFile(file) }
  } catch (error) {
    unwatchFile(file)
    throw new UsageError(`The supergraph cannot be read: ${(error as Error).message}.`)
  }
}

const ASK_EVERY_MS = 5_000

/** For development: `@apollo/gateway` asks the subgraphs for their schemas and composes them, again and again. */
async function fromSubgraphs(
  remotes: readonly [string, { url: string }][],
  changed: Changed,
): Promise<Source> {
  const { IntrospectAndCompose, RemoteGraphQLDataSource } = await import('@apollo/gateway')
  const manager = new IntrospectAndCompose({
    subgraphs: remotes.map(([name, { url }]) => ({ name, url })),
    pollIntervalInMs: ASK_EVERY_MS,
  })
  try {
    const { supergraphSdl, cleanup } = await manager.initialize({
      update: (sdl) => void changed(sdl),
      healthCheck: async () => {},
      getDataSource: ({ url }) => new RemoteGraphQLDataSource({ url }),
    })
    return { supergraphSdl, close: async () => cleanup?.() }
  } catch (error) {
    throw new UsageError(`The subgraphs cannot be composed: ${(error as Error).message}`)
  }
}
