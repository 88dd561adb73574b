/**
 * What adapters leave out when they are told that nobody wants it: the systems are asked for less, and all that is
 * wanted reads as it does in the whole record.
 */
import { afterEach, expect, test } from 'vitest'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { silentLog } from '../../src/observe/log.ts'
import type { Simulator } from '../../src/simulation/server.ts'
import { World } from '../../src/simulation/world.ts'
import type { Outcome } from '../../src/systems/failure.ts'
import { kinds } from '../../src/systems/kinds.ts'
import { startKingdeeK3Simulator } from '../../src/systems/kingdee-k3/simulator.ts'
import type { Adapter, Lookup, RecordPort } from '../../src/systems/port.ts'
import type { RecordType } from '../../src/systems/records.ts'
import { startSalesforceSimulator } from '../../src/systems/salesforce/simulator.ts'
import { startSapB1Simulator } from '../../src/systems/sap-b1/simulator.ts'
import { startSapS4Simulator } from '../../src/systems/sap-s4/simulator.ts'
import { createYonyouU8 } from '../../src/systems/yonyou-u8/adapter.ts'
import { yonyouU8Config } from '../../src/systems/yonyou-u8/config.ts'
import {
  startYonyouU8Simulator,
  type YonyouU8SimulatorOptions,
} from '../../src/systems/yonyou-u8/simulator.ts'

const SECRET = 'S3cret-密码'
const call = { caller: gatewayCaller }

const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface System {
  readonly start: (world: World) => Promise<Pick<Simulator, 'url' | 'calls' | 'close'>>
  readonly config: (url: string) => object
  /** By record type: what requests name only where a part is wanted; null where they say it in their bodies. */
  readonly asks: Partial<Record<RecordType, RegExp | null>>
}

const SYSTEMS: Readonly<Record<string, System>> = {
  'sap-b1': {
    start: (world) => startSapB1Simulator(world, { password: SECRET }),
    config: (url) => ({ baseUrl: url, companyDb: 'SBODEMO_CN', username: 'manager', password: SECRET }),
    asks: {
      customer: /ContactEmployees|BPAddresses/,
      order: /\$select=[^&]*DocumentLines/,
      delivery: /\$select=[^&]*DocumentLines/,
    },
  },
  'sap-s4': {
    start: (world) => startSapS4Simulator(world, { clientSecret: SECRET }),
    config: (url) => ({
      baseUrl: url,
      auth: {
        method: 'clientCredentials',
        tokenUrl: `${url}/oauth/token`,
        clientId: 'tributary',
        clientSecret: SECRET,
      },
      salesArea: { organization: '1010', channel: '10', division: '00' },
      timeZone: '+08:00',
    }),
    asks: { order: /to_Item|to_Text/, delivery: /to_DeliveryDocumentItem/, invoice: /to_Item/ },
  },
  'kingdee-k3': {
    start: (world) => startKingdeeK3Simulator(world, { password: SECRET }),
    config: (url) => ({
      baseUrl: url,
      organization: '100',
      login: { method: 'password', accountId: '6500a1b2c3d4e5', username: 'demo', password: SECRET },
    }),
    asks: { order: null, delivery: null, invoice: null },
  },
  salesforce: {
    start: (world) => startSalesforceSimulator(world, { clientId: 'app', clientSecret: SECRET }),
    config: (url) => ({
      loginUrl: url,
      auth: { method: 'clientCredentials', clientId: 'app', clientSecret: SECRET },
    }),
    asks: { customer: null },
  },
}

function given<T>(outcome: Outcome<T> | undefined): T {
  if (!outcome?.ok) throw new Error(`no value: ${JSON.stringify(outcome)}`)
  return outcome.value
}

