/** A group of companies with a system of every kind, through one door. */
import { readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import {
  buildClientSchema,
  type GraphQLOutputType,
  getIntrospectionQuery,
  getNamedType,
  isInterfaceType,
  isLeafType,
  isObjectType,
  isRequiredArgument,
} from 'graphql'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type App, openApp } from '../../src/app.ts'
import { loadConfigFile } from '../../src/config/load.ts'
import { type Everything, startEverything } from '../../src/demo/everything.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import { silentLog } from '../../src/observe/log.ts'
import { deliver } from '../../src/simulation/trade.ts'
import { kinds } from '../../src/systems/kinds.ts'
import { expected, update } from '../readme/answers.ts'
import { type Client, clientOf, eventually, idOf, temporaryFolder } from './kit.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

const dataDir = temporaryFolder()
let everything: Everything
let app: App
let gateway: Awaited<ReturnType<typeof openGateway>>
let client: Client

/** A tracking service is told the gateway's address in the configuration, which is read before the gateway opens. */
const freePort = () =>
  new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })

beforeAll(async () => {
  const port = await freePort()
  const still = { everyMs: 0, settings: { pollEvery: '0s' } }
  everything = await startEverything({ port, firstPort: 0, dataDir, ...still })
  app = await openApp(everything.config, silentLog)
  gateway = await openGateway(app, silentLog)
  everything.announce(gateway.url)
  app.start()
  await app.ready()
  client = clientOf(gateway.url)
})

afterAll(async () => {
  await gateway?.close()
  await app?.close()
  await everything?.close()
  rmSync(dataDir, { recursive: true, force: true })
})

const systemIds = () => Object.keys(everything.config.systems).sort()

async function poll(...ids: string[]) {
  for (const id of ids) {
    const system = app.rooms.systems.get(id)
    if (!system) throw new Error(`no system ${id}`)
    await app.feeds.pollOnce(system)
  }
}

it('has a system of every kind', () => {
  const used = new Set(Object.values(everything.config.systems).map(({ kind }) => kind))
  expect([...used].sort()).toEqual(Object.keys(kinds).sort())
})

it('leaves its configuration behind as a file that others can be started with', async () => {
  const { systems } = await loadConfigFile(everything.file, {})
  expect(Object.keys(systems).sort()).toEqual(systemIds())
})

it('answers the query of the README from all systems at once', async () => {
  for (const simulator of Object.values(everything.simulators)) simulator.clearCalls()
  const { data, errors, extensions } = await client.ask(everything.query)
  expect(errors).toBeUndefined()
  const sources = extensions?.sources as readonly { readonly system: string }[]
  expect([...new Set(sources.map(({ system }) => system))].sort()).toEqual(systemIds())
  for (const [id, { calls }] of Object.entries(everything.simulators)) {
    expect(calls.length, id).toBeGreaterThan(0)
  }
  const command = 'npm run -s ask < src/demo/everything.graphql'
  const at = readme.indexOf(command)
  expect(at, 'the README asks it').toBeGreaterThan(0)
  const [, answer] = /^```json\n(.*?)^```$/ms.exec(readme.slice(at)) ?? []
  if (process.env.README_UPDATE) update(command, { data })
  else expect({ data }).toEqual(expected(answer))
})

it('knows one customer in ten systems, and no two companies by one of their own', async () => {
  const { customer } = await client.data(
    '{ customer(externalId: { system: "k3", key: "C20001" }) { name externalIds { system } } }',
  )
  const known = customer.externalIds.map(({ system }: { system: string }) => system)
  expect(known.sort()).toEqual(['crm', 'erp', 'fin', 'k3', 'ledger', 'nc', 's4', 'sf', 'trade', 'u8'])
  for (const key of ['C20006', 'C20007', 'C20008']) {
    const own = await client.data(
      `{ customer(externalId: { system: "u8", key: "${key}" }) { externalIds { system } } }`,
    )
    expect(own.customer.externalIds).toEqual([{ system: 'u8' }])
  }
})

