/**
 * Our gateway over the one system, in a process of its own. `--direct`: the same schema and the same adapter, with
 * nothing between them but a DataLoader per request.
 *
 * For each request it notes how many events had been applied here when it arrived, so that answers can be held
 * against just those.
 */
import { subscribe } from 'node:diagnostics_channel'
import { mkdtempSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openApp } from '../../../src/app.ts'
import { gatewayCaller } from '../../../src/caller/caller.ts'
import { checkConfig } from '../../../src/config/load.ts'
import { openGateway } from '../../../src/gateway/gateway.ts'
import { encodeId } from '../../../src/identity/ids.ts'
import { silentLog } from '../../../src/observe/log.ts'
import type { Reading } from '../../../src/reading/reading.ts'
import { fail } from '../../../src/systems/failure.ts'
import type { Customer } from '../../../src/systems/records.ts'
import { portOf } from '../../../src/systems/registry.ts'
import { createSubgraphContext } from '../../../subgraphs/kit/context.ts'
import { revisionOf } from './erp.ts'

const [erpUrl = '', token = '', webhookSecret = '', key = '', direct = ''] = process.argv.slice(2)

const config = await checkConfig(
  {
    port: 0,
    dataDir: mkdtempSync(join(tmpdir(), 'bench-read-')),
    callers: [{ apiKey: key, subject: 'bench' }],
    systems: {
      erp: {
        kind: 'rest-crm',
        environment: 'test',
        pollEvery: '0s',
        baseUrl: erpUrl,
        auth: { type: 'bearer', token },
        webhook: { secret: webhookSecret },
        limits: { concurrency: 10, perSecond: 20 },
        breaker: { failures: 5, probeEvery: '1s' },
        // Changes are told of: a value need not be read anew because of its age.
        cache: { customer: { ttl: '10m' } },
      },
    },
  },
  {},
  'the benchmark',
)
const app = await openApp(config, silentLog)
const { systems, events, reading } = app.rooms
const applied: [key: string, revision: number][] = []
const arrivals: number[] = []
subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  const id = request.headers['x-bench-id']
  if (typeof id === 'string') arrivals[Number(id)] = applied.length
})

/** Nothing is remembered, nothing shared, nothing spared. */
const unprotected: Reading = {
  ...reading,
  async record(system, type, of) {
    const port = portOf(system, type)
    const [outcome] = (await port?.readMany([of], { caller: gatewayCaller })) ?? []
    if (!outcome) return { ok: false, failure: { kind: 'not-found', message: '' }, call: null }
    if (!outcome.ok) return { ...outcome, call: null }
    const from = { system: system.id, fetchedAt: Date.now(), stale: false, freshUntil: 0 }
    return { ...outcome, from, call: null }
  },
}
const door = await openGateway(
  direct
    ? {
        ...app,
        contextFor: (caller, signal) =>
          createSubgraphContext({ ...app.rooms, reading: unprotected }, { caller, signal }),
      }
    : app,
  silentLog,
)
app.start()
await app.ready()

const NO_LIST = fail({ kind: 'unsupported', message: 'no list' })
// Events say which fields changed from the last known state: it is made known, as a feed that polls would.
const [system] = systems.all()
if (!system) throw new Error('there is no system')
let after: string | undefined
for (;;) {
  const page = await reading
    .guardOf(system)
    .read(
      async (signal) =>
        (await portOf(system, 'customer')?.list?.(
          { first: 100, after },
          { caller: gatewayCaller, signal },
        )) ?? NO_LIST,
    )
  if (!page.ok) throw new Error(JSON.stringify(page.failure))
  const values = page.value.items.map((item) => item.record)
  await app.store.transact((tx) =>
    events.record(
      tx,
      values.map((value) => ({ system: system.id, record: 'customer' as const, value, baseline: true })),
    ),
  )
  after = page.value.items.at(-1)?.position
  if (!page.value.hasMore) break
}
// After the read path's own listener: what stands here was applied.
events.onApply((all) => {
  for (const event of all) {
    const phone = event.data.changes.find((change) => change.field === ('phone' satisfies keyof Customer))
    if (phone?.new)
      applied.push([
        encodeId({ type: 'customer', system: 'erp', key: event.key }),
        revisionOf(JSON.parse(phone.new)),
      ])
  }
})

process.send?.({ url: `${door.url}/graphql`, webhook: direct ? null : `${door.url}/webhooks/erp` })
process.on('message', (message) => {
  if (message === 'report') {
    const state = reading.state(system)
    process.send?.({ arrivals, applied, state, rss: process.memoryUsage().rss })
  }
})
process.on('disconnect', () => process.exit())
