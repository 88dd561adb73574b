/** Which demo a command runs where no configuration was given. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { DemoOptions } from '../demo/small.ts'
import type { Example } from '../gateway/explorer.ts'
import { UsageError } from './explain.ts'
import type { Flags } from './flags.ts'
import { configFile, dataDir, portOf } from './settings.ts'

export interface RunningDemo {
  readonly config: Config
  /** What runs where, a line for each system. */
  readonly lines: readonly string[]
  /** What the explorer begins with. */
  readonly example?: Example
  announce(gatewayUrl: string): void
  close(): Promise<void>
}

const DEMOS = ['small', 'everything']

/** For a moment: on any free ports, and nothing happens by itself. */
export interface Briefly {
  readonly briefly: boolean
}

/** Null where a configuration is given. @throws UsageError */
export async function demoOf(
  flags: Flags,
  { briefly }: Briefly = { briefly: false },
): Promise<RunningDemo | null> {
  const { demo: name = 'small' } = flags
  if (!DEMOS.includes(name)) throw new UsageError(`There is no demo "${name}". Demos: ${DEMOS.join(', ')}.`)
  if (flags.demo !== undefined && flags.config !== undefined) {
    throw new UsageError('Give either --demo or --config: a demo has a configuration of its own.')
  }
  if (flags.demo === undefined && configFile(flags) !== undefined) return null
  if (name === 'everything') return everything(flags, briefly)
  const options: DemoOptions = {
    port: portOf(flags),
    dataDir: dataDir(),
    ...(briefly ? { simulatorPorts: [0, 0, 0] as const, everyMs: 0 } : {}),
  }
  // Whoever has a configuration loads no simulators.
  const { startDemo } = await import('../demo/small.ts')
  const demo = await startDemo(options)
  const { erp, crm, fin } = demo.simulators
  const lines = [
    'This is the demo: no configuration was given, so three simulated business systems run on loopback.',
    `  crm      ${crm.url}   JSON REST`,
    `  erp      ${erp.url}   SAP Business One Service Layer`,
    `  fin      ${fin.url}   SOAP finance`,
  ]
  return { config: demo.config, lines, announce: demo.announce, close: demo.close }
}

async function everything(flags: Flags, briefly: boolean): Promise<RunningDemo> {
  const { startEverything } = await import('../demo/everything.ts')
  // One that runs may have its files open.
  const folder = briefly
    ? mkdtempSync(join(tmpdir(), 'tributary-'))
    : join(dataDir() ?? '.data', 'everything')
  const { config, file, query, lines, announce, close } = await startEverything({
    port: portOf(flags),
    dataDir: folder,
    ...(briefly ? { firstPort: 0, everyMs: 0 } : {}),
  })
  return {
    config,
    example: { title: 'One customer of a group', query },
    lines: [
      'This is the demo of a group of companies: simulated business systems of every kind run on loopback.',
      ...lines.map((line) => `  ${line}`),
      `Their configuration: ${file}`,
    ],
    announce,
    async close() {
      await close()
      if (briefly) rmSync(folder, { recursive: true, force: true })
    },
  }
}
