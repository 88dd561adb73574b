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
import type { PurchaseOrder, World } from '../../../simulation/world.ts'

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

/** One order for every two items; each item is on two orders. */
function foundOrders(world: World): void {
  const items = world.all('erpItems')
  for (const [index, item] of items.entries()) {
    const other = items[(index + 1) % items.length] ?? item
    const supplier = SUPPLIERS[index % SUPPLIERS.length] ?? SUPPLIERS[0]
    const quantity = String((index + 1) * 10)
    const day = String((index % 28) + 1).padStart(2, '0')
    placeOrder(world, {
      supplier: supplier.no,
      date: `2026-05-${day}`,
      expected: `2026-07-${day}`,
      status: index % 2 === 0 ? 'OPEN' : 'PARTIAL',
      note: '',
      reference: '',
      requestedBy: '',
      lines: [item, other].map(({ code }) => ({ item: code, quantity })),
    })
  }
}

type NewOrder = Pick<
  PurchaseOrder,
  'supplier' | 'date' | 'expected' | 'status' | 'note' | 'reference' | 'requestedBy'
> & { readonly lines: readonly { readonly item: string; readonly quantity: string }[] }

function placeOrder(world: World, { lines: wanted, ...header }: NewOrder): PurchaseOrder {
  const lines = wanted.map(({ item, quantity }, at) => {
    const one = world.get('erpItems', item)
    if (!one)
      throw new Refusal('S422', `Item ${item} is not in the catalogue`, { line: String((at + 1) * 10) })
    return {
      no: String((at + 1) * 10),
      item,
      quantity,
      received: '0',
      unit: one.unit,
      price: new Big(one.price).times('0.6').toFixed(4),
    }
  })
  const total = lines.reduce((sum, line) => sum.plus(new Big(line.price).times(line.quantity)), new Big(0))
  const order: PurchaseOrder = {
    ...header,
    no: `PO-${String(world.count('purchaseOrders') + 1).padStart(4, '0')}`,
    currency: 'CNY',
    total: total.toFixed(2),
    lines,
    revision: lastRevision(world) + 1,
  }
  world.put('purchaseOrders', order)
  return order
}

const lastRevision = (world: World): number =>
  Math.max(0, ...world.all('purchaseOrders').map(({ revision }) => revision))

class Refusal extends Error {
  readonly attributes: Readonly<Record<string, string>>
  constructor(code: string, message: string, attributes: Readonly<Record<string, string>> = {}) {
    super(message)
    this.attributes = { code, ...attributes }
  }
}

export function startScmSimulator(world: World, options: ScmSimulatorOptions): Promise<Simulator> {
  if (world.count('purchaseOrders') === 0) foundOrders(world)
  /** Scopes by token. */
  const tokens = new Map<string, readonly string[]>()
  const services: Readonly<Record<string, { scope: string; serve: (root: XmlElement) => string }>> = {
    'POST /scm/query': { scope: 'scm.read', serve: (root) => query(world, root) },
    'POST /scm/order': { scope: 'scm.write', serve: (root) => change(world, root) },
  }
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    const call = `${request.method} ${request.path}`
    if (call === 'POST /oauth2/token') return token(tokens, options.clientSecret, request)
    const scopes = tokens.get(String(request.headers.authorization ?? ''))
    if (!scopes) return { status: 401, body: '' }
    const service = services[call]
    if (!service) return { status: 404, body: 'no such service' }
    if (!scopes.includes(service.scope)) return { status: 403, body: '' }
    try {
      if (!/^(application|text)\/xml/.test(String(request.headers['content-type'])))
        throw new Refusal('S415', 'XML is expected')
      return xml(service.serve(rootOf(request.body.toString('utf8'))))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const attributes = Object.entries(error.attributes).map(
        ([name, value]) => ` ${name}="${escaped(value)}"`,
      )
      return xml(`<Fault${attributes.join('')}><Text>${escaped(error.message)}</Text></Fault>`)
    }
  }
  return startSimulatorServer({ ...(options.port ? { port: options.port } : {}), handle })
}

