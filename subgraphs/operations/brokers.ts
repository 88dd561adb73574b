/** Broker topics that are read and written, as operators see them. */
import type { Parked } from '../../src/events/brokers/feed.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput, graphError } from '../kit/errors.ts'
import { connectionOf, decodeCursor, encodeCursor, pageSize } from '../kit/records.ts'
import { requireRole } from '../kit/writes.ts'

export function brokerResolvers({ brokers: { feeds, sinks } }: Pick<Rooms, 'brokers'>) {
  const missing = (what: string, name: string) =>
    graphError('NOT_FOUND', `There is no ${what} "${name.slice(0, 80)}".`)

  return {
    Query: {
      brokerFeeds(_: unknown, _args: unknown, context: SubgraphContext) {
        requireRole(context, 'operator')
        return feeds.list()
      },
      brokerSinks(_: unknown, _args: unknown, context: SubgraphContext) {
        requireRole(context, 'operator')
        return sinks.list()
      },
      async parkedMessages(
        _: unknown,
        args: { first?: number; after?: string; feed?: string | null },
        context: SubgraphContext,
      ) {
        requireRole(context, 'operator')
        const size = pageSize(args.first, 20)
        const list = `parked/${args.feed ?? ''}`
        const [before] = args.after ? decodeCursor(list, args.after) : []
        const found = await feeds.parked({ first: size + 1, before, feed: args.feed ?? undefined })
        const items = found
          .slice(0, size)
          .map((node: Parked) => ({ cursor: encodeCursor(list, [node.id]), node }))
        return connectionOf(items, found.length > size, args.after != null)
      },
    },
    Mutation: {
      async replayParkedMessage(_: unknown, { id }: { id: string }, context: SubgraphContext) {
        requireRole(context, 'operator')
        const replayed = await feeds.replay(id)
        if (replayed === 'gone') throw missing('parked message', id)
        return replayed.reason
      },
      async discardParkedMessage(_: unknown, { id }: { id: string }, context: SubgraphContext) {
        requireRole(context, 'operator')
        return feeds.discard(id)
      },
      async backfillSink(
        _: unknown,
        { name, after }: { name: string; after: string },
        context: SubgraphContext,
      ) {
        requireRole(context, 'operator')
        if (!/^\d{1,15}$/.test(after)) throw badInput('"after" must be a position of the log, or 0.', 'after')
        const position = await sinks.backfill(name, Number(after))
        if (position === null) throw missing('sink', name)
        return (await sinks.list()).find((sink) => sink.name === name)
      },
    },
  }
}
