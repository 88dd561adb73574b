/** Orders of online shops in the graph: which shop, and what they are called there. */
import { afterEach, expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { startJushuitanSimulator } from '../../src/systems/jushuitan/simulator.ts'
import { idOf, openTestGateway, SMALL } from './kit.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

test('an order of a shop names the shop and its numbers at the platform; one of an ERP has neither', async () => {
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
      }
    },
  })
  cleanups.push(async () => gateway[Symbol.asyncDispose]())
  const [seeded] = world.all('shopOrders').filter((one) => one.shop === '10087')
  const answer = await gateway.data(
    `query ($id: ID!) {
      order(id: $id) { number shop platformNumbers }
      orderByNumber(system: "erp", number: "1003") { shop platformNumbers }
    }`,
    { id: idOf('order', 'oms', seeded?.orderId ?? '') },
  )
  expect(answer).toEqual({
    order: { number: seeded?.orderId, shop: '10087', platformNumbers: [seeded?.platformNumber] },
    orderByNumber: { shop: null, platformNumbers: null },
  })
})
