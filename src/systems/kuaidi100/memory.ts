/**
 * What was last said of each parcel. 快递100 locks accounts that ask for one number again and again, and tells of
 * changes by itself; so an answer counts until the interval is over or a push brings a newer one.
 */
import type { Outcome } from '../failure.ts'
import type { Key, Shipment } from '../records.ts'

type Answer = Outcome<Shipment | null>

export interface Memory {
  /** What was said less than the interval ago, or will never change any more. */
  recent(key: Key): Answer | undefined
  keep(key: Key, answer: Answer): void
  /** What a push told, unless something newer is known. */
  told(shipment: Shipment): void
  /** A parcel with that number, of whichever carrier. */
  keyOf(number: string): Key | undefined
}

export function createMemory({ intervalMs, size }: { intervalMs: number; size: number }): Memory {
  const known = new Map<Key, { readonly at: number; readonly answer: Answer }>()
  const keys = new Map<string, Key>()

  const keep = (key: Key, answer: Answer) => {
    known.delete(key)
    known.set(key, { at: Date.now(), answer })
    if (answer.ok && answer.value) keys.set(answer.value.trackingNumber, key)
    for (const [oldest, { answer: forgotten }] of known) {
      if (known.size <= size) break
      known.delete(oldest)
      if (forgotten.ok && forgotten.value) keys.delete(forgotten.value.trackingNumber)
    }
  }

  return {
    recent(key) {
      const found = known.get(key)
      if (!found) return undefined
      return isFinal(found.answer) || Date.now() - found.at < intervalMs ? found.answer : undefined
    },
    keep,
    told(shipment) {
      const before = known.get(shipment.key)?.answer
      const newest = before?.ok ? before.value?.updatedAt : undefined
      if (newest && !(Date.parse(shipment.updatedAt ?? '') >= Date.parse(newest))) return
      keep(shipment.key, { ok: true, value: shipment })
    },
    keyOf: (number) => keys.get(number),
  }
}

const isFinal = (answer: Answer): boolean =>
  answer.ok && (answer.value?.status === 'DELIVERED' || answer.value?.status === 'RETURNED')
