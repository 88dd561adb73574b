import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/observe/log.ts'
import { startSimulatorServer } from '../../src/simulation/server.ts'
import { moveStock } from '../../src/simulation/trade.ts'
import { World } from '../../src/simulation/world.ts'
import type { CustomerCreate, OrderCreate } from '../../src/systems/port.ts'
import { createRestErp } from '../../src/systems/rest-erp/adapter.ts'
import { restErpConfig } from '../../src/systems/rest-erp/config.ts'
import { type RestErpSimulatorOptions, startRestErpSimulator } from '../../src/systems/rest-erp/simulator.ts'
import { closing, context, failureOf, given, must, startReceiver, until, write } from './rest-kit.ts'

const TOKEN = 'erp-token-91c2'
const AUTH = { type: 'bearer', token: TOKEN } as const

function connect(baseUrl: string, settings: Record<string, unknown> = {}, timeoutMs = 2_000) {
  const config = restErpConfig.parse({ baseUrl, auth: AUTH, contract: 'extended', ...settings })
  const adapter = closing(createRestErp(config, { systemId: 'erp', log: silentLog, timeoutMs }))
  const { customer, product, inventoryLevel, order } = adapter.ports
  return { adapter, customer, product, stock: inventoryLevel, order }
}

interface Start extends Partial<RestErpSimulatorOptions> {
  readonly settings?: Record<string, unknown>
  readonly timeoutMs?: number
}

async function start({ settings, timeoutMs, ...options }: Start = {}) {
  const world = new World({ customers: 6, products: 6, orders: 0 })
  const erp = closing(await startRestErpSimulator(world, { auth: AUTH, ...options }))
  const connected = connect(erp.url, { contract: options.contract ?? 'extended', ...settings }, timeoutMs)
  return { world, erp, ...connected }
}

const newOrder: OrderCreate = {
  customer: 'C20001',
  dueDate: '2026-12-31',
  customerReference: 'PO 4711 🧾',
  comments: '急',
  lines: [
    { product: 'A00003', quantity: '2' },
    { product: 'A00001', quantity: '10', unitPrice: '12.3456', discountPercent: '2.5', warehouse: '02' },
  ],
}

