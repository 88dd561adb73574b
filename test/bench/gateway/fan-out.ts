/** Many subscribers of one operation over real WebSockets: how long until the last one has an event. */
import { WebSocket } from 'ws'
import { subscription } from './shop.ts'

export interface FanOut {
  /** From the move to the last subscriber's message, median, ms. */
  readonly untilLast: number
  /** Events a second that all subscribers got, sent one after the other's arrival. */
  readonly eventsPerSecond: number
  readonly deliveriesPerSecond: number
  readonly wrong: number
}

/** No more events are made after this. */
const longestMs = 20_000

/**
 * @param move Makes one event.
 * @param whenSubscribed Called when all are there, before the first event.
 */
export async function fanOut(
  url: string,
  subscribers: number,
  events: number,
  move: (upc: string) => void,
  whenSubscribed: () => void,
): Promise<FanOut> {
  const probe = '"name":"Product 60, '
  const sockets: WebSocket[] = []
  const subscribed = new Set<WebSocket>()
  let lastMessage = 0
  let lastProbe = -5000
  let arrived = 0
  let wrong = 0
  let expected = ''
  let all = (): void => {}
  for (let start = 0; start < subscribers; start += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, subscribers - start) }, () => {
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws')
        sockets.push(socket)
        socket.on('error', reject)
        socket.on('open', () => socket.send('{"type":"connection_init"}'))
        socket.on('message', (raw) => {
          const text = String(raw)
          if (text.includes('connection_ack')) {
            socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: subscription } }))
            resolve()
          } else if (text.includes('"next"')) {
            subscribed.add(socket)
            lastMessage = performance.now()
            if (text.includes(probe)) return
            if (!text.includes(expected)) wrong++
            if (++arrived === subscribers) all()
          } else if (text.includes('"ping"')) socket.send('{"type":"pong"}')
          else if (text.includes('"error"')) reject(new Error(text))
        })
        return promise
      }),
    )
  }
  // The last subscribe messages are still on their way: what nobody counts is sent until everybody has had it.
  const since = performance.now()
  while (subscribed.size < subscribers) {
    if (performance.now() - since > 60_000)
      throw new Error(`only ${subscribed.size} subscriptions came about`)
    // Seldom, and not before the one sent last has arrived wherever it will: a slow server is to be left no queue.
    if (performance.now() - Math.max(lastMessage, lastProbe + 5000) > 1000) {
      move('p60')
      lastProbe = performance.now()
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  whenSubscribed()
  const times: number[] = []
  const began = performance.now()
  for (let i = 0; i < events && performance.now() - began < longestMs; i++) {
    arrived = 0
    const upc = `p${i % 50}`
    expected = `"name":"Product ${i % 50}, in a sensible length","price":${100 + (i % 50) * 37}`
    const { promise: done, resolve, reject } = Promise.withResolvers<void>()
    all = resolve
    const started = performance.now()
    const late = setTimeout(
      () => reject(new Error(`event ${i} reached ${arrived} of ${subscribers} in 60 s`)),
      60_000,
    )
    move(upc)
    await done
    clearTimeout(late)
    times.push(performance.now() - started)
  }
  const seconds = (performance.now() - began) / 1000
  for (const socket of sockets) socket.terminate()
  times.sort((a, b) => a - b)
  return {
    untilLast: times[times.length >> 1] ?? 0,
    eventsPerSecond: times.length / seconds,
    deliveriesPerSecond: (times.length * subscribers) / seconds,
    wrong,
  }
}
