/** Opportunities through the graph: what is won there is won in the CRM. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { type SalesforceSimulator, startSalesforceSimulator } from '../../src/systems/salesforce/simulator.ts'
import { idOf, openTestGateway, SMALL, type TestGateway } from './kit.ts'

const FIRST_DEAL = '0065gK000000001ABA'

let world: World
let org: SalesforceSimulator
let gateway: TestGateway
beforeAll(async () => {
  world = new World(SMALL)
  org = await startSalesforceSimulator(world, { clientId: 'app', clientSecret: 'sf-secret-1' })
  gateway = await openTestGateway({
    override(raw) {
      raw.systems.sf = {
        kind: 'salesforce',
        environment: 'test',
        loginUrl: org.url,
        auth: { method: 'clientCredentials', clientId: 'app', clientSecret: 'sf-secret-1' },
        pollEvery: '0s',
        writes: 'on',
      }
    },
  })
}, 60_000)
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await org.close()
})

const UPDATE = `mutation ($input: UpdateOpportunityInput!, $dryRun: Boolean) {
  updateOpportunity(input: $input, dryRun: $dryRun) {
    writeback { state preview problem { code } }
    opportunity { stage vendorStage probability version }
  }
}`

test('an opportunity is won once, and a stale version is told', { timeout: 30_000 }, async () => {
  const id = idOf('opportunity', 'sf', FIRST_DEAL)
  const { opportunity } = await gateway.data('query ($id: ID!) { opportunity(id: $id) { stage version } }', {
    id,
  })
  expect(opportunity).toEqual({ stage: 'NEGOTIATION', version: '2026-04-10T09:00:00.000Z' })

  const input = { idempotencyKey: 'win-1', id, stage: 'WON', expectedVersion: opportunity.version }
  const shown = await gateway.data(UPDATE, { input, dryRun: true })
  const { method, body } = JSON.parse(shown.updateOpportunity.writeback.preview)
  expect({ method, body: JSON.parse(body) }).toEqual({ method: 'PATCH', body: { StageName: 'Closed Won' } })
  expect(world.get('crmOpportunities', 'OP-00001')?.stage).toBe('NEGOTIATION')

  const won = { stage: 'WON', vendorStage: 'Closed Won', probability: '100' }
  for (const _twice of [1, 2]) {
    const { updateOpportunity } = await gateway.data(UPDATE, { input })
    expect(updateOpportunity).toMatchObject({ writeback: { state: 'CONFIRMED' }, opportunity: won })
  }
  expect(world.get('crmOpportunities', 'OP-00001')?.stage).toBe('WON')
  expect(org.calls.filter((call) => call.startsWith('PATCH'))).toHaveLength(1)

  const late = { ...input, idempotencyKey: 'lose-1', stage: 'LOST' }
  const { updateOpportunity } = await gateway.data(UPDATE, { input: late })
  expect(updateOpportunity).toMatchObject({ writeback: { state: 'REJECTED', problem: { code: 'CONFLICT' } } })
  expect(world.get('crmOpportunities', 'OP-00001')?.stage).toBe('WON')
})