describe('what the ERP holds is read', () => {
  test('a customer has its account, contacts and addresses', async () => {
    const { customer } = await start()
    expect(given((await must(customer).readMany(['C20001'], context))[0])).toEqual({
      key: 'C20001',
      version: '1',
      name: '上海晨光精密机械有限公司',
      code: 'C20001',
      legalName: '上海晨光精密机械有限公司（本部）',
      type: 'COMPANY',
      status: 'ACTIVE',
      vendorStatus: 'active',
      parent: null,
      tags: ['重点客户'],
      industry: '机械制造',
      taxNumber: '91310001MA1K007919',
      phone: null,
      email: null,
      contacts: [
        {
          name: '上海晨光精密机械有限公司',
          title: null,
          phone: '+86 21 5550 0001',
          email: 'info@chenguang-jm.example',
          primary: true,
        },
      ],
      addresses: [
        {
          type: 'BILLING',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: '上海市',
          postalCode: '201203',
          country: 'CN',
          default: true,
        },
        {
          type: 'SHIPPING',
          street: '青浦区华新镇华腾路 1288 号 3 库',
          city: '上海',
          province: '上海市',
          postalCode: '201708',
          country: 'CN',
          default: true,
        },
        { type: 'REGISTERED', street: '浦东新区张江路 88 号' },
      ],
      account: {
        company: null,
        currency: 'CNY',
        creditLimit: { amount: '105000.00', currency: 'CNY' },
        paymentTerms: '月结 30 天',
      },
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-04-20T09:00:00.000Z',
    })
  })

  test('a product has all that the seed gives it', async () => {
    const { product } = await start({ settings: { unitCodes: { 个: 'C62' } } })
    expect(given((await must(product).readMany(['A00001'], context))[0])).toMatchObject({
      sku: 'A00001',
      description: '深沟球轴承，双面密封',
      category: { key: '101', name: '轴承', path: ['机械件', '轴承'] },
      specifications: [
        { name: '内径', value: '20', unit: 'mm' },
        { name: '材质', value: 'GCr15', unit: null },
      ],
      price: { amount: { amount: '12.80', currency: 'CNY' }, per: '1', taxIncluded: false },
      cost: { amount: '7.35', currency: 'CNY' },
      taxRate: '13',
      minOrder: { value: '10', unit: 'C62', vendorUnit: '个' },
      maxOrder: { value: '5000', unit: 'C62', vendorUnit: '个' },
      supplier: { key: 'V30001', name: '洛阳轴研精工', leadTimeDays: 14 },
      images: ['https://files.example/6204.jpg'],
      videos: null,
      documents: ['https://files.example/6204.pdf'],
      active: true,
      status: 'ACTIVE',
      vendorStatus: 'active',
      tags: ['标准件', '热销'],
    })
  })

  test('answers stand in the order of the keys, missing ones are null, repeated ones are asked once', async () => {
    const { product, erp } = await start()
    const outcomes = await must(product).readMany(['A00002', 'X', 'A00001', 'A00002', '..'], context)
    expect(outcomes.map((outcome) => given(outcome)?.name ?? null)).toEqual([
      '伺服电机 750W',
      null,
      '精密轴承 6204',
      '伺服电机 750W',
      null,
    ])
    expect(given(outcomes[2])).toMatchObject({ barcode: '6900000104729', unit: '个', active: true })
    expect(erp.calls).toEqual(['GET /erp/products?ids=A00002%2CX%2CA00001'])
  })

  test('stock is told by warehouse; a product that is not there has none', async () => {
    const { stock } = await start({ settings: { unitCodes: { 个: 'C62' } } })
    const [levels, none] = await must(stock?.lookups?.byProduct).read(['A00001', 'X'], context)
    expect(given(levels).map(({ warehouse, onHand }) => [warehouse, onHand.value])).toEqual([
      ['01', '37'],
      ['02', '348'],
      ['YOK', '770'],
    ])
    expect(given(levels)[0]?.onHand).toEqual({ value: '37', unit: 'C62', vendorUnit: '个' })
    expect(given(none)).toEqual([])
    const [one, missing] = await must(stock).readMany(['A00001/02', 'A00001/HAM'], context)
    expect(given(one)?.key).toBe('A00001/02')
    expect(given(missing)).toBeNull()
  })

  test('an order has its lines, its amounts and its status', async () => {
    const { order } = await start()
    const half = given((await must(order).readMany(['SO-2'], context))[0])
    expect(half).toMatchObject({
      number: '1006',
      customer: 'C20001',
      customerReference: 'CG-2026-0608',
      orderDate: '2026-06-08',
      dueDate: '2026-06-30',
      status: 'IN_PROGRESS',
      vendorStatus: 'PROCESSING',
      documentType: 'sales',
      statusSince: '2026-06-15T09:00:00.000Z',
      deliveredOn: null,
      shipTo: {
        name: '李强',
        phone: '+86 21 5550 0001',
        address: {
          street: '青浦区华新镇华腾路 1288 号 3 库',
          city: '上海',
          province: '上海市',
          postalCode: '201708',
          country: 'CN',
        },
      },
      payment: { method: 'TRANSFER', terms: '月结 30 天', dueDate: '2026-07-08', paid: null, paidOn: null },
      precededBy: [
        { type: 'QUOTATION', number: 'QT-2026-031' },
        { type: 'CONTRACT', number: 'HT-2026-007' },
      ],
      createdBy: 'erp',
      totals: {
        net: { amount: '11318', currency: 'CNY' },
        tax: { amount: '1471.34', currency: 'CNY' },
        gross: { amount: '12789.34', currency: 'CNY' },
      },
    })
    expect(half?.lines[0]).toMatchObject({
      id: '1',
      product: 'A00002',
      ordered: { value: '4', vendorUnit: '台' },
      unitPrice: { amount: { amount: '1680.0000', currency: 'CNY' }, per: '1', taxIncluded: false },
      taxRate: '13',
    })
    expect(half?.timeline).toBeUndefined()
  })

  test('its timeline comes where it is asked for, oldest first; an order without one is still an order', async () => {
    const { order, erp } = await start({ settings: { timeline: true } })
    const [done] = await must(order).readMany(['SO-1'], context)
    expect(given(done)?.timeline).toEqual([
      { status: 'NEW', vendorStatus: 'CREATED', time: '2026-05-11T09:00:00.000Z', note: null },
      {
        status: 'IN_PROGRESS',
        vendorStatus: 'PROCESSING',
        time: '2026-05-21T09:00:00.000Z',
        note: '出货单 5001',
      },
      { status: 'DELIVERED', vendorStatus: 'DELIVERED', time: '2026-05-21T09:00:00.000Z', note: null },
    ])
    erp.setFaults([{ kind: 'status', status: 500, match: '/status' }])
    const [bare] = await must(order).readMany(['SO-1'], context)
    expect(given(bare)).toMatchObject({ number: '1003' })
    expect(given(bare)?.timeline).toBeUndefined()
  })

  test('orders are found by number and by customer', async () => {
    const { order } = await start()
    const [found, none] = await must(order?.lookups?.byNumber).read(['1003', '9'], context)
    expect(given(found).map(({ key }) => key)).toEqual(['SO-1'])
    expect(given(none)).toEqual([])
    const [mine] = await must(order?.lookups?.byCustomer).read(['C20001'], context)
    expect(given(mine).map(({ number }) => number)).toEqual(['1009', '1006', '1003'])
  })

  test('pages are complete while orders are added', async () => {
    const { order, world } = await start({ settings: { pageLimit: 3 } })
    const list = must(must(order).list)
    const first = given(await list({ first: 3 }, context))
    given(await must(must(order).create).send(newOrder, write, context))
    const rest = given(await list({ first: 50, after: must(first.items.at(-1)).position }, context))
    const seen = [...first.items, ...rest.items].map(({ record }) => record.key)
    expect(seen).toHaveLength(world.count('erpOrders') - 1)
    expect(new Set(seen).size).toBe(seen.length)
  })

  test('what a purchase is called is no sales order; one that cannot be read fails alone', async () => {
    const order = (more: object) => ({
      externalId: 'P1',
      orderNumber: '1',
      items: [],
      amounts: { currency: 'CNY', totalAmount: 1 },
      status: { code: 'SOMETHING' },
      ...more,
    })
    const answers: Record<string, unknown> = {
      '/erp/orders/P1': order({ orderType: 'purchase' }),
      '/erp/orders/P2': order({ items: [{ lineNumber: 1, quantity: 'many' }] }),
      '/erp/orders/P3': order({ externalId: 'P3', amounts: { totalAmount: 1.5 } }),
    }
    const server = closing(
      await startSimulatorServer({
        handle: ({ path }) => ({ status: 200, body: JSON.stringify({ success: true, data: answers[path] }) }),
      }),
    )
    const read = await must(connect(server.url, { contract: 'standard' }).order).readMany(
      ['P1', 'P2', 'P3'],
      context,
    )
    expect(given(read[0])).toBeNull()
    expect(failureOf(read[1])).toMatchObject({ kind: 'invalid-response' })
    // A number without a currency is no money; the code that nobody has explained survives.
    expect(given(read[2])).toMatchObject({
      status: 'UNKNOWN',
      vendorStatus: 'SOMETHING',
      totals: { gross: null },
    })
  })
})

