/**
 * Lead to cash (从线索到回款): an opportunity is won → sales order in the ERP → stock set aside in the WMS →
 * receivable in finance → the opportunity names its order. What cannot be done undoes what was done before it.
 */
import type { Customer, Opportunity, Order } from '../systems/records.ts'
import type { LeadToCashConfig } from './config.ts'
import { type Flow, type FlowTools, type RunView, reject, type Step } from './flow.ts'

/** What the order's step leaves for the others. */
interface Ordered {
  readonly customer: string
  readonly lines: readonly { readonly product: string; readonly quantity: string }[]
}

export function leadToCash(config: LeadToCashConfig): Flow {
  const { crm, erp, wms, finance } = config

  const opportunityOf = async (key: string, tools: FlowTools): Promise<Opportunity> => {
    const found = await tools.record(crm, 'opportunity', key)
    if (!found) throw reject('NOT_FOUND', `System "${crm}" has no opportunity "${key}".`)
    return found
  }
  const orderOf = async (run: RunView, tools: FlowTools): Promise<Order> => {
    const key = run.results.order?.key ?? ''
    const found = await tools.record(erp, 'order', key)
    if (!found) throw reject('NOT_FOUND', `System "${erp}" does not show its order "${key}".`)
    return found
  }

  const order: Step = {
    name: 'order',
    async prepare(run, tools) {
      const opportunity = await opportunityOf(run.key, tools)
      const why = notWon(opportunity)
      if (why) throw reject('NOT_WON', why)
      const customer = await accountFor(opportunity, config, tools)
      const lines = await linesOf(opportunity, config, tools)
      const currency = opportunity.amount?.currency
      return {
        write: {
          system: erp,
          record: 'order',
          action: 'create',
          input: {
            customer: customer.key,
            dueDate: dayAfter(run.startedAt, config.dueDays),
            ...(currency === undefined ? {} : { currency }),
            customerReference: opportunity.key,
            comments: opportunity.name,
            lines,
          },
        },
        data: {
          customer: customer.key,
          lines: lines.map(({ product, quantity }) => ({ product, quantity })),
        } satisfies Ordered,
      }
    },
    undo: async (_run, { key }) => ({
      write: { system: erp, record: 'order', action: 'cancel', input: { key }, key },
    }),
  }

  const stock: Step = {
    name: 'stock',
    async prepare(run, tools) {
      const system = wms as string
      const { lines } = orderedOf(run)
      const { number } = await orderOf(run, tools)
      const theirs = await Promise.all(
        lines.map(async ({ product, quantity }, index) => {
          const [known] = await tools.counterparts('product', { system: erp, key: product }, system)
          if (known !== undefined) return { product: known, quantity }
          const message = `Nobody has linked product "${product}" of system "${erp}" to a product of system "${system}".`
          throw reject('NOT_MAPPED', message, { line: String(index + 1), field: 'product' })
        }),
      )
      return {
        write: {
          system,
          record: 'reservation',
          action: 'create',
          input: { orderNumber: number, lines: theirs },
        },
      }
    },
    undo: async (_run, { system, key }) => ({
      write: { system, record: 'reservation', action: 'release', input: { key }, key },
    }),
  }

  const receivable: Step = {
    name: 'receivable',
    async prepare(run, tools) {
      const { number, totals } = await orderOf(run, tools)
      const { customer } = orderedOf(run)
      if (!totals?.gross)
        throw reject(
          'NO_AMOUNT',
          `System "${erp}" shows no total of order ${number}: nothing can be claimed.`,
        )
      const [debtor] = await tools.counterparts('customer', { system: erp, key: customer }, finance)
      if (debtor === undefined) {
        const message = `Nobody has linked customer "${customer}" of system "${erp}" to a customer of system "${finance}".`
        throw reject('NOT_MAPPED', message, { field: 'customer' })
      }
      return {
        write: {
          system: finance,
          record: 'invoice',
          action: 'create',
          input: {
            customer: debtor,
            orderNumbers: [number],
            issueDate: dayAfter(run.startedAt, 0),
            dueDate: dayAfter(run.startedAt, config.paymentDays),
            gross: totals.gross,
            ...(totals.net ? { net: totals.net.amount } : {}),
            ...(totals.tax ? { tax: totals.tax.amount } : {}),
          },
        },
      }
    },
    undo: async (_run, { system, key }) => ({
      write: { system, record: 'invoice', action: 'cancel', input: { key }, key },
    }),
  }

  const link: Step = {
    name: 'link',
    async prepare(run, tools) {
      const { number } = await orderOf(run, tools)
      return {
        write: {
          system: crm,
          record: 'opportunity',
          action: 'update',
          input: { key: run.key, changes: { orderNumber: number } },
          key: run.key,
        },
      }
    },
  }

  return {
    name: 'lead-to-cash',
    version: 1,
    description: 'A won opportunity becomes an order, stock set aside, and a receivable.',
    subject: { system: crm, record: 'opportunity' },
    startsOn: ({ data: { facts, before } }) => facts.stage === 'WON' && before?.stage !== 'WON',
    refuses: async (key, tools) => notWon(await opportunityOf(key, tools)),
    stages: [order, ...(wms === undefined ? [] : [stock]), receivable, link],
  }
}

