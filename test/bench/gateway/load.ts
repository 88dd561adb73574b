/** A closed loop of connections over plain sockets: what a gateway answers, not what a client costs. */
import { connect } from 'node:net'

export interface LoadOptions {
  readonly url: string
  /** Sent in turn, from the first to the last and again. */
  readonly count: number
  readonly bodyAt: (index: number) => string
  /** What each must be answered with, spaces aside. */
  readonly expectedAt?: (index: number) => string
  /** The first to be sent. Default 0. */
  readonly from?: number
  readonly connections: number
  readonly seconds: number
}

export interface LoadResult {
  readonly perSecond: number
  readonly answered: number
  readonly wrong: number
  readonly p50: number
  readonly p99: number
}

/** Answers below this are compared in full. */
const wholeBytes = 4_000

function isSame(answer: string, want: string): boolean {
  if (answer === want) return true
  try {
    return JSON.stringify(JSON.parse(answer)) === want
  } catch {
    return false
  }
}

export async function load(options: LoadOptions): Promise<LoadResult> {
  const { url, count, bodyAt, expectedAt, from = 0, connections, seconds } = options
  const { hostname, port, pathname } = new URL(url)
  const head = `POST ${pathname} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\naccept: application/json\r\ncontent-length: `
  const requestAt = (index: number): string => {
    const body = bodyAt(index)
    return `${head}${Buffer.byteLength(body)}\r\n\r\n${body}`
  }
  const until = performance.now() + seconds * 1000
  const started = performance.now()
  const times: number[] = []
  let next = from
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
      let bodyStart = 0
      const send = (): void => {
        if (performance.now() >= until) {
          socket.end()
          resolve()
          return
        }
        which = next++ % count
        sent = performance.now()
        socket.write(requestAt(which))
      }
      socket.on('connect', send)
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (needed === -1) {
          const start = Buffer.concat(chunks)
          const end = start.indexOf('\r\n\r\n')
          if (end === -1) return
          const length = /content-length: *(\d+)/i.exec(start.toString('latin1', 0, end))?.[1]
          if (length === undefined)
            return reject(new Error(`no content-length: ${start.toString('latin1', 0, end)}`))
          bodyStart = end + 4
          needed = bodyStart + Number(length)
        }
        if (size < needed) return
        times.push(performance.now() - sent)
        // Comparing every answer of 112 kB would be a load of its own: every fiftieth in full, all by length.
        const want = expectedAt?.(which)
        if (want !== undefined && (size - bodyStart < wholeBytes || times.length % 50 === 0)) {
          if (!isSame(Buffer.concat(chunks).toString('utf8', bodyStart), want)) wrong++
        } else if (want !== undefined && needed - bodyStart !== Buffer.byteLength(want)) wrong++
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
    answered: times.length,
    wrong,
    p50: at(0.5),
    p99: at(0.99),
  }
}
