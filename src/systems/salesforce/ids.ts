/**
 * Ids of records: 15 characters whose case matters, or 18, where the last three say which of the others are capitals.
 * We know only the long form, so that one record has one key.
 */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'

/** The first characters of every id say what it is. */
export const PREFIXES = { Account: '001', Contact: '003', Opportunity: '006' } as const
export type ObjectName = keyof typeof PREFIXES

/**
 * @returns The long form, one of 18 characters as it stands; `null` where no record of this sort can have this id.
 */
export function longId(key: string, object: ObjectName): string | null {
  if (!/^[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?$/.test(key) || !key.startsWith(PREFIXES[object])) return null
  return key.length === 15 ? key + suffixOf(key) : key
}

/** Whether the last three characters of a long id fit the others; an org may refuse a whole query for one that does not. */
export const isExact = (id: string): boolean => id.slice(15) === suffixOf(id)

/** Five bits for each five characters, the first of them the lowest; one for a capital. */
function suffixOf(id: string): string {
  let suffix = ''
  for (let at = 0; at < 15; at += 5) {
    let bits = 0
    for (let bit = 0; bit < 5; bit++) if (/[A-Z]/.test(id[at + bit] ?? '')) bits |= 1 << bit
    suffix += ALPHABET[bits]
  }
  return suffix
}
