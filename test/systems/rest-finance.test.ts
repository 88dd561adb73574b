import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/observe/log.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import type { InvoiceCreate, PaymentCreate } from '../../src/systems/port.ts'
import { createRestFinance } from '../../src/systems/rest-finance/adapter.ts'
import { restFinanceConfig } from '../../src/systems/rest-finance/config.ts'
import {
  type RestFinanceSimulatorOptions,
  startRestFinanceSimulator,
} from '../../src/systems/rest-finance/simulator.ts'
import { closing, context, failureOf, given, must, startReceiver, until, write } from './rest-kit.ts'

const TOKEN = 'fin-token-5d20'
const AUTH = { type: 'bearer', token: TOKEN } as const

function connect(baseUrl: string, settings: Record<string, unknown> = {}, timeoutMs = 2_000) {
  const config = restFinanceConfig.parse({ baseUrl, auth: AUTH, ...settings })
  const adapter = closing(createRestFinance(config, { systemId: 'fin', log: silentLog, timeoutMs }))
  const { customer, invoice, payment, receivable } = adapter.ports
  return {
    adapter,
    customer: must(customer),
    invoice: must(invoice),
    payment: must(payment),
    create: must(payment?.create),
    receivable: must(receivable),
  }
}

interface Start extends Partial<RestFinanceSimulatorOptions> {
  readonly settings?: Record<string, unknown>
  readonly timeoutMs?: number
}

async function start({ settings, timeoutMs, ...options }: Start = {}) {
  const world = new World({ customers: 6, products: 6, orders: 0 })
  const fin = closing(await startRestFinanceSimulator(world, { auth: AUTH, ...options }))
  return { world, fin, ...connect(fin.url, settings, timeoutMs) }
}

const payment: PaymentCreate = {
  customer: 'D-00003',
  date: '2026-06-30',
  amount: { amount: '700.00', currency: 'CNY' },
  method: 'TRANSFER',
  reference: '二期款 🧾',
  applications: [{ invoice: 'INV-000001', amount: '612.00' }],
}

