/** `check`: the configuration, and whether each system answers to its real credentials. */
import { openSystem } from '../app.ts'
import { gatewayCaller } from '../caller/caller.ts'
import { startDemo } from '../demo.ts'
import { createLog } from '../observe/log.ts'
import { failureText } from '../systems/failure.ts'
import { createSystems } from '../systems/registry.ts'
import type { Flags } from './flags.ts'
import { configFile, readConfig } from './settings.ts'

export async function check(flags: Flags): Promise<void> {
  const logger = createLog('silent')
  const file = configFile(flags)
  const demo = file === undefined ? await startDemo({ simulatorPorts: [0, 0, 0], everyMs: 0 }) : null
  const config = demo ? demo.config : await readConfig(file as string, flags)
  const systems = await Promise.all(
    Object.entries(config.systems).map(([id, settings]) => openSystem(id, settings, logger)),
  )
  if (systems.some((system) => system.adapter.graph)) {
    const { composeWith, configuredSubgraphs } = await import('../../subgraphs/configured/index.ts')
    await composeWith(configuredSubgraphs({ systems: createSystems(systems) }))
  }
  process.stdout.write(`Configuration  ${file ?? 'the demo (no file given)'}: right\n`)
  const reached = await Promise.all(
    systems.map(async (system) => {
      const began = performance.now()
      const health = await system.adapter.health({ caller: gatewayCaller })
      const took = `${Math.round(performance.now() - began)} ms`
      await system.adapter.close()
      const said = health.ok
        ? `reached in ${took}: ${health.value.detail}`
        : `not reached (${failureText(health.failure)})`
      process.stdout.write(`${system.id.padEnd(14)} ${system.kind}, ${system.environment}: ${said}\n`)
      return health.ok
    }),
  )
  await demo?.close()
  process.exitCode = reached.every(Boolean) ? 0 : 1
}