it('lists the orders of eight systems as one, each once', async () => {
  const { head, europe, suzhou, ningbo, chengdu, trading } = everything.worlds
  const seen: { id: string; orderDate: string; system: { id: string } }[] = []
  let after: string | null = null
  do {
    const { orders } = await client.data(
      `query L($after: String) {
        orders(first: 50, after: $after) {
          nodes { id orderDate system { id } }
          pageInfo { hasNextPage endCursor missing { system } }
        }
      }`,
      { after },
    )
    expect(orders.pageInfo.missing).toEqual([])
    seen.push(...orders.nodes)
    after = orders.pageInfo.hasNextPage ? orders.pageInfo.endCursor : null
  } while (after !== null)
  expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length)
  const counts = Object.fromEntries(
    ['erp', 's4', 'k3', 'u8', 'nc', 'trade', 'jst'].map((id) => [
      id,
      seen.filter(({ system }) => system.id === id).length,
    ]),
  )
  const ofShop = head.all('shopOrders').filter(({ shop }) => shop === '10087')
  expect(counts).toEqual({
    erp: head.count('erpOrders'),
    s4: europe.count('erpOrders'),
    k3: suzhou.count('erpOrders'),
    u8: ningbo.count('erpOrders'),
    nc: chengdu.count('erpOrders'),
    trade: trading.count('erpOrders'),
    jst: ofShop.length,
  })
  // 旺店通 lists what moved in the last hours only; nothing has yet.
  expect(seen.filter(({ system }) => system.id === 'wdt')).toEqual([])
})

it('shows every field of everything that it lists, without an error', async () => {
  const { data } = await client.ask(getIntrospectionQuery())
  const lists = Object.values(buildClientSchema(data).getQueryType()?.getFields() ?? {}).filter(
    ({ name, args }) => name.endsWith('s') && !args.some(isRequiredArgument),
  )
  expect(lists.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['customers', 'orders', 'products', 'deliveries', 'invoices', 'systems']),
  )
  for (const { name, args, type } of lists) {
    const named = getNamedType(type)
    const nodes = isObjectType(named) && named.getFields().nodes?.type
    const first = args.some((one) => one.name === 'first') ? '(first: 25)' : ''
    const shown = nodes ? `{ nodes ${everyField(nodes, 2)} }` : everyField(type, 2)
    const { errors } = await client.ask(`{ ${name}${first} ${shown} }`)
    expect(errors, name).toBeUndefined()
  }
})

it('tells of orders wherever they move', async () => {
  const { head, europe, suzhou, ningbo, chengdu, trading } = everything.worlds
  const polled = ['erp', 'k3', 'u8', 'nc']
  await poll(...polled)
  await using changes = await client.listen(
    'subscription { orderChanged { order { system { id } number } } }',
  )
  const moved = [head, europe, suzhou, ningbo, chengdu, trading].map((world) => {
    const order = world.all('erpOrders').find(({ closed, confirmed }) => !closed && confirmed)
    if (!order || !deliver(world, order)) throw new Error('nothing to deliver')
    return order.docNum
  })
  expect(moved).toHaveLength(6)
  await poll(...polled)
  // S/4 and the standard interface tell by themselves.
  await eventually(() => {
    const told = changes.results.map(({ data }) => data?.orderChanged.order?.system.id)
    return ['erp', 's4', 'k3', 'u8', 'nc', 'trade'].every((id) => told.includes(id))
  }, 20_000)
})

it('writes where it is told to, else to the system that leads', async () => {
  const { head, europe, suzhou, ningbo, chengdu, trading } = everything.worlds
  const worlds = { erp: head, s4: europe, k3: suzhou, u8: ningbo, nc: chengdu, trade: trading }
  const product = idOf('product', 'erp', 'A00003')
  const order = (name: string, system: string | null) => `${name}: createOrder(input: {
    idempotencyKey: "order-${name}", customerId: "${idOf('customer', 'crm', '70007')}", dueDate: "2027-01-31"
    ${system === null ? '' : `system: "${system}"`}
    lines: [{ productId: "${product}", quantity: "2", unitPrice: "356.50" }]
  }) { writeback { state problem { message } system { id } } order { number } }`
  const ids = Object.keys(worlds) as (keyof typeof worlds)[]
  const before = ids.map((id) => worlds[id].count('erpOrders'))
  const made = await client.data(
    `mutation { ${order('anywhere', null)} ${ids.map((id) => order(id, id)).join('\n')} }`,
  )
  const writeback = (id: string) => ({ writeback: { state: 'CONFIRMED', problem: null, system: { id } } })
  expect(made.anywhere).toMatchObject(writeback('erp'))
  for (const id of ids) expect(made[id]).toMatchObject(writeback(id))
  const added = ids.map((id, index) => worlds[id].count('erpOrders') - (before[index] ?? 0))
  expect(added).toEqual([2, 1, 1, 1, 1, 1])
})

