import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { type HttpClientOptions, httpClient } from '../../src/federation/http-client.ts'
import { CallSignal, SubgraphFailure } from '../../src/federation/transport.ts'
import { seeded } from './fuzz/dice.ts'

/** A server of bytes: what it is sent ends with `}`, what it says is the test's. */
async function raw(onRequest: (socket: Socket, request: string, count: number) => void) {
  const sockets = new Set<Socket>()
  let opened = 0
  let count = 0
  const server = createServer((socket) => {
    opened++
    sockets.add(socket)
    let text = ''
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (!text.endsWith('}')) return
      onRequest(socket, text, count++)
      text = ''
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql?x=1`,
    sockets,
    opened: () => opened,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

async function listening(server: Server, protocol: string, host: string) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `${protocol}://${host}:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function clientOf(options: HttpClientOptions) {
  const client = httpClient(options)
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() })
}

const failure = (reason: string) =>
  expect.toSatisfy((error: unknown) => error instanceof SubgraphFailure && error.reason === reason, reason)

/** Writes pieces of random sizes, each when the one before is on its way. */
async function inPieces(socket: Socket, bytes: Buffer, random: () => number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + Math.floor(random() * 9)
    await new Promise((resolve) => socket.write(bytes.subarray(at, at + size), resolve))
    await new Promise((resolve) => setImmediate(resolve))
    at += size
  }
}

describe('what is sent', () => {
  it('is understood by a server that others wrote, whatever is in it', async () => {
    const seen: unknown[] = []
    await using server = await listening(
      createHttpServer(async (request, response) => {
        const chunks: Buffer[] = []
        for await (const chunk of request) chunks.push(chunk)
        const body = Buffer.concat(chunks).toString()
        seen.push([request.method, request.url, request.headers['x-name'], body])
        // With a length, in chunks, and compressed by nobody: node chunks what has no length.
        if (seen.length % 2 === 0) response.setHeader('content-length', Buffer.byteLength(body))
        response.write(body.slice(0, 1))
        response.end(body.slice(1))
      }),
      'http',
      '127.0.0.1',
    )
    await using client = clientOf({ url: `${server.url}a/b?c=d` })
    const bodies = [
      '{}',
      '{"a":"é"}',
      '{"名":"客户 😀"}',
      `{"long":"${'x'.repeat(300_000)}"}`,
      '{"z":"\u2028"}',
    ]
    for (const body of [...bodies, ...bodies]) {
      const { status, bytes } = await client.post({ 'x-name': 'caf\u00e9' }, body)
      expect([status, bytes.toString()]).toEqual([200, body])
      expect(seen.at(-1)).toEqual(['POST', '/a/b?c=d', 'caf\u00e9', body])
    }
  })

  it.each([
    ['a line break in a value', { 'x-a': 'b\r\nx-c: d' }],
    ['a name that is no token', { 'x-a: b\r\nx-c': 'd' }],
    ['a character beyond one byte', { 'x-a': '名' }],
    ['another framing', { 'Transfer-Encoding': 'chunked' }],
    ['another length', { 'content-length': '1' }],
  ])('never has %s', async (_, headers) => {
    await using server = await raw((socket) => socket.destroy())
    await using client = clientOf({ url: server.url })
    await expect(client.post(headers as never, '{}')).rejects.toEqual(failure('unreachable'))
    expect(server.opened()).toBe(0)
  })

  it('names the host it was told to', async () => {
    const hosts: (string | undefined)[] = []
    await using server = await raw((socket, request) => {
      hosts.push(...(request.match(/^host: .*$/gim) ?? []))
      socket.write('HTTP/1.1 204 No Content\r\n\r\n')
    })
    await using client = clientOf({ url: server.url })
    await client.post({}, '{}')
    await client.post({ Host: 'elsewhere' }, '{}')
    expect(hosts).toEqual([`host: ${new URL(server.url).host}`, 'Host: elsewhere'])
  })
})

const ok = 'HTTP/1.1 200 OK\r\n'

