/** `subgraph NAME`: one subgraph as a process of its own, beside a gateway that shares its store. */
import { SUBGRAPHS, type SubgraphName, subgraphPort, subgraphSchema } from '../../subgraphs/index.ts'
import { openApp } from '../app.ts'
import type { Config } from '../config/schema.ts'
import { readingNotes } from '../gateway/reading-notes.ts'
import { openSubgraphDoor } from '../gateway/subgraph-door.ts'
import { createLog } from '../observe/log.ts'
import { UsageError } from './explain.ts'
import type { Flags } from './flags.ts'
import { configFile, dataDir, portOf, readConfig } from './settings.ts'
import { untilStopped } from './stop.ts'

export async function subgraph(args: readonly string[], flags: Flags): Promise<void> {
  const [name] = args
  if (!isSubgraph(name)) throw new UsageError(`Say which subgraph: ${SUBGRAPHS.join(', ')}.`)
  const logger = createLog()
  const file = configFile(flags)
  const config = file === undefined ? await demo() : await readConfig(file, flags)
  const app = await openApp(config, logger)
  const schema = subgraphSchema(name, app.rooms)
  const door = await openSubgraphDoor({
    host: config.host,
    port: portOf(flags) ?? subgraphPort(name),
    schema,
    callerSecret: app.callerSecret,
    contextFor: app.contextFor,
    ...readingNotes(schema),
    logger,
  })
  app.start()
  process.stdout.write(`Subgraph ${name}   ${door.url}\n`)
  await untilStopped(logger, [door.close, app.close])
}

/** Whoever has a configuration loads no simulators. */
async function demo(): Promise<Config> {
  const { demoConfig } = await import('../demo/small.ts')
  return demoConfig({ dataDir: dataDir() })
}

const isSubgraph = (name: string | undefined): name is SubgraphName =>
  (SUBGRAPHS as readonly string[]).includes(name ?? '')
