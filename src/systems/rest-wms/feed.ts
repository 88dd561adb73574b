/** The WMS's feed of changes, and how it is told that the feed does not reach back so far. */
import { z } from 'zod'
import { type Query, type RestClient, RestRefusal, shaped } from '../kit/rest/client.ts'
import type { CallContext } from '../port.ts'

export interface FeedPage {
  readonly items: readonly unknown[]
  readonly hasMore: boolean
  /** Where the feed goes on. */
  readonly cursor: string
}

const feedSchema = z.looseObject({
  items: z.array(z.unknown()),
  nextCursor: z.string().min(1),
  hasMore: z.boolean(),
})

const GONE = 410

/**
 * What follows a place in the feed; without one: nothing, and where it ends now.
 * @returns null where the feed does not reach back to that place any more
 * @throws SourceError
 */
export async function readFeed(
  client: RestClient,
  path: string,
  query: Query,
  context: CallContext,
): Promise<FeedPage | null> {
  try {
    const { data } = await client.get(path, query, context)
    const { items, nextCursor, hasMore } = shaped(feedSchema, data, path)
    return { items, cursor: nextCursor, hasMore }
  } catch (error) {
    if (error instanceof RestRefusal && error.status === GONE) return null
    throw error
  }
}
