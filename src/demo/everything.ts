/**
 * The demo of a group of companies: every kind of system at once, several of most sorts. Each company lives in a world
 * of its own, in which the customers and products that were written by hand are the same ones.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { checkConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { startLife } from '../simulation/life.ts'
import { scanParcel, sendParcel } from '../simulation/parcels.ts'
import type { Simulator } from '../simulation/server.ts'
import { deals, parcels, shops, warehouse } from '../simulation/sidelines.ts'
import type { WorldState } from '../simulation/state.ts'
import { openDelivery, ship, skuIdOf } from '../simulation/warehousing.ts'
import { World, type WorldOptions } from '../simulation/world.ts'
import { refuseUnsafe } from './small.ts'

/** The first simulator listens here, the others behind it in the order of `SYSTEMS`. */
export const FIRST_PORT = 4110

/** Guards nothing: the systems are simulated and listen on loopback only. */
const SECRET = 'guards-nothing-at-all'
const WEBHOOK = { user: 'mesh', wmsKey: 'wms-demo' }

/** Small, so that nobody waits: what is seen is how they belong together. */
const SIZES = { customers: 10, products: 10, orders: 24 }
const COMPANIES = {
  head: { ...SIZES, orders: 60, before: sendBeforehand },
  europe: { ...SIZES, seed: 2, company: 1 },
  suzhou: { ...SIZES, seed: 3, company: 2 },
  ningbo: { ...SIZES, seed: 4, company: 3 },
  chengdu: { ...SIZES, seed: 5, company: 4 },
  trading: { ...SIZES, seed: 6, company: 5 },
} satisfies Record<string, WorldOptions>
type Company = keyof typeof COMPANIES

interface Place {
  readonly port: number
  /** Where the gateway takes this system's webhooks. */
  readonly hook: () => string
}

interface Simulated {
  readonly company: Company
  /** For people, in the greeting. */
  readonly what: string
  readonly start: (world: World, place: Place) => Promise<Simulator>
}

const systemsIn = (file: string) => `../systems/http/examples/${file}`

/** One for each system of `everything.yaml`, and the two examples of the kind `http`. */
const SYSTEMS = {
  crm: {
    company: 'head',
    what: 'JSON REST',
    start: async (world, { port, hook }) =>
      (await import('../systems/rest-crm/simulator.ts')).startRestCrmSimulator(world, {
        port,
        auth: { type: 'bearer', token: SECRET },
        webhook: { url: hook, secret: SECRET },
      }),
  },
  erp: {
    company: 'head',
    what: 'SAP Business One',
    start: async (world, { port }) =>
      (await import('../systems/sap-b1/simulator.ts')).startSapB1Simulator(world, { port, password: SECRET }),
  },
  fin: {
    company: 'head',
    what: 'SOAP finance',
    start: async (world, { port, hook }) =>
      (await import('../systems/soap-finance/simulator.ts')).startSoapFinanceSimulator(world, {
        port,
        password: SECRET,
        webhook: { url: hook, secret: SECRET },
      }),
  },
  wms: {
    company: 'head',
    what: 'warehouses of a logistics provider',
    start: async (world, { port, hook }) =>
      (await import('../systems/rest-wms/simulator.ts')).startRestWmsSimulator(world, {
        port,
        auth: { type: 'signature', apiKey: WEBHOOK.wmsKey, secret: SECRET },
        webhook: { url: hook, apiKey: WEBHOOK.wmsKey, secret: SECRET },
      }),
  },
  tms: {
    company: 'head',
    what: 'transport management',
    start: async (world, { port, hook }) =>
      (await import('../systems/rest-tms/simulator.ts')).startRestTmsSimulator(world, {
        port,
        auth: { type: 'apiKey', key: SECRET },
        webhook: { url: hook, secret: SECRET },
      }),
  },
  parcels: {
    company: 'head',
    what: '快递100',
    start: async (world, { port }) =>
      (await import('../systems/kuaidi100/simulator.ts')).startKuaidi100Simulator(world, {
        port,
        customer: 'DEMO',
        key: SECRET,
        senderPhone: '0755-26990000',
      }),
  },
  jst: {
    company: 'head',
    what: '聚水潭, online shops',
    start: async (world, { port }) =>
      (await import('../systems/jushuitan/simulator.ts')).startJushuitanSimulator(world, {
        port,
        appSecret: SECRET,
      }),
  },
  wdt: {
    company: 'head',
    what: '旺店通, online shops',
    start: async (world, { port }) =>
      (await import('../systems/wangdiantong/simulator.ts')).startWangdiantongSimulator(world, {
        port,
        edition: 'enterprise',
        appSecret: SECRET,
      }),
  },
  hr: {
    company: 'head',
    what: 'human resources, by configuration alone',
    start: async (world, { port, hook }) =>
      (await import('../systems/http/examples/hr-simulator.ts')).startHrSimulator(world, {
        port,
        password: SECRET,
        webhook: { url: hook, secret: SECRET },
      }),
  },
  scm: {
    company: 'head',
    what: 'supply chain, by configuration alone',
    start: async (world, { port }) =>
      (await import('../systems/http/examples/scm-simulator.ts')).startScmSimulator(world, {
        port,
        clientSecret: SECRET,
      }),
  },
  s4: {
    company: 'europe',
    what: 'SAP S/4HANA',
    start: async (world, { port, hook }) =>
      (await import('../systems/sap-s4/simulator.ts')).startSapS4Simulator(world, {
        port,
        clientSecret: SECRET,
        events: { url: hook, username: WEBHOOK.user, password: SECRET },
      }),
  },
  sf: {
    company: 'europe',
    what: 'Salesforce',
    start: async (world, { port }) =>
      (await import('../systems/salesforce/simulator.ts')).startSalesforceSimulator(world, {
        port,
        clientId: 'demo',
        clientSecret: SECRET,
      }),
  },
  k3: {
    company: 'suzhou',
    what: 'Kingdee K/3 Cloud',
    start: async (world, { port }) =>
      (await import('../systems/kingdee-k3/simulator.ts')).startKingdeeK3Simulator(world, {
        port,
        password: SECRET,
      }),
  },
  u8: {
    company: 'ningbo',
    what: 'Yonyou U8',
    start: async (world, { port }) =>
      (await import('../systems/yonyou-u8/simulator.ts')).startYonyouU8Simulator(world, {
        port,
        appSecret: SECRET,
      }),
  },
  nc: {
    company: 'chengdu',
    what: 'Yonyou NC Cloud',
    start: async (world, { port }) =>
      (await import('../systems/yonyou-nc/simulator.ts')).startYonyouNcSimulator(world, {
        port,
        clientSecret: SECRET,
      }),
  },
  trade: {
    company: 'trading',
    what: 'an ERP with the standard interface',
    start: async (world, { port, hook }) =>
      (await import('../systems/rest-erp/simulator.ts')).startRestErpSimulator(world, {
        port,
        auth: { type: 'bearer', token: SECRET },
        webhook: { url: hook, secret: SECRET },
      }),
  },
  ledger: {
    company: 'trading',
    what: 'JSON finance',
    start: async (world, { port, hook }) =>
      (await import('../systems/rest-finance/simulator.ts')).startRestFinanceSimulator(world, {
        port,
        auth: { type: 'basic', username: 'gateway', password: SECRET },
        webhook: { url: hook, secret: SECRET },
      }),
  },
} satisfies Record<string, Simulated>
export type SystemId = keyof typeof SYSTEMS