describe('what finance holds is read', () => {
  test('an invoice has its amounts, in its own currency', async () => {
    const { invoice } = await start()
    const [yuan, none, yen] = await invoice.readMany(['INV-000001', 'INV-9', 'INV-000003'], context)
    expect(given(yuan)).toEqual({
      externalReference: null,
      lines: expect.any(Array),
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
      key: 'INV-000001',
      number: 'INV-000001',
      version: null,
      type: 'STANDARD',
      customer: 'D-00003',
      orderNumbers: ['1003'],
      issueDate: '2026-05-22',
      dueDate: '2026-06-21',
      status: 'PARTIALLY_PAID',
      vendorStatus: 'PARTIALLY_PAID',
      totals: {
        net: { amount: '3196.49', currency: 'CNY' },
        tax: { amount: '415.54', currency: 'CNY' },
        gross: { amount: '3612.03', currency: 'CNY' },
      },
      paid: { amount: '1000.00', currency: 'CNY' },
      open: { amount: '2612.03', currency: 'CNY' },
      createdAt: '2026-05-22T09:00:00.000Z',
      updatedAt: '2026-06-01T09:00:00.000Z',
    })
    // 100 at 12.80, 33 at 48.335.
    expect(given(yuan)?.lines).toMatchObject([
      {
        id: '1',
        product: 'M-1011',
        description: '精密轴承 6204',
        quantity: { value: '100' },
        net: { amount: '1280.00', currency: 'CNY' },
      },
      { id: '2', product: 'M-1044', quantity: { value: '33' }, net: { amount: '1595.06', currency: 'CNY' } },
      { id: '3', product: 'M-1044', quantity: { value: '7' } },
    ])
    expect(given(none)).toBeNull()
    // Yen have no decimals.
    expect(given(yen)?.totals.gross).toEqual({ amount: '17001', currency: 'JPY' })
  })

  test('a payment says what it settles and what it does not', async () => {
    const { payment: port, create } = await start()
    expect(given((await port.readMany(['PAY-000001'], context))[0])).toMatchObject({
      customer: 'D-00003',
      date: '2026-06-01',
      amount: { amount: '1000.00', currency: 'CNY' },
      applications: [{ invoice: 'INV-000001', amount: { amount: '1000.00', currency: 'CNY' } }],
      unapplied: { amount: '0.00', currency: 'CNY' },
      status: 'POSTED',
    })
    const { record } = given(await create.send(payment, write, context))
    expect(record?.unapplied).toEqual({ amount: '88.00', currency: 'CNY' })
  })

  test('what a customer owes stands by currency; who owes nothing has no balance; unknown ones are null', async () => {
    const { receivable } = await start()
    const read = await receivable.readMany(['D-00003', 'D-00009', 'D-9', 'D-00012'], context)
    expect(read.map((one) => given(one)?.balances ?? null)).toEqual([
      [{ open: { amount: '2612.03', currency: 'CNY' }, overdue: { amount: '2612.03', currency: 'CNY' } }],
      [],
      null,
      [{ open: { amount: '17001', currency: 'JPY' }, overdue: { amount: '17001', currency: 'JPY' } }],
    ])
  })

  test('invoices are found by order number, payments by invoice, both by customer', async () => {
    const { invoice, payment: port } = await start()
    const numbers = await must(invoice.lookups?.byOrderNumber).read(['1003', '1', '1021'], context)
    expect(numbers.map((one) => given(one).map(({ key }) => key))).toEqual([
      ['INV-000001'],
      [],
      ['INV-000003'],
    ])
    const paid = await must(port.lookups?.byInvoice).read(['INV-000001', 'INV-000002'], context)
    expect(paid.map((one) => given(one).map(({ key }) => key))).toEqual([['PAY-000001'], []])
    const mine = await must(port.lookups?.byCustomer).read(['D-00003'], context)
    expect(given(mine[0]).map(({ key }) => key)).toEqual(['PAY-000001'])
  })

  test('pages are complete while invoices are added, and changes come oldest first', async () => {
    const { invoice, world, fin } = await start({ settings: { pageLimit: 1 } })
    const first = given(await must(invoice.list)({ first: 1 }, context))
    const begin = given(await must(invoice.changes)(null, context)).checkpoint
    const one = must(world.get('financeInvoices', 'INV-000002'))
    const now = new Date().toISOString()
    world.put('financeInvoices', { ...one, invoiceNo: 'INV-NEW', createdAt: now, updatedAt: now })
    const after = must(first.items.at(-1)).position
    const rest = given(await must(invoice.list)({ first: 10, after }, context))
    expect([...first.items, ...rest.items].map(({ record }) => record.key)).toEqual([
      'INV-000003',
      'INV-000002',
      'INV-000001',
    ])
    const changes = given(await must(invoice.changes)(begin, context))
    expect(changes.records.map(({ key }) => key)).toEqual(['INV-NEW'])
    expect(fin.calls.length).toBeGreaterThan(3)
  })

  test('a record that cannot be read fails alone', async () => {
    const row = (invoiceId: string, more: object) => ({ invoiceId, currency: 'CNY', status: 'ODD', ...more })
    const items = [
      row('1', { grossAmount: '12345678901234567890.12345678' }),
      row('2', { grossAmount: 'much' }),
      row('3', { currency: '¥' }),
    ]
    const server = closing(
      await startSimulatorServer({
        handle: () => ({ status: 200, body: JSON.stringify({ code: 0, data: { items } }) }),
      }),
    )
    const { invoice } = connect(server.url)
    const read = await invoice.readMany(['1', '2', '3'], context)
    expect(given(read[0])).toMatchObject({
      totals: { gross: { amount: '12345678901234567890.12345678', currency: 'CNY' } },
      status: 'UNKNOWN',
      vendorStatus: 'ODD',
      type: 'UNKNOWN',
    })
    expect(read.slice(1).map((one) => failureOf(one)?.kind)).toEqual(['invalid-response', 'invalid-response'])
  })
})

