/** A system that can be told where to call: registered, replaced and unregistered by an operator. */
import { afterEach, expect, test, vi } from 'vitest'
import { changeOrder } from '../../src/simulation/trade.ts'
import { type ErpOrder, World } from '../../src/simulation/world.ts'
import { startRestErpSimulator } from '../../src/systems/rest-erp/simulator.ts'
import { startReceiver } from '../systems/rest-kit.ts'
import { codesOf, openTestGateway, SMALL } from './kit.ts'

const auth = { type: 'bearer', token: 'erp-token-91c2f0' } as const
const SECRET = 'hook-secret-5d1f0c77'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function open() {
  const world = new World({ ...SMALL, orders: 12 })
  const erp = await startRestErpSimulator(world, { auth })
  const gateway = await openTestGateway({
    override(raw) {
      raw.systems.erp2 = {
        kind: 'rest-erp',
        environment: 'test',
        pollEvery: '0s',
        baseUrl: erp.url,
        auth,
        contract: 'extended',
        webhook: { profile: 'standard', secret: SECRET },
      }
    },
  })
  cleanups.push(
    () => erp.close(),
    async () => gateway[Symbol.asyncDispose](),
  )
  const move = (entry: string, comments: string) =>
    changeOrder(world, world.get('erpOrders', entry) as ErpOrder, { comments })
  const received = async () =>
    (await gateway.data('{ system(id: "erp2") { webhooks { received } } }')).system.webhooks.received
  const root = new URL(gateway.url).origin
  return { gateway, erp, move, received, root }
}

const STATE = 'webhookRegistration { id url registeredBy }'
const REGISTER = `mutation ($id: ID = "erp2", $address: String!) {
  registerSystemWebhook(id: $id, address: $address, reason: "new address") { ${STATE} }
}`
const UNREGISTER = `mutation { unregisterSystemWebhook(id: "erp2", reason: "moved") { ${STATE} } }`

test('a system is told to call the gateway, calls it, and is told to stop', async () => {
  const { gateway, erp, move, received, root } = await open()
  const { registerSystemWebhook: made } = await gateway.data(REGISTER, { address: `${root}/` })
  expect(made.webhookRegistration).toMatchObject({ url: `${root}/webhooks/erp2` })
  move('3', 'told')
  await vi.waitUntil(async () => (await received()) > 0)
  const { system } = await gateway.data(`{ system(id: "erp2") { ${STATE} webhooks { badSignature } } }`)
  expect(system.webhookRegistration).toEqual(made.webhookRegistration)
  expect(system.webhooks.badSignature).toBe(0)

  const { unregisterSystemWebhook: gone } = await gateway.data(UNREGISTER)
  expect(gone.webhookRegistration).toBeNull()
  expect(erp.calls.filter((line) => line.startsWith('DELETE'))).toEqual([
    `DELETE /erp/webhooks/${made.webhookRegistration.id}`,
  ])
  // Nothing is left to take back.
  await gateway.data(UNREGISTER)
  expect(erp.calls.filter((line) => line.startsWith('DELETE'))).toHaveLength(1)
  const { operatorActions } = await gateway.data('{ operatorActions { nodes { action about reason } } }')
  expect(operatorActions.nodes).toEqual([
    { action: 'unregister webhook', about: 'erp2', reason: 'moved' },
    { action: 'register webhook', about: 'erp2', reason: 'new address' },
  ])
  expect(JSON.stringify(operatorActions)).not.toContain(SECRET)
})

test('a second registration takes the place of the first', async () => {
  const { gateway, move, received, root } = await open()
  await gateway.data(REGISTER, { address: root })
  const elsewhere = await startReceiver()
  const { registerSystemWebhook: moved } = await gateway.data(REGISTER, { address: elsewhere.url })
  expect(moved.webhookRegistration.url).toBe(`${elsewhere.url}/webhooks/erp2`)
  move('3', 'told elsewhere')
  await vi.waitUntil(() => elsewhere.received.length === 1)
  expect(await received()).toBe(0)
})

test('what cannot be done says so, and leaves things as they were', async () => {
  const { gateway, erp, root } = await open()
  expect(codesOf(await gateway.ask(REGISTER, { id: 'crm', address: root }))).toEqual(['UNSUPPORTED'])
  expect(codesOf(await gateway.ask(REGISTER, { id: 'nowhere', address: root }))).toEqual(['UNKNOWN_SYSTEM'])
  for (const address of [
    'gateway.example.com',
    'ftp://x.example',
    'https://u:p@x.example',
    'https://x.example/?a=1',
  ])
    expect(codesOf(await gateway.ask(REGISTER, { address }))).toEqual(['BAD_USER_INPUT'])
  expect(erp.calls.filter((line) => /webhooks/.test(line))).toEqual([])

  await gateway.data(REGISTER, { address: root })
  erp.setFaults([{ kind: 'status', status: 503, match: 'webhooks' }])
  const refused = await gateway.ask(UNREGISTER)
  expect(refused.errors?.[0]?.extensions).toMatchObject({ system: 'erp2' })
  const { system } = await gateway.data(`{ system(id: "erp2") { ${STATE} } }`)
  expect(system.webhookRegistration.url).toBe(`${root}/webhooks/erp2`)
})