describe('the standard interface, to the letter', () => {
  test('each record is asked for by its own path, pages are numbered', async () => {
    const { product, customer, order, erp } = await start({
      contract: 'standard',
      settings: { pageLimit: 2 },
    })
    await must(product).readMany(['A00001', 'A00002'], context)
    given(await must(must(customer).list)({ first: 3 }, context))
    expect(erp.calls).toEqual([
      'GET /erp/products/A00001',
      'GET /erp/products/A00002',
      'GET /erp/customers?page=1&limit=2',
      'GET /erp/customers?page=2&limit=2',
    ])
    expect(must(order).list).toBeUndefined()
    expect(
      failureOf(await must(must(customer).list)({ first: 3, filter: { search: 'x' } }, context)),
    ).toMatchObject({ kind: 'unsupported' })
  })

  test('what was changed is polled by updatedSince, with the clock of the Date header', async () => {
    const { customer, world } = await start({ contract: 'standard' })
    const changes = must(must(customer).changes)
    const begin = given(await changes(null, context))
    expect(begin.records).toEqual([])
    const account = must(world.get('erpAccounts', 'C20003'))
    world.put('erpAccounts', { ...account, name: 'Renamed', updatedAt: new Date().toISOString() })
    const page = given(await changes(begin.checkpoint, context))
    expect(page.records.map(({ key, name }) => [key, name])).toEqual([['C20003', 'Renamed']])
  })

  test('what is listed and polled can be narrowed by status and category', async () => {
    const only = { customers: { status: 'active' }, products: { status: 'active', category: '101' } }
    const { customer, product, world, erp } = await start({ contract: 'standard', settings: { only } })
    world.put('erpAccounts', { ...must(world.get('erpAccounts', 'C20003')), frozen: true })
    const page = given(await must(must(customer).list)({ first: 50 }, context))
    expect(page.items.map(({ record }) => record.key)).not.toContain('C20003')
    const ofGroup = given(await must(must(product).list)({ first: 50 }, context))
    // Groups go round: 100 + rank % 5.
    expect(ofGroup.items.map(({ record }) => record.key).sort()).toEqual(['A00001', 'A00006'])
    erp.clearCalls()
    const changes = must(must(product).changes)
    given(await changes(given(await changes(null, context)).checkpoint, context))
    expect(erp.calls.at(-1)).toMatch(/^GET \/erp\/products\?status=active&category=101&updatedSince=/)
    // By key it can still be read.
    expect(given((await must(customer).readMany(['C20003'], context))[0])?.status).toBe('INACTIVE')
  })

  test('stock that moves is told by polling, as a change of its product', async () => {
    const { stock, world } = await start({ contract: 'standard' })
    const changes = must(must(stock).changes)
    const { checkpoint } = given(await changes(null, context))
    expect(given(await changes(checkpoint, context)).records).toEqual([])
    moveStock(world, 'A00002', '02', { inStock: '-5' })
    const { records } = given(await changes(checkpoint, context))
    const levels = world.all('erpStock').filter(({ item }) => item === 'A00002')
    expect(records.map(({ key, onHand }) => [key, onHand.value])).toEqual(
      levels.map(({ item, warehouse, inStock }) => [`${item}/${warehouse}`, inStock]),
    )
  })

  test('a lost answer to a create stays lost', async () => {
    const { order, erp } = await start({ contract: 'standard' })
    const create = must(must(order).create)
    erp.setFaults([{ kind: 'drop-after' }])
    expect(failureOf(await create.send(newOrder, write, context))?.kind).toBe('unknown-outcome')
    erp.setFaults([])
    expect(given(await create.verify(newOrder, write, context))).toMatchObject({
      effect: 'unknown',
    })
  })
})