const orderedOf = ({ results }: RunView): Ordered =>
  (results.order?.data ?? { customer: '', lines: [] }) as Ordered

const notWon = ({ key, stage }: Opportunity): string | null =>
  stage === 'WON' ? null : `Opportunity "${key}" is ${stage}, not WON.`

/** A customer may have several accounts in an ERP, one for each currency. */
async function accountFor(
  { key, customer, amount }: Opportunity,
  { crm, erp }: LeadToCashConfig,
  tools: FlowTools,
): Promise<Customer> {
  if (!customer) throw reject('NO_CUSTOMER', `Opportunity "${key}" has no customer.`)
  const keys = await tools.counterparts('customer', { system: crm, key: customer }, erp)
  const read = await Promise.all(keys.map((one) => tools.record(erp, 'customer', one)))
  const accounts = read.filter((one) => one !== null)
  if (accounts.length === 0) {
    const message = `Nobody has linked customer "${customer}" of system "${crm}" to a customer of system "${erp}".`
    throw reject('NOT_MAPPED', message, { field: 'customer' })
  }
  const wanted = amount?.currency
  const [first] = accounts
  const fitting =
    wanted === undefined
      ? first
      : (accounts.find(({ account }) => account?.currency === wanted) ??
        accounts.find(({ account }) => !account?.currency))
  if (fitting) return fitting
  const message = `Customer "${customer}" has no account in ${wanted} in system "${erp}".`
  throw reject('NO_ACCOUNT', message, { field: 'currency' })
}

async function linesOf(
  { key, lines = [], amount }: Opportunity,
  { erp, product, linesFrom }: LeadToCashConfig,
  tools: FlowTools,
) {
  if (lines.length === 0) {
    if (product === undefined || !amount) {
      const message =
        `Opportunity "${key}" has no lines: nothing says what is sold.` +
        (product === undefined ? ' The setting flows.leadToCash.product can name what is sold then.' : '')
      throw reject('NO_LINES', message)
    }
    return [{ product, quantity: '1', unitPrice: amount.amount }]
  }
  return Promise.all(
    lines.map(async ({ product: theirs, quantity, unitPrice }, index) => {
      const own =
        linesFrom === undefined || linesFrom === erp
          ? theirs
          : (await tools.counterparts('product', { system: linesFrom, key: theirs }, erp))[0]
      if (own === undefined) {
        const message = `Nobody has linked product "${theirs}" of system "${linesFrom}" to a product of system "${erp}".`
        throw reject('NOT_MAPPED', message, { line: String(index + 1), field: 'product' })
      }
      // A price without a currency is none.
      return { product: own, quantity, ...(unitPrice && amount ? { unitPrice } : {}) }
    }),
  )
}

/** The calendar day so many days after a point in time, in UTC. */
const dayAfter = (time: string, days: number): string =>
  new Date(Date.parse(time) + days * 86_400_000).toISOString().slice(0, 10)