test.each(
  Object.entries(SYSTEMS).flatMap(([kind, { asks }]) =>
    Object.keys(asks).map((type) => [kind, type as RecordType] as const),
  ),
)('%s: the %s port', async (kind, type) => {
  const system = SYSTEMS[kind] as System
  const world = new World({ orders: 12, customers: 10, products: 10 })
  const simulator = await system.start(world)
  closers.push(() => simulator.close())
  const of = kinds[kind]
  if (!of) throw new Error(kind)
  const create = await of.adapter()
  const adapter: Adapter = create((await of.config()).parse(system.config(simulator.url)) as never, {
    systemId: kind,
    log: silentLog,
    timeoutMs: 5_000,
  })
  closers.push(() => adapter.close())
  const port = adapter.ports[type] as RecordPort<RecordType> | undefined
  const { parts } = port ?? {}
  if (!port?.list || !parts) throw new Error(`${type} has no parts`)
  const leftOut = new Set<string>(Object.values(parts).flat())
  const bare = { ...call, without: new Set(Object.keys(parts)) }
  const rest = (record: object | null) =>
    Object.fromEntries(Object.entries(record ?? {}).filter(([field]) => !leftOut.has(field)))
  const asked = async <T>(ask: () => Promise<T>) => {
    const before = simulator.calls.length
    const answer = await ask()
    const calls = simulator.calls.slice(before).map((line) => decodeURIComponent(line.replaceAll('+', ' ')))
    return { answer, naming: calls.filter((line) => system.asks[type]?.test(line)).length }
  }

  const whole = given(await port.list({ first: 5 }, call)).items.map(({ record }) => record)
  expect(whole.length).toBeGreaterThan(1)
  const list = await asked(() => port.list?.({ first: 5 }, bare) as ReturnType<NonNullable<typeof port.list>>)
  expect(given(list.answer).items.map(({ record }) => rest(record))).toEqual(whole.map(rest))
  expect(list.naming).toBe(0)

  const keys = whole.map(({ key }) => key)
  const full = await asked(() => port.readMany(keys, call))
  const many = await asked(() => port.readMany(keys, bare))
  expect(many.answer.map(given).map(rest)).toEqual(full.answer.map(given).map(rest))
  expect(many.naming).toBe(0)
  if (system.asks[type]) expect(full.naming).toBeGreaterThan(0)

  // Here is something that could be left out, and it was.
  const valuesOf = (read: readonly Outcome<object | null>[]) =>
    read.flatMap((one) => [...leftOut].map((field) => (given(one) as Record<string, unknown>)[field]))
  const isFilled = (value: unknown) => (Array.isArray(value) ? value.length > 0 : false)
  if (type !== 'invoice') {
    expect(valuesOf(full.answer).some(isFilled)).toBe(true)
    expect(valuesOf(many.answer).some(isFilled)).toBe(false)
  }
})

async function u8(options: Pick<YonyouU8SimulatorOptions, 'orderCurrency'> = {}) {
  const world = new World({ orders: 12, customers: 10, products: 10 })
  const simulator = await startYonyouU8Simulator(world, { appSecret: SECRET, ...options })
  closers.push(() => simulator.close())
  const config = yonyouU8Config.parse({
    baseUrl: simulator.url,
    fromAccount: 'demo_dev',
    toAccount: 'demo_u8',
    appKey: 'opa-demo',
    appSecret: SECRET,
  })
  const adapter = createYonyouU8(config, { systemId: 'u8', log: silentLog, timeoutMs: 5_000 })
  closers.push(() => adapter.close())
  const { order } = adapter.ports
  if (!order?.list || !order.parts || !order.lookups?.byCustomer) throw new Error('no port')
  const { list, parts, lookups } = order
  const details = () => simulator.calls.filter((line) => line.includes('/api/saleorder/get')).length
  return {
    order: { list, parts, byCustomer: lookups.byCustomer as Lookup<'order'> },
    details,
    bare: { ...call, without: new Set(Object.keys(parts)) },
  }
}

test('yonyou-u8: a list of heads is one call, where the whole orders are one more for each', async () => {
  const { order, details, bare } = await u8()
  const leftOut = new Set<string>(Object.values(order.parts).flat())
  const rest = (record: object) =>
    Object.fromEntries(Object.entries(record).filter(([field]) => !leftOut.has(field)))
  const whole = given(await order.list({ first: 5 }, call)).items
  expect([whole.length, details()]).toEqual([5, 5])
  const heads = given(await order.list({ first: 5 }, bare)).items
  expect(heads.map(({ record }) => rest(record))).toEqual(whole.map(({ record }) => rest(record)))
  const { customer } = whole[0]?.record ?? {}
  const [own] = await order.byCustomer.read([customer ?? ''], bare)
  expect(given(own).length).toBeGreaterThan(0)
  expect(details()).toBe(5)
})

test('yonyou-u8: a release whose list says no currency is asked for each order', async () => {
  const { order, details, bare } = await u8({ orderCurrency: false })
  given(await order.list({ first: 5 }, bare))
  expect(details()).toBe(5)
})
