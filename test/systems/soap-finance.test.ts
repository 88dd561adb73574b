import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DOMParser, type Element } from '@xmldom/xmldom'
import * as soap from 'soap'
import { afterEach, describe, expect, it } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  startSimulatorServer,
} from '../../src/simulation/server.ts'
import { pay } from '../../src/simulation/trade.ts'
import { World } from '../../src/simulation/world.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import { signWebhook } from '../../src/systems/kit/signature.ts'
import type { Adapter, CallContext, PaymentCreate, RecordPort } from '../../src/systems/port.ts'
import { createSoapFinance } from '../../src/systems/soap-finance/adapter.ts'
import { soapFinanceConfig } from '../../src/systems/soap-finance/config.ts'
import {
  answers,
  businessFault,
  type Member,
  requests,
  type Shape,
} from '../../src/systems/soap-finance/contract.ts'
import { readDate, readDateTime, readDecimal } from '../../src/systems/soap-finance/mapping.ts'
import { passwordDigest, securityHeader } from '../../src/systems/soap-finance/security-header.ts'
import {
  type SoapFinanceSimulatorOptions,
  startSoapFinanceSimulator,
} from '../../src/systems/soap-finance/simulator.ts'

const context: CallContext = { caller: gatewayCaller }
const WSDL = new URL('../../src/systems/soap-finance/finance.wsdl', import.meta.url).pathname
const NS = 'http://finance.company.com/webservice'
/** Only what is written by hand in the seed: three invoices, one payment. */
const SMALL = { customers: 5, products: 5, orders: 8 }

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function connect(baseUrl: string, settings: Record<string, unknown> = {}, timeoutMs = 2_000): Adapter {
  const config = soapFinanceConfig.parse({
    baseUrl,
    username: 'gateway',
    password: 'finance-demo',
    webhook: { secret: 'hook-secret' },
    ...settings,
  })
  const adapter = createSoapFinance(config, { systemId: 'fin', log: silentLog, timeoutMs })
  cleanups.push(() => adapter.close())
  return adapter
}

async function start(
  settings: Record<string, unknown> = {},
  options: SoapFinanceSimulatorOptions = {},
  world = new World(SMALL),
  timeoutMs?: number,
) {
  const simulator = await startSoapFinanceSimulator(world, options)
  cleanups.push(() => simulator.close())
  return { world, simulator, ...portsOf(connect(simulator.url, settings, timeoutMs)) }
}

/** A server that says one thing, whatever it is asked. */
async function answering(
  answer: SimulatedResponse | ((request: SimulatedRequest) => SimulatedResponse),
  settings: Record<string, unknown> = {},
) {
  const seen: string[] = []
  const server = await startSimulatorServer({
    handle: (request) => {
      seen.push(request.body.toString('utf8'))
      return typeof answer === 'function' ? answer(request) : answer
    },
  })
  cleanups.push(() => server.close())
  return { server, seen, ...portsOf(connect(server.url, settings)) }
}

function portsOf(adapter: Adapter) {
  const { customer, product, invoice, payment, receivable } = adapter.ports
  if (!customer || !product || !invoice || !payment || !receivable) throw new Error('a port is missing')
  return { adapter, customer, product, invoice, payment, receivable }
}

function value<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`failed: ${JSON.stringify(outcome)}`)
  return outcome.value
}

function failure(outcome: Outcome<unknown> | undefined) {
  if (!outcome || outcome.ok) throw new Error(`did not fail: ${JSON.stringify(outcome)}`)
  return outcome.failure
}

const XML = { 'content-type': 'text/xml; charset=utf-8' }
const envelope = (body: string) =>
  `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsse="w" xmlns="${NS}"><S:Body>${body}</S:Body></S:Envelope>`
const answer = (body: string, status = 200): SimulatedResponse => ({
  status,
  headers: XML,
  body: envelope(body),
})
const fault = (code: string, text: string, detail = '', status = 500) =>
  answer(
    `<S:Fault><faultcode>${code}</faultcode><faultstring>${text}</faultstring>${detail && `<detail>${detail}</detail>`}</S:Fault>`,
    status,
  )
const invoiceXml = (number: string, more = '') =>
  `<Invoice><InvoiceNo>${number}</InvoiceNo><Kind>STANDARD</Kind><CustomerNo>D-1</CustomerNo><IssueDate>2026-03-01</IssueDate><Currency>CNY</Currency><GrossAmount>10.00</GrossAmount><Status>OPEN</Status>${more}</Invoice>`

describe('reading', () => {
  it('answers invoices in the order of the keys, duplicates and unknown ones included, in one call', async () => {
    const { invoice, simulator } = await start()
    const keys = ['INV-000003', 'nobody', 'INV-000001', 'INV-000003', 'INV-000002']
    const outcomes = await invoice.readMany(keys, context)
    expect(outcomes.map((one) => value(one)?.key ?? null)).toEqual([
      'INV-000003',
      null,
      'INV-000001',
      'INV-000003',
      'INV-000002',
    ])
    expect(simulator.calls).toEqual(['GetInvoice'])
    // 100 × 12.80 + 33 × 48.335 + 7 × 45.9183, 13 % tax, of which 1,000 are paid.
    expect(value(outcomes[2])).toEqual({
      key: 'INV-000001',
      number: 'INV-000001',
      type: 'STANDARD',
      customer: 'D-00003',
      orderNumbers: ['1003'],
      issueDate: '2026-05-22',
      dueDate: '2026-06-21',
      status: 'PARTIALLY_PAID',
      vendorStatus: 'PART_PAID',
      totals: {
        net: { amount: '3196.49', currency: 'CNY' },
        tax: { amount: '415.54', currency: 'CNY' },
        gross: { amount: '3612.03', currency: 'CNY' },
      },
      paid: { amount: '1000.00', currency: 'CNY' },
      open: { amount: '2612.03', currency: 'CNY' },
      lines: [
        line('1', 'M-1011', '精密轴承 6204', '100', '12.8000', '1280.00'),
        line('2', expect.any(String), expect.any(String), '33', '48.3350', '1595.06'),
        line('3', expect.any(String), expect.any(String), '7', '45.9183', '321.43'),
      ],
      taxInvoices: [
        {
          kind: '增值税专用发票',
          code: '3100224130',
          number: '08123457',
          issuedOn: '2026-05-22',
          redLetterOf: null,
          file: 'https://finance.example.com/tax-invoices/3100224130-08123457.ofd',
        },
      ],
      externalReference: null,
      createdAt: '2026-05-22T09:00:00.000Z',
      updatedAt: '2026-06-01T09:00:00.000Z',
      version: '2026-06-01T09:00:00.000Z',
    })
    // Yen have no decimals.
    expect(value(outcomes[0])?.totals.gross).toEqual({ amount: '17001', currency: 'JPY' })
    expect(value(outcomes[4])?.open).toEqual({ amount: '1050.90', currency: 'EUR' })
    expect(value(outcomes[4])?.taxInvoices).toEqual([])

    function line(id: string, product: string, description: string, ...figures: string[]) {
      const [quantity, price, net] = figures
      return {
        id,
        product,
        description,
        quantity: { value: quantity, unit: null, vendorUnit: null },
        unitPrice: { amount: { amount: price, currency: 'CNY' }, per: '1', taxIncluded: false },
        taxRate: '13',
        net: { amount: net, currency: 'CNY' },
        tax: null,
        gross: null,
        orderNumber: '1003',
      }
    }
  })

  it('finds invoices by order number and by customer, many at once', async () => {
    const { invoice, simulator } = await start()
    const byOrder = await invoice.lookups?.byOrderNumber?.read(['1021', '1006', '1003', '1021'], context)
    expect(byOrder?.map((one) => value(one).map((found) => found.key))).toEqual([
      ['INV-000003'],
      [],
      ['INV-000001'],
      ['INV-000003'],
    ])
    const byCustomer = await invoice.lookups?.byCustomer?.read(['D-00006', 'D-00009'], context)
    expect(byCustomer?.map((one) => value(one).map((found) => found.key))).toEqual([['INV-000002'], []])
    expect(simulator.calls).toEqual(['FindInvoices', 'FindInvoices'])
  })

  it('reads lookups to the end, page by page', async () => {
    const world = new World()
    const { invoice, simulator } = await start({ pageSize: 7 }, {}, world)
    const count = new Map<string, number>()
    for (const one of world.all('financeInvoices'))
      count.set(one.customerNo, (count.get(one.customerNo) ?? 0) + 1)
    const keys = [...count.keys()].slice(0, 30)
    const groups = await invoice.lookups?.byCustomer?.read(keys, context)
    expect(groups?.map((one) => value(one).length)).toEqual(keys.map((key) => count.get(key)))
    const total = keys.reduce((sum, key) => sum + (count.get(key) ?? 0), 0)
    expect(simulator.calls).toHaveLength(Math.ceil(total / 7))
  })

  it('gives payments with what they settle', async () => {
    const { payment } = await start()
    const [one, none] = await payment.readMany(['PAY-000001', 'PAY-9'], context)
    expect(value(one)).toEqual({
      key: 'PAY-000001',
      number: 'PAY-000001',
      customer: 'D-00003',
      date: '2026-06-01',
      amount: { amount: '1000.00', currency: 'CNY' },
      method: 'TRANSFER',
      reference: '首付款',
      externalReference: 'seed-1',
      status: 'POSTED',
      vendorStatus: 'POSTED',
      applications: [
        { invoice: 'INV-000001', amount: { amount: '1000.00', currency: 'CNY' }, discount: null },
      ],
      unapplied: { amount: '0.00', currency: 'CNY' },
      createdAt: '2026-06-01T09:00:00.000Z',
      updatedAt: '2026-06-01T09:00:00.000Z',
      version: '2026-06-01T09:00:00.000Z',
    })
    expect(value(none)).toBeNull()
    const byInvoice = await payment.lookups?.byInvoice?.read(['INV-000002', 'INV-000001'], context)
    expect(byInvoice?.map((group) => value(group).map((found) => found.key))).toEqual([[], ['PAY-000001']])
    const byCustomer = await payment.lookups?.byCustomer?.read(['D-00003'], context)
    expect(byCustomer?.map((group) => value(group).length)).toEqual([1])
  })

  it('gives what customers owe, a balance per currency, overdue as of the company’s day', async () => {
    // 2026-06-21 16:30 UTC is already the 22nd in China, the day after the first invoice was due.
    const now = new Date('2026-06-21T16:30:00Z')
    const world = new World(SMALL)
    const simulator = await startSoapFinanceSimulator(world, {})
    const dated = await startSoapFinanceSimulator(world, { now: () => now, passwordType: 'text' })
    cleanups.push(
      () => simulator.close(),
      () => dated.close(),
    )
    const { receivable } = portsOf(connect(simulator.url))
    const [yuan, unknown, none] = await receivable.readMany(['D-00003', 'nobody', 'D-00009'], context)
    expect(value(yuan)?.balances).toEqual([
      { open: { amount: '2612.03', currency: 'CNY' }, overdue: { amount: '2612.03', currency: 'CNY' } },
    ])
    expect(value(unknown)).toBeNull()
    expect(value(none)?.balances).toEqual([])
    const text = { passwordType: 'text', nonce: false, created: false, timestamp: false }
    const then = portsOf(connect(dated.url, { security: text }))
    const [first, second] = await then.receivable.readMany(['D-00003', 'D-00006'], context)
    expect(value(first)).toMatchObject({ key: 'D-00003', customer: 'D-00003', asOf: '2026-06-22' })
    expect(value(first)?.balances[0]?.overdue).toEqual({ amount: '2612.03', currency: 'CNY' })
    expect(value(second)?.balances).toEqual([
      { open: { amount: '1050.90', currency: 'EUR' }, overdue: { amount: '0.00', currency: 'EUR' } },
    ])
  })

  it('gives customers their tax number and products their barcode, by which they are matched', async () => {
    const { customer, product } = await start()
    const [chenguang] = await customer.readMany(['D-00003'], context)
    expect(value(chenguang)).toMatchObject({
      key: 'D-00003',
      name: '上海晨光精密机械有限公司',
      taxNumber: '91310001MA1K007919',
    })
    const [missing, bearing] = await product.readMany(['M-1', 'M-1011'], context)
    expect(value(missing)).toBeNull()
    expect(value(bearing)).toEqual({
      key: 'M-1011',
      sku: 'M-1011',
      name: '精密轴承 6204',
      barcode: '6900000104729',
    })
  })

  it('keeps emoji, markup, white space and empty texts as they are', async () => {
    const { world, customer, payment } = await start()
    const name = ' <A & "B"> ]]> \t尾\r\n🧾𠮷 &amp; '
    world.put('financeCustomers', {
      customerNo: 'X<&>"\'',
      name,
      taxNumber: '',
      updatedAt: '2026-01-01T00:00:00Z',
    })
    const [found] = await customer.readMany(['X<&>"\''], context)
    expect(value(found)).toMatchObject({ key: 'X<&>"\'', name, taxNumber: null })
    pay(world, {
      customerNo: 'D-00003',
      date: '2026-06-02',
      amount: '1.00',
      currency: 'CNY',
      method: '',
      reference: '',
      externalReference: 'r',
      applications: [],
    })
    const [paid] = await payment.readMany(['PAY-000002'], context)
    expect(value(paid)).toMatchObject({ method: '', reference: '', applications: [] })
  })

  it('does not ask for keys that no record can have, and lets them spoil no other', async () => {
    const { invoice, simulator } = await start()
    const outcomes = await invoice.readMany(['', 'x'.repeat(41), 'a\u0000b', '\ud800', 'INV-000001'], context)
    expect(outcomes.map((one) => value(one)?.key ?? null)).toEqual([null, null, null, null, 'INV-000001'])
    expect(await invoice.readMany([], context)).toEqual([])
    const nothing = await invoice.lookups?.byCustomer?.read(['\u0001'], context)
    expect(nothing?.map(value)).toEqual([[]])
    expect(simulator.calls).toEqual(['GetInvoice'])
  })
})

