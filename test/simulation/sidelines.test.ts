import { expect, it } from 'vitest'
import { createRandom } from '../../src/simulation/random.ts'
import { deals, parcels, type Sideline, shops, warehouse } from '../../src/simulation/sidelines.ts'
import { reserve, skuIdOf } from '../../src/simulation/warehousing.ts'
import { World } from '../../src/simulation/world.ts'

const world = () => new World({ customers: 10, products: 10, orders: 20 })

function run(of: World, sideline: Sideline, times: number): void {
  const step = sideline(of, createRandom(7))
  for (let n = 0; n < times; n++) step()
}

it('what was sold in a shop is picked, sent, and handed to a carrier', () => {
  const of = world()
  const before = of.all('shopOrders')
  run(of, shops, 12)
  expect(of.all('shopOrders').slice(0, before.length)).toEqual(before)
  const fresh = of.all('shopOrders').slice(before.length)
  const [sent] = fresh.filter(({ status }) => status === 'SENT')
  expect(of.get('parcels', sent?.waybill?.number ?? '')?.steps).toMatchObject([{ stage: 'COLLECTED' }])
  expect(new Set(fresh.map(({ platformNumber }) => platformNumber)).size).toBe(fresh.length)
  for (const { lines } of fresh) for (const { item } of lines) expect(item > 'A00005', item).toBe(true)
})

it('what is set aside leaves the warehouse for its order, and what is not moves nothing but goods that arrive', () => {
  const of = world()
  const step = warehouse(of, createRandom(7))
  step()
  expect(of.all('wmsDeliveries').at(-1)).toMatchObject({ direction: 'IN', status: 'RECEIVED' })
  const line = { skuId: skuIdOf(6), warehouseId: 'WH-SZX-01', quantity: '3' }
  const { reservationId } = reserve(of, { orderNo: '4711', expiresAt: null, lines: [line] })
  step()
  expect(of.get('wmsReservations', reservationId)?.status).toBe('FULFILLED')
  const delivery = of.all('wmsDeliveries').at(-1)
  expect(delivery).toMatchObject({ orderNo: '4711', status: 'SHIPPED' })
  expect(of.get('parcels', delivery?.trackingNo ?? '')).toMatchObject({
    orderNo: '4711',
    deliveryNo: delivery?.deliveryId,
  })
})

it('a parcel is scanned until it is signed for; those of the first day stay where they are', () => {
  const of = world()
  const before = of.all('parcels')
  run(of, shops, 12)
  run(of, parcels, 12)
  expect(of.all('parcels').slice(0, before.length)).toEqual(before)
  const fresh = of.all('parcels').slice(before.length)
  expect(fresh.length).toBeGreaterThan(0)
  for (const { steps, signedBy } of fresh) {
    expect(steps.map(({ stage }) => stage)).toEqual(['COLLECTED', 'MOVING', 'OUT', 'SIGNED'])
    expect(signedBy).toBe('本人')
  }
})

it('a deal is talked about before it is won, by a customer that the ERP sells to, in its currency', () => {
  const of = world()
  const before = of.all('crmOpportunities')
  run(of, deals, 6)
  expect(of.all('crmOpportunities').slice(0, before.length)).toEqual(before)
  const fresh = of.all('crmOpportunities').slice(before.length)
  expect(fresh.map(({ stage }) => stage)).toEqual(['WON', 'WON', 'WON'])
  for (const { customerId, currency, lines } of fresh) {
    const customer = of.get('crmCustomers', customerId)
    const account = of.find('erpAccounts', 'taxNumber', customer?.taxNumber ?? '')
    expect(account?.currency).toBe(currency)
    expect(of.get('erpItems', lines?.[0]?.productCode ?? '')).toBeDefined()
  }
})
