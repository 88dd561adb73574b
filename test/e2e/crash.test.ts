import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { placeOrder } from '../../src/simulation/trade.ts'
import { eventually, idOf } from './kit.ts'
import { type Running, type Systems, simulateSystems } from './processes.ts'

// Processes start in a second; on a machine that is busy with other tests, in ten.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const CREATE =
  'mutation Create($input: CreateOrderInput!) { createOrder(input: $input) { writeback { id state attempts } } }'
const FATE = `query Fate($key: ID!) { writeback(idempotencyKey: $key) { state attempts key history { state } } }`

const input = (idempotencyKey: string) => ({
  idempotencyKey,
  customerId: idOf('customer', 'crm', '70007'),
  dueDate: '2026-12-31',
  customerReference: idempotencyKey,
  lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity: '1' }],
})

let systems: Systems
let gateway: Running
beforeAll(async () => {
  systems = await simulateSystems()
  gateway = await systems.run('start')
})
afterAll(() => systems[Symbol.asyncDispose]())

const made = (key: string) => systems.world.all('erpOrders').filter((order) => order.numAtCard === key)
/** Nobody hears the answer: the process is killed before it comes. */
const sendAndForget = (key: string): void => void gateway.ask(CREATE, { input: input(key) }).catch(() => {})
const stateIs = (key: string, ...states: string[]) =>
  eventually(async () => states.includes((await gateway.data(FATE, { key })).writeback?.state), 25_000)
const fateOf = async (key: string) => {
  await stateIs(key, 'CONFIRMED', 'REJECTED', 'NEEDS_ATTENTION')
  const { writeback } = await gateway.data(FATE, { key })
  return { ...writeback, history: writeback.history.map(({ state }: { state: string }) => state) }
}
const restart = async () => {
  await gateway.kill()
  gateway = await systems.run('start')
}

describe('killed with kill -9', () => {
  it('at the moment in which the ERP has made the order, it finds that order and makes no second', async () => {
    const stop = systems.world.onChange(({ collection }) => {
      if (collection === 'erpOrders') void gateway.kill()
    })
    sendAndForget('made')
    await eventually(() => made('made').length > 0)
    stop()
    await restart()
    expect(await fateOf('made')).toEqual({
      state: 'CONFIRMED',
      attempts: 1,
      key: String(made('made')[0]?.docEntry),
      history: ['ACCEPTED', 'SENDING', 'UNKNOWN', 'CONFIRMED'],
    })
    expect(made('made')).toHaveLength(1)
  })

  it('between accepting an order and sending it, it sends it after the restart, once', async () => {
    // Identities are known by now; from here on nobody gets a session, so nothing can be sent.
    systems.simulators.erp.setFaults([{ kind: 'hang', match: 'POST /b1s/v2/Login' }])
    await restart()
    sendAndForget('accepted')
    await stateIs('accepted', 'ACCEPTED')
    await gateway.kill()
    expect(made('accepted')).toEqual([])
    systems.simulators.erp.setFaults([])
    gateway = await systems.run('start')
    expect(await fateOf('accepted')).toMatchObject({
      state: 'CONFIRMED',
      attempts: 1,
      history: ['ACCEPTED', 'SENDING', 'CONFIRMED'],
    })
    expect(made('accepted')).toHaveLength(1)
  })

  it('while the ERP still works on the order, it waits for it instead of sending it again', async () => {
    const { erp } = systems.simulators
    erp.setFaults([{ kind: 'hang', match: 'POST /b1s/v2/Orders', times: 1 }])
    sendAndForget('slow')
    await stateIs('slow', 'SENDING')
    const { writeback } = await gateway.data('{ writeback(idempotencyKey: "slow") { externalReference } }')
    await gateway.kill()
    erp.clearCalls()
    gateway = await systems.run('start')
    // The first look finds nothing; only then the ERP is done.
    await eventually(() => erp.calls.find((call) => call.includes(writeback.externalReference)))
    placeOrder(systems.world, {
      cardCode: 'C20001',
      currency: 'CNY',
      docDate: '2026-11-21',
      dueDate: '2026-12-31',
      numAtCard: 'slow',
      userFields: { U_TributaryRef: writeback.externalReference },
      lines: [{ item: 'A00003', quantity: '1', warehouse: '01' }],
    })
    expect(await fateOf('slow')).toMatchObject({
      state: 'CONFIRMED',
      attempts: 1,
      key: String(made('slow')[0]?.docEntry),
    })
    expect(made('slow')).toHaveLength(1)
  })

  it('after the ERP swallowed the order, it is sure of that before it sends it again', {
    timeout: 40_000,
  }, async () => {
    const { erp } = systems.simulators
    erp.setFaults([{ kind: 'hang', match: 'POST /b1s/v2/Orders', times: 1 }])
    erp.clearCalls()
    sendAndForget('swallowed')
    // Written down as being sent is not yet sent: killed in between, the next try would be the one that is swallowed.
    await eventually(() => erp.calls.find((call) => call.startsWith('POST /b1s/v2/Orders')))
    await restart()
    expect(await fateOf('swallowed')).toEqual({
      state: 'CONFIRMED',
      attempts: 2,
      key: String(made('swallowed')[0]?.docEntry),
      history: ['ACCEPTED', 'SENDING', 'UNKNOWN', 'UNKNOWN', 'ACCEPTED', 'SENDING', 'CONFIRMED'],
    })
    expect(made('swallowed')).toHaveLength(1)
  })

  it('it answers the same mutation, sent again, with the same writeback', async () => {
    const { createOrder } = await gateway.data(CREATE, { input: input('made') })
    expect(createOrder.writeback).toMatchObject({ state: 'CONFIRMED', attempts: 1 })
    expect(made('made')).toHaveLength(1)
  })
})

describe('told to stop', () => {
  it('it ends in order, logs out of the ERP, and exits with 0', async () => {
    systems.simulators.erp.clearCalls()
    await gateway.data(CREATE, { input: input('before the stop') })
    expect(await gateway.stop()).toBe(0)
    expect(systems.simulators.erp.calls.filter((call) => call.includes('/Logout'))).not.toEqual([])
  })
})
