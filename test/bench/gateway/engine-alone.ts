/** The engine behind the least door there can be: what of a request's cost is the engine's, and what Apollo Server's. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type DocumentNode, parse, validate } from 'graphql'
import { answerBytes, releaseAnswer } from '../../../src/federation/answer.ts'
import { createEngine } from '../../../src/federation/engine.ts'
import { httpTransport } from '../../../src/federation/http.ts'

const engine = createEngine<object>({
  supergraphSdl: readFileSync(process.argv[2] ?? '', 'utf8'),
  transports: ({ url }) => httpTransport({ url, deduplicate: false }),
})
const documents = new Map<string, DocumentNode>()
const documentOf = (query: string): DocumentNode => {
  let document = documents.get(query)
  if (!document) {
    document = parse(query)
    if (validate(engine.schema, document).length > 0) throw new Error('not valid')
    documents.set(query, document)
  }
  return document
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', async () => {
    const { query, variables } = JSON.parse(Buffer.concat(chunks).toString())
    const result = await engine.execute({ document: documentOf(query), variables, context: {}, asText: true })
    const answer = answerBytes(result)
    response
      .on('close', () => releaseAnswer(result))
      .writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
      .end(answer)
  })
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql` })
})
process.on('disconnect', () => process.exit())
