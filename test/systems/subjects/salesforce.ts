import type { World } from '../../../src/simulation/world.ts'
import { startSalesforceSimulator } from '../../../src/systems/salesforce/simulator.ts'
import { accountId, opportunityId } from '../../../src/systems/salesforce/simulator-org.ts'
import { subject } from '../subject.ts'
import { crm } from './crm.ts'

const auth = { method: 'clientCredentials', clientId: 'app', clientSecret: 'sf-s3cret-9b1c77' } as const

/** Salesforce gives ids of its own to the records of the world. */
const idOf = { customer: accountId, opportunity: opportunityId }
const worldKey = (world: World, type: 'customer' | 'opportunity', id: string): string => {
  const all = type === 'customer' ? world.all('crmCustomers') : world.all('crmOpportunities')
  const found = all.find((one) => idOf[type](one.id) === id)
  if (!found) throw new Error(`no ${type} ${id}`)
  return found.id
}

const input = { ...crm.create.input, customer: accountId('70007') }

export default subject({
  ...crm,
  start: (world) => startSalesforceSimulator(world, auth),
  settings: (loginUrl) => ({ loginUrl, auth }),
  samples: {
    customer: {
      there: ['0015gK000070007ABA', '0015gK000070014ABA', '0015gK000070021ABA', '0015gK000070028ABA'],
      missing: '0015gK000099999ABA',
    },
    opportunity: { there: ['0065gK000000001ABA', '0065gK000000002ABA'], missing: '0065gK000099999ABA' },
  },
  reads: {
    type: 'customer',
    request: 'POST /services/data/v61.0/composite',
    cut: { settings: { batchLimit: 2 }, calls: 3 },
    refusal: (words) => ({
      status: 400,
      body: JSON.stringify([{ message: words, errorCode: 'INVALID_FIELD', fields: [words] }]),
    }),
  },
  login: { request: 'POST /services/oauth2/token', expire: (simulator) => simulator.endSessions() },
  wrongCredentials: (settings) => ({ ...settings, auth: { ...auth, clientSecret: 'wr0ng-s3cret' } }),
  insert: {
    customer: (world, n) => accountId(crm.insert.customer(world, n)),
    opportunity: (world, n) => opportunityId(crm.insert.opportunity(world, n)),
  },
  touch: {
    customer: (world, key) => crm.touch.customer(world, worldKey(world, 'customer', key)),
    opportunity: (world, key) => crm.touch.opportunity(world, worldKey(world, 'opportunity', key)),
  },
  text: { ...crm.text, put: (world, text) => accountId(crm.text.put(world, text)) },
  longKey: undefined,
  decimal: { ...crm.decimal, put: (world, decimal) => opportunityId(crm.decimal.put(world, decimal)) },
  money: crm.money.map((one) => ({ ...one, key: opportunityId(one.key) })),
  time: { ...crm.time, key: accountId(crm.time.key) },
  create: {
    ...crm.create,
    input,
    request: 'PATCH /services/data/v61.0/sobjects/Opportunity/Tributary_Ref__c/',
    text: {
      input: (name) => ({ ...input, name }),
      stored: (world, key) => world.get('crmOpportunities', worldKey(world, 'opportunity', key))?.name,
    },
  },
  versioned: { ...crm.versioned, key: accountId(crm.versioned.key) },
})
