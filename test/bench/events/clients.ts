/** Subscribers: raw `graphql-transport-ws` over `ws`, so that they cost little beside the server that is measured. */
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

interface Connect {
  readonly url: string
  readonly subscribers: number
  readonly operations: number
  readonly matching: number
}

interface Subscriber {
  readonly operation: number
  readonly seen: string[]
  last: string | null
  socket: WebSocket | null
}

let place: Connect
let subscribers: Subscriber[] = []
let deliveries = 0
/** By event: when it was sent, and when the last one had it. */
const events = new Map<string, { sent: number; last: number }>()

/** Each event matches `matching` operations: the operation's SKU, and which of the aliases makes it distinct. */
const operationOf = (at: number, matching: number) => `subscription S($after: String) {
  change: inventoryChanged(after: $after, sku: "SKU-${Math.floor(at / matching)}") {
    cursor time onHandAfter of${at}: event level { product { name } } } }`

/** As clients do: a connection that was refused or reset is tried again. */
async function open(one: Subscriber): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await openOnce(one)
    } catch (error) {
      if (tries === 5) throw error
      await delay(tries * 100)
    }
  }
}

async function openOnce(one: Subscriber): Promise<void> {
  const socket = new WebSocket(place.url.replace('http', 'ws'), 'graphql-transport-ws', {
    perMessageDeflate: false,
  })
  one.socket = socket
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    // The server may give up on one whose first message it has not come to.
    socket.on('close', () => reject(new Error('closed')))
    socket.on('open', () => socket.send('{"type":"connection_init"}'))
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as {
        type: string
        payload?: { data?: { change: { cursor: string; onHandAfter: string } }; errors?: unknown }
      }
      if (message.type === 'connection_ack') {
        const query = operationOf(one.operation, place.matching)
        socket.send(
          JSON.stringify({
            id: '1',
            type: 'subscribe',
            payload: { query, variables: one.last ? { after: one.last } : {} },
          }),
        )
        resolve()
      }
      if (message.type !== 'next') return
      const change = message.payload?.data?.change
      if (!change) {
        process.stderr.write(`${String(data).slice(0, 300)}\n`)
        return
      }
      one.last = change.cursor
      one.seen.push(change.cursor)
      deliveries++
      // The figure carries the moment at which the event was made.
      const sent = Number(change.onHandAfter)
      const event = events.get(change.onHandAfter)
      const now = Date.now()
      if (event) event.last = now
      else events.set(change.onHandAfter, { sent: sent / 1000, last: now })
    })
  })
}

async function settle(): Promise<void> {
  // A server that is far behind may be silent for a while.
  for (let before = -1; before !== deliveries; ) {
    before = deliveries
    await delay(5_000)
  }
}

process.on('message', async (question: { ask: string } & Connect) => {
  try {
    if (question.ask === 'connect') {
      place = question
      subscribers = Array.from({ length: question.subscribers }, (_, at) => ({
        operation: at % question.operations,
        seen: [],
        last: null,
        socket: null,
      }))
      for (let at = 0; at < subscribers.length; at += 100)
        await Promise.all(subscribers.slice(at, at + 100).map(open))
      await delay(1_000)
      process.send?.({})
    }
    if (question.ask === 'result') {
      await settle()
      const took = [...events.values()].map(({ sent, last }) => last - sent).sort((a, b) => a - b)
      const at = (share: number) => Math.round(took[Math.floor(share * (took.length - 1))] ?? 0)
      process.send?.({ deliveries, p50: at(0.5), p99: at(0.99) })
    }
    if (question.ask === 'cut') {
      // Who has no cursor has no place to go on from: that would be no gap of the server's.
      for (
        const deadline = Date.now() + 30_000;
        subscribers.some(({ last }) => last === null);
        await delay(50)
      )
        if (Date.now() > deadline) throw new Error('some subscribers got nothing in 30 s')
      for (const one of subscribers) {
        one.socket?.removeAllListeners('message')
        one.socket?.terminate()
      }
      process.send?.({})
    }
    if (question.ask === 'resume') {
      const began = performance.now()
      const before = deliveries
      await Promise.all(subscribers.map(open))
      const connectedMs = Math.round(performance.now() - began)
      await settle()
      // Who asked the same must have received the same, each once.
      let gaps = 0
      let duplicates = 0
      const whole = new Map<number, Set<string>>()
      for (const { operation, seen } of subscribers) {
        const all = whole.get(operation) ?? new Set<string>()
        for (const cursor of seen) all.add(cursor)
        whole.set(operation, all)
      }
      for (const { operation, seen } of subscribers) {
        duplicates += seen.length - new Set(seen).size
        gaps += (whole.get(operation)?.size ?? 0) - new Set(seen).size
      }
      process.send?.({
        clients: subscribers.length,
        connectedMs,
        replayed: deliveries - before,
        gaps,
        duplicates,
      })
    }
  } catch (error) {
    process.send?.({ error: String(error) })
  }
})
