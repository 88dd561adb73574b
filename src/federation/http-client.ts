/**
 * As much of HTTP/1.1 as a gateway needs: it posts a text and gets bytes back, over kept connections.
 *
 * By hand, since a general client was the largest part of a request: undici takes twice the CPU time for a call, and
 * a deep query makes nine of them. Strict instead of general: what is not plain HTTP/1.1 is no answer, and its
 * connection is not used again.
 *
 * @see RFC 9112
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { connect as connectSecure } from 'node:tls'
import { type CallSignal, SubgraphFailure } from './transport.ts'

export interface HttpClientOptions {
  /** `http:` or `https:`. */
  readonly url: string
  /** Default 64. */
  readonly connections?: number
  /** Answers above this are refused. Default 64 MiB. */
  readonly maxResponseBytes?: number
}

export interface HttpAnswer {
  readonly status: number
  readonly bytes: Buffer
}

export interface HttpClient {
  /**
   * @param headers Beside `host` and what frames the message, which are the client's own.
   * @throws SubgraphFailure when there is no answer; the reason of the signal when it was given up.
   */
  post(headers: Readonly<Record<string, string>>, body: string, signal?: CallSignal): Promise<HttpAnswer>
  /** Lets calls under way end. */
  close(): Promise<void>
}

const keepAliveMs = 30_000
const connectMs = 10_000
const maxHeadBytes = 64 * 1024

/**
 * Where all plain connections read into, each for as long as it looks at what came: without it every read, be it of
 * a hundred bytes, would take a buffer of 64 kB from the system and give it back. What is to be kept is copied.
 */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)

export function httpClient(options: HttpClientOptions): HttpClient {
  return new Pool(options)
}

class Pool implements HttpClient {
  readonly maxBytes: number
  readonly url: URL
  readonly #start: string
  readonly #most: number
  readonly #all = new Set<Connection>()
  /** The one used last is used next: the others get a chance to be closed. */
  readonly #idle: Connection[] = []
  readonly #waiting = new Set<Call>()
  #sweeping = false
  #whenEmpty: (() => void) | undefined

  constructor({ url, connections, maxResponseBytes }: HttpClientOptions) {
    this.url = new URL(url)
    if (this.url.protocol !== 'http:' && this.url.protocol !== 'https:') {
      throw new Error(`"${this.url.protocol}" is no protocol for a subgraph: use http: or https:`)
    }
    this.#start = `POST ${this.url.pathname}${this.url.search} HTTP/1.1\r\nconnection: keep-alive\r\n`
    this.#most = connections ?? 64
    this.maxBytes = maxResponseBytes ?? 64 * 1024 * 1024
  }

