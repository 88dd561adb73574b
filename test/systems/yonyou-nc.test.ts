import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { systemSchema } from '../../src/config/schema.ts'
import { type Log, silentLog } from '../../src/observe/log.ts'
import { changeOrder, deliver, placeOrder } from '../../src/simulation/trade.ts'
import { type ErpOrder, World, type WorldOptions } from '../../src/simulation/world.ts'
import { failureText } from '../../src/systems/failure.ts'
import type { OrderCreate, WriteContext } from '../../src/systems/port.ts'
import { createYonyouNc } from '../../src/systems/yonyou-nc/adapter.ts'
import { yonyouNcConfig } from '../../src/systems/yonyou-nc/config.ts'
import { createSealing, saltOf } from '../../src/systems/yonyou-nc/sealing.ts'
import {
  startYonyouNcSimulator,
  type YonyouNcSimulatorOptions,
} from '../../src/systems/yonyou-nc/simulator.ts'

import { failure, value } from './outcomes.ts'
import { startWire } from './wire.ts'

const SECRET = 'S3cret-密钥'
const call = { caller: gatewayCaller }
const REFERENCE = '0123456789abcdef0123456789abcdef'
const write: WriteContext = { externalReference: REFERENCE, onBehalfOf: 'wang.fang' }
const QUERY = '/nccloud/api/so/saleorder/query'
const SAVE = '/nccloud/api/so/saleorder/save'

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Setup {
  readonly world?: WorldOptions
  readonly simulator?: YonyouNcSimulatorOptions
  readonly config?: object
  readonly timeoutMs?: number
  readonly log?: Log
}

async function setUp(setup: Setup = {}) {
  const world = new World({ orders: 12, customers: 10, products: 10, ...setup.world })
  const simulator = await startYonyouNcSimulator(world, { clientSecret: SECRET, ...setup.simulator })
  const parse = (config: object = {}) =>
    yonyouNcConfig.parse({
      baseUrl: simulator.url,
      bizCenter: 'demo',
      clientId: 'ncdemo',
      clientSecret: SECRET,
      publicKey: simulator.publicKey,
      org: '0001',
      orderDefaults: { head: { ctrantypeid: '30-01', cdeptid: '02' } },
      ...setup.config,
      ...config,
    })
  const open = (config: object = {}) => {
    const adapter = createYonyouNc(parse(config), {
      systemId: 'nc',
      log: setup.log ?? silentLog,
      timeoutMs: setup.timeoutMs ?? 2_000,
    })
    closers.push(() => adapter.close())
    const { customer, product, order } = adapter.ports
    if (!customer || !product || !order?.create) throw new Error('ports')
    return { adapter, customer, product, order, create: order.create }
  }
  closers.push(() => simulator.close())
  const called = (pattern: RegExp) => simulator.calls.filter((line) => pattern.test(line))
  return { world, simulator, open, parse, called, ...open() }
}

function orderIn(world: World, entry: number): ErpOrder {
  const order = world.get('erpOrders', String(entry))
  if (!order) throw new Error(`no order ${entry}`)
  return order
}

/** As the simulated company numbers its documents: the demo world's number, 1000 + 3n, behind a prefix. */
const numberOf = (entry: number): string => `SO3020260${String(1000 + entry * 3).padStart(8, '0')}`

const newOrder: OrderCreate = {
  customer: 'C20001',
  dueDate: '2026-08-01',
  comments: '加急 🚚',
  lines: [{ product: 'A00003', quantity: '2.5', unitPrice: '356.50', discountPercent: '5' }],
}

/** Nine orders in the vendor's tables, made one a day. */
const ALL_ORDERS = Array.from({ length: 9 }, (_, at) => ({
  so_saleorder: {
    vbillcode: `SO-${at + 1}`,
    fstatusflag: 2,
    dbilldate: `2026-05-0${at + 1} 10:00:00`,
    creationtime: `2026-05-0${at + 1} 10:00:00`,
    ts: '2026-06-01 10:00:00',
  },
  so_saleorder_b: [{ crowno: '10', nqtunitnum: 1 }],
}))

/** The save answered with these words instead of being carried out. */
const says = (code: string, message: string, match = SAVE) => ({
  match,
  kind: 'status' as const,
  status: 200,
  body: JSON.stringify({ success: false, code, message, data: null }),
})

