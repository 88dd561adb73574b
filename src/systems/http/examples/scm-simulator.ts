/**
 * A supply chain system that speaks XML behind an OAuth 2.0 token: suppliers, and purchase orders of the items that
 * the ERP has. Reads its requests with another parser than the adapter, and refuses what it does not know.
 */
import { randomUUID } from 'node:crypto'
import { DOMParser, type Element as XmlElement } from '@xmldom/xmldom'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../../simulation/server.ts'
import type { World } from '../../../simulation/world.ts'

export interface ScmSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly clientSecret: string
}

const SUPPLIERS = [
  { no: 'S-100', name: '宁波东海轴承有限公司', country: 'CN', mail: 'sales@donghai.example' },
  { no: 'S-200', name: 'Müller & Söhne <Antriebe> GmbH', country: 'DE', mail: 'vertrieb@mueller.example' },
  { no: 'S-300', name: '東京精工株式会社', country: 'JP', mail: '' },
] as const

interface PurchaseOrder {
  readonly no: string
  readonly supplier: string
  readonly date: string
  readonly expected: string
  readonly status: string
  readonly currency: string
  readonly total: string
  readonly lines: readonly {
    no: string
    item: string
    quantity: string
    received: string
    unit: string
    price: string
  }[]
}

/** One order for every two items; each item is on two orders. */
function ordersOf(world: World): PurchaseOrder[] {
  const items = world.all('erpItems')
  return items.map((item, index) => {
    const other = items[(index + 1) % items.length] ?? item
    const supplier = SUPPLIERS[index % SUPPLIERS.length] ?? SUPPLIERS[0]
    const lines = [item, other].map((one, at) => ({
      no: String((at + 1) * 10),
      item: one.code,
      quantity: String((index + 1) * 10),
      received: '0',
      unit: one.unit,
      price: new Big(one.price).times('0.6').toFixed(4),
    }))
    const total = lines.reduce((sum, line) => sum.plus(new Big(line.price).times(line.quantity)), new Big(0))
    const day = String((index % 28) + 1).padStart(2, '0')
    return {
      no: `PO-${String(index + 1).padStart(4, '0')}`,
      supplier: supplier.no,
      date: `2026-05-${day}`,
      expected: `2026-07-${day}`,
      status: index % 2 === 0 ? 'OPEN' : 'PARTIAL',
      currency: 'CNY',
      total: total.toFixed(2),
      lines,
    }
  })
}

class Refusal extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

export function startScmSimulator(world: World, options: ScmSimulatorOptions): Promise<Simulator> {
  const tokens = new Set<string>()
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    const call = `${request.method} ${request.path}`
    if (call === 'POST /oauth2/token') return token(tokens, options.clientSecret, request)
    if (!tokens.has(String(request.headers.authorization ?? ''))) return { status: 401, body: '' }
    if (call !== 'POST /scm/query') return { status: 404, body: 'no such service' }
    try {
      return xml(query(world, request))
    } catch (error) {
      if (error instanceof Refusal)
        return xml(`<Fault code="${error.code}"><Text>${escaped(error.message)}</Text></Fault>`)
      throw error
    }
  }
  return startSimulatorServer({ ...(options.port ? { port: options.port } : {}), handle })
}

const xml = (body: string): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'text/xml; charset=utf-8' },
  body: `<?xml version="1.0" encoding="utf-8"?>\n${body}`,
})

