/** `@apollo/gateway` behind `@apollo/server`'s own HTTP handling: `apollo.mjs SUPERGRAPH`. */
import { readFileSync } from 'node:fs'
import { ApolloGateway } from '@apollo/gateway'
import { ApolloServer } from '@apollo/server'
import { startStandaloneServer } from '@apollo/server/standalone'

const server = new ApolloServer({
  gateway: new ApolloGateway({ supergraphSdl: readFileSync(process.argv[2], 'utf8') }),
  includeStacktraceInErrorResponses: false,
})
const { url } = await startStandaloneServer(server, { listen: { port: 0, host: '127.0.0.1' } })
process.send({ url: url.replace('localhost', '127.0.0.1') })
process.on('disconnect', () => process.exit())