describe('lists', () => {
  async function walk<T extends 'invoice' | 'customer'>(
    port: RecordPort<T>,
    first: number,
    between?: () => void,
  ) {
    const keys: string[] = []
    let after: string | undefined
    for (;;) {
      const page = value(await port.list?.({ first, after }, context))
      keys.push(...page.items.map((item) => item.record.key))
      if (!page.hasMore) return keys
      after = page.items.at(-1)?.position
      between?.()
    }
  }

  it('come newest first and complete, while invoices are added', async () => {
    const world = new World()
    const { invoice } = await start({}, {}, world)
    const before = world
      .all('financeInvoices')
      .sort((a, b) =>
        a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : a.invoiceNo < b.invoiceNo ? 1 : -1,
      )
      .map((one) => one.invoiceNo)
    const [template] = world.all('financeInvoices')
    let added = 0
    const keys = await walk(invoice, 9, () => {
      if (!template) throw new Error('no invoice')
      const createdAt = new Date().toISOString()
      world.put('financeInvoices', {
        ...template,
        invoiceNo: `NEW-${added++}`,
        createdAt,
        updatedAt: createdAt,
      })
    })
    expect(before.length).toBeGreaterThan(50)
    expect(keys).toEqual(before)
  })

  it('go on over pages that the server makes shorter than asked', async () => {
    const { customer, simulator } = await start({}, { maxRows: 2 })
    expect(await walk(customer, 100)).toEqual(['D-00003', 'D-00006', 'D-00009', 'D-00012'])
    expect(simulator.calls).toEqual(['FindCustomers', 'FindCustomers'])
  })

  it('can be narrowed to a customer, and say so where they cannot search', async () => {
    const { invoice, product } = await start()
    const page = value(await invoice.list?.({ first: 5, filter: { customer: 'D-00012' } }, context))
    expect(page.items.map((item) => item.position)).toEqual(['INV-000003'])
    expect(page.hasMore).toBe(false)
    expect(failure(await invoice.list?.({ first: 5, filter: { search: 'x' } }, context)).kind).toBe(
      'unsupported',
    )
    expect(failure(await product.list?.({ first: 5, filter: { customer: 'D-1' } }, context)).kind).toBe(
      'unsupported',
    )
  })
})

describe('changes', () => {
  it('begin now, and then give what changed, oldest first', async () => {
    const { world, invoice, payment } = await start({ changeOverlapSeconds: 0 })
    const begin = value(await invoice.changes?.(null, context))
    expect(begin.records).toEqual([])
    const payments = value(await payment.changes?.(null, context))
    await new Promise((resolve) => setTimeout(resolve, 5))
    pay(world, {
      customerNo: 'D-00006',
      date: '2026-06-30',
      amount: '1050.90',
      currency: 'EUR',
      method: 'TRANSFER',
      reference: '',
      externalReference: 'x',
      applications: [{ invoiceNo: 'INV-000002', amount: '1050.90' }],
    })
    const next = value(await invoice.changes?.(begin.checkpoint, context))
    expect(next.records.map((one) => [one.key, one.status, one.open?.amount])).toEqual([
      ['INV-000002', 'PAID', '0.00'],
    ])
    expect(next.hasMore).toBe(false)
    const paid = value(await payment.changes?.(payments.checkpoint, context))
    expect(paid.records.map((one) => one.key)).toEqual(['PAY-000002'])
  })

  it('go through many with the same time, page by page, without losing or repeating any', async () => {
    const { world, invoice } = await start({ pageSize: 4, changeOverlapSeconds: 0 })
    const [template] = world.all('financeInvoices')
    if (!template) throw new Error('no invoice')
    const updatedAt = '2026-08-01T10:00:00.123Z'
    for (let n = 0; n < 10; n++) {
      world.put('financeInvoices', { ...template, invoiceNo: `SAME-${n}`, createdAt: updatedAt, updatedAt })
    }
    let checkpoint = JSON.stringify({ at: '2026-07-30T00:00:00Z' })
    const keys: string[] = []
    for (let more = true; more; ) {
      const page = value(await invoice.changes?.(checkpoint, context))
      keys.push(...page.records.map((one) => one.key))
      ;({ checkpoint, hasMore: more } = page)
    }
    expect(keys).toEqual(Array.from({ length: 10 }, (_, n) => `SAME-${n}`))
    // The next sweep looks at the last moment again: a record committed late in it must not be missed.
    const again = value(await invoice.changes?.(checkpoint, context))
    expect(again.records).toHaveLength(4)
  })

  it('look back by the overlap, for records that were committed late', async () => {
    const { world, customer } = await start({ changeOverlapSeconds: 10 })
    const at = (seconds: number) => new Date(Date.UTC(2026, 7, 1, 10, 0, seconds)).toISOString()
    const put = (customerNo: string, seconds: number) =>
      world.put('financeCustomers', { customerNo, name: 'n', taxNumber: '', updatedAt: at(seconds) })
    put('L-1', 30)
    const first = value(await customer.changes?.(JSON.stringify({ at: at(0) }), context))
    expect(first.records.map((one) => one.key)).toEqual(['L-1'])
    put('L-0', 25)
    const second = value(await customer.changes?.(first.checkpoint, context))
    expect(second.records.map((one) => one.key)).toEqual(['L-0', 'L-1'])
  })

  it('refuse a checkpoint of another kind', async () => {
    const { invoice, simulator } = await start()
    expect(failure(await invoice.changes?.('17', context)).kind).toBe('unsupported')
    expect(simulator.calls).toEqual([])
  })
})

