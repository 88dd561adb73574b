/**
 * A business system as they are: 150 ms for an answer, ten sessions, twenty calls in a second. A simulated REST
 * system stands behind a door that keeps the limits and counts; every change is written down with its moment.
 */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { World } from '../../../src/simulation/world.ts'
import { startRestCrmSimulator } from '../../../src/systems/rest-crm/simulator.ts'

export interface ErpOptions {
  readonly customers: number
  readonly latencyMs: number
  readonly sessions: number
  readonly callsPerSecond: number
  readonly token: string
  readonly webhookSecret: string
}

export interface Erp {
  readonly url: string
  readonly keys: readonly string[]
  readonly calls: { total: number; refused: number }
  /** Where changes are told of; null: nowhere. */
  webhook: string | null
  /** Gives the customer its next revision, which its `phone` shows. */
  change(key: string): void
  /** When each revision of a customer came to be, by `performance.now()`; the first is revision 1. */
  historyOf(key: string): readonly number[]
  /** Closes every connection unread, until it is taken back. */
  down: boolean
  close(): Promise<void>
}

export const phoneOf = (revision: number): string => `rev ${revision}`
/** @returns 0 for a customer that was never changed. */
export const revisionOf = (phone: string | null | undefined): number =>
  Number(/^rev (\d+)$/.exec(phone ?? '')?.[1] ?? 0)

export async function startErp(options: ErpOptions): Promise<Erp> {
  const world = new World({ customers: options.customers, products: 6, orders: 0 })
  let webhook: string | null = null
  const simulator = await startRestCrmSimulator(world, {
    auth: { type: 'bearer', token: options.token },
    webhook: {
      url: () => webhook ?? 'http://127.0.0.1:9/',
      secret: options.webhookSecret,
      retryDelaysMs: [],
    },
  })
  const { port } = new URL(simulator.url)
  const calls = { total: 0, refused: 0 }
  const history = new Map<string, number[]>()
  let departures: number[] = []
  let active = 0
  let down = false

  const refuse = (response: ServerResponse, status: number) => {
    calls.refused++
    response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '1' })
    response.end('{"code":42900,"message":"too many"}')
  }
  const forward = (incoming: IncomingMessage, response: ServerResponse) => {
    const { method, url: path, headers } = incoming
    const outgoing = httpRequest({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    outgoing.on('error', () => response.destroy())
    incoming.pipe(outgoing)
  }
  const door = createServer((incoming, response) => {
    if (down) return incoming.socket.destroy()
    calls.total++
    const now = performance.now()
    departures = departures.filter((at) => at > now - 1_000)
    if (departures.length >= options.callsPerSecond) return refuse(response, 429)
    departures.push(now)
    if (active >= options.sessions) return refuse(response, 503)
    active++
    response.on('close', () => {
      active--
    })
    setTimeout(() => forward(incoming, response), options.latencyMs)
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))

  return {
    url: `http://127.0.0.1:${(door.address() as AddressInfo).port}`,
    keys: world.all('crmCustomers').map((customer) => customer.id),
    calls,
    get webhook() {
      return webhook
    },
    set webhook(url) {
      webhook = url
    },
    get down() {
      return down
    },
    set down(value) {
      down = value
      if (down) door.closeAllConnections()
    },
    change(key) {
      const customer = world.get('crmCustomers', key)
      if (!customer) return
      const moments = history.get(key) ?? []
      history.set(key, moments)
      moments.push(performance.now())
      const updatedAt = new Date().toISOString()
      world.put('crmCustomers', {
        ...customer,
        phone: phoneOf(moments.length),
        updatedAt,
        revision: customer.revision + 1,
      })
    },
    historyOf: (key) => history.get(key) ?? [],
    async close() {
      door.closeAllConnections()
      door.close()
      await simulator.close()
    },
  }
}
