/**
 * Hive Gateway behind node's HTTP server: `hive.mjs SUPERGRAPH rust|js [URL]`. Caches and deduplication are off. The
 * URL is where the sales subgraph takes subscriptions; to clients they go as its own command line does it.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createGatewayRuntime, getGraphQLWSOptions } from '@graphql-hive/gateway'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const [file, planner, subscriptionUrl] = process.argv.slice(2)
const { unifiedGraphHandler } = planner === 'rust' ? await import('@graphql-hive/router-runtime') : {}
const gateway = createGatewayRuntime({
  supergraph: readFileSync(file, 'utf8'),
  logging: false,
  landingPage: false,
  graphiql: false,
  deduplicateHTTPExecutor: false,
  transportEntries: {
    '*': { options: { deduplicateInflightRequests: false } },
    ...(subscriptionUrl
      ? { sales: { options: { subscriptions: { kind: 'ws', location: subscriptionUrl } } } }
      : {}),
  },
  ...(unifiedGraphHandler ? { unifiedGraphHandler } : {}),
})
// HTTP requests load it; a WebSocket that comes first finds none.
await gateway.getSchema()
const server = createServer(gateway)
useServer(
  getGraphQLWSOptions(gateway, ({ extra }) => ({ req: extra.request, socket: extra.socket })),
  new WebSocketServer({ server, path: '/graphql' }),
)
server.listen(0, '127.0.0.1', () =>
  process.send({ url: `http://127.0.0.1:${server.address().port}/graphql` }),
)
process.on('disconnect', () => process.exit())
