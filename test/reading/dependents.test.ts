/** What an event declares to read differently, and what is read again because of it. */
import { expect, test } from 'vitest'
import { affectedBy } from '../../src/events/dependents.ts'
import { tagsOf } from '../../src/reading/tags.ts'
import type { Payment, RecordType, RecordTypes } from '../../src/systems/records.ts'

const named = <T extends RecordType>(type: T, ...states: readonly (RecordTypes[T] | null)[]): string[] =>
  (affectedBy(type, states) ?? [])
    .map(({ record, by, key }) => `${record}${by ? `.${by}` : ''} ${key}`)
    .sort()

const payment = (invoice: string): Payment => ({
  key: 'p1',
  number: 'p1',
  customer: 'c1',
  amount: { amount: '10', currency: 'CNY' },
  status: 'POSTED',
  applications: [{ invoice, amount: { amount: '10', currency: 'CNY' } }],
})

test('a payment changes its invoices and what the customer owes', () => {
  expect(named('payment', null, payment('i1'))).toEqual([
    'customer c1',
    'invoice i1',
    'payment.byCustomer c1',
    'payment.byInvoice i1',
    'receivable c1',
  ])
})

test('a payment that moved to another invoice changes both', () => {
  expect(named('payment', payment('i1'), payment('i2'))).toEqual(
    expect.arrayContaining(['invoice i1', 'invoice i2', 'payment.byInvoice i1', 'payment.byInvoice i2']),
  )
})

test('a delivery changes its order and the stock of its lines', () => {
  const names = named('delivery', {
    key: 'd1',
    number: 'd1',
    orders: ['o1'],
    status: 'CLOSED',
    lines: [{ id: '1', product: 'a', warehouse: '01', order: 'o1', quantity: { value: '1' } }],
  })
  expect(names).toEqual(
    expect.arrayContaining([
      'order o1',
      'delivery.byOrder o1',
      'inventoryLevel a/01',
      'inventoryLevel.byProduct a',
    ]),
  )
})

test('an event of which nobody knows what it touched makes everything of its system old', () => {
  const known = tagsOf({ system: 'erp', record: 'product', key: 'a', affects: [] })
  const unknown = tagsOf({ system: 'erp', record: 'product', key: 'a' })
  expect(unknown.filter((tag) => !known.includes(tag))).toEqual(['erp'])
})
