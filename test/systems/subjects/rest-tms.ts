import { sendParcel } from '../../../src/simulation/parcels.ts'
import type { World } from '../../../src/simulation/world.ts'
import { startRestTmsSimulator } from '../../../src/systems/rest-tms/simulator.ts'
import { subject } from '../subject.ts'

const auth = { type: 'signature', apiKey: 'tms-key-11', secret: 'tms-secret-5a1b' } as const
const now = () => new Date().toISOString()

const send = (world: World, number: string, to = '') =>
  `T-${
    sendParcel(world, {
      number,
      carrier: 'YTO',
      phone: '',
      from: '',
      to,
      orderNo: null,
      deliveryNo: null,
      expectedDay: null,
    }).number
  }`

const parcel = { trackingNumber: 'YT7700000000500', carrier: 'YTO', orderNumber: '1012' }

export default subject({
  start: (world) => startRestTmsSimulator(world, { auth }),
  settings: (baseUrl) => ({ baseUrl, auth }),
  samples: {
    shipment: { there: ['T-YT7700000000011', 'T-SF1000000007', 'T-JT5200000000023'], missing: 'T-1' },
  },
  reads: {
    type: 'shipment',
    request: 'GET /api/v1/shipments',
    cut: { settings: { batchLimit: 2 }, calls: 2 },
    refusal: (words) => ({
      status: 400,
      body: JSON.stringify({ code: 40001, message: words, data: null, details: { field: words } }),
    }),
  },
  wrongCredentials: (settings) => ({ ...settings, auth: { ...auth, secret: 'wr0ng-s3cret' } }),
  insert: { shipment: (world, n) => send(world, `YT880000000000${n}`) },
  touch: {
    shipment: (world, key) => {
      const before = world.get('parcels', key.slice('T-'.length))
      if (!before) throw new Error(`no parcel ${key}`)
      world.put('parcels', { ...before, expectedDay: '2027-01-01', updatedAt: now() })
    },
  },
  text: {
    type: 'shipment',
    put: (world, to) => send(world, 'YT-TEXT', to),
    at: 'recipientRegion',
  },
  create: {
    type: 'shipment',
    input: parcel,
    unique: true,
    count: (world) => world.count('parcels'),
    request: 'POST /api/v1/shipments',
  },
  // A carrier knows neither money nor quantities.
  money: [],
  time: { type: 'shipment', key: 'T-YT7700000000011', at: 'createdAt', instant: '2026-03-01T01:00:00.000Z' },
})
