/**
 * Ids as clients see them: opaque text that names a record type, a system and a key. A customer or product keeps
 * the id of the first key under which it was known; other keys of the same thing resolve to it.
 */
import type { Key, UnifiedType } from '../systems/records.ts'

export interface RecordRef {
  readonly type: UnifiedType
  readonly system: string
  readonly key: Key
}

/** One letter per record type; changing one breaks the ids that clients hold. */
const LETTERS: Readonly<Record<UnifiedType, string>> = {
  customer: 'c',
  product: 'p',
  warehouse: 'w',
  inventoryLevel: 's',
  order: 'o',
  delivery: 'd',
  reservation: 'v',
  shipment: 't',
  invoice: 'i',
  payment: 'y',
  receivable: 'r',
  opportunity: 'q',
}
const TYPES = new Map(Object.entries(LETTERS).map(([type, letter]) => [letter, type as UnifiedType]))

/** The first character is the version of this encoding. */
const VERSION = '1'

/**
 * More than any system's key has. Ids are text that anybody may make up: what is longer would only break the request
 * to a system, and a few such in a row look like an outage.
 */
const MAX_KEY_LENGTH = 255

export function encodeId(ref: RecordRef): string {
  const text = `${LETTERS[ref.type]}${ref.system}\n${ref.key}`
  return VERSION + Buffer.from(text, 'utf8').toString('base64url')
}

/** @returns null where the text was not made by `encodeId`. */
export function decodeId(id: string): RecordRef | null {
  if (!id.startsWith(VERSION)) return null
  const text = Buffer.from(id.slice(1), 'base64url').toString('utf8')
  const type = TYPES.get(text.charAt(0))
  const at = text.indexOf('\n')
  if (!type || at < 2 || at === text.length - 1 || text.length - at - 1 > MAX_KEY_LENGTH) return null
  const ref = { type, system: text.slice(1, at), key: text.slice(at + 1) }
  // Base64 ignores strange characters; only the one spelling that we made is accepted.
  return encodeId(ref) === id ? ref : null
}
