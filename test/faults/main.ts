/** `npm run faults NAME -- OPTIONS` runs the campaign NAME; its exit code says whether anything was missed. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '32' },
    gateways: { type: 'string' },
    postgres: { type: 'string' },
  },
})
const [name = ''] = positionals
const file = join(import.meta.dirname, `${name}.ts`)
if (name !== 'write' || !existsSync(file)) {
  process.stderr.write('Which campaign? write\n')
  process.exit(2)
}
const { runWriteCampaign } = await import('./write.ts')
const report = await runWriteCampaign({
  seed: Number(values.seed ?? Date.now() % 1_000_000),
  seconds: Number(values.seconds),
  clients: Number(values.clients),
  gateways: Number(values.gateways ?? (values.postgres ? 2 : 1)),
  postgres: values.postgres,
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
process.exit(report.misses.length === 0 ? 0 : 1)
