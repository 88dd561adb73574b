import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { stringify } from 'yaml'
import { ConfigError, checkConfig, type Environment, loadConfigFile } from '../../src/config/load.ts'
import { startDemo } from '../../src/demo/small.ts'

const right = () => ({
  callers: [{ apiKey: 'a key of sixteen characters', subject: 'portal' }] as object[],
  systems: {
    erp: {
      kind: 'sap-b1',
      environment: 'test',
      baseUrl: 'https://b1.example:50000',
      companyDb: 'SBODEMO',
      username: 'manager',
      password: 'secret',
    } as Record<string, unknown>,
    crm: {
      kind: 'rest-crm',
      environment: 'test',
      baseUrl: 'https://crm.example',
      auth: { type: 'bearer', token: 'token' },
    } as Record<string, unknown>,
  } as Record<string, Record<string, unknown>>,
})
type Raw = ReturnType<typeof right> & Record<string, unknown>

/** As an operator writes it. */
const from = (variable: string): string => `\${${variable}}`

/** Every problem as `path: message — hint`. */
async function problemsOf(change: (raw: Raw) => void, env: Environment = {}): Promise<string[]> {
  const raw = right() as Raw
  change(raw)
  try {
    await checkConfig(raw, env, 'test')
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message, hint }) => `${path}: ${message}${hint ? ` — ${hint}` : ''}`)
  }
  return []
}
const system = (raw: Raw, id: string): Record<string, unknown> => raw.systems[id] ?? {}

describe('a configuration', () => {
  it('that is right gets the defaults of everything that it leaves out', async () => {
    const config = await checkConfig(right(), {}, 'test')
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 4000,
      dataDir: '.data',
      demo: false,
      callers: [{ tenant: 'default', roles: ['reader'] }],
      identity: { customer: { match: ['taxNumber'] }, product: { match: ['barcode'] } },
      systems: { erp: { writes: 'off', timeout: 10_000, pollEvery: 30_000, commitDelay: 30_000 } },
    })
  })

  it('cannot switch the demo on', async () => {
    expect(await problemsOf((raw) => Object.assign(raw, { demo: true }))).toEqual([
      expect.stringMatching(/^demo: is not known/),
    ])
  })

  it('is told of an unknown key, with the one that was probably meant', async () => {
    expect(
      await problemsOf((raw) => {
        Object.assign(raw, { prot: 4000 })
        Object.assign(system(raw, 'erp'), { passwort: 'x', timeuot: '5s', quota: 3 })
      }),
    ).toEqual([
      'prot: is not known — Did you mean "port"?',
      'systems.erp.passwort: is not known — Did you mean "password"?',
      'systems.erp.timeuot: is not known — Did you mean "timeout"?',
      expect.stringMatching(/^systems\.erp\.quota: is not known — /),
    ])
  })

  it('is told of an unknown key far inside with what is known there, not with what is known of every system', async () => {
    const map = { key: 'no', name: 'title', levle: 'grade', remarks: 'memo' }
    const customer = { read: { request: { path: '/c/{key}' } }, map }
    const http = { kind: 'http', environment: 'test', baseUrl: 'http://x.example', auth: { type: 'none' } }
    expect(
      await problemsOf((raw) => {
        raw.systems.any = { ...http, records: { customer } }
      }),
    ).toEqual([
      'systems.any.records.customer.map.levle: is not known — Did you mean "level"?',
      expect.stringMatching(
        /^systems\.any\.records\.customer\.map\.remarks: is not known — Known here: key, version,/,
      ),
    ])
  })

  it('is told of wrong types and values', async () => {
    expect(
      (
        await problemsOf((raw) => {
          Object.assign(raw, { port: '4000', host: 7 })
          Object.assign(system(raw, 'erp'), { timeout: 5, writes: 'sometimes', baseUrl: 'b1.example' })
        })
      ).map((problem) => problem.split(':')[0]),
    ).toEqual(
      expect.arrayContaining([
        'port',
        'host',
        'systems.erp.timeout',
        'systems.erp.writes',
        'systems.erp.baseUrl',
      ]),
    )
  })

  it('may not give two callers one key', async () => {
    const problems = await problemsOf((raw) => {
      const [first] = raw.callers as object[]
      Object.assign(raw, { callers: [first, { ...first, subject: 'somebody else', tenant: 'other' }] })
    })
    expect(problems).toEqual([expect.stringMatching(/^callers\.1\.apiKey: is the key of callers\.0 too/)])
  })

  it('is told what is missing, and what it is for', async () => {
    expect(
      await problemsOf((raw) => {
        delete (raw as Partial<Raw>).callers
        delete system(raw, 'erp').kind
        delete system(raw, 'crm').environment
      }),
    ).toEqual([
      'callers: is missing — Who may ask, by API key',
      'systems.erp.kind: is missing — What sort of system it is; see the README of each kind',
      expect.stringMatching(/^systems\.crm\.environment: is missing — /),
    ])
  })

  it('is told which kinds there are', async () => {
    expect(await problemsOf((raw) => Object.assign(system(raw, 'erp'), { kind: 'sap-b2' }))).toEqual([
      expect.stringMatching(/^systems\.erp\.kind: is no kind of system: "sap-b2" — Kinds: .*sap-b1/),
    ])
  })

  it('may not mix production and test', async () => {
    expect(
      await problemsOf((raw) => Object.assign(system(raw, 'crm'), { environment: 'production' })),
    ).toEqual([
      'systems: mixes environments: erp is test, crm is production — Run one gateway for production and another for test.',
    ])
  })

  it('says that more writes at once than sessions would only wait', async () => {
    const wanted = { maxSessions: 2, writing: { concurrency: 3 } }
    expect(await problemsOf((raw) => Object.assign(system(raw, 'erp'), wanted))).toEqual([
      "systems.erp.writing.concurrency: is 3, but maxSessions lets only 2 calls be under way — Lower it, or raise maxSessions as far as the system's licences allow.",
    ])
  })

  it('must name systems that there are', async () => {
    expect(await problemsOf((raw) => Object.assign(system(raw, 'crm'), { orderNumbersFrom: 'sap' }))).toEqual(
      ['systems.crm.orderNumbersFrom: names no system: "sap" — Systems: erp, crm.'],
    )
    expect(await problemsOf((raw) => Object.assign(raw, { systems: {} }))).not.toEqual([])
    const leading = { order: 'sap', payment: { default: 'erp', 华东: 'sap' }, customer: 'crm' }
    expect(await problemsOf((raw) => Object.assign(raw, { leading }))).toEqual([
      'leading.order: names no system: "sap" — Systems: erp, crm.',
      'leading.payment.华东: names no system: "sap" — Systems: erp, crm.',
    ])
    expect(await problemsOf((raw) => Object.assign(raw, { leading: { order: 7 } }))).toEqual([
      'leading.order: must be the id of a system, or such ids by company, with "default" for all others',
    ])
  })

  it('says writes per action, the others being off', async () => {
    const raw = right()
    Object.assign(raw.systems.erp ?? {}, { writes: { 'order.create': 'on', 'order.cancel': 'dryRun' } })
    expect((await checkConfig(raw, {}, 'test')).systems.erp?.writes).toEqual({
      'order.create': 'on',
      'order.cancel': 'dryRun',
    })
    expect(
      await problemsOf((one) => Object.assign(system(one, 'erp'), { writes: { order: 'on' } })),
    ).toHaveLength(1)
  })

  it('is told everything at once', async () => {
    const problems = await problemsOf((raw) => {
      Object.assign(raw, { prot: 1 })
      Object.assign(system(raw, 'erp'), { password: from('ERP_PASSWORD'), timeout: 'soon' })
      Object.assign(system(raw, 'crm'), { environment: 'production' })
      raw.callers = [{ apiKey: 'short', subject: 'x' }]
    })
    expect(problems.map((problem) => problem.split(':')[0]).toSorted()).toEqual(
      ['callers.0.apiKey', 'prot', 'systems', 'systems.erp.password', 'systems.erp.timeout'].toSorted(),
    )
  })
})

