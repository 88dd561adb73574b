/**
 * Orders of online shops as order management systems take them: paid by somebody to whom they are sent, in prices
 * that include tax. Ours are net and name a customer; what is missing comes from the configuration.
 */
import Big from 'big.js'
import { z } from 'zod'
import { fail, type Outcome, ok, type SourceFailure } from '../failure.ts'
import type { OrderCreate } from '../port.ts'
import type { Decimal, Key } from '../records.ts'

/** Settings for `orderDefaults` of a kind. */
export const shopOrderDefaults = {
  taxPercent: z
    .string()
    .regex(/^\d{1,2}(\.\d{1,4})?$/, 'is a percentage')
    .describe('Tax that is added to net prices, because shops state prices with tax; "0" for none'),
  receiver: z
    .strictObject({
      name: z.string().min(1).describe('Name'),
      phone: z.string().min(1).describe('Telephone, mostly a mobile one'),
      province: z.string().min(1).describe('Province or state'),
      city: z.string().min(1).describe('City'),
      district: z.string().default('').describe('District'),
      address: z.string().min(1).describe('Street and house'),
    })
    .describe('To whom new orders are sent'),
}

export interface ShopLine {
  readonly product: Key
  readonly quantity: Decimal
  /** For one, before the discount, tax included; four digits. */
  readonly price: Decimal
  /** What the discount takes off the line, tax included; two digits. */
  readonly discount: Decimal
  /** For the line, after the discount, tax included; two digits. */
  readonly amount: Decimal
}

export interface ShopAmounts {
  readonly lines: readonly ShopLine[]
  /** Sum of the lines. */
  readonly pay: Decimal
}

const refused = (message: string, line: string, field: string): SourceFailure => ({
  kind: 'rejected',
  code: 'INPUT',
  message,
  line,
  field,
})

export interface Receiver {
  readonly name: string
  readonly phone: string
  readonly province: string
  readonly city: string
  readonly district: string
  readonly address: string
}

/** To whom an order is sent: as it says, or as the configuration does. Carriers ask for all but the district. */
export function receiverOf({ shipTo }: Pick<OrderCreate, 'shipTo'>, standard: Receiver): Outcome<Receiver> {
  if (shipTo === undefined) return ok(standard)
  const { name, phone, address } = shipTo
  const { province, city, street, country } = address
  const needed = { phone, 'address.province': province, 'address.city': city, 'address.street': street }
  const missing = Object.entries(needed).find(([, value]) => !value)?.[0]
  if (missing !== undefined || !phone || !province || !city || !street) {
    const field = `shipTo.${missing}`
    return fail({ kind: 'rejected', code: 'INPUT', message: `Orders of this shop need ${field}.`, field })
  }
  if (country && country !== 'CN') {
    const message = 'Orders of this shop are sent within China.'
    return fail({ kind: 'rejected', code: 'INPUT', message, field: 'shipTo.address.country' })
  }
  return ok({ name, phone, province, city, district: '', address: street })
}

/** Works out what the buyer pays. Shops have no price list to fall back on: a line without a price is refused. */
export function shopAmounts(input: OrderCreate, taxPercent: Decimal): Outcome<ShopAmounts> {
  const factor = new Big(taxPercent).div(100).plus(1)
  const lines: ShopLine[] = []
  for (const [index, line] of input.lines.entries()) {
    const at = String(index + 1)
    if (line.unitPrice === undefined) {
      return fail(refused(`Line ${at} needs a unit price: this system has no price list.`, at, 'unitPrice'))
    }
    if (line.warehouse !== undefined) {
      return fail(refused(`Line ${at} names a warehouse: this system chooses it itself.`, at, 'warehouse'))
    }
    const price = new Big(line.unitPrice).times(factor)
    const full = price.times(line.quantity).round(2, Big.roundHalfUp)
    const amount = price
      .times(line.quantity)
      .times(new Big(100).minus(line.discountPercent ?? 0))
      .div(100)
      .round(2, Big.roundHalfUp)
    lines.push({
      product: line.product,
      quantity: line.quantity,
      price: price.round(4, Big.roundHalfUp).toFixed(),
      discount: full.minus(amount).toFixed(2),
      amount: amount.toFixed(2),
    })
  }
  const pay = lines.reduce((sum, line) => sum.plus(line.amount), new Big(0)).toFixed(2)
  return ok({ lines, pay })
}

/** The reference of a writeback, where a shop's order number is one: 32 lower-case hexadecimal digits. */
export const referenceIn = (number: string | null): string | null =>
  number !== null && /^[0-9a-f]{32}$/.test(number) ? number : null