describe('orders are written', () => {
  test('created once, in the name of the one who asked, with every digit', async () => {
    const { order, world, erp } = await start()
    const create = must(must(order).create)
    const made = given(await create.send(newOrder, write, context))
    expect(made.key).toBe('SO-9')
    expect(given(await create.send(newOrder, write, context)).key).toBe('SO-9')
    expect(must(world.get('erpOrders', '9'))).toMatchObject({
      cardCode: 'C20001',
      currency: 'CNY',
      dueDate: '2026-12-31',
      numAtCard: 'PO 4711 🧾',
      comments: '急',
      confirmed: false,
      userFields: { U_CreatedBy: '王芳', U_ExternalRef: write.externalReference },
      lines: [
        { item: 'A00003', quantity: '2', warehouse: '01' },
        { item: 'A00001', quantity: '10', unitPrice: '12.3456', discountPercent: '2.5', warehouse: '02' },
      ],
    })
    expect(world.count('erpOrders')).toBe(9)
    expect(erp.calls.filter((call) => call.startsWith('POST'))).toHaveLength(2)
  })

  test.each(['drop-after', 'hang-after', 'truncate'] as const)(
    'a lost answer (%s) is an unknown outcome; looking finds what became of it',
    async (kind) => {
      const { order, erp } = await start({ timeoutMs: kind === 'hang-after' ? 1_000 : 5_000 })
      const create = must(must(order).create)
      erp.setFaults([{ kind }])
      expect(failureOf(await create.send(newOrder, write, context))?.kind).toBe('unknown-outcome')
      erp.setFaults([])
      const verdict = given(await create.verify(newOrder, write, context))
      expect(verdict).toMatchObject({ effect: 'done', result: { key: 'SO-9' } })
      const other = { ...write, externalReference: 'f'.repeat(32) }
      expect(given(await create.verify(newOrder, other, context))).toMatchObject({
        effect: 'none',
        proven: true,
      })
    },
  )

  test('what the ERP refuses keeps its words, line and field', async () => {
    const { order } = await start()
    const create = must(must(order).create)
    const refused = await create.send(
      { ...newOrder, lines: [{ product: 'B1', quantity: '1' }] },
      write,
      context,
    )
    expect(failureOf(refused)).toEqual({
      kind: 'rejected',
      code: '40001',
      message: '产品不存在',
      line: '1',
      field: 'items[0].product.id',
      details: { field: 'items[0].product.id', line: '1', product: 'B1' },
    })
    expect(failureOf(await create.send({ ...newOrder, currency: 'USD' }, write, context))).toMatchObject({
      kind: 'rejected',
      message: '币种与客户不符',
    })
    const odd = { ...newOrder, lines: [{ product: 'A00001', quantity: '1e3' }] }
    expect(failureOf(await create.send(odd, write, context))).toMatchObject({ code: 'DECIMAL', line: '1' })
  })

  test('custom fields and defaults go there, and come back', async () => {
    const { order, world } = await start({
      settings: {
        customFields: { order: { channel: 'metadata.customFields.channel' } },
        orderDefaults: { 'payment.terms': '月结 30 天' },
        lineDefaults: { taxRate: 13 },
      },
    })
    const create = must(must(order).create)
    const input = { ...newOrder, customFields: { channel: '抖音' } }
    expect(JSON.parse(must(create.preview(input, write).body))).toEqual({
      payment: { terms: '月结 30 天' },
      orderType: 'sales',
      customer: { id: 'C20001' },
      references: { externalRef: write.externalReference, customerReference: 'PO 4711 🧾' },
      delivery: { expectedDate: '2026-12-31' },
      metadata: { notes: '急', createdBy: '王芳', customFields: { channel: '抖音' } },
      items: [
        { taxRate: 13, lineNumber: 1, product: { id: 'A00003' }, quantity: 2 },
        {
          taxRate: 13,
          lineNumber: 2,
          product: { id: 'A00001' },
          quantity: 10,
          unitPrice: 12.3456,
          discount: 2.5,
          warehouse: '02',
        },
      ],
    })
    const { key } = given(await create.send(input, write, context))
    expect(given((await must(order).readMany([key], context))[0])?.customFields).toEqual({ channel: '抖音' })
    const strange = await create.send({ ...newOrder, customFields: { colour: 'red' } }, write, context)
    expect(failureOf(strange)?.kind).toBe('unsupported')
    expect(world.count('erpOrders')).toBe(9)
  })

  test('all that OrderData has a place for goes there and comes back', async () => {
    const { order, world } = await start({
      settings: { customFields: { line: { batch: 'notes' } }, fields: { line: { comments: 'remark' } } },
    })
    expect(must(order).create?.takes).toEqual([
      'shipTo',
      'paymentTerms',
      'paymentMethod',
      'precededBy',
      'lines.comments',
      'lines.customFields',
    ])
    const create = must(must(order).create)
    const address = {
      street: '园区 2 号',
      city: '苏州',
      province: '江苏省',
      postalCode: '215000',
      country: 'CN',
    }
    const input: OrderCreate = {
      ...newOrder,
      shipTo: { name: '赵敏', phone: '+86 512', address },
      paymentTerms: '款到发货',
      paymentMethod: 'CASH',
      precededBy: [
        { type: 'PROPOSAL', number: 'P-1' },
        { type: 'CONTRACT', number: 'HT-1' },
      ],
      lines: [{ product: 'A00003', quantity: '2', customFields: { batch: 'B-7' } }],
    }
    const { key } = given(await create.send(input, write, context))
    expect(given((await must(order).readMany([key], context))[0])).toMatchObject({
      shipTo: { name: '赵敏', phone: '+86 512', address },
      payment: { method: 'CASH', terms: '款到发货' },
      precededBy: input.precededBy,
      createdBy: '王芳',
      lines: [{ customFields: { batch: 'B-7' } }],
    })
    const update = must(must(order).update)
    const change = {
      key,
      changes: { shipTo: { name: '门卫', address: { street: '园区 3 号' } }, paymentTerms: 'Net 60' },
    }
    expect(given(await update.verify(change, write, context))).toMatchObject({
      evidence: expect.stringContaining('paymentTerms, shipTo'),
    })
    given(await update.send(change, write, context))
    expect(given(await update.verify(change, write, context)).effect).toBe('done')
    expect(world.get('erpOrders', '9')?.shipTo).toEqual({
      name: '门卫',
      phone: '',
      street: '园区 3 号',
      city: '',
      province: '',
      zip: '',
      country: '',
    })
    for (const more of [
      { precededBy: [{ type: 'INVOICE' as const, number: '1' }] },
      { precededBy: ['1', '2'].map((number) => ({ type: 'CONTRACT' as const, number })) },
      { lines: [{ product: 'A00003', quantity: '2', customFields: { colour: 'red' } }] },
    ]) {
      expect(failureOf(await create.send({ ...newOrder, ...more }, write, context))?.kind).toBe('unsupported')
    }
  })

  test('the seed has no place for who receives the goods: its orders go to the customer', async () => {
    const { order } = await start({ contract: 'standard' })
    expect(must(order).create?.takes).not.toContain('shipTo')
    expect(must(order).update?.takes).toEqual(['paymentTerms'])
    const { order: named } = await start({
      contract: 'standard',
      settings: { fields: { order: { recipient: 'delivery.recipient' } } },
    })
    const shipTo = { name: '赵敏', phone: '1', address: { street: 'x' } }
    expect(must(named).create?.takes).toContain('shipTo')
    expect(
      failureOf(await must(must(named).create).send({ ...newOrder, shipTo }, write, context)),
    ).toMatchObject({ kind: 'unsupported', message: expect.stringContaining('telephone') })
  })

  test('tax rates that are fractions over there are per cent here', async () => {
    const item = {
      externalId: 'P',
      sku: 'P',
      name: 'x',
      pricing: { standardPrice: 1, currency: 'CNY', taxRate: 0.13 },
    }
    const server = closing(
      await startSimulatorServer({
        handle: () => ({ status: 200, body: JSON.stringify({ success: true, data: item }) }),
      }),
    )
    const { product } = connect(server.url, { contract: 'standard', taxRates: 'fraction' })
    expect(given((await must(product).readMany(['P'], context))[0])?.taxRate).toBe('13')
  })

  test('a change expects a version, and is found again when its answer was lost', async () => {
    const { order, erp } = await start()
    const update = must(must(order).update)
    const change = { key: 'SO-3', expectedVersion: '1', changes: { comments: '改期', dueDate: '2026-08-01' } }
    erp.setFaults([{ kind: 'drop-after', times: 1 }])
    expect(failureOf(await update.send(change, write, context))?.kind).toBe('unknown-outcome')
    const found = given(await update.verify(change, write, context))
    expect(found).toMatchObject({ effect: 'done', result: { record: { comments: '改期', version: '2' } } })
    const late = await update.send({ ...change, changes: { comments: 'x' } }, write, context)
    expect(failureOf(late)).toEqual({ kind: 'conflict', message: '数据已被他人修改', currentVersion: '2' })
  })

  test('a status is set once; what the ERP does not allow is refused', async () => {
    const { order, world } = await start()
    const { create, actions } = must(order)
    const { key } = given(await must(create).send(newOrder, write, context))
    const { confirm, cancel } = must(actions)
    expect(given(await must(confirm).verify({ key }, write, context))).toMatchObject({
      effect: 'none',
      evidence: 'order SO-9 is CREATED; asking for it again does no harm',
    })
    given(await must(confirm).send({ key }, write, context))
    given(await must(confirm).send({ key }, write, context))
    expect(must(world.get('erpOrders', '9')).confirmed).toBe(true)
    given(await must(cancel).send({ key }, write, context))
    expect(given(await must(cancel).verify({ key }, write, context)).effect).toBe('done')
    expect(failureOf(await must(cancel).send({ key: 'SO-2' }, write, context))).toMatchObject({
      kind: 'rejected',
      code: '40902',
      details: { status: 'PROCESSING', wanted: 'CANCELLED' },
    })
    expect(failureOf(await must(cancel).send({ key: 'SO-99' }, write, context))?.kind).toBe('not-found')
  })
})

