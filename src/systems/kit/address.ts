/** Addresses of vendors that have one line for them. */
import type { PostalAddress } from '../records.ts'

/** From the widest part to the narrowest, as one writes it in China; what is said twice (上海市 上海市) stands once. */
export function addressLine(address: PostalAddress): string {
  const { country, province, city, street, postalCode } = address
  const parts = [country === 'CN' ? null : country, province, city, street, postalCode]
  return [...new Set(parts.filter((part) => part))].join(' ')
}
