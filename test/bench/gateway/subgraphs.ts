/**
 * The four subgraphs as one process that costs next to nothing: each distinct request is executed once, its bytes
 * are remembered. HTTP by hand over sockets, as node's server would be what is measured.
 */

import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { type DocumentNode, execute, parse } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { moves, schemaOf, subgraphs } from './shop.ts'

let requests = 0
const maxKnown = 20_000

function serve(name: string): Promise<string> {
  const schema = schemaOf(name)
  const known = new Map<string, Buffer>()
  const documents = new Map<string, DocumentNode>()
  const answer = async (body: string): Promise<Buffer> => {
    const { query, variables, operationName } = JSON.parse(body)
    const document = documents.get(query) ?? parse(query)
    documents.set(query, document)
    const result = await execute({ schema, document, variableValues: variables, operationName })
    const text = Buffer.from(JSON.stringify(result))
    const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n`
    return Buffer.concat([Buffer.from(head), text])
  }
  const server = createServer((socket: Socket) => {
    socket.setNoDelay(true)
    let pending = ''
    socket.setEncoding('latin1')
    let queue = Promise.resolve()
    socket.on('data', (chunk) => {
      pending += chunk
      while (true) {
        const end = pending.indexOf('\r\n\r\n')
        if (end === -1) return
        const length = Number(/content-length: *(\d+)/i.exec(pending.slice(0, end))?.[1] ?? 0)
        if (pending.length < end + 4 + length) return
        const body = pending.slice(end + 4, end + 4 + length)
        pending = pending.slice(end + 4 + length)
        requests++
        const bytes = known.get(body)
        if (bytes) socket.write(bytes)
        else {
          queue = queue.then(async () => {
            const made = await answer(Buffer.from(body, 'latin1').toString())
            // Of `spread` there are more than need be kept.
            if (known.size < maxKnown) known.set(body, made)
            socket.write(made)
          })
        }
      }
    })
    socket.on('error', () => {})
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`),
    )
  })
}

const urls: Record<string, string> = {}
for (const name of Object.keys(subgraphs)) urls[name] = await serve(name)

// Subscriptions are few here, whatever the gateway has: graphql-ws as it is.
const http = createHttpServer()
useServer({ schema: schemaOf('sales') }, new WebSocketServer({ server: http, path: '/graphql' }))
http.listen(0, '127.0.0.1')
await once(http, 'listening')
const subscriptionUrl = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/graphql`

process.send?.({ urls, subscriptionUrl })
process.on('message', (message: 'count' | { move: string }) => {
  if (message === 'count') process.send?.({ requests })
  else moves.move(message.move)
})
process.on('disconnect', () => process.exit())
