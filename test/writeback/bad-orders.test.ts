/**
 * Orders that are well-formed and make no sense, through the public door to three kinds of ERP: refused before or by
 * the system, with its reason and the line at fault, and nothing half-written anywhere.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { World } from '../../src/simulation/world.ts'
import { startKingdeeK3Simulator } from '../../src/systems/kingdee-k3/simulator.ts'
import { startRestErpSimulator } from '../../src/systems/rest-erp/simulator.ts'
import { idOf, openTestGateway, type Result, SMALL, type TestGateway } from '../e2e/kit.ts'

/** On the books of the group, and not to be sold by the company that is asked. */
const UNRELEASED = 'A00005'
const auth = { type: 'bearer', token: 'erp-token-91c2f0' } as const

const worlds = new Map<string, World>()
const closing: (() => Promise<unknown>)[] = []
let gateway: TestGateway

const withdraw = (world: World) => {
  const item = world.get('erpItems', UNRELEASED)
  if (!item) throw new Error(`the world has no ${UNRELEASED}`)
  world.put('erpItems', { ...item, active: false })
}

beforeAll(async () => {
  const ofKingdee = new World(SMALL)
  const ofRest = new World(SMALL)
  withdraw(ofRest)
  const kingdee = await startKingdeeK3Simulator(ofKingdee, { unallocated: [UNRELEASED] })
  const rest = await startRestErpSimulator(ofRest, { auth })
  closing.push(kingdee.close, rest.close)
  const common = { environment: 'test', writes: 'on', pollEvery: '0s', timeout: '20s' } as const
  gateway = await openTestGateway({
    webhooks: false,
    override(file) {
      Object.assign(file.systems, {
        k3: {
          ...common,
          kind: 'kingdee-k3',
          baseUrl: kingdee.url,
          organization: '100',
          login: { method: 'password', accountId: '6500a1b2c3d4e5', username: 'demo', password: 'demo' },
        },
        rest: { ...common, kind: 'rest-erp', baseUrl: rest.url, auth, contract: 'extended' },
      })
    },
  })
  withdraw(gateway.demo.world)
  worlds.set('erp', gateway.demo.world).set('k3', ofKingdee).set('rest', ofRest)
}, 60_000)
afterAll(async () => {
  await gateway?.[Symbol.asyncDispose]()
  for (const close of closing) await close()
})

const CREATE = `mutation C($input: CreateOrderInput!) {
  createOrder(input: $input, waitFor: 30000) {
    order { number }
    writeback { id state attempts problem { code vendorCode message line field details { name value } } }
  }
}`

interface Line {
  readonly item?: string
  readonly quantity?: string
  readonly warehouse?: string
}
const ask = (system: string, key: string, lines: readonly Line[], more: object = {}): Promise<Result> =>
  gateway.ask(CREATE, {
    input: {
      idempotencyKey: key,
      customerId: idOf('customer', system, 'C20001'),
      system,
      account: 'C20001',
      dueDate: '2026-12-31',
      lines: lines.map(({ item = 'A00003', quantity = '1', ...rest }) => ({
        productId: idOf('product', system, item),
        quantity,
        ...rest,
      })),
      ...more,
    },
  })

/** Everything that an order would leave: itself, and what its lines set aside. */
const contentOf = (system: string) => {
  const world = worlds.get(system)
  if (!world) throw new Error(`no world of ${system}`)
  return JSON.stringify([world.all('erpOrders'), world.all('erpStock')])
}
const journal = () =>
  gateway.app.store.read
    .selectFrom('writeback')
    .select(['id', 'state', 'attempts', 'idempotency_key'])
    .orderBy('sequence')
    .execute()
/** What was told of orders. */
const told = () =>
  gateway.app.store.read.selectFrom('event').select('type').where('type', 'like', 'order.%').execute()

type Expected = Readonly<Record<'erp' | 'k3' | 'rest', object>>
type Case = readonly [title: string, lines: readonly Line[], more: object, expected: Expected]

