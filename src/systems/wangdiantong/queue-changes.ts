/**
 * Changes from a queue that is read and acknowledged. What was taken is named in the checkpoint, and acknowledged by
 * the next question: a checkpoint that comes back has been made durable together with the events it led to. A process
 * that dies in between acknowledges after its restart; one that dies before takes the same entries again.
 */
import { z } from 'zod'
import { readCheckpoint } from '../kit/checkpoint.ts'
import type { CallContext } from '../port.ts'
import type { Queue, Row, Ticket } from './edition.ts'

const checkpointSchema = z.union([
  z.strictObject({ taken: z.array(z.record(z.string(), z.string())) }),
  // It was followed by time until now: nothing has been taken yet.
  z.strictObject({ from: z.string() }).transform(() => ({ taken: [] as Ticket[] })),
])

export interface QueueChangesOptions<T> {
  readonly queue: Queue
  readonly shop: string | undefined
  readonly limit: number
  /** Records that the entries speak of. @throws SourceError: nothing is acknowledged then. */
  read(rows: readonly Row[]): Promise<readonly T[]>
  /** What the vendor says of entries that it does not take off its queue. */
  readonly warn: (words: readonly string[]) => void
}

export async function queueChanges<T>(
  checkpoint: string | null,
  { queue, shop, limit, read, warn }: QueueChangesOptions<T>,
  context: CallContext,
): Promise<{ records: readonly T[]; checkpoint: string; hasMore: boolean }> {
  const at = (taken: readonly Ticket[]) => JSON.stringify({ taken })
  if (checkpoint === null) return { records: [], checkpoint: at([]), hasMore: false }
  const { taken: before }: { taken: readonly Ticket[] } = readCheckpoint(checkpointSchema, checkpoint)
  if (before.length > 0) {
    const words = await queue.acknowledge(before, context)
    if (words.length > 0) warn(words)
  }
  const entries = await queue.take({ shop, limit }, context)
  const known = new Set(before.map((ticket) => JSON.stringify(ticket)))
  // An entry that stays though it was acknowledged is looked at once in a poll, not for ever.
  const fresh = entries.filter(({ ticket }) => !known.has(JSON.stringify(ticket)))
  const records = await read(fresh.map(({ row }) => row))
  const taken = entries.map(({ ticket }) => ticket)
  return { records, checkpoint: at(taken), hasMore: fresh.length > 0 }
}
