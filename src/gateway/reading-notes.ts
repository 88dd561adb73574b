/** Between gateway and subgraph processes: what is wanted goes there, what an answer was made of comes back. */
import type { DocumentNode, GraphQLSchema } from 'graphql'
import { z } from 'zod'
import type { SubgraphContext } from '../../subgraphs/kit/context.ts'
import { wantsOf } from '../../subgraphs/kit/wants.ts'
import type { SubgraphResponse, SubgraphTransport } from '../federation/transport.ts'
import type { Wants } from '../reading/parts.ts'
import { RECORD_TYPES } from '../systems/records.ts'

const reportSchema = z.object({
  sources: z.array(
    z.object({
      system: z.string(),
      record: z.enum(RECORD_TYPES),
      count: z.number(),
      fetchedAt: z.iso.datetime(),
      stale: z.boolean(),
    }),
  ),
  freshUntil: z.number().nullable(),
  demandMet: z.boolean().nullable(),
})

/** Where the report stands in `extensions`. */
const READ = 'read'

/** In a subgraph process: reads what its documents show, and says what it has read. */
export function readingNotes(schema: GraphQLSchema) {
  const known = new WeakMap<DocumentNode, Wants>()
  return {
    onQuery({ reader }: SubgraphContext, document: DocumentNode): void {
      const wants = known.get(document) ?? wantsOf([{ schema, document }])
      known.set(document, wants)
      reader.want(wants)
    },
    describe: ({ reader }: SubgraphContext) => ({ [READ]: reader.sources() }),
  }
}

/** At once when a result comes: the next one may be read in the same context. */
export function mapped<T>(
  stream: AsyncIterableIterator<T>,
  change: (value: T) => T,
): AsyncIterableIterator<T> {
  const map = (one: IteratorResult<T>): IteratorResult<T> =>
    one.done ? one : { done: false, value: change(one.value) }
  return {
    next: async () => map(await stream.next()),
    return: async (value) => (await stream.return?.(value)) ?? { done: true, value },
    throw: async (error) => {
      if (!stream.throw) throw error
      return map(await stream.throw(error))
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** In the gateway: what subgraph processes say that they have read counts as read for the request. */
export function takingNotes(
  transport: SubgraphTransport<SubgraphContext>,
): SubgraphTransport<SubgraphContext> {
  const take = (context: SubgraphContext, response: SubgraphResponse): SubgraphResponse => {
    // Other servers may stand there, too, and have other extensions.
    const report = reportSchema.safeParse(response.extensions?.[READ])
    if (report.success) context.reader.readElsewhere(report.data)
    return response
  }
  return {
    ...transport,
    execute: async (request) => take(request.context, await transport.execute(request)),
    async subscribe(request) {
      const { context } = request
      const stream = await transport.subscribe(request)
      if (!(Symbol.asyncIterator in stream)) return take(context, stream)
      return mapped(stream, (event) => {
        // Nothing is read here in this context: it holds what is said of one event.
        context.renew()
        return take(context, event)
      })
    },
  }
}
