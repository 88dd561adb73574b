/**
 * The gateway's reference as an order number. Where it is the number (`FBillNo`), the vendor itself refuses a
 * second order with it; 32 hexadecimal digits would not fit into the 30 characters that some releases allow, 25 of
 * base 36 do.
 */
const DIGITS = 25

export function billNumberOf(prefix: string, externalReference: string): string {
  const value = BigInt(`0x${externalReference}`)
  return prefix + value.toString(36).toUpperCase().padStart(DIGITS, '0')
}

/** @returns `null`: a number that somebody else gave. */
export function referenceOf(prefix: string, billNumber: string): string | null {
  if (!billNumber.startsWith(prefix) || billNumber.length !== prefix.length + DIGITS) return null
  let value = 0n
  for (const digit of billNumber.slice(prefix.length)) {
    const worth = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'.indexOf(digit)
    if (worth < 0) return null
    value = value * 36n + BigInt(worth)
  }
  const text = value.toString(16).padStart(32, '0')
  return text.length === 32 ? text : null
}
