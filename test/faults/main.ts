/** `npm run faults NAME -- OPTIONS` runs the campaign NAME; its exit code says whether anything was missed. */
import { parseArgs } from 'node:util'
import type { EventCampaignOptions } from './events.ts'
import type { CampaignOptions } from './write.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '32' },
    gateways: { type: 'string' },
    postgres: { type: 'string' },
    systems: { type: 'string' },
    broker: { type: 'string' },
  },
})
const campaigns: Readonly<Record<string, () => Promise<(options: Options) => Promise<Report>>>> = {
  write: async () => (await import('./write.ts')).runWriteCampaign,
  events: async () => (await import('./events.ts')).runEventCampaign,
}
type Options = CampaignOptions & Pick<EventCampaignOptions, 'broker'>
type Report = { readonly misses: readonly string[] }

const campaign = campaigns[positionals[0] ?? '']
if (!campaign) {
  process.stderr.write(`Which campaign? ${Object.keys(campaigns).join(', ')}\n`)
  process.exit(2)
}
const { broker } = values
if (broker !== undefined && broker !== 'nats' && broker !== 'rocketmq') {
  process.stderr.write(`Which broker? nats, rocketmq\n`)
  process.exit(2)
}
const run = await campaign()
const report = await run({
  seed: Number(values.seed ?? Date.now() % 1_000_000),
  seconds: Number(values.seconds),
  clients: Number(values.clients),
  gateways: Number(values.gateways ?? (values.postgres ? 2 : 1)),
  postgres: values.postgres,
  systems: values.systems,
  broker,
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
process.exit(report.misses.length === 0 ? 0 : 1)
