import { setTimeout as sleep } from 'node:timers/promises'
import { type ExecutionResult, parse } from 'graphql'
import { beforeEach, describe, expect, it } from 'vitest'
import { compose, fleet, plain, type SubgraphSource } from './kit.ts'

interface Move {
  readonly cursor: string
  readonly id: string
  readonly onHand: number
}

/** A log with live readers, as a subgraph over a change log would have it. */
class Log {
  readonly events: Move[] = []
  readonly live = new Set<{ push(event: Move): void }>()
  opened = 0

  append(onHand: number): void {
    const event = { cursor: `#${this.events.length + 1}`, id: '7', onHand }
    this.events.push(event)
    for (const reader of this.live) reader.push(event)
  }

  /** Reads on from a cursor slowly: what is appended meanwhile comes in order. */
  async *read(after: string | null | undefined): AsyncGenerator<{ stockMoved: Move }> {
    this.opened++
    const queue: Move[] = []
    let wake = (): void => {}
    const reader = {
      push: (event: Move) => {
        queue.push(event)
        wake()
      },
    }
    this.live.add(reader)
    const past = after ? this.events.slice(this.events.findIndex((e) => e.cursor === after) + 1) : []
    try {
      for (const event of past) {
        await sleep(1)
        yield { stockMoved: event }
      }
      while (true) {
        while (queue.length > 0) {
          const event = queue.shift()
          if (event) yield { stockMoved: event }
        }
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      this.live.delete(reader)
    }
  }
}

/** Async generators only end at a yield; a subgraph's iterator ends at once. */
function endable<T>(source: AsyncGenerator<T>, onReturn: () => void): AsyncIterableIterator<T> {
  let stop: (result: IteratorResult<T>) => void
  const stopped = new Promise<IteratorResult<T>>((resolve) => {
    stop = resolve
  })
  return {
    next: () => Promise.race([source.next(), stopped]),
    return: async () => {
      onReturn()
      stop({ done: true, value: undefined })
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

let log = new Log()
let closed = 0
let names = 0
beforeEach(() => {
  log = new Log()
  closed = 0
  names = 0
})

const sources: Record<string, SubgraphSource> = {
  wms: {
    sdl: `
      type Query { levels: [Level] }
      type Subscription { stockMoved(after: String, initial: Boolean): Move! }
      type Move { cursor: String! id: ID! onHand: Int level: Level }
      type Level @key(fields: "id") { id: ID! }
    `,
    resolvers: {
      Subscription: {
        stockMoved: {
          subscribe: (_: unknown, { after }: { after?: string }) =>
            endable(log.read(after), () => {
              closed++
            }),
        },
      },
      Move: { level: ({ id }: Move) => ({ id }) },
    },
  },
  erp: {
    sdl: `type Level @key(fields: "id") { id: ID! name: String }`,
    resolvers: { Level: { name: ({ id }: { id: string }) => `level ${id}, time ${++names}` } },
  },
}

const query = 'subscription S($after: String) { stockMoved(after: $after) { onHand level { name } } }'

async function open(
  { engine }: ReturnType<typeof fleet>,
  {
    variables = {},
    context = 'ada',
    text = query,
  }: { variables?: Record<string, unknown>; context?: string; text?: string } = {},
) {
  const stream = await engine.subscribe({ document: parse(text), variables, context })
  if (!(Symbol.asyncIterator in stream)) throw new Error(JSON.stringify(stream))
  return stream
}
const take = async (stream: AsyncIterator<ExecutionResult>, count: number) => {
  const results: unknown[] = []
  for (let i = 0; i < count; i++) {
    const { value } = await stream.next()
    results.push(plain(value?.data?.stockMoved?.onHand ?? value))
  }
  return results
}
const byContext = { scope: (context: unknown) => String(context) }

describe('subscriptions', () => {
  it('of one scope share one stream and one evaluation per event', async () => {
    const world = fleet(sources, byContext)
    const streams = await Promise.all([
      open(world),
      open(world, { text: query.replace(' S(', ' Other(') }),
      open(world),
    ])
    log.append(3)
    const results = await Promise.all(streams.map((stream) => stream.next()))
    for (const { value } of results) {
      expect(plain(value)).toEqual({
        data: { stockMoved: { onHand: 3, level: { name: 'level 7, time 1' } } },
      })
    }
    expect(log.opened).toBe(1)
    await streams[0]?.return?.()
    await streams[1]?.return?.()
    expect(closed).toBe(0)
    await streams[2]?.return?.()
    expect(closed).toBe(1)
    const again = await open(world)
    expect(log.opened).toBe(2)
    await again.return?.()
  })

  it('of other scopes, or without one, have streams of their own', async () => {
    const world = fleet(sources, { scope: (context) => (context === 'nobody' ? undefined : String(context)) })
    const streams = await Promise.all(
      ['ada', 'bo', 'nobody', 'nobody'].map((context) => open(world, { context })),
    )
    expect(log.opened).toBe(4)
    for (const stream of streams) await stream.return?.()
  })

  it('that resume get the past once and in order, then share the live stream', async () => {
    const world = fleet(sources, byContext)
    for (let i = 1; i <= 20; i++) log.append(i)
    const live = await open(world)
    const resumed = await open(world, { variables: { after: '#5' } })
    const past = take(resumed, 5)
    log.append(21)
    log.append(22)
    expect(await past).toEqual([6, 7, 8, 9, 10])
    log.append(23)
    expect(await take(resumed, 13)).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])
    expect(await take(live, 3)).toEqual([21, 22, 23])
    expect(closed).toBe(1)
    const before = names
    log.append(24)
    expect(await Promise.all([take(live, 1), take(resumed, 1)])).toEqual([[24], [24]])
    expect(names).toBe(before + 1)
    await live.return?.()
    await resumed.return?.()
    expect(closed).toBe(2)
  })

  it('that come back together from the same place go through the past together', async () => {
    const world = fleet(sources, byContext)
    for (let i = 1; i <= 20; i++) log.append(i)
    const variables = { after: '#5' }
    const first = await open(world, { variables })
    expect(await take(first, 4)).toEqual([6, 7, 8, 9])
    const others = await Promise.all([open(world, { variables }), open(world, { variables })])
    const elsewhere = await open(world, { variables: { after: '#18' } })
    log.append(21)
    const since = (from: number) => Array.from({ length: 21 - from }, (_, i) => from + 1 + i)
    expect(await take(first, 12)).toEqual(since(9))
    for (const other of others) expect(await take(other, 16)).toEqual(since(5))
    expect(await take(elsewhere, 3)).toEqual(since(18))
    // The stream that all share, one replay for three, and one from another place.
    expect(log.opened).toBe(3)
    expect(names).toBe(16 + 3 + 1)
    log.append(22)
    const all = [first, ...others, elsewhere]
    expect(await Promise.all(all.map((stream) => take(stream, 1)))).toEqual([[22], [22], [22], [22]])
    expect(closed).toBe(2)
    for (const stream of all) await stream.return?.()
    expect(closed).toBe(3)
  })

  it('cut off who does not keep up, with a reason, and nobody else', async () => {
    const world = fleet(sources, { ...byContext, maxQueuedEvents: 2 })
    const slow = await open(world)
    const fast = await open(world)
    for (let i = 1; i <= 4; i++) {
      log.append(i)
      expect(await take(fast, 1)).toEqual([i])
    }
    expect(await take(slow, 2)).toEqual([1, 2])
    expect(plain((await slow.next()).value)).toMatchObject({
      errors: [{ extensions: { code: 'SUBSCRIBER_TOO_SLOW' } }],
    })
    expect(await slow.next()).toEqual({ done: true, value: undefined })
    log.append(5)
    expect(await take(fast, 1)).toEqual([5])
    await fast.return?.()
  })

  it('end when the client leaves', async () => {
    const world = fleet(sources)
    const leaving = new AbortController()
    const stream = await world.engine.subscribe({
      document: parse(query),
      context: {},
      signal: leaving.signal,
    })
    if (!(Symbol.asyncIterator in stream)) throw new Error('no stream')
    const next = stream.next()
    leaving.abort()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(closed).toBe(1)
  })

  it('get a context of their own for each event', async () => {
    let contexts = 0
    const seen: unknown[] = []
    const world = fleet(sources, {
      eventContext: () => ++contexts,
      onFetch: ({ context }) => seen.push(context),
    })
    const stream = await open(world)
    log.append(1)
    await take(stream, 1)
    log.append(2)
    await take(stream, 1)
    expect(new Set(seen).size).toBe(2)
    await stream.return?.()
  })

  it('go on over a reload where they are still valid, and end with a reason where not', async () => {
    const world = fleet(sources, byContext)
    const kept = await open(world)
    const lost = await open(world, { text: 'subscription { stockMoved { id cursor } }' })
    await world.engine.reload(
      compose({
        ...sources,
        wms: {
          ...sources.wms,
          sdl: String(sources.wms?.sdl).replace('id: ID! onHand', 'moved: ID @tag(name: "x") onHand'),
        },
      }),
    )
    log.append(9)
    expect(await take(kept, 1)).toEqual([9])
    expect(plain((await lost.next()).value)).toMatchObject({
      errors: [{ extensions: { code: 'SUBSCRIPTION_OUTDATED' } }],
    })
    expect((await lost.next()).done).toBe(true)
    await world.engine.close()
    expect((await kept.next()).done).toBe(true)
  })
})