describe('signing and packing', () => {
  test('the salt is what Java’s SHA1PRNG gives for the public key', () => {
    expect(saltOf('MIIBIjANtest')).toBe('VSXKRBRsgVeG94pCnzK9Lw==')
  })

  test('signatures hash code, secret or body, key and, in newer versions, salt', async () => {
    const { parse, simulator } = await setUp()
    const config = parse({
      publicKey: ` ${simulator.publicKey.slice(0, 64)}\r\n${simulator.publicKey.slice(64)}`,
    })
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
    const key = simulator.publicKey
    const salted = createSealing(config)
    expect(salted.signToken('s')).toBe(sha256(`ncdemos${key}${saltOf(key)}`))
    expect(salted.signCall('{}')).toBe(sha256(`ncdemo{}${key}${saltOf(key)}`))
    const plain = createSealing({ ...config, tokenSignature: 'plain', callSignature: 'plain' })
    expect(plain.signToken('s', 'user', 'word')).toBe(sha256(`ncdemosuserword${key}`))
    expect(plain.signCall('{}')).toBe(sha256(`ncdemo{}${key}`))
    expect(salted.encrypt('s')).not.toBe(salted.encrypt('s'))
  })

  test('level L1 is AES-CTR under the decoded key, counted from the text of the key', () => {
    const securityKey = Buffer.from('0123456789abcdef').toString('base64')
    const config = { clientId: 'a', rsaPadding: 'oaep', rsaBlockBytes: 117 } as const
    const rest = { tokenSignature: 'salted', callSignature: 'salted', bodyLevel: 'L1' } as const
    const sealing = createSealing({ ...config, ...rest, publicKey: SAMPLE_KEY })
    // openssl enc -aes-128-ctr -K 30313233343536373839616263646566 -iv 4d4445794d7a51314e6a63344f574669
    expect(sealing.pack('{"code":["甲🧾"]}', securityKey)).toBe('BKay0NXaTeMeBkGpyuAj9yhswaE=')
    expect(sealing.unpack('BKay0NXaTeMeBkGpyuAj9yhswaE=', securityKey)).toBe('{"code":["甲🧾"]}')
  })

  test.each(['L0', 'L1', 'L2', 'L3', 'L4'] as const)('reads and writes at level %s', async (level) => {
    const { customer, create } = await setUp({ simulator: { level }, config: { bodyLevel: level } })
    expect(value((await customer.readMany(['C20001'], call))[0])?.name).toBe('上海晨光精密机械有限公司')
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
  })

  test('an older version wants PKCS#1 and signatures without salt', async () => {
    const old = { rsaPadding: 'pkcs1', tokenSignature: 'plain', callSignature: 'plain' }
    const { customer, open } = await setUp({ simulator: { generation: 'old' }, config: old })
    expect(value((await customer.readMany(['C20001'], call))[0])?.key).toBe('C20001')
    const wrong = [{ rsaPadding: 'oaep' }, { tokenSignature: 'salted' }, { callSignature: 'salted' }]
    for (const config of wrong) {
      const [read] = await open(config).customer.readMany(['C20001'], call)
      expect(failure(read).kind).toBe('unauthorized')
    }
  })

  test('a user’s token carries name and password, encrypted in pieces where they are long', async () => {
    const password = '长密码'.repeat(60)
    const { customer, open, called } = await setUp({
      simulator: { user: { name: 'ncc_user', password } },
      config: { grant: 'password', username: 'ncc_user', password },
    })
    expect(value((await customer.readMany(['C20001'], call))[0])?.key).toBe('C20001')
    expect(called(/accesstoken/)[0]).not.toContain(encodeURIComponent('长密码'))
    const wrong = open({ password: 'other' })
    expect(failure((await wrong.customer.readMany(['C20001'], call))[0]).kind).toBe('unauthorized')
  })

  test('settings that cannot work are refused with the reason', async () => {
    const { parse } = await setUp()
    expect(() => parse({ publicKey: 'nonsense' })).toThrow('is no RSA public key')
    expect(() => parse({ rsaBlockBytes: 200 })).toThrow('longer than the public key can encrypt')
    expect(() => parse({ grant: 'password' })).toThrow('needs username and password')
    expect(() => parse({ customerReferenceField: 'vdef20' })).toThrow('one field of orders for two things')
  })
})

