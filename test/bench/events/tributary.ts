/** The gateway, whole: the log in SQLite on disk, its own pipeline, the product's name from the ERP's subgraph. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { openApp } from '../../../src/app.ts'
import { startDemo } from '../../../src/demo/small.ts'
import { openGateway } from '../../../src/gateway/gateway.ts'
import { silentLog } from '../../../src/observe/log.ts'
import { changeOrder } from '../../../src/simulation/trade.ts'
import { signWebhook } from '../../../src/systems/kit/signature.ts'
import { joinKey } from '../../../src/systems/records.ts'
import { serve } from './serve.ts'

process.env.APOLLO_TELEMETRY_DISABLED = 'true'
process.env.NODE_ENV = 'test'
const SECRET = 'a secret for the benchmark'

let app: Awaited<ReturnType<typeof openApp>>
let demo: Awaited<ReturnType<typeof startDemo>>
let url = ''

serve({
  async start(operations) {
    const dataDir = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
    demo = await startDemo({
      port: 0,
      simulatorPorts: [0, 0, 0],
      everyMs: 0,
      pollEvery: '0s',
      dataDir,
      world: { customers: 5, products: Math.max(operations, 8), orders: 50 },
      override: (file) =>
        Object.assign(file.systems.erp ?? {}, { notify: { profile: 'standard', secret: SECRET } }),
    })
    app = await openApp(demo.config, silentLog)
    const gateway = await openGateway(app, silentLog)
    app.start()
    await app.ready()
    url = gateway.url
    return `${url}/graphql`
  },

  /** As a feed does it: what it has read goes into the log, and is told when it is durable. */
  async tell(sku, onHand) {
    const { events, reading } = app.rooms
    const at = Number(sku.slice(4))
    const product = `A${String(at + 1).padStart(5, '0')}`
    const observed = reading.observe()
    const value = {
      key: joinKey([product, '01']),
      product,
      warehouse: '01',
      onHand: { value: onHand },
      available: { value: onHand },
    }
    const appended = await app.store.transact(async (tx) => {
      // The shelf's number, which the subscriptions filter by.
      await tx
        .insertInto('snapshot')
        .values({ system: 'erp', record: 'product', key: product, state: JSON.stringify({ sku }) })
        .onConflict((conflict) => conflict.columns(['system', 'record', 'key']).doNothing())
        .execute()
      return events.record(tx, [{ system: 'erp', record: 'inventoryLevel', value }])
    })
    observed(appended)
    await events.announce()
  },

  /** Signed webhooks over HTTP, 32 at a time; each is answered when its event is durable. */
  async ingest(seconds) {
    const dispatcher = new Agent({ connections: 32 })
    const { head } = await app.rooms.events.state()
    const cpu = process.cpuUsage()
    const began = performance.now()
    const took: number[] = []
    let refused = 0
    const one = async (lane: number) => {
      for (let count = 0; performance.now() - began < seconds * 1_000; count++) {
        const order = demo.world.get('erpOrders', String(1 + lane))
        if (!order) return
        changeOrder(demo.world, order, { comments: `${lane}/${count}` })
        const id = randomUUID()
        const timestamp = Math.floor(Date.now() / 1000)
        const body = Buffer.from(
          JSON.stringify({
            id,
            event: 'order.updated',
            timestamp: new Date().toISOString(),
            data: { externalId: String(order.docEntry) },
          }),
        )
        const sent = performance.now()
        const { statusCode, body: answer } = await request(`${url}/webhooks/erp`, {
          method: 'POST',
          dispatcher,
          body,
          headers: {
            'content-type': 'application/json',
            'webhook-id': id,
            'webhook-timestamp': String(timestamp),
            'webhook-signature': signWebhook(SECRET, id, timestamp, body),
          },
        })
        await answer.dump()
        if (statusCode === 200) took.push(performance.now() - sent)
        else refused++
      }
    }
    await Promise.all(Array.from({ length: 32 }, (_, lane) => one(lane)))
    const elapsed = (performance.now() - began) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const events = (await app.rooms.events.state()).head - head
    took.sort((a, b) => a - b)
    const at = (share: number) => Math.round(took[Math.floor(share * (took.length - 1))] ?? 0)
    await dispatcher.close()
    return {
      webhooks: took.length,
      refused,
      events,
      eventsPerSecond: Math.round(events / elapsed),
      // Client and simulated ERP included: they live in this process.
      eventsPerCpuSecond: Math.round(events / ((user + system) / 1_000_000)),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    }
  },
})