describe('customers are written', () => {
  const newCustomer: CustomerCreate = {
    name: '苏州瑞丰机电有限公司',
    legalName: '苏州瑞丰机电有限公司（全称）',
    type: 'COMPANY',
    taxNumber: '91320500MA1X00001Y',
    industry: '机电',
    contacts: [
      { name: '赵敏', title: '采购', phone: '+86 512 5550 0001', email: 'zm@rf.example', primary: true },
    ],
    addresses: [
      {
        type: 'BILLING',
        street: '人民路 1 号',
        city: '苏州',
        province: '江苏省',
        postalCode: '215000',
        country: 'CN',
        default: true,
      },
      { type: 'SHIPPING', street: '园区 2 号', city: '苏州' },
      { type: 'REGISTERED', street: '苏州市人民路 1 号' },
    ],
    tags: ['新客户'],
    creditLimit: { amount: '50000.10', currency: 'CNY' },
    paymentTerms: '月结 30 天',
    customFields: { source: '展会' },
  }
  const settings = { customFields: { customer: { source: 'metadata.customFields.source' } } }

  test('created with all that CustomerData has, once', async () => {
    const { customer, world } = await start({ settings })
    const create = must(must(customer).create)
    // As seed 002 §2.1.1 has it.
    expect(JSON.parse(must(create.preview(newCustomer, write).body))).toEqual({
      name: '苏州瑞丰机电有限公司',
      type: 'company',
      contacts: [
        { name: '赵敏', title: '采购', phone: '+86 512 5550 0001', email: 'zm@rf.example', isPrimary: true },
      ],
      companyInfo: {
        legalName: '苏州瑞丰机电有限公司（全称）',
        taxNumber: '91320500MA1X00001Y',
        industry: '机电',
        registeredAddress: '苏州市人民路 1 号',
      },
      financialInfo: { creditLimit: 50000.1, paymentTerms: '月结 30 天', currency: 'CNY' },
      addresses: [
        {
          type: 'billing',
          address: '人民路 1 号',
          city: '苏州',
          province: '江苏省',
          postalCode: '215000',
          country: 'CN',
          isDefault: true,
        },
        {
          type: 'shipping',
          address: '园区 2 号',
          city: '苏州',
          province: '',
          postalCode: '',
          country: '',
          isDefault: false,
        },
      ],
      metadata: {
        tags: ['新客户'],
        customFields: { source: '展会', externalRef: write.externalReference },
      },
    })
    expect(create.preview(newCustomer, write).body).toContain('"creditLimit":50000.10')
    const before = world.count('erpAccounts')
    const { key } = given(await create.send(newCustomer, write, context))
    expect(given(await create.send(newCustomer, write, context)).key).toBe(key)
    expect(world.count('erpAccounts')).toBe(before + 1)
    expect(given(await create.verify(newCustomer, write, context))).toMatchObject({
      effect: 'done',
      result: { key },
    })
    expect(given((await must(customer).readMany([key], context))[0])).toMatchObject({
      name: newCustomer.name,
      legalName: newCustomer.legalName,
      taxNumber: newCustomer.taxNumber,
      industry: '机电',
      status: 'ACTIVE',
      tags: ['新客户'],
      contacts: newCustomer.contacts,
      account: { currency: 'CNY', creditLimit: newCustomer.creditLimit, paymentTerms: '月结 30 天' },
      customFields: { source: '展会' },
    })
  })

  test('a number that somebody has, and what the ERP does not keep, are refused', async () => {
    const { customer } = await start()
    const create = must(must(customer).create)
    const { customFields: _, ...plain } = newCustomer
    expect(failureOf(await create.send({ ...plain, code: 'C20001' }, write, context))).toMatchObject({
      kind: 'rejected',
      code: '40904',
      field: 'code',
    })
    for (const more of [
      { level: 'VIP' as const },
      { phone: '1' },
      { customFields: { colour: 'red' } },
      { currency: 'USD' },
      { addresses: [{ type: 'REGISTERED' as const, street: 'x', city: 'y' }] },
    ]) {
      expect(failureOf(await create.send({ ...plain, ...more }, write, context))).toMatchObject({
        kind: 'unsupported',
      })
    }
  })

  test('changed in every field; a lost answer is found by comparing', async () => {
    const { customer, world } = await start({ settings })
    const { type: _, taxNumber: __, ...changes } = newCustomer
    const update = must(must(customer).update)
    const change = { key: 'C20001', changes: { ...changes, name: '新名称' } }
    expect(given(await update.verify(change, write, context))).toMatchObject({
      effect: 'none',
      evidence: expect.stringContaining(
        'name, legalName, industry, contacts, tags, addresses, creditLimit, customFields.source',
      ),
    })
    given(await update.send(change, write, context))
    expect(given(await update.verify(change, write, context)).effect).toBe('done')
    expect(world.get('erpAccounts', 'C20001')).toMatchObject({
      name: '新名称',
      taxNumber: '91310001MA1K007919',
    })
  })

  test('a limit in another currency than the account is kept in does not leave the house', async () => {
    const { customer, erp } = await start()
    const update = must(must(customer).update)
    const changes = { creditLimit: { amount: '1', currency: 'USD' } }
    expect(failureOf(await update.send({ key: 'C20001', changes }, write, context))).toMatchObject({
      kind: 'rejected',
      code: 'CURRENCY',
    })
    expect(erp.calls).toEqual(['GET /erp/customers/C20001'])
  })

  test('to the letter of the seed a nested object replaces the old one: the rest of it is sent along', async () => {
    const { customer, world, erp } = await start({ contract: 'standard' })
    const update = must(must(customer).update)
    const changes = { industry: '机床', creditLimit: { amount: '7', currency: 'CNY' } }
    given(await update.send({ key: 'C20001', changes }, write, context))
    expect(erp.calls).toEqual(['GET /erp/customers/C20001', 'PUT /erp/customers/C20001'])
    expect(world.get('erpAccounts', 'C20001')).toMatchObject({
      industry: '机床',
      creditLimit: '7',
      taxNumber: '91310001MA1K007919',
      legalName: '上海晨光精密机械有限公司（本部）',
      paymentTerms: { name: '月结 30 天' },
    })
    expect(failureOf(await update.send({ key: 'X', changes }, write, context))?.kind).toBe('not-found')
  })
})

