/** Subscriptions over the log of change events. */
import type { ChangeEvent } from '../../src/events/event.ts'
import type { EventFilter } from '../../src/events/log.ts'
import type { Rooms, SubgraphContext } from './context.ts'
import { graphError } from './errors.ts'

/**
 * Events that match, as payloads, from now on or after a cursor. Each event is answered from what the systems say
 * then, not from what an earlier event had read.
 */
export function watchLog<P>(
  rooms: Rooms,
  context: SubgraphContext,
  filter: EventFilter,
  after: string | null | undefined,
  payloadOf: (event: ChangeEvent, cursor: string) => P | Promise<P>,
): AsyncIterableIterator<P> {
  let position: number | undefined
  if (after !== undefined && after !== null) {
    const from = rooms.events.positionOf(after, context.caller)
    if ('refused' in from) throw graphError('CURSOR_INVALID', from.refused)
    position = from.position
  }
  return endable(async function* (signal) {
    for await (const event of rooms.events.follow(filter, position, signal)) {
      context.renew()
      yield await payloadOf(event, rooms.events.cursorOf(event.position, context.caller))
    }
  })
}

/** An iterator whose `return` ends a source that is waiting; a plain generator would wait for the next value first. */
export function endable<P>(source: (signal: AbortSignal) => AsyncGenerator<P>): AsyncIterableIterator<P> {
  const end = new AbortController()
  const values = source(end.signal)
  return {
    next: () => values.next(),
    async return() {
      end.abort()
      return values.return(undefined)
    },
    async throw(error) {
      end.abort()
      return values.throw(error)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
