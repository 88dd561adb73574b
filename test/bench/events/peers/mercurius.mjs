/** Mercurius with its gateway plugin, subscriptions on, as its documentation has it. */
import gateway from '@mercuriusjs/gateway'
import fastify from 'fastify'
import { serve } from '../serve.ts'

serve({
  async start(_shape, { stock, products }) {
    const app = fastify()
    await app.register(gateway, {
      subscription: true,
      gateway: {
        services: [
          {
            name: 'stock',
            url: stock,
            wsUrl: stock.replace('http', 'ws').replace('/graphql', '/subscriptions'),
            wsConnectionParams: { protocols: ['graphql-transport-ws'] },
          },
          { name: 'products', url: products },
        ],
      },
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { url: `http://127.0.0.1:${app.server.address().port}/graphql` }
  },
})