describe('webhooks', () => {
  test('are registered, told of what was wanted, and unregistered', async () => {
    const receiver = await startReceiver()
    const { adapter, order, world } = await start({
      settings: { webhook: { profile: 'standard', secret: 'hook-secret' } },
    })
    const { register, unregister } = must(adapter.registration)
    const id = given(await register(receiver.url, context, { events: ['order.status.changed'] }))
    const { key } = given(await must(must(order).create).send(newOrder, write, context))
    given(await must(must(order).actions?.confirm).send({ key }, write, context))
    await until(() => receiver.received.length > 0)
    // The creation was not asked for.
    expect(receiver.received.map(({ body }) => JSON.parse(String(body)).event)).toEqual([
      'order.status.changed',
    ])
    const verdict = must(adapter.webhook).receive(must(receiver.received[0]), new Date())
    expect(verdict).toMatchObject({ ok: true, notifications: [{ type: 'order', key, change: 'updated' }] })
    given(await unregister(id, context))
    given(await unregister(id, context))
    world.put('erpOrders', { ...must(world.get('erpOrders', '9')), confirmed: false })
    expect(failureOf(await register(receiver.url, context, { events: ['moon.rose'] }))).toMatchObject({
      kind: 'rejected',
      code: '40001',
    })
    expect(receiver.received).toHaveLength(1)
  })

  test('without a choice all events are registered that are understood; without a secret none can be', async () => {
    const receiver = await startReceiver()
    const { adapter, world, erp } = await start({
      settings: { webhook: { profile: 'standard', secret: 'hook-secret' } },
    })
    given(await must(adapter.registration).register(receiver.url, context))
    const item = must(world.get('erpItems', 'A00001'))
    world.put('erpItems', { ...item, name: '轴承' })
    await until(() => receiver.received.length === 1)
    expect(must(adapter.webhook).receive(must(receiver.received[0]), new Date())).toMatchObject({ ok: true })
    expect(connect(erp.url).adapter.registration).toBeUndefined()
  })

  test('signed in the body: a changed byte, an old time or a missing signature is refused', () => {
    const { adapter } = connect('http://127.0.0.1:1', { webhook: { profile: 'body', secret: 's3cret' } })
    const now = new Date('2026-02-04T16:00:30Z')
    const text =
      '{"id":"e-1","event":"customer.updated","timestamp":"2026-02-04T16:00:00Z","source":"yonyou_erp",' +
      '"data":{"externalId":"CUST-001","changes":{"name":{"old":"旧名称","new":"新名称"}}}}'
    const signature = `sha256=${createHmac('sha256', 's3cret').update(text).digest('hex')}`
    const signed = `${text.slice(0, -1)},"signature":"${signature}"}`
    const receive = (body: string, at = now) =>
      must(adapter.webhook).receive({ headers: {}, body: Buffer.from(body) }, at)
    expect(receive(signed)).toEqual({
      ok: true,
      notifications: [
        { id: 'e-1', type: 'customer', key: 'CUST-001', change: 'updated', time: '2026-02-04T16:00:00Z' },
      ],
    })
    expect(receive(signed.replace('新', '坏'))).toMatchObject({ ok: false, reason: 'signature' })
    expect(receive(text)).toMatchObject({ ok: false, reason: 'signature' })
    expect(receive(signed, new Date('2026-02-04T16:06:00Z'))).toMatchObject({
      ok: false,
      reason: 'timestamp',
    })
  })

  test('that tell of stock name the product; the places are configured', async () => {
    const receiver = await startReceiver()
    const { adapter, world } = await start({
      webhook: { url: receiver.url, secret: 'hook-secret' },
      settings: { webhook: { profile: 'standard', secret: 'hook-secret' }, warehouses: ['01', 'HAM'] },
    })
    moveStock(world, 'A00002', '02', { inStock: '-5' })
    await until(() => receiver.received.length === 1)
    const request = must(receiver.received[0])
    const { id } = JSON.parse(String(request.body))
    const verdict = must(adapter.webhook).receive(request, new Date())
    expect(verdict).toMatchObject({
      ok: true,
      notifications: [
        { id, type: 'product', key: 'A00002' },
        { id: `${id}/01`, type: 'inventoryLevel', key: 'A00002/01', change: 'updated' },
        { id: `${id}/HAM`, type: 'inventoryLevel', key: 'A00002/HAM', change: 'updated' },
      ],
    })
  })

  test('of the simulator are signed in the body the same way', async () => {
    const receiver = await startReceiver()
    const { adapter, world } = await start({
      webhook: { url: receiver.url, secret: 'unused' },
      bodySecret: 's3cret',
      settings: { webhook: { profile: 'body', secret: 's3cret' } },
    })
    const item = must(world.get('erpItems', 'A00001'))
    world.put('erpItems', { ...item, name: '轴承' })
    await until(() => receiver.received.length === 1)
    expect(must(adapter.webhook).receive(must(receiver.received[0]), new Date())).toMatchObject({
      ok: true,
      notifications: [{ type: 'product', key: 'A00001', change: 'updated' }],
    })
  })
})

