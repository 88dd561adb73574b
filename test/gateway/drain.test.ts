/** A door that closes answers what it has let in, and waits for nobody for ever. */
import { once } from 'node:events'
import { Agent, type ClientRequest, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import fastify from 'fastify'
import { afterEach, expect, test } from 'vitest'
import { drainOf } from '../../src/gateway/drain.ts'

// As clients do that will ask again.
const agent = new Agent({ keepAlive: true })
afterEach(() => agent.destroy())

async function startSlow() {
  const server = fastify({ return503OnClosing: false })
  const drain = drainOf(server)
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<string>()
  server.get('/', () => {
    asked.resolve()
    return answer.promise
  })
  await server.listen({ host: '127.0.0.1', port: 0 })
  const ask = (): ClientRequest => get({ port: (server.server.address() as AddressInfo).port, agent })
  return { drain, asked: asked.promise, answer: answer.resolve, ask }
}

test('what is under way is answered, and nobody new is let in', async () => {
  const { drain, asked, answer, ask } = await startSlow()
  const first = once(ask(), 'response')
  await asked
  const closed = drain(60_000)
  await expect(once(ask(), 'response')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  answer('at last')
  const [response] = (await first) as [IncomingMessage]
  expect([response.statusCode, await text(response)]).toEqual([200, 'at last'])
  // The client would have kept the connection for its next request.
  expect(response.headers.connection).toBe('close')
  await closed
})

test('what is not answered in time is cut off', async () => {
  const { drain, asked, ask } = await startSlow()
  const first = once(ask(), 'response')
  await asked
  await drain(100)
  await expect(first).rejects.toMatchObject({ code: 'ECONNRESET' })
})
