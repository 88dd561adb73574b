/** `start`: the gateway, the subgraphs in it, and in the demo the business systems too. */
import { openApp } from '../app.ts'
import { type Demo, startDemo } from '../demo.ts'
import { openGateway } from '../gateway/gateway.ts'
import { createLog } from '../observe/log.ts'
import type { Flags } from './flags.ts'
import { configFile, dataDir, portOf, readConfig, withFlags } from './settings.ts'
import { untilStopped } from './stop.ts'

export async function start(flags: Flags): Promise<void> {
  const logger = createLog()
  const file = configFile(flags)
  const demo = file === undefined ? await startDemo({ port: portOf(flags), dataDir: dataDir() }) : null
  const config = demo ? withFlags(demo.config, flags) : await readConfig(file as string, flags)
  const app = await openApp(config, logger)
  const gateway = await openGateway(app, logger)
  demo?.announce(gateway.url)
  app.start()
  process.stdout.write(greeting(gateway.url, demo))
  await app.ready()
  process.stdout.write('Ready.\n')
  await untilStopped(logger, [gateway.close, app.close, ...(demo ? [demo.close] : [])])
}

function greeting(url: string, demo: Demo | null): string {
  const lines = [`GraphQL    ${url}/graphql  (also ws://)`, `Explorer   ${url}/`]
  if (demo) {
    const { erp, crm, fin } = demo.simulators
    lines.push(
      '',
      'This is the demo: no configuration was given, so three simulated business systems run on loopback.',
      `  crm      ${crm.url}   JSON REST`,
      `  erp      ${erp.url}   SAP Business One Service Layer`,
      `  fin      ${fin.url}   SOAP finance`,
    )
  }
  return `${lines.join('\n')}\n`
}