describe('the plain interface', () => {
  test('gives orders and products by id, and nothing else', async () => {
    const { adapter, order, product, erp } = await start({ contract: 'plain', settings: { currency: 'CNY' } })
    expect(Object.keys(adapter.ports)).toEqual(['product', 'order'])
    const [one, none] = await must(order).readMany(['SO-1', 'SO-99'], context)
    expect(given(none)).toBeNull()
    expect(given(one)).toMatchObject({
      key: 'SO-1',
      number: '1003',
      customer: 'C20001',
      customerName: '上海晨光精密机械有限公司',
      orderDate: '2026-05-11',
      status: 'DELIVERED',
      totals: { gross: { amount: '3612.03', currency: 'CNY' }, net: null },
    })
    expect(given(one)?.lines[0]).toMatchObject({ id: '1-0', product: 'A00001', ordered: { value: '100' } })
    expect(given((await must(product).readMany(['A00001'], context))[0])).toMatchObject({
      key: 'A00001',
      sku: 'A00001',
      name: '精密轴承 6204',
    })
    expect(erp.calls).toEqual(['GET /api/orders/SO-1', 'GET /api/orders/SO-99', 'GET /api/products/A00001'])
    expect(given(await adapter.health(context)).detail).toContain('orders can be read')
  })
})

