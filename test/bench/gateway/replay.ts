/**
 * The limit: the same upstream calls in the same order, and fixed bytes as the answer. Nothing is parsed, planned,
 * merged or serialised.
 *
 * `replay.ts RECORDING` asks with undici's leanest interface, the best that is to be had for Node: that is the limit
 * all are measured against. `replay.ts RECORDING own` asks with the engine's own client, so that what the engine
 * costs beyond its HTTP can be seen too.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'
import { httpClient } from '../../../src/federation/http-client.ts'

export interface Recording {
  readonly answer: string
  /** Calls that wait for nothing first, then those that waited for them. */
  readonly stages: readonly (readonly { readonly url: string; readonly body: string }[])[]
}

const recordings: Record<string, Recording> = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'))
type Post = (body: string) => Promise<unknown>

const headers = { 'content-type': 'application/json', accept: 'application/json' }

function ownClient(url: string): Post {
  const client = httpClient({ url })
  return (body) => client.post(headers, body)
}

function undiciClient(url: string): Post {
  const { origin, pathname: path } = new URL(url)
  const pool = new Pool(origin, {
    connections: 64,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 30_000,
  })
  return (body) =>
    new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      pool.dispatch(
        { path, method: 'POST', headers, body },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData: (_controller, chunk) => void chunks.push(chunk),
          onResponseEnd: () => resolve((chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))?.toString()),
          onResponseError: (_controller, error) => reject(error),
        },
      )
    })
}

const clientFor = process.argv[3] === 'own' ? ownClient : undiciClient
const clients = new Map<string, Post>()
const post = (url: string, body: string) => {
  let client = clients.get(url)
  if (!client) {
    client = clientFor(url)
    clients.set(url, client)
  }
  return client(body)
}
const bytes = new Map(Object.entries(recordings).map(([name, { answer }]) => [name, Buffer.from(answer)]))

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', async () => {
    const name = request.url?.slice(1) ?? ''
    for (const stage of recordings[name]?.stages ?? []) {
      await Promise.all(stage.map(({ url, body }) => post(url, body)))
    }
    const answer = bytes.get(name) ?? Buffer.alloc(0)
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
      .end(answer)
  })
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` })
})
process.on('disconnect', () => process.exit())