function token(tokens: Set<string>, secret: string, request: SimulatedRequest): SimulatedResponse {
  const json = (status: number, body: object): SimulatedResponse => ({
    status,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const form = new URLSearchParams(request.body.toString('utf8'))
  const [, coded = ''] = String(request.headers.authorization ?? '').split('Basic ')
  if (Buffer.from(coded, 'base64').toString('utf8') !== `gateway:${secret}`)
    return json(401, { error: 'invalid_client' })
  if (form.get('grant_type') !== 'client_credentials') return json(400, { error: 'unsupported_grant_type' })
  if (form.get('scope') !== 'scm.read') return json(400, { error: 'invalid_scope' })
  const value = randomUUID()
  tokens.add(`Bearer ${value}`)
  return json(200, { access_token: value, token_type: 'Bearer', expires_in: 900 })
}

function query(world: World, request: SimulatedRequest): string {
  if (!/^(application|text)\/xml/.test(String(request.headers['content-type'])))
    throw new Refusal('S415', 'XML is expected')
  const root = rootOf(request.body.toString('utf8'))
  const values = new Map<string, string[]>()
  for (let child = root.firstChild; child; child = child.nextSibling) {
    if (child.nodeType !== child.ELEMENT_NODE) continue
    values.set(child.nodeName, [...(values.get(child.nodeName) ?? []), child.textContent ?? ''])
  }
  const only = (...names: string[]) => {
    for (const name of values.keys())
      if (!names.includes(name)) throw new Refusal('S400', `unknown element ${name}`)
  }
  switch (root.nodeName) {
    case 'SupplierQuery': {
      only('No', 'Size')
      const nos = values.get('No')
      const found = SUPPLIERS.filter(({ no }) => !nos || nos.includes(no)).slice(0, sizeOf(values))
      return `<SupplierResult>${found
        .map(
          (one) =>
            `<Supplier no="${one.no}"><Name>${escaped(one.name)}</Name><Country>${one.country}</Country><Mail>${one.mail}</Mail></Supplier>`,
        )
        .join('')}</SupplierResult>`
    }
    case 'PurchaseOrderQuery': {
      only('No', 'Supplier', 'Item', 'Size', 'Cursor')
      const matches = (name: string, of: readonly string[]) =>
        !values.has(name) || of.some((one) => values.get(name)?.includes(one))
      const cursor = values.get('Cursor')?.[0]
      const found = ordersOf(world)
        .filter(
          ({ no, supplier, lines }) =>
            matches('No', [no]) &&
            matches('Supplier', [supplier]) &&
            matches(
              'Item',
              lines.map(({ item }) => item),
            ),
        )
        .reverse()
        .filter(({ no }) => cursor === undefined || no < cursor)
      const size = sizeOf(values)
      const page = found.slice(0, size)
      const next = found.length > size ? `<Next>${page.at(-1)?.no}</Next>` : ''
      return `<PurchaseOrderResult>${page.map(showOrder).join('')}${next}</PurchaseOrderResult>`
    }
    default:
      throw new Refusal('S400', `unknown query ${root.nodeName}`)
  }
}

function sizeOf(values: ReadonlyMap<string, readonly string[]>): number {
  const size = Number(values.get('Size')?.[0] ?? '100')
  if (!(size >= 1 && size <= 100)) throw new Refusal('S400', 'Size is a number from 1 to 100')
  return size
}

const showOrder = (order: PurchaseOrder): string =>
  `<PurchaseOrder no="${order.no}"><Supplier>${order.supplier}</Supplier><OrderDate>${order.date}</OrderDate>` +
  `<ExpectedDate>${order.expected}</ExpectedDate><Status>${order.status}</Status><Currency>${order.currency}</Currency>` +
  `<Total>${order.total}</Total><Lines>${order.lines
    .map(
      (line) =>
        `<Line no="${line.no}" item="${line.item}"><Quantity>${line.quantity}</Quantity><Received>${line.received}</Received>` +
        `<Unit>${escaped(line.unit)}</Unit><Price>${line.price}</Price></Line>`,
    )
    .join('')}</Lines></PurchaseOrder>`

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

function rootOf(text: string): XmlElement {
  try {
    const root = new DOMParser({
      onError: (_level, message) => {
        throw new Error(message)
      },
    }).parseFromString(text, 'text/xml').documentElement
    if (root) return root
  } catch {
    // told below
  }
  throw new Refusal('S400', 'not well-formed')
}