describe('bad days', () => {
  test.each([
    [{ kind: 'refuse' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'hang' }, { kind: 'unavailable', reason: 'timeout' }],
    [{ kind: 'truncate' }, { kind: 'unavailable', reason: 'unreachable' }],
    [{ kind: 'html' }, { kind: 'invalid-response' }],
    [
      { kind: 'status', status: 429, headers: { 'retry-after': '7' } },
      { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7_000 },
    ],
    // Some systems say 200 to everything.
    [
      { kind: 'status', status: 200, body: '{"success":false,"error":{"code":"E77","message":"帐套已锁"}}' },
      { kind: 'rejected', code: 'E77', message: '帐套已锁' },
    ],
    [{ kind: 'status', status: 200, body: '{"success":true,"data":[]}' }, { kind: 'invalid-response' }],
  ] as const)('a read that meets %j is %j, for every key', async (fault, failure) => {
    const { customer, erp } = await start({ timeoutMs: fault.kind === 'hang' ? 200 : 5_000 })
    erp.setFaults([fault])
    const outcomes = await must(customer).readMany(['C20001', 'C20002'], context)
    expect(outcomes.map(failureOf)).toEqual([
      expect.objectContaining(failure),
      expect.objectContaining(failure),
    ])
    expect(failureOf(await must(must(customer).changes)(null, context))?.kind).toBe(failure.kind)
  })

  test('refused credentials are not tried again, and do not get into failures', async () => {
    const { erp } = await start()
    const { customer } = connect(erp.url, {
      contract: 'standard',
      auth: { type: 'bearer', token: 'wrong-token' },
    })
    const outcomes = await must(customer).readMany(['C20001', 'C20002', 'C20003'], context)
    expect(outcomes.map((outcome) => failureOf(outcome)?.kind)).toEqual(Array(3).fill('unauthorized'))
    expect(erp.calls).toHaveLength(1)
    erp.setFaults([
      {
        kind: 'status',
        status: 400,
        body: `{"success":false,"error":{"code":"1","message":"Bearer ${TOKEN}"}}`,
      },
    ])
    const { customer: mine } = connect(erp.url)
    expect(JSON.stringify(await must(mine).readMany(['C20001'], context))).not.toContain(TOKEN)
  })
})
