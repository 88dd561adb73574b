/** An open loop: requests leave when it is their time, whether or not earlier ones were answered. */
import { Agent, request } from 'undici'
import { revisionOf } from './erp.ts'

export interface Asked {
  readonly key: string
  /** By `performance.now()`. Latency counts from when it should have left. */
  readonly due: number
  readonly done: number
  /** Null where the answer was an error. */
  readonly revision: number | null
  /** What the answer said of itself; not known of the peers. */
  readonly stale: boolean
  /** When the value was fetched, as the answer says; not known of the peers. */
  readonly fetchedAt: string | null
  readonly error: string | null
}

export interface LoadOptions {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** The request that is number `index`: whom to ask for. */
  readonly keyOf: (index: number) => string
  readonly bodyOf: (key: string) => string
  readonly perSecond: number
  readonly seconds: number
  /** Whether requests carry their number. */
  readonly numbered?: boolean
}

export async function openLoop(options: LoadOptions): Promise<Asked[]> {
  const agent = new Agent({ connections: 512, pipelining: 1, keepAliveTimeout: 60_000 })
  const asked: Asked[] = []
  const under = new Set<Promise<void>>()
  const began = performance.now()
  const count = options.perSecond * options.seconds
  const ask = async (index: number, due: number) => {
    const key = options.keyOf(index)
    let answer: Partial<Asked> = {}
    try {
      const { body } = await request(options.url, {
        dispatcher: agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(options.numbered ? { 'x-bench-id': String(index) } : {}),
          ...options.headers,
        },
        body: options.bodyOf(key),
      })
      answer = read((await body.json()) as Body)
    } catch (error) {
      answer = { error: String(error) }
    }
    asked[index] = {
      key,
      due,
      done: performance.now(),
      revision: null,
      stale: false,
      fetchedAt: null,
      error: null,
      ...answer,
    }
  }
  for (let index = 0; index < count; ) {
    const due = began + (index * 1_000) / options.perSecond
    const wait = due - performance.now()
    if (wait > 1) {
      await new Promise((resolve) => setTimeout(resolve, wait))
      continue
    }
    const one = ask(index, due).finally(() => under.delete(one))
    under.add(one)
    index++
  }
  await Promise.all(under)
  await agent.destroy()
  return asked
}

interface Body {
  readonly data?: { readonly customer?: { readonly phone?: string | null } | null } | null
  readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[]
  readonly extensions?: {
    readonly sources?: readonly { readonly fetchedAt: string; readonly stale: boolean }[]
  }
}

function read({ data, errors, extensions }: Body): Partial<Asked> {
  const error = errors?.[0]
  if (error || !data?.customer) return { error: error?.extensions?.code ?? error?.message ?? 'no customer' }
  const source = extensions?.sources?.[0]
  return {
    revision: revisionOf(data.customer.phone),
    stale: source?.stale ?? false,
    fetchedAt: source?.fetchedAt ?? null,
  }
}
