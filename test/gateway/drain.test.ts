/** A door that closes answers what it has let in, and waits for nobody for ever. */
import { once } from 'node:events'
import { Agent, type ClientRequest, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import fastify from 'fastify'
import { afterEach, expect, test } from 'vitest'
import { drain } from '../../src/gateway/drain.ts'

// As clients do that will ask again.
const agent = new Agent({ keepAlive: true })
afterEach(() => agent.destroy())

async function startSlow() {
  const server = fastify()
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<string>()
  server.get('/', () => {
    asked.resolve()
    return answer.promise
  })
  await server.listen({ host: '127.0.0.1', port: 0 })
  const ask = (): ClientRequest => get({ port: (server.server.address() as AddressInfo).port, agent })
  return { server, asked: asked.promise, answer: answer.resolve, ask }
}

test('what is under way is answered, and nobody new is let in', async () => {
  const { server, asked, answer, ask } = await startSlow()
  const first = once(ask(), 'response')
  await asked
  const closed = drain(server, 60_000)
  await expect(once(ask(), 'response')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  answer('at last')
  const [response] = (await first) as [IncomingMessage]
  expect([response.statusCode, await text(response)]).toEqual([200, 'at last'])
  // Though the client would keep the connection for its next request.
  await closed
})

test('what is not answered in time is cut off', async () => {
  const { server, asked, ask } = await startSlow()
  const first = once(ask(), 'response')
  await asked
  await drain(server, 100)
  await expect(first).rejects.toMatchObject({ code: 'ECONNRESET' })
})
