/** The gateway, whole: the log in SQLite on disk, its own pipeline, the product's name from the ERP's subgraph. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from 'graphql-ws'
import { Agent, request } from 'undici'
import { WebSocket } from 'ws'
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
  async start({ operations }) {
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
    return { url: `${url}/graphql` }
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
      // The shelf's number, which the subscriptions filter by; a look at the ERP may have found another.
      const state = JSON.stringify({ sku })
      await tx
        .insertInto('snapshot')
        .values({ system: 'erp', record: 'product', key: product, state })
        .onConflict((conflict) => conflict.columns(['system', 'record', 'key']).doUpdateSet({ state }))
        .execute()
      return events.record(tx, [{ system: 'erp', record: 'inventoryLevel', value }])
    })
    observed(appended)
    await events.announce()
  },

  /** Signed webhooks over HTTP, at most 32 at a time; each is answered when its event is durable. */
  async ingest(seconds) {
    const dispatcher = new Agent({ connections: 32 })
    const { head } = await app.rooms.events.state()
    const cpu = process.cpuUsage()
    const began = performance.now()
    const took: number[] = []
    let refused = 0
    const one = async (lane: number) => {
      for (let count = 0; performance.now() - began < seconds * 1_000; count++) {
        const sent = performance.now()
        const status = await changeAndTell(lane, `${lane}/${count}`, dispatcher)
        if (status === 200) took.push(performance.now() - sent)
        else refused++
      }
    }
    // An order for each: two changes of one order at a time may be one event.
    const lanes = Math.min(32, demo.world.all('erpOrders').length)
    await Promise.all(Array.from({ length: lanes }, (_, lane) => one(lane)))
    const elapsed = (performance.now() - began) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const events = (await app.rooms.events.state()).head - head
    await dispatcher.close()
    return {
      webhooks: took.length,
      refused,
      events,
      eventsPerSecond: Math.round(events / elapsed),
      // Client and simulated ERP included: they live in this process.
      eventsPerCpuSecond: Math.round(events / ((user + system) / 1_000_000)),
      ...quantilesOf(took),
    }
  },

  /** A change every 50 ms, told by a signed webhook: how long from there to a subscriber. */
  async webhooks(seconds) {
    const dispatcher = new Agent({ connections: 4 })
    // The first look: from then on an event says what has changed.
    const erp = app.rooms.systems.get('erp')
    if (erp) await app.feeds.pollOnce(erp)
    const { followers } = await app.rooms.events.state()
    const client = createClient({ url: `${url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket })
    /** By what was changed: which order, and when. */
    const underWay = new Map<string, { readonly at: number; readonly sent: number }>()
    const took: number[] = []
    const stream = client.iterate<{ orderChanged: { changes: { field: string; new: string }[] } }>({
      query:
        'subscription { orderChanged { changes { field new } order { number status customer { name } } } }',
    })
    const reading = (async () => {
      for await (const { data } of stream) {
        const comments = data?.orderChanged.changes.find(({ field }) => field === 'comments')?.new
        const one = underWay.get(comments ?? '')
        if (one) took.push(performance.now() - one.sent)
        underWay.delete(comments ?? '')
      }
    })()
    while ((await app.rooms.events.state()).followers === followers) await delay(20)
    const began = performance.now()
    const orders = demo.world.all('erpOrders').length
    let sent = 0
    let told = 0
    for (; performance.now() - began < seconds * 1_000; sent++) {
      const due = sent * 50 - (performance.now() - began)
      if (due > 0) await delay(due)
      const comments = `seen ${sent}`
      // Two changes of one order at a time may be one event.
      const busy = new Set([...underWay.values()].map(({ at }) => at))
      const at = Array.from({ length: orders }, (_, from) => (sent + from) % orders).find(
        (one) => !busy.has(one),
      )
      if (at === undefined) continue
      underWay.set(JSON.stringify(comments), { at, sent: performance.now() })
      // Not awaited: the rate is kept, whatever the answer takes.
      void changeAndTell(at, comments, dispatcher)
      told++
    }
    for (const deadline = performance.now() + 20_000; took.length < told && performance.now() < deadline; )
      await delay(20)
    await stream.return?.()
    await reading
    await client.dispose()
    await dispatcher.close()
    return { webhooks: told, delivered: took.length, ...quantilesOf(took) }
  },
})

/** Somebody changes an order in the ERP, and the ERP says so. @returns The status of the gateway's answer. */
async function changeAndTell(at: number, comments: string, dispatcher: Agent): Promise<number> {
  const orders = demo.world.all('erpOrders')
  const order = orders[at % orders.length]
  if (!order) throw new Error('the demo has no orders')
  changeOrder(demo.world, order, { comments })
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
  return statusCode
}

function quantilesOf(took: readonly number[]): { readonly p50Ms: number; readonly p99Ms: number } {
  const sorted = took.toSorted((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}