describe('writing a payment back', () => {
  const write = { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: 'zhang.wei' }
  const input: PaymentCreate = {
    customer: 'D-00003',
    date: '2026-06-30',
    amount: { amount: '612.03', currency: 'CNY' },
    method: 'TRANSFER',
    reference: '尾款 <1> 🧾',
    applications: [{ invoice: 'INV-000001', amount: '612.03' }],
  }
  const create = (port: RecordPort<'payment'>) => {
    if (!port.create) throw new Error('no create')
    return port.create
  }

  it('settles the invoice', async () => {
    const { world, payment } = await start()
    const result = value(await create(payment).send(input, write, context))
    expect(result).toMatchObject({ key: 'PAY-000002', reached: 'effective' })
    expect(result.record).toMatchObject({
      customer: 'D-00003',
      date: '2026-06-30',
      reference: '尾款 <1> 🧾',
      externalReference: write.externalReference,
      unapplied: { amount: '0.00', currency: 'CNY' },
    })
    expect(world.get('financeInvoices', 'INV-000001')?.paid).toBe('1612.03')
    expect(world.get('financePayments', 'PAY-000002')?.reference).toBe('尾款 <1> 🧾')
  })

  it('sent twice makes one, and says so both times', async () => {
    const { world, payment } = await start()
    const first = value(await create(payment).send(input, write, context))
    const second = value(await create(payment).send(input, write, context))
    expect(second.key).toBe(first.key)
    expect(world.count('financePayments')).toBe(2)
  })

  it('is refused where another payment has taken the reference', async () => {
    const { world, payment } = await start()
    value(await create(payment).send(input, write, context))
    const other = { ...input, amount: { amount: '1.00', currency: 'CNY' }, applications: [] }
    expect(failure(await create(payment).send(other, write, context))).toEqual({
      kind: 'rejected',
      code: 'DUPLICATE',
      message: `External reference ${write.externalReference} exists`,
      field: 'ExternalReference',
      details: { PaymentNo: 'PAY-000002' },
    })
    expect(world.count('financePayments')).toBe(2)
  })

  it.each([
    ['UNKNOWN_CUSTOMER', { customer: 'D-0' }, 'CustomerNo'],
    ['CUSTOMER_MISMATCH', { customer: 'D-00006' }, 'InvoiceNo'],
    ['UNKNOWN_INVOICE', { applications: [{ invoice: 'INV-0', amount: '1' }] }, 'InvoiceNo'],
    ['CURRENCY_MISMATCH', { amount: { amount: '700', currency: 'USD' } }, 'InvoiceNo'],
    ['INVALID_AMOUNT', { amount: { amount: '0.00', currency: 'CNY' } }, 'Amount'],
    ['INVALID_AMOUNT', { amount: { amount: '-5', currency: 'CNY' } }, 'Amount'],
    ['INVALID_AMOUNT', { amount: { amount: '5.005', currency: 'CNY' } }, 'Amount'],
    ['OVER_APPLIED', { amount: { amount: '600.00', currency: 'CNY' } }, 'Amount'],
  ])('is rejected by rule %s: %j', async (code, change, field) => {
    const { world, payment } = await start()
    const result = failure(await create(payment).send({ ...input, ...change }, write, context))
    expect(result).toMatchObject({ kind: 'rejected', code, field })
    expect(world.count('financePayments')).toBe(1)
  })

  it('lets off a discount: the invoice is settled by both', async () => {
    const custom = { customFields: { payment: { bank: '开户行' } } }
    const { payment, invoice, receivable } = await start(custom, { customNames: ['开户行'] })
    const discounted: PaymentCreate = {
      customer: 'D-00003',
      date: '2026-06-30',
      amount: { amount: '2600.00', currency: 'CNY' },
      applications: [{ invoice: 'INV-000001', amount: '2600.00', discount: '12.03' }],
      customFields: { bank: '招商银行' },
    }
    const write = { externalReference: 'ef'.repeat(16), onBehalfOf: 'zhang.wei' }
    expect(payment.create?.takes).toEqual(['applications.discount', 'customFields'])
    expect(payment.create?.preview(discounted, write).body).toContain('<fin:Discount>12.03</fin:Discount>')
    const { record } = value(await payment.create?.send(discounted, write, context))
    expect(record).toMatchObject({
      applications: [{ amount: { amount: '2600.00' }, discount: { amount: '12.03', currency: 'CNY' } }],
      unapplied: { amount: '0.00' },
      customFields: { bank: '招商银行' },
    })
    // 3,612.03 less the first 1,000.00, 2,600.00 and what was let off.
    const [settled] = await invoice.readMany(['INV-000001'], context)
    expect(value(settled)).toMatchObject({ status: 'PAID', open: { amount: '0.00' } })
    const [owed] = await receivable.readMany(['D-00003'], context)
    expect(value(owed)?.balances.map(({ open }) => open.amount)).toEqual(['0.00'])
  })

  it('tells the caller how much of an invoice is open', async () => {
    const { payment } = await start()
    const applications = [
      { invoice: 'INV-000001', amount: '2000.00' },
      { invoice: 'INV-000001', amount: '700.00' },
    ]
    const tooMuch = { ...input, amount: { amount: '2700.00', currency: 'CNY' }, applications }
    expect(failure(await create(payment).send(tooMuch, write, context))).toEqual({
      kind: 'rejected',
      code: 'OVER_APPLIED',
      message: 'Invoice INV-000001 has 2612.03 CNY open',
      field: 'InvoiceNo',
      line: '2',
      details: {
        InvoiceNo: 'INV-000001',
        OpenAmount: '2612.03',
        AppliedAmount: '2700.00',
        Currency: 'CNY',
      },
    })
  })

  it('refuses text that XML cannot carry before anything is sent', async () => {
    const { payment, simulator } = await start()
    const result = failure(await create(payment).send({ ...input, reference: 'a\u0007' }, write, context))
    expect(result).toMatchObject({ kind: 'rejected', code: 'INVALID_TEXT', field: 'reference' })
    expect(simulator.calls).toEqual([])
  })

  it.each([
    ['drop-after', true],
    ['truncate', true],
    ['html', false],
    ['hang', false],
    ['drop-before', false],
  ] as const)(
    'whose answer is lost (%s) has an unknown outcome, and is found if it took effect',
    async (kind, took) => {
      const { payment, simulator } = await start({}, {}, undefined, 300)
      simulator.setFaults([{ kind, times: 1 }])
      expect(failure(await create(payment).send(input, write, context)).kind).toBe('unknown-outcome')
      const verdict = value(await create(payment).verify(input, write, context))
      if (took) expect(verdict).toMatchObject({ effect: 'done', result: { key: 'PAY-000002' } })
      else expect(verdict).toMatchObject({ effect: 'none', proven: true })
    },
  )

  it.each([
    ['a technical fault', fault('S:Server', 'deadlock victim')],
    ['a bad gateway', { status: 502, headers: { 'content-type': 'text/html' }, body: '<html>' }],
    ['an answer cut short', { status: 200, headers: XML, body: envelope('<WriteBack').slice(0, 150) }],
    ['an answer without a number', answer('<WriteBackPaymentResponse/>')],
  ])('has an unknown outcome after %s', async (_title, response) => {
    const { payment } = await answering(response)
    expect(failure(await create(payment).send(input, write, context)).kind).toBe('unknown-outcome')
  })

  it('has not happened where the system was not reached, and verifying then fails as unavailable', async () => {
    const { payment, simulator } = await start()
    await simulator.close()
    expect(failure(await create(payment).send(input, write, context))).toMatchObject({
      kind: 'unavailable',
      reason: 'unreachable',
    })
    expect(failure(await create(payment).verify(input, write, context)).kind).toBe('unavailable')
  })

  it('is done where only the record in the answer cannot be read', async () => {
    const body =
      '<WriteBackPaymentResponse><Payment><PaymentNo>P-7</PaymentNo></Payment></WriteBackPaymentResponse>'
    const { payment } = await answering(answer(body))
    expect(value(await create(payment).send(input, write, context))).toEqual({
      key: 'P-7',
      reached: 'effective',
    })
  })

  it('can be shown beforehand, without credentials', async () => {
    const { payment } = await start()
    const preview = create(payment).preview(input, write)
    expect(preview).toMatchObject({ method: 'POST', path: '/webservice' })
    expect(preview.headers?.soapaction).toBe(`"${NS}/WriteBackPayment"`)
    expect(preview.body).toContain('<fin:RequestedBy>zhang.wei</fin:RequestedBy>')
    expect(preview.body).not.toMatch(/Security|finance-demo/)
  })
})

