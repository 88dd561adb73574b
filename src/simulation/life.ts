/** The world moves by itself: orders advance, goods arrive, bills are paid. Only inside the simulated systems. */
import Big from 'big.js'
import { createRandom } from './random.ts'
import { cardCodeOf, itemCodeOf, orderLines, QUIET_CUSTOMERS, QUIET_PRODUCTS } from './seed.ts'
import type { Sideline } from './sidelines.ts'
import type { ErpOrder, WorldState } from './state.ts'
import {
  billOrder,
  changeOrder,
  dayOf,
  deliver,
  financeCustomerOf,
  moveStock,
  nowText,
  pay,
  placeOrder,
} from './trade.ts'

export interface Life {
  /** Lets one thing happen now. */
  step(): void
  stop(): void
}

/**
 * @param everyMs Time between two happenings; 0: only by `step`.
 * @param sidelines What may happen beside the ERP's business.
 */
export function startLife(
  world: WorldState,
  everyMs: number,
  seed = 1,
  sidelines: readonly Sideline[] = [],
): Life {
  const random = createRandom(seed ^ 0x5eed)

  const quiet = (order: ErpOrder) => {
    const rank = Number(order.cardCode.slice(1, 6)) - 20_000
    return rank <= QUIET_CUSTOMERS || rank > 60_000
  }
  const openOrders = () =>
    world.all('erpOrders').filter((order) => !order.closed && !order.cancelled && !quiet(order))

  const arrive = () => {
    const products = world.count('erpItems')
    if (products <= QUIET_PRODUCTS) return
    const item = itemCodeOf(random.int(QUIET_PRODUCTS + 1, products))
    moveStock(world, item, '01', { inStock: String(random.int(5, 50)) })
  }

  const advance = () => {
    const open = openOrders()
    if (open.length === 0) return order()
    const chosen = random.pick(open)
    if (!chosen.confirmed) {
      changeOrder(world, chosen, { confirmed: true })
      return
    }
    if (!deliver(world, chosen, random.next() < 0.5 ? 0.5 : 1)) return
    const after = world.get('erpOrders', String(chosen.docEntry))
    if (after?.closed) billOrder(world, after)
  }

  const order = () => {
    const accounts = world.all('erpAccounts').filter((account) => {
      const rank = Number(account.cardCode.slice(1, 6)) - 20_000
      return rank > QUIET_CUSTOMERS && account.cardCode === cardCodeOf(rank)
    })
    if (accounts.length === 0) return
    const account = random.pick(accounts)
    const today = dayOf(nowText())
    placeOrder(world, {
      cardCode: account.cardCode,
      currency: account.currency,
      docDate: today,
      dueDate: today,
      confirmed: random.next() > 0.3,
      lines: orderLines(world, random),
    })
  }

  const settle = () => {
    const quietNos = new Set(
      Array.from({ length: QUIET_CUSTOMERS }, (_, index) => financeCustomerOf(world, cardCodeOf(index + 1))),
    )
    const invoice = world
      .all('financeInvoices')
      .find((one) => !one.cancelled && new Big(one.paid).lt(one.gross) && !quietNos.has(one.customerNo))
    if (!invoice) return
    const amount = new Big(invoice.gross).minus(invoice.paid).toString()
    pay(world, {
      customerNo: invoice.customerNo,
      date: dayOf(nowText()),
      amount,
      currency: invoice.currency,
      method: 'TRANSFER',
      reference: invoice.invoiceNo,
      externalReference: `life-${invoice.invoiceNo}-${amount}`,
      applications: [{ invoiceNo: invoice.invoiceNo, amount }],
    })
  }

  // Something for every watcher within a few seconds: stock and orders take turns, the rest comes in between.
  const turns = [
    advance,
    arrive,
    advance,
    arrive,
    order,
    settle,
    ...sidelines.map((sideline) => sideline(world, random)),
  ]
  let turn = 0
  const step = () => {
    turns[turn % turns.length]?.()
    turn++
  }
  const timer = everyMs > 0 ? setInterval(step, everyMs) : undefined
  timer?.unref()
  return { step, stop: () => clearInterval(timer) }
}