  post(headers: Readonly<Record<string, string>>, body: string, signal?: CallSignal): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (signal?.cancelled) return reject(signal.reason)
      if (this.#whenEmpty) return reject(new SubgraphFailure('unreachable', { cause: new Error('closed') }))
      let head: string
      try {
        head = this.#start + headerLines(headers, this.url.host)
      } catch (cause) {
        return reject(new SubgraphFailure('unreachable', { cause }))
      }
      const call = new Call(this, head, body, signal, resolve, reject)
      const connection = this.#take()
      if (connection) connection.send(call)
      else this.#waiting.add(call)
    })
  }

  #take(): Connection | undefined {
    for (;;) {
      const idle = this.#idle.pop()
      if (!idle) break
      if (performance.now() < idle.goodUntil) return idle
      idle.destroy()
    }
    if (this.#all.size >= this.#most) return undefined
    const connection = new Connection(this)
    this.#all.add(connection)
    return connection
  }

  /** A connection has no work any more. */
  release(connection: Connection): void {
    const [next] = this.#waiting
    if (next) {
      this.#waiting.delete(next)
      connection.send(next)
    } else if (this.#whenEmpty) connection.destroy()
    else {
      connection.rest()
      this.#idle.push(connection)
      if (!this.#sweeping) this.#sweepLater()
    }
  }

  gone(connection: Connection): void {
    if (!this.#all.delete(connection)) return
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
    const [next] = this.#waiting
    if (next) {
      const other = this.#take()
      if (other) {
        this.#waiting.delete(next)
        other.send(next)
      }
    }
    if (this.#all.size === 0) this.#whenEmpty?.()
  }

  drop(waiting: Call): void {
    this.#waiting.delete(waiting)
  }

  #sweepLater(): void {
    this.#sweeping = true
    setTimeout(() => {
      this.#sweeping = false
      const now = performance.now()
      for (const connection of this.#idle.filter(({ goodUntil }) => goodUntil <= now)) connection.destroy()
      if (this.#idle.length > 0) this.#sweepLater()
    }, keepAliveMs / 3).unref()
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#whenEmpty = resolve
    for (const connection of [...this.#idle]) connection.destroy()
    if (this.#all.size > 0) await promise
  }
}

/** One request, until it has its answer or needs none. */
class Call {
  readonly head: string
  readonly body: string
  connection: Connection | undefined
  readonly #pool: Pool
  readonly #signal: CallSignal | undefined
  readonly #resolve: (answer: HttpAnswer) => void
  readonly #reject: (reason: unknown) => void

  constructor(
    pool: Pool,
    head: string,
    body: string,
    signal: CallSignal | undefined,
    resolve: (answer: HttpAnswer) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#pool = pool
    this.head = head
    this.body = body
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal?.on(this)
  }

  onCancel(reason: unknown): void {
    // Its answer would come all the same, and stand before the next one.
    if (this.connection) this.connection.destroy()
    else this.#pool.drop(this)
    this.#reject(reason)
  }

  succeed(answer: HttpAnswer): void {
    this.#signal?.off(this)
    this.#resolve(answer)
  }

  fail(reason: SubgraphFailure): void {
    this.#signal?.off(this)
    this.#reject(reason)
  }
}

/** What is read next: the head, so many bytes of body, chunks, or all until the connection ends. */
type Reading =
  | { readonly what: 'head' }
  | { readonly what: 'sized'; readonly length: number }
  | { readonly what: 'chunks'; readonly decoder: ChunkDecoder }
  | { readonly what: 'rest' }

const head: Reading = { what: 'head' }
const nothing = Buffer.alloc(0)
/** An announcement is believed up to here: room for more is made as it comes. */
const believedBytes = 1024 * 1024

class Connection {
  /** `performance.now()` until which the server can be trusted to keep it open. */
  goodUntil = 0
  readonly #pool: Pool
  readonly #socket: Socket
  #call: Call | undefined
  #reading: Reading = head
  /** A head that has come in parts. */
  #pending: Buffer | undefined
  /** With room for what is announced. */
  #body = nothing
  #bodyBytes = 0
  #status = 0
  #reusable = true
  #keepAliveMs = keepAliveMs

  constructor(pool: Pool) {
    this.#pool = pool
    const { protocol, hostname } = pool.url
    const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
    const isSecure = protocol === 'https:'
    const port = Number(pool.url.port) || (isSecure ? 443 : 80)
    const socket = isSecure
      ? connectSecure({ host, port, servername: isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'] })
      : connectPlain({
          host,
          port,
          noDelay: true,
          onread: {
            buffer: readBuffer,
            callback: (length) => {
              this.#take(readBuffer.subarray(0, length))
              return true
            },
          },
        })
    socket.setNoDelay(true)
    socket.setTimeout(connectMs, () => socket.destroy(new Error('no connection in time')))
    socket.once(isSecure ? 'secureConnect' : 'connect', () => socket.setTimeout(0))
    if (isSecure) socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => this.#ended())
    socket.on('error', (cause) => this.#lost(cause))
    socket.on('close', () => this.#lost(new Error('connection closed')))
    this.#socket = socket
  }

  send(call: Call): void {
    this.#call = call
    call.connection = this
    const socket = this.#socket
    socket.ref()
    const { head, body } = call
    const bytes = Buffer.byteLength(body)
    const start = `${head}content-length: ${bytes}\r\n\r\n`
    // One byte a character, in the head always: then it is one write.
    if (bytes === body.length) socket.write(start + body, 'latin1')
    else {
      socket.cork()
      socket.write(start, 'latin1')
      socket.write(body, 'utf8')
      socket.uncork()
    }
  }

  rest(): void {
    this.goodUntil = performance.now() + this.#keepAliveMs
    // A connection without work is no reason for the process to live.
    this.#socket.unref()
  }

  destroy(): void {
    this.#call = undefined
    this.#socket.destroy()
    this.#pool.gone(this)
  }

  #take(chunk: Buffer): void {
    try {
      let rest: Buffer | undefined = chunk
      while (rest && this.#call) rest = this.#read(rest)
      // More than was asked for.
      if (rest && rest.length > 0) this.destroy()
    } catch (cause) {
      this.#fail('malformed', cause)
    }
  }

  /** @returns What is left of the bytes, where there may be more to do with them. */
  #read(chunk: Buffer): Buffer | undefined {
    const reading = this.#reading
    switch (reading.what) {
      case 'head': {
        const bytes = this.#pending ? Buffer.concat([this.#pending, chunk]) : chunk
        const end = bytes.indexOf('\r\n\r\n')
        if (end === -1 ? bytes.length > maxHeadBytes : end > maxHeadBytes) throw new Error('head too large')
        this.#pending = end === -1 ? Buffer.from(bytes) : undefined
        if (end === -1) return undefined
        this.#startBody(parseHead(bytes.toString('latin1', 0, end)))
        return bytes.subarray(end + 4)
      }
      case 'sized': {
        const left = reading.length - this.#bodyBytes
        if (chunk.length <= left) {
          this.#keep(chunk)
          if (chunk.length === left) this.#answered(true)
          return undefined
        }
        this.#keep(chunk.subarray(0, left))
        const rest = chunk.subarray(left)
        this.#answered(false)
        return rest
      }
      case 'chunks': {
        const rest = reading.decoder.take(chunk, (part) => this.#keep(part))
        if (rest) this.#answered(rest.length === 0)
        return rest
      }
      case 'rest':
        this.#keep(chunk)
        return undefined
    }
  }

  #startBody({ status, length, isChunked, isLast, keepAliveMs: keeps }: Head): void {
    if (status === 101) throw new Error('the server changes protocol')
    // On its way: the answer is still to come.
    if (status < 200) return
    this.#status = status
    this.#reusable = !isLast
    this.#keepAliveMs = keeps
    if (length !== undefined && length > this.#pool.maxBytes) throw new Error('answer too large')
    if (status === 204 || status === 304) this.#reading = { what: 'sized', length: 0 }
    else if (isChunked) this.#reading = { what: 'chunks', decoder: new ChunkDecoder() }
    else if (length !== undefined) this.#reading = { what: 'sized', length }
    else this.#reading = { what: 'rest' }
  }

  /** Copies: the next read will write over it. */
  #keep(part: Buffer): void {
    const start = this.#bodyBytes
    const end = start + part.length
    if (end > this.#pool.maxBytes) throw new Error('answer too large')
    if (end > this.#body.length) {
      const announced = this.#reading.what === 'sized' ? this.#reading.length : 0
      const room = Math.max(end, Math.min(announced, believedBytes), this.#body.length * 2)
      const larger = Buffer.allocUnsafe(room)
      if (start > 0) larger.set(this.#body)
      this.#body = larger
    }
    this.#body.set(part, start)
    this.#bodyBytes = end
  }

  /** @param isClean Whether nothing came after it. */
  #answered(isClean: boolean): void {
    const call = this.#call
    const body = this.#body
    const bytes = body.length === this.#bodyBytes ? body : body.subarray(0, this.#bodyBytes)
    this.#call = undefined
    this.#reading = head
    this.#body = nothing
    this.#bodyBytes = 0
    // An answer that came before the request was through is one to a broken request.
    const goesOn = isClean && this.#reusable && this.#socket.writableLength === 0
    if (goesOn && this.#keepAliveMs > 0) this.#pool.release(this)
    else this.destroy()
    call?.succeed({ status: this.#status, bytes })
  }

  #ended(): void {
    if (this.#call && this.#reading.what === 'rest') this.#answered(false)
    else this.#lost(new Error('connection closed'))
  }

  #lost(cause: unknown): void {
    this.#fail('unreachable', cause)
  }

  #fail(reason: 'unreachable' | 'malformed', cause: unknown): void {
    const call = this.#call
    this.destroy()
    call?.fail(new SubgraphFailure(reason, { cause }))
  }
}

interface Head {
  readonly status: number
  readonly length: number | undefined
  readonly isChunked: boolean
  /** Whether the connection ends with this answer. */
  readonly isLast: boolean
  readonly keepAliveMs: number
}

/** @throws Error for what leaves open where the answer ends: another server in between could see it otherwise. */
function parseHead(text: string): Head {
  const startEnd = lineEnd(text, 0)
  const status = wholeNumber(text.slice(9, 12)) ?? 0
  const isHttp = text.startsWith('HTTP/1.1 ') || text.startsWith('HTTP/1.0 ')
  if (!isHttp || status < 100 || !(startEnd === 12 || text[12] === ' ')) throw new Error('no HTTP/1.1')
  let length: number | undefined
  let isChunked = false
  let isLast = text[7] === '0'
  let keeps = keepAliveMs
  for (let from = startEnd + 2; from < text.length; ) {
    const end = lineEnd(text, from)
    const colon = text.indexOf(':', from)
    const size = colon - from
    if (size < 1 || colon >= end) throw new Error('a line of the head is no header')
    // Of all names only these matter, and most others are told by their length.
    if (size === 14 || size === 10 || size === 17) {
      const name = text.slice(from, colon).toLowerCase()
      const value = (): string => text.slice(colon + 1, end).trim()
      if (name === 'content-length') {
        const given = wholeNumber(value())
        if (given === undefined || (length !== undefined && length !== given))
          throw new Error('bad content-length')
        length = given
      } else if (name === 'transfer-encoding') {
        if (isChunked || value().toLowerCase() !== 'chunked') throw new Error('unknown transfer-encoding')
        isChunked = true
      } else if (name === 'connection') {
        if (/\bclose\b/i.test(value())) isLast = true
      } else if (name === 'keep-alive') {
        const seconds = /\btimeout=(\d{1,6})/i.exec(value())?.[1]
        // It has begun to count when it sent this: a second's distance.
        if (seconds !== undefined) keeps = Math.min(keepAliveMs, Math.max(0, Number(seconds) * 1000 - 1000))
      }
    }
    from = end + 2
  }
  if (isChunked && length !== undefined) throw new Error('content-length and transfer-encoding')
  return { status, length, isChunked, isLast, keepAliveMs: keeps }
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\r\n', from)
  return end === -1 ? text.length : end
}

/** @returns undefined for what is anything but 1 to 15 digits. */
function wholeNumber(text: string): number | undefined {
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return text.length > 0 && text.length <= 15 ? value : undefined
}

/** RFC 9112, 7.1. */
class ChunkDecoder {
  /** Bytes of the chunk still to come. */
  #left = 0
  /** What the next line is, where a line is to come. */
  #line: 'size' | 'end of chunk' | 'trailer' | undefined = 'size'
  #pending = ''

  /** @returns What comes after the end; undefined before that. */
  take(bytes: Buffer, keep: (part: Buffer) => void): Buffer | undefined {
    let at = 0
    while (at < bytes.length) {
      if (this.#line === undefined) {
        const part = bytes.subarray(at, at + this.#left)
        keep(part)
        at += part.length
        this.#left -= part.length
        if (this.#left === 0) this.#line = 'end of chunk'
        continue
      }
      const end = bytes.indexOf('\n', at)
      this.#pending += bytes.toString('latin1', at, end === -1 ? bytes.length : end)
      if (this.#pending.length > maxHeadBytes) throw new Error('a line of a chunked answer is too long')
      if (end === -1) return undefined
      at = end + 1
      if (!this.#pending.endsWith('\r')) throw new Error('a bare line feed in a chunked answer')
      const line = this.#pending.slice(0, -1)
      this.#pending = ''
      if (this.#line === 'trailer') {
        if (line === '') return bytes.subarray(at)
      } else if (this.#line === 'end of chunk') {
        if (line !== '') throw new Error('a chunk longer than it says')
        this.#line = 'size'
      } else {
        const size = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line)?.[1]
        if (size === undefined) throw new Error('a chunk without a size')
        this.#left = Number.parseInt(size, 16)
        this.#line = this.#left === 0 ? 'trailer' : undefined
      }
    }
    return undefined
  }
}

/** Those that frame the message, or ask for another way to send it. */
const ours = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const forbidden = /[^\t\x20-\x7e\x80-\xff]/
/** By name, the value that was fine last time: most headers are the same for every request. */
const checkedValues = new Map<string, string>()

/** @throws Error where a header would be another header, or none. */
function headerLines(headers: Readonly<Record<string, string>>, host: string): string {
  let lines = ''
  let hasHost = false
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined) continue
    const checked = checkedValues.get(name)
    if (checked !== value) {
      if (checked === undefined) {
        if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name)) throw new Error('a header has a bad name')
        if (ours.has(name.toLowerCase())) throw new Error(`header "${name}" is not for others to set`)
      }
      if (forbidden.test(value)) throw new Error(`header "${name}" has a character that is not allowed`)
      if (checked !== undefined || checkedValues.size < 1000) checkedValues.set(name, value)
    }
    if (name.length === 4 && name.toLowerCase() === 'host') hasHost = true
    lines += `${name}: ${value}\r\n`
  }
  return hasHost ? lines : `host: ${host}\r\n${lines}`
}
