/** So many calls at once; the others wait in line, but not longer than a call may take. */
import { SourceError } from '../failure.ts'

export interface Lanes {
  /** @throws SourceError `unavailable` when no lane becomes free in time: nothing has been sent then. */
  run<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>
}

export function createLanes(count: number, waitMs: number): Lanes {
  let busy = 0
  const waiting: (() => void)[] = []

  const enter = (signal: AbortSignal | undefined): Promise<void> | undefined => {
    if (signal?.aborted) throw gone()
    if (busy < count) {
      busy++
      return undefined
    }
    return new Promise<void>((resolve, reject) => {
      const leave = (error: SourceError) => {
        waiting.splice(waiting.indexOf(take), 1)
        forget()
        reject(error)
      }
      const take = () => {
        forget()
        resolve()
      }
      const abort = () => leave(gone())
      const detail = `all ${count} calls to this system are busy`
      const late = () => leave(new SourceError({ kind: 'unavailable', reason: 'overloaded', detail }))
      const timer = setTimeout(late, waitMs)
      const forget = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
      }
      signal?.addEventListener('abort', abort)
      waiting.push(take)
    })
  }

  return {
    async run(signal, work) {
      await enter(signal)
      try {
        return await work()
      } finally {
        // The lane is handed on: `busy` stays as it is.
        const next = waiting.shift()
        if (next) next()
        else busy--
      }
    },
  }
}

const gone = (): SourceError =>
  new SourceError({ kind: 'unavailable', reason: 'aborted', detail: 'nobody waits for the answer any more' })