describe('an invoice', () => {
  const write = { externalReference: 'ab'.repeat(16), onBehalfOf: 'zhang.wei' }
  const claim = {
    customer: 'D-00003',
    orderNumbers: ['1003', '1006'],
    issueDate: '2026-11-22',
    dueDate: '2026-12-22',
    gross: { amount: '113.00', currency: 'CNY' },
    tax: '13.00',
  }
  const portOf = async (...settings: Parameters<typeof start>) => {
    const started = await start(...settings)
    const { create, actions } = started.invoice
    const cancel = actions?.cancel
    if (!create || !cancel) throw new Error('invoices cannot be written')
    return { ...started, create, cancel }
  }

  it('is booked with its orders, once, and found by its reference', async () => {
    const { world, invoice, create } = await portOf()
    expect(value(await create.verify(claim, write, context))).toMatchObject({ effect: 'none', proven: true })
    const made = value(await create.send(claim, write, context))
    expect(made.record).toMatchObject({
      orderNumbers: ['1003', '1006'],
      status: 'OPEN',
      issueDate: '2026-11-22',
      dueDate: '2026-12-22',
      totals: { net: { amount: '100.00' }, tax: { amount: '13.00' }, gross: { amount: '113.00' } },
      externalReference: write.externalReference,
    })
    const count = world.count('financeInvoices')
    expect(value(await create.send(claim, write, context)).key).toBe(made.key)
    expect(world.count('financeInvoices')).toBe(count)
    expect(value(await create.verify(claim, write, context))).toMatchObject({
      effect: 'done',
      result: { key: made.key },
    })
    const other = { ...claim, gross: { amount: '1.00', currency: 'CNY' }, tax: undefined }
    expect(failure(await create.send(other, write, context))).toMatchObject({ code: 'DUPLICATE' })
    const byOrder = await invoice.lookups?.byOrderNumber?.read(['1006'], context)
    expect(byOrder?.flatMap((one) => value(one).map(({ key }) => key))).toContain(made.key)
  })

  it('is booked by lines, with a word to it and the fields that the company added', async () => {
    const custom = { customFields: { invoice: { project: '项目号' } } }
    const { world, invoice, create } = await portOf(custom, { customNames: ['项目号'] })
    expect(create.takes).toEqual(['lines', 'comments', 'customFields'])
    const input = {
      ...claim,
      comments: '六月，轴承',
      customFields: { project: 'P-7' },
      lines: [
        { product: 'M-1011', description: '轴承', quantity: '4', unitPrice: '12.50', taxRate: '13' },
        { description: '运费', quantity: '1', unitPrice: '50' },
      ],
    }
    const shown = create.preview(input, write).body
    expect(shown).toContain('<fin:Comments>六月，轴承</fin:Comments>')
    expect(shown).toContain('<fin:Custom><fin:Name>项目号</fin:Name><fin:Value>P-7</fin:Value></fin:Custom>')
    expect(shown).toContain('<fin:LineNo>1</fin:LineNo><fin:ProductNo>M-1011</fin:ProductNo>')
    const { key, record } = value(await create.send(input, write, context))
    expect(world.get('financeInvoices', key)).toMatchObject({
      comments: '六月，轴承',
      attributes: { 项目号: 'P-7' },
      lines: [
        { lineNo: 1, productNo: 'M-1011', text: '轴承', quantity: '4', unitPrice: '12.50', taxPercent: '13' },
        { lineNo: 2, productNo: '', text: '运费', quantity: '1', unitPrice: '50' },
      ],
    })
    expect(record).toEqual(value((await invoice.readMany([key], context))[0]))
    expect(record).toMatchObject({
      customFields: { project: 'P-7' },
      lines: [
        { id: '1', product: 'M-1011', net: { amount: '50.00', currency: 'CNY' }, taxRate: '13' },
        { id: '2', product: null, description: '运费', taxRate: null },
      ],
    })
    const stranger = { ...claim, customFields: { colour: 'red' } }
    expect(failure(await create.send(stranger, write, context))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('colour'),
    })
    const nobody = { ...claim, lines: [{ product: 'M-1', quantity: '1', unitPrice: '1' }] }
    const again = { ...write, externalReference: 'cd'.repeat(16) }
    expect(failure(await create.send(nobody, again, context))).toMatchObject({
      code: 'UNKNOWN_PRODUCT',
      line: '1',
    })
  })

  it.each(['drop-after', 'truncate'] as const)('whose answer is lost (%s) is looked for', async (kind) => {
    const { create, simulator } = await portOf()
    simulator.setFaults([{ kind, times: 1 }])
    expect(failure(await create.send(claim, write, context)).kind).toBe('unknown-outcome')
    expect(value(await create.verify(claim, write, context)).effect).toBe('done')
  })

  it('is refused in a closed period, for nobody, and with figures that contradict each other', async () => {
    const { create } = await portOf({}, { closedUpTo: '2026-11-30' })
    expect(failure(await create.send(claim, write, context))).toMatchObject({
      code: 'PERIOD_CLOSED',
      field: 'IssueDate',
      reason: 'period-closed',
    })
    const later = { ...claim, issueDate: '2026-12-01' }
    expect(failure(await create.send({ ...later, customer: 'NOBODY' }, write, context))).toMatchObject({
      code: 'UNKNOWN_CUSTOMER',
    })
    expect(failure(await create.send({ ...later, net: '1.00' }, write, context))).toMatchObject({
      code: 'INVALID_AMOUNT',
      field: 'GrossAmount',
    })
  })

  it('is cancelled as often as one likes, but not when it is paid in part', async () => {
    const { world, create, cancel } = await portOf()
    const { key } = value(await create.send(claim, write, context))
    expect(value(await cancel.verify({ key }, write, context))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    expect(value(await cancel.send({ key }, write, context)).record?.status).toBe('CANCELLED')
    expect(value(await cancel.send({ key }, write, context))).toEqual({ key, reached: 'effective' })
    expect(value(await cancel.verify({ key }, write, context)).effect).toBe('done')
    expect(world.get('financeInvoices', key)?.cancelled).toBe(true)
    expect(failure(await cancel.send({ key: 'INV-000001' }, write, context))).toMatchObject({
      code: 'INVOICE_PAID',
      details: { PaidAmount: '1000.00' },
    })
    expect(failure(await cancel.send({ key: 'INV-999999' }, write, context))).toMatchObject({
      code: 'UNKNOWN_INVOICE',
    })
  })
})

describe('credentials', () => {
  it('digest as in the vector of the UsernameToken sample', () => {
    const nonce = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
    expect(passwordDigest(nonce, '2026-03-01T08:00:00Z', 'secret')).toBe('sL8t6zWNV35JdGsv5oQrt+yb9nM=')
    const config = soapFinanceConfig.parse({
      baseUrl: 'https://f.example',
      username: 'erp',
      password: 'secret',
    })
    const header = securityHeader(config, new Date('2026-03-01T08:00:00Z'), nonce)
    for (const part of [
      '<wsse:Security soap:mustUnderstand="1"',
      '<wsu:Timestamp wsu:Id="TS-1"><wsu:Created>2026-03-01T08:00:00Z</wsu:Created><wsu:Expires>2026-03-01T08:05:00Z</wsu:Expires></wsu:Timestamp>',
      '<wsse:UsernameToken wsu:Id="UT-1"><wsse:Username>erp</wsse:Username>',
      'username-token-profile-1.0#PasswordDigest">sL8t6zWNV35JdGsv5oQrt+yb9nM=</wsse:Password>',
      '#Base64Binary">AAECAwQFBgcICQoLDA0ODw==</wsse:Nonce><wsu:Created>2026-03-01T08:00:00Z</wsu:Created></wsse:UsernameToken>',
    ]) {
      expect(header).toContain(part)
    }
  })

  it('as text are sent without nonce and time where the server wants that', async () => {
    const plain = {
      passwordType: 'text',
      nonce: false,
      created: false,
      timestamp: false,
      mustUnderstand: false,
    }
    const { invoice } = await start(
      { security: plain, password: '<&>密' },
      { passwordType: 'text', password: '<&>密' },
    )
    expect(value((await invoice.readMany(['INV-000001'], context))[0])?.key).toBe('INV-000001')
  })

  it('go as the header element Authorization where the server knows no WS-Security', async () => {
    const config = soapFinanceConfig.parse({
      baseUrl: 'https://f.example',
      username: 'erp',
      password: 'secret',
      security: { profile: 'authorization' },
    })
    // printf erp:secret | base64
    expect(securityHeader(config, new Date(), Buffer.alloc(16))).toBe(
      '<auth:Authorization xmlns:auth="http://schemas.xmlsoap.org/ws/2002/12/secext">Basic ZXJwOnNlY3JldA==</auth:Authorization>',
    )
    const security = { profile: 'authorization' }
    const { invoice } = await start({ security, password: '<&>密' }, { basicHeader: true, password: '<&>密' })
    expect(value((await invoice.readMany(['INV-000001'], context))[0])?.key).toBe('INV-000001')
    const token = await start({}, { basicHeader: true })
    expect(failure((await token.invoice.readMany(['INV-000001'], context))[0]).kind).toBe('unauthorized')
    const wrong = await start({ security, password: 'wr0ng-Passw0rd' }, { basicHeader: true })
    const refused = failure((await wrong.invoice.readMany(['INV-000001'], context))[0])
    expect(refused).toMatchObject({ kind: 'unauthorized', detail: expect.stringContaining('Basic ***') })
    expect(wrong.simulator.calls).toHaveLength(1)
  })

  it('go as HTTP Basic where the server wants that, and no header element beside', async () => {
    const basic = { security: { profile: 'basic' }, password: 'geheim' }
    const { invoice, simulator } = await start(basic, { httpBasic: true, password: 'geheim' })
    expect(value((await invoice.readMany(['INV-000001'], context))[0])?.key).toBe('INV-000001')
    const wrong = portsOf(connect(simulator.url, { ...basic, password: 'falsch' }))
    expect(failure((await wrong.invoice.readMany(['INV-000001'], context))[0]).kind).toBe('unauthorized')
    const far = { baseUrl: 'http://f.example', username: 'u', password: 'p', security: { profile: 'basic' } }
    expect(soapFinanceConfig.safeParse(far).error?.issues.map(({ path }) => path.join('.'))).toEqual([
      'security.profile',
    ])
    // RFC 7617: user and password in Base64, "gateway:finance-demo".
    let head: Record<string, unknown> = {}
    const heard = await answering(
      (request) => {
        head = request.headers
        return answer(`<GetInvoiceResponse>${invoiceXml('I-1')}</GetInvoiceResponse>`)
      },
      { security: { profile: 'basic' } },
    )
    await heard.invoice.readMany(['I-1'], context)
    expect(head.authorization).toBe('Basic Z2F0ZXdheTpmaW5hbmNlLWRlbW8=')
    expect(heard.seen[0]).not.toContain('Header')
  })

  it('are refused by the configuration where they would travel readable', () => {
    const open = { baseUrl: 'http://f.example', username: 'erp', password: 'secret' }
    const parsed = soapFinanceConfig.safeParse({ ...open, security: { profile: 'authorization' } })
    expect(parsed.error?.issues[0]?.message).toContain('sends the password readable')
  })

  it('that are refused are unauthorized, asked once, and named nowhere', async () => {
    const { invoice, payment, simulator, adapter } = await start({ password: 'wr0ng-Passw0rd' })
    const outcomes = await invoice.readMany(['INV-000001', 'INV-000002'], context)
    expect(outcomes.map((one) => failure(one).kind)).toEqual(['unauthorized', 'unauthorized'])
    expect(simulator.calls).toHaveLength(1)
    const amount = { amount: '1', currency: 'CNY' }
    const input = { customer: 'D-00003', date: '2026-06-30', amount, applications: [] }
    const sent = await payment.create?.send(input, { externalReference: 'r', onBehalfOf: '' }, context)
    expect(failure(sent).kind).toBe('unauthorized')
    expect(failure(await adapter.health(context)).kind).toBe('unauthorized')
    expect(JSON.stringify([outcomes, sent])).not.toContain('wr0ng-Passw0rd')
  })

  it('are written new for each attempt', async () => {
    const { invoice, seen } = await answering(fault('S:Server', 'busy'))
    await invoice.readMany(['A'], context)
    await invoice.readMany(['A'], context)
    const nonces = seen.map((body) => /<wsse:Nonce[^>]*>([^<]+)</.exec(body)?.[1])
    expect(new Set(nonces).size).toBe(2)
    expect(Buffer.from(nonces[0] ?? '', 'base64')).toHaveLength(16)
  })

  it('that are too old point to the clocks', async () => {
    const { invoice } = await start({}, { now: () => new Date(Date.now() + 6 * 60_000) })
    const [outcome] = await invoice.readMany(['INV-000001'], context)
    expect(failure(outcome)).toMatchObject({
      kind: 'unavailable',
      detail: expect.stringMatching(/MessageExpired.*compare the clocks: our clock says .*, theirs /),
    })
  })

  it('echoed by a fault are masked', async () => {
    const { invoice } = await answering(fault('S:Client', 'bad password\n finance-demo!'))
    const [outcome] = await invoice.readMany(['A'], context)
    expect(failure(outcome)).toEqual({ kind: 'rejected', code: 'S:Client', message: 'bad password ***!' })
  })

  it('as text are not sent over plain http to other machines', () => {
    const settings = { username: 'u', password: 'p', security: { passwordType: 'text' } }
    const parse = (baseUrl: string) => soapFinanceConfig.safeParse({ ...settings, baseUrl })
    expect(parse('http://fin.example').error?.issues[0]?.path).toEqual(['security', 'passwordType'])
    expect(parse('https://fin.example').success).toBe(true)
  })

  it('health reaches the service with them', async () => {
    const { adapter, simulator } = await start()
    const health = value(await adapter.health(context))
    expect(health.detail).toBe('finance service at /webservice answers; its clock differs from ours by 0 s')
    expect(simulator.calls).toEqual(['FindCustomers'])
  })
})

