import { expect, it, onTestFinished, vi } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { startScmSimulator } from '../../src/systems/http/examples/scm-simulator.ts'
import { eventually, idOf, SMALL } from '../e2e/kit.ts'
import { simulateSystems } from '../e2e/processes.ts'
import { example } from './http-examples.ts'

// Processes start in a second; on a machine that is busy with other tests, in ten.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

it('a gateway that is killed when a system has made a record of its own type finds that record and makes no second', async () => {
  const world = new World(SMALL)
  const scm = await startScmSimulator(world, { clientSecret: 'scm-secret-1' })
  onTestFinished(() => scm.close())
  await using systems = await simulateSystems({
    configure(file) {
      const env = { SCM_URL: scm.url, SCM_SECRET: 'scm-secret-1' }
      Object.assign(file.systems, { scm: { ...example('scm', env), timeout: '15s' } })
    },
  })
  const first = await systems.run('start')
  const made = () => world.all('purchaseOrders').filter(({ note }) => note === 'made')
  const stop = world.onChange(() => void first.kill())
  first
    .ask(
      'mutation ($input: CreatePurchaseOrderInput!) { createPurchaseOrder(input: $input) { writeback { id } } }',
      {
        input: {
          idempotencyKey: 'own-killed',
          supplierNumber: 'S-100',
          expectedOn: '2026-12-24',
          note: 'made',
          lines: [{ productId: idOf('product', 'erp', 'A00001'), quantity: '1' }],
        },
      },
    )
    // Nobody hears the answer: the process is killed before it comes.
    .catch(() => {})
  await eventually(() => made().length > 0)
  stop()
  await first.kill()

  const second = await systems.run('start')
  const query = `{
    writeback(idempotencyKey: "own-killed") { state attempts key history { state } }
    purchaseOrders(first: 1) { nodes { number note } }
  }`
  const answer = await eventually(async () => {
    const data = await second.data(query)
    return data.writeback.state === 'CONFIRMED' && data
  }, 25_000)
  const [order, ...others] = made()
  expect(others).toEqual([])
  expect(answer).toEqual({
    writeback: {
      state: 'CONFIRMED',
      attempts: 1,
      key: order?.no,
      history: ['ACCEPTED', 'SENDING', 'UNKNOWN', 'CONFIRMED'].map((state) => ({ state })),
    },
    purchaseOrders: { nodes: [{ number: order?.no, note: 'made' }] },
  })
})
