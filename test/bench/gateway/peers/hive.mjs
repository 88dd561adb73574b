/** Hive Gateway behind node's HTTP server: `hive.mjs SUPERGRAPH rust|js`. Caches and deduplication are off. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createGatewayRuntime } from '@graphql-hive/gateway'

const [file, planner] = process.argv.slice(2)
const { unifiedGraphHandler } = planner === 'rust' ? await import('@graphql-hive/router-runtime') : {}
const gateway = createGatewayRuntime({
  supergraph: readFileSync(file, 'utf8'),
  logging: false,
  landingPage: false,
  graphiql: false,
  deduplicateHTTPExecutor: false,
  transportEntries: { '*': { options: { deduplicateInflightRequests: false } } },
  ...(unifiedGraphHandler ? { unifiedGraphHandler } : {}),
})
const server = createServer(gateway)
server.listen(0, '127.0.0.1', () =>
  process.send({ url: `http://127.0.0.1:${server.address().port}/graphql` }),
)
process.on('disconnect', () => process.exit())
