/** Payment received (回款): finance has booked a payment → it is noted at the orders it is for → and at the customer. */
import type { Order, Payment } from '../systems/records.ts'
import type { PaymentReceivedConfig } from './config.ts'
import { type Flow, type FlowTools, type RunView, reject, type Step } from './flow.ts'

/** One payment for more orders than this is no usual one: a person notes it. */
const MOST_ORDERS = 8

export function paymentReceived({ finance, erp, crm }: PaymentReceivedConfig): Flow {
  const paymentOf = async (key: string, tools: FlowTools): Promise<Payment> => {
    const found = await tools.record(finance, 'payment', key)
    if (!found) throw reject('NOT_FOUND', `System "${finance}" has no payment "${key}".`)
    return found
  }

  /** Numbers of the orders that its invoices bill; the same list whenever it is asked. */
  const orderNumbersOf = async ({ applications }: Payment, tools: FlowTools): Promise<string[]> => {
    const invoices = await Promise.all(
      applications.map(({ invoice }) => tools.record(finance, 'invoice', invoice)),
    )
    const numbers = [...new Set(invoices.flatMap((invoice) => invoice?.orderNumbers ?? []))].sort()
    if (numbers.length <= MOST_ORDERS) return numbers
    const message = `The payment is for ${numbers.length} orders; ${MOST_ORDERS} at most are noted by themselves.`
    throw reject('TOO_MANY_ORDERS', message)
  }

  const noteAt = (index: number): Step => ({
    name: `order-${index + 1}`,
    async prepare(run, tools) {
      const payment = await paymentOf(run.key, tools)
      const number = (await orderNumbersOf(payment, tools))[index]
      if (number === undefined) return { skip: 'the payment is for fewer orders' }
      const [order] = await tools.lookup(erp, 'order', 'byNumber', number)
      if (!order) return { skip: `system "${erp}" has no order ${number}` }
      if (order.status === 'CANCELLED') return { skip: `order ${number} is cancelled` }
      const note = textOf(payment)
      if (order.comments?.includes(note)) return { skip: 'noted already' }
      return {
        write: {
          system: erp,
          record: 'order',
          action: 'update',
          input: {
            key: order.key,
            ...versionOf(order),
            changes: { comments: order.comments ? `${order.comments}\n${note}` : note },
          },
          key: order.key,
        },
        data: { number, before: order.comments ?? '', note },
      }
    },
    // Only what was added is taken away: others may have written there since.
    async undo(_run, { key, data }, tools) {
      const { note } = data as { note: string }
      const order = await tools.record(erp, 'order', key)
      if (!order?.comments?.includes(note)) return { skip: 'the note is not there any more' }
      const comments = order.comments.replace(`\n${note}`, '').replace(note, '')
      const input = { key, ...versionOf(order), changes: { comments } }
      return { write: { system: erp, record: 'order', action: 'update', input, key } }
    },
  })

  const note: Step = {
    name: 'customer',
    async prepare(run, tools) {
      const payment = await paymentOf(run.key, tools)
      const { customer } = payment
      if (!customer) return { skip: 'the payment has no customer' }
      const [key] = await tools.counterparts('customer', { system: finance, key: customer }, crm)
      if (key === undefined) {
        const message = `Nobody has linked customer "${customer}" of system "${finance}" to a customer of system "${crm}".`
        throw reject('NOT_MAPPED', message, { field: 'customer' })
      }
      const numbers = numbersNoted(run)
      const text = textOf(payment) + (numbers.length === 0 ? '' : ` (${numbers.join(', ')})`)
      return { write: { system: crm, record: 'customer', action: 'addNote', input: { key, text }, key } }
    },
  }

  return {
    name: 'payment-received',
    version: 1,
    description: 'A payment that finance has booked is noted at its orders and at the customer.',
    subject: { system: finance, record: 'payment' },
    startsOn: ({ type, data: { facts } }) => type === 'payment.created' && facts.status === 'POSTED',
    stages: [Array.from({ length: MOST_ORDERS }, (_, index) => noteAt(index)), note],
  }
}

const textOf = ({ number, amount, date }: Payment): string =>
  `Payment ${number}: ${amount.amount} ${amount.currency}${date ? `, ${date}` : ''}`

const versionOf = ({ version }: Order) => (version ? { expectedVersion: version } : {})

const numbersNoted = ({ results }: RunView): string[] =>
  Object.values(results).flatMap(({ data }) => {
    const { number } = (data ?? {}) as { number?: string }
    return number === undefined ? [] : [number]
  })