export interface EverythingOptions {
  /** Of the gateway; default 4000. A tracking service is told it when it follows a parcel. */
  readonly port?: number | undefined
  readonly dataDir?: string | undefined
  /** Default 4110; 0: any free ports. */
  readonly firstPort?: number
  /** Time between two happenings in the simulated business; 0: none by itself. Default 500 ms: there are six worlds. */
  readonly everyMs?: number
  /** Merged over the configuration of every system; for tests. */
  readonly settings?: Readonly<Record<string, unknown>>
}

export interface Everything {
  readonly worlds: Readonly<Record<Company, World>>
  readonly simulators: Readonly<Record<SystemId, Simulator>>
  readonly config: Config
  /** The configuration as it was filled in. */
  readonly file: string
  /** Asks all systems at once. */
  readonly query: string
  /** One line for each system, for people. */
  readonly lines: readonly string[]
  /** Lets one thing happen in one of the worlds, in turn. */
  step(): void
  /** Tells the simulated systems where the gateway takes their webhooks. */
  announce(gatewayUrl: string): void
  close(): Promise<void>
}

/** @throws ConfigError where it could be reached by others, or under `NODE_ENV=production`. */
export async function startEverything(options: EverythingOptions = {}): Promise<Everything> {
  refuseUnsafe('127.0.0.1')
  const dataDir = options.dataDir ?? join('.data', 'everything')
  const port = options.port ?? 4000
  mkdirSync(dataDir, { recursive: true })
  const worlds = eachOf(
    COMPANIES,
    (name, company) => new World({ ...company, file: join(dataDir, `simulated-${name}.jsonl`) }),
  )
  let gateway = `http://127.0.0.1:${port}`
  const first = options.firstPort ?? FIRST_PORT
  const started: [SystemId, Simulator][] = []
  try {
    for (const [index, id] of systemIds.entries()) {
      const { company, start }: Simulated = SYSTEMS[id]
      const place = { port: first === 0 ? 0 : first + index, hook: () => `${gateway}/webhooks/${id}` }
      started.push([id, await start(worlds[company], place)])
    }
  } catch (error) {
    await Promise.all(started.map(([, simulator]) => simulator.close()))
    throw error
  }
  const simulators = Object.fromEntries(started) as Record<SystemId, Simulator>
  const raw = configurationOf(simulators, { port, dataDir, settings: options.settings ?? {} })
  const file = join(dataDir, 'gateway.yaml')
  writeFileSync(file, stringify(raw))
  writeFileSync(join(dataDir, 'products.csv'), productLinks(worlds.head))
  const step = lifeOf(worlds)
  let timer: NodeJS.Timeout | undefined

  return {
    worlds,
    simulators,
    config: await checkConfig(raw, {}, 'the demo', true),
    file,
    query: readFileSync(new URL('everything.graphql', import.meta.url), 'utf8'),
    lines: systemIds.map((id) => `${id.padEnd(8)} ${simulators[id].url}   ${SYSTEMS[id].what}`),
    step,
    announce(url) {
      gateway = url
      const everyMs = options.everyMs ?? 500
      if (everyMs > 0) timer = setInterval(step, everyMs).unref()
    },
    async close() {
      clearInterval(timer)
      await Promise.all(started.map(([, simulator]) => simulator.close()))
    },
  }
}

