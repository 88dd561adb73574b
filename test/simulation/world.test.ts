import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Big from 'big.js'
import { describe, expect, it } from 'vitest'
import { startLife } from '../../src/simulation/life.ts'
import { changeOrder, placeOrder } from '../../src/simulation/trade.ts'
import { World } from '../../src/simulation/world.ts'

const COLLECTIONS = [
  'crmCustomers',
  'crmOpportunities',
  'erpAccounts',
  'erpItems',
  'erpStock',
  'erpOrders',
] as const
const LATER = ['erpDeliveries', 'financeCustomers', 'financeInvoices', 'financePayments'] as const
const everything = (world: World) =>
  Object.fromEntries([...COLLECTIONS, ...LATER].map((name) => [name, world.all(name)]))

function temporaryFile() {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-world-'))
  return {
    file: join(folder, 'world.jsonl'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

describe('the demo world', () => {
  it('is the same for the same seed and sizes, and another for another seed', () => {
    const sizes = { customers: 12, products: 9, orders: 30 }
    expect(everything(new World(sizes))).toEqual(everything(new World(sizes)))
    expect(new World({ ...sizes, seed: 2 }).all('erpOrders')).not.toEqual(new World(sizes).all('erpOrders'))
  })

  it('has the size that was asked for', () => {
    const world = new World({ customers: 25, products: 30, orders: 50 })
    expect([world.count('crmCustomers'), world.count('erpItems'), world.count('erpOrders')]).toEqual([
      25, 30, 50,
    ])
  })

  it('numbers a customer and a product differently in every system, and shares tax number and barcode', () => {
    const world = new World({ customers: 12, products: 9, orders: 20 })
    for (const customer of world.all('crmCustomers')) {
      const account = world.find('erpAccounts', 'taxNumber', customer.taxNumber)
      const debtor = world.find('financeCustomers', 'taxNumber', customer.taxNumber)
      expect(account === undefined).toBe(debtor === undefined)
      const keys = [customer.id, account?.cardCode, debtor?.customerNo].filter(Boolean)
      expect(new Set(keys).size).toBe(keys.length)
    }
    for (const item of world.all('erpItems')) {
      const product = world.find('financeProducts', 'barcode', item.barcode)
      expect(product?.productNo).not.toBe(item.code)
      expect(product).toBeDefined()
    }
  })

  it('shares with other companies of the group what was written by hand, and nothing else', () => {
    const sizes = { customers: 20, products: 20, orders: 30 }
    const [one, other] = [new World(sizes), new World({ ...sizes, seed: 2, company: 1 })]
    const shared = (of: (world: World) => readonly string[]) => {
      const theirs = new Set(of(other))
      return of(one).filter((value) => theirs.has(value))
    }
    const first = (count: number, of: (world: World) => readonly string[]) => of(one).slice(0, count)
    const taxNumbers = (world: World) => world.all('crmCustomers').map(({ taxNumber }) => taxNumber)
    const barcodes = (world: World) => world.all('erpItems').map(({ barcode }) => barcode)
    expect(shared(taxNumbers)).toEqual(first(5, taxNumbers))
    expect(shared(barcodes)).toEqual(first(5, barcodes))
    expect(new Set(taxNumbers(other)).size).toBe(20)
  })

  it('has one prospect in no ERP, one customer with two accounts, and one account that nobody else knows', () => {
    const world = new World({ customers: 8, products: 8, orders: 12 })
    const accountsOf = (taxNumber: string) =>
      world.all('erpAccounts').filter((account) => account.taxNumber === taxNumber).length
    const counts = world.all('crmCustomers').map((customer) => accountsOf(customer.taxNumber))
    expect(counts.filter((count) => count === 0)).toHaveLength(1)
    expect(counts.filter((count) => count === 2)).toHaveLength(1)
    const strangers = world.all('erpAccounts').filter(({ taxNumber }) => taxNumber === null)
    expect(strangers.map(({ cardCode }) => cardCode)).toEqual(['C99001'])
    expect(world.all('erpOrders').filter((order) => order.cardCode === 'C99001')).toHaveLength(1)
  })

  it('has totals that differ from the sum of their lines by rounding, and yen without decimals', () => {
    const world = new World()
    const orders = world.all('erpOrders')
    const differing = orders.filter((order) => {
      const sum = order.lines.reduce((total, line) => total.plus(line.total), new Big(0))
      return !new Big(order.gross).minus(order.tax).eq(sum)
    })
    expect(differing.length).toBeGreaterThan(0)
    const yen = orders.filter((order) => order.currency === 'JPY')
    expect(yen.length).toBeGreaterThan(0)
    for (const order of yen) expect(`${order.gross} ${order.tax}`).toMatch(/^\d+ \d+$/)
  })

  it('keeps in stock what its orders have reserved', () => {
    const world = new World({ customers: 12, products: 9, orders: 60 })
    for (const stock of world.all('erpStock')) {
      const open = world
        .all('erpOrders')
        .flatMap((order) => order.lines)
        .filter((line) => line.item === stock.item && line.warehouse === stock.warehouse)
        .reduce((sum, line) => sum.plus(line.open), new Big(0))
      expect([stock.id, new Big(stock.committed).toString()]).toEqual([stock.id, open.toString()])
    }
  })
})

describe('a world with a file', () => {
  const sizes = { customers: 8, products: 8, orders: 12 }
  const draft = {
    cardCode: 'C20001',
    currency: 'CNY',
    docDate: '2026-07-01',
    dueDate: '2026-07-09',
    lines: [{ item: 'A00001', quantity: '2', warehouse: '01' }],
  }

  it('is what it was after a restart, and keeps its file short', () => {
    using kept = temporaryFile()
    const first = new World({ ...sizes, file: kept.file })
    let order = placeOrder(first, draft)
    for (let n = 0; n < 50; n++) order = changeOrder(first, order, { comments: `change ${n}` })
    const second = new World({ ...sizes, file: kept.file })
    expect(everything(second)).toEqual(everything(first))
    expect(readFileSync(kept.file, 'utf8').trim().split('\n')).toHaveLength(2) // the order and the stock
    expect(everything(new World({ ...sizes, file: kept.file }))).toEqual(everything(first))
  })

  it('loses nothing but the line that a kill cut short', () => {
    using kept = temporaryFile()
    const first = new World({ ...sizes, file: kept.file })
    placeOrder(first, draft)
    appendFileSync(kept.file, '["erpOrders",{"docEntry":99,"docN')
    const second = new World({ ...sizes, file: kept.file })
    expect(everything(second)).toEqual(everything(first))
    placeOrder(second, draft)
    expect(everything(new World({ ...sizes, file: kept.file }))).toEqual(everything(second))
  })

  it('finds what was put, also by a field that it was not asked for before', () => {
    const world = new World(sizes)
    const order = placeOrder(world, { ...draft, numAtCard: 'PO-1' })
    expect(world.find('erpOrders', 'numAtCard', 'PO-1')).toEqual(order)
    const next = placeOrder(world, { ...draft, numAtCard: 'PO-2' })
    expect(world.find('erpOrders', 'numAtCard', 'PO-2')).toEqual(next)
    expect(world.find('erpOrders', 'numAtCard', 'PO-3')).toBeUndefined()
  })
})

describe('the life of the world', () => {
  it('brings something for every watcher within twelve steps, and leaves the quiet ones alone', () => {
    const world = new World()
    const quiet = (cardCode: string) => Number(cardCode.slice(1, 6)) <= 20_005 || cardCode === 'C99001'
    const before = everything(world)
    const changed = new Set<string>()
    const touched: string[] = []
    world.onChange(({ collection, entity }) => {
      changed.add(collection)
      if (collection === 'erpOrders' && 'cardCode' in entity) touched.push(entity.cardCode)
    })
    const life = startLife(world, 0)
    for (let step = 0; step < 12; step++) life.step()
    life.stop()
    expect([...changed]).toEqual(expect.arrayContaining(['erpOrders', 'erpStock', 'financeInvoices']))
    expect(touched.filter(quiet)).toEqual([])
    const written = (all: typeof before) =>
      (all.erpOrders as { cardCode: string }[]).filter((order) => quiet(order.cardCode))
    expect(written(everything(world))).toEqual(written(before))
  })

  it('goes the same way twice', () => {
    const live = () => {
      const world = new World({ customers: 20, products: 20, orders: 60 })
      const life = startLife(world, 0)
      for (let step = 0; step < 30; step++) life.step()
      return world
        .all('erpOrders')
        .map(({ docEntry, gross, closed, confirmed }) => [docEntry, gross, closed, confirmed])
    }
    expect(live()).toEqual(live())
  })
})
