/** `watch`: a subscriber for the command line. Prints one line of JSON per event. */
import { createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import type { Flags } from './flags.ts'

/** What is watched when nothing is said. */
const STANDARD = [
  'subscription { orderChanged { event time statusBefore statusAfter order { id number status customerName } } }',
  'subscription { inventoryChanged { event time onHandBefore onHandAfter level { product { sku } warehouse { key name } } } }',
]

export async function watch(args: readonly string[], flags: Flags): Promise<void> {
  const url = flags.url ?? `ws://127.0.0.1:${process.env.PORT || 4000}/graphql`
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    ...(flags.key === undefined ? {} : { connectionParams: { 'X-API-Key': flags.key } }),
    retryAttempts: 0,
  })
  // Whoever reads along may have seen enough: `npm run -s watch | head -1`.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1))
  const operations = args.length > 0 ? args : STANDARD
  await Promise.all(
    operations.map(
      (query) =>
        new Promise<void>((resolve) => {
          client.subscribe(
            { query },
            {
              next: (result) =>
                process.stdout.write(`${JSON.stringify(result.errors ? result : result.data)}\n`),
              error(error) {
                process.stderr.write(`${problemOf(error, url)}\n`)
                process.exitCode = 1
                resolve()
              },
              complete: resolve,
            },
          )
        }),
    ),
  )
}

function problemOf(error: unknown, url: string): string {
  if (Array.isArray(error)) return error.map((one: { message?: string }) => one.message).join('\n')
  const {
    code,
    reason,
    error: cause,
  } = Object(error) as { code?: number; reason?: string; error?: { code?: string } }
  if (cause?.code === 'ECONNREFUSED' || code === undefined)
    return `Nobody answers at ${url}. Is the gateway running? See --url.`
  return `The gateway closed the connection: ${reason ?? ''} (${code})`
}
