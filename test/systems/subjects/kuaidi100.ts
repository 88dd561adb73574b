import { scanParcel, sendParcel } from '../../../src/simulation/parcels.ts'
import type { World } from '../../../src/simulation/world.ts'
import { startKuaidi100Simulator } from '../../../src/systems/kuaidi100/simulator.ts'
import { subject } from '../subject.ts'

const credentials = { customer: '7C5A3F1B', key: 'kd-key-8f41c0' }

export default subject({
  start: (world) => startKuaidi100Simulator(world, credentials),
  // Otherwise what was said a moment ago is told again without asking.
  settings: (baseUrl) => ({ baseUrl, ...credentials, intervalMinutes: 0, phone: '13800002024' }),
  samples: {
    shipment: {
      // On their way: what has arrived is not asked for again.
      there: ['ems/EA123456785CN', 'jtexpress/JT5200000000023'],
      missing: 'ems/EA000000000CN',
    },
  },
  reads: {
    type: 'shipment',
    request: 'POST /poll/query\\.do',
    call: 'QUERY',
    // One parcel a question.
    cut: { settings: {}, calls: 3 },
    refusal: (words) => ({
      status: 200,
      body: JSON.stringify({ result: false, returnCode: '400', message: words }),
    }),
  },
  wrongCredentials: (settings) => ({ ...settings, key: 'wr0ng-k3y' }),
  insert: {},
  touch: {},
  text: {
    type: 'shipment',
    put: (world: World, text) => {
      const number = 'YT7700000000555'
      sendParcel(world, {
        number,
        carrier: 'YTO',
        phone: '',
        from: '上海',
        to: text,
        orderNo: null,
        deliveryNo: null,
        expectedDay: null,
      })
      scanParcel(world, number, 'COLLECTED', '上海', '已揽收')
      return `yuantong/${number}`
    },
    at: 'recipientRegion',
  },
  // A carrier knows neither money nor quantities.
  money: [],
})
