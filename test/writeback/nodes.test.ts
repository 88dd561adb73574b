import { describe, expect, it } from 'vitest'
import { openApp } from '../../src/app.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import { silentLog } from '../../src/observe/log.ts'
import { clientOf, type Data, eventually, idOf, openTestGateway } from '../e2e/kit.ts'
import { POSTGRES, postgresPlace, SKIPPED } from '../store/stores.ts'

const CREATE = `mutation C($input: CreateOrderInput!, $waitFor: Int) {
  createOrder(input: $input, waitFor: $waitFor) { writeback { id state attempts } order { number } } }`
const orderInput = (idempotencyKey: string) => ({
  idempotencyKey,
  customerId: idOf('customer', 'crm', '70007'),
  dueDate: '2026-12-31',
  lines: [{ productId: idOf('product', 'erp', 'A00003'), quantity: '3' }],
})

/** Two gateways over one store and the same simulated systems. */
async function openPair() {
  const place = postgresPlace()
  const first = await openTestGateway({
    override: (file) => Object.assign(file, { store: place.config.store }),
  })
  const app = await openApp(first.demo.config, silentLog)
  const door = await openGateway(app, silentLog)
  app.start()
  await app.ready()
  return {
    first,
    second: { ...clientOf(door.url), app },
    async [Symbol.asyncDispose]() {
      await door.close()
      await app.close()
      await first[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

describe.skipIf(POSTGRES === undefined)(
  `two gateways over one PostgreSQL${POSTGRES === undefined ? ` (${SKIPPED})` : ''}`,
  () => {
    it('make one order of identical mutations that arrive at both at once', async () => {
      await using pair = await openPair()
      const before = pair.first.demo.world.count('erpOrders')
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          (index % 2 ? pair.first : pair.second).data(CREATE, { input: orderInput('both') }),
        ),
      )
      expect(new Set(answers.map(({ createOrder }) => createOrder.writeback.id)).size).toBe(1)
      for (const { createOrder } of answers)
        expect(createOrder).toMatchObject({ writeback: { state: 'CONFIRMED', attempts: 1 } })
      expect(pair.first.demo.world.count('erpOrders')).toBe(before + 1)
    })

    it('tell at one of the steps taken at the other, and of what was paused there', async () => {
      await using pair = await openPair()
      await using listener = await pair.second.listen(
        'subscription { writebackChanged { idempotencyKey state } }',
      )
      await pair.first.data(CREATE, { input: orderInput('told') })
      await eventually(() =>
        listener.results.some(({ data }) => data?.writebackChanged.state === 'CONFIRMED'),
      )
      await pair.first.data('mutation { pauseSystem(id: "erp", reason: "stocktaking") { id } }')
      const held = await eventually(async () => {
        const { system } = await pair.second.data('{ system(id: "erp") { writesHeld } }')
        return system.writesHeld as string | null
      })
      expect(held).toContain('stocktaking')
      const { createOrder } = await pair.second.data(CREATE, { input: orderInput('held'), waitFor: 200 })
      expect(createOrder.writeback.state).toBe('ACCEPTED')
      await pair.first.data('mutation { resumeSystem(id: "erp", reason: "done") { id } }')
      const { id } = createOrder.writeback
      await eventually(async () => {
        const { writeback } = await pair.first.data('query W($id: ID!) { writeback(id: $id) { state } }', {
          id,
        })
        return writeback.state === 'CONFIRMED'
      })
    })

    it('carry on at one what the other promised and could not do', async () => {
      await using pair = await openPair()
      const { first, second } = pair
      await first.data('mutation { pauseSystem(id: "erp", reason: "later") { id } }')
      const keys = ['p', 'q', 'r', 's']
      const made: Data[] = []
      for (const key of keys) made.push(await first.data(CREATE, { input: orderInput(key), waitFor: 0 }))
      await first.app.rooms.worker.close()
      await second.data('mutation { resumeSystem(id: "erp", reason: "now") { id } }')
      for (const { createOrder } of made) {
        await eventually(async () => {
          const found = await second.app.rooms.journal.get(createOrder.writeback.id)
          return found?.state.name === 'confirmed'
        })
      }
    })
  },
)