describe('payments are written back', () => {
  test('once: the amount as text, the invoice settled', async () => {
    const { create, world, fin } = await start()
    const made = given(await create.send(payment, write, context))
    expect(made.key).toBe('PAY-000002')
    expect(given(await create.send(payment, write, context)).key).toBe('PAY-000002')
    expect(world.count('financePayments')).toBe(2)
    expect(must(world.get('financeInvoices', 'INV-000001')).paid).toBe('1612.00')
    expect(must(world.get('financePayments', 'PAY-000002'))).toMatchObject({
      customerNo: 'D-00003',
      date: '2026-06-30',
      amount: '700.00',
      method: 'TRANSFER',
      reference: '二期款 🧾',
      externalReference: write.externalReference,
    })
    expect(fin.calls).toEqual(Array(2).fill('POST /api/payments/writeback'))
    expect(JSON.parse(must(create.preview(payment, write).body)).amount).toBe('700.00')
  })

  test.each(['drop-after', 'hang-after', 'truncate', 'html'] as const)(
    'a lost answer (%s) is an unknown outcome; looking finds what became of it',
    async (kind) => {
      const { create, fin } = await start({ timeoutMs: kind === 'hang-after' ? 1_000 : 5_000 })
      fin.setFaults([{ kind }])
      expect(failureOf(await create.send(payment, write, context))?.kind).toBe('unknown-outcome')
      fin.setFaults([])
      const verdict = given(await create.verify(payment, write, context))
      if (kind === 'html') expect(verdict).toMatchObject({ effect: 'none', proven: true })
      else expect(verdict).toMatchObject({ effect: 'done', result: { key: 'PAY-000002' } })
    },
  )

  test('a system that offers no search or takes a reference twice proves nothing', async () => {
    const { fin } = await start()
    const blind = given(
      await connect(fin.url, { findPayments: false }).create.verify(payment, write, context),
    )
    expect(blind).toMatchObject({ effect: 'unknown' })
    const loose = given(
      await connect(fin.url, { uniqueExternalRef: false }).create.verify(payment, write, context),
    )
    expect(loose).toMatchObject({ effect: 'none', proven: false })
  })

  test('more than is open is refused with what is wanted and what is there', async () => {
    const { create, world } = await start()
    const much = {
      ...payment,
      amount: { amount: '9000.00', currency: 'CNY' },
      applications: [
        { invoice: 'INV-000001', amount: '2000.00' },
        { invoice: 'INV-000001', amount: '612.04' },
      ],
    }
    expect(failureOf(await create.send(much, write, context))).toMatchObject({
      kind: 'rejected',
      code: '40002',
      message: '核销金额大于未付金额',
      line: '2',
      details: { required: '2612.04', available: '2612.03' },
    })
    expect(world.count('financePayments')).toBe(1)
  })

  test('a closed period, a foreign invoice, yen with decimals and words instead of amounts are refused', async () => {
    const { create } = await start({ closedUpTo: '2026-06-30' })
    expect(failureOf(await create.send(payment, write, context))).toMatchObject({
      kind: 'rejected',
      code: '40903',
      reason: 'period-closed',
      message: '会计期间已关闭',
    })
    const later = { ...payment, date: '2026-07-01' }
    const refusals: [PaymentCreate, string][] = [
      [{ ...later, customer: 'D-00006' }, '发票不存在'],
      [{ ...later, customer: 'D-9' }, '客户不存在'],
      [{ ...later, amount: { amount: '700.5', currency: 'JPY' }, applications: [] }, 'JPY 只有 0 位小数'],
      [{ ...later, amount: { amount: '1e3', currency: 'CNY' } }, 'The amount is no plain decimal.'],
      [{ ...later, amount: { amount: '1.00', currency: 'CNY' } }, '核销金额大于付款金额'],
    ]
    for (const [input, message] of refusals)
      expect(failureOf(await create.send(input, write, context))).toMatchObject({ kind: 'rejected', message })
  })

  test('methods go in the words of the system, and come back in ours', async () => {
    const {
      create,
      payment: port,
      world,
    } = await start({
      settings: { methodCodes: { TRANSFER: '电汇' }, defaultMethod: '现金' },
    })
    const { key } = given(await create.send(payment, write, context))
    expect(must(world.get('financePayments', key)).method).toBe('电汇')
    expect(given((await port.readMany([key], context))[0])?.method).toBe('TRANSFER')
    const { method, ...without } = payment
    const other = { ...write, externalReference: 'a'.repeat(32) }
    const cash = given(await create.send({ ...without, applications: [] }, other, context))
    expect(must(world.get('financePayments', cash.key)).method).toBe('现金')
    expect(method).toBe('TRANSFER')
  })

  test('a system without an envelope is taken at its word', async () => {
    const bodies: unknown[] = []
    const server = closing(
      await startSimulatorServer({
        handle({ body }) {
          bodies.push(JSON.parse(String(body)))
          return { status: 200, body: '{"id":"P-77","result":"OK"}' }
        },
      }),
    )
    const { create } = connect(server.url, {
      envelope: 'none',
      fields: { payment: { id: 'id', customer: 'customer.code', externalRef: 'paymentId' } },
    })
    expect(given(await create.send(payment, write, context)).key).toBe('P-77')
    expect(bodies[0]).toMatchObject({ paymentId: write.externalReference, customer: { code: 'D-00003' } })
  })
})