describe('reading', () => {
  test('many keys cost one call; repeated, missing and impossible keys keep their place', async () => {
    const { customer, order, product, called } = await setUp()
    const keys = ['C20003', 'nobody', 'C20001', 'C20003', '', 'a\u0000b']
    const read = await customer.readMany(keys, call)
    expect(read.map((one) => value(one)?.key ?? null)).toEqual([
      'C20003',
      null,
      'C20001',
      'C20003',
      null,
      null,
    ])
    expect(called(/customer\/query/)).toHaveLength(1)
    const orders = await order.readMany([numberOf(5), 'x'], call)
    expect(orders.map((one) => value(one)?.key ?? null)).toEqual([numberOf(5), null])
    expect(await product.readMany([], call)).toEqual([])
    expect(called(/material\/query/)).toEqual([])
  })

  test('a customer shows what the tables of NC tell, under the names that the company has given', async () => {
    const { open } = await setUp()
    const { customer } = open({
      customers: { fields: { currency: 'pk_currtype' }, custom: { region: 'def3' } },
    })
    const [first] = await customer.readMany(['C20002'], call)
    expect(value(first)).toMatchObject({
      key: 'C20002',
      name: 'Nordlicht Maschinenbau GmbH',
      taxNumber: 'DE000209458',
      email: 'info@nordlicht.example',
      addresses: [{ type: 'OFFICE', street: 'Speicherstraße 12' }],
      account: { company: '0001', currency: 'EUR', blocked: false },
      customFields: { region: '国外' },
    })
  })

  test('a product shows its bar code, and units by the company’s table', async () => {
    const { product } = await setUp()
    expect(value((await product.readMany(['A00001'], call))[0])).toMatchObject({
      key: 'A00001',
      sku: 'A00001',
      name: '精密轴承 6204',
      foreignName: 'Precision bearing 6204',
      barcode: '6900000104729',
      unit: '个',
      active: true,
    })
  })

  test('an order shows lines, shipped quantities and both currencies’ facts, and computes nothing', async () => {
    const { order } = await setUp({ config: { unitCodes: { 台: 'H87' }, customerReferenceField: 'vdef1' } })
    const [half, dollars] = await order.readMany([numberOf(2), numberOf(5)], call)
    const first = value(half)
    expect(first).toMatchObject({
      number: numberOf(2),
      company: '0001',
      customer: 'C20001',
      customerReference: 'CG-2026-0608',
      externalReference: null,
      orderDate: '2026-06-08',
      dueDate: '2026-06-30',
      status: 'IN_PROGRESS',
      vendorStatus: '2',
      fulfilmentStatus: 'PARTIAL',
      totals: { gross: { amount: '12789.34', currency: 'CNY' } },
      exchangeRate: '1',
    })
    expect(first?.totals?.net).toBeUndefined()
    expect(first?.lines[0]).toMatchObject({
      lineNumber: '10',
      product: 'A00002',
      ordered: { value: '4', unit: 'H87', vendorUnit: '台' },
      delivered: { value: '2' },
      unitPrice: { amount: { amount: '1680', currency: 'CNY' }, per: '1', taxIncluded: false },
      discountPercent: null,
      net: { amount: '6720', currency: 'CNY' },
      warehouse: '01',
      status: 'OPEN',
    })
    expect(value(dollars)).toMatchObject({
      totals: { gross: { amount: '1930.35', currency: 'USD' } },
      exchangeRate: '7.1',
      status: 'CONFIRMED',
      createdAt: '2026-06-18T17:00:00+08:00',
    })
  })

  test.each([
    ['1', 'NEW'],
    ['2', 'CONFIRMED'],
    ['3', 'UNKNOWN'],
    ['4', 'CLOSED'],
    ['5', 'CANCELLED'],
    ['7', 'PENDING_APPROVAL'],
    ['8', 'DRAFT'],
    ['99', 'UNKNOWN'],
  ])('fstatusflag %s is %s', async (state, status) => {
    const { world, order } = await setUp()
    changeOrder(world, orderIn(world, 3), { userFields: { fstatusflag: state } })
    expect(value((await order.readMany([numberOf(3)], call))[0])).toMatchObject({
      status,
      vendorStatus: state,
    })
  })

  test('orders are found by number and by customer, newest first', async () => {
    const { order } = await setUp()
    const byNumber = await order.lookups?.byNumber?.read([numberOf(1), 'none'], call)
    expect(byNumber?.map((one) => value(one).map(({ key }) => key))).toEqual([[numberOf(1)], []])
    const byCustomer = await order.lookups?.byCustomer?.read(['C20001', 'C99001', 'none'], call)
    expect(byCustomer?.map((one) => value(one).map(({ key }) => key))).toEqual([
      [numberOf(3), numberOf(2), numberOf(1)],
      [numberOf(8)],
      [],
    ])
  })

  test('lists are complete while rows are added, by page of the vendor and by page of ours', async () => {
    const { world, order } = await setUp({ config: { pageLimit: 4 } })
    const seen: string[] = []
    let after: string | undefined
    for (let n = 0; ; n++) {
      const page = value(await order.list?.({ first: 5, after }, call))
      seen.push(...page.items.map(({ record }) => record.key))
      if (n === 0) {
        const one = { cardCode: 'C20001', currency: 'CNY', docDate: '2026-07-01', dueDate: '2026-07-02' }
        placeOrder(world, { ...one, lines: [{ item: 'A00001', quantity: '1', warehouse: '01' }] })
      }
      if (!page.hasMore) break
      after = page.items.at(-1)?.position
    }
    // Newest first: what came meanwhile stands before what was read already.
    expect(seen).toEqual(Array.from({ length: 12 }, (_, n) => numberOf(12 - n)))
  })

  test('where the server does not count its rows, or answers with the newest first, its order is kept', async () => {
    const oldestFirst = Array.from({ length: 12 }, (_, n) => numberOf(n + 1))
    for (const setup of [
      { simulator: { bareLists: true }, config: { pageLimit: 4 } },
      { config: { pageLimit: 4, orders: { newestLast: false } } },
    ]) {
      const { order } = await setUp(setup)
      const first = value(await order.list?.({ first: 7 }, call))
      const after = first.items.at(-1)?.position
      const second = value(await order.list?.({ first: 7, after }, call))
      const keys = [...first.items, ...second.items].map(({ record }) => record.key)
      expect(keys).toEqual(oldestFirst)
      expect(second.hasMore).toBe(false)
    }
  })

  test.each([
    ['oldest', (rows: unknown[]) => rows],
    ['newest', (rows: unknown[]) => rows.toReversed()],
  ])('whichever way round the server answers (%s first), lists begin with the newest', async (_, turn) => {
    const { simulator, open } = await setUp()
    // Turns the whole of what the server has, and cuts the page that was asked for out of it.
    await using turned = await startWire(simulator.url, (answer, { line, body }) => {
      if (!line.includes(QUERY)) return answer
      const { pageIndex, pageSize } = JSON.parse(body.toString('utf8'))
      const said = JSON.parse(answer.body.toString('utf8'))
      const all = turn(ALL_ORDERS)
      said.data = {
        total: all.length,
        rows: all.slice((pageIndex - 1) * pageSize, pageIndex * pageSize),
      }
      return { ...answer, body: Buffer.from(JSON.stringify(said)) }
    })
    const { order } = open({ baseUrl: turned.url, pageLimit: 4 })
    const first = value(await order.list?.({ first: 5 }, call))
    const after = first.items.at(-1)?.position
    const second = value(await order.list?.({ first: 9, after }, call))
    const keys = [...first.items, ...second.items].map(({ record }) => record.key)
    expect(keys).toEqual(['SO-9', 'SO-8', 'SO-7', 'SO-6', 'SO-5', 'SO-4', 'SO-3', 'SO-2', 'SO-1'])
    expect(second.hasMore).toBe(false)
  })

  test('an order says who is billed, how it is paid, its approval, taxes and where it comes from', async () => {
    const { world, open } = await setUp()
    const { order } = open({ orders: { lineCustom: { project: 'vbdef3' } } })
    changeOrder(world, orderIn(world, 3), {
      userFields: {
        cpaytermid: '0002',
        vsrccode: 'BJ2026-7',
        vctcode: 'HT-9',
        '0.vbdef3': 'P-1',
        '0.vrownote': '轻放',
      },
    })
    const [billed, other] = (await order.readMany([numberOf(1), numberOf(3)], call)).map(value)
    // Order 1 of the seed is delivered and billed; 100 × 12.80 and 13 per cent of tax.
    expect(billed).toMatchObject({
      documentType: '30-01',
      approvalStatus: 'APPROVED',
      billingStatus: 'COMPLETE',
      billTo: { key: 'C20001' },
      shipTo: { key: 'C20001' },
      holds: [],
      createdBy: 'demo',
      precededBy: null,
    })
    expect(billed?.lines[0]).toMatchObject({
      taxRate: '13',
      net: { amount: '1280' },
      gross: { amount: '1446.4' },
      invoiced: { value: '100' },
      returned: { value: '0' },
    })
    expect(other).toMatchObject({
      billingStatus: 'NONE',
      payment: { terms: '0002' },
      precededBy: [
        { type: 'CONTRACT', number: 'HT-9' },
        { type: 'QUOTATION', number: 'BJ2026-7', vendorType: '4310' },
      ],
    })
    expect(other?.lines[0]).toMatchObject({ comments: '轻放', customFields: { project: 'P-1' } })
    changeOrder(world, orderIn(world, 3), { userFields: { fstatusflag: '3' } })
    expect(value((await order.readMany([numberOf(3)], call))[0])?.holds).toEqual([
      { type: 'OTHER', code: '3', text: '冻结' },
    ])
  })

  test('lists of one customer and of a part of a name; what cannot be asked for is refused', async () => {
    const { order, customer, product } = await setUp({ simulator: { bareLists: true } })
    const of = value(await order.list?.({ first: 10, filter: { customer: 'C20001' } }, call))
    expect(of.items.map(({ record }) => record.key)).toEqual([3, 2, 1].map(numberOf))
    const found = value(await customer.list?.({ first: 10, filter: { search: '晨光' } }, call))
    expect(found.items.map(({ record }) => record.key)).toEqual(['C20001'])
    expect(failure(await product.list?.({ first: 1, filter: { customer: 'C20001' } }, call)).kind).toBe(
      'unsupported',
    )
    expect(failure(await order.list?.({ first: 1, filter: { search: 'x' } }, call)).kind).toBe('unsupported')
  })

  test('a broken record fails alone', async () => {
    const { order, simulator } = await setUp()
    const good = { so_saleorder: { vbillcode: 'A', fstatusflag: 2 }, so_saleorder_b: [{ nqtunitnum: 1 }] }
    const bad = { so_saleorder: { vbillcode: 'B' }, so_saleorder_b: [{ nqtunitnum: 'many' }] }
    const body = JSON.stringify({ success: true, data: [good, bad] })
    simulator.setFaults([{ match: QUERY, kind: 'status', status: 200, body }])
    const [first, second, third] = await order.readMany(['A', 'B', 'C'], call)
    expect(value(first)?.lines[0]?.ordered.value).toBe('1')
    expect(failure(second)).toMatchObject({ kind: 'invalid-response' })
    expect(value(third)).toBeNull()
    expect(value(await order.list?.({ first: 5 }, call)).items.map(({ record }) => record.key)).toEqual(['A'])
  })

  test('18-digit ids and long decimals come through whole', async () => {
    const { order, simulator } = await setUp()
    const data =
      '[{"so_saleorder":{"vbillcode":900719925474099312,"ntotalorigmny":12345678901234567890.12345678,"corigcurrencyid":"CNY"},"so_saleorder_b":[]}]'
    const body = `{"success":true,"data":${data}}`
    simulator.setFaults([{ match: QUERY, kind: 'status', status: 200, body }])
    expect(value((await order.readMany(['900719925474099312'], call))[0])).toMatchObject({
      key: '900719925474099312',
      totals: { gross: { amount: '12345678901234567890.12345678' } },
    })
  })
})

