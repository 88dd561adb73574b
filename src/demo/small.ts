/**
 * The demo: three simulated business systems on loopback and a configuration that points at them. It never starts
 * by accident: only without a configuration, only on loopback, never in production.
 */
import { join } from 'node:path'
import { ConfigError, checkConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { type Life, startLife } from '../simulation/life.ts'
import type { Simulator } from '../simulation/server.ts'
import { World, type WorldOptions } from '../simulation/world.ts'
import type { SapB1SimulatorOptions } from '../systems/sap-b1/simulator.ts'

export interface Demo {
  readonly world: World
  readonly life: Life
  readonly simulators: { readonly erp: Simulator; readonly crm: Simulator; readonly fin: Simulator }
  readonly config: Config
  /** Tells the simulated systems where the gateway takes their webhooks. */
  announce(gatewayUrl: string): void
  close(): Promise<void>
}

export interface DemoOptions {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly dataDir?: string | undefined
  /** Default 4010, 4020, 4030; 0 for any free port. */
  readonly simulatorPorts?: readonly [number, number, number]
  /** Time between two happenings in the simulated business; 0: none by itself. Default 2 s. */
  readonly everyMs?: number
  /** How often the gateway asks the simulated systems for changes. Default 1s. */
  readonly pollEvery?: string
  readonly world?: Omit<WorldOptions, 'file'>
  /** How the simulated ERP behaves, beside its port and password. */
  readonly erp?: Omit<SapB1SimulatorOptions, 'port' | 'password'>
  /** Merged over the demo's configuration; for tests. */
  readonly override?: (raw: DemoFile) => void
}

/** The demo's secrets guard nothing: the systems are simulated and listen on loopback only. */
const SECRETS = { erp: 'demo', crm: 'demo-crm-token', fin: 'finance-demo', webhook: 'demo-webhook-secret' }
export const DEMO_PORTS = [4010, 4020, 4030] as const

export type DemoFile = ReturnType<typeof demoFile>

export async function startDemo(options: DemoOptions = {}): Promise<Demo> {
  const host = options.host ?? '127.0.0.1'
  refuseUnsafe(host)
  const dataDir = options.dataDir ?? '.data'
  const world = new World({ ...options.world, file: join(dataDir, 'simulated-systems.jsonl') })
  const [{ startSapB1Simulator }, { startRestCrmSimulator }, { startSoapFinanceSimulator }] =
    await Promise.all([
      import('../systems/sap-b1/simulator.ts'),
      import('../systems/rest-crm/simulator.ts'),
      import('../systems/soap-finance/simulator.ts'),
    ])
  const [erpPort, crmPort, finPort] = options.simulatorPorts ?? DEMO_PORTS
  let gateway = ''
  const webhook = (system: string) => ({
    url: () => `${gateway}/webhooks/${system}`,
    secret: SECRETS.webhook,
  })
  const erp = await startSapB1Simulator(world, { ...options.erp, port: erpPort, password: SECRETS.erp })
  const crm = await startRestCrmSimulator(world, {
    port: crmPort,
    auth: { type: 'bearer', token: SECRETS.crm },
    webhook: webhook('crm'),
  })
  const fin = await startSoapFinanceSimulator(world, {
    port: finPort,
    password: SECRETS.fin,
    webhook: webhook('fin'),
  })
  const raw = demoFile({ erp: erp.url, crm: crm.url, fin: fin.url }, { ...options, host, dataDir })
  options.override?.(raw)
  const life = startLife(world, 0)
  let timer: NodeJS.Timeout | undefined

  return {
    world,
    life,
    simulators: { erp, crm, fin },
    config: await checkConfig(raw, {}, 'the demo', true),
    announce(gatewayUrl) {
      gateway = gatewayUrl
      const everyMs = options.everyMs ?? 2_000
      if (everyMs > 0) timer = setInterval(life.step, everyMs).unref()
    },
    async close() {
      clearInterval(timer)
      life.stop()
      await Promise.all([erp.close(), crm.close(), fin.close()])
    },
  }
}

/** The demo's configuration where its simulated systems run in another process. */
export async function demoConfig(options: DemoOptions = {}): Promise<Config> {
  const host = options.host ?? '127.0.0.1'
  refuseUnsafe(host)
  const [erp, crm, fin] = options.simulatorPorts ?? DEMO_PORTS
  const at = (port: number) => `http://127.0.0.1:${port}`
  return checkConfig(
    demoFile({ erp: at(erp), crm: at(crm), fin: at(fin) }, { ...options, host }),
    {},
    'the demo',
    true,
  )
}

/** @throws ConfigError in production and on any address that others reach. */
export function refuseUnsafe(host: string): void {
  const hint = 'Write a configuration and name it with --config FILE or TRIBUTARY_CONFIG.'
  if (process.env.NODE_ENV === 'production') {
    throw new ConfigError('The demo', [{ path: '', message: 'does not run under NODE_ENV=production', hint }])
  }
  if (host !== '127.0.0.1' && host !== 'localhost' && host !== '::1') {
    throw new ConfigError('The demo', [
      { path: 'host', message: `runs on loopback only, not on ${host}`, hint },
    ])
  }
}

function demoFile(urls: { erp: string; crm: string; fin: string }, options: DemoOptions) {
  const common = {
    environment: 'test',
    writes: 'on',
    timeout: '5s',
    pollEvery: options.pollEvery ?? '1s',
    commitDelay: '3s',
  }
  const systems: Record<string, Record<string, unknown>> = {
    crm: {
      kind: 'rest-crm',
      ...common,
      baseUrl: urls.crm,
      auth: { type: 'bearer', token: SECRETS.crm },
      webhook: { secret: SECRETS.webhook },
    },
    erp: {
      kind: 'sap-b1',
      ...common,
      baseUrl: urls.erp,
      companyDb: 'SBODEMO_CN',
      username: 'manager',
      password: SECRETS.erp,
    },
    fin: {
      kind: 'soap-finance',
      ...common,
      baseUrl: urls.fin,
      username: 'gateway',
      password: SECRETS.fin,
      webhook: { secret: SECRETS.webhook },
      orderNumbersFrom: 'erp',
    },
  }
  return {
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 4000,
    dataDir: options.dataDir ?? '.data',
    // Nobody needs a key in the demo; this one shows how it is done.
    callers: [
      { apiKey: 'demo-reader-key-0001', subject: 'reader', tenant: 'demo', roles: ['reader'] },
    ] as Record<string, unknown>[],
    systems,
  }
}
