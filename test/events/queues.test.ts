/** A vendor's queue that forgets what is acknowledged, read through the change path. */
import { expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { createFeeds, type Door } from '../../src/events/feeds.ts'
import { openEventLog } from '../../src/events/log.ts'
import { silentLog } from '../../src/observe/log.ts'
import { sendShopOrder } from '../../src/simulation/shops.ts'
import { World } from '../../src/simulation/world.ts'
import type { Store } from '../../src/store/store.ts'
import { fail, ok } from '../../src/systems/failure.ts'
import { createSystems, type System } from '../../src/systems/registry.ts'
import { createWangdiantong } from '../../src/systems/wangdiantong/adapter.ts'
import { wangdiantongConfig } from '../../src/systems/wangdiantong/config.ts'
import { startWangdiantongSimulator } from '../../src/systems/wangdiantong/simulator.ts'
import { sqlitePlace } from '../store/stores.ts'

const door: Door = {
  away: () => false,
  read: (_system, read, signal) => read(signal),
  record: async () => fail({ kind: 'unsupported', message: 'not asked here' }),
  observe: () => () => {},
}

test('an entry is acknowledged after its event and the checkpoint are durable, not before, and is told once', async () => {
  const world = new World({ orders: 1, customers: 5, products: 5 })
  const simulator = await startWangdiantongSimulator(world, { edition: 'enterprise', appSecret: 's' })
  const settings = {
    edition: 'enterprise',
    baseUrl: simulator.url,
    sid: 'demo',
    appKey: 'demo-ot',
    appSecret: 's',
    queues: { deliveries: { shop: 'web01' } },
    listHours: 1,
  }
  const adapter = createWangdiantong(wangdiantongConfig.parse(settings), {
    systemId: 'wdt',
    log: silentLog,
    timeoutMs: 2_000,
  })
  const { delivery } = adapter.ports
  const system = {
    id: 'wdt',
    kind: 'wangdiantong',
    environment: 'test',
    adapter: { ...adapter, ports: { delivery } },
    pollEveryMs: 0,
    commitDelayMs: 0,
    orderNumbersFrom: undefined,
    writeMode: () => 'off',
  } as unknown as System
  await using place = sqlitePlace()
  const store = await place.open()
  const log = await openEventLog(store)

  // What the queue still holds at each moment at which something is made durable.
  const waitingAtCommit: number[] = []
  let diskFull = false
  const watched: Store = {
    ...store,
    transact: async (work) => {
      if (diskFull) throw new Error('disk full')
      const result = await store.transact(work)
      waitingAtCommit.push(simulator.waiting.logistics)
      return result
    },
  }
  const feeds = createFeeds({
    store: watched,
    systems: createSystems([system]),
    log,
    owner: 'test',
    logger: silentLog,
    door,
  })
  const told = () =>
    store.read.selectFrom('event').select(['type', 'key']).where('record', '=', 'delivery').execute()
  try {
    await feeds.pollOnce(system)
    expect(await told()).toEqual([])
    const order = world.all('shopOrders').find(({ shop, status }) => shop === 'web01' && status === 'PICKING')
    if (!order) throw new Error('no order')
    sendShopOrder(world, order, { carrier: 'SF', carrierName: '顺丰速运', number: 'SF1000000001' })

    diskFull = true
    await expect(feeds.pollOnce(system)).rejects.toThrow('disk full')
    expect(simulator.waiting.logistics).toBe(1)
    expect(simulator.calls.filter((line) => /_ack/.test(line))).toEqual([])

    diskFull = false
    waitingAtCommit.length = 0
    await feeds.pollOnce(system)
    // The event and the checkpoint that names the entry; then, acknowledged, the checkpoint that names none.
    expect(waitingAtCommit.at(0)).toBe(1)
    expect(waitingAtCommit.at(-1)).toBe(0)
    expect((await told()).map(({ key }) => key)).toEqual([`JY${order.orderId}`])

    await feeds.pollOnce(system)
    expect(await told()).toHaveLength(1)
    expect(simulator.calls.filter((line) => /_ack/.test(line))).toHaveLength(1)
    expect(await delivery?.readMany([`JY${order.orderId}`], { caller: gatewayCaller })).toMatchObject([
      ok({ trackingNumbers: ['SF1000000001'] }),
    ])
  } finally {
    await feeds.close()
    log.close()
    await store.close()
    await adapter.close()
    await simulator.close()
  }
})