describe('changes', () => {
  const LATER = '2026-07-01T02:00:00.000Z'

  test('tells what has changed since, once, and starts with nothing', async () => {
    const { world, order, customer } = await setUp()
    const start = value(await order.changes?.(null, call))
    expect(start).toMatchObject({ records: [], hasMore: false })
    world.put('erpOrders', { ...orderIn(world, 3), comments: '改', updatedAt: LATER })
    const page = value(await order.changes?.(start.checkpoint, call))
    expect(page.records.map(({ key, comments }) => [key, comments])).toEqual([[numberOf(3), '改']])
    const next = value(await order.changes?.(page.checkpoint, call))
    expect(next.records).toEqual([])
    expect(value(await customer.changes?.(null, call)).records).toEqual([])
  })

  test('more changes in one second than fit a page are all told', async () => {
    const { world, customer } = await setUp({ config: { pageLimit: 3 } })
    const start = value(await customer.changes?.(null, call))
    const changed = world.all('erpAccounts').slice(0, 8)
    for (const account of changed) world.put('erpAccounts', { ...account, phone: '1', updatedAt: LATER })
    const told: string[] = []
    let { checkpoint } = start
    for (let more = true; more; ) {
      const page = value(await customer.changes?.(checkpoint, call))
      told.push(...page.records.map(({ key }) => key))
      checkpoint = page.checkpoint
      more = page.hasMore
    }
    expect(told.sort()).toEqual(changed.map(({ cardCode }) => cardCode).sort())
    expect(value(await customer.changes?.(checkpoint, call)).records).toEqual([])
  })

  test('goes on where the stretch that is looked at again fills pages by itself', async () => {
    const { world, customer } = await setUp({ config: { pageLimit: 3, overlapSeconds: 120 } })
    const start = value(await customer.changes?.(null, call))
    const accounts = world.all('erpAccounts')
    for (const account of accounts.slice(0, 8)) world.put('erpAccounts', { ...account, updatedAt: LATER })
    let { checkpoint } = start
    const drain = async () => {
      const told: string[] = []
      for (let more = true; more; ) {
        const page = value(await customer.changes?.(checkpoint, call))
        told.push(...page.records.map(({ key }) => key))
        checkpoint = page.checkpoint
        more = page.hasMore
      }
      return told
    }
    await drain()
    const last = accounts[9]
    if (!last) throw new Error('seed')
    world.put('erpAccounts', { ...last, updatedAt: '2026-07-01T02:01:00.000Z' })
    expect(await drain()).toEqual([last.cardCode])
  })

  test('an installation that cannot filter by time has no changes', async () => {
    const { open } = await setUp()
    expect(open({ orders: { changedFrom: null } }).order.changes).toBeUndefined()
  })
})