describe('a secret', () => {
  it('comes from the environment', async () => {
    const raw = right()
    Object.assign(raw.systems.erp ?? {}, {
      password: from('ERP_PASSWORD'),
      companyDb: `SBO_${from('REGION')}_1`,
    })
    const { systems } = await checkConfig(raw, { ERP_PASSWORD: 's3cret', REGION: 'CN' }, 'test')
    expect(systems.erp?.settings).toMatchObject({ password: 's3cret', companyDb: 'SBO_CN_1' })
  })

  it('that is missing is told once, with what to set', async () => {
    const missing = (raw: Raw) => {
      Object.assign(system(raw, 'erp'), { password: from('ERP_PASSWORD') })
      raw.callers = [{ apiKey: from('PORTAL_KEY'), subject: 'portal' }]
    }
    for (const env of [{}, { ERP_PASSWORD: '', PORTAL_KEY: '' }]) {
      expect(await problemsOf(missing, env)).toEqual([
        'callers.0.apiKey: needs the environment variable PORTAL_KEY, which is not set — Set it before starting: PORTAL_KEY=… npm start',
        'systems.erp.password: needs the environment variable ERP_PASSWORD, which is not set — Set it before starting: ERP_PASSWORD=… npm start',
      ])
    }
  })

  it('is never part of what is told', async () => {
    const problems = await problemsOf(
      (raw) => {
        Object.assign(system(raw, 'erp'), {
          password: from('ERP_PASSWORD'),
          maxSessions: from('ERP_PASSWORD'),
        })
        raw.callers = [{ apiKey: from('ERP_PASSWORD'), subject: 'x', tenant: 3 }]
      },
      { ERP_PASSWORD: 'hush-hush' },
    )
    expect(problems.length).toBeGreaterThan(1)
    expect(problems.join('\n')).not.toContain('hush-hush')
  })
})

describe('a configuration file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-config-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (text: string): string => {
    const path = join(folder, 'tributary.yaml')
    writeFileSync(path, text)
    return path
  }

  it('is YAML', async () => {
    expect(Object.keys((await loadConfigFile(file(stringify(right())), {})).systems)).toEqual(['erp', 'crm'])
  })

  it('that is missing, empty, or no YAML is refused with its name', async () => {
    await expect(loadConfigFile(join(folder, 'nowhere.yaml'), {})).rejects.toThrow(
      /nowhere\.yaml cannot be used.*--config/s,
    )
    for (const text of ['', '- 1', 'a: [', 'text'])
      await expect(loadConfigFile(file(text), {})).rejects.toThrow(/tributary\.yaml cannot be used/)
  })
})

describe('the demo', () => {
  afterEach(() => vi.unstubAllEnvs())

  it('does not run in production', async () => {
    vi.stubEnv('NODE_ENV', 'production')
    await expect(startDemo({ simulatorPorts: [0, 0, 0] })).rejects.toThrow(
      /does not run under NODE_ENV=production/,
    )
  })

  it('runs on loopback only', async () => {
    for (const host of ['0.0.0.0', '::', '192.168.0.7', 'localhost.example'])
      await expect(startDemo({ host, simulatorPorts: [0, 0, 0] })).rejects.toThrow(/runs on loopback only/)
  })
})
