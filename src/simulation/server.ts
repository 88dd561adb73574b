/**
 * What simulators have in common: a plain HTTP server on loopback that counts its calls and can have a bad day
 * on command. It speaks no vendor's protocol; that is the business of each `simulator.ts`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface SimulatedRequest {
  readonly method: string
  /** Without the query string, still percent-encoded. */
  readonly path: string
  readonly query: URLSearchParams
  /** Without the leading `?`, as it came. */
  readonly rawQuery: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface SimulatedResponse {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Buffer
}

export type Fault = {
  /** A regular expression on `METHOD /path?query`; default: every request. */
  readonly match?: string
  /** How many requests it hits before it is gone; default: until it is taken away. */
  readonly times?: number
  /** How likely it is to hit a request, 0 to 1; default: it hits each. */
  readonly chance?: number
} & (
  | { readonly kind: 'refuse' /* closes the connection unread: the system is down */ }
  | { readonly kind: 'hang' /* reads the request, never answers, does nothing */ }
  | { readonly kind: 'drop-before' /* reads the request, does nothing, closes */ }
  | { readonly kind: 'drop-after' /* does the work, closes without an answer */ }
  | { readonly kind: 'hang-after' /* does the work, never answers */ }
  | { readonly kind: 'late'; readonly ms: number /* closes at once, does the work so much later */ }
  | { readonly kind: 'twice' /* answers twice on the same connection */ }
  | { readonly kind: 'truncate' /* does the work, half of the answer arrives */ }
  | { readonly kind: 'html' /* a proxy's error page with status 200 */ }
  | { readonly kind: 'delay'; readonly ms: number }
  | {
      readonly kind: 'status'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
      /** Does the work first. */
      readonly afterwards?: boolean
    }
)

export interface Simulator {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** One text per request served, in order: `METHOD /path?query`, or what the simulator calls the operation. */
  readonly calls: readonly string[]
  setFaults(faults: readonly Fault[]): void
  clearCalls(): void
  close(): Promise<void>
}

export interface SimulatorServerOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Names the call in `calls`; default `METHOD /path?query`. */
  readonly nameCall?: (request: SimulatedRequest) => string
  /** For faults that hit by chance; default `Math.random`. */
  readonly random?: () => number
  readonly handle: (request: SimulatedRequest) => SimulatedResponse | Promise<SimulatedResponse>
}

/** Only the last so many calls are kept: a demo may run for weeks. */
const MAX_CALLS = 10_000

/**
 * Besides what `handle` serves: `POST /-/faults` with a JSON list of faults (an empty one ends them) and
 * `GET /-/calls`, so that a person with curl can stop a system and look at what it was asked.
 */
export async function startSimulatorServer(options: SimulatorServerOptions): Promise<Simulator> {
  let faults: { fault: Fault; left: number }[] = []
  let calls: string[] = []
  const random = options.random ?? Math.random
  const setFaults = (list: readonly Fault[]) => {
    faults = list.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }))
  }
  const takeFault = (request: string): Fault | undefined => {
    const hit = faults.find(
      ({ fault, left }) =>
        left > 0 &&
        new RegExp(fault.match ?? '').test(request) &&
        (fault.chance === undefined || random() < fault.chance),
    )
    if (hit) hit.left--
    return hit?.fault
  }

  const serve = async (incoming: IncomingMessage, response: ServerResponse) => {
    const [path = '/', rawQuery = ''] = splitOnce(incoming.url ?? '/', '?')
    if (path.startsWith('/-/')) {
      send(response, control(path, incoming.method ?? 'GET', await readBody(incoming), setFaults, calls))
      return
    }
    const line = `${incoming.method} ${incoming.url}`
    const fault = takeFault(line)
    if (fault?.kind === 'refuse') {
      incoming.socket.destroy()
      return
    }
    const request: SimulatedRequest = {
      method: incoming.method ?? 'GET',
      path,
      rawQuery,
      query: new URLSearchParams(rawQuery),
      headers: incoming.headers,
      body: await readBody(incoming),
    }
    calls.push(options.nameCall?.(request) ?? line)
    if (calls.length > MAX_CALLS) calls = calls.slice(-MAX_CALLS / 2)
    if (fault?.kind === 'hang') return
    if (fault?.kind === 'drop-before') {
      incoming.socket.destroy()
      return
    }
    if (fault?.kind === 'delay') await delay(fault.ms)
    if (fault?.kind === 'html' || (fault?.kind === 'status' && !fault.afterwards)) {
      send(response, fault.kind === 'html' ? HTML_PAGE : fault)
      return
    }
    if (fault?.kind === 'late') {
      incoming.socket.destroy()
      await delay(fault.ms)
    }
    const answer = await options.handle(request)
    if (fault?.kind === 'late' || fault?.kind === 'hang-after') return
    if (fault?.kind === 'twice') {
      const { socket } = response
      send(response, answer)
      const body = answer.body ?? ''
      socket?.write(`HTTP/1.1 ${answer.status} Again\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`)
      socket?.write(body)
      return
    }
    if (fault?.kind === 'drop-after') {
      incoming.socket.destroy()
      return
    }
    if (fault?.kind === 'truncate') {
      const whole = Buffer.from(answer.body ?? '')
      response.writeHead(answer.status, { ...answer.headers, 'content-length': whole.length })
      response.write(whole.subarray(0, Math.floor(whole.length / 2)))
      setTimeout(() => incoming.socket.destroy(), 20)
      return
    }
    send(response, fault?.kind === 'status' ? fault : answer)
  }

  const server = createServer((incoming, response) => {
    serve(incoming, response).catch((error: unknown) => {
      if (!response.headersSent) send(response, { status: 500, body: String(error) })
      else incoming.socket.destroy()
    })
  })
  await listen(server, options.port ?? 0)
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    get calls() {
      return calls
    },
    setFaults,
    clearCalls() {
      calls = []
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const HTML_PAGE: SimulatedResponse = {
  status: 200,
  headers: { 'content-type': 'text/html' },
  body: '<html><body><h1>Service temporarily unavailable</h1></body></html>',
}

function control(
  path: string,
  method: string,
  body: Buffer,
  setFaults: (list: readonly Fault[]) => void,
  calls: readonly string[],
): SimulatedResponse {
  const json = (status: number, value: unknown): SimulatedResponse => ({
    status,
    headers: { 'content-type': 'application/json' },
    body: `${JSON.stringify(value)}\n`,
  })
  if (path === '/-/calls' && method === 'GET') return json(200, calls)
  if (path === '/-/faults' && method === 'POST') {
    try {
      const list: Fault[] = [JSON.parse(body.toString('utf8'))].flat()
      for (const fault of list) new RegExp(fault.match ?? '')
      setFaults(list)
      return json(200, { faults: list })
    } catch {
      return json(400, {
        error: 'Send a JSON list of faults, for example [{"kind":"refuse"}]; [] ends them.',
      })
    }
  }
  return json(404, { error: 'Use POST /-/faults or GET /-/calls.' })
}

function send(response: ServerResponse, answer: SimulatedResponse): void {
  const body = answer.body ?? ''
  const headers = Object.fromEntries(
    Object.entries(answer.headers ?? {}).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : [...value],
    ]),
  )
  response.writeHead(answer.status, { ...headers, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve())
  })
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
