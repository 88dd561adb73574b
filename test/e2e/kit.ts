/** What these tests share: a whole gateway over simulated systems on loopback, asked through its public door. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { type App, type AppOptions, openApp } from '../../src/app.ts'
import { type Demo, type DemoOptions, startDemo } from '../../src/demo/small.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import { encodeId } from '../../src/identity/ids.ts'
import { silentLog } from '../../src/observe/log.ts'
import type { UnifiedType } from '../../src/systems/records.ts'
import type { System } from '../../src/systems/registry.ts'

process.env.APOLLO_TELEMETRY_DISABLED = 'true'

/** Enough for everything written by hand, and small enough to start at once. */
export const SMALL = { customers: 8, products: 8, orders: 30 }

// biome-ignore lint/suspicious/noExplicitAny: an answer has the shape of its question, which stands beside it
export type Data = any

export interface ResultError {
  readonly message: string
  readonly path?: readonly (string | number)[]
  readonly extensions: Readonly<Record<string, unknown>> & { readonly code: string }
}

export interface Result {
  readonly data?: Data
  readonly errors?: readonly ResultError[]
  readonly extensions?: Readonly<Record<string, unknown>>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Undefined where the answer is no JSON. */
  readonly body: Result & Readonly<Record<string, unknown>>
}

export interface Client {
  readonly url: string
  /** As a frontend asks; with `headers` as somebody else. */
  ask(query: string, variables?: object, headers?: Readonly<Record<string, string>>): Promise<Result>
  /** The data of an answer without errors. @throws where there are errors */
  data(query: string, variables?: object): Promise<Data>
  /** Anything, to `/graphql` or another path. */
  post(body: string | Buffer | object, options?: PostOptions): Promise<Answer>
  /** Subscribes over WebSocket; answers when the subscription runs. */
  listen(query: string, variables?: object, connectionParams?: Record<string, unknown>): Promise<Listener>
  /** One operation over WebSocket, of whatever kind. */
  askOverWebSocket(query: string, variables?: object): Promise<Result>
}

export interface PostOptions {
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
}

export interface Listener extends AsyncDisposable {
  /** Everything that arrived so far, in order. */
  readonly results: readonly Result[]
  /** The first `count` results, as soon as there are so many. */
  take(count: number): Promise<readonly Result[]>
  /** The payloads of the first results, under their field's name. */
  payloads(count: number): Promise<readonly Data[]>
  /** Answers when the server has ended the subscription. */
  readonly ended: Promise<void>
}

export interface TestGateway extends Client, AsyncDisposable {
  readonly demo: Demo
  readonly app: App
  readonly dataDir: string
  system(id: string): System
  /** Asks a system for changes now, twice: the second time nothing may be new. Default: every system. */
  poll(system?: string): Promise<void>
}

export interface TestGatewayOptions extends Pick<DemoOptions, 'world' | 'erp' | 'override' | 'pollEvery'> {
  readonly dataDir?: string
  readonly app?: AppOptions
  /** Before the gateway opens: for systems beside those of the demo. */
  readonly before?: (demo: Demo) => Promise<void>
  /** False: webhooks of the simulated systems lead nowhere. */
  readonly webhooks?: boolean
}

/** Nothing moves by itself; changes are asked for by `poll` only, unless `pollEvery` says otherwise. */
export async function openTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const dataDir = options.dataDir ?? temporaryFolder()
  const demo = await startDemo({
    port: 0,
    simulatorPorts: [0, 0, 0],
    everyMs: 0,
    pollEvery: '0s',
    world: SMALL,
    ...options,
    dataDir,
  })
  await options.before?.(demo)
  const app = await openApp(demo.config, silentLog, options.app)
  const gateway = await openGateway(app, silentLog)
  if (options.webhooks ?? true) demo.announce(gateway.url)
  app.start()
  await app.ready()
  const { systems } = app.rooms
  return {
    ...clientOf(gateway.url),
    demo,
    app,
    dataDir,
    system(id) {
      const system = systems.get(id)
      if (!system) throw new Error(`no system ${id}`)
      return system
    },
    async poll(id) {
      const asked = systems.all().filter((system) => id === undefined || system.id === id)
      for (const _round of [1, 2]) for (const system of asked) await app.feeds.pollOnce(system)
    },
    async [Symbol.asyncDispose]() {
      await gateway.close()
      await app.close()
      await demo.close()
      if (!options.dataDir) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'tributary-'))

