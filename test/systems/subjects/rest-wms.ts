import { adjustStock, openDelivery, reserve, skuIdOf } from '../../../src/simulation/warehousing.ts'
import type { WmsEvent, World } from '../../../src/simulation/world.ts'
import { startRestWmsSimulator } from '../../../src/systems/rest-wms/simulator.ts'
import { subject } from '../subject.ts'

const auth = { type: 'signature', apiKey: 'wms-key-41', secret: 'wms-secret-7f3a9e' } as const
const now = () => new Date().toISOString()
const SZX = 'WH-SZX-01'

function skuIn(world: World, skuId: string) {
  const sku = world.get('wmsSkus', skuId)
  if (!sku) throw new Error(`no product ${skuId}`)
  return sku
}

function addSku(world: World, skuId: string, changes: object = {}): string {
  world.put('wmsSkus', { ...skuIn(world, skuIdOf(1)), skuId, createdAt: now(), updatedAt: now(), ...changes })
  return skuId
}

const setAside = (world: World, at = now()) =>
  reserve(world, {
    orderNo: '1012',
    expiresAt: null,
    lines: [{ skuId: skuIdOf(1), warehouseId: SZX, quantity: '1' }],
    at,
  }).reservationId

const sendOut = (world: World) =>
  openDelivery(world, {
    direction: 'OUT',
    deliveryType: 'SALES',
    orderNo: '1012',
    warehouseId: SZX,
    lines: [{ skuId: skuIdOf(1), quantity: '1' }],
  }).deliveryId

const reservation = {
  orderNumber: '1015',
  lines: [{ product: skuIdOf(2), warehouse: SZX, quantity: '3' }],
}

export default subject({
  start: (world) => startRestWmsSimulator(world, { auth }),
  settings: (baseUrl) => ({ baseUrl, auth }),
  prepare: (world) => void setAside(world, '2026-06-25T00:00:00.000Z'),
  samples: {
    warehouse: { there: [SZX, 'WH-HAM-03'], missing: 'WH-XXX-99' },
    product: { there: [skuIdOf(1), skuIdOf(2), skuIdOf(3)], missing: 'SKU1' },
    inventoryLevel: {
      there: [`${skuIdOf(1)}/${SZX}`, `${skuIdOf(2)}/${SZX}`],
      missing: `${skuIdOf(1)}/WH-XXX-99`,
    },
    reservation: { there: ['RS-000001', 'RS-000002'], missing: 'RS-999999' },
    delivery: { there: ['OB-000001', 'IB-000002'], missing: 'OB-999999' },
  },
  reads: {
    type: 'product',
    request: 'GET /api/v1/skus',
    cut: { settings: { batchLimit: 2 }, calls: 2 },
    refusal: (words) => ({
      status: 400,
      body: JSON.stringify({ code: 40002, message: words, data: null, details: { field: words } }),
    }),
  },
  wrongCredentials: (settings) => ({ ...settings, auth: { ...auth, secret: 'wr0ng-s3cret' } }),
  insert: {
    product: (world, n) => addSku(world, `SKU5000${n}9`),
    inventoryLevel: (world, n) => {
      const skuId = addSku(world, `SKU5001${n}9`)
      adjustStock(world, skuId, SZX, '5')
      return `${skuId}/${SZX}`
    },
    reservation: (world) => setAside(world),
    delivery: sendOut,
  },
  touch: {
    inventoryLevel: (world, key) => {
      const [skuId = '', warehouseId = ''] = key.split('/')
      adjustStock(world, skuId, warehouseId, '-1')
    },
    reservation: (world, reservationId) => {
      const before = world.get('wmsReservations', reservationId)
      if (!before) throw new Error(`no reservation ${reservationId}`)
      const at = now()
      world.put('wmsReservations', { ...before, remark: '改', revision: before.revision + 1, updatedAt: at })
      const seq = world.count('wmsEvents') + 1
      const told = {
        eventType: 'RESERVATION_CHANGED',
        reservationId,
        status: before.status,
        change: 'updated',
      }
      world.put('wmsEvents', { seq, eventId: `touched-${seq}`, at, ...told } as WmsEvent)
    },
  },
  text: {
    type: 'product',
    put: (world, name) => addSku(world, 'SKU-TEXT', { name }),
    at: 'name',
  },
  longKey: { type: 'product', put: (world, digits) => addSku(world, digits) },
  decimal: {
    type: 'inventoryLevel',
    put: (world, onHand) => {
      const stock = world.get('wmsStock', `${skuIdOf(1)}@${SZX}`)
      if (!stock) throw new Error('no stock')
      world.put('wmsStock', { ...stock, onHand })
      return `${skuIdOf(1)}/${SZX}`
    },
    at: 'onHand.value',
    digits: 10,
  },
  // A warehouse knows no money.
  money: [],
  time: { type: 'delivery', key: 'OB-000001', at: 'createdAt', instant: '2026-06-12T03:00:00.000Z' },
  create: {
    type: 'reservation',
    input: reservation,
    unique: true,
    count: (world) => world.count('wmsReservations'),
    request: 'POST /api/v1/reservations',
    text: {
      input: (comments) => ({ ...reservation, comments }),
      stored: (world, key) => world.get('wmsReservations', key)?.remark,
    },
  },
  versioned: {
    type: 'reservation',
    key: 'RS-000002',
    write: { action: 'release' },
    done: (world) => world.get('wmsReservations', 'RS-000002')?.status === 'RELEASED',
  },
})
