/**
 * What the gateways stand in front of: stock with its subscription, and products, whose name each event needs. In a
 * process of their own, which is not measured, and in Federation 1, which both gateways take. Answers are made by hand:
 * the less these cost, the more is left for who is measured.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { composeServices } from '@apollo/composition'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { execute, parse } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { serve } from './serve.ts'
import { changeOf, createTopics } from './topics.ts'

const SDL = {
  stock: `
    type Query { nothing: String }
    type Subscription { inventoryChanged(sku: String, after: String): Change }
    type Change { cursor: String! time: String! event: String! onHandAfter: String level: Level }
    type Level { product: Product }
    extend type Product @key(fields: "sku") { sku: ID! @external }`,
  products: `
    type Query { product(sku: ID!): Product }
    type Product @key(fields: "sku") { sku: ID! name: String }`,
}

const topics = createTopics()

/** Values stand in the parents under the names of their fields: no resolver is needed. */
const roots = {
  async *inventoryChanged({ sku }: { sku: string }) {
    for await (const event of topics.follow(sku))
      yield { inventoryChanged: { ...changeOf(event), level: { product: { __typename: 'Product', sku } } } }
  },
}

const product = (sku: string) => ({ __typename: 'Product', sku, name: `product ${sku}` })

async function open(name: keyof typeof SDL): Promise<string> {
  const typeDefs = parse(SDL[name])
  const schema = buildSubgraphSchema({
    typeDefs,
    resolvers: { Product: { __resolveReference: ({ sku }: { sku: string }) => product(sku) } },
  })
  const documents = new Map<string, ReturnType<typeof parse>>()
  const documentOf = (query: string) => {
    const document = documents.get(query) ?? parse(query)
    documents.set(query, document)
    return document
  }
  const http = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { query, variables } = JSON.parse(body) as { query: string; variables?: Record<string, unknown> }
    const result = await execute({
      schema,
      document: documentOf(query),
      variableValues: variables ?? null,
      rootValue: { product: ({ sku }: { sku: string }) => product(sku) },
    })
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(result))
  })
  const sockets = new WebSocketServer({ server: http, path: '/subscriptions' })
  useServer({ schema, roots: { subscription: roots } }, sockets)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}/graphql`
}

serve({
  async start() {
    const urls = { stock: await open('stock'), products: await open('products') }
    const { supergraphSdl, errors } = composeServices(
      (['stock', 'products'] as const).map((name) => ({
        name,
        url: urls[name],
        typeDefs: parse(SDL[name]),
      })),
    )
    if (!supergraphSdl) throw new Error(`the subgraphs do not compose: ${errors?.join('; ')}`)
    return { ...urls, supergraph: supergraphSdl }
  },
  async tell(sku, onHand, position) {
    topics.publish({ sku, onHand, position })
  },
})
