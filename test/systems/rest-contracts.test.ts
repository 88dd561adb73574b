/**
 * The published contracts are OpenAPI, and both sides keep them: every answer of the simulators, every body of the
 * adapters. (What rest-crm and rest-wms do beside that is in tests of their own.)
 */
import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { silentLog } from '../../src/observe/log.ts'
import { World } from '../../src/simulation/world.ts'
import type { VendorRequest } from '../../src/systems/port.ts'
import { createRestErp } from '../../src/systems/rest-erp/adapter.ts'
import { restErpConfig } from '../../src/systems/rest-erp/config.ts'
import { startRestErpSimulator } from '../../src/systems/rest-erp/simulator.ts'
import { createRestFinance } from '../../src/systems/rest-finance/adapter.ts'
import { restFinanceConfig } from '../../src/systems/rest-finance/config.ts'
import { startRestFinanceSimulator } from '../../src/systems/rest-finance/simulator.ts'
import { createRestTms } from '../../src/systems/rest-tms/adapter.ts'
import { restTmsConfig } from '../../src/systems/rest-tms/config.ts'
import { startRestTmsSimulator } from '../../src/systems/rest-tms/simulator.ts'
import { type Contract, type ContractNode, readContract } from './openapi.ts'
import { closing, write } from './rest-kit.ts'

const fileOf = (kind: string) => new URL(`../../src/systems/${kind}/openapi.yaml`, import.meta.url)

test.each(['rest-crm', 'rest-erp', 'rest-finance', 'rest-tms', 'rest-wms'])(
  'the contract of %s is a valid OpenAPI 3.1 document',
  async (kind) => {
    const validator = new Validator()
    expect(await validator.validate(fileOf(kind).pathname)).toMatchObject({ valid: true })
    expect(validator.version).toBe('3.1')
  },
)

const auth = { type: 'bearer', token: 'contract-token' } as const
const contracts = {
  'rest-erp': readContract(fileOf('rest-erp')),
  'rest-finance': readContract(fileOf('rest-finance')),
  'rest-tms': readContract(fileOf('rest-tms')),
}
type Kind = keyof typeof contracts

/** The path of the contract that a path of a request stands for: the one with the fewest variables. */
function templateOf({ at }: Contract, path: string): string {
  const [asked = ''] = path.split('?')
  const fits = Object.keys(at('paths') ?? {}).filter((template) =>
    new RegExp(`^${template.replaceAll('{id}', '[^/]+')}$`).test(asked),
  )
  const [best] = fits.sort((a, b) => a.split('{').length - b.split('{').length)
  if (best === undefined) throw new Error(`no path for ${path}`)
  return best
}

const wrongIn = (contract: Contract, media: ContractNode | undefined, body: unknown): string | undefined => {
  const { error } = contract.schemaOf(media).safeParse(body)
  return error && z.prettifyError(error)
}

