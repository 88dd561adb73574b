/** Many keys, in as few calls as addresses of bearable length allow. */
import { type Outcome, ok, outcomeOf } from '../../failure.ts'
import type { Key } from '../../records.ts'

/**
 * Reads batch by batch, each distinct key once.
 * @param absent What a key has that the system did not mention.
 * @param read May throw SourceError: then every key of the batch fails alike.
 * @returns One outcome per key, same order.
 */
export async function inBatches<V>(
  keys: readonly Key[],
  limit: number,
  absent: V,
  read: (batch: readonly Key[]) => Promise<ReadonlyMap<Key, Outcome<V>>>,
): Promise<Outcome<V>[]> {
  const outcomes = new Map<Key, Outcome<V>>()
  let refused: Outcome<never> | undefined
  for (const batch of batchesOf(keys, limit)) {
    // More attempts with refused credentials would only lock the account.
    const found = refused ?? (await outcomeOf(() => read(batch)))
    for (const key of batch) outcomes.set(key, found.ok ? (found.value.get(key) ?? ok(absent)) : found)
    if (!found.ok && found.failure.kind === 'unauthorized') refused = found
  }
  return keys.map((key) => outcomes.get(key) ?? ok(absent))
}

/** Commas separate keys in a list and dots climb in a path: no record of the contracts has such a key. */
export const isAddressable = (key: Key): boolean =>
  /^[^,\p{Cc}]{1,200}$/u.test(key) && /[^\s.]/.test(key) && key.isWellFormed()

/** Longer addresses are refused by servers and proxies, often without a word. */
const MAX_LIST_LENGTH = 6_000

/** Each distinct key that can exist once, cut to what one call may carry. */
function batchesOf(keys: readonly Key[], limit: number): Key[][] {
  const batches: Key[][] = []
  let length = 0
  for (const key of new Set(keys)) {
    if (!isAddressable(key)) continue
    const batch = batches.at(-1)
    const more = encodeURIComponent(key).length + '%2C'.length
    if (batch && batch.length < limit && length + more <= MAX_LIST_LENGTH) {
      batch.push(key)
      length += more
    } else {
      batches.push([key])
      length = more
    }
  }
  return batches
}