describe('writing', () => {
  test('saves an order with its defaults, its reference and the check for repetitions', async () => {
    const { world, open } = await setUp({ config: { onBehalfOfField: 'vdef5' } })
    const { create } = open({ orders: { custom: { project: 'vdef7' } } })
    const preview = create.preview({ ...newOrder, customFields: { project: 'P-1' } }, write)
    expect(preview.headers).toMatchObject({ repeat_check: 'Y', busi_id: REFERENCE })
    const sent = value(await create.send({ ...newOrder, customFields: { project: 'P-1' } }, write, call))
    expect(sent).toMatchObject({
      key: numberOf(13),
      reached: 'saved',
      record: { status: 'NEW', externalReference: REFERENCE, customFields: { project: 'P-1' } },
    })
    const order = orderIn(world, 13)
    expect(order.userFields).toMatchObject({ vdef20: REFERENCE, vdef5: 'wang.fang', vdef7: 'P-1' })
    expect(order).toMatchObject({ cardCode: 'C20001', dueDate: '2026-08-01', comments: '加急 🚚' })
    // 2.5 × 356.50 less 5 per cent
    expect(order.lines[0]).toMatchObject({ quantity: '2.5', unitPrice: '356.5000', total: '846.69' })
  })

  test('the same order twice has one effect', async () => {
    const { world, create } = await setUp()
    const first = value(await create.send(newOrder, write, call))
    const second = value(await create.send(newOrder, write, call))
    expect(second.key).toBe(first.key)
    expect(world.count('erpOrders')).toBe(13)
  })

  test.each(['drop-after', 'truncate', 'hang-after'] as const)(
    'a save whose answer is lost (%s) is unknown, and found by its reference',
    async (kind) => {
      const { create, simulator, world } = await setUp({ timeoutMs: 300 })
      simulator.setFaults([{ match: SAVE, kind, times: 1 }])
      expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
      expect(value(await create.verify(newOrder, write, call))).toMatchObject({
        effect: 'done',
        result: { key: numberOf(13), reached: 'saved' },
      })
      expect(world.count('erpOrders')).toBe(13)
    },
  )

  test('that nothing is found proves something only where the server looks for repetitions', async () => {
    const { create, open, simulator } = await setUp()
    simulator.setFaults([{ match: SAVE, kind: 'drop-before', times: 1 }])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
    expect(value(await create.verify(newOrder, write, call))).toMatchObject({ effect: 'none', proven: true })
    const careless = open({ repeatCheck: false }).create
    expect(careless.preview(newOrder, write).headers).not.toHaveProperty('busi_id')
    expect(value(await careless.verify(newOrder, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
    })
  })

  test('a late first save makes the second one find it, not repeat it', async () => {
    const { create, simulator, world } = await setUp()
    simulator.setFaults([{ match: SAVE, kind: 'drop-after', times: 1 }])
    failure(await create.send(newOrder, write, call))
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
    expect(world.count('erpOrders')).toBe(13)
    // Used, but no order has it: a person must look.
    simulator.setFaults([says('1000000001', `busi_id[${'f'.repeat(32)}]重复，请勿重复调用`)])
    const other = { ...write, externalReference: 'f'.repeat(32) }
    expect(failure(await create.send(newOrder, other, call)).kind).toBe('unknown-outcome')
  })

  test('an interface that overlooks the reference is not taken for an answer', async () => {
    const { create, simulator } = await setUp()
    const data = [{ so_saleorder: { vbillcode: 'A' }, so_saleorder_b: [] }]
    const body = JSON.stringify({ success: true, data })
    simulator.setFaults([{ match: QUERY, kind: 'status', status: 200, body }])
    expect(failure(await create.verify(newOrder, write, call)).kind).toBe('invalid-response')
  })

  test('an order that goes into approval awaits it', async () => {
    const { create, world } = await setUp({ simulator: { approval: true } })
    const awaiting = { kind: 'awaiting-approval', vendorReference: numberOf(13) }
    expect(failure(await create.send(newOrder, write, call))).toMatchObject(awaiting)
    expect(failure(await create.verify(newOrder, write, call))).toMatchObject(awaiting)
    changeOrder(world, orderIn(world, 13), {
      userFields: { ...orderIn(world, 13).userFields, fstatusflag: '2' },
    })
    expect(value(await create.verify(newOrder, write, call))).toMatchObject({
      effect: 'done',
      result: { reached: 'effective' },
    })
  })

  test('refusals come with the vendor’s code, words and line', async () => {
    const { create, open } = await setUp()
    const send = async (input: OrderCreate, own = create) => failure(await own.send(input, write, call))
    expect(await send({ ...newOrder, lines: [{ product: 'NONE', quantity: '1' }] })).toEqual({
      kind: 'rejected',
      code: '1000000001',
      message: '第1行物料[NONE]不存在',
      line: '1',
    })
    expect(await send({ ...newOrder, customer: 'C1' })).toMatchObject({ message: '客户[C1]不存在' })
    const bare = open({ orderDefaults: { head: {} } }).create
    expect(await send(newOrder, bare)).toMatchObject({
      kind: 'rejected',
      message: '订单类型不能为空或不存在',
    })
    const none = open({ orderDefaults: undefined }).create
    expect((await send(newOrder, none)).kind).toBe('unsupported')
    expect((await send({ ...newOrder, customFields: { other: 'x' } })).kind).toBe('unsupported')
  })

  test('a closed period is told apart', async () => {
    const { create } = await setUp({ simulator: { closedUpTo: '2026-06-30' } })
    expect(failure(await create.send({ ...newOrder, orderDate: '2026-06-15' }, write, call))).toEqual({
      kind: 'rejected',
      code: '1000000001',
      message: '会计期间2026-06已结账，不能保存单据',
      reason: 'period-closed',
    })
  })

  test.each([
    ['1000000003', '空指针', 'unknown-outcome'],
    ['1000000005', '业务锁失败', 'unavailable'],
    ['1000000007', '数据已被他人修改', 'conflict'],
    ['1000000010', '第三方应用ncdemo没有该接口的权限', 'rejected'],
    ['1000000010', '未知异常', 'unknown-outcome'],
    ['4711', '?', 'unknown-outcome'],
  ])('code %s (%s) of a write is %s', async (code, message, kind) => {
    const { create, simulator, open } = await setUp()
    simulator.setFaults([says(code, message)])
    expect(failure(await create.send(newOrder, write, call)).kind).toBe(kind)
    const own = open({ errorCodes: { [code]: 'rejected' } }).create
    expect(failure(await own.send(newOrder, write, call)).kind).toBe('rejected')
  })
})

describe('tokens and bad days', () => {
  test('a hundred callers share one token; one that has ended is replaced once, for writes too', async () => {
    const { customer, create, simulator, called } = await setUp({ timeoutMs: 20_000 })
    const read = await Promise.all(Array.from({ length: 100 }, () => customer.readMany(['C20001'], call)))
    expect(new Set(read.map(([one]) => value(one)?.key))).toEqual(new Set(['C20001']))
    expect(called(/accesstoken/)).toHaveLength(1)
    simulator.expireTokens()
    expect(value(await create.send(newOrder, write, call)).key).toBe(numberOf(13))
    expect(called(/accesstoken/)).toHaveLength(2)
    expect(called(/save/)).toHaveLength(2)
  })

  test('a wrong secret is not tried again, and stands in no message and no log line', async () => {
    const lines: string[] = []
    const note = (...parts: unknown[]) => lines.push(JSON.stringify(parts))
    const log = { ...silentLog, debug: note, info: note, warn: note, error: note } as unknown as Log
    const { open, called } = await setUp({ log })
    const { customer, create, adapter } = open({ clientSecret: 'wrong-秘密' })
    const failures = [
      failure((await customer.readMany(['C20001'], call))[0]),
      failure(await create.send(newOrder, write, call)),
      failure(await adapter.health(call)),
    ]
    expect(failures.map((one) => one.kind)).toEqual(Array(3).fill('unauthorized'))
    expect(called(/accesstoken/)).toHaveLength(1)
    expect([...failures.map(failureText), ...lines].join('\n')).not.toContain('wrong-秘密')
    expect(called(/accesstoken/)[0]).not.toContain(encodeURIComponent('wrong-秘密'))
  })

  test('the vendor’s words are shown without secrets that they repeat', async () => {
    const { create, simulator } = await setUp()
    simulator.setFaults([says('1000000001', `不能 ${SECRET}\n\u0007 ${'x'.repeat(900)}`)])
    const said = failure(await create.send(newOrder, write, call))
    expect(said.kind === 'rejected' && said.message.startsWith('不能 *** xxx')).toBe(true)
    expect(said.kind === 'rejected' && said.message.length).toBe(500)
  })

  test.each([
    [{ bizCenter: 'other' }, 'Invalid NCCloud busiCenter'],
    [{ clientId: 'other' }, 'Third-party applications are not registered'],
    [{ rsaPadding: 'pkcs1' }, 'Decryption error'],
    [{ tokenSignature: 'plain' }, 'Failed to verify signature for get token'],
    [{ callSignature: 'plain' }, 'Failed to verify signature for call api'],
  ])('%j is told to the operator', async (config, words) => {
    const { open } = await setUp()
    const told = failure(await open(config).adapter.health(call))
    expect(told.kind).toBe('unauthorized')
    expect(failureText(told)).toContain(words)
  })

  test('health tells the company; an interface that is not granted is a refusal', async () => {
    const { adapter, order, simulator } = await setUp()
    expect(value(await adapter.health(call)).detail).toMatch(
      /^NC Cloud demo, organisation 0001, at 127\.0\.0\.1:\d+$/,
    )
    simulator.grant([])
    const [read] = await order.readMany([numberOf(1)], call)
    expect(failure(read)).toMatchObject({ kind: 'rejected', code: '1000000010' })
  })

  test.each([
    ['refuse', 'unavailable'],
    ['drop-before', 'unavailable'],
    ['truncate', 'unavailable'],
    ['hang', 'unavailable'],
    ['html', 'invalid-response'],
  ] as const)('reading while the system does "%s" is %s', async (kind, expected) => {
    const { customer, simulator } = await setUp({ timeoutMs: 300 })
    simulator.setFaults([{ match: '/api/', kind }])
    expect(failure((await customer.readMany(['C20001'], call))[0]).kind).toBe(expected)
  })

  test('429 says when to come back; 5xx is unavailable for reads and unknown for writes', async () => {
    const { customer, create, simulator } = await setUp()
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 429, headers: { 'retry-after': '7' } }])
    const busy = { kind: 'unavailable', reason: 'rate-limited', retryAfterMs: 7_000 }
    expect(failure((await customer.readMany(['C20001'], call))[0])).toMatchObject(busy)
    expect(failure(await create.send(newOrder, write, call))).toMatchObject(busy)
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 502 }])
    expect(failure((await customer.readMany(['C20001'], call))[0]).kind).toBe('unavailable')
    expect(failure(await create.send(newOrder, write, call)).kind).toBe('unknown-outcome')
  })

  test('a small answer that unpacks to a huge one is refused', async () => {
    const { gzipSync } = await import('node:zlib')
    const { customer, simulator } = await setUp({ simulator: { level: 'L2' }, config: { bodyLevel: 'L2' } })
    const body = gzipSync(Buffer.alloc(65 * 1024 * 1024, ' ')).toString('base64')
    simulator.setFaults([{ match: '/api/', kind: 'status', status: 200, body }])
    expect(failure((await customer.readMany(['C20001'], call))[0]).kind).toBe('invalid-response')
  })

  test('an order that is delivered shows it', async () => {
    const { world, order } = await setUp()
    deliver(world, orderIn(world, 3))
    expect(value((await order.readMany([numberOf(3)], call))[0])).toMatchObject({
      status: 'SHIPPED',
      fulfilmentStatus: 'COMPLETE',
    })
  })
})