export const idOf = (type: UnifiedType, system: string, key: string): string =>
  encodeId({ type, system, key })

/** The reader of the demo's configuration, who may not write. */
export const READER = { 'x-api-key': 'demo-reader-key-0001' }

/** @param key An API key to show, where the gateway wants one. */
export function clientOf(url: string, key?: string): Client {
  const identification = key === undefined ? undefined : { 'x-api-key': key }
  const socketUrl = `${url.replace('http', 'ws')}/graphql`

  const post: Client['post'] = async (body, { path = '/graphql', headers = {}, method = 'POST' } = {}) => {
    const raw = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...identification, ...headers },
      ...(method === 'GET' ? {} : { body: raw as string }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, body: parsed(text) }
  }

  const ask: Client['ask'] = async (query, variables, headers) =>
    (await post({ query, variables }, headers ? { headers } : {})).body

  return {
    url,
    post,
    ask,
    async data(query, variables) {
      const { data, errors } = await ask(query, variables)
      if (errors) throw new Error(JSON.stringify(errors, null, 1))
      return data
    },
    async listen(query, variables, connectionParams: Record<string, unknown> | undefined = identification) {
      const client = createClient({
        url: socketUrl,
        webSocketImpl: WebSocket,
        lazy: false,
        retryAttempts: 0,
        onNonLazyError: () => {},
        ...(connectionParams ? { connectionParams } : {}),
      })
      const listener = listenWith(client, query, variables)
      // The protocol does not say when a subscription runs; what is asked after it on the same socket does.
      for (const _round of [1, 2, 3]) await once(client, '{ __typename }')
      return listener
    },
    async askOverWebSocket(query, variables) {
      const client = createClient({
        url: socketUrl,
        webSocketImpl: WebSocket,
        retryAttempts: 0,
        ...(identification ? { connectionParams: identification } : {}),
      })
      try {
        return await once(client, query, variables)
      } finally {
        await client.dispose()
      }
    },
  }
}

type SocketClient = ReturnType<typeof createClient>

/** The first result; errors that the protocol has a message of its own for read like those in a result. */
function once(client: SocketClient, query: string, variables?: object): Promise<Result> {
  return new Promise((resolve, reject) => {
    const unsubscribe = client.subscribe(
      { query, variables: variables as Record<string, unknown> },
      {
        next(result) {
          resolve(result as Result)
          queueMicrotask(() => unsubscribe())
        },
        error: (error) =>
          Array.isArray(error) ? resolve({ errors: error as ResultError[] }) : reject(error),
        complete: () => {},
      },
    )
  })
}

const PATIENCE_MS = 10_000

function listenWith(client: SocketClient, query: string, variables?: object): Listener {
  const results: Result[] = []
  const waiting = new Set<() => void>()
  let failed: unknown
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const wake = () => {
    for (const one of waiting) one()
  }
  client.subscribe(
    { query, variables: variables as Record<string, unknown> },
    {
      next(result) {
        results.push(result as Result)
        wake()
      },
      error(error) {
        if (Array.isArray(error)) results.push({ errors: error as ResultError[] })
        else failed = error
        wake()
        end()
      },
      complete: end,
    },
  )
  const take = async (count: number) => {
    const deadline = Date.now() + PATIENCE_MS
    while (results.length < count) {
      const left = deadline - Date.now()
      if (failed !== undefined) throw new Error(`the subscription broke: ${String(failed)}`)
      if (left <= 0) throw new Error(`${count} results expected, there are: ${JSON.stringify(results)}`)
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer)
          waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, left)
        waiting.add(done)
      })
    }
    return results.slice(0, count)
  }
  return {
    results,
    take,
    ended,
    async payloads(count) {
      return (await take(count)).map((result) => {
        if (result.errors) throw new Error(JSON.stringify(result.errors))
        return Object.values(result.data)[0]
      })
    },
    async [Symbol.asyncDispose]() {
      await client.dispose()
    },
  }
}

/** Asks again until the answer is truthy: for what another process does in its own time. */
export async function eventually<T>(question: () => Promise<T> | T, withinMs = PATIENCE_MS): Promise<T> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const answer = await question()
    if (answer) return answer
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${question}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function parsed(text: string): Answer['body'] {
  try {
    return JSON.parse(text)
  } catch {
    return undefined as never
  }
}

/** Codes of an answer's errors, to compare at a glance. */
export const codesOf = (result: Result): readonly string[] =>
  (result.errors ?? []).map((error) => String(error.extensions?.code))
