/** What happens at the simulated CRM, whoever speaks to it. */
import type { World } from '../../../src/simulation/world.ts'
import type { Subject } from '../subject.ts'

const now = () => new Date().toISOString()

function customerIn(world: World, id: string) {
  const customer = world.get('crmCustomers', id)
  if (!customer) throw new Error(`no customer ${id}`)
  return customer
}

function addCustomer(world: World, id: string, changes: object = {}): string {
  const at = now()
  world.put('crmCustomers', { ...customerIn(world, '70007'), id, createdAt: at, updatedAt: at, ...changes })
  return id
}

function opportunityIn(world: World, id: string) {
  const opportunity = world.get('crmOpportunities', id)
  if (!opportunity) throw new Error(`no opportunity ${id}`)
  return opportunity
}

function addOpportunity(world: World, id: string, changes: object = {}): string {
  const at = now()
  world.put('crmOpportunities', {
    ...opportunityIn(world, 'OP-00001'),
    id,
    createdAt: at,
    updatedAt: at,
    ...changes,
  })
  return id
}

const opportunity = {
  name: '二号线改造 🏭',
  customer: '70007',
  stage: 'PROPOSAL',
  amount: { amount: '120000.50', currency: 'CNY' },
  closeDate: '2027-03-31',
}

export const crm = {
  samples: {
    customer: { there: ['70007', '70014', '70021', '70028'], missing: '1' },
    opportunity: { there: ['OP-00001', 'OP-00002'], missing: 'OP-99999' },
  },
  refusal: (words: string) => ({
    status: 400,
    body: JSON.stringify({ code: 40001, message: words, data: null, details: { field: words } }),
  }),
  insert: {
    customer: (world, n) => addCustomer(world, `9000${n}`),
    opportunity: (world, n) => addOpportunity(world, `OP-9000${n}`),
  },
  touch: {
    customer: (world, key) => {
      const before = customerIn(world, key)
      const revision = before.revision + 1
      world.put('crmCustomers', { ...before, phone: '1', revision, updatedAt: now() })
    },
    opportunity: (world, key) =>
      world.put('crmOpportunities', { ...opportunityIn(world, key), owner: 'li.na', updatedAt: now() }),
  },
  text: {
    type: 'customer',
    put: (world, industry) => addCustomer(world, '80000', { industry }),
    at: 'industry',
  },
  longKey: { type: 'customer', put: (world, digits) => addCustomer(world, digits) },
  decimal: {
    type: 'opportunity',
    put: (world, amount) => addOpportunity(world, 'OP-80000', { amount }),
    at: 'amount.amount',
    digits: 6,
  },
  money: [
    // The seed gives the opportunity of the n-th customer n thousand and a half in the customer's currency.
    { type: 'opportunity', key: 'OP-00001', at: 'amount', amount: '1000.50', currency: 'CNY' },
    { type: 'opportunity', key: 'OP-00004', at: 'amount', amount: '4000.50', currency: 'JPY' },
  ],
  time: { type: 'customer', key: '70007', at: 'createdAt', instant: '2024-11-08T09:00:00.000Z' },
  create: {
    type: 'opportunity',
    input: opportunity,
    unique: true,
    count: (world) => world.count('crmOpportunities'),
    request: 'POST /api/opportunities',
    text: {
      input: (name) => ({ ...opportunity, name }),
      stored: (world, key) => opportunityIn(world, key).name,
    },
  },
  versioned: {
    type: 'customer',
    key: '70007',
    write: { update: { phone: '+86 21 0000 1111' } },
    done: (world) => customerIn(world, '70007').phone === '+86 21 0000 1111',
  },
} satisfies Partial<Subject> & { refusal: Subject['reads']['refusal'] }
