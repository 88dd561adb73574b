/** `gateway`: the engine alone, over any Federation 2 supergraph whose subgraphs are remote. */
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import type { Caller } from '../caller/caller.ts'
import { SERVICE_SCOPE } from '../caller/caller.ts'
import { createEngine } from '../federation/engine.ts'
import { httpTransport } from '../federation/http.ts'
import { createPipeline } from '../gateway/pipeline.ts'
import { openDoor } from '../gateway/server.ts'
import type { Flags } from '../main.ts'
import { createLog } from '../observe/log.ts'
import { UsageError } from './explain.ts'
import { portOf } from './settings.ts'
import { untilStopped } from './stop.ts'

/** Without a configuration nobody is known by name, so everybody is the same stranger. */
const anybody: Caller = {
  tenant: 'default',
  subject: 'anybody',
  roles: ['reader'],
  credentialScope: SERVICE_SCOPE,
  dataScope: { kind: 'everything' },
}

const LOOK_EVERY_MS = 500

export async function gateway(flags: Flags): Promise<void> {
  const { supergraph: file } = flags
  if (file === undefined) throw new UsageError('Say which supergraph: --supergraph FILE.')
  const logger = createLog()
  const engine = createEngine<object>({
    supergraphSdl: readSupergraph(file),
    transports: ({ url }) => httpTransport({ url }),
  })
  const reload = async () => {
    try {
      await engine.reload(readSupergraph(file))
      logger.info({ file }, 'the supergraph was reloaded')
    } catch (error) {
      logger.error({ file, err: error }, 'the changed supergraph cannot be used; the one before stays')
    }
  }
  watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, reload)
  const door = await openDoor({
    host: '127.0.0.1',
    port: portOf(flags) ?? 4000,
    maxBodyBytes: 1_048_576,
    engine,
    pipeline: createPipeline({ maxTokens: 10_000, maxDepth: 30, introspection: true }),
    authenticate: () => anybody,
    contextFor: () => ({}),
    demo: false,
    introspection: true,
    examples: [],
    logger,
  })
  process.stdout.write(`GraphQL    ${door.url}/graphql  (also ws://)\n`)
  const unwatch = async () => unwatchFile(file)
  await untilStopped(logger, [unwatch, door.close, engine.close])
}

function readSupergraph(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`The supergraph cannot be read: ${(error as Error).message}.`)
  }
}
