/** Orders of online shops in the graph: which shop, and what they are called there. */
import { afterEach, expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { startJushuitanSimulator } from '../../src/systems/jushuitan/simulator.ts'
import { idOf, openTestGateway, SMALL } from './kit.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function openShops() {
  const world = new World(SMALL)
  const shops = await startJushuitanSimulator(world, { appSecret: 'oms-secret-1' })
  cleanups.push(() => shops.close())
  const gateway = await openTestGateway({
    override(raw) {
      raw.systems.oms = {
        kind: 'jushuitan',
        environment: 'test',
        pollEvery: '0s',
        baseUrl: shops.url,
        appKey: 'jst-demo',
        appSecret: 'oms-secret-1',
        warehouses: [{ id: '11001', name: '上海电商仓' }],
        orderDefaults: { shopId: '10087', taxPercent: '13', receiver },
        writes: 'on',
      }
    },
  })
  cleanups.push(async () => gateway[Symbol.asyncDispose]())
  const [seeded] = world.all('shopOrders').filter((one) => one.shop === '10087')
  if (!seeded) throw new Error('no order of this shop')
  return { gateway, seeded }
}

const receiver = {
  name: '张三',
  phone: '13800000001',
  province: '上海市',
  city: '上海市',
  district: '浦东新区',
  address: '张江路 88 号',
}

test('an order of a shop names the shop and its numbers at the platform; one of an ERP has neither', async () => {
  const { gateway, seeded } = await openShops()
  const answer = await gateway.data(
    `query ($id: ID!) {
      order(id: $id) { number shop platformNumbers }
      orderByNumber(system: "erp", number: "1003") { shop platformNumbers }
    }`,
    { id: idOf('order', 'oms', seeded.orderId) },
  )
  expect(answer).toEqual({
    order: { number: seeded.orderId, shop: '10087', platformNumbers: [seeded.platformNumber] },
    orderByNumber: { shop: null, platformNumbers: null },
  })
})

test('a buyer of whom no system has anything to say is still somebody: what orders call him is shown', async () => {
  const { gateway, seeded } = await openShops()
  const answer = await gateway.data(
    'query ($id: ID!) { order(id: $id) { customer { name level externalIds { system key } accounts { key } } } }',
    { id: idOf('order', 'oms', seeded.orderId) },
  )
  const externalIds = [{ system: 'oms', key: seeded.buyer }]
  expect(answer.order.customer).toEqual({ name: null, level: null, externalIds, accounts: [] })
})

test('an order is made in a shop for one of its buyers, and for a customer that is linked to a buyer', async () => {
  const { gateway, seeded } = await openShops()
  const product = idOf('product', 'erp', 'A00001')
  const order = (idempotencyKey: string, customerId: string) =>
    gateway.data(
      `mutation ($input: CreateOrderInput!) {
        createOrder(input: $input) { writeback { state problem { message } } order { system { id } customer { id } } }
      }`,
      {
        input: {
          idempotencyKey,
          customerId,
          system: 'oms',
          dueDate: '2026-12-31',
          lines: [{ productId: product, quantity: '1', unitPrice: '10.00' }],
        },
      },
    )
  const link = (type: string, id: string, key: string) =>
    gateway.data('mutation ($input: LinkExternalIdInput!) { linkExternalId(input: $input) { id } }', {
      input: { type, id, system: 'oms', key },
    })
  const confirmed = (customer: string) => ({
    createOrder: {
      writeback: { state: 'CONFIRMED', problem: null },
      order: { system: { id: 'oms' }, customer: { id: customer } },
    },
  })
  await link('PRODUCT', product, seeded.lines[0]?.item ?? '')
  const buyer = idOf('customer', 'oms', seeded.buyer)
  expect(await order('shop-1', buyer)).toEqual(confirmed(buyer))

  const customer = idOf('customer', 'crm', '70007')
  await link('CUSTOMER', customer, 'chenguang')
  expect(await order('shop-2', customer)).toEqual(confirmed(customer))
})
