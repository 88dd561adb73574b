import { ConfigError } from '../config/load.ts'
import { StoreError } from '../store/store.ts'

/** Exit code 2: what was asked for is wrong, and asking again will not help. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export function explain(error: unknown): { readonly text: string; readonly exitCode: number } {
  if (error instanceof ConfigError || error instanceof UsageError) return { text: error.message, exitCode: 2 }
  if (error instanceof StoreError) return { text: error.message, exitCode: 1 }
  const { code, port, address } = error as { code?: string; port?: number; address?: string }
  if (code === 'EADDRINUSE') {
    const text = `${address}:${port} is in use already. Stop what listens there, or choose another port with --port.`
    return { text, exitCode: 1 }
  }
  return { text: error instanceof Error ? (error.stack ?? error.message) : String(error), exitCode: 1 }
}