async function start(kind: Kind) {
  const world = new World({ customers: 6, products: 6, orders: 12 })
  const options = { auth }
  const simulator = closing(
    kind === 'rest-erp'
      ? await startRestErpSimulator(world, options)
      : kind === 'rest-finance'
        ? await startRestFinanceSimulator(world, options)
        : await startRestTmsSimulator(world, options),
  )
  const contract = contracts[kind]
  return async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${simulator.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${auth.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer = (await response.json()) as Record<string, unknown>
    const place = ['paths', templateOf(contract, path), method.toLowerCase()]
    const described =
      contract.at(...place, 'responses', String(response.status)) ??
      contract.at('components', 'responses', 'Error')
    expect(wrongIn(contract, described, answer), `${method} ${path}`).toBeUndefined()
    if (response.status >= 400) {
      const { code } = (answer.error ?? answer) as { code: number | string }
      expect(contract.at('info')?.description).toContain(`| ${code} |`)
    }
    return { status: response.status, answer }
  }
}

describe('the simulators answer as their contracts say', () => {
  const line = { lineNumber: 1, product: { id: 'A00003' }, quantity: 2, notes: 'x' }
  const order = { orderType: 'sales', customer: { id: 'C20001' }, items: [line] }
  const customer = { name: '新客户', type: 'company', contacts: [], addresses: [] }
  const invoice = {
    externalRef: 'i-1',
    customerId: 'D-00003',
    issueDate: '2026-06-30',
    currency: 'CNY',
    grossAmount: '113.00',
    lines: [{ lineNo: 1, quantity: '1', unitPrice: '100.00' }],
  }
  const payment = {
    externalRef: 'p-1',
    customerId: 'D-00003',
    payDate: '2026-06-30',
    amount: '10.00',
    currency: 'CNY',
    applications: [{ invoiceId: 'INV-000001', amount: '10.00', discount: '1.00' }],
  }
  const parcel = { trackingNo: 'YT1234567890', carrierCode: 'YTO' }
  const unknown = { 'x-no': '1', authorization: 'Bearer other' }
  test.each<[Kind, [string, string, unknown?, Record<string, string>?], number]>([
    ['rest-erp', ['GET', '/erp/customers?page=1&limit=3'], 200],
    ['rest-erp', ['GET', '/erp/customers?ids=C20001,C20002'], 200],
    ['rest-erp', ['GET', '/erp/customers/C20001'], 200],
    ['rest-erp', ['GET', '/erp/customers/C20001', undefined, unknown], 401],
    ['rest-erp', ['GET', '/erp/customers/X'], 404],
    ['rest-erp', ['POST', '/erp/customers', customer], 201],
    ['rest-erp', ['POST', '/erp/customers', { ...customer, code: 'C20001' }], 409],
    ['rest-erp', ['POST', '/erp/customers', { ...customer, colour: 'red' }], 400],
    ['rest-erp', ['PUT', '/erp/customers/C20001', { companyInfo: { industry: 'x' } }], 200],
    ['rest-erp', ['PUT', '/erp/customers/C20001', { name: 'x' }, { 'if-match': '"77"' }], 412],
    ['rest-erp', ['GET', '/erp/products?category=101&status=active'], 200],
    ['rest-erp', ['GET', '/erp/products/A00001'], 200],
    ['rest-erp', ['GET', '/erp/products/A00001/inventory'], 200],
    ['rest-erp', ['GET', '/erp/products/X/inventory'], 404],
    ['rest-erp', ['GET', '/erp/orders?customerIds=C20001'], 200],
    ['rest-erp', ['POST', '/erp/orders', order], 201],
    ['rest-erp', ['POST', '/erp/orders', { ...order, items: [] }], 400],
    ['rest-erp', ['GET', '/erp/orders/SO-1'], 200],
    ['rest-erp', ['GET', '/erp/orders/SO-2'], 200],
    ['rest-erp', ['PUT', '/erp/orders/SO-3', { payment: { terms: 'Net 60' } }], 200],
    ['rest-erp', ['GET', '/erp/orders/SO-2/status'], 200],
    ['rest-erp', ['PUT', '/erp/orders/SO-3/status', { status: 'CANCELLED' }], 200],
    ['rest-erp', ['PUT', '/erp/orders/SO-1/status', { status: 'CANCELLED' }], 409],
    [
      'rest-erp',
      ['POST', '/erp/webhooks', { url: 'http://127.0.0.1:9/x', events: ['order.created'], secret: 's' }],
      201,
    ],
    ['rest-erp', ['DELETE', '/erp/webhooks/none'], 404],
    ['rest-finance', ['GET', '/api/customers'], 200],
    ['rest-finance', ['GET', '/api/customers/D-00003'], 200],
    ['rest-finance', ['GET', '/api/invoices?page=1&limit=2'], 200],
    ['rest-finance', ['GET', '/api/invoices/INV-000001'], 200],
    ['rest-finance', ['GET', '/api/invoices/INV-9'], 404],
    ['rest-finance', ['POST', '/api/invoices', invoice], 201],
    ['rest-finance', ['POST', '/api/invoices', { ...invoice, grossAmount: 113 }], 400],
    ['rest-finance', ['POST', '/api/invoices/INV-000002/cancel', {}], 200],
    ['rest-finance', ['POST', '/api/invoices/INV-000001/cancel', {}], 409],
    ['rest-finance', ['GET', '/api/payments?invoiceIds=INV-000001'], 200],
    ['rest-finance', ['GET', '/api/payments/PAY-000001'], 200],
    ['rest-finance', ['POST', '/api/payments/writeback', payment], 201],
    ['rest-finance', ['POST', '/api/payments/writeback', { ...payment, amount: '1.00' }], 400],
    ['rest-finance', ['GET', '/api/receivables?ids=D-00003'], 200],
    ['rest-finance', ['GET', '/api/receivables/D-00003'], 200],
    ['rest-tms', ['GET', '/api/v1/shipments'], 200],
    ['rest-tms', ['GET', '/api/v1/shipments?colour=red'], 400],
    ['rest-tms', ['GET', '/api/v1/shipments/none'], 404],
    ['rest-tms', ['POST', '/api/v1/shipments', parcel], 201],
    ['rest-tms', ['POST', '/api/v1/shipments', { ...parcel, carrierCode: 'NO' }], 400],
  ])('%s: %j is %i', async (kind, [method, path, body, headers], status) => {
    const ask = await start(kind)
    expect((await ask(method, path, body, headers)).status).toBe(status)
  })
})

describe('the adapters send what their contracts ask for', () => {
  const baseUrl = 'http://127.0.0.1:1'
  const context = { systemId: 'x', log: silentLog, timeoutMs: 1_000 }
  const custom = { customFields: { channel: 'x' } }

  test.each<[Kind, string, () => VendorRequest | undefined]>([
    [
      'rest-erp',
      'a customer',
      () => {
        const config = restErpConfig.parse({
          baseUrl,
          auth,
          contract: 'extended',
          customFields: { customer: { channel: 'metadata.customFields.channel' } },
        })
        return createRestErp(config, context).ports.customer?.create?.preview(
          {
            name: 'n',
            code: 'c',
            type: 'INDIVIDUAL',
            legalName: 'l',
            taxNumber: 't',
            industry: 'i',
            contacts: [{ name: 'c', title: 't', phone: 'p', email: 'e@x', primary: true }],
            addresses: [
              { type: 'BILLING', street: 's' },
              { type: 'REGISTERED', street: 'r' },
            ],
            tags: ['t'],
            creditLimit: { amount: '1.5', currency: 'CNY' },
            paymentTerms: 'Net 60',
            ...custom,
          },
          write,
        )
      },
    ],
    [
      'rest-erp',
      'an order',
      () => {
        const config = restErpConfig.parse({
          baseUrl,
          auth,
          contract: 'extended',
          customFields: { order: { channel: 'metadata.customFields.channel' } },
        })
        return createRestErp(config, context).ports.order?.create?.preview(
          {
            customer: 'C',
            dueDate: '2026-12-31',
            orderDate: '2026-12-01',
            currency: 'CNY',
            customerReference: 'r',
            comments: 'c',
            shipTo: {
              name: 'n',
              phone: 'p',
              address: { street: 's', city: 'c', province: 'p', postalCode: '1', country: 'CN' },
            },
            paymentTerms: 't',
            paymentMethod: 'm',
            precededBy: [{ type: 'QUOTATION', number: '1' }],
            lines: [
              {
                product: 'P',
                quantity: '2.50',
                unitPrice: '1.10',
                discountPercent: '5',
                warehouse: '01',
                comments: 'c',
              },
            ],
            ...custom,
          },
          write,
        )
      },
    ],
    [
      'rest-erp',
      'a change of an order',
      () =>
        createRestErp(
          restErpConfig.parse({ baseUrl, auth, contract: 'extended' }),
          context,
        ).ports.order?.update?.preview(
          {
            key: 'SO-1',
            changes: {
              dueDate: '2026-12-31',
              comments: 'c',
              customerReference: 'r',
              paymentTerms: 't',
              shipTo: { name: 'n', address: { street: 's' } },
            },
          },
          write,
        ),
    ],
    [
      'rest-erp',
      'a status',
      () =>
        createRestErp(restErpConfig.parse({ baseUrl, auth }), context).ports.order?.actions?.cancel?.preview(
          { key: 'SO-1' },
          write,
        ),
    ],
    [
      'rest-finance',
      'an invoice',
      () =>
        createRestFinance(
          restFinanceConfig.parse({
            baseUrl,
            auth,
            customFields: { invoice: { channel: 'attributes.channel' } },
          }),
          context,
        ).ports.invoice?.create?.preview(
          {
            customer: 'D',
            orderNumbers: ['1'],
            issueDate: '2026-12-31',
            dueDate: '2027-01-31',
            gross: { amount: '1.13', currency: 'CNY' },
            net: '1.00',
            tax: '0.13',
            comments: 'c',
            lines: [{ product: 'P', description: 'd', quantity: '1', unitPrice: '1.00', taxRate: '13' }],
            ...custom,
          },
          write,
        ),
    ],
    [
      'rest-finance',
      'a payment',
      () =>
        createRestFinance(restFinanceConfig.parse({ baseUrl, auth }), context).ports.payment?.create?.preview(
          {
            customer: 'D',
            date: '2026-12-31',
            amount: { amount: '1.00', currency: 'CNY' },
            method: 'TRANSFER',
            reference: 'r',
            applications: [{ invoice: 'I', amount: '1.00', discount: '0.01' }],
          },
          write,
        ),
    ],
    [
      'rest-finance',
      'a cancellation',
      () =>
        createRestFinance(
          restFinanceConfig.parse({ baseUrl, auth }),
          context,
        ).ports.invoice?.actions?.cancel?.preview({ key: 'I' }, write),
    ],
    [
      'rest-tms',
      'a parcel',
      () =>
        createRestTms(restTmsConfig.parse({ baseUrl, auth }), context).ports.shipment?.create?.preview(
          { trackingNumber: 'YT1', carrier: 'YTO', phone: '1', orderNumber: '2', deliveryNumber: '3' },
          write,
        ),
    ],
  ])('%s: %s', (kind, _, preview) => {
    const request = preview()
    const contract = contracts[kind]
    const path = templateOf(contract, request?.path ?? '')
    const operation = contract.at('paths', path, (request?.method ?? '').toLowerCase(), 'requestBody')
    const body = JSON.parse(request?.body ?? '')
    expect(wrongIn(contract, operation, body)).toBeUndefined()
    // Strict enough to notice what nobody has described.
    expect(wrongIn(contract, operation, { ...body, colour: 'red' })).toBeDefined()
  })
})
