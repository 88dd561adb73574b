/** What fan-out costs without a gateway: a graphql-ws server on graphql-js that knows all fields itself. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { moves } from './shop.ts'

const schema = buildSchema(`
  type Query { nothing: Int }
  type Subscription { stockMoved: Product }
  type Product { upc: ID! inStock: Boolean name: String price: Int }
`)
const rootValue = {
  stockMoved: async function* () {
    for await (const event of moves.stream()) {
      const { upc } = (event as { stockMoved: { upc: string } }).stockMoved
      const n = Number(upc.slice(1))
      yield {
        stockMoved: {
          upc,
          inStock: n % 2 === 0,
          name: `Product ${n}, in a sensible length`,
          price: 100 + n * 37,
        },
      }
    }
  },
}
const http = createServer()
useServer(
  { schema, roots: { subscription: rootValue } },
  new WebSocketServer({ server: http, path: '/graphql' }),
)
http.listen(0, '127.0.0.1')
await once(http, 'listening')
process.send?.({ url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/graphql` })
process.on('message', (message: { move: string }) => moves.move(message.move))
process.on('disconnect', () => process.exit())
