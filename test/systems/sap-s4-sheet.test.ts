/** A Gateway written from the vendor's documents alone, as sparing as they allow: our simulator is only one of many. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import { failureText, type Outcome } from '../../src/systems/failure.ts'
import { createSapS4 } from '../../src/systems/sap-s4/adapter.ts'
import { sapS4Config } from '../../src/systems/sap-s4/config.ts'

const call = { caller: gatewayCaller }
const SECRET = 'p&ss=w+rd %'
const ROOT = '/sap/opu/odata/sap'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close()
})

interface Reply {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body?: string
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}

async function serve(
  answer: (path: string, request: IncomingMessage, body: string) => Reply,
  settings: object = {},
) {
  const asked: string[] = []
  const server = createServer(async (request, response) => {
    const body = await textOf(request)
    const path = decodeURIComponent(request.url ?? '')
    asked.push(`${request.method} ${path}`)
    const { status = 200, headers, body: text = '' } = answer(path, request, body)
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  closers.push(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const adapter = createSapS4(
    sapS4Config.parse({
      baseUrl: url,
      auth: {
        method: 'clientCredentials',
        tokenUrl: `${url}/token`,
        clientId: 'tributary',
        clientSecret: SECRET,
        credentialsIn: 'body',
      },
      salesArea: { organization: '1010', channel: '10', division: '00' },
      ...settings,
    }),
    { systemId: 's4', log: silentLog, timeoutMs: 2_000 },
  )
  closers.push(() => void adapter.close())
  return { adapter, asked }
}

function value<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(outcome ? failureText(outcome.failure) : 'no outcome')
  return outcome.value
}

/** As seed 002 §5.2 asks: all of it in the form. */
function token(request: IncomingMessage, body: string): Reply {
  const form = new URLSearchParams(body)
  const isRight =
    request.headers.authorization === undefined &&
    form.get('grant_type') === 'client_credentials' &&
    form.get('client_id') === 'tributary' &&
    form.get('client_secret') === SECRET
  return isRight
    ? { body: '{"access_token":"T0ken","expires_in":"3600"}' }
    : { status: 401, body: '{"error":"invalid_client"}' }
}

