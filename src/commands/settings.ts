/** Where a command's configuration comes from: a file, or the demo. */
import { loadConfigFile } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { UsageError } from './explain.ts'
import type { Flags } from './flags.ts'

export function configFile(flags: Flags): string | undefined {
  return flags.config ?? (process.env.TRIBUTARY_CONFIG || undefined)
}

/** Where the demo keeps its data; a configuration says it itself. */
export function dataDir(): string | undefined {
  return process.env.TRIBUTARY_DATA || undefined
}

/** `--port`, else `PORT`. @throws UsageError */
export function portOf(flags: Flags): number | undefined {
  const text = flags.port ?? (process.env.PORT || undefined)
  if (text === undefined) return undefined
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new UsageError(`"${text}" is no port: use a number from 0 to 65535.`)
}

/** `--remote NAME=URL`. @throws UsageError */
export function remotesOf(flags: Flags): Record<string, { url: string }> {
  return Object.fromEntries(
    (flags.remote ?? []).map((text) => {
      const [name = '', ...rest] = text.split('=')
      const url = rest.join('=')
      if (name === '' || !URL.canParse(url)) {
        throw new UsageError(`"${text}" is not NAME=URL, for example crm=http://127.0.0.1:4101/graphql.`)
      }
      return [name, { url }]
    }),
  )
}

export function withFlags(config: Config, flags: Flags): Config {
  return {
    ...config,
    port: portOf(flags) ?? config.port,
    subgraphs: { ...config.subgraphs, ...remotesOf(flags) },
  }
}

export async function readConfig(file: string, flags: Flags): Promise<Config> {
  return withFlags(await loadConfigFile(file, process.env), flags)
}
