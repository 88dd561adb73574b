/** Our gateway, through its own door, in a process of its own. */
import { readFileSync } from 'node:fs'
import { createEngine } from '../../../src/federation/engine.ts'
import { httpTransport } from '../../../src/federation/http.ts'
import { inProcessTransport } from '../../../src/federation/in-process.ts'
import { createPipeline } from '../../../src/gateway/pipeline.ts'
import { openDoor } from '../../../src/gateway/server.ts'
import { schemaOf } from './shop.ts'

const [supergraphFile = '', mode = 'remote', subscriptionUrl = ''] = process.argv.slice(2)
const engine = createEngine<object>({
  // Everybody may see the same: their identical subscriptions are one.
  scope: () => 'everybody',
  supergraphSdl: readFileSync(supergraphFile, 'utf8'),
  transports: ({ name, url }) =>
    mode === 'in-process'
      ? inProcessTransport(schemaOf(name))
      : httpTransport({
          url,
          deduplicate: mode === 'deduplicate',
          ...(name === 'sales' && subscriptionUrl ? { subscriptionUrl } : {}),
        }),
})
const door = await openDoor<object>({
  host: '127.0.0.1',
  port: 0,
  maxBodyBytes: 1_000_000,
  engine,
  pipeline: createPipeline({ maxDepth: 30, maxTokens: 10_000, maxRootFields: 100, introspection: false }),
  authenticate: () => ({}) as never,
  contextFor: () => ({}),
  demo: false,
  introspection: false,
  examples: [],
  logger: { error() {}, warn() {}, info() {}, debug() {} } as never,
})
process.send?.({ url: `${door.url}/graphql` })
process.on('disconnect', () => process.exit())
