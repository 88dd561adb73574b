/**
 * What is compared with: graphql-js and graphql-ws as their documentation shows them, one resolver, no gateway, no log.
 * A topic for each SKU, so that nobody is woken for an event that is for others.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { serve } from './serve.ts'
import { changeOf, createTopics, type StockEvent } from './topics.ts'

const schema = buildSchema(`
  type Product { name: String }
  type Level { product: Product }
  type Change { cursor: String! time: String! event: String! onHandAfter: String level: Level }
  type Query { nothing: String }
  type Subscription { inventoryChanged(sku: String, after: String): Change! }
`)
const topics = createTopics()

const roots = {
  async *inventoryChanged({ sku }: { sku: string }) {
    for await (const event of topics.follow(sku))
      yield { inventoryChanged: { ...changeOf(event), level: levelOf(event) } }
  },
}

/** The field from elsewhere: here it is at hand. */
const levelOf =
  ({ sku }: StockEvent) =>
  async () => ({ product: async () => ({ name: `product ${sku}` }) })

serve({
  async start() {
    const http = createServer()
    useServer(
      { schema, roots: { subscription: roots } },
      new WebSocketServer({ server: http, path: '/graphql' }),
    )
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/graphql` }
  },
  async tell(sku, onHand, position) {
    topics.publish({ sku, onHand, position })
  },
})
