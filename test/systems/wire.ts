/** The line between an adapter and its system, where a test can listen, and say something else than was said. */
import {
  request as ask,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Heard {
  /** `METHOD /path?query` */
  readonly line: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Wire extends AsyncDisposable {
  readonly url: string
  readonly heard: readonly Heard[]
  /** Exchanges without a whole answer, whose asker still holds the line. */
  waiting(): number
}

/** `half`: the first half of the answer arrives, and the line stays open. */
export type Said = Answer | 'nothing' | 'half'

/** @param say Makes of each true answer what is said instead. */
export async function startWire(
  to: string,
  say: (answer: Answer, heard: Heard) => Said = (answer) => answer,
): Promise<Wire> {
  const heard: Heard[] = []
  let waiting = 0
  const pass = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await read(incoming)
    const one = { line: `${incoming.method} ${incoming.url}`, headers: incoming.headers, body }
    heard.push(one)
    const answer = await forward(to, incoming, body)
    const said = say(answer, one)
    if (said === 'nothing') return
    const { status, headers, body: text } = said === 'half' ? answer : said
    response.writeHead(status, { ...headers, 'content-length': text.length })
    if (said === 'half') response.write(text.subarray(0, text.length / 2))
    else response.end(text)
  }
  const server = createServer((incoming, response) => {
    waiting++
    response.once('close', () => waiting--)
    // Either end may hang up at any moment: then the other hears so.
    pass(incoming, response).catch(() => incoming.socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    waiting: () => waiting,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function forward(to: string, { method, url, headers }: IncomingMessage, body: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sending = ask(new URL(url ?? '/', to), { method, headers, agent: false }, (answer) => {
      const { 'transfer-encoding': _, ...rest } = answer.headers
      read(answer).then(
        (whole) => resolve({ status: answer.statusCode ?? 500, headers: rest, body: whole }),
        reject,
      )
    })
    sending.on('error', reject)
    sending.end(body)
  })
}

async function read(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
