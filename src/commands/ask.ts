/** `ask`: sends one operation, from the command line or standard input, and prints the answer. */
import { text } from 'node:stream/consumers'
import { UsageError } from './explain.ts'
import type { Flags } from './flags.ts'

export async function ask(args: readonly string[], flags: Flags): Promise<void> {
  const url = flags.url ?? `http://127.0.0.1:${process.env.PORT || 4000}/graphql`
  const query = args[0] ?? (await text(process.stdin))
  if (query.trim() === '')
    throw new UsageError("Say what to ask, for example: npm run ask -- '{ systems { id } }'")
  const headers = {
    'content-type': 'application/json',
    ...(flags.key === undefined ? {} : { 'x-api-key': flags.key }),
  }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }) }).catch(
    () => {
      throw new UsageError(`Nobody answers at ${url}. Is the gateway running? See --url.`)
    },
  )
  const { extensions, ...answer } = (await response.json()) as { errors?: unknown; extensions?: unknown }
  process.stdout.write(`${JSON.stringify(flags.extensions ? { ...answer, extensions } : answer, null, 2)}\n`)
  process.exitCode = answer.errors ? 1 : 0
}
