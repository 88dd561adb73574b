/** What the tests of kinds with a JSON REST interface have in common. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import type { WebhookRequest, WriteContext } from '../../src/systems/port.ts'

export const context = { caller: gatewayCaller }
export const write: WriteContext = {
  externalReference: '0123456789abcdef0123456789abcdef',
  onBehalfOf: '王芳',
}

const cleanups: (() => Promise<void>)[] = []
/** Closed after the test, last first. */
export function closing<T extends { close(): Promise<void> }>(one: T): T {
  cleanups.push(() => one.close())
  return one
}
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('nothing there')
  return value
}
export function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}
export const failureOf = (outcome: Outcome<unknown> | undefined) =>
  outcome && !outcome.ok ? outcome.failure : undefined

export async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 5_000) throw new Error('waited in vain')
    await delay(10)
  }
}

/** A listener for webhooks. */
export async function startReceiver() {
  const received: WebhookRequest[] = []
  const server = closing(
    await startSimulatorServer({
      handle({ headers, body }) {
        received.push({ headers: headers as WebhookRequest['headers'], body })
        return { status: 204 }
      },
    }),
  )
  return { url: `${server.url}/hooks`, received }
}

export interface Handled {
  readonly status?: number
  readonly body?: unknown
  /** Instead of a body. */
  readonly raw?: string
  readonly headers?: Readonly<Record<string, string>>
}
export type Handle = (request: {
  method: string
  url: URL
  headers: IncomingMessage['headers']
  body: string
}) => Handled

/** A server of a test's own, closed after it; `calls` are the requests, `written` the bodies. */
export async function serve(handle: Handle) {
  const calls: string[] = []
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const url = new URL(request.url ?? '', 'http://server')
    calls.push(`${request.method} ${url.pathname}${url.search}`)
    const {
      status = 200,
      body: answer,
      raw,
      headers,
    } = handle({
      method: request.method ?? '',
      url,
      headers: request.headers,
      body,
    })
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(raw ?? (answer === undefined ? '' : JSON.stringify(answer)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing({
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
  return { calls, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