const xml = (body: string): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'text/xml; charset=utf-8' },
  body: `<?xml version="1.0" encoding="utf-8"?>\n${body}`,
})

function token(
  tokens: Map<string, readonly string[]>,
  secret: string,
  request: SimulatedRequest,
): SimulatedResponse {
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
  const scopes = form.get('scope')?.split(' ') ?? []
  if (scopes.length === 0 || !scopes.every((scope) => scope === 'scm.read' || scope === 'scm.write'))
    return json(400, { error: 'invalid_scope' })
  const value = randomUUID()
  tokens.set(`Bearer ${value}`, scopes)
  return json(200, { access_token: value, token_type: 'Bearer', expires_in: 900 })
}

/** Child elements by name. A name that is not one of these is refused. */
function childrenOf(
  root: XmlElement,
  ...known: readonly string[]
): ReadonlyMap<string, readonly XmlElement[]> {
  const children = new Map<string, XmlElement[]>()
  for (let child = root.firstChild; child; child = child.nextSibling) {
    if (child.nodeType !== child.ELEMENT_NODE) continue
    if (!known.includes(child.nodeName)) throw new Refusal('S400', `unknown element ${child.nodeName}`)
    children.set(child.nodeName, [...(children.get(child.nodeName) ?? []), child as XmlElement])
  }
  return children
}

function textsIn(root: XmlElement, ...known: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const all = [...childrenOf(root, ...known)]
  return new Map(all.map(([name, elements]) => [name, elements.map(({ textContent }) => textContent ?? '')]))
}

/* ---- orders are made and changed ---- */

function change(world: World, root: XmlElement): string {
  switch (root.nodeName) {
    case 'PurchaseOrderCreate':
      return result([showOrder(create(world, root))])
    case 'PurchaseOrderUpdate': {
      const order = orderOf(world, root)
      const texts = textsIn(root, 'ExpectedDate', 'Note')
      if (order.status === 'CANCELLED') throw new Refusal('S422', `Order ${order.no} is cancelled`)
      const expected = texts.get('ExpectedDate')?.[0] ?? order.expected
      return result([
        showOrder(
          put(world, { ...order, expected: dayOf(expected), note: texts.get('Note')?.[0] ?? order.note }),
        ),
      ])
    }
    case 'PurchaseOrderCancel': {
      const order = orderOf(world, root)
      const reason = textsIn(root, 'Reason').get('Reason')?.[0] ?? ''
      if (order.status !== 'OPEN') throw new Refusal('S422', `Order ${order.no} is ${order.status}`)
      return result([showOrder(put(world, { ...order, status: 'CANCELLED', note: reason }))])
    }
    default:
      throw new Refusal('S400', `unknown document ${root.nodeName}`)
  }
}

function create(world: World, root: XmlElement): PurchaseOrder {
  const children = childrenOf(root, 'Reference', 'Supplier', 'ExpectedDate', 'RequestedBy', 'Note', 'Line')
  const text = (name: string) => children.get(name)?.[0]?.textContent ?? ''
  const reference = text('Reference')
  if (reference === '' || reference.length > 40) throw new Refusal('S400', 'Reference has 1 to 40 characters')
  const known = world.find('purchaseOrders', 'reference', reference)
  if (known) throw new Refusal('S409', `Reference ${reference} is taken`, { order: known.no })
  const supplier = SUPPLIERS.find(({ no }) => no === text('Supplier'))
  if (!supplier) throw new Refusal('S422', `There is no supplier ${text('Supplier')}`, { field: 'Supplier' })
  const lines = (children.get('Line') ?? []).map((line, at) => {
    const quantity = line.getAttribute('quantity') ?? ''
    if (!/^\d{1,9}(\.\d{1,3})?$/.test(quantity) || new Big(quantity).eq(0))
      throw new Refusal('S422', 'Quantity must be more than zero', {
        line: String((at + 1) * 10),
        field: 'quantity',
      })
    return { item: line.getAttribute('item') ?? '', quantity }
  })
  if (lines.length === 0) throw new Refusal('S422', 'An order needs a line')
  return placeOrder(world, {
    supplier: supplier.no,
    date: new Date().toISOString().slice(0, 10),
    expected: dayOf(text('ExpectedDate')),
    status: 'OPEN',
    note: text('Note'),
    reference,
    requestedBy: text('RequestedBy'),
    lines,
  })
}