describe('answers that are no answers', () => {
  const rejected = '<BusinessFault><Code>GL-104</Code></BusinessFault>'
  const html = (status: number, headers = {}) => ({
    status,
    headers: { 'content-type': 'text/html', ...headers },
    body: '<html><body>oops<br></body></html>',
  })
  const bomb = `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>${envelope('<GetInvoiceResponse>&b;</GetInvoiceResponse>')}`
  const xxe = `<?xml version="1.0"?>\n<!DOCTYPE x SYSTEM "file:///etc/passwd">${envelope('<GetInvoiceResponse/>')}`
  const deep = envelope(`${'<a>'.repeat(5_000)}${'</a>'.repeat(5_000)}`)
  const xml = (body: string, headers = XML): SimulatedResponse => ({ status: 200, headers, body })

  it.each<[string, SimulatedResponse, object]>([
    [
      'business fault',
      fault('S:Server', 'Period 2026-02 is closed', rejected),
      { kind: 'rejected', code: 'GL-104', message: 'Period 2026-02 is closed' },
    ],
    ['fault with status 200', fault('S:Client', 'no', rejected, 200), { kind: 'rejected', code: 'GL-104' }],
    ['client fault', fault('S:Client', 'x'), { kind: 'rejected', code: 'S:Client', message: 'x' }],
    ['server fault', fault('S:Server', 'x'), { kind: 'unavailable', reason: 'overloaded' }],
    ['code of the vendor', fault('ns1:ORA-00060', 'x'), { kind: 'unavailable', reason: 'overloaded' }],
    ['failed authentication', fault('wsse:FailedAuthentication', 'x'), { kind: 'unauthorized' }],
    ['unknown token', fault('anything:UnsupportedSecurityToken', 'x', rejected), { kind: 'unauthorized' }],
    ['dotted code', fault('S:Client.Authentication', 'x'), { kind: 'unauthorized' }],
    [
      'header not understood',
      fault('S:MustUnderstand', 'x'),
      { kind: 'unauthorized', detail: expect.stringContaining('security.mustUnderstand') },
    ],
    ['other SOAP version', fault('S:VersionMismatch', 'x'), { kind: 'unsupported' }],
    ['HTTP 401', html(401), { kind: 'unauthorized' }],
    [
      'HTTP 429',
      html(429, { 'retry-after': '7' }),
      { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7000 },
    ],
    ['HTTP 502', html(502), { kind: 'unavailable', reason: 'overloaded' }],
    ['HTTP 503', html(503, { 'retry-after': '2' }), { kind: 'unavailable', retryAfterMs: 2000 }],
    ['HTTP 503 as XML', { ...answer('<x>', 503), body: '<html><br></html>' }, { kind: 'unavailable' }],
    ['HTTP 404', html(404), { kind: 'invalid-response', detail: expect.stringContaining('check baseUrl') }],
    [
      'a redirect',
      { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
      { kind: 'invalid-response' },
    ],
    ['a page with status 200', html(200), { kind: 'invalid-response' }],
    ['nothing', { status: 200, headers: XML, body: '' }, { kind: 'invalid-response' }],
    ['truncated XML', xml(envelope('<GetInvoiceResponse><Inv').slice(0, -40)), { kind: 'invalid-response' }],
    ['another answer', answer('<GetPaymentsResponse/>'), { kind: 'invalid-response' }],
    ['another namespace', answer('<GetInvoiceResponse xmlns="urn:other"/>'), { kind: 'invalid-response' }],
    ['an answer with status 500', answer('<GetInvoiceResponse/>', 500), { kind: 'invalid-response' }],
    [
      'SOAP 1.2',
      xml('<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"/>'),
      { kind: 'invalid-response', detail: expect.stringContaining('SOAP 1.2') },
    ],
    ['entities', xml(bomb), { kind: 'invalid-response', detail: expect.stringContaining('document type') }],
    ['external entities', xml(xxe), { kind: 'invalid-response' }],
    [
      'an undeclared entity',
      answer('<GetInvoiceResponse>&nbsp;</GetInvoiceResponse>'),
      { kind: 'invalid-response' },
    ],
    ['an undeclared prefix', answer('<q:GetInvoiceResponse/>'), { kind: 'invalid-response' }],
    ['two roots', xml(`${envelope('<GetInvoiceResponse/>')}<b/>`), { kind: 'invalid-response' }],
    [
      'a name like __proto__',
      answer('<__proto__><polluted>1</polluted></__proto__>'),
      { kind: 'invalid-response' },
    ],
    ['five thousand levels', xml(deep), { kind: 'invalid-response' }],
    [
      'another encoding',
      xml(envelope('<GetInvoiceResponse/>'), { 'content-type': 'text/xml; charset=GBK' }),
      { kind: 'invalid-response', detail: expect.stringContaining('GBK') },
    ],
    [
      'five megabytes',
      xml(envelope(`<GetInvoiceResponse>${'x'.repeat(5e6)}</GetInvoiceResponse>`)),
      { kind: 'invalid-response' },
    ],
  ])('%s', async (_title, response, expected) => {
    const { invoice, server } = await answering(response)
    const outcomes = await invoice.readMany(['A', 'B'], context)
    expect(outcomes.map(failure)).toEqual([
      expect.objectContaining(expected),
      expect.objectContaining(expected),
    ])
    expect(server.calls).toHaveLength(1)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('a closed period is told apart, by the codes that the configuration gives', async () => {
    const { payment } = await start({}, { closedUpTo: '2026-05-31' })
    const amount = { amount: '1', currency: 'CNY' }
    const input = { customer: 'D-00003', date: '2026-05-31', amount, applications: [] }
    const write = { externalReference: 'c'.repeat(32), onBehalfOf: '' }
    const refused = { kind: 'rejected', code: 'PERIOD_CLOSED', reason: 'period-closed', field: 'PaymentDate' }
    expect(failure(await payment.create?.send(input, write, context))).toMatchObject(refused)
    expect(value(await payment.create?.send({ ...input, date: '2026-06-01' }, write, context)).key).toMatch(
      /^PAY-/,
    )
    const { invoice } = await answering(fault('S:Server', 'Period 2026-02 is closed', rejected))
    const told = failure((await invoice.readMany(['A'], context))[0])
    expect(told).toMatchObject({ kind: 'rejected', code: 'GL-104', reason: 'period-closed' })
    const other = await answering(fault('S:Server', '?', rejected), { periodClosedFaultCodes: ['X'] })
    expect(failure((await other.invoice.readMany(['A'], context))[0])).not.toHaveProperty('reason')
  })

  it('a fault whose code is configured as temporary may be asked again', async () => {
    const settings = { temporaryFaultCodes: ['GL-104'] }
    const { invoice } = await answering(fault('S:Server', 'closed at night', rejected), settings)
    const [outcome] = await invoice.readMany(['A'], context)
    expect(failure(outcome)).toMatchObject({ kind: 'unavailable', reason: 'overloaded' })
  })

  it.each([
    ['refuse', 'unreachable'],
    ['drop-before', 'unreachable'],
    ['truncate', 'unreachable'],
    ['hang', 'timeout'],
  ] as const)('a server that fails by %s is unavailable: %s', async (kind, reason) => {
    const { invoice, simulator } = await start({}, {}, undefined, 300)
    simulator.setFaults([{ kind }])
    const [outcome] = await invoice.readMany(['INV-000001'], context)
    expect(failure(outcome)).toMatchObject({ kind: 'unavailable', reason })
  })

  it('lets go when nobody waits any more', async () => {
    const { invoice, simulator } = await start()
    simulator.setFaults([{ kind: 'hang' }])
    const gone = new AbortController()
    const reading = invoice.readMany(['INV-000001'], { ...context, signal: gone.signal })
    setTimeout(() => gone.abort(), 50)
    expect(failure((await reading)[0])).toMatchObject({ kind: 'unavailable', reason: 'aborted' })
  })
})

describe('SOAP 1.2', () => {
  const soapVersion = '1.2' as const
  const NS12 = 'http://www.w3.org/2003/05/soap-envelope'
  const fault12 = (code: string, status: number, detail = '') => ({
    status,
    headers: { 'content-type': 'application/soap+xml; charset=utf-8' },
    body: `<e:Envelope xmlns:e="${NS12}" xmlns:wsse="w"><e:Body><e:Fault><e:Code>${code}</e:Code><e:Reason><e:Text xml:lang="en">Period 2026-02 is closed</e:Text></e:Reason>${detail}</e:Fault></e:Body></e:Envelope>`,
  })

  it('is spoken where the service wants it: envelope, media type and action', async () => {
    const { invoice, payment, simulator } = await start({ soapVersion }, { soapVersion })
    expect(value((await invoice.readMany(['INV-000001'], context))[0])?.key).toBe('INV-000001')
    const stranger = { customer: 'NOBODY', date: '2026-06-30', amount: { amount: '1.00', currency: 'CNY' } }
    const write = { externalReference: '12'.repeat(16), onBehalfOf: '' }
    const refused = await payment.create?.send({ ...stranger, applications: [] }, write, context)
    expect(failure(refused)).toMatchObject({
      kind: 'rejected',
      code: 'UNKNOWN_CUSTOMER',
      field: 'CustomerNo',
    })
    const wrong = portsOf(connect(simulator.url, { soapVersion, password: 'falsch' }))
    expect(failure((await wrong.invoice.readMany(['INV-000001'], context))[0]).kind).toBe('unauthorized')
    const old = portsOf(connect(simulator.url))
    expect((await old.invoice.readMany(['INV-000001'], context))[0]?.ok).toBe(false)
    const request = invoice.create?.preview(
      { customer: 'C', orderNumbers: [], issueDate: '2026-01-01', gross: stranger.amount },
      write,
    )
    expect(request?.headers).toEqual({
      'content-type': `application/soap+xml; charset=utf-8; action="${NS}/WriteBackInvoice"`,
      accept: 'application/soap+xml',
    })
    expect(request?.body).toContain(`xmlns:soap="${NS12}"`)
  })

  it('is understood by an independent client, which the simulator serves', async () => {
    const simulator = await startSoapFinanceSimulator(new World(SMALL), { soapVersion })
    cleanups.push(() => simulator.close())
    const endpoint = `${simulator.url}/webservice`
    const client = await soap.createClientAsync(WSDL, { endpoint, forceSoap12Headers: true })
    client.setSecurity(
      new soap.WSSecurity('gateway', 'finance-demo', { passwordType: 'PasswordDigest', hasNonce: true }),
    )
    const [found] = await client.GetInvoiceAsync({ invoiceId: ['INV-000002'] })
    expect(found.Invoice.map((one: { InvoiceNo: string }) => one.InvoiceNo)).toEqual(['INV-000002'])
  })

  it.each([
    [
      'a business fault',
      fault12(
        '<e:Value>e:Receiver</e:Value>',
        500,
        '<e:Detail><f:BusinessFault xmlns:f="urn:example:finance"><f:Code>GL-104</f:Code></f:BusinessFault></e:Detail>',
      ),
      { kind: 'rejected', code: 'GL-104', reason: 'period-closed', message: 'Period 2026-02 is closed' },
    ],
    [
      'the caller’s fault',
      fault12('<e:Value>e:Sender</e:Value>', 400),
      { kind: 'rejected', code: 'e:Sender', message: 'Period 2026-02 is closed' },
    ],
    [
      'a failed login',
      fault12(
        '<e:Value>e:Sender</e:Value><e:Subcode><e:Value>wsse:FailedAuthentication</e:Value></e:Subcode>',
        400,
      ),
      { kind: 'unauthorized' },
    ],
    ['the service’s own trouble', fault12('<e:Value>e:Receiver</e:Value>', 500), { kind: 'unavailable' }],
    [
      'an answer in the other version',
      answer('<GetInvoiceResponse/>'),
      { kind: 'invalid-response', detail: expect.stringContaining('soapVersion') },
    ],
  ])('%s is told apart', async (_what, said, expected) => {
    const { invoice } = await answering(said, { soapVersion })
    expect(failure((await invoice.readMany(['I-1'], context))[0])).toMatchObject(expected)
  })
})

describe('answers of real servers', () => {
  it('in one-element lists, CDATA, other prefixes, without prefixes, nil and zoned dates', async () => {
    const body = `<x:GetInvoiceResponse xmlns:x="${NS}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
      <!-- comment --><Invoice xmlns=""><InvoiceNo><![CDATA[A&lt;1]]></InvoiceNo><Kind>CREDIT_NOTE</Kind>
      <x:CustomerNo i:nil="true"/><OrderNo/><IssueDate>2026-03-01+14:00</IssueDate><DueDate>2026-03-01-11:00</DueDate>
      <Currency> EUR </Currency><GrossAmount> +0012.50 </GrossAmount><PaidAmount>-.5</PaidAmount><Status>LOST &amp; FOUND &#x1F9FE;</Status>
      <ChangedAt>2026-07-01T08:00:00.5</ChangedAt><Surprise><Deep/></Surprise></Invoice></x:GetInvoiceResponse>`
    const { invoice } = await answering(answer(body), { timeZone: 'Europe/Berlin' })
    const [outcome] = await invoice.readMany(['A&lt;1'], context)
    expect(value(outcome)).toMatchObject({
      key: 'A&lt;1',
      type: 'CREDIT_NOTE',
      customer: null,
      orderNumbers: [''],
      issueDate: '2026-03-01',
      dueDate: '2026-03-01',
      status: 'UNKNOWN',
      vendorStatus: 'LOST & FOUND 🧾',
      totals: { net: null, tax: null, gross: { amount: '12.50', currency: 'EUR' } },
      paid: { amount: '-0.5', currency: 'EUR' },
      open: null,
      updatedAt: '2026-07-01T08:00:00.5+02:00',
    })
  })

  it('that mention a document type in a comment or in CDATA are read', async () => {
    const comment = '<!-- <![CDATA[ <!DOCTYPE a> --><!-- ]]> -->'
    const reference = '<Reference><![CDATA[<!-- <!DOCTYPE b>]]></Reference>'
    const payment = `<Payment><PaymentNo>P</PaymentNo><Currency>CNY</Currency><Amount>1</Amount>${reference}</Payment>`
    const ports = await answering(answer(`<GetPaymentsResponse>${comment}${payment}</GetPaymentsResponse>`))
    expect(value((await ports.payment.readMany(['P'], context))[0])?.reference).toBe('<!-- <!DOCTYPE b>')
  })

  it('in several parts, though nobody asked for attachments', async () => {
    const part = envelope(`<GetInvoiceResponse>${invoiceXml('A')}</GetInvoiceResponse>`)
    const body = `--uuid:1\r\nContent-Type: application/xop+xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n${part}\r\n--uuid:1--`
    const headers = { 'content-type': 'multipart/related; type="application/xop+xml"; boundary="uuid:1"' }
    const { invoice } = await answering({ status: 200, headers, body })
    expect(value((await invoice.readMany(['A'], context))[0])?.key).toBe('A')
  })

  it('with a broken record fail for that record only', async () => {
    const broken = invoiceXml('B').replace('10.00', '1e3')
    const { invoice } = await answering(
      answer(`<GetInvoiceResponse>${invoiceXml('A')}${broken}${invoiceXml('C')}</GetInvoiceResponse>`),
    )
    const [a, b, c, d] = await invoice.readMany(['A', 'B', 'C', 'D'], context)
    expect([value(a)?.key, value(c)?.key, value(d)]).toEqual(['A', 'C', null])
    expect(failure(b)).toEqual({
      kind: 'invalid-response',
      detail: 'invoice: GrossAmount is not an xs:decimal',
    })
  })

  it('with a record that has no number never pass for "there is none"', async () => {
    const nameless = invoiceXml('')
    const { invoice } = await answering(
      answer(`<GetInvoiceResponse>${invoiceXml('A')}${nameless}</GetInvoiceResponse>`),
    )
    const [a, b] = await invoice.readMany(['A', 'B'], context)
    expect(value(a)?.key).toBe('A')
    expect(failure(b).kind).toBe('invalid-response')
  })

  it('with a single value given twice are refused for that record', async () => {
    const twice = invoiceXml('A', '<OpenAmount>1</OpenAmount><OpenAmount>2</OpenAmount>')
    const { invoice } = await answering(answer(`<GetInvoiceResponse>${twice}</GetInvoiceResponse>`))
    expect(failure((await invoice.readMany(['A'], context))[0]).kind).toBe('invalid-response')
  })

  it('that promise more and lead nowhere end', async () => {
    const page = `<FindInvoicesResponse>${invoiceXml('A')}<More>true</More><ServerTime>2026-01-01T00:00:00Z</ServerTime></FindInvoicesResponse>`
    const { invoice, server } = await answering(answer(page))
    const found = await invoice.lookups?.byCustomer?.read(['D-1'], context)
    expect(failure(found?.[0]).kind).toBe('invalid-response')
    expect(server.calls).toHaveLength(2)
  })

  it('under other names are read by configuration', async () => {
    const body = `<r:QueryResult xmlns:r="urn:fin:2"><r:Bill><r:Number>A</r:Number><r:CustomerNo>D</r:CustomerNo><r:SalesOrder>1</r:SalesOrder><r:SalesOrder>2</r:SalesOrder><r:Currency>CNY</r:Currency></r:Bill></r:QueryResult>`
    let action: unknown
    const { invoice, seen } = await answering(
      (request) => {
        action = request.headers.soapaction
        return request.path === '/fin/v2' ? answer(body) : { status: 404 }
      },
      {
        path: '/fin/v2',
        namespace: 'urn:fin:2',
        prefix: 'q',
        qualified: false,
        soapAction: 'urn:{operation}',
        names: {
          GetInvoice: 'Query',
          GetInvoiceResponse: 'QueryResult',
          invoiceId: 'Id',
          Invoice: 'Bill',
          'Invoice.InvoiceNo': 'Number',
          OrderNo: 'SalesOrder',
        },
      },
    )
    const [outcome] = await invoice.readMany(['A'], context)
    expect(value(outcome)).toMatchObject({ key: 'A', customer: 'D', orderNumbers: ['1', '2'] })
    expect(action).toBe('"urn:Query"')
    expect(seen[0]).toContain('<q:Query xmlns:q="urn:fin:2"><Id>A</Id></q:Query>')
  })

  it('cannot be configured by names that the contract does not have', () => {
    const settings = { baseUrl: 'https://f.example', username: 'u', password: 'p' }
    const result = soapFinanceConfig.safeParse({
      ...settings,
      names: { Invoce: 'x', Invoice: '<' },
      colour: 1,
    })
    expect(result.error?.issues.map((issue) => issue.path.join('.')).sort()).toEqual([
      '',
      'names.Invoce',
      'names.Invoice',
    ])
  })

  it('cannot be configured so that two elements of one record are called alike', () => {
    const settings = { baseUrl: 'https://f.example', username: 'u', password: 'p' }
    const parse = (names: object) => soapFinanceConfig.safeParse({ ...settings, names })
    const [issue] = parse({ NetAmount: 'Amount', 'Invoice.GrossAmount': 'Amount' }).error?.issues ?? []
    expect(issue).toMatchObject({
      path: ['names', 'GrossAmount'],
      message: '"Amount" is also the name of NetAmount',
    })
    expect(
      parse({ GetInvoice: 'Query', FindInvoices: 'Query', InvoiceNo: 'No', PaymentNo: 'No' }).success,
    ).toBe(true)
  })

  it('are configured as the README shows', async () => {
    const { readFile } = await import('node:fs/promises')
    const readme = await readFile(
      new URL('../../src/systems/soap-finance/README.md', import.meta.url),
      'utf8',
    )
    const samples = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => parseYaml(yaml ?? ''))
    expect(samples).toHaveLength(5)
    for (const sample of samples) {
      expect(() => soapFinanceConfig.parse({ ...samples[0], ...sample })).not.toThrow()
    }
  })
})

describe('elements without content', () => {
  it('are no numbers and no days; words of the contract are known in any case', async () => {
    const more = '<DueDate/><TaxAmount></TaxAmount><ChangedAt> </ChangedAt>'
    const { invoice } = await answering(
      answer(
        `<GetInvoiceResponse>${invoiceXml('A', more).replace('STANDARD', 'Standard')}</GetInvoiceResponse>`,
      ),
    )
    const [read] = await invoice.readMany(['A'], context)
    expect(value(read)).toMatchObject({
      type: 'STANDARD',
      dueDate: null,
      totals: { tax: null },
      updatedAt: null,
    })
  })
})

describe('simple types', () => {
  it.each([
    ['0', '0'],
    ['+1.50', '1.50'],
    ['-007.10', '-7.10'],
    ['.5', '0.5'],
    ['5.', '5'],
    ['-0.00', '0.00'],
    [
      '123456789012345678901234567890.000000000000000001',
      '123456789012345678901234567890.000000000000000001',
    ],
    ['1e3', undefined],
    ['1,000.00', undefined],
    ['.', undefined],
    ['', undefined],
    ['INF', undefined],
  ])('decimal %s', (given, expected) => expect(readDecimal(given)).toBe(expected))

  it.each([
    ['2026-03-01', '2026-03-01'],
    ['2026-03-01Z', '2026-03-01'],
    ['2026-03-01+08:00', '2026-03-01'],
    ['2024-02-29-10:00', '2024-02-29'],
    ['2026-02-29', undefined],
    ['2026-03-01T00:00:00', undefined],
    ['01.03.2026', undefined],
  ])('date %s', (given, expected) => expect(readDate(given)).toBe(expected))

  it.each([
    ['2026-03-01T10:00:00Z', 'UTC', '2026-03-01T10:00:00Z'],
    ['2026-03-01T10:00:00-05:00', '+08:00', '2026-03-01T10:00:00-05:00'],
    ['2026-03-01T10:00:00.123456', '+08:00', '2026-03-01T10:00:00.123456+08:00'],
    ['2026-01-15T10:00:00', 'Europe/Berlin', '2026-01-15T10:00:00+01:00'],
    ['2026-03-29T01:59:59', 'Europe/Berlin', '2026-03-29T01:59:59+01:00'],
    ['2026-03-29T03:00:00', 'Europe/Berlin', '2026-03-29T03:00:00+02:00'],
    ['2026-06-01T00:00:00', 'Asia/Shanghai', '2026-06-01T00:00:00+08:00'],
    ['2026-06-01T00:00:00', 'UTC', '2026-06-01T00:00:00+00:00'],
    ['2026-13-01T00:00:00', 'UTC', undefined],
    ['2026-06-01', 'UTC', undefined],
  ])('time %s in %s', (given, zone, expected) => expect(readDateTime(given, zone)).toBe(expected))
})

describe('webhooks', () => {
  const now = new Date('2026-07-01T08:00:00Z')
  const seconds = now.getTime() / 1000
  const event = (change: object = {}) => ({
    id: 'e-1',
    event: 'invoice.paid',
    timestamp: '2026-07-01T07:59:58Z',
    source: 'finance',
    data: { externalId: 'INV-000001' },
    ...change,
  })
  async function receive(body: unknown, secret = 'hook-secret', id = 'e-1') {
    const { adapter } = await start()
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': signWebhook(secret, id, seconds, bytes),
    }
    return adapter.webhook?.receive({ headers, body: bytes }, now)
  }

  it.each([
    ['invoice.paid', 'invoice', 'updated'],
    ['invoice.created', 'invoice', 'created'],
    ['invoice.overdue', 'invoice', 'updated'],
    ['payment.created', 'payment', 'created'],
    ['customer.deleted', 'customer', 'deleted'],
  ])('%s tells of a record', async (name, type, change) => {
    expect(await receive(event({ event: name }))).toEqual({
      ok: true,
      notifications: [{ id: 'e-1', type, key: 'INV-000001', change, time: '2026-07-01T07:59:58Z' }],
    })
  })

  it('of records that are not kept here are received and mean nothing', async () => {
    expect(await receive(event({ event: 'ledger.closed' }))).toEqual({ ok: true, notifications: [] })
    expect(await receive(event({ event: 'constructor.created' }))).toEqual({ ok: true, notifications: [] })
  })

  it('are refused without the right signature, and where the body is none', async () => {
    expect(await receive(event(), 'other')).toMatchObject({ ok: false, reason: 'signature' })
    expect(await receive('{')).toMatchObject({ ok: false, reason: 'malformed' })
    expect(await receive(event({ data: {} }))).toMatchObject({ ok: false, reason: 'malformed' })
    expect(await receive(event(), 'hook-secret', 'e-2')).toMatchObject({ ok: false, reason: 'malformed' })
    expect(await receive(event({ timestamp: 'yesterday' }))).toMatchObject({ ok: false, reason: 'malformed' })
  })

  it('are posted by the simulator, and again with the same id until they are taken', async () => {
    const world = new World(SMALL)
    const received: { id: string; body: Buffer; headers: Record<string, string | undefined> }[] = []
    const receiver = await startSimulatorServer({
      handle: ({ headers, body }) => {
        received.push({ id: String(headers['webhook-id']), body, headers: headers as Record<string, string> })
        return { status: received.length === 1 ? 503 : 204 }
      },
    })
    cleanups.push(() => receiver.close())
    const webhook = { url: () => `${receiver.url}/hooks/fin`, secret: 'hook-secret' }
    const { adapter } = await start({}, { webhook }, world)
    pay(world, {
      customerNo: 'D-00006',
      date: '2026-06-30',
      amount: '1050.90',
      currency: 'EUR',
      method: 'TRANSFER',
      reference: '',
      externalReference: 'x',
      applications: [{ invoiceNo: 'INV-000002', amount: '1050.90' }],
    })
    await expect.poll(() => received.length, { timeout: 5_000 }).toBe(3)
    const read = received.map(({ headers, body }) => adapter.webhook?.receive({ headers, body }, new Date()))
    const changes = read.map((one) =>
      one?.ok ? one.notifications.map((n) => [n.type, n.key, n.change]) : one,
    )
    expect(changes).toEqual([
      [['payment', 'PAY-000002', 'created']],
      [['payment', 'PAY-000002', 'created']],
      [['invoice', 'INV-000002', 'updated']],
    ])
    expect(received[1]?.id).toBe(received[0]?.id)
    expect(received[2]?.id).not.toBe(received[0]?.id)
    expect(JSON.parse(received[2]?.body.toString() ?? '')).toMatchObject({
      event: 'invoice.paid',
      source: 'finance',
    })
  })
})

describe('the contract', () => {
  it('of the client is that of the WSDL: same elements, same order, same repetitions', async () => {
    const { readFile } = await import('node:fs/promises')
    const document = new DOMParser().parseFromString(await readFile(WSDL, 'utf8'), 'text/xml')
    const childrenOf = (element: Element | undefined) =>
      element ? Array.from(element.childNodes).filter((node): node is Element => node.nodeType === 1) : []
    const schema = Array.from(document.getElementsByTagName('xs:schema'))[0]
    const typed = (kind: string, name: string | null) =>
      childrenOf(schema).find((one) => one.localName === kind && one.getAttribute('name') === name)
    const shapeOf = (declaration: Element | undefined): Member => {
      const complex =
        declaration?.localName === 'complexType'
          ? declaration
          : childrenOf(declaration).find((one) => one.localName === 'complexType')
      const sequence = childrenOf(complex).find((one) => one.localName === 'sequence')
      return Object.fromEntries(
        childrenOf(sequence).map((element): [string, Member] => {
          const many = element.getAttribute('maxOccurs') === 'unbounded'
          const type = element.getAttribute('type')
          const complexType = typed('complexType', type?.slice(4) ?? null) ?? (type ? undefined : element)
          if (!complexType) return [String(element.getAttribute('name')), many ? 'many' : 'one']
          const inner = shapeOf(complexType) as Shape
          return [String(element.getAttribute('name')), many ? [inner] : inner]
        }),
      )
    }
    const written = Object.fromEntries(
      childrenOf(schema)
        .filter((one) => one.localName === 'element')
        .map((one) => [String(one.getAttribute('name')), shapeOf(one)]),
    )
    const known = {
      ...requests,
      ...Object.fromEntries(Object.entries(answers).map(([name, shape]) => [`${name}Response`, shape])),
      BusinessFault: businessFault,
    }
    expect(JSON.stringify(sorted(written))).toBe(JSON.stringify(sorted(known)))
    function sorted(record: object) {
      return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
    }
  })

  it('is understood by an independent client, which the simulator serves', async () => {
    const { simulator } = await start()
    const client = await soap.createClientAsync(WSDL, { endpoint: `${simulator.url}/webservice` })
    client.setSecurity(
      new soap.WSSecurity('gateway', 'finance-demo', {
        passwordType: 'PasswordDigest',
        hasNonce: true,
        mustUnderstand: true,
      }),
    )
    const [found] = await client.GetInvoiceAsync({ invoiceId: ['INV-000002', 'INV-000001'] })
    expect(found.Invoice.map((one: { InvoiceNo: string }) => one.InvoiceNo)).toEqual([
      'INV-000001',
      'INV-000002',
    ])
    const refused = client.WriteBackPaymentAsync({
      ExternalReference: 'r',
      CustomerNo: 'nobody',
      PaymentDate: '2026-06-30',
      Currency: 'CNY',
      Amount: '1.00',
    })
    await expect(refused).rejects.toMatchObject({
      root: { Envelope: { Body: { Fault: { detail: { BusinessFault: { Code: 'UNKNOWN_CUSTOMER' } } } } } },
    })
  })

  it('is spoken by the adapter to an independent server', async () => {
    const { readFile } = await import('node:fs/promises')
    const seen: unknown[] = []
    const http: Server = createServer()
    const service = {
      FinanceService: {
        Finance: {
          FindInvoices: (request: unknown) => {
            seen.push(request)
            const invoice = {
              InvoiceNo: 'I-1',
              Kind: 'STANDARD',
              CustomerNo: 'D-1',
              OrderNo: ['7', '8'],
              IssueDate: '2026-03-01+08:00',
              Currency: 'USD',
              GrossAmount: '10.10',
              Status: 'PAID',
              ChangedAt: '2026-03-01T00:00:00Z',
            }
            return { Invoice: invoice, More: false, ServerTime: '2026-03-01T00:00:00Z' }
          },
        },
      },
    }
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const server = soap.listen(http, {
      path: '/webservice',
      services: service,
      xml: await readFile(WSDL, 'utf8'),
    })
    server.authenticate = (security) => security?.UsernameToken?.Username === 'gateway'
    cleanups.push(() => {
      http.closeAllConnections()
      http.close()
    })
    const { invoice } = portsOf(connect(`http://127.0.0.1:${(http.address() as AddressInfo).port}`))
    const found = await invoice.lookups?.byOrderNumber?.read(['8', '9'], context)
    expect(
      found?.map((one) => value(one).map(({ key, status, issueDate }) => [key, status, issueDate])),
    ).toEqual([[['I-1', 'PAID', '2026-03-01']], []])
    expect(seen).toEqual([{ OrderNo: ['8', '9'], Limit: '200' }])
  })
})

describe('the simulator', () => {
  const nonce = () => Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
  const header = (change: { password?: string; at?: Date; nonce?: Buffer } = {}) => {
    const { password = 'finance-demo', at = new Date() } = change
    const config = soapFinanceConfig.parse({ baseUrl: 'https://f.example', username: 'gateway', password })
    return securityHeader(config, at, change.nonce ?? nonce()) ?? ''
  }
  async function post(
    url: string,
    body: string,
    change: { head?: string; headers?: Record<string, string> } = {},
  ) {
    const message = `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:fin="${NS}"><soap:Header>${change.head ?? header()}</soap:Header><soap:Body>${body}</soap:Body></soap:Envelope>`
    const headers = { 'content-type': 'text/xml; charset=utf-8', soapaction: '""', ...change.headers }
    const response = await fetch(`${url}/webservice`, { method: 'POST', body: message, headers })
    const text = await response.text()
    const read = (name: string) => new RegExp(`<${name}>([^<]*)<`).exec(text)?.[1]
    return { status: response.status, text, code: read('faultcode'), reason: read('faultstring') }
  }
  const get = '<fin:GetInvoice><fin:invoiceId>INV-000001</fin:invoiceId></fin:GetInvoice>'

  it('serves its contract', async () => {
    const { simulator } = await start()
    const response = await fetch(`${simulator.url}/webservice?wsdl`)
    expect(response.headers.get('content-type')).toBe('text/xml; charset=utf-8')
    expect(await response.text()).toContain('<wsdl:definitions name="FinanceService"')
  })

  it.each([
    ['an unknown element', get.replaceAll('invoiceId', 'InvoiceId'), 'element invoiceId is missing'],
    [
      'an element too many',
      get.replace('</fin:G', '<fin:Note/></fin:G'),
      'element Note is not expected here',
    ],
    ['no namespace', '<fin:GetInvoice><invoiceId>A</invoiceId></fin:GetInvoice>', 'namespace must be'],
    [
      'wrong order',
      '<fin:FindInvoices><fin:Limit>1</fin:Limit><fin:OrderNo>1</fin:OrderNo></fin:FindInvoices>',
      'element OrderNo is not expected',
    ],
    [
      'a wrong type',
      '<fin:FindInvoices><fin:ChangedSince>yesterday</fin:ChangedSince></fin:FindInvoices>',
      'is no xs:dateTime',
    ],
    [
      'too large a page',
      '<fin:FindInvoices><fin:Limit>201</fin:Limit></fin:FindInvoices>',
      'breaks maxInclusive',
    ],
    ['an unknown operation', '<fin:DeleteInvoice/>', 'does not exist'],
    ['an answer as a question', '<fin:GetInvoiceResponse/>', 'does not exist'],
  ])('refuses %s', async (_title, body, reason) => {
    const { simulator } = await start()
    const answered = await post(simulator.url, body)
    expect(answered).toMatchObject({ status: 500, code: 'soap:Client' })
    expect(answered.reason).toContain(reason)
  })

  it('wants SOAPAction present, quoted and right', async () => {
    const { simulator } = await start()
    const send = (soapaction: string) => post(simulator.url, get, { headers: { soapaction } })
    expect((await send(`"${NS}/GetInvoice"`)).status).toBe(200)
    expect((await send(`${NS}/GetInvoice`)).reason).toContain('quotation marks')
    expect((await send(`"${NS}/GetPayments"`)).reason).toContain('is not that of GetInvoice')
    const type = { 'content-type': 'application/soap+xml' }
    expect((await post(simulator.url, get, { headers: type })).status).toBe(415)
  })

  it('refuses a wrong digest, a nonce used before, an old message and a header it does not understand', async () => {
    const { simulator } = await start()
    const code = async (head: string) => (await post(simulator.url, get, { head })).code
    expect(await code(header({ password: 'x' }))).toBe('wsse:FailedAuthentication')
    const once = header()
    expect(await code(once)).toBeUndefined()
    expect(await code(once)).toBe('wsse:InvalidSecurityToken')
    const old = new Date(Date.now() - 6 * 60_000)
    expect(await code(header({ at: old }))).toBe('wsu:MessageExpired')
    expect(await code('')).toBe('wsse:InvalidSecurity')
    expect(await code(`<x xmlns="urn:x" soap:mustUnderstand="1"/>${header()}`)).toBe('soap:MustUnderstand')
  })

  it('refuses more keys than it reads at once', async () => {
    const { simulator } = await start()
    const ids = '<fin:invoiceId>A</fin:invoiceId>'.repeat(201)
    const answered = await post(simulator.url, `<fin:GetInvoice>${ids}</fin:GetInvoice>`)
    expect(answered.text).toContain('<fin:Code>TOO_MANY_KEYS</fin:Code>')
  })
})
