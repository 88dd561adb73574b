/**
 * `@apollo/gateway` over one subgraph with a DataLoader per request, and a whole-response cache with a time to live:
 * `apollo.mjs ERP_URL TOKEN TTL_SECONDS`. Gateway and subgraph share the process; HTTP is between them as ever.
 */
import { ApolloGateway, IntrospectAndCompose } from '@apollo/gateway'
import { ApolloServer } from '@apollo/server'
import { ApolloServerPluginCacheControl } from '@apollo/server/plugin/cacheControl'
import { startStandaloneServer } from '@apollo/server/standalone'
import responseCachePlugin from '@apollo/server-plugin-response-cache'
import { buildSubgraphSchema } from '@apollo/subgraph'
import DataLoader from 'dataloader'
import { parse } from 'graphql'

const [erp, token, ttl] = process.argv.slice(2)
const plugin = responseCachePlugin.default ?? responseCachePlugin

const typeDefs = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])
  type Query { customer(id: ID!): Customer }
  type Customer @key(fields: "id") { id: ID! name: String phone: String level: String }
`)

async function readMany(ids) {
  const response = await fetch(`${erp}/api/customers?ids=${ids.join(',')}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  if (!response.ok) throw new Error(`ERP answered ${response.status}`)
  const { data } = await response.json()
  const byId = new Map(data.items.map((item) => [item.customerId, item]))
  return ids.map((id) => byId.get(id) ?? null)
}

const resolvers = {
  Query: { customer: (_, { id }, { loader }) => loader.load(id) },
  Customer: { id: ({ customerId }) => customerId },
}

const subgraph = new ApolloServer({
  schema: buildSubgraphSchema({ typeDefs, resolvers }),
  plugins: [ApolloServerPluginCacheControl({ defaultMaxAge: Number(ttl) })],
})
const { url: subgraphUrl } = await startStandaloneServer(subgraph, {
  listen: { port: 0, host: '127.0.0.1' },
  context: async () => ({ loader: new DataLoader(readMany) }),
})
const server = new ApolloServer({
  gateway: new ApolloGateway({
    supergraphSdl: new IntrospectAndCompose({ subgraphs: [{ name: 'erp', url: subgraphUrl }] }),
  }),
  plugins: [plugin()],
})
const { url } = await startStandaloneServer(server, { listen: { port: 0, host: '127.0.0.1' } })
process.send({ url: url.replace('localhost', '127.0.0.1') })
process.on('message', (message) => {
  if (message === 'report') process.send({ arrivals: [], applied: [] })
})
process.on('disconnect', () => process.exit())
