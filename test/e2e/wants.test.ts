/** A system is asked for what the query shows, in one call. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { idOf, openTestGateway, type TestGateway } from './kit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const ordersAsked = () =>
  gateway.demo.simulators.erp.calls.map(decodeURIComponent).filter((line) => /GET \S*\/Orders\?/.test(line))
beforeEach(() => gateway.demo.simulators.erp.clearCalls())

const order = (entry: number) => idOf('order', 'erp', String(entry))

test('a list of heads is read without lines', async () => {
  const { orders } = await gateway.data(
    '{ orders(first: 3) { nodes { number totals { gross { amount } } } } }',
  )
  expect(orders.nodes).toHaveLength(3)
  expect(ordersAsked()).toEqual([expect.not.stringContaining('DocumentLines')])
})

test('lines are read where they are shown, in a fragment, under another name, or under @include', async () => {
  const asked = `query Q($yes: Boolean!, $id: ID!, $other: ID!, $third: ID!) {
    order(id: $id) { number rows: lines { id } }
    other: order(id: $other) { ...Lines }
    third: order(id: $third) { number lines @include(if: $yes) { id } }
  }
  fragment Lines on Order { lines { ordered { value } } }`
  const data = await gateway.data(asked, { yes: true, id: order(1), other: order(2), third: order(3) })
  expect(data.order.rows.length).toBeGreaterThan(0)
  expect(data.other.lines.length).toBeGreaterThan(0)
  expect(data.third.lines.length).toBeGreaterThan(0)
  expect(ordersAsked()).toEqual([expect.stringContaining('DocumentLines')])
})

test('one call brings what different places of a query show of a record, whoever comes first', async () => {
  const data = await gateway.data(
    'query Q($id: ID!) { head: order(id: $id) { number comments } rows: order(id: $id) { lines { id } } }',
    { id: order(5) },
  )
  expect(data.rows.lines.length).toBeGreaterThan(0)
  expect(ordersAsked()).toHaveLength(1)
})

test('a status that lines decide is read with them', async () => {
  // Nobody has asked for this order yet; half of it is delivered.
  const { orderByNumber } = await gateway.data('{ orderByNumber(system: "erp", number: "1006") { status } }')
  expect(orderByNumber.status).toBe('IN_PROGRESS')
  expect(ordersAsked()).toEqual([expect.stringContaining('DocumentLines')])
})

test('what only other systems show of a customer is not asked of this one', async () => {
  const { customer } = await gateway.data(
    '{ customer(externalId: { system: "crm", key: "70007" }) { name accounts { paymentTerms } } }',
  )
  expect(customer.accounts).toEqual([{ paymentTerms: '月结 30 天' }])
  const asked = gateway.demo.simulators.erp.calls
    .map(decodeURIComponent)
    .filter((line) => /GET \S*\/BusinessPartners\?/.test(line))
  expect(asked).toEqual([expect.not.stringMatching(/ContactEmployees|BPAddresses/)])
})