describe('an answer', () => {
  const good: [string, string, number, string][] = [
    ['with a length', `${ok}Content-Length:  5 \r\ndate: now\r\n\r\nhello`, 200, 'hello'],
    ['without a body', `${ok}content-length: 0\r\n\r\n`, 200, ''],
    ['with one length, said twice', `${ok}content-length: 2\r\ncontent-length: 2\r\n\r\nab`, 200, 'ab'],
    ['that may have no body', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
    ['without a reason phrase', 'HTTP/1.1 503\r\ncontent-length: 2\r\n\r\nno', 503, 'no'],
    [
      'after a preliminary one',
      `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${ok}content-length: 2\r\n\r\nab`,
      200,
      'ab',
    ],
    [
      'in chunks',
      `${ok}transfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0B;x="y"\r\n01234567\r\n9\r\n0\r\n\r\n`,
      200,
      'abc01234567\r\n9',
    ],
    [
      'in chunks, with trailers',
      `${ok}transfer-encoding: chunked\r\n\r\n1\r\na\r\n000\r\nx: y\r\n\r\n`,
      200,
      'a',
    ],
    ['in no chunk', `${ok}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`, 200, ''],
  ]
  it.each(good)('%s is read, in whatever pieces it comes', async (_, answer, status, text) => {
    const random = seeded(answer.length)
    await using server = await raw(async (socket, _request, count) => {
      const bytes = Buffer.from(answer, 'latin1')
      if (count === 0) socket.write(bytes)
      else await inPieces(socket, bytes, random)
    })
    await using client = clientOf({ url: server.url })
    for (let i = 0; i < 4; i++) {
      const given = await client.post({}, '{}')
      expect([given.status, given.bytes.toString()]).toEqual([status, text])
    }
    expect(server.opened()).toBe(1)
  })

  it.each([
    ['ends with its connection where it says nothing else', `${ok}\r\nall of it`, 'all of it'],
    [
      'of an old server is the last of its connection',
      'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab',
      'ab',
    ],
    ['can be the last of its connection', `${ok}connection: Close\r\ncontent-length: 2\r\n\r\nab`, 'ab'],
    ['is the last where more comes than that', `${ok}content-length: 2\r\n\r\nabHTTP/1.1 200`, 'ab'],
    ['is the last where more chunks come', `${ok}transfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1`, ''],
    [
      'is the last where the server keeps nothing',
      `${ok}keep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nab`,
      'ab',
    ],
  ])('%s', async (_, answer, text) => {
    await using server = await raw((socket) => {
      if (answer.includes('all of it')) socket.end(answer)
      else socket.write(answer)
    })
    await using client = clientOf({ url: server.url })
    for (let i = 1; i <= 2; i++) {
      expect((await client.post({}, '{}')).bytes.toString()).toBe(text)
      expect(server.opened()).toBe(i)
    }
  })

  it.each([
    ['two lengths', `${ok}content-length: 2\r\ncontent-length: 3\r\n\r\nabc`],
    ['a length that is a sum', `${ok}content-length: 1+1\r\n\r\nab`],
    ['a length and chunks', `${ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['an encoding that was not asked for', `${ok}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['a chunk of no size', `${ok}transfer-encoding: chunked\r\n\r\nxyz\r\n`],
    ['a chunk longer than it says', `${ok}transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n`],
    ['a bare line feed', `${ok}transfer-encoding: chunked\r\n\r\n1\nab`],
    ['a line that is no header', `${ok}nonsense\r\n\r\n`],
    ['another protocol', 'HTTP/2 200\r\n\r\n'],
    ['a change of protocol', 'HTTP/1.1 101 Switching\r\n\r\n'],
    ['an endless head', `${ok}x: ${'y'.repeat(70_000)}`],
    ['more than it may', `${ok}content-length: 2000\r\n\r\n`],
    ['more than it may, in chunks', `${ok}transfer-encoding: chunked\r\n\r\n800\r\n${'x'.repeat(0x800)}\r\n`],
  ])('with %s is none', async (_, answer) => {
    await using server = await raw((socket) => socket.write(answer))
    await using client = clientOf({ url: server.url, maxResponseBytes: 1000 })
    await expect(client.post({}, '{}')).rejects.toEqual(failure('malformed'))
    // And its connection is gone.
    await expect.poll(() => server.sockets.size).toBe(0)
  })

  it.each([
    ['before it begins', ''],
    ['in its head', `${ok}content-le`],
    ['in its body', `${ok}content-length: 5\r\n\r\nhel`],
    ['between its chunks', `${ok}transfer-encoding: chunked\r\n\r\n1\r\na\r\n`],
  ])('that is cut off %s is none', async (_, answer) => {
    await using server = await raw((socket) => socket.end(answer))
    await using client = clientOf({ url: server.url })
    await expect(client.post({}, '{}')).rejects.toEqual(failure('unreachable'))
  })

  it('of nobody is none', async () => {
    const server = await raw(() => {})
    await server[Symbol.asyncDispose]()
    await using client = clientOf({ url: server.url })
    await expect(client.post({}, '{}')).rejects.toEqual(failure('unreachable'))
  })
})

describe('connections', () => {
  const echo = (socket: Socket, request: string): void => {
    const body = request.slice(request.indexOf('\r\n\r\n') + 4)
    socket.write(`${ok}content-length: ${body.length}\r\n\r\n${body}`)
  }

  it('are as many as allowed; who comes later waits', async () => {
    await using server = await raw((socket, request) => setImmediate(echo, socket, request))
    await using client = clientOf({ url: server.url, connections: 3 })
    const bodies = Array.from({ length: 20 }, (_, i) => `{"n":${i}}`)
    const answers = await Promise.all(bodies.map((body) => client.post({}, body)))
    expect(answers.map(({ bytes }) => bytes.toString())).toEqual(bodies)
    expect(server.opened()).toBe(3)
  })

  it('that a server closed meanwhile are not used', async () => {
    await using server = await raw(echo)
    await using client = clientOf({ url: server.url })
    await client.post({}, '{}')
    for (const socket of server.sockets) socket.end()
    await expect.poll(() => server.sockets.size).toBe(0)
    expect((await client.post({}, '{"a":1}')).bytes.toString()).toBe('{"a":1}')
    expect(server.opened()).toBe(2)
  })

  it('are given up with the call they serve, and the next call gets another', async () => {
    await using server = await raw((socket, request, count) => {
      if (count > 0) echo(socket, request)
    })
    await using client = clientOf({ url: server.url, connections: 1 })
    const [first, waiting] = [new CallSignal(), new CallSignal()]
    const calls = [client.post({}, '{}', first), client.post({}, '{}', waiting), client.post({}, '{"c":3}')]
    const outcomes = Promise.allSettled(calls)
    await expect.poll(() => server.sockets.size).toBe(1)
    waiting.cancel('b has left')
    first.cancel('a has left')
    expect(await outcomes).toMatchObject([
      { reason: 'a has left' },
      { reason: 'b has left' },
      { value: { status: 200 } },
    ])
    expect(server.opened()).toBe(2)
    await expect(client.post({}, '{}', first)).rejects.toBe('a has left')
  })

  it('are closed when the calls under way have ended', async () => {
    const asked = Promise.withResolvers<() => void>()
    await using server = await raw((socket, request) => asked.resolve(() => echo(socket, request)))
    const client = httpClient({ url: server.url })
    const call = client.post({}, '{"a":1}')
    const answer = await asked.promise
    const closed = client.close()
    await expect(client.post({}, '{}')).rejects.toEqual(failure('unreachable'))
    answer()
    expect((await call).bytes.toString()).toBe('{"a":1}')
    await closed
    await expect.poll(() => server.sockets.size).toBe(0)
  })

  const hasOpenssl = spawnSync('openssl', ['version']).status === 0
  it.skipIf(!hasOpenssl)('over TLS are made only with whom can be trusted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-tls-'))
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const words =
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1'
    execFileSync('openssl', [...words.split(' '), '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
    const [key, cert] = [readFileSync(keyFile), readFileSync(certFile)]
    rmSync(folder, { recursive: true })
    const server = createHttpsServer({ key, cert }, (request, response) => {
      request.resume().on('end', () => response.end('{"data":{}}'))
    })
    await using named = await listening(server as never, 'https', 'localhost')
    const numbered = named.url.replace('localhost', '127.0.0.1')
    {
      await using stranger = clientOf({ url: named.url })
      await expect(stranger.post({}, '{}')).rejects.toEqual(failure('unreachable'))
    }
    const usual = getCACertificates('default')
    setDefaultCACertificates([...usual, cert.toString()])
    try {
      for (const url of [named.url, numbered]) {
        await using client = clientOf({ url })
        for (let i = 0; i < 2; i++) expect((await client.post({}, '{}')).bytes.toString()).toBe('{"data":{}}')
      }
    } finally {
      setDefaultCACertificates(usual)
    }
  })
})
