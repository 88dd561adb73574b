/** What happens at any of the simulated ERPs: they show the same books, each in its own words. */
import { billOrder, changeOrder, deliver, placeOrder } from '../../../src/simulation/trade.ts'
import type { ErpOrder, World } from '../../../src/simulation/world.ts'
import type { Subject } from '../subject.ts'

const now = () => new Date().toISOString()

export function accountIn(world: World, key: string) {
  const account = world.get('erpAccounts', key)
  if (!account) throw new Error(`no account ${key}`)
  return account
}

export function itemIn(world: World, key: string) {
  const item = world.get('erpItems', key)
  if (!item) throw new Error(`no item ${key}`)
  return item
}

export function orderIn(world: World, entry: number): ErpOrder {
  const order = world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}

export function addAccount(world: World, cardCode: string, changes: object = {}): string {
  const at = now()
  world.put('erpAccounts', {
    ...accountIn(world, 'C20001'),
    cardCode,
    taxNumber: null,
    createdAt: at,
    updatedAt: at,
    ...changes,
  })
  return cardCode
}

/** Before, between and after those that are there. */
export const addSomeAccount = (world: World, n: number): string => addAccount(world, `C2000${n}-NEW${n}`)
export const touchAccount = (world: World, key: string): void =>
  world.put('erpAccounts', { ...accountIn(world, key), phone: '+86 21 0000 0000', updatedAt: now() })

export function addItem(world: World, code: string): string {
  const at = now()
  const barcode = `69-${code}`
  world.put('erpItems', { ...itemIn(world, 'A00001'), code, barcode, createdAt: at, updatedAt: at })
  return code
}

export const addSomeItem = (world: World, n: number): string => addItem(world, `A0000${n}-NEW`)

export const touchItem = (world: World, key: string): void =>
  world.put('erpItems', { ...itemIn(world, key), foreignName: 'changed', updatedAt: now() })

export function addWarehouse(world: World, n: number): string {
  const code = `0${n}N`
  world.put('erpWarehouses', { code, name: `新仓 ${n}` })
  return code
}

export const addOrder = (world: World): ErpOrder =>
  placeOrder(world, {
    cardCode: 'C20003',
    currency: 'USD',
    docDate: now().slice(0, 10),
    dueDate: now().slice(0, 10),
    lines: [{ item: 'A00003', quantity: '1', warehouse: '01' }],
  })

export const touchOrder = (world: World, entry: number): void => {
  changeOrder(world, orderIn(world, entry), { numAtCard: 'changed meanwhile' })
}

/** @returns The delivery of a fresh order. */
export function addDelivery(world: World) {
  const delivery = deliver(world, addOrder(world))
  if (!delivery) throw new Error('nothing to deliver')
  return delivery
}

/** @returns The n of the n-th invoice. */
export function addInvoice(world: World): number {
  if (!billOrder(world, addOrder(world), now(), 'D-00009')) throw new Error('nothing to bill')
  return world.count('financeInvoices')
}

/** The third order, its one line at this unit price. */
export function pricedOrder(world: World, price: string): ErpOrder {
  const order = orderIn(world, 3)
  const [line] = order.lines
  if (!line) throw new Error('no line')
  const priced = { ...order, lines: [{ ...line, unitPrice: price, price }] }
  world.put('erpOrders', priced)
  return priced
}

/** The third order, its one line over this quantity. */
export function orderOf(world: World, quantity: string): ErpOrder {
  const order = orderIn(world, 3)
  const [line] = order.lines
  if (!line) throw new Error('no line')
  const changed = { ...order, lines: [{ ...line, quantity, open: quantity }] }
  world.put('erpOrders', changed)
  return changed
}

export const newestOrder = (world: World): ErpOrder | undefined => world.all('erpOrders').at(-1)

/** An order that every ERP takes. */
export const newOrder = {
  customer: 'C20001',
  orderDate: '2027-07-01',
  dueDate: '2027-08-01',
  lines: [{ product: 'A00003', quantity: '2.5', unitPrice: '356.50' }],
}

/** Of the seed's orders: the price lists there are net, tax is 13 %, and the company books in yuan at its own rates. */
export const AMOUNTS = {
  /** 15 × 1003 JPY: yen have no decimals. */
  yen: { entry: 7, net: '15045', gross: '17001' },
  /** 5 × 249.99 + 250 × 1.8333 USD, rounded once; the net is the gross less the tax. */
  dollar: { entry: 5, net: '1708.27', gross: '1930.35', companyGross: '13705.49' },
} as const

/**
 * What Chinese ERPs that show these books tell the suite alike: customers and orders are found by the numbers that
 * people use, times have no offset.
 * @param numberOf The number under which the vendor shows the n-th order; `entryOf` turns it back.
 */
export function byNumbers(numberOf: (entry: number) => string, entryOf: (key: string) => number) {
  const amount = ({ entry, gross }: { entry: number; gross: string }, currency: string) => ({
    type: 'order' as const,
    key: numberOf(entry),
    at: 'totals.gross',
    amount: gross,
    currency,
  })
  return {
    insert: {
      customer: addSomeAccount,
      product: addSomeItem,
      order: (world: World) => numberOf(addOrder(world).docEntry),
    },
    touch: {
      customer: touchAccount,
      product: touchItem,
      order: (world: World, key: string) => touchOrder(world, entryOf(key)),
    },
    text: {
      type: 'customer',
      put: (world: World, name: string) => addAccount(world, 'C-TEXT', { name }),
      at: 'name',
    },
    longKey: { type: 'customer', put: (world: World, digits: string) => addAccount(world, digits) },
    decimal: {
      type: 'order',
      put: (world: World, price: string) => numberOf(pricedOrder(world, price).docEntry),
      at: 'lines.0.unitPrice.amount.amount',
      digits: 6,
    },
    money: [amount(AMOUNTS.yen, 'JPY'), amount(AMOUNTS.dollar, 'USD')],
    time: { type: 'order', key: numberOf(3), at: 'createdAt', instant: '2026-06-24T09:00:00.000Z' },
    zone: (timeZone: string) => ({ timeZone }),
    create: {
      type: 'order',
      input: newOrder,
      count: (world: World) => world.count('erpOrders'),
      text: {
        input: (comments: string) => ({ ...newOrder, comments }),
        stored: (world: World, key: string) => orderIn(world, entryOf(key)).comments,
      },
    },
  } satisfies Partial<Omit<Subject, 'create'>> & { create: Partial<Subject['create']> }
}
