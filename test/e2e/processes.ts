/** Gateways and subgraphs as processes of their own, over business systems that the test simulates and can watch. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type Demo, type DemoFile, type DemoOptions, startDemo } from '../../src/demo/small.ts'
import { type Client, clientOf, SMALL, temporaryFolder } from './kit.ts'

export const KEY = 'key-of-the-tests-1'
export const CALLER_SECRET = 'a secret that the gateway and its subgraphs share'
const entry = new URL('../../src/tributary.mjs', import.meta.url).pathname

export interface Systems extends AsyncDisposable, Pick<Demo, 'world' | 'simulators'> {
  /** A configuration for them, as an operator would write it. */
  readonly configFile: string
  /** Starts `tributary ARGS`; answers when it has printed its address, and `Ready.` where it is a gateway. */
  run(...args: string[]): Promise<Running>
}

export interface Running extends Client, AsyncDisposable {
  readonly pid: number
  /** As `kill -9` does. */
  kill(): Promise<void>
  /** As ctrl-c does. @returns The exit code. */
  stop(): Promise<number | null>
}

export async function simulateSystems(
  options: Pick<DemoOptions, 'erp' | 'world'> & { configure?: (file: DemoFile) => void } = {},
): Promise<Systems> {
  const folder = temporaryFolder()
  let file: DemoFile | undefined
  const demo = await startDemo({
    simulatorPorts: [0, 0, 0],
    everyMs: 0,
    pollEvery: '0s',
    dataDir: folder,
    world: SMALL,
    ...options,
    override(raw) {
      file = raw
    },
  })
  if (!file) throw new Error('the demo has no configuration')
  Object.assign(file, {
    port: 0,
    dataDir: join(folder, 'store'),
    callerSecret: CALLER_SECRET,
    callers: [{ apiKey: KEY, subject: 'tests', roles: ['reader', 'writer', 'steward'] }],
  })
  for (const system of Object.values(file.systems))
    Object.assign(system, { commitDelay: '500ms', timeout: '15s' })
  options.configure?.(file)
  const configFile = join(folder, 'tributary.yaml')
  writeFileSync(configFile, stringify(file))
  const running = new Set<Running>()
  return {
    world: demo.world,
    simulators: demo.simulators,
    configFile,
    async run(...args) {
      const one = await start([...args, '--config', configFile])
      running.add(one)
      return one
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...running].map((one) => one.kill()))
      await demo.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function start(args: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const gone = once(child, 'exit')
  const url = await addressOf(child, args[0] === 'start')
  const client = clientOf(url, KEY)
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await gone
  }
  return {
    ...client,
    pid: child.pid as number,
    kill: () => end('SIGKILL'),
    async stop() {
      await end('SIGTERM')
      return child.exitCode
    },
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  }
}

function addressOf(child: ChildProcess, isGateway: boolean): Promise<string> {
  let said = ''
  return new Promise((resolve, reject) => {
    const look = (chunk: Buffer) => {
      said += chunk
      const [address] = /http:\/\/[\d.]+:\d+/.exec(said) ?? []
      if (address && (!isGateway || said.includes('Ready.'))) resolve(address)
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.once('exit', () => reject(new Error(`it ended: ${said}`)))
  })
}
