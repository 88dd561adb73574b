/** A closed loop of connections over plain sockets: what a gateway answers, not what a client costs. */
import { connect } from 'node:net'

export interface LoadOptions {
  readonly url: string
  /** Bodies, sent in turn. */
  readonly bodies: readonly string[]
  /** What each body must be answered with. */
  readonly expected?: readonly string[]
  readonly connections: number
  readonly seconds: number
}

export interface LoadResult {
  readonly perSecond: number
  readonly wrong: number
  readonly p50: number
  readonly p99: number
}

export async function load(options: LoadOptions): Promise<LoadResult> {
  const { url, bodies, expected, connections, seconds } = options
  const { hostname, port, pathname } = new URL(url)
  const requests = bodies.map((body) =>
    Buffer.from(
      `POST ${pathname} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\naccept: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    ),
  )
  const until = performance.now() + seconds * 1000
  const started = performance.now()
  const times: number[] = []
  let next = 0
  let wrong = 0

  await Promise.all(
    Array.from({ length: connections }, () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const socket = connect(Number(port), hostname)
      socket.setNoDelay(true)
      let which = 0
      let sent = 0
      let chunks: Buffer[] = []
      let size = 0
      let needed = -1
      let bodyAt = 0
      const send = (): void => {
        if (performance.now() >= until) {
          socket.end()
          resolve()
          return
        }
        which = next++ % requests.length
        sent = performance.now()
        const request = requests[which]
        if (request) socket.write(request)
      }
      socket.on('connect', send)
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (needed === -1) {
          const head = Buffer.concat(chunks)
          const end = head.indexOf('\r\n\r\n')
          if (end === -1) return
          const length = /content-length: *(\d+)/i.exec(head.toString('latin1', 0, end))?.[1]
          if (length === undefined)
            return reject(new Error(`no content-length: ${head.toString('latin1', 0, end)}`))
          bodyAt = end + 4
          needed = bodyAt + Number(length)
        }
        if (size < needed) return
        times.push(performance.now() - sent)
        const want = expected?.[which]
        // Comparing every answer of 92 kB would be a load of its own: every fiftieth in full, all by length.
        if (want !== undefined) {
          if (needed - bodyAt !== Buffer.byteLength(want)) wrong++
          else if (times.length % 50 === 0 && Buffer.concat(chunks).toString('utf8', bodyAt) !== want) wrong++
        }
        chunks = []
        size = 0
        needed = -1
        send()
      })
      return promise
    }),
  )
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0
  return {
    perSecond: times.length / ((performance.now() - started) / 1000),
    wrong,
    p50: at(0.5),
    p99: at(0.99),
  }
}