test('webhooks tell of a paid invoice', async () => {
  const receiver = await startReceiver()
  const { adapter, create } = await start({
    webhook: { url: receiver.url, secret: 'whsec_c2VjcmV0' },
    settings: { webhook: { profile: 'standard', secret: 'whsec_c2VjcmV0' } },
  })
  const whole = { amount: '2612.03', currency: 'CNY' }
  const input = { ...payment, amount: whole, applications: [{ invoice: 'INV-000001', amount: '2612.03' }] }
  given(await create.send(input, write, context))
  await until(() => receiver.received.length === 2)
  const told = receiver.received.map((request) => {
    const verdict = must(adapter.webhook).receive(request, new Date())
    return verdict.ok ? verdict.notifications.map(({ type, key, change }) => [type, key, change]) : verdict
  })
  expect(told).toEqual(
    expect.arrayContaining([[['payment', 'PAY-000002', 'created']], [['invoice', 'INV-000001', 'updated']]]),
  )
  const events = receiver.received.map(({ body }) => JSON.parse(String(body)).event)
  expect(events.sort()).toEqual(['invoice.paid', 'payment.created'])
})

describe('bad days', () => {
  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 503, headers: { 'retry-after': '2' } },
      { kind: 'unavailable', reason: 'overloaded', retryAfterMs: 2_000 },
    ],
  ] as const)('a read that meets %j is %j, for every key', async (fault, failure) => {
    const { invoice, fin } = await start({ timeoutMs: fault.kind === 'hang' ? 200 : 5_000 })
    fin.setFaults([fault])
    const outcomes = await invoice.readMany(['INV-000001', 'INV-000002'], context)
    expect(outcomes.map(failureOf)).toEqual([
      expect.objectContaining(failure),
      expect.objectContaining(failure),
    ])
  })

  test('refused credentials are not tried again, and do not get into failures', async () => {
    const { fin } = await start()
    const { invoice } = connect(fin.url, { batchLimit: 1, auth: { type: 'bearer', token: 'wrong-token' } })
    const outcomes = await invoice.readMany(['INV-000001', 'INV-000002'], context)
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual(['unauthorized', 'unauthorized'])
    expect(fin.calls).toEqual(['GET /api/invoices/INV-000001'])
    expect(JSON.stringify(outcomes)).not.toContain('wrong-token')
  })
})

