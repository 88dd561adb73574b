import { moveStock } from '../../../src/simulation/trade.ts'
import { startRestErpSimulator } from '../../../src/systems/rest-erp/simulator.ts'
import { subject } from '../subject.ts'
import {
  AMOUNTS,
  accountIn,
  addAccount,
  addItem,
  addOrder,
  addSomeAccount,
  addSomeItem,
  newestOrder,
  newOrder,
  orderOf,
  touchAccount,
  touchItem,
  touchOrder,
} from './erp.ts'

const auth = { type: 'bearer', token: 'erp-token-91c2f0' } as const
const keyOf = ({ docEntry }: { readonly docEntry: number }) => `SO-${docEntry}`
const entryOf = (key: string) => Number(key.slice('SO-'.length))

export default subject({
  start: (world) => startRestErpSimulator(world, { auth }),
  settings: (baseUrl) => ({ baseUrl, auth, contract: 'extended' }),
  samples: {
    customer: { there: ['C20001', 'C20002', 'C20003'], missing: 'C29999' },
    product: { there: ['A00001', 'A00002', 'A00003'], missing: 'A99999' },
    inventoryLevel: { there: ['A00001/01', 'A00002/01'], missing: 'A00001/NOWHERE' },
    order: { there: ['SO-1', 'SO-2', 'SO-3'], missing: 'SO-99999' },
  },
  reads: {
    type: 'customer',
    request: 'GET /erp/customers',
    cut: { settings: { batchLimit: 2 }, calls: 2 },
    refusal: (words) => ({
      status: 400,
      body: JSON.stringify({
        success: false,
        error: { code: words, message: words, details: { field: words } },
      }),
    }),
  },
  wrongCredentials: (settings) => ({ ...settings, auth: { ...auth, token: 'wr0ng-t0ken' } }),
  insert: {
    customer: addSomeAccount,
    product: addSomeItem,
    order: (world) => keyOf(addOrder(world)),
  },
  touch: {
    customer: touchAccount,
    product: touchItem,
    order: (world, key) => touchOrder(world, entryOf(key)),
    inventoryLevel: (world, key) => {
      const [item = '', warehouse = ''] = key.split('/')
      moveStock(world, item, warehouse, { inStock: '1' })
    },
  },
  text: {
    type: 'customer',
    put: (world, name) => addAccount(world, 'C-TEXT', { name }),
    at: 'name',
  },
  longKey: { type: 'product', put: (world, digits) => addItem(world, digits) },
  decimal: {
    type: 'order',
    put: (world, quantity) => keyOf(orderOf(world, quantity)),
    at: 'lines.0.ordered.value',
    digits: 6,
  },
  money: [
    {
      type: 'order',
      key: `SO-${AMOUNTS.yen.entry}`,
      at: 'totals.net',
      amount: AMOUNTS.yen.net,
      currency: 'JPY',
    },
    {
      type: 'order',
      key: `SO-${AMOUNTS.yen.entry}`,
      at: 'totals.gross',
      amount: AMOUNTS.yen.gross,
      currency: 'JPY',
    },
    {
      type: 'order',
      key: `SO-${AMOUNTS.dollar.entry}`,
      at: 'totals.gross',
      amount: AMOUNTS.dollar.gross,
      currency: 'USD',
    },
  ],
  time: { type: 'customer', key: 'C20001', at: 'createdAt', instant: '2024-11-08T09:00:00.000Z' },
  create: {
    type: 'order',
    input: newOrder,
    unique: true,
    count: (world) => world.count('erpOrders'),
    request: 'POST /erp/orders',
    text: {
      input: (comments) => ({ ...newOrder, comments }),
      stored: (world) => newestOrder(world)?.comments,
    },
  },
  versioned: {
    type: 'customer',
    key: 'C20002',
    write: { update: { name: '改名' } },
    done: (world) => accountIn(world, 'C20002').name === '改名',
  },
})