describe('changing and approving an order', () => {
  /** An order that is not approved: only those may be changed. */
  const free = async (setup: Setup = {}) => {
    const set = await setUp(setup)
    const { order } = set
    if (!order.update || !order.actions?.confirm || !order.actions.unapprove) throw new Error('actions')
    changeOrder(set.world, orderIn(set.world, 3), { confirmed: false })
    return {
      ...set,
      update: order.update,
      confirm: order.actions.confirm,
      unapprove: order.actions.unapprove,
    }
  }

  test('names the order with its ts, changes what is asked for and nothing else', async () => {
    const { world, update, order, simulator } = await free({
      config: { orders: { custom: { project: 'vdef7' } } },
    })
    const version = value((await order.readMany([numberOf(3)], call))[0])?.version ?? ''
    const changes = {
      dueDate: '2026-09-09',
      comments: '改期 🧾',
      paymentTerms: '0003',
      customFields: { project: 'P' },
    }
    const input = { key: numberOf(3), expectedVersion: version, changes }
    const before = orderIn(world, 3)
    simulator.clearCalls()
    expect(value(await update.send(input, write, call))).toMatchObject({
      key: numberOf(3),
      reached: 'saved',
      record: {
        dueDate: '2026-09-09',
        comments: '改期 🧾',
        payment: { terms: '0003' },
        customFields: { project: 'P' },
      },
    })
    expect(orderIn(world, 3).lines).toEqual(before.lines)
    expect(simulator.calls.map((line) => line.split('/').at(-1))).toEqual(['query', 'update', 'query'])
    expect(value(await update.verify(input, write, call))).toMatchObject({ effect: 'done' })
    const preview = update.preview(input, write)
    expect(preview.path).toBe('/nccloud/api/so/saleorder/update')
    for (const part of ['改期 🧾', '0003', '"vdef7":"P"']) expect(preview.body).toContain(part)
  })

  test('a stale version, an approved order and an unknown field are refused', async () => {
    const { update, confirm } = await free()
    const input = { key: numberOf(3), changes: { comments: 'x' } }
    const stale = { ...input, expectedVersion: '2020-01-01 00:00:00' }
    expect(failure(await update.send(stale, write, call))).toMatchObject({
      kind: 'conflict',
      currentVersion: expect.stringMatching(/^\d{4}-/),
    })
    const custom = { key: numberOf(3), changes: { customFields: { colour: 'red' } } }
    expect(failure(await update.send(custom, write, call))).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('"colour"'),
    })
    expect(failure(await update.send({ ...input, key: 'none' }, write, call)).kind).toBe('not-found')
    value(await confirm.send({ key: numberOf(3) }, { ...write, externalReference: 'a'.repeat(32) }, call))
    expect(failure(await update.send(input, write, call))).toMatchObject({
      kind: 'rejected',
      message: '审批中或审批通过的单据不能修改',
    })
  })

  test('a change whose answer was lost is found in the order', async () => {
    const { update, simulator } = await free()
    const input = { key: numberOf(3), changes: { comments: '晚到' } }
    expect(value(await update.verify(input, write, call))).toMatchObject({
      effect: 'none',
      proven: false,
      evidence: expect.stringContaining('comments not as asked for'),
    })
    simulator.setFaults([{ kind: 'drop-after', match: '/update', times: 1 }])
    expect(failure(await update.send(input, write, call)).kind).toBe('unknown-outcome')
    expect(value(await update.verify(input, write, call))).toMatchObject({ effect: 'done' })
    // Sent again all the same, its busi_id is refused, and the order says that it was done.
    expect(value(await update.send(input, write, call)).record?.comments).toBe('晚到')
  })

  test('approves an order and takes the approval back, each once', async () => {
    const { confirm, unapprove, world, called } = await free()
    const input = { key: numberOf(3) }
    expect(value(await confirm.send(input, write, call))).toMatchObject({
      reached: 'effective',
      record: { status: 'CONFIRMED', approvalStatus: 'APPROVED' },
    })
    expect(value(await confirm.send(input, write, call)).record?.status).toBe('CONFIRMED')
    expect(called(/\/approve$/)).toHaveLength(1)
    const back = { ...write, externalReference: 'b'.repeat(32) }
    expect(value(await unapprove.send(input, back, call)).record?.status).toBe('NEW')
    expect(value(await unapprove.verify(input, back, call))).toMatchObject({ effect: 'done' })
    expect(orderIn(world, 3).confirmed).toBe(false)
    const delivered = { ...write, externalReference: 'c'.repeat(32) }
    expect(failure(await unapprove.send({ key: numberOf(2) }, delivered, call))).toMatchObject({
      kind: 'rejected',
      message: '订单已有出库，不能取消审批',
    })
  })

  test('where approval is a flow, the order waits for people', async () => {
    const { confirm } = await free({ simulator: { approval: true } })
    expect(failure(await confirm.send({ key: numberOf(3) }, write, call))).toMatchObject({
      kind: 'awaiting-approval',
      vendorReference: numberOf(3),
    })
  })

  test('an installation without these interfaces does not offer them', async () => {
    const { open } = await free()
    const { order } = open({ orders: { updatePath: null, approvePath: null, unapprovePath: null } })
    expect(order.update).toBeUndefined()
    expect(order.actions).toEqual({})
  })
})

