/** `check`: the configuration, and whether each system answers to its real credentials. */
import { openSystem } from '../app.ts'
import { gatewayCaller } from '../caller/caller.ts'
import { createLog } from '../observe/log.ts'
import { failureText } from '../systems/failure.ts'
import { createSystems, type System } from '../systems/registry.ts'
import { demoOf } from './demo.ts'
import type { Flags } from './flags.ts'
import { configFile, readConfig } from './settings.ts'

export async function check(flags: Flags): Promise<void> {
  const logger = createLog('silent')
  const demo = await demoOf(flags, { briefly: true })
  const file = demo ? undefined : configFile(flags)
  const config = demo ? demo.config : await readConfig(file as string, flags)
  const systems = await Promise.all(
    Object.entries(config.systems).map(([id, settings]) => openSystem(id, settings, logger)),
  )
  if (systems.some((system) => system.adapter.graph)) {
    const { composeWith, configuredSubgraphs } = await import('../../subgraphs/configured/index.ts')
    await composeWith(configuredSubgraphs({ systems: createSystems(systems) }))
  }
  process.stdout.write(`Configuration  ${file ?? 'the demo (no file given)'}: right\n`)
  const fine = await Promise.all(
    systems.map(async (system) => {
      const { lines, isFine } = await examine(system)
      await system.adapter.close()
      process.stdout.write(lines.map((line) => `${system.id.padEnd(14)} ${line}\n`).join(''))
      return isFine
    }),
  )
  await demo?.close()
  process.exitCode = fine.every(Boolean) ? 0 : 1
}

/** Whether the system answers, and whether what the configuration names is there. */
async function examine(
  system: System,
): Promise<{ readonly lines: readonly string[]; readonly isFine: boolean }> {
  const { adapter, kind, environment } = system
  const context = { caller: gatewayCaller }
  const began = performance.now()
  const health = await adapter.health(context)
  const took = Math.round(performance.now() - began)
  const what = `${kind}, ${environment}`
  if (!health.ok) return { lines: [`${what}: not reached (${failureText(health.failure)})`], isFine: false }
  const lines = [`${what}: reached in ${took} ms: ${health.value.detail}`]
  const misfits = await adapter.checkConfiguration?.(context)
  if (!misfits) return { lines, isFine: true }
  const found = misfits.ok
    ? misfits.value
    : [`its names could not be checked (${failureText(misfits.failure)})`]
  return { lines: [...lines, ...found.map((misfit) => `  ${misfit}`)], isFine: found.length === 0 }
}