describe('invoices are made and cancelled', () => {
  const input: InvoiceCreate = {
    customer: 'D-00003',
    orderNumbers: ['1006', '1009'],
    issueDate: '2026-06-30',
    dueDate: '2026-07-30',
    gross: { amount: '1130.00', currency: 'CNY' },
    net: '1000.00',
    tax: '130.00',
    comments: '六月',
    customFields: { project: 'P-7' },
    lines: [{ product: 'M-1011', description: '轴承', quantity: '80', unitPrice: '12.50', taxRate: '13' }],
  }
  const settings = { customFields: { invoice: { project: 'attributes.project' } } }

  test('once, with their lines; a lost answer is found', async () => {
    const { invoice, world, fin } = await start({ settings })
    const create = must(invoice.create)
    expect(create.takes).toEqual(['lines', 'comments', 'customFields'])
    expect(JSON.parse(must(create.preview(input, write).body))).toEqual({
      externalRef: write.externalReference,
      customerId: 'D-00003',
      orderNos: ['1006', '1009'],
      issueDate: '2026-06-30',
      dueDate: '2026-07-30',
      currency: 'CNY',
      grossAmount: '1130.00',
      netAmount: '1000.00',
      taxAmount: '130.00',
      remark: '六月',
      lines: [
        {
          lineNo: 1,
          productId: 'M-1011',
          description: '轴承',
          quantity: '80',
          unitPrice: '12.50',
          taxRate: '13',
        },
      ],
      attributes: { project: 'P-7' },
    })
    const before = world.count('financeInvoices')
    fin.setFaults([{ kind: 'drop-after' }])
    expect(failureOf(await create.send(input, write, context))?.kind).toBe('unknown-outcome')
    fin.setFaults([])
    const verdict = given(await create.verify(input, write, context))
    expect(verdict).toMatchObject({
      effect: 'done',
      result: {
        record: {
          orderNumbers: ['1006', '1009'],
          status: 'OPEN',
          open: { amount: '1130.00', currency: 'CNY' },
          externalReference: write.externalReference,
          customFields: { project: 'P-7' },
          lines: [
            {
              id: '1',
              product: 'M-1011',
              description: '轴承',
              quantity: { value: '80' },
              unitPrice: { amount: { amount: '12.50', currency: 'CNY' }, taxIncluded: false },
              taxRate: '13',
              net: { amount: '1000.00', currency: 'CNY' },
            },
          ],
        },
      },
    })
    given(await create.send(input, write, context))
    expect(world.count('financeInvoices')).toBe(before + 1)
    const [found] = await must(invoice.lookups?.byOrderNumber).read(['1009'], context)
    expect(given(found)).toHaveLength(1)
  })

  test('what finance refuses keeps its words; what is not configured does not leave the house', async () => {
    const { invoice, fin } = await start({ closedUpTo: '2026-05-31' })
    const create = must(invoice.create)
    const { customFields, ...plain } = input
    expect(failureOf(await create.send({ ...plain, issueDate: '2026-05-31' }, write, context))).toMatchObject(
      {
        kind: 'rejected',
        reason: 'period-closed',
        field: 'issueDate',
      },
    )
    expect(failureOf(await create.send({ ...plain, tax: '131.00' }, write, context))).toMatchObject({
      kind: 'rejected',
      message: '净额加税额不等于总额',
    })
    fin.clearCalls()
    expect(failureOf(await create.send({ ...plain, customFields }, write, context))?.kind).toBe('unsupported')
    const odd = { ...plain, lines: [{ quantity: '1e3', unitPrice: '1' }] }
    expect(failureOf(await create.send(odd, write, context))).toMatchObject({ code: 'DECIMAL', line: '1' })
    expect(fin.calls).toEqual([])
  })

  test('cancelled once, however often it is asked for; not where money has come in', async () => {
    const { invoice } = await start()
    const { customFields: _, ...plain } = input
    const { key } = given(await must(invoice.create).send(plain, write, context))
    const cancel = must(invoice.actions?.cancel)
    expect(given(await cancel.verify({ key }, write, context))).toMatchObject({
      effect: 'none',
      proven: true,
    })
    for (let n = 0; n < 2; n++)
      expect(given(await cancel.send({ key }, write, context)).record?.status).toBe('CANCELLED')
    expect(given(await cancel.verify({ key }, write, context)).effect).toBe('done')
    // The first invoice of the seed is partly paid.
    expect(failureOf(await cancel.send({ key: 'INV-000001' }, write, context))).toMatchObject({
      kind: 'rejected',
      code: '40902',
    })
  })
})

test('what is let off for paying early settles the invoice, too', async () => {
  const { create, payment: payments, invoice } = await start()
  expect(create.takes).toEqual(['applications.discount', 'customFields'])
  // 2612.03 are open: 2600 are paid, and the rest is let off.
  const input: PaymentCreate = {
    ...payment,
    amount: { amount: '2600.00', currency: 'CNY' },
    applications: [{ invoice: 'INV-000001', amount: '2600.00', discount: '12.03' }],
  }
  const { key } = given(await create.send(input, write, context))
  expect(given((await payments.readMany([key], context))[0])).toMatchObject({
    unapplied: { amount: '0.00', currency: 'CNY' },
    applications: [
      { amount: { amount: '2600.00', currency: 'CNY' }, discount: { amount: '12.03', currency: 'CNY' } },
    ],
  })
  expect(given((await invoice.readMany(['INV-000001'], context))[0])).toMatchObject({
    status: 'PAID',
    open: { amount: '0.00', currency: 'CNY' },
  })
})
