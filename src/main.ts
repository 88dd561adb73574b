/** The command line. Each command loads only what it needs. */
import { parseArgs } from 'node:util'
import type { Flags } from './commands/flags.ts'

const USAGE = `Usage: npm start -- [options]              the gateway with all subgraphs; without a configuration, the demo
       npm run subgraph -- NAME [options]  one subgraph as a process of its own: crm, erp, wms, tms, finance,
                                           operations
       npm run gateway -- --supergraph FILE [--port N]  a plain federation gateway over remote subgraphs;
                                           --remote NAME=URL … instead of the file composes what they serve
       npm run check -- [options]          is the configuration right, can the systems be reached?
       npm run ask -- [--url URL] [OPERATION]  sends one operation, also from standard input
       npm run watch -- [--url URL] [SUBSCRIPTION]  prints what changes, as it changes
       npm run kinds -- [--check]          writes which kind of system offers what into README.md, or checks it
       npm run compose -- [--check]        writes schema/supergraph.graphql from the subgraphs, or checks it

Options: --config FILE   the configuration (or TRIBUTARY_CONFIG)
         --demo NAME     start, check: small (three systems; without a configuration the default) or everything
         --port N        instead of the configured port (or PORT)
         --remote NAME=URL   a subgraph that runs as a process of its own; may be repeated
         --extensions    ask: also print where the answer comes from and how old it is
         --key KEY       ask, watch: the API key to show`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: {
    config: { type: 'string' },
    demo: { type: 'string' },
    port: { type: 'string' },
    remote: { type: 'string', multiple: true },
    supergraph: { type: 'string' },
    check: { type: 'boolean' },
    url: { type: 'string' },
    extensions: { type: 'boolean' },
    key: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
})

const KNOWN = new Set([
  'config',
  'demo',
  'port',
  'remote',
  'supergraph',
  'check',
  'url',
  'extensions',
  'key',
  'help',
])
const commands: Readonly<Record<string, (args: string[], flags: Flags) => Promise<void>>> = {
  start: async (_args, flags) => (await import('./commands/start.ts')).start(flags),
  subgraph: async (args, flags) => (await import('./commands/subgraph.ts')).subgraph(args, flags),
  gateway: async (_args, flags) => (await import('./commands/gateway.ts')).gateway(flags),
  check: async (_args, flags) => (await import('./commands/check.ts')).check(flags),
  watch: async (args, flags) => (await import('./commands/watch.ts')).watch(args, flags),
  ask: async (args, flags) => (await import('./commands/ask.ts')).ask(args, flags),
  kinds: async (_args, flags) => (await import('./commands/kinds.ts')).kindsCommand(flags),
  compose: async (_args, flags) => (await import('./commands/compose.ts')).compose(flags),
}

const [name = 'start', ...args] = positionals
const command = commands[name]
const strange = Object.keys(values).find((flag) => !KNOWN.has(flag))
if (values.help) {
  process.stdout.write(`${USAGE}\n`)
} else if (!command || strange !== undefined) {
  process.stderr.write(
    `${command ? `--${strange} is not known.` : `There is no command "${name}".`}\n${USAGE}\n`,
  )
  process.exitCode = 2
} else {
  // Apollo's gateway library would report usage unless told not to, before it loads.
  process.env.APOLLO_TELEMETRY_DISABLED = 'true'
  try {
    await command(args, values as Flags)
  } catch (error) {
    const { explain } = await import('./commands/explain.ts')
    const { text, exitCode } = explain(error)
    process.stderr.write(`${text}\n`)
    process.exit(exitCode)
  }
}
