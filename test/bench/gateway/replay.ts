/**
 * The limit: the same upstream calls in the same order, over the same HTTP client, and fixed bytes as the answer.
 * Nothing is parsed, planned, merged or serialised. What a gateway costs beyond this is its own.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { rawClient } from '../../../src/federation/http.ts'

export interface Recording {
  readonly answer: string
  /** Calls that wait for nothing first, then those that waited for them. */
  readonly stages: readonly (readonly { readonly url: string; readonly body: string }[])[]
}

const recordings: Record<string, Recording> = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'))
const clients = new Map<string, ReturnType<typeof rawClient>>()
const post = (url: string, body: string) => {
  let client = clients.get(url)
  if (!client) {
    client = rawClient({ url })
    clients.set(url, client)
  }
  return client.post({ 'content-type': 'application/json', accept: 'application/json' }, body, undefined)
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
