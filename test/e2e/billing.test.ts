/** Bills that are made and taken back through the graph, and notes for those who sell. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codesOf, idOf, openTestGateway, READER, type TestGateway } from './kit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
}, 60_000)
afterAll(async () => gateway[Symbol.asyncDispose]())

const customerId = idOf('customer', 'crm', '70007')
const BILL = `mutation ($input: CreateInvoiceInput!) {
  createInvoice(input: $input) {
    writeback { state system { id } problem { code message } }
    invoice { id status orderNumbers orders { number } totals { net { amount } tax { amount } gross { amount currency } } }
  }
}`

test('an invoice is made once, for the orders that it names, and cancelled', async () => {
  const { world } = gateway.demo
  const before = world.all('financeInvoices').length
  const input = {
    idempotencyKey: 'bill-1',
    customerId,
    orderNumbers: ['1009'],
    issueDate: '2026-11-20',
    dueDate: '2026-12-20',
    gross: { amount: '113.00', currency: 'CNY' },
    net: '100.00',
    tax: '13.00',
  }
  for (const _twice of [1, 2]) {
    const { createInvoice } = await gateway.data(BILL, { input })
    expect(createInvoice).toMatchObject({
      writeback: { state: 'CONFIRMED', system: { id: 'fin' }, problem: null },
      invoice: { status: 'OPEN', orderNumbers: ['1009'], orders: [{ number: '1009' }] },
    })
    const { net, tax, gross } = createInvoice.invoice.totals
    expect([net, tax, gross].map(({ amount }) => Number(amount))).toEqual([100, 13, 113])
  }
  expect(world.all('financeInvoices')).toHaveLength(before + 1)

  const { createInvoice } = await gateway.data(BILL, { input })
  const cancel = { idempotencyKey: 'unbill-1', id: createInvoice.invoice.id }
  const { cancelInvoice } = await gateway.data(
    'mutation ($input: CancelInvoiceInput!) { cancelInvoice(input: $input) { writeback { state } invoice { status } } }',
    { input: cancel },
  )
  expect(cancelInvoice).toEqual({ writeback: { state: 'CONFIRMED' }, invoice: { status: 'CANCELLED' } })
  const nothing = await gateway.ask(BILL, {
    input: { ...input, idempotencyKey: 'bill-2', gross: { amount: '0', currency: 'CNY' } },
  })
  expect(codesOf(nothing)).toEqual(['BAD_USER_INPUT'])
})

const NOTE = `mutation ($input: AddCustomerNoteInput!) {
  addCustomerNote(input: $input) { writeback { state system { id } } customer { name } }
}`

test('a note is left in the CRM once, by who may write', async () => {
  const { world } = gateway.demo
  const input = { idempotencyKey: 'note-1', id: customerId, text: '请尽快回电 ☎' }
  for (const _twice of [1, 2]) {
    const { addCustomerNote } = await gateway.data(NOTE, { input })
    expect(addCustomerNote).toEqual({
      writeback: { state: 'CONFIRMED', system: { id: 'crm' } },
      customer: { name: '上海晨光精密机械有限公司' },
    })
  }
  expect(world.all('crmNotes').filter(({ text }) => text === input.text)).toMatchObject([
    { customerId: '70007' },
  ])
  const empty = await gateway.ask(NOTE, { input: { ...input, idempotencyKey: 'note-2', text: '  ' } })
  expect(codesOf(empty)).toEqual(['BAD_USER_INPUT'])
  expect(codesOf(await gateway.ask(NOTE, { input: { ...input, idempotencyKey: 'note-3' } }, READER))).toEqual(
    ['FORBIDDEN'],
  )
})
