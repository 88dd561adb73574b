/** `start`: the gateway, the subgraphs in it, and in a demo the business systems too. */
import { createLog } from '../observe/log.ts'
import { demoOf } from './demo.ts'
import type { Flags } from './flags.ts'
import { configFile, readConfig, withFlags } from './settings.ts'
import { untilStopped } from './stop.ts'

export async function start(flags: Flags): Promise<void> {
  const logger = createLog()
  const demo = await demoOf(flags)
  const config = demo ? withFlags(demo.config, flags) : await readConfig(configFile(flags) as string, flags)
  // What is wrong with a configuration is told at once, before all the rest is loaded.
  const { openApp } = await import('../app.ts')
  const { openGateway } = await import('../gateway/gateway.ts')
  const app = await openApp(config, logger)
  const gateway = await openGateway(app, logger, demo?.example)
  demo?.announce(gateway.url)
  app.start()
  process.stdout.write(greeting(gateway.url, demo?.lines))
  await app.ready()
  process.stdout.write('Ready.\n')
  await untilStopped(logger, [gateway.close, app.close, ...(demo ? [demo.close] : [])])
}

function greeting(url: string, demo: readonly string[] | undefined): string {
  const lines = [`GraphQL    ${url}/graphql  (also ws://)`, `Explorer   ${url}/`]
  if (demo) lines.push('', ...demo)
  return `${lines.join('\n')}\n`
}
