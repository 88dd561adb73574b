/** What is compared with: graphql-js and graphql-ws as their documentation shows them, one resolver, no gateway. */
import { EventEmitter, on } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { serve } from './serve.ts'

interface Event {
  readonly sku: string
  readonly onHand: string
  readonly position: number
}

const schema = buildSchema(`
  type Product { name: String }
  type Level { product: Product }
  type Change { cursor: String! time: String! event: String! onHandAfter: String level: Level }
  type Query { nothing: String }
  type Subscription { inventoryChanged(sku: String, after: String): Change! }
`)
const events = new EventEmitter().setMaxListeners(0)

const roots = {
  async *inventoryChanged({ sku }: { sku: string }) {
    for await (const [event] of on(events, 'change') as AsyncIterable<[Event]>) {
      if (event.sku !== sku) continue
      yield {
        inventoryChanged: {
          cursor: String(event.position),
          time: new Date().toISOString(),
          event: 'product.inventory.changed',
          onHandAfter: event.onHand,
          // The field from elsewhere: here it is at hand.
          level: async () => ({ product: async () => ({ name: `product ${event.sku}` }) }),
        },
      }
    }
  },
}

serve({
  async start() {
    const http = createServer()
    useServer(
      { schema, roots: { subscription: roots } },
      new WebSocketServer({ server: http, path: '/graphql' }),
    )
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(http.address() as AddressInfo).port}/graphql`
  },
  async tell(sku, onHand, position) {
    events.emit('change', { sku, onHand, position } satisfies Event)
  },
})