describe('checking the configuration', () => {
  test('what fits has nothing to say; fields and filters that do not are named', async () => {
    const { adapter, open } = await setUp()
    expect(value(await adapter.checkConfiguration?.(call))).toEqual([])
    const wrong = open({
      customers: { custom: { region: 'def99' } },
      products: { code: 'materialcode' },
      orders: { changedFrom: 'since' },
    })
    expect(value(await wrong.adapter.checkConfiguration?.(call))).toEqual([
      '/nccloud/api/uapbd/customermanage/customer/query: no row has "def99" (region)',
      'rejected (1000000002): 参数materialcode不存在',
      'rejected (1000000002): 参数since不存在',
    ])
  })

  test('a server that overlooks a filter is found out', async () => {
    const { simulator, open } = await setUp()
    await using lax = await startWire(simulator.url, (answer, { line }) => {
      if (!line.includes(QUERY)) return answer
      const said = JSON.parse(answer.body.toString('utf8'))
      said.data = { total: 1, rows: ALL_ORDERS.slice(0, 1) }
      return { ...answer, body: Buffer.from(JSON.stringify(said)) }
    })
    const told = value(await open({ baseUrl: lax.url }).adapter.checkConfiguration?.(call))
    expect(told).toEqual(
      ['vbillcode', 'ccustomerid', 'vdef20', 'ts_begin'].map(
        (name) => `${QUERY} does not filter by "${name}"`,
      ),
    )
  })
})