function dayOf(text: string): string {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return text
  throw new Refusal('S422', `"${text}" is no day`, { field: 'ExpectedDate' })
}

function orderOf(world: World, root: XmlElement): PurchaseOrder {
  const no = root.getAttribute('no') ?? ''
  const order = world.get('purchaseOrders', no)
  if (order) return order
  throw new Refusal('S404', `There is no order ${no}`)
}

function put(world: World, order: PurchaseOrder): PurchaseOrder {
  const changed = { ...order, revision: lastRevision(world) + 1 }
  world.put('purchaseOrders', changed)
  return changed
}

/* ---- questions ---- */

const result = (parts: readonly string[]): string =>
  `<PurchaseOrderResult>${parts.join('')}</PurchaseOrderResult>`

function query(world: World, root: XmlElement): string {
  const known = ['No', 'Supplier', 'Item', 'Reference', 'ChangedAfter', 'Size', 'Cursor']
  const values = textsIn(root, ...known)
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
      only(...known)
      const matches = (name: string, of: readonly string[]) =>
        !values.has(name) || of.some((one) => values.get(name)?.includes(one))
      const size = sizeOf(values)
      const after = values.get('ChangedAfter')?.[0]
      if (after !== undefined) return changedAfter(world, after, size)
      const cursor = values.get('Cursor')?.[0]
      const found = world
        .all('purchaseOrders')
        .filter(
          ({ no, supplier, reference, lines }) =>
            matches('No', [no]) &&
            matches('Supplier', [supplier]) &&
            matches('Reference', [reference]) &&
            matches(
              'Item',
              lines.map(({ item }) => item),
            ),
        )
        .reverse()
        .filter(({ no }) => cursor === undefined || no < cursor)
      const page = found.slice(0, size)
      const next = found.length > size ? `<Next>${page.at(-1)?.no}</Next>` : ''
      return result([...page.map(showOrder), next])
    }
    default:
      throw new Refusal('S400', `unknown query ${root.nodeName}`)
  }
}

/** Oldest change first, and how far that reaches. An empty mark means: from now on. */
function changedAfter(world: World, mark: string, size: number): string {
  if (mark === '') return result([`<Last>${lastRevision(world)}</Last>`])
  if (!/^\d+$/.test(mark)) throw new Refusal('S400', 'ChangedAfter is a number')
  const changed = world
    .all('purchaseOrders')
    .filter(({ revision }) => revision > Number(mark))
    .sort((a, b) => a.revision - b.revision)
    .slice(0, size)
  return result([...changed.map(showOrder), `<Last>${changed.at(-1)?.revision ?? mark}</Last>`])
}

function sizeOf(values: ReadonlyMap<string, readonly string[]>): number {
  const size = Number(values.get('Size')?.[0] ?? '100')
  if (!(size >= 1 && size <= 100)) throw new Refusal('S400', 'Size is a number from 1 to 100')
  return size
}

const showOrder = (order: PurchaseOrder): string =>
  `<PurchaseOrder no="${order.no}" rev="${order.revision}"><Supplier>${order.supplier}</Supplier><OrderDate>${order.date}</OrderDate>` +
  `<ExpectedDate>${order.expected}</ExpectedDate><Status>${order.status}</Status><Currency>${order.currency}</Currency>` +
  `<Note>${escaped(order.note)}</Note><Reference>${escaped(order.reference)}</Reference>` +
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
