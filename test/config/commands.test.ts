import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { stringify } from 'yaml'
import { simulateSystems } from '../e2e/processes.ts'

vi.setConfig({ testTimeout: 60_000 })

const folder = mkdtempSync(join(tmpdir(), 'tributary-commands-'))
afterAll(() => rmSync(folder, { recursive: true }))
const entry = new URL('../../src/tributary.mjs', import.meta.url).pathname

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command that is expected to end by itself. */
const run = (args: readonly string[], env: Record<string, string> = {}): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [entry, ...args],
      { env: { ...process.env, TRIBUTARY_DATA: folder, ...env }, timeout: 50_000 },
      (_error, out, err) => resolve({ code: child.exitCode ?? -1, out, err }),
    )
  })
const file = (name: string, content: object): string => {
  const path = join(folder, name)
  writeFileSync(path, stringify(content))
  return path
}

describe('the command line', () => {
  it('ends with 2 for what asking again will not help, and says what to do', async () => {
    const nowhere = join(folder, 'nowhere.yaml')
    const wrong = file('wrong.yaml', { prot: 1 })
    const cases: readonly (readonly [string[], RegExp, Record<string, string>?])[] = [
      [['nonsense'], /There is no command "nonsense"[\s\S]*Usage:/],
      [['start', '--prot', '1'], /--prot is not known[\s\S]*Usage:/],
      [['start'], /"http" is no port/, { PORT: 'http' }],
      [['start'], /nowhere\.yaml cannot be used/, { TRIBUTARY_CONFIG: nowhere }],
      [
        ['check', '--config', wrong],
        /systems: is missing[\s\S]*prot: is not known\n {4}Did you mean "port"\?/,
      ],
      [['start'], /does not run under NODE_ENV=production/, { NODE_ENV: 'production' }],
      [
        ['start', '--demo', 'everything'],
        /does not run under NODE_ENV=production/,
        { NODE_ENV: 'production' },
      ],
      [['start', '--demo', 'large'], /There is no demo "large"\. Demos: small, everything\./],
      [['check', '--demo', 'small', '--config', wrong], /either --demo or --config/],
    ]
    const ended = await Promise.all(cases.map(([args, , env]) => run(args, env)))
    for (const [index, [args, words]] of cases.entries()) {
      const { code, err } = ended[index] ?? {}
      expect({ args, code, err }).toEqual({ args, code: 2, err: expect.stringMatching(words) })
      expect(err).not.toMatch(/\n {4}at /)
    }
  })

  it('compose --check finds the supergraph up to date', async () => {
    expect(await run(['compose', '--check'])).toEqual({ code: 0, out: '', err: '' })
  })
})

describe('check', () => {
  it('ends with 0 where every system answers to its credentials, else with 1 and the name of who does not', async () => {
    await using systems = await simulateSystems()
    const well = await run(['check', '--config', systems.configFile])
    expect({ code: well.code, out: well.out }).toEqual({
      code: 0,
      out: expect.stringMatching(/right\n[\s\S]*crm.*reached in[\s\S]*/),
    })
    systems.simulators.fin.setFaults([{ kind: 'refuse' }])
    const ill = await run(['check', '--config', systems.configFile])
    expect(ill.code).toBe(1)
    expect(ill.out).toMatch(/crm .*: reached in/)
    expect(ill.out).toMatch(/erp .*: reached in/)
    expect(ill.out).toMatch(/fin .*: not reached/)
  })
})

describe('check of a demo', () => {
  it('tells of each of its systems whether it can be reached', async () => {
    const { code, out } = await run(['check', '--demo', 'everything'])
    const reached = out.split('\n').filter((line) => /^\w+ +[a-z0-9-]+, test: reached in \d+ ms/.test(line))
    expect({ code, reached: reached.length, lines: out.trim().split('\n').length }).toEqual({
      code: 0,
      reached: 17,
      lines: 18,
    })
  })
})

describe('start', () => {
  it('takes --port over PORT over the file, and the configuration from TRIBUTARY_CONFIG', async () => {
    await using systems = await simulateSystems({ configure: (raw) => Object.assign(raw, { port: 1 }) })
    // Port 1 is not for everybody; 0 is any free one.
    vi.stubEnv('PORT', '1')
    await using running = await systems.run('start', '--port', '0')
    vi.unstubAllEnvs()
    expect(await running.data('{ systems { id } }')).toEqual({
      systems: [{ id: 'crm' }, { id: 'erp' }, { id: 'fin' }],
    })
    const { port } = new URL(running.url)
    const fromEnvironment = await run(['start'], { TRIBUTARY_CONFIG: systems.configFile, PORT: port })
    expect(fromEnvironment.code).toBe(1)
    expect(fromEnvironment.err).toContain(`127.0.0.1:${port} is in use already`)
  })
})
