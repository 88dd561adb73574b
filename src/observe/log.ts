import { type Logger, pino } from 'pino'

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'> & {
  child(bindings: Record<string, unknown>): Log
}

/** JSON lines on standard error, so that standard output stays free for what a command prints. */
export function createLog(level: string = process.env.TRIBUTARY_LOG ?? 'info'): Log {
  return pino(
    {
      level,
      base: null,
      // Whatever an adapter logs by mistake: these names never show their value.
      redact: {
        paths: ['password', 'secret', 'token', 'authorization', 'cookie'].flatMap((name) => [
          name,
          `*.${name}`,
          `*.*.${name}`,
        ]),
        censor: '***',
      },
    },
    pino.destination({ dest: 2, sync: true }),
  )
}

export const silentLog: Log = pino({ level: 'silent' })