test('the samples in the README are valid', () => {
  const text = readFileSync(new URL('../../src/systems/yonyou-nc/README.md', import.meta.url), 'utf8')
  const samples = [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) =>
    parseYaml(yaml.replaceAll(/\$\{NC_PUBLIC_KEY\}/g, SAMPLE_KEY)),
  )
  expect(samples).toHaveLength(2)
  for (const sample of samples) {
    const entries = Object.entries(sample as Record<string, unknown>)
    const isOfSystem = ([name]: [string, unknown]) => name in systemSchema.shape
    systemSchema.parse(Object.fromEntries(entries.filter(isOfSystem)))
    yonyouNcConfig.parse(Object.fromEntries(entries.filter((entry) => !isOfSystem(entry))))
  }
})

/** Of the vendor's guide for newer versions. */
const SAMPLE_KEY =
  'MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAt4Vjm27e2ZMw8wstEKZZsnvAFB13bnt2UA170Hw2Wpcv1zUnEuws8uE4l+MoADjwjwMgoiNoQN8S8IcIx0P+qmsc1zNkdqoVDX4V292z1Ul1ZZwPT2LhyATcF6AOWp/O2MitIFxBrFlMpVE8bvTGtOavtUYOkJWL1ZERp2/Cufv/Xe9wtuWuIxcSn97+YLf9ynsVMTr49g7yddJGuBuJRGGYj3FXDWiJG+xP5jO8ulIfgSe5+TwitJTMw3wS4xqEmJj+EG0AlEcD2wlbcHmB1Wx14DGRvZbQtBv3z0IG0DqtbZoQ1gUAyqJfYaZEgZwfutfN+3mcF+0sWU9K9zzr4QIDAQAB'
