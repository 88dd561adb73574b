import { startRestCrmSimulator } from '../../../src/systems/rest-crm/simulator.ts'
import { subject } from '../subject.ts'
import { crm } from './crm.ts'

const { refusal, ...common } = crm
const auth = { type: 'bearer', token: 'crm-token-7f3a9e' } as const

export default subject({
  ...common,
  start: (world) => startRestCrmSimulator(world, { auth }),
  settings: (baseUrl) => ({ baseUrl, auth }),
  reads: {
    type: 'customer',
    request: 'GET /api/customers',
    cut: { settings: { batchLimit: 2 }, calls: 3 },
    refusal,
  },
  wrongCredentials: (settings) => ({ ...settings, auth: { ...auth, token: 'wr0ng-t0ken' } }),
})
