/** Who connects and sends a byte now and then holds no connection for long, and a stranger's body is not read. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { createEngine, type Engine } from '../../src/federation/engine.ts'
import { httpTransport } from '../../src/federation/http.ts'
import { createPipeline } from '../../src/gateway/pipeline.ts'
import { type Door, openDoor } from '../../src/gateway/server.ts'
import { silentLog } from '../../src/observe/log.ts'

let engine: Engine<object>
let door: Door
beforeAll(async () => {
  engine = await createEngine<object>({
    supergraphSdl: readFileSync(new URL('../../schema/supergraph.graphql', import.meta.url), 'utf8'),
    transports: ({ url }) => httpTransport({ url }),
  })
  door = await openDoor({
    host: '127.0.0.1',
    port: 0,
    maxBodyBytes: 1_000_000,
    arrivalMs: 150,
    engine,
    pipeline: createPipeline({ maxTokens: 1_000, maxDepth: 10, maxRootFields: 10, introspection: true }),
    authenticate: ({ 'x-api-key': key }) => (key === 'known' ? gatewayCaller : null),
    contextFor: () => ({}),
    demo: false,
    introspection: true,
    examples: [],
    logger: silentLog,
  })
})
afterAll(async () => {
  await door.close()
  await engine.close()
})

/** What is answered until the gateway ends the connection, which takes in nothing but drops until then. */
const answerTo = (text: string, drop?: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(door.url).port), '127.0.0.1', () => socket.write(text))
    const dripping = setInterval(() => drop !== undefined && socket.writable && socket.write(drop), 20)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    // It may be reset: what dripped in last is not read any more.
    socket.on('error', () => {})
    socket.on('close', () => {
      clearInterval(dripping)
      resolve(answer)
    })
  })

/** 408 Request Timeout, where it still gets through. */
const GIVEN_UP = /^(HTTP\/1\.1 408 |$)/

test('a head that does not end is given up', async () => {
  expect(await answerTo('GET /graphql HTTP/1.1\r\nHost: x\r\n', 'A: b\r\n')).toMatch(GIVEN_UP)
})

test('a body that does not end is given up', async () => {
  const head = 'POST /graphql HTTP/1.1\r\nHost: x\r\nX-API-Key: known\r\nContent-Type: application/json\r\n'
  expect(await answerTo(`${head}Content-Length: 10000\r\n\r\n{`, ' ')).toMatch(GIVEN_UP)
})

test.each(['/graphql', '/graphql/stream'])('%s answers a stranger before the body is there', async (path) => {
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n`
  expect(await answerTo(`${head}Content-Length: 10000\r\n\r\n{`)).toMatch(/^HTTP\/1\.1 401 /)
})