describe('a sparing Gateway', () => {
  test('client id and secret go in the form where they are wanted there', async () => {
    const { adapter, asked } = await serve((path, request, body) => {
      if (path === '/token') return token(request, body)
      return request.headers.authorization === 'Bearer T0ken'
        ? { body: '{"d":{"results":[]}}' }
        : { status: 401 }
    })
    expect(value((await adapter.ports.order?.readMany(['1'], call))?.[0])).toBeNull()
    expect(asked.filter((line) => line === 'POST /token')).toHaveLength(1)
  })

  const links = {
    'beside the set': 'A_SalesOrder?$skiptoken=1',
    'of the query alone': '?$skiptoken=1',
    absolute: `https://my300000.s4hana.example${ROOT}/API_SALES_ORDER_SRV/A_SalesOrder?$skiptoken=1`,
    'below the root of the host': `${ROOT}/API_SALES_ORDER_SRV/A_SalesOrder?$skiptoken=1`,
  }
  for (const [name, __next] of Object.entries(links)) {
    test(`a next link that is ${name} is followed, behind API Management as well`, async () => {
      for (const path of [ROOT, '/s4hanacloud/sap/opu/odata/sap']) {
        const { adapter, asked } = await serve(
          (url, request, body) => {
            if (url === '/token') return token(request, body)
            const isSecond = url.includes('$skiptoken=1')
            const results = [{ SalesOrder: isSecond ? '2' : '1', to_Item: [] }]
            return { body: JSON.stringify({ d: { results, __next: isSecond ? null : __next } }) }
          },
          { path },
        )
        const read = await adapter.ports.order?.readMany(['1', '2'], call)
        expect(read?.map((one) => value(one)?.key)).toEqual(['1', '2'])
        expect(asked.at(-1)).toBe(`GET ${path}/API_SALES_ORDER_SRV/A_SalesOrder?$skiptoken=1`)
      }
    })
  }

  test('numbers as numbers, lists without a wrapper, empty dates and fields that are not there', async () => {
    const order = `{"d":[{"SalesOrder":"0000000001","TotalNetAmount":1250.10,"TransactionCurrency":"EUR",
      "SalesOrderDate":"/Date(1772323200000)/","RequestedDeliveryDate":"",
      "LastChangeDateTime":"/Date(1772352000000+0000)/",
      "to_Text":{"__deferred":{"uri":"x"}},
      "to_Item":[{"SalesOrderItem":"10","RequestedQuantity":2.500,"RequestedQuantityUnit":"EA","NetAmount":""}]}]}`
    const stock = `{"d":{"results":[{"Material":"M1","Plant":"1010","StorageLocation":"0001",
      "MatlWrhsStkQtyInMatlBaseUnit":7}]}}`
    const { adapter } = await serve((path, request, body) =>
      path === '/token' ? token(request, body) : { body: path.includes('MATERIAL_STOCK') ? stock : order },
    )
    expect(value((await adapter.ports.order?.readMany(['1'], call))?.[0])).toMatchObject({
      key: '1',
      orderDate: '2026-03-01',
      dueDate: null,
      updatedAt: '2026-03-01T08:00:00Z',
      totals: { net: { amount: '1250.10', currency: 'EUR' } },
      lines: [{ ordered: { value: '2.5' }, net: null }],
    })
    expect(value((await adapter.ports.inventoryLevel?.readMany(['M1/1010~10001'], call))?.[0])).toMatchObject(
      {
        onHand: { value: '7' },
      },
    )
  })

  const heads: readonly (readonly [string, object, object])[] = [
    [
      'blocks with their reasons',
      { DeliveryBlockReason: '01', HeaderBillingBlockReason: '08', TotalBlockStatus: 'C' },
      {
        holds: [
          { type: 'DELIVERY', code: '01' },
          { type: 'BILLING', code: '08' },
        ],
      },
    ],
    [
      'a block of an item',
      { DeliveryBlockReason: '', TotalBlockStatus: 'B' },
      { holds: [{ type: 'OTHER', code: 'B' }] },
    ],
    [
      'a credit check that was not passed',
      { TotalCreditCheckStatus: 'B' },
      { holds: [{ type: 'CREDIT', code: 'B' }] },
    ],
    [
      'nothing that holds it',
      { DeliveryBlockReason: '', TotalBlockStatus: 'A', TotalCreditCheckStatus: 'A' },
      { holds: [] },
    ],
    [
      'nothing about blocks',
      {},
      { holds: null, approvalStatus: null, billingStatus: null, payment: null, precededBy: null },
    ],
    ['billing in part', { OverallOrdReltdBillgStatus: 'B' }, { billingStatus: 'PARTIAL' }],
    ['an approval that is pending', { SalesDocApprovalStatus: 'A' }, { approvalStatus: 'PENDING' }],
    [
      'a quotation before it',
      { ReferenceSDDocument: '0020000012', ReferenceSDDocumentCategory: 'B' },
      { precededBy: [{ type: 'QUOTATION', number: '20000012', vendorType: 'B' }] },
    ],
    [
      'partners by their inner functions',
      {
        to_Partner: {
          results: [
            { PartnerFunction: 'AG', Customer: '0010100001' },
            { PartnerFunction: 'WE', Customer: '0010100002' },
            { PartnerFunction: 'RE', Customer: '0010100003' },
            { PartnerFunction: 'RG', Customer: '0010100004', to_Address: { __deferred: { uri: 'x' } } },
          ],
        },
      },
      { shipTo: { key: '10100002' }, billTo: { key: '10100003' }, payer: { key: '10100004' } },
    ],
    [
      'a field of the company at an item, confirmed and tax',
      {
        TransactionCurrency: 'EUR',
        to_Item: [
          {
            SalesOrderItem: '10',
            RequestedQuantity: '4',
            RequestedQuantityUnit: 'PC',
            ConfdDelivQtyInOrderQtyUnit: '3.000',
            TaxAmount: '19.00',
            YY1_Engraving_SDI: 'A',
          },
          { SalesOrderItem: '20', RequestedQuantity: '1', RequestedQuantityUnit: 'PC' },
        ],
      },
      {
        lines: [
          {
            confirmed: { value: '3' },
            tax: { amount: '19.00', currency: 'EUR' },
            customFields: { engraving: 'A' },
          },
          { confirmed: null, tax: null, customFields: { engraving: null } },
        ],
      },
    ],
  ]
  for (const [name, fields, expected] of heads) {
    test(`an order tells ${name}`, async () => {
      const { adapter, asked } = await serve(
        (path, request, body) =>
          path === '/token'
            ? token(request, body)
            : { body: JSON.stringify({ d: { results: [{ SalesOrder: '1', ...fields }] } }) },
        { customFields: { orderLine: { engraving: 'YY1_Engraving_SDI' } } },
      )
      expect(value((await adapter.ports.order?.readMany(['1'], call))?.[0])).toMatchObject(expected)
      expect(asked.at(-1)).toContain('to_Item/YY1_Engraving_SDI')
    })
  }

  test('a system without HEAD is asked by GET; a create that is answered with 200 has been done', async () => {
    const { adapter } = await serve((path, request, body) => {
      if (path === '/token') return token(request, body)
      if (request.method === 'HEAD') return { status: 501 }
      if (request.headers['x-csrf-token'] === 'Fetch') {
        return { headers: { 'x-csrf-token': 'q1w2', 'set-cookie': 'SAP_SESSIONID_S4H_100=s; path=/' } }
      }
      if (request.method === 'GET') return { body: '{"d":{"results":[]}}' }
      const isMine =
        request.headers['x-csrf-token'] === 'q1w2' &&
        /SAP_SESSIONID_S4H_100=s/.test(request.headers.cookie ?? '')
      return isMine
        ? { body: '{"d":{"SalesOrder":"4711"}}' }
        : { status: 403, headers: { 'x-csrf-token': 'Required' } }
    })
    const sent = await adapter.ports.order?.create?.send(
      { customer: '10100001', dueDate: '2027-08-01', lines: [{ product: 'M1', quantity: '1' }] },
      { externalReference: '0123456789abcdef0123456789abcdef', onBehalfOf: 'wang.fang' },
      call,
    )
    expect(value(sent).key).toBe('4711')
  })

  const refusals = {
    quoted: "Property 'TotalCreditCheckStatus' is invalid",
    bare: "Property TotalCreditCheckStatus not found in type 'A_SalesOrderType'",
    'a segment': "Resource not found for segment 'TotalCreditCheckStatus'",
  }
  for (const [name, words] of Object.entries(refusals)) {
    test(`a field that it does not have is left out: ${name}`, async () => {
      const { adapter } = await serve((path, request, body) => {
        if (path === '/token') return token(request, body)
        return path.includes('TotalCreditCheckStatus')
          ? {
              status: name === 'a segment' ? 404 : 400,
              body: JSON.stringify({ error: { message: { lang: 'en', value: words } } }),
            }
          : { body: '{"d":{"results":[{"SalesOrder":"1"}]}}' }
      })
      expect(value((await adapter.ports.order?.readMany(['1'], call))?.[0])?.key).toBe('1')
    })
  }

  // The vendor's pages know it of orders and not of their items; the refusal does not say which of the two it means.
  test('what only the items lack is not left out of the order, whose amounts would have no currency', async () => {
    const { adapter, asked } = await serve((path, request, body) => {
      if (path === '/token') return token(request, body)
      const selected = /\$select=([^&]*)/.exec(path)?.[1]?.split(',') ?? []
      if (selected.includes('to_Item/TransactionCurrency')) {
        const words = "Property TransactionCurrency not found in type 'A_SalesOrderItemType'"
        return { status: 400, body: JSON.stringify({ error: { message: { lang: 'en', value: words } } }) }
      }
      const row = {
        SalesOrder: '1',
        TotalNetAmount: '1250.00',
        ...(selected.includes('TransactionCurrency') ? { TransactionCurrency: 'EUR' } : {}),
        to_Item: { results: [{ SalesOrderItem: '10', RequestedQuantity: '1', NetAmount: '1250.00' }] },
      }
      return { body: JSON.stringify({ d: { results: [row] } }) }
    })
    const [read] = (await adapter.ports.order?.readMany(['1'], call)) ?? []
    const money = { amount: '1250.00', currency: 'EUR' }
    expect(value(read)).toMatchObject({ totals: { net: money }, lines: [{ net: money }] })
    const before = asked.length
    await adapter.ports.order?.readMany(['1'], call)
    expect(asked).toHaveLength(before + 1)
  })

  for (const [blocked, status] of [
    [true, 'INACTIVE'],
    [false, 'ACTIVE'],
    [undefined, null],
  ] as const) {
    test(`a partner that is blocked as a whole is not active: ${blocked}`, async () => {
      const row = { BusinessPartner: '17', Customer: '17', BusinessPartnerIsBlocked: blocked }
      const { adapter } = await serve((path, request, body) =>
        path === '/token' ? token(request, body) : { body: JSON.stringify({ d: { results: [row] } }) },
      )
      const [read] = (await adapter.ports.customer?.readMany(['17'], call)) ?? []
      expect(value(read)?.status).toBe(status)
    })
  }
})
