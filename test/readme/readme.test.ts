/** The README keeps its promises: each command is run as it stands, each answer is compared. */
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { checkConfig } from '../../src/config/load.ts'
import { expected, update } from './answers.ts'

const root = new URL('../../', import.meta.url).pathname
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const run = promisify(execFile)

interface Block {
  readonly language: string
  readonly text: string
}
const blocks: Block[] = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
  ([, language = '', text = '']) => ({
    language,
    text,
  }),
)
/** A command, and the answer that stands below it. */
const promises = blocks.flatMap(({ language, text }, index) => {
  const answer = blocks[index + 1]
  return language === 'sh'
    ? [{ command: text, answer: answer?.language === 'json' ? answer.text : undefined }]
    : []
})

/** The README names these ports; somebody who has the demo open must not lose it to a test. */
const PORTS = [4000, 4010, 4020, 4030]
const isFree = (port: number) =>
  new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
const allFree = (await Promise.all(PORTS.map(isFree))).every(Boolean)
if (!allFree)
  process.stderr.write(`README commands are skipped: stop what listens on ${PORTS.join(', ')} to run them.\n`)

describe.skipIf(!allFree)('the README', () => {
  const data = mkdtempSync(join(tmpdir(), 'tributary-readme-'))
  const env = { ...process.env, TRIBUTARY_DATA: data, PORT: '', NODE_ENV: '', TRIBUTARY_CONFIG: '' }
  const demo = spawn('npm', ['start'], {
    cwd: root,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })

  beforeAll(async () => {
    let printed = ''
    for await (const chunk of demo.stdout) {
      printed += chunk
      if (printed.includes('Ready.')) return
    }
    throw new Error(`the demo ended: ${printed}`)
  }, 30_000)

  afterAll(() => {
    if (demo.pid !== undefined) process.kill(-demo.pid)
    rmSync(data, { recursive: true, force: true, maxRetries: 5 })
  })

  it('has a command with its answer for asking, writing and failing', () => {
    expect(promises.length).toBeGreaterThanOrEqual(8)
    for (const { command, answer } of promises) expect(answer, command).toBeDefined()
  })

  // One after the other: what is written earlier is seen later.
  it.each(promises.map((promise) => [promise.command.split('\n').slice(0, 3).join(' '), promise] as const))(
    'answers %s',
    async (_title, { command, answer }) => {
      const shown = await output(command, env)
      if (process.env.README_UPDATE) update(command, JSON.parse(shown))
      else expect(JSON.parse(shown)).toEqual(expected(answer))
    },
  )

  it('does a mutation that is sent again only once', async () => {
    const create = promises.find(({ command }) => command.includes('readme-order-1'))
    expect(JSON.parse(await output(create?.command ?? '', env))).toEqual(expected(create?.answer))
    const query = '{ customer(externalId: { system: "crm", key: "70007" }) { orders { customerReference } } }'
    const { data: seen } = JSON.parse(await output(`npm run -s ask '${query}'`, env))
    const references = seen.customer.orders.map(
      (order: { customerReference: string }) => order.customerReference,
    )
    expect(references.filter((reference: string) => reference === 'PO 4711')).toHaveLength(1)
  })

  it('has something to watch within seconds', async () => {
    const watch = spawn('npm', ['run', '-s', 'watch'], { cwd: root, env, detached: true })
    const lines: string[] = []
    try {
      for await (const chunk of watch.stdout) {
        lines.push(...String(chunk).trim().split('\n'))
        if (['orderChanged', 'inventoryChanged'].every((name) => lines.some((line) => line.includes(name))))
          break
      }
    } finally {
      if (watch.pid !== undefined) process.kill(-watch.pid)
    }
    expect(lines.map((line) => Object.keys(JSON.parse(line))[0])).toContain('orderChanged')
  })
})

describe('the configuration in the README', () => {
  const [yaml] = blocks.filter(({ language }) => language === 'yaml')

  it('is accepted once its secrets are set', async () => {
    const env = { PORTAL_KEY: 'k'.repeat(20), CRM_TOKEN: 't', B1_PASSWORD: 'p', FIN_PASSWORD: 'f' }
    const config = await checkConfig(parse(yaml?.text ?? ''), env, 'README.md')
    expect(Object.keys(config.systems)).toEqual(['crm', 'erp', 'fin'])
    expect(config.systems.erp).toMatchObject({
      timeout: 20_000,
      pollEvery: 30_000,
      environment: 'production',
    })
  })

  it('names every secret that is missing', async () => {
    await expect(checkConfig(parse(yaml?.text ?? ''), {}, 'README.md')).rejects.toThrow(
      /PORTAL_KEY.*CRM_TOKEN.*B1_PASSWORD.*FIN_PASSWORD/s,
    )
  })
})

async function output(command: string, env: NodeJS.ProcessEnv): Promise<string> {
  // A command that ends with GraphQL errors says so by its exit code; its answer is the point here.
  const { stdout } = await run('bash', ['-c', command], { cwd: root, env }).catch(
    (error: { stdout: string }) => error,
  )
  return stdout
}