it('carries a deal that is won through to cash', async () => {
  const { head } = everything.worlds
  const won = await client.data(
    `mutation Win($id: ID!) {
      updateOpportunity(input: { idempotencyKey: "win-1", id: $id, stage: WON }) {
        writeback { state }
        opportunity { stage }
      }
    }`,
    { id: idOf('opportunity', 'crm', 'OP-00001') },
  )
  expect(won.updateOpportunity).toEqual({
    writeback: { state: 'CONFIRMED' },
    opportunity: { stage: 'WON' },
  })
  const run = await eventually(async () => {
    const { flowRun } = await client.data(
      `{ flowRun(flow: "lead-to-cash", key: "OP-00001") { state problem { message } steps { name state key } } }`,
    )
    return ['COMPLETED', 'COMPENSATED', 'NEEDS_ATTENTION'].includes(flowRun?.state) && flowRun
  }, 30_000)
  expect(run).toMatchObject({ state: 'COMPLETED', problem: null })
  const [order, stock, receivable] = run.steps as { key: string }[]
  const made = head.get('erpOrders', order?.key ?? '')
  const number = String(made?.docNum)
  // Without lines a deal is one of the configured product, at its amount.
  expect(made).toMatchObject({
    cardCode: 'C20001',
    numAtCard: 'OP-00001',
    lines: [{ item: 'A00003', quantity: '1', total: '1000.50' }],
  })
  expect(head.get('wmsReservations', stock?.key ?? '')).toMatchObject({ orderNo: number, status: 'ACTIVE' })
  expect(head.get('financeInvoices', receivable?.key ?? '')).toMatchObject({
    orderNo: number,
    customerNo: 'D-00003',
    gross: made?.gross,
  })
  expect(head.get('crmOpportunities', 'OP-00001')?.orderNumber).toBe(number)
})

it('moves by itself: shops sell, parcels arrive, and deals become orders', async () => {
  const { head, trading } = everything.worlds
  const before = { orders: trading.count('erpOrders'), shops: head.count('shopOrders') }
  for (let n = 0; n < 160; n++) everything.step()
  await poll('crm')
  expect(trading.all('erpOrders').some(({ updatedAt }) => updatedAt > '2026-07')).toBe(true)
  expect(trading.count('erpOrders')).toBeGreaterThanOrEqual(before.orders)
  expect(head.count('shopOrders')).toBeGreaterThan(before.shops)
  const sent = head.all('shopOrders').filter(({ sentAt }) => sentAt && sentAt > '2026-07')
  expect(sent.length).toBeGreaterThan(0)
  const steps = head.all('parcels').find(({ number }) => number === sent[0]?.waybill?.number)?.steps
  expect(steps?.map(({ stage }) => stage).slice(0, 2)).toEqual(['COLLECTED', 'MOVING'])
  const deal = head.all('crmOpportunities').find(({ id, stage }) => id > 'OP-00010' && stage === 'WON')
  const key = deal?.id
  await eventually(async () => {
    const { flowRun } = await client.data(
      `query R($key: String!) { flowRun(flow: "lead-to-cash", key: $key) { state } }`,
      { key },
    )
    return flowRun?.state === 'COMPLETED'
  }, 30_000)
})

/** All that can be selected without arguments, so many levels down; below, ids and what has none. */
function everyField(type: GraphQLOutputType, levels: number): string {
  const named = getNamedType(type)
  if (!isObjectType(named) && !isInterfaceType(named)) return ''
  const all = Object.values(named.getFields()).filter(({ args }) => !args.some(isRequiredArgument))
  const leaves = all.filter((field) => isLeafType(getNamedType(field.type)))
  const id = leaves.filter(({ name }) => name === 'id')
  const shown = levels > 0 ? all : id.length > 0 ? id : leaves
  return `{ __typename ${shown.map((field) => `${field.name} ${everyField(field.type, levels - 1)}`).join(' ')} }`
}
