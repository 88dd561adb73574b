/** Hive Gateway behind node's HTTP server, with graphql-ws for its clients and towards its subgraph, as its documentation has it. */
import { createServer } from 'node:http'
import { createGatewayRuntime, getGraphQLWSOptions } from '@graphql-hive/gateway'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { serve } from '../serve.ts'

serve({
  async start(_shape, { supergraph }) {
    const gateway = createGatewayRuntime({
      supergraph,
      logging: false,
      landingPage: false,
      graphiql: false,
      transportEntries: {
        '*.http': { options: { subscriptions: { kind: 'ws', location: '/subscriptions' } } },
      },
    })
    const http = createServer(gateway)
    useServer(
      getGraphQLWSOptions(gateway, ({ extra }) => ({ req: extra.request, socket: extra.socket })),
      new WebSocketServer({ server: http, path: '/graphql' }),
    )
    await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${http.address().port}/graphql`
    // The schema is made for the first request over HTTP; a WebSocket finds none before.
    await fetch(`${url}?query={__typename}`)
    return { url }
  },
})