const systemIds = Object.keys(SYSTEMS) as SystemId[]

function eachOf<K extends string, V, R>(record: Readonly<Record<K, V>>, make: (key: K, value: V) => R) {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, make(key as K, value as V)]),
  ) as Record<K, R>
}

/** The files, with their holes filled. */
function configurationOf(
  simulators: Readonly<Record<SystemId, Simulator>>,
  { port, dataDir, settings }: { port: number; dataDir: string; settings: Readonly<Record<string, unknown>> },
): { systems: Record<string, Record<string, unknown>> } {
  const { publicKey } = simulators.nc as Simulator & { readonly publicKey: string }
  const values: Readonly<Record<string, string>> = {
    PORT: String(port),
    DATA: dataDir,
    GATEWAY_URL: `http://127.0.0.1:${port}`,
    SECRET,
    HR_PASSWORD: SECRET,
    HR_WEBHOOK_SECRET: SECRET,
    SCM_SECRET: SECRET,
    NC_PUBLIC_KEY: publicKey,
    ...Object.fromEntries(systemIds.map((id) => [`${id.toUpperCase()}_URL`, simulators[id].url])),
  }
  const read = (name: string) =>
    parse(
      readFileSync(new URL(name, import.meta.url), 'utf8').replaceAll(/\$\{(\w+)\}/g, (hole, key: string) => {
        const value = values[key]
        if (value === undefined) throw new Error(`${name}: nothing fills ${hole}`)
        return value
      }),
    )
  const raw = read('everything.yaml')
  Object.assign(raw.systems, { hr: read(systemsIn('hr.yaml')), scm: read(systemsIn('scm.yaml')) })
  for (const system of Object.values(raw.systems)) Object.assign(system as object, settings)
  return raw
}

/** Neither order management system lists its products, so the codes of the head office's ERP are named to both. */
function productLinks(world: World): string {
  const rows = ['jst', 'wdt'].flatMap((shop) =>
    world.all('erpItems').map(({ code }) => `product,${shop},,${code},erp,${code}`),
  )
  return ['type,system,company,key,sameAsSystem,sameAsKey', ...rows].map((row) => `${row}\n`).join('')
}

/** The head office does more than its ERP tells; and it has every other turn. */
function lifeOf(worlds: Readonly<Record<Company, World>>): () => void {
  const { head, ...others } = worlds
  const headLife = startLife(head, 0, 1, [shops, deals, warehouse, parcels, deals, shops])
  const otherLives = Object.values(others).map((world, index) => startLife(world, 0, index + 2))
  let turn = 0
  return () => {
    const life = turn % 2 === 0 ? headLife : otherLives[((turn - 1) / 2) % otherLives.length]
    life?.step()
    turn++
  }
}

/** The first customer's order 1006 left the provider's warehouse, and its parcel is on the way. */
function sendBeforehand(world: WorldState): void {
  const at = '2026-06-26T01:30:00.000Z'
  const delivery = openDelivery(world, {
    direction: 'OUT',
    deliveryType: 'SALES',
    orderNo: '1006',
    warehouseId: 'WH-SZX-01',
    lines: [{ skuId: skuIdOf(2), quantity: '2' }],
    at,
  })
  const { trackingNo, deliveryId } = ship(world, delivery, at)
  if (trackingNo === null) return
  sendParcel(world, {
    number: trackingNo,
    carrier: 'SF',
    phone: '+86 21 5550 0001',
    from: '广东省深圳市',
    to: '上海市浦东新区',
    orderNo: '1006',
    deliveryNo: deliveryId,
    expectedDay: '2026-06-29',
    at,
  })
  scanParcel(world, trackingNo, 'COLLECTED', '广东省深圳市', '已收取快件', { at: '2026-06-26T02:00:00.000Z' })
  scanParcel(world, trackingNo, 'MOVING', '上海市', '快件已到达【上海转运中心】', {
    at: '2026-06-27T03:00:00.000Z',
  })
}
