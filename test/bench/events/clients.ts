/** Subscribers: raw `graphql-transport-ws` over `ws`, so that they cost little beside the server that is measured. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Received, Resumed, Shape } from './messages.ts'

type Question = { readonly ask: 'connect' | 'result' | 'cut' | 'resume' } & Shape & {
    readonly url: string
    /** Cursors are remembered, to be compared later. */
    readonly keep?: boolean
    readonly expected?: number
  }

interface Subscriber {
  readonly operation: number
  readonly seen: string[]
  last: string | null
  lastMoment: number
  socket: WebSocket | null
}

/** Without a delivery for so long, no more is waited for: what was expected and has not come is missing then. */
const SILENCE_MS = 20_000

let place: Question
let subscribers: Subscriber[] = []
let deliveries = 0
let disordered = 0
let incomplete = 0
let firstAt = 0
let lastAt = 0
/** By moment, which names the event: when the last one here had it. */
const events = new Map<string, number>()

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
      const text = String(data)
      if (text.includes('"type":"next"')) take(one, text)
      else if (text.includes('"type":"connection_ack"')) {
        const query = operationOf(one.operation, place.matching)
        const variables = one.last ? { after: one.last } : {}
        // As clients of graphql-ws number their operations: no two alike.
        socket.send(JSON.stringify({ id: randomUUID(), type: 'subscribe', payload: { query, variables } }))
        resolve()
      } else if (text.includes('"type":"ping"')) socket.send('{"type":"pong"}')
      else process.stderr.write(`${text.slice(0, 300)}\n`)
    })
  })
}

const MOMENT = /"onHandAfter":"(\d+)"/
const CURSOR = /"cursor":"([^"]+)"/

/** Reading each message whole would cost more than sending it; each fiftieth must be what it looks like. */
function take(one: Subscriber, text: string): void {
  const moment = MOMENT.exec(text)?.[1]
  if (moment === undefined || !text.includes('"name":"')) {
    if (incomplete++ < 3) process.stderr.write(`${text.slice(0, 300)}\n`)
    return
  }
  if (deliveries++ % 50 === 0) {
    const { payload } = JSON.parse(text) as {
      payload: { data: { change: { onHandAfter: string; level: { product: { name: string } } } } }
    }
    const { change } = payload.data
    if (change.onHandAfter !== moment || !change.level.product.name) incomplete++
  }
  // The figure carries the moment at which the event was made.
  if (Number(moment) <= one.lastMoment) disordered++
  one.lastMoment = Number(moment)
  lastAt = Date.now()
  firstAt ||= lastAt
  events.set(moment, lastAt)
  const cursor = CURSOR.exec(text)?.[1]
  if (!cursor) return
  // A piece of a text keeps the whole of it.
  one.last = place.keep ? Buffer.from(cursor).toString() : null
  if (one.last) one.seen.push(one.last)
}

async function until(isDone: () => boolean): Promise<void> {
  let before = deliveries
  let quietSince = Date.now()
  while (!isDone() && Date.now() - quietSince < SILENCE_MS) {
    await delay(20)
    if (deliveries !== before) quietSince = Date.now()
    before = deliveries
  }
}

/** Who asked the same must have received the same, each once. */
function compared(): { gaps: number; duplicates: number } {
  const whole = new Map<number, Set<string>>()
  for (const { operation, seen } of subscribers) {
    const all = whole.get(operation) ?? new Set<string>()
    for (const cursor of seen) all.add(cursor)
    whole.set(operation, all)
  }
  let gaps = 0
  let duplicates = 0
  for (const { operation, seen } of subscribers) {
    const distinct = new Set(seen).size
    duplicates += seen.length - distinct
    gaps += (whole.get(operation)?.size ?? 0) - distinct
  }
  return { gaps, duplicates }
}

async function answer(question: Question): Promise<object> {
  switch (question.ask) {
    case 'connect': {
      place = question
      subscribers = Array.from({ length: question.subscribers }, (_, at) => ({
        operation: at % question.operations,
        seen: [],
        last: null,
        lastMoment: 0,
        socket: null,
      }))
      for (let at = 0; at < subscribers.length; at += 100)
        await Promise.all(subscribers.slice(at, at + 100).map(open))
      return {}
    }
    case 'result': {
      await until(() => deliveries >= (question.expected ?? 0))
      const untilLast = new Map([...events].map(([moment, last]) => [moment, last - Number(moment) / 1_000]))
      const received: Received = { deliveries, disordered, incomplete, untilLast, firstAt, lastAt }
      events.clear()
      deliveries = disordered = incomplete = firstAt = lastAt = 0
      return received
    }
    case 'cut': {
      // Who has no cursor has no place to go on from: that would be no gap of the server's.
      await until(() => subscribers.every(({ last }) => last !== null))
      if (subscribers.some(({ last }) => last === null)) throw new Error('some subscribers got nothing')
      for (const one of subscribers) {
        one.socket?.removeAllListeners('message')
        one.socket?.terminate()
      }
      return {}
    }
    case 'resume': {
      const beganAt = Date.now()
      const before = deliveries
      await Promise.all(subscribers.map(open))
      // Others go on meanwhile: who has an event from after that has all from before.
      await until(() => subscribers.every(({ lastMoment }) => lastMoment / 1_000 > beganAt))
      const caughtUpMs = Date.now() - beganAt
      await until(() => compared().gaps === 0 && Date.now() - lastAt > 1_000)
      const resumed: Resumed = {
        clients: subscribers.length,
        caughtUpMs,
        replayed: deliveries - before,
        ...compared(),
      }
      return resumed
    }
  }
}

process.on('message', (question: Question) => {
  answer(question).then(
    (value) => process.send?.(value),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