/** The second line is at fault, so that a first one could be half-written. */
const CASES: readonly Case[] = [
  [
    'a product that there is not',
    [{}, { item: 'A99999' }],
    {},
    {
      erp: { vendorCode: '-5002', line: '2', field: 'ItemCode', message: expect.stringContaining('A99999') },
      k3: { vendorCode: '9', line: '2', field: 'FMaterialId', message: expect.stringContaining('物料编码') },
      rest: { vendorCode: '40001', line: '2', message: expect.stringContaining('产品不存在') },
    },
  ],
  [
    'a product not released for the company',
    [{}, { item: UNRELEASED }],
    {},
    {
      erp: { vendorCode: '-10', line: '2', field: 'ItemCode', message: expect.stringContaining('inactive') },
      k3: {
        vendorCode: '11',
        line: '2',
        field: 'FMaterialId',
        message: expect.stringContaining('未分配到组织100'),
      },
      rest: { vendorCode: '40001', line: '2', message: expect.stringContaining('产品不存在') },
    },
  ],
  [
    'a currency that the customer does not have',
    [{}],
    { currency: 'CHF' },
    {
      erp: { vendorCode: '-10', field: 'DocCur', message: expect.stringContaining('CHF') },
      k3: { vendorCode: '9', field: 'FSettleCurrId', message: expect.stringContaining('币别') },
      rest: {
        vendorCode: '40001',
        field: 'amounts.currency',
        message: expect.stringContaining('币种与客户不符'),
        details: expect.arrayContaining([{ name: 'currency', value: 'CNY' }]),
      },
    },
  ],
  [
    'a warehouse that does not have it, after 999 lines that are right',
    [...Array.from({ length: 999 }, () => ({})), { warehouse: 'NOWHERE' }],
    {},
    {
      erp: { vendorCode: '-10', line: '1000', field: 'WhsCode', message: expect.stringContaining('NOWHERE') },
      k3: { vendorCode: '11', line: '1000', field: 'FSOStockId', message: expect.stringContaining('仓库') },
      // This one takes 200 lines, and says so before it looks at any.
      rest: { vendorCode: '40001', field: 'items', message: '"items" is too long.' },
    },
  ],
]

describe.each(['erp', 'k3', 'rest'] as const)('an order that %s refuses:', (system) => {
  it.each(CASES)('%s', { timeout: 90_000 }, async (title, lines, more, expected) => {
    const before = { content: contentOf(system), journal: await journal(), told: await told() }
    const { data, errors } = await ask(system, `${system}: ${title}`, lines, more)
    expect(errors).toBeUndefined()
    const { order, writeback } = data.createOrder
    expect(order).toBeNull()
    expect(writeback).toMatchObject({
      state: 'REJECTED',
      attempts: 1,
      problem: { code: 'REJECTED', ...expected[system] },
    })
    expect(contentOf(system)).toBe(before.content)
    expect(await told()).toEqual(before.told)
    // One writeback, at its end: nothing goes on in the background.
    expect(await journal()).toEqual([
      ...before.journal,
      { id: writeback.id, state: 'rejected', attempts: 1, idempotency_key: `${system}: ${title}` },
    ])
  })
})

describe.each(['erp', 'k3', 'rest'] as const)('an order that never gets to %s:', (system) => {
  const cases: readonly (readonly [string, readonly Line[], object, RegExp])[] = [
    ['no lines', [], {}, /"lines" must have 1 to 1000 entries; got 0/],
    ['10,000 lines', Array.from({ length: 10_000 }, () => ({})), {}, /1 to 1000 entries; got 10000/],
    ['a negative quantity', [{}, { quantity: '-1' }], {}, /lines\[1\]\.quantity.*more than zero/],
    ['no currency of this world', [{}], { currency: 'yuan' }, /ISO 4217/],
  ]
  it.each(cases)('%s', async (title, lines, more, words) => {
    const before = { content: contentOf(system), journal: await journal(), told: await told() }
    const { data, errors } = await ask(system, title, lines, more)
    expect(data?.createOrder ?? null).toBeNull()
    expect(errors).toHaveLength(1)
    expect(errors?.[0]).toMatchObject({
      message: expect.stringMatching(words),
      extensions: { code: 'BAD_USER_INPUT' },
    })
    expect({ content: contentOf(system), journal: await journal(), told: await told() }).toEqual(before)
  })
})
